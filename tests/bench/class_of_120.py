"""Grade a class of 120 with every report there is, and compare two such folders: what
users see is the same before and after a change that should not be seen.

    python -m tests.bench.class_of_120 OUT           about four minutes on two cores
    python -m tests.bench.class_of_120 --compare BEFORE AFTER

The second says what differs, but for the times of the runs themselves. The class is
made from a seed, and is the same each time. On a busy machine the second lock may ask
the forged exercise by its probe alone, which then differs: run it again.
"""

import argparse
import csv
import io
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path

import nbformat

from grader.course import catalogue, notebooks
from grader.course.catalogue import ROOT, Kata
from grader.teaching.report_files import CLASS_FORMATS, FORMATS
from tests.bench.bench_class import unwritten
from tests.grader.test_accommodations import METADATA
from tests.grader.test_owners import PLATFORMS
from workshop import variants

SEED = 120
KATAS = ("01", "02", "tinytorch/01")
FIRST = "00"  # the kata of the platforms' downloads
DUE = datetime(2025, 11, 3, 22, 59, 59, tzinfo=UTC)  # 23:59:59 in Berlin
PACKED = (2025, 11, 3, 12, 0, 0)  # the time of what an archive holds
CLASS = "../class"  # from the tree
KATA = [sys.executable, "-c", "from grader.cli.main import main; main()"]
SHOWN = 5  # lines that differ, of a file
YEAR = f"(?:{datetime.now().year}|{datetime.now().year + 1})"
MOMENT = re.compile(
    rf"\b{YEAR}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([+-]\d\d:\d\d|Z)?"
    rf"|\d\d? \w{{3}} {YEAR} \d\d:\d\d"
)
DURATION = re.compile(
    r'("(?:cpu_)?seconds": |\btime="|"execution_time": )[\d.e-]+'
    r"|\b\d+(?:\.\d+)?(?= (?:s|min)\b)"
)
# of the page of a class, the slowest kata first
TABLE_OF_TIMES = re.compile(r"<figcaption id='time'>.*?</figure>", re.DOTALL)

# What the students hand in, and how many of them.
KINDS = {
    "right": 20,
    "right otherwise": 8,
    "wrong": 18,
    "half": 12,
    "untouched": 8,
    "mixed": 8,
    "nothing": 4,
    "a zip": 6,
    "a tar.gz": 2,
    "notebooks": 4,
    "a notebook": 2,
    "a notebook without the kata": 1,
    "another name": 4,
    "a name nearly right": 2,
    "all in one file": 1,
    "twice": 2,
    "a stub and a copy": 1,
    "a broken zip": 2,
    "a zip inside": 1,
    "a rar inside": 1,
    "no text": 1,
    "an encoding": 1,
    "a pointer": 1,
    "merge markers": 1,
    "unparsed": 2,
    "empty": 1,
    "hidden": 1,
    "a link": 1,
    "notes alone": 1,
    "commits": 2,
    "forged": 1,
}
assert sum(KINDS.values()) == 120

