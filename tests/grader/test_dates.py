"""Dates as teachers write them: one reader, in every time zone, and what
lateness costs.
"""

from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.course.catalogue import find
from grader.errors import BrokenRoster
from grader.reports import words
from grader.teaching import dates, roster, rules
from grader.teaching.lateness import Late

DAY = timedelta(days=1)
ZONES = sorted(available_timezones() - {"localtime"})
SPELLINGS = ("%Y-%m-%d", "%Y%m%d", "%G-W%V-%u", "%GW%V%u")
PLUS_ONE = timezone(timedelta(hours=1))

many = settings(max_examples=200)
any_zone = st.sampled_from(ZONES)
any_day = st.dates()
any_time = st.datetimes()
soon = st.dates(date(1990, 1, 1), date(2090, 1, 1))
near_now = st.datetimes(datetime(2017, 1, 1), datetime(2026, 12, 31))


def near_a_change(zone: str) -> st.SearchStrategy[tuple[str, date]]:
    """The zone and a day of a week of the last ten years in which its clocks change;
    any week if they never do.
    """
    weeks = [
        datetime(2017, 1, 1, tzinfo=ZoneInfo(zone)) + 7 * DAY * week
        for week in range(521)
    ]
    changed = [
        week for week in weeks if week.utcoffset() != (week + 7 * DAY).utcoffset()
    ]
    days = st.builds(
        lambda week, day: (week + DAY * day).date(),
        st.sampled_from(changed or weeks),
        st.integers(0, 6),
    )
    return st.tuples(st.just(zone), days)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-12-01", datetime(2026, 12, 1, 23, 59, 59)),
        (" 2026-12-01 ", datetime(2026, 12, 1, 23, 59, 59)),
        ("20261201", datetime(2026, 12, 1, 23, 59, 59)),
        ("2026-W49-2", datetime(2026, 12, 1, 23, 59, 59)),
        ("2026W492", datetime(2026, 12, 1, 23, 59, 59)),
        (date(2026, 12, 1), datetime(2026, 12, 1, 23, 59, 59)),
        ("0001-01-01", datetime(1, 1, 1, 23, 59, 59)),
        ("9999-12-31", datetime(9999, 12, 31, 23, 59, 59)),
        ("2024-02-29", datetime(2024, 2, 29, 23, 59, 59)),
        ("2026-12-01T18:00", datetime(2026, 12, 1, 18)),
        ("2026-12-01 18:00", datetime(2026, 12, 1, 18)),
        ("2026-12-01T00:00", datetime(2026, 12, 1)),
        ("20261201T1800", datetime(2026, 12, 1, 18)),
        ("2026-W49-2T18:00", datetime(2026, 12, 1, 18)),
        ("2026-12-01T18:00:30.5", datetime(2026, 12, 1, 18, 0, 30, 500000)),
        ("2026-12-01T18:00Z", datetime(2026, 12, 1, 18, tzinfo=UTC)),
        ("2026-12-01T18:00+01:00", datetime(2026, 12, 1, 18, tzinfo=PLUS_ONE)),
        (datetime(2026, 12, 1, 18), datetime(2026, 12, 1, 18)),
        (datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_date(written, read):
    assert dates.moment(written) == read


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            " ",
            "soon",
            "1.12.2026",
            "12/01/2026",
            "01-12-2026",
            "2026",
            "2026-12",
            "2026-W49",
            "2026W49",
            "2026-335",
        ),
        *(
            "2026-02-29",
            "2026-13-01",
            "2026-W54-1",
            "10000-01-01",
            "18:00",
            "2026-12-01T24:30",
            "2026-12-01T18:00 CET",
        ),
        *(
            "1764630000",
            20261201,
            1.5,
            True,
            None,
            time(18),
            ["2026-12-01"],
            {"16": "2026-12-01"},
        ),
    ],
)
def test_no_date(written):
    with pytest.raises(
        ValueError, match="is no date: write 2026-12-01 or 2026-12-01T18:00"
    ):
        dates.moment(written)


@pytest.mark.parametrize(
    "written",
    ["", "2", "d", "-1d", "1w", "1 day", "1d 2h", "1e3h", "٣d", "1,5h", "9999999d"],
)
def test_no_length(written):
    with pytest.raises(ValueError, match="is no length of time: write 15m, 36h or 2d"):
        dates.length(written)


