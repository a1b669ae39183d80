"""Finds the file of each kata in what a student handed in: folders, archives and single files, however laid out."""

import sys
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path, PurePosixPath

from grader import printable
from grader.course import cells, notebooks
from grader.course.catalogue import Kata
from grader.errors import LoadFailure, NotANotebook, Unreadable
from grader.execution import boundary
from grader.teaching import archives, signs
from grader.teaching.contents import UNTOUCHED, Absent, Contents, Found, Ignored, is_untouched, let_count, read
from grader.teaching.leftovers import DATA, Left, absent, is_notebook, may_count, take_near, why_unused
from grader.teaching.listing import File, in_archive, listed, note
from grader.teaching.signs import distance_to, is_given, is_reference, is_unchanged
from grader.workers.jobs import SourceText

MOST_NOTEBOOKS = 100  # read in one submission
MOST_OPENED = 10  # archives in one submission
NOT_OPENED = "is an archive that was not opened, since there are many or large ones: ask for one .zip"
CANNOT_OPEN = "is an archive that cannot be opened here: ask for a .zip"


def look(places: Iterable[Path], katas: Iterable[Kata], asked: Iterable[Kata] | None = None) -> Contents:
    """Find the file of each of these katas in the folders, archives and files that one student handed in.

    Where something cannot be read, the katas that may be in it are lost.

    Args:
        asked: those that are graded, and looked for under other names, too; None for all. The others stand in for
            nothing but what these build on.
    """
    katas, why = list(katas), list[str]()
    wanted = set(katas if asked is None else asked)
    with boundary.costs_only(why.append):
        return _looked(places, katas, wanted)
    return Contents(absent=dict.fromkeys(katas, Absent("not graded", why[0])), ignored=[Ignored("", why[0])])


def _looked(places: Iterable[Path], katas: list[Kata], asked: set[Kata]) -> Contents:
    contents = Contents()
    files, problems = listed(places)
    contents.newest = max(files, key=lambda file: file.batch).shown.partition("/")[0] if files else ""
    rest, unclear = _take_named(files, katas, contents)
    left, given = Left([], unclear), list[File]()
    for file in rest:
        (given if not file.is_link and is_given(file.path, katas[0].root) else left.files).append(file)
    if any(may_count(file) for file in [*left.files, *unclear]):
        is_open = {k for k in katas if k not in contents.found or is_untouched(k, contents.found[k])}
        _open_archives(left, is_open, katas, contents)
        _read_notebooks(left, is_open, katas, contents, problems)
        take_near(left, is_open & asked, katas, contents)
    contents.absent |= absent(katas, asked, left, given, problems, contents)
    contents.ignored += [Ignored("", problem) for problem in dict.fromkeys(problems)]
    said = " ".join(contents.reasons("not recognised").values())
    for file in [*unclear, *left.files]:
        why, is_odd = why_unused(file, left, katas, contents)
        contents.ignored.append(Ignored(file.shown, why, odd=is_odd and file.shown not in said))
    return contents


def _take_named(
    files: Iterable[File], katas: Collection[Kata], contents: Contents
) -> tuple[list[File], dict[File, list[Kata]]]:
    """Let the files count that are called as a kata's. Returns the rest, and those of a name that katas share."""
    named: dict[str, list[Kata]] = {}
    for kata in katas:
        named.setdefault(kata.file.name, []).append(kata)
    candidates: dict[Kata, list[tuple[File, int]]] = {}
    unclear: dict[File, list[Kata]] = {}
    rest: list[File] = []
    for file in files:
        surest = _surest(file.path, named.get(file.name, []))
        if file.is_link or not surest or is_reference(file.path, next(iter(katas)).root):
            rest.append(file)
        elif len(surest) > 1:
            unclear[file] = list(surest)
        else:
            [(kata, distance)] = surest.items()
            candidates.setdefault(kata, []).append((file, distance))
    for kata, some in candidates.items():
        ordered = [file for file, _ in sorted(some, key=_order)]
        best = read(ordered[0], kata)
        if len(ordered) > 1 and is_untouched(kata, best):
            others = (read(file, kata) for file in ordered[1:])
            best = next((other for other in others if not is_untouched(kata, other)), best)
        if let_count(kata, best, contents):
            contents.ignored += [_superseded(file, best.file, ordered[0]) for file in ordered if file != best.file]
    return rest, unclear


