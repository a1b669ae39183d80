"""Broken, slow, greedy and hostile code: each gets a clear verdict in bounded time, and
harms nothing else.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import count, repeat
from pathlib import Path

import pytest

from grader import printable, protocol
from grader.course import kata_modules
from grader.course.catalogue import ROOT, Kata, all_katas, find
from grader.errors import LoadFailure
from grader.execution import grading, supervisor
from grader.execution.result_cache import ResultCache
from grader.execution.supervisor import Supervisor
from grader.failure import UNPARSED, Failure
from grader.isolation import namespaces
from grader.lock import bare_server
from grader.lock.asking import Asking
from grader.protocol import Loading, RunOptions, SpecFinished, SpecStarted
from grader.results import KataResult
from grader.workers import forkserver, servers
from tests.conftest import SOUND

pytestmark = pytest.mark.usefixtures("warm_workers")
# Without namespaces what is there may not be opened, and within them it is not there or
# cannot be changed.
REFUSED = (
    "PermissionError",
    *(
        ("FileNotFoundError", "Read-only file system")
        if namespaces.are_allowed()
        else ()
    ),
)
RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()


def graded(kata: Kata, code: Path, **options) -> KataResult:
    [result] = grading.grade_folder([kata], code, options=RunOptions(**options))
    return result


def statuses(result: KataResult) -> dict[str, set[str]]:
    return {
        exercise.name: {spec.status for spec in exercise.specs}
        for exercise in result.exercises
    }


def messages(result: KataResult) -> str:
    return "\n".join(
        [result.message, *(s.message for e in result.exercises for s in e.specs)]
    )


def workers() -> list[str]:
    """The process ids of the workers that there are."""
    [server] = forkserver.helpers()
    return Path(f"/proc/{server}/task/{server}/children").read_text().split()


def replaced(function: str, body: str) -> str:
    """The reference with one function redefined after it."""
    return f"{RIGHT}\n\nimport torch, os, time, sys\n\ndef {function}:\n    {body}\n"


def test_a_worker_that_cannot_be_started_costs_nothing(sound, tmp_path, monkeypatch):
    """The machine is to blame, so there is no verdict."""

    def refuse(*_):
        raise OSError("no more processes")

    monkeypatch.setattr(forkserver, "start_worker", refuse)
    result = graded(sound[0], SOUND / "solutions")
    assert result.gap and "no more processes; grade again" in messages(result)


class TestTheFile:
    """A missing, special or broken file of the kata. In each case all specs fail with
    the same single line.
    """

    def check(self, sound, code: Path, *words: str) -> None:
        result = graded(sound[0], code)
        assert result.so_far.points == 0
        lines = {
            spec.message
            for exercise in result.exercises
            for spec in exercise.specs
            if spec.status != "skipped"
        }
        assert len(lines) == 1, lines
        [line] = lines
        assert "\n" not in line and "sums.py" in line
        for word in words:
            assert word in line
        assert {
            spec.status for exercise in result.exercises for spec in exercise.specs
        } == {"failed", "skipped"}

    def test_missing(self, sound, tmp_path):
        self.check(sound, tmp_path, "not found in")

    def test_a_folder(self, sound, tmp_path):
        (tmp_path / sound[0].file).mkdir(parents=True)
        self.check(sound, tmp_path, "is a folder")

    def test_a_symbolic_link(self, sound, tmp_path):
        (tmp_path / sound[0].file).parent.mkdir()
        (tmp_path / sound[0].file).symlink_to(sound[0].reference)
        self.check(sound, tmp_path, "symbolic link")

    def test_a_named_pipe_does_not_block(self, sound, tmp_path):
        (tmp_path / sound[0].file).parent.mkdir()
        os.mkfifo(tmp_path / sound[0].file)
        self.check(sound, tmp_path, "not a regular file")

    def test_binary(self, sound, submission):
        self.check(sound, submission(sound[0], bytes(range(256)) * 4), "not UTF-8 text")

    def test_nul_characters(self, sound, submission):
        self.check(sound, submission(sound[0], b"x = 1\0\n"), "NUL")

    def test_a_hundred_megabytes(self, sound, submission):
        code = submission(sound[0], b"")
        with open(code / sound[0].file, "r+b") as file:
            file.truncate(100_000_000)
        self.check(sound, code, "100 MB", "limit is 1 MB")

    def test_another_encoding_that_it_declares(self, sound, submission):
        text = "# -*- coding: latin-1 -*-\n# caf\xe9\n" + RIGHT.replace("★", "*")
        assert (
            graded(sound[0], submission(sound[0], text.encode("latin-1"))).state
            == "works"
        )

    def test_empty(self, sound, submission):
        result = graded(sound[0], submission(sound[0], ""))
        assert result.so_far.points == 0
        assert "double: not found in sums.py" in messages(result)

    def test_a_syntax_error_names_the_line(self, sound, submission):
        self.check(
            sound,
            submission(sound[0], "import torch\n\ndef double(x:\n    return x\n"),
            f":3: {UNPARSED}: SyntaxError",
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "import torch\nimport no_such_module\n",
                "`import no_such_module` fails: ModuleNotFoundError",
            ),
            ("x = 1\ny = x / 0\n", "`y = x / 0` fails: ZeroDivisionError"),
            ("import sys\nsys.exit(0)\n", "`sys.exit(0)` fails: SystemExit: 0"),
        ],
    )
    def test_a_statement_that_fails_names_its_line(self, text, said, sound, submission):
        result = graded(sound[0], submission(sound[0], text + RIGHT))
        assert f"sums.py:2: {said}" in result.message and result.so_far.points == len(
            result.exercises
        )


class TestTheModule:
    """Faults of the code while it is imported or called. The grader's process and other
    exercises survive.
    """

    def test_leaving_the_process_while_imported(self, sound, submission):
        result = graded(sound[0], submission(sound[0], "import os\nos._exit(0)\n"))
        assert (result.state, result.so_far.points) == ("crashed", 0)
        assert (
            "sums.py: ended the process (exit code 0) while it was imported"
            in result.message
        )

    def test_leaving_the_process_when_called(self, sound, submission):
        result = graded(
            sound[0], submission(sound[0], replaced("double(x)", "os._exit(0)"))
        )
        assert result.state == "crashed"
        assert statuses(result)["double"] == {"error", "missing"}
        assert statuses(result)["total"] == {"passed"}, (
            "the other exercises get a worker of their own"
        )
        assert "double: ended the process (exit code 0) during this spec" in messages(
            result
        )

    def test_system_exit_when_called(self, sound, submission):
        result = graded(
            sound[0], submission(sound[0], replaced("double(x)", "sys.exit(0)"))
        )
        assert statuses(result)["double"] == {"failed"}
        assert statuses(result)["total"] == {"passed"}

    @pytest.mark.parametrize(
        "error",
        [
            "KeyboardInterrupt",
            "GeneratorExit",
            "BaseException",
            "pytest.exit.Exception",
        ],
    )
    def test_raising_what_is_not_an_exception(self, sound, submission, error):
        result = graded(
            sound[0],
            submission(
                sound[0], "import pytest\n" + replaced("double(x)", f"raise {error}")
            ),
        )
        assert statuses(result)["double"] <= {"failed", "error", "missing"}
        assert statuses(result)["total"] == {"passed"}

    def test_skipping_itself_is_a_failure(self, sound, submission):
        result = graded(
            sound[0],
            submission(
                sound[0], "import pytest\n" + replaced("double(x)", "pytest.skip('no')")
            ),
        )
        assert statuses(result)["double"] == {"failed"}
        assert "skipped by the code itself" in messages(result)

    def test_a_crash_of_the_interpreter(self, sound, submission):
        result = graded(
            sound[0],
            submission(sound[0], replaced("double(x)", "os.kill(os.getpid(), 11)")),
        )
        assert statuses(result)["double"] == {"error", "missing"}
        assert statuses(result)["total"] == {"passed"}
        assert "crashed the process (SIGSEGV)" in messages(result)

    @pytest.mark.parametrize(
        ("memory_ran_out", "state", "status"),
        [(False, "crashed", "error"), (True, "not graded", "not graded")],
    )
    def test_a_kill_is_the_systems_only_where_memory_ran_out(
        self, sound, submission, monkeypatch, memory_ran_out, state, status
    ):
        kills = count() if memory_ran_out else repeat(0)
        monkeypatch.setattr(supervisor.processes, "oom_kills", lambda: next(kills))
        result = graded(
            sound[0],
            submission(sound[0], replaced("double(x)", "os.kill(os.getpid(), 9)")),
        )
        assert (result.state, statuses(result)["double"]) == (
            state,
            {status, "missing"},
        )
        assert statuses(result)["total"] == {"passed"}

    def test_endless_recursion(self, sound, submission):
        result = graded(
            sound[0], submission(sound[0], replaced("double(x)", "return double(x)"))
        )
        assert statuses(result)["double"] == {"failed"}
        assert "RecursionError" in messages(result)

    def test_ten_megabytes_of_output(self, sound, submission):
        result = graded(
            sound[0], submission(sound[0], f"print('x' * 10_000_000)\n{RIGHT}")
        )
        assert result.state == "works"

    def test_a_report_on_standard_output_counts_for_nothing(self, sound, submission):
        fake = (
            '{"result": "TestDouble::test_every_value_is_doubled", "status": '
            '"passed", "message": "", "seconds": 0}'
        )
        code = replaced(
            "double(x)",
            f"print('''{fake}'''); print('{{\"done\": true}}', flush=True); "
            "os._exit(0)",
        )
        assert graded(sound[0], submission(sound[0], code)).so_far.points == 1, (
            "only total's"
        )

    def test_threads_are_left_behind(self, sound, submission):
        code = (
            "import threading, time\nfor _ in range(4):\n"
            "    threading.Thread(target=time.sleep, args=(600,)).start()\n"
        ) + RIGHT
        started = time.monotonic()
        assert graded(sound[0], submission(sound[0], code)).state == "works"
        assert time.monotonic() - started < 300

    @pytest.mark.parametrize(
        "way",
        [
            "os.fork()",
            "__import__('subprocess').run(['sleep', '600'])",
            "os.execv('/bin/true', ['true'])",
        ],
    )
    def test_no_processes_of_its_own(self, sound, submission, way):
        result = graded(
            sound[0],
            submission(sound[0], replaced("double(x)", f"{way}; return 2 * x")),
        )
        assert statuses(result)["double"] == {"failed"}
        assert "PermissionError" in messages(result)

    @pytest.mark.parametrize(
        "needs", [[], ["processes"], ["processes", "loopback"]], ids=" and ".join
    )
    def test_what_its_specs_need_is_open(self, submission, tmp_path, needs):
        """Processes that hand each other tensors, and a network in which only the
        loopback address answers.
        """
        shutil.copytree(SOUND, tmp_path / "tree")
        kata = all_katas(tmp_path / "tree")[0]
        description = kata.folder / "kata.toml"
        description.write_text(f"needs = {needs}\n{description.read_text()}")
        work = "import torch\nfrom torch.multiprocessing import get_context\n" + RIGHT
        work += (
            "\n\ndef double(x):\n    pool = get_context('fork').Pool(1)\n"
            "    return pool.apply(torch.add, (x, x))\n"
        )
        network = (
            "import socket\n"
            + RIGHT
            + (
                "\n\ndef double(x):\n"
                "    server = socket.create_server(('127.0.0.1', 0))\n"
            )
        )
        network += "    socket.create_connection(server.getsockname()).close()\n"
        if namespaces.are_allowed():
            network += (
                "    seen = [name for _, name in socket.if_nameindex()]\n"
                "    assert seen == ['lo'], seen\n"
            )
        network += "    return 2 * x\n"
        for code, need in ((work, "processes"), (network, "loopback")):
            result = graded(kata, submission(kata, code))
            assert statuses(result)["double"] == (
                {"passed"} if need in needs else {"failed"}
            ), messages(result)

    def test_memory_is_bounded(self, sound, submission):
        code = (
            "import torch\nhoard = []\nwhile True:\n"
            "    hoard.append(torch.ones(50_000_000))\n"
        )
        result = graded(sound[0], submission(sound[0], code))
        assert result.so_far.points == 0
        assert (
            "sums.py:4: `hoard.append(" in result.message
            and "RuntimeError" in result.message
        )

    def test_computing_is_bounded(self, sound, submission):
        body = (
            "import resource; assert 0 < resource.getrlimit(resource.RLIMIT_CPU)[1] "
            "<= 900; return 2 * x"
        )
        assert (
            graded(sound[0], submission(sound[0], replaced("double(x)", body))).state
            == "works"
        )

    def test_files_are_bounded(self, sound, submission):
        body = (
            "f = open('big', 'wb'); [f.write(bytes(1 << 20)) for _ in range(100)]; "
            "f.close(); return 2 * x"
        )
        result = graded(sound[0], submission(sound[0], replaced("double(x)", body)))
        assert statuses(result)["double"] == {"failed"}
        assert "File too large" in messages(result)

    def test_secrets_of_the_environment_are_out_of_sight(
        self, sound, submission, monkeypatch
    ):
        monkeypatch.setenv("COURSE_TOKEN", "hush")
        body = "assert 'COURSE_TOKEN' not in os.environ, 'seen'; return 2 * x"
        assert (
            graded(sound[0], submission(sound[0], replaced("double(x)", body))).state
            == "works"
        )

    def test_no_device_is_in_sight(self, sound, submission, monkeypatch):
        """CUDA cannot start in the sandbox, and PyTorch asks for it in calls such
        as `fork_rng`.
        """
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        body = (
            "assert os.environ['CUDA_VISIBLE_DEVICES'] == '' and "
            "torch.cuda.device_count() == 0; return 2 * x"
        )
        assert (
            graded(sound[0], submission(sound[0], replaced("double(x)", body))).state
            == "works"
        )

    @pytest.mark.parametrize(
        "way",
        [
            "open(SOLUTION).read()",
            "open('/root/.bashrc').read()",
            "open('/etc/passwd').read()",
            "os.listdir('/proc/1')",
            "os.listdir('/tmp')",
            "open(SOLUTION.replace('solutions', 'katas'), 'a')",
            "open('/dev/shm/x', 'w')",
            "os.kill(os.getppid(), 0)",
            "__import__('socket').create_connection(('127.0.0.1', 9))",
        ],
    )
    def test_what_is_not_its_own_is_out_of_reach(self, sound, submission, way):
        code = f"SOLUTION = {str(sound[0].reference)!r}\n" + replaced(
            "double(x)", f"{way}; return 2 * x"
        )
        result = graded(sound[0], submission(sound[0], code))
        assert statuses(result)["double"] == {"failed"}
        assert any(how in messages(result) for how in REFUSED), messages(result)

    def test_a_scratch_folder_is_its_own(self, sound, submission):
        body = (
            "import tempfile; f = tempfile.TemporaryFile(); f.write(b'x'); "
            "open('note', 'w').write('y'); return 2 * x"
        )
        assert (
            graded(sound[0], submission(sound[0], replaced("double(x)", body))).state
            == "works"
        )

    def test_messages_are_printable(self, sound, submission):
        body = "raise ValueError('\\x1b[2J \\x00 \\ud800 \\x9b31m [bold] done')"
        said = messages(
            graded(sound[0], submission(sound[0], replaced("double(x)", body)))
        )
        assert "[bold] done" in said
        assert not {"\x1b", "\x00", "\ud800", "\x9b"} & set(said)

    def test_line_breaks_without_end_cost_the_runner_nothing(self):
        """What a worker says is cut where it is decoded, and looking for commands takes
        time in line with the text.
        """
        said = protocol.encode(
            SpecFinished("a", "failed", 0.0, Failure("raised", "x" + "\n" * 95_000))
        )
        started = time.process_time()
        assert len(protocol.decode(said).failure.line) == protocol.LONGEST_TEXT
        assert (
            printable.text("\n" * 95_000 + "  ::set-env")
            == "\n" * 95_000 + "  . ::set-env"
        )
        assert time.process_time() - started < 5, (
            "for as many, a quadratic search takes two minutes"
        )

    def test_global_state_does_not_reach_the_next_spec(self, sound, submission):
        body = (
            "torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False); "
            "torch.manual_seed(3); return 2 * x"
        )
        assert (
            graded(sound[0], submission(sound[0], replaced("double(x)", body))).state
            == "works"
        )


class TestTime:
    """Loops without end. The limit of a spec is half a second here."""

    @pytest.fixture(autouse=True)
    def little_grace(self, monkeypatch):
        monkeypatch.setattr(supervisor, "GRACE", 0.5)

    def test_a_python_loop_when_called(self, sound, submission):
        code = submission(sound[0], replaced("total(x, dim=0)", "while True: pass"))
        started = time.monotonic()
        result = graded(sound[0], code, spec_seconds=0.5)
        assert time.monotonic() - started < 300
        assert statuses(result)["double"] == {"passed"}
        assert statuses(result)["total"] == {"failed"}
        assert "used 0.5 s of CPU: an endless loop?" in messages(result)
        assert "not run: an earlier spec of this exercise timed out" in messages(result)

    @pytest.mark.parametrize(
        "endless",
        [
            (
                "while True:\n        try:\n            time.sleep(600)\n"
                "        except BaseException:\n            pass"
            ),
            (
                "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN); "
                "time.sleep(600)"
            ),
            "return sum(range(10**15))",
        ],
        ids=["catches everything", "ignores the alarm", "loops in C"],
    )
    def test_what_ignores_the_alarm_is_killed(self, sound, submission, endless):
        code = submission(sound[0], replaced("double(x)", endless))
        started = time.monotonic()
        result = graded(sound[0], code, spec_seconds=0.5)
        assert time.monotonic() - started < 300
        told = statuses(result)["double"]
        assert told in ({"error", "missing"}, {"not graded"}), (
            "the second where others had the machine meanwhile"
        )
        assert statuses(result)["total"] == {"passed"}
        assert "was killed" in messages(result)

    def test_a_loop_while_imported(self, sound, submission, monkeypatch):
        """The failure has the line, unless the code ignores the alarm. No second run of
        that file waits for it.
        """
        started, start = [], forkserver.start_worker
        monkeypatch.setattr(
            forkserver,
            "start_worker",
            lambda order: started.append(order) or start(order),
        )
        result = graded(
            sound[0],
            submission(sound[0], "x = 1\nwhile True:\n    pass\n"),
            spec_seconds=0.5,
        )
        assert result.so_far.points == 0
        assert re.search(
            r"^sums.py:[23]: `.*` fails: used 0.5 s of CPU: an endless loop\?",
            result.message,
        )
        deaf = (
            "while True:\n    try:\n        while True:\n            pass\n"
            "    except BaseException:\n        pass\n"
        )
        result = graded(sound[0], submission(sound[0], deaf), spec_seconds=0.5)
        assert (result.state, result.so_far.points) == ("crashed", 0)
        assert "was killed while it was imported" in result.message
        # two for the first file, the second one without its loop
        assert len(started) == 3


class TestResults:
    """The values that a function returns."""

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("return None", "None"),
            ("return [1, 2]", "[1, 2]"),
            ("return x * float('nan')", "6 values are NaN"),
            ("return x", "the result is `x` itself"),
            ("x *= 2; return x", ""),
            ("return x * x", "squared"),
            ("return (2 * x).double()", "float64  expected float32"),
            ("return (2 * x)[0]", "(3,)  expected (2, 3)"),
        ],
    )
    def test_a_wrong_result_fails_and_says_how(self, sound, submission, body, words):
        result = graded(sound[0], submission(sound[0], replaced("double(x)", body)))
        assert "failed" in statuses(result)["double"]
        assert words in messages(result)
        assert statuses(result)["total"] == {"passed"}


class TestOthersAreSafe:
    def test_katas_beside_a_broken_one_keep_their_verdicts(self, sound, submission):
        code = submission(sound[0], "import os\nos._exit(1)\n")
        submission(sound[1], sound[1].reference.read_text())
        by_name = {result.kata: result for result in grading.grade_folder(sound, code)}
        assert by_name["01_sums"].state == "crashed"
        assert by_name["02_reuse"].state == "works"
        assert "builds on the reference of 01 (" in by_name["02_reuse"].message

    @pytest.mark.parametrize(
        "specs",
        [None, "def test_x(:\n", "raise SystemExit\n"],
        ids=["missing", "syntax error", "exits"],
    )
    def test_a_kata_without_usable_specs_is_an_error_of_its_own(self, tmp_path, specs):
        shutil.copytree(SOUND, tmp_path / "tree")
        katas = all_katas(tmp_path / "tree")
        katas[1].specs.unlink()
        if specs:
            katas[1].specs.write_text(specs)
        by_name = {
            result.kata: result
            for result in grading.grade_folder(katas, tmp_path / "tree" / "solutions")
        }
        assert by_name["01_sums"].state == "works"
        assert by_name["02_reuse"].state == "not graded"
        assert "test_reuse.py could not be collected" in by_name["02_reuse"].message

    def test_it_inherits_no_pipe_and_no_socket(self, sound, submission):
        looks = """\
