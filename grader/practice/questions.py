"""Questions about one's own code, each with an answer that running it decides."""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, permutations

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.followed import Call, Value
from grader.practice import debugging, harmless, mutation, operators, planting, runs
from grader.practice.debugging import in_words
from grader.practice.mutation import Mutant
from grader.practice.operators import Source
from grader.practice.runs import Run
from grader.protocol import RunOptions
from grader.workers.jobs import Job

CHANGES, SAME = 8, 6  # versions that are run: with a change, and written otherwise
QUICK = 1.0  # seconds of the specs that questions are about, together: the quickest ones
MOST, LEAST = 4, 3  # options
TRIVIAL = 3  # lines of a definition about which there is little to ask
SEED = 0


@dataclass(frozen=True)
class Question:
    """A question with its options, one of which is right."""

    kind: str
    text: str
    options: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Material:
    """What the questions about an exercise are drawn from.

    Attributes:
        says: the first sentence of each spec.
        base: the code as it is.
        changed: changes that a spec notices, each with its run.
        same: changes that nothing notices.
    """

    text: str
    exercise: Exercise
    says: Mapping[str, str]
    base: Run
    changed: Sequence[tuple[Mutant, Run]]
    same: Sequence[Mutant]


def ask(material: Material, drawn: random.Random, most: int) -> list[Question]:
    """As many questions as there can be, each of another kind if possible."""
    kinds = [list(kind(material, drawn)) for kind in KINDS]
    for found in kinds:
        drawn.shuffle(found)
    drawn.shuffle(kinds)
    asked: list[Question] = []
    while len(asked) < most and any(kinds):
        for found in kinds:
            if found and len(asked) < most:
                question = found.pop()
                if question.text not in {one.text for one in asked}:
                    asked.append(question)
    return asked


def about(
    kata: Kata, exercises: Sequence[Exercise], job: Job, drawn: random.Random, most: int
) -> list[tuple[Exercise, Question]]:
    """Questions about these exercises, which work: two each at most, long ones first, until there are enough."""
    source = Source(job.files[kata.file])
    asked: list[tuple[Exercise, Question]] = []
    in_turn = drawn.sample(exercises, len(exercises))
    for exercise in sorted(in_turn, key=lambda one: len(planting.span(source, one)) <= TRIVIAL):
        found = ask(material(kata, exercise, job, drawn), drawn, min(2, most - len(asked)))
        asked += [(exercise, question) for question in found]
        if len(asked) == most:
            break
    return asked


def material(kata: Kata, exercise: Exercise, job: Job, drawn: random.Random) -> Material:
    """Run the code, changes of it and other ways to write it.

    Args:
        job: the kata's code, which works, on that of the earlier katas.
    """
    text = job.files[kata.file]
    source = Source(text)
    lines, stub = planting.span(source, exercise), stubs.stub_of(kata) or ""
    [base] = runs.of([_job(job, text, (exercise.spec_class,), lines)])
    passed = sorted((spec.seconds, name) for name, spec in base.specs.items() if spec.status == "passed")
    until = accumulate(seconds for seconds, _ in passed)
    quick = tuple(name for (_, name), total in zip(passed, until, strict=True) if total <= QUICK)
    changes = [one for one in mutation.generate(source, operators.edits(source), stub) if one.line in lines]
    others = [one for one in mutation.generate(source, harmless.edits(source), stub) if one.line in lines]
    tried = [*_drawn(changes, CHANGES, drawn), *_drawn(others, SAME, drawn)]
    found = runs.of(_job(job, one.source, quick, planting.span(Source(one.source), exercise)) for one in tried if quick)
    changed, same = [], []
    for one, run in zip(tried, found, strict=False):
        failing = [spec for spec in run.specs.values() if spec.status == "failed"]
        if failing:
            changed.append((one, run))
        elif one in others and not debugging.compared(base.calls, run.calls)[1]:
            same.append(one)
    first = {name: first_sentence(base.says[name]) for name in quick}
    return Material(text, exercise, first, base, changed, same)


