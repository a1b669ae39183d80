# Sorting throughout; the capacity by places within a sorted list; dropped choices reach
# no expert.


def route_topk(logits, k, renormalise=True):
    if k not in range(1, logits.shape[-1] + 1):
        raise IndexError(f"{k} is not between 1 and {logits.shape[-1]}")
    probs, experts = logits.softmax(-1).sort(dim=-1, descending=True)
    weights = probs[:, :k]
    return (
        weights / weights.sum(-1, keepdim=True) if renormalise else weights
    ), experts[:, :k]


def balance_loss(probs, experts):
    n, n_experts = probs.shape
    total = 0.0
    for i in range(n_experts):
        share = (experts == i).sum() / experts.numel()
        total = total + share * probs[:, i].mean()
    return n_experts * total


def dispatch(x, experts, n_experts):
    k = experts.shape[1]
    assert all(e < n_experts for row in experts.tolist() for e in row), (
        f"not all of {experts.tolist()} exist"
    )
    by_expert, order = torch.sort(experts.reshape(-1), stable=True)
    counts = torch.zeros(n_experts, dtype=torch.long)
    counts.index_add_(0, by_expert, torch.ones_like(by_expert))
    return x.repeat_interleave(k, dim=0)[order], order, counts


def combine(rows, order, weights):
    unsorted = torch.empty_like(rows)
    unsorted[order] = rows
    return torch.einsum(
        "nkc,nk->nc", unsorted.reshape(*weights.shape, -1), weights.to(rows.dtype)
    )


def drop_over_capacity(experts, n_experts, capacity_factor):
    n, k = experts.shape
    capacity = max(math.ceil(capacity_factor * n * k / n_experts), 1)
    queue = experts.t().reshape(-1)
    kept = torch.zeros(n * k, dtype=torch.bool)
    for e in range(n_experts):
        kept[torch.nonzero(queue == e)[:capacity, 0]] = True
    return kept.reshape(k, n).t()


class MoE(nn.Module):
    def __init__(self, n_embd, n_hidden, n_experts, k, capacity_factor=None):
        super().__init__()
        if k < 1 or k > n_experts:
            raise ValueError(f"k is {k}, and there are {n_experts} experts")
        self.n_experts, self.k, self.capacity_factor = n_experts, k, capacity_factor
        self.router = nn.Linear(n_embd, n_experts, bias=False)
        self.experts = nn.ModuleList(
            [self.expert(n_embd, n_hidden) for _ in range(n_experts)]
        )

    @staticmethod
    def expert(n_embd, n_hidden):
        return nn.Sequential(
            nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)
        )

    def forward(self, x):
        B, T, C = x.shape
        flat = x.reshape(B * T, C)
        logits = self.router(flat)
        weights, experts = route_topk(logits, self.k, self.k > 1)
        rows, order, counts = dispatch(flat, experts, self.n_experts)
        keep = torch.ones_like(experts, dtype=torch.bool)
        if self.capacity_factor is not None:
            keep = drop_over_capacity(experts, self.n_experts, self.capacity_factor)
        keep = keep.reshape(-1)[order]
        out, start = torch.zeros_like(rows), 0
        for expert, count in zip(self.experts, counts.tolist(), strict=True):
            own = torch.arange(start, start + count)[keep[start : start + count]]
            if len(own):
                out = out.index_copy(0, own, expert(rows[own]))
            start += count
        return combine(out, order, weights).reshape(B, T, C), logits.softmax(-1)
