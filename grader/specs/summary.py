"""The summary at the end of a pytest run: each exercise's first failure, one line per exercise, open edges.

Everything is taken from the reports, which xdist sends from its processes to the one with the terminal.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from grader.failure import NOT_WRITTEN, Failure
from grader.reports import colour_blocks, words
from grader.results import STATE_OF, title
from grader.specs import failures, layout, pytest_private

STAR = "\N{BLACK STAR}"


@dataclass
class Told:
    """A report's facts about a spec, beyond pytest's own words."""

    kata: str
    exercise: str
    place: int  # of the exercise in its kata
    edge: bool
    note: str = ""
    choices: list[str] = field(default_factory=list)  # whose code was used for earlier katas
    printed: str = ""
    guard: bool = False
    failure: Failure | None = None


@dataclass
class Outcome:
    """One spec's outcome: passed, failed or skipped."""

    name: str
    told: Told
    status: str
    reason: str = ""  # why it was skipped

    @property
    def failed(self) -> bool:
        return self.told.failure is not None

    @property
    def details(self) -> Failure | None:
        """The failure, if there is more to say of it than one line."""
        return self.told.failure if self.told.failure and self.told.failure.place else None


def attach(report: pytest.TestReport, told: Told, failure: Failure | None, *, own_traceback: bool) -> None:
    """Put what is told about a spec on its report, in place of pytest's own traceback, for `Summary` to collect."""
    if failure:
        told.failure = failure
        if not own_traceback:
            report.longrepr = failure.text
    report.kata = asdict(told)  # type: ignore[attr-defined]


class Summary:
    """Collects reports, and replaces pytest's own account of failures if all reports are about specs."""

    def __init__(self, config: pytest.Config):
        self.config = config
        self.outcomes: dict[str, Outcome] = {}
        self.others = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data: dict[str, Any] | None = getattr(report, "kata", None)
        if data is None:
            self.others = True
        elif report.when == "call" or report.outcome != "passed":
            told = Told(**data | {"failure": failures.failure.made(data["failure"])})
            known = self.outcomes.get(report.nodeid)
            if known is None or not known.failed:
                status = "failed" if told.failure else report.outcome
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
                self.outcomes[report.nodeid] = Outcome(report.nodeid, told, status, reason.removeprefix("Skipped: "))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal and not self.config.option.edges:  # a warning in an open edge looks like something to put right
            warned = terminal.stats.get("warnings", [])
            open_edges = {outcome.name for outcome in self.outcomes.values() if outcome.told.edge and outcome.failed}
            terminal.stats["warnings"] = [warning for warning in warned if warning.nodeid not in open_edges]
        if self._is_ours():
            option = self.config.option
            option.tbstyle = "no"
            for place in (option, terminal):
                if place:
                    place.reportchars = place.reportchars.replace("f", "").replace("E", "")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        if self.outcomes and not self.others and self.config.option.tbstyle == "no":
            for note in dict.fromkeys(note for outcome in self.outcomes.values() for note in outcome.told.choices):
                terminalreporter.write_line(f"\n{layout.wrapped(note, pytest_private.width(terminalreporter), 0)}")
            _failures(self.outcomes.values(), terminalreporter, self.config.option.edges)
            _exercises(self.outcomes.values(), terminalreporter)
        elif exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            terminalreporter.write_line("no specs were run: none matches the path, -k and -m", red=True)

    def _is_ours(self) -> bool:
        return bool(self.outcomes) and not self.others and self.config.option.tbstyle == "auto"


def _by_exercise(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    found: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.told.kata, outcome.told.place)):
        found.setdefault((outcome.told.kata, outcome.told.exercise), []).append(outcome)
    return found


