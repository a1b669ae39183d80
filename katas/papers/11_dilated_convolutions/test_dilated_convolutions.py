"""Specs of kata papers/11: reach by formula and by gradient, causal dilated
convolutions, a stack, a context module.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

B, C, O, T = 3, 4, 5, 17  # noqa: E741  (sequences, channels in, channels out, steps)


def steps_back(kernel_size, dilations):
    """The distances from an output to all input steps that it sees, by walking down
    layer by layer.
    """
    seen = {0}
    for dilation in dilations:
        seen = {
            distance + tap * dilation for distance in seen for tap in range(kernel_size)
        }
    return sorted(seen)


@st.composite
def stacks(draw):
    """A kernel size and the dilations of up to four layers."""
    return draw(st.integers(1, 4)), draw(
        st.lists(st.integers(1, 6), min_size=1, max_size=4)
    )


class TestReceptiveField:
    def test_the_gaps_count_too(self, kata):
        """Three taps at distance 4 lie at t − 8, t − 4 and t. From the first of them to
        the last one there are 9 steps, although only three are read.
        """
        unlike = {
            "the number of taps": 3,
            "the taps times the dilation": 12,
            "the distance without the last step": 8,
        }
        unlike |= {"K · dilation steps added, not (K − 1) · dilation": 13}
        check.equal(
            kata.receptive_field(3, [4]),
            9,
            unlike=unlike,
            what="the reach of K = 3, dilation 4",
        )

    def test_doubling_the_dilation_doubles_the_reach(self, kata):
        """With dilations 1, 2, 4, … each layer about doubles what is seen: to 2, 4, 8,
        16 steps for two taps, and to 3, 7, 15, 31 for three. That is the paper's point:
        depth 10 sees a thousand steps.
        """
        for kernel_size, expected in ((2, [2, 4, 8, 16]), (3, [3, 7, 15, 31])):
            dilations = [1, 2, 4, 8]
            got = [
                kata.receptive_field(kernel_size, dilations[: depth + 1])
                for depth in range(4)
            ]
            unlike = {
                "K times the dilation added per layer": [
                    1 + kernel_size * (2 ** (i + 1) - 1) for i in range(4)
                ],
                "the reaches of the layers multiplied": [
                    int(
                        np.prod([1 + (kernel_size - 1) * d for d in dilations[: i + 1]])
                    )
                    for i in range(4)
                ],
                "the reach of the last layer alone": [
                    1 + (kernel_size - 1) * d for d in dilations
                ],
            }
            check.equal(
                got,
                expected,
                unlike=unlike,
                what=f"the reach after 1, 2, 3, 4 layers with K = {kernel_size}",
            )

    def test_without_dilation_the_reach_grows_by_a_step_per_layer(self, kata):
        """Five layers of two taps and dilation 1 see 6 steps. The dilations that are
        given count, not powers of two.
        """
        unlike = {"dilations 1, 2, 4, 8, 16 whatever is given": 32}
        check.equal(kata.receptive_field(2, (1, 1, 1, 1, 1)), 6, unlike=unlike)

    @given(case=stacks())
    def test_equals_a_walk_down_the_stack(self, kata, case):
        """Start at the last step and go down layer by layer, along every tap. The reach
        is the distance to the earliest step that is met, and one more.
        """
        kernel_size, dilations = case
        expected = steps_back(kernel_size, dilations)[-1] + 1
        what = f"the reach of K = {kernel_size}, dilations {dilations}"
        check.equal(kata.receptive_field(kernel_size, dilations), expected, what=what)

    @pytest.mark.edge
    def test_no_layer_sees_one_step(self, kata):
        """A stack without layers hands on its input, so each output sees one step."""
        check.equal(kata.receptive_field(3, []), 1, what="the reach without layers")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "kernel_size, dilations", [(2, [1, 0, 4]), (2, [4, -1]), (0, [1, 2])]
    )
    def test_sizes_below_one_are_errors(self, kata, kernel_size, dilations):
        """Taps 0 steps apart are one tap, and a kernel without taps is none. A formula
        would still give a number.
        """
        with check.raises(ValueError):
            kata.receptive_field(kernel_size, dilations)


@st.composite
def sequences(draw):
    """Steps, taps and a dilation; the sequence may be shorter than the reach."""
    return draw(st.integers(1, 12)), draw(st.integers(1, 4)), draw(st.integers(1, 5))


def shifted(x, distance):
    """(…, T) moved to the right by `distance` steps, with zeros at the start. A
    negative distance looks ahead.
    """
    moved = torch.zeros_like(x)
    length = x.shape[-1]
    for t in range(length):
        if 0 <= t - distance < length:
            moved[..., t] = x[..., t - distance]
    return moved


def causal(x, weight, bias, dilation, *, ahead=0, backward=False):
    """A causal convolution as a sum of shifted matrix products: x (B, C, T), weight
    (O, C, K), bias (O,).
    """
    taps = weight.flip(-1) if not backward else weight
    y = torch.zeros(len(x), len(weight), x.shape[-1], dtype=x.dtype) + bias[:, None]
    for distance in range(weight.shape[-1]):
        y = y + torch.einsum(
            "oc,bct->bot", taps[..., distance], shifted(x, distance * dilation - ahead)
        )
    return y


def slips(x, weight, bias, dilation):
    """By name, what some slips in a causal convolution lead to."""
    ahead = (weight.shape[-1] - 1) * dilation
    return {
        "the first tap meets the present step": causal(
            x, weight, bias, dilation, backward=True
        ),
        "neighbouring taps, without the dilation": causal(x, weight, bias, 1),
        "the padding is at the end: it looks ahead": causal(
            x, weight, bias, dilation, ahead=ahead
        ),
        "half of the padding at each end: it looks ahead": causal(
            x, weight, bias, dilation, ahead=ahead // 2
        ),
    }


@pytest.mark.stretch
class TestDilatedConv1dNumpy:
    def test_each_tap_reads_its_own_step(self, kata):
        """The last tap meets the present step; the others lie d, 2d, … steps earlier.
        The input has a single 1, so the output shows the taps, last one first, with
        d − 1 zeros between them.
        """
        x, w = np.zeros(9), np.array([2.0, 3.0, 5.0])
        x[1] = 1.0
        expected = np.array([0, 5.0, 0, 0, 3.0, 0, 0, 2.0, 0])
        unlike = {
            "the first tap meets the present step": np.array(
                [0, 2.0, 0, 0, 3.0, 0, 0, 5.0, 0]
            ),
            "neighbouring taps, without the dilation": np.array(
                [0, 5.0, 3.0, 2.0, 0, 0, 0, 0, 0]
            ),
            "the zeros are at the end: it looks ahead": np.array(
                [0, 2.0, 0, 0, 0, 0, 0, 0, 0]
            ),
            "half of the zeros at each end: it looks ahead": np.array(
                [0, 3.0, 0, 0, 2.0, 0, 0, 0, 0]
            ),
        }
        check.close(
            kata.dilated_conv1d_numpy(x, w, 3),
            expected,
            unlike=unlike,
            what="the answer to a single 1",
        )

    def test_before_the_start_there_are_zeros(self, kata):
        """The first outputs have taps that lie before the start. Those read 0, not the
        end of the sequence.
        """
        x, w = np.array([1.0, 10.0, 100.0, 1000.0]), np.array([2.0, 1.0])
        wrapped = x + 2 * np.roll(x, 2)
        unlike = {
            "the start sees the end: the sequence wraps round": wrapped,
            "no padding": x[2:] + 2 * x[:-2],
        }
        check.close(
            kata.dilated_conv1d_numpy(x, w, 2),
            np.array([1.0, 10.0, 102.0, 1020.0]),
            unlike=unlike,
        )

    @given(case=sequences())
    def test_equals_conv1d_of_torch(self, kata, case):
        """PyTorch's conv1d on an input with zeros to its left gives the same T values,
        also where the sequence is shorter than the reach.
        """
        length, taps, dilation = case
        x, w = (
            torch.randn(length, dtype=torch.float64),
            torch.randn(taps, dtype=torch.float64),
        )
        one = torch.zeros(1, dtype=torch.float64)
        padded = torch.cat([torch.zeros((taps - 1) * dilation, dtype=torch.float64), x])
        expected = F.conv1d(padded[None, None], w[None, None], dilation=dilation)[0, 0]
        wrong = {
            name: y[0, 0].numpy()
            for name, y in slips(x[None, None], w[None, None], one, dilation).items()
        }
        got = kata.dilated_conv1d_numpy(x.numpy(), w.numpy(), dilation)
        what = f"the result for T = {length}, K = {taps}, dilation {dilation}"
        check.close(
            got, expected.numpy(), rtol=1e-4, atol=1e-5, unlike=wrong, what=what
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64, so the result agrees with torch
        to 1e-9.
        """
        x, w = torch.randn(30, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
        expected = causal(x[None, None], w[None, None], torch.zeros(1), 4)[0, 0]
        check.close(
            kata.dilated_conv1d_numpy(x.numpy(), w.numpy(), 4),
            expected.numpy(),
            rtol=0,
            atol=1e-9,
        )


def float64_weights(module):
    return {
        name: parameter.detach().double()
        for name, parameter in module.named_parameters()
    }


class TestCausalConv1d:
    def test_holds_one_convolution(self, kata):
        """`conv` is an nn.Conv1d with a weight of (O, C, K) and a bias. It has all
        the parameters.
        """
        layer = kata.CausalConv1d(C, O, kernel_size=3, dilation=2)
        check.that(
            isinstance(layer.conv, nn.Conv1d),
            f"conv is {check.describe(layer.conv)}, expected an nn.Conv1d",
        )
        got = {
            name: tuple(parameter.shape) for name, parameter in layer.named_parameters()
        }
        check.equal(
            got,
            {"conv.weight": (O, C, 3), "conv.bias": (O,)},
            what="the parameters of the layer",
        )

    def test_the_length_stays(self, kata):
        """One output per step, whatever the kernel and the dilation, also where the
        sequence is shorter than the reach. So layers can be stacked, and step t of the
        output belongs to step t of the input.
        """
        for kernel_size, dilation, length in (
            (2, 1, T),
            (3, 2, T),
            (2, 8, 5),
            (4, 3, 2),
        ):
            layer = kata.CausalConv1d(C, O, kernel_size, dilation)
            what = (
                f"the output for K = {kernel_size}, dilation {dilation}, T = {length}"
            )
            wrong = {}
            if dilation > 1:
                wrong["the convolution without the dilation"] = (
                    B,
                    O,
                    length + (kernel_size - 1) * (dilation - 1),
                )
                wrong["K − 1 zeros in front, whatever the dilation"] = (
                    B,
                    O,
                    length - (kernel_size - 1) * (dilation - 1),
                )
            wrong["nothing is padded in front"] = (
                B,
                O,
                length - (kernel_size - 1) * dilation,
            )
            wrong["padded on both sides, and nothing cut off"] = (
                B,
                O,
                length + (kernel_size - 1) * dilation,
            )
            got = layer(torch.randn(B, C, length))
            check.equal(
                tuple(got.shape),
                (B, O, length),
                unlike=wrong,
                what=f"the shape of {what}",
            )

    @pytest.mark.parametrize("dilation", [1, 2, 5])
    def test_taps_lie_at_t_and_at_multiples_of_the_dilation_before(
        self, kata, dilation
    ):
        """With three taps, an output reads the steps t − 2d, t − d and t. Steps before
        the start are zeros. The judge is a sum of shifted inputs, times the weights of
        each tap.
        """
        layer, x = kata.CausalConv1d(C, O, 3, dilation), torch.randn(B, C, T)
        w = float64_weights(layer)
        wrong = slips(x.double(), w["conv.weight"], w["conv.bias"], dilation)
        expected = causal(x.double(), w["conv.weight"], w["conv.bias"], dilation)
        if dilation == 1:
            del wrong["neighbouring taps, without the dilation"]
        check.close(
            layer(x), expected, unlike=wrong, what=f"the output for dilation {dilation}"
        )

    def test_neighbouring_taps_by_default(self, kata):
        """Without a dilation this is a usual convolution: d = 1."""
        layer, x = kata.CausalConv1d(C, O, 2), torch.randn(B, C, T)
        w = float64_weights(layer)
        check.close(layer(x), causal(x.double(), w["conv.weight"], w["conv.bias"], 1))

    @given(case=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(0, T - 2)))
    def test_the_future_changes_nothing(self, kata, case):
        """Other values from step t + 1 on leave the outputs up to t as they are. A
        model that saw the next step would read its answer there, and could not be used
        to predict.
        """
        kernel_size, dilation, t = case
        layer, x = kata.CausalConv1d(C, O, kernel_size, dilation), torch.randn(B, C, T)
        other = x.clone()
        other[..., t + 1 :] = torch.randn(B, C, T - t - 1)
        what = (
            f"outputs up to step {t} after a change from step {t + 1} on (K = "
            f"{kernel_size}, dilation {dilation})"
        )
        check.close(
            layer(other)[..., : t + 1], layer(x)[..., : t + 1].detach(), what=what
        )

    def test_gradients_go_to_the_steps_that_were_read(self, kata):
        """The gradient takes the same way back: it reaches x as it does in the sum of
        shifted inputs.
        """
        layer = kata.CausalConv1d(C, O, 3, 2)
        w = float64_weights(layer)
        check.gradients(
            layer,
            lambda x: causal(x.double(), w["conv.weight"], w["conv.bias"], 2),
            torch.randn(B, C, T),
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("kernel_size, length", [(1, 6), (1, 1), (3, 1)])
    def test_one_tap_and_one_step_work(self, kata, kernel_size, length):
        """K = 1 needs no padding, where a slice such as `[..., :-0]` would be empty. A
        sequence may have one step.
        """
        layer, x = kata.CausalConv1d(C, O, kernel_size, 4), torch.randn(B, C, length)
        w = float64_weights(layer)
        expected = causal(x.double(), w["conv.weight"], w["conv.bias"], 4)
        check.close(
            layer(x), expected, unlike={"a slice that ends at -0": expected[..., :-0]}
        )

    @pytest.mark.edge
    def test_a_float64_layer_computes_in_float64(self, kata):
        """The zeros of the padding have the dtype of x. The result agrees to 1e-9."""
        layer, x = (
            kata.CausalConv1d(C, O, 3, 2).double(),
            torch.randn(B, C, T, dtype=torch.float64),
        )
        got = layer(x)
        check.dtype(got, torch.float64)
        w = float64_weights(layer)
        check.close(
            got, causal(x, w["conv.weight"], w["conv.bias"], 2), rtol=0, atol=1e-9
        )


def stacked(
    w, x, dilations, *, residual=True, inside=True, relu=torch.relu, first=lambda h: h
):
    """A DilatedStack by hand with these weights. The options are slips."""
    h = first(
        torch.einsum("oc,bct->bot", w["stem.weight"][..., 0], x)
        + w["stem.bias"][:, None]
    )
    for i, dilation in enumerate(dilations):
        y = causal(
            h, w[f"layers.{i}.conv.weight"], w[f"layers.{i}.conv.bias"], dilation
        )
        h = (relu(y) + h if inside else relu(y + h)) if residual else relu(y)
    return (
        torch.einsum("oc,bct->bot", w["head.weight"][..., 0], h)
        + w["head.bias"][:, None]
    )


def reach_of(model, in_channels, length=60):
    """Count the last steps on which the last output depends. All weights and inputs are
    made positive, so that no relu stops a way through the model.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape) + 0.1)
    x = torch.rand(1, in_channels, length, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x)[0, :, -1].sum(), x)
    return length - int(gradient[0].abs().sum(dim=0).nonzero().min())


class TestDilatedStack:
    def test_stem_layers_and_head(self, kata):
        """The stem and the head change the number of channels at each step, without
        looking at others: kernel size 1. Between them there is one CausalConv1d
        per dilation.
        """
        model = kata.DilatedStack(C, 6, O, kernel_size=3, dilations=(2, 1, 5))
        own = [type(layer).__name__ for layer in model.layers]
        check.equal(own, ["CausalConv1d"] * 3, what="the layers")
        expected = {
            "stem.weight": (6, C, 1),
            "stem.bias": (6,),
            "head.weight": (O, 6, 1),
            "head.bias": (O,),
        }
        for i in range(3):
            expected |= {
                f"layers.{i}.conv.weight": (6, 6, 3),
                f"layers.{i}.conv.bias": (6,),
            }
        got = {
            name: tuple(parameter.shape) for name, parameter in model.named_parameters()
        }
        check.equal(got, expected, what="the parameters of the stack")

    def test_each_layer_adds_to_what_it_reads(self, kata):
        """h = h + relu(layer(h)): the relu is on the branch, and h itself goes on
        unchanged. There is no relu after the stem or before the head.
        """
        dilations = (2, 1, 3)
        model, x = kata.DilatedStack(C, 6, O, 2, dilations), torch.randn(B, C, T)
        w = float64_weights(model)
        wrong = {
            "h is not added": {"residual": False},
            "the relu after the sum": {"inside": False},
            "no relu": {"relu": lambda y: y},
            "a relu after the stem": {"first": torch.relu},
        }
        unlike = {
            name: stacked(w, x.double(), dilations, **slip)
            for name, slip in wrong.items()
        }
        unlike["all layers with dilation 1"] = stacked(w, x.double(), (1, 1, 1))
        unlike["the dilations in reverse order"] = stacked(
            w, x.double(), dilations[::-1]
        )
        check.close(model(x), stacked(w, x.double(), dilations), unlike=unlike)

    @pytest.mark.parametrize(
        "kernel_size, dilations",
        [(2, (1, 2, 4, 8)), (3, (1, 3, 9)), (2, (1, 1, 1, 1, 1))],
    )
    def test_the_reach_is_that_of_the_formula(self, kata, kernel_size, dilations):
        """Each layer adds (K − 1) · d steps to what the last output depends on. It is
        measured here by a gradient.
        """
        got = reach_of(kata.DilatedStack(C, 6, O, kernel_size, dilations), C)
        unlike = {"no layer has a dilation": 1 + (kernel_size - 1) * len(dilations)}
        if set(dilations) == {1}:
            unlike = {}
        expected = steps_back(kernel_size, dilations)[-1] + 1
        what = (
            "the number of steps that the last output depends on, for K = "
            f"{kernel_size}, dilations {dilations}"
        )
        check.equal(got, expected, unlike=unlike, what=what)

    def test_four_layers_see_sixteen_steps_by_default(self, kata):
        """Kernel size 2 and dilations 1, 2, 4, 8."""
        model = kata.DilatedStack(C, 6, O)
        check.equal(len(model.layers), 4, what="the number of layers")
        check.equal(
            reach_of(model, C),
            16,
            what="the number of steps that the last output depends on",
        )

    @given(t=st.integers(0, T - 2))
    def test_the_future_changes_nothing(self, kata, t):
        """The stack is as causal as its layers: outputs up to t do not depend on steps
        after t.
        """
        model, x = kata.DilatedStack(C, 6, O), torch.randn(B, C, T)
        other = x.clone()
        other[..., t + 1 :] = torch.randn(B, C, T - t - 1)
        what = f"outputs up to step {t} after a change from step {t + 1} on"
        check.close(
            model(other)[..., : t + 1], model(x)[..., : t + 1].detach(), what=what
        )

    @pytest.mark.edge
    def test_a_float64_stack_computes_in_float64(self, kata):
        """Nothing in the stack goes through float32. The result agrees to 1e-9."""
        model, x = (
            kata.DilatedStack(C, 6, O).double(),
            torch.randn(B, C, T, dtype=torch.float64),
        )
        got = model(x)
        check.dtype(got, torch.float64)
        check.close(
            got, stacked(float64_weights(model), x, (1, 2, 4, 8)), rtol=0, atol=1e-9
        )


class Taps(nn.Module):
    """A model with a bare list of taps: (output channel, input channel, steps back,
    weight). It notes its modes.
    """

    def __init__(self, *taps):
        super().__init__()
        self.taps = taps
        self.scale = nn.Parameter(torch.ones(()))
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        y = [
            0.0 * self.scale * x[:, 0]
            for _ in range(1 + max((tap[0] for tap in self.taps), default=0))
        ]
        for out, channel, distance, weight in self.taps:
            y[out] = y[out] + weight * self.scale * shifted(x[:, channel], distance)
        return torch.stack(y, dim=1)


@pytest.mark.stretch
class TestEmpiricalReceptiveField:
    def test_steps_between_the_taps_count(self, kata):
        """Three taps 4 steps apart have a gradient at three steps, and a reach of 9:
        from the earliest step to the last one.
        """
        model = Taps((0, 0, 0, 1.0), (0, 0, 4, 1.0), (0, 0, 8, 1.0))
        unlike = {
            "the number of steps with a gradient": 3,
            "the distance without the last step": 8,
            "all outputs, or the first one, in place of the last": 20,
        }
        got = kata.empirical_receptive_field(model, in_channels=1, length=20)
        check.equal(
            got, 9, unlike=unlike, what="the reach of taps at t, t − 4 and t − 8"
        )

    def test_a_model_may_not_read_the_last_step(self, kata):
        """Taps 3 and 5 steps back read two steps only. The reach goes to the last step
        all the same, so it is 6.
        """
        unlike = {
            "the number of steps with a gradient": 2,
            "from the earliest to the latest step with a gradient": 3,
        }
        got = kata.empirical_receptive_field(
            Taps((0, 0, 3, 1.0), (0, 0, 5, 1.0)), in_channels=1, length=12
        )
        check.equal(got, 6, unlike=unlike, what="the reach of taps at t − 3 and t − 5")

    def test_all_channels_count(self, kata):
        """A step is seen if any output channel depends on any input channel there.
        Gradients of both signs count.
        """
        model = Taps(
            (0, 0, 1, 1.0),
            (0, 1, 3, 1.0),
            (1, 0, 6, -1.0),
            (1, 1, 6, 1.0),
            (1, 0, 0, 1.0),
        )
        unlike = {
            "the first output channel only, or the number of steps with a gradient": 4,
            "the first output and the first input channel only": 2,
        }
        check.equal(
            kata.empirical_receptive_field(model, in_channels=2, length=15),
            7,
            unlike=unlike,
        )

    def test_only_the_last_output_is_asked(self, kata):
        """The reach is that of one output, the last one. All outputs together depend on
        every step. A layer of nn with three taps at distance 2 sees 5 steps, wherever
        it stands in a longer input.
        """
        model = nn.Sequential(nn.ZeroPad1d((4, 0)), nn.Conv1d(2, 8, 3, dilation=2))
        for length in (11, 24):
            unlike = {"all outputs, or the first one, in place of the last": length}
            got = kata.empirical_receptive_field(model, in_channels=2, length=length)
            check.equal(
                got, 5, unlike=unlike, what=f"the reach with {length} input steps"
            )

    @pytest.mark.edge
    def test_nothing_seen_is_0(self, kata):
        """A model whose output does not depend on x has no earliest step."""
        check.equal(
            kata.empirical_receptive_field(
                Taps((0, 0, 2, 0.0)), in_channels=1, length=9
            ),
            0,
        )

    @pytest.mark.edge
    def test_the_model_is_left_as_it_was(self, kata):
        """A measurement leaves no gradients behind, as they would be added to those of
        the next step. `training` is as before, too.
        """
        for mode in (True, False):
            model = Taps((0, 0, 2, 1.0)).train(mode)
            kata.empirical_receptive_field(model, in_channels=1, length=9)
            check.that(
                model.scale.grad is None,
                "a parameter has a .grad after the call, and had none before",
            )
            check.equal(model.training, mode, what="model.training afterwards")

    @pytest.mark.edge
    def test_the_measurement_is_in_eval_mode(self, kata):
        """In train mode dropout would hide some steps by chance."""
        model = Taps((0, 0, 2, 1.0)).train()
        kata.empirical_receptive_field(model, in_channels=1, length=9)
        check.that(not any(model.modes), "the model was called in train mode")


# symbols, steps of a sequence, and how far back the answer is, in the short trainings
V, LENGTH, LAG = 4, 12, 3


class Noted(nn.Module):
    """A model that notes what it reads, and in which mode. It sees the steps t − 1, t
    and t + 1.
    """

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(V, V, 3, padding=1)
        self.read, self.modes = [], []

    def forward(self, x):
        self.read.append(x.detach().clone())
        self.modes.append(self.training)
        return self.conv(x)


@functools.cache
def accuracy(kata, dilations):
    """The share of right answers of a stack after 100 steps at lag 24, on 100
    new sequences.
    """
    torch.manual_seed(0)
    model = kata.DilatedStack(4, 24, 4, 2, dilations)
    kata.train_lag(model, steps=100, generator=torch.Generator().manual_seed(0))
    x, y = kata.lag_batch(100, 64, 24, 4, torch.Generator().manual_seed(1))
    with torch.no_grad():
        right = model(x).argmax(dim=1) == y
    return right[:, 24:].float().mean().item()


class TestTrainLag(training.Contract):
    """Adam on one-hot sequences. The first steps have no answer: they are left out of
    the sum and of the count.
    """

    model, steps = Noted, 4

    def train(self, kata, model, **options):
        return kata.train_lag(
            model, batch=5, length=LENGTH, lag=LAG, vocab=V, **options
        )

    def loss(self, model, x, lag=LAG):
        log_shares = model(x)[..., lag:].log_softmax(dim=1)
        return -log_shares.gather(1, x.argmax(dim=1)[:, None, : LENGTH - lag]).mean()

    def wrong_losses(self, model, x):
        return {
            "the present symbol as the answer": self.loss(model, x, lag=0),
            "steps without an answer are counted": self.loss(model, x)
            * (LENGTH - LAG)
            / LENGTH,
            "steps without an answer have the answer 0": F.cross_entropy(
                model(x), F.pad(x.argmax(dim=1)[:, : LENGTH - LAG], (LAG, 0))
            ),
        }

    def test_each_step_reads_a_new_batch(self, kata):
        """A step draws `batch` sequences of `length` symbols."""
        model = Noted()
        self.train(kata, model, steps=3)
        check.equal(
            [tuple(x.shape) for x in model.read],
            [(5, V, LENGTH)] * 3,
            what="the shapes that the model reads",
        )
        again = torch.equal(model.read[0], model.read[1])
        check.that(
            not again, "steps 0 and 1 read the same sequences: draw new ones per step"
        )

    @pytest.mark.timeout(60)
    def test_the_dilated_stack_learns_lag_24(self, kata):
        """The key result: five layers with dilations 1, 2, 4, 8, 16 see 32 steps, so
        the answer is in sight. After 100 steps nearly all answers are right.
        """
        share = accuracy(kata, (1, 2, 4, 8, 16))
        check.that(
            share > 0.95,
            f"the dilated stack gives {share:.0%} right answers, expected more than "
            "95 %",
        )

    @pytest.mark.timeout(60)
    def test_the_undilated_stack_of_the_same_size_cannot(self, kata):
        """Five layers of dilation 1 have as many parameters and see 6 steps. The answer
        lies 24 steps back, so the model can only guess among 4 symbols. More right
        answers would mean that it sees what it should not.
        """
        share = accuracy(kata, (1, 1, 1, 1, 1))
        check.that(
            share < 0.4,
            f"the undilated stack gives {share:.0%} right answers, expected about 25 "
            "%, by chance",
        )


def in_the_plane(x, weight, bias, dilation):
    """A dilated 3×3 convolution with zeros around x (B, C, H, W), as a sum of nine
    shifted matrix products.
    """
    height, width = x.shape[-2:]
    room = torch.zeros(
        *x.shape[:2], height + 2 * dilation, width + 2 * dilation, dtype=x.dtype
    )
    room[..., dilation : dilation + height, dilation : dilation + width] = x
    y = bias[:, None, None]
    for i in range(3):
        for j in range(3):
            window = room[
                ...,
                i * dilation : i * dilation + height,
                j * dilation : j * dilation + width,
            ]
            y = y + torch.einsum("oc,bchw->bohw", weight[:, :, i, j], window)
    return y


def context(w, x, dilations, *, relu=torch.relu, last=lambda y: y):
    """A ContextModule2d by hand with these weights. The options are slips."""
    for i, dilation in enumerate(dilations):
        y = in_the_plane(x, w[f"layers.{i}.weight"], w[f"layers.{i}.bias"], dilation)
        x = last(y) if i == len(dilations) - 1 else relu(y)
    return x


def shaken(module, *, positive=False):
    """The module with random weights in place of the identity start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.rand(parameter.shape) - (-0.1 if positive else 0.5))
    return module


