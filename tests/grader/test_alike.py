"""Code that is the same: what is compared, what everybody may have, and how much tells."""

import ast

import pytest

from grader.course import stubs
from grader.course.catalogue import find
from grader.results import TELLING
from grader.teaching import alike
from grader.workers.jobs import SourceText

KATA = find("16")
OWN = """
def split_heads(x, num_heads):
    rows = []
    for example in x:
        cells = []
        for head in range(num_heads):
            width = example.shape[-1] // num_heads
            cells.append(example[:, head * width : head * width + width])
        rows.append(torch.stack(cells, dim=0))
    return torch.stack(rows, dim=0)
"""
LAYER = """
class MultiHeadAttention(nn.Module):
    def forward(self, x, mask=None):
        parts = [self.w_query(x), self.w_key(x), self.w_value(x)]
        self.seen = [part.shape for part in parts if part.shape[-1] > 3]
        while len(self.seen) > 2:
            self.seen = self.seen[1:] + self.seen[:1] if self.seen[0] > self.seen[1] else self.seen[2:]
        return self._mixed(*parts, mask)
"""


def renamed(text: str, *names: str) -> str:
    """The text with an X at the end of each of these names."""
    for name in names:
        text = text.replace(name, f"{name}X")
    return text


def groups(*texts: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(students, exercises) of students called "0", "1", … who handed in these texts."""
    handed_in = {str(number): {KATA: SourceText(text)} for number, text in enumerate(texts)}
    return [(one.students, one.names) for one in alike.found(handed_in, [KATA])]


@pytest.mark.parametrize(
    "other",
    [
        OWN,
        renamed(OWN, "rows", "cells", "width", "example", "num_heads"),
        OWN.replace(
            "    rows",
            '    """The heads."""\n    pass\n    rows  # of one batch\n    rows'.replace("\n    rows", "", 1),
            1,
        ),
        OWN.replace("x, num_heads)", "x: torch.Tensor, num_heads: int) -> torch.Tensor").replace(
            "rows =", "rows: list ="
        ),
        "import math\n\n\ndef later():\n    return 1\n" + OWN + "\nprint(split_heads)\n",
        stubs.stub_of(KATA) + OWN,
    ],
    ids=["the same", "names", "comments and docstrings", "type hints", "order", "in the stub"],
)
def test_what_makes_no_difference(other):
    ast.parse(other)
    assert groups(OWN, other) == [(("0", "1"), ("split_heads",))]


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (OWN, OWN.replace("+ width]", "- width]")),
        (OWN, OWN.replace("dim=0", "dim=1")),
        (OWN, OWN.replace("torch.stack", "torch.cat")),
        (OWN, OWN.replace("rows = []", "rows = list()")),
        (OWN, renamed(OWN, "cells").replace("cellsX.append", "rows.append")),
        (KATA.reference.read_text(), KATA.reference.read_text()),
        (KATA.textbook.read_text(), KATA.textbook.read_text()),
        (stubs.stub_of(KATA) or "", stubs.stub_of(KATA) or ""),
        (f"{OWN}def broken(:\n", f"{OWN}def broken(:\n"),
        ("def split_heads(x, n):\n    return " + "+".join(["x"] * 5000), OWN),
        ("def split_heads(x, n):\n    return x.view(x, n, 3).permute(0, 3, 1)\n",) * 2,
    ],
    ids=[
        *("an operator", "a number", "the library's name", "a call", "another variable"),
        *("the reference", "the textbook's", "the stub", "no Python", "nested too deeply", "too short"),
    ],
)
def test_what_is_not_the_same_or_does_not_tell(text, other):
    assert groups(text, other) == []


def test_a_method_is_an_exercise_and_its_own_attributes_are_names():
    assert groups(LAYER, renamed(LAYER, "seen")) == [(("0", "1"), ("MultiHeadAttention.forward",))]
    assert groups(LAYER, LAYER.replace("w_query", "w_key")) == []


def test_a_helper_has_no_name_and_each_group_its_students():
    helper = OWN.replace("split_heads", "mine")
    texts = [OWN + LAYER, renamed(OWN, "rows") + LAYER, OWN, helper, "x = 1"]
    assert groups(*texts) == [(("0", "1"), ("MultiHeadAttention.forward",)), (("0", "1", "2", "3"), ("split_heads",))]
    assert groups(helper, helper) == [(("0", "1"), ("helpers",))]


def test_statements_of_the_course_do_not_count():
    """What is left of a definition without them must be large enough."""
    [statement] = [s for s in ast.parse(KATA.textbook.read_text()).body if getattr(s, "name", "") == "head_statistics"]
    given = ast.unparse(statement).partition("\n")[2]
    text = f"def head_statistics(weights):\n    a = weights[0]\n{given}\n"
    [(_, _, size)] = alike._definitions(text, {"head_statistics"}, set())
    assert size >= TELLING and groups(text, text) == []
