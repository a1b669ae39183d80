"""Specs of kata tinytorch/11: momentum, Adam, cross-entropy as one operation, metrics,
and digits learned.
"""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check


def tensor(values, requires_grad=False):
    from tinytorch.tensor import Tensor

    return Tensor(values, requires_grad=requires_grad)


def parameter(data, grad=None, dtype=np.float64):
    """A Parameter, and its gradient if there is one."""
    from tinytorch.layers import Parameter

    p = Parameter(np.array(data, dtype=dtype))
    p.grad = None if grad is None else np.array(grad, dtype=dtype)
    return p


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def stepped(optimizer, p, grads):
    """The values of a parameter after one step for each gradient."""
    found = []
    for grad in grads:
        p.grad = np.array(grad, dtype=p.dtype)
        optimizer.step()
        found.append(p.data.copy())
    return np.array(found)


def both_stepped(make, make_oracle, steps, late=0):
    """Two parameters after steps with equal random gradients, by TinyTorch and by
    PyTorch. The second parameter has no gradient in the first `late` steps.
    """
    shapes = (3, 4), (5,)
    ours = [parameter(normal(*shape)) for shape in shapes]
    theirs = [torch.tensor(p.data, requires_grad=True) for p in ours]
    optimizer, oracle = make(ours), make_oracle(theirs)
    for step in range(steps):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            grad = (
                None if i == 1 and step < late else normal(*p.shape, seed=10 * step + i)
            )
            p.grad, q.grad = grad, None if grad is None else torch.tensor(grad)
        optimizer.step()
        oracle.step()
    return [p.data for p in ours], [q.detach().numpy() for q in theirs]


def prepared(optimizer, prepare):
    """The optimizer of PyTorch, with a function that is called with each parameter
    before every step.
    """

    def before(*_):
        for p in optimizer.param_groups[0]["params"]:
            prepare(p)

    optimizer.register_step_pre_hook(before)
    return optimizer


def zero_if_none(p):
    if p.grad is None:
        p.grad = torch.zeros_like(p)


def check_arrays_like(arrays, params, name):
    check.that(
        isinstance(arrays, list),
        f"{name} is {check.describe(arrays)}, expected a list of arrays",
    )
    check.equal(len(arrays), len(params), what=f"the number of arrays in {name}")
    for array, p in zip(arrays, params, strict=True):
        check.equal(
            array,
            np.zeros(p.shape, dtype=p.dtype),
            what=f"{name} of a parameter of shape {p.shape}",
        )


