"""HTML pages from the templates beside this file. All text from elsewhere is escaped."""

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from grader.reports import words
from grader.results import number

TEMPLATES = Path(__file__).parent / "templates"
STYLE, SCRIPT = ((TEMPLATES / name).read_text() for name in ("style.css", "sort.js"))


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


def page(heading: str, body: str, script: str = "") -> str:
    """A whole page. It runs no script but this one, and loads nothing, whatever the body holds."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'" + (f"; script-src 'sha256-{digest}'" if script else "")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>torch katas: {escape(heading)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main>{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def bar(points: float, most: float) -> str:
    """A bar with the share of the points."""
    share = _percent(points, most)
    return f"<div class='bar' role='img' aria-label='{share}'><i style='width:{share}'></i></div>"


def two_bars(first: float, second: float, most: float) -> str:
    """A bar with two shares, beside the text that says them."""
    parts = "".join(f"<i style='width:{_percent(part, most)}'></i>" for part in (first, second))
    return f"<div class='bar' aria-hidden='true'>{parts}</div>"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.0f}%"


def table(name: str, about: str, heads: str, rows: str) -> str:
    """A table that scrolls below its caption, with the keyboard too. The caption stays in sight.

    Args:
        name: for the caption's id.
    """
    grid = f"<table class='sorts' aria-labelledby='{name}'><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    scrolls = f"<div class='wide' role='region' aria-labelledby='{name}' tabindex='0'>{grid}</div>"
    return f"<figure><figcaption id='{name}'>{about}</figcaption>{scrolls}</figure>"


def heads(first: str, *others: str, kind: str = "") -> str:
    """Column heads, of which the first one stays in sight. `kind` is the others' class: "n" above numbers."""
    return f"<th scope='col' class='corner'>{first}</th>" + "".join(head(name, kind) for name in others)


def head(name: str, kind: str = "") -> str:
    """One column head."""
    return f"<th scope='col' class='{kind}'>{name}</th>" if kind else f"<th scope='col'>{name}</th>"
