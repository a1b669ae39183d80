"""How much of a kata can be practised: bugs planted in right code, and questions asked about it."""

import ast
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from grader.authoring import variants
from grader.course.catalogue import Kata
from grader.course.cells import bound
from grader.course.description import Exercise
from grader.practice import debugging, planting, questions, recorded
from grader.practice.operators import Source
from grader.practice.questions import Question
from grader.practice.sheet import LETTERS
from grader.workers.jobs import Job

ENOUGH = 3  # questions about an exercise
LONG = 3  # lines of an exercise about which there is little to ask
PLANTED, ASKED, GUESSED = 0.9, 0.9, 0.4  # at least, at least, at most: shares
SHEET_SECONDS = 20.0
WAYS = (*(f"always {letter}" for letter in LETTERS), "the longest", "the shortest")  # of guessing
SEED = 1


@dataclass
class Practised:
    """What came of the right solutions of some katas."""

    exercises: int = 0
    planted: int = 0
    long: int = 0  # exercises of more than three lines
    asked: int = 0  # of these, those with enough questions
    questions: int = 0
    guessed: dict[str, float] = field(default_factory=dict)  # questions that each way of guessing answers
    missing: list[str] = field(default_factory=list)  # what could not be planted or asked
    sheet: float = 0.0  # seconds of the slowest

    def add(self, other: "Practised") -> None:
        self.exercises, self.planted = self.exercises + other.exercises, self.planted + other.planted
        self.long, self.asked = self.long + other.long, self.asked + other.asked
        self.questions += other.questions
        ways = self.guessed.keys() | other.guessed.keys()
        self.guessed = {way: self.guessed.get(way, 0.0) + other.guessed.get(way, 0.0) for way in ways}
        self.missing += other.missing
        self.sheet = max(self.sheet, other.sheet)

    @property
    def is_enough(self) -> bool:
        most = max(self.guessed.values(), default=0)
        return (
            self.planted >= PLANTED * self.exercises
            and self.asked >= ASKED * self.long
            and most <= GUESSED * self.questions
            and self.sheet <= SHEET_SECONDS
        )


def report(katas: Iterable[Kata]) -> bool:
    """Print a line per kata and one for all. Returns whether all of them together can be practised enough."""
    console, total = Console(), Practised()
    for kata in katas:
        found = of(kata)
        total.add(found)
        console.print(f"{kata.number}: {_in_words(found)}", highlight=False)
    table = Table("what could not be planted or asked", box=None)
    for line in total.missing:
        table.add_row(line)
    if total.missing:
        console.print(table)
    console.print(f"all: {_in_words(total)}", highlight=False)
    return total.is_enough


def of(kata: Kata) -> Practised:
    """The textbook and every accepted solution, with the exercises that each of them writes."""
    total = Practised()
    right = kata.reference.read_text(encoding="utf-8")
    for path in (kata.textbook, *kata.accepted):
        if path.is_file():
            own = path.read_text(encoding="utf-8")
            job = variants.job(kata, f"{right}\n\n{own}", textbooks=True)
            exercises = [one for one in kata.exercises if _writes(own, one)]
            for exercise in exercises:
                total.add(_of_exercise(kata, exercise, job, path.stem))
            if exercises and path == kata.textbook:
                begun = time.monotonic()
                questions.about(kata, exercises, job, random.Random(SEED), 5)
                total.sheet = time.monotonic() - begun
    return total


def _writes(text: str, exercise: Exercise) -> bool:
    """Tell if the text defines the exercise, and not only its class for the sake of another method."""
    _, _, method = exercise.name.partition(".")
    owners = [node for node in ast.parse(text).body if exercise.owner in bound(node)]
    return any(not method or method in bound(inner) for node in owners for inner in getattr(node, "body", [node]))


def _of_exercise(kata: Kata, exercise: Exercise, job: Job, name: str) -> Practised:
    where = f"{kata.number} {exercise.name} ({name})"
    drawn = random.Random(f"{SEED} {where}")
    bug = debugging.plant(kata, exercise, job, recorded.mistakes(kata), drawn)
    asked = questions.ask(questions.material(kata, exercise, job, drawn), drawn, 5)
    is_long = len(planting.span(Source(job.files[kata.file]), exercise)) > LONG
    missing = [f"{where}: no bug"] if bug is None else []
    missing += [f"{where}: {len(asked)} questions"] if is_long and len(asked) < ENOUGH else []
    return Practised(
        exercises=1,
        planted=bug is not None,
        long=int(is_long),
        asked=int(is_long and len(asked) >= ENOUGH),
        questions=len(asked),
        guessed={way: sum(_guesses(one).get(way, 0.0) for one in asked) for way in WAYS},
        missing=missing,
    )


def _guesses(question: Question) -> dict[str, float]:
    """How often ways of guessing answer a question: always one letter, the longest option, the shortest."""
    lengths = [len(option) for option in question.options]
    right = lengths[question.answer]
    found = {f"always {LETTERS[question.answer]}": 1.0}
    for way, length in (("the longest", max(lengths)), ("the shortest", min(lengths))):
        found[way] = (right == length) / lengths.count(length)
    return found


def _in_words(found: Practised) -> str:
    way, number = max(found.guessed.items(), key=lambda item: item[1], default=("", 0))
    guessed = f"{number / found.questions:.0%} guessed by {way}" if found.questions else "no questions"
    return (
        f"planted {found.planted} of {found.exercises}, asked {found.asked} of {found.long} long ones, "
        f"{found.questions} questions, {guessed}, sheet {found.sheet:.0f} s"
    )
