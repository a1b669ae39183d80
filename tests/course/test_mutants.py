"""Generated mutants: what each of our operators does, what is left alone, and how
survivors and records are told.
"""

import ast
import shutil
import sys

import pytest

from grader.course.catalogue import all_katas
from grader.course.mistakes import Equivalent
from grader.protocol import RunOptions
from grader.results import SpecResult
from tests.conftest import SOUND
from workshop import idle, mutants, mutation, operators, variants
from workshop.mutants import Mutant, Way
from workshop.operators import Edit, Source

EXAMPLES = [  # operator, code, what it becomes, among other things
    ("another_dim", "x.softmax(dim=-1)", "x.softmax(dim=-2)"),
    ("another_dim", "x.transpose(1, 2)", "x.transpose(1, 1)"),
    ("another_dim", "torch.stack([a, b], 1)", "torch.stack([a, b], 0)"),
    ("another_dim", "x.sum(dim=(0, 2))", "x.sum(dim=(0,))"),
    ("dropped_call", "y = x.transpose(1, 2).contiguous()", "y = x.transpose(1, 2)"),
    ("dropped_call", "y = (a @ b).softmax(-1)", "y = (a @ b)"),
    ("dropped_call", "y = self.norm(x + z)", "y = (x + z)"),
    ("dropped_call", "y = torch.exp(x)", "y = x"),
    ("dropped_attribute", "q @ k.mT", "q @ k"),
    ("swapped_arguments", "f(a, b, c)", "f(b, a, c)"),
    ("swapped_arguments", "torch.where(m, a, b)", "torch.where(m, b, a)"),
    ("no_mask", "f(q, attn_mask=m)", "f(q, attn_mask=None)"),
    ("no_mask", "f(q, mask)", "f(q, None)"),
    ("no_bias", "nn.Linear(3, 4, bias=b)", "nn.Linear(3, 4, bias=False)"),
    (
        "flipped_training",
        "F.dropout(x, p, training=self.training)",
        "F.dropout(x, p, training=not self.training)",
    ),
    ("dropped_keyword", "f(x, eps=e, dim=0)", "f(x, dim=0)"),
    ("dropped_keyword", "f(\n    eps=e,\n    dim=0,\n)", "f(\n    dim=0,\n)"),
    ("another_function", "torch.no_grad()", "torch.enable_grad()"),
    ("another_function", "model.train()", "model.eval()"),
    ("another_function", "all(xs)", "any(xs)"),
    ("another_dtype", "x.to(torch.float32)", "x.to(torch.float64)"),
    ("another_key", "{'mean': m}", "{'mean_': m}"),
    ("another_key", "x[f'loss {i}'] = 1", "x[f'loss {i}_'] = 1"),
    ("another_default", "def f(x, bias=True): pass", "def f(x, bias=False): pass"),
    ("another_default", "def f(x, dim=0): pass", "def f(x, dim=1): pass"),
    ("another_default", "def f(x, *, p=0.25): pass", "def f(x, *, p=0.5): pass"),
    ("dropped_operand", "q @ k / math.sqrt(d)", "q @ k"),
    ("dropped_operand", "(a + b) / (c + eps)", "(a + b)"),
    ("dropped_operand", "(a + b) / (c + eps)", "(a + b) / (c)"),
    ("dropped_operand", "x + f(x)", "f(x)"),
    ("swapped_product", "a @ (b + c)", "(b + c) @ a"),
    ("dropped_condition", "a and (b or c)", "a"),
    ("dropped_condition", "a if c else b", "b"),
    ("dropped_condition", "if c:\n    x = 1", "if True:\n    x = 1"),
    ("dropped_condition", "[x for x in xs if x > 0]", "[x for x in xs if True]"),
    ("dropped_bound", "x[:, 1:n]", "x[:, :n]"),
    ("membership", "x not in xs", "x in xs"),
    ("off_by_one", "while len(parts) > 1: f()", "while len(parts) > 2: f()"),
    ("off_by_one", "while i < n: f()", "while i <= n: f()"),
    ("off_by_one", "while i < n: f()", "while i < n - 1: f()"),
    ("in_place", "y = x.grad - x.mean()", "y = x.grad.sub_(x.mean())"),
    ("in_place", "y = x.masked_fill(m, 0)", "y = x.masked_fill_(m, 0)"),
    (
        "another_result",
        "def f(x):\n    return x @ x",
        "def f(x):\n    return (x @ x).float()",
    ),
    (
        "another_start",
        "def f(x):\n    'Of x.'\n    g(x)",
        "def f(x):\n    'Of x.'\n    return\n    g(x)",
    ),
    (
        "another_start",
        "def f(x, *, p=None):\n    return x",
        "def f(x, *, p=None):\n    p = None\n    return x",
    ),
    (
        "another_start",
        "def f(self, x):\n    return x",
        "def f(self, x):\n    x.data.__setitem__(..., 0)\n    return x",
    ),
    (
        "another_result",
        "def f(x):\n    return x, 1",
        "def f(x):\n    return x.detach(), 1",
    ),
    (
        "another_start",
        "def f(model):\n    return g(model)",
        "def f(model):\n    model.eval()\n    return g(model)",
    ),
    (
        "used_up",
        "def f(x):\n    return x, 1",
        "def f(x):\n    return ((x, 1), x.clear())[0]",
    ),
    ("another_order", "y = [2 * x for x in xs]", "y = [2 * x for x in xs][::-1]"),
    ("another_order", "for x in xs: f(x)", "for x in reversed(xs): f(x)"),
    (
        "another_argument",
        "def f(a, b):\n    return g(a, b)",
        "def f(a, b):\n    return g(b, b)",
    ),
    (
        "another_body",
        "def f(x):\n    g()\ndef g(x): pass",
        "def f(x):\n    return g(x)\n    g()\ndef g(x): pass",
    ),
    ("dropped_argument", "nn.Dropout(p)", "nn.Dropout()"),
    ("dropped_argument", "f(a, b, c=1)", "f(a, c=1)"),
    ("cached", "def f(x): pass", '@__import__("functools").cache\ndef f(x): pass'),
    (
        "default_dtype",
        "torch.zeros_like(x, device=d)",
        "torch.zeros(x.shape, device=d)",
    ),
    ("default_dtype", "x.new_ones(3)", "torch.ones(3)"),
    ("no_copy", "layer.weight.copy_(w)", "layer.weight = w"),
    ("another_option", "loss.backward()", "loss.backward(create_graph=True)"),
    ("another_option", "m.load_state_dict(s)", "m.load_state_dict(s, assign=True)"),
    (
        "no_way_back",
        "with f() as y:\n    g(y)",
        "y = f().__enter__()\nif True:\n    g(y)",
    ),
    ("repeats", "len(set(xs))", "len(list(xs))"),
    ("another_lane", "tl.load(p, m, other=0.0)", 'tl.load(p, m, other=-float("inf"))'),
    ("dropped_statement", "optimizer.zero_grad()", "pass"),
    ("dropped_statement", "total += x", "total = x"),
    ("dropped_statement", "total += x", "total -= x"),
    ("dropped_statement", "p.grad = None", "pass"),
    ("dropped_statement", "raise ValueError('no')", "pass"),
    (
        "dropped_statement",
        "def f(x):\n    if x:\n        return 1\n    return 2",
        "def f(x):\n    if x:\n        pass\n    return 2",
    ),
]
IMPORTS = "import torch, math  # − counts as three bytes\n"


