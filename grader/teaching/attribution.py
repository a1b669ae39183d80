"""Attributes the files of a submission: which of them counts for each kata, and why
each other one does not.
"""

import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

from nbformat import NotebookNode

from grader import printable
from grader.course import hint_file, kata_modules, notebooks, stubs, syntax
from grader.course.catalogue import Kata
from grader.errors import LoadFailure, NotANotebook, Unreadable
from grader.execution import boundary
from grader.failure import NOT_HANDED_IN, Failure
from grader.results import Reason
from grader.teaching import archives, signs, uploads
from grader.teaching.contents import Contents, Row, absent, general, ignored
from grader.teaching.listing import DATA, File, listed, note
from grader.workers.jobs import SourceText

DEEP = 8  # folders inside each other: a file below is pointed out
MOST_NOTEBOOKS = 100  # read in one submission
SHOWN = 3  # files with exercises of one kata
MOST_READ = 100  # files of a submission that are read for what they define
UNTOUCHED = "is an untouched stub"
A_LINK = "is a symbolic link: hand in the file itself"
HIDDEN = "is hidden: hand it in where no name begins with a dot"


@dataclass
class Desk:
    """A submission while it is sorted: the rows decided so far, and the files that no
    row is about yet.

    Attributes:
        katas: those to look for.
        asked: those of them that are graded.
        files: those that are no kata's so far.
        hidden: those of the student's own that are hidden, and never count.
        closed: those that nobody can look into here, and why.
        open: the katas of which no file counts that is more than a stub.
        also: what to say of an open kata that more than one file may be, or whose
            exercises another's notebook defines.
    """

    katas: list[Kata]
    asked: set[Kata]
    problems: list[str]
    closed: dict[File, str]
    files: list[File] = field(default_factory=list)
    hidden: list[File] = field(default_factory=list)
    open: list[Kata] = field(default_factory=list)
    also: dict[Kata, str] = field(default_factory=dict)
    found: dict[Kata, Row] = field(default_factory=dict)
    unused: list[Row] = field(default_factory=list)

    def let_count(self, file: File, kata: Kata, new: Row) -> None:
        """Let a file count for an open kata, instead of an untouched stub if it is
        none itself.
        """
        before = self.found.get(kata)
        if before and is_untouched(kata, new):
            self.unused.append(ignored(file, f"{before.name} counts"))
            return
        if before and before.file:
            why = f"{UNTOUCHED}: {file.shown} counts"
            self.unused.append(ignored(before.file, why))
        self.found[kata] = new
        self.open.remove(kata)


def look(
    places: Iterable[Path], katas: Iterable[Kata], asked: Iterable[Kata] | None = None
) -> Contents:
    """Find the file of each of these katas in the folders, archives and files that one
    student handed in.

    Where something cannot be read, the katas that may be in it are lost.

    Args:
        asked: those that are graded; None for all. The others stand in for nothing but
            what these build on.
    """
    katas, why = list(katas), list[str]()
    with boundary.costs_only(why.append):
        return _looked(places, katas, set(katas if asked is None else asked))
    rows = {kata: absent(kata, "not graded", why[0]) for kata in katas}
    return Contents(rows, (general("ignored", why[0], odd=True),))


