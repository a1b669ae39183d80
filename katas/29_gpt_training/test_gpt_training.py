"""Specs of 29: the rate, decay groups, growing batches, one step of several batches,
evaluation, one batch learned by heart, checkpoints, a whole run.
"""

import copy
import math
import pickle
import re
from dataclasses import asdict
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from grader.specs import check

CURVE = {"max_lr": 0.5, "min_lr": 0.1, "warmup_steps": 4, "max_steps": 12}
SIZES = {
    "block_size": 7,
    "vocab_size": 11,
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 12,
    "dropout": 0.0,
    "bias": True,
}
LR = 0.2


def gpt(kata, **options):
    """A small GPT in float64, with weights so large that no gradient is tiny."""
    model = kata.GPT(kata.GPTConfig(**{**SIZES, **options})).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def batch(rows=3, length=5, generator=None):
    """x and y (rows, length), at random."""
    x, y = torch.randint(SIZES["vocab_size"], (2, rows, length), generator=generator)
    return x, y


class Stream:
    """An endless loader in memory: batches by number. It remembers how many it
    has given.
    """

    def __init__(self, **sizes):
        self.given, self.sizes = 0, sizes

    def next_batch(self):
        self.given += 1
        return batch(
            **self.sizes, generator=torch.Generator().manual_seed(99 + self.given)
        )

    def state_dict(self):
        return {"given": self.given}

    def load_state_dict(self, state):
        self.given = state["given"]


class Traveller(torch.Tensor):
    """A tensor that records where it is sent. It does not go there, since that device
    may not exist.
    """

    sent: list[str] = []

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name, kwargs = function.__name__, kwargs or {}
        if name not in ("to", "cuda", "cpu"):
            return super().__torch_function__(function, types, args, kwargs)
        cls.sent.append(
            torch.device(
                [*args[1:], *kwargs.values()][0] if name == "to" else name
            ).type
        )
        return args[0].as_subclass(torch.Tensor)


def travellers():
    return tuple(tensor.as_subclass(Traveller) for tensor in batch())


class Departures(Stream):
    """Batches that record where they are sent."""

    def next_batch(self):
        return tuple(tensor.as_subclass(Traveller) for tensor in super().next_batch())


class OnGpu(Stream):
    """The same batches, on the GPU."""

    def next_batch(self):
        return tuple(tensor.cuda() for tensor in super().next_batch())


class Killed(Exception):
    """The run has been interrupted."""


class Mortal(Stream):
    """A loader that raises after some batches."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def next_batch(self):
        if not self.left:
            raise Killed
        self.left -= 1
        return super().next_batch()


def weights(model):
    """A copy of all parameters of a model as one vector."""
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


def by_name(model):
    return {
        name: p.detach().clone().requires_grad_()
        for name, p in model.named_parameters()
    }


def flat(values):
    return torch.cat([v.detach().flatten() for v in values])


def mean_loss(parameters, model, batches):
    """The mean over all targets of all batches but those that are −100, from the logits
    alone, in eval mode.
    """
    mode, total, count = model.training, 0.0, 0
    model.eval()
    for x, y in batches:
        logits = functional_call(model, parameters, (x,))[0]
        picked = logits.log_softmax(-1).gather(-1, y.clamp(min=0)[..., None])[..., 0]
        total, count = total - picked[y != -100].sum(), count + int((y != -100).sum())
    model.train(mode)
    return total / count


def by_hand(
    start,
    model,
    batches,
    lr=LR,
    max_norm=None,
    divide=True,
    each=False,
    kept=0.0,
    by_value=False,
):
    """One step of plain gradient descent from the weights `start` (by name): the new
    weights, the mean loss and the norm before clipping. The options make mistakes:
    gradients summed
    up (`divide`), clipped after each batch (`each`), added to old ones (`kept`), each
    element clipped (`by_value`).
    """
    total, losses = [torch.full_like(p, kept) for p in start.values()], []
    for one in batches:
        loss = mean_loss(start, model, [one])
        losses.append(loss.item())
        share = len(batches) if divide else 1
        total = [
            t + g / share
            for t, g in zip(
                total, torch.autograd.grad(loss, list(start.values())), strict=True
            )
        ]
        norm = flat(total).norm().item()
        if each:
            total = [g * min(1.0, max_norm / norm) for g in total]
    norm = flat(total).norm().item()
    if max_norm is not None and by_value:
        total = [g.clamp(-max_norm, max_norm) for g in total]
    elif max_norm is not None:
        total = [g * min(1.0, max_norm / norm) for g in total]
    now = {
        name: (p - lr * g).detach().requires_grad_()
        for (name, p), g in zip(start.items(), total, strict=True)
    }
    return now, sum(losses) / len(losses), norm


def one_after_the_other(start, model, batches, **options):
    """An update for each batch: the mistake of a step inside the loop."""
    for one in batches:
        start = by_hand(start, model, [one], **options)[0]
    return start


def sgd(model, lr=LR):
    return torch.optim.SGD(model.parameters(), lr=lr)


def watch(model, what):
    """A list to which every pass through the model appends `what()`."""
    seen = []
    model.transformer["drop"].register_forward_pre_hook(lambda *_: seen.append(what()))
    return seen


def plain_float(value, what):
    check.that(
        type(value) is float,
        f"{what} should be a plain float, got {check.describe(value)}, {type(value)}",
    )


@st.composite
def curves(draw):
    """The four numbers of a run; the warm-up ends before it."""
    max_steps = draw(st.integers(1, 20))
    warmup_steps = draw(st.integers(0, max_steps - 1))
    return {
        "max_lr": 0.5,
        "min_lr": 0.125,
        "warmup_steps": warmup_steps,
        "max_steps": max_steps,
    }


class TestCosineLr:
    def test_the_rise_is_a_straight_line(self, kata):
        """Four warm-up steps go up in quarters of max_lr, and the first of them is not
        0: (step + 1) / warmup_steps. At rate 0 the first batch would be wasted.
        """
        got = [kata.cosine_lr(step, **CURVE) for step in range(4)]
        unlike = {"step / warmup_steps, which begins at 0": [0.0, 0.125, 0.25, 0.375]}
        check.close(
            got, [0.125, 0.25, 0.375, 0.5], unlike=unlike, what="rates of steps 0 to 3"
        )

    def test_the_cosine_starts_at_the_top(self, kata):
        """The cosine begins at step = warmup_steps, so the rate there is max_lr. Count
        its way from the end of the warm-up: counted from step 0, a third of it would be
        over by then.
        """
        unlike = {
            "the way counted from step 0": 0.1 + 0.4 * math.cos(math.pi / 6) ** 2,
            "one share too many": 0.625,
        }
        check.close(
            kata.cosine_lr(4, **CURVE), 0.5, unlike=unlike, what="rate of step 4"
        )

    def test_between_it_is_half_a_cosine(self, kata):
        """From max_lr to min_lr the rate falls slowly, then fast, then slowly. Halfway
        it is the mean of the two, and after a quarter of the way it is still above
        three quarters.
        """
        got = [kata.cosine_lr(step, **CURVE) for step in range(4, 12)]
        expected = [0.5 - 0.4 * math.sin(math.pi / 2 * i / 8) ** 2 for i in range(8)]
        unlike = {
            "a straight line": [0.5 - 0.4 * i / 8 for i in range(8)],
            "a cosine that ends at 0, not at min_lr": [
                0.5 - 0.5 * math.sin(math.pi / 2 * i / 8) ** 2 for i in range(8)
            ],
            "the way counted from step 0": [
                0.5 - 0.4 * math.sin(math.pi / 2 * i / 12) ** 2 for i in range(4, 12)
            ],
            "min_lr added on top": [
                0.6 - 0.5 * math.sin(math.pi / 2 * i / 8) ** 2 for i in range(8)
            ],
        }
        check.close(got, expected, unlike=unlike, what="rates of steps 4 to 11")

    def test_from_the_end_on_it_stays_at_min_lr(self, kata):
        """From max_steps on the rate is exactly min_lr. A cosine that is not stopped
        comes up again.
        """
        steps = (12, 13, 20, 1000)
        got = [kata.cosine_lr(step, **CURVE) for step in steps]
        unlike = {
            "a cosine that comes up again": [
                0.5 - 0.4 * math.sin(math.pi / 2 * (i - 4) / 8) ** 2 for i in steps
            ]
        }
        check.close(
            got, [0.1] * 4, unlike=unlike, what="rates of steps 12, 13, 20 and 1000"
        )
        check.equal(got, [0.1] * 4, what="rates of steps 12, 13, 20 and 1000")

    @given(curve=curves(), step=st.integers(0, 40))
    def test_any_run_has_its_curve(self, kata, curve, step):
        """Whatever the numbers, also without a warm-up: up, down along the cosine,
        and flat.
        """
        warmup, last = curve["warmup_steps"], curve["max_steps"]
        way = min(max(step - warmup, 0) / (last - warmup), 1.0)
        down = (
            curve["min_lr"]
            + (curve["max_lr"] - curve["min_lr"]) * math.cos(math.pi / 2 * way) ** 2
        )
        up = curve["max_lr"] * (step + 1) / max(warmup, 1)
        check.close(kata.cosine_lr(step, **curve), up if step < warmup else down)

    @pytest.mark.edge
    @pytest.mark.parametrize("warmup_steps", [-1, 12, 13])
    def test_the_warm_up_ends_before_the_run(self, kata, warmup_steps):
        """A negative warm-up is a mistake, and so is one that takes the whole run: no
        step would be left for the way down.
        """
        with check.raises(ValueError):
            kata.cosine_lr(3, **{**CURVE, "warmup_steps": warmup_steps})


def names_in(group, model):
    """The names of a group's parameters in the model, sorted."""
    names = {id(p): name for name, p in model.named_parameters()}
    return sorted(names.get(id(p), "a stranger") for p in group["params"])


