"""Dropout where it does no harm: on the paths between layers, not on the path
through time.

After Zaremba, Sutskever and Vinyals, "Recurrent Neural Network Regularization" (2014);
`VariationalLSTM` after Gal and Ghahramani, "A Theoretically Grounded Application of
Dropout in Recurrent Neural Networks" (2016).
Sizes: V symbols, H hidden units (and embedding features), L layers, B texts in a batch,
T steps, N symbols of a text.
"""

import math  # stub: keep

import numpy as np  # stub: keep
import torch  # stub: keep
import torch.nn.functional as F  # stub: keep
from torch import Tensor, nn

State = list[tuple[Tensor, Tensor]]  # (h, c) per layer, each (B, H)


def transition_table(
    vocab_size: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw a random table (V, V, V): row [a, b] holds the probabilities of the symbol
    that follows a, b.
    """
    return torch.softmax(
        2 * torch.randn(vocab_size, vocab_size, vocab_size, generator=generator), dim=-1
    )


def markov_text(
    n: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
    table: Tensor | None = None,
) -> Tensor:
    """Draw a text (n,) in which every symbol depends on the two before it, by a table
    of its own unless given one.
    """
    if table is None:
        table = transition_table(vocab_size, generator)
    ids = torch.randint(vocab_size, (2,), generator=generator).tolist()
    while len(ids) < n:
        ids.append(
            int(torch.multinomial(table[ids[-2], ids[-1]], 1, generator=generator))
        )
    return torch.tensor(ids[:n])


def dropout_numpy(x: np.ndarray, keep_mask: np.ndarray, p: float) -> np.ndarray:
    """Apply inverted dropout with a given mask, in NumPy.

    Args:
        x: float64, of any shape.
        keep_mask: bool, of x's shape. True = kept.
        p: the probability of being dropped, for which the mask was drawn.
    Returns:
        x's shape: 0 where dropped, x / (1 − p) where kept. So the expected value of
        every entry stays that of x.
        With p = 0.75, [1 2 3] and [True False True] give [4 0 12].

    Edge cases ★
        x is not written to.
    """
    return np.where(keep_mask, x / (1 - p), 0.0)


def lstm_stack_step_numpy(
    x: np.ndarray,
    states: list[tuple[np.ndarray, np.ndarray]],
    weights: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    masks: list[np.ndarray],
    p: float,
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Take one time step through a stack of LSTM layers, for one text, in NumPy
    (section 3.2 of the paper).

    Args:
        x: (H,), the embedded symbol.
        states: (h, c) per layer, both (H,).
        weights: (weight_ih, weight_hh, bias) per layer: (4H, H), (4H, H), (4H,). Rows
            are those of i, f, g, o in turn.
        masks: L + 1 bool arrays (H,), True = kept: masks[l] for the input of layer l,
            masks[L] for the top output.
        p: the dropout probability.
    Returns:
        The pair (output (H,), new states), the states without dropout. Each layer, with
        D for dropout:

            sums = weight_ih D(x) + weight_hh h + bias
            c' = σ(f) · c + σ(i) · tanh(g),  h' = σ(o) · tanh(c')

        h' is the next layer's x.

    Edge cases ★
        float64 precision. `states` and its arrays are not written to.
    """
    new_states = []
    for (h, c), (weight_ih, weight_hh, bias), mask in zip(
        states, weights, masks[:-1], strict=True
    ):
        i, f, g, o = np.split(
            weight_ih @ dropout_numpy(x, mask, p) + weight_hh @ h + bias, 4
        )
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        new_states.append((h, c))
        x = h
    return dropout_numpy(x, masks[-1], p), new_states


class RegularizedLSTM(nn.Module):
    """Predict the next symbol with a stack of LSTM layers, and dropout in one of
    two places.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        num_layers: int = 2,
        p: float = 0.0,
        where: str = "non_recurrent",
    ):
        """Create the layers.

        Args:
            vocab_size, hidden_size, num_layers: V, H and L.
            p: the dropout probability.
            where: "non_recurrent" or "recurrent".
        Attributes:
            embed: `nn.Embedding` (V, H).
            cells: `nn.ModuleList` of L `nn.LSTMCell` from H to H.
            head: `nn.Linear` from H to V.
            p, where, hidden_size: the arguments.

        Edge cases ★
            A `p` outside [0, 1) or another `where` is an error that names the value.
        """
        super().__init__()
        _check_p(p)
        if where not in ("non_recurrent", "recurrent"):
            raise ValueError(
                f"where should be 'non_recurrent' or 'recurrent', not {where!r}"
            )
        self.p = p
        self.where = where
        self.hidden_size = hidden_size
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.cells = nn.ModuleList(
            [nn.LSTMCell(hidden_size, hidden_size) for _ in range(num_layers)]
        )
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a batch of texts step by step.

        Args:
            ids: (B, T) int64.
            state: (h, c) per layer, each (B, H), before the first step. None
                means zeros.
        Returns:
            The pair (logits (B, T, V), state after the last step). The h of a layer is
            the next one's input, the top h goes to `head`. The returned state has
            no dropout.

        - "non_recurrent": dropout on the input of every cell, the embedding included,
          and on the top h before `head`.
        - "recurrent": dropout only on the old h as it enters its cell, a given one
          included. Never on c.
        - Each step, row and unit has its own draw. Kept values are divided by 1 − p. In
          eval mode there is no dropout.

        Edge cases ★
            A given state is not written to, neither its list nor its tensors. A float64
            model computes in float64, also from None.
        """
        between = self.p if self.training and self.where == "non_recurrent" else 0.0
        through = self.p if self.training and self.where == "recurrent" else 0.0
        state = _zeros(self, ids) if state is None else list(state)
        tops = []
        for x in self.embed(ids).unbind(dim=1):
            for layer, cell in enumerate(self.cells):
                h, c = state[layer]
                state[layer] = cell(F.dropout(x, between), (F.dropout(h, through), c))
                x = state[layer][0]
            tops.append(F.dropout(x, between))
        return self.head(torch.stack(tops, dim=1)), state


def perplexity(model: nn.Module, ids: Tensor) -> float:
    """Measure how many symbols a model hesitates between, on average.

    Args:
        model: takes ids (B, T) to the pair (logits (B, T, V), state), such as a
            `RegularizedLSTM`.
        ids: (N,) int64, read in one pass from an empty state.
    Returns:
        exp of the mean cross-entropy (in nats) of the N − 1 predictions of a next
        symbol, as a float. Guessing evenly among V symbols gives V, certainty gives 1.

    The model predicts in eval mode, and its parameters stay as they are.

    Edge cases ★
        No graph is built. Afterwards the model is in the mode that it came in.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            logits, _ = model(ids[None, :-1])
    finally:
        model.train(training)
    return math.exp(F.cross_entropy(logits[0], ids[1:]).item())


def train_lm(
    model: nn.Module,
    ids: Tensor,
    *,
    steps: int = 200,
    batch: int = 16,
    seq_len: int = 20,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to predict the next symbol of a text, on random windows.

    Args:
        model: as in `perplexity`. It is trained in place, with Adam at learning
            rate `lr`.
        ids: (N,) int64, the text.
        steps: the number of updates.
        batch: windows per update, each of seq_len + 1 symbols in a row, read from an
            empty state.
        generator: the source of the windows' random starts. None means the
            global generator.
    Returns:
        The loss of each step before its update, as floats: the mean cross-entropy
        in nats.

    Before each update, the norm of all gradients together is clipped to 1.

    Edge cases ★
        Every start from 0 to N − seq_len − 1 can come up. `training` is set to True and
        left so. Gradients that are there before the first step have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        starts = torch.randint(len(ids) - seq_len, (batch, 1), generator=generator)
        windows = ids[starts + torch.arange(seq_len + 1)]
        logits, _ = model(windows[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


class VariationalLSTM(nn.Module):
    """Predict as `RegularizedLSTM` does, with dropout in both places at once, and masks
    that stay the same over time.

    Args:
        vocab_size, hidden_size, num_layers, p: as in `RegularizedLSTM`.
    Attributes:
        embed, cells, head, p, hidden_size: as in `RegularizedLSTM`, so that weights can
            be copied over.

    `forward(ids, state)` takes and returns what `RegularizedLSTM.forward` does. Dropout
    is on the input of every cell, on the top h before `head`, and on the old h as it
    enters its cell, a given one included; c and the returned state have none.

    - Every call draws one mask for each of these 2L + 1 places, with its own entry per
      row and unit.
    - All time steps of the call use it. With T = 3, the same units of a row are 0
      three times.
    - Kept values are scaled by 1 / (1 − p). In eval mode there is no dropout.

    Edge cases ★
        A `p` outside [0, 1) is an error that names it. A given state is not written to.
        A float64 model computes in float64, also from None.
    """

    def __init__(
        self, vocab_size: int, hidden_size: int, num_layers: int = 2, p: float = 0.0
    ):
        super().__init__()
        _check_p(p)
        self.p = p
        self.hidden_size = hidden_size
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.cells = nn.ModuleList(
            [nn.LSTMCell(hidden_size, hidden_size) for _ in range(num_layers)]
        )
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = _zeros(self, ids) if state is None else list(state)
        ones = torch.ones_like(state[0][0])
        inputs, olds = (
            [F.dropout(ones, self.p, self.training) for _ in self.cells]
            for _ in range(2)
        )
        top = F.dropout(ones, self.p, self.training)
        tops = []
        for x in self.embed(ids).unbind(dim=1):
            for layer, cell in enumerate(self.cells):
                h, c = state[layer]
                state[layer] = cell(x * inputs[layer], (h * olds[layer], c))
                x = state[layer][0]
            tops.append(x * top)
        return self.head(torch.stack(tops, dim=1)), state


# Private helpers.


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _zeros(model: nn.Module, ids: Tensor) -> State:
    """A state of zeros for each row of ids, of the weights' dtype."""
    zeros = model.head.weight.new_zeros(len(ids), model.hidden_size)
    return [(zeros, zeros) for _ in model.cells]


def _check_p(p: float) -> None:
    if not 0 <= p < 1:
        raise ValueError(f"p should be at least 0 and below 1, not {p}")
