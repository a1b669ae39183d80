"""The `grade` command, for one submission: a code folder or notebooks. For a class, see `grade_submissions`."""

import os
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grader.cli import grade_submissions
from grader.cli.app import INTERRUPTED, KATAS, RulesFile, app, bar, complete_kata, katas, say, with_options
from grader.course import catalogue, kata_modules, notebooks, pages
from grader.course.catalogue import ROOT, Kata
from grader.errors import KataError
from grader.execution import boundary, reduced
from grader.execution.grading import grade_sources, specs_for
from grader.execution.result_cache import ResultCache
from grader.failure import not_handed_in
from grader.learner import progress
from grader.protocol import RunOptions
from grader.reports import explanation, table
from grader.reports.table import Place
from grader.results import KataResult, Report
from grader.teaching import attribution, dask_tasks, listing, report_files, rules, submissions
from grader.teaching import intake as taking_in
from grader.teaching.assignment import Assignment
from grader.teaching.class_run import Class, Outputs
from grader.teaching.report_files import CLASS_FORMATS, FORMATS
from grader.teaching.submissions import Submission
from grader.workers import jobs
from grader.workers.jobs import SourceText

Katas = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KATA]…",
        help="16, papers/13, multi_head, 16.ipynb, 16::split_heads for one exercise; default: all",
        autocompletion=complete_kata,
    ),
]
Code = Annotated[
    Path,
    typer.Option(metavar="PATH", help="a folder, .zip or .ipynb file with code; default: katas/", show_default=False),
]
ClassFolder = Annotated[
    Path | None,
    typer.Option("--submissions", metavar="DIR", help="grade a class: one folder, .zip or .ipynb file per student"),
]
Reports = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FORMAT=FILE", help=f"also write {', '.join(FORMATS)}; for a class {', '.join(CLASS_FORMATS)}"
    ),
]
Results = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="class only: one line of JSON per student and kata, written as each is graded"),
]
Feedback = Annotated[Path | None, typer.Option(metavar="DIR", help="class only: one HTML page per student")]
Core = Annotated[bool, typer.Option("--core", help="leave out the stretch exercises")]
Jobs = Annotated[int, typer.Option(min=0, help="katas graded in parallel; 0 means one per core")]
FailUnder = Annotated[
    float | None, typer.Option(metavar="PERCENT", min=0, max=100, help="exit with code 1 if the score is lower")
]
Dask = Annotated[bool, typer.Option("--dask", help="class only: grade on the cluster at DASK_SCHEDULER_ADDRESS")]
Sealed = Annotated[
    bool | None,
    typer.Option(
        "--sealed/--unsealed",
        help="judge what works once more from another process, where code cannot reach the specs; default for a class",
    ),
]
RequireIsolation = Annotated[
    bool, typer.Option("--require-isolation", help="do not grade katas whose isolation is reduced on this machine")
]
Roster = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="class only: CSV with id, name and email, or a platform's own; due and extension for late penalties",
    ),
]
UnownedAreNobody = Annotated[
    bool,
    typer.Option(
        "--unowned-are-nobody",
        help="with --roster: whose submission is missing gets 0, although some submissions are nobody's",
    ),
]
OverridesFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="class only: CSV of points that you decide: id, kata::exercise, points (0 or 1), reason"
    ),
]
AccommodationsFile = Annotated[
    Path | None,
    typer.Option(
        "--accommodations",
        metavar="FILE",
        help="class only: CSV of what you allow: id, kata, due or extension or excused or waive_late, reason",
    ),
]
CanvasColumn = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help='with --report canvas=FILE: the total, in this column, such as "HW1 (999)"; otherwise a column per kata',
        show_default=False,
    ),
]
Intake = Annotated[
    Path | None, typer.Option(metavar="FILE", help="class only: CSV of every file that counts or was ignored, and why")
]
Everything = Annotated[bool, typer.Option("--all", help="show every exercise of every kata")]
Fresh = Annotated[bool, typer.Option("--fresh", help="run also what has not changed since you last graded it")]
Explain = Annotated[bool, typer.Option("--explain", help="show how the score comes about")]
Students = Annotated[list[str] | None, typer.Option(hidden=True, help="class only: grade this student; repeatable")]


