"""The papers' notebooks: what becomes of a lesson, that they run from top to bottom,
and what the track's pages say.
"""

import ast
import os
import re
import subprocess
import sys

import nbclient
import nbformat
import pytest

from grader.course import cells, definitions, handouts, notebooks, papers, places
from grader.course.catalogue import ROOT, Kata, all_katas
from grader.course.papers import Answers
from grader.errors import NotANotebook, NotPossible
from grader.failure import unwritten
from grader.learner import paper_notebook
from grader.teaching import export
from grader.teaching.rules import Rules
from workshop import key_results, snippets

PAPERS = [kata for kata in all_katas() if kata.description.paper]
ADDRESS = "https://github.com/who/course"
SAMPLE = [(PAPERS[1], "textbook")]
if os.environ.get("ALL_NOTEBOOKS"):  # nightly
    SAMPLE = [(k, "textbook") for k in PAPERS]
    SAMPLE += [
        (k, path.name)
        for k in PAPERS
        for path in sorted((k.author / "accepted").glob("*.py"))
    ]
SAME_NUMBERS = "Other right code prints the same numbers"
PRINTED: dict[Kata, str] = {}  # by the first notebook of a paper that ran
TOML = """
title = "Halves"
chapter = "foundational concepts"
difficulty = "easy"
minutes = { core = 5, all = 9 }
exercises = [
    { name = "halve", asks = "half of a number" },
    { name = "quarter", stretch = true, asks = "half of a half" },
]
[paper]
title = "On Halves"
authors = "Zeno"
year = 1950
url = "https://example.org/halves"
result = "a half is less than the whole"
seconds = 0.5
"""
PAGE = """# papers/01 · Halves

easy · 5 minutes · builds on nothing

One half, from [Zeno's paper](https://example.org/halves) and \
[kata 01](../01_tensors/README.md).

![halves](figure.png)

## Objectives
- Cut [numbers](../01_tensors/README.md) in two.

## Exercises

### Notebook tasks

- Halve again.

## Next

On.
"""
LESSON = '''"""Halves in code."""

from grader.lesson import code

kata = code(__file__)

# 2. Recap of the NumPy view
#
# A half is
# small.
#
# - One item
#   on two lines.
# - Another.
heading("2. Recap of the NumPy view")
half = 1 / 2  # a remark

# 4. Model
#
# The code below is the one that runs here: your own where the core of the kata works.
model = kata.Halver()
print("   Halver.forward:")
shown_code(kata.Halver.forward)
print(model(8))

# A quarter is smaller.
def quarter(x):
    # an indented remark
    return x / 4
# a remark right below code

# 6. Evaluation and figure
#
# Look.
save_figure(figure, __file__)
'''
TEXTBOOK = '''"""Halves, as a book prints them."""

import math
from torch import nn

TWO = 2


def halve(x):
    return x / TWO


class Halver(nn.Module):
    def forward(self, x):
        return halve(x)


def quarter_of(x):
    return math.ldexp(x, -2)
'''


@pytest.fixture
def kata(tmp_path) -> Kata:
    """A paper's kata of two steps."""
    kata = Kata(tmp_path, "papers/01_halves")
    kata.folder.mkdir(parents=True)
    for name, text in {
        "kata.toml": TOML,
        "README.md": PAGE,
        "lesson.py": LESSON,
    }.items():
        (kata.folder / name).write_text(text)
    kata.textbook.parent.mkdir(parents=True)
    kata.textbook.write_text(TEXTBOOK)
    return kata


