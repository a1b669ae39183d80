"""Different: the table indexed as a Tensor, counts by bincount, top-k by a partition,
windows by stride tricks.
"""


def embedding(ids, weight):
    ids = as_array(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError("ids are integers")
    if np.any(ids < 0):
        raise IndexError("negative id")
    return weight[ids]


class Embedding(Module):
    def __init__(self, num_embeddings, embedding_dim, *, rng=None):
        table = get_rng(rng).standard_normal(
            (num_embeddings, embedding_dim), dtype=np.float32
        )
        self.weight = Parameter(table * np.float32(0.02))

    def forward(self, ids):
        return embedding(ids, self.weight)


class TinyGPT(Module):
    def __init__(
        self,
        vocab_size,
        block_size,
        *,
        embed_dim=32,
        num_heads=4,
        num_layers=2,
        rng=None,
    ):
        self.tok_emb = Embedding(vocab_size, embed_dim, rng=rng)
        self.pos_emb = Embedding(block_size, embed_dim, rng=rng)
        self.head = Linear(embed_dim, vocab_size, bias=False, rng=rng)
        self.backbone = GPTBackbone(embed_dim, num_heads, num_layers, rng=rng)
        self.vocab_size = vocab_size
        self.block_size = block_size

    def forward(self, ids):
        ids = as_array(ids)
        if ids.ndim != 2:
            raise ValueError(f"shape {ids.shape}")
        if ids.shape[1] > self.block_size:
            raise ValueError(f"{ids.shape[1]} tokens")
        positions = self.pos_emb.weight[: ids.shape[1]]
        return self.head(self.backbone(positions + self.tok_emb(ids)))

    def generate(self, *args, **kwargs):
        return generate(self, *args, **kwargs)


def next_token_probs(logits, *, temperature=1.0, top_k=None):
    logits = np.array(as_array(logits), dtype=np.float64)
    if not temperature >= 0:
        raise ValueError("temperature")
    if top_k is not None and not top_k >= 1:
        raise ValueError("top_k")
    probs = np.zeros_like(logits)
    if temperature == 0:
        np.put_along_axis(probs, np.argmax(logits, -1, keepdims=True), 1.0, -1)
        return probs
    k = min(top_k or logits.shape[-1], logits.shape[-1])
    best = np.argpartition(logits, -k, axis=-1)[..., -k:]
    values = np.take_along_axis(logits, best, -1) / temperature
    values = np.exp(values - np.logaddexp.reduce(values, axis=-1, keepdims=True))
    np.put_along_axis(probs, best, values, -1)
    return probs


def sample_batch(ids, batch_size, block_size, *, rng=None):
    if len(ids) < block_size + 1:
        raise ValueError(f"shorter than {block_size + 1}: no window of {block_size}")
    windows = np.lib.stride_tricks.sliding_window_view(ids, block_size + 1)
    chosen = windows[get_rng(rng).choice(len(windows), size=batch_size)]
    return chosen[:, :-1], chosen[:, 1:]
