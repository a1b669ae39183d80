"""Specs of kernels/04 · Backward kernels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from grader import kernels
from grader.specs import check

IGNORED = -100


def rows_of_logits(R, V):
    """Logits, and a target per row, in all parts of the row."""
    return torch.randn(R, V) * 2, torch.arange(R) * 7 % V


def losses(logits, targets):
    """Loss and log-sum-exp of each row, in float64."""
    return F.cross_entropy(
        logits.double(), targets, reduction="none"
    ), logits.double().logsumexp(1)


def shares(logits):
    return logits.double().softmax(1)


def ones_at(columns, V):
    """A row per column number, with a 1 there; nowhere if the number is no column."""
    return (columns[:, None] == torch.arange(V)).double()


def kept_by(out):
    """Check that tensors are kept by `ctx.save_for_backward` alone, and count
    their numbers.
    """
    kernels.ends_on_a_device()  # where another function has made `out`, which moved it
    loose = [
        name
        for name, value in vars(out.grad_fn).items()
        if isinstance(value, torch.Tensor)
    ]
    check.that(
        not loose,
        f"ctx.{', ctx.'.join(loose)}: tensors are kept by ctx.save_for_backward",
    )
    return sum(x.numel() for x in out.grad_fn.saved_tensors if x is not None)


def at_most(found, most, what):
    check.that(found <= most, f"{found} {what}, {most} are enough")


@st.composite
def cases(draw):
    """Logits of any width, one row of them far from 0, and a block."""
    logits, targets = rows_of_logits(draw(st.integers(1, 2)), draw(st.integers(1, 70)))
    logits[0] += draw(st.sampled_from([0, 300, -300]))
    return logits, targets, draw(st.sampled_from([16, 64]))


class TestCrossEntropyForward:
    def test_one_block(self, kata):
        """32 logits, one turn of the loop. The loss is lse minus the target's logit."""
        logits, targets = rows_of_logits(3, 32)
        loss, lse = losses(logits, targets)
        top = logits.amax(1)
        wrong = {
            "lse without the largest logit": (loss - top, lse - top),
            "the target's logit not subtracted": (lse, lse),
            "the target's share, not its logarithm": ((-loss).exp(), ...),
            "the sum in place of its logarithm": (..., lse.exp()),
        }
        with kernels.watched():
            found = kata.cross_entropy_forward(logits, targets)
        check.close(found, (loss, lse), unlike=wrong)

    def test_several_blocks(self, kata):
        """The largest logit comes late. What was summed before shrinks by
        exp(old − new). The target may be in any block.
        """
        logits, targets = rows_of_logits(4, 75)
        logits[0, 40], logits[1, 70], logits[2, 3] = 9.0, 108.0, 7.0
        targets = torch.tensor([70, 3, 40, 31])
        loss, lse = losses(logits, targets)
        blocks = logits.double().split(32, 1)
        tops = torch.stack([block.amax(1) for block in blocks]).cummax(0).values
        total = sum(
            (block - top[:, None]).exp().sum(1)
            for block, top in zip(blocks, tops, strict=True)
        )
        slips = {
            "earlier blocks are not rescaled": tops[-1] + total.log(),
            "the last block alone": blocks[-1].logsumexp(1),
        }
        wrong = {name: (loss - lse + slip, slip) for name, slip in slips.items()}
        check.close(
            kata.cross_entropy_forward(logits, targets), (loss, lse), unlike=wrong
        )

    def test_ignored_rows(self, kata):
        """−100 is no column: 100 places before the row's start lies another row, or,
        from row 0, another tensor. The row's loss is 0, whichever row it is.
        """
        logits, targets = rows_of_logits(7, 40)
        for rows in ([4, 6], [0, 3]):
            targets[rows] = IGNORED
            loss, lse = losses(logits, targets)
            wrong = {
                "an ignored row has the loss lse":
                    (torch.where(targets == IGNORED, lse, loss), ...),
                "the logit 100 places before": (
                    torch.where(targets == IGNORED,
                                lse - logits.flatten()[torch.arange(7) * 40 - 100],
                                loss), ...,
                ),
            }  # fmt: skip
            with kernels.watched():
                found = kata.cross_entropy_forward(logits, targets)
            check.close(found, (loss, lse), unlike=wrong)

    def test_far_from_zero(self, kata):
        """Rows around 300 and −300: exp(300) is infinite in float32, exp(−300) is 0.
        The running maximum begins at −∞.
        """
        logits, targets = rows_of_logits(2, 64)
        logits += torch.tensor([[300.0], [-300.0]])
        check.close(
            kata.cross_entropy_forward(logits, targets),
            losses(logits, targets),
            atol=1e-4,
        )

    def test_one_pass(self, kata):
        """Each logit is loaded once, that of the target once more, and two numbers per
        row are stored, by one program per row. It holds `block` logits at a time: a
        vocabulary would not fit.
        """
        logits, targets = rows_of_logits(9, 77)
        with kernels.watched(backwards=True) as seen:
            found = kata.cross_entropy_forward(logits, targets)
        check.close(found, losses(logits, targets))
        # the target's logit may be found in the loop, too
        picked = min(2 * 9, seen.total("load") - 9 * 77)
        check.moved(
            seen, loads=9 * 77 + max(picked, 9), stores=2 * 9, programs=9, logits=logits
        )
        check.kernels_compute(
            lambda: kata.cross_entropy_forward(logits, targets), found
        )
        with kernels.watched(max_lanes=9 * (5 * 16 + 8)):
            kata.cross_entropy_forward(logits, targets, block=16)

    @settings(max_examples=10)
    @given(case=cases())
    def test_the_block_changes_nothing(self, kata, case):
        """Any number of logits, in any block."""
        logits, targets, block = case
        found = kata.cross_entropy_forward(logits, targets, block=block)
        check.close(found, losses(logits, targets), atol=1e-4)

    @pytest.mark.edge
    def test_other_precisions(self, kata):
        """Half precision is computed in float32, and float64 in float64: lse has that
        dtype, and so has the loss.
        """
        for dtype, wide in (
            (torch.float16, torch.float32),
            (torch.bfloat16, torch.float32),
            (torch.float64,) * 2,
        ):
            logits, targets = rows_of_logits(3, 40)
            loss, lse = kata.cross_entropy_forward(logits.to(dtype), targets)
            check.dtype(loss, wide)
            check.dtype(lse, wide)
            check.close((loss, lse), losses(logits.to(dtype), targets))

    @pytest.mark.edge
    def test_forbidden_columns(self, kata):
        """Logits of −∞ add nothing, also where a whole block, or the first, has no
        others. −∞ − (−∞) is NaN.
        """
        logits, targets = rows_of_logits(2, 80)
        logits[0, :40] = logits[1, 32:64] = -torch.inf
        targets[:] = torch.tensor([50, 3])
        check.close(
            kata.cross_entropy_forward(logits, targets), losses(logits, targets)
        )

    @pytest.mark.edge
    def test_a_gpu_can_have_it(self, kata):
        """On a GPU, a variable has one type. `total = 0` is an integer, and a loop that
        adds to it does not compile.
        """
        with kernels.watched() as seen:
            kata.cross_entropy_forward(*rows_of_logits(2, 80))
        check.compiles(seen)