class TestSGDMomentum:
    def test_starts_at_rest(self, kata):
        """One velocity per parameter, an array of zeros with the parameter's shape
        and dtype.
        """
        params = [parameter(np.ones((2, 3))), parameter(np.ones(3), dtype=np.float32)]
        optimizer = kata.SGDMomentum(params)
        check_arrays_like(optimizer.velocity, params, "velocity")
        check.equal(optimizer.lr, 0.01, what="the default lr")

    def test_two_steps_by_hand(self, kata):
        """Gradient 2 twice, μ = 0.9: the velocities are 2 and 0.9 · 2 + 2 = 3.8. With
        lr 0.1, p goes from 1 to 0.8 to 0.42.
        """
        p = parameter([1.0])
        got = stepped(kata.SGDMomentum([p], lr=0.1, momentum=0.9), p, [[2.0], [2.0]])
        unlike = {
            "(1 − μ) · gradient in the velocity: that is Adam's mean": np.array(
                [[0.98], [0.942]]
            ),
            "plain SGD, without a velocity": np.array([[0.8], [0.6]]),
            "Nesterov's momentum: a step along g + μ v": np.array([[0.62], [0.078]]),
            "a step uphill": np.array([[1.2], [1.58]]),
        }
        check.close(
            got, np.array([[0.8], [0.42]]), what="p after each step", unlike=unlike
        )

    def test_ten_steps_with_decay_equal_those_of_torch(self, kata):
        """For two parameters with random gradients, as torch.optim.SGD does:
        weight_decay · p belongs to the gradient and enters the velocity.
        """
        options = {"lr": 0.1, "momentum": 0.7, "weight_decay": 0.2}
        ours, theirs = both_stepped(
            lambda p: kata.SGDMomentum(p, **options),
            lambda p: torch.optim.SGD(p, **options),
            10,
        )
        _, beside = both_stepped(
            lambda p: kata.SGDMomentum(p, **options),
            lambda p: prepared(
                torch.optim.SGD(p, lr=0.1, momentum=0.7),
                lambda q: q.data.mul_(1 - 0.1 * 0.2),
            ),
            10,
        )
        _, without = both_stepped(
            lambda p: kata.SGDMomentum(p, **options),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7),
            10,
        )
        check.close(
            ours,
            theirs,
            unlike={"decay beside the velocity": beside, "no weight decay": without},
        )

    def test_a_changed_learning_rate_takes_effect_at_once(self, kata):
        """The velocity holds gradients alone, and lr multiplies all of it. With lr
        inside the velocity, old gradients would keep the old lr.
        """
        p = parameter([1.0])
        optimizer = kata.SGDMomentum([p], lr=0.1)
        stepped(optimizer, p, [[1.0]])
        optimizer.lr = 0.5
        got = stepped(optimizer, p, [[1.0]])
        unlike = {
            "lr inside the velocity": np.array([[0.31]]),
            "the old lr": np.array([[0.71]]),
        }
        check.close(
            got,
            np.array([[-0.05]]),
            what="p after a second step, with lr 0.5",
            unlike=unlike,
        )

    def test_a_parameter_without_gradient_is_skipped(self, kata):
        """None is no gradient of 0: the parameter does not move, not even by
        its velocity.
        """
        idle, busy = parameter([3.0], [1.0]), parameter([1.0], [2.0])
        optimizer = kata.SGDMomentum([idle, busy], lr=0.5)
        optimizer.step()
        idle.grad = None
        optimizer.step()
        check.close(
            check.data(idle),
            np.array([2.5]),
            what="the parameter without gradient in the second step",
        )
        check.close(optimizer.velocity[0], np.array([1.0]), what="its velocity")
        check.close(check.data(busy), np.array([-1.9]), what="the parameter after it")

    def test_gradients_and_dtypes_stay(self, kata):
        """Clearing is the task of zero_grad, and decay is added to a copy. float32
        stays float32, in the velocity as well.
        """
        for options, ends in zip(
            check.modes(weight_decay=[1.0]), ([-1.0, 6.0], [-1.5, 5.0])
        ):
            p = parameter([1.0, 2.0], [4.0, -8.0], dtype=np.float32)
            optimizer = kata.SGDMomentum([p], lr=0.5, **options)
            optimizer.step()
            check.equal(
                p.data,
                np.array(ends, dtype=np.float32),
                what=f"data after step, with {options}",
            )
            optimizer.step()
            check.equal(
                p.grad,
                np.array([4.0, -8.0], dtype=np.float32),
                what=f"grad after two steps, with {options}",
            )
            check.equal(
                str(optimizer.velocity[0].dtype),
                "float32",
                what="dtype of the velocity",
            )

    @pytest.mark.edge
    def test_data_stays_the_same_array(self, kata):
        """Whoever shares the array, such as a tied layer, sees the update only
        in place.
        """
        p = parameter([1.0, 2.0], [1.0, 1.0])
        array = p.data
        kata.SGDMomentum([p], lr=0.5).step()
        check.that(
            p.data is array,
            "step made a new array: `p.data = …` instead of a change in place",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("momentum", [-0.1, 1.0])
    def test_momentum_is_below_one(self, kata, momentum):
        """With μ = 1 nothing slows the velocity down. Below 0 it turns around at
        each step.
        """
        with check.raises(ValueError):
            kata.SGDMomentum([parameter([1.0])], momentum=momentum)


class TestAdam:
    def test_starts_with_zeros(self, kata):
        """Two arrays per parameter, each with its shape and dtype, and a
        counter each.
        """
        params = [parameter(np.ones((2, 3))), parameter(np.ones(3), dtype=np.float32)]
        optimizer = kata.Adam(params)
        check_arrays_like(optimizer.m, params, "m")
        check_arrays_like(optimizer.v, params, "v")
        check.equal(optimizer.steps, [0, 0], what="steps")
        check.equal(optimizer.lr, 1e-3, what="the default lr")

    def test_the_first_step_is_lr_in_every_element(self, kata):
        """Corrected, m̂ is g and v̂ is g², so that the first step is lr · g / |g|: lr
        against the sign, for small and large gradients alike.
        """
        grad = np.array([0.01, -5.0, 200.0])
        p = parameter(np.zeros(3))
        got = stepped(kata.Adam([p], lr=0.01), p, [grad])[0]
        unlike = {
            "no bias correction": -0.01 * np.sign(grad) * 0.1 / 0.001**0.5,
            "no bias correction of v": -0.01 * np.sign(grad) / 0.001**0.5,
            "no bias correction of m": -0.001 * np.sign(grad),
            "the root of v is missing": -0.01 / grad,
            "plain SGD": -0.01 * grad,
            "a step uphill": 0.01 * np.sign(grad),
        }
        check.close(
            got,
            -0.01 * np.sign(grad),
            rtol=1e-4,
            what="p after one step from 0",
            unlike=unlike,
        )

    @pytest.mark.parametrize(
        "options",
        [{}, {"betas": (0.8, 0.95), "weight_decay": 0.3, "lr": 0.05, "eps": 0.01}],
        ids=["defaults", "all options"],
    )
    def test_twenty_steps_equal_those_of_torch(self, kata, options):
        """For two parameters with random gradients, in float64. Weight decay is added
        to the gradient before both means: subtracted from p at the end, it would
        be AdamW.
        """
        ours, theirs = both_stepped(
            lambda p: kata.Adam(p, **options),
            lambda p: torch.optim.Adam(p, **options),
            20,
        )
        _, decoupled = both_stepped(
            lambda p: kata.Adam(p, **options),
            lambda p: torch.optim.AdamW(p, **options),
            20,
        )
        check.close(
            ours,
            theirs,
            unlike={"AdamW: decay beside the gradient": decoupled}
            if "weight_decay" in options
            else {},
        )

    def test_eps_is_added_after_the_root(self, kata):
        """Where gradients are as small as eps, its place shows: lr · m̂ / (√v̂ + eps)."""
        size = np.array([1e-10, 1e-9, 1e-8])
        p = parameter(np.zeros(3))
        got = stepped(kata.Adam([p], lr=1.0), p, [size])[0]
        unlike = {
            "eps under the root": -size / np.sqrt(size**2 + 1e-8),
            "eps beside the root of v, before its correction": -size
            / (size + 1e-8 / 0.001**0.5),
            "no eps": -np.ones(3),
        }
        check.close(
            got,
            -size / (size + 1e-8),
            rtol=1e-6,
            what="p after one step from 0",
            unlike=unlike,
        )

    def test_a_changed_learning_rate_takes_effect(self, kata):
        """Schedules write to `optimizer.lr` between steps. With a gradient that stays,
        each step is lr.
        """
        p = parameter([1.0])
        optimizer = kata.Adam([p], lr=0.1)
        stepped(optimizer, p, [[3.0]])
        optimizer.lr = 0.5
        got = stepped(optimizer, p, [[3.0]])
        check.close(
            got,
            np.array([[0.4]]),
            rtol=1e-6,
            what="p after 0.9",
            unlike={"the old lr": np.array([[0.8]])},
        )

    def test_a_parameter_without_gradient_is_skipped(self, kata):
        """A layer that took no part in the loss has the gradient None. It stays, and
        the others are still updated.
        """
        idle, busy = parameter([3.0]), parameter([1.0], [2.0])
        kata.Adam([idle, busy], lr=0.5).step()
        check.equal(
            check.data(idle), np.array([3.0]), what="the parameter without gradient"
        )
        check.close(
            check.data(busy), np.array([0.5]), rtol=1e-6, what="the parameter after it"
        )

    def test_gradients_and_dtypes_stay(self, kata):
        """Clearing is the task of zero_grad, and decay is added to a copy. float32
        stays float32, in m and v as well: as float64 they would take twice the memory.
        """
        for options in check.modes(weight_decay=[1.0]):
            p = parameter([1.0, 2.0], [4.0, -8.0], dtype=np.float32)
            optimizer = kata.Adam([p], lr=0.5, **options)
            optimizer.step()
            optimizer.step()
            check.equal(
                p.grad,
                np.array([4.0, -8.0], dtype=np.float32),
                what=f"grad after two steps, with {options}",
            )
            dtypes = [
                str(array.dtype) for array in (p.data, optimizer.m[0], optimizer.v[0])
            ]
            check.equal(dtypes, ["float32"] * 3, what="dtypes of data, m and v")

    @pytest.mark.edge
    def test_a_late_gradient_starts_at_its_own_step_one(self, kata):
        """A parameter without a gradient in the first five steps has made no step. With
        one counter for all, its correction would be that of the sixth.
        """
        ours, theirs = both_stepped(
            lambda p: kata.Adam(p, lr=0.1),
            lambda p: torch.optim.Adam(p, lr=0.1),
            8,
            late=5,
        )
        _, counted = both_stepped(
            lambda p: kata.Adam(p, lr=0.1),
            lambda p: prepared(torch.optim.Adam(p, lr=0.1), zero_if_none),
            8,
            late=5,
        )
        check.close(
            ours, theirs, unlike={"steps without a gradient were counted": counted}
        )
        first, second = parameter([1.0], [1.0]), parameter([1.0])
        optimizer = kata.Adam([first, second])
        optimizer.step()
        check.equal(
            optimizer.steps, [1, 0], what="steps, when the second has no gradient"
        )

    @pytest.mark.edge
    def test_data_stays_the_same_array(self, kata):
        """Whoever shares the array, such as a tied layer, sees the update only
        in place.
        """
        p = parameter([1.0, 2.0], [1.0, 1.0])
        array = p.data
        kata.Adam([p], lr=0.5).step()
        check.that(
            p.data is array,
            "step made a new array: `p.data = …` instead of a change in place",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "options",
        [{"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}, {"eps": 0.0}],
        ids=str,
    )
    def test_options_out_of_range(self, kata, options):
        """A beta of 1 never lets a gradient in, and divides by 0 to correct. Without
        eps, a gradient of 0 is 0/0.
        """
        with check.raises(ValueError):
            kata.Adam([parameter([1.0])], **options)


def torch_loss(logits, targets, upstream=1.0, **options):
    """PyTorch's cross-entropy in float64, and the gradient of the logits."""
    x = torch.tensor(np.asarray(logits, dtype=np.float64), requires_grad=True)
    loss = F.cross_entropy(x, torch.as_tensor(targets), **options)
    (upstream * loss).backward()
    return np.array(loss.item()), x.grad.numpy()


@st.composite
def classified(draw):
    """Logits, targets and options; at least one row is not ignored."""
    rows, classes = draw(st.integers(1, 5)), draw(st.integers(2, 5))
    logits = normal(rows, classes, seed=draw(st.integers(0, 99)))
    ignored = draw(st.sampled_from([-100, 0, 1]))
    targets = draw(
        st.lists(
            st.sampled_from([ignored, *range(classes)]), min_size=rows, max_size=rows
        )
    )
    targets[0] = classes - 1 if ignored != classes - 1 else 0
    options = {
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.5])),
        "ignore_index": ignored,
    }
    return logits, np.array(targets), options


