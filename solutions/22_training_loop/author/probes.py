"""Questions that the specs of 22 do not ask: does a checkpoint need more than its file,
and which errors are known?
"""

import shutil
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from grader.lock.probes import fill, integers, probe

# An error as PyTorch words it, of numbers that are drawn.
ERRORS = (
    (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate {}.00 GiB"),
    (torch.OutOfMemoryError, "mat1 and mat2 shapes cannot be multiplied ({}x{})"),
    (
        RuntimeError,
        "Expected all tensors to be on the same device, but got cuda:{} and cpu",
    ),
    (RuntimeError, "mat1 and mat2 shapes cannot be multiplied ({}x{} and 3x4)"),
    (RuntimeError, "shape '[{}, {}]' is invalid for input of size 7"),
    (ValueError, "Expected input batch_size ({}) to match target batch_size ({})."),
    (RuntimeError, "expected scalar type Float but found Double"),
    (
        RuntimeError,
        (
            "a leaf of {} elements that requires grad is being used in an in-place "
            "operation."
        ),
    ),
    (
        RuntimeError,
        "grad can be implicitly created only for scalar outputs, not for {}",
    ),
    (RuntimeError, "Trying to backward through the graph a second time ({})"),
    (
        RuntimeError,
        "element {} of tensors does not require grad and does not have a grad_fn",
    ),
    (RuntimeError, "unknown trouble {} with {}"),
    (IndexError, "index {} must match the same device"),
    (KeyError, "a second time {}"),
)


def a_run(rng):
    """A model with random weights, and an optimizer that has made a step."""
    model = fill(nn.Linear(3, 2), rng)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(4, 3, generator=rng)).square().mean().backward()
    optimizer.step()
    return model, optimizer


def leaves(value):
    """The tensors that a file holds, whatever its layout; numbers and lists of them are
    tensors, too.
    """
    if isinstance(value, torch.Tensor):
        return [value]
    if type(value) is int:
        return [torch.tensor(value)]
    parts = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(parts, list | tuple):
        return []
    whole = [torch.tensor(parts)] if {type(part) for part in parts} == {int} else []
    return whole + [leaf for part in parts for leaf in leaves(part)]


def nearest(found, wanted):
    """Of the tensors of this shape the one whose numbers are nearest."""
    alike = [x.double() for x in found if x.shape == wanted.shape]
    return min(alike, key=lambda x: (x - wanted).abs().sum())


@probe("save_checkpoint")
def _(kata, rng):
    """What a file holds of the weights, the momenta, the random states and the step."""
    model, optimizer = a_run(rng)
    [step] = integers(rng, 1, 1000, 9999)
    generator, path = torch.Generator().manual_seed(step), Path(f"held{step}.pt")
    options = {"step": step, "generators": {"data": generator}}
    kata.save_checkpoint(path, model, optimizer, **options)
    found = leaves(torch.load(path, weights_only=True))
    path.unlink()
    momenta = [state["momentum_buffer"] for state in optimizer.state.values()]
    states = torch.get_rng_state(), generator.get_state(), torch.tensor(step)
    return [nearest(found, x) for x in (*model.parameters(), *momenta, *states)]


@probe("load_checkpoint")
def _(kata, rng):
    """Save two runs, move the first one's file, and load it into a third run."""
    [step] = integers(rng, 1, 0, 99)
    first, second, moved = (Path(f"{name}{step}.pt") for name in ("a", "b", "moved"))
    saved, resumed = torch.Generator().manual_seed(step), torch.Generator()
    kata.save_checkpoint(first, *a_run(rng), step=step, generators={"data": saved})
    kata.save_checkpoint(second, *a_run(rng), step=7)
    shutil.move(first, moved)
    model, optimizer = a_run(rng)
    told = kata.load_checkpoint(moved, model, optimizer, generators={"data": resumed})
    draws = torch.rand(3), torch.rand(3, generator=resumed)
    moved.unlink()
    momenta = [state["momentum_buffer"] for state in optimizer.state.values()]
    return [told["step"], dict(model.state_dict()), momenta, draws]


