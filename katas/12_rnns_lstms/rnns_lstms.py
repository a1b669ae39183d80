"""Recurrent networks: cells that read one step at a time and carry a state, run over padded batches, trained on text.

Sizes: B sequences in a batch, T steps, I input features, H hidden features, V symbols, N symbols of a text.
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
        weight_ih (H, I), weight_hh (H, H), bias_ih (H,), bias_hh (H,): the only parameters, each element drawn
            uniformly from −1/√H … 1/√H.

    `forward(x, state)` takes x (B, I) and the state (B, H) that the step before returned, and returns the next one:

        tanh(W_ih x + b_ih + W_hh h + b_hh)

    - Without a state (None) it starts from zeros of x's dtype and device. The cell itself remembers nothing: whoever
      calls it hands the state on.
    - x and state are not written to. Gradients flow through both.
    - The parameters have the names and shapes of `nn.RNNCell`, so each can load the other's state_dict. But `nn.RNN`,
      `nn.LSTM`, `nn.GRU`, their `…Cell` classes and the torch functions behind them (`torch.lstm_cell` …) are not used
      in this exercise, nor as a base class.
    """

    def __init__(self, input_size: int, hidden_size: int):
        raise NotImplementedError

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        raise NotImplementedError


class LSTMCell(nn.Module):
    """Read one step into two states: a memory c, which gates erase from and write to, and an output h,
    which shows some.

    Args:
        input_size: I.
        hidden_size: H.
    Attributes:
        input_size, hidden_size: the arguments.
        weight_ih (4H, I), weight_hh (4H, H), bias_ih (4H,), bias_hh (4H,): the only parameters, each element drawn
            uniformly from −1/√H … 1/√H. The first H rows of each belong to i, the next to f, then g, then o.

    `forward(x, state)` takes x (B, I) and the pair (h, c), each (B, H), and returns the next pair, as a tuple. Each of
    i, f, g, o is its H rows of W_ih x + b_ih + W_hh h + b_hh, and with σ the sigmoid

        c ← σ(f) · c + σ(i) · tanh(g)       forget some, then add something new
        h ← σ(o) · tanh(c)                  show some of the new c

    All else is as in `RNNCell`: what None means, that the cell remembers nothing, what is not used here; the state_dict
    is that of `nn.LSTMCell`.
    """

    def __init__(self, input_size: int, hidden_size: int):
        raise NotImplementedError

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class GRUCell(nn.Module):
    """Read one step with two gates and a single state: keep a share z of the old one, replace the rest.

    Args:
        input_size: I.
        hidden_size: H.
    Attributes:
        input_size, hidden_size: the arguments.
        weight_ih (3H, I), weight_hh (3H, H), bias_ih (3H,), bias_hh (3H,): the only parameters, each element drawn
            uniformly from −1/√H … 1/√H. The first H rows of each belong to r, the next to z, then n: W_r, W_z, W_n.

    `forward(x, state)` takes x (B, I) and the state h (B, H), and returns the next h:

        r = σ(W_ir x + b_ir + W_hr h + b_hr)            reset: how much of the old state the new proposal sees
        z = σ(W_iz x + b_iz + W_hz h + b_hz)            update: how much of the old state stays
        n = tanh(W_in x + b_in + r · (W_hn h + b_hn))   the proposal
        h ← (1 − z) · n + z · h

    The reset gate acts after the hidden matrix, on W_hn h + b_hn, as in PyTorch; in the first paper it acts before it.
    All else is as in `RNNCell`; the state_dict is that of `nn.GRUCell`.
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
        cell: an `LSTMCell`, whose state is the pair (h, c), or a module whose state is one tensor h: an `RNNCell`, a
            `GRUCell`, or another that is called as they are, such as `nn.GRUCell`.
        x: (B, T, I), T at least 1.
        lengths: (B,) int64, how many steps of each sequence are real, each 0 … T; the rest is padding, any finite
            numbers. None: all T of them.
        initial_state: the state before the first step that is read; None = zeros.
        reverse: read each sequence from its last real step to its first.
    Returns:
        The pair (outputs, final state). `outputs` (B, T, H) holds at position t the h after reading x[:, t], also when
        reading in reverse, and exactly 0 where x is padding. The final state, in the form in which the cell returns it,
        is each sequence's own: the one after the last of its real steps that was read. Padding changes no state, and a
        sequence of length 0 keeps its initial one.

    These are the results that PyTorch gives for a packed sequence. x and initial_state are not written to; gradients
    flow through both, and none reaches the padding. What `RNNCell` does not use is not used here either.

    Raises:
        ValueError: lengths is not of shape (B,), or one of them lies outside 0 … T; the message says "lengths".
    """
    raise NotImplementedError


