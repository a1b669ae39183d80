"""Questions that the specs of tinytorch/12 cannot ask from another process: above all, what shares memory with what."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from grader.lock.probes import probe


def parts(rng):
    """A layer, one optimizer of each kind in the middle of training, and a generator for more numbers."""
    from tinytorch.advanced_optimizers import Adam, SGDMomentum
    from tinytorch.layers import Linear
    from tinytorch.optimizers import SGD

    numbers, model = np.random.default_rng(int(torch.randint(10**6, (), generator=rng))), Linear(3, 4)
    optimizers = [kind(model.parameters(), lr) for kind, lr in ((SGD, 0.1), (SGDMomentum, 0.2), (Adam, 0.3))]
    for array in [p.data for p in model.parameters()] + [array for one in optimizers for array in kept(one)]:
        array[...] = numbers.normal(size=array.shape)
    optimizers[-1].steps = numbers.integers(1, 9, size=2).tolist()
    return model, optimizers, numbers


def kept(optimizer):
    return [array for name in ("velocity", "m", "v") for array in getattr(optimizer, name, [])]


def arrays(model):
    return [p.data.copy() for p in model.parameters()]


def shift(found):
    for array in found:
        array += 1


@probe("model_state")
def _(kata, rng):
    model, _, _ = parts(rng)
    state = kata.model_state(model)
    shift(p.data for p in model.parameters())
    return state


@probe("load_model_state")
def _(kata, rng):
    model, _, numbers = parts(rng)
    state = {name: numbers.normal(size=p.shape).astype(np.float32) for name, p in model.named_parameters()}
    seen = [kata.load_model_state(model, state), arrays(model)]
    shift(p.data for p in model.parameters())
    return [*seen, state]


@probe("optimizer_state")
def _(kata, rng):
    states = []
    for optimizer in parts(rng)[1]:
        states.append(kata.optimizer_state(optimizer))
        shift(kept(optimizer))
    return states


@probe("load_optimizer_state")
def _(kata, rng):
    seen = []
    for first, second in zip(parts(rng)[1], parts(rng)[1]):
        state = kata.optimizer_state(first)
        kata.load_optimizer_state(second, state)
        seen.append((kata.optimizer_state(second), state))
        shift(kept(second))
    return seen


@probe("Trainer.fit")
def _(kata, rng):
    """Two epochs down, then up: the second is the best, and the fourth the last."""
    from tinytorch.layers import Linear
    from tinytorch.tensor import Tensor

    model, [optimizer, _, _], numbers = parts(rng)
    batches = [(Tensor(numbers.normal(size=(9, 3)).astype(np.float32)), Tensor(numbers.integers(4, size=9)))]
    options = {"schedule": lambda epoch, base: base if epoch < 2 else -base, "early_stopping": kata.EarlyStopping(2)}
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "best.npz", Linear(3, 4)
        history = kata.Trainer(model, optimizer, checkpoint_path=path, **options).fit(batches, 6, val_loader=batches)
        return [history, arrays(model), kata.load_checkpoint(path, other), arrays(other)]


@probe("train_digits_cnn")
def _(kata, rng):
    from tinytorch.data import load_digits
    from tinytorch.tensor import Tensor

    found = kata.train_digits_cnn(np.random.default_rng(7), epochs=1)
    images, labels = load_digits()
    x = (images[:300, None].astype(np.float32) - images.mean()) / images.std()
    right = (found["model"](Tensor(x)).data.argmax(axis=1) == labels[:300]).mean()
    return [sorted(found), bool(right > 0.5)]


@probe("step_decay")
def _(kata, rng):
    base_lr, gamma = torch.rand(2, generator=rng, dtype=torch.float64).tolist()
    return [kata.step_decay(epoch, base_lr, step_size=3, gamma=gamma) for epoch in range(8)]


@probe("predict_checkpoint_bytes")
def _(kata, rng):
    from tinytorch.layers import Linear

    layer = Linear(*torch.randint(1, 20, (2,), generator=rng).tolist())
    return [kata.predict_checkpoint_bytes(layer, name) for name in (None, "sgd", "momentum", "adam")]
