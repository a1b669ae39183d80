"""Linux namespaces of a process's own: what is mounted, the network, shared memory, and which processes there are.

Of the machine's files, those are there that the process may read, and nothing of them can be changed. Its folder is in
memory. Sockets of the machine, whether a path or an abstract name leads to them, do not exist there.
"""

import ctypes
import errno
import os
import platform
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

from grader.isolation import landlock, users
from grader.isolation import processes as process_trees
from grader.isolation.rights import PLAIN

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None  # type: ignore[assignment]

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
CLONE_NEWUTS, CLONE_NEWIPC = 0x04000000, 0x08000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 1 << 12, 1 << 14, 1 << 18
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_SETATTR, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 442, 1, 2, 4
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
DEVICES, SHARED, PROC = Path("/dev"), Path("/dev/shm"), Path("/proc")
TRY_SECONDS = 30.0
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
    """Enter namespaces of both kinds around the folder that the command line names. A file there is copied into them.

    Exits with 0 if all is as it should be: a file of the machine cannot be changed, and others are not there.
    """
    scratch = Path(sys.argv[2])
    os.chdir(scratch)
    Path("code").touch()
    child = os.fork()
    if child and os.waitpid(child, 0)[1] != 0:
        os._exit(1)
    user = users.drawn()
    enter([Path(sys.base_prefix), Path("/proc/self")], scratch, [], user=user, processes=child != 0, loopback=True)
    users.become(user)
    Path("is here").touch()
    try:
        os.chmod(os.__file__, stat.S_IMODE(os.stat(os.__file__).st_mode))  # no change, even where it is allowed
        is_closed = False
    except OSError as error:
        is_closed = error.errno == errno.EROFS
    if child:
        is_closed = is_closed and os.getpid() == 2 and SHARED.is_mount()
    os._exit(int(not is_closed or Path("/etc/passwd").exists() or not Path("code").exists()))


def enter(
    readable: Iterable[Path],
    scratch: Path | None,
    writable: Iterable[Path],
    *,
    user: int,
    processes: bool,
    loopback: bool,
) -> None:
    """See only these paths from now on. What is readable cannot be changed, neither can its mode, owner or time.

    Args:
        scratch: a folder that is copied into memory. What is written there goes with the last process.
        writable: folders that other processes see, too, and devices.
        user: the owner of the copy.
        processes: go on in a child process, which sees its own processes alone and has a /dev/shm of its own. This
            process waits for the child, and ends as it did. The child's processes end with it.
        loopback: the loopback address answers in its network, where no other address is.
    Raises:
        OSError: the system does not allow it.
    """
    readable, writable, here = [*readable], [*writable], os.getcwd()
    _unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | (CLONE_NEWPID if processes else 0))
    if loopback:
        _loopback_up()
    if processes:
        _go_on_in_a_child(lambda: _change_root(readable, scratch, writable, user, fresh=True))
    else:
        _change_root(readable, scratch, writable, user, fresh=False)
    os.chdir(here)


def _go_on_in_a_child(change_root: Callable[[], None]) -> None:
    """Go on as the second process of a namespace of processes. This one waits for it."""
    ours, theirs = os.pipe()
    first = os.fork()
    if first:
        os.close(theirs)
        _end_as_told(ours, first)
    os.close(ours)
    process_trees.die_with_parent()
    change_root()
    second = os.fork()
    if second:
        _be_first_process(second, theirs)
    os.close(theirs)
    process_trees.die_with_parent()
    os.setsid()


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
    process_trees.hide()
    while True:
        ended, status = os.wait()
        if ended == worker:
            os.write(pipe, struct.pack("i", os.waitstatus_to_exitcode(status)))
            os._exit(0)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def root_of(folder: Path) -> Path:
    """Where a process with this folder makes its root folder. Nobody else sees what is in it."""
    return folder.with_name(f"{folder.name}.root")


