"""The embedding as an autograd function of its own, reading by `gather`; packing by a
Python loop over the steps.
"""


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, ids, padding_idx):
        ctx.save_for_backward(ids)
        ctx.shape, ctx.padding_idx = weight.shape, padding_idx
        places = ids.reshape(-1, 1).expand(-1, weight.shape[1])
        return weight.gather(0, places).reshape(*ids.shape, weight.shape[1])

    @staticmethod
    def backward(ctx, gradient):
        (ids,) = ctx.saved_tensors
        result = gradient.new_zeros(ctx.shape)
        result.index_add_(0, ids.reshape(-1), gradient.reshape(-1, ctx.shape[1]))
        if ctx.padding_idx is not None:
            result[ctx.padding_idx] = 0
        return result, None, None


class Embedding(nn.Module):
    def __init__(self, num_embeddings, embedding_dim, padding_idx=None):
        super().__init__()
        if padding_idx is not None and not (
            0 <= padding_idx and padding_idx < num_embeddings
        ):
            raise ValueError("no such row")
        self.num_embeddings, self.embedding_dim, self.padding_idx = (
            num_embeddings,
            embedding_dim,
            padding_idx,
        )
        self.weight = nn.Parameter(torch.empty(num_embeddings, embedding_dim))
        nn.init.normal_(self.weight)
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx].fill_(0)

    def forward(self, ids):
        if ids.dtype in (
            torch.bool,
            torch.float32,
            torch.float64,
            torch.float16,
            torch.bfloat16,
        ):
            raise TypeError("no ids")
        wrong = [i for i in ids.flatten().tolist() if i < 0 or i >= self.num_embeddings]
        if wrong:
            raise IndexError(f"{wrong} of num_embeddings {self.num_embeddings}")
        return _Lookup.apply(self.weight, ids.to(torch.int64), self.padding_idx)


class PackedBatch:
    def __init__(self, data, batch_sizes, sorted_indices, total_length):
        self.data, self.batch_sizes = data, batch_sizes
        self.sorted_indices, self.total_length = sorted_indices, total_length

    @classmethod
    def pack(cls, padded, lengths):
        if lengths.ndim != 1 or len(lengths) != len(padded):
            raise ValueError("Lengths must be (B,)")
        if lengths.min() <= 0 or lengths.max() > padded.size(1):
            raise ValueError("Lengths must lie in 1 … T")
        lasting = lengths.tolist()
        order = sorted(range(len(lasting)), key=lambda b: -lasting[b])
        items, sizes = [], []
        for t in range(max(lasting)):
            running = [b for b in order if lasting[b] > t]
            items.extend(padded[b, t] for b in running)
            sizes.append(len(running))
        return cls(
            torch.stack(items),
            torch.tensor(sizes),
            torch.tensor(order),
            padded.shape[1],
        )

    def unpack(self, padding_value=0):
        order = self.sorted_indices.tolist()
        rows = [[] for _ in order]
        place = 0
        for size in self.batch_sizes.tolist():
            for b in order[:size]:
                rows[b].append(self.data[place])
                place += 1
        filling = torch.full_like(self.data[0], padding_value)
        padded = [
            torch.stack(row + [filling] * (self.total_length - len(row)))
            for row in rows
        ]
        return torch.stack(padded), torch.tensor([len(row) for row in rows])
