"""Specs of appendix A: sizes, convolution and pooling by hand, a binary classifier, a
picture folder, a saved model.
"""

import copy
import math
import os
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from grader.specs import check

B, C_IN, C_OUT = 2, 3, 5  # pictures, channels before and after
H, W = 7, 10  # pixels
KH, KW = 3, 2  # kernel

CONVOLUTIONS = [
    f"torch.{name}"
    for name in ("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose2d")
]
CONVOLUTIONS += [
    f"torch.nn.functional.{name}"
    for name in ("conv1d", "conv2d", "conv3d", "conv_transpose2d")
]
CONVOLUTIONS += [
    f"torch.nn.{name}"
    for name in ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "LazyConv2d")
]
POOLINGS = [f"torch.{name}" for name in ("max_pool1d", "max_pool2d", "max_pool3d")]
POOLINGS += [
    f"torch.nn.functional.{name}"
    for name in ("max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool2d")
]
POOLINGS += [
    f"torch.nn.functional.{name}"
    for name in ("max_pool2d_with_indices", "fractional_max_pool2d")
]
POOLINGS += [
    f"torch.nn.{name}"
    for name in ("MaxPool1d", "MaxPool2d", "MaxPool3d", "AdaptiveMaxPool2d")
]

UNUSUAL = {
    "image_size": 12,
    "in_channels": 2,
    "channels": [4, 6],
    "hidden": 9,
    "dropout": 0.125,
    "batch_norm": True,
}


def operands(dtype=torch.float64):
    """A picture, a kernel and a bias, no two sizes alike."""
    return [
        torch.randn(shape, dtype=dtype)
        for shape in ((B, C_IN, H, W), (C_OUT, C_IN, KH, KW), (C_OUT,))
    ]


def loader(images, labels, batch_size, **options):
    return DataLoader(TensorDataset(images, labels), batch_size, **options)


def scored(logits, labels, batch_size=4, dtype=torch.float32):
    """A loader whose pictures are a single pixel each: the logit that the model is to
    give them.
    """
    return loader(
        torch.tensor(logits).view(-1, 1, 1, 1),
        torch.tensor(labels, dtype=dtype),
        batch_size,
    )


def cross_entropies(logits, labels):
    """The cost of each sample, −log of the probability given to its label, by hand and
    in Python's floats.
    """
    return [
        math.log1p(math.exp(-abs(z))) + max(-z if y else z, 0.0)
        for z, y in zip(logits, labels, strict=True)
    ]


def mean(values):
    return sum(values) / len(values)


class Verbatim(nn.Module):
    """Gives the first pixel of each picture as its logit, and keeps a diary of the
    calls: (training, with gradients).
    """

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.diary = []

    def forward(self, x):
        self.diary.append((self.training, torch.is_grad_enabled()))
        return x[:, 0, 0, 0] * self.scale


def small_network(dtype=torch.float32):
    """12 pixels, one hidden layer, (B,) logits, and nothing random once it is made."""
    layers = (nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))
    return nn.Sequential(*layers).to(dtype)


def small_data(count=10):
    """Pictures of 12 pixels whose label depends on some of them."""
    images = torch.randn(count, 3, 2, 2)
    return images, (images.flatten(1)[:, :4].sum(1) > 0).float()


