"""Questions that the specs of papers/25 cannot ask from another process: they compare the code with its own answers."""

import torch

from grader.lock.probes import probe


@probe("shortest_programs")
def _(kata, rng):
    longest = int(torch.randint(2, 6, (), generator=rng))
    found = kata.shortest_programs(longest)
    return {output: len(found[output]) for output in sorted(found) if kata.run_program(found[output]) == output}


@probe("ContextModel")
def _(kata, rng):
    model = kata.ContextModel(3, 2, 5)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return model(torch.randint(4, (6, 2), generator=rng))
