"""Holds every kata to its promises, one test a promise and kata."""

import pytest

from grader import lesson  # noqa: F401  (every lesson imports it)
from grader.authoring import kept, promises
from grader.authoring.promises import PROMISES
from grader.course import catalogue
from grader.course.catalogue import Kata

KATAS = catalogue.all_katas()


@pytest.fixture(scope="module", autouse=True)
def warm_processes() -> None:
    kept.warm_up(KATAS)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("kata", KATAS, ids=lambda kata: kata.name)
def test_promise(kata: Kata, promise) -> None:
    problems = promise(kata)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("kata", [kata for kata in KATAS if kata.description.paper], ids=lambda kata: kata.name)
def test_paper(kata: Kata) -> None:
    problems = promises.paper(kata)
    assert not problems, "\n".join(problems)


def test_the_lessons_are_one_chain() -> None:
    """Each lesson of the core path leads to the next one, the last back to the overview."""
    path = [kata for kata in KATAS if "/" not in kata.name]
    for kata, following in zip(path, [*path[1:], None], strict=True):
        target = f"../{following.name}/README.md" if following else "../../README.md"
        end = (kata.folder / "README.md").read_text(encoding="utf-8").partition("\n## Next\n")[2]
        assert f"]({target})" in end, f"the lesson of {kata.name} does not lead to {target}"
