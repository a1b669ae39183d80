"""Questions that the specs of 32 ask only about examples that are known."""

import torch
from torch import nn

from grader.lock.probes import probe


class Bigram(nn.Module):
    """Scores the next character by the present one."""

    def __init__(self, rng):
        super().__init__()
        self.logits = nn.Parameter(2 * torch.randn(128, 128, generator=rng))

    def forward(self, tokens):
        return self.logits[tokens], None


def scores(rng, *shape):
    return 3 * torch.randn(*shape, generator=rng)


@probe("token_log_probs")
def _(kata, rng):
    rows, tokens, vocab = torch.randint(2, 9, (3,), generator=rng).tolist()
    logits = scores(rng, rows, tokens, vocab).requires_grad_()
    found = kata.token_log_probs(
        logits, torch.randint(vocab, (rows, tokens), generator=rng)
    )
    (found * scores(rng, rows, tokens)).sum().backward()
    return [found.detach(), logits.grad]


@probe("sampled_kl")
def _(kata, rng):
    shape = torch.randint(2, 9, (2,), generator=rng).tolist()
    return kata.sampled_kl(-scores(rng, *shape).abs(), -scores(rng, *shape).abs())


@probe("completion_losses")
def _(kata, rng):
    rows, tokens, vocab = torch.randint(4, 9, (3,), generator=rng).tolist()
    begins, ends = (
        torch.randint(1, tokens - 1, (rows, 1), generator=rng),
        torch.arange(rows)[:, None] % 3,
    )
    places = torch.arange(tokens)
    mask = (places >= begins) & (places < torch.maximum(begins + 1, tokens - ends))
    return kata.completion_losses(
        scores(rng, rows, tokens, vocab),
        torch.randint(vocab, (rows, tokens), generator=rng),
        mask,
    )


@probe("evaluate_multiple_choice")
def _(kata, rng):
    def text():
        length = int(torch.randint(1, 9, (), generator=rng))
        return "".join(map(chr, torch.randint(97, 123, (length,), generator=rng)))

    examples = [
        {"ctx": text() + text(), "endings": [text() for _ in range(3)], "label": i % 3}
        for i in range(30)
    ]
    model, encode = Bigram(rng), lambda text: list(text.encode())
    return [
        kata.evaluate_multiple_choice(model, examples, encode, size)
        for size in (None, 10)
    ]
