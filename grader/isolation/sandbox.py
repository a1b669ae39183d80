"""The sandbox of a worker: resource limits, no network, no new processes, no access to
other files.
"""

import os
import sys
from pathlib import Path

from grader.isolation import (
    capabilities,
    landlock,
    limits,
    linux,
    namespaces,
    own_files,
    refused,
    rights,
    seccomp,
    users,
)
from grader.isolation.rights import Rights

GRADER = Path(__file__).parents[1]
PAGE = "see docs/security.md of the repository"  # which a release is without
# the Landlock version from which on it keeps signals within the sandbox
SCOPED_SIGNALS = 6


def enter(
    scratch: Path | None,
    specs: Path | None,
    needs: frozenset[str],
    *,
    shared: Path | None = None,
    pipe: int = -1,
    apart: bool = False,
) -> None:
    """Confine this process for the rest of its life, with the mechanisms that Linux
    has; elsewhere, nothing does.

    Args:
        scratch: a folder to which the process may write. In namespaces it is a copy,
            which goes with the process.
        specs: the kata's spec file. The process may read the folder of this file, and
            the grader's code. None: neither.
        needs: extra permissions of the kata's specs (see `course.description.NEEDS`).
        shared: a folder to which this and another process may write. Its owner is whom
            both run as.
        pipe: a socket to that process, over which it gets what is shared: in
            namespaces, a folder in memory.
        apart: go on in namespaces of its own, in a child process if the kata
            needs processes.
    """
    if sys.platform != "linux":
        return
    allowed = rights.of(needs)
    refused.by(allowed)
    readable, devices = (
        _readable(specs, allowed),
        [Path(path) for path in allowed.devices],
    )
    writable = [*filter(None, (scratch, shared)), *devices]
    limits.apply(allowed)
    if apart:
        user = shared.stat().st_uid if shared else users.drawn()
        view = namespaces.View(readable, devices, user, scratch, shared, pipe)
        namespaces.enter(view, processes=allowed.processes, loopback=allowed.loopback)
    else:
        readable += map(Path, allowed.lists)
    landlock.restrict(readable, writable, tcp=allowed.loopback)
    if apart:
        # elsewhere, all processes of the user would count
        limits.bound_tasks(allowed.tasks)
        users.become(user)
    capabilities.drop([*readable, *writable])
    own_files.leave_as_they_are(writable)
    signals = landlock.version() < SCOPED_SIGNALS
    if not seccomp.restrict(allowed, signals=signals) and not allowed.processes:
        limits.forbid_processes()


def shared_folder(folder: Path) -> Path:
    """Make a folder for two processes of a job, and for the user that the job gets."""
    linux.only()
    folder.mkdir()
    if namespaces.are_allowed():
        os.chown(folder, users.drawn(), -1)
    return folder


def gaps() -> list[str]:
    """Permissions that this machine cannot take from code under test, one phrase each.
    Empty on a current Linux.
    """
    if sys.platform != "linux":
        return ["no system but Linux isolates it, so it may do whatever you may"]
    found = []
    if not seccomp.is_known():
        found.append("it may use the network")
    if landlock.version() == 0:
        found.append("it may read and write files of the user who runs the grader")
    return found


def barriers_missing() -> list[str]:
    """What stands between code under test and the machine's files elsewhere, and not
    here, as a phrase.
    """
    if landlock.version() == 0:
        return []
    if not namespaces.are_allowed():
        as_root = (
            ", and it runs as root"
            if sys.platform == "linux" and os.getuid() == 0
            else ""
        )
        return [
            (
                "Landlock and seccomp alone keep it from the machine's "
                f"files{as_root} (no namespaces: {PAGE})"
            )
        ]
    return (
        [f"it runs as root, as no other user id exists here ({PAGE})"]
        if users.drawn() == 0
        else []
    )


def gaps_of(needs: frozenset[str]) -> list[str]:
    """Permissions that this machine cannot take from a kata that needs processes,
    beside `gaps`.
    """
    if sys.platform != "linux" or "processes" not in needs or namespaces.are_allowed():
        return []
    return [
        "may reach sockets and processes of the machine, which allows no namespaces"
    ]


def _readable(specs: Path | None, allowed: Rights) -> list[Path]:
    """Python, its packages, the grader, the kata's specs and what its track gives.

    The solutions, other katas, other submissions and the user's own files are
    not readable.
    """
    packages = [
        Path(path)
        for path in sys.path
        if Path(path).name in ("site-packages", "dist-packages")
    ]
    python = [
        Path(sys.prefix, "lib"),
        Path(sys.base_prefix, "lib"),
        Path(sys.base_prefix, "lib64"),
    ]
    system = [Path(path) for path in allowed.reads]
    if specs:
        # what a track that is a package gives
        system += [GRADER, specs.parent, *specs.parent.parent.glob("*.py")]
    return [*python, *packages, *system, GRADER / "data"]
