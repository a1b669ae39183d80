"""Isolation that this machine cannot give: what reports say of it, and jobs that are
refused for it.
"""

from collections.abc import Iterable
from dataclasses import replace

from grader.course.catalogue import Kata
from grader.execution.boundary import not_graded
from grader.isolation import sandbox
from grader.reports.words import listed
from grader.results import KataResult
from grader.workers import jobs
from grader.workers.jobs import Job


def gaps(katas: Iterable[Kata]) -> list[str]:
    """What isolation lacks on this machine while these katas are graded, one
    phrase each.
    """
    return _permissions(katas) + sandbox.barriers_missing()


def _permissions(katas: Iterable[Kata]) -> list[str]:
    """Permissions that code keeps on this machine while these katas are graded, one
    phrase each.
    """
    found: dict[str, list[str]] = {}
    for kata in katas:
        for gap in sandbox.gaps_of(kata.description.needs):
            found.setdefault(gap, []).append(kata.name)
    return sandbox.gaps() + [f"{listed(names)} {gap}" for gap, names in found.items()]


def refused(job: Job) -> KataResult | None:
    """The result of a job that asks for full isolation where this machine cannot give
    it; None if the job can run.
    """
    found = _permissions([job.kata]) if job.options.require_isolation else []
    if not found:
        return None
    reason = f"isolation is reduced on this machine: {' and '.join(found)}"
    return replace(
        not_graded(job.kata, reason, job.options), message=reason, code=jobs.digest(job)
    )
