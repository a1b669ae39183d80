"""A classifier of small pictures, from file to errors: build it, train it, stop in time, see what it gets wrong."""

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
    """Several linear layers with a bend after each but the last, and log-probabilities at the end.

    Args of `__init__`:
        input_dim: the numbers in one example, 784 for a picture of 28×28.
        hidden_dims: the width of each hidden layer; any number of them, also none.
        num_classes: C, how many classes there are to choose from.
        dropout: the share of hidden values that dropout sets to 0 in training mode.
    Args of `forward`:
        x: (B, …), with input_dim numbers in each of the B examples, such as (B, 1, 28, 28) or (B, 784), in any memory
            layout: a transposed view will do.
    Returns of `forward`:
        (B, C), the logarithm of the probability of each class: exp of a row sums to 1.

    Each example is flattened to input_dim numbers. Then come, for each hidden size, a linear layer, ReLU and dropout;
    then a last linear layer to C numbers and log-softmax over the classes, nothing else. With the defaults the linear
    layers go 784 → 128 → 64 → 10, with `hidden_dims=()` there is only one, 784 → 10.

    The linear layers are `nn.Linear`, and `modules()` finds them in the order in which the forward pass uses them. The
    outputs stay finite for inputs in the tens of thousands, where a softmax followed by a log gives -inf.
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
    """Go once through the training data, in training mode, with an update for each batch.

    Args:
        model: gives (B, C) scores for a batch, the highest for the class it believes in.
        loader: batches of inputs (B, …) and labels (B,): a DataLoader, a list, a generator. It is gone through once.
        loss_fn: called as loss_fn(outputs, labels), gives the mean loss of the batch as a 0-dim tensor.
        optimizer: built by the caller on the model's parameters.
    Returns:
        The mean loss and the accuracy (the share of right answers, 0 to 1), two Python floats, both *per example*: of
        11 examples in batches of 4, 4 and 3 each counts 1/11.

    For each batch: predict, measure, differentiate, step. A gradient serves one step only. Loss and accuracy come from
    the outputs that the training itself computes, so from before the update of their batch; the model is called once a
    batch. It is in training mode, whatever mode it came in. Batches are moved to the device of the model's parameters.

    Raises:
        ValueError: the loader gives no batch.
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
    """Measure loss and accuracy on data, and leave the model exactly as it was.

    Args:
        model, loader, loss_fn: as in `train_epoch`.
    Returns:
        The mean loss and the accuracy per example, as in `train_epoch`.

    The model runs in eval mode, and no graph is recorded. Afterwards its parameters, buffers and gradients are what
    they were; model and submodules are back in the mode that the model came in, training or eval, and gradients can be
    recorded again, also if an exception ended the evaluation. Batches are moved to the device of the model's
    parameters.

    Raises:
        ValueError: the loader gives no batch.
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
    """Eval mode and no graph inside; the mode from before afterwards, whatever happened."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


