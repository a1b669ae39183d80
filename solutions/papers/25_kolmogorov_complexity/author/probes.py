"""Questions that the specs of papers/25 cannot ask from another process: they compare
the code with its own answers.
"""

import torch
from torch import nn

from grader.lock.probes import probe


@probe("shortest_programs")
def _(kata, rng):
    longest = int(torch.randint(4, 6, (), generator=rng))
    found = kata.shortest_programs(longest)
    outputs = sorted(found)
    drawn = torch.randint(len(outputs), (9,), generator=rng).tolist()
    return [
        len(found),
        [(one, len(found[one]), kata.run_program(found[one])) for one in outputs[::3]],
        [(outputs[i], len(found[outputs[i]])) for i in drawn],
    ]


@probe("ContextModel")
def _(kata, rng):
    model = kata.ContextModel(3, 2, 5)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return model(torch.randint(4, (6, 2), generator=rng))


def texts(rng):
    """Three texts of bytes: each of a few letters, a part of it repeated."""
    for letters in (2, 8, 200):
        length, repeats = torch.randint(20, 90, (2,), generator=rng).tolist()
        drawn = torch.randint(letters, (length,), generator=rng).tolist()
        yield bytes(drawn + drawn[: length // 2] * (repeats // 20))


@probe("compressed_bits")
def _(kata, rng):
    return [kata.compressed_bits(text) for text in texts(rng)]


@probe("normalized_compression_distance")
def _(kata, rng):
    one, two, three = texts(rng)
    return [
        kata.normalized_compression_distance(*pair)
        for pair in ((one, two), (two, three), (three, three + one))
    ]


class Table(nn.Module):
    """Logits from tables, one for each place of the context."""

    def __init__(self, size, context, rng):
        super().__init__()
        self.alphabet_size, self.context = size, context
        self.tables = nn.Parameter(torch.randn(context, size + 1, size, generator=rng))

    def forward(self, contexts):
        return sum(table[contexts[:, place]] for place, table in enumerate(self.tables))


@probe("prequential_bits")
def _(kata, rng):
    size, context, chunk, updates = (
        int(torch.randint(2, 6, (), generator=rng)) for _ in range(4)
    )
    symbols = torch.randint(size, (40 + 3 * chunk,), generator=rng)
    return kata.prequential_bits(
        Table(size, context, rng), symbols, chunk=3 * chunk, lr=0.03, updates=updates
    )
