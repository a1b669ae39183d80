"""Loops and fractions, patterns struck out bit by bit, a GRU called per step, and
1 − reward with clipping by hand.
"""

from fractions import Fraction


def complexity_weighted_sum(values, lengths):
    total = values.new_zeros(())
    for value, length in zip(values, lengths.tolist()):
        total = total + value / 2**length
    return total


def complexity_weighted_sum_numpy(values, lengths):
    return sum(
        value / 2**length for value, length in zip(values.tolist(), lengths.tolist())
    )


def environment_value(policy, pattern, horizon):
    history, chances = [], []
    for t in range(horizon):
        bit = pattern[t % len(pattern)]
        one = policy(history.copy())
        chances.append((1 - one, one)[bit])
        history.append(bit)
    return float(np.mean(chances))


def universal_intelligence(policy, max_length, horizon):
    total = Fraction(0)
    for pattern in enumerate_patterns(max_length):
        total += Fraction(
            environment_value(policy, pattern, horizon)
        ) / 2 ** description_length(pattern)
    return float(total)


def mixture_probability(history, max_length):
    left = enumerate_patterns(max_length)
    for t, bit in enumerate(history):
        left = [pattern for pattern in left if pattern[t % len(pattern)] == bit]
    if not left:
        return 0.5
    weights = torch.tensor(
        [4.0 ** -len(pattern) for pattern in left], dtype=torch.float64
    )
    ahead = torch.tensor(
        [pattern[len(history) % len(pattern)] for pattern in left], dtype=torch.float64
    )
    return torch.dot(weights / weights.sum(), ahead).item()


class RecurrentPolicy(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.gru = nn.GRU(2, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, 1)

    def forward(self, bits):
        x = self.output.weight.new_zeros(len(bits), 1, 2)
        state, logits = None, []
        for t in range(bits.shape[1]):
            out, state = self.gru(x, state)
            logits.append(self.output(out[:, 0]))
            x = torch.stack([1 - bits[:, t], bits[:, t]], dim=1)[:, None].to(x)
        return torch.cat(logits, dim=1)


def train_policy(
    model, *, steps, max_length, horizon, batch_size=64, lr=1e-2, generator=None
):
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr)
    rewards = []
    while len(rewards) < steps:
        bits = sample_environments(batch_size, max_length, horizon, generator)
        chances = (
            torch.distributions.Bernoulli(logits=model(bits))
            .log_prob(bits.to(torch.float32))
            .exp()
        )
        loss = 1 - chances.mean()
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.sqrt(sum(gradient.square().sum() for gradient in gradients))
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = gradient if norm <= 1 else gradient / norm
        optimizer.step()
        rewards.append(1 - loss.item())
    return rewards
