"""SGD and Adam derived from torch.optim.Optimizer, which keeps the groups, the state
and the gradients.
"""

from collections.abc import Iterable

import torch
from torch import nn


class SGD(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, nesterov=False):
        if lr < 0 or (nesterov and momentum == 0):
            raise ValueError(f"lr {lr}, nesterov {nesterov}, momentum {momentum}")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad.add(p, alpha=group["weight_decay"])
                if group["momentum"]:
                    state = self.state[p]
                    state["buf"] = (
                        state["buf"] * group["momentum"] + g if "buf" in state else g
                    )
                    g = (
                        g + group["momentum"] * state["buf"]
                        if group["nesterov"]
                        else state["buf"]
                    )
                p.sub_(group["lr"] * g)


class Adam(torch.optim.Optimizer):
    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
    ):
        if lr < 0:
            raise ValueError(f"lr is negative: {lr}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must lie in [0, 1): {betas}")
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            (one, two), lr = group["betas"], group["lr"]
            for p in (p for p in group["params"] if p.grad is not None):
                g, state = p.grad + group["weight_decay"] * p, self.state[p]
                t = state["t"] = state.get("t", 0) + 1
                state["m"] = one * state.get("m", torch.zeros_like(p)) + (1 - one) * g
                state["v"] = (
                    two * state.get("v", torch.zeros_like(p)) + (1 - two) * g**2
                )
                p -= (
                    lr
                    * (state["m"] / (1 - one**t))
                    / ((state["v"] / (1 - two**t)).sqrt() + group["eps"])
                )
