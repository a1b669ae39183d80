"""The transformer block: layer norm, gelu, heads, an MLP, skips, and what
depth costs.
"""

import math

import numpy as np

from tinytorch.activations import tanh
from tinytorch.attention import causal_mask, scaled_dot_product_attention
from tinytorch.layers import Dropout, Linear, Module, Parameter
from tinytorch.setup import get_rng, measure_scaling
from tinytorch.tensor import Tensor


class LayerNorm(Module):
    """Standardise the last dim, then scale and shift."""

    def __init__(self, dim, eps=1e-5):
        self.weight = Parameter(np.ones(dim, dtype=np.float32))
        self.bias = Parameter(np.zeros(dim, dtype=np.float32))
        self.eps = eps

    def forward(self, x):
        """(x − mean) / √(variance + eps) · weight + bias."""
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred**2).mean(-1, keepdim=True)
        return centred / (variance + self.eps) ** 0.5 * self.weight + self.bias


def gelu(x):
    """The tanh approximation of x · Φ(x)."""
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class MultiHeadAttention(Module):
    """Self-attention in several heads."""

    def __init__(self, embed_dim, num_heads, *, causal=True, rng=None):
        self.W_q = Linear(embed_dim, embed_dim, rng=rng)
        self.W_k = Linear(embed_dim, embed_dim, rng=rng)
        self.W_v = Linear(embed_dim, embed_dim, rng=rng)
        self.W_o = Linear(embed_dim, embed_dim, rng=rng)
        self.num_heads = num_heads
        self.causal = causal

    def split(self, x):
        """(B, T, C) to (B, H, T, D)."""
        B, T, C = x.shape
        return x.reshape(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)

    def forward(self, x):
        """Split, attend, merge."""
        q, k, v = (
            self.split(self.W_q(x)),
            self.split(self.W_k(x)),
            self.split(self.W_v(x)),
        )
        mask = causal_mask(x.shape[1]) if self.causal else None
        out, _ = scaled_dot_product_attention(q, k, v, mask)
        return self.W_o(out.transpose(1, 2).reshape(x.shape))


class FeedForward(Module):
    """Two linear layers with gelu between them."""

    def __init__(self, embed_dim, hidden_dim=None, *, rng=None):
        hidden_dim = hidden_dim or 4 * embed_dim
        self.fc1 = Linear(embed_dim, hidden_dim, rng=rng)
        self.fc2 = Linear(hidden_dim, embed_dim, rng=rng)

    def forward(self, x):
        """Every position alone."""
        return self.fc2(gelu(self.fc1(x)))


class TransformerBlock(Module):
    """A pre-norm block."""

    def __init__(self, embed_dim, num_heads, *, residual=True, dropout=0.0, rng=None):
        self.ln1 = LayerNorm(embed_dim)
        self.attn = MultiHeadAttention(embed_dim, num_heads, rng=rng)
        self.ln2 = LayerNorm(embed_dim)
        self.mlp = FeedForward(embed_dim, rng=rng)
        self.dropout = Dropout(dropout, rng=rng)
        self.residual = residual

    def forward(self, x):
        """Attention, then the MLP."""
        if not self.residual:
            return self.dropout(
                self.mlp(self.ln2(self.dropout(self.attn(self.ln1(x)))))
            )
        x = x + self.dropout(self.attn(self.ln1(x)))
        return x + self.dropout(self.mlp(self.ln2(x)))


class GPTBackbone(Module):
    """Blocks and a last norm."""

    def __init__(self, embed_dim, num_heads, num_layers, *, rng=None):
        self.blocks = [
            TransformerBlock(embed_dim, num_heads, rng=rng) for _ in range(num_layers)
        ]
        self.ln_f = LayerNorm(embed_dim)

    def forward(self, x):
        """One block after the other."""
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x)


def residual_gradient_norms(
    depth, *, residual, embed_dim=16, num_heads=2, batch=2, length=5, rng=None
):
    """Gradient norms of the W_v weights, first block first."""
    rng = get_rng(rng)
    blocks = [
        TransformerBlock(embed_dim, num_heads, residual=residual, rng=rng)
        for _ in range(depth)
    ]
    h = Tensor(rng.normal(size=(batch, length, embed_dim)))
    for block in blocks:
        h = block(h)
    (h**2).mean().backward()
    return np.array([np.linalg.norm(block.attn.W_v.weight.grad) for block in blocks])


def norm_statistics(x):
    """Layer norm and batch norm of the same data."""
    x = x.data
    others = tuple(range(x.ndim - 1))
    layer = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    batch = (x - x.mean(others)) / np.sqrt(x.var(others) + 1e-5)
    return {"layer": layer, "batch": batch}


def block_cost(batch, length, embed_dim, num_heads, *, itemsize=4):
    """Parameters, bytes and multiply-adds of a block."""
    attention = 4 * (embed_dim**2 + embed_dim)
    mlp = 8 * embed_dim**2 + 5 * embed_dim
    parameters = attention + mlp + 4 * embed_dim
    return {
        "parameters": parameters,
        "parameter_bytes": parameters * itemsize,
        "attention_parameters": attention,
        "mlp_parameters": mlp,
        "score_bytes": batch * num_heads * length**2 * itemsize,
        "mlp_hidden_bytes": batch * length * 4 * embed_dim * itemsize,
        "multiply_adds": 12 * batch * length * embed_dim**2
        + 2 * batch * length**2 * embed_dim,
    }


def depth_scaling(depths, embed_dim=32, batch=4, length=32):
    """Retained memory over the number of blocks."""

    def build(depth):
        backbone = GPTBackbone(embed_dim, 4, depth)
        x = Tensor(np.ones((batch, length, embed_dim), dtype=np.float32))
        return lambda: backbone(x)

    return measure_scaling(build, depths, kind="retained_bytes")
