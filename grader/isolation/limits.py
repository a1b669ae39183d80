"""Resource limits for code under test: memory, file size, open files, CPU time. Windows has none of them."""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grader.isolation.rights import PLAIN

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

ROOM = 512 << 20  # bytes of memory for a job and for its files, which are in memory where namespaces are allowed
AVAILABLE, OF_A_GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Limits:
    """The limits of one process."""

    memory: int = PLAIN.memory
    file_size: int = PLAIN.file_size
    open_files: int = PLAIN.open_files


def apply(limits: Limits) -> None:
    """Apply the limits to this process for the rest of its life, and disable core dumps.

    With a CUDA device the address space stays unlimited, because CUDA would not start.
    """
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (PLAIN.computing, PLAIN.computing))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_size, limits.file_size))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits.open_files, limits.open_files))
    if sys.platform == "linux" and not os.path.exists("/dev/nvidiactl"):
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + limits.memory, used + limits.memory))


def most_at_a_time() -> int:
    """The number of jobs that this machine's memory has room for: at least one."""
    with suppress(OSError, ValueError, StopIteration):
        told = next(line for line in AVAILABLE.read_text().splitlines() if line.startswith("MemAvailable:"))
        room = int(told.split()[1]) << 10
        with suppress(OSError, ValueError):  # "max" is no number
            room = min(room, int(OF_A_GROUP.read_text()))
        return max(1, room // ROOM)
    return sys.maxsize


def bound_tasks(most: int) -> None:
    """Limit the threads and processes of this process's user namespace. Root is exempt, and looked at from outside."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def forbid_processes() -> None:
    """Forbid new processes. Root is exempt: the kernel does not apply this limit to it."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
