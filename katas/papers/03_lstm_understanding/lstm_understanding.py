"""The memory of the LSTM: the cell with its gates, a net that has to recall, and the
gradient through time.

After Olah, "Understanding LSTM Networks" (2015): its section "Step-by-Step LSTM Walk
Through" has the formulas, with one matrix per gate for h and x side by side.
Sizes: B sequences in a batch, T steps, I input features, H hidden units, S symbols.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def recall_batch(
    batch: int,
    length: int,
    num_symbols: int,
    noise: float = 0.4,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw sequences that show a symbol once, then noise: x (batch, length,
    num_symbols) and the symbols y (batch,).

    x[:, 0] is the one-hot vector of y. Every later step is noise · N(0, 1).
    """
    y = torch.randint(num_symbols, (batch,), generator=generator)
    x = noise * torch.randn(batch, length, num_symbols, generator=generator)
    x[:, 0] = F.one_hot(y, num_symbols)
    return x, y


def lstm_step_numpy(
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Take one step of an LSTM, in NumPy.

    Args:
        x: (B, I).
        h, c: (B, H), the state before the step.
        weight_ih, weight_hh, bias: (4H, I), (4H, H), (4H,).
    Returns:
        The pair (h', c'), both (B, H). Of the sums weight_ih x + weight_hh h + bias,
        the first H rows belong to i, then come f, g and o, H each:

            c' = σ(f) · c + σ(i) · tanh(g)
            h' = σ(o) · tanh(c')

    Edge cases ★
        float64 precision. Arguments are not written to.
    """
    raise NotImplementedError


class LSTMCellScratch(nn.Module):
    """An LSTM cell whose gates can be looked at.

    Args:
        input_size, hidden_size: I and H.
        forget_bias: the start value of the forget gate's bias.
    Attributes:
        input_size, hidden_size: the arguments.
        weight_ih (4H, I), weight_hh (4H, H): parameters, uniform in ±1/√H. Rows belong
        to i, f, g, o in turn, H each. bias (4H,): a parameter, forget_bias for f, 0 for
        the others.

    `gates(x, h)` turns x (B, I) and h (B, H) into (i, f, g, o), each (B, H): tanh for
    g, σ for the others, of weight_ih x + weight_hh h + bias.

    `forward(x, state)` takes the pair (h, c) and returns the next one:

        c' = f · c + i · g
        h' = o · tanh(c')

    - None as state means zeros.
    - Write it without `nn.LSTM`, `nn.LSTMCell` and `torch.lstm_cell`.

    Edge cases ★
        A float64 cell computes in float64, also from None.
    """

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0):
        raise NotImplementedError

    def gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (i, f, g, o), after their nonlinearities."""
        raise NotImplementedError

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def run_lstm(
    cell: LSTMCellScratch, x: Tensor, state: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    """Read whole sequences, and record what happens inside.

    Args:
        x: (B, T, I).
        state: the pair (h, c) before the first step. None means zeros.
    Returns:
        A dict with the keys "h", "c", "i", "f", "g" and "o", each (B, T, H). Entry t
        holds the gates that step t uses, and the h and c that it leads to. So h[:, t]
        is o[:, t] · tanh(c[:, t]).

    Edge cases ★
        A float64 cell computes in float64, also from None.
    """
    raise NotImplementedError


class RecallNet(nn.Module):
    """Read a sequence step by step, then name a symbol.

    Args:
        kind: "lstm" or "rnn".
        input_size, hidden_size, num_symbols: I, H and S.
        forget_bias: for the LSTM's cell.
    Attributes:
        cell: `LSTMCellScratch` for "lstm", `nn.RNNCell` for "rnn".
        head: `nn.Linear` from H to S.

    `forward(x)` takes x (B, T, I) and returns logits (B, S): the cell reads all T steps
    from a state of zeros, the head reads the last h.

    Edge cases ★
        Another kind is an error that names it.
    """

    def __init__(
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        num_symbols: int,
        forget_bias: float = 1.0,
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def gradient_through_time(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Measure how much the loss at the end depends on the input of each step.

    Args:
        model: takes x to logits (B, S).
        x: (B, T, I).
        y: (B,) int64, the symbols.
    Returns:
        (T,): entry t is the norm, over batch and features together, of d loss / d
        x[:, t]. The loss is the mean cross-entropy. The norms carry no graph.

    Edge cases ★
        x, its `requires_grad` and `grad`, and every parameter's `grad` stay as
        they were.
    """
    raise NotImplementedError


def train_recall(
    model: nn.Module,
    *,
    steps: int = 200,
    length: int = 40,
    num_symbols: int = 4,
    noise: float = 0.4,
    batch: int = 32,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to name the first symbol after the last step.

    Args:
        model: takes x (B, T, S) to logits (B, S). It is trained in place, with Adam at
            learning rate `lr`.
        steps: the number of updates, each on one new batch of `recall_batch`.
        length, num_symbols, noise, batch, generator: for `recall_batch`.
    Returns:
        The loss of each step before its update, as floats: the mean cross-entropy.

    Before each update, the norm of all gradients together is clipped to 1.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    raise NotImplementedError


# Private helpers.
