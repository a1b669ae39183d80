"""A character RNN from nothing: a vocabulary, one recurrence, training on a stream of
chunks, and sampling.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEXT = (
    "the wheel turns and the wind returns; a small bird sings, the bell rings, "
    "and the long day ends where the long night begins. "
)


def build_vocab(text: str) -> tuple[dict[str, int], list[str]]:
    itos = sorted(set(text))
    stoi = {character: i for i, character in enumerate(itos)}
    return stoi, itos


def rnn_forward_numpy(
    ids, h0, W_xh, W_hh, W_hy, b_h, b_y
) -> tuple[np.ndarray, np.ndarray]:
    h = h0
    states, logits = [], []
    for x in ids:
        h = np.tanh(W_xh[:, x] + W_hh @ h + b_h)
        states.append(h)
        logits.append(W_hy @ h + b_y)
    return np.stack(states), np.stack(logits)


class CharRNN(nn.Module):
    def __init__(self, vocab_size: int, hidden_size: int):
        super().__init__()
        bound = 1 / math.sqrt(hidden_size)
        self.hidden_size = hidden_size
        self.W_xh = nn.Parameter(
            torch.empty(hidden_size, vocab_size).uniform_(-bound, bound)
        )
        self.W_hh = nn.Parameter(
            torch.empty(hidden_size, hidden_size).uniform_(-bound, bound)
        )
        self.W_hy = nn.Parameter(
            torch.empty(vocab_size, hidden_size).uniform_(-bound, bound)
        )
        self.b_h = nn.Parameter(torch.zeros(hidden_size))
        self.b_y = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, ids: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if h is None:
            h = torch.zeros(len(ids), self.hidden_size)
        logits = []
        for x in ids.T:
            h = torch.tanh(self.W_xh.T[x] + h @ self.W_hh.T + self.b_h)
            logits.append(h @ self.W_hy.T + self.b_y)
        return torch.stack(logits, dim=1), h


def chunks(ids: Tensor, seq_len: int) -> list[tuple[Tensor, Tensor]]:
    starts = range(0, len(ids) - seq_len, seq_len)
    return [(ids[p : p + seq_len], ids[p + 1 : p + seq_len + 1]) for p in starts]


def train_char_rnn(
    model: CharRNN,
    ids: Tensor,
    *,
    steps: int = 300,
    seq_len: int = 25,
    lr: float = 0.01,
    max_norm: float = 5.0,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    stream = chunks(ids, seq_len)
    losses = []
    for step in range(steps):
        place = step % len(stream)
        if place == 0:
            h = None
        inputs, targets = stream[place]
        logits, h = model(inputs[None], h)
        h = h.detach()
        loss = F.cross_entropy(logits[0], targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def sample(
    model: CharRNN,
    prompt: Tensor,
    n: int,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    new = []
    ids, h = prompt, None
    for _ in range(n):
        logits, h = model(ids[None], h)
        last = logits[0, -1]
        if temperature == 0:
            ids = last.argmax(keepdim=True)
        else:
            ids = torch.multinomial(
                F.softmax(last / temperature, dim=-1), 1, generator=generator
            )
        new.append(ids)
    return torch.cat(new)


def rnn_backward_numpy(
    ids, targets, h0, hidden, logits, W_hh, W_hy
) -> dict[str, np.ndarray]:
    T, V = logits.shape
    H = len(h0)
    dW_xh, dW_hh, dW_hy = np.zeros((H, V)), np.zeros((H, H)), np.zeros((V, H))
    db_h, db_y = np.zeros(H), np.zeros(V)
    da = np.zeros(H)
    for t in reversed(range(T)):
        dlogits = np.exp(logits[t]) / np.exp(logits[t]).sum()
        dlogits[targets[t]] -= 1
        dlogits = dlogits / T
        dW_hy += np.outer(dlogits, hidden[t])
        db_y += dlogits
        dh = W_hy.T @ dlogits + W_hh.T @ da
        da = (1 - hidden[t] ** 2) * dh
        dW_xh[:, ids[t]] += da
        dW_hh += np.outer(da, hidden[t - 1] if t > 0 else h0)
        db_h += da
    return {"W_xh": dW_xh, "W_hh": dW_hh, "W_hy": dW_hy, "b_h": db_h, "b_y": db_y}
