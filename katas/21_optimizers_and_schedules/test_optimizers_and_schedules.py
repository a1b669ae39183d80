"""Specs of 21: learning rates over time, three optimizers beside torch's, decay groups, clipping, growing batches."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from grader.specs import check

CURVE = {"max_lr": 0.5, "min_lr": 0.1, "warmup_steps": 4, "max_steps": 12}
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def starting_points():
    """A matrix, laid out column by column in memory, and two vectors of different sizes, in float64."""
    return [torch.randn(4, 3, dtype=torch.float64).mT, torch.randn(5, dtype=torch.float64), torch.randn(2).double()]


def gradients_for(start, steps=8):
    """For every step a gradient for each parameter; their sizes range over a factor of a hundred."""
    return [[torch.randn_like(p) * 10.0 ** (i - 1) for i, p in enumerate(start)] for _ in range(steps)]


def walk(optimizer, params, gradients):
    """Take a step along each of the gradients in turn; where the parameters are then."""
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = None if g is None else g.clone()
        optimizer.step()
    return [p.detach() for p in params]


def journey(make, start, gradients, **options):
    """Where an optimizer with these options takes parameters that start at `start`."""
    params = [nn.Parameter(p.clone()) for p in start]
    return walk(make(params, **options), params, gradients)


def sgd_by_hand(start, gradients, lr, momentum=0.0, weight_decay=0.0, nesterov=False, damped=False, lazy=False):
    """SGD on plain tensors; `damped` and `lazy` (decay without the gradient's momentum) make mistakes."""
    ends = []
    for i, p in enumerate(start):
        buf = torch.zeros_like(p)
        for step in gradients:
            g = step[i] + (0.0 if lazy else weight_decay) * p
            buf = momentum * buf + (1 - momentum if damped else 1) * g
            move = g + momentum * buf if nesterov else buf
            p = p - lr * (move + (weight_decay if lazy else 0.0) * p)
        ends.append(p)
    return ends


def adam_by_hand(start, gradients, lr, betas=(0.9, 0.999), eps=1e-8, l2=0.0, before=0.0, after=0.0, how=""):
    """Adam on plain tensors. Decay: `l2` in the gradient, factors 1 − `before` and 1 − `after` the step. `how` makes
    mistakes."""
    ends = []
    for i, p in enumerate(start):
        m, v = torch.zeros_like(p), torch.zeros_like(p)
        for t, step in enumerate(gradients, start=1):
            g = step[i] + l2 * p
            m, v = m + (1 - betas[0]) * (g - m), v + (1 - betas[1]) * (g**2 - v)
            fair_m, fair_v = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
            if how == "uncorrected":
                fair_m, fair_v = m, v
            if how == "only m corrected":
                fair_v = v
            root = (fair_v + eps) ** 0.5 if how == "eps inside" else fair_v**0.5 + eps
            if how == "no root":
                root = fair_v + eps
            p = (p * (1 - before) - lr * fair_m / root) * (1 - after)
        ends.append(p)
    return ends


def tensors_in(value):
    """All tensors in nested mappings, lists and tuples, whatever the layout."""
    if isinstance(value, Tensor):
        return [value]
    if hasattr(value, "values"):
        value = list(value.values())
    return [t for item in value for t in tensors_in(item)] if isinstance(value, (list, tuple)) else []


def with_gradients(*gradients, dtype=torch.float64):
    """Parameters with these gradients; None for one that has none."""
    params = []
    for gradient in gradients:
        g = None if gradient is None else torch.tensor(gradient, dtype=dtype)
        params.append(nn.Parameter(torch.ones(3, dtype=dtype) if g is None else torch.ones_like(g)))
        params[-1].grad = g
    return params


def grads(params):
    return [p.grad for p in params]


class TestWarmupCosine:
    def test_the_rise_is_a_straight_line(self, kata):
        """Four warm-up steps go up in quarters, and the first of them already moves: (step + 1) / warmup_steps. A rate
        of 0 would waste the first batch."""
        got = [kata.warmup_cosine(step, **CURVE) for step in range(4)]
        unlike = {"step / warmup_steps, which begins at 0": [0.0, 0.125, 0.25, 0.375]}
        check.close(got, [0.125, 0.25, 0.375, 0.5], unlike=unlike, what="rates of steps 0 to 3")

    def test_the_cosine_starts_at_the_top(self, kata):
        """At step == warmup_steps the cosine begins, so the rate is max_lr."""
        check.close(kata.warmup_cosine(4, **CURVE), 0.5)

    def test_half_way_is_the_mean(self, kata):
        """Half way between warm-up and end the cosine is 0, which leaves the mean of max_lr and min_lr. The way is
        counted from the end of the warm-up."""
        unlike = {
            "max_lr / 2: min_lr was forgotten": 0.25,
            "the way counted from step 0": 0.1 + 0.4 * math.cos(math.pi / 3) ** 2,
        }
        check.close(kata.warmup_cosine(8, **CURVE), 0.3, unlike=unlike)

    def test_between_it_is_half_a_cosine(self, kata):
        """(1 + cos(π · way)) / 2 falls slowly, then fast, then slowly. A straight line agrees at the ends and in the
        middle only."""
        got = [kata.warmup_cosine(step, **CURVE) for step in range(4, 13)]
        way = [i / 8 for i in range(9)]
        expected = [0.5 - 0.4 * math.sin(math.pi / 2 * w) ** 2 for w in way]
        unlike = {"a straight line": [0.5 - 0.4 * w for w in way]}
        check.close(got, expected, unlike=unlike, what="rates of steps 4 to 12")

    def test_after_the_end_it_stays(self, kata):
        """From max_steps on the rate is min_lr. A cosine that goes on would come up again."""
        for step in (12, 13, 20, 1000):
            check.close(kata.warmup_cosine(step, **CURVE), 0.1, what=f"rate of step {step}")

    def test_without_warmup(self, kata):
        """With warmup_steps=0 the first step is the top of the cosine, and nothing is divided by 0."""
        curve = {**CURVE, "warmup_steps": 0}
        check.close([kata.warmup_cosine(step, **curve) for step in (0, 6, 12)], [0.5, 0.3, 0.1])

    def test_warmup_up_to_the_end(self, kata):
        """With warmup_steps == max_steps there is no cosine to divide by: the rise, then min_lr."""
        curve = {**CURVE, "warmup_steps": 12}
        check.close([kata.warmup_cosine(step, **curve) for step in (0, 11, 12, 13)], [0.5 / 12, 0.5, 0.1, 0.1])
        check.close(kata.warmup_cosine(0, **{**curve, "warmup_steps": 0, "max_steps": 0}), 0.1)

    def test_rates_are_plain_floats(self, kata):
        """A rate goes into logs and checkpoints, so it is a Python float and no tensor."""
        for step in (1, 4, 7, 15):
            got = kata.warmup_cosine(step, **CURVE)
            check.that(type(got) is float, f"step {step}: wanted a float, got {check.describe(got)}, {type(got)}")

    @pytest.mark.edge
    def test_warmup_fits_into_the_run(self, kata):
        """A warm-up longer than the run, or of negative length, is a slip of the caller's."""
        for warmup_steps in (-1, 13):
            with check.raises(ValueError):
                kata.warmup_cosine(3, **{**CURVE, "warmup_steps": warmup_steps})


class SGDFormula:
    """What only SGD does; the specs of all optimizers follow these."""

    def test_a_plain_step_goes_down_the_gradient(self, kata):
        """p ← p − lr · g. Where nothing has moved, `p = p - lr * g` may have bound the name p to a new tensor and left
        the parameter alone: write into it instead."""
        start = starting_points()
        [g] = gradients_for(start, steps=1)
        expected = [p - 0.1 * d for p, d in zip(start, g, strict=True)]
        unlike = {
            "nothing has moved": start,
            "up the gradient": [p + 0.1 * d for p, d in zip(start, g, strict=True)],
            "lr was left out": [p - d for p, d in zip(start, g, strict=True)],
        }
        check.close(journey(kata.SGD, start, [g], lr=0.1), expected, **EXACT, unlike=unlike, what="parameters")

    def test_momentum_sums_gradients_up(self, kata):
        """The buffer starts as g, then buf = momentum · buf + g. With (1 − momentum) · g it would be a mean, and every
        step ten times shorter for momentum 0.9."""
        start = starting_points()
        gradients = gradients_for(start)
        options = {"lr": 0.1, "momentum": 0.8}
        unlike = {
            "a mean of the gradients, (1 − momentum) · g": sgd_by_hand(start, gradients, **options, damped=True),
            "no momentum": sgd_by_hand(start, gradients, lr=0.1),
            "nesterov momentum": sgd_by_hand(start, gradients, **options, nesterov=True),
        }
        expected = journey(torch.optim.SGD, start, gradients, **options)
        check.close(journey(kata.SGD, start, gradients, **options), expected, **EXACT, unlike=unlike, what="parameters")

    def test_nesterov_looks_ahead(self, kata):
        """With nesterov the step is g + momentum · buf, with the buffer that already holds g."""
        start = starting_points()
        gradients = gradients_for(start)
        options = {"lr": 0.1, "momentum": 0.8, "nesterov": True}
        unlike = {"momentum without nesterov": sgd_by_hand(start, gradients, lr=0.1, momentum=0.8)}
        expected = journey(torch.optim.SGD, start, gradients, **options)
        check.close(journey(kata.SGD, start, gradients, **options), expected, **EXACT, unlike=unlike, what="parameters")

    def test_decay_is_part_of_the_gradient(self, kata):
        """g ← g + weight_decay · p comes first, so the decay gathers momentum like the rest of the gradient."""
        start = starting_points()
        gradients = gradients_for(start)
        options = {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.3}
        unlike = {
            "no decay": sgd_by_hand(start, gradients, lr=0.1, momentum=0.8),
            "decay that does not go into the buffer": sgd_by_hand(start, gradients, **options, lazy=True),
            "decay with the wrong sign": sgd_by_hand(start, gradients, **{**options, "weight_decay": -0.3}),
        }
        expected = journey(torch.optim.SGD, start, gradients, **options)
        check.close(journey(kata.SGD, start, gradients, **options), expected, **EXACT, unlike=unlike, what="parameters")

    def test_all_knobs_together_follow_torch(self, kata):
        """The same parameters after 8 steps as with torch.optim.SGD, decay without momentum and all at once."""
        start = starting_points()
        gradients = gradients_for(start)
        for options in (
            {"lr": 0.05, "weight_decay": 0.2},
            {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.2, "nesterov": True},
        ):
            expected = journey(torch.optim.SGD, start, gradients, **options)
            got = journey(kata.SGD, start, gradients, **options)
            check.close(got, expected, **EXACT, what=f"parameters with {options}")


class AdamFormula:
    """What Adam and AdamW have in common but SGD has not. All of it without decay."""

    def test_the_first_step_has_the_size_lr(self, kata):
        """m̂ / √v̂ of a single gradient is g / |g|, so gradients of 1000 and of 0.001 make the same step. Without bias
        correction the moments still are near their start, 0, and the step has another size."""
        Optimizer = getattr(kata, self.name)
        start = [torch.tensor([2.0, 3.0, -1.0], dtype=torch.float64)]
        gradients = [[torch.tensor([1000.0, 0.001, -5.0], dtype=torch.float64)]]
        unlike = {
            "no bias correction": adam_by_hand(start, gradients, lr=0.1, how="uncorrected"),
            "only m is corrected": adam_by_hand(start, gradients, lr=0.1, how="only m corrected"),
            "nothing has moved": start,
            "up the gradient": [torch.tensor([2.1, 3.1, -1.1])],
            "divided by v instead of its root": adam_by_hand(start, gradients, lr=0.1, how="no root"),
        }
        got = journey(Optimizer, start, gradients, lr=0.1, weight_decay=0.0)
        check.close(got, [torch.tensor([1.9, 2.9, -0.9])], rtol=1e-4, unlike=unlike, what="parameters")

    def test_moments_follow_torch(self, kata):
        """Eight steps with the usual betas and with others; β1 = 0 leaves only the division by √v̂. Each betas has its
        own job: β1 is for the mean of g, β2 for the mean of g²."""
        start = starting_points()
        gradients = gradients_for(start)
        Optimizer = getattr(kata, self.name)
        for betas in ((0.9, 0.999), (0.6, 0.95), (0.0, 0.9)):
            options = {"lr": 0.1, "betas": betas, "weight_decay": 0.0}
            unlike = {
                "no bias correction": adam_by_hand(start, gradients, lr=0.1, betas=betas, how="uncorrected"),
                "betas in the wrong order": adam_by_hand(start, gradients, lr=0.1, betas=betas[::-1]),
            }
            expected = journey(self.theirs, start, gradients, **options)
            got = journey(Optimizer, start, gradients, **options)
            check.close(got, expected, **EXACT, unlike=unlike, what=f"parameters with betas {betas}")

    def test_eps_is_added_to_the_root(self, kata):
        """√v̂ + eps, not √(v̂ + eps): under the root the usual 1e-8 would act like 1e-4. A large eps shows it."""
        start = starting_points()
        gradients = gradients_for(start)
        Optimizer = getattr(kata, self.name)
        options = {"lr": 0.1, "eps": 0.05, "weight_decay": 0.0}
        unlike = {
            "eps under the root": adam_by_hand(start, gradients, lr=0.1, eps=0.05, how="eps inside"),
            "eps is ignored": adam_by_hand(start, gradients, lr=0.1),
        }
        expected = journey(self.theirs, start, gradients, **options)
        got = journey(Optimizer, start, gradients, **options)
        check.close(got, expected, **EXACT, unlike=unlike, what="parameters")


class EveryOptimizer:
    """What holds for all three. `name`: the class; `theirs`: torch's; `options`: arguments that use every knob;
    `other`: the same with all values different; `defaults`: hyperparameters that need not be given."""

    def test_param_groups_hold_every_hyperparameter(self, kata):
        """Schedules and checkpoints reach the settings through `param_groups`, so each group has all of them under
        their argument names, and a real list of parameters."""
        params = [nn.Parameter(p) for p in starting_points()]
        Optimizer = getattr(kata, self.name)
        groups = Optimizer(params, lr=0.3).param_groups
        right = isinstance(groups, list) and len(groups) == 1
        check.that(right, f"wanted a list of one dict, got {check.describe(groups)}")
        wanted = {"lr": 0.3, **self.defaults}
        missing = [name for name in ("params", *wanted) if name not in groups[0]]
        check.that(not missing, f"the group lacks {missing}; it has {list(groups[0])}")
        check.close({name: groups[0][name] for name in wanted}, wanted)
        same = isinstance(groups[0]["params"], list) and [id(p) for p in groups[0]["params"]] == [id(p) for p in params]
        check.that(same, 'group["params"] should be a list of the very parameters given, in their order')

    def test_params_may_be_a_generator(self, kata):
        """`model.parameters()` is a generator: it can be walked through once. Whoever loops over it twice finds it
        empty the second time, and nothing moves."""
        start = starting_points()
        gradients = gradients_for(start, steps=2)
        params = [nn.Parameter(p.clone()) for p in start]
        Optimizer = getattr(kata, self.name)
        got = walk(Optimizer((p for p in params), **self.options), params, gradients)
        expected = journey(self.theirs, start, gradients, **self.options)
        check.close(got, expected, **EXACT, unlike={"nothing has moved": start}, what="parameters")

    def test_groups_keep_their_own_settings(self, kata):
        """Each group has its own hyperparameters, those it does not name come from the arguments, and what is
        remembered of a parameter is its own, also where two groups hold parameters of the same shape."""
        start = [torch.randn(3, 2).double() for _ in range(3)]
        gradients = gradients_for(start)
        Optimizer, ends = getattr(kata, self.name), []
        for make in (Optimizer, self.theirs):
            a, b, c = params = [nn.Parameter(p.clone()) for p in start]
            groups = [{"params": iter([a]), **self.other}, {"params": [b]}, {"params": [c], "lr": 0.5}]
            ends.append(walk(make(groups, **self.options), params, gradients))
        unlike = {"the same settings for all groups": journey(self.theirs, start, gradients, **self.options)}
        check.close(ends[0], ends[1], **EXACT, unlike=unlike, what="parameters")

    def test_changed_settings_count_from_the_next_step(self, kata):
        """A schedule writes into `group["lr"]`. A rate that was copied in `__init__` never hears of it."""
        start = starting_points()
        gradients = gradients_for(start, steps=6)
        Optimizer = getattr(kata, self.name)
        for changed in self.other:
            ends = []
            for make in (Optimizer, self.theirs):
                params = [nn.Parameter(p.clone()) for p in start]
                optimizer = make(params, **self.options)
                walk(optimizer, params, gradients[:3])
                optimizer.param_groups[0][changed] = self.other[changed]
                ends.append(walk(optimizer, params, gradients[3:]))
            unlike = {f"a changed {changed} is not heeded": journey(self.theirs, start, gradients, **self.options)}
            check.close(ends[0], ends[1], **EXACT, unlike=unlike, what=f"parameters after {changed} was changed")

    def test_a_parameter_without_gradient_is_left_alone(self, kata):
        """`.grad` None means: not part of this step. A gradient of zeros is something else; with it the parameter would
        still decay."""
        start = starting_points()
        gradients = [[g[0], None, g[2]] for g in gradients_for(start, steps=3)]
        Optimizer = getattr(kata, self.name)
        got = journey(Optimizer, start, gradients, **self.options)
        check.equal(got[1], start[1], what="the parameter without gradient")
        expected = journey(self.theirs, start, gradients, **self.options)
        check.close(got, expected, **EXACT, what="parameters")

    def test_a_parameter_may_join_late_or_pause(self, kata):
        """A layer that is thawed after three steps starts afresh: with full bias correction, with a buffer that starts
        as its gradient. One that pauses goes on from where it was; the steps without it do not count."""
        start = starting_points()
        gradients = gradients_for(start)
        late = [[g[0], g[1] if t >= 3 else None, g[2] if t not in (2, 3, 5) else None] for t, g in enumerate(gradients)]
        Optimizer = getattr(kata, self.name)
        zeros = [[torch.zeros_like(p) if g is None else g for p, g in zip(start, step, strict=True)] for step in late]
        unlike = {"None was taken for a gradient of zeros": journey(self.theirs, start, zeros, **self.options)}
        expected = journey(self.theirs, start, late, **self.options)
        got = journey(Optimizer, start, late, **self.options)
        check.close(got, expected, **EXACT, unlike=unlike, what="parameters")

    def test_gradients_stay_as_they_were(self, kata):
        """Logging and clipping read `.grad`. An in-place `+=` for the decay changes it, and so does a buffer that *is*
        the first gradient and later gets multiplied."""
        start = starting_points()
        params = [nn.Parameter(p.clone()) for p in start]
        Optimizer = getattr(kata, self.name)
        optimizer = Optimizer(params, **self.options)
        given = gradients_for(start, steps=1)[0]
        for p, g in zip(params, given, strict=True):
            p.grad = g
        before = [g.clone() for g in given]
        for _ in range(3):
            optimizer.step()
        check.equal(given, before, what="gradients after three steps")
        same = all(p.grad is g for p, g in zip(params, given, strict=True))
        check.that(same, "p.grad is another object than before the steps")

    def test_steps_write_into_the_parameters(self, kata):
        """The model holds these very objects, and others may share their memory. So a step writes where they lie, and
        leaves them leaves that the next backward pass can fill."""
        start = starting_points()
        params = [nn.Parameter(p.clone()) for p in start]
        views = [p.detach() for p in params]
        Optimizer = getattr(kata, self.name)
        optimizer = Optimizer(params, **self.options)
        walk(optimizer, params, gradients_for(start, steps=2))
        kept = all(p is q for p, q in zip(params, optimizer.param_groups[0]["params"], strict=True))
        check.that(kept, "param_groups no longer holds the parameters it was given")
        leaves = all(p.is_leaf and p.requires_grad for p in params)
        check.that(leaves, "after a step a parameter is no leaf that requires a gradient")
        check.equal(views, [p.detach() for p in params], what="views of the parameters, after two steps")

    def test_no_graph_is_remembered(self, kata):
        """A buffer computed from `p` without `torch.no_grad()` drags the graph of all earlier steps along: memory
        grows with every step."""
        start = starting_points()
        params = [nn.Parameter(p.clone()) for p in start]
        Optimizer = getattr(kata, self.name)
        optimizer = Optimizer(params, **self.options)
        walk(optimizer, params, gradients_for(start, steps=2))
        heavy = [t for t in tensors_in(optimizer.state) if t.grad_fn is not None]
        check.that(not heavy, f"{len(heavy)} tensors in `state` carry a graph")

    def test_zero_grad_sets_none(self, kata):
        """None costs no memory, and the next backward pass writes where it would otherwise add."""
        params = [nn.Parameter(p) for p in starting_points()]
        Optimizer = getattr(kata, self.name)
        optimizer = Optimizer(params, **self.options)
        for p in params[:2]:
            p.grad = torch.ones_like(p)
        optimizer.zero_grad()
        left = [i for i, p in enumerate(params) if p.grad is not None]
        check.that(not left, f"parameters {left} still have a gradient after zero_grad()")

    def test_zero_grad_makes_zeros_on_request(self, kata):
        """With set_to_none=False what was a gradient becomes zeros; where there was none there is none."""
        params = [nn.Parameter(p) for p in starting_points()]
        Optimizer = getattr(kata, self.name)
        optimizer = Optimizer([{"params": params[:1]}, {"params": params[1:]}], **self.options)
        for p in params[:2]:
            p.grad = torch.ones_like(p)
        optimizer.zero_grad(set_to_none=False)
        for p in params[:2]:
            check.equal(p.grad, torch.zeros_like(p), what=".grad after zero_grad(set_to_none=False)")
        check.that(params[2].grad is None, f"a .grad that was None is now {check.describe(params[2].grad)}")

    def test_a_group_may_be_empty(self, kata):
        """A model without biases has nothing to put into the group that does not decay. The other group still works."""
        start = starting_points()
        gradients = gradients_for(start, steps=2)
        params = [nn.Parameter(p.clone()) for p in start]
        Optimizer = getattr(kata, self.name)
        optimizer = Optimizer([{"params": []}, {"params": params}], **self.options)
        expected = journey(self.theirs, start, gradients, **self.options)
        check.close(walk(optimizer, params, gradients), expected, **EXACT, what="parameters")

    def test_a_rate_of_zero_is_allowed(self, kata):
        """A schedule may come to 0. Then nothing moves, and it is no error."""
        start = starting_points()
        Optimizer = getattr(kata, self.name)
        got = journey(Optimizer, start, gradients_for(start, steps=2), **{**self.options, "lr": 0.0})
        check.close(got, start, **EXACT, what="parameters")

    def test_written_without_torchs_own_update(self, kata):
        """The update is what this exercise is about, so torch.optim may not do it."""
        start = starting_points()
        Optimizer = getattr(kata, self.name)
        with check.forbidden(kata, *self.not_allowed):
            journey(Optimizer, start, gradients_for(start, steps=1), **self.options)

    @pytest.mark.edge
    def test_something_must_be_optimized(self, kata):
        """Without parameters there is nothing to do: a generator that was used up already, perhaps."""
        Optimizer = getattr(kata, self.name)
        for nothing in ([], iter([])):
            with check.raises(ValueError):
                Optimizer(nothing, **self.options)

    @pytest.mark.edge
    def test_a_parameter_is_in_one_group_only(self, kata):
        """In two groups it would move twice in every step, at two rates."""
        a, b, c = (nn.Parameter(p) for p in starting_points())
        Optimizer = getattr(kata, self.name)
        with check.raises(ValueError):
            Optimizer([{"params": [a, b]}, {"params": [c, a]}], **self.options)

    @pytest.mark.edge
    def test_the_rate_may_not_be_negative(self, kata):
        """A negative rate climbs. The message says which number came."""
        params = [nn.Parameter(p) for p in starting_points()]
        Optimizer = getattr(kata, self.name)
        with check.raises(ValueError, "-0.25"):
            Optimizer(params, lr=-0.25)


class TestSGD(EveryOptimizer, SGDFormula):
    name, theirs = "SGD", torch.optim.SGD
    options = {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.2}
    other = {"lr": 0.03, "momentum": 0.5, "weight_decay": 0.05, "nesterov": True}
    defaults = {"momentum": 0.0, "weight_decay": 0.0}
    not_allowed = ("torch.optim.SGD.step", "torch.optim.SGD", "torch.optim._functional.sgd")

    def test_nesterov_is_off_unless_asked_for(self, kata):
        """A group carries the switch, too, and it is off by default."""
        [group] = kata.SGD([nn.Parameter(p) for p in starting_points()], lr=0.1, momentum=0.9).param_groups
        right = "nesterov" in group and not group["nesterov"]
        check.that(right, f'wanted group["nesterov"] to be False; the group has {list(group)}')

    @pytest.mark.edge
    def test_nesterov_needs_momentum(self, kata):
        """Nesterov looks ahead along the momentum; without any the switch does nothing, and is a slip."""
        with check.raises(ValueError):
            kata.SGD([nn.Parameter(p) for p in starting_points()], lr=0.1, nesterov=True)


class TestAdam(EveryOptimizer, AdamFormula):
    name, theirs = "Adam", torch.optim.Adam
    options = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}
    other = {"lr": 0.03, "betas": (0.6, 0.9), "eps": 0.1, "weight_decay": 0.05}
    defaults = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    not_allowed = ("torch.optim.Adam.step", "torch.optim.Adam", "torch.optim.AdamW", "torch.optim._functional.adam")

    def test_decay_goes_through_the_moments(self, kata):
        """Adam's decay is the L2 kind: weight_decay · p is added to the gradient before the moments, and divided by
        √v̂ with it. Taken off the parameter itself it would be AdamW."""
        start = starting_points()
        gradients = gradients_for(start)
        unlike = {
            "decoupled decay, as in AdamW": adam_by_hand(start, gradients, lr=0.1, before=0.05),
            "no decay": adam_by_hand(start, gradients, lr=0.1),
        }
        expected = journey(torch.optim.Adam, start, gradients, lr=0.1, weight_decay=0.5)
        got = journey(kata.Adam, start, gradients, lr=0.1, weight_decay=0.5)
        check.close(got, expected, **EXACT, unlike=unlike, what="parameters")

    def test_the_usual_rate_is_a_thousandth(self, kata):
        """Without lr, Adam takes 1e-3."""
        [group] = kata.Adam([nn.Parameter(p) for p in starting_points()]).param_groups
        check.close(group["lr"], 1e-3, what='group["lr"]')

    @pytest.mark.edge
    def test_betas_are_below_one(self, kata):
        """A beta of 1 never lets a gradient in, and makes the bias correction divide by 0."""
        params = [nn.Parameter(p) for p in starting_points()]
        for betas in ((1.0, 0.999), (0.9, 1.0), (-0.1, 0.999), (0.9, -0.1)):
            with check.raises(ValueError):
                kata.Adam(params, betas=betas)


