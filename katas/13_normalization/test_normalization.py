"""Specs of 13: which elements share a mean, batch norm, layer norm, and what the
difference does.
"""

import copy
import math
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check

N, C, L = 6, 4, 3  # examples, channels, positions
IMAGES = (5, 4, 3, 2)  # N, C, H, W
T, D = 5, 7  # tokens of a sequence, features of a token

FINISHED = [
    f"torch.nn.functional.{kind}_norm"
    for kind in ("batch", "layer", "instance", "group")
]
FINISHED += [f"torch.{kind}_norm" for kind in ("batch", "layer", "instance", "group")]
FINISHED += [f"torch.native_{kind}_norm" for kind in ("batch", "layer", "group")]
FINISHED += [
    f"torch.nn.{name}"
    for name in ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "GroupNorm")
]
FINISHED += [
    f"torch.nn.{name}"
    for name in ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")
]
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


def some(*shape, **options):
    """Values whose channels and rows all have means and spreads of their own."""
    x = torch.randn(shape, **options)
    return x * (1 + torch.rand(shape[1:2] + (1,) * (len(shape) - 2))) + 2 * torch.randn(
        shape[1:]
    )


def twins(ours, theirs):
    """Both layers with the same random parameters and, in double
    precision, PyTorch's.
    """
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.normal_()
            getattr(ours, name).copy_(parameter)
    return ours, theirs.double()


def buffers(norm):
    """Copies of the running statistics."""
    names = ("running_mean", "running_var", "num_batches_tracked")
    return {name: getattr(norm, name).detach().clone() for name in names}


def same_as_torch(ours, theirs, x, unlike=None):
    """Check that output and gradients (of x and every parameter) of both layers are
    the same.
    """
    mine, right = (
        x.detach().clone().requires_grad_(),
        x.detach().double().requires_grad_(),
    )
    probe = torch.randn(x.shape)
    output, expected = ours(mine), theirs(right)
    check.close(output, expected, unlike=unlike, what="the output")
    check.that(
        output.requires_grad, "the output carries no graph: nothing can be learned"
    )
    (output * probe).sum().backward()
    (expected * probe).sum().backward()
    check.close(mine.grad, right.grad, rtol=1e-3, atol=1e-4, what="gradient of x")
    for name, parameter in theirs.named_parameters():
        grad = getattr(ours, name).grad
        check.that(grad is not None, f"no gradient reaches {name}")
        check.close(
            grad, parameter.grad, rtol=1e-3, atol=1e-4, what=f"gradient of {name}"
        )


def per_channel(x, eps=1e-5):
    """Each channel of x normalised by itself, in float64."""
    channels = []
    for values in x.double().unbind(1):
        mean = values.sum() / values.numel()
        var = ((values - mean) ** 2).sum() / values.numel()
        channels.append((values - mean) / (var + eps) ** 0.5)
    return torch.stack(channels, dim=1)


def over(x, dims, eps=1e-5):
    """x normalised over these dims, in float64."""
    x = x.double()
    n = math.prod(x.shape[d] for d in dims)
    centred = x - x.sum(dims, keepdim=True) / n
    return centred / ((centred**2).sum(dims, keepdim=True) / n + eps) ** 0.5


def slips_of_formula(x, dims, eps):
    """By name, what some slips in the formula lead to, for statistics over the
    right dims.
    """
    std, mean = torch.std_mean(x.double(), dims, correction=0, keepdim=True)
    centred = x - mean
    return {
        "the unbiased variance (n − 1)": centred
        / (x.double().var(dims, keepdim=True) + eps).sqrt(),
        "eps outside the square root": centred / (std + eps),
        "divided by the variance, not by its root": centred / (std**2 + eps),
    }


def check_by_hand(kata, norm, inputs):
    """The layer runs on these inputs without PyTorch's own normalisations, and is not
    built on one.
    """
    made = norm()
    check.that(
        not isinstance(made, NORMS),
        f"{type(made).__name__} is built on one of PyTorch's norm layers",
    )
    with check.forbidden(kata, *FINISHED):
        made = norm()
        outputs = made(inputs), made.eval()(inputs)
    for output in outputs:
        check.shape(output, inputs.shape)


def effect_by_hand(x, size, eps=1e-5):
    """The three numbers for one batch size, batch by batch, in float64."""
    x = x.double()
    batches = [x[i : i + size] for i in range(0, len(x) - size + 1, size)]
    means = torch.stack([batch.sum(0) / size for batch in batches])
    rows = [
        (b - b.sum(0) / size)
        / (((b - b.sum(0) / size) ** 2).sum(0) / size + eps) ** 0.5
        for b in batches
    ]

    def spread(values):
        return (
            ((values - values.mean(0)) ** 2)
            .sum(0)
            .div(len(values))
            .sqrt()
            .mean()
            .item()
        )

    return {
        "num_batches": len(batches),
        "mean_spread": spread(means),
        "output_std": spread(torch.cat(rows)),
    }


@contextmanager
def recorded(kinds):
    """Every call of a module of these kinds inside the block: (module, weight, input,
    output, training), all copies.
    """
    calls = []

    def record(module, args, output):
        if isinstance(module, kinds):
            weight = module.weight.detach().clone()
            calls.append(
                (
                    module,
                    weight,
                    args[0].detach().clone(),
                    output.detach().clone(),
                    module.training,
                )
            )

    handle = torch.nn.modules.module.register_module_forward_hook(record)
    try:
        yield calls
    finally:
        handle.remove()


def distinct(calls, kinds):
    """The different modules of these kinds among the calls, in the order of their
    first call.
    """
    return list(
        {id(call[0]): call[0] for call in calls if isinstance(call[0], kinds)}.values()
    )


def first_passes(calls, depth):
    """The first forward pass of each of the networks: lists of calls that end with that
    of the last linear layer.
    """
    passes, current, linears, seen = [], [], 0, set()
    for call in calls:
        current.append(call)
        linears += isinstance(call[0], nn.Linear)
        if isinstance(call[0], nn.Linear) and linears % (depth + 1) == 0:
            if id(call[0]) not in seen:
                passes.append(current)
            seen.add(id(call[0]))
            current = []
    return passes


def four_classes():
    """64 points in 8 dimensions, of four classes that a network can tell
    apart easily.
    """
    y = torch.arange(64) % 4
    noise = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    return 3 * torch.eye(4).repeat(1, 2)[y] + noise, y


def some_rows(size):
    """A selection of rows, in any order."""
    return st.lists(st.integers(0, size - 1), min_size=1, max_size=size)


@st.composite
def shapes_and_kinds(draw):
    """A shape, a kind and normalized_dims that fit together."""
    kind = draw(st.sampled_from(["batch", "layer", "instance"]))
    least = {"batch": 2, "layer": 1, "instance": 3}[kind]
    shape = draw(st.lists(st.integers(1, 3), min_size=least, max_size=4))
    return tuple(shape), kind, draw(st.integers(1, len(shape)))


