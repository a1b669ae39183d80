"""Classify small images: build a network, train it, stop in time, look at its mistakes,
read the files.
"""

import gzip
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset

CLASS_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]


class FashionMNISTModel(nn.Module):
    """Classify with linear layers, ReLU after each but the last, and log-probabilities
    at the end.

    Args of `__init__`:
        input_dim: the number of values per example, 784 for an image of 28×28.
        hidden_dims: the width of each hidden layer. There may be any number of them,
        or none.
        num_classes: C.
        dropout: the probability of setting a hidden value to 0 in training mode.
    Args of `forward`:
        x: (B, …) with input_dim values per example, such as (B, 1, 28, 28) or (B, 784).
    Returns of `forward`:
        (B, C) log-probabilities: exp of a row sums to 1.

    Each example is flattened. Per hidden size come `nn.Linear`, ReLU and dropout, then
    a last `nn.Linear` and log-softmax over the classes. The defaults lead
    784 → 128 → 64 → 10, and `hidden_dims=()` leads 784 → 10. `modules()` finds the
    linear layers in the order of their use.

    Edge cases ★
        `x` may be non-contiguous. Inputs in the tens of thousands give finite outputs.
        Everything runs on the device of the input.
    """

    def __init__(
        self,
        input_dim: int = 784,
        hidden_dims: Sequence[int] = (128, 64),
        num_classes: int = 10,
        dropout: float = 0.0,
    ):
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        width = input_dim
        for hidden in hidden_dims:
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
            width = hidden
        layers.append(nn.Linear(width, num_classes))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).log_softmax(dim=1)


