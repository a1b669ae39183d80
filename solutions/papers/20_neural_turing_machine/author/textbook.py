"""A neural Turing machine: an outside memory, addressed by content and by location,
that learns to copy.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_copy_batch(
    batch_size: int, length: int, width: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw a batch of the copy task: x (B, 2L, width + 1) and bits (B, L, width).

    In the first L steps of x stand the bits and a flag of 0, in the other L no bits and
    a flag of 1: recall now.
    """
    bits = torch.randint(2, (batch_size, length, width), generator=generator).float()
    x = torch.zeros(batch_size, 2 * length, width + 1)
    x[:, :length, :width] = bits
    x[:, length:, width] = 1
    return x, bits


def read_memory(memory: Tensor, weights: Tensor) -> Tensor:
    """Read the weighted sum of all slots (equation 2): memory (B, N, M) and weights
    (B, N) give (B, M).
    """
    return (weights.unsqueeze(1) @ memory).squeeze(1)


class LSTMCopier(nn.Module):
    """The baseline: an LSTM and a linear layer at every step. It returns
    logits alone.
    """

    def __init__(self, input_size: int, output_size: int, hidden_size: int):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.lstm(x)[0])


def copy_accuracy(
    model: nn.Module,
    length: int,
    width: int,
    *,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
) -> float:
    """Measure the share of right bits in the recall half, over fresh sequences of
    one length.
    """
    x, bits = make_copy_batch(batch_size, length, width, generator)
    training = model.training
    model.eval()
    with torch.no_grad():
        result = model(x)
    model.train(training)
    logits = result[0] if isinstance(result, tuple) else result
    return ((logits[:, length:] > 0) == bits.bool()).float().mean().item()


def content_weights(memory: Tensor, key: Tensor, strength: Tensor) -> Tensor:
    """Softmax over slots of strength times cosine similarity."""
    similarity = F.cosine_similarity(memory, key.unsqueeze(1), dim=-1)
    return (strength * similarity).softmax(dim=-1)


def content_weights_numpy(
    memory: np.ndarray, key: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """The same in NumPy."""
    dots = (memory * key[:, None]).sum(axis=-1)
    norms = np.linalg.norm(memory, axis=-1) * np.linalg.norm(
        key, axis=-1, keepdims=True
    )
    scores = np.exp(strength * dots / (norms + 1e-12))
    return scores / scores.sum(axis=1, keepdims=True)


def location_weights(
    content: Tensor, previous: Tensor, gate: Tensor, shift: Tensor, sharpen: Tensor
) -> Tensor:
    """Gate, shift, sharpen."""
    gated = gate * content + (1 - gate) * previous
    back, stay, ahead = shift.split(1, dim=1)
    shifted = (
        back * gated.roll(-1, dims=1) + stay * gated + ahead * gated.roll(1, dims=1)
    )
    powers = shifted**sharpen
    return powers / powers.sum(dim=1, keepdim=True)


def write_memory(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """Erase, then add."""
    weights = weights.unsqueeze(2)
    return memory * (1 - weights * erase.unsqueeze(1)) + weights * add.unsqueeze(1)


class NTM(nn.Module):
    """A controller, a memory, a write head and a read head."""

    def __init__(
        self,
        input_size: int,
        output_size: int,
        num_slots: int,
        slot_size: int,
        hidden_size: int,
    ):
        super().__init__()
        self.num_slots, self.slot_size = num_slots, slot_size
        self.controller = nn.Linear(input_size + slot_size, hidden_size)
        self.write_head = nn.Linear(hidden_size, slot_size + 6 + 2 * slot_size)
        self.read_head = nn.Linear(hidden_size, slot_size + 6)
        self.output = nn.Linear(hidden_size + slot_size, output_size)

    def address(self, numbers: Tensor, memory: Tensor, previous: Tensor) -> Tensor:
        key, strength, gate, shift, sharpen = numbers.split(
            [self.slot_size, 1, 1, 3, 1], dim=1
        )
        content = content_weights(memory, key.tanh(), F.softplus(strength))
        return location_weights(
            content,
            previous,
            gate.sigmoid(),
            shift.softmax(dim=1),
            1 + F.softplus(sharpen),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        memory = torch.full((len(x), self.num_slots, self.slot_size), 1e-6)
        write_weights = torch.zeros(len(x), self.num_slots)
        write_weights[:, 0] = 1
        read_weights = write_weights
        read = torch.zeros(len(x), self.slot_size)
        logits, reads, writes = [], [], []
        for step in x.unbind(dim=1):
            hidden = self.controller(torch.cat([step, read], dim=1)).tanh()
            numbers = self.write_head(hidden)
            erase, add = numbers[:, self.slot_size + 6 :].chunk(2, dim=1)
            write_weights = self.address(
                numbers[:, : self.slot_size + 6], memory, write_weights
            )
            memory = write_memory(memory, write_weights, erase.sigmoid(), add.tanh())
            read_weights = self.address(self.read_head(hidden), memory, read_weights)
            read = read_memory(memory, read_weights)
            logits.append(self.output(torch.cat([hidden, read], dim=1)))
            reads.append(read_weights)
            writes.append(write_weights)
        return (
            torch.stack(logits, dim=1),
            torch.stack(reads, dim=1),
            torch.stack(writes, dim=1),
        )


def train_copy(
    model: nn.Module,
    *,
    steps: int,
    width: int,
    max_length: int,
    batch_size: int = 16,
    lr: float = 2e-2,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train to copy sequences of 1 to max_length steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        length = torch.randint(1, max_length + 1, (), generator=generator).item()
        x, bits = make_copy_batch(batch_size, length, width, generator)
        result = model(x)
        logits = result[0] if isinstance(result, tuple) else result
        loss = F.binary_cross_entropy_with_logits(logits[:, length:], bits)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
