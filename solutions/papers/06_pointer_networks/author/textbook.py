"""A pointer network that sorts: attention scores as the output, teacher forcing, and
the targets of a second task.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def sort_batch(
    batch: int, min_len: int, max_len: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    lengths = torch.randint(min_len, max_len + 1, (batch,), generator=generator)
    real = torch.arange(max_len) < lengths[:, None]
    numbers = torch.rand(batch, max_len, generator=generator)
    order = numbers.masked_fill(~real, 2.0).argsort(dim=1)
    return (numbers * real)[..., None], lengths, order.masked_fill(~real, -100)


def pointer_scores_numpy(enc, dec, W1, W2, v) -> np.ndarray:
    return np.tanh(enc @ W1.T + W2 @ dec) @ v


def convex_hull(points: Tensor) -> Tensor:
    xy = points.tolist()

    def turn(a, b, c):
        (ax, ay), (bx, by), (cx, cy) = xy[a], xy[b], xy[c]
        return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)

    def half(order):
        chain = []
        for i in order:
            while len(chain) >= 2 and turn(chain[-2], chain[-1], i) <= 0:
                chain.pop()
            chain.append(i)
        return chain[:-1]

    order = sorted(range(len(xy)), key=lambda i: xy[i])
    return torch.tensor(half(order) + half(order[::-1]))


class PointerAttention(nn.Module):
    def __init__(self, hidden_size: int):
        super().__init__()
        self.W1 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.W2 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, enc: Tensor, dec: Tensor, mask: Tensor | None = None) -> Tensor:
        scores = self.v(torch.tanh(self.W1(enc) + self.W2(dec)[:, None])).squeeze(-1)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores


class PointerNet(nn.Module):
    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.embed = nn.Linear(input_size, hidden_size)
        self.encoder = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.decoder = nn.LSTMCell(hidden_size, hidden_size)
        self.attention = PointerAttention(hidden_size)
        self.start = nn.Parameter(torch.zeros(hidden_size))

    def forward(
        self, x: Tensor, lengths: Tensor, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        B, T, _ = x.shape
        valid = torch.arange(T) < lengths[:, None]
        embedded = self.embed(x)
        packed = pack_padded_sequence(
            embedded, lengths, batch_first=True, enforce_sorted=False
        )
        encoded, (h, c) = self.encoder(packed)
        encoded, _ = pad_packed_sequence(encoded, batch_first=True)
        h, c = h[0], c[0]
        x_t = self.start.expand(B, -1)
        used = torch.zeros(B, T, dtype=torch.bool)
        logits, picks = [], []
        for t in range(T):
            h, c = self.decoder(x_t, (h, c))
            active = valid[:, t]
            scores = self.attention(encoded, h, valid & ~used)
            scores = scores.masked_fill(~active[:, None], 0)
            pick = scores.argmax(dim=1)
            choice = pick if targets is None else targets[:, t].clamp(min=0)
            used = used | F.one_hot(choice, T).bool()
            x_t = embedded[torch.arange(B), choice]
            logits.append(scores)
            picks.append(pick.masked_fill(~active, -100))
        return torch.stack(logits, dim=1), torch.stack(picks, dim=1)


def pointer_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


def exact_match(picks: Tensor, targets: Tensor) -> float:
    right = (picks == targets) | (targets == -100)
    return right.all(dim=1).float().mean().item()


def train_pointer(
    model: PointerNet,
    *,
    steps: int = 300,
    batch: int = 64,
    min_len: int = 3,
    max_len: int = 6,
    lr: float = 0.005,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        x, lengths, targets = sort_batch(batch, min_len, max_len, generator)
        logits, _ = model(x, lengths, targets)
        loss = pointer_loss(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
