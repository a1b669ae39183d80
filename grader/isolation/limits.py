"""Resource limits for code under test: memory, file size, open files, CPU time. On
Linux alone.
"""

import sys
from contextlib import suppress
from pathlib import Path

from grader.isolation import linux
from grader.isolation.rights import Rights

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# bytes of memory for a job and for its files, which are in memory where namespaces
# are allowed
ROOM = 512 << 20
AVAILABLE, OF_A_GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


def apply(rights: Rights) -> None:
    """Apply the limits to this process for the rest of its life, and disable
    core dumps.
    """
    linux.only()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (rights.computing, rights.computing))
    resource.setrlimit(resource.RLIMIT_FSIZE, (rights.file_size, rights.file_size))
    resource.setrlimit(resource.RLIMIT_NOFILE, (rights.open_files, rights.open_files))
    with open("/proc/self/statm", encoding="utf-8") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + rights.memory, used + rights.memory))


def most_at_a_time() -> int:
    """The number of jobs that this machine's memory has room for: at least one."""
    return max(1, free_memory() // ROOM)


def free_memory() -> int:
    """The bytes of memory that are free here; sys.maxsize where the system does
    not say.
    """
    with suppress(OSError, ValueError, StopIteration):
        told = next(
            line
            for line in AVAILABLE.read_text("utf-8").splitlines()
            if line.startswith("MemAvailable:")
        )
        room = int(told.split()[1]) << 10
        with suppress(OSError, ValueError):  # "max" is no number
            room = min(room, int(OF_A_GROUP.read_text("utf-8")))
        return room
    return sys.maxsize


def bound_tasks(most: int) -> None:
    """Limit the threads and processes of this process's user, which is the job's own,
    or in its user namespace.
    """
    linux.only()
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def forbid_processes() -> None:
    """Forbid new processes. Root is exempt: the kernel does not apply this limit
    to it.
    """
    linux.only()
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
