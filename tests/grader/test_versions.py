"""Versions of a kata's file: histories of checkouts, also hostile ones, the one that
counts, and its penalty.
"""

import csv
import json
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest

from grader.course import notebooks
from grader.course.catalogue import Kata, find
from grader.protocol import RunOptions
from grader.results import ExerciseResult, KataResult, Override, SpecResult, Timing
from grader.teaching import (
    attribution,
    class_grading,
    commits,
    submissions,
    times,
    versions,
)
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import Graded
from grader.teaching.gradebook import Gradebook
from grader.teaching.lateness import Late
from grader.teaching.regrading import Earlier
from grader.teaching.rules import Rules
from grader.teaching.versions import Dates
from grader.workers.jobs import SourceText
from tests.conftest import SOUND
from tests.grader.verdicts import by_text

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
STUB = (SOUND / "katas/01_sums/sums.py").read_text()
HALF = RIGHT.replace("    return x.sum", "    return 2 * x.sum")
DUE = datetime(2015, 12, 1, 12, tzinfo=UTC)
LATE = Late("UTC", 10, due=DUE)
WHO = [
    "-c",
    "user.name=a",
    "-c",
    "user.email=a@x",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "init.defaultBranch=main",
]


def git(checkout: Path, *command: str, at: datetime = DUE) -> str:
    dates = {"GIT_COMMITTER_DATE": at.isoformat(), "GIT_AUTHOR_DATE": at.isoformat()}
    done = subprocess.run(
        ["git", *WHO, *command],
        cwd=checkout,
        check=True,
        env=os.environ | dates,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(checkout: Path, days: float, files: dict[str, str | None]) -> None:
    """Commit these files so many days after the date; None deletes one."""
    if not (checkout / ".git").exists():
        checkout.mkdir(parents=True, exist_ok=True)
        git(checkout, "init", "-q")
    for name, text in files.items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink() if text is None else path.write_text(text)
    git(checkout, "add", "-A")
    git(
        checkout,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
        at=DUE + timedelta(days=days),
    )


def found(
    folder: Path, kata: Kata, dates: Dates | None = None
) -> versions.Versions | None:
    [submission] = submissions.collect(folder)
    contents = attribution.look(submission.places, [kata])
    return versions.find(submission, contents, [kata], dates or Dates(LATE)).get(kata)


def told(one: versions.Versions | None) -> tuple[object, ...]:
    """Of the newest version the text, days after the date and part that is lost; then
    the text of the one on time.
    """
    assert one
    days = (one.newest.time - DUE) / timedelta(days=1)
    return (
        one.newest.source.text,
        round(days, 3),
        one.newest.penalty,
        one.on_time and one.on_time.source.text,
    )


FILE, OTHER = "katas/01_sums/sums.py", "02_reuse/reuse.py"
# Commits of a student, in days after the date, and the versions that are then graded.
HISTORIES: dict[
    str, tuple[list[tuple[float, dict[str, str | None]]], tuple[object, ...]]
] = {
    "on time": ([(-2, {FILE: RIGHT})], (RIGHT, -2, 0, None)),
    "at the last second": ([(0, {FILE: RIGHT})], (RIGHT, 0, 0, None)),
    "late alone": ([(2, {FILE: RIGHT})], (RIGHT, 2, 0.2, None)),
    "on time, and again late": (
        [(-1, {FILE: HALF}), (0.5, {FILE: RIGHT})],
        (RIGHT, 0.5, 0.1, HALF),
    ),
    "several on time: the last": (
        [(-3, {FILE: "a = 1\n"}), (-1, {FILE: HALF}), (3, {FILE: RIGHT})],
        (RIGHT, 3, 0.3, HALF),
    ),
    "several late: the newest": (
        [(-1, {FILE: HALF}), (1, {FILE: "a = 1\n"}), (3, {FILE: RIGHT})],
        (RIGHT, 3, 0.3, HALF),
    ),
    "notes are no kata": (
        [(-1, {FILE: RIGHT}), (9, {"notes.md": "x"})],
        (RIGHT, -1, 0, None),
    ),
    "another kata is not this one": (
        [(-1, {FILE: RIGHT}), (9, {OTHER: "x = 1\n"})],
        (RIGHT, -1, 0, None),
    ),
    "an empty commit": ([(-1, {FILE: RIGHT}), (9, {})], (RIGHT, -1, 0, None)),
    "a stub on time is nothing": (
        [(-9, {FILE: STUB}), (2, {FILE: RIGHT})],
        (RIGHT, 2, 0.2, None),
    ),
    "late, and back again": (
        [(-1, {FILE: RIGHT}), (1, {FILE: HALF}), (2, {FILE: RIGHT})],
        (RIGHT, 2, 0.2, None),
    ),
    "deleted, and there again": (
        [(-1, {FILE: HALF}), (1, {FILE: None, "x.py": ""}), (2, {FILE: RIGHT})],
        (RIGHT, 2, 0.2, HALF),
    ),
    "moved late": (
        [(-1, {"sums.py": RIGHT}), (2, {"sums.py": None, FILE: RIGHT})],
        (RIGHT, -1, 0, None),
    ),
    "moved and changed late": (
        [(-1, {"my/sums.py": HALF}), (2, {"my/sums.py": None, FILE: RIGHT})],
        (RIGHT, 2, 0.2, HALF),
    ),
    "committed in the wrong order": (
        [(3, {FILE: HALF}), (-1, {FILE: RIGHT})],
        (RIGHT, -1, 0, None),
    ),
    "no Python on time": (
        [(-1, {FILE: "def f("}), (2, {FILE: RIGHT})],
        (RIGHT, 2, 0.2, "def f("),
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history(tmp_path, sound, name):
    commits_, expected = HISTORIES[name]
    for days, files in commits_:
        commit(tmp_path / "class/ann", days, files)
    assert told(found(tmp_path / "class", sound[0])) == expected


class TestHow:
    @pytest.fixture
    def twice(self, tmp_path) -> Path:
        """Half a solution on time, and a whole one a day and a half late."""
        commit(tmp_path / "class/ann", -1, {FILE: HALF})
        commit(tmp_path / "class/ann", 1.5, {FILE: RIGHT})
        return tmp_path / "class"

    @pytest.mark.parametrize(
        ("late", "expected"),
        [
            ("best", (RIGHT, 1.5, 0.2, HALF)),
            ("newest", (RIGHT, 1.5, 0.2, HALF)),
            ("on_time", (HALF, -1, 0, None)),
        ],
    )
    def test_the_rules_choose(self, twice, sound, late, expected):
        one = found(twice, sound[0], Dates(Late("UTC", 10, due=DUE, late=late)))
        if late == "newest":
            expected = (*expected[:3], None)
        assert told(one) == expected

    @pytest.mark.parametrize(
        ("dates", "lost"),
        [
            (Dates(None), 0),
            (Dates(Late("UTC", 10)), 0),
            (Dates(Late("UTC", 0, due=DUE)), 0),
            (Dates(LATE, extension=timedelta(days=2)), 0),
            (Dates(LATE, due=DUE + timedelta(days=1)), 0.1),
            (Dates(Late("UTC", 10, due=DUE, grace=timedelta(days=2))), 0),
            (
                Dates(
                    Late("UTC", 10, due=DUE, katas={"01_sums": DUE + timedelta(days=1)})
                ),
                0.1,
            ),
            (Dates(Late("UTC", 10, katas={"02_reuse": DUE})), 0),
            (Dates(Late("UTC", 30, 40, DUE)), 0.4),
        ],
    )
    def test_dates(self, twice, sound, dates, lost):
        one = found(twice, sound[0], dates)
        assert one and one.newest.penalty == lost and bool(one.on_time) == bool(lost)

    def test_a_merge_brings_what_was_on_time(self, tmp_path, sound):
        checkout = tmp_path / "class/ann"
        commit(checkout, -5, {FILE: STUB, "a.py": ""})
        git(checkout, "checkout", "-q", "-b", "work")
        commit(checkout, -1, {FILE: RIGHT})
        git(checkout, "checkout", "-q", "main")
        commit(checkout, 1, {"a.py": "a = 1\n"})
        git(checkout, "merge", "-q", "work", "-m", "x", at=DUE + timedelta(days=3))
        assert told(found(tmp_path / "class", sound[0])) == (RIGHT, -1, 0, None)

    def test_a_shallow_clone_has_the_time_that_it_has(self, tmp_path, twice, sound):
        git(tmp_path, "clone", "-q", "--depth=1", f"file://{twice}/ann", "shallow/ann")
        assert told(found(tmp_path / "shallow", sound[0])) == (RIGHT, 1.5, 0.2, None)

    @pytest.mark.parametrize(
        "how", [["gc", "-q"], ["checkout", "-q", "--detach"], ["pack-refs", "--all"]]
    )
    def test_however_git_keeps_it(self, twice, sound, how):
        git(twice / "ann", *how)
        assert told(found(twice, sound[0])) == (RIGHT, 1.5, 0.2, HALF)

    def test_a_checkout_inside_a_folder(self, tmp_path, sound):
        commit(tmp_path / "class/ann/repo", -1, {FILE: HALF})
        commit(tmp_path / "class/ann/repo", 1, {FILE: RIGHT})
        assert told(found(tmp_path / "class", sound[0])) == (RIGHT, 1, 0.1, HALF)

    def test_a_notebook_has_versions_too(self, tmp_path):
        one, wrong = (
            find("01"),
            find("01").reference.read_text().replace("return", "return 1 or"),
        )
        for days, text in ((-1, wrong), (1, one.reference.read_text())):
            commit(
                tmp_path / "class/ann",
                days,
                {"01.ipynb": nbformat.writes(notebooks.build(one, text))},
            )
        versions_ = found(tmp_path / "class", one)
        assert (
            versions_
            and versions_.on_time
            and "return 1 or" in versions_.on_time.source.text
        )
        assert "return 1 or" not in versions_.newest.source.text

    def test_without_git_the_time_of_each_katas_file(self, tmp_path, sound):
        times = {
            FILE: DUE - timedelta(days=1),
            f"katas/{OTHER}": DUE + timedelta(days=1),
        }
        for name, time in times.items():
            path = tmp_path / "class/ann" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x = 1\n")
            os.utime(path, (time.timestamp(), time.timestamp()))
        lost = [
            one.newest.penalty
            for kata in sound
            if (one := found(tmp_path / "class", kata))
        ]
        assert lost == [0, 0.1]

    def test_a_time_that_has_not_come_is_not_known(self, tmp_path, sound):
        commit(tmp_path / "class/ann", 30_000, {FILE: RIGHT})
        newest = found(tmp_path / "class", sound[0]).newest
        assert (newest.time, newest.penalty) == (None, 0) and newest.how.startswith(
            times.NOT_KNOWN
        )
        assert newest.how.endswith(
            " of ann/katas/01_sums/sums.py is of 2098-01-19, which has not come yet"
        )

    def test_every_kata_has_its_own_date(self, tmp_path, sound):
        commit(tmp_path / "class/ann", 1, {FILE: RIGHT, f"katas/{OTHER}": "x = 1\n"})
        dates = Dates(
            Late("UTC", 10, due=DUE, katas={"02_reuse": DUE + timedelta(days=7)})
        )
        lost = [
            one.newest.penalty
            for kata in sound
            if (one := found(tmp_path / "class", kata, dates))
        ]
        assert lost == [0.1, 0]


class TestHostile:
    """A checkout comes from a student. Nothing in it is run, and nothing from elsewhere
    is read.
    """

    @pytest.fixture
    def checkout(self, tmp_path) -> Path:
        commit(tmp_path / "class/ann", -1, {FILE: HALF})
        commit(tmp_path / "class/ann", 1, {FILE: RIGHT})
        return tmp_path / "class/ann"

    def test_programs_that_its_configuration_names_are_not_run(
        self, checkout, tmp_path, sound
    ):
        trap = tmp_path / "trap.sh"
        trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n")
        trap.chmod(0o755)
        (checkout / ".git/config").write_text(
            f"[core]\npager={trap}\nfsmonitor={trap}\nhooksPath={tmp_path}\n"
            f"sshCommand={trap}\n"
            f'[diff]\nexternal={trap}\n[diff "x"]\ntextconv={trap}\n[filter "x"]\n'
            f"smudge={trap}\nclean={trap}\n"
            f"[uploadpack]\npackObjectsHook={trap}\n[log]\nshowSignature=true\n[gpg]\n"
            f"program={trap}\n"
            f"[alias]\nlog=!{trap}\ncat-file=!{trap}\n[extensions]\npartialClone=x\n"
            f'[remote "x"]\nurl=ext::{trap}\n'
        )
        (checkout / ".gitattributes").write_text("*.py diff=x filter=x\n")
        (checkout / ".git/info/attributes").parent.mkdir(exist_ok=True)
        (checkout / ".git/info/attributes").write_text("*.py diff=x filter=x\n")
        assert told(found(checkout.parent, sound[0])) == (RIGHT, 1, 0.1, HALF)
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize("way", ["alternates", "objects", "pack", "file"])
    def test_content_of_another_repository_is_not_read(
        self, checkout, tmp_path, sound, way
    ):
        git(tmp_path, "clone", "-q", "--bare", str(checkout), "other.git")
        objects, other = checkout / ".git/objects", tmp_path / "other.git/objects"
        if way == "alternates":
            (objects / "info").mkdir(exist_ok=True)
            (objects / "info/alternates").write_text(f"{other}\n")
        elif way == "objects":
            objects.rename(tmp_path / "away")
            objects.symlink_to(other)
        elif way == "pack":
            (objects / "pack").rmdir()
            (objects / "pack").symlink_to(other / "pack")
        else:
            (objects / "aa").mkdir(exist_ok=True)
            (objects / "aa" / ("b" * 38)).symlink_to("/etc/passwd")
        one = found(checkout.parent, sound[0])
        assert one and one.on_time is None and commits.history(checkout) is None

    @pytest.mark.parametrize(
        "head",
        ["", "junk", "ref: refs/heads/../../x", "ref: refs/heads/none", "f" * 40],
    )
    def test_a_broken_one_has_its_files_time(self, checkout, sound, head):
        (checkout / ".git/HEAD").write_text(head)
        os.utime(checkout / FILE, (DUE.timestamp(), DUE.timestamp() + 86400))
        one = found(checkout.parent, sound[0])
        assert one and one.newest.how == f"the time of ann/{FILE}"
        assert one and one.newest.penalty == 0.1

    @pytest.mark.parametrize("seconds", ["0", "99999999999", "9999999999999999"])
    def test_times_that_nobody_has(self, checkout, sound, seconds):
        """A commit written by hand."""
        tree = git(checkout, "rev-parse", "HEAD^{tree}")
        text = (
            f"tree {tree}\nauthor a <a> {seconds} +0000\n"
            f"committer a <a> {seconds} +0000\n\nx\n"
        )
        done = subprocess.run(
            ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
            *(), cwd=checkout, input=text, capture_output=True, text=True, check=True,
        )  # fmt: skip
        (checkout / ".git/HEAD").write_text(done.stdout)
        one = found(checkout.parent, sound[0])
        assert (
            one
            and one.newest.source.text == RIGHT
            and one.newest.penalty in (0, 0.1, 1)
        )

    def test_a_file_on_time_that_is_too_large(self, tmp_path, sound):
        commit(tmp_path / "class/ann", -1, {FILE: "#" * 30_000_000})
        commit(tmp_path / "class/ann", 1, {FILE: RIGHT})
        assert told(found(tmp_path / "class", sound[0])) == (RIGHT, 1, 0.1, None)

    def test_a_path_like_an_option(self, tmp_path, sound):
        commit(tmp_path / "class/ann", -1, {"--output=x/sums.py": HALF})
        commit(tmp_path / "class/ann", 1, {"--output=x/sums.py": RIGHT})
        assert told(found(tmp_path / "class", sound[0])) == (RIGHT, 1, 0.1, HALF)


def graded(
    *works: bool | None, penalty: float = 0.0, kata: str = "01_sums"
) -> KataResult:
    """A result with an exercise per verdict; None is not decided."""
    status = {True: "passed", False: "failed", None: "not graded"}
    specs = [(SpecResult("TestX::test_y", status[one]),) for one in works]  # type: ignore[arg-type]
    exercises = [
        ExerciseResult(f"e{number}", one, penalty=penalty)
        for number, one in enumerate(specs)
    ]
    return KataResult(kata, tuple(exercises))


YES, NO, OPEN = True, False, None


@pytest.mark.parametrize(
    ("newest", "lost", "on_time", "counts"),
    [
        ((YES, YES), 0.2, (YES, NO), "newest"),  # 1.6 and 1
        ((YES, YES), 0.5, (YES, NO), "on time"),  # 1 and 1
        ((YES, YES), 0.6, (YES, NO), "on time"),  # 0.8 and 1
        ((NO, NO), 0.2, (YES, NO), "on time"),
        ((YES, NO), 0.2, (NO, NO), "newest"),
        ((NO, NO), 0.2, (NO, NO), "newest"),  # which says more about the code of today
        ((YES, YES), 1.0, (NO, NO), "newest"),
        ((OPEN, OPEN), 0.2, (YES, YES), "on time"),  # 1.6 at most
        ((OPEN, OPEN), 0.5, (YES, NO), "on time"),  # 1 at most
        ((OPEN, YES), 0.2, (YES, NO), "open"),  # 0.8 or 1.6, and 1
        ((YES, YES), 0.2, (OPEN, NO), "newest"),  # 1.6, and 1 at most
        ((YES, YES), 0.5, (OPEN, YES), "on time"),  # 1, and 1 at least
        ((YES, NO), 0.2, (OPEN, NO), "open"),  # 0.8, and 0 or 1
        ((OPEN,), 0.2, (OPEN,), "open"),
        ((), 0.2, (YES,), "open"),
    ],
)
def test_whichever_gives_more(newest, lost, on_time, counts):
    new, old = graded(*newest, penalty=lost), graded(*on_time)
    assert (
        versions.better(new, old)
        is {"newest": new, "on time": old, "open": None}[counts]
    )


@pytest.mark.parametrize(
    ("code", "stored", "score"),
    [
        ("newest", 0.5, 0.7 + 0.7),  # the same text: today's penalty
        ("older", 0.5, 0.7 + 1),  # the version on time: none
        ("gone", 0.5, 0.7 + 0.5),  # neither: what it cost then
        ("gone", 0.0, 0.7 + 1),
    ],
)
def test_a_kept_result_keeps_the_price_of_its_version(code, stored, score):
    """Of two exercises, the earlier grading had the second one right, and today's the
    first. The newest loses 30 %.
    """
    kata = find("01")
    names = [exercise.name for exercise in kata.exercises[:2]]
    asked = frozenset((kata.name, name) for name in names)
    assignment = Assignment([kata], RunOptions(), Rules(late=LATE), exercises=asked)

    def result(code: str, *works: bool) -> KataResult:
        found = graded(*works, kata=kata.name)
        exercises = [
            replace(one, name=name)
            for one, name in zip(found.exercises, names, strict=True)
        ]
        return replace(found, exercises=tuple(exercises), code=code)

    versions_ = [
        versions.Version(
            SourceText(text), DUE, "", Timing(DUE.isoformat(), penalty=lost)
        )
        for text, lost in (("newest", 30), ("older", 0))
    ]
    earlier = {
        ("ann", kata.name): Earlier(result(code, False, True), {}, {}, "ann", stored)
    }
    book = Gradebook(
        {"ann": {}},
        assignment,
        {"ann": {kata: versions.Versions(*versions_)}},
        never_lower=earlier,
    )
    assert book.enter(Graded("ann", "newest", result("newest", True, False))) is None
    counts = book.enter(Graded("ann", "on time", result("older", False, False)))
    assert counts and counts.so_far.score == pytest.approx(score)


class TestTheCommand:
    """Kata 01, due on 1 December, and 02, due a week later; verdicts come from
    the texts.
    """

    KATAS = find("01"), find("02")

    @pytest.fixture
    def course(self, tmp_path, monkeypatch) -> list:
        monkeypatch.setattr(class_grading, "grade_class", by_text)
        (tmp_path / "g.toml").write_text(
            "[late]\nzone = 'UTC'\nper_day = 10\ndue = 2015-12-01T12:00:00\n"
            "[late.katas]\n02 = 2015-12-08T12:00:00\n"
        )
        return ["class", tmp_path / "class", "--rules", tmp_path / "g.toml"]

    def hand_in(
        self,
        folder: Path,
        days: float,
        first: int | None = None,
        second: int | None = None,
    ) -> None:
        works = zip(self.KATAS, (first, second), strict=True)
        commit(
            folder,
            days,
            {
                f"katas/{kata.file}": f"works = {n}\n"
                for kata, n in works
                if n is not None
            },
        )

    def scores(self, path: Path) -> dict[str, float]:
        return {
            row["student"]: float(row["score"]) for row in csv.DictReader(open(path))
        }

    def test_each_kata_counts_by_its_own_date(self, course, tmp_path, kata_here):
        self.hand_in(tmp_path / "class/ann", -1, 4, 0)  # the first kata on time
        # the second one, a day before its date
        self.hand_in(tmp_path / "class/ann", 6, None, 3)
        self.hand_in(tmp_path / "class/bob", -1, 4, 0)
        self.hand_in(tmp_path / "class/bob", 1.5, 5, None)  # 5 with 20 % less are 4
        self.hand_in(tmp_path / "class/cy", -1, 2, 1)
        # 6 with 80 % less; 5 of 02 with 10 % less
        self.hand_in(tmp_path / "class/cy", 8, 6, 5)
        files = [
            "--report",
            f"csv={tmp_path}/c.csv",
            "--intake",
            tmp_path / "i.csv",
            "--results",
            tmp_path / "r.jsonl",
        ]
        done = kata_here(*course, "01", "02", *files, "--feedback", tmp_path / "pages")
        assert done.returncode == 0, done.stderr
        assert self.scores(tmp_path / "c.csv") == {
            "ann": 7,
            "bob": 4,
            "cy": pytest.approx(2 + 4.5),
        }
        notes = {
            (r["student"], r["kata"]): r["note"]
            for r in csv.DictReader(open(tmp_path / "i.csv"))
            if "commit" in r["note"]
        }
        assert notes["ann", "02" + self.KATAS[1].name[2:]].startswith(
            "Mon 7 Dec 2015 12:00, the commit "
        )
        assert (
            " · 2 days late: −20 %; or Mon 30 Nov 2015 12:00, "
            in notes["bob", self.KATAS[0].name]
        )
        lines = [
            json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()
        ]
        told = {(line["student"], line["kata"]): line for line in lines}
        assert len(lines) == 6, (
            "one per student and kata, though two versions were graded"
        )
        bob, cy = told["bob", self.KATAS[0].name], told["cy", self.KATAS[1].name]
        assert (bob["timing"]["handed_in"], bob["score"]) == (
            "2015-11-30T12:00:00+00:00",
            4,
        )
        assert (
            "the version of Mon 30 Nov 2015 12:00 counts, which was on time"
            in bob["counts"]
        )
        assert cy["timing"] == {
            "handed_in": "2015-12-09T12:00:00+00:00", "due":
                "2015-12-08T12:00:00+00:00", "zone": "UTC",
            "extension": "", "grace": "", "days_late": 1, "penalty": 10, "allowed": "",
        }  # fmt: skip
        assert (
            "of Wed 9 Dec 2015 12:00, counts; the one on time, of Mon 30 Nov"
            in cy["counts"]
        )
        page = (tmp_path / "pages/bob.html").read_text()
        assert (
            "which was on time" in page
            and "works = 4" in page
            and "works = 5" not in page
        )

    @pytest.mark.parametrize(
        ("late", "score"), [("best", 4), ("newest", 0.8 * 4.0), ("on_time", 4)]
    )
    def test_the_rules_say_which_version_counts(
        self, course, tmp_path, kata_here, late, score
    ):
        self.hand_in(tmp_path / "class/ann", -1, 4)
        self.hand_in(tmp_path / "class/ann", 1.5, 4)
        commit(
            tmp_path / "class/ann",
            1.6,
            {f"katas/{self.KATAS[0].file}": "works = 4  # again\n"},
        )
        rules = (
            (tmp_path / "g.toml")
            .read_text()
            .replace("per_day", f"late = '{late}'\nper_day")
        )
        (tmp_path / "g.toml").write_text(rules)
        assert (
            kata_here(*course, "01", "--report", f"csv={tmp_path}/c.csv").returncode
            == 0
        )
        assert self.scores(tmp_path / "c.csv") == {"ann": pytest.approx(score)}

    def test_an_override_decides_both_versions(self, course, tmp_path, kata_here):
        """Two of six on time, six with 80 % less; with a third on time by override,
        those three count.
        """
        self.hand_in(tmp_path / "class/ann", -1, 2)
        self.hand_in(tmp_path / "class/ann", 8, 6)
        third = self.KATAS[0].exercises[2].name
        (tmp_path / "o.csv").write_text(
            f"id,kata::exercise,points,reason\nann,01::{third},1,seen\n"
        )
        done = kata_here(
            *(
                *course,
                "01",
                "--overrides",
                tmp_path / "o.csv",
                "--report",
                f"csv={tmp_path}/c.csv",
            ),
            *("--results", tmp_path / "r.jsonl"),
        )
        assert done.returncode == 0 and self.scores(tmp_path / "c.csv") == {"ann": 3}
        [line] = [
            json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()
        ]
        decided = {e["name"]: e["override"] for e in line["exercises"] if e["override"]}
        assert (
            decided
            == {third: {"points": 1, "reason": "seen"}}
            == {third: vars(Override(1, "seen"))}
        )