class TestAdamW(EveryOptimizer, AdamFormula):
    name, theirs = "AdamW", torch.optim.AdamW
    options = {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}
    other = {"lr": 0.03, "betas": (0.6, 0.9), "eps": 0.1, "weight_decay": 0.05}
    defaults = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}
    not_allowed = (
        "torch.optim.Adam.step",
        "torch.optim.AdamW",
        "torch.optim.Adam",
        "torch.optim._functional.adam",
        "torch.optim._functional.adamw",
    )

    def test_decay_is_taken_off_the_parameter(self, kata):
        """Decoupled: p · (1 − lr · weight_decay), then the Adam step with moments of the plain gradient. Every weight
        shrinks at the same rate, however large its gradients are."""
        start = starting_points()
        gradients = gradients_for(start)
        unlike = {
            "decay as part of the gradient, as in Adam": adam_by_hand(start, gradients, lr=0.1, l2=0.5),
            "decay without lr": adam_by_hand(start, gradients, lr=0.1, before=0.5),
            "decay after the step": adam_by_hand(start, gradients, lr=0.1, after=0.05),
            "no decay": adam_by_hand(start, gradients, lr=0.1),
        }
        expected = journey(torch.optim.AdamW, start, gradients, lr=0.1, weight_decay=0.5)
        got = journey(kata.AdamW, start, gradients, lr=0.1, weight_decay=0.5)
        check.close(got, expected, **EXACT, unlike=unlike, what="parameters")

    def test_the_usual_rate_is_a_thousandth(self, kata):
        """Without lr, AdamW takes 1e-3."""
        [group] = kata.AdamW([nn.Parameter(p) for p in starting_points()]).param_groups
        check.close(group["lr"], 1e-3, what='group["lr"]')

    @pytest.mark.edge
    def test_betas_are_below_one(self, kata):
        """A beta of 1 never lets a gradient in, and makes the bias correction divide by 0."""
        params = [nn.Parameter(p) for p in starting_points()]
        for betas in ((1.0, 0.999), (0.9, 1.0), (-0.1, 0.999), (0.9, -0.1)):
            with check.raises(ValueError):
                kata.AdamW(params, betas=betas)


