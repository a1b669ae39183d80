"""Padding by concatenation, a table that is read by `index_select` with a gradient hook
on the padding row, means by a matrix product, one-hot rows by comparison.
"""


def pad_batch(sequences, padding_value=0, max_len=None):
    if len(sequences) < 1:
        raise ValueError("empty batch")
    if max_len is not None and max_len < 1:
        raise ValueError("max_len")
    cut = [s.narrow(0, 0, min(len(s), max_len or len(s))) for s in sequences]
    width = max(map(len, cut))
    filled = [
        torch.cat([s, s.new_full((width - len(s), *s.shape[1:]), padding_value)])
        for s in cut
    ]
    return torch.stack(filled), torch.stack([torch.arange(width) < len(s) for s in cut])


class Embedding(nn.Module):
    def __init__(self, num_embeddings, embedding_dim, padding_idx=None):
        super().__init__()
        if padding_idx is not None and padding_idx not in range(num_embeddings):
            raise ValueError("padding_idx")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim).normal_())
        if padding_idx is not None:
            self.weight.data[padding_idx].zero_()
            self.weight.register_hook(self._without_padding)

    def _without_padding(self, gradient):
        gradient = gradient.clone()
        gradient[self.padding_idx] = 0
        return gradient

    def forward(self, ids):
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise TypeError(f"{ids.dtype} ids")
        flat = ids.reshape(-1)
        for i in flat.tolist():
            if i not in range(self.num_embeddings):
                raise IndexError(
                    f"there is no row {i} in a table with "
                    f"num_embeddings={self.num_embeddings}"
                )
        return self.weight.index_select(0, flat).reshape(
            ids.shape + (self.embedding_dim,)
        )


def one_hot_lookup(ids, weight):
    rows = (ids.unsqueeze(-1) == torch.arange(len(weight))).to(weight)
    return torch.matmul(rows, weight)


def embed_texts(texts, vocabulary, embedding, max_len=None):
    ids, mask = pad_batch(
        [vocabulary.encode(text) for text in texts], vocabulary.pad_id, max_len
    )
    vectors = embedding(ids)
    shares = mask.to(vectors.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1).to(
        vectors.dtype
    )
    return {
        "ids": ids,
        "mask": mask,
        "vectors": vectors,
        "mean": torch.einsum("bt,btd->bd", shares, vectors),
    }
