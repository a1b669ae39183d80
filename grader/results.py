"""Results of grading: plain data, and what decides points, stars and states
of exercises.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple, get_args

from grader import failure
from grader.failure import NOT_HANDED_IN, NOT_WRITTEN, Failure  # noqa: F401

Status = Literal["passed", "failed", "error", "skipped", "missing", "not graded"]
Seal = Literal["passed", "failed", "unsealed"]
# states of what cannot be run
OfFile = Literal["not recognised", "not handed in", "does not parse", "import fails"]
State = Literal[
    OfFile,
    "not graded",
    "unconfirmed",
    "untouched",
    "wrong",
    "crashed",
    "works",
    "excused",
]
# to students, as Gradescope names it
Visibility = Literal["visible", "after_due_date", "after_published", "hidden"]
STATE_OF: dict[str, OfFile] = {
    "not recognised": "not recognised",
    "not handed in": "not handed in",
    "unreadable": "does not parse",
    "unparsed": "does not parse",
    "import failed": "import fails",
    "import timed out": "import fails",
    "statement failed": "import fails",
}  # by the kind of a failure that keeps all specs from being run
# What keeps a file from being run and is a score of 0 all the same, "unparsed" unless
# the course says that it waits.
ZERO = (
    "not handed in",
    "unparsed",
    "import failed",
    "import timed out",
    "statement failed",
)
# The ends of what is said of a spec that was stopped.
LOOPS, WAITED, TOO_BUSY = (
    "of CPU: an endless loop?",
    "waited",
    "the machine was too busy to judge",
)
NO_TRITON = (
    "not run without Triton: pip install 'triton>=3.7,<4' (Linux; 290 MB, unpacked 1 "
    "GB)"
)
LOWEST_TRITON = (3, 7)  # the interpreter of 3.6 cannot loop with NumPy 2.4
OLD_TRITON = "not run, Triton {} is too old: 3.7 is the lowest whose interpreter works"
DONE = ("passed", "skipped")  # a spec is skipped only where its device is missing


class Reason(StrEnum):
    """Why a point is not decided."""

    NOT_RECOGNISED = "not recognised"  # its file may be among others that came
    UNREADABLE = "unreadable"  # what came cannot be read here
    UNOWNED = "unowned"  # no more than a stub came, and a submission of nobody has it
    FAULT = "fault"  # of the machine or of the grader
    UNCONFIRMED = "unconfirmed"  # works beside the specs, and not from another process

    @property
    def state(self) -> Literal["not recognised", "unconfirmed", "not graded"]:
        """The word for people."""
        if self is Reason.NOT_RECOGNISED:
            return "not recognised"
        return "unconfirmed" if self is Reason.UNCONFIRMED else "not graded"


@dataclass(frozen=True)
class Decided:
    """What an exercise has come to: a point if it works, a star if it holds at the
    edges too.
    """

    point: bool
    star: bool

    def __bool__(self) -> bool:
        raise TypeError("an outcome is neither true nor false: ask for its point")


@dataclass(frozen=True)
class Undecided:
    """An exercise has neither a point nor a 0: why, and what is said of it, in one line
    and in full.
    """

    reason: Reason
    line: str = ""
    text: str = ""


Outcome = Decided | Undecided


@dataclass(frozen=True)
class SpecResult:
    """The verdict on one spec. All texts are printable.

    `error`: the code ended its worker during this spec. `missing`: the spec could not
    be run after that. Both count as failed. `not graded`: the machine or the grader is
    to blame, so the result says nothing about the code.
    """

    name: str
    status: Status
    # where nothing failed: why it was skipped or has no verdict, with whose code
    # it passed
    said: str = ""
    seconds: float = 0.0
    edge: bool = False  # decides the star, not the point
    line: int = 0  # of the spec file
    printed: str = ""
    hidden: bool = False  # a teacher's own, which no report for students holds
    guard: bool = False  # an edge that asks for an error, not for numbers
    failure: Failure | None = None
    # what it would name for the answer of each suspect
    tried: dict[str, list[str]] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """All that is said of it. What is wrong with the file takes one line here: the
        kata's result says the rest.
        """
        if self.failure is None:
            return self.said
        return self.failure.line if self.failure.is_of_file else self.failure.text

    @property
    def first(self) -> str:
        """The first line of all that is said: of a failure that has a reason,
        its reason.
        """
        return self.failure.first if self.failure else self.headline

    @property
    def headline(self) -> str:
        """The failure, or what else is said, in one line."""
        return self.failure.line if self.failure else self.said.partition("\n")[0]

    @property
    def kind(self) -> str:
        return self.failure.kind if self.failure else ""

    @property
    def marked(self) -> str:
        """Its name, marked if it is hidden: "TestX::test_works_on_a_view (hidden)"."""
        return self.name + (" (hidden)" if self.hidden else "")

    @property
    def title(self) -> str:
        """Its name in words, marked if it is hidden: "works on a view (hidden)"."""
        return title(self.marked)


class Withheld(NamedTuple):
    """All that a report for students holds of a hidden spec."""

    status: Status
    edge: bool


WITHOUT_VERDICT = SpecResult("", "not graded", "a hidden spec could not be run")


@dataclass(frozen=True)
class Override:
    """A teacher's decision on one exercise of one student."""

    points: int  # 0 or 1
    reason: str


