"""Questions that the specs of 28 ask only about names and models that are known."""

import struct
import tempfile
from pathlib import Path

import torch
from torch import nn

from grader.lock.probes import fill, integers, probe


@probe("is_buffer")
def _(kata, rng):
    ends = "attn.bias attn.masked_bias attn.c_attn.bias mlp.c_fc.bias ln_1.bias".split()
    return [
        kata.is_buffer(f"{'transformer.' * (i % 2)}h.{i}.{ends[end]}")
        for i, end in enumerate(integers(rng, 20, 0, 5))
    ]


@probe("config_from_hf")
def _(kata, rng):
    names = ("n_positions", "vocab_size", "n_layer", "n_head", "n_embd")
    sizes = dict(zip(names, integers(rng, 5, 1, 999), strict=True))
    dropout = {"resid_pdrop": float(torch.rand((), generator=rng)), "attn_pdrop": 0.7}
    fields = ("block_size", "vocab_size", "n_layer", "n_head", "n_embd", "dropout")
    configs = [kata.config_from_hf(sizes), kata.config_from_hf(sizes | dropout)]
    return [getattr(config, field) for config in configs for field in fields]


@probe("freeze_all_but")
def _(kata, rng):
    """The count and the names of what is trainable, of thirteen layers."""
    model, found = nn.Sequential(*(nn.Linear(3, 3) for _ in range(13))), []
    model[5].weight = model[3].weight
    for _ in range(3):
        parts = torch.randperm(13, generator=rng)[:4].tolist()
        names = [f"{part}.weight" if part % 2 else str(part) for part in [1, *parts]]
        count = kata.freeze_all_but(model, [*names, "1"])
        left = [name for name, p in model.named_parameters() if p.requires_grad]
        found.append([count, left])
    return found


def a_model(kata, rng, bias=True):
    layers, heads, block, vocabulary = torch.randint(2, 5, (4,), generator=rng).tolist()
    sizes = 9 + block, 20 + vocabulary, layers, heads, 4 * heads
    model = kata.GPT(kata.GPTConfig(*sizes, bias=bias))
    fill(model.transformer, rng)
    return model


def published(model, rng, prefix=""):
    """The model's weights as the checkpoint of GPT-2 has them, with buffers."""
    found = {}
    for name, x in model.transformer.state_dict().items():
        turned = x.ndim == 2 and name.startswith("h.")
        found[prefix + name] = x.t().clone() if turned else x.clone()
    for i in range(len(model.transformer.h)):
        found[f"{prefix}h.{i}.attn.bias"] = torch.ones(1, 1, 4, 4)
    return found


def numbers_of(model):
    return {name: x.clone() for name, x in model.state_dict().items()}


@probe("checkpoint_summary")
def _(kata, rng):
    """The head is left out, given as it is, or given as another."""
    found = []
    for choice in (0, 1, *torch.randint(3, (4,), generator=rng).tolist()):
        model = a_model(kata, rng)
        hf = published(model, rng, "transformer." * (choice % 2))
        wte = model.transformer.wte.weight.detach()
        if choice:
            hf["lm_head.weight"] = (wte + choice - 1).clone()
        for i in range(len(model.transformer.h), 12):
            hf[f"{'transformer.' * (choice % 2)}h.{i}.ln_1.bias"] = torch.zeros(2)
        found.append(kata.checkpoint_summary(hf))
    return found


@probe("convert_hf_state_dict")
def _(kata, rng):
    found = []
    for head in (False, True):
        model = a_model(kata, rng)
        hf = published(model, rng, "transformer." * head)
        if head:
            hf["lm_head.weight"] = torch.randn(3, 2, generator=rng)
        converted = kata.convert_hf_state_dict(hf)
        found.append({name: converted[name] for name in sorted(converted)})
        found.append([x.is_contiguous() for x in found[-1].values()].count(True))
    return found


@probe("load_hf_weights")
def _(kata, rng):
    """Some checkpoints lack a parameter, or have one more. The tie stays."""
    found = []
    for fault in (0, *torch.randint(4, (5,), generator=rng).tolist()):
        model = a_model(kata, rng)
        hf = published(model, rng)
        if fault == 1:
            del hf["ln_f.bias"]
        elif fault == 2:
            hf["h.0.more"] = torch.ones(2)
        elif fault == 3:
            hf["ln_f.bias"] = torch.ones(2)
        fill(model.transformer, rng)
        try:
            kata.load_hf_weights(model, hf)
        except Exception:
            found.append("refused")
            continue
        with torch.no_grad():
            model.transformer.wte.weight += 1
        found.append(numbers_of(model))
    return found


@probe("crop_block_size")
def _(kata, rng):
    model = a_model(kata, rng)
    size = int(torch.randint(2, 9, (), generator=rng))
    cropped = kata.crop_block_size(model, size)
    with torch.no_grad():
        cropped.transformer.wte.weight += 1
        cropped.transformer.wpe.weight += 2
    sizes = [one.config.block_size for one in (model, cropped)]
    return [numbers_of(model), numbers_of(cropped), sizes]


@probe("write_flat")
def _(kata, rng):
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for bias in (True, False):
            kata.write_flat(a_model(kata, rng, bias), Path(folder, "flat"))
            found.append(Path(folder, "flat").read_bytes())
        return found


@probe("read_flat")
def _(kata, rng):
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for bias in (True, False):
            layers, heads, block = torch.randint(1, 4, (3,), generator=rng).tolist()
            sizes = kata.MAGIC, kata.VERSION, block, 7, layers, heads, 4 * heads, bias
            config = kata.GPTConfig(block, 7, layers, heads, 4 * heads, bias=bias)
            count = kata.GPT(config).num_params()
            numbers = torch.randn(count, generator=rng).numpy().astype("<f4")
            path = Path(folder, "flat")
            path.write_bytes(struct.pack("<8i", *sizes) + numbers.tobytes())
            model = kata.read_flat(path)
            found += [numbers_of(model), model.num_params()]
    return found
