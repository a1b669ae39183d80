"""User ids of jobs: where root grades, code under test runs as a user of its own, who
owns nothing else.

An id is drawn for each job and belongs to it alone, so that nothing has to be given
back after a crash.
"""

import ctypes
import os
import secrets
from pathlib import Path

from grader.isolation import linux, processes

# The ids that systemd's list of ranges (UIDS-GIDS) leaves unused: many, and those that
# a container has, too.
UNUSED = range(0x7000_0000, 0x8000_0000), range(60_578, 61_184)
PR_SET_SECUREBITS, KEEP_CAPABILITIES = 28, 1 << 2  # SECBIT_NO_SETUID_FIXUP


def drawn() -> int:
    """The id for a job: that of this process where another user than root grades, or
    where no id is to be had.
    """
    linux.only()
    if os.getuid() == 0:
        for ids in UNUSED:
            if _are_mapped("uid_map", ids) and _are_mapped("gid_map", ids):
                return secrets.choice(ids)
    return os.getuid()


def become(user: int) -> None:
    """Be this user from now on, with the capabilities of before.

    Raises:
        OSError: the system does not allow it.
    """
    linux.only()
    if user == os.getuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECUREBITS, KEEP_CAPABILITIES, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no other user")
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    processes.die_with_parent()  # which a change of the user undoes
    processes.show()


def _are_mapped(name: str, ids: range) -> bool:
    """Tell if these ids exist in this process's user namespace."""
    lines = [
        map(int, line.split())
        for line in Path("/proc/self", name).read_text("utf-8").splitlines()
    ]
    return any(
        first <= ids[0] and ids[-1] < first + number for first, _, number in lines
    )
