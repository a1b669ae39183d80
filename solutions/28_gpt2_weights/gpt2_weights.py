"""Load a published GPT-2 into our GPT, and write the weights to a flat file.

Sizes: C = n_embd features, V = vocab_size. `hf` is a checkpoint in Hugging Face's
layout, a mapping from names to tensors. It differs from the state dict of a GPT in
four ways:

- All names but "lm_head.weight" begin with "transformer." (GPT2LMHeadModel), or none
  does (GPT2Model).
- In each block, attn.c_attn, attn.c_proj, mlp.c_fc and mlp.c_proj are layers called
  Conv1D, which compute x @ weight + bias. Their weights are stored as (in, out);
  nn.Linear has (out, in).
- Causal masks may be among the tensors, as "….attn.bias" and "….attn.masked_bias". They
  are not parameters.
- "lm_head.weight" may be absent. It equals the token embedding wte.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch  # stub: keep
from torch import Tensor, nn

from grader.loading import prerequisite

GPT = prerequisite("26_gpt_model").GPT
GPTConfig = prerequisite("26_gpt_model").GPTConfig

MAGIC, VERSION = 20240326, 1  # the first two numbers of a flat file
_CONV1D = (
    "attn.c_attn.weight",
    "attn.c_proj.weight",
    "mlp.c_fc.weight",
    "mlp.c_proj.weight",
)


def is_buffer(key: str) -> bool:
    """Tell the causal masks in a checkpoint from its parameters.

    Args:
        key: a name in a checkpoint, with or without "transformer.".
    Returns:
        True for "….attn.bias" and "….attn.masked_bias", such as "h.0.attn.bias". False
        for every other name, such as "h.0.attn.c_attn.bias", a parameter.
    """
    return key.endswith((".attn.bias", ".attn.masked_bias"))


def checkpoint_summary(hf: Mapping[str, Tensor]) -> dict[str, int | bool]:
    """Read the sizes of a model from the names and shapes in its checkpoint.

    Args:
        hf: with or without "transformer.", `lm_head.weight` and buffers.
    Returns:
        A dict of plain ints and one bool:
            n_layer: the number of blocks. Block numbers may have several digits.
            n_embd, vocab_size: from the shape of wte.weight, (V, C).
            block_size: from the shape of wpe.weight, (block_size, C).
            num_params: the number of values in all parameters, without buffers and
            `lm_head.weight`.
            num_buffers: the number of tensors that are buffers.
            tied: True if `lm_head.weight` is absent or equals wte.weight, also in
            memory of its own.

    Edge cases ★
        A head of another shape is not tied. `hf` is not changed.
    """
    plain = {
        key.removeprefix("transformer."): tensor
        for key, tensor in hf.items()
        if not is_buffer(key)
    }
    head = plain.pop("lm_head.weight", None)
    vocab_size, n_embd = plain["wte.weight"].shape
    return {
        "n_layer": len({key.split(".")[1] for key in plain if key.startswith("h.")}),
        "n_embd": n_embd,
        "vocab_size": vocab_size,
        "block_size": plain["wpe.weight"].size(0),
        "num_params": sum(tensor.numel() for tensor in plain.values()),
        "num_buffers": sum(map(is_buffer, hf)),
        "tied": head is None or torch.equal(head, plain["wte.weight"]),
    }


def config_from_hf(hf_config: Mapping) -> GPTConfig:
    """Translate a config.json, already read into a dict, into our config.

    Args:
        hf_config: has n_positions, vocab_size, n_layer, n_head and n_embd. It may have
            resid_pdrop, a dropout probability; activation_function, "gelu_new" or
            "gelu_pytorch_tanh", two names of the same function; and n_inner, the width
            of the MLP: None or 4C. Other entries, such as attn_pdrop and embd_pdrop,
            are ignored.
    Returns:
        A GPTConfig: block_size is n_positions, dropout is resid_pdrop (0.1 if absent),
        bias is True, and the other numbers keep their names.

    Edge cases ★
        Our GPT cannot compute any other activation_function or n_inner: an error names
        the value. An absent activation_function means "gelu_new". `hf_config` may be
        any mapping.
    """
    activation = hf_config.get("activation_function", "gelu_new")
    if activation not in ("gelu_new", "gelu_pytorch_tanh"):
        raise ValueError(
            f"activation_function is {activation!r}, and the model knows GELU in the "
            "tanh form only"
        )
    n_inner, n_embd = hf_config.get("n_inner"), hf_config["n_embd"]
    if n_inner not in (None, 4 * n_embd):
        raise ValueError(
            f"n_inner is {n_inner}, and the model's MLP is always 4 · {n_embd} wide"
        )
    return GPTConfig(
        block_size=hf_config["n_positions"],
        vocab_size=hf_config["vocab_size"],
        n_layer=hf_config["n_layer"],
        n_head=hf_config["n_head"],
        n_embd=n_embd,
        dropout=hf_config.get("resid_pdrop", 0.1),
        bias=True,
    )


def convert_hf_state_dict(hf: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn a checkpoint into a state dict with the names and shapes of a GPT.

    Args:
        hf: with or without "transformer.", `lm_head.weight` and buffers.
    Returns:
        A new dict. Every name but "lm_head.weight" begins with "transformer.". Buffers
        are left out. The four Conv1D weights of each block are transposed, also the
        square attn.c_proj.weight; embeddings, norms and biases are not.
        "lm_head.weight" is always present: the checkpoint's own, or else equal to wte.

    Edge cases ★
        All tensors are contiguous and share no memory with the checkpoint, whose
        tensors may be views. `hf` is not changed. Dtypes are kept. Nothing is checked:
        unknown names are kept, missing ones stay missing, and without wte no lm_head
        is added.
    """
    converted = {}
    for key, tensor in hf.items():
        if is_buffer(key):
            continue
        name = (
            key
            if key.startswith(("transformer.", "lm_head."))
            else f"transformer.{key}"
        )
        ours = tensor.t() if key.endswith(_CONV1D) else tensor
        converted[name] = ours.clone(memory_format=torch.contiguous_format)
    if "lm_head.weight" not in converted and "transformer.wte.weight" in converted:
        converted["lm_head.weight"] = converted["transformer.wte.weight"]
    return converted


