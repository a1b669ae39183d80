"""Questions that the specs of papers/04 cannot ask from another process: they watch the
cells at work.
"""

import torch

from grader.lock.probes import judge, probe

WIDTH = 12


def watched(kata, model, ids, start):
    """Run the model, and note what each cell got and returned: for each of its calls
    the x, h and c, new h and c.
    """
    import torch

    calls = [[] for _ in model.cells]
    hooks = [
        cell.register_forward_hook(
            lambda cell, arguments, named, result, steps=steps: steps.append(
                (*arguments, *named.values(), result)
            ),
            with_kwargs=True,
        )
        for cell, steps in zip(model.cells, calls)
    ]
    with torch.no_grad():
        tops, end = model.train()(ids, list(start))
    for hook in hooks:
        hook.remove()
    return [[(x, *old, *new) for x, old, new in steps] for steps in calls], tops, end


def ratios(kata, model, rng):
    """By what dropout multiplied x and h of each cell and the top h (places, T, B, H),
    and what it left alone.
    """
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
        model.head.weight.copy_(torch.eye(WIDTH))
        model.head.bias.zero_()
    ids = torch.randint(WIDTH, (6, 5), generator=rng)
    start = [
        tuple(torch.randn(6, WIDTH, generator=rng) for _ in "hc") for _ in model.cells
    ]
    calls, tops, end = watched(kata, model, ids, start)
    x, h, c, new_h, new_c = (
        torch.stack([torch.stack([step[part] for step in steps]) for steps in calls])
        for part in range(5)
    )
    embedded = model.embed.weight.detach()[ids].transpose(0, 1)
    first_h, first_c = (
        torch.stack([layer[i] for layer in start])[:, None] for i in (0, 1)
    )
    found = [
        x / torch.cat([embedded[None], new_h[:-1]]),
        h / torch.cat([first_h, new_h[:, :-1]], dim=1),
        tops.transpose(0, 1)[None] / new_h[-1:],
    ]
    plain = [c - torch.cat([first_c, new_c[:, :-1]], dim=1)]
    plain += [
        torch.stack([layer[i] for layer in end]) - new[:, -1]
        for i, new in enumerate((new_h, new_c))
    ]
    with torch.no_grad():
        evaluated = model.eval()(ids, list(start))
    return [[ratio.round() for ratio in found], plain, evaluated]


def told(found):
    """The factors of each kind of place, and along which dimensions they are all
    the same.
    """
    return [
        (
            sorted(set(factor.flatten().tolist())),
            [bool((factor == factor.narrow(d, 0, 1)).all()) for d in range(4)],
        )
        for factor in found
    ]


@probe("RegularizedLSTM.__init__")
def _(kata, rng):
    vocab, hidden, layers, tenths = (
        int(torch.randint(1, 9, (), generator=rng)) for _ in range(4)
    )
    model = kata.RegularizedLSTM(vocab, hidden, layers, tenths / 10, "recurrent")
    parts = (model.embed, *model.cells, model.head)
    shapes = [
        {name: tuple(parameter.shape) for name, parameter in part.named_parameters()}
        for part in parts
    ]
    return [shapes, model.p, model.where, model.hidden_size]


@probe("RegularizedLSTM.forward")
def _(kata, rng):
    seen = []
    for where in ("non_recurrent", "recurrent"):
        model = kata.RegularizedLSTM(WIDTH, WIDTH, 3, p=0.5, where=where)
        seen.append(ratios(kata, model, rng))
    return seen


@judge("RegularizedLSTM.forward")
def _(values, expected):
    return [[told(found), *others] for found, *others in values]


@probe("VariationalLSTM")
def _(kata, rng):
    model = kata.VariationalLSTM(WIDTH, WIDTH, 3, p=0.5)
    return [ratios(kata, model, rng) for _ in range(2)]


@judge("VariationalLSTM")
def _(values, expected):
    (first, *others), (second, *_) = values
    pairs = (first[0], first[1]), *zip(first, second)
    return [told(first), others, [torch.equal(*pair) for pair in pairs]]


def arrays(rng, *shapes):
    return [torch.randn(shape, generator=rng).double().numpy() for shape in shapes]


@probe("dropout_numpy")
def _(kata, rng):
    x, mask = arrays(rng, (4, 5), (4, 5))
    return [kata.dropout_numpy(x, mask > 0, p) for p in (0.75, 0.3)]


@probe("lstm_stack_step_numpy")
def _(kata, rng):
    h = 4
    weights = [tuple(arrays(rng, (4 * h, h), (4 * h, h), (4 * h,))) for _ in range(2)]
    states = [tuple(arrays(rng, (h,), (h,))) for _ in range(2)]
    masks = [mask > 0 for mask in arrays(rng, (h,), (h,), (h,))]
    return kata.lstm_stack_step_numpy(*arrays(rng, (h,)), states, weights, masks, 0.5)


class Bigrams(torch.nn.Module):
    """Scores the next symbol by the present one, and half as much in training mode."""

    def __init__(self, rng):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(5, 5, generator=rng))
        self.seen = []

    def forward(self, ids, state=None):
        self.seen.append(state)
        return self.table[ids] * (0.5 if self.training else 1.0), torch.ones(1)


@probe("perplexity")
def _(kata, rng):
    model, found = Bigrams(rng), []
    for training in torch.randint(2, (4,), generator=rng).tolist():
        model.train(bool(training))
        ids = torch.randint(5, (9,), generator=rng)
        found.append(kata.perplexity(model, ids))
    return found


@probe("train_lm")
def _(kata, rng):
    """A text of one window makes every batch the same."""
    model = Bigrams(rng)
    ids = torch.randint(5, (7,), generator=rng)
    losses = kata.train_lm(model, ids, steps=5, batch=3, seq_len=6, lr=0.1)
    return [losses, model.table.detach(), model.seen[1:]]