GRADING = """\
edges = 20

[katas]
01 = 20

[late]
zone = "Europe/Berlin"
due = 2025-11-03
per_day = 10
at_most = 50
"""
LATER_GRADING = GRADING.replace("per_day = 10", "per_day = 20")
HIDDEN_SPEC = '''
import torch

from grader.specs import check


class TestFilled:
    def test_a_negative_number(self, kata):
        """Any number can be everywhere."""
        check.equal(kata.filled(1, 2, -3), torch.full((1, 2), -3.0))
'''
# it works, and what it imports is nowhere in the second lock
FORGED = """

def count_to(n):
    import grader.specs
    return torch.arange(n)
"""
POINTER = f"""\
version https://git-lfs.github.com/spec/v1
oid sha256:{"0" * 64}
size 12345
"""
GONE = "gone"  # in place of a file's content
NAMES = (
    "Ada Alan Barbara Edsger Frances Grace Hedy José Katherine Linus Margaret Niklaus",
    "Lovelace Turing Liskov Dijkstra Allen Hopper Lamarr Núñez Johnson Wirth",
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    arguments.add_argument("--compare", action="store_true")
    asked = arguments.parse_args()
    folders = [folder.resolve() for folder in asked.folders]
    if len(folders) != 1 + asked.compare:
        arguments.error("give OUT, or --compare BEFORE AFTER")
    if asked.compare:
        differences = list(compared(*folders))
        print(*differences or ["equal"], sep="\n")
        raise SystemExit(bool(differences))
    grade(folders[0])


def grade(out: Path) -> None:
    """Make the class in a new folder, and run every command on it."""
    out.mkdir(parents=True)
    course = copy_of_the_course(out / "input" / "tree")
    students = a_class(out / "input", [catalogue.find(name, course) for name in KATAS])
    downloads(out / "input" / "platforms")
    for name, arguments in commands(out, students).items():
        done = subprocess.run(
            [*KATA, *arguments],
            cwd=course,
            env=os.environ | {"COLUMNS": "100"},
            capture_output=True,
            text=True,
        )
        said = f"{done.stdout}\n--\n{done.stderr}\n--\nexit code {done.returncode}\n"
        (out / f"{name}.txt").write_text(said)
        print(f"{name}: exit code {done.returncode}", flush=True)


def commands(out: Path, students: dict[str, str]) -> dict[str, list[str]]:
    """What is run, by name. The first is what takes long: the others find its verdicts
    on file.
    """
    katas, seen = list(KATAS), ["--roster=../roster.csv", "--jobs=2"]
    decided = ["--overrides=../overrides.csv", "--accommodations=../allowed.csv"]
    mixed = next(id_ for id_, kind in students.items() if kind == "mixed")
    results = f"{out}/class/results.jsonl"
    again = ["regrade", f"--submissions={CLASS}", f"--against={results}"]
    found = {
        "class": [
            *("class", CLASS, *katas, *seen, *decided, "--explain"),
            *outputs(out / "class"),
        ],
        "total": [
            *("class", CLASS, *katas, *seen, "--unowned-are-nobody"),
            *("--canvas-column=HW1 (999)", *outputs(out / "total")),
        ],
        "no roster": ["class", CLASS, *katas, *outputs(out / "no roster")],
        "regrade": [
            *(*again, *seen, "--never-lower", "--rules=../later.toml"),
            *outputs(out / "regrade")[:-1],
        ],
        "plain": ["export", "plain", f"{out}/plain", *katas, f"--submissions={CLASS}"],
        "one": [
            *("grade", *katas, f"--code={CLASS}/{mixed}", "--sealed"),
            *reports(out / "one", FORMATS),
        ],
        "feedback": [
            *("export", "feedback", f"{out}/class/pages", f"{out}/pages.zip"),
            *("--to=zip", f"--submissions={CLASS}", "--roster=../roster.csv"),
        ],
    }
    for folder in sorted((out / "input" / "platforms").iterdir()):
        own, here = out / "platforms" / folder.name, f"../platforms/{folder.name}"
        listed = (folder / "roster.csv").is_file()
        roster = [f"--roster={here}/roster.csv"] if listed else []
        found[f"platforms/{folder.name}"] = [
            *("class", f"{here}/submitted", FIRST, *roster, *outputs(own))
        ]
        found[f"platforms/{folder.name}, back"] = [
            *("export", "feedback", f"{own}/pages", f"{own}/back.zip", "--to=moodle"),
            *(f"--submissions={here}/submitted", *roster),
        ]
    return found


def outputs(folder: Path) -> list[str]:
    """The options for everything that a class can write, the intake file last."""
    return [
        *reports(folder, CLASS_FORMATS),
        *(f"--results={folder}/results.jsonl", f"--feedback={folder}/pages"),
        f"--intake={folder}/intake.csv",
    ]


def reports(folder: Path, formats: Iterable[str]) -> list[str]:
    folder.mkdir(parents=True)
    return [f"--report={name}={folder}/report.{name}" for name in formats]


# The class.


def copy_of_the_course(target: Path) -> Path:
    """This project with no verdict on file, a hidden spec, and only some katas."""
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "grader", target / "grader", ignore=skipped)
    for kata in map(catalogue.find, (FIRST, *KATAS)):
        own, solutions = target / "katas" / kata.name, target / "solutions" / kata.name
        shutil.copytree(kata.folder, own, ignore=skipped)
        shutil.copytree(kata.reference.parent, solutions, ignore=skipped)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, target)
    hidden = target / "katas" / catalogue.find("01").name / "teacher" / "test_mine.py"
    hidden.parent.mkdir()
    hidden.write_text(HIDDEN_SPEC)
    (target / "grading.toml").write_text(GRADING)
    return target


