"""A kata's page: the lesson as it is, with what it leads to, and with each exercise's
docstring and hints.
"""

import ast
import re
import textwrap
from collections.abc import Iterator

from grader.course import hint_file, pages, stubs
from grader.course.catalogue import Kata
from grader.course.cells import Function, first_line
from grader.course.description import Exercise
from workshop.site.docstrings import markdown
from workshop.site.links import Places

# up to the next heading
AFTER_EXERCISES = re.compile(r"^## Exercises\n.*?(?=^##)", re.MULTILINE | re.DOTALL)
GLOSSARY = re.compile(
    r"(?<=^New terms are in the \[glossary\]\()(.*?)\)\.", re.MULTILINE
)


def page(
    kata: Kata,
    text: str,
    place: str,
    places: Places,
    leads_to: list[Kata],
    terms: list[str],
) -> str:
    """The lesson's text for the site.

    Args:
        text: the lesson, with links as they are in the site.
        place: the page's path in the site's source.
        leads_to: the katas that build on this one.
        terms: the glossary's terms that this kata explains.
    """
    text = text.rstrip("\n") + "\n" + _led_to(leads_to, place, places)
    if terms:
        linked = ", ".join(f"{{term}}`{term}`" for term in terms)
        text = GLOSSARY.sub(lambda match: f"{match[1]}): {linked}.", text)
    told = "\n\n".join(exercises(kata))
    return AFTER_EXERCISES.sub(lambda match: f"{match[0]}{told}\n\n", text, count=1)


def titled(kata: Kata, place: str, places: Places) -> str:
    """A link to the kata from a page of the site, with number and title."""
    return (
        f"[{pages.label(kata)} "
        f"{kata.title}]({places.link(place, f'katas/{kata.name}/README.md')})"
    )


def exercises(kata: Kata) -> Iterator[str]:
    """A section per exercise: its signature and docstring from the stub, and its hints,
    each behind a fold.
    """
    stub = stubs.stub_of(kata) or ""
    lines, body = stub.splitlines(), ast.parse(stub).body
    defined = {
        node.name: node for node in body if isinstance(node, Function | ast.ClassDef)
    }
    hints = hint_file.sections(kata) if (kata.folder / "hints.md").is_file() else {}
    shown: set[str] = set()
    for exercise in kata.exercises:
        parts = [f"### `{exercise.name}`", _about(exercise)]
        node = defined[exercise.owner]
        if exercise.owner not in shown:
            parts += _docs(node, lines)
            shown.add(exercise.owner)
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                is_asked = exercise.name in (
                    exercise.owner,
                    f"{exercise.owner}.{getattr(method, 'name', '')}",
                )
                if (
                    isinstance(method, Function)
                    and is_asked
                    and (stubs.is_open(method) or "." in exercise.name)
                ):
                    parts += _docs(method, lines)
        parts += [
            _fold(f"Hint {n}", hint)
            for n, hint in enumerate(hints.get(exercise.name, []), start=1)
        ]
        yield "\n\n".join(parts)


def _led_to(katas: list[Kata], place: str, places: Places) -> str:
    if not katas:
        return ""
    return (
        "\n"
        "What builds on it: "
        f"{', '.join(titled(kata, place, places) for kata in katas)}.\n"
    )


def _about(exercise: Exercise) -> str:
    uses = (
        f" · uses {', '.join(f'`{name}`' for name in exercise.uses)}"
        if exercise.uses
        else ""
    )
    return f"{'stretch' if exercise.stretch else 'core'} · {exercise.asks}{uses}"


def _docs(node: Function | ast.ClassDef, lines: list[str]) -> list[str]:
    """The signature of a function or class as a block of code, and its docstring
    as text.
    """
    signature = textwrap.dedent(
        "\n".join(lines[first_line(node, lines) : first_line(node.body[0], lines)])
    )
    docstring = ast.get_docstring(node)
    return [
        f"```python\n{signature}\n```",
        *([markdown(docstring)] if docstring else []),
    ]


def _fold(title: str, text: str) -> str:
    return f'<details class="hint"><summary>{title}</summary>\n\n{text}\n\n</details>'
