"""Update: takes a newer course over a checkout or a workspace, keeps what the learner
wrote, and can go back.
"""

import itertools
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from grader import files
from grader.course import catalogue, description, handouts, papers, places, stubs
from grader.course.catalogue import Kata
from grader.errors import NotPossible
from grader.learner import workspace
from grader.reports import words

# Folders that belong to a checkout and not to the course.
LOCAL = {
    ".git",
    ".venv",
    ".kata",
    "data",
    "__pycache__",
    ".pytest_cache",
    ".hypothesis",
}
OF_A_WORKSPACE = (
    ": that of the installed release; install a newer one, then kata update"
)
RELEASE = re.compile(r"## \d.*")  # its heading in the changelog
CHANGES, REQUIREMENTS = "CHANGELOG.md", ("pyproject.toml", "grader/constraints.txt")


def update(root: Path, source: str) -> list[str]:
    """Take over the course at `source`, and say what is new. Everything that is
    replaced is kept for `go_back`.

    Stubs, specs, lessons and the grader are replaced. A file that differs from its stub
    stays as it is, if only a comment does. If more than the layout of its stub has
    changed, the new one is written beside it as NAME.new.py.

    Args:
        root: a checkout, or a workspace, which takes over the installed course.
        source: a folder, or what `git clone` accepts.
    Raises:
        NotPossible: the source cannot be fetched, or holds no katas, or is this
            checkout itself.
    """
    with _fetched(source) as new:
        if new.resolve() == root.resolve():
            raise NotPossible(f"{source} is this checkout itself")
        katas = catalogue.all_katas(new)
        if not katas:
            raise NotPossible(f"{source} holds no katas")
        wanted = dict(_taken(new, katas, root))
        beside = {}
        for kata in katas:
            mine, place = Kata(root, kata.name), Path("katas") / kata.file
            if stubs.is_changed(mine, mine.code):
                stub = wanted.pop(place, b"")
                if not stubs.same_python(stub.decode(), stubs.stub_of(mine) or ""):
                    beside[place] = place.with_suffix(".new.py")
                    wanted[beside[place]] = stub
        replaced = root / (places.REFERENCES if places.is_workspace(root) else "grader")
        gone = (
            [path.relative_to(root) for path in _course_files(replaced)]
            if replaced.is_dir()
            else []
        )
        changed = {
            path: content
            for path, content in wanted.items()
            if _content(root / path) != content
        }
        removed = [path for path in gone if path not in wanted]
        known = {kata.name for kata in catalogue.all_katas(root)}
        told = _told(
            root,
            new,
            changed,
            beside,
            [kata.name for kata in katas if kata.name not in known],
        )
        if changed or removed:
            _keep(root, [*changed, *removed])
        for path, content in changed.items():
            files.write(root / path, content)
        for path in removed:
            (root / path).unlink()
    description.read.cache_clear()  # stubs follow from it
    return told


def go_back(root: Path) -> str:
    """Undo the last update. Returns a sentence that says so.

    Files of the course become what they were, those that were new are removed. Work
    written since stays.

    Raises:
        NotPossible: no update is kept.
    """
    kept = sorted((root / ".kata" / "updates").glob("[0-9]*/replaced.json"))
    if not kept:
        raise NotPossible("nothing to go back to: no update is kept in .kata/updates")
    folder = kept[-1].parent
    work = {
        f"katas/{kata.file}"
        for kata in catalogue.all_katas(root)
        if stubs.is_changed(kata, kata.code)
    }
    for name, existed in json.loads(kept[-1].read_text(encoding="utf-8")).items():
        path = root / name
        # in a folder that somebody else has made
        if name in work or not path.resolve().is_relative_to(root.resolve()):
            continue
        if existed:
            files.write(path, (folder / name).read_bytes())
        else:
            path.unlink(missing_ok=True)
    folder.rename(folder.with_name(f"undone_{folder.name}"))
    return "the course is as it was before the last update; what you wrote is untouched"


@contextmanager
def _fetched(source: str) -> Iterator[Path]:
    """The folder of the newer course: the source itself, or a clone that lasts as long
    as the block.
    """
    if any((Path(source) / name).is_dir() for name in ("grader", "katas")):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="kata-update-") as place:
        command = ["git", "clone", "--quiet", "--depth", "1", "--", source, place]
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace"
            )
        except FileNotFoundError:
            raise NotPossible(
                f"{source} is no folder with a course, and git is not installed to "
                "fetch it"
            ) from None
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["git failed"])[0]
            raise NotPossible(f"{source} cannot be fetched: {reason}")
        yield Path(place)


