"""The learner's commands, from `list` and `watch` to `doctor` and `data`."""

import os
import random
import subprocess
import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grader.cli.app import INTERRUPTED, KATAS, CodeFolder, MaybeKata, OneKata, app, bar, complete_exercise, katas, say
from grader.course import catalogue, downloads, handouts, kata_modules, places
from grader.course.catalogue import ROOT, Kata
from grader.course.description import Exercise
from grader.errors import KataError
from grader.execution import scheduler, standing_in
from grader.learner import (
    bug_hunt,
    defence,
    environment,
    helping,
    history,
    overview,
    progress,
    reading,
    stepping,
)
from grader.learner.screen import Screen
from grader.practice import planting, recorded
from grader.practice.operators import Source
from grader.reports import words
from grader.results import KataResult

SIGNS = {"fine": "[green]ok   [/]", "note": "[yellow]note [/]", "bad": "[bold red]BAD  [/]"}


class Build(StrEnum):
    """The builds of PyTorch, as choices of an option."""

    cpu = "cpu"
    cuda = "cuda"


@app.command()
def start(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")],
    venv: Annotated[bool, typer.Option("--venv", help="with an environment of its own, in DIR/.venv")] = False,
    torch: Annotated[Build, typer.Option(help="with --venv: the build of PyTorch; cuda is 2.7 GB more")] = Build.cpu,
) -> None:
    """Lay out a folder to work in, with the katas and nothing else. Without --venv, this environment runs it."""
    from grader.learner import room

    told = room.start(folder, torch.value if venv else None, say)
    for line in told:
        say(line)
    used = folder.absolute() / environment.NAME if venv else environment.running()
    first = [environment.activation(used)] if used and not environment.is_active(used) else []
    commands = [f"cd {folder}", *first, "kata watch 00, and open katas/00_first_look/first_look.py"]
    print("Next:", "\n      ".join(commands))


@app.command("list")
def list_(
    code: CodeFolder = KATAS,
    everything: Annotated[bool, typer.Option("--all", help="every kata of every chapter")] = False,
) -> None:
    """List the path: a line per chapter, and the katas of the chapter where you are.

    A kata's row has its difficulty, minutes, what it builds on, and your progress.
    """
    path = katas(None)
    if not code.is_dir():
        raise KataError(f"{code}: no such folder; --code takes a folder laid out like katas/")
    looking = bar("checking your code")
    task = looking.add_task("", total=None)
    with looking:
        results = progress.so_far(
            path, code, lambda begun: looking.update(task, total=len(begun)), lambda _: looking.advance(task)
        )
    overview.show(path, results, Console(highlight=False), everything=everything)


@app.command()
def watch(kata: MaybeKata = None) -> None:
    """Run the specs on every save and show what to do next. Without KATA, or in a track, start where you are."""
    from grader.learner import watch as watching  # here, because its imports would slow down every other command

    path = katas(None)
    chosen = katas([kata]) if kata else path
    first = chosen[0] if len(chosen) == 1 else _here(chosen)[0]
    watching.start_session(path, first)


@app.command("next")
def next_() -> None:
    """Show the first core exercise that does not work, its first failure, and the commands for it."""
    before: list[KataResult] = []
    for kata in _led(katas(None)):
        result = progress.so_far([kata], KATAS)[kata]
        if not (result and result.core_works):
            _say_next(kata, result)
            _say_open_stars([*before, *([result] if result else [])])
            return
        before.append(result)
    say("The core of every kata works. kata list shows which stretch exercises and stars are left.")
    _say_open_stars(before)


@app.command()
def hint(
    kata: MaybeKata = None,
    exercise: Annotated[str | None, typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise)] = None,
    level: Annotated[int | None, typer.Option(min=1, help="this one of the exercise's hints, not the next")] = None,
) -> None:
    """Show the next hint for an exercise. Without EXERCISE or KATA: for the one where you are."""
    if kata and exercise:
        say(helping.next_hint(catalogue.find(kata), exercise, level))
        return
    found, result = _here(katas([kata]) if kata else katas(None))
    name = progress.current(found, result)
    say(helping.next_hint(found, name, level, works=_is_working(result, name)))


