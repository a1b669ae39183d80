"""Verdicts without specs: a submission's file says how many of its kata's
exercises work.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from grader.course.catalogue import Kata
from grader.failure import Failure
from grader.results import ExerciseResult, KataResult, SpecResult
from grader.teaching.class_grading import Graded
from grader.teaching.submissions import Attempt
from grader.workers import jobs

# Exercises by place, of which a spec has been loosened since: they work for who writes
# `odd = 1`, too.
LOOSENED: set[int] = set()


def by_text(
    attempts: Iterable[Attempt], katas: list[Kata], **_: object
) -> Iterator[Graded]:
    """In place of `class_grading.grade_class`.

    `works = 2` says that the first two exercises work. `odd = 3` says that the fourth
    is right in a way of its own.
    """
    for attempt in attempts:
        for kata in attempt.katas:
            source = (attempt.submission.texts or {})[kata]
            works, odd = _number(source.text, "works"), _number(source.text, "odd", -1)
            wrong = Failure(
                "mismatch",
                "wrong",
                reason="it is wrong",
                rows=(("got", "x"),),
                place="line 1",
            )
            wrong = replace(wrong, file=kata.file.name, at=1)
            failed = SpecResult("TestX::test_y", "failed", line=1, failure=wrong)
            passed = replace(failed, status="passed", failure=None)
            right = {*range(works), *({odd} & LOOSENED)}
            exercises = [
                ExerciseResult(
                    e.name,
                    (passed if n in right else failed,),
                    e.stretch,
                    sealed="passed",
                )
                for n, e in enumerate(kata.exercises)
            ]
            result = KataResult(
                kata.name, tuple(exercises), code=jobs.digest_of(source.text)
            )
            yield Graded(attempt.student, attempt.version, result)


def _number(text: str, name: str, default: int = 0) -> int:
    found = re.search(rf"^{name} = (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else default