def groups_by_hand(shape, kind, normalized_dims):
    """The ids, element by element: an element belongs to the group of the indices
    that decide.
    """
    ids, seen = torch.zeros(shape, dtype=torch.int64), {}
    for index in map(tuple, torch.ones(shape).nonzero().tolist()):
        leading = index[: len(shape) - normalized_dims]
        deciding = {"batch": index[1:2], "instance": index[:2], "layer": leading}[kind]
        ids[index] = seen.setdefault(deciding, len(seen))
    return ids


class TestNormalizationGroups:
    def test_batch_norm_groups_by_channel(self, kata):
        """In batch norm all rows of a batch share one mean for each channel, so a
        column of a (N, C) batch is one group. Numbering the rows instead is layer norm.
        """
        got = kata.normalization_groups((3, 4), "batch")
        unlike = {
            "one group for each row, which is layer norm": torch.arange(3)
            .unsqueeze(1)
            .expand(3, 4)
        }
        check.equal(got, torch.tensor([[0, 1, 2, 3]] * 3), unlike=unlike)

    def test_layer_norm_groups_by_token(self, kata):
        """In layer norm each row has a mean of its own, over its features: a row is
        one group.
        """
        got = kata.normalization_groups((3, 4), "layer")
        unlike = {
            "one group for each column, which is batch norm": torch.arange(4).expand(
                3, 4
            )
        }
        check.equal(got, torch.tensor([[0] * 4, [1] * 4, [2] * 4]), unlike=unlike)

    def test_layer_groups_are_the_leading_indices(self, kata):
        """By default the mean runs over the last dim alone: in (N, T, D) every token is
        a group, not every example.
        """
        expected = torch.tensor(
            [[[0] * 4, [1] * 4, [2] * 4], [[3] * 4, [4] * 4, [5] * 4]]
        )
        unlike = {
            "one group for each example: all dims but the first are shared": expected
            // 3
        }
        check.equal(
            kata.normalization_groups((2, 3, 4), "layer"), expected, unlike=unlike
        )
        expected = torch.tensor([[[0] * 4] * 3, [[1] * 4] * 3])
        unlike = {
            "normalized_dims is not used": torch.arange(6)
            .reshape(2, 3, 1)
            .expand(2, 3, 4)
        }
        got = kata.normalization_groups((2, 3, 4), "layer", 2)
        check.equal(got, expected, unlike=unlike, what="ids for normalized_dims=2")

    def test_batch_groups_take_in_all_positions(self, kata):
        """A channel has one mean, however many dims follow: the positions or pixels of
        all examples share it.
        """
        expected = torch.tensor([[[0] * 4, [1] * 4, [2] * 4]] * 2)
        unlike = {
            "a group for each position, too": torch.arange(12)
            .reshape(1, 3, 4)
            .expand(2, 3, 4)
        }
        check.equal(
            kata.normalization_groups((2, 3, 4), "batch"), expected, unlike=unlike
        )

    def test_instance_norm_groups_by_example_and_channel(self, kata):
        """Instance norm takes each channel of each example by itself, as for styles
        of images.
        """
        expected = torch.tensor(
            [[[0] * 4, [1] * 4, [2] * 4], [[3] * 4, [4] * 4, [5] * 4]]
        )
        unlike = {
            "the groups of batch norm: examples share a channel's mean": expected % 3
        }
        check.equal(
            kata.normalization_groups((2, 3, 4), "instance"), expected, unlike=unlike
        )

    @given(case=shapes_and_kinds())
    def test_ids_count_up_in_the_order_of_reading(self, kata, case):
        """Read row by row, the first element is in group 0, and each new group has the
        next id. Batch and instance norm ignore normalized_dims.
        """
        shape, kind, dims = case
        got = kata.normalization_groups(shape, kind, dims)
        check.equal(
            got,
            groups_by_hand(*case),
            what=f"ids for {shape}, {kind!r}, normalized_dims={dims}",
        )

    @pytest.mark.edge
    def test_the_shape_may_be_any_sequence(self, kata):
        """A list or the `shape` of a tensor is as good as a tuple."""
        expected = torch.tensor([[0, 1, 2], [0, 1, 2]])
        for shape in ([2, 3], torch.zeros(2, 3).shape):
            check.equal(
                kata.normalization_groups(shape, "batch"),
                expected,
                what=f"ids for {shape!r}",
            )

    @pytest.mark.edge
    def test_unknown_kinds_are_refused(self, kata):
        """A typo in the kind should be an error, not some other kind of groups."""
        with check.raises(ValueError):
            kata.normalization_groups((2, 3, 4), "group")

    @pytest.mark.edge
    def test_too_few_dims_are_refused(self, kata):
        """Without dim 1 there are no channels, and without a third dim an instance
        group would be a single number.
        """
        for shape, kind in (((4,), "batch"), ((3, 4), "instance"), ((4,), "instance")):
            with check.raises(ValueError):
                kata.normalization_groups(shape, kind)

    @pytest.mark.edge
    def test_normalized_dims_must_exist(self, kata):
        """A tensor of three dims has one to three last dims; 0 would make every element
        its own mean.
        """
        for dims in (0, 4, -1):
            with check.raises(ValueError):
                kata.normalization_groups((2, 3, 4), "layer", dims)


class TestBatchNorm1dInit:
    def test_starts_as_pytorch_does(self, kata):
        """Scale 1, shift 0, running mean 0, running variance 1, no batch counted.
        weight and bias are parameters, the rest are buffers. A statistic kept as a
        plain attribute is neither saved nor moved to another device.
        """
        norm, theirs = kata.BatchNorm1d(C), nn.BatchNorm1d(C)
        check.equal(
            dict(norm.state_dict()), dict(theirs.state_dict()), what="state_dict"
        )
        names = {name for name, _ in norm.named_parameters()}
        check.that(
            names == {"weight", "bias"},
            f"the parameters should be weight and bias, they are {sorted(names)}",
        )

    def test_without_affine_there_is_nothing_to_learn(self, kata):
        """affine=False leaves the bare normalisation: weight and bias are None, the
        running statistics stay.
        """
        norm = kata.BatchNorm1d(C, affine=False)
        left = [name for name in ("weight", "bias") if getattr(norm, name) is not None]
        check.that(not left, f"{', '.join(left)} should be None with affine=False")
        names, expected = (
            set(norm.state_dict()),
            set(nn.BatchNorm1d(C, affine=False).state_dict()),
        )
        check.that(
            names == expected,
            f"the state_dict should have {sorted(expected)}, it has {sorted(names)}",
        )

    def test_is_no_layer_of_pytorch(self, kata):
        """The class makes its parameters and buffers itself. It neither holds nor
        extends a norm layer of PyTorch's.
        """
        with check.forbidden(kata, *FINISHED):
            norm = kata.BatchNorm1d(C)
        check.that(
            not isinstance(norm, NORMS),
            f"{type(norm).__name__} is built on one of PyTorch's norm layers",
        )

    @pytest.mark.edge
    def test_without_running_statistics_there_are_no_buffers(self, kata):
        """track_running_stats=False leaves nothing to remember: the three attributes
        are None, and the state_dict has none of them.
        """
        norm = kata.BatchNorm1d(C, track_running_stats=False)
        names = ("running_mean", "running_var", "num_batches_tracked")
        kept = [name for name in names if getattr(norm, name) is not None]
        check.that(
            not kept, f"{', '.join(kept)} should be None with track_running_stats=False"
        )
        names = set(norm.state_dict())
        check.that(
            names == {"weight", "bias"},
            f"the state_dict should have weight and bias, it has {sorted(names)}",
        )