def test_comments_after_an_empty_line_are_text_and_the_rest_is_code(kata):
    notebook = papers.build(kata)
    nbformat.validate(notebook)
    assert [(cell.cell_type[0], cell.source) for cell in notebook.cells[2:-1]] == [
        ("c", "from grader.lesson import code\n\nkata = code(__file__)"),
        (
            "m",
            (
                "## 2 Recap of the NumPy view\n\nA half is small.\n\n"
                "- One item on two lines.\n\n- Another."
            ),
        ),
        ("c", "half = 1 / 2  # a remark"),
        (
            "m",
            (
                "## 4 Model\n\n"
                "The code below is the one that runs here: your own where the core of "
                "the kata works."
            ),
        ),
        (
            "c",
            (
                'model = kata.Halver()\nprint("   Halver.forward:")\n'
                "shown_code(kata.Halver.forward)\nprint(model(8))"
            ),
        ),
        ("m", "A quarter is smaller."),
        (
            "c",
            (
                "def quarter(x):\n    # an indented remark\n    return x / 4\n"
                "# a remark right below code"
            ),
        ),
        ("m", "## 6 Evaluation and figure\n\nLook."),
        ("c", "save_figure(figure, __file__)"),
        ("c", notebook.cells[11].source),
    ]
    assert "Image" in notebook.cells[11].source


def test_each_definition_is_in_a_cell_before_its_first_use(kata):
    """The model with all that it uses, in the textbook's words. What no cell uses is
    left out, and so is its import.
    """
    notebook = papers.build(kata, papers.textbook(kata))
    nbformat.validate(notebook)
    assert [(cell.cell_type[0], cell.source) for cell in notebook.cells[2:8]] == [
        ("c", "from torch import nn\nfrom grader.lesson import Picture"),
        ("m", notebook.cells[3].source),
        ("c", "half = 1 / 2  # a remark"),
        ("m", "## 4 Model\n\nThe code below is the one that runs here."),
        (
            "c",
            "# lesson: the textbook's code, to be copied and changed\nTWO = 2\n\n\n"
            "def halve(x):\n    return x / TWO\n\n\n"
            "class Halver(nn.Module):\n    def forward(self, x):\n"
            "        return halve(x)",
        ),
        ("c", "model = Halver()\nprint(model(8))"),
    ]
    assert "Picture(figure)" in notebook.cells[-2].source


def test_what_a_changed_cell_defines_is_what_later_cells_use(kata, capsys):
    code = notebooks.code(papers.build(kata, papers.textbook(kata)))
    space: dict = {}
    for cell in (
        code[1],
        code[3],
        code[4],
        code[3].replace("TWO = 2", "TWO = 4"),
        code[4],
    ):
        exec(cell, space)
    assert capsys.readouterr().out == "4.0\n2.0\n"


def test_one_name_for_two_things_is_refused():
    with pytest.raises(NotANotebook, match="^loss is a variable of the notebook, too"):
        definitions.deal("def loss():\n    pass\n", ["first = loss()", "loss = 3"])
    with pytest.raises(NotANotebook, match="^F is"):
        definitions.deal(
            "import torch as F\ndef f():\n    return F\n", ["import numpy as F", "f()"]
        )
    same = definitions.deal(
        "import torch as F\ndef f():\n    return F\n", ["import torch as F", "f()"]
    )
    assert same.imports == ["import torch as F"] and same.before == [
        "",
        "def f():\n    return F",
    ]


def test_the_learners_own_code_is_in_the_cells_once_its_core_works(kata, monkeypatch):
    kata.code.write_text(TEXTBOOK.replace("x / TWO", "x * 0.5"))
    monkeypatch.setattr(paper_notebook.standing_in, "why_not", lambda kata, code: None)
    text, whose = paper_notebook.text(kata)
    assert (
        "return x * 0.5" in text
        and "x / TWO" not in text
        and whose == "its cells have your own code"
    )
    assert "give the kata's exercises away" not in text
    monkeypatch.setattr(
        paper_notebook.standing_in, "why_not", lambda kata, code: unwritten("halve")
    )
    text, whose = paper_notebook.text(kata)
    assert (
        "return x / TWO" in text
        and whose == "its cells have the textbook's code (halve: not written yet)"
    )
    kata.textbook.unlink()
    with pytest.raises(
        NotPossible, match="finish the core of papers/01 first: halve: not written yet"
    ):
        paper_notebook.text(kata)


