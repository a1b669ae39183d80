"""A neural Turing machine: a network that reads and writes an outside memory through
soft addresses learns to copy.

After Graves, Wayne and Danihelka, "Neural Turing Machines" (2014). Sizes: B sequences,
T steps, I inputs and O outputs per step, N slots of M numbers each, H hidden units. The
copy task has L rows of `width` bits, so T = 2L and I = width + 1.
"""

import numpy as np
import torch
import torch.nn.functional as F  # stub: keep
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
    similarity = F.cosine_similarity(memory, key.unsqueeze(1), dim=2)
    return (strength * similarity).softmax(dim=1)


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
    dots = np.einsum("bnm,bm->bn", memory, key)
    norms = np.linalg.norm(memory, axis=2) * np.linalg.norm(key, axis=1, keepdims=True)
    scores = strength * dots / np.where(norms > 0, norms, 1.0)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


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
    gated = gate * content + (1 - gate) * previous
    back, stay, ahead = shift.split(1, dim=1)
    shifted = (
        back * gated.roll(-1, dims=1) + stay * gated + ahead * gated.roll(1, dims=1)
    )
    powers = shifted**sharpen
    return powers / powers.sum(dim=1, keepdim=True)


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
    weights = weights.unsqueeze(2)  # (B, N, 1), against (B, 1, M)
    return memory * (1 - weights * erase.unsqueeze(1)) + weights * add.unsqueeze(1)


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
        super().__init__()
        self.num_slots, self.slot_size = num_slots, slot_size
        self.controller = nn.Linear(input_size + slot_size, hidden_size)
        self.write_head = nn.Linear(hidden_size, slot_size + 6 + 2 * slot_size)
        self.read_head = nn.Linear(hidden_size, slot_size + 6)
        self.output = nn.Linear(hidden_size + slot_size, output_size)

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
        memory = x.new_full((len(x), self.num_slots, self.slot_size), 1e-6)
        writing = reading = F.pad(x.new_ones(len(x), 1), (0, self.num_slots - 1))
        read = x.new_zeros(len(x), self.slot_size)
        steps = []
        for x_t in x.unbind(dim=1):
            h = torch.tanh(self.controller(torch.cat([x_t, read], dim=1)))
            numbers, erase, add = self.write_head(h).split(
                [self.slot_size + 6] + 2 * [self.slot_size], dim=1
            )
            writing = _address(memory, numbers, writing)
            memory = write_memory(memory, writing, erase.sigmoid(), add.tanh())
            reading = _address(memory, self.read_head(h), reading)
            read = read_memory(memory, reading)
            steps.append((self.output(torch.cat([h, read], dim=1)), reading, writing))
        logits, readings, writings = (
            torch.stack(parts, dim=1) for parts in zip(*steps, strict=True)
        )
        return logits, readings, writings


def _address(memory: Tensor, numbers: Tensor, previous: Tensor) -> Tensor:
    """The weights (B, N) that a head's first M + 6 numbers ask for."""
    key, strength, gate, shift, sharpen = numbers.split(
        [memory.shape[2], 1, 1, 3, 1], dim=1
    )
    content = content_weights(memory, key.tanh(), F.softplus(strength))
    return location_weights(
        content, previous, gate.sigmoid(), shift.softmax(dim=1), 1 + F.softplus(sharpen)
    )


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
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        length = int(torch.randint(1, max_length + 1, (), generator=generator))
        x, bits = make_copy_batch(batch_size, length, width, generator)
        result = model(x)
        logits = result[0] if isinstance(result, tuple) else result
        loss = F.binary_cross_entropy_with_logits(logits[:, length:], bits)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
