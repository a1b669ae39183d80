"""Measures what a kata's textbook solution and its unguarded reference earn, and how
long its docstrings are.
"""

import ast
import statistics

from grader.course import cells
from grader.course.catalogue import Kata
from grader.results import KataResult
from grader.workers import forkserver
from workshop import guards, variants

EDGES = "Edge cases ★"  # the heading of a docstring's second part


def words(kata: Kata) -> dict[str, tuple[int, int]]:
    """The words of each exercise's docstrings: those of the idea, and those of
    the edges.
    """
    counts: dict[str, tuple[int, int]] = {}
    for name, texts in docstrings(kata).items():
        parts = [text.partition(EDGES) for text in texts]
        counts[name] = (
            sum(len(idea.split()) for idea, _, _ in parts),
            sum(len(edges.split()) for _, _, edges in parts),
        )
    return counts


def docstrings(kata: Kata) -> dict[str, list[str]]:
    """The docstrings of each exercise: a class's own, and those of its methods that are
    no exercises themselves.
    """
    tree = ast.parse(kata.reference.read_text(encoding="utf-8"))
    names = [exercise.name for exercise in kata.exercises]
    found: dict[str, list[str]] = {}
    for name, node in cells.definitions(tree).items():
        exercise = name if name in names else name.partition(".")[0]
        if exercise in names:
            found.setdefault(exercise, []).append(ast.get_docstring(node) or "")
    return found


def minutes(kata: Kata) -> tuple[int, int]:
    """A beginner's minutes for the core and for all, in steps of five, by the amount to
    read and to write.

    150 words of a lesson or 120 of docstrings per minute, 1.25 minutes per line of the
    textbook solution, 2 per exercise for its verdicts, 5 for the kata, and half of
    these where each exercise is a line of the core: estimates, which give for 01 what a
    first-time learner with a clock took.
    """
    lesson = len((kata.folder / "README.md").read_text(encoding="utf-8").split())
    docstrings, lines = words(kata), _lines(kata)
    is_short = all(lines[e.name] == 1 and not e.stretch for e in kata.exercises)
    found = []
    for exercises in ([e for e in kata.exercises if not e.stretch], kata.exercises):
        read = (
            lesson / 150
            + sum(docstrings[e.name][0] for e in exercises if e.name in docstrings)
            / 120
        )
        written = sum(1.25 * lines[e.name] for e in exercises)
        around = (2 * len(exercises) + 5) / (2 if is_short else 1)
        found.append(5 * round((read + written + around) / 5))
    return found[0], found[1]


def _lines(kata: Kata) -> dict[str, int]:
    """The lines of each exercise's textbook solution, without those of methods that are
    exercises themselves.
    """
    tree = cells.definitions(ast.parse(kata.textbook.read_text(encoding="utf-8")))
    names = [exercise.name for exercise in kata.exercises]

    def count(name: str) -> int:
        node = tree.get(name)
        if isinstance(node, ast.ClassDef):
            return sum(
                count(method)
                for method in tree
                if method.startswith(f"{name}.") and method not in names
            )
        body = node.body[bool(ast.get_docstring(node)) :] if node else []
        return sum(len(ast.unparse(statement).splitlines()) for statement in body)

    return {name: count(name) for name in names}


def earned(kata: Kata) -> tuple[KataResult, KataResult]:
    """The results of the textbook solution and of the reference without guards."""
    texts = [kata.textbook.read_text(encoding="utf-8")]
    texts.append(guards.stripped(kata.reference.read_text(encoding="utf-8")))
    jobs = [variants.job(kata, text) for text in texts]
    results = variants.results(jobs)
    return results[jobs[0]], results[jobs[1]]


def _line(kata: Kata, results: tuple[KataResult, KataResult]) -> str:
    counts = words(kata)
    ideas = [
        sum(not spec.edge for spec in exercise.specs)
        for exercise in results[0].exercises
    ]
    edges = [
        sum(spec.edge for spec in exercise.specs) for exercise in results[0].exercises
    ]
    textbook, unguarded = (
        f"{sum(e.so_far.point and not e.note for e in result.exercises)}"
        f"/{result.max_points}"
        for result in results
    )
    idea, edge = (
        statistics.median(count[part] for count in counts.values()) for part in (0, 1)
    )
    return (
        f"{kata.name:<32} textbook {textbook:>6}  unguarded {unguarded:>6}  words "
        f"{idea:>5g} + {edge:>4g}, at most {max(map(sum, counts.values())):>4}"
        f"  specs {sum(ideas):>3} + {sum(edges):>3}, at most {max(ideas):>3} per point"
    )


def report(katas: list[Kata], *, briefly: bool) -> None:
    """Print a line per kata, and unless it is brief the reason of each lost point and
    the words of each docstring.
    """
    forkserver.prepare(katas)
    for kata in katas:
        results = earned(kata)
        print(_line(kata, results), flush=True)
        if briefly:
            continue
        for whose, result in zip(("textbook", "unguarded"), results, strict=True):
            for spec in (
                spec for exercise in result.exercises for spec in exercise.specs
            ):
                if spec.status not in ("passed", "skipped") or (
                    spec.message and spec.status == "passed"
                ):
                    kind = "edge " if spec.edge else "POINT"
                    print(
                        f"  {whose:<9} {kind} {spec.name}: "
                        f"{' '.join(spec.message.split())[:300]}"
                    )
        for name, (idea, edges) in words(kata).items():
            print(f"  {name:<32} {idea:>4} + {edges:>3} words")
