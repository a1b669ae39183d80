"""Questions that the specs of 08 cannot ask from another process: their transforms would count in the judge."""

import torch

from grader.lock.probes import probe


class Add:
    def __init__(self, number):
        self.number, self.calls = number, 0

    def __call__(self, x):
        self.calls += 1
        return x + self.number


class Double:
    def __call__(self, x):
        return 2 * x


@probe("Compose")
def _(kata, rng):
    x, number = torch.randint(9, 99, (2,), generator=rng).tolist()
    add = Add(number)
    compose = kata.Compose((add, Double(), add))
    return [compose(x), compose.steps(x), add.calls, compose.transforms[0] is add, len(compose.transforms)]
