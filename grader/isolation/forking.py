"""Serves requests to fork workers. Each lock's server runs this, on a socket that it
inherits and no name leads to.

A request is JSON. ["fork", detail], with descriptors attached, is answered with the
worker's process id, ["reap", id] with its exit code, or null while it runs. The runner
kills workers and has them reaped: until then, an id is in use.
"""

import ctypes
import fcntl
import gc
import json
import multiprocessing
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from grader.isolation import linux

LONGEST_REQUEST = 100_000  # bytes
MOST_DESCRIPTORS = 2
MANY = 20  # forks, which save together what large pages cost
LARGE = 1 << 21  # bytes of a large page
MADV_COLLAPSE = 25  # since Linux 6.1: an older one refuses, and changes nothing

# becomes a worker, given the request's detail and descriptors
Become = Callable[[Any, list[int]], None]
# has this process import what the worker will, given the request's detail
Ready = Callable[[Any], None]


def serve(
    requests: socket.socket,
    become: Become,
    kept: tuple[int, ...] = (),
    ready: Ready = lambda detail: None,
) -> None:
    """Answer requests until the runner ends. This process ends then, at once: it has
    nothing to tidy up.

    Args:
        kept: descriptors that what is forked keeps, beside those of its request.
    """
    linux.only()
    gc.collect()
    gc.freeze()
    forks = 0
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                requests, LONGEST_REQUEST, MOST_DESCRIPTORS
            )
        except ConnectionResetError:
            data = b""
        if not data:
            os._exit(0)
        what, detail = json.loads(data)
        try:
            answer: object
            if what == "reap":
                answer = _exit_code(detail)
            else:
                ready(detail)
                gc.freeze()
                answer = _fork(become, detail, descriptors, kept)
                forks += 1
        except OSError as error:
            answer = f"{error.strerror or error}"
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(OSError):  # the runner has ended: the next request says so
            requests.send(json.dumps(answer).encode())
        if what == "fork" and forks == MANY:
            _into_large_pages()


def _into_large_pages() -> None:
    """Have this process's memory in large pages. A fork copies an entry for each page,
    and its end drops them again.
    """
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        span, rights, _, _, inode, *name = line.split()
        if rights == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
            start, end = (int(place, 16) for place in span.split("-"))
            start, end = -(-start // LARGE) * LARGE, end // LARGE * LARGE
            if start < end:
                ctypes.CDLL(None).madvise(
                    ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_COLLAPSE
                )


def _fork(
    become: Become, detail: Any, descriptors: list[int], kept: tuple[int, ...]
) -> int:
    linux.only()
    pid = os.fork()
    if pid == 0:
        try:
            gc.enable()
            close_all_but([*descriptors, *kept])
            # what the server has is the same for all
            multiprocessing.current_process().authkey = os.urandom(32)
            become(detail, descriptors)
        except OSError:
            # of the sandbox: the system could not give what it usually gives
            os._exit(os.EX_OSERR)
        finally:
            os._exit(1)
    return pid


def _exit_code(pid: int) -> int | None:
    linux.only()
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def close_all_but(kept: Iterable[int]) -> None:
    """Close every pipe and socket that this process inherited, apart from these, and
    open every file anew. Linux only.

    Processes that inherit an open file share its flags, its offset and its locks: one
    of them could tell the next.
    """
    if sys.platform == "linux":
        for descriptor in {*map(int, os.listdir("/proc/self/fd"))} - {*kept}:
            with suppress(OSError):  # the descriptor of the listing itself
                mode, flags = (
                    os.fstat(descriptor).st_mode,
                    fcntl.fcntl(descriptor, fcntl.F_GETFL),
                )
                if stat.S_ISREG(mode) or stat.S_ISCHR(mode):
                    anew = os.open(
                        f"/proc/self/fd/{descriptor}",
                        flags & os.O_ACCMODE | os.O_CLOEXEC,
                    )
                    os.dup2(anew, descriptor, inheritable=False)
                    descriptor = anew
                os.close(descriptor)