def same_names(found, wanted, what):
    """The same names, each once; otherwise says which are missing, too many, or there
    more than once.
    """
    missing, strangers = (
        sorted(set(wanted) - set(found)),
        sorted(set(found) - set(wanted)),
    )
    twice = sorted({name for name in found if found.count(name) > 1})
    wrong = {
        "missing": missing,
        "should not be there": strangers,
        "more than once": twice,
    }
    said = "; ".join(
        f"{label}: {', '.join(names[:4])}{' …' * (len(names) > 4)}"
        for label, names in wrong.items()
        if names
    )
    check.that(not said, f"{what}: {said}")


def two_groups(groups):
    """(with decay, without), whichever order they come in."""
    right = (
        isinstance(groups, list)
        and len(groups) == 2
        and all({"params", "weight_decay"} <= set(g) for g in groups)
    )
    check.that(
        right,
        "wanted two dicts with 'params' and 'weight_decay', got "
        f"{check.describe(groups)}",
    )
    return sorted(groups, key=lambda group: -group["weight_decay"])


class TestParamGroups:
    def test_matrices_decay_and_the_rest_does_not(self, kata):
        """Smaller matrices (linear layers and embeddings) make a simpler model, so they
        decay. Biases and the weights of norms are levels for which 0 is nothing
        special. The number of dimensions tells them apart.
        """
        model = gpt(kata)
        decay, rest = two_groups(kata.param_groups(model, 0.3))
        check.close(
            [decay["weight_decay"], rest["weight_decay"]],
            [0.3, 0.0],
            what="the decays of the groups",
        )
        wanted = [name for name, p in model.named_parameters() if len(p.shape) > 1]
        others = [name for name, p in model.named_parameters() if len(p.shape) <= 1]
        same_names(sorted(set(names_in(decay, model))), wanted, "parameters that decay")
        same_names(sorted(set(names_in(rest, model))), others, "parameters that do not")

    def test_the_shared_weight_is_there_once(self, kata):
        """wte and lm_head are one Parameter under two names. `parameters()` gives it
        once; the state dict and a walk through the modules give it twice. An optimizer
        would refuse it or move it twice.
        """
        model = gpt(kata)
        groups = kata.param_groups(model, 0.1)
        count = sum(
            p is model.lm_head.weight for group in groups for p in group["params"]
        )
        check.that(
            count == 1, f"the weight of wte and lm_head is in the groups {count} times"
        )

    def test_frozen_parameters_are_left_out(self, kata):
        """A parameter with `requires_grad` False gets no gradient and must not
        decay either.
        """
        model = gpt(kata)
        model.transformer["wpe"].weight.requires_grad_(False)
        model.transformer["ln_f"].bias.requires_grad_(False)
        found = [
            name
            for group in kata.param_groups(model, 0.1)
            for name in names_in(group, model)
        ]
        same_names(
            found,
            [n for n, p in model.named_parameters() if p.requires_grad],
            "parameters in the groups",
        )

    def test_any_module_and_empty_groups(self, kata):
        """Dimensions decide, not names, so any module will do: a convolution's weight
        has four dimensions and decays. A model without vectors has an empty group.
        """
        model = torch.nn.Sequential(
            torch.nn.Conv2d(2, 3, 5, bias=False), torch.nn.Linear(3, 4, bias=False)
        )
        decay, rest = two_groups(kata.param_groups(model, 0.2))
        check.equal(
            [len(decay["params"]), len(rest["params"])],
            [2, 0],
            what="sizes of the groups",
        )
        misnamed = torch.nn.ParameterDict(
            {"ln_bias": torch.zeros(3, 4), "weight": torch.zeros(5)}
        )
        decay, rest = two_groups(kata.param_groups(misnamed, 0.2))
        same_names(
            names_in(decay, misnamed),
            ["ln_bias"],
            "parameters of (3, 4) ln_bias and (5,) weight that decay",
        )
        same_names(
            names_in(rest, misnamed),
            ["weight"],
            "parameters of (3, 4) ln_bias and (5,) weight that do not",
        )


class TestMakeOptimizer:
    def test_adamw_with_two_groups(self, kata):
        """The optimizer is torch's AdamW over the two groups: weight_decay for
        matrices, 0 for the rest. With `model.parameters()` and one weight_decay, biases
        and norms would decay too.
        """
        model = gpt(kata)
        optimizer = kata.make_optimizer(model, lr=0.02, weight_decay=0.3)
        check.that(
            isinstance(optimizer, torch.optim.AdamW),
            f"wanted torch.optim.AdamW, got {type(optimizer)}",
        )
        decay, rest = two_groups(optimizer.param_groups)
        check.close(
            [decay["weight_decay"], rest["weight_decay"]],
            [0.3, 0.0],
            what="the decays of the groups",
        )
        same_names(
            names_in(decay, model),
            [n for n, p in model.named_parameters() if p.ndim > 1],
            "parameters that decay",
        )
        same_names(
            names_in(rest, model),
            [n for n, p in model.named_parameters() if p.ndim < 2],
            "parameters that do not",
        )

    def test_every_setting_arrives(self, kata):
        """lr, betas and eps apply to both groups."""
        for group in kata.make_optimizer(
            gpt(kata), 0.02, betas=(0.7, 0.8), eps=1e-6
        ).param_groups:
            found = {name: group[name] for name in ("lr", "betas", "eps")}
            check.close(
                found,
                {"lr": 0.02, "betas": (0.7, 0.8), "eps": 1e-6},
                atol=0,
                what="a group's",
            )

    def test_the_defaults_are_gpt3s(self, kata):
        """By default the decay is 0.1, betas are (0.9, 0.95) and eps is 1e-8. PyTorch's
        own defaults are different.
        """
        optimizer = kata.make_optimizer(gpt(kata), 0.02)
        groups = two_groups(optimizer.param_groups)
        found = [
            {name: group[name] for name in ("weight_decay", "betas", "eps")}
            for group in groups
        ]
        settings = {"betas": (0.9, 0.95), "eps": 1e-8}
        check.close(
            found,
            [{"weight_decay": 0.1, **settings}, {"weight_decay": 0.0, **settings}],
            atol=0,
            what="group",
        )

    def test_fused_is_passed_on(self, kata):
        """`fused=True` selects AdamW's single kernel; the default is False."""
        for fused in (True, False):
            groups = kata.make_optimizer(gpt(kata), 0.02, fused=fused).param_groups
            check.equal(
                [bool(group["fused"]) for group in groups],
                [fused] * 2,
                what=f"group['fused'] for fused={fused}",
            )
        plain = kata.make_optimizer(gpt(kata), 0.02).param_groups
        check.equal(
            [bool(group["fused"]) for group in plain],
            [False] * 2,
            what="group['fused'] by default",
        )


