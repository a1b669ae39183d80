"""Specs of 21: learning rates over time, three optimizers beside torch's, decay groups,
clipping, growing batches.
"""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from grader.specs import check

CURVE = {"max_lr": 0.5, "min_lr": 0.1, "warmup_steps": 4, "max_steps": 12}
EXACT = {"rtol": 1e-9, "atol": 1e-12}
READY_MADE = [f"torch.optim.{name}" for name in ("SGD", "Adam", "AdamW")]
READY_MADE += [f"torch.optim._functional.{name}" for name in ("sgd", "adam", "adamw")]


def starting_points():
    """A matrix, laid out column by column in memory, and two vectors of different
    sizes, in float64.
    """
    return [
        torch.randn(4, 3, dtype=torch.float64).mT,
        torch.randn(5, dtype=torch.float64),
        torch.randn(2).double(),
    ]


def gradients_for(start, steps=8):
    """For every step a gradient for each parameter; their sizes range over a factor of
    a hundred.
    """
    return [
        [torch.randn_like(p) * 10.0 ** (i - 1) for i, p in enumerate(start)]
        for _ in range(steps)
    ]


def walk(optimizer, params, gradients):
    """Take a step along each of the gradients in turn; where the parameters
    are then.
    """
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = None if g is None else g.clone()
        optimizer.step()
    return [p.detach() for p in params]


def journey(make, start, gradients, **options):
    """The parameters that start at `start`, after the steps of an optimizer with
    these options.
    """
    params = [nn.Parameter(p.clone()) for p in start]
    return walk(make(params, **options), params, gradients)


def sgd_by_hand(
    start, gradients, lr, momentum=0.0, weight_decay=0.0, nesterov=False, share=1.0
):
    """SGD on plain tensors. `share` of each gradient goes into the buffer: 1 is right,
    1 − momentum makes a mean.
    """
    ends = []
    for i, p in enumerate(start):
        buf = torch.zeros_like(p)
        for step in gradients:
            g = step[i] + weight_decay * p
            buf = momentum * buf + share * g
            p = p - lr * (g + momentum * buf if nesterov else buf)
        ends.append(p)
    return ends


def sgd_with_decay_beside_the_buffer(start, gradients, lr, momentum, weight_decay):
    """A mistake: the decay gathers no momentum."""
    ends = []
    for i, p in enumerate(start):
        buf = torch.zeros_like(p)
        for step in gradients:
            buf = momentum * buf + step[i]
            p = p - lr * (buf + weight_decay * p)
        ends.append(p)
    return ends


def adam_direction(m, v, t, betas, eps):
    """m̂ / (√v̂ + eps)"""
    return m / (1 - betas[0] ** t) / ((v / (1 - betas[1] ** t)) ** 0.5 + eps)


def without_correction(m, v, t, betas, eps):
    return m / (v**0.5 + eps)


def with_m_corrected_only(m, v, t, betas, eps):
    return m / (1 - betas[0] ** t) / (v**0.5 + eps)


def with_v_corrected_only(m, v, t, betas, eps):
    return m / ((v / (1 - betas[1] ** t)) ** 0.5 + eps)


def with_eps_under_the_root(m, v, t, betas, eps):
    return m / (1 - betas[0] ** t) / (v / (1 - betas[1] ** t) + eps) ** 0.5


def without_the_root(m, v, t, betas, eps):
    return m / (1 - betas[0] ** t) / (v / (1 - betas[1] ** t) + eps)


def adam_by_hand(
    start,
    gradients,
    lr,
    direction=adam_direction,
    eps=1e-8,
    l2=0.0,
    before=0.0,
    after=0.0,
):
    """Adam on plain tensors. Decay: `l2` in the gradient, or factors 1 − `before` and
    1 − `after` the step.
    """
    ends = []
    for i, p in enumerate(start):
        m, v = torch.zeros_like(p), torch.zeros_like(p)
        for t, step in enumerate(gradients, start=1):
            g = step[i] + l2 * p
            m, v = m + 0.1 * (g - m), v + 0.001 * (g**2 - v)
            p = (p * (1 - before) - lr * direction(m, v, t, (0.9, 0.999), eps)) * (
                1 - after
            )
        ends.append(p)
    return ends


def tensors_in(value):
    """All tensors in nested mappings, lists and tuples, whatever the layout."""
    if isinstance(value, Tensor):
        return [value]
    if hasattr(value, "values"):
        value = list(value.values())
    return (
        [t for item in value for t in tensors_in(item)]
        if isinstance(value, (list, tuple))
        else []
    )


def with_gradients(*gradients, dtype=torch.float64):
    """Parameters with these gradients; None for one that has none."""
    params = []
    for gradient in gradients:
        g = None if gradient is None else torch.tensor(gradient, dtype=dtype)
        params.append(
            nn.Parameter(
                torch.ones(3, dtype=dtype) if g is None else torch.ones_like(g)
            )
        )
        params[-1].grad = g
    return params


def grads(params):
    return [p.grad for p in params]


class TestWarmupCosine:
    def test_the_rise_is_a_straight_line(self, kata):
        """Four warm-up steps go up in quarters, and the first of them already moves:
        (step + 1) / warmup_steps. A rate of 0 would waste the first batch. A rate goes
        into logs and checkpoints: it is a Python float, not a tensor.
        """
        got = [kata.warmup_cosine(step, **CURVE) for step in range(4)]
        unlike = {"step / warmup_steps, which begins at 0": [0.0, 0.125, 0.25, 0.375]}
        check.close(
            got, [0.125, 0.25, 0.375, 0.5], unlike=unlike, what="rates of steps 0 to 3"
        )
        kinds = {
            type(kata.warmup_cosine(step, **CURVE)).__name__ for step in (1, 4, 7, 15)
        }
        check.that(
            kinds == {"float"},
            f"the rates are of type {', '.join(sorted(kinds))}, expected float",
        )

    def test_half_way_is_the_mean(self, kata):
        """Halfway between warm-up and end the cosine is 0, which leaves the mean of
        max_lr and min_lr. Progress is counted from the end of the warm-up.
        """
        unlike = {
            "max_lr / 2: min_lr was forgotten": 0.3,
            "min_lr was not added": 0.25,
            "min_lr on top of a cosine from max_lr to 0": 0.4,
            "1 + cos without its half": 0.6,
            "a whole wave of the cosine": 0.1,
            "progress counted from step 0": 0.1 + 0.5 * math.cos(math.pi / 3) ** 2,
        }
        check.close(
            kata.warmup_cosine(8, **CURVE | {"max_lr": 0.6}), 0.35, unlike=unlike
        )

    def test_between_it_is_half_a_cosine(self, kata):
        """At step == warmup_steps the rate is max_lr. (1 + cos(π · progress)) / 2 falls
        slowly, fast, then slowly. A straight line agrees at the ends and in the
        middle only.
        """
        got = [kata.warmup_cosine(step, **CURVE) for step in range(4, 13)]
        way = [i / 8 for i in range(9)]
        expected = [0.5 - 0.4 * math.sin(math.pi / 2 * w) ** 2 for w in way]
        unlike = {
            "a straight line": [0.5 - 0.4 * w for w in way],
            "a cosine that rises": expected[::-1],
        }
        check.close(got, expected, unlike=unlike, what="rates of steps 4 to 12")

    def test_after_the_end_it_stays(self, kata):
        """From max_steps on the rate is min_lr. A cosine that goes on would come
        up again.
        """
        for step in (12, 13, 20, 1000):
            unlike = {
                "a cosine that goes on": 0.5
                - 0.4 * math.sin(math.pi / 2 * (step - 4) / 8) ** 2
            }
            check.close(
                kata.warmup_cosine(step, **CURVE),
                0.1,
                unlike=unlike,
                what=f"rate of step {step}",
            )

    @given(warmup=st.integers(1, 6), cosine=st.integers(1, 8))
    def test_rises_and_then_falls(self, kata, warmup, cosine):
        """However long the two stretches are, the rate rises up to max_lr, then falls,
        and ends at min_lr.
        """
        curve = {**CURVE, "warmup_steps": warmup, "max_steps": warmup + cosine}
        rates = [
            kata.warmup_cosine(step, **curve) for step in range(warmup + cosine + 3)
        ]
        up, down = rates[:warmup], rates[warmup:]
        rises = up == sorted(up) and abs(up[-1] - 0.5) < 1e-9
        check.that(
            rises, f"the rates of {warmup} warm-up steps should rise to 0.5: {up}"
        )
        falls = (
            down == sorted(down, reverse=True)
            and abs(down[0] - 0.5) < 1e-9
            and abs(down[-1] - 0.1) < 1e-9
        )
        check.that(
            falls,
            f"the rates of {cosine} steps after the warm-up should fall from 0.5 to "
            f"0.1: {down}",
        )

    @pytest.mark.edge
    def test_without_warmup(self, kata):
        """With warmup_steps=0 the first step is the top of the cosine, and nothing is
        divided by 0.
        """
        curve = {**CURVE, "warmup_steps": 0}
        check.close(
            [kata.warmup_cosine(step, **curve) for step in (0, 6, 12)], [0.5, 0.3, 0.1]
        )

    @pytest.mark.edge
    def test_warmup_up_to_the_end(self, kata):
        """With warmup_steps == max_steps there is no cosine to divide by: the rise,
        then min_lr.
        """
        curve = {**CURVE, "warmup_steps": 12}
        check.close(
            [kata.warmup_cosine(step, **curve) for step in (0, 11, 12, 13)],
            [0.5 / 12, 0.5, 0.1, 0.1],
        )
        check.close(
            kata.warmup_cosine(0, **{**curve, "warmup_steps": 0, "max_steps": 0}), 0.1
        )

    @pytest.mark.edge
    def test_warmup_fits_into_the_run(self, kata):
        """A warm-up longer than the run, or of negative length, is a mistake in
        the call.
        """
        for warmup_steps in (-1, 13):
            with check.raises(ValueError):
                kata.warmup_cosine(3, **{**CURVE, "warmup_steps": warmup_steps})


