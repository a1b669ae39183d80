"""The `kata` command: reads what the person typed, calls the part that does it, and turns errors into one line each."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import nbformat
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from grader import catalogue, confine, downloads, engines, export, hints, layout, learner, loading, notebooks, overview, progress, reading, runner, weights
from grader import doctor as doctor_
from grader import submissions as submissions_
from grader.catalogue import ROOT, Kata, UnknownKata
from grader.reports import class_report, classroom, classroom50, csv_report, gradescope, html_report, json_report, junit, markdown, table
from grader.results import ClassReport, KataResult, Report, kata_as_dict, weighted
from grader.verdicts import Verdicts

FORMATS = {
    "json": json_report.render,
    "junit": junit.render,
    "csv": csv_report.render,
    "markdown": markdown.render,
    "html": html_report.render,
    "classroom": classroom.render,
    "classroom50": classroom50.render,
    "gradescope": gradescope.render,
}
CLASS_FORMATS = {"json": class_report.render_json, "csv": class_report.render_csv, "html": html_report.render_class}
INTERRUPTED = 130
WEIGHTS = ROOT / weights.NAME
Engine = StrEnum("Engine", list(engines.ENGINES))

app = typer.Typer(
    help="Learn PyTorch by passing specs: read, write, watch, ask for hints; grade one's own work or a class's.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _complete_kata(incomplete: str) -> list[tuple[str, str]]:
    return [(kata.number, hints.title(kata)) for kata in catalogue.all_katas() if kata.number.startswith(incomplete)]


def _complete_exercise(context: typer.Context, incomplete: str) -> list[str]:
    try:
        exercises = catalogue.exercises(catalogue.find(context.params.get("kata") or ""))
    except UnknownKata:
        return []
    return [exercise.name for exercise in exercises if exercise.name.startswith(incomplete)]


Katas = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KATA]…", help="16, papers/13, multi_head; all when left out", autocompletion=_complete_kata),
]


@app.command()
def grade(
    kata: Katas = None,
    code: Annotated[Path, typer.Option(metavar="DIR", help="the code to grade: a folder laid out like katas/")] = ROOT / "katas",
    submissions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="grade a class instead: one folder, .zip or .ipynb file a student")
    ] = None,
    report: Annotated[
        list[str] | None, typer.Option(metavar="FORMAT=FILE", help=f"also write {', '.join(FORMATS)}; of a class {', '.join(CLASS_FORMATS)}")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="of a class: a line of JSON for each student and kata as it is graded")
    ] = None,
    feedback: Annotated[Path | None, typer.Option(metavar="DIR", help="of a class: an HTML page a student")] = None,
    core: Annotated[bool, typer.Option("--core", help="leave out the stretch exercises")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="katas graded at a time; 0 means one a core")] = 0,
    weights_: Annotated[
        Path, typer.Option("--weights", metavar="FILE", help="what katas are worth: a line 16 = 20 each; weights.toml if there is one")
    ] = WEIGHTS,
    fail_under: Annotated[float | None, typer.Option(metavar="PERCENT", min=0, max=100, help="exit with 1 below this")] = None,
    engine: Annotated[Engine | None, typer.Option(help="of a class: graded by the machines of a cluster")] = None,
    student: Annotated[list[str] | None, typer.Option(hidden=True, help="of a class: only this one; give it once for each")] = None,
) -> None:
    """Run the specs against the code in isolated processes and count the points.

    Exit code 0: graded, whatever the score. 1: below --fail-under. 2: could not be graded.
    """
    if kata and any(name.endswith(".ipynb") for name in kata):
        with tempfile.TemporaryDirectory(prefix="kata-") as folder:
            chosen = [_unpacked(Path(name), Path(folder)).name for name in kata]
            return grade(chosen, Path(folder), submissions, report, results, feedback, core, jobs, weights_, fail_under, engine, student)
    katas = _katas(kata)
    if submissions and fail_under is not None:
        raise Trouble("--fail-under is for one submission, not for a class")
    if not code.is_dir():
        raise Trouble(f"{code}: no such folder; --code takes a folder laid out like katas/")
    if (code / "katas").is_dir() and not any((code / kata.file).exists() for kata in katas):
        raise Trouble(f"{code} holds no kata, but {code / 'katas'} may: --code takes a folder laid out like katas/")
    files = [_report_file(spec, CLASS_FORMATS if submissions else FORMATS) for spec in report or []]
    worth = _weights(weights_)
    if submissions:
        _grade_class(submissions, katas, files, results, feedback, core, jobs, worth, engine, student)
        return
    if results or feedback or engine or student:
        raise Trouble("--results, --feedback and --engine belong to a class: give --submissions DIR")
    outcome = _graded(katas, code, core, jobs, worth)
    table.show(outcome, Console(highlight=False))
    if gaps := confine.what_is_open():
        print(f"isolation of the code was reduced on this machine: {' and '.join(gaps)}")
    for render, path in files:
        _write(path, render(outcome))
    if not outcome.complete:
        raise typer.Exit(INTERRUPTED)
    if fail_under is not None and 100 * outcome.points < fail_under * outcome.max_points:
        raise typer.Exit(1)


@app.command("list")
def list_katas(
    code: Annotated[Path, typer.Option(metavar="DIR", help="whose progress: a folder laid out like katas/")] = ROOT / "katas",
) -> None:
    """The path in chapters: each kata with its difficulty, its time, what it builds on and how far you are."""
    katas = _katas(None)
    bar = _bar("looking at what you have written")
    task = bar.add_task("", total=None)
    with bar:
        results = progress.so_far(katas, code, lambda begun: bar.update(task, total=len(begun)), lambda _: bar.advance(task))
    overview.show(katas, results, Console(highlight=False))


@app.command()
def watch(kata: Annotated[str | None, typer.Argument(metavar="[KATA]", autocompletion=_complete_kata)] = None) -> None:
    """Judge your code on every save, the exercise at hand first, and say what to do next; without KATA where you are on the path."""
    from grader import watch as watching  # its imports cost time that no other command should wait for

    katas = _katas(None)
    if kata:
        first = _katas([kata])[0]
    else:
        results = progress.so_far(katas, ROOT / "katas")
        first = next((k for k in katas if not (results[k] and results[k].core_done)), katas[-1])
    watching.start(katas, first)


@app.command("next")
def next_() -> None:
    """Where you are: the first exercise of the path's core that is not done, and what its first failure says."""
    for kata in _katas(None):
        result = progress.so_far([kata], ROOT / "katas")[kata]
        if result and result.core_done:
            continue
        _say(f"{kata.number} {hints.title(kata)}: {progress.in_words(kata, result)}")
        _say(f"lesson     kata lesson {kata.number}\ncode       katas/{kata.file}\nspecs      pytest katas/{kata.number} -x, or kata watch {kata.number}")
        undone = [e for e in result.exercises if not (e.solved or e.stretch)] if result else []
        name = undone[0].name if undone else catalogue.exercises(kata)[0].name
        _say(f"exercise   {name}\nhint       kata hint {kata.number} {name}")
        if undone and undone[0].first_failure:
            _say(f"\n{undone[0].first_failure.message}")
        return
    _say("The core of every kata is done. kata list shows what stretch exercises are left.")


