"""A class on a cluster: the same verdicts as on one machine. A lost task costs only its
own students.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest

from grader.course.catalogue import ROOT, find
from grader.errors import ClusterUnavailable
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions
from grader.teaching import cluster, dask_tasks, submissions
from grader.teaching.assignment import Assignment
from grader.teaching.class_options import ClassOptions
from tests.conftest import KATA, kata_command
from tests.grader.test_versions import commit

ALL = len(find("00").exercises)  # points of kata 00
STUDENTS = ("alice", "bob", "carol", "dave")
# In place of a task's command: bob's kills itself.
DYING = (
    "import os, sys\nif '--student=bob' in sys.argv:\n    os.kill(os.getpid(), 9)\n"
    + cluster.KATA[2]
)


@pytest.fixture
def course(tmp_path) -> Path:
    """Four students, whose code no verdict is on file for: alice's is not written, the
    others' is right.
    """
    kata = find("00")
    for student in STUDENTS:
        text = (
            kata.folder / kata.file.name if student == "alice" else kata.reference
        ).read_text()
        path = tmp_path / "class" / student / kata.file
        path.parent.mkdir(parents=True)
        path.write_text(f"{text}\n# {tmp_path} {time.time_ns()} {student}\n")
    return tmp_path / "class"


@pytest.fixture(scope="module")
def scheduler():
    """The address of a dask cluster of two workers on this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as here:
        yield here.scheduler_address


