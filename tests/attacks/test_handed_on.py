"""Nothing is handed on: what one submission's code leaves anywhere is not there for the
next one.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT, all_katas, find
from grader.execution import grading
from grader.isolation import namespaces, sandbox, untouched
from grader.protocol import RunOptions
from grader.teaching import class_grading
from tests.attacks.test_second_lock import failures
from tests.conftest import SOUND

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()

# Twenty ways to leave a text for later code. Each is tried to give and to take; `told`
# holds those that worked.
WAYS = """
import fcntl, os, socket, struct, torch
def gives(place, text):
    with open(place, "w") as file: file.write(text)
def takes(place):
    with open(place) as file: return file.read()
F, HERE = torch.__file__, os.getcwd()
def of_package(way, *given): return way(os.open(F, os.O_RDONLY), *given)
ways = {
    "an attribute of a package": (lambda: os.setxattr(F, "user.kata_test", b"x"), lambda: os.getxattr(F, "user.kata_test")),
    "the time of a package": (lambda: os.utime(F, (77, 77)), lambda: 1 / (os.stat(F).st_mtime == 77)),
    "the mode of a package": (lambda: os.chmod(F, 0o604), lambda: 1 / (os.stat(F).st_mode & 0o777 == 0o604)),
    "a folder of a package": (lambda: gives(f"{os.path.dirname(F)}/kata_handed_on", "x"), lambda: takes(f"{os.path.dirname(F)}/kata_handed_on")),
    "a hint on writing": (lambda: of_package(fcntl.fcntl, 1036, struct.pack("Q", 3)), lambda: 1 / (of_package(fcntl.fcntl, 1035, bytes(8)) == struct.pack("Q", 3))),
    "a generation": (lambda: of_package(fcntl.ioctl, 0x40087602, struct.pack("l", 77)), lambda: 1 / (of_package(fcntl.ioctl, 0x80087601, bytes(8)) == struct.pack("l", 77))),
    "the store of verdicts": (lambda: gives("{root}/.kata/kata_handed_on", "x"), lambda: takes("{root}/.kata/kata_handed_on")),
    "a queue of messages": (lambda: called(240, b"kata_handed_on", 66, 0o600, None), lambda: called(240, b"kata_handed_on", 2, 0, None)),
    "the machine's name": (lambda: socket.sethostname("kata-handed-on"), lambda: 1 / (socket.gethostname() == "kata-handed-on")),
    "shared memory": (lambda: gives("/dev/shm/kata_handed_on", "x"), lambda: takes("/dev/shm/kata_handed_on")),
    "a file in /tmp": (lambda: gives("/tmp/kata_handed_on", "x"), lambda: takes("/tmp/kata_handed_on")),
    "a file beside its folder": (lambda: gives(f"{HERE}/../kata_handed_on", "x"), lambda: takes(f"{HERE}/../kata_handed_on")),
    "a compiled file": (lambda: gives(F[:-3] + ".pth", "x"), lambda: takes(F[:-3] + ".pth")),
    "an abstract name": (lambda: keep.append(listens()), lambda: reached()),
    "a segment of System V": (lambda: segment(0o1600), lambda: segment(0)),
    "a folder in shared memory": (lambda: os.makedirs("/dev/shm/kata_handed_on_too/deep"), lambda: os.stat("/dev/shm/kata_handed_on_too")),
    "a socket in shared memory": (lambda: socket.socket(socket.AF_UNIX).bind("/dev/shm/kata_handed_on_socket"), lambda: os.stat("/dev/shm/kata_handed_on_socket")),
    "the flags of an open file": (lambda: [fcntl.fcntl(one, 4, os.O_APPEND | os.O_NONBLOCK) for one in inherited()], lambda: 1 / any(fcntl.fcntl(one, 3) & os.O_APPEND for one in inherited())),
    "memory that jobs share": (lambda: 1 / shared(), lambda: 1 / shared()),
    "the terminal's or user's keys": (lambda: key(248), lambda: key(249)),
}
keep = []
def shared(): return sum(line.split()[1].startswith("rw-s") for line in open("/proc/self/maps"))
def inherited(): return [int(one) for one in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{one}")]
def listens():
    one = socket.socket(socket.AF_UNIX)
    one.bind(chr(0) + "kata_handed_on")
    one.listen()
    return one
def reached():
    socket.socket(socket.AF_UNIX).connect(chr(0) + "kata_handed_on")
def called(*given):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*map(ctypes.c_long, given[:1]), *given[1:]) < 0: raise OSError(ctypes.get_errno(), "refused")
def segment(flags): called(29, 4711, 4096, flags)
def key(number): called(number, b"user", b"kata_handed_on", b"x" if number == 248 else None, 1 if number == 248 else 0, -4)
told = []
for name, way in ways.items():
    try: way[{place}](); told.append(name)
    except (OSError, ZeroDivisionError): pass
