# String methods; every parameter copied by hand, the tied one once; the head shared
# inside the converted dict.


def is_buffer(key):
    parts = key.split(".")
    return parts[-2] == "attn" and parts[-1] in {"bias", "masked_bias"}


def config_from_hf(hf_config):
    entries = dict(hf_config)
    if "activation_function" in entries and entries["activation_function"] not in {
        "gelu_new",
        "gelu_pytorch_tanh",
    }:
        raise ValueError("cannot compute " + entries["activation_function"])
    width = entries.get("n_inner")
    if width is not None and width != entries["n_embd"] * 4:
        raise ValueError(f"an MLP of width {width} is not supported")
    same = {
        name: entries[name] for name in ("vocab_size", "n_layer", "n_head", "n_embd")
    }
    dropout = entries["resid_pdrop"] if "resid_pdrop" in entries else 0.1
    return GPTConfig(block_size=entries["n_positions"], dropout=dropout, **same)


def convert_hf_state_dict(hf):
    layers = {"c_attn", "c_proj", "c_fc"}
    converted = {}
    for key in hf:
        if is_buffer(key):
            continue
        t = hf[key].detach()
        *_, layer, kind = key.split(".")
        t = (
            torch.stack(list(t.unbind(dim=1)))
            if layer in layers and kind == "weight"
            else t.contiguous() + 0
        )
        if not key.startswith("transformer.") and key != "lm_head.weight":
            key = "transformer." + key
        converted[key] = t.contiguous()
    if "transformer.wte.weight" in converted:
        converted.setdefault("lm_head.weight", converted["transformer.wte.weight"])
    return converted


def load_hf_weights(model, hf):
    theirs = convert_hf_state_dict(hf)
    problems = [f"missing: {name}" for name in model.state_dict() if name not in theirs]
    problems += [
        f"unexpected: {name}" for name in theirs if name not in model.state_dict()
    ]
    for name, p in model.named_parameters(remove_duplicate=False):
        if name in theirs and list(theirs[name].shape) != list(p.shape):
            problems.append(
                f"shape of {name}: wanted {list(p.shape)}, got "
                f"{list(theirs[name].shape)}"
            )
    if not problems and not torch.equal(
        theirs["lm_head.weight"], theirs["transformer.wte.weight"]
    ):
        problems.append("lm_head and wte differ")
    if problems:
        raise ValueError("\n".join(problems))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(theirs[name])
    return model
