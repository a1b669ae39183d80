"""Specs of 19: what a module registers, a layer with buffers, containers, initialising,
freezing, tracing, loading.
"""

import math
from collections import OrderedDict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from grader.specs import check

IN, OUT = 3, 4  # the widths of the StandardizedLinear in these specs
KINDS = ("trainable", "frozen", "buffers", "transient")
CONTAINERS = ("torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict")


class Tied(nn.Module):
    """A model with a bit of everything: a buffer of each kind, a tied weight, a missing
    bias, a plain tensor.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.ones(3), persistent=False)
        self.embed = nn.Embedding(5, 3)
        self.norm = nn.BatchNorm1d(3)
        self.body = nn.Sequential(
            nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3, bias=False)
        )
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.ones(()))
        self.note = torch.zeros(2)


class Positions(nn.Module):
    """A part whose only tensor is a buffer that is not saved."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(4), persistent=False)


def described(trainable=(), frozen=(), buffers=(), transient=()):
    return dict(
        zip(KINDS, map(list, (trainable, frozen, buffers, transient)), strict=True)
    )


def same_names(got, expected, what):
    """The same list of names; otherwise the failure says which are missing, or too
    many, or that the order differs.
    """
    check.that(
        isinstance(got, list),
        f"{what} should be a list of names, not {check.describe(got)}",
    )
    missing = [name for name in expected if name not in got]
    surplus = [
        name for i, name in enumerate(got) if name not in expected or name in got[:i]
    ]
    found = {"lacks": missing, "has too many:": surplus}
    told = [
        f"{label} {', '.join(map(str, names))}"
        for label, names in found.items()
        if names
    ]
    order = f"has the right names in the wrong order: {', '.join(map(str, got))}"
    check.that(got == list(expected), f"{what} {'; '.join(told) if told else order}")


def same_description(got, expected, of):
    """The same four lists of names."""
    wanted = isinstance(got, dict) and set(got) == set(KINDS)
    check.that(
        wanted,
        f"a dict with the keys {', '.join(KINDS)} was expected, not "
        f"{check.describe(got)}",
    )
    for kind in KINDS:
        same_names(got[kind], expected[kind], f"{kind!r} of {of}")


def some_rows(*leading, **options):
    """Rows of IN features whose means and spreads all differ from 0 and 1."""
    scale, offset = (
        torch.tensor([0.5, 2.0, 3.0], **options),
        torch.tensor([1.0, -2.0, 0.5], **options),
    )
    return torch.randn(*leading, IN, **options) * scale + offset


def statistics(*batches):
    """(mean, population variance) in float64 of all rows of all batches, column by
    column in plain Python.
    """
    rows = [
        row
        for batch in batches
        for row in batch.detach().double().reshape(-1, IN).tolist()
    ]
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    pairs = zip(zip(*rows, strict=True), means, strict=True)
    variances = [
        sum((value - mean) ** 2 for value in column) / len(rows)
        for column, mean in pairs
    ]
    return torch.tensor(means, dtype=torch.float64), torch.tensor(
        variances, dtype=torch.float64
    )


def standardized_by_hand(layer, x, mean, var, eps):
    """The layer's output in float64, for these statistics."""
    weight = layer.weight.detach().double()
    bias = 0.0 if layer.bias is None else layer.bias.detach().double()
    return (
        torch.einsum("...i,oi->...o", (x.double() - mean) / (var + eps) ** 0.5, weight)
        + bias
    )


def buffers_of(layer):
    return {name: getattr(layer, name).clone() for name in ("mean", "var", "count")}


def two_linears():
    return nn.Linear(3, 5), nn.Linear(5, 2)


def names_of(model):
    return [name for name, _ in model.named_parameters()]


def flags_of(model):
    return {
        name: parameter.requires_grad for name, parameter in model.named_parameters()
    }


def layers_1_and_10():
    """Three parts, of which one has a name that begins with another's."""
    model = nn.Module()
    model.layer1 = nn.Sequential(nn.Linear(2, 3), nn.Dropout(), nn.Linear(3, 2))
    model.layer10 = nn.Linear(2, 4)
    model.head = nn.Linear(4, 2)
    return model


class Zigzag(nn.Module):
    """Calls its parts in another order than they were made in: `second`, `first`,
    `second`; `unused` never.
    """

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(7, 7)
        self.first = nn.Sequential(nn.Linear(3, 3))
        self.second = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(self.second(x)).mT)


class Labelled(nn.Module):
    """A layer whose first output tensor is inside a list, behind something else."""

    def forward(self, x: Tensor, times: int) -> tuple[None, list[Tensor]]:
        return None, [x.mT] * times


class Watcher(nn.Module):
    """A layer that notes in which modes it ran."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training, torch.is_grad_enabled()))
        return x * 1.0


class OwnError(Exception):
    """An error that a model of these specs raises outside of its layers."""


class Refuses(nn.Module):
    """A model that runs a layer and then raises by itself."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        self.fc(x)
        raise OwnError("no")


def misfit():
    """A model in training with one part in eval mode, whose last layer does not fit:
    `body.2` gets (5, 4).
    """
    model = nn.Sequential(
        OrderedDict(
            body=nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(3, 2))
        )
    )
    model.body[1].eval()
    return model


def hooks_on(model):
    """Count the forward hooks of either kind: on the modules, and the global ones."""
    modules = sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()
    )
    everywhere = nn.modules.module
    return (
        modules
        + len(everywhere._global_forward_hooks)
        + len(everywhere._global_forward_pre_hooks)
    )


def modes_of(model):
    return {name: module.training for name, module in model.named_modules()}


def records_of(got):
    """The records as plain tuples."""
    check.that(
        isinstance(got, list),
        f"a list of records was expected, not {check.describe(got)}",
    )
    return [tuple(record) for record in got]


def old_and_new():
    """A trained model, and one to load into: a part more, a part less, and two heads of
    other shapes.
    """
    old = nn.ModuleDict(
        {"gone": nn.Linear(2, 2), "norm": nn.BatchNorm1d(3), "head": nn.Linear(3, 6)}
    )
    new = nn.ModuleDict(
        {"norm": nn.BatchNorm1d(3), "head": nn.Linear(3, 4), "extra": nn.Linear(2, 3)}
    )
    with torch.no_grad():
        for tensor in old.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) * 9 + 2)
    return old, new


class TestDescribeState:
    def test_parameters_have_dotted_names(self, kata):
        """A module's own parameters come first, then those of its parts with the part's
        name before the dot. All four keys are always there, also for empty lists.
        """
        linear = nn.Linear(3, 2)
        same_description(
            kata.describe_state(linear), described(["weight", "bias"]), "nn.Linear"
        )
        nested = nn.Sequential(
            nn.Linear(3, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 4))
        )
        expected = described(["0.weight", "0.bias", "2.0.weight", "2.0.bias"])
        same_description(
            kata.describe_state(nested), expected, "a nested nn.Sequential"
        )
        same_description(kata.describe_state(nn.ReLU()), described(), "nn.ReLU")

    def test_frozen_parameters_have_their_own_list(self, kata):
        """A parameter without requires_grad is still a parameter, and saved. Only the
        optimizer does not change it.
        """
        model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
        model[0].weight.requires_grad = False
        model[1].bias.requires_grad = False
        expected = described(["0.bias", "1.weight"], ["0.weight", "1.bias"])
        same_description(kata.describe_state(model), expected, "the model")

    def test_buffers_are_not_parameters(self, kata):
        """Running statistics are saved and moved with the model, and not learned."""
        model = nn.Sequential(nn.BatchNorm1d(3))
        statistics = ["0.running_mean", "0.running_var", "0.num_batches_tracked"]
        same_description(
            kata.describe_state(model),
            described(["0.weight", "0.bias"], buffers=statistics),
            "the model",
        )

    def test_non_persistent_buffers_are_transient(self, kata):
        """`persistent=False` keeps a buffer out of the state_dict, in a part of the
        model as in the model itself. The module that registered it decides, not the
        last part of its name.
        """
        model = Tied()
        model.places = nn.ModuleList([Positions()])
        model.norm.register_buffer("table", torch.zeros(2))
        got = kata.describe_state(model)
        same_names(got["transient"], ["mask", "places.0.table"], "'transient'")
        expected = [
            "norm.running_mean",
            "norm.running_var",
            "norm.num_batches_tracked",
            "norm.table",
        ]
        same_names(got["buffers"], expected, "'buffers'")

    def test_tied_weights_are_listed_once(self, kata):
        """The output layer uses the embedding's weight: one tensor with two names, of
        which the first counts. The state_dict holds both, so a list made from it counts
        the tensor twice.
        """
        got = kata.describe_state(Tied())["trainable"]
        expected = ["scale", "embed.weight", "norm.weight", "norm.bias"]
        expected += ["body.0.weight", "body.0.bias", "body.2.weight", "head.bias"]
        check.that(
            "head.weight" not in got,
            f"head.weight is embed.weight, and listed again: {got}",
        )
        same_names(got, expected, "'trainable'")

    def test_a_module_used_twice_is_listed_once(self, kata):
        """Both its parameters and its buffers have two names then, and are the
        same tensors.
        """
        norm = nn.BatchNorm1d(2)
        got = kata.describe_state(nn.Sequential(norm, nn.ReLU(), norm))
        expected = ["0.running_mean", "0.running_var", "0.num_batches_tracked"]
        same_description(
            got, described(["0.weight", "0.bias"], buffers=expected), "the chain"
        )

    def test_plain_tensors_and_missing_biases_appear_nowhere(self, kata):
        """A tensor that is only an attribute is not registered: it is not saved, moved
        or trained. A bias of None is registered and has nothing to list.
        """
        got = kata.describe_state(Tied())
        names = [name for kind in got.values() for name in kind]
        check.that(
            "note" not in names, "note is a plain tensor attribute, and it is listed"
        )
        check.that("body.2.bias" not in names, "body.2.bias is None, and it is listed")


