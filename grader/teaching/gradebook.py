"""The gradebook of a class: collects results as they arrive, and makes them
into reports.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from grader.course.catalogue import Kata
from grader.execution.boundary import not_graded
from grader.results import ClassReport, Identity, KataResult, Report
from grader.teaching import overrides, regrading, versions
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import Graded
from grader.teaching.overrides import Overrides
from grader.teaching.regrading import EarlierResults
from grader.teaching.roster import Person
from grader.teaching.submissions import Version as Which
from grader.teaching.versions import Version, Versions
from grader.workers.jobs import SourceText


class Gradebook:
    """The results of each student, as the assignment counts them.

    Args:
        texts: by student, the text of each kata's file.
        versions: by student, the versions of each kata that are graded, with what
            lateness costs.
        decided: what the teacher has decided.
        never_lower: earlier results, of which each exercise keeps the better one.
    """

    def __init__(
        self,
        texts: Mapping[str, Mapping[Kata, SourceText]],
        assignment: Assignment,
        versions: Mapping[str, Mapping[Kata, Versions]] | None = None,
        roster: Iterable[Person] = (),
        decided: Overrides | None = None,
        never_lower: EarlierResults | None = None,
    ):
        self.assignment = assignment
        self.roster: dict[str, Identity] = {person.label: person for person in roster}
        own = {
            student: {kata.name: one for kata, one in some.items()}
            for student, some in (versions or {}).items()
        }
        self.versions: dict[str, dict[str, Versions]] = own
        self.texts = {student: dict(some) for student, some in texts.items()}
        self.decided = decided or {}
        self.earlier = never_lower or {}
        self.results: dict[str, dict[str, KataResult]] = {
            student: {} for student in texts
        }
        # of versions, until both are there
        self.arrived: dict[tuple[str, str], dict[Which, KataResult]] = {}
        self.ungraded: dict[
            str, KataResult
        ] = {}  # student → a kata that was not graded
        self.started = datetime.now().astimezone().isoformat(timespec="seconds")
        self.clock = time.monotonic()

    def enter(self, new: Graded) -> KataResult | None:
        """Take in a result. Returns it as the assignment counts it, with what the
        teacher has decided.

        Returns None if another version of the same file is not graded yet. Of both, the
        one that gives more counts.
        """
        student, found, kata = new.student, new.result, new.result.kata
        one = self.versions.get(student, {}).get(kata)
        if one is None:
            return self._settle(student, self._counted(student, found))
        arrived = self.arrived.setdefault((student, kata), {})
        arrived[new.version] = self._counted(
            student, found, one.on_time if new.version == "on time" else one.newest
        )
        if one.on_time is None:
            return self._settle(
                student, self._of_version(arrived["newest"], one, one.newest)
            )
        if len(arrived) < 2:
            return None
        newest, older = arrived["newest"], arrived["on time"]
        best = versions.better(newest, older)
        is_older = best is older or (best is None and newest.total)
        counts = one.on_time if is_older else one.newest
        if is_older:
            self._show(student, kata, counts.source)
        return self._settle(
            student, self._of_version(older if is_older else newest, one, counts)
        )

    def excuse(self, student: str, kata: str, why: str) -> KataResult:
        """Leave a kata out of a student's score, and say why."""
        found = KataResult(kata, (), excused=why)
        self.results[student][kata] = found
        return found

    def lose(self, student: str, kata: str, why: str) -> KataResult:
        """Note that a kata of a student is not graded, and why."""
        [one] = [one for one in self.assignment.katas if one.name == kata]
        found = not_graded(one, why, self.assignment.options)
        return self._settle(student, self._counted(student, found))

    def lose_all(self, student: str, why: str) -> None:
        """Note that no kata of a student is graded, and why. Reports then show nothing
        of the submission.
        """
        self.texts.pop(student, None)
        for kata in self.assignment.katas:
            self.lose(student, kata.name, why)

    def report(self, student: str) -> Report:
        """The student's report, incomplete if a kata is not graded yet."""
        results, katas = self.results[student], self.assignment.katas
        graded = tuple(results[kata.name] for kata in katas if kata.name in results)
        seconds = sum(result.seconds for result in graded)
        sealed, weighted = self.assignment.options.sealed, bool(self.assignment.rules)
        files = {
            kata.file.as_posix(): source.text
            for kata, source in self.texts.get(student, {}).items()
        }
        return Report(
            student,
            self.started,
            seconds,
            len(graded) == len(katas),
            graded,
            sealed,
            weighted,
            files,
        )

    def class_report(self, *, interrupted: bool) -> ClassReport:
        """The report of the class so far."""
        reports = {student: self.report(student) for student in self.results}
        complete = not (interrupted or self.ungraded)
        seconds, title = time.monotonic() - self.clock, self.assignment.title
        return ClassReport(self.started, seconds, complete, reports, self.roster, title)

    def _counted(
        self, student: str, found: KataResult, version: Version | None = None
    ) -> KataResult:
        """The result as the assignment counts it, with what the teacher has decided."""
        graded = self.assignment.graded(found, version.penalty if version else 0.0)
        return overrides.applied(graded, self.decided.get((student, found.kata), {}))

    def _of_version(
        self, result: KataResult, one: Versions, counts: Version
    ) -> KataResult:
        """The result, with when its version was handed in, and which counts."""
        return replace(result, timing=counts.timing, counts=versions.said(one, counts))

    def _settle(self, student: str, result: KataResult) -> KataResult:
        if earlier := self.earlier.get((student, result.kata)):
            penalties = {
                one.code: one.penalty
                for one in self.arrived.get((student, result.kata), {}).values()
            }
            penalty = penalties.get(earlier.result.code, earlier.penalty)
            better = regrading.better(
                self.assignment.graded(earlier.result, penalty), result
            )
            result = overrides.applied(
                better, self.decided.get((student, result.kata), {})
            )
        self.results[student][result.kata] = result
        if result.gap:
            self.ungraded[student] = result
        return result

    def _show(self, student: str, kata: str, source: SourceText) -> None:
        """Have reports show this text of a kata's file."""
        texts = self.texts.get(student, {})
        texts.update({one: source for one in texts if one.name == kata})
