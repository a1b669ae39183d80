"""Four clusters of points, each with a linear map of its own, and four small experts of
which each point uses one.
With a balance loss and without, beside one net of an expert's width, and one of
all four.
"""

import torch
from torch.nn import functional as F

CLUSTERS, C = 4, 8
LIMITS = {
    "squared error: one expert / four with coefficient 1": "> 2",
    "squared error: one net with the weights of all four / four with coefficient 1": (
        "> 0.8"
    ),
    "squared error: no balance loss / coefficient 1": "> 1",
    "experts in use of 4: no balance loss": "< 4",
    "experts in use of 4: coefficient 1": "> 3",
    "largest share of an expert: no balance loss": "> 0.4",
    "largest share of an expert: coefficient 1": "< 0.35",
    "information on the cluster in the expert: no balance loss": "< 0.85",
    "information on the cluster in the expert: coefficient 1": "> 0.85",
}


def in_use(table: torch.Tensor) -> int:
    """Experts that have at least 1 % of all points, of a table of counts
    (cluster, expert).
    """
    return int((table.sum(0) >= 0.01 * table.sum()).sum())


def largest(table: torch.Tensor) -> float:
    return (table.sum(0).max() / table.sum()).item()


def information(table: torch.Tensor) -> float:
    """Mutual information of cluster and expert, over the entropy of the clusters: 1 if
    the expert tells the cluster.
    """
    joint = table.double() / table.sum()
    clusters, experts = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    found = torch.special.xlogy(joint, joint / (clusters * experts)).nan_to_num().sum()
    return (found / torch.special.entr(clusters).sum()).item()


def run(kata, seed) -> dict[str, float]:
    centres = 2 * torch.randn(CLUSTERS, C)
    maps = torch.randn(CLUSTERS, C, C) / C**0.5

    def points(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        cluster = torch.randint(CLUSTERS, (count,))
        x = centres[cluster] + torch.randn(count, C)
        return x, torch.einsum("nij,nj->ni", maps[cluster], x), cluster

    def train(
        n_experts: int, n_hidden: int, coefficient: float
    ) -> tuple[float, torch.Tensor]:
        """Squared error on new points, and how many points of each cluster went to
        each expert.
        """
        torch.manual_seed(1000 + seed)
        moe = kata.MoE(C, n_hidden, n_experts, k=1)
        optimizer = torch.optim.AdamW(moe.parameters(), lr=5e-3)
        for _ in range(600):
            x, y, _ = points(256)
            out, probs = moe(x[None])
            loss = F.mse_loss(out[0], y) + coefficient * kata.balance_loss(
                probs, probs.argmax(-1, keepdim=True)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        x, y, cluster = points(4000)
        with torch.no_grad():
            out, probs = moe(x[None])
        table = torch.zeros(CLUSTERS, n_experts)
        table.index_put_((cluster, probs.argmax(-1)), torch.ones(4000), accumulate=True)
        return F.mse_loss(out[0], y).item(), table

    one, _ = train(1, 16, 0.0)
    wide, _ = train(1, 64, 0.0)
    alone, free = train(4, 16, 0.0)
    balanced, even = train(4, 16, 1.0)
    found = [one / balanced, wide / balanced, alone / balanced]
    for measure in (in_use, largest, information):
        found += [measure(free), measure(even)]
    return dict(zip(LIMITS, map(float, found), strict=True))
