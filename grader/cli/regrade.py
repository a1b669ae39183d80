"""The `regrade` command: grades a class again after a spec or a rule has changed, and shows whose score changes."""

from pathlib import Path
from typing import Annotated

import typer

from grader.cli import grade_submissions, report_files
from grader.cli.app import RulesFile, app, complete_kata, katas
from grader.cli.grade import (
    Core,
    Feedback,
    Jobs,
    OverridesFile,
    Results,
    Roster,
    Sealed,
    UnownedAreNobody,
    is_sealed,
)
from grader.cli.report_files import CLASS_FORMATS
from grader.course import catalogue
from grader.course.catalogue import ROOT
from grader.protocol import RunOptions
from grader.teaching import regrading, rules
from grader.teaching.assignment import Assignment

Katas = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KATA]…",
        help="16, papers/13, multi_head; default: the katas of the earlier results",
        autocompletion=complete_kata,
    ),
]
Reports = Annotated[
    list[str] | None, typer.Option(metavar="FORMAT=FILE", help=f"also write {', '.join(CLASS_FORMATS)}")
]
Against = Annotated[Path, typer.Option(metavar="FILE", help="the earlier results, as kata grade --results wrote them")]
ClassFolder = Annotated[Path, typer.Option("--submissions", metavar="DIR", help="the class, as for kata grade")]
NeverLower = Annotated[bool, typer.Option("--never-lower", help="keep the better result of each exercise")]


@app.command()
def regrade(
    class_folder: ClassFolder,
    against: Against,
    kata: Katas = None,
    never_lower: NeverLower = False,
    roster: Roster = None,
    unowned_are_nobody: UnownedAreNobody = False,
    overrides: OverridesFile = None,
    report: Reports = None,
    results: Results = None,
    feedback: Feedback = None,
    core: Core = False,
    sealed: Sealed = None,
    jobs: Jobs = 0,
    rules_file: RulesFile = None,
) -> None:
    """Grade a class again, and show every student whose score changes and why. Earlier overrides still count."""
    earlier = regrading.read(against)
    chosen = katas(kata or dict.fromkeys(name for _, name in earlier))
    catalogue.refuse_misplaced_specs()
    options = RunOptions(core=core, sealed=is_sealed(sealed, of_a_class=True))
    assignment = Assignment(chosen, options, rules.of_course(rules_file, ROOT), jobs)
    outputs = grade_submissions.Outputs(report_files.parse_all(report, CLASS_FORMATS), results, feedback)
    class_ = grade_submissions.Class(
        class_folder, assignment, roster, overrides, unowned_are_nobody=unowned_are_nobody, rules_file=rules_file
    )
    grade_submissions.regrade_class_folder(class_, outputs, earlier, never_lower=never_lower)