class TestContextModule2d:
    def test_every_layer_begins_as_the_identity(self, kata):
        """In each layer the tap in the middle is 1 from a channel to the same channel.
        All other weights and all biases are 0.
        """
        eye = torch.zeros(C, C, 3, 3)
        for channel in range(C):
            eye[channel, channel, 1, 1] = 1.0
        ones = torch.zeros(C, C, 3, 3)
        ones[:, :, 1, 1] = 1.0
        layers = kata.ContextModule2d(C).layers
        check.equal(len(layers), 5, what="the number of layers by default")
        for i, layer in enumerate(layers):
            unlike = {
                "1 between all channels": ones,
                "all zeros": torch.zeros_like(eye),
            }
            check.close(
                layer.weight,
                eye,
                unlike=unlike,
                what=f"layers[{i}].weight at the start",
            )
            check.close(
                layer.bias, torch.zeros(C), what=f"layers[{i}].bias at the start"
            )

    def test_begins_as_the_identity(self, kata):
        """A fresh module hands on its input, if no value is negative. So it can be put
        behind a trained network without doing harm, and learn from there. Height and
        width stay, odd or even.
        """
        for height, width in ((9, 6), (20, 23)):
            x = torch.rand(B, C, height, width)
            check.close(
                kata.ContextModule2d(C)(x),
                x,
                what=f"the output for {height}×{width} pixels",
            )

    def test_layers_have_their_dilations_and_a_relu_between_them(self, kata):
        """With random weights the output is that of 3×3 convolutions with taps 2, 1 and
        3 pixels apart, and zeros around the image. After the last layer there is no
        relu, so outputs may be negative.
        """
        dilations = (2, 1, 3)
        model, x = shaken(kata.ContextModule2d(C, dilations)), torch.randn(2, C, 7, 8)
        w = float64_weights(model)
        unlike = {
            "a relu after the last layer": context(
                w, x.double(), dilations, last=torch.relu
            ),
            "no relu between the layers": context(
                w, x.double(), dilations, relu=lambda y: y
            ),
            "all layers with dilation 1": context(w, x.double(), (1, 1, 1)),
            "the dilations in reverse order": context(w, x.double(), dilations[::-1]),
        }
        check.close(
            model(x),
            context(w, x.double(), dilations),
            rtol=1e-3,
            atol=1e-4,
            unlike=unlike,
        )

    def test_each_side_of_what_a_pixel_sees_is_one_and_twice_the_dilations(self, kata):
        """The pixel in the middle sees a square: each layer adds d pixels on every
        side. For the default dilations it has 33×33 pixels. All weights are positive
        here, so that no relu stops a gradient.
        """
        for dilations, side in (((1, 2, 4), 15), (None, 33)):
            model = (
                kata.ContextModule2d(2)
                if dilations is None
                else kata.ContextModule2d(2, dilations)
            )
            x = torch.rand(1, 2, 41, 39, requires_grad=True)
            (gradient,) = torch.autograd.grad(
                shaken(model, positive=True)(x)[0, :, 20, 19].sum(), x
            )
            seen = gradient[0].abs().sum(dim=0) > 0
            got = [int(seen.any(dim=1).sum()), int(seen.any(dim=0).sum())]
            what = (
                f"rows and columns seen with the dilations {dilations or 'by default'}"
            )
            check.equal(got, [side, side], what=what)

    @pytest.mark.edge
    def test_a_float64_module_computes_in_float64(self, kata):
        """Nothing in the module goes through float32. The result agrees to 1e-9."""
        model = shaken(kata.ContextModule2d(C, (1, 2))).double()
        x = torch.randn(2, C, 7, 8, dtype=torch.float64)
        got = model(x)
        check.dtype(got, torch.float64)
        check.close(got, context(float64_weights(model), x, (1, 2)), rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_the_input_is_not_written_to(self, kata):
        """The network before the module may still need its maps."""
        x = torch.randn(2, C, 7, 8)
        with check.unchanged(x=x):
            kata.ContextModule2d(C)(x)
