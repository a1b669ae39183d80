# load_state_dict's own error, from a copy on the meta device, so that nothing is copied
# before all is known; regex for names; a set of digits; the head first in the dict.

import re
from copy import deepcopy

TRANSPOSED = re.compile(
    r"\bh\.\d+\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$"
)
BUFFER = re.compile(r"\.attn\.(masked_)?bias$")


def is_buffer(key):
    return bool(BUFFER.search(key))


def checkpoint_summary(hf):
    def find(name):
        return hf.get(f"transformer.{name}", hf.get(name))

    numbers = [
        int(m.group(1))
        for m in (re.search(r"(?:^|\.)h\.(\d+)\.", key) for key in hf)
        if m
    ]
    wte, wpe, head = find("wte.weight"), find("wpe.weight"), hf.get("lm_head.weight")
    buffers = [key for key in hf if is_buffer(key)]
    counted = [
        t
        for key, t in hf.items()
        if key not in buffers and not key.startswith("lm_head")
    ]
    tied = head is None or (head.shape == wte.shape and bool((head == wte).all()))
    return dict(
        tied=tied,
        num_buffers=len(buffers),
        num_params=int(sum(t.numel() for t in counted)),
        n_layer=max(numbers) + 1,
        vocab_size=wte.shape[0],
        n_embd=wte.shape[1],
        block_size=len(wpe),
    )


def convert_hf_state_dict(hf):
    parameters = {
        re.sub(r"^transformer\.", "", key): t
        for key, t in hf.items()
        if not is_buffer(key)
    }
    if "lm_head.weight" not in parameters and "wte.weight" in parameters:
        parameters = {"lm_head.weight": parameters["wte.weight"]} | parameters
    converted = {}
    for key, t in parameters.items():
        rows = t.transpose(0, 1) if TRANSPOSED.search(key) else t
        own = torch.empty(rows.shape, dtype=rows.dtype)
        own.copy_(rows)
        converted[key if key == "lm_head.weight" else "transformer." + key] = own
    return converted


def load_hf_weights(model, hf):
    ours = convert_hf_state_dict(hf)
    try:
        deepcopy(model).to("meta").load_state_dict(ours)
    except RuntimeError as error:
        raise ValueError(f"the checkpoint does not fit: {error}") from error
    if (ours["lm_head.weight"] != ours["transformer.wte.weight"]).any():
        raise ValueError("lm_head is not tied to wte in this checkpoint")
    model.load_state_dict(ours)
    return model
