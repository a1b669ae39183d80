"""Specs of kata tinytorch/09: convolution as loops and as one matrix product, pooling,
and what both cost.
"""

from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.specs import check

# kernel, stride, padding
SETTINGS = [(2, 1, 0), (3, 1, 1), (3, 2, 1), (2, 3, 0), (3, 3, 2)]
NAMES = ("x", "weight", "bias")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def tensor(array, dtype=np.float64, requires_grad=False):
    from tinytorch.tensor import Tensor

    return Tensor(np.asarray(array, dtype=dtype), requires_grad=requires_grad)


def images_and_kernels(kernel, size=(5, 7)):
    """x (2, 3, 5, 7), weight (4, 3, K, K) and bias (4,)."""
    return normal(2, 3, *size), normal(4, 3, kernel, kernel, seed=1), normal(4, seed=2)


def by_torch(function, *arrays, **options):
    return function(*map(torch.tensor, arrays), **options).numpy()


def gradients_by_torch(function, grad, *arrays, **options):
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    found = torch.autograd.grad(
        function(*inputs, **options), inputs, torch.tensor(grad)
    )
    return [part.numpy() for part in found]


def node_of(out, name):
    node = out.node
    check.that(
        node is not None,
        f"{name} did not announce its result with `record`, so it has no node",
    )
    return node


def gradients(rule, out, name, grad):
    """The gradients that a rule gives for the node of this output: one per input."""
    node = node_of(out, name)
    got = rule(node, grad.copy())
    count = len(node.inputs)
    fine = isinstance(got, (tuple, list)) and len(got) == count
    check.that(
        fine,
        f"expected a tuple of {count}, one gradient per input, got "
        f"{check.describe(got)}",
    )
    return got


def own_rules(kata):
    """Inside the block, `backward` uses the rules of this kata."""
    from tinytorch.autograd import RULES

    return mock.patch.dict(
        RULES, conv2d=kata.conv2d_rule, max_pool2d=kata.max_pool2d_rule
    )


@st.composite
def geometries(draw):
    """Height, width, kernel, stride and padding that fit."""
    kernel, stride, padding = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        draw(st.integers(0, 2)),
    )
    smallest = max(1, kernel - 2 * padding)
    height, width = (draw(st.integers(smallest, 6)) for _ in "hw")
    return height, width, kernel, stride, padding


@st.composite
def stacks(draw):
    """Layers as (kernel, stride)."""
    return draw(
        st.lists(
            st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=4
        )
    )


class TestOutputSize:
    @pytest.mark.parametrize(
        "n, kernel, stride, padding",
        [(7, 3, 1, 0), (8, 3, 2, 0), (28, 3, 1, 2), (9, 2, 3, 4)],
    )
    def test_how_often_the_kernel_fits(self, kata, n, kernel, stride, padding):
        """The first position is pixel 0 of the padded side; the last one leaves room
        for a whole kernel. Padding is added at both ends.
        """
        expected = len(range(0, n + 2 * padding - kernel + 1, stride))
        unlike = {
            "one too few: the first position does not count": expected - 1,
            "padding at one end only": (n + padding - kernel) // stride + 1,
            "rounded up: a last position without room for the kernel": -(
                -(n + 2 * padding - kernel) // stride
            )
            + 1,
            "the stride is ignored": n + 2 * padding - kernel + 1,
        }
        unlike = {name: wrong for name, wrong in unlike.items() if wrong != expected}
        check.equal(
            kata.output_size(n, kernel, stride, padding), expected, unlike=unlike
        )

    def test_stride_and_padding_have_defaults(self, kata):
        """Without them, the kernel moves pixel by pixel over the bare image: 9 pixels,
        a kernel of 4, 6 positions.
        """
        check.equal(kata.output_size(9, 4), 6)

    @settings(max_examples=10)
    @given(case=geometries())
    def test_agrees_with_pytorch(self, kata, case):
        """Height and width of what PyTorch's convolution returns."""
        height, width, kernel, stride, padding = case
        x, weight = torch.zeros(1, 1, height, width), torch.zeros(1, 1, kernel, kernel)
        expected = tuple(F.conv2d(x, weight, stride=stride, padding=padding).shape[2:])
        check.equal(
            tuple(
                kata.output_size(n, kernel, stride, padding) for n in (height, width)
            ),
            expected,
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "n, kernel, stride, padding",
        [(7, 0, 1, 0), (7, 3, 0, 0), (7, 3, 1, -1), (7, 10, 1, 1)],
    )
    def test_what_does_not_fit_is_refused(self, kata, n, kernel, stride, padding):
        """A formula gives some number for all of these. 7 pixels with padding 1 are 9,
        too few for a kernel of 10.
        """
        with check.raises(ValueError):
            kata.output_size(n, kernel, stride, padding)


