"""Streams by encoding one text with the marks written into it; windows by unfold;
paragraphs by a regular expression.
"""


def split_prose(docs, every=5):
    if every <= 1 or every > len(docs):
        raise ValueError(f"{every=} with {len(docs)} documents")
    cut = re.compile(r"(?:^|\n)(?:[^\S\n]*\n)+")
    train, val = [], []
    for i, doc in enumerate(docs):
        (val if i % every == every // 2 else train).append(doc)
    known = {p.strip() for doc in train for p in cut.split(doc)} | {""}
    cleaned = [
        "\n\n".join([p for p in cut.split(doc) if p.strip() not in known])
        for doc in val
    ]
    return train, [doc for doc in cleaned if doc]


def prepare(docs, vocab_size=384, every=5, bpe_chars=40_000):
    if vocab_size <= 256:
        raise ValueError(f"vocab_size is {vocab_size}")
    train, val = split_prose(docs, every)
    mark = "<|endoftext|>"
    merges = train_bpe("\n\n".join(train)[:bpe_chars], vocab_size - 1)
    results = {left + right for left, right in merges}
    tokenizer = BPETokenizer(merges, special_tokens={mark: 256 + len(results)})

    def stream(some):
        parts = [
            tokenizer.encode(mark, allow_special=True) + tokenizer.encode(doc)
            for doc in some
        ]
        return torch.LongTensor(sum(parts, []))

    size = sum(map(len, map(str.encode, val)))
    return CapstoneData(
        tokenizer, stream(train), stream(val), size, tokenizer.special_tokens[mark]
    )


def evaluate_stream(model, stream, batch_size=32):
    size = model.config.block_size
    if len(stream) <= size:
        raise ValueError(f"a stream of {len(stream)} tokens")
    rows = stream.unfold(0, size + 1, size)
    training = [module.training for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            sums = [
                model(part[:, :-1], part[:, 1:])[1].double() * len(part)
                for part in rows.split(batch_size)
            ]
    finally:
        for module, mode in zip(model.modules(), training, strict=True):
            module.training = mode
    return float(torch.stack(sums).sum() / len(rows))


def bits_per_byte(loss, n_tokens, n_bytes):
    if not n_bytes > 0:
        raise ValueError(f"n_bytes is {n_bytes}")
    return loss * math.log2(math.e) * (n_tokens / n_bytes)


def reproduction_plan(
    n_params,
    n_tokens,
    tokens_per_step,
    peak_flops,
    mfu,
    n_devices=1,
    price_per_hour=0.0,
):
    for value in (n_params, n_tokens, tokens_per_step, peak_flops, mfu, n_devices):
        if not value > 0:
            raise ValueError(f"{value} is not above 0")
    if mfu > 1:
        raise ValueError(f"mfu is {mfu}")
    if price_per_hour < 0:
        raise ValueError(f"the price is {price_per_hour}")
    device_hours = 6 * n_params * n_tokens / (peak_flops * mfu) / 3600
    return {
        "steps": math.floor(n_tokens / tokens_per_step),
        "flops": float(6 * n_params * n_tokens),
        "hours": device_hours / n_devices,
        "cost": device_hours * price_per_hour,
    }
