"""Pseudonyms: a class's report that can be shown around, with "student 01" in place of each name."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import replace
from random import SystemRandom

from grader.results import ClassReport, ExerciseResult, KataResult, Report, SpecResult


def draw(students: Iterable[str]) -> dict[str, str]:
    """Student → pseudonym, numbered in a random order."""
    names = list(students)
    SystemRandom().shuffle(names)
    digits = max(2, len(str(len(names))))
    return {name: f"student {number:0{digits}}" for number, name in enumerate(names, start=1)}


def applied(report: ClassReport, key: dict[str, str]) -> ClassReport:
    """The report with pseudonyms, in their order. A student's name is replaced in messages, too."""
    renamed = {key[student]: _report(one, student, key[student]) for student, one in report.students.items()}
    same = tuple(replace(one, students=tuple(sorted(key[student] for student in one.students))) for one in report.alike)
    return replace(report, students=dict(sorted(renamed.items())), roster={}, alike=same)


def render_key(key: dict[str, str]) -> str:
    """The key to pseudonyms, as CSV."""
    file = io.StringIO()
    rows = sorted((pseudonym, student) for student, pseudonym in key.items())
    csv.writer(file, lineterminator="\n").writerows([("pseudonym", "student"), *rows])
    return file.getvalue()


def _report(report: Report, student: str, pseudonym: str) -> Report:
    name = re.compile(rf"(?<!\w){re.escape(student)}(?!\w)")

    def hidden(text: str) -> str:
        return name.sub(pseudonym, text)

    def spec(one: SpecResult) -> SpecResult:
        return replace(one, message=hidden(one.message), printed=hidden(one.printed))

    def exercise(one: ExerciseResult) -> ExerciseResult:
        decided = one.override and replace(one.override, reason=hidden(one.override.reason))
        return replace(one, specs=tuple(map(spec, one.specs)), override=decided)

    def kata(one: KataResult) -> KataResult:
        return replace(one, message=hidden(one.message), exercises=tuple(map(exercise, one.exercises)))

    files = {path: hidden(text) for path, text in report.files.items()}
    return replace(report, code=pseudonym, katas=tuple(map(kata, report.katas)), files=files)
