"""Neighbourhoods by a convolution on a padded row, counts by scatter_add, levels by
bucketize, padding in forward.
"""


def rule_table(rule):
    if rule not in range(256):
        raise ValueError(f"{rule} is not a rule from 0 to 255")
    return torch.tensor(list(map(int, reversed(f"{rule:08b}"))))


def evolve(state, rule, steps):
    if steps < 0:
        raise ValueError("steps must not be negative")
    table, weights = rule_table(rule).float(), torch.tensor([[[4.0, 2.0, 1.0]]])
    rows = torch.empty(*state.shape[:-1], steps + 1, state.shape[-1], dtype=torch.int64)
    rows[..., 0, :] = state
    for t in range(steps):
        row = rows[..., t, :].reshape(-1, 1, state.shape[-1]).float()
        number = F.conv1d(F.pad(row, (1, 1), mode="circular"), weights)[:, 0]
        rows[..., t + 1, :] = table[number.long()].reshape(state.shape)
    return rows


def block_entropy_numpy(row, block):
    ring = np.concatenate([row, row])
    counts = {}
    for i in range(len(row)):
        pattern = ring[i : i + block].tobytes()
        counts[pattern] = counts.get(pattern, 0) + 1
    share = np.array(list(counts.values())) / len(row)
    return np.sum(share * np.log2(1 / share))


def block_entropy(rows, block):
    ring = torch.cat([rows, rows[..., : block - 1]], dim=-1)
    codes = (ring.unfold(-1, block, 1) * 2 ** torch.arange(block)).sum(dim=-1)
    counts = torch.zeros(*rows.shape[:-1], 2**block).scatter_add(
        -1, codes, torch.ones(codes.shape)
    )
    share = counts / rows.shape[-1]
    return -torch.xlogy(share, share).sum(dim=-1) / torch.log(torch.tensor(2.0))


def mixing_curves(rows, block):
    blocks = rows.reshape(*rows.shape[:-1], rows.shape[-1] // block, block)
    d = blocks.double().mean(dim=-1)
    level = torch.bucketize(d, torch.tensor([0.25, 0.75], dtype=torch.float64))
    share = torch.stack([(level == k).double().mean(dim=-1) for k in range(3)], dim=-1)
    entropy = -(torch.xlogy(d, d) + torch.xlogy(1 - d, 1 - d)) / math.log(2)
    complexity = -torch.xlogy(share, share).sum(dim=-1) / math.log(2)
    return {"entropy": entropy.mean(dim=-1), "complexity": complexity}


class LearnedRule(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.conv = nn.Conv1d(1, hidden, 3)
        self.out = nn.Conv1d(hidden, 1, 1)

    def forward(self, state):
        x = F.pad(state[:, None].to(torch.float32), (1, 1), mode="circular")
        return self.out(self.conv(x).relu())[:, 0]