@pytest.mark.stretch
class TestBatchSizeAt:
    def test_a_straight_line_from_start_to_full(self, kata):
        """At 0 tokens the size is start, halfway the mean of both, at the end full."""
        got = [
            kata.batch_size_at(tokens, start=8, full=40, ramp_tokens=1024)
            for tokens in (0, 256, 512, 1024)
        ]
        unlike = {
            "the rise starts at 0": [0, 10, 20, 40],
            "start comes on top": [8, 18, 28, 48],
            "full from the first token on": [40] * 4,
            "start until the ramp is over": [8, 8, 8, 40],
        }
        check.equal(
            got,
            [8, 16, 24, 40],
            unlike=unlike,
            what="sizes at 0, 256, 512 and 1024 tokens",
        )

    def test_rounded_down_to_a_multiple(self, kata):
        """On the ramp the size is a multiple of `multiple`, rounded *down*. From its
        end on the size is full.
        """
        sizes = [
            kata.batch_size_at(tokens, 16, 48, 1024, multiple=8)
            for tokens in (255, 256, 511, 850)
        ]
        unlike = {
            "rounded to the nearest": [24, 24, 32, 40],
            "rounded up": [24, 24, 32, 48],
        }
        check.equal(
            sizes,
            [16, 24, 24, 40],
            unlike=unlike,
            what="sizes at 255, 256, 511 and 850 tokens",
        )
        ends = [
            kata.batch_size_at(tokens, 16, 50, 1024, multiple=8)
            for tokens in (1023, 1024)
        ]
        check.equal(
            ends,
            [48, 50],
            unlike={"full is rounded, too": [48, 48]},
            what="sizes at 1023 and 1024 tokens",
        )

    def test_never_below_start(self, kata):
        """start itself need not be a multiple: from 10, in steps of 8, rounding down
        would give 8, which is less than the run began with.
        """
        got = [
            kata.batch_size_at(tokens, 10, 42, 1024, multiple=8)
            for tokens in (0, 32, 192)
        ]
        check.equal(
            got,
            [10, 10, 16],
            unlike={"below start": [8, 8, 16]},
            what="sizes at 0, 32 and 192 tokens",
        )

    @given(
        seen=st.integers(0, 1200),
        start=st.integers(1, 20),
        more=st.integers(0, 30),
        multiple=st.integers(1, 9),
    )
    def test_any_ramp_is_rounded_down(self, kata, seen, start, more, multiple):
        """On the ramp the size is the largest multiple below the line, or start; after
        it exactly full, not rounded.
        """
        got = kata.batch_size_at(seen, start, start + more, 1000, multiple=multiple)
        line = start + Fraction(more * seen, 1000)
        expected = (
            start + more
            if seen >= 1000
            else max([start, *range(0, math.floor(line) + 1, multiple)])
        )
        check.equal(got, expected)

    @pytest.mark.edge
    def test_without_a_ramp(self, kata):
        """ramp_tokens of 0 or less means full at once, with nothing divided by 0."""
        got = [
            kata.batch_size_at(tokens, 8, 40, ramp)
            for tokens in (0, 10)
            for ramp in (0, -5)
        ]
        check.equal(got, [40] * 4)

    @pytest.mark.edge
    def test_the_sizes_are_in_order(self, kata):
        """1 ≤ start ≤ full; both may be the same."""
        for start, full in ((0, 8), (-2, 8), (9, 8)):
            with check.raises(ValueError):
                kata.batch_size_at(10, start, full, 1024)
        check.equal(
            [kata.batch_size_at(10, 1, 1, 1024), kata.batch_size_at(10, 8, 8, 1024)],
            [1, 8],
        )


@pytest.mark.stretch
class TestAccumulationSteps:
    def test_gpt2s_half_million_tokens(self, kata):
        """16 rows of 1024 tokens in 8 processes are 131072 tokens at a time, and 4
        times that is GPT-2's 524288. One process alone needs 32 micro-batches.
        """
        got = [
            kata.accumulation_steps(524288, 16, 1024, 8),
            kata.accumulation_steps(524288, 16, 1024),
        ]
        unlike = {"processes left out": [32, 32], "times the processes": [256, 32]}
        check.equal(
            got,
            [4, 32],
            unlike=unlike,
            what="micro-batches with 8 processes and with one",
        )

    @pytest.mark.edge
    def test_what_does_not_divide_is_refused(self, kata):
        """Rounding would silently train with another batch size than the one
        asked for.
        """
        for arguments in ((31, 2, 5), (30, 2, 5, 2), (5, 2, 5)):
            with check.raises(ValueError):
                kata.accumulation_steps(*arguments)


