"""Which katas exist, what they are made of, and which one somebody means by "16", "papers/13" or "multi_head"."""

import ast
import difflib
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KATA_FOLDER = re.compile(r"(?:\d\d|appendix_[a-z])_(?P<module>\w+)")


class UnknownKata(LookupError):
    """Nothing, or more than one kata, goes by that name. The message is one line for the person who typed it."""


@dataclass(frozen=True, order=True)
class Exercise:
    """One public function or class of a kata, and the spec class that judges it."""

    name: str
    spec_class: str
    stretch: bool


@dataclass(frozen=True, order=True)
class Kata:
    """One kata of the tree at `root`; `name` is its folder's path below `katas/`."""

    root: Path
    name: str

    @property
    def module(self) -> str:
        return KATA_FOLDER.fullmatch(Path(self.name).name)["module"]

    @property
    def file(self) -> Path:
        """The path of its module below any code folder: `16_multi_head_attention/multi_head_attention.py`."""
        return Path(self.name, f"{self.module}.py")

    @property
    def folder(self) -> Path:
        return self.root / "katas" / self.name

    @property
    def specs(self) -> Path:
        return self.folder / f"test_{self.module}.py"

    @property
    def reference(self) -> Path:
        return self.root / "solutions" / self.file

    @property
    def number(self) -> str:
        """What a learner types for it: "16", "papers/13", "appendix_a"."""
        return self.name[: len(self.name) - len(self.module) - 1]


def all_katas(root: Path = ROOT) -> list[Kata]:
    """Every kata folder below `katas/`, in path order: the core path first, tracks such as papers/ after it."""
    top = root / "katas"
    names = [
        Path(folder).relative_to(top).as_posix()
        for folder, _, _ in os.walk(top)
        if KATA_FOLDER.fullmatch(os.path.basename(folder))
    ]
    return [Kata(root, name) for name in sorted(names, key=lambda name: (name.count("/"), name))]


def kata_at(path: Path) -> Kata | None:
    """The kata whose folder holds this file, in whatever tree that is; None for a file of no kata."""
    for folder in path.parents:
        if KATA_FOLDER.fullmatch(folder.name):
            for top in folder.parents:
                if top.name == "katas":
                    return Kata(top.parent, folder.relative_to(top).as_posix())
    return None


def find(query: str, root: Path = ROOT) -> Kata:
    """The one kata meant by a path prefix ("16", "katas/papers/13") or by the start of its title ("multi_head")."""
    wanted = query.strip().removeprefix("./").removeprefix("katas/").strip("/")
    katas = all_katas(root)
    by_path = [kata for kata in katas if _is_prefix(wanted, kata.name)]
    by_title = [kata for kata in katas if wanted and kata.module.startswith(wanted)]
    for matches in ([k for k in by_path if k.name == wanted], by_path, by_title):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UnknownKata(_ambiguous(query, [kata.name for kata in matches]))
    raise UnknownKata(_no_match(query, [kata.name for kata in katas], root / "katas"))


def expand(path: Path) -> Path:
    """A path below a `katas/` folder with every part completed that is the start of exactly one entry there.

    Raises:
        UnknownKata: a part starts no entry, or several.
    """
    if path.exists():
        return path
    parent = expand(path.parent)
    entries = sorted(p.name for p in parent.iterdir() if p.name[0] not in "._") if parent.is_dir() else []
    matches = [name for name in entries if name.startswith(path.name)]
    if len(matches) > 1 and any(name.endswith(".py") for name in matches):
        matches = [name for name in matches if name.endswith(".py")]
    shown = f"{parent.name}/{path.name}"
    if len(matches) == 1:
        return parent / matches[0]
    if matches:
        raise UnknownKata(_ambiguous(shown, matches))
    raise UnknownKata(_no_match(shown, entries, parent))


@cache
def exercises(kata: Kata) -> tuple[Exercise, ...]:
    """The exercises in the order of their spec classes, read from the spec file without running it.

    `TestSplitHeads` judges the name that its file reaches as `kata.split_heads`: the two agree but for case and `_`.
    A kata whose spec file is missing or does not parse has none.
    """
    try:
        source = kata.specs.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (FileNotFoundError, SyntaxError):
        return ()
    names = {_folded(name): name for name in re.findall(r"\bkata\.(\w+)", source)}
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            name = names.get(_folded(node.name.removeprefix("Test")), node.name.removeprefix("Test"))
            stretch = any(ast.unparse(d) == "pytest.mark.stretch" for d in node.decorator_list)
            found.append(Exercise(name, node.name, stretch))
    return tuple(found)


@cache
def prerequisites(kata: Kata) -> tuple[Kata, ...]:
    """The earlier katas whose names the stub takes over by `prerequisite("…")`."""
    source = (kata.folder / f"{kata.module}.py") if not kata.reference.is_file() else kata.reference
    if not source.is_file():
        return ()
    names = re.findall(r'^[^#\n]*\bprerequisite\("([^"]+)"\)', source.read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(find(name, kata.root) for name in dict.fromkeys(names))


@cache
def needs(kata: Kata) -> frozenset[str]:
    """What the kata's specs may use beyond the usual, from the line `NEEDS = (…)` of the spec file: "processes" of their own,
    the "loopback" address."""
    source = kata.specs.read_text(encoding="utf-8") if kata.specs.is_file() else ""
    declared = re.search(r"^NEEDS = (\(.*\))$", source, re.MULTILINE)
    return frozenset(ast.literal_eval(declared[1]) if declared else ())


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _is_prefix(wanted: str, name: str) -> bool:
    given, parts = wanted.split("/"), name.split("/")
    return bool(wanted) and len(given) == len(parts) and all(map(str.startswith, parts, given))


def _ambiguous(query: str, names: list[str]) -> str:
    return f"'{query}' could be {', '.join(names[:6])}{' …' if len(names) > 6 else ''}: type one more letter"


def _no_match(query: str, names: list[str], where: Path) -> str:
    """Names the nearest entries: by number where a number was typed, else by spelling."""
    parent, _, last = query.removeprefix("katas/").rstrip("/").rpartition("/")
    near = [name for name in names if name.startswith(parent)] or names
    number = re.match(r"\d+", last)
    numbered = [name for name in near if KATA_FOLDER.fullmatch(Path(name).name) and Path(name).name[:2].isdigit()]
    if number and numbered:
        near = sorted(numbered, key=lambda name: abs(int(Path(name).name[:2]) - int(number[0])))
    else:
        near = difflib.get_close_matches(last, near, n=3, cutoff=0.3) or near
    nearest = f": the nearest are {', '.join(near[:3])}" if near else ""
    return f"'{query}' matches nothing in {where.name}/{nearest}"