@dataclass(frozen=True)
class Request:
    """The parameters of `kata grade`."""

    kata: Katas = None
    code: Code = KATAS
    class_folder: ClassFolder = None
    report: Reports = None
    results: Results = None
    feedback: Feedback = None
    core: Core = False
    sealed: Sealed = None
    require_isolation: RequireIsolation = False
    jobs: Jobs = 0
    rules_file: RulesFile = None
    fail_under: FailUnder = None
    explain: Explain = False
    everything: Everything = False
    fresh: Fresh = False
    roster: Roster = None
    unowned_are_nobody: UnownedAreNobody = False
    overrides: OverridesFile = None
    accommodations: AccommodationsFile = None
    canvas_column: CanvasColumn = ""
    intake: Intake = None
    dask: Dask = False
    student: Students = None

    @property
    def queries(self) -> list[str]:
        """The katas, exercises or notebooks that are named; none for all katas."""
        return self.kata or []


@app.command()
@with_options(Request)
def grade(request: Request) -> None:
    """Run the specs in isolated processes and count points and stars.

    Exit code 0: graded, whatever the score. 1: the score is below --fail-under. 2: not or not wholly graded, or a class
    has points that are unconfirmed.
    """
    _refuse_contradictions(request)
    of_notebooks = _read_notebooks(request.queries) if any(q.endswith(".ipynb") for q in request.queries) else {}
    chosen = _runnable(list(of_notebooks) or katas([query.partition("::")[0] for query in request.queries]))
    if not chosen:
        return
    assignment = _assignment(request, chosen)
    if request.class_folder:
        _grade_class(request, request.class_folder, assignment)
    else:
        _grade_one(request, of_notebooks, assignment)


def _runnable(chosen: list[Kata]) -> list[Kata]:
    """These katas but for those that this machine cannot run: a line says which and why."""
    lacking: dict[str, list[str]] = {}
    for kata in chosen:
        if kata.description.lack:
            lacking.setdefault(kata.description.lack, []).append(kata.number)
    for lack, numbers in lacking.items():
        say(f"{', '.join(numbers)}: {lack}")
    return [kata for kata in chosen if not kata.description.lack]


def _refuse_contradictions(request: Request) -> None:
    """Raise a KataError if these options do not go together."""
    outputs = request.results or request.feedback or request.intake
    decisions = request.roster or request.overrides or request.accommodations
    if request.class_folder and request.fail_under is not None:
        raise KataError("--fail-under is for one submission, not for a class")
    if not request.class_folder and (outputs or decisions or request.dask or request.student):
        options = "--results, --feedback, --roster, --overrides, --accommodations, --intake and --dask"
        raise KataError(f"{options} belong to a class: give --submissions DIR")
    if request.unowned_are_nobody and not request.roster:
        raise KataError("--unowned-are-nobody is about submissions of nobody in a roster: add --roster FILE")
    if request.canvas_column and not any(one.startswith("canvas=") for one in request.report or []):
        raise KataError("--canvas-column names the column of --report canvas=FILE: add that")


def is_sealed(asked: bool | None, *, of_a_class: bool) -> bool:
    """Tell if points are sealed.

    Raises:
        KataError: they should be, and cannot be here.
    """
    if asked and sys.platform != "linux":
        raise KataError("--sealed needs Linux: elsewhere a process cannot be kept from the specs")
    return of_a_class and sys.platform == "linux" if asked is None else asked