def _change_root(readable: list[Path], scratch: Path | None, writable: list[Path], user: int, *, fresh: bool) -> None:
    """Make a root folder in memory, with these paths where they were, and detach the machine's.

    Everybody may go through the folders above a path, whatever holds for those of the machine.

    Args:
        fresh: with a /proc and a /dev/shm of its own. Otherwise those paths in /proc are there that are readable.
    """
    os.umask(0o022)
    _mount(None, Path("/"), None, MS_REC | MS_PRIVATE)
    root = root_of(scratch or writable[0])
    root.mkdir(exist_ok=True)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    shown: list[Path] = []
    for path in sorted([*readable, *writable], key=lambda path: len(path.parts)):  # a folder before what is in it
        if path != SHARED and not (fresh and path.is_relative_to(PROC)):
            _show(path, root, shown, changes=path in writable)
    if scratch:
        _copy(scratch, _within(root, scratch), user)
    if fresh:
        _own_memory_and_processes(root)
    _restrict(root, recursive=False)
    os.chdir(root)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(PIVOT_ROOT[platform.machine()]), b".", b".") != 0 or libc.umount2(b".", MNT_DETACH):
        raise OSError(ctypes.get_errno(), "the root folder cannot be changed")
    os.chdir("/")


def _copy(folder: Path, place: Path, user: int) -> None:
    """Copy a folder into memory, for this user."""
    place.mkdir(parents=True, exist_ok=True)
    size = f"size={PLAIN.scratch_bytes},nr_inodes={PLAIN.scratch_files},mode=700"
    _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, size)
    shutil.copytree(folder, place, dirs_exist_ok=True)
    for path in (place, *place.rglob("*")):
        os.chown(path, user, -1)


def _own_memory_and_processes(root: Path) -> None:
    """Mount a /dev/shm and a /proc of this process's own."""
    _within(root, SHARED).mkdir(parents=True, exist_ok=True)
    _mount("tmpfs", _within(root, SHARED), "tmpfs", MS_NOSUID | MS_NODEV, f"size={PLAIN.scratch_bytes}")
    _within(root, PROC).mkdir()
    try:
        _mount("proc", _within(root, PROC), "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:  # in a container that hides parts of /proc; Landlock then keeps the processes in it closed
        if not landlock.version():
            raise
        _mount(str(PROC), _within(root, PROC), None, MS_BIND | MS_REC)
        _restrict(_within(root, PROC))


def _restrict(place: Path, *, changes: bool = False, devices: bool = False, recursive: bool = True) -> None:
    """Take rights from a mount and those in it: set-user-id bits have no effect there, and devices are none.

    Args:
        changes: leave what is there open to changes.
        devices: leave the devices as they are. Who may write to one may still do so.
    """
    attributes = MOUNT_ATTR_NOSUID | (0 if changes else MOUNT_ATTR_RDONLY) | (0 if devices else MOUNT_ATTR_NODEV)
    given = struct.pack("QQQQ", attributes, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    called = [ctypes.c_long(MOUNT_SETATTR), ctypes.c_int(AT_FDCWD), os.fsencode(place), ctypes.c_uint(flags), given]
    if ctypes.CDLL(None, use_errno=True).syscall(*called, ctypes.c_size_t(len(given))) != 0:
        raise OSError(ctypes.get_errno(), f"cannot be restricted: {os.strerror(ctypes.get_errno())}", str(place))


def _show(path: Path, root: Path, shown: list[Path], *, changes: bool) -> None:
    """Bring a path into the new root, with the links that it leads over. A missing one is skipped.

    Args:
        changes: files and folders in it may be changed.
    """
    if not os.path.exists(path):
        return
    for part in [*reversed(path.parents), path]:
        if os.path.islink(part):
            if not _is_below(part.parent, shown) and not _within(root, part).is_symlink():
                _within(root, part.parent).mkdir(parents=True, exist_ok=True)
                _within(root, part).symlink_to(part.readlink())
            target = Path(os.path.normpath(part.parent / part.readlink() / path.relative_to(part)))
            return _show(target, root, shown, changes=changes)
    if not _is_below(path, shown):
        place = _within(root, path)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        devices = path.is_relative_to(DEVICES)
        _mount(str(path), place, None, MS_BIND | MS_REC)
        _restrict(place, changes=changes and not devices, devices=devices)
        shown.append(path)


def _is_below(path: Path, shown: Iterable[Path]) -> bool:
    return any(path.is_relative_to(one) for one in shown)


def _within(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _mount(source: str | None, target: Path, kind: str | None, flags: int, options: str = "") -> None:
    given = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if ctypes.CDLL(None, use_errno=True).mount(*given, ctypes.c_ulong(flags), options.encode() or None) != 0:
        raise OSError(ctypes.get_errno(), f"cannot be mounted: {os.strerror(ctypes.get_errno())}", str(target))
