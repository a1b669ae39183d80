"""Questions that the specs of 17 ask only about known data, or of what the code's own
answers give.
"""

from unittest import mock

import torch
from torch import nn

from grader.lock.probes import fill, probe


@probe("SequenceClassifier")
def _(kata, rng):
    """Logits with and without a mask, where every weight is drawn here."""
    ids = torch.randint(9, (4, 6), generator=rng)
    real = (torch.rand(4, 6, generator=rng) < 0.6) | (torch.arange(6) == 0)
    found = []
    for norm_first in (False, True):
        model = kata.SequenceClassifier(
            9, 3, d_model=8, num_heads=2, d_ff=5, norm_first=norm_first
        ).eval()
        for _, parameter in sorted(model.named_parameters()):
            parameter.detach().copy_(0.5 * torch.randn(parameter.shape, generator=rng))
        found += [model(ids), model(ids, real)]
    return found


class Reader(nn.Module):
    """Classifies by the mean embedding of the real tokens."""

    def __init__(self, rng):
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)
        with torch.no_grad():
            for parameter in (self.embedding.weight, self.head.weight, self.head.bias):
                parameter.copy_(3 * torch.randn(parameter.shape, generator=rng))

    def forward(self, ids, key_padding_mask=None):
        real = torch.ones_like(ids) if key_padding_mask is None else key_padding_mask
        weights = real.unsqueeze(-1).float()
        return self.head(
            (self.embedding(ids) * weights).sum(dim=1) / weights.sum(dim=1)
        )


@probe("train_classifier")
def _(kata, rng):
    """Losses of rows that are all the same, whichever are drawn; accuracy of others,
    where nothing is learnt.
    """
    ids, labels = (
        torch.randint(9, (31, 5), generator=rng),
        torch.randint(3, (31,), generator=rng),
    )
    real = (torch.rand(31, 5, generator=rng) < 0.6) | (torch.arange(5) == 0)
    alike = [
        part[:1].expand(31, *part.shape[1:]).clone() for part in (ids, labels, real)
    ]
    losses = kata.train_classifier(Reader(rng), *alike, steps=4, batch_size=8, lr=0.05)[
        "losses"
    ]
    measured = kata.train_classifier(
        Reader(rng), ids, labels, real, steps=2, batch_size=8, lr=1e-9
    )
    return [torch.tensor(losses), measured["accuracy"]]


class Stack(nn.Module):
    """Stands in for the encoder, whose weights codes may draw in their own order."""

    def __init__(
        self, num_layers, d_model, num_heads, d_ff=None, dropout=0.1, norm_first=False
    ):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(nn.ModuleDict() for _ in range(num_layers))
        self.norm_first = norm_first
        for block in self.blocks:
            block["attention"], block["ff"] = nn.ModuleDict(), nn.ModuleDict()
            for part, names in (
                (block["attention"], ("W_v", "W_o")),
                (block["ff"], ("fc1", "fc2")),
            ):
                part.update({name: nn.Linear(d_model, d_model) for name in names})

    def forward(self, x, *masks, return_all=False, **others):
        states = [x]
        for block in self.blocks:
            inner = (
                block.ff.fc1(block.attention.W_v(x)).tanh()
                + block.ff.fc2(block.attention.W_o(x)).tanh()
            )
            x = (
                x + inner
                if self.norm_first
                else nn.functional.normalize(x + inner, dim=-1)
            )
            states.append(self.drop(x))
        return (x, states) if return_all else x


def compared(kata, x, layers, seed):
    with mock.patch.object(kata, "TransformerEncoder", Stack):
        return kata.compare_norm_placement(x, layers, gain=1.5, seed=seed)


@probe("compare_norm_placement")
def _(kata, rng):
    x, (layers, seed) = (
        torch.randn(2, 3, 4, generator=rng),
        torch.randint(2, 6, (2,), generator=rng).tolist(),
    )
    found = compared(kata, x, layers, seed)
    return {
        place: {name: torch.tensor(row) for name, row in rows.items()}
        for place, rows in found.items()
    }


def ran(rng, module, *given, **options):
    """The shapes of a module's parameters, and its results in eval mode and in training
    mode, with drawn numbers in it.
    """
    shapes = sorted((name, tuple(p.shape)) for name, p in module.named_parameters())
    fill(module, rng)
    return [shapes, [mode_ran(module, mode, given, options) for mode in (False, True)]]


def mode_ran(module, mode, given, options):
    with torch.no_grad():
        return module.train(mode)(*given, **options)


def given(rng):
    mask = torch.rand(5, 5, generator=rng) < 0.5
    padding = torch.rand(2, 5, generator=rng) < 0.8
    padding[:, 0] = mask[:, 0] = True
    return torch.randn(2, 5, 6, generator=rng), mask, padding


@probe("FeedForward")
def _(kata, rng):
    """Dropout near 1 drops everything, so that draws decide nothing."""
    x, [width] = (
        torch.randn(2, 6, generator=rng),
        torch.randint(2, 9, (1,), generator=rng),
    )
    options = {}, {"d_ff": int(width)}, {"activation": "gelu"}, {"dropout": 1 - 1e-7}
    return [ran(rng, kata.FeedForward(6, **one), x) for one in options]


@probe("TransformerEncoderBlock.__init__")
def _(kata, rng):
    found = []
    for first, d_ff in (
        (False, None),
        (True, int(torch.randint(2, 9, (), generator=rng))),
    ):
        block = kata.TransformerEncoderBlock(6, 3, d_ff, 1 - 1e-7, first)
        fill(block, rng)
        x = torch.randn(2, 5, 6, generator=rng)
        names = sorted((name, tuple(p.shape)) for name, p in block.named_parameters())
        parts = block.attention(x), block.ff(x), block.dropout(x), block.norm1(x)
        plain = [(one[0] if isinstance(one, tuple) else one).detach() for one in parts]
        found.append([names, plain, block.norm_first])
    return found


@probe("TransformerEncoderBlock.forward")
def _(kata, rng):
    found = []
    for first in (False, True):
        block = kata.TransformerEncoderBlock(6, 3, 7, 1 - 1e-7, first, "gelu")
        found += ran(rng, block, *given(rng)) + ran(rng, block, given(rng)[0])
    return found


@probe("TransformerEncoder")
def _(kata, rng):
    found = []
    for first in (False, True):
        layers = int(torch.randint(2, 4, (), generator=rng))
        encoder = kata.TransformerEncoder(layers, 6, 2, 5, 0.0, first)
        found += ran(rng, encoder, *given(rng), return_all=True)
        found += ran(rng, encoder, given(rng)[0])
    return found
