"""Specs of kata papers/19: random swaps, coarse states, both curves, diffusion by hand
and learned, recurrence.
"""

import copy
import functools
import math
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

WAYS = {
    "vertical, offset 0": (True, 0),
    "vertical, offset 1": (True, 1),
    "horizontal, offset 0": (False, 0),
    "horizontal, offset 1": (False, 1),
}


def cups(*size):
    """Random cells, 0 or 1."""
    return torch.randint(2, size).float()


def chessboard(batch_size, height, width):
    """Cells that differ from all their neighbours: each swap changes both cells of
    its pair.
    """
    board = (torch.arange(height)[:, None] + torch.arange(width)) % 2
    return board.float().expand(batch_size, 1, -1, -1).clone()


def pairs(height, width, vertical, offset):
    """The pairs of partners: ((row, column), (row, column)), …"""
    if vertical:
        return [
            ((i, j), (i + 1, j))
            for i in range(offset, height - 1, 2)
            for j in range(width)
        ]
    return [
        ((i, j), (i, j + 1)) for i in range(height) for j in range(offset, width - 1, 2)
    ]


def swapped(state, way, copied=False):
    """The state with every pair swapped. As a slip, `copied` puts the second cell of a
    pair into both.
    """
    result = state.clone()
    for (i, j), (k, m) in pairs(*state.shape[2:], *WAYS[way]):
        result[..., i, j] = state[..., k, m]
        if not copied:
            result[..., k, m] = state[..., i, j]
    return result


def nearest(got, state):
    """Of the four states with every pair swapped, the one that is most like `got`."""
    return min(
        (swapped(state, way) for way in WAYS),
        key=lambda other: int((other != got).sum()),
    )


def slips_of_mixing(state):
    """By name, what some slips lead to if every pair swaps."""
    slips = {"nothing has moved": state}
    slips |= {
        f"one cell of a pair in both places ({way})": swapped(state, way, copied=True)
        for way in WAYS
    }
    turns = {"down": (1, 2), "up": (-1, 2), "right": (1, 3), "left": (-1, 3)}
    return slips | {
        f"the whole grid rolled {name}": state.roll(*turn)
        for name, turn in turns.items()
    }


def diffused(state, p, beyond="nothing"):
    """The mean next state, cell by cell, in float64. As slips, `beyond` the border are
    "zeros" or the "far side".
    """
    *_, height, width = state.shape
    state, result = state.double(), state.double().clone()
    for i in range(height):
        for j in range(width):
            for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                inside = 0 <= k < height and 0 <= m < width
                if inside or beyond == "far side":
                    result[..., i, j] += (
                        p / 4 * (state[..., k % height, m % width] - state[..., i, j])
                    )
                elif beyond == "zeros":
                    result[..., i, j] -= p / 4 * state[..., i, j]
    return result


def slips_of_diffusion(state, p):
    """By name, what some slips lead to."""
    return {
        "zeros beyond the border": diffused(state, p, "zeros"),
        "the far side beyond the border": diffused(state, p, "far side"),
        "p times the differences, not p / 4": diffused(state, 4 * p),
        "p / 2 times the differences, not p / 4": diffused(state, 2 * p),
        "a quarter of the differences, whatever p": diffused(state, 1),
        "the changes without the cell itself": diffused(state, p) - state.double(),
        "the sign of the changes exchanged": diffused(state, -p),
    }


@st.composite
def grids(draw, smallest=2):
    """A state of 0 and 1, of any size."""
    size = draw(
        st.tuples(
            st.integers(1, 2),
            st.just(1),
            st.integers(smallest, 6),
            st.integers(smallest, 6),
        )
    )
    cells = draw(
        st.lists(st.integers(0, 1), min_size=math.prod(size), max_size=math.prod(size))
    )
    return torch.tensor(cells).float().reshape(size)


