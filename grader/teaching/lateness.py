"""The cost of a late submission: the table [late] of a course's rules."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

KEYS = ("zone", "due", "per_day", "at_most", "grace")
FORM = "write 15m, 36h or 2d"
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Late:
    """The cost of lateness.

    Attributes:
        zone: the time zone of dates that name none.
        per_day: percent of the score that each day begun costs.
        at_most: percent that lateness costs at most.
        due: for whom the roster has no date; None means never.
        grace: lateness that costs nothing.
    """

    zone: str
    per_day: float
    at_most: float = 100.0
    due: datetime | None = None
    grace: timedelta = timedelta()

    def penalty(self, handed_in: datetime, due: datetime | None = None, extension: timedelta = timedelta()) -> float:
        """The part of the score that is lost, from 0 to 1.

        Args:
            due: instead of everybody's.
            extension: added to the date.
        """
        last = due or self.due
        if last is None:
            return 0.0
        late = self._utc(handed_in) - (self._utc(last) + extension)
        if late <= self.grace:
            return 0.0
        return min(self.per_day * math.ceil(late / timedelta(days=1)), self.at_most) / 100

    def _utc(self, time: datetime) -> datetime:
        """The moment in UTC: two times of one zone would be subtracted as if clocks never changed."""
        return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(self.zone))).astimezone(UTC)


def from_table(table: object) -> Late:
    """The table [late] of a file of rules.

    Raises:
        ValueError: it breaks the format.
    """
    if not isinstance(table, dict):
        raise ValueError("late must be a table: [late], then lines such as per_day = 10")
    if unknown := [key for key in table if key not in KEYS]:
        raise ValueError(f"[late] has an unknown key: {', '.join(unknown)} (it takes {', '.join(KEYS)})")
    if absent := [key for key in ("zone", "per_day") if key not in table]:
        raise ValueError(f'[late] has no {" and no ".join(absent)}, such as zone = "Europe/Berlin" and per_day = 10')
    zone, due, grace = table["zone"], table.get("due"), table.get("grace", "0m")
    try:
        ZoneInfo(str(zone))
    except (KeyError, ValueError, OSError):  # KeyError: a name that zoneinfo does not know
        raise ValueError(f"zone = {zone!r}: no time zone of this name, such as Europe/Berlin") from None
    if due is not None and not isinstance(due, datetime):
        raise ValueError(f"due = {due}: write a date and a time, such as 2026-12-01T23:59:00")
    if not isinstance(grace, str):
        raise ValueError(f"grace = {grace}: {FORM}")
    return Late(str(zone), _percent(table, "per_day"), _percent(table, "at_most"), due, duration(grace))


def duration(text: str) -> timedelta:
    """ "15m", "36h" or "2d".

    Raises:
        ValueError: the text is something else.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?) ?([mhd])", text)
    if match is None:
        raise ValueError(f"'{text}' is no length of time: {FORM}")
    return timedelta(**{UNITS[match[2]]: float(match[1])})


def text(late: Late) -> str:
    """The table as the text of a file."""
    due = f"due = {late.due.isoformat()}\n" if late.due else ""
    minutes = f"{late.grace / timedelta(minutes=1):g}"
    percent = f"per_day = {late.per_day:g}\nat_most = {late.at_most:g}\n"
    return f'[late]\nzone = "{late.zone}"\n{due}{percent}grace = "{minutes}m"\n'


def _percent(table: dict[str, Any], key: str) -> float:
    value = table.get(key, 100)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
        raise ValueError(f"{key} = {value!r}: must be a percentage, from 0 to 100")
    return float(value)
