"""Explains a score: what each exercise is worth, and what its point, its star and
lateness come to.
"""

from grader.results import ExerciseResult, Report, number

COLUMNS = ("", "worth", "point", "star", "late", "score")


def lines(report: Report) -> list[str]:
    """One aligned line per exercise, kata and report. In each line, point, star and
    lateness sum to the score.
    """
    rows: list[tuple[str, ...]] = [COLUMNS]
    for kata in report.katas:
        rows.append((kata.kata, *_sums(kata.exercises)))
        rows += [
            (f"  {exercise.name}", *_sums((exercise,))) for exercise in kata.exercises
        ]
    rows.append(("total", *_sums(report.parts)))
    first, *others = (
        max(len(row[column]) for row in rows) for column in range(len(COLUMNS))
    )
    return [
        f"{name:<{first}}" + "".join(f"  {c:>{w}}" for c, w in zip(cells, others))
        for name, *cells in rows
    ]


def _sums(exercises: tuple[ExerciseResult, ...]) -> tuple[str, ...]:
    worth = sum(e.worth for e in exercises)
    point = sum(e.worth * (1 - e.star_share) for e in exercises if e.so_far.point)
    star = sum(e.worth * e.star_share for e in exercises if e.so_far.star)
    score = sum(e.score_so_far for e in exercises)
    late = round(score - point - star, 6) + 0.0  # no "-0"
    return tuple(map(number, (worth, point, star, late, score)))
