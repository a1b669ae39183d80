"""The table value by value with Python's math; the gap by indexing a clone; the learned
table as a slice of its weight.
"""

import math


def permutation_gap(fn, x, permutation):
    if not torch.equal(torch.sort(permutation)[0], torch.arange(x.shape[1])):
        raise ValueError("not a permutation")
    x = x.detach()
    with torch.inference_mode():
        before = fn(x.index_select(1, permutation))
        after = fn(x).index_select(1, permutation)
    return float(torch.max(torch.abs(after - before)))


def sinusoidal_encoding(max_len, d_model, base=10000.0, dtype=torch.float32):
    if min(max_len, d_model) <= 0:
        raise ValueError("max_len" if max_len <= 0 else "d_model")
    rows = []
    for p in range(max_len):
        row = []
        for i in range(0, d_model, 2):
            angle = p / base ** (i / d_model)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row[:d_model])
    return torch.tensor(rows, dtype=dtype)


class LearnedPositionalEmbedding(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.embedding = nn.Embedding(
            max_len, d_model, _weight=torch.randn(max_len, d_model) * 0.02
        )

    def forward(self, x, offset=0):
        end = offset + x.shape[1]
        if (
            offset < 0
            or end > len(self.embedding.weight)
            or x.shape[2] != self.embedding.weight.shape[1]
        ):
            raise ValueError("does not fit")
        return x + self.embedding.weight[offset:end]
