"""Finds the specs that nothing loses, which may ask for nothing: `kata mutants --idle 16`.

Tried are the textbook solution, the recorded mistakes, and mutants of the reference. A spec is lost where one of its
checks fails: code that crashes fails a spec without any check, too.
"""

from collections.abc import Iterator, Mapping

from grader.course.catalogue import Kata
from grader.protocol import RunOptions
from grader.results import SpecResult
from grader.workers import forkserver
from workshop import mutants, variants
from workshop.mutants import Way

Try = tuple[str, str]  # the text of a kata's file, and the class of an exercise's specs that it meets


def report(katas: list[Kata]) -> int:
    """Print the idle specs of these katas. Returns 1 if there are any."""
    forkserver.prepare(katas)
    code = 0
    for kata in katas:
        found = idle(kata)
        for spec in found:
            print(f"{kata.specs.name}:{spec.line}  nothing loses {spec.name}")
        print(f"{kata.name}: {len(found)} specs idle, {sum(spec.edge for spec in found)} of them edges", flush=True)
        code = max(code, int(bool(found)))
    return code


def idle(kata: Kata) -> list[SpecResult]:
    """The specs that nothing loses. One with parameters is lost with any of these."""
    right = variants.specs(mutants.of_the_right_code(kata, Way.IDLE))
    named = {mistake.caught_by for mistake in variants.mistakes(kata)}
    open_ = {_bare(spec): spec for spec in right if spec.status == "passed" and not named & variants.names(spec.name)}
    tries = _tries(kata)
    for _, failing in mutants.run(kata, _asked(tries, open_), len(tries)):
        for spec in failing:
            if spec.failure and spec.failure.kind == "mismatch":
                open_.pop(_bare(spec), None)
    return list(open_.values())


def _tries(kata: Kata) -> list[Try]:
    """What is tried, the likeliest to lose a spec first: an exercise by changes of its own before those of others."""
    reference = Way.IDLE.code(kata)
    changes = [(Way.TEXTBOOK.code(kata), set(kata.owners))]
    changes += [
        (reference.replace(mistake.was, mistake.now), variants.written(reference, mistake))
        for mistake in variants.mistakes(kata)
        if mistake.was in reference
    ]
    changes += [(mutant.source, {mutant.definition}) for mutant in mutants.generate(kata, Way.IDLE)]
    owner = {exercise.spec_class: exercise.owner for exercise in kata.exercises}
    tries = [
        (owner[met] not in changed, source, met)
        for source, changed in changes
        for met in variants.exercises_with(kata, reference, changed)
    ]
    return [(source, met) for _, source, met in sorted(tries, key=lambda one: one[0])]


def _asked(tries: list[Try], open_: Mapping[str, SpecResult]) -> Iterator[tuple[Try, str, RunOptions]]:
    """Each try with those of its specs that nothing has lost when its turn comes."""
    for one in tries:
        if met := {name: spec for name, spec in open_.items() if name.startswith(f"{one[1]}::")}:
            yield one, one[0], RunOptions(only=tuple(met), spec_seconds=mutants.limit([*met.values()]))


def _bare(spec: SpecResult) -> str:
    return spec.name.partition("[")[0]
