"""Restrict system calls with a seccomp filter, which a process applies to itself and cannot undo."""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable

from grader.isolation.rights import Rights

CLONE_THREAD = 0x00010000
# What no clone may ask for: new namespaces of any kind, and CLONE_PARENT, by which a process is no child of its maker.
CLONE_DENIED = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00008000
X32 = 0x40000000  # the bit that marks a system call of x86-64's x32 ABI
ALLOW, AS_IF_DONE = 0x7FFF0000, 0x00050000
EPERM, ENOSYS = AS_IF_DONE | 1, AS_IF_DONE | 38

# Numbers of system calls; the newer ones are the same on every architecture.
ANYWHERE = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,  # what io_uring does passes by this filter
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "memfd_secret": 447,
    "process_mrelease": 448,
    "cachestat": 451,
    "fchmodat2": 452,
    "setxattrat": 463,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_setattr": 469,
}
CALLS = {
    "x86_64": ANYWHERE
    | {
        "socket": 41,
        "socketpair": 53,
        "clone": 56,
        "fork": 57,
        "vfork": 58,
        "execve": 59,
        "execveat": 322,
        "ptrace": 101,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "migrate_pages": 256,
        "move_pages": 279,
        "shmget": 29,
        "semget": 64,
        "msgget": 68,
        "mq_open": 240,
        "memfd_create": 319,
        "io_setup": 206,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "bpf": 321,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "unshare": 272,
        "setns": 308,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "chroot": 161,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "syslog": 103,
        "kexec_load": 246,
        "kexec_file_load": 320,
        "init_module": 175,
        "finit_module": 313,
        "delete_module": 176,
        "ioprio_set": 251,
        "setpriority": 141,
        "prlimit64": 302,
        "sched_setaffinity": 203,
        "sched_setscheduler": 144,
        "sched_setparam": 142,
        "sched_setattr": 314,
        "fcntl": 72,
        "ioctl": 16,
        "prctl": 157,
        "setsid": 112,
        "flock": 73,
        "mincore": 27,
        "preadv2": 327,
        "fadvise64": 221,
        "kill": 62,
        "tgkill": 234,
        "tkill": 200,
        "rt_sigqueueinfo": 129,
        "rt_tgsigqueueinfo": 297,
        "chmod": 90,
        "fchmod": 91,
        "fchmodat": 268,
        "chown": 92,
        "fchown": 93,
        "lchown": 94,
        "fchownat": 260,
        "utime": 132,
        "utimes": 235,
        "futimesat": 261,
        "utimensat": 280,
        "setxattr": 188,
        "lsetxattr": 189,
        "fsetxattr": 190,
        "removexattr": 197,
        "lremovexattr": 198,
        "fremovexattr": 199,
        "inotify_init": 253,
        "inotify_init1": 294,
        "inotify_add_watch": 254,
        "fanotify_init": 300,
        "fanotify_mark": 301,
        "mknod": 133,
        "mknodat": 259,
    },
    "aarch64": ANYWHERE
    | {
        "socket": 198,
        "socketpair": 199,
        "clone": 220,
        "execve": 221,
        "execveat": 281,
        "ptrace": 117,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "migrate_pages": 238,
        "move_pages": 239,
        "shmget": 194,
        "semget": 190,
        "msgget": 186,
        "mq_open": 180,
        "memfd_create": 279,
        "io_setup": 0,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "bpf": 280,
        "perf_event_open": 241,
        "userfaultfd": 282,
        "unshare": 97,
        "setns": 268,
        "mount": 40,
        "umount2": 39,
        "pivot_root": 41,
        "chroot": 51,
        "name_to_handle_at": 264,
        "open_by_handle_at": 265,
        "syslog": 116,
        "kexec_load": 104,
        "kexec_file_load": 294,
        "init_module": 105,
        "finit_module": 273,
        "delete_module": 106,
        "ioprio_set": 30,
        "setpriority": 140,
        "prlimit64": 261,
        "sched_setaffinity": 122,
        "sched_setscheduler": 119,
        "sched_setparam": 118,
        "sched_setattr": 274,
        "fcntl": 25,
        "ioctl": 29,
        "prctl": 167,
        "setsid": 157,
        "flock": 32,
        "mincore": 232,
        "preadv2": 286,
        "fadvise64": 223,
        "kill": 129,
        "tgkill": 131,
        "tkill": 130,
        "rt_sigqueueinfo": 138,
        "rt_tgsigqueueinfo": 240,
        "fchmod": 52,
        "fchmodat": 53,
        "fchown": 55,
        "fchownat": 54,
        "utimensat": 88,
        "setxattr": 5,
        "lsetxattr": 6,
        "fsetxattr": 7,
        "removexattr": 14,
        "lremovexattr": 15,
        "fremovexattr": 16,
        "inotify_init1": 26,
        "inotify_add_watch": 27,
        "fanotify_init": 262,
        "fanotify_mark": 263,
        "mknodat": 33,
    },
}
# Denied to every kata.
PROGRAMS_AND_TRACING = ("execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd")
OTHERS_MEMORY = ("migrate_pages", "move_pages", "process_madvise", "process_mrelease", "userfaultfd")
NO_LIMIT_COVERS = ("shmget", "semget", "msgget", "mq_open", "memfd_create", "memfd_secret")
KEYS = ("add_key", "request_key", "keyctl")
OF_THE_MACHINE = ("io_setup",)  # asynchronous input and output, of which all processes share a number
PASSES_BY = ("io_uring_setup", "io_uring_enter", "io_uring_register", "name_to_handle_at", "open_by_handle_at")
NAMESPACES = ("unshare", "setns")
OLD_MOUNTS = ("mount", "umount2", "pivot_root", "chroot")
MOUNTS = ("open_tree", "open_tree_attr", "move_mount", "mount_setattr", "fsopen", "fsconfig", "fsmount", "fspick")
KERNEL = ("bpf", "perf_event_open", "syslog", "kexec_load", "kexec_file_load")
MODULES = ("init_module", "finit_module", "delete_module")
# What Landlock does not see: modes, owners, times and attributes of files, what others do to files, and special files.
MODES = ("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat")
TIMES = ("utime", "utimes", "futimesat", "utimensat")
ATTRIBUTES = ("setxattr", "lsetxattr", "fsetxattr", "setxattrat", "file_setattr")
NO_ATTRIBUTES = ("removexattr", "lremovexattr", "fremovexattr", "removexattrat")
WATCHES = ("inotify_init", "inotify_init1", "inotify_add_watch", "fanotify_init", "fanotify_mark")
SPECIAL_FILES = ("mknod", "mknodat")
CACHED = ("mincore", "cachestat")  # which pages of a file are in memory, as earlier code may have left them
DENIED: tuple[str, ...] = PROGRAMS_AND_TRACING + OTHERS_MEMORY + NO_LIMIT_COVERS + KEYS + PASSES_BY + NAMESPACES
DENIED += OLD_MOUNTS + MOUNTS + KERNEL + MODULES + OF_THE_MACHINE + ("ioprio_set",)
DENIED += MODES + TIMES + ATTRIBUTES + NO_ATTRIBUTES + WATCHES + SPECIAL_FILES + CACHED
# fcntl's commands on descriptors, pipes and seals, and those that set a lock. Without F_GETLK, nobody sees a lock that
# one may set on a file opened for reading. F_SET_RW_HINT, F_SETLEASE and F_NOTIFY act on such a file.
FCNTL = (0, 1, 2, 3, 4, 6, 7, 37, 38, 1030, 1031, 1032, 1033, 1034)
# The kinds of ioctl by which file systems change more of a file than its contents: flags, attributes, generation.
OF_FILE_SYSTEMS = tuple(kind << 8 for kind in (*b"fvXr", 0x94, 0xF5))
# With a process id first, allowed only for the caller.
TO_ONESELF = ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
SIGNALS = ("kill", "tgkill")
MORE_SIGNALS = ("tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
OWNERS = (0x8901, 0x8902)  # ioctl's FIOSETOWN and SIOCSPGRP: who gets a signal when there is something to read
PRIO_PROCESS = 0
# prctl's PR_SET_PDEATHSIG and PR_SET_DUMPABLE: a process that takes them back outlives the grader, or hides its files.
OF_THE_GRADER = (1, 4)
STREAM, SEQPACKET, KIND = 1, 5, 0xF  # kinds of sockets, and the bits that hold them
KIND_OF_IOCTL = 0xFF00  # the bits that hold it
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
LOAD, JUMP_EQUAL, JUMP_SET, AND, ANSWER = 0x20, 0x15, 0x45, 0x54, 0x06  # BPF instructions

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def is_known() -> bool:
    """Tell if this module has a filter for this machine."""
    return sys.platform == "linux" and platform.machine() in CALLS


def restrict(rights: Rights, *, signals: bool) -> bool:
    """Install a filter that denies programs, new processes and sockets with EPERM, but for those that are a right.

    Threads still start. Returns False if the filter could not be installed.

    Args:
        signals: deny signals to other processes, too; not possible for a kata with processes of its own.
    """
    if not is_known():
        return False
    program = _program(platform.machine(), rights, signals and not rights.processes)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.prctl(PR_SET_SECCOMP, 2, header, 0, 0) == 0


def _program(machine: str, rights: Rights, signals: bool) -> list[Instruction]:
    """The BPF program. clone3 passes its flags by pointer, so it is answered with ENOSYS: libc falls back to clone."""
    calls = CALLS[machine]
    denied = DENIED + (() if rights.processes else ("fork", "vfork", "flock")) + (MORE_SIGNALS if signals else ())
    program: list[Instruction] = [
        (LOAD, 0, 0, 4),  # the architecture: in another ABI, which a program may call too, numbers mean other calls
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (ANSWER, 0, 0, EPERM),
        (LOAD, 0, 0, 0),
        (JUMP_SET, 0, 1, X32),
        (ANSWER, 0, 0, EPERM),
    ]
    for number in (calls[name] for name in denied if name in calls):
        program += [(JUMP_EQUAL, 0, 1, number), (ANSWER, 0, 0, EPERM)]
    program += [(JUMP_EQUAL, 0, 1, calls["clone3"]), (ANSWER, 0, 0, ENOSYS)]
    for name in TO_ONESELF + (SIGNALS if signals else ()):
        program += _call(calls[name], _is_one_of(0, (0, os.getpid())))
    priority = [(LOAD, 0, 0, _argument(0)), (JUMP_EQUAL, 1, 0, PRIO_PROCESS), (ANSWER, 0, 0, EPERM)]
    program += _call(calls["setpriority"], [*priority, *_is_one_of(1, (0, os.getpid()))])
    program += _call(calls["fcntl"], _is_one_of(1, FCNTL))
    owners, kinds = (_is_one_of(1, values, EPERM, ALLOW) for values in (OWNERS, OF_FILE_SYSTEMS))
    program += _call(calls["ioctl"], [*owners[:-1], (AND, 0, 0, KIND_OF_IOCTL), *kinds[1:]])
    program += _call(calls["prctl"], _is_one_of(0, OF_THE_GRADER, AS_IF_DONE, ALLOW))
    program += [(JUMP_EQUAL, 0, 1, calls["setsid"]), (ANSWER, 0, 0, AS_IF_DONE)]  # by its session, a job is counted
    program += _call(calls["preadv2"], _is_one_of(5, (0,)))  # RWF_NOWAIT tells what is in memory
    program += [(JUMP_EQUAL, 0, 1, calls["fadvise64"]), (ANSWER, 0, 0, AS_IF_DONE)]  # advice: what is in memory
    flags = [(LOAD, 0, 0, _argument(0)), (JUMP_SET, 0, 1, CLONE_DENIED), (ANSWER, 0, 0, EPERM)]
    if not rights.processes:
        flags += [(JUMP_SET, 1, 0, CLONE_THREAD), (ANSWER, 0, 0, EPERM)]
        kind = _is_one_of(1, (STREAM, SEQPACKET))  # one of a pair of datagram sockets could send to a path
        program += _call(calls["socketpair"], [kind[0], (AND, 0, 0, KIND), *kind[1:]])
    program += _call(calls["clone"], [*flags, (ANSWER, 0, 0, ALLOW)])
    program += _call(calls["socket"], _is_one_of(0, rights.sockets))
    return [*program, (ANSWER, 0, 0, ALLOW)]


def _call(number: int, steps: list[Instruction]) -> list[Instruction]:
    """Take these steps, which end with an answer, if it is this call."""
    return [(JUMP_EQUAL, 0, len(steps), number), *steps]


def _is_one_of(place: int, values: Iterable[int], if_so: int = ALLOW, if_not: int = EPERM) -> list[Instruction]:
    """Answer by whether the argument, an int of which the kernel drops the upper half, too, is one of the values."""
    tests = [step for value in values for step in ((JUMP_EQUAL, 0, 1, value), (ANSWER, 0, 0, if_so))]
    return [(LOAD, 0, 0, _argument(place)), *tests, (ANSWER, 0, 0, if_not)]


def _argument(place: int) -> int:
    """The offset of a call's argument in `seccomp_data`."""
    return 16 + 8 * place