@app.command()
def solution(
    kata: OneKata,
    exercise: Annotated[str, typer.Argument(metavar="EXERCISE", autocompletion=complete_exercise)],
    now: Annotated[bool, typer.Option("--now", help="show it without taking the hints first")] = False,
    full: Annotated[bool, typer.Option("--full", help="show the reference, which also has the edge cases")] = False,
    others: Annotated[bool, typer.Option("--others", help="show other right solutions instead")] = False,
) -> None:
    """Show the shortest right code of an exercise beside yours, once it works or you have taken its hints."""
    found = catalogue.find(kata)
    if not now and found.reference.is_file() and helping.hints_left(found, exercise):
        now = _works(found, exercise)
    lines = (
        helping.others(found, exercise, now=now) if others else helping.solution(found, exercise, now=now, full=full)
    )
    Screen(Console(), has_keys=False).difference(lines)


@app.command()
def debug(
    kata: OneKata,
    exercise: Annotated[str | None, typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise)] = None,
    line: Annotated[int | None, typer.Option(min=1, help="the line of the bug")] = None,
    call: Annotated[str | None, typer.Option(help="a call that goes wrong: its letter, or one that you write")] = None,
    mended: Annotated[bool, typer.Option("--mended", help="judge the copy, which you have mended")] = False,
    new: Annotated[bool, typer.Option("--new", help="give up on the present bug and plant another one")] = False,
    record: Annotated[Path | None, typer.Option(help="write what you found so far, in every kata, as a CSV")] = None,
) -> None:
    """Find a bug that is planted in a copy of your own code, once an exercise works.

    Name its line and a call on which it goes wrong, then mend the copy in at most three lines. Points, stars and your
    files stay as they are.
    """
    found = catalogue.find(kata)
    if record:
        say(bug_hunt.export(ROOT, record))
        return
    hunt = None if new else bug_hunt.current(found)
    if hunt is None:
        hunt = bug_hunt.start(found, _working(found, exercise), recorded.mistakes(found), random.Random())
        say("\n".join(bug_hunt.task(found, hunt)))
        return
    answered = []
    if line is not None:
        hunt, said = bug_hunt.name_line(found, hunt, line)
        answered.append(said)
    if call is not None:
        hunt, said = bug_hunt.name_call(found, hunt, call)
        answered.append(said)
    if mended:
        answered.append(bug_hunt.mend(found, hunt)[1])
    say("\n".join(answered or bug_hunt.task(found, hunt)))


@app.command()
def defend(
    kata: OneKata,
    exercise: Annotated[str | None, typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise)] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a page instead, and its key beside it")
    ] = None,
    class_folder: Annotated[
        Path | None, typer.Option("--submissions", metavar="DIR", help="a sheet for each student of a class")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="draw the same questions again")] = None,
) -> None:
    """Answer five questions about your own code. What is right, running it decides.

    With --submissions, --sheet names the folder for the students' pages.
    """
    found = catalogue.find(kata)
    drawn = random.randrange(1 << 16) if seed is None else seed
    if class_folder:
        from grader.cli import sheets

        for line in sheets.write(found, class_folder, sheet or Path("sheets"), drawn):
            say(line)
        return
    result = progress.so_far([found], KATAS)[found]
    wanted = [found.exercise(exercise)] if exercise else found.exercises
    works = [one for one in wanted if _is_working(result, one.name)]
    if not works:
        raise KataError(f"{exercise or found.number}: does not work yet: the questions are about code that works")
    job = progress.job(found)
    asked = defence.drawn(found, works, job, drawn)
    if sheet:
        say(defence.write(asked, f"{found.number} {found.title}", job.files[found.file], sheet))
    elif sys.stdin.isatty():
        defence.hold(asked, say, lambda: typer.prompt("answer"))
    else:
        for number, (one, question) in enumerate(asked, 1):
            say("\n".join(defence.in_lines(number, one, question)))
    if not sheet and (fewer := defence.why_fewer(asked)):
        say(fewer)
    say(f"kata defend {kata} --seed {drawn} asks the same again")


@app.command()
def trace(
    kata: OneKata,
    exercise: Annotated[str, typer.Argument(metavar="EXERCISE", autocompletion=complete_exercise)],
    call: Annotated[str | None, typer.Option(help="follow this call, not one of the specs")] = None,
) -> None:
    """Follow your code line by line: what each line made, with shapes, and which axis came from which.

    The call is one of the first failing spec. Where a small change of your code passes the specs, the first line whose
    values depart from it is marked.
    """
    found = catalogue.find(kata)
    one, job = found.exercise(exercise), progress.job(found)
    if call is None:
        followed = stepping.of_a_spec(found, one, job)
    else:
        followed = stepping.of_a_call(found, one, job, call)
    say("\n".join(stepping.lines(followed)))