class TestCrossEntropyBackward:
    def test_the_softmax_minus_one_at_the_target(self, kata):
        """A larger logit raises the loss by its share; that of the target also lowers
        it by 1.
        """
        logits, targets = rows_of_logits(3, 32)
        _, lse = losses(logits, targets)
        p, one = shares(logits), ones_at(targets, 32)
        wrong = {
            "the softmax alone": p,
            "1 − softmax at the target": one - p,
            "exp(logits), not divided by the sum": logits.double().exp() - one,
        }
        with kernels.watched():
            found = kata.cross_entropy_backward(
                logits, targets, lse.float(), torch.ones(3)
            )
        check.close(found, p - one, unlike=wrong)

    def test_each_row_has_a_dloss(self, kata):
        """It scales the whole row, softmax and 1. The target's column counts from the
        start of the row, not of the block.
        """
        logits, targets = rows_of_logits(5, 75)
        targets[:2] = torch.tensor([70, 5])
        _, lse = losses(logits, targets)
        p, one, dloss = shares(logits), ones_at(targets, 75), torch.arange(5.0) - 1.5
        lanes = (torch.arange(75) % 32 == targets[:, None]).double()
        d = dloss.double()[:, None]
        wrong = {
            "dloss not used": p - one,
            "dloss scales the softmax alone": p * d - one,
            "dloss scales the 1 alone": p - one * d,
            "the gradient of a mean": (p - one) * d / 5,
            "dloss of row 0 for all": (p - one) * d[0],
            "the target's column counted from the block": (p - lanes) * d,
        }
        found = kata.cross_entropy_backward(logits, targets, lse.float(), dloss)
        check.close(found, (p - one) * d, unlike=wrong)

    def test_ignored_rows(self, kata):
        """Their loss is 0, whatever the logits: so is their gradient,
        whatever dloss.
        """
        logits, targets = rows_of_logits(5, 64)
        targets[[0, 3]] = IGNORED
        _, lse = losses(logits, targets)
        p, one = shares(logits), ones_at(targets, 64)
        found = kata.cross_entropy_backward(logits, targets, lse.float(), torch.ones(5))
        check.close(
            found,
            (p - one) * (targets != IGNORED)[:, None],
            unlike={"ignored rows have their softmax": p - one},
        )

    def test_no_softmax_reaches_memory(self, kata):
        """One load and one store per logit, `block` at a time, and three loads per row:
        its target, its lse, its dloss.
        """
        logits, targets = rows_of_logits(9, 77)
        _, lse = losses(logits, targets)
        with kernels.watched(backwards=True) as seen:
            found = kata.cross_entropy_backward(
                logits, targets, lse.float(), torch.ones(9)
            )
        check.close(found, shares(logits) - ones_at(targets, 77))
        check.moved(
            seen, loads=9 * 77 + 3 * 9, stores=9 * 77, programs=9, logits=logits
        )
        check.kernels_compute(
            lambda: kata.cross_entropy_backward(
                logits, targets, lse.float(), torch.ones(9)
            ),
            found,
        )
        with kernels.watched(max_lanes=9 * (2 * 5 * 16 + 8)):
            kata.cross_entropy_backward(
                logits, targets, lse.float(), torch.ones(9), block=16
            )

    @settings(max_examples=10)
    @given(case=cases())
    def test_a_row_s_gradient_sums_to_zero(self, kata, case):
        """A number added to all logits of a row changes no loss. Any number of logits,
        in any block.
        """
        logits, targets, block = case
        _, lse = losses(logits, targets)
        found = kata.cross_entropy_backward(
            logits, targets, lse.float(), torch.ones(len(logits)), block=block
        )
        check.shape(found, logits.shape)
        check.close(found.double().sum(1), torch.zeros(len(logits)), atol=1e-3)

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """The gradient has the dtype of the logits. It is computed in float32, and
        rounded once.
        """
        for dtype, places in ((torch.float16, 1e-3), (torch.bfloat16, 1e-2)):
            logits, targets = rows_of_logits(3, 40)
            logits = logits.to(dtype)
            _, lse = losses(logits, targets)
            found = kata.cross_entropy_backward(
                logits, targets, lse.float(), torch.full((3,), 3.0)
            )
            check.dtype(found, dtype)
            check.close(
                found.double(),
                3 * (shares(logits) - ones_at(targets, 40)),
                rtol=places,
                atol=1e-6,
            )