class TestFusedCrossEntropy:
    def test_a_small_example(self, kata):
        """The right classes have the probabilities 1/2 and 1/5. The loss is the mean of
        log 2 and log 5, as a 0-d Tensor.
        """
        logits = tensor(np.log([[0.5, 0.25, 0.25], [0.1, 0.7, 0.2]]) + [[3.0], [-1.0]])
        for targets in (np.array([0, 2]), tensor(np.array([0, 2]))):
            got = check.data(kata.fused_cross_entropy(logits, targets))
            unlike = {
                "the sum over rows": np.array(np.log(10)),
                "every target wanted in every row: table[:, targets]": np.array(
                    np.log(400) / 2
                ),
            }
            check.close(got, np.array(np.log(10) / 2), unlike=unlike)

    def test_the_smoothed_share_is_spread_over_all_classes(self, kata):
        """With ε = 0.2 and four classes, each class is wanted by 0.05, and the target
        by 0.85. PyTorch does the same.
        """
        logits, targets = normal(3, 4), np.array([2, 0, 3])
        expected, _ = torch_loss(logits, targets, label_smoothing=0.2)
        plain, _ = torch_loss(logits, targets)
        all_classes = (
            -F.log_softmax(torch.tensor(logits), dim=1).mean(dim=1).mean().item()
        )
        others = (all_classes * 4 - plain) / 3
        unlike = {
            "without smoothing": plain,
            "smoothing applied to the loss, not to the targets": np.asarray(
                0.8 * plain
            ),
            "spread over the other classes only": np.asarray(
                0.8 * plain + 0.2 * others
            ),
            "the target's own share of ε is missing": np.asarray(
                0.8 * plain + 0.15 * others
            ),
            "ε / (C − 1) for every class, the target among them": np.asarray(
                0.8 * plain + 0.2 / 3 * 4 * all_classes
            ),
        }
        got = check.data(
            kata.fused_cross_entropy(tensor(logits), targets, label_smoothing=0.2)
        )
        check.close(got, expected, unlike=unlike)

    def test_ignored_rows_do_not_count(self, kata):
        """Padding has no right class. The mean is over the other rows, here two
        of four.
        """
        logits, targets = normal(4, 3), np.array([1, -100, 2, -100])
        expected, _ = torch_loss(logits, targets)
        unlike = {"divided by all rows, N": np.asarray(expected / 2)}
        check.close(
            check.data(kata.fused_cross_entropy(tensor(logits), targets)),
            expected,
            unlike=unlike,
        )
        expected, _ = torch_loss(
            logits, np.array([1, 0, 2, 0]), ignore_index=0, label_smoothing=0.3
        )
        got = kata.fused_cross_entropy(
            tensor(logits), np.array([1, 0, 2, 0]), ignore_index=0, label_smoothing=0.3
        )
        check.close(
            check.data(got), expected, what="the loss with ignore_index=0 and smoothing"
        )

    @given(case=classified())
    def test_equals_torch(self, kata, case):
        """For any number of rows and classes, smoothing and ignored class."""
        logits, targets, options = case
        got = check.data(kata.fused_cross_entropy(tensor(logits), targets, **options))
        check.close(got, torch_loss(logits, targets, **options)[0])

    def test_large_logits(self, kata):
        """A model that is wrong and very sure has a large loss, 20,000 in the first
        row. Each row subtracts its own largest logit.
        """
        logits, targets = (
            np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]], dtype=np.float32),
            np.array([2, 1]),
        )
        got = check.data(kata.fused_cross_entropy(tensor(logits), targets))
        unlike = {"exp of the logits as they are": np.array(np.nan)}
        check.close(got, torch_loss(logits, targets)[0], rtol=1e-5, unlike=unlike)

    def test_one_node(self, kata):
        """One operation from the logits to the loss. Made of Tensor operations it would
        be a graph of several nodes, each with tables of its own.
        """
        logits = tensor(normal(3, 4), requires_grad=True)
        loss = kata.fused_cross_entropy(
            logits, np.array([2, 0, 3]), label_smoothing=0.1
        )
        check.that(
            loss.node is not None, "the loss has no node: announce it with record(…)"
        )
        names, todo = [], [loss]
        while todo:
            node = todo.pop().node
            if node is not None:
                names.append(node.op)
                todo += node.inputs
        check.that(
            names == ["fused_cross_entropy"],
            f'the nodes are {names}, expected one: "fused_cross_entropy"',
        )
        check.that(
            any(x is logits for x in loss.node.inputs),
            "the logits are not among the node's inputs",
        )

    def test_what_check_targets_refuses(self, kata):
        """Targets (N, 1) would pick a table of (N, N) log-probabilities, without
        an error.
        """
        with check.raises(ValueError):
            kata.fused_cross_entropy(tensor(normal(3, 4)), np.array([[2], [0], [3]]))

    @pytest.mark.edge
    def test_float32_stays_float32(self, kata):
        """The loss has the dtype of the logits."""
        got = check.data(
            kata.fused_cross_entropy(
                tensor(normal(3, 4).astype(np.float32)), np.array([2, 0, 3])
            )
        )
        check.equal(str(got.dtype), "float32", what="dtype of the loss")

    @pytest.mark.edge
    def test_no_row_is_left(self, kata):
        """The mean of nothing is NaN, and one NaN in a gradient ruins
        all parameters.
        """
        with check.raises(ValueError):
            kata.fused_cross_entropy(tensor(normal(2, 3)), np.array([-100, -100]))

    @pytest.mark.edge
    @pytest.mark.parametrize("target", [-1, 4, -99])
    def test_a_class_that_does_not_exist(self, kata, target):
        """Four classes have the numbers 0 to 3. NumPy takes -1 for the last one,
        without a word.
        """
        with check.raises(IndexError):
            kata.fused_cross_entropy(tensor(normal(3, 4)), np.array([0, target, 1]))

    @pytest.mark.edge
    @pytest.mark.parametrize("smoothing", [-0.1, 1.0])
    def test_smoothing_out_of_range(self, kata, smoothing):
        """With 1, every class is wanted equally, and the targets have no say."""
        with check.raises(ValueError):
            kata.fused_cross_entropy(
                tensor(normal(3, 4)), np.array([0, 3, 1]), label_smoothing=smoothing
            )


