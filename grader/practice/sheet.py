"""Questions as a page to print, with the code that they are about, and their key as another."""

from collections.abc import Sequence
from html import escape

from grader.course.description import Exercise
from grader.practice import planting
from grader.practice.operators import Source
from grader.practice.questions import Question
from grader.reports.page import page as whole_page

LETTERS = "abcd"
Asked = Sequence[tuple[Exercise, Question]]


def page(heading: str, asked: Asked, text: str) -> str:
    """A page with the questions. It does not say which answers are right.

    Args:
        text: the file that they are about.
    """
    code = [_code_of(exercise, text) for exercise in dict.fromkeys(exercise for exercise, _ in asked)]
    questions = "".join(_question(exercise, question) for exercise, question in asked)
    return whole_page(heading, f"<h1>{escape(heading)}</h1>{''.join(code)}<ol>{questions}</ol>")


def key(heading: str, asked: Asked) -> str:
    """A page with the letters of the right answers."""
    rows = "".join(
        f"<li>{LETTERS[one.answer]} <span class='dim'>{_marked(one.options[one.answer])}</span></li>"
        for _, one in asked
    )
    return whole_page(f"{heading}, key", f"<h1>{escape(heading)}: key</h1><ol>{rows}</ol>")


def _code_of(exercise: Exercise, text: str) -> str:
    """The lines of an exercise's definition, with their numbers."""
    lines, span = text.splitlines(), planting.span(Source(text), exercise)
    return "<pre>" + escape("\n".join(f"{number:>4}  {lines[number - 1]}" for number in span)) + "</pre>"


def _question(exercise: Exercise, question: Question) -> str:
    options = "".join(f"<li>{_marked(option)}</li>" for option in question.options)
    return (
        f"<li><p><strong>{escape(exercise.name)}</strong>: {_marked(question.text)}</p><ol type='a'>{options}</ol></li>"
    )


def _marked(text: str) -> str:
    """Text in which `…` is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
