"""Queries and keys normalised per head, so that no score can outgrow √D: rates may be
higher. It is today/01's.
"""

from typing import Any

from torch import Tensor, nn

from ladder.rung import Rung

RUNG = Rung(
    "QK-norm",
    record=5,
    date="2024-10-14",
    published="part of 22.3 → 15.2 min, see ReLU²",
    costs="two norms per layer, which read and write queries and keys once more",
)


class QKNorm(nn.Module):
    """today/01's `qk_norm` with its weights.

    Args:
        today: the module of today/01.
        d: features per head.
    """

    def __init__(self, today: Any, d: int):
        super().__init__()
        self.qk_norm, self.q, self.k = today.qk_norm, today.RMSNorm(d), today.RMSNorm(d)

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return self.qk_norm(q, k, self.q.weight, self.k.weight)
