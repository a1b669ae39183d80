"""Broken submissions, each in a class: what they must get, and that the other student's
points come to no harm.
"""

import json
import os
import subprocess
import sys
import time
import zipfile

import pytest

from grader.course.catalogue import find
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions
from grader.teaching import class_grading, submissions
from grader.workers import folders
from tests.attacks.archives import BROKEN, COSTLY, RIGHT, lzma_stream, packed
from tests.conftest import SOUND


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_broken_submission(broken, sound, tmp_path):
    (tmp_path / "class/alice").mkdir(parents=True)
    (tmp_path / "class/alice/sums.py").write_bytes(RIGHT)
    place = tmp_path / "class/mallory" / broken.file
    if not broken.file.endswith(".py"):
        place = tmp_path / "class" / f"mallory{place.suffix}"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(broken.data())
    started, cache = time.monotonic(), ResultCache(tmp_path)
    handed_in = submissions.attempts(submissions.collect(tmp_path / "class"), sound[:1])
    found = class_grading.grade_class(
        handed_in, sound[:1], cache=cache, options=RunOptions()
    )
    results = {one.student: one.result for one in found}
    assert time.monotonic() - started < 300
    assert results["alice"].so_far.points == 3
    mallory = results["mallory"]
    points = 3 if broken.gets == "its points" else 0
    assert (bool(mallory.gap), mallory.so_far.points) == (
        broken.gets == "not graded",
        points,
    ), mallory
    assert (
        not mallory.gap
        or "mallory" in mallory.gap.line
        or "sums.py" in mallory.gap.line
    )


LOOK = """
import sys, time
from pathlib import Path
from grader.course.catalogue import all_katas
from grader.teaching import archives, attribution

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1000

katas, begun = all_katas(Path(sys.argv[2]))[:1], time.process_time()
sum(range(10**7))
archives.SECONDS = 20 * (time.process_time() - begun)
before, begun = peak(), time.process_time()
[row] = attribution.look([Path(sys.argv[1])], katas, katas).katas.values()
print(row.verdict, (time.process_time() - begun) / archives.SECONDS, peak() - before, sep=",")
"""


@pytest.mark.parametrize("costly", COSTLY, ids=lambda costly: costly.name)
def test_no_archive_costs_much(costly, tmp_path):
    """Neither 200 MB, nor more computing than is allowed but for what is in hand by
    then. This machine's speed decides what is: twenty times what ten million
    additions take.
    """
    (tmp_path / costly.file).write_bytes(costly.data())
    command = [sys.executable, "-c", LOOK, tmp_path / costly.file, SOUND]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    verdict, spent, megabytes = done.stdout.strip().split(",")
    assert verdict in (
        ("counts",) if costly.gets == "its points" else ("not graded", "not recognised")
    )
    assert float(spent) < 1.4 and float(megabytes) < 200


def test_a_class_with_a_broken_archive_is_graded_and_says_so(tmp_path, kata_here):
    """The archive of 300 bytes that once ended the grading of a whole class."""
    kata = find("01")
    (tmp_path / "class/alice").mkdir(parents=True)
    (tmp_path / "class/alice" / kata.file.name).write_text(kata.reference.read_text())
    archive = packed(
        (kata.file.as_posix(), b"import torch\n" * 50),
        method=zipfile.ZIP_LZMA,
        spoil=lzma_stream,
    )
    (tmp_path / "class/mallory.zip").write_bytes(archive())
    report = tmp_path / "report.json"
    done = kata_here("class", tmp_path / "class", "01", "--report", f"json={report}")
    assert done.returncode == 2
    assert done.stderr == (
        "kata: 1 of 2 students could not be graded: ask for a file that can be "
        "read, decide, or run the command again\n"
    )
    alice, mallory = (
        one["report"] for one in json.loads(report.read_text())["students"]
    )
    assert (alice["points"], mallory["points"]) == (len(kata.exercises), None)
    alone = kata_here("grade", "01", "--code", tmp_path / "class/mallory.zip")
    assert (
        alone.returncode == 2
        and alone.stderr.count("\n") == 1
        and "cannot be unpacked" in alone.stderr
    )


class TestDeepFolders:
    @pytest.fixture
    def deep(self, tmp_path):
        """A function that makes so many folders inside each other, beside a file, a
        link and a folder without rights.
        """

        def make(number: int):
            (tmp_path / "job/other").mkdir(parents=True)
            (tmp_path / "job/other/file").write_text("x")
            (tmp_path / "job/link").symlink_to(tmp_path / "kept")
            (tmp_path / "kept").mkdir()
            (tmp_path / "kept/file").write_text("x")
            (tmp_path / "job/other").chmod(0)
            here = os.open(".", os.O_RDONLY)
            os.chdir(tmp_path / "job")
            for _ in range(number):
                os.mkdir("d")
                os.chdir("d")
            os.fchdir(here)
            os.close(here)
            return tmp_path / "job"

        return make

    @pytest.mark.parametrize(
        ("number", "is_full"), [(50, False), (101, True), (1500, True), (3000, True)]
    )
    def test_they_are_seen_and_removed(self, deep, number, is_full):
        """3,000 of them have a path that no system call takes."""
        job = deep(number)
        (job / "other").chmod(0o700)
        assert folders.is_full(job) == is_full
        (job / "other").chmod(0)
        folders.remove(job)
        assert not job.exists() and (job.parent / "kept/file").exists()

    def test_folders_that_are_wide_are_full_at_the_limit(self, tmp_path, monkeypatch):
        monkeypatch.setattr(folders, "FOLDER_FILES", 10)
        for number in range(10):
            (tmp_path / str(number)).mkdir()
        assert not folders.is_full(tmp_path)
        (tmp_path / "one more").touch()
        assert folders.is_full(tmp_path)


def test_folders_of_runs_that_were_killed_go_and_those_of_others_stay(tmp_path):
    """A run holds its folder, and the folder of a moment ago may be one that is not
    held yet.
    """
    killed, young, other = (
        tmp_path / name for name in (f"{folders.RUN}a", f"{folders.RUN}b", "kata-x")
    )
    for folder in (killed, young, other):
        (folder / "job").mkdir(parents=True)
    os.utime(killed, (0, 0))
    os.utime(other, (0, 0))
    (tmp_path / f"{folders.RUN}link").symlink_to(other)
    with folders.of_a_run(str(tmp_path)) as running:
        os.utime(running, (0, 0))
        with folders.of_a_run(str(tmp_path)):
            assert (
                running.is_dir()
                and young.is_dir()
                and other.is_dir()
                and not killed.exists()
            )
    assert not running.exists() and (other / "job").is_dir()
