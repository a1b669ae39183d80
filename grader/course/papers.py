"""A paper's notebook, built from kata.toml, README.md and lesson.py, and the table that lists all papers."""

import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from grader.course import notebooks
from grader.course.catalogue import Kata
from grader.course.handouts import notebook_path

ORIGINALS = "https://github.com/pageman/sutskever-30-implementations"
COLAB = "https://colab.research.google.com/github/torch-katas/torch-katas/blob/main"
SECTIONS = {
    2: "Recap of the NumPy view",
    3: "Data",
    4: "Model",
    5: "Training loop",
    6: "Evaluation and figure",
    7: "NumPy against PyTorch",
}
STEP = re.compile(r"^# (\d)\. (.+)\n(?:#\n)?", re.MULTILINE)
HEADING = re.compile(r"^heading\(.*\)\n", re.MULTILINE)  # printed by the lesson; the notebook's text has it already
TEXT = re.compile(r"(?:^#(?: .*)?\n)+", re.MULTILINE)
QUICKSTART = f"""\
# Quickstart: find the repository, or clone it; then versions, device and seed, and three basics of tensors.
{notebooks.FIND_OR_CLONE}__file__ = str(here / "katas/{{kata}}/lesson.py")  # the code below is this file's
sys.argv[:] = [__file__]

import numpy as np
import torch

print("Python", sys.version.split()[0], "· torch", torch.__version__, "· NumPy", np.__version__)
print("a GPU is there, the models here are too small for it" if torch.cuda.is_available() else "on the CPU")
torch.manual_seed(0)

x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
print("1. A tensor has a shape, a dtype and a device:", tuple(x.shape), x.dtype, x.device)
(x**2).sum().backward()
print("2. backward() fills .grad, here with 2x:", x.grad.tolist())
array = np.zeros(2)
torch.from_numpy(array)[0] = 7.0
print("3. torch.from_numpy shares the array's memory:", array)"""


def stale(katas: Iterable[Kata]) -> dict[Path, str]:
    """The papers' notebooks that differ from their katas, each with its up-to-date text."""
    found = {}
    for kata in katas:
        if kata.description.paper and (kata.folder / "README.md").is_file():
            path, text = notebook_path(kata), nbformat.writes(build(kata)) + "\n"
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                found[path] = text
    return found


def build(kata: Kata) -> nbformat.NotebookNode:
    """The notebook of a paper: eight sections, without outputs.

    Sections 2 to 7 are the numbered steps of lesson.py: comments that follow an empty line become text. Section 1 is
    made of kata.toml and the page's first paragraph, section 8 of the page's notebook tasks.
    """
    page = (kata.folder / "README.md").read_text(encoding="utf-8")
    lesson = (kata.folder / "lesson.py").read_text(encoding="utf-8")
    before, *steps = re.split(r"^(?=# \d\. )", lesson, flags=re.MULTILINE)
    body = [
        new_markdown_cell(_goals(kata, page)),
        new_code_cell(QUICKSTART.format(repository=notebooks.REPOSITORY, kata=kata.name)),
        new_code_cell(_without_docstring(before)),
    ]
    for step in steps:
        body += _cells(step)
        if SECTIONS[6] in step.partition("\n")[0]:
            body.append(new_code_cell(notebooks.figure(kata).partition("\n")[2]))
    body.append(new_markdown_cell(_tasks(page)))
    return notebooks.assembled(body)


def sections(lesson: str) -> dict[int, str]:
    """The numbered steps of a lesson.py and their titles."""
    return {int(number): title for number, title in STEP.findall(lesson)}


def table(katas: Iterable[Kata]) -> list[str]:
    """The tracking table of the papers: one row each."""
    rows = [
        "| | paper | year | phase | NumPy original | notebook | key result, rebuilt | seconds | status |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kata in katas:
        about, name = kata.description.paper, kata.folder.name
        if about is None:
            continue
        original = f"[{name[:2]}]({_original(kata)})"
        notebook = f"[pt_{name[:2]}]({name}/{notebook_path(kata).name})"
        rows.append(
            f"| [{name[:2]}]({name}/README.md) | [{about.title}]({about.url}), {about.authors} | {about.year} | "
            f"{kata.description.chapter} | {original} | {notebook} | {about.result} | {about.seconds:g} | "
            f"{'complete' if kata.description.finished else 'planned'} |"
        )
    return rows


def _original(kata: Kata) -> str:
    """The address of the paper's NumPy version."""
    return f"{ORIGINALS}/blob/main/{kata.folder.name}.ipynb"


def _goals(kata: Kata, page: str) -> str:
    about = kata.description.paper
    assert about is not None
    paragraphs = [part for part in page.partition("\n## ")[0].split("\n\n")[2:] if not part.strip().startswith("!")]
    goals = page.partition("\n## Objectives\n")[2].partition("\n## ")[0].strip()
    opened = f"{COLAB}/katas/{kata.name}/{notebook_path(kata).name}"
    parts = [
        f"# {kata.folder.name[:2]} · {kata.title}",
        f"{about.authors}: [{about.title}]({about.url}), {about.year}. [Open in Colab]({opened}). "
        f"The same paper [in NumPy]({_original(kata)}), by another author.",
        *(notebooks.without_links(part.strip()) for part in paragraphs),
        "## 1 Goals",
        notebooks.without_links(goals),
        "The code below runs on your own answers to the kata's exercises where they work, and on the "
        "reference where they do not.",
    ]
    return "\n\n".join(parts)


def _cells(step: str) -> list[nbformat.NotebookNode]:
    """The cells of one step: text wherever a comment follows an empty line, code between."""
    found, code = [], ""
    for part in re.split(r"(?:(?<=\n\n)|\A)(?=#(?: |\n))", HEADING.sub("", step)):
        text = TEXT.match(part)
        if text is None:  # code before the first comment
            code += part
            continue
        if code.strip():
            found.append(new_code_cell(code.strip("\n")))
        found.append(new_markdown_cell(_markdown(text[0])))
        code = part[text.end() :]
    return [*found, new_code_cell(code.strip("\n"))] if code.strip() else found


def _markdown(comment: str) -> str:
    """Comment lines as text: one line per paragraph, "# 2. Data" as a heading."""
    heading = STEP.match(comment)
    lines = [line[2:] for line in (comment[heading.end() :] if heading else comment).splitlines()]
    paragraphs = re.split(r"\n\n+|\n(?=- )", "\n".join(lines).strip())
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return f"## {heading[1]} {heading[2]}\n\n{text}".strip() if heading else text


def _without_docstring(code: str) -> str:
    return re.sub(r'\A"""(?s:.*?)"""\n+', "", code).strip("\n")


def _tasks(page: str) -> str:
    tasks = page.partition("\n### Notebook tasks\n")[2].partition("\n## ")[0].strip()
    intro = "Open ends, without specs: copy a cell, change it, and look."
    return f"## 8 Exercises\n\n{intro}\n\n{notebooks.without_links(tasks)}"
