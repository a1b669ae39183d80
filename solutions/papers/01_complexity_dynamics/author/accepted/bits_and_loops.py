"""Bit arithmetic in place of a table, a loop over the rows with unique, and training
that clears after each step.
"""


def evolve(state, rule, steps):
    if steps < 0:
        raise ValueError("steps must not be negative")
    rule_table(rule)
    history = [state.to(torch.int64)]
    for _ in range(steps):
        row = history[-1]
        before = torch.cat([row[..., -1:], row[..., :-1]], dim=-1)
        after = torch.cat([row[..., 1:], row[..., :1]], dim=-1)
        number = (before << 2) | (row << 1) | after
        history.append((rule >> number) & 1)
    return torch.stack(history, dim=-2)


def block_entropy(rows, block):
    found = []
    for row in rows.reshape(-1, rows.shape[-1]):
        windows = torch.stack([row.roll(-i) for i in range(block)], dim=1)
        _, counts = windows.unique(dim=0, return_counts=True)
        p = counts / len(row)
        found.append(-(p * p.log2()).sum())
    return torch.stack(found).reshape(rows.shape[:-1])


def mixing_curves(rows, block):
    if rows.shape[-1] % block != 0:
        raise ValueError("block must divide the width")
    d = torch.stack(
        [part.float().mean(dim=-1) for part in rows.split(block, dim=-1)], dim=-1
    )
    low, high = d <= 0.25, d > 0.75
    shares = [level.float().mean(dim=-1) for level in (low, ~low & ~high, high)]

    def bits(p):
        return torch.where(p > 0, -p * p.clamp(min=1e-30).log2(), 0.0)

    return {
        "entropy": (bits(d) + bits(1 - d)).mean(dim=-1),
        "complexity": sum(map(bits, shares)),
    }


def train_rule(model, rule, *, steps=300, width=64, batch=32, lr=0.02, generator=None):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    optimizer.zero_grad()
    losses = []
    for _ in range(steps):
        state = (torch.rand(batch, width, generator=generator) < 0.5).float()
        target = evolve(state.long(), rule, 1)[:, -1].float()
        logits = model(state)
        loss = (F.softplus(logits) - target * logits).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return losses