class TestBatchNorm1dForward:
    def test_training_normalises_each_channel_over_the_batch(self, kata):
        """Training mode subtracts the mean of every column of (N, C) and divides the
        column by √(var + eps). The variance is the biased one: the sum of the squares
        is divided by N, not by N − 1.
        """
        x = some(N, C)
        var, mean = torch.var_mean(x.double(), 0)
        for eps in (0.1, 1e-5):
            unlike = slips_of_formula(x, (0,), eps) | {
                "statistics of each row, which is layer norm": over(x, (1,), eps),
                "one mean and variance for all channels": over(x, (0, 1), eps),
                "the running statistics, in training mode, too": (x - 0.1 * mean)
                / (0.9 + 0.1 * var + eps).sqrt(),
            }
            check.close(
                kata.BatchNorm1d(C, eps=eps)(x),
                per_channel(x, eps),
                unlike=unlike,
                what=f"eps={eps}",
            )

    def test_channels_of_sequences_share_their_positions(self, kata):
        """In (N, C, L) a channel has one mean over all examples and all positions, so n
        is N · L.
        """
        x = some(N, C, L)
        unlike = slips_of_formula(x, (0, 2), 0.1) | {
            "a mean for each position: only dim 0 is shared": over(x, (0,), 0.1),
            "a mean for each example: only the positions are shared": over(
                x, (2,), 0.1
            ),
        }
        check.close(kata.BatchNorm1d(C, eps=0.1)(x), per_channel(x, 0.1), unlike=unlike)

    def test_scale_and_shift_belong_to_channels(self, kata):
        """weight[c] and bias[c] are for channel c. With as many positions as channels,
        (C,) broadcasts along the positions and raises nothing.
        """
        x, weight, bias = some(N, C, C), 1 + torch.rand(C), torch.randn(C)
        norm = kata.BatchNorm1d(C)
        norm.load_state_dict(norm.state_dict() | {"weight": weight, "bias": bias})
        plain = per_channel(x)
        unlike = {
            "weight and bias along the positions, not the channels": plain * weight
            + bias,
            "weight and bias are not applied": plain,
        }
        check.close(norm(x), plain * weight[:, None] + bias[:, None], unlike=unlike)

    def test_training_output_and_gradients_equal_pytorchs(self, kata):
        """The mean and the variance depend on x too, so gradients flow through both. A
        `detach` there changes the gradient of x and leaves the output as it is.
        """
        for options in ({}, {"affine": False}):
            for shape in ((N, C), (N, C, L)):
                ours, theirs = (
                    layer(C, eps=0.1, **options)
                    for layer in (kata.BatchNorm1d, nn.BatchNorm1d)
                )
                same_as_torch(*twins(ours, theirs), some(*shape))

    def test_running_statistics_follow_the_batches(self, kata):
        """running = (1 − m) · running + m · batch: most of the old value stays. The
        running variance takes the unbiased variance, an estimate for unseen data.
        num_batches_tracked counts the batches.
        """
        norm, mean, var, biased, swapped = kata.BatchNorm1d(C, momentum=0.3), 0, 1, 1, 0
        for _ in range(3):
            x = some(N, C, L)
            norm(x)
            values = x.double().transpose(0, 1).flatten(1)
            swapped = 0.3 * swapped + 0.7 * values.mean(1)
            mean = 0.7 * mean + 0.3 * values.mean(1)
            var = 0.7 * var + 0.3 * values.var(1)
            biased = 0.7 * biased + 0.3 * values.var(1, correction=0)
        unlike = {
            "momentum on the wrong term: m is the share of the new batch": swapped,
            "no batch has moved it": torch.zeros(C),
        }
        check.close(
            norm.running_mean,
            mean,
            unlike=unlike,
            what="running_mean after three batches",
        )
        unlike = {"the biased variance: it is kept times n / (n − 1)": biased}
        check.close(
            norm.running_var, var, unlike=unlike, what="running_var after three batches"
        )
        check.equal(
            norm.num_batches_tracked,
            torch.tensor(3),
            what="num_batches_tracked after three batches",
        )

    def test_buffers_carry_no_graph(self, kata):
        """Running statistics with a graph keep every batch so far in memory, and the
        second backward pass fails.
        """
        norm = kata.BatchNorm1d(C)
        for _ in range(2):
            norm(some(N, C).requires_grad_()).square().sum().backward()
        for name in ("running_mean", "running_var"):
            check.that(
                not getattr(norm, name).requires_grad,
                f"{name} carries a graph: detach what it is made of",
            )

    def test_eval_uses_and_keeps_the_running_statistics(self, kata):
        """In eval mode the layer is a fixed scale and shift of each channel, taken from
        the batches of training. Test data must not change the model.
        """
        for shape in ((N, C), (N, C, L)):
            ours, theirs = twins(
                kata.BatchNorm1d(C, eps=0.1), nn.BatchNorm1d(C, eps=0.1)
            )
            seen = some(*shape)
            ours(seen), theirs(seen.double())
            before = buffers(ours)
            x = some(*shape)
            in_training = copy.deepcopy(theirs)(x.double())
            unlike = {"the batch's own statistics, in eval mode": in_training}
            same_as_torch(ours.eval(), theirs.eval(), x, unlike)
            check.equal(
                buffers(ours), before, what="buffers after a batch in eval mode"
            )

    @given(rows=some_rows(N))
    def test_in_eval_a_row_does_not_depend_on_its_batch(self, kata, rows):
        """A prediction must not change with the other rows of the batch. Any rows, in
        any order, give the same outputs as in the whole batch, and one row alone
        is enough.
        """
        norm, x = kata.BatchNorm1d(C), some(N, C)
        norm(some(N, C))
        norm.eval()
        check.close(
            norm(x[rows]),
            norm(x)[rows],
            what=f"rows {rows} of the batch as a batch of their own",
        )

    def test_written_without_the_finished_layers(self, kata):
        """This exercise is the layer: PyTorch's functions, or its class as a base,
        would be the answer.
        """
        check_by_hand(kata, lambda: kata.BatchNorm1d(C), some(N, C))

    @pytest.mark.edge
    def test_a_momentum_of_zero_moves_nothing(self, kata):
        """0.0 is a momentum like any other. `momentum or 0.1` and `if momentum` take it
        for a missing one.
        """
        norm, usual, x = (
            kata.BatchNorm1d(C, momentum=0.0),
            kata.BatchNorm1d(C),
            some(N, C),
        )
        norm(x), usual(x)
        unlike = {"the default momentum": usual.running_mean}
        check.equal(
            norm.running_mean, torch.zeros(C), unlike=unlike, what="running_mean"
        )
        check.equal(norm.running_var, torch.ones(C), what="running_var")

    @pytest.mark.edge
    def test_no_momentum_is_the_plain_mean(self, kata):
        """With momentum=None every batch counts the same: m is 1 for the first, ½ for
        the second, ⅓ for the third.
        """
        norm = kata.BatchNorm1d(C, momentum=None)
        batches = [some(N, C) for _ in range(3)]
        for x in batches:
            norm(x)
        means = torch.stack([x.double().mean(0) for x in batches])
        variances = torch.stack([x.double().var(0) for x in batches])
        unlike = {
            "momentum 0.1 in its place": 0.1
            * (0.81 * means[0] + 0.9 * means[1] + means[2])
        }
        check.close(
            norm.running_mean, means.mean(0), unlike=unlike, what="running_mean"
        )
        check.close(norm.running_var, variances.mean(0), what="running_var")

    @pytest.mark.edge
    def test_without_running_statistics_both_modes_use_the_batch(self, kata):
        """With track_running_stats=False, eval mode has nothing else to
        normalise by.
        """
        norm, x = kata.BatchNorm1d(C, track_running_stats=False), some(N, C)
        check.close(norm(x), per_channel(x), what="the output in training mode")
        check.close(norm.eval()(x), per_channel(x), what="the output in eval mode")

    @pytest.mark.edge
    def test_two_values_per_channel_are_enough(self, kata):
        """Two positions of one example are two values of each channel, and so are
        two rows.
        """
        for shape in ((1, C, 2), (2, C)):
            x = some(*shape)
            check.close(
                kata.BatchNorm1d(C, eps=0.1)(x),
                per_channel(x, 0.1),
                what=f"the output for {shape}",
            )

    @pytest.mark.edge
    def test_input_may_be_non_contiguous_and_is_not_written_to(self, kata):
        """A transposed sequence, (N, L, C) seen as (N, C, L), is not in the order of
        memory. x is the caller's.
        """
        x = some(N, L, C).transpose(1, 2)
        expected = per_channel(x, 0.1)
        for options in check.modes(affine=[False], track_running_stats=[False]):
            norm = kata.BatchNorm1d(C, eps=0.1, **options)
            with check.unchanged(x=x):
                output = norm(x)
                norm.eval()(x)
            check.close(output, expected, what=f"the output with {options}")

    @pytest.mark.edge
    def test_a_float64_layer_stays_float64(self, kata):
        """`double()` moves parameters and buffers; the result has all the digits of
        float64, in both modes.
        """
        norm, x = kata.BatchNorm1d(C).double(), some(N, C).double()
        check.dtype(
            norm.running_mean, torch.float64, what="running_mean after double()"
        )
        for mode in (True, False):
            check.dtype(
                norm.train(mode)(x),
                torch.float64,
                what=f"the output with training={mode}",
            )
        check.close(norm.train()(x), per_channel(x), what="the output")

    @pytest.mark.edge
    def test_one_value_per_channel_is_refused_in_training(self, kata):
        """The variance of a single value is 0, or NaN when unbiased: there is nothing
        to normalise by. In training mode that is an error; without running statistics
        in eval mode too.
        """
        for shape in ((1, C), (1, C, 1), (0, C)):
            with check.raises(ValueError, ", ".join(map(str, shape))):
                kata.BatchNorm1d(C)(torch.randn(shape))
            with check.raises(ValueError, ", ".join(map(str, shape))):
                kata.BatchNorm1d(C, track_running_stats=False).eval()(
                    torch.randn(shape)
                )

    @pytest.mark.edge
    def test_wrong_shapes_are_refused(self, kata):
        """x has two or three dims with C channels in dim 1, in both modes. A single
        channel would silently broadcast to C channels.
        """
        for shape in ((N,), (N, C, L, 2), (N, C + 1), (N, 1), (N, L, C)):
            for mode in (True, False):
                with check.raises(ValueError):
                    kata.BatchNorm1d(C).train(mode)(torch.randn(shape))

    @pytest.mark.edge
    def test_a_refused_input_leaves_the_buffers_alone(self, kata):
        """Check first, count afterwards: after an error, training can go on
        as before.
        """
        norm = kata.BatchNorm1d(C)
        norm(some(N, C))
        before = buffers(norm)
        for shape in ((1, C), (N, C + 1), (N, C, L, 2)):
            with check.raises(ValueError):
                norm(torch.randn(shape))
            check.equal(buffers(norm), before, what=f"buffers after an input {shape}")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """`cuda()` moves parameters and buffers. New tensors must be made on the
        same device.
        """
        norm, x = kata.BatchNorm1d(C, eps=0.1).cuda(), some(N, C).cuda()
        output = norm(x)
        check.that(
            output.device == x.device,
            f"the output is on {output.device}, x on {x.device}",
        )
        device = norm.running_mean.device
        check.that(device == x.device, f"running_mean is on {device}, x on {x.device}")
        check.close(output, per_channel(x, 0.1), rtol=1e-3, atol=1e-3)


