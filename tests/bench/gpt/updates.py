"""AdamW with clipping as one function of all weights, for torch.compile: norm, clipping
and update in few passes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# as in kata 29's make_optimizer, and kata 30's clip
BETA_1, BETA_2, EPS, DECAY, MAX_NORM = 0.9, 0.95, 1e-8, 0.1, 1.0


class Update:
    """One step of AdamW per call, from the weights' `.grad`, which it clears.

    Weights in half precision get a float32 copy each, which is what the step changes.
    Without it small steps would be lost to rounding.
    """

    def __init__(
        self, weights: list[Tensor], lr: float, compiled: Callable[[Callable], Callable]
    ):
        self.weights = weights
        self.copies = [w.detach() for w in weights if w.dtype != torch.float32]
        self.masters = [
            w.detach().float() if self.copies else w.detach() for w in weights
        ]
        self.means = [torch.zeros_like(w) for w in self.masters]
        self.squares = [torch.zeros_like(w) for w in self.masters]
        self.lr, self.n_steps = (
            torch.tensor(value, device=weights[0].device) for value in (lr, 0.0)
        )
        self.update = compiled(_adamw)

    @torch.no_grad()
    def __call__(self) -> None:
        grads = [w.grad for w in self.weights]
        self.update(
            grads,
            self.masters,
            self.means,
            self.squares,
            self.copies,
            self.n_steps,
            self.lr,
        )
        for weight in self.weights:
            weight.grad = None


def _adamw(
    grads: list[Tensor],
    masters: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    copies: list[Tensor],
    n_steps: Tensor,
    lr: Tensor,
) -> None:
    clipped = [grad.float() for grad in grads]
    norm = torch.stack(torch._foreach_norm(clipped)).norm()
    torch._foreach_mul_(clipped, (MAX_NORM / (norm + 1e-6)).clamp(max=1.0))
    n_steps.add_(1.0)
    torch._foreach_lerp_(means, clipped, 1 - BETA_1)
    torch._foreach_mul_(squares, BETA_2)
    torch._foreach_addcmul_(squares, clipped, clipped, 1 - BETA_2)
    steps = torch._foreach_sqrt(squares)
    torch._foreach_div_(steps, (1 - BETA_2**n_steps).sqrt())
    torch._foreach_add_(steps, EPS)
    steps = torch._foreach_div(means, steps)
    torch._foreach_mul_(steps, lr / (1 - BETA_1**n_steps))
    if matrices := [master for master in masters if master.ndim >= 2]:
        torch._foreach_mul_(matrices, 1 - lr * DECAY)
    torch._foreach_sub_(masters, steps)
    if copies:
        torch._foreach_copy_(copies, masters)
