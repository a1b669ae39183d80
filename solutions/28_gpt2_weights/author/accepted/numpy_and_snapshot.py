# Loading that puts a snapshot back when it fails; NumPy for the flat file; a cropped
# model from a cropped state dict.


def load_hf_weights(model, hf):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given = convert_hf_state_dict(hf)
    head, wte = given.get("lm_head.weight"), given.get("transformer.wte.weight")
    try:
        model.load_state_dict(given, strict=True)
        if not torch.equal(head, wte):
            raise RuntimeError("lm_head.weight is not wte.weight")
    except RuntimeError as error:
        model.load_state_dict(before)
        raise ValueError(str(error)) from None
    return model


def crop_block_size(model, block_size):
    if block_size not in range(1, model.config.block_size + 1):
        raise ValueError("block_size")
    config = GPTConfig(**{**vars(model.config), "block_size": block_size})
    state = {
        k: v[:block_size] if k == "transformer.wpe.weight" else v
        for k, v in model.state_dict().items()
    }
    new = GPT(config)
    new.to(next(model.parameters()))
    new.load_state_dict(state)
    return new if model.training else new.eval()


def write_flat(model, path):
    c = model.config
    header = [
        20240326,
        1,
        c.block_size,
        c.vocab_size,
        c.n_layer,
        c.n_head,
        c.n_embd,
        c.bias,
    ]
    body = torch.cat(
        [p.detach().flatten().to(torch.float32) for p in _in_file_order(model)]
    ).numpy()
    with open(path, "wb") as file:
        np.array(header, dtype="<i4").tofile(file)
        body.astype("<f4").tofile(file)


def read_flat(path):
    header = np.fromfile(path, dtype="<i4", count=8)
    if header.size < 8 or list(header[:2]) != [20240326, 1]:
        raise ValueError("not a flat file of version 1")
    values = np.frombuffer(open(path, "rb").read()[32:], dtype="<f4")
    sizes = dict(
        zip(
            ("block_size", "vocab_size", "n_layer", "n_head", "n_embd"),
            map(int, header[2:7]),
            strict=True,
        )
    )
    model = GPT(GPTConfig(**sizes, dropout=0.0, bias=header[7] == 1))
    if values.size != sum(p.numel() for p in model.parameters()):
        raise ValueError("wrong number of values")
    torch.nn.utils.vector_to_parameters(torch.tensor(values), _in_file_order(model))
    return model
