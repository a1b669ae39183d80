"""Decides which versions of a kata's file are graded: the newest, and the last one on
time if that is another.
"""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from grader.course import kata_modules, notebooks, stubs
from grader.course.catalogue import Kata
from grader.errors import LoadFailure
from grader.reports import words
from grader.results import KataResult, Timing
from grader.teaching import attribution, commits, listing, times
from grader.teaching.accommodations import Accommodation
from grader.teaching.commits import Change, History
from grader.teaching.contents import Contents, Row, general
from grader.teaching.dates import is_future
from grader.teaching.lateness import Late
from grader.teaching.listing import File
from grader.teaching.submissions import Attempt, Submission
from grader.teaching.times import HandIn
from grader.workers import jobs
from grader.workers.jobs import SourceText


@dataclass(frozen=True)
class Version:
    """A text of a kata's file, when it was handed in and how that is known, and what
    that costs.
    """

    source: SourceText
    time: datetime | None
    how: str
    timing: Timing | None = None
    is_weak: bool = False

    @property
    def penalty(self) -> float:
        """The part of the score that is lost, from 0 to 1."""
        return self.timing.penalty / 100 if self.timing else 0.0

    @property
    def said(self) -> str:
        """ "Thu 3 Dec 2026 10:00", in the rules' zone where there are rules."""
        return words.day(self.timing.handed_in) if self.timing else ""


@dataclass(frozen=True)
class Versions:
    """The versions of a kata's file that are graded. Of two, the one that gives
    more counts.
    """

    newest: Version
    on_time: Version | None = None


@dataclass(frozen=True)
class Dates:
    """The dates of one student: the course's rules, what the roster has, and what is
    allowed for a kata.

    `handed_in` is the time of the whole submission, where a roster or a platform
    keeps it.
    `is_nbgraders`: nbgrader laid out the class, and notes the time of each assignment.
    """

    late: Late | None
    due: datetime | None = None
    extension: timedelta = timedelta()
    handed_in: HandIn | None = None
    allowed: Mapping[str, Accommodation] = field(default_factory=dict)
    is_nbgraders: bool = False

    def timing(self, kata: Kata, time: datetime | None) -> Timing | None:
        """What handing in a kata at this time costs. None where neither time nor rules
        are known.
        """
        if self.late is None:
            return Timing(time.isoformat(timespec="seconds")) if time else None
        one = self.allowed.get(kata.name)
        late, due, extension = self._deadline(self.late, kata)
        found = late.timing(
            time, due, extension, kata.name, waived=bool(one and one.waive_late)
        )
        return replace(found, allowed=one.said if one else "")

    def free_until(self, kata: Kata) -> datetime | None:
        """The last moment that costs nothing."""
        if self.late is None:
            return None
        late, due, extension = self._deadline(self.late, kata)
        return late.free_until(kata.name, due, extension)

    def _deadline(
        self, late: Late, kata: Kata
    ) -> tuple[Late, datetime | None, timedelta]:
        """The rules, the student's own date and their extension. What is allowed for
        the kata comes before both.
        """
        one = self.allowed.get(kata.name)
        if one and one.due:
            return replace(late, katas={}), one.due, timedelta()
        if one and one.extension is not None:
            return late, self.due, one.extension
        return late, self.due, self.extension


def find(
    submission: Submission, contents: Contents, katas: Iterable[Kata], dates: Dates
) -> dict[Kata, Versions]:
    """The versions to grade of each of these katas that was handed in."""
    histories: dict[Path, History | None] = {}
    found: dict[Kata, Versions] = {}
    for kata in katas:
        row = contents.katas.get(kata)
        if row is None or row.file is None:
            continue
        own, file, source = Contents({kata: row}), row.file, row.for_job
        history, changes = (
            _changes(submission, file, histories)
            if dates.handed_in is None
            else (None, [])
        )
        if dates.handed_in:
            hand_in: HandIn | None = dates.handed_in
        elif changes:
            hand_in = HandIn(*_time(file, changes))
        else:
            hand_in = times.of(submission, own, is_nbgraders=dates.is_nbgraders)
        if hand_in and not is_future(hand_in.time):
            timing = dates.timing(kata, hand_in.time)
            newest = Version(source, hand_in.time, hand_in.how, timing, hand_in.is_weak)
        else:
            newest = Version(
                source, None, times.why_unknown(own, hand_in), dates.timing(kata, None)
            )
        on_time = (
            _on_time(kata, file, newest, history, changes, dates)
            if newest.penalty
            else None
        )
        match dates.late and dates.late.late:
            case "on_time" if on_time:
                found[kata] = Versions(on_time)
            case "best":
                found[kata] = Versions(newest, on_time)
            case _:
                found[kata] = Versions(newest)
    return found


def as_first_seen(
    found: Mapping[Kata, Versions],
    earlier: Mapping[str, KataResult],
    dates: Dates,
) -> tuple[dict[Kata, Versions], list[Row]]:
    """The versions with the times at which a content was first seen, and a row for
    each file whose time changed.

    A file's own time is that of its last copy. What a commit or a platform says is
    taken as it is.

    Args:
        earlier: the results of an earlier grading, by kata.
    """
    settled, said = dict(found), list[Row]()
    for kata, one in found.items():
        old, new = earlier.get(kata.name), one.newest
        if not (
            old
            and old.handed_in
            and new.timing
            and new.is_weak
            and old.code == jobs.digest_of(new.source.text)
        ):
            continue
        first = datetime.fromisoformat(old.handed_in)
        if new.timing.handed_in and first != datetime.fromisoformat(
            new.timing.handed_in
        ):
            version = replace(new, time=first, timing=dates.timing(kata, first))
            settled[kata] = replace(one, newest=version)
            why = (
                f"its time is {new.said} now, and was {version.said} when the same "
                "content was graded: that counts"
            )
            said.append(Row(None, kata, "handed in", why, odd=True))
    return settled, said