class EveryInit:
    """Specs of every optimizer's groups. `name`: the class; `theirs`: torch's;
    `options`: every hyperparameter with another value than by default; `defaults`:
    hyperparameters that need not be given.
    """

    def test_param_groups_hold_every_hyperparameter(self, kata):
        """Schedules and checkpoints reach the settings through `param_groups`, so each
        group has all of them under their argument names, and a real list of parameters.
        What is not given has its default.
        """
        params = [nn.Parameter(p) for p in starting_points()]
        given = {} if "lr" in self.defaults else {"lr": 0.3}
        groups = getattr(kata, self.name)(params, **given).param_groups
        right = isinstance(groups, list) and len(groups) == 1
        check.that(right, f"expected a list of one dict, got {check.describe(groups)}")
        wanted = {**given, **self.defaults}
        missing = [name for name in ("params", *wanted) if name not in groups[0]]
        check.that(not missing, f"the group lacks {missing}; it has {list(groups[0])}")
        for name, value in wanted.items():
            check.that(
                groups[0][name] == value,
                f'group["{name}"] is {groups[0][name]}, expected {value}',
            )
        same = isinstance(groups[0]["params"], list) and [
            id(p) for p in groups[0]["params"]
        ] == [id(p) for p in params]
        check.that(
            same,
            'group["params"] should be a list of the very parameters given, in their '
            "order",
        )

    def test_a_group_overrides_the_arguments(self, kata):
        """Each dict is a group of its own. It keeps the hyperparameters that it names;
        the others come from the arguments.
        """
        a, b = (nn.Parameter(p) for p in starting_points()[:2])
        groups = getattr(kata, self.name)(
            [{"params": [a], "lr": 0.7}, {"params": iter([b])}], **self.options
        )
        first, second = groups.param_groups
        for group, own in ((first, {"lr": 0.7}), (second, {})):
            for name, value in {**self.options, **own}.items():
                check.that(
                    group[name] == value,
                    f'group["{name}"] is {group[name]}, expected {value}',
                )
        check.that(
            first["params"][0] is a and second["params"][0] is b,
            "the parameters are not in their own groups",
        )

    def test_params_may_be_a_generator(self, kata):
        """`model.parameters()` is a generator: it can be walked through once. A second
        loop finds it empty.
        """
        params = [nn.Parameter(p) for p in starting_points()]
        optimizer = getattr(kata, self.name)((p for p in params), **self.options)
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        check.that(
            count == 3, f"the groups hold {count} parameters of a generator of 3"
        )


class InitEdges:
    @pytest.mark.edge
    def test_a_group_may_be_empty(self, kata):
        """A model without biases has nothing to put into the group that does not decay.
        The other group still works.
        """
        start = starting_points()
        gradients = gradients_for(start, steps=2)
        params = [nn.Parameter(p.clone()) for p in start]
        optimizer = getattr(kata, self.name)(
            [{"params": []}, {"params": params}], **self.options
        )
        expected = journey(self.theirs, start, gradients, **self.options)
        check.close(
            walk(optimizer, params, gradients), expected, **EXACT, what="parameters"
        )

    @pytest.mark.edge
    def test_something_must_be_optimized(self, kata):
        """Without parameters there is nothing to do: a generator that was used up
        already, perhaps.
        """
        for nothing in ([], iter([])):
            with check.raises(ValueError):
                getattr(kata, self.name)(nothing, **self.options)

    @pytest.mark.edge
    def test_a_parameter_is_in_one_group_only(self, kata):
        """In two groups a parameter would move twice in every step, at two rates."""
        a, b, c = (nn.Parameter(p) for p in starting_points())
        with check.raises(ValueError):
            getattr(kata, self.name)(
                [{"params": [a, b]}, {"params": [c, a]}], **self.options
            )

    @pytest.mark.edge
    def test_the_rate_may_not_be_negative(self, kata):
        """A negative rate climbs. The message names the number."""
        params = [nn.Parameter(p) for p in starting_points()]
        with check.raises(ValueError, "-0.25"):
            getattr(kata, self.name)(params, lr=-0.25)


class BetasBelowOne:
    @pytest.mark.edge
    def test_betas_are_below_one(self, kata):
        """A beta of 1 never lets a gradient in, and makes the bias correction divide
        by 0.
        """
        params = [nn.Parameter(p) for p in starting_points()]
        for betas in ((1.0, 0.999), (0.9, 1.0), (-0.1, 0.999)):
            with check.raises(ValueError):
                getattr(kata, self.name)(params, betas=betas)


