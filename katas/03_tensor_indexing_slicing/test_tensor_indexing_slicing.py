"""Specs of 03: rows, diagonals, windows, rectangles, borders, and elements picked by
index tensors and masks.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

NAN, INF = math.nan, math.inf
DIAGONALS = (
    "torch.diagonal",
    "torch.diag",
    "torch.linalg.diagonal",
    "torch.Tensor.diagonal",
    "torch.Tensor.diag",
)


def numbers(*shape):
    """1, 2, 3, … in this shape: every entry differs, and none is 0."""
    return torch.arange(1.0, math.prod(shape) + 1).reshape(shape)


def backwards_in_memory(*shape):
    """Such numbers whose dimensions lie in memory in the opposite order."""
    x = numbers(*reversed(shape))
    return x.permute(*reversed(range(len(shape))))


def diagonals_by_hand(x):
    """The diagonals of (A, B, N, N), entry by entry."""
    size = x.shape[-1]
    return torch.stack(
        [
            torch.stack([torch.stack([m[i, i] for i in range(size)]) for m in row])
            for row in x
        ]
    )


def windows_by_hand(x, size, step):
    """Every whole window, found by trying all the starts."""
    starts = [t for t in range(len(x)) if t % step == 0 and t + size <= len(x)]
    return torch.stack([torch.stack([x[t + k] for k in range(size)]) for t in starts])


def inside(rows, columns, width):
    """True for an entry that is at least `width` away from every edge, counted entry
    by entry.
    """
    distances = [
        [min(r, rows - 1 - r, c, columns - 1 - c) for c in range(columns)]
        for r in range(rows)
    ]
    return torch.tensor(distances) >= width


def picked_by_hand(x, index):
    """x (B, T, C) and index (B, T), with two loops."""
    return torch.stack(
        [
            torch.stack([x[b, t, index[b, t].item()] for t in range(x.shape[1])])
            for b in range(len(x))
        ]
    )


def shapes(fewest, most):
    """Shapes of so many dimensions, with sizes from 1 to 4."""
    return st.lists(st.integers(1, 4), min_size=fewest, max_size=most).map(tuple)


@st.composite
def windows(draw):
    """A number of rows, a size that fits in, and a step."""
    length = draw(st.integers(1, 9))
    return length, draw(st.integers(1, length)), draw(st.integers(1, 4))


@st.composite
def rectangles(draw):
    """The rows and columns of an image, and a rectangle inside: top, left,
    height, width.
    """
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    height, width = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    return (
        rows,
        columns,
        draw(st.integers(0, rows - height)),
        draw(st.integers(0, columns - width)),
        height,
        width,
    )


@st.composite
def borders(draw):
    """The rows and columns of an image, and a border that leaves an inside."""
    width = draw(st.integers(1, 3))
    return (
        draw(st.integers(2 * width + 1, 8)),
        draw(st.integers(2 * width + 1, 8)),
        width,
    )


@st.composite
def rows_and_places(draw):
    """A shape (…, C), and one place from 0 to C - 1 per row."""
    shape = draw(shapes(2, 4))
    count = math.prod(shape[:-1])
    return shape, draw(
        st.lists(st.integers(0, shape[-1] - 1), min_size=count, max_size=count)
    )


@st.composite
def lengths_and_steps(draw):
    """A shape (B, T, …), and one length from 1 to T per sequence."""
    shape = draw(shapes(2, 4))
    return shape, draw(
        st.lists(st.integers(1, shape[1]), min_size=shape[0], max_size=shape[0])
    )


@st.composite
def rows_and_flags(draw):
    """A shape (R, …), and one flag per row, with at least one True."""
    shape = draw(shapes(1, 3))
    return shape, draw(
        st.lists(st.booleans(), min_size=shape[0], max_size=shape[0]).filter(any)
    )


class TestFirstRows:
    def test_takes_n_rows_from_the_start(self, kata):
        """Rows 0 to n − 1. A slice leaves out its end, so the row with number n is
        not taken.
        """
        x = numbers(5, 3)
        expected = torch.stack([x[0], x[1]])
        unlike = {
            "one row too many": x[:3],
            "one row too few": x[:1],
            "row n alone": x[2],
            "the first n columns": x[:, :2],
            "everything but the first n rows": x[2:],
        }
        check.equal(kata.first_rows(x, 2), expected, unlike=unlike)

    def test_rows_of_any_shape(self, kata):
        """Rows are the first dimension, however many dimensions follow."""
        check.equal(
            kata.first_rows(numbers(4), 1),
            torch.tensor([1.0]),
            what="the first of 4 numbers",
        )
        x = numbers(4, 2, 3)
        check.equal(
            kata.first_rows(x, 3),
            torch.stack([x[0], x[1], x[2]]),
            what="the first 3 of 4 matrices",
        )


class TestLastColumn:
    def test_takes_the_last_number_of_every_row(self, kata):
        """Row r gives x[r, C − 1]. Counted from the end, the last place is -1."""
        x = numbers(3, 4)
        unlike = {
            "the last row": x[-1],
            "a matrix with one column: a slice keeps its dimension": x[:, -1:],
        }
        check.equal(kata.last_column(x), torch.tensor([4.0, 8.0, 12.0]), unlike=unlike)

    def test_a_single_column_is_the_last(self, kata):
        """(R, 1) has one column, which is the first and the last."""
        check.equal(kata.last_column(numbers(3, 1)), torch.tensor([1.0, 2.0, 3.0]))


class TestEveryOtherRow:
    def test_takes_every_second_row_from_the_first(self, kata):
        """Without a start the rows are 0, 2, 4, up to the last even one. A slice may
        run past the end, so no stop index has to be worked out.
        """
        for rows in (6, 7):
            x = numbers(rows, 3)
            expected = torch.stack([row for r, row in enumerate(x) if r % 2 == 0])
            unlike = {
                "the last row is lost": expected[:-1],
                "started at row 1": x[1::2],
            }
            check.equal(
                kata.every_other_row(x),
                expected,
                unlike=unlike,
                what=f"every other of {rows} rows",
            )

    def test_start_1_takes_the_odd_rows(self, kata):
        """With start 1 the rows are 1, 3, 5, up to the last odd one, whether the number
        of rows is odd or even.
        """
        for rows in (6, 7):
            x = numbers(rows, 3)
            expected = torch.stack([row for r, row in enumerate(x) if r % 2 == 1])
            unlike = {"the last row is lost": expected[:-1], "start is ignored": x[::2]}
            check.equal(
                kata.every_other_row(x, start=1),
                expected,
                unlike=unlike,
                what=f"odd ones of {rows} rows",
            )

    def test_shares_memory_with_x(self, kata):
        """A slice is a new description of the same memory. A list or a tensor of row
        numbers copies the values, and the copy takes memory of its own.
        """
        for start in (0, 1):
            x = numbers(6, 3)
            result = kata.every_other_row(x, start)
            check.view_of(result, x)
            x[start + 2, 1] = -1.0
            check.equal(
                result[1, 1].item(),
                -1.0,
                what=f"entry [1, 1] after x[{start + 2}, 1] was set to -1",
            )

    @given(case=st.tuples(shapes(1, 3), st.integers(0, 1)))
    def test_any_number_of_rows_of_any_shape(self, kata, case):
        """Rows are the first dimension, however many follow. A single row is row 0:
        start 1 then gives no rows at all, which is a shape and not an error.
        """
        shape, start = case
        x = numbers(*shape)
        kept = torch.tensor(
            [r for r in range(len(x)) if r % 2 == start], dtype=torch.int64
        )
        unlike = {"taken along the last dimension": x[..., start::2]}
        check.equal(kata.every_other_row(x, start), x[kept], unlike=unlike)

    def test_gradient_reaches_the_rows_taken_alone(self, kata):
        """Rows that were left out have no influence on the result: their gradient
        is 0.
        """
        check.gradients(
            kata.every_other_row,
            lambda x: torch.stack([x[0], x[2], x[4]]),
            numbers(5, 3),
        )

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Rows are those of x as it is indexed, whatever order they have in memory."""
        x = backwards_in_memory(5, 3)
        check.equal(kata.every_other_row(x, 1), torch.stack([x[1], x[3]]))

    @pytest.mark.edge
    def test_start_must_be_0_or_1(self, kata):
        """Start 2 would quietly leave out row 0, and start -1 would count from the
        other end.
        """
        for start in (2, -1):
            with check.raises(ValueError):
                kata.every_other_row(numbers(6, 3), start)

    @pytest.mark.edge
    def test_x_must_have_rows(self, kata):
        """A 0-dim tensor is one number: there are no rows to choose from."""
        with check.raises(ValueError):
            kata.every_other_row(torch.tensor(7.0))


