"""Questions on what is saved and restored: above all, what shares memory with what."""

import os
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from grader.lock.probes import integers, normal, probe


def parts(rng):
    """A layer, and one optimizer of each kind in the middle of training."""
    from tinytorch.advanced_optimizers import Adam, SGDMomentum
    from tinytorch.layers import Linear
    from tinytorch.optimizers import SGD

    model, kinds = Linear(3, 4), (SGD, SGDMomentum, Adam)
    optimizers = [kind(model.parameters(), rate) for kind, rate in zip(kinds, RATES)]
    arrays = [p.data for p in model.parameters()]
    for array in [*arrays, *(array for one in optimizers for array in kept(one))]:
        array[...] = normal(rng, *array.shape)
    optimizers[-1].steps = integers(rng, 2)
    return model, optimizers


RATES = 0.1, 0.2, 0.3


def kept(optimizer):
    lists = [getattr(optimizer, name, []) for name in ("velocity", "m", "v")]
    return [array for of_one in lists for array in of_one]


def numbers_of(optimizer):
    steps = getattr(optimizer, "steps", None)
    return [optimizer.lr, steps, [array.copy() for array in kept(optimizer)]]


def arrays(model):
    return [p.data.copy() for p in model.parameters()]


def shift(arrays):
    for array in arrays:
        array += 1


def batch(rng, n=9):
    from tinytorch.tensor import Tensor

    return Tensor(normal(rng, n, 3)), Tensor(np.array(integers(rng, n, 0, 4)))


@probe("model_state")
def _(kata, rng):
    """The state stays as it was when the model goes on."""
    model, _ = parts(rng)
    state = kata.model_state(model)
    shift(p.data for p in model.parameters())
    return [state, arrays(model)]


@probe("load_model_state")
def _(kata, rng):
    """A state that lacks a name and has another; the rest is loaded, then trained."""
    model, _ = parts(rng)
    state = {name: normal(rng, *p.shape) for name, p in model.named_parameters()}
    other = {"weight": state["weight"] + 1, f"more{integers(rng, 1)[0]}": state["bias"]}
    seen = []
    for one, strict in ((state, True), (other, False)):
        seen.append([kata.load_model_state(model, one, strict=strict), arrays(model)])
        shift(p.data for p in model.parameters())
    return [seen, state, other]


@probe("optimizer_state")
def _(kata, rng):
    """The states stay as they were when the optimizers go on."""
    _, optimizers = parts(rng)
    states = [kata.optimizer_state(optimizer) for optimizer in optimizers]
    for optimizer in optimizers:
        shift(kept(optimizer))
    return states


@probe("load_optimizer_state")
def _(kata, rng):
    """The states stay as they were when the optimizers go on."""
    (_, before), (_, after) = parts(rng), parts(rng)
    seen = []
    for first, second in zip(before, after):
        first.lr = normal(rng, 1).item()
        state = kata.optimizer_state(first)
        kata.load_optimizer_state(second, state)
        seen.append(numbers_of(second))
        shift(kept(second))
        seen.append(state)
    return seen


@probe("save_checkpoint")
def _(kata, rng):
    """One file over another, and what is in the folder then."""
    (model, [*_, before]), (other, [*_, after]) = parts(rng), parts(rng)
    [number] = integers(rng, 1, 0, 10**6)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"run{number}.npz"
        kata.save_checkpoint(path, other, after)
        kata.save_checkpoint(path, model, before, meta={"epoch": [number, "text"]})
        meta = kata.load_checkpoint(path, other, after)
        return [os.listdir(folder), meta, arrays(other), numbers_of(after)]


@probe("load_checkpoint")
def _(kata, rng):
    (model, before), (other, after) = parts(rng), parts(rng)
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        for first, second in zip(before, after):
            first.lr = normal(rng, 1).item()
            kata.save_checkpoint(path, model, first, meta={"epoch": integers(rng, 1)})
            seen.append(kata.load_checkpoint(path, other, second))
            seen.append([arrays(other), numbers_of(second)])
    return seen


@probe("EarlyStopping")
def _(kata, rng):
    from tinytorch.layers import Linear

    seen, model = [], Linear(2, 1)
    for mode in ("min", "max"):
        patience, *values = integers(rng, 12, 2, 7)
        watch = kata.EarlyStopping(patience, min_delta=1.0, mode=mode)
        for value in values:
            shift(p.data for p in model.parameters())
            model.weight.data[0, 0] = value
            seen.append([watch.step(value, model), watch.best, watch.best_epoch])
        seen.append([watch.bad_epochs, watch.best_state["weight"][0, 0]])
    return seen


