"""Statistics of a class: how often exercises work, which specs fail most, which mistakes and which texts are shared."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from grader.reports import words
from grader.results import ClassReport, KataResult, SpecResult

LOOKS_LIKE = re.compile(r"^looks like (.+)$", re.MULTILINE)
ABSENT = ("not graded", "not recognised", "not handed in", "untouched")  # states in which nothing was handed in


@dataclass
class Exercise:
    """One exercise of a kata, over all students who handed the kata in."""

    kata: str
    name: str
    handed_in: int = 0
    works: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # name of a spec → how often it was the first to fail
    sentences: dict[str, str] = field(default_factory=dict)  # name of a spec → what it asks for
    mistakes: Counter[str] = field(default_factory=Counter)  # mistakes that the specs have recognised
    seals: Counter[str] = field(default_factory=Counter)  # how the points are sealed → how many

    @property
    def share(self) -> float:
        """The part of those who handed it in for whom it works."""
        return self.works / self.handed_in if self.handed_in else 0.0


def exercises(report: ClassReport) -> list[Exercise]:
    """The exercises that somebody handed in, the hardest first. A point that is unconfirmed does not count."""
    found: dict[tuple[str, str], Exercise] = {}
    for kata in _katas(report):
        if kata.state in ABSENT:
            continue
        for result in kata.exercises:
            if result.unconfirmed:
                continue
            one = found.setdefault((kata.kata, result.name), Exercise(kata.kata, result.name))
            one.handed_in += 1
            one.works += result.works
            one.seals.update([words.seal(result)] if result.works and not result.override else [])
            failure = result.first_failure
            if failure and not result.not_written and kata.state != "does not parse":
                name = failure.title
                one.failed[name] += 1
                one.sentences.setdefault(name, _asks_for(failure))
                one.mistakes.update(LOOKS_LIKE.findall(failure.message)[:1])
    return sorted(found.values(), key=lambda one: (one.share, -one.handed_in))


def identical(report: ClassReport) -> list[tuple[str, list[str]]]:
    """(kata, students) for every text of a begun kata that several students handed in, the largest group first."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for student, one in report.students.items():
        for kata in one.katas:
            if kata.code and kata.state not in ABSENT:
                groups[kata.kata, kata.code].append(student)
    shared = [(kata, students) for (kata, _), students in groups.items() if len(students) > 1]
    return sorted(shared, key=lambda group: -len(group[1]))


def seconds(report: ClassReport) -> dict[str, float]:
    """The time that each kata took, the slowest first. Identical code ran once and counts once."""
    once = {(kata.kata, kata.code or str(number)): kata.seconds for number, kata in enumerate(_katas(report))}
    sums: defaultdict[str, float] = defaultdict(float)
    for (kata, _), took in once.items():
        sums[kata] += took
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _katas(report: ClassReport) -> list[KataResult]:
    return [kata for one in report.students.values() for kata in one.katas]


def _asks_for(failure: SpecResult) -> str:
    """The spec's sentence, with which its failure begins; empty where the failure is one line about something else."""
    paragraph, _, rest = failure.message.strip().partition("\n\n")
    return " ".join(paragraph.split()) if rest else ""