def gradient(kata, logits, targets, upstream=1.0, **options):
    """The gradient that a backward pass leaves on the logits."""
    x = tensor(logits, requires_grad=True)
    (kata.fused_cross_entropy(x, targets, **options) * upstream).backward()
    check.that(x.grad is not None, "the logits received no gradient")
    return x.grad


class TestFusedCrossEntropyRule:
    def test_softmax_minus_one_hot_over_the_rows(self, kata):
        """Probabilities [0.7, 0.3] and [0.1, 0.9], both with target 1: the gradient is
        (probabilities − [0, 1]) / 2.
        """
        got = gradient(kata, np.log([[0.7, 0.3], [0.1, 0.9]]), np.array([1, 1]))
        expected = np.array([[0.35, -0.35], [0.05, -0.05]])
        unlike = {
            "the gradient of the sum: 1/N is missing": 2 * expected,
            "softmax / N, without minus one-hot": np.array(
                [[0.35, 0.15], [0.05, 0.45]]
            ),
        }
        check.close(got, expected, unlike=unlike)

    def test_ignored_rows_have_no_gradient(self, kata):
        """The gradient is exactly 0 there, and is divided by the two rows that
        are kept.
        """
        logits, targets = normal(4, 3), np.array([1, -100, 2, -100])
        _, expected = torch_loss(logits, targets)
        got = gradient(kata, logits, targets)
        check.equal(
            got[[1, 3]], np.zeros((2, 3)), what="the gradient of the ignored rows"
        )
        check.close(got, expected, unlike={"divided by all rows, N": expected / 2})

    def test_smoothing_is_part_of_what_is_wanted(self, kata):
        """With ε = 0.2 the softmax is compared with the smoothed targets, not with
        one-hot rows.
        """
        logits, targets = normal(3, 4), np.array([2, 0, 3])
        _, expected = torch_loss(logits, targets, label_smoothing=0.2)
        unlike = {"the gradient without smoothing": torch_loss(logits, targets)[1]}
        check.close(
            gradient(kata, logits, targets, label_smoothing=0.2),
            expected,
            unlike=unlike,
        )

    def test_what_comes_after_the_loss_counts(self, kata):
        """The loss may be one part of a sum, with a factor: the gradient that comes
        from above is multiplied in.
        """
        logits, targets = normal(3, 4), np.array([2, 0, 3])
        _, expected = torch_loss(logits, targets, upstream=3.0)
        unlike = {"the gradient from above is left out": expected / 3}
        check.close(
            gradient(kata, logits, targets, upstream=3.0), expected, unlike=unlike
        )

    @given(case=classified())
    def test_equals_torch(self, kata, case):
        """For any number of rows and classes, smoothing and ignored class."""
        logits, targets, options = case
        check.close(
            gradient(kata, logits, targets, **options),
            torch_loss(logits, targets, **options)[1],
        )

    def test_large_logits(self, kata):
        """Logits of ±10,000 in float32 have a finite gradient."""
        logits, targets = (
            np.array([[1e4, 0.0, -1e4], [0.0, 1e4, 0.0]], dtype=np.float32),
            np.array([2, 1]),
        )
        check.close(gradient(kata, logits, targets), torch_loss(logits, targets)[1])


