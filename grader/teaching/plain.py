"""Writes what counts of each submission in a plain layout, for programs that find
similar code.
"""

from collections.abc import Iterable
from pathlib import Path

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.teaching import report_files, submissions
from grader.teaching.submissions import Submission


def write(folder: Path, submission: Submission, katas: Iterable[Kata]) -> bool:
    """Write FOLDER/STUDENT/KATA/FILE for each of these katas that the student has
    begun. False if there is none.
    """
    texts = {
        kata: source.text
        for kata, source in submissions.sources(submission, katas).items()
        if not source.problem
    }
    begun = {
        kata: text for kata, text in texts.items() if not stubs.is_untouched(kata, text)
    }
    for kata, text in begun.items():
        place = folder / submission.student / kata.file
        place.parent.mkdir(parents=True, exist_ok=True)
        report_files.write(place, text)
    return bool(begun)
