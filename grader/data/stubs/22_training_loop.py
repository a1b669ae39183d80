"""The training loop and its promises: modes, averages, gradients, stopping in time, resuming without a trace.

Everywhere in this file a loader is any iterable of batches `(inputs, targets)`, of different sizes as it comes: a list,
a DataLoader. `loss_fn(outputs, targets)` returns the mean over the batch, as a tensor with one element. An average per
sample weights each batch by `len(inputs)`. The optimizer holds the parameters of the model that are to be trained.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def train_one_epoch(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device | str = "cpu",
    max_grad_norm: float | None = None,
    scheduler: Any = None,
) -> float:
    """Train a model once through the data: one optimizer step for each batch.

    Args:
        model: is put into train mode, in every call: an evaluation may have left it in eval mode.
        loader: the batches; it is walked through once.
        loss_fn: outputs and targets → the batch's mean loss.
        optimizer: gets one step a batch.
        device: inputs and targets are moved there. The model is there already.
        max_grad_norm: if given, the gradients of all parameters, taken as one vector, are clipped to this norm before
            the step. A single large gradient then scales all of them down.
        scheduler: if given, `scheduler.step()` is called once after each optimizer step.
    Returns:
        The mean loss per sample, a Python float. A sample's loss is the one measured before the step of its batch.
        Batches of 4, 4 and 3 with mean losses 1, 1 and 4 give (4 + 4 + 12) / 11.

    Each step follows the gradient of its own batch alone. Whatever lies in `.grad` when the function is called, or is
    left there by the batch before, has no influence.

    Raises:
        FloatingPointError: a loss is NaN or infinite. The message holds the index of the batch, counted from 0; that
            batch changes no weight, and neither optimizer nor scheduler makes a step for it.
        ValueError: the loader gave no batch.
    """
    raise NotImplementedError


def evaluate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    *,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Measure a classifier on data, and leave no trace in it.

    Args:
        model: gives outputs (B, C), one score a class. All of it runs in eval mode, and no graph is built.
        loader: the batches, with class indices (B,) as targets; it is walked through once.
        loss_fn: outputs and targets → the batch's mean loss.
        device: inputs and targets are moved there. The model is there already.
    Returns:
        `{"loss": …, "accuracy": …}`, Python floats, both per sample. The samples are those that the loader really gave:
        with `drop_last` they are fewer than `len(loader.dataset)`. A sample counts as right if its largest score is at
        its target.

    Afterwards every module has its own `training` flag of before: a batch norm that had been put into eval mode inside
    a model in train mode is in eval mode again. That also holds after an exception. Parameters, gradients and buffers
    are as before, and dropout draws no random number.

    Raises:
        ValueError: the loader gave no batch.
    """
    raise NotImplementedError


def accumulated_step(
    model: nn.Module,
    micro_batches: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    max_grad_norm: float | None = None,
) -> float:
    """Make one optimizer step out of several micro-batches, as if they had been one batch.

    Args:
        model: is trained in the mode it is in. Its layers treat each sample alone (with batch norm the step would be
            another one: its statistics are those of a micro-batch).
        micro_batches: the parts of the batch, of different sizes as it comes; a generator, too.
        loss_fn: outputs and targets → the micro-batch's mean loss.
        optimizer: gets exactly one step.
        max_grad_norm: if given, the gradients are clipped to this norm, once, just before the step.
    Returns:
        The mean loss per sample over all micro-batches, a Python float.

    The step equals, up to rounding, the one on the concatenation of all micro-batches: each weighs as much as it has
    samples. Whatever lies in `.grad` when the function is called has no influence.

    The point of it is memory. Each micro-batch goes through the model alone, and its backward pass is over, and its
    graph gone, before the next one goes in.

    Raises:
        ValueError: there are no micro-batches; then no weight has changed.
    """
    raise NotImplementedError


class EarlyStopping:
    """Watch one number an epoch: say when it has stopped getting better, and keep the weights of its best epoch.

    Args:
        patience: how many epochs in a row may pass without a better value: the last of them is the one to stop after.
        min_delta: a value is better if it beats `best` by more than this.
        mode: "min" where less is better, as for a loss; "max" where more is, as for an accuracy.
    Attributes:
        best: float, the best value so far; None before there is one.
        best_epoch: int, the index of the call of `step` that had it, counted from 0; None before there is one.
        bad_epochs: int, how many calls in a row have had no better value.

    With patience 2, the values 1.0, 0.8, 0.9, 0.85 end with best 0.8, best_epoch 1, bad_epochs 2, and stop.

    Raises:
        ValueError: patience < 1, or another mode.
    """

    def __init__(self, patience: int = 3, min_delta: float = 0.0, mode: str = "min"):
        raise NotImplementedError

    def step(self, value: float, model: nn.Module) -> bool:
        """Take in the value of one more epoch.

        Args:
            value: what is watched. The first usable one is the best so far, whatever it is. NaN is never better, not
                even as the first, and counts as a bad epoch.
            model: if the value is better, all of its state_dict is kept, buffers included, as a copy: training on does
                not change what is kept.
        Returns:
            True if it is time to stop: `bad_epochs` has reached `patience`.
        """
        raise NotImplementedError

    def restore(self, model: nn.Module) -> None:
        """Give the model the state of the best epoch, as often as asked, in the Parameter objects that it has.

        Raises:
            RuntimeError: there has been no usable value yet.
        """
        raise NotImplementedError


