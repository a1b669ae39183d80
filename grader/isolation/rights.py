"""What a job may use: the one place of the numbers that the sandbox holds, and that docs/security.md names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rights:
    """The numbers for one job."""

    memory: int = 2 << 30  # bytes of address space beyond what the process uses already
    file_size: int = 16 << 20  # bytes per file
    open_files: int = 256
    computing: int = 900  # seconds per process, far above the time limit of any kata's specs
    kata_seconds: float = 600.0  # of computing, or of waiting, for all specs of a kata
    tasks: int = 128  # threads and processes
    scratch_bytes: int = 256 << 20  # in the job's folder, and again in a /dev/shm of its own
    scratch_files: int = 10_000
    scratch_depth: int = 100  # folders inside each other


PLAIN = Rights()
WITH_PROCESSES = Rights(tasks=512)


def of(needs: frozenset[str]) -> Rights:
    """The numbers for a kata with these needs (see `course.description.NEEDS`)."""
    return WITH_PROCESSES if "processes" in needs else PLAIN
