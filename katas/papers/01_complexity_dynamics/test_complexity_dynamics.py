"""Specs of kata papers/01: automata, block entropy, two gases that mix, a convolution
that learns a rule.
"""

import copy
import functools
import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

# 11 cells that are not symmetric, with a live one on the border
ROW = [1, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1]


# Automata


def answer(rule, left, centre, right):
    """The next state of a cell, read from the rule written as eight binary digits, the
    highest first.
    """
    return int(f"{rule:08b}"[7 - int(f"{left}{centre}{right}", base=2)])


def next_row(row, rule, beyond=None):
    """The row after this one, cell by cell. `beyond` stands for the cells beyond the
    ends; None closes the ring.
    """
    padded = [row[-1], *row, row[0]] if beyond is None else [beyond, *row, beyond]
    return [answer(rule, *padded[i : i + 3]) for i in range(len(row))]


def in_turn(row, rule):
    """A slip: each cell changes before its right neighbour is looked at."""
    row = list(row)
    for i in range(len(row)):
        row[i] = answer(rule, row[i - 1], row[i], row[(i + 1) % len(row)])
    return row


def history(start, rule, steps, step=next_row):
    """The start and the rows after it, as a tensor (steps + 1, W)."""
    rows = [list(start)]
    for _ in range(steps):
        rows.append(step(rows[-1], rule))
    return torch.tensor(rows)


