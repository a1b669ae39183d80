"""The words and signs in which every report speaks of exercises, stars and totals."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import get_args

from grader.failure import NOT_HANDED_IN, NOT_WRITTEN
from grader.results import (
    Decided,
    ExerciseResult,
    KataResult,
    OfFile,
    Override,
    Reason,
    Run,
    SpecResult,
    Timing,
    Undecided,
    number,
)

STAR, NO_STAR = "\N{BLACK STAR}", "\N{WHITE STAR}"
UNTIMED = "handed in at a time that is not known, so lateness costs nothing"
UNKNOWN = "?"  # in place of points and stars that are not decided
UNCONFIRMED = (
    "unconfirmed: works beside the specs, and not when they ask from another process"
)
ASK = (
    "There is no point for it yet. Ask your teacher, who can look at the code and "
    "settle the point with an override."
)
NAMED = 5  # katas in a line
# Why no spec of an exercise was run, by the state of its file.
NOT_RUN = {
    "not handed in": "not handed in",
    "does not parse": "not run: the file does not parse",
    "import fails": "not run: the import of the file fails",
}
STATUS = {
    "works": "passed",
    "crashed": "error",
    "untouched": "not started",
    "unconfirmed": "unconfirmed",
}  # of a kata that was graded, by its state; "failed" otherwise
SEALED, IN_PART, NOT_SEALED, BY_OVERRIDE = (
    "sealed",
    "sealed in part",
    "not sealed",
    "by override",
)


def listed(parts: Iterable[str]) -> str:
    """Join with commas and a last "and": "a, b and c"."""
    *most, last = [*parts] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def counted(number: int, noun: str) -> str:
    """ "1 student", "2 students"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def star(exercise: ExerciseResult) -> str:
    """A filled star if the exercise holds at the edges, otherwise an empty one; ? if
    that is not decided.
    """
    match exercise.outcome:
        case Decided(star=has_star):
            return STAR if has_star else NO_STAR
        case Undecided():
            return UNKNOWN


def point(exercise: ExerciseResult) -> str:
    """1 or 0, or a question mark if that is not decided."""
    match exercise.outcome:
        case Decided(point=works):
            return "1" if works else "0"
        case Undecided():
            return UNKNOWN


def points(kata: KataResult) -> str:
    """The number of points, or a question mark if they are not decided."""
    return _of_sums(kata, kata.so_far.points)


def stars(kata: KataResult) -> str:
    """The number of stars, or a question mark if they are not decided."""
    return _of_sums(kata, kata.so_far.stars)


def score(kata: KataResult) -> str:
    """The score, or a question mark if it is not decided."""
    return _of_sums(kata, kata.so_far.score)


def _of_sums(kata: KataResult, amount: float) -> str:
    return UNKNOWN if kata.gap or kata.to_settle else number(amount)


def exercise_score(exercise: ExerciseResult) -> str:
    """The score, or a question mark if it is not decided."""
    return UNKNOWN if exercise.score is None else number(exercise.score)


def status(kata: KataResult) -> str:
    """The state in fewer words: "passed", "failed", "error", "not started", "not
    graded", "unconfirmed", "excused".
    """
    if kata.excused:
        return "excused"
    if kata.gap:
        return "not graded"
    return STATUS.get(kata.state, "failed")


def exercise_status(exercise: ExerciseResult) -> str:
    """ "passed", "failed", "not started", "not graded", "unconfirmed"."""
    match exercise.outcome:
        case Undecided():
            return "unconfirmed" if exercise.to_settle else "not graded"
        case Decided(point=works):
            if works:
                return "passed"
            return "not started" if exercise.not_written else "failed"


def state(kata: KataResult) -> str:
    """The state of a file that cannot be run, such as "does not parse"; otherwise the
    status: "failed".
    """
    return kata.state if kata.state in get_args(OfFile) else status(kata)


