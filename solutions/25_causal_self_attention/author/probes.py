"""Questions that the specs of 25 ask only about sizes that are known."""

import torch

from grader.lock.probes import probe


@probe("CausalSelfAttention.__init__")
def _(kata, rng):
    found = []
    for heads, size in torch.randint(1, 9, (2, 2), generator=rng).tolist():
        config = kata.GPTConfig(
            n_head=heads, n_embd=heads * size, bias=size % 2 == 0, dropout=size / 10
        )
        layer = kata.CausalSelfAttention(config, flash=heads % 2 == 0)
        shapes = sorted(
            (name, tuple(parameter.shape))
            for name, parameter in layer.state_dict().items()
        )
        found.append([shapes, layer.flash, layer.resid_dropout.p])
    return found


@probe("score_bytes")
def _(kata, rng):
    sizes = torch.randint(1, 2000, (4, 3), generator=rng).tolist()
    kinds = (torch.float64, torch.float32, torch.bfloat16, torch.int8)
    return [
        kata.score_bytes(*three, kind) for three, kind in zip(sizes, kinds, strict=True)
    ]
