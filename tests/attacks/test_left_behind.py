"""Attacks without forging: links out of a checkout, names that are not text, and
remains of code on the machine.
"""

import glob
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from grader import printable
from grader.course.catalogue import ROOT, Kata, find
from grader.execution import grading, supervisor
from grader.isolation import (
    namespaces,
    proc,
    refused,
    sandbox,
    seccomp,
    shared_memory,
    unlinked,
    usage,
)
from grader.isolation.rights import PLAIN
from grader.isolation.usage import Limit
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.teaching import submissions
from grader.workers import folders, orphans, servers
from tests.attacks.refusing import refusing
from tests.conftest import SOUND

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def graded(kata: Kata, folder: Path, code: str, **options) -> KataResult:
    (folder / kata.file).parent.mkdir(parents=True)
    (folder / kata.file).write_text(code)
    [result] = grading.grade_folder([kata], folder, options=RunOptions(**options))
    return result


class TestLinks:
    @pytest.fixture
    def checkout(self, tmp_path) -> Path:
        """A student's checkout beside a course with the solutions, in which katas/
        leads to them.
        """
        shutil.copytree(SOUND, tmp_path / "course")
        (tmp_path / "checkout").mkdir()
        (tmp_path / "checkout/katas").symlink_to("../course/solutions")
        return tmp_path / "checkout"

    def test_a_code_folder_that_leads_out_of_the_checkout_is_refused(
        self, checkout, kata_here
    ):
        ended = kata_here("grade", "01", "--code", checkout / "katas")
        assert ended.returncode == 2 and "is a link that leads out of" in ended.stderr

    def test_pytest_refuses_it_too(self, checkout):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "katas/01",
            "--code",
            str(checkout / "katas"),
        ]
        ended = subprocess.run(
            command, cwd=SOUND.parents[2], capture_output=True, text=True
        )
        assert ended.returncode == 4 and "is a link that leads out of" in ended.stderr

    def test_a_report_replaces_a_link(self, tmp_path, kata_here):
        (tmp_path / "precious").write_text("kept")
        (tmp_path / "result.json").symlink_to("precious")
        kata_here("grade", "01", "--report", f"json={tmp_path / 'result.json'}")
        assert (tmp_path / "precious").read_text() == "kept"
        assert (
            not (tmp_path / "result.json").is_symlink()
            and "kata-report" in (tmp_path / "result.json").read_text()
        )

    def test_a_report_replaces_a_link_to_a_folder_and_to_a_pipe(
        self, tmp_path, kata_here
    ):
        os.mkfifo(tmp_path / "pipe")
        for number, target in enumerate((tmp_path, tmp_path / "pipe")):
            path = tmp_path / f"result{number}.json"
            path.symlink_to(target)
            kata_here("grade", "01", "--report", f"json={path}")
            assert path.is_file() and not path.is_symlink()


class TestNames:
    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("Zoë Żuk", "Zoë Żuk"),
            ("a\nb", "a b"),
            ("::error::x", ". ::error::x"),
            ("x ##[stop-commands]t", "x ##. [stop-commands]t"),
            ("\x1b[31mred", "\ufffd[31mred"),
            ("\u202etxt.exe", "\ufffdtxt.exe"),
            ("half \udc80", "half \ufffd"),
        ],
    )
    def test_a_name_on_one_line(self, name, shown):
        assert printable.line(name) == shown

    def test_students_whose_names_look_the_same_stay_apart(self, tmp_path):
        for name in ("a\u202e", "a\u202d", "a\nb"):
            (tmp_path / name).mkdir()
        assert sorted(found.student for found in submissions.collect(tmp_path)) == [
            "a b",
            "a\ufffd",
            "a\ufffd (2)",
        ]


