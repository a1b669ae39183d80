"""Statistics of a class: the distribution of scores, which exercises work, which specs
fail most, the time spent.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from grader.reports import words
from grader.results import NOT_HANDED_IN, ClassReport, KataResult, Report

# states in which nothing was handed in
ABSENT = ("not recognised", "not graded", "not handed in", "untouched")
MOST_BARS = 10  # up to so many points, a bar per point; otherwise one per ten percent


@dataclass(frozen=True)
class Bar:
    """Some students of a class: what they have in common, in a word below the bar and
    in full.
    """

    label: str
    about: str
    students: int


@dataclass
class Exercise:
    """One exercise of a kata, over all students who wrote something for it, in a file
    that can be run.
    """

    kata: str
    name: str
    students: int  # of the class
    tried: int = 0
    works: int = 0
    # name of a spec → how often it was the first to fail
    failed: Counter[str] = field(default_factory=Counter)
    # name of a spec → what it asks for
    sentences: dict[str, str] = field(default_factory=dict)
    # mistakes that the specs have recognised
    mistakes: Counter[str] = field(default_factory=Counter)
    # how the points are sealed → how many
    seals: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        """The part of those who tried it for whom it works."""
        return self.works / self.tried if self.tried else 0.0


def handed_in(report: Report) -> bool:
    """True unless every kata is not handed in."""
    return not report.complete or any(
        kata.state != NOT_HANDED_IN for kata in report.katas
    )


def scores(report: ClassReport) -> list[float]:
    """The decided scores of the students who handed something in."""
    return [
        one.total.score
        for one in report.students.values()
        if handed_in(one) and one.total
    ]


def distribution(report: ClassReport) -> list[Bar]:
    """The number of students per score: first those who handed in nothing, who
    have none.
    """
    decided = [one for one in report.students.values() if one.total]
    here = [
        (one.total.score, one.max_score)
        for one in decided
        if one.total and handed_in(one)
    ]
    most = max((one.max_score for one in decided), default=0)
    absent = Bar("none", NOT_HANDED_IN, len(decided) - len(here))
    if most <= MOST_BARS and all(score == int(score) for score, _ in here):
        count = Counter(int(score) for score, _ in here)
        return [
            absent,
            *(
                Bar(str(n), words.counted(n, "point"), count[n])
                for n in range(int(most) + 1)
            ),
        ]
    tens = Counter(
        int(10 * score / max_score + 1e-9) for score, max_score in here if max_score
    )
    parts = [Bar(f"{ten}0", f"{ten}0 to {ten}9 %", tens[ten]) for ten in range(1, 10)]
    return [
        absent,
        Bar("0", "0 to 9 %", tens[0]),
        *parts,
        Bar("100", "100 %", tens[10]),
    ]


def exercises(report: ClassReport) -> list[Exercise]:
    """The exercises of katas that somebody handed in, the hardest first, and last those
    that nobody tried.

    A point that is unconfirmed does not count.
    """
    found: dict[tuple[str, str], Exercise] = {}
    everybody = Counter(kata.kata for kata in _katas(report))
    for kata in _katas(report):
        if kata.state in ABSENT:
            continue
        for result in kata.exercises:
            if result.to_settle:
                continue
            one = found.setdefault(
                (kata.kata, result.name),
                Exercise(kata.kata, result.name, everybody[kata.kata]),
            )
            one.tried += not (result.not_written or result.file_state)
            works = result.so_far.point
            one.works += works
            one.seals.update(
                [words.seal(result)] if works and not result.override else []
            )
            failure = result.first_failure
            if failure and not (result.not_written or result.file_state):
                name = failure.title
                one.failed[name] += 1
                one.sentences.setdefault(
                    name,
                    " ".join(failure.failure.reason.split()) if failure.failure else "",
                )
                one.mistakes.update(failure.failure.labels if failure.failure else ())
    return sorted(
        found.values(), key=lambda one: (not one.tried, one.share, -one.tried)
    )


def seconds(report: ClassReport) -> dict[str, float]:
    """The time that each kata took, the slowest first. Identical code ran once and
    counts once.
    """
    once = {
        (kata.kata, kata.code or str(number)): kata.seconds
        for number, kata in enumerate(_katas(report))
    }
    sums: defaultdict[str, float] = defaultdict(float)
    for (kata, _), took in once.items():
        sums[kata] += took
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _katas(report: ClassReport) -> list[KataResult]:
    return [kata for one in report.students.values() for kata in one.katas]