class TestDiagonal:
    def test_of_one_matrix(self, kata):
        """Entry i of the result is x[i, i]. Two equal index tensors, one for the rows
        and one for the columns, are read in pairs.
        """
        x = numbers(4, 4)
        expected = torch.tensor([1.0, 6.0, 11.0, 16.0])
        unlike = {"the other diagonal": torch.tensor([4.0, 7.0, 10.0, 13.0])}
        check.equal(kata.diagonal(x), expected, unlike=unlike)

    def test_of_every_matrix_in_a_batch(self, kata):
        """(2, 3, 5, 5) holds six matrices, and all have a diagonal. The matrices are in
        the last two dimensions: x[i, i] indexes the first two, which are the batch.
        """
        x = numbers(2, 3, 5, 5)
        unlike = {
            "every sixth number of all, without regard to the batch": x.flatten()[::6]
        }
        check.equal(kata.diagonal(x), diagonals_by_hand(x), unlike=unlike)

    def test_batch_as_large_as_the_matrix(self, kata):
        """With as many batch elements as rows, x[i, i] finds something to index and
        raises nothing. The diagonal is still that of the last two dimensions.
        """
        x = numbers(3, 3, 3, 3)
        i = torch.arange(3)
        check.equal(
            kata.diagonal(x),
            diagonals_by_hand(x),
            unlike={"x[i, i]: the batch was indexed": x[i, i]},
        )

    def test_gradient_goes_to_the_diagonal_alone(self, kata):
        """Entry i depends on x[i, i] and on nothing else. A result rebuilt from plain
        numbers has no graph, so no gradient reaches x.
        """
        check.gradients(kata.diagonal, diagonals_by_hand, numbers(2, 3, 4, 4))

    def test_is_written_from_scratch(self, kata):
        """torch has ready-made functions for this. The exercise is to do it
        with indices.
        """
        with check.forbidden(kata, *DIAGONALS):
            check.equal(kata.diagonal(numbers(3, 3)), torch.tensor([1.0, 5.0, 9.0]))

    @pytest.mark.edge
    def test_nan_off_the_diagonal_stays_out(self, kata):
        """Values off the diagonal must not be read at all. Multiplying them by 0 and
        summing lets NaN and inf through, for 0 · NaN is NaN.
        """
        x = torch.tensor([[1.0, NAN, 2.0], [INF, 3.0, -INF], [4.0, NAN, 5.0]])
        batch, expected = (
            torch.stack([x, x + 1]),
            torch.tensor([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]),
        )
        unlike = {
            "multiplied by the identity and summed: 0 · NaN is NaN": (
                batch * torch.eye(3)
            ).sum(-1)
        }
        check.equal(kata.diagonal(batch), expected, unlike=unlike)

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Rows and columns are those of x as it is indexed, whatever order they have
        in memory.
        """
        x = backwards_in_memory(2, 3, 4, 4)
        check.equal(kata.diagonal(x), diagonals_by_hand(x))

    @pytest.mark.edge
    def test_dtype_is_kept(self, kata):
        """Picking elements computes nothing, so integers stay integers and bools
        stay bools.
        """
        for dtype in (torch.int64, torch.bool, torch.float16, torch.float64):
            check.dtype(
                kata.diagonal(torch.ones(2, 3, 3, dtype=dtype)),
                dtype,
                what=f"diagonal of {dtype}",
            )
        large = torch.tensor([[2**53 + 1, 0], [0, 3]])
        check.equal(
            kata.diagonal(large),
            torch.tensor([2**53 + 1, 3]),
            what="integers too large for a float",
        )

    @pytest.mark.edge
    def test_empty_matrices(self, kata):
        """A 0 × 0 matrix has a diagonal without entries. It is no error."""
        check.shape(
            kata.diagonal(torch.zeros(0, 0)), (0,), what="diagonal of a (0, 0) matrix"
        )
        check.shape(
            kata.diagonal(torch.zeros(2, 0, 0)), (2, 0), what="diagonal of (2, 0, 0)"
        )

    @pytest.mark.edge
    def test_matrices_must_be_square(self, kata):
        """A 3 × 4 or 4 × 3 matrix is refused, also when two other dimensions of x
        happen to agree.
        """
        for shape in ((3, 4), (4, 3), (3, 3, 4), (4, 3, 4)):
            with check.raises(ValueError):
                kata.diagonal(torch.zeros(shape))

    @pytest.mark.edge
    def test_x_must_have_two_dimensions(self, kata):
        """A vector or a single number has no diagonal."""
        for shape in ((4,), ()):
            with check.raises(ValueError):
                kata.diagonal(torch.zeros(shape))


class TestSlidingWindows:
    def test_window_w_starts_at_row_w(self, kata):
        """With step 1 each window begins one row after the one before, and the last one
        ends with the last row.
        """
        x = numbers(6)
        expected = torch.tensor(
            [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [3.0, 4.0, 5.0], [4.0, 5.0, 6.0]]
        )
        unlike = {
            "the last window is lost": expected[:-1],
            "windows and places in them are swapped": expected.mT,
        }
        check.equal(kata.sliding_windows(x, 3), expected, unlike=unlike)

    def test_rows_of_any_shape(self, kata):
        """Windows of a (6, 2, 5) tensor are (W, size, 2, 5): the place in the window
        comes right after the window. `unfold` alone puts it last.
        """
        x = numbers(6, 2, 5)
        expected = windows_by_hand(x, 3, 1)
        unlike = {
            "bare unfold: the place in the window is the last dimension": x.unfold(
                0, 3, 1
            )
        }
        check.equal(kata.sliding_windows(x, 3), expected, unlike=unlike)

    def test_step_moves_the_window(self, kata):
        """Window w starts at row w · step."""
        x = numbers(9, 2)
        expected = windows_by_hand(x, 3, 2)
        unlike = {
            "step is ignored": windows_by_hand(x, 3, 1),
            "moved by size": windows_by_hand(x, 3, 3),
        }
        check.equal(kata.sliding_windows(x, 3, 2), expected, unlike=unlike)

    @given(case=windows())
    def test_only_whole_windows_count(self, kata, case):
        """Rows after the last whole window are left out; a window that ends with the
        last row is in. So W is (T - size) // step + 1. Windows of one row and a window
        of all rows keep their dimension of size 1.
        """
        length, size, step = case
        x = numbers(length, 2)
        check.equal(kata.sliding_windows(x, size, step), windows_by_hand(x, size, step))

    def test_gradients_add_up_where_windows_overlap(self, kata):
        """The gradient of a row is the sum over the windows that hold the row. Windows
        of 2 over 4 rows hold the rows 1, 2, 2 and 1 times.
        """
        x = numbers(4).requires_grad_()
        result = kata.sliding_windows(x, 2)
        check.that(
            result.requires_grad, "the windows carry no graph: no gradient can reach x"
        )
        result.sum().backward()
        check.equal(
            x.grad,
            torch.tensor([1.0, 2.0, 2.0, 1.0]),
            what="gradient of x for the sum of all windows",
        )

    @pytest.mark.edge
    def test_windows_share_no_memory(self, kata):
        """A row of x is in several windows, and `unfold` stores the row once for all of
        them: a write to one window would change its neighbours. Independent windows
        have to be copies.
        """
        x = numbers(6, 2)
        result = kata.sliding_windows(x, 3)
        expected = windows_by_hand(x, 3, 1)
        expected[1] = 0.0
        spoilt = x.clone()
        spoilt[1:4] = 0.0
        result[1] = 0.0
        unlike = {
            "views: the windows beside it share rows with window 1": windows_by_hand(
                spoilt, 3, 1
            )
        }
        check.equal(
            result,
            expected,
            unlike=unlike,
            what="all windows after window 1 was set to 0",
        )

    @pytest.mark.edge
    def test_x_stays_as_it_was(self, kata):
        """Cutting out reads from x and writes nothing to it."""
        x = numbers(6, 2)
        with check.unchanged(x=x):
            kata.sliding_windows(x, 3, 2)

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Rows are those of x as it is indexed, whatever order they have in memory."""
        x = backwards_in_memory(6, 2, 3)
        check.equal(kata.sliding_windows(x, 3, 2), windows_by_hand(x, 3, 2))

    @pytest.mark.edge
    def test_dtype_is_kept(self, kata):
        """Tokens are integers and stay integers."""
        for dtype in (torch.int64, torch.bool, torch.float64):
            check.dtype(
                kata.sliding_windows(torch.ones(4, dtype=dtype), 2),
                dtype,
                what=f"windows of {dtype}",
            )

    @pytest.mark.edge
    def test_size_must_be_from_1_to_the_number_of_rows(self, kata):
        """A window of 0 rows holds nothing, and one longer than the sequence does not
        exist: 5 rows have no window of 6.
        """
        for size in (0, -2, 6):
            with check.raises(ValueError):
                kata.sliding_windows(numbers(5, 2), size)

    @pytest.mark.edge
    def test_step_must_be_positive(self, kata):
        """With step 0 the window would never move, with step -1 it would move away from
        the sequence.
        """
        for step in (0, -1):
            with check.raises(ValueError):
                kata.sliding_windows(numbers(5, 2), 2, step)

    @pytest.mark.edge
    def test_x_must_have_rows(self, kata):
        """A 0-dim tensor is one number, not a sequence."""
        with check.raises(ValueError):
            kata.sliding_windows(torch.tensor(7.0), 1)


