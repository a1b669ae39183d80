"""Finds the file of each kata in what a student handed in: folders, zip archives and single files, however laid out."""

import difflib
import io
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path, PurePosixPath

from grader import printable
from grader.course import kata_modules, notebooks, stubs
from grader.course.catalogue import Kata, all_katas
from grader.errors import LoadFailure, NotANotebook, Unreadable
from grader.execution import boundary
from grader.workers.jobs import SourceText, unreadable

MOST_MEMBERS = 10_000  # files in one archive
MOST_FILES = 100_000  # files and folders in one folder
MOST_NOTEBOOKS = 100  # read in one submission
DEEPEST = 8  # folders inside each other
SKIPPED = re.compile(r"\.|__MACOSX$|__pycache__$")
STUBS = PurePosixPath("grader/data/stubs.zip")  # of a starter; the course itself has no such file
PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
# Canvas names what a student uploads "lovelaceada_LATE_12345_678901_tensors-2.py", where -2 is the second resubmission.
CANVAS = re.compile(
    r"(?P<student>[^_]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<stem>.+?)(?:-(?P<attempt>\d{1,3}))?(?P<suffix>\.\w+)"
)
LATEST = 250_000_000_000  # seconds since 1970, in the year 9892: Python knows no dates after 9999
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others cannot be unpacked up to a limit
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class File:
    """A file that a student handed in, not read yet.

    Attributes:
        path: below the folder or archive that holds it.
        shown: the same for people, with the folder's or archive's name in front.
        modified: without a time zone for a member of an archive, which has none.
        read: returns its content, up to this many bytes; raises LoadFailure.
        batch: when the newest file of the same folder or archive was modified, as a timestamp.
        attempt: the number of the resubmission, in Canvas's names.
    """

    path: PurePosixPath
    shown: str
    modified: datetime
    read: Callable[[int], bytes]
    batch: float = 0.0
    attempt: int = 0
    is_link: bool = False

    @property
    def name(self) -> str:
        """The file's own name, without what Canvas puts around it."""
        return uploaded_name(self.path.name)


@dataclass(frozen=True)
class Found:
    """The file that counts for a kata, and its text. `note` says what had to be decided or converted."""

    file: File
    source: SourceText
    note: str = ""


@dataclass(frozen=True)
class Ignored:
    """A file that does not count, and why. `odd`: a person should look at it."""

    file: str
    why: str
    odd: bool = True


@dataclass
class Contents:
    """The files of a submission, by kata."""

    found: dict[Kata, Found] = field(default_factory=dict)
    missing: dict[Kata, str] = field(default_factory=dict)  # kata → why there is no file
    lost: dict[Kata, str] = field(default_factory=dict)  # kata → why nobody knows whether there is a file
    ignored: list[Ignored] = field(default_factory=list)
    newest: str = ""  # the place that was modified last

    def sources(self, katas: Iterable[Kata]) -> dict[Kata, SourceText]:
        """The text of each kata's file, or the problem with that file."""
        return {kata: self._source(kata) for kata in katas}

    def _source(self, kata: Kata) -> SourceText:
        if kata in self.lost:
            return SourceText("", self.lost[kata], lost=True)
        return self.found[kata].source if kata in self.found else SourceText("", self.missing[kata])


def uploaded_name(name: str) -> str:
    """The name of a file before Canvas put the student's name and numbers around it."""
    match = CANVAS.fullmatch(name)
    return match["stem"] + match["suffix"] if match else name


