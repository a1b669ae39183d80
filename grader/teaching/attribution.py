"""Attributes the files of a submission: which of them counts for each kata, and why each other one does not."""

import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

from grader import printable
from grader.course import cells, hint_file, kata_modules, notebooks, stubs
from grader.course.catalogue import Kata
from grader.errors import LoadFailure, NotANotebook, Unreadable
from grader.execution import boundary
from grader.results import NOT_HANDED_IN, NOT_RECOGNISED
from grader.teaching import archives, signs
from grader.teaching.contents import Absent, Contents, Found, Unused
from grader.teaching.listing import File, about, listed, note, opened
from grader.workers.jobs import SourceText, unreadable

DATA = "data"  # the folder of downloaded data sets
DEEP = 8  # folders inside each other: a file below is pointed out
MOST_NOTEBOOKS = 100  # read in one submission
MOST_NEAR = 100  # files of a submission that are read for what they define
UNTOUCHED = "is an untouched stub"


@dataclass
class Desk:
    """A submission while it is sorted: the rows decided so far, and the files that no row is about yet.

    Attributes:
        katas: those to look for.
        asked: those of them that are graded, and are looked for under other names, too.
        files: those that are neither a kata's so far nor the course's.
        unclear: those whose name katas share, beside `files`, and these katas.
        closed: those that nobody can look into here, and why.
        python: those that hold Python and are called notebooks.
        is_open: the katas that one of the files may still be.
        also: what to say of a kata whose exercises another kata's notebook defines, too.
    """

    katas: list[Kata]
    asked: set[Kata]
    problems: list[str]
    files: list[File] = field(default_factory=list)
    unclear: dict[File, list[Kata]] = field(default_factory=dict)
    closed: dict[File, str] = field(default_factory=dict)
    python: set[File] = field(default_factory=set)
    is_open: set[Kata] = field(default_factory=set)
    also: dict[Kata, str] = field(default_factory=dict)
    found: dict[Kata, Found] = field(default_factory=dict)
    absent: dict[Kata, Absent] = field(default_factory=dict)
    unused: list[Unused] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.katas[0].root

    @property
    def missing(self) -> list[Kata]:
        return [kata for kata in self.katas if kata not in self.found]

    def has_work(self, kata: Kata) -> bool:
        """Tell if the file that counts for a kata is more than a stub."""
        return kata in self.found and not is_untouched(kata, self.found[kata])

    def let_count(self, kata: Kata, new: Found) -> bool:
        """Let a file count for a kata, instead of an untouched stub if it is none itself. Returns whether it does."""
        before = self.found.get(kata)
        if before and not new.source.lost and (new.source.problem or is_untouched(kata, new)):
            self.unused.append(Unused(new.file.shown, f"{before.file.shown} counts"))
            return False
        if before:
            self.unused.append(Unused(before.file.shown, f"{UNTOUCHED}: {new.file.shown} counts"))
        self.found[kata] = new
        return True


def look(places: Iterable[Path], katas: Iterable[Kata], asked: Iterable[Kata] | None = None) -> Contents:
    """Find the file of each of these katas in the folders, archives and files that one student handed in.

    Where something cannot be read, the katas that may be in it are lost.

    Args:
        asked: those that are graded, and looked for under other names, too; None for all. The others stand in for
            nothing but what these build on.
    """
    katas, why = list(katas), list[str]()
    with boundary.costs_only(why.append):
        return _looked(places, katas, set(katas if asked is None else asked))
    return Contents(dict.fromkeys(katas, Absent("not graded", why[0])), (Unused("", why[0]),))


def _looked(places: Iterable[Path], katas: list[Kata], asked: set[Kata]) -> Contents:
    there = listed(places)
    desk = Desk(katas, asked, there.problems)
    rest, desk.unclear = _take_named(desk, there.files, katas)
    given: list[File] = []
    for file in rest:
        (given if not file.is_link and signs.is_given(file.path, desk.root) else desk.files).append(file)
    if any(_may_count(file) for file in [*desk.files, *desk.unclear]):
        desk.is_open = {kata for kata in katas if not desk.has_work(kata)}
        _open_archives(desk)
        _read_notebooks(desk)
        desk.is_open &= asked
        _take_near(desk)
    rows = desk.found | desk.absent | _absent(desk, given)
    desk.unused += [Unused("", problem) for problem in dict.fromkeys(desk.problems)]
    said = " ".join(Contents(rows).absent(NOT_RECOGNISED).values())
    for file in [*desk.unclear, *desk.files]:
        why, is_odd = _why_unused(desk, file)
        desk.unused.append(Unused(file.shown, why, odd=is_odd and file.shown not in said))
    return Contents(rows, tuple(desk.unused), there.newest)


# What is called as a kata's file.


