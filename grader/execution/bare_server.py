"""Starts workers of the second lock, by forking a server that never had specs, pytest or the grader's own code."""

import atexit
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader.course.catalogue import Kata
from grader.execution import forkserver, orphans

SERVER = "grader.sealed.bare.server"
# One thread, and no GPU: tensors cross to another process by their numbers.
SURROUNDINGS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
START_SECONDS = 60.0


@dataclass
class _Server:
    process: subprocess.Popen[bytes]
    requests: socket.socket
    owner: int  # the process that started it: one forked from that starts its own


_server: _Server | None = None


def prepare(katas: Iterable[Kata] = ()) -> socket.socket:
    """Start the server if it is not running, warm for the code of these katas. Its socket takes requests."""
    global _server
    if _server is None or _server.owner != os.getpid() or _server.process.poll() is not None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(START_SECONDS)
        folder = forkserver.temporary_folder()
        environment = forkserver.environment() | SURROUNDINGS | {"HOME": folder}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        arguments = [sys.executable, "-P", "-m", SERVER, str(theirs.fileno()), *(str(kata.folder) for kata in katas)]
        with theirs, forkserver.interrupts_blocked():
            process = subprocess.Popen(
                arguments, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, cwd=folder
            )
        _server = _Server(process, ours, os.getpid())
        atexit.register(_stop, _server)
    return _server.requests


def start_worker(kata: Kata, scratch: Path, shared: Path, pipe: int, replaced: tuple[str, ...]) -> int:
    """Start a process with the code under test and nothing else. Returns its process id.

    Args:
        scratch: holds the texts of the kata's file and of those that it builds on, and with `replaced` `reference.py`,
            whose definitions of these names stand in for the file's own.
        shared: the judge's folder, for files that specs give to the code and it to them.
        pipe: the file descriptor on which it serves a judge.
    Raises:
        OSError: the server does not answer.
    """
    request = {
        "kata": kata.name,
        "scratch": str(scratch),
        "shared": str(shared),
        "needs": sorted(kata.description.needs),
        "environment": forkserver.environment() | SURROUNDINGS,
        "replaced": replaced,
    }
    requests = prepare()
    socket.send_fds(requests, [json.dumps(request).encode()], [pipe])
    answer = requests.recv(100)
    if not answer:
        raise ConnectionResetError("the server of the second lock has ended")
    return int(answer)


def end_worker(pid: int) -> None:
    """Kill a worker and every process below it."""
    orphans.end([pid])
    prepare().send(json.dumps(pid).encode())


def _stop(server: _Server) -> None:
    if server.owner == os.getpid():
        server.requests.close()
        server.process.wait(5)
