"""Finds the file of each kata in what a student handed in: folders, zip archives and single files, however laid out."""

import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path, PurePosixPath

from grader import printable
from grader.course import cells, kata_modules, notebooks, stubs
from grader.course.catalogue import Kata, all_katas
from grader.errors import LoadFailure, NotANotebook, Unreadable
from grader.execution import boundary
from grader.results import NOT_HANDED_IN, NOT_RECOGNISED
from grader.teaching import archives, near, uploads
from grader.teaching.archives import Member
from grader.workers.jobs import SourceText, unreadable

MOST_FILES = 100_000  # files and folders in one folder
MOST_NOTEBOOKS = 100  # read in one submission
MOST_NEAR = 100  # files of a submission that are read for what they define
MOST_OPENED = 20  # archives in one submission
DEEP = 8  # folders inside each other: a file below is pointed out
DEEPEST = 64
SKIPPED = re.compile(r"\.|__MACOSX$|__pycache__$")
STUBS = PurePosixPath("grader/data/stubs.zip")  # of a starter; the course itself has no such file
DATA = "data"  # the folder of downloaded data sets
# Files that a course, a platform or a system puts beside a student's work.
NOBODYS = re.compile(
    r"test_\w+\.py|conftest\.py|lesson\.py|results?\.json|thumbs\.db|desktop\.ini|icon\r", re.IGNORECASE
)
MACHINERY = frozenset(["grader", "tests"])  # folders of a starter in which no student writes
NOT_PUSHED = "is an empty folder in a checkout: a repository inside it was not handed in"
UNTOUCHED = "is an untouched stub"
CANNOT_OPEN = "is an archive that cannot be opened here: ask for a .zip"
LATEST = 250_000_000_000  # seconds since 1970, in the year 9892: Python knows no dates after 9999
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
    size: int = 0
    archives: int = 0  # how many archives it is in

    @property
    def name(self) -> str:
        """The file's own name, without what a platform puts around it."""
        return uploads.own_name(self.path.name)


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
    unrecognised: dict[Kata, str] = field(default_factory=dict)  # kata → what came that may be it
    lost: dict[Kata, str] = field(default_factory=dict)  # kata → why nobody knows whether there is a file
    ignored: list[Ignored] = field(default_factory=list)
    newest: str = ""  # the place that was modified last

    def sources(self, katas: Iterable[Kata]) -> dict[Kata, SourceText]:
        """The text of each kata's file, or the problem with that file."""
        return {kata: self._source(kata) for kata in katas}

    def _source(self, kata: Kata) -> SourceText:
        if kata in self.lost:
            return SourceText("", self.lost[kata], lost=True)
        if kata in self.unrecognised:
            return SourceText("", f"{NOT_RECOGNISED}: {self.unrecognised[kata]}", lost=True)
        return self.found[kata].source if kata in self.found else SourceText("", self.missing[kata])


