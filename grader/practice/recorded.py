"""What the course has recorded about a kata, as far as it is here: a starter repository has none of it."""

import runpy

from grader.course import kata_modules
from grader.course.catalogue import Kata
from grader.practice.planting import Version


def mistakes(kata: Kata) -> list[Version]:
    """The mistakes that cost a point."""
    file = kata.author / "mistakes.py"
    if not (file.is_file() and kata.reference.is_file()):
        return []
    right = kata_modules.read_source(kata.reference)
    found = runpy.run_path(str(file))["MISTAKES"]
    return [Version(right, right.replace(one.was, one.now)) for one in found if not one.edge]


def solutions(kata: Kata) -> list[str]:
    """Right solutions: the reference, the textbook, and the accepted ones, each behind what it leaves out."""
    if not kata.reference.is_file():
        return []
    right = kata_modules.read_source(kata.reference)
    others = [kata_modules.read_source(file) for file in (kata.textbook, *kata.accepted) if file.is_file()]
    return [right, *(f"{right}\n\n{other}" for other in others)]
