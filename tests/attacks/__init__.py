"""Submissions that mean harm, or do it: each with what it must get."""

from dataclasses import dataclass
from typing import Literal

# A forgery that is enough where the specs share the process, so that the second lock
# is asked.
FIRST = """
try:
    import grader.execution
    from _pytest.reports import TestReport
    TestReport.outcome = property(lambda self: "passed", lambda self, value: None)
except ImportError: pass
"""


@dataclass(frozen=True)
class Attack:
    """Code that stands behind wrong answers to 01_sums (`wrong`), or behind right ones,
    and what it must come to.

    "nothing": no point. "its points": the right answers are worth what they are,
    whatever else the code does.
    """

    name: str
    code: str
    gets: Literal["nothing", "its points"] = "nothing"
