"""The learner's progress: the result cache, its loss and damage, the path
in chapters.
"""

import itertools
import os
import re
import shutil
import sqlite3
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from grader.course.catalogue import Kata, all_katas
from grader.execution import grading, scheduler
from grader.execution.result_cache import ResultCache
from grader.failure import unwritten
from grader.learner import overview, progress
from grader.memory import Memory
from grader.results import ExerciseResult, KataResult, SpecResult
from tests.conftest import SOUND

pytestmark = pytest.mark.usefixtures("warm_workers")
RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
STUB = (SOUND / "katas/01_sums/sums.py").read_text()


@pytest.fixture
def runs(monkeypatch) -> list[str]:
    """The names of the katas that are really run, as it happens."""
    started, run = [], scheduler.run

    def counting(jobs_ready, **options):
        def counted():
            for job in jobs_ready():
                started.append(job.kata.name)
                yield job

        return run(counted, **options)

    monkeypatch.setattr(scheduler, "run", counting)
    return started


def graded(
    katas: list[Kata], code: Path, cache: ResultCache, **options
) -> dict[str, int]:
    return {
        result.kata: result.so_far.points
        for result in grading.grade_folder(katas, code, cache=cache, **options)
    }


class TestResultCache:
    def test_the_same_code_is_run_once(self, sound, submission, tmp_path, runs):
        code = submission(sound[0], RIGHT)
        first = graded(sound, code, ResultCache(tmp_path))
        assert graded(sound, code, ResultCache(tmp_path)) == first
        assert sorted(runs) == ["01_sums", "02_reuse"]
        graded(sound, code, ResultCache(tmp_path, again=True))
        assert sorted(runs) == ["01_sums", "01_sums", "02_reuse", "02_reuse"]

    def test_what_a_kata_builds_on_counts_as_its_code(
        self, sound, submission, tmp_path, runs
    ):
        submission(sound[1], (SOUND / "solutions/02_reuse/reuse.py").read_text())
        graded(sound, submission(sound[0], RIGHT), ResultCache(tmp_path))
        graded(
            sound,
            submission(sound[0], RIGHT + "\nONE_MORE = 1\n"),
            ResultCache(tmp_path),
        )
        assert sorted(runs) == ["01_sums", "01_sums", "02_reuse", "02_reuse"]

    def test_a_result_comes_back_whole(self, sound, submission, tmp_path):
        code = submission(sound[0], STUB)
        [fresh] = grading.grade_folder(sound[:1], code, cache=ResultCache(tmp_path))
        [kept] = grading.grade_folder(sound[:1], code, cache=ResultCache(tmp_path))
        assert kept == fresh

    @pytest.mark.parametrize("damage", [b"", b"no database at all" * 100, None])
    def test_a_damaged_or_lost_file_costs_only_time(
        self, sound, submission, tmp_path, damage
    ):
        code = submission(sound[0], RIGHT)
        first = graded(sound[:1], code, ResultCache(tmp_path))
        file = ResultCache(tmp_path).memory.path
        file.unlink() if damage is None else file.write_bytes(damage)
        assert graded(sound[:1], code, ResultCache(tmp_path)) == first
        assert sqlite3.connect(file).execute(
            "SELECT count(*) FROM known"
        ).fetchone() == (1,)

    def test_a_file_cut_short_costs_only_time(self, sound, submission, tmp_path):
        code = submission(sound[0], RIGHT)
        first = graded(sound[:1], code, ResultCache(tmp_path))
        file = ResultCache(tmp_path).memory.path
        file.write_bytes(file.read_bytes()[:5000])
        assert graded(sound[:1], code, ResultCache(tmp_path)) == first

    def test_a_place_that_cannot_be_written_keeps_nothing(
        self, sound, submission, tmp_path
    ):
        (tmp_path / ".kata").write_text("in the way")
        assert graded(
            sound[:1], submission(sound[0], RIGHT), ResultCache(tmp_path)
        ) == {"01_sums": 3}


