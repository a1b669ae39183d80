"""Questions that the specs of 29 ask only about models and sizes that are known."""

import tempfile
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

from grader.lock.probes import fill, integers, probe


class Bigrams(nn.Module):
    """Returns logits and loss as GPT does, and is computed here."""

    def __init__(self, rng, dropout):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(
            torch.randn(11, 11, generator=rng).double(), freeze=False
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, idx, targets=None):
        logits = self.drop(self.table(idx))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=-100
        )


def batch(rng, rows, counted=5):
    """Token ids, and those that follow, of which so many of five count in each row."""
    x, y = torch.randint(11, (2, rows, 5), generator=rng)
    y[:, counted:] = -100
    return x, y


def a_model(rng):
    """Matrices and vectors of different sizes, some of them frozen."""
    model = nn.Module()
    for i, (rows, kind) in enumerate(torch.randint(3, (20, 2), generator=rng).tolist()):
        size = (2 + i, 1 + rows, 2)[: 1 + kind]
        trainable = bool(torch.rand((), generator=rng) < 0.7)
        model.register_parameter(
            f"part{i}", nn.Parameter(torch.zeros(size), requires_grad=trainable)
        )
    model.tied = model.part0
    return model


def told(groups):
    """The sizes of the parameters, each with the decay of its group."""
    parameters = [
        (p, group["weight_decay"]) for group in groups for p in group["params"]
    ]
    return sorted((tuple(p.shape), decay) for p, decay in parameters)


@probe("param_groups")
def _(kata, rng):
    decays = torch.rand(2, generator=rng).tolist()
    groups = [kata.param_groups(a_model(rng), decay) for decay in decays]
    return [[len(each), told(each)] for each in groups]


@probe("make_optimizer")
def _(kata, rng):
    lr, decay, first, second, eps = torch.rand(5, generator=rng).tolist()
    settings, found = (decay, (first, second), eps, decay < 0.5), []
    for own in ((), settings):
        optimizer = kata.make_optimizer(a_model(rng), lr, *own)
        groups = optimizer.param_groups
        names = ("lr", "betas", "eps", "fused")
        options = [{name: group[name] or "" for name in names} for group in groups]
        found.append([type(optimizer).__name__, options, told(groups)])
    return found


@probe("accumulation_steps")
def _(kata, rng):
    found = []
    for n, b, t, world in [integers(rng, 4, 2, 99) for _ in range(5)]:
        found.append(kata.accumulation_steps(n * b * t * world, b, t, world))
        found.append(kata.accumulation_steps(n * b * t, b, t))
    return found


@probe("train_step")
def _(kata, rng):
    found = []
    for max_norm, lr in ((None, None), (0.1, 0.3)):
        model = Bigrams(rng, 0.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)  # of an earlier step
        batches = [batch(rng, 3), batch(rng, 3)]
        result = kata.train_step(model, optimizer, batches, max_norm, lr)
        weight = model.table.weight.detach().clone()
        found += [result["loss"], result["grad_norm"], weight]
    return found


@probe("evaluate")
def _(kata, rng):
    return kata.evaluate(
        Bigrams(rng, 0.5),
        [batch(rng, 3), batch(rng, 2, counted=4), batch(rng, 4, counted=1)],
    )


@probe("load_checkpoint")
def _(kata, rng):
    """The step, the weights, the moments and the random numbers of the run that was
    saved.
    """
    config = kata.GPTConfig(block_size=4, vocab_size=5, n_layer=1, n_head=2, n_embd=6)
    runs, [step] = [], integers(rng, 1, 0, 99)
    for _ in range(2):
        model = fill(kata.GPT(config), rng)
        runs.append((model, torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)))
    for parameter in runs[0][0].parameters():
        parameter.grad = parameter.detach().clone()
    runs[0][1].step()
    path = Path("run.pt")
    path.unlink(missing_ok=True)
    torch.manual_seed(step)
    kata.save_checkpoint(path, *runs[0], step)
    torch.manual_seed(step + 1)
    step = kata.load_checkpoint(path, *runs[1])
    state = runs[1][1].state_dict()["state"].values()
    moments = [each["momentum_buffer"] for each in state]
    return step, dict(runs[1][0].state_dict()), moments, torch.rand(3)


@probe("train")
def _(kata, rng):
    """The record, with predictions of the model on the way, and the last weights."""
    model, losses = Bigrams(rng, 0.5), ("step", "loss", "lr", "grad_norm")
    model.lm_head = model.table  # the name in GPT
    max_lr, min_lr, max_norm = torch.rand(3, generator=rng).tolist()
    loader = mock.Mock(next_batch=lambda: batch(rng, 3))
    val_batches = [batch(rng, 3), batch(rng, 2, counted=1)]
    start, more, every = integers(rng, 3, 1, 4)
    config = kata.TrainConfig(
        start + 3 + more, max_lr, min_lr, 4, 2, 0.1 * max_norm, every
    )
    record = kata.train(
        model,
        torch.optim.SGD(model.parameters(), lr=0.5),
        loader,
        config,
        val_batches,
        start,
        lambda model: model(torch.tensor([[every]]))[0].detach(),
    )
    seen = [list(map(list, record[name])) for name in ("val", "samples")]
    return [record[name] for name in losses], seen, model.table.weight.detach()


@probe("cosine_lr")
def _(kata, rng):
    top, low = torch.rand(2, generator=rng).tolist()
    warmup, more = torch.randint(2, 6, (2,), generator=rng).tolist()
    return [kata.cosine_lr(n, top + 1, low, warmup, warmup + more) for n in range(14)]


@probe("batch_size_at")
def _(kata, rng):
    start, more, ramp, of = torch.randint(2, 40, (4,), generator=rng).tolist()
    seen = torch.randint(500, (9,), generator=rng).tolist()
    return [
        kata.batch_size_at(n, start, start + more, 10 * ramp, m)
        for n in seen
        for m in (1, of)
    ]


@probe("overfit_one_batch")
def _(kata, rng):
    model = Bigrams(rng, 0.0)
    x, y = batch(rng, 3)
    return kata.overfit_one_batch(model, x, y, 4, 0.01)


@probe("save_checkpoint")
def _(kata, rng):
    """Read by PyTorch, and not by the code."""
    model = kata.GPT(kata.GPTConfig(4, 7, 1, 1, 4))
    fill(model.transformer, rng)
    step, lr = int(torch.randint(99, (), generator=rng)), torch.rand((), generator=rng)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr.item(), momentum=0.9)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.pt")
        kata.save_checkpoint(path, model, optimizer, step)
        held = torch.load(path, weights_only=True)
    rate = held["optimizer"]["param_groups"][0]["lr"]
    return [held["model"], held["step"], held["config"], rate, held["rng"]]