class TestConv2dLoops:
    def test_the_kernel_is_not_flipped(self, kata):
        """The kernel lies on the image as it is: weight[0, 0] meets the window's upper
        left pixel. The convolution of mathematics turns the kernel by 180 degrees
        first; that of networks does not.
        """
        x = np.arange(12.0).reshape(1, 1, 3, 4)
        weight = np.array([[[[1.0, 2.0], [0.0, 10.0]]]])
        unlike = {
            "the kernel turned by 180 degrees": by_torch(
                F.conv2d, x, weight[..., ::-1, ::-1].copy()
            ),
            "rows and columns of the kernel exchanged": by_torch(
                F.conv2d, x, weight.swapaxes(2, 3).copy()
            ),
        }
        got = check.data(kata.conv2d_loops(tensor(x), tensor(weight)))
        check.close(got, by_torch(F.conv2d, x, weight), unlike=unlike)

    def test_channels_are_added_up(self, kata):
        """Each output channel has a kernel of its own, which covers all input channels.
        Their parts add up to one number per position, for each image.
        """
        x, weight, _ = images_and_kernels(2)
        first, mean = (
            by_torch(F.conv2d, x[:, :1], weight[:, :1]),
            by_torch(F.conv2d, x, weight) / 3,
        )
        got = check.data(kata.conv2d_loops(tensor(x), tensor(weight)))
        unlike = {
            "the first input channel only": first,
            "the mean over the input channels": mean,
        }
        check.close(got, by_torch(F.conv2d, x, weight), unlike=unlike)

    def test_one_bias_per_output_channel(self, kata):
        """The bias of a channel is added at all its positions. The output is 4 × 4
        here, so a bias (4,) would also broadcast along a row, without an error.
        """
        x, weight, bias = images_and_kernels(2, size=(5, 5))
        bare = by_torch(F.conv2d, x, weight)
        got = check.data(kata.conv2d_loops(tensor(x), tensor(weight), tensor(bias)))
        unlike = {
            "without the bias": bare,
            "the bias added along each row": bare + bias,
        }
        check.close(got, bare + bias[:, None, None], unlike=unlike)

    @pytest.mark.parametrize("kernel", [1, 2, 3])
    def test_any_stride_and_padding(self, kata, kernel):
        """The same as PyTorch for strides 1 to 3 and padding 0 to 2, on images that are
        wider than high.
        """
        x, weight, bias = (
            normal(2, 2, 3, 4),
            normal(3, 2, kernel, kernel, seed=1),
            normal(3, seed=2),
        )
        for stride in (1, 2, 3):
            for padding in (0, 1, 2):
                got = kata.conv2d_loops(
                    tensor(x), tensor(weight), tensor(bias), stride, padding
                )
                expected = by_torch(
                    F.conv2d, x, weight, bias, stride=stride, padding=padding
                )
                rows, columns = expected.shape[2:]
                every = by_torch(F.conv2d, x, weight, bias, padding=padding)[
                    ..., :rows, :columns
                ]
                unlike = (
                    {"windows that are neighbours, whatever the stride": every}
                    if stride > 1
                    else {}
                )
                what = f"the output for stride {stride}, padding {padding}"
                check.close(check.data(got), expected, unlike=unlike, what=what)

    def test_it_is_written_as_loops(self, kata):
        """This is the definition that the fast version is checked against, so it does
        without its tools.
        """
        x, weight, _ = images_and_kernels(2, size=(3, 4))
        refuse = mock.Mock(
            side_effect=AssertionError("this exercise is to be written without im2col")
        )
        with (
            check.forbidden(kata, "numpy.tensordot", "numpy.einsum"),
            mock.patch.object(kata, "im2col", refuse),
        ):
            got = kata.conv2d_loops(tensor(x), tensor(weight))
        check.close(check.data(got), by_torch(F.conv2d, x, weight))

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (2, 4, 5, 7)], ids=str)
    def test_another_shape_is_refused(self, kata, shape):
        """Kernels of 1 channel need (B, 1, H, W). One image alone has no batch, and no
        channel is left out or repeated: four channels would broadcast with one.
        """
        with check.raises(ValueError):
            kata.conv2d_loops(tensor(normal(*shape)), tensor(normal(4, 1, 2, 2)))

    @pytest.mark.edge
    def test_float32_stays_float32(self, kata):
        """An output in float64 would double the memory of everything behind it."""
        x, weight, bias = (tensor(array, np.float32) for array in images_and_kernels(3))
        got = check.data(kata.conv2d_loops(x, weight, bias)).dtype
        check.that(got == np.float32, f"float32 came out as {got}")


class TestIm2col:
    def test_a_column_per_window(self, kata):
        """A 2 × 2 kernel fits twice on an image of 2 × 3. Each column is a window, read
        row by row.
        """
        x = np.array([[[[1.0, 2, 3], [4, 5, 6]]]])
        expected = np.array([[[1.0, 2], [2, 3], [4, 5], [5, 6]]])
        unlike = {"windows read column by column": expected[:, [0, 2, 1, 3]]}
        check.close(kata.im2col(x, 2), expected, unlike=unlike)

    def test_the_order_of_rows_and_positions(self, kata):
        """Rows by channel, kernel row, kernel column, as `weight.reshape(O, -1)` has
        them; positions row by row, as the output is reshaped. In another order the
        numbers are right and the product is wrong.
        """
        x = np.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
        expected = by_torch(F.unfold, x, kernel_size=2)  # (2, 3·2·2, 3·5)
        sixfold = expected.reshape(2, 3, 2, 2, 3, 5)
        unlike = {
            "the channel last in a column": sixfold.transpose(0, 2, 3, 1, 4, 5).reshape(
                2, 12, 15
            ),
            "kernel columns before kernel rows": sixfold.transpose(
                0, 1, 3, 2, 4, 5
            ).reshape(2, 12, 15),
            "positions column by column": sixfold.transpose(0, 1, 2, 3, 5, 4).reshape(
                2, 12, 15
            ),
            "rows and columns of the result exchanged": expected.swapaxes(1, 2),
            "reshaped to (B, C·K·K, L) with the positions in front": (
                sixfold.transpose(0, 4, 5, 1, 2, 3).reshape(2, 12, 15)
            ),
        }
        check.close(kata.im2col(x, 2), expected, unlike=unlike)

    @given(case=geometries())
    def test_any_stride_and_padding(self, kata, case):
        """The same as `F.unfold`, for any height, width, kernel, stride and padding."""
        height, width, kernel, stride, padding = case
        x = normal(2, 3, height, width)
        expected = by_torch(
            F.unfold, x, kernel_size=kernel, stride=stride, padding=padding
        )
        rows, columns = (
            len(range(0, n + 2 * padding - kernel + 1, stride)) for n in (height, width)
        )
        dense = by_torch(F.unfold, x, kernel_size=kernel, padding=padding)
        dense = dense.reshape(2, dense.shape[1], -1, width + 2 * padding - kernel + 1)[
            :, :, :rows, :columns
        ]
        unlike = {
            "neighbouring windows: the stride is ignored": dense.reshape(expected.shape)
        }
        check.close(kata.im2col(x, kernel, stride, padding), expected, unlike=unlike)

    @pytest.mark.edge
    def test_a_transposed_view_and_its_dtype(self, kata):
        """Images with channels last are often transposed, not copied. float32
        stays float32.
        """
        x = normal(2, 5, 4, 3).astype(np.float32).transpose(0, 3, 1, 2)
        check.equal(
            kata.im2col(x, 3, 2, 1),
            by_torch(F.unfold, x, kernel_size=3, stride=2, padding=1),
        )


