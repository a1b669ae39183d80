"""The transformer block: attention mixes positions, an MLP mixes features, norms and
residuals keep it trainable.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.activations import tanh
from tinytorch.attention import causal_mask, scaled_dot_product_attention
from tinytorch.autograd import Node, backward_rule
from tinytorch.layers import Dropout, Linear, Module, Parameter
from tinytorch.recorder import record
from tinytorch.setup import get_rng, measure_scaling
from tinytorch.tensor import Tensor


class LayerNorm(Module):
    """Layer normalisation: standardise each position over its own features, then scale
    and shift every feature.

    Args:
        dim: C, the size of the last dimension.
        eps: added to the variance, inside the square root.

    - `weight` (C,) starts as ones, `bias` (C,) as zeros. Both are float32 Parameters.
    - For x (..., C): (x - mean) / √(variance + eps) · weight + bias. Mean and variance
      are those of the last dimension, and the variance divides by C. [1, 3]
      becomes [-1, 1].
    - Nothing is remembered between calls, and training and evaluation are the same.
    - Compose Tensor operations, or announce an operation of your own with its
      `@backward_rule`.

    Edge cases ★
        An x with another last size is an error that names both sizes.
    """

    def __init__(self, dim: int, eps: float = 1e-5):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def gelu(x: Tensor) -> Tensor:
    """Let large values pass and hold negative ones back, smoothly: GELU, in the
    approximation that GPT-2 uses.

    Args:
        x: of any shape, floating-point.
    Returns:
        0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) for every element. 0 stays 0,
        1 becomes 0.8412, and -1 becomes -0.1588.

    Compose Tensor operations, or announce an operation of your own with its
    `@backward_rule`.

    Edge cases ★
        ±10,000 have finite values and gradients, and NumPy does not warn. The dtype of
        x stays.
    """
    raise NotImplementedError


class MultiHeadAttention(Module):
    """Self-attention by several heads at once, each on its own slice of the features.

    Args:
        embed_dim: C.
        num_heads: H, a divisor of C. Each head has D = C/H features.
        causal: True keeps each position from looking at later ones.
        rng: the source of all draws. None means the framework's generator.

    - `W_q`, `W_k`, `W_v` and `W_o` are Linears from C to C with a bias.
    - Head h attends with features h·D to (h + 1)·D - 1 of queries, keys and values, and
      with the scale 1/√D.
    - The results of the heads, side by side in their order, go through `W_o`: (B, T, C)
      becomes (B, T, C).

    Edge cases ★
        An H that does not divide C is an error that names both.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        causal: bool = True,
        rng: np.random.Generator | None = None,
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class FeedForward(Module):
    """An MLP that mixes the features of every position alone: fc2(gelu(fc1(x))).

    Args:
        embed_dim: C.
        hidden_dim: the features between the layers. None means 4·C.
        rng: the source of all draws. None means the framework's generator.

    `fc1` is a Linear from C to hidden_dim, `fc2` one from hidden_dim to C. (..., C)
    becomes (..., C).
    """

    def __init__(
        self,
        embed_dim: int,
        hidden_dim: int | None = None,
        *,
        rng: np.random.Generator | None = None,
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class TransformerBlock(Module):
    """A pre-norm block: x + drop(attn(ln1(x))), then, with the new x,
    x + drop(mlp(ln2(x))).

    Args:
        embed_dim, num_heads: C and H. (B, T, C) becomes (B, T, C).
        residual: False leaves out both skips, for an experiment:
            mlp(ln2(attn(ln1(x)))).
        dropout: p of the Dropout that acts on what each part returns.
        rng: the source of all draws. None means the framework's generator.

    - `ln1` and `ln2` are LayerNorms of their own, `attn` is a causal
      MultiHeadAttention, `mlp` a FeedForward.
    - If `W_o` and `fc2` are all zeros, the block returns x: what skips carry is neither
      normed nor scaled.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        residual: bool = True,
        dropout: float = 0.0,
        rng: np.random.Generator | None = None,
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class GPTBackbone(Module):
    """A stack of blocks and a last norm: a GPT without its embeddings and its head.

    Args:
        embed_dim, num_heads: C and H of every block. (B, T, C) becomes (B, T, C).
        num_layers: the number of blocks.
        rng: the source of all draws. None means the framework's generator.

    - `blocks` is a list of TransformerBlocks, each with parameters of its own, applied
      in the order of the list.
    - `ln_f` is a LayerNorm, applied after the last block.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        num_layers: int,
        *,
        rng: np.random.Generator | None = None,
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def residual_gradient_norms(
    depth: int,
    *,
    residual: bool,
    embed_dim: int = 16,
    num_heads: int = 2,
    batch: int = 2,
    length: int = 5,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Measure how large the gradient is in each block of a stack, with skips
    or without.

    Args:
        depth: the number of TransformerBlocks, one after the other, without a
            last norm.
        residual, embed_dim, num_heads: for each block.
        batch, length: of the input (batch, length, embed_dim), drawn from a
            standard normal.
        rng: the source of all draws, as for a block.
    Returns:
        An array (depth,), first block first: the Euclidean norm of the gradient of each
        block's `attn.W_v.weight`.
        The loss is the mean of the squares of the output.
    """
    raise NotImplementedError


def norm_statistics(x: Tensor) -> dict[str, np.ndarray]:
    """Standardise the same data twice: per position, as layer norm does, and per
    feature, as batch norm does.

    Args:
        x: (..., C), with at least two dimensions.
    Returns:
        Two arrays of the shape of x. "layer": each position over its own features.
        "batch": each feature over all dimensions but the last. [[1, 5], [3, 5]] has
        layer [[-1, 1], [-1, 1]] and batch [[-1, 0], [1, 0]].

    Variances are those of LayerNorm, with 1e-5 added inside the square root.
    """
    raise NotImplementedError


def block_cost(
    batch: int, length: int, embed_dim: int, num_heads: int, *, itemsize: int = 4
) -> dict[str, int]:
    """Predict what a TransformerBlock costs, without building it, for an
    input (B, T, C).

    Args:
        batch, length, embed_dim, num_heads: B, T, C and H.
        itemsize: bytes per number.
    Returns:
        Seven ints. "parameters": of the whole block, norms included; "parameter_bytes";
        "attention_parameters" and "mlp_parameters": of `attn` and `mlp`; "score_bytes":
        of one array of scores (B, H, T, T); "mlp_hidden_bytes": of the output of `fc1`;
        "multiply_adds": of all matrix products, q kᵀ and weights · v included, with no
        discount for the causal mask.
    """
    raise NotImplementedError


def depth_scaling(
    depths: Sequence[int], embed_dim: int = 32, batch: int = 4, length: int = 32
) -> dict[str, Any]:
    """Measure how the memory that a forward pass retains, with its graph, grows with
    the number of blocks.

    Args:
        depths: the numbers of blocks, each of a GPTBackbone with 4 heads.
        embed_dim, batch, length: of the float32 input (batch, length, embed_dim).
            Backbone and input are made before the measurement.
    Returns:
        What `measure_scaling` returns for the retained bytes. The exponent is 1.
    """
    raise NotImplementedError
