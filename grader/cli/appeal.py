"""The commands for objections: `dispute` for a learner, `appeal` for the teacher who decides."""

from pathlib import Path
from typing import Annotated

import typer

from grader import files
from grader.cli.app import KATAS, OneKata, app, complete_exercise
from grader.cli.grade import Sealed, is_sealed
from grader.course import catalogue, stubs
from grader.course.catalogue import ROOT, with_prerequisites
from grader.errors import KataError, NotPossible
from grader.execution import boundary, disputes, grading
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions
from grader.reports import words
from grader.teaching import appeals
from grader.workers import jobs


@app.command()
def dispute(
    kata: OneKata,
    exercise: Annotated[str, typer.Argument(metavar="EXERCISE", autocompletion=complete_exercise)],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="why you think that your code is right")] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="where to write it; default: dispute-KATA-EXERCISE.json")
    ] = None,
) -> None:
    """Write your code of a kata and its verdict on an exercise into a file, for your teacher to look at."""
    found = catalogue.find(kata)
    name = found.exercise(exercise).name
    options = RunOptions()
    sources = {one: jobs.read(one, KATAS) for one in with_prerequisites([found])}
    if sources[found].problem or stubs.is_untouched(found, sources[found].text):
        why_not = sources[found].problem or f"{found.file.name} is not begun"
        raise NotPossible(f"there is nothing to object to: {why_not}")
    with boundary.one_line():
        [result] = grading.grade_folder([found], KATAS, options=options, cache=ResultCache(ROOT))
    one = next((one for one in result.exercises if one.name == name), None)
    if one is None or one.not_graded:
        raise KataError(f"{found.name} was not graded: {result.why_not_graded}")
    begun = {k.name: s.text for k, s in sources.items() if not s.problem and not stubs.is_untouched(k, s.text)}
    path = out or Path(f"dispute-{found.number.replace('/', '-')}-{name}.json")
    try:
        files.write(path, disputes.render(disputes.of(found, one, begun, why, options.seed)))
    except OSError as error:
        raise KataError(f"{path} cannot be written: {error.strerror}") from None
    print(f"{name}: {words.verdict(one)}")
    print(f"{path} has your code of {', '.join(begun)}, this verdict, and the versions: give it to your teacher")


@app.command()
def appeal(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="what kata dispute wrote")],
    keep: Annotated[
        str | None, typer.Option(metavar="NAME", help="keep the code as accepted solution NAME of the kata")
    ] = None,
    sealed: Sealed = None,
) -> None:
    """Grade the code of a dispute here, say whether its failure is reproduced, and how to decide."""
    found = disputes.read(file)
    options = RunOptions(sealed=is_sealed(sealed, of_a_class=True))
    with boundary.one_line():
        here = appeals.reproduce(found, options)
        print(*appeals.lines(found, here), sep="\n")
        if keep is None:
            return
        path = appeals.keep(found, here, keep)
        kept = appeals.kept_works(path, found, options)
    print(f"\n{path.relative_to(ROOT)} is written: {words.verdict(kept)}")
    if not kept.works:
        print(f"Change the spec until it takes this code: kata promises {found.find()[0].number}")
    print("Whom else a changed spec affects: kata regrade --submissions DIR --against results.jsonl")