class TestCol2im:
    def test_overlapping_entries_add_up(self, kata):
        """The middle pixel of 3 × 3 is in all four windows of a 2 × 2 kernel, a corner
        in one. Written, not added, each pixel would keep the entry of its last
        window only.
        """
        expected = np.array([[[[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]]])
        unlike = {"the last entry only: written, not added": np.ones((1, 1, 3, 3))}
        check.close(
            kata.col2im(np.ones((1, 4, 4)), (1, 1, 3, 3), 2), expected, unlike=unlike
        )

    def test_pixels_without_a_window_are_zero(self, kata):
        """With stride 3 and a 2 × 2 kernel, every third row and column of 6 × 8 is in
        no window.
        """
        got = kata.col2im(np.ones((2, 12, 6)), (2, 3, 6, 8), 2, 3)
        seen = np.outer([1, 1, 0, 1, 1, 0], [1, 1, 0, 1, 1, 0, 1, 1]).astype(float)
        check.close(got, np.broadcast_to(seen, (2, 3, 6, 8)).copy())

    def test_the_padding_is_dropped(self, kata):
        """Entries that came from the padding belong to no pixel. The result has the
        shape of the images.
        """
        cols = normal(2, 27, 20)
        expected = by_torch(F.fold, cols, output_size=(4, 5), kernel_size=3, padding=1)
        padded = by_torch(F.fold, cols, output_size=(6, 7), kernel_size=3)
        unlike = {"cut at the lower right only": padded[:, :, :4, :5]}
        check.close(
            kata.col2im(cols, (2, 3, 4, 5), 3, padding=1), expected, unlike=unlike
        )

    @given(case=geometries())
    def test_it_is_the_adjoint_of_im2col(self, kata, case):
        """Each entry goes back along the way it came: for any images x and columns c,
        the sum of im2col(x) · c is that of x · col2im(c). This makes it the gradient
        of im2col.
        """
        height, width, kernel, stride, padding = case
        x = normal(2, 3, height, width)
        unfolded = by_torch(
            F.unfold, x, kernel_size=kernel, stride=stride, padding=padding
        )
        cols = normal(*unfolded.shape, seed=1)
        got = kata.col2im(cols, x.shape, kernel, stride, padding)
        check.that(
            np.shape(got) == x.shape,
            f"the result has shape {np.shape(got)}, expected {x.shape}",
        )
        check.close(
            float((x * got).sum()),
            float((unfolded * cols).sum()),
            what="the sum of x · col2im(c)",
        )

    @pytest.mark.edge
    def test_float32_stays_float32(self, kata):
        """The gradient of float32 images needs no float64."""
        got = kata.col2im(np.ones((1, 4, 4), dtype=np.float32), (1, 1, 3, 3), 2).dtype
        check.that(got == np.float32, f"float32 came out as {got}")


class TestConv2dFunction:
    @pytest.mark.parametrize("kernel, stride, padding", SETTINGS)
    def test_equals_pytorch(self, kata, kernel, stride, padding):
        """One product of kernels (O, C·K·K) and columns (C·K·K, L) per image, brought
        back to rows and columns.
        """
        x, weight, _ = images_and_kernels(kernel)
        got = check.data(kata.conv2d(tensor(x), tensor(weight), None, stride, padding))
        expected = by_torch(F.conv2d, x, weight, stride=stride, padding=padding)
        unlike = {
            "height and width exchanged": expected.reshape(
                *expected.shape[:2], *expected.shape[:1:-1]
            )
        }
        check.close(got, expected, unlike=unlike)

    def test_one_bias_per_output_channel(self, kata):
        """The output is 4 × 4 here, so a bias (4,) would also broadcast along a row,
        without an error.
        """
        x, weight, bias = images_and_kernels(2, size=(5, 5))
        bare = by_torch(F.conv2d, x, weight)
        got = check.data(kata.conv2d(tensor(x), tensor(weight), tensor(bias)))
        unlike = {
            "without the bias": bare,
            "the bias added along each row": bare + bias,
        }
        check.close(got, bare + bias[:, None, None], unlike=unlike)

    @given(case=geometries())
    def test_any_size(self, kata, case):
        """For any height, width, kernel, stride and padding that fit, in float32,
        to 1e-5.
        """
        height, width, kernel, stride, padding = case
        x, weight, bias = images_and_kernels(kernel, size=(height, width))
        got = kata.conv2d(
            *(tensor(a, np.float32) for a in (x, weight, bias)),
            stride=stride,
            padding=padding,
        )
        expected = by_torch(F.conv2d, x, weight, bias, stride=stride, padding=padding)
        check.close(check.data(got), expected, atol=1e-5)

    def test_it_announces_itself_with_its_inputs(self, kata):
        """The walk back starts at the node: the operation "conv2d", and the Tensors x,
        weight and bias themselves. Without a bias, there are two.
        """
        x, weight, bias = (tensor(a, requires_grad=True) for a in images_and_kernels(2))
        for inputs in ((x, weight, bias), (x, weight)):
            node = node_of(kata.conv2d(*inputs), "conv2d")
            check.equal(node.op, "conv2d", what="node.op")
            same = [a is b for a, b in zip(node.inputs, inputs)]
            fine = len(node.inputs) >= len(inputs) and all(same)
            check.that(
                fine,
                f"node.inputs must be the Tensors {', '.join(NAMES[: len(inputs)])}, "
                "in this order",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (2, 4, 5, 7)], ids=str)
    def test_another_shape_is_refused(self, kata, shape):
        """Kernels of 1 channel need (B, 1, H, W). One image alone has no batch, and no
        channel is left out or repeated: four channels would broadcast with one.
        """
        with check.raises(ValueError):
            kata.conv2d(tensor(normal(*shape)), tensor(normal(4, 1, 2, 2)))

    @pytest.mark.edge
    def test_a_transposed_view_in_float32(self, kata):
        """Images with channels last are often transposed, not copied. float32
        stays float32.
        """
        from tinytorch.tensor import Tensor

        x, weight = (
            normal(2, 5, 4, 3).astype(np.float32).transpose(0, 3, 1, 2),
            normal(4, 3, 2, 2, seed=1),
        )
        got = check.data(kata.conv2d(Tensor(x), tensor(weight, np.float32)))
        check.close(got, by_torch(F.conv2d, x.astype(np.float64), weight))
        check.that(got.dtype == np.float32, f"float32 came out as {got.dtype}")


