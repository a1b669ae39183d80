"""Attention: every position looks at every allowed position, at the price of
T² scores.
"""

import math  # stub: keep
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.autograd import Node, backward_rule  # stub: keep
from tinytorch.layers import Linear, Module  # stub: keep
from tinytorch.recorder import record  # stub: keep
from tinytorch.setup import get_rng, measure_scaling  # stub: keep
from tinytorch.tensor import Tensor

Mask = np.ndarray | Tensor  # bool; True = may attend


def masked_softmax(scores: Tensor, mask: Mask | None = None, dim: int = -1) -> Tensor:
    """Take the softmax of the allowed entries along one dimension. Forbidden ones get
    the weight 0.

    Args:
        scores: of any shape.
        mask: bool, of a shape that broadcasts to the scores. True = may attend. None
            allows everything.
        dim: the dimension along which the weights sum to 1.
    Returns:
        A Tensor of the scores' shape. [log 1, log 2, log 3] with the first one
        forbidden becomes [0, 2/5, 3/5].

    - A forbidden weight is exactly 0. So is its score's gradient.
    - Scores of ±10,000 give finite weights: subtract the largest *allowed* score.
    - Compose Tensor operations, or announce an operation of your own and write its
      `@backward_rule`.

    Edge cases ★
        Where nothing is allowed, weights and gradients are 0, and NumPy does not warn.
        A mask that is not bool is an error that names its dtype.
    """
    x = scores.data
    allowed = np.broadcast_to(True if mask is None else _bools(mask), x.shape)
    largest = np.max(x, axis=dim, keepdims=True, where=allowed, initial=-np.inf)
    # -inf where nothing is allowed
    largest = np.where(np.isfinite(largest), largest, 0)
    powers = np.exp(np.where(allowed, x - largest, -np.inf))
    total = powers.sum(axis=dim, keepdims=True)
    return record(
        Tensor(powers / np.where(total > 0, total, 1)),
        "masked_softmax",
        (scores,),
        dim=dim,
    )


@backward_rule("masked_softmax")
def _masked_softmax(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    weighted = node.out * grad
    return (weighted - node.out * weighted.sum(axis=node.saved["dim"], keepdims=True),)


def causal_mask(length: int) -> np.ndarray:
    """Allow each position itself and everything before it.

    Args:
        length: T, the number of positions.
    Returns:
        A bool array (T, T). Row t is True at 0 to t: T = 2 gives [[True, False],
        [True, True]].
    """
    return np.tri(length, dtype=bool)


def scaled_dot_product_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Mask | None = None
) -> tuple[Tensor, Tensor]:
    """Give each query the mean of the values, weighted by how well its key fits:
    softmax(q kᵀ / √d) v.

    Args:
        q: (..., T, d) queries. The dots are any number of dimensions, the same in
            all three.
        k: (..., S, d) keys.
        v: (..., S, e) values.
        mask: bool, of a shape that broadcasts to the scores (..., T, S).
            True = may attend.
    Returns:
        (output, weights): (..., T, e), and (..., T, S), in which each row sums to 1.
        A query of zeros has equal weights, 1/S each. Gradients reach q, k and v.

    Edge cases ★
        A query that may attend to nothing gets zeros, and all gradients are finite.
        Unequal numbers of dimensions, an unequal d, and an S that differs between k and
        v are errors that name the three shapes.
    """
    if (
        not q.ndim == k.ndim == v.ndim
        or q.shape[-1] != k.shape[-1]
        or k.shape[-2] != v.shape[-2]
    ):
        raise ValueError(
            f"queries {q.shape}, keys {k.shape} and values {v.shape} do not fit "
            "together"
        )
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    weights = masked_softmax(scores, mask)
    return weights @ v, weights