@dataclass(frozen=True)
class Timing:
    """When a kata was handed in, by which deadline, and what that costs. Times are in
    ISO 8601, in the rules' zone.

    Attributes:
        handed_in: empty if it is not known.
        due: the deadline, with the student's extension; empty without one.
        zone: the name of the rules' time zone.
        extension, grace: how long they are, such as "2d", where they applied.
        days_late: days after the deadline; one that has begun counts.
        penalty: percent of the score that lateness costs.
        allowed: what a teacher has allowed this student, and why.
    """

    handed_in: str = ""
    due: str = ""
    zone: str = ""
    extension: str = ""
    grace: str = ""
    days_late: int = 0
    penalty: float = 0.0
    allowed: str = ""


@dataclass(frozen=True)
class ExerciseResult:
    """The verdicts on the specs of one exercise.

    `worth` is its share of a course's score, of which its star brings the part
    `star_share`, from 0 to 1.
    """

    name: str
    specs: tuple[SpecResult, ...]
    stretch: bool = False
    worth: float = 1.0
    star_share: float = 0.0
    # what specs said that judge from another process; None: they were not asked
    sealed: Seal | None = None
    penalty: float = 0.0  # the part of its score that lateness costs, from 0 to 1
    # what no lock can judge: "2 of 9 specs"; of an unsealed exercise, the reason
    but_for: str = ""
    override: Override | None = None  # counts instead of what the specs said
    # in place of hidden specs, for students
    withheld: Counter[Withheld] = field(default_factory=Counter)
    # why nothing of its kata was graded; None where something was
    reason: Reason | None = None

    @property
    def ideas(self) -> tuple[SpecResult, ...]:
        return tuple(spec for spec in self.specs if not spec.edge)

    @property
    def verdicts(self) -> tuple[SpecResult | Withheld, ...]:
        return *self.specs, *self.withheld

    @property
    def statuses(self) -> set[Status]:
        """What became of the specs of the idea, hidden ones too."""
        return {one.status for one in self.verdicts if not one.edge}

    @property
    def outcome(self) -> Outcome:
        """Point and star, or why they are not decided. A teacher's override decides."""
        if self.override:
            return self.so_far
        if lost := self.without_verdict:
            return Undecided(self.reason or Reason.FAULT, lost.headline, lost.message)
        if self.sealed == "failed":
            return Undecided(Reason.UNCONFIRMED)
        return self.so_far

    @property
    def to_settle(self) -> bool:
        """True if only the first lock gives the point: a teacher settles it."""
        found = self.outcome
        return isinstance(found, Undecided) and found.reason is Reason.UNCONFIRMED

    @property
    def gap(self) -> Undecided | None:
        """Why it was not graded; None if it was."""
        found = self.outcome
        if isinstance(found, Undecided) and found.reason is not Reason.UNCONFIRMED:
            return found
        return None

    @property
    def so_far(self) -> Decided:
        """What the specs that have run say, be it decided or not.

        An exercise works if every spec of the idea passed. A skipped spec does not
        count, but one must have run. An exercise without edges has its star with its
        point.
        """
        works = "passed" in self.statuses and self.statuses <= set(DONE)
        if self.override:
            works = self.override.points == 1
        is_open = any(one.edge and one.status not in DONE for one in self.verdicts)
        return Decided(works, works and not is_open and not self.without_verdict)

    @property
    def open_edges(self) -> tuple[SpecResult, ...]:
        return tuple(
            spec for spec in self.specs if spec.edge and spec.status not in DONE
        )

    @property
    def without_verdict(self) -> SpecResult | None:
        """The first spec without a verdict, by a fault of the machine or the grader."""
        found = next((one for one in self.verdicts if one.status == "not graded"), None)
        return WITHOUT_VERDICT if isinstance(found, Withheld) else found

    @property
    def first_lock(self) -> int:
        """The number of specs of the idea that an exercise which reached the second
        lock passed in the first one.
        """
        # a probe has no line
        return sum(spec.status != "skipped" and spec.line > 0 for spec in self.ideas)

    @property
    def score(self) -> float | None:
        """None if that is not decided."""
        return None if isinstance(self.outcome, Undecided) else self.score_so_far

    @property
    def earned(self) -> float:
        """The score so far, before lateness costs its part."""
        star, found = self.star_share, self.so_far
        return self.worth * ((1 - star) * found.point + star * found.star)

    @property
    def score_so_far(self) -> float:
        return self.earned * (1 - self.penalty)

    @property
    def not_written(self) -> bool:
        own = [spec for spec in self.ideas if not spec.hidden]
        found = [spec.failure for spec in own if spec.status != "skipped"]
        return (
            bool(own)
            and not self.so_far.point
            and all(one and one.kind == "unwritten" and not one.by for one in found)
        )

    @property
    def file_state(self) -> State | None:
        """The state of the kata's file, if that is why no spec was run: "does not
        parse"; otherwise None.
        """
        kinds = [
            spec.kind
            for spec in self.ideas
            if spec.status not in DONE and not spec.hidden
        ]
        is_the_files = (
            bool(kinds)
            and not self.so_far.point
            and all(kind in STATE_OF for kind in kinds)
        )
        return STATE_OF[kinds[0]] if is_the_files else None

    @property
    def first_failure(self) -> SpecResult | None:
        """The first spec of the idea that failed or has no verdict. None if there is
        none so far.
        """
        return (
            None
            if self.so_far.point
            else next((spec for spec in self.ideas if spec.status not in DONE), None)
        )

    @property
    def hidden(self) -> Counter[Withheld]:
        """How many of the teacher's own specs came to what."""
        return self.withheld + Counter(
            Withheld(spec.status, spec.edge) for spec in self.specs if spec.hidden
        )

    @property
    def note(self) -> str:
        """With whose code the exercise works, if the reference replaced an exercise
        that it uses.
        """
        return next(
            (spec.said for spec in self.ideas if spec.status == "passed" and spec.said),
            "",
        )