class TestTrainStep:
    def test_one_batch_is_one_step_down(self, kata):
        """With a single batch: forward, backward, the optimizer's step. The loss is
        from before the update.
        """
        model, batches = gpt(kata), [batch()]
        before = weights(model)
        expected, loss, norm = by_hand(by_name(model), model, batches)
        got = kata.train_step(model, sgd(model), batches, max_norm=1000.0)
        unlike = {
            "nothing has moved": before,
            "up the gradient": 2 * before - flat(expected.values()),
        }
        check.close(
            weights(model),
            flat(expected.values()),
            unlike=unlike,
            what="weights after the step",
        )
        plain_float(got["loss"], "the loss, which must not keep its graph,")
        check.close(got, {"loss": loss, "grad_norm": norm}, what="result")

    def test_three_micro_batches_equal_one_batch(self, kata):
        """`backward()` adds up gradients. Three micro-batches of four rows make the
        step of one batch of twelve only if the sum is divided by 3. The optimizer's
        step comes once, after the last of them.
        """
        model, batches = gpt(kata), [batch(4) for _ in range(3)]
        start = by_name(model)
        whole = [tuple(torch.cat(half) for half in zip(*batches, strict=True))]
        unlike = {
            "summed up, not averaged": flat(
                by_hand(start, model, batches, divide=False)[0].values()
            ),
            "an update after each micro-batch": flat(
                one_after_the_other(start, model, batches).values()
            ),
            "the last micro-batch alone": flat(
                by_hand(start, model, batches[-1:])[0].values()
            ),
            "the last micro-batch alone, divided": flat(
                by_hand(start, model, batches[-1:], lr=LR / 3)[0].values()
            ),
        }
        kata.train_step(model, sgd(model), batches, max_norm=1000.0)
        expected = flat(by_hand(start, model, whole)[0].values())
        check.close(
            weights(model), expected, unlike=unlike, what="weights after the step"
        )

    def test_loss_and_norm_of_three_micro_batches(self, kata):
        """The loss is the mean over the micro-batches, the norm that of their mean
        gradient: the same as for one large batch.
        """
        model, batches = gpt(kata), [batch(4) for _ in range(3)]
        start = by_name(model)
        losses = [mean_loss(start, model, [one]).item() for one in batches]
        norms = [
            by_hand(start, model, batches, divide=False)[2],
            by_hand(start, model, batches[-1:])[2],
        ]
        got = kata.train_step(model, sgd(model), batches, max_norm=1000.0)
        unlike = {
            "the sum over micro-batches": {"loss": sum(losses), "grad_norm": norms[0]},
            "the last micro-batch's": {"loss": losses[-1], "grad_norm": norms[1]},
            "divided by their number twice": {"loss": sum(losses) / 9},
            "the last micro-batch's, divided": {"loss": losses[-1] / 3},
        }
        expected = {
            "loss": sum(losses) / 3,
            "grad_norm": by_hand(start, model, batches)[2],
        }
        check.close(got, expected, unlike=unlike, what="result")

    def test_clipped_once_after_the_last(self, kata):
        """The accumulated gradient is scaled down as a whole, if it is longer than
        max_norm. Clipping after each micro-batch scales the first ones down repeatedly;
        clipping element by element changes the direction.
        """
        for max_norm in (0.05, 1.0):
            model, batches = gpt(kata), [batch(4) for _ in range(3)]
            start = by_name(model)
            options = {"max_norm": max_norm}
            expected = by_hand(start, model, batches, **options)[0]
            unlike = {
                "not clipped": flat(by_hand(start, model, batches)[0].values()),
                "clipped after each micro-batch": flat(
                    by_hand(start, model, batches, **options, each=True)[0].values()
                ),
                "each element clipped": flat(
                    by_hand(start, model, batches, **options, by_value=True)[0].values()
                ),
            }
            kata.train_step(model, sgd(model), batches, max_norm=max_norm)
            what = f"weights after a step with max_norm={max_norm}"
            check.close(
                weights(model),
                flat(expected.values()),
                rtol=1e-5,
                atol=1e-7,
                unlike=unlike,
                what=what,
            )

    def test_short_gradients_are_not_stretched(self, kata):
        """Clipping is a limit from above: a gradient shorter than max_norm stays as
        it is.
        """
        model, batches = gpt(kata), [batch()]
        start = by_name(model)
        expected, _, norm = by_hand(start, model, batches)
        unlike = {
            "stretched to max_norm": flat(
                by_hand(start, model, batches, lr=3 * LR)[0].values()
            )
        }
        kata.train_step(model, sgd(model), batches, max_norm=3 * norm)
        what = "weights after a step with a max_norm of three times the norm"
        check.close(weights(model), flat(expected.values()), unlike=unlike, what=what)

    def test_none_means_no_clipping(self, kata):
        """With max_norm=None the gradient is not clipped, and its norm is
        still reported.
        """
        model, batches = gpt(kata), [batch(), batch()]
        start = by_name(model)
        expected, _, norm = by_hand(start, model, batches)
        unlike = {
            "clipped at 1": flat(
                by_hand(start, model, batches, max_norm=1.0)[0].values()
            )
        }
        got = kata.train_step(model, sgd(model), batches, max_norm=None)
        check.close(
            weights(model),
            flat(expected.values()),
            unlike=unlike,
            what="weights after a step with max_norm=None",
        )
        check.close(got["grad_norm"], norm, what="grad_norm with max_norm=None")

    def test_the_norm_is_the_one_before_clipping(self, kata):
        """After clipping, the norm would be max_norm in most steps. The norm before
        clipping warns of spikes."""
        model, batches = gpt(kata), [batch(), batch()]
        norm = by_hand(by_name(model), model, batches)[2]
        got = kata.train_step(model, sgd(model), batches, max_norm=0.05)
        check.close(
            got["grad_norm"],
            norm,
            unlike={"the norm after clipping": 0.05},
            what="grad_norm with max_norm=0.05",
        )

    def test_steps_in_a_row(self, kata):
        """Three steps, each along the gradient of its own batches: nothing of one
        reaches the next.
        """
        model = gpt(kata)
        now, optimizer = by_name(model), sgd(model)
        passed = []
        for number in range(3):
            batches, unlike = [batch(), batch()], {}
            if number == 2:
                moved_twice = {
                    name: now[name] + passed[1][name] - passed[0][name] for name in now
                }
                unlike = {
                    "the gradients of the step before added": by_hand(
                        moved_twice, model, batches
                    )[1]
                }
            passed.append(now)
            now, loss, _ = by_hand(now, model, batches)
            got = kata.train_step(model, optimizer, batches, max_norm=1000.0)
            check.close(got["loss"], loss, unlike=unlike, what=f"loss of step {number}")
        check.close(
            weights(model), flat(now.values()), what="weights after three steps"
        )

    def test_lr_holds_for_this_very_step(self, kata):
        """The rate is set before the optimizer's step, in every group. Set after it,
        each step runs at the rate of the previous one; set in the first group alone,
        the biases keep the old rate.
        """
        model, batches = gpt(kata), [batch()]
        start = by_name(model)
        matrices, rest = (
            [p for p in model.parameters() if (p.ndim > 1) == wanted]
            for wanted in (True, False)
        )
        optimizer = torch.optim.SGD(
            [{"params": matrices, "lr": 0.05}, {"params": rest, "lr": 0.4}]
        )
        [old_1, old_2, new] = (
            by_hand(start, model, batches, lr=lr)[0] for lr in (0.05, 0.4, 0.13)
        )
        unlike = {
            "the old rates": flat(
                (old_1 if p.ndim > 1 else old_2)[name] for name, p in start.items()
            ),
            "the new rate in the first group only": flat(
                (new if p.ndim > 1 else old_2)[name] for name, p in start.items()
            ),
        }
        kata.train_step(model, optimizer, batches, max_norm=1000.0, lr=0.13)
        check.close(
            weights(model),
            flat(new.values()),
            unlike=unlike,
            what="weights after a step with lr=0.13",
        )
        check.close(
            [group["lr"] for group in optimizer.param_groups],
            [0.13] * 2,
            what="rates of the groups",
        )

    def test_training_mode(self, kata):
        """A sample or a validation may have left the model in eval mode, without
        dropout. The step itself sets training mode, in the whole model.
        """
        model = gpt(kata, dropout=0.3)
        model.eval()
        seen = watch(model, lambda: all(module.training for module in model.modules()))
        kata.train_step(model, sgd(model), [batch(), batch()])
        check.equal(seen, [True, True], what="training mode in each pass")

    @pytest.mark.edge
    def test_old_gradients_do_not_count(self, kata):
        """Values that are in `.grad` when the step begins do not belong to it. Clear
        them before the first backward.
        """
        model, batches = gpt(kata), [batch(), batch()]
        start = by_name(model)
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        expected, loss, norm = by_hand(start, model, batches)
        unlike = {
            "old gradients added": flat(
                by_hand(start, model, batches, kept=1.0)[0].values()
            ),
            "nothing has moved": flat(start.values()),
        }
        got = kata.train_step(model, sgd(model), batches, max_norm=1000.0)
        check.close(
            weights(model),
            flat(expected.values()),
            unlike=unlike,
            what="weights after the step",
        )
        check.close(got, {"loss": loss, "grad_norm": norm}, what="result")

    @pytest.mark.edge
    def test_micro_batches_count_equally(self, kata):
        """Each micro-batch has the weight 1/n, whatever its size: its loss is already a
        mean. (In a run all have the same size, and it makes no difference.)
        """
        model, batches = gpt(kata), [batch(5, 6), batch(1, 2)]
        start = by_name(model)
        expected, loss, _ = by_hand(start, model, batches)
        got = kata.train_step(model, sgd(model), batches, max_norm=1000.0)
        unlike = {
            "weighted by the number of targets": mean_loss(start, model, batches).item()
        }
        check.close(got["loss"], loss, unlike=unlike, what="loss")
        check.close(
            weights(model), flat(expected.values()), what="weights after the step"
        )

    @pytest.mark.edge
    def test_no_lr_leaves_the_groups_alone(self, kata):
        """Without lr each group keeps its rate. A rate of 0.0 is not the same as None:
        then nothing moves.
        """
        model = gpt(kata)
        optimizer = sgd(model, lr=0.07)
        kata.train_step(model, optimizer, [batch()])
        check.close(
            [group["lr"] for group in optimizer.param_groups],
            [0.07],
            what="rate without lr",
        )
        before = weights(model)
        kata.train_step(model, optimizer, [batch()], lr=0.0)
        check.equal(weights(model), before, what="weights after a step with lr=0.0")

    @pytest.mark.edge
    def test_no_batches_are_refused(self, kata):
        """Without a batch, a step would divide by 0, or move the weights by momentum
        and decay alone.
        """
        model = gpt(kata)
        before, optimizer = (
            weights(model),
            torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5),
        )
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        with check.raises(ValueError):
            kata.train_step(model, optimizer, [])
        check.equal(weights(model), before, what="weights after the error")


def uneven():
    """Three batches of different sizes, in two of which some targets do not count."""
    batches = [batch(3, 5), batch(1, 7), batch(4, 2)]
    batches[0][1][:, :2] = -100
    batches[2][1][1:] = -100
    return batches