@app.command()
def hint(
    kata: Annotated[str, typer.Argument(metavar="KATA", autocompletion=_complete_kata)],
    exercise: Annotated[str | None, typer.Argument(metavar="[EXERCISE]", autocompletion=_complete_exercise)] = None,
    level: Annotated[int | None, typer.Option(min=1, max=3, help="1 the concept, 2 the API, 3 the shape walk")] = None,
) -> None:
    """The next hint for an exercise: first the concept, then the API, then the shape walk; --level gives one of them again."""
    try:
        _say(learner.next_hint(_katas([kata])[0], exercise, level))
    except LookupError as error:
        raise Trouble(error.args[0]) from None


@app.command()
def solution(
    kata: Annotated[str, typer.Argument(metavar="KATA", autocompletion=_complete_kata)],
    exercise: Annotated[str, typer.Argument(metavar="EXERCISE", autocompletion=_complete_exercise)],
    now: Annotated[bool, typer.Option("--now", help="without taking the hints first")] = False,
) -> None:
    """The reference of one exercise as a difference to your code, after its three hints."""
    try:
        lines = learner.solution(_katas([kata])[0], exercise, now=now)
    except (LookupError, learner.NotPossible) as error:
        raise Trouble(error.args[0]) from None
    console = Console(highlight=False)
    for line in lines:
        console.print(line, style={"+": "green", "-": "red", "@": "dim"}.get(line[:1], ""), markup=False, soft_wrap=True)


