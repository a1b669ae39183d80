"""One kata in one process: runs its specs under limits and sends what happens, as it happens, to the runner."""

import contextlib
import json
import os
import stat
import sys
import tempfile
import time
from functools import partial
from multiprocessing import current_process
from multiprocessing.connection import Connection
from types import ModuleType

import pytest

from grader import catalogue, confine, loading, plugin, ready
from grader.catalogue import Kata
from grader.guard import Guard
from grader.task import Task, signature


def main(task: Task, channel: Connection) -> None:
    """Run the task in this process, which does not outlive it, and speak JSON over the channel: `specs` (all there are),
    `loading`, `loaded`, for each spec `start` and `result`, and `done`."""
    born = time.process_time()
    confine.die_with_parent()
    if hasattr(os, "setsid"):
        os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    _close_all_but(channel)
    os.chdir(task.scratch)
    os.environ.clear()
    os.environ.update(task.environment, HOME=str(task.scratch), TMPDIR=str(task.scratch))
    tempfile.tempdir = None
    current_process()._config.pop("tempdir", None)  # multiprocessing's own, which the runner has made for itself
    sys.dont_write_bytecode = True
    collected = ready.specs(task.kata)
    collected.session.config.option.seed = task.seed
    needs = catalogue.needs(task.kata)
    if "loopback" in needs:
        confine.own_network()
    confine.shut_in(task.scratch, task.kata.specs, needs)
    confine.limit(task.memory, task.file_size, task.open_files, needs)
    items = _chosen(task, collected.items)
    plugin.limit(items, task.spec_seconds)
    reporter = Reporter(collected.session.config, channel, task.key)
    reporter.send(specs=_described(task.kata, items))
    guard = Guard(task.scratch)
    reporter.send(loading=True)
    reporter.katas.modules[task.kata] = _module(task)
    reporter.send(loaded=True, changed=guard.changed)
    items = [item for item in items if _name(item) not in task.skip]
    for item, following in zip(items, [*items[1:], None], strict=False):  # no items, no following
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if task.stop_at_failure and reporter.katas.failed:
            break
    reporter.send(done=True, cpu=time.process_time() - born, changed=guard.changed)
    os._exit(0)


def _close_all_but(channel: Connection) -> None:
    """Close the pipes and sockets that came from the process this one was forked from: whoever writes to those ends it."""
    if sys.platform == "linux":
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                mode = os.fstat(descriptor).st_mode
                if descriptor != channel.fileno() and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
                    os.close(descriptor)


def _chosen(task: Task, items: list[pytest.Function]) -> list[pytest.Function]:
    if task.core:
        items = [item for item in items if not item.get_closest_marker("stretch")]
    if task.only:
        items = [item for item in items if _is_named(task.only, _name(item))]
    if task.order:
        place = {name: number for number, name in enumerate(task.order)}
        items = sorted(items, key=lambda item: place.get(_name(item), place.get(item.cls.__name__, len(place))))
    return items[::-1] if task.backwards else items


def _described(kata: Kata, items: list[pytest.Function]) -> list[list]:
    """For each spec its name, its exercise, whether that is stretch, the seconds it may take, and why it is skipped if it is."""
    exercises = {exercise.spec_class: exercise for exercise in catalogue.exercises(kata)}
    rows = []
    for item in items:
        exercise = exercises[item.cls.__name__]
        skip = item.get_closest_marker("skip")
        limit = item.get_closest_marker("timeout").args[0]
        rows.append([_name(item), exercise.name, exercise.stretch, limit, skip.kwargs["reason"] if skip else ""])
    return rows


def _module(task: Task) -> ModuleType | loading.LoadFailure:
    try:
        if task.problem:
            raise loading.LoadFailure(task.problem)
        return loading.load(task.kata, task.scratch)
    except loading.LoadFailure as failure:
        return failure


class Reporter:
    """Sends what happens to each spec to the runner, one JSON object a message, each with its number and signed: the code under
    test shares the process, and may find the channel."""

    def __init__(self, config: pytest.Config, channel: Connection, key: bytes):
        self.channel, self.sent = channel, 0
        self.sign = partial(signature, key)
        self.katas = config.pluginmanager.get_plugin("katas")
        self.outcome: dict[str, tuple[str, float]] = {}
        config.pluginmanager.register(self)

    def send(self, **message) -> None:
        text = json.dumps(message).encode()
        self.channel.send_bytes(self.sign(self.sent, text) + text)
        self.sent += 1

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.outcome.clear()
        self.send(start=_spec(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = _spec(report.nodeid)
        outcome, seconds = self.outcome.get(name, ("passed", 0.0))
        if report.outcome != "passed":
            outcome = report.outcome
        self.outcome[name] = (outcome, seconds + report.duration)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        name = _spec(nodeid)
        outcome, seconds = self.outcome.get(name, ("failed", 0.0))
        failure = self.katas.failed.get(nodeid)
        message = (failure.text if failure else "skipped by the code itself")[:20_000] if outcome != "passed" else ""
        self.send(result=name, status=outcome, message=message, seconds=seconds)


def _spec(nodeid: str) -> str:
    """ "katas/16_…/test_….py::TestSplitHeads::test_x[a]" → "TestSplitHeads::test_x[a]"."""
    return nodeid.partition("::")[2]


def _name(item: pytest.Item) -> str:
    return _spec(item.nodeid)


def _is_named(wanted: str, name: str) -> bool:
    bare = name.partition("[")[0]
    return wanted in (bare, *bare.split("::"), name)
