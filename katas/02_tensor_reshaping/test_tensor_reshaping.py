"""Specs of 02: rows, batch dimensions, channels, flat samples and back, views and
copies, turns, a grid of images.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

N, C, H, W = 2, 3, 4, 5  # images, channels, rows, columns


def counting(*shape, dtype=torch.float32):
    """0, 1, 2, … in that shape: every number says where it came from."""
    return torch.arange(math.prod(shape)).reshape(shape).to(dtype)


def transposed(*shape):
    """A non-contiguous tensor of that shape: its memory holds the dimensions in the
    opposite order.
    """
    return counting(*reversed(shape)).permute(*range(len(shape) - 1, -1, -1))


def planes(images):
    """(N, H, W, C) → (N, C, H, W), one channel after the other."""
    return torch.stack([images[..., c] for c in range(images.shape[-1])], dim=1)


def rows(x):
    """One row per sample of a batch that is not empty."""
    return torch.stack([sample.flatten() for sample in x])


def turns(a, b, dim):
    """a₀, b₀, a₁, b₁, … along `dim`, slice by slice."""
    pairs = zip(a.split(1, dim), b.split(1, dim), strict=True)
    return torch.cat([piece for pair in pairs for piece in pair], dim)


def grid_by_hand(images, columns):
    """The grid, image by image."""
    count, channels, height, width = images.shape
    grid = torch.zeros(
        channels, -(-count // columns) * height, columns * width, dtype=images.dtype
    )
    for n, image in enumerate(images):
        top, left = n // columns * height, n % columns * width
        grid[:, top : top + height, left : left + width] = image
    return grid


def shapes(fewest, most):
    """Shapes of so many dimensions, with sizes from 1 to 4."""
    return st.lists(st.integers(1, 4), min_size=fewest, max_size=most).map(tuple)


class TestToRows:
    def test_the_numbers_fill_row_after_row(self, kata):
        """The first row holds the first `columns` numbers, the second row the next
        ones. The numbers keep their order.
        """
        x = counting(12)
        expected = torch.tensor([[0.0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
        unlike = {
            "`columns` taken for the number of rows": x.reshape(4, 3),
            "the columns are filled first": x.reshape(4, 3).mT,
        }
        check.equal(kata.to_rows(x, 4), expected, unlike=unlike)

    def test_one_row_or_one_column(self, kata):
        """The number of rows follows from the number of elements: 5 numbers make one
        row of 5, or 5 rows of one.
        """
        check.equal(kata.to_rows(counting(5), 5), torch.tensor([[0.0, 1, 2, 3, 4]]))
        check.equal(
            kata.to_rows(counting(5), 1), torch.tensor([[0.0], [1], [2], [3], [4]])
        )


class TestSwapAxes:
    def test_rows_become_columns(self, kata):
        """Entry (r, c) goes to (c, r). Reshaping to (C, R) has the same shape, but
        regroups the numbers.
        """
        x = counting(2, 3)
        unlike = {
            "reshaped, which regroups the numbers instead of swapping the axes": (
                x.reshape(3, 2)
            )
        }
        check.equal(
            kata.swap_axes(x), torch.tensor([[0.0, 3], [1, 4], [2, 5]]), unlike=unlike
        )

    def test_a_square_matrix_is_swapped_too(self, kata):
        """A square matrix keeps its shape, but its numbers move: row 0 becomes
        column 0.
        """
        x = counting(3, 3)
        unlike = {"x itself: nothing was swapped": x}
        check.equal(
            kata.swap_axes(x),
            torch.tensor([[0.0, 3, 6], [1, 4, 7], [2, 5, 8]]),
            unlike=unlike,
        )


class TestAddBatchDim:
    def test_the_sample_becomes_a_batch_of_one(self, kata):
        """The new dimension of size 1 comes first, and element 0 of the batch is
        the sample.
        """
        sample = counting(C, H, W)
        unlike = {"the new dimension is the last one": counting(C, H, W, 1)}
        check.equal(kata.add_batch_dim(sample), counting(1, C, H, W), unlike=unlike)

    def test_nothing_is_copied(self, kata):
        """A new dimension changes the shape, not the numbers, so the batch is the same
        memory under another shape.
        """
        sample = counting(H, W)
        check.view_of(kata.add_batch_dim(sample), sample, what="the batch")

    def test_the_sample_keeps_its_shape(self, kata):
        """The caller goes on using the sample: `unsqueeze_`, with an underscore, would
        change the sample itself.
        """
        sample = counting(H, W)
        with check.unchanged(sample=sample):
            kata.add_batch_dim(sample)

    def test_gradients_reach_the_sample(self, kata):
        """A loss computed from the batch depends on the sample: the graph must not be
        cut between them.
        """
        check.gradients(
            kata.add_batch_dim, lambda x: x.reshape(1, H, W), torch.randn(H, W)
        )

    @pytest.mark.edge
    def test_a_number_becomes_a_batch_of_one_number(self, kata):
        """A sample may have no dimensions at all: a label is one. Its batch has the
        shape (1,).
        """
        check.equal(kata.add_batch_dim(torch.tensor(7)), torch.tensor([7]))

    @pytest.mark.edge
    def test_a_transposed_sample_is_not_copied_either(self, kata):
        """A dimension of size 1 fits in anywhere, whatever order the numbers have
        in memory.
        """
        sample = transposed(H, W)
        got = kata.add_batch_dim(sample)
        check.equal(got, counting(W, H).mT[None])
        check.view_of(got, sample, what="the batch")


@pytest.mark.stretch
class TestDropBatchDim:
    def test_the_only_sample_comes_out(self, kata):
        """A batch of one without its first dimension is its only sample."""
        batch = counting(1, H, W)
        check.equal(kata.drop_batch_dim(batch), counting(H, W))

    def test_other_dimensions_of_size_1_stay(self, kata):
        """A grey image has one channel, and still has it afterwards: only the first
        dimension goes. `squeeze()` without a position removes every dimension of
        size 1.
        """
        for shape in ((1, 1, 5), (1, 3, 1), (1, 1, 1)):
            got = kata.drop_batch_dim(counting(*shape))
            unlike = {"every dimension of size 1 removed": counting(*shape).squeeze()}
            check.equal(
                got,
                counting(*shape[1:]),
                what=f"the sample of a batch {shape}",
                unlike=unlike,
            )

    def test_nothing_is_copied(self, kata):
        """The sample is the same memory under another shape."""
        batch = counting(1, H, W)
        check.view_of(kata.drop_batch_dim(batch), batch, what="the sample")

    def test_the_batch_keeps_its_shape(self, kata):
        """The caller goes on using the batch: `squeeze_`, with an underscore, would
        change the batch itself.
        """
        batch = counting(1, H, W)
        with check.unchanged(batch=batch):
            kata.drop_batch_dim(batch)

    def test_gradients_reach_the_batch(self, kata):
        """A loss computed from the sample depends on the batch: the graph must not be
        cut between them.
        """
        check.gradients(
            kata.drop_batch_dim, lambda x: x.reshape(H, W), torch.randn(1, H, W)
        )

    @pytest.mark.edge
    def test_a_batch_of_one_number_gives_the_number(self, kata):
        """(1,) is a batch of one number, and the number alone has the shape ()."""
        check.equal(kata.drop_batch_dim(torch.tensor([7])), torch.tensor(7))

    @pytest.mark.edge
    def test_a_transposed_batch_is_not_copied_either(self, kata):
        """A dimension of size 1 can be left out whatever order the numbers have
        in memory.
        """
        batch = transposed(1, H, W)
        got = kata.drop_batch_dim(batch)
        check.equal(got, torch.cat([batch[0]]))
        check.view_of(got, batch, what="the sample")

    @pytest.mark.edge
    def test_a_batch_of_two_is_refused(self, kata):
        """Taking element 0 would lose a sample, and `squeeze(0)` would do nothing at
        all. Neither raises an error.
        """
        for shape in ((2, H), (H, 1)):
            with check.raises(ValueError):
                kata.drop_batch_dim(counting(*shape))

    @pytest.mark.edge
    def test_an_empty_batch_is_refused(self, kata):
        """A batch of no samples has none to take out."""
        with check.raises(ValueError):
            kata.drop_batch_dim(torch.zeros(0, H))

    @pytest.mark.edge
    def test_a_tensor_without_dimensions_is_refused(self, kata):
        """A single number has no first dimension, so it is no batch."""
        with check.raises(ValueError):
            kata.drop_batch_dim(torch.tensor(7))


class TestNhwcToNchw:
    def test_channels_move_and_pixels_do_not(self, kata):
        """Channel c of image n is the plane images[n, :, :, c]. Reshaping to
        (N, C, H, W) has the same shape and only regroups numbers: red, green and blue
        of neighbouring pixels end up in one plane.
        """
        images = counting(N, H, W, C)
        unlike = {
            "reshaped, which regroups the numbers instead of moving the channels": (
                images.reshape(N, C, H, W)
            ),
            "the channels moved, then the planes reshaped": planes(images).mT.reshape(
                N, C, H, W
            ),
        }
        check.equal(kata.nhwc_to_nchw(images), planes(images), unlike=unlike)

    def test_rows_and_columns_are_not_swapped(self, kata):
        """Only the channels move. If H and W trade places as well, square images keep
        their shape and lie on their side.
        """
        images = counting(N, H, H, C)
        unlike = {"H and W are swapped: every image is transposed": planes(images).mT}
        check.equal(kata.nhwc_to_nchw(images), planes(images), unlike=unlike)

    def test_the_gradient_lands_on_the_right_pixel(self, kata):
        """A number's gradient goes back to where the number came from: from plane c to
        channel c of the same pixel.
        """
        check.gradients(kata.nhwc_to_nchw, planes, torch.randn(N, H, W, C))

    @pytest.mark.edge
    def test_the_result_is_contiguous(self, kata):
        """A permute alone renames dimensions and leaves the numbers where they are, so
        a later `view` would fail. The planes have to lie in memory one after the other.
        """
        for images in (counting(N, H, W, C), transposed(N, H, W, C)):
            got = kata.nhwc_to_nchw(images)
            check.equal(got, planes(images))
            ordered = planes(images).stride()
            check.that(
                got.is_contiguous(),
                f"the strides are {got.stride()}, in order they would be {ordered}",
            )

    @pytest.mark.edge
    def test_any_dtype_is_kept(self, kata):
        """Images often come as uint8, and masks as bool. Moving numbers changes
        no dtype.
        """
        for dtype in (torch.uint8, torch.bool, torch.float64, torch.bfloat16):
            images = counting(N, H, W, C).to(dtype)
            check.equal(
                kata.nhwc_to_nchw(images), planes(images), what=f"{dtype} images"
            )

    @pytest.mark.edge
    def test_the_images_stay_as_they_were(self, kata):
        """The caller may still need the images in their old layout."""
        images = counting(N, H, W, C)
        with check.unchanged(images=images):
            kata.nhwc_to_nchw(images)

    @pytest.mark.edge
    def test_only_four_dimensions_are_a_batch_of_images(self, kata):
        """A single image lacks N, and a video has one dimension more: say so instead
        of guessing.
        """
        for shape in ((H, W, C), (1, N, H, W, C)):
            with check.raises(ValueError):
                kata.nhwc_to_nchw(counting(*shape))


class TestFlattenSamples:
    def test_row_i_is_sample_i(self, kata):
        """The border between samples stays: row i has all elements of sample i and
        nothing of the others.
        """
        x = counting(N, C, H, W)
        flat, _ = kata.flatten_samples(x)
        unlike = {
            "everything in one row: the border between samples is lost": x.flatten(),
            "the samples are in the columns": rows(x).mT,
            "the samples are mixed: the rows take turns": x.reshape(-1, N).mT,
        }
        check.equal(flat, rows(x), unlike=unlike, what="flat")

    def test_the_shape_of_a_sample_comes_along(self, kata):
        """A row alone does not tell (3, 4) from (4, 3), so the way back needs the
        shape. N is no part of it: a later batch may have another N.
        """
        x = counting(N, C, H, W)
        _, sample_shape = kata.flatten_samples(x)
        unlike = {"the shape of the whole batch, N included": (N, C, H, W)}
        check.equal(
            tuple(sample_shape), (C, H, W), what="the sample shape", unlike=unlike
        )

    @given(shape=shapes(2, 4))
    def test_batches_of_any_shape(self, kata, shape):
        """Whatever the shape of a sample, its row is `x[i].flatten()`, and its shape
        comes along.
        """
        flat, sample_shape = kata.flatten_samples(counting(*shape))
        check.equal(flat, rows(counting(*shape)), what="flat")
        check.equal(tuple(sample_shape), shape[1:], what="the sample shape")

    def test_gradients_reach_the_batch(self, kata):
        """Many networks flatten in the middle, between convolutions and
        linear layers.
        """
        check.gradients(
            lambda x: kata.flatten_samples(x)[0], rows, torch.randn(N, C, H)
        )

    @pytest.mark.edge
    def test_the_sample_shape_is_a_plain_tuple(self, kata):
        """torch.Size behaves like a tuple, but is another class, which shows when the
        shape is printed or saved.
        """
        _, sample_shape = kata.flatten_samples(counting(N, C, H))
        kind = type(sample_shape)
        check.that(
            kind is tuple, f"the sample shape is a {kind.__name__}, not a plain tuple"
        )
        check.that(
            all(type(n) is int for n in sample_shape),
            f"its sizes should be plain ints: {sample_shape!r}",
        )

    @pytest.mark.edge
    def test_a_non_contiguous_batch_flattens(self, kata):
        """Elements come in the order in which x is indexed. Where memory has another
        order, `view` refuses.
        """
        x = transposed(N, C, H)
        flat, sample_shape = kata.flatten_samples(x)
        check.equal(flat, rows(x), what="flat")
        check.equal(tuple(sample_shape), (C, H), what="the sample shape")

    @pytest.mark.edge
    def test_a_batch_of_numbers_gets_one_column(self, kata):
        """A sample may be a single number: D is 1 then, and its shape is ()."""
        flat, sample_shape = kata.flatten_samples(counting(5))
        check.equal(flat, counting(5, 1), what="flat")
        check.equal(tuple(sample_shape), (), what="the sample shape")

    @pytest.mark.edge
    def test_an_empty_batch_keeps_its_width(self, kata):
        """The width of a row follows from the shape of a sample. The number of elements
        is 0 here, so -1 cannot be worked out.
        """
        flat, sample_shape = kata.flatten_samples(torch.zeros(0, C, H))
        check.shape(flat, (0, C * H), what="flat")
        check.equal(tuple(sample_shape), (C, H), what="the sample shape")

    @pytest.mark.edge
    def test_a_tensor_without_dimensions_is_refused(self, kata):
        """A single number is no batch: there is no N."""
        with check.raises(ValueError):
            kata.flatten_samples(torch.tensor(7))


class TestUnflattenSamples:
    def test_sample_i_is_row_i_in_its_shape(self, kata):
        """Each row gets its shape back, in the order in which it was laid out."""
        flat = counting(N, C * H * W)
        expected = torch.stack([row.reshape(C, H, W) for row in flat])
        unlike = {
            "the samples are mixed: the rows were read as columns": flat.mT.reshape(
                N, C, H, W
            )
        }
        check.equal(kata.unflatten_samples(flat, (C, H, W)), expected, unlike=unlike)

    def test_a_part_of_the_batch_unflattens(self, kata):
        """The shape is that of one sample, so it serves one row and three as well as
        the whole batch.
        """
        flat = counting(6, C * H)
        for part in (flat[:1], flat[2:5]):
            check.equal(
                kata.unflatten_samples(part, (C, H)),
                torch.stack([row.reshape(C, H) for row in part]),
            )

    @given(shape=shapes(2, 4))
    def test_undoes_the_flattening(self, kata, shape):
        """A batch that was laid out in rows comes back as it was, whatever
        its shape.
        """
        flat = rows(counting(*shape))
        check.equal(kata.unflatten_samples(flat, shape[1:]), counting(*shape))

    def test_gradients_reach_the_rows(self, kata):
        """A decoder ends here: it computes rows, and the loss compares images."""
        check.gradients(
            lambda flat: kata.unflatten_samples(flat, (C, H)),
            lambda flat: flat.reshape(N, C, H),
            torch.randn(N, C * H),
        )

    @pytest.mark.edge
    def test_the_shape_may_be_a_list_or_a_torch_size(self, kata):
        """Any sequence of sizes will do; `x.shape[1:]` is a torch.Size, and a shape
        read from a file is a list.
        """
        flat = counting(N, C * H)
        for sample_shape in ([C, H], torch.Size([C, H])):
            check.equal(
                kata.unflatten_samples(flat, sample_shape),
                counting(N, C, H),
                what=f"with {sample_shape!r}",
            )

    @pytest.mark.edge
    def test_one_column_and_no_shape_make_a_batch_of_numbers(self, kata):
        """A sample of shape () has one element: the product of no sizes is 1. (N, 1)
        becomes (N,).
        """
        check.equal(kata.unflatten_samples(counting(5, 1), ()), counting(5))

    @pytest.mark.edge
    def test_non_contiguous_rows_unflatten(self, kata):
        """The transpose of a matrix is not contiguous, and still holds rows
        of numbers.
        """
        flat = transposed(N, C * H)
        expected = torch.stack([torch.cat([row]).reshape(C, H) for row in flat])
        check.equal(kata.unflatten_samples(flat, (C, H)), expected)

    @pytest.mark.edge
    def test_an_empty_batch_unflattens(self, kata):
        """No samples, but their shape is known: the way back leads from (0, 12)
        to (0, 3, 4).
        """
        check.shape(kata.unflatten_samples(torch.zeros(0, C * H), (C, H)), (0, C, H))

    @pytest.mark.edge
    def test_rows_of_another_length_are_refused(self, kata):
        """6 rows of 4 numbers must not become 2 samples of 12: each sample is exactly
        one row. Compare D with the product of the sample shape, not with the number of
        all elements.
        """
        for flat, sample_shape in (
            (counting(6, 4), (C, 4)),
            (counting(2, 12), (3, 2)),
            (counting(2, 2), ()),
        ):
            with check.raises(ValueError):
                kata.unflatten_samples(flat, sample_shape)

    @pytest.mark.edge
    def test_a_wrong_shape_is_noticed_on_an_empty_batch_too(self, kata):
        """0 elements fit every shape with a 0, so torch does not complain; the mistake
        would show much later.
        """
        with check.raises(ValueError):
            kata.unflatten_samples(torch.zeros(0, 12), (C, 5))

    @pytest.mark.edge
    def test_minus_one_is_no_size(self, kata):
        """The shape of a sample is known, so there is nothing to fill in; a -1 in it is
        the caller's mistake.
        """
        with check.raises(ValueError):
            kata.unflatten_samples(counting(N, 12), (C, -1))

    @pytest.mark.edge
    def test_flat_must_be_two_dimensional(self, kata):
        """Without rows there is no telling where a sample ends, and (2, 12, 1) already
        has some other shape.
        """
        for shape in ((12,), (N, 12, 1), (1, N, 12)):
            with check.raises(ValueError):
                kata.unflatten_samples(counting(*shape), (C, 4))


@pytest.mark.stretch
class TestReshapeAndCheck:
    def test_a_contiguous_tensor_is_always_viewed(self, kata):
        """The numbers lie in order, so any shape is just another way to read them."""
        x = counting(3, 4)
        for shape in ((4, 3), (12,), (2, 3, 2), [6, 2]):
            reshaped, is_view = kata.reshape_and_check(x, shape)
            check.equal(reshaped, x.clone().view(shape), what=f"reshaped to {shape}")
            check.equal(is_view, True, what=f"is_view for {shape}")
            check.view_of(reshaped, x)

    def test_a_transposed_tensor_is_copied_where_rows_have_to_join(self, kata):
        """Read in order, the transposed tensor jumps about in memory. There are no
        strides for one row of 12, so the numbers are copied.
        """
        x = counting(3, 4).mT
        for shape in ((12,), (3, 4), (2, 6)):
            reshaped, is_view = kata.reshape_and_check(x, shape)
            check.equal(
                reshaped, torch.cat([*x]).view(shape), what=f"reshaped to {shape}"
            )
            always = {
                "called a view without a look: reshape copies where it has to": True
            }
            check.equal(is_view, False, unlike=always, what=f"is_view for {shape}")

    def test_a_transposed_tensor_is_viewed_where_that_is_possible(self, kata):
        """Cutting a dimension in two needs no copy, and a new dimension of size 1 needs
        none either. So x.is_contiguous() is not the answer.
        """
        x = counting(3, 4).mT
        for shape in ((2, 2, 3), (4, 1, 3), (4, 3)):
            reshaped, is_view = kata.reshape_and_check(x, shape)
            check.equal(
                reshaped, torch.cat([*x]).view(shape), what=f"reshaped to {shape}"
            )
            asked = "is_contiguous() asked: some shapes are views of other tensors, too"
            contiguous = {asked: False}
            check.equal(is_view, True, unlike=contiguous, what=f"is_view for {shape}")
            check.view_of(reshaped, x)

    def test_a_part_of_a_tensor_may_be_viewed_too(self, kata):
        """x may itself be a view of a larger tensor: rows 1 to 3 lie in order, every
        other number of a row does not.
        """
        large = counting(5, 4, 3)
        for x, shape, expected in (
            (large[1:4], (36,), True),
            (large[:, 1:3], (5, 6), True),
            (large[..., :2], (40,), False),
        ):
            reshaped, is_view = kata.reshape_and_check(x, shape)
            check.equal(reshaped, x.clone().reshape(shape), what=f"reshaped to {shape}")
            check.equal(is_view, expected, what=f"is_view for {shape}")

    def test_minus_one_stands_for_what_is_left(self, kata):
        """24 elements in rows of 6 are 4 rows: one size follows from the others."""
        x = counting(2, 3, 4)
        for shape in ((-1, 6), (2, -1), (-1,)):
            reshaped, is_view = kata.reshape_and_check(x, shape)
            check.equal(reshaped, x.clone().view(shape), what=f"reshaped to {shape}")
            check.equal(is_view, True, what=f"is_view for {shape}")

    def test_gradients_reach_x(self, kata):
        """View or copy, the numbers are those of x, and so are their gradients."""
        for x in (torch.randn(3, 4), torch.randn(3, 4).mT):
            check.gradients(
                lambda x: kata.reshape_and_check(x, (2, 6))[0],
                lambda x: torch.cat([*x]).reshape(2, 6),
                x,
            )

    @pytest.mark.edge
    def test_a_shape_that_does_not_fit_is_an_error(self, kata):
        """12 numbers do not fill (5, 3) or rows of 5."""
        for x in (counting(3, 4), counting(3, 4).mT):
            for shape in ((5, 3), (-1, 5)):
                with check.raises(RuntimeError):
                    kata.reshape_and_check(x, shape)

    @pytest.mark.edge
    def test_two_unknown_sizes_are_an_error(self, kata):
        """With two -1 there is more than one answer."""
        with check.raises(RuntimeError):
            kata.reshape_and_check(counting(3, 4), (-1, -1, 2))


@st.composite
def shapes_and_dims(draw):
    """A shape of one to four dimensions, and one of them, counted from either end."""
    shape = draw(shapes(1, 4))
    return shape, draw(st.integers(-len(shape), len(shape) - 1))


@pytest.mark.stretch
class TestInterleave:
    def test_two_rows_take_turns(self, kata):
        """First of a, first of b, second of a, second of b."""
        a, b = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 20.0, 30.0])
        unlike = {
            "all of a, then all of b": torch.cat([a, b]),
            "b has the first turn": turns(b, a, 0),
        }
        check.equal(
            kata.interleave(a, b),
            torch.tensor([1.0, 10.0, 2.0, 20.0, 3.0, 30.0]),
            unlike=unlike,
        )

    def test_the_first_dimension_is_the_default(self, kata):
        """Without a `dim`, whole rows take turns: row 0 of a, row 0 of b, row 1
        of a.
        """
        a, b = counting(C, H), -1 - counting(C, H)
        unlike = {"taking turns along the last dimension": turns(a, b, 1)}
        check.equal(kata.interleave(a, b), turns(a, b, 0), unlike=unlike)

    @pytest.mark.parametrize("dim", [1, -1, -2])
    def test_along_another_dimension(self, kata, dim):
        """Only `dim` gets twice its size; a negative one counts from the end of a and
        b. Stack a and b right behind `dim` before the two are joined: in front of it,
        the halves come one after the other.
        """
        a = counting(N, C, H)
        b = -1 - a
        unlike = {
            "all of a, then all of b": torch.cat([a, b], dim),
            "taking turns along the last dimension": turns(a, b, 2),
            "taking turns along the first dimension": turns(a, b, 0),
        }
        check.equal(kata.interleave(a, b, dim), turns(a, b, dim), unlike=unlike)

    @given(case=shapes_and_dims())
    def test_along_any_dimension_of_any_shape(self, kata, case):
        """-1 is the last dimension of a and b, not of a tensor that is built on
        the way.
        """
        shape, dim = case
        a, b = counting(*shape), -1 - counting(*shape)
        check.equal(
            kata.interleave(a, b, dim),
            turns(a, b, dim),
            what=f"dimension {dim} of the shape {shape}",
        )

    def test_gradients_reach_both(self, kata):
        """Every number of the result is one of a or b, and its gradient
        belongs there.
        """
        check.gradients(
            lambda a, b: kata.interleave(a, b, 1),
            lambda a, b: turns(a, b, 1),
            torch.randn(C, H),
            torch.randn(C, H),
        )

    @pytest.mark.edge
    def test_non_contiguous_tensors_take_turns(self, kata):
        """The order of indexing counts, not the order in memory."""
        a, b = transposed(C, H), -counting(C, H)
        for dim in (0, 1):
            check.equal(kata.interleave(a, b, dim), turns(a, b, dim), what=f"dim={dim}")

    @pytest.mark.edge
    def test_dtype_and_device_are_kept(self, kata):
        """A tensor made on the way needs their dtype and their device ("meta" takes the
        place of a GPU).
        """
        for dtype in (torch.bool, torch.float64):
            a = counting(C, H).to(dtype)
            check.equal(
                kata.interleave(a, a, 1), turns(a, a, 1), what=f"{dtype} tensors"
            )
        a = torch.zeros(C, H, device="meta")
        device = kata.interleave(a, a).device
        check.that(
            device.type == "meta", f"for tensors on meta the result is on {device}"
        )

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """Neither a nor b is written to."""
        a, b = counting(C, H), -counting(C, H)
        with check.unchanged(a=a, b=b):
            kata.interleave(a, b, 1)

    @pytest.mark.edge
    def test_shapes_that_differ_are_refused(self, kata):
        """Broadcasting would invent turns: (3, 4) and (1, 4) do not have equally many
        elements to take turns with.
        """
        for first, second in (
            ((C, H), (1, H)),
            ((C, H), (H,)),
            ((C, H), (C + 1, H)),
            ((C, 1), (C, H)),
        ):
            with check.raises(ValueError):
                kata.interleave(counting(*first), counting(*second), 1)

    @pytest.mark.edge
    def test_numbers_without_dimensions_are_refused(self, kata):
        """There is no dimension along which they could take turns."""
        with check.raises(ValueError):
            kata.interleave(torch.tensor(1), torch.tensor(2))

    @pytest.mark.edge
    def test_a_dimension_out_of_range_is_refused(self, kata):
        """A matrix has the dimensions 0 and 1, also called -2 and -1. Wrapping 2 round
        to 0 would hide a mistake.
        """
        a = counting(C, H)
        for dim in (2, -3, 5):
            with check.raises(IndexError):
                kata.interleave(a, a, dim)


@pytest.mark.stretch
class TestMakeGrid:
    def test_each_cell_is_its_image(self, kata):
        """Image n is the cell in row n // columns and column n % columns. The numbers
        of one row of the grid come from several images, so regrouping is not enough:
        rows of cells and rows of pixels have to change places.
        """
        images = counting(6, C, H, W)
        unlike = {
            "reshaped without moving anything": images.reshape(C, 2 * H, 3 * W),
            "the columns are filled first": grid_by_hand(images[[0, 2, 4, 1, 3, 5]], 3),
            "every image is cut into stripes": images.transpose(0, 1).reshape(
                C, 2 * H, 3 * W
            ),
        }
        check.equal(kata.make_grid(images, 3), grid_by_hand(images, 3), unlike=unlike)

    def test_the_last_row_may_be_shorter(self, kata):
        """Five images in three columns need two rows, not one, and the sixth cell is 0.
        Fill the empty cells: torch.empty shows whatever the memory held before.
        """
        images = 1 + counting(5, C, H, W)
        # memory that a grid made by torch.empty is likely to get
        torch.full((6, C, H, W), 7.0)
        unlike = {"the images of the last row are missing": grid_by_hand(images[:3], 3)}
        check.equal(kata.make_grid(images, 3), grid_by_hand(images, 3), unlike=unlike)

    def test_more_columns_than_images(self, kata):
        """The grid is as wide as asked for, even if there are fewer images."""
        images = 1 + counting(2, C, H, W)
        unlike = {"only as many columns as there are images": grid_by_hand(images, 2)}
        check.equal(kata.make_grid(images, 4), grid_by_hand(images, 4), unlike=unlike)

    @given(case=st.tuples(shapes(4, 4), st.integers(1, 5)))
    def test_any_number_of_images_in_any_number_of_columns(self, kata, case):
        """One image or one column is no special case."""
        shape, columns = case
        images = 1 + counting(*shape)
        check.equal(kata.make_grid(images, columns), grid_by_hand(images, columns))

    @pytest.mark.edge
    def test_non_contiguous_images_make_a_grid(self, kata):
        """Images that were permuted from (N, H, W, C) a moment ago are as good
        as any.
        """
        images = transposed(4, C, H, W)
        check.equal(kata.make_grid(images, 2), grid_by_hand(images, 2))

    @pytest.mark.edge
    def test_dtype_and_device_are_kept(self, kata):
        """uint8 images make a uint8 grid, which takes a quarter of the memory of
        float32; and the grid lives where the images live ("meta" takes the place of
        a GPU).
        """
        for dtype in (torch.uint8, torch.bool, torch.float64):
            images = counting(5, C, H, W).to(dtype)
            check.equal(
                kata.make_grid(images, 2),
                grid_by_hand(images, 2),
                what=f"the grid for {dtype}",
            )
        device = kata.make_grid(torch.zeros(5, C, H, W, device="meta"), 2).device
        check.that(device.type == "meta", f"for images on meta the grid is on {device}")

    @pytest.mark.edge
    def test_the_grid_is_a_new_tensor(self, kata):
        """A frame drawn into the grid must not appear in the images. With a single
        image, or with one column of grey ones, a reshape copies nothing.
        """
        for shape, columns in (((1, C, H, W), 1), ((3, 1, H, W), 1), ((5, C, H, W), 2)):
            images = counting(*shape)
            with check.unchanged(images=images):
                grid = kata.make_grid(images, columns)
            check.independent(
                grid, images, what=f"the grid of images {shape} in {columns} columns"
            )

    @pytest.mark.edge
    def test_only_a_batch_of_images_makes_a_grid(self, kata):
        """A single image lacks N; no images at all leave nothing to show."""
        for shape in ((C, H, W), (1, N, C, H, W), (0, C, H, W)):
            with check.raises(ValueError):
                kata.make_grid(torch.zeros(shape), 2)

    @pytest.mark.edge
    def test_there_is_at_least_one_column(self, kata):
        """0 columns would end in a division by zero, and -2 in a negative size."""
        for columns in (0, -2):
            with check.raises(ValueError):
                kata.make_grid(counting(2, C, H, W), columns)
