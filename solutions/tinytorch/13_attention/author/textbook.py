"""Attention: masked softmax, scaled dot products, one head, positions, and what
they cost.
"""

import numpy as np

from tinytorch.autograd import backward_rule
from tinytorch.layers import Linear, Module
from tinytorch.recorder import record
from tinytorch.setup import measure_scaling
from tinytorch.tensor import Tensor


def masked_softmax(scores, mask=None, dim=-1):
    """Softmax over the allowed entries."""
    x = scores.data
    if mask is not None:
        mask = mask.data if isinstance(mask, Tensor) else mask
        x = np.where(mask, x, -np.inf)
    powers = np.exp(x - x.max(axis=dim, keepdims=True))
    weights = powers / powers.sum(axis=dim, keepdims=True)
    return record(Tensor(weights), "masked_softmax", (scores,), dim=dim)


@backward_rule("masked_softmax")
def masked_softmax_rule(node, grad):
    """w · (g − Σ w g)."""
    total = (node.out * grad).sum(axis=node.saved["dim"], keepdims=True)
    return (node.out * (grad - total),)


def causal_mask(length):
    """Each position and those before it."""
    return np.tril(np.ones((length, length), dtype=bool))


def scaled_dot_product_attention(q, k, v, mask=None):
    """softmax(q kᵀ / √d) v."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    weights = masked_softmax(scores, mask)
    return weights @ v, weights


class SelfAttention(Module):
    """One head of self-attention."""

    def __init__(self, embed_dim, head_dim=None, *, causal=True, rng=None):
        head_dim = head_dim or embed_dim
        self.W_q = Linear(embed_dim, head_dim, bias=False, rng=rng)
        self.W_k = Linear(embed_dim, head_dim, bias=False, rng=rng)
        self.W_v = Linear(embed_dim, head_dim, bias=False, rng=rng)
        self.causal = causal

    def forward(self, x):
        """(B, T, C) to (B, T, d)."""
        mask = causal_mask(x.shape[1]) if self.causal else None
        return scaled_dot_product_attention(
            self.W_q(x), self.W_k(x), self.W_v(x), mask
        )[0]


def sinusoidal_positions(length, dim):
    """Sines in the even columns, cosines in the odd ones."""
    t = np.arange(length)[:, None]
    frequencies = 1 / 10000 ** (np.arange(0, dim, 2) / dim)
    table = np.zeros((length, dim), dtype=np.float32)
    table[:, 0::2] = np.sin(t * frequencies)
    table[:, 1::2] = np.cos(t * frequencies)
    return table


def attention_cost(batch, heads, length, head_dim, itemsize=4):
    """Bytes and multiply-adds."""
    return {
        "score_bytes": batch * heads * length * length * itemsize,
        "qkv_bytes": 3 * batch * heads * length * head_dim * itemsize,
        "output_bytes": batch * heads * length * head_dim * itemsize,
        "multiply_adds": 2 * batch * heads * length * length * head_dim,
    }


def recurrence_comparison(length, dim):
    """Attention against a recurrence."""
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


def attention_scaling(lengths, head_dim=16):
    """Peak memory over the length."""

    def build(length):
        x = Tensor(np.ones((1, length, head_dim), dtype=np.float32))
        return lambda: scaled_dot_product_attention(x, x, x)

    return measure_scaling(build, lengths)
