"""The filter of system calls: what changes a file beside its contents, and that no call
of Linux is forgotten.

Right code that sets modes and times of its own files still works.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT
from grader.isolation import calls, rights, seccomp
from tests.attacks.test_second_lock import RIGHT, failures, sealed

pytestmark = pytest.mark.skipif(
    not seccomp.is_known(), reason="no filter for this machine"
)

# Each is allowed to the owner of a file without the filter. A number stands for a
# system call that Python has no name for.
CHANGES = """
os.chmod(victim, 0o4777)
os.chmod(victim, 0o777, follow_symlinks=False)
os.fchmod(opened, 0o777)
called("chmod", victim, 0o777)
called("fchmodat2", -100, victim, 0o777, 0)
os.chown(victim, os.getuid(), -1)
os.lchown(victim, os.getuid(), -1)
os.fchown(opened, os.getuid(), -1)
os.utime(victim, (0, 0))
os.utime(opened, (0, 0))
called("utimes", victim, 0)
os.setxattr(victim, "user.k", b"x")
os.setxattr(victim, "user.k", b"x", follow_symlinks=False)
os.setxattr(opened, "user.k", b"x")
called("setxattrat", -100, victim, 0, b"user.k", 0, 16)
os.removexattr(victim, "user.k")
os.removexattr(opened, "user.k")
called("removexattrat", -100, victim, 0, b"user.k")
called("file_setattr", -100, victim, attributes, 24, 0)
called("inotify_init1", 0)
called("inotify_add_watch", opened, folder, 0xfff)
called("fanotify_init", 0, 0)
os.mkfifo(victim + b".fifo")
os.mknod(victim + b".file")
fcntl.ioctl(opened, 0x40086602, struct.pack("l", 0))
fcntl.ioctl(opened, 0x401c5820, bytes(28))
fcntl.fcntl(opened, 1026, 1)
fcntl.fcntl(opened, 1024, fcntl.F_RDLCK)
fcntl.fcntl(opened, 1036, struct.pack("Q", 3))
fcntl.fcntl(opened, fcntl.F_GETLK, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 1, 0))
fcntl.flock(opened, fcntl.LOCK_EX)
fcntl.ioctl(opened, 0x40087602, struct.pack("l", 4711))
fcntl.ioctl(opened, 0x40806685, bytes(128))
called("mincore", 0, 4096, bytes(1))
called("cachestat", opened, bytes(16), bytes(40), 0)
os.preadv(opened, [bytearray(1)], 0, os.RWF_NOWAIT)
""".strip().splitlines()
TRIES = """
import ctypes, errno, fcntl, os, platform, struct, sys
from grader.isolation import rights, seccomp

folder = os.fsencode(sys.argv[1])
victim = folder + b"/victim"
opened, attributes = os.open(victim, os.O_RDONLY), bytes(24)
libc, numbers = ctypes.CDLL(None, use_errno=True), seccomp.CALLS[platform.machine()]

def called(name, *arguments):
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    if name in numbers and libc.syscall(ctypes.c_long(numbers[name]), *given) >= 0:
        return
    raise OSError(ctypes.get_errno() if name in numbers else errno.EPERM, "refused")

seccomp.restrict(rights.PLAIN, signals=True)
for change in sys.stdin:
    try:
        eval(change)
        print("done:", change)
    except OSError as error:
        if error.errno != errno.EPERM:
            print(error, change)
"""


def test_the_filter_denies_every_change(tmp_path):
    """In a process of its own, under the filter alone."""
    (tmp_path / "victim").write_text("x")
    os.chmod(tmp_path / "victim", 0o600)
    before = (tmp_path / "victim").stat()
    command = [sys.executable, "-c", TRIES, str(tmp_path)]
    ended = subprocess.run(
        command, input="\n".join(CHANGES), cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0 and ended.stdout == "", ended.stdout + ended.stderr
    after = (tmp_path / "victim").stat()
    assert (after.st_mode, after.st_mtime, after.st_uid) == (
        before.st_mode,
        before.st_mtime,
        before.st_uid,
    )


# What right code may do with files of its own. Each line must go through.
COMFORT = r"""
import dbm.dumb, os, shutil, tarfile, tempfile
from pathlib import Path
open("a", "w").write("x")
os.makedirs("tree/deep", exist_ok=True)
open("tree/deep/b", "w").write("y")
told = []
def goes(what):
    try: what()
    except BaseException as error: told.append(repr(error))
def keeps(): dbm.dumb.open("names", "n").close()
def packs():
    with tarfile.open("t.tar", "w") as t: t.add("tree")
    with tarfile.open("t.tar") as t: t.extractall("unpacked", filter="data")
goes(lambda: os.chmod("a", 0o600))
goes(lambda: os.utime("a", (1, 1)))
goes(lambda: os.utime(os.open("a", os.O_RDONLY)))
goes(lambda: Path("a").chmod(0o600))
goes(lambda: Path("a").touch())
goes(lambda: shutil.copy("a", "copied"))
goes(lambda: shutil.copy2("a", "copied2"))
goes(lambda: shutil.copytree("tree", "tree2"))
goes(lambda: shutil.copytree("tree", "tree3", symlinks=True))
goes(keeps)
goes(packs)
def fails(what, kind):
    try: what(); told.append("went through")
    except kind: pass
