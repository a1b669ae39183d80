"""Tells whose a file is by its path, name and text: of which kata, of the course, or of nobody."""

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath

from grader.course import kata_modules, places, stubs
from grader.course.catalogue import Kata, all_katas
from grader.errors import LoadFailure
from grader.teaching.listing import File

STUBS = PurePosixPath("grader/data/stubs.zip")  # of a starter; the course itself has no such file
# Files that a course, a platform or a system puts beside a student's work.
NOBODYS = re.compile(
    r"test_\w+\.py|conftest\.py|lesson\.py|results?\.json|thumbs\.db|desktop\.ini|icon\r", re.IGNORECASE
)
MACHINERY = frozenset(["grader", "tests"])  # folders of a starter in which no student writes
# What browsers, editors and mail put behind a name: "sums.py.txt", "sums.py.bak".
ADDED = re.compile(r"(?:\.(?:txt|text|bak|orig|old|save|download|json)|~)+$")
CODE = re.compile(r"(.+?)\s*\.\s*(?:pyw?|ipynb)")
COPY_OF = re.compile(r"(?:copy of|kopie von|copie de|copia de)\s+")
COPY = re.compile(r"(?:[\s_.-]*+(?:\(\d++\)|v?\d++|copy|kopie|copie|copia|final|fixed|new))++$")
NUMBER = re.compile(r"(?:kata|papers|paper|appendix)?[\s_-]*\d+[\s_.-]+")
TEXTS = (".py", ".pyw", ".txt", "")  # of files that may hold Python
DEFINITION = re.compile(r"^(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)
ALIKE = 0.8
LONGEST = 255  # characters of a name: only an archive can hold longer ones, and patterns take their time


def distance_to(path: PurePosixPath, kata: Kata) -> int | None:
    """The distance of a file from being surely this kata's.

    0: in its folder below `katas/`; 1: in its folder, or in one called by its number; 2: in a folder of its track;
    3: by its name alone; None: it is in the folder of another kata.
    """
    folders, own, short = path.parts[:-1], Path(kata.name).parts, Path(kata.number).parts
    if folders[-len(own) :] == own:
        return 0 if folders[-len(own) - 1 : -len(own)] == ("katas",) else 1
    if folders[-1:] == own[-1:] or folders[-len(short) :] == short:
        return 1
    if folders_of_katas(kata.root).intersection(folders):
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


def is_nobodys(file: File) -> bool:
    """Tell if a course (of an older version, too), a platform or a system puts such a file beside a student's work."""
    return bool(NOBODYS.fullmatch(file.name)) or not MACHINERY.isdisjoint(file.path.parts[:-1])


def is_anothers(path: PurePosixPath, katas: list[Kata]) -> bool:
    """Tell if this is called as the file of a kata that is not graded, and of none that is, or is in its folder."""
    others = namesakes(path, katas)
    return bool(others) if path.name not in {kata.file.name for kata in katas} else is_in_its_folder(path, katas)


def is_in_its_folder(path: PurePosixPath, katas: list[Kata]) -> bool:
    """Tell if this is the file of a kata that is not graded, in that kata's folder."""
    return any(distance_to(path, kata) in (0, 1) for kata in namesakes(path, katas))


def namesakes(path: PurePosixPath, katas: list[Kata]) -> list[Kata]:
    """The other katas whose file has this name."""
    return [kata for kata in _by_file(katas[0].root).get(path.name, ()) if kata not in katas]


def is_courses_own(file: File, root: Path) -> bool:
    """Tell if a file of the course is as the course has it, or a stub, or none that a student writes in."""
    for kata in _by_file(root).get(file.path.name, ()):
        if file.path.parts[-2:] == kata.file.parts[-2:]:
            with suppress(LoadFailure, OSError):
                text, _ = kata_modules.converted(file.name, file.read(kata_modules.MAX_BYTES))
                return stubs.is_untouched(kata, text)
    return True


def is_given(path: PurePosixPath, root: Path) -> bool:
    """Tell if the course or a starter has a file of this path, as in a student's checkout."""
    trees = (
        root,
        root / "katas",
        places.references(root),
    )  # the last: of a reference swapped in with its author's folder
    return any(tail == STUBS or any(os.path.isfile(tree / tail) for tree in trees) for tail in _tails(path))


def is_unchanged(path: PurePosixPath, data: bytes, root: Path) -> bool:
    """Tell if the course itself has this file, with this content."""
    given = [place for tail in _tails(path) for place in (root / tail, root / "katas" / tail) if os.path.isfile(place)]
    return any(place.read_bytes() == data for place in given)


def is_reference(path: PurePosixPath, root: Path) -> bool:
    """True if the course's `solutions/` or `tests/` has a file of this path: it is not a student's own."""
    top = places.references(root).parent
    return any(tail.parts[0] in ("solutions", "tests") and os.path.isfile(top / tail) for tail in _tails(path))


def _tails(path: PurePosixPath) -> Iterator[PurePosixPath]:
    """The path, and the path without the first folders around it."""
    parts = [part for part in path.parts if part not in ("/", "..")]
    return (PurePosixPath(*parts[start:]) for start in range(len(parts)))


def named(name: str, katas: Iterable[Kata]) -> list[Kata]:
    """The katas whose file has this name but for what copies and downloads add: "sums (1).py", "01_sums.py.txt"."""
    found = _stems(name)
    return [kata for kata in katas if kata.module.casefold() in found]


def alike(path: PurePosixPath, katas: Iterable[Kata]) -> list[Kata]:
    """The katas that a file's name or folder resembles: "multihead_attention.py", "16/mine.py", "ada_sums.py"."""
    folders = path.parts[:-1]
    stem = re.sub(r"[\W_]+", "_", bare(path.name).casefold().partition(".")[0])
    return [kata for kata in katas if _is_alike(stem, folders, kata)]


def bare(name: str) -> str:
    """A name without what downloads and editors add to it; empty if it is too long to look at."""
    return ADDED.sub("", name) if len(name) <= LONGEST else ""


def is_notebook(name: str) -> bool:
    """Tell by its name if a file is a notebook, whatever a download has added to it."""
    return bare(name.lower()).endswith(".ipynb")


def may_hold_python(name: str) -> bool:
    """Tell by its name if a file may be a text with Python, whatever it is called before its ending."""
    return 0 < len(name) <= LONGEST and PurePosixPath(bare(name.casefold()) or name).suffix in TEXTS


def is_called_code(name: str) -> bool:
    """Tell if a file's name ends as a Python file's does, but for what downloads add."""
    return CODE.fullmatch(bare(name.casefold())) is not None


def defined(text: str, katas: Iterable[Kata]) -> list[Kata]:
    """The katas of which a text defines the most exercises, and those of which it defines half; perhaps none."""
    names = set(DEFINITION.findall(text))
    counts = {kata: len(names.intersection(kata.owners)) for kata in katas}
    most = max(counts.values(), default=0)
    return [kata for kata, count in counts.items() if count and (count == most or defines_half(text, kata))]


def defines_half(text: str, kata: Kata, but: Iterable[str] = ()) -> bool:
    """Tell if a text defines half of a kata's exercises, not counting those of these names."""
    wanted = kata.owners
    return 2 * len(set(DEFINITION.findall(text)).difference(but).intersection(wanted)) >= len(wanted)


def _stems(name: str) -> set[str]:
    """What a name may be without what is around it: as it is, without a copy's mark, without a number in front."""
    name = COPY_OF.sub("", unicodedata.normalize("NFKC", name).casefold().strip())
    match = CODE.fullmatch(bare(name))
    if match is None:
        return set()
    whole = match[1]
    without = [whole, COPY.sub("", whole)]
    return {re.sub(r"[\W_]+", "_", one).strip("_") for one in [*without, *(NUMBER.sub("", w, 1) for w in without)]}


def _is_alike(stem: str, folders: tuple[str, ...], kata: Kata) -> bool:
    own = Path(kata.name).name
    parts = Path(kata.number).parts, Path(kata.name).parts
    if any(folders[-len(some) :] == some for some in parts):
        return True
    if f"_{kata.module}_" in f"_{stem}_" or stem == kata.number or stem.replace("_", "") == f"kata{kata.number}":
        return True
    if difflib.get_close_matches(stem, [kata.module], cutoff=ALIKE):
        return True
    return bool(folders and difflib.get_close_matches(folders[-1].casefold(), [own], cutoff=ALIKE))
