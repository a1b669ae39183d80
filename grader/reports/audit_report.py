"""Renders an audit: as lines for a terminal, and as JSON (schema kata-audit/1)."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from grader.reports.words import counted
from grader.results import Audit, title


def lines(audit: Audit) -> Iterator[str]:
    """One line per verdict that differs, and the sums."""
    for one in audit.differences:
        first, second = one.first or "not there", one.second or "not there"
        yield f"{one.student}: {one.kata} · {one.exercise} · {title(one.spec)}: {first}, then {second}"
    many = len(audit.differences)
    found = f"{many} verdicts differ" if many > 1 else f"{many or 'no'} verdict differs"
    state = "" if audit.complete else "  (interrupted: the rest was not graded)"
    students, results = counted(len(audit.students), "student"), counted(audit.results, "result")
    yield f"{students}, {results} graded twice: {found}{state}"


def render_json(audit: Audit) -> str:
    """The students, how many results were compared, and the differences."""
    return json.dumps({"schema": "kata-audit/1", **asdict(audit)}, indent=2, ensure_ascii=False) + "\n"