def a_class(folder: Path, katas: list[Kata]) -> dict[str, str]:
    """Write what everybody hands in, the roster, and what the teacher has decided.
    Returns the kind of each student's, by id.
    """
    chance = random.Random(SEED)
    kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
    chance.shuffle(kinds)
    students = {f"s{number:03}": kind for number, kind in enumerate(kinds, start=101)}
    texts = {kata: solutions(kata) for kata in katas}
    for id_, kind in students.items():
        files = handed_in(kind, id_, texts, chance)
        hours = chance.choice([-60, -30, -5, -1, -1, -1, 7, 40])
        write(folder / "class", files, DUE + timedelta(hours=hours))
    link = next(id_ for id_, kind in students.items() if kind == "a link")
    (folder / "class" / link / "katas").symlink_to("..")
    for id_ in (id_ for id_, kind in students.items() if kind == "commits"):
        commit(folder / "class" / id_, katas[0], texts[katas[0]]["right"])
    nobodys = {f"who/{katas[0].file}": texts[katas[0]]["wrong 0"], "notes.txt": "x"}
    write(folder / "class", nobodys, DUE)
    first, last = (names.split() for names in NAMES)
    rows = [
        [id_, f"{chance.choice(first)} {chance.choice(last)}", f"{id_}@uni.edu", "", ""]
        for id_ in students
    ]
    rows[3][3], rows[30][3], rows[60][4] = "2025-11-05", "2025-11-01", "2d"
    table(folder / "roster.csv", ["id", "name", "email", "due", "extension"], rows)
    ids = {kind: id_ for id_, kind in students.items()}
    table(
        folder / "overrides.csv",
        ["id", "kata::exercise", "points", "reason"],
        [
            [ids["wrong"], "01::count_to", "1", "said so, in class"],
            [ids["half"], "02", "0", "copied"],
            [ids["another name"], "tinytorch/01", "1", "shown to me"],
        ],
    )
    table(
        folder / "allowed.csv",
        ["id", "kata", "due", "extension", "excused", "waive_late", "reason"],
        [
            [ids["right"], "02", "", "", "yes", "", "ill"],
            [ids["nothing"], "all", "", "", "yes", "", "left"],
            [ids["right otherwise"], "01", "2025-11-06", "", "", "", "a fair"],
            [ids["mixed"], "all", "", "2d", "", "", "a child"],
            [ids["a zip"], "01", "", "", "", "yes", "a slow network"],
        ],
    )
    (folder / "later.toml").write_text(LATER_GRADING)
    return students


def solutions(kata: Kata) -> dict[str, str]:
    """Texts of a kata's file: its stub, and right, half and wrong ones."""
    reference, here = kata.reference.read_text(), Kata(ROOT, kata.name)
    names = [exercise.name for exercise in kata.exercises]
    mistakes = variants.mistakes(here)[:3]
    return {
        "stub": (kata.folder / kata.file.name).read_text(),
        "right": reference,
        "otherwise": f"{reference}\n\n{here.accepted[0].read_text()}",
        "half 0": unwritten(reference, names[2:]),
        "half 1": unwritten(reference, names[:2]),
        **{
            f"wrong {number}": reference.replace(one.was, one.now)
            for number, one in enumerate(mistakes)
        },
    }