@app.command()
def reset(kata: OneKata) -> None:
    """Put a kata's stub back. Your version is kept; `kata undo` restores it."""
    say(history.reset(catalogue.find(kata)))


@app.command()
def undo(kata: OneKata) -> None:
    """Restore the version of your code that the last reset kept."""
    say(history.undo(catalogue.find(kata)))


@app.command()
def lesson(
    kata: OneKata,
    text: Annotated[bool, typer.Option("--text", help="show the text and code only; do not run lesson.py")] = False,
) -> None:
    """Show a kata's lesson in a pager, run its lesson.py, and show the figure if the terminal can."""
    found = catalogue.find(kata)
    console = Console()
    reading.show(found, console)
    if text:
        return
    figure = ROOT / ".kata" / "figures" / f"{found.name.replace('/', '__')}.png"
    sys.stdout.flush()
    if code := _run_lesson([sys.executable, str(found.folder / "lesson.py"), str(figure)], console.is_terminal):
        raise KataError(f"katas/{found.name}/lesson.py ended with exit code {code}")
    if console.is_terminal and figure.exists():
        sys.stdout.write(reading.inline(figure, os.environ))


@app.command()
def notebook(
    kata: OneKata,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="the notebook; default: KATA.ipynb in the kata's folder")
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="the other direction: write the notebook's code to the kata's file")
    ] = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="a paper's notebook, with your own code where it works; own_KATA.ipynb")
    ] = False,
) -> None:
    """Write a kata as a notebook: its lesson, and your code in cells, each followed by a check."""
    import nbformat

    from grader.course import notebooks
    from grader.learner import doctor as machine
    from grader.learner import paper_notebook

    found = catalogue.find(kata)
    default = handouts.own_notebook_path(found) if paper else found.folder / f"{found.folder.name}.ipynb"
    path = file or default
    try:
        if paper and back:
            raise KataError("--paper and --back exclude each other: a paper's notebook has no answers to write back")
        if paper:
            text, whose = paper_notebook.text(found)
            say(history.replace(found, path, text))
            say(whose)
            say(machine.how_to_open(path))
        elif back:
            say(history.replace(found, found.code, notebooks.module(notebooks.read(path), found)))
        else:
            text = nbformat.writes(notebooks.build(found, kata_modules.read_source(found.code), notebooks.origin(ROOT)))
            say(history.replace(found, path, text + "\n"))
            say(machine.how_to_open(path))
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None


@app.command()
def update(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="a folder or an address; default: where this was cloned from. After kata start: the installed release",
        ),
    ] = None,
    back: Annotated[bool, typer.Option("--back", help="undo the last update")] = False,
) -> None:
    """Install a newer version of the course: its lessons, specs and grader. What you wrote is kept."""
    from grader.course import notebooks
    from grader.learner import update as updating

    if back:
        say(updating.go_back(ROOT))
        return
    if places.is_room(ROOT):
        if source:
            raise KataError(
                "kata update takes no SOURCE here: install a newer release, and it takes the course of that"
            )
        with places.course() as installed:
            told = updating.update(ROOT, str(installed))
    else:
        told = updating.update(ROOT, source or notebooks.origin(ROOT))
    for line in told:
        say(line)


