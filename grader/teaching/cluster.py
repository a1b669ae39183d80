"""Grades a class on a cluster. Each task grades a slice of the students with the `kata`
command of this tree.

The tree, its Python and the submissions must have the same paths on every machine.
Results go to the tree's cache: the next call after an interruption continues
from there.
"""

import json
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.errors import ClusterUnavailable
from grader.execution.boundary import costs_only, not_graded
from grader.execution.grading import Grading
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions
from grader.results import KataResult, kata_result
from grader.teaching import submissions
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import Graded, Key
from grader.teaching.class_options import ClassOptions
from grader.teaching.dask_tasks import Ending, Slice
from grader.teaching.submissions import Attempt, Version

STUDENTS = 20  # per task
POLL = 0.2  # seconds between two reads of the results
LATE = 60.0  # seconds until a file written on one machine is visible on another
# The `kata` command of a task. The system kills it when its parent process ends.
KATA = [
    sys.executable,
    "-c",
    (
        "from grader.cli import main; from grader.isolation import processes; "
        "processes.die_with_parent(); main.main()"
    ),
]


def grade_on_cluster(
    attempts: Iterable[Attempt],
    asked: ClassOptions,
    *,
    cache: ResultCache,
    students: int = STUDENTS,
) -> Generator[Graded]:
    """Grade every attempt. Yield the result of each kata as it arrives.

    A lost task's missing results are not graded. They say why the task was lost. Where
    the grader itself fails on an attempt, that one is not graded, and the others are.
    Closing the iterator cancels every task.

    Args:
        asked: its engine starts the tasks.
        students: submissions per task.
    Raises:
        ClusterUnavailable: the engine cannot be used here.
    """
    assert asked.engine
    assignment = asked.assignment
    left: list[Attempt] = []
    for attempt in attempts:
        known = _known(attempt, assignment, cache)
        yield from (
            Graded(attempt.student, attempt.version, result) for result in known
        )
        if not known:
            left.append(attempt)
    if not left:
        return
    everybody = list(dict.fromkeys(one.student for one in left))
    slices = [
        everybody[start : start + students]
        for start in range(0, len(everybody), students)
    ]
    task = {student: number for number, names in enumerate(slices) for student in names}
    owed = {
        (one.student, one.version, kata): task[one.student]
        for one in left
        for kata in one.katas
    }
    command = _command(asked)
    with _shared_folder() as shared:
        tasks = [
            Slice(
                (*command, *(f"--student={name}" for name in names)),
                f"{shared}/{number}",
            )
            for number, names in enumerate(slices)
        ]
        with asked.engine(tasks) as endings:
            yield from _gathered(
                shared, owed, dict(enumerate(endings)), assignment.options
            )


def _known(
    attempt: Attempt, assignment: Assignment, cache: ResultCache
) -> list[KataResult]:
    """The results that need no task: all of them are cached, or the grader fails on
    the attempt.
    """
    known: list[KataResult] = []

    def lost(why: str) -> None:
        known.extend(
            not_graded(kata, why, assignment.options) for kata in attempt.katas
        )

    with costs_only(lost):
        known += _cached(attempt, cache, assignment.options)
    return known


def _command(asked: ClassOptions) -> list[str]:
    """The command of every task, without its students. A task uses as many cores as
    grade katas in parallel.
    """
    assignment, options = asked.assignment, asked.assignment.options
    files = {
        "roster": asked.roster_file,
        "rules": asked.rules_file,
        "accommodations": asked.accommodations_file,
    }
    return [
        *KATA,
        "class",
        str(asked.folder.resolve()),
        *(name for kata in assignment.katas for name in _asked(kata, options)),
        f"--jobs={assignment.at_a_time}",
        *(["--core"] if options.core else []),
        *(f"--{name}={file.resolve()}" for name, file in files.items() if file),
        *(["--unowned-are-nobody"] if asked.unowned_are_nobody else []),
        "--sealed" if options.sealed else "--unsealed",
        *(["--require-isolation"] if options.require_isolation else []),
    ]


def _asked(kata: Kata, options: RunOptions) -> list[str]:
    """The kata as the command line names it, or its exercises if the options
    choose some.
    """
    chosen = [
        exercise.name
        for exercise in kata.exercises
        if exercise.spec_class in options.only
    ]
    return [f"{kata.name}::{name}" for name in chosen] or [kata.name]


def _cached(
    attempt: Attempt, cache: ResultCache, options: RunOptions
) -> list[KataResult]:
    """The attempt's results if all of them are cached; otherwise none."""
    texts = submissions.sources(attempt.submission, with_prerequisites(attempt.katas))
    grading = Grading(attempt.katas, texts, options=options)
    return [] if next(grading.ready(cache.find), None) else grading.results


def _gathered(
    shared: Path,
    owed: dict[tuple[str, Version, Kata], int],
    under_way: dict[int, Ending],
    options: RunOptions,
) -> Iterator[Graded]:
    """Yield the results that the tasks write, and the missing results of lost tasks.

    Args:
        owed: (student, version, kata) → the task that grades it.
        under_way: the running tasks.
    """
    read: dict[Path, int] = {}
    by_name = {kata.name: kata for *_, kata in owed}
    # task → why it was lost, and until when its results may still arrive
    ended: dict[int, tuple[str, float]] = {}
    while owed:
        for number in list(under_way):
            ending = under_way[number]()
            if ending is not None:
                del under_way[number]
                ended[number] = (ending, time.monotonic() + (0.0 if ending else LATE))
        for line in _new_lines(shared, read):
            who: Key = (line["student"], line.get("version", "newest"))
            if owed.pop((*who, by_name[line["kata"]]), None) is not None:
                yield Graded(*who, _arrived(line, by_name[line["kata"]], options))
        lost = {
            number: why
            for number, (why, until) in ended.items()
            if time.monotonic() >= until
        }
        for place in [place for place, number in owed.items() if number in lost]:
            *_, kata = place
            why = lost[owed.pop(place)] or "its results did not arrive"
            yield Graded(place[0], place[1], not_graded(kata, why, options))
        time.sleep(POLL)


def _arrived(line: dict[str, Any], kata: Kata, options: RunOptions) -> KataResult:
    """The result in a line. One that breaks the format is not graded."""
    found: list[KataResult] = []
    with costs_only(lambda why: found.append(not_graded(kata, why, options))):
        found.append(kata_result({**line, "cpu_seconds": 0.0}))
    return found[0]


def _new_lines(shared: Path, read: dict[Path, int]) -> Iterator[dict[str, Any]]:
    """The complete lines added since the last call. `read` keeps how many bytes of each
    file were read.
    """
    for path in sorted(shared.glob("*.jsonl")):
        with open(path, "rb") as file:
            file.seek(read.get(path, 0))
            whole, newline, _ = file.read().rpartition(b"\n")
        read[path] = read.get(path, 0) + len(whole + newline)
        yield from (json.loads(line) for line in whole.split(b"\n") if line)


@contextmanager
def _shared_folder() -> Iterator[Path]:
    """A folder in the tree, visible on every machine. Deleting it ends the tasks."""
    try:
        (ROOT / ".kata").mkdir(exist_ok=True)
        folder = tempfile.TemporaryDirectory(
            prefix="tasks-", dir=ROOT / ".kata", ignore_cleanup_errors=True
        )
    except OSError as error:
        raise ClusterUnavailable(
            f"--dask: {error.filename} cannot be written: {error.strerror}"
        ) from None
    with folder as name:
        yield Path(name)
