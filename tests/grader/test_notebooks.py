"""Notebooks: back and forth without loss, whatever students do to them, checked in a
kernel, handed in.
"""

import ast
import copy
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from email.message import Message
from pathlib import Path

import nbclient
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from grader.course import cells, notebooks, places
from grader.course.catalogue import ROOT, Kata, all_katas, find
from grader.failure import UNPARSED, unwritten
from grader.learner import notebook_check
from grader.results import ExerciseResult, SpecResult

SIXTEEN = find("16")
ADDRESS = "https://github.com/who/course"
RIGHT = SIXTEEN.reference.read_text()
STUB = (SIXTEEN.folder / SIXTEEN.file.name).read_text()


@pytest.fixture
def points(warm_workers, kata_here):
    """A function that says what `kata grade` gives a notebook, by exercise."""

    def graded(path: Path) -> dict[str, int]:
        report = path.with_suffix(".json")
        done = kata_here("grade", path, "--report", f"json={report}")
        assert done.returncode == 0, done.stderr
        [kata] = json.loads(report.read_text())["katas"]
        return {exercise["name"]: exercise["points"] for exercise in kata["exercises"]}

    return graded


class TestRoundTrip:
    @pytest.mark.parametrize("kata", all_katas(), ids=lambda kata: kata.name)
    def test_module_to_notebook_to_module(self, kata):
        """Character by character, for stub and reference; and the file and the notebook
        are the same at every call.
        """
        for path in (kata.folder / kata.file.name, kata.reference):
            text = path.read_text()
            notebook = notebooks.build(kata, text)
            nbformat.validate(notebook)
            again = nbformat.reads(nbformat.writes(notebook), as_version=4)
            assert notebooks.module(again, kata) == text
            assert notebooks.build(kata, notebooks.module(again, kata)) == notebook
            assert notebooks.kata_of(again, all_katas()) == kata

    @pytest.mark.parametrize("kata", all_katas(), ids=lambda kata: kata.name)
    def test_put_together_it_defines_every_exercise(self, kata):
        names = [exercise.name for exercise in kata.exercises]
        segments = cells.cut(kata.reference.read_text(), names)
        texts = [segment.text for segment in reversed(segments)]
        joined = cells.join(texts, kata.owners, notebooks.stub(kata))
        defined = {
            name
            for statement in ast.parse(joined.text).body
            for name in cells.bound(statement)
        }
        assert defined >= {exercise.owner for exercise in kata.exercises}
        assert joined.undefined == joined.notes == ()
        compile(joined.text, "joined", "exec")


@pytest.mark.parametrize(
    ("remote", "cloned_from"),
    [
        ("https://github.com/acme/course.git", "https://github.com/acme/course.git"),
        ("https://ada:secret@github.com/acme/course", "https://github.com/acme/course"),
        ("git@github.com:acme/course.git", "https://github.com/acme/course.git"),
        ("ssh://git@github.com/acme/course", "https://github.com/acme/course"),
        ("/home/ada/course", ADDRESS),
        ("", ADDRESS),
    ],
)
def test_it_clones_the_repository_that_it_was_made_in(
    tmp_path, monkeypatch, remote, cloned_from
):
    monkeypatch.setattr(places, "address", lambda: ADDRESS)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if remote:
        subprocess.run(
            ["git", "-C", tmp_path, "remote", "add", "origin", remote], check=True
        )
    assert notebooks.origin(tmp_path) == cloned_from
    start = notebooks.build(SIXTEEN, STUB, cloned_from).cells[0].source
    assert f'"clone", "--depth", "1", "{cloned_from}"' in start


def test_the_address_is_in_pyproject_or_with_the_installed_package(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    installed = Message()
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: installed)
    assert places.address() == ""
    installed["Project-URL"] = f"Repository, {ADDRESS}"
    assert places.address() == ADDRESS
    (tmp_path / "katas").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    assert places.address() == ""
    (tmp_path / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://example.org/course"\n'
    )
    assert places.address() == "https://example.org/course"