class TestCrossEntropy:
    def test_value_and_gradient(self, kata):
        """Those of PyTorch's own, row by row, with a weight of its own for each row's
        loss. Two calls before a backward keep what is theirs.
        """
        logits, targets = rows_of_logits(5, 40)
        targets[2] = IGNORED
        both = targets, targets.flip(0)
        check.close(
            kata.CrossEntropy.apply(logits, targets), losses(logits, targets)[0]
        )
        check.gradients(
            lambda x: torch.stack(
                [kata.CrossEntropy.apply(x, columns) for columns in both]
            ),
            lambda x: torch.stack(
                [F.cross_entropy(x, columns, reduction="none") for columns in both]
            ),
            logits,
        )

    def test_nothing_else_of_the_size_of_the_logits_is_kept(self, kata):
        """Logits, targets and lse are. The softmax is made again, number by number,
        while the gradient is.
        """
        logits, targets = rows_of_logits(6, 64)
        out = kata.CrossEntropy.apply(logits.requires_grad_(), targets)
        at_most(kept_by(out), 6 * 64 + 3 * 6, "numbers are kept")
        with kernels.watched() as seen:
            (out * torch.arange(6)).sum().backward()
        at_most(seen.total("store"), 6 * 64 + 2 * 6, "numbers were stored in backward")

    @pytest.mark.edge
    def test_the_gradient_of_a_sum(self, kata):
        """It is a single 1, expanded: its stride is 0, and there is one number in
        memory. So it is for a mean.
        """
        logits, targets = rows_of_logits(5, 40)
        for reduce in (torch.sum, torch.mean):
            leaf = logits.clone().requires_grad_()
            reduce(kata.CrossEntropy.apply(leaf, targets)).backward()
            right = shares(logits) - ones_at(targets, 40)
            check.close(leaf.grad, right / (1 if reduce is torch.sum else 5))

    @pytest.mark.edge
    def test_gradcheck(self, kata):
        """`torch.autograd.gradcheck` moves each logit by a millionth, and compares what
        the loss does with the gradient. Float32 does not resolve that: float64 has to
        stay float64.
        """
        logits, targets = rows_of_logits(3, 9)
        logits = logits.double().requires_grad_()
        agrees = torch.autograd.gradcheck(
            lambda x: kata.CrossEntropy.apply(x, targets),
            (logits,),
            raise_exception=False,
            fast_mode=True,
        )
        check.that(agrees, "gradcheck finds another gradient")


