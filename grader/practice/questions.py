"""Questions about one's own code. Running decides each answer, and whatever it depends on stands in the question."""

import ast
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice, permutations, product
from typing import TypeGuard

from grader import followed
from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.followed import Call, Value
from grader.practice import debugging, harmless, mutation, planting, recorded, runs, shown
from grader.practice.mutation import Mutant
from grader.practice.operators import Source
from grader.practice.runs import Run
from grader.protocol import RunOptions
from grader.workers.jobs import Job

CHANGES, SAME, CALLS = 6, 2, 4  # versions that are run: with a change, written otherwise; calls that are asked about
QUICK = 1.0  # seconds of the specs that questions are about, together: the quickest ones
MOST, LEAST = 4, 3  # options
LONGEST = 80  # characters of a value
SEEDS = 0, 1  # what is not the same with both depends on numbers that are not shown
MORE_SEEDS = 3, 4, 5, 6  # for calls that draw numbers, which two seeds may leave alike, or apart, by chance
NOT_BY_PEOPLE = re.compile(r"another (?:key|default)|another dtype|swapped arguments")
OUTCOMES = ("the same result", "another result of the same shape", "a result of another shape", "an error")


@dataclass(frozen=True)
class Subject:
    """What a question is about, by which its answer can be decided anew.

    Attributes:
        calls: that are run; of each option, where these are calls.
        versions: texts with a change; of each option, where these are changes.
        line, name: after which a variable is asked for, and which one.
    """

    calls: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    line: int = 0
    name: str = ""


@dataclass(frozen=True)
class Question:
    """A question with its options, one of which is right."""

    kind: str
    text: str
    options: tuple[str, ...]
    answer: int
    about: Subject = field(default=Subject(), repr=False)


@dataclass(frozen=True)
class Material:
    """What the questions about an exercise are drawn from.

    Attributes:
        calls: of the exercise, written out, each with what it did with either seed.
        changed: changes that a spec notices, each with its run with either seed.
        same: changes that no spec notices.
        suspects: known wrong answers of the exercise's specs, in words.
    """

    job: Job
    source: Source
    exercise: Exercise
    calls: dict[str, list[list[Call]]]
    changed: Sequence[tuple[Mutant, Run, Run]]
    same: Sequence[Mutant]
    suspects: Sequence[str]


def about(
    kata: Kata,
    exercises: Sequence[Exercise],
    job: Job,
    drawn: random.Random,
    most: int,
    mistakes: Sequence[planting.Version] | None = None,
) -> list[tuple[Exercise, Question]]:
    """Questions about these exercises, which work: two each at first, long ones first, until there are enough."""
    source = Source(job.files[kata.file])
    asked: list[tuple[Exercise, Question]] = []
    in_turn = drawn.sample(exercises, len(exercises))
    waiting = []
    for exercise in sorted(in_turn, key=lambda one: len(planting.span(source, one)) <= planting.SHORT):
        questions = ask(material(kata, exercise, job, drawn, mistakes), drawn)
        asked += [(exercise, question) for question in islice(questions, min(2, most - len(asked)))]
        waiting.append((exercise, questions))
        if len(asked) == most:
            return asked
    for exercise, questions in waiting:
        asked += [(exercise, question) for question in islice(questions, most - len(asked))]
    return asked


def ask(found: Material, drawn: random.Random) -> Iterator[Question]:
    """Questions, each of another kind in turn; each text once."""
    kinds = [kind(found, drawn) for kind in KINDS]
    drawn.shuffle(kinds)
    texts = set[str]()
    while kinds:
        for kind in [*kinds]:
            question = next((one for one in kind if one.text not in texts), None)
            if question is None:
                kinds.remove(kind)
            else:
                texts.add(question.text)
                yield question


