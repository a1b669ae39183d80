"""`kata defend`: five questions about somebody's own code, at once in a terminal or as a sheet."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from grader import files
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import NotPossible
from grader.practice import questions, sheet
from grader.practice.questions import Question
from grader.practice.sheet import LETTERS
from grader.workers.jobs import Job

NUMBER = 5

Asked = list[tuple[Exercise, Question]]


def drawn(kata: Kata, exercises: Sequence[Exercise], job: Job, seed: int) -> Asked:
    """The questions that this seed draws about these exercises, which work.

    Raises:
        NotPossible: there is nothing to ask.
    """
    found = questions.about(kata, exercises, job, random.Random(seed), NUMBER)
    if not found:
        raise NotPossible(f"{kata.number}: nothing could be asked about this code: try another kata")
    return found


def why_fewer(asked: Asked) -> str:
    """The reason why there are fewer questions than there should be; empty if there are not."""
    if len(asked) == NUMBER:
        return ""
    return (
        f"{len(asked)} of {NUMBER} questions: more cannot be decided by running what works here with arguments that "
        "can be written out"
    )


def in_lines(number: int, exercise: Exercise, question: Question) -> list[str]:
    """One question with its options, each with a letter."""
    options = [f"   {letter}  {option}" for letter, option in zip(LETTERS, question.options, strict=False)]
    return [f"{number}. {exercise.name}: {question.text}", *options]


def hold(asked: Asked, say: Callable[[str], None], answer: Callable[[], str]) -> int:
    """Ask one question after the other, and say at once what is right. Returns how many were."""
    right = 0
    for number, (exercise, question) in enumerate(asked, 1):
        say("\n".join(in_lines(number, exercise, question)))
        letter, wanted = answer().strip().lower(), LETTERS[question.answer]
        right += letter == wanted
        say("Yes.\n" if letter == wanted else f"No: {wanted}.\n")
    say(f"{right} of {len(asked)}")
    return right


def write(asked: Asked, heading: str, text: str, path: Path) -> str:
    """Write the sheet, and its key beside it. Returns a sentence that says where they are.

    Args:
        text: the file that they are about.
    """
    key = path.with_stem(f"{path.stem}-key")
    files.write(path, sheet.page(heading, asked, text).encode())
    files.write(key, sheet.key(heading, asked).encode())
    fewer = why_fewer(asked)
    return f"wrote {path}, and its key {key.name}{': ' if fewer else ''}{fewer}"
