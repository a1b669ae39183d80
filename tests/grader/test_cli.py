"""The `kata` command as a person or a script meets it: output, exit codes,
reports, Ctrl-C.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path

import pytest

from grader.cli import grade
from grader.cli.app import katas
from grader.course.catalogue import ROOT, all_katas, find
from grader.execution import cores, grading, standing_in, supervisor
from grader.execution.supervisor import Supervisor
from grader.failure import not_handed_in
from grader.isolation.usage import Limit, Stopwatch
from grader.learner import gpu
from grader.protocol import RunOptions
from grader.teaching.assignment import Assignment
from grader.workers import forkserver, jobs
from grader.workers.jobs import SourceText
from tests.conftest import KATA, kata_command

pytestmark = pytest.mark.usefixtures("warm_workers")
FIFTEEN = find("15")


@pytest.fixture(scope="module")
def half_written(tmp_path_factory) -> Path:
    """15 with two exercises right, one with the scale forgotten, one that loops for
    ever, and two not written.
    """
    text, scaled = FIFTEEN.reference.read_text(), "1 / math.sqrt(q.size(-1))"
    assert text.count(scaled) == 1, (
        "the reference has changed: this submission has to follow"
    )
    text = (
        text.replace(scaled, "1.0")
        + "\n\ndef padding_mask(*_):\n    while True:\n        pass\n"
    )
    for name in ("compare_scaling", "attention_cost"):
        text += f"\n\ndef {name}(*_, **__):\n    raise NotImplementedError\n"
    folder = tmp_path_factory.mktemp("half") / "code"
    (folder / FIFTEEN.file).parent.mkdir(parents=True)
    (folder / FIFTEEN.file).write_text(text)
    return folder


@pytest.fixture
def two_seconds(monkeypatch) -> None:
    """A spec may compute for two seconds: what loops for ever takes all of them."""
    assert RunOptions().spec_seconds == 10
    monkeypatch.setattr(grade, "RunOptions", partial(RunOptions, spec_seconds=2.0))


@pytest.fixture(scope="module")
def by_a_person(tmp_path_factory) -> subprocess.CompletedProcess:
    """A report to standard output, from a process of its own, where the folder for
    temporary files has a long name.
    """
    place = tmp_path_factory.mktemp("long") / ("x" * 100)
    place.mkdir()
    options = ["--code", "solutions", "--report", "json=/dev/stdout"]
    return kata_command(
        "grade", "00", *options, env=os.environ | {"TMPDIR": str(place)}
    )


class TestGrade:
    @pytest.mark.usefixtures("two_seconds")
    def test_a_half_written_submission(self, half_written, tmp_path, kata_here):
        started = time.monotonic()
        reports = [
            "--report",
            f"json={tmp_path}/r.json",
            "--report",
            f"junit={tmp_path}/r.xml",
        ]
        done = kata_here("grade", "15", "--code", half_written, *reports)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - started < 300
        report = json.loads((tmp_path / "r.json").read_text())
        assert report["schema"] == "kata-report/3" and report["complete"] is True
        [graded] = report["katas"]
        points = {
            exercise["name"]: exercise["points"] for exercise in graded["exercises"]
        }
        assert points == {
            "causal_mask": 1,
            "padding_mask": 0,
            "combine_masks": 1,
            "scaled_dot_product_attention": 0,
            "score_statistics": 1,
            "compare_scaling": 0,
            "attention_cost": 0,
        }
        assert (report["points"], report["max_points"], graded["status"]) == (
            3,
            7,
            "failed",
        )
        said = {
            e["name"]: [
                s["message"] for s in e["specs"] if s["status"] in ("failed", "error")
            ]
            for e in graded["exercises"]
        }
        assert any(
            "differs" in message for message in said["scaled_dot_product_attention"]
        )
        assert "used 2 s of CPU" in said["padding_mask"][0], said["padding_mask"][0]
        assert set(said["attention_cost"]) == {"attention_cost: not written yet"}
        for words in (
            f"{FIFTEEN.name}: failed, 3 of 7 points",
            "  causal_mask ",
            "\n3 of 7 points ·",
        ):
            assert words in done.stdout
        assert "\x1b" not in done.stdout + done.stderr, "no colour codes in a pipe"
        suites = ET.parse(tmp_path / "r.xml").getroot()
        specs = [spec for exercise in graded["exercises"] for spec in exercise["specs"]]
        assert (
            int(suites.get("tests"))
            == len(specs)
            == len(suites.findall("testsuite/testcase"))
        )
        failures = sum(
            spec["status"] == "failed" and not spec["edge"] for spec in specs
        )
        assert int(suites.get("failures")) == failures

    def test_the_stubs_are_not_started_and_nothing_is_an_error(
        self, tmp_path, kata_here
    ):
        """On four katas; that no stub passes a spec is a promise of test_katas.py."""
        chosen = ["16", "17", "tinytorch/05", "papers/21"]
        done = kata_here("grade", *chosen, "--report", f"json={tmp_path}/r.json")
        report = json.loads((tmp_path / "r.json").read_text())
        assert done.returncode == 0
        assert report["points"] == 0
        assert {graded["status"] for graded in report["katas"]} == {"not started"}
        assert [graded["kata"] for graded in report["katas"]] == [
            find(number).name for number in chosen
        ]
        for exercise in (
            exercise for graded in report["katas"] for exercise in graded["exercises"]
        ):
            said = {
                spec["message"]
                for spec in exercise["specs"]
                if spec["status"] == "failed"
            }
            assert said == {f"{exercise['name']}: not written yet"}

    def test_an_untouched_repository_is_one_screen_and_needs_no_process(
        self, kata_here, monkeypatch
    ):
        monkeypatch.setattr(forkserver, "prepare", None)
        done = kata_here("grade")
        assert done.returncode == 0, done.stderr
        assert (
            "tensors 01–05: not started, 0 of " in done.stdout
            and "papers, 30 katas: not started" in done.stdout
        )
        assert (
            len(done.stdout.splitlines()) <= 40
            and max(map(len, done.stdout.splitlines())) <= 100
        )
        first = all_katas()[0]
        assert done.stdout.endswith(
            f"kata watch {first.number}, and open katas/{first.file}\n"
        )
        assert (
            "count_to" in kata_here("grade", "--all").stdout
            and "count_to" in kata_here("grade", "01").stdout
        )

    @pytest.mark.usefixtures("two_seconds")
    def test_a_started_kata_shows_its_exercises_among_the_others(
        self, kata_here, half_written
    ):
        done = kata_here("grade", "14", "15", "16", "17", "--code", half_written)
        lines = done.stdout.splitlines()
        assert (
            "14_attention_basics: not handed in, 0 of 9 points, 0 of 9 stars" in lines
        )
        assert "transformer 17: not handed in, 0 of " in done.stdout
        assert (
            f"{FIFTEEN.name}: failed, 3 of 7 points, " in done.stdout
            and "\n  causal_mask" in done.stdout
        )

    def test_ones_own_unchanged_file_is_answered_from_memory(
        self, submission, tmp_path, kata_here, monkeypatch
    ):
        own = submission(find("00"), find("00").reference.read_text())
        monkeypatch.setattr(grade, "KATAS", own)
        monkeypatch.setattr(grade, "ROOT", tmp_path)
        monkeypatch.setattr(
            gpu, "told", lambda katas: [f"{kata.number} on a GPU" for kata in katas]
        )
        tried = (), (), ("--fresh",), ("--fresh", "--no-gpu"), ("--fresh", "--sealed")
        said = [kata_here("grade", "00", "--code", own, *more).stdout for more in tried]
        assert ["00 on a GPU" in text for text in said] == [
            True,
            False,
            True,
            False,
            False,
        ]
        known = "unchanged since you graded it: 00_first_look (see --fresh)"
        assert [known in text.splitlines() for text in said[:3]] == [False, True, False]
        said[0] = said[0].replace("00 on a GPU\n", "")
        assert (
            said[1].replace(f"{known}\n", "").partition(" · ")[0]
            == said[0].partition(" · ")[0]
        )
        submission(find("00"), find("00").reference.read_text() + "\n# changed\n")
        assert known not in kata_here("grade", "00", "--code", own).stdout

    def test_every_change_of_a_stub_is_run(self, sound, submission):
        """The look of a file's last statement or of its definitions decides
        no point.
        """
        stub = sound[0].code.read_text()
        changes = {
            "a leftover raise": stub.replace(
                "    raise Not", "    return 2 * x\n    raise Not", 1
            ),
            "a later name": f"{stub}\n\ndouble = lambda x: 2 * x\n",
        }
        for name, text in changes.items():
            folder = submission(sound[0], text)
            sources = {sound[0]: jobs.read(sound[0], folder)}
            [result] = grading.grade_sources([sound[0]], sources, folder, brief=True)
            assert [e.so_far.point for e in result.exercises] == [True, False, False], (
                name
            )
        leftover = (
            "    return 2 * x",
            "    return 2 * x\n    raise NotImplementedError",
        )
        whole = sound[0].reference.read_text().replace(*leftover)
        submission(
            sound[1], sound[1].reference.read_text(), submission(sound[0], whole)
        )
        [result] = grading.grade_folder([sound[1]], folder)
        assert (
            result.so_far.points == 1
            and "builds on the submission's own 01" in result.message
        )
        assert standing_in.choose(sound[1], folder).sources[sound[0].name] == folder

    def test_an_empty_hand_needs_no_process(self, sound):
        sources = {
            kata: SourceText("", not_handed_in(kata.file.name)) for kata in sound[:2]
        }
        found = grading.Grading(sound[:2], sources, brief=True)
        assert (
            list(found.ready()) == []
            and [one.state for one in found.results] == ["not handed in"] * 2
        )
        assert cores.why_core_fails(found.results[0]).line == "sums.py: not handed in"

    def test_without_a_choice_it_is_every_kata(self):
        assert katas(None) == all_katas()

    def test_the_reference_earns_every_point_and_core_leaves_out_the_rest(
        self, tmp_path, kata_here
    ):
        """On two katas; that the reference of every kata passes is a promise
        of test_katas.py.
        """
        chosen = ["15", "16"]
        options = [
            "--code",
            "solutions",
            "--core",
            "--fail-under",
            "100",
            "--report",
            f"json={tmp_path}/r.json",
        ]
        done = kata_here("grade", *chosen, *options)
        assert done.returncode == 0, done.stdout
        report = json.loads((tmp_path / "r.json").read_text())
        core = [
            exercise
            for number in chosen
            for exercise in find(number).exercises
            if not exercise.stretch
        ]
        assert report["points"] == report["max_points"] == len(core)
        assert len(core) < sum(len(find(number).exercises) for number in chosen)
        assert not any(
            exercise["stretch"]
            for graded in report["katas"]
            for exercise in graded["exercises"]
        )

    def test_fail_under(self, kata_here):
        assert kata_here("grade", "01", "--fail-under", "1").returncode == 1
        assert kata_here("grade", "01", "--fail-under", "0").returncode == 0

    def test_fail_under_is_kept_to_the_percent(self, kata_here, half_written):
        """Two of three chosen exercises work."""
        chosen = ["15::causal_mask", "15::combine_masks", "15::compare_scaling"]
        graded = partial(
            kata_here, "grade", *chosen, "--code", half_written, "--fail-under"
        )
        assert (graded("66.6").returncode, graded("66.7").returncode) == (0, 1)

    def test_what_the_machine_lost_is_no_zero(self, kata_here, monkeypatch):
        """A worker that the system kills: no score, exit code 2, and the next run
        grades again.
        """
        monkeypatch.setattr(
            Supervisor, "_how_it_ended", lambda *_: supervisor.KILLED_BY_SYSTEM
        )
        monkeypatch.setattr(supervisor, "OF_START", Limit(0.0, 0.0, 0.0))
        monkeypatch.setattr(Stopwatch, "next_look", 0.0)
        done = kata_here("grade", "01", "--code", "solutions", "--fail-under", "50")
        assert done.returncode == 2 and "not graded, so far 0 of" in done.stdout
        assert (
            done.stderr.startswith("kata: not graded, so there is no score: 01_")
            and done.stderr.count("\n") == 1
        )
        monkeypatch.undo()
        assert (
            kata_here(
                "grade", "01", "--code", "solutions", "--fail-under", "50"
            ).returncode
            == 0
        )

    def test_an_error_of_the_grader_is_no_low_score(self, kata_here, monkeypatch):
        monkeypatch.setattr(grade, "_graded", lambda *_, **__: 1 / 0)
        done = kata_here("grade", "01", "--fail-under", "50")
        assert done.returncode == 2
        assert done.stderr.startswith(
            "kata: not graded: ZeroDivisionError: division by zero (cli/grade.py:"
        )
        assert done.stderr.endswith(
            ": this is an error of the grader, not of the graded code\n"
        )

    def test_an_empty_folder_is_graded(self, tmp_path, kata_here):
        done = kata_here("grade", "01", "--code", tmp_path)
        assert done.returncode == 0
        assert "tensors.py: not handed in" in done.stdout
        assert f"0 of {len(find('01').exercises)} points" in done.stdout

    def test_a_folder_laid_out_in_another_way_is_graded(self, tmp_path, kata_here):
        (tmp_path / "repository" / "katas" / "01").mkdir(parents=True)
        (tmp_path / "repository" / "katas" / "01" / "tensors.py").write_text(
            find("01").reference.read_text()
        )
        (tmp_path / "repository" / "tensor_reshape.py").write_text("x = 1\n")
        done = kata_here("grade", "01", "02", "--code", tmp_path, "--explain")
        assert f"{find('01').name}: passed" in done.stdout and "\ntotal " in done.stdout
        near = (
            "repository/tensor_reshape.py: looks like 02_tensor_reshaping: call it "
            "tensor_reshaping.py"
        )
        assert f"not recognised: {tmp_path.name}/{near}\n" in done.stdout
        assert done.returncode == 2 and near in done.stderr

    def test_a_report_may_go_to_standard_output(self, by_a_person):
        assert by_a_person.returncode == 0, by_a_person.stderr
        assert f'"name": "{find("00").exercises[0].name}",' in by_a_person.stdout
        assert Path("/dev/stdout").is_symlink()

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (["grade", "--code", "nowhere"], "nowhere: no such folder"),
            (
                ["grade", "--code", "README.md"],
                "README.md: is no submission; --code takes a folder, .zip or ",
            ),
            (["grade", "99"], "'99' matches nothing in katas/: the nearest are "),
            (["grade", "1"], "'1' could be 1"),
            (
                ["grade", "01", "--report", "json=/nowhere/r.json"],
                "/nowhere/r.json cannot be written",
            ),
            (["grade", "01", "--report", "json=/"], "/ cannot be written"),
            (
                ["grade", "01", "--report", "pdf=x"],
                "write FORMAT=FILE, where FORMAT is json, junit, ",
            ),
            (
                ["grade", "01", "--report", "junit=x", "--report", "json=./x"],
                "json=./x: another report goes to x already",
            ),
            (
                ["grade", "01", "--code", "x" * 300],
                "x: no such folder"
                if sys.version_info >= (3, 14)
                else "x: File name too long",
            ),
            (["class", "", "01"], "an argument is empty"),
            (["list", "--code", "nowhere"], "nowhere: no such folder"),
            (["grade", "9\n9"], "'9 9' matches nothing"),
            (
                ["notebook", "01", "/dev/null"],
                "/dev/null: is there already, and is not a file",
            ),
            (
                ["grade", "01", "--report", "json"],
                "write FORMAT=FILE, where FORMAT is json, junit, ",
            ),
            (
                ["hint", "16", "nothing"],
                "has no exercise 'nothing': it has split_heads, merge_heads",
            ),
            (
                ["grade", "16::nothing"],
                "has no exercise 'nothing': it has split_heads, merge_heads",
            ),
            (["grade", "16::"], "has no exercise '': it has split_heads, merge_heads"),
            (
                ["grade", "99::split_heads"],
                "'99' matches nothing in katas/: the nearest are ",
            ),
            (
                ["grade", "15::attention_cost", "--core"],
                "--core leaves out 15::attention_cost, which is a stretch",
            ),
        ],
    )
    def test_what_cannot_be_done_is_one_line(self, args, words, kata_here):
        done = kata_here(*args)
        assert done.returncode == 2
        assert words in done.stderr and done.stderr.startswith("kata: ")
        assert len(done.stderr.strip().splitlines()) == 1
        assert done.stdout == ""

    def test_ctrl_c_keeps_what_is_finished_and_leaves_no_process(self, tmp_path):
        for kata_ in all_katas():
            (tmp_path / "code" / kata_.file).parent.mkdir(parents=True)
            endless = "import time\nwhile True:\n    time.sleep(1)\n"
            (tmp_path / "code" / kata_.file).write_text(
                kata_.reference.read_text() if kata_.number == "15" else endless
            )
        command = [
            KATA,
            "grade",
            "15",
            "16",
            "--jobs",
            "1",
            "--code",
            tmp_path / "code",
            "--report",
            f"json={tmp_path}/r.json",
        ]
        with tempfile.TemporaryDirectory() as scratch:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"TMPDIR": scratch},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            seen = lambda: any(  # noqa: E731
                name.startswith("16_")
                for _, folders, _ in os.walk(scratch)
                for name in folders
            )
            wait_until(seen, process)  # one at a time: 15 has its result
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate()
            assert process.returncode == 130, out + err
            assert "Traceback" not in err
            report = json.loads((tmp_path / "r.json").read_text())
            assert report["complete"] is False
            assert [graded["kata"] for graded in report["katas"]] == [
                "15_scaled_dot_product_attention"
            ]
            assert "interrupted" in out
            deadline = time.monotonic() + 300
            while (left := _working_in(scratch)) and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not left
            assert not os.listdir(scratch)

    def test_a_folder_for_temporary_files_may_have_a_long_name(self, by_a_person):
        assert by_a_person.returncode == 0, by_a_person.stderr
        every = len(find("00").exercises)
        assert (
            f"{every} of {every} points · {every} of {every} stars"
            in by_a_person.stdout
        )


class TestOneExercise:
    """`kata grade 15::causal_mask`: an exercise is judged as in the whole kata, and
    nothing else counts.
    """

    def report(self, kata_here, tmp_path, *arguments: str | Path) -> dict:
        done = kata_here("grade", *arguments, "--report", f"json={tmp_path}/r.json")
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "r.json").read_text())

    def exercises(self, report: dict) -> dict[str, list[str]]:
        return {
            kata["kata"]: [exercise["name"] for exercise in kata["exercises"]]
            for kata in report["katas"]
        }

    def test_one_and_several_of_a_kata(self, kata_here, tmp_path, half_written):
        report = self.report(
            kata_here, tmp_path, "15::causal_mask", "--code", half_written
        )
        assert self.exercises(report) == {FIFTEEN.name: ["causal_mask"]}
        assert (
            report["points"],
            report["max_points"],
            report["katas"][0]["status"],
        ) == (1, 1, "passed")
        two = ["15::compare_scaling", "scaled_dot::causal_mask"]
        report = self.report(kata_here, tmp_path, *two, "--code", half_written)
        assert self.exercises(report) == {
            FIFTEEN.name: ["causal_mask", "compare_scaling"]
        }
        assert (report["points"], report["max_points"]) == (1, 2)

    def test_beside_a_whole_kata(self, kata_here, tmp_path):
        """Katas may have spec classes of the same name: 10 and 22 both
        have TestEvaluate.
        """
        both = [
            {exercise.spec_class for exercise in find(number).exercises}
            for number in ("10", "22")
        ]
        assert "TestEvaluate" in both[0] & both[1]
        report = self.report(
            kata_here, tmp_path, "10::evaluate", "15", "22", "--code", tmp_path
        )
        found = self.exercises(report)
        assert found[find("10").name] == ["evaluate"]
        assert [len(found[find(number).name]) for number in ("15", "22")] == [
            len(find(number).exercises) for number in ("15", "22")
        ]

    def test_it_keeps_its_worth(self, kata_here, tmp_path, half_written):
        (tmp_path / "g.toml").write_text(
            f"[katas]\n15 = {2.5 * len(FIFTEEN.exercises)}\n"
        )
        rules = ["--rules", tmp_path / "g.toml"]
        report = self.report(
            kata_here, tmp_path, "15::causal_mask", "--code", half_written, *rules
        )
        assert (report["score"], report["max_score"]) == (2.5, 2.5)

    def test_what_it_uses_may_be_broken(self, sound, submission):
        """Doubler uses double, which fails: the reference's stands in, as when the
        whole kata is graded.
        """
        broken = sound[0].reference.read_text().replace("return 2 * x", "return x")
        only = tuple(grading.specs_for(sound[0], sound[0].exercise("Doubler")))
        assert only == ("TestDouble", "TestDoubler")
        code = submission(sound[0], broken)
        [result] = grading.grade_folder(sound[:1], code, options=RunOptions(only=only))
        assignment = Assignment(
            sound[:1],
            RunOptions(only=only),
            exercises=frozenset({("01_sums", "Doubler")}),
        )
        [doubler] = assignment.graded(result).exercises
        assert (doubler.name, doubler.so_far.point, doubler.note) == (
            "Doubler",
            True,
            "with the reference's double",
        )


class TestFollowUp:
    """A wrong merge_heads of kata 16, in the layer that uses it and in what uses
    that layer.
    """

    MERGED, FORWARD = "return x.transpose(1, 2).flatten(2)", "q = split_heads("

    def works(self, submission, *slips: tuple[str, str]) -> dict[str, str]:
        """Each exercise that works, and its note."""
        kata = find("16")
        text = kata.reference.read_text()
        for right, wrong in slips:
            assert text.count(right) == 1, (
                "the reference has changed: this submission has to follow"
            )
            text = text.replace(right, wrong)
        [result] = grading.grade_folder([kata], submission(kata, text))
        return {
            exercise.name: exercise.note
            for exercise in result.exercises
            if exercise.so_far.point
        }

    def test_it_costs_its_own_exercise_only(self, submission):
        works = self.works(submission, (self.MERGED, "return x.flatten(2)"))
        assert works.keys() == {exercise.name for exercise in find("16").exercises} - {
            "merge_heads"
        }
        noted = {
            name
            for name, note in works.items()
            if note == "with the reference's merge_heads"
        }
        assert noted == {
            "MultiHeadAttention.forward",
            "attention_patterns",
            "compare_with_torch",
        }

    def test_a_wrong_layer_beside_it_costs_one_more(self, submission):
        works = self.works(
            submission,
            (self.MERGED, "return x.flatten(2)"),
            (self.FORWARD, "q = 2 * split_heads("),
        )
        assert "MultiHeadAttention.forward" not in works
        assert (
            works["attention_patterns"]
            == "with the reference's MultiHeadAttention, merge_heads"
        )


class TestTheProcess:
    """The command's surroundings: its output, its folder, and Ctrl-C."""

    def test_ctrl_c_while_it_is_imported(self, monkeypatch, kata_here):
        class Interrupted:
            def find_spec(self, name, *_):
                if name == "grader.cli.learner":
                    raise KeyboardInterrupt

        monkeypatch.delitem(sys.modules, "grader.cli.learner", raising=False)
        monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
        done = kata_here("list")
        assert (done.returncode, done.stderr) == (130, "")

    def test_a_background_job_that_ignores_ctrl_c_can_be_ended(self, submission):
        endless = submission(find("01"), "while True: pass")
        command = f"trap '' INT; exec {KATA} grade 01 --code {endless} > /dev/null 2>&1"
        process = subprocess.Popen(["sh", "-c", command], cwd=ROOT)
        wait_until(
            lambda: (
                Path(f"/proc/{process.pid}/task/{process.pid}/children")
                .read_text()
                .strip()
            ),
            process,
        )
        process.terminate()
        assert process.wait(60) == 130

    @pytest.mark.parametrize(
        ("command", "code", "said"),
        [
            ("kata data > /dev/full", 2, "kata: No space left on device\n"),
            ("kata data >&- 2>&- <&-", 0, ""),
            (
                (
                    "mkfifo over; (cat over; kata data; echo $? >&2) | { exec <&-; : "
                    "> over; }"
                ),
                0,
                "1\n",
            ),
            (
                "mkdir gone; cd gone; rmdir ../gone; kata data",
                2,
                "kata: the current folder no longer exists: ",
            ),
        ],
        ids=["a full disk", "nothing is open", "nobody reads it", "no folder"],
    )
    def test_surroundings(self, command, code, said, tmp_path):
        path = f"{Path(KATA).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code and done.stderr.startswith(said), done.stderr
        assert done.stderr.count("\n") <= 1

    def test_a_terminal_of_no_width_loses_no_line(self, monkeypatch, kata_here):
        monkeypatch.setenv("COLUMNS", "0")
        assert " katas done · " in kata_here("list").stdout