def rms(x):
    """1 / √(mean(x²) + eps) of each row, in float64."""
    return 1 / (x.double().square().mean(1) + 1e-5).sqrt()


def normalised(x, weight):
    return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight


def norm_case(M, N):
    """dy, x, weight and rstd."""
    x = torch.randn(M, N) * 2
    return torch.randn(M, N), x, torch.randn(N), rms(x).float()


def norm_gradients(dy, x, weight):
    """Those of x and weight in float64, by autograd."""
    leaves = [value.double().requires_grad_() for value in (x, weight)]
    return torch.autograd.grad(normalised(*leaves), leaves, dy.double())


class TestRmsNormBackward:
    def test_the_gradient_of_the_rows(self, kata):
        """A row's own length does not matter: its rms is taken out. So with weights of
        1, dx has no part along x, which is what x̂ · mean(g · x̂) takes away. The mean is
        over 33 numbers, in a block of 64.
        """
        dy, x, weight, rstd = norm_case(4, 33)
        right, _ = norm_gradients(dy, x, weight)
        r = rstd.double()[:, None]
        g, normed = (dy * weight).double(), x * r
        along = (g * normed).sum(1, keepdim=True)
        wrong = {
            "the part along x stays": r * g,
            "a mean over the block": r * (g - normed * along / 64),
            "a sum in place of the mean": r * (g - normed * along),
            "not divided by the rms": g - normed * along / 33,
            "the weight is missing": norm_gradients(dy, x, torch.ones(33))[0],
            "the weight after the mean": norm_gradients(dy, x, torch.ones(33))[0]
            * weight,
        }
        with kernels.watched():
            dx, _ = kata.rms_norm_backward(dy, x, weight, rstd)
        check.close(dx, right, unlike=wrong)

    def test_the_gradient_of_the_weight(self, kata):
        """Each row adds dy · x̂ to it. Four rows are one program's."""
        dy, x, weight, rstd = norm_case(4, 64)
        _, right = norm_gradients(dy, x, weight)
        wrong = {
            "x in place of x̂": (dy * x).double().sum(0),
            "a mean over the rows": right / 4,
            "the last row alone": (dy * x * rstd[:, None]).double()[3],
            "the weight left in": right * weight,
        }
        with kernels.watched():
            _, dweight = kata.rms_norm_backward(dy, x, weight, rstd)
        check.close(dweight, right, unlike=wrong, atol=1e-4)

    def test_groups_of_rows(self, kata):
        """13 rows make groups of 4, 4, 4 and 1. All of them add to dweight, and none
        may write where another does: on a GPU one of the two would be lost.
        """
        dy, x, weight, rstd = norm_case(13, 33)
        dx, dweight = norm_gradients(dy, x, weight)
        with kernels.watched(backwards=True):
            found = kata.rms_norm_backward(dy, x, weight, rstd)
        check.close(
            found,
            (dx, dweight),
            atol=1e-4,
            unlike={"dweight not summed over the groups": (..., dweight / 4)},
        )

    def test_what_is_moved(self, kata):
        """dy and x are loaded once, the weight once per program, and a program leaves
        one line of sums. `rows` says how many rows it takes. A row may be wide.
        """
        for M, N, rows, lines in ((13, 33, 4, 4), (12, 33, 2, 6), (4, 1100, 4, 1)):
            dy, x, weight, rstd = norm_case(M, N)
            with kernels.watched() as seen:
                found = kata.rms_norm_backward(dy, x, weight, rstd, rows=rows)
            check.close(found, norm_gradients(dy, x, weight), atol=1e-4)
            for name, tensor, most in (
                ("dy", dy, 1),
                ("x", x, 1),
                ("weight", weight, lines),
            ):
                times = int(seen.loads(tensor).max())
                check.that(times >= 1, f"no kernel loads {name}")
                check.that(
                    times <= most,
                    f"{name} is loaded {times} times, {most} are enough: {lines} "
                    "programs",
                )
            at_most(seen.total("store"), (M + lines + 1) * N, "numbers were stored")
        check.kernels_compute(
            lambda: kata.rms_norm_backward(dy, x, weight, rstd), found
        )

    @settings(max_examples=10)
    @given(
        sizes=st.tuples(st.integers(1, 5), st.integers(1, 40), st.sampled_from([2, 4]))
    )
    def test_any_size(self, kata, sizes):
        """Any number of rows, in groups of any size."""
        dy, x, weight, rstd = norm_case(*sizes[:2])
        found = kata.rms_norm_backward(dy, x, weight, rstd, rows=sizes[2])
        check.close(found, norm_gradients(dy, x, weight), rtol=1e-3, atol=1e-3)

    @pytest.mark.edge
    def test_half_precision(self, kata):
        """Products and sums are float32. dx has x's dtype, dweight the weight's."""
        for dtype, places in ((torch.float16, 2e-3), (torch.bfloat16, 1e-2)):
            dy, x, weight, _ = (value.to(dtype) for value in norm_case(13, 33))
            found = kata.rms_norm_backward(dy, x, weight, rms(x).float())
            for value, right in zip(found, norm_gradients(dy, x, weight), strict=True):
                check.dtype(value, dtype)
                check.close(value.double(), right, rtol=places, atol=1e-4)


