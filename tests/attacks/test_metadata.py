"""Modes, owners, times and attributes of files: code changes none of them, and right code that sets them still works."""

import os
import subprocess
import sys

import pytest

from grader.course.catalogue import ROOT
from grader.isolation import seccomp
from tests.attacks.test_second_lock import RIGHT, failures, sealed

pytestmark = pytest.mark.skipif(not seccomp.is_known(), reason="no filter for this machine")

# Each is allowed to the owner of a file without the filter. A number stands for a system call that Python has no name for.
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
    ended = subprocess.run(command, input="\n".join(CHANGES), cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout == "", ended.stdout + ended.stderr
    after = (tmp_path / "victim").stat()
    assert (after.st_mode, after.st_mtime, after.st_uid) == (before.st_mode, before.st_mtime, before.st_uid)


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
    """In both locks: copies, archives and databases of Python set them by themselves."""
    [result] = sealed(sound[:1], tmp_path, f"{RIGHT}\n{COMFORT}\nif told: raise ValueError(told)\n")
    assert (result.points, result.message) == (3, ""), result.message + failures(result)
