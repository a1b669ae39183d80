"""How much of a kata can be practised: bugs planted in right code, and questions, each decided in a second way."""

import ast
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from grader import followed
from grader.authoring import variants
from grader.course.catalogue import Kata
from grader.course.cells import bound
from grader.course.description import Exercise
from grader.practice import debugging, questions, recorded, runs, shown
from grader.practice.questions import Question
from grader.practice.sheet import LETTERS
from grader.protocol import RunOptions
from grader.workers.jobs import Job

SHEET = 5  # questions
PLANTED, BY_PEOPLE, ASKED, GUESSED = 0.9, 0.5, 0.9, 0.35  # at least, at least, at least, at most: shares
SHEET_SECONDS = 30.0
HELD = (  # not by a missing key, as a batch norm's count may be missing
    "sum(tensor is not None for _, module in {}.named_modules(remove_duplicate=False)"
    " for name, tensor in [*module._parameters.items(), *module._buffers.items()]"
    " if name not in module._non_persistent_buffers_set)"
)
WAYS = (*(f"always {letter}" for letter in LETTERS), "the longest", "the shortest")  # of guessing
SEED = 1
ANOTHER = 2  # seed, by which questions are decided a second time


@dataclass
class Practised:
    """What came of the right solutions of some katas.

    Attributes:
        count: of exercises, bugs "planted" in them, those that are recorded mistakes ("by people"), sheets, "full" ones
            with five questions, and questions.
        guessed: questions that each way of guessing answers.
        missing: what could not be planted or asked, and questions with a wrong key or without a certain answer.
        slowest: seconds of the slowest sheet.
    """

    count: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    guessed: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, other: "Practised") -> None:
        for mine, theirs in (
            (self.count, other.count),
            (self.kinds, other.kinds),
            (self.guessed, other.guessed),
        ):
            mine.update(theirs)
        self.missing += other.missing
        self.slowest = max(self.slowest, other.slowest)

    @property
    def is_enough(self) -> bool:
        count = self.count
        return (
            count["planted"] >= PLANTED * count["exercises"]
            and count["by people"] >= BY_PEOPLE * count["planted"]
            and count["full"] >= ASKED * count["sheets"]
            and not count["wrong keys"]
            and max(self.guessed.values(), default=0) <= GUESSED * count["questions"]
            and self.slowest <= SHEET_SECONDS
        )


def report(katas: Iterable[Kata], *, textbook: bool = False) -> bool:
    """Print a line per kata and one for all. Returns whether all of them together can be practised enough.

    Args:
        textbook: no other solutions.
    """
    console, total = Console(soft_wrap=True), Practised()
    for kata in katas:
        found = of(kata, [] if textbook else kata.accepted)
        total.add(found)
        console.print(f"{kata.number}: {_in_words(found)}", *found.missing, sep="\n  ", highlight=False, markup=False)
    asked = max(total.count["questions"], 1)
    guessed = ", ".join(f"{number / asked:.0%} {way}" for way, number in total.guessed.most_common())
    console.print(f"all: {_in_words(total)}; {dict(total.kinds)}; one way throughout: {guessed}", highlight=False)
    return total.is_enough


def of(kata: Kata, accepted: Sequence[Path]) -> Practised:
    """A sheet about the textbook and each of these solutions, with what they write; a bug in each exercise of these."""
    total = Practised()
    right = kata.reference.read_text(encoding="utf-8")
    for path in (kata.textbook, *accepted):
        if path.is_file():
            own = path.read_text(encoding="utf-8")
            whole = own if path == kata.textbook else f"{right}\n\n{own}"
            job = variants.job(kata, whole, textbooks=True)
            if exercises := [one for one in kata.exercises if _writes(own, one)]:
                total.add(_sheet(kata, exercises, job, path.stem))
            for exercise in exercises:
                total.add(_bug(kata, exercise, job, path.stem))
    return total


def _writes(text: str, exercise: Exercise) -> bool:
    """Tell if the text defines the exercise, and not only its class for the sake of another method."""
    _, _, method = exercise.name.partition(".")
    owners = [node for node in ast.parse(text).body if exercise.owner in bound(node)]
    return any(not method or method in bound(inner) for node in owners for inner in getattr(node, "body", [node]))


def _bug(kata: Kata, exercise: Exercise, job: Job, name: str) -> Practised:
    where = f"{exercise.name} ({name})"
    bug = debugging.plant(kata, exercise, job, recorded.mistakes(kata), random.Random(f"{SEED} {where}"))
    found = Practised(Counter(exercises=1), missing=[] if bug else [f"{where}: no bug"])
    if bug:
        found.count.update({"planted": 1, "by people": int(bug.by_people)})
    return found


def _sheet(kata: Kata, exercises: list[Exercise], job: Job, name: str) -> Practised:
    begun = time.monotonic()
    asked = questions.about(kata, exercises, job, random.Random(f"{SEED} {kata.name} {name}"), SHEET)
    seconds = time.monotonic() - begun
    found = Practised(Counter(sheets=1, full=int(len(asked) == SHEET), questions=len(asked)), slowest=seconds)
    if len(asked) < SHEET:
        found.missing.append(f"{name}: {len(asked)} questions")
    for exercise, question in asked:
        found.kinds[question.kind] += 1
        found.guessed.update({way: _guesses(question).get(way, 0.0) for way in WAYS})
        if not decided_anew(question, exercise, job):
            found.count["wrong keys"] += 1
            found.missing.append(f"{exercise.name} ({name}): wrong: {question}")
    return found


