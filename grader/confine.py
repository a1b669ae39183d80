"""What code under test may use: so much memory, file size and open files; no processes, no network, no files but its own."""

import ctypes
import os
import platform
import signal
import socket
import struct
import sys
from pathlib import Path

from grader import landlock

try:
    import fcntl
    import resource
except ImportError:  # Windows has no such limits
    resource = None

CLONE_THREAD = 0x00010000
X32 = 0x40000000  # the bit that x86-64 sets in the numbers of its second, 32-bit set of calls
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
# The numbers of clone, clone3 and socket; of fork and vfork, which aarch64 lacks; and of the calls refused to every kata: execve,
# execveat, ptrace, process_vm_readv, process_vm_writev.
SYSTEM_CALLS = {
    "x86_64": (56, 435, 41, (57, 58), (59, 322, 101, 310, 311)),
    "aarch64": (220, 435, 198, (), (221, 281, 117, 270, 271)),
}
# The kinds of socket that a need allows: a Unix one, with which processes hand each other tensors; the two of the Internet, and
# netlink, which lists the network's interfaces.
SOCKETS = {"processes": (1,), "loopback": (2, 10, 16)}
CPU_SECONDS = 900  # of one process, far beyond what any kata's specs may take
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 22, 38, 36


def limit(memory: int, file_size: int, open_files: int, needs: frozenset[str] = frozenset()) -> None:
    """Bound this process for good: `memory` bytes of address space beyond what it has now, files of at most `file_size` bytes,
    CPU_SECONDS of computing, no core dumps; no sockets and no new processes but as the kata `needs` them (see `catalogue.needs`).
    With a CUDA device the address space stays unbounded: CUDA would not start."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    if sys.platform == "linux" and not os.path.exists("/dev/nvidiactl"):
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    if not _refuse_system_calls(needs) and "processes" not in needs:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def shut_in(scratch: Path, specs: Path, needs: frozenset[str] = frozenset()) -> None:
    """Leave only these files: the scratch folder to write to; Python, its packages, the grader and the kata's specs to read.

    The reference solutions, other katas, other submissions and the user's own files are out of reach. Where the kata `needs`
    processes, they may share memory, which Linux keeps in /dev/shm.
    """
    packages = [Path(p) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    python = [Path(sys.prefix, "lib"), Path(sys.base_prefix, "lib"), Path(sys.base_prefix, "lib64"), *packages]
    system = [Path(p) for p in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache",
                                "/etc/localtime", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system",
                                "/dev/urandom")]  # fmt: skip
    devices = [Path("/dev")] if os.path.exists("/dev/nvidiactl") else [Path("/dev/null"), Path("/dev/zero")]
    system += [Path("/proc"), Path("/sys")] if os.path.exists("/dev/nvidiactl") else []
    system += [Path("/sys/bus/pci/devices"), Path("/sys/devices")] if "loopback" in needs else []  # which gloo lists
    devices += [Path("/dev/shm")] if "processes" in needs else []
    readable = [*python, *system, Path(__file__).parent, specs.parent]
    landlock.restrict(readable, [scratch, *devices], tcp="loopback" in needs)


def own_network() -> bool:
    """Move this process into a network of its own in which only the loopback address answers; False where the system does not
    let it, and it stays in the machine's."""
    if sys.platform != "linux":
        return False
    user, group = os.getuid(), os.getgid()
    if _libc().unshare(CLONE_NEWNET) != 0:
        if _libc().unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            return False
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path("/proc/self", name).write_text(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    return True


def what_is_open() -> list[str]:
    """What this machine cannot keep from code under test, a phrase each; nothing on a current Linux."""
    found = []
    if sys.platform != "linux" or platform.machine() not in SYSTEM_CALLS:
        found.append("it may use the network")
    if landlock.version() == 0:
        found.append("it may read and write files of the user who runs the grader")
    return found


def die_with_parent() -> None:
    """Linux kills this process when the forkserver it came from ends."""
    if sys.platform == "linux":
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Processes that lose their parent become children of this one, which can then end them (`reap`)."""
    if sys.platform == "linux":
        _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _refuse_system_calls(needs: frozenset[str]) -> bool:
    """Install a seccomp filter under which new processes, programs and sockets fail with EPERM, but for those that the kata
    `needs`, and threads still start; False if there is none.

    clone3 hides its flags behind a pointer, so it answers ENOSYS and the C library falls back to clone.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in SYSTEM_CALLS:
        return False
    clone, clone3, socket_, forks, refused = SYSTEM_CALLS[machine]
    load, jump_equal, jump_set, answer = 0x20, 0x15, 0x45, 0x06
    program = [(load, 0, 0, 4), (jump_equal, 1, 0, AUDIT_ARCH[machine]), (answer, 0, 0, EPERM), (load, 0, 0, 0)]
    program += [(jump_set, 0, 1, X32), (answer, 0, 0, EPERM)]
    for number in refused if "processes" in needs else forks + refused:
        program += [(jump_equal, 0, 1, number), (answer, 0, 0, EPERM)]
    if "processes" not in needs:
        program += [(jump_equal, 0, 1, clone3), (answer, 0, 0, ENOSYS)]
        program += [(jump_equal, 0, 4, clone), (load, 0, 0, 16), (jump_set, 1, 0, CLONE_THREAD), (answer, 0, 0, EPERM)]
        program += [(answer, 0, 0, ALLOW)]
    kinds = [kind for need in sorted(needs) for kind in SOCKETS[need]]
    allowed = [step for kind in kinds for step in ((jump_equal, 0, 1, kind), (answer, 0, 0, ALLOW))]
    program += [(jump_equal, 0, len(allowed) + 2, socket_), (load, 0, 0, 16), *allowed, (answer, 0, 0, EPERM)]
    program += [(answer, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = _libc()
    return libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0) == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
