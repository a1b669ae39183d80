"""Measures how well a kata's specs catch generated mutants: `kata mutants 16`."""

import importlib.util
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.mistakes import Equivalent
from grader.errors import KataError
from grader.execution import scheduler
from grader.protocol import RunOptions
from grader.results import KataResult, SpecResult
from grader.workers import forkserver
from grader.workers.jobs import Job
from workshop import mutation, operators, variants
from workshop.mutation import Mutant
from workshop.operators import Edit, Source

Tried = TypeVar("Tried")
# longer over one spec is a hang; or five times the slowest on the right code, if that
# is more
SPEC_SECONDS = 5.0
SLOW = 0.5  # seconds of a spec that is run after all quicker ones


class Trouble(KataError):
    """Nothing can be said about a kata's specs."""


class NoEngine(KataError):
    """cosmic-ray is not installed."""


class Way(Enum):
    """Whose mutants meet which specs, and the per cent that must be caught of those
    that are not equivalent.

    Mutants of the reference meet all specs, those of the textbook solution the specs of
    points. Where its numbers and comparisons alone are mutated, they meet the specs of
    their own exercise.
    """

    REFERENCE = "reference", operators.OPERATORS, 95.0
    TEXTBOOK = "textbook", operators.OPERATORS, 90.0
    ENDS = "textbook", operators.ENDS, 90.0
    # for `idle`, about each spec
    IDLE = "reference", [*operators.OPERATORS, *operators.ENDS, *operators.HABITS], 0.0

    def __init__(self, whose: str, ours: list[operators.Operator], enough: float):
        self.whose, self.ours, self.enough = whose, ours, enough

    def code(self, kata: Kata) -> str:
        path: Path = getattr(kata, self.whose)
        if not path.is_file():
            raise Trouble(f"{kata.name}: {path.relative_to(kata.root)} is missing")
        return path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Outcome:
    """The fate of one kata's mutants: each is killed, or on record as equivalent, or
    a survivor.
    """

    killed: int
    equivalent: int
    survivors: tuple[Mutant, ...]
    wrong_records: tuple[str, ...]
    seconds: float


def report(
    katas: list[Kata], way: Way = Way.REFERENCE, *, briefly: bool = False
) -> int:
    """Measure these katas and print each one's survivors, or briefly a line per kata
    and a total.

    Returns 1 if too many mutants survive, and 2 if a kata could not be measured.
    """
    forkserver.prepare(katas)
    if briefly:
        return _in_lines(katas, way)
    return max(_one_kata(kata, way) for kata in katas)


def show(katas: list[Kata], way: Way = Way.REFERENCE) -> None:
    """Print the mutants of these katas without running them."""
    for kata in katas:
        mutants = generate(kata, way)
        for mutant in mutants:
            print(_shown(kata, mutant))
        print(f"{kata.name}: {len(mutants)} mutants")


def measure(kata: Kata, way: Way = Way.REFERENCE) -> Outcome:
    """Run the kata's specs against every mutant.

    Raises:
        Trouble: the file is missing or does not pass the specs, or the specs are
            being edited.
        NoEngine: the mutation engine is not installed.
    """
    started, specs = time.monotonic(), kata.specs.read_bytes()
    mutants, right = generate(kata, way), of_the_right_code(kata, way)
    failed = dict(run(kata, _first_failures(kata, mutants, right, way), len(mutants)))
    if kata.specs.read_bytes() != specs:
        raise Trouble(f"{kata.specs.name} changed while the mutants ran")
    records = [
        r
        for r in variants.equivalents(kata)
        if way is Way.REFERENCE or r.textbook is (way is Way.ENDS)
    ]
    alive = {mutant for mutant in mutants if not failed.get(mutant)}
    return replace(
        sort_out(mutants, alive, records), seconds=time.monotonic() - started
    )


def sort_out(
    mutants: list[Mutant], alive: set[Mutant], records: Iterable[Equivalent]
) -> Outcome:
    """Tell survivors from the equivalent mutants on record, and find the records that
    are wrong.
    """
    known = [(record.was, record.now) for record in records]
    equivalent = {mutant for mutant in alive if (mutant.was, mutant.now) in known}
    there, confirmed = (
        {(mutant.was, mutant.now) for mutant in some} for some in (mutants, equivalent)
    )
    wrong = [
        f"stale record, no mutant is{_difference(*record)}"
        for record in known
        if record not in there
    ]
    wrong += [
        f"on record as equivalent, but killed:{_difference(*record)}"
        for record in known
        if record in there - confirmed
    ]
    survivors = tuple(mutant for mutant in mutants if mutant in alive - equivalent)
    return Outcome(
        len(mutants) - len(alive), len(equivalent), survivors, tuple(wrong), 0.0
    )