def of_files(report: Run) -> str:
    """The files that cannot be run, and why: "16_mha: import fails: mha.py:3:
    NameError: …"; empty without any.

    Then the numbers of the katas that were not handed in.
    """
    absent = [
        kata_number(kata.kata) for kata in report.katas if kata.state == NOT_HANDED_IN
    ]
    lost = [
        kata
        for kata in report.katas
        if kata.why_no_code and kata.state != NOT_HANDED_IN
    ]
    told = [
        f"{', '.join(katas)}: {said}" for said, katas in alike(lost, _of_file).items()
    ]
    more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
    return "; ".join(
        [
            *told,
            *(
                [f"{NOT_HANDED_IN}: {', '.join(absent[:NAMED])}{more}"]
                if absent
                else []
            ),
        ]
    )


def of_file(kata: KataResult) -> str:
    """ "16_mha: import fails: mha.py:3: NameError: …", "16_mha: not handed in"."""
    return f"{kata.kata}: {_of_file(kata)}"


def _of_file(kata: KataResult) -> str:
    """ "import fails: mha.py:3: NameError: …", "mha.py:3: does not parse with Python
    3.11: …", "not handed in".
    """
    if kata.why_no_code is None or kata.state == NOT_HANDED_IN:
        return kata.state
    why = kata.why_no_code
    return why.line if why.kind == "unparsed" else f"{kata.state}: {why.line}"


def alike(
    katas: Iterable[KataResult], said: Callable[[KataResult], str]
) -> dict[str, list[str]]:
    """What is said of katas, and the names of those of which it is: one broken archive
    is said once.
    """
    found: dict[str, list[str]] = {}
    for kata in katas:
        found.setdefault(said(kata), []).append(kata.kata)
    return found


def kata_number(kata: str) -> str:
    """The kata's name in commands: "16", "papers/13", "appendix_a"."""
    track, slash, name = kata.rpartition("/")
    first, *rest = name.split("_")
    return track + slash + (first if first.isdigit() else "_".join([first, *rest[:1]]))