class TestEveryZone:
    """Rules for every day and every zone that zoneinfo knows."""

    @many
    @given(day=any_day, spelling=st.sampled_from(SPELLINGS))
    def test_a_day_is_the_same_however_it_is_written(self, day, spelling):
        year, rest = spelling[:2], spelling[2:]
        number = day.year if year == "%Y" else day.isocalendar().year
        if 1 <= number <= 9999:
            assert dates.moment(f"{number:04}{day.strftime(rest)}") == dates.moment(day)

    @many
    @given(zone=any_zone, time=any_time)
    def test_every_time_is_a_moment(self, zone, time):
        """Also in the years 1 and 9999, where the moment in UTC may be outside of what
        Python knows.
        """
        first, last = dates.earliest(time, zone), dates.latest(time, zone)
        assert dates.FIRST <= first <= last <= dates.LAST
        assert last - first <= timedelta(days=1)
        if dates.FIRST < first == last < dates.LAST:
            assert first.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == time

    @many
    @given(zone=any_zone, day=any_day, hour=st.times())
    def test_no_time_of_a_day_is_after_its_end(self, zone, day, hour):
        if hour <= dates.END:
            last = dates.latest(dates.moment(day), zone)
            assert dates.earliest(datetime.combine(day, hour), zone) <= last

    @many
    @given(zone=any_zone, day=soon)
    def test_the_end_of_a_day_is_its_last_second(self, zone, day):
        """It is the later of two where clocks go back at midnight. Samoa left out a day
        of 2011.
        """
        last = dates.latest(dates.moment(day), zone).astimezone(ZoneInfo(zone))
        after = (last.astimezone(UTC) + timedelta(seconds=1)).astimezone(ZoneInfo(zone))
        assert last.date() >= day and after.date() > day
        assert last.date() == day or not _exists(day, zone)

    @many
    @given(
        zone=any_zone, due=any_time, handed_in=any_time, days=st.integers(0, 999_999)
    )
    def test_whatever_the_dates_are_lateness_costs_between_nothing_and_all(
        self, zone, due, handed_in, days
    ):
        late = Late(zone, 10, due=due)
        lost = late.timing(handed_in, extension=timedelta(days=days)).penalty / 100
        assert 0 <= lost <= 1 and late.timing(handed_in).penalty / 100 >= lost
        assert late.timing(due).penalty / 100 == 0

    @many
    @given(
        place=any_zone.flatmap(near_a_change), later=st.integers(0, 9), hour=st.times()
    )
    def test_the_end_of_a_day_stays_one_and_each_midnight_is_a_day(
        self, place, later, hour
    ):
        """A day in which clocks change has 23 or 25 hours, and is one day of an
        extension and one of lateness.
        """
        (zone, day), days = place, DAY * later
        late = Late(zone, 1, due=dates.moment(day))
        assert late.deadline("", extension=days) == dates.latest(
            dates.moment(day + days), zone
        )
        handed_in = dates.latest(
            datetime.combine(day + days, min(hour, dates.END)), zone
        )
        assert (
            late.timing(handed_in).days_late
            == (handed_in.astimezone(ZoneInfo(zone)).date() - day).days
        )

    @many
    @given(
        zone=any_zone,
        due=near_now,
        times=st.tuples(near_now, near_now),
        days=st.integers(0, 9),
    )
    def test_later_is_never_cheaper_and_more_time_never_dearer(
        self, zone, due, times, days
    ):
        late = Late(zone, 1, due=due)
        first, last = (
            late.timing(time.replace(tzinfo=UTC)).days_late for time in sorted(times)
        )
        longer = late.timing(
            max(times).replace(tzinfo=UTC), extension=timedelta(days=days)
        ).days_late
        assert first <= last and longer <= last


@pytest.mark.parametrize("year", [1, 1582, 1900, 1970, 2026, 2038, 9999])
def test_the_ends_of_a_year_in_all_zones(year):
    for zone in ZONES:
        for day in (date(year, 1, 1), date(year, 12, 31)):
            late = Late(zone, 10, due=dates.moment(day))
            assert (
                late.timing(dates.moment(day)).penalty / 100
                == 0
                <= late.timing(datetime.max).penalty / 100
                <= 1
            )
            assert late.timing(datetime.min).penalty / 100 == 0


def _exists(day: date, zone: str) -> bool:
    noon = datetime.combine(day, time(12), ZoneInfo(zone))
    return noon.astimezone(UTC).astimezone(ZoneInfo(zone)).date() == day


def test_midnight_twice():
    """In Santiago the last hour of 4 April 2026 comes twice: the day ends with the
    second one.
    """
    late = Late("America/Santiago", 10, due=dates.moment("2026-04-04"))
    assert late.timing(datetime(2026, 4, 5, 3, 59, tzinfo=UTC)).penalty / 100 == 0, (
        "an hour after the first 22:59"
    )
    assert late.timing(datetime(2026, 4, 5, 4, 0, tzinfo=UTC)).penalty / 100 == 0.1


@pytest.mark.parametrize(
    ("saturday", "handed_in", "days"),
    [
        ("2026-10-24", "2026-10-25T23:30", 1),
        ("2026-10-24", "2026-10-26T00:00", 2),
        ("2026-03-28", "2026-03-29T23:30", 1),
        ("2026-03-28", "2026-03-30T00:30", 2),
    ],
)
def test_a_sunday_in_which_clocks_change_is_one_day(saturday, handed_in, days):
    late = Late("Europe/Berlin", 10, due=dates.moment(saturday))
    found, longer = (
        late.timing(datetime.fromisoformat(handed_in), extension=DAY * one)
        for one in (0, 1)
    )
    assert (found.days_late, longer.days_late) == (days, days - 1)
    assert longer.due[:19] == f"{dates.moment(saturday) + DAY:%Y-%m-%dT%H:%M:%S}"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, ""), (1, " · 1 day late: −10 %"), (59, " · 1 day late: −10 %")],
)
def test_seconds_late_are_shown_and_a_part_of_one_is_not_late(seconds, said):
    due = datetime(2026, 12, 1, 20)
    found = Late("UTC", 10, due=due).timing(due + timedelta(seconds=seconds))
    shown = (
        "due Tue 1 Dec 2026 20:00:00 (UTC) · handed in Tue 1 Dec 2026 "
        f"20:00:{int(seconds):02}"
    )
    assert words.timing(found) == shown + said


