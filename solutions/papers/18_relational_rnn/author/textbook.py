"""The relational memory core: slots that attend to each other and to the input, behind
the gates of an LSTM.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_recall_batch(
    batch_size: int,
    num_pairs: int = 3,
    num_values: int = 3,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw sequences of P pairs and a question: x (batch_size, P + 1, P + V + 1) and y
    (batch_size,) int64.

    Steps 0 to P − 1 show a key (P numbers, one-hot) and its value (V numbers, one-hot).
    Each key comes once, in random order. The last step shows one of the keys, zeros,
    and 1 as a flag. y is the value of that key.
    """
    keys = torch.rand(batch_size, num_pairs, generator=generator).argsort(dim=1)
    values = torch.randint(num_values, (batch_size, num_pairs), generator=generator)
    place = torch.randint(num_pairs, (batch_size, 1), generator=generator)
    x = torch.zeros(batch_size, num_pairs + 1, num_pairs + num_values + 1)
    x[:, :-1, :num_pairs] = F.one_hot(keys, num_pairs)
    x[:, :-1, num_pairs:-1] = F.one_hot(values, num_values)
    x[:, -1, :num_pairs] = F.one_hot(keys.gather(1, place)[:, 0], num_pairs)
    x[:, -1, -1] = 1
    return x, values.gather(1, place)[:, 0]


class LSTMBaseline(nn.Module):
    """The baseline: an LSTM, and a small network on its last output. It is called as a
    `RelationalRNN` is.
    """

    def __init__(self, input_size: int, hidden_size: int, num_classes: int):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.output = nn.Sequential(
            nn.Linear(hidden_size, 64), nn.ReLU(), nn.Linear(64, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.lstm(x)[0][:, -1])


def recall_accuracy(
    model: nn.Module,
    *,
    num_sequences: int = 1000,
    num_pairs: int = 3,
    num_values: int = 3,
    generator: torch.Generator | None = None,
) -> float:
    """Measure the share of right answers on fresh sequences."""
    x, y = make_recall_batch(num_sequences, num_pairs, num_values, generator)
    training = model.training
    model.eval()
    with torch.no_grad():
        right = model(x).argmax(dim=1) == y
    model.train(training)
    return right.float().mean().item()


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query · key^T / √d) · value."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    return scores.softmax(dim=-1) @ value


def attend_numpy(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The same on arrays."""
    scores = query @ key.swapaxes(-2, -1) / np.sqrt(query.shape[-1])
    weights = np.exp(scores)
    return weights / weights.sum(axis=-1, keepdims=True) @ value


def attend_backward_numpy(query, key, value, upstream):
    """Back through attention by hand."""
    root = np.sqrt(query.shape[-1])
    weights = np.exp(query @ key.swapaxes(-2, -1) / root)
    weights = weights / weights.sum(axis=-1, keepdims=True)
    d_value = weights.swapaxes(-2, -1) @ upstream
    d_weights = upstream @ value.swapaxes(-2, -1)
    d_scores = weights * (d_weights - (weights * d_weights).sum(axis=-1, keepdims=True))
    return d_scores @ key / root, d_scores.swapaxes(-2, -1) @ query / root, d_value


class RelationalMemory(nn.Module):
    """A memory of slots: (B, S, D)."""

    def __init__(self, input_size: int, num_slots: int, slot_size: int, num_heads: int):
        super().__init__()
        self.num_slots = num_slots
        self.slot_size = slot_size
        self.num_heads = num_heads
        self.input_projection = nn.Linear(input_size, slot_size)
        self.qkv = nn.Linear(slot_size, 3 * slot_size)
        self.norm1 = nn.LayerNorm(slot_size)
        self.norm2 = nn.LayerNorm(slot_size)
        self.mlp = nn.Sequential(
            nn.Linear(slot_size, slot_size), nn.ReLU(), nn.Linear(slot_size, slot_size)
        )
        self.input_gates = nn.Linear(slot_size, 2 * slot_size)
        self.memory_gates = nn.Linear(slot_size, 2 * slot_size)

    def initial_memory(self, batch_size: int) -> Tensor:
        """Slot s starts as the unit vector e_s."""
        return torch.eye(self.num_slots, self.slot_size).expand(batch_size, -1, -1)

    def update(self, memory: Tensor, x: Tensor) -> Tensor:
        """Let the slots attend to all slots and to x."""
        rows = torch.cat([memory, x.unsqueeze(1)], dim=1)
        query, key, value = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in self.qkv(rows).chunk(3, dim=-1)
        )
        attended = attend(query[:, :, :-1], key, value).transpose(1, 2).flatten(2)
        m = self.norm1(memory + attended)
        return self.norm2(m + self.mlp(m))

    def forward(self, inputs: Tensor, memory: Tensor) -> Tensor:
        x = self.input_projection(inputs)
        gates = self.input_gates(x).unsqueeze(1) + self.memory_gates(torch.tanh(memory))
        i, f = gates.chunk(2, dim=-1)
        return (
            torch.sigmoid(i) * torch.tanh(self.update(memory, x))
            + torch.sigmoid(f + 1) * memory
        )


class RelationalRNN(nn.Module):
    """Read all steps into the memory, then answer from all slots."""

    def __init__(
        self,
        input_size: int,
        num_slots: int,
        slot_size: int,
        num_heads: int,
        num_classes: int,
    ):
        super().__init__()
        self.core = RelationalMemory(input_size, num_slots, slot_size, num_heads)
        self.output = nn.Sequential(
            nn.Linear(num_slots * slot_size, 64), nn.ReLU(), nn.Linear(64, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        memory = self.core.initial_memory(len(x))
        for t in range(x.size(1)):
            memory = self.core(x[:, t], memory)
        return self.output(memory.flatten(1))


def train_recall(
    model: nn.Module,
    *,
    steps: int,
    num_pairs: int = 3,
    num_values: int = 3,
    batch_size: int = 32,
    lr: float = 5e-3,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Fresh sequences per step, gradients clipped."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        x, y = make_recall_batch(batch_size, num_pairs, num_values, generator)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
