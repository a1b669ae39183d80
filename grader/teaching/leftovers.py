"""Judges the files of a submission that are no kata's by their names: what is taken, and what is not recognised."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from grader.course import kata_modules
from grader.course.catalogue import Kata
from grader.errors import LoadFailure
from grader.results import NOT_HANDED_IN
from grader.teaching import archives, signs
from grader.teaching.contents import Absent, Contents, let_count, read
from grader.teaching.listing import File, about
from grader.teaching.signs import (
    folders_of_katas,
    is_anothers,
    is_courses_own,
    is_in_its_folder,
    is_nobodys,
    is_reference,
    namesakes,
)

MOST_NEAR = 100  # files of a submission that are read for what they define
DATA = "data"  # the folder of downloaded data sets


@dataclass
class Left:
    """The files of a submission that are no kata's so far and not the course's.

    Attributes:
        unclear: those whose name katas share, beside `files`, and these katas.
        closed: those that nobody can look into here, and why.
        python: those that hold Python and are called notebooks.
        also: what to say of a notebook of another kata that defines this kata's exercises, too.
    """

    files: list[File]
    unclear: dict[File, list[Kata]]
    closed: dict[File, str] = field(default_factory=dict)
    python: set[File] = field(default_factory=set)
    also: dict[Kata, str] = field(default_factory=dict)

    def drop(self, file: File) -> None:
        self.files.remove(file)


def may_count(file: File) -> bool:
    """Tell if a kata may be in this file, whatever it is called."""
    name = file.name
    return not file.is_link and (archives.is_archive(name) or is_notebook(name) or signs.may_hold_python(name))


def is_notebook(name: str) -> bool:
    """Tell by its name if a file is a notebook, whatever a download has added to it."""
    return signs.bare(name.lower()).endswith(".ipynb")


def take_near(left: Left, is_open: set[Kata], katas: list[Kata], contents: Contents) -> None:
    """Take the open katas from files of other names, each where one file fits and that file fits no other kata.

    Otherwise the kata is not recognised: also if something is closed that may hold it.
    """
    fitting: dict[Kata, list[File]] = {}
    fits: dict[File, tuple[list[Kata], bool]] = {}
    some = [file for file in [*left.unclear, *left.files] if file not in left.closed and _is_code(file, left, katas)]
    for file in sorted(some, key=lambda file: len(file.path.parts))[: MOST_NEAR if is_open else 0]:
        fits[file] = _could_be(file, is_open, katas, contents)
        for kata in fits[file][0]:
            fitting.setdefault(kata, []).append(file)
    for kata in katas:
        files = fitting.get(kata, [])
        if kata in is_open and len(files) == 1 and fits[files[0]] == ([kata], True) and not left.closed:
            [file] = files
            found = read(file, kata)
            taken = f"is taken for {kata.file.name} of {kata.number}: no other file fits"
            if let_count(kata, replace(found, note="; ".join(filter(None, [taken, found.note]))), contents):
                is_open.discard(kata)
            left.unclear.pop(file, None)
            if file in left.files:
                left.drop(file)
        elif kata in is_open and (files or left.closed):
            contents.found.pop(kata, None)
            contents.absent[kata] = Absent("not recognised", _why_unrecognised(kata, files, fits, left))


def _is_code(file: File, left: Left, katas: list[Kata]) -> bool:
    """Tell if a file may be a kata's under another name: it is a text, and not another kata's or the course's."""
    if file.is_link or not file.size or is_nobodys(file) or is_in_its_folder(file.path, katas):
        return False
    return file in left.python or (signs.may_hold_python(file.name) and not is_notebook(file.name))


def _could_be(file: File, is_open: set[Kata], katas: list[Kata], contents: Contents) -> tuple[list[Kata], bool]:
    """The open katas that a file could be, and True if it is called so or defines exercises of theirs."""
    try:
        text, _ = kata_modules.converted(file.name, file.read(kata_modules.MAX_BYTES))
    except (LoadFailure, OSError):
        text = ""
    others = namesakes(file.path, katas)
    by_name, by_text = signs.named(file.name, katas), signs.defined(text, [*katas, *others])
    if not by_name and others and (not by_text or any(kata in others for kata in by_text)):
        return [], False
    if by_name or by_text:
        closer = signs.alike(file.path, katas) if len(by_text) > 1 else by_text
        both = [kata for kata in by_name or by_text if kata in (by_text if by_name else closer)]
        return [kata for kata in both or by_name or by_text if kata in is_open], True
    missing = [kata for kata in katas if kata not in contents.found]
    folders = folders_of_katas(katas[0].root)
    is_code = signs.is_called_code(file.name)
    path = file.path if is_code else PurePosixPath(file.path.name)
    elsewhere = folders.intersection(path.parts)
    return [k for k in signs.alike(path, missing) if not elsewhere or Path(k.name).name in elsewhere], False