def fit(
    model: nn.Module,
    train_loader: Iterable[tuple[Tensor, Tensor]],
    val_loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    early_stopping: EarlyStopping | None = None,
    scheduler: Any = None,
    max_grad_norm: float | None = None,
    device: torch.device | str = "cpu",
) -> list[dict[str, float]]:
    """Train a classifier for several epochs, measure it after each, and keep the best.

    Args:
        model, loss_fn, optimizer, max_grad_norm, device: as in `train_one_epoch`.
        train_loader: what each epoch trains on.
        val_loader: what the model is evaluated on after each epoch.
        epochs: how many at most.
        early_stopping: if given, its `step` is called once an epoch with the validation loss. When it says so, no more
            epochs follow.
        scheduler: if given, `scheduler.step()` is called once an epoch, after its training (in `train_one_epoch` it
            was once a batch).
    Returns:
        One dict an epoch, in order: `"epoch"` (int, from 0), `"lr"` (of the optimizer's first group, the one that the
        epoch's steps were made with), `"train_loss"`, `"val_loss"`, `"val_accuracy"` (all floats).

    With early stopping the model ends up with the weights of the best epoch, whether patience or epochs ran out first.
    If no validation loss was usable (`early_stopping.best` is None) there is no best epoch, and the model stays as the
    last one left it; so it does without early stopping.
    """
    raise NotImplementedError


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    scheduler: Any = None,
    scaler: Any = None,
    generators: Mapping[str, torch.Generator] | None = None,
    step: int = 0,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write all that a run needs to go on later, exactly as if it had not been interrupted.

    Args:
        path: the file, str or Path.
        model, optimizer: their state_dicts are saved,
        scheduler, scaler: and so are those of a schedule and of a `torch.amp.GradScaler`, if given.
        generators: the run's own generators by name, such as the one that shuffles the data.
        step: how far the run has come.
        extra: whatever else is to be kept, as long as `weights_only` loading takes it: numbers, strings, tensors, and
            lists, tuples and dicts of these.

    Besides the arguments the file holds the state of every global generator: torch's on the CPU (and on the CUDA
    devices, if there are any), Python's `random`, NumPy's `np.random`. The layout of the file is yours; it can be
    opened by `torch.load(path, weights_only=True)`, which refuses NumPy arrays and all but the plainest objects.

    Saving changes nothing in the run. It is atomic: a new file is written beside `path`, and takes its place in one
    step once it is complete. So at any moment the file at `path` is a whole checkpoint, the old one or the new one. If
    saving fails, the error comes through, and the old file is as it was. In no case is another file left in the folder.
    """
    raise NotImplementedError


def load_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    scheduler: Any = None,
    scaler: Any = None,
    generators: Mapping[str, torch.Generator] | None = None,
    map_location: Any = "cpu",
) -> dict[str, Any]:
    """Bring a run back to where `save_checkpoint` was called.

    Args:
        path: the file, str or Path.
        model, optimizer: built as they were then; they are given their saved states. The model keeps its Parameter
            objects, which the optimizer holds.
        scheduler, scaler: get their saved states, if given.
        generators: each gets the state that was saved under its name.
        map_location: handed to `torch.load`: where tensors in the file are loaded to. Wherever that is, generators get
            their states back.
    Returns:
        `{"step": …, "extra": …}` as they were saved; extra is {} if there was none.

    The global generators of torch, `random` and NumPy get their states back, too. Training on is then bitwise the same
    as without the interruption: the same batches, the same dropout, the same weights after every step. What is in the
    file and not asked for, such as a scheduler or another generator, is passed over. Only plain data is taken from a
    file (`weights_only`): one that asks for code to be run is refused.

    Raises:
        ValueError: a scheduler, a scaler or a generator is asked for that had not been saved. The message holds
            "scheduler", "scaler" or the generator's name; nothing has been changed then, neither the model nor any
            generator.
    """
    raise NotImplementedError


def gradient_report(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Say of each parameter how its gradient is, after a backward pass.

    Returns:
        For every trainable parameter, by its name and in the order of `model.named_parameters()`, a dict with

        - `"status"`: "missing" if `.grad` is None, "nan" if any of its elements is NaN, "inf" if any is infinite and
          none NaN, else "ok". A gradient of zeros is "ok".
        - `"norm"`: the root of the sum of its squares.
        - `"mean"`, `"std"`: of its elements. The deviation is that of a population (divided by n, not n - 1), so a
          bias with one element has 0.0.

        The three numbers are Python floats, and None for a gradient that is missing. For "nan" and "inf" they are what
        comes out. A gradient in float16 or bfloat16 is measured in a wider dtype: the norm of many moderate float16
        numbers is more than float16 can hold.

    Frozen parameters (`requires_grad` is False) are left out. Nothing in the model changes.
    """
    raise NotImplementedError


def classify_error(error: BaseException) -> str:
    """Name the kind of mistake behind an error of PyTorch's.

    Args:
        error: what was raised.
    Returns:
        One of

        - "out_of_memory": it is a `torch.OutOfMemoryError`, whatever it says
        - "device_mismatch": tensors on different devices met
        - "shape_mismatch": tensors do not fit together (`a @ b`, `a + b`, `torch.cat`, fewer targets than rows of
          logits in `F.cross_entropy`), or a tensor does not fit into a shape (`.view`)
        - "dtype_mismatch": float32 met float64 in a product, class targets or indices of an embedding are floats
        - "inplace_modification": something that the backward pass needs was overwritten (`y = x.exp(); y += 1`), or a
          leaf that requires a gradient was
        - "non_scalar_backward": `backward()` on a tensor with several elements
        - "second_backward": `backward()` once more on a graph that is gone
        - "no_gradient": `backward()` on a tensor without a graph
        - "unknown": everything else. A KeyError or an IndexError is unknown whatever it says.

    PyTorch has a class of its own for the first kind only. The others are RuntimeErrors, or ValueErrors where a loss
    compares sizes, and only their text tells them apart. Raise them, read them, and look for words that no other kind
    has: "expected" and "size" are in many.
    """
    raise NotImplementedError