def readable(name: str) -> str:
    """A file's name on one line. Bytes that are not UTF-8 are taken for Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("latin-1")
    return printable.line(name)


def look(places: Iterable[Path], katas: Iterable[Kata]) -> Contents:
    """Find the file of each of these katas in the folders, archives and files that one student handed in.

    Where something cannot be read, the katas that may be in it are lost.
    """
    katas, why = list(katas), list[str]()
    with boundary.costs_only(why.append):
        return _looked(places, katas)
    return Contents(lost=dict.fromkeys(katas, why[0]), ignored=[Ignored("", why[0])])


def _looked(places: Iterable[Path], katas: list[Kata]) -> Contents:
    contents = Contents()
    files, problems = _listed(places)
    contents.newest = max(files, key=lambda file: file.batch).shown.partition("/")[0] if files else ""
    named: dict[str, list[Kata]] = {}
    for kata in katas:
        named.setdefault(kata.file.name, []).append(kata)
    candidates: dict[Kata, list[tuple[File, int]]] = {}
    unclear: dict[File, list[Kata]] = {}
    rest: list[File] = []
    for file in files:
        surest = _surest(file.path, named.get(file.name, []))
        if file.is_link or not surest or _is_reference(file.path, katas[0].root):
            rest.append(file)
        elif len(surest) > 1:
            unclear[file] = list(surest)
        else:
            [(kata, distance)] = surest.items()
            candidates.setdefault(kata, []).append((file, distance))
    for kata, some in candidates.items():
        (best, _), *others = sorted(some, key=_order)
        contents.found[kata] = _read(best, kata)
        contents.ignored += [_superseded(file, best) for file, _ in others]
    rest = _notebooks_read(rest, katas, contents, problems)
    missing = [kata for kata in katas if kata not in contents.found]
    contents.missing = {kata: why for kata in missing if (why := _why_missing(kata, rest, unclear, problems))}
    contents.lost = {kata: problems[0] for kata in missing if kata not in contents.missing}
    contents.ignored += [Ignored("", problem) for problem in problems]
    contents.ignored += [Ignored(file.shown, _ambiguous(could)) for file, could in unclear.items()]
    unused = [file for file in rest if file.is_link or not _is_given(file.path, katas[0].root)]
    contents.ignored += [Ignored(file.shown, *_why_unused(file, named, missing)) for file in unused]
    return contents


def _listed(places: Iterable[Path]) -> tuple[list[File], list[str]]:
    """Every file in these places, and why a place could not be read."""
    files: list[File] = []
    problems: list[str] = []
    for place in places:
        batch: list[File] = []
        with boundary.costs_only(lambda why: problems.append(_about(readable(place.name), why))):
            batch = list(_files(place, problems))
        newest = max((file.modified.timestamp() for file in batch), default=0.0)
        attempt = _attempt(place.name)
        files += [replace(f, batch=newest, attempt=max(attempt, _attempt(f.path.name))) for f in batch]
    return files, problems


def _about(name: str, why: str) -> str:
    """The reason, with the name of what it is about in front unless it names that already."""
    return why if why.startswith(name.rpartition("/")[2]) else f"{name}: {why}"


def _files(place: Path, problems: list[str]) -> Iterator[File]:
    if place.is_dir():
        return _below(place, problems)
    return _members(place) if place.suffix.lower() == ".zip" else iter([_file(place, place.parent, place.name)])


def _below(place: Path, problems: list[str]) -> Iterator[File]:
    """The files below a folder. Links are not followed; hidden folders and virtual environments are left out.

    Args:
        problems: to be extended by the folders that cannot be read.
    """

    def note(error: OSError) -> None:
        problems.append(f"{readable(os.path.basename(error.filename))}: {error.strerror}")

    seen = 0
    for name, folders, names in os.walk(place, onerror=note):
        folder, inside = Path(name), Path(name).relative_to(place)
        links = [one for one in folders if (folder / one).is_symlink()]
        kept = [one for one in folders if one not in links and not SKIPPED.match(one)]
        deeper = len(inside.parts) < DEEPEST
        folders[:] = sorted(one for one in kept if deeper and not (folder / one / "pyvenv.cfg").exists())
        seen += len(folders) + len(names)
        if seen > MOST_FILES:
            raise LoadFailure(f"{place.name}: holds more than {MOST_FILES:,} files: hand in the katas' files only")
        for one in sorted([*links, *names]):
            if not SKIPPED.match(one):
                yield _file(folder / one, place, f"{place.name}/{(inside / one).as_posix()}")


def _file(path: Path, within: Path, shown: str) -> File:
    info = path.lstat()
    modified = datetime.fromtimestamp(min(max(info.st_mtime, 0), LATEST), UTC)
    read = partial(kata_modules.read_bytes, path, within)
    inside = PurePosixPath(path.relative_to(within).as_posix())
    return File(inside, readable(shown), modified, read, is_link=path.is_symlink())


def _members(place: Path) -> Iterator[File]:
    """The files in a zip archive, which is not unpacked to disk."""
    try:
        archive = zipfile.ZipFile(place)
        members = [member for member in archive.infolist() if not member.is_dir()]
    except Exception as error:  # zipfile raises exceptions of many types, even struct.error
        raise Unreadable(f"{place.name}: is not a zip archive that can be read ({error})") from None
    if len(members) > MOST_MEMBERS:
        raise LoadFailure(f"{place.name}: holds {len(members)} files, the limit is {MOST_MEMBERS}")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if not any(SKIPPED.match(part) for part in path.parts):
            try:
                modified = datetime(*member.date_time)
            except ValueError:
                modified = datetime(1980, 1, 1)  # a zip archive's earliest date
            yield File(path, readable(f"{place.name}/{path}"), modified, partial(_unpacked, archive, member))


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    name = f"{PurePosixPath(member.filename).name}: cannot be unpacked from {Path(archive.filename or '').name}"
    if member.compress_type not in PACKINGS:
        raise Unreadable(f"{name}: it is not packed with deflate, as zip archives are")
    try:
        with archive.open(member) as file:
            return file.read(most + 1)
    except Exception as error:  # zipfile, the decompressors and the system raise exceptions of many types
        raise Unreadable(f"{name} ({error or type(error).__name__})") from None


def _attempt(name: str) -> int:
    match = CANVAS.fullmatch(name)
    return int(match["attempt"] or 0) if match else 0


def _surest(path: PurePosixPath, katas: list[Kata]) -> dict[Kata, int]:
    """Of the katas whose file has this name, those by the surest sign, each with the sign's distance."""
    found = {kata: _distance(path, kata) for kata in katas}
    surest = min((distance for distance in found.values() if distance is not None), default=None)
    return {kata: distance for kata, distance in found.items() if distance is not None and distance == surest}