class TestStandardizedLinearInit:
    def test_weight_and_bias_are_parameters_and_the_statistics_are_not(self, kata):
        """A Parameter is handed to the optimizer, which would train the mean away. A
        tensor that is not registered is not saved. The parameters are the layer's own,
        not those of an nn.Linear.
        """
        layer = kata.StandardizedLinear(IN, OUT)
        check.that(
            not isinstance(layer, nn.Linear),
            "StandardizedLinear is derived from nn.Linear",
        )
        parameters = {name: tuple(p.shape) for name, p in layer.named_parameters()}
        check.equal(
            parameters,
            {"weight": (OUT, IN), "bias": (OUT,)},
            what="the shapes of the parameters",
        )
        buffers = dict(layer.named_buffers())
        expected = {
            "mean": torch.zeros(IN),
            "var": torch.ones(IN),
            "count": torch.tensor(0),
        }
        check.equal(buffers, expected, what="the buffers")
        saved = set(layer.state_dict())
        wanted = {"weight", "bias", "mean", "var", "count"}
        check.that(
            saved == wanted,
            f"the state_dict holds {sorted(saved)}, expected {sorted(wanted)}",
        )

    def test_sizes_are_plain_attributes(self, kata):
        """The sizes are plain numbers; there is nothing to save or move."""
        layer = kata.StandardizedLinear(IN, OUT, eps=0.25)
        got = {
            name: getattr(layer, name)
            for name in ("in_features", "out_features", "eps")
        }
        check.equal(
            got,
            {"in_features": IN, "out_features": OUT, "eps": 0.25},
            what="attributes",
        )
        check.equal(
            kata.StandardizedLinear(IN, OUT).eps, 1e-5, what="eps when it is not given"
        )

    def test_without_bias(self, kata):
        """With `bias=False` the attribute is None, and the state_dict has no
        such key.
        """
        layer = kata.StandardizedLinear(IN, OUT, bias=False)
        check.that(
            layer.bias is None,
            f"self.bias is {check.describe(layer.bias)}, expected None",
        )
        check.that("bias" not in layer.state_dict(), "the state_dict has a key 'bias'")

    def test_weight_and_bias_are_uniform_in_their_bounds(self, kata):
        """Both are uniform within ±1/√in_features: with 16 inputs within ±0.25, the
        whole range used evenly.
        """
        layer = kata.StandardizedLinear(16, 400)
        for name in ("weight", "bias"):
            values = getattr(layer, name).detach()
            largest, mean, spread = (
                values.abs().max().item(),
                values.mean().item(),
                values.std().item(),
            )
            check.that(
                largest <= 0.25,
                f"{name}: the largest is {largest:.3f}, beyond 1/√16 = 0.25",
            )
            check.that(
                largest > 0.22,
                f"{name}: nothing is beyond ±{largest:.3f}; the range is ±0.25",
            )
            check.that(
                abs(mean) < 0.05, f"{name}: the mean is {mean:.3f}, expected about 0"
            )
            check.that(
                0.12 < spread < 0.17,
                f"{name}: standard deviation {spread:.3f}, expected 0.144",
            )

    def test_weights_are_drawn_from_the_generator_only(self, kata):
        """The same seed gives the same layer, and the global generator does
        not move.
        """

        def made(seed):
            return kata.StandardizedLinear(
                IN, OUT, generator=torch.Generator().manual_seed(seed)
            ).state_dict()

        before = torch.get_rng_state()
        first = made(1)
        check.that(
            torch.equal(torch.get_rng_state(), before), "the global generator has moved"
        )
        torch.rand(3)
        check.equal(made(1), first, what="a second layer from the same seed")
        other = made(2)
        for name in ("weight", "bias"):
            check.that(
                not torch.equal(other[name], first[name]),
                f"{name} is the same for another seed",
            )


@st.composite
def batches_of_rows(draw):
    """Sizes of two to four training batches: a number of rows, or two
    leading dimensions.
    """
    return draw(
        st.lists(
            st.tuples(st.integers(1, 4))
            | st.tuples(st.integers(1, 3), st.integers(1, 3)),
            min_size=2,
            max_size=4,
        )
    )