class TestEvaluate:
    def test_one_batch(self, kata):
        """The mean loss of one batch, as a plain float."""
        model, batches = gpt(kata), [batch()]
        got = kata.evaluate(model, batches)
        check.close(got, mean_loss(by_name(model), model, batches).item(), what="loss")
        plain_float(got, "the loss")

    def test_every_target_counts_once(self, kata):
        """Batches of 9, 7 and 2 counted targets have the loss that one batch of all 18
        would have: each batch's mean is weighted by the number of its targets that are
        not −100. The mean of the means lets two targets count as much as nine.
        """
        model, batches = gpt(kata), uneven()
        start = by_name(model)
        means = torch.stack(
            [mean_loss(start, model, [one]) for one in batches]
        ).detach()
        rows, places = torch.tensor([3.0, 1.0, 4.0]), torch.tensor([15.0, 7.0, 8.0])
        unlike = {
            "the mean of the batches' means": means.mean().item(),
            "weighted by rows": (means @ rows.double() / rows.sum()).item(),
            "weighted by all targets, those with −100 too": (
                means @ places.double() / places.sum()
            ).item(),
            "the sum over batches": means.sum().item(),
            "the last batch's mean": means[-1].item(),
        }
        check.close(
            kata.evaluate(model, batches),
            mean_loss(start, model, batches).item(),
            unlike=unlike,
            what="loss",
        )

    @settings(max_examples=8)
    @given(cuts=st.lists(st.integers(1, 5), max_size=4, unique=True))
    def test_batches_of_any_size_give_the_same_loss(self, kata, cuts):
        """Six rows have the same mean loss, however they are cut into batches."""
        torch.manual_seed(4)
        model, (x, y) = gpt(kata), batch(6)
        y[:2, 1:] = -100
        edges = [0, *sorted(cuts), 6]
        batches = [(x[a:b], y[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
        check.close(
            kata.evaluate(model, batches),
            mean_loss(by_name(model), model, [(x, y)]).item(),
            what="loss",
        )

    def test_dropout_is_off(self, kata):
        """In training mode the loss would differ from call to call, and dropout would
        make it worse. No random number is drawn either: validating more often does not
        change the run.
        """
        model, batches = gpt(kata, dropout=0.5), uneven()
        model.train()
        expected, state = (
            mean_loss(by_name(model), model, batches).item(),
            torch.get_rng_state(),
        )
        got = kata.evaluate(model, batches)
        drawn = not torch.equal(torch.get_rng_state(), state)
        check.that(
            not drawn,
            f"the loss is {got}, and random numbers were drawn",
            like="`model.eval()` is missing",
        )
        check.close(got, expected, what="loss of a model that comes in training mode")

    def test_no_graph_is_built(self, kata):
        """Nothing is learned here, so autograd need not record anything. `eval()` does
        not switch that off. Existing gradients stay.
        """
        model = gpt(kata)
        seen = watch(model, torch.is_grad_enabled)
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        kata.evaluate(model, uneven())
        check.equal(seen, [False] * 3, what="autograd is recording, in each pass")
        check.that(torch.is_grad_enabled(), "autograd is still off after the call")
        check.equal(
            flat(p.grad for p in model.parameters()),
            torch.ones_like(weights(model)),
            what=".grad afterwards",
        )

    @pytest.mark.edge
    def test_the_mode_is_put_back(self, kata):
        """A model that comes in training mode goes back to training; one in eval mode
        stays there.
        """
        model = gpt(kata)
        for mode in (True, False):
            model.train(mode)
            kata.evaluate(model, uneven())
            found = {module.training for module in model.modules()}
            check.that(
                found == {mode},
                f"the model came with training={mode} and left with {found}",
            )

    @pytest.mark.edge
    def test_the_mode_is_put_back_after_an_error(self, kata):
        """A batch longer than the block size makes the model raise, in the middle of
        the evaluation. A caller that catches it must not go on training
        without dropout.
        """
        model = gpt(kata)
        model.train()
        with check.raises(ValueError):
            kata.evaluate(model, [batch(), batch(2, 8)])
        check.that(
            model.training,
            "the model came in training mode, and is in eval mode after the error",
        )

    @pytest.mark.edge
    def test_any_iterable_will_do(self, kata):
        """Batches may come from a generator, which can be read only once."""
        model, batches = gpt(kata), uneven()
        got = kata.evaluate(model, (one for one in batches))
        check.close(got, mean_loss(by_name(model), model, batches).item(), what="loss")

    @pytest.mark.edge
    def test_a_batch_without_targets_is_passed_over(self, kata):
        """If all targets of a batch are −100, its mean is 0 / 0. One NaN makes the
        whole sum NaN.
        """
        model, batches = gpt(kata), uneven()
        x, y = batch(2, 3)
        got = kata.evaluate(model, [(x, torch.full_like(y, -100)), *batches])
        check.close(got, mean_loss(by_name(model), model, batches).item(), what="loss")

    @pytest.mark.edge
    def test_nothing_to_measure_is_refused(self, kata):
        """Without batches, or without a target that counts, there is no mean. The mode
        is still restored.
        """
        model, (x, y) = gpt(kata), batch()
        model.train()
        for batches in ([], [(x, torch.full_like(y, -100))]):
            with check.raises(ValueError):
                kata.evaluate(model, batches)
            check.that(
                model.training,
                "the model came in training mode, and is in eval mode after the error",
            )


def rows_to_learn():
    """Six rows of seven random tokens, a vocabulary of 13. No two rows begin alike, so
    each can be learned by heart.
    """
    rows = torch.randint(13, (6, 8))
    rows[:, 0] = torch.randperm(13)[:6]
    # a GPT may view its targets as one row
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


@pytest.mark.stretch
class TestOverfitOneBatch:
    def test_one_loss_for_each_step(self, kata):
        """There are as many plain floats as steps. The first is the untrained model's:
        measured before any update.
        """
        model, (x, y) = gpt(kata), batch()
        untrained = mean_loss(by_name(model), model, [(x, y)]).item()
        got = kata.overfit_one_batch(model, x, y, steps=3, lr=0.01)
        check.that(
            isinstance(got, list) and len(got) == 3,
            f"wanted a list of 3 losses, got {check.describe(got)}",
        )
        check.close(got[0], untrained, what="the first loss")
        for loss in got:
            plain_float(loss, "a loss")

    @pytest.mark.timeout(60)
    def test_the_batch_is_learned_by_heart(self, kata):
        """Two layers, 60 steps at rate 1e-2: from about ln 13 = 2.56 down to almost 0.
        If the loss stays up, the gradients do not reach the weights, are not cleared,
        or another rate is used.
        """
        model = kata.GPT(
            kata.GPTConfig(block_size=8, vocab_size=13, n_layer=2, n_head=2, n_embd=32)
        )
        losses = kata.overfit_one_batch(model, *rows_to_learn(), steps=60, lr=1e-2)
        check.that(
            losses[0] > 2.3,
            f"the loss begins at {losses[0]:.3f}; an untrained model has more than 2.3",
        )
        check.that(
            losses[-1] < 0.35,
            f"after 60 steps the loss is {losses[-1]:.3f}; less than 0.35 was wanted",
        )

    def test_no_weight_decays(self, kata):
        """Rows of wpe beyond the batch's length get no gradient, and Adam does not move
        them. Decay would pull them towards 0. To learn one batch by heart, nothing
        should hold the weights back.
        """
        model, (x, y) = gpt(kata), batch(length=5)
        before = model.transformer["wpe"].weight.detach().clone()
        kata.overfit_one_batch(model, x, y, steps=3, lr=0.1)
        after = model.transformer["wpe"].weight.detach()
        check.equal(
            after[5:], before[5:], what="position embeddings that were never used"
        )
        check.that(
            not torch.equal(after[:5], before[:5]),
            "the position embeddings that were used have not moved",
        )

    def test_the_rate_is_the_one_given(self, kata):
        """Adam divides the gradient by its own size, so in the first step nearly every
        weight moves by the rate itself, whatever the loss. At rate 0 nothing moves, and
        all losses are the same.
        """
        for lr in (0.01, 0.002):
            model, (x, y) = gpt(kata), batch()
            before = model.lm_head.weight.detach().clone()
            kata.overfit_one_batch(model, x, y, steps=1, lr=lr)
            moved = (model.lm_head.weight.detach() - before).abs().median().item()
            check.close(
                moved,
                lr,
                rtol=0.01,
                what=f"how far the median weight moves in one step at lr={lr}",
            )
        model, (x, y) = gpt(kata), batch()
        before = weights(model)
        losses = kata.overfit_one_batch(model, x, y, steps=3, lr=0.0)
        check.equal(weights(model), before, what="weights after three steps at rate 0")
        check.close(losses, [losses[0]] * 3, what="losses")

    def test_in_training_mode(self, kata):
        """This is a test of training, so it runs in training mode, whatever mode the
        model was in.
        """
        model = gpt(kata, dropout=0.3)
        model.eval()
        seen = watch(model, lambda: model.training)
        kata.overfit_one_batch(model, *batch(), steps=2, lr=0.01)
        check.that(all(seen), f"training mode in each pass: {seen}")


def go_on(model, optimizer, loader, steps):
    """Train for some steps, in training mode: the loss of each."""
    model.train()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(*loader.next_batch())[1]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def a_run(kata, steps=0, **options):
    """A model, an AdamW with its moments, and a loader, after some steps."""
    model = gpt(kata, **options)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1)
    loader = Stream()
    go_on(model, optimizer, loader, steps)
    return model, optimizer, loader


@pytest.mark.stretch
class TestSaveCheckpoint:
    def test_a_dict_of_plain_data(self, kata, tmp_path):
        """`torch.load` with `weights_only=True` opens tensors, numbers, strings and
        containers of these, and refuses everything else, because a pickled object can
        run code. Save a config as a dict and a loader as its state.
        """
        model, optimizer, loader = a_run(kata, steps=2)
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 2, loader)
        try:
            found = torch.load(tmp_path / "run.pt", weights_only=True)
        except pickle.UnpicklingError as error:
            said = str(error)
            reason = re.search(r"Unsupported [^\n]*?(?=\. Please|\n|$)", said)
            reason = reason.group() if reason else said[-200:]
            check.that(
                False, f"torch.load(path, weights_only=True) refuses the file: {reason}"
            )
        wanted = {"model", "optimizer", "step", "config", "loader", "rng"}
        check.that(
            isinstance(found, dict), f"wanted a dict, got {check.describe(found)}"
        )
        check.that(
            wanted <= set(found),
            f"the file lacks {sorted(wanted - set(found))}; it has {sorted(found)}",
        )

    def test_every_part_is_there(self, kata, tmp_path):
        """Weights, the moments of the optimizer, the step, the config's fields, the
        loader's position and torch's random state, each as it was when the run
        was saved.
        """
        model, optimizer, loader = a_run(kata, steps=2)
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 2, loader)
        found = torch.load(tmp_path / "run.pt", weights_only=True)
        check.equal(dict(found["model"]), dict(model.state_dict()), what="model")
        state = optimizer.state_dict()["state"]
        check.that(
            set(found["optimizer"].get("state", {})) == set(state),
            "the optimizer's state is not in the file",
        )
        check.equal(
            found["optimizer"]["state"][0]["exp_avg"],
            state[0]["exp_avg"],
            what="first moment of a weight",
        )
        check.equal(found["step"], 2, what="step")
        check.that(
            type(found["config"]) is dict,
            f"config should be a plain dict, got {check.describe(found['config'])}",
        )
        check.equal(found["config"], asdict(model.config), what="config")
        check.equal(found["loader"], {"given": 2}, what="loader")
        check.equal(found["rng"], torch.get_rng_state(), what="rng")

    def test_without_a_loader(self, kata, tmp_path):
        """The loader is optional; the file then holds None in its place. The path may
        be a string.
        """
        model, optimizer, _ = a_run(kata)
        kata.save_checkpoint(str(tmp_path / "run.pt"), model, optimizer, 0)
        found = torch.load(tmp_path / "run.pt", weights_only=True).get(
            "loader", "nothing"
        )
        check.that(
            found is None,
            f'the file\'s "loader" should be None, got {check.describe(found)}',
        )

    @pytest.mark.edge
    def test_saving_changes_nothing(self, kata, tmp_path):
        """Saving does not change the run: the weights, mode, random state and position
        in the data stay the same.
        """
        model, optimizer, loader = a_run(kata, steps=1, dropout=0.3)
        before, state = weights(model), torch.get_rng_state()
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 1, loader)
        check.equal(weights(model), before, what="weights")
        check.equal(torch.get_rng_state(), state, what="torch's random state")
        check.that(
            model.training and loader.given == 1,
            "the model's mode or the loader's place has changed",
        )