def _looked(places: Iterable[Path], katas: list[Kata], asked: set[Kata]) -> Contents:
    there, root = listed(places), katas[0].root
    desk = Desk(katas, asked, there.problems, there.closed)
    rest = _take_named(desk, there.files)
    given = {
        file for file in rest if not file.is_link and signs.is_given(file.path, root)
    }
    desk.files = [file for file in rest if file not in given]
    _read_notebooks(desk)
    own: list[File] = []
    if asked.intersection(desk.open):
        own = [file for file in desk.files if signs.is_own(file)]
        desk.hidden = [file for file in there.hidden if signs.is_own(file)]
    defined = _defined(desk, own + desk.hidden)
    _take_lone(desk, own, defined)
    if desk.found:
        others = [file for file in own if not signs.namesakes(file.name, katas)]
    else:
        others = own + [
            file for file in rest if file in given and signs.is_written(file, root)
        ]
    missing = _missing(desk, others, defined)
    came = [*there.files, *there.hidden]
    written = [file for file in came if file not in given and signs.is_own(file)]
    rows = desk.found | _defined_elsewhere(desk, written) | missing
    # a person looks at all of it then
    is_told = bool(Contents(rows).absent("not recognised"))
    desk.unused += [
        general("ignored", problem, odd=True)
        for problem in dict.fromkeys(desk.problems)
    ]
    for file in [*desk.files, *desk.hidden]:
        why, is_odd = _why_unused(desk, file)
        desk.unused.append(ignored(file, why, odd=is_odd and not is_told))
    return Contents(rows, tuple(desk.unused), there.newest)


# What is called as a kata's file.


def _take_named(desk: Desk, files: Iterable[File]) -> list[File]:
    """Let the files count that are called as a kata's. Returns the rest, with those of
    a name that katas share.
    """
    named: dict[str, list[Kata]] = {}
    for kata in desk.katas:
        named.setdefault(kata.file.name, []).append(kata)
    candidates: dict[Kata, list[tuple[File, int]]] = {}
    rest: list[File] = []
    for file in files:
        surest = _surest(file.path, named.get(file.name, []))
        if (
            file.is_link
            or not surest
            or signs.is_reference(file.path, desk.katas[0].root)
        ):
            rest.append(file)
        elif len(surest) > 1:
            could = " or ".join(kata.name for kata in surest)
            desk.also |= dict.fromkeys(
                surest, f"{file.shown}: could be {could}: put it into its kata's folder"
            )
            rest.append(file)
        else:
            [(kata, distance)] = surest.items()
            candidates.setdefault(kata, []).append((file, distance))
    for kata, some in candidates.items():
        ordered = [file for file, _ in sorted(some, key=_order)]
        best, row = _best(ordered, kata)
        twins = _twins(ordered, best, kata)
        if len(twins) > 1:
            each = (
                f"each could be {kata.file.name} of {kata.number}: keep one, and call "
                "it so"
            )
            desk.also[kata] = f"{' and '.join(twins[:3])}: {each}"
            rest += ordered
            continue
        desk.found[kata] = row
        desk.unused += [
            _superseded(file, best, ordered[0]) for file in ordered if file != best
        ]
    desk.open = [
        kata
        for kata in desk.katas
        if kata not in desk.found or is_untouched(kata, desk.found[kata])
    ]
    return rest


def _best(ordered: list[File], kata: Kata) -> tuple[File, Row]:
    """The first file that is more than an untouched stub, or else the first; and
    its row.
    """
    first = read(ordered[0], kata)
    if not is_untouched(kata, first):
        return ordered[0], first
    for file in ordered[1:]:
        row = read(file, kata)
        if not is_untouched(kata, row):
            return file, row
    return ordered[0], first


def _twins(ordered: list[File], best: File, kata: Kata) -> list[str]:
    """Where the best file is a browser's copy: the written copies beside it, of which
    nobody knows the newest.
    """
    place = best.attempt, best.batch
    same = [
        file
        for file in ordered
        if file.is_copy and best.is_copy and (file.attempt, file.batch) == place
    ]
    return sorted(
        file.shown
        for file in same
        if len(same) > 1 and not is_untouched(kata, read(file, kata))
    )


def _surest(path: PurePosixPath, katas: list[Kata]) -> dict[Kata, int]:
    """Of the katas whose file has this name, those by the surest sign, each with the
    sign's distance.
    """
    found = {kata: signs.distance_to(path, kata) for kata in katas}
    surest = min(
        (distance for distance in found.values() if distance is not None), default=None
    )
    return {
        kata: distance
        for kata, distance in found.items()
        if distance is not None and distance == surest
    }