# Generating


def generate(kata: Kata, way: Way = Way.REFERENCE) -> list[Mutant]:
    """The mutants in the order of their lines: those that compile, each once."""
    return of_text(way.code(kata), way, stubs.stub_of(kata) or "")


def of_text(text: str, way: Way, stub: str) -> list[Mutant]:
    source = Source(text)
    edits = [
        *operators.edits(source, way.ours),
        *(() if way is Way.ENDS else general_edits(source)),
    ]
    return mutation.generate(source, edits, stub)


OTHER_OPERATORS = {
    "Add": "Sub Mul",
    "Sub": "Add Mul",
    "Mul": "Div Add",
    "Div": "Mul FloorDiv",
    "FloorDiv": "Div Mul",
    "Mod": "FloorDiv Add",
    "Pow": "Mul Add",
    "BitAnd": "BitOr BitXor",
    "BitOr": "BitAnd BitXor",
    "BitXor": "BitOr BitAnd",
    "LShift": "RShift",
    "RShift": "LShift",
}
OTHER_COMPARISONS = {
    "Eq": "NotEq GtE LtE",
    "NotEq": "Eq Gt Lt",
    "Lt": "LtE GtE",
    "LtE": "Lt Gt",
    "Gt": "GtE LtE",
    "GtE": "Gt Lt",
    "Is": "IsNot",
    "IsNot": "Is",
}
GENERAL = {
    **{
        f"ReplaceBinaryOperator_{a}_{b}": "another operator"
        for a, bs in OTHER_OPERATORS.items()
        for b in bs.split()
    },
    **{
        f"ReplaceComparisonOperator_{a}_{b}": "another comparison"
        for a, bs in OTHER_COMPARISONS.items()
        for b in bs.split()
    },
    "ReplaceUnaryOperator_Delete_USub": "dropped -",
    "ReplaceUnaryOperator_Delete_Invert": "dropped ~",
    "ReplaceUnaryOperator_Delete_Not": "dropped not",
    "ReplaceTrueWithFalse": "True → False",
    "ReplaceFalseWithTrue": "False → True",
    "ReplaceAndWithOr": "and → or",
    "ReplaceOrWithAnd": "or → and",
    "ReplaceBreakWithContinue": "break → continue",
    "ReplaceContinueWithBreak": "continue → break",
    "NumberReplacer": "another number",
    "RemoveDecorator": "dropped decorator",
    "ZeroIterationForLoop": "empty loop",
}  # of cosmic-ray's operators those that say something here


def general_edits(source: Source) -> Iterator[Edit]:
    """The edits of cosmic-ray's operators to a source. Operators write into their tree,
    so each gets a new one.
    """
    if not importlib.util.find_spec("cosmic_ray"):
        raise NoEngine(
            "mutants need cosmic-ray, of the extra `mutants`: pip install -e "
            "'.[mutants]'"
        )
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator

    operators = {name: get_operator(f"core/{name}")() for name in GENERAL}
    for first, last, _ in mutation.definitions(source.tree):
        text = source.text(source.lines[first - 1], source.lines[last])
        for place, node in enumerate(ast_nodes(get_ast(text))):
            for name, operator in operators.items():
                for index, _ in enumerate(
                    () if _is_noise(name, node) else operator.mutation_positions(node)
                ):
                    fresh = list(ast_nodes(get_ast(text)))[place]
                    (line, column), end = (
                        fresh.start_pos,
                        source.at(first - 1 + fresh.end_pos[0], fresh.end_pos[1]),
                    )
                    changed = operator.mutate(fresh, index)
                    now = (
                        changed.get_code(include_prefix=False).strip(" ")
                        if changed
                        else ""
                    )
                    yield Edit(
                        GENERAL[name],
                        source.at(first - 1 + line, column if now else 0),
                        end,
                        now,
                    )


def _is_noise(name: str, node: Any) -> bool:
    """An order of texts (`kind > "relu"`), or the lone * of a signature taken for
    a product.
    """
    if node.type == "comparison":
        return name.endswith(("Lt", "LtE", "Gt", "GtE")) and any(
            child.type == "string" for child in node.children
        )
    return node.parent is not None and node.parent.type in ("parameters", "lambdef")


# Running


def of_the_right_code(kata: Kata, way: Way) -> KataResult:
    """The result of the code before it is mutated, with the time that each
    spec takes.
    """
    [result] = variants.results([variants.job(kata, way.code(kata))]).values()
    for failing in variants.failing(result):
        if way.whose == "reference" or not failing.edge:
            raise Trouble(
                f"the {way.whose} of {kata.name} fails {failing.name}: mutants say "
                "nothing before that is mended"
            )
    if way.whose == "reference":
        return result
    ideas = [
        replace(e, specs=tuple(spec for spec in e.specs if not spec.edge))
        for e in result.exercises
    ]
    return replace(result, exercises=tuple(ideas))


