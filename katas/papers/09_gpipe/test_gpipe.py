"""Specs of kata papers/09: the timetable of a pipeline, its bubble, its stages, and
gradients of micro-batches.
"""

import copy
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.datasets import digits
from grader.specs import check, training

IDLE = -1
N, I, C = 23, 6, 4  # noqa: E741  (rows, input features, classes)


def table(K, M):
    """The timetable, filled in one micro-batch after the other."""
    rows = np.full((M + K - 1, K), IDLE, dtype=np.int64)
    for m in range(M):
        for k in range(K):
            rows[m + k, k] = m
    return rows


class TestScheduleNumpy:
    def test_three_stages_and_four_micro_batches(self, kata):
        """Micro-batch m enters stage 0 at clock m and moves on by one stage per clock.
        The first stages run dry at the end, the last ones wait at the start:
        4 + 3 − 1 = 6 clocks.
        """
        by_hand = np.array(
            [[0, -1, -1], [1, 0, -1], [2, 1, 0], [3, 2, 1], [-1, 3, 2], [-1, -1, 3]]
        )
        unlike = {
            "the stages run in reverse": by_hand[:, ::-1].copy(),
            "micro-batch 0 used for an idle stage": by_hand.clip(min=0),
            "one clock too many, at which all are idle": np.vstack(
                [by_hand, [IDLE] * 3]
            ),
            "t − k, also after the last micro-batch": (
                np.arange(6)[:, None] - np.arange(3)
            ).clip(min=-1),
        }
        got = kata.schedule_numpy(3, 4)
        rows, columns = by_hand.shape
        shape = getattr(got, "shape", None)
        said = f"the shape is {shape}: one row per clock, one column per stage"
        check.that(
            shape != (columns, rows),
            said,
            like="one row per stage: the table is transposed",
        )
        said = (
            "there are 4 rows: the stages run in lockstep, but stage 1 waits for "
            "stage 0"
        )
        check.that(shape != (4, 3), said, like="one clock per micro-batch")
        check.equal(got, by_hand, unlike=unlike)

    def test_one_micro_batch_leaves_all_but_one_stage_idle(self, kata):
        """With M = 1 the whole batch wanders from stage to stage. This is the network
        cut over devices without any pipelining.
        """
        alone = np.full((4, 4), IDLE)
        np.fill_diagonal(alone, 0)
        check.equal(kata.schedule_numpy(4, 1), alone)

    @given(case=st.tuples(st.integers(1, 6), st.integers(1, 8)))
    def test_every_stage_meets_every_micro_batch_in_order(self, kata, case):
        """For all K and M, column k is k idle clocks, then 0 … M − 1, then idle clocks
        until the last stage is done.
        """
        K, M = case
        check.equal(
            kata.schedule_numpy(K, M), table(K, M), what=f"schedule_numpy({K}, {M})"
        )


class TestBubbleFraction:
    def test_it_is_the_idle_share_of_the_timetable(self, kata):
        """Of (M + K − 1) · K cells of the timetable, (K − 1) · K are idle. Dividing by
        M alone forgets that the fill and drain of the pipeline take clocks, too.
        """
        for K in range(1, 6):
            for M in range(1, 6):
                idle = float((table(K, M) == IDLE).mean())
                unlike = {
                    "(K − 1) / M": (K - 1) / M,
                    "the busy share": 1 - idle,
                    "K / (M + K − 1)": K / (M + K - 1),
                }
                unlike |= {
                    "(K − 1) / (M + K)": (K - 1) / (M + K),
                    "`//` in place of `/`": 0.0,
                }
                what = f"bubble_fraction({K}, {M})"
                check.close(kata.bubble_fraction(K, M), idle, unlike=unlike, what=what)

    def test_one_stage_has_no_bubble(self, kata):
        """A single device never waits for another one."""
        check.close(kata.bubble_fraction(1, 7), 0.0)

    def test_many_micro_batches_make_it_small(self, kata):
        """Eight micro-batches per stage leave less than 12 % idle, however many stages
        there are.
        """
        for K in (2, 8, 32):
            share = kata.bubble_fraction(K, 8 * K)
            check.that(
                0 < share < 0.12,
                f"with K = {K} and M = {8 * K} it is {share:.3f}, expected between 0 "
                "and 0.12",
            )

    @pytest.mark.edge
    def test_no_stages_or_no_micro_batches_are_an_error(self, kata):
        """Without the check, K = 1 and M = 0 divide by zero, and K = 0 gives a
        negative share.
        """
        for K, M in ((0, 4), (4, 0), (-1, 4)):
            with check.raises(ValueError):
                kata.bubble_fraction(K, M)