class TestStandardizedLinearForward:
    def test_the_first_batch_is_standardized_by_its_own_statistics(self, kata):
        """In training, the buffers are updated with x before they are used. The
        variance is that of these rows, divided by their number.
        """
        layer = kata.StandardizedLinear(IN, OUT, eps=0.5)
        x = some_rows(5)
        mean, var = statistics(x)
        fresh = torch.zeros(IN), torch.ones(IN)
        unlike = {
            "the buffers are used before they are updated": standardized_by_hand(
                layer, x, *fresh, 0.5
            ),
            "sample variance: divided by one less than the number of rows": (
                standardized_by_hand(layer, x, mean, var * 5 / 4, 0.5)
            ),
            "divided by the variance, not by its root": standardized_by_hand(
                layer, x, mean, (var + 0.5) ** 2, 0.0
            ),
            "eps added after the root": standardized_by_hand(
                layer, x, mean, (var.sqrt() + 0.5) ** 2, 0.0
            ),
            "eps left out": standardized_by_hand(layer, x, mean, var, 0.0),
            "x is not standardized": standardized_by_hand(layer, x, *fresh, 0.0),
            "the mean moves half way, whatever the counts": standardized_by_hand(
                layer, x, mean / 2, var, 0.5
            ),
        }
        check.close(
            layer(x), standardized_by_hand(layer, x, mean, var, 0.5), unlike=unlike
        )
        check.close(layer.mean, mean, what="mean")
        check.close(
            layer.var,
            var,
            unlike={"divided by one less than the number of rows": var * 5 / 4},
            what="var",
        )
        check.equal(layer.count, torch.tensor(5), what="count")

    def test_two_batches_of_different_size_give_the_pooled_mean_and_variance(
        self, kata
    ):
        """All rows count alike: ten rows weigh more than two. The pooled variance is
        more than the mean of the two variances, since the batches lie apart.
        """
        layer = kata.StandardizedLinear(IN, OUT)
        first, second, third = some_rows(2), some_rows(10) + 4, some_rows(3) - 2
        (mean1, var1), (mean2, var2) = statistics(first), statistics(second)
        layer(first), layer(second)
        mean, var = statistics(first, second)
        means = {
            "the mean of the two batch means, whatever their sizes": (mean1 + mean2)
            / 2,
            "the last batch's mean": mean2,
            "a running average with momentum 0.1": 0.9 * (0.1 * mean1) + 0.1 * mean2,
        }
        variances = {
            (
                "the batch variances averaged by size: the distance of the means is "
                "missing"
            ): (2 * var1 + 10 * var2) / 12,
            "the mean of the two batch variances": (var1 + var2) / 2,
            "the last batch's variance": var2,
        }
        check.equal(layer.count, torch.tensor(12), what="count")
        check.close(layer.mean, mean, unlike=means, what="mean")
        check.close(layer.var, var, unlike=variances, what="var")
        x = layer(third)
        check.close(
            x,
            standardized_by_hand(layer, third, *statistics(first, second, third), 1e-5),
            what="third output",
        )

    def test_rows_are_all_leading_positions(self, kata):
        """(B, T, in) holds B·T rows. A mean over dimension 0 only gives one mean per
        position t.
        """
        layer = kata.StandardizedLinear(IN, OUT)
        x = some_rows(2, 5)
        out = layer(x)
        mean, var = statistics(x)
        check.shape(layer.mean, (IN,), what="mean")
        unlike = {"only the first position of each sequence": x[:, 0].mean(dim=0)}
        check.close(layer.mean, mean, unlike=unlike, what="mean")
        check.close(layer.var, var, what="var")
        check.equal(layer.count, torch.tensor(10), what="count")
        check.close(out, standardized_by_hand(layer, x, mean, var, 1e-5))

    @given(sizes=batches_of_rows(), seed=st.integers(0, 99))
    def test_rows_count_alike_however_they_are_batched(self, kata, sizes, seed):
        """After any sequence of batches the buffers hold the number, the mean and the
        population variance of all rows so far.
        """
        torch.manual_seed(seed)
        layer = kata.StandardizedLinear(IN, OUT)
        batches = [some_rows(*size) + i for i, size in enumerate(sizes)]
        for batch in batches:
            layer(batch)
        mean, var = statistics(*batches)
        told = f"after batches with the leading sizes {sizes}"
        check.close(
            layer.count,
            torch.tensor(sum(math.prod(size) for size in sizes)),
            what=f"count {told}",
        )
        check.close(layer.mean, mean, what=f"mean {told}")
        check.close(layer.var, var, atol=1e-4, what=f"var {told}")

    def test_eval_does_not_touch_the_buffers(self, kata):
        """In eval mode, the layer uses the statistics from training, whatever the
        batch. Test data that changes them is a leak.
        """
        layer = kata.StandardizedLinear(IN, OUT)
        seen, x = some_rows(7), some_rows(4) + 3
        layer(seen)
        before = buffers_of(layer)
        layer.eval()
        first, second = layer(x), layer(x)
        check.equal(buffers_of(layer), before, what="the buffers after eval")
        unlike = {
            "standardized with the batch's own statistics": standardized_by_hand(
                layer, x, *statistics(x), 1e-5
            )
        }
        check.close(
            first,
            standardized_by_hand(layer, x, *statistics(seen), 1e-5),
            unlike=unlike,
        )
        check.equal(second, first, what="the second output for the same x")

    def test_gradients_treat_statistics_as_constants(self, kata):
        """Mean and variance come from x here, but autograd must treat them as
        constants: the gradient of x is weight / √var, as in eval mode. Weight and bias
        learn as in a linear layer of the standardized x.
        """
        layer = kata.StandardizedLinear(IN, OUT)
        x = some_rows(5).requires_grad_()
        probe = torch.randn(5, OUT)
        (layer(x) * probe).sum().backward()
        mean, var = statistics(x)
        root, probe = (var + 1e-5) ** 0.5, probe.double()
        expected = {
            "x": probe @ layer.weight.detach().double() / root,
            "weight": probe.mT @ ((x.detach().double() - mean) / root),
            "bias": probe.sum(0),
        }
        for name, tensor in (("x", x), ("weight", layer.weight), ("bias", layer.bias)):
            check.that(tensor.grad is not None, f"no gradient reaches {name}")
            check.close(tensor.grad, expected[name], what=f"gradient of {name}")

    def test_the_statistics_carry_no_graph(self, kata):
        """A buffer with a graph back to x keeps every batch so far in memory."""
        layer = kata.StandardizedLinear(IN, OUT)
        for _ in range(2):
            layer(some_rows(4).requires_grad_()).sum().backward()
        learning = [
            name for name in ("mean", "var") if getattr(layer, name).requires_grad
        ]
        check.that(
            not learning,
            f"after two training calls these require a gradient: {learning}",
        )

    def test_statistics_survive_a_state_dict_round_trip_and_go_on_identically(
        self, kata
    ):
        """A run that is stopped, saved and loaded goes on as if never stopped: it needs
        weights, mean, var and the count of rows.
        """
        first, second = some_rows(4), some_rows(6) + 2
        layer, other = (
            kata.StandardizedLinear(IN, OUT),
            kata.StandardizedLinear(IN, OUT),
        )
        layer(first)
        saved = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
        expected = layer(second)
        unsaved = sorted({"mean", "var", "count"} - set(saved))
        check.that(
            not unsaved,
            f"the state_dict lacks {unsaved}",
            like="a plain attribute: register_buffer saves it",
        )
        other.load_state_dict(saved)
        check.equal(
            other(second),
            expected,
            what="the next training output of the layer that was loaded",
        )
        check.equal(buffers_of(other), buffers_of(layer), what="its buffers")

    def test_statistics_follow_double(self, kata):
        """`.double()` and `.to(device)` convert what is registered. A plain tensor
        stays behind, and the next forward mixes dtypes, or devices.
        """
        layer = kata.StandardizedLinear(IN, OUT)
        layer(some_rows(4))
        layer.double()
        for when in ("after double()", "after another training call"):
            got = {
                name: getattr(layer, name).dtype for name in ("mean", "var", "count")
            }
            expected = {
                "mean": torch.float64,
                "var": torch.float64,
                "count": torch.int64,
            }
            check.equal(got, expected, what=f"the dtypes {when}")
            check.dtype(
                layer(some_rows(2, dtype=torch.float64)),
                torch.float64,
                what="the output",
            )

    @pytest.mark.edge
    def test_a_single_vector_is_one_row(self, kata):
        """Without any leading dimension x is one row, whose variance is 0 and
        not NaN.
        """
        layer = kata.StandardizedLinear(IN, OUT, eps=0.5)
        x = some_rows()
        check.close(
            layer(x),
            layer.bias.detach(),
            what="the output for the only row seen so far",
        )
        check.equal(layer.count, torch.tensor(1), what="count")
        check.close(layer.mean, x, what="mean")
        check.close(layer.var, torch.zeros(IN), atol=1e-4, what="var")

    @pytest.mark.edge
    def test_a_batch_without_rows_changes_nothing(self, kata):
        """There is no row to count, and the mean of no rows is NaN."""
        layer = kata.StandardizedLinear(IN, OUT)
        for seen in ((), (some_rows(4),)):
            for x in seen:
                layer(x)
            before = buffers_of(layer)
            check.shape(layer(torch.zeros(0, 2, IN)), (0, 2, OUT), what="the output")
            check.equal(buffers_of(layer), before, what="the buffers")

    @pytest.mark.edge
    def test_a_transposed_input_stays_as_it_was(self, kata):
        """x may be a view in another memory order, and belongs to the caller."""
        x = some_rows(2, 5).transpose(0, 1)
        for options in check.modes(bias=[False]):
            layer = kata.StandardizedLinear(IN, OUT, **options)
            with check.unchanged(x=x):
                got = layer(x)
                layer.eval()(x)
            check.close(
                got,
                standardized_by_hand(layer, x, *statistics(x), 1e-5),
                what=f"output with {options}",
            )

    @pytest.mark.edge
    def test_a_wrong_width_is_an_error(self, kata):
        """A width of 1 would broadcast, and the statistics would be nonsense. The
        message names the width, and no buffer has changed.
        """
        layer = kata.StandardizedLinear(IN, OUT)
        layer(some_rows(2))
        before = buffers_of(layer)
        for width in (1, 57):
            with check.raises(ValueError, width):
                layer(torch.zeros(6, width))
        check.equal(buffers_of(layer), before, what="the buffers after the error")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_statistics_follow_the_layer_to_the_gpu(self, kata):
        """`.to("cuda")` moves parameters and buffers; everything new is made where
        x is.
        """
        layer = kata.StandardizedLinear(IN, OUT).to("cuda")
        out = layer(some_rows(4).to("cuda"))
        devices = [
            tensor.device.type for tensor in (out, layer.mean, layer.var, layer.count)
        ]
        check.that(
            devices == ["cuda"] * 4, f"output, mean, var and count are on {devices}"
        )