class SelfAttention(Module):
    """One head of attention in which queries, keys and values all come from the
    same sequence.

    Args:
        embed_dim: C, the features of each position.
        head_dim: d, the features of queries, keys and values. None means C.
        causal: True keeps each position from looking at later ones.
        rng: the source of all draws. None means the framework's generator.

    - `W_q`, `W_k` and `W_v` are Linears from C to d without a bias.
    - Called with (B, T, C), it returns the output of attention, (B, T, d), with the
      scale 1/√d.

    Edge cases ★
        An input that is not 3-D is an error that names its shape.
    """

    def __init__(
        self,
        embed_dim: int,
        head_dim: int | None = None,
        *,
        causal: bool = True,
        rng: np.random.Generator | None = None,
    ):
        rng, head_dim = get_rng(rng), embed_dim if head_dim is None else head_dim
        self.W_q = Linear(embed_dim, head_dim, bias=False, rng=rng)
        self.W_k = Linear(embed_dim, head_dim, bias=False, rng=rng)
        self.W_v = Linear(embed_dim, head_dim, bias=False, rng=rng)
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3:
            raise ValueError(f"x must be (B, T, C), got shape {x.shape}")
        mask = causal_mask(x.shape[1]) if self.causal else None
        output, _ = scaled_dot_product_attention(
            self.W_q(x), self.W_k(x), self.W_v(x), mask
        )
        return output


def sinusoidal_positions(length: int, dim: int) -> np.ndarray:
    """Describe each position by sines and cosines of falling frequency, to be added to
    the features.

    Args:
        length: T, the number of positions.
        dim: the number of features, even.
    Returns:
        float32 (length, dim). For i from 0 to dim/2 - 1, row t holds
        sin(t / 10000^(2i/dim)) in column 2i, and the cosine of the same angle in column
        2i + 1. Row 0 is 0, 1, 0, 1, …

    Edge cases ★
        An odd dim is an error that names it.
    """
    if dim % 2:
        raise ValueError(f"dim must be even, got {dim}")
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, dim, 2) / dim)
    table = np.empty((length, dim), dtype=np.float32)
    table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)
    return table


def attention_cost(
    batch: int, heads: int, length: int, head_dim: int, itemsize: int = 4
) -> dict[str, int]:
    """Predict the memory and the work of attention among T positions, in several heads
    at once.

    Args:
        batch, heads, length, head_dim: B, H, T and d. Queries, keys and values
            are (B, H, T, d).
        itemsize: bytes per number.
    Returns:
        Four ints: "score_bytes", of one (B, H, T, T) array; "qkv_bytes", of queries,
        keys and values together; "output_bytes", of the output (B, H, T, d);
        "multiply_adds", of the two matrix products, q kᵀ and weights · v.
    """
    features, scores = batch * heads * length * head_dim, batch * heads * length**2
    return {
        "score_bytes": scores * itemsize,
        "qkv_bytes": 3 * features * itemsize,
        "output_bytes": features * itemsize,
        "multiply_adds": 2 * scores * head_dim,
    }


def recurrence_comparison(length: int, dim: int) -> dict[str, Any]:
    """Compare an attention layer with a recurrent one, for one sequence of T positions
    with d features.

    The recurrence computes h_t = f(W x_t + U h_(t-1)), with matrices of (d, d).

    Args:
        length: T.
        dim: d.
    Returns:
        - "attention" and "recurrence": each a dict of three ints. "sequential_steps"
          cannot run in parallel: 1 and T. "path_length" is how many of them information
          takes from the first position to the last: 1 and T - 1. "multiply_adds": of
          attention's two matrix products, and of W x and U h at every position.
        - "crossover_length": the T at which both take equally many multiply-adds.
    """
    return {
        "attention": {
            "sequential_steps": 1,
            "path_length": 1,
            "multiply_adds": 2 * length**2 * dim,
        },
        "recurrence": {
            "sequential_steps": length,
            "path_length": length - 1,
            "multiply_adds": 2 * length * dim**2,
        },
        "crossover_length": dim,
    }


def attention_scaling(lengths: Sequence[int], head_dim: int = 16) -> dict[str, Any]:
    """Measure how the peak memory of `scaled_dot_product_attention` grows with the
    length of the sequence.

    Args:
        lengths: the values of T.
        head_dim: d. Queries, keys and values are float32 Tensors (1, T, d), made before
            the measurement.
    Returns:
        What `measure_scaling` returns for the peak bytes. The exponent nears 2 for
        lengths of 128 and more.
    """

    def build(length: int) -> Callable[[], Any]:
        q, k, v = (
            Tensor(np.ones((1, length, head_dim), dtype=np.float32)) for _ in range(3)
        )
        return lambda: scaled_dot_product_attention(q, k, v)

    return measure_scaling(build, lengths)


def _bools(mask: Mask) -> np.ndarray:
    array = np.asarray(mask.data if isinstance(mask, Tensor) else mask)
    if array.dtype != bool:
        raise TypeError(f"a mask must be bool, got {array.dtype}")
    return array
