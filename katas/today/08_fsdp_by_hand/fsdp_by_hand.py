"""Training in W pieces: parameters, gradients and moments are cut among the ranks, then
the matrix products as well.

Every function but `sharded_adamw` is called by all ranks, in the same order, inside a
process group, such as that of 31's `launch`. W = number of ranks, n = number of
elements of all tensors together, S = ⌈n / W⌉.

The flat vector holds the elements of all tensors in order, row by row, then zeros up to
S · W. Rank r holds its elements r · S to (r + 1) · S − 1: its shard.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from grader.loading import prerequisite

launch = prerequisite("31_distributed_training").launch


def shard_flat(tensors: Sequence[Tensor]) -> Tensor:
    """Keep this rank's piece of all tensors.

    Args:
        tensors: the same on every rank, without gradients.
    Returns:
        (S,): this rank's shard of the flat vector. With W = 2, [[1, 2], [3, 4]] and [5]
        become [1, 2, 3] on rank 0 and [4, 5, 0] on rank 1.

    The shard has memory of its own: a slice would keep the whole vector alive.

    Edge cases ★
        With n much below S · W, some ranks hold padding alone. The dtype is that of the
        tensors, which may be non-contiguous.
    """
    raise NotImplementedError


def gather_parameters(shard: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Put the shards of all ranks together again.

    Args:
        shard: (S,), this rank's.
        shapes: of the whole tensors, in their order.
    Returns:
        The whole tensors, on every rank. [1, 2, 3] on rank 0 and [4, 5, 0] on rank 1
        with the shapes (2, 2) and (1,) are [[1, 2], [3, 4]] and [5].

    Edge cases ★
        The dtype is that of the shard. The shape () is a scalar's.
    """
    raise NotImplementedError


def scatter_gradients(grads: Sequence[Tensor]) -> Tensor:
    """Average the gradients over the ranks, and keep this rank's piece of the mean.

    Args:
        grads: one gradient per parameter, of this rank's rows. Every rank has as
            many rows.
    Returns:
        (S,): this rank's shard of the flat vector of means. [1, 2, 3, 4] on rank 0 and
        [3, 4, 5, 6] on rank 1 become [2, 3] on rank 0 and [4, 5] on rank 1.

    Edge cases ★
        The gradients are not written to. The dtype is theirs.
    """
    raise NotImplementedError


def sharded_adamw(
    shard: Tensor,
    grad: Tensor,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """Make one step of AdamW on this rank's shard, in place and without
    any communication.

    Args:
        shard: (S,), parameters.
        grad: (S,), their gradient.
        state: a dict, {} before the first step. Afterwards it holds "step", the number
            of steps, and the moments "exp_avg" and "exp_avg_sq", (S,) each.
        lr, betas, eps, weight_decay: as in 21.

    1. p ← p · (1 − lr · weight_decay)
    2. m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g², both from zero
    3. p ← p − lr · m̂ / (√v̂ + eps), with m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) in step
       t = 1, 2, …

    Edge cases ★
        `grad` is not written to.
    """
    raise NotImplementedError


def global_norm(grad: Tensor) -> float:
    """Measure the whole gradient, of which each rank has a piece.

    Args:
        grad: (S,), this rank's shard.
    Returns:
        The L2 norm of the flat vector, the same plain float on every rank: pieces [3]
        and [4] give 5.0 on both.

    Edge cases ★
        `grad` is not written to.
    """
    raise NotImplementedError


def column_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute this rank's share of a linear layer's outputs.

    Args:
        x: (…, I), the same on all ranks.
        weight: (O / W, I), this rank's rows of the whole weight (O, I).
        bias: (O / W,), this rank's.
    Returns:
        (…, O / W): x weightᵀ + bias, this rank's features of the layer's output.
        Nothing is sent.

    Backward, each rank knows what x does to its own outputs only. So the gradient of x
    is summed over the ranks: Megatron's f, identity forward, all-reduce backward. Those
    of weight and bias are this rank's alone.

    Edge cases ★
        Backward works where x needs no gradient, too.
    """
    raise NotImplementedError


def row_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute a linear layer whose inputs are spread over the ranks.

    Args:
        x: (…, I / W), this rank's features, as `column_linear` returns them.
        weight: (O, I / W), this rank's columns of the whole weight (O, I).
        bias: (O,), the same on all ranks.
    Returns:
        (…, O), the same on all ranks: the sum of x weightᵀ over the ranks, then
        bias, once.

    Backward, every rank has the gradient of the sum already: Megatron's g, all-reduce
    forward, identity backward.
    """
    raise NotImplementedError


def full_state_dict(
    shard: Tensor, names: Sequence[str], shapes: Sequence[Sequence[int]]
) -> dict[str, Tensor]:
    """Bring the whole parameters to rank 0, to save them.

    Args:
        shard: (S,), this rank's.
        names: one per parameter, in the order of the shapes.
        shapes: of the whole parameters.
    Returns:
        On rank 0 the whole tensors by name, as the plain module's `load_state_dict`
        wants them; on every other rank {}.

    All ranks call it: rank 0 cannot have what the others do not send.
    """
    raise NotImplementedError