@app.command()
def reset(kata: Annotated[str, typer.Argument(metavar="KATA", autocompletion=_complete_kata)]) -> None:
    """Put a kata's stub back. Your version is kept; `kata undo` restores it."""
    try:
        _say(learner.reset(_katas([kata])[0]))
    except learner.NotPossible as error:
        raise Trouble(str(error)) from None


@app.command()
def undo(kata: Annotated[str, typer.Argument(metavar="KATA", autocompletion=_complete_kata)]) -> None:
    """Bring back the version of your code that the last reset kept."""
    try:
        _say(learner.undo(_katas([kata])[0]))
    except learner.NotPossible as error:
        raise Trouble(str(error)) from None


@app.command()
def lesson(
    kata: Annotated[str, typer.Argument(metavar="KATA", autocompletion=_complete_kata)],
    text: Annotated[bool, typer.Option("--text", help="only read it: do not run lesson.py")] = False,
) -> None:
    """Read a kata's lesson in the terminal, run its lesson.py, and show the figure where the terminal can."""
    found = _katas([kata])[0]
    console = Console()
    page = (found.folder / "README.md").read_text(encoding="utf-8")
    if console.is_terminal:
        console.print(Markdown(reading.for_terminal(page)))
    else:
        print(page)
    if text:
        return
    figure = ROOT / ".kata" / "figures" / f"{found.name.replace('/', '__')}.png"
    figure.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    done = subprocess.run([sys.executable, found.folder / "lesson.py", figure], cwd=ROOT)
    if done.returncode:
        raise Trouble(f"katas/{found.name}/lesson.py ended with exit code {done.returncode}")
    if console.is_terminal and figure.exists():
        sys.stdout.write(reading.inline(figure, os.environ))


@app.command()
def notebook(
    kata: Annotated[str, typer.Argument(metavar="KATA", autocompletion=_complete_kata)],
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="default: the kata's folder, KATA.ipynb")] = None,
    back: Annotated[bool, typer.Option("--back", help="the other way: write the notebook's code to the kata's file")] = False,
) -> None:
    """Write a kata as a notebook: its lesson, and your code in cells with a check behind each; or, with --back, bring it back."""
    found = _katas([kata])[0]
    path = file or found.folder / f"{found.name.rpartition('/')[2]}.ipynb"
    source = found.folder / found.file.name
    try:
        if back:
            _say(learner.replace(found, source, notebooks.module(notebooks.read(path), found)))
        else:
            text = nbformat.writes(notebooks.build(found, loading.read_source(source), notebooks.origin(ROOT)))
            _say(learner.replace(found, path, text + "\n"))
    except (notebooks.NotANotebook, loading.LoadFailure) as failure:
        raise Trouble(str(failure)) from None
    except OSError as error:
        raise Trouble(f"{error.filename}: {error.strerror}") from None


@app.command()
def doctor() -> None:
    """Look at this machine: Python, packages, devices, isolation, data, disk; what is fine, what is not, what to do.

    Exit code 1: something is not fine.
    """
    console, bad = Console(highlight=False), False
    for finding in doctor_.examine():
        sign, colour = {"fine": ("ok", "green"), "note": ("note", "yellow"), "bad": ("BAD", "bold red")}[finding.state]
        console.print(f"[{colour}]{sign:<5}[/]{finding.what:<16}", end="")
        console.print(finding.says, markup=False, soft_wrap=True)
        bad = bad or finding.state == "bad"
    if bad:
        raise typer.Exit(1)


