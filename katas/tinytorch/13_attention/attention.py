"""Attention: every position looks at every allowed position, at the price of
T² scores.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.autograd import Node, backward_rule
from tinytorch.layers import Linear, Module
from tinytorch.recorder import record
from tinytorch.setup import get_rng, measure_scaling
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
    raise NotImplementedError


def causal_mask(length: int) -> np.ndarray:
    """Allow each position itself and everything before it.

    Args:
        length: T, the number of positions.
    Returns:
        A bool array (T, T). Row t is True at 0 to t: T = 2 gives [[True, False],
        [True, True]].
    """
    raise NotImplementedError


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
    raise NotImplementedError


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
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError
