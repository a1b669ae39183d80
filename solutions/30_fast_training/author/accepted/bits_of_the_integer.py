"""Half a unit added to the magnitude, ties found by comparison; one function for both
losses; statistics by torch.
"""


def round_mantissa(x, bits):
    if x.dtype != torch.float32:
        raise TypeError("float32 only")
    if bits < 1 or bits > 23:
        raise ValueError(f"{bits} bits")
    dropped = 23 - bits
    raw = x.contiguous().view(torch.int32).long() & 0xFFFFFFFF
    sign, magnitude = raw & 0x80000000, raw & 0x7FFFFFFF
    down = magnitude >> dropped << dropped
    rest, half = magnitude - down, (1 << dropped) / 2
    up = (rest > half) | ((rest == half) & (dropped > 0) & ((down >> dropped) % 2 == 1))
    magnitude = torch.where(
        magnitude < 0x7F800000, down + up.long() * (1 << dropped), magnitude
    )
    signed = torch.where(sign > 0, magnitude - 0x80000000, magnitude)
    return signed.int().view(torch.float32).reshape(x.shape)


def mfu(tokens_per_s, flops_per_tok, peak_flops):
    if not peak_flops > 0:
        raise ValueError(peak_flops)
    return flops_per_tok / peak_flops * tokens_per_s


class _Loss(nn.Module):
    def __init__(self, model, vocab_size):
        super().__init__()
        self.model, self.vocab_size = model, vocab_size

    def forward(self, x, targets=None):
        logits, _ = self.model(x)
        kept = logits[..., : self.vocab_size]
        return kept, None if targets is None else F.cross_entropy(
            kept.flatten(0, -2), targets.flatten()
        )


def amp_loss(model, x, y, dtype=None, vocab_size=None):
    called = model if vocab_size is None else _Loss(model, vocab_size)
    if dtype is None:
        return called(x, y)[1]
    with torch.autocast(x.device.type, dtype=dtype):
        return called(x, y)[1]


def amp_step(
    model, optimizer, x, y, dtype=None, scaler=None, max_norm=1.0, vocab_size=None
):
    if dtype == torch.float16 and not scaler:
        raise ValueError("scaler")
    loss = amp_loss(model, x, y, dtype, vocab_size)
    value = loss.item()
    optimizer.zero_grad(set_to_none=False)
    if scaler is not None:
        loss = scaler.scale(loss)
    loss.backward()
    if scaler is not None and max_norm is not None:
        scaler.unscale_(optimizer)
    if max_norm is not None:
        torch.nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], max_norm
        )
    step = (
        optimizer.step
        if scaler is None
        else lambda: (scaler.step(optimizer), scaler.update())
    )
    step()
    return value


def rung_model(model, rung):
    twin = copy.deepcopy(model)
    if rung.pad_multiple is not None:
        twin = pad_vocab(twin, rung.pad_multiple)
    for module in twin.train().modules():
        if hasattr(module, "flash"):
            module.flash = rung.flash
    whole = _Loss(twin, model.config.vocab_size)
    return (
        torch.compile(whole, backend=rung.compile_backend)
        if rung.compile_backend
        else whole
    )


def speed_ladder(
    model,
    x,
    y,
    rungs,
    n_steps=3,
    n_warmup=1,
    lr=1e-3,
    peak_flops=None,
    clock=time.perf_counter,
):
    def one(rung):
        seconds, losses = run_rung(model, x, y, rung, n_steps, n_warmup, lr, clock)
        median = torch.tensor(seconds, dtype=torch.float64).quantile(0.5).item()
        rate = x.numel() / median
        cost = flops_per_token(model.config, model.num_params(non_embedding=True))
        use = mfu(rate, cost, peak_flops) if peak_flops is not None else None
        return {
            "name": rung.name,
            "ms": median * 1000,
            "tokens_per_s": rate,
            "mfu": use,
            "losses": losses,
        }

    return [one(rung) for rung in rungs]
