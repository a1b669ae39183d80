"""What a job may do: the one place of it. The backends in this room see to it, and
docs/security.md names it.
"""

from dataclasses import dataclass, replace
from glob import glob

# families of sockets; the last lists the machine's network interfaces
UNIX, IPV4, IPV6, NETLINK = 1, 2, 10, 16
PCI = "/sys/bus/pci/devices"


@dataclass(frozen=True)
class Rights:
    """What one job may do, beside reading Python, its packages and its own folder."""

    reads: tuple[str, ...] = (
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/usr/share/zoneinfo",
        "/etc/ld.so.cache",
        "/etc/localtime",
        # nothing else of it: most files there count pages in memory, or reads from
        # the disk
        "/proc/self/fd",
        "/proc/self/maps",
        "/sys/devices/system/cpu/online",
        "/sys/devices/system/cpu/possible",
        "/dev/urandom",
    )
    # what it reads, too, where no namespaces hide that there is such a path
    lists: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("/dev/null", "/dev/zero")  # which it may write to, too
    processes: bool = False  # of its own, which pass each other memory
    sockets: tuple[int, ...] = ()  # families of sockets
    loopback: bool = False  # the address of this machine alone
    memory: int = 2 << 30  # bytes of address space beyond what the process uses already
    file_size: int = 16 << 20  # bytes per file
    open_files: int = 256
    # seconds per process, far above the time limit of any kata's specs
    computing: int = 900
    kata_seconds: float = 600.0  # of computing, or of waiting, for all specs of a kata
    tasks: int = 128  # threads and processes
    # each holds what the kernel gives to one, as no buffer can be made larger
    most_sockets: int = 512
    # in the job's folder, in one shared with the judge, and in a /dev/shm of its own
    scratch_bytes: int = 256 << 20
    scratch_files: int = 10_000
    scratch_depth: int = 100  # folders inside each other


PLAIN = Rights()
WITH_PROCESSES = replace(
    PLAIN,
    processes=True,
    tasks=512,
    devices=(*PLAIN.devices, "/dev/shm"),
    sockets=(UNIX,),
)


def of(needs: frozenset[str]) -> Rights:
    """The rights of a kata with these needs (see `course.description.NEEDS`)."""
    found = WITH_PROCESSES if "processes" in needs else PLAIN
    if "loopback" in needs:
        lists = (PCI, *glob(f"{PCI}/*/class"))  # by gloo
        found = replace(
            found,
            loopback=True,
            sockets=(*found.sockets, IPV4, IPV6, NETLINK),
            lists=lists,
        )
    return found
