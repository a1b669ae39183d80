"""Questions that appendix B's specs cannot ask from another process, or ask only about
known answers and errors.
"""

import torch
from torch import nn

from grader.lock.probes import probe


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
    found = [
        str(
            kata.select_device(
                f"cuda:{int(torch.randint(99, (), generator=rng))}",
                cuda_available=lambda: True,
            )
        )
    ]
    for cuda, mps in (torch.rand(5, 2, generator=rng) < 0.5).tolist():
        found.append(
            str(
                kata.select_device(
                    cuda_available=lambda: cuda, mps_available=lambda: mps
                )
            )
        )
    return found


@probe("is_out_of_memory")
def _(kata, rng):
    kinds = (torch.OutOfMemoryError, RuntimeError, ValueError, NotImplementedError)
    texts = (
        "out of memory",
        "CUDA error: out of memory. Tried more",
        "out of",
        "memory",
        "",
    )
    drawn = zip(
        torch.randint(4, (20,), generator=rng),
        torch.randint(5, (20,), generator=rng),
        strict=True,
    )
    return [kata.is_out_of_memory(kinds[kind](texts[text])) for kind, text in drawn]


@probe("amp_train_step")
def _(kata, rng):
    found = []
    for max_norm, skips in ((None, False), (0.1, False), (0.1, True)):
        model, scaler = (
            nn.Linear(5, 3),
            Scaler(float(2 + torch.rand((), generator=rng)), skips),
        )
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))
        x, y = torch.randn(4, 5, generator=rng), torch.randn(4, 3, generator=rng)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        options = {
            "scaler": scaler,
            "device_type": "cpu",
            "dtype": torch.bfloat16,
            "max_grad_norm": max_norm,
        }
        loss = kata.amp_train_step(
            model, x, y, nn.functional.mse_loss, optimizer, **options
        )
        found.append([torch.tensor(loss), model.weight.detach(), model.bias.detach()])
    return found


def profiled(kata, before, size):
    memory = Memory(before)
    return kata.profile_empty_cache(lambda: Block(memory, size), cuda=memory)


@probe("profile_empty_cache")
def _(kata, rng):
    return [
        profiled(kata, *sizes)
        for sizes in torch.randint(1, 9999, (2, 2), generator=rng).tolist()
    ]


@probe("compare_devices")
def _(kata, rng):
    """On each device a call takes drawn times; the clock shows them only to somebody
    who waits.
    """
    time, devices = (
        [0.0],
        [f"cuda:{i}" for i in torch.randperm(9, generator=rng)[:3].tolist()],
    )
    warmup, repeats = torch.randint(1, 6, (2,), generator=rng).tolist()
    seconds = {
        name: iter((0.1 + torch.rand(20, generator=rng)).tolist()) for name in devices
    }
    under_way = {name: [] for name in devices}

    def make_workload(device):
        return lambda: under_way[str(device)].append(next(seconds[str(device)]))

    def synchronize(device):
        while under_way[str(device)]:
            time[0] += under_way[str(device)].pop()

    options = {
        "warmup": warmup,
        "repeats": repeats,
        "synchronize": synchronize,
        "timer": lambda: time[0],
    }
    compared = kata.compare_devices(make_workload, devices, **options)
    return [
        [name, found["median"], found["speedup"]] for name, found in compared.items()
    ]