@pytest.mark.parametrize(("operator", "code", "expected"), EXAMPLES)
def test_operator(operator, code, expected):
    source = Source(IMPORTS + code)
    found = [
        source.edited(edit)
        for n in ast.walk(source.tree)
        for edit in getattr(operators, operator)(source, n)
    ]
    assert IMPORTS + expected in found


def test_every_operator_has_an_example():
    assert {operator.__name__ for operator in Way.IDLE.ours} == {
        operator for operator, _, _ in EXAMPLES
    }


def test_what_nobody_writes_wrong_is_left_alone():
    reference = '''"""Module."""
import math

__all__ = ["f"]
half = 1 / 2


def f(x: int) -> list[int]:
    """Docstring."""
    size = len(x) + 1
    if x:
        raise ValueError("text" + str(x) + str(size))
    assert x, "why"
    return zip(x, x, strict=True)


def given(x):
    return x + 1
'''
    stub = (
        "half = 1 / 2\ndef f(x):\n    raise NotImplementedError\ndef given(x):\n"
        "    return (x + 1)\n"
    )
    source = Source(reference)
    fixed = {
        source.text(*part) for part in mutation.fixed_parts(source, ast.parse(stub))
    }
    assert fixed == {
        '"""Module."""',
        "import math",
        '__all__ = ["f"]',
        "half = 1 / 2",
        "int",
        "list[int]",
        '"""Docstring."""',
        "size = len(x) + 1",
        '"text" + str(x) + str(size)',
        '"why"',
        "strict=True",
        "def given(x):\n    return x + 1",
    }


WAS, NOW = "if x.dim() == 0:", "if x.dim() <= 0:"


