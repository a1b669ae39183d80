"""Questions that the specs of 29 ask only about models and sizes that are known."""

from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

from grader.lock.probes import probe


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
    return sorted(
        (group["weight_decay"], sorted(tuple(p.shape) for p in group["params"]))
        for group in groups
    )


@probe("param_groups")
def _(kata, rng):
    return [
        told(kata.param_groups(a_model(rng), decay))
        for decay in torch.rand(2, generator=rng).tolist()
    ]


@probe("make_optimizer")
def _(kata, rng):
    lr, decay, first, second, eps = torch.rand(5, generator=rng).tolist()
    found = []
    for optimizer in (
        kata.make_optimizer(a_model(rng), lr),
        kata.make_optimizer(a_model(rng), lr, decay, (first, second), eps, fused=True),
    ):
        groups = optimizer.param_groups
        settings = [
            (group["lr"], tuple(group["betas"]), group["eps"], bool(group["fused"]))
            for group in groups
        ]
        found.append([type(optimizer).__name__, settings, told(groups)])
    return found


@probe("accumulation_steps")
def _(kata, rng):
    sizes = torch.randint(1, 99, (5, 4), generator=rng).tolist()
    steps = [
        kata.accumulation_steps(n * b * t * world, b, t, world)
        for n, b, t, world in sizes
    ]
    return [*steps, *(kata.accumulation_steps(n * b * t, b, t) for n, b, t, _ in sizes)]


@probe("train_step")
def _(kata, rng):
    found = []
    for max_norm, lr in ((None, None), (0.1, 0.3)):
        model = Bigrams(rng, 0.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        result = kata.train_step(
            model, optimizer, [batch(rng, 3), batch(rng, 3)], max_norm, lr
        )
        found += [
            result["loss"],
            result["grad_norm"],
            model.table.weight.detach().clone(),
        ]
    return found


@probe("evaluate")
def _(kata, rng):
    return kata.evaluate(
        Bigrams(rng, 0.5),
        [batch(rng, 3), batch(rng, 2, counted=4), batch(rng, 4, counted=1)],
    )


@probe("load_checkpoint")
def _(kata, rng):
    config = kata.GPTConfig(block_size=4, vocab_size=5, n_layer=1, n_head=2, n_embd=6)
    saved, fresh = (kata.GPT(config) for _ in range(2))
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        for model in (saved, fresh)
    ]
    for parameter in saved.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=rng)
        parameter.detach().copy_(parameter.grad)
    optimizers[0].step()
    path = Path("run.pt")
    path.unlink(missing_ok=True)
    kata.save_checkpoint(
        path, saved, optimizers[0], int(torch.randint(99, (), generator=rng))
    )
    step = kata.load_checkpoint(path, fresh, optimizers[1])
    moments = [
        state["momentum_buffer"]
        for state in optimizers[1].state_dict()["state"].values()
    ]
    return step, dict(fresh.state_dict()), moments


@probe("train")
def _(kata, rng):
    model, (max_lr, min_lr, max_norm) = (
        Bigrams(rng, 0.5),
        torch.rand(3, generator=rng).tolist(),
    )
    model.lm_head = model.table  # the name in GPT
    loader, val_batches = (
        mock.Mock(next_batch=lambda: batch(rng, 3)),
        [batch(rng, 3), batch(rng, 2, counted=1)],
    )
    start, more, every = (1 + torch.randint(3, (3,), generator=rng)).tolist()
    config = kata.TrainConfig(
        start + 3 + more, max_lr, min_lr, 4, 2, 0.1 * max_norm, every
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    record = kata.train(
        model,
        optimizer,
        loader,
        config,
        val_batches,
        start,
        lambda model: model.training,
    )
    seen = [list(map(list, record[name])) for name in ("val", "samples")]
    return (
        [record[name] for name in ("step", "loss", "lr", "grad_norm")],
        seen,
        model.table.weight.detach(),
    )
