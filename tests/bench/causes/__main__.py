"""Count how often the shown failure of a wrong code names its cause:
`python -m tests.bench.causes [SET…]`.

A line per code: the verdict, the slip, the cause that its exercise's first failure
shows, and its sources; then the verdicts by source, which are those of
`grader.specs.sources`. Whether a cause is the right one was judged by a reader, who put
the verdict into judged.tsv; what nobody has judged yet has a question mark.
Sets: open, aside, later (slips in the textbook solution), first to fifth (in a
learner's own words), each a file.
"""

import sys
from collections import Counter, defaultdict
from pathlib import Path

from grader.course.catalogue import find
from grader.protocol import RunOptions
from grader.workers.jobs import Job
from tests.wrong_code import WrongCode, read
from workshop import variants

FOLDER = Path(__file__).parent
SETS = "open", "aside", "later", "first", "second", "third", "fourth", "fifth"
IMPORTS = "\nimport math\nfrom typing import Any\n\nimport numpy as np\n"
TORCH = (
    IMPORTS
    + "import torch\nimport torch.nn.functional as F\nfrom torch import Tensor, nn\n"
)


def job(one: WrongCode) -> Job:
    """The specs of the exercise's point on the textbook solution, with the code in
    place of its own, and the slip.
    """
    kata = find(one.kata)
    text = kata.textbook.read_text(encoding="utf-8")
    changed = one.planted(text)
    if one.code:
        changed = (
            text + (IMPORTS if one.kata.startswith("tinytorch") else TORCH) + changed
        )
    options = RunOptions(only=(kata.exercise(one.exercise).spec_class,), ideas=True)
    return variants.job(kata, changed, options, textbooks=True)


def main(chosen: list[str]) -> None:
    judged = {}
    for line in (FOLDER / "judged.tsv").read_text(encoding="utf-8").splitlines():
        verdict, slip, cause = line.split("\t")
        judged[slip, cause] = verdict
    by_source: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in chosen or SETS:
        jobs = {code: job(code) for code in read(FOLDER / f"{one}.txt")}
        results = variants.results(jobs.values())
        found: Counter[str] = Counter()
        for code, asked in jobs.items():
            spec = next(
                one for one in results[asked].exercises if one.name == code.exercise
            ).first_failure
            causes = spec.failure.causes if spec and spec.failure else ()
            cause = (
                " ".join(" ".join(one.text for one in causes).split())
                if spec
                else "passed"
            )
            told = f"{code.kata} {code.exercise}: {code.slip}"
            verdict = judged.get((told, cause), "?") if cause else "none"
            found[verdict] += 1
            for source in dict.fromkeys(one.by for one in causes):
                by_source[source][verdict] += 1
            print(verdict, told, cause, " + ".join(one.by for one in causes), sep="\t")
        print(
            f"{one}: {', '.join(f'{n} {one}' for one, n in found.most_common())} of "
            f"{found.total()}",
            flush=True,
        )
    for source, verdicts in by_source.items():
        print(
            f"{source}: "
            f"{', '.join(f'{n} {verdict}' for verdict, n in verdicts.most_common())}"
        )


main(sys.argv[1:])