class EveryStep:
    """Specs of every optimizer's step, run after those of its formula (pytest begins
    with the last base class).

    `name`, `theirs` and `options` as in EveryInit; `other`: the same hyperparameters
    with other values.
    """

    def test_each_group_steps_with_its_current_settings(self, kata):
        """Each group has its own hyperparameters, and each parameter its own state. A
        schedule writes into `group["lr"]`: settings copied in `__init__` never change.
        """
        start = [torch.randn(3, 2).double() for _ in range(3)]
        gradients = gradients_for(start)
        ends, first = [], {"lr": self.other["lr"]}
        for make, copied in (
            (getattr(kata, self.name), {}),
            (self.theirs, {}),
            (self.theirs, first),
        ):
            a, b, c = params = [nn.Parameter(p.clone()) for p in start]
            groups = [
                {"params": [a], **self.other},
                {"params": [b]},
                {"params": [c], "lr": 0.5},
            ]
            optimizer = make([{**group, **copied} for group in groups], **self.options)
            early = [p.clone() for p in walk(optimizer, params, gradients[:4])]
            optimizer.param_groups[1].update(self.other)
            ends.append((early, walk(optimizer, params, gradients[4:])))
        unlike = {
            "the same settings for all groups": journey(
                self.theirs, start, gradients[:4], **self.options
            ),
            "the lr of the first group for all": ends[2][0],
        }
        check.close(
            ends[0][0],
            ends[1][0],
            **EXACT,
            unlike=unlike,
            what="parameters of three groups",
        )
        what = "parameters after the settings of the second group were changed"
        check.close(ends[0][1], ends[1][1], **EXACT, what=what)

    def test_a_parameter_without_gradient_is_left_alone(self, kata):
        """`.grad` None means: not part of this step. A gradient of zeros is something
        else; with it the parameter would still decay.
        """
        start = starting_points()
        gradients = [[g[0], None, g[2]] for g in gradients_for(start, steps=3)]
        got = journey(getattr(kata, self.name), start, gradients, **self.options)
        check.equal(got[1], start[1], what="the parameter without gradient")
        expected = journey(self.theirs, start, gradients, **self.options)
        check.close(got, expected, **EXACT, what="parameters")

    def test_steps_write_into_the_parameters(self, kata):
        """The model holds these very objects, and others may share their memory. So a
        step writes into that memory, and the parameters remain leaves that the next
        backward pass can fill.
        """
        start = starting_points()
        params = [nn.Parameter(p.clone()) for p in start]
        views = [p.detach() for p in params]
        optimizer = getattr(kata, self.name)(params, **self.options)
        walk(optimizer, params, gradients_for(start, steps=2))
        moved = [not torch.equal(p, q) for p, q in zip(params, start, strict=True)]
        check.that(all(moved), f"after two steps these parameters have moved: {moved}")
        kept = all(
            p is q
            for p, q in zip(params, optimizer.param_groups[0]["params"], strict=True)
        )
        check.that(kept, "param_groups no longer holds the parameters it was given")
        leaves = all(p.is_leaf and p.requires_grad for p in params)
        check.that(
            leaves, "after a step a parameter is no leaf that requires a gradient"
        )
        check.equal(
            views,
            [p.detach() for p in params],
            what="views of the parameters, after two steps",
        )

    def test_is_written_without_torchs_own(self, kata):
        """The update is what this exercise is about: none of torch.optim's optimizers
        may make it, not even as a base class.
        """
        start = starting_points()
        with check.forbidden(kata, *READY_MADE):
            params = [nn.Parameter(p.clone()) for p in start]
            walk(
                getattr(kata, self.name)(params, **self.options),
                params,
                gradients_for(start, steps=1),
            )

    @pytest.mark.edge
    def test_a_parameter_may_join_late_or_pause(self, kata):
        """A layer that is thawed after three steps starts afresh: with full bias
        correction, with a buffer that starts as its gradient. A layer that pauses goes
        on from where it was; the steps without it do not count.
        """
        start = starting_points()
        gradients = gradients_for(start)
        late = [
            [g[0], g[1] if t >= 3 else None, g[2] if t not in (2, 3, 5) else None]
            for t, g in enumerate(gradients)
        ]
        zeros = [
            [
                torch.zeros_like(p) if g is None else g
                for p, g in zip(start, step, strict=True)
            ]
            for step in late
        ]
        kinds = ("always there", "thawed late", "pausing")
        journeys = (
            (getattr(kata, self.name), late),
            (self.theirs, late),
            (self.theirs, zeros),
        )
        ends = [journey(make, start, steps, **self.options) for make, steps in journeys]
        got, expected, wrong = (dict(zip(kinds, end, strict=True)) for end in ends)
        unlike = {"None was taken for a gradient of zeros": wrong}
        check.close(got, expected, **EXACT, unlike=unlike, what="parameters")

    @pytest.mark.edge
    def test_gradients_stay_as_they_were(self, kata):
        """Logging and clipping read `.grad`. An in-place `+=` for the decay changes it,
        and so does a buffer that *is* the first gradient and later gets multiplied.
        """
        start = starting_points()
        for options in check.modes(
            **{name: [value] for name, value in self.other.items()}
        ):
            params = [nn.Parameter(p.clone()) for p in start]
            optimizer = getattr(kata, self.name)(
                params, **{**self.options, "weight_decay": 0.0, **options}
            )
            given = gradients_for(start, steps=1)[0]
            for p, g in zip(params, given, strict=True):
                p.grad = g
            before, decay = (
                [g.clone() for g in given],
                optimizer.param_groups[0]["weight_decay"],
            )
            unlike = {
                "the decay was added to them": [
                    g + decay * p for g, p in zip(given, start, strict=True)
                ]
            }
            for step in (1, 2, 3):
                optimizer.step()
                check.equal(
                    given,
                    before,
                    unlike=unlike,
                    what=f"gradients after step {step}, with {options}",
                )
            same = all(p.grad is g for p, g in zip(params, given, strict=True))
            check.that(same, "p.grad is another object than before the steps")

    @pytest.mark.edge
    def test_no_graph_is_remembered(self, kata):
        """A buffer computed from `p` without `torch.no_grad()` drags the graph of all
        earlier steps along: memory grows with every step.
        """
        start = starting_points()
        params = [nn.Parameter(p.clone()) for p in start]
        optimizer = getattr(kata, self.name)(params, **self.options)
        walk(optimizer, params, gradients_for(start, steps=2))
        heavy = [t for t in tensors_in(optimizer.state) if t.grad_fn is not None]
        check.that(not heavy, f"{len(heavy)} tensors in `state` carry a graph")


class AdamFormula:
    """The specs that Adam and AdamW share, without decay."""

    def test_the_first_step_has_the_size_lr(self, kata):
        """m̂ / √v̂ of a single gradient is g / |g|, so gradients of 1000 and of 0.001
        make the same step. Without bias correction the moments still are near their
        start, 0, and the step has another size.
        """
        start = [torch.tensor([2.0, 3.0, -1.0], dtype=torch.float64)]
        gradients = [[torch.tensor([1000.0, 0.001, -5.0], dtype=torch.float64)]]
        unlike = {
            "no bias correction": adam_by_hand(
                start, gradients, 0.1, without_correction
            ),
            "0 / 0: the bias correction counts steps from 0, not from 1": [
                torch.full((3,), math.nan)
            ],
            "only m is corrected": adam_by_hand(
                start, gradients, 0.1, with_m_corrected_only
            ),
            "only v is corrected": adam_by_hand(
                start, gradients, 0.1, with_v_corrected_only
            ),
            "eps under the root": adam_by_hand(
                start, gradients, 0.1, with_eps_under_the_root
            ),
            "nothing has moved": start,
            "up the gradient": [torch.tensor([2.1, 3.1, -1.1])],
            "divided by v instead of its root": adam_by_hand(
                start, gradients, 0.1, without_the_root
            ),
        }
        got = journey(
            getattr(kata, self.name), start, gradients, lr=0.1, weight_decay=0.0
        )
        check.close(
            got,
            [torch.tensor([1.9, 2.9, -0.9])],
            rtol=1e-4,
            unlike=unlike,
            what="parameters",
        )

    def test_eps_is_added_to_the_root(self, kata):
        """√v̂ + eps, not √(v̂ + eps): under the root the usual 1e-8 would act like 1e-4.
        A large eps shows it.
        """
        start = starting_points()
        gradients = gradients_for(start)
        unlike = {
            "eps under the root": adam_by_hand(
                start, gradients, 0.1, with_eps_under_the_root, eps=0.05
            ),
            "eps is ignored": adam_by_hand(start, gradients, 0.1),
        }
        options = {"lr": 0.1, "eps": 0.05, "weight_decay": 0.0}
        expected = journey(self.theirs, start, gradients, **options)
        got = journey(getattr(kata, self.name), start, gradients, **options)
        check.close(got, expected, **EXACT, unlike=unlike, what="parameters")


