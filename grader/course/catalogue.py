"""The katas that exist, and how to find one by a query such as "16", "papers/13"
or "multi_head".
"""

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from grader.course import description, places
from grader.course.description import Description, Exercise
from grader.errors import (
    BrokenDescription,
    MisplacedSpecs,
    UnknownExercise,
    UnknownKata,
)

ROOT = places.root()
TEACHER = "teacher"  # the folder of a kata with specs that no export hands out
SPEC = re.compile(rb"def test_\w+\([^)]*\bkata\b")
KATA_FOLDER = re.compile(r"(?:\d\d|appendix_[a-z])_(?P<module>\w+)")


@dataclass(frozen=True, order=True)
class Kata:
    """One kata of the tree at `root`. `name` is the path of its folder
    below `katas/`.
    """

    root: Path
    name: str

    @cached_property
    def module(self) -> str:
        """The name of its Python module: "multi_head_attention"."""
        return Path(self.name).name[len(Path(self.number).name) + 1 :]

    @cached_property
    def number(self) -> str:
        """The short name that a learner types: "16", "papers/13", "appendix_a"."""
        folder = KATA_FOLDER.fullmatch(Path(self.name).name)
        return self.name[: -len(folder["module"]) - 1] if folder else self.name

    @cached_property
    def file(self) -> Path:
        """The path of its module in a code folder:
        `16_multi_head_attention/multi_head_attention.py`.
        """
        return Path(self.name, f"{self.module}.py")

    @cached_property
    def folder(self) -> Path:
        return self.root / "katas" / self.name

    @property
    def code(self) -> Path:
        """The learner's file."""
        return self.root / "katas" / self.file

    @property
    def specs(self) -> Path:
        return self.folder / f"test_{self.module}.py"

    @property
    def hidden_specs(self) -> list[Path]:
        """The files with a teacher's own specs, which no student gets:
        `teacher/test_*.py`.
        """
        return sorted((self.folder / TEACHER).glob("test_*.py"))

    @property
    def spec_files(self) -> list[Path]:
        """Every file whose specs judge this kata, its own first."""
        return [self.specs, *self.hidden_specs]

    @property
    def reference(self) -> Path:
        return self.solutions / self.file

    @property
    def solutions(self) -> Path:
        """The folder with the references, laid out like katas/. Some trees
        have none.
        """
        return places.references(self.root)

    @property
    def author(self) -> Path:
        """The folder of what only the author needs: textbook solution, mistakes,
        accepted solutions, sealed specs.
        """
        return self.reference.parent / "author"

    @property
    def textbook(self) -> Path:
        """The whole kata as a textbook has it: short and unguarded."""
        return self.author / "textbook.py"

    @property
    def accepted(self) -> list[Path]:
        """Right solutions written differently, to be appended to the reference."""
        return sorted((self.author / "accepted").glob("*.py"))

    @property
    def description(self) -> Description:
        return description.read(self.folder / "kata.toml")

    @property
    def title(self) -> str:
        return self.description.title

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        return self.description.exercises

    @property
    def owners(self) -> tuple[str, ...]:
        """The functions and classes that are exercises, or whose methods are."""
        return tuple(dict.fromkeys(exercise.owner for exercise in self.exercises))

    @property
    def builds_on(self) -> list["Kata"]:
        """The earlier katas whose code this one uses."""
        return [Kata(self.root, name) for name in self.description.builds_on]

    def used_by(self, exercise: Exercise) -> tuple[str, ...]:
        """The functions and classes that an exercise uses, directly or not, without its
        own class.
        """
        uses = {other.name: other.uses for other in self.exercises}
        found: dict[str, None] = {}
        names = list(exercise.uses)
        while names:
            name = names.pop(0)
            if name not in found:
                found[name] = None
                names += uses.get(name, ())
        owners = dict.fromkeys(name.partition(".")[0] for name in found)
        return tuple(name for name in owners if name != exercise.owner)

    def exercise(self, name: str) -> Exercise:
        """The exercise of this name.

        Raises:
            UnknownExercise: there is none.
        """
        for exercise in self.exercises:
            if exercise.name == name:
                return exercise
        raise UnknownExercise(
            self.name, name, [exercise.name for exercise in self.exercises]
        )


def all_katas(root: Path = ROOT) -> list[Kata]:
    """Every folder below `katas/` with a kata.toml, sorted: first the core path, then
    tracks such as papers/.
    """
    top = root / "katas"
    names = [
        Path(folder).relative_to(top).as_posix()
        for folder, _, files in os.walk(top)
        if "kata.toml" in files and KATA_FOLDER.fullmatch(os.path.basename(folder))
    ]
    return [
        Kata(root, name)
        for name in sorted(names, key=lambda name: (name.count("/"), name))
    ]


def with_prerequisites(katas: Iterable[Kata]) -> list[Kata]:
    """The katas and everything they build on, sorted so that each kata comes after the
    ones it builds on.

    Raises:
        BrokenDescription: a kata builds on itself, directly or not.
    """
    order: dict[Kata, None] = {}
    for kata in katas:
        _append(kata, order, ())
    return list(order)


