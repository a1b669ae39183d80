"""Linux namespaces of a process's own: what is mounted, the network, and which processes there are.

Sockets of the machine, whether a path or an abstract name leads to them, and its processes do not exist there.
"""

import ctypes
import os
import platform
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

from grader.isolation import landlock, processes

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None  # type: ignore[assignment]

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 1 << 12, 1 << 14, 1 << 18
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
SHARED_BYTES = 256 << 20  # in /dev/shm
SHARED, PROC = Path("/dev/shm"), Path("/proc")
TRY_SECONDS = 60.0
TRY = "import sys; sys.path.insert(0, sys.argv[1]); from grader.isolation import namespaces; namespaces.try_out()"


@cache
def are_allowed() -> bool:
    """Tell if this machine lets a process into namespaces of its own: a throwaway process tries it.

    Some systems let a process in and then deny it the rights there.
    """
    if sys.platform != "linux" or platform.machine() not in PIVOT_ROOT:
        return False
    with tempfile.TemporaryDirectory(prefix="kata-", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "scratch").mkdir()
        command = [sys.executable, "-I", "-S", "-c", TRY, str(Path(__file__).parents[2]), f"{folder}/scratch"]
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRY_SECONDS)
            return done.returncode == 0
    return False


def try_out() -> None:
    """Enter namespaces around the folder that the command line names, and leave a file there."""
    os.chdir(sys.argv[2])
    enter([Path(sys.base_prefix)], [Path(sys.argv[2])], loopback=True)
    Path("is here").touch()
    os._exit(int(os.getpid() != 2 or SHARED.is_mount() is False or Path("/etc/passwd").exists()))


def enter(readable: Iterable[Path], writable: Iterable[Path], *, loopback: bool) -> None:
    """Go on in a child process that sees only these paths, its own processes, and a /dev/shm of its own.

    This process waits for the child, and ends as it did. The child's processes end with it.

    Args:
        writable: these paths, too; an empty folder is made beside the first one.
        loopback: the loopback address answers in its network, where no other address is.
    Raises:
        OSError: the system does not allow it.
    """
    readable, writable, here = [*readable], [*writable], os.getcwd()
    _unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID)
    ours, theirs = os.pipe()
    first = os.fork()
    if first:
        os.close(theirs)
        _end_as_told(ours, first)
    os.close(ours)
    processes.die_with_parent()
    if loopback:
        _loopback_up()
    _change_root([*readable, *writable], writable[0])
    second = os.fork()
    if second:
        _be_first_process(second, theirs)
    os.close(theirs)
    processes.die_with_parent()
    os.setsid()
    os.chdir(here)


def _unshare(spaces: int) -> None:
    """Enter new namespaces, if need be as the only user of a new user namespace."""
    user, group = os.getuid(), os.getgid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(spaces) == 0:
        return
    if unshare(CLONE_NEWUSER | spaces) != 0:
        raise OSError(ctypes.get_errno(), "no new namespaces")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", name).write_text(text)


def _end_as_told(pipe: int, child: int) -> NoReturn:
    """Wait until the namespaces' first process says how the worker ended, and end in the same way."""
    told = os.read(pipe, 4)
    os.waitpid(child, 0)
    code = struct.unpack("i", told)[0] if told else -signal.SIGKILL
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError, ValueError):  # SIGKILL has one way only
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _be_first_process(worker: int, pipe: int) -> NoReturn:
    """Reap what ends, until that is the worker. With its first process, the system ends all others of a namespace."""
    processes.hide()
    while True:
        ended, status = os.wait()
        if ended == worker:
            os.write(pipe, struct.pack("i", os.waitstatus_to_exitcode(status)))
            os._exit(0)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def _change_root(paths: Iterable[Path], scratch: Path) -> None:
    """Make a root folder in memory, with these paths where they were, and detach the machine's."""
    _mount(None, Path("/"), None, MS_REC | MS_PRIVATE)
    root = scratch.with_name(f"{scratch.name}.root")
    root.mkdir(exist_ok=True)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    shown: list[Path] = []
    for path in sorted(paths, key=lambda path: len(path.parts)):  # a folder before what is in it
        if path != SHARED and not path.is_relative_to(PROC):
            _show(path, root, shown)
    _within(root, SHARED).mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", _within(root, SHARED), "tmpfs", MS_NOSUID | MS_NODEV, f"size={SHARED_BYTES}")
    _within(root, PROC).mkdir()
    try:
        _mount("proc", _within(root, PROC), "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:  # in a container that hides parts of /proc; Landlock then keeps the processes in it closed
        if not landlock.version():
            raise
        _mount(str(PROC), _within(root, PROC), None, MS_BIND | MS_REC)
    os.chdir(root)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(PIVOT_ROOT[platform.machine()]), b".", b".") != 0 or libc.umount2(b".", MNT_DETACH):
        raise OSError(ctypes.get_errno(), "the root folder cannot be changed")
    os.chdir("/")


def _show(path: Path, root: Path, shown: list[Path]) -> None:
    """Bring a path into the new root, with the links that it leads over. A missing one is skipped."""
    if not os.path.exists(path):
        return
    for part in [*reversed(path.parents), path]:
        if os.path.islink(part):
            if not _is_below(part.parent, shown) and not _within(root, part).is_symlink():
                _within(root, part.parent).mkdir(parents=True, exist_ok=True)
                _within(root, part).symlink_to(part.readlink())
            target = Path(os.path.normpath(part.parent / part.readlink() / path.relative_to(part)))
            return _show(target, root, shown)
    if not _is_below(path, shown):
        place = _within(root, path)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        _mount(str(path), place, None, MS_BIND | MS_REC)
        shown.append(path)


def _is_below(path: Path, shown: Iterable[Path]) -> bool:
    return any(path.is_relative_to(one) for one in shown)


def _within(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _mount(source: str | None, target: Path, kind: str | None, flags: int, options: str = "") -> None:
    given = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if ctypes.CDLL(None, use_errno=True).mount(*given, ctypes.c_ulong(flags), options.encode() or None) != 0:
        raise OSError(ctypes.get_errno(), f"cannot be mounted: {os.strerror(ctypes.get_errno())}", str(target))