@pytest.mark.stretch
class TestCrop:
    def test_takes_the_rectangle(self, kata):
        """Entry (r, c) of the result is image[top + r, left + c]. Top and height count
        rows, left and width count columns.
        """
        image = numbers(6, 8)
        expected = torch.stack(
            [torch.stack([image[1 + r, 3 + c] for c in range(4)]) for r in range(2)]
        )
        unlike = {
            "rows and columns are exchanged": image[3:7, 1:3].mT,
            "height and width are ends": image[1:2, 3:4],
        }
        check.equal(kata.crop(image, 1, 3, 2, 4), expected, unlike=unlike)

    def test_of_every_image_in_a_batch(self, kata):
        """Rows and columns are the last two dimensions; all channels and all images are
        cut alike.
        """
        images = numbers(2, 3, 6, 8)
        expected = torch.stack([images[:, :, r, 2:7] for r in (1, 2, 3, 4)], dim=2)
        check.equal(kata.crop(images, 1, 2, 4, 5), expected)

    @given(case=rectangles())
    def test_any_rectangle_inside_the_image(self, kata, case):
        """A rectangle may touch the edges, be a single entry, or be all of
        the image.
        """
        rows, columns, top, left, height, width = case
        image = numbers(rows, columns)
        expected = torch.stack(
            [image[top + r].narrow(0, left, width) for r in range(height)]
        )
        check.equal(kata.crop(image, top, left, height, width), expected)

    def test_shares_memory_with_the_image(self, kata):
        """Two slices copy nothing. A later write to the image shows in
        the rectangle.
        """
        image = numbers(2, 6, 8)
        result = kata.crop(image, 1, 3, 2, 4)
        check.view_of(result, image)
        image[1, 2, 4] = -1.0
        check.equal(
            result[1, 1, 1].item(),
            -1.0,
            what="entry [1, 1, 1] after image[1, 2, 4] was set to -1",
        )

    def test_gradient_reaches_the_rectangle_alone(self, kata):
        """The part that was cut away has no influence on the result, so its gradient
        is 0.
        """
        rows = (1, 2, 3)
        check.gradients(
            lambda x: kata.crop(x, 1, 2, 3, 4),
            lambda x: torch.stack([x[:, r].narrow(-1, 2, 4) for r in rows], dim=1),
            numbers(2, 6, 8),
        )

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Rows and columns are those of the image as it is indexed, whatever order they
        have in memory.
        """
        image = backwards_in_memory(6, 8)
        expected = torch.stack(
            [torch.stack([image[1 + r, 3 + c] for c in range(4)]) for r in range(2)]
        )
        check.equal(kata.crop(image, 1, 3, 2, 4), expected)

    @pytest.mark.edge
    def test_past_the_lower_edge_is_refused(self, kata):
        """Rows 4, 5 and 6 of an image of 6 rows: a plain slice returns two of them and
        raises nothing.
        """
        for top, height in ((4, 3), (6, 1), (0, 7)):
            with check.raises(ValueError):
                kata.crop(numbers(6, 8), top, 0, height, 2)

    @pytest.mark.edge
    def test_past_the_right_edge_is_refused(self, kata):
        """Columns 6, 7 and 8 of an image of 8 columns: a plain slice returns two of
        them and raises nothing.
        """
        for left, width in ((6, 3), (8, 1), (0, 9)):
            with check.raises(ValueError):
                kata.crop(numbers(6, 8), 0, left, 2, width)

    @pytest.mark.edge
    def test_a_negative_corner_is_refused(self, kata):
        """To a slice, -2 means two before the end. A rectangle that begins above or
        left of the image is a mistake.
        """
        for top, left in ((-1, 0), (0, -1), (-3, 2), (2, -3)):
            with check.raises(ValueError):
                kata.crop(numbers(6, 8), top, left, 2, 2)

    @pytest.mark.edge
    def test_an_empty_rectangle_is_refused(self, kata):
        """Height and width are at least 1: an empty image only fails later, far from
        the cause.
        """
        for height, width in ((0, 2), (2, 0), (-1, 2), (2, -1)):
            with check.raises(ValueError):
                kata.crop(numbers(6, 8), 1, 1, height, width)


@pytest.mark.stretch
class TestZeroBorder:
    def test_the_outermost_ring_is_zero(self, kata):
        """Width 1 clears the first and the last row and the first and the last column;
        what is inside stays.
        """
        image = numbers(5, 6)
        keep = inside(5, 6, 1)
        unlike = {"inside and border are exchanged": image * ~keep}
        check.equal(kata.zero_border(image.clone()), image * keep, unlike=unlike)

    def test_a_wider_border_of_a_batch(self, kata):
        """The border belongs to the last two dimensions, so every image of the batch
        gets its own, `width` wide.
        """
        images = numbers(2, 3, 7, 6)
        unlike = {"1 wide, whatever the width": images * inside(7, 6, 1)}
        check.equal(
            kata.zero_border(images.clone(), 2), images * inside(7, 6, 2), unlike=unlike
        )

    @given(case=borders())
    def test_any_border_that_leaves_an_inside(self, kata, case):
        """An image of 5 rows with a border of 2 keeps its middle row."""
        rows, columns, width = case
        image = numbers(rows, columns)
        check.equal(
            kata.zero_border(image.clone(), width), image * inside(rows, columns, width)
        )

    def test_the_image_stays_as_it_was(self, kata):
        """The caller may still need the border. Writing to the image would clear it
        there as well.
        """
        image = numbers(2, 5, 6)
        with check.unchanged(image=image):
            kata.zero_border(image)

    def test_gradient_is_zero_on_the_border(self, kata):
        """The border of the image has no influence on the result, so its gradient is 0.
        The inside passes its gradient on. The image may require grad.
        """
        check.gradients(
            lambda x: kata.zero_border(x, 2),
            lambda x: x * inside(7, 6, 2),
            numbers(2, 7, 6),
        )

    @pytest.mark.edge
    def test_width_0_changes_nothing(self, kata):
        """A border of no rows is no border. The slice [-0:] is [0:], which
        is everything.
        """
        image = numbers(2, 5, 6)
        unlike = {"everything was cleared: [-0:] is [0:]": torch.zeros(2, 5, 6)}
        check.equal(kata.zero_border(image.clone(), 0), image, unlike=unlike)

    @pytest.mark.edge
    def test_half_the_image_or_more_clears_all(self, kata):
        """From half the height or half the width on, opposite borders meet and nothing
        is left. A width larger than the image is no error.
        """
        for rows, columns, width in (
            (4, 9, 2),
            (9, 4, 2),
            (5, 9, 3),
            (9, 5, 3),
            (4, 9, 6),
            (4, 5, 20),
        ):
            what = f"an image of {rows} × {columns} with a border of {width}"
            check.equal(
                kata.zero_border(numbers(rows, columns), width),
                torch.zeros(rows, columns),
                what=what,
            )

    @pytest.mark.edge
    def test_nan_in_the_border_is_replaced(self, kata):
        """0 · NaN is NaN: the border is set to 0, not multiplied by it. A NaN
        inside stays.
        """
        image = numbers(4, 5)
        image[0, 2], image[3, 0], image[1, 4], image[2, 2] = NAN, INF, -INF, NAN
        expected = torch.zeros(4, 5)
        expected[1:3, 1:4] = image[1:3, 1:4]
        check.equal(kata.zero_border(image), expected, finite=False)

    @pytest.mark.edge
    def test_the_result_is_a_new_tensor(self, kata):
        """A later write to the result must not reach the image, also when there was
        nothing to clear.
        """
        for width in (0, 1):
            image = numbers(5, 6)
            check.independent(
                kata.zero_border(image, width),
                image,
                what=f"the result for width {width}",
            )

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Rows and columns are those of the image as it is indexed."""
        image = backwards_in_memory(2, 5, 6)
        expected = image * inside(5, 6, 1)
        check.equal(kata.zero_border(image), expected)

    @pytest.mark.edge
    def test_dtype_is_kept(self, kata):
        """An image of bytes stays one of bytes, and a mask stays a mask."""
        for dtype in (torch.uint8, torch.bool, torch.float16, torch.float64):
            check.dtype(
                kata.zero_border(torch.ones(4, 5, dtype=dtype)),
                dtype,
                what=f"the result for {dtype}",
            )

    @pytest.mark.edge
    def test_width_must_not_be_negative(self, kata):
        """A negative border would reach outwards."""
        with check.raises(ValueError):
            kata.zero_border(numbers(5, 6), -1)


