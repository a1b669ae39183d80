"""Specs of a kata that judge from another process, too: `sealed.toml` of its author,
found by trying, not by hand.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass

from grader.course.catalogue import Kata
from grader.course.handouts import PROBES, SEALED

PROBE = re.compile(r'^@probe\("([\w.]+)"\)', re.MULTILINE)
HEAD = (
    "# Specs of the point that also judge from another process, found by running them "
    "there: `make seals`.\n"
)


@dataclass(frozen=True)
class Sealed:
    """Names of specs, with their parameters or for all of these without."""

    specs: frozenset[str] = frozenset()
    # those in which the code may write to what it gets
    writing: frozenset[str] = frozenset()

    def __contains__(self, spec: str) -> bool:
        return spec in self.specs or spec.partition("[")[0] in self.specs

    def writes(self, spec: str) -> bool:
        """Tell if the code may write to tensors of this spec."""
        return spec in self.writing or spec.partition("[")[0] in self.writing


def read(kata: Kata) -> Sealed:
    """The kata's list. Without the file it is empty."""
    path = kata.author / SEALED
    if not path.is_file():
        return Sealed()
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    return Sealed(frozenset(found["specs"]), frozenset(found["writing"]))


def probes(kata: Kata) -> str:
    """The text of the kata's `probes.py`; empty if it has none, or no reference to
    compare with.
    """
    path = kata.author / PROBES
    return (
        path.read_text(encoding="utf-8")
        if path.is_file() and kata.reference.is_file()
        else ""
    )


def probed(kata: Kata) -> list[str]:
    """The exercises that have a probe."""
    return PROBE.findall(probes(kata))


def probe_name(exercise: str) -> str:
    """The name of a probe among specs."""
    return f"probe of {exercise}"


def rendered(specs: Iterable[str], writing: Iterable[str]) -> str:
    """The text of a kata's list."""
    lists = (("specs", specs), ("writing", writing))
    parts = [
        f"{title} = [\n" + "".join(f"    {_quoted(name)},\n" for name in names) + "]\n"
        for title, names in lists
    ]
    return HEAD + "".join(parts)


def _quoted(name: str) -> str:
    return (
        f"'{name}'"
        if "'" not in name
        else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
