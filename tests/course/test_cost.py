"""The measure of what the tests cost: what it books where, what it says, and what
CONTRIBUTING.md says of it.
"""

import os
import subprocess
import sys

import pytest

from grader.isolation import usage
from tests import cost, figures, scheduling, tiers

RUN = {
    "seconds": {"a.py": 100.0, "promise sealed": 50.0},
    "tests": {"a.py::t": "passed"},
}


@pytest.mark.parametrize(
    ("test", "booked"),
    [
        (
            "tests/test_katas.py::test_promise[papers/13_attention-is-sealed]",
            "promise sealed",
        ),
        ("tests/test_katas.py::test_every_kata_is_finished", "tests/test_katas.py"),
        (
            "tests/grader/test_dates.py::TestZones::test_all[Europe-Berlin]",
            "tests/grader/test_dates.py",
        ),
    ],
)
def test_a_promise_is_booked_by_its_kind_and_a_test_by_its_file(test, booked):
    assert cost.kind(test) == booked


def test_what_takes_long_comes_first_and_what_is_new_before_it():
    tests = ["b.py::t", "a.py::t", "new.py::t"]
    assert (
        sorted(tests, key=lambda test: cost.order(test, {"a.py": 2.0, "b.py": 1.0}))
        == tests[::-1]
    )


def test_growth_is_said():
    known = {"seconds": {"a.py": 10.0}, "tests": 1}
    assert cost.summary(RUN, known) == (
        "2.5 core minutes: make test-report says where it is more than the 0.2 on "
        "record"
    )
    assert (
        cost.summary(RUN, {"seconds": {"a.py": 95.0}, "tests": 1})
        == "2.5 core minutes: make test-report"
    )
    assert cost.table({"quick": RUN}, {"a.py": 95.0})[1].split() == [
        "a.py",
        "1",
        "100.0",
        "95.0",
    ]


def test_the_quick_tier_keeps_its_budget():
    quick = cost.runs()["quick"]
    assert 0 < cost.total(quick) <= tiers.BUDGET
    named = {*tiers.DEAR, *tiers.NOT_QUICK}
    assert {name for name in named if not (cost.ROOT / name).is_file()} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_the_time_of_processes_that_were_started_counts():
    before, own = usage.of_this_process().computing, sum(os.times()[:4])
    subprocess.run(
        [sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"],
        check=True,
    )
    assert (
        0.2
        < usage.of_this_process().computing - before
        < 1.5 * (sum(os.times()[:4]) - own)
    ), "it counts twice"


@pytest.mark.parametrize(
    ("limits", "number"),
    [
        ({}, 8),
        ({"cpu.max": "200000 100000", "memory.max": "max"}, 2),
        ({"cpu.max": "max 100000", "memory.max": str(8 << 30)}, 4),
        ({"cpu.max": "50000 100000"}, 2),
    ],
)
def test_as_many_processes_as_cores_and_memory_allow(
    limits, number, tmp_path, monkeypatch
):
    for name, text in limits.items():
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(scheduling, "LIMITS", tmp_path)
    monkeypatch.setattr(scheduling, "available_cores", lambda: 8)
    monkeypatch.setattr(
        os, "sysconf", {"SC_PHYS_PAGES": 16 << 20, "SC_PAGE_SIZE": 4096}.get
    )
    assert scheduling.processes() == number


def test_pages_show_the_figures_on_record():
    known = figures.on_record()
    assert {name: known[name]["value"] for name in cost.told(cost.runs())} == cost.told(
        cost.runs()
    )
    for page in figures.PAGES:
        assert figures.shown(page, known) == page.read_text(encoding="utf-8"), page
    marks = {
        name
        for page in figures.PAGES
        for _, name in figures.MARK.findall(page.read_text(encoding="utf-8"))
    }
    assert marks == known.keys()


@pytest.mark.parametrize(
    ("minutes", "loop", "is_off"),
    [(4, 0.02, 0), (7, 0.02, 1), (2, 0.02, 1), (7, 0.04, 0)],
)
def test_a_figure_that_is_off_by_half_at_equal_speed_is_refused(
    minutes, loop, is_off, monkeypatch
):
    known = {"make test, minutes": {"value": "4", "command": "make", "loop": "0.020"}}
    monkeypatch.setattr(figures, "on_record", lambda: known)
    assert len(figures.off({"make test, minutes": str(minutes)}, loop)) == is_off