class TestPickPerRow:
    def test_one_element_of_every_row(self, kata):
        """Row r gives the element that index[r] names: (R, C) and (R,) make (R,). x[:,
        index] takes all the named columns from every row, which is (R, R).
        """
        x = numbers(4, 3)
        index = torch.tensor([2, 0, 1, 2])
        unlike = {"x[:, index]: every row gave all the columns": x[:, index]}
        check.equal(
            kata.pick_per_row(x, index),
            torch.tensor([3.0, 4.0, 8.0, 12.0]),
            unlike=unlike,
        )

    def test_agrees_with_a_loop_on_three_dimensions(self, kata):
        """In (B, T, C) every position (b, t) is a row of its own, and index (B, T) has
        a number for each.
        """
        x = torch.randn(2, 4, 5)
        index = torch.tensor([[0, 4, 2, 1], [3, 3, 0, 4]])
        check.equal(kata.pick_per_row(x, index), picked_by_hand(x, index))

    @given(case=rows_and_places())
    def test_any_number_of_dimensions(self, kata, case):
        """Only the last dimension is picked from and goes; all others stay, also those
        of size 1.
        """
        shape, places = case
        x = numbers(*shape)
        index = torch.tensor(places).reshape(shape[:-1])
        expected = torch.stack(
            [
                row[place]
                for row, place in zip(x.reshape(-1, shape[-1]), places, strict=True)
            ]
        )
        unlike = {"every dimension of size 1 removed": expected.squeeze()}
        check.equal(
            kata.pick_per_row(x, index), expected.reshape(shape[:-1]), unlike=unlike
        )

    def test_gradient_reaches_the_picked_elements_alone(self, kata):
        """A loss on the picked scores moves those scores; the others get 0."""
        index = torch.tensor([[0, 4, 2, 1], [3, 3, 0, 4]])
        check.gradients(
            lambda x: kata.pick_per_row(x, index),
            lambda x: picked_by_hand(x, index),
            numbers(2, 4, 5),
        )

    @pytest.mark.edge
    def test_every_integer_dtype_is_an_index(self, kata):
        """Labels often come as int32 or uint8. uint8 needs care: as an index, torch
        takes it for a mask and warns.
        """
        x = numbers(4, 3)
        for dtype in (torch.int32, torch.uint8, torch.int8, torch.int16):
            index = torch.tensor([2, 0, 1, 1], dtype=dtype)
            expected = torch.tensor([3.0, 4.0, 8.0, 11.0])
            check.equal(
                kata.pick_per_row(x, index), expected, what=f"picked by {dtype}"
            )

    @pytest.mark.edge
    def test_works_on_non_contiguous_input(self, kata):
        """Rows and columns are those of x and of index as they are indexed, whatever
        order they have in memory.
        """
        x, index = backwards_in_memory(2, 4, 5), (torch.arange(8).reshape(4, 2) % 5).mT
        check.equal(kata.pick_per_row(x, index), picked_by_hand(x, index))

    @pytest.mark.edge
    def test_nan_elsewhere_stays_out(self, kata):
        """An element that was not picked has no influence. 0 · NaN, in a sum over a
        one-hot row, is NaN.
        """
        x = torch.tensor([[NAN, 2.0, INF], [3.0, NAN, -INF]])
        check.equal(
            kata.pick_per_row(x, torch.tensor([1, 0])), torch.tensor([2.0, 3.0])
        )

    @pytest.mark.edge
    def test_dtype_is_kept(self, kata):
        """Picking computes nothing."""
        index = torch.tensor([1, 0])
        for dtype in (torch.int64, torch.bool, torch.float64):
            check.dtype(
                kata.pick_per_row(torch.ones(2, 3, dtype=dtype), index),
                dtype,
                what=f"picked from {dtype}",
            )

    @pytest.mark.edge
    def test_x_and_index_stay_as_they_were(self, kata):
        """The caller's labels are used again in the next epoch."""
        x, index = numbers(4, 3), torch.tensor([2, 0, 1, 2])
        with check.unchanged(x=x, index=index):
            kata.pick_per_row(x, index)

    @pytest.mark.edge
    def test_float_and_bool_indices_are_refused(self, kata):
        """1.7 names no column, and True and False are a mask. Neither should quietly
        become a number.
        """
        for dtype in (torch.float32, torch.float64, torch.float16, torch.bool):
            with check.raises(TypeError):
                kata.pick_per_row(numbers(4, 3), torch.zeros(4, dtype=dtype))

    @pytest.mark.edge
    def test_index_must_have_one_entry_per_row(self, kata):
        """`gather` also takes fewer rows, and broadcasting would stretch one index over
        all of them: either hides a batch that was cut wrongly.
        """
        for shape, wrong in (
            ((4, 3), (3,)),
            ((4, 3), (1,)),
            ((4, 3), (4, 1)),
            ((2, 4, 3), (4,)),
            ((2, 4, 3), (1, 4)),
        ):
            with check.raises(ValueError):
                kata.pick_per_row(
                    torch.zeros(shape), torch.zeros(wrong, dtype=torch.int64)
                )

    @pytest.mark.edge
    def test_index_c_is_out_of_range(self, kata):
        """The columns are 0 … C - 1. One past them is an error, at any place of
        the index.
        """
        for index in ([0, 3, 1, 2], [0, 1, 2, 7]):
            with check.raises(IndexError):
                kata.pick_per_row(numbers(4, 3), torch.tensor(index))

    @pytest.mark.edge
    def test_negative_indices_do_not_wrap(self, kata):
        """Indexing reads -1 as the last column. In labels -1 is a missing one, and
        picking the last class for it would train on nonsense.
        """
        for index in ([0, -1, 1, 2], [-3, 0, 1, 2]):
            for dtype in (torch.int64, torch.int32):
                with check.raises(IndexError):
                    kata.pick_per_row(numbers(4, 3), torch.tensor(index, dtype=dtype))


