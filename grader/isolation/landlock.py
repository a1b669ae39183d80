"""Restrict file and network access with Linux's Landlock, which a process applies to
itself and cannot undo.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from grader.isolation import linux

# the same numbers on every architecture
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PATH_BENEATH, VERSION = 1, 1
PR_SET_NO_NEW_PRIVS = 38
READ_FILE, READ_FOLDER = 1 << 2, 1 << 3
# Bit mask of the file accesses that each Landlock version controls. All are denied
# except where a rule allows them.
ACCESSES = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    4: (1 << 15) - 1,
    5: (1 << 16) - 1,
}
# the accesses that a rule on a single file may contain
OF_A_FILE = 1 << 0 | 1 << 1 | READ_FILE | 1 << 14 | 1 << 15
TCP = 0b11  # bind and connect, since version 4
SIGNALS_AND_ABSTRACT_SOCKETS = 0b11  # towards processes outside, since version 6


def version() -> int:
    """The Landlock version of this kernel, 0 if it has none."""
    return (
        max(0, _system_call(CREATE_RULESET, None, 0, VERSION))
        if sys.platform == "linux"
        else 0
    )


def restrict(
    readable: Iterable[Path], writable: Iterable[Path], *, tcp: bool = False
) -> None:
    """Restrict this process for the rest of its life.

    It may read only below `readable` and `writable`, and write only below `writable`.
    TCP connections need `tcp`. Signals to processes outside are denied. Older kernels
    enforce only a part of this. Missing paths are skipped.
    """
    known = version()
    if not known:
        return
    everything = ACCESSES[min(known, 5)]
    network = TCP if known >= 4 and not tcp else 0
    scope = SIGNALS_AND_ABSTRACT_SOCKETS if known >= 6 else 0
    attributes = struct.pack("QQQ", everything, network, scope)[
        : 8 if known < 4 else 16 if known < 6 else 24
    ]
    rules = _checked(_system_call(CREATE_RULESET, attributes, len(attributes), 0))
    for paths, access in ((readable, READ_FILE | READ_FOLDER), (writable, everything)):
        for path in paths:
            _allow(rules, path, access)
    # or the kernel refuses what follows
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _checked(_system_call(RESTRICT_SELF, rules, 0))
    os.close(rules)


def _allow(rules: int, path: Path, access: int) -> None:
    linux.only()
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    access &= ~0 if path.is_dir() else OF_A_FILE
    _checked(
        _system_call(
            ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", access, place), 0
        )
    )
    os.close(place)


def _system_call(*arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(
        *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    )


def _checked(answer: int) -> int:
    if answer < 0:
        raise OSError(
            ctypes.get_errno(), "Landlock: " + os.strerror(ctypes.get_errno())
        )
    return answer
