"""`pytest katas/16` as a learner meets it: what a path means, which code is judged, and
what a failure says.
"""

import gc
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from grader.course.catalogue import ROOT
from grader.execution import standing_in
from grader.failure import UNPARSED
from grader.isolation.usage import Limit
from grader.specs import training
from tests.conftest import SOUND

torch.set_num_threads(1)  # before anything forks
RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs pytest with these arguments in a forked process: (exit code,
    what it printed).
    """
    # on a busy machine, a spec takes what it takes
    monkeypatch.setattr(Limit, "is_late", lambda *_: False)

    def call(*args: str, cwd: Path = SOUND) -> tuple[int, str]:
        output = tmp_path / "output.txt"
        pid = os.fork()
        if pid == 0:
            descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(descriptor, 1), os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            for name in [name for name in sys.modules if name.startswith("katas.")]:
                del sys.modules[name]
            os.chdir(cwd)
            # pytest collects garbage at its end, and all that this process holds
            # is none
            gc.freeze()
            sys.argv[:] = ["pytest", *map(str, args)]
            code = pytest.main(
                list(map(str, args))
                + [
                    "-p",
                    "no:cacheprovider",
                    "-W",
                    "ignore::pytest.PytestAssertRewriteWarning",
                ]
            )
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(int(code))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.read_text()

    return call


def with_a_property(tree: Path, text: str) -> Path:
    """The sound tree with this property of `total` in its specs."""
    shutil.copytree(SOUND, tree)
    specs = tree / "katas/01_sums/test_sums.py"
    imports = "import torch\nfrom hypothesis import given, settings, strategies as st\n"
    found = specs.read_text().replace("class TestTotal:", f"class TestTotal:\n{text}\n")
    specs.write_text(found.replace("import torch\n", imports, 1))
    return tree


class TestPaths:
    @pytest.mark.parametrize(
        ("args", "cwd", "count"),
        [
            (["katas/01", "--code", "solutions"], ".", "6 passed, 1 skipped"),
            (["katas/01::TestTotal", "--code", "solutions"], ".", "3 passed"),
            (
                [
                    "katas/01/test_sums.py::TestTotal::test_no_dimension_is_an_error",
                    "--code",
                    "solutions",
                ],
                ".",
                "1 passed",
            ),
            (["katas/01/test_s::TestDouble", "--code", "solutions"], ".", "2 passed"),
            (
                ["katas/01", "katas/02", "--code", "solutions"],
                ".",
                "7 passed, 1 skipped",
            ),
            (["katas", "--code", "solutions"], ".", "7 passed, 1 skipped"),
            (["--code", "../../solutions"], "katas/02_reuse", "1 passed"),
            (["--code", "solutions"], "katas/02_reuse", "1 passed"),
            (["../01", "--code", "solutions"], "katas/02_reuse", "6 passed, 1 skipped"),
            (["test_reuse.py", "--code=../../solutions"], "katas/02_reuse", "1 passed"),
            (
                ["katas/01", "--code", "solutions", "-m", "not stretch"],
                ".",
                "5 passed, 2 deselected",
            ),
        ],
    )
    def test_what_runs(self, run, args, cwd, count):
        code, said = run(*args, cwd=SOUND / cwd)
        assert (code, count in said) == (0, True), said

    @pytest.mark.parametrize(
        ("arg", "words"),
        [
            ("katas/0", "'katas/0' could be 01_sums, 02_reuse"),
            (
                "katas/99",
                (
                    "'katas/99' matches nothing in katas/: the nearest are 02_reuse, "
                    "01_sums"
                ),
            ),
            ("katas/01/nothing.py", "matches nothing in 01_sums/"),
        ],
    )
    def test_no_match_or_several_is_one_line(self, run, arg, words):
        code, said = run(arg)
        assert code == pytest.ExitCode.USAGE_ERROR
        assert words in said
        assert len(said.strip().splitlines()) == 1, said

    def test_a_code_folder_that_is_not_there(self, run):
        code, said = run("katas/01", "--code", "nowhere")
        assert code == pytest.ExitCode.USAGE_ERROR
        assert "--code nowhere: no such folder" in said


class TestTheRepository:
    """In the repository itself, with a new interpreter, as a learner would."""

    def pytest(self, *args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "pytest", *args],
            cwd=cwd,
            capture_output=True,
            text=True,
        )

    def test_a_code_folder_elsewhere(self, tmp_path):
        done = self.pytest("katas/15", "-q", "--code", str(tmp_path))
        assert done.returncode == 1, done.stdout + done.stderr
        assert f"scaled_dot_product_attention.py:notfoundin{tmp_path}" in "".join(
            done.stdout.split()
        )


class TestFailures:
    def said(self, run, submission, sound, code: str, *args: str) -> str:
        folder = submission(sound[0], code)
        exit_code, said = run("katas/01", f"--code={folder}", "--no-header", *args)
        assert exit_code == 1, said
        for internal in ("Traceback", "grader/", "site-packages", "pluggy"):
            assert internal not in said, said
        return said

    def test_unwritten_is_one_line_an_exercise(self, run):
        code, said = run("katas/01")
        assert code == 1
        assert said.count("not written yet") == 3
        assert (
            "double   not written yet" in said
            and "Doubler  Doubler.forward: not written yet" in said
        )

    def test_among_several_katas_an_unwritten_one_is_one_line(self, run):
        _, said = run("katas")
        assert (
            "katas/01_sums  not written yet: 3 exercises" in said
            and "  double" not in said
        )

    def test_a_wrong_value_is_explained(self, run, submission, sound):
        said = self.said(
            run, submission, sound, RIGHT.replace("return 2 * x", "return x * x")
        )
        for words in (
            "FAILED  double · every value is doubled",
            "  Doubling is per element.",
            "given      double(x)",
            "x = float32 tensor (2, 3) [[8.0, 0.0, 2.0], [6.0, 7.0, 6.0]]",
            "differs    at 4 of 6 places, first at [0, 0]: got 64, expected 16",
            "looks like squared",
            "sums.py:7 · kata hint 01 double",
            "double   1 of 2 specs pass",
        ):
            assert words in said, said

    def test_an_error_names_the_learners_line(self, run, submission, sound):
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("return 2 * x", "y = x.no_such()\n    return y"),
        )
        assert (
            "raised     AttributeError: 'Tensor' object has no attribute 'no_such'"
            in said
        )
        assert "at         line 9: y = x.no_such()" in said
        assert "sums.py:9 · kata hint 01 double" in said

    def test_nobody_answers_input(self, run, submission, sound):
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("return 2 * x", "return x * float(input())"),
        )
        assert (
            "raised     OSError: nobody is there to answer input()" in said
            and "captured" not in said
        )

    def test_the_cause_is_named(self, run, submission, sound):
        said = self.said(run, submission, sound, RIGHT.replace("return 2 * x", "2 * x"))
        assert "looks like nothing was returned: `return` is missing in double" in said
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("return 2 * x", "y = x.T\n    return x + y"),
        )
        assert "shapes     x: (2, 3)\n             y: (3, 2)\n" in said
        assert "means      sizes 3 and 2 at dimension −1 do not broadcast" in said

    def test_looking_for_a_cause_never_hides_the_failure(self, run, submission, sound):
        """Code under test may break whoever looks at its objects."""
        hostile = "class Odd:\n    def __index__(self):\n        return 7\n\n"
        hostile += (
            "    @property\n    def __class__(self):\n        raise OSError\n\n\n"
        )
        body = "odd = Odd()\n    return x.view(odd.__index__(), odd.__index__())"
        code = RIGHT.replace("def double", hostile + "def double", 1).replace(
            "return 2 * x", body
        )
        assert "shape '[7, 7]' is invalid" in self.said(run, submission, sound, code)

    def test_an_error_that_does_not_come_shows_the_call(self, run, submission, sound):
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("raise ValueError", "return ValueError"),
            "--edges",
        )
        assert "given      total(torch.tensor(1.0))" in said
        assert (
            "raised     nothing" in said
            and "expected   an error, such as ValueError" in said
        )

    def test_what_is_given_to_a_helper_of_the_spec_is_not_shown(
        self, run, submission, sound, tmp_path
    ):
        tree = tmp_path / "tree"
        shutil.copytree(
            SOUND, tree, ignore=shutil.ignore_patterns("__pycache__", ".kata")
        )
        specs = tree / "katas/01_sums/test_sums.py"
        text = specs.read_text().replace(
            "check.equal(kata.double(x), x + x, ", "check.equal(got, x + x, ", 1
        )
        text = text.replace('{"squared": x * x}', '{"squared": square(x)}')
        specs.write_text(
            text.replace(
                ".float()\n",
                ".float()\n        square = abs\n        got = kata.double(x)\n",
                1,
            )
        )
        folder = submission(sound[0], RIGHT.replace("return 2 * x", "return x.abs()"))
        said = run("katas/01", f"--code={folder}", cwd=tree)[1]
        assert "looks like squared" in said and "given      double(x)" in said

    def test_what_the_code_prints_stands_below_the_failure(
        self, run, submission, sound
    ):
        """Its first lines, of each failing spec. Hypothesis runs many examples: only
        the failing one is shown.
        """
        prints = (
            "    for i in range(30):\n        print('line', i, float(x.flatten()[0]))\n"
        )
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("    return 2 * x\n", f"{prints}    return x\n"),
        )
        below = said.partition("test_sums.py:")[2]
        assert "\n\n  printed    line 0 " in below and "\n             line 9 " in below
        assert "\n             … 20 more lines\n" in below and "line 10" not in below

    def test_an_open_edge_fails_nothing_and_is_named_at_the_end(
        self, run, submission, sound
    ):
        folder = submission(
            sound[0], RIGHT.replace("raise ValueError", "return ValueError")
        )
        code, said = run(
            "katas/01", f"--code={folder}", f"--junitxml={folder}/junit.xml"
        )
        assert code == 0 and "5 passed, 1 skipped, 1 xfailed" in said
        assert "  total    works · ★ 1 guard (--edges)\n" in said
        assert (
            "  double   works ★\n" in said
            and "FAILED" not in said
            and "raised" not in said
        )
        assert 'failures="0" skipped="2"' in (folder / "junit.xml").read_text()
        code, said = run("katas/01", f"--code={folder}", "--edges")
        assert (
            code == 1
            and "FAILED  total · no dimension is an error" in said
            and "1 failed, 5 passed" in said
        )

    def test_a_missing_function_is_one_line_and_guesses_at_a_new_name(
        self, run, submission, sound
    ):
        said = self.said(run, submission, sound, RIGHT.replace("double(", "doubled("))
        assert "double   not found in sums.py (it defines doubled: renamed?)" in said

    def test_a_wrong_signature_shows_it(self, run, submission, sound):
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("total(x: Tensor, dim: int = 0)", "total(x)"),
        )
        assert (
            "total    wrong signature: takes 1 positional argument but 2 were "
            "given; yours is total(x)"
        ) in said

    def test_a_wrong_forward_shows_it(self, run, submission, sound):
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("def forward(self, x: Tensor)", "def forward(self)"),
        )
        assert (
            "Doubler  Doubler.forward: wrong signature" in said
            or "Doubler  wrong signature" in said
        ), said
        assert "without `self`" not in said
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("def forward(self, x: Tensor)", "def forward()"),
        )
        assert "yours is forward() -> torch.Tensor, without `self`" in said

    def test_a_syntax_error_is_said_once(self, run, submission, sound):
        said = self.said(run, submission, sound, "def double(x:\n    return x\n")
        assert said.count("SyntaxError") == 1
        assert (
            "DOES NOT PARSE  katas/01_sums" in said
            and f"sums.py:1 · {UNPARSED}" in said
        )
        assert (
            f"line 1: def double(x:\n{' ' * 31}^\n"
            "  means      this bracket is opened here"
        ) in said
        assert said.count("katas/01_sums  not run: the file does not parse\n") == 1

    def test_a_failing_import_is_said_once(self, run, submission, sound):
        said = self.said(
            run, submission, sound, "import torch\nimport torchvision_of_old\n"
        )
        assert said.count("ModuleNotFoundError") == 1
        assert (
            "sums.py:2: `import torchvision_of_old` fails: ModuleNotFoundError" in said
        )

    def test_a_loop_is_stopped_and_its_line_shown(self, run, submission, sound):
        said = self.said(
            run,
            submission,
            sound,
            RIGHT.replace("return x.sum(dim)", "while True:\n        pass"),
            "--spec-seconds=0.5",
        )
        assert "stopped    used 0.5 s of CPU: an endless loop?" in said
        assert "while True" in said or "line 2" in said

    def test_a_loop_in_a_property_is_stopped_and_chance_is_told(
        self, run, submission, sound, tmp_path
    ):
        """Hypothesis runs a failing example again and again, and knows nothing of the
        spec's time limit.
        """
        a_property = '''    @given(length=st.integers(1, 3))
    def test_any_length(self, kata, length):
        """Any length will do."""
        check.equal(kata.total(torch.ones(length), 0), torch.tensor(float(length)))'''
        tree = with_a_property(tmp_path / "tree", a_property)
        loops = RIGHT.replace("return x.sum(dim)", "while True:\n        pass")
        code = submission(sound[0], loops)
        began = time.monotonic()
        exit_code, said = run(
            "katas/01",
            f"--code={code}",
            "--spec-seconds=0.5",
            "-k",
            "any_length",
            cwd=tree,
        )
        assert exit_code == 1 and time.monotonic() - began < 300
        assert (
            "stopped    used 0.5 s of CPU: an endless loop?" in said
            and "length = 1" in said
        )
        first_is_wrong = "CALLS.append(dim)\n    return x.sum(dim) + (len(CALLS) == 1)"
        code = submission(
            sound[0],
            RIGHT.replace("return x.sum(dim)", first_is_wrong) + "\nCALLS = []\n",
        )
        _, said = run("katas/01", f"--code={code}", "-k", "any_length", cwd=tree)
        assert (
            "with the same inputs a second call passed" in said
            and "FlakyFailure" not in said
        )

    def test_a_property_asks_the_same_whatever_the_file_says(
        self, run, submission, sound, tmp_path
    ):
        """Hypothesis would draw numbers that stand in the file, and two right files
        would be asked different things.
        """
        a_property = '''    @settings(max_examples=300)
    @given(n=st.integers(7_123_400_000, 7_123_499_999))
    def test_any_number(self, kata, n):
        """Any number but one."""
        check.that(n != 7_123_456_789, "drawn")'''
        tree = with_a_property(tmp_path / "tree", a_property)
        code = submission(sound[0], RIGHT + "\nSEED = 7_123_456_789\n")
        exit_code, said = run(
            "katas/01", f"--code={code}", "-k", "any_number", cwd=tree
        )
        assert (exit_code, "1 passed" in said) == (0, True), said

    def test_waiting_is_given_more_time_than_computing(self, run, submission, sound):
        """A first import on a slow disk or a busy machine is no loop; what never ends
        is stopped all the same.
        """
        slow = RIGHT.replace(
            "return x.sum(dim)", "import time\n    time.sleep(3)\n    return x.sum(dim)"
        )
        folder = submission(sound[0], slow)
        code, said = run(
            "katas/01",
            f"--code={folder}",
            "--spec-seconds=2",
            "-k",
            "one_dimension_is_summed and 0",
        )
        assert code == 0, said
        asleep = slow.replace("3", "60")
        assert "stopped    waited " in self.said(
            run, submission, sound, asleep, "--spec-seconds=0.2"
        )

    @pytest.mark.parametrize("choice", [("-k", "TestTotal"), ("-m", "not stretch")])
    def test_a_choice_of_specs_is_told_in_the_same_way(self, run, choice):
        _, said = run("katas/01", *choice)
        assert "  total" in said and "not written yet" in said
        assert "NotImplementedError" not in said and "Doubler" not in said

    def test_verbose_tells_every_failure(self, run, submission, sound):
        code = RIGHT.replace("return x.sum(dim)", "return x")
        assert self.said(run, submission, sound, code).count("FAILED  total") == 1
        assert self.said(run, submission, sound, code, "-v").count("FAILED  total") == 2

    def test_a_failure_is_the_same_from_another_process(self, run, submission, sound):
        code = RIGHT.replace("return x.sum(dim)", "return x")
        here, there = (
            self.said(run, submission, sound, code, "-v", *args).partition("\n\n\n")[2]
            for args in ((), ("-n1",))
        )
        assert here.count("FAILED  total") == 2
        # the last line has the seconds
        assert here.rpartition("\n==")[0] == there.rpartition("\n==")[0]

    def test_beside_other_tests_pytest_tells_of_a_failure(
        self, run, submission, sound, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("COLUMNS", "120")
        (tmp_path / "test_other.py").write_text("def test_it():\n    pass\n")
        folder = submission(sound[0], RIGHT.replace("return 2 * x", "return x"))
        arguments = ("katas/01", str(tmp_path / "test_other.py"), f"--code={folder}")
        _, said = run(*arguments, "--confcutdir=.")
        failures, summary = said.split("short test summary info")
        assert "\ngiven      double(x)\n" in failures, said
        assert " - Doubling is per element." in summary, said

    def test_pytests_own_tracebacks_are_there_for_the_asking(
        self, run, submission, sound
    ):
        folder = submission(
            sound[0], RIGHT.replace("return 2 * x", "return x.no_such()")
        )
        _, said = run("katas/01", f"--code={folder}", "--tb=short")
        assert "in double" in said and "FAILURES" in said


class TestBuildingOn:
    def test_the_reference_stands_in_and_that_is_said(self, run, submission, sound):
        folder = submission(sound[1], sound[1].reference.read_text())
        code, said = run("katas/02", f"--code={folder}")
        assert code == 0, said
        assert "01_sums: the reference stands in for yours (sums.py: not found" in said

    def test_the_learners_own_code_is_used_where_its_core_passes(
        self, run, submission, sound
    ):
        own = RIGHT.replace("return 2 * x", "return x + x").replace(
            "return double(x)", "raise NotImplementedError"
        )
        folder = submission(sound[0], own)
        submission(sound[1], sound[1].reference.read_text())
        code, said = run("katas/02", f"--code={folder}")
        assert code == 0, said
        assert "01_sums: your own code, its core specs pass" in said

    def test_failing_code_is_replaced(self, warm_workers, run, submission, sound):
        folder = submission(sound[0], RIGHT.replace("return 2 * x", "return x * x"))
        submission(sound[1], sound[1].reference.read_text())
        # the specs run in this process's warm workers, and the result is cached
        standing_in.choose(sound[1], folder)
        code, said = run("katas/02", f"--code={folder}")
        assert code == 0, said
        assert (
            "01_sums: the reference stands in for yours (a spec of double fails)"
            in said
        )


TRAINER = """import torch