def attempts(
    submission: Submission, found: Mapping[Kata, Versions], katas: Iterable[Kata]
) -> list[Attempt]:
    """The newest versions of these katas, and once more those on time, of the katas
    that have both.
    """
    texts = {
        **(submission.texts or {}),
        **{kata: one.newest.source for kata, one in found.items()},
    }
    older = {kata: one.on_time.source for kata, one in found.items() if one.on_time}
    newest = Attempt(replace(submission, texts=texts), tuple(katas))
    if not older:
        return [newest]
    return [
        newest,
        Attempt(replace(submission, texts=texts | older), tuple(older), "on time"),
    ]


def better(newest: KataResult, on_time: KataResult) -> KataResult | None:
    """The result with the higher score; None while that depends on a point that is
    not decided.

    Of equal scores the one on time counts, unless both are zero: then the newest code
    says more.
    """
    if on_time.so_far.score >= _most(newest) and on_time.so_far.score > 0:
        return on_time
    return newest if newest.so_far.score >= _most(on_time) else None


def rows(found: Mapping[Kata, Versions]) -> list[Row]:
    """The time of each kata, how it is known, and the cost of lateness; then why no
    time is known.
    """
    timed = [
        Row(None, kata, "handed in", _note(one))
        for kata, one in found.items()
        if one.newest.time
    ]
    return timed + [general("handed in", why) for why in why_untimed(found)]


def why_untimed(found: Mapping[Kata, Versions]) -> list[str]:
    """Why no time is known of some katas, each reason once."""
    reasons = [one.newest.how for one in found.values() if one.newest.time is None]
    return list(dict.fromkeys(reasons))


def said(versions: Versions, counts: Version) -> str:
    """A line for reports on which of two versions counts, and why; empty if there
    was one.
    """
    newest, older = versions.newest, versions.on_time
    if older is None:
        return ""
    if counts is older:
        return (
            f"the version of {older.said} counts, which was on time; the newest, of "
            f"{newest.said}, gives no more"
        )
    return (
        f"the newest version, of {newest.said}, counts; the one on time, of "
        f"{older.said}, gives less"
    )


def _note(one: Versions) -> str:
    cost = (
        f": {words.timing(one.newest.timing)}"
        if one.newest.timing and one.newest.timing.due
        else ""
    )
    older = one.on_time and (
        f"; or {one.on_time.said}, {one.on_time.how}, on time: what gives more counts"
    )
    return f"{one.newest.said}, {one.newest.how}{cost}{older or ''}"


def _most(result: KataResult) -> float:
    """The score if every point that is not decided were given."""
    if not result.exercises:
        return float("inf")
    return sum(
        one.worth * (1 - one.penalty) if one.score is None else one.score
        for one in result.exercises
    )


def _changes(
    submission: Submission, file: File, histories: dict[Path, History | None]
) -> tuple[History | None, list[Change]]:
    """The history of the checkout that a file is in, and the commits that changed the
    file, newest first.
    """
    for place in submission.places:
        if (
            place.is_dir()
            and listing.readable(f"{place.name}/{file.path}") == file.shown
        ):
            path = place / file.path
            checkout = commits.checkout_of(path, place)
            if checkout and checkout not in histories:
                histories[checkout] = commits.history(checkout)
            history = histories[checkout] if checkout else None
            if checkout and history:
                return history, history.changes(path.relative_to(checkout).as_posix())
    return None, []


def _time(file: File, changes: list[Change]) -> tuple[datetime, str]:
    """The time at which the file got its text: of its newest commit, or the first of
    several with the same text.
    """
    same = list(takewhile(lambda change: change.blob == changes[0].blob, changes))
    return same[-1].time, f"the commit {same[-1].commit[:7]} of {file.shown}"


def _on_time(
    kata: Kata,
    file: File,
    newest: Version,
    history: History | None,
    changes: list[Change],
    dates: Dates,
) -> Version | None:
    """The last version that costs nothing, if it is begun and another one than
    the newest.
    """
    until = dates.free_until(kata)
    change = next((one for one in changes if until and one.time <= until), None)
    if change is None or history is None:
        return None
    text = history.content(change.blob, max(kata_modules.MAX_BYTES, notebooks.LARGEST))
    source = _read(kata, file, text) if text is not None else None
    if (
        source is None
        or source.text == newest.source.text
        or stubs.is_untouched(kata, source.text)
    ):
        return None
    return Version(
        source,
        change.time,
        f"the commit {change.commit[:7]}",
        dates.timing(kata, change.time),
    )


def _read(kata: Kata, file: File, data: bytes) -> SourceText | None:
    """The text of a kata in an older content of its file, read as the newest is; None
    if that does not count.
    """
    with tempfile.TemporaryDirectory(prefix="kata-") as folder:
        path = Path(folder, "submission", *file.path.parts)
        try:
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
            contents = attribution.look([Path(folder, "submission")], [kata])
        except (LoadFailure, OSError):
            return None
    row = contents.katas[kata]
    return row.source if row.verdict == "counts" else None