def _why_unrecognised(kata: Kata, files: list[File], fits: dict[File, tuple[list[Kata], bool]], left: Left) -> str:
    """What came that may be a kata's file, and what to do about it."""
    if not files:
        file, why = next(iter(left.closed.items()))
        return about(file.shown, why) if file.name in why else f"{file.shown}: {why}"
    first = files[0]
    if len(files) > 1:
        names = " and ".join(file.shown for file in files[:3]) + (" and more" if len(files) > 3 else "")
        return f"{names}: each could be {kata.file.name} of {kata.number}: keep one, and call it so"
    if len(fits[first][0]) > 1:
        return f"{first.shown}: {_ambiguous(fits[first][0])}"
    beside = f", or is that in {next(iter(left.closed)).shown}" if left.closed else ""
    return f"{first.shown}: did you mean {kata.file}{beside}?"


def absent(
    katas: list[Kata], asked: set[Kata], left: Left, given: list[File], problems: list[str], contents: Contents
) -> dict[Kata, Absent]:
    """Why each other kata has no file: it was not handed in, is not recognised, or nobody knows."""
    decided: dict[Kata, Absent] = {}
    came = "" if asked.intersection(contents.found) else _came(left, given, katas, contents)
    for kata in [kata for kata in katas if kata not in contents.found and kata not in contents.absent]:
        shared = next(
            (f"{file.shown}: {_ambiguous(could)}" for file, could in left.unclear.items() if kata in could), ""
        )
        certain = _link_instead(kata, left.files) or shared or left.also.get(kata)
        if problems and not certain:
            decided[kata] = Absent("not graded", problems[0])
        elif why := certain or came or (_beside(kata, contents) if kata in asked else ""):
            decided[kata] = Absent("not recognised", why)
        else:
            decided[kata] = Absent("not handed in", f"{kata.file.name}: {NOT_HANDED_IN}")
    return decided


def _beside(kata: Kata, contents: Contents) -> str:
    """What to say of another kata's file that defines this kata's exercises, too; empty if none does."""
    for other, one in contents.found.items():
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


def _came(left: Left, given: list[File], katas: list[Kata], contents: Contents) -> str:
    """What came where no kata that is graded has a file: a student's own file; empty if there is none.

    If no earlier kata was recognised either, a file of another kata counts as one, unless it is as the course has it.
    """
    root = katas[0].root
    own = [file for file in left.files if file.size and not file.is_link and not is_nobodys(file)]
    if contents.found:
        own = [file for file in own if not is_anothers(file.path, katas)]
    else:
        written = [file for file in given if file.path.suffix == ".py" and not is_reference(file.path, root)]
        own += [file for file in written if not is_courses_own(file, root)]
    if not own:
        return ""
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    return f"{own[0].shown}{more}: no file of a kata that is graded"


def _ambiguous(katas: Iterable[Kata]) -> str:
    return f"could be {' or '.join(kata.name for kata in katas)}: put it into its kata's folder"


def why_unused(file: File, left: Left, katas: list[Kata], contents: Contents) -> tuple[str, bool]:
    """The reason to ignore a file, and True if a person should look at it."""
    if file.is_link:
        return "is a symbolic link: hand in the file itself", True
    if not file.size:
        return "is empty", bool(signs.alike(file.path, [kata for kata in katas if kata not in contents.found]))
    if file in left.unclear:
        return _ambiguous(left.unclear[file]), True
    if file in left.closed:
        return left.closed[file], True
    if archives.is_archive(file.name):
        return "is an archive that was not opened: every kata has a file", DATA not in file.path.parts
    if is_notebook(file.name):
        return "is a notebook that no kata's exercises were taken from", True
    copied = [kata for kata in signs.named(file.name, katas) if kata in contents.found]
    if copied and not is_anothers(file.path, katas):
        return f"{contents.found[copied[0]].file.shown} counts", True
    if file.name in {kata.file.name for kata in katas}:
        return "is in the folder of another kata", True
    return "is not the file of a kata that is graded", False
