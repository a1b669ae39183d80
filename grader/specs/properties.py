"""Makes properties draw other examples. By private names of Hypothesis, written for
Hypothesis 6.
"""

from typing import Any

import pytest


def draw_examples(spec: pytest.Function, seed: int, most: int) -> None:
    """Have a property draw at most so many examples from this seed, and not look for
    simpler ones when it fails.
    """
    test: Any = getattr(spec.obj, "__func__", spec.obj)
    if not getattr(test, "is_hypothesis_test", False):
        return
    import hypothesis  # here, because specs without properties need not wait for it

    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    known = test._hypothesis_internal_use_settings
    fewer = hypothesis.settings(
        known, phases=phases, max_examples=min(known.max_examples, most)
    )
    test._hypothesis_internal_use_settings = fewer
    test._hypothesis_internal_use_seed = seed
