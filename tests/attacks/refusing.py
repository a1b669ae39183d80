"""`python -m tests.attacks.refusing CALL,… COMMAND…`: runs a command on a machine that
refuses these system calls.

A filter that is kept by every process of the command answers them with EPERM, as a
container or a hardened system does.
"""

import ctypes
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from grader.course.catalogue import ROOT
from grader.isolation import landlock, seccomp

LANDLOCK = {"landlock_create_ruleset": landlock.CREATE_RULESET}


def refuse(names: Iterable[str]) -> None:
    """Have the kernel refuse these system calls to this process and all that
    it starts.
    """
    program = [(seccomp.LOAD, 0, 0, 0)]
    for name in names:
        program += [
            (
                seccomp.JUMP_EQUAL,
                0,
                1,
                (seccomp.CALLS[platform.machine()] | LANDLOCK)[name],
            )
        ]
        program += [(seccomp.ANSWER, 0, 0, seccomp.EPERM)]
    program += [(seccomp.ANSWER, 0, 0, seccomp.ALLOW)]
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *step) for step in program)
    )
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(seccomp.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(seccomp.PR_SET_SECCOMP, 2, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no filter")


def refusing(
    names: str, *command: str | Path, **options
) -> subprocess.CompletedProcess:
    """Run a command where these system calls, divided by commas, are refused."""
    whole = [sys.executable, "-m", "tests.attacks.refusing", names, *map(str, command)]
    return subprocess.run(whole, cwd=ROOT, capture_output=True, text=True, **options)


if __name__ == "__main__":
    refuse(sys.argv[1].split(","))
    os.execv(sys.argv[2], sys.argv[2:])
