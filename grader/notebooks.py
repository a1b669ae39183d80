"""Notebooks: one a kata, with its lesson, its exercises and a check behind each; and back from a notebook to the kata's file."""

import ast
import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grader import catalogue, cells, learner
from grader.catalogue import Kata, UnknownKata

LARGEST = 50_000_000  # bytes: plots make notebooks large
START = '''\
# lesson: find the repository, or clone it where it is not
import pathlib, subprocess, sys
here = next((p for p in [pathlib.Path.cwd(), *pathlib.Path.cwd().parents] if (p / "grader" / "catalogue.py").exists()), None)
if here is None:
    here = pathlib.Path("torch-katas").resolve()
    if not here.exists():
        subprocess.run(["git", "clone", "--depth", "1", "{repository}", str(here)], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", str(here)], check=True)
sys.path.insert(0, str(here))
__file__ = str(here / "katas" / "{kata}" / "lesson.py")
sys.argv = [__file__]
from grader.notebook_check import check, hint, use
use("{kata}")'''
REPOSITORY = "https://github.com/torch-katas/torch-katas"
SSH = re.compile(r"(?:ssh://)?git@([^:/]+)[:/]")


class NotANotebook(Exception):
    """The file cannot be read as a notebook of a kata. The message is one line that says where."""


