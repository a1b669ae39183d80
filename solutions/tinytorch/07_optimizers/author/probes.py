"""Questions that the specs of tinytorch/07 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe


def parameter(rng, *shape):
    from tinytorch.tensor import Tensor

    return Tensor(torch.randn(*shape, generator=rng).double().numpy(), requires_grad=True)


@probe("SGD")
def _(kata, rng):
    params, lr = [parameter(rng, 2, 3), parameter(rng, 4)], torch.rand((), generator=rng).item()
    params[0].grad = torch.randn(2, 3, generator=rng).double().numpy()
    kata.SGD(params, lr).step()
    return [(p.data, p.grad) for p in params]


@probe("max_stable_lr")
def _(kata, rng):
    return kata.max_stable_lr((0.1 + torch.rand(5, generator=rng, dtype=torch.float64)).tolist())


@probe("accumulation_report")
def _(kata, rng):
    param, new = parameter(rng, 4), torch.randn(4, generator=rng).double().numpy()

    class Loss:
        def backward(self):
            param.grad = new.copy() if param.grad is None else param.grad + new

    return kata.accumulation_report(param, Loss, 3)


@probe("update_cost")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    sizes = torch.randint(1, 30, (3,), generator=rng).tolist()
    return kata.update_cost([Tensor(np.zeros(size, dtype=np.float32), requires_grad=True) for size in sizes])
