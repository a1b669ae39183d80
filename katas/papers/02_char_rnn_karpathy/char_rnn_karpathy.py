"""A character RNN from nothing: a vocabulary, one recurrence, training on a stream of
chunks, and sampling.

After Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks" (2015),
and its min-char-rnn.py.
Sizes: V characters in the vocabulary, H hidden units, B texts in a batch, T characters,
N characters of a stream.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The text that the model learns by heart, twice over: 125 characters, 21
# different ones.
TEXT = (
    "the wheel turns and the wind returns; a small bird sings, the bell rings, "
    "and the long day ends where the long night begins. "
)


def build_vocab(text: str) -> tuple[dict[str, int], list[str]]:
    """Number the characters of a text.

    Args:
        text: at least one character.
    Returns:
        The pair (stoi, itos): a dict from character to number, and the list of
        characters by number. Characters are sorted, each there once. "hello" gives
        ({"e": 0, "h": 1, "l": 2, "o": 3}, ["e", "h", "l", "o"]).

    Edge cases ★
        An empty text is an error.
    """
    raise NotImplementedError


def rnn_forward_numpy(
    ids: Sequence[int],
    h0: np.ndarray,
    W_xh: np.ndarray,
    W_hh: np.ndarray,
    W_hy: np.ndarray,
    b_h: np.ndarray,
    b_y: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Read one text with the recurrence of the paper's step function, in NumPy.

    Args:
        ids: T ints.
        h0: (H,), the state before the first character.
        W_xh, W_hh, W_hy, b_h, b_y: (H, V), (H, H), (V, H), (H,), (V,).
    Returns:
        The pair (hidden states (T, H), logits (T, V)), float64. For each t,
        with h_{−1} = h0:

            h_t = tanh(W_xh[:, ids[t]] + W_hh h_{t−1} + b_h)
            logits_t = W_hy h_t + b_y

    Edge cases ★
        float64 precision, as `CharRNN` has in float64. h0 is not written to.
    """
    raise NotImplementedError


class CharRNN(nn.Module):
    """Predict the next character at every place, with one state that sums up what
    was read.

    Args:
        vocab_size: V.
        hidden_size: H.
    Attributes:
        W_xh (H, V), W_hh (H, H), W_hy (V, H): parameters, each element drawn uniformly
        from −1/√H … 1/√H.
        b_h (H,), b_y (V,): parameters, zeros. There are no others.

    `forward(ids, h)` takes ids (B, T) int64 and the state h (B, H), and returns (logits
    (B, T, V), the last h (B, H)). In each row, with ids[t] as the column of W_xh:

        h_t = tanh(W_xh[:, ids[t]] + W_hh h_{t−1} + b_h)
        logits_t = W_hy h_t + b_y

    - None as h means zeros.
    - Write it without `nn.RNN`, `nn.LSTM`, `nn.GRU`, their `…Cell` classes and
      functions such as `torch.rnn_tanh`.

    Edge cases ★
        A float64 model computes in float64, also from None.
    """

    def __init__(self, vocab_size: int, hidden_size: int):
        raise NotImplementedError

    def forward(self, ids: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def chunks(ids: Tensor, seq_len: int) -> list[tuple[Tensor, Tensor]]:
    """Cut a stream into the chunks that one pass over it reads.

    Args:
        ids: (N,) int64.
        seq_len: the characters to read per chunk.
    Returns:
        The pairs (inputs, targets), both (seq_len,), in order. Chunks start at places
        0, seq_len, 2 · seq_len, … Targets are the next characters. A rest of fewer than
        seq_len + 1 characters is left out. With seq_len = 2, [5 6 7 8 9 4] becomes
        ([5 6], [6 7]) and ([7 8], [8 9]).
    """
    raise NotImplementedError


def train_char_rnn(
    model: CharRNN,
    ids: Tensor,
    *,
    steps: int = 300,
    seq_len: int = 25,
    lr: float = 0.01,
    max_norm: float = 5.0,
) -> list[float]:
    """Teach a model to predict the next character of one stream, by truncated
    backpropagation through time.

    Args:
        model: trained in place, with Adam at learning rate `lr`.
        ids: (N,) int64, the stream.
        steps: the number of updates, one chunk of `chunks(ids, seq_len)` each; the
            first follows the last.
        max_norm: all gradients together are clipped to this norm.
    Returns:
        The loss of each step before its update, as floats: the mean cross-entropy
        in nats.

    - A chunk starts from the last h of the chunk before, without its graph.
    - The first chunk of every pass starts from None.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect. A stream of fewer than seq_len + 1 characters is an error.
    """
    raise NotImplementedError


def sample(
    model: CharRNN,
    prompt: Tensor,
    n: int,
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Let a model write: each new character is chosen from its prediction, then read.

    Args:
        prompt: (P,) int64, read first, from h = None.
        n: the number of characters to write.
        temperature: each is drawn from softmax(logits / temperature). 0 takes
            the argmax.
        generator: the source of the draws. None means the global generator.
    Returns:
        (n,) int64, the new characters without the prompt. "the w" may give "heel ".

    Edge cases ★
        n = 0 gives an empty int64 tensor. No graph is built, and neither `training` nor
        any `.grad` changes. An empty prompt or a negative temperature is an error.
    """
    raise NotImplementedError


def rnn_backward_numpy(
    ids: Sequence[int],
    targets: Sequence[int],
    h0: np.ndarray,
    hidden: np.ndarray,
    logits: np.ndarray,
    W_hh: np.ndarray,
    W_hy: np.ndarray,
) -> dict[str, np.ndarray]:
    """Backpropagate through time by hand: the gradients of the mean cross-entropy of
    one text, in NumPy.

    Args:
        ids, targets: T ints each, the characters read and those that should follow.
        h0: (H,), the state before the first character.
        hidden, logits: (T, H) and (T, V), as `rnn_forward_numpy` returns them.
        W_hh, W_hy: (H, H), (V, H).
    Returns:
        The gradients by name, "W_xh", "W_hh", "W_hy", "b_h", "b_y", each in the shape
        of its parameter.

    With shares = softmax of the logits, from the last t to the first:

        dlogits_t = (shares_t − one_hot(targets[t])) / T
        dh_t = W_hyᵀ dlogits_t + W_hhᵀ da_{t+1}  (no second term at the last t)
        da_t = (1 − h_t²) · dh_t                 (a_t is what the tanh was applied to)

    - A parameter is used at every t. Its gradient is the sum over t.

    Edge cases ★
        Logits of ±1000 give finite gradients. No argument is written to.
    """
    raise NotImplementedError
