"""The statistics in a loop over heads on the live rows alone, with `xlogy` and a
diagonal; always in float32.
"""


def head_statistics(weights):
    weights = weights.detach().to(torch.float32)
    B, H, T, S = weights.shape
    result = {"self_weight": [], "max_weight": [], "mean_distance": [], "entropy": []}
    distance = (
        (
            torch.arange(S, device=weights.device)
            - torch.arange(T, device=weights.device).view(T, 1)
        )
        .abs()
        .float()
    )
    own = torch.zeros(B, H, T, device=weights.device)
    diagonal = torch.diagonal(weights, dim1=-2, dim2=-1)
    own[..., : diagonal.shape[-1]] = diagonal
    for h in range(H):
        live = weights[:, h].sum(dim=-1) > 0
        if not live.any():
            for values in result.values():
                values.append(torch.tensor(0.0, device=weights.device))
            continue
        rows = weights[:, h][live]
        result["entropy"].append(-torch.xlogy(rows, rows).sum(dim=-1).mean())
        result["mean_distance"].append(
            (weights[:, h] * distance).sum(dim=-1)[live].mean()
        )
        result["max_weight"].append(rows.max(dim=-1).values.mean())
        result["self_weight"].append(own[:, h][live].mean())
    return {name: torch.stack(values) for name, values in result.items()}