def unchanged_by_refusal(kata, path, run):
    """Loading the file into this run is refused and leaves model, optimizer, loader and
    random state alone.
    """
    model, optimizer, loader = run
    before, state = weights(model), torch.get_rng_state()
    moment = optimizer.state[model.lm_head.weight]["exp_avg"].clone()
    with check.raises(ValueError):
        kata.load_checkpoint(path, model, optimizer, loader)
    check.equal(weights(model), before, what="weights after the error")
    check.equal(
        optimizer.state[model.lm_head.weight]["exp_avg"],
        moment,
        what="the optimizer's moments after the error",
    )
    check.equal(
        torch.get_rng_state(), state, what="torch's random state after the error"
    )
    check.equal(loader.given, 2, what="the loader's place after the error")


@pytest.mark.stretch
class TestLoadCheckpoint:
    def test_weights_and_step_come_back(self, kata, tmp_path):
        """A fresh model gets the saved weights, in the Parameter objects that it has,
        and the call returns the step.
        """
        model, optimizer, _ = a_run(kata, steps=2)
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 2)
        fresh = gpt(kata)
        objects = [id(p) for p in fresh.parameters()]
        check.equal(
            kata.load_checkpoint(tmp_path / "run.pt", fresh),
            2,
            what="the step returned",
        )
        check.equal(weights(fresh), weights(model), what="weights of the fresh model")
        same = [id(p) for p in fresh.parameters()] == objects
        check.that(
            same,
            "the model holds other Parameter objects than before; its optimizer does "
            "not know them",
        )

    def test_the_optimizer_goes_on(self, kata, tmp_path):
        """Adam's means and step counts come back: without them the first steps are as
        large as at the beginning of the run, and the loss jumps.
        """
        model, optimizer, loader = a_run(kata, steps=3)
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 3, loader)
        fresh, its_optimizer, _ = a_run(kata)
        kata.load_checkpoint(tmp_path / "run.pt", fresh, its_optimizer)
        anew = copy.deepcopy(model)
        go_on(
            anew,
            torch.optim.AdamW(anew.parameters(), lr=0.02, weight_decay=0.1),
            Stream(),
            1,
        )
        for one, other in ((model, optimizer), (fresh, its_optimizer)):
            go_on(one, other, Stream(), 1)
        unlike = {"an optimizer that starts over": weights(anew)}
        check.close(
            weights(fresh), weights(model), unlike=unlike, what="weights one step later"
        )

    def test_the_loader_goes_on(self, kata, tmp_path):
        """The fresh loader continues where the saved one stopped: no batch comes twice,
        and none is left out.
        """
        model, optimizer, loader = a_run(kata, steps=3)
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 3, loader)
        fresh = Stream()
        kata.load_checkpoint(tmp_path / "run.pt", model, loader=fresh)
        check.equal(
            fresh.given,
            3,
            unlike={"the beginning of the data": 0},
            what="batches that the fresh loader is past",
        )

    def test_the_random_state_comes_back(self, kata, tmp_path):
        """The next random numbers of dropout are part of the run too. The random state
        is restored even if only the model is loaded.
        """
        model, optimizer, _ = a_run(kata)
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 0)
        expected = torch.rand(5)
        torch.manual_seed(99)
        kata.load_checkpoint(tmp_path / "run.pt", model)
        stays = {
            "the random state is not restored": torch.rand(
                5, generator=torch.Generator().manual_seed(99)
            )
        }
        check.equal(
            torch.rand(5), expected, unlike=stays, what="the next random numbers"
        )

    def test_resumed_equals_uninterrupted(self, kata, tmp_path):
        """Six steps, or three, a checkpoint, and three in fresh objects: with dropout
        0.3 and 24's loader the losses agree to the last digit, and so do the weights.
        Anything missing shows at the first step.
        """
        shard = tmp_path / "train_000000.npy"
        np.save(
            shard, np.random.default_rng(0).integers(11, size=100).astype(np.uint16)
        )

        def fresh(seed):
            torch.manual_seed(seed)
            model = gpt(kata, dropout=0.3)
            optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1)
            return model, optimizer, kata.DataLoaderLite([shard], 3, 5)

        run = fresh(1)
        go_on(*run, 3)
        kata.save_checkpoint(tmp_path / "run.pt", *run[:2], 3, run[2])
        expected = go_on(*run, 3)
        resumed = fresh(2)
        step = kata.load_checkpoint(tmp_path / "run.pt", *resumed)
        check.equal(step, 3, what="the step returned")
        check.close(
            go_on(*resumed, 3),
            expected,
            rtol=1e-12,
            what="losses of the last three steps",
        )
        check.close(
            weights(resumed[0]), weights(run[0]), rtol=1e-12, what="weights at the end"
        )

    def test_only_plain_data_is_loaded(self, kata, tmp_path):
        """A file from elsewhere may hold an object that runs code when it is unpickled.
        `weights_only=True` refuses it.
        """
        model, optimizer, _ = a_run(kata)
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 1)
        found = torch.load(tmp_path / "run.pt", weights_only=True)
        torch.save({**found, "extra": Fraction(1, 3)}, tmp_path / "foreign.pt")
        with check.raises(pickle.UnpicklingError):
            kata.load_checkpoint(tmp_path / "foreign.pt", model)

    @pytest.mark.edge
    def test_the_random_state_of_a_gpu_comes_back(self, kata, tmp_path):
        """On a GPU dropout draws from the GPU's own generator. (torch.cuda's functions
        for its state are replaced here, so that this spec needs no GPU.)
        """
        model, optimizer, _ = a_run(kata)
        state = [torch.arange(16, dtype=torch.uint8)]

        def put(new, device="cuda"):
            state[0] = new.clone()

        replaced = {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "get_rng_state": lambda device="cuda": state[0].clone(),
            "get_rng_state_all": lambda: [state[0].clone()],
            "set_rng_state": put,
            "set_rng_state_all": lambda new: put(new[0]),
        }
        with mock.patch.multiple(torch.cuda, **replaced):
            kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 0)
            put(torch.full((16,), 7, dtype=torch.uint8))
            kata.load_checkpoint(tmp_path / "run.pt", model)
        unlike = {
            "the state from before loading": torch.full((16,), 7, dtype=torch.uint8)
        }
        check.equal(
            state[0],
            torch.arange(16, dtype=torch.uint8),
            unlike=unlike,
            what="random state of the GPU",
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_resumed_on_a_gpu(self, kata, tmp_path):
        """With dropout 0.3 on a GPU, the losses after the checkpoint are those of the
        run that was not interrupted. The file is read on the CPU first, and weights and
        moments go to the GPU of the fresh model.
        """

        def fresh(seed):
            torch.manual_seed(seed)
            model = gpt(kata, dropout=0.3).cuda()
            return (
                model,
                torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.1),
                OnGpu(),
            )

        run = fresh(1)
        go_on(*run, 3)
        kata.save_checkpoint(tmp_path / "run.pt", *run[:2], 3, run[2])
        expected = go_on(*run, 3)
        resumed = fresh(2)
        kata.load_checkpoint(tmp_path / "run.pt", *resumed)
        check.close(
            go_on(*resumed, 3),
            expected,
            rtol=1e-9,
            what="losses of the last three steps",
        )

    @pytest.mark.edge
    def test_another_config_is_refused(self, kata, tmp_path):
        """Weights of a model with 2 heads fit into one with 3, number by number, and
        mean nothing there. Compare the configs before you change anything.
        """
        for field, value in (("n_head", 3), ("dropout", 0.1), ("vocab_size", 12)):
            model, optimizer, loader = a_run(kata, steps=1)
            kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 1, loader)
            unchanged_by_refusal(
                kata, tmp_path / "run.pt", a_run(kata, steps=2, **{field: value})
            )

    @pytest.mark.edge
    def test_a_loader_that_was_not_saved_is_refused(self, kata, tmp_path):
        """The file holds no state for the loader that is to be restored. Silently
        starting the data over would be worse than an error. Nothing is changed.
        """
        model, optimizer, _ = a_run(kata, steps=1)
        kata.save_checkpoint(tmp_path / "run.pt", model, optimizer, 1)
        unchanged_by_refusal(kata, tmp_path / "run.pt", a_run(kata, steps=2))