class TestConv2dRule:
    @pytest.mark.parametrize("kernel, stride, padding", SETTINGS)
    def test_gradients_of_images_kernels_and_bias(self, kata, kernel, stride, padding):
        """All three, as PyTorch has them. Kernels and bias were used at each position
        of each image, so their gradients are sums over positions and batch; every
        gradient has the shape of its input.
        """
        arrays = images_and_kernels(kernel)
        out = kata.conv2d(
            *(tensor(a, requires_grad=True) for a in arrays),
            stride=stride,
            padding=padding,
        )
        grad = normal(*out.shape, seed=3)
        expected = gradients_by_torch(
            F.conv2d, grad, *arrays, stride=stride, padding=padding
        )
        alone = gradients_by_torch(
            F.conv2d,
            grad[:1],
            arrays[0][:1],
            *arrays[1:],
            stride=stride,
            padding=padding,
        )
        got = gradients(kata.conv2d_rule, out, "conv2d", grad)
        for name, part, right, first in zip(NAMES, got, expected, alone):
            unlike = {"half of it: the mean over the images, not the sum": right / 2}
            unlike |= {} if name == "x" else {"that of the first image only": first}
            check.close(part, right, what=f"the gradient of {name}", unlike=unlike)

    def test_without_a_bias(self, kata):
        """Two inputs, two gradients."""
        arrays = images_and_kernels(2)[:2]
        out = kata.conv2d(*(tensor(a, requires_grad=True) for a in arrays))
        grad = normal(*out.shape, seed=3)
        got = gradients(kata.conv2d_rule, out, "conv2d", grad)
        for name, part, right in zip(
            NAMES, got, gradients_by_torch(F.conv2d, grad, *arrays)
        ):
            check.close(part, right, what=f"the gradient of {name}")

    def test_rows_that_no_window_read_have_no_gradient(self, kata):
        """Stride 3 and a 2 × 2 kernel skip every third row and column. A rule without
        the stride puts the gradients of neighbouring windows next to each other.
        """
        x, weight = (
            tensor(np.ones((1, 1, 6, 6)), requires_grad=True),
            tensor(np.ones((1, 1, 2, 2)), requires_grad=True),
        )
        out = kata.conv2d(x, weight, stride=3)
        got = gradients(kata.conv2d_rule, out, "conv2d", np.ones((1, 1, 2, 2)))
        seen = np.outer([1.0, 1, 0, 1, 1, 0], [1, 1, 0, 1, 1, 0])
        check.close(got[0], seen[None, None], what="the gradient of x")

    def test_backward_finds_the_rule(self, kata):
        """`backward` looks the rule up by the announced name. Images need no gradient
        in the first layer: weight and bias get theirs, x gets none.
        """
        arrays = images_and_kernels(3)
        x, weight, bias = (
            tensor(arrays[0]),
            *(tensor(a, requires_grad=True) for a in arrays[1:]),
        )
        out = kata.conv2d(x, weight, bias)
        node_of(out, "conv2d")
        with own_rules(kata):
            (out * out).sum().backward()
        expected = gradients_by_torch(F.conv2d, 2 * out.data, *arrays)
        check.that(
            x.grad is None, "x.grad is set, though x does not require a gradient"
        )
        for name, leaf, right in zip(NAMES[1:], (weight, bias), expected[1:]):
            check.that(leaf.grad is not None, f"no gradient reached {name}")
            check.close(leaf.grad, right, what=f"{name}.grad")