def material(
    kata: Kata, exercise: Exercise, job: Job, drawn: random.Random, mistakes: Sequence[planting.Version] | None = None
) -> Material:
    """Run the code, changes of it and other ways to write it.

    Args:
        job: the kata's code, which works, on that of the earlier katas.
        mistakes: other ones than those that are recorded, to plant first.
    """
    mistakes = recorded.mistakes(kata) if mistakes is None else mistakes
    text = job.files[kata.file]
    source = Source(text)
    lines, stub = planting.span(source, exercise), stubs.stub_of(kata) or ""
    whole = planting.span(source, replace(exercise, name=exercise.owner))
    [base] = runs.of([job_of(job, text, (exercise.spec_class,), whole)])
    passed = sorted((spec.seconds, name) for name, spec in base.specs.items() if spec.status == "passed")
    until = accumulate(seconds for seconds, _ in passed)
    quick = tuple(name for (_, name), total in zip(passed, until, strict=True) if total <= QUICK)
    written = shown.calls(source, exercise, [base.calls[name] for name in quick if name in base.calls])
    calls = {}
    for call in drawn.sample(written, min(CALLS, len(written))):
        if all(found := outcomes(job, text, call, lines)):
            calls[call] = found
    changes = [one for one in planting.candidates(kata, exercise, text, mistakes, drawn) if _is_by_people(one)]
    others = mutation.generate(source, planting.within(source, harmless.edits(source), lines), stub)
    changes, others = changes[:CHANGES] if quick else [], drawn.sample(others, min(SAME, len(others)))
    both = [runs.of(job_of(job, one.source, quick, seed=seed) for one in changes) for seed in SEEDS]
    changed = [one for one in zip(changes, *both, strict=True) if all(map(_notices, one[1:]))]
    versions = [text, *(one.source for one in others)]
    options = RunOptions(only=(exercise.spec_class,), seed=SEEDS[1])
    every = [Job(kata, {**job.files, kata.file: one}, options=options) for one in versions]
    failing = [failures(run) for run in runs.of(every)]
    same = [one for one, failed in zip(others, failing[1:], strict=True) if failed == failing[0]]
    return Material(job, source, exercise, calls, changed, same, _suspects(kata, exercise))


def outcomes(job: Job, text: str, call: str, lines: range = range(0), seeds: Iterable[int] = SEEDS) -> list[list[Call]]:
    """What a call does with each seed: the call itself, then those of functions in these lines."""
    traced = (lines.start, lines.stop - 1) if lines else (0, 0)
    options = [RunOptions(asked=call, traced=traced, seed=seed) for seed in seeds]
    files = {**job.files, job.kata.file: text}
    return [run.calls.get("", []) for run in runs.of(Job(job.kata, files, options=one) for one in options)]


def failures(run: Run) -> set[str]:
    """The names of the specs that fail."""
    return {name for name, spec in run.specs.items() if spec.status not in ("passed", "skipped")}


def _notices(run: Run) -> bool:
    return any(spec.status == "failed" for spec in run.specs.values())


def _only_raises(run: Run) -> bool:
    return all(debugging.RAISED in spec.message for spec in run.specs.values() if spec.status == "failed")


def _is_by_people(change: Mutant) -> bool:
    """Tell if a person could write this change, and it can be told in one line."""
    if planting.is_by_people(change):
        return any(_parses(change.now + end) for end in ("", " pass"))
    return not NOT_BY_PEOPLE.search(change.operator)


def _parses(text: str) -> bool:
    try:
        return len(ast.parse(text).body) <= 1
    except SyntaxError:
        return False


def _suspects(kata: Kata, exercise: Exercise) -> list[str]:
    """The names of known wrong answers in the exercise's specs."""
    tree = ast.parse(kata.specs.read_text(encoding="utf-8"))
    [spec_class] = [node for node in tree.body if getattr(node, "name", "") == exercise.spec_class]
    dicts = [node for node in ast.walk(spec_class) if isinstance(node, ast.Dict)]
    keys = [key.value for node in dicts for key in node.keys if isinstance(key, ast.Constant)]
    return [key for key in keys if isinstance(key, str) and " " in key]


# What a call does.