def first_sentence(docstring: str) -> str:
    """The first sentence of a spec's docstring."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", " ".join(docstring.split()))[0]


def _shapes(found: Material, drawn: random.Random) -> Iterator[Question]:
    """The shape of a variable after a line, or of what is returned."""
    for calls in found.base.calls.values():
        for call in calls:
            values = {f"{in_words(call)} runs. Which shape has {what}?": value for what, value in _made(call).items()}
            if call.returned:
                values[f"Which shape has the result of {in_words(call)}?"] = call.returned
            known = {value.shape for value in [*call.arguments.values(), *values.values()] if value.shape}
            for text, value in values.items():
                if value.shape:
                    yield from _question("shape", text, str(value.shape), _other_shapes(value.shape, known), drawn)


def _other_shapes(shape: tuple[int, ...], known: set[tuple[int, ...]]) -> list[str]:
    """Shapes that a value might have had: axes in another order, one lost or added, and those of other variables."""
    found = {*permutations(shape)} if len(shape) < 5 else set()
    found |= {shape[:i] + shape[i + 1 :] for i in range(len(shape))} | {(1, *shape), (*shape, 1)} | known
    return sorted(str(one) for one in found - {shape})


def _results(found: Material, drawn: random.Random) -> Iterator[Question]:
    """What a call returns or a line makes, beside what versions with a change do."""
    for spec, calls in found.base.calls.items():
        for place, call in enumerate(calls):
            runs_alike = [run.calls[spec][place] for _, run in found.changed if place < len(run.calls.get(spec, ()))]
            others = [_plain(other) for other in runs_alike if other.name == call.name]
            for what, right in _plain(call).items():
                wrong = _long((other[what] for other in others if what in other), right)
                text = f"{in_words(call)} runs. What is {what}?"
                yield from _question("result", text, right, wrong, drawn)


def _made(call: Call) -> dict[str, Value]:
    """What the lines of a call made when they ran first."""
    return {
        f"`{name}` after line {step.line}": value
        for step in call.steps
        for name, value in step.first.items()
        if name != "_"
    }


def _plain(call: Call) -> dict[str, str]:
    """What a call returns or raises and what its lines make, in words; without tensors, whose shape is asked for."""
    made = _made(call).items()
    found = {what: value.text for what, value in made if value.shape is None and value.text != value.kind}
    if call.raised:
        found["its result"] = call.raised
    elif call.returned and call.returned.shape is None and call.returned.kind != "NoneType":
        found["its result"] = call.returned.text
    return found


def _demands(found: Material, drawn: random.Random) -> Iterator[Question]:
    """Which demand falls with a change."""
    for change, run in found.changed:
        falls = {found.says[n] for n, spec in run.specs.items() if spec.status == "failed" and n in found.says}
        holds = {found.says[n] for n, spec in run.specs.items() if spec.status == "passed" and n in found.says} - falls
        if falls:
            text = f"{_capital(_change(change))}. Which of these holds no longer?"
            yield from _question("demand", text, drawn.choice(sorted(falls)), sorted(holds), drawn)


def _harmless(found: Material, drawn: random.Random) -> Iterator[Question]:
    """Which change leaves everything as it is."""
    noticed = [_change(one) for one, _ in found.changed]
    for one in found.same:
        text = "Which of these changes makes no difference?"
        yield from _question("harmless", text, _change(one), _long(noticed, _change(one)), drawn)


def _inputs(found: Material, drawn: random.Random) -> Iterator[Question]:
    """Which call tells the code from a version with a change."""
    for change, run in found.changed:
        right, wrong = debugging.compared(found.base.calls, run.calls)
        if wrong:
            text = f"{_capital(_change(change))}. Which call comes to something else?"
            yield from _question("input", text, drawn.choice(wrong), right, drawn)


KINDS = (_shapes, _results, _demands, _harmless, _inputs)


def _change(mutant: Mutant) -> str:
    if mutant.operator == harmless.LINES:
        return f"lines {mutant.line} and {mutant.line + 1} change places"
    return f"line {mutant.line} becomes `{mutant.now}`"


def _long(wrong: Iterable[str], right: str) -> list[str]:
    """The longest of the wrong answers: mutants shorten code and results, and length must tell nothing."""
    return sorted({*wrong} - {right}, key=lambda other: (len(other), other))[-MOST:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _question(kind: str, text: str, right: str, wrong: Sequence[str], drawn: random.Random) -> Iterator[Question]:
    """The question with some of the wrong answers, in a drawn order; none if there are too few of them."""
    others = sorted({*wrong} - {right})
    if len(others) < LEAST - 1:
        return
    options = [right, *drawn.sample(others, min(len(others), MOST - 1))]
    drawn.shuffle(options)
    yield Question(kind, text, tuple(options), options.index(right))


def _drawn(mutants: list[Mutant], most: int, drawn: random.Random) -> list[Mutant]:
    return drawn.sample(mutants, min(most, len(mutants)))


def _job(job: Job, text: str, specs: tuple[str, ...], traced: range) -> Job:
    options = RunOptions(ideas=True, only=specs, seed=SEED, traced=(traced.start, traced.stop - 1))
    return Job(job.kata, {**job.files, job.kata.file: text}, options=options)
