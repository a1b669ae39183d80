"""The cost of a late submission: the table [late] of a course's rules."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Literal, cast, get_args
from zoneinfo import ZoneInfo

from grader.course import catalogue
from grader.results import Timing
from grader.teaching import dates

KEYS = ("zone", "due", "per_day", "at_most", "grace", "late", "katas")
Counting = Literal["best", "newest", "on_time"]


@dataclass(frozen=True)
class Late:
    """The cost of lateness.

    Attributes:
        zone: the time zone of dates that name none.
        per_day: percent of the score that each day begun of the zone's calendar costs.
        at_most: percent that lateness costs at most.
        due: for whom the roster has no date; None means never.
        grace: lateness that costs nothing.
        katas: full name of a kata → its own date.
        late: the version of a kata's file that counts: the newest, the last one on
            time, or whichever gives more.
    """

    zone: str
    per_day: float
    at_most: float = 100.0
    due: datetime | None = None
    grace: timedelta = timedelta()
    katas: Mapping[str, datetime] = field(default_factory=dict)
    late: Counting = "best"

    def timing(
        self,
        handed_in: datetime | None,
        due: datetime | None = None,
        extension: timedelta = timedelta(),
        kata: str = "",
        *,
        waived: bool = False,
    ) -> Timing:
        """What handing in at this moment costs; None means that nobody knows when
        it was.

        Args:
            due, extension, kata: see `deadline`.
            waived: lateness costs nothing.
        """
        last, zone = self.deadline(kata, due, extension), ZoneInfo(self.zone)
        # Reports show whole seconds, and the last second of a day belongs to it.
        at = (
            dates.earliest(handed_in, self.zone).replace(microsecond=0)
            if handed_in
            else None
        )
        found = Timing(dates.iso(at, zone), dates.iso(last, zone), self.zone)
        if extension and last:
            found = replace(found, extension=dates.written(extension))
        if at is None or last is None or at <= last:
            return found

        def is_within(more: timedelta) -> bool:
            return at <= (self.deadline(kata, due, extension + more) or dates.LAST)

        if is_within(self.grace):
            return replace(found, grace=dates.written(self.grace))
        days = next(
            days
            for days in count(max((at - last).days - 1, 1))
            if is_within(timedelta(days=days))
        )
        return replace(
            found,
            days_late=days,
            penalty=0.0 if waived else min(self.per_day * days, self.at_most),
        )

    def free_until(
        self, kata: str, due: datetime | None = None, extension: timedelta = timedelta()
    ) -> datetime | None:
        """The last moment at which handing in a kata costs nothing; None if there is
        no date.
        """
        return self.deadline(kata, due, extension + self.grace)

    def deadline(
        self, kata: str, due: datetime | None = None, extension: timedelta = timedelta()
    ) -> datetime | None:
        """The moment, in UTC, from which a kata is late but for the grace; None if
        there is no date.

        Args:
            due: the student's own date. It counts instead of everybody's, and instead
                of the kata's own if it is later.
            extension: added to the date. Its days are those of the zone's calendar.
        """
        own = self.katas.get(kata)
        dated = [date for date in ((due, own) if due or own else (self.due,)) if date]
        return max(
            (dates.later(date, extension, self.zone) for date in dated), default=None
        )


def from_table(table: object) -> Late:
    """The table [late] of a file of rules.

    Raises:
        ValueError: it breaks the format.
        KataError: it names a kata that is not there.
    """
    if not isinstance(table, dict):
        raise ValueError(
            "late must be a table: [late], then lines such as per_day = 10"
        )
    if unknown := [key for key in table if key not in KEYS]:
        raise ValueError(
            f"[late] has an unknown key: {', '.join(unknown)} (it takes "
            f"{', '.join(KEYS)})"
        )
    if absent := [key for key in ("zone", "per_day") if key not in table]:
        raise ValueError(
            f'[late] has no {" and no ".join(absent)}, such as zone = "Europe/Berlin" '
            "and per_day = 10"
        )
    zone, grace, counting = (
        table["zone"],
        table.get("grace", "0m"),
        table.get("late", "best"),
    )
    try:
        ZoneInfo(str(zone))
    except (KeyError, ValueError, OSError):
        # KeyError: a name that zoneinfo does not know
        raise ValueError(
            f"zone = {zone!r}: no time zone of this name, such as Europe/Berlin"
        ) from None
    due = _date("due", table["due"]) if "due" in table else None
    if not isinstance(grace, str):
        raise ValueError(f"grace = {grace}: {dates.LENGTH}")
    if counting not in get_args(Counting):
        raise ValueError(
            f"late = {counting!r}: must be one of {', '.join(get_args(Counting))}"
        )
    percentages = _percent(table, "per_day"), _percent(table, "at_most")
    own = _katas(table.get("katas", {}))
    return Late(
        str(zone), *percentages, due, dates.length(grace), own, cast(Counting, counting)
    )


def text(late: Late, katas: Collection[str]) -> str:
    """The table as the text of a file, with the dates of these katas."""
    due = f"due = {late.due.isoformat()}\n" if late.due else ""
    minutes = f"{late.grace / timedelta(minutes=1):g}"
    percent = f"per_day = {late.per_day:g}\nat_most = {late.at_most:g}\n"
    own = "".join(
        f'"{kata}" = {date.isoformat()}\n'
        for kata, date in late.katas.items()
        if kata in katas
    )
    first = (
        f'[late]\nzone = "{late.zone}"\n{due}{percent}grace = "{minutes}m"\n'
        f'late = "{late.late}"\n'
    )
    return first + (f"\n[late.katas]\n{own}" if own else "")


def _katas(table: object) -> dict[str, datetime]:
    """The dates of katas, by full name."""
    if not isinstance(table, dict):
        raise ValueError(
            "katas must be a table: [late.katas], then one line per kata, such as 16 "
            "= 2026-12-01"
        )
    found: dict[str, datetime] = {}
    for query, written in table.items():
        name = catalogue.find(query).name
        if name in found:
            raise ValueError(f"[late.katas] has {name} twice")
        found[name] = _date(query, written)
    return found


def _date(key: str, written: object) -> datetime:
    try:
        return dates.moment(written)
    except ValueError as error:
        raise ValueError(f"{key} = {error}") from None


def _percent(table: dict[str, Any], key: str) -> float:
    value = table.get(key, 100)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value <= 100
    ):
        raise ValueError(f"{key} = {value!r}: must be a percentage, from 0 to 100")
    return float(value)