def hand_ins(report: Run) -> list[tuple[str, str, str]]:
    """The numbers of katas of which the same is to be said, when they were handed in,
    and which version counts.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for kata in report.katas:
        if said := of_timing(kata):
            found.setdefault((said, kata.counts), []).append(kata_number(kata.kata))
    return [(", ".join(katas), *place) for place, katas in found.items()]


def lateness(report: Run) -> list[str]:
    """ "01: due … · handed in …", a line for the katas of which the same is to
    be said.
    """
    return [f"{katas}: {said}" for katas, said, _ in hand_ins(report)]


def of_timing(kata: KataResult) -> str:
    """ "due … · handed in … · 2 days late: −20 % of 11.5 = 9.2"; why it is excused;
    or empty.
    """
    if kata.excused:
        return f"excused: {kata.excused}"
    if kata.timing is None or kata.state == NOT_HANDED_IN:
        return ""
    said = timing(kata.timing)
    is_of_all = all(100 * one.penalty == kata.timing.penalty for one in kata.exercises)
    if kata.timing.penalty and kata.earned and is_of_all and kata.total:
        said += f" of {number(kata.earned)} = {number(kata.total.score)}"
    return said


def timing(timing: Timing) -> str:
    """ "due Tue 1 Dec 2026 23:59 (Europe/Berlin) · handed in Thu 3 Dec 2026 10:00 · 2
    days late: −20 %".
    """
    longer = f", with an extension of {timing.extension}" if timing.extension else ""
    is_close = bool(timing.due and timing.handed_in) and day(timing.due) == day(
        timing.handed_in
    )
    due, handed_in = (
        day(time, seconds=is_close) if time else ""
        for time in (timing.due, timing.handed_in)
    )
    # clocks change that day
    if (
        timing.due[:10] == timing.handed_in[:10]
        and timing.due[-6:] != timing.handed_in[-6:]
    ):
        due, handed_in = (
            f"{due} {timing.due[-6:]}",
            f"{handed_in} {timing.handed_in[-6:]}",
        )
    parts = [f"due {due} ({timing.zone}){longer}"] if due else []
    parts.append(f"handed in {handed_in}" if handed_in else UNTIMED)
    parts += [timing.allowed] if timing.allowed else []
    parts += [f"late within the grace of {timing.grace}"] if timing.grace else []
    if timing.days_late:
        cost = f"−{number(timing.penalty)} %" if timing.penalty else "costs nothing"
        parts.append(f"{counted(timing.days_late, 'day')} late: {cost}")
    return " · ".join(parts)


def day(time: str, *, seconds: bool = False) -> str:
    """ "Thu 3 Dec 2026 10:00", of a time in ISO 8601."""
    at = datetime.fromisoformat(time)
    clock = "%H:%M:%S" if seconds else "%H:%M"
    return f"{at:%a} {at.day} {at:%b} {at.year} {at:{clock}}"


def newest(report: Run) -> str:
    """When the newest version that counts was handed in; empty if that is not known."""
    times = [kata.handed_in for kata in report.katas if kata.handed_in]
    return (
        datetime.fromisoformat(max(times, key=moment)).isoformat(timespec="seconds")
        if times
        else ""
    )


def moment(time: str) -> float:
    """A time in ISO 8601 as a number to sort by, whatever its zone."""
    return datetime.fromisoformat(time).timestamp()


def late(report: Run) -> str:
    """The cost of lateness: "10 % less", or for each late kata: "16: 10 % less, 17:
    20 % less"; empty if nothing.
    """
    handed_in = [kata for kata in report.katas if kata.state != NOT_HANDED_IN]
    costs = {
        kata_number(kata.kata): less(kata.penalty) for kata in handed_in if kata.penalty
    }
    if len(costs) == len(handed_in) and len(set(costs.values())) == 1:
        return next(iter(costs.values()))
    return ", ".join(f"{kata}: {cost}" for kata, cost in costs.items())


def less(penalty: float) -> str:
    """The part of the score that lateness costs: "10 % less"."""
    return f"{number(100 * penalty)} % less"


def gap(report: Run) -> str:
    """The report's gap: "interrupted: the rest was not graded", or the katas that are
    not graded and why.
    """
    if not report.complete:
        return "interrupted: the rest was not graded"
    return "; ".join(
        f"{kata.kata} was not graded: {not_graded(kata)}"
        for kata in report.katas
        if kata.gap
    )


def not_graded(kata: KataResult) -> str:
    """One line on what kept the kata from being graded; empty if it is graded."""
    if kata.gap is None:
        return ""
    is_told = kata.gap.reason is Reason.NOT_RECOGNISED
    return f"{kata.gap.reason}: {kata.gap.line}" if is_told else kata.gap.line


def verdict(exercise: ExerciseResult) -> str:
    """ "works · sealed · 2 edges open", "3 of 5 specs pass", "not written yet"; and why
    specs were not run.

    Of an exercise with hidden specs it ends with " · 1 of 2 hidden specs pass".
    """
    if exercise.override:
        return " · ".join([override(exercise.override), *_rest(exercise)])
    first = exercise.first_failure.failure if exercise.first_failure else None
    anothers = (
        first
        and first.kind in ("unwritten", "waits for")
        and not f"{first.of}.".startswith(f"{exercise.name}.")
    )
    if isinstance(exercise.outcome, Undecided) or not first or not anothers:
        return _counted(exercise, exercise.note)
    return " · ".join([first.head or first.line, *_rest(exercise)])


def tally(exercise: ExerciseResult) -> str:
    """The verdict without a word that the code under test could have chosen."""
    return _counted(exercise, note="")


def _counted(exercise: ExerciseResult, note: str) -> str:
    if exercise.gap:
        return "not graded"
    if exercise.to_settle:
        return " · ".join([UNCONFIRMED, *_rest(exercise)])
    if exercise.file_state:
        return " · ".join([NOT_RUN[exercise.file_state], *_rest(exercise)])
    ran = [
        spec for spec in exercise.ideas if spec.status != "skipped" and not spec.hidden
    ]
    passed = sum(spec.status == "passed" for spec in ran)
    sums = f"{passed} of {len(ran)} specs pass" if ran else "not run"
    error = "error, " if "error" in exercise.statuses else ""
    written = NOT_WRITTEN if ran and exercise.not_written else f"{error}{sums}"
    return " · ".join(
        [
            _working(exercise, note) if exercise.so_far.point else written,
            *_rest(exercise),
        ]
    )


def details(exercise: ExerciseResult) -> str:
    """The first failure, and whom to ask about a point that is unconfirmed.

    If the exercise works, its open edges; empty if there is nothing to say.
    """
    if exercise.gap:
        return f"not graded: {exercise.gap.text}"
    if failure := exercise.first_failure:
        return asked(exercise, failed(failure))
    return f"open edges: {open_edges(exercise)}" if exercise.open_edges else ""


def asked(exercise: ExerciseResult, told: str) -> str:
    """What is told of an exercise, and whom to ask about a point that
    is unconfirmed.
    """
    return f"{told}\n\n{ASK}" if exercise.to_settle else told


def failed(spec: SpecResult) -> str:
    """A failure's text, below the spec's name."""
    return f"{spec.title}\n\n{with_printed(spec.message, spec.printed)}"


def feedback(exercise: ExerciseResult) -> str:
    """The details for a student, what a teacher has decided, and how many hidden
    specs pass.
    """
    decided = override(exercise.override) if exercise.override else ""
    sums = "" if exercise.gap else hidden(exercise)
    return "\n\n".join(filter(None, [decided, details(exercise), sums]))


def override(decided: Override) -> str:
    """ "1 point by override: a right way that the locks do not know"."""
    return (
        f"{'1 point' if decided.points else 'no point'} by override: {decided.reason}"
    )


def overrides(katas: Iterable[KataResult]) -> list[str]:
    """Every exercise that a teacher has decided, with the decision and its reason."""
    return [
        f"{k.kata} · {e.name}: {override(e.override)}"
        for k in katas
        for e in k.exercises
        if e.override
    ]


def seal(exercise: ExerciseResult) -> str:
    """ "sealed", "sealed, but for 2 of 9 specs", "not sealed: so is time"; empty if it
    was not judged twice.
    """
    if exercise.sealed == "passed":
        return f"{SEALED}, but for {exercise.but_for}" if exercise.but_for else SEALED
    if exercise.sealed == "unsealed":
        return f"{NOT_SEALED}: {exercise.but_for}" if exercise.but_for else NOT_SEALED
    return ""


def seals(report: Run) -> str:
    """ "sealed" if both locks give every point, otherwise how many: "9 sealed, 2 sealed
    in part, 1 not sealed".

    Empty where there are no points.

    Points that a teacher has given are counted here, too, and points that
    are unconfirmed.
    """
    count = Counter(
        _sealing(exercise) for exercise in report.parts if exercise.so_far.point
    )
    kinds = (
        (SEALED, IN_PART, NOT_SEALED, BY_OVERRIDE) if report.sealed else (BY_OVERRIDE,)
    )
    parts = [f"{count[kind]} {kind}" for kind in kinds if count[kind]]
    if report.to_settle:
        parts.append(f"{len(report.to_settle)} unconfirmed")
    if report.sealed and parts == [f"{count[SEALED]} {SEALED}"]:
        return SEALED
    return ", ".join(parts)


def _sealing(exercise: ExerciseResult) -> str:
    """The kind of a point, as totals count it."""
    if exercise.override:
        return BY_OVERRIDE
    if exercise.sealed != "passed":
        return NOT_SEALED
    return IN_PART if exercise.but_for else SEALED


def hidden(exercise: ExerciseResult) -> str:
    """ "1 of 2 hidden specs pass"; empty if it has none."""
    statuses = [one.status for one in exercise.hidden.elements()]
    skipped = f", {statuses.count('skipped')} not run" if "skipped" in statuses else ""
    return (
        f"{statuses.count('passed')} of {len(statuses)} hidden specs pass{skipped}"
        if statuses
        else ""
    )


def with_printed(message: str, printed: str) -> str:
    """A failure's message, and below it what the spec's call printed."""
    if not printed:
        return message
    return f"{message}\n\nprinted    " + ("\n" + " " * 11).join(printed.splitlines())


def open_edges(exercise: ExerciseResult) -> str:
    """The open edges by name: "works on a view, heads must divide the features"."""
    return ", ".join(spec.title for spec in exercise.open_edges)


def star_line(exercise: ExerciseResult, how: str, room: float = math.inf) -> str:
    """The star of an exercise that works: "★", or what is open as `open_star`
    says it.
    """
    if not exercise.open_edges:
        return STAR
    numerics = [spec.title for spec in exercise.open_edges if not spec.guard]
    return open_star(numerics, len(exercise.open_edges) - len(numerics), how, room)


def open_star(
    numerics: Sequence[str], guards: int, how: str, room: float = math.inf
) -> str:
    """ "★ numerics: works on a view · 2 guards (press g)": the names of the ones, the
    number of the others.

    Args:
        how: to see the guards.
        room: the columns for it. The first name is always there; those that do not fit
            are counted.
    """
    counted_ = [f"{counted(guards, 'guard')} ({how})"] if guards else []
    text = f"{STAR} {' · '.join(counted_)}"
    for shown in range(len(numerics), 0, -1):
        left = len(numerics) - shown
        names = [*numerics[:shown], f"{left} more"] if left else numerics
        text = f"{STAR} {' · '.join(['numerics: ' + ', '.join(names), *counted_])}"
        if len(text) <= room:
            break
    return text


def totals(report: Run) -> str:
    """ "23 of 35 points · 12 of 35 stars", the score if a course's rules give one, and
    how points are sealed.

    If something is not decided, this comes first: "not graded, so far 3 of 12 points".
    """
    if report.excused:
        return "excused: no score"
    so_far = (
        "not graded, so far "
        if not report.is_whole
        else "unconfirmed, so far "
        if report.to_settle
        else ""
    )
    weighted = (
        f" · score {number(report.so_far.score)} of {number(report.max_score)}"
        if report.weighted
        else ""
    )
    weighted += f" · late: {late(report)}" if late(report) else ""
    left_out = [kata_number(kata.kata) for kata in report.katas if kata.excused]
    weighted += f" · excused: {', '.join(left_out)}" if left_out else ""
    sealed = f" · {seals(report)}" if seals(report) else ""
    sums = (
        f"{report.so_far.points} of {report.max_points} points · "
        f"{report.so_far.stars} of "
        f"{report.max_points} stars"
    )
    return f"{so_far}{sums}{weighted}{sealed}"


def _working(exercise: ExerciseResult, note: str) -> str:
    skipped = [
        spec.message
        for spec in exercise.specs
        if spec.status == "skipped" and not spec.hidden
    ]
    words = "works" + (f", {note}" if note else "")
    if skipped:
        words += f", {len(skipped)} not run ({skipped[0]})"
    return " · ".join(filter(None, [words, seal(exercise)]))


def _rest(exercise: ExerciseResult) -> list[str]:
    """The end of a verdict: the open edges of an exercise that works, and its
    hidden specs.
    """
    edges = (
        sum(not spec.hidden for spec in exercise.open_edges)
        if exercise.so_far.point
        else 0
    )
    parts = [f"{counted(edges, 'edge')} open"] if edges else []
    return [*parts, hidden(exercise)] if exercise.hidden else parts
