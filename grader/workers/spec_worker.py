"""A spec worker: one process that runs one kata's specs under limits and reports each
event to the runner.
"""

import inspect
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from multiprocessing.connection import Connection
from types import FrameType, ModuleType

import pytest

from grader import followed, protocol
from grader.course import kata_modules, statements
from grader.course.catalogue import Kata, with_prerequisites
from grader.errors import LoadFailure
from grader.failure import Failure
from grader.isolation import alarm, processes, sandbox, usage
from grader.protocol import (
    Collected,
    Done,
    Loaded,
    Loading,
    Message,
    SpecFinished,
    SpecInfo,
    SpecStarted,
    Traced,
)
from grader.specs import check, failures, kinds, plugin, tracing
from grader.specs.tracing import Tracer
from grader.workers import collected

LONGEST_TRACE = 150_000  # characters sent about the calls that are followed in one spec

Run = Callable[[list[pytest.Function], "Reporter"], None]  # has these specs run


def carry_out(
    order: protocol.WorkOrder,
    channel: Connection,
    prepared: Callable[[protocol.WorkOrder], Run] | None = None,
) -> None:
    """Carry out the order, send the messages of `grader.protocol`, and end
    this process.

    Args:
        prepared: what prepares the run, before the sandbox hides the reference. Without
            it, code and specs run here.
    """
    born = time.process_time()
    processes.die_with_parent()
    if hasattr(os, "setsid"):
        os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    os.chdir(order.scratch)
    os.environ.clear()
    os.environ.update(
        order.environment, HOME=str(order.scratch), TMPDIR=str(order.scratch)
    )
    tempfile.tempdir = None
    sys.dont_write_bytecode = True
    specs = collected.specs(order.kata)
    specs.session.config.option.seed = order.options.seed
    # reads and keeps their descriptions, which the sandbox hides
    with_prerequisites([order.kata])
    run = (prepared or Beside)(order)
    spent = time.process_time() - born
    scratch, shared = (None, order.scratch) if order.pipe else (order.scratch, None)
    needs, pipe = (
        order.kata.description.needs,
        order.pipe.fileno() if order.pipe else -1,
    )
    sandbox.enter(
        scratch, order.kata.specs, needs, shared=shared, pipe=pipe, apart=order.apart
    )
    # by the clock of this process, which may be another one now
    born = time.process_time() - spent
    items = [] if specs.problem else _chosen(order.options, specs.items)
    plugin.limit(items, order.options.spec_seconds)
    reporter = Reporter(specs.session.config, channel)
    reporter.katas.runs_again = False
    reporter.katas.waits_for_another = order.pipe is not None
    reporter.send(Collected(_described(order.kata, items), specs.problem))
    reporter.send(Loading())
    run(items, reporter)
    reporter.send(Done(time.process_time() - born))
    os._exit(0)


class Beside:
    """Runs specs beside the code, in this process."""

    def __init__(self, order: protocol.WorkOrder):
        self.order = order

    def __call__(self, items: list[pytest.Function], reporter: "Reporter") -> None:
        order = self.order
        module = reporter.katas.modules[order.kata] = _module(order)
        also = order.options.also
        lines = (
            also.lines
            if isinstance(also, protocol.Evaluate)
            else also
            if isinstance(also, protocol.Follow)
            else None
        )
        followed_lines = range(lines.first, lines.last + 1) if lines else range(0)
        tracer = Tracer(getattr(module, "__file__", None) or "", followed_lines)
        if isinstance(also, protocol.Evaluate):
            with tracer.on():
                call = tracing.evaluated(also.expression, module, order.options.seed)
            reporter.send(Loaded())
            reporter.send(
                Traced("", followed.written([call, *tracer.calls], LONGEST_TRACE))
            )
            return
        if isinstance(module, LoadFailure):
            reporter.send(Loaded(failure=module.failure))
            return
        failed = kata_modules.left_out(module)
        slow = tuple((one.first, one.last) for one in failed if one.is_slow)
        reporter.send(Loaded("\n".join(dict.fromkeys(one.why for one in failed)), slow))
        items = [item for item in items if name_of(item) not in order.skip]
        check.tried = {} if isinstance(also, protocol.TrySuspects) else None
        for item, following in zip_longest(items, items[1:]):
            with tracer.on() if lines else nullcontext():
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if lines:
                reporter.send(
                    Traced(name_of(item), followed.written(tracer.calls, LONGEST_TRACE))
                )
            if order.options.stop_at_failure and reporter.katas.broken:
                break


