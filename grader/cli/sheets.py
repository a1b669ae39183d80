"""A sheet of questions about each student's own code, for a few minutes at a desk."""

from pathlib import Path

from grader.cli.app import bar
from grader.course.catalogue import Kata, with_prerequisites
from grader.errors import NotPossible
from grader.execution import grading
from grader.learner import defence
from grader.teaching import class_run, submissions
from grader.teaching.class_run import Class
from grader.teaching.submissions import Submission
from grader.workers.jobs import Job


def write(kata: Kata, folder: Path, into: Path, seed: int) -> list[str]:
    """Write a sheet and its key for every student of whom an exercise works. Returns what is to be said.

    Raises:
        KataError: the folder holds no submissions, or a page cannot be written.
    """
    everybody = class_run.collect(Class(folder)).everybody
    said = []
    with bar("asking", "students", left=True) as counting:
        for submission in counting.track(everybody):
            try:
                _write(kata, submission, into / f"{submission.student}.html", seed)
            except (NotPossible, OSError) as error:
                said.append(f"{submission.student}: no sheet: {error}")
    said.append(f"wrote {len(everybody) - len(said)} of {len(everybody)} sheets into {into}, each with its key")
    return said


def _write(kata: Kata, submission: Submission, path: Path, seed: int) -> None:
    needed = with_prerequisites([kata])
    texts = submissions.sources(submission, needed)
    if texts[kata].problem:
        raise NotPossible(texts[kata].problem)
    [result] = [one for one in grading.grade_sources([kata], texts, path.parent) if one.kata == kata.name]
    works = [kata.exercise(one.name) for one in result.exercises if one.works]
    if not works:
        raise NotPossible("no exercise works")
    earlier = {one.file: one.reference.read_text(encoding="utf-8") for one in needed[:-1]}
    job = Job(kata, {**earlier, kata.file: texts[kata].text})
    heading = f"{submission.student}: {kata.number} {kata.title}"
    defence.write(defence.drawn(kata, works, job, seed), heading, texts[kata].text, path)
