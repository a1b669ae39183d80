"""Restrict system calls with a seccomp filter, which a process applies to itself and
cannot undo.
"""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from itertools import groupby

from grader.isolation import calls
from grader.isolation.rights import Rights

CLONE_THREAD = 0x00010000
# What no clone may ask for: new namespaces of any kind, and CLONE_PARENT, by which a
# process is no child of its maker.
CLONE_DENIED = (
    0x00020000
    | 0x02000000
    | 0x04000000
    | 0x08000000
    | 0x10000000
    | 0x20000000
    | 0x40000000
    | 0x00008000
)
X32 = 0x40000000  # the bit that marks a system call of x86-64's x32 ABI
ALLOW, AS_IF_DONE = 0x7FFF0000, 0x00050000
EPERM, ENOSYS = AS_IF_DONE | 1, AS_IF_DONE | 38

CALLS = {
    machine: calls.numbers(calls.ALLOWED | calls.DENIED, machine)
    for machine in calls.COLUMNS
}
DENIED = {
    name for machine in calls.COLUMNS for name in calls.numbers(calls.DENIED, machine)
}
# fcntl's commands on descriptors, pipes and seals, and those that set a lock. Without
# F_GETLK, nobody sees a lock that one may set on a file opened for reading.
# F_SET_RW_HINT, F_SETLEASE and F_NOTIFY act on such a file.
FCNTL = (0, 1, 2, 3, 4, 6, 7, 37, 38, 1030, 1031, 1032, 1033, 1034)
# The kinds of ioctl by which file systems change more of a file than its contents:
# flags, attributes, generation.
OF_FILE_SYSTEMS = tuple(kind << 8 for kind in (*b"fvXr", 0x94, 0xF5))
# With a process id first, allowed only for the caller.
TO_ONESELF = (
    "prlimit64",
    "sched_setaffinity",
    "sched_setscheduler",
    "sched_setparam",
    "sched_setattr",
)
OF_PROCESSES = {"fork", "vfork", "flock"}
SIGNALS = ("kill", "tgkill")
MORE_SIGNALS = {"tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"}
# What the code may have the system do with pages: no advice that moves them out of
# memory, or into others.
ADVICE = ("fadvise64", "readahead")
# madvise's MADV_MERGEABLE, MADV_COLD, MADV_PAGEOUT and MADV_COLLAPSE
NO_ADVICE = (12, 20, 21, 25)
# the argument for what a child has used, which counts what it read from the disk
USED = {"wait4": 3, "waitid": 4}
# ioctl's FIOSETOWN and SIOCSPGRP: who gets a signal when there is something to read
OWNERS = (0x8901, 0x8902)
PRIO_PROCESS = 0
# prctl's PR_SET_PDEATHSIG and PR_SET_DUMPABLE: a process that takes them back outlives
# the grader, or hides its files.
OF_THE_GRADER = (1, 4)
# SO_SNDBUF, SO_RCVBUF and both with FORCE: what no process is charged for
SOL_SOCKET, BUFFERS = 1, (7, 8, 32, 33)
STREAM, SEQPACKET, KIND = 1, 5, 0xF  # kinds of sockets, and the bits that hold them
KIND_OF_IOCTL = 0xFF00  # the bits that hold it
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
# BPF instructions
LOAD, JUMP_EQUAL, JUMP_NOT_BELOW, JUMP_SET, AND, ANSWER = (
    0x20,
    0x15,
    0x35,
    0x45,
    0x54,
    0x06,
)

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def is_known() -> bool:
    """Tell if this module has a filter for this machine."""
    return sys.platform == "linux" and platform.machine() in CALLS


def restrict(rights: Rights, *, signals: bool) -> bool:
    """Install a filter that denies programs, new processes and sockets with EPERM, but
    for those that are a right.

    Threads still start. Returns False if the filter could not be installed.

    Args:
        signals: deny signals to other processes, too; not possible for a kata with
            processes of its own.
    """
    if not is_known():
        return False
    program = _program(platform.machine(), rights, signals and not rights.processes)
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *step) for step in program)
    )
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    return (
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        and libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0) == 0
    )