def _chosen(
    options: protocol.RunOptions, items: list[pytest.Function]
) -> list[pytest.Function]:
    """The specs that the options ask for, in the order in which they run."""
    if options.core:
        items = [item for item in items if not item.get_closest_marker("stretch")]
    if options.ideas:
        items = [item for item in items if not item.get_closest_marker("edge")]
    if options.short:
        items = [
            item
            for item in items
            if not any(mark.name == "timeout" for mark in item.own_markers)
        ]
    if options.only:
        items = [
            item
            for item in items
            if any(_is_named(wanted, name_of(item)) for wanted in options.only)
        ]
    if options.order:
        place = {name: number for number, name in enumerate(options.order)}
        items = sorted(
            items,
            key=lambda item: place.get(
                name_of(item), place.get(item.cls.__name__, len(place))
            ),
        )
    return items[::-1] if options.backwards else items


def _described(kata: Kata, items: list[pytest.Function]) -> tuple[SpecInfo, ...]:
    """The facts about each spec that the runner needs before the code under test
    is imported.
    """
    exercises = {exercise.spec_class: exercise.name for exercise in kata.exercises}
    described = []
    for item in items:
        skip, limit = (
            item.get_closest_marker("skip"),
            item.get_closest_marker("timeout"),
        )
        seconds = float(limit.args[0]) if limit else 0.0
        reason, edge = (
            skip.kwargs["reason"] if skip else "",
            item.get_closest_marker("edge") is not None,
        )
        guard = edge and kinds.is_guard(item, kata.name)
        _, line, _ = item.reportinfo()
        exercise, says = (
            exercises[item.cls.__name__],
            inspect.cleandoc(item.function.__doc__ or ""),
        )
        file, hidden = (
            item.path.relative_to(kata.folder).as_posix(),
            item.path != kata.specs,
        )
        found = (
            name_of(item),
            exercise,
            seconds,
            reason,
            edge,
            (line or 0) + 1,
            says,
            file,
            hidden,
            guard,
        )
        described.append(SpecInfo(*found))
    return tuple(described)


def _module(order: protocol.WorkOrder) -> ModuleType | LoadFailure:
    """The module of the code under test, or the reason why there is none."""
    try:
        with _at_most(order.options.spec_seconds):
            return kata_modules.load(order.kata, order.scratch)
    except LoadFailure as failure:
        return failure


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise TimedOut at the line that runs when the block has used this time."""
    watch = usage.Stopwatch(usage.of_spec(seconds), usage.of_this_process)

    def at_alarm(number: int, frame: FrameType | None) -> None:
        alarm.ring(watch.next_look)  # the runner ends what the machine gives no time
        if (reached := watch.look()) in (
            "computing",
            "waiting",
        ) and statements.may_be_interrupted(frame):
            raise failures.timed_out(reached, watch)

    alarm.handled_by(at_alarm)
    alarm.ring(watch.next_look)
    try:
        yield
    finally:
        alarm.stop()


class Reporter:
    """A pytest plugin that sends the runner one message per event."""

    def __init__(self, config: pytest.Config, channel: Connection):
        self.channel = channel
        katas = config.pluginmanager.get_plugin("katas")
        assert isinstance(katas, plugin.Katas)
        self.katas = katas
        # where it is in another process
        self.code_is_lost: Callable[[], bool] = lambda: False
        # the present spec forbids functions to code that is in another process
        self.bans = False
        self.outcome: dict[str, tuple[str, float]] = {}
        self.failure: Failure | None = None  # of the present spec, its first one
        config.pluginmanager.register(self)

    def send(self, message: Message) -> None:
        self.channel.send_bytes(protocol.encode(message))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.outcome.clear()
        self.failure = None
        self.bans = False
        if check.tried is not None:
            check.tried.clear()
        self.send(SpecStarted(_spec(nodeid)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = _spec(report.nodeid)
        outcome, seconds = self.outcome.get(name, ("passed", 0.0))
        if report.outcome != "passed":
            outcome = report.outcome
        self.outcome[name] = (outcome, seconds + report.duration)
        self.failure = self.failure or report.kata.spec.failure

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        name = _spec(nodeid)
        outcome, seconds = self.outcome.get(name, ("failed", 0.0))
        if self.code_is_lost():  # whatever the spec made of that
            outcome = "failed"
        failure = self.failure
        if outcome == "passed":
            failure = None
        elif failure is None:
            failure = Failure("not run", "skipped by the code itself")
        printed = self.katas.printed.get(nodeid, "") if outcome == "failed" else ""
        failure = failure and failure.each(lambda text: text[: protocol.LONGEST_TEXT])
        self.send(
            SpecFinished(
                name, outcome, seconds, failure, printed, self.bans, check.tried or {}
            )
        )


def _spec(nodeid: str) -> str:
    """ "katas/16_…/test_….py::TestSplitHeads::test_x[a]" →
    "TestSplitHeads::test_x[a]".
    """
    return nodeid.partition("::")[2]


def name_of(item: pytest.Item) -> str:
    """A spec's name: "TestSplitHeads::test_x[a]"."""
    return _spec(item.nodeid)


def _is_named(wanted: str, name: str) -> bool:
    """Tell if `wanted` names this spec: its class, its function, both, or the spec with
    its parameters.
    """
    bare = name.partition("[")[0]
    return wanted in (bare, *bare.split("::"), name)
