"""Reset and undo: puts a kata's stub back, and keeps every version that it replaces."""

from datetime import datetime
from pathlib import Path

from grader import files
from grader.course import kata_modules, stubs
from grader.course.catalogue import Kata
from grader.errors import NotPossible
from grader.learner import tasks


def reset(kata: Kata, exercise: str | None = None) -> str:
    """Put the stub back, of the file or of one exercise, and keep the learner's
    version. Returns a sentence about it.

    Raises:
        UnknownExercise: the kata has no such exercise.
        NotPossible: there is neither a reference nor a packed stub, or the file has no
            such exercise.
    """
    stub = stubs.stub_of(kata)
    if stub is None:
        raise NotPossible(
            f"the stub of {kata.name} cannot be made here: there is no "
            f"solutions/{kata.file}"
        )
    if exercise:
        return _reset_one(kata, kata.exercise(exercise).name, stub)
    if (
        kata.code.is_file()
        and not kata.code.is_symlink()
        and kata.code.read_bytes() == stub.encode()
    ):
        return f"katas/{kata.file} is already the stub"
    there = kata.code.is_file()
    replace(kata, kata.code, stub)
    kept = f"; kata undo {kata.number} brings your version back" if there else ""
    return f"katas/{kata.file} is the stub again{kept}"


def _reset_one(kata: Kata, exercise: str, stub: str) -> str:
    text = kata_modules.read_source(kata.code) if kata.code.is_file() else ""
    blank = tasks.blanked(text, exercise, stub)
    if blank is None:
        raise NotPossible(
            f"{exercise} is not found in katas/{kata.file}: kata reset {kata.number} "
            "resets the whole file"
        )
    if blank == text:
        return f"{exercise} is already as in the stub"
    replace(kata, kata.code, blank)
    return (
        f"{exercise} is as in the stub again; kata undo {kata.number} brings your "
        "version back"
    )


def undo(kata: Kata) -> str:
    """Bring back the learner's version kept last, and keep the current one. The stub is
    no version of theirs.

    Raises:
        NotPossible: no version is kept, or the file is the only one.
    """
    stub = (stubs.stub_of(kata) or "").encode()
    now = kata.code.read_bytes() if kata.code.is_file() else stub
    kept = [
        content for path in versions(kata) if (content := path.read_bytes()) != stub
    ]
    if not kept:
        raise NotPossible(
            f"nothing to undo: no reset has kept a version of katas/{kata.file}"
        )
    if kept[-1] == now:
        raise NotPossible(f"nothing to undo: katas/{kata.file} is your version already")
    replace(kata, kata.code, kept[-1])
    swap = (
        "" if now == stub else f"; kata undo {kata.number} swaps the two versions back"
    )
    return f"katas/{kata.file} is your version again{swap}"


def replace(kata: Kata, path: Path, content: str | bytes) -> str:
    """Replace a file of the kata and keep its old content. Returns a sentence that
    says so.

    A link is replaced, not followed.

    Raises:
        NotPossible: the file is the kata's own, and its folder is a link that leads out
            of the course.
    """
    if path == kata.code and not path.parent.resolve().is_relative_to(
        kata.root.resolve()
    ):
        raise NotPossible(
            f"katas/{kata.name} is a link that leads out of the course: nothing was "
            "written"
        )
    new = content.encode() if isinstance(content, str) else content
    if path.is_file() and not path.is_symlink() and path.read_bytes() == new:
        return f"{path} is up to date"
    kept = _keep(kata, path) if path.is_file() else None
    files.write(path, new, through_links=False)
    return f"wrote {path}" + (
        f"; the old version is kept in {kept.relative_to(kata.root)}" if kept else ""
    )


def versions(kata: Kata) -> list[Path]:
    """The kept versions of the kata's file, oldest first."""
    return sorted(_folder(kata).glob("*.py"))


def _keep(kata: Kata, path: Path) -> Path:
    """Copy the file into the kata's folder of kept versions, under the next number."""
    number = len(list(_folder(kata).glob("*"))) + 1
    kept = (
        _folder(kata) / f"{number:04}_{datetime.now():%Y-%m-%d_%H-%M-%S}{path.suffix}"
    )
    files.write(kept, path.read_bytes())
    return kept


def _folder(kata: Kata) -> Path:
    return kata.root / ".kata" / "kept" / kata.name
