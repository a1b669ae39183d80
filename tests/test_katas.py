"""Holds every kata to its promises, one test a promise and kata."""

from datetime import date

import pytest

from grader import lesson  # noqa: F401  (every lesson imports it)
from grader.course import catalogue
from grader.course.catalogue import Kata
from tests.conftest import SOUND
from workshop import kept, promises, variants

KATAS = catalogue.all_katas()


@pytest.fixture(scope="module", autouse=True)
def warm_processes() -> None:
    # what other files need, too: one server for all
    kept.warm_up([*KATAS, *catalogue.all_katas(SOUND)])


@pytest.mark.timeout(1800)  # the longest lesson trains for a minute, on a quiet machine
@pytest.mark.parametrize(
    ("kata", "promise"),
    [
        pytest.param(kata, promise, id=f"{kata.name}-{promise.__name__}")
        for kata in KATAS
        for promise in kept.promises_of(kata)
    ],
)
def test_promise(kata: Kata, promise) -> None:
    problems = kept.problems_of(kata, promise)
    if (
        problems
        and promise in promises.ON_THE_REFERENCE
        and kept.problems_of(kata, promises.reference_passes)
    ):
        pytest.skip("the reference fails its specs, which reference_passes says")
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.mark.parametrize(
    "kata",
    [pytest.param(kata, id=kata.name) for kata in KATAS if not kata.description.lack],
)
def test_mistake_of_the_day(kata: Kata) -> None:
    """One of its mistakes is caught, each day another one. `make test` tries no more
    of them.
    """
    known = variants.mistakes(kata)
    problems = promises.uncaught(kata, [known[date.today().toordinal() % len(known)]])
    assert not problems, "\n".join(problems)


def test_every_kata_of_the_course_is_finished() -> None:
    to_do = {
        kata.name: kept.check(kata).to_do
        for kata in KATAS
        if not kata.description.finished
    }
    said = [
        f"{name}: say finished = true in its kata.toml, after:\n" + "\n".join(lines)
        for name, lines in to_do.items()
    ]
    assert not said, "\n".join(said)