@pytest.mark.usefixtures("warm_workers")
class TestWorkers:
    def test_without_the_last_message_nothing_counts(self, sound, tmp_path):
        """Another worker says it again, all but the spec that ended the first one."""
        leave = (
            "\nimport os\ndef total(x, dim=0):\n    open('was here', 'a').write('x')\n"
            "    os._exit(0)\n"
        )
        result = graded(sound[0], tmp_path, RIGHT + leave)
        assert {e.name: e.so_far.point for e in result.exercises} == {
            "double": True,
            "total": False,
            "Doubler": True,
        }
        assert "ended the process" in result.exercises[1].first_failure.message

    def test_a_crash_in_an_edge_spec_costs_the_star_only(self, sound, tmp_path):
        crash = (
            "\nimport os\n_total = total\ndef total(x, dim=0):\n"
            "    return _total(x, dim) if x.dim() else os._exit(3)\n"
        )
        result = graded(sound[0], tmp_path, RIGHT + crash)
        [total] = [
            exercise for exercise in result.exercises if exercise.name == "total"
        ]
        assert total.so_far.point and not total.so_far.star, total.specs

    def test_a_kata_has_a_limit_as_a_whole(self, sound, tmp_path, monkeypatch):
        monkeypatch.setattr(supervisor, "OF_KATA", Limit(60.0, 1.0, 600.0))
        monkeypatch.setattr(folders, "LOOK_SECONDS", 0.0)
        slow = RIGHT + (
            "\nimport time\n_double = double\ndef double(x):\n"
            "    time.sleep(0.4)\n    return _double(x)\n"
        )
        result = graded(sound[0], tmp_path, slow)
        assert result.so_far.points == 0 and "the kata waited " in result.message

    @linux
    def test_honest_code_that_the_sandbox_refuses_is_told_so(self, sound, tmp_path):
        """Not where no machine has so much memory, and not without a sandbox."""
        code = "import subprocess, torch\ndef double(x): subprocess.run(['true'])\n"
        code += (
            "def total(x, dim=0): return torch.empty(10**15)\n"
            "class Doubler(torch.nn.Module):\n"
        )
        code += "    def forward(self, x): return input()\n"
        found = {
            one.name: dict(one.first_failure.failure.told)
            for one in graded(sound[0], tmp_path, code).exercises
        }
        does = "; `pytest {}katas/01` does"
        processes = (
            "the grader allows no new processes or programs, no network, and not "
            "every system call"
        )
        assert found["double"]["means"] == processes + does.format("")
        assert found["Doubler"]["means"] == "the grader allows no input" + does.format(
            "-s "
        )
        assert "allocate" in found["total"]["raised"] and "means" not in found["total"]
        assert refused.told(PermissionError(1, os.strerror(1)), "01") == ""

    def test_a_folder_that_is_filled_ends_the_job(self, sound, tmp_path, monkeypatch):
        monkeypatch.setattr(folders, "FOLDER_FILES", 100)
        fill = (
            "\nfor number in range(200): open(f'{number}', 'w')\nimport time\n"
            "time.sleep(600)\n"
        )
        result = graded(sound[0], tmp_path, RIGHT + fill, spec_seconds=60.0)
        assert result.so_far.points == 0 and "fills its folder" in result.message

    @linux
    def test_many_threads_end_the_job(self, sound, tmp_path):
        """With small stacks, memory does not bound them. Another user than root is
        refused them at the same number.
        """
        start = "\nimport threading, time\nthreading.stack_size(32768)\n"
        start += "sleeps = {'target': time.sleep, 'args': (600,), 'daemon': True}\n"
        start += (
            "[threading.Thread(**sleeps).start() for _ in range(300)] and "
            "time.sleep(600)\n"
        )
        result = graded(sound[0], tmp_path, RIGHT + start, spec_seconds=60.0)
        refused = "can't start new thread"
        assert (
            result.so_far.points == 0
            and "too many threads: the limit is 128" in result.message
            or refused in result.message
        )

    @linux
    def test_removed_files_count_while_a_process_holds_them(self, tmp_path):
        """Open ones by their blocks, and mapped ones, whose size is not told, as the
        longest allowed.
        """
        for name in ("open", "mapped"):
            (tmp_path / name).write_bytes(b"x" * 100_000)
        with open(tmp_path / "open") as opened:
            mapped = torch.from_file(
                str(tmp_path / "mapped"), shared=True, size=4096, dtype=torch.uint8
            )
            assert unlinked.bytes_held(tmp_path, [os.getpid()]) == 0
            for name in ("open", "mapped"):
                (tmp_path / name).unlink()
            held = unlinked.bytes_held(tmp_path, [os.getpid()]) - unlinked.on_disk(
                os.fstat(opened.fileno())
            )
            assert held == PLAIN.file_size and len(mapped)

    STRANGE = """
import ctypes, os, platform, threading, time
libc, exits, unshares = ctypes.CDLL(None), *((60, 272) if platform.machine() == "x86_64" else (93, 97))
libc.prctl(15, b"\\xff) R 1 (\\n", 0, 0, 0)
def held(name):
    file = os.open(name, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, 1 << 20)
    os.unlink(name)
    return file
def holds():
    libc.syscall(ctypes.c_long(unshares), ctypes.c_long(0x400))  # its descriptors are its own from now on
    held(b"open \\xff) \\r\\n (deleted)")
    mapped = held(b"mapped \\xff) \\r\\n ")
    libc.mmap(None, ctypes.c_size_t(4096), 3, 1, mapped, ctypes.c_long(0))
    os.close(mapped)
    print(flush=True)
    end = time.process_time() + 0.2
    while time.process_time() < end: pass
    input()
    os._exit(0)
threading.Thread(target=holds).start()
libc.syscall(ctypes.c_long(exits), ctypes.c_long(0))  # the first thread ends, and the process goes on
"""

    @linux
    def test_names_and_threads_hide_nothing(self, tmp_path):
        """A name that is no UTF-8 and looks like more fields, files named so, a first
        thread that has ended.
        """
        command = [sys.executable, "-c", self.STRANGE]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=tmp_path, **pipes) as strange:
            strange.stdout.readline()
            assert unlinked.bytes_held(tmp_path, [strange.pid]) >= PLAIN.file_size + (
                1 << 20
            )
            until = time.monotonic() + 60
            while (
                usage.of_processes([strange.pid]).computing < 0.2
                and time.monotonic() < until
            ):
                time.sleep(0.05)
            assert (
                usage.of_processes([strange.pid]).computing >= 0.2
                and usage.tasks([strange.pid]) == 2
            )
            assert shared_memory.names_of([strange.pid]) == set()
            strange.communicate(b"\n")
        assert (
            proc.stat(strange.pid) == []
            and not list(proc.mapped(strange.pid, b"/"))
            and not proc.tasks(strange.pid)
        )

    HIDES = """
import ctypes, os
from grader.isolation import processes, rights, seccomp
if child := os.fork():
    os._exit(os.waitpid(child, 0)[1])
libc, found = ctypes.CDLL(None), ctypes.c_int()
processes.die_with_parent()
seccomp.restrict(rights.{rights}, signals=False)
answers = [libc.prctl(1, 0, 0, 0, 0), libc.prctl(4, 0, 0, 0, 0), libc.prctl(15, b"name", 0, 0, 0)]
libc.prctl(2, ctypes.byref(found), 0, 0, 0)
print(answers, found.value, libc.prctl(3, 0, 0, 0, 0), os.setsid() or os.getsid(0) == os.getppid())
"""

    @linux
    @pytest.mark.parametrize("rights", ["PLAIN", "WITH_PROCESSES"])
    def test_a_process_can_neither_hide_its_files_nor_leave_its_parent_or_its_session(
        self, rights
    ):
        """Where a user grades, /proc shows no files of a process that is
        not dumpable.
        """
        command = [sys.executable, "-c", self.HIDES.format(rights=rights)]
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, start_new_session=True
        )
        assert ended.stdout == "[0, 0, 0] 9 1 True\n", ended.stderr

    @linux
    def test_whatever_is_raised_meanwhile_a_tree_is_killed(self, monkeypatch):
        monkeypatch.setattr(shared_memory, "names_of", lambda pids: 1 / 0)
        with (
            subprocess.Popen(["sleep", "601.76"]) as started,
            pytest.raises(ZeroDivisionError),
        ):
            orphans.end([started.pid])
        assert started.returncode == -signal.SIGKILL

    def test_loading_is_said_once(self):
        from grader.protocol import Collected, Loaded, Loading, SpecInfo

        class OfNoWorker(supervisor.Supervisor):
            def __init__(self):
                self.phase, self.specs, self.follow_up = "starting", {}, None
                self.job = type(
                    "Job", (), {"options": RunOptions(), "files": {}, "problem": None}
                )()

            def _used(self):
                return None

        one = OfNoWorker()
        one._take(Collected((SpecInfo("TestX::test_y", "x", 1.0, "", False, 1, ""),)))
        one._take(Loading())
        with pytest.raises(ValueError, match="Loading does not come while loading"):
            one._take(Loading())
        one._take(Loaded())
        with pytest.raises(ValueError, match="Loading"):
            one._take(Loading())