def follows_torch(ours, theirs, options):
    """Check that both optimizers take the same parameters to the same places in
    eight steps.
    """
    torch.manual_seed(0)
    start = starting_points()
    gradients = gradients_for(start)
    expected = journey(theirs, start, gradients, **options)
    check.close(
        journey(ours, start, gradients, **options),
        expected,
        **EXACT,
        what=f"parameters with {options}",
    )


RATES = st.sampled_from([0.5, 0.01])
DECAYS = st.sampled_from([0.0, 0.3])
OF_SGD = {
    "name": "SGD",
    "theirs": torch.optim.SGD,
    "options": {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.2, "nesterov": False},
    "other": {"lr": 0.03, "momentum": 0.5, "weight_decay": 0.05, "nesterov": True},
}
OF_ADAM = {
    "name": "Adam",
    "theirs": torch.optim.Adam,
    "options": {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2},
    "other": {"lr": 0.03, "betas": (0.6, 0.9), "eps": 0.1, "weight_decay": 0.05},
}


class TestSGDInit(EveryInit, InitEdges):
    name, theirs, options = OF_SGD["name"], OF_SGD["theirs"], OF_SGD["options"]
    defaults = {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False}

    @pytest.mark.edge
    def test_nesterov_needs_momentum(self, kata):
        """Nesterov looks ahead along the momentum. Without any, the switch does
        nothing: a mistake in the call.
        """
        with check.raises(ValueError):
            kata.SGD(
                [nn.Parameter(p) for p in starting_points()], lr=0.1, nesterov=True
            )


class SGDFormula:
    def test_a_plain_step_goes_down_the_gradient(self, kata):
        """p ← p − lr · g. Where nothing has moved, `p = p - lr * g` may have bound the
        name p to a new tensor and left the parameter alone: write into it instead.
        """
        start = starting_points()
        [g] = gradients_for(start, steps=1)
        expected = [p - 0.1 * d for p, d in zip(start, g, strict=True)]
        unlike = {
            "nothing has moved": start,
            "up the gradient": [p + 0.1 * d for p, d in zip(start, g, strict=True)],
            "lr was left out": [p - d for p, d in zip(start, g, strict=True)],
        }
        check.close(
            journey(kata.SGD, start, [g], lr=0.1),
            expected,
            **EXACT,
            unlike=unlike,
            what="parameters",
        )

    def test_momentum_sums_gradients_up(self, kata):
        """The buffer starts as g, then buf = momentum · buf + g. With
        (1 − momentum) · g it would be a mean, and every step ten times shorter for
        momentum 0.9.
        """
        start = starting_points()
        gradients = gradients_for(start)
        options = {"lr": 0.1, "momentum": 0.8}
        unlike = {
            "a mean of the gradients, (1 − momentum) · g": sgd_by_hand(
                start, gradients, **options, share=0.2
            ),
            "no momentum": sgd_by_hand(start, gradients, lr=0.1),
            "nesterov momentum": sgd_by_hand(
                start, gradients, **options, nesterov=True
            ),
        }
        expected = sgd_by_hand(start, gradients, **options)
        check.close(
            journey(kata.SGD, start, gradients, **options),
            expected,
            **EXACT,
            unlike=unlike,
            what="parameters",
        )

    def test_nesterov_looks_ahead(self, kata):
        """With nesterov the step is g + momentum · buf, with the buffer that already
        holds g.
        """
        start = starting_points()
        gradients = gradients_for(start)
        options = {"lr": 0.1, "momentum": 0.8, "nesterov": True}
        unlike = {
            "momentum without nesterov": sgd_by_hand(
                start, gradients, lr=0.1, momentum=0.8
            )
        }
        expected = sgd_by_hand(start, gradients, **options)
        check.close(
            journey(kata.SGD, start, gradients, **options),
            expected,
            **EXACT,
            unlike=unlike,
            what="parameters",
        )

    def test_decay_is_part_of_the_gradient(self, kata):
        """g ← g + weight_decay · p comes first, so the decay gathers momentum like the
        rest of the gradient.
        """
        start = starting_points()
        gradients = gradients_for(start)
        options = {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.3}
        beside = sgd_with_decay_beside_the_buffer(start, gradients, **options)
        unlike = {
            "no decay": sgd_by_hand(start, gradients, lr=0.1, momentum=0.8),
            "decay that does not go into the buffer": beside,
            "decay with the wrong sign": sgd_by_hand(
                start, gradients, **{**options, "weight_decay": -0.3}
            ),
        }
        expected = sgd_by_hand(start, gradients, **options)
        check.close(
            journey(kata.SGD, start, gradients, **options),
            expected,
            **EXACT,
            unlike=unlike,
            what="parameters",
        )

    @given(
        lr=RATES,
        weight_decay=DECAYS,
        momentum=st.sampled_from([0.0, 0.5, 0.9]),
        nesterov=st.booleans(),
    )
    def test_follows_torch(self, kata, lr, weight_decay, momentum, nesterov):
        """The same parameters after 8 steps as with torch.optim.SGD, whatever
        the settings.
        """
        options = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov and momentum > 0,
        }
        follows_torch(kata.SGD, torch.optim.SGD, options)


class TestSGDStep(EveryStep, SGDFormula):
    name, theirs, options, other = OF_SGD.values()


class TestSGDZeroGrad:
    def test_sets_none(self, kata):
        """None costs no memory, and the next backward pass writes where it would
        otherwise add, in all groups.
        """
        params = [nn.Parameter(p) for p in starting_points()]
        optimizer = kata.SGD([{"params": params[:1]}, {"params": params[1:]}], lr=0.1)
        for p in params[:2]:
            p.grad = torch.ones_like(p)
        optimizer.zero_grad()
        left = [i for i, p in enumerate(params) if p.grad is not None]
        check.that(
            not left, f"parameters {left} still have a gradient after zero_grad()"
        )

    def test_makes_zeros_on_request(self, kata):
        """With set_to_none=False a gradient becomes zeros; a .grad of None
        stays None.
        """
        params = [nn.Parameter(p) for p in starting_points()]
        optimizer = kata.SGD([{"params": params[:1]}, {"params": params[1:]}], lr=0.1)
        for p in params[:2]:
            p.grad = torch.ones_like(p)
        optimizer.zero_grad(set_to_none=False)
        for p in params[:2]:
            check.equal(
                p.grad,
                torch.zeros_like(p),
                what=".grad after zero_grad(set_to_none=False)",
            )
        check.that(
            params[2].grad is None,
            f"a .grad that was None is now {check.describe(params[2].grad)}",
        )


class TestAdamInit(EveryInit, InitEdges, BetasBelowOne):
    name, theirs, options = OF_ADAM["name"], OF_ADAM["theirs"], OF_ADAM["options"]
    defaults = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}