def _shapes(found: Material, drawn: random.Random) -> Iterator[Question]:
    """The shape of a variable after a line, or of what is returned."""
    for call, what, value, about in _made(found, drawn):
        if value.shape is not None:
            known = {one.shape for _, _, one, _ in _made(found, drawn, call) if one.shape}
            text = f"`{call}` runs. Which shape has {what}?"
            yield from _question("shape", text, str(value.shape), _other_shapes(value.shape, known), drawn, about)


def _other_shapes(shape: tuple[int, ...], known: set[tuple[int, ...]]) -> list[str]:
    """Shapes that a value might have had: axes in another order, one lost or added, and those of other variables."""
    found = {*permutations(shape)} if len(shape) < 5 else set()
    found |= {shape[:i] + shape[i + 1 :] for i in range(len(shape))} | {(1, *shape), (*shape, 1)} | known
    return sorted(str(one) for one in found - {shape})


def _values(found: Material, drawn: random.Random) -> Iterator[Question]:
    """What a line makes or a call returns, if it is no tensor and can be told without a calculator."""
    for call, what, value, about in _made(found, drawn):
        plain = value.shape is None and value.text not in (value.kind, "None") and len(value.text) <= LONGEST
        if plain and not re.search(r"\d\.\d{4}|0x| object|of \d+:|…", value.text):
            wrong = _other_texts(value.text, [int(number) for number in re.findall(r"\b\d{1,4}\b", call)])
            yield from _question("value", f"`{call}` runs. What is {what}?", value.text, wrong, drawn, about)


def _other_texts(text: str, known: Sequence[int]) -> list[str]:
    """The text with one or two of its numbers replaced: by the next one, or by one of the call's."""
    parts = re.split(r"(?<![\w.])(\d{1,6}|True|False)(?![\w.])", text)
    choices = [[part] for part in parts]
    for place in range(1, len(parts), 2):
        part = parts[place]
        if part in ("True", "False"):
            choices[place] += [str(part == "False")]
        else:
            choices[place] += sorted({str(int(part) + 1), *map(str, known)} - {part})[:3]
    found = ["".join(one) for one, _ in zip(product(*choices), range(200), strict=False)]
    return [one for one in found if one != text]


def _times(found: Material, drawn: random.Random) -> Iterator[Question]:
    """How often a statement in a loop runs."""
    loops = [node for node in ast.walk(found.source.tree) if isinstance(node, (ast.For, ast.While))]
    inside = {part.lineno for loop in loops for part in ast.walk(loop) if _is_simple(part)}
    for call, seeds in _shuffled(found.calls.items(), drawn):
        one, other = ({step.line: step.times for step in _own(found, calls)} for calls in seeds)
        numbers = [*map(int, re.findall(r"\b\d{1,4}\b", call)), *one.values()]
        for line, times in one.items():
            if line in inside and times > 1 and other.get(line) == times:
                wrong = {str(number) for number in [*numbers, times - 1, times + 1] if number not in (0, times)}
                text = f"`{call}` runs. How often does line {line} run?"
                yield from _question("times", text, str(times), sorted(wrong), drawn, Subject((call,), (), line))


def _is_simple(node: ast.AST) -> TypeGuard[ast.stmt]:
    return isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr)) and node.lineno == node.end_lineno


def _made(found: Material, drawn: random.Random, only: str = "") -> Iterator[tuple[str, str, Value, Subject]]:
    """What a call's lines made when they ran first, and what it returned; where both seeds agree."""
    for call, seeds in _shuffled(found.calls.items(), drawn):
        if only and call != only or any(calls[0].raised for calls in seeds):
            continue
        one, other = (
            {(step.line, name): (step, made) for step in _own(found, calls) for name, made in step.first.items()}
            for calls in seeds
        )
        places = [(place, *one[place]) for place in one.keys() & other.keys() if place[1] != "_"]
        for (line, name), step, made in sorted(places, key=lambda place: place[0]):
            if (made.shape, made.kind) == (other[line, name][1].shape, other[line, name][1].kind):
                if made.shape is not None or made.text == other[line, name][1].text:
                    when = f"after line {line}" if step.times == 1 else f"when line {line} has run for the first time"
                    yield call, f"`{name}` {when}", made, Subject((call,), (), line, name)
        results = [calls[0].returned for calls in seeds]
        if (first := results[0]) and results[1] and (first.shape, first.text) == (results[1].shape, results[1].text):
            yield call, "its result", first, Subject((call,))


