"""A neural Turing machine: a network that reads and writes an outside memory through
soft addresses learns to copy.

After Graves, Wayne and Danihelka, "Neural Turing Machines" (2014). Sizes: B sequences,
T steps, I inputs and O outputs per step, N slots of M numbers each, H hidden units. The
copy task has L rows of `width` bits, so T = 2L and I = width + 1.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_copy_batch(
    batch_size: int, length: int, width: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw a batch of the copy task: x (B, 2L, width + 1) and bits (B, L, width).

    In the first L steps of x stand the bits and a flag of 0, in the other L no bits and
    a flag of 1: recall now.
    """
    bits = torch.randint(2, (batch_size, length, width), generator=generator).float()
    x = torch.zeros(batch_size, 2 * length, width + 1)
    x[:, :length, :width] = bits
    x[:, length:, width] = 1
    return x, bits


def read_memory(memory: Tensor, weights: Tensor) -> Tensor:
    """Read the weighted sum of all slots (equation 2): memory (B, N, M) and weights
    (B, N) give (B, M).
    """
    return (weights.unsqueeze(1) @ memory).squeeze(1)


class LSTMCopier(nn.Module):
    """The baseline: an LSTM and a linear layer at every step. It returns
    logits alone.
    """

    def __init__(self, input_size: int, output_size: int, hidden_size: int):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.output = nn.Linear(hidden_size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.lstm(x)[0])


def copy_accuracy(
    model: nn.Module,
    length: int,
    width: int,
    *,
    batch_size: int = 64,
    generator: torch.Generator | None = None,
) -> float:
    """Measure the share of right bits in the recall half, over fresh sequences of
    one length.
    """
    x, bits = make_copy_batch(batch_size, length, width, generator)
    training = model.training
    model.eval()
    with torch.no_grad():
        result = model(x)
    model.train(training)
    logits = result[0] if isinstance(result, tuple) else result
    return ((logits[:, length:] > 0) == bits.bool()).float().mean().item()


def content_weights(memory: Tensor, key: Tensor, strength: Tensor) -> Tensor:
    """Address the slots that resemble a key (equations 5 and 6).

    Args:
        memory: (B, N, M).
        key: (B, M).
        strength: (B, 1), not negative.
    Returns:
        (B, N): softmax over the slots of strength · cosine similarity, where
        cos(u, v) = u·v / (|u| |v|).

    The key [0, 2] resembles the slots [0, 1], [3, 3] and [5, 0] with 1, 0.71 and 0. At
    strength 10 the weights are 0.95, 0.05 and 0.00.

    Edge cases ★
        A key or slot of zeros has similarity 0, and its gradients are finite. `memory`
        may be non-contiguous. float64 stays float64.
    """
    raise NotImplementedError


def content_weights_numpy(
    memory: np.ndarray, key: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    """Address the slots that resemble a key, in NumPy.

    Args:
        memory, key, strength: (B, N, M), (B, M) and (B, 1), float64.
    Returns:
        (B, N): the weights, as in `content_weights`.

    With memory [[[0, 1], [5, 0]]], key [[0, 2]] and strength [[1]]:
    [[e / (e + 1), 1 / (e + 1)]] = [[0.73, 0.27]].

    Edge cases ★
        A key or slot of zeros has similarity 0. A strength of 1,000 gives finite
        weights. No input is written to. Agrees with torch within 1e-9 in float64.
    """
    raise NotImplementedError


def location_weights(
    content: Tensor, previous: Tensor, gate: Tensor, shift: Tensor, sharpen: Tensor
) -> Tensor:
    """Choose an address, move it and sharpen it (equations 7 to 9).

    Args:
        content, previous: (B, N) weights, by content and of the step before.
        gate: (B, 1) in [0, 1].
        shift: (B, 3), how likely a move by −1, 0 and +1 slots is, in this order.
        sharpen: (B, 1), at least 1.
    Returns:
        (B, N): gate · content + (1 − gate) · previous; then moved by `shift`, in a
        circle; then to the power `sharpen`, divided by the sum over the slots.

    The move +1 takes [0.2, 0.8, 0] to [0, 0.2, 0.8], and that to [0.8, 0, 0.2].

    Edge cases ★
        Gradients are finite where weights are exactly 0.
    """
    raise NotImplementedError


def write_memory(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """Erase a part of each slot, then add to it (equations 3 and 4).

    Args:
        memory: (B, N, M).
        weights: (B, N), how much each slot is meant.
        erase, add: (B, M).
    Returns:
        (B, N, M): slot n becomes memory[n] · (1 − weights[n] ·
        erase) + weights[n] · add, number by number.

    A slot [4, 4] with weight 0.5, erase [1, 0] and add [6, 6] becomes
    [2 + 3, 4 + 3] = [5, 7].

    Edge cases ★
        The result is a new tensor: `memory` is not written to.
    """
    raise NotImplementedError


class NTM(nn.Module):
    """A neural Turing machine: a controller of one layer, a memory, a write head and a
    read head.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        num_slots: int,
        slot_size: int,
        hidden_size: int,
    ):
        """Build the four layers. The memory is no part of the model: it is made anew
        for each call.

        Args:
            input_size, output_size, num_slots, slot_size, hidden_size: I, O, N, M, H.
        Attributes:
            num_slots, slot_size: N and M.
            controller: Linear, from the step's input and the vector read before (I + M)
                to H.
            write_head: Linear, H to M + 6 numbers of an address, and 2M more for erase
                and add.
            read_head: Linear, H to M + 6.
            output: Linear, from the controller's state and the vector read (H + M)
                to O.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run over a sequence. Each step writes first, then reads what memory
        holds now.

        Args:
            x: (B, T, I).
        Returns:
            logits (B, T, O), read weights and write weights, both (B, T, N).

        - Start: memory 1e-6 everywhere, both addresses all on slot 0, the vector
          read 0.
        - Step, with [ ] for "side by side":

              h      = tanh(controller([x_t, read]))
              write to memory with write_head(h), read it with read_head(h)
              logits = output([h, new read])

        - A head's numbers in order: key (M, tanh), strength (softplus), gate (sigmoid),
          shift (3, softmax), sharpen (1 + softplus); the write head's then erase (M,
          sigmoid) and add (M, tanh). `previous` is the same head's address at the
          step before.

        Edge cases ★
            A float64 model computes in float64.
        """
        raise NotImplementedError


def train_copy(
    model: nn.Module,
    *,
    steps: int,
    width: int,
    max_length: int,
    batch_size: int = 16,
    lr: float = 2e-2,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train a model to copy sequences of 1 to `max_length` rows of bits.

    Args:
        model: gives logits alone, or a tuple that begins with them.
        steps: updates by Adam with learning rate `lr` on all parameters of the model.
        width, max_length, batch_size: per step there is one batch of `make_copy_batch`,
            all of one length. The length is drawn uniformly from 1 to max_length,
            both included.
        generator: the source of lengths and bits.
    Returns:
        One float per step, the loss before its update: binary cross-entropy, the mean
        over all bits to recall. Logits of the first half do not count.

    - Gradients are cleared before each step, and their common norm is clipped to 1.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    raise NotImplementedError
