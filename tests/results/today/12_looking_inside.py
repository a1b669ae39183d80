"""Two heads that continue a repeated text, a probe of a model with and without
training, and directions found again.
"""

import torch
from torch import nn
from torch.nn import functional as F

LIMITS = {
    "repeated texts, next word right: two layers": "> 0.9",
    "repeated texts, next word right: one layer": "< 0.5",
    "layer 1, best head: induction score": "> 0.1",
    "layer 0, best head: weight on the word before": "> 0.2",
    "address corrupted, best head of layer 0 restores": "> 0.3",
    "answer corrupted, best head of layer 1 restores": "> 0.3",
    "shares and the bias, less the logits' difference": "< 0.001",
    "probe of an untrained model": "< 0.6",
    "its control": "< 0.6",
    "probe of a trained model": "> 0.95",
    "control of a trained model": "< 0.6",
    "directions found again, of 40": "> 30",
    "directions that principal components find, of 40": "< 5",
}


class Nothing(nn.Module):
    """In the place of an MLP: adds nothing to the stream."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x)


def texts(rows: int, generator: torch.Generator) -> torch.Tensor:
    """Eight words of 16 in random order, then the same round again, from a random
    place on.
    """
    first = torch.rand(rows, 16, generator=generator).argsort(-1)[:, :8]
    start = torch.randint(8, (rows, 1), generator=generator)
    return torch.cat([first, first.gather(1, (start + torch.arange(8)) % 8)], dim=1)


def train(model, batches, first: int, lr: float):
    """Next-word prediction from place `first` on."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for x in batches:
        logits, _ = model(x[:, :-1])
        loss = F.cross_entropy(
            logits[:, first:].flatten(0, 1), x[:, first + 1 :].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def reader(kata, layers: int, seed: int, steps: int = 500):
    """A GPT of attention alone that has learnt to continue repeated texts."""
    generator = torch.Generator().manual_seed(seed)
    config = kata.GPTConfig(
        block_size=16, vocab_size=16, n_layer=layers, n_head=2, n_embd=48
    )
    model = kata.GPT(config, flash=False)
    for block in model.transformer.h:
        block.mlp = Nothing()
    angles = torch.arange(16).unsqueeze(1) / 100 ** (torch.arange(24) / 24)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
        model.transformer.wpe.weight.copy_(
            0.5 * torch.cat([angles.sin(), angles.cos()], dim=1)
        )
    return train(model, (texts(64, generator) for _ in range(steps)), 8, 5e-3)


def accuracy(model, x: torch.Tensor) -> float:
    with torch.no_grad():
        return (model(x[:, :-1])[0][:, 8:].argmax(-1) == x[:, 9:]).float().mean().item()


def questions(generator: torch.Generator):
    """Texts that end with a word that occurred before, at j. What came after it, at
    j + 1, is the answer. Beside them the same texts with a word that is not in them in
    the answer's place, and at j, and that word.
    """
    x = texts(300, generator)
    where = (x[:, :8] == x[:, 11:12]).int().argmax(1)
    x, where = x[where < 7], where[where < 7].unsqueeze(1)
    absent = (F.one_hot(x, 16).sum(1) == 0).int().argmax(1, keepdim=True)
    clean = x[:, :12]
    return (
        clean,
        x[:, 12],
        clean.scatter(1, where + 1, absent),
        clean.scatter(1, where, absent),
        absent[:, 0],
    )


def classed_texts(rows: int, generator: torch.Generator) -> torch.Tensor:
    """Words of four classes: word w is of class w % 4, and class c is followed by class
    c + 1, eight times of ten.
    """
    classes = torch.randint(4, (rows, 1), generator=generator)
    for _ in range(15):
        moved = (classes[:, -1:] + 1) % 4
        other = torch.randint(4, (rows, 1), generator=generator)
        follow = torch.rand(rows, 1, generator=generator) < 0.8
        classes = torch.cat([classes, torch.where(follow, moved, other)], dim=1)
    return classes + 4 * torch.randint(30, (rows, 16), generator=generator)


def asked(kata, model, generator: torch.Generator) -> tuple[float, float]:
    """What a probe of the stream after the first block knows of classes, and
    its control.
    """
    x = classed_texts(60, generator)
    _, cache = kata.run_with_cache(model, x, ["transformer.h.0"])
    words = x.flatten()
    inside = torch.rand(len(words), generator=generator) < 0.5
    return kata.probe(
        cache["transformer.h.0"].flatten(0, 1), words % 4, words, inside, generator
    )


def sums_of_two(
    rows: int, directions: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Each row is the sum of two directions, with sizes from 0.5 to 1.5."""
    chosen = torch.rand(rows, len(directions), generator=generator).argsort(-1)[:, :2]
    sizes = 0.5 + torch.rand(rows, 2, 1, generator=generator)
    return (sizes * directions[chosen]).sum(1)


def found_again(kata, seed: int, steps: int = 1500):
    """Of 40 directions in 20 dimensions: how many an autoencoder and principal
    components find.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = F.normalize(torch.randn(40, 20, generator=generator), dim=1)
    torch.manual_seed(seed)
    model = kata.TopKAutoencoder(20, 60, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        x = sums_of_two(256, directions, generator)
        loss = (model(x)[0] - x).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.normalise()
    x = sums_of_two(4000, directions, generator)
    with torch.no_grad():
        found = ((model.decoder @ directions.T).amax(0) > 0.9).sum().item()
    principal = torch.linalg.svd(x - x.mean(0), full_matrices=False).Vh
    return found, ((principal @ directions.T).abs().amax(0) > 0.9).sum().item()


def run(kata, seed) -> dict[str, float]:
    generator = torch.Generator().manual_seed(1000 + seed)
    model, held_out = reader(kata, 2, seed), texts(500, generator)
    numbers = [accuracy(model, held_out), accuracy(reader(kata, 1, seed), held_out)]
    blocks = model.transformer.h
    _, cache = kata.run_with_cache(
        model, held_out, [f"transformer.h.{layer}.ln_1" for layer in range(2)]
    )
    weights = [
        kata.heads_of(blocks[i].attn, cache[f"transformer.h.{i}.ln_1"])[1].detach()
        for i in range(2)
    ]
    score = kata.induction_score(weights[1], held_out)
    before = weights[0].diagonal(offset=-1, dim1=-2, dim2=-1).mean((0, 2))
    numbers += [score.max().item(), before.max().item()]

    clean, answer, other_answer, other_address, absent = questions(generator)
    rows = torch.arange(len(clean))

    def difference(logits):
        return (logits[rows, -1, answer] - logits[rows, -1, absent]).mean()

    address = kata.patch_heads(model, clean, other_address, difference)
    of_answer = kata.patch_heads(model, clean, other_answer, difference)
    numbers += [address[0].max().item(), of_answer[1].max().item()]

    names = ["transformer.drop", *(f"transformer.h.{layer}.ln_1" for layer in range(2))]
    logits, cache = kata.run_with_cache(model, clean, names)
    with torch.no_grad():
        heads = [
            kata.head_outputs(blocks[i].attn, cache[names[1 + i]])[:, :, -1]
            for i in range(2)
        ]
        biases = sum(block.attn.c_proj.bias for block in blocks).expand(len(clean), -1)
        parts = [
            cache["transformer.drop"][:, -1],
            *heads[0].unbind(1),
            *heads[1].unbind(1),
            biases,
        ]
        direction = model.lm_head.weight[answer] - model.lm_head.weight[absent]
        norm = model.transformer.ln_f
        shares = kata.logit_shares(parts, norm, direction)
        numbers.append(
            (shares.sum(0) + direction @ norm.bias)
            .mean()
            .sub(difference(logits))
            .abs()
            .item()
        )

    torch.manual_seed(seed)
    of_words = kata.GPT(
        kata.GPTConfig(block_size=16, vocab_size=120, n_layer=1, n_head=2, n_embd=32)
    ).eval()
    untrained = asked(kata, of_words, generator)
    train(of_words.train(), (classed_texts(64, generator) for _ in range(200)), 0, 5e-3)
    trained = asked(kata, of_words, generator)
    found, principal = found_again(kata, seed)
    numbers += [*untrained, *trained, found, principal]
    return dict(zip(LIMITS, map(float, numbers), strict=True))