def load_hf_weights(model: GPT, hf: Mapping[str, Tensor]) -> GPT:
    """Load a checkpoint into a model, strictly.

    Args:
        model: has the sizes of the checkpoint.
        hf: with or without "transformer.", `lm_head.weight` and buffers.
    Returns:
        The same model with the checkpoint's weights. `lm_head.weight` and
        `transformer.wte.weight` stay one Parameter.

    A checkpoint of another model is an error, whose message says why:

    - parameters that the checkpoint lacks, or that the model lacks: all their names;
    - a converted tensor with another shape than the model's: its name and both shapes,
      as in "5, 6".

    Edge cases ★
        An error leaves the model as it was. An `lm_head.weight` that differs from wte
        is an error that mentions "lm_head"; a missing wte is named like any other name.
        The model keeps its parameter objects, dtype and mode. Model and checkpoint
        share no memory.
    """
    own, given = model.state_dict(), convert_hf_state_dict(hf)
    missing, unexpected = sorted(set(own) - set(given)), sorted(set(given) - set(own))
    if missing or unexpected:
        raise ValueError(
            f"not a checkpoint of this model: missing {missing}, unexpected "
            f"{unexpected}"
        )
    for name, tensor in own.items():
        if given[name].shape != tensor.shape:
            shapes = (
                f"{tuple(given[name].shape)} in the checkpoint and "
                f"{tuple(tensor.shape)} in the model"
            )
            raise ValueError(f"{name} has the shape {shapes}")
    if not torch.equal(given["lm_head.weight"], given["transformer.wte.weight"]):
        raise ValueError(
            "lm_head.weight differs from wte.weight, and the model has one weight for "
            "both"
        )
    model.load_state_dict(given)
    return model


def crop_block_size(model: GPT, block_size: int) -> GPT:
    """Copy a model for fewer positions, which takes less memory.

    Args:
        model: stays as it was.
        block_size: the number of positions to keep, the first ones.
    Returns:
        A new GPT with the same weights and config, except that wpe has block_size rows
        and the config says so. The copy's `lm_head` is tied to its wte. The two models
        share no memory and no config.

    Edge cases ★
        The model and each of its attention layers refuse longer input. The copy has the
        mode, the dtype and the device of the given model. A block_size outside 1 … the
        model's own is an error.
    """
    if not 1 <= block_size <= model.config.block_size:
        raise ValueError(
            f"block_size must be between 1 and {model.config.block_size}, not "
            f"{block_size}"
        )
    state = model.state_dict()
    wpe = state["transformer.wpe.weight"]
    cropped = GPT(replace(model.config, block_size=block_size)).to(
        wpe.device, wpe.dtype
    )
    cropped.load_state_dict(state | {"transformer.wpe.weight": wpe[:block_size]})
    return cropped.train(model.training)