def _own(found: Material, calls: list[Call]) -> list[followed.Step]:
    """The steps of the exercise's function in what a call did."""
    name = found.exercise.name.rpartition(".")[2]
    named = [call for call in calls[1:] if call.name == name] or calls[-1:]
    return named[0].steps if len(calls) > 1 else []


# What a change does.


def _outcomes(found: Material, drawn: random.Random) -> Iterator[Question]:
    """What comes of a call after a change."""
    for change, *_ in found.changed:
        for call, seeds in _shuffled(found.calls.items(), drawn)[:1]:
            now = outcomes(found.job, change.source, call)
            what = {outcome(before[:1], after[:1]) for before, after in zip(seeds, now, strict=True)}
            right = what.pop() if len(what) == 1 else ""
            if right and (right != OUTCOMES[0] or drawn.random() < 0.5):  # what is left as it is would be too many
                about = Subject((call,), (change.source,))
                text = f"{_capital(_change(change))}. What comes of `{call}`?"
                yield from _question("outcome", text, right, [one for one in OUTCOMES if one != right], drawn, about)


def outcome(before: list[Call], after: list[Call]) -> str:
    """What has become of a result that is a tensor; empty if that cannot be said."""
    if not before or not after or before[0].raised or not before[0].returned or before[0].returned.shape is None:
        return ""
    one, other = before[0].returned, after[0].returned
    if after[0].raised:
        return OUTCOMES[3]
    if other is None or other.shape is None:
        return ""
    if one.shape != other.shape:
        return OUTCOMES[2]
    return OUTCOMES[0] if followed.same(one, other) else OUTCOMES[1]


def _seconds(found: Material, drawn: random.Random) -> Iterator[Question]:
    """What comes of the same call once more."""
    for call, seeds in _shuffled(found.calls.items(), drawn):
        given, once = shown.once(call)
        again = f"[{', '.join(f'({name} := {held})' for name, held in given.items())}, {once}, {once}][-1]"
        now = outcomes(found.job, found.job.files[found.job.kata.file], again)
        what = {outcome(before[:1], after[:1]) for before, after in zip(seeds, now, strict=True)}
        right = what.pop() if len(what) == 1 else ""
        if right and (right != OUTCOMES[0] or drawn.random() < 0.2):  # what most calls come to
            where = " on one object" if shown.MADE in given else ""
            text = f"`{call}` runs twice{where}, with the very same arguments. What comes of the second call?"
            wrong = [one for one in OUTCOMES if one != right]
            yield from _question("second", text, right, wrong, drawn, Subject((call,)))


