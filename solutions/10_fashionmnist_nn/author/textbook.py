"""A classifier of small pictures, from file to errors: build it, train it, stop in
time, see what it gets wrong.
"""

import copy
import gzip
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

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
    """Linear layers with ReLU and dropout between them, and log-probabilities at
    the end.
    """

    def __init__(
        self,
        input_dim: int = 784,
        hidden_dims: Sequence[int] = (128, 64),
        num_classes: int = 10,
        dropout: float = 0.0,
    ):
        super().__init__()
        layers = []
        for hidden_dim in hidden_dims:
            layers += [nn.Linear(input_dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout)]
            input_dim = hidden_dim
        self.layers = nn.Sequential(*layers, nn.Linear(input_dim, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1)).log_softmax(dim=1)


def train_epoch(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: Optimizer,
) -> tuple[float, float]:
    """One pass with an update for each batch."""
    model.train()
    total_loss, correct, count = 0.0, 0, 0
    for inputs, labels in loader:
        outputs = model(inputs)
        loss = loss_fn(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total_loss += loss.item() * len(labels)
        correct += (outputs.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    return total_loss / count, correct / count


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
) -> tuple[float, float]:
    """The same numbers, without a trace."""
    was_training = model.training
    model.eval()
    total_loss, correct, count = 0.0, 0, 0
    for inputs, labels in loader:
        outputs = model(inputs)
        total_loss += loss_fn(outputs, labels).item() * len(labels)
        correct += (outputs.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    model.train(was_training)
    return total_loss / count, correct / count


class EarlyStopping:
    """Keep the best weights, and say when to stop."""

    def __init__(self, patience: int = 3, min_delta: float = 0.0):
        self.patience = patience
        self.min_delta = min_delta
        self.best_loss = float("inf")
        self.best_epoch = -1
        self.bad_epochs = 0
        self.best_state = None
        self.epoch = -1

    def step(self, loss: float, model: nn.Module) -> bool:
        """Take note of one epoch; True if training should stop."""
        self.epoch += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss = loss
            self.best_epoch = self.epoch
            self.bad_epochs = 0
            self.best_state = copy.deepcopy(model.state_dict())
        else:
            self.bad_epochs += 1
        return self.bad_epochs >= self.patience

    def restore(self, model: nn.Module) -> None:
        """Load the best state into the model."""
        model.load_state_dict(self.best_state)


@torch.no_grad()
def misclassified(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    k: int | None = None,
    batch_size: int = 256,
) -> dict[str, Tensor]:
    """The mistakes, the most confident first."""
    model.eval()
    log_probabilities = torch.cat([model(batch) for batch in images.split(batch_size)])
    confidence, predicted = log_probabilities.exp().max(dim=1)
    wrong = (predicted != labels).nonzero().squeeze(1)
    order = confidence[wrong].argsort(descending=True, stable=True)
    index = wrong[order[:k]]
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
    """Epoch after epoch, with a history."""
    loss_fn = loss_fn or nn.NLLLoss()
    history = {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": []}
    for _ in range(epochs):
        train_loss, train_acc = train_epoch(model, train_loader, loss_fn, optimizer)
        val_loss, val_acc = evaluate(model, val_loader, loss_fn)
        history["train_loss"].append(train_loss)
        history["train_acc"].append(train_acc)
        history["val_loss"].append(val_loss)
        history["val_acc"].append(val_acc)
        if early_stopping is not None and early_stopping.step(val_loss, model):
            break
    if early_stopping is not None:
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
    """A fair race between networks."""
    images, labels = train_data
    results = []
    for hidden_dims in hidden_configs:
        torch.manual_seed(seed)
        model = FashionMNISTModel(
            images[0].numel(), hidden_dims, labels.max().item() + 1
        )
        train_loader = DataLoader(
            TensorDataset(*train_data),
            batch_size,
            shuffle=True,
            generator=torch.Generator().manual_seed(seed),
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
    """Read an IDX file of unsigned bytes: a header with the sizes, then
    the elements.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    ndim = data[3]
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(ndim)]
    return torch.frombuffer(bytearray(data[4 + 4 * ndim :]), dtype=torch.uint8).reshape(
        shape
    )


def load_fashion_mnist(root: str | Path, split: str = "train") -> tuple[Tensor, Tensor]:
    """Load the pictures of FashionMNIST and their labels, from the four files as they
    are distributed.

    Args:
        root: the folder that holds them.
        split: "train" (60,000 pictures) or "test" (10,000).
    Returns:
        Images (N, 1, H, W) float32 in [0, 1] and labels (N,) int64, places
        in CLASS_NAMES.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    images = read_idx(Path(root) / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(Path(root) / f"{prefix}-labels-idx1-ubyte.gz")
    return images.unsqueeze(1).to(torch.float32) / 255, labels.to(torch.int64)