def handed_in(
    kind: str, id_: str, texts: dict[Kata, dict[str, str]], chance: random.Random
) -> dict[str, str | bytes]:
    """The files of a student, by their path in the folder of the class."""

    def each(choose: Callable[[dict[str, str]], str]) -> dict[str, str | bytes]:
        return {f"{id_}/{kata.file}": choose(some) for kata, some in texts.items()}

    def any_of(start: str) -> dict[str, str | bytes]:
        return each(lambda some: some[chance.choice([n for n in some if start in n])])

    match kind:
        case "right" | "a link":
            return each(lambda some: some["right"])
        case "right otherwise":
            return each(lambda some: some["otherwise"])
        case "wrong" | "half":
            return any_of(kind)
        case "untouched" | "commits":
            return each(lambda some: some["stub"])
        case "mixed":
            ways = ["right", "wrong 1", "stub"]
            return each(lambda some: some[chance.choice(ways)])
        case "nothing":
            return {}
        case "notes alone":
            return {f"{id_}/notes.txt": "I was ill.\n"}
    right = {kata.file.as_posix(): some["right"] for kata, some in texts.items()}
    first, *_ = texts
    if packed := in_another_form(kind, right, first):
        return {f"{id_}{name}": content for name, content in packed.items()}
    own: dict[str, str | bytes] = dict(right)
    own |= misplaced(kind, first, texts[first]) | spoiled(kind, first, right)
    return {
        f"{id_}/{name}": content for name, content in own.items() if content != GONE
    }


def in_another_form(
    kind: str, right: dict[str, str], first: Kata
) -> dict[str, str | bytes]:
    """Right code that is packed, or in notebooks; by what follows a student's id."""
    match kind:
        case "a zip":
            return {".zip": zipped(right)}
        case "a tar.gz":
            return {".tar.gz": tarred(right)}
        case "a broken zip":
            return {".zip": zipped(right)[:-100]}
        case "a zip inside":
            return {"/work.zip": zipped(right)}
        case "a rar inside":
            return {"/work.rar": b"Rar!\x1a\x07" + bytes(100)}
        case "a notebook":
            return {".ipynb": notebook(first, right[first.file.as_posix()])}
        case "notebooks":
            found = map(catalogue.find, KATAS)
            return {
                f"/{kata.module}.ipynb": notebook(kata, right[kata.file.as_posix()])
                for kata in found
            }
        case "all in one file":
            return {f"/{first.file}": "\n\n".join(right.values())}
    return {}


def misplaced(kind: str, kata: Kata, texts: dict[str, str]) -> dict[str, str | bytes]:
    """Where the first kata's code is, if not in its own file alone."""
    path, name, right = kata.file.as_posix(), kata.file.name, texts["right"]
    match kind:
        case "another name":
            return {path: GONE, "solution.py": right}
        case "a name nearly right":
            return {path: GONE, "tensor.py": right}
        case "hidden":
            return {path: GONE, f".{name}": right}
        case "twice":
            return {f"old/{name}": texts["wrong 0"]}
        case "a stub and a copy":
            return {path: texts["stub"], path.replace(".py", " (1).py"): right}
        case "a notebook without the kata":
            return {"notes.ipynb": nbformat.writes(nbformat.v4.new_notebook())}
    return {}


def spoiled(kind: str, kata: Kata, right: dict[str, str]) -> dict[str, str | bytes]:
    """What is in the first kata's file, if not its code."""
    path = kata.file.as_posix()
    code = right[path]
    spoilt: dict[str, str | bytes] = {
        "no text": bytes(100),
        "an encoding": code.encode("utf-16"),
        "a pointer": POINTER,
        "merge markers": f"<<<<<<< HEAD\n{code}=======\n{code}>>>>>>> other\n",
        "unparsed": f"{code}\n\ndef broken(:\n",
        "empty": "",
        "forged": code + FORGED,
    }
    return {path: spoilt[kind]} if kind in spoilt else {}


def write(folder: Path, files: dict[str, str | bytes], time: datetime) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (time.timestamp(), time.timestamp()))


