"""Creates the files of a new kata that keeps its promises: one exercise, to be replaced
by the author's own.
"""

import re
import subprocess
import sys
from pathlib import Path
from string import Template

from grader import files
from grader.course import catalogue, pages, stubs
from grader.course.catalogue import KATA_FOLDER, Kata
from grader.course.handouts import SEALED
from grader.errors import NotPossible
from workshop import variants

TEMPLATES = Path(__file__).parent / "templates"
TRACK = re.compile(r"[a-z]\w*")


def create(root: Path, name: str) -> Kata:
    """Create the kata's folder, its reference and its author's files, and draw
    its figure.

    Args:
        name: the path of its folder below katas/, such as "34_quantization" or
            "mycourse/01_sums".
    Raises:
        NotPossible: the name is not one of a kata, or is taken.
    """
    *tracks, folder = name.split("/")
    if not KATA_FOLDER.fullmatch(folder) or not all(map(TRACK.fullmatch, tracks)):
        raise NotPossible(
            f"'{name}' is no name of a kata: 34_quantization, or mycourse/01_sums"
        )
    kata = Kata(root, name)
    taken = [
        known.name for known in catalogue.all_katas(root) if known.number == kata.number
    ]
    if taken or kata.folder.exists():
        raise NotPossible(
            f"{kata.number} is taken by katas/{(taken or [name])[0]}: choose another "
            "number"
        )
    places = {
        "kata.toml": kata.folder / "kata.toml",
        "README.md": kata.folder / "README.md",
        "lesson.py": kata.folder / "lesson.py",
        "hints.md": kata.folder / "hints.md",
        "specs.py": kata.specs,
        "reference.py": kata.reference,
        "mistakes.py": variants.mistakes_file(kata),
        "textbook.py": kata.textbook,
        "by_multiplication.py": kata.author / "accepted" / "by_multiplication.py",
        "sealed.toml": kata.author / SEALED,
    }
    values = {
        "name": name,
        "number": kata.number,
        "title": kata.module.replace("_", " ").capitalize(),
        "chapter": tracks[0] if tracks else "more",
        "up": "/".join([".."] * (len(tracks) + 1)),
    }
    for template, path in places.items():
        text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
        files.write(path, Template(text).substitute(values))
    files.write(kata.code, stubs.stub_of(kata) or "")
    for page, text in pages.stale(catalogue.all_katas(root)).items():
        files.write(page, text)
    lesson = [
        sys.executable,
        str(kata.folder / "lesson.py"),
        str(kata.folder / "figure.png"),
    ]
    subprocess.run(lesson, cwd=root, stdout=subprocess.DEVNULL)
    return kata
