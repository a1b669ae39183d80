"""The papers' notebooks as pages: executed once per content, with what each cell
printed and drew.
"""

import base64
import hashlib
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import nbformat

from grader import files
from grader.course.catalogue import Kata
from grader.course.handouts import notebook_path

LIMIT = 600  # seconds per cell
AT_ONCE = 2  # each notebook computes in one thread
QUIET = ["--IPKernelApp.log_level=50"]
FIGURE = re.compile(r"!\[(?P<alt>[^]]+)\]\(figure\.png\)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run(katas: Iterable[Kata], cache: Path) -> dict[Kata, Path]:
    """Execute the papers' notebooks, and return where each is with its outputs: an
    unchanged one is in the cache.

    Raises:
        CellExecutionError: a cell failed.
    """
    wanted = {
        kata: cache / f"{_key(kata)}.ipynb"
        for kata in katas
        if notebook_path(kata).is_file()
    }
    new = [kata for kata, path in wanted.items() if not path.is_file()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, kata in enumerate(
            pool.map(lambda kata: _execute(kata, wanted[kata]), new), start=1
        ):
            print(
                f"executed the notebook of {kata.number} ({number} of {len(new)})",
                flush=True,
            )
    return wanted


def page(notebook: Path, lesson: str, folder: str) -> tuple[str, dict[str, bytes]]:
    """An executed notebook as Markdown with a title that says so, and its pictures
    by name.

    Args:
        lesson: the text of the kata's lesson. Its figure is the one that the notebook
            draws, so the alt text is, too.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    figure = FIGURE.search(lesson)
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(_block("python", cell.source))
        for output in cell.outputs:
            if output.output_type == "stream":
                parts.append(
                    _block("text", COLOUR.sub("", output.text).rstrip(), "output")
                )
            elif "image/png" in output.data:
                name = f"{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(output.data["image/png"])
                parts.append(f"![{figure['alt'] if figure else ''}]({folder}/{name})")
            elif "text/plain" in output.data:
                parts.append(_block("text", output.data["text/plain"], "output"))
    return "\n\n".join(parts).replace("# ", "# Notebook ", 1) + "\n", pictures


def _execute(kata: Kata, target: Path) -> Kata:
    # here, because the checks of pages do without this package
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(notebook_path(kata), as_version=4)
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": str(kata.folder)}},
        extra_arguments=QUIET,
    )
    try:
        client.execute()
    except CellExecutionError:
        print(
            f"{notebook_path(kata).relative_to(kata.root)}: a cell failed",
            file=sys.stderr,
        )
        raise
    files.write(target, nbformat.writes(notebook))
    return kata


def _key(kata: Kata) -> str:
    """What the outputs depend on: the notebook, the helpers that lessons use, and
    the versions.
    """
    parts = [
        notebook_path(kata).read_bytes(),
        (kata.root / "grader" / "lesson.py").read_bytes(),
    ]
    parts += [
        f"{name} {version(name)}".encode() for name in ("torch", "numpy", "matplotlib")
    ]
    return f"{kata.folder.name}-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:16]}"


def _block(language: str, text: str, name: str = "") -> str:
    """A fenced block of code. With a name, it gets that as a class."""
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in re.findall("`+", text) or [""]))
    if not name:
        return f"{fence}{language}\n{text}\n{fence}"
    return f"{fence}{{code-block}} {language}\n:class: {name}\n\n{text}\n{fence}"
