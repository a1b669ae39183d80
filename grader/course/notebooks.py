"""Build a kata's notebook from its lesson and code, with a check below each exercise,
and get the code back from it.
"""

import json
import re
import subprocess
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grader import printable
from grader.course import cells, lesson_code, parts, places, statements, stubs
from grader.course.catalogue import Kata
from grader.errors import NotANotebook

LARGEST = 50_000_000  # bytes; plots make notebooks large
# characters in all code cells: a kata's file may have no more, and parsing takes
# its time
MOST_CODE = 1_000_000
# in the whole file, and but for outputs: validating them takes its time
MOST_VALUES, MOST_OBJECTS = 400_000, 20_000
MOST_NOTES = 5  # on one notebook that was handed in
FIND = """\
import pathlib, subprocess, sys
around = [pathlib.Path.cwd(), *pathlib.Path.cwd().parents]
marks = ("grader/lesson.py", ".kata-room")
here = next((p for p in around if any((p / mark).exists() for mark in marks)), None)
if here is None:
    {elsewhere}
sys.path.insert(0, str(here))
"""
NOT_FOUND = (
    'raise FileNotFoundError("no course around this notebook: upload or clone it, and '
    'put the notebook into it")'
)
CLONE = """\
here = pathlib.Path("torch-katas").resolve()
    if not here.exists():
        clone = ["git", "clone", "--depth", "1", "{repository}", here]
        subprocess.run(clone, check=True)
    install = [sys.executable, "-m", "pip", "install", "-q", "-e", here]
    subprocess.run(install, check=True)"""
START = """\
# lesson: find the course
{find}from grader.learner.notebook_check import check, hint, mine, trace, use
use("{kata}")"""
FIGURE = """\
# lesson: the figure
from IPython.display import Image
from pathlib import Path
Image(str(Path(__file__).parents[{depth}] / ".kata" / "figures" / "{kata}.png"))"""
SSH = re.compile(r"(?:ssh://)?git@([^:/]+)[:/]")


def build(kata: Kata, module: str, repository: str = "") -> nbformat.NotebookNode:
    """Build the kata's notebook.

    Args:
        module: the text of the kata's file, either the stub or the learner's code
            so far.
        repository: what the notebook clones if it is opened outside of a checkout;
            without one, it says what to do.
    Raises:
        NotANotebook: the file does not parse and cannot be cut into cells.
    """
    page = (kata.folder / "README.md").read_text(encoding="utf-8")
    start = new_code_cell(START.format(kata=kata.name, find=find(repository)))
    return assembled(
        [start, *_lesson(page), *after_the_page(kata, module)], kata=kata.name
    )


def find(repository: str) -> str:
    """The lines of a first cell that find the course around the notebook, or clone it
    from this address if given.
    """
    return FIND.format(
        elsewhere=CLONE.format(repository=repository) if repository else NOT_FOUND
    )


def after_the_page(kata: Kata, module: str) -> list[nbformat.NotebookNode]:
    """The notebook's cells that are made of lesson.py and of the module."""
    try:
        segments = cells.cut(module, kata.owners)
    except statements.UNREADABLE as error:
        where, reason = (
            getattr(error, "lineno", "?"),
            getattr(error, "msg", "nested too deeply"),
        )
        text = (
            f"katas/{kata.file}:{where}: {reason}: a half-written file cannot be cut "
            "into cells"
        )
        raise NotANotebook(text) from None
    body = [
        new_code_cell(f"# lesson {number}\n{step}")
        for number, step in enumerate(_steps(kata), start=1)
    ]
    body.append(new_code_cell(figure(kata)))
    body.append(
        new_markdown_cell(
            "## Your turn\n\nWrite a cell, run it, and then run the check below it."
        )
    )
    first = cells.up_front(segments)
    for place in [
        *first,
        *(place for place in range(len(segments)) if place not in first),
    ]:
        segment = segments[place]
        exercises = [
            exercise
            for exercise in kata.exercises
            if exercise.owner == segment.exercise
        ]
        for exercise in exercises:
            kind = "stretch" if exercise.stretch else "core"
            body.append(new_markdown_cell(f"### `{exercise.name}` · {kind}"))
        body.append(
            new_code_cell(
                segment.text,
                metadata={"kata": {"place": place, "after": segment.after}},
            )
        )
        for exercise in exercises:
            body.append(
                new_code_cell(
                    f'# check (also: hint("{exercise.name}"), '
                    f'trace("{exercise.name}"))\ncheck("{exercise.name}")'
                )
            )
    if kata.name in parts.BY_KATA:
        body.append(
            new_code_cell("# lesson: your own GPT, with the code of the cells\nmine()")
        )
    return body


