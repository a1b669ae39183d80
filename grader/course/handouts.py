"""The files of a kata that leave the course, by name. What is not named here stays: the author's files above all."""

from pathlib import Path

from grader.course.catalogue import TEACHER, Kata

LESSON = ("kata.toml", "README.md", "lesson.py", "hints.md", "figure.png")
SEALED, PROBES = "sealed.toml", "probes.py"  # in the author's folder: what the second lock asks
SOURCE = ".diagram"  # of a picture; it stays beside the picture, and no learner needs it


def notebook_path(kata: Kata) -> Path:
    """The path of a paper's notebook: pt_13_attention_is_all_you_need.ipynb."""
    return kata.folder / f"pt_{kata.folder.name}.ipynb"


def own_notebook_path(kata: Kata) -> Path:
    """The path of the same notebook with the learner's own code in its cells."""
    return kata.folder / f"own_{kata.folder.name}.ipynb"


def of_the_learner(kata: Kata) -> list[Path]:
    """The files that a learner opens. kata.toml names those under `files` that not every kata has."""
    named = [kata.folder / name for name in (*LESSON, *kata.description.files)]
    named += [kata.code, kata.specs, notebook_path(kata), *sorted(kata.folder.glob("*.svg"))]
    return [path for path in named if path.is_file()]


def of_the_grader(kata: Kata) -> list[Path]:
    """The files that grade where the reference may not be seen: description, specs, the list of sealed specs."""
    return [path for path in (kata.folder / LESSON[0], kata.specs, kata.author / SEALED) if path.is_file()]


def of_the_teacher(kata: Kata) -> list[Path]:
    """The reference, and what the second lock asks beside it."""
    return [path for path in (kata.reference, kata.author / SEALED, kata.author / PROBES) if path.is_file()]


def others(kata: Kata) -> list[Path]:
    """The files and folders in the kata's folder that nobody is handed."""
    made_here = {kata.folder / f"{kata.folder.name}.ipynb", own_notebook_path(kata)}  # by kata notebook
    known = {*of_the_learner(kata), *kata.folder.glob(f"*{SOURCE}"), *made_here}
    own = (TEACHER, "__pycache__")
    there = [path for path in kata.folder.iterdir() if path.name not in own and not path.name.startswith(".")]
    return sorted(path for path in there if path not in known)