@pytest.mark.stretch
class TestBatchNorm2d:
    def test_starts_as_pytorch_does(self, kata):
        """The parameters and buffers are those of `nn.BatchNorm2d`: C numbers each, not
        one per pixel.
        """
        for options in ({}, {"affine": False}):
            norm, theirs = kata.BatchNorm2d(C, **options), nn.BatchNorm2d(C, **options)
            check.equal(
                dict(norm.state_dict()),
                dict(theirs.state_dict()),
                what=f"state_dict with {options}",
            )
            names, right = (
                {name for name, _ in m.named_parameters()} for m in (norm, theirs)
            )
            check.that(
                names == right,
                f"the parameters should be {sorted(right)}, they are {sorted(names)}",
            )

    def test_training_normalises_each_channel_over_all_pixels(self, kata):
        """A channel of an image has one mean over all examples, rows and columns:
        N · H · W values.
        """
        x = some(*IMAGES)
        unlike = slips_of_formula(x, (0, 2, 3), 0.1) | {
            "a mean for each pixel: only dim 0 is shared": over(x, (0,), 0.1),
            "a mean for each example, which is instance norm": over(x, (2, 3), 0.1),
            "all channels share one mean": over(x, (1, 2, 3), 0.1),
        }
        check.close(kata.BatchNorm2d(C, eps=0.1)(x), per_channel(x, 0.1), unlike=unlike)

    def test_training_output_and_gradients_equal_pytorchs(self, kata):
        """Scale and shift belong to channels, also where the image is as wide as there
        are channels.
        """
        for shape in (IMAGES, (2, C, 3, C)):
            same_as_torch(
                *twins(kata.BatchNorm2d(C, eps=0.1), nn.BatchNorm2d(C, eps=0.1)),
                some(*shape),
            )

    def test_running_statistics_equal_pytorchs(self, kata):
        """Three batches move the buffers as in one dimension, with n = N · H · W. Eval
        mode uses and keeps them.
        """
        ours, theirs = twins(
            kata.BatchNorm2d(C, momentum=0.3), nn.BatchNorm2d(C, momentum=0.3)
        )
        turned = nn.BatchNorm2d(C, momentum=0.7).double()
        for _ in range(3):
            x = some(*IMAGES)
            ours(x), theirs(x.double()), turned(x.double())
        unlike = {"momentum weighs what was there, not what is new": buffers(turned)}
        check.close(buffers(ours), buffers(theirs), unlike=unlike, what="buffers")
        same_as_torch(ours.eval(), theirs.eval(), some(*IMAGES))
        check.close(buffers(ours), buffers(theirs), what="buffers after eval")

    def test_written_without_the_finished_layers(self, kata):
        """PyTorch's functions, or its class as a base, would be the answer."""
        check_by_hand(kata, lambda: kata.BatchNorm2d(C), some(*IMAGES))

    @pytest.mark.edge
    def test_options_are_pytorchs(self, kata):
        """momentum=0.0 moves nothing, None is the plain mean over the batches, and
        without running statistics both modes use the batch.
        """
        for options in (
            {"momentum": 0.0},
            {"momentum": None},
            {"track_running_stats": False},
        ):
            ours, theirs = twins(
                kata.BatchNorm2d(C, **options), nn.BatchNorm2d(C, **options)
            )
            for _ in range(3):
                x = some(*IMAGES)
                ours(x), theirs(x.double())
            check.close(
                dict(ours.state_dict()),
                dict(theirs.state_dict()),
                what=f"state_dict with {options}",
            )
            x = some(*IMAGES)
            check.close(
                ours.eval()(x),
                theirs.eval()(x.double()),
                what=f"the output in eval mode with {options}",
            )

    @pytest.mark.edge
    def test_input_may_be_non_contiguous_and_is_not_written_to(self, kata):
        """Images are often kept with the channels last and seen through a
        transposed view.
        """
        x = some(5, 3, 2, C).movedim(-1, 1)
        expected = per_channel(x, 0.1)
        for options in check.modes(affine=[False], track_running_stats=[False]):
            norm = kata.BatchNorm2d(C, eps=0.1, **options)
            with check.unchanged(x=x):
                output = norm(x)
                norm.eval()(x)
            check.close(output, expected, what=f"the output with {options}")

    @pytest.mark.edge
    def test_one_value_per_channel_is_refused_in_training(self, kata):
        """One example of one pixel has no variance. Two pixels have one, and eval mode
        needs none.
        """
        norm = kata.BatchNorm2d(C)
        with check.raises(ValueError, f"1, {C}, 1, 1"):
            norm(torch.randn(1, C, 1, 1))
        check.equal(
            norm.num_batches_tracked,
            torch.tensor(0),
            what="batches counted after the refused one",
        )
        check.shape(norm.eval()(torch.randn(1, C, 1, 1)), (1, C, 1, 1))
        check.shape(norm.train()(torch.randn(1, C, 1, 2)), (1, C, 1, 2))

    @pytest.mark.edge
    def test_wrong_shapes_are_refused(self, kata):
        """Four dims with C channels in dim 1: neither a single image nor channels at
        the end.
        """
        for shape in ((N, C), (C, 3, 2), (N, C, 3, 2, 2), (N, 3, 2, C), (N, 1, 3, 2)):
            for mode in (True, False):
                with check.raises(ValueError):
                    kata.BatchNorm2d(C).train(mode)(torch.randn(shape))

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """`cuda()` moves parameters and buffers."""
        x = some(*IMAGES).cuda()
        output = kata.BatchNorm2d(C, eps=0.1).cuda()(x)
        check.that(
            output.device == x.device,
            f"the output is on {output.device}, x on {x.device}",
        )
        check.close(output, per_channel(x, 0.1), rtol=1e-3, atol=1e-3)