def freeze_all_but(model: nn.Module, prefixes: Sequence[str]) -> int:
    """Leave only some parts of a model trainable.

    Args:
        model: a GPT, or any other module.
        prefixes: names of parts ("transformer.h.1") or of single parameters
            ("lm_head.weight"). A prefix ends before a dot or is the whole name:
            "transformer.h.1" does not cover "transformer.h.10.ln_1.weight".
    Returns:
        The number of trainable values, each parameter counted once.

    `requires_grad` becomes True for parameters that a prefix covers, even if an earlier
    call froze them, and False for all others. A parameter with several names is covered
    if one of its names is: "lm_head" unfreezes the weight that it shares with wte.
    Without prefixes everything is frozen.

    Edge cases ★
        A prefix that covers nothing is an error that names it and changes nothing.
    """
    # a tied weight under both of its names
    named = list(model.named_parameters(remove_duplicate=False))
    covered = set()
    for prefix in prefixes:
        found = {
            parameter
            for name, parameter in named
            if f"{name}.".startswith(f"{prefix}.")
        }
        if not found:
            raise ValueError(f"there is no parameter under {prefix!r}")
        covered |= found
    for _, parameter in named:
        parameter.requires_grad_(parameter in covered)
    return sum(parameter.numel() for parameter in covered)


def write_flat(model: GPT, path: str | Path) -> None:
    """Write a model to a file that a C program could read with one fread for the header
    and one for the weights.

    Args:
        model: a GPT.
        path: the file.

    The file holds, all little-endian:

    - the header, 8 int32: MAGIC, VERSION, block_size, vocab_size, n_layer, n_head,
      n_embd and bias (0 or 1);
    - the parameters as float32: wte, wpe, then per block ln_1, attn.c_attn,
      attn.c_proj, ln_2, mlp.c_fc, mlp.c_proj, and last ln_f. For each layer, the weight
      comes first, then the bias, if there is one.

    Matrices have the layout of our model, (out, in) for linear layers, row by row. The
    weight of wte and lm_head is written once, as wte.

    Edge cases ★
        Models of any float dtype are written as float32 and stay as they were. `path`
        may be a str. An existing file is replaced.
    """
    config = model.config
    sizes = (
        config.block_size,
        config.vocab_size,
        config.n_layer,
        config.n_head,
        config.n_embd,
        config.bias,
    )
    with open(path, "wb") as file:
        file.write(struct.pack("<8i", MAGIC, VERSION, *sizes))
        for parameter in _in_file_order(model):
            file.write(parameter.detach().float().cpu().numpy().astype("<f4").tobytes())


def read_flat(path: str | Path) -> GPT:
    """Read a model from a flat file, in the format of `write_flat`.

    Args:
        path: the file.
    Returns:
        A new GPT in float32, of the sizes in the header, with dropout 0 and `lm_head`
        tied to wte.

    Edge cases ★
        `path` may be a str. A file is refused with an error if it does not begin with
        MAGIC and VERSION, is too short for a header, or does not hold exactly the
        values of a model of these sizes: fewer, more, or part of a value.
    """
    data = Path(path).read_bytes()
    if len(data) < 32:
        raise ValueError(f"{path} has {len(data)} bytes, and a header has 32")
    magic, version, block_size, vocab_size, n_layer, n_head, n_embd, bias = (
        struct.unpack("<8i", data[:32])
    )
    if (magic, version) != (MAGIC, VERSION):
        raise ValueError(
            f"{path} begins with {magic}, {version}, not with {MAGIC}, {VERSION}"
        )
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
    parameters = _in_file_order(model)
    expected = 4 * sum(parameter.numel() for parameter in parameters)
    if len(data) - 32 != expected:
        raise ValueError(
            f"{path} has {len(data) - 32} bytes of weights, and a model of these "
            f"sizes has {expected}"
        )
    # a copy that can be written to
    values = torch.from_numpy(np.frombuffer(data, "<f4", offset=32).astype(np.float32))
    with torch.no_grad():
        for parameter, part in zip(
            parameters, values.split([p.numel() for p in parameters]), strict=True
        ):
            parameter.copy_(part.view_as(parameter))
    return model


def _in_file_order(model: GPT) -> list[nn.Parameter]:
    """All parameters, each once, in the order of a flat file."""
    layers = [model.transformer.wte, model.transformer.wpe]
    for block in model.transformer.h:
        layers += [
            block.ln_1,
            block.attn.c_attn,
            block.attn.c_proj,
            block.ln_2,
            block.mlp.c_fc,
            block.mlp.c_proj,
        ]
    layers.append(model.transformer.ln_f)
    # the weight, then the bias
    return [parameter for layer in layers for parameter in layer.parameters()]
