"""Additive attention: a decoder that looks back at every state of the encoder and reads
a weighted sum of them.

Sizes: B batch elements, T queries (decoder steps), S keys (source positions), V symbols
in the vocabulary.
The query is what the decoder asks with, the keys are what it is compared to, the values
are what is summed.
Masks are boolean, and True means "is real" or "may be looked at".
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PAD = 0  # fills up short sequences
BOS = 1  # what the decoder is fed before it has written anything
FIRST_SYMBOL = 2  # 2 … V − 1 are the symbols of the task


def make_reversal_batch(
    batch_size: int,
    length: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Random sequences to be written backwards. (Given.)

    Returns:
        src (B, L): random symbols 2 … V − 1.
        tgt_in (B, L): what the decoder is fed: BOS, then the reversed source without
        its last symbol.
        tgt_out (B, L): what it should answer: the reversed source.
        With src = [5 2 7], tgt_in is [1 7 2] and tgt_out is [7 2 5].
    """
    src = torch.randint(
        FIRST_SYMBOL, vocab_size, (batch_size, length), generator=generator
    )
    tgt_out = src.flip(1)
    tgt_in = torch.cat([torch.full((batch_size, 1), BOS), tgt_out[:, :-1]], dim=1)
    return src, tgt_in, tgt_out


def masked_softmax(scores: Tensor, mask: Tensor | None = None, dim: int = -1) -> Tensor:
    """A softmax in which only the allowed positions take part."""
    if mask is None:
        return scores.softmax(dim)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim).masked_fill(~mask, 0)


def attend(
    scores: Tensor, values: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Scores and values → context and weights."""
    if mask is not None and mask.ndim == 2:
        mask = mask.unsqueeze(1)
    weights = masked_softmax(scores, mask)
    return weights @ values, weights


class AdditiveAttention(nn.Module):
    """score(q, k) = v · tanh(W_q q + W_k k)"""

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__()
        self.W_q = nn.Linear(query_dim, hidden_dim, bias=False)
        self.W_k = nn.Linear(key_dim, hidden_dim, bias=False)
        self.v = nn.Linear(hidden_dim, 1, bias=False)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """The scores of all pairs, (B, T, S)."""
        q = self.W_q(query).unsqueeze(2)
        k = self.W_k(keys).unsqueeze(1)
        return self.v(torch.tanh(q + k)).squeeze(-1)

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        if values is None:
            values = keys
        if query.ndim == 2:
            context, weights = self(query.unsqueeze(1), keys, values, mask)
            return context.squeeze(1), weights.squeeze(1)
        return attend(self.score(query, keys), values, mask)


class Seq2Seq(nn.Module):
    """An encoder, a decoder, and attention between them."""

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        hidden_size: int,
        use_attention: bool = True,
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.encoder = nn.GRU(embed_dim, hidden_size, batch_first=True)
        self.decoder = nn.GRU(embed_dim, hidden_size, batch_first=True)
        self.attention = (
            AdditiveAttention(hidden_size, hidden_size, hidden_size)
            if use_attention
            else None
        )
        self.head = nn.Linear(
            2 * hidden_size if use_attention else hidden_size, vocab_size
        )

    def forward(
        self, src: Tensor, tgt_in: Tensor, src_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        encoded, last = self.encoder(self.embedding(src))
        if src_mask is not None:
            lengths = src_mask.sum(dim=1)
            last = encoded[torch.arange(len(src)), lengths - 1].unsqueeze(0)
        decoded, _ = self.decoder(self.embedding(tgt_in), last)
        if self.attention is None:
            return self.head(decoded), None
        context, weights = self.attention(decoded, encoded, mask=src_mask)
        return self.head(torch.cat([context, decoded], dim=-1)), weights


@torch.no_grad()
def greedy_decode(
    model: Seq2Seq, src: Tensor, max_len: int, src_mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Feed BOS, then at each step the symbol found most likely."""
    model.eval()
    tokens = torch.full((len(src), 1), BOS, device=src.device)
    for _ in range(max_len):
        logits, weights = model(src, tokens, src_mask)
        tokens = torch.cat([tokens, logits[:, -1:].argmax(dim=-1)], dim=1)
    return tokens[:, 1:], weights


def train_seq2seq(
    model: Seq2Seq,
    steps: int,
    batch_size: int = 64,
    length: int = 8,
    lr: float = 5e-3,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train the model to write sequences backwards, with teacher forcing."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        src, tgt_in, tgt_out = make_reversal_batch(
            batch_size, length, model.embedding.num_embeddings, generator
        )
        logits, _ = model(src, tgt_in)
        loss = F.cross_entropy(logits.flatten(0, 1), tgt_out.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def compare_seq2seq(
    lengths: Sequence[int],
    steps: int = 200,
    hidden_size: int = 32,
    vocab_size: int = 12,
    seed: int = 0,
) -> dict[int, dict[str, dict[str, float]]]:
    """Reversing with and without attention, fairly."""
    results = {}
    for length in lengths:
        results[length] = {}
        for name, use_attention in {"plain": False, "attention": True}.items():
            torch.manual_seed(seed)
            model = Seq2Seq(vocab_size, 16, hidden_size, use_attention)
            train_generator = torch.Generator().manual_seed(seed)
            losses = train_seq2seq(
                model, steps, length=length, generator=train_generator
            )
            test_generator = torch.Generator().manual_seed(seed + 1)
            src, _, tgt_out = make_reversal_batch(
                200, length, vocab_size, test_generator
            )
            tokens, _ = greedy_decode(model, src, length)
            accuracy = (tokens == tgt_out).float().mean().item()
            results[length][name] = {"loss": losses[-1], "accuracy": accuracy}
    return results