def _open_archives(left: Left, is_open: set[Kata], katas: list[Kata], contents: Contents) -> None:
    """Look for the open katas in the archives of a submission. One that cannot be opened is closed."""
    packed = [file for file in left.files if archives.is_archive(file.name) and DATA not in file.path.parts]
    inside: list[File] = []
    size = 0
    for number, file in enumerate(packed if is_open else []):
        size += file.size
        if not archives.is_opened(file.name):
            left.closed[file] = CANNOT_OPEN
        elif number >= MOST_OPENED or size > archives.LARGEST:
            left.closed[file] = NOT_OPENED
        else:
            with boundary.costs_only(partial(left.closed.__setitem__, file)):
                inside += in_archive(file)
                left.drop(file)
    wanted = [kata for kata in katas if kata in is_open]
    rest, unclear = _take_named(inside, wanted, contents) if inside else ([], {})
    is_open.difference_update(k for k in wanted if k in contents.found and not is_untouched(k, contents.found[k]))
    for file in [*rest, *unclear]:
        if is_open and (file.is_link or not is_given(file.path, katas[0].root)):
            left.files.append(file)
            if archives.is_archive(file.name) and DATA not in file.path.parts:
                left.closed[file] = "is an archive inside an archive: unpack it"


def _read_notebooks(left: Left, is_open: set[Kata], katas: list[Kata], contents: Contents, problems: list[str]) -> None:
    """Take the open katas from notebooks. One that is broken is closed, or a problem if it is all of the submission."""
    are = [file for file in left.files if is_notebook(file.name) and not file.is_link]
    ordered = sorted(are, key=lambda file: (-file.attempt, -file.batch, file.shown))
    for file in ordered[:MOST_NOTEBOOKS]:
        if not is_open:
            return
        with boundary.costs_only(partial(note, problems, file.shown)):
            _read_notebook(file, left, is_open, katas, contents)


def _read_notebook(file: File, left: Left, is_open: set[Kata], katas: list[Kata], contents: Contents) -> None:
    """Take its kata from one notebook.

    Raises:
        LoadFailure: it cannot be read, and is all that was handed in.
        NotANotebook: it is not a notebook of one of these katas, and is all that was handed in.
    """
    is_alone = "/" not in file.shown
    try:
        data = file.read(notebooks.LARGEST)
        if is_unchanged(file.path, data, katas[0].root):
            return left.drop(file)
        notebook = notebooks.parsed(data, file.name)
    except (LoadFailure, NotANotebook) as failure:
        if is_alone or isinstance(failure, Unreadable):
            raise
        if isinstance(failure, NotANotebook) and cells.is_python(data.decode("utf-8", "replace")):
            left.python.add(file)
        else:
            left.closed[file] = printable.line(str(failure))
        return None
    try:
        kata = notebooks.kata_of(notebook, katas, file.name)
    except NotANotebook:
        if is_alone:
            raise
        return None
    left.drop(file)
    code = "\n".join(notebooks.code(notebook))
    for other in katas:
        if other != kata and signs.defines_half(code, other, but=kata.owners):
            left.also[other] = (
                f"{file.shown}: defines exercises of {kata.number} and of {other.number}: hand in one for each"
            )
    written = notebooks.handed_in(notebook, kata)
    source = SourceText(sys.intern(written.text), notes=written.notes)
    if kata not in is_open:
        contents.ignored.append(Ignored(file.shown, f"{contents.found[kata].file.shown} counts"))
    elif let_count(kata, Found(file, source, "; ".join(written.notes)), contents):
        is_open.discard(kata)
    return None


def _surest(path: PurePosixPath, katas: list[Kata]) -> dict[Kata, int]:
    """Of the katas whose file has this name, those by the surest sign, each with the sign's distance."""
    found = {kata: distance_to(path, kata) for kata in katas}
    surest = min((distance for distance in found.values() if distance is not None), default=None)
    return {kata: distance for kata, distance in found.items() if distance is not None and distance == surest}


def _order(candidate: tuple[File, int]) -> tuple[object, ...]:
    """Of several files of one kata the first counts: newest submission, surest place, then newest file."""
    file, distance = candidate
    return -file.attempt, -file.batch, distance, len(file.path.parts), -file.modified.timestamp(), file.shown


def _superseded(file: File, best: File, first: File) -> Ignored:
    """The reason why a file does not count.

    Args:
        first: what would count if it were not untouched.
    """
    if file == first:
        return Ignored(file.shown, f"{UNTOUCHED}: {best.shown} counts")
    newer = (best.attempt, best.batch) > (file.attempt, file.batch)
    why = f"{best.shown} counts" + (", which was handed in later" if newer else "")
    return Ignored(file.shown, why, odd=best.attempt != file.attempt or best.batch == file.batch)
