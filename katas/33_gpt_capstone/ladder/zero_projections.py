"""Projections into the residual path start at 0, and so does a head of its own.

Every block begins as the identity, and every token as equally likely. GPT-2 starts
them small.
"""

from torch import nn

from ladder.rung import Rung

RUNG = Rung(
    "zero projections",
    record=5,
    date="2024-10-14",
    published="part of 22.3 → 15.2 min, see ReLU²",
    costs="nothing",
)
PROJECTIONS = ("o_proj.weight", "down.weight", "lm_head.weight")


def start(model: nn.Module, n_layer: int, zero: bool) -> None:
    """Draw the matrices of a model. Below this rung, projections are GPT-2's: smaller
    by √(2 · layers).
    """
    for name, parameter in model.named_parameters():
        if name.endswith(PROJECTIONS) and zero:
            nn.init.zeros_(parameter)
        elif name.endswith(PROJECTIONS[:2]):
            nn.init.normal_(parameter, std=0.02 / (2 * n_layer) ** 0.5)
        elif parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
