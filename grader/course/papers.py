"""A paper's notebook, built from kata.toml, README.md and lesson.py, and the table that
lists all papers.
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from grader.course import definitions, notebooks, places, stubs
from grader.course.catalogue import Kata
from grader.course.handouts import notebook_path

ORIGINALS = "https://github.com/pageman/sutskever-30-implementations"
GITHUB, COLAB = "https://github.com/", "https://colab.research.google.com/github/"
SECTIONS = {
    2: "Recap of the NumPy view",
    3: "Data",
    4: "Model",
    5: "Training loop",
    6: "Evaluation and figure",
    7: "NumPy against PyTorch",
}
STEP = re.compile(r"^# (\d)\. (.+)\n(?:#\n)?", re.MULTILINE)
# printed by the lesson; the notebook's text has it already
HEADING = re.compile(r"^heading\(.*\)\n", re.MULTILINE)
TEXT = re.compile(r"(?:^#(?: .*)?\n)+", re.MULTILINE)
# a cell has that code
SHOWN = re.compile(
    r'(?:^ *print\("[^"\n]*:"\)\n)?(?:^ *shown_code\(.*\)\n)+', re.MULTILINE
)
SAVED = "save_figure(figure, __file__)"
OWN = re.compile(r": your own where the core of the kata works(?=\.)")
RESULTS = "RESULTS.md"  # of a track
OF_LESSONS = "grader.lesson"
OWN_CODE = "your own"
FIND = """\
# Quickstart: find the course; then versions, device and seed, and three basics of
# tensors.
{find}__file__ = str(here / "katas/{kata}/lesson.py")  # the code below is this file's
sys.argv[:] = [__file__]
"""
INSTALL = """\
# Quickstart: the package, from a checkout around this notebook, an installation, or a
# release file beside it.
import importlib, pathlib, subprocess, sys
here = pathlib.Path.cwd()
checkout = [p for p in [here, *here.parents] if (p / "grader/lesson.py").exists()][:1]
sys.path[:0] = map(str, checkout)
try:
    import grader.lesson
except ModuleNotFoundError:
    wheels = sorted(here.glob("torch_katas-*.whl"), reverse=True)
    sources = [*checkout, *wheels{published}]
    if not sources:
        raise FileNotFoundError(
            "upload the course's release file, torch_katas-….whl, beside this notebook"
        ) from None
    install = [sys.executable, "-m", "pip", "install", "-q", str(sources[0])]
    subprocess.run(install, check=True)
    importlib.invalidate_caches()
"""
BASICS = """
import numpy as np
import torch

print("Python", sys.version.split()[0])
print("torch", torch.__version__, "· NumPy", np.__version__)
if torch.cuda.is_available():
    print("a GPU is there, the models here are too small for it")
else:
    print("on the CPU")
torch.manual_seed(0)

x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
print("1. A tensor has a shape, a dtype and a device:")
print("  ", tuple(x.shape), x.dtype, x.device)
(x**2).sum().backward()
print("2. backward() fills .grad, here with 2x:", x.grad.tolist())
array = np.zeros(2)
torch.from_numpy(array)[0] = 7.0
print("3. torch.from_numpy shares the array's memory:", array)"""


@dataclass(frozen=True)
class Answers:
    """Code for a kata's exercises, which a notebook has in cells, and whose it is:
    "the textbook's".
    """

    module: str
    whose: str


def stale(katas: Iterable[Kata]) -> dict[Path, str]:
    """The papers' notebooks that differ from their katas, each with its
    up-to-date text.
    """
    found = {}
    for kata in katas:
        if kata.description.paper and (kata.folder / "README.md").is_file():
            path, text = notebook_path(kata), written(build(kata, textbook(kata)))
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                found[path] = text
    return found


def textbook(kata: Kata) -> Answers | None:
    """The textbook's answers, where they may be seen."""
    if not kata.textbook.is_file():
        return None
    return Answers(kata.textbook.read_text(encoding="utf-8"), "the textbook's")


def handed_out(kata: Kata, path: Path) -> bytes:
    """The content of one of the learner's files where no answers may be.

    The kata's file is its stub, whatever is in katas/. The notebook loads the learner's
    own code.
    """
    if path == kata.code:
        return stubs.content(kata)
    if path == notebook_path(kata) and kata.description.paper:
        return written(build(kata)).encode()
    return path.read_bytes()


