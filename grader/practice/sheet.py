"""Questions as a page to print, and their key as another."""

from collections.abc import Sequence
from html import escape

from grader.course.description import Exercise
from grader.practice.questions import Question
from grader.reports.page import page as whole_page

LETTERS = "abcd"


def page(heading: str, asked: Sequence[tuple[Exercise, Question]]) -> str:
    """A page with the questions. It does not say which answers are right."""
    body = "".join(_question(exercise, question) for exercise, question in asked)
    return whole_page(heading, f"<h1>{escape(heading)}</h1><p class='dim'>About your own code.</p><ol>{body}</ol>")


def key(heading: str, asked: Sequence[tuple[Exercise, Question]]) -> str:
    """A page with the letters of the right answers."""
    rows = "".join(
        f"<li>{LETTERS[one.answer]} <span class='dim'>{escape(one.options[one.answer])}</span></li>" for _, one in asked
    )
    return whole_page(f"{heading}, key", f"<h1>{escape(heading)}: key</h1><ol>{rows}</ol>")


def _question(exercise: Exercise, question: Question) -> str:
    options = "".join(f"<li>{_code(option)}</li>" for option in question.options)
    return (
        f"<li><p><strong>{escape(exercise.name)}</strong>: {_code(question.text)}</p><ol type='a'>{options}</ol></li>"
    )


def _code(text: str) -> str:
    """Text in which `…` is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