def _append(kata: Kata, order: dict[Kata, None], later: tuple[Kata, ...]) -> None:
    """Append the kata, after what it builds on. The later ones build on it."""
    if kata in later:
        raise BrokenDescription(
            f"{kata.folder / 'kata.toml'}: builds_on leads back to {kata.name}"
        )
    if kata not in order:
        for earlier in kata.builds_on:
            _append(earlier, order, (*later, kata))
        order[kata] = None


def refuse_misplaced_specs(root: Path = ROOT) -> None:
    """Refuse a teacher's specs that would not count, because of their file's name or
    their folder's.

    Raises:
        MisplacedSpecs: there are some in a folder such as `teachers/`, or in a
            `teacher/` where no kata is.
    """
    counted = {path for kata in all_katas(root) for path in kata.hidden_specs}
    for path in sorted((root / "katas").rglob("*.py")):
        is_meant = path.parent.name.lower().startswith(TEACHER)
        if is_meant and path not in counted and SPEC.search(path.read_bytes()):
            shown = path.relative_to(root).as_posix()
            raise MisplacedSpecs(
                f"{shown}: its specs do not count: put them into "
                f"katas/KATA/{TEACHER}/test_….py"
            )


def kata_at(path: Path) -> Kata | None:
    """The kata whose folder contains this file, in any tree; None if no kata does."""
    for folder in path.parents:
        if KATA_FOLDER.fullmatch(folder.name) and (folder / "kata.toml").is_file():
            for top in folder.parents:
                if top.name == "katas":
                    return Kata(top.parent, folder.relative_to(top).as_posix())
    return None


def find(query: str, root: Path = ROOT) -> Kata:
    """Find a kata by a path prefix ("16", "katas/papers/13") or by the start of its
    module's name ("multi_head").

    Raises:
        UnknownKata: no kata, or more than one, matches.
    """
    wanted = _plain(query)
    katas = all_katas(root)
    by_path = [kata for kata in katas if _is_prefix(wanted, kata.name)]
    by_module = [kata for kata in katas if wanted and kata.module.startswith(wanted)]
    for matches in ([k for k in by_path if k.name == wanted], by_path, by_module):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UnknownKata(_ambiguous(query, [kata.name for kata in matches]))
    raise UnknownKata(
        _no_match(query, [kata.name for kata in katas], root / "katas")
        if katas
        else none_in(root)
    )


def none_in(root: Path) -> str:
    """The line that says what to do where there are no katas."""
    if places.is_checkout():
        return f"no katas in {root / 'katas'}: is the checkout complete?"
    return (
        "there are no katas here: kata start my-katas lays them out, then cd my-katas"
    )


def matching(query: str, root: Path = ROOT) -> list[Kata]:
    """Every kata of a track, such as "tinytorch", or the one that `find` finds.

    Raises:
        UnknownKata: the query matches neither a track nor exactly one kata.
    """
    wanted = _plain(query)
    track = [
        kata
        for kata in all_katas(root)
        if wanted and kata.name.startswith(f"{wanted}/")
    ]
    return track or [find(query, root)]


def expand(path: Path) -> Path:
    """Complete abbreviated parts of a path below a `katas/` folder.

    Raises:
        UnknownKata: a part is the prefix of no entry, or of several.
    """
    if path.exists():
        return path
    parent = expand(path.parent)
    entries = (
        sorted(p.name for p in parent.iterdir() if p.name[0] not in "._")
        if parent.is_dir()
        else []
    )
    matches = [name for name in entries if name.startswith(path.name)]
    if len(matches) > 1 and any(name.endswith(".py") for name in matches):
        matches = [name for name in matches if name.endswith(".py")]
    shown = f"{parent.name}/{path.name}"
    if len(matches) == 1:
        return parent / matches[0]
    if matches:
        raise UnknownKata(_ambiguous(shown, matches))
    raise UnknownKata(_no_match(shown, entries, parent))


def _plain(query: str) -> str:
    plain = query.strip().removeprefix("./").removeprefix("katas/").strip("/")
    # A, as the course's pages write it
    return f"appendix_{plain.lower()}" if re.fullmatch("[A-Z]", plain) else plain


def _is_prefix(wanted: str, name: str) -> bool:
    given, parts = wanted.split("/"), name.split("/")
    return (
        bool(wanted)
        and len(given) == len(parts)
        and all(map(str.startswith, parts, given))
    )


def _ambiguous(query: str, names: list[str]) -> str:
    return (
        f"'{query}' could be {', '.join(names[:6])}{' …' if len(names) > 6 else ''}: "
        "type more letters"
    )


def _no_match(query: str, names: list[str], where: Path) -> str:
    """An error message with the nearest entries: by number if the query has a number,
    else by spelling.
    """
    parent, _, last = query.removeprefix("katas/").rstrip("/").rpartition("/")
    near = [name for name in names if name.startswith(parent)] or names
    number = re.match(r"\d+", last)
    numbered = [
        name
        for name in near
        if KATA_FOLDER.fullmatch(Path(name).name) and Path(name).name[:2].isdigit()
    ]
    if number and numbered:
        near = sorted(
            numbered, key=lambda name: abs(int(Path(name).name[:2]) - int(number[0]))
        )
    else:
        near = difflib.get_close_matches(last, near, n=3, cutoff=0.3) or near
    nearest = f": the nearest are {', '.join(near[:3])}" if near else ""
    return f"'{query}' matches nothing in {where.name}/{nearest}"