def _take_named(
    desk: Desk, files: Iterable[File], katas: Collection[Kata]
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
        if file.is_link or not surest or signs.is_reference(file.path, desk.root):
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
        if desk.let_count(kata, best):
            desk.unused += [_superseded(file, best.file, ordered[0]) for file in ordered if file != best.file]
    return rest, unclear


def _surest(path: PurePosixPath, katas: list[Kata]) -> dict[Kata, int]:
    """Of the katas whose file has this name, those by the surest sign, each with the sign's distance."""
    found = {kata: signs.distance_to(path, kata) for kata in katas}
    surest = min((distance for distance in found.values() if distance is not None), default=None)
    return {kata: distance for kata, distance in found.items() if distance is not None and distance == surest}


def _order(candidate: tuple[File, int]) -> tuple[object, ...]:
    """Of several files of one kata the first counts: newest submission, surest place, then newest file."""
    file, distance = candidate
    return -file.attempt, -file.batch, distance, len(file.path.parts), -file.modified.timestamp(), file.shown


def _superseded(file: File, best: File, first: File) -> Unused:
    """The reason why a file does not count.

    Args:
        first: what would count if it were not untouched.
    """
    if file == first:
        return Unused(file.shown, f"{UNTOUCHED}: {best.shown} counts")
    newer = (best.attempt, best.batch) > (file.attempt, file.batch)
    why = f"{best.shown} counts" + (", which was handed in later" if newer else "")
    return Unused(file.shown, why, odd=best.attempt != file.attempt or best.batch == file.batch)


def is_untouched(kata: Kata, found: Found) -> bool:
    """Tell if a file is still the stub, or empty."""
    text = found.source.text
    return not found.source.problem and (not text.strip() or stubs.is_untouched(kata, text))


def read(file: File, kata: Kata) -> Found:
    """Read the file of a kata, and say so if Python would not read it."""
    note = "" if file.name == file.path.name or not file.attempt else f"resubmission {file.attempt}"
    if (depth := len(file.path.parts) - 1) > DEEP:
        note = ", ".join(filter(None, [note, f"{depth} folders deep"]))
    data = b""
    try:
        data = file.read(kata_modules.MAX_BYTES)
        text, encoding = kata_modules.converted(kata.file.name, data)
    except (LoadFailure, OSError) as failure:
        if isinstance(failure, LoadFailure) and not isinstance(failure, Unreadable) and _is_no_text(data):
            what = "is no text, but a file of another kind" if b"\0" in data[: kata_modules.MAX_BYTES] else str(failure)
            why = f"{NOT_RECOGNISED}: {about(file.shown, printable.line(what))}"
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


def _is_no_text(data: bytes) -> bool:
    """Tell if this is what nobody can read: nothing, since the file is too large or no regular one; or no text."""
    return not data or len(data) > kata_modules.MAX_BYTES or b"\0" in data


def _notebook_in(text: str, kata: Kata) -> notebooks.HandedIn | None:
    """The code of a notebook that was saved under the name of the kata's file; None if the text is no notebook."""
    if not (text.lstrip().startswith("{") and '"nbformat"' in text):
        return None
    with suppress(NotANotebook):
        return notebooks.handed_in(notebooks.parsed(text.encode(), kata.file.name), kata)
    return None


# What may hold a kata that nothing else is.


def _may_count(file: File) -> bool:
    """Tell if a kata may be in this file, whatever it is called."""
    name = file.name
    is_readable = archives.is_archive(name) or signs.is_notebook(name) or signs.may_hold_python(name)
    return is_readable and not file.is_link


def _is_packed(file: File) -> bool:
    """Tell if a file is an archive, and no data set."""
    return archives.is_archive(file.name) and DATA not in file.path.parts


def _open_archives(desk: Desk) -> None:
    """Look for the open katas in the archives of a submission. One that cannot be opened is closed."""
    if not desk.is_open:
        return
    packed = [file for file in desk.files if _is_packed(file)]
    inside = opened(packed)
    desk.closed |= inside.closed
    unpacked = set(packed).difference(inside.closed)
    desk.files = [file for file in desk.files if file not in unpacked]
    wanted = [kata for kata in desk.katas if kata in desk.is_open]
    rest, unclear = _take_named(desk, inside.files, wanted)
    desk.is_open = {kata for kata in wanted if not desk.has_work(kata)}
    for file in [*rest, *unclear]:
        if desk.is_open and (file.is_link or not signs.is_given(file.path, desk.root)):
            desk.files.append(file)
            if _is_packed(file):
                desk.closed[file] = "is an archive inside an archive: unpack it"


def _read_notebooks(desk: Desk) -> None:
    """Take the open katas from notebooks. One that is broken is closed, or a problem if it is all of the submission."""
    are = [file for file in desk.files if signs.is_notebook(file.name) and not file.is_link]
    ordered = sorted(are, key=lambda file: (-file.attempt, -file.batch, file.shown))
    for file in ordered[:MOST_NOTEBOOKS]:
        if not desk.is_open:
            return
        with boundary.costs_only(partial(note, desk.problems, file.shown)):
            _read_notebook(desk, file)


def _read_notebook(desk: Desk, file: File) -> None:
    """Take its kata from one notebook.

    Raises:
        LoadFailure: it cannot be read, and is all that was handed in.
        NotANotebook: it is not a notebook of one of these katas, and is all that was handed in.
    """
    is_alone = "/" not in file.shown
    try:
        data = file.read(notebooks.LARGEST)
        if signs.is_unchanged(file.path, data, desk.root):
            return desk.files.remove(file)
        notebook = notebooks.parsed(data, file.name)
    except (LoadFailure, NotANotebook) as failure:
        if is_alone or isinstance(failure, Unreadable):
            raise
        if isinstance(failure, NotANotebook) and cells.is_python(data.decode("utf-8", "replace")):
            desk.python.add(file)
        else:
            desk.closed[file] = printable.line(str(failure))
        return None
    try:
        kata = notebooks.kata_of(notebook, desk.katas, file.name)
    except NotANotebook:
        if is_alone:
            raise
        return None
    desk.files.remove(file)
    code = "\n".join(notebooks.code(notebook))
    for other in desk.katas:
        if other != kata and signs.defines_half(code, other, but=kata.owners):
            both = f"{kata.number} and of {other.number}"
            desk.also[other] = f"{file.shown}: defines exercises of {both}: hand in one for each"
    written = notebooks.handed_in(notebook, kata)
    source = SourceText(sys.intern(written.text), notes=written.notes)
    if kata not in desk.is_open:
        desk.unused.append(Unused(file.shown, f"{desk.found[kata].file.shown} counts"))
    elif desk.let_count(kata, Found(file, source, "; ".join(written.notes))):
        desk.is_open.discard(kata)
    return None


# What has another name.


def _take_near(desk: Desk) -> None:
    """Take the open katas from files of other names, each where one file fits and that file fits no other kata.

    Otherwise the kata is not recognised: also if something is closed that may hold it.
    """
    fitting: dict[Kata, list[File]] = {}
    fits: dict[File, tuple[list[Kata], bool]] = {}
    some = [file for file in [*desk.unclear, *desk.files] if file not in desk.closed and _is_code(desk, file)]
    for file in sorted(some, key=lambda file: len(file.path.parts))[: MOST_NEAR if desk.is_open else 0]:
        fits[file] = _could_be(desk, file)
        for kata in fits[file][0]:
            fitting.setdefault(kata, []).append(file)
    for kata in [kata for kata in desk.katas if kata in desk.is_open]:
        files = fitting.get(kata, [])
        if len(files) == 1 and fits[files[0]] == ([kata], True) and not desk.closed:
            [file] = files
            found = read(file, kata)
            taken = f"is taken for {kata.file.name} of {kata.number}: no other file fits"
            desk.let_count(kata, replace(found, note="; ".join(filter(None, [taken, found.note]))))
            desk.unclear.pop(file, None)
            desk.files = [other for other in desk.files if other != file]
        elif files or desk.closed:
            desk.found.pop(kata, None)
            desk.absent[kata] = Absent("not recognised", _why_unrecognised(desk, kata, files, fits))


def _is_code(desk: Desk, file: File) -> bool:
    """Tell if a file may be a kata's under another name: it is a text, and not another kata's or the course's."""
    if file.is_link or not file.size or signs.is_nobodys(file) or signs.is_in_its_folder(file.path, desk.katas):
        return False
    return file in desk.python or (signs.may_hold_python(file.name) and not signs.is_notebook(file.name))


def _could_be(desk: Desk, file: File) -> tuple[list[Kata], bool]:
    """The open katas that a file could be, and True if it is called so or defines exercises of theirs."""
    try:
        text, _ = kata_modules.converted(file.name, file.read(kata_modules.MAX_BYTES))
    except (LoadFailure, OSError):
        text = ""
    others = signs.namesakes(file.path, desk.katas)
    by_name, by_text = signs.named(file.name, desk.katas), signs.defined(text, [*desk.katas, *others])
    if not by_name and others and (not by_text or any(kata in others for kata in by_text)):
        return [], False
    if by_name or by_text:
        closer = signs.alike(file.path, desk.katas) if len(by_text) > 1 else by_text
        both = [kata for kata in by_name or by_text if kata in (by_text if by_name else closer)]
        return [kata for kata in both or by_name or by_text if kata in desk.is_open], True
    path = file.path if signs.is_called_code(file.name) else PurePosixPath(file.path.name)
    elsewhere = signs.folders_of_katas(desk.root).intersection(path.parts)
    return [k for k in signs.alike(path, desk.missing) if not elsewhere or Path(k.name).name in elsewhere], False


def _why_unrecognised(desk: Desk, kata: Kata, files: list[File], fits: dict[File, tuple[list[Kata], bool]]) -> str:
    """What came that may be a kata's file, and what to do about it."""
    if not files:
        file, why = next(iter(desk.closed.items()))
        return about(file.shown, why) if file.name in why else f"{file.shown}: {why}"
    first = files[0]
    if len(files) > 1:
        names = " and ".join(file.shown for file in files[:3]) + (" and more" if len(files) > 3 else "")
        return f"{names}: each could be {kata.file.name} of {kata.number}: keep one, and call it so"
    if len(fits[first][0]) > 1:
        return f"{first.shown}: {_ambiguous(fits[first][0])}"
    beside = f", or is that in {next(iter(desk.closed)).shown}" if desk.closed else ""
    return f"{first.shown}: did you mean {kata.file}{beside}?"


# What is left.


def _absent(desk: Desk, given: list[File]) -> dict[Kata, Absent]:
    """Why each other kata has no file: it was not handed in, is not recognised, or nobody knows."""
    decided: dict[Kata, Absent] = {}
    came = "" if desk.asked.intersection(desk.found) else _came(desk, given)
    for kata in [kata for kata in desk.missing if kata not in desk.absent]:
        shared = (f"{file.shown}: {_ambiguous(could)}" for file, could in desk.unclear.items() if kata in could)
        certain = _link_instead(kata, desk.files) or next(shared, "") or desk.also.get(kata)
        if desk.problems and not certain:
            decided[kata] = Absent("not graded", desk.problems[0])
        elif why := certain or came or (_beside(desk, kata) if kata in desk.asked else ""):
            decided[kata] = Absent("not recognised", why)
        else:
            decided[kata] = Absent("not handed in", f"{kata.file.name}: {NOT_HANDED_IN}")
    return decided


def _beside(desk: Desk, kata: Kata) -> str:
    """What to say of another kata's file that defines this kata's exercises, too; empty if none does."""
    for other, one in desk.found.items():
        if signs.defines_half(one.source.text, kata, but=other.owners):
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


def _came(desk: Desk, given: list[File]) -> str:
    """What came where no kata that is graded has a file: a student's own file; empty if there is none.

    If no earlier kata was recognised either, a file of another kata counts as one, unless it is as the course has it.
    """
    own = [file for file in desk.files if file.size and not file.is_link and not signs.is_nobodys(file)]
    if desk.found:
        own = [file for file in own if not signs.is_anothers(file.path, desk.katas)]
    else:
        written = [f for f in given if f.path.suffix == ".py" and not signs.is_reference(f.path, desk.root)]
        own += [file for file in written if not signs.is_courses_own(file, desk.root)]
    if not own:
        return ""
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    return f"{own[0].shown}{more}: no file of a kata that is graded"


def _ambiguous(katas: Iterable[Kata]) -> str:
    return f"could be {' or '.join(kata.name for kata in katas)}: put it into its kata's folder"


def _why_unused(desk: Desk, file: File) -> tuple[str, bool]:
    """The reason to ignore a file, and True if a person should look at it."""
    if file.is_link:
        return "is a symbolic link: hand in the file itself", True
    if not file.size:
        return "is empty", bool(signs.alike(file.path, desk.missing))
    if file in desk.unclear:
        return _ambiguous(desk.unclear[file]), True
    if file in desk.closed:
        return desk.closed[file], True
    if file.name == hint_file.TAKEN.name:
        return _hints_taken(file, desk.katas), False
    if archives.is_archive(file.name):
        return "is an archive that was not opened: every kata has a file", DATA not in file.path.parts
    if signs.is_notebook(file.name):
        return "is a notebook that no kata's exercises were taken from", True
    copied = [kata for kata in signs.named(file.name, desk.katas) if kata in desk.found]
    if copied and not signs.is_anothers(file.path, desk.katas):
        return f"{desk.found[copied[0]].file.shown} counts", True
    if file.name in {kata.file.name for kata in desk.katas}:
        return "is in the folder of another kata", True
    return "is not the file of a kata that is graded", False


def _hints_taken(file: File, katas: Iterable[Kata]) -> str:
    """ "hints taken: 15 causal_mask 2 of 3", as the student's folder has counted them."""
    noted: dict[tuple[str, str], int] = {}
    with suppress(LoadFailure, OSError):
        noted = hint_file.levels(file.read(kata_modules.MAX_BYTES))
    said = [
        f"{kata.number} {one.name} {min(noted[kata.name, one.name], most)} of {most}"
        for kata in katas
        for one in kata.exercises
        if noted.get((kata.name, one.name), 0) > 0 and (most := len(hint_file.of(kata, one.name)))
    ]
    return f"hints taken: {', '.join(said) or 'none of these katas'}"