def double(model, *, steps=10, lr=0.01, generator=None):
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=lr), []
    model.train()
    for _ in range(steps):
        x = torch.rand(4, 3, generator=generator)
        loss = (model(x) - 2 * x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""
CONTRACT = '''"""Specs of a function that trains."""

import torch
from torch import nn

from grader.specs import check, training


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.read, self.modes = [], []

    def forward(self, x):
        self.read.append(x)
        self.modes.append(self.training)
        return x * self.weight


class TestDouble(training.Contract):
    """Adam on random rows."""

    model, steps = Scale, 3

    def train(self, kata, model, **options):
        return kata.double(model, **options)

    def loss(self, model, x):
        return ((model(x) - 2 * x) ** 2).sum() / x.numel()

    def wrong_losses(self, model, x):
        return {"the sum over the batch": x.numel() * self.loss(model, x)}

    def test_each_step_reads_four_rows(self, kata):
        """Here a spec of the paper's own."""
        model = Scale()
        self.train(kata, model, steps=1)
        check.shape(model.read[0], (4, 3))
'''


class TestInheritedSpecs:
    """Specs that a class of the spec file inherits: the contract of every function
    that trains.
    """

    @pytest.fixture
    def said(self, run, submission, sound, tmp_path):
        tree = tmp_path / "tree"
        shutil.copytree(
            SOUND, tree, ignore=shutil.ignore_patterns("__pycache__", ".kata")
        )
        (tree / "katas/01_sums/test_sums.py").write_text(CONTRACT)

        def call(was: str, now: str, *args: str) -> str:
            assert was in TRAINER
            folder = submission(sound[0], TRAINER.replace(was, now))
            return run(
                "katas/01", f"--code={folder}", "--no-header", "-v", *args, cwd=tree
            )[1]

        return call

    def test_right_code_passes_and_edges_are_last(self, said):
        found = said("import torch", "import torch")
        assert "7 passed" in found, found
        names = [
            line.partition(" ")[0].rpartition("::")[2]
            for line in found.splitlines()
            if "::TestDouble" in line
        ]
        edges = [
            "test_the_mode_is_training_and_stays",
            "test_old_gradients_have_no_effect",
        ]
        assert names[-3:] == ["test_each_step_reads_four_rows", *edges], found

    def test_a_failure_names_the_class_in_the_spec_file(self, said):
        found = said("optimizer.zero_grad()", "pass")
        line = CONTRACT.partition("class TestDouble")[0].count("\n") + 1
        for words in (
            "FAILED  double · every step is that of the optimizer",
            "  On the same batches, steps by hand move the weights as far",
            "looks like gradients that were not cleared",
            f"test_sums.py:{line} · test_every_step_is_that_of_the_optimizer",
            "inherited from grader/specs/training.py:",
        ):
            assert words in " ".join(found.split()) or words in found, found

    def test_a_failure_shows_the_call_of_the_function(self, said):
        found = said("    return losses\n", "")
        call = (
            "given double(model, steps=3, lr=0.05, "
            "generator=torch.Generator().manual_seed(5))"
        )
        assert call in " ".join(found.split()), found
        assert (
            "looks like nothing was returned: `return` is missing in double" in found
        ), found

    @pytest.mark.parametrize(
        ("was", "now", "spec", "words"),
        [
            (
                "loss.item()",
                "loss",
                "one float per step",
                "losses should be a list of floats, not list of 3",
            ),
            (
                ".mean()",
                ".sum()",
                "the first loss is that of the fresh model",
                "looks like the sum over the batch",
            ),
            (
                "lr=lr",
                "lr=0.01",
                "every step is that of the optimizer",
                "looks like the default learning rate",
            ),
            (
                "Adam(",
                "SGD(",
                "every step is that of the optimizer",
                "looks like plain SGD",
            ),
            (
                "        optimizer.step()\n",
                "",
                "every step is that",
                "looks like weights that were never updated",
            ),
            (
                "generator=generator",
                "generator=None",
                "the generator alone draws",
                "generator of the same seed",
            ),
            (
                "    model.train()\n",
                "",
                "the mode is training and stays",
                "of         model.training, during",
            ),
            (
                (
                    "        optimizer.zero_grad()\n        loss.backward()\n"
                    "        optimizer.step()\n"
                ),
                (
                    "        loss.backward()\n        optimizer.step()\n"
                    "        optimizer.zero_grad()\n"
                ),
                "old gradients have no effect",
                "of         weight after one step",
            ),
        ],
    )
    def test_each_demand_is_made(self, said, was, now, spec, words):
        found = said(was, now, "--edges")
        _, told, failure = found.partition(f"FAILED  double · {spec}")
        assert told and words in failure, found

    def test_every_spec_explains_itself(self):
        specs = [
            spec
            for name, spec in vars(training.Contract).items()
            if name.startswith("test_")
        ]
        assert len(specs) == 6 and all(spec.__doc__ for spec in specs)