class Model(nn.Module):
    """Parameters of all numbers of dimensions, two with misleading names, a tied one and two frozen ones."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.words = nn.Embedding(7, 4)
        self.conv = nn.Conv1d(4, 3, 2)
        self.norm = nn.LayerNorm(4)
        self.bias = nn.Parameter(torch.ones(3, 2))
        self.frozen = nn.Linear(4, 5).requires_grad_(False)
        self.mix = nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.words.weight


def names_in(model, group):
    """The names of a group's parameters in the model."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [names.get(id(p), "something else") for p in group["params"]]


@pytest.mark.stretch
class TestDecayGroups:
    def test_two_groups_with_their_decay(self, kata):
        """An optimizer takes such dicts as they are: the first group decays, the second does not."""
        groups = kata.decay_groups(Model(), 0.1)
        right = isinstance(groups, list) and len(groups) == 2
        check.that(right, f"wanted a list of two dicts, got {check.describe(groups)}")
        keys = [sorted(group) for group in groups]
        check.that(keys == [["params", "weight_decay"]] * 2, f'wanted the keys "params" and "weight_decay", got {keys}')
        check.equal([group["weight_decay"] for group in groups], [0.1, 0.0], what="weight_decay of the two groups")

    def test_two_dimensions_or_more_decay(self, kata):
        """Matrices, embeddings and convolution kernels decay; biases, the weights of norms and single numbers do not.
        The number of dimensions decides: a matrix may be called "bias", and a norm calls its vector "weight". Tied
        weights come once, frozen ones not at all."""
        model = Model()
        decaying, rest = (names_in(model, group) for group in kata.decay_groups(model, 0.1))
        wanted = ["bias", "words.weight", "conv.weight", "mix.weight"]
        check.that(sorted(decaying) == sorted(wanted), f"decaying are {decaying}, wanted are {wanted}")
        wanted = ["scale", "conv.bias", "norm.weight", "norm.bias", "mix.bias"]
        check.that(sorted(rest) == sorted(wanted), f"without decay are {rest}, wanted are {wanted}")

    def test_parameters_keep_their_order(self, kata):
        """An optimizer's checkpoint knows parameters by their position, so the order must not change from run to run:
        it is that of `model.parameters()`."""
        model = Model()
        position = {id(p): i for i, p in enumerate(model.parameters())}
        for group in kata.decay_groups(model, 0.1):
            places = [position.get(id(p), -1) for p in group["params"]]
            check.that(places == sorted(places), f"positions in model.parameters(): {places}, which are not in order")

    def test_tied_weights_come_once(self, kata):
        """The same parameter under two names still is one parameter; listed twice, it would be refused by the optimizer
        or move twice."""
        model = Model()
        everything = [id(p) for group in kata.decay_groups(model, 0.1) for p in group["params"]]
        twice = len(everything) - len(set(everything))
        check.that(twice == 0, f"{twice} of {len(everything)} parameters are listed again")

    def test_frozen_parameters_are_in_neither(self, kata):
        """What does not require a gradient is not trained, and has no place in an optimizer."""
        groups = kata.decay_groups(Model(), 0.1)
        frozen = [tuple(p.shape) for group in groups for p in group["params"] if not p.requires_grad]
        check.that(not frozen, f"frozen parameters of shapes {frozen} are listed")

    def test_a_list_may_be_empty(self, kata):
        """There are two dicts whatever the model has, so that the caller can rely on it."""
        for model in (nn.Linear(3, 2, bias=False), nn.LayerNorm(4), nn.ReLU()):
            groups = kata.decay_groups(model, 0.1)
            check.that(len(groups) == 2, f"{model}: {len(groups)} groups instead of 2")
            dims = [p.ndim for group in groups for p in group["params"]]
            check.that(dims == [p.ndim for p in model.parameters()], f"{model}: parameters with {dims} dimensions")

    def test_fits_an_optimizer(self, kata):
        """What comes back can be handed to torch.optim as it is."""
        optimizer = torch.optim.AdamW(kata.decay_groups(Model(), 0.1), lr=0.1)
        check.equal([group["weight_decay"] for group in optimizer.param_groups], [0.1, 0.0], what="decay of the groups")


