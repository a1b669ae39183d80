"""A score of 0 has one of three reasons, whatever was handed in and in every format
of report.
"""

import csv
import io
import json
import re
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from grader.course import syntax
from grader.course.catalogue import all_katas
from grader.execution.grading import Grading
from grader.failure import Failure
from grader.protocol import RunOptions
from grader.results import ClassReport, ExerciseResult, KataResult, Report, SpecResult
from grader.teaching import attribution
from grader.teaching.assignment import Assignment
from grader.teaching.report_files import CLASS_FORMATS, FORMATS
from grader.teaching.rules import Rules
from grader.workers.jobs import Job
from tests.conftest import SOUND
from tests.grader.test_hand_ins import notebook
from tests.grader.test_progress import RIGHT, STUB

KATA = all_katas(SOUND)[0]
NOTHING, RAN, UNPARSED, NO_SOURCE = (
    "nothing was handed in",
    "the code ran",
    "it did not parse",
    "a person has to look",
)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12\n"
# "": it works
ENDS = (
    "mismatch",
    "timed out",
    "import failed",
    "import timed out",
    "statement failed",
    "killed",
    "",
)
LINES = RIGHT.splitlines(keepends=True)


def merged(at: int) -> tuple[str, str]:
    """A merge that stopped at this line, which only a docstring survives."""
    text = "".join(
        [*LINES[:at], "<<<<<<< HEAD\n", "=======\n", ">>>>>>> theirs\n", *LINES[at:]]
    )
    return text, NO_SOURCE if syntax.error_in(text) else RAN


came = st.one_of(
    st.sampled_from([({}, NOTHING), ({"sums.py": STUB}, NOTHING)]),
    st.sampled_from([RIGHT, "x = 1\n", notebook(RIGHT)]).map(
        lambda text: ({"sums.py": text}, RAN)
    ),
    st.sampled_from(["def broken(:", "x = (", "'", "<<<<<<", "  x", "return ="]).map(
        lambda line: ({"sums.py": f"{RIGHT}\n{line}\n"}, UNPARSED)
    ),
    st.integers(0, len(LINES))
    .map(merged)
    .map(lambda one: ({"sums.py": one[0]}, one[1])),
    st.just(({"sums.py": "from part import *\n", "part.py": RIGHT}, NO_SOURCE)),
    st.binary(max_size=9).map(
        lambda data: ({"sums.py": b"# coding: utf-8\n" + data + b"\xff"}, NO_SOURCE)
    ),
    st.integers(1, 2_000_000).map(lambda size: ({"sums.py": bytes(size)}, NO_SOURCE)),
    st.sampled_from(
        [
            POINTER,
            "what I did\n",
            "<!DOCTYPE html>\n<p>def double(x)\n",
            "--- a/sums.py\n+++ b\n@@\n",
        ]
    ).map(lambda text: ({"sums.py": text}, NO_SOURCE)),
    st.sampled_from(["w.rar", "w.zip", "w.ipynb", "w.pdf", "sum.py"]).map(
        lambda name: ({name: "x ="}, NO_SOURCE)
    ),
)


def judged(job: Job, end: str) -> KataResult:
    """What a worker says of this job, whose code comes to this end if it runs."""
    error = syntax.error_in(job.files.get(KATA.file, ""))
    ran = Failure(end, "line") if end else None  # type: ignore[arg-type]
    found = job.problem or (
        syntax.unparsed("sums.py", job.files[KATA.file], error) if error else ran
    )
    specs = (
        SpecResult(
            "TestX::test_x", "failed" if found else "passed", failure=found, line=1
        ),
    )
    file = (
        found
        if found and (found.is_of_file or found.kind == "statement failed")
        else None
    )
    return KataResult(
        KATA.name,
        tuple(ExerciseResult(one.name, specs) for one in KATA.exercises),
        file=file,
    )


def scores(report: Report, of_class: ClassReport) -> dict[str, float | None]:
    """The score of the student Ann, as each format has it; None where there is none."""
    said = {name: render(report) for name, render in FORMATS.items()}
    told = {name: render(of_class) for name, render in CLASS_FORMATS.items()}
    moodle = {
        row["identifier"]: row["grade"]
        for row in csv.DictReader(io.StringIO(told["moodle"]))
    }
    canvas = {
        row["Student"]: row.get(KATA.name)
        for row in csv.DictReader(io.StringIO(told["canvas"]))
    }
    [row] = csv.DictReader(io.StringIO(told["csv"]))
    errors = ET.fromstring(said["junit"].encode()).findall(".//error")
    cell = re.search(r"<td class='cell \w+' data-v='(.*?)'>", told["html"])
    shown = re.search(r"(not graded, so far )?(\d+) of \d+ points", said["html"])
    marked = re.search(r"(not graded, so far )?(\d+) of \d+ points", said["markdown"])
    assert cell and shown and marked
    return {
        "json": json.loads(said["json"])["score"],
        "classroom50": json.loads(said["classroom50"]).get("score"),
        "gradescope": json.loads(said["gradescope"]).get("score"),
        "junit": None if errors else report.so_far.score,
        "html": None if shown[1] else float(shown[2]),
        "markdown": None if marked[1] else float(marked[2]),
        "class json": json.loads(told["json"])["students"][0]["report"]["score"],
        "class csv": float(row[KATA.name]) if row[KATA.name] else None,
        "class html": max(0.0, float(cell[1])) if cell[1] else None,
        "class moodle": float(moodle["ann"]) if "ann" in moodle else None,
        "class canvas": float(canvas["ann"]) if canvas.get("ann") else None,
    }


@settings(max_examples=500, deadline=None)
@given(came=came, end=st.sampled_from(ENDS), waits=st.booleans(), brief=st.booleans())
def test_no_zero_without_a_reason(came, end, waits, brief):
    files, reason = came
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        sources = attribution.look([Path(folder)], [KATA]).sources([KATA])
    grading = Grading([KATA], sources, brief=brief)
    for job in grading.ready():
        grading.settle(KATA, judged(job, end))
    graded = Assignment([KATA], RunOptions(), Rules(unparsed_waits=waits)).graded(
        *grading.results
    )
    report = Report("ann", "2026-01-02T03:04:05+00:00", 1.0, True, (graded,))
    found = scores(report, ClassReport(report.started, 1.0, True, {"ann": report}))
    has_one = reason in (NOTHING, RAN) or (reason == UNPARSED and not waits)
    formats = {*FORMATS, *(f"class {name}" for name in CLASS_FORMATS)}
    assert found.keys() == formats, "let scores() read each format's score"
    expected = float(3 * (reason == RAN and not end)) if has_one else None
    assert found == dict.fromkeys(found, expected), (reason, graded.state)