def _assignment(request: Request, chosen: list[Kata]) -> Assignment:
    """The assignment to grade these katas, or only the exercises that queries such as "16::split_heads" name."""
    seal = is_sealed(request.sealed, of_a_class=bool(request.class_folder))
    options = RunOptions(core=request.core, sealed=seal, require_isolation=request.require_isolation)
    course = rules.of_course(request.rules_file, ROOT)
    catalogue.refuse_misplaced_specs()
    if not any("::" in query for query in request.queries):
        return Assignment(chosen, options, course, request.jobs)
    asked: set[tuple[str, str]] = set()
    classes: set[str] = set()
    for query in request.queries:
        number, colons, name = query.partition("::")
        for found in [catalogue.find(number)] if colons else catalogue.matching(number):
            for exercise in [found.exercise(name)] if colons else found.exercises:
                if colons and options.core and exercise.stretch:
                    raise KataError(f"--core leaves out {query}, which is a stretch exercise")
                asked.add((found.name, exercise.name))
                classes.update(specs_for(found, exercise))
    only = replace(options, only=tuple(sorted(classes)))
    return Assignment(chosen, only, course, request.jobs, frozenset(asked))


def _read_notebooks(paths: list[str]) -> dict[Kata, SourceText]:
    """The code in these notebooks."""
    found: dict[Kata, SourceText] = {}
    for path in map(Path, paths):
        notebook = notebooks.read(path)
        kata = notebooks.kata_of(notebook, catalogue.all_katas(), path.name)
        written = notebooks.handed_in(notebook, kata)
        found[kata] = SourceText(written.text, notes=written.notes)
    return found


def _check(code: Path) -> None:
    """Raise a KataError if this cannot be a submission."""
    if not code.exists():
        raise KataError(f"{code}: no such folder; --code takes a folder, .zip or .ipynb file")
    if not code.is_dir() and not code.name.lower().endswith(submissions.FILES):
        raise KataError(f"{code}: is no submission; --code takes a folder, .zip or .ipynb file")
    if code != KATAS:
        kata_modules.refuse_link(code)


def _grade_class(request: Request, folder: Path, assignment: Assignment) -> None:
    """Grade a class, and write what is asked for."""
    class_ = Class(
        folder,
        assignment,
        request.roster,
        request.overrides,
        request.accommodations,
        seen_file=request.results,
        only=request.student,
        unowned_are_nobody=request.unowned_are_nobody,
        rules_file=request.rules_file,
        engine=dask_tasks.on_dask if request.dask else None,
    )
    outputs = Outputs(
        report_files.parse_all(request.report, CLASS_FORMATS),
        request.results,
        request.feedback,
        request.intake,
        request.explain,
        request.canvas_column,
    )
    if not class_.engine:
        _say_gaps(assignment.katas)
    grade_submissions.grade_class_folder(class_, outputs)


def _grade_one(request: Request, of_notebooks: dict[Kata, SourceText], assignment: Assignment) -> None:
    """Grade one submission, print the result, and write the report files."""
    code = request.code
    if of_notebooks:
        code = Path(os.path.commonpath([os.path.abspath(query) for query in request.queries]))
    _check(code)
    files = report_files.parse_all(request.report, FORMATS)
    folded = len(assignment.katas) > 1 and not request.everything
    with boundary.one_line():
        cache = ResultCache(ROOT, again=request.fresh or code != KATAS)
        report = _graded(code, of_notebooks, assignment, cache, brief=not files)
        table.show(report, Console(highlight=False), _places(assignment.katas) if folded else None)
        if request.explain:
            print("", *explanation.lines(report), sep="\n")
        if known := [one.kata for one in report.katas if one.kata in cache.found and one.status != "not started"]:
            print(f"unchanged since you graded {'it' if len(known) == 1 else 'them'}: {', '.join(known)} (see --fresh)")
        ran = {result.kata for result in report.katas if result.seconds}
        _say_gaps([kata for kata in assignment.katas if kata.name in ran])
        for file in files:
            file.write(report)
    if not report.complete:
        raise typer.Exit(INTERRUPTED)
    if code == KATAS:
        _say_next(assignment.katas, report)
    if lost := [f"{kata.kata} ({kata.why_not_graded})" for kata in report.katas if kata.not_graded]:
        advice = "run the same command again, unless the file itself is at fault"
        raise KataError(f"not graded, so there is no score: {', '.join(lost)}; {advice}")
    least = request.fail_under
    if least is not None and round(100 * report.score - least * report.max_score, 6) < 0:
        raise typer.Exit(1)