def trained_by_hand(
    model, images, labels, batch_size, epochs, rates=(0.02,), make=torch.optim.Adam
):
    """A copy of the model after training in order, and for each epoch the losses of its
    batches with their sizes. The rates are those of the first batches; the last
    one stays.
    """
    model = copy.deepcopy(model).train()
    optimizer = make(model.parameters(), lr=rates[0])
    history, rates = [], list(rates)
    for _ in range(epochs):
        losses = []
        for x, y in zip(
            images.split(batch_size), labels.split(batch_size), strict=True
        ):
            z = model(x)
            loss = (torch.logaddexp(z, torch.zeros_like(z)) - z * y).mean()
            optimizer.param_groups[0]["lr"] = (
                rates.pop(0) if len(rates) > 1 else rates[0]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append((loss.item(), len(x)))
        history.append(losses)
    return model, history


def weights(model):
    return {name: p.detach() for name, p in model.named_parameters()}


def picture(path, mode="RGB", size=(5, 4), colour=(255, 0, 51)):
    """Write a picture of one colour; PIL's size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def names(dataset):
    """(file name, label) of every sample."""
    return [(Path(path).name, label) for path, label in dataset.samples]


def shaken(model):
    """The model with random weights and buffers, none of which is at its start."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.5)
            else:
                tensor.fill_(7)
    return model


def undecided(model, x):
    """The model in eval mode, its last layer set so that the logits of x lie around 0,
    and these logits, layer by layer.
    """
    shaken(model).eval()
    last = model.classifier[-1]
    with torch.no_grad():
        logits = model.classifier(model.features(x))
        last.bias.sub_(logits.mean())
        for parameter in last.parameters():
            parameter.mul_(2 / logits.std())
        return model, model.classifier(model.features(x)).flatten()


def opened(path):
    """The contents of the file, opened as data."""
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:
        reason = str(error).strip().partition(".")[0]
        check.that(
            False,
            "torch.load(path, weights_only=True) does not open the file: "
            f"{type(error).__name__}: {reason}",
        )


def leaves(value):
    """All that is in nested mappings, lists and tuples."""
    if hasattr(value, "items"):
        value = [part for pair in value.items() for part in pair]
    return (
        [leaf for part in value for leaf in leaves(part)]
        if isinstance(value, (list, tuple))
        else [value]
    )


@st.composite
def sides(draw):
    """size, kernel_size, stride, padding and dilation, with at least one place for
    the kernel.
    """
    kernel_size, stride, padding, dilation = (
        draw(st.integers(low, 3)) for low in (1, 1, 0, 1)
    )
    smallest = max(1, dilation * (kernel_size - 1) + 1 - 2 * padding)
    return draw(st.integers(smallest, 12)), kernel_size, stride, padding, dilation


@st.composite
def windows(draw):
    """The size of a picture, a kernel that fits, a stride, and a padding of at most
    half the kernel.
    """
    kernel = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    picture = tuple(draw(st.integers(k, 7)) for k in kernel)
    stride = draw(st.integers(1, 3) | st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(*(st.integers(0, k // 2) for k in kernel)))
    return picture, kernel, stride, padding


class TestConvOutputSize:
    def test_counts_the_places_of_the_kernel(self, kata):
        """A kernel of 3 can begin at the pixels 0 to 4 of 7: the last begins at
        size − kernel_size, and 0 counts too.
        """
        check.equal(
            kata.conv_output_size(7, 3),
            5,
            unlike={"size − kernel_size, without the + 1": 4},
        )
        check.equal(kata.conv_output_size(8, 1), 8, what="size for a kernel of 1")

    def test_padding_counts_at_both_ends(self, kata):
        """A border of 1 makes the side 2 pixels longer. With a kernel of 3 that keeps
        the size.
        """
        check.equal(
            kata.conv_output_size(7, 3, padding=1),
            7,
            unlike={"padding at one end only": 6},
        )
        check.equal(
            kata.conv_output_size(7, 5, padding=2),
            7,
            what="size for a kernel of 5 and padding 2",
        )

    def test_a_step_that_would_leave_is_not_taken(self, kata):
        """With stride 2, a kernel of 3 fits at 0, 2 and 4 of 8 pixels. At 6 it would
        stick out by one pixel, so the division is rounded down.
        """
        got = kata.conv_output_size(8, 3, stride=2)
        check.equal(got, 3, unlike={"rounded up": 4})
        got = kata.conv_output_size(7, 3, stride=2)
        check.equal(
            got,
            3,
            unlike={"the + 1 lies inside the division": 2},
            what="size of 7 pixels",
        )

    def test_dilation_spreads_the_kernel(self, kata):
        """With dilation 2 the three elements of the kernel span 5 pixels: there are two
        gaps between them, not three.
        """
        check.equal(
            kata.conv_output_size(9, 3, dilation=2),
            5,
            unlike={"dilation · kernel_size": 4, "no dilation": 7},
        )

    @given(case=sides())
    def test_the_places_counted_one_by_one(self, kata, case):
        """Lay the kernel down at 0, stride, 2 · stride, … and count the places where
        its last element is still inside the padded side.
        """
        size, kernel_size, stride, padding, dilation = case
        span, padded = dilation * (kernel_size - 1) + 1, size + 2 * padding
        places = [start for start in range(0, padded, stride) if start + span <= padded]
        check.equal(
            kata.conv_output_size(*case), len(places), what=f"conv_output_size{case}"
        )

    @pytest.mark.edge
    def test_a_kernel_that_does_not_fit_is_refused(self, kata):
        """With one pixel too few, there is no place. Mind the stride: −1 / 2 rounded
        towards zero is 0, and one place would be counted. The message names the size,
        which its reader has to change.
        """
        for case in (
            (37, 38),
            (37, 38, 2),
            (37, 38, 5),
            (37, 40, 2, 1),
            (37, 20, 3, 0, 2),
            (0, 1),
        ):
            with check.raises(ValueError, case[0]):
                kata.conv_output_size(*case)

    @pytest.mark.edge
    def test_senseless_settings_are_refused(self, kata):
        """kernel_size, stride and dilation are at least 1, padding at least 0. A stride
        of 0 raises a ValueError, no ZeroDivisionError.
        """
        for name, value in (
            ("kernel_size", 0),
            ("stride", 0),
            ("stride", -1),
            ("dilation", 0),
            ("padding", -1),
        ):
            with check.raises(ValueError):
                kata.conv_output_size(**({"size": 9, "kernel_size": 3} | {name: value}))


class TestConv2d:
    def test_a_row_under_a_kernel_of_two(self, kata):
        """1 · 10 + 2 · 1 = 12 and 2 · 10 + 4 · 1 = 24. The kernel is applied as it is,
        not flipped.
        """
        x, weight = torch.tensor([[[[1.0, 2.0, 4.0]]]]), torch.tensor([[[[10.0, 1.0]]]])
        check.equal(
            kata.conv2d(x, weight),
            torch.tensor([[[[12.0, 24.0]]]]),
            unlike={"the kernel is flipped": torch.tensor([[[[21.0, 42.0]]]])},
        )

    def test_every_place_of_a_picture(self, kata):
        """Each output is the sum over all input channels and all places of the kernel:
        Cin · kH · kW products. H' = H − kH + 1 comes before W' = W − kW + 1; reshaped
        the other way round, the numbers end up in other places.
        """
        x, weight, _ = operands()
        expected = F.conv2d(x, weight)
        unlike = {
            "the kernel is flipped": F.conv2d(x, weight.flip(2, 3)),
            "the right numbers, laid out as (B, Cout, W', H')": expected.reshape(
                B, C_OUT, W - KW + 1, H - KH + 1
            ),
            "height and width of the result are swapped": expected.mT,
            "only the first input channel": F.conv2d(x[:, :1], weight[:, :1]),
        }
        check.close(kata.conv2d(x, weight), expected, unlike=unlike)

    def test_bias_is_added_to_output_channels(self, kata):
        """bias[o] is added to channel o at every place. (Cout,) broadcasts along the
        width, where W' = Cout lets it pass.
        """
        x, weight, bias = (
            torch.randn(B, C_IN, H, C_OUT + KW - 1),
            *operands(torch.float32)[1:],
        )
        plain = F.conv2d(x, weight)
        unlike = {"no bias": plain, "bias along the width": plain + bias}
        check.close(
            kata.conv2d(x, weight, bias), plain + bias[:, None, None], unlike=unlike
        )

    @pytest.mark.parametrize("stride, padding", [(2, 2), ((2, 1), (0, 2))], ids=str)
    def test_stride_and_padding(self, kata, stride, padding):
        """An int counts for both directions; a pair is (height, width), in stride,
        padding and kernel. `F.pad` begins with the last dimension.
        """
        x, weight, bias = operands()
        expected = F.conv2d(x, weight, bias, stride, padding)
        high, wide = padding if isinstance(padding, tuple) else (padding, padding)
        unlike = {
            "no padding": F.conv2d(x, weight, bias, stride),
            "padding at one end of each side": F.conv2d(
                F.pad(x, (0, wide, 0, high)), weight, bias, stride
            ),
            "no stride": F.conv2d(x, weight, bias, 1, padding),
            "padding of height and width exchanged": F.conv2d(
                x, weight, bias, stride, (wide, high)
            ),
            "the stride of the height in both directions": F.conv2d(
                x, weight, bias, 2, padding
            ),
        }
        check.close(
            kata.conv2d(x, weight, bias, stride, padding), expected, unlike=unlike
        )

    @given(case=windows())
    def test_any_window_on_any_picture(self, kata, case):
        """Whatever the sizes of picture, kernel, stride and padding are, the result is
        that of `F.conv2d`.
        """
        picture, kernel, stride, padding = case
        x, weight = (
            torch.randn(B, C_IN, *picture).double(),
            torch.randn(C_OUT, C_IN, *kernel).double(),
        )
        got = kata.conv2d(x, weight, None, stride, padding)
        check.close(got, F.conv2d(x, weight, None, stride, padding))

    def test_gradients_follow_torch(self, kata):
        """A pixel is used at several places, and its gradient is the sum over all of
        them. Kernel and bias are used at every place.
        """
        ours, theirs = (
            lambda *values, f=f: f(*values, (2, 1), (0, 2))
            for f in (kata.conv2d, F.conv2d)
        )
        check.gradients(ours, theirs, *operands())

    def test_written_without_the_finished_convolutions(self, kata):
        """Write the convolution yourself: calling a finished one would be the
        whole exercise.
        """
        x, weight, bias = operands()
        with check.forbidden(kata, *CONVOLUTIONS):
            got = kata.conv2d(x, weight, bias, padding=1)
        check.shape(got, (B, C_OUT, H + 2 - KH + 1, W + 2 - KW + 1))

    @pytest.mark.edge
    def test_a_permuted_picture(self, kata):
        """A picture that was permuted from (B, H, W, C) is not contiguous. It gives the
        same result, and is not written to.
        """
        x, weight, bias = (
            torch.randn(B, H, W, C_IN).permute(0, 3, 1, 2),
            *operands(torch.float32)[1:],
        )
        weight = weight.transpose(2, 3).contiguous().transpose(2, 3)
        with check.unchanged(x=x, weight=weight, bias=bias):
            got = kata.conv2d(x, weight, bias, padding=1)
        check.close(
            got, F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
        )

    @pytest.mark.edge
    def test_the_dtype_carries_through(self, kata):
        """float64 in, float64 out, with all its digits; bfloat16 in, bfloat16 out.
        Whatever you create, such as padding, takes its dtype from x.
        """
        for dtype in (torch.float64, torch.bfloat16):
            got = kata.conv2d(*operands(dtype), padding=1)
            check.dtype(got, dtype)

    @pytest.mark.edge
    def test_the_device_carries_through(self, kata):
        """Whatever you create is on the device of x. Tensors on the device "meta" have
        shapes and no numbers, so they show this without a GPU.
        """
        got = kata.conv2d(*(value.to("meta") for value in operands()), padding=1)
        check.that(
            got.device.type == "meta", f"the result is on {got.device}, x on meta"
        )
        check.shape(got, (B, C_OUT, H + 2 - KH + 1, W + 2 - KW + 1))

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """The same numbers on the GPU."""
        inputs = operands()
        got = kata.conv2d(*(value.cuda() for value in inputs), stride=(2, 1), padding=1)
        check.that(
            got.device.type == "cuda", f"the result is on {got.device}, x on a GPU"
        )
        check.close(got, F.conv2d(*inputs, stride=(2, 1), padding=1))

    @pytest.mark.edge
    def test_channels_must_match(self, kata):
        """A kernel for 3 channels says nothing about a picture of 2. With 1 channel, in
        the picture or in the kernel, broadcasting would hide the error.
        """
        for channels, wanted in ((2, 3), (1, 3), (3, 1)):
            with check.raises(ValueError):
                kata.conv2d(
                    torch.randn(B, channels, H, W), torch.randn(C_OUT, wanted, KH, KW)
                )

    @pytest.mark.edge
    def test_a_picture_smaller_than_the_kernel_is_refused(self, kata):
        """This holds for either direction. Padding counts as part of the picture, so
        with enough of it the kernel fits.
        """
        weight = torch.randn(C_OUT, C_IN, 3, 4)
        for size, padding in (
            ((2, 9), 0),
            ((9, 3), 0),
            ((2, 9), (0, 1)),
            ((9, 3), (1, 0)),
        ):
            with check.raises(ValueError):
                kata.conv2d(torch.randn(B, C_IN, *size), weight, padding=padding)
        check.shape(
            kata.conv2d(torch.randn(B, C_IN, 2, 3), weight, padding=1), (B, C_OUT, 2, 2)
        )


@pytest.mark.stretch
class TestMaxPool2d:
    def test_the_largest_of_every_window(self, kata):
        """Windows of 2 tile the picture: without a stride given they do not overlap.
        The last column does not fill a window, and is dropped.
        """
        x = torch.tensor([[[[1.0, 3.0, 2.0, 8.0, 5.0], [4.0, 0.0, 6.0, 7.0, 9.0]]]])
        unlike = {
            "the mean of every window": torch.tensor([[[[2.0, 5.75]]]]),
            "stride 1": torch.tensor([[[[4.0, 6.0, 8.0, 9.0]]]]),
            "incomplete windows are kept": torch.tensor([[[[4.0, 8.0, 9.0]]]]),
        }
        check.equal(
            kata.max_pool2d(x, 2), torch.tensor([[[[4.0, 8.0]]]]), unlike=unlike
        )

    def test_a_pair_is_height_and_width(self, kata):
        """Each channel has its own maxima, and a window of 3 rows and 2 columns moves
        by 3 and 2 if no stride is given.
        """
        x = torch.randn(B, C_IN, H, W)
        unlike = {
            "height and width exchanged": F.max_pool2d(x, (2, 3)),
            "the height of the window as stride in both directions": F.max_pool2d(
                x, (3, 2), 3
            ),
        }
        check.equal(kata.max_pool2d(x, (3, 2)), F.max_pool2d(x, (3, 2)), unlike=unlike)

    def test_padding_never_wins(self, kata):
        """Where all values are negative, a border of zeros would be the maximum of
        every window that it is in.
        """
        x = -1 - torch.rand(B, C_IN, H, W)
        unlike = {"a border of zeros": F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)}
        check.equal(
            kata.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 3, 2, 1), unlike=unlike
        )

    @given(case=windows())
    def test_any_window_on_any_picture(self, kata, case):
        """Windows may overlap (3, with stride 2) or leave gaps, whatever the sizes are:
        the result is that of `F.max_pool2d`.
        """
        picture, kernel, stride, padding = case
        x = torch.randn(B, C_IN, *picture)
        check.equal(
            kata.max_pool2d(x, kernel, stride, padding),
            F.max_pool2d(x, kernel, stride, padding),
        )

    def test_the_gradient_goes_to_the_maximum(self, kata):
        """No other pixel influences the result. Where windows overlap, one pixel may be
        the maximum of several and collects the gradients of all.
        """
        # no two alike
        x = torch.randperm(B * C_IN * H * W).double().view(B, C_IN, H, W)
        for window in ((2,), (3, 2), (3, 1, 1)):
            ours, theirs = (
                lambda x, pool=pool: pool(x, *window)
                for pool in (kata.max_pool2d, F.max_pool2d)
            )
            check.gradients(ours, theirs, x)

    def test_written_without_the_finished_poolings(self, kata):
        """Write the pooling yourself: calling a finished one would be the
        whole exercise.
        """
        with check.forbidden(kata, *POOLINGS):
            got = kata.max_pool2d(torch.randn(B, C_IN, H, W), 3, 2, 1)
        check.shape(got, (B, C_IN, 4, 5))

    @pytest.mark.edge
    def test_in_a_tie_one_of_them_gets_the_gradient(self, kata):
        """Where a window holds its maximum several times, exactly one of the equal
        values gets the whole gradient. `amax` would share it out.
        """
        x = torch.zeros(B, C_IN, 6, 8, requires_grad=True)
        probe = 1 + torch.rand(B, C_IN, 3, 4)
        (kata.max_pool2d(x, 2) * probe).sum().backward()
        by_window = x.grad.view(B, C_IN, 3, 2, 4, 2).transpose(3, 4).flatten(-2)
        check.close(
            by_window.sum(-1),
            probe,
            what="the gradient that each window of equal values gets in all",
        )
        most = int((by_window != 0).sum(-1).max())
        check.that(
            most == 1,
            f"the gradient of a window of equal values went to {most} of them: it "
            "should be one",
        )

    @pytest.mark.edge
    def test_a_permuted_picture(self, kata):
        """The picture may be non-contiguous, and is not written to."""
        x = torch.randn(B, H, W, C_IN).permute(0, 3, 1, 2)
        with check.unchanged(x=x):
            got = kata.max_pool2d(x, 3, 2, 1)
        check.equal(got, F.max_pool2d(x, 3, 2, 1))

    @pytest.mark.edge
    def test_dtype_and_device_carry_through(self, kata):
        """A maximum is one of the values, so it has their dtype. The padding takes its
        dtype and device from x.
        """
        for dtype in (torch.float64, torch.bfloat16, torch.float16):
            x = -1 - torch.rand(B, C_IN, H, W).to(dtype)
            check.equal(kata.max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 3, 2, 1))
        got = kata.max_pool2d(torch.zeros(B, C_IN, H, W, device="meta"), 3, 2, 1)
        check.that(
            got.device.type == "meta", f"the result is on {got.device}, x on meta"
        )
        check.shape(got, (B, C_IN, 4, 5))

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """The same numbers on the GPU."""
        x = torch.randn(B, C_IN, H, W)
        got = kata.max_pool2d(x.cuda(), 3, 2, 1)
        check.that(
            got.device.type == "cuda", f"the result is on {got.device}, x on a GPU"
        )
        check.close(got, F.max_pool2d(x, 3, 2, 1))

    @pytest.mark.edge
    def test_padding_of_more_than_half_is_refused(self, kata):
        """A window at the edge could hold nothing but padding. Exactly half is fine, in
        each direction separately.
        """
        x = torch.randn(B, C_IN, H, W)
        for kernel_size, padding in (
            (2, 2),
            (3, 2),
            ((3, 4), (2, 1)),
            ((4, 3), (1, 2)),
        ):
            with check.raises(ValueError):
                kata.max_pool2d(x, kernel_size, padding=padding)
        check.shape(kata.max_pool2d(x, (2, 4), padding=(1, 2)), (B, C_IN, 4, 3))

    @pytest.mark.edge
    def test_a_picture_smaller_than_the_window_is_refused(self, kata):
        """This holds for either direction. An empty result would cause an error several
        layers later.
        """
        for size in ((2, 9), (9, 2), (1, 1)):
            with check.raises(ValueError):
                kata.max_pool2d(torch.randn(B, C_IN, *size), 3)
        check.shape(kata.max_pool2d(torch.randn(B, C_IN, 3, 3), 3), (B, C_IN, 1, 1))


class TestBinaryCNNInit:
    @pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch norm"])
    def test_the_layers_of_the_features(self, kata, batch_norm):
        """Convolution, batch norm if asked for, ReLU, pooling, once for each entry of
        channels, in one flat Sequential. The norm comes before the ReLU, and every
        block pools. Dropout belongs to the classifier.
        """
        features = kata.BinaryCNN(12, 2, (4, 6), batch_norm=batch_norm).features
        check.that(
            isinstance(features, nn.Sequential),
            f"features should be nn.Sequential, not {type(features).__name__}",
        )
        block = (
            ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]
            if batch_norm
            else ["Conv2d", "ReLU", "MaxPool2d"]
        )
        unlike = {
            "batch norm after the ReLU": 2
            * ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"]
        }
        types = [type(layer).__name__ for layer in features]
        check.equal(
            types, 2 * block, unlike=unlike, what="the types of the layers in features"
        )
        sizes = [
            layer.num_features
            for layer in features
            if isinstance(layer, nn.BatchNorm2d)
        ]
        check.equal(
            sizes, [4, 6] if batch_norm else [], what="num_features of the norms"
        )

    def test_what_each_block_does_to_the_shape(self, kata):
        """A 3×3 convolution with padding 1 keeps height and width and changes the
        channels; pooling halves them.
        """
        shapes, x = [], torch.rand(B, 2, 12, 12)
        for layer in kata.BinaryCNN(12, 2, (4, 6)).features:
            if isinstance(layer, nn.Conv2d):
                check.equal(tuple(layer.kernel_size), (3, 3), what="kernel_size")
            x = layer(x)
            shapes.append(tuple(x.shape[1:]))
        expected = [
            (4, 12, 12),
            (4, 12, 12),
            (4, 6, 6),
            (6, 6, 6),
            (6, 6, 6),
            (6, 3, 3),
        ]
        check.equal(shapes, expected, what="the shapes after each layer")

    def test_no_bias_before_a_batch_norm(self, kata):
        """The norm subtracts the mean, and any bias with it, so such a bias has no
        effect. Without a norm the bias is needed.
        """
        for batch_norm in (False, True):
            layers = kata.BinaryCNN(batch_norm=batch_norm).features
            got = [
                layer.bias is None for layer in layers if isinstance(layer, nn.Conv2d)
            ]
            check.equal(
                got,
                [batch_norm] * 3,
                what=f"which convolutions have no bias, with batch_norm={batch_norm}",
            )

    def test_the_layers_of_the_classifier(self, kata):
        """Flatten, Linear, ReLU, Dropout, Linear. The first linear layer takes
        everything that the blocks leave: the last channels times the square of the
        side, which is halved once per block.
        """
        classifier = kata.BinaryCNN(12, 2, (4, 6), hidden=9, dropout=0.25).classifier
        check.that(
            isinstance(classifier, nn.Sequential),
            f"it should be nn.Sequential, not {type(classifier).__name__}",
        )
        found = [type(layer).__name__ for layer in classifier]
        check.equal(
            found,
            ["Flatten", "Linear", "ReLU", "Dropout", "Linear"],
            what="the types of the layers in classifier",
        )
        shapes = [
            tuple(layer.weight.shape)
            for layer in classifier
            if isinstance(layer, nn.Linear)
        ]
        check.equal(
            shapes, [(9, 6 * 3 * 3), (1, 9)], what="the shapes of the linear weights"
        )
        check.equal(classifier[3].p, 0.25, what="the share of the dropout")

    def test_config_holds_the_arguments(self, kata):
        """config has all six arguments under their names, given or not.
        `BinaryCNN(**config)` builds the same model again.
        """
        check.equal(kata.BinaryCNN(**UNUSUAL).config, UNUSUAL, what="config")
        usual = {
            "image_size": 16,
            "in_channels": 3,
            "channels": [8, 16, 32],
            "hidden": 32,
            "dropout": 0.5,
        }
        usual["batch_norm"] = False
        check.equal(kata.BinaryCNN().config, usual, what="config without any argument")

    @pytest.mark.edge
    def test_config_has_its_own_list_of_channels(self, kata):
        """config is plain data that can be saved. If the caller's list changes later,
        config must not.
        """
        channels = [4, 6]
        model = kata.BinaryCNN(channels=channels)
        channels.append(8)
        check.equal(
            model.config["channels"],
            [4, 6],
            what="config['channels'] after the caller's list has grown",
        )

    @pytest.mark.edge
    def test_the_size_must_halve_without_rest(self, kata):
        """Three blocks halve three times. 20 would become 10, 5, and 2 with a
        column lost.
        """
        for image_size in (20, 12, 17, 4):
            with check.raises(ValueError, image_size):
                kata.BinaryCNN(image_size=image_size)
        check.shape(kata.BinaryCNN(20, channels=(4, 6))(torch.rand(B, 3, 20, 20)), (B,))


class TestBinaryCNNForward:
    def test_one_logit_a_picture(self, kata):
        """The last linear layer gives (B, 1), and the answer is (B,): one number per
        picture, like the labels.
        """
        for size in (5, 2):
            check.shape(
                kata.BinaryCNN()(torch.rand(size, 3, 16, 16)),
                (size,),
                what=f"the logits of {size} pictures",
            )

    def test_one_picture_gives_one_logit(self, kata):
        """For B = 1 the answer is (1,). `squeeze()` without a dimension removes the
        batch as well.
        """
        model = kata.BinaryCNN()
        check.shape(model(torch.rand(1, 3, 16, 16)), (1,))
        check.shape(
            model.predict_proba(torch.rand(1, 3, 16, 16)), (1,), what="predict_proba"
        )

    def test_forward_returns_logits(self, kata):
        """The loss takes logits and has its own sigmoid. A second one here would
        squeeze all answers between 0.5 and 0.73. Such a model trains, but badly.
        """
        x = torch.randn(6, 2, 12, 12)
        model, logits = undecided(kata.BinaryCNN(**UNUSUAL), x)
        check.close(
            model(x),
            logits,
            unlike={"probabilities: a sigmoid in forward": logits.sigmoid()},
        )

    def test_predict_proba_is_the_sigmoid_of_the_logits(self, kata):
        """Probabilities of class 1, between 0 and 1."""
        x = torch.rand(6, 3, 16, 16)
        model, logits = undecided(kata.BinaryCNN(), x)
        unlike = {
            "the sigmoid of a sigmoid": logits.sigmoid().sigmoid(),
            "the probability of class 0": 1 - logits.sigmoid(),
            "logits": logits,
        }
        check.close(
            model.predict_proba(x), 1 / (1 + torch.exp(-logits.double())), unlike=unlike
        )

    def test_predict_proba_keeps_the_mode(self, kata):
        """A model in training mode answers with dropout, and stays in training mode. An
        `eval()` here would switch dropout off for the caller's training.
        """
        for flag in (True, False):
            model, x = shaken(kata.BinaryCNN()).train(flag), torch.rand(8, 3, 16, 16)
            torch.manual_seed(5)
            expected = model(x).sigmoid()
            torch.manual_seed(5)
            check.close(
                model.predict_proba(x),
                expected,
                what=f"the probabilities with training={flag}",
            )
            changed = [
                name
                for name, module in model.named_modules()
                if module.training is not flag
            ]
            check.that(
                not changed,
                f"training was {flag} and no longer is in "
                f"{', '.join(map(repr, changed))}",
            )

    def test_eval_is_deterministic_and_training_is_not(self, kata):
        """In eval mode the dropout is off. In training mode it draws anew for every
        call. `F.dropout` does not know the mode unless you pass it.
        """
        model, x = shaken(kata.BinaryCNN()), torch.rand(8, 3, 16, 16)
        model.eval()
        check.equal(model(x), model(x), what="the second answer in eval mode")
        model.train()
        check.that(
            not torch.equal(model(x), model(x)),
            "in training mode two calls gave the same: there is no dropout",
        )

    @pytest.mark.edge
    def test_other_pictures_are_refused(self, kata):
        """Other channels, another size, a single picture without a batch: a clear error
        in forward is better than one about the shape of a matrix.
        """
        model = kata.BinaryCNN()
        for shape in (
            (B, 1, 16, 16),
            (B, 3, 24, 24),
            (B, 3, 16, 8),
            (B, 3, 8, 16),
            (3, 16, 16),
            (B, 16, 16, 3),
        ):
            with check.raises(ValueError):
                model(torch.rand(shape))


@pytest.mark.stretch
class TestImageFolderDatasetInit:
    def test_folders_are_classes_in_alphabetical_order(self, kata, tmp_path):
        """The label of a class is its position among the sorted names. The operating
        system lists folders in an order of its own, which differs between machines.
        """
        for name in ("zebra", "ant", "mole", "bee"):
            picture(tmp_path / name / "one.png")
        dataset = kata.ImageFolderDataset(tmp_path)
        check.equal(
            list(dataset.classes), ["ant", "bee", "mole", "zebra"], what="classes"
        )
        check.equal(
            dict(dataset.class_to_idx),
            {"ant": 0, "bee": 1, "mole": 2, "zebra": 3},
            what="class_to_idx",
        )

    def test_samples_are_sorted(self, kata, tmp_path):
        """All of class 0 come first, by name, then all of class 1. Sample 17 is then
        the same picture on every machine.
        """
        for name in ("dog/4.png", "dog/1.png", "cat/3.png", "cat/10.png", "cat/2.png"):
            picture(tmp_path / name)
        dataset = kata.ImageFolderDataset(str(tmp_path))
        expected = [
            ("10.png", 0),
            ("2.png", 0),
            ("3.png", 0),
            ("1.png", 1),
            ("4.png", 1),
        ]
        check.equal(names(dataset), expected, what="samples (file name, label)")
        check.equal(len(dataset), 5, what="len(dataset)")

    def test_other_files_are_ignored(self, kata, tmp_path):
        """Notes, thumbnail databases and names that only contain "png" are no pictures.
        A file beside the class folders belongs to no class.
        """
        picture(tmp_path / "cat" / "a.png")
        picture(tmp_path / "stray.png")
        for name in ("notes.txt", "Thumbs.db", "png", "a.png.txt", "bpng"):
            (tmp_path / "cat" / name).write_text("no picture")
        (tmp_path / "labels.csv").write_text("no folder")
        dataset = kata.ImageFolderDataset(tmp_path)
        check.equal(list(dataset.classes), ["cat"], what="classes")
        check.equal(names(dataset), [("a.png", 0)], what="samples")

    def test_nested_folders_belong_to_the_class(self, kata, tmp_path):
        """Only the first level of folders names classes. A picture at any depth below
        belongs to its class.
        """
        for name in ("cat/a.png", "cat/garden/deep/c.png", "dog/only/below.png"):
            picture(tmp_path / name)
        dataset = kata.ImageFolderDataset(tmp_path)
        check.equal(list(dataset.classes), ["cat", "dog"], what="classes")
        check.equal(
            sorted(names(dataset)),
            [("a.png", 0), ("below.png", 1), ("c.png", 0)],
            what="samples, sorted",
        )

    def test_files_are_not_opened_yet(self, kata, tmp_path):
        """A hundred thousand pictures do not fit into memory. A broken file is found on
        access, and the other files remain usable.
        """
        picture(tmp_path / "cat" / "a.png")
        (tmp_path / "cat" / "b.png").write_text("no picture at all")
        check.equal(len(kata.ImageFolderDataset(tmp_path)), 2, what="len(dataset)")

    @pytest.mark.edge
    def test_upper_case_extensions_count(self, kata, tmp_path):
        """Cameras write DSC_0001.JPG. All four extensions count in any case, mixed
        case included.
        """
        for name in ("a.PNG", "b.JPG", "c.Jpeg", "d.bmp", "e.jpg", "f.jpeg", "g.BMP"):
            picture(tmp_path / "cat" / name)
        expected = [
            (name, 0)
            for name in (
                "a.PNG",
                "b.JPG",
                "c.Jpeg",
                "d.bmp",
                "e.jpg",
                "f.jpeg",
                "g.BMP",
            )
        ]
        unlike = {
            "lower case only": [(name, 0) for name, _ in expected if name.islower()]
        }
        check.equal(
            names(kata.ImageFolderDataset(tmp_path)),
            expected,
            unlike=unlike,
            what="samples",
        )

    @pytest.mark.edge
    def test_a_folder_named_like_a_picture(self, kata, tmp_path):
        """cat/b.png/ is a folder, whatever it is called, and no sample."""
        picture(tmp_path / "cat" / "b.png" / "c.png")
        check.equal(
            names(kata.ImageFolderDataset(tmp_path)), [("c.png", 0)], what="samples"
        )

    @pytest.mark.edge
    def test_an_empty_class_is_named(self, kata, tmp_path):
        """A class without a picture is a mistake in the data. The message names
        the folder.
        """
        picture(tmp_path / "cat" / "a.png")
        (tmp_path / "walrus").mkdir()
        (tmp_path / "walrus" / "notes.txt").write_text("no picture")
        with check.raises(FileNotFoundError, "walrus"):
            kata.ImageFolderDataset(tmp_path)

    @pytest.mark.edge
    def test_folders_that_are_not_there_are_named(self, kata, tmp_path):
        """Root may be missing, be a file, or have no folders. An empty dataset would
        fail only later, in a DataLoader. The message names the folder that was
        asked for.
        """
        picture(tmp_path / "loose" / "a.png")
        (tmp_path / "void").mkdir()
        for path in (
            tmp_path / "nowhere",
            tmp_path / "loose" / "a.png",
            tmp_path / "loose",
            tmp_path / "void",
        ):
            with check.raises(FileNotFoundError, path.name):
                kata.ImageFolderDataset(path)


@pytest.mark.stretch
class TestImageFolderDatasetGetitem:
    def test_a_picture_is_channels_height_width(self, kata, tmp_path):
        """(3, H, W) float32 with values from 0 to 1, every pixel in its place. NumPy
        gets (H, W, 3) from PIL; layers want channels first.
        """
        pixels = torch.randint(0, 256, (4, 5, 3), dtype=torch.uint8)
        (tmp_path / "cat").mkdir()
        Image.fromarray(pixels.numpy()).save(tmp_path / "cat" / "noise.png")
        expected = torch.stack([pixels[:, :, channel] / 255 for channel in range(3)])
        unlike = {
            "bytes, not divided by 255": 255 * expected,
            "reshaped, not permuted": (pixels / 255).reshape(3, 4, 5),
            "not permuted: (H, W, 3)": pixels / 255,
        }
        image, label = kata.ImageFolderDataset(tmp_path)[0]
        check.close(image, expected, unlike=unlike, what="the picture")
        check.dtype(image, torch.float32, what="the picture")
        check.equal(label, 0, what="the label")

    def test_grey_and_transparent_pictures_have_three_channels(self, kata, tmp_path):
        """Files come in many modes: a grey one has one channel, one with transparency
        four, and a palette numbers its colours. A batch needs three everywhere.
        """
        picture(tmp_path / "cat" / "1_grey.png", "L", colour=102)
        picture(tmp_path / "cat" / "2_clear.png", "RGBA", colour=(255, 0, 51, 128))
        palette = Image.new("RGB", (5, 4), (0, 51, 255)).convert("P")
        palette.save(tmp_path / "cat" / "3_palette.png")
        dataset = kata.ImageFolderDataset(tmp_path)
        colours = {
            "grey": (0.4, 0.4, 0.4),
            "RGBA": (1.0, 0.0, 0.2),
            "palette": (0.0, 0.2, 1.0),
        }
        for i, (kind, colour) in enumerate(colours.items()):
            expected = torch.tensor(colour)[:, None, None].expand(3, 4, 5)
            got, kept = (
                dataset[i][0],
                "as many channels as the file has: .convert('RGB') makes three",
            )
            as_is = (
                kind != "RGBA"
                and got.shape[0] == 1
                or kind == "RGBA"
                and got.shape[0] == 4
            )
            check.that(
                not as_is, f"the {kind} picture has {got.shape[0]} channels", like=kept
            )
            check.close(got, expected, what=f"the {kind} picture")

    def test_the_transform_gets_the_tensor(self, kata, tmp_path):
        """The transform's result replaces the picture; the label stays. The transform
        is called on access, so a random one gives something new each time.
        """
        picture(tmp_path / "cat" / "a.png")
        calls = []

        def transform(image):
            calls.append(image)
            return image.mean() + len(calls)

        dataset = kata.ImageFolderDataset(tmp_path, transform)
        check.equal(len(calls), 0, what="calls of the transform before any access")
        first, second = dataset[0], dataset[0]
        check.shape(calls[0], (3, 4, 5), what="what the transform was given")
        check.close(
            [first[0], second[0]],
            [torch.tensor(1.4), torch.tensor(2.4)],
            what="two accesses",
        )
        check.equal(first[1], 0, what="the label")

    def test_batches_of_the_dataset(self, kata, tmp_path):
        """A DataLoader stacks the pictures to (B, 3, H, W), and turns plain int labels
        into one int64 tensor.
        """
        for number in range(3):
            picture(
                tmp_path / "cat" / f"{number}.png", "L" if number else "RGB", colour=0
            )
            picture(tmp_path / "dog" / f"{number}.bmp")
        dataset = kata.ImageFolderDataset(tmp_path)
        [(images, labels)] = DataLoader(dataset, batch_size=6)
        check.shape(images, (6, 3, 4, 5), what="the pictures")
        check.dtype(images, torch.float32, what="the pictures")
        check.equal(labels, torch.tensor([0, 0, 0, 1, 1, 1]), what="the labels")


class TestEvaluateBinary:
    def test_loss_and_accuracy_of_one_batch(self, kata):
        """A sample's loss is −log of the probability given to its label, and the loss
        is the mean over samples. The accuracy is the share of samples where the sign of
        the logit agrees with the label.
        """
        logits, labels = [2.0, -1.0, 0.5, -3.0], [1, 1, 0, 0]
        losses = cross_entropies(logits, labels)
        twice = cross_entropies([1 / (1 + math.exp(-z)) for z in logits], labels)
        unlike = {
            "the sum, not the mean": {"loss": sum(losses)},
            "a second sigmoid: the model gives logits": {"loss": mean(twice)},
        }
        got = kata.evaluate_binary(Verbatim(), scored(logits, labels))
        check.close(
            got, {"loss": mean(losses), "accuracy": 0.5}, rtol=1e-5, unlike=unlike
        )

    def test_every_sample_counts_the_same(self, kata):
        """Five samples in batches of 4 and 1: the last sample has a fifth of the
        weight, not half as in the mean of two means.
        """
        logits, labels = [3.0, 2.0, -1.0, -2.0, -4.0], [1, 1, 0, 0, 1]
        losses = cross_entropies(logits, labels)
        expected = {"loss": mean(losses), "accuracy": 0.8}
        unlike = {
            "the mean of the batches' means": {
                "loss": (mean(losses[:4]) + losses[4]) / 2,
                "accuracy": 0.5,
            },
            "the last batch alone": {"loss": losses[4], "accuracy": 0.0},
        }
        check.close(
            kata.evaluate_binary(Verbatim(), scored(logits, labels)),
            expected,
            rtol=1e-5,
            unlike=unlike,
        )

    def test_the_threshold_is_a_probability(self, kata):
        """At threshold 0.9 a logit of 1 is not enough: its probability is 0.73. Logits
        and probabilities are not to be compared with each other.
        """
        data = scored([1.0, 3.0, -1.0, 0.7], [1, 1, 1, 1])
        for threshold, expected, by_logits in (
            (0.9, 0.25, 0.5),
            (0.2, 1.0, 0.75),
            (0.3, 0.75, 0.75),
        ):
            got = kata.evaluate_binary(Verbatim(), data, threshold)
            unlike = {
                "logits compared with the threshold": by_logits,
                "0.5 in place of the threshold": 0.75,
            }
            check.close(
                got["accuracy"],
                expected,
                unlike=unlike,
                what=f"accuracy at threshold {threshold}",
            )
        got = kata.evaluate_binary(Verbatim(), scored([0.0, 0.0, 0.0], [1, 1, 0]))
        what = "accuracy where every probability is exactly the threshold, 0.5"
        check.close(
            got["accuracy"], 2 / 3, unlike={"0.5 counted as negative": 1 / 3}, what=what
        )

    def test_sure_and_wrong_is_expensive_but_finite(self, kata):
        """A logit of 120 for a 0 costs 120. The sigmoid of 120 rounds to 1, and the
        logarithm of 1 − 1 is infinite; BCELoss cuts it off at 100. The loss that takes
        logits never computes that logarithm.
        """
        unlike = {"cut off at 100: the loss of a sigmoid": 50.0}
        got = kata.evaluate_binary(Verbatim(), scored([120.0, -110.0], [0, 0]))
        check.close(got["loss"], 60.0, unlike=unlike, what="loss")

    def test_int64_labels_count_the_same(self, kata):
        """A folder of pictures has int64 labels, the loss wants floats."""
        logits, labels = [2.0, -1.0, 0.5], [1, 1, 0]
        got = kata.evaluate_binary(
            Verbatim(), scored(logits, labels, dtype=torch.int64)
        )
        check.close(
            got,
            {"loss": mean(cross_entropies(logits, labels)), "accuracy": 1 / 3},
            rtol=1e-5,
        )

    def test_in_eval_mode_and_without_gradients(self, kata):
        """Dropout must be off while measuring, and batch norm must use its statistics.
        A graph would only cost memory.
        """
        model = Verbatim()
        kata.evaluate_binary(model, scored([1.0, -1.0, 2.0], [1, 0, 1], batch_size=2))
        check.equal(
            model.diary,
            [(False, False)] * 2,
            what="(training, gradients recorded) in each call of the model",
        )

    @pytest.mark.parametrize("flag", [True, False], ids=["training", "eval"])
    def test_mode_and_buffers_are_as_before(self, kata, flag):
        """A model in training goes on training, and one in eval mode stays in it. A
        batch norm in training mode would mix validation data into its
        running statistics.
        """
        model = nn.Sequential(nn.BatchNorm2d(1), Verbatim()).train(flag)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        kata.evaluate_binary(model, scored([4.0, 2.0, 3.0], [1, 0, 1]))
        check.equal(
            [module.training for module in model.modules()],
            [flag] * 3,
            what="training flags afterwards",
        )
        check.equal(dict(model.state_dict()), before, what="state_dict")

    @pytest.mark.edge
    def test_each_module_has_its_own_flag_back(self, kata):
        """Each module gets its own flag back. A part that was frozen in eval mode stays
        so: `model.train()` at the end would wake it up.
        """
        model = nn.Sequential(
            nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1)), Verbatim()
        )
        for flags in (
            (True, True, True, True, True),
            (True, False, True, False, True),
            (False, True, False, True, False),
        ):
            for module, flag in zip(model.modules(), flags, strict=True):
                module.training = flag
            kata.evaluate_binary(model, scored([1.0, -1.0], [1, 0]))
            after, unlike = (
                [module.training for module in model.modules()],
                {"one flag for all modules": [flags[0]] * 5},
            )
            check.equal(
                after, list(flags), unlike=unlike, what="the training flags afterwards"
            )

    @pytest.mark.edge
    def test_an_empty_loader_is_refused(self, kata):
        """Without samples there is no mean, and a division by zero would not
        say why.
        """
        with check.raises(ValueError):
            kata.evaluate_binary(
                Verbatim(), loader(torch.zeros(0, 1, 1, 1), torch.zeros(0), 4)
            )