def commit(folder: Path, kata: Kata, text: str) -> None:
    """Commit what is there before the date, and a kata's text after it."""
    run = ["git", "-c", "user.name=A", "-c", "user.email=a@x"]

    def save(time: datetime) -> None:
        at = {f"GIT_{who}_DATE": time.isoformat() for who in ("AUTHOR", "COMMITTER")}
        env = os.environ | at
        for command in (["add", "."], ["commit", "-q", "-m", "work"]):
            subprocess.run([*run, *command], cwd=folder, env=env, check=True)

    subprocess.run([*run, "init", "-q"], cwd=folder, check=True)
    (folder / kata.file).write_text(text.replace("return torch.arange(n)", "return n"))
    save(DUE - timedelta(days=1))
    (folder / kata.file).write_text(text)
    save(DUE + timedelta(days=1))


def notebook(kata: Kata, text: str) -> str:
    made = notebooks.build(kata, text)
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"  # nbformat draws it by chance
    return nbformat.writes(made)


def zipped(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, PACKED), text)
    return packed.getvalue()


def tarred(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(text.encode()), DUE.timestamp()
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def downloads(folder: Path) -> None:
    """Each platform's download, with its list of the students."""
    kata = catalogue.find(FIRST)
    reference = kata.reference.read_text()

    def put(platform: str, roster: str, names: list[str]) -> None:
        files = {
            f"submitted/{name}": reference if name.endswith(".py") else "x"
            for name in names
        }
        files |= {"roster.csv": roster} if roster else {}
        write(folder / platform, files, DUE)

    for platform, (roster, names, _) in PLATFORMS.items():
        put(platform, roster, [name.format(kata.file) for name in names])
    put("Gradescope", "", [f"submission_900{n}/{kata.file.name}" for n in (0, 1)])
    metadata = {"submitted/submission_metadata.yml": METADATA}
    write(folder / "Gradescope", metadata, DUE)
    put("nbgrader", "", [f"{who}/hw1/{kata.file.name}" for who in ("ada", "bob")])
    notes = {
        f"submitted/{who}/hw1/timestamp.txt": f"2025-11-0{day} 10:00:00.000000 UTC"
        for who, day in [("ada", 3), ("bob", 5)]
    }
    write(folder / "nbgrader", notes, DUE)


# The comparison.


def compared(before: Path, after: Path) -> Iterator[str]:
    """A line per file that only one has, and the first lines that differ of others."""
    ours, theirs = written(before), written(after)
    for name in sorted(ours.keys() ^ theirs.keys()):
        yield f"{name}: only in {before if name in ours else after}"
    for name in sorted(ours.keys() & theirs.keys()):
        pairs = zip_longest(ours[name], theirs[name], fillvalue="")
        differ = [(old, new) for old, new in pairs if not alike(old, new)]
        if differ:
            yield f"{name}: {len(differ)} lines"
        for old, new in differ[:SHOWN]:
            yield f"  - {old[:300]}\n  + {new[:300]}"


def written(folder: Path) -> dict[str, list[str]]:
    """The lines of all files that the commands wrote."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or name.parts[0] == "input":
            continue
        for inside, data in contents(path):
            text = data.decode("utf-8", "replace").replace(str(folder), "OUT")
            lines = TABLE_OF_TIMES.sub("", text).splitlines()
            # results come as they are ready
            is_ordered = path.suffix != ".jsonl"
            found[f"{name}{inside}"] = lines if is_ordered else sorted(lines)
    return found


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """The content of a file; of an archive, that of its members."""
    if path.suffix != ".zip":
        yield "", path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield f"!{name}", archive.read(name)


def alike(old: str, new: str) -> bool:
    """Tell if two lines are the same, but for times."""
    return old == new or without_times(old) == without_times(new)


def without_times(line: str) -> str:
    """The line without moments of this year or later, and without durations."""
    return DURATION.sub(r"\1N", MOMENT.sub("T", line))


if __name__ == "__main__":
    main()
