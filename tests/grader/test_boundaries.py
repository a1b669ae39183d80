"""Fault injection: whatever the grader itself raises around one submission of a class
costs that submission alone.
"""

import csv
import hashlib
import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from grader.cli.class_ import grade_class_folder
from grader.errors import KataError
from grader.execution import result_cache, scheduler
from grader.execution.grading import Grading
from grader.execution.result_cache import ResultCache
from grader.execution.supervisor import Supervisor
from grader.lock.second_lock import SecondLock
from grader.protocol import RunOptions
from grader.reports import explanation, html_report, words
from grader.reports.json_report import kata_as_dict
from grader.teaching import (
    attribution,
    class_grading,
    class_run,
    cluster,
    dask_tasks,
    intake,
    listing,
    report_files,
    submissions,
    times,
)
from grader.teaching.assignment import Assignment
from grader.teaching.class_options import ClassOptions
from grader.teaching.report_files import CLASS_FORMATS
from grader.teaching.result_lines import ResultLines
from tests.conftest import SOUND

pytestmark = pytest.mark.usefixtures("warm_workers")
RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
ERRORS = (
    Exception("it broke"),
    MemoryError(),
    RecursionError("too deep"),
    SystemExit(0),
)
# by student: what is raised around the submission
HIT = {f"mallory-{type(error).__name__}": error for error in ERRORS}
ALL = ["alice", "bob", *sorted(HIT)]
LOST = f"^{len(HIT)} of {len(ALL)} students could not be graded: "


def code_of(student: str) -> str:
    """The right code, in a text of the student's own."""
    return f"{RIGHT}\n# {student}\n"


BY_CODE = {
    hashlib.sha256(code_of(student).encode()).hexdigest()[:16]: student
    for student in ALL
}


def of_job(job, *_, **__) -> str:
    return str(job.files)


def of_running(one, *_) -> str:
    return str(one.job.files)


def of_reports(report) -> str:
    return str(
        [one.files for one in getattr(report, "students", {"": report}).values()]
    )


# What is made to raise, and how its arguments say whose submission it works on.
TAKEN_IN = {
    "a folder is listed": (listing, "_below", lambda place, _: place.name),
    "a file is read": (attribution, "read", lambda file, _: file.shown),
    "a submission is read": (attribution, "look", lambda places, *_: str(places)),
    "what was found is told": (
        intake,
        "rows",
        lambda submission, *_: submission.student,
    ),
    "its time is looked up": (times, "of", lambda one, *_, **__: one.student),
    "its texts are taken": (
        submissions,
        "sources",
        lambda submission, _: submission.student,
    ),
}
RUN = {
    "a job is made": (Grading, "_job", lambda grading, _: str(grading.sources)),
    "a cached result is looked up": (ResultCache, "find", lambda _, job: of_job(job)),
    "its key is computed": (result_cache, "key", of_job),
    "the files are written": (scheduler, "_started", of_job),
    "a worker is started": (Supervisor, "_start", of_running),
}
JUDGED = {
    "a message is read": (Supervisor, "read", of_running),
    "a message is taken in": (Supervisor, "_take", of_running),
    "a worker is checked": (Supervisor, "check", of_running),
    "verdicts are collected": (Supervisor, "result", of_running),
    "the second lock starts": (
        SecondLock,
        "__init__",
        lambda _, job, *__, **___: of_job(job),
    ),
    "the judge is read": (SecondLock, "read", of_running),
    "the judge is checked": (SecondLock, "check", of_running),
    "the second lock ends": (SecondLock, "result", of_running),
    "a result is settled": (
        Grading,
        "settle",
        lambda grading, *_: str(grading.sources),
    ),
}
REPORTED = {
    "a result counts": (
        Assignment,
        "graded",
        lambda _, result, *__: BY_CODE.get(result.code, ""),
    ),
    "a line is written": (
        ResultLines,
        "text",
        lambda _, student, result: student if result.so_far.points else "",
    ),
    "its totals are printed": (words, "totals", of_reports),
    "its score is explained": (explanation, "lines", of_reports),
    "its page is made": (html_report, "render", of_reports),
    **{
        f"it is part of {name}": (CLASS_FORMATS, name, of_reports)
        for name in CLASS_FORMATS
    },
}
BOUNDARIES = TAKEN_IN | RUN | JUDGED | REPORTED


@pytest.fixture
def course(tmp_path) -> Path:
    for student in ALL:
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / "sums.py").write_text(code_of(student))
    return tmp_path / "class"


def raise_for(students: str, hit: dict[str, BaseException] = HIT) -> None:
    for student, error in hit.items():
        if student in students:
            raise type(error)(*error.args)


@pytest.fixture
def inject(monkeypatch):
    """A function that makes a boundary raise where it works on the submission of a
    student who is hit.
    """

    def into(name: str, hit: dict[str, BaseException]) -> None:
        owner, attribute, whose = BOUNDARIES[name]
        original = (
            owner[attribute] if isinstance(owner, dict) else getattr(owner, attribute)
        )

        def raising(*arguments, **options):
            raise_for(whose(*arguments, **options), hit)
            return original(*arguments, **options)

        (monkeypatch.setitem if isinstance(owner, dict) else monkeypatch.setattr)(
            owner, attribute, raising
        )

    return into


@pytest.fixture(scope="module")
def caches(tmp_path_factory) -> dict[bool, Path]:
    """The folders of results: of all students, and of the two to whom
    nothing happens.
    """
    return {graded: tmp_path_factory.mktemp("cache") for graded in (True, False)}


@pytest.fixture
def cached(request, caches, monkeypatch) -> None:
    """Reuse the results of other tests, except those that the test's boundary
    is about.
    """
    has_run = request.getfixturevalue("boundary") in [*REPORTED, "a result is settled"]
    monkeypatch.setattr(class_run, "ROOT", caches[has_run])


