"""The protocol between runner and worker: the work order, and the messages that the
worker sends back.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_origin

from grader import failure
from grader.course.catalogue import Kata
from grader.failure import Failure

LONGEST_TEXT = 20_000  # characters of a message's text


@dataclass(frozen=True)
class Follow:
    """Tell what the functions in these lines of the kata's file do, from the first to
    the last, in `Traced`.
    """

    first: int
    last: int


@dataclass(frozen=True)
class Evaluate:
    """Run no spec: tell the value of an expression in the kata's module as that of a
    call, and what it calls there.
    """

    expression: str
    lines: Follow | None = None


@dataclass(frozen=True)
class TrySuspects:
    """Tell what a failure would name if the code gave the answer of each suspect, in
    `SpecFinished.tried`.
    """


@dataclass(frozen=True)
class RunOptions:
    """Options for a run of a kata's specs: which, in which order and how."""

    core: bool = False  # leave out the stretch exercises
    ideas: bool = False  # leave out the edge specs
    short: bool = False  # leave out those with a time limit of their own, which train
    # classes, or specs with all their parameters: "test_name", "TestClass::test_name"
    only: tuple[str, ...] = ()
    order: tuple[str, ...] = ()  # names of specs or classes to run first, in this order
    backwards: bool = False
    seed: int = 0
    spec_seconds: float = 10.0
    stop_at_failure: bool = False
    sealed: bool = False  # exercises that work are judged again, from another process
    # a kata whose isolation is reduced on this machine is not graded
    require_isolation: bool = False
    # what is to be told beside verdicts
    also: Follow | Evaluate | TrySuspects | None = None


@dataclass(frozen=True)
class WorkOrder:
    """The order that a worker carries out."""

    kata: Kata
    # laid out like katas/: the code of this kata and of the earlier katas that it
    # builds on
    scratch: Path
    options: RunOptions
    environment: dict[str, str]
    skip: frozenset[str] = frozenset()  # specs that already have a verdict
    # to a worker that holds the code: the specs judge from outside
    pipe: Connection | None = None
    judge: str = ""  # the module with the Judge that asks at our end of this pipe
    probes: tuple[str, ...] = ()  # exercises whose probes run then, too
    # specs during which the code may write to what it gets from them
    writing: frozenset[str] = frozenset()
    apart: bool = False  # in namespaces of its own


@dataclass(frozen=True)
class SpecInfo:
    """A spec before it runs. An empty `skip_reason` means that the spec will run."""

    name: str
    exercise: str
    seconds: float  # time limit
    skip_reason: str
    edge: bool
    line: int  # of the spec file
    says: str  # what it asks for, in words
    file: str = ""  # below the kata's folder
    hidden: bool = False  # a teacher's own: students learn its verdict only
    guard: bool = False  # an edge that asks for an error


@dataclass(frozen=True)
class Collected:
    """The first message: every collected spec, in the order in which they will run.

    A non-empty `problem` says what is wrong with the teacher's own specs. Nothing is
    graded then.
    """

    specs: tuple[SpecInfo, ...]
    problem: str = ""


@dataclass(frozen=True)
class Loading:
    """The code under test is about to be imported."""


@dataclass(frozen=True)
class Loaded:
    """The code was imported, or `failure` says why not."""

    left_out: str = ""  # a line on each statement that failed
    # the first and last lines of those whose time was up
    slow: tuple[tuple[int, int], ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class SpecStarted:
    """A spec is about to run."""

    name: str


@dataclass(frozen=True)
class SpecFinished:
    """The outcome of one spec. `status` is pytest's: passed, failed or skipped."""

    name: str
    status: str
    seconds: float
    failure: Failure | None = None
    printed: str = ""
    bans: bool = False  # it forbids functions, which it cannot do in another process
    # what would be named for each suspect
    tried: dict[str, list[str]] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """The class of the exception that ended it."""
        return self.failure.error if self.failure else ""


@dataclass(frozen=True)
class Traced:
    """What the functions that are followed did during the spec that has
    just finished.
    """

    name: str
    calls: str  # JSON, as `grader.followed` writes it


@dataclass(frozen=True)
class Done:
    """The last message: every spec has run."""

    cpu_seconds: float


Message = Collected | Loading | Loaded | SpecStarted | SpecFinished | Traced | Done
KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (Collected, Loading, Loaded, SpecStarted, SpecFinished, Traced, Done)
}
Part = TypeVar("Part", bound=Message | SpecInfo)


def encode(message: Message) -> bytes:
    """A message as JSON: its kind and its fields."""
    return json.dumps([type(message).__name__, message], default=vars).encode()


def decode(data: bytes) -> Message:
    """Decode the output of `encode`.

    Raises:
        ValueError: the bytes are not a valid message.
    """
    try:
        kind, fields = json.loads(data)
        if kind != "Traced":  # its text is JSON, and `followed.read` takes it apart
            fields = _cut(fields)
        if kind == "Collected":
            fields |= {
                "specs": tuple(_made(SpecInfo, spec) for spec in fields["specs"])
            }
        if kind == "Loaded":
            fields |= {
                "slow": tuple((int(first), int(last)) for first, last in fields["slow"])
            }
        if "failure" in fields:
            fields |= {"failure": failure.made(fields["failure"])}
        return _made(KINDS[kind], fields)
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"not a message: {error}") from None


def _cut(tree: Any) -> Any:
    """The tree with each text cut at the length that workers cut it at: one that code
    speaks for may send more.
    """
    match tree:
        case str():
            return tree[:LONGEST_TEXT]
        case list():
            return [_cut(part) for part in tree]
        case dict():
            return {name: _cut(part) for name, part in tree.items()}
    return tree


def _made(kind: type[Part], fields: dict[str, Any]) -> Part:
    """An instance of a message's dataclass, with the type of every field checked."""
    made = kind(**fields)
    for one in dataclasses.fields(made):
        value = getattr(made, one.name)
        expected: Any = (
            (int, float) if one.type is float else get_origin(one.type) or one.type
        )
        expected = one.type if expected is UnionType else expected
        if not isinstance(value, expected) or (
            one.type is float and not 0 <= value < 1e6
        ):
            raise ValueError(f"{kind.__name__}.{one.name} is {value!r}")
    return made
