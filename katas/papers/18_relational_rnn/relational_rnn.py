"""A relational memory core: slots that attend to each other and to the input, behind
the gates of an LSTM.

After Santoro et al., "Relational recurrent neural networks" (2018).
Sizes: B sequences in a batch, T steps, I numbers per input, S slots, D numbers per
slot, H heads.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_recall_batch(
    batch_size: int,
    num_pairs: int = 3,
    num_values: int = 3,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw sequences of P pairs and a question: x (batch_size, P + 1, P + V + 1) and y
    (batch_size,) int64.

    Steps 0 to P − 1 show a key (P numbers, one-hot) and its value (V numbers, one-hot).
    Each key comes once, in random order. The last step shows one of the keys, zeros,
    and 1 as a flag. y is the value of that key.
    """
    keys = torch.rand(batch_size, num_pairs, generator=generator).argsort(dim=1)
    values = torch.randint(num_values, (batch_size, num_pairs), generator=generator)
    place = torch.randint(num_pairs, (batch_size, 1), generator=generator)
    x = torch.zeros(batch_size, num_pairs + 1, num_pairs + num_values + 1)
    x[:, :-1, :num_pairs] = F.one_hot(keys, num_pairs)
    x[:, :-1, num_pairs:-1] = F.one_hot(values, num_values)
    x[:, -1, :num_pairs] = F.one_hot(keys.gather(1, place)[:, 0], num_pairs)
    x[:, -1, -1] = 1
    return x, values.gather(1, place)[:, 0]


