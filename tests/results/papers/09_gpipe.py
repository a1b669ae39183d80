"""Four stages learn the digits with the whole batch and with 7 micro-batches, from one
start on the same batches.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from grader.datasets import digits

LIMITS = {
    "largest difference of the trained weights, pipeline of 7 / whole batch": "< 1e-5",
    "largest difference of the trained weights, 7 accumulated / whole batch": "< 1e-5",
    "largest difference of a gradient, 5 recomputed pieces / plain": "< 1e-5",
    "test accuracy, pipeline of 7": "> 0.85",
}


def run(kata, seed):
    """Train in three ways, and compare one gradient with recomputation."""
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
    x, y = (part[order] for part in digits())
    widths = (64, 48, 48, 32)
    stages = [
        nn.Sequential(nn.Linear(a, b), nn.Tanh())
        for a, b in zip(widths, widths[1:], strict=False)
    ]
    start = [nn.Sequential(nn.Flatten(), *stages[0]), *stages[1:], nn.Linear(32, 10)]

    def trained(in_pipeline, accumulated):
        model = kata.Pipeline(copy.deepcopy(start), num_micro=in_pipeline)
        generator = torch.Generator().manual_seed(seed)
        kata.train_pipeline(
            model, x[:1200], y[:1200], num_micro=accumulated, generator=generator
        )
        return model

    whole, pipelined, accumulated = trained(1, 1), trained(7, 1), trained(1, 7)
    found = []
    for model in (
        nn.Sequential(*start),
        kata.Pipeline(start, num_micro=5, recompute=True),
    ):
        loss = F.cross_entropy(model(x[:23]), y[:23])
        found.append(torch.autograd.grad(loss, list(model.parameters())))
    pairs = {
        "pipeline of 7 / whole batch": pipelined,
        "7 accumulated / whole batch": accumulated,
    }
    metrics = {
        f"largest difference of the trained weights, {name}": largest(
            model.parameters(), whole.parameters()
        )
        for name, model in pairs.items()
    }
    metrics["largest difference of a gradient, 5 recomputed pieces / plain"] = largest(
        *found
    )
    right = pipelined(x[1200:]).argmax(dim=1) == y[1200:]
    return metrics | {"test accuracy, pipeline of 7": right.float().mean().item()}


def largest(ours, theirs):
    """The largest difference between two lists of tensors."""
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