@probe("Trainer.fit")
def _(kata, rng):
    """Some epochs down, then up: the last one down is the best, and training ends two
    epochs later.
    """
    (model, [optimizer, *_]), (other, _) = parts(rng), parts(rng)
    batches, [down] = [batch(rng)], integers(rng, 1, 1, 4)
    saved, save = [], kata.save_checkpoint

    def noted(*given, **options):
        saved.append(options.get("meta"))
        save(*given, **options)

    options = {
        "schedule": lambda epoch, base: base if epoch < down else -base,
        "early_stopping": kata.EarlyStopping(2),
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(kata, "save_checkpoint", noted),
    ):
        path = Path(folder, "best.npz")
        trainer = kata.Trainer(model, optimizer, checkpoint_path=path, **options)
        history = trainer.fit(batches, 9, val_loader=batches)
        meta = kata.load_checkpoint(path, other)
    return [history, arrays(model), len(saved), meta, arrays(other)]


@probe("train_digits_cnn")
def _(kata, rng):
    """On drawn images that fit into one batch, from drawn weights: then no other draw
    decides anything.
    """
    from tinytorch.dataloader import ArrayDataset

    lr, size = 0.004 + 0.001 * integers(rng, 1)[0], 8 + integers(rng, 1)[0]
    images, start = normal(rng, size, 1, 8, 8).astype(np.float32), normal(rng, 9999)
    data = ArrayDataset(images, np.array(integers(rng, size, 0, 10)))
    make_cnn = kata.make_cnn

    def drawn_cnn(*given, **options):
        model = make_cnn(*given, **options)
        for p in model.parameters():
            p.data[...] = 0.1 * np.resize(start, p.shape)
        return model

    with (
        mock.patch.object(kata, "digits_datasets", lambda **options: (data, data)),
        mock.patch.object(kata, "make_cnn", drawn_cnn),
    ):
        found = kata.train_digits_cnn(epochs=4, batch_size=48, lr=lr)
    return [found[key] for key in ("history", "test_accuracy", "test_loss")]


@probe("step_decay")
def _(kata, rng):
    base_lr, gamma = np.abs(normal(rng, 2))
    return [
        kata.step_decay(epoch, base_lr, step_size=3, gamma=gamma) for epoch in range(8)
    ]


@probe("cosine_decay")
def _(kata, rng):
    base_lr, [warmup, total] = abs(normal(rng, 1)[0]), integers(rng, 2, 2, 6)
    options = {"total": warmup + total, "min_lr": base_lr / 8, "warmup": warmup}
    return [kata.cosine_decay(epoch, base_lr, **options) for epoch in range(12)]


@probe("LRScheduler")
def _(kata, rng):
    _, [optimizer, _, _] = parts(rng)
    optimizer.lr, factor = np.abs(normal(rng, 2))
    scheduler = kata.LRScheduler(optimizer, lambda e, base: base * factor**e + e)
    seen = [optimizer.lr]
    for _ in range(4):
        scheduler.step()
        seen.append(optimizer.lr)
    return seen


@probe("RunningMean")
def _(kata, rng):
    mean, seen = kata.RunningMean(), []
    for place, (value, n) in enumerate(zip(normal(rng, 9), integers(rng, 9))):
        if place == 5:
            mean.reset()
        mean.update(value, n)
        seen.append(mean.value)
    return seen


@probe("Trainer.__init__")
def _(kata, rng):
    model, [optimizer, _, _] = parts(rng)
    [number], stopping = np.abs(normal(rng, 1)), kata.EarlyStopping(2)
    trainer = kata.Trainer(
        model,
        optimizer,
        schedule=lambda epoch, base: base * number + epoch,
        early_stopping=stopping,
        checkpoint_path=f"{number}.npz",
    )
    stopping.step(number)
    return [
        [trainer.schedule(2, 8.0), trainer.early_stopping.best],
        str(trainer.checkpoint_path),
        [p.data for p in trainer.optimizer.params],
        trainer.evaluate([batch(rng)]),
    ]


@probe("predict_checkpoint_bytes")
def _(kata, rng):
    from tinytorch.layers import Linear

    layer, names = Linear(*integers(rng, 2, 1, 20)), (None, "sgd", "momentum", "adam")
    return [kata.predict_checkpoint_bytes(layer, name) for name in names]


@probe("checkpoint_scaling")
def _(kata, rng):
    """A file has so many bytes as are drawn for its layer."""
    sizes = dict(zip([5, *integers(rng, 2, 6, 40)], integers(rng, 3, 100, 5000)))

    def save(path, model, *others, **options):
        Path(path).write_bytes(bytes(sizes[len(model.weight)]))

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(kata, "save_checkpoint", save),
    ):
        return kata.checkpoint_scaling(list(sizes), folder)