@dataclass(frozen=True)
class Sums:
    """What some exercises come to together."""

    points: int
    stars: int
    score: float


class Together:
    """Some exercises: their sums, and which of them are not decided."""

    @property
    def parts(self) -> tuple[ExerciseResult, ...]:
        raise NotImplementedError

    @property
    def total(self) -> Sums | None:
        """The sums; None if one of the exercises is not decided, or if there is nothing
        to add up.
        """
        raise NotImplementedError

    @property
    def so_far(self) -> Sums:
        """The sums of what the specs say, be it decided or not."""
        found = [exercise.so_far for exercise in self.parts]
        return Sums(
            sum(one.point for one in found),
            sum(one.star for one in found),
            sum(exercise.score_so_far for exercise in self.parts),
        )

    @property
    def max_points(self) -> int:
        """One point per exercise, and as many stars."""
        return len(self.parts)

    @property
    def max_score(self) -> float:
        return sum(exercise.worth for exercise in self.parts)


@dataclass(frozen=True)
class KataResult(Together):
    """The verdicts on one kata."""

    kata: str
    exercises: tuple[ExerciseResult, ...]
    message: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # CPU time of the worker, from its fork to its last spec
    code: str = ""  # a hash of the file's text; empty if there was none to run
    timing: Timing | None = None  # of a class: of the version that counts
    # why a teacher leaves it out of the student's score; it then has no exercises
    excused: str = ""
    # what is wrong with it; the failure of each spec that could not be run for it, too
    file: Failure | None = None
    counts: str = ""  # which of two versions does, and why; empty if there was one
    # what followed functions did in each spec, if asked for
    traces: dict[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[ExerciseResult, ...]:
        return self.exercises

    @property
    def handed_in(self) -> str:
        """When the version that counts was handed in, in ISO 8601; empty if that is
        not known.
        """
        return self.timing.handed_in if self.timing else ""

    @property
    def state(self) -> State:
        """What became of it, in a word for people. Every report has it from here."""
        if self.excused:
            return "excused"
        if self.gap:
            return self.gap.reason.state
        if self.to_settle:
            return "unconfirmed"
        failing = [one for one in self.exercises if not one.so_far.point]
        if not failing:
            return "works"
        if any(one.statuses & {"error", "missing"} for one in failing):
            return "crashed"
        if all(exercise.not_written for exercise in self.exercises):
            return "untouched"
        # with the reference's code, some may
        works = any(one.so_far.point and not one.note for one in self.exercises)
        return STATE_OF[self.file.kind] if self.file and not works else "wrong"

    @property
    def why_no_code(self) -> Failure | None:
        """What is wrong with a file that cannot be run, where its state says so."""
        return self.file if self.state in get_args(OfFile) else None

    @property
    def to_settle(self) -> tuple[ExerciseResult, ...]:
        """The exercises whose points only the first lock gives."""
        return tuple(exercise for exercise in self.exercises if exercise.to_settle)

    @property
    def gap(self) -> Undecided | None:
        """Why the kata was not graded; None if it was, or if it is excused."""
        if not self.exercises and not self.excused:
            return Undecided(Reason.FAULT, self.message, self.message)
        gaps = (exercise.gap for exercise in self.exercises)
        return next((gap for gap in gaps if gap), None)

    @property
    def total(self) -> Sums | None:
        return None if self.excused or self.gap or self.to_settle else self.so_far

    def or_waits(self, *, unparsed_waits: bool) -> "KataResult":
        """The one rule for a score of 0: nothing was handed in, the code ran, or no
        Python parses it.

        Whatever else keeps a file from being run waits for a person, and so does one
        that does not parse, if the course says so.
        """
        kind = self.file.kind if self.file else ""
        is_zero = kind in ZERO and not (kind == "unparsed" and unparsed_waits)
        if self.nothing_graded or not kind or is_zero:
            return self
        specs = [
            tuple(replace(spec, status="not graded") for spec in one.specs)
            for one in self.exercises
        ]
        exercises = tuple(
            replace(one, specs=its)
            for one, its in zip(self.exercises, specs, strict=True)
        )
        return replace(self, exercises=exercises).because(Reason.UNREADABLE)

    @property
    def nothing_graded(self) -> Reason | None:
        """Why nothing of it was graded; None where something was."""
        return next((exercise.reason for exercise in self.exercises), None)

    def because(self, reason: Reason) -> "KataResult":
        """The same, and why nothing of it was graded."""
        exercises = tuple(replace(one, reason=reason) for one in self.exercises)
        return replace(self, exercises=exercises)

    @property
    def penalty(self) -> float:
        """The part of the score that lateness costs, from 0 to 1."""
        return max((exercise.penalty for exercise in self.exercises), default=0.0)

    @property
    def earned(self) -> float:
        """The score so far, before lateness costs its part."""
        return sum(exercise.earned for exercise in self.exercises)

    @property
    def core_works(self) -> bool:
        """True if every core exercise works so far, be it decided or not."""
        return all(
            exercise.so_far.point for exercise in self.exercises if not exercise.stretch
        )


@dataclass(frozen=True)
class Run(Together):
    """One grading run. `started` is in ISO 8601 with a UTC offset; `complete` is False
    after an interruption.
    """

    code: str
    started: str
    seconds: float
    complete: bool
    katas: tuple[KataResult, ...] = field(default=())
    sealed: bool = False  # exercises that work were judged again, from another process
    # a course's rules say what exercises are worth, so that the score counts
    weighted: bool = False
    # "16_multi_head_attention/multi_head_attention.py" → its text
    files: dict[str, str] = field(default_factory=dict)
    details: Visibility = "visible"  # when Gradescope shows students what failures say

    @property
    def parts(self) -> tuple[ExerciseResult, ...]:
        return tuple(exercise for kata in self.katas for exercise in kata.exercises)

    @property
    def is_whole(self) -> bool:
        """True if every kata is graded, but for points that a teacher has to settle.
        Otherwise the sums are no score.
        """
        return self.complete and not any(kata.gap for kata in self.katas)

    @property
    def to_settle(self) -> list[tuple[KataResult, ExerciseResult]]:
        """The exercises whose points only the first lock gives, each with its kata."""
        return [(kata, exercise) for kata in self.katas for exercise in kata.to_settle]

    @property
    def excused(self) -> bool:
        """True if every kata is excused. There is no score then, neither none of the
        points nor all.
        """
        return bool(self.katas) and all(kata.excused for kata in self.katas)

    @property
    def total(self) -> Sums | None:
        """The sums; None if there is no score: not graded, excused, or a point is to
        settle. A gradebook then has no row.
        """
        has_score = self.is_whole and not self.excused and not self.to_settle
        return self.so_far if has_score else None


class Report(Run):
    """A run with all that is known. What students read is another type:
    `grader.reports.students_view`.
    """


@dataclass(frozen=True)
class Identity:
    """A student's entry in a course's roster. The email may be empty.

    `canvas` are the cells ID, SIS User ID, SIS Login ID and Section of a roster that
    Canvas has exported.
    """

    id: str
    name: str
    email: str
    canvas: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class ClassReport:
    """One grading run over a class: the report per student, in order, and who is who
    for students of a roster.
    """

    started: str
    seconds: float
    complete: bool
    students: dict[str, Report] = field(default_factory=dict)
    roster: dict[str, Identity] = field(default_factory=dict)
    assignment: str = ""  # the titles of its katas
    # student → the link from this report to their own page
    pages: dict[str, str] = field(default_factory=dict)
    # a submission of nobody that may be somebody's → why
    unowned: dict[str, str] = field(default_factory=dict)
    # the column of Canvas's gradebook that the total is for; empty for one per kata
    canvas_column: str = ""

    @property
    def to_settle(self) -> dict[str, list[tuple[KataResult, ExerciseResult]]]:
        """The points that a teacher has to decide, for each student who has some."""
        return {
            student: report.to_settle
            for student, report in self.students.items()
            if report.to_settle
        }


@dataclass(frozen=True)
class Change:
    """An exercise whose score is not what it was; None where it was or is not
    decided.
    """

    student: str
    kata: str
    exercise: str
    before: float | None
    after: float | None
    why: str


def title(name: str) -> str:
    """Turn a spec's name into words: "TestSplitHeads::test_works_on_a_view[2-5]" →
    "works on a view [2-5]".
    """
    path, bracket, case = name.partition("[")
    words = path.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return words + (f" [{case}" if bracket else "")


def number(value: float) -> str:
    """A score as people write it, with at most two decimals: "2.5", "20"."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def rounded(values: Iterable[float], digits: int = 2) -> list[float]:
    """The values with so many digits, and their sum too: each passes its rounding error
    on to the next.
    """
    sums = [0.0, *(round(total, digits) for total in accumulate(values))]
    return [plain(after - before, digits) for before, after in pairwise(sums)]


def plain(value: float, digits: int = 6) -> float:
    """The value with so many digits at most, as an integer if it is whole."""
    value = round(value, digits)
    return int(value) if value == int(value) else value


def kata_result(data: dict[str, Any]) -> KataResult:
    """Rebuild one kata's result from its `dataclasses.asdict` form, or from its entry
    in a report.

    It has neither a course's worth nor overrides.
    """
    file = failure.made(data.get("file"))
    exercises = [
        ExerciseResult(
            e["name"],
            tuple(spec_result(spec, file) for spec in e["specs"]),
            e["stretch"],
            sealed=e.get("sealed"),
            but_for=e.get("but_for", ""),
            reason=_reason(data.get("lost") or e.get("reason")),
        )
        for e in data["exercises"]
    ]
    cpu_seconds, code = data.get("cpu_seconds", 0.0), data.get("code", "")
    found = (
        data["kata"],
        tuple(exercises),
        data["message"],
        data["seconds"],
        cpu_seconds,
        code,
    )
    return KataResult(
        *found,
        timing_of(data),
        data.get("excused") or "",
        file,
        data.get("counts", ""),
    )


def _reason(name: str | None) -> Reason | None:
    return Reason(name) if name else None


def timing_of(data: dict[str, Any]) -> Timing | None:
    """The timing in a kata's entry of a report. In kata-report/2 the penalty is a part
    of the score, from 0 to 1.
    """
    if "timing" in data:
        return Timing(**data["timing"]) if data["timing"] else None
    if not data.get("handed_in"):
        return None
    return Timing(data["handed_in"], penalty=plain(100 * float(data.get("penalty", 0))))


def spec_result(data: dict[str, Any], file: Failure | None = None) -> SpecResult:
    """A spec's result of its `dataclasses.asdict` form, or of its entry in a report on
    this file.
    """
    found = failure.made(data.get("failure")) or (
        file if data["status"] == "failed" else None
    )
    said = data.get("said", "" if found else data.get("message", ""))
    rest = {
        name: value
        for name, value in data.items()
        if name not in ("message", "said", "failure")
    }
    return SpecResult(said=said, failure=found, **rest)