import os, stat
open_ = [fd for fd in range(256) if os.path.exists(f"/proc/self/fd/{fd}")]
modes = [os.fstat(fd).st_mode for fd in open_]
raise RuntimeError(sum(stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) for mode in modes))
"""
        result = graded(sound[0], submission(sound[0], looks))
        # that to the runner
        assert result.message.endswith("RuntimeError: 1"), result.message

    def test_a_forkserver_that_is_killed_is_not_the_codes_fault(
        self, sound, submission, monkeypatch
    ):
        assert graded(sound[0], SOUND / "solutions").state == "works"
        take = Supervisor._take

        def kill_when_it_loads(job, message):
            take(job, message)
            if isinstance(message, Loading):
                [server] = forkserver.helpers()
                os.kill(server, signal.SIGKILL)

        monkeypatch.setattr(Supervisor, "_take", kill_when_it_loads)
        result = graded(
            sound[0],
            submission(sound[0], "import time\ntime.sleep(600)\n"),
            spec_seconds=60,
        )
        assert (
            result.state == "not graded"
            and "was lost with the server" in result.message
        )
        monkeypatch.undo()
        assert graded(sound[0], SOUND / "solutions").state == "works", (
            "another one is started"
        )

    @pytest.mark.parametrize(("times", "status"), [(1, "works"), (2, "not graded")])
    def test_a_worker_that_is_lost_before_any_code_ran_is_started_once_more(
        self, sound, monkeypatch, times, status
    ):
        start, lost = forkserver.start_worker, []

        def start_and_lose(order):
            worker = start(order)
            if len(lost) < times:
                os.kill(worker.process.pid, signal.SIGKILL)
                lost.append(worker)
            return worker

        monkeypatch.setattr(forkserver, "start_worker", start_and_lose)
        result = graded(sound[0], SOUND / "solutions")
        assert result.state == status and len(lost) == times
        told = (
            "test_sums.py could not be collected (the worker crashed the process "
            "(SIGKILL)): see pytest katas/01_sums"
        )
        assert result.message == ("" if times == 1 else told)

    def test_no_process_is_left(self, sound, submission):
        list(grading.grade_folder(sound, submission(sound[0], RIGHT)))
        assert not workers()

    def test_closing_the_run_ends_its_workers(self, sound, submission):
        """One kata is done, the other one still runs."""
        code = submission(sound[0], "import time\ntime.sleep(600)\n")
        run = grading.grade_folder(
            [find("15"), sound[0]],
            code,
            at_a_time=2,
            options=RunOptions(spec_seconds=60),
        )
        assert next(run).kata == find("15").name and workers()
        started = time.monotonic()
        run.close()
        assert time.monotonic() - started < 300 and not workers()


IN_THE_FIRST_LOCK = {
    "the worker": lambda job: job.worker.process.pid,
    "the server with the specs": lambda job: forkserver._server.process.pid,
    "the server of both": lambda job: servers._base.process.pid,
}
IN_THE_SECOND = {
    "the judge": lambda round: round.judge.process.pid,
    "the code": lambda round: round.code.pid,
    "the server without specs": lambda round: bare_server._server.process.pid,
}
SLOW = "TestDouble::test_every_value_is_doubled"  # the first spec to call `double`


@pytest.mark.skipif(sys.platform != "linux", reason="there is no second lock")
@pytest.mark.parametrize("who", [*IN_THE_FIRST_LOCK, *IN_THE_SECOND])
class TestKilledFromOutside:
    """As the system does where memory runs out."""

    @pytest.fixture
    def graded_sealed(self, who, sound, submission, tmp_path, monkeypatch):
        """A function that grades right code and kills this process so many times, each
        in a slow spec. Returns the result, and whether the store knew it.
        """
        once = "hasattr(time, 'slept') or setattr(time, 'slept', time.sleep(1))"
        code = submission(sound[0], replaced("double(x)", f"{once}; return 2 * x"))
        options, cache = RunOptions(sealed=True), ResultCache(tmp_path / "root")
        take, read, left = Supervisor._take, Asking.read, []

        def take_and_kill(job, message):
            take(job, message)
            if message == SpecStarted(SLOW) and who in IN_THE_FIRST_LOCK and left:
                os.kill(IN_THE_FIRST_LOCK[who](job), left.pop())

        def read_and_kill(round):
            before, found = round.current, read(round)
            if before != round.current == SLOW and who in IN_THE_SECOND and left:
                os.kill(IN_THE_SECOND[who](round), left.pop())
            return found

        monkeypatch.setattr(Supervisor, "_take", take_and_kill)
        monkeypatch.setattr(Asking, "read", read_and_kill)

        def grade(kills: int) -> tuple[KataResult, bool]:
            left.extend([signal.SIGKILL] * kills)
            cache.found.clear()
            [result] = grading.grade_folder(
                sound[:1], code, at_a_time=1, options=options, cache=cache
            )
            assert not left
            return result, bool(cache.found)

        return grade

    def test_once_it_costs_nothing(self, graded_sealed):
        result, _ = graded_sealed(1)
        assert (
            result.state,
            result.so_far.points,
            [e.sealed for e in result.exercises],
        ) == (
            "works",
            3,
            ["passed"] * 3,
        )

    def test_twice_there_is_no_verdict_that_is_kept(self, who, graded_sealed):
        """The code may have killed its own process, and with its server that process
        ends, too.
        """
        result, _ = graded_sealed(2)
        told = {
            "the worker": "crashed",
            "the code": "unconfirmed",
            "the server without specs": "unconfirmed",
        }
        assert result.state == told.get(who, "not graded")
        result, was_known = graded_sealed(0)
        assert (result.state, was_known) == ("works", False)


def test_a_forkserver_that_lacks_specs_is_replaced(sound, monkeypatch):
    """Its workers would collect them, each for itself, and take five times as long over
    a mistake.
    """
    started = []

    class Server:
        runs = True

        def __init__(self, program, given, *_):
            started.append([name for _, name in given["katas"]])

        def end(self):
            self.runs = False

    monkeypatch.setattr(servers, "forked", Server)
    for name, value in (("_server", None), ("_known", ())):
        monkeypatch.setattr(forkserver, name, value)
    for katas in (sound[:1], sound[:1], sound, sound[1:]):
        forkserver.collect(katas)
    assert started == [["01_sums"], ["01_sums", "02_reuse"]]


def test_source_of_a_learner_is_read_as_python_reads_it(tmp_path):
    (tmp_path / "bom.py").write_bytes(b"\xef\xbb\xbfx = 1\r\n")
    assert kata_modules.read_source(tmp_path / "bom.py") == "x = 1\r\n"


def test_a_file_just_above_the_limit(tmp_path):
    (tmp_path / "long.py").write_bytes(b"#" * 1_000_001)
    with pytest.raises(LoadFailure, match="^long.py: is too large, the limit is 1 MB$"):
        kata_modules.read_source(tmp_path / "long.py")


def test_the_servers_survive_a_file_that_is_no_text_and_control_c_while_they_start(
    tmp_path,
):
    """They look at the learner's file to know what to import, and would print a
    traceback before they ignore Ctrl-C.
    """
    shutil.copytree(SOUND, tmp_path / "tree")
    kata = all_katas(tmp_path / "tree")[0]
    kata.code.write_bytes(b"\xff\xfe\x00")
    (kata.folder / "folder.py").mkdir()
    program = f"""
