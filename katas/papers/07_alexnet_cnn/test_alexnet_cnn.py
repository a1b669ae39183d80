"""Specs of kata papers/07: convolution, response normalisation, shifts, the net,
averaged views, and training.
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

from grader.datasets import digits
from grader.specs import check, training


def arrays(*shapes):
    """Random float64 arrays of these shapes."""
    return [torch.rand(shape, dtype=torch.float64).numpy() * 2 - 1 for shape in shapes]


def convolved(x, w, b=None, **options):
    """The convolution of arrays, by PyTorch."""
    x, w, b = (None if a is None else torch.from_numpy(a.copy()) for a in (x, w, b))
    return F.conv2d(x, w, b, **options).numpy()


@st.composite
def strides_and_paddings(draw):
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return kernel, draw(st.integers(1, 3)), draw(st.integers(0, 2))


@pytest.mark.stretch
class TestConv2dNumpy:
    def test_every_window_gets_its_weighted_sum(self, kata):
        """Each output is the sum over the channels and pixels of a window, times the
        kernel as it is. A convolution in the mathematical sense would flip the kernel
        first; networks do not.
        """
        x, w, b = arrays((2, 3, 5, 7), (4, 3, 3, 2), (4,))
        unlike = {
            "the kernel was flipped": convolved(x, w[:, :, ::-1, ::-1], b),
            "the bias is missing": convolved(x, w),
            "one channel only": convolved(x[:, :1], w[:, :1], b),
        }
        check.close(
            kata.conv2d_numpy(x, w, b),
            convolved(x, w, b),
            rtol=1e-4,
            atol=1e-5,
            unlike=unlike,
        )

    def test_stride_and_padding_work_together(self, kata):
        """Padding puts zeros on all four sides, and stride leaves windows out.
        AlexNet's first layer has stride 4.
        """
        x, w, b = arrays((2, 3, 6, 9), (4, 3, 3, 2), (4,))
        one_side = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 2)))
        expected = convolved(x, w, b, stride=2, padding=1)
        height, width = expected.shape[2:]
        unlike = {
            "all zeros on one side": convolved(one_side, w, b, stride=2),
            "windows one pixel apart, not `stride`": convolved(x, w, b, padding=1)[
                :, :, :height, :width
            ],
        }
        got = kata.conv2d_numpy(x, w, b, stride=2, padding=1)
        check.close(got, expected, rtol=1e-4, atol=1e-5, unlike=unlike)

    @given(case=strides_and_paddings())
    def test_agrees_with_pytorch_for_any_kernel(self, kata, case):
        """Kernels need not be square, and no bias means none, whatever the stride and
        the padding.
        """
        (kh, kw), stride, padding = case
        x, w = arrays((2, 2, 4, 6), (3, 2, kh, kw))
        what = f"kernel {kh} × {kw}, stride {stride}, padding {padding}"
        expected = convolved(x, w, stride=stride, padding=padding)
        check.close(
            kata.conv2d_numpy(x, w, None, stride, padding),
            expected,
            rtol=1e-4,
            atol=1e-5,
            what=what,
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays are float64, so the result agrees with PyTorch in float64 to 1e-9."""
        x, w, b = arrays((2, 3, 5, 7), (4, 3, 3, 2), (4,))
        check.close(kata.conv2d_numpy(x, w, b), convolved(x, w, b), rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_the_images_are_left_as_they_were(self, kata):
        """The caller may need the images again."""
        x, w = arrays((2, 3, 5, 7), (4, 3, 3, 2))
        before = x.copy()
        kata.conv2d_numpy(x, w, padding=1)
        check.equal(x, before, what="x after the call")


FINISHED = ("torch.nn.functional.local_response_norm",)


def normalised(x, size, alpha, beta, k, *, shift=0, share=1.0):
    """The paper's formula, channel by channel. `shift` moves the window and `share`
    scales the sum: two slips.
    """
    out = []
    for c in range(x.shape[1]):
        first = c - size // 2 + shift
        total = (x[:, max(0, first) : max(0, first + size)] ** 2).sum(dim=1)
        out.append(x[:, c] / (k + alpha * share * total) ** beta)
    return torch.stack(out, dim=1)


class TestLocalResponseNorm:
    def test_channels_with_active_neighbours_shrink(self, kata):
        """One pixel and three channels, by hand: with k = 0 and α = β = 1, channel 0 is
        divided by 1² + 2², channel 1 by 1² + 2² + 3², channel 2 by 2² + 3².
        """
        x = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
        expected = torch.tensor([1 / 5, 2 / 14, 3 / 13]).reshape(1, 3, 1, 1)
        unlike = {
            "the sum divided by size": 3 * expected,
            "the window moved by one channel": torch.tensor(
                [1 / 14, 2 / 13, 3 / 9]
            ).reshape(1, 3, 1, 1),
            "only the channel's own square, or a window over pixels": 1 / x,
            "a sum over all channels": x / 14,
            "the values, not their squares": x
            / torch.tensor([3.0, 6.0, 5.0]).reshape(1, 3, 1, 1),
            "a window that ends at its own channel": x
            / torch.tensor([1.0, 5.0, 14.0]).reshape(1, 3, 1, 1),
            "the values multiplied, not divided": x
            * torch.tensor([5.0, 14.0, 13.0]).reshape(1, 3, 1, 1),
        }
        check.close(
            kata.local_response_norm(x, 3, 1.0, 1.0, 0.0), expected, unlike=unlike
        )

    def test_equals_the_paper_on_7_channels(self, kata):
        """x_c / (k + α Σ x_j²)^β with all four constants at work. PyTorch's function
        divides the sum by the size, so its `alpha` has to be five times the paper's.
        """
        x = torch.randn(2, 7, 3, 4) * 2
        constants = 5, 0.3, 0.6, 1.5
        wide = x.double()
        expected = F.local_response_norm(wide, 5, 5 * 0.3, 0.6, 1.5)
        pixels = F.avg_pool2d(wide**2, 5, 1, 2, divisor_override=1)
        unlike = {
            "the sum divided by size": normalised(wide, *constants, share=1 / 5),
            "the window moved by one channel": normalised(wide, *constants, shift=1),
            "the window moved back by one channel": normalised(
                wide, *constants, shift=-1
            ),
            "a window that ends at its own channel": normalised(
                wide, *constants, shift=-2
            ),
            "a window over pixels": wide / (1.5 + 0.3 * pixels) ** 0.6,
            "not raised to beta": normalised(wide, 5, 0.3, 1.0, 1.5),
            "the values multiplied, not divided": normalised(wide, 5, 0.3, -0.6, 1.5),
        }
        check.close(kata.local_response_norm(x, *constants), expected, unlike=unlike)

    def test_border_channels_have_a_shorter_window(self, kata):
        """The window is cut at the first and the last channel. Channels do not form a
        ring: 0 and 5 are not neighbours.
        """
        x = torch.ones(2, 6, 1, 3)
        counts = torch.tensor([2.0, 3.0, 3.0, 3.0, 3.0, 2.0]).reshape(1, 6, 1, 1)
        unlike = {"channels in a ring, or the borders repeated": x / 4}
        check.close(
            kata.local_response_norm(x, 3, 1.0, 1.0, 1.0),
            x / (1 + counts),
            unlike=unlike,
        )

    def test_the_defaults_are_those_of_the_paper(self, kata):
        """Section 3.3: n = 5, α = 10⁻⁴, β = 0.75, k = 2. Large values, so that
        α shows.
        """
        x = torch.randn(2, 7, 3, 2) * 100
        check.close(
            kata.local_response_norm(x),
            F.local_response_norm(x.double(), 5, 5e-4, 0.75, 2.0),
        )

    @given(case=st.tuples(st.sampled_from([1, 3, 5, 7]), st.integers(0, 3)))
    def test_any_odd_size_and_any_number_of_channels(self, kata, case):
        """The window has as many channels before its own as after, whatever its size. A
        window of one is the channel alone.
        """
        size, channels = case[0], sum(case)
        x = torch.randn(2, channels, 2, 3)
        expected = normalised(x.double(), size, 0.5, 0.75, 1.0)
        what = f"size {size}, {channels} channels"
        moved = {
            "a window that starts at its own channel": size // 2,
            "a window that ends there": -(size // 2),
        }
        unlike = {
            name: normalised(x.double(), size, 0.5, 0.75, 1.0, shift=shift)
            for name, shift in moved.items()
            if shift
        }
        check.close(
            kata.local_response_norm(x, size, 0.5, 0.75, 1.0),
            expected,
            unlike=unlike,
            what=what,
        )

    def test_gradients_go_through_the_neighbours(self, kata):
        """A channel also gets a gradient from its neighbours, as it is part of
        their sums.
        """
        check.gradients(
            lambda x: kata.local_response_norm(x, 3, 0.5, 0.75, 1.0),
            lambda x: F.local_response_norm(x.double(), 3, 1.5, 0.75, 1.0),
            torch.randn(2, 5, 3, 2),
        )

    def test_is_written_without_pytorchs_own(self, kata):
        """The sum over neighbouring channels is the exercise."""
        with check.forbidden(kata, *FINISHED):
            check.shape(kata.local_response_norm(torch.randn(2, 7, 3, 4)), (2, 7, 3, 4))

    @pytest.mark.edge
    def test_float64_is_kept(self, kata):
        """In float64 the result agrees with the formula to 1e-9."""
        x = torch.randn(2, 7, 3, 4, dtype=torch.float64)
        got = kata.local_response_norm(x, 5, 0.3, 0.75, 1.0)
        check.dtype(got, torch.float64)
        check.close(got, normalised(x, 5, 0.3, 0.75, 1.0), rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_the_window_may_be_larger_than_the_number_of_channels(self, kata):
        """Then it is cut on both sides: with two channels each sum holds
        both squares.
        """
        x = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)
        check.close(kata.local_response_norm(x, 7, 1.0, 1.0, 0.0), x / 5)

    @pytest.mark.edge
    def test_an_empty_window_is_an_error(self, kata):
        """Without a channel in the window there is nothing to compare with."""
        for size in (0, -1):
            with check.raises(ValueError):
                kata.local_response_norm(torch.ones(1, 3, 1, 1), size)


def windows(x, pad):
    """All (2 · pad + 1)² windows of the padded images, as (places, B, C, H, W)."""
    H, W = x.shape[2:]
    wide = F.pad(x, (pad, pad, pad, pad))
    places = range(2 * pad + 1)
    return torch.stack(
        [wide[:, :, i : i + H, j : j + W] for i in places for j in places]
    )


def places_of(shifted, x, pad):
    """For each image the number of the window that it is, or −1 if it is none."""
    same = (windows(x, pad) == shifted).flatten(2).all(dim=2)  # (places, B)
    return torch.where(same.any(dim=0), same.int().argmax(dim=0), -1)


class TestRandomShift:
    def test_the_shape_stays(self, kata):
        """A window is as large as the image, also when that is not square."""
        check.shape(kata.random_shift(torch.rand(3, 2, 4, 7), 2), (3, 2, 4, 7))

    def test_pixels_move_and_zeros_fill_the_gap(self, kata):
        """Each result is one of the 25 windows of the padded image. What leaves on one
        side is gone: it does not come in again on the other, as with `torch.roll`. All
        channels of an image move together.
        """
        x = torch.randn(40, 2, 4, 7)
        shifted = kata.random_shift(x, 2)
        check.shape(shifted, (40, 2, 4, 7))
        # a window with no zeros is the centre: 1 of 25 on average
        kept = (shifted != 0).flatten(1).all(dim=1)
        rolled = (
            "; no zeros came in: were the pixels rolled around?"
            if kept.float().mean() > 0.5
            else ""
        )
        lost = int((places_of(shifted, x, 2) < 0).sum())
        check.that(
            lost == 0,
            f"{lost} of 40 images are not windows of their padded image{rolled}",
        )

    def test_images_move_independently(self, kata):
        """Each image has its own window. One window for the whole batch would make 40
        images move alike.
        """
        x = torch.rand(40, 1, 4, 7) + 0.1
        drawn = set(places_of(kata.random_shift(x, 2), x, 2).tolist())
        found, diagonal = len(drawn), {0, 6, 12, 18, 24}
        alike = "one draw for rows and columns" if drawn <= diagonal else ""
        alike = "one shift for the whole batch" if found == 1 else alike
        check.that(
            found > 5,
            f"40 images were cut at {found} different places only; 25 are possible",
            like=alike,
        )

    def test_all_places_are_drawn_evenly(self, kata):
        """In 2000 draws each of the 25 places comes up about 80 times. Rows and columns
        are drawn apart from each other, and the largest move is drawn in
        both directions.
        """
        x = torch.rand(2000, 1, 3, 4) + 0.1
        places = places_of(kata.random_shift(x, 2), x, 2)
        counts = torch.bincount(places[places >= 0], minlength=25).reshape(5, 5)
        missing = [(i - 2, j - 2) for i, j in (counts == 0).nonzero().tolist()]
        said = (
            f"{len(missing)} of the 25 windows never come up, among them that of row "
            f"and column {missing[:3]}"
        )
        sides = ((0, slice(None)), (4, slice(None)), (slice(None), 0), (slice(None), 4))
        # a whole grid, but for the sides that are cut
        drawn = counts[counts.any(dim=1)][:, counts.any(dim=0)]
        cut = (
            drawn.numel() > 1
            and bool(drawn.all())
            and any(not counts[side].any() for side in sides)
        )
        largest = (
            (
                "the largest move is never drawn: the end that randint is given is "
                "not included"
            )
            if cut
            else ""
        )
        check.that(not missing, f"{said} (the centre is (0, 0))", like=largest)
        low, high = counts.min().item(), counts.max().item()
        check.that(
            30 < low and high < 140,
            f"in 2000 draws a window comes up {low} to {high} times, expected about 80",
        )

    def test_the_generator_decides(self, kata):
        """Two generators of one seed give the same shifts, whatever the state of the
        global one. Another seed gives others, and so does the second use of the
        same generator.
        """
        x = torch.rand(30, 1, 4, 7)
        generators = [torch.Generator().manual_seed(seed) for seed in (5, 5, 6)]
        first, second, other = (
            kata.random_shift(x, 2, generator) for generator in generators
        )
        check.equal(
            second, first, what="shifts with a second generator of the same seed"
        )
        check.that(
            not torch.equal(other, first),
            "a generator of another seed gives the very same shifts",
        )
        check.that(
            not torch.equal(kata.random_shift(x, 2, generators[0]), first),
            "two calls gave the same shifts",
        )

    @pytest.mark.edge
    def test_no_padding_means_no_move(self, kata):
        """With pad = 0 there is one window: the image itself, as a new tensor."""
        x = torch.rand(3, 2, 4, 7)
        got = kata.random_shift(x, 0)
        check.equal(got, x)
        check.independent(got, x)

    @pytest.mark.edge
    def test_the_input_and_its_dtype_are_kept(self, kata):
        """The data set is needed again in the next step."""
        x = torch.rand(3, 2, 4, 7, dtype=torch.float64)
        with check.unchanged(x=x):
            got = kata.random_shift(x, 2)
        check.dtype(got, torch.float64)
        check.independent(got, x)


def layers_of(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


def lively(model):
    """The model in eval mode, its biases drawn anew: they start at zero, where a
    forgotten one would not show.
    """
    with torch.no_grad():
        for layer in layers_of(model, nn.Conv2d | nn.Linear):
            layer.bias.uniform_(-1, 1)
    return model.eval()


def by_hand(
    model, x, *, act=torch.relu, norms=(True, True), early=False, at_the_end=None
):
    """Logits in float64 with the weights of a MiniAlexNet. The options are slips."""
    convs, linears = layers_of(model, nn.Conv2d), layers_of(model, nn.Linear)
    h = x.double()
    for number, conv in enumerate(convs):
        h = F.conv2d(h, conv.weight.double(), conv.bias.double(), padding=1)
        h = h if early else act(h)
        if number < 2 and norms[number]:
            h = F.local_response_norm(h, 5, 5 * 0.02, 0.75, 1.0)
        h = act(h) if early else h
        if number == 0:
            h = F.max_pool2d(h, 3, 2)
    first, second = linears
    h = act(F.linear(h.flatten(1), first.weight.double(), first.bias.double()))
    h = F.linear(h, second.weight.double(), second.bias.double())
    return h if at_the_end is None else at_the_end(h)


class TestMiniAlexNet:
    def test_the_feature_map_is_32_by_3_by_3(self, kata):
        """Windows of 3 pixels, 2 apart, overlap by one: 8 pixels become 3. Windows of 2
        would not overlap and leave 4.
        """
        got = kata.MiniAlexNet().features(torch.rand(2, 1, 8, 8))
        shape = tuple(got.shape)
        check.that(
            shape != (2, 32, 4, 4),
            "the feature map is 4 × 4: were the pooling windows 2 × 2, or padded?",
        )
        check.shape(got, (2, 32, 3, 3), what="features(x)")

    def test_the_layers_have_these_parameters(self, kata):
        """Three convolutions and two linear layers, each with weight and bias.
        Everything else has no parameters.
        """
        model = kata.MiniAlexNet(num_classes=7)
        shapes = [list(p.shape) for p in model.parameters()]
        convs = [[16, 1, 3, 3], [16], [32, 16, 3, 3], [32], [32, 32, 3, 3], [32]]
        check.equal(
            shapes,
            [*convs, [64, 288], [64], [7, 64], [7]],
            what="the shapes of the parameters, in order",
        )

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    def test_logits_are_those_of_the_layers_in_order(self, kata, activation):
        """Convolution, activation, normalisation, pooling, and so on: the same weights
        in plain function calls give the same logits. The activation asked for is used
        everywhere. The cross-entropy has a softmax of its own, so the net ends
        without one.
        """
        torch.manual_seed(1)
        model, x = (
            lively(kata.MiniAlexNet(activation=activation, dropout=0.4)),
            torch.rand(3, 1, 8, 8) * 3,
        )
        used, other = (
            (torch.relu, torch.tanh)
            if activation == "relu"
            else (torch.tanh, torch.relu)
        )
        with torch.no_grad():
            unlike = {
                f"a net with {'tanh' if activation == 'relu' else 'ReLU'}": by_hand(
                    model, x, act=other
                ),
                "no response normalisation": by_hand(
                    model, x, act=used, norms=(False, False)
                ),
                "response normalisation once only": by_hand(
                    model, x, act=used, norms=(True, False)
                ),
                "response normalisation before the activation": by_hand(
                    model, x, act=used, early=True
                ),
                "a softmax at the end": by_hand(
                    model, x, act=used, at_the_end=lambda h: h.softmax(dim=1)
                ),
                "a log-softmax at the end": by_hand(
                    model, x, act=used, at_the_end=lambda h: h.log_softmax(dim=1)
                ),
                "an activation at the end": by_hand(
                    model, x, act=used, at_the_end=used
                ),
            }
            expected = by_hand(model, x, act=used)
            check.close(
                model(x),
                expected,
                unlike=unlike,
                what=f"logits of a net with {activation}",
            )

    def test_two_dropouts_stand_before_the_linear_layers(self, kata):
        """Dropout acts on the 288 features and on the 64 hidden units, with the p that
        was asked for.
        """
        model, seen = kata.MiniAlexNet(dropout=0.3), []
        dropouts = layers_of(model, nn.Dropout)
        check.equal(
            [one.p for one in dropouts], [0.3, 0.3], what="p of the nn.Dropout layers"
        )
        for one in dropouts:
            one.register_forward_hook(
                lambda module, inputs, output: seen.append(inputs[0][0].numel())
            )
        model(torch.rand(2, 1, 8, 8))
        check.equal(seen, [288, 64], what="numbers per image that each dropout gets")

    def test_dropout_works_in_training_only(self, kata):
        """In training two passes differ. In eval mode the answer is always the same."""
        model, x = kata.MiniAlexNet(), torch.rand(3, 1, 8, 8)
        with torch.no_grad():
            check.that(
                not torch.equal(model(x), model(x)),
                "in training mode two passes gave equal logits: no dropout",
            )
            model.eval()
            check.equal(model(x), model(x), what="logits of a second pass in eval mode")

    def test_weights_start_kaiming_normal(self, kata):
        """√(2 / inputs of one output) as standard deviation keeps the size of the
        signal through ReLU layers. PyTorch's default is smaller by a factor of 2.4.
        Biases start at zero.
        """
        models = [kata.MiniAlexNet() for _ in range(8)]
        for number, layer in enumerate(layers_of(models[0], nn.Conv2d | nn.Linear)):
            weights = torch.stack(
                [
                    layers_of(model, nn.Conv2d | nn.Linear)[number].weight
                    for model in models
                ]
            )
            spread, expected = (
                weights.std().item(),
                (2 / layer.weight[0].numel()) ** 0.5,
            )
            said = (
                f"the weights of {layer} have a standard deviation of {spread:.3f}, "
                f"expected {expected:.3f}"
            )
            check.that(abs(spread / expected - 1) < 0.15, said)
            check.equal(
                layer.bias, torch.zeros_like(layer.bias), what=f"bias of {layer}"
            )

    @pytest.mark.edge
    def test_an_unknown_activation_is_an_error(self, kata):
        """A typing error should not silently choose one of the two."""
        with check.raises(ValueError, "swish"):
            kata.MiniAlexNet(activation="swish")


class Looker(nn.Module):
    """A model whose logits depend on where the pixels are, with dropout. It notes the
    images and its modes.
    """

    def __init__(self):
        super().__init__()
        self.drop, self.linear = nn.Dropout(0.5), nn.Linear(2 * 4 * 7, 3)
        self.seen, self.modes = [], []
        with torch.no_grad():
            self.linear.weight.mul_(10)

    def forward(self, x):
        self.seen.append(x)
        self.modes.append(self.training)
        return self.linear(self.drop(x.flatten(1)))


def five_views(x, pad):
    """Numbers of the corners and of the centre, among all windows."""
    last = 2 * pad
    places = [(0, 0), (0, last), (last, 0), (last, last), (pad, pad)]
    return windows(x, pad)[[i * (last + 1) + j for i, j in places]]


@pytest.mark.stretch
class TestPredictAveraged:
    @pytest.mark.parametrize("pad", [1, 2])
    def test_equals_the_mean_over_the_five_views(self, kata, pad):
        """The four corner windows and the centre, each through the softmax, then the
        mean. The mean of the logits is another number: there one very sure view
        outvotes the rest.
        """
        model, x = Looker().eval(), torch.randn(5, 2, 4, 7)
        with torch.no_grad():
            logits = torch.stack([model(view) for view in five_views(x, pad)])
            every = torch.stack(
                [model(view).softmax(dim=1) for view in windows(x, pad)]
            )
        chances = logits.softmax(dim=2)
        unlike = {
            "the softmax of the mean logits": logits.mean(dim=0).softmax(dim=1),
            "the mean of the logits": logits.mean(dim=0),
            "a softmax over the images, not over the classes": logits.softmax(
                dim=1
            ).mean(dim=0),
            "the four corners without the centre": chances[:4].mean(dim=0),
            "the centre only": chances[4],
            "all windows": every.mean(dim=0),
        }
        got, again = (
            kata.predict_averaged(model, x, pad),
            kata.predict_averaged(model, x, pad),
        )
        check.close(again, got, what="the chances of the same images in a second call")
        check.close(got, chances.mean(dim=0), unlike=unlike)

    def test_rows_are_probabilities(self, kata):
        """One row per image, which sums to 1."""
        got = kata.predict_averaged(Looker(), torch.rand(5, 2, 4, 7))
        check.shape(got, (5, 3))
        unlike = {"the sum over the five views, not their mean": torch.full((5,), 5.0)}
        check.close(
            got.sum(dim=1), torch.ones(5), unlike=unlike, what="sums of the rows"
        )

    def test_the_model_is_in_eval_mode(self, kata):
        """Dropout would make each view a different, weaker net. A model that comes from
        training is switched over.
        """
        model, x = Looker().train(), torch.rand(5, 2, 4, 7)
        kata.predict_averaged(model, x)
        check.that(
            len(model.modes) > 0 and not any(model.modes),
            "the model was called in training mode: dropout is on",
        )

    @pytest.mark.edge
    def test_no_padding_is_the_plain_softmax(self, kata):
        """With pad = 0 all five views are the image."""
        model, x = Looker().eval(), torch.randn(5, 2, 4, 7)
        with torch.no_grad():
            check.close(kata.predict_averaged(model, x, 0), model(x).softmax(dim=1))

    @pytest.mark.edge
    def test_the_model_is_left_as_it_was(self, kata):
        """Measuring builds no graph, and the mode is the one from before: True stays
        True, False stays False.
        """
        for mode in (True, False):
            model = Looker().train(mode)
            got = kata.predict_averaged(model, torch.rand(5, 2, 4, 7))
            check.equal(got.requires_grad, False, what="requires_grad of the result")
            check.equal(
                [model.training, model.drop.training],
                [mode, mode],
                what="the modes of model and dropout",
            )


class Numbered(nn.Module):
    """A linear classifier of images. All pixels of image i are i + 1, so `read` notes
    which images came, `seen` the images themselves.
    """

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 4)
        self.read, self.seen, self.modes = [], [], []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        self.read.append(x.flatten(1).amax(dim=1).round().long() - 1)
        self.modes.append(self.training)
        return self.linear(x.flatten(1) / 30)


IMAGES = torch.arange(1.0, 31).reshape(30, 1, 1, 1).expand(30, 1, 3, 4).contiguous()
LABELS = torch.arange(30) ** 2 % 11 % 4


@functools.cache
def nets(kata):
    """For shift 0 and shift 2: a net after 200 steps on the digits, and its losses;
    then the test images and labels.
    """
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
    x, y = (part[order] for part in digits())
    found = {}
    for shift in (0, 2):
        torch.manual_seed(0)
        model = kata.MiniAlexNet(dropout=0.2)
        generator = torch.Generator().manual_seed(0)
        losses = kata.train_alexnet(
            model, x[:1200], y[:1200], shift=shift, generator=generator
        )
        found[shift] = model.eval(), losses
    return found, x[1200:], y[1200:]


def share_right(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


class TestTrainAlexnet(training.Contract):
    """AdamW on random batches, each image shifted at random."""

    model, optimizer, settings = Numbered, torch.optim.AdamW, {"weight_decay": 0.5}
    lr, default_lr, steps = 0.02, 0.003, 4
    slips = {
        "Adam, with the decay in the gradient": {
            "optimizer": torch.optim.Adam,
            "settings": {"weight_decay": 0.5},
        },
        "no weight decay": {"settings": {"weight_decay": 0.0}},
        "AdamW's own default weight decay, 0.01": {"settings": {"weight_decay": 0.01}},
    }

    def train(self, kata, model, **options):
        return kata.train_alexnet(
            model, IMAGES, LABELS, batch=8, shift=1, weight_decay=0.5, **options
        )

    def batches(self, model, steps):
        return list(zip(model.seen, model.read, strict=True))

    def loss(self, model, batch):
        images, rows = batch
        return F.cross_entropy(model(images), LABELS[rows])

    def wrong_losses(self, model, batch):
        images, rows = batch
        logits, first = model(images), LABELS[torch.arange(len(rows)) % len(LABELS)]
        return {
            "labels that were not drawn with the images": F.cross_entropy(
                logits, first
            ),
            "a softmax before the cross-entropy": F.cross_entropy(
                logits.softmax(dim=1), LABELS[rows]
            ),
            "the sum over the batch": F.cross_entropy(
                logits, LABELS[rows], reduction="sum"
            ),
        }

    def test_each_step_reads_one_random_batch(self, kata):
        """Every step draws `batch` images."""
        model = Numbered()
        kata.train_alexnet(model, IMAGES, LABELS, steps=5, batch=8)
        check.equal(list(map(len, model.read)), [8] * 5, what="sizes of the batches")
        check.that(
            not torch.equal(model.read[0], model.read[1]),
            "steps 0 and 1 read the same images",
        )

    def test_every_batch_is_shifted_anew(self, kata):
        """With shift = 1 most images of a batch have a border of zeros, and an image
        that comes twice has been moved twice: the net hardly ever sees the same picture
        again. With shift = 0 the images stay as they are.
        """
        for shift in (0, 1):
            model, x = Numbered(), IMAGES[:4].clone()
            with check.unchanged(x=x):
                kata.train_alexnet(
                    model, x, LABELS[:4], steps=10, batch=12, shift=shift
                )
            seen, read = torch.cat(model.seen), torch.cat(model.read)
            moved = (seen == 0).flatten(1).any(dim=1).float().mean().item()
            if shift == 0:
                check.that(
                    moved == 0,
                    f"{moved:.0%} of the images were shifted although shift is 0",
                )
                continue
            check.that(
                moved > 0,
                "no image has a border of zeros although shift is 1: none was shifted",
            )
            ways = len(seen[read == read[0]].unique(dim=0))
            check.that(
                ways > 4,
                f"in 10 steps an image came with {ways} of 9 shifts only: shift every "
                "batch anew",
            )
            check.that(
                0.75 < moved < 1,
                f"{moved:.0%} of the images have a border of zeros, expected about 8 "
                "of 9",
            )

    @pytest.mark.timeout(120)
    def test_plain_training_reads_plain_digits(self, kata):
        """200 steps on 1200 digits, and more than 90 % of 597 new ones are right."""
        found, x, y = nets(kata)
        share = share_right(found[0][0], x, y)
        check.that(
            share > 0.9,
            f"{share:.1%} of the test digits are right, expected more than 90 %",
        )

    @pytest.mark.timeout(120)
    def test_shifted_training_reads_shifted_digits(self, kata):
        """The key result. Digits moved by up to two pixels are beyond a net that only
        saw centred ones. The net trained on shifted copies is right more often, by at
        least 15 points.
        """
        found, x, y = nets(kata)
        places = torch.randint(
            25, (len(x),), generator=torch.Generator().manual_seed(1)
        )
        moved = windows(x, 2)[places, torch.arange(len(x))]
        plain, shifted = (share_right(found[shift][0], moved, y) for shift in (0, 2))
        said = (
            f"on shifted digits {shifted:.1%} are right after shifted training and "
            f"{plain:.1%} after plain training"
        )
        check.that(
            shifted - plain > 0.15, f"{said}: expected a gain of more than 15 points"
        )