def assembled(
    body: list[nbformat.NotebookNode], **metadata: str
) -> nbformat.NotebookNode:
    """A Python notebook of these cells, the same at every call: the cells' ids are
    their numbers.
    """
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    known = {**metadata, "kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = new_notebook(cells=body, metadata=known)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def figure(kata: Kata) -> str:
    """The cell that shows the figure which the kata's lesson has drawn."""
    return FIGURE.format(kata=kata.name, depth=kata.name.count("/") + 2)


def origin(root: Path) -> str:
    """The HTTPS address to clone the checkout at `root` from, without credentials;
    without one, the course's own.
    """
    if places.is_workspace(root):  # whose repository is the learner's
        return places.address()
    command = ["git", "-C", str(root), "config", "--get", "remote.origin.url"]
    try:
        remote = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace"
        ).stdout.strip()
    except FileNotFoundError:  # git is not installed
        return places.address()
    url = re.sub(r"//[^/]*@", "//", SSH.sub(r"https://\1/", remote))
    return url if url.startswith("https://") else places.address()


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook file.

    Raises:
        NotANotebook: the file is not a valid notebook. The message says where it
            is wrong.
    """
    try:
        with path.open("rb") as file:
            return parsed(file.read(LARGEST + 1))
    except OSError as error:
        raise NotANotebook(f"{path.name}: {error.strerror}") from None
    except NotANotebook as failure:
        raise NotANotebook(f"{path.name}: {failure}") from None


def parsed(data: bytes) -> nbformat.NotebookNode:
    """The notebook that these bytes are.

    Raises:
        NotANotebook: they are not a valid notebook. The message says where they are
            wrong, and names no file.
    """
    if len(data) > LARGEST:
        raise NotANotebook("is too large, the limit is 50 MB")
    try:
        text = data.decode("utf-8")
        read = (
            json.dumps(json.loads(text, object_hook=_without_outputs))
            if text.count(",") < MOST_VALUES
            else ""
        )
        if not read or read.count("{") > MOST_OBJECTS:
            raise NotANotebook("holds too many cells or values")
        # of cells without ids, or with one id
        with warnings.catch_warnings(action="ignore"):
            notebook = nbformat.reads(read, as_version=4)
            nbformat.validate(notebook)
    except NotANotebook:
        raise
    except UnicodeDecodeError:
        raise NotANotebook("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        if cells.is_python(text):
            raise NotANotebook("is a Python file: its name should end in .py") from None
        where = f"line {error.lineno}, column {error.colno}"
        raise NotANotebook(f"{where}: {error.msg}: not a notebook") from None
    except RecursionError:
        raise NotANotebook("nested too deeply to be a notebook") from None
    except Exception as error:
        # nbformat raises exceptions of many types, even KeyError
        where = (
            "/".join(map(str, getattr(error, "absolute_path", []))) or "the whole file"
        )
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotANotebook(f"{where}: {said[:200]}: not a valid notebook") from None
    if sum(map(len, code(notebook))) > MOST_CODE:
        raise NotANotebook("holds more than 1 MB of code")
    return notebook


def _without_outputs(found: dict[str, Any]) -> dict[str, Any]:
    """The object without what a cell has printed, which nobody reads and which takes
    long to validate.
    """
    return found | {"outputs": []} if "outputs" in found else found


def kata_of(notebook: nbformat.NotebookNode, katas: Iterable[Kata]) -> Kata:
    """The kata of a notebook: the one that its metadata names, or else the one with the
    most exercises defined in it.

    Raises:
        NotANotebook: no cell defines an exercise, or it is a paper's notebook, whose
            cells have the course's answers.
    """
    if "paper" in notebook.metadata:
        raise NotANotebook(
            "is a paper's notebook, which shows answers: hand in the kata's own file"
        )
    by_name = {kata.name: kata for kata in katas}
    named = notebook.metadata.get("kata")
    if isinstance(named, str) and named in by_name:
        return by_name[named]
    source = "\n".join(code(notebook))
    defined = set(re.findall(r"^(?:async def|def|class) (\w+)", source, re.MULTILINE))
    best = max(
        by_name.values(),
        key=lambda kata: len(defined.intersection(kata.owners)),
        default=None,
    )
    if best is None or defined.isdisjoint(best.owners):
        raise NotANotebook("no cell defines an exercise of a kata")
    return best


def code(notebook: nbformat.NotebookNode) -> list[str]:
    """The texts of all code cells."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def writes(notebook: nbformat.NotebookNode, kata: Kata) -> bool:
    """Tell if a cell writes code of the kata's exercises to a file of the
    kata's name.
    """
    written = [cell for cell in code(notebook) if cells.writes(cell, kata.file.name)]
    return any(cells.defines(cell, name) for cell in written for name in kata.owners)


