"""Runs right code on right code: `kata stacks 30` runs a kata's reference on others'
earlier katas.
"""

from itertools import cycle, islice

from grader.course.catalogue import Kata, with_prerequisites
from grader.protocol import RunOptions
from grader.workers.jobs import Job
from workshop import seals, variants


def jobs(kata: Kata) -> list[Job]:
    """The points' specs against the reference, on the other right solutions of the
    katas that it builds on.

    The first of each kata together, then the second of each, until each was there once.
    """
    *earlier, _ = with_prerequisites([kata])
    ways = [
        right[1:] or right
        for right in (list(seals.right_texts(one)) for one in earlier)
    ]
    count = max(map(len, ways), default=0)
    stacks = zip(*(islice(cycle(texts), count) for texts in ways), strict=True)
    own = {kata.file: kata.reference.read_text(encoding="utf-8")}
    files = [
        {one.file: text for one, text in zip(earlier, stack, strict=True)}
        for stack in stacks
    ]
    return [Job(kata, found | own, options=RunOptions(ideas=True)) for found in files]


def report(katas: list[Kata]) -> bool:
    """Print which points are lost. Returns whether some are."""
    is_lost = False
    for kata in katas:
        for number, result in enumerate(variants.results(jobs(kata)).values(), 1):
            for exercise in result.exercises:
                if failure := exercise.first_failure:
                    print(
                        f"{kata.name}, stack {number}: {failure.name}: "
                        f"{failure.message.strip()}\n",
                        flush=True,
                    )
                    is_lost = True
    return is_lost