@probe("classify_error")
def _(kata, rng):
    found = []
    for place in torch.randperm(len(ERRORS), generator=rng).tolist():
        kind, words = ERRORS[place]
        error = kind(words.format(*integers(rng, 2, 2, 99)))
        found.append(kata.classify_error(error))
    return found


class Half(nn.Linear):
    """A layer that says half as much in eval mode."""

    def forward(self, x):
        return super().forward(x) * (1 if self.training else 0.5)


def a_task(rng, *lengths):
    """Such a layer with drawn numbers, its optimizer, and batches of these lengths."""
    model = Half(3, 4)
    fill(model, rng)
    batches = [
        (torch.randn(n, 3, generator=rng), torch.randint(4, (n,), generator=rng))
        for n in lengths
    ]
    return model, torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5), batches


def numbers_of(model):
    return [p.detach().clone() for p in model.parameters()]


@probe("train_one_epoch")
def _(kata, rng):
    """The mean of the losses counts samples; the rate changes from batch to batch."""
    model, optimizer, batches = a_task(rng, 4, 7, 1)
    schedule, loss_fn = (
        torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5),
        F.cross_entropy,
    )
    model.eval()
    options = {"max_grad_norm": 0.3, "scheduler": schedule}
    losses = [kata.train_one_epoch(model, batches, loss_fn, optimizer)]
    losses.append(kata.train_one_epoch(model, batches, loss_fn, optimizer, **options))
    return [losses, numbers_of(model)]


@probe("evaluate")
def _(kata, rng):
    model, _, batches = a_task(rng, 4, 7, 1)
    inner, found = nn.Sequential(model, nn.Dropout(0.5)), []
    for training in torch.randint(2, (6,), generator=rng).tolist():
        model.training = bool(training)
        found.append([kata.evaluate(inner, batches, F.cross_entropy), model.training])
    return found


@probe("accumulated_step")
def _(kata, rng):
    model, optimizer, batches = a_task(rng, 4, 7, 1)
    losses = []
    for norm in (None, 0.3, None):
        losses.append(
            kata.accumulated_step(
                model, batches, F.cross_entropy, optimizer, max_grad_norm=norm
            )
        )
    return [losses, numbers_of(model)]


@probe("EarlyStopping.step")
def _(kata, rng):
    model, seen = nn.Linear(2, 1), []
    for mode in ("min", "max"):
        patience, *values = torch.randint(2, 9, (12,), generator=rng).tolist()
        watch = kata.EarlyStopping(patience, 1.0, mode)
        for value in values:
            with torch.no_grad():
                model.weight.fill_(value)
            seen.append([watch.step(value, model), watch.best, watch.best_epoch])
            seen.append(watch.bad_epochs)
        watch.restore(model)
        seen.append(model.weight[0, 0].item())
    return seen


@probe("fit")
def _(kata, rng):
    """Some epochs down, then up: the last one down is the best."""
    model, optimizer, batches = a_task(rng, 6, 6)
    down = int(torch.randint(1, 4, (), generator=rng))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: 1 if n < down else -2
    )
    given = model, batches, batches[:1], F.cross_entropy, optimizer
    stopping = kata.EarlyStopping(2)
    history = kata.fit(*given, epochs=9, early_stopping=stopping, scheduler=schedule)
    more = kata.fit(*given, epochs=2, early_stopping=kata.EarlyStopping(5))
    return [history, more, numbers_of(model)]


@probe("gradient_report")
def _(kata, rng):
    model = nn.Sequential(*(nn.Linear(3, 2) for _ in range(4)))
    kinds = torch.randint(4, (8,), generator=rng).tolist()
    for kind, parameter in zip(kinds, model.parameters()):
        parameter.grad = torch.randn(parameter.shape, generator=rng)
        if kind == 0:
            parameter.grad = None
        elif kind == 1:
            parameter.requires_grad_(False)
    return kata.gradient_report(model)