class TestAccuracy:
    def test_counts_the_right_rows(self, kata):
        """The largest logits are at 1, 0, 2 and 2; three of the targets are these: 3/4,
        as a Python number.
        """
        logits = np.array(
            [[0.1, 2.0, -1.0], [-1.0, -3.0, -2.0], [0.0, 0.1, 0.2], [5.0, 5.5, 9.0]]
        )
        got = kata.accuracy(logits, np.array([1, 0, 1, 2]))
        check.that(
            isinstance(got, float),
            f"got {check.describe(got)}, expected a Python float",
        )
        check.close(
            got,
            0.75,
            unlike={"the number of right rows": 3.0, "the share of wrong rows": 0.25},
        )

    def test_tensors_and_arrays(self, kata):
        """Either may be a Tensor or an array."""
        logits, targets = normal(5, 3), np.array([1, 0, 1, 2, 2])
        expected = np.mean(
            [
                max(range(3), key=row.__getitem__) == t
                for row, t in zip(logits, targets, strict=True)
            ]
        )
        for x in (logits, tensor(logits)):
            for y in (targets, tensor(targets)):
                check.close(kata.accuracy(x, y), float(expected))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "logits, targets",
        [((3, 4), (3, 1)), ((3, 4), (4,)), ((3,), (3,)), ((0, 4), (0,))],
        ids=str,
    )
    def test_shapes_that_do_not_fit(self, kata, logits, targets):
        """(N,) == (N, 1) is a table of N² comparisons, with a mean like any other. No
        rows have no mean.
        """
        with check.raises(ValueError):
            kata.accuracy(np.zeros(logits), np.zeros(targets, dtype=np.int64))