class EarlyStopping:
    """Watch the validation loss: keep the best weights, and say when it has not improved for too long.

    Args:
        patience: how many calls of `step` in a row may pass without an improvement.
        min_delta: by how much the loss must fall to count as an improvement.
    Attributes:
        best_loss: the loss of the last improvement; inf at first.
        best_epoch: which call of `step` that was, counted from 0; -1 at first.
        bad_epochs: how many calls have passed since; 0 at first.
        best_state: a copy of the model's state_dict from then, buffers included; None at first.

    With patience 2 the losses 0.9, 0.7, 0.8, 0.75 give False, False, False, True: best are 0.7 and epoch 1.

    Raises:
        ValueError: patience < 1 or min_delta < 0.
    """

    def __init__(self, patience: int = 3, min_delta: float = 0.0):
        if patience < 1 or min_delta < 0:
            raise ValueError(f"wanted patience >= 1 and min_delta >= 0, not {patience} and {min_delta}")
        self.patience = patience
        self.min_delta = min_delta
        self.best_loss = math.inf
        self.best_epoch = -1
        self.bad_epochs = 0
        self.best_state: dict[str, Tensor] | None = None
        self._epoch = -1

    def step(self, loss: float, model: nn.Module) -> bool:
        """Take note of one epoch; True if training should stop.

        An improvement is loss < best_loss - min_delta, measured against the best loss, not the one before; an equal
        loss is none, and NaN never is. After an improvement the attributes describe this epoch and this model, and the
        count of bad epochs is 0 again; training the model on does not change `best_state`. Otherwise there is one bad
        epoch more, and nothing else changes. The answer is whether bad_epochs is at least patience.
        """
        self._epoch += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss = loss
            self.best_epoch = self._epoch
            self.bad_epochs = 0
            self.best_state = {name: value.clone() for name, value in model.state_dict().items()}
        else:
            self.bad_epochs += 1
        return self.bad_epochs >= self.patience

    def restore(self, model: nn.Module) -> None:
        """Load the best state into the model; it stays stored, and training the model on does not change it.

        Raises:
            RuntimeError: there is none, since no step has been an improvement.
        """
        if self.best_state is None:
            raise RuntimeError("no epoch has been an improvement, so there is nothing to restore")
        model.load_state_dict(self.best_state)


