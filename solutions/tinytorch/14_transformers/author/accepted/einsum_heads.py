"""Different: all heads by einsum in one operation with a rule of its own; costs read
off a real block.
"""

from tinytorch.setup import profile_memory, scaling_exponent


class MultiHeadAttention(Module):
    def __init__(self, embed_dim, num_heads, *, causal=True, rng=None):
        if embed_dim // num_heads * num_heads != embed_dim:
            raise ValueError(f"cannot cut {embed_dim} in {num_heads}")
        self.W_q = Linear(embed_dim, embed_dim, rng=rng)
        self.W_k = Linear(embed_dim, embed_dim, rng=rng)
        self.W_v = Linear(embed_dim, embed_dim, rng=rng)
        self.W_o = Linear(embed_dim, embed_dim, rng=rng)
        self.heads, self.causal = num_heads, causal

    def forward(self, x):
        return self.W_o(
            all_heads(self.W_q(x), self.W_k(x), self.W_v(x), self.heads, self.causal)
        )


def all_heads(q, k, v, heads, causal):
    shape = (*q.shape[:2], heads, -1)
    q_, k_, v_ = (t.data.reshape(shape) for t in (q, k, v))
    scores = np.einsum("bthd,bshd->bhts", q_, k_) / math.sqrt(q_.shape[-1])
    if causal:
        scores = np.where(np.tri(q.shape[1], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.einsum("bhts,bshd->bthd", weights, v_).reshape(q.shape)
    return record(Tensor(out), "all_heads", (q, k, v), weights=weights, shape=shape)


@backward_rule("all_heads")
def all_heads_rule(node, grad):
    w, shape = node.saved["weights"], node.saved["shape"]
    g, q, k, v = (a.reshape(shape) for a in (grad, *(t.data for t in node.inputs)))
    of_w = np.einsum("bthd,bshd->bhts", g, v)
    of_s = w * (of_w - (w * of_w).sum(-1, keepdims=True)) / math.sqrt(q.shape[-1])
    parts = (
        np.einsum("bhts,bshd->bthd", of_s, k),
        np.einsum("bhts,bthd->bshd", of_s, q),
        np.einsum("bhts,bthd->bshd", w, g),
    )
    return tuple(part.reshape(grad.shape) for part in parts)


def block_cost(batch, length, embed_dim, num_heads, *, itemsize=4):
    block = TransformerBlock(embed_dim, num_heads)

    def count(module):
        return sum(p.size for p in module.parameters())

    weights = sum(p.size for p in block.parameters() if p.ndim == 2)
    return {
        "multiply_adds": batch * length * (weights + 2 * length * embed_dim),
        "mlp_hidden_bytes": batch * length * block.mlp.fc1.weight.shape[0] * itemsize,
        "score_bytes": np.zeros((batch, num_heads, length, length), dtype=np.int8).size
        * itemsize,
        "mlp_parameters": count(block.mlp),
        "attention_parameters": count(block.attn),
        "parameter_bytes": count(block) * itemsize,
        "parameters": count(block),
    }


def depth_scaling(depths, embed_dim=32, batch=4, length=32):
    kept = []
    for depth in depths:
        model = GPTBackbone(embed_dim, 4, depth, rng=np.random.default_rng(0))
        x = Tensor(
            np.random.default_rng(1)
            .normal(size=(batch, length, embed_dim))
            .astype("f4")
        )
        kept.append(profile_memory(model, x).retained_bytes)
    return {
        "sizes": [*depths],
        "values": kept,
        "exponent": scaling_exponent([*depths], kept),
    }