@pytest.mark.stretch
class TestRMSNorm:
    def test_value_and_gradients(self, kata):
        """y of `rms_norm`, and both gradients of autograd."""
        _, x, weight, _ = norm_case(8, 64)
        check.close(
            kata.RMSNorm.apply(x, weight), normalised(x.double(), weight.double())
        )
        check.gradients(kata.RMSNorm.apply, normalised, x, weight, atol=1e-4)

    def test_what_is_kept(self, kata):
        """x, weight, and rstd, one number per row: neither y nor x̂."""
        _, x, weight, _ = norm_case(7, 70)
        out = kata.RMSNorm.apply(x.requires_grad_(), weight.requires_grad_())
        at_most(kept_by(out), 7 * 70 + 70 + 7, "numbers are kept")
        with kernels.watched() as seen:
            (out * torch.randn(7, 70)).sum().backward()
        at_most(
            seen.total("store"), (7 + 2 + 1) * 70, "numbers were stored in backward"
        )

    @pytest.mark.edge
    def test_the_gradient_of_a_sum(self, kata):
        """It is a single 1, expanded: all strides are 0, and there is one number
        in memory.
        """
        _, x, weight, _ = norm_case(5, 20)
        leaf = x.clone().requires_grad_()
        kata.RMSNorm.apply(leaf, weight).sum().backward()
        check.close(
            leaf.grad, norm_gradients(torch.ones(5, 20), x, weight)[0], atol=1e-5
        )

    @pytest.mark.edge
    def test_a_frozen_weight(self, kata):
        """In a model of which only a part is trained, most weights need no gradient.
        Then no sums are stored.
        """
        dy, x, weight, _ = norm_case(7, 20)
        leaf = x.clone().requires_grad_()
        out = kata.RMSNorm.apply(leaf, weight)
        with kernels.watched() as seen:
            out.backward(dy)
        check.close(leaf.grad, norm_gradients(dy, x, weight)[0], atol=1e-5)
        at_most(seen.total("store"), 7 * 20, "numbers were stored")


