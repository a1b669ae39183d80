"""Reads the dates that teachers write, in grading.toml and in the roster, and turns
them into moments in UTC.
"""

import contextlib
import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

FORM = "write 2026-12-01 or 2026-12-01T18:00"
LENGTH = "write 15m, 36h or 2d"
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
WHOLE_WEEK = re.compile(r"\d{4}-?W\d\d")  # Python takes it for the week's Monday
END = time(23, 59, 59)
# seconds since 1970, in the year 9892: Python knows no dates after 9999
LATEST = 250_000_000_000
EASTERNMOST = timezone(timedelta(hours=14))
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def moment(written: object) -> datetime:
    """A date with a time, as ISO 8601 or as TOML writes it. A date without a time means
    the end of that day.

    Without an offset, the result has no time zone.

    Raises:
        ValueError: this is no date.
    """
    if isinstance(written, datetime):
        return written
    if isinstance(written, date):
        return datetime.combine(written, END)
    text = written.strip() if isinstance(written, str) else ""
    if not WHOLE_WEEK.fullmatch(text):
        with contextlib.suppress(ValueError):
            return datetime.combine(date.fromisoformat(text), END)
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(text)
    raise ValueError(f"'{written}' is no date: {FORM}")


def length(text: str) -> timedelta:
    """ "15m", "36h" or "2d".

    Raises:
        ValueError: the text is something else.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?) ?([mhd])", text, re.ASCII)
    if match is None:
        raise ValueError(f"'{text}' is no length of time: {LENGTH}")
    return timedelta(**{UNITS[match[2]]: float(match[1])})


def written(span: timedelta) -> str:
    """A length of time as `length` reads it: "15m", "36h", "2d"."""
    for unit, name in reversed(UNITS.items()):
        if span and span % timedelta(**{name: 1}) == timedelta():
            return f"{span // timedelta(**{name: 1})}{unit}"
    return f"{span / timedelta(minutes=1):g}m"


def iso(moment: datetime | None, zone: tzinfo) -> str:
    """The moment in a zone, in ISO 8601; empty for None."""
    if moment is None:
        return ""
    try:
        return moment.astimezone(zone).isoformat(timespec="seconds")
    except OverflowError:  # at the first or last moment that Python knows
        return moment.isoformat(timespec="seconds")


def of_timestamp(seconds: float) -> datetime:
    """The moment so many seconds after the start of 1970, or the nearest from then on
    that Python can show.
    """
    return datetime.fromtimestamp(min(max(seconds, 0), LATEST), UTC)


def latest(moment: datetime, zone: str) -> datetime:
    """The moment in UTC. Of an hour that clocks repeat, or leave out, it is the
    later one.

    The end of a day stays on that day where clocks leave out its last hour.
    """
    first, last = sorted(_both(moment, zone))
    if first == last or moment.time() != END:
        return last
    # A whole day that is left out has its end one day later.
    return first if last.astimezone(ZoneInfo(zone)).time() < END else last


def earliest(moment: datetime, zone: str) -> datetime:
    """The moment in UTC. Of an hour that clocks repeat, or leave out, it is the
    earlier one.
    """
    return min(_both(moment, zone))


def later(written: datetime, by: timedelta, zone: str) -> datetime:
    """The moment in UTC so much after a date, at most the last one that Python knows.

    Whole days are days of the zone's calendar: the clock shows the same time after
    them. The rest is exact.
    """
    days = timedelta(days=by.days)
    try:
        local = (
            written.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            if written.tzinfo and days
            else written
        )
        return latest(local + days, zone) + (by - days)
    except OverflowError:
        return LAST


def is_future(moment: datetime) -> bool:
    """Tell if a moment has not come yet: where it has no time zone, in no zone."""
    return (
        moment if moment.tzinfo else moment.replace(tzinfo=EASTERNMOST)
    ) > datetime.now(UTC)


def _both(moment: datetime, zone: str) -> list[datetime]:
    """The two readings of a local time; they are the same but for the hours in which
    clocks change.
    """
    if moment.tzinfo:
        return [_in_utc(moment)] * 2
    local = moment.replace(tzinfo=ZoneInfo(zone))
    return [_in_utc(local.replace(fold=fold)) for fold in (0, 1)]


def _in_utc(moment: datetime) -> datetime:
    """The moment in UTC, or the first or last one that Python knows."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return LAST if (moment.utcoffset() or timedelta()) < timedelta() else FIRST