def readable(name: str) -> str:
    """A file's name on one line. Bytes that are not UTF-8 are taken for Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("latin-1")
    return printable.line(name)


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
    return Contents(lost=dict.fromkeys(katas, why[0]), ignored=[Ignored("", why[0])])


def _looked(places: Iterable[Path], katas: list[Kata], asked: set[Kata]) -> Contents:
    contents = Contents()
    files, problems = _listed(places)
    contents.newest = max(files, key=lambda file: file.batch).shown.partition("/")[0] if files else ""
    rest, unclear = _take_named(files, katas, contents)
    left, given = _Left([]), list[File]()
    for file in rest:
        (given if not file.is_link and _is_given(file.path, katas[0].root) else left.files).append(file)
    if any(_may_count(file) for file in [*left.files, *unclear]):
        is_open = {k for k in katas if k not in contents.found or _is_untouched(k, contents.found[k])}
        _open_archives(left, is_open, katas, contents)
        _read_notebooks(left, is_open, katas, contents, problems)
        _take_near(left, unclear, is_open & asked, katas, contents)
    _say_missing(katas, asked, left, given, unclear, problems, contents)
    contents.ignored += [Ignored("", problem) for problem in problems]
    said = " ".join(contents.unrecognised.values())
    for file in [*unclear, *left.files]:
        if file.size or file.is_link:
            why, is_odd = _why_unused(file, unclear, left, katas, contents)
            contents.ignored.append(Ignored(file.shown, why, odd=is_odd and file.shown not in said))
    return contents


@dataclass
class _Left:
    """The files of a submission that are no kata's so far and not the course's.

    Attributes:
        closed: those that nobody can look into here, and why.
        python: those that hold Python and are called notebooks.
    """

    files: list[File]
    closed: dict[File, str] = field(default_factory=dict)
    python: set[File] = field(default_factory=set)

    def drop(self, file: File) -> None:
        self.files.remove(file)


def _may_count(file: File) -> bool:
    """Tell if a kata may be in this file, whatever it is called."""
    name = file.name
    return not file.is_link and (archives.is_archive(name) or _is_notebook(name) or near.may_hold_python(name))


def _is_notebook(name: str) -> bool:
    return near.ADDED.sub("", name.lower()).endswith(".ipynb")


def _is_untouched(kata: Kata, found: Found) -> bool:
    """Tell if a file is still the stub, or empty."""
    text = found.source.text
    return not found.source.problem and (not text.strip() or stubs.is_untouched(kata, text))


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
        if file.is_link or not surest or _is_reference(file.path, next(iter(katas)).root):
            rest.append(file)
        elif len(surest) > 1:
            unclear[file] = list(surest)
        else:
            [(kata, distance)] = surest.items()
            candidates.setdefault(kata, []).append((file, distance))
    for kata, some in candidates.items():
        ordered = [file for file, _ in sorted(some, key=_order)]
        best = _read(ordered[0], kata)
        if len(ordered) > 1 and _is_untouched(kata, best):
            others = (_read(file, kata) for file in ordered[1:])
            best = next((other for other in others if not _is_untouched(kata, other)), best)
        if _let_count(kata, best, contents):
            contents.ignored += [_superseded(file, best.file, ordered[0]) for file in ordered if file != best.file]
    return rest, unclear


def _let_count(kata: Kata, new: Found, contents: Contents) -> bool:
    """Let a file count for a kata, instead of an untouched stub if it is none itself. Returns whether it does."""
    before = contents.found.get(kata)
    if before and not new.source.lost and (new.source.problem or _is_untouched(kata, new)):
        contents.ignored.append(Ignored(new.file.shown, f"{before.file.shown} counts"))
        return False
    if before:
        contents.ignored.append(Ignored(before.file.shown, f"{UNTOUCHED}: {new.file.shown} counts"))
    contents.found[kata] = new
    return True


def _open_archives(left: _Left, is_open: set[Kata], katas: list[Kata], contents: Contents) -> None:
    """Look for the open katas in the archives of a submission. One that cannot be opened is closed."""
    packed = [file for file in left.files if archives.is_archive(file.name) and DATA not in file.path.parts]
    inside: list[File] = []
    for number, file in enumerate(packed if is_open else []):
        if not archives.is_opened(file.name):
            left.closed[file] = CANNOT_OPEN
        elif file.archives > 1 or number >= MOST_OPENED:
            left.closed[file] = "is an archive that was not opened: unpack it"
        else:
            with boundary.costs_only(partial(left.closed.__setitem__, file)):
                inside += _in_archive(file)
                left.drop(file)
    wanted = [kata for kata in katas if kata in is_open]
    rest, unclear = _take_named(inside, wanted, contents) if inside else ([], {})
    is_open.difference_update(k for k in wanted if k in contents.found and not _is_untouched(k, contents.found[k]))
    for file in [*rest, *unclear]:
        if is_open and (file.is_link or not _is_given(file.path, katas[0].root)):
            left.files.append(file)
            if archives.is_archive(file.name) and DATA not in file.path.parts:
                left.closed[file] = "is an archive inside an archive: unpack it"


def _in_archive(file: File) -> list[File]:
    """The files in an archive that is in a submission."""
    data = file.read(archives.LARGEST)
    if len(data) > archives.LARGEST:
        raise LoadFailure(f"{file.name}: is too large, the limit is {archives.LARGEST / 1e6:.0f} MB")
    found = list(_members(archives.members(io.BytesIO(data), file.name), file.shown, file.archives + 1))
    newest = max((one.modified.timestamp() for one in found), default=0.0)
    return [replace(one, batch=newest, attempt=file.attempt) for one in found]


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
    if archives.is_opened(place.name):
        return _members(archives.members(place, place.name), place.name, 1)
    return iter([_file(place, place.parent, place.name)])


def _below(place: Path, problems: list[str]) -> Iterator[File]:
    """The files below a folder. Links are not followed; hidden folders and virtual environments are left out.

    Args:
        problems: to be extended by the folders that cannot be read.
    """

    def note(error: OSError) -> None:
        problems.append(f"{readable(os.path.basename(error.filename))}: {error.strerror}")

    seen, checkouts = 0, list[Path]()
    for name, folders, names in os.walk(place, onerror=note):
        folder, inside = Path(name), Path(name).relative_to(place)
        if ".git" in [*folders, *names]:
            checkouts.append(folder)
        elif not folders and not names and any(folder.is_relative_to(checkout) for checkout in checkouts):
            problems.append(f"{readable(f'{place.name}/{inside}')}: {NOT_PUSHED}")
        links = [one for one in folders if (folder / one).is_symlink()]
        kept = [one for one in folders if one not in links and not SKIPPED.match(one)]
        deeper = len(inside.parts) < DEEPEST
        if kept and not deeper:
            problems.append(f"{readable(place.name)}: has more than {DEEPEST} folders inside each other")
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
    return File(inside, readable(shown), modified, read, is_link=path.is_symlink(), size=info.st_size)


def _members(members: Iterable[Member], shown: str, number: int) -> Iterator[File]:
    """The files in an archive, without hidden ones.

    Args:
        shown: the archive's name for people.
        number: how many archives they are in.
    """
    for one in members:
        if not any(SKIPPED.match(part) for part in one.path.parts):
            name = readable(f"{shown}/{one.path}")
            yield File(one.path, name, one.modified, one.read, is_link=one.is_link, size=one.size, archives=number)


def _attempt(name: str) -> int:
    upload = uploads.parsed(name)
    return upload.attempt if upload else 0


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


def _read(file: File, kata: Kata) -> Found:
    """Read the file of a kata, and say so if Python would not read it."""
    note = "" if file.name == file.path.name or not file.attempt else f"resubmission {file.attempt}"
    if (depth := len(file.path.parts) - 1) > DEEP:
        note = ", ".join(filter(None, [note, f"{depth} folders deep"]))
    data = b""
    try:
        data = file.read(kata_modules.MAX_BYTES)
        text, encoding = decoded(kata.file.name, data)
    except (LoadFailure, OSError) as failure:
        if isinstance(failure, LoadFailure) and len(data) <= kata_modules.MAX_BYTES and b"\0" in data:
            why = f"{NOT_RECOGNISED}: {file.shown}: is no text, but a file of another kind"
            return Found(file, SourceText("", why, lost=True), why)
        is_lost = not isinstance(failure, LoadFailure) or isinstance(failure, Unreadable)
        source = replace(unreadable(failure), lost=is_lost)
        return Found(file, source, f"cannot be read: {source.problem}")
    if written := _notebook_in(text, kata):
        note = ", ".join(filter(None, [note, "is a notebook", *written.notes]))
        return Found(file, SourceText(sys.intern(written.text), notes=written.notes), note)
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


def _notebook_in(text: str, kata: Kata) -> notebooks.HandedIn | None:
    """The code of a notebook that was saved under the name of the kata's file; None if the text is no notebook."""
    if not (text.lstrip().startswith("{") and '"nbformat"' in text):
        return None
    with suppress(NotANotebook):
        return notebooks.handed_in(notebooks.parsed(text.encode(), kata.file.name), kata)
    return None


