"""Different: finfo.min as a fill, zeroed after softmax; one head as a batch of
matrices; costs read off real arrays.
"""

from tinytorch.setup import profile_memory, scaling_exponent


def masked_softmax(scores, mask=None, dim=-1):
    if isinstance(mask, Tensor):
        mask = mask.data
    if mask is None:
        mask = np.bool_(True)
    if mask.dtype.kind != "b":
        raise TypeError(mask.dtype)
    filled = np.where(mask, scores.data, np.finfo(scores.dtype).min)
    shifted = filled - filled.max(dim, keepdims=True)
    weights = np.exp(shifted)
    weights /= weights.sum(dim, keepdims=True)
    weights = weights * mask
    return record(
        Tensor(weights), "fill_and_zero", (scores,), weights=weights, axis=dim
    )


@backward_rule("fill_and_zero")
def fill_and_zero(node, grad):
    w = np.moveaxis(node.saved["weights"], node.saved["axis"], -1)
    g = np.moveaxis(grad, node.saved["axis"], -1)
    eye = np.eye(w.shape[-1])
    jacobian = w[..., :, None] * (eye - w[..., None, :])
    return (
        np.moveaxis((g[..., None, :] @ jacobian)[..., 0, :], -1, node.saved["axis"]),
    )


class SelfAttention(Module):
    def __init__(self, embed_dim, head_dim=None, *, causal=True, rng=None):
        sizes = embed_dim, head_dim or embed_dim
        generator = get_rng(rng)
        for name in ("W_v", "W_k", "W_q"):
            setattr(self, name, Linear(*sizes, False, rng=generator))
        self.root = sizes[1] ** 0.5
        self.is_causal = causal

    def forward(self, x):
        if len(x.shape) != 3:
            raise ValueError(x.shape)
        scores = (self.W_q(x) / self.root) @ self.W_k(x).transpose(1, 2)
        if self.is_causal:
            scores = masked_softmax(
                scores, Tensor(np.tril(np.ones(scores.shape, bool)))
            )
        else:
            scores = masked_softmax(scores)
        return scores @ self.W_v(x)


def sinusoidal_positions(length, dim):
    if dim & 1:
        raise ValueError(f"need an even dim: {dim}")
    columns = []
    for c in range(dim):
        angle = np.arange(length, dtype=np.float64) * 10000.0 ** -((c - c % 2) / dim)
        columns.append(np.cos(angle) if c % 2 else np.sin(angle))
    return np.stack(columns, axis=1).astype(np.float32)


def attention_cost(batch, heads, length, head_dim, itemsize=4):
    q = np.zeros((batch, heads, length, head_dim), dtype=f"f{itemsize}")
    scores = np.zeros((batch, heads, length, length), dtype=q.dtype)
    return {
        "multiply_adds": scores.size * head_dim + q.size * length,
        "output_bytes": q.nbytes,
        "qkv_bytes": sum(x.nbytes for x in (q, q, q)),
        "score_bytes": scores.nbytes,
    }


def attention_scaling(lengths, head_dim=16):
    peaks = []
    for n in lengths:
        x = Tensor(
            np.random.default_rng(0).normal(size=(1, n, head_dim)), dtype=np.float32
        )
        peaks.append(profile_memory(scaled_dot_product_attention, x, x, x).peak_bytes)
    return {
        "sizes": list(lengths),
        "values": peaks,
        "exponent": scaling_exponent(list(lengths), peaks),
    }