class TestSimpleSequential:
    def test_each_module_gets_what_the_one_before_returned(self, kata):
        """The output of one is the input of the next, in the order given."""
        a, b = two_linears()
        x = torch.randn(4, 3)
        seq = kata.SimpleSequential(a, nn.Tanh(), b)
        expected = (
            torch.tanh(x.double() @ a.weight.double().mT + a.bias)
            @ b.weight.double().mT
            + b.bias
        )
        check.close(seq(x), expected)

    def test_state_dict_keys_equal_those_of_sequential(self, kata):
        """Modules kept in a Python list are not registered: nothing of them is saved,
        moved or trained.
        """
        a, b = two_linears()
        seq = kata.SimpleSequential(a, nn.Tanh(), b)
        same_names(
            list(seq.state_dict()),
            ["0.weight", "0.bias", "2.weight", "2.bias"],
            "state_dict()",
        )
        seq.load_state_dict(
            nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).state_dict()
        )
        check.equal(len(list(seq.parameters())), 4, what="number of parameters")

    def test_named_modules_are_attributes(self, kata):
        """From an OrderedDict the keys become names: in the state_dict, and
        as attributes.
        """
        a, b = two_linears()
        seq = kata.SimpleSequential(OrderedDict(fc2=a, act=nn.Tanh(), fc1=b))
        same_names(
            list(seq.state_dict()),
            ["fc2.weight", "fc2.bias", "fc1.weight", "fc1.bias"],
            "state_dict()",
        )
        check.that(
            seq.fc1 is b and seq.fc2 is a,
            "seq.fc1 and seq.fc2 should be the modules that were given",
        )
        x = torch.randn(4, 3)
        check.equal(seq(x), b(a(x).tanh()))
        check.equal(len(seq), 3, what="len")

    def test_it_is_read_like_a_list(self, kata):
        """Length, indices and iteration as often as one likes, and the objects
        themselves, named or not.
        """
        modules = [*two_linears(), nn.Tanh()]
        for seq in (
            kata.SimpleSequential(*modules),
            kata.SimpleSequential(OrderedDict(zip("abc", modules, strict=True))),
        ):
            check.equal(len(seq), 3, what="len")
            for _ in range(2):
                got = list(seq)
                check.that(
                    len(got) == 3 and all(map(lambda m, n: m is n, got, modules)),
                    f"iterating gives {got}",
                )
            for i in range(3):
                check.that(
                    seq[i] is modules[i], f"seq[{i}] is {seq[i]}, expected {modules[i]}"
                )

    @given(part=st.slices(3))
    def test_a_slice_is_a_chain_of_the_same_modules(self, kata, part):
        """seq[:-1] is a model without its head. It shares the modules: training one
        trains the other. Any slice of a list is allowed.
        """
        modules = [*two_linears(), nn.Tanh()]
        got = kata.SimpleSequential(OrderedDict(zip("abc", modules, strict=True)))[part]
        kind = type(got).__name__
        check.that(
            isinstance(got, kata.SimpleSequential),
            f"a slice is a {kind}, expected a SimpleSequential",
        )
        same = len(got) == len(modules[part]) and all(
            map(lambda m, n: m is n, got, modules[part])
        )
        check.that(
            same,
            f"seq[{part.start}:{part.stop}:{part.step}] holds {list(got)}, expected "
            f"{modules[part]}",
        )

    def test_a_repeated_module_runs_twice(self, kata):
        """`children()` and `modules()` skip repeats. A chain must not: the object is in
        it twice, under two names.
        """
        half = nn.Linear(3, 3)
        x = torch.randn(4, 3)
        seq = kata.SimpleSequential(half, nn.Tanh(), half)
        expected = half(half(x).tanh())
        check.close(
            seq(x),
            expected,
            unlike={"the repeated module ran only once": half(x).tanh()},
        )
        check.equal(len(seq), 3, what="len")
        same_names(
            list(seq.state_dict()),
            ["0.weight", "0.bias", "2.weight", "2.bias"],
            "state_dict()",
        )
        check.that(
            seq[2] is half and list(seq)[2] is half,
            "the third module is missing from indices or iteration",
        )

    def test_a_cast_and_eval_reach_every_child(self, kata):
        """`double()` and `eval()` walk through what is registered, and nothing else."""
        seq = kata.SimpleSequential(nn.Linear(3, 5), nn.Dropout(0.9)).double().eval()
        check.that(
            not seq[1].training,
            "after eval() the dropout inside is still in training mode",
        )
        check.dtype(seq(torch.ones(2, 3, dtype=torch.float64)), torch.float64)

    def test_it_is_written_without_sequential(self, kata):
        """PyTorch's containers do just this; here you write your own. SimpleSequential
        is neither derived from one of them nor made of them.
        """
        with check.forbidden(kata, *CONTAINERS):
            seq = kata.SimpleSequential(nn.Tanh(), nn.ReLU())
            seq(torch.ones(2)), seq[:1]

    @pytest.mark.edge
    def test_no_modules_is_the_identity(self, kata):
        """An empty chain returns x."""
        x = torch.randn(2, 3)
        for seq in (kata.SimpleSequential(), kata.SimpleSequential(OrderedDict())):
            check.equal(seq(x), x)
            check.equal(len(seq), 0, what="len")

    @pytest.mark.edge
    def test_indices_count_from_either_end(self, kata):
        """seq[-1] is the last, as in a list. Out of range is an IndexError: a loop over
        indices stops at it.
        """
        modules = [*two_linears(), nn.Tanh()]
        seq = kata.SimpleSequential(*modules)
        for i in (-1, -3):
            check.that(
                seq[i] is modules[i], f"seq[{i}] is {seq[i]}, expected {modules[i]}"
            )
        for i in (3, -4):
            with check.raises(IndexError):
                seq[i]

    @pytest.mark.edge
    def test_only_modules_may_be_in_it(self, kata):
        """A str, a list of modules or None is refused when the chain is made, not when
        it runs.
        """
        for wrong in ("relu", None, [nn.Tanh()], OrderedDict(act=nn.Tanh())):
            with check.raises(TypeError):
                kata.SimpleSequential(nn.Tanh(), wrong)
        with check.raises(TypeError):
            kata.SimpleSequential(OrderedDict(act=None))