def _say_gaps(graded: list[Kata]) -> None:
    if graded and (gaps := reduced.gaps(graded)):
        print(f"isolation of the graded code is reduced on this machine: {'; '.join(gaps)}")


def _sources(code: Path, of_notebooks: dict[Kata, SourceText], chosen: list[Kata]) -> dict[Kata, SourceText]:
    """The texts of the katas' files, wherever they are in a student's folder. Says which files look wrong.

    Beside notebooks, no earlier kata was handed in.
    """
    needed = catalogue.with_prerequisites(chosen)
    if of_notebooks:
        return {k: of_notebooks.get(k, SourceText("", not_handed_in(k.file.name))) for k in needed}
    if code == KATAS:
        return {kata: jobs.read(kata, code) for kata in needed}
    place = code.absolute()  # which has a name, even where it was "."
    contents = attribution.look([place], needed, chosen)
    found = taking_in.findings(Submission(listing.readable(place.name), (place,)), contents, chosen)
    for line in taking_in.lines(found):
        print(line)
    return contents.sources(needed)


def _places(katas: Iterable[Kata]) -> dict[str, Place]:
    return {k.name: Place(pages.label(k), k.description.chapter, k.name.rpartition("/")[0]) for k in katas}


def _say_next(katas: list[Kata], report: Report) -> None:
    """Print the commands for the first of these katas whose core does not work."""
    results = {result.kata: result for result in report.katas}
    led = progress.led(katas, lambda kata: results[kata.name].status != "not started")
    kata = next((kata for kata in led if not results[kata.name].core_works), None)
    if kata is None:
        return
    on_path = shutil.which("kata") or not (ROOT / ".venv").is_dir()
    first = [] if on_path else ["source .venv/bin/activate"]
    commands = [*first, f"kata watch {kata.number}, and open katas/{kata.file}"]
    print("Next:", "\n      ".join(commands))


def _graded(
    code: Path,
    of_notebooks: dict[Kata, SourceText],
    assignment: Assignment,
    cache: ResultCache,
    *,
    brief: bool,
) -> Report:
    """Grade with a progress bar. After Ctrl-C, the report holds what is finished and is marked incomplete.

    Args:
        brief: the result of an untouched stub names no specs.
    """
    started, clock = datetime.now().astimezone().isoformat(timespec="seconds"), time.monotonic()
    results: dict[str, KataResult] = {}
    sources = _sources(code, of_notebooks, assignment.katas)
    grading = grade_sources(
        assignment.katas,
        sources,
        code,
        at_a_time=assignment.at_a_time,
        options=assignment.options,
        cache=cache,
        brief=brief,
    )
    try:
        with bar("grading") as counting:
            for result in counting.track(grading, total=len(assignment.katas)):
                results[result.kata] = assignment.graded(result)
    except KeyboardInterrupt:
        grading.close()
    in_order = tuple(results[kata.name] for kata in assignment.katas if kata.name in results)
    shown = code.relative_to(ROOT) if code.is_relative_to(ROOT) else code
    seconds = time.monotonic() - clock
    complete = len(in_order) == len(assignment.katas)
    sealed, course = assignment.options.sealed, assignment.rules
    files = {kata.file.as_posix(): source.text for kata, source in sources.items()}
    return Report(str(shown), started, seconds, complete, in_order, sealed, bool(course), files, course.details)
