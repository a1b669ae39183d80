"""The learner's commands on the way through the path, from `list` and `watch` to
`reset` and `undo`.
"""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from grader.cli.app import (
    KATAS,
    CodeFolder,
    MaybeKata,
    OneKata,
    app,
    bar,
    complete_exercise,
    katas,
    say,
    that_runs,
)
from grader.course import catalogue
from grader.course.catalogue import Kata
from grader.errors import KataError
from grader.learner import helping, history, overview, progress, reviews
from grader.reports import words
from grader.results import KataResult


@app.command("list")
def list_(
    code: CodeFolder = KATAS,
    everything: Annotated[
        bool, typer.Option("--all", help="every kata of every chapter")
    ] = False,
) -> None:
    """List the path: a line per chapter, and the katas of the chapter where you are.

    A kata's row has its difficulty, minutes, what it builds on, and your progress.
    """
    path = katas(None)
    if not code.is_dir():
        raise KataError(
            f"{code}: no such folder; --code takes a folder laid out like katas/"
        )
    looking = bar("checking your code")
    task = looking.add_task("", total=None)
    with looking:
        results = progress.so_far(
            path,
            code,
            lambda begun: looking.update(task, total=len(begun)),
            lambda _: looking.advance(task),
        )
    overview.show(path, results, Console(highlight=False), everything=everything)


@app.command()
def watch(kata: MaybeKata = None) -> None:
    """Run the specs on every save and show what to do next. Without KATA, or in a
    track, start where you are.
    """
    # here, because its imports would slow down every other command
    from grader.learner import watch as watching

    path = katas(None)
    chosen = katas([kata]) if kata else path
    first = chosen[0] if len(chosen) == 1 else here(chosen)[0]
    watching.start_session(path, that_runs(first))


@app.command("next")
def next_() -> None:
    """Show the next core exercise from where you are, its first failure, and the
    commands for it.
    """
    path = katas(None)
    results = progress.so_far(path, KATAS)
    for kata in _led(path, lambda kata: results[kata] is not None):
        result = results[kata]
        if not (result and result.core_works):
            _say_next(kata, result)
            if not any(results.values()):
                say(
                    "\n"
                    "You know PyTorch? Begin at 15: README.md names the short way, "
                    "15, 16, 18, 25, 26, 27."
                )
            break
    else:
        say(
            "The core of every kata works. kata list shows which stretch exercises "
            "and stars are left."
        )
    _say_open_stars([result for result in results.values() if result])
    if due := next(reviews.due(path, results), None):
        say(f"due for review: {due.exercise} of {due.kata.number}: kata review")


@app.command()
def review(
    give_up: Annotated[
        bool, typer.Option("--give-up", help="end it, and show your own code")
    ] = False,
) -> None:
    """Write an exercise again that you finished some katas ago, in a copy, as in
    kata watch.
    """
    from grader.learner import review as reviewing  # here: see watch

    results = progress.so_far(katas(None), KATAS)
    found = next(reviews.due(list(results), results), None)
    if found is None:
        say(
            "Nothing is due: the first review of a kata comes when two later ones work."
        )
    elif give_up:
        print("\n".join(reviewing.give_up(*found)))
    else:
        reviewing.start(*found)


@app.command()
def hint(
    kata: MaybeKata = None,
    exercise: Annotated[
        str | None,
        typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option(min=1, help="this one of the exercise's hints, not the next"),
    ] = None,
) -> None:
    """Show the next hint for an exercise. Without EXERCISE or KATA: for the one where
    you are.
    """
    if kata and exercise:
        say(helping.next_hint(catalogue.find(kata), exercise, level))
        return
    found, result = here(katas([kata] if kata else None))
    name = progress.current(found, result)
    say(helping.next_hint(found, name, level, works=progress.is_working(result, name)))


@app.command()
def reset(
    kata: OneKata,
    exercise: Annotated[
        str | None,
        typer.Argument(metavar="[EXERCISE]", autocompletion=complete_exercise),
    ] = None,
) -> None:
    """Put a kata's stub back, or one exercise of it. Your version is kept; `kata undo`
    restores it.
    """
    say(history.reset(catalogue.find(kata), exercise))


@app.command()
def undo(kata: OneKata) -> None:
    """Restore the version of your code that the last reset kept."""
    say(history.undo(catalogue.find(kata)))


def here(path: list[Kata]) -> tuple[Kata, KataResult | None]:
    """Where the learner is: the next kata whose core does not work, or else the last
    one, with its result.
    """
    for kata in _led(path, lambda kata: progress.is_begun(kata, KATAS)):
        result = progress.so_far([kata], KATAS)[kata]
        if not (result and result.core_works):
            break
    return kata, result


def _led(path: list[Kata], begun: Callable[[Kata], bool]) -> list[Kata]:
    return progress.led(
        [kata for kata in path if not kata.description.lack] or path, begun
    )


def _say_next(kata: Kata, result: KataResult | None) -> None:
    name = progress.current(kata, result)
    failure = (
        next((e.first_failure for e in result.exercises if e.name == name), None)
        if result
        else None
    )
    say(f"{kata.number} {kata.title}: {progress.in_words(result)}")
    say(f"lesson     kata lesson {kata.number}")
    say(f"code       katas/{kata.file}")
    say(f"specs      pytest katas/{kata.number} -x, or kata watch {kata.number}")
    say(f"exercise   {name}")
    say(f"hint       kata hint {kata.number} {name}")
    if failure:
        say(f"\n{words.with_printed(failure.message, failure.printed)}")


def _say_open_stars(results: list[KataResult]) -> None:
    """Name the exercises whose star is open, for the last kata that has some, and count
    those of the others.
    """
    left = [
        (result.kata, progress.open_stars(result))
        for result in results
        if progress.open_stars(result)
    ]
    if not left:
        return
    *others, (kata, names) = left
    more = sum(len(exercises) for _, exercises in others)
    say(
        f"stars open {kata}: {', '.join(names)}"
        + (f", and {more} in other katas: kata list" if more else "")
    )