@pytest.mark.stretch
class TestSimpleModuleList:
    def test_the_modules_are_registered_by_number(self, kata):
        """`self.layers = list(modules)` looks the same and registers nothing: no
        parameters, nothing saved.
        """
        modules = kata.SimpleModuleList([*two_linears(), nn.Tanh()])
        plain = "the modules are in a plain list, which registers nothing"
        check.that(
            bool(list(modules.children())), "no module is registered", like=plain
        )
        same_names(
            list(modules.state_dict()),
            ["0.weight", "0.bias", "1.weight", "1.bias"],
            "state_dict()",
        )
        nn.ModuleList([*two_linears(), nn.Tanh()]).load_state_dict(modules.state_dict())

    def test_it_takes_any_iterable_or_nothing(self, kata):
        """Models are usually built by a generator: `Block() for _ in range(depth)`."""
        check.equal(
            len(kata.SimpleModuleList(nn.Linear(2, n) for n in (3, 4, 5))),
            3,
            what="len",
        )
        check.equal(len(kata.SimpleModuleList()), 0, what="len of an empty one")
        check.equal(list(kata.SimpleModuleList([])), [], what="an empty one")

    def test_append_adds_at_the_end_and_returns_the_list(self, kata):
        """The new module gets the next number."""
        a, b = two_linears()
        modules = kata.SimpleModuleList([a])
        got = modules.append(b)
        check.that(
            got is modules,
            f"append returned {check.describe(got)}, not the list itself",
        )
        same_names(
            list(modules.state_dict()),
            ["0.weight", "0.bias", "1.weight", "1.bias"],
            "state_dict()",
        )
        check.that(
            len(modules) == 2 and modules[1] is b,
            "the module that was appended is not the last",
        )

    def test_it_is_read_like_a_list(self, kata):
        """Length, order and indices, and the objects themselves."""
        given = [*two_linears(), nn.Tanh()]
        modules = kata.SimpleModuleList(given)
        check.equal(len(modules), 3, what="len")
        for i in range(3):
            check.that(
                modules[i] is given[i],
                f"modules[{i}] is {modules[i]}, expected {given[i]}",
            )
        for _ in range(2):
            check.that(
                all(map(lambda m, n: m is n, modules, given)),
                f"iterating gives {list(modules)}",
            )

    def test_a_slice_is_a_list_of_the_same_modules(self, kata):
        """A slice is registered too, and may be part of another model."""
        given = [*two_linears(), nn.Tanh()]
        got = kata.SimpleModuleList(given)[1:]
        kind = type(got).__name__
        check.that(
            isinstance(got, kata.SimpleModuleList),
            f"a slice is a {kind}, expected a SimpleModuleList",
        )
        check.that(
            len(got) == 2 and got[0] is given[1] and got[1] is given[2],
            f"modules[1:] holds {list(got)}",
        )

    def test_the_same_object_may_be_in_it_twice(self, kata):
        """A shared layer has two places, and iteration gives it twice. `children()`
        would skip the second.
        """
        shared = nn.Linear(2, 2)
        modules = kata.SimpleModuleList([shared, nn.Tanh()]).append(shared)
        check.equal(len(modules), 3, what="len")
        check.that(
            len(list(modules)) == 3 and modules[2] is shared,
            f"iterating gives {list(modules)}",
        )
        check.equal(
            len(list(modules.parameters())), 2, what="number of different parameters"
        )

    def test_it_is_written_without_module_list(self, kata):
        """PyTorch's containers do just this; here you write your own. SimpleModuleList
        is neither derived from one of them nor made of them.
        """
        with check.forbidden(kata, *CONTAINERS):
            kata.SimpleModuleList([nn.Tanh()]).append(nn.ReLU())

    @pytest.mark.edge
    def test_indices_count_from_either_end(self, kata):
        """modules[-1] is the last, as in a list, and out of range is an IndexError."""
        given = [*two_linears(), nn.Tanh()]
        modules = kata.SimpleModuleList(given)
        for i in (-1, -3):
            check.that(
                modules[i] is given[i],
                f"modules[{i}] is {modules[i]}, expected {given[i]}",
            )
        for i in (3, -4):
            with check.raises(IndexError):
                modules[i]

    @pytest.mark.edge
    def test_only_modules_may_be_in_it(self, kata):
        """Anything but a module is refused when it is added."""
        for wrong in ("relu", None):
            with check.raises(TypeError):
                kata.SimpleModuleList([nn.Tanh(), wrong])
            modules = kata.SimpleModuleList()
            with check.raises(TypeError):
                modules.append(wrong)


@pytest.mark.stretch
class TestSimpleModuleDict:
    def test_the_modules_are_registered_by_key(self, kata):
        """The keys are the names in the state_dict, in the order of insertion."""
        a, b = two_linears()
        heads = kata.SimpleModuleDict({"topic": a, "mood": b})
        expected = ["topic.weight", "topic.bias", "mood.weight", "mood.bias"]
        same_names(list(heads.state_dict()), expected, "state_dict()")
        check.equal(len(list(heads.parameters())), 4, what="number of parameters")

    def test_it_is_read_like_a_dict(self, kata):
        """Keys in order of insertion, modules by key; iterating gives keys."""
        a, b = two_linears()
        heads = kata.SimpleModuleDict({"topic": a, "mood": b})
        check.that(
            heads["topic"] is a and heads["mood"] is b,
            "heads[key] is not the module that was given",
        )
        check.equal(len(heads), 2, what="len")
        check.equal(list(heads), ["topic", "mood"], what="iterating")
        check.equal(list(heads.keys()), ["topic", "mood"], what="keys()")
        values = list(heads.values())
        check.that(
            len(values) == 2 and values[0] is a and values[1] is b,
            f"values() gives {values}",
        )
        pairs = list(heads.items())
        right = (
            [key for key, _ in pairs] == ["topic", "mood"]
            and pairs[0][1] is a
            and pairs[1][1] is b
        )
        check.that(right, f"items() gives {pairs}")

    def test_in_asks_for_keys(self, kata):
        """`key in heads` is True for the keys of modules, and for no
        other attribute.
        """
        heads = kata.SimpleModuleDict({"topic": nn.Tanh()})
        check.that(("topic" in heads) is True, "'topic' in heads should be True")
        for other in ("mood", "training", "forward"):
            check.that((other in heads) is False, f"{other!r} in heads should be False")

    def test_assignment_adds_at_the_end(self, kata):
        """A new key comes last, and its module is registered."""
        heads = kata.SimpleModuleDict()
        check.equal(len(heads), 0, what="len of an empty one")
        heads["topic"] = nn.Linear(2, 3)
        heads["mood"] = nn.Linear(2, 4, bias=False)
        same_names(
            list(heads.state_dict()),
            ["topic.weight", "topic.bias", "mood.weight"],
            "state_dict()",
        )

    def test_replacing_keeps_the_position(self, kata):
        """A new head under an old key takes the old one's place, also in
        the state_dict.
        """
        heads = kata.SimpleModuleDict(
            {"a": nn.Linear(2, 3), "b": nn.Linear(2, 4), "c": nn.Tanh()}
        )
        new = nn.Linear(2, 7, bias=False)
        heads["a"] = new
        check.that(heads["a"] is new, "heads['a'] is still the old module")
        check.equal(
            list(heads),
            ["a", "b", "c"],
            unlike={"the new module is at the end": ["b", "c", "a"]},
            what="keys",
        )
        same_names(
            list(heads.state_dict()),
            ["a.weight", "b.weight", "b.bias"],
            "the list of keys of the state_dict",
        )
        check.that(
            list(heads.values())[0] is new,
            "values() does not begin with the new module",
        )

    def test_the_same_object_may_have_two_keys(self, kata):
        """Both keys and both values are there; `children()` would show the
        module once.
        """
        shared = nn.Linear(2, 2)
        heads = kata.SimpleModuleDict({"a": shared, "b": shared})
        check.equal(
            [len(heads), len(list(heads.values())), len(list(heads.items()))],
            [2, 2, 2],
            what="lengths",
        )

    def test_it_is_written_without_module_dict(self, kata):
        """PyTorch's containers do just this; here you write your own. SimpleModuleDict
        is neither derived from one of them nor made of them.
        """
        with check.forbidden(kata, *CONTAINERS):
            kata.SimpleModuleDict({"a": nn.Tanh()})

    @pytest.mark.edge
    def test_a_missing_key_is_an_error(self, kata):
        """KeyError, also for the name of another attribute."""
        heads = kata.SimpleModuleDict({"topic": nn.Tanh()})
        for key in ("mood", "training"):
            with check.raises(KeyError):
                heads[key]

    @pytest.mark.edge
    def test_only_modules_may_be_in_it(self, kata):
        """Anything but a module is refused when it is added."""
        for wrong in ("relu", None):
            with check.raises(TypeError):
                kata.SimpleModuleDict({"a": wrong})
            heads = kata.SimpleModuleDict({"a": nn.Tanh()})
            with check.raises(TypeError):
                heads["a"] = wrong


