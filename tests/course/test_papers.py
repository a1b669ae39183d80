"""The papers' notebooks: what becomes of a lesson, that they run from top to bottom, and what the track's pages say."""

import os
import re

import nbclient
import nbformat
import pytest

from grader.course import handouts, papers
from grader.course.catalogue import ROOT, Kata, all_katas

PAPERS = [kata for kata in all_katas() if kata.description.paper]
SAMPLE = PAPERS if os.environ.get("ALL_NOTEBOOKS") else PAPERS[1:2]  # the nightly run takes all
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

One half, from [Zeno's paper](https://example.org/halves) and [kata 01](../01_tensors/README.md).

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


@pytest.fixture
def kata(tmp_path) -> Kata:
    """A paper's kata of two steps."""
    kata = Kata(tmp_path, "papers/01_halves")
    kata.folder.mkdir(parents=True)
    for name, text in {"kata.toml": TOML, "README.md": PAGE, "lesson.py": LESSON}.items():
        (kata.folder / name).write_text(text)
    return kata


def test_comments_after_an_empty_line_are_text_and_the_rest_is_code(kata):
    notebook = papers.build(kata)
    nbformat.validate(notebook)
    assert [(cell.cell_type[0], cell.source) for cell in notebook.cells[2:-1]] == [
        ("c", "from grader.lesson import code\n\nkata = code(__file__)"),
        (
            "m",
            "## 2 Recap of the NumPy view\n\nA half is small.\n\n- One item on two lines.\n\n- Another.",
        ),
        ("c", "half = 1 / 2  # a remark"),
        ("m", "A quarter is smaller."),
        ("c", "def quarter(x):\n    # an indented remark\n    return x / 4\n# a remark right below code"),
        ("m", "## 6 Evaluation and figure\n\nLook."),
        ("c", "save_figure(figure, __file__)"),
        ("c", notebook.cells[9].source),
    ]
    assert "Image" in notebook.cells[9].source


def test_it_opens_with_the_paper_and_its_goals_and_ends_with_the_tasks(kata):
    first, *_, last = papers.build(kata).cells
    assert "Zeno: [On Halves](https://example.org/halves), 1950" in first.source
    assert "[Zeno's paper](https://example.org/halves) and kata 01." in first.source  # no link into the repository
    assert "## 1 Goals\n\n- Cut numbers in two.\n\nThe code below" in first.source
    assert f"[in NumPy]({papers.ORIGINALS}/blob/main/{kata.folder.name}.ipynb)" in first.source
    assert last.source.startswith("## 8 Exercises") and last.source.endswith("- Halve again.")


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
        "| [01](01_halves/README.md) | [On Halves](https://example.org/halves), Zeno | 1950 | foundational concepts "
        f"| [01]({papers.ORIGINALS}/blob/main/01_halves.ipynb) | [pt_01](01_halves/pt_01_halves.ipynb) "
        "| a half is less than the whole | 0.5 | planned |"
    )


@pytest.mark.parametrize("kata", SAMPLE, ids=lambda kata: kata.name)
def test_the_committed_notebook_has_no_outputs_and_runs_from_top_to_bottom(kata):
    notebook = nbformat.read(handouts.notebook_path(kata), as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    place = ROOT / "katas" / "papers"  # the first cell finds the repository from here
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(place)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in shown), "the figure is not shown"


def test_the_coverage_of_the_originals_names_what_is_there():
    """A row per section, in the papers' order; every name in code is an exercise of some paper, every link resolves."""
    page = PAPERS[0].folder.parent / "COVERAGE.md"
    _, head, table = page.read_text(encoding="utf-8").partition("| --- | --- | --- |\n")
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()]
    assert head and {len(row) for row in rows} == {3}
    numbers = [re.sub(r"\W.*", "", row[0].removeprefix("[")) for row in rows]
    assert numbers == sorted(numbers) and sorted(set(numbers)) == [kata.number[-2:] for kata in PAPERS]
    named = set(re.findall(r"`([^`]+)`", table))
    assert named <= {exercise.name for kata in PAPERS for exercise in kata.exercises}
    links = re.findall(r"\]\(([^)]+)\)", table)
    assert links and all((page.parent / link).is_file() for link in links)