def _holds(found: Material, drawn: random.Random) -> Iterator[Question]:
    """How many tensors a layer holds whose parts are PyTorch's."""
    layers = dict.fromkeys(shown.once(call)[0].get(shown.MADE, call) for call in found.calls)
    for layer in _shuffled(layers, drawn):
        parts = "all(type(part).__module__.startswith('torch.') for part in [*layer.modules()][1:])"
        asked = f"(lambda layer: len(layer.state_dict()) if {parts} else 0)({layer})"
        [[held]] = outcomes(found.job, found.job.files[found.job.kata.file], asked, seeds=SEEDS[:1])
        if held.returned and (number := int(held.returned.text)):
            wrong = {str(other) for other in (number - 1, number + 1, number // 2, 2 * number) if other != number}
            text = f"`{layer}` is built. How many tensors has its state_dict?"
            yield from _question("holds", text, str(number), sorted(wrong), drawn, Subject((layer,)))


def _inputs(found: Material, drawn: random.Random) -> Iterator[Question]:
    """Which call tells the code from a version with a change."""
    for change, *_ in found.changed if len(found.calls) >= LEAST else []:
        differs = {}
        for call, seeds in found.calls.items():
            differs[call] = _differing(seeds, outcomes(found.job, change.source, call))
            if len(differs[call]) == 1 and "rand" in call:
                text = found.job.files[found.job.kata.file]
                both = (outcomes(found.job, version, call, seeds=MORE_SEEDS) for version in (text, change.source))
                differs[call] |= _differing(*both)
        right = [call for call, how in differs.items() if how == {True}]
        wrong = [call for call, how in differs.items() if how == {False}]
        if right:
            text = f"{_capital(_change(change))}. Which call comes to something else?"
            for question in _question("input", text, drawn.choice(right), wrong, drawn):
                about = Subject(question.options, (change.source,))
                yield replace(question, options=tuple(f"`{call}`" for call in question.options), about=about)


def _differing(before: list[list[Call]], after: list[list[Call]]) -> set[bool]:
    """Whether a call came to something else with each of some seeds: one answer, or both."""
    return {bool(a and b) and not followed.same_outcome(a[0], b[0]) for a, b in zip(before, after, strict=True)}


def _harmless(found: Material, drawn: random.Random) -> Iterator[Question]:
    """Which change leaves everything as it is; beside it, changes that give something else rather than an error."""
    noticed = {_change(one): one.source for one, *_ in found.changed}
    raising = {_change(one): all(map(_only_raises, both)) for one, *both in found.changed}
    for one in found.same:
        text, right = "Which of these changes makes no difference?", _change(one)
        wrong = sorted({*noticed} - {right}, key=lambda it: (raising[it], abs(len(it) - len(right)), it))[:MOST]
        for question in _question("harmless", text, right, wrong, drawn):
            sources = noticed | {right: one.source}
            yield replace(question, about=Subject((), tuple(sources[option] for option in question.options)))


def _causes(found: Material, drawn: random.Random) -> Iterator[Question]:
    """As what a failing spec recognises a change."""
    for change, *both in found.changed:
        if (right := cause(*both)) in found.suspects:
            if cause(*runs.of([job_of(found.job, change.source, (found.exercise.spec_class,))])) != right:
                continue  # a slower spec names another one
            text = f"{_capital(_change(change))}. Which of these does it come to?"
            yield from _question("cause", text, right, found.suspects, drawn, Subject((), (change.source,)))


def cause(*both: Run) -> str:
    """The one cause that the failing specs name, with either seed."""
    failed = [spec.message for run in both for spec in run.specs.values() if spec.status == "failed"]
    causes = {" ".join(one[1].split()) for text in failed for one in debugging.LOOKS_LIKE.finditer(text)}
    return causes.pop() if len(causes) == 1 else ""


KINDS = (_shapes, _values, _times, _outcomes, _seconds, _holds, _inputs, _harmless, _causes)


def _change(mutant: Mutant) -> str:
    if mutant.operator == harmless.LINES:
        return f"lines {mutant.line} and {mutant.line + 1} change places"
    if mutant.now in ("", "pass"):
        return f"line {mutant.line} is left out: `{mutant.was}`"
    return f"line {mutant.line} becomes `{mutant.now}`"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shuffled(items: Iterable, drawn: random.Random) -> list:
    found = [*items]
    return drawn.sample(found, len(found))


def _question(
    kind: str, text: str, right: str, wrong: Sequence[str], drawn: random.Random, about: Subject = Subject()
) -> Iterator[Question]:
    """The question with some of the wrong answers, in a drawn order; none if there are too few of them."""
    others = sorted({*wrong} - {right})
    if len(others) < LEAST - 1:
        return
    options = [right, *drawn.sample(others, min(len(others), MOST - 1))]
    drawn.shuffle(options)
    yield Question(kind, text, tuple(options), options.index(right), about)


def job_of(job: Job, text: str, specs: tuple[str, ...], traced: range = range(0), seed: int = SEEDS[0]) -> Job:
    """A run of these specs of a kata's point on this text, in which functions in these lines are followed."""
    lines = (traced.start, traced.stop - 1) if traced else (0, 0)
    options = RunOptions(ideas=True, only=specs, seed=seed, traced=lines)
    return Job(job.kata, {**job.files, job.kata.file: text}, options=options)