def _order(candidate: tuple[File, int]) -> tuple[object, ...]:
    """Of several files of one kata the first counts: outside of archives, newest
    submission, own name, surest place.
    """
    file, distance = candidate
    place = file.is_copy, distance, len(file.path.parts)
    return (
        file.is_packed,
        -file.attempt,
        -file.batch,
        *place,
        -file.modified.timestamp(),
        file.shown,
    )


def _superseded(file: File, best: File, first: File) -> Row:
    """The reason why a file does not count.

    Args:
        first: what would count if it were not untouched.
    """
    if file == first:
        return ignored(file, f"{UNTOUCHED}: {best.shown} counts")
    newer = (best.attempt, best.batch) > (file.attempt, file.batch)
    why = f"{best.shown} counts" + (", which was handed in later" if newer else "")
    is_odd = best.attempt != file.attempt or best.batch == file.batch
    return ignored(file, why, odd=is_odd)


def is_untouched(kata: Kata, row: Row) -> bool:
    """Tell if a file that counts is still the stub, or empty."""
    if row.verdict != "counts":
        return False
    return not row.text.strip() or stubs.is_untouched(kata, row.text)


def may_have(contents: Contents, kata: Kata) -> bool:
    """Tell if work on a kata was handed in, or something that may be it."""
    row = contents.katas[kata]
    return row.verdict != "not handed in" and not is_untouched(kata, row)


def read(file: File, kata: Kata) -> Row:
    """Read the file of a kata, and say so if Python would not read it."""
    notes: list[str] = []
    if file.attempt and uploads.parsed(file.path.name):
        notes.append(f"resubmission {file.attempt}")
    if (depth := len(file.path.parts) - 1) > DEEP:
        notes.append(f"{depth} folders deep")
    data = b""
    try:
        data = file.read(kata_modules.MAX_BYTES)
        text, encoding = kata_modules.converted(data)
    except (LoadFailure, OSError) as failure:
        return _without_text(file, kata, data, failure)
    try:
        written = _notebook_in(text, kata)
    except NotANotebook as failure:
        return _unrecognised(file, kata, str(failure))
    if written:
        source = SourceText(sys.intern(written.text), notes=written.notes)
        return _counting(file, kata, source, *notes, "is a notebook", *written.notes)
    if foreign := syntax.no_source(file.shown, text):
        return _unreadable(file, kata, foreign.line, foreign.each(printable.line))
    if encoding:
        notes.append(f"is {encoding}, which was converted to UTF-8")
    # saves memory: many students leave some files unchanged
    return _counting(file, kata, SourceText(sys.intern(text)), *notes)


def _counting(file: File, kata: Kata, source: SourceText, *notes: str) -> Row:
    """A file that counts. A person looks at what is noted of it."""
    note = ", ".join(notes)
    return Row(file, kata, "counts", note, source, odd=bool(note))


def _without_text(
    file: File, kata: Kata, data: bytes, failure: LoadFailure | OSError
) -> Row:
    """A file of the kata's name whose bytes are no text, or cannot be read."""
    is_recognised = isinstance(failure, (Unreadable, OSError))
    if not is_recognised and _is_no_text(data):
        is_binary = b"\0" in data[: kata_modules.MAX_BYTES]
        what = "is no text, but a file of another kind" if is_binary else str(failure)
        return _unrecognised(file, kata, what)
    why = printable.line(str(failure))
    return _unreadable(file, kata, why, Failure("unreadable", f"{file.shown}: {why}"))


def _unreadable(file: File, kata: Kata, why: str, problem: Failure) -> Row:
    """A kata's file that is lost, since nobody can read it."""
    source = SourceText("", problem, reason=Reason.UNREADABLE)
    return Row(file, kata, "not graded", why, source, odd=True)


def _unrecognised(file: File, kata: Kata, what: str) -> Row:
    """A file of the kata's name that nobody can take for its code."""
    why = f"{file.shown}: {printable.line(what)}"
    return Row(file, kata, "not recognised", why, odd=True)