class AdamDecay:
    def test_decay_goes_through_the_moments(self, kata):
        """Adam's decay is the L2 kind: weight_decay · p is added to the gradient before
        the moments, and divided by √v̂ with it. Taken off the parameter itself it would
        be AdamW.
        """
        start = starting_points()
        gradients = gradients_for(start)
        unlike = {
            "decoupled decay, as in AdamW": adam_by_hand(
                start, gradients, 0.1, before=0.05
            ),
            "no decay": adam_by_hand(start, gradients, 0.1),
        }
        expected = adam_by_hand(start, gradients, 0.1, l2=0.5)
        got = journey(kata.Adam, start, gradients, lr=0.1, weight_decay=0.5)
        check.close(got, expected, **EXACT, unlike=unlike, what="parameters")

    @given(
        lr=RATES,
        weight_decay=DECAYS,
        beta1=st.sampled_from([0.0, 0.9]),
        beta2=st.sampled_from([0.999, 0.5]),
    )
    def test_follows_torch(self, kata, lr, weight_decay, beta1, beta2):
        """The same parameters after 8 steps as with torch.optim.Adam. β1 is for the
        mean of g, β2 for that of g².
        """
        options = {"lr": lr, "weight_decay": weight_decay, "betas": (beta1, beta2)}
        follows_torch(kata.Adam, torch.optim.Adam, options)


class TestAdamStep(EveryStep, AdamDecay, AdamFormula):
    name, theirs, options, other = OF_ADAM.values()


class AdamWDecay:
    def test_decays_by_a_hundredth_by_default(self, kata):
        """AdamW takes what Adam takes, a generator too, with the same defaults but for
        weight_decay=0.01.
        """
        [group] = kata.AdamW(nn.Parameter(p) for p in starting_points()).param_groups
        check.that(
            len(group["params"]) == 3,
            f"the group holds {len(group['params'])} parameters of a generator of 3",
        )
        for name, value in {
            "lr": 1e-3,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0.01,
        }.items():
            check.that(
                group.get(name) == value,
                f'group["{name}"] is {group.get(name)}, expected {value}',
            )

    def test_decay_is_taken_off_the_parameter(self, kata):
        """Decoupled: p · (1 − lr · weight_decay), then the Adam step with moments of
        the plain gradient. Every weight shrinks at the same rate, however large its
        gradients are.
        """
        start = starting_points()
        gradients = gradients_for(start)
        unlike = {
            "decay as part of the gradient, as in Adam": adam_by_hand(
                start, gradients, 0.1, l2=0.5
            ),
            "decay without lr": adam_by_hand(start, gradients, 0.1, before=0.5),
            "decay after the step": adam_by_hand(start, gradients, 0.1, after=0.05),
            "no decay": adam_by_hand(start, gradients, 0.1),
        }
        expected = adam_by_hand(start, gradients, 0.1, before=0.05)
        got = journey(kata.AdamW, start, gradients, lr=0.1, weight_decay=0.5)
        check.close(got, expected, **EXACT, unlike=unlike, what="parameters")

    @given(
        lr=RATES,
        weight_decay=DECAYS,
        beta1=st.sampled_from([0.0, 0.9]),
        beta2=st.sampled_from([0.999, 0.5]),
    )
    def test_follows_torch(self, kata, lr, weight_decay, beta1, beta2):
        """The same parameters after 8 steps as with torch.optim.AdamW, whatever
        the settings.
        """
        options = {"lr": lr, "weight_decay": weight_decay, "betas": (beta1, beta2)}
        follows_torch(kata.AdamW, torch.optim.AdamW, options)


class TestAdamW(InitEdges, BetasBelowOne, EveryStep, AdamWDecay, AdamFormula):
    name, theirs = "AdamW", torch.optim.AdamW
    options, other = OF_ADAM["options"], OF_ADAM["other"]


class Model(nn.Module):
    """Parameters of all numbers of dimensions, two with misleading names, a tied one
    and two frozen ones.
    """

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
        """An optimizer takes such dicts as they are: the first group decays, the second
        does not.
        """
        groups = kata.decay_groups(Model(), 0.1)
        right = isinstance(groups, list) and len(groups) == 2
        check.that(right, f"expected a list of two dicts, got {check.describe(groups)}")
        keys = [sorted(group) for group in groups]
        check.that(
            keys == [["params", "weight_decay"]] * 2,
            f'keys {keys}, expected "params" and "weight_decay"',
        )
        check.equal(
            [group["weight_decay"] for group in groups],
            [0.1, 0.0],
            what="weight_decay of the two groups",
        )

    def test_two_dimensions_or_more_decay(self, kata):
        """Matrices, embeddings and convolution kernels decay; biases, the weights of
        norms and single numbers do not. The number of dimensions decides: a matrix may
        be called "bias", and a norm calls its vector "weight". Tied weights come once,
        frozen ones not at all.
        """
        model = Model()
        decaying, rest = (
            names_in(model, group) for group in kata.decay_groups(model, 0.1)
        )
        wanted = ["bias", "words.weight", "conv.weight", "mix.weight"]
        check.that(
            sorted(decaying) == sorted(wanted),
            f"with decay: {decaying}, expected: {wanted}",
        )
        wanted = ["scale", "conv.bias", "norm.weight", "norm.bias", "mix.bias"]
        check.that(
            sorted(rest) == sorted(wanted), f"without decay: {rest}, expected: {wanted}"
        )

    def test_parameters_keep_their_order(self, kata):
        """An optimizer's checkpoint knows parameters by their position, so the order
        must not change from run to run: it is that of `model.parameters()`.
        """
        model = Model()
        position = {id(p): i for i, p in enumerate(model.parameters())}
        for group in kata.decay_groups(model, 0.1):
            places = [position.get(id(p), -1) for p in group["params"]]
            check.that(
                places == sorted(places),
                f"positions in model.parameters(): {places}, which are not in order",
            )

    def test_tied_weights_come_once(self, kata):
        """One parameter under two names is still one parameter. Listed twice, it would
        be refused by the optimizer or move twice.
        """
        model = Model()
        listed = [
            name
            for group in kata.decay_groups(model, 0.1)
            for name in names_in(model, group)
        ]
        again = sorted({name for name in listed if listed.count(name) > 1})
        check.that(not again, f"listed again: {again}")

    def test_frozen_parameters_are_in_neither(self, kata):
        """A parameter that requires no gradient is not trained, and has no place in
        an optimizer.
        """
        model = Model()
        groups = kata.decay_groups(model, 0.1)
        listed = [
            pair
            for group in groups
            for pair in zip(names_in(model, group), group["params"], strict=True)
        ]
        frozen = [name for name, parameter in listed if not parameter.requires_grad]
        check.that(not frozen, f"frozen, and listed: {frozen}")

    def test_a_list_may_be_empty(self, kata):
        """There are two dicts whatever the model has, so that the caller can rely
        on it.
        """
        for model in (nn.Linear(3, 2, bias=False), nn.LayerNorm(4), nn.ReLU()):
            groups = kata.decay_groups(model, 0.1)
            check.that(len(groups) == 2, f"{model}: {len(groups)} groups instead of 2")
            dims = [p.ndim for group in groups for p in group["params"]]
            check.that(
                dims == [p.ndim for p in model.parameters()],
                f"{model}: parameters with {dims} dimensions",
            )


def with_rates(*rates):
    """An optimizer with a group for each rate."""
    return torch.optim.SGD(
        [{"params": [nn.Parameter(torch.ones(2))], "lr": rate} for rate in rates],
        lr=1.0,
    )


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
class TestStepLRInit:
    def test_building_it_changes_no_rate(self, kata):
        """The first epoch runs at the base rate, and last_epoch is 0."""
        optimizer = with_rates(1.0, 0.2)
        schedule = kata.StepLR(optimizer, 1)
        check.close(rates_of(optimizer), [1.0, 0.2], what="rates before the first step")
        check.close(
            schedule.get_last_lr(),
            [1.0, 0.2],
            what="get_last_lr() before the first step",
        )
        check.equal(schedule.last_epoch, 0, what="last_epoch")

    @pytest.mark.edge
    def test_a_rate_holds_for_at_least_one_epoch(self, kata):
        """step_size counts epochs; 0 or fewer make no sense."""
        for step_size in (0, -2):
            with check.raises(ValueError):
                kata.StepLR(with_rates(1.0), step_size)


