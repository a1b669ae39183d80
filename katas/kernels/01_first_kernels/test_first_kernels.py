"""Specs of kernels/01 · First kernels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from grader import kernels
from grader.specs import check


def uniforms(seed, n):
    """What `tl.rand(seed, i)` is for i from 0 to n − 1: ten rounds of Philox."""
    word = np.uint64(0xFFFFFFFF)
    a, b, c, d = (np.arange(n) if place == 0 else np.zeros(n) for place in range(4))
    a, b, c, d = (one.astype(np.uint64) for one in (a, b, c, d))
    keys = np.uint64(seed), np.uint64(0)
    for _ in range(10):
        left, right = np.uint64(0xCD9E8D57) * c, np.uint64(0xD2511F53) * a
        a, b, c, d = (
            (left >> np.uint64(32)) ^ b ^ keys[0],
            left & word,
            (right >> np.uint64(32)) ^ d ^ keys[1],
            right & word,
        )
        keys = (
            (keys[0] + np.uint64(0x9E3779B9)) & word,
            (keys[1] + np.uint64(0xBB67AE85)) & word,
        )
    signed = a.astype(np.uint32).view(np.int32).astype(np.int64)
    return torch.from_numpy(
        np.where(signed < 0, -signed - 1, signed) * 4.6566127342e-10
    )


def once(counts, what):
    """Check that each element was touched once."""
    places = (counts != 1).nonzero().tolist()
    there = (
        f"element {places[0]} {int(counts[tuple(places[0])])} times" if places else ""
    )
    check.that(not places, f"{what} {there}: each element once is enough")


class TestAdd:
    def test_two_blocks(self, kata):
        """Program 0 adds elements 0 to 63, program 1 the next 64. `tl.program_id(0)`
        tells them apart.
        """
        x, y = torch.arange(128.0), torch.linspace(1, 2, 128)
        check.close(kata.add(x, y), x + y)

    def test_lengths_that_are_no_multiple_of_the_block(self, kata):
        """The last block reaches beyond the end. A mask keeps its lanes from touching
        what is not there.
        """
        for n in (1, 63, 65, 200):
            x, y = torch.randn(n), torch.randn(n)
            with kernels.watched():
                out = kata.add(x, y)
            unstored = int(out.isnan().sum())
            check.that(
                not unstored,
                f"{unstored} of {n} numbers are stored by no program",
                like="a grid rounded down",
            )
            check.close(out, x + y)

    def test_each_number_is_moved_once(self, kata):
        """Two loads and one store per element, by ceil(n / block) programs."""
        for n, block, programs in ((1000, 64, 16), (1000, 128, 8), (256, 64, 4)):
            x, y = torch.randn(n), torch.randn(n)
            with kernels.watched(max_programs=1000) as seen:
                out = kata.add(x, y, block=block)
            check.moved(seen, loads=2 * n, stores=n, programs=programs)
            once(seen.loads(x), "x: it loads")
            once(seen.loads(y), "y: it loads")
            once(seen.stores(out), "the result: it stores")
        check.kernels_compute(lambda: kata.add(x, y), out)

    def test_more_than_one_dimension(self, kata):
        """A contiguous tensor is one row of numbers in memory, whatever its shape."""
        x, y = torch.randn(3, 5, 7), torch.randn(3, 5, 7)
        with kernels.watched():
            out = kata.add(x, y)
        check.close(out, x + y)

    @pytest.mark.edge
    def test_nothing_to_add(self, kata):
        """An empty tensor has an empty sum: no program runs."""
        check.close(kata.add(torch.zeros(0), torch.zeros(0)), torch.zeros(0))

    @pytest.mark.edge
    def test_unlike_shapes_are_an_error(self, kata):
        """A kernel knows no shapes: the function that launches it has to look. As many
        numbers are not the same shape. The message names both.
        """
        with check.raises(ValueError, 70, 80):
            kata.add(torch.zeros(70), torch.zeros(80))
        with check.raises(ValueError, "2, 3", "3, 2"):
            kata.add(torch.zeros(2, 3), torch.zeros(3, 2))


@st.composite
def sizes(draw):
    return draw(st.integers(1, 40)), draw(st.integers(1, 50))


class TestOuterAdd:
    def test_every_pair(self, kata):
        """Row i of the result is x[i] + y. A tile broadcasts x down its rows and y
        along its columns.
        """
        x, y = torch.arange(16.0) * 100, torch.arange(32.0)
        expected = torch.stack([value + y for value in x])
        check.close(kata.outer_add(x, y), expected)

    def test_each_tile_loads_its_parts_once(self, kata):
        """37 rows and 53 columns take 3 · 2 tiles, and so do 48 and 64. x is loaded
        once per column of tiles, y once per row of tiles.
        """
        for M, N in ((37, 53), (48, 64)):
            x, y = torch.randn(M), torch.randn(N)
            with kernels.watched() as seen:
                out = kata.outer_add(x, y)
            check.close(out, torch.stack([value + y for value in x]))
            check.moved(seen, loads=M * 2 + N * 3, stores=M * N, programs=6, x=x, y=y)
        check.kernels_compute(lambda: kata.outer_add(x, y), out)

    def test_blocks_are_obeyed(self, kata):
        """block_m counts rows, block_n columns."""
        x, y = torch.randn(20), torch.randn(9)
        with kernels.watched() as seen:
            out = kata.outer_add(x, y, block_m=4, block_n=8)
        check.close(out, torch.stack([value + y for value in x]))
        check.moved(seen, loads=20 * 2 + 9 * 5, stores=20 * 9, programs=10)

    @given(size=sizes())
    def test_any_size(self, kata, size):
        """Tiles at the right and the lower end are cut off by the mask, both ways."""
        x, y = torch.randn(size[0]), torch.randn(size[1])
        check.close(kata.outer_add(x, y), torch.stack([value + y for value in x]))


class TestToContiguous:
    def test_a_transposed_matrix(self, kata):
        """x.T has the strides of x, exchanged. No number has moved, so the kernel reads
        down the columns of memory.
        """
        x = torch.arange(20 * 37.0).reshape(37, 20)
        with kernels.watched():
            out = kata.to_contiguous(x.T)
        row, column, flat = torch.arange(20)[:, None], torch.arange(37), x.flatten()
        unlike = {
            "not transposed": x.reshape(20, 37),
            "the strides exchanged": flat[20 * row + column],
            "one stride alone: the step from column to column is left out": flat[
                row + column
            ],
        }
        check.close(
            out, torch.stack([x[:, column] for column in range(20)]), unlike=unlike
        )
        check.that(out.is_contiguous(), "the result is not contiguous")

    def test_gaps_are_never_read(self, kata):
        """Of every second row, each third number: an address is
        row · stride(0) + column · stride(1).
        """
        x = torch.arange(70 * 60.0).reshape(70, 60)
        for view in (x[::2, 1::3], x[:, 5:], x[3:50], x[6:, 12:]):
            with kernels.watched() as seen:
                out = kata.to_contiguous(view)
            check.close(out, torch.tensor(view.tolist()))
            tiles = -(-view.size(0) // 16) * -(-view.size(1) // 16)
            check.moved(seen, loads=view.numel(), stores=view.numel(), programs=tiles)
            once(seen.loads(view), "it loads")
        check.kernels_compute(lambda: kata.to_contiguous(view), out)

    def test_tiles(self, kata):
        """A program copies block · block numbers."""
        for rows, columns, programs in ((33, 20, 15), (16, 24, 6)):
            x = torch.randn(rows, columns)
            with kernels.watched() as seen:
                out = kata.to_contiguous(x.T, block=8)
            check.close(out, torch.tensor(x.T.tolist()))
            check.moved(
                seen, loads=rows * columns, stores=rows * columns, programs=programs
            )

    @pytest.mark.edge
    def test_the_dtype_stays(self, kata):
        """A pointer knows the size of its elements. 2²⁴ + 1 is no float32."""
        x = torch.arange(35).reshape(5, 7)
        for dtype, first in (
            (torch.float16, 0),
            (torch.int64, 2**24 + 1),
            (torch.float64, 2**24 + 1),
        ):
            numbers = x + first
            check.equal(
                kata.to_contiguous(numbers.to(dtype).T),
                torch.tensor(numbers.T.tolist(), dtype=dtype),
            )


class TestSwiglu:
    def test_equals_the_formula(self, kata):
        """silu is applied to the gate, and to it alone."""
        gate, up = torch.randn(4, 65), torch.randn(4, 65)
        expected = (gate.double() / (1 + (-gate.double()).exp()) * up.double()).float()
        wrong = {
            "silu of up": F.silu(up) * gate,
            "the sigmoid alone": gate.sigmoid() * up,
        }
        with kernels.watched():
            out = kata.swiglu(gate, up)
        check.close(out, expected, rtol=1e-5, atol=1e-6, unlike=wrong)

    def test_one_launch_moves_three_numbers_per_element(self, kata):
        """Two loads and one store. A step that is stored and loaded again costs
        two more.
        """
        gate, up = torch.randn(320), torch.randn(320)
        with kernels.watched() as seen:
            out = kata.swiglu(gate, up, block=64)
        check.close(out, F.silu(gate) * up, rtol=1e-5, atol=1e-6)
        check.that(seen.launches == 1, f"{seen.launches} launches, one is enough")
        check.moved(seen, loads=640, stores=320, programs=5, gate=gate, up=up)
        check.kernels_compute(lambda: kata.swiglu(gate, up), out)

    @pytest.mark.edge
    def test_half_precision_is_computed_in_float32(self, kata):
        """Each step in float16 would round once more. The result has the
        input's dtype.
        """
        gate, up = torch.randn(300) * 4, torch.randn(300) * 4
        for dtype, places in ((torch.float16, 1e-3), (torch.bfloat16, 1e-2)):
            g, u = gate.to(dtype), up.to(dtype)
            out = kata.swiglu(g, u)
            check.that(out.dtype == dtype, f"the dtype is {out.dtype}, not {dtype}")
            check.close(
                out.float(), F.silu(g.float()) * u.float(), rtol=places, atol=1e-6
            )

    @pytest.mark.edge
    def test_a_gpu_can_have_it(self, kata):
        """The interpreter runs any Python. Triton's compiler, tried here, takes no
        `break` and no list that grows.
        """
        gate, up = torch.randn(70), torch.randn(70)
        with kernels.watched() as seen:
            kata.swiglu(gate, up)
        check.compiles(seen)


class TestDropout:
    def test_what_is_kept_is_scaled(self, kata):
        """Element i is kept where tl.rand(seed, i) ≥ p, and divided by 1 − p, so that
        the mean stays.
        """
        x = torch.randn(500)
        kept = uniforms(11, 500) >= 0.3
        expected = torch.where(kept, x / 0.7, 0.0)
        wrong = {
            "multiplied by 1 − p": torch.where(kept, x * 0.7, 0.0),
            "dropped where it is kept": torch.where(kept, 0.0, x / 0.7),
        }
        for block in (64, 128, 256):
            again = uniforms(11, block)[torch.arange(500) % block] >= 0.3
            wrong |= {
                f"the draws of the first {block} numbers in every block": torch.where(
                    again, x / 0.7, 0.0
                )
            }
        check.close(
            kata.dropout(x, 0.3, 11),
            expected,
            unlike=wrong | {"not scaled": torch.where(kept, x, 0.0)},
        )

    def test_the_block_changes_nothing(self, kata):
        """The offset is the element's number, not its place in the block: programs
        would all drop the same lanes.
        """
        x = torch.ones(320)
        for block in (32, 64, 128):
            with kernels.watched() as seen:
                out = kata.dropout(x, 0.5, 7, block=block)
            check.close(out, (uniforms(7, 320) >= 0.5) * 2.0)
            check.moved(seen, loads=320, stores=320, programs=-(-320 // block), x=x)
        check.kernels_compute(lambda: kata.dropout(x, 0.5, 7), out)

    def test_p_is_the_share_that_is_dropped(self, kata):
        """With p = 0 nothing is. Of 4,000 elements and p = 0.3, 1,200 are, give or take
        4 standard errors.
        """
        check.close(kata.dropout(torch.arange(70.0), 0.0, 3), torch.arange(70.0))
        dropped = int((kata.dropout(torch.ones(4000), 0.3, 5) == 0).sum())
        check.that(
            abs(dropped - 1200) < 4 * 29, f"{dropped} of 4,000 elements were dropped"
        )

    def test_another_seed_another_mask(self, kata):
        """The seed is all that the mask depends on."""
        x = torch.ones(200)
        check.that(
            not torch.equal(kata.dropout(x, 0.5, 1), kata.dropout(x, 0.5, 2)),
            "seeds 1 and 2 drop the same",
        )
        check.equal(kata.dropout(x, 0.5, 1), kata.dropout(x, 0.5, 1))


@pytest.mark.stretch
class TestDropoutBackward:
    def test_the_same_elements_are_dropped(self, kata):
        """The gradient passes where the value passed, with the same scale."""
        grad = torch.randn(300)
        expected = torch.where(uniforms(4, 300) >= 0.4, grad / 0.6, 0.0)
        check.close(
            kata.dropout_backward(grad, 0.4, 4),
            expected,
            unlike={"not scaled": expected * 0.6},
        )

    def test_no_mask_is_stored(self, kata):
        """One load and one store per element: the mask is made again from the seed."""
        grad = torch.randn(320)
        with kernels.watched() as seen:
            out = kata.dropout_backward(grad, 0.4, 4, block=64)
        check.close(out, torch.where(uniforms(4, 320) >= 0.4, grad / 0.6, 0.0))
        check.moved(seen, loads=320, stores=320, programs=5, grad=grad)
        check.kernels_compute(lambda: kata.dropout_backward(grad, 0.4, 4), out)


@pytest.mark.stretch
class TestGatherRows:
    def test_rows_in_the_order_of_the_index(self, kata):
        """A program loads a row's number first. It is an address, as in an
        embedding's table.
        """
        x, index = torch.arange(6 * 64.0).reshape(6, 64), torch.tensor([4, 0, 4, 5])
        unlike = {
            "a row's number taken for its address: times N": x.flatten()[
                index[:, None] + torch.arange(64)
            ]
        }
        check.close(
            kata.gather_rows(x, index),
            torch.stack([x[4], x[0], x[4], x[5]]),
            unlike=unlike,
        )

    def test_no_other_row_is_loaded(self, kata):
        """R · N numbers and R row numbers: the table may be much larger. Its rows may
        be wide.
        """
        for N in (33, 1100):
            x, index = torch.randn(50, N), torch.tensor([7, 49, 7])
            with kernels.watched() as seen:
                out = kata.gather_rows(x, index)
            check.close(out, torch.stack([x[7], x[49], x[7]]))
            check.moved(seen, loads=3 * N + 3, stores=3 * N, programs=3, x=x)
        check.kernels_compute(lambda: kata.gather_rows(x, index), out)
