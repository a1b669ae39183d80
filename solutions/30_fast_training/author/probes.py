"""Questions that the specs of 30 cannot ask from another process, or ask only about
numbers that are known.
"""

from unittest import mock

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from grader.lock.probes import probe


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
    model = kata.GPT(
        kata.GPTConfig(block_size=6, vocab_size=13, n_layer=1, n_head=2, n_embd=8)
    ).double()
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=rng))
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
    padded = kata.pad_vocab(a_gpt(kata, rng)[0], 8)
    return dict(padded.state_dict()), padded.config.vocab_size


@probe("amp_step")
def _(kata, rng):
    model, factor = Classifier(rng), float(2 + torch.rand((), generator=rng))
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.5), []
    for max_norm, skips in (
        (0.05, False),
        (0.1, True),
        (None, False),
        (None, True),
        (0.02, False),
    ):
        x, y = torch.randint(7, (2, 3, 4), generator=rng)
        losses.append(
            kata.amp_step(
                model, optimizer, x, y, scaler=Scaler(factor, skips), max_norm=max_norm
            )
        )
    return [torch.tensor(losses), model.weight.detach()]


def largest(kata, hidden, weight, targets, chunk_size):
    """How many numbers the largest tensor has that loss and gradients take."""
    with Largest() as made:
        kata.chunked_cross_entropy(
            hidden, weight, targets, chunk_size=chunk_size
        ).backward()
    return made.numbers


@probe("chunked_cross_entropy")
def _(kata, rng):
    hidden, weight = (
        torch.randn(*shape, 2, generator=rng).requires_grad_()
        for shape in ((4, 16), (50,))
    )
    targets = torch.randint(50, (4, 16), generator=rng)
    targets[0] = targets[1, 3:7] = -100
    few = (
        largest(
            kata,
            hidden.detach().requires_grad_(),
            weight.detach().requires_grad_(),
            targets,
            5,
        )
        <= 5 * 50
    )
    loss = kata.chunked_cross_entropy(hidden, weight, targets, chunk_size=5)
    loss.backward()
    return [few, loss.detach(), hidden.grad, weight.grad]


def losses_of_rungs(kata, rng):
    model, x, y = a_gpt(kata, rng)
    rungs = [
        kata.Rung("", pad_multiple=size, compile_backend=to)
        for size in (None, 16)
        for to in (None, "eager")
    ]
    with mock.patch.object(torch, "compile", compiled):
        return torch.tensor(
            [kata.rung_model(model, rung)(x, y)[1].item() for rung in rungs]
        )


@probe("rung_model")
def _(kata, rng):
    return losses_of_rungs(kata, rng)


@probe("run_rung")
def _(kata, rng):
    levels = [
        ("highest", "high", "medium")[i] for i in torch.randperm(3, generator=rng)
    ]
    torch.set_float32_matmul_precision(levels[0])
    _, losses = kata.run_rung(
        *a_gpt(kata, rng), kata.Rung("", precision=levels[1]), n_steps=2, lr=0.01
    )
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
    params, layers, width, block = torch.randint(1, 999, (4,), generator=rng).tolist()
    return kata.flops_per_token(
        kata.GPTConfig(n_layer=layers, n_head=4, n_embd=4 * width, block_size=block),
        params,
    )


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
    found = []
    for warmup in (None, *torch.randint(5, (2,), generator=rng).tolist()):
        steps = int(torch.randint(1, 6, (), generator=rng))
        asking, working = torch.rand(2, 20, generator=rng).tolist()
        time, under_way = [0.0], []

        def step(
            asking=iter(asking), working=iter(working), time=time, under_way=under_way
        ):
            time[0] += next(asking)
            under_way.append(next(working))

        def synchronize(time=time, under_way=under_way):
            while under_way:
                time[0] += under_way.pop()

        options = {"synchronize": synchronize, "clock": lambda time=time: time[0]}
        found.append(
            kata.time_steps(
                step,
                steps,
                **(options if warmup is None else options | {"n_warmup": warmup}),
            )
        )
    return found


@probe("speed_ladder")
def _(kata, rng):
    model, x, y = a_gpt(kata, rng)
    steps, peak = (
        int(torch.randint(2, 5, (), generator=rng)),
        1e6 * float(1 + torch.rand((), generator=rng)),
    )
    readings = iter(
        (0.1 + torch.rand(99, generator=rng, dtype=torch.float64)).cumsum(0).tolist()
    )
    rungs = [
        kata.Rung(f"rung {i}", pad_multiple=size)
        for i, size in zip(torch.randperm(99, generator=rng), (None, 16))
    ]
    rows = kata.speed_ladder(
        model, x, y, rungs, steps, 1, 0.01, peak, clock=lambda: next(readings)
    )
    return [
        [row[key] for key in ("name", "ms", "tokens_per_s", "mfu", "losses")]
        for row in rows
    ]