@pytest.mark.parametrize(
    ("handed_in", "said"),
    [
        (
            "00:45+00:00",
            "02:30 +01:00 (Europe/Berlin) · handed in Sun 25 Oct 2026 02:45 +02:00",
        ),
        (
            "00:30+00:00",
            (
                "02:30:00 +01:00 (Europe/Berlin) · handed in Sun 25 Oct 2026 02:30:00 "
                "+02:00"
            ),
        ),
        ("01:20+00:00", "02:30 (Europe/Berlin) · handed in Sun 25 Oct 2026 02:20"),
    ],
)
def test_an_hour_that_comes_twice_has_its_offset(handed_in, said):
    found = Late("Europe/Berlin", 10, due=datetime(2026, 10, 25, 2, 30))
    timing = found.timing(datetime.fromisoformat(f"2026-10-25T{handed_in}"))
    assert words.timing(timing) == f"due Sun 25 Oct 2026 {said}"


@pytest.mark.parametrize(
    ("zone", "hours", "is_future"),
    [(UTC, -1, False), (UTC, 1, True), (None, 13, False), (None, 15, True)],
)
def test_a_time_without_a_zone_is_in_the_future_where_it_is_in_every_zone(
    zone, hours, is_future
):
    assert (
        dates.is_future(
            (datetime.now(UTC) + timedelta(hours=hours)).replace(tzinfo=zone)
        )
        == is_future
    )


ONE, SIXTEEN = find("01").name, find("16").name
FIRST, SECOND, THIRD = (datetime(2026, 12, day, 12) for day in (1, 8, 15))


@pytest.mark.parametrize(
    ("everybody", "kata", "person", "days", "kata_name", "due"),
    [
        (FIRST, None, None, 0, SIXTEEN, FIRST),
        (FIRST, SECOND, None, 0, SIXTEEN, SECOND),
        (FIRST, SECOND, None, 0, ONE, FIRST),
        (SECOND, FIRST, None, 0, SIXTEEN, FIRST),
        (None, SECOND, None, 0, SIXTEEN, SECOND),
        (None, SECOND, None, 0, ONE, None),
        (None, None, None, 3, SIXTEEN, None),
        (FIRST, None, SECOND, 0, SIXTEEN, SECOND),
        (SECOND, None, FIRST, 0, SIXTEEN, FIRST),
        (FIRST, SECOND, THIRD, 0, SIXTEEN, THIRD),
        (FIRST, THIRD, SECOND, 0, SIXTEEN, THIRD),
        (FIRST, SECOND, None, 7, SIXTEEN, THIRD),
        (FIRST, None, FIRST, 7, ONE, SECOND),
        (None, None, SECOND, 7, ONE, THIRD),
    ],
)
def test_whose_date_counts(everybody, kata, person, days, kata_name, due):
    """The kata's own and the student's before everybody's; of those two the
    later one.
    """
    late = Late("UTC", 10, due=everybody, katas={SIXTEEN: kata} if kata else {})
    found = late.deadline(kata_name, person, timedelta(days=days))
    assert found == (due and due.replace(tzinfo=UTC))


class TestFiles:
    """Both files that hold dates read them in the same way."""

    def of_rules(self, folder: Path, written: str) -> datetime | None:
        (folder / "g.toml").write_text(
            f"[late]\nzone = 'America/New_York'\nper_day = 10\ndue = {written}\n"
        )
        late = rules.read(folder / "g.toml").late
        return late and late.due

    def of_roster(self, folder: Path, written: str) -> datetime | None:
        (folder / "r.csv").write_text(f"id,name,email,due\n1,,,{written}\n")
        return roster.read(folder / "r.csv")[0].due

    @pytest.mark.parametrize(
        "written",
        ["2026-12-01", "2026-12-01T18:00:00", "9999-12-31", "2026-12-01T18:00:00Z"],
    )
    def test_as_a_toml_date_as_text_and_in_the_roster(self, tmp_path, written):
        read = partial(self.of_rules, tmp_path)
        assert (
            read(written)
            == read(f"'{written}'")
            == self.of_roster(tmp_path, written)
            == dates.moment(written)
        )

    @pytest.mark.parametrize("written", ["20261201", "2026-W49-2"])
    def test_other_spellings(self, tmp_path, written):
        assert (
            self.of_rules(tmp_path, f"'{written}'")
            == self.of_roster(tmp_path, written)
            == dates.moment(date(2026, 12, 1))
        )

    def test_a_wrong_one_has_its_line(self, tmp_path):
        with pytest.raises(BrokenRoster, match=r"r.csv:2: '2026-W49' is no date"):
            self.of_roster(tmp_path, "2026-W49")
