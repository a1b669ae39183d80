"""Each run, promise and file of tests declares what it reads: it reads nothing else,
and an edit has those tried anew.

Files of tests that cost under a second are held to it here, all of them with
`ALL_READS=1`, nightly.
"""

import ctypes
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grader.course import places
from grader.course.catalogue import ROOT, Kata, all_katas, find, with_prerequisites
from grader.execution import grading, reads, result_cache
from grader.execution.result_cache import ResultCache
from grader.memory import Memory
from grader.protocol import RunOptions
from grader.workers import forkserver
from tests import breakages, cost, tiers
from tests.conftest import SOUND, WARM
from workshop import kept, promises, variants

OPENED, OF_A_FOLDER = 0x20, 0x40000000  # of inotify(7)
PAPER = "papers/20_neural_turing_machine"
RUN = "stub_fails reference_passes textbook unguarded mistakes accepted sealed "
ON_CODE = RUN + "lesson snippets "
ALL = ON_CODE + "folder stub specs diagrams complete "
# file → the promises about 01_sums that are tried anew, and those about 02_reuse, which
# builds on it
EDITS = {
    "katas/01_sums/lesson.py": ("lesson complete", ""),
    "katas/01_sums/hints.md": ("complete", ""),
    "katas/01_sums/README.md": ("snippets diagrams folder complete", "folder complete"),
    "katas/01_sums/figure.png": ("folder complete", ""),
    "katas/01_sums/test_sums.py": (RUN + "folder specs complete", ""),
    "katas/01_sums/sums.py": (
        "folder stub stub_fails lesson complete",
        "lesson snippets",
    ),
    "katas/01_sums/kata.toml": (
        ALL.replace("diagrams ", ""),
        ON_CODE + "folder complete",
    ),
    "katas/GLOSSARY.md": ("complete", "complete"),
    "solutions/01_sums/sums.py": (ALL.replace("diagrams ", ""), ON_CODE),
    "solutions/01_sums/author/mistakes.py": ("mistakes sealed complete", ""),
    "solutions/01_sums/author/textbook.py": (
        "textbook snippets sealed complete",
        "textbook",
    ),
    "solutions/01_sums/author/accepted/by_addition.py": (
        "accepted sealed complete",
        "",
    ),
    "solutions/01_sums/author/sealed.toml": ("textbook sealed", ""),
}

A_RUN = """
from grader.course.catalogue import find, with_prerequisites
from grader.execution import scheduler
from grader.protocol import RunOptions
from grader.workers.jobs import Job
kata, options = find("tinytorch/10"), RunOptions(sealed=True)
right = {one.file: one.reference.read_text() for one in with_prerequisites([kata])}
sevens = "".join(f"{name} = lambda *args, **kwargs: 7\\n" for name in kata.owners)
wrong = right | {kata.file: sevens}
jobs = [Job(kata, right, options=options), Job(kata, wrong)]
print(*(result.so_far.points for _, result in scheduler.run(jobs)))
"""


@pytest.fixture
def tree(tmp_path) -> list[Kata]:
    shutil.copytree(
        SOUND, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__", ".kata")
    )
    return all_katas(tmp_path / "tree")


def test_a_promise_reads_only_what_it_declares(tree, tmp_path, monkeypatch):
    root = tree[0].root
    for folder in (f"katas/{PAPER}", f"solutions/{PAPER}"):
        shutil.copytree(ROOT / folder, root / folder)
    (root / "tests/results/papers").mkdir(parents=True)
    shutil.copy(ROOT / "tests/results" / f"{PAPER}.py", root / "tests/results/papers")
    forkserver.collect(tree)
    # once both servers run, they have looked into all files
    sealed = RunOptions(sealed=True)
    assert all(
        one.state == "works"
        for one in grading.grade_folder(tree, root / "solutions", options=sealed)
    )
    monkeypatch.setattr(promises, "CACHE", ResultCache(tmp_path))
    for kata, names in (
        (tree[1], kept.promises_of(tree[1])),
        (Kata(root, PAPER), [promises.paper]),
    ):
        for promise in names:
            with opened(root) as files:
                assert promise(kata) == []
            undeclared = files - promises.READS[promise].files(kata)
            assert not undeclared, (
                f"{promise.__name__} reads {sorted(map(str, undeclared))}"
            )
            assert files