def _is_no_text(data: bytes) -> bool:
    """Tell if this is what nobody can read: nothing, since the file is too large or no
    regular one; or no text.
    """
    return not data or len(data) > kata_modules.MAX_BYTES or b"\0" in data


def _notebook_in(text: str, kata: Kata) -> notebooks.HandedIn | None:
    """The code of a notebook that was saved under the name of the kata's file; None if
    the text is no notebook.

    Raises:
        NotANotebook: it begins as one, and is broken, or a magic hides the code of
            an exercise.
    """
    if not (text.lstrip().startswith("{") and '"nbformat"' in text):
        return None
    return notebooks.handed_in(notebooks.parsed(text.encode()), kata)


# What has no kata's name: notebooks, and a file where it is the only one.


def _read_notebooks(desk: Desk) -> None:
    """Take open katas from notebooks. One that is broken is closed, or a problem if it
    is all of the submission.
    """
    are = [
        file for file in desk.files if signs.is_notebook(file.name) and not file.is_link
    ]
    ordered = sorted(
        are, key=lambda file: (file.is_packed, -file.attempt, -file.batch, file.shown)
    )
    begun = time.thread_time()
    for number, file in enumerate(ordered if desk.open else []):
        if number >= MOST_NOTEBOOKS or time.thread_time() - begun > archives.SECONDS:
            desk.closed[file] = "was not read, since others took long"
            continue
        with boundary.costs_only(partial(note, desk.problems, file.shown)):
            _read_notebook(desk, file)


def _read_notebook(desk: Desk, file: File) -> None:
    """Take its kata from one notebook.

    Raises:
        LoadFailure: it cannot be read, and is all that was handed in.
        NotANotebook: it is not a notebook of one of these katas, and is all that was
            handed in.
    """
    is_alone = "/" not in file.shown
    try:
        notebook = notebooks.parsed(file.read(notebooks.LARGEST))
    except (LoadFailure, NotANotebook) as failure:
        if is_alone or isinstance(failure, Unreadable):
            raise
        desk.closed[file] = printable.line(str(failure))
        return
    try:
        kata = notebooks.kata_of(notebook, desk.katas)
    except NotANotebook:
        if is_alone:
            raise
        return
    desk.files.remove(file)
    others = signs.names("\n".join(notebooks.code(notebook))).difference(kata.owners)
    for other in desk.katas:
        if other.file.name != kata.file.name and notebooks.writes(notebook, other):
            _take_from_notebook(desk, file, notebook, other)
        elif other != kata and signs.is_half(others, other):
            both = f"{kata.number} and of {other.number}"
            desk.also[other] = (
                f"{file.shown}: defines exercises of {both}: hand in one for each"
            )
    _take_from_notebook(desk, file, notebook, kata)


def _take_from_notebook(
    desk: Desk, file: File, notebook: NotebookNode, kata: Kata
) -> None:
    """Let the code of a notebook count for a kata that is open."""
    if kata not in desk.open:
        desk.unused.append(ignored(file, f"{desk.found[kata].name} counts"))
        return
    try:
        written = notebooks.handed_in(notebook, kata)
    except NotANotebook as hiding:
        desk.also[kata] = f"{file.shown}: {hiding}"
        return
    source = SourceText(sys.intern(written.text), notes=written.notes)
    row = _counting(file, kata, source, "; ".join(written.notes))
    desk.let_count(file, kata, row)


def _defined(desk: Desk, own: list[File]) -> dict[File, list[Kata]]:
    """The files of the student's own that may be code of these katas, each with those
    of which it has exercises.
    """
    found: dict[File, list[Kata]] = {}
    for file in _first(own, desk):
        others = signs.namesakes(file.name, desk.katas)
        katas = signs.defined(signs.names(_text(desk, file)), [*desk.katas, *others])
        if not others or (katas and set(others).isdisjoint(katas)):
            found[file] = katas
    return found


