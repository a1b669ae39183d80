"""Linux namespaces of a process's own: what is mounted, the network, shared memory, and
which processes there are.

Of the machine's files, those are there that the process may read, and nothing of them
can be changed. Its folders are in memory. Sockets of the machine, whether a path or an
abstract name leads to them, do not exist there.
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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

from grader.isolation import landlock, linux, users
from grader.isolation import processes as process_trees
from grader.isolation.rights import PLAIN

try:
    import fcntl
    import resource
except ImportError:  # Windows
    fcntl = resource = None  # type: ignore[assignment]

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000,
    0x10000000,
    0x20000000,
    0x40000000,
)
CLONE_NEWUTS, CLONE_NEWIPC = 0x04000000, 0x08000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = (
    1,
    2,
    4,
    8,
    1 << 12,
    1 << 14,
    1 << 18,
)
MNT_DETACH = 2
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_SETATTR, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 442, 1, 2, 4
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
OPEN_TREE, OPEN_TREE_CLONE, MOVE_MOUNT, MOVE_MOUNT_F_EMPTY_PATH = 428, 1, 429, 4
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# bytes per socket: the least, at first, and the most
TCP_BUFFERS = "4096 131072 262144"
DEVICES, SHM, PROC = Path("/dev"), Path("/dev/shm"), Path("/proc")
# by the clock: a busy machine must not pass for one without namespaces
TRY_SECONDS = 300.0
TRY = (
    "import sys; sys.path.insert(0, sys.argv[1]); from grader.isolation import "
    "namespaces; namespaces.try_out()"
)


@cache
def are_allowed() -> bool:
    """Tell if this machine lets a process into namespaces of its own: a throwaway
    process tries it.

    Some systems let a process in and then deny it the rights there.
    """
    if sys.platform != "linux" or platform.machine() not in PIVOT_ROOT:
        return False
    with tempfile.TemporaryDirectory(
        prefix="kata-", ignore_cleanup_errors=True
    ) as folder:
        (Path(folder) / "scratch").mkdir()
        command = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            TRY,
            str(Path(__file__).parents[2]),
            f"{folder}/scratch",
        ]
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TRY_SECONDS,
            )
            return done.returncode == 0
    return False


def try_out() -> None:
    """Enter namespaces of both kinds around the folder that the command line names. A
    file there is copied into them.

    Exits with 0 if all is as it should be: a file of the machine cannot be changed,
    others are not there, and what one process writes to a folder that both share, the
    other one reads.
    """
    linux.only()
    scratch = Path(sys.argv[2])
    Path(scratch, "code").touch()
    shared = scratch.with_name("shared")
    shared.mkdir()
    os.chdir(shared)
    user, (ours, theirs) = users.drawn(), socket.socketpair()
    readable = [Path(sys.base_prefix), Path(__file__).parent, Path("/proc/self")]
    child = os.fork()
    if child:
        if os.waitpid(child, 0)[1] != 0:
            os._exit(1)
        enter(
            View(readable, [], user, None, shared, ours.fileno()),
            processes=True,
            loopback=True,
        )
        is_closed = os.getpid() == 2 and SHM.is_mount() and Path("shared").exists()
    else:
        enter(
            View(readable, [], user, scratch, shared, theirs.fileno()),
            processes=False,
            loopback=True,
        )
        is_closed = Path(scratch, "code").exists()
    users.become(user)
    Path("shared").touch()
    # some file systems keep other users out, whatever rights they have
    Path(__file__).read_bytes()
    try:
        # no change, even where it is allowed
        os.chmod(os.__file__, stat.S_IMODE(os.stat(os.__file__).st_mode))
        is_closed = False
    except OSError as error:
        is_closed = is_closed and error.errno == errno.EROFS
    os._exit(int(not is_closed or Path("/etc/passwd").exists()))


@dataclass(frozen=True)
class View:
    """What a process sees in namespaces of its own. What is readable cannot be changed,
    neither can its mode or time.

    Args:
        devices: device files, which may be written to.
        user: the owner of its folders.
        scratch: a folder that is copied into memory. What is written there goes with
            the last process.
        shared: a folder in memory that this and another process have.
        pipe: a socket to that process. The one with a scratch folder makes what is
            shared, and gives it to the other.
    """

    readable: list[Path]
    devices: list[Path]
    user: int
    scratch: Path | None
    shared: Path | None = None
    pipe: int = -1


def enter(view: View, *, processes: bool, loopback: bool) -> None:
    """See only these paths from now on.

    Args:
        processes: go on in a child process, which sees its own processes alone and has
            a /dev/shm of its own. This process waits for the child, and ends as it did.
            The child's processes end with it.
        loopback: the loopback address answers in its network, where no other
            address is.
    Raises:
        OSError: the system does not allow it.
    """
    here = os.getcwd()
    _unshare(
        CLONE_NEWNS
        | CLONE_NEWNET
        | CLONE_NEWIPC
        | CLONE_NEWUTS
        | (CLONE_NEWPID if processes else 0)
    )
    if loopback:
        _loopback_up()
    if processes:
        _go_on_in_a_child(lambda: _change_root(view, fresh=True))
    else:
        _change_root(view, fresh=False)
    os.chdir(here)


def _go_on_in_a_child(change_root: Callable[[], None]) -> None:
    """Go on as the second process of a namespace of processes. This one waits
    for it.
    """
    linux.only()
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
    linux.only()
    user, group = os.getuid(), os.getgid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(spaces) == 0:
        return
    if unshare(CLONE_NEWUSER | spaces) != 0:
        raise OSError(ctypes.get_errno(), "no new namespaces")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        Path("/proc/self", name).write_text(text, "utf-8")


def _end_as_told(pipe: int, child: int) -> NoReturn:
    """Wait until the namespaces' first process says how the worker ended, and end in
    the same way.
    """
    linux.only()
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
    """Reap what ends, until that is the worker. With its first process, the system ends
    all others of a namespace.
    """
    linux.only()
    process_trees.hide()
    while True:
        ended, status = os.wait()
        if ended == worker:
            os.write(pipe, struct.pack("i", os.waitstatus_to_exitcode(status)))
            os._exit(0)


def _loopback_up() -> None:
    linux.only()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    for name in ("tcp_rmem", "tcp_wmem"):
        with suppress(OSError):  # a container may have them read-only
            Path("/proc/sys/net/ipv4", name).write_text(TCP_BUFFERS, "utf-8")


def root_of(folder: Path) -> Path:
    """Where a process with this folder makes its root folder. Nobody else sees what is
    in it.
    """
    return folder.with_name(f"{folder.name}.root")


def _change_root(view: View, *, fresh: bool) -> None:
    """Make a root folder in memory, with these paths where they were, and detach
    the machine's.

    Everybody may go through the folders above a path, whatever holds for those of
    the machine.

    Args:
        fresh: with a /proc and a /dev/shm of its own. Otherwise those paths in /proc
            are there that are readable.
    """
    os.umask(0o022)
    _mount(None, Path("/"), None, MS_REC | MS_PRIVATE)
    own = view.scratch or view.shared
    assert own
    root = root_of(own)
    root.mkdir(exist_ok=True)
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    shown: set[Path] = set()
    paths = sorted([*view.readable, *view.devices], key=lambda path: len(path.parts))
    for path in paths:  # a folder before what is in it
        if path != SHM and not (fresh and path.is_relative_to(PROC)):
            _show(path, root, shown)
    if view.scratch:
        _copy(view.scratch, _within(root, view.scratch), view.user)
    if view.shared:
        _share(_within(root, view.shared), view)
    if fresh:
        _own_memory_and_processes(root)
    _restrict(root, recursive=False)
    os.chdir(root)
    _called(PIVOT_ROOT[platform.machine()], b".", b".")
    if ctypes.CDLL(None, use_errno=True).umount2(b".", MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), "the root folder cannot be changed")
    os.chdir("/")


def _copy(folder: Path, place: Path, user: int) -> None:
    """Copy a folder into memory, for this user."""
    linux.only()
    _memory(place, user)
    shutil.copytree(folder, place, dirs_exist_ok=True)
    for path in (place, *place.rglob("*")):
        os.chown(path, user, -1)


def _share(place: Path, view: View) -> None:
    """Make a folder in memory and give it to the other process, or take it
    from there.
    """
    linux.only()
    with socket.socket(fileno=os.dup(view.pipe)) as pipe:
        if view.scratch:
            _memory(place, view.user)
            given = _called(
                OPEN_TREE, AT_FDCWD, os.fsencode(place), OPEN_TREE_CLONE | os.O_CLOEXEC
            )
            socket.send_fds(pipe, [b"-"], [given])
        else:
            place.mkdir(parents=True, exist_ok=True)
            _, [given], _, _ = socket.recv_fds(pipe, 1, 1)
            _called(
                MOVE_MOUNT,
                given,
                b"",
                AT_FDCWD,
                os.fsencode(place),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        os.close(given)


def _memory(place: Path, user: int) -> None:
    """Mount an empty folder in memory, as large as a job's may be."""
    place.mkdir(parents=True, exist_ok=True)
    size = (
        f"size={PLAIN.scratch_bytes},nr_inodes={PLAIN.scratch_files},mode=700,"
        f"uid={user}"
    )
    _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, size)


