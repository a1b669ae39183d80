# Each query by itself, with the keys that it may see and no others; a cache that keeps
# the chunks and joins them on demand.


def manual_attention(q, k, v, dropout_p=0.0, return_weights=False):
    past = k.size(2) - q.size(2)
    outs, rows = [], []
    for i in range(q.size(2)):
        seen = past + i + 1
        scores = torch.sum(
            q[:, :, i, None, :] * q.size(-1) ** -0.5 * k[:, :, :seen], dim=-1
        )
        grown = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
        row = grown / grown.sum(dim=-1, keepdim=True)
        kept = (
            row * (torch.rand_like(row) >= dropout_p) / (1 - dropout_p)
            if dropout_p
            else row
        )
        outs.append(torch.sum(kept[..., None] * v[:, :, :seen], dim=-2))
        rows.append(
            torch.cat([row, row.new_zeros(*row.shape[:2], k.size(2) - seen)], dim=-1)
        )
    out = torch.stack(outs, dim=2)
    return (out, torch.stack(rows, dim=2)) if return_weights else out


class LayerCache:
    def __init__(self):
        self._chunks = []

    def _joined(self, which):
        return (
            torch.cat([chunk[which] for chunk in self._chunks], dim=-2)
            if self._chunks
            else None
        )

    k = property(lambda self: self._joined(0))
    v = property(lambda self: self._joined(1))

    def __len__(self):
        return sum(k.size(-2) for k, _ in self._chunks)

    def append(self, k, v):
        self._chunks.append((k, v))
        return self.k, self.v
