"""Swaps by XOR of masks, levels by limits, diffusion by matrices, group by group,
recurrence by string search.
"""


def mix_step(state, swap_probability=0.5, generator=None):
    if swap_probability < 0 or swap_probability > 1:
        raise ValueError("a probability is between 0 and 1")
    draws = torch.rand(state.shape, generator=generator)
    kind = int(torch.randint(4, (), generator=generator))
    dim, offset = 2 + kind // 2, kind % 2
    cream = state.bool()
    places = torch.arange(state.shape[dim])
    leads = (places % 2 == offset) & (places < len(places) - 1)
    leads = leads[:, None] if dim == 2 else leads
    partner = cream.roll(-1, dim)
    flip = leads & (draws < swap_probability) & (cream ^ partner)
    return (cream ^ flip ^ flip.roll(1, dim)).to(state.dtype)


def coarse_grain(state, window, stride, levels=3):
    count = F.avg_pool2d(state, window, stride=stride, divisor_override=1).round()
    limits = [level * window * window / levels for level in range(1, levels)]
    return sum((count >= limit).to(torch.uint8) for limit in limits)


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
    state = initial_state(size, size)
    readings, step = [], 0
    while True:
        if not step % every:
            coarse = coarse_grain(state, window, stride, levels)
            readings.append((step, compressed_size(state), compressed_size(coarse)))
        if step == steps:
            break
        state = mix_step(state, swap_probability, generator)
        step += 1
    return dict(zip(("step", "entropy", "complexity"), map(list, zip(*readings))))


def expected_step(state, swap_probability=0.5):
    def laplacian(size):
        links = torch.ones(size - 1, dtype=state.dtype)
        matrix = torch.diag(links, 1) + torch.diag(links, -1)
        return matrix - torch.diag(matrix.sum(1))

    change = laplacian(state.shape[2]) @ state + state @ laplacian(state.shape[3])
    return state + change * (swap_probability / 4)


def expected_step_numpy(state, swap_probability=0.5):
    flow = np.zeros_like(state)
    flow[:, :, 1:] += state[:, :, :-1] - state[:, :, 1:]
    flow[:, :, :-1] += state[:, :, 1:] - state[:, :, :-1]
    flow[..., 1:] += state[..., :-1] - state[..., 1:]
    flow[..., :-1] += state[..., 1:] - state[..., :-1]
    return state + flow * swap_probability / 4


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
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        shares = torch.rand(batch_size, generator=generator)[:, None, None, None]
        grids = (
            shares > torch.rand(batch_size, 1, size, size, generator=generator)
        ).float()
        optimizer.zero_grad()
        total = 0.0
        for group in grids.tensor_split(4):
            loss = (
                (model(group) - mix_step(group, swap_probability, generator)) ** 2
            ).sum() / grids.numel()
            loss.backward()
            total += loss.item()
        optimizer.step()
        losses.append(total)
    return losses


def recurrence_time(state, permutation):
    law = [int(cell) for cell in permutation]
    kinds = {
        value: chr(97 + number) for number, value in enumerate(state.unique().tolist())
    }
    letters = [kinds[value] for value in state.flatten().tolist()]
    if sorted(law) != [*range(len(letters))]:
        raise ValueError("the law loses something")
    result = 1
    done = [False] * len(law)
    for start in range(len(law)):
        word, cell = "", start
        while not done[cell]:
            done[cell] = True
            word += letters[cell]
            cell = law[cell]
        if word:
            turn = (word + word).index(word, 1)
            result = result * turn // math.gcd(result, turn)
    return result
