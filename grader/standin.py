"""Which code stands for the earlier katas that one builds on: the learner's where its core passes, else the reference."""

from dataclasses import dataclass, field
from pathlib import Path

from grader import loading, runner, stubs
from grader.catalogue import Kata
from grader.loading import LoadFailure
from grader.verdicts import Verdicts


@dataclass
class Choice:
    """For each earlier kata the code folder to take it from, and a sentence for each about which one it is."""

    sources: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def choose(kata: Kata, code: Path, *, itself: bool = False) -> Choice:
    """Decide for all that `kata` builds on (and for the kata itself, if asked) by running core specs where needed.

    Raises:
        LoadFailure: the learner's code does not pass and there is no reference; says which kata to finish first.
    """
    choice = Choice()
    solutions = kata.root / "solutions"
    order = runner.with_prerequisites([kata])
    for earlier in order if itself else order[:-1]:
        if solutions.is_dir() and code.resolve() == solutions.resolve():
            choice.sources[earlier.name] = solutions
            continue
        reason = why_not(earlier, code)
        if not reason:
            choice.sources[earlier.name] = code
            choice.notes.append(f"{earlier.name}: your own code, its core specs pass")
        elif earlier.reference.is_file():
            choice.sources[earlier.name] = solutions
            choice.notes.append(f"{earlier.name}: the reference stands in for yours ({reason})")
        else:
            raise LoadFailure(f"finish {earlier.name} first: {reason}")
    return choice


def why_not(kata: Kata, code: Path) -> str:
    """Why this code does not pass the kata's core specs, in one line; empty where it does. Verdicts are remembered."""
    try:
        source = loading.read_source(code / kata.file)
    except LoadFailure as failure:
        return str(failure)
    if unwritten := [e.name for e in stubs.unwritten(kata, source) if not e.stretch]:
        return f"{unwritten[0]}: not written yet"
    [result] = runner.grade([kata], code, core=True, kept=Verdicts(kata.root))
    return runner.why_not_core(result)