def grade(
    course: Path, to: Path, katas, engine: dask_tasks.Engine | None = None
) -> None:
    """Grade the class with every kind of report."""
    options = RunOptions(sealed=True)
    files = report_files.parse_all(
        [f"{name}={to / name}" for name in CLASS_FORMATS], CLASS_FORMATS
    )
    grade_class_folder(
        ClassOptions(
            folder=course,
            assignment=Assignment(katas, options),
            engine=engine,
            reports=files,
            results=to / "lines",
            pages=to / "pages",
            intake=to / "intake",
            explain=True,
        )
    )


def check(to: Path, printed: str) -> None:
    """The other two have their points. Who is hit is not graded, with the reason, in
    every format.
    """
    lines = {
        line["student"]: line
        for line in map(json.loads, (to / "lines").read_text().splitlines())
    }
    assert (
        sorted(lines) == ALL and lines["alice"]["points"] == lines["bob"]["points"] == 3
    )
    assert printed.count(": 3 of 3 points") == 2
    reports = {
        one["student"]: one["report"]
        for one in json.loads((to / "json").read_text())["students"]
    }
    assert [reports[name]["points"] for name in ALL] == [3, 3, *[None] * len(HIT)]
    rows = {row["student"]: row for row in csv.DictReader(open(to / "csv"))}
    assert (
        rows["alice"]["points"] == rows["bob"]["points"] == "3"
        and not rows["alice"]["reason"]
    )
    for student, error in HIT.items():
        why = type(error).__name__
        [told] = [
            line
            for line in printed.splitlines()
            if line.startswith(f"{student}: not graded")
        ]
        assert re.fullmatch(
            rf".*: not graded, so far 0 of 3 points · 0 of 3 stars  \(({student}: "
            rf")?{why}.*",
            told,
        )
        [kata] = reports[student]["katas"]
        assert (
            kata["status"] == "not graded"
            and why in kata["exercises"][0]["specs"][0]["message"]
        )
        row = rows[student]
        assert (row["points"], row["state"], why in row["reason"]) == (
            "",
            "not graded",
            True,
        )
        for page in (to / "html", to / f"pages/{student}.html"):
            assert why in page.read_text(), page
    assert "3 of 3 points" in (to / "pages/alice.html").read_text()
    for name in ("canvas", "moodle"):
        text = (to / name).read_text()
        assert "alice" in text and "bob" in text and "mallory" not in text


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_what_is_raised_costs_one_submission_alone(
    boundary, course, tmp_path, sound, inject, cached, capsys
):
    inject(boundary, HIT)
    with pytest.raises(KataError, match=LOST):
        grade(course, tmp_path, sound[:1])
    check(tmp_path, capsys.readouterr().out)


@pytest.mark.parametrize(
    "boundary", ["a submission is read", "a message is read", "its page is made"]
)
def test_control_c_still_ends_everything(
    boundary, course, tmp_path, sound, inject, cached
):
    inject(boundary, {"mallory": KeyboardInterrupt()})
    with pytest.raises((typer.Exit, KeyboardInterrupt)) as ended:
        grade(course, tmp_path, sound[:1])
    assert getattr(ended.value, "exit_code", 130) == 130


@pytest.mark.parametrize("boundary", ["a submission is looked up", "a result arrives"])
def test_on_a_cluster_too(boundary, course, tmp_path, sound, monkeypatch, capsys):
    """The engine writes what this machine has graded. Only the students that are asked
    for are in a task.
    """
    options, cache = RunOptions(sealed=True), ResultCache(tmp_path / "elsewhere")
    attempts = submissions.attempts(submissions.collect(course), sound[:1])
    found = class_grading.grade_class(attempts, sound[:1], cache=cache, options=options)
    graded = {one.student: one.result for one in found}

    def raising(original, whose):
        def step(*arguments):
            raise_for(whose(*arguments))
            return original(*arguments)

        return step

    @contextmanager
    def engine(tasks):
        asked = [
            word.partition("=")[2]
            for word in tasks[0].command
            if word.startswith("--student=")
        ]
        assert set(HIT) & set(asked) == (
            set(HIT) if boundary == "a result arrives" else set()
        )
        lines = [
            json.dumps({"student": name, **kata_as_dict(graded[name])}) + "\n"
            for name in asked
        ]
        Path(f"{tasks[0].results}-1.jsonl").write_text("".join(lines))
        yield [lambda: ""]

    if boundary == "a result arrives":
        step = raising(cluster.kata_result, lambda line: line["student"])
        monkeypatch.setattr(cluster, "kata_result", step)
    else:
        step = raising(cluster._cached, lambda attempt, *_: attempt.student)
        monkeypatch.setattr(cluster, "_cached", step)
    monkeypatch.setattr(class_run, "ROOT", tmp_path)
    with pytest.raises(KataError, match=LOST):
        grade(course, tmp_path, sound[:1], engine)
    check(tmp_path, capsys.readouterr().out)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("owner", "attribute"),
    [
        (attribution, "listed"),
        (Grading, "_job"),
        (Grading, "settle"),
        (Supervisor, "read"),
        (words, "totals"),
    ],
)
def test_a_submission_alone_ends_in_one_line(
    owner, attribute, error, tmp_path, kata_here, monkeypatch
):
    def raising(*_):
        raise type(error)(*error.args)

    (tmp_path / "tensors.py").write_text("x = 1\n")
    monkeypatch.setattr(owner, attribute, raising)
    done = kata_here("grade", "01", "--code", tmp_path)
    assert (
        done.returncode == 2
        and done.stderr.startswith("kata: not graded")
        and done.stderr.count("\n") == 1
    )
    assert type(error).__name__ in done.stderr
