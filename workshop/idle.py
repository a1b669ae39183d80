"""Finds the specs that nothing loses, which may ask for nothing:
`kata mutants --idle 16`.

Tried are the textbook solution, the recorded mistakes, mutants of the reference, the
reference with calls of what a spec forbids, and mutants of the accepted solutions. A
spec is lost where one of its checks fails. A crash counts where another of the
exercise's first specs passes: code that crashes everywhere fails a spec without any
check, too.
"""

import ast
import contextlib
from collections.abc import Iterator, Mapping

from grader.course.catalogue import Kata
from grader.protocol import RunOptions
from grader.results import SpecResult
from grader.workers import forkserver
from workshop import mutants, variants
from workshop.mutants import Way

# the text of a kata's file, and the class of an exercise's specs that it meets
Try = tuple[str, str]
FIRST = 2  # specs of an exercise that are asked beside each that is open
CALL = (
    "with __import__('contextlib').suppress(TypeError, ValueError): "
    "__import__('{}').{}()"
)


def report(katas: list[Kata]) -> int:
    """Print the idle specs of these katas. Returns 1 if there are any."""
    forkserver.prepare(katas)
    code = 0
    for kata in katas:
        found = idle(kata)
        for spec in found:
            print(f"{kata.specs.name}:{spec.line}  nothing loses {spec.name}")
        print(
            f"{kata.name}: {len(found)} specs idle, "
            f"{sum(spec.edge for spec in found)} of them edges",
            flush=True,
        )
        code = max(code, int(bool(found)))
    return code


def idle(kata: Kata) -> list[SpecResult]:
    """The specs that nothing loses. One with parameters, or in several classes, is lost
    in any of these.
    """
    right = variants.specs(mutants.of_the_right_code(kata, Way.IDLE))
    named = {mistake.caught_by for mistake in variants.mistakes(kata)}
    lost = {spec.line for spec in right if named & variants.names(spec.name)}
    open_ = {
        _bare(spec): spec
        for spec in right
        if spec.status == "passed" and spec.line not in lost
    }
    first = {
        met: [
            *dict.fromkeys(
                _bare(spec) for spec in right if _class(spec) == met and not spec.edge
            )
        ][:FIRST]
        for met in map(_class, right)
    }
    for (_, met), failing in mutants.run(
        kata, _asked(_tries(kata), open_, first), None
    ):
        works = {*first[met]} - {*map(_bare, failing)}
        for spec in failing:
            if spec.failure and (
                spec.failure.kind == "mismatch"
                or spec.failure.kind == "raised"
                and works
            ):
                for name in [
                    name for name, one in open_.items() if one.line == spec.line
                ]:
                    del open_[name]
    return list(open_.values())


def _tries(kata: Kata) -> Iterator[Try]:
    """What is tried, the likeliest to lose a spec first: an exercise by changes of its
    own before those of others.
    """
    reference = Way.IDLE.code(kata)
    changes = [(Way.TEXTBOOK.code(kata), set(kata.owners))]
    changes += [
        (
            reference.replace(mistake.was, mistake.now),
            variants.written(reference, mistake),
        )
        for mistake in variants.mistakes(kata)
        if mistake.was in reference
    ]
    changes += [
        (mutant.source, {mutant.definition})
        for mutant in mutants.generate(kata, Way.IDLE)
    ]
    owner = {exercise.spec_class: exercise.owner for exercise in kata.exercises}
    tries = [
        (owner[met] not in changed, source, met)
        for source, changed in changes
        for met in variants.exercises_with(kata, reference, changed)
    ]
    yield from (
        (source, met) for _, source, met in sorted(tries, key=lambda one: one[0])
    )
    yield from (
        (_calling(reference, name), met)
        for name in {*_forbidden(kata)}
        for met in owner
    )
    for path in kata.accepted:
        accepted = path.read_text(encoding="utf-8")
        both = f"{reference}\n\n{accepted}"
        for mutant in mutants.of_text(accepted, Way.IDLE, ""):
            for met in variants.exercises_with(kata, both, {mutant.definition}):
                yield f"{reference}\n\n{mutant.source}", met


def _forbidden(kata: Kata) -> Iterator[str]:
    """The first name of each list that specs forbid."""
    tree = ast.parse(kata.specs.read_text(encoding="utf-8"))
    for spec in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for call in ast.walk(spec):
            if (
                isinstance(call, ast.Call)
                and ast.unparse(call.func) == "check.forbidden"
            ):
                known: dict[str, object] = {}
                for given in (
                    node
                    for node in [*tree.body, *spec.body]
                    if isinstance(node, ast.Assign)
                ):
                    # it needs more than assignments of plain values
                    with contextlib.suppress(Exception):
                        exec(ast.unparse(given), known)
                yield eval(f"[{', '.join(map(ast.unparse, call.args[1:]))}]", known)[0]


def _calling(reference: str, name: str) -> str:
    """The reference, each of whose functions first calls this name."""
    tree = ast.parse(reference)
    package, _, rest = name.partition(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body[:0] = ast.parse(CALL.format(package, rest)).body
    return ast.unparse(tree)


def _asked(
    tries: Iterator[Try],
    open_: Mapping[str, SpecResult],
    first: Mapping[str, list[str]],
) -> Iterator[tuple[Try, str, RunOptions]]:
    """Each try with those of its specs that nothing has lost when its turn comes, and
    the first of the class.
    """
    for one in tries:
        if not open_:
            return
        if met := [spec for spec in open_.values() if _class(spec) == one[1]]:
            only = tuple(dict.fromkeys([*map(_bare, met), *first[one[1]]]))
            yield one, one[0], RunOptions(only=only, spec_seconds=mutants.limit(met))


def _bare(spec: SpecResult) -> str:
    return spec.name.partition("[")[0]


def _class(spec: SpecResult) -> str:
    return spec.name.partition("::")[0]