@linux
class TestMounts:
    """Mounts of a process are its own, whenever it ends."""

    ENDED = """
import os, sys
from pathlib import Path
from grader.isolation import namespaces
namespaces.{step} = lambda *_, **__: os._exit(9)
view = namespaces.View([Path(sys.base_prefix)], [], os.getuid(), Path(sys.argv[1]))
namespaces.enter(view, processes={processes}, loopback=False)
"""

    @pytest.mark.skipif(
        not namespaces.are_allowed(), reason="this machine allows no namespaces"
    )
    @pytest.mark.parametrize("step", ["_copy", "_restrict"])
    @pytest.mark.parametrize(
        "processes", [False, True], ids=["in this process", "in a child"]
    )
    def test_a_job_that_ends_between_two_of_them_leaves_none(
        self, tmp_path, step, processes
    ):
        mounts = Path("/proc/self/mountinfo")
        (tmp_path / "code").mkdir()
        before = mounts.read_text()
        command = [
            sys.executable,
            "-c",
            self.ENDED.format(step=step, processes=processes),
            str(tmp_path / "code"),
        ]
        assert abs(subprocess.run(command, capture_output=True).returncode) == 9
        assert mounts.read_text() == before
        folders.remove(tmp_path / "code.root")
        assert not (tmp_path / "code.root").exists()

    def test_a_trial_that_hangs_is_ended(self, monkeypatch):
        monkeypatch.setattr(namespaces, "TRY", "import time; time.sleep(600)")
        monkeypatch.setattr(namespaces, "TRY_SECONDS", 0.2)
        before = proc.children(os.getpid())
        assert not namespaces.are_allowed.__wrapped__()
        assert proc.children(os.getpid()) == before

    @pytest.mark.usefixtures("warm_workers")
    def test_a_job_leaves_none(self, sound, tmp_path):
        before = Path("/proc/self/mountinfo").read_text()
        assert graded(sound[0], tmp_path, RIGHT, sealed=True).so_far.points == 3
        assert Path("/proc/self/mountinfo").read_text() == before