def _first(files: list[File], desk: Desk) -> list[File]:
    """Those that may be code, MOST_READ at most: hidden and deep ones come last."""
    texts = [file for file in files if signs.may_be_code(file.name)]
    texts = [file for file in texts if file not in desk.closed]
    texts.sort(key=lambda file: (file.is_hidden, len(file.path.parts)))
    return texts[:MOST_READ]


def _take_lone(desk: Desk, own: list[File], defined: Mapping[File, list[Kata]]) -> None:
    """Where one kata is asked for, take the only file of the student's own if it has an
    exercise of that kata.
    """
    if len(own) != 1 or len(desk.asked) != 1:
        return
    [file], [kata] = own, desk.asked
    if kata in defined.get(file, ()):
        row = read(file, kata)
        taken = (
            f"is taken for {kata.file.name} of {kata.number}: there is no other file"
        )
        note = "; ".join(filter(None, [taken, row.note]))
        desk.let_count(file, kata, replace(row, note=note, odd=True))
        desk.files.remove(file)


def _text(desk: Desk, file: File) -> str:
    """A file's text; empty if it has none. One that cannot be unpacked is closed."""
    try:
        return kata_modules.converted(file.read(kata_modules.MAX_BYTES))[0]
    except Unreadable as failure:
        desk.closed[file] = printable.line(str(failure))
    except (LoadFailure, OSError):
        pass
    return ""


# What is left.


def _defined_elsewhere(desk: Desk, written: list[File]) -> dict[Kata, Row]:
    """The katas whose file defines no exercise, while other files of the submission do.

    Args:
        written: all files of the student's own.
    """
    decided: dict[Kata, Row] = {}
    for kata, one in desk.found.items():
        is_read = kata in desk.asked and one.verdict == "counts"
        if not is_read or signs.defines(one.text, kata):
            continue
        others = [file for file in _first(written, desk) if file is not one.file]
        if some := [file.shown for file in others if _has_exercise(desk, file, kata)]:
            those = named(some, SHOWN)
            why = f"{one.name}: defines no exercise: put those of {those} into it"
            decided[kata] = absent(kata, "not recognised", why)
    return decided


def _has_exercise(desk: Desk, file: File, kata: Kata) -> bool:
    """Tell if another file than the kata's has an exercise of it, and is no stub.

    In another kata's file, an exercise of both katas is the other's.
    """
    text = _text(desk, file)
    katas = [*desk.katas, *signs.namesakes(file.name, desk.katas)]
    others = [one for one in katas if one != kata and one.file.name == file.name]
    owners = set(kata.owners).difference(*(one.owners for one in others))
    is_there = not owners.isdisjoint(signs.names(text))
    return is_there and not stubs.is_untouched(kata, text)


def _missing(
    desk: Desk, others: list[File], defined: Mapping[File, list[Kata]]
) -> dict[Kata, Row]:
    """Why each open kata has no file, or has only its stub beside something that may be
    its file.

    Args:
        others: files that the student has written, and that are no kata's.
        defined: those that may be code, with the katas of which each has exercises.
    """
    decided: dict[Kata, Row] = {}
    came = _came(others + desk.hidden) if desk.asked.isdisjoint(desk.found) else ""
    closed = [f"{file.shown}: {why}" for file, why in desk.closed.items()]
    for kata in desk.open:
        why = _link_instead(kata, desk.files) or desk.also.get(kata)
        if not why and kata in desk.asked:
            why = (
                _similar(desk, kata, defined)
                or _within(desk, kata)
                or next(iter(closed), "")
            )
        if why:
            decided[kata] = absent(kata, "not recognised", why)
        elif kata in desk.found:
            continue
        elif desk.problems:
            decided[kata] = absent(kata, "not graded", desk.problems[0])
        elif why := came or _unseen(desk):
            decided[kata] = absent(kata, "not recognised", why)
        else:
            why = f"{kata.file.name}: {NOT_HANDED_IN}"
            decided[kata] = absent(kata, "not handed in", why)
    return decided