def gated(gate, up):
    return F.silu(gate) * up


@pytest.mark.stretch
class TestRegisterSwiglu:
    def test_value_and_gradients(self, kata):
        """silu(gate) · up, and the gradients of both by one launch."""
        op = kata.register_swiglu()
        check.close(op(*torch.ones(2, 4, 64)), gated(*torch.ones(2, 4, 64)))
        check.gradients(op, gated, torch.randn(3, 43) * 2, torch.randn(3, 43))

    def test_what_is_moved(self, kata):
        """Forward loads two numbers per element and stores one, backward loads three
        and stores two, in one launch each.
        """
        op = kata.register_swiglu()
        gate, up = (torch.randn(7, 30).requires_grad_() for _ in range(2))
        with kernels.watched(backwards=True) as seen:
            out = op(gate, up)
            out.backward(torch.randn(7, 30))
        check.moved(
            seen,
            loads=5 * 210,
            stores=3 * 210,
            programs=seen.programs,
            gate=gate,
            up=up,
        )
        check.kernels_compute(lambda: op(gate, up), out)
        check.that(seen.launches == 2, f"{seen.launches} launches, not 2")

    def test_shapes_without_numbers(self, kata):
        """Tensors on the device "meta" have a shape and a dtype, and no memory: no
        kernel can run. What is registered as fake answers.
        """
        op = kata.register_swiglu()
        for dtype in (torch.float32, torch.float16):
            out = op(*(torch.empty(3, 5, device="meta", dtype=dtype) for _ in range(2)))
            check.shape(out, (3, 5))
            check.dtype(out, dtype)
            check.that(
                out.device.type == "meta",
                f"the fake's result is on {out.device}, not on meta",
            )

    def test_opcheck(self, kata):
        """`torch.library.opcheck` tries what PyTorch relies on: nothing is written to,
        the result is a new tensor, the fake is like it, and the gradient was registered
        with the operation, not around it.
        """
        kernels.ends_on_a_device()
        inputs = tuple(torch.randn(3, 7).requires_grad_() for _ in range(2))
        tried = ("test_schema", "test_autograd_registration", "test_faketensor")
        found = torch.library.opcheck(
            kata.register_swiglu(), inputs, test_utils=tried, raise_exception=False
        )
        wrong = [f"{name}: {says}" for name, says in found.items() if says != "SUCCESS"]
        check.that(not wrong, "; ".join(wrong))

    @pytest.mark.edge
    def test_halves_of_one_product(self, kata):
        """One matrix product often makes gate and up at once. Its halves are views,
        whose rows lie apart. The gradient of a sum is expanded, too.
        """
        both = torch.randn(4, 60)
        op = kata.register_swiglu()
        leaf, right = both.clone().requires_grad_(), both.double().requires_grad_()
        op(*leaf.chunk(2, 1)).sum().backward()
        gated(*right.chunk(2, 1)).sum().backward()
        check.close(leaf.grad, right.grad)

    @pytest.mark.edge
    def test_the_fake_lies_in_memory_as_the_result_does(self, kata):
        """Of a transposed gate, too: `empty_like` keeps its strides, and what is
        compiled then reads other places.
        """
        op = kata.register_swiglu()
        gate, up = torch.randn(5, 3).T, torch.randn(3, 5)
        fake = op(*(torch.empty_like(x, device="meta") for x in (gate, up)))
        check.equal(
            fake.stride(),
            op(gate, up).stride(),
            what="the strides of the fake's result",
        )