def covered(stages, layers, K):
    """Check that these are K ranges which cover the layers, each once and in order."""
    check.that(
        isinstance(stages, list) and all(isinstance(stage, range) for stage in stages),
        f"expected a list of ranges, not {check.describe(stages)}",
    )
    check.that(len(stages) == K, f"{stages} are {len(stages)} stages, expected {K}")
    check.that(all(len(stage) > 0 for stage in stages), f"{stages} has an empty stage")
    inside = [layer for stage in stages for layer in stage]
    check.that(
        inside == list(range(layers)),
        f"{stages} should go through the layers 0 … {layers - 1} once, in order",
    )


def largest(costs, stages):
    return max(sum(costs[layer] for layer in stage) for stage in stages)


def equal_counts(layers, K):
    return [
        range(part[0], part[-1] + 1) for part in np.array_split(np.arange(layers), K)
    ]


def greedy(costs, K):
    """Fill each stage until it holds its K-th of all costs."""
    stages, start = [], 0
    for k in range(K - 1):
        stop = start + 1
        while (
            stop < len(costs) - (K - 1 - k) and sum(costs[start:stop]) < sum(costs) / K
        ):
            stop += 1
        stages.append(range(start, stop))
        start = stop
    return [*stages, range(start, len(costs))]


def smallest_possible(costs, K):
    """By trying every way to cut."""
    n = len(costs)
    ways = [[0, *cuts, n] for cuts in combinations(range(1, n), K - 1)]
    return min(
        max(sum(costs[a:b]) for a, b in zip(way, way[1:], strict=False)) for way in ways
    )


@st.composite
def layers_and_stages(draw):
    costs = draw(st.lists(st.integers(1, 9), min_size=1, max_size=8))
    return costs, draw(st.integers(1, len(costs)))


class TestPartition:
    def test_every_layer_is_in_one_stage(self, kata):
        """The stages are ranges of neighbouring layers, in order. Together they hold
        every layer once.
        """
        for K in (1, 3, 5):
            covered(kata.partition([2.0, 1.0, 4.0, 1.0, 3.0], K), 5, K)

    def test_costs_are_balanced_not_counts(self, kata):
        """All stages wait for the slowest one, so it is the largest *cost* that must be
        small. A long first layer deserves a stage of its own.
        """
        costs = [6.0, 1.0, 1.0, 2.0, 2.0, 1.0]
        stages = kata.partition(costs, 2)
        covered(stages, 6, 2)
        hint = (
            ": the layers were counted, not their costs"
            if stages == equal_counts(6, 2)
            else ""
        )
        check.that(
            largest(costs, stages) == 7.0,
            f"the largest stage of {stages} costs {largest(costs, stages):g}, but 7 "
            f"can be had{hint}",
        )
        costs = [0.5, 2.5, 1.0, 1.5]
        stages = kata.partition(costs, 3)
        least_squares = stages == [range(0, 2), range(2, 3), range(3, 4)]
        said = (
            f"the largest stage of {stages} costs {largest(costs, stages):g}, but 2.5 "
            "can be had"
        )
        like = (
            "the sum of squares of the stages as small as possible"
            if least_squares
            else ""
        )
        check.that(largest(costs, stages) == 2.5, said, like=like)

    @given(case=layers_and_stages())
    def test_no_other_cut_is_better(self, kata, case):
        """Of all ways to cut, none has a smaller largest stage. Filling each stage up
        to its K-th of the total is close, but not always best.
        """
        costs, K = case
        stages = kata.partition(costs, K)
        covered(stages, len(costs), K)
        got, best = largest(costs, stages), smallest_possible(costs, K)
        hint = (
            ": it is filled up greedily, from the left"
            if stages == greedy(costs, K)
            else ""
        )
        said = (
            f"for costs {costs} and K = {K} the largest stage of {stages} costs "
            f"{got}, but {best} can be had{hint}"
        )
        check.that(got <= best + 1e-6, said)

    @pytest.mark.edge
    def test_impossible_numbers_of_stages_are_an_error(self, kata):
        """Three layers cannot fill four stages, and nothing is cut into none."""
        for K in (0, 4):
            with check.raises(ValueError):
                kata.partition([1.0, 2.0, 3.0], K)


