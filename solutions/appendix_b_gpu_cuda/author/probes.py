"""Questions that appendix B's specs cannot ask from another process, or ask only about
known answers and errors.
"""

import sys
from functools import partial

import torch
from torch import nn

from grader.lock.probes import fill, integers, probe


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


class Memory:
    """A GPU's memory, of which each living block takes its size."""

    def __init__(self, allocated):
        self.allocated = self.reserved = allocated

    def synchronize(self):
        pass

    def memory_allocated(self):
        return self.allocated

    def memory_reserved(self):
        return self.reserved

    def empty_cache(self):
        self.reserved = self.allocated


class Block:
    def __init__(self, memory, size):
        self.memory, self.size = memory, size
        memory.allocated += size
        memory.reserved = max(memory.reserved, memory.allocated)

    def __del__(self):
        self.memory.allocated -= self.size


@probe("select_device")
def _(kata, rng):
    """The device for drawn wishes where drawn kinds are there, or the error."""
    found = []
    for wish, cuda, mps, index in zip(*(integers(rng, 12, 0, 6) for _ in range(4))):
        options = {"cuda_available": lambda: cuda < 3, "mps_available": lambda: mps < 3}
        name = (None, "auto", "cpu", "mps", "cuda", f"cuda:{index}")[wish]
        try:
            found.append(str(kata.select_device(name, **options)))
        except ValueError as error:
            found.append(type(error).__name__)
    return found


@probe("is_out_of_memory")
def _(kata, rng):
    kinds = (torch.OutOfMemoryError, RuntimeError, ValueError, NotImplementedError)
    texts = ("out of memory", "CUDA error: out of memory. Tried more", "memory", "")
    drawn = zip(integers(rng, 20, 0, 4), integers(rng, 20, 0, 4), strict=True)
    return [kata.is_out_of_memory(kinds[kind](texts[text])) for kind, text in drawn]


@probe("amp_train_step")
def _(kata, rng):
    found, limits = [], (None, 0.1, 0.1)
    for max_norm, skips in zip(limits, (False, False, True), strict=True):
        model, x = fill(nn.Linear(5, 3), rng), torch.randn(4, 5, generator=rng)
        y, factor = torch.randn(4, 3, generator=rng), 2 + torch.rand((), generator=rng)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        options = {
            "scaler": Scaler(factor.item(), skips),
            "device_type": "cpu",
            "dtype": torch.bfloat16,
            "max_grad_norm": max_norm,
        }
        loss = kata.amp_train_step(
            model, x, y, nn.functional.mse_loss, optimizer, **options
        )
        found.append([torch.tensor(loss), model.weight.detach(), model.bias.detach()])
    return found


@probe("profile_empty_cache")
def _(kata, rng):
    found = []
    for before, size in (integers(rng, 2, 1, 9999), integers(rng, 2, 1, 9999)):
        memory = Memory(before)
        build = partial(Block, memory, size)
        found.append(kata.profile_empty_cache(build, cuda=memory))
    return found


@probe("compare_devices")
def _(kata, rng):
    """On each device a call takes drawn times; the clock shows them only to somebody
    who waits. Setting work up takes time, too.
    """
    devices = [f"cuda:{i}" for i in torch.randperm(9, generator=rng)[:3].tolist()]
    rows = (0.1 + torch.rand(3, 20, generator=rng)).tolist()
    seconds, time = dict(zip(devices, map(iter, rows))), [0.0]
    under_way = {name: [] for name in devices}

    def make_workload(device):
        time[0] += 0.5
        return lambda: under_way[str(device)].append(next(seconds[str(device)]))

    def synchronize(device):
        while under_way[str(device)]:
            time[0] += under_way[str(device)].pop()

    options = {"synchronize": synchronize, "timer": lambda: time[0]}
    options["warmup"], options["repeats"] = integers(rng, 2, 1, 6)
    compared = kata.compare_devices(make_workload, devices, **options)
    medians = [(name, found["median"]) for name, found in compared.items()]
    return [medians, *(compared[name]["speedup"] for name in devices[1:])]


class Moved:
    """Something that says where it was moved."""

    def __init__(self, number):
        self.number = number

    def to(self, device, non_blocking=False):
        return [self.number, str(device), non_blocking]


@probe("move_to")
def _(kata, rng):
    x, numbers = (
        torch.randn(2, 3, generator=rng),
        torch.randint(99, (3,), generator=rng),
    )
    one, two, three = numbers.tolist()
    batch = {"a": [Moved(one), (Moved(two), "text")], "b": x, "c": three}
    found = kata.move_to(batch, "cpu", non_blocking=True)
    kinds = [type(part).__name__ for part in (found, found["a"], found["a"][1])]
    return [found, kinds, len(batch["a"]), type(batch["a"][0]).__name__, batch["b"]]


def a_task(rng, *lengths):
    model = nn.Linear(3, 2)
    fill(model, rng)
    batches = [
        (torch.randn(n, 3, generator=rng), torch.randn(n, 2, generator=rng))
        for n in lengths
    ]
    return model, torch.optim.SGD(model.parameters(), lr=0.2), batches


def numbers_of(model):
    return [[p.detach().clone(), p.grad] for p in model.parameters()]


@probe("accumulated_epoch")
def _(kata, rng):
    """The batches of a window are read one by one."""
    model, optimizer, batches = a_task(rng, 4, 2, 3, 4, 1)
    seen = []

    def loss_fn(out, target):
        seen.append(len(out))
        return nn.functional.mse_loss(out, target)

    model.eval()
    losses = kata.accumulated_epoch(model, batches, loss_fn, optimizer, 2)
    return [losses, [p for p, _ in numbers_of(model)], seen, model.training]


@probe("accumulate_gradients")
def _(kata, rng):
    model, _, [(x, y)] = a_task(rng, 7)
    loss_fn = nn.functional.mse_loss
    losses = [kata.accumulate_gradients(model, x, y, loss_fn, n) for n in (3, 2)]
    return [losses, numbers_of(model)]


@probe("oom_safe_step")
def _(kata, rng):
    """Memory for a drawn number of rows: it runs out after a backward pass."""
    model, optimizer, [(x, y)] = a_task(rng, 12)
    room, emptied = int(torch.randint(1, 12, (), generator=rng)), []

    def loss_fn(out, target):
        loss = nn.functional.mse_loss(out, target)
        if len(out) > room:
            loss.backward()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss

    def empty_cache():
        emptied.append([sys.exc_info()[0] is None, model.weight.grad is None])

    found = kata.oom_safe_step(model, x, y, loss_fn, optimizer, empty_cache=empty_cache)
    return [found, numbers_of(model), emptied]


@probe("benchmark")
def _(kata, rng):
    """A call takes a drawn time, which the clock shows only to somebody who waits."""
    seconds = (0.1 + torch.rand(20, generator=rng)).tolist()
    now, under_way, left = [0.0], [], iter(seconds)

    def wait():
        while under_way:
            now[0] += under_way.pop()

    return kata.benchmark(
        lambda: under_way.append(next(left)),
        warmup=3,
        repeats=6,
        synchronize=wait,
        timer=lambda: now[0],
    )