def build(kata: Kata, module: str, repository: str = REPOSITORY) -> nbformat.NotebookNode:
    """The kata's notebook around the text of its file: the stub's, or what the learner has written so far. Where it is opened
    outside of a checkout, it clones the repository.

    Raises:
        NotANotebook: the file does not parse, so that it cannot be cut into cells.
    """
    exercises = {exercise.name: exercise for exercise in catalogue.exercises(kata)}
    try:
        segments = cells.cut(module, exercises)
    except SyntaxError as error:
        raise NotANotebook(f"katas/{kata.file}:{error.lineno}: {error.msg}: a half-written file cannot be cut into cells") from None
    page = (kata.folder / "README.md").read_text(encoding="utf-8")
    body = [new_code_cell(START.format(kata=kata.name, repository=repository)), new_markdown_cell(_for_notebook(page))]
    body += [new_code_cell(f"# lesson {number}\n{step}") for number, step in enumerate(_steps(kata), start=1)]
    body.append(new_code_cell(FIGURE))
    body.append(new_markdown_cell("## Your turn\n\nRun each cell after you have written it, and then the check below it."))
    first = cells.up_front(segments)
    for place in [*first, *(place for place in range(len(segments)) if place not in first)]:
        segment = segments[place]
        exercise = exercises.get(segment.exercise)
        if exercise:
            kind = "stretch" if exercise.stretch else "core"
            body.append(new_markdown_cell(f"### `{exercise.name}` · {kind}"))
        body.append(new_code_cell(segment.text, metadata={"kata": {"place": place, "after": segment.after}}))
        if exercise:
            body.append(new_code_cell(f'# check (and for a hint: hint("{exercise.name}"))\ncheck("{exercise.name}")'))
    metadata = {"kata": kata.name, "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = new_notebook(cells=body, metadata={**metadata, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # not drawn at random: the same kata gives the same notebook
    return notebook


def origin(root: Path) -> str:
    """Where anybody can clone the checkout at `root` from, without what its owner logs in with; where it comes from no server, our own
    repository."""
    try:
        said = subprocess.run(["git", "-C", root, "config", "--get", "remote.origin.url"], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no git
        return REPOSITORY
    url = re.sub(r"//[^/]*@", "//", SSH.sub(r"https://\1/", said))
    return url if url.startswith("https://") else REPOSITORY


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook file.

    Raises:
        NotANotebook: it is none; says where.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise NotANotebook(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB is too large, the limit is 50 MB")
        text = path.read_text(encoding="utf-8")
        json.loads(text)
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except OSError as error:
        raise NotANotebook(f"{path.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise NotANotebook(f"{path.name}: is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise NotANotebook(f"{path.name}: line {error.lineno}, column {error.colno}: {error.msg}: not a notebook") from None
    except RecursionError:
        raise NotANotebook(f"{path.name}: nested too deep to be a notebook") from None
    except Exception as error:  # nbformat's own, of several kinds, down to KeyError
        where = "/".join(map(str, getattr(error, "absolute_path", []))) or "the whole"
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotANotebook(f"{path.name}: {where}: {said[:200]}: not a valid notebook") from None
    return notebook


def kata_of(notebook: nbformat.NotebookNode, katas: Iterable[Kata], name: str) -> Kata:
    """The kata that a notebook belongs to: the one it names, or else the one most of whose exercises it defines.

    Raises:
        NotANotebook: none of its cells defines an exercise.
    """
    by_name = {kata.name: kata for kata in katas}
    named = notebook.metadata.get("kata")
    if named in by_name:
        return by_name[named]
    source = "\n".join(code(notebook))
    defined = set(re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE))
    best = max(by_name.values(), key=lambda kata: len(defined & {e.name for e in catalogue.exercises(kata)}), default=None)
    if best is None or not defined & {e.name for e in catalogue.exercises(best)}:
        raise NotANotebook(f"{name}: no cell defines an exercise of a kata")
    return best


def code(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def module(notebook: nbformat.NotebookNode, kata: Kata) -> str:
    """The text of the kata's file as the notebook has it.

    As long as the cells of the file are there as `build` made them, it is their text, character by character; and otherwise what
    `cells.join` finds.
    """
    own = sorted((c for c in notebook.cells if c.cell_type == "code" and _mark(c)), key=lambda cell: _mark(cell)["place"])
    text = "".join(cell.source + _mark(cell)["after"] for cell in own)
    exercises = [exercise.name for exercise in catalogue.exercises(kata)]
    others = [c.source for c in notebook.cells if c.cell_type == "code" and c not in own and not cells.NOT_CODE.match(c.source)]
    if own and not "".join(others).strip() and _is_plain(text, exercises):
        return text
    return cells.join(code(notebook), names(kata))


def names(kata: Kata) -> list[str]:
    """What a module of this kata has to define: its exercises, and what the stub gives."""
    given = ast.parse(learner.stub_of(kata) or (kata.folder / kata.file.name).read_bytes()).body
    found = [name for node in given if not isinstance(node, (ast.Import, ast.ImportFrom)) for name in cells.bound(node)]
    return list(dict.fromkeys([*(exercise.name for exercise in catalogue.exercises(kata)), *found]))


def _mark(cell: nbformat.NotebookNode) -> dict:
    mark = cell.metadata.get("kata", {})
    return mark if isinstance(mark, dict) and isinstance(mark.get("after"), str) and isinstance(mark.get("place"), int) else {}


def _is_plain(text: str, names: list[str]) -> bool:
    """Whether it is Python that defines every exercise once."""
    return cells.python(text) == text.rstrip("\n") and all(len(re.findall(rf"^(?:def|class) {n}\b", text, re.MULTILINE)) == 1 for n in names)


def _for_notebook(page: str) -> str:
    """The lesson up to its exercises; links and the figure's picture lead to files beside the notebook, so they become text."""
    page = page.partition("\n## Exercises\n")[0]
    page = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"*Figure: \1*", page)
    return re.sub(r"\[([^\]\n]*)\]\((?!https?://)[^)\s]+\)", r"\1", page)


def _steps(kata: Kata) -> list[str]:
    """lesson.py in pieces: what stands before its first step, and each step with the comment that numbers it."""
    text = (kata.folder / "lesson.py").read_text(encoding="utf-8")
    return [part.strip("\n") for part in re.split(r"^(?=# \d+\. )", text, flags=re.MULTILINE) if part.strip()]


FIGURE = """\
# lesson: the figure
from IPython.display import Image
from pathlib import Path
Image(str(Path(__file__).parents[2] / ".kata" / "figures" / f"{Path(__file__).parent.name}.png"))"""
