"""The `grade` command, for one submission: a code folder or notebooks. `class_` has the
command for a class.
"""

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

from grader.cli.app import (
    INTERRUPTED,
    KATAS,
    RulesFile,
    app,
    bar,
    complete_kata,
    katas,
    say,
    with_options,
)
from grader.course import catalogue, kata_modules, notebooks, pages
from grader.course.catalogue import ROOT, Kata
from grader.errors import KataError, NotANotebook
from grader.execution import boundary, reduced
from grader.execution.grading import grade_sources, specs_for
from grader.execution.result_cache import ResultCache
from grader.failure import not_handed_in
from grader.learner import gpu, progress
from grader.protocol import RunOptions
from grader.reports import explanation, table, words
from grader.reports.table import Place
from grader.results import KataResult, Report
from grader.teaching import attribution, listing, report_files, rules, submissions
from grader.teaching import intake as taking_in
from grader.teaching.assignment import Assignment
from grader.teaching.report_files import FORMATS
from grader.teaching.submissions import Submission
from grader.workers import jobs
from grader.workers.jobs import SourceText

Katas = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KATA]…",
        help=(
            "16, papers/13, multi_head, 16.ipynb, 16::split_heads for one exercise; "
            "default: all"
        ),
        autocompletion=complete_kata,
    ),
]
Code = Annotated[
    Path,
    typer.Option(
        metavar="PATH",
        help="a folder, .zip or .ipynb file with code; default: katas/",
        show_default=False,
    ),
]
Reports = Annotated[
    list[str] | None,
    typer.Option(metavar="FORMAT=FILE", help=f"also write {', '.join(FORMATS)}"),
]
Core = Annotated[bool, typer.Option("--core", help="leave out the stretch exercises")]
Jobs = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, help="katas graded in parallel; 0 means one per core"
    ),
]
FailUnder = Annotated[
    float | None,
    typer.Option(
        metavar="PERCENT", min=0, max=100, help="exit with code 1 if the score is lower"
    ),
]
Sealed = Annotated[
    bool | None,
    typer.Option(
        "--sealed/--unsealed",
        help=(
            "judge what works once more from another process, where code cannot reach "
            "the specs; default for a class"
        ),
    ),
]
RequireIsolation = Annotated[
    bool,
    typer.Option(
        "--require-isolation",
        help="do not grade katas whose isolation is reduced on this machine",
    ),
]
Everything = Annotated[
    bool, typer.Option("--all", help="show every exercise of every kata")
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="run also what has not changed since you last graded it"
    ),
]
NoGpu = Annotated[
    bool,
    typer.Option(
        "--no-gpu", help="leave out the specs that need a GPU, where there is one"
    ),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="show how the score comes about")
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How to grade: the options of `kata grade` that `kata class` has, too."""

    core: Core = False
    sealed: Sealed = None
    require_isolation: RequireIsolation = False
    jobs: Jobs = 0
    rules_file: RulesFile = None
    explain: Explain = False


@dataclass(frozen=True)
class Request(Asked):
    """The parameters of `kata grade`."""

    kata: Katas = None
    code: Code = KATAS
    report: Reports = None
    fail_under: FailUnder = None
    everything: Everything = False
    fresh: Fresh = False
    no_gpu: NoGpu = False


@app.command()
@with_options(Request)
def grade(request: Request) -> None:
    """Run the specs in isolated processes and count points and stars. For a class, see
    kata class.

    Exit code 0: graded, whatever the score. 1: the score is below --fail-under. 2: not
    or not wholly graded.
    """
    queries = request.kata or []
    of_notebooks = (
        _read_notebooks(queries)
        if any(query.endswith(".ipynb") for query in queries)
        else {}
    )
    code = (
        Path(os.path.commonpath([os.path.abspath(path) for path in queries]))
        if of_notebooks
        else request.code
    )
    _check(code)
    assignment = assigned(request, queries, of_notebooks)
    if assignment.katas:
        _grade_one(request, code, of_notebooks, assignment)


def _runnable(chosen: list[Kata]) -> list[Kata]:
    """These katas but for those that this machine cannot run: a line says which
    and why.
    """
    lacking = [kata for kata in chosen if kata.description.lack]
    if lacking:
        numbers = [kata.number for kata in lacking]
        every = [kata for kata in catalogue.all_katas() if kata.description.lack]
        say(
            f"{table.span(numbers) if lacking == every else ', '.join(numbers)}: "
            f"{lacking[0].description.lack}"
        )
    return [kata for kata in chosen if kata not in lacking]


def is_sealed(asked: bool | None, *, of_a_class: bool) -> bool:
    """Tell if points are sealed.

    Raises:
        KataError: they should be, and cannot be here.
    """
    if sys.platform != "linux" and (asked or of_a_class):
        what = "a class" if of_a_class else "--sealed"
        raise KataError(
            f"{what} needs Linux, which isolates code: WSL, a container, or the "
            "workflow (docs/teaching.md)"
        )
    return of_a_class if asked is None else asked


def assigned(
    request: Asked,
    queries: list[str],
    of_notebooks: Iterable[Kata] = (),
    *,
    of_a_class: bool = False,
) -> Assignment:
    """The assignment to grade the katas of these queries, or those of notebooks, where
    this machine can run them.

    Queries such as "16::split_heads" choose single exercises.
    """
    chosen = _runnable(
        list(of_notebooks) or katas([query.partition("::")[0] for query in queries])
    )
    seal = is_sealed(request.sealed, of_a_class=of_a_class)
    options = RunOptions(
        core=request.core, sealed=seal, require_isolation=request.require_isolation
    )
    course = rules.of_course(request.rules_file, ROOT)
    catalogue.refuse_misplaced_specs()
    if not any("::" in query for query in queries):
        return Assignment(chosen, options, course, request.jobs)
    asked: set[tuple[str, str]] = set()
    classes: set[str] = set()
    for query in queries:
        number, colons, name = query.partition("::")
        for found in [catalogue.find(number)] if colons else catalogue.matching(number):
            for exercise in [found.exercise(name)] if colons else found.exercises:
                if colons and options.core and exercise.stretch:
                    raise KataError(
                        f"--core leaves out {query}, which is a stretch exercise"
                    )
                asked.add((found.name, exercise.name))
                classes.update(specs_for(found, exercise))
    only = replace(options, only=tuple(sorted(classes)))
    return Assignment(chosen, only, course, request.jobs, frozenset(asked))


def _read_notebooks(paths: list[str]) -> dict[Kata, SourceText]:
    """The code in these notebooks."""
    found: dict[Kata, SourceText] = {}
    for path in map(Path, paths):
        notebook = notebooks.read(path)
        try:
            kata = notebooks.kata_of(notebook, catalogue.all_katas())
            written = notebooks.handed_in(notebook, kata)
        except NotANotebook as hiding:
            raise NotANotebook(f"{path.name}: {hiding}") from None
        found[kata] = SourceText(written.text, notes=written.notes)
    return found


def _check(code: Path) -> None:
    """Raise a KataError if this cannot be a submission."""
    if not code.exists():
        raise KataError(
            f"{code}: no such folder; --code takes a folder, .zip or .ipynb file"
        )
    if not code.is_dir() and not code.name.lower().endswith(submissions.FILES):
        raise KataError(
            f"{code}: is no submission; --code takes a folder, .zip or .ipynb file"
        )
    if code != KATAS:
        kata_modules.refuse_link(code)


def _grade_one(
    request: Request,
    code: Path,
    of_notebooks: dict[Kata, SourceText],
    assignment: Assignment,
) -> None:
    """Grade one submission, print the result, and write the report files."""
    files = report_files.parse_all(request.report, FORMATS)
    folded = len(assignment.katas) > 1 and not request.everything
    with boundary.one_line():
        cache = ResultCache(ROOT, again=request.fresh or code != KATAS)
        report = _graded(code, of_notebooks, assignment, cache, brief=not files)
        table.show(
            report,
            Console(highlight=False),
            _places(assignment.katas) if folded else None,
        )
        if request.explain:
            print("", *explanation.lines(report), sep="\n")
        if known := [
            one.kata
            for one in report.katas
            if one.kata in cache.found and one.state != "untouched"
        ]:
            print(
                f"unchanged since you graded {'it' if len(known) == 1 else 'them'}: "
                f"{', '.join(known)} (see --fresh)"
            )
        ran = {result.kata for result in report.katas if result.seconds}
        say_gaps([kata for kata in assignment.katas if kata.name in ran])
        for file in files:
            file.write(report)
    if not report.complete:
        raise typer.Exit(INTERRUPTED)
    if code == KATAS:
        if not (request.no_gpu or report.sealed):
            _say_of_gpu(assignment.katas, report, cache)
        _say_next(assignment.katas, report)
    if lost := [
        f"{kata.kata} ({words.not_graded(kata)})" for kata in report.katas if kata.gap
    ]:
        advice = "run the same command again, unless the file itself is at fault"
        raise KataError(
            f"not graded, so there is no score: {', '.join(lost)}; {advice}"
        )
    least = request.fail_under
    if (
        least is not None
        and round(100 * report.so_far.score - least * report.max_score, 6) < 0
    ):
        raise typer.Exit(1)


def _say_of_gpu(chosen: list[Kata], report: Report, cache: ResultCache) -> None:
    """Print how one's own code does on the GPU of this machine, if there is one and the
    code has changed.
    """
    written = {
        result.kata
        for result in report.katas
        if result.so_far.points and result.kata not in cache.found
    }
    for line in gpu.told(kata for kata in chosen if kata.name in written):
        print(line)


def say_gaps(graded: list[Kata]) -> None:
    """Print what of the isolation is missing where these katas are graded."""
    if graded and (gaps := reduced.gaps(graded)):
        print(
            "isolation of the graded code is reduced on this machine: "
            f"{'; '.join(gaps)}"
        )


def _sources(
    code: Path, of_notebooks: dict[Kata, SourceText], chosen: list[Kata]
) -> dict[Kata, SourceText]:
    """The texts of the katas' files, wherever they are in a student's folder. Says
    which files look wrong.

    Beside notebooks, no earlier kata was handed in.
    """
    needed = catalogue.with_prerequisites(chosen)
    if of_notebooks:
        return {
            k: of_notebooks.get(k, SourceText("", not_handed_in(k.file.name)))
            for k in needed
        }
    if code == KATAS:
        return {kata: jobs.read(kata, code) for kata in needed}
    place = code.absolute()  # which has a name, even where it was "."
    contents = attribution.look([place], needed, chosen)
    submission = Submission(listing.readable(place.name), (place,))
    for line in taking_in.lines(taking_in.rows(submission, contents, chosen)):
        print(line)
    return contents.sources(needed)


def _places(katas: Iterable[Kata]) -> dict[str, Place]:
    return {
        k.name: Place(pages.label(k), k.description.chapter, k.name.rpartition("/")[0])
        for k in katas
    }


def _say_next(katas: list[Kata], report: Report) -> None:
    """Print the commands for the first of these katas whose core does not work."""
    results = {result.kata: result for result in report.katas}
    led = progress.led(katas, lambda kata: results[kata.name].state != "untouched")
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
    """Grade with a progress bar. After Ctrl-C, the report holds what is finished and is
    marked incomplete.

    Args:
        brief: the result of an untouched stub names no specs.
    """
    started, clock = (
        datetime.now().astimezone().isoformat(timespec="seconds"),
        time.monotonic(),
    )
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
    in_order = tuple(
        results[kata.name] for kata in assignment.katas if kata.name in results
    )
    shown = code.relative_to(ROOT) if code.is_relative_to(ROOT) else code
    seconds = time.monotonic() - clock
    complete = len(in_order) == len(assignment.katas)
    sealed, course = assignment.options.sealed, assignment.rules
    files = {kata.file.as_posix(): source.text for kata, source in sources.items()}
    return Report(
        str(shown),
        started,
        seconds,
        complete,
        in_order,
        sealed,
        bool(course),
        files,
        course.details,
    )
