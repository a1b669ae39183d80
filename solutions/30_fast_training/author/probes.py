"""Questions that the specs of 30 cannot ask from another process, or ask only about
numbers that are known.
"""

from unittest import mock

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grader.lock.probes import fill, integers, judge, probe


class Classifier(nn.Module):
    """Called like a GPT."""

    def __init__(self, rng):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(7, 7, generator=rng))

    def forward(self, x, y=None):
        logits = self.weight[x] @ self.weight
        return logits, None if y is None else nn.functional.cross_entropy(
            logits.flatten(0, 1), y.flatten()
        )


class Scaler:
    """Scales by a factor, and leaves the step out if told so."""

    def __init__(self, factor, skips):
        self.factor, self.skips, self.divided = factor, skips, False

    def scale(self, loss):
        return loss * self.factor

    def unscale_(self, optimizer):
        self.divided = True
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad /= self.factor

    def step(self, optimizer):
        if not self.divided:
            self.unscale_(optimizer)
        if not self.skips:
            optimizer.step()

    def update(self):
        self.divided = False


class Tripled(nn.Module):
    """Stands in for what torch.compile makes: all numbers that come out of it are three
    times as large.
    """

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *arguments, **options):
        found = self.inner(*arguments, **options)
        return (
            tuple(part if part is None else 3 * part for part in found)
            if isinstance(found, tuple)
            else 3 * found
        )


def compiled(inner, **options):
    return Tripled(inner) if isinstance(inner, nn.Module) else Tripled(inner).forward


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that is made inside."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [
            part.numel() for part in tree_leaves(out) if isinstance(part, torch.Tensor)
        ]
        self.numbers = max(self.numbers, *sizes, 0)
        return out


def a_gpt(kata, rng):
    sizes = {"block_size": 6, "vocab_size": 13, "n_layer": 1, "n_head": 2, "n_embd": 8}
    model = fill(kata.GPT(kata.GPTConfig(**sizes)).double(), rng)
    for parameter in model.parameters():
        parameter.data *= 0.5
    return model, *torch.randint(13, (2, 3, 5), generator=rng)


@probe("amp_loss")
def _(kata, rng):
    x, y = torch.randint(5, (2, 3, 4), generator=rng)
    y[1, 2:] = -100
    found = []
    for vocab_size in (None, 5):
        model = Classifier(rng)
        loss = kata.amp_loss(model, x, y, vocab_size=vocab_size)
        loss.backward()
        found += [loss.detach(), model.weight.grad]
        found += [
            kata.amp_loss(model, x, y, torch.bfloat16, vocab_size).item(),
            model.weight.detach().float(),
        ]
    return found


@probe("pad_vocab")
def _(kata, rng):
    """The padded model, and what is read in wte after it was written in lm_head."""
    padded = kata.pad_vocab(a_gpt(kata, rng)[0], 8)
    state = {name: tensor.clone() for name, tensor in padded.state_dict().items()}
    padded.lm_head.weight.data = torch.randn(16, 8, generator=rng)
    wte = padded.transformer.wte.weight.detach()
    return state, wte, padded.config.vocab_size


@probe("amp_step")
def _(kata, rng):
    model, factor = Classifier(rng), float(2 + torch.rand((), generator=rng))
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.5), []
    limits, skipped = (0.05, 0.1, None, None, 0.02), (False, True, False, True, False)
    for max_norm, skips in zip(limits, skipped):
        x, y = torch.randint(7, (2, 3, 4), generator=rng)
        options = {"scaler": Scaler(factor, skips), "max_norm": max_norm}
        losses.append(kata.amp_step(model, optimizer, x, y, **options))
    return [torch.tensor(losses), model.weight.detach()]


@probe("chunked_cross_entropy")
def _(kata, rng):
    """Loss and gradients, and how many numbers the largest tensor on the way has."""
    hidden = torch.randn(4, 16, 2, generator=rng).requires_grad_()
    weight = torch.randn(50, 2, generator=rng).requires_grad_()
    targets = torch.randint(50, (4, 16), generator=rng)
    targets[0] = targets[1, 3:7] = -100
    with Largest() as made:
        loss = kata.chunked_cross_entropy(hidden, weight, targets, chunk_size=5)
        loss.backward()
    return [made.numbers, loss.detach(), hidden.grad, weight.grad]


@judge("chunked_cross_entropy")
def _(values, expected):
    largest, *numbers = values
    return [largest <= 5 * 50, *numbers]


