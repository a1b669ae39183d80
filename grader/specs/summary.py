"""The summary at the end of a pytest run: each exercise's first failure, one line per
exercise, open edges.

Everything is taken from the reports, which xdist sends from its processes to the one
with the terminal.
"""

from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from grader.failure import NOT_WRITTEN, Failure
from grader.reports import colour_blocks, layout, words
from grader.results import STATE_OF, ExerciseResult, SpecResult, spec_result
from grader.specs import pytest_private

STAR = "\N{BLACK STAR}"


@dataclass
class Told:
    """A report's facts about a spec, beyond pytest's own words."""

    kata: str
    exercise: str
    place: int  # of the exercise in its kata
    choices: list[str]  # whose code was used for earlier katas
    lack: str  # what this machine has not, and the kata needs
    spec: SpecResult


class Shown:
    """A failure as pytest's reports hold one: its text is made where pytest asks
    for it.
    """

    def __init__(self, failure: Failure):
        self.failure = failure

    def __str__(self) -> str:
        return self.failure.text

    def toterminal(self, terminal: Any) -> None:
        terminal.line(str(self))

    @property
    def reprcrash(self) -> "Shown":
        """What has the message that pytest's own list of failures shows."""
        return self

    @property
    def message(self) -> str:
        return str(self)


def attach(report: pytest.TestReport, told: Told, tbstyle: str) -> None:
    """Put what is told about a spec on its report, for `Summary` to collect. A failure
    stands there for pytest's own traceback, unless --tb asks for that.
    """
    report.kata = told  # type: ignore[attr-defined]
    if told.spec.failure and tbstyle == "auto":
        report.longrepr = Shown(told.spec.failure)  # type: ignore[assignment]


