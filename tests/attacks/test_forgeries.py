"""Forgeries earn nothing under the second lock: some of each kind here, all of them
with `ALL_FORGERIES=1`, nightly.
"""

import os
import sys

import pytest

from grader.results import KataResult
from tests.attacks.forgeries import (
    BARE,
    EARLY,
    FORGERIES,
    READY,
    WORKER,
    Forgery,
    forge,
)
from tests.attacks.table import earned, fooled, graded

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Linux only"),
    # of the first test, in which all are graded: a minute of CPU for the
    # whole catalogue
    pytest.mark.timeout(1800),
]
BY_KIND = {
    kind: [one for one in FORGERIES if one.kind == kind]
    for kind in dict.fromkeys(f.kind for f in FORGERIES)
}
# The first of each kind, the last, and the one in the middle: they are written in the
# order of the tracks.
SAMPLE = [
    one
    for of_kind in BY_KIND.values()
    for one in dict.fromkeys((of_kind[0], of_kind[len(of_kind) // 2], of_kind[-1]))
]
if os.environ.get("ALL_FORGERIES"):
    SAMPLE = FORGERIES
REACHED = (
    'def first_rows(*a): raise LookupError(f"reached {wire.send.__name__} '
    '{values.EXACT[int].__name__}")'
)
REACHES = forge(BARE, "03", "first_rows", "reaches the worker", WORKER, REACHED)


@pytest.fixture(scope="module")
def results() -> dict[Forgery, KataResult]:
    return dict(graded([*SAMPLE, REACHES]))


@pytest.mark.parametrize(
    "forgery", SAMPLE, ids=lambda forgery: f"{forgery.kata} {forgery.tries}"
)
def test_a_forgery_earns_nothing_sealed(forgery, results):
    assert earned(results[forgery]) == []


def test_the_second_lock_is_asked(results):
    """A forgery that the first lock refuses says nothing of the second. Two kinds are
    the first one's own to refuse.
    """
    others = [forgery for forgery in SAMPLE if forgery.kind not in (EARLY, READY)]
    assert [forgery.tries for forgery in others if not fooled(results[forgery])] == []


def test_what_patches_the_bare_worker_finds_it(results):
    [exercise] = results[REACHES].exercises
    assert (
        exercise.first_failure
        and "LookupError: reached send <lambda>" in exercise.first_failure.message
    )


def test_there_are_enough_over_all_tracks():
    assert len({forgery.tries for forgery in FORGERIES}) == len(FORGERIES) >= 100
    katas = {forgery.kata for forgery in FORGERIES}
    tracks = [
        [kata for kata in katas if kata.rpartition("/")[0] == track]
        for track in ("", "tinytorch", "papers", "today")
    ]
    assert [len(track) >= 5 for track in tracks] == [True] * len(tracks)
