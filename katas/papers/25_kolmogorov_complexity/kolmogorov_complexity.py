"""Kolmogorov complexity: the shortest program of a toy language, and upper bounds from
compressors and a learner.

After Kolmogorov, "Three approaches to the quantitative definition of information"
(1965). The distance is that of Cilibrasi and Vitányi, "Clustering by compression"
(2005). Sizes: N symbols of a sequence, A symbols in the alphabet.
"""

import bz2
import itertools
import lzma
import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def run_program(program: str) -> str:
    """Run a program of the toy language, and return its output. Given.

    `0` and `1` append themselves to the output, `D` doubles the output so far: "01DD"
    prints 01010101. Any other character is a ValueError.
    """
    output = ""
    for character in program:
        if character not in ("0", "1", "D"):
            raise ValueError(f"{character!r} is no instruction: there are 0, 1 and D")
        output += output if character == "D" else character
    return output


def shortest_programs(max_length: int) -> dict[str, str]:
    """Find the shortest program for every output of the toy language, up to a length.

    Args:
        max_length: the largest number of characters of a program.
    Returns:
        A dict from each output of any program of at most max_length characters to one
        of its shortest programs. The empty string has the empty program.
        With max_length = 2 it has seven entries, "", "0", "1", "00", "01", "10", "11".
        "00" has "00" or "0D".
    """
    raise NotImplementedError


def compressed_bits(data: bytes) -> int:
    """Bound the information in data from above, with the best of four descriptions.

    Args:
        data: any bytes.
    Returns:
        8 bits per byte of the shortest of these: the data itself, zlib at level 9, bz2
        at level 9, lzma with preset 9. Plus 2 bits that say which of the four it is.
        100 random bytes cost 8 · 100 + 2 = 802: no compressor helps.

    Edge cases ★
        Empty data costs 2 bits.
    """
    raise NotImplementedError


def normalized_compression_distance(x: bytes, y: bytes) -> float:
    """Measure how little x and y know about each other, by what they cost together
    (Cilibrasi and Vitányi).

    Args:
        x, y: any bytes.
    Returns:
        (C(xy) − min(C(x), C(y))) / max(C(x), C(y)), where C is the number of bytes that
        zlib needs at level 9, and xy is x followed by y. Near 0: one makes the other
        free. Near 1: nothing in common.
        With C(x) = 40, C(y) = 50 and C(xy) = 70 the distance is 30 / 50 = 0.6.
    """
    raise NotImplementedError


def entropy_bits(symbols: Tensor, alphabet_size: int) -> float:
    """Price a sequence by its own frequencies, without looking at the order.

    Args:
        symbols: (N,) int64, values 0 … A − 1.
        alphabet_size: A.
    Returns:
        The total in bits, −Σ n_a log₂(n_a / N), where symbol a occurs n_a times.
        Symbols that do not occur add 0. [0 1 0 1] costs 4 bits, [2 2 2 2] costs 0.

    Edge cases ★
        Computed in float64: agrees with `entropy_bits_numpy` to 1e-9.
    """
    raise NotImplementedError


def entropy_bits_numpy(symbols: np.ndarray, alphabet_size: int) -> float:
    """Price a sequence by its own frequencies, in NumPy.

    Args:
        symbols: (N,) int64, values 0 … A − 1.
        alphabet_size: A.
    Returns:
        The total in bits, −Σ n_a log₂(n_a / N), as in `entropy_bits`, never NaN.
        [0 0 1 2] costs 2 · 1 + 1 · 2 + 1 · 2 = 6 bits.
    """
    raise NotImplementedError


class ContextModel(nn.Module):
    """Predict a symbol from the few before it.

    Args:
        alphabet_size: A.
        context: the number of symbols that it sees.
        hidden_size: H.
    Attributes:
        alphabet_size, context: as given.
        net: an `nn.Sequential` of Linear (context · (A + 1) to H), Tanh, Linear
            (H to A). There are no other parameters.

    `forward(contexts)` takes contexts (B, context) int64 and returns logits (B, A).
    Values are 0 … A, where A itself means "before the beginning". Each value becomes
    one-hot, A + 1 wide, and `net` reads those of a row side by side: with A = 2, the
    context [2 0] becomes [0 0 1 1 0 0].

    Edge cases ★
        A float64 model computes in float64.
    """

    def __init__(self, alphabet_size: int, context: int, hidden_size: int):
        raise NotImplementedError

    def forward(self, contexts: Tensor) -> Tensor:
        raise NotImplementedError


def prequential_bits(
    model: nn.Module,
    symbols: Tensor,
    *,
    chunk: int = 32,
    lr: float = 1e-2,
    updates: int = 2,
) -> Tensor:
    """Price a sequence with a model that learns on the way. A receiver can train along,
    so no parameters are sent.

    Args:
        model: called like a `ContextModel`, with `alphabet_size` and `context`.
        symbols: (N,) int64.
    Returns:
        (N,), the price −log₂ p of each symbol in bits. If all 4 symbols seem equally
        likely, 2 bits.

    - Contexts hold the symbols right before, oldest first, and `alphabet_size` before
      the beginning.
    - The model prices `chunk` symbols as it is. Then it takes `updates` steps on the
      cross-entropy of the last 512 + chunk symbols seen (all, if fewer).
    - One Adam (learning rate `lr`) serves the whole sequence.

    Edge cases ★
        N may be smaller than `chunk`. The bits have no graph. Gradients that the model
        holds at the start have no effect.
    """
    raise NotImplementedError