@pytest.mark.stretch
class TestLastValid:
    def test_takes_the_step_before_the_padding(self, kata):
        """A sequence of 3 real steps has its last one at step 2: lengths count, steps
        begin at 0.
        """
        x = numbers(3, 5, 2)
        lengths = torch.tensor([3, 2, 4])
        expected = torch.stack([x[0, 2], x[1, 1], x[2, 3]])
        unlike = {
            "one step too far: x[b, lengths[b]]": torch.stack(
                [x[0, 3], x[1, 2], x[2, 4]]
            ),
            "the last step of all, whatever the length": x[:, -1],
            "x[:, lengths - 1]: every sequence gave all the steps": x[:, lengths - 1],
        }
        check.equal(kata.last_valid(x, lengths), expected, unlike=unlike)

    def test_lengths_1_and_T(self, kata):
        """The shortest sequence ends at step 0, the longest at the last step of all."""
        x = numbers(2, 4, 3)
        check.equal(
            kata.last_valid(x, torch.tensor([1, 4])), torch.stack([x[0, 0], x[1, 3]])
        )

    @given(case=lengths_and_steps())
    def test_steps_of_any_shape(self, kata, case):
        """A step may be one number or a matrix: (B, T) gives (B,), and (B, T, 2, 3)
        gives (B, 2, 3). A batch of one stays a batch.
        """
        shape, lengths = case
        x = numbers(*shape)
        expected = torch.stack(
            [sequence[length - 1] for sequence, length in zip(x, lengths, strict=True)]
        )
        check.equal(kata.last_valid(x, torch.tensor(lengths)), expected)

    def test_gradient_reaches_the_steps_taken_alone(self, kata):
        """Padding and the earlier steps have no influence on the result, so their
        gradient is 0.
        """
        lengths = torch.tensor([2, 4, 1])
        check.gradients(
            lambda x: kata.last_valid(x, lengths),
            lambda x: torch.stack([x[0, 1], x[1, 3], x[2, 0]]),
            numbers(3, 4, 2),
        )

    def test_x_and_lengths_stay_as_they_were(self, kata):
        """The lengths are needed again, to mask the loss for instance: `lengths -= 1`
        would spoil them.
        """
        x, lengths = numbers(3, 4, 2), torch.tensor([2, 4, 1])
        with check.unchanged(x=x, lengths=lengths):
            kata.last_valid(x, lengths)

    @pytest.mark.edge
    def test_padding_is_never_read(self, kata):
        """Padding may hold anything, NaN and inf included. Multiplying it by 0 lets
        them through.
        """
        x = numbers(3, 4, 2)
        x[0, 2:], x[1, 1:], x[2, 3:] = NAN, INF, -INF
        expected = torch.stack([x[0, 1], x[1, 0], x[2, 2]])
        check.equal(kata.last_valid(x, torch.tensor([2, 1, 3])), expected)

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """A recurrent layer gives (T, B, …), and its transpose is what comes here:
        not contiguous.
        """
        x = backwards_in_memory(3, 4, 2)
        check.equal(
            kata.last_valid(x, torch.tensor([2, 4, 1])),
            torch.stack([x[0, 1], x[1, 3], x[2, 0]]),
        )

    @pytest.mark.edge
    def test_length_0_is_refused(self, kata):
        """An empty sequence has no last step. 0 - 1 is -1, which would be the very last
        one: padding.
        """
        for lengths in ([2, 0, 1], [2, -1, 3]):
            with check.raises(ValueError):
                kata.last_valid(numbers(3, 4, 2), torch.tensor(lengths))

    @pytest.mark.edge
    def test_a_length_beyond_T_is_refused(self, kata):
        """No sequence is longer than the tensor that holds it."""
        with check.raises(ValueError):
            kata.last_valid(numbers(3, 4, 2), torch.tensor([2, 5, 1]))

    @pytest.mark.edge
    def test_one_length_for_each_sequence(self, kata):
        """Lengths of another shape belong to another batch. A single length would be
        stretched over all sequences.
        """
        for shape in ((1,), (2,), (4,), (3, 1), ()):
            with check.raises(ValueError):
                kata.last_valid(numbers(3, 4, 2), torch.ones(shape, dtype=torch.int64))