class LSTMBaseline(nn.Module):
    """The baseline: an LSTM, and a small network on its last output. It is called as a
    `RelationalRNN` is.
    """

    def __init__(self, input_size: int, hidden_size: int, num_classes: int):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.output = nn.Sequential(
            nn.Linear(hidden_size, 64), nn.ReLU(), nn.Linear(64, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.lstm(x)[0][:, -1])


def recall_accuracy(
    model: nn.Module,
    *,
    num_sequences: int = 1000,
    num_pairs: int = 3,
    num_values: int = 3,
    generator: torch.Generator | None = None,
) -> float:
    """Measure the share of right answers on fresh sequences."""
    x, y = make_recall_batch(num_sequences, num_pairs, num_values, generator)
    training = model.training
    model.eval()
    with torch.no_grad():
        right = model(x).argmax(dim=1) == y
    model.train(training)
    return right.float().mean().item()


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Average values, weighted by how well their keys fit a query:
    softmax(query · keyᵀ / √d) · value (equation 1).

    Args:
        query: (…, Q, d), with any leading dimensions, or none.
        key: (…, K, d).
        value: (…, K, E).
    Returns:
        (…, Q, E). The weights of each query are a softmax over the K keys.
        Query [[1]], keys [[ln 3], [0]] and values [[8], [4]] have the weights 0.75 and
        0.25, and the result [[7]].

    - Write it without `F.scaled_dot_product_attention`.

    Edge cases ★
        Scores of 1000 give no inf and no NaN. float64 stays float64.
    """
    raise NotImplementedError


def attend_numpy(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Average values by how well their keys fit a query, in NumPy.

    Args:
        query, key, value: (…, Q, d), (…, K, d) and (…, K, E), with any leading
            dimensions, or none.
    Returns:
        (…, Q, E), as from `attend`.

    Edge cases ★
        Scores of 1000 give no inf and no NaN. float64 precision. No argument is
        written to.
    """
    raise NotImplementedError


def attend_backward_numpy(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, upstream: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Go back through attention by hand, in NumPy.

    Args:
        query, key, value: as for `attend_numpy`.
        upstream: (…, Q, E), the gradient G of a loss in the result.
    Returns:
        The gradients of the loss in query, key and value, in their shapes.

    With W the weights (…, Q, K) of the way forward:

        dvalue = Wᵀ G
        dW = G valueᵀ
        dscores = W · (dW − Σ_k W_k dW_k)  (number by number; the sum is over the keys
                                           of one query)
        dquery = dscores key / √d
        dkey = dscoresᵀ query / √d

    - Equal rows of values get no gradient for query and key: which key wins does not
      matter then.

    Edge cases ★
        Scores of 1000 give no inf and no NaN. No argument is written to.
    """
    raise NotImplementedError


class RelationalMemory(nn.Module):
    """A relational memory core: a memory (B, S, D), and how one input changes it
    (sections 3.1 to 3.3).
    """

    def __init__(self, input_size: int, num_slots: int, slot_size: int, num_heads: int):
        """Create the parts.

        Args:
            input_size, num_slots, slot_size, num_heads: I, S, D and H. H is a divisor
                of D.
        Attributes:
            num_slots, slot_size, num_heads: the arguments.
            input_projection: Linear, I to D.
            qkv: Linear, D to 3D: query, key and value in this order, for all heads.
            norm1, norm2: LayerNorm over D.
            mlp: `nn.Sequential` of Linear (D to D), ReLU, Linear (D to D).
            input_gates, memory_gates: Linear, D to 2D: input gate, then forget gate.

        The number of slots is in no parameter.

        Edge cases ★
            An H that does not divide D is a ValueError that names both.
        """
        raise NotImplementedError

    def initial_memory(self, batch_size: int) -> Tensor:
        """Make the memory before the first step: slots that differ from one another.

        Args:
            batch_size: B.
        Returns:
            (B, S, D). In each sequence slot s is the unit vector e_s: 1 in place s,
            0 elsewhere.
            With S = 2 and D = 3: [[1 0 0], [0 1 0]], B times.

        Edge cases ★
            If S > D, slots from D on are zeros. The memory has the dtype of the
            parameters. Writing to one result changes no later one.
        """
        raise NotImplementedError

    def update(self, memory: Tensor, x: Tensor) -> Tensor:
        """Let the slots attend to all slots and to the input (section 3.2, equation 2).

        Args:
            memory: (B, S, D).
            x: (B, D), the projected input.
        Returns:
            (B, S, D): norm2(m + mlp(m)), with m = norm1(memory + attended).

        - Queries come from the slots, keys and values from the slots and x, all
          by `qkv`.
        - Head h has numbers h · D/H to (h + 1) · D/H − 1 of each. `attended` has their
          results side by side.
        """
        raise NotImplementedError

    def forward(self, inputs: Tensor, memory: Tensor) -> Tensor:
        """Take one step: gates decide per slot and number what is written and what is
        kept (section 3.3).

        Args:
            inputs: (B, I).
            memory: (B, S, D), before the step.
        Returns:
            (B, S, D), after the step. With x = input_projection(inputs):

            i, f = the halves of input_gates(x) + memory_gates(tanh(memory)); x adds the
            same to every slot new memory = σ(i) · tanh(update(memory,
            x)) + σ(f + 1) · memory

        Edge cases ★
            `memory` is not written to.
        """
        raise NotImplementedError


class RelationalRNN(nn.Module):
    """Read a sequence into a relational memory, step by step, then answer from
    all slots.

    Args:
        input_size, num_slots, slot_size, num_heads, num_classes: I, S, D, H and the
            number of logits.
    Attributes:
        core: `RelationalMemory`.
        output: `nn.Sequential` of Linear (S · D to 64), ReLU, Linear (64
            to num_classes).

    `forward(x)` takes x (B, T, I) and returns logits (B, num_classes). The core starts
    from its initial memory on every call and reads x[:, 0] first. `output` reads the
    last memory, flattened slot by slot.

    Edge cases ★
        A float64 model computes in float64.
    """

    def __init__(
        self,
        input_size: int,
        num_slots: int,
        slot_size: int,
        num_heads: int,
        num_classes: int,
    ):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def train_recall(
    model: nn.Module,
    *,
    steps: int,
    num_pairs: int = 3,
    num_values: int = 3,
    batch_size: int = 32,
    lr: float = 5e-3,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to recall the value of a key, on sequences that it sees only once.

    Args:
        model: takes x (B, T, I) to logits (B, V).
        steps: updates by Adam with learning rate `lr` on all parameters of the model.
        num_pairs, num_values, batch_size, generator: for `make_recall_batch`, which
            draws a new batch per step.
    Returns:
        One float per step, the loss before its update: the mean cross-entropy.

    Gradients are cleared before each step. Before each update, the norm of all
    gradients together is clipped to 1.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    raise NotImplementedError