def _similar(desk: Desk, kata: Kata, defined: Mapping[File, list[Kata]]) -> str:
    """What to say of files that look like a kata's, by name or by what they define;
    empty if none does.
    """
    is_missing = kata not in desk.found
    some = [
        file
        for file, katas in defined.items()
        if kata in katas
        or signs.resembles(file, kata)
        or (is_missing and signs.is_beside(file, kata))
    ]
    if not some:
        return ""
    what = f"looks like {kata.name}: call it {kata.file.name}"
    return f"{_files(some)}: {HIDDEN if some[0].is_hidden else what}"


def _unseen(desk: Desk) -> str:
    """What to say of links and hidden files that nobody has looked into; empty if there
    are none.
    """
    links = [
        f"{file.shown}: {A_LINK}"
        for file in desk.files
        if file.is_link and file.name != DATA
    ]
    closed = [
        file
        for file in desk.hidden
        if signs.is_notebook(file.name) or archives.is_archive(file.name)
    ]
    return next(iter([*links, *(f"{file.shown}: {HIDDEN}" for file in closed)]), "")


def _files(files: list[File]) -> str:
    """The first of these files, and how many more there are."""
    return named([file.shown for file in files])


def named(files: list[str], most: int = 1) -> str:
    """The first of these files, and how many more there are: "a.py and 2 more"."""
    more = [f"{len(files) - most} more"] if len(files) > most else []
    return " and ".join([*files[:most], *more])


def _within(desk: Desk, kata: Kata) -> str:
    """What to say of another kata's file that defines this kata's exercises, too; empty
    if none does.
    """
    for other, one in desk.found.items():
        if other not in desk.open and signs.is_half(
            signs.names(one.text).difference(other.owners), kata
        ):
            return (
                f"{one.name}: defines exercises of {kata.number}, too: put them "
                f"into {kata.file.name}"
            )
    return ""


def _came(own: list[File]) -> str:
    """What to say where no kata that is graded has a file; empty if nothing of the
    student's own came.
    """
    if not own:
        return ""
    what = "no file of a kata that is graded"
    return f"{_files(own)}: {HIDDEN if own[0].is_hidden else what}"


def _link_instead(kata: Kata, files: list[File]) -> str:
    """What to say of a link in the place of a kata's file or folder; empty if there
    is none.
    """
    for file in files:
        if file.is_link and file.path.name in ["katas", *Path(kata.name).parts]:
            return f"{kata.file.name}: its folder {A_LINK}"
        if file.is_link and file.path.name == kata.file.name:
            return f"{file.shown}: {A_LINK}"
    return ""


def _why_unused(desk: Desk, file: File) -> tuple[str, bool]:
    """The reason to ignore a file, and True if a person should look at it."""
    if file.is_link:
        return A_LINK, True
    if file.is_hidden:
        return "is hidden", False
    if not file.size:
        missing = [kata for kata in desk.katas if kata not in desk.found]
        return "is empty", any(signs.resembles(file, kata) for kata in missing)
    if file in desk.closed:
        return desk.closed[file], True
    if file.name == hint_file.TAKEN.name:
        return _hints_taken(file, desk.katas), False
    if signs.is_notebook(file.name):
        return "is a notebook that no kata's exercises were taken from", True
    return "is not the file of a kata that is graded", False


def _hints_taken(file: File, katas: Iterable[Kata]) -> str:
    """ "hints taken: 15 causal_mask 2 of 3", as the student's folder has
    counted them.
    """
    noted: dict[tuple[str, str], int] = {}
    with suppress(LoadFailure, OSError):
        noted = hint_file.levels(file.read(kata_modules.MAX_BYTES))
    said = [
        f"{kata.number} {one.name} {min(noted[kata.name, one.name], most)} of {most}"
        for kata in katas
        for one in kata.exercises
        if noted.get((kata.name, one.name), 0) > 0
        and (most := len(hint_file.of(kata, one.name)))
    ]
    return f"hints taken: {', '.join(said) or 'none of these katas'}"