class TestLayerNorm:
    def test_starts_as_pytorch_does(self, kata):
        """Scale 1 and shift 0 of the normalised shape, as parameters, and no buffers.
        The shape is kept as a tuple, also if it is given as an int or a list.
        """
        for shape, expected in ((D, (D,)), ([T, D], (T, D)), ((D,), (D,))):
            norm = kata.LayerNorm(shape)
            check.equal(
                norm.normalized_shape,
                expected,
                what=f"normalized_shape of LayerNorm({shape})",
            )
            check.equal(
                dict(norm.state_dict()),
                dict(nn.LayerNorm(shape).state_dict()),
                what="state_dict",
            )
            names = {name for name, _ in norm.named_parameters()}
            check.that(
                names == {"weight", "bias"},
                f"the parameters should be weight and bias, not {sorted(names)}",
            )

    def test_each_token_is_normalised_over_its_features(self, kata):
        """Every (n, t) of an (N, T, D) batch has its own mean and biased variance over
        the D features, and eps is added inside the square root.
        """
        x = some(N, T, D)
        for eps in (0.1, 1e-5):
            unlike = slips_of_formula(x, (2,), eps) | {
                "statistics over the batch: dim 0": over(x, (0,), eps),
                "statistics over all dims": over(x, (0, 1, 2), eps),
                "statistics over tokens and features": over(x, (1, 2), eps),
                "statistics over batch and tokens, which is batch norm": over(
                    x, (0, 1), eps
                ),
            }
            check.close(
                kata.LayerNorm(D, eps=eps)(x),
                over(x, (2,), eps),
                unlike=unlike,
                what=f"eps={eps}",
            )

    def test_a_tuple_joins_several_dims(self, kata):
        """LayerNorm((T, D)) takes one mean over the last two dims. The last dim alone
        has the same shape.
        """
        x = some(N, L, T, D)
        unlike = {"only the last dim is normalised": over(x, (3,), 0.1)}
        check.close(
            kata.LayerNorm((T, D), eps=0.1)(x), over(x, (2, 3), 0.1), unlike=unlike
        )

    def test_output_and_gradients_equal_pytorchs(self, kata):
        """Weight and bias have a number for each normalised element; mean and variance
        take part in the gradient.
        """
        for shape in (D, (T, D)):
            for options in ({}, {"bias": False}, {"elementwise_affine": False}):
                ours, theirs = (
                    layer(shape, eps=0.1, **options)
                    for layer in (kata.LayerNorm, nn.LayerNorm)
                )
                same_as_torch(*twins(ours, theirs), some(N, T, D))

    def test_weight_and_bias_can_be_switched_off(self, kata):
        """A parameter that is switched off is None and not in the state_dict. Without a
        weight there is no bias.
        """
        for options in (
            {"bias": False},
            {"elementwise_affine": False},
            {"elementwise_affine": False, "bias": True},
        ):
            norm, theirs = kata.LayerNorm(D, **options), nn.LayerNorm(D, **options)
            for name in ("weight", "bias"):
                absent = getattr(theirs, name) is None
                got = getattr(norm, name)
                wanted = "None" if absent else "a parameter"
                check.that(
                    (got is None) == absent,
                    f"with {options}, {name} should be {wanted}",
                )
            names, right = sorted(norm.state_dict()), sorted(theirs.state_dict())
            check.that(
                names == right,
                f"with {options} the state_dict should have {right}, not {names}",
            )

    @given(rows=some_rows(N))
    def test_a_token_does_not_depend_on_the_others(self, kata, rows):
        """This is why transformers use layer norm. A token's output is the same in any
        batch, any order, and alone.
        """
        norm, x = kata.LayerNorm(D), some(N, D)
        expected = over(x, (1,))
        check.close(
            norm(x[rows]), expected[rows], what=f"tokens {rows} in a batch of their own"
        )
        check.close(
            norm(x[rows[0]]),
            expected[rows[0]],
            what=f"token {rows[0]} without any leading dim",
        )

    def test_the_mode_makes_no_difference(self, kata):
        """There is nothing to remember between batches, so training and eval mode do
        the same.
        """
        norm, x = kata.LayerNorm(D), some(N, T, D)
        expected = norm(x)
        norm(10 * some(N, T, D) + 5)
        check.equal(
            norm.eval()(x),
            expected,
            what="the output in eval mode, after another batch",
        )

    def test_equal_features_give_the_bias(self, kata):
        """A row without spread has variance 0: 0 / √eps is 0, and the bias is left.
        √var alone has an infinite slope there, and its gradient would be NaN.
        """
        norm, bias = kata.LayerNorm(D), torch.randn(D)
        norm.load_state_dict({"weight": torch.ones(D), "bias": bias})
        x = (
            torch.tensor([3.0, -2.0, 0.0])[:, None]
            .expand(3, D)
            .clone()
            .requires_grad_()
        )
        output = norm(x)
        check.close(output, bias.expand(3, D))
        (output * torch.randn(3, D)).sum().backward()
        check.finite(x.grad, what="gradient of x")

    def test_written_without_the_finished_layers(self, kata):
        """This exercise is the layer: PyTorch's functions, or its class as a base,
        would be the answer.
        """
        check_by_hand(kata, lambda: kata.LayerNorm(D), some(N, T, D))

    @pytest.mark.edge
    def test_rows_far_from_zero_keep_their_spread(self, kata):
        """Near 1000 with a spread of 0.1, float32 still holds the differences. The mean
        of the squares minus the square of the mean loses them: both are about a
        million, and only rounding is left.
        """
        x = 1000 + 0.1 * torch.randn(N, 64)
        check.close(kata.LayerNorm(64)(x), over(x, (1,)), rtol=0.02, atol=0.02)

    @pytest.mark.edge
    def test_half_precision_rows_of_a_thousand_do_not_overflow(self, kata):
        """float16 ends at 65,504 and 1000² is a million, so the statistics are computed
        in float32. bfloat16 has the range, but only two to three digits: too few for a
        mean near 100. The result has x's dtype.
        """
        signs = torch.randint(0, 2, (N, 16)) * 2 - 1
        large, offset = (
            1000.0 * signs + 100 * torch.randn(N, 16),
            100 + 2 * torch.randn(N, 16),
        )
        for dtype, values in (
            (torch.float16, large),
            (torch.bfloat16, large),
            (torch.bfloat16, offset),
        ):
            x = values.to(dtype)
            for kind in (dtype, torch.float32):
                output = kata.LayerNorm(16).to(kind)(x)
                what = f"the output for {dtype} input, weight in {kind}"
                check.dtype(output, dtype, what=what)
                unlike = {"a variance that overflowed to inf": torch.zeros(N, 16)}
                check.close(output, over(x, (1,)), unlike=unlike, what=what)

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """Statistics in float32 would lose half of the digits."""
        x = some(N, T, D).double()
        output = kata.LayerNorm(D).double()(x)
        check.dtype(output, torch.float64)
        check.close(output, over(x, (2,)))

    @pytest.mark.edge
    def test_input_may_be_non_contiguous_and_is_not_written_to(self, kata):
        """x may be a transposed view. It belongs to the caller: `x -= mean` changes it
        and spoils what a residual connection adds later.
        """
        x = some(N, D, T).mT
        expected = over(x, (2,), 0.1)
        for options in check.modes(elementwise_affine=[False], bias=[False]):
            with check.unchanged(x=x):
                output = kata.LayerNorm(D, eps=0.1, **options)(x)
            check.close(output, expected, what=f"the output with {options}")

    @pytest.mark.edge
    def test_wrong_shapes_are_refused(self, kata):
        """x must end in normalized_shape. A last dim of 1 would silently broadcast to
        D features.
        """
        for normalized, shape in (
            (D, (N, T)),
            (D, (N, 1)),
            ((T, D), (D,)),
            ((T, D), (T, N, D)),
            ((T, D), (N, D, T)),
        ):
            with check.raises(ValueError):
                kata.LayerNorm(normalized)(torch.randn(shape))

    @pytest.mark.edge
    @pytest.mark.amp
    def test_half_precision_on_the_gpu(self, kata):
        """In float16 on the GPU as on the CPU: rows of ±1000 under autocast stay finite
        and right.
        """
        norm = kata.LayerNorm(16).cuda()
        x = (
            (1000.0 * (torch.randint(0, 2, (N, 16)) * 2 - 1) + 100 * torch.randn(N, 16))
            .half()
            .cuda()
        )
        with torch.autocast("cuda", dtype=torch.float16):
            output = norm(x)
        check.dtype(output, torch.float16)
        check.close(output, over(x, (1,)))

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """The layer makes new tensors on the device of its input."""
        x = some(N, T, D).cuda()
        output = kata.LayerNorm(D, eps=0.1).cuda()(x)
        check.that(
            output.device == x.device,
            f"the output is on {output.device}, x on {x.device}",
        )
        check.close(output, over(x, (2,), 0.1), rtol=1e-3, atol=1e-3)


