"""How much a run may cost, and how long the GPT trains."""

from collections.abc import Iterable

from grader.course import parts

TRIAL_SECONDS, RUN_SECONDS = 5.0, 30.0  # of computing
RUNS = 4  # with ever fewer parts of the learner's, in the last with none
STEPS = 10  # of training, for each exercise that is the learner's


def steps(katas: Iterable[str]) -> int:
    """How long the GPT trains with these katas' parts: it grows with the learner."""
    return STEPS * sum(len(parts.BY_KATA[name].exercises) for name in katas)
