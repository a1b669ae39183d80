"""Edge specs in two kinds: guards ask for an error, all others are numerics; the
exceptions are there.
"""

import pytest

from grader.course.catalogue import ROOT, Kata
from grader.specs import kinds
from grader.workers import collected


@pytest.fixture(autouse=True)
def plugins_come_back(monkeypatch):
    """Specs are collected without plugins, which this process says in
    its environment.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def edges(name: str) -> dict[str, bool]:
    """The edges of a kata by name, and whether each is a guard."""
    kata = Kata(ROOT, name)
    items = [
        item for item in collected.specs(kata).items if item.get_closest_marker("edge")
    ]
    return {item.originalname: kinds.is_guard(item, name) for item in items}


def test_what_asks_for_an_error_is_a_guard():
    found = edges("16_multi_head_attention")
    assert (
        found["test_heads_must_divide_the_features"]
        and found["test_query_must_be_d_model_wide"]
    )
    assert not found["test_works_on_a_transposed_view"] and 0 < sum(
        found.values()
    ) < len(found)


def test_the_exceptions_are_specs_that_the_rule_would_take_for_the_other_kind(
    monkeypatch,
):
    listed = kinds.EXCEPTIONS
    found = {name: edges(name) for name, _ in listed}
    monkeypatch.setattr(kinds, "EXCEPTIONS", set())
    by_rule = {name: edges(name) for name in found}
    assert {
        (name, spec)
        for name in found
        for spec, is_guard in found[name].items()
        if is_guard != by_rule[name][spec]
    } == listed
