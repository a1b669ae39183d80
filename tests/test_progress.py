"""How far the learner is: verdicts on file, their loss and damage, the path in chapters."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from grader import catalogue, progress, runner
from grader.catalogue import ROOT, Kata, all_katas
from grader.verdicts import Verdicts
from tests.conftest import SOUND

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
STUB = (SOUND / "katas/01_sums/sums.py").read_text()


@pytest.fixture
def runs(monkeypatch) -> list[str]:
    """The names of the katas that are really run, as it happens."""
    started, run = [], runner.run

    def counting(jobs_ready, **options):
        def counted():
            for job in jobs_ready():
                started.append(job.kata.name)
                yield job

        return run(counted, **options)

    monkeypatch.setattr(runner, "run", counting)
    return started


def graded(katas: list[Kata], code: Path, kept: Verdicts, **options) -> dict[str, int]:
    return {result.kata: result.points for result in runner.grade(katas, code, kept=kept, **options)}


class TestVerdicts:
    def test_the_same_code_is_run_once(self, sound, submission, tmp_path, runs):
        code = submission(sound[0], RIGHT)
        first = graded(sound, code, Verdicts(tmp_path))
        assert graded(sound, code, Verdicts(tmp_path)) == first
        assert sorted(runs) == ["01_sums", "02_reuse"]
        graded(sound, code, Verdicts(tmp_path), again=True)
        assert sorted(runs) == ["01_sums", "01_sums", "02_reuse", "02_reuse"]

    def test_what_a_kata_builds_on_counts_as_its_code(self, sound, submission, tmp_path, runs):
        submission(sound[1], (SOUND / "solutions/02_reuse/reuse.py").read_text())
        graded(sound, submission(sound[0], RIGHT), Verdicts(tmp_path))
        graded(sound, submission(sound[0], RIGHT + "\nONE_MORE = 1\n"), Verdicts(tmp_path))
        assert sorted(runs) == ["01_sums", "01_sums", "02_reuse", "02_reuse"]

    def test_a_verdict_comes_back_whole(self, sound, submission, tmp_path):
        code = submission(sound[0], STUB)
        [fresh] = runner.grade(sound[:1], code, kept=Verdicts(tmp_path))
        [kept] = runner.grade(sound[:1], code, kept=Verdicts(tmp_path))
        assert kept == fresh

    @pytest.mark.parametrize("damage", [b"", b"no database at all" * 100, None])
    def test_a_damaged_or_lost_file_costs_only_time(self, sound, submission, tmp_path, damage):
        code = submission(sound[0], RIGHT)
        first = graded(sound[:1], code, Verdicts(tmp_path))
        file = Verdicts(tmp_path).path
        file.unlink() if damage is None else file.write_bytes(damage)
        assert graded(sound[:1], code, Verdicts(tmp_path)) == first
        assert sqlite3.connect(file).execute("SELECT count(*) FROM verdicts").fetchone() == (1,)

    def test_a_file_cut_short_costs_only_time(self, sound, submission, tmp_path):
        code = submission(sound[0], RIGHT)
        first = graded(sound[:1], code, Verdicts(tmp_path))
        file = Verdicts(tmp_path).path
        file.write_bytes(file.read_bytes()[:5000])
        assert graded(sound[:1], code, Verdicts(tmp_path)) == first

    def test_a_place_that_cannot_be_written_keeps_nothing(self, sound, submission, tmp_path):
        (tmp_path / ".kata").write_text("in the way")
        assert graded(sound[:1], submission(sound[0], RIGHT), Verdicts(tmp_path)) == {"01_sums": 3}


class TestSoFar:
    def test_an_untouched_stub_is_not_run(self, sound, runs):
        assert progress.so_far(sound, SOUND / "katas") == dict.fromkeys(sound)
        assert runs == []

    def test_what_is_begun_is_judged(self, sound, submission):
        code = submission(sound[0], STUB.replace("raise NotImplementedError", "return 2 * x", 1))
        results = progress.so_far(sound, code)
        assert progress.in_words(sound[0], results[sound[0]]) == "1 of 2 core"
        assert progress.in_words(sound[1], results[sound[1]]) == "not started"

    @pytest.mark.parametrize("begun", ["def double(x:\n", "", "import no_such_module\n"])
    def test_a_broken_file_is_begun(self, sound, submission, begun):
        code = submission(sound[0], begun)
        assert progress.in_words(sound[0], progress.so_far(sound[:1], code)[sound[0]]) == "0 of 2 core"


class TestThePath:
    def test_every_kata_has_a_heading_and_a_chapter(self):
        numbers = {kata.number for kata in all_katas()}
        for kata in all_katas():
            head = progress.heading(kata)
            assert head.title and head.difficulty and head.minutes, kata.name
            assert set(head.builds_on) <= numbers, kata.name
            assert {earlier.number for earlier in catalogue.prerequisites(kata)} <= set(head.builds_on), kata.name

    def test_the_chapters_follow_each_other(self):
        seen = [progress.chapter(kata) for kata in all_katas() if "/" not in kata.name]
        titles = [title for title, _ in progress.CHAPTERS]
        assert seen == sorted(seen, key=titles.index)

    def test_listed_for_a_pipe(self):
        done = subprocess.run(
            [Path(sys.executable).with_name("kata"), "list"], cwd=ROOT, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        *rows, total = done.stdout.splitlines()
        assert [row.split("\t")[1] for row in rows] == [kata.number for kata in all_katas()]
        assert all(len(row.split("\t")) == 8 for row in rows)
        assert total.endswith("exercises") and "\x1b" not in done.stdout