class TestMixStep:
    def test_probability_0_moves_nothing_and_1_swaps_every_pair(self, kata):
        """Along one direction, from the offset on, each cell has one partner. If every
        pair swaps, there are four possible results: two directions, two offsets. A cell
        without a partner stays, so nothing comes round from the far side.
        """
        state = cups(2, 1, 7, 10)
        for _ in range(10):
            check.equal(
                kata.mix_step(state.clone(), 0.0),
                state,
                what="the state after a step with probability 0",
            )
            got = kata.mix_step(state.clone(), 1.0)
            check.shape(got, state.shape)
            check.equal(
                got,
                nearest(got, state),
                unlike=slips_of_mixing(state),
                what="the state, probability 1",
            )

    def test_cream_is_neither_made_nor_lost(self, kata):
        """A swap moves cream. After any number of steps each grid holds 0 and 1 only,
        and as many ones as at first.
        """
        state = cups(3, 1, 6, 9)
        before = state.sum(dim=(1, 2, 3))
        for step in range(1, 31):
            state = kata.mix_step(state)
            check.that(
                bool(((state == 0) | (state == 1)).all()),
                f"after step {step} there are cells beside 0 and 1",
            )
            check.equal(
                state.sum(dim=(1, 2, 3)),
                before,
                what=f"cream cells of the 3 grids after step {step}",
            )

    def test_both_directions_and_both_offsets_occur(self, kata):
        """With one offset alone, the pairs are always the same, and cream never leaves
        its pair. 64 steps with probability 1 show all four kinds.
        """
        state = cups(1, 1, 5, 6)
        results = [kata.mix_step(state.clone(), 1.0) for _ in range(64)]
        absent = [
            way
            for way in WAYS
            if not any(torch.equal(swapped(state, way), got) for got in results)
        ]
        check.that(not absent, f"in 64 steps these never occurred: {'; '.join(absent)}")

    def test_each_pair_swaps_on_its_own(self, kata):
        """On a chessboard every swap shows. Changed cells come in pairs of neighbours,
        and with probability 0.3 about 30 % of the pairs change, in every grid some
        of them.
        """
        state, count, all_pairs = chessboard(2, 9, 8), 0, 0
        numbers = torch.arange(72).reshape(1, 1, 9, 8)
        for _ in range(20):
            changed = kata.mix_step(state.clone(), 0.3) != state
            fits = []
            for way in WAYS:
                alone = swapped(numbers, way) == numbers  # cells without a partner
                if (
                    torch.equal(swapped(changed, way), changed)
                    and not (changed & alone).any()
                ):
                    fits.append(72 - int(alone.sum()))
            check.that(
                bool(fits),
                "some cells changed without their partner, or in both directions at "
                "once",
            )
            for grid in changed:
                check.that(
                    0 < int(grid.sum()) < fits[0],
                    "in a grid all pairs swap or none: draw a number per pair",
                )
            count, all_pairs = count + int(changed.sum()), all_pairs + 2 * fits[0]
        says = (
            f"with swap_probability=0.3, {count / all_pairs:.0%} of the pairs swap, "
            "expected about 30 %"
        )
        check.that(0.22 < count / all_pairs < 0.38, says)

    def test_grids_of_a_batch_mix_independently(self, kata):
        """Two equal grids differ after one step. With one mask for the whole batch they
        would stay equal forever.
        """
        got = kata.mix_step(chessboard(2, 8, 9))
        check.that(
            not torch.equal(got[0], got[1]),
            "two equal grids are still equal after a step",
        )

    def test_its_mean_is_diffusion(self, kata):
        """Each cell has its upper, lower, left and right neighbour as its partner
        equally often. So in the mean over 1000 steps from one state, a cell moves p / 4
        of the way to each neighbour, within 0.05. Border cells have fewer neighbours.
        """
        cup = cups(1, 1, 5, 4)
        mean = (
            sum(
                kata.mix_step(cup.repeat(8, 1, 1, 1), 0.8).mean(dim=0)
                for _ in range(1000)
            )
            / 1000
        )
        expected = diffused(cup, 0.8)[0]
        unlike = {
            name: wrong[0] for name, wrong in slips_of_diffusion(cup, 0.8).items()
        }
        check.close(
            mean,
            expected,
            rtol=0,
            atol=0.05,
            unlike=unlike,
            what="the mean of 1000 next states",
        )

    def test_the_generator_alone_draws(self, kata):
        """Generators of the same seed give the same steps, whatever the state of the
        global one. A generator of another seed gives others.
        """

        def steps(seed, generator):
            torch.manual_seed(seed)
            generator = torch.Generator().manual_seed(generator)
            return torch.stack(
                [
                    kata.mix_step(chessboard(1, 6, 7), generator=generator)
                    for _ in range(5)
                ]
            )

        first = steps(1, 5)
        check.equal(
            steps(2, 5),
            first,
            what="five steps with a second generator of the same seed",
        )
        check.that(
            not torch.equal(steps(1, 6), first),
            "another seed gives the same steps: it is not used",
        )

    @given(case=grids())
    def test_any_size_of_grid(self, kata, case):
        """Sizes may be even or odd, and different from each other. With probability 1
        every pair swaps.
        """
        got = kata.mix_step(case.clone(), 1.0)
        check.shape(got, case.shape)
        check.equal(got, nearest(got, case), unlike=slips_of_mixing(case))

    @pytest.mark.edge
    def test_the_state_is_not_written_to(self, kata):
        """The caller may still need the state before the step."""
        state = chessboard(2, 5, 6)
        for probability in (1.0, 0.0):
            with check.unchanged(state=state):
                got = kata.mix_step(state, probability)
            check.independent(got, state, what="the next state")

    @pytest.mark.edge
    @pytest.mark.parametrize("probability", [1.5, -0.1])
    def test_a_probability_is_between_0_and_1(self, kata, probability):
        """A comparison with random numbers would silently take 1.5 for 1, and −0.1
        for 0.
        """
        with check.raises(ValueError):
            kata.mix_step(cups(1, 1, 4, 4), probability)