@pytest.mark.stretch
class TestStepLRStep:
    def test_rates_fall_every_step_size_epochs(self, kata):
        """base · gamma ** (epoch // step_size): the rate holds for step_size epochs,
        then falls. Multiplying in every call makes it fall each epoch.
        """
        optimizer = with_rates(1.0)
        got = epochs(kata.StepLR(optimizer, 3, 0.5), optimizer, 7)
        unlike = {
            "a fall in every epoch": [[0.5**k] for k in range(1, 8)],
            "gamma ** (epoch // step_size) times the present rate, not the first": [
                [0.5**k] for k in (0, 0, 1, 2, 3, 5, 7)
            ],
        }
        expected = [[1.0], [1.0], [0.5], [0.5], [0.5], [0.25], [0.25]]
        check.close(got, expected, unlike=unlike, what="rates after each epoch")

    def test_gamma_is_a_tenth_by_default(self, kata):
        """Without gamma a rate falls to a tenth."""
        optimizer = with_rates(0.5)
        check.close(
            epochs(kata.StepLR(optimizer, 1), optimizer, 2),
            [[0.05], [0.005]],
            what="rates after each epoch",
        )

    def test_last_epoch_and_get_last_lr_tell_where_it_is(self, kata):
        """`last_epoch` is the number of epochs so far; `get_last_lr()` has the current
        rate of each group.
        """
        optimizer = with_rates(1.0, 0.2)
        schedule = kata.StepLR(optimizer, 2, 0.5)
        epochs(schedule, optimizer, 5)
        check.equal(schedule.last_epoch, 5, what="last_epoch after five epochs")
        check.close(
            schedule.get_last_lr(), [0.25, 0.05], what="get_last_lr() after five epochs"
        )

    def test_param_groups_are_all_it_needs(self, kata):
        """Any optimizer will do, even your own: all that a schedule touches is the "lr"
        of its groups.
        """
        optimizer = SimpleNamespace(param_groups=[{"lr": 1.0}, {"lr": 4.0}])
        schedule = kata.StepLR(optimizer, 2, 0.5)
        schedule.step(), schedule.step()
        check.close(rates_of(optimizer), [0.5, 2.0], what="rates after two epochs")

    def test_is_written_without_torchs_own(self, kata):
        """torch.optim.lr_scheduler is what this exercise rebuilds: none of its
        schedules may make the rates, not even as a base class.
        """
        optimizer = with_rates(1.0)
        schedules = (
            "StepLR",
            "MultiStepLR",
            "LambdaLR",
            "ExponentialLR",
            "LRScheduler",
        )
        with check.forbidden(
            kata, *(f"torch.optim.lr_scheduler.{name}" for name in schedules)
        ):
            epochs(kata.StepLR(optimizer, 2), optimizer, 1)

    @given(step_size=st.integers(1, 5), gamma=st.sampled_from([0.1, 0.5, 1.0]))
    def test_two_groups_follow_torch_for_10_epochs(self, kata, step_size, gamma):
        """Every group falls from its own rate."""
        ours, theirs = with_rates(1.0, 0.2), with_rates(1.0, 0.2)
        expected = epochs(
            torch.optim.lr_scheduler.StepLR(theirs, step_size, gamma), theirs, 10
        )
        got = epochs(kata.StepLR(ours, step_size, gamma), ours, 10)
        check.close(
            got,
            expected,
            what=f"rates after each epoch with step_size {step_size} and gamma {gamma}",
        )


def resumed_after(kata, count):
    """A run with two groups that is stopped after so many epochs: a new optimizer and
    schedule, with both states.
    """
    first = with_rates(1.0, 0.2)
    schedule = kata.StepLR(first, 3, 0.5)
    epochs(schedule, first, count)
    second = with_rates(9.0, 9.0)
    second.load_state_dict(first.state_dict())
    resumed = kata.StepLR(second, 3, 0.5)
    resumed.load_state_dict(schedule.state_dict())
    return resumed, second


@pytest.mark.stretch
class TestStepLRLoadStateDict:
    def test_a_resumed_run_goes_on_as_if_never_stopped(self, kata):
        """The loaded optimizer already has rates that have fallen. Taken for base rates
        they would fall a second time.
        """
        resumed, optimizer = resumed_after(kata, 4)
        check.equal(resumed.last_epoch, 4, what="last_epoch after loading")
        check.close(
            resumed.get_last_lr(), [0.5, 0.1], what="get_last_lr() after loading"
        )
        # epochs 5 to 10
        expected = [[0.5**k, 0.2 * 0.5**k] for k in (1, 2, 2, 2, 3, 3)]
        unlike = {
            "fallen rates taken for base rates": [
                [0.5 * 0.5**k, 0.1 * 0.5**k] for k in (1, 2, 2, 2, 3, 3)
            ],
            "epochs counted from 0 again": [
                [0.5 * 0.5**k, 0.1 * 0.5**k] for k in (0, 0, 1, 1, 1, 2)
            ],
        }
        check.close(
            epochs(resumed, optimizer, 6),
            expected,
            unlike=unlike,
            what="rates after each epoch",
        )

    @given(stop=st.integers(0, 7))
    def test_it_does_not_matter_where_the_run_stops(self, kata, stop):
        """Stopped after any number of epochs and resumed, a run has the rates of one
        that never stopped.
        """
        optimizer = with_rates(1.0, 0.2)
        whole = epochs(kata.StepLR(optimizer, 3, 0.5), optimizer, 8)
        got = epochs(*resumed_after(kata, stop), 8 - stop)
        check.close(
            got,
            whole[stop:],
            what=f"rates after epoch {stop + 1} and later, stopped after {stop}",
        )

    @pytest.mark.edge
    def test_a_saved_state_is_a_snapshot(self, kata):
        """A checkpoint kept in memory may be edited for another run. Its lists are its
        own, whatever it calls them.
        """
        first, second = with_rates(1.0), with_rates(1.0)
        schedule, resumed = kata.StepLR(first, 2, 0.5), kata.StepLR(second, 2, 0.5)
        epochs(schedule, first, 1)
        saved = schedule.state_dict()
        resumed.load_state_dict(saved)
        for kept in saved.values():
            if isinstance(kept, list):
                kept[:] = [9.0] * len(kept)
        saved.clear()
        check.equal(
            resumed.last_epoch, 1, what="last_epoch of a state taken after one epoch"
        )
        unlike = {"the state's own list of base rates": [[4.5], [4.5], [2.25]]}
        check.close(
            epochs(resumed, second, 3),
            [[0.5], [0.5], [0.25]],
            unlike=unlike,
            what="rates after each epoch",
        )