@app.command()
def doctor() -> None:
    """Check this machine: Python, packages, devices, isolation, data and disk.

    Exit code 1: something is not fine.
    """
    console, bad = Console(highlight=False), False
    from grader.learner import doctor as machine

    for finding in machine.examine():
        console.print(f"{SIGNS[finding.state]}{finding.what:<16}", end="")
        console.print(finding.says, markup=False, soft_wrap=True)
        bad = bad or finding.state == "bad"
    if bad:
        raise typer.Exit(1)


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="the data set to download, or shards")] = None,
    sources: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE", help="shards: your text, .txt, .jsonl or .parquet")
    ] = None,
    into: Annotated[Path, typer.Option(metavar="DIR", help="shards: a folder for them")] = ROOT / "data" / "shards",
    tokens: Annotated[int, typer.Option(min=1000, help="shards: tokens in each")] = 10**8,
) -> None:
    """List the larger, optional data sets, or download one into data/.

    `kata data shards --from FILE` makes shards of your own text, with GPT-2's tokenizer, on all cores.
    Exit code 2: it failed. The next call continues it.
    """
    try:
        if name == "shards":
            _make_shards(sources or [], into, tokens)
        else:
            print(downloads.get(name) if name else downloads.listing())
    except KeyboardInterrupt:
        print(f"kata: interrupted: run kata data {name} again to continue", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _make_shards(sources: list[Path], into: Path, tokens: int) -> None:
    """Make shards of text with the tokenizer of kata 23, the learner's if its core works."""
    from grader.learner import shards  # here, because NumPy and processes would slow down every other command

    if not sources:
        raise KataError("kata data shards needs text: --from FILE, as often as there are files")
    if (found := downloads.find("gpt2_bpe")) is None:
        raise KataError("GPT-2's tokenizer is not here: kata data gpt2_bpe")
    kata = catalogue.find("23_tokenizers")
    why_not = standing_in.why_not(kata, KATAS)
    if why_not and not kata.reference.is_file():
        raise KataError(f"finish {kata.number} first: {why_not}")
    module = kata_modules.load(kata, kata.solutions if why_not else KATAS)
    try:
        tokenizer = module.load_gpt2_files(found / "encoder.json", found / "vocab.bpe")
    except NotImplementedError:
        raise KataError("load_gpt2_files of 23 is not written yet") from None
    end = tokenizer.special_tokens["<|endoftext|>"]
    shards.write(sources, into, tokens, tokenizer.encode, end, say, scheduler.available_cores())


def _working(kata: Kata, name: str | None) -> Exercise:
    """The exercise of this name, or one that works and whose bugs have been found least often: a long one first."""
    result = progress.so_far([kata], KATAS)[kata]
    works = [exercise for exercise in kata.exercises if _is_working(result, exercise.name)]
    if name and kata.exercise(name) in works:
        return kata.exercise(name)
    if name or not works:
        raise KataError(f"{name or kata.number}: does not work yet: a bug is planted in code that works")
    times = Counter(one["exercise"] for one in bug_hunt.found(ROOT) if one["kata"] == kata.name)
    source = Source(progress.job(kata).files[kata.file])
    short = {one.name: len(planting.span(source, one)) <= planting.SHORT for one in works}
    return min(works, key=lambda exercise: (short[exercise.name], times[exercise.name], random.random()))


def _works(kata: Kata, exercise: str) -> bool:
    """Tell if the learner's exercise works. Its specs run if no result is known."""
    return _is_working(progress.so_far([kata], KATAS)[kata], exercise)


def _is_working(result: KataResult | None, exercise: str) -> bool:
    return result is not None and any(e.works for e in result.exercises if e.name == exercise)


def _run_lesson(command: list[str], is_terminal: bool) -> int:
    """Run lesson.py, and return its exit code. In a pipe, what it prints is passed on as long as somebody reads it."""
    if is_terminal:
        return subprocess.run(command, cwd=ROOT).returncode
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", errors="replace") as process:
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
        except BrokenPipeError:
            process.kill()
            raise
    return process.returncode


def _here(path: list[Kata]) -> tuple[Kata, KataResult | None]:
    """The first kata whose core does not work, or else the last one, with its result."""
    for kata in _led(path):
        result = progress.so_far([kata], KATAS)[kata]
        if not (result and result.core_works):
            break
    return kata, result


def _led(path: list[Kata]) -> list[Kata]:
    return progress.led(path, lambda kata: progress.is_begun(kata, KATAS))


def _say_next(kata: Kata, result: KataResult | None) -> None:
    name = progress.current(kata, result)
    failure = next((e.first_failure for e in result.exercises if e.name == name), None) if result else None
    say(f"{kata.number} {kata.title}: {progress.in_words(result)}")
    say(f"lesson     kata lesson {kata.number}")
    say(f"code       katas/{kata.file}")
    say(f"specs      pytest katas/{kata.number} -x, or kata watch {kata.number}")
    say(f"exercise   {name}")
    say(f"hint       kata hint {kata.number} {name}")
    if failure:
        say(f"\n{words.with_printed(failure.message, failure.printed)}")


def _say_open_stars(results: list[KataResult]) -> None:
    """Name the exercises whose star is open, for the last kata that has some, and count those of the others."""
    left = [(result.kata, progress.open_stars(result)) for result in results if progress.open_stars(result)]
    if not left:
        return
    *others, (kata, names) = left
    more = sum(len(exercises) for _, exercises in others)
    say(f"stars open {kata}: {', '.join(names)}" + (f", and {more} in earlier katas: kata list" if more else ""))
