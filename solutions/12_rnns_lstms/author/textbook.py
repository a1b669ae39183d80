"""Recurrent networks: cells that read one step at a time and carry a state, run over
padded batches, trained on text.

Sizes: B sequences in a batch, T steps, I input features, H hidden features, V symbols,
N symbols of a text.
"""

import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Cell(nn.Module):
    """The parameters that all three cells have."""

    def __init__(self, input_size: int, hidden_size: int, num_gates: int):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(num_gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(num_gates * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(num_gates * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(num_gates * hidden_size))
        bound = 1 / math.sqrt(hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)


class RNNCell(Cell):
    """tanh(W_ih x + b_ih + W_hh h + b_hh)"""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size, num_gates=1)

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        h = x.new_zeros(len(x), self.hidden_size) if state is None else state
        return torch.tanh(
            x @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh
        )


class LSTMCell(Cell):
    """c ← σ(f) · c + σ(i) · tanh(g), h ← σ(o) · tanh(c)"""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size, num_gates=4)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        if state is None:
            zeros = x.new_zeros(len(x), self.hidden_size)
            state = zeros, zeros
        h, c = state
        gates = (
            x @ self.weight_ih.T + self.bias_ih + h @ self.weight_hh.T + self.bias_hh
        )
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, c


class GRUCell(Cell):
    """h ← (1 − z) · n + z · h"""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size, num_gates=3)

    def forward(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        h = x.new_zeros(len(x), self.hidden_size) if state is None else state
        x_r, x_z, x_n = (x @ self.weight_ih.T + self.bias_ih).chunk(3, dim=1)
        h_r, h_z, h_n = (h @ self.weight_hh.T + self.bias_hh).chunk(3, dim=1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return (1 - z) * n + z * h


def run_recurrent(
    cell: nn.Module,
    x: Tensor,
    lengths: Tensor | None = None,
    initial_state: Tensor | tuple[Tensor, Tensor] | None = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Read whole sequences with a cell; where x is padding the state stays as
    it was.
    """
    batch_size, steps, _ = x.shape
    if lengths is None:
        lengths = torch.full((batch_size,), steps, device=x.device)
    state = initial_state
    if state is None:
        zeros = x.new_zeros(batch_size, cell.hidden_size)
        state = (zeros, zeros) if isinstance(cell, LSTMCell) else zeros
    outputs = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        real = (t < lengths)[:, None]
        new = cell(x[:, t], state)
        if isinstance(new, tuple):
            state = tuple(
                torch.where(real, n, s) for n, s in zip(new, state, strict=True)
            )
            h = state[0]
        else:
            h = state = torch.where(real, new, state)
        outputs[t] = torch.where(real, h, 0.0)
    return torch.stack(outputs, dim=1), state


def run_bidirectional(
    forward_cell: nn.Module,
    backward_cell: nn.Module,
    x: Tensor,
    lengths: Tensor | None = None,
) -> tuple[Tensor, tuple]:
    """Both directions side by side."""
    forward_outputs, forward_state = run_recurrent(forward_cell, x, lengths)
    backward_outputs, backward_state = run_recurrent(
        backward_cell, x, lengths, reverse=True
    )
    return torch.cat([forward_outputs, backward_outputs], dim=-1), (
        forward_state,
        backward_state,
    )


class CharRNN(nn.Module):
    """Guess the next symbol of a text from all symbols before it."""

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        hidden_size: int,
        cell_type: str = "lstm",
        num_layers: int = 1,
    ):
        super().__init__()
        rnn_class = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell_type]
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.rnn = rnn_class(embed_dim, hidden_size, num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(
        self, ids: Tensor, state: Tensor | tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        outputs, state = self.rnn(self.embedding(ids), state)
        return self.head(outputs), state

    @torch.no_grad()
    def hidden_states(self, ids: Tensor) -> Tensor:
        """The last layer's h after each symbol."""
        self.eval()
        outputs, _ = self.rnn(self.embedding(ids.unsqueeze(0)))
        return outputs.squeeze(0)


def draw_windows(
    data: Tensor,
    batch_size: int,
    seq_len: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Inputs, and as targets the symbols that follow them."""
    starts = torch.randint(len(data) - seq_len, (batch_size,), generator=generator)
    windows = data[starts[:, None] + torch.arange(seq_len + 1)]
    return windows[:, :-1], windows[:, 1:]


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
    """Predict, loss, backward, clip, step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    start_time = time.perf_counter()
    for _ in range(steps):
        inputs, targets = draw_windows(data, batch_size, seq_len, generator)
        logits, _ = model(inputs)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        losses.append(loss.item())
    seconds = time.perf_counter() - start_time
    return {
        "losses": losses,
        "seconds": seconds,
        "tokens_per_second": steps * batch_size * seq_len / seconds,
    }


def input_gradient_norms(cell: nn.Module, x: Tensor) -> Tensor:
    """The influence of each step's input on the last output."""
    x = x.detach().clone().requires_grad_()
    outputs, _ = run_recurrent(cell, x)
    (gradient,) = torch.autograd.grad(outputs[:, -1].sum(), x)
    return gradient.norm(dim=(0, 2))