"""
NAME = f"kata_handed_on_{os.getpid()}"  # other tests may run on this machine
WAYS = (
    WAYS.replace("{root}", str(ROOT))
    .replace("kata_handed_on", NAME)
    .replace("4711", str(os.getpid()))
)
GIVES, TAKES = WAYS.replace("{place}", "0"), WAYS.replace("{place}", "1")
SAYS = "\ndef {name}(*_): raise LookupError(sorted(told))\n"


def _files(folder: str) -> list[str]:
    return sorted(
        entry.name
        for entry in os.scandir(folder)
        if entry.is_file(follow_symlinks=False)
    )


def graded(kata, folder: Path, code: str, only: str) -> str:
    (folder / kata.file).parent.mkdir(parents=True)
    (folder / kata.file).write_text(code)
    [result] = grading.grade_folder([kata], folder, options=RunOptions(only=(only,)))
    return failures(result)


@linux
@pytest.mark.parametrize("number", ["01", "09"])
@pytest.mark.parametrize("place", ["as it is", "without namespaces"])
def test_the_next_submission_gets_nothing(number, place, tmp_path, monkeypatch):
    """Kata 09 may open sockets and write to /dev/shm, and gives into its own."""
    if place == "without namespaces":
        monkeypatch.setattr(sandbox.namespaces, "are_allowed", lambda: False)
    kata = find(number)
    exercise = kata.exercises[0]
    says = SAYS.format(name=exercise.name)
    text = kata.reference.read_text()
    first = graded(kata, tmp_path / "a", f"{text}\n{GIVES}{says}", exercise.spec_class)
    second = graded(kata, tmp_path / "b", f"{text}\n{TAKES}{says}", exercise.spec_class)
    assert ("the flags of an open file" in first) and (number == "09") == (
        "a folder in shared memory" in first
    ), first
    assert "LookupError: []" in second, second
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(NAME)]


# What tells which pages of a file are in memory, or that something was read from the
# disk: no timing is needed.
TELLS = """
import ctypes, mmap, os, resource, torch
libc, told = ctypes.CDLL(None, use_errno=True), []
def called(name, *given):
    if getattr(libc, name)(*given) < 0: raise OSError(ctypes.get_errno(), name)
opened, place = os.open(torch.__file__, os.O_RDONLY), f"/proc/self/task/{os.getpid()}"
mapped = mmap.mmap(opened, 4096, prot=mmap.PROT_READ)
ways = {
    "the use of this process": lambda: resource.getrusage(resource.RUSAGE_SELF),
    "the use of a thread": lambda: resource.getrusage(resource.RUSAGE_THREAD),
    "the memory of the machine": lambda: called("sysinfo", bytes(112)),
    "reading what is there": lambda: os.preadv(opened, [bytearray(1)], 0, os.RWF_NOWAIT),
    "the pages themselves": lambda: called("mincore", ctypes.c_void_p(0), ctypes.c_size_t(4096), bytes(1)),
    "the cache": lambda: called("syscall", 451, opened, bytes(16), bytes(40), 0),
    "pages that are moved out": lambda: mapped.madvise(21),
}
"""
FOLDERS = (
    "/proc",
    "/proc/self",
    "/proc/self/task/{pid}",
    "/sys/devices/system/node/node0",
)
FILES = [
    f"{folder}/{name}"
    for folder in FOLDERS
    for name in _files(folder.format(pid=os.getpid()))
]
TELLS += f"""
for name in {FILES!r}:
    ways[name] = lambda name=name: os.open(name.replace("{{pid}}", str(os.getpid())), os.O_RDONLY)