@app.command()
def data(name: Annotated[str | None, typer.Argument(metavar="NAME", help="the set to download")] = None) -> None:
    """The larger data sets, which lessons use where they are: a list of them, or with NAME the download of one into data/.

    Exit code 2: it could not be had. What has come is kept, and the next call goes on from there.
    """
    try:
        print(downloads.get(name) if name else downloads.listing())
    except LookupError as error:
        raise Trouble(error.args[0]) from None
    except downloads.Failure as failure:
        raise Trouble(str(failure)) from None
    except KeyboardInterrupt:
        print(f"kata: interrupted: kata data {name} goes on from here", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


class Whose(StrEnum):
    starter = "starter"
    teacher = "teacher"


@app.command("export")
def export_(
    whose: Annotated[Whose, typer.Argument(help="starter: for students, without answers; teacher: what the grading job needs")],
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    katas: Annotated[list[str] | None, typer.Option(metavar="KATA", help="only these, and what they build on; give it once for each")] = None,
    grader: Annotated[
        str, typer.Option(metavar="OWNER/REPOSITORY@COMMIT", help="where the workflows find the teacher's copy")
    ] = "OWNER/REPOSITORY@COMMIT",
    weights_: Annotated[Path, typer.Option("--weights", metavar="FILE", help="what katas are worth, as for kata grade")] = WEIGHTS,
) -> None:
    """Write a repository to hand out, or its counterpart for grading; a folder exported before is updated, and work in it kept."""
    repository, at, ref = grader.partition("@")
    if not at or not re.fullmatch(r"[\w.-]+/[\w.-]+", repository) or not re.fullmatch(r"[\w./-]+", ref):
        raise Trouble(f"--grader {grader}: write OWNER/REPOSITORY@COMMIT")
    try:
        make = export.starter if whose is Whose.starter else export.teacher
        print(*make(folder, _katas(katas), repository, ref, _weights(weights_)), sep="\n")
    except (export.ExportFailure, loading.LoadFailure) as failure:
        raise Trouble(str(failure)) from None
    except OSError as error:
        raise Trouble(f"{error.filename or folder}: {error.strerror}") from None


def main() -> None:
    """Entry point: one clear line for everything that a person can put right, exit code 2."""
    sys.stdout.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        app()
    except Trouble as trouble:
        print(f"kata: {trouble}", file=sys.stderr)
        sys.exit(2)


class Trouble(Exception):
    """The command cannot be carried out. The message is one line: what is wrong and what to do."""


def _say(text: str) -> None:
    """Print it, on a terminal without cutting words in two."""
    console = Console()
    print(layout.wrapped(text, console.width, indent=0) if console.is_terminal else text)


def _katas(queries: list[str] | None) -> list[Kata]:
    if not queries:
        return catalogue.all_katas()
    try:
        return list(dict.fromkeys(catalogue.find(query) for query in queries))
    except UnknownKata as error:
        raise Trouble(str(error)) from None


def _unpacked(path: Path, folder: Path) -> Kata:
    """The kata of a notebook, whose code is written below the folder as a submission has it."""
    try:
        handed_in = notebooks.read(path)
        kata = notebooks.kata_of(handed_in, catalogue.all_katas(), path.name)
    except notebooks.NotANotebook as failure:
        raise Trouble(str(failure)) from None
    (folder / kata.file).parent.mkdir(parents=True, exist_ok=True)
    (folder / kata.file).write_text(notebooks.module(handed_in, kata), encoding="utf-8")
    return kata


def _weights(path: Path) -> dict[str, int]:
    """What the file says; nothing where the one that need not be there is not there."""
    try:
        return weights.read(path) if path.exists() or path != WEIGHTS else {}
    except weights.NoWeights as failure:
        raise Trouble(str(failure)) from None


def _graded(katas: list[Kata], code: Path, core: bool, jobs: int, worth: dict[str, int]) -> Report:
    """Grade with a progress bar on a terminal; on Ctrl-C what is finished so far, marked incomplete."""
    started, clock = datetime.now().astimezone().isoformat(timespec="seconds"), time.monotonic()
    results: dict[str, KataResult] = {}
    bar = _bar("grading")
    grading = runner.grade(katas, code, jobs=jobs, core=core, kept=Verdicts(ROOT), again=True)
    try:
        with bar:
            for result in bar.track(grading, total=len(katas)):
                results[result.kata] = weighted(result, worth.get(result.kata))
    except KeyboardInterrupt:
        grading.close()
    in_order = tuple(results[kata.name] for kata in katas if kata.name in results)
    return Report(_shown(code), started, time.monotonic() - clock, len(in_order) == len(katas), in_order)


def _grade_class(
    folder: Path, katas: list[Kata], files: list, lines: Path | None, feedback: Path | None, core: bool, jobs: int,
    worth: dict[str, int], engine: Engine | None, only: list[str] | None,
) -> None:  # fmt: skip
    """Grade every submission in the folder; on Ctrl-C what is finished so far is reported, and the next call goes on from there."""
    if not folder.is_dir():
        raise Trouble(f"{folder}: no such folder; --submissions takes a folder with one folder, .zip or .ipynb file a student")
    try:
        handed_in = [found for found in submissions_.collect(folder) if not only or found.student in only]
        stream = open(lines or os.devnull, "w", encoding="utf-8")
        if feedback:
            feedback.mkdir(parents=True, exist_ok=True)
    except submissions_.NoSubmissions as error:
        raise Trouble(str(error)) from None
    except OSError as error:
        raise Trouble(f"{error.filename}: {error.strerror}") from None
    started, clock = datetime.now().astimezone().isoformat(timespec="seconds"), time.monotonic()
    found: dict[str, dict[str, KataResult]] = {submission.student: {} for submission in handed_in}
    lost: dict[str, str] = {}
    if engine:
        grading = engines.grade(handed_in, katas, folder, engines.ENGINES[engine], kept=Verdicts(ROOT), jobs=jobs, core=core)
    else:
        grading = submissions_.grade(handed_in, katas, kept=Verdicts(ROOT), jobs=jobs, core=core)
    interrupted = False
    try:
        with stream, _bar("grading", "results", left=True) as bar:
            for student, unweighted in bar.track(grading, total=len(handed_in) * len(katas)):
                result = weighted(unweighted, worth.get(unweighted.kata))
                if result.exercises:
                    found[student][result.kata] = result
                else:
                    lost[student] = result.message
                stream.write(json.dumps({"student": student, **kata_as_dict(result)}, ensure_ascii=False) + "\n")
                stream.flush()
    except engines.NotPossible as error:
        raise Trouble(str(error)) from None
    except KeyboardInterrupt:
        grading.close()
        interrupted = True
    seconds = time.monotonic() - clock
    reports = {}
    for student, by_name in found.items():
        graded = tuple(by_name[kata.name] for kata in katas if kata.name in by_name)
        whole = len(graded) == len(katas)
        reports[student] = Report(student, started, sum(result.seconds for result in graded), whole, graded)
        missing = "" if whole else f"  ({lost.get(student, 'not all graded')})"
        print(f"{student}: {reports[student].points} of {reports[student].max_points} points{missing}")
        if feedback:
            _write(feedback / f"{student}.html", html_report.render(reports[student]))
    for render, path in files:
        _write(path, render(ClassReport(started, seconds, not (interrupted or lost), reports)))
    print(f"{len(reports)} students · {seconds:.1f} s{'  (interrupted: the same command goes on from here)' if interrupted else ''}")
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if lost:
        raise Trouble(f"{len(lost)} of {len(reports)} students could not be graded: the same command tries them again")


def _bar(doing: str, what: str = "katas", *, left: bool = False) -> Progress:
    """A bar that counts, on a terminal only, with the time gone or the time left; it is gone when the work is done."""
    clock = TimeRemainingColumn(elapsed_when_finished=True) if left else TimeElapsedColumn()
    return Progress(
        TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn(what), clock, transient=True,
        console=Console(stderr=True), disable=not sys.stderr.isatty(),
    )  # fmt: skip


def _shown(code: Path) -> str:
    return str(code.relative_to(ROOT)) if code.is_relative_to(ROOT) else str(code)


def _report_file(spec: str, formats: dict):
    """ "json=FILE" → (renderer, path), once it is sure that the file can be written."""
    name, equals, path = spec.partition("=")
    if name not in formats or not path:
        raise Trouble(f"--report {spec}: write FORMAT=FILE, where FORMAT is {', '.join(formats)}")
    place = Path(path)
    if place.is_dir() or not place.parent.is_dir() or not os.access(place if _is_stream(place) else place.parent, os.W_OK):
        raise Trouble(f"--report {spec}: {path} cannot be written")
    return formats[name], place


def _write(path: Path, text: str) -> None:
    """Write all or nothing: an interrupted or failed write leaves an older report as it was."""
    content = text.encode("utf-8", "replace")
    try:
        if _is_stream(path):
            sys.stdout.flush()
            with path.open("ab") as stream:
                stream.write(content)
        else:
            learner.write(path, content)
    except OSError as error:
        raise Trouble(f"{path} cannot be written: {error.strerror}") from None


def _is_stream(path: Path) -> bool:
    """/dev/stdout, a named pipe: something to write to, and not to put a file in the place of."""
    return path.is_relative_to("/dev") or (path.exists() and not path.is_file())
