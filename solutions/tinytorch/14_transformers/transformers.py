"""The transformer block: attention mixes positions, an MLP mixes features, norms and
residuals keep it trainable.
"""

import math  # stub: keep
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.activations import tanh  # stub: keep
from tinytorch.attention import causal_mask, scaled_dot_product_attention  # stub: keep
from tinytorch.autograd import Node, backward_rule  # stub: keep
from tinytorch.layers import Dropout, Linear, Module, Parameter  # stub: keep
from tinytorch.recorder import record  # stub: keep
from tinytorch.setup import get_rng, measure_scaling  # stub: keep
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
        self.weight = Parameter(np.ones(dim, dtype=np.float32))
        self.bias = Parameter(np.zeros(dim, dtype=np.float32))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != self.weight.shape:
            raise ValueError(
                f"the last size of x must be {self.weight.size}, x has shape {x.shape}"
            )
        mean, variance = (
            x.data.mean(axis=-1, keepdims=True),
            x.data.var(axis=-1, keepdims=True),
        )
        scale = 1 / np.sqrt(variance + self.eps)
        normalised = (x.data - mean) * scale
        out = normalised * self.weight.data + self.bias.data
        inputs = (x, self.weight, self.bias)
        return record(
            Tensor(out), "layer_norm", inputs, normalised=normalised, scale=scale
        )


@backward_rule("layer_norm")
def _layer_norm(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    normalised, weighted = node.saved["normalised"], grad * node.inputs[1].data
    along = (weighted * normalised).mean(axis=-1, keepdims=True)
    x_grad = (
        weighted - weighted.mean(axis=-1, keepdims=True) - normalised * along
    ) * node.saved["scale"]
    return x_grad, grad * normalised, grad


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
    inner = tanh(
        Tensor(math.sqrt(2 / math.pi) * (x.data + 0.044715 * x.data * x.data * x.data))
    ).data
    return record(Tensor(0.5 * x.data * (1 + inner)), "gelu", (x,), inner=inner)


@backward_rule("gelu")
def _gelu(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    x, inner = node.inputs[0].data, node.saved["inner"]
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return (grad * 0.5 * (1 + inner + x * (1 - inner * inner) * slope),)


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
        if embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {embed_dim} features")
        rng = get_rng(rng)
        self.W_q, self.W_k, self.W_v, self.W_o = (
            Linear(embed_dim, embed_dim, rng=rng) for _ in range(4)
        )
        self.num_heads, self.causal = num_heads, causal

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.reshape(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)

        mask = causal_mask(T) if self.causal else None
        out, _ = scaled_dot_product_attention(
            heads(self.W_q(x)), heads(self.W_k(x)), heads(self.W_v(x)), mask
        )
        return self.W_o(out.transpose(1, 2).reshape(B, T, C))


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
        rng, hidden_dim = (
            get_rng(rng),
            4 * embed_dim if hidden_dim is None else hidden_dim,
        )
        self.fc1, self.fc2 = (
            Linear(embed_dim, hidden_dim, rng=rng),
            Linear(hidden_dim, embed_dim, rng=rng),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(gelu(self.fc1(x)))


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
        rng = get_rng(rng)
        self.ln1, self.attn = (
            LayerNorm(embed_dim),
            MultiHeadAttention(embed_dim, num_heads, rng=rng),
        )
        self.ln2, self.mlp = LayerNorm(embed_dim), FeedForward(embed_dim, rng=rng)
        self.drop, self.residual = Dropout(dropout, rng=rng), residual

    def forward(self, x: Tensor) -> Tensor:
        for norm, part in ((self.ln1, self.attn), (self.ln2, self.mlp)):
            y = self.drop(part(norm(x)))
            x = x + y if self.residual else y
        return x


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
        rng = get_rng(rng)
        self.blocks = [
            TransformerBlock(embed_dim, num_heads, rng=rng) for _ in range(num_layers)
        ]
        self.ln_f = LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x)


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
    rng = get_rng(rng)
    blocks = [
        TransformerBlock(embed_dim, num_heads, residual=residual, rng=rng)
        for _ in range(depth)
    ]
    h = Tensor(rng.normal(size=(batch, length, embed_dim)).astype(np.float32))
    for block in blocks:
        h = block(h)
    (h * h).mean().backward()
    return np.array([np.linalg.norm(block.attn.W_v.weight.grad) for block in blocks])


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

    def standardised(axes: tuple[int, ...]) -> np.ndarray:
        mean, variance = (
            x.data.mean(axis=axes, keepdims=True),
            x.data.var(axis=axes, keepdims=True),
        )
        return (x.data - mean) / np.sqrt(variance + 1e-5)

    return {
        "layer": standardised((-1,)),
        "batch": standardised(tuple(range(x.ndim - 1))),
    }


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
    C = embed_dim
    parameters = 12 * C**2 + 13 * C
    return {
        "parameters": parameters,
        "parameter_bytes": parameters * itemsize,
        "attention_parameters": 4 * C**2 + 4 * C,
        "mlp_parameters": 8 * C**2 + 5 * C,
        "score_bytes": batch * num_heads * length**2 * itemsize,
        "mlp_hidden_bytes": batch * length * 4 * C * itemsize,
        "multiply_adds": batch * length * 12 * C**2 + 2 * batch * length**2 * C,
    }


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

    def build(depth: int) -> Callable[[], Tensor]:
        backbone = GPTBackbone(embed_dim, 4, depth)
        x = Tensor(np.ones((batch, length, embed_dim), dtype=np.float32))
        return lambda: backbone(x)

    return measure_scaling(build, depths, kind="retained_bytes")