def written(notebook: nbformat.NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"


def build(kata: Kata, answers: Answers | None = None) -> nbformat.NotebookNode:
    """The notebook of a paper: eight sections, without outputs.

    Sections 2 to 7 are the numbered steps of lesson.py: comments that follow an empty
    line become text. Section 1 is made of kata.toml and the page's first paragraph,
    section 8 of the page's notebook tasks. Each definition of the answers gets into a
    cell before its first use. Without answers, the notebook loads the learner's
    module instead.

    Raises:
        NotANotebook: the lesson and the answers use one name for two things.
    """
    page = (kata.folder / "README.md").read_text(encoding="utf-8")
    lesson = (kata.folder / "lesson.py").read_text(encoding="utf-8")
    before, *steps = re.split(
        r"^(?=# \d\. )", _alone(lesson) if answers else lesson, flags=re.MULTILINE
    )
    body = [new_code_cell(_without_docstring(before))]
    for step in steps:
        body += _cells(step)
        if SECTIONS[6] in step.partition("\n")[0] and not answers:
            body.append(new_code_cell(notebooks.figure(kata).partition("\n")[2]))
    repository = places.address()
    published = f', "git+{repository}"' if repository else ""
    if answers:
        quickstart = INSTALL.format(published=published)
    else:
        quickstart = FIND.format(find=notebooks.find(repository), kata=kata.name)
    body = [
        new_markdown_cell(_goals(kata, page, answers)),
        new_code_cell(quickstart + BASICS),
        *(_with_answers(body, answers) if answers else body),
        new_markdown_cell(_tasks(page)),
    ]
    return notebooks.assembled(body, paper=kata.name)


def sections(lesson: str) -> dict[int, str]:
    """The numbered steps of a lesson.py and their titles."""
    return {int(number): title for number, title in STEP.findall(lesson)}


def table(katas: Iterable[Kata]) -> list[str]:
    """The tracking table of the papers: one row each."""
    rows = [
        (
            "| | paper | year | phase | NumPy original | notebook | key result, "
            "rebuilt | seconds | status |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kata in katas:
        about, name = kata.description.paper, kata.folder.name
        if about is None:
            continue
        original = f"[{name[:2]}]({_original(kata)})"
        notebook = f"[pt_{name[:2]}]({name}/{notebook_path(kata).name})"
        rows.append(
            f"| [{name[:2]}]({name}/README.md) | [{about.title}]({about.url}), "
            f"{about.authors} | {about.year} | "
            f"{kata.description.chapter} | {original} | {notebook} | {about.result} | "
            f"{about.seconds:g} | {_status(kata)} |"
        )
    return rows


def _status(kata: Kata) -> str:
    """What a reader finds there: "specs, notebook, 2 results over five seeds"."""
    page = kata.folder.parent / RESULTS
    rows = (
        page.read_text(encoding="utf-8").partition("\n## ")[0].splitlines()
        if page.is_file()
        else []
    )
    count = sum(row.startswith(f"| {kata.number} |") for row in rows)
    parts = {
        "specs": kata.description.finished,
        "notebook": notebook_path(kata).is_file(),
        f"{count} result{'s' if count > 1 else ''} over five seeds": count,
    }
    return ", ".join(part for part, is_there in parts.items() if is_there) or "planned"


def _original(kata: Kata) -> str:
    """The address of the paper's NumPy version."""
    return f"{ORIGINALS}/blob/main/{kata.folder.name}.ipynb"


def _alone(lesson: str) -> str:
    """The lesson as it runs beside the definitions that it uses, without the
    kata's module.
    """
    text = SHOWN.sub("", HEADING.sub("", lesson)).replace(SAVED, "Picture(figure)")
    text = re.sub(r"^kata = code\(__file__\)\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\bkata\.(?=[A-Za-z_])", "", text)


def _with_answers(
    body: list[nbformat.NotebookNode], answers: Answers
) -> list[nbformat.NotebookNode]:
    """The cells, of which the first holds the lesson's imports, with cells of the
    answers between them.
    """
    imports, rest = _imports(body[0].source)
    body = [new_code_cell(rest), *body[1:]]
    code = [cell.source if cell.cell_type == "code" else "" for cell in body]
    dealt = definitions.deal(answers.module, code)
    used = {
        node.id
        for text in code
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Name)
    }
    helpers = sorted(used & {"COLOURS", "Picture", "stretch"})
    lines = dict.fromkeys(
        [*dealt.imports, *imports, f"from {OF_LESSONS} import {', '.join(helpers)}"]
    )
    found = []
    for cell, text in zip(body, dealt.before, strict=True):
        if text:
            found.append(
                new_code_cell(
                    f"# lesson: {answers.whose} code, to be copied and changed\n{text}"
                )
            )
        if cell.cell_type == "markdown":
            cell = new_markdown_cell(OWN.sub("", cell.source))
        found.append(cell)
    if not dealt.before[0]:  # the rest of the lesson's first part needs no answer
        lines |= {f"\n{found.pop(0).source}": None}
    return [new_code_cell("\n".join(lines).strip()), *found]


def _imports(code: str) -> tuple[list[str], str]:
    """The imports at the top of a lesson without its helpers, each as a line, and the
    code after them.
    """
    body = ast.parse(code).body
    top = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    kept = [
        node
        for node in top
        if not (isinstance(node, ast.ImportFrom) and node.module == OF_LESSONS)
    ]
    end = max(node.end_lineno or 0 for node in top)
    return [ast.unparse(node) for node in kept], "\n".join(
        code.splitlines()[end:]
    ).strip("\n")


def _goals(kata: Kata, page: str, answers: Answers | None) -> str:
    about = kata.description.paper
    assert about is not None
    paragraphs = [
        part
        for part in page.partition("\n## ")[0].split("\n\n")[2:]
        if not part.strip().startswith("!")
    ]
    goals = page.partition("\n## Objectives\n")[2].partition("\n## ")[0].strip()
    repository, opened = places.address(), ""
    if repository.startswith(GITHUB):
        page_there = (
            f"{repository.replace(GITHUB, COLAB)}/blob/main/katas/{kata.name}"
            f"/{notebook_path(kata).name}"
        )
        opened = f"[Open in Colab]({page_there}). "
    parts = [
        f"# {kata.folder.name[:2]} · {kata.title}",
        f"{about.authors}: [{about.title}]({about.url}), {about.year}. {opened}"
        f"The same paper [in NumPy]({_original(kata)}), by another author.",
        *(notebooks.without_links(part.strip()) for part in paragraphs),
        "## 1 Goals",
        notebooks.without_links(goals),
        _about(kata, answers),
    ]
    return "\n\n".join(parts)


def _about(kata: Kata, answers: Answers | None) -> str:
    own = f"`kata notebook {kata.number} --paper` writes"
    if answers is None:
        return (
            "The code below loads your own answers once the core of the kata works. "
            f"{own} them into its cells."
        )
    told = (
        f"Each function and class is in a cell before its first use: {answers.whose} "
        "code. Copy such a cell, change "
        "it, and run it and the cells below: they use what it defines."
    )
    if answers.whose == OWN_CODE:
        return told
    return (
        f"{told}\n\n"
        "These cells give the kata's exercises away. Once the core of the kata works, "
        f"{own} this notebook with your own code."
    )


def _cells(step: str) -> list[nbformat.NotebookNode]:
    """The cells of one step: text wherever a comment follows an empty line,
    code between.
    """
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
    lines = [
        line[2:]
        for line in (comment[heading.end() :] if heading else comment).splitlines()
    ]
    paragraphs = re.split(r"\n\n+|\n(?=- )", "\n".join(lines).strip())
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return f"## {heading[1]} {heading[2]}\n\n{text}".strip() if heading else text


def _without_docstring(code: str) -> str:
    return re.sub(r'\A"""(?s:.*?)"""\n+', "", code).strip("\n")


def _tasks(page: str) -> str:
    tasks = page.partition("\n### Notebook tasks\n")[2].partition("\n## ")[0].strip()
    intro = "Open ends, without specs: copy a cell, change it, and look."
    return f"## 8 Exercises\n\n{intro}\n\n{notebooks.without_links(tasks)}"