RUN = {
    "max_steps": 6,
    "max_lr": 0.3,
    "min_lr": 0.1,
    "warmup_steps": 2,
    "accum_steps": 2,
    "max_norm": 0.5,
    "eval_every": 2,
}
RATES = [
    0.15,
    0.3,
    0.3,
    0.1 + 0.2 * math.cos(math.pi / 8) ** 2,
    0.2,
    0.1 + 0.2 * math.sin(math.pi / 8) ** 2,
]


def run_by_hand(model, val_batches=(), config=RUN, rates=RATES):
    """The results of `train` with SGD and a Stream: losses, norms, the loss on
    val_batches before each step and after the last, and the weights at the end.
    """
    now, loader = by_name(model), Stream()
    losses, norms, starts = [], [], []
    for rate in rates:
        starts.append(now)
        batches = [loader.next_batch() for _ in range(config["accum_steps"])]
        now, loss, norm = by_hand(
            now, model, batches, lr=rate, max_norm=config["max_norm"]
        )
        losses.append(loss)
        norms.append(norm)
    vals = [
        mean_loss(one, model, val_batches).item()
        for one in [*starts, now]
        if val_batches
    ]
    return losses, norms, vals, flat(now.values())


def pairs(entries):
    """[(step, value), …], whether the pairs are tuples or lists."""
    right = isinstance(entries, list) and all(
        isinstance(e, (tuple, list)) and len(e) == 2 for e in entries
    )
    check.that(
        right, f"wanted a list of pairs (step, value), got {check.describe(entries)}"
    )
    return [tuple(entry) for entry in entries]