def test_without_an_address_it_says_where_to_put_it(tmp_path):
    start = notebooks.build(SIXTEEN, STUB).cells[0].source
    done = subprocess.run(
        [sys.executable, "-I", "-c", start],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    said = (
        "no course around this notebook: upload or clone it, and put the notebook "
        "into it"
    )
    assert done.stderr.endswith(f"FileNotFoundError: {said}\n")


class TestJoin:
    """The parts of a notebook that count as its code."""

    def join(self, *cells_: str) -> str:
        return cells.join(
            [textwrap.dedent(cell).rstrip("\n") for cell in cells_],
            ["f", "g"],
            file="m.py",
        ).text

    def run(self, *cells_: str) -> dict:
        space: dict = {}
        exec(self.join(*cells_), space)
        return space

    def test_only_what_the_exercises_need(self):
        said = self.join(
            "import torch\nimport os",
            "def f(x):\n    return torch.abs(x)",
            "y = f(torch.ones(3))\nprint(y)",
        )
        assert said == "import torch\n\n\ndef f(x):\n    return torch.abs(x)\n"

    def test_cells_in_any_order(self):
        space = self.run(
            "def f(x=SIZE):\n    return helper(x)",
            "class g(Base):\n    pass",
            "class Base:\n    a = SIZE",
            "SIZE = 3",
            "def helper(x):\n    return x + 1",
        )
        assert space["f"]() == 4 and space["g"].a == 3

    def test_the_last_definition_counts_but_not_one_that_is_unwritten(self):
        assert self.run("def f():\n    return 1", "def f():\n    return 2")["f"]() == 2
        assert (
            self.run(
                "def f():\n    return 1", "def f():\n    raise NotImplementedError"
            )["f"]()
            == 1
        )

    def test_magics_shell_lines_and_questions(self):
        space = self.run(
            "%matplotlib inline\n!pip install torch\nimport math",
            "%%time\ndef f():\n    return math.pi",
            "%%bash\nrm -rf /",
            "f?\n??f\nfiles = !ls",
            "def g():\n    !ls\n    return 2",
        )
        assert space["g"]() == 2 and round(space["f"]()) == 3

    @pytest.mark.parametrize(
        ("heads", "values"),
        [
            (["%%writefile m.py", "%%writefile -a m.py"], {"f": 1, "g": 2}),
            (
                ["%%file 'katas/01_m/m.py'", "%%writefile katas\\m.py --append"],
                {"f": 1, "g": 2},
            ),
            (["\n%%writefile m.py", "%%writefile m.py"], {"g": 2}),
            (["%%writefile -a m.py", "%%writefile m.py"], {"g": 2}),
            (["%%writefile other.py", "%%writefile -a m.py"], {"g": 2}),
            (["%%time", "%%file $name"], {"f": 1}),
        ],
    )
    def test_what_is_written_to_the_file_is_its_code(self, heads, values):
        space = self.run(
            *(
                f"{head}\ndef {n}(): return {v}"
                for head, n, v in zip(heads, "fg", (1, 2), strict=True)
            )
        )
        assert {name: space[name]() for name in "fg" if name in space} == values

    def test_a_cell_that_is_no_python_breaks_only_its_own_exercise(self):
        space = self.run(
            "def f(:\n    pass", "def g():\n    return 2", "this is no python"
        )
        assert space["g"]() == 2
        with pytest.raises(SyntaxError, match=f"cell 1 {UNPARSED}: line 1"):
            space["f"]()

    @pytest.mark.parametrize(
        "deep", ["1" + " + 1" * 950, "-" * 100_000 + "1"], ids=["unparse", "parse"]
    )
    def test_a_cell_nested_too_deeply_breaks_only_its_own_exercise(self, deep):
        space = self.run(f"def f():\n    return {deep}", "def g():\n    return 2")
        assert space["g"]() == 2
        with pytest.raises(SyntaxError, match="cell 1"):
            space["f"]()

    def test_lesson_and_check_cells_do_not_count(self):
        assert self.join("# lesson 3\ndef f():\n    pass", "# check\ncheck('f')") == ""

    def test_everything_of_a_module_may_be_imported(self):
        assert (
            round(self.run("from math import *", "def f():\n    return pi")["f"]()) == 3
        )

    def test_annotations_stay_unread_where_the_notebook_says_so(self):
        cells_ = (
            "import math",
            "from __future__ import annotations",
            "def f(x: Later):\n    return math.pi + annotations",
        )
        assert self.run(*cells_)["f"].__annotations__ == {"x": "Later"}

    def test_a_copy_that_is_no_python_replaces_nothing(self):
        assert self.run("def f():\n    return 1", "def f(:\n    return 2")["f"]() == 1

    def test_the_line_of_an_error_counts_from_the_first_line_of_its_cell(self):
        with pytest.raises(SyntaxError, match=f"cell 1 {UNPARSED}: line 3"):
            self.run("%%time\n\ndef f(:\n    pass")["f"]()

    def test_what_has_side_effects_is_left_out(self):
        assert "open" not in self.join(
            "def f():\n    return 1",
            "log = open('/tmp/x', 'w')",
            "for i in range(3):\n    print(i)",
        )


class TestHandedIn:
    @pytest.fixture
    def hand_in(self, tmp_path):
        def write(notebook) -> Path:
            nbformat.write(notebook, tmp_path / "handed_in.ipynb")
            return tmp_path / "handed_in.ipynb"

        return write

    def test_the_reference_earns_everything_the_stub_nothing(self, hand_in, points):
        assert set(points(hand_in(notebooks.build(SIXTEEN, RIGHT))).values()) == {1}
        assert set(points(hand_in(notebooks.build(SIXTEEN, STUB))).values()) == {0}

    def test_what_students_do_to_notebooks(self, hand_in, points):
        """Other order, magics, plots, outputs, more cells, metadata lost, one cell
        broken: the rest counts as it is.
        """
        notebook = notebooks.build(SIXTEEN, RIGHT)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for cell in code:
            cell.metadata.clear()
            cell.outputs = [nbformat.v4.new_output("stream", text="0 of 8\n" * 1000)]
            if cell.source.startswith("class MultiHeadAttention"):
                cell.source = "%%time\n!pip install torch\n" + cell.source
            if cell.source.startswith("def head_statistics"):
                cell.source = cell.source.replace(":", "", 1)
        extra = [
            "%matplotlib inline",
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
            "1 / 0",
            "x = split_heads(torch.ones(2, 3, 4), 2)",
        ]
        notebook.cells = [*map(new_code_cell, extra), *reversed(notebook.cells)]
        del notebook.metadata["kata"]
        earned = points(hand_in(notebook))
        assert [name for name, point in earned.items() if not point] == [
            "head_statistics"
        ]

    def test_what_is_missing_is_said_where_the_points_are(
        self, hand_in, kata_here, tmp_path, warm_workers
    ):
        """One exercise is gone. The deleted imports cost nothing, as the stub
        has them.
        """
        notebook = notebooks.build(SIXTEEN, RIGHT)
        notebook.cells = [
            cell
            for cell in notebook.cells
            if not cell.source.startswith(('"""', "import", "def head_statistics"))
        ]
        mine = (
            "import math\nfrom collections.abc import Iterator\n"
            "from contextlib import contextmanager"
        )
        notebook.cells.append(new_code_cell(mine))
        path = hand_in(notebook)
        report, page = tmp_path / "r.json", tmp_path / "r.html"
        done = kata_here(
            "grade", path, "--report", f"json={report}", "--report", f"html={page}"
        )
        notes = [
            "head_statistics is not in the notebook",
            "not in the notebook, so taken from the stub: torch, Tensor, nn",
        ]
        [kata] = json.loads(report.read_text())["katas"]
        assert kata["message"].splitlines() == notes
        assert "\n".join(notes) in done.stdout and "\n".join(notes) in page.read_text()
        assert [e["name"] for e in kata["exercises"] if not e["points"]] == [
            "head_statistics"
        ]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (
                b"def f():\n    return 1\n# %%",
                "is a Python file: its name should end in .py",
            ),
            (b"", "line 1, column 1"),
            (b'{"cells": [\n  {]}', "line 2, column 4"),
            (b"\xff\xfe", "not UTF-8 text"),
            (b"[1, 2]", "not a valid notebook"),
            (
                (
                    b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": '
                    b'[{"cell_type": "code"}]}'
                ),
                "metadata",
            ),
            (b"[" * 100_000, "nested too deep"),
            (
                json.dumps(new_notebook(cells=[new_code_cell("x = 1")])).encode(),
                "no cell defines an exercise",
            ),
        ],
    )
    def test_no_notebook_says_where(self, tmp_path, content, said, kata_here):
        (tmp_path / "x.ipynb").write_bytes(content)
        done = kata_here("grade", tmp_path / "x.ipynb")
        assert done.returncode == 2 and "x.ipynb" in done.stderr and said in done.stderr
        assert done.stderr.count("\n") == 1

    def test_a_file_that_is_not_there(self, kata_here):
        done = kata_here("grade", "no/such.ipynb")
        assert (
            done.returncode == 2
            and done.stderr == "kata: such.ipynb: No such file or directory\n"
        )


