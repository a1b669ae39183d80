"""Questions that the specs of 28 ask only about names and models that are known."""

import torch
from torch import nn

from grader.lock.probes import probe


@probe("is_buffer")
def _(kata, rng):
    ends = (
        "attn.bias",
        "attn.masked_bias",
        "attn.c_attn.bias",
        "attn.c_proj.weight",
        "mlp.c_fc.bias",
        "ln_1.bias",
    )
    drawn = torch.randint(6, (20,), generator=rng).tolist()
    return [
        kata.is_buffer(f"{'transformer.' * (i % 2)}h.{i}.{ends[end]}")
        for i, end in enumerate(drawn)
    ]


@probe("config_from_hf")
def _(kata, rng):
    names = ("n_positions", "vocab_size", "n_layer", "n_head", "n_embd")
    sizes = dict(
        zip(names, torch.randint(1, 999, (5,), generator=rng).tolist(), strict=True)
    )
    dropout = {"resid_pdrop": float(torch.rand((), generator=rng)), "attn_pdrop": 0.7}
    fields = (
        "block_size",
        "vocab_size",
        "n_layer",
        "n_head",
        "n_embd",
        "dropout",
        "bias",
    )
    configs = [kata.config_from_hf(sizes), kata.config_from_hf(sizes | dropout)]
    return [getattr(config, field) for config in configs for field in fields]


@probe("freeze_all_but")
def _(kata, rng):
    model, found = nn.Sequential(*(nn.Linear(3, 3) for _ in range(13))), []
    model[5].weight = model[3].weight
    for _ in range(3):
        parts = torch.randperm(13, generator=rng)[:4].tolist()
        count = kata.freeze_all_but(
            model, [f"{part}.weight" if part % 2 else str(part) for part in parts]
        )
        found.append(
            [count, [parameter.requires_grad for parameter in model.parameters()]]
        )
    return found
