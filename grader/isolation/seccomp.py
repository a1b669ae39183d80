"""Restrict system calls with a seccomp filter, which a process applies to itself and cannot undo."""

import ctypes
import os
import platform
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

CLONE_THREAD = 0x00010000
X32 = 0x40000000  # the bit that marks a system call of x86-64's x32 ABI
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
NVIDIA = Path("/dev/nvidiactl")


@dataclass(frozen=True)
class Calls:
    """Numbers of system calls on one architecture."""

    clone: int
    clone3: int
    socket: int
    forks: tuple[int, ...]  # fork, vfork, which aarch64 lacks
    # Denied to every kata: execve, execveat, ptrace, process_vm_readv, process_vm_writev; shmget, semget, msgget,
    # mq_open, memfd_secret and add_key, whose memory no limit covers; io_uring_setup, which passes by this filter.
    denied: tuple[int, ...]
    memfd_create: int  # denied, except that CUDA needs it
    # With a process id first, allowed only for the caller: prlimit64, sched_setaffinity, sched_setscheduler.
    to_oneself: tuple[int, ...]
    # kill and tgkill; and tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal.
    signals: tuple[int, ...]
    more_signals: tuple[int, ...]


CALLS = {
    "x86_64": Calls(
        clone=56,
        clone3=435,
        socket=41,
        forks=(57, 58),
        denied=(59, 322, 101, 310, 311, 29, 64, 68, 240, 447, 248, 425),
        memfd_create=319,
        to_oneself=(302, 203, 144),
        signals=(62, 234),
        more_signals=(200, 129, 297, 424),
    ),
    "aarch64": Calls(
        clone=220,
        clone3=435,
        socket=198,
        forks=(),
        denied=(221, 281, 117, 270, 271, 194, 190, 186, 180, 447, 217, 425),
        memfd_create=279,
        to_oneself=(261, 122, 119),
        signals=(129, 131),
        more_signals=(130, 138, 240, 424),
    ),
}
# The socket families that a need allows. AF_UNIX: processes pass each other tensors. AF_INET, AF_INET6 and AF_NETLINK,
# which lists network interfaces.
SOCKETS = {"processes": (1,), "loopback": (2, 10, 16)}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
LOAD, JUMP_EQUAL, JUMP_SET, ANSWER = 0x20, 0x15, 0x45, 0x06  # BPF instructions

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def is_known() -> bool:
    """Whether this module has a filter for this machine."""
    return sys.platform == "linux" and platform.machine() in CALLS


def restrict(needs: frozenset[str], *, signals: bool) -> bool:
    """Install a filter that denies new processes, programs and sockets with EPERM, except those that the kata `needs`.

    Threads still start. Returns False if the filter could not be installed.

    Args:
        signals: deny signals to other processes, too; not possible for a kata that needs processes of its own.
    """
    if not is_known():
        return False
    program = _program(platform.machine(), needs, signals and "processes" not in needs)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0) == 0


def _program(machine: str, needs: frozenset[str], signals: bool) -> list[Instruction]:
    """The BPF program. clone3 passes its flags by pointer, so it is answered with ENOSYS: libc falls back to clone."""
    calls = CALLS[machine]
    denied = calls.denied + (() if "processes" in needs else calls.forks) + (calls.more_signals if signals else ())
    denied += () if NVIDIA.exists() else (calls.memfd_create,)
    program: list[Instruction] = [
        (LOAD, 0, 0, 4),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (ANSWER, 0, 0, EPERM),
        (LOAD, 0, 0, 0),
        (JUMP_SET, 0, 1, X32),
        (ANSWER, 0, 0, EPERM),
    ]
    for number in denied:
        program += [(JUMP_EQUAL, 0, 1, number), (ANSWER, 0, 0, EPERM)]
    for number in calls.to_oneself + (calls.signals if signals else ()):
        program += [
            (JUMP_EQUAL, 0, 5, number),
            (LOAD, 0, 0, 16),
            (JUMP_EQUAL, 2, 0, 0),
            (JUMP_EQUAL, 1, 0, os.getpid()),
        ]
        program += [(ANSWER, 0, 0, EPERM), (ANSWER, 0, 0, ALLOW)]
    if "processes" not in needs:
        program += [(JUMP_EQUAL, 0, 1, calls.clone3), (ANSWER, 0, 0, ENOSYS)]
        program += [
            (JUMP_EQUAL, 0, 4, calls.clone),
            (LOAD, 0, 0, 16),
            (JUMP_SET, 1, 0, CLONE_THREAD),
            (ANSWER, 0, 0, EPERM),
        ]
        program += [(ANSWER, 0, 0, ALLOW)]
    kinds = [kind for need in SOCKETS if need in needs for kind in SOCKETS[need]]
    allowed = [step for kind in kinds for step in ((JUMP_EQUAL, 0, 1, kind), (ANSWER, 0, 0, ALLOW))]
    program += [(JUMP_EQUAL, 0, len(allowed) + 2, calls.socket), (LOAD, 0, 0, 16), *allowed, (ANSWER, 0, 0, EPERM)]
    return [*program, (ANSWER, 0, 0, ALLOW)]
