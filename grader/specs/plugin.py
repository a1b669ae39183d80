"""The pytest plugin for specs: `--code`, the `kata` fixture, equal initial state,
readable failures.
"""

import atexit
import contextlib
import gc
import itertools
import math
import os
import random
import re
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, TextIO, cast

import pytest
import pytest_timeout  # type: ignore[import-untyped]
import torch

from grader.course import catalogue, grafts, kata_modules, packages, statements
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.course.kata_modules import Choice
from grader.errors import LoadFailure
from grader.failure import Failure
from grader.isolation import alarm, state, usage
from grader.results import TOO_BUSY, SpecResult
from grader.specs import (
    device,
    failures,
    hooks,
    inherited,
    kinds,
    pytest_private,
    rerun,
    summary,
    teachers_specs,
    torch_private,
)
from grader.specs.printed import Printed, each_example

SPEC_SECONDS = 10.0
# seconds after which a call that nothing interrupts ends the session; a runner ends
# it sooner
PATIENCE = 10.0
# of pytest's report on a file that it could not collect
RAISED = re.compile(r"^E +(\S.*)$", re.MULTILINE)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("katas")
    group.addoption(
        "--code",
        metavar="DIR",
        help="the code to run specs against, a folder laid out like katas/ (solutions)",
    )
    group.addoption(
        "--seed", type=int, default=0, help="random seed of every spec (default 0)"
    )
    group.addoption(
        "--edges",
        action="store_true",
        help="show failing edge specs in full, and count them as failures",
    )
    seconds = "time limit of a spec in seconds (default 10; 0: none)"
    group.addoption("--spec-seconds", type=float, default=SPEC_SECONDS, help=seconds)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "stretch: specs of an exercise beyond the core of its kata"
    )
    config.addinivalue_line(
        "markers",
        "edge: asks for what a careful textbook author would leave out; decides the "
        "star",
    )
    config.addinivalue_line("markers", "gpu: needs a CUDA device")
    config.addinivalue_line("markers", "amp: needs a CUDA device, for mixed precision")
    # or checking for a device would start CUDA
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    pytest_private.rewrite_no_libraries(config)
    config.pluginmanager.register(Katas(config), "katas")
    config.pluginmanager.register(summary.Summary(config), "kata_summary")


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Load the profile for a file that uses Hypothesis, before its `@settings` take
    their defaults from it.
    """
    if (
        not isinstance(collector, pytest.Module)
        or b"hypothesis" not in collector.path.read_bytes()
    ):
        return
    import hypothesis  # here, because other files need not wait for it
    from hypothesis.internal.conjecture import providers

    # By default what a spec draws follows the numbers in the files that are imported,
    # the learner's and the grader's.
    providers._get_local_constants = lambda: providers._local_constants

    hypothesis.settings.register_profile(
        "katas",
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=20,
        # which traces every line, for seconds
        phases=[phase for phase in hypothesis.Phase if phase.name != "explain"],
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=[
            hypothesis.HealthCheck.function_scoped_fixture,
            hypothesis.HealthCheck.too_slow,
        ],
    )
    hypothesis.settings.load_profile("katas")


def pytest_report_header(config: pytest.Config) -> str | None:
    has_tests = (
        config.invocation_params.dir == config.rootpath
        and (config.rootpath / "tests").is_dir()
    )
    if has_tests and config.args_source is not pytest.Config.ArgsSource.ARGS:
        return (
            "these are the project's own tests; a kata's specs: pytest katas/16, "
            "every kata's: pytest katas"
        )
    return None


@pytest.fixture
def kata(request: pytest.FixtureRequest) -> ModuleType:
    """The module under test: the learner's file, or the file in the `--code` folder."""
    katas = request.config.pluginmanager.get_plugin("katas")
    assert isinstance(katas, Katas)
    judged = katas.specs[request.node.nodeid][0]
    return device.module_of(judged, katas.module(judged))