@pytest.mark.parametrize(
    "kata",
    [kata for kata in PAPERS if kata.number in ("papers/02", "papers/13")],
    ids=str,
)
def test_a_starters_notebook_loads_the_learners_own_code(kata, tmp_path):
    """And has no line of a function or class of the textbook."""
    export.starter(tmp_path / "starter", [kata], None, Rules())
    path = tmp_path / "starter" / handouts.notebook_path(kata).relative_to(ROOT)
    code = "\n".join(notebooks.code(nbformat.read(path, as_version=4)))
    given = kata.code.read_text(encoding="utf-8") + (
        kata.folder / "lesson.py"
    ).read_text(encoding="utf-8")
    secret = [
        line.strip()
        for line in kata.textbook.read_text(encoding="utf-8").splitlines()
        if len(line) >= 30
    ]
    secret = [
        line
        for line in secret
        if line not in given and line not in given.replace("kata.", "")
    ]
    assert len(secret) > 10 and not [line for line in secret if line in code]
    assert "kata = code(__file__)" in code and not any(
        cells.defines(code, name) for name in kata.owners
    )


def test_a_papers_notebook_is_not_taken_for_a_students_work(kata):
    for answers in (None, papers.textbook(kata)):
        with pytest.raises(NotANotebook, match="paper's notebook"):
            notebooks.kata_of(papers.build(kata, answers), [kata])


