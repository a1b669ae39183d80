"""The `export` commands: repositories for students and for grading, and what a class
handed in or gets back.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from grader import files
from grader.cli.app import RulesFile, app, bar, katas
from grader.cli.class_ import Roster
from grader.course import handouts, places
from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.errors import KataError
from grader.protocol import RunOptions
from grader.reports import words
from grader.teaching import class_run, export, plain, returned, rules
from grader.teaching.assignment import Assignment
from grader.teaching.class_options import ClassOptions
from grader.teaching.platform_files import Place
from grader.teaching.platforms import MOODLE

PLACE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})")

exports = typer.Typer(no_args_is_help=True)
app.add_typer(exports, name="export")

Folder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="a new or empty folder, or an earlier export"),
]
Katas = Annotated[
    list[str] | None,
    typer.Option(
        "--katas",
        metavar="KATA",
        help="only this kata and what it builds on; repeatable",
    ),
]


@exports.callback()
def export_() -> None:
    """Write what a course hands out and grades with. An earlier export is updated;
    students' work is kept.
    """


@exports.command()
def starter(
    folder: Folder,
    chosen: Katas = None,
    grader: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/REPOSITORY@COMMIT",
            help="the teacher's copy that its workflow grades with",
        ),
    ] = None,
    no_workflow: Annotated[
        bool,
        typer.Option(
            "--no-workflow",
            help="without a workflow: another platform grades, or you do",
        ),
    ] = False,
    rules_file: RulesFile = None,
) -> None:
    """Write a repository for students, without answers."""
    if no_workflow == (grader is not None):
        raise KataError(
            "kata export starter needs --grader OWNER/REPOSITORY@COMMIT, the teacher's "
            "copy that its workflow grades "
            "with, or --no-workflow where another platform grades"
        )
    place = _place(grader) if grader else None
    course = rules.of_course(rules_file, ROOT)
    write(
        folder,
        lambda root: export.starter(
            folder, _unchanged(katas(chosen, root)), place, course
        ),
    )


@exports.command()
def teacher(folder: Folder, chosen: Katas = None, rules_file: RulesFile = None) -> None:
    """Write the teacher's copy, which grades: specs, references, grader,
    platforms' scripts.
    """
    course = rules.of_course(rules_file, ROOT)
    write(
        folder,
        lambda root: export.teacher(folder, _unchanged(katas(chosen, root)), course),
    )


@exports.command()
def classroom50(
    folder: Folder,
    chosen: Katas = None,
    released: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KATA",
            help=(
                "a kata whose reference may be in it, as the bundle is public; "
                "repeatable"
            ),
        ),
    ] = None,
    rules_file: RulesFile = None,
) -> None:
    """Write the bundle that Classroom 50 grades an assignment with."""
    course = rules.of_course(rules_file, ROOT)

    def _write(root: Path) -> list[str]:
        graded = _unchanged(katas(chosen, root))
        return export.bundle(
            folder, graded, katas(released, root) if released else [], course
        )

    write(folder, _write)


def _unchanged(chosen: list[Kata]) -> list[Kata]:
    """The katas to export, if they and those that they build on are as committed.

    Raises:
        NotPossible: a file that they give differs from the last commit.
    """
    root = chosen[0].root
    handouts.refuse_changed(root, handouts.given(root, with_prerequisites(chosen)))
    return chosen


ClassFolder = Annotated[
    Path,
    typer.Option("--submissions", metavar="DIR", help="the class, as for kata class"),
]


class Platform(StrEnum):
    """The forms of an archive with feedback, as choices of an option."""

    zip = "zip"
    moodle = "moodle"


@exports.command()
def feedback(
    pages: Annotated[
        Path,
        typer.Argument(
            metavar="PAGES", help="the folder that kata class --feedback wrote"
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="FILE", help="the zip archive to write")
    ],
    to: Annotated[
        Platform,
        typer.Option(
            help="moodle: its folders of a download; zip: a page called by its id each"
        ),
    ],
    class_folder: ClassFolder,
    roster: Roster = None,
) -> None:
    """Pack one page per student into an archive, in the form that a platform
    takes back.

    Exit code 2: somebody has no page, or none of their own name.
    """
    if not pages.is_dir():
        raise KataError(
            f"{pages}: no such folder; kata class --feedback {pages} writes it"
        )
    collected = class_run.collect(ClassOptions(folder=class_folder, roster_file=roster))
    name = (
        returned.by_upload(MOODLE)
        if to is Platform.moodle
        else returned.by_id(collected.ids)
    )
    packed = returned.pack(pages, collected.everybody, name)
    if packed.no_place and not packed.pages:
        raise KataError(
            f"{class_folder} has no folder of Moodle's download: pack the pages by "
            "--to zip"
        )
    try:
        files.write(out, packed.data)
    except OSError as error:
        raise KataError(f"{out} cannot be written: {error.strerror}") from None
    how = (
        ": in Moodle, choose Upload multiple feedback files in a zip"
        if to is Platform.moodle
        else ""
    )
    print(f"{out} has {words.counted(packed.pages, 'page')}{how}")
    if packed.no_place:
        print(
            "no folder of Moodle's download, so not in it: "
            f"{returned.listed(packed.no_place)}"
        )
    if packed.alike:
        print(
            "pages that would have one name, so not in it: "
            f"{returned.listed(packed.alike)}"
        )
    if packed.alike and not packed.no_page:
        raise KataError(
            "some pages would have one name: are all students in the roster?"
        )
    if packed.no_page:
        raise KataError(
            f"no page in {pages}, so not in {out}: {returned.listed(packed.no_page)}"
        )


@exports.command("plain")
def plain_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="a new folder, or an earlier export")
    ],
    class_folder: ClassFolder,
    chosen: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KATA]…", help="16, papers/13; default: all"),
    ] = None,
    roster: Roster = None,
) -> None:
    """Write a folder per student with the files that count, for programs that find
    similar code.
    """
    assignment = Assignment(katas(chosen), RunOptions())
    asked = ClassOptions(folder=class_folder, assignment=assignment, roster_file=roster)
    collected = class_run.collect(asked)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with bar("writing", "submissions") as counting:
            some = counting.track(collected.everybody)
            without = [
                one.student
                for one in some
                if not plain.write(folder, one, assignment.katas)
            ]
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None
    print(
        f"{folder} has the files of "
        f"{words.counted(len(collected.everybody) - len(without), 'student')}"
    )
    if without:
        print(f"nothing begun was found, so not in it: {returned.listed(without)}")


def _place(grader: str) -> Place:
    place = PLACE.fullmatch(grader)
    if place is None:
        form = (
            "write OWNER/REPOSITORY@COMMIT, a commit of 40 hex digits, as git "
            "rev-parse HEAD prints it"
        )
        raise KataError(
            f"--grader {grader}: {form}; branches and tags move, and what grades "
            "would change with them"
        )
    return Place(place["repository"], place["commit"])


def write(folder: Path, export_: Callable[[Path], list[str]]) -> None:
    """Export the course, and print what the export says that it did."""
    try:
        with places.course() as course:
            print(*export_(course), sep="\n")
    except OSError as error:
        raise KataError(f"{error.filename or folder}: {error.strerror}") from None
