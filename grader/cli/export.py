"""The `export` command: repositories for students and for the grading job."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from grader.cli.app import RulesFile, app, katas
from grader.course.catalogue import ROOT
from grader.errors import KataError
from grader.teaching import export, rules

PLACE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<ref>[\w./-]+)")
UNKNOWN_PLACE = "OWNER/REPOSITORY@COMMIT"  # to be filled in by hand in the exported workflow


class Whose(StrEnum):
    """Who gets the repository."""

    starter = "starter"
    teacher = "teacher"


@app.command("export")
def export_(
    whose: Annotated[
        Whose,
        typer.Argument(
            metavar="starter|teacher", help="starter: for students, without answers; teacher: for the grading job"
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder, or an earlier export")],
    chosen: Annotated[
        list[str] | None,
        typer.Option("--katas", metavar="KATA", help="only this kata and what it builds on; repeatable"),
    ] = None,
    grader: Annotated[
        str, typer.Option(metavar="OWNER/REPOSITORY@COMMIT", help="the teacher's copy that workflows grade with")
    ] = UNKNOWN_PLACE,
    rules_file: RulesFile = None,
) -> None:
    """Write a repository for students or for grading. An earlier export is updated; students' work is kept."""
    place = PLACE.fullmatch(grader)
    if place is None:
        raise KataError(f"--grader {grader}: write OWNER/REPOSITORY@COMMIT")
    make = export.starter if whose is Whose.starter else export.teacher
    course = rules.of_course(rules_file, ROOT)
    try:
        said = make(folder, katas(chosen), place["repository"], place["ref"], course)
    except OSError as error:
        raise KataError(f"{error.filename or folder}: {error.strerror}") from None
    print(*said, sep="\n")
