"""What is known of a rung before it is tried: where it stands among modded-nanogpt's
records, and what it costs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """An idea as published.

    The records are those of github.com/KellerJordan/modded-nanogpt, README.md: the
    shortest times in which eight H100 bring a GPT-2 of 124M parameters to a validation
    loss of 3.28 on FineWeb. None was tried here at that size.
    """

    title: str
    record: int
    date: str  # of the record
    published: str  # what came of it at 124M
    costs: str  # at 124M, reckoned