def run(
    kata: Kata, asked: Iterable[tuple[Tried, str, RunOptions]], total: int | None
) -> Iterator[tuple[Tried, list[SpecResult]]]:
    """Each of these with the specs that fail on its text of the kata's file, as they
    are found.
    """
    by_job: dict[Job, Tried] = {}

    def jobs() -> Iterator[Job]:
        for one, source, options in asked:
            job = variants.job(kata, source, options)
            by_job[job] = one
            yield job

    bar = Progress(
        TextColumn(kata.name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        transient=True,
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        for job, result in bar.track(scheduler.run(jobs()), total=total):
            yield (
                by_job[job],
                [spec for spec in variants.failing(result) if spec.status != "missing"],
            )


def _first_failures(
    kata: Kata, mutants: list[Mutant], right: KataResult, way: Way
) -> Iterator[tuple[Mutant, str, RunOptions]]:
    """Ask all specs in this result about each mutant, or those of its exercise alone,
    until one fails.
    """
    for mutant in mutants:
        own = {
            e.name
            for e in kata.exercises
            if way is Way.ENDS and e.owner == mutant.definition
        }
        asked = tuple(one for one in right.exercises if not own or one.name in own)
        order = _soonest_failure(mutant, replace(right, exercises=asked))
        options = RunOptions(
            only=order,
            order=order,
            spec_seconds=limit(variants.specs(right)),
            stop_at_failure=True,
        )
        yield mutant, mutant.source, options


def limit(specs: list[SpecResult]) -> float:
    """The seconds after which one of these counts as hanging, by the time that each
    takes on the right code.
    """
    return max(SPEC_SECONDS, *(5 * spec.seconds for spec in specs))


def _soonest_failure(mutant: Mutant, right: KataResult) -> tuple[str, ...]:
    """The specs, most likely failures first: the quick ones, and among these the
    exercise's own.
    """
    specs = [
        (spec, exercise.name) for exercise in right.exercises for spec in exercise.specs
    ]
    specs.sort(key=lambda pair: (pair[0].seconds > SLOW, pair[1] != mutant.definition))
    return tuple(spec.name for spec, _ in specs)


# Showing


def _one_kata(kata: Kata, way: Way) -> int:
    outcome = measure(kata, way)
    survivors = [_shown(kata, mutant) for mutant in outcome.survivors]
    for line in [*survivors, *outcome.wrong_records, _summary(outcome)]:
        print(line, flush=True)
    return _exit_code(outcome, way)


def _in_lines(katas: list[Kata], way: Way) -> int:
    """One line per kata and a total. A kata that cannot be measured does not keep the
    others from it.
    """
    outcomes, code = [], 0
    width = max(len(kata.name) for kata in katas)
    for kata in katas:
        try:
            outcomes.append(measure(kata, way))
            print(f"{kata.name:<{width}}  {_summary(outcomes[-1])}", flush=True)
            code = max(code, _exit_code(outcomes[-1], way))
        except Trouble as trouble:
            print(f"{kata.name:<{width}}  {trouble}", flush=True)
            code = 2
    print(f"{'total':<{width}}  {_summary(*outcomes)}")
    return code


def _summary(*outcomes: Outcome) -> str:
    killed, equivalent = (
        sum(o.killed for o in outcomes),
        sum(o.equivalent for o in outcomes),
    )
    survivors, wrong = (
        sum(len(o.survivors) for o in outcomes),
        sum(len(o.wrong_records) for o in outcomes),
    )
    parts = [
        f"{killed + equivalent + survivors} mutants",
        f"{killed} killed ({_percent(killed, survivors):.1f} %)",
        f"{equivalent} equivalent on record",
        f"{survivors} survive",
        *([f"{wrong} wrong records"] if wrong else []),
        f"{sum(o.seconds for o in outcomes):.0f} s",
    ]
    return ", ".join(parts)


def _exit_code(outcome: Outcome, way: Way) -> int:
    return int(_percent(outcome.killed, len(outcome.survivors)) < way.enough)


def _percent(killed: int, survivors: int) -> float:
    return 100 * killed / ((killed + survivors) or 1)


def _shown(kata: Kata, mutant: Mutant) -> str:
    return (
        f"{kata.file.name}:{mutant.line}  "
        f"{mutant.operator}{_difference(mutant.was, mutant.now)}"
    )


def _difference(was: str, now: str) -> str:
    return f"   - {was}   + {now}".rstrip()
