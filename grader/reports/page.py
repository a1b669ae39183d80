"""HTML pages from the templates beside this file. All text from elsewhere
is escaped.
"""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from grader.reports import words
from grader.results import number

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: object) -> str:
    """A page of a template with these values."""
    return _environment().get_template(template).render(values) + "\n"


@cache
def _environment() -> Any:
    import jinja2  # here, because commands that render no page need not wait for it

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["words"] = words
    made.filters.update(number=number, percent=_percent, sha256=_sha256)
    return made


def _sha256(text: str) -> str:
    """The digest by which a page's policy names a script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.0f}%"
