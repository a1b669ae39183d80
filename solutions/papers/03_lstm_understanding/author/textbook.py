"""The memory of the LSTM: the cell with its gates, a net that has to recall, and the
gradient through time.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def recall_batch(
    batch: int,
    length: int,
    num_symbols: int,
    noise: float = 0.4,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    y = torch.randint(num_symbols, (batch,), generator=generator)
    x = noise * torch.randn(batch, length, num_symbols, generator=generator)
    x[:, 0] = F.one_hot(y, num_symbols)
    return x, y


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def lstm_step_numpy(
    x, h, c, weight_ih, weight_hh, bias
) -> tuple[np.ndarray, np.ndarray]:
    i, f, g, o = np.split(x @ weight_ih.T + h @ weight_hh.T + bias, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return h, c


class LSTMCellScratch(nn.Module):
    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        bound = 1 / math.sqrt(hidden_size)
        self.weight_ih = nn.Parameter(
            torch.empty(4 * hidden_size, input_size).uniform_(-bound, bound)
        )
        self.weight_hh = nn.Parameter(
            torch.empty(4 * hidden_size, hidden_size).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        with torch.no_grad():
            self.bias[hidden_size : 2 * hidden_size] = forget_bias

    def gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        i, f, g, o = (x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias).chunk(
            4, dim=1
        )
        return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        if state is None:
            zeros = torch.zeros(len(x), self.hidden_size)
            state = zeros, zeros
        h, c = state
        i, f, g, o = self.gates(x, h)
        c = f * c + i * g
        h = o * torch.tanh(c)
        return h, c


def run_lstm(
    cell: LSTMCellScratch, x: Tensor, state: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    if state is None:
        zeros = torch.zeros(len(x), cell.hidden_size)
        state = zeros, zeros
    h, c = state
    record = {name: [] for name in "hcifgo"}
    for t in range(x.shape[1]):
        i, f, g, o = cell.gates(x[:, t], h)
        h, c = cell(x[:, t], (h, c))
        for name, value in zip("hcifgo", (h, c, i, f, g, o)):
            record[name].append(value)
    return {name: torch.stack(values, dim=1) for name, values in record.items()}


class RecallNet(nn.Module):
    def __init__(
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        num_symbols: int,
        forget_bias: float = 1.0,
    ):
        super().__init__()
        if kind == "lstm":
            self.cell = LSTMCellScratch(input_size, hidden_size, forget_bias)
        else:
            self.cell = nn.RNNCell(input_size, hidden_size)
        self.head = nn.Linear(hidden_size, num_symbols)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        h = state[0] if self.kind == "lstm" else state
        return self.head(h)


def gradient_through_time(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    return x.grad.norm(dim=(0, 2))


def train_recall(
    model: nn.Module,
    *,
    steps: int = 200,
    length: int = 40,
    num_symbols: int = 4,
    noise: float = 0.4,
    batch: int = 32,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        x, y = recall_batch(batch, length, num_symbols, noise, generator)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