def _read_notebooks(
    left: _Left, is_open: set[Kata], katas: list[Kata], contents: Contents, problems: list[str]
) -> None:
    """Take the open katas from notebooks. One that is broken is closed, or a problem if it is all of the submission."""
    are = [file for file in left.files if _is_notebook(file.name) and not file.is_link]
    ordered = sorted(are, key=lambda file: (-file.attempt, -file.batch, file.shown))
    for file in ordered[:MOST_NOTEBOOKS]:
        if not is_open:
            return
        with boundary.costs_only(lambda why: problems.append(_about(file.shown, why))):
            _read_notebook(file, left, is_open, katas, contents)


def _read_notebook(file: File, left: _Left, is_open: set[Kata], katas: list[Kata], contents: Contents) -> None:
    """Take its kata from one notebook.

    Raises:
        LoadFailure: it cannot be read, and is all that was handed in.
        NotANotebook: it is not a notebook of one of these katas, and is all that was handed in.
    """
    is_alone = "/" not in file.shown
    try:
        data = file.read(notebooks.LARGEST)
        if _is_unchanged(file.path, data, katas[0].root):
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
    written = notebooks.handed_in(notebook, kata)
    source = SourceText(sys.intern(written.text), notes=written.notes)
    if kata not in is_open:
        contents.ignored.append(Ignored(file.shown, f"{contents.found[kata].file.shown} counts"))
    elif _let_count(kata, Found(file, source, "; ".join(written.notes)), contents):
        is_open.discard(kata)
    return None