@st.composite
def predicted(draw):
    """Predictions, targets and a number of classes."""
    classes, rows = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    numbers = st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows)
    return (
        np.array(draw(numbers)),
        np.array(draw(numbers)),
        classes + draw(st.integers(0, 2)),
    )


class TestConfusionMatrix:
    def test_rows_are_true_and_columns_predicted(self, kata):
        """Of three samples of class 0, one was predicted as 0 and two as 1: the
        first row.
        """
        got = kata.confusion_matrix(
            np.array([0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 2]), 3
        )
        expected = np.array([[1, 2, 0], [0, 0, 1], [0, 0, 1]])
        unlike = {
            "rows predicted, columns true": expected.T,
            "a pair that occurs twice counts once": np.array(
                [[1, 1, 0], [0, 0, 1], [0, 0, 1]]
            ),
        }
        check.equal(got, expected, unlike=unlike)

    def test_tensors_and_classes_that_do_not_occur(self, kata):
        """Class 3 occurs nowhere, and has a row and a column of zeros."""
        got = kata.confusion_matrix(
            tensor(np.array([1, 0])), tensor(np.array([1, 2])), 4
        )
        check.equal(
            got, np.array([[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
        )

    @given(case=predicted())
    def test_every_sample_counts_once(self, kata, case):
        """Each entry is the number of samples with this pair of classes."""
        predictions, targets, classes = case
        pairs = list(zip(targets.tolist(), predictions.tolist(), strict=True))
        expected = np.array(
            [[pairs.count((i, j)) for j in range(classes)] for i in range(classes)]
        )
        check.equal(kata.confusion_matrix(predictions, targets, classes), expected)


class TestClassificationMetrics:
    def test_precision_and_recall(self, kata):
        """Precision divides by the column: all that were predicted as the class. Recall
        divides by the row: all that are of the class.
        """
        got = kata.classification_metrics(np.array([[5, 1, 0], [2, 3, 1], [0, 2, 6]]))
        check.equal(sorted(got), ["accuracy", "f1", "precision", "recall"], what="keys")
        precision, recall = (
            np.array([5 / 7, 3 / 6, 6 / 7]),
            np.array([5 / 6, 3 / 6, 6 / 8]),
        )
        unlike = {
            "the recall": recall,
            "divided by all samples": np.array([5, 3, 6]) / 20,
        }
        check.close(
            np.asarray(got["precision"]), precision, what="precision", unlike=unlike
        )
        check.close(
            np.asarray(got["recall"]),
            recall,
            what="recall",
            unlike={"the precision": precision},
        )
        check.close(
            float(got["accuracy"]),
            0.7,
            what="accuracy",
            unlike={"the mean recall": float(recall.mean())},
        )

    def test_f1_is_the_harmonic_mean(self, kata):
        """It is near the smaller of the two: 1 with precision 1 and recall 1, but 0.4
        with precision 1 and recall 1/4.
        """
        got = kata.classification_metrics(np.array([[1, 3], [0, 4]]))["f1"]
        unlike = {
            "the arithmetic mean": np.array([(1 + 1 / 4) / 2, (4 / 7 + 1) / 2]),
            "the factor 2 is missing": np.array([0.2, 4 / 11]),
        }
        check.close(np.asarray(got), np.array([0.4, 8 / 11]), what="f1", unlike=unlike)

    @pytest.mark.edge
    def test_an_absent_class(self, kata):
        """Class 2 was never predicted and never true, class 1 never predicted: 0.0,
        without a warning. A NaN would make every mean over the classes NaN.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = kata.classification_metrics(
                np.array([[4, 0, 0], [2, 0, 0], [0, 0, 0]])
            )
        check.close(
            np.asarray(got["precision"]), np.array([2 / 3, 0.0, 0.0]), what="precision"
        )
        check.close(np.asarray(got["recall"]), np.array([1.0, 0.0, 0.0]), what="recall")
        check.close(np.asarray(got["f1"]), np.array([0.8, 0.0, 0.0]), what="f1")


def classifier(weight=None):
    """A linear model of 4 features and 3 classes that notes mode, graph and logits of
    every forward pass in `.seen`.
    """
    from tinytorch.layers import Module, Parameter

    class Noting(Module):
        def __init__(self):
            self.w, self.seen = (
                Parameter(normal(4, 3, seed=1) if weight is None else weight),
                [],
            )

        def forward(self, x):
            logits = x @ self.w
            self.seen.append(
                (self.training, logits.node is not None, logits.data.copy())
            )
            return logits

    return Noting()


def batches(*lengths, seed=0):
    """Batches of these lengths: inputs (length, 4) and class numbers (length,)."""
    rng = np.random.default_rng(seed)
    return [
        (tensor(rng.normal(size=(n, 4))), tensor(rng.integers(0, 3, size=n)))
        for n in lengths
    ]


def measured(passes, data):
    """Loss and accuracy per sample, from the logits that a model returned for
    each batch.
    """
    logits, targets = (
        np.concatenate([p[2] for p in passes]),
        np.concatenate([y.data for _, y in data]),
    )
    return float(torch_loss(logits, targets)[0]), float(
        np.mean(np.argmax(logits, axis=1) == targets)
    )


class TestEvaluateClassifier:
    def test_batches_count_by_their_samples(self, kata):
        """Seven samples and one: means over all eight, as Python numbers. The mean of
        the two batch means would let the single sample weigh as much as all the others.
        """
        model, data = classifier(), batches(7, 1)
        got = kata.evaluate_classifier(model, data)
        passes = [(False, False, x.data @ model.w.data) for x, _ in data]
        loss, accuracy = measured(passes, data)
        each = [measured([p], [batch]) for p, batch in zip(passes, data, strict=True)]
        unlike = {
            "the mean of the batch means": dict(
                zip(("loss", "accuracy"), np.mean(each, axis=0).tolist())
            ),
            "the last batch's alone": dict(
                zip(("loss", "accuracy"), each[-1], strict=True)
            ),
        }
        check.close(got, {"loss": loss, "accuracy": accuracy}, unlike=unlike)
        check.equal(len(model.seen), 2, what="calls of the model for two batches")

    def test_eval_mode_without_a_graph(self, kata):
        """Dropout is off, and no memory goes into graphs. One forward pass per batch
        is enough.
        """
        model = classifier()
        kata.evaluate_classifier(model, batches(3, 2))
        check.equal(
            [p[0] for p in model.seen],
            [False, False],
            what="training, in each forward pass",
        )
        check.equal(
            [p[1] for p in model.seen],
            [False, False],
            what="whether a graph was recorded",
        )

    @pytest.mark.parametrize("training", [True, False])
    def test_leaves_the_model_as_it_was(self, kata, training):
        """Mode, parameters and gradients are those from before."""
        model = classifier()
        model.train(training)
        kata.evaluate_classifier(model, batches(3))
        check.equal(model.training, training, what="training, afterwards")
        check.equal(model.w.data, normal(4, 3, seed=1), what="the weight")
        check.that(model.w.grad is None, "a gradient was computed")

    @pytest.mark.edge
    def test_an_empty_loader(self, kata):
        """The mean of nothing is no number."""
        with check.raises(ValueError):
            kata.evaluate_classifier(classifier(), [])


def trained(kata, model, data, epochs, lr=0.1, **options):
    from tinytorch.optimizers import SGD

    return kata.train_classifier(
        model, SGD(model.parameters(), lr), data, epochs, **options
    )


class TestTrainClassifier:
    def test_one_update_per_batch(self, kata):
        """Two batches and two epochs are four updates, each with the gradient of its
        own batch alone.
        """
        model, data = classifier(), batches(5, 3)
        trained(kata, model, data, 2)

        def by_hand(kept):
            w, grad = normal(4, 3, seed=1), 0.0
            for x, y in data * 2:
                grad = kept * grad + x.data.T @ torch_loss(x.data @ w, y.data)[1]
                w = w - 0.1 * grad
            return w

        unlike = {"gradients that were not cleared": by_hand(1)}
        check.close(
            check.data(model.w),
            by_hand(0),
            unlike=unlike,
            what="the weight after two epochs",
        )

    def test_history_of_the_forward_passes(self, kata):
        """Loss and accuracy of an epoch come from the logits that its updates were made
        from, each sample counted once. The numbers cost no second pass over the data.
        """
        model, data = classifier(), batches(7, 1)
        history = trained(kata, model, data, 3, lr=0.5)
        unlike, what = (
            {"a second pass for the metrics": 12},
            "the number of forward passes, for 2 batches and 3 epochs",
        )
        check.equal(len(model.seen), 6, unlike=unlike, what=what)
        parts = [model.seen[i : i + 2] for i in (0, 2, 4)]
        pairs = [measured(part, data) for part in parts]
        means = [
            np.mean(
                [measured([p], [b]) for p, b in zip(part, data, strict=True)], axis=0
            )
            for part in parts
        ]
        expected = {
            "train_loss": [p[0] for p in pairs],
            "train_accuracy": [p[1] for p in pairs],
        }
        wrong = {
            "train_loss": [float(m[0]) for m in means],
            "train_accuracy": [float(m[1]) for m in means],
        }
        unlike = {
            "the mean of the batch means": wrong,
            "the last batch's alone": {
                name: [measured(part[-1:], data[-1:])[i] for part in parts]
                for i, name in enumerate(("train_loss", "train_accuracy"))
            },
            "batch losses without their length": {
                "train_loss": [2 * loss / 8 for loss in wrong["train_loss"]]
            },
        }
        check.close(history, expected, unlike=unlike, what="history")

    def test_validation_after_each_epoch(self, kata):
        """val_loss and val_accuracy are those of the model as the epoch leaves it."""
        model, data, val = classifier(), batches(4), batches(5, 2, seed=3)
        history = trained(kata, model, data, 2, val_loader=val)
        found = [measured(model.seen[i : i + 2], val) for i in (1, 4)]
        check.equal(
            sorted(history),
            ["train_accuracy", "train_loss", "val_accuracy", "val_loss"],
            what="keys",
        )
        check.close(history["val_loss"], [p[0] for p in found], what="val_loss")
        check.close(history["val_accuracy"], [p[1] for p in found], what="val_accuracy")

    def test_validation_leaves_no_trace(self, kata):
        """The model is trained in train mode, whatever mode it comes in, and validated
        in eval mode. With validation it learns what it learns without.
        """
        model, twin, data = classifier(), classifier(), batches(4)
        model.eval()
        trained(kata, model, data, 2, val_loader=batches(5, seed=3))
        trained(kata, twin, data, 2)
        unlike = {"the model stays in eval mode": [False] * 4}
        check.equal(
            [p[0] for p in model.seen],
            [True, False] * 2,
            unlike=unlike,
            what="training, in each forward pass",
        )
        check.close(
            check.data(model.w),
            twin.w.data,
            what="the weight, compared with that without validation",
        )

    def test_digits(self, kata):
        """Ten classes, 64 pixels, one Linear and your Adam: five epochs suffice for
        nine of ten unseen digits.
        """
        from tinytorch.data import load_digits
        from tinytorch.layers import Linear

        images, labels = load_digits()
        x = images.reshape(-1, 64).astype(np.float32) / 16
        model = Linear(64, 10, rng=np.random.default_rng(0))
        data = [
            (tensor(x[i : i + 32]), tensor(labels[i : i + 32]))
            for i in range(0, 1797, 32)
        ]
        train, val = [b for i, b in enumerate(data) if i % 5], data[::5]
        optimizer = kata.Adam(model.parameters(), 1e-2)
        found = kata.train_classifier(model, optimizer, train, 5, val_loader=val)[
            "val_accuracy"
        ][-1]
        check.that(
            found > 0.9,
            f"the accuracy on unseen digits is {found:.1%}, expected more than 90 %",
        )


@pytest.mark.stretch
class TestOptimizerBytes:
    def test_the_arrays_have_as_many_bytes(self, kata):
        """Adam keeps two arrays per parameter, momentum one, SGD none. What is
        predicted is what `nbytes` of the real arrays add up to: 18 elements, of which 3
        are float64.
        """
        params = [parameter(np.ones((5, 3)), dtype=np.float32), parameter(np.ones(3))]
        real = {
            "sgd": [],
            "momentum": kata.SGDMomentum(params).velocity,
            "adam": kata.Adam(params).m + kata.Adam(params).v,
        }
        for name, arrays in real.items():
            state = sum(array.nbytes for array in arrays)
            expected = {
                "parameters": 84,
                "gradients": 84,
                "state": state,
                "total": 168 + state,
            }
            unlike = {
                "elements, not bytes": {"parameters": 18},
                "4 bytes per element": {"parameters": 72},
                "without the gradients": {"total": 84 + state},
            }
            check.equal(
                kata.optimizer_bytes(params, name), expected, what=name, unlike=unlike
            )

    def test_a_large_layer(self, kata):
        """A float32 Linear of 784 × 128: Adam needs four times the bytes of the
        parameters, 3 with gradients left out.
        """
        params = [
            parameter(np.zeros((128, 784)), dtype=np.float32),
            parameter(np.zeros(128), dtype=np.float32),
        ]
        found = kata.optimizer_bytes(params, "adam")
        check.equal(found["total"], 4 * 4 * (784 * 128 + 128), what="total")

    @pytest.mark.edge
    def test_a_generator(self, kata):
        """`model.parameters()` may be a generator, which runs through once."""
        params = [parameter(np.ones(6), dtype=np.float32)]
        expected = {"parameters": 24, "gradients": 24, "state": 24, "total": 72}
        check.equal(kata.optimizer_bytes((p for p in params), "momentum"), expected)

    @pytest.mark.edge
    def test_another_name(self, kata):
        """A name that nobody knows is an error that says the name."""
        with check.raises(ValueError, "rmsprop"):
            kata.optimizer_bytes([parameter([1.0])], "rmsprop")


@pytest.mark.stretch
class TestStateScaling:
    def test_state_grows_with_the_parameter(self, kata):
        """Twice the elements take twice the state: exponent 1."""
        got = kata.state_scaling([4000, 8000, 16000])
        check.equal(sorted(got), ["exponent", "sizes", "values"], what="keys")
        check.equal(list(got["sizes"]), [4000, 8000, 16000], what="sizes")
        exponent = got["exponent"]
        check.that(
            abs(exponent - 1) <= 0.25,
            f"the exponent is {exponent:.2f}, expected about 1",
        )

    def test_two_arrays_per_parameter(self, kata):
        """m and v are two float32 arrays of 4 · n bytes each. The parameter exists
        before, and does not count.
        """
        for n, value in zip(
            (20_000, 40_000),
            kata.state_scaling([20_000, 40_000])["values"],
            strict=True,
        ):
            right = 0.8 * 8 * n <= value <= 1.2 * 8 * n + 8192
            slips = {
                12: "a third array is measured, such as the parameter",
                16: "float64 numbers",
            }
            slip = slips.get(round(value / n), "")
            check.that(
                right,
                f"Adam retains {value:,} bytes for {n:,} elements, expected about "
                f"{8 * n:,}",
                like=slip,
            )