def train_epoch(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
) -> tuple[float, float]:
    """Train on all batches once, in training mode, with an update per batch.

    Args:
        model: returns (B, C) scores, the highest for the predicted class.
        loader: a DataLoader with batches of inputs (B, …) and labels (B,).
        loss_fn: `loss_fn(outputs, labels)` is the mean loss of the batch.
        optimizer: has the model's parameters.
    Returns:
        Mean loss and accuracy (0 to 1), two Python floats, both *per example*: of 11
        examples in batches of 4, 4 and 3 each counts 1/11.

    Each step follows the gradient of its own batch alone. Loss and accuracy come from
    the outputs before the update: call the model once per batch.

    Edge cases ★
        `loader` is any iterable of batches, iterated over once. Batches are moved to
        the device of the model's parameters. A loader without a batch is an error.
    """
    device = next(model.parameters()).device
    model.train()
    total_loss, correct, count = 0.0, 0, 0
    for inputs, labels in loader:
        inputs, labels = inputs.to(device), labels.to(device)
        outputs = model(inputs)
        loss = loss_fn(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(labels)
        correct += (outputs.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    if count == 0:
        raise ValueError("the loader gave no batch to train on")
    return total_loss / count, correct / count


def evaluate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
) -> tuple[float, float]:
    """Measure loss and accuracy on data, and change nothing in the model.

    Args:
        model, loss_fn: as in `train_epoch`.
        loader: any iterable of batches, iterated over once: a DataLoader, a list,
            a generator.
    Returns:
        The mean loss and the accuracy per example, two Python floats as
        in `train_epoch`.

    The model runs in eval mode, and no graph is recorded. Parameters, buffers and
    gradients stay as they are.

    Edge cases ★
        Afterwards, model and submodules are in the mode from before, training or eval,
        and gradients can be recorded, even after an exception. Devices and the error
        are as in `train_epoch`.
    """
    device = next(model.parameters()).device
    loss_sum, right, seen = 0.0, 0, 0
    with _evaluating(model):
        for inputs, labels in loader:
            inputs, labels = inputs.to(device), labels.to(device)
            outputs = model(inputs)
            loss_sum += loss_fn(outputs, labels).item() * len(labels)
            right += (outputs.argmax(dim=1) == labels).sum().item()
            seen += len(labels)
    if seen == 0:
        raise ValueError("the loader gave no batch to evaluate")
    return loss_sum / seen, right / seen


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode and no graph inside; the mode from before afterwards,
    whatever happened.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


class EarlyStopping:
    """Keep the best weights, and say when the validation loss has not improved for
    too long.

    Args:
        patience: how many epochs in a row may bring no improvement, at least 1.
        min_delta: how far the loss must fall to count as an improvement, at least 0.
    Attributes:
        epoch: the last call of `step`, counted from 0. -1 at first.
        best_loss: inf at first.
        best_epoch: which call of `step` was the best. -1 at first.
        bad_epochs: the number of calls since then. 0 at first.
        best_state: a copy of the model's whole state_dict from then. None at first.
    """

    def __init__(self, patience: int = 3, min_delta: float = 0.0):
        if patience < 1 or min_delta < 0:
            raise ValueError(
                f"wanted patience >= 1 and min_delta >= 0, not {patience} and "
                f"{min_delta}"
            )
        self.patience = patience
        self.min_delta = min_delta
        self.epoch = -1
        self.best_loss = math.inf
        self.best_epoch = -1
        self.bad_epochs = 0
        self.best_state: dict[str, Tensor] | None = None

    def step(self, loss: float, model: nn.Module) -> bool:
        """Record one epoch.

        Args:
            loss: the validation loss of this epoch.
            model: the model after this epoch.
        Returns:
            True if training should stop: if bad_epochs is at least patience.

        An improvement is loss < best_loss - min_delta. It sets all attributes anew;
        training the model on does not change `best_state`. Any other call counts one
        epoch and one bad epoch more. With patience 2 the losses 0.9, 0.7, 0.8, 0.75
        give False, False, False, True: best are 0.7 and epoch 1.

        Edge cases ★
            NaN is never an improvement.
        """
        self.epoch += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss = loss
            self.best_epoch = self.epoch
            self.bad_epochs = 0
            self.best_state = {
                name: value.clone() for name, value in model.state_dict().items()
            }
        else:
            self.bad_epochs += 1
        return self.bad_epochs >= self.patience

    def restore(self, model: nn.Module) -> None:
        """Load `best_state` into the model, in place.

        `best_state` stays stored: training the model on does not change it, and
        `restore` can be called again.

        Edge cases ★
            A `best_state` of None is an error.
        """
        if self.best_state is None:
            raise RuntimeError(
                "no epoch has been an improvement, so there is nothing to restore"
            )
        model.load_state_dict(self.best_state)


def misclassified(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    k: int | None = None,
    batch_size: int = 256,
) -> dict[str, Tensor]:
    """Find the mistakes of a model, the most confident first.

    Args:
        model: returns (B, C) log-probabilities for B images.
        images: (N, …).
        labels: (N,) int64.
        k: how many mistakes at most; None for all.
        batch_size: how many images at most per call of the model.
    Returns:
        Four tensors with one entry per mistake, at most k:

        - "index": int64, the place of the mistake in `images`
        - "predicted": int64, the class with the highest log-probability
        - "target": int64, the label
        - "confidence": the probability (0 to 1) of the *predicted* class, the
          highest first

    The model runs in eval mode without a graph.

    Edge cases ★
        Of equal confidences the lower index comes first. No mistakes, or k = 0, give
        four tensors of length 0 with the same dtypes. The mode is restored as in
        `evaluate`. `images` and `labels` are not written to.
    """
    with _evaluating(model):
        log_probabilities = torch.cat(
            [model(batch) for batch in images.split(batch_size)]
        )
    confidence, predicted = log_probabilities.exp().max(dim=1)
    wrong = (predicted != labels).nonzero().squeeze(1)
    order = confidence[wrong].argsort(descending=True, stable=True)
    index = wrong[order][:k]
    return {
        "index": index,
        "predicted": predicted[index],
        "target": labels[index],
        "confidence": confidence[index],
    }


def fit(
    model: nn.Module,
    train_loader: Iterable[tuple[Tensor, Tensor]],
    val_loader: Iterable[tuple[Tensor, Tensor]],
    optimizer: Optimizer,
    epochs: int,
    early_stopping: EarlyStopping | None = None,
    loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> dict[str, list[float]]:
    """Train epoch after epoch, validate after each, and stop early if asked.

    Args:
        model, optimizer: as in `train_epoch`.
        train_loader, val_loader: iterated over once per epoch.
        epochs: the largest number of epochs.
        early_stopping: gets the validation loss and the model after each epoch. None
            trains all epochs.
        loss_fn: as in `train_epoch`. None means `nn.NLLLoss()`.
    Returns:
        "train_loss", "train_acc", "val_loss" and "val_acc": lists of floats, one entry
        per epoch that ran.

    The epoch in which `step` returns True is the last. With early_stopping the model
    has the best weights at the end, even if all epochs were used. Without it, the model
    keeps the last weights.

    Edge cases ★
        `epochs=0` gives four empty lists. If no epoch was an improvement, because every
        loss was NaN, the model keeps the last weights.
    """
    loss_fn = nn.NLLLoss() if loss_fn is None else loss_fn
    history: dict[str, list[float]] = {
        "train_loss": [],
        "train_acc": [],
        "val_loss": [],
        "val_acc": [],
    }
    for _ in range(epochs):
        train_loss, train_acc = train_epoch(model, train_loader, loss_fn, optimizer)
        val_loss, val_acc = evaluate(model, val_loader, loss_fn)
        for name, value in zip(
            history, (train_loss, train_acc, val_loss, val_acc), strict=True
        ):
            history[name].append(value)
        if early_stopping is not None and early_stopping.step(val_loss, model):
            break
    if early_stopping is not None and early_stopping.best_state is not None:
        early_stopping.restore(model)
    return history


def compare_depths(
    train_data: tuple[Tensor, Tensor],
    val_data: tuple[Tensor, Tensor],
    hidden_configs: Sequence[Sequence[int]] = ((128, 64), (128, 64, 32)),
    epochs: int = 5,
    batch_size: int = 64,
    lr: float = 1e-3,
    seed: int = 0,
) -> list[dict[str, object]]:
    """Train one network per choice of hidden layers, all under the same conditions.

    Args:
        train_data, val_data: images (N, …) and labels (N,) int64.
        hidden_configs: the `hidden_dims` of each network.
        epochs, batch_size, lr: as usual. `lr` is Adam's.
        seed: for weights and shuffling.
    Returns:
        One dict per network, in order: "hidden_dims" (a tuple), "num_parameters" (of
        weights and biases), "val_loss" and "val_acc" (of the last epoch),
        "history" (from `fit`).

    For each network: `torch.manual_seed(seed)`, then a `FashionMNISTModel` without
    dropout, then `fit` with Adam. Training data are shuffled by a new generator with
    the same seed. A result does not depend on its place in the list. input_dim is the
    size of one training image, num_classes the largest training label + 1.

    Edge cases ★
        A class below the largest may be missing in the training labels.
    """
    images, labels = train_data
    results = []
    for hidden_dims in hidden_configs:
        torch.manual_seed(seed)
        model = FashionMNISTModel(images[0].numel(), hidden_dims, int(labels.max()) + 1)
        shuffled = torch.Generator().manual_seed(seed)
        train_loader = DataLoader(
            TensorDataset(images, labels), batch_size, shuffle=True, generator=shuffled
        )
        val_loader = DataLoader(TensorDataset(*val_data), batch_size)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        history = fit(model, train_loader, val_loader, optimizer, epochs)
        results.append(
            {
                "hidden_dims": tuple(hidden_dims),
                "num_parameters": sum(p.numel() for p in model.parameters()),
                "val_loss": history["val_loss"][-1],
                "val_acc": history["val_acc"][-1],
                "history": history,
            }
        )
    return results


def read_idx(path: str | Path) -> Tensor:
    """Read an IDX file of unsigned bytes, the format of FashionMNIST and MNIST.

    Args:
        path: the file, plain or packed by gzip.
    Returns:
        A uint8 tensor of the shape in the header.

    The file holds, in this order:

    | bytes | content |
    |---|---|
    | 2 | zero |
    | 1 | the type, 08 for unsigned bytes |
    | 1 | n, the number of dimensions, at least 1 |
    | 4 each | n sizes, the most significant byte first |
    | product of the sizes | the elements, the last dimension fastest |

    So 00 00 08 01 | 00 00 00 03 | 07 00 02 is the tensor [7, 0, 2].

    Edge cases ★
        The first two bytes tell gzip (1f 8b), not the name. The tensor has writable
        memory of its own, and there is no warning. Every other file is an error that
        names the path: a header or gzip stream that is cut off ("truncated"); too few
        elements ("truncated", with the expected and the actual number of bytes);
        another type (its byte in hex, two digits); a first or second byte that is not
        zero; n = 0; bytes left over at the end.
        A missing file stays a FileNotFoundError.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except EOFError:
            raise ValueError(f"{path}: truncated gzip stream") from None
    if len(data) < 4:
        raise ValueError(
            f"{path}: truncated, {len(data)} bytes are not even the start of a header"
        )
    if data[:2] != b"\x00\x00":
        raise ValueError(
            f"{path}: an IDX file starts with two zero bytes, not with "
            f"{data[:2].hex(' ')}"
        )
    kind, dims = data[2], data[3]
    if kind != 0x08:
        raise ValueError(
            f"{path}: type 0x{kind:02x}, only 0x08 (unsigned bytes) can be read"
        )
    if dims == 0:
        raise ValueError(f"{path}: no dimensions")
    start = 4 + 4 * dims
    if len(data) < start:
        raise ValueError(
            f"{path}: truncated header, {dims} sizes need {start} bytes and there are "
            f"{len(data)}"
        )
    sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    wanted, there = math.prod(sizes), len(data) - start
    if there < wanted:
        raise ValueError(
            f"{path}: truncated, {sizes} elements need {wanted} bytes and there are "
            f"{there}"
        )
    if there > wanted:
        raise ValueError(
            f"{path}: {there - wanted} bytes are left over after the last element"
        )
    elements = np.frombuffer(data, dtype=np.uint8, offset=start).copy()
    return torch.from_numpy(elements).reshape(sizes)


def load_fashion_mnist(root: str | Path, split: str = "train") -> tuple[Tensor, Tensor]:
    """Load the images of FashionMNIST and their labels, from the four files as they
    are distributed.

    Args:
        root: the folder that holds them.
        split: "train" (60,000 images) or "test" (10,000).
    Returns:
        Images (N, 1, H, W) float32 in [0, 1] and labels (N,) int64, indices
        into CLASS_NAMES.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    images = read_idx(Path(root) / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(Path(root) / f"{prefix}-labels-idx1-ubyte.gz")
    return images.unsqueeze(1).to(torch.float32) / 255, labels.to(torch.int64)