def test_a_run_reads_only_what_it_declares(tmp_path):
    """In a tree and a process of its own, since other tests open the grader's
    files meanwhile.
    """
    for folder in ("grader", "katas/tinytorch", "solutions/tinytorch"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    kata = Kata(tmp_path, "tinytorch/10_dataloader")
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with opened(tmp_path) as files:
        asked = [sys.executable, "-c", A_RUN]
        done = subprocess.run(
            asked, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
    assert (sorted(done.stdout.split()), done.stderr) == (
        ["0", str(len(kata.exercises))],
        "",
    )
    declared = {
        path for pattern in reads.CODE for path in (tmp_path / "grader").glob(pattern)
    }
    declared |= reads.of_a_run(sealed=True).files(kata)
    # of which the asked job has the texts
    references = {one.reference for one in with_prerequisites([kata])}
    # for imports, by a server that starts
    looked_into = {kata.code, kata.folder / "lesson.py"}
    assert files - declared == references - {kata.reference} | looked_into


def test_whatever_a_run_reads_changes_its_key(tree, monkeypatch):
    kata, package = tree[1], tree[0].root / "grader"
    shutil.copytree(places.PACKAGE, package)
    monkeypatch.setattr(places, "PACKAGE", package)
    # as each process finds them
    monkeypatch.setattr(reads, "surroundings", reads.surroundings.__wrapped__)
    job = variants.job(kata, kata.reference.read_text(), RunOptions(sealed=True))
    (kata.author / "probes.py").touch()
    keys = [result_cache.key(job)]
    files = reads.of_a_run(sealed=True).files(kata)
    assert len(files) > 5
    for path in [*files, *(next(package.glob(pattern)) for pattern in reads.CODE)]:
        path.write_bytes(path.read_bytes() + b"\n")
        keys.append(result_cache.key(job))
    (package.parent / "triton-4.0.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(package.parent)
    keys.append(result_cache.key(job))
    assert len(set(keys)) == len(keys)
    assert result_cache.key(job) == keys[-1]


@pytest.mark.parametrize("file", EDITS)
def test_an_edit_has_those_tried_anew_that_read_the_file(tree, file):
    pairs = [(kata, promise) for kata in tree for promise in kept.promises_of(kata)]
    for kata, promise in pairs:
        Memory(kata.root).keep(*kept.entry_of(kata, promise))
    assert kept.changed(tree) == []
    path = tree[0].root / file
    path.write_bytes(path.read_bytes() + b"\n")
    anew = {
        (kata.name, promise.__name__)
        for kata, promise in pairs
        if kept.known(kata, promise) is None
    }
    assert anew == {
        (kata.name, name)
        for kata, names in zip(tree, EDITS[file])
        for name in names.split()
    }


def declared_files() -> list[str]:
    """Those that declare some katas, or none; not those that read every kata."""
    files = [
        file for file, names in tiers.READS.items() if names is not tiers.EVERY_KATA
    ]
    seconds = cost.on_record()
    return [
        file
        for file in files
        if os.environ.get("ALL_READS") or seconds.get(file, 0.0) < 1
    ]


@pytest.mark.parametrize("file", declared_files())
def test_a_file_of_tests_reads_only_the_katas_that_it_declares(file, tmp_path):
    """But for each kata.toml, the pages above the katas, and the katas that warm
    workers are born with.
    """
    copy = breakages.copied(tmp_path)
    declared = {
        path
        for name in tiers.READS[file]
        for path in tiers.OF_A_KATA.files(Kata(copy, find(name).name))
    }
    with opened(copy / "katas") as katas, opened(copy / "solutions") as solutions:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", file], **breakages.inside(copy)
        )
    assert done.returncode == 0, done.stdout
    everybodys = (copy / "katas", *(copy / "katas" / find(name).name for name in WARM))
    undeclared = {
        path for path in (katas | solutions) - declared if path.suffix != ".pyc"
    }
    assert {
        path
        for path in undeclared
        if path.name != "kata.toml" and path.parent not in everybodys
    } == set()


@contextmanager
def opened(root: Path) -> Iterator[set[Path]]:
    """The files below this folder that any process opens while the block runs, known at
    its end.
    """
    system, files, ended = ctypes.CDLL(None), set[Path](), threading.Event()
    events = system.inotify_init1(os.O_NONBLOCK)
    folders = {
        system.inotify_add_watch(events, os.fsencode(folder), OPENED): Path(folder)
        for folder, _, _ in os.walk(root)
    }

    def note() -> None:  # as it comes, since the system remembers 16,384 events
        is_over = False
        while not is_over:
            is_over = ended.wait(0.01)  # before reading: what came last is read, too
            told = b"".join(iter(lambda: _more(events), b""))
            while told:
                number, what, _, length = struct.unpack("iIII", told[:16])
                if not what & OF_A_FOLDER:
                    files.add(
                        folders[number]
                        / os.fsdecode(told[16 : 16 + length].rstrip(b"\0"))
                    )
                told = told[16 + length :]

    noting = threading.Thread(target=note)
    noting.start()
    yield files
    ended.set()
    noting.join()
    os.close(events)


def _more(events: int) -> bytes:
    try:
        return os.read(events, 1 << 16)
    except BlockingIOError:
        return b""
