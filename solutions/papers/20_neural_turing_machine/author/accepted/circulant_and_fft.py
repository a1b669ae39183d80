"""The cosine from a small floor, the shift as a product in Fourier space, the loss as
log probabilities.
"""


def content_weights(memory, key, strength):
    dots = (memory * key[:, None, :]).sum(-1)
    lengths = memory.norm(dim=-1) * key.norm(dim=-1, keepdim=True)
    return (strength * dots / lengths.clamp_min(1e-12)).log_softmax(-1).exp()


def content_weights_numpy(memory, key, strength):
    lengths = (
        np.sqrt(np.square(memory).sum(-1)) * np.sqrt(np.square(key).sum(-1))[:, None]
    )
    dots = (memory @ key[:, :, None])[..., 0]
    scores = strength * np.divide(
        dots, lengths, out=np.zeros_like(dots), where=lengths != 0
    )
    scores -= scores.max(1)[:, None]
    return np.exp(scores) / np.exp(scores).sum(1)[:, None]


def location_weights(content, previous, gate, shift, sharpen):
    gated = previous + gate * (content - previous)
    n = gated.shape[1]
    kernel = torch.zeros_like(gated)
    for place, move in enumerate((-1, 0, 1)):
        kernel = kernel + shift[:, place : place + 1] * F.one_hot(
            torch.tensor(move % n), n
        )
    moved = torch.fft.irfft(torch.fft.rfft(gated) * torch.fft.rfft(kernel), n=n)
    powers = moved.clamp(min=1e-9).pow(sharpen)
    return powers / powers.sum(1, keepdim=True)


def write_memory(memory, weights, erase, add):
    result = []
    for n in range(memory.shape[1]):
        share = weights[:, n, None]
        result.append(memory[:, n] * (1 - share * erase) + share * add)
    return torch.stack(result, dim=1)


def train_copy(
    model, *, steps, width, max_length, batch_size=16, lr=2e-2, generator=None
):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    while len(losses) < steps:
        length = (
            1 + torch.multinomial(torch.ones(max_length), 1, generator=generator).item()
        )
        x, bits = make_copy_batch(batch_size, length, width, generator=generator)
        logits = model(x)
        if not isinstance(logits, torch.Tensor):
            logits, *_ = logits
        signs = 2 * bits - 1
        loss = -F.logsigmoid(signs * logits[:, -length:]).mean()
        loss.backward()
        norm = torch.sqrt(sum(p.grad.square().sum() for p in model.parameters()))
        for p in model.parameters():
            p.grad *= torch.clamp(1 / (norm + 1e-6), max=1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return losses