import os, pathlib, signal
from grader.course.catalogue import all_katas
from grader.execution import grading
from grader.lock import bare_server
from grader.workers import forkserver
from grader.lock import bare_server
from grader.lock.asking import Asking
from grader.protocol import Loading, RunOptions, SpecStarted
root = pathlib.Path({str(tmp_path / "tree")!r})
[kata, _] = all_katas(root)
signal.signal(signal.SIGINT, lambda *_: None)
forkserver.prepare([kata]), bare_server.prepare([kata])
os.killpg(0, signal.SIGINT)
options = RunOptions(sealed=True)
print(next(grading.grade_folder([kata], root / "solutions", options=options)).state)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert (done.stdout, done.stderr) == ("works\n", "")


def test_control_c_while_a_worker_starts_spares_the_forkserver(
    sound, monkeypatch, capfd
):
    """A runner that broke off after its request would take the answer for that to its
    next one.
    """
    send = servers.socket.send_fds

    def interrupted(*arguments):
        monkeypatch.setattr(servers.socket, "send_fds", send)
        signal.raise_signal(signal.SIGINT)
        send(*arguments)

    monkeypatch.setattr(servers.socket, "send_fds", interrupted)
    with pytest.raises(KeyboardInterrupt):
        graded(sound[0], SOUND / "solutions")
    deadline = time.monotonic() + 60
    # it is killed, and a busy machine may take a while
    while workers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not workers()
    assert graded(sound[0], SOUND / "solutions").state == "works"
    assert capfd.readouterr().err == ""


def test_a_signal_that_also_ends_the_server_is_not_lost():
    with pytest.raises(KeyboardInterrupt), servers.interrupts_wait():
        signal.raise_signal(signal.SIGINT)
        raise ConnectionResetError
