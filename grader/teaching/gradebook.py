"""The gradebook of a class: collects results as they arrive, and makes them into reports."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from grader.course.catalogue import Kata
from grader.execution.boundary import not_graded
from grader.results import ClassReport, Identity, KataResult, Report
from grader.teaching import alike, overrides
from grader.teaching.assignment import Assignment
from grader.teaching.overrides import Overrides
from grader.teaching.roster import Person
from grader.workers.jobs import SourceText


class Gradebook:
    """The results of each student, as the assignment counts them."""

    def __init__(
        self,
        students: Iterable[str],
        assignment: Assignment,
        penalties: Mapping[str, float] | None = None,
        roster: Iterable[Person] = (),
        texts: Mapping[str, Mapping[Kata, SourceText]] | None = None,
        decided: Overrides | None = None,
    ):
        self.assignment = assignment
        self.roster: dict[str, Identity] = {person.label: person for person in roster}
        self.penalties = penalties or {}  # student → the part of the score that lateness costs
        self.texts = dict(texts or {})  # student → the text of each kata's file
        self.decided = decided or {}
        self.results: dict[str, dict[str, KataResult]] = {student: {} for student in students}
        self.lost: dict[str, str] = {}  # student → why a kata was not graded
        self.started = datetime.now().astimezone().isoformat(timespec="seconds")
        self.clock = time.monotonic()

    def enter(self, student: str, found: KataResult) -> KataResult:
        """Take in a result. Returns it as the assignment counts it, with what the teacher has decided."""
        result = self.assignment.graded(found, self.penalties.get(student, 0.0))
        result = overrides.applied(result, self.decided.get((student, found.kata), {}))
        self.results[student][result.kata] = result
        if result.not_graded:
            self.lost[student] = result.why_not_graded
        return result

    def lose(self, student: str, kata: str, why: str) -> KataResult:
        """Note that a kata of a student is not graded, and why."""
        [one] = [one for one in self.assignment.katas if one.name == kata]
        return self.enter(student, not_graded(one, why, self.assignment.options))

    def lose_all(self, student: str, why: str) -> None:
        """Note that no kata of a student is graded, and why. Reports then show nothing of the submission."""
        self.texts.pop(student, None)
        for kata in self.assignment.katas:
            self.lose(student, kata.name, why)

    def report(self, student: str) -> Report:
        """The student's report, incomplete if a kata is not graded yet."""
        results, katas = self.results[student], self.assignment.katas
        graded = tuple(results[kata.name] for kata in katas if kata.name in results)
        seconds = sum(result.seconds for result in graded)
        sealed, weighted = self.assignment.options.sealed, bool(self.assignment.rules)
        files = {kata.file.as_posix(): source.text for kata, source in self.texts.get(student, {}).items()}
        return Report(student, self.started, seconds, len(graded) == len(katas), graded, sealed, weighted, files)

    def class_report(self, *, interrupted: bool) -> ClassReport:
        """The report of the class so far."""
        reports = {student: self.report(student) for student in self.results}
        complete = not (interrupted or self.lost)
        seconds, title = time.monotonic() - self.clock, self.assignment.title
        same = alike.found(self.texts, self.assignment.katas)
        return ClassReport(self.started, seconds, complete, reports, self.roster, title, same)
