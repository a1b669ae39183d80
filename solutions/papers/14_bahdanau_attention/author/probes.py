"""Questions about inputs drawn anew in papers/14."""

import torch

from grader.lock.probes import probe


@probe("Seq2Seq.__init__")
def _(kata, rng):
    found = []
    for attention in (True, False):
        symbols, hidden = torch.randint(2, 20, (2,), generator=rng).tolist()
        model = kata.Seq2Seq(symbols, hidden, attention)
        parts = [model.embed, model.encoder, model.bridge, model.decoder, model.head]
        parts += [model.attention] if attention else []
        found.append(
            [
                {name: tuple(one.shape) for name, one in part.named_parameters()}
                for part in parts
            ]
        )
    return found


def drawn(kata, attention, rng):
    """A model with parameters of our own, five sources, and their lengths."""
    model = kata.Seq2Seq(11, 6, attention)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    lengths = torch.randint(1, 8, (5,), generator=rng)
    lengths[0] = 7
    src = torch.randint(2, 11, (5, 7), generator=rng)
    return model, src * (torch.arange(7) < lengths[:, None]), lengths


@probe("Seq2Seq.forward")
def _(kata, rng):
    found = []
    for attention in (True, False):
        model, src, lengths = drawn(kata, attention, rng)
        logits, weights = model(
            src, lengths, torch.randint(1, 11, (5, 4), generator=rng)
        )
        found.append([logits.detach(), weights.detach()])
    return found


@probe("greedy_translate")
def _(kata, rng):
    model, src, lengths = drawn(kata, True, rng)
    return kata.greedy_translate(
        model, src, lengths, int(torch.randint(4, 12, (), generator=rng))
    )
