"""A head of its own, where GPT-2 reads the logits off its embedding. Record 51 ties
them again for 2/3 of a run.
"""

from torch import nn

from ladder.rung import Rung

RUNG = Rung(
    "untied head",
    record=8,
    date="2024-11-03",
    published="12.0 → 10.8 min",
    costs=(
        "V · C = 38.6M parameters more, 0.6 GB with gradients and moments; no "
        "operations"
    ),
)


def tie(head: nn.Linear, embedding: nn.Embedding) -> None:
    """Below this rung, the two share one matrix."""
    head.weight = embedding.weight
