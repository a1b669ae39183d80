"""A question that the specs of 22 do not ask: does loading a checkpoint need more than its file?"""

import shutil
from pathlib import Path

import torch
from torch import nn

from grader.lock.probes import probe


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
    """Save two runs, move the first one's file, remove it, and load the copy into a third run."""
    first, second = Path("first.pt"), Path("second.pt")
    steps = int(torch.randint(99, (), generator=rng))
    saved, resumed = torch.Generator().manual_seed(steps), torch.Generator()
    kata.save_checkpoint(first, *a_run(rng), step=steps, generators={"data": saved})
    kata.save_checkpoint(second, *a_run(rng), step=7)
    shutil.move(first, "moved.pt")
    model, optimizer = a_run(rng)
    told = kata.load_checkpoint(Path("moved.pt"), model, optimizer, generators={"data": resumed})
    draws = [torch.rand(3), torch.rand(3, generator=resumed)]
    buffers = [state["momentum_buffer"] for state in optimizer.state.values()]
    return [told["step"], [p.detach() for p in model.parameters()], buffers, draws]


def leaves(value):
    """All that a file holds, whatever its layout; a list of numbers as a tensor, too."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    found = [leaf for part in parts for leaf in leaves(part)] if parts else [value]
    numbers = isinstance(value, list | tuple) and value and all(type(part) is int for part in value)
    return [*found, torch.tensor(value)] if numbers else found


@probe("save_checkpoint")
def _(kata, rng):
    model, optimizer = a_run(rng)
    step, generator = 1000 + int(torch.randint(9999, (), generator=rng)), torch.Generator().manual_seed(1)
    torch.manual_seed(step)
    kata.save_checkpoint(Path("held.pt"), model, optimizer, step=step, generators={"data": generator})
    held = leaves(torch.load("held.pt", weights_only=True))
    tensors = [leaf for leaf in held if isinstance(leaf, torch.Tensor)]
    needed = [*model.parameters(), *(state["momentum_buffer"] for state in optimizer.state.values())]
    needed += [torch.get_rng_state(), generator.get_state()]
    has = [any(one.shape == leaf.shape and bool((one == leaf).all()) for leaf in tensors) for one in needed]
    return [has, any(type(leaf) is int and leaf == step for leaf in held)]


@probe("load_checkpoint")
def _(kata, rng):
    return saved_and_loaded(kata, rng)
