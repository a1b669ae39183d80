"""A row for each pair of neighbouring tokens, looked up by a hash and added before
every layer.

What follows a pair is known from its row alone; the layers learn the rest. Pairs with
the same hash share a row.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ladder.rung import Rung

RUNG = Rung(
    "bigram-hash embedding",
    record=62,
    date="2026-01-19",
    published="5.1 s less (record 60 took 104.9 s), mostly from 1765 → 1600 steps",
    costs=(
        "5 · V · C = 193M parameters more, 3.1 GB with gradients and moments, and "
        "their gradients between GPUs"
    ),
)


class BigramHash(nn.Module):
    """Token ids (B, T) → (B, T, C), all zeros at the start. `scales` holds a factor for
    each layer.
    """

    def __init__(self, config: Any, end_of_text: int):
        super().__init__()
        self.end_of_text = end_of_text
        self.rows = 5 * config.vocab_size
        self.table = nn.Embedding(self.rows, config.n_embd)
        nn.init.zeros_(self.table.weight)
        self.scales = nn.Parameter(torch.full((config.n_layer,), 0.1))

    def forward(self, idx: Tensor) -> Tensor:
        return self.table(self.row_of(idx))

    def row_of(self, idx: Tensor) -> Tensor:
        """The row of each token and the one before. The last row is for tokens that
        have none in their document.
        """
        pairs = (36_313 * idx ^ 27_191 * idx.roll(1, dims=1)) % (self.rows - 1)
        pairs[:, 0] = self.rows - 1
        return pairs.masked_fill(idx == self.end_of_text, self.rows - 1)