class TestInitWeights:
    def test_linear_weights_are_xavier_uniform(self, kata):
        """Uniform within ±√(6 / (in + out)): the signal keeps its size forwards and
        backwards. PyTorch's default is narrower, and a normal distribution has
        no bound.
        """
        layer = nn.Linear(20, 76)
        kata.init_weights(layer)
        bound, weight = math.sqrt(6 / 96), layer.weight.detach()
        largest, mean, spread = (
            weight.abs().max().item(),
            weight.mean().item(),
            weight.std().item(),
        )
        check.that(
            largest <= bound + 1e-6,
            f"the largest weight is {largest:.3f}, beyond √(6 / (20 + 76)) = 0.25",
        )
        check.that(
            largest > 0.97 * bound,
            f"no weight is beyond ±{largest:.3f}; the range is ±0.25",
        )
        check.that(
            abs(mean) < 0.02, f"the mean of the weights is {mean:.3f}, expected about 0"
        )
        check.that(
            0.13 < spread < 0.16,
            f"the standard deviation is {spread:.3f}, expected 0.25 / √3 = 0.144",
        )

    def test_linear_biases_are_zero(self, kata):
        """A layer without a bias is left without one."""
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
        kata.init_weights(model)
        check.equal(model[0].bias.detach(), torch.zeros(4), what="bias")
        check.that(model[1].bias is None, "the layer without a bias has one now")

    def test_embeddings_are_normal(self, kata):
        """normal(0, embedding_std), 0.02 unless another is given."""
        for options, std in (({}, 0.02), ({"embedding_std": 0.5}, 0.5)):
            layer = nn.Embedding(40, 50)
            kata.init_weights(layer, **options)
            units = layer.weight.detach() / std
            spread, mean, largest = (
                units.std().item(),
                units.mean().item(),
                units.abs().max().item(),
            )
            told = (
                f"{options or 'by default'}: the standard deviation is "
                f"{spread * std:.4g}, expected {std}"
            )
            check.that(0.9 < spread < 1.1, told)
            check.that(
                abs(mean) < 0.15,
                f"the mean is {mean:.2f} standard deviations away from 0",
            )
            check.that(
                2.4 < largest < 6,
                f"the largest value is {largest:.2f} standard deviations: not normal",
            )

    def test_layer_norms_start_as_plain_standardizing(self, kata):
        """Weight 1 and bias 0: the norm then does nothing but standardize."""
        norm = nn.LayerNorm(4)
        with torch.no_grad():
            norm.weight.fill_(7.0), norm.bias.fill_(7.0)
        kata.init_weights(norm)
        check.equal(norm.weight.detach(), torch.ones(4), what="weight")
        check.equal(norm.bias.detach(), torch.zeros(4), what="bias")

    def test_other_layers_stay_as_they_are(self, kata):
        """Only the three kinds named are touched: convolutions, batch norms and a
        model's own parameters are not.
        """
        model = nn.Sequential(
            nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.GRUCell(2, 3), Positions()
        )
        model.weight = nn.Parameter(torch.randn(3))
        model.bias = nn.Parameter(torch.randn(3))
        with torch.no_grad():
            model[1].weight.fill_(3.0)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        kata.init_weights(model)
        check.equal(dict(model.state_dict()), before, what="state_dict")

    def test_every_depth_is_reached_and_the_model_comes_back(self, kata):
        """Layers in parts of parts are initialised too, and the model is returned so
        that calls can be chained.
        """
        inner = nn.Linear(3, 3)
        model = nn.Sequential(nn.ModuleDict({"block": nn.Sequential(inner)}))
        got = kata.init_weights(model)
        check.that(got is model, f"it returned {check.describe(got)}, not the model")
        check.equal(
            inner.bias.detach(), torch.zeros(3), what="the bias of a layer deep inside"
        )

    def test_parameters_stay_the_same_objects(self, kata):
        """An optimizer that was made before holds the old Parameters. New ones in their
        place are never trained, and weights that were tied are no longer.
        """
        model = nn.Sequential(
            nn.Linear(3, 4), nn.Embedding(5, 3, padding_idx=1), nn.LayerNorm(4)
        )
        model[0].bias.requires_grad = False
        before, flags = dict(model.named_parameters()), flags_of(model)
        kata.init_weights(model)
        for name, parameter in model.named_parameters():
            check.that(
                parameter is before[name],
                f"{name} is another Parameter object than before",
            )
            check.that(
                parameter.is_leaf,
                f"{name} is no leaf any more: it remembers how it was made",
            )
        check.equal(flags_of(model), flags, what="requires_grad")

    def test_all_draws_come_from_the_generator(self, kata):
        """The same seed gives the same model, and the global generator does
        not move.
        """

        def made(seed):
            model = nn.Sequential(nn.Linear(3, 4), nn.Embedding(5, 3))
            before = torch.get_rng_state()
            kata.init_weights(model, generator=torch.Generator().manual_seed(seed))
            check.that(
                torch.equal(torch.get_rng_state(), before),
                "the global generator has moved",
            )
            return dict(model.state_dict())

        first = made(1)
        check.equal(made(1), first, what="a second model from the same seed")
        other = made(2)
        for name in ("0.weight", "1.weight"):
            check.that(
                not torch.equal(other[name], first[name]),
                f"{name} is the same for another seed",
            )

    @pytest.mark.edge
    def test_subclasses_of_linear_count_as_linear(self, kata):
        """The output layer of nn.MultiheadAttention is one: `type(m) is nn.Linear`
        misses it.
        """

        class Head(nn.Linear):
            pass

        model = nn.Sequential(Head(3, 5))
        with torch.no_grad():
            model[0].weight.fill_(9.0)
            model[0].bias.fill_(9.0)
        kata.init_weights(model)
        largest = model[0].weight.abs().max().item()
        check.that(
            largest <= math.sqrt(6 / 8) + 1e-6,
            f"a weight of a subclass of nn.Linear is {largest:.3g} still",
        )
        check.equal(model[0].bias.detach(), torch.zeros(5), what="bias")

    @pytest.mark.edge
    def test_the_padding_row_is_zero(self, kata):
        """The vector of the padding token means nothing and gets no gradient. Drawing
        anew overwrites its zeros.
        """
        model = nn.Sequential(
            nn.Embedding(6, 4, padding_idx=2), nn.Embedding(5, 4, padding_idx=0)
        )
        kata.init_weights(model)
        for embedding in model:
            zero = (embedding.weight == 0).all(dim=1).nonzero().flatten().tolist()
            check.equal(zero, [embedding.padding_idx], what="the rows that are all 0")

    @pytest.mark.edge
    def test_layer_norms_may_lack_a_bias_or_both(self, kata):
        """`bias=False` leaves the weight alone, `elementwise_affine=False` nothing at
        all: there is nothing to set.
        """
        model = nn.Sequential(
            nn.LayerNorm(4, bias=False), nn.LayerNorm(4, elementwise_affine=False)
        )
        with torch.no_grad():
            model[0].weight.fill_(7.0)
        kata.init_weights(model)
        check.equal(
            model[0].weight.detach(),
            torch.ones(4),
            what="the weight of a norm without bias",
        )


