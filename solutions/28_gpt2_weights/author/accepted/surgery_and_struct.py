# Crop by deepcopy and surgery; freeze by way of modules; the flat file value by value
# with struct and array.

from array import array
from copy import deepcopy


def crop_block_size(model, block_size):
    if block_size < 1 or block_size > model.config.block_size:
        raise ValueError(f"block_size={block_size}")
    small = deepcopy(model)
    small.config.block_size = block_size
    rows = small.transformer.wpe.weight.data[:block_size].clone()
    small.transformer.wpe = nn.Embedding(block_size, rows.size(1), _weight=rows)
    small.transformer.wpe.train(model.training)
    for block in small.transformer.h:
        block.attn.block_size = block_size
    return small


def freeze_all_but(model, prefixes):
    chosen = []
    for prefix in prefixes:
        parts = [
            part
            for name, part in model.named_modules(remove_duplicate=False)
            if name == prefix
        ]
        single = [
            p
            for name, p in model.named_parameters(remove_duplicate=False)
            if name == prefix
        ]
        found = [p for part in parts for p in part.parameters()] + single
        if not found:
            raise ValueError(f"nothing is called {prefix}")
        chosen += found
    for p in model.parameters():
        p.requires_grad = False
    for p in chosen:
        p.requires_grad = True
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def write_flat(model, path):
    c = model.config
    out = bytearray()
    for number in (
        20240326,
        1,
        c.block_size,
        c.vocab_size,
        c.n_layer,
        c.n_head,
        c.n_embd,
        1 if c.bias else 0,
    ):
        out += number.to_bytes(4, "little", signed=True)
    for name, p in model.named_parameters():
        if name != "lm_head.weight":
            numbers = p.detach().to(torch.float32).flatten().tolist()
            out += struct.pack(f"<{len(numbers)}f", *numbers)
    Path(path).write_bytes(out)


def read_flat(path):
    with open(path, "rb") as file:
        header, body = file.read(32), file.read()
    try:
        magic, version, *sizes, bias = struct.unpack("<8i", header)
    except struct.error:
        raise ValueError("no whole header") from None
    if magic != 20240326 or version != 1:
        raise ValueError(f"not a flat file: {magic}, {version}")
    model = GPT(GPTConfig(*sizes, 0.0, bool(bias)))
    if len(body) != 4 * model.num_params():
        raise ValueError(f"{len(body)} bytes of weights")
    values, state, start = array("f", body), {}, 0
    for name, p in model.named_parameters():
        state[name] = torch.tensor(values[start : start + p.numel()]).reshape(p.shape)
        start += p.numel()
    model.load_state_dict(state | {"lm_head.weight": state["transformer.wte.weight"]})
    return model
