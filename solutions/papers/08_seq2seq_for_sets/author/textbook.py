"""Read, process, write: a code for sets that no order can change, and a pointer network
that sorts from it.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def number_sets(batch: int, n: int, generator: torch.Generator | None = None) -> Tensor:
    return torch.rand(batch, n, 1, generator=generator)


def set_targets(
    x: Tensor, order: str = "sorted", generator: torch.Generator | None = None
) -> Tensor:
    if order == "sorted":
        return x[..., 0].argsort(dim=1)
    if order == "random":
        return torch.rand(x.shape[:2], generator=generator).argsort(dim=1)
    raise ValueError(f"order is {order!r}, expected 'sorted' or 'random'")


def attention_readout_numpy(
    memory: np.ndarray, query: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    weights = np.exp(memory @ query)
    weights = weights / weights.sum()
    return weights @ memory, weights


class ProcessBlock(nn.Module):
    def __init__(self, hidden_size: int):
        super().__init__()
        self.cell = nn.LSTMCell(2 * hidden_size, hidden_size)

    def forward(self, memory: Tensor, steps: int, mask: Tensor | None = None) -> Tensor:
        B, _, H = memory.shape
        h = c = torch.zeros(B, H)
        q_star = torch.zeros(B, 2 * H)
        for _ in range(steps):
            h, c = self.cell(q_star, (h, c))
            scores = torch.einsum("bnh,bh->bn", memory, h)
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            r = torch.einsum("bn,bnh->bh", scores.softmax(dim=1), memory)
            q_star = torch.cat([h, r], dim=1)
        return q_star


class ReadProcessWrite(nn.Module):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        process_steps: int = 3,
        reader: str = "set",
    ):
        super().__init__()
        self.reader = reader
        self.process_steps = process_steps
        self.read = nn.Sequential(
            nn.Linear(input_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
        )
        if reader == "lstm":
            self.lstm = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        else:
            self.process = ProcessBlock(hidden_size)
        self.init = nn.Linear(2 * hidden_size, hidden_size)
        self.decoder = nn.LSTMCell(hidden_size, hidden_size)
        self.W1 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.W2 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v = nn.Linear(hidden_size, 1, bias=False)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.read(x)
        if self.reader == "lstm":
            memory, _ = self.lstm(memory)
            return memory, torch.cat([memory[:, -1], memory[:, -1]], dim=1)
        return memory, self.process(memory, self.process_steps)

    def forward(
        self, x: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        memory, code = self.encode(x)
        B, N, H = memory.shape
        h, c, chosen = torch.tanh(self.init(code)), torch.zeros(B, H), torch.zeros(B, H)
        used = torch.zeros(B, N, dtype=torch.bool)
        logits, picks = [], []
        for t in range(N):
            h, c = self.decoder(chosen, (h, c))
            scores = self.v(torch.tanh(self.W1(memory) + self.W2(h)[:, None])).squeeze(
                -1
            )
            scores = scores.masked_fill(used, float("-inf"))
            pick = scores.argmax(dim=1)
            choice = pick if targets is None else targets[:, t]
            used = used | F.one_hot(choice, N).bool()
            chosen = memory[torch.arange(B), choice]
            logits.append(scores)
            picks.append(pick)
        return torch.stack(logits, dim=1), torch.stack(picks, dim=1)


def train_sorter(
    model: ReadProcessWrite,
    *,
    steps: int = 300,
    batch: int = 64,
    n: int = 5,
    lr: float = 0.005,
    order: str = "sorted",
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        x = number_sets(batch, n, generator)
        targets = set_targets(x, order, generator)
        logits, _ = model(x, targets)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def order_gap(
    model: ReadProcessWrite, x: Tensor, generator: torch.Generator | None = None
) -> float:
    perm = torch.rand(x.shape[:2], generator=generator).argsort(dim=1)
    shuffled = x[torch.arange(len(x))[:, None], perm]
    return (model.encode(x)[1] - model.encode(shuffled)[1]).abs().max().item()
