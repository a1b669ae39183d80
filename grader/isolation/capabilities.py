"""Drops the capabilities that root has on Linux, for the rest of a process's life."""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from grader.isolation import linux

PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
VERSION = 0x20080522  # of capset's arguments
READ_ANYTHING = 1 << 2  # CAP_DAC_READ_SEARCH
NUMBERS = range(64)


def drop(needed: Iterable[Path]) -> None:
    """Drop every capability, also those that a program could give back.

    Where one of the needed paths is closed to root without rights, as a checkout in the
    closed home folder of another user is, CAP_DAC_READ_SEARCH is kept. It reads what
    the file permissions deny, and nothing that Landlock denies.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    permitted = _permitted(libc)
    for number in NUMBERS:
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _set(libc, 0, permitted)
    kept = 0 if all(_is_open(path) for path in needed) else permitted & READ_ANYTHING
    _set(libc, kept, kept)


def _permitted(libc: ctypes.CDLL) -> int:
    """The capabilities that this process may use."""
    # for each half of 32 bits: effective, permitted, inheritable
    told = ctypes.create_string_buffer(24)
    if libc.capget(struct.pack("=Ii", VERSION, 0), told) != 0:
        raise OSError(ctypes.get_errno(), "capabilities are not told")
    _, low, _, _, high, _ = struct.unpack("=6I", told)
    return high << 32 | low


def _set(libc: ctypes.CDLL, effective: int, permitted: int) -> None:
    halves = [
        part >> shift & 0xFFFFFFFF
        for shift in (0, 32)
        for part in (effective, permitted, 0)
    ]
    if libc.capset(struct.pack("=Ii", VERSION, 0), struct.pack("=6I", *halves)) != 0:
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


def _is_open(path: Path) -> bool:
    """Tell if the path can be opened. A missing path counts as open."""
    linux.only()
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return False
    except OSError:
        pass
    return True