@pytest.mark.parametrize("kata", PAPERS, ids=lambda kata: kata.name)
def test_the_cells_of_a_notebook_have_every_name_that_they_use(kata):
    """No import of the kata's module, no name from nowhere, none that a function of the
    lesson has as a variable.
    """
    code = notebooks.code(papers.build(kata, papers.textbook(kata)))
    assert cells.nowhere_defined("\n".join(code)) == []
    lesson = ast.parse((kata.folder / "lesson.py").read_text(encoding="utf-8"))
    names = {
        n.attr
        for n in ast.walk(lesson)
        if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "kata"
    }
    functions = [
        node
        for node in ast.walk(lesson)
        if isinstance(node, ast.FunctionDef | ast.Lambda)
    ]
    own = {
        node.arg
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.arg)
    }
    own |= {
        n.id
        for f in functions
        for n in ast.walk(f)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    assert names and not names & own


@pytest.mark.parametrize("address", [ADDRESS, ""])
@pytest.mark.parametrize("has", ["torch_katas-1.2.3-py3-none-any.whl", ""])
def test_the_first_cell_installs_the_wheel_beside_it_or_from_the_address(
    kata, tmp_path, monkeypatch, has, address
):
    """In a Python without packages. A stand-in for pip says what it is told."""
    monkeypatch.setattr(places, "address", lambda: address)
    (tmp_path / "alone").mkdir()
    if has:
        (tmp_path / "alone" / has).touch()
    first = notebooks.code(papers.build(kata, papers.textbook(kata)))[0].partition(
        "\n\nimport numpy"
    )[0]
    code = (
        "import subprocess\n"
        f"subprocess.run = lambda command, check: print(*command[1:])\n{first}"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=tmp_path / "alone",
        capture_output=True,
        text=True,
    )
    if has or address:
        wanted = str(tmp_path / "alone" / has) if has else f"git+{address}"
        assert done.stdout == f"-m pip install -q {wanted}\n", done.stderr
    else:
        assert (
            "upload the course's release file, torch_katas-….whl"
            in done.stderr.splitlines()[-1]
        )


def test_with_an_address_it_opens_in_colab(kata, monkeypatch):
    assert "Colab" not in papers.build(kata).cells[0].source
    monkeypatch.setattr(places, "address", lambda: ADDRESS)
    there = (
        "https://colab.research.google.com/github/who/course/blob/main/katas/papers/"
        "01_halves/pt_01_halves.ipynb"
    )
    assert f"[Open in Colab]({there})" in papers.build(kata).cells[0].source


def test_it_opens_with_the_paper_and_its_goals_and_ends_with_the_tasks(kata):
    first, *_, last = papers.build(kata).cells
    assert "Zeno: [On Halves](https://example.org/halves), 1950" in first.source
    # no link into the repository
    assert "[Zeno's paper](https://example.org/halves) and kata 01." in first.source
    assert (
        "## 1 Goals\n\n- Cut numbers in two.\n\nThe code below loads your own answers"
        in first.source
    )
    assert (
        f"[in NumPy]({papers.ORIGINALS}/blob/main/{kata.folder.name}.ipynb)"
        in first.source
    )
    assert last.source.startswith("## 8 Exercises") and last.source.endswith(
        "- Halve again."
    )


def test_a_stale_notebook_is_noticed_and_the_same_kata_gives_the_same_one(kata):
    [(path, text)] = papers.stale([kata]).items()
    assert path.name == "pt_01_halves.ipynb"
    path.write_text(text)
    assert papers.stale([kata]) == {}
    (kata.folder / "lesson.py").write_text(LESSON.replace("smaller", "tiny"))
    assert list(papers.stale([kata])) == [path]


def test_the_table_has_a_row_for_each_paper(kata):
    [*_, row] = papers.table([kata])
    assert row == (
        "| [01](01_halves/README.md) | [On Halves](https://example.org/halves), Zeno | "
        "1950 | foundational concepts "
        f"| [01]({papers.ORIGINALS}/blob/main/01_halves.ipynb) | "
        "[pt_01](01_halves/pt_01_halves.ipynb) "
        "| a half is less than the whole | 0.5 | planned |"
    )


def test_each_of_the_two_tables_of_results_can_be_written_anew(tmp_path):
    page = tmp_path / "RESULTS.md"
    for others, row in (
        (False, "| 1 |"),
        (True, "| 2 |"),
        (False, "| 3 |"),
        (True, "| 4 |"),
    ):
        key_results.write(page, "papers", [row], others=others)
    text = page.read_text()
    assert [line for line in text.splitlines() if line[2:3].isdigit()] == [
        "| 3 |",
        "| 4 |",
    ]
    assert text.count("# Key results") == text.count("## On other right code") == 1


def test_other_right_code_is_the_textbook_and_each_accepted_solution():
    textbook, *accepted = key_results.other_code(PAPERS[1])
    assert textbook == PAPERS[1].textbook.read_text() and len(accepted) >= 2
    assert all(text.startswith(PAPERS[1].reference.read_text()) for text in accepted)


@pytest.mark.parametrize(
    ("kata", "code"), SAMPLE, ids=lambda given: getattr(given, "name", given)
)
def test_the_notebook_runs_from_top_to_bottom(kata, code):
    """The committed one, which has no outputs; nightly also those of other right code.
    Where a page says that every right solution prints its numbers, these do.
    """
    notebook = nbformat.read(handouts.notebook_path(kata), as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    if code != "textbook":
        module = (
            kata.reference.read_text()
            + "\n\n"
            + (kata.author / "accepted" / code).read_text()
        )
        notebook = papers.build(kata, Answers(module, papers.OWN_CODE))
    place = ROOT / "katas" / "papers"  # the first cell finds the repository from here
    nbclient.NotebookClient(
        notebook, resources={"metadata": {"path": str(place)}}
    ).execute()
    shown = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    assert any("image/png" in output.get("data", {}) for output in shown), (
        "the figure is not shown"
    )
    said = "".join(output.text for output in shown if output.output_type == "stream")
    first = PRINTED.setdefault(kata, said)
    if SAME_NUMBERS in (kata.folder / "README.md").read_text(encoding="utf-8"):
        assert snippets.alike(first, said)


def test_the_coverage_of_the_originals_names_what_is_there():
    """A row per section, in the papers' order; every name in code is an exercise of
    some paper, every link resolves.
    """
    page = PAPERS[0].folder.parent / "COVERAGE.md"
    _, head, table = page.read_text(encoding="utf-8").partition("| --- | --- | --- |\n")
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()]
    assert head and {len(row) for row in rows} == {3}
    numbers = [re.sub(r"\W.*", "", row[0].removeprefix("[")) for row in rows]
    assert numbers == sorted(numbers) and sorted(set(numbers)) == [
        kata.number[-2:] for kata in PAPERS
    ]
    named = set(re.findall(r"`([^`]+)`", table))
    assert named <= {exercise.name for kata in PAPERS for exercise in kata.exercises}
    links = re.findall(r"\]\(([^)]+)\)", table)
    assert links and all((page.parent / link).is_file() for link in links)