def _failures(outcomes: Iterable[Outcome], terminal: pytest.TerminalReporter, edges: bool) -> None:
    """Print the first failure of each exercise in full, or all with -v; failing edges only where they count."""
    said = set[str]()
    for (kata, exercise), specs in _by_exercise(outcomes).items():
        if (file := _first(specs)) and file.is_of_file:
            if kata not in said:
                terminal.write_line(f"\n{STATE_OF[file.kind].upper()}  katas/{kata}\n", red=True, bold=True)
                terminal.write_line(layout.wrapped(file.text, pytest_private.width(terminal)))
            said.add(kata)
            continue
        failed = [(spec, found) for spec in specs if (found := spec.details) and (edges or not spec.told.edge)]
        for spec, found in failed if terminal.verbosity > 0 else failed[:1]:
            terminal.write_line(f"\nFAILED  {exercise} · {title(spec.name)}\n", red=True, bold=True)
            text = words.with_printed(found.text, spec.told.printed)
            terminal.write_line(layout.wrapped(text, pytest_private.width(terminal)))
            if terminal.hasmarkup and (picture := colour_blocks.coloured(found.picture)):
                terminal.write_line(f"\n{picture}")
    terminal.write_line("")


def _exercises(outcomes: Iterable[Outcome], terminal: pytest.TerminalReporter) -> None:
    """Print one line per exercise: whether it works, and which edges are open.

    A kata whose file cannot be run has one line, and among several katas one without a written exercise.
    """
    found = _by_exercise(outcomes)
    width = max(len(exercise) for _, exercise in found)
    room = pytest_private.width(terminal) - width - 4
    in_one = {kata: _in_one_line(found, kata) for kata in {kata for kata, _ in found}}
    kata_before, said = "", set[str]()  # one error while the file is imported is every exercise's
    for (kata, exercise), specs in found.items():
        if in_one[kata]:
            if kata != kata_before:
                terminal.write_line(f"katas/{kata}  {in_one[kata]}")
            kata_before = kata
            continue
        if kata != kata_before:
            terminal.write_line(f"katas/{kata}", bold=True)
            kata_before = kata
        state, colour = _state(exercise, specs, room)
        one_line = bool(colour) and not any(spec.details for spec in specs) and any(spec.failed for spec in specs)
        one_line = one_line or state.startswith("not run, Triton")
        if one_line and state in said:
            state = "the same"
        said.add(state)
        terminal.write_line(f"  {exercise:<{width}}  {state}", **({colour: True} if colour else {}))


def _first(specs: Iterable[Outcome]) -> Failure | None:
    """The first failure of the idea."""
    return next((spec.told.failure for spec in specs if spec.failed and not spec.told.edge), None)


def _in_one_line(found: dict[tuple[str, str], list[Outcome]], kata: str) -> str:
    """What one line says of all exercises of a kata; empty if each has its own."""
    first = [_first(specs) for (of, _), specs in found.items() if of == kata]
    if file := next((one for one in first if one and one.is_of_file), None):
        return words.NOT_RUN[STATE_OF[file.kind]]
    is_unwritten = len(first) < len(found) and all(one and one.kind == "unwritten" for one in first)
    return f"{NOT_WRITTEN}: {words.counted(len(first), 'exercise')}" if is_unwritten else ""


def _state(exercise: str, specs: list[Outcome], room: int) -> tuple[str, str]:
    """One exercise in words, and the colour of the line. Names of open edges take no more columns than there are."""
    ideas = [spec for spec in specs if not spec.told.edge and spec.status != "skipped"]
    edges = [spec for spec in specs if spec.told.edge and spec.status != "skipped"]
    failed = [spec for spec in ideas if spec.failed]
    open_edges = [spec for spec in edges if spec.failed]
    passed = len(ideas) - len(failed)
    if failed and not any(spec.details for spec in failed) and (found := failed[0].told.failure):
        return found.beside(exercise), "" if found.kind == "unwritten" else "red"
    if failed:
        return f"{passed} of {len(ideas)} specs pass", "red"
    if not ideas and not edges:
        return next(
            (spec.reason for spec in specs if spec.reason.startswith("not run")), f"not run: {specs[0].reason}"
        ), ""
    works = "works" if ideas else "edges"
    if note := next((spec.told.note for spec in ideas if spec.told.note), ""):
        works += f", {note}"
    if not open_edges:
        return f"{works} {STAR}", "green"
    numerics = [title(spec.name) for spec in open_edges if not spec.told.guard]
    works += " · "
    return works + words.open_star(numerics, len(open_edges) - len(numerics), "--edges", room - len(works)), "green"
