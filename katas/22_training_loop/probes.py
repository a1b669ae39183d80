"""What the specs of 22 do not ask: whether a checkpoint's file is all that it needs."""

import shutil
from pathlib import Path

import torch
from torch import nn

from grader.loading import probe


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


@probe("save_checkpoint")
def _(kata, rng):
    found = saved_and_loaded(kata, rng)
    held = torch.load("moved.pt", weights_only=True)
    return [found, isinstance(held, dict)]


@probe("load_checkpoint")
def _(kata, rng):
    return saved_and_loaded(kata, rng)