class TestTrainClassifier:
    def test_a_line_of_history_for_each_epoch(self, kata):
        """One dict per epoch, with four plain floats under these names."""
        data = loader(*small_data(), 4)
        history = kata.train_classifier(small_network(), data, data, epochs=3)
        check.that(
            isinstance(history, list), f"wanted a list, got {check.describe(history)}"
        )
        kinds = [
            {name: type(value).__name__ for name, value in line.items()}
            for line in history
        ]
        names = ("lr", "train_loss", "val_loss", "val_accuracy")
        check.equal(kinds, [dict.fromkeys(names, "float")] * 3, what="types")

    def test_weights_move_as_with_adam(self, kata):
        """Clear, differentiate, step, once per batch: after two epochs the weights are
        where Adam takes them on the mean loss of each batch. Gradients of earlier
        batches add up if nobody clears them.
        """
        images, labels = small_data()
        model = small_network()
        unlike = {
            "nothing has moved": weights(copy.deepcopy(model)),
            "SGD": weights(
                trained_by_hand(model, images, labels, 4, 2, make=torch.optim.SGD)[0]
            ),
            "one update per epoch": weights(
                trained_by_hand(model, images, labels, 10, 2)[0]
            ),
            "one epoch": weights(trained_by_hand(model, images, labels, 4, 1)[0]),
            "AdamW": weights(
                trained_by_hand(model, images, labels, 4, 2, make=torch.optim.AdamW)[0]
            ),
        }
        expected = weights(trained_by_hand(model, images, labels, 4, 2)[0])
        data = loader(images, labels, 4)
        kata.train_classifier(model, data, data, epochs=2, lr=0.02)
        check.close(
            weights(model),
            expected,
            rtol=1e-4,
            atol=1e-4,
            unlike=unlike,
            what="the weights",
        )

    def test_the_train_loss_is_a_mean_over_samples(self, kata):
        """Ten samples come in batches of 4, 4 and 2. Each batch's loss is taken before
        its update, and weighted by the batch size.
        """
        images, labels = small_data()
        model = small_network()
        _, epochs = trained_by_hand(model, images, labels, 4, 2)
        expected = [sum(loss * size for loss, size in losses) / 10 for losses in epochs]
        unlike = {
            "the mean of the batches' means": [
                mean([loss for loss, _ in losses]) for losses in epochs
            ],
            "the sum over the batches": [
                sum(loss for loss, _ in losses) for losses in epochs
            ],
            "the last batch alone": [losses[-1][0] for losses in epochs],
        }
        data = loader(images, labels, 4)
        history = kata.train_classifier(model, data, data, epochs=2, lr=0.02)
        check.close(
            [line["train_loss"] for line in history],
            expected,
            rtol=1e-4,
            unlike=unlike,
            what="train_loss",
        )

    def test_validation_follows_training(self, kata):
        """val_loss and val_accuracy are those of the model at the end of the epoch, on
        the other loader.
        """
        images, labels = small_data(17)
        model = small_network()
        kata_model = copy.deepcopy(model)
        train, val = (
            loader(images[:10], labels[:10], 4),
            loader(images[10:], labels[10:], 4),
        )
        history = kata.train_classifier(kata_model, train, val, epochs=2, lr=0.02)
        expected = []
        for epochs in (0, 1, 2):
            logits = trained_by_hand(model, images[:10], labels[:10], 4, epochs)[0](
                images[10:]
            ).tolist()
            right = mean(
                [
                    float((z >= 0) == (y == 1))
                    for z, y in zip(logits, labels[10:].tolist(), strict=True)
                ]
            )
            expected.append(
                {
                    "val_loss": mean(cross_entropies(logits, labels[10:].tolist())),
                    "val_accuracy": right,
                }
            )
        got = [
            {name: line[name] for name in ("val_loss", "val_accuracy")}
            for line in history
        ]
        unlike = {"measured before the epoch's training": expected[:2]}
        check.close(got, expected[1:], rtol=1e-4, unlike=unlike, what="history")

    def test_rates_fall_in_steps(self, kata):
        """lr_step_size=2 and lr_gamma=0.5: two epochs at each rate. The history tells
        the rate that the epoch was trained with, not that of the next epoch. Without
        lr_step_size the rate stays.
        """
        data = loader(*small_data(), 4)
        rates = {"lr": 0.01, "lr_step_size": 2, "lr_gamma": 0.5}
        history = kata.train_classifier(small_network(), data, data, epochs=5, **rates)
        unlike = {
            "the rate of the next epoch": torch.tensor(
                [0.01, 0.005, 0.005, 0.0025, 0.0025]
            ),
            "multiplied after every epoch": torch.tensor(
                [0.01, 0.005, 0.0025, 0.00125, 0.000625]
            ),
            "no schedule": torch.full((5,), 0.01),
        }
        expected = torch.tensor([0.01, 0.01, 0.005, 0.005, 0.0025])
        check.close(
            torch.tensor([line["lr"] for line in history]),
            expected,
            atol=1e-8,
            unlike=unlike,
            what="lr",
        )
        history = kata.train_classifier(
            small_network(), data, data, epochs=2, lr=0.5, lr_step_size=1
        )
        check.close(
            [line["lr"] for line in history],
            [0.5, 0.05],
            what="lr with the default factor 0.1",
        )
        [line] = kata.train_classifier(small_network(), data, data, epochs=1)
        check.close(line["lr"], 1e-3, what="lr without settings")

    def test_rates_are_those_that_were_used(self, kata):
        """Three epochs of three batches: the rate falls after the second epoch, and the
        weights show it. A schedule that steps with every batch is many epochs ahead of
        its time.
        """
        images, labels = small_data()
        model = small_network()
        expected, by_batches, constant = (
            weights(trained_by_hand(model, images, labels, 4, 3, rates)[0])
            for rates in (
                [0.02] * 6 + [0.002],
                [0.02 * 0.1 ** (i // 2) for i in range(9)],
                [0.02],
            )
        )
        unlike = {
            "a rate that falls by batches, not by epochs": by_batches,
            "no schedule": constant,
        }
        data = loader(images, labels, 4)
        kata.train_classifier(
            model, data, data, epochs=3, lr=0.02, lr_step_size=2, lr_gamma=0.1
        )
        check.close(
            weights(model),
            expected,
            rtol=1e-4,
            atol=1e-4,
            unlike=unlike,
            what="the weights",
        )

    def test_int64_labels_train(self, kata):
        """The labels of a folder are int64, and the loss wants floats of the logits'
        dtype. The result is the same.
        """
        images, labels = small_data()
        histories = []
        for kind in (torch.float32, torch.int64):
            torch.manual_seed(3)
            data = loader(images, labels.to(kind), 4)
            histories.append(
                kata.train_classifier(small_network(), data, data, epochs=2)
            )
        check.close(
            histories[1], histories[0], rtol=1e-4, what="the history with int64 labels"
        )

    def test_training_mode_in_every_epoch(self, kata):
        """Three batches in training mode with gradients, two in eval mode without, and
        again. The evaluation switches to eval mode. Without a switch back, from the
        second epoch on it would be the mode of the training, too: no dropout, and
        frozen batch norms.
        """
        for flag in (True, False):
            model = Verbatim().train(flag)
            train, val = scored([1.0] * 5, [1] * 5, 2), scored([1.0] * 3, [0] * 3, 2)
            kata.train_classifier(model, train, val, epochs=2)
            train_calls, val_calls = [(True, True)] * 3, [(False, False)] * 2
            unlike = {
                "eval mode from the second epoch on": train_calls
                + val_calls
                + [(False, True)] * 3
                + val_calls
            }
            expected, what = (
                (train_calls + val_calls) * 2,
                "(training, gradients recorded) in each call of the model",
            )
            check.equal(model.diary, expected, unlike=unlike, what=what)

    @pytest.mark.timeout(60)
    def test_the_model_learns(self, kata):
        """After eight epochs on 256 pictures of stripes, `BinaryCNN` tells horizontal
        from vertical in at least 80 of 100 new pictures. Guessing gives 50.
        """
        train, val = kata.make_stripe_images(256), kata.make_stripe_images(128)
        model = kata.BinaryCNN(dropout=0.2)
        loaders = loader(*train, 16, shuffle=True), loader(*val, 64)
        history = kata.train_classifier(model, *loaders, epochs=8, lr=2e-3)
        accuracy = history[-1]["val_accuracy"]
        check.that(
            accuracy >= 0.8,
            f"the accuracy on new pictures is {accuracy:.2f}, wanted 0.8",
        )

    @pytest.mark.edge
    def test_samples_left_out_do_not_count(self, kata):
        """A loader with drop_last leaves out the last two of ten samples, so the mean
        is over eight. Count the samples that came, not those of the dataset.
        """
        images, labels = small_data()
        model = small_network()
        [losses] = trained_by_hand(model, images[:8], labels[:8], 4, 1)[1]
        data = loader(images, labels, 4, drop_last=True)
        [line] = kata.train_classifier(model, data, data, epochs=1, lr=0.02)
        expected = mean([loss for loss, _ in losses])
        check.close(
            line["train_loss"],
            expected,
            rtol=1e-4,
            unlike={"divided by ten": 0.8 * expected},
            what="train_loss",
        )

    @pytest.mark.edge
    def test_gradients_from_before_have_no_influence(self, kata):
        """The model may come with gradients from an earlier backward. The first step
        must clear them.
        """
        images, labels = small_data()
        model = small_network()
        expected = weights(trained_by_hand(model, images, labels, 4, 1)[0])
        for p in model.parameters():
            p.grad = torch.full_like(p, 100.0)
        data = loader(images, labels, 4)
        kata.train_classifier(model, data, data, epochs=1, lr=0.02)
        check.close(weights(model), expected, rtol=1e-4, atol=1e-4, what="the weights")


@pytest.mark.stretch
class TestCompareBatchNorm:
    OPTIONS = {"image_size": 4, "channels": (3,), "hidden": 6, "dropout": 0.25}

    def loaders(self, kata):
        """Twelve small pictures, shuffled by the global generator, and five
        for validation.
        """
        images, labels = kata.make_stripe_images(
            17, 4, generator=torch.Generator().manual_seed(5)
        )
        return loader(images[:12], labels[:12], 5, shuffle=True), loader(
            images[12:], labels[12:], 5
        )

    def seeded(self, kata, seed, batch_norm, loaders):
        """The history of one network: seeded, built and trained."""
        torch.manual_seed(seed)
        model = kata.BinaryCNN(**self.OPTIONS, batch_norm=batch_norm)
        return kata.train_classifier(model, *loaders, epochs=2, lr=0.01)

    def test_two_histories_by_name(self, kata):
        """The keys are "plain" and "batch_norm", in this order. Each history has one
        line per epoch, at the rate given.
        """
        got = kata.compare_batch_norm(
            *self.loaders(kata), epochs=2, lr=0.01, **self.OPTIONS
        )
        check.equal(list(got), ["plain", "batch_norm"], what="keys")
        check.equal(
            [len(history) for history in got.values()],
            [2, 2],
            what="lengths of the histories",
        )
        check.close(
            [line["lr"] for history in got.values() for line in history],
            [0.01] * 4,
            what="lr",
        )

    def test_each_starts_from_the_seed(self, kata):
        """Seed, build, train; seed again, build with batch norm, train. A model built
        before its seed has other weights, and without the second seeding the other
        model's random numbers depend on the first.
        """
        loaders = self.loaders(kata)
        expected = {
            name: self.seeded(kata, 4, name == "batch_norm", loaders)
            for name in ("plain", "batch_norm")
        }
        unlike = {
            "both have batch norm": {"plain": expected["batch_norm"]},
            "neither has batch norm": {"batch_norm": expected["plain"]},
        }
        got = kata.compare_batch_norm(
            *loaders, epochs=2, lr=0.01, seed=4, **self.OPTIONS
        )
        check.close(got, expected, unlike=unlike, what="the histories")

    def test_the_comparison_is_reproducible(self, kata):
        """The same seed gives the same histories, whatever random numbers the caller
        has used; another seed gives others; and seed 0 is a seed like any other.
        """
        loaders = self.loaders(kata)
        first = kata.compare_batch_norm(*loaders, epochs=1, **self.OPTIONS)
        torch.rand(3)
        again = kata.compare_batch_norm(*loaders, epochs=1, seed=0, **self.OPTIONS)
        check.close(again, first, what="the second call")
        other = kata.compare_batch_norm(*loaders, epochs=1, seed=1, **self.OPTIONS)
        same = (
            other["plain"] == first["plain"]
            or other["batch_norm"] == first["batch_norm"]
        )
        check.that(not same, "seed 1 gave the same history as seed 0")

    @pytest.mark.edge
    def test_the_global_generator_is_left_alone(self, kata):
        """The caller's random numbers continue as if there had been no call. Otherwise
        the seed set inside would give every caller the same numbers afterwards.
        """
        torch.manual_seed(11)
        loaders, before = self.loaders(kata), torch.get_rng_state()
        kata.compare_batch_norm(*loaders, epochs=1, **self.OPTIONS)
        check.that(
            torch.equal(torch.get_rng_state(), before),
            "the state of the global generator is another one now",
        )


class TestSaveModel:
    def test_the_file_is_data(self, kata, tmp_path):
        """`torch.load` with weights_only=True opens it. A pickled model does not load
        that way. It names your classes, which must exist under the same names, and
        loading it may run any code.
        """
        for kind in (str, Path):
            path = tmp_path / f"{kind.__name__}.pt"
            kata.save_model(kind(path), kata.BinaryCNN())
            check.that(
                path.is_file(),
                f"there is no file at the path given (as {kind.__name__})",
            )
            opened(path)

    def test_the_file_holds_weights_and_buffers(self, kata, tmp_path):
        """The file holds the whole state_dict. Parameters alone are not enough: without
        the running statistics of its batch norms, the model gives other answers.
        """
        model = shaken(kata.BinaryCNN(**UNUSUAL))
        kata.save_model(tmp_path / "model.pt", model)
        saved = [
            leaf
            for leaf in leaves(opened(tmp_path / "model.pt"))
            if isinstance(leaf, torch.Tensor)
        ]
        for name, value in model.state_dict().items():
            found = any(
                leaf.shape == value.shape and torch.equal(leaf, value) for leaf in saved
            )
            check.that(found, f"{name} is not in the file")

    def test_the_file_knows_the_dropout(self, kata, tmp_path):
        """Shapes tell the sizes of the layers, but nothing in the weights tells how
        much dropout the model was built with, so the arguments are part of the file.
        """
        kata.save_model(tmp_path / "model.pt", kata.BinaryCNN(dropout=0.140625))
        found = [
            leaf
            for leaf in leaves(opened(tmp_path / "model.pt"))
            if "0.1406" in str(leaf)
        ]
        check.that(
            bool(found),
            "a dropout of 0.140625 is nowhere in the file: is the config in it?",
        )

    def test_the_model_is_left_as_it_was(self, kata, tmp_path):
        """Saving in the middle of training must not disturb it. The model and all its
        parts keep their mode, and the model keeps its weights.
        """
        for flag in (True, False):
            model = kata.BinaryCNN(**UNUSUAL).train(flag)
            before = {name: value.clone() for name, value in model.state_dict().items()}
            kata.save_model(tmp_path / "model.pt", model)
            changed = [
                name
                for name, module in model.named_modules()
                if module.training is not flag
            ]
            check.that(
                not changed,
                f"training was {flag} and no longer is in "
                f"{', '.join(map(repr, changed))}",
            )
            check.equal(dict(model.state_dict()), before, what="state_dict")
            check.equal(model.config, UNUSUAL, what="config")


@st.composite
def configs(draw):
    """The six arguments of a small network."""
    channels = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    return {
        "image_size": 2 ** len(channels) * draw(st.integers(1, 2)),
        "in_channels": draw(st.integers(1, 3)),
        "channels": channels,
        "hidden": draw(st.integers(1, 4)),
        "dropout": draw(st.sampled_from([0.125, 0.25])),
        "batch_norm": draw(st.booleans()),
    }


class TestLoadModel:
    def test_the_same_answers(self, kata, tmp_path):
        """In eval mode, the loaded model gives the same answers as the saved one."""
        model = shaken(kata.BinaryCNN(batch_norm=True))
        kata.save_model(tmp_path / "model.pt", model)
        x = torch.rand(B, 3, 16, 16)
        got = kata.load_model(tmp_path / "model.pt")
        expected = model.eval()(x)
        check.close(got.eval()(x), expected, what="the answers of the loaded model")

    @settings(max_examples=8)
    @given(case=configs())
    def test_any_model_comes_back(self, kata, tmp_path, case):
        """Only the file tells `load_model` how the model was built. The config comes
        back, layers are built from it, and every weight and buffer is the same, running
        statistics included.
        """
        model = shaken(kata.BinaryCNN(**case))
        kata.save_model(tmp_path / "model.pt", model)
        got = kata.load_model(tmp_path / "model.pt")
        check.that(
            type(got) is kata.BinaryCNN,
            f"wanted a BinaryCNN, got a {type(got).__name__}",
        )
        check.equal(got.config, case, what="config")
        shares = [
            module.p for module in got.modules() if isinstance(module, nn.Dropout)
        ]
        check.equal(shares, [case["dropout"]], what="the dropout of the loaded model")
        check.equal(dict(got.state_dict()), dict(model.state_dict()), what="state_dict")

    def test_the_loaded_model_is_in_eval_mode(self, kata, tmp_path):
        """A model is loaded to answer. A new module is in training mode, with dropout,
        and with batch norms that use the statistics of the batch.
        """
        for flag in (True, False):
            kata.save_model(
                tmp_path / "model.pt", kata.BinaryCNN(**UNUSUAL).train(flag)
            )
            got = kata.load_model(tmp_path / "model.pt")
            awake = [name for name, module in got.named_modules() if module.training]
            check.that(
                not awake,
                f"in training mode: {', '.join(repr(name) for name in awake)}",
            )

    def test_a_file_from_a_gpu(self, kata, tmp_path):
        """A file remembers the device of each tensor, and `torch.load` restores it
        there. Without `map_location`, a model saved on a GPU does not open on a machine
        without one. The tensors of this file are marked as from a GPU.
        """
        model = shaken(kata.BinaryCNN(**UNUSUAL))
        with mock.patch("torch.serialization.location_tag", lambda storage: "cuda:0"):
            kata.save_model(tmp_path / "model.pt", model)
        got = kata.load_model(tmp_path / "model.pt")
        places = {value.device.type for value in got.state_dict().values()}
        check.equal(sorted(places), ["cpu"], what="devices of the loaded model")
        check.equal(dict(got.state_dict()), dict(model.state_dict()), what="state_dict")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_map_location_says_where_the_model_is(self, kata, tmp_path):
        """Every parameter and buffer is on map_location, wherever it was saved. A model
        trained on a GPU then loads on a machine without one.
        """
        x = torch.rand(B, 2, 12, 12)
        for here, there in (
            ("cuda", "cpu"),
            ("cpu", "cuda"),
            ("cuda", torch.device("cuda")),
        ):
            model = shaken(kata.BinaryCNN(**UNUSUAL)).eval().to(here)
            kata.save_model(tmp_path / "model.pt", model)
            got = kata.load_model(tmp_path / "model.pt", map_location=there)
            places = {value.device.type for value in got.state_dict().values()}
            check.equal(
                sorted(places),
                [torch.device(there).type],
                what=f"devices, saved on {here} and loaded for {there}",
            )
            check.close(
                got(x.to(there)),
                model(x.to(here)).cpu(),
                rtol=1e-2,
                atol=1e-2,
                what="answers",
            )

    @pytest.mark.edge
    def test_a_file_is_never_run(self, kata, tmp_path):
        """Files come from other people. A pickle can hold instructions, which
        `weights_only=False` carries out while loading; with True they are refused.
        """
        torch.save(
            {"config": {}, "state_dict": Instruction(str(tmp_path / "carried_out"))},
            tmp_path / "model.pt",
        )
        with check.raises(Exception):
            kata.load_model(tmp_path / "model.pt")
        check.that(
            not (tmp_path / "carried_out").exists(),
            "loading the file has carried out an instruction in it",
        )


class Instruction:
    """When unpickled without care, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)
