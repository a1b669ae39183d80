"""Four ways to tell attention the order: a sinusoidal table, a learned one, rotated pairs, a penalty on distance."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from grader.loading import prerequisite

TransformerEncoder = prerequisite("17_transformer_blocks").TransformerEncoder

# The order task: does MARK_A come before MARK_B? Everything from FIRST_FILLER on means nothing.
MARK_A, MARK_B, FIRST_FILLER = 1, 2, 3
KINDS = ("none", "sinusoidal", "learned")


def make_order_task(
    num_sequences: int, length: int, vocab_size: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Sequences to classify by the order of two marks. Given: nothing to write here.

    Args:
        num_sequences: N.
        length: L, at least 2.
        vocab_size: tokens FIRST_FILLER … vocab_size − 1 are fillers without a meaning.
        generator: where every draw comes from; None = the global one.
    Returns:
        (ids, labels). ids (N, L) int64: MARK_A once and MARK_B once, at two random places, and fillers elsewhere.
        labels (N,) int64: 1 if MARK_A comes before MARK_B, else 0.
    """
    ids = torch.randint(FIRST_FILLER, vocab_size, (num_sequences, length), generator=generator)
    places = torch.rand(num_sequences, length, generator=generator).argsort(dim=1)
    place_a, place_b = places[:, 0], places[:, 1]
    rows = torch.arange(num_sequences)
    ids[rows, place_a] = MARK_A
    ids[rows, place_b] = MARK_B
    return ids, (place_a < place_b).long()


def permutation_gap(fn: Callable[[Tensor], Tensor], x: Tensor, permutation: Tensor) -> float:
    """Say how much it matters to a function in which order the positions come.

    Args:
        fn: takes (B, T, C) and gives a tensor of the same B and T.
        x: (B, T, C).
        permutation: (T,) int64, the numbers 0 … T − 1 in any order; p below.
    Returns:
        max |fn(x)[:, p] − fn(x[:, p])| as a Python float: position t of the permuted input holds what was at position
        p[t]. It is about 0 for a function that treats the positions as a set, such as a linear layer or an encoder
        block without positions, and large where fn knows the positions.
    Raises:
        ValueError: permutation is not a reordering of 0 … T − 1: too short, too long, a number twice or negative.

    fn runs without building a graph. x is not written to.
    """
    raise NotImplementedError