def decided_anew(question: Question, exercise: Exercise, job: Job) -> bool:
    """Tell if the keyed answer is the only right one, by another way than it was found, with other numbers."""
    about, right = question.about, question.options[question.answer]
    text = job.files[job.kata.file]
    if question.kind in ("shape", "value", "times"):
        return _told(question, job) == right
    if question.kind == "holds":
        held = _asked(job, text, HELD.format(about.calls[0])).returned
        return held is not None and held.text == right
    if question.kind == "second":
        given, once = shown.once(about.calls[0])
        lines = ["import numpy as np", "import torch", "torch.manual_seed(2)", "np.random.seed(2)"]
        lines += [f"{name} = {held}" for name, held in given.items()]
        made = "\n".join([text, *lines])
        twice = f"(lambda _: {once})({once})"  # within one call, before which the generators are seeded
        return questions.outcome([_asked(job, made, once)], [_asked(job, made, twice)]) == right
    if question.kind == "outcome":
        before, after = (_asked(job, version, about.calls[0]) for version in (text, about.versions[0]))
        return questions.outcome([before], [after]) == right
    if question.kind == "input":
        pairs = [[_asked(job, version, call) for version in (text, about.versions[0])] for call in about.calls]
        return [not followed.same_outcome(*pair) for pair in pairs].index(True) == question.answer and (
            sum(not followed.same_outcome(*pair) for pair in pairs) == 1
        )
    only = () if question.kind == "harmless" else (exercise.spec_class,)
    options = RunOptions(only=only, seed=ANOTHER, ideas=question.kind == "cause")
    versions = [text, *about.versions]
    base, *found = runs.of(Job(job.kata, {**job.files, job.kata.file: one}, options=options) for one in versions)
    if question.kind == "harmless":
        same = [questions.failures(run) == questions.failures(base) for run in found]
        return same == [place == question.answer for place in range(len(same))]
    return questions.cause(*found) == right


def _told(question: Question, job: Job) -> str:
    """What the code itself says: a line that raises the answer is put behind the one that is asked about."""
    text, about = job.files[job.kata.file], question.about
    call = about.calls[0]
    if question.kind == "times":
        counted = _with_line(text, about.line, "_times.append(1)", before=True) + "\n_times = []\n"
        held = _asked(job, counted, f"({call}, len(_times))[1]").returned
        return held.text if held else ""
    what = about.name or f"({call})"
    told = f"tuple(({what}).shape)" if question.kind == "shape" else what
    if not about.name:
        held = _asked(job, text, told).returned
        return held.text if held else ""
    raising = _with_line(text, about.line, f"raise RuntimeError(' '.join(repr({told}).split()))")
    return _asked(job, raising, call).raised.removeprefix("RuntimeError: ")


def _with_line(text: str, line: int, code: str, *, before: bool = False) -> str:
    """The text with a line of code behind the statement of this line, or before it."""
    inside = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)]
    around = [node for node in inside if node.lineno <= line <= (node.end_lineno or 0)]
    node = max(around, key=lambda one: (one.lineno, -(one.end_lineno or 0)))
    lines = text.splitlines()
    if before:
        lines.insert(node.lineno - 1, " " * node.col_offset + code)
    elif body := getattr(node, "body", None):  # what a loop or a `with` has set
        lines.insert(body[0].lineno - 1, " " * body[0].col_offset + code)
    else:
        lines.insert(node.end_lineno or 0, " " * node.col_offset + code)
    return "\n".join(lines)


def _asked(job: Job, text: str, call: str) -> followed.Call:
    [found] = questions.outcomes(job, text, call, seeds=[ANOTHER])
    return found[0] if found else followed.Call(call, 0, {}, raised="the end of the process")


def _guesses(question: Question) -> dict[str, float]:
    """How often ways of guessing answer a question: always one letter, the longest option, the shortest."""
    lengths = [len(option) for option in question.options]
    right = lengths[question.answer]
    found = {f"always {LETTERS[question.answer]}": 1.0}
    for way, length in (("the longest", max(lengths)), ("the shortest", min(lengths))):
        found[way] = (right == length) / lengths.count(length)
    return found


def _in_words(found: Practised) -> str:
    count = found.count
    way, number = max(found.guessed.items(), key=lambda item: item[1], default=("", 0))
    guessed = f"{number / count['questions']:.0%} guessed by {way}" if count["questions"] else "nothing guessed"
    return (
        f"planted {count['planted']} of {count['exercises']}, {count['by people']} as people do, "
        f"{count['full']} of {count['sheets']} sheets full, {count['questions']} questions, "
        f"{count['wrong keys']} wrong keys, {guessed}, slowest sheet {found.slowest:.0f} s"
    )
