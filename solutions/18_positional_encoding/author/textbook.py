"""Four ways to tell attention the order: a sinusoidal table, a learned one, rotated
pairs, a penalty on distance.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.loading import prerequisite

TransformerEncoder = prerequisite("17_transformer_blocks").TransformerEncoder

# The order task: does MARK_A come before MARK_B? Everything from FIRST_FILLER on
# means nothing.
MARK_A, MARK_B, FIRST_FILLER = 1, 2, 3
KINDS = ("none", "sinusoidal", "learned")


def make_order_task(
    num_sequences: int,
    length: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Sequences to classify by the order of two marks. Given: nothing to write here.

    Args:
        num_sequences: N.
        length: L, at least 2.
        vocab_size: tokens FIRST_FILLER … vocab_size − 1 are fillers without a meaning.
        generator: where every draw comes from; None = the global one.
    Returns:
        (ids, labels). ids (N, L) int64: MARK_A once and MARK_B once, at two random
        places, and fillers elsewhere. labels (N,) int64: 1 if MARK_A comes before
        MARK_B, else 0.
    """
    ids = torch.randint(
        FIRST_FILLER, vocab_size, (num_sequences, length), generator=generator
    )
    places = torch.rand(num_sequences, length, generator=generator).argsort(dim=1)
    place_a, place_b = places[:, 0], places[:, 1]
    rows = torch.arange(num_sequences)
    ids[rows, place_a] = MARK_A
    ids[rows, place_b] = MARK_B
    return ids, (place_a < place_b).long()


def permutation_gap(
    fn: Callable[[Tensor], Tensor], x: Tensor, permutation: Tensor
) -> float:
    """Say how much it matters to a function in which order the positions come."""
    with torch.no_grad():
        return (fn(x)[:, permutation] - fn(x[:, permutation])).abs().max().item()


def sinusoidal_encoding(
    max_len: int,
    d_model: int,
    base: float = 10000.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Write each position as sines and cosines of slower and slower waves."""
    position = torch.arange(max_len)[:, None]
    angle = position / base ** (torch.arange(0, d_model, 2) / d_model)
    table = torch.zeros(max_len, d_model, dtype=dtype)
    table[:, 0::2] = torch.sin(angle)
    table[:, 1::2] = torch.cos(angle[:, : d_model // 2])
    return table


class SinusoidalPositionalEncoding(nn.Module):
    """The sinusoidal table as a layer: added to the features, or put beside them."""

    def __init__(
        self, d_model: int, max_len: int = 5000, dropout: float = 0.0, mode: str = "add"
    ):
        super().__init__()
        self.mode = mode
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("pe", sinusoidal_encoding(max_len, d_model)[None])

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        pe = self.pe[:, offset : offset + x.shape[1]]
        if self.mode == "add":
            return self.dropout(x + pe)
        return self.dropout(torch.cat([x, pe.expand(x.shape[0], -1, -1)], dim=-1))


class LearnedPositionalEmbedding(nn.Module):
    """A table of positions that is learned like any other weight."""

    def __init__(self, max_len: int, d_model: int):
        super().__init__()
        self.embedding = nn.Embedding(max_len, d_model)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        positions = torch.arange(offset, offset + x.shape[1], device=x.device)
        return x + self.embedding(positions)


def apply_rope(
    x: Tensor, positions: Tensor | None = None, base: float = 10000.0
) -> Tensor:
    """Turn queries or keys by angles that grow with their position (rotary
    position embedding).
    """
    T, D = x.shape[-2:]
    if positions is None:
        positions = torch.arange(T, device=x.device)
    # (T, D / 2)
    angle = positions[:, None] / base ** (torch.arange(0, D, 2, device=x.device) / D)
    cos, sin = angle.cos(), angle.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


def alibi_slopes(num_heads: int) -> Tensor:
    """Give every head its own penalty for distance."""

    def slopes(n):
        return [2 ** (-8 * h / n) for h in range(1, n + 1)]

    power = 2 ** int(math.log2(num_heads))
    return torch.tensor(slopes(power) + slopes(2 * power)[0::2][: num_heads - power])


def alibi_bias(num_heads: int, query_len: int, key_len: int | None = None) -> Tensor:
    """Write the penalty that each head puts on looking far away, to be added to the
    scores before the softmax.
    """
    if key_len is None:
        key_len = query_len
    i = torch.arange(key_len - query_len, key_len)[:, None]
    j = torch.arange(key_len)
    return -alibi_slopes(num_heads)[:, None, None] * (i - j).abs()


class OrderClassifier(nn.Module):
    """A transformer that says in which order two marks come. Given: nothing to
    write here.

    Args:
        vocab_size: how many token ids there are.
        kind: what tells it the positions: "none", "sinusoidal" or "learned".
        max_len: of the table of positions.
        d_model, num_heads, num_layers: of the encoder, which is pre-norm and has
            no dropout.

    forward(ids): (B, T) int64 → logits (B, 2): embedding, positions, encoder, mean over
    the positions, linear head.
    """

    def __init__(
        self,
        vocab_size: int,
        kind: str,
        max_len: int,
        d_model: int = 32,
        num_heads: int = 4,
        num_layers: int = 2,
    ):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"there is no kind {kind!r}, only {', '.join(KINDS)}")
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.positions = nn.Identity()
        if kind == "sinusoidal":
            self.positions = SinusoidalPositionalEncoding(d_model, max_len)
        if kind == "learned":
            self.positions = LearnedPositionalEmbedding(max_len, d_model)
        self.encoder = TransformerEncoder(
            num_layers, d_model, num_heads, dropout=0.0, norm_first=True
        )
        self.head = nn.Linear(d_model, 2)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.encoder(self.positions(self.embedding(ids)))
        return self.head(hidden.mean(dim=1))


def _accuracy(model, length, generator):
    ids, labels = make_order_task(500, length, 12, generator)
    model.eval()
    with torch.no_grad():
        return (model(ids).argmax(dim=1) == labels).float().mean().item()


def compare_position_encodings(
    kinds: Sequence[str] = ("none", "sinusoidal", "learned"),
    length: int = 10,
    steps: int = 150,
    seed: int = 0,
    test_length: int | None = None,
) -> dict[str, dict[str, object]]:
    """Train the same classifier with different positions on the order task, and say how
    well each does.
    """
    if test_length is None:
        test_length = length
    results = {}
    for kind in kinds:
        torch.manual_seed(seed)
        model = OrderClassifier(12, kind, max_len=max(length, test_length))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        generator = torch.Generator().manual_seed(seed)
        losses = []
        model.train()
        for _ in range(steps):
            ids, labels = make_order_task(64, length, 12, generator)
            loss = F.cross_entropy(model(ids), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        fresh = torch.Generator().manual_seed(seed + 1)
        results[kind] = {
            "losses": losses,
            "accuracy": _accuracy(model, length, fresh),
            "test_length_accuracy": _accuracy(model, test_length, fresh),
        }
    return results