fails(lambda: os.chmod("missing", 0o600), FileNotFoundError)
fails(lambda: os.chmod(os.__file__, 0o644), PermissionError)
fails(lambda: os.utime(tempfile.gettempdir() + "/..", (1, 1)), PermissionError)
"""


def test_right_code_may_set_modes_and_times_of_its_own_files(sound, tmp_path):
    """In both locks: copies, archives and databases of Python set them
    by themselves.
    """
    [result] = sealed(
        sound[:1], tmp_path, f"{RIGHT}\n{COMFORT}\nif told: raise ValueError(told)\n"
    )
    assert (result.so_far.points, result.message) == (3, ""), result.message + failures(
        result
    )


# Headers that name the system's calls. The second one has those of aarch64, and calls
# some by names of its own.
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
NO_CALLS = {"syscalls", "arch_specific_syscall", "sync_file_range2"}
OTHER_NAMES, OF_32_BITS = {"fstatat": "newfstatat"}, range(403, 424)


@pytest.mark.parametrize("machine", calls.COLUMNS)
def test_every_call_is_allowed_or_denied_for_a_reason(machine):
    allowed, denied = (
        calls.numbers(groups, machine) for groups in (calls.ALLOWED, calls.DENIED)
    )
    known = allowed | denied
    assert not allowed.keys() & denied.keys() and len(known) == len(set(known.values()))
    if not HEADERS[machine].is_file():
        pytest.skip("no header of the system")
    names = re.findall(
        r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text()
    )
    told = {
        OTHER_NAMES.get(name, name): int(number)
        for name, number in names
        if int(number) not in OF_32_BITS
    }
    assert len(told) > 250 and {*told.items()} - {*known.items()} <= {
        (name, told.get(name)) for name in NO_CALLS
    }


MAKES = r"""
import ctypes, errno, mmap, os, platform, sys
from grader.isolation import calls, rights, seccomp

machine, with_processes = platform.machine(), sys.argv[1] == "processes"
allowed = {*calls.numbers(calls.ALLOWED, machine).values()}
libc = ctypes.CDLL(None, use_errno=True)
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid by int 0x80, as a program of i386 makes it
of_i386 = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
seccomp.restrict(rights.WITH_PROCESSES if with_processes else rights.PLAIN, signals=not with_processes)
unseen = {335, 336} if machine == "x86_64" else set()  # no filter sees the kernel's own uretprobe and uprobe
for number in {*range(1000)} - allowed - unseen | ({0x40000000 | 39} if machine == "x86_64" else set()):
    answer = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    if answer != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print("made:", number, answer, ctypes.get_errno())
print("end", flush=True)
if machine == "x86_64":
    print(of_i386(), flush=True)
"""


@pytest.mark.parametrize("need", ["nothing", "processes"])
def test_no_other_call_is_made(need):
    """By number, also those that no Linux has yet, and by x86-64's other two ways to
    make one.
    """
    ended = subprocess.run(
        [sys.executable, "-c", MAKES, need], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.stdout in ("end\n", "end\n-1\n"), ended.stdout + ended.stderr


@pytest.mark.parametrize("machine", calls.COLUMNS)
def test_a_program_of_the_filter_ends_with_an_answer_whatever_the_number_is(machine):
    """Tried step by step, for the kind of machine that is not here, too."""
    denied = calls.numbers(calls.DENIED, machine)
    allowed = calls.numbers(calls.ALLOWED, machine)
    for right in (rights.PLAIN, rights.WITH_PROCESSES):
        program = seccomp._program(machine, right, signals=not right.processes)
        assert len(program) < 4096
        for number in range(1000):
            answer = _answered(program, machine, number)
            if number in denied.values():
                assert answer == seccomp.EPERM, number
            elif number not in allowed.values():
                assert answer == seccomp.ENOSYS, number
        assert {
            _answered(program, machine, allowed[name])
            for name in ("read", "openat", "futex", "mmap")
        } == {seccomp.ALLOW}


def _answered(program: list[seccomp.Instruction], machine: str, number: int) -> int:
    """What the program answers to a call all of whose arguments are 0."""
    data = {0: number, 4: seccomp.AUDIT_ARCH[machine]}
    place = held = 0
    while True:
        code, true, false, operand = program[place]
        place += 1
        if code == seccomp.ANSWER:
            return operand
        if code == seccomp.LOAD:
            held = data.get(operand, 0)
        elif code == seccomp.AND:
            held &= operand
        else:
            kinds = {
                seccomp.JUMP_EQUAL: held == operand,
                seccomp.JUMP_NOT_BELOW: held >= operand,
            }
            place += true if kinds.get(code, held & operand != 0) else false
