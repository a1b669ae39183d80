"""Questions that the specs of tinytorch/12 cannot ask from another process: above all,
what shares memory with what.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from grader.lock.probes import probe, there


def parts(kata, seed):
    """A layer, and one optimizer of each kind in the middle of training."""
    from tinytorch.advanced_optimizers import Adam, SGDMomentum
    from tinytorch.layers import Linear
    from tinytorch.optimizers import SGD

    numbers, model = np.random.default_rng(seed), Linear(3, 4)
    optimizers = [
        kind(model.parameters(), lr)
        for kind, lr in ((SGD, 0.1), (SGDMomentum, 0.2), (Adam, 0.3))
    ]
    for array in [p.data for p in model.parameters()] + [
        array for one in optimizers for array in kept(one)
    ]:
        array[...] = numbers.normal(size=array.shape)
    optimizers[-1].steps = numbers.integers(1, 9, size=2).tolist()
    return model, optimizers


def kept(optimizer):
    return [
        array
        for name in ("velocity", "m", "v")
        for array in getattr(optimizer, name, [])
    ]


def shift(arrays):
    for array in arrays:
        array += 1


def drawn(rng, count=1):
    return torch.randint(10**6, (count,), generator=rng).tolist()


def arrays(model):
    return [p.data.copy() for p in model.parameters()]


def state_behind_training(kata, model):
    """A state, after its model has been trained further."""
    state = kata.model_state(model)
    shift(p.data for p in model.parameters())
    return state


@probe("model_state")
def _(kata, rng):
    model, _ = there(kata, parts, *drawn(rng))
    return [kata.model_state(model), there(kata, state_behind_training, model)]


def loaded_and_trained(kata, model, state):
    """The state that a model was loaded from, after the model has been
    trained further.
    """
    kata.load_model_state(model, state)
    shift(p.data for p in model.parameters())
    return state


@probe("load_model_state")
def _(kata, rng):
    model, _ = there(kata, parts, *drawn(rng))
    state = {
        name: torch.randn(p.shape, generator=rng).numpy()
        for name, p in model.named_parameters()
    }
    seen = [kata.load_model_state(model, state), arrays(model)]
    return [*seen, there(kata, loaded_and_trained, model, state)]


def states_behind_training(kata, optimizers):
    """The optimizers' states, after these have made further steps."""
    states = []
    for optimizer in optimizers:
        states.append(kata.optimizer_state(optimizer))
        shift(kept(optimizer))
    return states


@probe("optimizer_state")
def _(kata, rng):
    _, optimizers = there(kata, parts, *drawn(rng))
    states = [kata.optimizer_state(optimizer) for optimizer in optimizers]
    return [states, there(kata, states_behind_training, optimizers)]


def remembered(kata, optimizer):
    """The state of an optimizer, copied."""
    lists = {
        name: getattr(optimizer, name)
        for name in ("velocity", "m", "v")
        if hasattr(optimizer, name)
    }
    state = {
        f"{name}.{i}": array.copy()
        for name, arrays in lists.items()
        for i, array in enumerate(arrays)
    }
    state["lr"] = np.array(optimizer.lr)
    return state | (
        {"steps": np.array(optimizer.steps)} if hasattr(optimizer, "steps") else {}
    )


def loaded_and_stepped(kata, optimizer, state):
    """The state that an optimizer was loaded from, after that has made
    further steps.
    """
    kata.load_optimizer_state(optimizer, state)
    shift(kept(optimizer))
    return state


@probe("load_optimizer_state")
def _(kata, rng):
    (_, before), (_, after) = (there(kata, parts, seed) for seed in drawn(rng, 2))
    seen = []
    for place, (first, second) in enumerate(zip(before, after)):
        state = there(kata, remembered, first) | {"lr": np.array(0.5 + place)}
        kata.load_optimizer_state(second, state)
        seen.append(
            [
                there(kata, remembered, second),
                there(kata, loaded_and_stepped, second, state),
            ]
        )
    return seen


