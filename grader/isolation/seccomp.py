"""Restrict system calls with a seccomp filter, which a process applies to itself and cannot undo."""

import ctypes
import platform
import struct
import sys

CLONE_THREAD = 0x00010000
X32 = 0x40000000  # the bit that marks a system call of x86-64's x32 ABI
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
# System call numbers: clone, clone3, socket; (fork, vfork), which aarch64 lacks; and the calls denied to every kata:
# (execve, execveat, ptrace, process_vm_readv, process_vm_writev).
SYSTEM_CALLS: dict[str, tuple[int, int, int, tuple[int, ...], tuple[int, ...]]] = {
    "x86_64": (56, 435, 41, (57, 58), (59, 322, 101, 310, 311)),
    "aarch64": (220, 435, 198, (), (221, 281, 117, 270, 271)),
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
    return sys.platform == "linux" and platform.machine() in SYSTEM_CALLS


def restrict(needs: frozenset[str]) -> bool:
    """Install a filter that denies new processes, programs and sockets with EPERM, except those that the kata `needs`.

    Threads still start. Returns False if the filter could not be installed.
    """
    if not is_known():
        return False
    program = _program(platform.machine(), needs)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0) == 0


def _program(machine: str, needs: frozenset[str]) -> list[Instruction]:
    """The BPF program. clone3 passes its flags by pointer, so it is answered with ENOSYS: libc falls back to clone."""
    clone, clone3, socket, forks, refused = SYSTEM_CALLS[machine]
    program: list[Instruction] = [
        (LOAD, 0, 0, 4),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (ANSWER, 0, 0, EPERM),
        (LOAD, 0, 0, 0),
        (JUMP_SET, 0, 1, X32),
        (ANSWER, 0, 0, EPERM),
    ]
    for number in refused if "processes" in needs else forks + refused:
        program += [(JUMP_EQUAL, 0, 1, number), (ANSWER, 0, 0, EPERM)]
    if "processes" not in needs:
        program += [(JUMP_EQUAL, 0, 1, clone3), (ANSWER, 0, 0, ENOSYS)]
        program += [(JUMP_EQUAL, 0, 4, clone), (LOAD, 0, 0, 16), (JUMP_SET, 1, 0, CLONE_THREAD), (ANSWER, 0, 0, EPERM)]
        program += [(ANSWER, 0, 0, ALLOW)]
    kinds = [kind for need in SOCKETS if need in needs for kind in SOCKETS[need]]
    allowed = [step for kind in kinds for step in ((JUMP_EQUAL, 0, 1, kind), (ANSWER, 0, 0, ALLOW))]
    program += [(JUMP_EQUAL, 0, len(allowed) + 2, socket), (LOAD, 0, 0, 16), *allowed, (ANSWER, 0, 0, EPERM)]
    return [*program, (ANSWER, 0, 0, ALLOW)]
