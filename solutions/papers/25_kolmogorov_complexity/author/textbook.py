"""Kolmogorov complexity: the shortest program of a toy language, and upper bounds from
compressors and a learner.
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
    """Run a program of the toy language: `0` and `1` append themselves to the output,
    `D` doubles the output so far.
    """
    output = ""
    for character in program:
        if character not in ("0", "1", "D"):
            raise ValueError(f"{character!r} is no instruction: there are 0, 1 and D")
        output += output if character == "D" else character
    return output


def shortest_programs(max_length: int) -> dict[str, str]:
    """Try all programs, short ones first."""
    shortest = {}
    for length in range(max_length + 1):
        for program in map("".join, itertools.product("01D", repeat=length)):
            shortest.setdefault(run_program(program), program)
    return shortest


def compressed_bits(data: bytes) -> int:
    """The best of three compressors and no compression."""
    packed = [
        data,
        zlib.compress(data, 9),
        bz2.compress(data, 9),
        lzma.compress(data, preset=9),
    ]
    return 8 * min(len(part) for part in packed) + 2


def normalized_compression_distance(x: bytes, y: bytes) -> float:
    """The share of the larger one that the smaller one does not explain."""
    of_x, of_y, of_both = (len(zlib.compress(data, 9)) for data in (x, y, x + y))
    return (of_both - min(of_x, of_y)) / max(of_x, of_y)


def entropy_bits(symbols: Tensor, alphabet_size: int) -> float:
    """The best price without context."""
    p = torch.bincount(symbols, minlength=alphabet_size) / len(symbols)
    return len(symbols) * torch.special.entr(p).sum().item() / math.log(2)


def entropy_bits_numpy(symbols: np.ndarray, alphabet_size: int) -> float:
    """The same on an array."""
    counts = np.bincount(symbols, minlength=alphabet_size)
    counts = counts[counts > 0]
    return float(-np.sum(counts * np.log2(counts / len(symbols))))


class ContextModel(nn.Module):
    """The next symbol from the few before it."""

    def __init__(self, alphabet_size: int, context: int, hidden_size: int):
        super().__init__()
        self.alphabet_size = alphabet_size
        self.context = context
        self.net = nn.Sequential(
            nn.Linear(context * (alphabet_size + 1), hidden_size),
            nn.Tanh(),
            nn.Linear(hidden_size, alphabet_size),
        )

    def forward(self, contexts: Tensor) -> Tensor:
        x = F.one_hot(contexts, self.alphabet_size + 1).float()
        return self.net(x.flatten(1))


def prequential_bits(
    model: nn.Module,
    symbols: Tensor,
    *,
    chunk: int = 32,
    lr: float = 1e-2,
    updates: int = 2,
) -> Tensor:
    """Price a chunk, then learn from it."""
    beginning = torch.full((model.context,), model.alphabet_size)
    # (N, context)
    contexts = torch.cat([beginning, symbols[:-1]]).unfold(0, model.context, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    bits = []
    for start in range(0, len(symbols), chunk):
        end = start + chunk
        with torch.no_grad():
            nats = F.cross_entropy(
                model(contexts[start:end]), symbols[start:end], reduction="none"
            )
        bits.append(nats / math.log(2))
        first = max(0, start - 512)
        for _ in range(updates):
            loss = F.cross_entropy(model(contexts[first:end]), symbols[first:end])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return torch.cat(bits)
