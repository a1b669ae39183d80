"""Wrong solutions of a kata on record, and mutants on record as equivalent: its
author/mistakes.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """A wrong solution: the reference with `was`, which occurs in it exactly once,
    replaced by `now`.

    `caught_by` names a spec that must fail on it: "test_name", or
    "TestClass::test_name" where classes share the name. `says` are words that this
    failure alone tells the learner: not of the spec's docstring, which each one shows.
    With `edge`, the spec decides the star only.
    """

    name: str
    was: str
    now: str
    caught_by: str
    says: str = ""
    edge: bool = False


@dataclass(frozen=True)
class Equivalent:
    """A generated mutant that no spec can catch, by its difference as `make mutants`
    shows it, and the reason.

    They are listed as EQUIVALENT beside the MISTAKES.
    """

    was: str
    now: str
    reason: str
    # a mutant of the textbook solution, by `kata mutants --ends`
    textbook: bool = False
