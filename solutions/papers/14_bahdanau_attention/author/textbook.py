"""The end of the bottleneck: additive attention, an encoder and a decoder with and
without it, and their training.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PAD, BOS = 0, 1


def reverse_batch(
    batch: int,
    min_len: int,
    max_len: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    lengths = torch.randint(min_len, max_len + 1, (batch,), generator=generator)
    symbols = torch.randint(BOS + 1, vocab_size, (batch, max_len), generator=generator)
    places = torch.arange(max_len)
    src = symbols.where(places < lengths[:, None], PAD)
    back = lengths[:, None] - 1 - places
    tgt_out = src.gather(1, back.clamp(min=0)).where(back >= 0, PAD)
    tgt_in = torch.cat([torch.full((batch, 1), BOS), tgt_out[:, :-1]], dim=1)
    return src, lengths, tgt_in, tgt_out


def additive_attention_numpy(
    query, keys, W_a, U_a, v_a, mask=None
) -> tuple[np.ndarray, np.ndarray]:
    scores = np.tanh(W_a @ query + keys @ U_a.T) @ v_a
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores)
    weights = weights / weights.sum()
    return weights @ keys, weights


class BahdanauAttention(nn.Module):
    def __init__(self, query_size: int, key_size: int, attn_size: int):
        super().__init__()
        self.W_a = nn.Linear(query_size, attn_size, bias=False)
        self.U_a = nn.Linear(key_size, attn_size, bias=False)
        self.v_a = nn.Linear(attn_size, 1, bias=False)

    def forward(
        self, query: Tensor, keys: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        scores = self.v_a(
            torch.tanh(self.W_a(query)[:, None] + self.U_a(keys))
        ).squeeze(-1)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        context = (weights[..., None] * keys).sum(dim=1)
        return context, weights


class Seq2Seq(nn.Module):
    def __init__(self, vocab_size: int, hidden_size: int, attention: bool = True):
        super().__init__()
        H = hidden_size
        self.embed = nn.Embedding(vocab_size, H)
        self.encoder = nn.GRU(H, H, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(H, H)
        self.attention = BahdanauAttention(H, 2 * H, H) if attention else None
        self.decoder = nn.GRUCell(3 * H, H)
        self.head = nn.Linear(3 * H, vocab_size)

    def forward(
        self, src: Tensor, lengths: Tensor, tgt_in: Tensor
    ) -> tuple[Tensor, Tensor]:
        packed = pack_padded_sequence(
            self.embed(src), lengths, batch_first=True, enforce_sorted=False
        )
        states, (forward, backward) = self.encoder(packed)
        states, _ = pad_packed_sequence(
            states, batch_first=True, total_length=src.shape[1]
        )
        s = torch.tanh(self.bridge(backward))
        context = torch.cat([forward, backward], dim=1)
        weights = torch.zeros(src.shape)
        logits, alignment = [], []
        for y in self.embed(tgt_in).unbind(dim=1):
            if self.attention is not None:
                context, weights = self.attention(s, states, src != PAD)
            s = self.decoder(torch.cat([y, context], dim=1), s)
            logits.append(self.head(torch.cat([s, context], dim=1)))
            alignment.append(weights)
        return torch.stack(logits, dim=1), torch.stack(alignment, dim=1)


def greedy_translate(
    model: Seq2Seq, src: Tensor, lengths: Tensor, max_len: int
) -> Tensor:
    model.eval()
    ids = torch.full((len(src), 1), BOS)
    for _ in range(max_len):
        logits, _ = model(src, lengths, ids)
        ids = torch.cat([ids, logits[:, -1:].argmax(dim=-1)], dim=1)
    return ids[:, 1:]


def alignment_mass(weights: Tensor, centre: Tensor, width: int = 1) -> float:
    places = torch.arange(weights.shape[2])
    near = (places - centre[:, None]).abs() <= width
    return (weights * near).sum(dim=2).mean().item()


def train_seq2seq(
    model: nn.Module,
    *,
    steps: int = 200,
    batch: int = 64,
    min_len: int = 4,
    max_len: int = 10,
    vocab_size: int = 12,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        src, lengths, tgt_in, tgt_out = reverse_batch(
            batch, min_len, max_len, vocab_size, generator
        )
        logits, _ = model(src, lengths, tgt_in)
        loss = F.cross_entropy(
            logits.flatten(0, 1), tgt_out.flatten(), ignore_index=PAD
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