class TestTrainEvalGap:
    def test_batch_norm_has_a_gap(self, kata):
        """Training mode takes the batch's statistics, eval mode the running ones; the
        gap is the largest absolute difference of the two outputs, a plain float,
        whichever mode the layer is in.
        """
        norm, x = nn.BatchNorm1d(C), some(N, C)
        norm(some(N, C))
        var, mean = torch.var_mean(x.double(), dim=0, correction=0)
        learning = (x - mean) / (var + norm.eps).sqrt()
        kept = [(x.double() - norm.running_mean) / (norm.running_var + norm.eps).sqrt()]
        moved = (
            0.9 * norm.running_mean + 0.1 * x.mean(0),
            0.9 * norm.running_var + 0.1 * x.var(0),
        )
        kept.append((x - moved[0]) / (moved[1] + norm.eps).sqrt())
        expected, late = ((learning - output).abs().max().item() for output in kept)
        unlike = {
            "the same mode twice": 0.0,
            (
                "the output in eval mode is that with the running statistics after a "
                "training pass"
            ): late,
            "the mean of the differences, not the largest": (learning - kept[0])
            .abs()
            .mean()
            .item(),
        }
        for mode in (True, False):
            got = kata.train_eval_gap(norm.train(mode), x)
            what = f"the gap, starting with training={mode}"
            check.close(got, expected, rtol=1e-3, atol=1e-5, unlike=unlike, what=what)
            check.that(
                isinstance(got, float),
                f"the gap should be a plain float, not {check.describe(got)}",
            )

    def test_the_gap_has_no_sign(self, kata):
        """A fresh layer maps −x to the negative of its output for x, so the gap is the
        same for both. The largest difference without its absolute value is not.
        """
        x = torch.tensor([[1.0], [1.5], [9.0]])
        expected = (
            (nn.BatchNorm1d(1)(x) - nn.BatchNorm1d(1).eval()(x)).abs().max().item()
        )
        for sign in (1, -1):
            got = kata.train_eval_gap(nn.BatchNorm1d(1), sign * x)
            check.close(got, expected, rtol=1e-3, what=f"the gap of {sign} · x")

    def test_layer_norm_has_none(self, kata):
        """Layer norm does the same in both modes: exactly 0.0."""
        check.equal(kata.train_eval_gap(nn.LayerNorm(D), some(N, D)), 0.0)

    def test_running_statistics_stay(self, kata):
        """A training pass moves the running statistics, of all parts of a model. Copy
        the layer, or put copies of the buffers back. `state_dict()` alone is no copy:
        its tensors are the buffers themselves.
        """
        for mode in (True, False):
            model = nn.Sequential(
                nn.Linear(C, D), nn.Sequential(nn.BatchNorm1d(D)), nn.BatchNorm1d(D)
            ).train(mode)
            before = {name: value.clone() for name, value in model.state_dict().items()}
            moved, x = copy.deepcopy(model).train(), some(N, C)
            moved(x)
            kata.train_eval_gap(model, x)
            unlike = {
                "the statistics after the training pass": dict(moved.state_dict())
            }
            what = f"state_dict, starting with training={mode}"
            check.equal(dict(model.state_dict()), before, unlike=unlike, what=what)

    @pytest.mark.edge
    def test_the_mode_of_every_part_stays(self, kata):
        """A model in training may have frozen parts that are in eval mode.
        `model.train()` at the end would switch them to training mode.
        """
        for modes in ((True, False), (False, True), (False, False), (True, True)):
            model = nn.Sequential(nn.BatchNorm1d(C), nn.BatchNorm1d(C))
            for part, mode in zip(model, modes, strict=True):
                part.train(mode)
            outer = modes[0]
            model.training = outer
            kata.train_eval_gap(model, some(N, C))
            got = [model.training, *(part.training for part in model)]
            check.equal(
                got,
                [outer, *modes],
                what="training flags of the model and its two parts",
            )

    @pytest.mark.edge
    def test_no_gradient_is_left(self, kata):
        """This is a measurement, not a training step: every `.grad` stays, even one
        that waits for a step.
        """
        norm, x = nn.BatchNorm1d(C), some(N, C).requires_grad_()
        norm.weight.grad = torch.arange(C).float()
        with check.unchanged(x=x, weight=norm.weight, bias=norm.bias):
            kata.train_eval_gap(norm, x)

    @pytest.mark.edge
    def test_an_error_leaves_the_layer_as_it_was(self, kata):
        """One row is an error in training mode. The layer keeps its mode and its
        buffers all the same.
        """
        for mode in (False, True):
            norm = nn.BatchNorm1d(C).train(mode)
            before = buffers(norm)
            with check.raises(ValueError):
                kata.train_eval_gap(norm, torch.randn(1, C))
            check.equal(norm.training, mode, what="norm.training after the error")
            check.equal(buffers(norm), before, what="buffers after the error")


