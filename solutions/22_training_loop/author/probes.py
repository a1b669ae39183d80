"""Questions that the specs of 22 do not ask: does a checkpoint need more than its file,
and which errors are known?
"""

import shutil
from pathlib import Path

import torch
from torch import nn

from grader.lock.probes import probe

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
    model = nn.Linear(3, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(4, 3, generator=rng)).square().mean().backward()
    optimizer.step()
    return model, optimizer


def saved_and_loaded(kata, rng):
    """Save two runs, move the first one's file, remove it, and load the copy into a
    third run.
    """
    steps = int(torch.randint(99, (), generator=rng))
    first, second, moved = (
        Path(f"{name}{steps}.pt") for name in ("first", "second", "moved")
    )
    saved, resumed = torch.Generator().manual_seed(steps), torch.Generator()
    kata.save_checkpoint(first, *a_run(rng), step=steps, generators={"data": saved})
    kata.save_checkpoint(second, *a_run(rng), step=7)
    shutil.move(first, moved)
    model, optimizer = a_run(rng)
    told = kata.load_checkpoint(moved, model, optimizer, generators={"data": resumed})
    draws = [torch.rand(3), torch.rand(3, generator=resumed)]
    moved.unlink()
    buffers = [state["momentum_buffer"] for state in optimizer.state.values()]
    return [told["step"], [p.detach() for p in model.parameters()], buffers, draws]


def leaves(value):
    """All that a file holds, whatever its layout; a list of numbers as a
    tensor, too.
    """
    parts = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else []
    )
    found = [leaf for part in parts for leaf in leaves(part)] if parts else [value]
    numbers = (
        isinstance(value, list | tuple)
        and value
        and all(type(part) is int for part in value)
    )
    return [*found, torch.tensor(value)] if numbers else found


@probe("save_checkpoint")
def _(kata, rng):
    model, optimizer = a_run(rng)
    step, generator = (
        1000 + int(torch.randint(9999, (), generator=rng)),
        torch.Generator().manual_seed(1),
    )
    torch.manual_seed(step)
    path = Path(f"held{step}.pt")
    kata.save_checkpoint(
        path, model, optimizer, step=step, generators={"data": generator}
    )
    held = leaves(torch.load(path, weights_only=True))
    path.unlink()
    tensors = [leaf for leaf in held if isinstance(leaf, torch.Tensor)]
    needed = [
        *model.parameters(),
        *(state["momentum_buffer"] for state in optimizer.state.values()),
    ]
    needed += [torch.get_rng_state(), generator.get_state()]
    found = [
        next((x for x in tensors if x.shape == one.shape and (x == one).all()), None)
        for one in needed
    ]
    return [found, [leaf for leaf in held if type(leaf) is int and leaf == step]]


@probe("load_checkpoint")
def _(kata, rng):
    return saved_and_loaded(kata, rng)


@probe("classify_error")
def _(kata, rng):
    found = []
    for place in torch.randperm(len(ERRORS), generator=rng).tolist():
        kind, words = ERRORS[place]
        found.append(
            kata.classify_error(
                kind(words.format(*torch.randint(2, 99, (2,), generator=rng).tolist()))
            )
        )
    return found
