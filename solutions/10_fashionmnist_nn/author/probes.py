"""Questions that the specs of 10 cannot ask from another process."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from grader.lock.probes import probe


@probe("evaluate")
def _(kata, rng):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 4), nn.LogSoftmax(dim=1))
    images, labels = torch.randn(20, 2, 3, generator=rng), torch.randint(4, (20,), generator=rng)
    loader = DataLoader(TensorDataset(images, labels), batch_size=7)
    return [torch.tensor(kata.evaluate(model.train(), loader, nn.NLLLoss())), dict(model.state_dict())]


@probe("misclassified")
def _(kata, rng):
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Dropout(), nn.LogSoftmax(dim=1))
    images, labels = torch.randn(20, 2, 3, generator=rng), torch.randint(4, (20,), generator=rng)
    return [kata.misclassified(model, images, labels), kata.misclassified(model, images, labels, k=3, batch_size=7)]
