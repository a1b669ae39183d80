"""What `kata class` and `kata regrade` are asked to do: one record for both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grader.protocol import RunOptions
from grader.results import ClassReport
from grader.teaching.assignment import Assignment
from grader.teaching.dask_tasks import Engine
from grader.teaching.regrading import EarlierResults
from grader.teaching.report_files import ReportFile


def _nothing() -> Assignment:
    return Assignment([], RunOptions())


@dataclass(frozen=True, kw_only=True)
class ClassOptions:
    """A class to grade, what is known of its students beforehand, and what is written.

    Attributes:
        folder: the class, with one submission per student.
        roster_file: the course's list of students, if there is one.
        overrides_file: what the teacher has decided.
        accommodations_file: what the teacher allows some students.
        rules_file: where the assignment's rules come from, if not from the usual file.
        seen_file: the result lines of an earlier grading, with the times it saw.
        earlier: earlier results, whose overrides still count.
        never_lower: each exercise keeps the better of its two results.
        only: the students to grade; None for all.
        unowned_are_nobody: submissions of nobody in the roster are taken for nobody's
            work.
        engine: the cluster to grade on; None for this machine.
        results: the file with one line of JSON per student and kata, written as each is
            graded.
        pages: the folder for one HTML page per student.
        intake: the CSV file of what was found in the submissions.
        explain: print how each score comes about.
        canvas_column: the column of Canvas's gradebook for the total.
    """

    folder: Path
    assignment: Assignment = field(default_factory=_nothing)
    roster_file: Path | None = None
    overrides_file: Path | None = None
    accommodations_file: Path | None = None
    rules_file: Path | None = None
    seen_file: Path | None = None
    earlier: EarlierResults = field(default_factory=dict)
    never_lower: bool = False
    only: list[str] | None = None
    unowned_are_nobody: bool = False
    engine: Engine | None = None
    reports: Sequence[ReportFile[ClassReport]] = ()
    results: Path | None = None
    pages: Path | None = None
    intake: Path | None = None
    explain: bool = False
    canvas_column: str = ""
