"""The sandbox of a worker: resource limits, no network, no new processes, no access to other files."""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from grader.isolation import landlock, limits, seccomp
from grader.isolation.limits import Limits

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

GRADER = Path(__file__).parents[1]
SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system",
    "/dev/urandom",
)
SCOPED_SIGNALS = 6  # the Landlock version from which on it keeps signals within the sandbox
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 1 << 14, 1 << 18
SHARED_BYTES = 256 << 20  # in /dev/shm
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def enter(
    scratch: Path, specs: Path | None, needs: frozenset[str], bounds: Limits, *, shared: Path | None = None
) -> None:
    """Confine this process for the rest of its life, with the mechanisms that the system has.

    Args:
        scratch: a folder to which the process may write.
        specs: the kata's spec file. The process may read the folder of this file, and the grader's code. None: neither.
        needs: extra permissions of the kata's specs (see `course.description.NEEDS`).
        bounds: the resource limits.
        shared: a folder to which the process may write, too.
    """
    if "loopback" in needs:
        _own_network()
    if "processes" in needs:
        _own_shared_memory()
    landlock.restrict(
        _readable(specs, needs), [scratch, *([shared] if shared else []), *_devices(needs)], tcp="loopback" in needs
    )
    limits.apply(bounds)
    signals = landlock.version() < SCOPED_SIGNALS
    if not seccomp.restrict(needs, signals=signals) and "processes" not in needs:
        limits.forbid_processes()


def gaps() -> list[str]:
    """Permissions that this machine cannot take from code under test, one phrase each. Empty on a current Linux."""
    found = []
    if not seccomp.is_known():
        found.append("it may use the network")
    if landlock.version() == 0:
        found.append("it may read and write files of the user who runs the grader")
    return found


def _readable(specs: Path | None, needs: frozenset[str]) -> list[Path]:
    """Python, its packages, the grader, the kata's specs and what its track gives.

    The solutions, other katas, other submissions and the user's own files are not readable.
    """
    packages = [Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    python = [Path(sys.prefix, "lib"), Path(sys.base_prefix, "lib"), Path(sys.base_prefix, "lib64")]
    system = [Path(path) for path in SYSTEM]
    system += [Path("/proc"), Path("/sys")] if seccomp.NVIDIA.exists() else []
    system += [Path("/sys/bus/pci/devices"), Path("/sys/devices")] if "loopback" in needs else []  # listed by gloo
    if specs:
        system += [GRADER, specs.parent, *specs.parent.parent.glob("*.py")]  # what a track that is a package gives
    return [*python, *packages, *system, GRADER / "data"]


def _devices(needs: frozenset[str]) -> list[Path]:
    """Device files, and /dev/shm for processes that share memory."""
    devices = [Path("/dev")] if seccomp.NVIDIA.exists() else [Path("/dev/null"), Path("/dev/zero")]
    return devices + ([Path("/dev/shm")] if "processes" in needs else [])


def _own_network() -> None:
    """Move this process into a network namespace of its own, which has only the loopback address.

    Where the system does not allow new namespaces, the process stays in the machine's network.
    """

    def set_up() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))

    _move_into(CLONE_NEWNET, set_up)


def _own_shared_memory() -> None:
    """Give this process a /dev/shm of its own, which has a size and goes with the process.

    Where the system does not allow new namespaces, the runner removes what it sees there (see `shared_memory`).
    """

    def set_up() -> None:
        mount = ctypes.CDLL(None, use_errno=True).mount
        options = f"size={SHARED_BYTES}".encode()
        if mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
            raise OSError("mounts cannot be made private")
        if mount(b"tmpfs", b"/dev/shm", b"tmpfs", MS_NOSUID | MS_NODEV, options) != 0:
            raise OSError("/dev/shm cannot be mounted")

    _move_into(CLONE_NEWNS, set_up)


def _move_into(namespace: int, set_up: Callable[[], None]) -> None:
    """Move this process into a namespace of its own, and set that up. Nothing happens if a forked process cannot.

    Some systems let a process into a new namespace and then deny it the rights there.
    """
    if sys.platform != "linux":
        return
    pid = os.fork()
    if pid == 0:
        try:
            _unshare(namespace)
            set_up()
        except BaseException:
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        _unshare(namespace)
        set_up()


def _unshare(namespace: int) -> None:
    """Enter a new namespace, if need be as the only user of a new user namespace."""
    user, group = os.getuid(), os.getgid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(namespace) == 0:
        return
    if unshare(CLONE_NEWUSER | namespace) != 0:
        raise OSError("no new namespace")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", name).write_text(text)
