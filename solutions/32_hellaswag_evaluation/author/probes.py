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


@probe("evaluate_multiple_choice")
def _(kata, rng):
    def text():
        length = int(torch.randint(1, 9, (), generator=rng))
        return "".join(map(chr, torch.randint(97, 123, (length,), generator=rng)))

    examples = [{"ctx": text() + text(), "endings": [text() for _ in range(3)], "label": i % 3} for i in range(30)]
    model, encode = Bigram(rng), lambda text: list(text.encode())
    return [kata.evaluate_multiple_choice(model, examples, encode, size) for size in (None, 10)]
