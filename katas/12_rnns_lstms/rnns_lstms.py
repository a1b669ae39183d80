"""Recurrent networks: cells that read one step at a time and carry a state, run over
padded batches, trained on text.

Sizes: B sequences in a batch, T steps, I input features, H hidden features, V symbols,
N symbols of a text.
"""

import torch
from torch import Tensor, nn


class RNNCell(nn.Module):
    """Read one step: mix the input with the state and squash the sum.

    Args:
        input_size: I.
        hidden_size: H.
    Attributes:
        input_size, hidden_size: the arguments.
        weight_ih (H, I), weight_hh (H, H), bias_ih (H,), bias_hh (H,): the only
            parameters, as in `nn.RNNCell`. Each element is drawn uniformly from −1/√H
            … 1/√H.

    `forward(x, state)` takes x (B, I) and the state h (B, H), and returns the next
    state, differentiable in both:

        tanh(W_ih x + b_ih + W_hh h + b_hh)

    - None as state means zeros. The cell remembers nothing between calls.
    - Write it without `nn.RNN`, `nn.LSTM`, `nn.GRU`, their `…Cell` classes and
      functions such as `torch.lstm_cell`.

    Edge cases ★
        The zeros have the dtype and device of x: a float64 cell gives float64. x and
        state may be non-contiguous, and are not written to.
    """

    def __init__(self, input_size: int, hidden_size: int):
        raise NotImplementedError

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        raise NotImplementedError


class LSTMCell(nn.Module):
    """Read one step into two states: a memory c, which gates erase from and write to,
    and an output h.

    Args:
        input_size: I.
        hidden_size: H.
    Attributes:
        input_size, hidden_size: the arguments.
        weight_ih (4H, I), weight_hh (4H, H), bias_ih (4H,), bias_hh (4H,): the only
            parameters, drawn like those of `RNNCell`. Their rows are those of i, f, g
            and o, H each, as in `nn.LSTMCell`.

    `forward(x, state)` turns x (B, I) and the pair (h, c), each (B, H), into the next
    pair, a tuple. Each of i, f, g, o is its H rows of W_ih x + b_ih + W_hh h + b_hh:

        c ← σ(f) · c + σ(i) · tanh(g)       forget some, then add something new
        h ← σ(o) · tanh(c)                  show some of the new c

    As in `RNNCell`, None means zeros, nothing is kept between calls, and PyTorch's own
    cells are forbidden.

    Edge cases ★
        As in `RNNCell`.
    """

    def __init__(self, input_size: int, hidden_size: int):
        raise NotImplementedError

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class GRUCell(nn.Module):
    """Read one step with two gates and a single state: keep a share z of the old one,
    replace the rest.

    Args:
        input_size: I.
        hidden_size: H.
    Attributes:
        input_size, hidden_size: the arguments.
        weight_ih (3H, I), weight_hh (3H, H), bias_ih (3H,), bias_hh (3H,): the only
            parameters, drawn like those of `RNNCell`. Their rows are those of r, z and
            n, H each, as in `nn.GRUCell`.

    `forward(x, state)` turns x (B, I) and the state h (B, H) into the next h:

        r = σ(W_ir x + b_ir + W_hr h + b_hr)            reset: h's share in n
        z = σ(W_iz x + b_iz + W_hz h + b_hz)            update
        n = tanh(W_in x + b_in + r · (W_hn h + b_hn))   the proposal
        h ← (1 − z) · n + z · h

    As in `RNNCell`, None means zeros, nothing is kept between calls, and PyTorch's own
    cells are forbidden.

    Edge cases ★
        As in `RNNCell`.
    """

    def __init__(self, input_size: int, hidden_size: int):
        raise NotImplementedError

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        raise NotImplementedError


