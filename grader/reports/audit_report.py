"""Renders an audit: as lines for a terminal, and as JSON (schema kata-audit/1)."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from grader.results import Audit, title


def lines(audit: Audit) -> Iterator[str]:
    """One line per verdict that differs, and the sums."""
    for one in audit.differences:
        first, second = one.first or "not there", one.second or "not there"
        yield f"{one.student}: {one.kata} · {one.exercise} · {title(one.spec)}: {first}, then {second}"
    found = f"{len(audit.differences)} verdicts differ" if audit.differences else "no verdict differs"
    state = "" if audit.complete else "  (interrupted: the rest was not graded)"
    yield f"{len(audit.students)} students, {audit.results} results graded twice: {found}{state}"


def render_json(audit: Audit) -> str:
    """The students, how many results were compared, and the differences."""
    return json.dumps({"schema": "kata-audit/1", **asdict(audit)}, indent=2, ensure_ascii=False) + "\n"
