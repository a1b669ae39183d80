"""Questions that the specs of 10 cannot ask from another process."""

import gzip
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from grader.lock.probes import fill, probe


@probe("evaluate")
def _(kata, rng):
    model = nn.Sequential(
        nn.Flatten(),
        nn.BatchNorm1d(6),
        nn.Dropout(),
        nn.Linear(6, 4),
        nn.LogSoftmax(dim=1),
    )
    images, labels = (
        torch.randn(20, 2, 3, generator=rng),
        torch.randint(4, (20,), generator=rng),
    )
    loader = DataLoader(TensorDataset(images, labels), batch_size=7)
    return [
        torch.tensor(kata.evaluate(model.train(), loader, nn.NLLLoss())),
        dict(model.state_dict()),
    ]


@probe("misclassified")
def _(kata, rng):
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 4), nn.Dropout(), nn.LogSoftmax(dim=1)
    )
    images, labels = (
        torch.randn(20, 2, 3, generator=rng),
        torch.randint(4, (20,), generator=rng),
    )
    return [
        kata.misclassified(model, images, labels),
        kata.misclassified(model, images, labels, k=3, batch_size=7),
    ]


def a_task(rng):
    """A small classifier with drawn weights, and two loaders of drawn data."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.LogSoftmax(dim=1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    images, labels = (
        torch.randn(31, 2, 3, generator=rng),
        torch.randint(4, (31,), generator=rng),
    )
    parts = (images[:20], labels[:20]), (images[20:], labels[20:])
    return model, [DataLoader(TensorDataset(*part), batch_size=7) for part in parts]


def weights_of(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


@probe("train_epoch")
def _(kata, rng):
    model, (loader, _) = a_task(rng)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.5)
    told = [
        kata.train_epoch(model.eval(), loader, nn.NLLLoss(), optimizer)
        for _ in range(2)
    ]
    return [torch.tensor(told), weights_of(model)]


@probe("EarlyStopping.restore")
def _(kata, rng):
    (model, _), stopping = a_task(rng), kata.EarlyStopping()
    restored = []
    for loss in (2.0, 1.0, 3.0):
        stopping.step(loss, model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))
        stopping.restore(model)
        restored.append(weights_of(model))
    return restored


@probe("fit")
def _(kata, rng):
    found = []
    for stopping in (None, kata.EarlyStopping(patience=2)):
        model, loaders = a_task(rng)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        history = kata.fit(model, *loaders, optimizer, 4, stopping)
        found += [
            {name: torch.tensor(curve) for name, curve in history.items()},
            weights_of(model),
        ]
    return found


@probe("compare_depths")
def _(kata, rng):
    """All losses of networks with one layer, whose start is known and whose only batch
    needs no order.
    """
    height, width, classes, seed, *hidden = torch.randint(
        2, 9, (7,), generator=rng
    ).tolist()
    images, labels = (
        torch.randn(18, height, width, generator=rng),
        torch.arange(18) % classes,
    )
    configs = ((), hidden, hidden[:1], ())
    found = kata.compare_depths(
        (images, labels), (images[:5], labels[:5]), configs, 3, 18, 0.1, seed
    )
    told = [[each["hidden_dims"], each["num_parameters"]] for each in found]
    lengths = [
        {name: len(curve) for name, curve in each["history"].items()} for each in found
    ]
    curves = [
        {name: torch.tensor(curve) for name, curve in each["history"].items()}
        for each in found[::3]
    ]
    return [
        told,
        lengths,
        curves,
        [torch.tensor([each["val_loss"], each["val_acc"]]) for each in found[::3]],
    ]


@probe("FashionMNISTModel")
def _(kata, rng):
    sizes = torch.randint(2, 7, (4,), generator=rng).tolist()
    found = []
    for hidden in (sizes[:2], sizes[:1], ()):
        model = kata.FashionMNISTModel(12, hidden, sizes[3], dropout=0.5)
        linears = [part for part in model.modules() if isinstance(part, nn.Linear)]
        shapes = [tuple(part.weight.shape) for part in linears]
        fill(nn.ModuleList(linears), rng)
        x = torch.randn(5, 1, 3, 4, generator=rng)
        found.append([shapes, model.eval()(x).detach()])
    found.append(model.train()(x).detach())  # without hidden values, none is dropped
    return found


@probe("EarlyStopping.step")
def _(kata, rng):
    model = nn.Linear(2, 1)
    [patience, *losses] = torch.randint(1, 9, (14,), generator=rng).tolist()
    watch, seen = kata.EarlyStopping(patience, min_delta=float(patience % 2)), []
    for loss in losses:
        with torch.no_grad():
            model.weight.fill_(loss)
        seen.append([watch.step(loss, model), watch.best_loss, watch.best_epoch])
        model.weight.data.zero_()
        seen.append([watch.bad_epochs, watch.best_state["weight"]])
    return seen


@probe("read_idx")
def _(kata, rng):
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for shape in ((5, 4, 3), (300 + int(torch.randint(99, (), generator=rng)),)):
            content = torch.randint(256, shape, generator=rng).byte()
            sizes = b"".join(size.to_bytes(4, "big") for size in shape)
            head = bytes([0, 0, 8, len(shape)]) + sizes
            data = head + content.numpy().tobytes()
            path = Path(folder, "images")
            for written in (data, gzip.compress(data)):
                path.write_bytes(written)
                found.append(kata.read_idx(path))
    return found