@probe("rung_model")
def _(kata, rng):
    (model, x, y), losses = a_gpt(kata, rng), []
    for size, backend in ((None, None), (None, "eager"), (16, None), (16, "eager")):
        rung = kata.Rung("", pad_multiple=size, compile_backend=backend)
        with mock.patch.object(torch, "compile", compiled):
            losses.append(kata.rung_model(model, rung)(x, y)[1].item())
    return torch.tensor(losses)


@probe("run_rung")
def _(kata, rng):
    levels = ("highest", "high", "medium")
    before, inside, _ = [levels[i] for i in torch.randperm(3, generator=rng)]
    torch.set_float32_matmul_precision(before)
    rung = kata.Rung("", precision=inside)
    _, losses = kata.run_rung(*a_gpt(kata, rng), rung, n_steps=2, lr=0.01)
    left = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    return [torch.tensor(losses), left]


@probe("tokens_per_second")
def _(kata, rng):
    tokens, seconds = (0.1 + torch.rand(2, 5, generator=rng)).tolist()
    return [
        kata.tokens_per_second(int(1e6 * n), s)
        for n, s in zip(tokens, seconds, strict=True)
    ]


@probe("flops_per_token")
def _(kata, rng):
    params, layers, width, block = integers(rng, 4, 1, 999)
    sizes = {"n_layer": layers, "n_head": 4, "n_embd": 4 * width, "block_size": block}
    return kata.flops_per_token(kata.GPTConfig(**sizes), params)


@probe("mfu")
def _(kata, rng):
    return [
        kata.mfu(*(1 + 1e4 * torch.rand(3, generator=rng)).tolist()) for _ in range(5)
    ]


@probe("matmul_precision")
def _(kata, rng):
    levels, seen = ("highest", "high", "medium"), [torch.get_float32_matmul_precision()]
    for outer, inner in torch.randint(3, (6, 2), generator=rng).tolist():
        with kata.matmul_precision(levels[outer]):
            seen.append(torch.get_float32_matmul_precision())
            with kata.matmul_precision(levels[inner]):
                seen.append(torch.get_float32_matmul_precision())
            seen.append(torch.get_float32_matmul_precision())
        seen.append(torch.get_float32_matmul_precision())
    return seen


@probe("time_steps")
def _(kata, rng):
    """A step asks for work, which goes on until somebody waits for it. The clock
    shows both.
    """
    found, time, under_way = [], [0.0], []
    asking, working = (iter(row) for row in torch.rand(2, 99, generator=rng).tolist())

    def step():
        time[0] += next(asking)
        under_way.append(next(working))

    def synchronize():
        while under_way:
            time[0] += under_way.pop()

    options = {"synchronize": synchronize, "clock": lambda: time[0]}
    for warmup in integers(rng, 2, 0, 5):
        [steps, default] = integers(rng, 2, 1, 6)
        found.append(kata.time_steps(step, steps, **options, n_warmup=warmup))
        found.append(kata.time_steps(step, default, **options))
    return found


@probe("speed_ladder")
def _(kata, rng):
    [steps], peak = integers(rng, 1, 2, 5), 1e6 + torch.rand((), generator=rng).item()
    gaps = 0.1 + torch.rand(99, generator=rng, dtype=torch.float64)
    readings = iter(gaps.cumsum(0).tolist())
    names = torch.randperm(99, generator=rng)[:2].tolist()
    rungs = [
        kata.Rung(f"rung {name}", pad_multiple=size)
        for name, size in zip(names, (None, 16), strict=True)
    ]
    rows = kata.speed_ladder(
        *a_gpt(kata, rng), rungs, steps, 1, 0.01, peak, clock=lambda: next(readings)
    )
    keys = ("name", "ms", "tokens_per_s", "mfu", "losses")
    return [[row[key] for key in keys] for row in rows]


@probe("padded_size")
def _(kata, rng):
    of = 2 + int(torch.randint(50, (), generator=rng))
    sizes = [3 * of, *torch.randint(1, 999, (5,), generator=rng).tolist()]
    return [kata.padded_size(n, m) for n in sizes for m in (128, of)]


@probe("mask_padded_logits")
def _(kata, rng):
    logits, real = (
        torch.randn(2, 3, 9, generator=rng),
        torch.randint(2, 9, (2,), generator=rng),
    )
    return [kata.mask_padded_logits(logits, n).softmax(-1) for n in real.tolist()]


@probe("round_mantissa")
def _(kata, rng):
    """Halves of the last bit go to the even neighbour."""
    x = torch.randn(30, generator=rng) * 2.0 ** torch.randint(
        -9, 9, (30,), generator=rng
    )
    halves = 1 + (2 * torch.randint(64, (20,), generator=rng) + 1) / 256
    return [
        kata.round_mantissa(one, bits) for one in (x, -x, halves) for bits in (7, 10)
    ]