class Made(TorchDispatchMode):
    """How many numbers each floating tensor has that is made inside, views apart."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        result = operation(*arguments, **(options or {}))
        tensors = [
            x
            for x in (*arguments, *(options or {}).values())
            if isinstance(x, torch.Tensor)
        ]
        given = {x.untyped_storage().data_ptr() for x in tensors}
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if (
                isinstance(x, torch.Tensor)
                and x.is_floating_point()
                and x.untyped_storage().data_ptr() not in given
            ):
                self.sizes.append(x.numel())
        return result


def mean_loss(x, weight, targets):
    """The mean of the losses and both gradients, in float64, with all logits
    at once.
    """
    leaves = [value.double().requires_grad_() for value in (x, weight)]
    loss = F.cross_entropy(leaves[0] @ leaves[1].T, targets)
    return loss.detach(), *torch.autograd.grad(loss, leaves)


def last_layer(R, D=6, V=37):
    """Hidden states, the output layer's weight, and targets."""
    return torch.randn(R, D), torch.randn(V, D), torch.arange(R) * 5 % V


@pytest.mark.stretch
class TestLinearCrossEntropy:
    def test_one_chunk(self, kata):
        """Eight rows at once: the mean of their losses, and its gradients."""
        case = last_layer(8, V=64)
        loss, dx, dweight = mean_loss(*case)
        wrong = {"gradients of the sum, not of the mean": (..., 8 * dx, 8 * dweight)}
        check.close(
            kata.linear_cross_entropy(*case, chunk=8), (loss, dx, dweight), unlike=wrong
        )

    def test_several_chunks(self, kata):
        """20 rows make chunks of 8, 8 and 4. The mean is that of 20 rows, and every
        chunk adds to dweight.
        """
        x, weight, targets = last_layer(20)
        loss, dx, dweight = mean_loss(x, weight, targets)
        parts = [
            mean_loss(a, weight, b)
            for a, b in zip(x.split(8), targets.split(8), strict=True)
        ]
        wrong = {
            "dweight of the last chunk alone": (..., ..., parts[2][2] * 4 / 20),
            "the mean of the chunks' means": (
                sum(part[0] for part in parts) / 3,
                ...,
                ...,
            ),
            "each chunk's own mean": (
                ...,
                torch.cat([part[1] for part in parts]),
                sum(part[2] for part in parts),
            ),
        }
        check.close(
            kata.linear_cross_entropy(x, weight, targets, chunk=8),
            (loss, dx, dweight),
            unlike=wrong,
        )

    def test_the_mean_leaves_ignored_rows_out(self, kata):
        """Of 12 rows, four have no target. The mean is that of eight."""
        x, weight, targets = last_layer(12)
        targets[[0, 1, 6, 11]] = IGNORED
        loss, dx, dweight = mean_loss(x, weight, targets)
        wrong = {
            "divided by all 12 rows": (loss * 8 / 12, dx * 8 / 12, dweight * 8 / 12)
        }
        check.close(
            kata.linear_cross_entropy(x, weight, targets, chunk=4),
            (loss, dx, dweight),
            unlike=wrong,
        )

    def test_the_logits_never_exist_at_once(self, kata):
        """Two chunks of 8 rows and one of 4 have a tensor of logits each, over which a
        kernel writes their gradient. No tensor is larger.
        """
        x, weight, targets = last_layer(20)
        with Made() as made, kernels.watched() as seen:
            found = kata.linear_cross_entropy(x, weight, targets, chunk=8)
        check.close(found, mean_loss(x, weight, targets))
        largest, full = max(made.sizes), made.sizes.count(8 * 37)
        check.that(
            largest <= 8 * 37,
            f"a tensor of {largest} numbers was made: a chunk has {8 * 37} logits",
        )
        check.that(
            full <= 2,
            f"{full} tensors of {8 * 37} numbers were made: 2 are enough, one for "
            "each full chunk",
        )
        check.that(
            seen.total("store") >= 20 * 37,
            "no kernel writes the gradient of the logits",
        )
