"""Starts workers of the second lock, by forking a server that never had specs, pytest
or the grader's own code.
"""

from collections.abc import Iterable
from pathlib import Path

from grader.course.catalogue import Kata, with_prerequisites
from grader.isolation import namespaces
from grader.workers import forkserver, servers
from grader.workers.servers import Process, Server

SERVER = "grader.lock.server"
_server: Server | None = None


def prepare(katas: Iterable[Kata] = ()) -> Server:
    """Start the server if it is not running, and have it import first what the code of
    these katas will.
    """
    global _server
    if _server is None or not _server.runs:
        folders = [str(kata.folder) for kata in katas]
        _server = servers.forked(
            SERVER,
            folders,
            forkserver.environment() | forkserver.ONE_THREAD,
            forkserver.temporary_folder(),
        )
    return _server


def start_worker(kata: Kata, scratch: Path, shared: Path, pipe: int) -> Process:
    """Start a process with the code under test and nothing else.

    Args:
        scratch: holds the texts of the kata's file and of those that it builds on.
        shared: the judge's folder, for files that specs give to the code and it
            to them.
        pipe: the file descriptor on which it serves a judge.
    Raises:
        OSError: the server does not answer.
    """
    request = {
        "kata": kata.name,
        "folder": str(kata.folder),
        "katas": [one.name for one in with_prerequisites([kata])],
        "scratch": str(scratch),
        "shared": str(shared),
        "needs": sorted(kata.description.needs),
        "environment": forkserver.environment() | forkserver.ONE_THREAD,
        "apart": namespaces.are_allowed(),
    }
    return prepare().fork(request, [pipe])
