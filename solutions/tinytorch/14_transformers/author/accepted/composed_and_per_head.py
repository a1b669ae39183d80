"""Different: norm and gelu composed of Tensor operations, a sigmoid form, one head
after the other, columns of W_o.
"""

from tinytorch.activations import sigmoid


class LayerNorm(Module):
    def __init__(self, dim, eps=1e-5):
        self.bias = Parameter(np.zeros((dim,), "float32"))
        self.weight = Parameter([1.0] * dim)
        self.dim, self.eps = dim, eps

    def forward(self, x):
        if x.ndim == 0 or x.shape[-1] != self.dim:
            raise ValueError(f"{self.dim} features expected, not {x.shape}")
        mean = x.sum(-1, keepdim=True) / self.dim
        variance = (x * x).mean(-1, keepdim=True) - mean * mean
        # little left of the difference: subtract first
        if (variance.data < 1e-3 * (mean.data**2 + 1e-3)).any():
            variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        inverse = (variance + self.eps) ** -0.5
        return self.bias + (x * inverse - mean * inverse) * self.weight


def gelu(x):
    return x * sigmoid(x * (1.5957691216057308 + 0.0713548162726 * x**2))


class MultiHeadAttention(Module):
    def __init__(self, embed_dim, num_heads, *, causal=True, rng=None):
        assert embed_dim % num_heads == 0, f"{embed_dim} features, {num_heads} heads"
        for name in ("W_o", "W_v", "W_k", "W_q"):
            setattr(self, name, Linear(embed_dim, embed_dim, rng=get_rng(rng)))
        self.H, self.is_causal = num_heads, causal

    def forward(self, x):
        size = x.shape[-1] // self.H
        q, k, v = self.W_q(x), self.W_k(x), self.W_v(x)
        mask = causal_mask(x.shape[1]) if self.is_causal else None
        total = self.W_o.bias
        for h in range(self.H):
            part = slice(h * size, (h + 1) * size)
            found, _ = scaled_dot_product_attention(
                q[:, :, part], k[..., part], v[..., part], mask
            )
            total = total + found @ self.W_o.weight[:, part].T
        return total


class TransformerBlock(Module):
    def __init__(self, embed_dim, num_heads, *, residual=True, dropout=0.0, rng=None):
        rng = get_rng(rng)
        self.first, self.second = Dropout(dropout, rng=rng), Dropout(dropout, rng=rng)
        self.mlp = FeedForward(embed_dim, rng=rng)
        self.attn = MultiHeadAttention(embed_dim, num_heads, rng=rng)
        self.ln1 = LayerNorm(embed_dim)
        self.ln2 = LayerNorm(embed_dim)
        self.skip = 1.0 if residual else 0.0

    def forward(self, x):
        y = x * self.skip + self.first(self.attn(self.ln1(x)))
        return y * self.skip + self.second(self.mlp(self.ln2(y)))


def norm_statistics(x):
    rows = x.data.reshape(-1, x.shape[-1])

    def along(rows):
        centred = rows - rows.mean(1)[:, None]
        return centred / ((centred**2).mean(1)[:, None] + 1e-5) ** 0.5

    return {
        "batch": along(rows.T).T.reshape(x.shape),
        "layer": along(rows).reshape(x.shape),
    }


def residual_gradient_norms(
    depth, *, residual, embed_dim=16, num_heads=2, batch=2, length=5, rng=None
):
    rng = get_rng(rng)
    x = Tensor(rng.standard_normal((batch, length, embed_dim)))
    blocks = []
    for _ in range(depth):
        blocks.append(
            TransformerBlock(embed_dim, num_heads, residual=residual, rng=rng)
        )
        x = blocks[-1](x)
    loss = (x**2).sum() / x.size
    loss.backward()
    return np.array([float((b.attn.W_v.weight.grad**2).sum() ** 0.5) for b in blocks])
