"""The Transformer of 2017 at toy size, as a book prints it."""

import math

import numpy as np
import torch
from torch import Tensor, nn

PAD, BOS, EOS = 0, 1, 2


def reverse_batch(
    batch: int,
    min_len: int,
    max_len: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw random sequences and their reversals: src (B, max_len), tgt_in and tgt_out
    (B, max_len + 1), all int64.

    With max_len = 4, the sequence 5 8 3 has src [5 8 3 PAD], tgt_in [BOS 3 8 5 PAD] and
    tgt_out [3 8 5 EOS PAD].
    """
    lengths = torch.randint(min_len, max_len + 1, (batch, 1), generator=generator)
    symbols = torch.randint(EOS + 1, vocab_size, (batch, max_len), generator=generator)
    places = torch.arange(max_len)
    src = symbols.where(places < lengths, PAD)
    # where each symbol of the reversal comes from; negative after its end
    back = lengths - 1 - places
    reverse = src.gather(1, back.clamp(min=0)).where(back >= 0, PAD)
    tgt_in = torch.cat([torch.full((batch, 1), BOS), reverse], dim=1)
    tgt_out = torch.cat([reverse, torch.full((batch, 1), PAD)], dim=1).scatter(
        1, lengths, EOS
    )
    return src, tgt_in, tgt_out


def sinusoids(length: int, d_model: int) -> Tensor:
    """Section 3.5: (length, d_model), sines in the even features, cosines in the odd
    ones; d_model is even.
    """
    rates = 10000 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class MultiHeadAttention(nn.Module):
    """Section 3.2.2. `weights` (B, H, Tq, Tk) holds the last call's attention weights,
    without their graph.
    """

    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (
            nn.Linear(d_model, d_model) for _ in range(4)
        )

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Queries (B, Tq, D), keys and values (B, Tk, D), mask broadcastable to
        (B, H, Tq, Tk) → (B, Tq, D).
        """
        projected = (self.W_q(q), self.W_k(k), self.W_v(v))
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in projected
        )
        scores = q @ k.mT / math.sqrt(q.size(-1))
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(dim=-1)
        self.weights = weights.detach()
        return self.W_o((weights @ v).transpose(1, 2).flatten(-2))


def attention_numpy(Q, K, V, mask=None):
    scores = Q @ K.swapaxes(-1, -2) / np.sqrt(Q.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights @ V, weights


def noam_lr(step: int, d_model: int, warmup: int) -> float:
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


def label_smoothed_loss(
    logits: Tensor, target: Tensor, eps: float = 0.1, pad_id: int | None = None
) -> Tensor:
    logp = logits.log_softmax(dim=-1)
    right = logp.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    losses = -(1 - eps) * right - eps * logp.mean(dim=-1)
    if pad_id is not None:
        losses = losses[target != pad_id]
    return losses.mean()


class EncoderLayer(nn.Module):
    def __init__(self, d_model: int, num_heads: int, d_ff: int, dropout: float = 0.0):
        super().__init__()
        self.self_attn = MultiHeadAttention(d_model, num_heads)
        self.ff = nn.Sequential(
            nn.Linear(d_model, d_ff), nn.ReLU(), nn.Linear(d_ff, d_model)
        )
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, src_mask: Tensor | None = None) -> Tensor:
        x = self.norm1(x + self.drop(self.self_attn(x, x, x, src_mask)))
        return self.norm2(x + self.drop(self.ff(x)))


class DecoderLayer(nn.Module):
    def __init__(self, d_model: int, num_heads: int, d_ff: int, dropout: float = 0.0):
        super().__init__()
        self.self_attn = MultiHeadAttention(d_model, num_heads)
        self.cross_attn = MultiHeadAttention(d_model, num_heads)
        self.ff = nn.Sequential(
            nn.Linear(d_model, d_ff), nn.ReLU(), nn.Linear(d_ff, d_model)
        )
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)
        self.drop = nn.Dropout(dropout)

    def forward(self, y, memory, tgt_mask=None, src_mask=None):
        y = self.norm1(y + self.drop(self.self_attn(y, y, y, tgt_mask)))
        y = self.norm2(y + self.drop(self.cross_attn(y, memory, memory, src_mask)))
        return self.norm3(y + self.drop(self.ff(y)))


class Transformer(nn.Module):
    def __init__(
        self,
        vocab_size,
        d_model=32,
        num_heads=4,
        num_layers=1,
        d_ff=64,
        dropout=0.0,
        max_len=64,
        pad_id=PAD,
    ):
        super().__init__()
        self.d_model, self.pad_id = d_model, pad_id
        self.embed = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.embed.weight, std=d_model**-0.5)
        self.encoder = nn.ModuleList(
            [EncoderLayer(d_model, num_heads, d_ff, dropout) for _ in range(num_layers)]
        )
        self.decoder = nn.ModuleList(
            [DecoderLayer(d_model, num_heads, d_ff, dropout) for _ in range(num_layers)]
        )
        self.drop = nn.Dropout(dropout)

    def read(self, ids: Tensor) -> Tensor:
        return self.drop(
            self.embed(ids) * math.sqrt(self.d_model)
            + sinusoids(ids.size(1), self.d_model)
        )

    def encode(self, src: Tensor) -> tuple[Tensor, Tensor]:
        src_mask = (src != self.pad_id)[:, None, None, :]
        x = self.read(src)
        for layer in self.encoder:
            x = layer(x, src_mask)
        return x, src_mask

    def decode(self, tgt: Tensor, memory: Tensor, src_mask: Tensor) -> Tensor:
        T = tgt.size(1)
        tgt_mask = (
            torch.ones(T, T, dtype=torch.bool).tril()
            & (tgt != self.pad_id)[:, None, None, :]
        )
        y = self.read(tgt)
        for layer in self.decoder:
            y = layer(y, memory, tgt_mask, src_mask)
        return y @ self.embed.weight.T

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        memory, src_mask = self.encode(src)
        return self.decode(tgt, memory, src_mask)


def greedy_decode(model: Transformer, src: Tensor, max_len: int) -> Tensor:
    model.eval()
    memory, src_mask = model.encode(src)
    tgt = torch.full((len(src), 1), BOS)
    done = torch.zeros(len(src), dtype=torch.bool)
    for _ in range(max_len):
        symbol = model.decode(tgt, memory, src_mask)[:, -1].argmax(dim=-1)
        symbol[done] = PAD
        done |= symbol == EOS
        tgt = torch.cat([tgt, symbol[:, None]], dim=1)
    return tgt[:, 1:]


def train_reverse(
    model: Transformer,
    *,
    steps: int = 400,
    batch: int = 64,
    min_len: int = 3,
    max_len: int = 6,
    vocab_size: int = 10,
    warmup: int = 60,
    lr_scale: float = 0.5,
    eps: float = 0.1,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9)
    losses = []
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = lr_scale * noam_lr(step, model.embed.embedding_dim, warmup)
        src, tgt_in, tgt_out = reverse_batch(
            batch, min_len, max_len, vocab_size, generator
        )
        loss = label_smoothed_loss(model(src, tgt_in), tgt_out, eps, PAD)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