class TestBatchSizeEffect:
    def test_rows_stay_together_in_order(self, kata):
        """The first b rows are the first batch, the next b the second. Here each run of
        three rows is alike, so batches of three have nothing to normalise but differ in
        their means. The 13th row fills no batch and is dropped.
        """
        x = torch.arange(5.0).repeat_interleave(3)[:13, None] * torch.tensor(
            [1.0, 10.0]
        )
        got = kata.batch_size_effect(x, [3])
        expected = {
            3: {"num_batches": 4, "mean_spread": 5.5 * 1.25**0.5, "output_std": 0.0}
        }
        unlike = {"the incomplete batch counts, too": {3: {"num_batches": 5}}}
        check.close(got, expected, rtol=1e-3, atol=1e-4, unlike=unlike)

    @given(size=st.integers(1, 12))
    def test_matches_batch_by_batch(self, kata, size):
        """num_batches full batches; the deviation of their means; and the deviation
        that is left after each batch is normalised by itself. All deviations are of the
        population: divided by n, not n − 1.
        """
        x = some(12, C)
        expected = effect_by_hand(x, size)
        check.close(
            kata.batch_size_effect(x, [size]), {size: expected}, rtol=1e-3, atol=1e-5
        )

    def test_batches_of_one_lose_everything(self, kata):
        """A row minus its own mean is zero in every channel: the output has no spread
        at all, and no NaN, which the unbiased deviation of a single row would give.
        """
        x = some(N, C)
        got = kata.batch_size_effect(x, [1])
        check.close(got, {1: effect_by_hand(x, 1)}, rtol=1e-3, atol=1e-5)
        check.equal(got[1]["output_std"], 0.0, what="output_std for b = 1")

    def test_output_std_is_that_of_all_rows_in_each_channel(self, kata):
        """Because of eps = 1e-5, batches with little spread keep less than 1. The
        deviation is taken over the rows of all batches together, for each channel. Only
        then are the channels averaged; here the second one is constant.
        """
        x = torch.tensor([[0.0, 5.0], [0.004, 5.0], [0.0, 5.0], [0.02, 5.0]])
        variances = torch.tensor([4e-6 / 1.4e-5, 1e-4 / 1.1e-4])
        unlike = {
            "the deviation of each batch, averaged": (
                variances.sqrt().mean() / 2
            ).item(),
            "one deviation over all channels": (variances.mean() / 2).sqrt().item(),
            "eps is left out": 0.5,
        }
        got = kata.batch_size_effect(x, [2])[2]["output_std"]
        expected = (variances.mean().sqrt() / 2).item()
        check.close(got, expected, rtol=1e-3, unlike=unlike, what="output_std")

    def test_results_are_plain_numbers_in_the_order_asked(self, kata):
        """The dict is to be printed as a table: sizes in the given order, numbers as
        plain Python numbers.
        """
        got = kata.batch_size_effect(some(N, C), (3, 1, 2))
        check.equal(list(got), [3, 1, 2], what="the batch sizes")
        kinds = {type(value) for row in got.values() for value in row.values()}
        check.that(
            kinds <= {int, float},
            "the values should be plain numbers, they are "
            f"{[k.__name__ for k in kinds]}",
        )

    @pytest.mark.edge
    def test_input_may_be_non_contiguous_and_is_not_written_to(self, kata):
        """A transposed table has its rows spread over memory."""
        x = some(C, 12).T
        with check.unchanged(x=x):
            got = kata.batch_size_effect(x, [5])
        check.close(got, {5: effect_by_hand(x, 5)}, rtol=1e-3, atol=1e-5)

    @pytest.mark.edge
    def test_batch_sizes_must_fit(self, kata):
        """Sizes run from 1 to N, also when one that fits comes first."""
        for size in (0, -2, N + 1):
            with check.raises(ValueError):
                kata.batch_size_effect(some(N, C), [2, size])