def run_bidirectional(
    forward_cell: nn.Module, backward_cell: nn.Module, x: Tensor, lengths: Tensor | None = None
) -> tuple[Tensor, tuple]:
    """Read every sequence twice, from the left with one cell and from the right with another.

    Args:
        forward_cell, backward_cell: two cells as in `run_recurrent`, both with H hidden features.
        x: (B, T, I), T at least 1.
        lengths: (B,) int64 as in `run_recurrent`, or None. The reading from the right begins at the last real step.
    Returns:
        The pair (outputs, final states). `outputs` (B, T, 2H): at position t the H features of the forward cell after
        reading steps 0 … t, then the H features of the backward cell after reading the last real step … t; 0 where x is
        padding. The final states are the pair (forward cell's, backward cell's), each as its cell returns it.

    Raises:
        ValueError: lengths does not fit, as in `run_recurrent`.
    """
    raise NotImplementedError


class CharRNN(nn.Module):
    """Guess the next symbol of a text from all symbols before it.

    Args:
        vocab_size: V.
        embed_dim: the features of a symbol.
        hidden_size: H.
        cell_type: "rnn", "lstm" or "gru".
        num_layers: how many recurrent layers lie on top of one another.
    Attributes:
        embedding: `nn.Embedding`, a row for each symbol.
        rnn: `nn.RNN`, `nn.LSTM` or `nn.GRU` with batch_first; here the nn classes are wanted, for their speed.
        head: `nn.Linear` from H features to V logits.

    `forward(ids, state)` takes ids (B, T) int64 and returns the pair (logits (B, T, V), state): the embedded ids go
    through rnn and head, and the state is what rnn returned, whatever its form. Given back to the next call, it lets
    the reading go on: a text read in two pieces gives the logits of reading it at once. None = from the beginning.

    Raises:
        ValueError: the cell_type is none of these; the message says "cell_type".
    """

    def __init__(self, vocab_size: int, embed_dim: int, hidden_size: int, cell_type: str = "lstm", num_layers: int = 1):
        raise NotImplementedError

    def forward(
        self, ids: Tensor, state: Tensor | tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        raise NotImplementedError

    def hidden_states(self, ids: Tensor) -> Tensor:
        """What the model has in mind after each symbol: ids (T,) int64 → the last layer's h at each step, (T, H).

        It runs in eval mode and without a graph, from the beginning of a text. `training` is afterwards what it was
        before, also after an exception.
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
    """Teach a model to guess the next symbol, on windows from random places of one long text.

    Args:
        model: a `CharRNN`, trained in place.
        data: (N,) int64, the text as ids.
        steps: the number of updates, at least 1.
        batch_size: how many windows make a batch.
        seq_len: how many symbols the model reads of each.
        lr: the learning rate.
        max_norm: the norm of all gradients together is clipped to this.
        generator: where every draw comes from; None = the global one.
    Returns:
        A dict with
        - `losses`: a list of `steps` plain floats, the loss of each batch before its update;
        - `seconds`: how long the training took, a float;
        - `tokens_per_second`: steps · batch_size · seq_len / seconds.

    In each step `batch_size` windows of seq_len + 1 symbols that follow one another are drawn, with replacement; every
    start 0 … N − seq_len − 1 is equally likely. The model reads all but the last symbol of a window, from no state, in
    one call for the whole batch; its targets are all but the first, so at each place the *next* symbol. The loss is
    the mean cross-entropy over all places. Gradients are cleared, computed and clipped, then Adam (with its defaults
    but for lr) takes a step.

    The model is in training mode meanwhile; `training` is afterwards what it was before, also after an exception. data
    is not written to.

    Raises:
        ValueError: data is shorter than one window, N < seq_len + 1. N = seq_len + 1 has exactly one.
    """
    raise NotImplementedError


def input_gradient_norms(cell: nn.Module, x: Tensor) -> Tensor:
    """Measure how much of each step's input is still heard at the end.

    Args:
        cell: as in `run_recurrent`.
        x: (B, T, I), T at least 1.
    Returns:
        (T,), detached: for each step t the L2 norm, over batch and features, of the gradient of Σ h_T with respect to
        x[:, t], where Σ h_T is the sum of all elements of the last step's output (h, not c).

    x and every `.grad` stay as they were: x's own, and those of the cell's parameters.
    """
    raise NotImplementedError