@pytest.fixture
def dask(scheduler):
    """The engine, for that cluster."""
    import dask

    with dask.config.set({"scheduler-address": scheduler}):
        yield dask_tasks.on_dask


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Every task's command and folder are gone at the latest soon after a test."""
    yield
    deadline = time.monotonic() + 300
    while (left := commands()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    assert not list((ROOT / ".kata").glob("tasks-*"))


def commands() -> list[str]:
    """The commands of this checkout's tasks that are running on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if (
            "--student=" in command
            and "die_with_parent" in command
            and f"={ROOT}/" in command
        ):
            found.append(command)
    return found


def graded(course: Path, engine: dask_tasks.Engine, **how) -> dict:
    assignment, cache = (
        Assignment([find("00")], RunOptions(sealed=True)),
        ResultCache(ROOT),
    )
    attempts = submissions.attempts(submissions.collect(course), assignment.katas)
    found = cluster.grade_on_cluster(
        attempts,
        ClassOptions(folder=course, assignment=assignment, engine=engine),
        cache=cache,
        **how,
    )
    return {one.student: one.result for one in found}


def points(results: dict) -> dict[str, int]:
    return {student: results[student].so_far.points for student in sorted(results)}


def asked_for(course: Path) -> list[str]:
    """The students whom the next call would send to the cluster; the others are
    on file.
    """
    names = []

    @contextmanager
    def no_cluster(tasks):
        names.extend(
            word.removeprefix("--student=")
            for task in tasks
            for word in task.command
            if word.startswith("--student=")
        )
        yield [lambda: "there is no cluster" for _ in tasks]

    graded(course, no_cluster)
    return names


class TestDask:
    def test_the_verdicts_are_those_of_one_machine_and_go_on_file(self, course, dask):
        assert points(graded(course, dask, students=2)) == {
            "alice": 0,
            "bob": ALL,
            "carol": ALL,
            "dave": ALL,
        }
        assert asked_for(course) == []

    def test_a_lost_task_costs_its_own_students_only_and_is_sent_again(
        self, course, dask, monkeypatch
    ):
        monkeypatch.setattr(cluster, "KATA", [sys.executable, "-c", DYING])
        results = graded(course, dask, students=2)
        assert points(results) == {"alice": 0, "bob": 0, "carol": ALL, "dave": ALL}
        assert results["bob"].gap.line == "kata ended with exit code -9"
        assert asked_for(course) == ["alice", "bob"]

    def test_the_command_interrupted_and_gone_on_with(
        self, course, scheduler, tmp_path
    ):
        lines, last = tmp_path / "r.jsonl", course / "dave" / find("00").file
        right = last.read_text()
        # the interrupt comes before the end
        last.write_text("import time\ntime.sleep(600)\n")
        command = [
            KATA,
            "class",
            course,
            "00",
            "--dask",
            "--jobs",
            "1",
            "--results",
            lines,
        ]
        where = os.environ | {"DASK_SCHEDULER_ADDRESS": scheduler}
        process = subprocess.Popen(
            command, cwd=ROOT, env=where, stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 300
        so_far = tmp_path / "r.jsonl.part"
        while time.monotonic() < deadline and not (
            so_far.exists() and so_far.read_text()
        ):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
        assert (
            process.returncode == 130
            and "run the same command again to continue" in said
        )
        before = {
            json.loads(line)["student"] for line in so_far.read_text().splitlines()
        }
        assert before and not before & set(asked_for(course))
        last.write_text(right)
        done = subprocess.run(
            command, cwd=ROOT, env=where, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert (
            f"alice: 0 of {ALL} points" in done.stdout
            and f"dave: {ALL} of {ALL} points" in done.stdout
        )
        assert sorted(
            json.loads(line)["student"] for line in lines.read_text().splitlines()
        ) == sorted(STUDENTS)

    @pytest.mark.parametrize(
        "how", [signal.SIGKILL, signal.SIGSTOP], ids=["ended", "vanished"]
    )
    def test_all_workers_lost(self, course, tmp_path, how):
        """alice is graded by then. The others are not, and the command says so within
        30 seconds.
        """
        distributed, lines = pytest.importorskip("distributed"), tmp_path / "r.jsonl"
        for student in STUDENTS[1:]:
            (course / student / find("00").file).write_text(
                f"import time\ntime.sleep(600)  # {tmp_path}\n"
            )
        assert kata_command("class", course, "00", "--student", "alice").returncode == 0
        with distributed.LocalCluster(n_workers=0, dashboard_address=None) as here:
            address = here.scheduler_address
            start = [
                sys.executable,
                "-m",
                "dask",
                "worker",
                address,
                "--no-nanny",
                "--nthreads=1",
                "--no-dashboard",
            ]
            workers = [
                subprocess.Popen(
                    start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                for _ in "12"
            ]
            here.wait_for_workers(2)
            command = [KATA, "class", course, "00", "--dask", "--results", lines]
            where = os.environ | {"DASK_SCHEDULER_ADDRESS": address}
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=where,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            deadline = time.monotonic() + 300
            while time.monotonic() < deadline and not list(
                (ROOT / ".kata").glob("tasks-*/*.jsonl")
            ):
                time.sleep(0.05)
            for worker in workers:
                worker.send_signal(how)
            begun = time.monotonic()
            said, error = process.communicate()
            took = time.monotonic() - begun
            for worker in workers:
                worker.kill()
                worker.wait()
        assert (
            process.returncode == 2 and b"3 of 4 students could not be graded" in error
        )
        assert b"(no dask worker has been heard of for 15 s: start workers" in said
        assert took < 300
        results = {
            one["student"]: one["status"]
            for one in map(json.loads, lines.read_text().splitlines())
        }
        assert results == {
            "alice": "not started",
            **dict.fromkeys(STUDENTS[1:], "not graded"),
        }

    def test_no_scheduler_is_named(self, course, monkeypatch):
        pytest.importorskip("distributed")
        monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
        with pytest.raises(ClusterUnavailable, match="set DASK_SCHEDULER_ADDRESS"):
            graded(course, dask_tasks.on_dask)


def test_late_work_counts_as_on_one_machine(course, monkeypatch, tmp_path, kata_here):
    """Bob has committed right code on time, and something else a day late. Both
    versions are graded in his task.
    """

    @contextmanager
    def threads(tasks):
        with ThreadPoolExecutor() as pool:
            futures = [pool.submit(dask_tasks.run_slice, task) for task in tasks]
            yield [
                lambda future=future: future.result() if future.done() else None
                for future in futures
            ]

    monkeypatch.setattr(dask_tasks, "on_dask", threads)
    right = (course / "bob" / find("00").file).read_text()
    commit(course / "bob", -1, {str(find("00").file): right})
    commit(course / "bob", 1, {str(find("00").file): f"x = 1  # {tmp_path}\n"})
    rules, table = tmp_path / "g.toml", tmp_path / "c.csv"
    rules.write_text(
        "[late]\nzone = 'UTC'\nper_day = 10\n[late.katas]\n00 = 2015-12-01T12:00:00\n"
    )
    given = [
        "--rules",
        rules,
        "--report",
        f"csv={table}",
        "--results",
        tmp_path / "r.jsonl",
    ]
    for where in (["--dask"], []):
        done = kata_here("class", course, "00", *given, *where)
        assert done.returncode == 0, done.stderr
        scores = {
            row["student"]: float(row["score"]) for row in csv.DictReader(open(table))
        }
        assert (scores["alice"], scores["bob"]) == (0, ALL)
        assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 4


class TestWorkers:
    """Answers of dask's scheduler to the question for its workers, after which they are
    lost or not.
    """

    seen = count()

    def moving(self):
        return {
            "workers": {
                "tcp://a": {"last_seen": next(self.seen)},
                "tcp://b": {"last_seen": 1.0},
            }
        }

    def standing(self):
        return {"workers": {"tcp://a": {"last_seen": 1.0}}}

    def nobody(self):
        return {"workers": {}}

    def failing(self):
        raise OSError("the scheduler is gone")

    @pytest.mark.parametrize(
        ("answer", "are_lost"),
        [
            ("moving", False),
            ("standing", True),
            ("nobody", True),
            ("failing", True),
            (None, True),
        ],
    )
    def test_whether_they_are_lost(self, monkeypatch, answer, are_lost):
        now, answers = [0.0], Queue(1)
        monkeypatch.setattr(
            dask_tasks, "time", SimpleNamespace(monotonic=lambda: now[0])
        )
        monkeypatch.setattr(dask_tasks, "ASK", 0.0)
        client = SimpleNamespace(scheduler_info=lambda: answers.get()())
        with closing(dask_tasks._Workers(client)) as workers:
            for seconds, lost in ((0.0, False), (dask_tasks.SILENT, are_lost)):
                now[0] = seconds
                # there is room for one: the first has been looked at by the third
                for _ in "123" if answer else "":
                    answers.put(getattr(self, answer))
                assert bool(workers.lost()) == lost


def test_the_extra_is_missing(course, kata_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = kata_here("class", course, "00", "--dask")
    assert done.returncode == 2
    assert done.stderr == "kata: --dask needs distributed: pip install distributed\n"


def test_what_a_lost_task_costs_is_said(course, monkeypatch, tmp_path, kata_here):
    @contextmanager
    def lossy(tasks):
        yield [lambda: "the machine burnt down" for _ in tasks]

    monkeypatch.setattr(dask_tasks, "on_dask", lossy)
    table, lines = tmp_path / "c.csv", tmp_path / "r.jsonl"
    files = ["--report", f"csv={table}", "--results", lines]
    done = kata_here("class", course, "00", "--dask", *files)
    assert done.returncode == 2
    asked = "ask for a file that can be read, decide, or run the command again"
    assert done.stderr == f"kata: 4 of 4 students could not be graded: {asked}\n"
    lost = (
        f"not graded, so far 0 of {ALL} points · 0 of {ALL} stars  (the machine burnt "
        "down)"
    )
    assert f"bob: {lost}" in done.stdout
    assert (
        "\nbob,,,,,,,not graded,incomplete,not graded,the machine burnt down,,,,,"
        in table.read_text()
    )
    graded_ = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(line["student"], line["status"]) for line in graded_] == [
        (student, "not graded") for student in STUDENTS
    ]
