"""`python -m tests.attacks.table`: forgeries of each kind, and how many of them earn
points with one lock and with two.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from grader.course import catalogue
from grader.execution import scheduler
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.workers import forkserver
from grader.workers.jobs import Job
from tests.attacks.forgeries import FORGERIES, Forgery
from workshop import variants

SECONDS = 2.0  # of a spec: what hangs costs three times that in the second lock


def submission(forgery: Forgery) -> Job:
    """The kata's untouched stub with this code behind it, sealed, on the references of
    earlier katas.
    """
    kata = catalogue.find(forgery.kata)
    only = tuple(
        name if "::" in name else kata.exercise(name).spec_class
        for name in forgery.exercises
    )
    options = RunOptions(ideas=True, only=only, spec_seconds=SECONDS, sealed=True)
    return variants.job(
        kata, f"{kata.code.read_text(encoding='utf-8')}\n{forgery.code}", options
    )


def graded(forgeries: Iterable[Forgery]) -> Iterator[tuple[Forgery, KataResult]]:
    """Grade all of them as submissions of one run, whose workers are forked with every
    spec loaded.
    """
    submissions = {submission(forgery): forgery for forgery in forgeries}
    forkserver.collect(dict.fromkeys(job.kata for job in submissions))
    for job, result in scheduler.run(list(submissions)):
        yield submissions[job], result


def earned(result: KataResult) -> list[str]:
    """The exercises that have a point, but for those that kata.toml says no second lock
    can judge, or not wholly.
    """
    description = catalogue.find(result.kata).description
    said = description.unsealed.keys() | description.measured.keys()
    return [
        exercise.name
        for exercise in result.exercises
        if exercise.so_far.point and exercise.name not in said
    ]


def fooled(result: KataResult) -> list[str]:
    """The exercises that would have a point unsealed: the first lock let them pass on
    to the second one.
    """
    return [
        exercise.name
        for exercise in result.exercises
        if exercise.sealed in ("passed", "failed")
    ]


def main() -> int:
    """Grade every forgery. Exit code 1 if one earns a point sealed."""
    number, earning = Counter[str](), {False: Counter[str](), True: Counter[str]()}
    points = {False: 0, True: 0}
    for forgery, result in graded(FORGERIES):
        number[forgery.kind] += 1
        for sealed, found in ((False, fooled(result)), (True, earned(result))):
            earning[sealed][forgery.kind] += found != []
            points[sealed] += len(found)
        if earned(result):
            print(
                f"{forgery.kata} {forgery.tries}: {', '.join(earned(result))}",
                flush=True,
            )
    print(f"{'kind':<34} {'how many':>8} {'earn unsealed':>14} {'earn sealed':>12}")
    for kind in dict.fromkeys(forgery.kind for forgery in FORGERIES):
        print(
            f"{kind:<34} {number[kind]:>8} {earning[False][kind]:>14} "
            f"{earning[True][kind]:>12}"
        )
    print(
        f"{'together':<34} {number.total():>8} {earning[False].total():>14} "
        f"{earning[True].total():>12}"
    )
    print(f"points: {points[False]} unsealed, {points[True]} sealed")
    return int(points[True] > 0)


if __name__ == "__main__":
    sys.exit(main())
