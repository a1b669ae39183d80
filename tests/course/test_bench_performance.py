"""The budgets of performance: what is above one fails, a kata without one has that of
every kata.
"""

import tomllib

from tests.bench import performance


def test_what_is_above_its_budget_is_named_and_fails(capsys):
    budgets = tomllib.loads(performance.BUDGETS.read_text())
    assert performance.told(budgets, budgets) == 0
    figures = {section: dict(rows) for section, rows in budgets.items()}
    figures["commands"]["kata list"] *= 1.31
    figures["sealed over unsealed"]["34_new"] = 1.29 * performance.MOST_SEALED
    assert performance.told(budgets, figures) == 1
    [above] = [
        line for line in capsys.readouterr().out.splitlines() if line.endswith("ABOVE")
    ]
    assert above.startswith("kata list ")