@dataclass(frozen=True)
class HandedIn:
    """The text of a kata's file in a notebook that was handed in, and a line on each
    thing that is not as expected.
    """

    text: str
    notes: tuple[str, ...]


def handed_in(notebook: nbformat.NotebookNode, kata: Kata) -> HandedIn:
    """The text of the kata's file as it counts for grading. A cell that does not parse
    costs its own exercise only.

    Raises:
        NotANotebook: a magic hides the code of an exercise.
    """
    joined = _joined(notebook, kata)
    notes = [*(_undefined(name, notebook) for name in joined.undefined), *joined.notes]
    if len(notes) > MOST_NOTES:
        notes[MOST_NOTES:] = [f"and {len(notes) - MOST_NOTES} more"]
    text = joined.text if notes else module(notebook, kata)
    return HandedIn(
        text.encode("utf-8", "replace").decode(), tuple(map(printable.line, notes))
    )


def module(notebook: nbformat.NotebookNode, kata: Kata) -> str:
    """The text of the kata's file in the notebook, as somebody goes on to write it.

    While the notebook has the code cells of `build` and no others, their texts are
    joined character by character. Otherwise `cells.join` finds the definitions.

    Raises:
        NotANotebook: a magic hides the code of an exercise.
    """
    all_code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    own = sorted(
        (cell for cell in all_code if _mark(cell)),
        key=lambda cell: _mark(cell)["place"],
    )
    text = "".join(cell.source + _mark(cell)["after"] for cell in own)
    others = [
        cell.source
        for cell in all_code
        if not _mark(cell) and not cells.NOT_CODE.match(cell.source)
    ]
    if own and not "".join(others).strip() and _is_plain(text, kata.owners):
        return text
    return _joined(notebook, kata).text


def _joined(notebook: nbformat.NotebookNode, kata: Kata) -> cells.Joined:
    texts = [cell.source if cell.cell_type == "code" else "" for cell in notebook.cells]
    joined = cells.join(texts, kata.owners, stub(kata), kata.file.name)
    if joined.hidden:
        raise NotANotebook(printable.line(joined.hidden))
    return joined


def _undefined(name: str, notebook: nbformat.NotebookNode) -> str:
    """The message about an exercise that no cell of the module defines."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cells.defines(cell.source, name):
            kind = {
                "code": "a lesson or check cell",
                "markdown": "a Markdown cell",
            }.get(cell.cell_type, "a raw cell")
            kind = (
                "which a later cell writes over" if cells.magic(cell.source) else kind
            )
            return (
                f"{name} is only in cell {number}, {kind}: put it into a code cell of "
                "its own"
            )
    return f"{name} is not in the notebook"


def stub(kata: Kata) -> str:
    """The kata's stub, or the learner's file where it cannot be had."""
    return stubs.stub_of(kata) or kata.code.read_text(encoding="utf-8")


def _mark(cell: nbformat.NotebookNode) -> dict[str, Any]:
    """The metadata with which `build` marks a cell of the module, or an empty dict."""
    mark = cell.metadata.get("kata")
    is_ours = (
        isinstance(mark, dict)
        and isinstance(mark.get("after"), str)
        and isinstance(mark.get("place"), int)
    )
    return mark if is_ours else {}


def _is_plain(text: str, names: Iterable[str]) -> bool:
    """Tell if the text has no notebook syntax and defines every exercise
    exactly once.
    """
    return cells.python(text) == text.rstrip("\n") and all(
        len(re.findall(rf"^(?:def|class) {n}\b", text, re.MULTILINE)) == 1
        for n in names
    )


def without_links(page: str) -> str:
    """The page without links and pictures that need files of the repository: they
    become plain text.
    """
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"*Figure: \1*", page)
    return re.sub(r"\[([^\]\n]*)\]\((?!https?://)[^)\s]+\)", r"\1", text)


def _lesson(page: str) -> list[nbformat.NotebookNode]:
    """The lesson up to its exercises: a cell per section and per snippet."""
    page = page.partition("\n## Exercises\n")[0]
    found = []
    for place, part in enumerate(lesson_code.BLOCK.split(page)):
        if place % 2:
            found.append(
                new_code_cell(
                    f"# lesson: a snippet\n{lesson_code.without_output(part)}"
                )
            )
            continue
        sections = re.split(r"^(?=##+ )", without_links(part), flags=re.MULTILINE)
        found += [
            new_markdown_cell(section.strip())
            for section in sections
            if section.strip()
        ]
    return found


def _steps(kata: Kata) -> list[str]:
    """Cut lesson.py into its introduction and its numbered steps."""
    text = (kata.folder / "lesson.py").read_text(encoding="utf-8")
    return [
        part.strip("\n")
        for part in re.split(r"^(?=# \d+\. )", text, flags=re.MULTILINE)
        if part.strip()
    ]