@pytest.mark.stretch
class TestFilterRows:
    def test_keeps_the_rows_where_the_mask_is_true(self, kata):
        """The kept rows stay in their order, and their numbers say where they
        came from.
        """
        x = numbers(5, 3)
        mask = torch.tensor([False, True, True, False, True])
        expected = torch.stack([x[1], x[2], x[4]]), torch.tensor([1, 2, 4])
        unlike = {
            "multiplied by the mask: the other rows stay, as zeros": (
                x * mask[:, None],
            ),
            "the rows where it is False": (
                torch.stack([x[0], x[3]]),
                torch.tensor([0, 3]),
            ),
            "the mask read as row numbers 0 and 1": (x[mask.long()],),
        }
        check.equal(
            kata.filter_rows(x, mask), expected, unlike=unlike, what="(rows, numbers)"
        )

    def test_one_row_keeps_its_dimension(self, kata):
        """One row is (1, …) and its number (1,): code that goes on must not have to
        tell one from several.
        """
        x = numbers(4, 3)
        mask = torch.tensor([False, False, True, False])
        unlike = {"every dimension of size 1 removed": (x[2], torch.tensor(2))}
        check.equal(
            kata.filter_rows(x, mask),
            (x[2:3], torch.tensor([2])),
            unlike=unlike,
            what="(rows, numbers)",
        )

    @given(case=rows_and_flags())
    def test_any_mask_over_rows_of_any_shape(self, kata, case):
        """Rows are the first dimension: those of a vector are numbers, those of
        (R, 2, 3) are matrices.
        """
        shape, flags = case
        x = numbers(*shape)
        kept = [r for r, flag in enumerate(flags) if flag]
        expected = torch.stack([x[r] for r in kept]), torch.tensor(kept)
        check.equal(
            kata.filter_rows(x, torch.tensor(flags)), expected, what="(rows, numbers)"
        )

    def test_the_rows_are_copies(self, kata):
        """A mask always copies. When every row is kept, x itself has the right values,
        but a later write to the result would change x.
        """
        for mask in (
            torch.ones(4, dtype=torch.bool),
            torch.tensor([True, True, False, False]),
        ):
            x = numbers(4, 3)
            rows, _ = kata.filter_rows(x, mask)
            check.equal(rows, x[: len(rows)], what="rows")
            check.independent(rows, x, what="the tensor of rows")

    def test_gradient_reaches_the_kept_rows_alone(self, kata):
        """Rows that were dropped get 0."""
        mask = torch.tensor([False, True, True, False, True])
        check.gradients(
            lambda x: kata.filter_rows(x, mask)[0],
            lambda x: torch.stack([x[1], x[2], x[4]]),
            numbers(5, 3),
        )

    @pytest.mark.edge
    def test_no_row_is_an_empty_result(self, kata):
        """When nothing is left the result has 0 rows and still all the other
        dimensions, and the numbers are int64.
        """
        expected = torch.zeros(0, 2, 3), torch.zeros(0, dtype=torch.int64)
        got = kata.filter_rows(numbers(4, 2, 3), torch.zeros(4, dtype=torch.bool))
        check.equal(got, expected, what="(rows, numbers)")

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Rows are those of x as it is indexed, and every other entry of a longer mask
        is a mask like any other.
        """
        x = backwards_in_memory(4, 3)
        mask = torch.tensor([False, True, True, True, True, False, False, False])[::2]
        expected = torch.stack([x[1], x[2]]), torch.tensor([1, 2])
        check.equal(kata.filter_rows(x, mask), expected, what="(rows, numbers)")

    @pytest.mark.edge
    def test_x_and_the_mask_stay_as_they_were(self, kata):
        """The rows that were dropped may be wanted later."""
        x, mask = numbers(4, 3), torch.tensor([False, True, True, False])
        with check.unchanged(x=x, mask=mask):
            kata.filter_rows(x, mask)

    @pytest.mark.edge
    def test_a_mask_of_integers_is_refused(self, kata):
        """As an index, the int64 numbers 0 and 1 are row numbers: [0, 1, 1] gives rows
        0, 1 and 1.
        """
        for dtype in (torch.int64, torch.uint8, torch.float32):
            with check.raises(TypeError):
                kata.filter_rows(numbers(4, 3), torch.tensor([0, 1, 1, 0], dtype=dtype))

    @pytest.mark.edge
    def test_the_mask_must_have_one_entry_per_row(self, kata):
        """A (R, C) mask picks elements, not rows, and one of another length belongs to
        other data.
        """
        for shape in ((3,), (1,), (5,), (4, 3), (4, 1), ()):
            with check.raises(ValueError):
                kata.filter_rows(numbers(4, 3), torch.ones(shape, dtype=torch.bool))