@pytest.mark.stretch
class TestCompareTraining:
    def test_one_curve_for_each_kind_of_network(self, kata):
        """Three lists, in the order none, batch, layer, of a plain float for
        each step.
        """
        x, y = four_classes()
        curves = kata.compare_training(x, y, hidden_dim=5, depth=2, steps=3)
        check.equal(list(curves), ["none", "batch", "layer"], what="the keys")
        for name, losses in curves.items():
            plain = isinstance(losses, list) and all(
                type(loss) is float for loss in losses
            )
            check.that(
                plain,
                f"{name!r} should hold a list of floats, not {check.describe(losses)}",
            )
            check.equal(len(losses), 3, what=f"the number of losses of {name!r}")

    def test_networks_have_the_width_and_depth_asked_for(self, kata):
        """`depth` hidden layers of `hidden_dim` and a last one to max(y) + 1 classes;
        each hidden layer of the second network has a BatchNorm1d of its own, each of
        the third a LayerNorm.
        """
        x, y = four_classes()
        with recorded((nn.Linear, kata.BatchNorm1d, kata.LayerNorm)) as calls:
            kata.compare_training(x, y, hidden_dim=5, depth=3, steps=2)
        shapes = [
            (layer.in_features, layer.out_features)
            for layer in distinct(calls, nn.Linear)
        ]
        check.equal(
            shapes,
            [(8, 5), (5, 5), (5, 5), (5, 4)] * 3,
            what="(in, out) of the linear layers",
        )
        norms = [
            type(layer).__name__
            for layer in distinct(calls, (kata.BatchNorm1d, kata.LayerNorm))
        ]
        check.equal(
            norms, ["BatchNorm1d"] * 3 + ["LayerNorm"] * 3, what="the norm layers"
        )

    def test_the_norm_is_between_linear_layer_and_relu(self, kata):
        """Linear, norm, ReLU: the norm gets the output of the linear layer, and the
        next layer gets the positive part of the norm's output. Norm layers work in
        training mode.
        """
        x, y = four_classes()
        with recorded((nn.Linear, kata.BatchNorm1d, kata.LayerNorm)) as calls:
            kata.compare_training(x, y, hidden_dim=5, depth=2, steps=1)
        for name, one_pass in zip(
            ("none", "batch", "layer"), first_passes(calls, 2), strict=True
        ):
            for (before, _, _, made, _), (after, _, seen, _, training) in zip(
                one_pass, one_pass[1:], strict=False
            ):
                where = (
                    f"{name}: what {type(after).__name__} gets from "
                    f"{type(before).__name__}"
                )
                check.close(
                    seen,
                    made.relu() if isinstance(after, nn.Linear) else made,
                    what=where,
                )
                check.that(
                    training,
                    f"{name}: {type(after).__name__} is in eval mode while the "
                    "network trains",
                )

    def test_the_linear_layers_start_equal(self, kata):
        """The seed is set before each network, or the curves would differ by luck
        as well.
        """
        x, y = four_classes()
        with recorded(nn.Linear) as calls:
            kata.compare_training(x, y, hidden_dim=5, depth=2, steps=1)
        weights = [
            [call[1] for call in one_pass] for one_pass in first_passes(calls, 2)
        ]
        check.close(
            weights[1],
            weights[0],
            what="weights with batch norm, against those without a norm",
        )
        check.close(
            weights[2],
            weights[0],
            what="weights with layer norm, against those without a norm",
        )

    def test_losses_are_taken_before_their_update(self, kata):
        """The first loss is that of the fresh network: the mean cross-entropy of its
        first output, over all rows.
        """
        x, y = four_classes()
        with recorded(nn.Linear) as calls:
            curves = kata.compare_training(x, y, hidden_dim=5, depth=2, steps=2)
        for losses, one_pass in zip(
            curves.values(), first_passes(calls, 2), strict=True
        ):
            expected = F.cross_entropy(one_pass[-1][3].double(), y).item()
            check.close(losses[0], expected, rtol=1e-3, what="the first loss")

    def test_every_step_is_one_of_plain_sgd(self, kata):
        """With depth 0, x = 0 and all labels 1 only the difference of two biases
        learns, and the first loss tells its value: from there on each step is known.
        Momentum, weight decay or another optimiser shows in the third.
        """
        x, y, lr = torch.zeros(5, 3), torch.ones(5, dtype=torch.int64), 0.7
        curves = kata.compare_training(x, y, depth=0, steps=5, lr=lr)
        for name, losses in curves.items():
            lead = start = -math.log(math.expm1(losses[0]))
            expected, uncleared, slope = [], [], 0.0
            for _ in losses:
                expected.append(math.log1p(math.exp(-lead)))
                lead += 2 * lr / (1 + math.exp(lead))
                uncleared.append(math.log1p(math.exp(-start)))
                slope += 1 / (1 + math.exp(start))
                start += 2 * lr * slope
            unlike = {
                (
                    "gradients that are not cleared: each step follows the sum of all "
                    "so far"
                ): uncleared
            }
            check.close(
                losses,
                expected,
                rtol=1e-3,
                atol=1e-4,
                unlike=unlike,
                what=f"losses of {name!r}",
            )

    def test_the_same_seed_gives_the_same_curve(self, kata):
        """Nothing random is left once the seed is set; another seed is
        another start.
        """
        x, y = four_classes()
        first, again = (
            kata.compare_training(x, y, hidden_dim=5, depth=1, steps=3, seed=3)
            for _ in range(2)
        )
        check.close(again, first, rtol=0, atol=1e-3, what="the curves of two calls")
        other = kata.compare_training(x, y, hidden_dim=5, depth=1, steps=3, seed=4)
        check.that(
            other != first,
            "seed=4 gives the very curves of seed=3: the seed is not used",
        )

    @pytest.mark.timeout(60)
    def test_ten_layers_learn_only_with_a_norm(self, kata):
        """Ten layers deep, the signal of a network without norm layers has all but died
        out, and its loss stays at ln 4. Both norms keep it alive, and the four classes
        are learned.
        """
        x, y = four_classes()
        # at 0.1 rounding decides the last loss
        curves = kata.compare_training(x, y, steps=40, lr=0.05)
        last = {name: losses[-1] for name, losses in curves.items()}
        for name in ("batch", "layer"):
            said = (
                f"the last loss with {name} is {last[name]:.3f}, without a norm "
                f"{last['none']:.3f}"
            )
            check.that(
                last[name] <= last["none"] - 0.2,
                f"{said}: it should be at least 0.2 lower",
            )

    @pytest.mark.edge
    def test_x_and_its_dtype_stay(self, kata):
        """float64 data train a float64 network and are not written to."""
        x, y = four_classes()
        x = x.double()
        with check.unchanged(x=x, y=y), recorded(nn.Linear) as calls:
            kata.compare_training(x, y, hidden_dim=5, depth=1, steps=1)
        check.dtype(
            calls[0][1], torch.float64, what="the weight of the first linear layer"
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """The networks are made on the device of x."""
        x, y = four_classes()
        with recorded(nn.Linear) as calls:
            kata.compare_training(x.cuda(), y.cuda(), hidden_dim=5, depth=1, steps=1)
        check.that(
            calls[0][1].is_cuda,
            f"the first linear layer is on {calls[0][1].device}, x on the GPU",
        )
