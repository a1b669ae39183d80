"""Two kinds of edge specs: guards ask for an error and its words, all others for the
right numbers.
"""

from collections.abc import Iterator
from inspect import unwrap
from types import CodeType, FunctionType

import pytest

# Kata and function of the specs that are of the other kind than the rule says.
# reads the words of an error it caught
# an error on the way, and what is asked for is the state that it leaves behind
EXCEPTIONS = {
    ("10_fashionmnist_nn", "test_the_mode_is_put_back"),
    ("10_fashionmnist_nn", "test_the_mode_is_put_back_after_an_error"),
    ("12_rnns_lstms", "test_hidden_states_leave_the_mode_as_it_was"),
    ("12_rnns_lstms", "test_the_mode_is_training_and_then_as_before"),
    ("27_generation", "test_modes_are_put_back_after_an_exception"),
    ("27_generation", "test_the_prompt_goes_to_the_models_device"),
    ("29_gpt_training", "test_the_mode_is_put_back_after_an_error"),
    ("32_hellaswag_evaluation", "test_an_exception_puts_the_mode_back_too"),
    ("today/03_serving", "test_modes_come_back"),
} | {("tinytorch/05_autograd", "test_an_operation_without_a_rule_is_named")}


def is_guard(item: pytest.Item, kata: str) -> bool:
    """Tell if a spec asks that something raises, by itself or by a function of
    its file.
    """
    function = getattr(item, "function", None)
    if function is None:
        return False
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return _raises(unwrap(inner), set()) != ((kata, function.__name__) in EXCEPTIONS)


def _raises(function: FunctionType, seen: set[str]) -> bool:
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    if "raises" in names:
        return True
    there = {name: function.__globals__.get(name) for name in names - seen}
    helpers = [
        found
        for found in there.values()
        if isinstance(found, FunctionType) and _is_of(found, function)
    ]
    return any(_raises(helper, seen | names) for helper in helpers)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """This code and that of the functions in it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes(part)


def _is_of(helper: FunctionType, function: FunctionType) -> bool:
    return helper.__module__ == function.__module__
