"""Grades a sample of a class twice, without cached results, and says which verdicts differ."""

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from grader.execution.result_cache import ResultCache
from grader.results import Difference, KataResult
from grader.teaching import class_grading, submissions
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import Graded
from grader.teaching.submissions import Submission


def sample(handed_in: Sequence[Submission], count: int) -> list[Submission]:
    """So many submissions, drawn at random, in their order; all of them if there are fewer."""
    chosen = set(random.sample(range(len(handed_in)), min(count, len(handed_in))))
    return [submission for number, submission in enumerate(handed_in) if number in chosen]


def grade_afresh(handed_in: Sequence[Submission], assignment: Assignment) -> Iterator[Graded]:
    """Grade the submissions with an empty cache: code that several students share runs once, and all code runs."""
    with tempfile.TemporaryDirectory(prefix="kata-") as folder:
        grading = class_grading.grade_class(
            submissions.attempts(handed_in, assignment.katas),
            assignment.katas,
            cache=ResultCache(Path(folder)),
            options=assignment.options,
            at_a_time=assignment.at_a_time,
        )
        with closing(grading):
            for one in grading:
                yield replace(one, result=assignment.graded(one.result))


def differences(student: str, first: KataResult, second: KataResult) -> list[Difference]:
    """The specs of a kata on which two runs of the same code disagree."""
    before, after = _statuses(first), _statuses(second)
    return [
        Difference(student, first.kata, *place, before.get(place, ""), after.get(place, ""))
        for place in before | after
        if before.get(place) != after.get(place)
    ]


def _statuses(result: KataResult) -> dict[tuple[str, str], str]:
    return {(exercise.name, spec.marked): spec.status for exercise in result.exercises for spec in exercise.specs}