def levels_of(state, window, stride, levels, level=None):
    """The coarse state by counting cream in each full window. `level` turns a count
    into a number, as a slip.
    """
    cells = window * window
    level = level or (lambda count: min(count * levels // cells, levels - 1))
    rows = [
        [
            [
                level(int(grid[i : i + window, j : j + window].sum()))
                for j in range(0, grid.shape[1] - window + 1, stride)
            ]
            for i in range(0, grid.shape[0] - window + 1, stride)
        ]
        for grid in state[:, 0]
    ]
    return torch.tensor(rows, dtype=torch.uint8)[:, None]


def slips_of_coarse(state, window, stride, levels):
    """By name, what some slips lead to."""
    cells = window * window
    slips = {
        "round(mean · (levels − 1))": lambda count: round(count / cells * (levels - 1)),
        "floor(mean · (levels − 1))": lambda count: int(count / cells * (levels - 1)),
        "mean · levels rounded to the nearest": lambda count: min(
            round(count / cells * levels), levels - 1
        ),
        "a mean of 1 in a level of its own": lambda count: count * levels // cells,
        "the maximum, not the mean": lambda count: (levels - 1) * (count > 0),
    }
    return {
        name: levels_of(state, window, stride, levels, level)
        for name, level in slips.items()
    }


@st.composite
def coarse_cases(draw):
    """A state, a window that fits in and that makes exact means, a stride, and the
    number of levels.
    """
    state = draw(grids())
    window = draw(
        st.sampled_from([size for size in (1, 2, 4) if size <= min(state.shape[2:])])
    )
    return state, window, draw(st.integers(1, 4)), draw(st.integers(2, 5))


class TestCoarseGrain:
    def test_a_small_cup_by_hand(self, kata):
        """Windows of 2 × 2 with 0, 1, 2, 3, 4 and 4 cream cells have means of 0, 0.25,
        0.5, 0.75, 1 and 1. In four levels that is 0, 1, 2, 3, 3, 3: the mean times 4,
        rounded down, and 3 at most.
        """
        state = torch.tensor(
            [
                [0.0, 0, 0, 0, 0, 1],
                [0, 0, 1, 0, 1, 0],
                [1, 1, 1, 1, 1, 1],
                [0, 1, 1, 1, 1, 1],
            ]
        )
        expected = torch.tensor([[[[0, 1, 2], [3, 3, 3]]]], dtype=torch.uint8)
        state = state[None, None]
        unlike = slips_of_coarse(state, 2, 2, 4)
        del unlike["mean · levels rounded to the nearest"]  # these are whole numbers
        check.close(kata.coarse_grain(state, 2, 2, 4), expected, unlike=unlike)

    def test_levels_are_uint8_from_0_to_the_number_of_levels_less_1(self, kata):
        """Pure coffee is level 0, pure cream the highest level. A mean of 1 makes no
        level of its own: L levels are the numbers from 0 to L − 1. One byte each is
        enough, so the dtype is uint8.
        """
        state = torch.stack([torch.zeros(1, 6, 6), torch.ones(1, 6, 6)])
        for levels in (2, 3, 5):
            expected = torch.tensor([0, levels - 1], dtype=torch.uint8)[
                :, None, None, None
            ].expand(2, 1, 2, 2)
            unlike = {
                "a mean of 1 in a level of its own": torch.tensor([0, levels])
                .reshape(2, 1, 1, 1)
                .expand(2, 1, 2, 2)
            }
            got = kata.coarse_grain(state, 3, 3, levels)
            check.close(
                got, expected, unlike=unlike, what=f"the coarse states, levels={levels}"
            )
            check.dtype(got, torch.uint8)

    def test_windows_overlap_and_are_full(self, kata):
        """On 7 × 10 cells, windows of 4 begin in every third row and column: 2 × 3
        windows that share cells. There is no window beyond the border, and nothing is
        padded. Without `levels` there are three.
        """
        state = cups(3, 1, 7, 10)
        state[0, 0, :4, :4] = 1
        expected = levels_of(state, 4, 3, 3)
        check.close(
            kata.coarse_grain(state, 4, 3),
            expected,
            unlike=slips_of_coarse(state, 4, 3, 3),
        )

    @given(case=coarse_cases())
    def test_any_window_stride_and_levels(self, kata, case):
        """Count the cream of each window, and compare."""
        check.close(
            kata.coarse_grain(*case), levels_of(*case), unlike=slips_of_coarse(*case)
        )


def replay(kata, seed, size, window, stride, steps, every, levels, p):
    """The readings by name, and some slips, with the same steps."""
    torch.manual_seed(99)
    states, others = [kata.initial_state(size, size)], [kata.initial_state(size, size)]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps + 1):
        states.append(kata.mix_step(states[-1], p, generator))
        others.append(kata.mix_step(others[-1], p))
    numbers = list(range(0, steps + 1, every))

    def read(states, coarse=True, levels=levels):
        fine = [kata.compressed_size(state) for state in states]
        blurred = [
            kata.compressed_size(levels_of(state, window, stride, levels))
            for state in states
        ]
        return {
            "step": numbers,
            "entropy": fine,
            "complexity": blurred if coarse else fine,
        }

    chosen = [states[number] for number in numbers]
    return read(chosen), {
        "complexity of the fine state": read(chosen, coarse=False),
        "three levels, whatever `levels` says": read(chosen, levels=3),
        "readings after the step": read([states[number + 1] for number in numbers]),
        "a generator that `mix_step` did not get": read(
            [others[number] for number in numbers]
        ),
    }


@functools.cache
def long_curve(kata):
    """A cup of 40 × 40 cells, read every 350 of 7000 steps."""
    return kata.complexity_curve(
        40, 8, 2, steps=7000, every=350, generator=torch.Generator().manual_seed(1)
    )


class TestComplexityCurve:
    def test_readings_are_taken_every_so_many_steps(self, kata):
        """Three lists of ints, one entry per reading: before step 0, before step
        `every`, and so on, up to and including `steps`.
        """
        for steps, every, expected in (
            (10, 4, [0, 4, 8]),
            (6, 3, [0, 3, 6]),
            (0, 5, [0]),
        ):
            curve = kata.complexity_curve(8, 4, 2, steps=steps, every=every)
            check.that(
                isinstance(curve, dict), f"expected a dict, not {check.describe(curve)}"
            )
            check.equal(
                sorted(curve), ["complexity", "entropy", "step"], what="the keys"
            )
            check.equal(
                curve["step"],
                expected,
                what=f"curve['step'] with steps={steps}, every={every}",
            )
            for name in ("entropy", "complexity"):
                check.that(
                    isinstance(curve[name], list),
                    f"{name} is not a list, but {check.describe(curve[name])}",
                )
                count, wanted = len(curve[name]), len(expected)
                check.that(
                    count == wanted, f"{count} readings of {name}, expected {wanted}"
                )
                check.that(
                    all(type(size) is int for size in curve[name]),
                    f"the readings of {name} are not ints",
                )

    def test_the_first_reading_is_that_of_the_unmixed_cup(self, kata):
        """Step 0 is read before anything has moved: the bytes of `initial_state` and of
        its coarse state.
        """
        state = kata.initial_state(12, 12)
        expected = {
            "step": [0],
            "entropy": [kata.compressed_size(state)],
            "complexity": [kata.compressed_size(levels_of(state, 4, 2, 4))],
        }
        unlike = {
            "complexity of the fine state": expected
            | {"complexity": expected["entropy"]},
            "entropy of the coarse state": expected
            | {"entropy": expected["complexity"]},
        }
        got = kata.complexity_curve(12, 4, 2, steps=0, every=1, levels=4)
        check.equal(got, expected, unlike=unlike)

    def test_readings_are_those_of_a_replay(self, kata):
        """A reading before step t shows the state after t calls of `mix_step`, one per
        step, and each call gets the probability and the generator. So a replay from the
        same seed gives the same numbers.
        """
        for seed in range(3):
            expected, unlike = replay(
                kata, seed, 16, 4, 2, steps=30, every=6, levels=5, p=0.9
            )
            generator = torch.Generator().manual_seed(seed)
            options = {"levels": 5, "swap_probability": 0.9, "generator": generator}
            torch.manual_seed(99)
            got = kata.complexity_curve(16, 4, 2, steps=30, every=6, **options)
            check.equal(got, expected, unlike=unlike, what="curve")

    @pytest.mark.timeout(60)
    def test_entropy_rises_and_stays(self, kata):
        """The exact state of a mixed cup needs more than 5 times the bytes of the first
        one, and the curve ends at its highest level: the mean of the last five readings
        is within 6 % of the maximum.
        """
        entropy = long_curve(kata)["entropy"]
        first, top, end = entropy[0], max(entropy), sum(entropy[-5:]) / 5
        says = (
            f"the entropy is {first} bytes at first, {top} at most, and {end:.0f} in "
            "the mean of the last five"
        )
        check.that(
            end > 5 * first, f"{says}: expected more than 5 times the first at the end"
        )
        check.that(
            end > 0.94 * top, f"{says}: expected an end within 6 % of the maximum"
        )

    @pytest.mark.timeout(60)
    def test_complexity_rises_and_falls(self, kata):
        """The key result: the coarse state is simple at first, and simple at the end.
        In between it needs more than 1.8 times as many bytes as at either end.
        """
        complexity = long_curve(kata)["complexity"]
        first, peak, end = complexity[0], max(complexity), sum(complexity[-5:]) / 5
        says = (
            f"the complexity is {first} bytes at first, {peak} at most, and {end:.0f} "
            "in the mean of the last five"
        )
        check.that(
            0 < complexity.index(peak) < len(complexity) - 1,
            f"{says}: the highest reading is at an end",
        )
        check.that(
            peak > 1.8 * first,
            f"{says}: expected a rise to more than 1.8 times the first",
        )
        check.that(peak > 1.8 * end, f"{says}: expected a fall by more than 1.8 times")


@pytest.mark.stretch
class TestExpectedStep:
    def test_one_drop_spreads_to_four_neighbours(self, kata):
        """With p = 0.8, a drop in the middle keeps 1 − 0.8 = 0.2, and each neighbour
        gets 0.8 / 4 = 0.2. A drop in the corner has two neighbours only: it keeps 0.6.
        """
        for name, (row, column) in {"the middle": (1, 2), "a corner": (0, 0)}.items():
            state = torch.zeros(1, 1, 3, 4)
            state[0, 0, row, column] = 1
            expected = diffused(state, 0.8)
            got = kata.expected_step(state.clone(), 0.8)
            check.close(
                got,
                expected,
                unlike=slips_of_diffusion(state, 0.8),
                what=f"a drop in {name}, spread",
            )

    def test_every_cell_moves_towards_its_neighbours(self, kata):
        """A batch of grids with values between 0 and 1, against a loop over all cells
        and their neighbours. A neighbour that is not there adds nothing.
        """
        state = torch.rand(3, 1, 5, 4)
        for p in (0.4, 1.0):
            got = kata.expected_step(state.clone(), p)
            check.close(
                got,
                diffused(state, p),
                unlike=slips_of_diffusion(state, p),
                what=f"the mean state for p = {p}",
            )

    def test_no_cream_is_lost(self, kata):
        """A cell's loss is its neighbour's gain. So each grid keeps its sum, and one
        that is the same everywhere does not change, not even at the border.
        """
        state = torch.rand(2, 1, 6, 5)
        got = kata.expected_step(state.clone())
        check.close(
            got.sum(dim=(1, 2, 3)),
            state.sum(dim=(1, 2, 3)),
            what="the cream of each grid",
        )
        even = torch.full((2, 1, 4, 5), 0.7)
        unlike = {"zeros beyond the border": diffused(even, 0.5, "zeros")}
        check.close(
            kata.expected_step(even.clone()),
            even,
            unlike=unlike,
            what="an evenly mixed cup after a step",
        )

    @given(case=grids(smallest=1))
    def test_any_size_of_grid(self, kata, case):
        """Also for a grid of one row, one column or one cell."""
        check.close(
            kata.expected_step(case.clone(), 0.6),
            diffused(case, 0.6),
            unlike=slips_of_diffusion(case, 0.6),
        )

    @pytest.mark.edge
    def test_float64_stays_float64(self, kata):
        """A float64 state is computed in float64 all the way."""
        state = torch.rand(2, 1, 4, 5, dtype=torch.float64)
        got = kata.expected_step(state.clone(), 0.3)
        check.dtype(got, torch.float64)
        check.close(got, diffused(state, 0.3), rtol=0, atol=1e-9)


@pytest.mark.stretch
class TestExpectedStepNumpy:
    def arrays(self, state, p):
        """The right answer and the slips, as arrays."""
        return diffused(state, p).numpy(), {
            n: wrong.numpy() for n, wrong in slips_of_diffusion(state, p).items()
        }

    def test_every_cell_moves_towards_its_neighbours(self, kata):
        """The same rule as in torch, on a batch of grids, within 1e-5 of a loop over
        all cells.
        """
        state = torch.rand(3, 1, 4, 6, dtype=torch.float64)
        for p in (0.4, 1.0):
            expected, unlike = self.arrays(state, p)
            got = kata.expected_step_numpy(state.numpy().copy(), p)
            check.close(
                got,
                expected,
                rtol=0,
                atol=1e-5,
                unlike=unlike,
                what=f"the mean state for p = {p}",
            )

    def test_an_even_cup_does_not_change(self, kata):
        """There are no differences to level out, and nothing flows over the border."""
        even = np.full((2, 1, 3, 4), 0.3)
        unlike = {
            "zeros beyond the border": diffused(
                torch.tensor(even), 0.5, "zeros"
            ).numpy()
        }
        check.close(kata.expected_step_numpy(even.copy()), even, unlike=unlike)

    @given(case=grids(smallest=1))
    def test_any_size_of_grid(self, kata, case):
        """Also for a grid of one row, one column or one cell."""
        expected, unlike = self.arrays(case, 0.6)
        got = kata.expected_step_numpy(case.double().numpy(), 0.6)
        check.close(got, expected, rtol=0, atol=1e-5, unlike=unlike)

    @pytest.mark.edge
    def test_float64_precision_and_the_state_left_alone(self, kata):
        """Within 1e-9, and the caller's array is as before."""
        state = torch.rand(2, 1, 5, 3, dtype=torch.float64)
        array = state.numpy().copy()
        check.close(
            kata.expected_step_numpy(array, 0.3),
            diffused(state, 0.3).numpy(),
            rtol=0,
            atol=1e-9,
        )
        check.equal(array, state.numpy(), what="the state after the call")


@pytest.mark.stretch
class TestDiffusionModel:
    def test_its_only_parameter_is_a_kernel_of_nine_weights(self, kata):
        """One 3 × 3 kernel for the whole cup, and no bias: diffusion adds no cream of
        its own.
        """
        got = {
            name: tuple(parameter.shape)
            for name, parameter in kata.DiffusionModel().named_parameters()
        }
        check.equal(got, {"conv.weight": (1, 1, 3, 3)}, what="shapes of the parameters")

    def test_forward_is_the_convolution_with_a_copied_border(self, kata):
        """The output has the size of the grid. Beyond the border, the nearest cell
        counts once more. Zeros there would make the cup lose cream, and the far side is
        no neighbour.
        """
        model, state = kata.DiffusionModel(), torch.rand(2, 1, 5, 4)
        weight = model.conv.weight.detach().double()

        def padded(mode):
            return F.conv2d(F.pad(state.double(), (1, 1, 1, 1), mode=mode), weight)

        unlike = {
            "zeros beyond the border": padded("constant"),
            "the far side beyond the border": padded("circular"),
            "the border mirrored, not copied": padded("reflect"),
            "a relu at the end": padded("replicate").relu(),
        }
        with torch.no_grad():
            check.close(model(state), padded("replicate"), unlike=unlike)

    def test_with_the_right_kernel_it_is_diffusion(self, kata):
        """1 − p in the centre, p / 4 beside it, 0 in the corners: with these weights
        the model gives the mean next state, up to the border.
        """
        model, state, p = kata.DiffusionModel(), torch.rand(3, 1, 4, 6), 0.6
        kernel = torch.tensor([[0, p / 4, 0], [p / 4, 1 - p, p / 4], [0, p / 4, 0]])
        with torch.no_grad():
            model.conv.weight.copy_(kernel)
            check.close(
                model(state), diffused(state, p), unlike=slips_of_diffusion(state, p)
            )


class Witness(nn.Module):
    """One convolution. It keeps the states that it was called with, and its mode."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate", bias=False)
        self.read, self.modes = [], []

    def forward(self, state):
        self.read.append(state.detach().clone())
        self.modes.append(self.training)
        return self.conv(state)


def mirrored(state, swap_probability=0.5, generator=None):
    """Stands in for `mix_step`: left and right exchanged, so that a spec knows
    the target.
    """
    return state.flip(3)


@pytest.mark.stretch
class TestTrainDiffusion(training.Contract):
    """Steps of Adam towards the next state. A mirror stands in for `mix_step` where a
    spec needs to know that state.
    """

    model, lr, default_lr = Witness, 0.1, 0.02

    def train(self, kata, model, **options):
        return kata.train_diffusion(model, size=6, batch_size=8, **options)

    def batches(self, model, steps):
        """The grids of each step. They may have come in several calls."""
        return torch.cat(model.read).chunk(steps)

    def loss(self, model, state):
        return (model(state) - state.flip(3)).square().mean()

    def wrong_losses(self, model, state):
        return {
            "the state itself as the target": (model(state) - state).square().mean(),
            "the sum, not the mean": (model(state) - state.flip(3)).square().sum(),
            "next states in another order than the grids": (
                model(state) - state.flip(0, 3)
            )
            .square()
            .mean(),
        }

    def test_every_step_draws_new_grids_with_shares_of_their_own(self, kata):
        """Each grid has its own share of cream, from nearly none to nearly all. With
        one share for all grids the model would not see pure coffee or pure cream. Each
        step draws anew.
        """
        model = Witness()
        kata.train_diffusion(model, steps=2, size=8, batch_size=200)
        first, second = self.batches(model, 2)
        check.shape(first, (200, 1, 8, 8), what="the states of one step")
        check.that(
            bool(((first == 0) | (first == 1)).all()),
            "the states hold numbers beside 0 and 1",
        )
        shares = first.mean(dim=(1, 2, 3))
        low, middle, high = (
            (shares < 1 / 4).sum(),
            (shares - 1 / 2).abs().le(1 / 4).sum(),
            (shares > 3 / 4).sum(),
        )
        says = (
            f"{low} of 200 grids have a share of cream below 1/4, {middle} one in "
            f"between and {high} one above 3/4"
        )
        check.that(
            min(low, high) > 25 and middle > 60,
            f"{says}: expected about 50, 100 and 50",
        )
        check.that(
            not torch.equal(first, second),
            "steps 0 and 1 see the same grids: draw new ones per step",
        )

    def test_the_first_loss_is_that_of_the_fresh_model(self, kata):
        """The mean over all cells of (prediction − next state)², before the update.
        Each grid is compared with its own next state, also if groups were mixed apart.
        """
        with mock.patch.object(kata, "mix_step", mirrored):
            super().test_the_first_loss_is_that_of_the_fresh_model(kata)

    def test_every_step_is_that_of_the_optimizer(self, kata):
        """On the same batches, Adam by hand moves the kernel as far and has the same
        losses. Each step uses the gradients of its own batch alone, and the learning
        rate asked for.
        """
        with mock.patch.object(kata, "mix_step", mirrored):
            super().test_every_step_is_that_of_the_optimizer(kata)

    def test_a_batch_is_mixed_in_four_groups_or_more(self, kata):
        """One call of `mix_step` has one direction and one offset for all grids in it.
        The mean shows only if a batch has several. Each call gets the probability and
        the generator.
        """
        calls = []

        def noting(state, swap_probability=0.5, generator=None):
            calls.append((len(state), swap_probability, generator))
            return state

        source = torch.Generator().manual_seed(2)
        with mock.patch.object(kata, "mix_step", noting):
            kata.train_diffusion(
                Witness(),
                steps=2,
                size=6,
                batch_size=16,
                swap_probability=0.7,
                generator=source,
            )
        grids, probabilities, sources = (
            zip(*calls, strict=True) if calls else ((), (), ())
        )
        check.that(
            sum(grids) == 32,
            f"mix_step got {sum(grids)} grids in 2 steps of 16, expected 32",
        )
        check.that(
            len(calls) >= 8,
            f"mix_step was called {len(calls)} times in 2 steps, expected at least 4 "
            "per step",
        )
        check.that(
            set(probabilities) == {0.7},
            f"mix_step got swap_probability {set(probabilities)}, expected 0.7",
        )
        check.that(
            all(one is source for one in sources), "mix_step did not get the generator"
        )

    @pytest.mark.timeout(60)
    def test_the_kernel_becomes_that_of_diffusion(self, kata):
        """No single target is a mean, but the best prediction of a random target is its
        mean. So the learned kernel is 1 − p = 0.5 in the centre, about p / 4 = 0.125
        beside it, and 0 in the corners.
        """
        torch.manual_seed(1)
        model = Witness()
        kata.train_diffusion(
            model, steps=300, generator=torch.Generator().manual_seed(1)
        )
        kernel = model.conv.weight.detach()[0, 0]
        shown = "; ".join(
            " ".join(f"{weight:.3f}" for weight in row) for row in kernel.tolist()
        )
        beside = kernel.flatten()[1::2]
        says = f"the learned kernel is {shown}: expected"
        check.that(
            abs(kernel[1, 1].item() - 0.5) < 0.05,
            f"{says} 0.5 in the centre, within 0.05",
        )
        check.that(
            bool(((beside - 0.125).abs() < 0.06).all()),
            f"{says} 0.125 beside the centre, within 0.06",
        )
        check.that(
            bool((kernel[::2, ::2].abs() < 0.03).all()),
            f"{says} 0 in the corners, within 0.03",
        )


def cycles(*lengths):
    """A permutation made of cycles of these lengths, side by side."""
    permutation, first = [], 0
    for length in lengths:
        permutation += [first + (place + 1) % length for place in range(length)]
        first += length
    return torch.tensor(permutation)


@st.composite
def laws(draw):
    """A state of 12 cells in three rows, and a permutation."""
    cells = draw(st.lists(st.integers(0, 1), min_size=12, max_size=12))
    return torch.tensor(cells).float().reshape(3, 4), draw(st.permutations(range(12)))


@pytest.mark.stretch
class TestRecurrenceTime:
    def test_cells_that_differ_return_with_their_cycles(self, kata):
        """If nothing moves, all is back after 1 step. A cycle of N different cells
        needs N steps. Cycles of 3 and of 4 are back together after 12 steps, and cycles
        of 4 and of 6 as well.
        """
        for lengths, expected in (
            ((1, 1, 1, 1), 1),
            ((7,), 7),
            ((3, 4), 12),
            ((4, 6), 12),
            ((6, 10, 15), 30),
        ):
            state = torch.arange(sum(lengths)).float()
            unlike = {
                "the longest cycle": max(lengths),
                "the product of the lengths": math.prod(lengths),
            }
            got = kata.recurrence_time(state, cycles(*lengths))
            check.equal(
                got, expected, unlike=unlike, what=f"the time for cycles of {lengths}"
            )

    def test_equal_cells_return_earlier(self, kata):
        """Only the contents of the cells count. 0 1 0 1 0 1 on a cycle of 6 is itself
        again after 2 steps, and pure coffee after 1. On a ring, the end meets the
        beginning: 1 0 1 needs all 3 steps, and 0 1 1 0 1 1 0 1 all 8.
        """
        for cells, expected in (
            ("010101", 2),
            ("000000", 1),
            ("101", 3),
            ("01101101", 8),
            ("011011", 3),
        ):
            state = torch.tensor([float(cell) for cell in cells])
            size = len(cells)
            unlike = {"the length of the cycle": size}
            unlike |= (
                {"the end not compared with the beginning": 2} if cells == "101" else {}
            )
            unlike |= (
                {"the end not compared with the beginning": 3}
                if cells == "01101101"
                else {}
            )
            got = kata.recurrence_time(state, cycles(size))
            check.equal(
                got, expected, unlike=unlike, what=f"the time for {cells} on one cycle"
            )

    @given(case=laws())
    def test_stepping_gives_the_same(self, kata, case):
        """For any state and permutation of a (3, 4) grid, stepping until the state is
        back takes as long.
        """
        state, permutation = case
        start = state.flatten().tolist()
        now, steps = [start[cell] for cell in permutation], 1
        while now != start:
            now, steps = [now[cell] for cell in permutation], steps + 1
        check.equal(kata.recurrence_time(state, torch.tensor(permutation)), steps)

    @pytest.mark.timeout(4)
    def test_long_times_are_computed_not_counted(self, kata):
        """Cycles of 2, 3, 5, 7, 11, 13, 17, 19 and 23 different cells: 100 cells are
        back together after 223 092 870 steps. Counting them one by one takes minutes;
        the cycles tell it at once.
        """
        lengths = (2, 3, 5, 7, 11, 13, 17, 19, 23)
        check.equal(
            kata.recurrence_time(torch.arange(100.0), cycles(*lengths)), 223_092_870
        )

    @pytest.mark.edge
    def test_the_inputs_are_not_written_to(self, kata):
        """State and law are still needed, to look at the steps."""
        state, permutation = cups(3, 4), cycles(5, 7)
        with check.unchanged(state=state, permutation=permutation):
            kata.recurrence_time(state, permutation)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "wrong",
        [[1, 0, 0, 2], [1, 2, 3, 4], [1, -2, 3, 0], [1, 2, 0], [1, 2, 3, 4, 0]],
        ids=str,
    )
    def test_the_law_must_be_a_permutation(self, kata, wrong):
        """Every cell must go to exactly one place: here 4 cells and a law with an entry
        twice, one too large, one negative, one missing, one too many. Such a law loses
        something, and the state might never return.
        """
        with check.raises(ValueError):
            kata.recurrence_time(torch.arange(4.0), torch.tensor(wrong))
