"""The judge of the second lock: it runs specs and probes here, and the code that they
ask is in another process.
"""

import contextlib
import functools
import itertools
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from typing import Any
from unittest import mock

import cloudpickle  # type: ignore[import-untyped]
import pytest
import torch

from grader.course import kata_modules, packages
from grader.course.catalogue import with_prerequisites
from grader.errors import LoadFailure
from grader.failure import Failure
from grader.lock import lists, probes, values
from grader.lock.known import Lost
from grader.lock.remote import Remote
from grader.protocol import LONGEST_TEXT, Loaded, SpecFinished, SpecStarted, WorkOrder
from grader.specs import check, ranks
from grader.specs.properties import draw_examples
from grader.workers.spec_worker import Reporter, name_of

# of a property: the first lock looks for rare mistakes, this one for code that computes
# its answers
MOST_EXAMPLES = 8
LARGEST_SINGLE = torch.finfo(torch.float32).max


class Judge:
    """Runs an order's specs and probes against the code at the other end of
    its pipe.
    """

    def __init__(self, order: WorkOrder):
        self.order = order
        # the modules of the kata's package that specs may import
        self.siblings = packages.siblings(order.kata)
        self.probes = lists.probes(order.kata) if order.probes else ""
        self.reference = (
            kata_modules.load(order.kata, order.kata.solutions)
            if order.probes
            else None
        )

    def __call__(self, items: list[pytest.Function], reporter: Reporter) -> None:
        """Run the specs, then the probes. Each ends with its verdict; where the code is
        lost, the rest has none.
        """
        order, kata = self.order, self.order.kata
        assert order.pipe
        own = {exercise.owner for exercise in kata.exercises}
        operators = {
            name
            for one in with_prerequisites([kata])
            for name in one.description.operators
        }
        self.remote = Remote(order.pipe.fileno(), own, operators)
        if self.remote.lost:
            # this is not the code's doing, and no verdict
            raise Lost("before it had any code")
        reporter.code_is_lost = lambda: self.remote.lost
        reporter.katas.modules[kata] = self.remote.modules[""]
        for module in {item.module for item in items}:
            # collecting another tree has removed it
            sys.modules[module.__name__] = module
            cloudpickle.register_pickle_by_value(module)
        cloudpickle.register_pickle_by_value(ranks)
        # before the code is there, which could change or read what the reference writes
        with tempfile.TemporaryDirectory(dir=".") as folder, contextlib.chdir(folder):
            expected = {name: self._expected(name) for name in order.probes}
        if self.siblings:
            self.remote.name(kata.folder.parent.name, self.siblings)
        self.remote.serve()
        try:
            self.remote("load", own)
        except Exception as error:  # every spec fails with this
            reporter.katas.modules[kata] = failure = LoadFailure(
                f"{kata.file.name}: {error}", "import failed"
            )
            failure.__cause__ = error
        is_loaded = not self.remote.lost
        reporter.send(Loaded())
        with mock.patch.multiple(
            check,
            forbidden=functools.partial(_noted, reporter),
            repeated=self.remote.repeated,
        ):
            for item, following in itertools.zip_longest(items, items[1:]):
                draw_examples(item, order.options.seed, MOST_EXAMPLES)
                self.remote.begin(takes_writes=name_of(item) in order.writing)
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
                if is_loaded and self.remote.lost:
                    return
        for exercise in order.probes:
            if self.remote.lost:
                return
            self._probe(exercise, expected[exercise], reporter)

    def _expected(self, exercise: str) -> Any:
        """What the exercise's probe returns on the reference."""
        assert self.reference
        packages.enter(self.reference)
        seed = self.order.options.seed
        return values.plain(probes.run(self.probes, exercise, self.reference, seed))

    def _probe(self, exercise: str, expected: Any, reporter: Reporter) -> None:
        """Have a probe run beside the code, and compare what it returns."""
        name, seed = lists.probe_name(exercise), self.order.options.seed
        reporter.send(SpecStarted(name))
        failed, began = None, time.monotonic()
        self.remote.begin()
        try:
            got = self.remote.plain("probe", self.probes, exercise, seed)
            compare(got, expected, probes.second_half(self.probes, exercise))
        except check.Mismatch as error:
            failed = Failure("mismatch", str(error), error=type(error).__name__)
        except Exception as error:
            said = "".join(traceback.format_exception_only(error)).strip()
            failed = Failure("raised", said, error=type(error).__name__)
        failed = failed and failed.each(lambda text: text[:LONGEST_TEXT])
        reporter.send(
            SpecFinished(
                name, "failed" if failed else "passed", time.monotonic() - began, failed
            )
        )


def compare(got: Any, expected: Any, second_half: probes.Judge | None) -> None:
    """Compare what a probe returned with what it returned on the reference.

    Raises:
        check.Mismatch: they differ, or what the second half makes of them.
    """
    if second_half:
        check.equal(probes.form(got), probes.form(expected))
        got, expected = second_half(got, expected), second_half(expected, expected)
    check.close(_singles(got, expected), _singles(expected, got))


def _singles(value: Any, other: Any) -> Any:
    """The value with float32 tensors where both sides have Python's floats, for their
    tolerance: `item` makes one of either precision.
    """
    match value, other:
        case dict(), dict():
            return {key: _singles(part, other.get(key)) for key, part in value.items()}
        case list() | tuple(), list() | tuple():
            others = itertools.chain(other, itertools.repeat(None))
            return type(value)(map(_singles, value, others))
        case float(), float() if max(abs(value), abs(other)) < LARGEST_SINGLE:
            return torch.tensor(value, dtype=torch.float32)
    return value


@contextlib.contextmanager
def _noted(reporter: Reporter, *_: Any) -> Iterator[None]:
    """Stand for `check.forbidden`: nothing can be forbidden in another process, and the
    report says so.
    """
    reporter.bans = True
    yield
