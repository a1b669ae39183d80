"""Different: attention as a single operation with one rule for q, k and v, which keeps
the weights alone.
"""


def scaled_dot_product_attention(q, k, v, mask=None):
    q_, k_, v_ = q.data, k.data, v.data
    for wrong in (
        q_.ndim != k_.ndim or k_.ndim != v_.ndim,
        q_.shape[-1] != k_.shape[-1],
        v_.shape[-2:-1] != k_.shape[-2:-1],
    ):
        if wrong:
            raise ValueError(f"q {q_.shape}, k {k_.shape}, v {v_.shape}")
    scale = q_.shape[-1] ** -0.5
    scores = Tensor(np.einsum("...td,...sd->...ts", q_, k_) * q_.dtype.type(scale))
    weights = masked_softmax(scores, mask).data
    output = record(
        Tensor(weights @ v_), "attention", (q, k, v), weights=weights, scale=scale
    )
    return output, Tensor(weights)


@backward_rule("attention")
def attention_rule(node, grad):
    q, k, v = (x.data for x in node.inputs)
    w = node.saved["weights"]
    of_weights = grad @ v.swapaxes(-1, -2)
    of_scores = (
        w * (of_weights - (w * of_weights).sum(-1, keepdims=True)) * node.saved["scale"]
    )
    return of_scores @ k, of_scores.swapaxes(-1, -2) @ q, w.swapaxes(-1, -2) @ grad


class SelfAttention(Module):
    def __init__(self, embed_dim, head_dim=None, *, causal=True, rng=None):
        if head_dim is None:
            head_dim = embed_dim
        self.W_q, self.W_k, self.W_v = [
            Linear(embed_dim, head_dim, bias=False, rng=rng) for _ in "qkv"
        ]
        self.causal = causal

    def forward(self, x):
        if x.ndim != 3:
            raise ValueError(f"{x.ndim} dimensions: {x.shape}")
        batch, length, features = x.shape
        flat = x.reshape(batch * length, features)
        q, k, v = (
            W(flat).reshape(batch, length, -1) for W in (self.W_q, self.W_k, self.W_v)
        )
        mask = (
            np.broadcast_to(causal_mask(length), (batch, length, length))
            if self.causal
            else None
        )
        return scaled_dot_product_attention(q, k, v, mask)[0]


def sinusoidal_positions(length, dim):
    if dim // 2 * 2 != dim:
        raise ValueError(f"dim = {dim}")
    waves = np.exp(
        1j * np.outer(np.arange(length), 1e4 ** (-np.arange(dim // 2) * 2 / dim))
    )
    return (
        np.stack([waves.imag, waves.real], axis=-1)
        .reshape(length, dim)
        .astype(np.float32)
    )
