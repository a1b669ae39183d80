"""What an assistant may ask about a learner's katas. Hints are counted, and no solution
is quoted by accident.
"""

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from grader.course import catalogue, hint_file
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import KataError, NotPossible
from grader.learner import helping, progress, reading, stepping, tasks
from grader.reports import words
from grader.results import ExerciseResult, KataResult
from grader.tutor.withheld import without_solutions

TERM = re.compile(r"^\*\*(.+?)\*\* — .+$", re.MULTILINE)  # of the glossary
MOST_TERMS = 5


def _guarded(tool: Callable[..., str]) -> Callable[..., str]:
    """The tool, with what leaves it, an answer or an error, without lines
    of solutions.
    """

    @wraps(tool)
    def answered(tutor: "Tutor", kata: str, exercise: str = "") -> str:
        found = catalogue.find(kata, tutor.root)
        try:
            answer = tool(tutor, kata, exercise) if exercise else tool(tutor, kata)
        except KataError as error:
            error.args = (without_solutions(str(error), found),)
            raise
        return without_solutions(answer, found)

    return answered


class Tutor:
    """The tools, on the katas of the tree at `root`. Each method's docstring is what
    the assistant reads of it.
    """

    def __init__(self, root: Path):
        self.root = root

    @_guarded
    def lesson(self, kata: str) -> str:
        """The lesson of a kata: objectives, concept, where it bites, and the table of
        its exercises.

        Args:
            kata: its number, such as "16", "papers/13" or "tinytorch/05".
        """
        return reading.for_terminal(reading.page_of(self._kata(kata)))

    @_guarded
    def exercise(self, kata: str, exercise: str = "") -> str:
        """What an exercise asks for, with shapes and an example, and the line to write
        it at.

        Args:
            exercise: its name; without one, that where the learner is.
        """
        found, one = self._exercise(kata, exercise)
        asked = (
            tasks.asked(found, one.name)
            or f"katas/{found.file} has no {one.name}, or does not parse"
        )
        uses = f"\n\nuses {', '.join(one.uses)}" if one.uses else ""
        return f"{one.name} ({'stretch' if one.stretch else 'core'})\n\n{asked}{uses}"

    @_guarded
    def verdict(self, kata: str) -> str:
        """Run a kata's specs on the learner's file: what works, which stars are earned,
        what is not written.
        """
        found = self._kata(kata)
        result = self._result(found)
        rows = (
            [f"{one.name}: {words.verdict(one)}" for one in result.exercises]
            if result
            else []
        )
        head = f"{found.number} {found.title}: {progress.in_words(result)}"
        return "\n".join(filter(None, [head, *rows, result.message if result else ""]))

    @_guarded
    def failure(self, kata: str, exercise: str = "") -> str:
        """The first failure of an exercise, as the learner reads it: why it is asked,
        given, expected and got.

        Args:
            exercise: its name; without one, that where the learner is.
        """
        found, one = self._exercise(kata, exercise)
        judged = self._judged(found, one)
        if judged is None:
            return f"{one.name}: not written yet"
        return words.feedback(judged) or f"{one.name}: {words.verdict(judged)}"

    @_guarded
    def hint(self, kata: str, exercise: str = "") -> str:
        """The next hint for an exercise. Hints come in order, and the learner's folder
        counts them. Ask before you take one.

        Args:
            exercise: its name; without one, that where the learner is.
        """
        found, one = self._exercise(kata, exercise)
        items, number = (
            hint_file.of(found, one.name),
            helping.taken(found, one.name) + 1,
        )
        if number > len(items):
            return (
                f"{one.name}: all {len(items)} hints were given. Ask what the learner "
                "has tried with them."
            )
        helping.note_taken(found, one.name, number)
        return f"{one.name}, hint {number} of {len(items)}: {items[number - 1]}"

    @_guarded
    def trace(self, kata: str, exercise: str = "") -> str:
        """Follow the learner's code line by line through a call of its first failing
        spec: values and shapes.

        Args:
            exercise: its name; without one, that where the learner is.
        """
        found, one = self._exercise(kata, exercise)
        return "\n".join(
            stepping.lines(stepping.of_a_spec(found, one, progress.job(found)))
        )

    def glossary(self, term: str) -> str:
        """What a term means, and which katas explain it.

        Args:
            term: the word, or a part of it.
        """
        page = (self.root / "katas" / "GLOSSARY.md").read_text(encoding="utf-8")
        named = [
            (match[1].lower(), match[0])
            for match in TERM.finditer(page)
            if term.lower() in match[1].lower()
        ]
        if not named:
            raise NotPossible(f"the glossary has no term '{term}'")
        nearest = sorted(named, key=lambda one: len(one[0]))[:MOST_TERMS]
        return "\n\n".join(reading.for_terminal(entry) for _, entry in nearest)

    def _kata(self, query: str) -> Kata:
        return catalogue.find(query, self.root)

    def _exercise(self, query: str, name: str) -> tuple[Kata, Exercise]:
        """The exercise of this name, or the one where the learner is."""
        kata = self._kata(query)
        return kata, kata.exercise(name or progress.current(kata, self._result(kata)))

    def _result(self, kata: Kata) -> KataResult | None:
        return progress.so_far([kata], self.root / "katas")[kata]

    def _judged(self, kata: Kata, exercise: Exercise) -> ExerciseResult | None:
        result = self._result(kata)
        return (
            next((one for one in result.exercises if one.name == exercise.name), None)
            if result
            else None
        )
