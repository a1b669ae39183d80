"""Additive attention: a decoder that looks back at every state of the encoder and reads
a weighted sum of them.

Sizes: B batch elements, T queries (decoder steps), S keys (source positions), V symbols
in the vocabulary.
Masks are boolean. True means "is real" or "may be looked at".
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

PAD = 0  # pads short sequences
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
    """Take a softmax over `dim` in which only the allowed positions take part.

    Args:
        scores: any shape.
        mask: bool, broadcastable to `scores`. True = takes part. None
            allows everything.
        dim: the dimension along which the weights add up to 1.
    Returns:
        Weights of the shape of `scores`. The allowed ones add up to 1 along `dim`, the
        others are exactly 0: scores [0 0 5] with mask [True True False] give [½ ½ 0].

    Edge cases ★
        A slice without any True gives zeros, and all gradients stay finite. Scores of
        ±1000 and masked scores of ±1e10 do no harm. The dtype of the scores is kept,
        float16 included. Neither argument is written to. A mask that is not bool is
        an error.
    """
    raise NotImplementedError


def attend(
    scores: Tensor, values: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Turn scores into weights, and read the weighted sum of the values.

    Args:
        scores: (B, T, S), how well query t fits key s.
        values: (B, S, Dv), what is read at each key.
        mask: bool, True = may be looked at: (B, S), the same for all queries, or
            (B, T, S). Two dimensions always are (B, S), also when B equals T.
    Returns:
        context: (B, T, Dv), for each query Σ_s weight_s · value_s.
        weights: (B, T, S), the `masked_softmax` of the scores over the keys.

    Gradients flow through the context and through the weights.

    Edge cases ★
        A query that may look at no key has weights and a context of zeros. Large
        numbers in the scores and values of masked keys change nothing. No argument is
        written to.
    """
    raise NotImplementedError


class AdditiveAttention(nn.Module):
    """Attention whose scores come from a small network: score(q, k) = v ·
    tanh(W_q q + W_k k).

    From Bahdanau, Cho and Bengio 2014, *Neural Machine Translation by Jointly Learning
    to Align and Translate*, section 3.1 and appendix A.1.2. A query has size Dq, a key
    Dk, and the tanh takes vectors of size `hidden_dim`.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__()
        self.W_q = nn.Linear(query_dim, hidden_dim, bias=False)
        self.W_k = nn.Linear(key_dim, hidden_dim, bias=False)
        self.v = nn.Linear(hidden_dim, 1, bias=False)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """Score every query against every key.

        Args:
            query: (B, T, Dq).
            keys: (B, S, Dk).
        Returns:
            (B, T, S): entry [b, t, s] is v · tanh(W_q query[b, t] + W_k keys[b, s]).
            Any size may be 1.
        """
        raise NotImplementedError

    def forward(
        self,
        query: Tensor,
        keys: Tensor,
        values: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Let every query read from the values.

        Args:
            query: (B, T, Dq), or one decoder step (B, Dq).
            keys: (B, S, Dk).
            values: (B, S, Dv). By default the keys.
            mask: as in `attend`.
        Returns:
            context (B, T, Dv) and weights (B, T, S).

        For one decoder step, context is (B, Dv) and weights are (B, S); the mask is
        (B, S). Any size may be 1, and a query (B, 1, Dq) keeps its T of 1.

        Edge cases ★
            Inputs may be non-contiguous, and none is written to.
        """
        raise NotImplementedError


class Seq2Seq(nn.Module):
    """An encoder that reads a sequence and a decoder that writes another one, with
    attention or without.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        hidden_size: int,
        use_attention: bool = True,
    ):
        """Create the parts.

        Args:
            vocab_size: V, the number of symbols, PAD and BOS included.
            embed_dim: the size of an embedding.
            hidden_size: the size of a state, in encoder and decoder.
            use_attention: whether the decoder looks back.
        Attributes:
            embedding: one `nn.Embedding`, for both source and target.
            encoder, decoder: one-layer GRUs, each `nn.GRU(embed_dim, hidden_size,
                batch_first=True)`.
            attention: `AdditiveAttention(hidden_size, hidden_size, hidden_size)`, or
                None without attention.
            head: an `nn.Linear` to V logits, from 2 · hidden_size features with
                attention, from hidden_size without.
        """
        raise NotImplementedError

    def forward(
        self, src: Tensor, tgt_in: Tensor, src_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Read the source, and predict every symbol of the target from the symbols
        before it.

        Args:
            src: (B, S) symbols, padded on the right.
            tgt_in: (B, T) symbols that the decoder is fed.
            src_mask: (B, S) bool, True = a real symbol, at least one per row. None: all
                are real.
        Returns:
            logits (B, T, V) and weights (B, T, S), or (logits, None) without attention.

        1. The decoder starts from the encoder's state at the last *real* symbol.
        2. Each decoder state is a query; the encoder's states are keys and values.
           Padding gets weight 0.
        3. The logits are head(cat([context, state])), in this order; without
           attention head(state).

        Padding never changes the logits, and the logits of step t depend on nothing
        after tgt_in[:, t].

        Edge cases ★
            No argument is written to, and nothing is kept between calls. Everything
            runs on the device of the input.
        """
        raise NotImplementedError


def greedy_decode(
    model: Seq2Seq, src: Tensor, max_len: int, src_mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Let the model write by itself: feed it BOS, then at each step the symbol that it
    found most likely.

    Args:
        model: a `Seq2Seq`, with attention or without.
        src: (B, S) symbols.
        max_len: how many symbols to write, 1 or more.
        src_mask: (B, S), True = a real symbol.
    Returns:
        tokens: (B, max_len) int64, each the argmax over all V symbols, without the BOS.
        weights: (B, max_len, S), the attention weights of these steps; None
        without attention.

    The model runs in eval mode and without a graph.

    Edge cases ★
        A model that came in training mode leaves in it, with all its parts, even after
        an error.
        `src` stays as it was. Tokens and weights are on the device of `src`.
    """
    raise NotImplementedError


def train_seq2seq(
    model: Seq2Seq,
    steps: int,
    batch_size: int = 64,
    length: int = 8,
    lr: float = 5e-3,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train the model to write sequences backwards.

    Each step draws a fresh `make_reversal_batch` of `batch_size` sequences of `length`
    symbols from `generator` and feeds tgt_in: the right symbols, not the model's own
    (teacher forcing). `torch.optim.Adam` with learning rate `lr` makes one update from
    fresh gradients. The loss is the mean cross-entropy over all positions of the batch.
    The model is in training mode; V is the size of its embedding.

    Returns:
        A list with the loss of every step as a plain float, measured before the update.
    """
    raise NotImplementedError


def compare_seq2seq(
    lengths: Sequence[int],
    steps: int = 200,
    hidden_size: int = 32,
    vocab_size: int = 12,
    seed: int = 0,
) -> dict[int, dict[str, dict[str, float]]]:
    """Compare reversing with and without attention, for sequences of different lengths.

    For each length, train two models with an embed_dim of 16 by `train_seq2seq`:
    `steps` steps, its default batch size and learning rate. Test both by
    `greedy_decode` on one batch of 200 new sequences. The comparison is fair:

    - `torch.manual_seed(seed)` comes right before each model is made.
    - Both models see the same training batches. Each model's batches come from a
      generator of their own, with the same seed.
    - The test batch is drawn with another seed. All seeds are derived from `seed`.

    Returns:
        By length, a dict with the keys "plain" and "attention". Each holds two floats:
        "loss", the last training loss, and "accuracy", the share of right symbols in
        the test batch. Lengths do not influence one another.
    """
    raise NotImplementedError