def _distance(path: PurePosixPath, kata: Kata) -> int | None:
    """The distance of a file from being surely this kata's.

    0: in its folder below `katas/`; 1: in its folder, or in one called by its number; 2: in a folder of its track;
    3: by its name alone; None: it is in the folder of another kata.
    """
    folders, own, short = path.parts[:-1], Path(kata.name).parts, Path(kata.number).parts
    if folders[-len(own) :] == own:
        return 0 if folders[-len(own) - 1 : -len(own)] == ("katas",) else 1
    if folders[-1:] == own[-1:] or folders[-len(short) :] == short:
        return 1
    if _folders_of_katas(kata.root).intersection(folders):
        return None
    return 2 if len(own) > 1 and own[0] in folders else 3


@cache
def _folders_of_katas(root: Path) -> frozenset[str]:
    return frozenset(Path(kata.name).name for kata in all_katas(root))


def _order(candidate: tuple[File, int]) -> tuple[object, ...]:
    """Of several files of one kata the first counts: newest submission, surest place, then newest file."""
    file, distance = candidate
    return -file.attempt, -file.batch, distance, len(file.path.parts), -file.modified.timestamp(), file.shown


def _superseded(file: File, best: File) -> Ignored:
    newer = (best.attempt, best.batch) > (file.attempt, file.batch)
    why = f"{best.shown} counts" + (", which was handed in later" if newer else "")
    return Ignored(file.shown, why, odd=best.attempt != file.attempt or best.batch == file.batch)


def _read(file: File, kata: Kata) -> Found:
    """Read the file of a kata, and say so if Python would not read it."""
    note = "" if file.name == file.path.name or not file.attempt else f"resubmission {file.attempt}"
    try:
        data = file.read(kata_modules.MAX_BYTES)
        text, encoding = decoded(kata.file.name, data)
    except (LoadFailure, OSError) as failure:
        is_lost = not isinstance(failure, LoadFailure) or isinstance(failure, Unreadable)
        source = replace(unreadable(failure), lost=is_lost)
        return Found(file, source, f"cannot be read: {source.problem}")
    if encoding:
        note = ", ".join(filter(None, [note, f"is {encoding}, which was converted to UTF-8"]))
    return Found(file, SourceText(sys.intern(text)), note)  # saves memory: many students leave some files unchanged


def decoded(name: str, data: bytes) -> tuple[str, str]:
    """Decode a text, and name its encoding if Python would refuse it: UTF-16 with its mark, or else Latin-1.

    Raises:
        LoadFailure: the bytes are no text, or more than 1 MB.
    """
    try:
        return kata_modules.decoded(name, data), ""
    except LoadFailure:
        if len(data) > kata_modules.MAX_BYTES:
            raise
        encoding = "UTF-16" if data.startswith(UTF_16) else "Latin-1"
        declared = b"coding" in b"".join(io.BytesIO(data).readlines()[:2])
        text = data.decode(encoding, "replace")
        if "\0" in text or "\N{REPLACEMENT CHARACTER}" in text or declared:
            raise
    return text.removeprefix("\ufeff"), encoding


def _notebooks_read(rest: list[File], katas: list[Kata], contents: Contents, problems: list[str]) -> list[File]:
    """Take the katas that have no file, or an untouched stub, from notebooks. Returns the other files."""
    are: list[File] = []
    left: list[File] = []
    for file in rest:
        (are if file.name.lower().endswith(".ipynb") and not file.is_link else left).append(file)
    begun = {k for k, found in contents.found.items() if are and not stubs.is_untouched(k, found.source.text)}
    is_open = set(katas) - begun if are else set()
    for number, file in enumerate(sorted(are, key=lambda file: (-file.attempt, -file.batch, file.shown))):
        if not is_open or number >= MOST_NOTEBOOKS:
            left.append(file)
            continue
        read = None
        with boundary.costs_only(lambda why: problems.append(_about(file.shown, why))):
            try:
                read = _from_notebook(file, katas)
            except (LoadFailure, NotANotebook) as failure:
                if "/" not in file.shown or isinstance(failure, Unreadable):  # it may be all that was handed in
                    raise
                contents.ignored.append(Ignored(file.shown, printable.line(str(failure))))
        if read is None:
            continue
        kata, written = read
        source = SourceText(sys.intern(written.text), notes=written.notes)
        before, mine = contents.found.get(kata), Found(file, source, "; ".join(written.notes))
        if before and (kata not in is_open or stubs.is_untouched(kata, written.text)):
            contents.ignored.append(Ignored(file.shown, f"{before.file.shown} counts"))
            continue
        if before:
            contents.ignored.append(Ignored(before.file.shown, f"is an untouched stub: {file.shown} counts"))
        contents.found[kata] = mine
        is_open.discard(kata)
    return left