def _program(machine: str, rights: Rights, signals: bool) -> list[Instruction]:
    """The BPF program. clone3 passes its flags by pointer, so it is answered with
    ENOSYS: libc falls back to clone.
    """
    numbers = CALLS[machine]
    program: list[Instruction] = [
        # the architecture: in another ABI, which a program may call too, numbers mean
        # other calls
        (LOAD, 0, 0, 4),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (ANSWER, 0, 0, EPERM),
        (LOAD, 0, 0, 0),
        (JUMP_SET, 0, 1, X32),
        (ANSWER, 0, 0, EPERM),
    ]
    program += _call(numbers["clone3"], [(ANSWER, 0, 0, ENOSYS)])
    for name in TO_ONESELF + (SIGNALS if signals else ()):
        program += _call(numbers[name], _is_one_of(0, (0, os.getpid())))
    priority = [
        (LOAD, 0, 0, _argument(0)),
        (JUMP_EQUAL, 1, 0, PRIO_PROCESS),
        (ANSWER, 0, 0, EPERM),
    ]
    program += _call(
        numbers["setpriority"], [*priority, *_is_one_of(1, (0, os.getpid()))]
    )
    program += _call(numbers["fcntl"], _is_one_of(1, FCNTL))
    owners, kinds = (
        _is_one_of(1, values, EPERM, ALLOW) for values in (OWNERS, OF_FILE_SYSTEMS)
    )
    program += _call(
        numbers["ioctl"], [*owners[:-1], (AND, 0, 0, KIND_OF_IOCTL), *kinds[1:]]
    )
    program += _call(numbers["prctl"], _is_one_of(0, OF_THE_GRADER, AS_IF_DONE, ALLOW))
    # by its session, a job is counted
    program += _call(numbers["setsid"], [(ANSWER, 0, 0, AS_IF_DONE)])
    level = [
        (LOAD, 0, 0, _argument(1)),
        (JUMP_EQUAL, 1, 0, SOL_SOCKET),
        (ANSWER, 0, 0, ALLOW),
    ]
    program += _call(
        numbers["setsockopt"], [*level, *_is_one_of(2, BUFFERS, AS_IF_DONE, ALLOW)]
    )
    # RWF_NOWAIT tells what is in memory
    program += _call(numbers["preadv2"], _is_one_of(5, (0,)))
    program += _call(numbers["madvise"], _is_one_of(2, NO_ADVICE, EPERM, ALLOW))
    for name in ADVICE:
        program += _call(numbers[name], [(ANSWER, 0, 0, AS_IF_DONE)])
    for name, place in USED.items():
        upper = [
            (LOAD, 0, 0, _argument(place) + 4),
            (JUMP_EQUAL, 1, 0, 0),
            (ANSWER, 0, 0, EPERM),
        ]
        program += _call(numbers[name], [*upper, *_is_one_of(place, (0,))])
    flags = [
        (LOAD, 0, 0, _argument(0)),
        (JUMP_SET, 0, 1, CLONE_DENIED),
        (ANSWER, 0, 0, EPERM),
    ]
    if not rights.processes:
        flags += [(JUMP_SET, 1, 0, CLONE_THREAD), (ANSWER, 0, 0, EPERM)]
        # one of a pair of datagram sockets could send to a path
        kind = _is_one_of(1, (STREAM, SEQPACKET))
        program += _call(numbers["socketpair"], [kind[0], (AND, 0, 0, KIND), *kind[1:]])
    program += _call(numbers["clone"], [*flags, (ANSWER, 0, 0, ALLOW)])
    program += _call(numbers["socket"], _is_one_of(0, rights.sockets))
    denied = (
        DENIED
        | (set() if rights.processes else OF_PROCESSES)
        | (MORE_SIGNALS if signals else set())
    )
    return program + _by_number(numbers, denied)


def _by_number(numbers: dict[str, int], denied: set[str]) -> list[Instruction]:
    """Answer the rest by number: one comparison for all that follow each other and get
    the same answer.

    A call without a name is one that a newer Linux has added. It is answered as by an
    older one.
    """
    answers = {
        number: EPERM if name in denied else ALLOW for name, number in numbers.items()
    }
    steps: list[Instruction] = []
    for answer, group in groupby(
        range(max(answers) + 1), lambda number: answers.get(number, ENOSYS)
    ):
        *_, last = group
        steps += [(JUMP_NOT_BELOW, 1, 0, last + 1), (ANSWER, 0, 0, answer)]
    return [*steps, (ANSWER, 0, 0, ENOSYS)]


def _call(number: int, steps: list[Instruction]) -> list[Instruction]:
    """Take these steps, which end with an answer, if it is this call."""
    return [(JUMP_EQUAL, 0, len(steps), number), *steps]


def _is_one_of(
    place: int, values: Iterable[int], if_so: int = ALLOW, if_not: int = EPERM
) -> list[Instruction]:
    """Answer by whether the argument, an int of which the kernel drops the upper half,
    too, is one of the values.
    """
    tests = [
        step
        for value in values
        for step in ((JUMP_EQUAL, 0, 1, value), (ANSWER, 0, 0, if_so))
    ]
    return [(LOAD, 0, 0, _argument(place)), *tests, (ANSWER, 0, 0, if_not)]


def _argument(place: int) -> int:
    """The offset of a call's argument in `seccomp_data`."""
    return 16 + 8 * place