@linux
@pytest.mark.usefixtures("warm_workers")
class TestLeftBehind:
    """With kata 09, whose specs may start processes."""

    def ran(self, kata: Kata, folder: Path, code: str) -> None:
        """Grade one exercise with this code, which was imported."""
        result = graded(kata, folder, code, only=("TestSplitSizes",))
        assert "not found in" in result.exercises[0].first_failure.message

    @pytest.fixture
    def kata(self) -> Kata:
        return find("09")

    @pytest.mark.parametrize("apart", {namespaces.are_allowed(), False})
    def test_many_sockets_end_the_job(self, kata, tmp_path, monkeypatch, apart):
        """What is in them is the kernel's memory, which no limit on a
        process counts.
        """
        monkeypatch.setattr(sandbox.namespaces, "are_allowed", lambda: apart)
        code = "import os, socket, time\nfor _ in range(3): os.fork()\n"
        code += "held = [socket.socketpair() for _ in range(50)]\ntime.sleep(600)\n"
        result = graded(kata, tmp_path, code, only=("TestSplitSizes",))
        assert (
            result.so_far.points == 0
            and "too many sockets: the limit is 512" in result.message
        )

    def test_processes_in_sessions_of_their_own_are_found_again(self, kata, tmp_path):
        code = """
import os, time
for _ in range(3):
    if os.fork() == 0:  # a process in a session of its own, which has another
        os.setsid()
        if os.fork() == 0:
            os.setsid()
        time.sleep(600)
"""
        before = proc.children(os.getpid())
        self.ran(kata, tmp_path, code)
        assert proc.children(os.getpid()) <= before | servers.helpers()

    def test_shared_memory_that_has_a_name_is_removed(self, kata, tmp_path):
        left = Path(f"/dev/shm/left_{os.getpid()}")
        code = f"""
import mmap, os
file = os.open('{left}', os.O_CREAT | os.O_RDWR)
os.ftruncate(file, 1 << 20)
memory = mmap.mmap(file, 1 << 20)
"""
        self.ran(kata, tmp_path, code)
        assert not left.exists()

    def test_whatever_is_new_in_shared_memory_is_removed_without_namespaces(
        self, kata, tmp_path, monkeypatch
    ):
        """Files, links, sockets and folders, in each other, or closed to everybody.
        What was there before stays.
        """
        monkeypatch.setattr(sandbox.namespaces, "are_allowed", lambda: False)
        before, left = (
            Path("/dev/shm", f"kata_test_{os.getpid()}"),
            f"/dev/shm/kata_left_{os.getpid()}",
        )
        before.write_text("there before")
        code = f"""
import os, socket
left = {left!r}
os.makedirs(left + "/deep/closed")
for name in ("/file", "/deep/file", "/deep/closed/file", "_file"): open(left + name, "w").write("handed on")
os.symlink({str(before)!r}, left + "_link")
os.symlink({str(before.parent)!r}, left + "/link")
socket.socket(socket.AF_UNIX).bind(left + "_socket")
os.mkdir(left + "_closed", 0)
os.rename(left + "/deep/closed", left + "/deep/moved")
"""
        try:
            self.ran(kata, tmp_path, code)
            assert before.read_text() == "there before"
            assert not glob.glob(f"{left}*")
        finally:
            before.unlink()

    def test_a_process_that_outlives_its_job_leaves_nothing_either(
        self, kata, tmp_path, monkeypatch
    ):
        """Without namespaces, it writes when the others have ended."""
        monkeypatch.setattr(sandbox.namespaces, "are_allowed", lambda: False)
        left = f"/dev/shm/kata_left_{os.getpid()}"
        code = f"""
import os, time
parent = os.getpid()
if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    while True:
        try: os.kill(parent, 0); open({left!r}, "w").close()
        except OSError: os.makedirs({left!r} + "_later", exist_ok=True)
"""
        self.ran(kata, tmp_path, code)
        assert not glob.glob(f"{left}*")

    def test_what_another_process_has_open_stays_until_that_one_has_ended(self):
        """Or a second submission could keep for a third one what the first has left."""
        before = shared_memory.present()
        folder = Path("/dev/shm", f"kata_test_{os.getpid()}")
        folder.mkdir()
        try:
            with open(folder / "file", "w"):
                assert folder not in shared_memory.left_since(before)
            assert folder in shared_memory.left_since(before)
        finally:
            folders.remove(folder)

    @pytest.mark.parametrize("refused", ["unshare", "mount", "pivot_root"])
    def test_namespaces_that_cannot_be_set_up_are_not_entered(self, refused):
        """Some systems let a process into new ones and then deny it the
        rights there.
        """
        code = (
            "from grader.isolation import namespaces; print(namespaces.are_allowed())"
        )
        ended = refusing(refused, sys.executable, "-c", code)
        assert ended.stdout == "False\n", ended.stderr

    @pytest.mark.skipif(not seccomp.is_known(), reason="no filter for this machine")
    @pytest.mark.parametrize(
        "body",
        [
            "os.memfd_create('x')",
            "refused('shmget', 0, 1 << 20, 0o1600)",
            "refused('shmat', 0, 0, 0)",
            "refused('wait4', -1, 0, 1, bytes(144))",
            "refused('waitid', 0, 0, 0, 5, bytes(144))",
            "refused('madvise', 0, 0, 21)",
            "refused('io_setup', 1, bytes(8))",
            "resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
            "os.sched_setaffinity(os.getppid(), {0})",
            "os.sched_setparam(os.getppid(), os.sched_param(0))",
            "os.sched_setscheduler(os.getppid(), os.SCHED_OTHER, os.sched_param(0))",
            "refused('sched_setattr', os.getppid(), attributes, 0)",
            "os.setpriority(os.PRIO_PROCESS, os.getppid(), 5)",
            "os.setpriority(os.PRIO_PGRP, 0, 5)",
            "os.setpriority(os.PRIO_USER, 0, 5)",
            "refused('ioprio_set', 1, os.getppid(), 3 << 13)",
            "os.kill(os.getppid(), 0)",
            "os.kill(-1, 0)",
            "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
            "fcntl.ioctl(0, 0x8901, struct.pack('i', os.getppid()))",
            "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
            "refused('unshare', 0x10000000)",
            "refused('clone', 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)",
            "refused('clone', 0x8000 | 0x10000, 0, 0, 0, 0)",
            "refused('setns', 0, 0)",
            "refused('userfaultfd', 1)",
            "refused('io_uring_setup', 1, 0)",
            "refused('io_uring_enter', 0, 0, 0, 0, 0)",
            "refused('mount', 0, 0, 0, 0, 0)",
            "refused('pidfd_getfd', 0, 0, 0)",
            "refused('bpf', 0, 0, 0)",
            "refused('perf_event_open', 0, 0, 0, 0, 0)",
            "refused('keyctl', 0, 0)",
            "refused('open_by_handle_at', 0, 0, 0)",
            "os.fork()",
        ],
    )
    def test_the_filter_denies(self, body):
        """Tried in a process of its own under the filter alone, as on a system whose
        Landlock knows no signals.
        """
        code = f"""
import ctypes, fcntl, os, platform, resource, signal, socket, struct, threading
from grader.isolation import rights, seccomp

attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, 0, 0, 0, 0, 0)

def refused(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    if libc.syscall(ctypes.c_long(seccomp.CALLS[platform.machine()][name]), *given) < 0:
        raise OSError(ctypes.get_errno(), "as it should be, if this is EPERM")

os.kill(os.getpid(), 0)
seccomp.restrict(rights.PLAIN, signals=True)
os.kill(os.getpid(), 0)
signal.pthread_kill(threading.get_ident(), 0)
resource.prlimit(0, resource.RLIMIT_CPU)
os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0))
socket.socketpair()
thread = threading.Thread(target=print, args=("a thread starts",))
thread.start()
thread.join()
try:
    {body}
except PermissionError:
    print("denied")
"""
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        )
        assert ended.stdout == "a thread starts\ndenied\n", ended.stderr