def live_cell(rule, width=129, steps=60):
    """The picture that grows from one live cell."""
    return history([int(i == width // 2) for i in range(width)], rule, steps)


def slips_of_evolve(start, rule, steps):
    """By name, what some slips lead to."""
    turned = int(f"{rule:08b}"[::-1], base=2)
    return {
        "zeros beyond the border, not a ring": history(
            start, rule, steps, lambda r, n: next_row(r, n, beyond=0)
        ),
        "left and right are exchanged": history(start[::-1], rule, steps).flip(-1),
        "the table is read from its other end": history(start, turned, steps),
        "cells change one after the other": history(start, rule, steps, in_turn),
        "row 0 is left out": history(next_row(start, rule), rule, steps),
    }


class TestRuleTable:
    def test_each_neighbourhood_gets_its_bit(self, kata):
        """Rule 110 = 64 + 32 + 8 + 4 + 2: bits 1, 2, 3, 5 and 6 are set. Bit 0, the
        lowest, comes first. A table is an int64 tensor.
        """
        expected = torch.tensor([0, 1, 1, 1, 0, 1, 1, 0])
        unlike = {
            "the highest bit comes first": expected.flip(0),
            "bit i counts 2**i, not 1": expected * 2 ** torch.arange(8),
        }
        check.equal(kata.rule_table(110), expected, unlike=unlike)

    @given(rule=st.integers(0, 255))
    def test_the_bits_add_up_to_the_rule(self, kata, rule):
        """Bit i counts 2**i. So the eight answers lead back to the number, for each of
        the 256 rules.
        """
        table = kata.rule_table(rule)
        check.equal(
            table,
            torch.tensor([answer(rule, i // 4, i // 2 % 2, i % 2) for i in range(8)]),
        )

    def test_rule_110_and_its_mirror_differ(self, kata):
        """Rule 124 is rule 110 seen in a mirror: left and right are exchanged, so
        entries 1 and 4 and entries 3 and 6 change places.
        """
        rule_110 = torch.tensor([0, 1, 1, 1, 0, 1, 1, 0])
        mirror = rule_110[[0, 4, 2, 6, 1, 5, 3, 7]]
        check.equal(
            kata.rule_table(124), mirror, unlike={"the table of rule 110": rule_110}
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("rule", [-1, 256])
    def test_a_rule_outside_of_0_to_255_is_an_error(self, kata, rule):
        """Eight bits count to 255. The error names the rule."""
        with check.raises(ValueError, rule):
            kata.rule_table(rule)


@st.composite
def starts(draw):
    """A row of cells, and a rule."""
    return draw(st.lists(st.integers(0, 1), min_size=3, max_size=9)), draw(
        st.integers(0, 255)
    )


class TestEvolve:
    def test_one_step_looks_up_every_neighbourhood(self, kata):
        """Rule 110 once: each cell's left neighbour counts 4, the cell itself 2, its
        right neighbour 1. All cells change at once, from the old row.
        """
        expected = history(ROW, 110, 1)
        got = kata.evolve(torch.tensor(ROW), 110, 1)
        unlike = slips_of_evolve(ROW, 110, 1) | {
            "the start is not part of the history": expected[1:],
            "the last row alone, without those before": expected[-1],
        }
        check.equal(got, expected, unlike=unlike)

    def test_a_live_cell_on_the_border_sees_the_far_end(self, kata):
        """The row is a ring. Under rule 2 a live cell walks to the left, under rule 16
        to the right. Past the border it comes in at the other end.
        """
        for rule, start in ((2, [1, 0, 0, 0, 0]), (16, [0, 0, 0, 0, 1])):
            expected = history(start, rule, 2)
            got = kata.evolve(torch.tensor(start), rule, 2)
            unlike = slips_of_evolve(start, rule, 2)
            # no live cell is left, as with zeros beyond
            del unlike["the table is read from its other end"]
            unlike["every step starts from row 0"] = expected[[0, 1, 1]]
            check.equal(
                got, expected, unlike=unlike, what=f"the history under rule {rule}"
            )

    def test_no_step_returns_the_start_only(self, kata):
        """The history begins with the start itself: `steps` steps make
        steps + 1 rows.
        """
        start = torch.tensor([ROW, ROW[::-1]])
        check.equal(kata.evolve(start, 30, 0), start[:, None])

    def test_rows_in_a_batch_never_mix(self, kata):
        """Each row of the batch is a ring of its own, and so with two leading dims. A
        roll without a dim sends the last cell of one row to the next row.
        """
        generator = torch.Generator().manual_seed(0)
        start = torch.randint(2, (2, 3, 7), generator=generator)
        expected = torch.stack(
            [
                torch.stack([history(row, 30, 4) for row in batch])
                for batch in start.tolist()
            ]
        )
        joined = (
            history(start.flatten().tolist(), 30, 4)
            .reshape(5, 2, 3, 7)
            .permute(1, 2, 0, 3)
        )
        unlike = {"one long row": joined, "time in another dim": expected.movedim(2, 0)}
        check.equal(kata.evolve(start, 30, 4), expected, unlike=unlike)

    @given(case=starts())
    def test_every_rule_has_its_history(self, kata, case):
        """Any row under any rule, for three steps."""
        start, rule = case
        got = kata.evolve(torch.tensor(start), rule, 3)
        expected = history(start, rule, 3)
        unlike = slips_of_evolve(start, rule, 3) | {
            "every step starts from row 0": expected[[0, 1, 1, 1]]
        }
        check.equal(got, expected, unlike=unlike, what=f"under rule {rule}")

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32])
    def test_other_dtypes_work(self, kata, dtype):
        """The history is int64. A bool or uint8 tensor as an index is a mask, and
        chooses other cells; a sum of uint8 is a uint8.
        """
        check.equal(
            kata.evolve(torch.tensor(ROW, dtype=dtype), 30, 3), history(ROW, 30, 3)
        )

    @pytest.mark.edge
    def test_the_start_is_left_as_it_was(self, kata):
        """The caller still needs the start. The history is a tensor of its own."""
        start = torch.tensor(ROW)
        with check.unchanged(start=start):
            rows = kata.evolve(start, 30, 3)
        check.independent(rows, start, what="the history")

    @pytest.mark.edge
    def test_negative_steps_are_an_error(self, kata):
        """Automata do not run backwards here."""
        with check.raises(ValueError):
            kata.evolve(torch.tensor(ROW), 30, -1)


# Entropy


def bits(counts):
    """The entropy of these counts in bits."""
    return sum(n / sum(counts) * math.log2(sum(counts) / n) for n in counts if n)


def windows(row, block, stride=1, ring=True):
    """The windows of a row, as tuples."""
    padded = list(row) + list(row[: block - 1] if ring else [])
    return [
        tuple(padded[i : i + block]) for i in range(0, len(padded) - block + 1, stride)
    ]


def entropy(row, block, **how):
    return bits(Counter(windows(row, block, **how)).values())


def slips_of_entropy(row, block):
    """By name, what some slips lead to."""
    return {
        "nats: a natural logarithm": entropy(row, block) * math.log(2),
        "windows that do not overlap": entropy(row, block, stride=block, ring=False),
        "windows that do not go on at the start": entropy(row, block, ring=False),
        "single cells, not windows": entropy(row, 1),
        "how many ones are in each window, not which": bits(
            Counter(map(sum, windows(row, block))).values()
        ),
        "the sign is missing": -entropy(row, block),
        "the mean over the patterns, not the sum": entropy(row, block)
        / len(set(windows(row, block))),
    }


def slips_by_row(rows, block):
    """The same for a picture: one value per row."""
    slips = [slips_of_entropy(row, block) for row in rows.tolist()]
    return {name: torch.tensor([row[name] for row in slips]) for name in slips[0]}


@st.composite
def rows_and_blocks(draw):
    """A row of cells, and the size of a window that fits in."""
    row = draw(st.lists(st.integers(0, 1), min_size=1, max_size=12))
    return row, draw(st.integers(1, min(4, len(row))))


def shared(count, parts):
    """The term of one pattern, if its share is taken as count / parts."""
    return count / parts * math.log2(parts / count)


class TestBlockEntropyNumpy:
    def measured(self, kata, row, block):
        return float(kata.block_entropy_numpy(np.array(row), block))

    def test_equal_cells_have_none(self, kata):
        """There is one pattern, and nothing to be surprised by: 0 bits. The patterns
        that do not occur add 0, not the NaN of 0 · log 0.
        """
        for row in ([0] * 6, [1] * 6):
            unlike = {
                "0 · log 0 = NaN among the terms": math.nan,
                "counts divided by 2**block, not by W": shared(6, 8),
            }
            check.close(
                self.measured(kata, row, 3),
                0.0,
                unlike=unlike,
                what=f"entropy of {row}",
            )

    def test_alternating_cells_have_one_bit(self, kata):
        """[0 1 0 1 0 1] has two windows of two cells, 01 and 10, equally often: 1 bit
        tells which.
        """
        row = [0, 1, 0, 1, 0, 1]
        unlike = slips_of_entropy(row, 2)
        del (
            unlike["single cells, not windows"],
            unlike["how many ones are in each window, not which"],
        )
        unlike["windows that do not overlap, or their ones counted"] = unlike.pop(
            "windows that do not overlap"
        )
        check.close(self.measured(kata, row, 2), 1.0, unlike=unlike)

    def test_windows_overlap_and_wrap(self, kata):
        """[1 1 0 0] has four windows of two cells, one from each cell: 11, 10, 00 and,
        past the end, 01. Four patterns make 2 bits.
        """
        unlike = slips_of_entropy([1, 1, 0, 0], 2)
        unlike["windows that do not overlap, or single cells"] = unlike.pop(
            "windows that do not overlap"
        )
        del unlike["single cells, not windows"]
        check.close(self.measured(kata, [1, 1, 0, 0], 2), 2.0, unlike=unlike)

    @given(case=rows_and_blocks())
    def test_any_row_has_the_entropy_of_its_counts(self, kata, case):
        """Count the windows, divide by W, and sum −p log₂ p."""
        row, block = case
        got = self.measured(kata, row, block)
        check.close(
            got,
            entropy(row, block),
            atol=1e-7,
            unlike=slips_of_entropy(row, block),
            what=f"blocks of {block}",
        )


class TestBlockEntropy:
    def test_known_rows_have_their_entropy(self, kata):
        """A constant row has 0 bits and not NaN, an alternating one has 1 bit, and
        [1 1 0 0] has all four windows of two cells: 2 bits. The result is float32.
        """
        rows = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1], [1, 1, 0, 0]])
        unlike = slips_by_row(rows, 2)
        del unlike["the mean over the patterns, not the sum"]
        unlike["the mean over all 2**block patterns, not the sum"] = torch.tensor(
            [0.0, 0.0, 1 / 4, 2 / 4]
        )
        unlike["0 · log 0 = NaN among the terms"] = torch.tensor(
            [math.nan, math.nan, math.nan, 2.0]
        )
        unlike["all rows counted together"] = torch.full((4,), bits([6, 3, 3, 4]))
        places = zip(*(windows(row, 2) for row in rows.tolist()), strict=True)
        unlike["counted over the rows, place by place"] = torch.tensor(
            [bits(Counter(p).values()) for p in places]
        )
        got = kata.block_entropy(rows, 2)
        check.close(got, torch.tensor([0.0, 0.0, 1.0, 2.0]), unlike=unlike)
        check.dtype(got, torch.float32)

    def test_each_row_of_a_picture_has_its_own(self, kata):
        """One value per row of a picture of rule 30: a curve over time. Patterns are
        counted row by row; counted over all rows at once, every row would have the
        same value.
        """
        rows = live_cell(30, width=33, steps=12)
        expected = torch.tensor([entropy(row, 3) for row in rows.tolist()])
        together = bits(
            Counter(w for row in rows.tolist() for w in windows(row, 3)).values()
        )
        unlike = slips_by_row(rows, 3)
        unlike["all rows counted together"] = torch.full_like(expected, together)
        check.close(kata.block_entropy(rows, 3), expected, unlike=unlike)

    def test_leading_dims_stay(self, kata):
        """(2, 3, W) gives (2, 3): windows of four cells in six rows."""
        rows = torch.randint(2, (2, 3, 11), generator=torch.Generator().manual_seed(0))
        expected = torch.tensor(
            [[entropy(row, 4) for row in batch] for batch in rows.tolist()]
        )
        check.close(kata.block_entropy(rows, 4), expected)

    @given(case=rows_and_blocks())
    def test_any_row_has_the_value_of_the_numpy_version(self, kata, case):
        """For any row and block, within 1e-5 of the counts by hand, as in NumPy."""
        row, block = case
        got, expected = (
            kata.block_entropy(torch.tensor([row]), block),
            torch.tensor([entropy(row, block)]),
        )
        check.close(
            got,
            expected,
            rtol=0,
            atol=1e-5,
            what=f"entropy of {row} in blocks of {block}",
        )

    def test_chaos_gains_entropy_and_a_frozen_rule_does_not(self, kata):
        """From one live cell: rule 30 goes from 0.2 bits to more than 2.8 of 3, rule 4
        keeps the cell and the entropy, and rule 0 loses both.
        """
        curves = {
            rule: kata.block_entropy(live_cell(rule), 3)[[0, -1]].tolist()
            for rule in (30, 4, 0)
        }
        for rule, (first, last) in curves.items():
            said = (
                f"rule {rule} goes from {first:.2f} to {last:.2f} bits in 60 steps; "
                "expected"
            )
            check.that(0.1 < first < 0.3, f"{said} a start near 0.2")
            if rule == 30:
                check.that(last > 2.8, f"{said} more than 2.8 at the end")
            else:
                check.that(
                    abs(last - (first if rule == 4 else 0)) < 1e-5,
                    f"{said} {'no change' if rule else '0'}",
                )


# Mixing


def curves_of(
    rows, block, low=lambda d: d <= 1 / 4, high=lambda d: d > 3 / 4, cut=None
):
    """Both curves of rows given as lists, block by block, as a dict of tensors. `cut`
    makes the blocks of a row.
    """
    found = {"entropy": [], "complexity": []}
    for row in rows:
        blocks = (
            cut(row) if cut else [row[i : i + block] for i in range(0, len(row), block)]
        )
        densities = [sum(cells) / block for cells in blocks]
        found["entropy"].append(sum(bits([d, 1 - d]) for d in densities) / len(blocks))
        levels = Counter(
            "low" if low(d) else "high" if high(d) else "mid" for d in densities
        )
        found["complexity"].append(bits(levels.values()))
    return {name: torch.tensor(values) for name, values in found.items()}


@functools.cache
def mixed(kata):
    """16 tubes of 96 cells, the left half full, mixed for 1200 steps: both curves,
    averaged over the tubes.
    """
    state = torch.zeros(16, 96, dtype=torch.int64)
    state[:, :48] = 1
    rows = kata.mix(state, 1200, generator=torch.Generator().manual_seed(0))
    return {
        name: curve.mean(dim=0) for name, curve in kata.mixing_curves(rows, 16).items()
    }


class TestMixingCurves:
    def test_order_and_disorder_are_both_simple(self, kata):
        """An empty row has neither entropy nor complexity. Evenly mixed, each block has
        a density of 1/2: 1 bit of entropy, but all blocks are alike, so there is no
        complexity. Half and half, blocks are pure, and of two kinds. There is no NaN
        from 0 · log 0.
        """
        rows = torch.tensor([[0] * 16, [0, 1] * 8, [1] * 8 + [0] * 8])
        got = kata.mixing_curves(rows, 4)
        complexity = torch.tensor([0.0, 0.0, 1.0])
        wrong = {
            "−d log₂ d alone, without the term of 1 − d": [0.0, 0.5, 0.0],
            "the sum over the blocks, not the mean": [0.0, 4.0, 0.0],
            "the entropy of the mean density": [0.0, 1.0, 1.0],
        }
        unlike = {
            name: {"entropy": torch.tensor(row), "complexity": complexity}
            for name, row in wrong.items()
        }
        check.close(
            got,
            {"entropy": torch.tensor([0.0, 1.0, 0.0]), "complexity": complexity},
            unlike=unlike,
        )

    def test_densities_are_those_of_neighbouring_cells(self, kata):
        """Blocks are runs of neighbours, 8 of 4 cells in a row here. The entropy is the
        mean of the blocks' entropies in bits, not the entropy of the row's
        mean density.
        """
        rows = torch.randint(
            2, (5, 32), generator=torch.Generator().manual_seed(0)
        ).tolist()
        rows += [sorted(row) for row in rows[:2]]
        expected = curves_of(rows, 4)
        apart = curves_of(rows, 4, cut=lambda row: [row[i::8] for i in range(8)])
        whole = torch.tensor([bits([sum(row), 32 - sum(row)]) for row in rows])
        nats = {name: curve * math.log(2) for name, curve in expected.items()}
        unlike = {
            "cells that are 8 places apart, not neighbours": apart,
            "nats: a natural logarithm": nats,
            "the entropy of the mean density": {
                "entropy": whole,
                "complexity": expected["complexity"],
            },
            "a density of 1/4 taken for mid": curves_of(
                rows, 4, low=lambda d: d < 1 / 4
            ),
            "a density of 3/4 taken for high": curves_of(
                rows, 4, high=lambda d: d >= 3 / 4
            ),
        }
        check.close(kata.mixing_curves(torch.tensor(rows), 4), expected, unlike=unlike)

    def test_exactly_a_quarter_is_low_and_exactly_three_quarters_is_mid(self, kata):
        """Eight blocks of 4 cells, with 0, 1, 1, 3, 3, 3, 4 and 4 ones: three low,
        three mid, two high.
        """
        ones = [0, 1, 1, 3, 3, 3, 4, 4]
        row = [int(i < n) for n in ones for i in range(4)]
        unlike = {
            "a density of 1/4 taken for mid": curves_of(
                [row], 4, low=lambda d: d < 1 / 4
            ),
            "a density of 3/4 taken for high": curves_of(
                [row], 4, high=lambda d: d >= 3 / 4
            ),
        }
        unlike = {name: curves["complexity"] for name, curves in unlike.items()}
        got = kata.mixing_curves(torch.tensor([row]), 4)["complexity"]
        check.close(
            got, curves_of([row], 4)["complexity"], unlike=unlike, what="complexity"
        )

    def test_leading_dims_stay(self, kata):
        """(2, 3, W) gives (2, 3) for both: each row is measured alone."""
        rows = torch.randint(2, (2, 3, 24), generator=torch.Generator().manual_seed(0))
        rows[1] = rows[1].sort(dim=-1).values
        expected = {
            name: curve.reshape(2, 3)
            for name, curve in curves_of(rows.flatten(0, 1).tolist(), 4).items()
        }
        check.close(kata.mixing_curves(rows, 4), expected)

    def test_mixing_entropy_goes_up(self, kata):
        """Two gases, side by side at first: the mean entropy of 16 tubes starts at 0,
        is on its way at t = 100, and is above 0.8 bits at t = 1200. This is the
        second law.
        """
        first, between, last = mixed(kata)["entropy"][[0, 100, 1200]].tolist()
        said = (
            f"the entropy is {first:.3f} at t = 0, {between:.3f} at t = 100 and "
            f"{last:.3f} at t = 1200; expected"
        )
        check.that(first < 0.01, f"{said} 0 at the start")
        check.that(
            0.01 < between < last, f"{said} a value between the others at t = 100"
        )
        check.that(last > 0.8, f"{said} more than 0.8 at the end")

    def test_mixing_complexity_is_highest_in_the_middle(self, kata):
        """Full, empty and mixed blocks are side by side only while the gases mix. So
        the complexity goes up, then down: more than 1.4 at its highest, at least 0.3
        above the start and 0.5 above the end.
        """
        curve = mixed(kata)["complexity"]
        first, highest, last = curve[0].item(), curve.max().item(), curve[1200].item()
        said = (
            f"the complexity starts at {first:.2f}, is {highest:.2f} at most and ends "
            f"at {last:.2f}; expected"
        )
        check.that(highest > 1.4, f"{said} a maximum above 1.4")
        check.that(highest - first > 0.3, f"{said} a rise of more than 0.3")
        check.that(highest - last > 0.5, f"{said} a fall of more than 0.5")

    @pytest.mark.edge
    def test_blocks_must_divide_the_row(self, kata):
        """Nine cells cannot be cut into blocks of four, neither with a rest that nobody
        counts nor with a short block.
        """
        with check.raises(ValueError):
            kata.mixing_curves(torch.zeros(4, 9, dtype=torch.int64), 4)


# A convolution that learns a rule


def lively(model):
    """The model with parameters in ±1, so that nothing is too small to be seen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1, 1)
    return model


def logits_of(model, state, beyond=None, squash=F.relu):
    """The logits from the model's weights in float64, by neighbourhoods. `beyond` is
    for the cells beyond the ends.
    """
    weights = {
        name: parameter.detach().double()
        for name, parameter in model.named_parameters()
    }
    x = state.double()
    ends = (
        [torch.full_like(x[:, :1], beyond)] * 2
        if beyond is not None
        else [x[:, -1:], x[:, :1]]
    )
    # (B, W, 3)
    neighbourhoods = torch.cat([ends[0], x, ends[1]], dim=1).unfold(1, 3, 1)
    hidden = squash(
        neighbourhoods @ weights["conv.weight"][:, 0].T + weights["conv.bias"]
    )
    return (hidden @ weights["out.weight"][:, :, 0].T + weights["out.bias"])[..., 0]


class Net(nn.Module):
    """A model that is called as LearnedRule is. It notes the rows that it reads, and
    its mode.
    """

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(3, 8), nn.Linear(8, 1)
        self.read, self.modes = [], []

    def forward(self, state):
        self.read.append(state.detach().clone())
        self.modes.append(self.training)
        x = state.to(self.out.weight.dtype)
        x = torch.cat([x[:, -1:], x, x[:, :1]], dim=1).unfold(1, 3, 1)
        return self.out(F.relu(self.hidden(x)))[..., 0]


@functools.cache
def learned(kata, rule):
    """A LearnedRule trained on examples of a rule, and its losses."""
    torch.manual_seed(0)
    model = kata.LearnedRule()
    # smaller and faster than the defaults
    options = {"steps": 100, "width": 32, "batch": 8, "lr": 0.05}
    return model, kata.train_rule(
        model, rule, generator=torch.Generator().manual_seed(0), **options
    )


@pytest.mark.stretch
class TestLearnedRule:
    def test_logits_follow_from_the_weights(self, kata):
        """conv over each neighbourhood, ReLU, out: one logit per cell, (B, W). The loss
        has the sigmoid in it, so that there is none here.
        """
        model = lively(kata.LearnedRule(5))
        state = torch.tensor([ROW, ROW[::-1]])
        expected = logits_of(model, state)
        unlike = {
            "zeros beyond the border, not a ring": logits_of(model, state, beyond=0.0),
            "probabilities: there is a sigmoid": expected.sigmoid(),
            "the ReLU is missing": logits_of(model, state, squash=lambda x: x),
        }
        check.close(model(state), expected, unlike=unlike)

    def test_its_parameters_have_these_names(self, kata):
        """Two convolutions, H = 16 unless said otherwise, and nothing else
        that learns.
        """
        for model, hidden in (
            (kata.LearnedRule(), 16),
            (kata.LearnedRule(hidden=5), 5),
        ):
            got = {
                name: tuple(parameter.shape)
                for name, parameter in model.named_parameters()
            }
            expected = {
                "conv.weight": (hidden, 1, 3),
                "conv.bias": (hidden,),
                "out.weight": (1, hidden, 1),
                "out.bias": (1,),
            }
            check.equal(got, expected, what="shapes of the parameters")

    @given(places=st.integers(1, 6))
    def test_shifting_the_row_shifts_the_logits(self, kata, places):
        """On a ring no place is special, and the model is one function for all of them.
        Zeros as padding would make the border special.
        """
        model = lively(kata.LearnedRule(4))
        state = torch.randint(
            2, (3, 7), generator=torch.Generator().manual_seed(places)
        )
        with torch.no_grad():
            got, expected = (
                model(state.roll(places, dims=1)),
                model(state).roll(places, dims=1),
            )
        check.close(
            got, expected, what=f"the logits of rows that are shifted by {places}"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.bool, torch.uint8, torch.float32, torch.float64]
    )
    def test_rows_of_any_dtype_are_read(self, kata, dtype):
        """Cells are 0 and 1 in any dtype, and the logits are float32."""
        model = lively(kata.LearnedRule(5))
        state = torch.tensor([ROW, ROW[::-1]])
        got = model(state.to(dtype))
        check.dtype(got, torch.float32)
        check.close(got, logits_of(model, state))


@pytest.mark.stretch
class TestTrainRule(training.Contract):
    """Adam on rows that are drawn at random, with the rows that rule 110 makes of them
    as targets.
    """

    default_lr = 0.02
    slips = {"the row itself as the target": {"same": True}}

    def model(self):
        return lively(Net())

    def train(self, kata, model, **options):
        return kata.train_rule(model, 110, batch=8, width=10, **options)

    def loss(self, model, state, same=False):
        target = torch.tensor(
            [row if same else next_row(row, 110) for row in state.long().tolist()]
        )
        return F.softplus(torch.where(target > 0, -1, 1) * model(state)).mean()

    def wrong_losses(self, model, state):
        right, rule = (
            self.loss(model, state),
            torch.tensor([next_row(row, 110) for row in state.long().tolist()]),
        )
        return {
            "the row itself as the target": self.loss(model, state, same=True),
            "the sum, not the mean": 80 * right,
            "a sigmoid before the loss, which has one": self.loss(
                lambda state: model(state).sigmoid(), state
            ),
            "the squared error": (model(state) - rule).square().mean(),
        }

    def test_every_step_reads_new_rows(self, kata):
        """`batch` rows of `width` cells per step, 32 of 64 unless said otherwise, for
        300 steps. Each cell is 0 or 1 with equal chances.
        """
        check.equal(
            len(kata.train_rule(Net(), 110, width=3, batch=1)),
            300,
            what="the number of losses",
        )
        for options, shape in (({}, (32, 64)), ({"batch": 5, "width": 90}, (5, 90))):
            model = Net()
            kata.train_rule(model, 110, steps=3, **options)
            check.equal(
                [tuple(state.shape) for state in model.read],
                [shape] * 3,
                what="shapes of what the model read",
            )
            cells = torch.stack(model.read).double()
            check.that(
                bool(((cells == 0) | (cells == 1)).all()),
                "the rows hold values that are neither 0 nor 1",
            )
            share = cells.mean().item()
            check.that(
                0.35 < share < 0.65, f"{share:.0%} of the cells are 1, not about half"
            )
            check.that(
                not torch.equal(model.read[0], model.read[1]),
                "two steps read the same rows: draw new ones",
            )

    @pytest.mark.timeout(60)
    def test_the_learned_rule_is_the_true_one(self, kata):
        """After 100 steps the loss is below 0.1, and the model's answers to the eight
        neighbourhoods are the bits of the rule, for chaotic rule 30 and for rule 110.
        """
        for rule in (30, 110):
            model, losses = learned(kata, rule)
            check.that(
                losses[-1] < 0.1,
                f"the loss on rule {rule} is {losses[-1]:.3f} after 100 steps, not "
                "below 0.1",
            )
            check.equal(kata.recovered_rule(model), rule, what="the recovered rule")

    @pytest.mark.timeout(60)
    def test_it_holds_on_another_width(self, kata):
        """A rule is the same for every cell, whatever the width: trained on 32 cells,
        the model rolls out 20 steps of 97 cells without an error.
        """
        for rule in (30, 110):
            model, _ = learned(kata, rule)
            rows = [
                torch.randint(2, (1, 97), generator=torch.Generator().manual_seed(rule))
            ]
            with torch.no_grad():
                for _ in range(20):
                    rows.append((model(rows[-1]) > 0).long())
            expected = history(rows[0][0].tolist(), rule, 20)
            check.equal(
                torch.cat(rows), expected, what=f"20 steps of rule {rule}, by the model"
            )