def _own_memory_and_processes(root: Path) -> None:
    """Mount a /dev/shm and a /proc of this process's own."""
    _within(root, SHM).mkdir(parents=True, exist_ok=True)
    _mount(
        "tmpfs",
        _within(root, SHM),
        "tmpfs",
        MS_NOSUID | MS_NODEV,
        f"size={PLAIN.scratch_bytes}",
    )
    _within(root, PROC).mkdir()
    try:
        _mount(
            "proc",
            _within(root, PROC),
            "proc",
            MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
        )
    except OSError:
        # in a container that hides parts of /proc; Landlock then keeps the processes in
        # it closed
        if not landlock.version():
            raise
        _mount(str(PROC), _within(root, PROC), None, MS_BIND | MS_REC)
        _restrict(_within(root, PROC))


def _restrict(place: Path, *, devices: bool = False, recursive: bool = True) -> None:
    """Take rights from a mount and those in it: no changes, no effect of set-user-id
    bits, no devices.

    Args:
        devices: leave the devices as they are. Who may write to one may still do so.
    """
    attributes = (
        MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY | (0 if devices else MOUNT_ATTR_NODEV)
    )
    given = struct.pack("QQQQ", attributes, 0, 0, 0)
    _called(
        MOUNT_SETATTR,
        AT_FDCWD,
        os.fsencode(place),
        AT_RECURSIVE if recursive else 0,
        given,
        len(given),
    )