def _taken(new: Path, katas: list[Kata], root: Path) -> Iterator[tuple[Path, bytes]]:
    """The files that this checkout takes over, by their paths in it, and what they
    hold: of each kata those that it may have, and all that is no kata's.

    The whole course, which has the tests as well, takes all of the newer one. A copy
    that grades takes the references and what asks beside them; a starter neither. A
    workspace has its references out of sight.
    """
    if places.is_workspace(root):
        yield from (
            workspace.of_the_course(new)
            | (workspace.references(new) if places.archive() else {})
        ).items()
        return
    is_whole, has_references = (root / "tests").is_dir(), (root / "solutions").is_dir()
    of_katas = {path for kata in katas for path in kata.folder.rglob("*")}
    for path in _course_files(new):
        if (
            is_whole
            or path.relative_to(new).parts[0] not in ("solutions", "tests")
            and path not in of_katas
        ):
            yield path.relative_to(new), path.read_bytes()
    for kata in [] if is_whole else katas:
        files_of_kata = [
            *handouts.of_the_learner(kata),
            *(handouts.of_the_teacher(kata) if has_references else ()),
        ]
        yield from (
            (path.relative_to(new), papers.handed_out(kata, path))
            for path in files_of_kata
        )


def _course_files(folder: Path) -> Iterator[Path]:
    """Every file below the folder, without what is local to a checkout and
    without links.
    """
    for path in sorted(folder.iterdir()):
        if path.name in LOCAL or path.name.endswith(".egg-info") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _course_files(path)
        else:
            yield path


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _keep(root: Path, paths: list[Path]) -> None:
    """Copy the files that are about to change. The list of them comes last: without it,
    nothing has been replaced.
    """
    # a clock may go back
    number = len(list((root / ".kata" / "updates").glob("*"))) + 1
    folder = (
        root / ".kata" / "updates" / f"{number:04}_{datetime.now():%Y-%m-%d_%H-%M-%S}"
    )
    for path in paths:
        if (root / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, folder / path)
    existed = {path.as_posix(): (root / path).is_file() for path in paths}
    files.write(folder / "replaced.json", json.dumps(existed, indent=1))


def _changes(before: list[str], after: list[str]) -> list[str]:
    """The new lines of a changelog, down to the newest release that the earlier one
    has: older ones are shortened.
    """
    known = {line for line in before if RELEASE.fullmatch(line)}
    newest = itertools.takewhile(lambda line: line not in known, after)
    return [line for line in newest if line.strip() and line not in before]


def _told(
    root: Path,
    new: Path,
    changed: dict[Path, bytes],
    beside: dict[Path, Path],
    katas: list[str],
) -> list[str]:
    """The news, in lines: changes of the course, new katas, changed specs, and files to
    look at.
    """
    if not changed:
        return [
            (
                "this is the newest course "
                f"already{OF_A_WORKSPACE if places.is_workspace(root) else ''}"
            )
        ]
    known = root / (workspace.CHANGES if places.is_workspace(root) else CHANGES)
    before = (_content(known) or b"").decode().splitlines()
    after = (
        (_content(new / CHANGES) or b"").decode().splitlines()
        if before or not places.is_workspace(root)
        else []
    )
    lines = _changes(before, after)
    specs = [
        path.parent.name
        for path, content in changed.items()
        if path.name.startswith("test_")
        and path.parts[0] == "katas"
        and not stubs.same_python(
            (_content(root / path) or b"").decode(), content.decode()
        )
    ]
    lines += [f"new katas: {', '.join(katas)}"] if katas else []
    lines += [f"specs have changed: {', '.join(dict.fromkeys(specs))}"] if specs else []
    lines += [
        f"{stub} is the new stub; {place} is yours, unchanged"
        for place, stub in beside.items()
    ]
    lines += (
        ["packages have changed: make setup"]
        if any(Path(name) in changed for name in REQUIREMENTS)
        else []
    )
    return [
        *lines,
        f"{words.counted(len(changed), 'file')} updated; kata update --back goes back",
    ]
