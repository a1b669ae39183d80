"""Count how often the shown failure of a wrong code names its cause: `python -m tests.bench.causes`.

A line per code: the verdict, the slip, and the cause that its exercise's first failure shows. Whether a cause is the
right one was judged by a reader, who put the verdict into judged.tsv; what nobody has judged yet has a question mark.
"""

import re
import sys
from collections import Counter
from pathlib import Path

from grader.authoring import variants
from grader.course.catalogue import find
from grader.protocol import RunOptions
from grader.workers.jobs import Job
from tests.bench.causes.wrong_codes import LATER, WRONG

JUDGED = Path(__file__).with_name("judged.tsv")
CAUSE = re.compile(r"^(?:looks like|means) +(.*(?:\n {11}.*)*)", re.MULTILINE)


def job(number: str, exercise: str, was: str, now: str) -> Job:
    """The specs of the exercise's point, on textbook code of the earlier katas."""
    kata = find(number)
    text = kata.textbook.read_text(encoding="utf-8")
    if text.count(was) != 1:
        sys.exit(f"{number} {exercise}: {was!r} is {text.count(was)} times in the textbook solution")
    options = RunOptions(only=(kata.exercise(exercise).spec_class,), ideas=True)
    return variants.job(kata, text.replace(was, now), options, textbooks=True)


def main() -> None:
    jobs = {(number, name, slip): job(number, name, was, now) for number, name, slip, was, now in [*WRONG, *LATER]}
    results = variants.results(jobs.values())
    judged = {}
    for line in JUDGED.read_text(encoding="utf-8").splitlines():
        verdict, slip, cause = line.split("\t")
        judged[slip, cause] = verdict
    counts: dict[str, Counter[str]] = {"open": Counter(), "kept aside": Counter(), "later": Counter()}
    for place, (number, name, slip) in enumerate(jobs):
        failure = next(one for one in results[jobs[number, name, slip]].exercises if one.name == name).first_failure
        cause = " ".join(" ".join(CAUSE.findall(failure.message)).split()) if failure else "passed"
        told = f"{number} {name}: {slip}"
        verdict = judged.get((told, cause), "?") if cause else "none"
        half = "later" if place >= len(WRONG) else "kept aside" if place % 2 else "open"
        counts[half][verdict] += 1
        print(verdict, told, cause, sep="\t")
    for half, found in counts.items():
        print(f"{half}: {', '.join(f'{n} {one}' for one, n in found.most_common())} of {found.total()}")


main()