def _take_near(
    left: _Left, unclear: dict[File, list[Kata]], is_open: set[Kata], katas: list[Kata], contents: Contents
) -> None:
    """Take the open katas from files of other names, each where one file fits and that file fits no other kata.

    Otherwise the kata is not recognised: also if something is closed that may hold it.
    """
    fitting: dict[Kata, list[File]] = {}
    fits: dict[File, tuple[list[Kata], bool]] = {}
    some = [file for file in [*unclear, *left.files] if file not in left.closed and _is_code(file, left, katas)]
    for file in sorted(some, key=lambda file: len(file.path.parts))[: MOST_NEAR if is_open else 0]:
        fits[file] = _could_be(file, is_open, katas, contents)
        for kata in fits[file][0]:
            fitting.setdefault(kata, []).append(file)
    for kata in katas:
        files = fitting.get(kata, [])
        if kata in is_open and len(files) == 1 and fits[files[0]] == ([kata], True) and not left.closed:
            [file] = files
            found = _read(file, kata)
            taken = f"is taken for {kata.file.name} of {kata.number}: no other file fits"
            if _let_count(kata, replace(found, note="; ".join(filter(None, [taken, found.note]))), contents):
                is_open.discard(kata)
            unclear.pop(file, None)
            if file in left.files:
                left.drop(file)
        elif kata in is_open and (files or left.closed):
            contents.found.pop(kata, None)
            contents.unrecognised[kata] = _why_unrecognised(kata, files, fits, left)


def _is_code(file: File, left: _Left, katas: list[Kata]) -> bool:
    """Tell if a file may be a kata's under another name: it is a text, and not another kata's or the course's."""
    if file.is_link or not file.size or _is_nobodys(file) or _is_in_its_folder(file.path, katas):
        return False
    return file in left.python or (near.may_hold_python(file.name) and not _is_notebook(file.name))


def _could_be(file: File, is_open: set[Kata], katas: list[Kata], contents: Contents) -> tuple[list[Kata], bool]:
    """The open katas that a file could be, and True if it is called so or defines exercises of theirs."""
    try:
        text, _ = decoded(file.name, file.read(kata_modules.MAX_BYTES))
    except (LoadFailure, OSError):
        text = ""
    others = _namesakes(file.path, katas)
    by_name, by_text = near.named(file.name, katas), near.defined(text, [*katas, *others])
    if not by_name and others and (not by_text or any(kata in others for kata in by_text)):
        return [], False
    if by_name or by_text:
        closer = near.alike(file.path, katas) if len(by_text) > 1 else by_text
        both = [kata for kata in by_name or by_text if kata in (by_text if by_name else closer)]
        return [kata for kata in both or by_name or by_text if kata in is_open], True
    missing = [kata for kata in katas if kata not in contents.found]
    folders = _folders_of_katas(katas[0].root)
    is_code = near.is_called_code(file.name)
    path = file.path if is_code else PurePosixPath(file.path.name)
    elsewhere = folders.intersection(path.parts)
    return [k for k in near.alike(path, missing) if not elsewhere or Path(k.name).name in elsewhere], False


def _why_unrecognised(kata: Kata, files: list[File], fits: dict[File, tuple[list[Kata], bool]], left: _Left) -> str:
    """What came that may be a kata's file, and what to do about it."""
    if not files:
        file, why = next(iter(left.closed.items()))
        return _about(file.shown, why) if file.name in why else f"{file.shown}: {why}"
    first = files[0]
    if len(files) > 1:
        names = " and ".join(file.shown for file in files[:3]) + (" and more" if len(files) > 3 else "")
        return f"{names}: each could be {kata.file.name} of {kata.number}: keep one, and call it so"
    if len(fits[first][0]) > 1:
        return f"{first.shown}: {_ambiguous(fits[first][0])}"
    beside = f", or is that in {next(iter(left.closed)).shown}" if left.closed else ""
    return f"{first.shown}: did you mean {kata.file}{beside}?"


def _say_missing(
    katas: list[Kata],
    asked: set[Kata],
    left: _Left,
    given: list[File],
    unclear: dict[File, list[Kata]],
    problems: list[str],
    contents: Contents,
) -> None:
    """Note of each kata without a file why: not handed in, not recognised, or nobody knows."""
    came = "" if asked.intersection(contents.found) else _came(left, given, katas, contents)
    for kata in [kata for kata in katas if kata not in contents.found]:
        shared = next((f"{file.shown}: {_ambiguous(could)}" for file, could in unclear.items() if kata in could), "")
        certain = contents.unrecognised.get(kata) or _link_instead(kata, left.files) or shared
        if problems and not certain:
            contents.lost[kata] = problems[0]
        elif why := certain or came or (_beside(kata, contents) if kata in asked else ""):
            contents.unrecognised[kata] = why
        else:
            contents.missing[kata] = f"{kata.file.name}: {NOT_HANDED_IN}"


