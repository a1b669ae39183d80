"""The runner's side of a server that forks workers: starts the server, has it fork, and
learns how workers ended.

A server is reached by a socket that it inherits and that has no name, so that code
under test cannot reach it.
"""

import atexit
import json
import os
import signal
import site
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from grader.isolation import linux, processes

ROOT = Path(__file__).parents[2]  # where the package `grader` is
LONGEST_ANSWER = 1000  # bytes
# for an answer, which a starting server gives only after its imports
ANSWER_SECONDS = 300.0
POLL_SECONDS = 0.005  # between two questions whether a worker has ended
BASE = "grader.workers.base_server"
SERVER_ENDED = "the server that starts workers has ended"


class Server:
    """A running server.

    Args:
        start: starts its process, given the number of the socket that requests come on.
    """

    requests: socket.socket
    process: "Program | Process"
    owner: int  # a process forked from this one starts its own server

    def __init__(self, start: Callable[[int], "Program | Process"]):
        linux.only()
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.requests.settimeout(ANSWER_SECONDS)
        self.owner = os.getpid()
        self.lock = threading.Lock()
        with theirs:
            self.process = start(theirs.fileno())
        atexit.register(self.end)
        os.register_at_fork(after_in_child=self.requests.close)

    @property
    def runs(self) -> bool:
        """True if this process started the server, and the server has not ended."""
        return self.owner == os.getpid() and self.process.is_alive()

    def fork(self, detail: Any, descriptors: Sequence[int]) -> "Process":
        """Start a worker.

        Raises:
            OSError: the server does not answer, or cannot fork.
        """
        pid = self._ask(["fork", detail], descriptors)
        if not isinstance(pid, int):
            raise OSError(f"no worker could be started: {pid}")
        return Process(self, pid)

    def reap(self, pid: int) -> int | None:
        """The exit code of a worker that has ended; None while it runs.

        Raises:
            OSError: the server does not answer.
        """
        code = self._ask(["reap", pid])
        return code if isinstance(code, int) else None

    def end(self) -> None:
        """Kill the server, and with it the workers. It holds nothing that would have to
        be saved.
        """
        if self.owner == os.getpid():
            atexit.unregister(self.end)
            self.requests.close()
            self.process.kill()
            self.process.join(5)

    def _ask(self, request: Any, descriptors: Sequence[int] = ()) -> Any:
        """The answer to a request. A conversation that breaks off halfway ends the
        server: what follows is in order.
        """
        linux.only()
        with self.lock, interrupts_wait():
            try:
                socket.send_fds(
                    self.requests, [json.dumps(request).encode()], descriptors
                )
                answer = self.requests.recv(LONGEST_ANSWER)
                if not answer:
                    raise ConnectionResetError(SERVER_ENDED)
                return json.loads(answer)
            except BaseException:
                self.end()
                raise


class Program(subprocess.Popen[bytes]):
    """A server's process that this one has started."""

    def is_alive(self) -> bool:
        return self.poll() is None

    def join(self, seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(seconds)


class Process:
    """A worker that a server has forked.

    `exitcode` is None until it is known that the worker has ended: minus a signal's
    number where that ended it.
    """

    def __init__(self, server: Server, pid: int):
        self.server, self.pid = server, pid
        self.exitcode: int | None = None
        self.is_lost = False  # with its server

    def is_alive(self) -> bool:
        """Tell if the worker runs."""
        if self.exitcode is None:
            try:
                self.exitcode = self.server.reap(self.pid)
            except OSError:
                # workers die with their server
                self.is_lost, self.exitcode = True, processes.KILLED
        return self.exitcode is None

    def join(self, seconds: float) -> None:
        """Wait until the worker has ended, but not longer than so many seconds."""
        until = time.monotonic() + seconds
        while self.is_alive() and time.monotonic() < until:
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """Kill the worker. Until it is reaped, no other process has its id."""
        linux.only()
        if self.exitcode is None and self.server.runs:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)


_base: Server | None = None  # that the other servers are forked from


def forked(
    program: str, given: Any, environment: Mapping[str, str], folder: str
) -> Server:
    """Start a server that has PyTorch from the beginning.

    Args:
        program: the module with its function `main`, which takes the socket and what is
            given: JSON.
        environment: all of its environment, but for where Python finds modules.
        folder: its current folder.
    Raises:
        OSError: no process can be started.
    """
    global _base
    found = {"PYTHONPATH": str(ROOT)} | (
        {"PYTHONUSERBASE": site.getuserbase()} if site.ENABLE_USER_SITE else {}
    )
    whole = {**environment, "HOME": folder, **found}
    if _base is None or not _base.runs:
        _base = Server(partial(_started, whole, folder))
    detail = {"program": program, "given": given, "environment": whole}
    base = _base
    return Server(lambda descriptor: base.fork(detail, [descriptor]))


def helpers() -> set[int]:
    """The process id of the server that the others are forked from, if it
    is running.
    """
    return {_base.process.pid} if _base and _base.runs else set()


def _started(environment: Mapping[str, str], folder: str, descriptor: int) -> Program:
    command = [sys.executable, "-P", "-m", BASE, str(descriptor)]
    nothing = subprocess.DEVNULL
    with interrupts_blocked():
        return Program(
            command,
            pass_fds=[descriptor],
            env=dict(environment),
            stdin=nothing,
            stdout=nothing,
            cwd=folder,
        )


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Start a process with Ctrl-C blocked, or it may print a traceback before it
    ignores Ctrl-C. Linux only.
    """
    linux.only()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Deliver Ctrl-C and SIGTERM after the block, which they would leave with a request
    or its answer behind.
    """
    # only that thread is interrupted
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    found = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    before = {
        number: known
        for number, known in found.items()
        if known not in (None, signal.SIG_IGN)
    }
    for number in before:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
        if came:  # also where the block fails, as a server has had the same signal
            signal.raise_signal(came[0])
