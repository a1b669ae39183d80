"""Limits on time: what code uses counts, and what the machine takes from it
does not.
"""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from grader.execution import grading, supervisor
from grader.isolation import usage
from grader.isolation.usage import Limit, Stopwatch, Used
from grader.protocol import RunOptions

linux = pytest.mark.skipif(
    not usage.IS_TOLD, reason="only Linux tells how long a task stood in the run queue"
)
LIMIT = Limit(10.0, 30.0, 300.0)


@pytest.fixture
def watched(monkeypatch):
    """A function that runs a stopwatch over steps (seconds by the clock, computing,
    queued): what it says to each.
    """

    def run(*steps: tuple[float, float, float]) -> list[str]:
        clock, used = [0.0], [Used(0.0, 0.0)]
        monkeypatch.setattr(usage.time, "monotonic", lambda: clock[0])
        watch, said = Stopwatch(LIMIT, lambda: used[0]), []
        for seconds, computing, queued in steps:
            clock[0] += seconds
            used[0] += Used(computing, queued)
            said.append(watch.look())
        return said

    return run


def test_time_in_the_run_queue_is_neither_computing_nor_waiting(watched):
    assert watched((100, 5, 95), (99, 4, 95)) == ["", ""]
    assert watched((100, 5, 95), (100, 5, 95)) == ["", "computing"]
    assert watched((29, 0, 0), (2, 0, 0)) == ["", "waiting"]
    assert watched((299, 9.99, 289), (2, 0, 2)) == ["", "clock"]


def test_by_the_clock_code_that_computes_next_to_nothing_has_a_third(watched):
    """It may wait in a way that looks like the run queue. A machine that is twenty
    times too busy still lets it end.
    """
    assert watched((119, 1, 118), (2, 0, 2)) == ["", "clock"]
    assert watched(*[(20, 1, 19)] * 10) == [""] * 9 + ["computing"]


def test_processes_that_compute_at_once_add_up(watched):
    assert watched((3, 6, 0), (3, 6, 0)) == ["", "computing"]


def test_waiting_is_not_paid_for_by_what_others_computed_before(watched):
    assert watched((4, 8, 0), (29, 0, 0), (2, 0, 0)) == ["", "", "waiting"]


@linux
def test_a_child_counts_while_it_runs_and_after_it_has_ended():
    burn = "import time\nwhile time.process_time() < 0.6: pass\n"
    watch, before = Stopwatch(LIMIT, usage.of_this_process), sum(os.times()[:4])
    with subprocess.Popen(
        [sys.executable, "-c", burn + "input()"], stdin=subprocess.PIPE
    ) as child:
        while usage.of_processes([child.pid]).computing < 0.4:
            time.sleep(0.05)
        watch.look()
        assert watch.computing >= 0.39
        child.communicate(b"\n")
    watch.look()
    assert 0.4 <= watch.computing < 1.5 * (sum(os.times()[:4]) - before), (
        "it counts twice"
    )


@linux
def test_what_has_ended_is_not_known():
    assert usage.of_processes([]) is None and usage.of_processes([2**22 + 1]) is None
    assert os.getpid() in usage.tree(os.getpid())


@pytest.mark.usefixtures("warm_workers")
class TestSpecs:
    @pytest.fixture
    def graded(self, sound, submission):
        """A function that grades 01_sums with another body of `total`, and gives the
        first failure's message.
        """

        def grade(body: str, **options) -> tuple[str, str]:
            code = sound[0].reference.read_text().replace("return x.sum(dim)", body)
            [result] = grading.grade_folder(
                sound[:1], submission(sound[0], code), options=RunOptions(**options)
            )
            [total] = [
                exercise for exercise in result.exercises if exercise.name == "total"
            ]
            return total.first_failure.status, total.first_failure.message

        return grade

    def test_the_message_says_what_the_spec_did(self, graded):
        status, said = graded("while True: pass", spec_seconds=0.3)
        assert (
            status == "failed"
            and "stopped    used 0.3 s of CPU: an endless loop?" in said
            and "line" in said
        )
        status, said = graded("import time; time.sleep(60)", spec_seconds=0.3)
        assert (
            status == "failed"
            and "stopped    waited " in said
            and "time.sleep(60)" in said
        )

    @linux
    def test_on_a_machine_that_gives_no_time_nobody_is_judged(
        self, graded, monkeypatch
    ):
        """The worker is killed by the clock alone: no verdict, and no zero."""
        monkeypatch.setattr(supervisor, "GRACE", 0.0)
        soon = replace(usage.of_spec(60.0), clock=0.5)
        monkeypatch.setattr(supervisor, "of_spec", lambda seconds: soon)
        status, said = graded("import time; time.sleep(60)")
        assert status == "not graded" and "the machine was too busy to judge" in said

    @linux
    def test_code_cannot_say_that_the_machine_is_busy(self, graded):
        """The runner has its own clock."""
        status, _ = graded(
            "from grader.specs.failures import TooBusy; raise TooBusy('busy')"
        )
        assert status == "failed"
