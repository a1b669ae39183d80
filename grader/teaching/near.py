"""Judges files that are not called as a kata's file is: which kata each could be, by its name or by what it defines."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from grader.course.catalogue import Kata

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
