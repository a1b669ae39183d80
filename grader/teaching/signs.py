"""Tells by path, name and text which kata a file looks like, or that it is the course's
or nobody's.
"""

import difflib
import os
import re
import symtable
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

from grader.course import kata_modules, places, stubs
from grader.course.catalogue import Kata, all_katas
from grader.course.statements import UNREADABLE
from grader.course.syntax import DEFINITION
from grader.errors import LoadFailure
from grader.teaching.listing import File

# Files that a course, a platform or a system puts beside a student's work.
NOBODYS = re.compile(
    r"test_\w+\.py|conftest\.py|lesson\.py|results?\.json|thumbs\.db|desktop\.ini|"
    r"icon\r|pyvenv\.cfg|cachedir\.tag",
    re.IGNORECASE,
)
# folders of a starter in which no student writes
MACHINERY = frozenset(["grader", "tests"])
NOTEBOOK = re.compile(
    r"\.ipynb(?:\.(?:txt|text|bak|orig|old|save|download|json)|~)*$", re.IGNORECASE
)
CODE = re.compile(r"\.pyw?\b", re.IGNORECASE)
ALIKE = 0.8


def distance_to(path: PurePosixPath, kata: Kata) -> int | None:
    """The distance of a file from being surely this kata's.

    0: in its folder below `katas/`; 1: in its folder, or in one called by its number;
    2: in a folder of its track;
    3: by its name alone; None: it is in the folder of another kata.
    """
    folders, own, short = (
        path.parts[:-1],
        Path(kata.name).parts,
        Path(kata.number).parts,
    )
    if folders[-len(own) :] == own:
        return 0 if folders[-len(own) - 1 : -len(own)] == ("katas",) else 1
    if folders[-1:] == own[-1:] or folders[-len(short) :] == short:
        return 1
    if not folders_of_katas(kata.root).isdisjoint(folders):
        return None
    return 2 if len(own) > 1 and own[0] in folders else 3


@cache
def folders_of_katas(root: Path) -> frozenset[str]:
    """The names of the folders that katas have."""
    return frozenset(Path(kata.name).name for kata in all_katas(root))


@cache
def _by_file(root: Path) -> dict[str, list[Kata]]:
    """The katas by the names of their files."""
    found: dict[str, list[Kata]] = {}
    for kata in all_katas(root):
        found.setdefault(kata.file.name, []).append(kata)
    return found


def namesakes(name: str, katas: list[Kata]) -> list[Kata]:
    """The other katas whose file has this name."""
    return [kata for kata in _by_file(katas[0].root).get(name, ()) if kata not in katas]


def is_own(file: File) -> bool:
    """Tell if a student may have written this: it is no link, nor empty, nor what
    courses and systems put there.
    """
    is_machinery = NOBODYS.fullmatch(file.name) or not MACHINERY.isdisjoint(
        file.path.parts[:-1]
    )
    return bool(file.size) and not file.is_link and not is_machinery


def is_given(path: PurePosixPath, root: Path) -> bool:
    """Tell if the course has a file of this path, as in a student's checkout."""
    # the last: of a reference that its author swapped in
    trees = (root, root / "katas", places.references(root))
    return any(os.path.isfile(tree / tail) for tree in trees for tail in _tails(path))


def is_written(file: File, root: Path) -> bool:
    """Tell if a file of the course is a kata's, and no stub any more."""
    for kata in _by_file(root).get(file.path.name, ()):
        if file.path.parts[-2:] == kata.file.parts[-2:] and not is_reference(
            file.path, root
        ):
            with suppress(LoadFailure, OSError):
                text, _ = kata_modules.converted(file.read(kata_modules.MAX_BYTES))
                return not stubs.is_untouched(kata, text)
    return False


def is_reference(path: PurePosixPath, root: Path) -> bool:
    """True if the course's `solutions/` or `tests/` has a file of this path: it is not
    a student's own.
    """
    top = places.references(root).parent
    return any(
        tail.parts[0] in ("solutions", "tests") and os.path.isfile(top / tail)
        for tail in _tails(path)
    )


def _tails(path: PurePosixPath) -> Iterator[PurePosixPath]:
    """The path, and the path without the first folders around it."""
    return (PurePosixPath(*path.parts[start:]) for start in range(len(path.parts)))


def is_notebook(name: str) -> bool:
    """Tell by its name if a file is a notebook, whatever a download has added to it."""
    return NOTEBOOK.search(name) is not None


def is_called_code(name: str) -> bool:
    """Tell if a file is called as a Python file, whatever a download has added to
    its name.
    """
    return CODE.search(name) is not None


def may_be_code(name: str) -> bool:
    """Tell by its name if a file may be a text with Python."""
    return is_called_code(name) or PurePosixPath(name).suffix in ("", ".txt")


@lru_cache(maxsize=1000)
def names(text: str) -> frozenset[str]:
    """The functions and classes that a text defines at its top level."""
    return frozenset(DEFINITION.findall(text))


def defines(text: str, kata: Kata) -> bool:
    """Tell if a text binds the name of a kata's exercise, by anything but an import."""
    if not names(text).isdisjoint(kata.owners):
        return True
    try:
        with warnings.catch_warnings(action="ignore"):
            symbols = symtable.symtable(text, "", "exec").get_symbols()
    except UNREADABLE:
        return False
    return any(one.is_assigned() and one.get_name() in kata.owners for one in symbols)


def defined(names: frozenset[str], katas: Iterable[Kata]) -> list[Kata]:
    """The katas of which most exercises have one of these names, and those of which
    half have; perhaps none.
    """
    counts = {kata: len(names.intersection(kata.owners)) for kata in katas}
    most = max(counts.values(), default=0)
    return [
        kata
        for kata, count in counts.items()
        if count and (count == most or is_half(names, kata))
    ]


def is_half(names: frozenset[str], kata: Kata) -> bool:
    """Tell if half of a kata's exercises have one of these names."""
    return 2 * len(names.intersection(kata.owners)) >= len(kata.owners)


def resembles(file: File, kata: Kata) -> bool:
    """Tell if a file is called nearly as the kata's: "multihead_attention.py",
    "ada_sums.py", "kata16.py".
    """
    if file.name == kata.file.name or distance_to(file.path, kata) is None:
        return file.name == kata.file.name
    stem, module = (
        re.sub(r"[\W_]", "", name.casefold())
        for name in (file.name.partition(".")[0], kata.module)
    )
    return (
        module in stem
        or _is_near(stem, module)
        or stem in (kata.number, f"kata{kata.number}")
    )


def is_beside(file: File, kata: Kata) -> bool:
    """Tell if a file is called as code, and is in the kata's folder or in one that is
    called nearly so.
    """
    distance = distance_to(file.path, kata)
    is_near = distance is not None and _is_near(
        file.path.parent.name.casefold(), Path(kata.name).name
    )
    return is_called_code(file.name) and (is_near or distance in (0, 1))


def _is_near(name: str, other: str) -> bool:
    return bool(difflib.get_close_matches(name, [other], cutoff=ALIKE))
