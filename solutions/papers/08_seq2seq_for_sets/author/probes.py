"""Questions about inputs drawn anew in papers/08."""

import torch

from grader.lock.probes import probe


@probe("attention_readout_numpy")
def _(kata, rng):
    count, width = torch.randint(2, 9, (2,), generator=rng).tolist()
    memory, query = (
        torch.randn(size, generator=rng, dtype=torch.float64)
        for size in ((count, width), (width,))
    )
    return kata.attention_readout_numpy(memory.numpy(), query.numpy())


@probe("ReadProcessWrite.__init__")
def _(kata, rng):
    found = []
    for reader, own in (("set", "process"), ("lstm", "lstm")):
        numbers, hidden, steps = torch.randint(1, 30, (3,), generator=rng).tolist()
        model = kata.ReadProcessWrite(numbers, hidden, steps, reader)
        parts = [
            getattr(model, name)
            for name in ("read", own, "init", "decoder", "W1", "W2", "v")
        ]
        found.append(
            [
                {name: tuple(one.shape) for name, one in part.named_parameters()}
                for part in parts
            ]
        )
    return found


@probe("ReadProcessWrite.forward")
def _(kata, rng):
    found = []
    for reader, own in (("set", "process"), ("lstm", "lstm")):
        model = kata.ReadProcessWrite(2, 5, 3, reader)
        for name in ("read", own, "init", "decoder", "W1", "W2", "v"):
            for _, parameter in sorted(getattr(model, name).named_parameters()):
                parameter.data.copy_(torch.randn(parameter.shape, generator=rng))
        x = torch.randn(3, 4, 2, generator=rng)
        chosen = torch.rand(3, 4, generator=rng).argsort(dim=1)
        for targets in (None, chosen):
            logits, picks = model(x, targets)
            found.append([logits.detach().exp(), picks])  # of the places taken, 0
    return found