def misclassified(
    model: nn.Module, images: Tensor, labels: Tensor, k: int | None = None, batch_size: int = 256
) -> dict[str, Tensor]:
    """Find the mistakes of a model, those first that it was surest of.

    Args:
        model: gives (B, C) log-probabilities for a batch of B images.
        images: (N, …), on the model's device.
        labels: (N,) int64, the right answers.
        k: at most so many mistakes; None for all of them.
        batch_size: the model gets at most so many images at once.
    Returns:
        Four tensors of one length M, the number of mistakes, but at most k:

        - "index": int64, where in `images` the mistake is
        - "predicted": int64, the class with the highest log-probability
        - "target": int64, the label
        - "confidence": the probability, 0 to 1, that the model gave to the *predicted* class

        Row 0 is the mistake with the highest confidence; of equal ones the lower index comes first.

    The model runs in eval mode, nothing in the result carries a graph, and the training flag is put back as in
    `evaluate`. If there are no mistakes, all four have length 0. `images` and `labels` stay as they are.
    """
    with _evaluating(model):
        log_probabilities = torch.cat([model(batch) for batch in images.split(batch_size)])
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
    """Train epoch after epoch, measure after each, and stop early if asked.

    Args:
        model, optimizer: as in `train_epoch`.
        train_loader, val_loader: as there, but gone through once an epoch, so a list or a DataLoader.
        epochs: how many at most.
        early_stopping: is told the validation loss after each epoch; None trains all epochs and keeps the last weights.
        loss_fn: as there; None means `nn.NLLLoss()`, which takes log-probabilities.
    Returns:
        Under "train_loss", "train_acc", "val_loss" and "val_acc" a list of floats each, one an epoch that has run.

    The epoch in which `early_stopping.step` answers True is the last one. With early_stopping the model holds the best
    weights at the end, also if all epochs were used; if no epoch was an improvement (every loss was NaN), it keeps the
    last ones. `epochs=0` gives four empty lists and leaves the model as it is.
    """
    loss_fn = nn.NLLLoss() if loss_fn is None else loss_fn
    history: dict[str, list[float]] = {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": []}
    for _ in range(epochs):
        train_loss, train_acc = train_epoch(model, train_loader, loss_fn, optimizer)
        val_loss, val_acc = evaluate(model, val_loader, loss_fn)
        for name, value in zip(history, (train_loss, train_acc, val_loss, val_acc), strict=True):
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
    """Train one network for each choice of hidden layers, all under the same conditions.

    Args:
        train_data, val_data: images (N, …) and labels (N,) int64 each.
        hidden_configs: the `hidden_dims` of each network.
        epochs: at least 1.
        batch_size: for both sets; the last batch may be smaller.
        lr: the learning rate of Adam.
        seed: where randomness starts from.
    Returns:
        One dict a network, in the order of hidden_configs:

        - "hidden_dims": a tuple of ints
        - "num_parameters": int, how many numbers the network learns
        - "val_loss", "val_acc": of the last epoch
        - "history": what `fit` returned

    Each network starts afresh from `torch.manual_seed(seed)`, which comes right before the model is built, and its
    training data are shuffled by a new generator seeded with `seed`: all networks meet the same batches, and a result
    does not depend on its place in the list. The networks are `FashionMNISTModel`s without dropout, trained by `fit`
    with Adam and no early stop, on batches. input_dim is the size of one training image,
    num_classes the largest training label + 1.
    """
    images, labels = train_data
    results = []
    for hidden_dims in hidden_configs:
        torch.manual_seed(seed)
        model = FashionMNISTModel(images[0].numel(), hidden_dims, int(labels.max()) + 1)
        shuffled = torch.Generator().manual_seed(seed)
        train_loader = DataLoader(TensorDataset(images, labels), batch_size, shuffle=True, generator=shuffled)
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
    """Read an IDX file of unsigned bytes, the format that FashionMNIST and MNIST come in.

    Args:
        path: the file, plain or packed by gzip. Its first two bytes decide: 1f 8b is gzip. The name says nothing.
    Returns:
        A uint8 tensor of the shape in the header, in writable memory of its own, made without a warning.

    A file holds, one after the other:

    | bytes | what |
    |---|---|
    | 2 | zero |
    | 1 | the type, 08 for unsigned bytes |
    | 1 | n, the number of dimensions, at least 1 |
    | 4 each | n sizes, unsigned, the most significant byte first |
    | product of the sizes | the elements, the last dimension fastest |

    So 00 00 08 01 | 00 00 00 03 | 07 00 02 is the tensor [7, 0, 2].

    Raises:
        ValueError: the file is none of that. The message names the path, and says more in these cases:

            - another type: the type byte in hex, two digits
            - too few bytes for a header, or a gzip stream cut off: "truncated"
            - too few elements: "truncated", and how many bytes there should be and are

            The others are: one of the first two bytes is not zero, n is 0, bytes are left over after the last element.
        FileNotFoundError: there is no such file.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except EOFError:
            raise ValueError(f"{path}: truncated gzip stream") from None
    if len(data) < 4:
        raise ValueError(f"{path}: truncated, {len(data)} bytes are not even the start of a header")
    if data[:2] != b"\x00\x00":
        raise ValueError(f"{path}: an IDX file starts with two zero bytes, not with {data[:2].hex(' ')}")
    kind, dims = data[2], data[3]
    if kind != 0x08:
        raise ValueError(f"{path}: type 0x{kind:02x}, only 0x08 (unsigned bytes) can be read")
    if dims == 0:
        raise ValueError(f"{path}: no dimensions")
    start = 4 + 4 * dims
    if len(data) < start:
        raise ValueError(f"{path}: truncated header, {dims} sizes need {start} bytes and there are {len(data)}")
    sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]
    wanted, there = math.prod(sizes), len(data) - start
    if there < wanted:
        raise ValueError(f"{path}: truncated, {sizes} elements need {wanted} bytes and there are {there}")
    if there > wanted:
        raise ValueError(f"{path}: {there - wanted} bytes are left over after the last element")
    elements = np.frombuffer(data, dtype=np.uint8, offset=start).copy()
    return torch.from_numpy(elements).reshape(sizes)


def load_fashion_mnist(root: str | Path, split: str = "train") -> tuple[Tensor, Tensor]:
    """The pictures of FashionMNIST and what they show, from the four files as they are distributed.

    Args:
        root: the folder that holds them.
        split: "train" (60,000 pictures) or "test" (10,000).
    Returns:
        Images (N, 1, H, W) float32 in [0, 1] and labels (N,) int64, places in CLASS_NAMES.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    images = read_idx(Path(root) / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(Path(root) / f"{prefix}-labels-idx1-ubyte.gz")
    return images.unsqueeze(1).to(torch.float32) / 255, labels.to(torch.int64)