class TestConv2dLayer:
    def test_parameters(self, kata):
        """A kernel (C, K, K) per output channel and one bias each, float32 Parameters
        under their own names. `rng` is keyword only, as in Linear.
        """
        layer = kata.Conv2d(3, 5, 2, rng=np.random.default_rng(0))
        got = {name: p.data for name, p in layer.named_parameters()}
        check.that(
            list(got) == ["weight", "bias"],
            f"parameters {list(got)}, expected weight and bias",
        )
        for name, shape in (("weight", (5, 3, 2, 2)), ("bias", (5,))):
            check.that(
                got[name].shape == shape,
                f"{name} has shape {got[name].shape}, expected {shape}",
            )
            check.that(
                got[name].dtype == np.float32,
                f"{name} is {got[name].dtype}, expected float32",
            )

    def test_the_range_of_the_draws(self, kata):
        """Uniform within ±1/√(C·K·K) = ±1/6 for 4 channels and a 3 × 3 kernel, weight
        and bias: every output adds up 36 products, and this keeps its size about that
        of the inputs.
        """
        layer, bound = kata.Conv2d(4, 200, 3, rng=np.random.default_rng(0)), 1 / 6
        for name in ("weight", "bias"):
            values = getattr(layer, name).data
            largest, spread = np.abs(values).max(), values.std() / (bound / 3**0.5)
            fine = 0.9 * bound < largest <= bound + 1e-6
            slips = {
                "within ±1/√(K·K), without the channels": 1 / 3,
                "within ±1/√C, without the kernel's size": 1 / 2,
                "within ±1/(C·K·K), without the root": 1 / 36,
                "within ±1/√(O·K·K), of the output channels": 1 / 1800**0.5,
            }
            like = next(
                (
                    slip
                    for slip, wrong in slips.items()
                    if 0.95 * wrong < largest <= wrong + 1e-6
                ),
                "",
            )
            check.that(
                fine,
                f"the largest {name} is {largest:.4f}, expected just below {bound:.4f}",
                like=like,
            )
            check.that(
                0.85 < spread < 1.15,
                f"{name} is not uniform: its spread is {spread:.2f} times the "
                "expected one",
            )
            check.that(
                abs(values.mean()) < 0.2 * bound,
                f"the mean of {name} is {values.mean():.4f}, expected about 0",
            )

    def test_the_same_seed_gives_the_same_layer(self, kata):
        """All draws come from `rng`; without one, from the framework's generator, which
        `manual_seed` restarts.
        """
        from tinytorch.setup import manual_seed

        first, second = (
            kata.Conv2d(2, 3, 2, rng=np.random.default_rng(7)) for _ in range(2)
        )
        check.equal(
            second.weight.data, first.weight.data, what="the weight for the same rng"
        )
        made = []
        for _ in range(2):
            manual_seed(5)
            made.append(kata.Conv2d(2, 3, 2).weight.data)
        check.equal(made[1], made[0], what="the weight after the same manual_seed")

    def test_forward_uses_stride_padding_and_bias(self, kata):
        """The given forward calls `conv2d` with what the layer keeps."""
        x = normal(2, 3, 6, 7)
        for options in ({"stride": 2, "padding": 1}, {"padding": 2, "bias": False}):
            layer = kata.Conv2d(3, 4, 3, **options)
            bias = (
                np.zeros(4)
                if layer.bias is None
                else layer.bias.data.astype(np.float64)
            )
            rest = {name: value for name, value in options.items() if name != "bias"}
            expected = by_torch(
                F.conv2d, x, layer.weight.data.astype(np.float64), bias, **rest
            )
            check.close(check.data(layer(tensor(x))), expected, rtol=1e-4, atol=1e-5)

    def test_without_a_bias(self, kata):
        """bias=False leaves one parameter, the weight."""
        layer = kata.Conv2d(3, 4, 2, bias=False)
        check.that(
            layer.bias is None,
            f"layer.bias is {check.describe(layer.bias)}, expected None",
        )
        check.equal(
            [name for name, _ in layer.named_parameters()],
            ["weight"],
            what="the names of the parameters",
        )


class TestMaxPool2d:
    def test_the_largest_of_each_window(self, kata):
        """2 × 2 windows side by side, each channel of each image by itself."""
        x = normal(2, 3, 4, 6)
        windows = x.reshape(2, 3, 2, 2, 3, 2)
        unlike = {
            "the mean, not the largest": windows.mean(axis=(3, 5)),
            "the smallest": windows.min(axis=(3, 5)),
        }
        check.close(
            check.data(kata.max_pool2d(tensor(x), 2)),
            by_torch(F.max_pool2d, x, kernel_size=2),
            unlike=unlike,
        )

    def test_windows_that_do_not_fit_are_dropped(self, kata):
        """5 rows and 7 columns hold 2 × 3 windows. The last row and the last column are
        in none.
        """
        x = normal(2, 3, 5, 7)
        check.close(
            check.data(kata.max_pool2d(tensor(x), 2)),
            by_torch(F.max_pool2d, x, kernel_size=2),
        )

    @pytest.mark.parametrize("kernel, stride", [(3, 2), (2, 1), (2, 3)])
    def test_a_stride_of_its_own(self, kata, kernel, stride):
        """Windows overlap if the stride is smaller than the kernel, and leave gaps if
        it is larger.
        """
        x = normal(2, 3, 7, 8)
        got = check.data(kata.max_pool2d(tensor(x), kernel, stride))
        check.close(got, by_torch(F.max_pool2d, x, kernel_size=kernel, stride=stride))

    def test_negative_values(self, kata):
        """The largest of -1, -2, -3 and -4 is -1. Nothing is padded, and no maximum
        starts from 0.
        """
        x = np.array([[[[-1.0, -2], [-3, -4]]]])
        unlike = {"0, which is in no window": np.zeros((1, 1, 1, 1))}
        check.close(
            check.data(kata.max_pool2d(tensor(x), 2)),
            np.full((1, 1, 1, 1), -1.0),
            unlike=unlike,
        )

    def test_it_announces_itself(self, kata):
        """As "max_pool2d", with the Tensor x."""
        x = tensor(normal(2, 3, 4, 6), requires_grad=True)
        node = node_of(kata.max_pool2d(x, 2), "max_pool2d")
        check.equal(node.op, "max_pool2d", what="node.op")
        check.that(
            len(node.inputs) == 1 and node.inputs[0] is x,
            "node.inputs must be the tuple of x itself",
        )

    @pytest.mark.edge
    def test_a_transposed_view_in_float32(self, kata):
        """Images with channels last are often transposed, not copied. float32
        stays float32.
        """
        from tinytorch.tensor import Tensor

        x = normal(2, 5, 7, 3).astype(np.float32).transpose(0, 3, 1, 2)
        check.equal(
            check.data(kata.max_pool2d(Tensor(x), 2)),
            by_torch(F.max_pool2d, x, kernel_size=2),
        )