class TestClipGradNorm:
    def test_the_norm_is_that_of_all_gradients_together(self, kata):
        """All gradients are one long vector: [3, 0] and [[4]] have the
        norm √(9 + 16) = 5.
        """
        params = with_gradients([3.0, 0.0], [[4.0]])
        unlike = {
            "the sum of the norms": torch.tensor(7.0),
            "the largest of the norms": torch.tensor(4.0),
        }
        unlike["the square of the norm"] = torch.tensor(25.0)
        got = kata.clip_grad_norm(params, 100.0)
        check.close(got, torch.tensor(5.0), unlike=unlike, what="returned norm")

    def test_all_gradients_shrink_by_one_factor(self, kata):
        """Norm 5, limit 2: everything times 2/5, so that the direction of the step
        stays. Clipping each tensor by itself would leave [1, 0] alone and turn
        the step.
        """
        params = with_gradients([[3.0, 0.0]], [4.0], [0.0])
        kata.clip_grad_norm(params, 2.0)
        expected = [
            torch.tensor([[1.2, 0.0]]),
            torch.tensor([1.6]),
            torch.tensor([0.0]),
        ]
        unlike = {
            "each tensor clipped by itself": [
                torch.tensor([[2.0, 0.0]]),
                torch.tensor([2.0]),
                torch.tensor([0.0]),
            ],
            "not clipped": [
                torch.tensor([[3.0, 0.0]]),
                torch.tensor([4.0]),
                torch.tensor([0.0]),
            ],
        }
        check.close(grads(params), expected, rtol=1e-5, unlike=unlike, what="gradients")

    def test_the_returned_norm_is_the_one_before(self, kata):
        """The norm before clipping tells whether training is going wild. After clipping
        it would never say more than max_norm.
        """
        params = with_gradients([3.0, 0.0], [[4.0]])
        unlike = {"the norm after clipping": torch.tensor(2.0)}
        check.close(
            kata.clip_grad_norm(params, 2.0),
            torch.tensor(5.0),
            unlike=unlike,
            what="returned norm",
        )

    def test_short_gradients_are_not_stretched(self, kata):
        """Only a norm above the limit is cut. max_norm / norm that is not limited to 1
        makes short gradients longer.
        """
        params = with_gradients([3.0, 0.0], [[4.0]])
        kata.clip_grad_norm(params, 10.0)
        unlike = {
            "stretched to max_norm": [torch.tensor([6.0, 0.0]), torch.tensor([[8.0]])]
        }
        check.close(
            grads(params),
            [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])],
            unlike=unlike,
            what="gradients",
        )

    def test_norm_types_follow_the_definition(self, kata):
        """1 sums the absolute values, 2 is the root of the sum of squares, inf takes
        the largest absolute value.
        """
        shapes = [(2, 3), (4,), (5,)]
        for norm_type in (1.0, 2.0, math.inf):
            gradients = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
            params = with_gradients(*[g.tolist() for g in gradients])
            flat = torch.cat([g.flatten() for g in gradients]).abs()
            norm = {
                1.0: flat.sum(),
                2.0: flat.square().sum().sqrt(),
                math.inf: flat.max(),
            }[norm_type]
            got = kata.clip_grad_norm(params, 0.5, norm_type=norm_type)
            check.close(got, norm, rtol=1e-6, what=f"norm of type {norm_type}")
            expected = [g * 0.5 / norm for g in gradients]
            check.close(
                grads(params), expected, rtol=1e-4, what=f"gradients, type {norm_type}"
            )

    def test_gradients_are_written_in_place(self, kata):
        """The gradient may be shared with others, so it stays the same tensor object.
        Parameters are not touched.
        """
        params = with_gradients([3.0, 0.0], [[4.0]])
        before, values = grads(params), [p.detach().clone() for p in params]
        kata.clip_grad_norm(params, 2.0)
        check.that(
            all(p.grad is g for p, g in zip(params, before, strict=True)),
            ".grad is a new tensor",
        )
        check.close(
            before,
            [torch.tensor([1.2, 0.0]), torch.tensor([[1.6]])],
            rtol=1e-5,
            what="the gradients given",
        )
        check.equal([p.detach() for p in params], values, what="the parameters")

    def test_generators_and_parameters_without_gradient(self, kata):
        """`model.parameters()` can be walked through once only: a second loop for the
        scaling would find nothing. Layers that took no part in the loss have `.grad`
        None, and keep it.
        """
        params = with_gradients([3.0, 0.0], None, [[4.0]])
        check.close(
            kata.clip_grad_norm((p for p in params), 2.0),
            torch.tensor(5.0),
            what="returned norm",
        )
        check.that(
            params[1].grad is None,
            f"a .grad that was None is now {check.describe(params[1].grad)}",
        )
        got = [params[0].grad, params[2].grad]
        check.close(
            got,
            [torch.tensor([1.2, 0.0]), torch.tensor([[1.6]])],
            rtol=1e-5,
            what="gradients",
        )

    def test_written_without_torchs_own(self, kata):
        """torch.nn.utils is what this exercise rebuilds."""
        names = (
            "clip_grad_norm_",
            "clip_grad.clip_grad_norm_",
            "get_total_norm",
            "clip_grads_with_norm_",
        )
        with check.forbidden(kata, *(f"torch.nn.utils.{name}" for name in names)):
            kata.clip_grad_norm(with_gradients([3.0, 0.0], [[4.0]]), 2.0)

    @given(
        sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
        max_norm=st.sampled_from([0.1, 1.0, 10.0]),
    )
    def test_no_norm_is_longer_than_the_limit(self, kata, sizes, max_norm):
        """Afterwards the norm is the smaller of the old norm and the limit, and all
        gradients have kept their direction: one factor for all.
        """
        gradients = [torch.sin(torch.arange(1.0, size + 1)) for size in sizes]
        params = with_gradients(*[g.tolist() for g in gradients])
        norm = torch.cat(gradients).double().norm()
        factor = min(1.0, max_norm / norm.item())
        check.close(
            kata.clip_grad_norm(params, max_norm), norm, rtol=1e-5, what="returned norm"
        )
        check.close(
            grads(params),
            [g * factor for g in gradients],
            rtol=1e-4,
            what=f"gradients of sizes {sizes}",
        )

    @pytest.mark.edge
    def test_params_may_be_one_tensor(self, kata):
        """A tensor is an iterable of its rows, which have no gradient of their own.
        Here it is the one parameter.
        """
        [p] = with_gradients([[3.0, 0.0], [0.0, 4.0]])
        check.close(
            kata.clip_grad_norm(p, 2.0), torch.tensor(5.0), what="returned norm"
        )
        check.close(
            p.grad, torch.tensor([[1.2, 0.0], [0.0, 1.6]]), rtol=1e-5, what="gradient"
        )

    @pytest.mark.edge
    def test_without_any_gradient_the_norm_is_zero(self, kata):
        """Having no gradient is no error: the vector is empty, and its norm is 0 in
        every type.
        """
        for params in (with_gradients(None, None), []):
            for norm_type in (2.0, math.inf):
                got = kata.clip_grad_norm(params, 2.0, norm_type=norm_type)
                check.close(got, torch.tensor(0.0), what="returned norm")

    @pytest.mark.edge
    def test_a_wild_norm_is_returned_unless_asked_otherwise(self, kata):
        """A norm of inf or NaN is an answer, too: by default it is returned for the
        caller to judge.
        """
        for bad in (math.inf, math.nan):
            got = kata.clip_grad_norm(with_gradients([1.0, 0.0], [bad]), 2.0)
            check.close(got, torch.tensor(bad), what="returned norm", finite=False)

    @pytest.mark.edge
    def test_a_wild_norm_is_an_error_on_request(self, kata):
        """error_if_nonfinite stops before anything is scaled: the gradients are still
        there to look at, the good ones too. A finite norm is no error.
        """
        for bad in (math.inf, math.nan):
            params = with_gradients([30.0, -7.0], [[bad]])
            with check.raises(RuntimeError):
                kata.clip_grad_norm(params, 2.0, error_if_nonfinite=True)
            expected = [torch.tensor([30.0, -7.0]), torch.tensor([[bad]])]
            check.close(
                grads(params), expected, what="gradients after the error", finite=False
            )
        params = with_gradients([3.0, 0.0], [[4.0]])
        check.close(
            kata.clip_grad_norm(params, 2.0, error_if_nonfinite=True),
            torch.tensor(5.0),
            what="returned norm",
        )

    @pytest.mark.edge
    def test_the_limit_is_above_zero(self, kata):
        """A limit of 0 would wipe out every gradient, and a negative one would
        reverse them.
        """
        for max_norm in (0.0, -1.0):
            with check.raises(ValueError):
                kata.clip_grad_norm(with_gradients([3.0, 0.0]), max_norm)