FIRST = "def split_heads(x, num_heads):\n    return x"
BUILT = notebooks.build(SIXTEEN, RIGHT)
PLACE = 1 + [cells.defines(cell.source, "split_heads") for cell in BUILT.cells].index(
    True
)


def changed(number: int, *with_: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook of 16 with other cells in place of one, or with more at its end for
    number 0.
    """
    notebook = copy.deepcopy(BUILT)
    place = number - 1 if number else len(notebook.cells)
    notebook.cells[place : place + 1] = with_
    return notebook


LAST = len(changed(0).cells) + 1


@pytest.mark.parametrize(
    ("notebook", "notes"),
    [
        (changed(PLACE), ["split_heads is not in the notebook"]),
        (
            changed(PLACE, new_markdown_cell(f"```python\n{FIRST}\n```")),
            [
                (
                    f"split_heads is only in cell {PLACE}, a Markdown cell: put it "
                    "into a code cell of its own"
                )
            ],
        ),
        (
            changed(PLACE, new_raw_cell(FIRST)),
            [
                (
                    f"split_heads is only in cell {PLACE}, a raw cell: put it into a "
                    "code cell of its own"
                )
            ],
        ),
        (
            changed(PLACE, new_code_cell(f"# check\n{FIRST}")),
            [
                (
                    f"split_heads is only in cell {PLACE}, a lesson or check cell: "
                    "put it into a code cell of its own"
                )
            ],
        ),
        (
            changed(0, new_code_cell(FIRST)),
            [f"split_heads is defined in cells {PLACE} and {LAST}; cell {LAST} counts"],
        ),
        (
            changed(
                0, new_code_cell(FIRST.replace("return x", "raise NotImplementedError"))
            ),
            [
                (
                    f"split_heads is defined in cells {PLACE} and {LAST}; cell "
                    f"{PLACE} counts"
                )
            ],
        ),
        (
            changed(0, new_code_cell(f"{FIRST})")),
            [
                (
                    f"split_heads is defined in cells {PLACE} and {LAST}; cell "
                    f"{PLACE} counts"
                ),
                f"cell {LAST} {UNPARSED}: line 2: unmatched ')'",
            ],
        ),
        (
            changed(PLACE, *map(new_code_cell, FIRST.splitlines())),
            [
                (
                    f"cell {PLACE} {UNPARSED}: line 1: expected an indented block "
                    "after function definition on line 1"
                ),
                f"cell {PLACE + 1} {UNPARSED}: line 1: 'return' outside function",
            ],
        ),
        (
            changed(
                PLACE, new_code_cell(FIRST.replace("return x", "return np.asarray(x)"))
            ),
            ["used, but not defined in a cell: np"],
        ),
        (
            changed(0, new_code_cell("no python")),
            [f"cell {LAST} {UNPARSED}: line 1: invalid syntax"],
        ),
        (
            changed(0, *[new_code_cell("no python")] * 7),
            [
                *(
                    f"cell {LAST + n} {UNPARSED}: line 1: invalid syntax"
                    for n in range(5)
                ),
                "and 2 more",
            ],
        ),
        (
            changed(
                0,
                new_code_cell("%%time\n!pip install einops"),
                new_code_cell("x = await g()\nf?"),
            ),
            [],
        ),
        (
            changed(
                0,
                new_code_cell("async def g():\n    await h()"),
                new_code_cell("    indented = 1"),
            ),
            [],
        ),
    ],
)
def test_notes_on_a_notebook(notebook, notes):
    found = notebooks.handed_in(notebook, SIXTEEN)
    assert list(found.notes) == notes
    compile(found.text, "module", "exec")


def test_notebooks_of_other_programs():
    """Colab has no ids and metadata of its own, a copied cell has the same id, and
    version 3 has other names.
    """
    notebook = notebooks.build(SIXTEEN, RIGHT)
    colab = notebooks.build(SIXTEEN, RIGHT)
    colab.metadata, colab.nbformat_minor = {"colab": {"provenance": []}}, 0
    for cell in colab.cells:
        del cell["id"]
        cell.metadata = {"id": "x7", "colab": {"base_uri": "https://localhost:8080/"}}
    copied = notebooks.build(SIXTEEN, RIGHT)
    copied.cells.append(copied.cells[1])
    third = nbformat.convert(notebook, 3)
    joined = cells.join(
        notebooks.code(colab), SIXTEEN.owners, notebooks.stub(SIXTEEN)
    ).text
    for other, text in ((colab, joined), (copied, RIGHT), (third, RIGHT)):
        again = notebooks.parsed(json.dumps(other).encode())
        assert notebooks.kata_of(again, all_katas()) == SIXTEEN
        assert notebooks.handed_in(again, SIXTEEN) == notebooks.HandedIn(text, ())


class TestTheCommand:
    def test_there_and_back_keeps_what_was_there(self, tmp_path):
        checkout = tmp_path / "checkout"
        shutil.copytree(
            ROOT / "grader",
            checkout / "grader",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for folder in (SIXTEEN.folder, SIXTEEN.reference.parent):
            shutil.copytree(folder, checkout / folder.relative_to(ROOT))

        def command(*arguments: str) -> subprocess.CompletedProcess:
            run = [
                sys.executable,
                "-c",
                "from grader.cli.main import main; main()",
                "notebook",
                "16",
                *arguments,
            ]
            return subprocess.run(
                run,
                cwd=checkout,
                capture_output=True,
                text=True,
                env=os.environ | {"PYTHONPATH": str(checkout)},
            )

        path = checkout / "katas" / SIXTEEN.name / f"{SIXTEEN.name}.ipynb"
        assert command().returncode == 0
        notebook = nbformat.read(path, 4)
        for cell in notebook.cells:
            cell.source = cell.source.replace(
                STUB[
                    STUB.index("def split_heads") : STUB.index("def merge_heads")
                ].rstrip(),
                "def split_heads(x, num_heads):\n    return 1",
            )
        nbformat.write(notebook, path)
        done = command("--back")
        file = checkout / "katas" / SIXTEEN.file
        assert "def split_heads(x, num_heads):\n    return 1" in file.read_text()
        kept = checkout / done.stdout.rpartition("kept in ")[2].strip()
        assert kept.read_text() == STUB
        file.write_text("def half(")
        done = command()
        assert done.returncode == 2 and "half-written" in done.stderr


def test_a_hint_in_a_notebook_names_the_next_as_a_notebook_asks_for_it(
    tmp_path, monkeypatch, capsys
):
    shutil.copytree(SIXTEEN.folder, tmp_path / "katas" / SIXTEEN.name)
    monkeypatch.setattr(notebook_check, "_kata", [Kata(tmp_path, SIXTEEN.name)])
    notebook_check.hint("split_heads")
    said = capsys.readouterr().out
    assert said.startswith("split_heads, hint 1 of ") and said.endswith(
        '\nMore: hint("split_heads")\n'
    )


IDEA, EDGE = (
    SpecResult("TestF::test_x", "passed"),
    SpecResult("TestF::test_works_on_a_view", "failed", edge=True),
)


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        ((IDEA, replace(EDGE, status="passed")), "works  f: all 2 specs ★ (a note)"),
        (
            (IDEA, IDEA, EDGE),
            "works  f: all 2 specs · ★ numerics: works on a view (a note)",
        ),
        (
            (replace(IDEA, said="with the reference's g"),),
            "works  f: its spec, with the reference's g ★ (a note)",
        ),
        (
            (replace(IDEA, status="failed", failure=unwritten("f")), EDGE),
            "f: not written yet",
        ),
        (
            (IDEA, replace(IDEA, status="failed", said="no")),
            "FAILED  f · x\n\nno\n\n1 of 2 specs pass",
        ),
        (
            (replace(IDEA, status="skipped", said="gpu: no CUDA device here"),),
            "f: not run",
        ),
    ],
)
def test_a_check_says_what_works_and_which_edges_are_open(specs, said):
    assert notebook_check._said(ExerciseResult("f", specs), "a note") == said


@pytest.mark.parametrize("kata", [find("09"), find("31")], ids=lambda kata: kata.name)
def test_executed_in_a_kernel(kata, monkeypatch):
    """With the reference filled in, from a folder of the repository: lesson, figure,
    every check passed, and no error.

    Both need processes. The first begins with a function and builds on nothing, the
    second with a class and on others. For a promise in test_katas.py the cells of every
    kata's notebook are run without a kernel.
    """
    notebook = notebooks.build(kata, kata.reference.read_text())
    first = kata.exercises[0].name
    wrong = (
        f"class {first}:\n    def __init__(self, *_, **__):"
        if first[0].isupper()
        else f"def {first}(*_, **__):"
    )
    notebook.cells.append(new_code_cell(f"%%time\n{wrong} pass"))
    notebook.cells.append(new_code_cell(f'check("{first}")'))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(
        notebook, resources={"metadata": {"path": str(kata.folder)}}
    ).execute()
    said = {
        cell.source: "".join(out.get("text", "") for out in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    checks = [text for source, text in said.items() if source.startswith("# check")]
    assert [text.split()[:2] for text in checks] == [
        ["works", f"{exercise.name}:"] for exercise in kata.exercises
    ], checks
    figure = next(
        cell for cell in notebook.cells if cell.source == notebooks.figure(kata)
    )
    assert any("image/png" in output.get("data", {}) for output in figure.outputs)
    last = "".join(output.text for output in notebook.cells[-1].outputs)
    assert last.startswith(f"FAILED  {first}") and f'\nhint("{first}")\n' in last, last