class Entered(nn.Module):
    """Counts how often it is entered."""

    def __init__(self, stage):
        super().__init__()
        self.stage = stage
        self.count = 0

    def forward(self, x):
        self.count += 1
        return self.stage(x)


class Witness(nn.Module):
    """A stage that writes down who enters, and adds 100 to all but the first feature,
    which names the row.
    """

    def __init__(self, seen, k):
        super().__init__()
        self.seen, self.k = seen, k

    def forward(self, x):
        self.seen.append((self.k, x[:, 0].int().tolist()))
        return x + torch.tensor([0.0, 100.0])


def three_stages():
    """Stages of different widths."""
    return [
        nn.Sequential(nn.Linear(I, 9), nn.Tanh()),
        nn.Sequential(nn.Linear(9, 7), nn.Tanh()),
        nn.Linear(7, C),
    ]


def gradients(module, outputs, x):
    """The gradients of x and all parameters for a fixed weighting of the outputs."""
    check.that(
        outputs.requires_grad,
        "the outputs have no graph: did the stages run under no_grad, or detached?",
    )
    weights = torch.linspace(-1, 2, outputs.numel()).reshape(outputs.shape)
    found = torch.autograd.grad(
        (outputs * weights).sum(), [x, *module.parameters()], allow_unused=True
    )
    return dict(
        zip(["x", *(name for name, _ in module.named_parameters())], found, strict=True)
    )


def same_gradients(got, expected, unlike=None, what=""):
    for (name, mine), right in zip(got.items(), expected.values(), strict=True):
        check.that(
            mine is not None,
            f"no gradient reaches {name}: a stage's input was detached",
        )
        suspects = {slip: wrong[name] for slip, wrong in (unlike or {}).items()}
        check.close(mine, right, unlike=suspects, what=f"gradient of {name}{what}")