class TestMaxPool2dRule:
    def test_the_largest_gets_all(self, kata):
        """Only the largest pixel of a window could change the output. It gets the
        window's gradient, the others get nothing.
        """
        x = tensor([[[[1.0, 4, 2, 3], [3, 2, 9, 5]]]], requires_grad=True)
        out = kata.max_pool2d(x, 2)
        got = gradients(
            kata.max_pool2d_rule, out, "max_pool2d", np.array([[[[10.0, 20.0]]]])
        )
        expected = np.array([[[[0.0, 10, 0, 0], [0, 0, 20, 0]]]])
        unlike = {
            "every pixel of the window gets it": np.array([[[[10.0, 10, 20, 20]] * 2]]),
            "1 for the largest, without grad": expected.clip(0, 1),
            "an equal share for every pixel of the window": np.array(
                [[[[2.5, 2.5, 5, 5]] * 2]]
            ),
        }
        check.close(got[0], expected, unlike=unlike, what="the gradient of x")

    def test_overlapping_windows_add_their_gradients(self, kata):
        """With kernel 2 and stride 1, the 9 in the middle is the largest of
        four windows.
        """
        image = np.array([[[[1.0, 2, 3], [4, 9, 5], [6, 7, 8]]]])
        out = kata.max_pool2d(tensor(image, requires_grad=True), 2, 1)
        got = gradients(
            kata.max_pool2d_rule,
            out,
            "max_pool2d",
            np.array([[[[1.0, 20], [300, 4000]]]]),
        )
        expected = np.where(image == 9, 4321.0, 0.0)
        unlike = {
            "the gradient of the last window only: written, not added": np.where(
                image == 9, 4000.0, 0.0
            )
        }
        check.close(got[0], expected, unlike=unlike, what="the gradient of x")

    @pytest.mark.parametrize("kernel, stride", [(2, None), (3, 2), (2, 3)])
    def test_equals_pytorch(self, kata, kernel, stride):
        """For several images and channels, and sizes that leave a rest: pixels in no
        window have the gradient 0.
        """
        x = normal(2, 3, 7, 8)
        out = kata.max_pool2d(tensor(x, requires_grad=True), kernel, stride)
        grad = normal(*out.shape, seed=3)
        (expected,) = gradients_by_torch(
            F.max_pool2d, grad, x, kernel_size=kernel, stride=stride
        )
        got = gradients(kata.max_pool2d_rule, out, "max_pool2d", grad)
        check.close(got[0], expected, what="the gradient of x")

    def test_backward_finds_the_rule(self, kata):
        """`backward` looks the rule up by the announced name."""
        x = tensor(normal(2, 3, 4, 6), requires_grad=True)
        out = kata.max_pool2d(x, 2)
        node_of(out, "max_pool2d")
        with own_rules(kata):
            out.sum().backward()
        (expected,) = gradients_by_torch(
            F.max_pool2d, np.ones((2, 3, 2, 3)), x.data, kernel_size=2
        )
        check.that(x.grad is not None, "no gradient reached x")
        check.close(x.grad, expected, what="x.grad")

    @pytest.mark.edge
    def test_equal_maxima(self, kata):
        """After ReLU, whole windows are 0. The first pixel in row order gets the
        gradient, as in PyTorch: given to all four, it would count four times.
        """
        image = np.array([[[[0.0, 0, 1, 7], [0, 0, 7, 7]]]])
        out = kata.max_pool2d(tensor(image, requires_grad=True), 2)
        got = gradients(
            kata.max_pool2d_rule, out, "max_pool2d", np.array([[[[12.0, 24.0]]]])
        )
        unlike = {
            "all of the largest get the whole gradient": np.array(
                [[[[12.0, 12, 0, 24], [12, 12, 24, 24]]]]
            ),
            "shared among the largest": np.array([[[[3.0, 3, 0, 8], [3, 3, 8, 8]]]]),
            "the last of the largest gets it": np.array(
                [[[[0.0, 0, 0, 0], [0, 12, 0, 24]]]]
            ),
        }
        expected = np.array([[[[12.0, 0, 0, 24], [0, 0, 0, 0]]]])
        check.close(got[0], expected, unlike=unlike, what="the gradient of x")


class TestFlatten:
    def test_one_row_per_image(self, kata):
        """The batch stays, everything behind it becomes one dimension: channel by
        channel, row by row.
        """
        x = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
        unlike = {
            "the batch flattened, too": x.reshape(-1),
            "one column per image": x.reshape(2, -1).T,
        }
        check.close(
            check.data(kata.Flatten()(tensor(x))), x.reshape(2, 60), unlike=unlike
        )

    def test_from_another_dimension_on(self, kata):
        """Flatten(2) keeps two dimensions, Flatten(0) none."""
        x = normal(2, 3, 4, 5)
        for start, shape in ((2, (2, 3, 20)), (3, (2, 3, 4, 5)), (0, (120,))):
            got = check.data(kata.Flatten(start)(tensor(x)))
            check.close(got, x.reshape(shape), what=f"the output of Flatten({start})")

    def test_gradients_find_the_way_back(self, kata):
        """Made of a Tensor operation, the layer needs no rule of its own."""
        x, weights = tensor(normal(2, 3, 4), requires_grad=True), normal(2, 12, seed=1)
        out = kata.Flatten()(x)
        check.that(
            out.requires_grad,
            "the result is not connected to its input: no gradient can go back",
        )
        (out * tensor(weights)).sum().backward()
        check.that(x.grad is not None, "no gradient reached x")
        check.close(x.grad, weights.reshape(2, 3, 4), what="x.grad")


