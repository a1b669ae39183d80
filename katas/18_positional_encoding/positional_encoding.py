"""Four ways to add order to attention: a sinusoidal table, a learned table, rotated
pairs, a penalty on distance.
"""

from collections.abc import Callable, Sequence

import torch
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
    """Make sequences to classify by the order of two marks. Given: nothing to
    write here.

    Args:
        num_sequences: N.
        length: L, at least 2.
        vocab_size: tokens FIRST_FILLER … vocab_size − 1 are fillers without a meaning.
        generator: source of every draw; None = the global one.
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
    """Measure how much the order of the positions matters to a function.

    Args:
        fn: takes (B, T, C) and gives a tensor of the same B and T.
        x: (B, T, C).
        permutation: p, (T,) int64, the numbers 0 … T − 1 in any order.
    Returns:
        max |fn(x)[:, p] − fn(x[:, p])| as a Python float, computed without a graph. It
        is about 0 for a linear layer or an encoder block without positions, and large
        where fn knows the positions.

    Edge cases ★
        A permutation that is not a reordering of 0 … T − 1 is an error: too short, a
        number twice or negative.
    """
    raise NotImplementedError


def sinusoidal_encoding(
    max_len: int,
    d_model: int,
    base: float = 10000.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Write each position as sines and cosines of slower and slower waves.

    Args:
        max_len: how many positions, 0 … max_len − 1.
        d_model: how many columns.
        base: how slow the waves get.
        dtype: of the result.
    Returns:
        (max_len, d_model). With a = pos / base^(2i / d_model), column 2i is sin(a),
        column 2i + 1 is cos(a). With d_model=2 the rows are [sin 0, cos 0], [sin 1, cos
        1], … Values are right to 1e-5 at small positions and to 2e-3 at position 4999.

    Source: "Attention Is All You Need", section 3.5.

    Edge cases ★
        An odd d_model ends in a sine without its cosine. max_len or d_model below 1 is
        an error. Another dtype gets the same accuracy before rounding to it.
    """
    raise NotImplementedError


class SinusoidalPositionalEncoding(nn.Module):
    """The sinusoidal table as a layer: added to the features, or appended to them.

    Args:
        d_model: columns of the table.
        max_len: rows of the table.
        dropout: probability of dropping a value of the result in training mode.
        mode: "add" or "concat".

    `pe` is a registered buffer (1, max_len, d_model), the table of
    `sinusoidal_encoding`. There are no parameters. forward(x, offset): x (B, T, C);
    position t of x is row offset + t of the table.
        "add": x plus the rows, (B, T, C), where C = d_model.
        "concat": the features of x, then the d_model columns of the rows, (B, T,
        C + d_model). C is free.
    Dropout acts on the whole result.

    Edge cases ★
        The result has the dtype of x; x and the table are not written to. `pe` is
        float32 and moves with `.to()`. Errors: an unknown mode, a negative offset,
        offset + T above max_len, C other than d_model in "add".
    """

    def __init__(
        self, d_model: int, max_len: int = 5000, dropout: float = 0.0, mode: str = "add"
    ):
        raise NotImplementedError

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        raise NotImplementedError


class LearnedPositionalEmbedding(nn.Module):
    """A table of positions that is learned like any other weight.

    Args:
        max_len: rows of the table.
        d_model: columns of the table.

    `embedding` is an `nn.Embedding(max_len, d_model)`, drawn from a normal distribution
    with standard deviation 0.02. There are no other parameters.
    forward(x, offset): x (B, T, d_model) → x plus rows offset … offset + T − 1 of the
    table. Only these rows get gradients.

    Edge cases ★
        x is not written to. The result has the dtype and device of the module and of x.
        Errors: a negative offset, offset + T above max_len, an x that is not
        d_model wide.
    """

    def __init__(self, max_len: int, d_model: int):
        raise NotImplementedError

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        raise NotImplementedError


def apply_rope(
    x: Tensor, positions: Tensor | None = None, base: float = 10000.0
) -> Tensor:
    """Turn queries or keys by angles that grow with their position (rotary
    position embedding).

    Args:
        x: (..., T, D) with any leading dimensions, such as (B, H, T, D). D is even.
        positions: (T,) integers in any order, repeats allowed; None = 0 … T − 1.
        base: as in `sinusoidal_encoding`.
    Returns:
        The shape of x. At position p each neighbouring pair (a, b) =
        (x[…, 2i], x[…, 2i + 1]) is turned by the angle p / base^(2i / D) and becomes (a
        cos − b sin, a sin + b cos).

    Lengths stay as they are, and the score of a turned query and key depends on their
    distance only.
    Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding",
    section 3.2.2.

    Edge cases ★
        Compute angles in at least float32: at position 3000 the result is right to
        2e-3, in float16 to 2e-2, in bfloat16 to 5e-2. It has the dtype and device of x,
        which may be a view and is not written to. An odd D, or positions not of shape
        (T,), are errors.
    """
    raise NotImplementedError


def alibi_slopes(num_heads: int) -> Tensor:
    """Give every head its own penalty for distance.

    Args:
        num_heads: H.
    Returns:
        (H,) float32. If H is a power of two: 2^(−8h / H) for h = 1 … H. Otherwise, with
        P the largest power of two below H: the P slopes for P heads, then the 1st, 3rd,
        5th … slope for 2P heads until there are H.

    H = 4 gives 1/4, 1/16, 1/64, 1/256; H = 6 gives the same, then 1/2 and 1/8.
    Source: "Train Short, Test Long", section 3, and the authors' code.

    Edge cases ★
        num_heads below 1 is an error.
    """
    raise NotImplementedError


def alibi_bias(
    num_heads: int,
    query_len: int,
    key_len: int | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Compute the penalty of each head for looking far away, to add to the scores
    before the softmax.

    Args:
        num_heads: H.
        query_len: T.
        key_len: S; None = T.
        device: of the result.
    Returns:
        (H, T, S) float32: −slope_h · |i − j| for key j and a query at position i, with
        the slopes of `alibi_slopes`. The queries are the last T of the S positions:
        query t is at position S − T + t.

    A head of slope 1/4 with T = S = 3 has the rows 0, −1/4, −1/2; −1/4, 0, −1/4; −1/2,
    −1/4, 0.

    Edge cases ★
        The result is on the given device. key_len below query_len is an error.
    """
    raise NotImplementedError


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


def compare_position_encodings(
    kinds: Sequence[str] = ("none", "sinusoidal", "learned"),
    length: int = 10,
    steps: int = 150,
    seed: int = 0,
    test_length: int | None = None,
) -> dict[str, dict[str, object]]:
    """Train the same classifier with different positions on the order task, and
    measure each.

    Args:
        kinds: of "none", "sinusoidal" and "learned".
        length: of the training sequences.
        steps: how many updates.
        seed: of the weights and of the batches.
        test_length: another length to measure at; None = `length`.
    Returns:
        Per kind, in order: "losses", the cross-entropy of each batch before its update,
        a list of float; "accuracy", the share of right answers on 500 fresh sequences
        of `length`; "test_length_accuracy", the same for `test_length`.

    - Per kind: `torch.manual_seed(seed)`, then `OrderClassifier(12, kind, max_len=m)`,
      m the larger of the two lengths.
    - Train with `torch.optim.AdamW`, lr=3e-3. Each step draws 64 sequences by
      `make_order_task`, vocabulary 12, from a generator seeded with `seed` anew
      per kind.
    - Measure in eval mode, without a graph, on sequences from another seed, the same
      for every kind.

    Edge cases ★
        An unknown kind is an error before anything is trained. steps=0 only measures.
    """
    raise NotImplementedError
