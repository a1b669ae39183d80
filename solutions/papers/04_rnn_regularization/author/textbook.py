"""Dropout where it does no harm: on the paths between layers, not on the path
through time.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def transition_table(
    vocab_size: int, generator: torch.Generator | None = None
) -> Tensor:
    return torch.softmax(
        2 * torch.randn(vocab_size, vocab_size, vocab_size, generator=generator), dim=-1
    )


def markov_text(
    n: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
    table: Tensor | None = None,
) -> Tensor:
    if table is None:
        table = transition_table(vocab_size, generator)
    ids = torch.randint(vocab_size, (2,), generator=generator).tolist()
    while len(ids) < n:
        ids.append(
            torch.multinomial(table[ids[-2], ids[-1]], 1, generator=generator).item()
        )
    return torch.tensor(ids[:n])


def dropout_numpy(x: np.ndarray, keep_mask: np.ndarray, p: float) -> np.ndarray:
    return x * keep_mask / (1 - p)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_stack_step_numpy(x, states, weights, masks, p) -> tuple[np.ndarray, list]:
    new_states = []
    for (h, c), (weight_ih, weight_hh, bias), mask in zip(states, weights, masks):
        gates = weight_ih @ dropout_numpy(x, mask, p) + weight_hh @ h + bias
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        new_states.append((h, c))
        x = h
    return dropout_numpy(x, masks[-1], p), new_states


class RegularizedLSTM(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        num_layers: int = 2,
        p: float = 0.0,
        where: str = "non_recurrent",
    ):
        super().__init__()
        self.p = p
        self.where = where
        self.hidden_size = hidden_size
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.cells = nn.ModuleList(
            [nn.LSTMCell(hidden_size, hidden_size) for _ in range(num_layers)]
        )
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids: Tensor, state: list | None = None) -> tuple[Tensor, list]:
        if state is None:
            zeros = torch.zeros(len(ids), self.hidden_size)
            state = [(zeros, zeros) for _ in self.cells]
        p_between = self.p if self.where == "non_recurrent" else 0.0
        p_through = self.p if self.where == "recurrent" else 0.0
        logits = []
        for x in self.embed(ids).unbind(dim=1):
            new_state = []
            for cell, (h, c) in zip(self.cells, state):
                x = F.dropout(x, p_between, self.training)
                h = F.dropout(h, p_through, self.training)
                h, c = cell(x, (h, c))
                new_state.append((h, c))
                x = h
            state = new_state
            logits.append(self.head(F.dropout(x, p_between, self.training)))
        return torch.stack(logits, dim=1), state


def perplexity(model: nn.Module, ids: Tensor) -> float:
    model.eval()
    logits, _ = model(ids[None, :-1])
    return math.exp(F.cross_entropy(logits[0], ids[1:]).item())


def train_lm(
    model: nn.Module,
    ids: Tensor,
    *,
    steps: int = 200,
    batch: int = 16,
    seq_len: int = 20,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        starts = torch.randint(len(ids) - seq_len, (batch,), generator=generator)
        windows = torch.stack([ids[start : start + seq_len + 1] for start in starts])
        logits, _ = model(windows[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


class VariationalLSTM(nn.Module):
    def __init__(
        self, vocab_size: int, hidden_size: int, num_layers: int = 2, p: float = 0.0
    ):
        super().__init__()
        self.p = p
        self.hidden_size = hidden_size
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.cells = nn.ModuleList(
            [nn.LSTMCell(hidden_size, hidden_size) for _ in range(num_layers)]
        )
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids: Tensor, state: list | None = None) -> tuple[Tensor, list]:
        zeros = torch.zeros(len(ids), self.hidden_size)
        if state is None:
            state = [(zeros, zeros) for _ in self.cells]

        def mask():
            return F.dropout(torch.ones_like(zeros), self.p, self.training)

        x_masks = [mask() for _ in self.cells]
        h_masks = [mask() for _ in self.cells]
        top_mask = mask()
        logits = []
        for x in self.embed(ids).unbind(dim=1):
            new_state = []
            for cell, (h, c), x_mask, h_mask in zip(
                self.cells, state, x_masks, h_masks
            ):
                h, c = cell(x * x_mask, (h * h_mask, c))
                new_state.append((h, c))
                x = h
            state = new_state
            logits.append(self.head(x * top_mask))
        return torch.stack(logits, dim=1), state
