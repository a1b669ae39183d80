"""Commands for authors of katas: create one, check its promises, and make what derives
from its parts.
"""

import time
from contextlib import suppress
from typing import Annotated

import typer
from rich.progress import Progress

from grader import files
from grader.cli.app import (
    AUTHORS,
    MaybeKata,
    OneKata,
    app,
    bar,
    complete_kata,
    katas,
    say,
)
from grader.course import description, pages, papers, places, stubs
from grader.course.catalogue import ROOT, Kata
from grader.errors import NotPossible
from grader.reports import words

# The tools are imported inside the commands: their imports would slow down every
# other command.

Katas = Annotated[
    list[str] | None, typer.Argument(metavar="[KATA]...", autocompletion=complete_kata)
]
OnlyCheck = Annotated[
    bool,
    typer.Option("--check", help="write nothing; exit code 1 if something is wrong"),
]


@app.command("new", rich_help_panel=AUTHORS)
def new_(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="34_quantization, or mycourse/01_sums")
    ],
) -> None:
    """Create a kata that keeps its promises, with one exercise to be replaced: see
    docs/authoring.md.
    """
    from workshop import new

    _need_solutions("a new kata")
    kata = new.create(ROOT, name)
    author = kata.author.relative_to(ROOT)
    say(
        f"katas/{kata.name} keeps its promises with one exercise, halve. Put yours in "
        "its place:"
    )
    say(f"describe   katas/{kata.name}/kata.toml")
    say(
        f"solve      solutions/{kata.file}, then make stubs; and shortest in "
        f"{author}/textbook.py"
    )
    say(
        f"specify    {kata.specs.relative_to(ROOT)}; try with pytest "
        f"katas/{kata.number} --code solutions"
    )
    say(
        f"show       katas/{kata.name}/README.md, hints.md, and lesson.py, which "
        "calls halve until you change it"
    )
    say(
        f"check      kata promises {kata.number}, which also says what is to do. The "
        "way: docs/authoring.md"
    )


@app.command(rich_help_panel=AUTHORS)
def promises(
    kata: Katas = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="go on after every save, until q or Ctrl-C")
    ] = False,
) -> None:
    """Check every promise of a kata. Without KATA: of those that have changed since
    they last kept their promises.

    A promise that has held is tried anew only once a file that it reads has changed.
    What is "to do" becomes a broken promise once kata.toml says `finished = true`. Exit
    code 1: a promise is broken.
    """
    from workshop import kept

    _need_solutions("kata promises")
    chosen = katas(kata)
    changed = kept.changed(chosen)
    if watch or not all(map(kept.unreadable, changed)):
        with _quiet_bar("starting", None) as starting:
            starting.refresh()
            kept.warm_up(chosen if watch else changed)
    is_broken = False
    for one in chosen if kata else changed:
        findings = _promises_of(one)
        is_broken = is_broken or bool(findings)
    if not kata and (skipped := len(chosen) - len(changed)):
        print(
            f"{skipped} of {len(chosen)} katas are unchanged since they kept their "
            "promises, and were skipped"
        )
    if watch:
        _watch(chosen)
    elif is_broken:
        raise typer.Exit(1)


@app.command(rich_help_panel=AUTHORS)
def mutants(
    kata: Katas = None,
    textbook: Annotated[
        bool,
        typer.Option(
            "--textbook", help="mutate the textbook solution, and run the points' specs"
        ),
    ] = False,
    ends: Annotated[
        bool,
        typer.Option(
            "--ends",
            help="of the textbook solution, mutate numbers and comparisons alone",
        ),
    ] = False,
    idles: Annotated[
        bool,
        typer.Option(
            "--idle", help="find the specs that no recorded mistake and no mutant loses"
        ),
    ] = False,
    only_list: Annotated[
        bool, typer.Option("--list", help="show the mutants instead of running them")
    ] = False,
) -> None:
    """Measure how many generated mutants of the reference the specs catch. Without
    KATA: a line per kata.

    Exit code 1: too many survive, or a spec is idle. 2: a kata could not be measured.
    """
    from workshop import idle, mutants
    from workshop.mutants import Way

    _need_solutions("kata mutants")
    chosen = katas(kata)
    way = (
        Way.IDLE
        if idles
        else Way.ENDS
        if ends
        else Way.TEXTBOOK
        if textbook
        else Way.REFERENCE
    )
    if only_list:
        mutants.show(chosen, way)
    elif (
        code := idle.report(chosen)
        if idles
        else mutants.report(chosen, way, briefly=not kata)
    ):
        raise typer.Exit(code)


@app.command(rich_help_panel=AUTHORS)
def seals(kata: Katas = None, check: OnlyCheck = False) -> None:
    """Find anew which specs also judge from another process, and write sealed.toml.

    Exit code 1: the list refuses too little, or right code.
    """
    from workshop import seals

    _need_solutions("kata seals")
    if seals.report(katas(kata), check=check):
        raise typer.Exit(1)


@app.command(rich_help_panel=AUTHORS)
def snippets(kata: OneKata) -> None:
    """Run a lesson's snippets and write what they print below them.

    Exit code 1: something is wrong with them.
    """
    from workshop import snippets

    _need_solutions("kata snippets")
    wrong = [problem for one in katas([kata]) for problem in snippets.write(one)]
    print("\n".join(wrong) or "the snippets are sound")
    if wrong:
        raise typer.Exit(1)