class TestSoFar:
    def test_an_untouched_stub_is_not_run(self, sound, runs):
        assert progress.so_far(sound, SOUND / "katas") == dict.fromkeys(sound)
        assert runs == []

    def test_a_file_is_compared_with_its_stub_once_until_one_of_them_changes(
        self, sound, submission, monkeypatch
    ):
        monkeypatch.setattr(
            progress,
            "_memory",
            cache(lambda root: Memory(submission(sound[0], STUB).parent)),
        )
        stubs, compared = progress.stubs, []
        monkeypatch.setattr(
            stubs,
            "is_untouched",
            lambda kata, text: compared.append(text) or text == STUB,
        )
        for text, begun, times in (
            (STUB, False, 1),
            (STUB, False, 1),
            (RIGHT, True, 2),
            (RIGHT, True, 2),
        ):
            assert progress.is_begun(sound[0], submission(sound[0], text)) == begun
            assert len(compared) == times
        monkeypatch.setattr(progress, "_how_stubs_are_made", lambda: [b"otherwise"])
        assert (
            progress.is_begun(sound[0], submission(sound[0], RIGHT))
            and len(compared) == 3
        )

    def test_what_is_begun_is_judged(self, sound, submission):
        code = submission(
            sound[0], STUB.replace("raise NotImplementedError", "return 2 * x", 1)
        )
        results = progress.so_far(sound, code)
        assert progress.in_words(results[sound[0]]) == "1 of 2 core · ★ 1 of 3"
        assert progress.in_words(results[sound[1]]) == "not started"

    @pytest.mark.parametrize(
        ("was", "now", "said"),
        [
            ("", "", "done · ★ 3 of 3"),
            ("x.dim() == 0", "False", "done · ★ 2 of 3"),
            ("return double(x)", "return x", "core works, 0 of 1 stretch · ★ 2 of 3"),
            ("x.sum(dim)", "x", "1 of 2 core · ★ 2 of 3"),
        ],
    )
    def test_what_works_and_the_stars_in_words(self, sound, submission, was, now, said):
        text = RIGHT.replace(was, now) if was else RIGHT
        result = progress.so_far(sound[:1], submission(sound[0], text))[sound[0]]
        assert progress.in_words(result) == said

    def test_open_stars_are_those_of_what_works(self, sound, submission):
        text = RIGHT.replace("x.dim() == 0", "False").replace(
            "return 2 * x", "return x"
        )
        result = progress.so_far(sound[:1], submission(sound[0], text))[sound[0]]
        assert progress.open_stars(result) == ["total (1 guard)"]

    @pytest.mark.parametrize(
        "begun", ["def double(x:\n", "", "import no_such_module\n", "-" * 100_000 + "1"]
    )
    def test_a_broken_file_is_begun(self, sound, submission, begun):
        code = submission(sound[0], begun)
        assert (
            progress.in_words(progress.so_far(sound[:1], code)[sound[0]])
            == "0 of 2 core"
        )


def test_a_learner_goes_on_from_the_kata_that_they_saved_last(tmp_path):
    """Somebody who skips ahead is not sent back to what they left out."""
    shutil.copytree(SOUND, tmp_path / "tree")
    one, two = all_katas(tmp_path / "tree")
    for last, other in ((one, two), (two, one)):
        os.utime(last.code, (2, 2)), os.utime(other.code, (1, 1))
        assert progress.led([one, two], lambda kata: True) == [last, other]
    assert progress.led([one, two], lambda kata: kata == one) == [one, two]
    assert progress.led([one, two], lambda kata: False) == [one, two]


class TestThePath:
    def test_every_kata_takes_its_time_and_builds_on_katas_that_there_are(self):
        names = {kata.name for kata in all_katas()}
        for kata in all_katas():
            said = kata.description
            assert (
                said.title
                and said.chapter
                and 0 < said.minutes_core <= said.minutes_all
            ), kata.name
            assert {*said.builds_on, *said.ideas_of} <= names - {kata.name}, kata.name

    def test_the_chapters_follow_each_other(self):
        chapters = [
            kata.description.chapter for kata in all_katas() if "/" not in kata.name
        ]
        runs = [chapter for chapter, _ in itertools.groupby(chapters)]
        assert len(set(runs)) == len(runs) > 5

    def test_listed_for_a_pipe(self, kata_here):
        done = kata_here("list")
        assert done.returncode == 0, done.stderr
        *rows, total = done.stdout.splitlines()
        assert [row.split("\t")[1] for row in rows] == [
            kata.number for kata in all_katas()
        ]
        assert all(len(row.split("\t")) == 9 for row in rows)
        assert (
            re.search(r"katas done · \d+ of \d+ exercises work · ★ \d+$", total)
            and "\x1b" not in done.stdout
        )

    def test_listed_on_a_terminal_in_a_hundred_columns(self):
        """With the longest that each column may hold."""
        katas = all_katas()
        idea, edge = (
            SpecResult("TestX::test_x", "passed"),
            SpecResult("TestX::test_y", "failed", edge=True),
        )
        stub = SpecResult("TestX::test_x", "failed", failure=unwritten("x"))
        results = {
            kata: KataResult(
                kata.name,
                tuple(
                    ExerciseResult(
                        e.name,
                        (stub,) if e.stretch else (idea, edge)[: 1 + number % 2],
                        e.stretch,
                    )
                    for number, e in enumerate(kata.exercises)
                ),
            )
            for kata in katas
        }
        console = Console(
            record=True, width=100, file=open("/dev/null", "w"), force_terminal=True
        )
        overview.show(katas, results, console, everything=True)
        said = console.export_text()
        assert max(map(len, said.splitlines())) <= 100
        with_stretch = [
            kata
            for kata in katas
            if any(exercise.stretch for exercise in kata.exercises)
        ]
        assert said.count("core works,") == len(with_stretch) > 70 and "…" not in said
        assert len(re.findall(r"★ \d+ of \d+", said)) == len(katas)
        # the first look was left out
        begun = dict.fromkeys(katas) | {katas[1]: KataResult(katas[1].name, ())}
        overview.show(katas, begun, console)
        folded = console.export_text().splitlines()
        assert len(folded) <= 42 and any("0 of 3 done" in line for line in folded)
        assert sum("not started" in line for line in folded) == sum(
            k.description.chapter == "tensors" for k in katas
        )