def with_rates(*rates):
    """An optimizer with a group for each rate."""
    return torch.optim.SGD([{"params": [nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates], lr=1.0)


def rates_of(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


def epochs(schedule, optimizer, count):
    """The rates after each of so many epochs."""
    seen = []
    for _ in range(count):
        optimizer.step()
        schedule.step()
        seen.append(rates_of(optimizer))
    return seen


@pytest.mark.stretch
class TestStepLR:
    def test_rates_fall_every_step_size_epochs(self, kata):
        """base · gamma ** (epoch // step_size): the rate holds for step_size epochs, then falls. Multiplying in every
        call makes it fall each epoch."""
        optimizer = with_rates(1.0)
        got = epochs(kata.StepLR(optimizer, 3, 0.5), optimizer, 7)
        unlike = {"a fall in every epoch": [[0.5**k] for k in range(1, 8)]}
        expected = [[1.0], [1.0], [0.5], [0.5], [0.5], [0.25], [0.25]]
        check.close(got, expected, unlike=unlike, what="rates after each epoch")

    def test_two_groups_follow_torch_for_10_epochs(self, kata):
        """Every group falls from its own rate."""
        ours, theirs = with_rates(1.0, 0.2), with_rates(1.0, 0.2)
        expected = epochs(torch.optim.lr_scheduler.StepLR(theirs, 4, 0.3), theirs, 10)
        check.close(epochs(kata.StepLR(ours, 4, 0.3), ours, 10), expected, what="rates after each epoch")

    def test_gamma_is_a_tenth_by_default(self, kata):
        """Without gamma a rate falls to a tenth."""
        optimizer = with_rates(0.5)
        check.close(epochs(kata.StepLR(optimizer, 1), optimizer, 2), [[0.05], [0.005]], what="rates after each epoch")

    def test_building_it_changes_no_rate(self, kata):
        """The first epoch runs at the base rate, and last_epoch is 0."""
        optimizer = with_rates(1.0, 0.2)
        schedule = kata.StepLR(optimizer, 1)
        check.close(rates_of(optimizer), [1.0, 0.2], what="rates before the first step")
        check.equal(schedule.last_epoch, 0, what="last_epoch")

    def test_last_epoch_counts_the_steps(self, kata):
        """It says how many epochs the schedule has seen."""
        optimizer = with_rates(1.0)
        schedule = kata.StepLR(optimizer, 2)
        epochs(schedule, optimizer, 5)
        check.equal(schedule.last_epoch, 5, what="last_epoch")

    def test_get_last_lr_tells_the_rates(self, kata):
        """One rate a group, as it is now, in a list that the caller may do with as they like."""
        optimizer = with_rates(1.0, 0.2)
        schedule = kata.StepLR(optimizer, 2, 0.5)
        check.close(schedule.get_last_lr(), [1.0, 0.2], what="get_last_lr() before the first step")
        epochs(schedule, optimizer, 3)
        check.close(schedule.get_last_lr(), [0.5, 0.1], what="get_last_lr() after three")
        schedule.get_last_lr().clear()
        check.close(schedule.get_last_lr(), [0.5, 0.1], what="get_last_lr() after the first list was emptied")

    def test_a_resumed_run_goes_on_as_if_never_stopped(self, kata):
        """The loaded optimizer already has rates that have fallen. Taken for base rates they would fall a second
        time."""
        first = with_rates(1.0, 0.2)
        schedule = kata.StepLR(first, 3, 0.5)
        epochs(schedule, first, 4)
        saved = {"optimizer": first.state_dict(), "schedule": schedule.state_dict()}
        second = with_rates(9.0, 9.0)
        second.load_state_dict(saved["optimizer"])
        resumed = kata.StepLR(second, 3, 0.5)
        resumed.load_state_dict(saved["schedule"])
        check.equal(resumed.last_epoch, 4, what="last_epoch after loading")
        check.close(resumed.get_last_lr(), [0.5, 0.1], what="get_last_lr() after loading")
        expected = [[0.5**k, 0.2 * 0.5**k] for k in (1, 2, 2, 2, 3, 3)]  # epochs 5 to 10
        unlike = {
            "fallen rates taken for base rates": [[0.5 * 0.5**k, 0.1 * 0.5**k] for k in (1, 2, 2, 2, 3, 3)],
            "epochs counted from 0 again": [[0.5 * 0.5**k, 0.1 * 0.5**k] for k in (0, 0, 1, 1, 1, 2)],
        }
        check.close(epochs(resumed, second, 6), expected, unlike=unlike, what="rates after each epoch")

    def test_a_saved_state_is_a_snapshot(self, kata):
        """A checkpoint kept in memory must not follow the run that it was taken from."""
        first = with_rates(1.0)
        schedule = kata.StepLR(first, 2, 0.5)
        epochs(schedule, first, 1)
        saved = schedule.state_dict()
        epochs(schedule, first, 4)
        second = with_rates(1.0)
        resumed = kata.StepLR(second, 2, 0.5)
        resumed.load_state_dict(saved)
        check.equal(resumed.last_epoch, 1, what="last_epoch of a state taken after one epoch")
        check.close(epochs(resumed, second, 3), [[0.5], [0.5], [0.25]], what="rates after each epoch")

    def test_param_groups_are_all_it_needs(self, kata):
        """Any optimizer will do, also one you wrote: all a schedule touches is the "lr" of its groups."""
        optimizer = SimpleNamespace(param_groups=[{"lr": 1.0}, {"lr": 4.0}])
        schedule = kata.StepLR(optimizer, 2, 0.5)
        schedule.step(), schedule.step()
        check.close(rates_of(optimizer), [0.5, 2.0], what="rates after two epochs")

    def test_written_without_torchs_schedules(self, kata):
        """torch.optim.lr_scheduler is what this exercise rebuilds."""
        optimizer = with_rates(1.0)
        schedules = [f"torch.optim.lr_scheduler.{name}" for name in ("LRScheduler.__init__", "StepLR", "LambdaLR")]
        with check.forbidden(kata, *schedules):
            epochs(kata.StepLR(optimizer, 2), optimizer, 1)

    @pytest.mark.edge
    def test_a_rate_holds_for_at_least_one_epoch(self, kata):
        """step_size counts epochs; 0 or fewer make no sense."""
        for step_size in (0, -2):
            with check.raises(ValueError):
                kata.StepLR(with_rates(1.0), step_size)


class TestClipGradNorm:
    def test_the_norm_is_that_of_all_gradients_together(self, kata):
        """All gradients are one long vector: [3, 0] and [[4]] have the norm √(9 + 16) = 5."""
        params = with_gradients([3.0, 0.0], [[4.0]])
        unlike = {"the sum of the norms": torch.tensor(7.0), "the largest of the norms": torch.tensor(4.0)}
        unlike["the square of the norm"] = torch.tensor(25.0)
        got = kata.clip_grad_norm(params, 100.0)
        check.close(got, torch.tensor(5.0), unlike=unlike, what="returned norm")

    def test_all_gradients_shrink_by_one_factor(self, kata):
        """Norm 5, limit 2: everything times 2/5, so that the direction of the step stays. Clipping each tensor by
        itself would leave [1, 0] alone and turn the step."""
        params = with_gradients([[3.0, 0.0]], [4.0], [0.0])
        kata.clip_grad_norm(params, 2.0)
        expected = [torch.tensor([[1.2, 0.0]]), torch.tensor([1.6]), torch.tensor([0.0])]
        unlike = {
            "each tensor clipped by itself": [torch.tensor([[2.0, 0.0]]), torch.tensor([2.0]), torch.tensor([0.0])],
            "not clipped": [torch.tensor([[3.0, 0.0]]), torch.tensor([4.0]), torch.tensor([0.0])],
        }
        check.close(grads(params), expected, rtol=1e-5, unlike=unlike, what="gradients")

    def test_the_returned_norm_is_the_one_before(self, kata):
        """The norm before clipping tells whether training is going wild. After clipping it would never say more than
        max_norm."""
        params = with_gradients([3.0, 0.0], [[4.0]])
        unlike = {"the norm after clipping": torch.tensor(2.0)}
        check.close(kata.clip_grad_norm(params, 2.0), torch.tensor(5.0), unlike=unlike, what="returned norm")

    def test_short_gradients_are_not_stretched(self, kata):
        """Only a norm above the limit is cut. max_norm / norm without a minimum with 1 makes short gradients longer."""
        params = with_gradients([3.0, 0.0], [[4.0]])
        kata.clip_grad_norm(params, 10.0)
        unlike = {"stretched to max_norm": [torch.tensor([6.0, 0.0]), torch.tensor([[8.0]])]}
        check.close(grads(params), [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])], unlike=unlike, what="gradients")

    def test_norm_types_follow_the_definition(self, kata):
        """1 sums the absolute values, 2 is the root of the sum of squares, inf takes the largest absolute value."""
        shapes = [(2, 3), (4,), (5,)]
        for norm_type in (1.0, 2.0, math.inf):
            gradients = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
            params = with_gradients(*[g.tolist() for g in gradients])
            flat = torch.cat([g.flatten() for g in gradients]).abs()
            norm = {1.0: flat.sum(), 2.0: flat.square().sum().sqrt(), math.inf: flat.max()}[norm_type]
            got = kata.clip_grad_norm(params, 0.5, norm_type=norm_type)
            check.close(got, norm, rtol=1e-6, what=f"norm of type {norm_type}")
            expected = [g * 0.5 / norm for g in gradients]
            check.close(grads(params), expected, rtol=1e-4, what=f"gradients, type {norm_type}")

    def test_gradients_are_written_in_place(self, kata):
        """The gradient may be shared with others, so it stays the same tensor object. Parameters are not touched."""
        params = with_gradients([3.0, 0.0], [[4.0]])
        before, values = grads(params), [p.detach().clone() for p in params]
        kata.clip_grad_norm(params, 2.0)
        check.that(all(p.grad is g for p, g in zip(params, before, strict=True)), ".grad is a new tensor")
        check.close(before, [torch.tensor([1.2, 0.0]), torch.tensor([[1.6]])], rtol=1e-5, what="the gradients given")
        check.equal([p.detach() for p in params], values, what="the parameters")

    def test_params_may_be_a_generator(self, kata):
        """`model.parameters()` can be walked through once only: a second loop for the scaling would find nothing."""
        params = with_gradients([3.0, 0.0], [[4.0]])
        got = kata.clip_grad_norm((p for p in params), 2.0)
        check.close(got, torch.tensor(5.0), what="returned norm")
        check.close(grads(params), [torch.tensor([1.2, 0.0]), torch.tensor([[1.6]])], rtol=1e-5, what="gradients")

    def test_params_may_be_one_tensor(self, kata):
        """A tensor is an iterable of its rows, which have no gradient of their own. Here it stands for itself."""
        [p] = with_gradients([[3.0, 0.0], [0.0, 4.0]])
        check.close(kata.clip_grad_norm(p, 2.0), torch.tensor(5.0), what="returned norm")
        check.close(p.grad, torch.tensor([[1.2, 0.0], [0.0, 1.6]]), rtol=1e-5, what="gradient")

    def test_parameters_without_gradient_are_passed_over(self, kata):
        """Layers that took no part in the loss have `.grad` None, and keep it."""
        params = with_gradients([3.0, 0.0], None, [[4.0]])
        check.close(kata.clip_grad_norm(params, 2.0), torch.tensor(5.0), what="returned norm")
        check.that(params[1].grad is None, f"a .grad that was None is now {check.describe(params[1].grad)}")

    @pytest.mark.edge
    def test_without_any_gradient_the_norm_is_zero(self, kata):
        """Nothing is not an error: the vector is empty, and its norm is 0 in every type."""
        for params in (with_gradients(None, None), []):
            for norm_type in (2.0, math.inf):
                got = kata.clip_grad_norm(params, 2.0, norm_type=norm_type)
                check.close(got, torch.tensor(0.0), what="returned norm")

    def test_a_wild_norm_is_returned_unless_asked_otherwise(self, kata):
        """A norm of inf or NaN is an answer, too: by default the caller looks at it."""
        for bad in (math.inf, math.nan):
            got = kata.clip_grad_norm(with_gradients([1.0, 0.0], [bad]), 2.0)
            check.close(got, torch.tensor(bad), what="returned norm")

    @pytest.mark.edge
    def test_a_wild_norm_is_an_error_on_request(self, kata):
        """error_if_nonfinite stops before anything is scaled: the gradients are still there to look at, the good ones
        too. A finite norm is no error."""
        for bad in (math.inf, math.nan):
            params = with_gradients([30.0, -7.0], [[bad]])
            with check.raises(RuntimeError):
                kata.clip_grad_norm(params, 2.0, error_if_nonfinite=True)
            expected = [torch.tensor([30.0, -7.0]), torch.tensor([[bad]])]
            check.close(grads(params), expected, what="gradients after the error")
        params = with_gradients([3.0, 0.0], [[4.0]])
        check.close(kata.clip_grad_norm(params, 2.0, error_if_nonfinite=True), torch.tensor(5.0), what="returned norm")

    def test_written_without_torchs_own(self, kata):
        """torch.nn.utils is what this exercise rebuilds."""
        names = ("clip_grad_norm_", "clip_grad.clip_grad_norm_", "get_total_norm", "clip_grads_with_norm_")
        with check.forbidden(kata, *(f"torch.nn.utils.{name}" for name in names)):
            kata.clip_grad_norm(with_gradients([3.0, 0.0], [[4.0]]), 2.0)

    @pytest.mark.edge
    def test_the_limit_is_above_zero(self, kata):
        """A limit of 0 would wipe out every gradient, and a negative one turn them round."""
        for max_norm in (0.0, -1.0):
            with check.raises(ValueError):
                kata.clip_grad_norm(with_gradients([3.0, 0.0]), max_norm)


class TestClipGradValue:
    def test_every_element_is_cut_off_at_the_limit(self, kata):
        """Elements beyond ±2 become ±2, the others stay: [-5, 1, 3] becomes [-2, 1, 2]."""
        params = with_gradients([-5.0, 1.0, 3.0], [[-1.5, 2.5]])
        kata.clip_grad_value(params, 2.0)
        unlike = {
            "only the upper side is cut": [torch.tensor([-5.0, 1.0, 2.0]), torch.tensor([[-1.5, 2.0]])],
            "scaled, not cut": [torch.tensor([-2.0, 0.4, 1.2]), torch.tensor([[-0.6, 1.0]])],
            "nothing has changed": [torch.tensor([-5.0, 1.0, 3.0]), torch.tensor([[-1.5, 2.5]])],
        }
        expected = [torch.tensor([-2.0, 1.0, 2.0]), torch.tensor([[-1.5, 2.0]])]
        check.close(grads(params), expected, unlike=unlike, what="gradients")

    def test_gradients_are_written_in_place(self, kata):
        """The gradient stays the same tensor object, and the parameters are not touched."""
        params = with_gradients([-5.0, 1.0, 3.0])
        before, values = grads(params), [p.detach().clone() for p in params]
        kata.clip_grad_value(params, 0.5)
        check.that(params[0].grad is before[0], ".grad is a new tensor")
        check.close(before, [torch.tensor([-0.5, 0.5, 0.5])], what="the gradient given")
        check.equal([p.detach() for p in params], values, what="the parameters")

    def test_generators_and_single_tensors(self, kata):
        """Whatever clip_grad_norm takes will do, and parameters without gradient are passed over."""
        params = with_gradients([-5.0, 1.0], None, [[3.0]])
        kata.clip_grad_value((p for p in params), 2.0)
        expected = [torch.tensor([-2.0, 1.0]), torch.tensor([[2.0]])]
        check.close([params[0].grad, params[2].grad], expected, what="gradients")
        check.that(params[1].grad is None, f"a .grad that was None is now {check.describe(params[1].grad)}")
        [p] = with_gradients([[-5.0, 1.0], [3.0, 0.0]])
        kata.clip_grad_value(p, 2.0)
        check.close(p.grad, torch.tensor([[-2.0, 1.0], [2.0, 0.0]]), what="gradient of the single tensor")

    def test_written_without_torchs_own(self, kata):
        """torch.nn.utils is what this exercise rebuilds."""
        names = ("torch.nn.utils.clip_grad_value_", "torch.nn.utils.clip_grad.clip_grad_value_")
        with check.forbidden(kata, *names):
            kata.clip_grad_value(with_gradients([3.0, 0.0]), 2.0)

    @pytest.mark.edge
    def test_the_limit_is_above_zero(self, kata):
        """A limit of 0 would wipe out every gradient; a negative one has no meaning."""
        for clip_value in (0.0, -1.0):
            with check.raises(ValueError):
                kata.clip_grad_value(with_gradients([3.0, 0.0]), clip_value)


@pytest.mark.stretch
class TestBatchSizeSchedule:
    def test_the_ramp_is_linear(self, kata):
        """A quarter of the way in tokens is a quarter of the way from start to end."""
        got = [kata.batch_size_schedule(t, start=4, end=20, ramp_tokens=1024) for t in (0, 256, 512, 768)]
        unlike = {"from 0 instead of start": [0, 5, 10, 15], "from 0 to end, added to start": [4, 9, 14, 19]}
        check.equal(got, [4, 8, 12, 16], unlike=unlike, what="sizes at 0, 1/4, 1/2, 3/4 of the ramp")

    def test_sizes_are_rounded_down(self, kata):
        """Half a sequence cannot be trained on, and the batch has not grown before the whole one is due: 4.75 is 4."""
        got = [kata.batch_size_schedule(t, start=4, end=8, ramp_tokens=1024) for t in (192, 255, 256, 1023)]
        check.equal(got, [4, 4, 5, 7], unlike={"rounded to the nearest": [5, 5, 5, 8]}, what="sizes")

    def test_sizes_on_the_ramp_are_multiples(self, kata):
        """A batch is shared out among devices or micro-batches, so on the ramp it is rounded down to a multiple."""
        options = {"start": 16, "end": 48, "ramp_tokens": 1024, "multiple_of": 8}
        got = [kata.batch_size_schedule(t, **options) for t in (0, 255, 256, 500, 511, 512, 1023)]
        unlike = {"not rounded to multiples": [16, 23, 24, 31, 31, 32, 47], "rounded up": [16, 24, 24, 32, 32, 32, 48]}
        check.equal(got, [16, 16, 24, 24, 24, 32, 40], unlike=unlike, what="sizes")

    def test_never_below_the_start(self, kata):
        """Rounding down from a start that is no multiple must not go below it."""
        options = {"start": 6, "end": 32, "ramp_tokens": 1024, "multiple_of": 8}
        got = [kata.batch_size_schedule(t, **options) for t in (0, 64, 78, 79)]
        unlike = {"rounded below start": [0, 0, 0, 8], "multiples counted from start": [6, 6, 6, 6]}
        check.equal(got, [6, 6, 6, 8], unlike=unlike, what="sizes")

    def test_the_end_is_exact(self, kata):
        """Once the ramp is over the size is `end` and stays there, a multiple or not."""
        options = {"start": 8, "end": 30, "ramp_tokens": 1024, "multiple_of": 8}
        for tokens in (1024, 1025, 10**9):
            got = kata.batch_size_schedule(tokens, **options)
            check.equal(got, 30, unlike={"rounded down to a multiple": 24}, what=f"size at {tokens} tokens")

    def test_without_a_ramp_it_is_the_end(self, kata):
        """ramp_tokens=0 asks for the full size from the first token on, and divides by nothing."""
        for tokens in (0, 5):
            got = kata.batch_size_schedule(tokens, start=2, end=7, ramp_tokens=0)
            check.equal(got, 7, what=f"size at {tokens} tokens")

    def test_the_size_never_falls(self, kata):
        """More tokens never make the batch smaller, for any start, end and multiple; sizes are plain ints between
        start and end."""
        for start, end, multiple in ((1, 9, 4), (5, 23, 3), (7, 7, 2), (3, 64, 1)):
            sizes = [
                kata.batch_size_schedule(t, start=start, end=end, ramp_tokens=100, multiple_of=multiple)
                for t in range(0, 121, 5)
            ]
            check.that(all(type(size) is int for size in sizes), f"not all sizes are ints: {sizes}")
            check.that(sizes == sorted(sizes), f"sizes fall: {sizes}")
            check.that(start <= min(sizes) and max(sizes) == end, f"sizes leave {start} to {end}: {sizes}")

    @pytest.mark.edge
    def test_the_sizes_are_in_order(self, kata):
        """A batch holds at least one sequence, and the end is not below the start."""
        for start, end in ((0, 4), (-1, 4), (5, 4)):
            with check.raises(ValueError):
                kata.batch_size_schedule(10, start=start, end=end, ramp_tokens=100)