class TestTrain:
    def test_every_step_is_recorded(self, kata):
        """There is one entry per step: its number, the loss before its update, its
        rate, the norm before clipping. Each step takes accum_steps micro-batches.
        """
        model = gpt(kata)
        losses, norms, *_ = run_by_hand(model)
        history = kata.train(model, sgd(model), Stream(), kata.TrainConfig(**RUN))
        wanted = {"step", "loss", "lr", "grad_norm", "val", "samples"}
        check.that(
            isinstance(history, dict), f"wanted a dict, got {check.describe(history)}"
        )
        check.that(
            set(history) == wanted,
            f"wanted the keys {sorted(wanted)}, got {sorted(history)}",
        )
        check.equal(history["step"], list(range(6)), what="steps")
        check.close(history["lr"], RATES, what="rates")
        check.close(history["loss"], losses, rtol=1e-5, what="losses")
        check.close(history["grad_norm"], norms, rtol=1e-5, what="norms")
        check.equal(
            [history["val"], history["samples"]],
            [[], []],
            what="val and samples, which nobody asked for",
        )

    def test_the_weights_follow(self, kata):
        """After the six steps the model has the weights that six clipped steps at the
        rates of the schedule lead to, each from the mean gradient of two micro-batches.
        """
        model = gpt(kata)
        start = copy.deepcopy(model)
        expected = run_by_hand(model)[-1]
        unlike = {
            "not clipped": run_by_hand(start, config={**RUN, "max_norm": None})[-1],
            "clipped at 1": run_by_hand(start, config={**RUN, "max_norm": 1.0})[-1],
            "the optimizer's own rate in every step": run_by_hand(
                start, rates=[LR] * 6
            )[-1],
            "each step at the rate of the one before": run_by_hand(
                start, rates=[LR, *RATES[:-1]]
            )[-1],
            "one micro-batch a step": run_by_hand(
                start, config={**RUN, "accum_steps": 1}
            )[-1],
            "one step too many": run_by_hand(start, rates=[*RATES, 0.1])[-1],
        }
        kata.train(model, sgd(model), Stream(), kata.TrainConfig(**RUN))
        check.close(
            weights(model),
            expected,
            rtol=1e-5,
            atol=1e-7,
            unlike=unlike,
            what="weights after the run",
        )

    def test_batches_come_one_after_the_other(self, kata):
        """Six steps of two micro-batches take twelve batches from the loader. A batch
        that is taken and not used is lost for a resumed run.
        """
        loader = Stream()
        model = gpt(kata)
        kata.train(model, sgd(model), loader, kata.TrainConfig(**RUN))
        check.equal(loader.given, 12, what="batches taken")

    def test_validation_on_the_way(self, kata):
        """Before the update of each step that is a multiple of eval_every, and of the
        last: 0, 2, 4, 5. The value at 0 is the untrained model's, and shows whether the
        run began where it should: near ln V.
        """
        model, val_batches = gpt(kata), uneven()
        vals = run_by_hand(model, val_batches)[2]
        history = kata.train(
            model, sgd(model), Stream(), kata.TrainConfig(**RUN), val_batches
        )
        found = pairs(history["val"])
        check.equal(
            [step for step, _ in found],
            [0, 2, 4, 5],
            what="steps at which it was validated",
        )
        unlike = {"measured after the update": [vals[1], vals[3], vals[5], vals[6]]}
        check.close(
            [value for _, value in found],
            [vals[i] for i in (0, 2, 4, 5)],
            rtol=1e-5,
            unlike=unlike,
            what="values",
        )
        for _, value in found:
            plain_float(value, "a validation loss")

    def test_samples_on_the_way(self, kata):
        """`sample` is called at the same steps, with the model, and its result is kept
        with the step, whatever it is. That works without validation too.
        """
        model, given = gpt(kata), []

        def sample(what):
            given.append(what)
            return [f"text {len(given)}"]

        history = kata.train(
            model, sgd(model), Stream(), kata.TrainConfig(**RUN), sample=sample
        )
        expected = [(0, ["text 1"]), (2, ["text 2"]), (4, ["text 3"]), (5, ["text 4"])]
        found = pairs(history["samples"])
        check.that(found == expected, f"wanted {expected}, got {found}")
        check.that(
            all(what is model for what in given),
            "sample was not called with the model itself",
        )

    def test_a_last_step_that_is_a_multiple(self, kata):
        """With five steps the last one is 4, a multiple of 2 anyway: it is validated
        and sampled once.
        """
        model = gpt(kata)
        config = kata.TrainConfig(**{**RUN, "max_steps": 5})
        history = kata.train(
            model, sgd(model), Stream(), config, [batch()], sample=lambda _: "text"
        )
        for name in ("val", "samples"):
            check.equal(
                [step for step, _ in pairs(history[name])],
                [0, 2, 4],
                what=f"steps in {name}",
            )

    def test_samples_in_eval_mode_and_steps_in_training_mode(self, kata):
        """A sample with dropout is worse than the model can do, and training without
        dropout is another run. Use eval mode for `sample`, and training mode for every
        update, even if sampling leaves the model in eval mode.
        """
        model, modes = gpt(kata, dropout=0.3), []
        seen = watch(model, lambda: model.training)

        def sample(what):
            modes.append(any(module.training for module in what.modules()))
            what.eval()

        model.train()
        kata.train(model, sgd(model), Stream(), kata.TrainConfig(**RUN), sample=sample)
        unlike = {"the sample is drawn in training mode": [True] * len(modes)}
        check.equal(
            modes,
            [False] * 4,
            unlike=unlike,
            what="training mode of the model that sample is given",
        )
        check.equal(
            seen,
            [True] * 12,
            what="training mode in each pass of the twelve micro-batches",
        )

    def test_validation_does_not_change_the_run(self, kata):
        """With dropout 0.3, the losses are the same with validation and without: it
        draws no random numbers and moves no weight, and dropout is on again afterwards.
        """
        found = []
        for val_batches in (None, uneven()):
            torch.manual_seed(5)
            model = gpt(kata, dropout=0.3)
            found.append(
                kata.train(
                    model, sgd(model), Stream(), kata.TrainConfig(**RUN), val_batches
                )["loss"]
            )
        check.close(
            found[1], found[0], rtol=1e-9, what="losses of a run with validation"
        )

    def test_the_schedule_is_that_of_the_whole_run(self, kata):
        """A run that starts at step 3 has the rates of steps 3, 4 and 5, and is
        validated at 4 and 5. If it counted from 0 again, the warm-up would come a
        second time.
        """
        model = gpt(kata)
        history = kata.train(
            model,
            sgd(model),
            Stream(),
            kata.TrainConfig(**RUN),
            [batch()],
            start_step=3,
        )
        check.equal(history["step"], [3, 4, 5], what="steps")
        check.close(
            history["lr"],
            RATES[3:],
            unlike={"the warm-up once more": RATES[:3]},
            what="rates",
        )
        check.equal(
            [step for step, _ in pairs(history["val"])],
            [4, 5],
            what="steps at which it was validated",
        )

    def test_killed_and_gone_on_with(self, kata):
        """The loader raises after three steps. Continuing with the same objects at step
        3 gives exactly the losses and weights of the uninterrupted run.
        """
        model = gpt(kata)
        losses, _, _, expected = run_by_hand(model)
        optimizer, loader = sgd(model), Mortal(batches=6)
        try:
            kata.train(model, optimizer, loader, kata.TrainConfig(**RUN))
        except Killed:
            pass
        loader.left = 100
        history = kata.train(
            model, optimizer, loader, kata.TrainConfig(**RUN), start_step=3
        )
        check.close(
            history["loss"], losses[3:], rtol=1e-5, what="losses of steps 3, 4 and 5"
        )
        check.close(
            weights(model), expected, rtol=1e-5, atol=1e-7, what="weights at the end"
        )

    @pytest.mark.edge
    def test_a_run_that_is_over(self, kata):
        """With start_step = max_steps no step is left, and the record is empty."""
        model, loader = gpt(kata), Stream()
        before = weights(model)
        history = kata.train(
            model,
            sgd(model),
            loader,
            kata.TrainConfig(**RUN),
            [batch()],
            6,
            lambda _: "text",
        )
        check.that(
            not any(history.values()),
            f"the record should be empty, got {check.describe(history)}",
        )
        check.equal(weights(model), before, what="weights")
        check.equal(loader.given, 0, what="batches taken")

    @pytest.mark.edge
    def test_batches_go_to_the_device_of_the_model(self, kata):
        """A loader makes batches on the CPU, and a model on a GPU refuses them. (No GPU
        is needed here: all parameters say that they are on the device "meta", and the
        batches only record where they are sent.)
        """
        model, config = (
            gpt(kata),
            kata.TrainConfig(**{**RUN, "max_steps": 4, "warmup_steps": 1}),
        )
        for val_batches, least, what in (
            (None, 16, "8 micro-batches"),
            ([travellers()], 18, "these and a val batch"),
        ):
            sent = []
            there = mock.patch.object(
                torch.nn.Parameter, "device", torch.device("meta")
            )
            with there, mock.patch.object(Traveller, "sent", sent):
                kata.train(model, sgd(model), Departures(), config, val_batches)
            check.equal(
                sent,
                ["meta"] * max(least, len(sent)),
                what=f"devices that x and y of {what} were sent to, at ",
            )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_on_a_gpu(self, kata):
        """The loader and the validation batches are on the CPU, the model on the GPU.
        The losses are those of the CPU.
        """
        model, val_batches = gpt(kata), uneven()
        losses, _, vals, expected = run_by_hand(model, val_batches)
        model.cuda()
        history = kata.train(
            model, sgd(model), Stream(), kata.TrainConfig(**RUN), val_batches
        )
        check.close(history["loss"], losses, rtol=1e-5, what="losses")
        check.close(
            [v for _, v in history["val"]],
            [vals[i] for i in (0, 2, 4, 5)],
            rtol=1e-5,
            what="validation losses",
        )
        check.close(
            weights(model).cpu(),
            expected,
            rtol=1e-5,
            atol=1e-7,
            what="weights after the run",
        )