class TestClipGradValue:
    def test_every_element_is_cut_off_at_the_limit(self, kata):
        """Elements beyond ±2 become ±2, the others stay: [-5, 1, 3]
        becomes [-2, 1, 2].
        """
        params = with_gradients([-5.0, 1.0, 3.0], [[-1.5, 2.5]])
        kata.clip_grad_value(params, 2.0)
        unlike = {
            "only the upper side is cut": [
                torch.tensor([-5.0, 1.0, 2.0]),
                torch.tensor([[-1.5, 2.0]]),
            ],
            "scaled, not cut": [
                torch.tensor([-2.0, 0.4, 1.2]),
                torch.tensor([[-0.6, 1.0]]),
            ],
            "nothing has changed": [
                torch.tensor([-5.0, 1.0, 3.0]),
                torch.tensor([[-1.5, 2.5]]),
            ],
        }
        expected = [torch.tensor([-2.0, 1.0, 2.0]), torch.tensor([[-1.5, 2.0]])]
        check.close(grads(params), expected, unlike=unlike, what="gradients")

    def test_gradients_are_written_in_place(self, kata):
        """The gradient stays the same tensor object, and the parameters are
        not touched.
        """
        params = with_gradients([-5.0, 1.0, 3.0])
        before, values = grads(params), [p.detach().clone() for p in params]
        kata.clip_grad_value(params, 0.5)
        check.that(params[0].grad is before[0], ".grad is a new tensor")
        check.close(before, [torch.tensor([-0.5, 0.5, 0.5])], what="the gradient given")
        check.equal([p.detach() for p in params], values, what="the parameters")

    def test_generators_and_parameters_without_gradient(self, kata):
        """`params` may be whatever clip_grad_norm takes, and parameters without a
        gradient are skipped.
        """
        params = with_gradients([-5.0, 1.0], None, [[3.0]])
        kata.clip_grad_value((p for p in params), 2.0)
        expected = [torch.tensor([-2.0, 1.0]), torch.tensor([[2.0]])]
        check.close([params[0].grad, params[2].grad], expected, what="gradients")
        check.that(
            params[1].grad is None,
            f"a .grad that was None is now {check.describe(params[1].grad)}",
        )

    def test_written_without_torchs_own(self, kata):
        """torch.nn.utils is what this exercise rebuilds."""
        names = (
            "torch.nn.utils.clip_grad_value_",
            "torch.nn.utils.clip_grad.clip_grad_value_",
        )
        with check.forbidden(kata, *names):
            kata.clip_grad_value(with_gradients([3.0, 0.0]), 2.0)

    @pytest.mark.edge
    def test_params_may_be_one_tensor(self, kata):
        """A single tensor is the one parameter, not an iterable of its rows."""
        [p] = with_gradients([[-5.0, 1.0], [3.0, 0.0]])
        kata.clip_grad_value(p, 2.0)
        check.close(
            p.grad,
            torch.tensor([[-2.0, 1.0], [2.0, 0.0]]),
            what="gradient of the single tensor",
        )

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
        got = [
            kata.batch_size_schedule(t, start=4, end=20, ramp_tokens=1024)
            for t in (0, 256, 512, 768)
        ]
        unlike = {
            "from 0 instead of start": [0, 5, 10, 15],
            "from 0 to end, added to start": [4, 9, 14, 19],
        }
        check.equal(
            got,
            [4, 8, 12, 16],
            unlike=unlike,
            what="sizes at 0, 1/4, 1/2, 3/4 of the ramp",
        )

    def test_sizes_are_rounded_down(self, kata):
        """Half a sequence cannot be trained on, and the batch has not grown before the
        whole one is due: 4.75 is 4.
        """
        got = [
            kata.batch_size_schedule(t, start=4, end=8, ramp_tokens=1024)
            for t in (192, 255, 256, 1023)
        ]
        check.equal(
            got,
            [4, 4, 5, 7],
            unlike={"rounded to the nearest": [5, 5, 5, 8]},
            what="sizes",
        )

    def test_sizes_on_the_ramp_are_multiples(self, kata):
        """A batch is shared out among devices or micro-batches, so on the ramp it is
        rounded down to a multiple.
        """
        options = {"start": 16, "end": 48, "ramp_tokens": 1024, "multiple_of": 8}
        got = [
            kata.batch_size_schedule(t, **options)
            for t in (0, 255, 256, 500, 511, 512, 1023)
        ]
        unlike = {
            "not rounded to multiples": [16, 23, 24, 31, 31, 32, 47],
            "rounded up": [16, 24, 24, 32, 32, 32, 48],
        }
        check.equal(got, [16, 16, 24, 24, 24, 32, 40], unlike=unlike, what="sizes")

    def test_never_below_the_start(self, kata):
        """Rounding down from a start that is no multiple must not go below it."""
        options = {"start": 6, "end": 32, "ramp_tokens": 1024, "multiple_of": 8}
        got = [kata.batch_size_schedule(t, **options) for t in (0, 64, 78, 79)]
        unlike = {
            "rounded below start": [0, 0, 0, 8],
            "multiples counted from start": [6, 6, 6, 6],
        }
        check.equal(got, [6, 6, 6, 8], unlike=unlike, what="sizes")

    def test_the_end_is_exact(self, kata):
        """Once the ramp is over the size is `end` and stays there, a multiple
        or not.
        """
        options = {"start": 8, "end": 30, "ramp_tokens": 1024, "multiple_of": 8}
        for tokens in (1024, 1025, 10**9):
            got = kata.batch_size_schedule(tokens, **options)
            check.equal(
                got,
                30,
                unlike={"rounded down to a multiple": 24},
                what=f"size at {tokens} tokens",
            )

    @given(start=st.integers(1, 9), more=st.integers(0, 30), multiple=st.integers(1, 6))
    def test_the_size_never_falls(self, kata, start, more, multiple):
        """More tokens never make the batch smaller, for any start, end and multiple;
        sizes are plain ints between start and end.
        """
        options = {
            "start": start,
            "end": start + more,
            "ramp_tokens": 100,
            "multiple_of": multiple,
        }
        sizes = [kata.batch_size_schedule(t, **options) for t in range(0, 121, 5)]
        check.that(
            all(type(size) is int for size in sizes), f"not all sizes are ints: {sizes}"
        )
        check.that(sizes == sorted(sizes), f"sizes fall: {sizes}, with {options}")
        inside = start <= min(sizes) and max(sizes) == start + more
        check.that(
            inside, f"sizes leave {start} to {start + more}: {sizes}, with {options}"
        )

    @pytest.mark.edge
    def test_without_a_ramp_it_is_the_end(self, kata):
        """ramp_tokens=0 asks for the full size from the first token on, and divides
        by nothing.
        """
        for tokens in (0, 5):
            got = kata.batch_size_schedule(tokens, start=2, end=7, ramp_tokens=0)
            check.equal(got, 7, what=f"size at {tokens} tokens")

    @pytest.mark.edge
    def test_the_sizes_are_in_order(self, kata):
        """A batch holds at least one sequence, and the end is not below the start."""
        for start, end in ((0, 4), (-1, 4), (5, 4)):
            with check.raises(ValueError):
                kata.batch_size_schedule(10, start=start, end=end, ramp_tokens=100)