for name, way in ways.items():
    try: way(); told.append(name)
    except OSError: pass
"""


@linux
@pytest.mark.parametrize("number", ["01", "31"])
@pytest.mark.parametrize("place", ["as it is", "without namespaces"])
def test_nothing_tells_which_pages_are_in_memory(number, place, tmp_path, monkeypatch):
    """Every file is tried that there is of a process and of the machine: a new Linux
    may have new ones.
    """
    if place == "without namespaces":
        monkeypatch.setattr(sandbox.namespaces, "are_allowed", lambda: False)
    kata = find(number)
    exercise = kata.exercises[0]
    code = f"{kata.reference.read_text()}\n{TELLS}{SAYS.format(name=exercise.name)}"
    found = graded(kata, tmp_path, code, exercise.spec_class)
    assert f"LookupError: {['/proc/self/maps']}" in found, found


@pytest.mark.skipif(
    not namespaces.are_allowed(), reason="this machine allows no namespaces"
)
def test_in_namespaces_reading_a_file_leaves_no_time_of_access(tmp_path):
    shutil.copytree(SOUND, tmp_path / "tree")
    kata = all_katas(tmp_path / "tree")[0]
    file = kata.folder / "file"
    file.write_text("x")
    os.utime(file, (1, 2))
    code = f"{kata.reference.read_text()}\nopen({str(file)!r}).read()\n"
    assert graded(kata, tmp_path, code, kata.exercises[0].spec_class).strip() == ""
    assert file.stat().st_atime == 1


class TestWhatHasChanged:
    @pytest.fixture
    def file(self, tmp_path) -> Path:
        (tmp_path / "ann").mkdir()
        (tmp_path / "ann/sums.py").write_text("x")
        return tmp_path / "ann/sums.py"

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            (lambda file: file.chmod(0o604), "rights"),
            (lambda file: file.parent.chmod(0o704), "rights"),
            (lambda file: os.utime(file, (1, 1)), "contents"),
            (lambda file: file.write_text("longer"), "contents"),
            (lambda file: file.unlink(), "contents"),
            (lambda file: file.with_name("new").write_text("y"), ""),
            (lambda file: file.read_text(), ""),
        ],
        ids=["mode", "mode of a folder", "time", "contents", "gone", "new", "read"],
    )
    def test_it_is_known_by_its_kind(self, file, change, kind):
        before = untouched.known([file.parent])
        change(file)
        found = untouched.changes(before)
        assert (bool(found.rights), bool(found.contents)) == (
            kind == "rights",
            kind == "contents",
        )
        assert len(untouched.lines(found)) == bool(kind)

    @linux
    def test_attributes_are_looked_at(self, file):
        before = untouched.known([file.parent])
        try:
            os.setxattr(file, "user.kata", b"x")
        except OSError:
            pytest.skip("this file system has no attributes")
        assert untouched.changes(before).rights == (str(file),)

    def test_a_class_run_says_it_first_and_fails(
        self, tmp_path, kata_here, monkeypatch
    ):
        """Code cannot do it any more, so the test does it while the class is graded."""
        place = tmp_path / "class/ann/01_tensors/tensors.py"
        place.parent.mkdir(parents=True)
        place.write_text(find("01").code.read_text())
        grade_class = class_grading.grade_class

        def meanwhile(*given, **options):
            place.chmod(0o604)
            return grade_class(*given, **options)

        monkeypatch.setattr(class_grading, "grade_class", meanwhile)
        ended = kata_here("class", tmp_path / "class", "01")
        assert ended.returncode == 2 and "1 file changed in mode" in ended.stderr
        lines = ended.stdout.splitlines()
        [said] = [line for line in lines if line.startswith("CHANGED while graded")]
        assert str(place) in said and lines.index(said) < lines.index(
            next(x for x in lines if x.startswith("ann:"))
        )
        os.utime(place, (1, 1))
        monkeypatch.setattr(
            class_grading,
            "grade_class",
            lambda *g, **o: os.utime(place) or grade_class(*g, **o),
        )
        ended = kata_here("class", tmp_path / "class", "01")
        assert (
            ended.returncode == 0
            and "changed while graded, in times or contents" in ended.stdout
        )
