"""The results that are known. Their key covers the code and all that `reads` declares:
a stale one is never found.
"""

import contextlib
import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from grader.execution import reads
from grader.memory import Memory
from grader.results import KataResult, SpecResult, kata_result
from grader.workers.jobs import Job


class ResultCache:
    """The results that are known of the tree at `root`.

    Args:
        again: grading looks up none but those of untouched stubs, and keeps all.

    Attributes:
        found: the katas of the results that were asked for and known.
    """

    def __init__(self, root: Path, again: bool = False):
        self.memory, self.again, self.found = Memory(root), again, set[str]()

    def find(self, job: Job) -> KataResult | None:
        """The job's result, if it is known."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            wanted = key(job)
            if text := self.memory.find("result", wanted, wanted):
                result = kata_result(json.loads(text))
                self.found.add(result.kata)
                return result
        return None

    def keep(self, job: Job, result: KataResult) -> None:
        """Remember the job's result, unless a busy machine may be the reason for it."""
        if not any(_may_be_chance(spec) for e in result.exercises for spec in e.specs):
            found, kept = key(job), replace(result, traces={})
            self.memory.keep("result", found, found, json.dumps(asdict(kept)))


def _may_be_chance(spec: SpecResult) -> bool:
    """Tell if the spec ran out of time, or lost its worker."""
    return spec.status in ("error", "not graded") or spec.kind in (
        "timed out",
        "import timed out",
        "too busy",
    )


def key(job: Job) -> str:
    """A hash of everything that the job's result depends on."""
    files = [[path.as_posix(), text] for path, text in sorted(job.files.items())]
    rest = [
        job.kata.name,
        job.problem and asdict(job.problem),
        job.note,
        asdict(job.options),
        reads.digest(
            job.kata.root, reads.of_a_run(sealed=job.options.sealed).files(job.kata)
        ),
        reads.surroundings(),
    ]
    return hashlib.sha256(json.dumps([files, *rest]).encode()).hexdigest()
