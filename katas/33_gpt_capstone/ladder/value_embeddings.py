"""What a token is, told again deep in the model: to the values of attention, and to the
residual path.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ladder.rung import Rung

RUNG = Rung(
    "value embeddings and embedding skips",
    record=14,
    date="2024-12-04",
    published=(
        "4.66 → 4.41 min; the skips part of 10.8 → 8.2 min (record 9, 2024-11-06)"
    ),
    costs=(
        "3 · V · C = 116M parameters more, 1.9 GB with gradients and moments; hardly "
        "an operation"
    ),
)


class ValueEmbeddings(nn.Module):
    """Up to three tables of values. The first and the last layer share one, the second
    and the last but one, and so on.

    Attributes:
        scales: a factor for the values of each layer.
        mixes: (L, 2), how much of the residual path and of the embedding a layer gets.
    """

    def __init__(self, config: Any):
        super().__init__()
        self.n_layer = config.n_layer
        count = min(3, (config.n_layer + 1) // 2)
        tables = [nn.Embedding(config.vocab_size, config.n_embd) for _ in range(count)]
        for table in tables:
            nn.init.normal_(table.weight, std=0.02)
        self.tables = nn.ModuleList(tables)
        self.scales = nn.Parameter(torch.full((config.n_layer,), 0.5))
        self.mixes = nn.Parameter(torch.tensor([1.0, 0.0]).repeat(config.n_layer, 1))

    def values(self, layer: int, idx: Tensor) -> Tensor | None:
        """(B, T, C) to add to the values of this layer; None for layers in
        the middle.
        """
        number = min(layer, self.n_layer - 1 - layer)
        return (
            self.scales[layer] * self.tables[number](idx)
            if number < len(self.tables)
            else None
        )

    def mixed(self, layer: int, x: Tensor, embedded: Tensor) -> Tensor:
        return self.mixes[layer, 0] * x + self.mixes[layer, 1] * embedded