class TestSetTrainable:
    def test_all_parameters_are_frozen_and_thawed(self, kata):
        """Without prefixes every parameter is meant, and the names come back in the
        order of named_parameters().
        """
        model = layers_1_and_10()
        for trainable in (False, True):
            got = kata.set_trainable(model, trainable)
            check.equal(
                flags_of(model),
                dict.fromkeys(names_of(model), trainable),
                what="requires_grad",
            )
            same_names(got, names_of(model), "the list of names covered")

    def test_a_prefix_covers_one_part(self, kata):
        """All others keep the flags that they have."""
        model = layers_1_and_10()
        model.layer10.bias.requires_grad = False
        expected = flags_of(model) | {"head.weight": False, "head.bias": False}
        got = kata.set_trainable(model, False, ["head"])
        check.equal(flags_of(model), expected, what="requires_grad")
        same_names(got, ["head.weight", "head.bias"], "the list of names covered")

    def test_layer1_does_not_cover_layer10(self, kata):
        """A prefix ends where a name ends: at a dot. "layer10.weight" begins with the
        letters of "layer1" only.
        """
        model = layers_1_and_10()
        expected = [
            "layer1.0.weight",
            "layer1.0.bias",
            "layer1.2.weight",
            "layer1.2.bias",
        ]
        got = kata.set_trainable(model, False, ["layer1"])
        both = isinstance(got, list) and "layer10.weight" in got
        check.that(
            not both,
            f"layer10 is covered along with layer1: {got}",
            like="a prefix without the dot behind it",
        )
        same_names(got, expected, "the list of names covered")
        check.that(
            model.layer10.weight.requires_grad, "layer10 was frozen along with layer1"
        )

    def test_a_prefix_may_be_a_deeper_part_or_a_single_parameter(self, kata):
        """ "layer1.2" is a part of a part, and "head.bias" one parameter. Any sequence
        will do, a tuple too.
        """
        model = layers_1_and_10()
        expected = ["layer1.2.weight", "layer1.2.bias", "head.bias"]
        same_names(
            kata.set_trainable(model, False, ("layer1.2", "head.bias")),
            expected,
            "the list of names covered",
        )
        frozen = [name for name, flag in flags_of(model).items() if not flag]
        same_names(frozen, expected, "the list of frozen parameters")

    def test_names_come_in_the_models_order_without_repeats(self, kata):
        """Whatever order the prefixes have, and also where two of them cover the
        same parameter.
        """
        model = layers_1_and_10()
        got = kata.set_trainable(
            model, False, ["head", "layer1.2", "layer1", "head.bias", "head"]
        )
        expected = [name for name in names_of(model) if not name.startswith("layer10")]
        same_names(got, expected, "the list of names covered")

    def test_freezing_clears_the_gradients_covered(self, kata):
        """A gradient that is left over still moves the parameter: the optimizer looks
        at `.grad`, not at the flag. Thawing clears none: the next step may need
        a gradient.
        """
        model = layers_1_and_10()
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        kata.set_trainable(model, False, ["layer10"])
        kata.set_trainable(model, True)
        kept = [
            name
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        ]
        expected = [name for name in names_of(model) if not name.startswith("layer10")]
        left = [name for name in kept if name not in expected]
        check.that(
            not left,
            f"still with a gradient: {', '.join(left)}",
            like="gradients left on frozen parameters",
        )
        same_names(kept, expected, "the list of parameters that still have a gradient")

    def test_parameters_and_modes_stay(self, kata):
        """Frozen is not the same as eval mode: a frozen dropout still drops. And the
        Parameters are the same objects with the same values.
        """
        model = layers_1_and_10()
        model.layer10.eval()
        modes, before = modes_of(model), dict(model.named_parameters())
        values = {
            name: parameter.detach().clone() for name, parameter in before.items()
        }
        kata.set_trainable(model, False, ["layer1"])
        check.equal(modes_of(model), modes, what="training flags")
        same = all(
            parameter is before[name] for name, parameter in model.named_parameters()
        )
        check.that(same, "there are new Parameter objects in the model")
        check.equal(
            {name: p.detach() for name, p in model.named_parameters()},
            values,
            what="values",
        )

    @pytest.mark.edge
    def test_an_empty_list_covers_nothing(self, kata):
        """[] is not None: no part was named, so nothing happens."""
        model = layers_1_and_10()
        same_names(
            kata.set_trainable(model, False, []), [], "the list of names covered"
        )
        check.that(all(flags_of(model).values()), "something was frozen")

    @pytest.mark.edge
    def test_a_str_is_refused(self, kata):
        """A str is a sequence of letters, and "head" would be taken for "h", "e",
        "a", "d".
        """
        model = layers_1_and_10()
        for text in ("head", ""):
            with check.raises(TypeError):
                kata.set_trainable(model, False, text)
        check.that(
            all(flags_of(model).values()), "something was frozen before the error"
        )

    @pytest.mark.edge
    def test_a_prefix_that_covers_nothing_is_refused(self, kata):
        """A misspelt name would otherwise train what should be frozen, silently. The
        message names it, and nothing has been changed, not even by the prefixes
        before it.
        """
        model = layers_1_and_10()
        for wrong in ("layer2", "layer", "head.weigh"):
            with check.raises(ValueError, wrong):
                kata.set_trainable(model, False, ["layer1", wrong, "head"])
            check.that(
                all(flags_of(model).values()),
                f"something was frozen before the error about {wrong!r}",
            )


@pytest.mark.stretch
class TestTraceShapes:
    def test_each_leaf_has_a_record(self, kata):
        """A leaf is a module without children; containers are not listed. Names are
        dotted, shapes plain tuples.
        """
        model = nn.Sequential(
            nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        )
        got = kata.trace_shapes(model, torch.randn(5, 3))
        expected = [
            ("0", (5, 3), (5, 4)),
            ("1.0", (5, 4), (5, 4)),
            ("1.1", (5, 4), (5, 2)),
        ]
        check.equal(records_of(got), expected, what="records")
        plain = all(
            type(record) is kata.ShapeRecord and type(record.output_shape) is tuple
            for record in got
        )
        check.that(
            plain, f"a record should be a ShapeRecord with plain tuples: {got[0]!r}"
        )

    def test_records_are_in_call_order_with_repeats(self, kata):
        """Leaves come in the order in which they run, not in that in which they were
        made. A dict by name would keep one call of each; a leaf that never runs
        has none.
        """
        got = kata.trace_shapes(Zigzag(), torch.randn(5, 3))
        expected = [
            ("second", (5, 3), (5, 3)),
            ("first.0", (5, 3), (5, 3)),
            ("second", (3, 5), (3, 5)),
        ]
        unlike = {
            "one record per name, that of its last call": [expected[2], expected[1]]
        }
        check.equal(records_of(got), expected, unlike=unlike, what="records")

    def test_a_model_may_be_a_leaf_itself(self, kata):
        """Its name is empty, as in named_modules()."""
        check.equal(
            records_of(kata.trace_shapes(nn.Linear(3, 2), torch.ones(4, 3))),
            [("", (4, 3), (4, 2))],
        )

    def test_it_runs_in_eval_mode_without_gradients(self, kata):
        """Dropout would draw random numbers, a batch norm would update its statistics
        with the example, and a graph would cost memory.
        """
        model = nn.Sequential(nn.BatchNorm1d(3), Watcher())
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        kata.trace_shapes(model, torch.randn(4, 3))
        check.equal(len(model[1].seen), 1, what="number of forward passes")
        for training, with_gradients in model[1].seen:
            check.that(not training, "the layer ran in training mode")
            check.that(not with_gradients, "the layer ran with gradients switched on")
        check.equal(dict(model.state_dict()), before, what="state_dict")
        check.that(
            torch.is_grad_enabled(), "gradients are still switched off afterwards"
        )

    def test_hooks_are_gone_and_those_of_others_stay(self, kata):
        """A hook that is left slows every later call down, and adds to a list that is
        not read.
        """
        model = Zigzag()
        calls = []
        model.second.register_forward_hook(lambda *_: calls.append("theirs"))
        before = hooks_on(model)
        got = kata.trace_shapes(model, torch.randn(5, 3))
        check.that(
            hooks_on(model) == before,
            f"{hooks_on(model)} hooks are on the model, {before} were there before",
        )
        model(torch.randn(5, 3))
        check.equal(
            len(got), 3, what="number of records after another call of the model"
        )
        check.equal(len(calls), 4, what="calls that the model's own hook has seen")

    @pytest.mark.edge
    def test_the_first_tensor_of_a_tuple_counts(self, kata):
        """An LSTM returns (outputs, (h, c)), and a layer may get several tensors or a
        tuple of them.
        """
        lstm = nn.LSTM(3, 4, batch_first=True)
        got = records_of(kata.trace_shapes(lstm, torch.randn(2, 5, 3)))
        check.equal(got, [("", (2, 5, 3), (2, 5, 4))], what="LSTM")
        got = records_of(
            kata.trace_shapes(
                nn.Bilinear(3, 4, 2), torch.randn(5, 3), torch.randn(5, 4)
            )
        )
        check.equal(got, [("", (5, 3), (5, 2))], what="two inputs")
        got = records_of(kata.trace_shapes(Labelled(), torch.randn(5, 3), 2))
        check.equal(got, [("", (5, 3), (3, 5))], what="an output of (None, [tensor])")

    @pytest.mark.edge
    def test_every_module_gets_its_own_flag_back(self, kata):
        """A model in training may have a part in eval mode, such as a frozen batch
        norm; `model.train()` at the end would wake it up. The other way round, too.
        """
        model = nn.Sequential(
            nn.Linear(3, 3), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3))
        )
        model[1][1].eval()
        for training in (True, False):
            model.training = training
            before = modes_of(model)
            kata.trace_shapes(model, torch.randn(4, 3))
            unlike = {"`model.train()` at the end": dict.fromkeys(before, True)}
            check.equal(modes_of(model), before, unlike=unlike, what="training flags")

    @pytest.mark.edge
    def test_hooks_are_gone_and_flags_restored_after_an_error(self, kata):
        """Cleaning up after the forward is skipped when the forward raises. A `finally`
        is not.
        """
        model = misfit()
        modes, before = modes_of(model), hooks_on(model)
        with check.raises(RuntimeError):
            kata.trace_shapes(model, torch.randn(5, 3))
        check.that(
            hooks_on(model) == before,
            f"{hooks_on(model) - before} hooks are left on the model after an error",
        )
        check.equal(modes_of(model), modes, what="training flags after an error")
        check.that(
            torch.is_grad_enabled(), "gradients are still switched off after an error"
        )

    @pytest.mark.edge
    def test_the_failing_layer_and_its_input_shape_are_named(self, kata):
        """PyTorch's message shows two matrices and no name. Yours says which layer got
        which shape, and keeps the original error as its cause.
        """
        with check.raises(RuntimeError, "body.2", "(5, 4)"):
            kata.trace_shapes(misfit(), torch.randn(5, 3))
        try:
            kata.trace_shapes(misfit(), torch.randn(5, 3))
        except RuntimeError as error:
            cause = error.__cause__
            check.that(
                isinstance(cause, RuntimeError),
                f"the cause is {cause!r}, expected the original RuntimeError",
            )

    @pytest.mark.edge
    def test_a_leaf_may_raise_any_kind_of_error(self, kata):
        """An index that an embedding lacks is an IndexError; it becomes a RuntimeError
        with a name all the same.
        """
        model = nn.Sequential(OrderedDict(words=nn.Embedding(4, 2)))
        with check.raises(RuntimeError, "words", "(2, 3)"):
            kata.trace_shapes(model, torch.full((2, 3), 9))

    @pytest.mark.edge
    def test_an_error_outside_of_a_leaf_comes_through(self, kata):
        """No layer has failed, so the error must not name one."""
        model = Refuses()
        with check.raises(OwnError):
            kata.trace_shapes(model, torch.randn(4, 3))
        check.equal(hooks_on(model), 0, what="hooks left")