@app.command(rich_help_panel=AUTHORS)
def results(
    kata: OneKata,
    others: Annotated[
        bool,
        typer.Option(
            "--others",
            help="on the textbook and the accepted solutions instead of the reference",
        ),
    ] = False,
) -> None:
    """Repeat the key results of a kata, or of a whole track, over five seeds.

    Exit code 1: a seed misses a limit.
    """
    from workshop import key_results

    _need_solutions("kata results")
    if key_results.repeat(katas([kata]), kata, others=others):
        raise typer.Exit(1)


@app.command(rich_help_panel=AUTHORS)
def stacks(kata: Katas = None) -> None:
    """Run a kata's reference on other right solutions of the katas that it builds on.

    Exit code 1: a point is lost.
    """
    from workshop import stacks

    _need_solutions("kata stacks")
    if stacks.report(katas(kata)):
        raise typer.Exit(1)


@app.command(rich_help_panel=AUTHORS)
def points(kata: Katas = None) -> None:
    """Show what the textbook solution and the unguarded reference earn, and how long
    the docstrings are.
    """
    from workshop import points

    _need_solutions("kata points")
    points.report(katas(kata), briefly=not kata)


@app.command(rich_help_panel=AUTHORS)
def diagrams(kata: MaybeKata = None, check: OnlyCheck = False) -> None:
    """Draw the lessons' diagrams whose source has changed.

    Exit code 1, with --check: there are some.
    """
    from workshop import diagrams

    if diagrams.update(katas([kata] if kata else None), check=check) and check:
        raise typer.Exit(1)


@app.command("site", rich_help_panel=AUTHORS)
def site_(
    notebooks: Annotated[
        bool, typer.Option(help="execute the papers' notebooks, and show them")
    ] = True,
    repository: Annotated[
        str,
        typer.Option(metavar="URL", help="of the files on the web, for links to code"),
    ] = "",
) -> None:
    """Build the course's web site in build/site, with the extra `site` that make
    site installs.

    Exit code 1: a page has a broken link, no picture or no alt text, or loads something
    from another host.
    """
    try:
        from workshop.site import build
    except ModuleNotFoundError as missing:
        if missing.name == "workshop.site":
            raise NotPossible(
                "kata site needs a checkout: a release has no site"
            ) from None
        raise NotPossible(
            f"{missing.name} is not installed: make site installs what the site needs"
        ) from None

    started = time.monotonic()
    problems = build.build(ROOT, ROOT / "build", repository, notebooks)
    print(
        "\n".join(problems)
        or f"build/site/index.html · {time.monotonic() - started:.1f} s"
    )
    if problems:
        raise typer.Exit(1)


@app.command(hidden=True)
def generate(
    check: Annotated[
        bool,
        typer.Option("--check", help="write nothing; exit code 1 if a file is stale"),
    ] = False,
) -> None:
    """Update everything generated: stubs from solutions/, pages from kata.toml,
    papers' notebooks.

    A stub that contains code already is left alone.
    """
    if places.is_workspace(ROOT):
        _need_solutions("kata generate")
    path = katas(None)
    stale = stubs.stale(path) | pages.stale(path) | papers.stale(path)
    for file, text in stale.items():
        if not check:
            files.write(file, text)
        print(
            f"{'stale, run make stubs:' if check else 'wrote'} {file.relative_to(ROOT)}"
        )
    if not stale:
        print("everything is up to date")
    elif check:
        raise typer.Exit(1)


def _watch(katas: list[Kata]) -> None:
    """After every save, check the katas that it touches."""
    from grader.learner import inputs as of_a_watch
    from grader.workers import forkserver
    from workshop import kept

    checked = {kata: kept.state(kata) for kata in katas}
    with of_a_watch.opened_inputs() as inputs, suppress(KeyboardInterrupt):
        inputs.follow(ROOT / "katas", ROOT / "solutions")
        while of_a_watch.Event.QUIT not in inputs.read(wait=True):
            description.read.cache_clear()
            forkserver.collect(katas)
            for kata in katas:
                if checked[kata] != (now := kept.state(kata)):
                    checked[kata] = now
                    _promises_of(kata)


def _promises_of(kata: Kata) -> list[str]:
    """Check one kata, and print a line per finding, one for the whole, and a line per
    thing to do.
    """
    from workshop import kept, promises

    started = time.monotonic()
    count = len(promises.PROMISES) + len(kept.of_a_finished(kata))
    with _quiet_bar(kata.name, count) as looking:

        def advance() -> None:
            looking.advance(looking.task_ids[0])
            looking.refresh()

        outcome = kept.check(kata, advance)
    for finding in outcome.findings:
        print(finding)
    if outcome.findings:
        said = f": {words.counted(len(outcome.findings), 'finding')}"
    else:
        said = f" keeps its {len(kept.promises_of(kata))} promises"
    if outcome.untried:
        said += (
            f", and not tried until the reference passes: {', '.join(outcome.untried)}"
        )
    if len(outcome.anew) < count - len(outcome.untried):
        said += f" · tried anew: {', '.join(outcome.anew) or 'none'}"
    to_do = " · to do before `finished = true`:" if outcome.to_do else ""
    print(f"{kata.name}{said} · {time.monotonic() - started:.1f} s{to_do}", flush=True)
    for line in outcome.to_do:
        print(f"  {line}", flush=True)
    return outcome.findings


def _quiet_bar(doing: str, total: int | None) -> Progress:
    """A progress bar without a thread, because promises fork this process."""
    found = bar(doing, "promises")
    found.live.auto_refresh = False
    found.add_task("", total=total)
    return found


def _need_solutions(what: str) -> None:
    if not (ROOT / "solutions").is_dir():
        raise NotPossible(
            f"{what} needs solutions/, which only the course's own repository has"
        )
