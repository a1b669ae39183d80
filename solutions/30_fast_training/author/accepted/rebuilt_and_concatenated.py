"""The padded model built anew from its config, the mask concatenated, ceil, one running
clock, a median by sorting.
"""

import math


def padded_size(n, multiple=128):
    if min(n, multiple) < 1:
        raise ValueError((n, multiple))
    return math.ceil(n / multiple) * multiple


def _twin(model, vocab_size, flash):
    weight = model.lm_head.weight.detach()
    twin = GPT(replace(model.config, vocab_size=vocab_size), flash=flash).to(
        weight.device, weight.dtype
    )
    state = dict(model.state_dict())
    rows = torch.cat(
        [weight, torch.zeros(vocab_size - weight.size(0), weight.size(1)).to(weight)]
    )
    state["transformer.wte.weight"] = state["lm_head.weight"] = rows
    twin.load_state_dict(state)
    return twin.train(model.training)


def pad_vocab(model, multiple=128):
    size = padded_size(model.config.vocab_size, multiple)
    return _twin(model, size, model.transformer.h[0].attn.flash)


def mask_padded_logits(logits, vocab_size):
    width = logits.shape[-1]
    if vocab_size < 1 or vocab_size > width:
        raise ValueError(f"vocab_size {vocab_size} of {width}")
    lowest = torch.finfo(logits.dtype).min
    filling = torch.full(
        (*logits.shape[:-1], width - vocab_size),
        lowest,
        dtype=logits.dtype,
        device=logits.device,
    )
    return torch.cat([logits[..., :vocab_size], filling], dim=-1)


def time_steps(step, n_steps, n_warmup=1, synchronize=None, clock=time.perf_counter):
    if n_steps <= 0:
        raise ValueError(n_steps)

    def wait():
        if synchronize is not None:
            synchronize()
        elif torch.cuda.is_available():
            torch.cuda.synchronize()
        elif torch.backends.mps.is_available():
            torch.mps.synchronize()

    times = []
    for i in range(-n_warmup, n_steps):
        wait()
        if i >= 0:
            started = clock()
        step()
        wait()
        if i >= 0:
            times += [clock() - started]
    return times


def rung_model(model, rung):
    size = model.config.vocab_size
    twin = _twin(
        model,
        padded_size(size, rung.pad_multiple) if rung.pad_multiple else size,
        rung.flash,
    )
    whole = _Whole(twin, size).train()
    if rung.compile_backend is not None:
        whole.compile(backend=rung.compile_backend)
    return whole


def run_rung(
    model, x, y, rung, n_steps=3, n_warmup=1, lr=1e-3, clock=time.perf_counter
):
    whole = rung_model(model, rung)
    optimizer = make_optimizer(whole, lr=lr, fused=rung.fused)
    scaler = torch.amp.GradScaler(x.device.type, enabled=rung.dtype == torch.float16)
    losses = []

    def step():
        losses.append(amp_step(whole, optimizer, x, y, rung.dtype, scaler))

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(rung.precision)
    try:
        return time_steps(step, n_steps, n_warmup, clock=clock), losses
    finally:
        torch.set_float32_matmul_precision(before)


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
    result = []
    for rung in rungs:
        times, losses = run_rung(model, x, y, rung, n_steps, n_warmup, lr, clock)
        times.sort()
        middle = 0.5 * (times[(n_steps - 1) // 2] + times[n_steps // 2])
        speed = y.numel() / middle
        row = dict(
            name=rung.name, ms=middle * 1e3, tokens_per_s=speed, losses=losses, mfu=None
        )
        if peak_flops:
            row["mfu"] = (
                speed
                * flops_per_token(model.config, model.num_params(True))
                / peak_flops
            )
        result.append(row)
    return result


class _Whole(nn.Module):
    """Always masks, also where there is nothing to mask."""

    def __init__(self, inner, size):
        super().__init__()
        self.inner, self.size = inner, size

    def forward(self, x, y):
        scores = mask_padded_logits(self.inner(x)[0], self.size)
        return scores, F.cross_entropy(
            scores.reshape(-1, scores.size(-1)), y.reshape(-1)
        )