@pytest.mark.stretch
class TestLoadMatching:
    def test_a_state_dict_that_fits_is_loaded(self, kata):
        """The same as load_state_dict, and every name is reported as loaded."""
        old, new = nn.Linear(3, 2), nn.Linear(3, 2)
        before = {name: tensor.clone() for name, tensor in new.state_dict().items()}
        got = kata.load_matching(new, old.state_dict())
        unlike = {
            "nothing was loaded: a new entry in the dict that state_dict() returns "
            "does not reach the model, but `copy_` into its tensor does": before,
        }
        check.equal(
            dict(new.state_dict()),
            dict(old.state_dict()),
            unlike=unlike,
            what="state_dict",
        )
        check.that(
            type(got) is kata.LoadReport,
            f"the result is {check.describe(got)}, expected a LoadReport",
        )
        check.equal(
            tuple(got),
            (["weight", "bias"], [], [], []),
            what="(loaded, missing, unexpected, mismatched)",
        )

    def test_every_name_is_reported_once(self, kata):
        """A name with another shape is mismatched and not missing as well. Names of the
        model come in the model's order, unexpected ones in that of the state.
        """
        old, new = old_and_new()
        state = dict(reversed(old.state_dict().items()))
        got = kata.load_matching(new, state)
        norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
        expected = {
            "loaded": [f"norm.{name}" for name in norm],
            "missing": ["extra.weight", "extra.bias"],
            "unexpected": ["gone.bias", "gone.weight"],
            "mismatched": ["head.weight", "head.bias"],
        }
        for kind, names in expected.items():
            same_names(getattr(got, kind), names, kind)

    def test_parameters_and_buffers_are_loaded_and_the_rest_stays(self, kata):
        """Running statistics belong to what the old model has learned. A new head
        starts from its own values.
        """
        old, new = old_and_new()
        before = {
            name: tensor.clone()
            for name, tensor in new.state_dict().items()
            if not name.startswith("norm")
        }
        kata.load_matching(new, old.state_dict())
        check.equal(
            dict(new["norm"].state_dict()), dict(old["norm"].state_dict()), what="norm"
        )
        check.equal(
            {name: new.state_dict()[name] for name in before},
            before,
            what="what did not match",
        )

    @pytest.mark.parametrize(
        "shape", [(1, 3), (3, 2)], ids=["would broadcast", "as many numbers"]
    )
    def test_another_shape_does_not_match(self, kata, shape):
        """(1, 3) would broadcast into a weight (2, 3), and (3, 2), saved transposed,
        holds as many numbers: neither has them where they belong.
        """
        model = nn.Linear(3, 2)
        before = model.weight.detach().clone()
        got = kata.load_matching(model, {"weight": torch.ones(shape)})
        check.equal(
            got.mismatched,
            ["weight"],
            unlike={"the shapes are not compared": []},
            what="mismatched",
        )
        check.equal(model.weight.detach(), before, what="the weight afterwards")

    def test_parameters_stay_the_same_objects(self, kata):
        """The optimizer holds them. Frozen ones stay frozen and all stay leaves, even
        if the state holds Parameters.
        """
        old, new = nn.Linear(3, 2), nn.Linear(3, 2)
        new.bias.requires_grad = False
        before, flags = dict(new.named_parameters()), flags_of(new)
        kata.load_matching(new, dict(old.named_parameters()))
        for name, parameter in new.named_parameters():
            check.that(
                parameter is before[name],
                f"{name} is another Parameter object than before",
            )
            check.that(parameter.is_leaf, f"{name} is no leaf any more")
        check.equal(flags_of(new), flags, what="requires_grad")
        check.equal(new.weight.detach(), old.weight.detach(), what="weight")

    def test_no_memory_is_shared(self, kata):
        """After `p.data = state[name]` training the one model changes the other."""
        old, new = old_and_new()
        state = old.state_dict()
        kata.load_matching(new, state)
        for name in ("norm.weight", "norm.running_mean", "norm.num_batches_tracked"):
            check.independent(new.state_dict()[name], state[name], what=name)

    @pytest.mark.edge
    def test_the_models_dtype_is_kept(self, kata):
        """A checkpoint in float64 or bfloat16 does not change the dtype of
        the model.
        """
        old, new = nn.BatchNorm1d(3).double(), nn.BatchNorm1d(3)
        with torch.no_grad():
            old.weight.copy_(torch.tensor([1.5, 2.5, 3.5]))
        dtypes = {name: tensor.dtype for name, tensor in new.state_dict().items()}
        kata.load_matching(new, old.state_dict())
        check.equal(
            {name: tensor.dtype for name, tensor in new.state_dict().items()},
            dtypes,
            what="dtypes",
        )
        check.equal(new.weight.detach(), torch.tensor([1.5, 2.5, 3.5]), what="weight")

    @pytest.mark.edge
    def test_the_models_device_is_kept(self, kata):
        """A checkpoint is usually loaded on the CPU, wherever the model is: here on the
        meta device.
        """
        model = nn.Linear(3, 2, device="meta")
        kata.load_matching(model, nn.Linear(3, 2).state_dict())
        check.equal(
            [p.device.type for p in model.parameters()],
            ["meta", "meta"],
            what="devices",
        )

    @pytest.mark.edge
    def test_the_state_stays_as_it_was(self, kata):
        """The state may be loaded into another model too, so nothing is removed from it
        or written to it.
        """
        old, new = old_and_new()
        state = dict(old.state_dict())
        names = list(state)
        with check.unchanged(weight=state["norm.weight"], gone=state["gone.weight"]):
            kata.load_matching(new, state)
        check.equal(list(state), names, what="the names in state")

    @pytest.mark.edge
    def test_buffers_that_are_not_saved_are_not_missing(self, kata):
        """The names are those of the model's state_dict, which leaves transient
        buffers out.
        """
        got = kata.load_matching(
            Positions(), {"table": torch.zeros(4, dtype=torch.int64)}
        )
        check.equal(
            tuple(got),
            ([], [], ["table"], []),
            what="(loaded, missing, unexpected, mismatched)",
        )
