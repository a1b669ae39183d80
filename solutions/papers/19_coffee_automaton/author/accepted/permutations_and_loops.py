"""Swaps by an index permutation, windows by unfold, diffusion by a fixed kernel, cycles
by their divisors.
"""


def mix_step(state, swap_probability=0.5, generator=None):
    if not 0 <= swap_probability <= 1:
        raise ValueError("swap_probability")
    batch, _, height, width = state.shape
    offset = int(torch.randint(0, 2, (1,), generator=generator))
    vertical = torch.rand(1, generator=generator).item() < 0.5
    cells = torch.arange(height * width).view(height, width)
    lines = cells.T if vertical else cells
    first = lines[:, offset : lines.shape[1] - 1 : 2].reshape(-1)
    second = lines[:, offset + 1 :: 2].reshape(-1)
    order = cells.reshape(1, -1).repeat(batch, 1)
    swap = torch.rand(batch, len(first), generator=generator).lt(swap_probability)
    order[:, first] = torch.where(swap, second, first)
    order[:, second] = torch.where(swap, first, second)
    return state.reshape(batch, -1).gather(1, order).reshape(state.shape)


def coarse_grain(state, window, stride, levels=3):
    windows = state.unfold(2, window, stride).unfold(3, window, stride)
    share = windows.double().sum(dim=(-1, -2)) / window**2
    return torch.clamp((share * levels).to(torch.uint8), max=levels - 1)


def complexity_curve(
    size,
    window,
    stride,
    *,
    steps,
    every,
    levels=3,
    swap_probability=0.5,
    generator=None,
):
    numbers = list(range(0, steps + 1, every))
    state, entropy, complexity = initial_state(size, size), [], []
    for number in numbers:
        if number:
            for _ in range(every):
                state = mix_step(
                    state, swap_probability=swap_probability, generator=generator
                )
        coarse = coarse_grain(state, window, stride, levels=levels)
        entropy.append(compressed_size(state))
        complexity.append(compressed_size(coarse))
    return dict(complexity=complexity, entropy=entropy, step=numbers)


def expected_step(state, swap_probability=0.5):
    kernel = (
        state.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
        * swap_probability
        / 4
    )
    return state + F.conv2d(F.pad(state, [1] * 4, mode="replicate"), kernel)


def expected_step_numpy(state, swap_probability=0.5):
    result = np.array(state, dtype=float)
    for i in range(state.shape[2]):
        for j in range(state.shape[3]):
            for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= k < state.shape[2] and 0 <= m < state.shape[3]:
                    result[:, 0, i, j] += (
                        swap_probability * (state[:, 0, k, m] - state[:, 0, i, j]) / 4
                    )
    return result


class DiffusionModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, bias=False)

    def forward(self, state):
        return self.conv(F.pad(state, (1, 1, 1, 1), mode="replicate"))


def train_diffusion(
    model,
    *,
    steps,
    size=16,
    batch_size=32,
    lr=0.02,
    swap_probability=0.5,
    generator=None,
):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    while len(losses) < steps:
        now = torch.cat(
            [
                torch.bernoulli(
                    torch.rand(1, 1, 1, 1, generator=generator).expand(
                        1, 1, size, size
                    ),
                    generator=generator,
                )
                for _ in range(batch_size)
            ]
        )
        then = torch.cat(
            [
                mix_step(now[b : b + 1], swap_probability, generator=generator)
                for b in range(batch_size)
            ]
        )
        loss = (then - model(now)).pow(2).mean()
        loss.backward()
        optimizer.step()
        model.zero_grad()
        losses.append(float(loss))
    return losses


def recurrence_time(state, permutation):
    cells, law = state.reshape(-1), permutation.numpy()
    if len(law) != len(cells) or set(law.tolist()) != set(range(len(cells))):
        raise ValueError("not a permutation")
    unseen, times = set(range(len(cells))), [1]
    while unseen:
        ring = [min(unseen)]
        while law[ring[-1]] != ring[0]:
            ring.append(int(law[ring[-1]]))
        unseen -= set(ring)
        held = cells[ring]
        for divisor in range(1, len(ring) + 1):
            if len(ring) % divisor == 0 and torch.equal(held.roll(divisor), held):
                times.append(divisor)
                break
    return math.lcm(*times)
