"""Inside a notebook: `check` runs the specs of one exercise on what the cells define, `hint` gives the next hint."""

import re
import sys

from grader import catalogue, cells, learner, notebooks, runner
from grader.catalogue import Kata
from grader.results import ExerciseResult, title
from grader.runner import Grading
from grader.verdicts import Verdicts

# Where in the file a failure is, which a notebook does not have: in the row "at", and in the last line.
LINE = re.compile(r"^(at +)line \d+: ", re.MULTILINE)
FOOTER = re.compile(r"^\S+\.py(?::\d+)? · kata hint \S+ (\w+)$", re.MULTILINE)
MORE = re.compile(r"kata hint \S+ (\w+)")
_kata: list[Kata] = []  # the one that this notebook is about, once `use` has said so


def use(name: str) -> None:
    """This notebook is about that kata. Its specs are got ready, so that the first check is quick."""
    _kata[:] = [catalogue.find(name)]
    runner.prepare(_kata)


def check(exercise: str) -> None:
    """Run the specs of one exercise on the code of the cells run so far, and print the verdict."""
    kata = _kata[0]
    names = {e.name: e.spec_class for e in catalogue.exercises(kata)}
    if exercise not in names:
        raise LookupError(f"{kata.name} has no exercise '{exercise}': it has {', '.join(names)}") from None
    text = cells.join(sys.modules["__main__"].In, notebooks.names(kata))
    code = kata.root / "katas"
    texts = {k: runner.read(k, code) for k in runner.with_prerequisites([kata])[:-1]} | {kata: (text, "")}
    grading, kept = Grading([kata], texts, only=names[exercise]), Verdicts(kata.root)
    for job, result in runner.run(lambda: grading.ready(lambda job: kept.find(job) if job.kata != kata else None)):
        if job.kata == kata:
            found = [e for e in result.exercises if e.name == exercise]
            print(_said(found[0] if found else None, result.message))
            return
        kept.keep(job, result)
        grading.settle(job.kata, result)


def hint(exercise: str, level: int | None = None) -> None:
    """Print the next hint for an exercise, or the one of that level."""
    print(MORE.sub(r'hint("\1")', learner.next_hint(_kata[0], exercise, level)))


def _said(result: ExerciseResult | None, note: str) -> str:
    if result is None:
        return f"could not be checked: {note}"
    failure = result.first_failure
    if failure is None:
        return f"passed  {result.name}: all {len(result.specs)} specs" + (f" ({note})" if note else "")
    if result.not_written:
        return failure.message
    message = FOOTER.sub(r'hint("\1")', LINE.sub(r"\1", failure.message))
    passed = sum(spec.status == "passed" for spec in result.specs)
    return f"FAILED  {result.name} · {title(failure.name)}\n\n{message}\n\n{passed} of {len(result.specs)} specs pass"