def run_recurrent(
    cell: nn.Module,
    x: Tensor,
    lengths: Tensor | None = None,
    initial_state: Tensor | tuple[Tensor, Tensor] | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Read whole sequences with a cell, one step after the other.

    Args:
        cell: an `LSTMCell`, or a cell whose state is one tensor, such as `nn.GRUCell`.
        x: (B, T, I).
        lengths: (B,) int64, the real steps per sequence; the rest is padding. None
            means T.
        initial_state: the state before the first step that is read. None means zeros.
        reverse: read each sequence from its last real step to its first.
    Returns:
        The pair (outputs, final state). `outputs` (B, T, H) holds at t the h after
        reading x[:, t], also in reverse, and exactly 0 at padding. The final state of
        each sequence is the one after its last real step that was read, in the form
        that the cell returns.

    Padding changes no state: the results are PyTorch's for a packed sequence. Gradients
    reach x, cell and initial_state. Write it without the modules and functions that
    `RNNCell` names.

    Edge cases ★
        A sequence of length 0 keeps its initial state. T may be 1. float64 stays
        float64, and everything is created on the device of x. Arguments may be
        non-contiguous and are not written to. lengths of another shape than (B,) or
        with a value outside 0 … T are an error that says "lengths".
    """
    raise NotImplementedError


def run_bidirectional(
    forward_cell: nn.Module,
    backward_cell: nn.Module,
    x: Tensor,
    lengths: Tensor | None = None,
) -> tuple[Tensor, tuple]:
    """Read every sequence twice: from the left with one cell, from the right
    with another.

    Args:
        forward_cell, backward_cell: two cells as in `run_recurrent`, both with H
            hidden features.
        x: (B, T, I).
        lengths: (B,) int64 or None, as in `run_recurrent`. The reading from the right
            begins at the last real step.
    Returns:
        The pair (outputs, final states). `outputs` (B, T, 2H) holds at position t the H
        features of the forward cell after reading steps 0 … t, then those of the
        backward cell after reading the last real step … t; 0 where x is padding. The
        final states are the pair (of the forward cell, of the backward cell).

    Gradients flow to x and both cells. Write it without the modules and functions that
    `RNNCell` names.

    Edge cases ★
        lengths that do not fit are an error, as in `run_recurrent`.
    """
    raise NotImplementedError


class CharRNN(nn.Module):
    """Predict the next symbol of a text from all symbols before it.

    Args:
        vocab_size: V.
        embed_dim: the features of a symbol.
        hidden_size: H.
        cell_type: "rnn", "lstm" or "gru".
        num_layers: the number of recurrent layers.
    Attributes:
        embedding: `nn.Embedding`, one row per symbol.
        rnn: `nn.RNN`, `nn.LSTM` or `nn.GRU` with batch_first. They are allowed here.
        head: `nn.Linear` from H features to V logits.

    `forward(ids, state)` takes ids (B, T) int64 through all three and returns (logits
    (B, T, V), state of rnn).
    Pass the state to the next call to read on: two pieces of a text give the logits of
    the whole. None means the beginning of a text.

    Edge cases ★
        An unknown cell_type is an error. A model can load the state_dict of another
        one. Logits are on the device of ids.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        hidden_size: int,
        cell_type: str = "lstm",
        num_layers: int = 1,
    ):
        raise NotImplementedError

    def forward(
        self, ids: Tensor, state: Tensor | tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        raise NotImplementedError

    def hidden_states(self, ids: Tensor) -> Tensor:
        """Show the state after each symbol: ids (T,) int64 → the last layer's h at each
        step, (T, H).

        The model reads from the beginning of a text, in eval mode and without a graph.

        Edge cases ★
            `training` is put back, also after an error.
        """
        raise NotImplementedError


def draw_windows(
    data: Tensor,
    batch_size: int,
    seq_len: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw a batch of windows from random places of one long text.

    Args:
        data: (N,) int64, the text as ids.
        batch_size: the number of windows.
        seq_len: the number of symbols to read per window.
        generator: the source of the draws. None means the global generator.
    Returns:
        The pair (inputs, targets), both (batch_size, seq_len). Each window is
        seq_len + 1 symbols that follow one another, drawn with replacement: every start
        0 … N − seq_len − 1 is equally likely. Inputs are all but its last symbol,
        targets all but its first: at each place the *next* symbol.

    Edge cases ★
        N = seq_len + 1 has exactly one window. A shorter text is an error. data may be
        non-contiguous and is not written to.
    """
    raise NotImplementedError


def train_char_rnn(
    model: CharRNN,
    data: Tensor,
    steps: int,
    batch_size: int = 16,
    seq_len: int = 32,
    lr: float = 5e-3,
    max_norm: float = 1.0,
    generator: torch.Generator | None = None,
) -> dict[str, object]:
    """Teach a model to predict the next symbol of a text.

    Args:
        model: a `CharRNN`, trained in place.
        data: (N,) int64, the text as ids.
        steps: the number of updates.
        batch_size, seq_len, generator: as in `draw_windows`, which makes the batch of
            each step.
        lr: the learning rate of Adam.
        max_norm: the norm of all gradients together is clipped to this.
    Returns:
        A dict with

        - `losses`: a list of plain floats, the loss of each step before its update;
        - `seconds`: the duration of all steps together, a float;
        - `tokens_per_second`: steps · batch_size · seq_len / seconds.

    The model reads each batch in one call, from no state. The loss is the mean
    cross-entropy over all places.

    Edge cases ★
        The model trains in training mode, and `training` is put back, also after an
        error. A text shorter than one window is an error.
    """
    raise NotImplementedError


def input_gradient_norms(cell: nn.Module, x: Tensor) -> Tensor:
    """Measure how much of each step's input is left in the last output.

    Args:
        cell: as in `run_recurrent`.
        x: (B, T, I).
    Returns:
        (T,), without a graph: for each step t the L2 norm, over batch and features, of
        the gradient of Σ h_T with respect to x[:, t]. Σ h_T is the sum of all elements
        of the last output (h, not c).

    Edge cases ★
        x and every `.grad`, of x and of the cell's parameters, stay as they were. T may
        be 1. float64 gives float64.
    """
    raise NotImplementedError