class Summary:
    """Collects reports, and replaces pytest's own account of failures if all reports
    are about specs.
    """

    def __init__(self, config: pytest.Config):
        self.config = config
        self.outcomes: dict[str, Told] = {}
        self.others = False

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> Generator[None, dict[str, Any], dict[str, Any]]:
        """Have a report cross to xdist's process with the terminal."""
        data = yield
        if told := getattr(report, "kata", None):
            data["kata"] = asdict(told)
        if isinstance(report.longrepr, Shown):
            data["longrepr"] = None
        return data

    @pytest.hookimpl(wrapper=True)
    def pytest_report_from_serializable(
        self, data: dict[str, Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if fields := data.get("kata"):
            told = Told(**fields | {"spec": spec_result(fields["spec"])})
            attach(report, told, self.config.option.tbstyle)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told: Told | None = getattr(report, "kata", None)
        if told is None:
            self.others = True
        elif report.when == "call" or report.outcome != "passed":
            known = self.outcomes.get(report.nodeid)
            if not known or not known.spec.failure:
                self.outcomes[report.nodeid] = told

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        # a warning in an open edge looks like something to put right
        if terminal and not self.config.option.edges:
            warned = terminal.stats.get("warnings", [])
            open_edges = {
                name
                for name, one in self.outcomes.items()
                if one.spec.edge and one.spec.failure
            }
            terminal.stats["warnings"] = [
                warning for warning in warned if warning.nodeid not in open_edges
            ]
        if self._is_ours():
            option = self.config.option
            option.tbstyle = "no"
            for place in (option, terminal):
                if place:
                    place.reportchars = place.reportchars.replace("f", "").replace(
                        "E", ""
                    )

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int
    ) -> None:
        if self.outcomes and not self.others and self.config.option.tbstyle == "no":
            for note in dict.fromkeys(
                note for told in self.outcomes.values() for note in told.choices
            ):
                text = layout.wrapped(note, pytest_private.width(terminalreporter), 0)
                terminalreporter.write_line(f"\n{text}")
            _failures(
                self.outcomes.values(), terminalreporter, self.config.option.edges
            )
            _exercises(self.outcomes.values(), terminalreporter)
        elif exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            terminalreporter.write_line(
                "no specs were run: none matches the path, -k and -m", red=True
            )

    def _is_ours(self) -> bool:
        return (
            bool(self.outcomes)
            and not self.others
            and self.config.option.tbstyle == "auto"
        )


def _by_exercise(outcomes: Iterable[Told]) -> dict[tuple[str, str], ExerciseResult]:
    """The results of each kata's exercises. A spec's name is its node's id."""
    found: dict[tuple[str, str], list[SpecResult]] = {}
    for told in sorted(outcomes, key=lambda told: (told.kata, told.place)):
        found.setdefault((told.kata, told.exercise), []).append(told.spec)
    return {
        place: ExerciseResult(place[1], tuple(specs)) for place, specs in found.items()
    }


def _failures(
    outcomes: Iterable[Told], terminal: pytest.TerminalReporter, edges: bool
) -> None:
    """Print the first failure of each exercise in full, or all with -v; failing edges
    only where they count.
    """
    said = set[str]()
    for (kata, name), exercise in _by_exercise(outcomes).items():
        if (file := _first(exercise)) and file.is_of_file:
            if kata not in said:
                terminal.write_line(
                    f"\n{STATE_OF[file.kind].upper()}  katas/{kata}\n",
                    red=True,
                    bold=True,
                )
                terminal.write_line(
                    layout.wrapped(file.text, pytest_private.width(terminal))
                )
            said.add(kata)
            continue
        failed = [
            (one, one.failure)
            for one in exercise.specs
            if one.failure and (edges or not one.edge)
        ]
        failed = [(spec, found) for spec, found in failed if found.place]
        for spec, found in failed if terminal.verbosity > 0 else failed[:1]:
            terminal.write_line(
                f"\nFAILED  {name} · {spec.title}\n", red=True, bold=True
            )
            text = words.with_printed(found.text, spec.printed)
            terminal.write_line(layout.wrapped(text, pytest_private.width(terminal)))
            if terminal.hasmarkup and (
                picture := colour_blocks.coloured(found.picture)
            ):
                terminal.write_line(f"\n{picture}")
    terminal.write_line("")


def _exercises(outcomes: Iterable[Told], terminal: pytest.TerminalReporter) -> None:
    """Print one line per exercise: whether it works, and which edges are open.

    A kata whose file cannot be run has one line, and among several katas one without a
    written exercise.
    """
    found, lacks = _by_exercise(outcomes), {told.kata: told.lack for told in outcomes}
    width = max(len(name) for _, name in found)
    room = pytest_private.width(terminal) - width - 4
    in_one = {kata: _in_one_line(found, kata) for kata in lacks}
    # one error while the file is imported is every exercise's
    kata_before, said = "", set[str]()
    for (kata, name), exercise in found.items():
        if kata != kata_before:
            line = f"katas/{kata}  {in_one[kata]}" if in_one[kata] else f"katas/{kata}"
            terminal.write_line(line, bold=not in_one[kata])
            kata_before = kata
        if in_one[kata]:
            continue
        state, colour = _state(exercise, lacks[kata], room)
        is_one_line = bool(lacks[kata]) or bool(
            colour and _first(exercise) and not _details(exercise)
        )
        shown = "the same" if is_one_line and state in said else state
        said.add(state)
        terminal.write_line(
            f"  {name:<{width}}  {shown}", **({colour: True} if colour else {})
        )


def _first(exercise: ExerciseResult) -> Failure | None:
    return exercise.first_failure.failure if exercise.first_failure else None


def _details(exercise: ExerciseResult) -> bool:
    """Tell if there is more to say of a failure than one line."""
    return any(spec.failure and spec.failure.place for spec in exercise.specs)


def _in_one_line(found: dict[tuple[str, str], ExerciseResult], kata: str) -> str:
    """What one line says of all exercises of a kata; empty if each has its own."""
    first = [_first(exercise) for (of, _), exercise in found.items() if of == kata]
    if file := next((one for one in first if one and one.is_of_file), None):
        return words.NOT_RUN[STATE_OF[file.kind]]
    is_unwritten = len(first) < len(found) and all(
        one and one.kind == "unwritten" for one in first
    )
    return (
        f"{NOT_WRITTEN}: {words.counted(len(first), 'exercise')}"
        if is_unwritten
        else ""
    )


def _state(exercise: ExerciseResult, lack: str, room: int) -> tuple[str, str]:
    """One exercise in words, and the colour of the line. Names of open edges take no
    more columns than there are.
    """
    ran = [spec for spec in exercise.specs if spec.status != "skipped"]
    ideas = [spec for spec in ran if not spec.edge]
    if found := _first(exercise):
        if not any(spec.failure and spec.failure.place for spec in ideas):
            return found.beside(
                exercise.name
            ), "" if found.kind == "unwritten" else "red"
        return (
            (
                f"{sum(spec.status == 'passed' for spec in ideas)} of {len(ideas)} "
                "specs pass"
            ),
            "red",
        )
    if not ran:
        return lack or f"not run: {exercise.specs[0].said}", ""
    works = ("works" if ideas else "edges") + (
        f", {exercise.note}" if exercise.note else ""
    )
    if not exercise.open_edges:
        return f"{works} {STAR}", "green"
    works += " · "
    return works + words.star_line(exercise, "--edges", room - len(works)), "green"