class Katas:
    """The state of one pytest session: its katas, their modules and the outcomes of
    their specs.
    """

    def __init__(self, config: pytest.Config):
        self.config = config
        self.code: Path | None = _code_folder(config)
        self.watch: usage.Stopwatch | None = None  # of the spec that runs
        self.is_loading = False  # the code under test
        self.modules: dict[Kata, ModuleType | LoadFailure] = {}
        self.choices: dict[Kata, Choice] = {}
        self.specs: dict[str, tuple[Kata, Exercise]] = {}  # by node id
        # what may be another exercise's fault; False in a worker: see
        # `execution.follow_up`
        self.runs_again = True
        # True in a judge: the code is in another process, and the runner measures both
        self.waits_for_another = False
        self.notes: dict[str, str] = {}  # by node id: with whose code a spec passed
        # by node id: what the spec's call printed first
        self.printed: dict[str, str] = {}
        # exercises of which a spec of the idea failed
        self.broken: set[tuple[Kata, str]] = set()
        self.asked: set[tuple[Kata, str]] = set()  # exercises of which a spec has run
        # files that pytest could not collect, and why
        self.uncollected: dict[Path, str] = {}
        self.hung: set[tuple[Kata, Exercise]] = set()
        self.grafted: dict[tuple[Kata, tuple[str, ...]], ModuleType] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            [*_, why] = ["cannot be collected", *RAISED.findall(str(report.longrepr))]
            self.uncollected[
                self.config.rootpath / report.nodeid.partition("::")[0]
            ] = why

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        katas = {
            path: catalogue.kata_at(path) for path in {item.path for item in items}
        }
        spec_files = {
            path: kata
            for path, kata in katas.items()
            if kata and path in kata.spec_files
        }
        by_kata: defaultdict[Kata | None, list[pytest.Item]] = defaultdict(list)
        for item in items:
            by_kata[spec_files.get(item.path)].append(item)
        for judged in set(spec_files.values()):
            if wrong := teachers_specs.mistake(judged, by_kata[judged]):
                # every spec says so
                self.modules[judged] = LoadFailure(wrong, "not run")
        for item in items:
            if isinstance(item, pytest.Function) and (
                kata := spec_files.get(item.path)
            ):
                self.specs[item.nodeid] = (
                    kata,
                    _exercise(kata, (item.cls or item.function).__name__),
                )
                if inherited.source(item) != item.path:
                    inherited.place_at_class(item)
                # who gives another --tb wants that one
                if self.config.option.tbstyle == "auto":
                    pytest_private.report_briefly(item)
                if device.is_asked_for(kata):
                    device.prepare(item)
                if reason := _lacks(item, kata):
                    item.add_marker(pytest.mark.skip(reason=reason))
        by_class = itertools.groupby(
            items, key=lambda item: item.nodeid.partition("[")[0].rpartition("::")[0]
        )
        # inherited edges come last
        items[:] = [
            item for _, found in by_class for item in sorted(found, key=_is_edge)
        ]
        if self.config.option.spec_seconds:
            limit(
                [item for item in items if item.nodeid in self.specs],
                self.config.option.spec_seconds,
            )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._skip_needless_work()
        # -k and -m may have removed some
        chosen = {item.nodeid for item in session.items}
        self.specs = {
            nodeid: place for nodeid, place in self.specs.items() if nodeid in chosen
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Choose the code for earlier katas, before any spec's time limit starts: their
        specs may have to run.
        """
        if self.config.option.collectonly:
            return
        for kata in dict.fromkeys(kata for kata, _ in self.specs.values()):
            try:
                self.choices[kata] = self.config.hook.pytest_kata_prerequisites(
                    kata=kata, code=self._code(kata)
                )
            except LoadFailure as failure:
                self.modules[kata] = failure

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.nodeid in self.specs:
            if self.specs[item.nodeid] in self.hung:
                raise failures.NotRun(
                    Failure(
                        "not run", "not run: an earlier spec of this exercise timed out"
                    )
                )
            kata, exercise = self.specs[item.nodeid]
            self.asked.add((kata, exercise.owner))
            state.reset(self.config.option.seed)

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_timeout_set_timer(
        self, item: pytest.Item, settings: Any
    ) -> Generator[None, Any, Any]:
        """Make pytest-timeout's alarm end a property, too, and look at what the spec
        has used instead of the clock.
        """
        answer = yield
        if item.nodeid not in self.specs or (
            settings.method != "signal" and alarm.IS_THE_SYSTEMS
        ):
            return answer
        allowed = usage.of_spec(settings.timeout)
        if self.waits_for_another:
            allowed = replace(allowed, waiting=math.inf, clock=math.inf)
        self.watch = usage.Stopwatch(allowed, usage.of_this_process)

        ring = partial(
            alarm.ring,
            unheard=partial(pytest_timeout.timeout_timer, item, settings),
            patience=allowed.waiting + PATIENCE,
        )

        def at_alarm(number: int, frame: FrameType | None) -> None:
            __tracebackhide__ = True
            assert self.watch
            reached, watch = self.watch.look(), self.watch
            if not reached or self.is_loading or _is_a_bad_moment(frame):
                ring(watch.next_look)
            if (
                not reached
                or _is_a_bad_moment(frame)
                or not statements.may_be_interrupted(frame)
            ):
                return
            if reached == "clock":
                raise failures.TooBusy(f"{TOO_BUSY}: try again")
            raise failures.timed_out(reached, watch)

        alarm.handled_by(at_alarm)
        if not alarm.IS_THE_SYSTEMS:
            # pytest-timeout's thread, which ends the session
            item.cancel_timeout()  # type: ignore[attr-defined]
            item.cancel_timeout = alarm.stop  # type: ignore[attr-defined]
            ring(self.watch.next_look)
        return answer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Run a failing spec once more with the reference's code for the exercises that
        its own exercise uses.
        """
        try:
            yield
        except Exception as error:
            known = isinstance(item, pytest.Function) and item.nodeid in self.specs
            if not known or not self.runs_again:
                raise
            self.notes[item.nodeid] = rerun.again(
                self, cast(pytest.Function, item), error
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(
        self, pyfuncitem: pytest.Function
    ) -> Generator[None, object, object]:
        """Keep what the spec's call prints first; of a property, what its last example
        does, the failing one.
        """
        printed = Printed(sys.stdout)
        try:
            with (
                contextlib.redirect_stdout(cast(TextIO, printed)),
                each_example(pyfuncitem.obj, printed.restart),
            ):
                return (yield)
        finally:
            self.printed.setdefault(pyfuncitem.nodeid, printed.beginning)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if not isinstance(item, pytest.Function) or item.nodeid not in self.specs:
            return report
        failure = None
        if report.failed and call.excinfo:
            failure = self._explained(item, call.excinfo.value)
            self._take_in(item, report, call.excinfo.value)
        told = self._told(item, report, failure)
        summary.attach(report, told, self.config.option.tbstyle)
        return report

    def _explained(self, item: pytest.Function, error: BaseException) -> Failure:
        kata, exercise = self.specs[item.nodeid]
        found = self.modules.get(kata)
        module = found if isinstance(found, ModuleType) else None
        return failures.explain(error, kata, exercise, item, module)

    def _take_in(
        self, item: pytest.Function, report: pytest.TestReport, error: BaseException
    ) -> None:
        """Note what the error means for other specs, and for pytest's own count."""
        kata, exercise = self.specs[item.nodeid]
        edge = _is_edge(item)
        if not edge:
            self.broken.add((kata, exercise.owner))
        if isinstance(error, failures.TimedOut):
            self.hung.add((kata, exercise))
        is_not_run = isinstance(error, (LoadFailure, failures.NotRun))
        if report.when == "setup" and is_not_run:
            # in set-up, pytest would count it as an error instead of a failure
            report.when = "call"
        if edge and not self.config.option.edges:
            report.outcome, report.wasxfail = "skipped", "open edge"

    def _told(
        self, item: pytest.Function, report: pytest.TestReport, failure: Failure | None
    ) -> summary.Told:
        kata, exercise = self.specs[item.nodeid]
        edge = _is_edge(item)
        skipped = (
            report.longrepr[2].removeprefix("Skipped: ")
            if isinstance(report.longrepr, tuple)
            else ""
        )
        spec = SpecResult(
            item.nodeid,
            "failed" if failure else report.outcome,
            skipped or self.notes.get(item.nodeid, ""),
            edge=edge,
            printed=self.printed.get(item.nodeid, ""),
            guard=edge and kinds.is_guard(item, kata.name),
            failure=failure,
        )
        place = (
            kata.exercises.index(exercise)
            if exercise in kata.exercises
            else len(kata.exercises)
        )
        notes = self.choices.get(kata, Choice()).notes
        lack = kata.description.lack
        return summary.Told(kata.name, exercise.name, place, notes, lack, spec)

    def _skip_needless_work(self) -> None:
        """Import nothing for libraries that no spec file uses, and collect no garbage
        among what is imported by now.
        """
        plugin = self.config.pluginmanager.get_plugin("hypothesispytest")
        if plugin and "hypothesis" not in sys.modules:
            # its summary would import Hypothesis
            self.config.pluginmanager.unregister(plugin)
        # a torch with other private names is only slower
        with contextlib.suppress(AttributeError, ValueError):
            torch_private.import_compiler_late()
        if "hypothesis" in sys.modules:
            # Hypothesis warns of its generator where the collector does not see what
            # holds it: on 3.14, once frozen.
            with contextlib.suppress(AttributeError):
                sys.modules[
                    "hypothesis"
                ].core.threadlocal._hypothesis_global_random = random.Random(0)
        gc.freeze()
        atexit.register(_collect_for_triton)

    def module(self, kata: Kata) -> ModuleType:
        """The module under test, loaded once. A failure to load it is raised again for
        every spec.
        """
        if kata not in self.modules:
            # what takes too long there is left out, and costs the spec no time
            self.is_loading = True
            try:
                loaded = kata_modules.load(
                    kata, self._code(kata), self.choices[kata].sources
                )
                self.choices[kata].notes += dict.fromkeys(
                    one.why for one in kata_modules.left_out(loaded)
                )
                self.modules[kata] = loaded
            except LoadFailure as failure:
                self.modules[kata] = failure
            self.is_loading = False
            if self.watch:
                self.watch = usage.Stopwatch(self.watch.limit, usage.of_this_process)
        module = self.modules[kata]
        if isinstance(module, LoadFailure):
            raise module.with_traceback(None)
        packages.enter(module)
        return module

    def module_with_graft(
        self, kata: Kata, names: tuple[str, ...]
    ) -> ModuleType | None:
        """The module under test with the reference's code for these names. None without
        a reference.
        """
        if (kata, names) not in self.grafted:
            code = self._code(kata)
            text = grafts.grafted(
                kata, kata_modules.read_source(code / kata.file), names
            )
            if text is None:
                return None
            self.grafted[kata, names] = kata_modules.load(
                kata, code, self.choices[kata].sources, text
            )
        return self.grafted[kata, names]

    def _code(self, kata: Kata) -> Path:
        return self.code or kata.root / "katas"


def limit(specs: Iterable[pytest.Item], seconds: float) -> None:
    """Give every spec without a time limit of its own this one."""
    for spec in specs:
        if not spec.get_closest_marker("timeout"):
            spec.add_marker(pytest.mark.timeout(seconds))


def _collect_for_triton() -> None:
    """Have garbage collected at the end if PyTorch has imported Triton, whose library
    would say what was not.
    """
    if "triton" in sys.modules:
        gc.unfreeze()


def _is_a_bad_moment(frame: FrameType | None) -> bool:
    """Tell if an alarm would end the whole session, because pytest makes a report or
    would not find the line.
    """
    if frame is None or frame.f_lineno is None:
        return True
    while frame and frame.f_code.co_name != "pytest_runtest_makereport":
        frame = frame.f_back
    return frame is not None


def _exercise(kata: Kata, spec_class: str) -> Exercise:
    known = {exercise.spec_class: exercise for exercise in kata.exercises}
    return known.get(spec_class) or Exercise(
        spec_class.removeprefix("Test"), spec_class, stretch=False
    )


def _lacks(item: pytest.Item, kata: Kata) -> str:
    """What this machine has not, and the spec needs; empty if it can run."""
    if lack := kata.description.lack:
        return lack
    marker = next(
        (name for name in ("gpu", "amp") if item.get_closest_marker(name)), None
    )
    if not marker or torch.cuda.is_available():
        return ""
    graded = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return f"{marker}: {'only pytest uses a GPU' if graded else 'no CUDA device here'}"


def _is_edge(item: pytest.Item) -> bool:
    return item.get_closest_marker("edge") is not None


def _code_folder(config: pytest.Config) -> Path | None:
    given = config.option.code
    if given is None:
        return None
    for base in (config.invocation_params.dir, config.rootpath):
        if (base / given).is_dir():
            try:
                kata_modules.refuse_link(base / given)
            except LoadFailure as failure:
                raise pytest.UsageError(f"--code {failure}") from None
            return (base / given).resolve()
    raise pytest.UsageError(f"--code {given}: no such folder")
