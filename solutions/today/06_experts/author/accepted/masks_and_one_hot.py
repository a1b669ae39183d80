# A softmax over the k logits, one-hot means, masks in place of a sort, index_add
# and scatter_add.


def route_topk(logits, k, renormalise=True):
    if k < 1 or k > logits.shape[-1]:
        raise ValueError(f"k = {k} of {logits.shape[-1]}")
    best, experts = torch.topk(logits, k)
    if renormalise:
        return torch.softmax(best, -1), experts
    return (best - logits.logsumexp(-1, keepdim=True)).exp(), experts


def balance_loss(probs, experts):
    chosen = F.one_hot(experts, probs.shape[1]).to(probs.dtype).mean(dim=(0, 1))
    return probs.shape[1] * torch.dot(chosen, probs.mean(0))


def dispatch(x, experts, n_experts):
    choices = experts.reshape(-1)
    if (choices >= n_experts).any():
        raise IndexError(f"expert {choices.max().item()} of {n_experts}")
    places = [(choices == e).nonzero().squeeze(1) for e in range(n_experts)]
    order = torch.cat(places)
    tokens = torch.div(order, experts.shape[1], rounding_mode="floor")
    return x.index_select(0, tokens), order, torch.tensor([len(p) for p in places])


def combine(rows, order, weights):
    tokens, k = weights.shape
    out = torch.zeros(tokens, rows.shape[1], dtype=rows.dtype, device=rows.device)
    scaled = rows * weights.to(rows.dtype).reshape(-1, 1)[order]
    return out.scatter_add(0, (order // k)[:, None].expand_as(rows), scaled)


def drop_over_capacity(experts, n_experts, capacity_factor):
    n, k = experts.shape
    room = [max(1, math.ceil(capacity_factor * (n * k / n_experts)))] * n_experts
    kept = torch.zeros_like(experts, dtype=torch.bool)
    for c, column in enumerate(experts.unbind(1)):
        for t, e in enumerate(column.tolist()):
            kept[t, c] = room[e] > 0
            room[e] -= 1
    return kept


class MoE(nn.Module):
    def __init__(self, n_embd, n_hidden, n_experts, k, capacity_factor=None):
        super().__init__()
        assert 0 < k <= n_experts, f"{k} of {n_experts}"
        self.top, self.factor = k, capacity_factor
        self.router = nn.Linear(n_embd, n_experts, bias=False)
        self.experts = nn.ModuleList()
        for _ in range(n_experts):
            self.experts.append(
                nn.Sequential(
                    nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)
                )
            )

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        probs = torch.softmax(self.router(tokens), dim=-1)
        weights, chosen = probs.topk(self.top, dim=-1)
        if self.top > 1:
            weights = weights / weights.sum(-1, keepdim=True)
        if self.factor is not None:
            weights = weights.masked_fill(
                ~drop_over_capacity(chosen, len(self.experts), self.factor), 0
            )
        y = torch.zeros_like(tokens)
        for e, expert in enumerate(self.experts):
            where, which = torch.where(chosen == e)
            if len(where) > 0:
                y = y.index_add(
                    0, where, expert(tokens[where]) * weights[where, which, None]
                )
        return y.reshape(x.shape), probs