class TestPipeline:
    def test_outputs_are_those_of_the_plain_stack(self, kata):
        """Cutting a batch changes when a row is computed, not its value. The outputs
        keep the order of the rows, also when 23 rows are cut into 5.
        """
        stages, x = three_stages(), torch.randn(N, I)
        expected = nn.Sequential(*stages)(x)
        for M in (1, 5, N):
            unlike = {
                "joined from the last micro-batch to the first": torch.cat(
                    expected.tensor_split(M)[::-1]
                )
            }
            check.close(
                kata.Pipeline(stages, num_micro=M)(x),
                expected,
                unlike=unlike,
                what=f"outputs for M = {M}",
            )

    def test_the_stages_are_parts_of_the_module(self, kata):
        """An optimizer finds the parameters only if the stages are in an
        `nn.ModuleList`. A plain list hides them.
        """
        names = list(kata.Pipeline(three_stages()).state_dict())
        expected = [
            f"stages.{name}"
            for name in ("0.0.weight", "0.0.bias", "1.0.weight", "1.0.bias")
        ]
        unlike = {"no stage is registered, as in a plain list": []}
        check.equal(
            names,
            [*expected, "stages.2.weight", "stages.2.bias"],
            unlike=unlike,
            what="names of the parameters",
        )

    def test_the_trace_follows_the_timetable(self, kata):
        """Each stage meets each micro-batch once, one clock after the stage before it,
        and no stage has two at one clock. Taking one micro-batch through all stages
        before the next gives the same outputs, but then the devices work one after
        the other.
        """
        pipeline = kata.Pipeline([nn.Identity() for _ in range(3)], num_micro=4)
        pipeline(torch.randn(9, 2))
        trace = [tuple(map(int, step)) for step in pipeline.trace]
        clocks, ran = [clock for clock, _, _ in trace], [(m, k) for _, k, m in trace]
        like = (
            "one micro-batch at a time, through all stages"
            if ran == [*np.ndindex(4, 3)]
            else ""
        )
        check.that(
            clocks == sorted(clocks), f"the clocks do not rise: {clocks}", like=like
        )
        expected = [
            (clock, k, m)
            for clock, row in enumerate(table(3, 4).tolist())
            for k, m in enumerate(row)
            if m >= 0
        ]
        swapped = sorted((clock, m, k) for clock, k, m in expected)
        in_turn = [(m * 3 + k, k, m) for m in range(4) for k in range(3)]
        unlike = {
            "(clock, micro-batch, stage)": swapped,
            "one micro-batch at a time, through all stages": in_turn,
        }
        check.equal(sorted(trace), expected, unlike=unlike, what="the trace, sorted")

    def test_the_trace_is_what_happened(self, kata):
        """The stages run in the order that the trace tells, on the pieces that
        `tensor_split` makes: 10 rows in 6 pieces are four of two rows and two of one
        row, where `chunk` makes only five pieces.
        """
        seen, rows = [], torch.arange(10.0)
        pipeline = kata.Pipeline([Witness(seen, k) for k in range(3)], num_micro=6)
        got = pipeline(torch.stack([rows, rows], dim=1))
        pieces = [[0, 1], [2, 3], [4, 5], [6, 7], [8], [9]]
        first = [piece for k, piece in seen if k == 0]
        chunks = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
        unlike = {
            "the pieces of chunk": chunks,
            "the pieces of chunk, and an empty one": [*chunks, []],
        }
        check.equal(
            first, pieces, unlike=unlike, what="rows of the pieces that stage 0 met"
        )
        said = [(k, pieces[m]) for _, k, m in pipeline.trace]
        check.that(
            seen == said,
            f"the trace says (stage, rows) {said[:4]} …, but the stages were entered "
            f"in the order {seen[:4]} …",
        )
        check.close(got, torch.stack([rows, rows + 300], dim=1))

    def test_the_trace_is_that_of_the_last_forward(self, kata):
        """Every forward pass starts a new trace. One that only grows mixes
        two batches.
        """
        pipeline = kata.Pipeline([nn.Identity(), nn.Identity()], num_micro=3)
        for _ in range(2):
            pipeline(torch.randn(6, 2))
        check.that(
            len(pipeline.trace) == 6,
            f"{len(pipeline.trace)} entries after the second forward, expected 3 · 2",
        )

    def test_gradients_reach_every_stage(self, kata):
        """A backward pass goes through the cuts: x and all stages get the gradients of
        the plain stack. A detached stage input would leave the earlier stages
        without any.
        """
        stages, x = three_stages(), torch.randn(N, I, requires_grad=True)
        plain = nn.Sequential(*stages)
        pipeline = kata.Pipeline(stages, num_micro=5)
        same_gradients(
            gradients(pipeline, pipeline(x), x), gradients(plain, plain(x), x)
        )

    def test_recompute_runs_each_stage_again(self, kata):
        """With recompute a stage is entered once per micro-batch in the forward pass,
        and once more in the backward pass; without gradients there is nothing to run
        again. The gradients are the same.
        """
        stages, x = (
            [Entered(stage) for stage in three_stages()],
            torch.randn(N, I, requires_grad=True),
        )
        plain = nn.Sequential(*stages)
        expected = gradients(plain, plain(x), x)

        def entered():
            counts = [stage.count for stage in stages]
            for stage in stages:
                stage.count = 0
            return counts

        entered()
        pipeline = kata.Pipeline(stages, num_micro=5, recompute=True)
        outputs = pipeline(x)
        check.equal(entered(), [5, 5, 5], what="entries per stage in the forward pass")
        got = gradients(pipeline, outputs, x)
        ignored = {"recompute is ignored: nothing runs again": [0, 0, 0]}
        check.equal(
            entered(),
            [5, 5, 5],
            unlike=ignored,
            what="entries per stage in the backward pass",
        )
        same_gradients(got, expected)
        with torch.no_grad():
            pipeline(x)
        check.equal(entered(), [5, 5, 5], what="entries per stage under no_grad")
        plain = kata.Pipeline(stages, num_micro=5)
        gradients(plain, plain(x), x)
        check.equal(entered(), [5, 5, 5], what="entries per stage without recompute")

    def test_recompute_keeps_the_dropout_masks(self, kata):
        """The second run of a stage must draw the masks of the first. With new masks
        the gradient belongs to another network than the one whose loss was measured.
        """
        stages, x = three_stages(), torch.randn(N, I, requires_grad=True)
        stages[1] = nn.Sequential(stages[1], nn.Dropout(0.5))
        found = []
        for recompute in (False, True):
            torch.manual_seed(3)
            pipeline = kata.Pipeline(stages, num_micro=5, recompute=recompute)
            outputs = pipeline(x)
            found.append((outputs.detach(), gradients(pipeline, outputs, x)))
        (plain, expected), (again, got) = found
        check.close(again, plain, what="outputs with recompute under the same seed")
        same_gradients(got, expected, what=", through the masks of the first run")

    def test_batch_norm_sees_micro_batches(self, kata):
        """In training mode batch norm takes its mean and variance from the rows that it
        is given: in a pipeline, from one micro-batch. This one thing is *not* as on the
        whole batch, in the paper neither.
        """
        norm, x = nn.BatchNorm1d(I), torch.randn(20, I) + torch.arange(20.0)[:, None]
        expected = torch.cat([norm(piece) for piece in x.split(5)])
        got = kata.Pipeline([norm, nn.Identity()], num_micro=4)(x)
        check.close(got, expected, unlike={"normalised over the whole batch": norm(x)})

    @pytest.mark.edge
    def test_too_many_micro_batches_are_refused(self, kata):
        """`tensor_split` makes empty pieces when the rows run out. They take clocks and
        compute nothing.
        """
        with check.raises(ValueError, 3, 4):
            kata.Pipeline(three_stages(), num_micro=4)(torch.randn(3, I))


