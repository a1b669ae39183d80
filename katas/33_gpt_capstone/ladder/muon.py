"""Muon for the hidden matrices, where GPT-2 has AdamW: every direction of a matrix
moves at the same rate.

today/02's steps on stacks of equal shape, which the processes share.
Sizes: a stack is (n, O, I), n matrices as nn.Linear holds them.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ladder.rung import Rung

RUNG = Rung(
    "Muon",
    record=3,
    date="2024-10-04",
    published="31.4 → 24.9 min",
    costs=(
        "0.7 to 0.9% of a step's operations; it keeps one moment per weight, where "
        "AdamW keeps two"
    ),
)
MOMENTUM = 0.95
Coefficients = tuple[tuple[float, float, float], ...]
NEWTON_SCHULZ: Coefficients = 5 * ((3.4445, -4.7750, 2.0315),)


def newton_schulz(g: Tensor, coefficients: Coefficients = NEWTON_SCHULZ) -> Tensor:
    """today/02's `newton_schulz`, with its defaults, of each matrix in a stack
    (n, O, I), in the dtype of g.
    """
    x = g / g.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    tall = g.size(1) > g.size(2)
    if tall:
        x = x.mT
    for a, b, c in coefficients:
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """today/02's Muon with Nesterov momentum and without decay, and its format of
    a checkpoint.

    Each process takes its share of every stack, and they exchange the results. All keep
    all momenta, so that a checkpoint needs no exchange, and another number of processes
    can load it.

    Args:
        today: the module of today/02.
        params: as for every optimizer.
        dtype: of the products and of what is exchanged; None: that of the gradients.
        compiles: if `newton_schulz` is compiled, once per shape.
        coefficients: of its polynomials.
    """

    def __init__(
        self,
        today: Any,
        params: Iterable[dict[str, Any]],
        dtype: torch.dtype | None = None,
        compiles: bool = False,
        coefficients: Coefficients = NEWTON_SCHULZ,
    ):
        super().__init__(params, {"lr": 0.02})
        self.shape_scale, self.dtype, self.coefficients = (
            today.shape_scale,
            dtype,
            coefficients,
        )
        self.newton_schulz = (
            torch.compile(newton_schulz, dynamic=False) if compiles else newton_schulz
        )

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        rank, share_of = (
            (dist.get_rank(), dist.get_world_size())
            if dist.is_initialized()
            else (0, 1)
        )
        for group in self.param_groups:
            stacks: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    stacks.setdefault(p.shape, []).append(p)
            results = []
            for matrices in stacks.values():
                grads = [p.grad for p in matrices if p.grad is not None]
                buffers = [
                    self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                    for p in matrices
                ]
                torch._foreach_mul_(buffers, MOMENTUM)
                torch._foreach_add_(buffers, grads)
                share = -(-len(matrices) // share_of)
                # the last fills up
                mine = [
                    min(i, len(matrices) - 1)
                    for i in range(rank * share, (rank + 1) * share)
                ]
                update = torch.stack([grads[i] for i in mine]) + MOMENTUM * torch.stack(
                    [buffers[i] for i in mine]
                )
                moved = self.newton_schulz(
                    update.to(self.dtype), self.coefficients
                ).contiguous()
                gathered, sent = moved, None
                if share_of > 1:
                    gathered = moved.new_empty(share_of * share, *moved.shape[1:])
                    sent = dist.all_gather_into_tensor(gathered, moved, async_op=True)
                results.append((matrices, gathered, sent))
            # while one stack is on its way, the next is computed
            for matrices, gathered, sent in results:
                if sent:
                    sent.wait()
                rate = group["lr"] * self.shape_scale(matrices[0].shape)
                torch._foreach_add_(
                    matrices,
                    [one.to(p.dtype) for one, p in zip(gathered, matrices)],
                    alpha=-rate,
                )