def _beside(kata: Kata, contents: Contents) -> str:
    """What to say of another kata's file that defines this kata's exercises, too; empty if none does."""
    for other, one in contents.found.items():
        if near.defines_half(one.source.text, kata, but=notebooks.owners(other)):
            return f"{one.file.shown}: defines exercises of {kata.number}, too: put them into {kata.file.name}"
    return ""


def _link_instead(kata: Kata, files: list[File]) -> str:
    """What to say of a link in the place of a kata's file or folder; empty if there is none."""
    for file in files:
        if file.is_link and file.path.name in ["katas", *Path(kata.name).parts]:
            return f"{kata.file.name}: its folder is a symbolic link: hand in the file itself"
        if file.is_link and file.path.name == kata.file.name:
            return f"{kata.file.name}: is a symbolic link: hand in the file itself"
    return ""


def _came(left: _Left, given: list[File], katas: list[Kata], contents: Contents) -> str:
    """What came where no kata that is graded has a file: a student's own file; empty if there is none.

    If no earlier kata was recognised either, a file of another kata counts as one, unless it is as the course has it.
    """
    root = katas[0].root
    own = [file for file in left.files if file.size and not file.is_link and not _is_nobodys(file)]
    if contents.found:
        own = [file for file in own if not _is_anothers(file.path, katas)]
    else:
        written = [file for file in given if file.path.suffix == ".py" and not _is_reference(file.path, root)]
        own += [file for file in written if not _is_courses_own(file, root)]
    if not own:
        return ""
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    return f"{own[0].shown}{more}: no file of a kata that is graded"


def _ambiguous(katas: Iterable[Kata]) -> str:
    return f"could be {' or '.join(kata.name for kata in katas)}: put it into its kata's folder"


def _why_unused(
    file: File, unclear: dict[File, list[Kata]], left: _Left, katas: list[Kata], contents: Contents
) -> tuple[str, bool]:
    """The reason to ignore a file, and True if a person should look at it."""
    if file.is_link:
        return "is a symbolic link: hand in the file itself", True
    if file in unclear:
        return _ambiguous(unclear[file]), True
    if file in left.closed:
        return left.closed[file], True
    if archives.is_archive(file.name):
        return "is an archive that was not opened: every kata has a file", DATA not in file.path.parts
    if _is_notebook(file.name):
        return "is a notebook that no kata's exercises were taken from", True
    copied = [kata for kata in near.named(file.name, katas) if kata in contents.found]
    if copied and not _is_anothers(file.path, katas):
        return f"{contents.found[copied[0]].file.shown} counts", True
    if file.name in {kata.file.name for kata in katas}:
        return "is in the folder of another kata", True
    return "is not the file of a kata that is graded", False


def _is_nobodys(file: File) -> bool:
    """Tell if a course (of an older version, too), a platform or a system puts such a file beside a student's work."""
    return bool(NOBODYS.fullmatch(file.name)) or not MACHINERY.isdisjoint(file.path.parts[:-1])


def _is_anothers(path: PurePosixPath, katas: list[Kata]) -> bool:
    """Tell if this is called as the file of a kata that is not graded, and of none that is, or is in its folder."""
    others = _namesakes(path, katas)
    return bool(others) if path.name not in {kata.file.name for kata in katas} else _is_in_its_folder(path, katas)


def _is_in_its_folder(path: PurePosixPath, katas: list[Kata]) -> bool:
    """Tell if this is the file of a kata that is not graded, in that kata's folder."""
    return any(_distance(path, kata) in (0, 1) for kata in _namesakes(path, katas))


def _namesakes(path: PurePosixPath, katas: list[Kata]) -> list[Kata]:
    """The other katas whose file has this name."""
    return [kata for kata in all_katas(katas[0].root) if kata not in katas and kata.file.name == path.name]


def _is_courses_own(file: File, root: Path) -> bool:
    """Tell if a file of the course is as the course has it, or a stub, or none that a student writes in."""
    for kata in all_katas(root):
        if file.path.parts[-2:] == kata.file.parts[-2:]:
            with suppress(LoadFailure, OSError):
                text, _ = decoded(file.name, file.read(kata_modules.MAX_BYTES))
                return stubs.is_untouched(kata, text)
    return True


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