def classifier():
    return nn.Sequential(nn.Linear(I, 8), nn.Tanh(), nn.Linear(8, C))


def labelled(rows):
    """Random inputs and labels. Later labels are rarer, so that pieces differ in
    their loss.
    """
    return torch.randn(rows, I), (torch.arange(rows) * C // (2 * rows)) + torch.randint(
        0, 2, (rows,)
    )


def grads_of(model):
    return [parameter.grad for parameter in model.parameters()]


def pieced(model, x, y, M, weight, cut=torch.tensor_split):
    """The gradients when the loss of each micro-batch is multiplied by
    `weight(rows of the piece)`.
    """
    model = copy.deepcopy(model).double()
    pieces = zip(cut(x.double(), M), cut(y, M), strict=True)
    losses = [F.cross_entropy(model(a), b) * weight(len(a)) for a, b in pieces]
    return list(torch.autograd.grad(sum(losses), list(model.parameters())))


class Diary(nn.Module):
    """A linear model that writes down each forward and each backward."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(I, C)
        self.events, self.sizes = [], []

    def forward(self, x):
        outputs = self.linear(x)
        self.events.append("forward")
        self.sizes.append(len(x))
        outputs.register_hook(lambda gradient: self.events.append("backward"))
        return outputs


class TestAccumulateGradients:
    def test_uneven_micro_batches_give_the_gradients_of_the_full_batch(self, kata):
        """23 rows in 5 pieces are pieces of 5 and of 4 rows. Each piece counts by its
        share of the rows, n_m / N. With 1 / M, a row in a smaller piece would
        count more.
        """
        for M in (5, 1):
            model, (x, y) = classifier(), labelled(N)
            expected = pieced(model, x, y, 1, lambda n: 1.0)
            unlike = {
                "every piece weighted 1 / M": pieced(model, x, y, 5, lambda n: 1 / 5),
                "the pieces of chunk, each weighted 1 / M": pieced(
                    model, x, y, 5, lambda n: 1 / 5, torch.chunk
                ),
                "the losses of the pieces summed, without weights": pieced(
                    model, x, y, 5, lambda n: 1.0
                ),
                "the sum over the rows": pieced(model, x, y, 5, lambda n: float(n)),
            }
            kata.accumulate_gradients(model, x, y, F.cross_entropy, M)
            for i, (name, parameter) in enumerate(model.named_parameters()):
                check.that(
                    parameter.grad is not None,
                    f"{name}.grad is None: no backward has been run",
                )
                suspects = (
                    {slip: wrong[i] for slip, wrong in unlike.items()} if M == 5 else {}
                )
                check.close(
                    parameter.grad,
                    expected[i],
                    unlike=suspects,
                    what=f"{name}.grad for M = {M}",
                )

    def test_the_loss_is_the_mean_over_the_full_batch(self, kata):
        """The float that is returned is the mean loss over all rows, whatever
        the pieces.
        """
        model, (x, y) = classifier(), labelled(N)
        y = torch.cat([y[:20], torch.full((3,), C - 1)])
        losses = F.cross_entropy(model(x).double(), y, reduction="none").detach()
        means = torch.stack([piece.mean() for piece in losses.tensor_split(5)])
        unlike = {
            "the mean of the pieces' means": means.mean().item(),
            "the sum of the pieces' means": means.sum().item(),
            "the last piece's mean": means[-1].item(),
            "the last piece by its share: the loss is overwritten, not added to": means[
                -1
            ].item()
            * 4
            / 23,
            "the sum over the rows": losses.sum().item(),
        }
        got = kata.accumulate_gradients(model, x, y, F.cross_entropy, 5)
        check.that(
            type(got) is float, f"the loss should be a float, not {check.describe(got)}"
        )
        check.close(
            got, losses.mean().item(), rtol=1e-5, unlike=unlike, what="the loss"
        )

    def test_gradients_add_to_what_is_there(self, kata):
        """Gradients accumulate: what is in `.grad` stays and is added to. Clearing
        belongs to the training loop.
        """
        model, (x, y) = classifier(), labelled(N)
        fresh = copy.deepcopy(model)
        kata.accumulate_gradients(fresh, x, y, F.cross_entropy, 5)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 3.0)
        kata.accumulate_gradients(model, x, y, F.cross_entropy, 5)
        for got, new in zip(grads_of(model), grads_of(fresh), strict=True):
            check.close(
                got,
                new + 3.0,
                unlike={"the old gradient was cleared": new},
                what=".grad that was 3 before",
            )

    def test_each_micro_batch_goes_back_before_the_next_one(self, kata):
        """A graph holds its activations until its backward has run. One backward for
        the sum of all losses has the same gradients, but keeps the graphs of all M
        micro-batches at once.
        """
        model, (x, y) = Diary(), labelled(10)
        kata.accumulate_gradients(model, x, y, F.cross_entropy, 6)
        check.equal(
            model.sizes,
            [2, 2, 2, 2, 1, 1],
            unlike={"the pieces of chunk": [2] * 5},
            what="rows of the pieces",
        )
        late = ["forward"] * 6 + ["backward"] * 6
        unlike = {"one backward, at the end": late}
        check.equal(
            model.events,
            ["forward", "backward"] * 6,
            unlike=unlike,
            what="what happened",
        )

    def test_no_parameter_changes(self, kata):
        """The weights stay: one optimizer step follows after the last micro-batch, and
        it is the caller's.
        """
        model, (x, y) = classifier(), labelled(N)
        before = copy.deepcopy(model.state_dict())
        kata.accumulate_gradients(model, x, y, F.cross_entropy, 5)
        for name, value in model.state_dict().items():
            check.equal(value, before[name], what=name)

    @pytest.mark.edge
    def test_impossible_numbers_of_pieces_are_an_error(self, kata):
        """An empty piece has no mean: its loss is NaN, and so is the gradient of the
        whole batch.
        """
        x, y = labelled(3)
        for M in (0, 4):
            with check.raises(ValueError):
                kata.accumulate_gradients(classifier(), x, y, F.cross_entropy, M)


class Reader(nn.Module):
    """A linear classifier of row numbers (rows, 1) that writes down the rows
    it reads.
    """

    def __init__(self):
        super().__init__()
        self.inputs = torch.randn(40, I, generator=torch.Generator().manual_seed(0))
        self.linear = nn.Linear(I, C)
        self.read, self.modes = [], []

    def forward(self, rows):
        self.read.append(rows[:, 0].long())
        self.modes.append(self.training)
        return self.linear(self.inputs[rows[:, 0].long()])


NUMBERS, LABELS = torch.arange(40.0)[:, None], torch.arange(40) * C // 41


def digit_stages():
    """Four stages of a small tanh network on 8×8 digits."""
    return [
        nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.Tanh()),
        nn.Sequential(nn.Linear(48, 48), nn.Tanh()),
        nn.Sequential(nn.Linear(48, 32), nn.Tanh()),
        nn.Linear(32, 10),
    ]


class TestTrainPipeline(training.Contract):
    """One update per batch by SGD with momentum, however many pieces the batch has:
    here two.
    """

    model, optimizer, settings = Reader, torch.optim.SGD, {"momentum": 0.9}
    lr, default_lr, steps = 0.2, 0.05, 4
    slips = {
        "an update per micro-batch": {
            "order": lambda batches: [
                half for rows in batches for half in rows.chunk(2)
            ]
        },
        "the gradient of the last micro-batch only": {
            "order": lambda batches: [rows[4:] for rows in batches],
            "lr": 0.1,
        },
        "no momentum": {"settings": {"momentum": 0.0}},
    }

    def train(self, kata, model, **options):
        return kata.train_pipeline(
            model, NUMBERS, LABELS, batch=8, num_micro=2, **options
        )

    def batches(self, model, steps):
        return torch.cat(model.read).chunk(steps)

    def loss(self, model, rows):
        return F.cross_entropy(model(NUMBERS[rows]), LABELS[rows])

    def test_each_step_reads_one_batch_in_micro_batches(self, kata):
        """A step draws `batch` rows at random, and its micro-batches are pieces
        of them.
        """
        model = Reader()
        kata.train_pipeline(model, NUMBERS, LABELS, steps=3, batch=8, num_micro=3)
        sizes = [len(rows) for rows in model.read]
        check.equal(
            sizes,
            [3, 3, 2] * 3,
            unlike={"whole batches": [8, 8, 8]},
            what="rows of what the model read",
        )
        batches = [torch.cat(model.read[i : i + 3]) for i in (0, 3, 6)]
        check.that(
            not torch.equal(batches[0], batches[1]),
            "steps 0 and 1 read the same rows: draw new ones per step",
        )

    @pytest.mark.timeout(60)
    def test_micro_batches_leave_the_trained_weights_unchanged(self, kata):
        """The key result: four stages learn the digits in 100 steps. With 7
        micro-batches, sent through the pipeline or accumulated one by one, they end at
        the weights of the full batch. Rounding is all that is left.
        """
        order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
        x, y = (part[order] for part in digits())
        torch.manual_seed(0)
        start = digit_stages()

        def trained(in_pipeline, accumulated):
            model = kata.Pipeline(copy.deepcopy(start), num_micro=in_pipeline)
            generator = torch.Generator().manual_seed(0)
            kata.train_pipeline(
                model, x[:1200], y[:1200], num_micro=accumulated, generator=generator
            )
            return model

        whole = dict(trained(1, 1).named_parameters())
        for pieces in ((7, 1), (1, 3), (1, 7)):
            model = trained(*pieces)
            what = "after {} micro-batches in the pipeline and {} accumulated".format(
                *pieces
            )
            for name, got in model.named_parameters():
                check.close(
                    got, whole[name].detach(), rtol=0, atol=1e-5, what=f"{name} {what}"
                )
        share = (model(x[1200:]).argmax(dim=1) == y[1200:]).float().mean().item()
        check.that(
            share > 0.85,
            f"{share:.0%} of the test digits are right, expected more than 85 %",
        )
