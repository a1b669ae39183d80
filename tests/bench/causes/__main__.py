"""Count how often the shown failure of a wrong code names its cause: `python -m tests.bench.causes [SET…]`.

A line per code: the verdict, the slip, the cause that its exercise's first failure shows, and its sources; then the
verdicts by source, which are those of `grader.specs.sources`, "mistake" and "change". Whether a cause is the
right one was judged by a reader, who put the verdict into judged.tsv; what nobody has judged yet has a question mark.
Sets: open, aside, later (slips in the textbook solution), first to fifth (in a learner's own words).
"""

import sys
from collections import Counter, defaultdict
from pathlib import Path

from grader.course.catalogue import find
from grader.protocol import RunOptions
from grader.workers.jobs import Job
from tests.bench.causes.natural import FIRST, SECOND
from tests.bench.causes.natural_fifth import FIFTH
from tests.bench.causes.natural_fourth import FOURTH
from tests.bench.causes.natural_third import THIRD
from tests.bench.causes.wrong_codes import LATER, WRONG
from workshop import variants

JUDGED = Path(__file__).with_name("judged.tsv")
IMPORTS = "\nimport math\n\nimport numpy as np\n"
TORCH = IMPORTS + "import torch\nimport torch.nn.functional as F\nfrom torch import Tensor, nn\n"


def job(number: str, exercise: str, was: str, now: str, code: str = "") -> Job:
    """The specs of the exercise's point on the textbook solution, with the code in place of its own, and the slip."""
    kata = find(number)
    text = kata.textbook.read_text(encoding="utf-8")
    changed = code or text
    if changed.count(was) != 1:
        sys.exit(f"{number} {exercise}: {was!r} is {changed.count(was)} times in the code")
    changed = changed.replace(was, now)
    if code:
        changed = text + (IMPORTS if number.startswith("tinytorch") else TORCH) + changed
    options = RunOptions(only=(kata.exercise(exercise).spec_class,), ideas=True)
    return variants.job(kata, changed, options, textbooks=True)


def natural(codes: list) -> list[tuple]:
    """A row per slip, as in wrong_codes, and the code behind it."""
    return [(kata, name, *slip, code) for kata, name, code, slips in codes for slip in slips]


SETS = {
    "open": WRONG[::2],
    "aside": WRONG[1::2],
    "later": LATER,
    "first": natural(FIRST),
    "second": natural(SECOND),
    "third": natural(THIRD),
    "fourth": natural(FOURTH),
    "fifth": natural(FIFTH),
}


def main(chosen: list[str]) -> None:
    judged = {}
    for line in JUDGED.read_text(encoding="utf-8").splitlines():
        verdict, slip, cause = line.split("\t")
        judged[slip, cause] = verdict
    by_source: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in chosen or SETS:
        jobs = {(number, name, slip): job(number, name, *code) for number, name, slip, *code in SETS[one]}
        results = variants.results(jobs.values())
        found: Counter[str] = Counter()
        for (number, name, slip), asked in jobs.items():
            spec = next(one for one in results[asked].exercises if one.name == name).first_failure
            causes = spec.failure.causes if spec and spec.failure else ()
            cause = " ".join(" ".join(one.text for one in causes).split()) if spec else "passed"
            told = f"{number} {name}: {slip}"
            verdict = judged.get((told, cause), "?") if cause else "none"
            found[verdict] += 1
            for source in dict.fromkeys(one.by for one in causes):
                by_source[source][verdict] += 1
            print(verdict, told, cause, " + ".join(one.by for one in causes), sep="\t")
        print(f"{one}: {', '.join(f'{n} {one}' for one, n in found.most_common())} of {found.total()}", flush=True)
    for source, verdicts in by_source.items():
        print(f"{source}: {', '.join(f'{n} {verdict}' for verdict, n in verdicts.most_common())}")


main(sys.argv[1:])