def _show(path: Path, root: Path, shown: set[Path]) -> None:
    """Bring a path into the new root, with the links that it leads over. A missing one
    is skipped.
    """
    if not os.path.exists(path):
        return
    for part in [*reversed(path.parents), path]:
        if os.path.islink(part):
            if (
                not _is_below(part.parent, shown)
                and not _within(root, part).is_symlink()
            ):
                _within(root, part.parent).mkdir(parents=True, exist_ok=True)
                _within(root, part).symlink_to(part.readlink())
            target = Path(
                os.path.normpath(part.parent / part.readlink() / path.relative_to(part))
            )
            return _show(target, root, shown)
    if not _is_below(path, shown):
        place = _within(root, path)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        _mount(str(path), place, None, MS_BIND | MS_REC)
        _restrict(place, devices=path.is_relative_to(DEVICES))
        shown.add(path)


def _is_below(path: Path, shown: set[Path]) -> bool:
    return not shown.isdisjoint((path, *path.parents))


def _within(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _mount(
    source: str | None, target: Path, kind: str | None, flags: int, options: str = ""
) -> None:
    given = [
        None if text is None else os.fsencode(text) for text in (source, target, kind)
    ]
    if (
        ctypes.CDLL(None, use_errno=True).mount(
            *given, ctypes.c_ulong(flags), options.encode() or None
        )
        != 0
    ):
        raise OSError(
            ctypes.get_errno(),
            f"cannot be mounted: {os.strerror(ctypes.get_errno())}",
            str(target),
        )


def _called(number: int, *arguments: int | bytes) -> int:
    """The answer of a system call."""
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.syscall(
        ctypes.c_long(number),
        *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments],
    )
    if answer < 0:
        raise OSError(
            ctypes.get_errno(),
            f"system call {number}: {os.strerror(ctypes.get_errno())}",
        )
    return answer
