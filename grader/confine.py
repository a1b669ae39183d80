"""What code under test may use: so much memory, file size and open files; no processes, no network, no files but its own."""

import ctypes
import os
import platform
import signal
import struct
import sys
from pathlib import Path

from grader import landlock

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

CLONE_THREAD = 0x00010000
X32 = 0x40000000  # the bit that x86-64 sets in the numbers of its second, 32-bit set of calls
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
# The numbers of clone and clone3, and of the calls refused outright: fork, vfork (which aarch64 lacks), execve, execveat,
# socket, ptrace, process_vm_readv, process_vm_writev.
SYSTEM_CALLS = {
    "x86_64": (56, 435, (57, 58, 59, 322, 41, 101, 310, 311)),
    "aarch64": (220, 435, (221, 281, 198, 117, 270, 271)),
}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 22, 38, 36


def limit(memory: int, file_size: int, open_files: int) -> None:
    """Bound this process for good: `memory` bytes of address space beyond what it has now, files of at most `file_size`
    bytes, no core dumps, no new processes. With a CUDA device the address space stays unbounded: CUDA would not start."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    if sys.platform == "linux" and not os.path.exists("/dev/nvidiactl"):
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    if not _refuse_system_calls():
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def shut_in(scratch: Path, specs: Path) -> None:
    """Leave only these files: the scratch folder to write to; Python, its packages, the grader and the kata's specs to read.

    The reference solutions, other katas, other submissions and the user's own files are out of reach.
    """
    packages = [Path(p) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    python = [Path(sys.prefix, "lib"), Path(sys.base_prefix, "lib"), Path(sys.base_prefix, "lib64"), *packages]
    system = [Path(p) for p in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache",
                                "/etc/localtime", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system",
                                "/dev/urandom")]  # fmt: skip
    devices = [Path("/dev")] if os.path.exists("/dev/nvidiactl") else [Path("/dev/null"), Path("/dev/zero")]
    system += [Path("/proc"), Path("/sys")] if os.path.exists("/dev/nvidiactl") else []
    landlock.restrict([*python, *system, Path(__file__).parent, specs.parent], [scratch, *devices])


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


def _refuse_system_calls() -> bool:
    """Install a seccomp filter under which new processes, programs and sockets fail with EPERM and threads still start; False
    if there is none.

    clone3 hides its flags behind a pointer, so it answers ENOSYS and the C library falls back to clone.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in SYSTEM_CALLS:
        return False
    clone, clone3, refused = SYSTEM_CALLS[machine]
    load, jump_equal, jump_set, answer = 0x20, 0x15, 0x45, 0x06
    program = [(load, 0, 0, 4), (jump_equal, 1, 0, AUDIT_ARCH[machine]), (answer, 0, 0, EPERM), (load, 0, 0, 0)]
    program += [(jump_set, 0, 1, X32), (answer, 0, 0, EPERM)]
    for number in refused:
        program += [(jump_equal, 0, 1, number), (answer, 0, 0, EPERM)]
    program += [(jump_equal, 0, 1, clone3), (answer, 0, 0, ENOSYS)]
    program += [(jump_equal, 0, 3, clone), (load, 0, 0, 16), (jump_set, 1, 0, CLONE_THREAD), (answer, 0, 0, EPERM)]
    program += [(answer, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = _libc()
    return libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0) == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