class TestMakeCnn:
    def test_the_layers_in_order(self, kata):
        """Per entry of `channels`: convolution, ReLU, pool. Then one row per image, and
        a linear layer. What one layer gives is what the next one takes.
        """
        names = [type(layer).__name__ for layer in kata.make_cnn(28)]
        expected = ["Conv2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten", "Linear"]
        check.that(
            names == expected,
            f"the layers are {', '.join(names)}, expected {', '.join(expected)}",
        )
        layers = [
            layer
            for layer in kata.make_cnn(24, 3, (4, 6, 5), 7)
            if hasattr(layer, "weight")
        ]
        expected = [(4, 3, 3, 3), (6, 4, 3, 3), (5, 6, 3, 3), (7, 5)]
        check.equal(
            [layer.weight.shape for layer in layers],
            expected,
            what="shapes of the weights, layer by layer",
        )

    @pytest.mark.parametrize("size, padding, side", [(28, 0, 5), (8, 1, 2), (12, 0, 1)])
    def test_the_linear_layer_fits(self, kata, size, padding, side):
        """Follow the side through the layers: a convolution takes kernel - 1 pixels
        off, unless they are padded, and a pool halves, rounding down. 28 pixels leave
        5 · 5, 8 with padding 1 leave 2 · 2.
        """
        net = kata.make_cnn(size, padding=padding)
        linear = list(net)[-1]
        unlike = {
            "without the pools": 32 * (size - 4 + 4 * padding) ** 2,
            "without what the kernels take off": 32 * (size // 4) ** 2,
            "one side, not side · side": 32 * side,
        }
        unlike = {
            name: wrong for name, wrong in unlike.items() if wrong != 32 * side**2
        }
        check.equal(
            linear.weight.shape[1],
            32 * side**2,
            what="inputs of the Linear",
            unlike=unlike,
        )
        out = check.data(net(tensor(normal(3, 1, size, size), np.float32)))
        check.that(
            out.shape == (3, 10), f"the output has shape {out.shape}, expected (3, 10)"
        )

    def test_pools_shrink_the_linear_layer(self, kata):
        """A pool has no parameters itself. But each 2 × 2 pool quarters the positions,
        and so the inputs of the Linear: 32 pixels with padding and 5 channels leave
        5 · 16 · 16, 5 · 8 · 8 and 5 · 4 · 4 after one, two and three.
        """
        for depth, expected in ((1, 1280), (2, 320), (3, 80)):
            net = kata.make_cnn(32, channels=(5,) * depth, num_classes=4, padding=1)
            inputs = list(net)[-1].weight.shape[1]
            check.equal(
                inputs, expected, what=f"inputs of the Linear after {depth} pools"
            )
            total = (1 * 9 + 1) * 5 + (depth - 1) * (5 * 9 + 1) * 5 + (expected + 1) * 4
            check.equal(
                sum(p.size for p in net.parameters()),
                total,
                what=f"parameters with {depth} pools",
            )

    def test_logits_and_gradients(self, kata):
        """With the same weights, PyTorch's layers give the same logits and the same
        gradients, for every parameter.
        """
        net = kata.make_cnn(
            8, 2, (3, 4), 5, kernel_size=2, padding=1, rng=np.random.default_rng(0)
        )
        for parameter in net.parameters():
            parameter.data = parameter.data.astype(np.float64)
        x, weights = normal(2, 2, 8, 8), normal(2, 5, seed=1)
        layers = [layer for layer in net if hasattr(layer, "weight")]
        ours = {
            f"layer {i}'s {name}": getattr(x, name)
            for i, x in enumerate(layers, 1)
            for name in ("weight", "bias")
        }
        w1, b1, w2, b2, w3, b3 = leaves = [
            torch.tensor(p.data, requires_grad=True) for p in ours.values()
        ]
        hidden = F.max_pool2d(F.conv2d(torch.tensor(x), w1, b1, padding=1).relu(), 2)
        hidden = F.max_pool2d(F.conv2d(hidden, w2, b2, padding=1).relu(), 2)
        oracle = F.linear(hidden.flatten(1), w3, b3)
        oracle.backward(torch.tensor(weights))
        with own_rules(kata):
            out = net(tensor(x))
            check.close(check.data(out), oracle.detach().numpy(), what="the logits")
            out.backward(weights)
        for (name, mine), right in zip(ours.items(), leaves):
            check.that(mine.grad is not None, f"no gradient reached {name}")
            check.close(mine.grad, right.grad.numpy(), what=f"the gradient of {name}")

    def test_the_same_rng_gives_the_same_network(self, kata):
        """`rng` is passed on to every layer. Each layer goes on drawing where the one
        before stopped.
        """
        first, second = (
            kata.make_cnn(8, 4, (4, 4), padding=1, rng=np.random.default_rng(3))
            for _ in range(2)
        )
        for (name, a), b in zip(first.named_parameters(), second.parameters()):
            check.equal(b.data, a.data, what=f"{name} for the same rng")
        kernels = [
            layer.weight.data for layer in first if type(layer).__name__ == "Conv2d"
        ]
        check.that(
            not np.array_equal(*kernels), "both convolutions drew the same numbers"
        )

    @pytest.mark.edge
    def test_an_image_that_is_too_small(self, kata):
        """5 pixels: convolution 3, pool 1, and the next kernel of 3 does not fit.
        Better here than in the forward.
        """
        with check.raises(ValueError):
            kata.make_cnn(5)


@pytest.mark.stretch
class TestConvCost:
    def test_sizes_and_parameters(self, kata):
        """x (2, 3, 7, 5), four 3 × 3 kernels, stride 2, padding 1: 4 · 3 positions. A
        kernel has 3 · 9 weights and one bias, whatever the size of the images.
        """
        got = kata.conv_cost((2, 3, 7, 5), 4, 3, 2, 1)
        layer = torch.nn.Conv2d(3, 4, 3, 2, 1)
        out = layer(torch.zeros(2, 3, 7, 5))
        check.equal(got["output_shape"], tuple(out.shape), what="output_shape")
        unlike = {
            "of one input channel only": 4 * 9 + 4,
            "without the biases": 4 * 3 * 9,
        }
        check.equal(
            got["parameters"],
            sum(p.numel() for p in layer.parameters()),
            what="parameters",
            unlike=unlike,
        )
        check.equal(got["output_bytes"], out.nbytes, what="output_bytes")

    def test_multiply_adds(self, kata):
        """Each output number takes one multiply-add per weight of its kernel: 2
        images · 4 channels · 12 positions times 27.
        """
        unlike = {
            "of one image only": 4 * 12 * 27,
            "of one input channel only": 2 * 4 * 12 * 9,
            "of one output channel only": 2 * 12 * 27,
            "of every pixel of x, not of every position": 2 * 4 * 35 * 27,
        }
        got = kata.conv_cost((2, 3, 7, 5), 4, 3, 2, 1)["multiply_adds"]
        check.equal(got, 2 * 4 * 12 * 27, what="multiply_adds", unlike=unlike)

    def test_the_bytes_of_im2col(self, kata):
        """As many as the real array has: every pixel about K · K times."""
        x = torch.zeros(2, 3, 7, 5)
        for kernel, stride, padding in ((3, 2, 1), (2, 1, 0)):
            cols = F.unfold(x, kernel, stride=stride, padding=padding)
            got = kata.conv_cost((2, 3, 7, 5), 4, kernel, stride, padding)[
                "im2col_bytes"
            ]
            unlike = {
                "of one image only": cols.nbytes // 2,
                "itemsize is missing": cols.numel(),
            }
            check.equal(got, cols.nbytes, what="im2col_bytes", unlike=unlike)

    @pytest.mark.parametrize("bias, itemsize", [(True, 4), (False, 4), (True, 8)])
    def test_bytes_moved(self, kata, bias, itemsize):
        """x, weight, bias and output, each once: so much must at least go through the
        memory. The weights count once, not once per image, and the columns of im2col do
        not count. The ratio says how much work a byte gives.
        """
        got = kata.conv_cost((2, 3, 7, 5), 4, 3, 2, 1, bias=bias, itemsize=itemsize)
        dtype = np.float32 if itemsize == 4 else np.float64
        x, weight, out, b = (
            np.zeros(shape, dtype)
            for shape in ((2, 3, 7, 5), (4, 3, 3, 3), (2, 4, 4, 3), 4 * bias)
        )
        expected = x.nbytes + weight.nbytes + out.nbytes + b.nbytes
        unlike = {
            "the weights are missing": x.nbytes + out.nbytes,
            "weights and bias once per image": expected + weight.nbytes + b.nbytes,
            "the columns of im2col counted, too": expected + 2 * 27 * 12 * itemsize,
        }
        check.equal(got["bytes_moved"], expected, what="bytes_moved", unlike=unlike)
        check.equal(got["output_bytes"], out.nbytes, what="output_bytes")
        ratio = 2 * 4 * 12 * 27 / expected
        unlike = {"bytes per multiply-add": 1 / ratio}
        check.close(
            got["multiply_adds_per_byte"],
            ratio,
            unlike=unlike,
            what="multiply_adds_per_byte",
        )

    @pytest.mark.parametrize("bias", [True, False])
    def test_a_linear_layer_needs_far_more(self, kata, bias):
        """A Linear from all 105 inputs of an image to all 48 outputs has a weight for
        each pair. The convolution uses few of them, the same ones at every position.
        """
        linear = torch.nn.Linear(3 * 7 * 5, 4 * 4 * 3, bias=bias)
        got = kata.conv_cost((2, 3, 7, 5), 4, 3, 2, 1, bias=bias)
        check.equal(
            got["linear_parameters"],
            sum(p.numel() for p in linear.parameters()),
            what="linear_parameters",
        )
        check.equal(got["parameters"], 4 * 27 + 4 * bias, what="parameters")


@pytest.mark.stretch
class TestConvScaling:
    def test_memory_grows_with_the_square_of_the_kernel(self, kata):
        """Twice the kernel, four times the columns: every pixel is copied
        K · K times.
        """
        got = kata.conv_scaling([3, 5, 21])
        check.equal(list(got["sizes"]), [3, 5, 21], what="sizes")
        exponent = got["exponent"]
        bare = np.polyfit(
            np.log([3, 5, 21]), np.log([(k * (25 - k)) ** 2 for k in (3, 5, 21)]), 1
        )[0]
        slip = (
            "without padding: a larger kernel has fewer positions"
            if abs(exponent - bare) < 0.1
            else ""
        )
        check.that(
            abs(exponent - 2) <= 0.25,
            f"the exponent is {exponent:.2f}, expected about 2",
            like=slip,
        )

    def test_memory_grows_with_the_image(self, kata):
        """`image_size` is used: twice the side, four times the positions."""
        small, large = (
            kata.conv_scaling([3, 5], image_size=size)["values"][1] for size in (16, 32)
        )
        slip = (
            "nothing that is measured depends on image_size"
            if 0.98 < large / small < 1.02
            else ""
        )
        told = f"twice the side takes {large / small:.2f} times the memory, expected 4"
        check.that(3 <= large / small <= 5, told, like=slip)


@pytest.mark.stretch
class TestReceptiveField:
    def test_two_convolutions_a_pool_and_a_third(self, kata):
        """A 3 × 3 kernel sees 3 pixels; a second one adds 2. A 2 × 2 pool adds 1, and
        from then on every step is two pixels of the input, so that the third kernel
        adds 4.
        """
        unlike = {
            "kernel - 1 added whatever the strides": [3, 5, 6, 8],
            "the layer's own stride counted": [3, 5, 7, 11],
            "the kernel added, not one less": [4, 7, 9, 15],
            "strides added, not multiplied": [3, 7, 10, 20],
            "the last layer's alone": 10,
        }
        check.equal(
            kata.receptive_field([(3, 1), (3, 1), (2, 2), (3, 1)]),
            [3, 5, 6, 10],
            unlike=unlike,
        )

    @settings(max_examples=10)
    @given(case=stacks())
    def test_any_stack(self, kata, case):
        """The pixels are followed back through the layers, from the first output to the
        first and last input.
        """
        expected = []
        for depth in range(1, len(case) + 1):
            last = 0  # of what output 0 depends on; the first is always 0
            for kernel, stride in reversed(case[:depth]):
                last = last * stride + kernel - 1
            expected.append(last + 1)
        check.equal(list(kata.receptive_field(case)), expected)