@pytest.fixture
def one_general_operator(monkeypatch):
    """The only one whose mutant survives, because no tensor has fewer than
    0 dimensions.
    """

    def less_or_equal(source):
        place = source.data.find(b"==")
        return [Edit("another comparison", place, place + 2, "<=")] if place > 0 else []

    monkeypatch.setattr(mutants, "general_edits", less_or_equal)


class TestCommand:
    def test_a_survivor_is_shown_as_its_difference(self, one_general_operator, capsys):
        assert mutants.report(all_katas(SOUND)[:1]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"sums.py:18  another comparison   - {WAS}   + {NOW}"
        assert lines[1].startswith(
            "7 mutants, 6 killed (85.7 %), 0 equivalent on record, 1 survive, "
        )

    def test_one_line_for_each_of_all_katas(
        self, one_general_operator, monkeypatch, capsys
    ):
        monkeypatch.setattr(
            variants,
            "equivalents",
            lambda kata: [Equivalent(WAS, NOW, "a reason")][: kata.name == "01_sums"],
        )
        assert mutants.report(all_katas(SOUND), briefly=True) == 0
        first, second, total = capsys.readouterr().out.splitlines()
        assert first.startswith(
            "01_sums   7 mutants, 6 killed (100.0 %), 1 equivalent on record, 0 "
            "survive, "
        )
        assert second.startswith("02_reuse  1 mutants, 1 killed")
        assert total.startswith(
            "total     8 mutants, 7 killed (100.0 %), 1 equivalent on record, 0 "
            "survive, "
        )

    def test_list_runs_nothing(self, one_general_operator, capsys):
        mutants.show(all_katas(SOUND)[:1])
        lines = capsys.readouterr().out.splitlines()
        assert (
            "sums.py:20  sum → mean   - return x.sum(dim)   + return x.mean(dim)"
            in lines
        )
        assert lines[-1] == "01_sums: 7 mutants"

    def test_a_reference_that_fails_its_own_specs(
        self, one_general_operator, tmp_path, capsys
    ):
        root = shutil.copytree(SOUND, tmp_path / "tree")
        reference = root / "solutions/01_sums/sums.py"
        reference.write_text(reference.read_text().replace("2 * x", "3 * x"))
        with pytest.raises(
            mutants.Trouble,
            match="the reference of 01_sums fails TestDouble::test_every_value",
        ):
            mutants.report(all_katas(root)[:1])

    def test_no_engine(self, monkeypatch, kata_here):
        monkeypatch.setitem(sys.modules, "cosmic_ray", None)
        monkeypatch.setitem(sys.modules, "cosmic_ray.ast", None)
        done = kata_here("mutants", "01")
        assert done.returncode == 2
        assert done.stderr == (
            "kata: mutants need cosmic-ray, of the extra `mutants`: pip install "
            "-e '.[mutants]'\n"
        )


class TestIdle:
    @pytest.fixture
    def planted(self, one_general_operator, tmp_path):
        """Specs in the first class of a copy of a sound kata, whose other specs are
        all lost.
        """
        root = shutil.copytree(SOUND, tmp_path / "tree")
        specs = root / "katas/01_sums/test_sums.py"

        def plant(*lines: str) -> list[str]:
            text = "".join(f"    {line}\n" for line in lines)
            specs.write_text(
                specs.read_text().replace(
                    "class TestTotal:\n", f"class TestTotal:\n{text}\n"
                )
            )
            return [spec.name for spec in idle.idle(all_katas(root)[0])]

        return plant

    def test_an_edge_without_a_check(self, planted):
        found = planted(
            "@pytest.mark.edge",
            "def test_it_runs(self, kata):",
            "    kata.total(torch.ones(2, 3), 1)",
        )
        assert found == ["TestTotal::test_it_runs"]

    def test_an_edge_that_a_mutant_alone_loses(self, planted):
        x = "x = torch.tensor([[1.0, 2.0]])"
        asks = "check.equal(kata.total(x), x[0])"
        assert not planted(
            "@pytest.mark.edge",
            "def test_one_row(self, kata):",
            f"    {x}",
            f"    {asks}",
        )

    def test_an_edge_that_a_crash_alone_loses(self, planted):
        """With another default dim a vector has too few dimensions. The first spec
        names its dim, and passes.
        """
        first = [
            "def test_of_rows(self, kata):",
            "    check.equal(kata.total(torch.ones(1, 2), 1), torch.tensor([2.0]))",
        ]
        edge = [
            "@pytest.mark.edge",
            "def test_a_vector(self, kata):",
            "    kata.total(torch.ones(2))",
        ]
        assert not planted(*first, *edge)

    def test_an_edge_that_a_helper_of_an_accepted_solution_loses(
        self, planted, tmp_path
    ):
        accepted = tmp_path / "tree/solutions/01_sums/author/accepted/of_seven.py"
        accepted.write_text(
            "def total(x, dim=0):\n    return _rows(x).sum(dim)\ndef _rows(x):\n"
            "    return x[:7]\n"
        )
        asks = (
            'check.that(6.0 not in kata.total(torch.ones(7, 7)).tolist(), "a row is '
            'missing")'
        )
        assert not planted(
            "@pytest.mark.edge", "def test_all_rows(self, kata):", f"    {asks}"
        )

    def test_an_edge_that_forbids(self, planted):
        asks = 'with check.forbidden(kata, "torch.cumsum"):'
        call = "kata.total(torch.ones(2, 3))"
        assert not planted(
            "@pytest.mark.edge",
            "def test_by_hand(self, kata):",
            f"    {asks}",
            f"        {call}",
        )

    def test_the_command_names_them(self, one_general_operator, monkeypatch, capsys):
        spec = SpecResult("TestTotal::test_it_runs", "passed", edge=True, line=23)
        monkeypatch.setattr(
            idle, "idle", lambda kata: [spec] if kata.name == "01_sums" else []
        )
        assert idle.report(all_katas(SOUND)) == 1
        assert capsys.readouterr().out.splitlines() == [
            "test_sums.py:23  nothing loses TestTotal::test_it_runs",
            "01_sums: 1 specs idle, 1 of them edges",
            "02_reuse: 0 specs idle, 0 of them edges",
        ]


class TestRecords:
    """The records of equivalent mutants, against the fate of each mutant."""

    KILLED, ALIVE = (
        Mutant(line, "f", "words", str(line), "was 1", f"now {line}") for line in (1, 2)
    )

    def outcome(self, *records: Equivalent):
        return mutants.sort_out([self.KILLED, self.ALIVE], {self.ALIVE}, records)

    def test_none(self):
        outcome = self.outcome()
        assert (
            outcome.killed,
            outcome.equivalent,
            outcome.survivors,
            outcome.wrong_records,
        ) == (
            1,
            0,
            (self.ALIVE,),
            (),
        )

    def test_an_equivalent_is_no_survivor(self):
        outcome = self.outcome(Equivalent("was 1", "now 2", "reason"))
        assert (
            outcome.killed,
            outcome.equivalent,
            outcome.survivors,
            outcome.wrong_records,
        ) == (1, 1, (), ())

    def test_one_that_matches_no_mutant_is_stale(self):
        outcome = self.outcome(Equivalent("was 1", "now 3", "reason"))
        assert outcome.wrong_records == (
            "stale record, no mutant is   - was 1   + now 3",
        )
        assert outcome.survivors == (self.ALIVE,)

    def test_one_that_a_spec_kills_is_wrong(self):
        outcome = self.outcome(Equivalent("was 1", "now 1", "reason"))
        assert outcome.wrong_records == (
            "on record as equivalent, but killed:   - was 1   + now 1",
        )
        assert outcome.killed == 1


class TestStopAtFailure:
    def run(self, kata, code: str, **options) -> dict[str, tuple[str, str]]:
        source = f"{kata.reference.read_text()}\n\n{code}\n"
        [result] = variants.results(
            [variants.job(kata, source, RunOptions(stop_at_failure=True, **options))]
        ).values()
        return {
            spec.name: (spec.status, spec.message)
            for spec in variants.specs(result)
            if spec.status != "skipped"
        }

    def test_nothing_is_run_after_it(self, sound):
        specs = self.run(sound[0], "def double(x):\n    return x")
        assert [status for status, _ in specs.values()] == [
            "failed",
            *["missing"] * (len(specs) - 1),
        ]
        assert (
            specs["TestTotal::test_no_dimension_is_an_error"][1]
            == "not run: an earlier spec failed"
        )

    def test_a_crash_is_a_failure(self, sound):
        specs = self.run(sound[0], "def double(x):\n    import os\n    os._exit(0)")
        assert [status for status, _ in specs.values()] == [
            "error",
            *["missing"] * (len(specs) - 1),
        ]

    def test_specs_can_be_put_first(self, sound):
        first = (
            "TestTotal::test_no_dimension_is_an_error",
            "TestDoubler::test_the_layer_doubles",
        )
        specs = self.run(sound[0], "def double(x):\n    return x", order=first)
        assert [specs.pop(name)[0] for name in first] == ["passed", "failed"]
        assert {status for status, _ in specs.values()} == {"missing"}

    def test_without_a_failure_all_are_run(self, sound):
        assert {status for status, _ in self.run(sound[0], "").values()} == {"passed"}
