"""Renders a report as JSON (schema kata-report/3). Every other format can be made
from it.
"""

import json

from grader.results import Report, as_dict


def render(report: Report) -> str:
    """The whole report, indented."""
    return json.dumps(as_dict(report), indent=2, ensure_ascii=False) + "\n"
