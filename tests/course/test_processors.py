"""What a lesson shows is the same with the instructions of an old processor; nightly,
all promises with all of them.
"""

import pytest

from grader.course.catalogue import all_katas, find
from grader.course.lesson_code import statements
from tests import processors
from workshop import snippets

SHOWN = [
    (kata.name, statement.output)
    for kata in all_katas()
    for statement in statements((kata.folder / "README.md").read_text(encoding="utf-8"))
]


@pytest.mark.timeout(1800)
def test_snippets_print_the_same_with_the_oldest_instructions(capfd):
    passed = processors.try_with("default", processors.QUICK)
    assert passed, capfd.readouterr().out


def test_a_worker_that_has_other_instructions_is_told(monkeypatch):
    assert not list(processors.of_workers(find("00")))
    monkeypatch.setattr(processors, "capability", lambda: "older")
    [line] = processors.of_workers(find("00"))
    assert line.startswith("instructions: older here, and in a worker: ")


def test_settings_of_newer_processors_are_said_and_not_tried(monkeypatch, capsys):
    """What differs with one of the others makes the program fail."""
    monkeypatch.setattr(processors, "capability", lambda: "AVX2")
    tried: list[str] = []
    monkeypatch.setattr(
        processors,
        "try_with",
        lambda setting: tried.append(setting) or setting != "default",
    )
    assert processors.main([]) == 1 and tried == ["default", "avx2"]
    assert (
        capsys.readouterr().out
        == "avx512: not tried, since this processor lacks these instructions\n"
    )


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (
            "tensor([1.0010e+02, 9.9995e-02]) tensor([2., 0.])",
            "tensor([100.1000, 0.1000]) tensor([2.0000e+00, 1.3e-08])",
        ),
        ("tensor([0.1234, -0.0000])", "tensor([ 0.1235, 0.0000])"),
        (
            "tensor([[1., 2.],\n        [3., 4.]])",
            "tensor([[1.0000e+00, 2.0000e+00], [3.0000e+00, 4.0000e+00]])",
        ),
        ("0.30000001192092896", "0.30000004172325134"),
        ("1250.43 nats", "1250.44 nats"),
    ],
)
def test_numbers_in_another_form_or_rounded_the_other_way_are_alike(shown, printed):
    assert snippets.alike(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("tensor([0.1234])", "tensor([0.1236])"),
        ("0.97", "0.98"),
        ("124439808", "124439809"),  # no float: a count is exact
        ("1000 0.5", "1000 0.6"),
        # only what stands in the same line is beside it
        ("3.4028e+38\n0.1", "3.4028e+38\n0.2"),
        ("tensor([1., inf])", "tensor([1., nan])"),
        ("tensor([1., 2.])", "tensor([1., 2.], dtype=torch.float64)"),
        ("0. 1.5", "1e-05 1.5"),
    ],
)
def test_other_numbers_and_words_are_not_alike(shown, printed):
    assert not snippets.alike(shown, printed)


def test_a_third_digit_that_differs_is_noticed_in_every_lesson():
    """But beside a number of its line that is millions of times as large, where it
    could be noise.
    """
    changes = [
        (name, output, output[: number.start()] + other + output[number.end() :])
        for name, output in SHOWN
        for number in snippets.NUMBER.finditer(output)
        if (other := with_another_third_digit(number[0]))
    ]
    unnoticed = {
        name for name, output, changed in changes if snippets.alike(output, changed)
    }
    assert len(changes) > 700
    assert unnoticed == {"papers/03_lstm_understanding", "tinytorch/03_activations"}


def with_another_third_digit(number: str) -> str:
    """The number with two more, or less, in its third significant digit; "" if it
    has none.
    """
    mantissa = number.partition("e")[0]
    places = [
        i
        for i, digit in enumerate(mantissa)
        if digit.isdigit() and mantissa[: i + 1].strip("-0.")
    ]
    if len(places) < 3:
        return ""
    digit, third = int(number[places[2]]), places[2]
    return (
        number[:third]
        + str(digit + 2 if digit < 8 else digit - 2)
        + number[third + 1 :]
    )
