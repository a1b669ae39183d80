"""The transformer block: attention mixes positions, an MLP mixes features, norms and residuals keep it trainable."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.activations import tanh
from tinytorch.attention import causal_mask, scaled_dot_product_attention
from tinytorch.layers import Linear, Module, Parameter
from tinytorch.setup import get_rng, measure_scaling
from tinytorch.tensor import Tensor


class LayerNorm(Module):
    """Layer normalisation over the last dimension."""

    def __init__(self, dim: int, eps: float = 1e-5):
        """Start as the plain norm."""
        self.weight = Parameter(np.ones(dim, dtype=np.float32))
        self.bias = Parameter(np.zeros(dim, dtype=np.float32))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Standardise every position alone, then scale and shift."""
        if x.shape[-1:] != self.weight.shape:
            raise ValueError(f"the last size of x must be {self.weight.size}, x has shape {x.shape}")
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = (centred * centred).mean(dim=-1, keepdim=True)
        return centred / (variance + self.eps) ** 0.5 * self.weight + self.bias


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh approximation."""
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class MultiHeadAttention(Module):
    """Self-attention with several heads."""

    def __init__(self, embed_dim: int, num_heads: int, *, causal: bool = True, rng: np.random.Generator | None = None):
        """Make the four projections."""
        if embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads do not divide {embed_dim} features")
        rng = get_rng(rng)
        self.W_q, self.W_k, self.W_v, self.W_o = (Linear(embed_dim, embed_dim, rng=rng) for _ in range(4))
        self.num_heads, self.causal = num_heads, causal

    def forward(self, x: Tensor) -> Tensor:
        """Attend with every head, and mix the heads."""
        B, T, C = x.shape

        def heads(y: Tensor) -> Tensor:
            return y.reshape(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)

        mask = causal_mask(T) if self.causal else None
        out, _ = scaled_dot_product_attention(heads(self.W_q(x)), heads(self.W_k(x)), heads(self.W_v(x)), mask)
        return self.W_o(out.transpose(1, 2).reshape(B, T, C))


class FeedForward(Module):
    """Two linear layers with gelu between them."""

    def __init__(self, embed_dim: int, hidden_dim: int | None = None, *, rng: np.random.Generator | None = None):
        """Make the layers; by default four times as wide inside."""
        rng, hidden_dim = get_rng(rng), 4 * embed_dim if hidden_dim is None else hidden_dim
        self.fc1, self.fc2 = Linear(embed_dim, hidden_dim, rng=rng), Linear(hidden_dim, embed_dim, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to every position."""
        return self.fc2(gelu(self.fc1(x)))


class TransformerBlock(Module):
    """x + attn(ln1(x)), then x + mlp(ln2(x))."""

    def __init__(
        self, embed_dim: int, num_heads: int, *, residual: bool = True, rng: np.random.Generator | None = None
    ):
        """Make the four parts."""
        rng = get_rng(rng)
        self.ln1, self.attn = LayerNorm(embed_dim), MultiHeadAttention(embed_dim, num_heads, rng=rng)
        self.ln2, self.mlp = LayerNorm(embed_dim), FeedForward(embed_dim, rng=rng)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        for norm, part in ((self.ln1, self.attn), (self.ln2, self.mlp)):
            y = part(norm(x))
            x = x + y if self.residual else y
        return x


class GPTBackbone(Module):
    """Blocks and a last norm."""

    def __init__(self, embed_dim: int, num_heads: int, num_layers: int, *, rng: np.random.Generator | None = None):
        """Make the blocks."""
        rng = get_rng(rng)
        self.blocks = [TransformerBlock(embed_dim, num_heads, rng=rng) for _ in range(num_layers)]
        self.ln_f = LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Run all blocks."""
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
    """Measure how large the gradient is in every block of a stack."""
    rng = get_rng(rng)
    blocks = [TransformerBlock(embed_dim, num_heads, residual=residual, rng=rng) for _ in range(depth)]
    h = Tensor(rng.normal(size=(batch, length, embed_dim)).astype(np.float32))
    for block in blocks:
        h = block(h)
    (h * h).mean().backward()
    return np.array([np.linalg.norm(block.attn.W_v.weight.grad) for block in blocks])


def norm_statistics(x: Tensor) -> dict[str, np.ndarray]:
    """Standardise per position, as layer norm does, and per feature, as batch norm does."""

    def standardised(axes: tuple[int, ...]) -> np.ndarray:
        mean, variance = x.data.mean(axis=axes, keepdims=True), x.data.var(axis=axes, keepdims=True)
        return (x.data - mean) / np.sqrt(variance + 1e-5)

    return {"layer": standardised((-1,)), "batch": standardised(tuple(range(x.ndim - 1)))}


def block_cost(batch: int, length: int, embed_dim: int, num_heads: int, *, itemsize: int = 4) -> dict[str, int]:
    """Count what a block costs."""
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


def depth_scaling(depths: Sequence[int], embed_dim: int = 32, batch: int = 4, length: int = 32) -> dict[str, Any]:
    """Measure the memory that a forward pass with its graph retains over the number of blocks."""

    def build(depth: int) -> Callable[[], Tensor]:
        backbone = GPTBackbone(embed_dim, 4, depth)
        x = Tensor(np.ones((batch, length, embed_dim), dtype=np.float32))
        return lambda: backbone(x)

    return measure_scaling(build, depths, kind="retained_bytes")
