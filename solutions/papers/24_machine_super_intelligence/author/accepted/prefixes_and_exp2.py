"""The mixture as a ratio of prefix weights, exp2 and ldexp, weights level by level,
padded one-hot rows, maximize.
"""

from itertools import cycle, islice


def complexity_weighted_sum(values, lengths):
    return torch.dot(
        values, torch.ldexp(torch.ones_like(values), -lengths.to(torch.int32))
    )


def complexity_weighted_sum_numpy(values, lengths):
    return np.dot(values, 0.5**lengths)


def environment_value(policy, pattern, horizon):
    bits = list(islice(cycle(pattern), horizon))
    return sum(abs(1 - bit - policy(bits[:t])) for t, bit in enumerate(bits)) / horizon


def universal_intelligence(policy, max_length, horizon):
    levels = []
    for n in range(1, max_length + 1):
        values = [
            environment_value(policy, p, horizon)
            for p in enumerate_patterns(n)
            if len(p) == n
        ]
        levels.append(sum(values) / 4**n)
    return sum(levels)


def _prefix_weight(bits, max_length):
    """The weight of all patterns whose repetition begins with these bits: length by
    length, free places count 2.
    """
    weight = 0.0
    for n in range(1, max_length + 1):
        slots = {}
        if all(slots.setdefault(t % n, bit) == bit for t, bit in enumerate(bits)):
            weight += 2.0 ** (n - len(slots)) * 4.0**-n
    return weight


def mixture_probability(history, max_length):
    one, zero = (_prefix_weight([*history, bit], max_length) for bit in (1, 0))
    return one / (one + zero) if one + zero > 0 else 0.5


class RecurrentPolicy(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.output = nn.Linear(hidden_size, 1)
        self.gru = nn.GRU(input_size=2, hidden_size=hidden_size, batch_first=True)

    def forward(self, bits):
        # the third row is the one for "nothing seen"
        rows = torch.eye(3, 2, dtype=self.output.bias.dtype)
        tokens = torch.cat([torch.full_like(bits[:, :1], 2), bits], dim=1)[:, :-1]
        return self.output(self.gru(rows[tokens])[0])[..., 0]


def train_policy(
    model, *, steps, max_length, horizon, batch_size=64, lr=1e-2, generator=None
):
    optimizer = torch.optim.Adam(model.train().parameters(), lr=lr, maximize=True)
    rewards = []
    for _ in range(steps):
        optimizer.zero_grad()
        bits = sample_environments(batch_size, max_length, horizon, generator)
        reward = torch.sigmoid((2 * bits - 1) * model(bits)).mean()
        reward.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        rewards.append(float(reward))
    return rewards
