"""What the specs of tinytorch/08 cannot ask from another process."""

import torch

from grader.loading import probe


@probe("evaluating")
def _(kata, rng):
    from tinytorch.autograd import is_grad_enabled
    from tinytorch.layers import Linear

    seen = []
    for training in torch.randint(2, (4,), generator=rng).bool().tolist():
        model = Linear(2, 3)
        model.train(training)
        with kata.evaluating(model):
            seen.append((model.training, is_grad_enabled()))
        seen.append((model.training, is_grad_enabled()))
    return seen