@probe("load_checkpoint")
def _(kata, rng):
    (model, before), (other, after) = (
        there(kata, parts, seed) for seed in drawn(rng, 2)
    )
    seen, meta = [], {"epoch": drawn(rng)[0]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        for first, second in zip(before, after):
            first.lr = 0.5 + torch.rand((), generator=rng).item()
            kata.save_checkpoint(path, model, first, meta=meta)
            seen.append(
                [
                    kata.load_checkpoint(path, other, second),
                    arrays(other),
                    there(kata, remembered, second),
                ]
            )
    return seen


@probe("Trainer.fit")
def _(kata, rng):
    """Some epochs down, then up: the last one down is the best, and training ends two
    epochs later.
    """
    from tinytorch.layers import Linear
    from tinytorch.tensor import Tensor

    model, [optimizer, _, _] = there(kata, parts, *drawn(rng))
    x, y = (
        torch.randn(9, 3, generator=rng).numpy(),
        torch.randint(4, (9,), generator=rng).numpy(),
    )
    batches, down = (
        [(Tensor(x), Tensor(y))],
        int(torch.randint(1, 4, (), generator=rng)),
    )
    options = {
        "schedule": lambda epoch, base: base if epoch < down else -base,
        "early_stopping": kata.EarlyStopping(2),
    }
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "best.npz", Linear(3, 4)
        history = kata.Trainer(model, optimizer, checkpoint_path=path, **options).fit(
            batches, 9, val_loader=batches
        )
        return [
            history,
            arrays(model),
            kata.load_checkpoint(path, other),
            arrays(other),
        ]


@probe("train_digits_cnn")
def _(kata, rng):
    """The rates of the epochs follow from what is asked for; the draws are the
    code's own.
    """
    from tinytorch.data import load_digits
    from tinytorch.tensor import Tensor

    lr = 0.002 + 0.002 * torch.rand((), generator=rng).item()
    found = kata.train_digits_cnn(
        np.random.default_rng(drawn(rng)[0]), epochs=2, batch_size=48, lr=lr
    )
    images, labels = load_digits()
    x = (images[:300, None].astype(np.float32) - images.mean()) / images.std()
    right = (found["model"](Tensor(x)).data.argmax(axis=1) == labels[:300]).mean()
    falls = found["history"]["train_loss"][1] < found["history"]["train_loss"][0]
    return [sorted(found), found["history"]["lr"], bool(right > 0.5), bool(falls)]


@probe("step_decay")
def _(kata, rng):
    base_lr, gamma = torch.rand(2, generator=rng, dtype=torch.float64).tolist()
    return [
        kata.step_decay(epoch, base_lr, step_size=3, gamma=gamma) for epoch in range(8)
    ]


@probe("predict_checkpoint_bytes")
def _(kata, rng):
    from tinytorch.layers import Linear

    layer = Linear(*torch.randint(1, 20, (2,), generator=rng).tolist())
    return [
        kata.predict_checkpoint_bytes(layer, name)
        for name in (None, "sgd", "momentum", "adam")
    ]


@probe("LRScheduler")
def _(kata, rng):
    _, [optimizer, _, _] = there(kata, parts, *drawn(rng))
    optimizer.lr, factor = (
        0.5 + torch.rand(2, generator=rng, dtype=torch.float64)
    ).tolist()
    scheduler, seen = (
        kata.LRScheduler(optimizer, lambda epoch, base: base * factor**epoch + epoch),
        [],
    )
    for _ in range(4):
        seen.append(optimizer.lr)
        scheduler.step()
    return [*seen, optimizer.lr]


@probe("Trainer.__init__")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    model, [optimizer, _, _] = there(kata, parts, *drawn(rng))
    number, stopping = torch.rand((), generator=rng).item(), kata.EarlyStopping(2)
    options = {
        "schedule": lambda epoch, base: base * number + epoch,
        "early_stopping": stopping,
    }
    trainer = kata.Trainer(model, optimizer, checkpoint_path=f"{number}.npz", **options)
    stopping.step(number)
    told = [
        trainer.schedule(2, 8.0),
        trainer.early_stopping.best,
        str(trainer.checkpoint_path),
    ]
    x, y = (
        torch.randn(9, 3, generator=rng).numpy(),
        torch.randint(4, (9,), generator=rng).numpy(),
    )
    plain = kata.Trainer(model, optimizer)
    kept = [[p.data.copy() for p in trainer.optimizer.params], arrays(trainer.model)]
    return [
        told,
        kept,
        plain.evaluate([(Tensor(x), Tensor(y))]),
        plain.schedule,
        plain.checkpoint_path,
    ]
