"""The commands for what is installed here: `start`, `update`, `doctor` and `data`."""

import shlex
import sys
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grader.cli.app import INTERRUPTED, KATAS, app, say
from grader.course import catalogue, downloads, kata_modules, places
from grader.course.catalogue import ROOT
from grader.errors import KataError
from grader.execution import scheduler, standing_in
from grader.learner import environment

SIGNS = {
    "fine": "[green]ok   [/]",
    "note": "[yellow]note [/]",
    "bad": "[bold red]BAD  [/]",
}


class Build(StrEnum):
    """The builds of PyTorch, as choices of an option."""

    cpu = "cpu"
    cuda = "cuda"


@app.command()
def start(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="a new or empty folder")
    ],
    venv: Annotated[
        bool,
        typer.Option("--venv", help="with an environment of its own, in DIR/.venv"),
    ] = False,
    torch: Annotated[
        Build,
        typer.Option(help="with --venv: the build of PyTorch; cuda loads 2.7 GB more"),
    ] = Build.cpu,
) -> None:
    """Lay out a folder to work in, with the katas and nothing else. Without --venv,
    this environment runs it.

    Where uvx runs this, the folder has an environment of its own in any case.
    """
    from grader.learner import workspace

    venv = venv or environment.is_in_a_cache()
    told = workspace.start(folder, torch.value if venv else None, say)
    for line in told:
        say(line)
    used = folder.absolute() / environment.NAME if venv else environment.running()
    first = (
        [environment.activation(used)]
        if used and not environment.is_active(used)
        else []
    )
    commands = [
        f"cd {shlex.quote(str(folder))}",
        *first,
        "kata watch 00, and open katas/00_first_look/first_look.py",
    ]
    print("Next:", "\n      ".join(commands))


@app.command()
def update(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help=(
                "a folder or address; default: the clone's own, if https. After kata "
                "start: the installed release"
            ),
        ),
    ] = None,
    back: Annotated[bool, typer.Option("--back", help="undo the last update")] = False,
) -> None:
    """Install a newer version of the course: its lessons, specs and grader. What you
    wrote is kept.
    """
    from grader.course import notebooks
    from grader.learner import update as updating

    if back:
        say(updating.go_back(ROOT))
        return
    if places.is_workspace(ROOT):
        if source:
            raise KataError(
                "kata update takes no SOURCE here: install a newer release, and it "
                "takes the course of that"
            )
        with places.course() as installed:
            told = updating.update(ROOT, str(installed))
    else:
        source = source or notebooks.origin(ROOT)
        if not source:
            raise KataError(
                "kata update SOURCE: name a newer course, as this folder was not "
                "cloned by https"
            )
        told = updating.update(ROOT, source)
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
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="the data set to download, or shards"),
    ] = None,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", metavar="FILE", help="shards: your text, .txt, .jsonl or .parquet"
        ),
    ] = None,
    into: Annotated[
        Path, typer.Option(metavar="DIR", help="shards: a folder for them")
    ] = ROOT / "data" / "shards",
    tokens: Annotated[int, typer.Option(min=1000, help="shards: tokens in each")] = 10
    ** 8,
) -> None:
    """List the larger, optional data sets, or download one into data/.

    `kata data shards --from FILE` makes shards of your own text, with GPT-2's
    tokenizer, on all cores.
    Exit code 2: it failed. The next call continues it.
    """
    try:
        if name == "shards":
            _make_shards(sources or [], into, tokens)
        else:
            print(downloads.get(name) if name else downloads.listing())
    except KeyboardInterrupt:
        print(
            f"kata: interrupted: run kata data {name} again to continue",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None


def _make_shards(sources: list[Path], into: Path, tokens: int) -> None:
    """Make shards of text with the tokenizer of kata 23, the learner's if its
    core works.
    """
    if not sources:
        raise KataError(
            "kata data shards needs text: --from FILE, as often as there are files"
        )
    if (found := downloads.find("gpt2_bpe")) is None:
        raise KataError("GPT-2's tokenizer is not here: kata data gpt2_bpe")
    kata = catalogue.find("23_tokenizers")
    why_not = standing_in.why_not(kata, KATAS)
    if why_not and not kata.reference.is_file():
        raise KataError(f"finish {kata.number} first: {why_not.line}")
    module = kata_modules.load(kata, kata.solutions if why_not else KATAS)
    try:
        tokenizer = module.load_gpt2_files(found / "encoder.json", found / "vocab.bpe")
    except NotImplementedError:
        raise KataError("load_gpt2_files of 23 is not written yet") from None
    end = tokenizer.special_tokens["<|endoftext|>"]
    # as where Python starts the program there
    sys.path.insert(0, str(catalogue.find("33_gpt_capstone").folder))
    import_module("shard_files").write(
        sources, into, tokens, tokenizer.encode, end, say, scheduler.available_cores()
    )
