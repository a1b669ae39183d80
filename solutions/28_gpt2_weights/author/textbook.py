"""Load a published GPT-2 into our GPT, and write the weights to a flat file.

Sizes: C = n_embd features, V = vocab_size. `hf` is a checkpoint in Hugging Face's
layout, a mapping from names to tensors. It differs from the state dict of a GPT in
four ways:

- All names but "lm_head.weight" begin with "transformer." (GPT2LMHeadModel), or none
  does (GPT2Model).
- In each block the weights of attn.c_attn, attn.c_proj, mlp.c_fc and mlp.c_proj belong
  to layers called Conv1D, which compute x @ weight + bias. So they are stored as (in,
  out); nn.Linear holds (out, in).
- Causal masks may be among the tensors, as "….attn.bias" and "….attn.masked_bias". They
  are no parameters.
- "lm_head.weight" may be absent. It equals the token embedding wte.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig

MAGIC, VERSION = 20240326, 1  # the first two numbers of a flat file


def is_buffer(key: str) -> bool:
    """Tell the causal masks in a checkpoint from its parameters."""
    return key.endswith((".attn.bias", ".attn.masked_bias"))


def checkpoint_summary(hf: Mapping[str, Tensor]) -> dict[str, int | bool]:
    """Read off a checkpoint what model it belongs to, from its names and shapes."""
    hf = {key.removeprefix("transformer."): tensor for key, tensor in hf.items()}
    wte = hf["wte.weight"]
    parameters = [
        tensor
        for key, tensor in hf.items()
        if not is_buffer(key) and key != "lm_head.weight"
    ]
    return {
        "n_layer": 1
        + max(int(key.split(".")[1]) for key in hf if key.startswith("h.")),
        "n_embd": wte.shape[1],
        "vocab_size": wte.shape[0],
        "block_size": hf["wpe.weight"].shape[0],
        "num_params": sum(tensor.numel() for tensor in parameters),
        "num_buffers": sum(is_buffer(key) for key in hf),
        "tied": "lm_head.weight" not in hf or torch.equal(hf["lm_head.weight"], wte),
    }


def config_from_hf(hf_config: Mapping) -> GPTConfig:
    """Translate a config.json, already read into a dict, into our config."""
    activation = hf_config.get("activation_function", "gelu_new")
    if activation not in ("gelu_new", "gelu_pytorch_tanh"):
        raise ValueError(f"our GPT has GELU in the tanh form, not {activation!r}")
    n_inner = hf_config.get("n_inner")
    if n_inner not in (None, 4 * hf_config["n_embd"]):
        raise ValueError(f"our MLP is four times as wide as n_embd, not {n_inner}")
    return GPTConfig(
        block_size=hf_config["n_positions"],
        vocab_size=hf_config["vocab_size"],
        n_layer=hf_config["n_layer"],
        n_head=hf_config["n_head"],
        n_embd=hf_config["n_embd"],
        dropout=hf_config.get("resid_pdrop", 0.1),
        bias=True,
    )


# The layers called Conv1D in Hugging Face's GPT-2, whose weights are (in, out).
CONV1D = (
    "attn.c_attn.weight",
    "attn.c_proj.weight",
    "mlp.c_fc.weight",
    "mlp.c_proj.weight",
)


def convert_hf_state_dict(hf: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn a checkpoint into a state dict as GPT names and shapes it."""
    state = {}
    for key, tensor in hf.items():
        if is_buffer(key):
            continue
        if key != "lm_head.weight":
            key = "transformer." + key.removeprefix("transformer.")
        state[key] = tensor.t().contiguous() if key.endswith(CONV1D) else tensor.clone()
    if "lm_head.weight" not in state:
        state["lm_head.weight"] = state["transformer.wte.weight"].clone()
    return state


def load_hf_weights(model: GPT, hf: Mapping[str, Tensor]) -> GPT:
    """Fill a model with the parameters of a checkpoint, all of them or none."""
    state, own = convert_hf_state_dict(hf), model.state_dict()
    if state.keys() != own.keys():
        raise ValueError(
            f"missing: {sorted(own.keys() - state.keys())}, unknown: "
            f"{sorted(state.keys() - own.keys())}"
        )
    for key, tensor in own.items():
        if state[key].shape != tensor.shape:
            raise ValueError(
                f"{key} is {tuple(state[key].shape)}, in the model "
                f"{tuple(tensor.shape)}"
            )
    if not torch.equal(state["lm_head.weight"], state["transformer.wte.weight"]):
        raise ValueError("lm_head.weight is not tied to wte")
    model.load_state_dict(state)
    return model


def crop_block_size(model: GPT, block_size: int) -> GPT:
    """Make a copy of a model that sees fewer positions, and so takes less memory."""
    cropped = GPT(dataclasses.replace(model.config, block_size=block_size))
    state = model.state_dict()
    state["transformer.wpe.weight"] = state["transformer.wpe.weight"][:block_size]
    cropped.load_state_dict(state)
    cropped.train(model.training)
    return cropped


def freeze_all_but(model: nn.Module, prefixes: Sequence[str]) -> int:
    """Leave only some parts of a model trainable."""
    model.requires_grad_(False)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes):
            parameter.requires_grad = True
    return sum(
        parameter.numel() for parameter in model.parameters() if parameter.requires_grad
    )


def _in_order(model: GPT) -> list[nn.Parameter]:
    """The parameters in the order of the file."""
    parts = model.transformer
    layers = [parts.wte, parts.wpe]
    for block in parts.h:
        layers += [
            block.ln_1,
            block.attn.c_attn,
            block.attn.c_proj,
            block.ln_2,
            block.mlp.c_fc,
            block.mlp.c_proj,
        ]
    layers.append(parts.ln_f)
    return [parameter for layer in layers for parameter in layer.parameters()]


def write_flat(model: GPT, path: str | Path) -> None:
    """Write a model into a file that a C program could read with one fread for the
    header and one for the weights.
    """
    c = model.config
    header = [
        MAGIC,
        VERSION,
        c.block_size,
        c.vocab_size,
        c.n_layer,
        c.n_head,
        c.n_embd,
        int(c.bias),
    ]
    with open(path, "wb") as file:
        file.write(np.array(header, dtype="<i4").tobytes())
        for parameter in _in_order(model):
            file.write(parameter.detach().numpy().astype("<f4").tobytes())


def read_flat(path: str | Path) -> GPT:
    """Read a model from a flat file, which `write_flat` describes."""
    data = Path(path).read_bytes()
    header = np.frombuffer(data, dtype="<i4", count=8).tolist()
    _, _, block_size, vocab_size, n_layer, n_head, n_embd, bias = header
    model = GPT(
        GPTConfig(
            block_size,
            vocab_size,
            n_layer,
            n_head,
            n_embd,
            dropout=0.0,
            bias=bool(bias),
        )
    )
    values = torch.from_numpy(np.frombuffer(data, dtype="<f4", offset=32).copy())
    start = 0
    with torch.no_grad():
        for parameter in _in_order(model):
            n = parameter.numel()
            parameter.copy_(values[start : start + n].view_as(parameter))
            start += n
    return model