def _from_notebook(file: File, katas: list[Kata]) -> tuple[Kata, notebooks.HandedIn] | None:
    """The kata of a notebook, and its text; None if the notebook is the course's own.

    Raises:
        LoadFailure: the file cannot be read.
        NotANotebook: it is not a notebook of one of these katas.
    """
    data = file.read(notebooks.LARGEST)
    if _is_unchanged(file.path, data, katas[0].root):
        return None
    notebook = notebooks.parsed(data, file.name)
    kata = notebooks.kata_of(notebook, katas, file.name)
    return kata, notebooks.handed_in(notebook, kata)


def _why_missing(kata: Kata, rest: list[File], unclear: dict[File, list[Kata]], problems: list[str]) -> str:
    """The reason for a missing file: a link in its place, a name of two katas, or nothing. Empty if nobody knows."""
    links = {file.path.name for file in rest if file.is_link}
    if links.intersection(["katas", *Path(kata.name).parts]):
        return f"{kata.file.name}: its folder is a symbolic link: hand in the file itself"
    if kata.file.name in links:
        return f"{kata.file.name}: is a symbolic link: hand in the file itself"
    for file, could in unclear.items():
        if kata in could:
            return f"{file.name}: {_ambiguous(could)}"
    return "" if problems else f"{kata.file.name}: not handed in"


def _ambiguous(katas: Iterable[Kata]) -> str:
    return f"could be {' or '.join(kata.name for kata in katas)}: put it into its kata's folder"


def _why_unused(file: File, named: dict[str, list[Kata]], missing: list[Kata]) -> tuple[str, bool]:
    """The reason to ignore a file, and True if a person should look at it."""
    if file.is_link:
        return "is a symbolic link: hand in the file itself", True
    if file.name in named:
        return "is in the folder of another kata", True
    if file.path.suffix.lower() == ".ipynb":
        return f"is a notebook that was not read: every kata has a file, or {MOST_NOTEBOOKS} others were", True
    if file.path.suffix.lower() in PACKED:
        return "is an archive in a submission: unpack it", True
    stem = re.sub(r"\W", "_", file.name.partition(".")[0].lower())
    folders = file.path.parent.parts
    for kata in sorted(missing, key=lambda kata: -kata.name.count("/")):
        parts = Path(kata.number).parts, Path(kata.name).parts
        if file.path.suffix == ".py" and any(folders[-len(some) :] == some for some in parts):
            return f"the file of {kata.number} is called {kata.file.name}", True
    for kata in missing:
        if difflib.get_close_matches(stem, [kata.module], cutoff=0.8):
            return f"the file of {kata.number} is called {kata.file.name}", True
    return "is not the file of a kata that is graded", False


def _is_given(path: PurePosixPath, root: Path) -> bool:
    """Tell if the course or a starter has a file of this path, as in a student's checkout."""
    trees = (
        root,
        root / "katas",
        root / "solutions",
    )  # the last: of a reference swapped in with its author's folder
    return any(tail == STUBS or any((tree / tail).is_file() for tree in trees) for tail in _tails(path))


def _is_unchanged(path: PurePosixPath, data: bytes, root: Path) -> bool:
    """Tell if the course itself has this file, with this content."""
    given = [place for tail in _tails(path) for place in (root / tail, root / "katas" / tail) if place.is_file()]
    return any(place.read_bytes() == data for place in given)


def _is_reference(path: PurePosixPath, root: Path) -> bool:
    """True if the course's `solutions/` or `tests/` has a file of this path: it is not a student's own."""
    return any(tail.parts[0] in ("solutions", "tests") and (root / tail).is_file() for tail in _tails(path))


def _tails(path: PurePosixPath) -> Iterator[PurePosixPath]:
    """The path, and the path without the first folders around it."""
    parts = [part for part in path.parts if part not in ("/", "..")]
    return (PurePosixPath(*parts[start:]) for start in range(len(parts)))