def sinusoidal_encoding(
    max_len: int, d_model: int, base: float = 10000.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Write each position as sines and cosines of slower and slower waves.

    Args:
        max_len: how many positions, 0 … max_len − 1.
        d_model: how many columns.
        base: how slow the waves get.
        dtype: of the result.
    Returns:
        (max_len, d_model). With the angle a = pos / base^(2i / d_model), column 2i holds sin(a) and column 2i + 1
        holds cos(a) of the same angle. If d_model is odd, the last column is a sine without its cosine.
    Raises:
        ValueError: max_len or d_model is below 1; the message names that argument.

    With d_model=2 the rows are [sin 0, cos 0], [sin 1, cos 1], [sin 2, cos 2], …
    The angles are computed in at least float32 whatever dtype is, each from its own position: below position 20 the
    result is right to 1e-5, at position 4999 to 2e-3, and then rounded to dtype.

    Source: "Attention Is All You Need", section 3.5.
    """
    raise NotImplementedError


class SinusoidalPositionalEncoding(nn.Module):
    """The sinusoidal table as a layer: added to the features, or put beside them.

    Args:
        d_model: columns of the table.
        max_len: rows of the table.
        dropout: probability of dropping a value of the result in training mode.
        mode: "add" or "concat".

    There are no parameters. `pe` is a registered buffer, (1, max_len, d_model), float32 at the start: the table that
    `sinusoidal_encoding` gives. It moves with `.to()` and never changes otherwise.

    forward(x, offset): x (B, T, C); position t of x is position offset + t of the table, so that a sequence can be
    handed over in pieces.
        "add": x plus rows offset … offset + T − 1 of the table, (B, T, C). C must be d_model.
        "concat": the features of x, unchanged, then the d_model columns of those rows, (B, T, C + d_model). C is free.
    Dropout acts on the whole result, in training mode only. The result has the dtype of x, whatever that of the table
    is. x is not written to.

    Raises:
        ValueError: on creation, if mode is anything else; in forward, if offset is negative, offset + T is above
            max_len, or C is not d_model in mode "add".

    Source: "Attention Is All You Need", sections 3.5 and 5.4.
    """

    def __init__(self, d_model: int, max_len: int = 5000, dropout: float = 0.0, mode: str = "add"):
        raise NotImplementedError

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        raise NotImplementedError


class LearnedPositionalEmbedding(nn.Module):
    """A table of positions that is learned like any other weight.

    Args:
        max_len: rows of the table: there is no position beyond.
        d_model: columns of the table.

    `embedding` is an `nn.Embedding(max_len, d_model)`, drawn from a normal distribution with mean 0 and standard
    deviation 0.02, and holds all the parameters there are.

    forward(x, offset): x (B, T, d_model), of the dtype of the table → the same shape and dtype: rows
    offset … offset + T − 1 of the table added to every sequence. Only the rows used get gradients: those of the others
    are zero. x is not written to.

    Raises:
        ValueError: in forward, if offset is negative, offset + T is above max_len, or x is not d_model wide.

    Source: "Convolutional Sequence to Sequence Learning", section 3.1; GPT-2 for the 0.02.
    """

    def __init__(self, max_len: int, d_model: int):
        raise NotImplementedError

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        raise NotImplementedError


def apply_rope(x: Tensor, positions: Tensor | None = None, base: float = 10000.0) -> Tensor:
    """Turn queries or keys by angles that grow with their position (rotary position embedding).

    Args:
        x: (..., T, D) with any leading dimensions, such as (B, H, T, D). D is even.
        positions: (T,) integers in any order, repeats allowed; None = 0 … T − 1.
        base: as in `sinusoidal_encoding`.
    Returns:
        The shape and dtype of x. At position p each neighbouring pair (a, b) = (x[…, 2i], x[…, 2i + 1]) is turned by
        the angle p / base^(2i / D): (a cos − b sin, a sin + b cos) stands in its place.
    Raises:
        ValueError: D is odd, or positions are not of shape (T,).

    Lengths stay as they are, and the product of a turned query with a turned key depends on their distance only.
    The angles are computed in at least float32 whatever the dtype of x: at position 3000 the result is right to 2e-3
    in float32, 2e-2 in float16 and 5e-2 in bfloat16, for values around 1. Gradients flow; x is not written to.

    Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding", section 3.2.2.
    """
    raise NotImplementedError


def alibi_slopes(num_heads: int) -> Tensor:
    """Give every head its own penalty for distance.

    Args:
        num_heads: H.
    Returns:
        (H,) float32. If H is a power of two: 2^(−8h / H) for h = 1 … H. Otherwise, with P the largest power of two
        below H: the P slopes for P heads, followed by the 1st, 3rd, 5th … slope for 2P heads until there are H.
    Raises:
        ValueError: num_heads is below 1; the message contains "num_heads".

    For H = 4 these are 1/4, 1/16, 1/64, 1/256, and for H = 6 the same with 1/2 and 1/8 behind them.

    Source: "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation", section 3, and
    the authors' code for numbers of heads that are not powers of two.
    """
    raise NotImplementedError


def alibi_bias(num_heads: int, query_len: int, key_len: int | None = None) -> Tensor:
    """Write the penalty that each head puts on looking far away, to be added to the scores before the softmax.

    Args:
        num_heads: H.
        query_len: T.
        key_len: S; None = as many as queries.
    Returns:
        (H, T, S) float32: −slope_h · |i − j| for key j and a query at position i among the keys, with the slopes of
        `alibi_slopes`. With fewer queries than keys the queries are the last T of the S positions, as with a causal
        mask: query t stands at position S − T + t.
    Raises:
        ValueError: key_len is below query_len.

    For a head of slope 1/4 and T = S = 3 the rows are 0, −1/4, −1/2; −1/4, 0, −1/4; −1/2, −1/4, 0.
    """
    raise NotImplementedError


class OrderClassifier(nn.Module):
    """A transformer that says in which order two marks come. Given: nothing to write here.

    Args:
        vocab_size: how many token ids there are.
        kind: what tells it the positions: "none", "sinusoidal" or "learned".
        max_len: of the table of positions.
        d_model, num_heads, num_layers: of the encoder, which is pre-norm and has no dropout.

    forward(ids): (B, T) int64 → logits (B, 2): embedding, positions, encoder, mean over the positions, linear head.
    """

    def __init__(
        self, vocab_size: int, kind: str, max_len: int, d_model: int = 32, num_heads: int = 4, num_layers: int = 2
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
        self.encoder = TransformerEncoder(num_layers, d_model, num_heads, dropout=0.0, norm_first=True)
        self.head = nn.Linear(d_model, 2)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.encoder(self.positions(self.embedding(ids)))
        return self.head(hidden.mean(dim=1))


def compare_position_encodings(
    kinds: Sequence[str] = ("none", "sinusoidal", "learned"),
    length: int = 10,
    steps: int = 150,
    seed: int = 0,
    test_length: int | None = None,
) -> dict[str, dict[str, object]]:
    """Train the same classifier with different positions on the order task, and say how well each does.

    Args:
        kinds: what to compare, of "none", "sinusoidal" and "learned".
        length: of the training sequences.
        steps: how many updates; with 0 the models are only measured.
        seed: of the weights and of the batches.
        test_length: another length to measure at; None = `length`.
    Returns:
        For each kind, in the order of `kinds`, a dict with
        "losses": a list with the cross-entropy of each step's batch as a float, taken before that step's update;
        "accuracy": the share (0 … 1, a float) that the trained model gets right of 500 fresh sequences of `length`;
        "test_length_accuracy": the same for 500 fresh sequences of `test_length`.
    Raises:
        ValueError: a kind is unknown; the message names it. Nothing has been trained then.

    For each kind: `torch.manual_seed(seed)`, then `OrderClassifier(12, kind, max_len=m)` with m the larger of the two
    lengths. It is trained in training mode by `torch.optim.AdamW` with lr=3e-3 and otherwise its defaults. Each step
    draws a new batch of 64 with `make_order_task` and a vocabulary of 12, from a generator that is seeded with seed for
    each kind anew: every kind sees the same batches. The accuracies are measured in eval mode, without a graph, on
    sequences from another seed, and these too are the same for every kind.
    """
    raise NotImplementedError