class TestHelp:
    def test_a_command_has_its_own_line_and_no_import_of_torch_nor_of_the_authors_tools(
        self,
    ):
        code = (
            "import sys, typer; from grader.cli import app, commands; "
            "[*map(commands.load, commands.ALL)]; "
            "own = typer.main.get_group(app.app).commands; group = "
            "typer.main.get_group(commands.program); "
            "assert group.list_commands(None) == commands.ALL; listed = "
            "group.commands; "
            "assert listed.keys() == own.keys(); "
            "line = lambda command: ' "
            "'.join(command.help.partition('\\n\\n')[0].split()); "
            "look = lambda command: command.hidden or (line(command), "
            "command.rich_help_panel == app.AUTHORS); "
            "print({name for name in own if look(own[name]) != look(listed[name])}, "
            "{'torch', 'workshop.promises', 'workshop.variants'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True
        )
        assert done.stdout.strip() == "set() set()", done.stderr

    @pytest.mark.parametrize("words", ["--help", "list", "next", "lesson 16 --text"])
    def test_a_learners_command_imports_what_it_needs(self, words):
        """Each of these costs more than the command itself."""
        others = {
            "workshop",
            "grader.teaching",
            "grader.cli.grade",
            "grader.learner.doctor",
        }
        costly = set(
            (
                "torch numpy pytest nbformat pandas PIL matplotlib http.client "
                "watchfiles jinja2"
            ).split()
        )
        code = (
            "import sys; from grader.cli.main import main\ntry: main()\n"
            "finally: print(*sys.modules, file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *words.split()], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert not (costly | others).intersection(done.stderr.splitlines()[-1].split())


def wait_until(condition, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def _working_in(folder: str) -> list[Path]:
    """The processes whose working folder is this one, or lies below it."""
    return [p for p in Path("/proc").glob("[0-9]*/cwd") if _reads(p).startswith(folder)]


def _reads(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
