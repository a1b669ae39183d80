"""The benchmark of a class: another grader that fails costs its own row, and cells have
ids that nbgrader takes.
"""

import re

from grader.course import catalogue
from tests.bench import bench_class


def test_a_grader_that_fails_costs_its_row_alone(capsys):
    line = bench_class.Line("fine", "3, scaled", 2.0, 1.0, "3 of 3")

    def fails(*given):
        raise FileNotFoundError("no autograded/ann/course")

    assert bench_class.row_of("nbgrader", fails, 1, 2) == []
    assert bench_class.row_of("fine", lambda: line) == [line]
    assert capsys.readouterr().out.splitlines() == [
        "nbgrader: no row, as it failed: FileNotFoundError: no autograded/ann/course",
        "fine: 3, scaled, 2 s, 1 s of CPU time",
    ]


def test_nbgrader_takes_every_cells_id():
    for kata in map(catalogue.find, bench_class.KATAS):
        for exercise in kata.exercises:
            cell = bench_class.nbgrader_cell("", exercise.name, solution=False)
            assert re.fullmatch(
                r"[A-Za-z0-9_-]+", cell.metadata["nbgrader"]["grade_id"]
            )
