"""Questions that the specs of 32 ask only about examples that are known."""

import json
import tempfile
from pathlib import Path

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


@probe("kl_divergence")
def _(kata, rng):
    return [
        kata.kl_divergence(*n * torch.randn(2, 3, 5, generator=rng)) for n in (1, 60)
    ]


@probe("load_examples")
def _(kata, rng):
    rows = []
    for number in torch.randint(999, (6,), generator=rng).tolist():
        label = number % 3 if number % 2 else str(number % 3)
        row = {"ctx": f"é {number}", "endings": [*f"ab{number % 7}"], "label": label}
        rows.append(json.dumps(row | {"more": number}, ensure_ascii=number % 5 == 0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "examples.jsonl")
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return kata.load_examples(path)


@probe("render_example")
def _(kata, rng):
    """A tokenizer of letters: 0 is one of them, and no padding."""
    found = []
    for block in (None, 8, 6):
        letters = ["".join("ab z"[i] for i in torch.randint(3, (9,), generator=rng))]
        for n in torch.randint(1, 5, (3,), generator=rng).tolist():
            letters.append("z" * (n % 2) + "".join("ab"[i % 2] for i in range(n)))
        example = {"ctx": letters[0].strip() or "a", "endings": letters[1:]}
        encode = lambda text: [ord(c) - 97 if c != " " else 9 for c in text]
        found.append(kata.render_example(example, encode, block))
    return found


@probe("predict")
def _(kata, rng):
    found = []
    for _ in range(12):
        model = Bigram(rng)
        tokens = torch.randint(128, (4, 7), generator=rng)
        lengths = torch.randint(1, 5, (4, 1), generator=rng)
        mask = (torch.arange(7) >= 2) & (torch.arange(7) < 2 + lengths)
        found += [kata.predict(model, tokens, mask, one) for one in (True, False)]
    return found
