"""Scores by einsum on the weights themselves; a fill of −inf whose NaN is replaced;
masks told apart by their size.
"""


def masked_softmax(scores, mask=None, dim=-1):
    if mask is not None and mask.dtype is not torch.bool:
        raise TypeError(f"expected a boolean mask, got {mask.dtype}")
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float("-inf"))
    return torch.softmax(scores, dim=dim).nan_to_num(0.0)


def attend(scores, values, mask=None):
    if mask is not None and mask.dim() < 3:
        mask = mask[:, None, :].expand_as(scores)
    weights = masked_softmax(scores, mask)
    return torch.einsum("bts,bsd->btd", weights, values), weights


class AdditiveAttention(AdditiveAttention):
    def score(self, query, keys):
        q = torch.einsum("btd,hd->bth", query, self.W_q.weight)
        k = torch.einsum("bsd,hd->bsh", keys, self.W_k.weight)
        return torch.einsum(
            "btsh,h->bts", (q.unsqueeze(2) + k.unsqueeze(1)).tanh(), self.v.weight[0]
        )

    def forward(self, query, keys, values=None, mask=None):
        single = query.dim() == 2
        if single:
            query = query[:, None]
        context, weights = attend(
            self.score(query, keys), keys if values is None else values, mask
        )
        if single:
            return context[:, 0], weights[:, 0]
        return context, weights
