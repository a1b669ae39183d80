"""The embedding as a one-hot product with a `where` on the whole table; a scatter makes
the one-hot rows.
"""


class Embedding(nn.Module):
    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ):
        super().__init__()
        if padding_idx is not None and (
            padding_idx < 0 or padding_idx > num_embeddings - 1
        ):
            raise ValueError(padding_idx)
        self.num_embeddings, self.embedding_dim, self.padding_idx = (
            num_embeddings,
            embedding_dim,
            padding_idx,
        )
        table = torch.randn(num_embeddings, embedding_dim)
        if padding_idx is not None:
            table[padding_idx] = 0.0
        self.weight = nn.Parameter(table)

    def forward(self, ids: Tensor) -> Tensor:
        if ids.dtype.is_floating_point or ids.dtype == torch.bool:
            raise TypeError("ids must be integers")
        if ids.numel() and (ids.min() < 0 or ids.max() >= self.num_embeddings):
            bad = ids.min() if ids.min() < 0 else ids.max()
            raise IndexError(
                f"id {int(bad)}, but num_embeddings is {self.num_embeddings}"
            )
        table = self.weight
        if self.padding_idx is not None:
            is_padding = torch.arange(self.num_embeddings) == self.padding_idx
            table = torch.where(is_padding[:, None], table.detach(), table)
        return one_hot_lookup(ids.long(), table)


def one_hot_lookup(ids: Tensor, weight: Tensor) -> Tensor:
    rows = weight.new_zeros(*ids.shape, weight.size(0))
    rows.scatter_(-1, ids[..., None], 1.0)
    return rows @ weight
