"""A mixture of experts: many feed-forward nets, of which each token uses only k."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def route_topk(
    logits: Tensor, k: int, renormalise: bool = True
) -> tuple[Tensor, Tensor]:
    """Choose the k most probable experts of every token."""
    probs = F.softmax(logits, dim=-1)
    weights, experts = torch.topk(probs, k, dim=-1)
    if renormalise:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights, experts


def balance_loss(probs: Tensor, experts: Tensor) -> Tensor:
    """Charge for a router that sends most tokens to few experts."""
    E = probs.shape[1]
    f = torch.bincount(experts.flatten(), minlength=E) / experts.numel()
    P = probs.mean(dim=0)
    return E * (f * P).sum()


def dispatch(
    x: Tensor, experts: Tensor, n_experts: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Sort tokens by expert, so that each expert finds its own in one slice."""
    k = experts.shape[1]
    order = torch.argsort(experts.flatten(), stable=True)
    counts = torch.bincount(experts.flatten(), minlength=n_experts)
    return x[order // k], order, counts


def combine(rows: Tensor, order: Tensor, weights: Tensor) -> Tensor:
    """Add up what the experts made of each token, each result times its weight."""
    N, k = weights.shape
    back = torch.argsort(order)
    return (rows[back].view(N, k, -1) * weights.unsqueeze(-1)).sum(dim=1)


def drop_over_capacity(
    experts: Tensor, n_experts: int, capacity_factor: float
) -> Tensor:
    """Decide which choices an expert with limited room takes."""
    N, k = experts.shape
    capacity = max(1, math.ceil(capacity_factor * N * k / n_experts))
    taken = [0] * n_experts
    kept = torch.zeros(N, k, dtype=torch.bool)
    for choice in range(k):
        for token in range(N):
            expert = int(experts[token, choice])
            if taken[expert] < capacity:
                taken[expert] += 1
                kept[token, choice] = True
    return kept


class MoE(nn.Module):
    """Replace the feed-forward net of a block by E of them, of which every token
    uses k.
    """

    def __init__(
        self,
        n_embd: int,
        n_hidden: int,
        n_experts: int,
        k: int,
        capacity_factor: float | None = None,
    ):
        super().__init__()
        self.k = k
        self.capacity_factor = capacity_factor
        self.router = nn.Linear(n_embd, n_experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(n_embd, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_embd)
            )
            for _ in range(n_experts)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.reshape(-1, x.shape[-1])
        logits = self.router(flat)
        weights, experts = route_topk(logits, self.k, renormalise=self.k > 1)
        if self.capacity_factor is not None:
            kept = drop_over_capacity(experts, len(self.experts), self.capacity_factor)
            weights = weights * kept
        rows, order, counts = dispatch(flat, experts, len(self.experts))
        outputs = []
        for expert, part in zip(self.experts, rows.split(counts.tolist())):
            outputs.append(expert(part))
        y = combine(torch.cat(outputs), order, weights)
        return y.view(x.shape), F.softmax(logits, dim=-1)
