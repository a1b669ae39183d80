"""Specs of 22: one epoch, evaluation, accumulation, early stopping, a whole fit,
checkpoints, gradients, errors.
"""

import copy
import math
import os
import random
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from grader.specs import check

D, H, C = 5, 7, 6  # features, hidden units, classes
SIZES = (4, 4, 3)  # of the batches
LR = 0.3


def network(*middle):
    """A small classifier in float64, with other layers in the middle if given."""
    return nn.Sequential(nn.Linear(D, H), nn.Tanh(), *middle, nn.Linear(H, C)).double()


def data(sizes=SIZES):
    """Batches of these sizes, far enough from 0 for gradients that are not small."""
    return [
        (3 * torch.randn(size, D, dtype=torch.float64), torch.randint(C, (size,)))
        for size in sizes
    ]


def whole(batches):
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def weights(model):
    """All parameters of a model as one vector, cut off from later changes."""
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": LR, **options})


def loss_of(parameters, model, x, y):
    return F.cross_entropy(functional_call(model, parameters, (x,)), y)


def descent(model, batches, *, lrs=(LR,), momentum=0.0, clip=math.inf):
    """Gradient descent on copies of the weights, each gradient asked of autograd: the
    final weights as one vector, and the loss of each batch before its step. Rates are
    repeated as needed.
    """
    now = {
        name: p.detach().clone().requires_grad_()
        for name, p in model.named_parameters()
    }
    buffers = {name: torch.zeros_like(p) for name, p in now.items()}
    losses = []
    for t, (x, y) in enumerate(batches):
        loss = loss_of(now, model, x, y)
        gradients = torch.autograd.grad(loss, list(now.values()))
        losses.append(loss.item())
        norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
        for (name, p), g in zip(now.items(), gradients, strict=True):
            buffers[name] = momentum * buffers[name] + g * min(1.0, clip / norm)
            now[name] = (
                (p - lrs[t % len(lrs)] * buffers[name]).detach().requires_grad_()
            )
    return torch.cat([p.detach().flatten() for p in now.values()]), losses


def never_cleared(model, batches, momentum=0.0, old=0.0, averaged=False):
    """Weights after steps along gradients that pile up, from `old` in each place. With
    `averaged`, old gradients are divided by the number of samples together with the
    new ones.
    """
    model = copy.deepcopy(model)
    optimizer = sgd(model, momentum=momentum)
    for p in model.parameters():
        p.grad = torch.full_like(p, old)
    for x, y in batches:
        for p in model.parameters():
            p.grad /= len(x) if averaged else 1
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return weights(model)


def cleared_after_the_step_only(model, batches, old):
    """Weights after steps of which the first also follows what was in
    `.grad` before.
    """
    model = copy.deepcopy(model)
    optimizer = sgd(model)
    for p in model.parameters():
        p.grad = torch.full_like(p, old)
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return weights(model)


def clipped_by_element(model, batches, clip):
    model = copy.deepcopy(model)
    optimizer = sgd(model)
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_value_(model.parameters(), clip)
        optimizer.step()
    return weights(model)


def along_the_sum(model, batches, factor):
    """Weights after one step along the gradients of all batches, added up and
    multiplied by `factor`.
    """
    total = sum(
        loss_of(dict(model.named_parameters()), model, x, y) for x, y in batches
    )
    gradients = torch.autograd.grad(total, list(model.parameters()))
    return weights(model) - LR * factor * torch.cat([g.flatten() for g in gradients])


def state_of(model):
    """Parameters, buffers and gradients by name, as copies."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return state | {
        f"{name}.grad": p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }


class Notes(list):
    """A list that a copy of its owner shares: who evaluates a copy of the model has
    evaluated it.
    """

    def __deepcopy__(self, memo):
        return self


class Probe(nn.Module):
    """Passes its input on, and remembers in which mode."""

    def __init__(self):
        super().__init__()
        self.modes = Notes()

    def forward(self, x):
        self.modes.append("train" if self.training else "eval")
        return x


class Arrived(Exception):
    """Both halves of a batch have been seen; the rest is not of interest."""


def devices_seen(use):
    """The devices of the inputs and targets that model and loss get, as "inputs on …".
    `use(model, loader, loss_fn)` is asked for the device "meta", which every machine
    has. The model's first parameter is there already.
    """
    seen = []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.where = nn.Parameter(torch.zeros(1, device="meta"))
            self.linear = nn.Linear(D, C)

        def forward(self, x):
            seen.append(f"inputs on {x.device.type}")
            return self.linear(torch.zeros(len(x), D))

    def loss_fn(outputs, targets):
        seen.append(f"targets on {targets.device.type}")
        raise Arrived

    try:
        use(Model(), [(torch.randn(4, D), torch.randint(C, (4,)))], loss_fn)
    except Arrived:
        pass
    return seen


def unless(loss_fn, size, value):
    """A loss that is multiplied by `value`, and its gradient with it, for batches of
    this size.
    """
    return lambda outputs, targets: (
        loss_fn(outputs, targets) * (value if len(outputs) == size else 1.0)
    )


class TestTrainOneEpoch:
    def test_each_batch_makes_one_step(self, kata):
        """Forward, loss, backward, step, for each batch in turn. If nothing has moved,
        look for gradients that are cleared between `backward()` and `step()`.
        """
        model, batches = network(), data()
        start = weights(model)
        expected, _ = descent(model, batches, momentum=0.9)
        unlike = {
            "nothing has moved": start,
            "only the first batch": descent(model, batches[:1], momentum=0.9)[0],
            "gradients that are never cleared": never_cleared(
                model, batches, momentum=0.9
            ),
        }
        kata.train_one_epoch(model, batches, F.cross_entropy, sgd(model, momentum=0.9))
        check.close(
            weights(model), expected, unlike=unlike, what="weights after the epoch"
        )

    def test_the_loss_is_per_sample(self, kata):
        """Batches of 4, 4 and 3: the mean over 11 samples is not the mean over 3
        batches. Weight each batch's loss by its size. It is the loss from before the
        batch's step, as a plain float: a tensor would keep its graph alive.
        """
        model, batches = network(), data()
        _, losses = descent(model, batches)
        expected = sum(
            loss * size for loss, size in zip(losses, SIZES, strict=True)
        ) / sum(SIZES)
        still = [
            loss_of(dict(model.named_parameters()), model, x, y).item()
            for x, y in batches
        ]
        unlike = {
            "every batch counts the same: total / len(loader)": sum(losses) / 3,
            "the sum of the batch means over the number of samples": sum(losses)
            / sum(SIZES),
            "the loss of the last batch": losses[-1],
            "all losses from before the first step": sum(
                a * b for a, b in zip(still, SIZES, strict=True)
            )
            / sum(SIZES),
        }
        got = kata.train_one_epoch(model, batches, F.cross_entropy, sgd(model))
        check.close(got, expected, unlike=unlike, what="the epoch's loss")
        check.that(
            type(got) is float, f"wanted a Python float, got {check.describe(got)}"
        )

    def test_train_mode_is_set_in_every_call(self, kata):
        """An evaluation may have left the model in eval mode, where dropout is off and
        batch norm does not learn. So each epoch begins with train mode.
        """
        probe = Probe()
        model, batches = network(probe), data()
        optimizer = sgd(model)
        for _ in range(2):
            model.eval()
            kata.train_one_epoch(model, batches, F.cross_entropy, optimizer)
        unlike = {"`model.train()` is missing at the start of the epoch": ["eval"] * 6}
        check.equal(
            probe.modes,
            ["train"] * 6,
            what="the mode in each forward pass of two epochs",
            unlike=unlike,
        )

    def test_the_norm_is_clipped_before_the_step(self, kata):
        """All gradients together are one vector, and if it is longer than
        `max_grad_norm` it is scaled down, keeping its direction. That has to be done
        between `backward()` and `step()`. A limit that is not reached changes nothing.
        """
        model, batches = network(), data()
        expected, _ = descent(model, batches, clip=0.1)
        unlike = {
            "not clipped between `backward()` and `step()`": descent(model, batches)[0],
            "each element clipped, not the norm": clipped_by_element(
                model, batches, 0.1
            ),
        }
        untouched = copy.deepcopy(model)
        kata.train_one_epoch(
            model, batches, F.cross_entropy, sgd(model), max_grad_norm=0.1
        )
        check.close(
            weights(model),
            expected,
            rtol=1e-4,
            atol=1e-6,
            unlike=unlike,
            what="weights, norm clipped to 0.1",
        )
        expected, _ = descent(untouched, batches)
        kata.train_one_epoch(
            untouched, batches, F.cross_entropy, sgd(untouched), max_grad_norm=1e6
        )
        check.close(
            weights(untouched), expected, what="weights, with a limit of a million"
        )

    def test_the_scheduler_follows_each_step(self, kata):
        """A schedule that is given here counts optimizer steps. The first batch is
        trained at the first rate, so the schedule moves on after the step.
        """
        model, batches = network(), data()
        rates = [LR, 0.5 * LR, 0.1 * LR, 0.01 * LR]
        expected, _ = descent(model, batches, lrs=rates)
        unlike = {
            "the scheduler is not stepped within the epoch": descent(model, batches)[0],
            "the scheduler is stepped before the optimizer": descent(
                model, batches, lrs=rates[1:]
            )[0],
        }
        optimizer = sgd(model)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda t: rates[t] / LR
        )
        kata.train_one_epoch(
            model, batches, F.cross_entropy, optimizer, scheduler=scheduler
        )
        check.close(
            weights(model), expected, unlike=unlike, what="weights after the epoch"
        )
        check.close(
            optimizer.param_groups[0]["lr"],
            rates[3],
            what="the rate after three batches",
        )

    def test_batches_are_moved_to_the_device(self, kata):
        """Loaders give batches on the CPU; the model may live elsewhere. Both inputs
        and targets have to follow. `tensor.to(device)` returns the moved tensor; the
        old one stays where it was.
        """

        def use(model, loader, loss_fn):
            kata.train_one_epoch(
                model,
                loader,
                loss_fn,
                torch.optim.SGD(model.parameters(), lr=LR),
                device="meta",
            )

        check.equal(devices_seen(use), ["inputs on meta", "targets on meta"])

    def test_the_loader_may_be_a_generator_or_a_dataloader(self, kata):
        """A generator has no length and can be iterated only once. A DataLoader stacks
        tensors of a data set.
        """
        model, batches = network(), data()
        expected, losses = descent(model, batches)
        mean = sum(loss * size for loss, size in zip(losses, SIZES, strict=True)) / sum(
            SIZES
        )
        stacked = DataLoader(TensorDataset(*whole(batches)), batch_size=4)
        for name, loader in (
            ("generator", (batch for batch in batches)),
            ("DataLoader", stacked),
        ):
            trained = copy.deepcopy(model)
            got = kata.train_one_epoch(trained, loader, F.cross_entropy, sgd(trained))
            check.close(
                weights(trained), expected, what=f"weights after an epoch over a {name}"
            )
            check.close(got, mean, what=f"loss of an epoch over a {name}")

    @pytest.mark.timeout(60)
    def test_a_model_overfits_one_small_batch(self, kata):
        """A loop that works brings the loss on 16 samples close to 0, whatever their
        labels. Try this first with any new loop: if it fails, nothing else will work.
        """
        x, y = torch.randn(16, D), torch.randint(C, (16,))
        model = nn.Sequential(nn.Linear(D, 64), nn.Tanh(), nn.Linear(64, C))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(60):
            loss = kata.train_one_epoch(model, [(x, y)], F.cross_entropy, optimizer)
        check.that(
            loss < 0.1,
            f"after 60 epochs the loss is {loss:.3f}; it should be below 0.1",
        )

    @pytest.mark.edge
    def test_old_gradients_have_no_influence(self, kata):
        """`backward()` adds to what is in `.grad`. Here something was left in it before
        the call.
        """
        model, batches = network(), data()
        expected, _ = descent(model, batches)
        unlike = {
            "gradients that are never cleared": never_cleared(model, batches, old=2.0),
            "gradients that are cleared after the step only": (
                cleared_after_the_step_only(model, batches, 2.0)
            ),
        }
        for p in model.parameters():
            p.grad = torch.full_like(p, 2.0)
        kata.train_one_epoch(model, batches, F.cross_entropy, sgd(model))
        check.close(
            weights(model), expected, unlike=unlike, what="weights after the epoch"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_loss_that_is_no_number_stops_the_epoch(self, kata, bad):
        """One step along a NaN gradient, and every weight is NaN. So look at the loss
        before the step, and name the batch: the first has index 0. The batches before
        it have been trained on; its own step and the schedule's are not made.
        """
        model, batches = network(), data()
        expected, _ = descent(model, batches[:2])
        optimizer = sgd(model)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1.0)
        with check.raises(FloatingPointError, "2"):
            kata.train_one_epoch(
                model,
                batches,
                unless(F.cross_entropy, 3, bad),
                optimizer,
                scheduler=scheduler,
            )
        unlike = {"a step along a gradient of NaN": torch.full_like(expected, math.nan)}
        check.close(
            weights(model),
            expected,
            unlike=unlike,
            what=f"weights after a loss of {bad} in batch 2",
        )
        check.equal(scheduler.last_epoch, 2, what="steps of the scheduler")

    @pytest.mark.edge
    def test_an_empty_loader_is_an_error(self, kata):
        """No samples have no mean. An empty loader is a mistake (a filter that let
        nothing through, or drop_last on a small data set), so it is an error. An
        exhausted generator is as empty as [].
        """
        model = network()
        for loader in ([], iter(())):
            with check.raises(ValueError):
                kata.train_one_epoch(model, loader, F.cross_entropy, sgd(model))

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_an_epoch_on_the_gpu(self, kata):
        """The model lives on the GPU, the batches come from the CPU: the same epoch as
        on the CPU.
        """
        model, batches = network(), data()
        expected, losses = descent(model, batches)
        model.to("cuda")
        got = kata.train_one_epoch(
            model, batches, F.cross_entropy, sgd(model), device="cuda"
        )
        check.close(weights(model), expected, rtol=1e-6, atol=1e-8, what="weights")
        check.close(
            got,
            sum(loss * size for loss, size in zip(losses, SIZES, strict=True)) / 11,
            rtol=1e-6,
            what="loss",
        )


class TestEvaluate:
    def test_loss_and_accuracy_are_per_sample(self, kata):
        """The same as one forward pass over all samples at once. Batches of different
        sizes have to be weighted.
        """
        model, batches = network(), data()
        x, y = whole(batches)
        with torch.no_grad():
            scores = model(x).numpy()
        right = [
            int(np.argmax(row) == label)
            for row, label in zip(scores, y.tolist(), strict=True)
        ]
        loss = np.mean(
            [
                np.log(np.exp(row).sum()) - row[label]
                for row, label in zip(scores, y.tolist(), strict=True)
            ]
        )
        parts = [F.cross_entropy(model(x), y).item() for x, y in batches]
        unlike = {
            "every batch counts the same": {"loss": sum(parts) / 3},
            "sums, not means": {"loss": loss * 11, "accuracy": float(sum(right))},
        }
        got = kata.evaluate(model, batches, F.cross_entropy)
        check.close(
            got, {"loss": float(loss), "accuracy": sum(right) / 11}, unlike=unlike
        )
        check.equal(
            {key: type(value).__name__ for key, value in got.items()},
            {"loss": "float", "accuracy": "float"},
        )

    @given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
    def test_the_batches_do_not_matter(self, kata, sizes):
        """However the samples are cut into batches, loss and accuracy are those of one
        forward pass over all of them. Half of the labels are the model's own choice.
        The loader is a generator, which has no length: count on the way.
        """
        model, batches = network(), data(sizes)
        batches = [
            (x, torch.where(torch.arange(len(y)) % 2 == 0, model(x).argmax(-1), y))
            for x, y in batches
        ]
        x, y = whole(batches)
        scores = model(x).detach()
        right = sum(
            row.tolist().index(max(row)) == label
            for row, label in zip(scores, y.tolist(), strict=True)
        )
        expected = {
            "loss": F.cross_entropy(scores, y).item(),
            "accuracy": right / len(y),
        }
        check.close(
            kata.evaluate(model, (batch for batch in batches), F.cross_entropy),
            expected,
        )

    def test_samples_that_the_loader_drops_do_not_count(self, kata):
        """With drop_last a loader of 11 samples gives two batches of 4. All labels are
        the model's own choice, so the accuracy is 1. Divide by what was seen, not by
        `len(loader.dataset)`.
        """
        model = network()
        x = torch.randn(11, D, dtype=torch.float64)
        loader = DataLoader(
            TensorDataset(x, model(x).argmax(-1)), batch_size=4, drop_last=True
        )
        unlike = {
            "divided by len(loader.dataset)": 8 / 11,
            "the sum over the batches": 2.0,
        }
        check.close(
            kata.evaluate(model, loader, F.cross_entropy)["accuracy"],
            1.0,
            unlike=unlike,
            what="accuracy",
        )

    def test_the_model_is_in_eval_mode(self, kata):
        """In train mode dropout drops, and batch norm looks at the batch instead of
        what it has learned. The model is in train mode when the function is called.
        `evaluate` of 10 switches it over.
        """
        model, batches = network(nn.BatchNorm1d(H)), data()
        model(whole(batches)[0] + 1)
        training, quiet = copy.deepcopy(model), copy.deepcopy(model).eval()
        expected, by_batch = (
            sum(F.cross_entropy(one(x), y).item() * len(y) for x, y in batches) / 11
            for one in (quiet, training)
        )
        unlike = {"train mode: batch norm looks at the batch": by_batch}
        check.close(
            kata.evaluate(model, batches, F.cross_entropy)["loss"],
            expected,
            unlike=unlike,
            what="loss",
        )

    def test_nothing_in_the_model_changes(self, kata):
        """A measurement changes neither weights, nor batch norm's running statistics,
        nor the gradients that wait for a step. Dropout draws nothing, so the next
        random number is the same as without it.
        """
        model, batches = network(nn.BatchNorm1d(H), nn.Dropout(0.5)), data()
        F.cross_entropy(model(batches[0][0]), batches[0][1]).backward()
        before, generator = state_of(model), torch.get_rng_state()
        kata.evaluate(model, batches, F.cross_entropy)
        check.equal(state_of(model), before, what="the model")
        check.that(
            torch.equal(torch.get_rng_state(), generator), "random numbers were drawn"
        )

    def test_no_graph_is_built(self, kata):
        """Without `torch.no_grad()` every forward pass keeps what a backward pass would
        need. An evaluation then takes as much memory as training.
        """
        heavy = []

        def loss_fn(outputs, targets):
            heavy.append(outputs.requires_grad)
            return F.cross_entropy(outputs, targets)

        kata.evaluate(network(), data(), loss_fn)
        check.equal(
            heavy, [False] * 3, what="whether the outputs of each batch carry a graph"
        )
        check.that(
            torch.is_grad_enabled(),
            "after the call, gradients are switched off for everyone",
        )

    def test_batches_are_moved_to_the_device(self, kata):
        """Inputs and targets both go to the device that is asked for."""
        seen = devices_seen(
            lambda model, loader, loss_fn: kata.evaluate(
                model, loader, loss_fn, device="meta"
            )
        )
        check.equal(seen, ["inputs on meta", "targets on meta"])

    def test_flags_come_back_module_by_module(self, kata):
        """`model.train()` at the end does not restore the flags: it also wakes modules
        that were in eval mode before, and a model that was in eval mode altogether.
        Each module has a flag of its own. Note all flags before the measurement, and
        set each one afterwards.
        """
        probe = Probe()
        for prepare in (
            lambda model: model.train(),
            lambda model: model.eval(),
            lambda model: (model.train(), model[2].eval()),
            lambda model: (model.eval(), model[4].train()),
        ):
            model = network(nn.BatchNorm1d(H), probe, nn.Dropout(0.5))
            prepare(model)
            before = {name: module.training for name, module in model.named_modules()}
            kata.evaluate(model, data(), F.cross_entropy)
            got = {name: module.training for name, module in model.named_modules()}
            unlike = (
                {"train mode at the end, whatever it was": dict.fromkeys(before, True)}
                if not all(before.values())
                else {}
            )
            check.equal(got, before, unlike=unlike, what="training flags")
        check.equal(probe.modes, ["eval"] * 12, what="the mode in each forward pass")

    @pytest.mark.edge
    def test_flags_come_back_after_an_exception(self, kata):
        """After Ctrl-C, or a loss that raises, a model left in eval mode would train on
        without dropout, and nothing would say so. `finally` runs in any case.
        """
        model = network(nn.BatchNorm1d(H), nn.Dropout(0.5)).train()
        model[2].eval()
        before = {name: module.training for name, module in model.named_modules()}

        def loss_fn(outputs, targets):
            raise KeyError("no such class")

        with check.raises(KeyError):
            kata.evaluate(model, data(), loss_fn)
        check.equal(
            {name: module.training for name, module in model.named_modules()},
            before,
            what="training flags",
        )
        check.that(
            torch.is_grad_enabled(),
            "after the exception, gradients are switched off for everyone",
        )

    @pytest.mark.edge
    def test_an_empty_loader_is_an_error(self, kata):
        """No samples have no mean. The flags come back here, too."""
        model = network().train()
        for loader in ([], iter(())):
            with check.raises(ValueError):
                kata.evaluate(model, loader, F.cross_entropy)
            check.that(model.training, "the model was left in eval mode")


class TestAccumulatedStep:
    SIZES = (4, 2, 3)

    def test_it_equals_one_step_on_the_whole_batch(self, kata):
        """Micro-batches of 4, 2 and 3 weigh 4/9, 2/9 and 3/9. Dividing each mean loss
        by 3 gives every micro-batch the same weight, and a sample in a small one more
        than others.
        """
        model, batches = network(), data(self.SIZES)
        start = weights(model)
        expected, _ = descent(model, [whole(batches)])
        unlike = {
            "nothing has moved": start,
            "each micro-batch weighs the same: loss / 3": along_the_sum(
                model, batches, 1 / 3
            ),
            "the sum of the micro-batches' gradients": along_the_sum(
                model, batches, 1.0
            ),
            "one step for each micro-batch": descent(model, batches)[0],
            "only the last micro-batch": descent(model, batches[-1:])[0],
        }
        kata.accumulated_step(model, batches, F.cross_entropy, sgd(model))
        check.close(
            weights(model), expected, unlike=unlike, what="weights after the step"
        )

    def test_the_loss_is_per_sample(self, kata):
        """The result is the mean loss over all 9 samples before the step, as a
        Python float.
        """
        model, batches = network(), data(self.SIZES)
        expected = F.cross_entropy(model(whole(batches)[0]), whole(batches)[1]).item()
        parts = [F.cross_entropy(model(x), y).item() for x, y in batches]
        unlike = {
            "the mean over the micro-batches": sum(parts) / 3,
            "a sum over the samples": expected * 9,
        }
        got = kata.accumulated_step(model, batches, F.cross_entropy, sgd(model))
        check.close(got, expected, unlike=unlike, what="loss")
        check.that(
            type(got) is float, f"wanted a Python float, got {check.describe(got)}"
        )

    def test_the_whole_gradient_is_clipped_once(self, kata):
        """The norm that counts is that of the whole batch's gradient, which is complete
        after the last backward pass. So clip once, just before the step.
        """
        model, batches = network(), data(self.SIZES)
        expected, _ = descent(model, [whole(batches)], clip=0.1)
        unlike = {
            "not clipped": descent(model, [whole(batches)])[0],
            "each element clipped, not the norm": clipped_by_element(
                model, [whole(batches)], 0.1
            ),
            "clipped, and divided by the number of samples afterwards": weights(model)
            + (expected - weights(model)) / 9,
        }
        kata.accumulated_step(
            model, batches, F.cross_entropy, sgd(model), max_grad_norm=0.1
        )
        check.close(
            weights(model),
            expected,
            rtol=1e-4,
            atol=1e-6,
            unlike=unlike,
            what="weights, norm clipped to 0.1",
        )

    def test_the_norm_of_the_average_is_compared_with_the_limit(self, kata):
        """The average over 9 samples is short enough here, so it stays as it is. Their
        sum is 9 times as long, and too long. Average first, then clip.
        """
        model, batches = network(), data(self.SIZES)
        start, (expected, _) = weights(model), descent(model, [whole(batches)])
        # 3 times the norm of the average
        limit = 3 * (expected - start).norm().item() / LR
        unlike = {
            "the sum is clipped, not the average": start + 3 * (expected - start),
            "the sum is clipped, and divided by the number of samples afterwards": start
            + (expected - start) / 3,
        }
        kata.accumulated_step(
            model, batches, F.cross_entropy, sgd(model), max_grad_norm=limit
        )
        check.close(
            weights(model),
            expected,
            rtol=1e-4,
            atol=1e-6,
            unlike=unlike,
            what="weights after the step",
        )

    @given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
    def test_any_micro_batches_equal_the_whole(self, kata, sizes):
        """However the batch is cut into parts, the step and the loss are those of the
        whole batch.
        """
        model, batches = network(), data(sizes)
        expected, (loss,) = descent(model, [whole(batches)])
        check.close(
            kata.accumulated_step(model, batches, F.cross_entropy, sgd(model)),
            loss,
            what="loss",
        )
        check.close(weights(model), expected, what="weights after the step")

    def test_one_call_does_not_reach_into_the_next(self, kata):
        """`backward()` adds to `.grad`, which holds the first call's gradients when the
        second begins. Two calls in a row are two steps with momentum on the two
        whole batches.
        """
        model, first, second = network(), data(self.SIZES), data((2, 5))
        batches = [whole(first), whole(second)]
        expected, _ = descent(model, batches, momentum=0.9)
        unlike = {
            "gradients of the first call that stay": never_cleared(
                model, batches, momentum=0.9
            ),
            "gradients of the first call that stay and are averaged again": (
                never_cleared(model, batches, momentum=0.9, averaged=True)
            ),
        }
        optimizer = sgd(model, momentum=0.9)
        for micro_batches in (first, second):
            kata.accumulated_step(model, micro_batches, F.cross_entropy, optimizer)
        check.close(
            weights(model), expected, unlike=unlike, what="weights after two calls"
        )

    def test_one_graph_at_a_time(self, kata):
        """Memory is the reason for micro-batches: one goes in, its backward pass frees
        its graph, the next one follows. Putting them together first, or adding up their
        losses for one backward pass, needs as much memory as the whole batch.
        """
        model, batches, events = network(), data(self.SIZES), []

        def forward_hook(_, inputs, output):
            events.append(f"forward of {len(output)}")
            output.register_hook(
                lambda gradient: events.append(f"backward of {len(gradient)}")
            )

        model.register_forward_hook(forward_hook)
        kata.accumulated_step(model, batches, F.cross_entropy, sgd(model))
        expected = [
            f"{way} of {size}" for size in self.SIZES for way in ("forward", "backward")
        ]
        check.that(
            events == expected,
            f"wanted {', '.join(expected)}; got {', '.join(events) or 'nothing'}",
        )

    @pytest.mark.edge
    def test_old_gradients_have_no_influence(self, kata):
        """An earlier backward pass left something in `.grad`. `backward()` would add
        to it.
        """
        model, batches = network(), data(self.SIZES)
        expected, _ = descent(model, [whole(batches)])
        unlike = {
            "old gradients stay in": never_cleared(model, [whole(batches)], old=2.0)
        }
        for p in model.parameters():
            p.grad = torch.full_like(p, 2.0)
        kata.accumulated_step(model, batches, F.cross_entropy, sgd(model))
        check.close(
            weights(model), expected, unlike=unlike, what="weights after the step"
        )

    @pytest.mark.edge
    def test_micro_batches_may_come_from_a_generator(self, kata):
        """A generator has no len() and can be iterated only once. The number of samples
        is known after the last micro-batch; the gradients can be divided then.
        """
        model, batches = network(), data(self.SIZES)
        expected, _ = descent(model, [whole(batches)])
        kata.accumulated_step(
            model, (batch for batch in batches), F.cross_entropy, sgd(model)
        )
        check.close(weights(model), expected, what="weights after the step")

    @pytest.mark.edge
    def test_a_parameter_that_takes_no_part_is_left_alone(self, kata):
        """A frozen parameter has no gradient, and neither has one that the forward pass
        does not use. `.grad` is None, which cannot be divided. All other parameters
        make their step.
        """
        model, batches = network(), data(self.SIZES)
        model[0].requires_grad_(False)
        model.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
        model.forward = lambda x: model[2](model[1](model[0](x)))
        start = state_of(model)
        kata.accumulated_step(
            model, batches, F.cross_entropy, sgd(model), max_grad_norm=0.1
        )
        for name in ("0.weight", "0.bias", "unused"):
            check.equal(model.state_dict()[name], start[name], what=name)
        check.that(
            not torch.equal(model[2].weight, start["2.weight"]),
            "the trainable layer has not moved",
        )

    @pytest.mark.edge
    def test_no_micro_batches_are_an_error(self, kata):
        """There is nothing to make a step of. This is an error and moves no weight,
        although `.grad` is not empty.
        """
        model = network()
        start, optimizer = weights(model), sgd(model)
        for p in model.parameters():
            p.grad = torch.full_like(p, 2.0)
        for nothing in ([], iter(())):
            with check.raises(ValueError):
                kata.accumulated_step(model, nothing, F.cross_entropy, optimizer)
        check.equal(weights(model), start, what="weights")


def watch(stopper, values, model=None):
    """The answer of `step` to each value, and the attributes after it: tuples (stop,
    best, best_epoch, bad_epochs).
    """
    model = model or nn.Linear(2, 1)
    return [
        (
            stopper.step(value, model),
            stopper.best,
            stopper.best_epoch,
            stopper.bad_epochs,
        )
        for value in values
    ]


def follows(got, values, expected):
    """`got` from `watch` is as expected; otherwise the first call that is not
    is named.
    """
    for call, (value, ours, right) in enumerate(
        zip(values, got, expected, strict=True)
    ):
        if ours != right or [type(part) for part in ours] != [
            type(part) for part in right
        ]:
            names = ("step", "best", "best_epoch", "bad_epochs")
            parts = [
                (n, a, b)
                for n, a, b in zip(names, ours, right, strict=True)
                if a is not b and a != b
            ]
            row = "; ".join(
                f"{name} {mine}, expected {wanted}" for name, mine, wanted in parts
            )
            row = row or f"{ours}, expected {right}: another type"
            turned = (
                "the best value with its sign turned, as it is compared"
                if ours[1] == -right[1]
                else ""
            )
            check.that(
                False,
                f"values {values}; after call {call}, with the value {value}: {row}",
                like=turned,
            )


@st.composite
def courses(draw):
    """A mode, a patience, and the values of some epochs, with many equal ones and 0.0
    among them.
    """
    values = st.lists(
        st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=8
    )
    return draw(st.sampled_from(["min", "max"])), draw(st.integers(1, 3)), draw(values)


@pytest.mark.stretch
class TestEarlyStoppingStep:
    def test_it_stops_when_patience_runs_out(self, kata):
        """Patience 2: the second epoch in a row without a better value is the one to
        stop after. Calls are counted from 0, and `bad_epochs` counts those since the
        best one.
        """
        values = [1.0, 0.75, 0.875, 0.8125]
        expected = [
            (False, 1.0, 0, 0),
            (False, 0.75, 1, 0),
            (False, 0.75, 1, 1),
            (True, 0.75, 1, 2),
        ]
        follows(watch(kata.EarlyStopping(patience=2), values), values, expected)

    def test_a_gain_must_exceed_min_delta(self, kata):
        """Better means better than `best` by more than min_delta. A gain of exactly
        min_delta is too small, and so are small gains one after the other, each
        compared with the best and not with the value before. They do add up.
        """
        values = [1.0, 0.75, 0.875, 0.625, 0.5]
        expected = [
            (False, 1.0, 0, 0),
            (False, 1.0, 0, 1),
            (False, 1.0, 0, 2),
            (False, 0.625, 3, 0),
            (False, 0.625, 3, 1),
        ]
        follows(
            watch(kata.EarlyStopping(patience=4, min_delta=0.25), values),
            values,
            expected,
        )

    def test_in_mode_max_more_is_better(self, kata):
        """For an accuracy the larger value is better, by more than min_delta again."""
        values = [-2.0, -1.0, -0.75, -0.5, 0.5, 0.25, 0.5]
        expected = [
            (False, -2.0, 0, 0),
            (False, -1.0, 1, 0),
            (False, -1.0, 1, 1),
            (False, -1.0, 1, 2),
            (False, 0.5, 4, 0),
            (False, 0.5, 4, 1),
            (False, 0.5, 4, 2),
        ]
        follows(
            watch(kata.EarlyStopping(patience=4, min_delta=0.5, mode="max"), values),
            values,
            expected,
        )

    @given(case=courses())
    def test_the_best_epoch_is_the_first_with_the_best_value(self, kata, case):
        """An equal value is no gain, a better one starts the count again, and 0.0 is a
        value like any other. So `best_epoch` is the first place of the smallest value
        so far (of the largest, in mode "max"). The calls since then are the bad ones.
        """
        mode, patience, values = case
        best_of = min if mode == "min" else max
        expected = []
        for call in range(len(values)):
            best = best_of(values[: call + 1])
            since = call - values.index(best)
            expected.append((since >= patience, best, values.index(best), since))
        follows(
            watch(kata.EarlyStopping(patience, mode=mode), values), values, expected
        )

    def test_restore_brings_the_best_weights_back(self, kata):
        """The stopper of 10 keeps a copy of the weights when its number improves. Hand
        the model of every epoch to it. The best weights are those at the last better
        value, not the first or the last of all.
        """
        model, stopper, states = network(), kata.EarlyStopping(patience=5), []
        for value in (1.0, 0.5, 0.75, 2.0):
            with torch.no_grad():
                for p in model.parameters():
                    p += torch.randn_like(p)
            states.append(weights(model))
            stopper.step(value, model)
        stopper.restore(model)
        first, best, third, last = states
        unlike = {
            "those of the first call": first,
            "those of the third call": third,
            "the last ones: the kept state is no copy?": last,
        }
        check.close(weights(model), best, unlike=unlike, what="weights after restore")

    def test_buffers_are_part_of_the_best(self, kata):
        """Best weights with the running statistics of another epoch are a model that
        never existed. They are in the state_dict, but not among the parameters.
        """
        model, stopper = network(nn.BatchNorm1d(H)), kata.EarlyStopping()
        model(data()[0][0])
        stopper.step(1.0, model)
        best = state_of(model)
        model(10 + data()[1][0])
        stopper.step(2.0, model)
        stopper.restore(model)
        check.equal(state_of(model), best, what="state_dict after restore")

    @pytest.mark.edge
    def test_nan_is_never_better(self, kata):
        """Every comparison with NaN is False. `not (value > best)` takes NaN for a
        gain, and after it any value. With `value < best`, a NaN that came first is
        never beaten. It is a bad epoch like others, also at the very start.
        """
        nan = math.nan
        values = [nan, 0.5, nan, 0.25, nan, nan]
        expected = [
            (False, None, None, 1),
            (False, 0.5, 1, 0),
            (False, 0.5, 1, 1),
            (False, 0.25, 3, 0),
            (False, 0.25, 3, 1),
            (True, 0.25, 3, 2),
        ]
        for mode, sign in (("min", 1), ("max", -1)):
            signed = [sign * value for value in values]
            right = [
                (stop, None if best is None else sign * best, *rest)
                for stop, best, *rest in expected
            ]
            follows(
                watch(kata.EarlyStopping(patience=2, mode=mode), signed), signed, right
            )
        follows(
            watch(kata.EarlyStopping(patience=1), [nan]), [nan], [(True, None, None, 1)]
        )


class Watcher:
    """An early stopping that does as it is told: call `best_epoch` is the best, and
    after call `last` it is time.
    """

    def __init__(self, best_epoch, last):
        self.best, self.best_epoch, self.bad_epochs = None, None, 0
        self.told, self.last, self.values, self.states = best_epoch, last, [], []

    def __repr__(self):
        return (
            f"a stand-in for EarlyStopping: best epoch {self.told}, stop after epoch "
            f"{self.last}"
        )

    def step(self, value, model):
        self.values.append(value)
        self.states.append(copy.deepcopy(model.state_dict()))
        if len(self.values) - 1 == self.told:
            self.best, self.best_epoch = value, self.told
        return len(self.values) - 1 == self.last

    def restore(self, model):
        if self.best is None:
            raise RuntimeError("there is no best epoch")
        model.load_state_dict(self.states[self.told])


def after(ordinary, loss_fn):
    """A loss that is a plain one in its first `ordinary` calls, and
    `loss_fn` afterwards.
    """
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        return (
            outputs.square().mean()
            if len(calls) <= ordinary
            else loss_fn(outputs, targets)
        )

    return loss


def by_hand(model, train, val, rates, **options):
    """The result of a run with one rate per epoch: weights, and the history without its
    epochs' numbers.
    """
    model, history = copy.deepcopy(model), []
    for lr in rates:
        now, losses = descent(model, train, lrs=(lr,), **options)
        nn.utils.vector_to_parameters(now, model.parameters())
        with torch.no_grad():
            scores, y = model(whole(val)[0]), whole(val)[1]
        train_loss = sum(
            loss * len(y) for loss, (_, y) in zip(losses, train, strict=True)
        ) / len(whole(train)[0])
        accuracy = (scores.argmax(-1) == y).double().mean().item()
        history.append(
            {
                "lr": lr,
                "train_loss": train_loss,
                "val_loss": F.cross_entropy(scores, y).item(),
                "val_accuracy": accuracy,
            }
        )
    return weights(model), history


@pytest.mark.stretch
class TestFit:
    def test_the_history_has_a_dict_for_each_epoch(self, kata):
        """Train, evaluate and record, `epochs` times. Losses and accuracy are per
        sample; validation uses the weights after the epoch.
        """
        model, train, val = network(), data(), data((5, 2))
        expected, history = by_hand(model, train, val, [LR] * 4)
        got = kata.fit(model, train, val, F.cross_entropy, sgd(model), epochs=4)
        check.close(
            got,
            [{"epoch": epoch, **row} for epoch, row in enumerate(history)],
            what="history",
        )
        check.close(weights(model), expected, what="weights at the end")

    def test_the_rate_is_the_one_the_epoch_used(self, kata):
        """A schedule that is given here counts epochs. Record the rate before it moves
        on, or the history is one epoch ahead.
        """
        model, train, val = network(), data(), data((5, 2))
        rates = [LR, LR, 0.5 * LR, 0.5 * LR, 0.25 * LR]
        expected, history = by_hand(model, train, val, rates)
        optimizer = sgd(model)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        got = kata.fit(
            model, train, val, F.cross_entropy, optimizer, epochs=5, scheduler=scheduler
        )
        ahead = [LR, 0.5 * LR, 0.5 * LR, 0.25 * LR, 0.25 * LR]
        unlike = {
            "the rates after the schedule has moved on": [{"lr": lr} for lr in ahead],
            "a schedule that never moves": [{"lr": LR}] * 5,
        }
        check.close(
            [{"lr": row["lr"]} for row in got],
            [{"lr": lr} for lr in rates],
            unlike=unlike,
            what="rates",
        )
        unlike = {
            "a schedule that is stepped once a batch": descent(
                model, train * 5, lrs=[LR * 0.5 ** (t // 2) for t in range(15)]
            )[0]
        }
        check.close(weights(model), expected, unlike=unlike, what="weights at the end")
        check.equal(scheduler.last_epoch, 5, what="steps of the scheduler")

    def test_it_stops_when_told(self, kata):
        """`early_stopping.step` is called once after each epoch, with the validation
        loss, and when it returns True no more epochs follow. Then the best epoch's
        weights are restored.
        """
        model, train, val = network(), data(), data((5, 2))
        best, history = by_hand(model, train, val, [LR] * 2)
        last, history = by_hand(model, train, val, [LR] * 4)
        watcher = Watcher(best_epoch=1, last=3)
        got = kata.fit(
            model,
            train,
            val,
            F.cross_entropy,
            sgd(model),
            epochs=20,
            early_stopping=watcher,
        )
        check.equal(len(got), 4, what="epochs, when the fourth is said to be the last")
        unlike = {"the training losses": [row["train_loss"] for row in history]}
        check.close(
            watcher.values,
            [row["val_loss"] for row in history],
            unlike=unlike,
            what="values that it was given",
        )
        check.close(
            weights(model),
            best,
            unlike={"those of the last epoch": last},
            what="weights at the end",
        )

    def test_the_best_weights_come_back_also_at_the_last_epoch(self, kata):
        """Patience need not run out for the best epoch to lie in the past."""
        model, train, val = network(), data(), data((5, 2))
        best, _ = by_hand(model, train, val, [LR])
        last, _ = by_hand(model, train, val, [LR] * 3)
        watcher = Watcher(best_epoch=0, last=None)
        got = kata.fit(
            model,
            train,
            val,
            F.cross_entropy,
            sgd(model),
            epochs=3,
            early_stopping=watcher,
        )
        check.equal(len(got), 3, what="epochs")
        check.close(
            weights(model),
            best,
            unlike={"those of the last epoch": last},
            what="weights at the end",
        )

    def test_patience_decides_how_long_it_runs(self, kata):
        """The validation labels have nothing to do with the inputs. On the way from
        weights that are wrong for the training data to right ones, the validation loss
        falls, and then rises for good. The run has best_epoch + 1 epochs up to the best
        one, and `patience` more.
        """
        x = torch.eye(D, dtype=torch.float64)
        train, y = [(x, torch.arange(D))], torch.randint(D, (5 * D,))
        val = [(x.repeat(5, 1), y)]
        model = nn.Linear(D, D, bias=False).double()
        with torch.no_grad():
            model.weight.copy_(-4 * torch.eye(D))
        stopper = kata.EarlyStopping(patience=3)
        optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
        got = kata.fit(
            model,
            train,
            val,
            F.cross_entropy,
            optimizer,
            epochs=200,
            early_stopping=stopper,
        )
        losses = [row["val_loss"] for row in got]
        check.equal(stopper.best_epoch, losses.index(min(losses)), what="best_epoch")
        check.equal(len(got), stopper.best_epoch + 3 + 1, what="epochs")
        check.close(
            F.cross_entropy(model(val[0][0]), y).item(),
            min(losses),
            what="validation loss of the weights at the end",
        )

    def test_clipping_is_passed_on(self, kata):
        """`max_grad_norm` acts in every step of every epoch."""
        model, train, val = network(), data(), data((5, 2))
        expected, _ = by_hand(model, train, val, [LR] * 2, clip=0.1)
        unlike = {"not clipped": by_hand(model, train, val, [LR] * 2)[0]}
        kata.fit(
            model, train, val, F.cross_entropy, sgd(model), epochs=2, max_grad_norm=0.1
        )
        check.close(
            weights(model),
            expected,
            rtol=1e-4,
            atol=1e-6,
            unlike=unlike,
            what="weights at the end",
        )

    def test_the_device_is_passed_on(self, kata):
        """Batches go to the device that is asked for, for training and
        for evaluation.
        """
        # how many losses pass before the one that is looked at: the epoch has one of
        # each kind
        for ordinary in (0, 1):

            def use(model, loader, loss_fn):
                loss = after(ordinary, loss_fn)
                kata.fit(
                    model,
                    loader,
                    loader,
                    loss,
                    torch.optim.SGD(model.parameters(), lr=LR),
                    epochs=1,
                    device="meta",
                )

            what = ("training", "evaluation")[ordinary]
            check.equal(
                devices_seen(use)[-2:],
                ["inputs on meta", "targets on meta"],
                what=f"a batch of the {what}",
            )

    @pytest.mark.edge
    def test_the_rate_is_that_of_the_first_group(self, kata):
        """An optimizer may have several groups with rates of their own. The history
        records the first.
        """
        model = network()
        optimizer = torch.optim.SGD(
            [
                {"params": model[0].parameters(), "lr": 0.25},
                {"params": model[2].parameters(), "lr": 0.5},
            ]
        )
        got = kata.fit(
            model, data(), data((5, 2)), F.cross_entropy, optimizer, epochs=1
        )
        check.close(
            got[0]["lr"], 0.25, unlike={"the rate of the last group": 0.5}, what="lr"
        )

    @pytest.mark.edge
    def test_without_a_usable_value_the_last_weights_stay(self, kata):
        """Every validation loss is NaN, so there is no best epoch to restore. That is
        no error: the history shows it, and the training is not lost.
        """
        model, train = network(), data()
        val = [
            (
                torch.full((2, D), math.nan, dtype=torch.float64),
                torch.zeros(2, dtype=torch.int64),
            )
        ]
        last, _ = by_hand(model, train, data((5, 2)), [LR] * 3)
        watcher = Watcher(best_epoch=None, last=2)
        got = kata.fit(
            model,
            train,
            val,
            F.cross_entropy,
            sgd(model),
            epochs=9,
            early_stopping=watcher,
        )
        check.that(
            len(got) == 3 and math.isnan(got[-1]["val_loss"]),
            "wanted three epochs with a validation loss of NaN",
        )
        check.close(weights(model), last, what="weights at the end")


class Unsaveable:
    """Nothing that can be pickled: it refuses in the middle of saving."""

    def __reduce__(self):
        raise RuntimeError("this cannot be saved")


class CallsAFunction:
    """An object whose pickle calls the function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def listing(folder):
    return sorted(os.listdir(folder))


def generator_states():
    """The states of the global generators, as text, the pending values included."""
    numpy_state = np.random.get_state()
    return {
        "torch": str(torch.get_rng_state().tolist()),
        "random": str(random.getstate()),
        "NumPy": str((numpy_state[1].tolist(), *numpy_state[2:])),
    }


def stir():
    """Bring the global generators into states of their own, random and NumPy with a
    second normal value pending.
    """
    torch.rand(3)
    random.gauss(0, 1)
    np.random.randn()


class Job:
    """A run with everything that a checkpoint must hold: dropout, moments, a schedule,
    a scaler, batches drawn by a generator of its own.
    """

    def __init__(self, seed):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        self.model = nn.Sequential(
            nn.Linear(D, H), nn.BatchNorm1d(H), nn.Dropout(0.3), nn.Linear(H, C)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.StepLR(
            self.optimizer, step_size=3, gamma=0.5
        )
        self.scaler = torch.amp.GradScaler(
            "cpu", init_scale=1024.0 * (1 + seed), growth_interval=4
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.x = torch.linspace(-2, 2, 20 * D).reshape(20, D).sin()
        self.y = torch.arange(20) % C

    def __repr__(self):
        return "a run with model, optimizer, scheduler, scaler and generator"

    @property
    def parts(self):
        return {
            "scheduler": self.scheduler,
            "scaler": self.scaler,
            "generators": {"batches": self.generator},
        }

    def save(self, kata, path, **options):
        kata.save_checkpoint(path, self.model, self.optimizer, **self.parts, **options)

    def load(self, kata, path):
        return kata.load_checkpoint(path, self.model, self.optimizer, **self.parts)

    def run(self, steps):
        """The loss, the rate and the scale of each step."""
        told = []
        for _ in range(steps):
            chosen = torch.randperm(20, generator=self.generator)[:8]
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(self.x[chosen]), self.y[chosen])
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            told.append(
                [
                    loss.item(),
                    self.optimizer.param_groups[0]["lr"],
                    self.scaler.get_scale(),
                ]
            )
            self.scheduler.step()
        return told


class TestSaveCheckpoint:
    def test_the_file_opens_with_weights_only(self, kata, tmp_path):
        """A pickle can run any code when it is loaded. `weights_only=True` refuses all
        but plain data: tensors, numbers, strings, lists, tuples, dicts. A NumPy array
        or a generator is not among them, but their states can be turned into such data.
        """
        job = Job(1)
        job.run(1)
        for path in (tmp_path / "as_path.pt", str(tmp_path / "as_str.pt")):
            job.save(
                kata,
                path,
                step=3,
                extra={"best": 0.5, "names": ["a", "b"], "curve": torch.arange(4.0)},
            )
            try:
                torch.load(path, weights_only=True)
            except Exception as error:
                refused = re.search(r"GLOBAL (\S+)", str(error))
                because = (
                    f"the file asks for {refused[1]}"
                    if refused
                    else f"{type(error).__name__}: {str(error)[:200]}"
                )
                check.that(
                    False,
                    f"torch.load(…, weights_only=True) refuses the file: {because}",
                )

    def test_one_part_may_be_saved_without_the_others(self, kata, tmp_path):
        """Scheduler, scaler, generators and extra are optional, each on its own."""
        job = Job(1)
        for options in (
            {},
            {"scheduler": job.scheduler},
            {"scaler": job.scaler},
            {"extra": {}},
            {"generators": {}},
        ):
            kata.save_checkpoint(
                tmp_path / "run.pt", job.model, job.optimizer, **options
            )
            check.that(
                (tmp_path / "run.pt").is_file(),
                f"there is no file after saving with {list(options)}",
            )

    def test_saving_changes_nothing(self, kata, tmp_path):
        """A run that writes checkpoints takes the same course as one that does not: no
        random number is drawn, no mode changes, nothing moves.
        """
        job = Job(1)
        job.run(3)
        job.model.eval()
        before, generators = state_of(job.model), generator_states()
        moments, own = (
            copy.deepcopy(job.optimizer.state_dict()["state"]),
            job.generator.get_state(),
        )
        job.save(kata, tmp_path / "run.pt")
        check.equal(state_of(job.model), before, what="the model")
        check.equal(
            job.optimizer.state_dict()["state"], moments, what="the optimizer's state"
        )
        changed = [
            name
            for name, state in generator_states().items()
            if state != generators[name]
        ]
        check.that(not changed, f"the generator of {' and '.join(changed)} has moved")
        check.equal(
            job.generator.get_state(), own, what="state of the run's own generator"
        )
        check.that(
            not any(module.training for module in job.model.modules()),
            "the model was in eval mode and is not now",
        )

    @pytest.mark.edge
    def test_nothing_else_is_left_in_the_folder(self, kata, tmp_path):
        """The file that is written beside the checkpoint takes its place, so no other
        file is left.
        """
        job = Job(1)
        for step in range(2):
            job.save(kata, tmp_path / "run.pt", step=step)
            check.equal(
                listing(tmp_path),
                ["run.pt"],
                what=f"files in the folder after {step + 1} saves",
            )

    @pytest.mark.edge
    def test_the_new_file_is_written_beside_the_old_one(self, kata, tmp_path):
        """A rename works only within one disk, and a copy is not atomic. So write the
        new file in the folder of `path`. The system's folder for temporary files may be
        on another disk, as it is here.
        """
        job, path = Job(1), tmp_path / "run.pt"
        with check.folders_on_disks_of_their_own():
            job.save(kata, path, step=1)
            before = os.stat(path).st_ino
            job.save(kata, path, step=2)
        check.that(
            os.stat(path).st_ino != before,
            "the second save wrote into the file of the first one",
        )

    @pytest.mark.edge
    def test_a_failed_save_leaves_the_old_file_alone(self, kata, tmp_path):
        """`torch.save(…, path)` empties the file first. If it then meets something that
        it cannot save, or a full disk, both checkpoints are gone. Here a value in
        `extra` cannot be saved: the error comes through, the old file is as it was, and
        no half-written one lies beside it.
        """
        job, path = Job(1), tmp_path / "run.pt"
        job.save(kata, path, step=7)
        old = path.read_bytes()
        for value in (lambda: None, Unsaveable()):
            with check.raises(Exception):
                job.save(kata, path, step=8, extra={"value": value})
            check.that("run.pt" in listing(tmp_path), "the old checkpoint is gone")
            check.that(path.read_bytes() == old, "the old checkpoint was overwritten")
            check.equal(
                listing(tmp_path),
                ["run.pt"],
                what="files in the folder after the failure",
            )


class TestLoadCheckpoint:
    def saved(self, kata, tmp_path, **options):
        """A job after five steps, and the path of its checkpoint."""
        job, path = Job(1), tmp_path / "run.pt"
        job.run(5)
        job.save(kata, path, **options)
        return job, path

    def test_the_model_comes_back(self, kata, tmp_path):
        """Parameters and buffers, into the Parameter objects that are there: the
        optimizer holds those.
        """
        job, path = self.saved(kata, tmp_path)
        other = Job(2)
        parameters = list(other.model.parameters())
        other.load(kata, path)
        check.equal(
            dict(other.model.state_dict()),
            dict(job.model.state_dict()),
            what="state_dict",
        )
        same = all(
            p is q for p, q in zip(other.model.parameters(), parameters, strict=True)
        )
        check.that(
            same,
            "the model has new Parameter objects; its optimizer still holds the old "
            "ones",
        )

    def test_optimizer_scheduler_and_scaler_come_back(self, kata, tmp_path):
        """Moments and counts of steps, the rates in the groups, the position in the
        schedule, the scale for float16. Without the moments the first steps after a
        load are those of a fresh Adam, and the loss jumps.
        """
        job, path = self.saved(kata, tmp_path)
        other = Job(2)
        other.load(kata, path)
        check.equal(
            other.optimizer.state_dict()["state"],
            job.optimizer.state_dict()["state"],
            what="the moments",
        )
        check.close(
            other.optimizer.param_groups[0]["lr"],
            job.optimizer.param_groups[0]["lr"],
            what="the rate",
        )
        check.equal(
            other.scheduler.last_epoch,
            job.scheduler.last_epoch,
            what="steps of the scheduler",
        )
        check.close(
            other.scaler.state_dict(),
            job.scaler.state_dict(),
            what="the scaler's state",
        )

    def test_generators_come_back_by_name(self, kata, tmp_path):
        """A run may have several generators of its own. Each has its state under its
        name, whatever the order.
        """
        job = Job(1)
        ours = {
            name: torch.Generator().manual_seed(seed)
            for name, seed in (("shuffle", 5), ("noise", 6))
        }
        expected = {name: g.get_state() for name, g in ours.items()}
        kata.save_checkpoint(
            tmp_path / "run.pt", job.model, job.optimizer, generators=ours
        )
        for g in ours.values():
            torch.rand(3, generator=g)
        fresh = {name: torch.Generator() for name in ("noise", "shuffle")}
        kata.load_checkpoint(
            tmp_path / "run.pt", job.model, job.optimizer, generators=fresh
        )
        for name, state in expected.items():
            others = {
                "not restored: as a new generator is": torch.Generator().get_state(),
                "the other generator's": expected[
                    "noise" if name == "shuffle" else "shuffle"
                ],
            }
            check.equal(
                fresh[name].get_state(),
                state,
                unlike=others,
                what=f"state of the generator {name!r}",
            )

    def test_resuming_is_bitwise(self, kata, tmp_path):
        """Five steps, a checkpoint, six more; and in a fresh run, a load and six more.
        Every loss, rate and scale is the same, to the last bit, and so are the weights:
        torch's generator draws the dropout and belongs to the run. Something that was
        left out shows here, at once or when the schedule next moves.
        """
        job, path = self.saved(kata, tmp_path)
        expected = job.run(6)
        other = Job(2)
        other.run(2)
        other.load(kata, path)
        got = other.run(6)
        names = ("loss", "rate", "scale")
        for step, (ours, right) in enumerate(zip(got, expected, strict=True)):
            for name, a, b in zip(names, ours, right, strict=True):
                check.that(
                    a == b,
                    f"{name} in step {step} after the load: {a!r}, without the "
                    f"interruption {b!r}",
                )
        check.equal(
            weights(other.model),
            weights(job.model),
            what="weights after six more steps",
        )

    def test_step_and_extra_are_returned(self, kata, tmp_path):
        """Both as they were saved, in a dict. Extra is {} if there was none, and
        step 0.
        """
        extra = {
            "best": 0.5,
            "names": ["a", "b"],
            "nested": {"curve": torch.arange(4.0), "done": False, "note": None},
        }
        job, path = self.saved(kata, tmp_path, step=41, extra=extra)
        check.equal(job.load(kata, path), {"step": 41, "extra": extra})
        job.save(kata, path)
        check.equal(job.load(kata, str(path)), {"step": 0, "extra": {}})

    def test_what_is_not_asked_for_is_passed_over(self, kata, tmp_path):
        """An evaluation does not need the schedule. Parts of the file that are not
        asked for are ignored, and objects that are not passed in are not touched.
        """
        job, path = self.saved(kata, tmp_path, step=5)
        own = job.generator.manual_seed(9).get_state()
        got = kata.load_checkpoint(path, job.model, job.optimizer)
        check.equal(got["step"], 5, what="step")
        check.equal(
            job.generator.get_state(),
            own,
            what="state of a generator that was not handed over",
        )

    def test_map_location_reaches_torch_load(self, kata, tmp_path):
        """A run saved on a GPU may have to continue without one. `torch.load` moves
        tensors as its map_location says: a device, or, as here, a function that is
        asked for every tensor.
        """
        job, path = self.saved(kata, tmp_path, extra={"curve": torch.arange(4.0)})
        asked = []

        def location(storage, place):
            asked.append(place)
            return storage

        kata.load_checkpoint(path, job.model, job.optimizer, map_location=location)
        check.that(asked, "the function given as map_location was never called")

    def test_code_in_a_file_is_not_run(self, kata, tmp_path):
        """A pickle can call any function when it is loaded; here it makes a folder.
        With `weights_only=True` such a file is refused before anything is called.
        """
        job, path = Job(1), tmp_path / "from_a_stranger.pt"
        torch.save(
            {"model": CallsAFunction(os.mkdir, str(tmp_path / "made_by_the_file"))},
            path,
        )
        try:
            job.load(kata, path)
        except NotImplementedError:
            raise
        except Exception:
            pass  # refused, in whatever words
        check.equal(
            listing(tmp_path),
            ["from_a_stranger.pt"],
            what="the folder, after a file with a call was loaded",
        )

    @pytest.mark.edge
    def test_generators_of_python_and_numpy_come_back(self, kata, tmp_path):
        """`random` and NumPy often draw the augmentation of data. `random.gauss` and
        `np.random.randn` make two values at a time; the second one, which waits for its
        turn, is part of the state.
        """
        job = Job(1)
        stir()
        job.save(kata, tmp_path / "run.pt")
        expected = generator_states()
        stir()
        job.load(kata, tmp_path / "run.pt")
        for name, state in generator_states().items():
            check.that(
                state == expected[name],
                f"the generator of {name} is not where it was when the run was saved",
            )

    @pytest.mark.edge
    def test_a_missing_part_is_named_and_nothing_is_loaded(self, kata, tmp_path):
        """A schedule without a saved state would start over, silently. So the error
        names what is missing, and it comes before anything has been changed: half a
        load is worse than none.
        """
        job, path = Job(1), tmp_path / "run.pt"
        kata.save_checkpoint(
            path, job.model, job.optimizer, generators={"batches": job.generator}
        )
        other = Job(2)
        other.run(1)
        noise = torch.Generator().manual_seed(7)
        for name, parts in (
            ("scheduler", {"scheduler": other.scheduler}),
            ("scaler", {"scaler": other.scaler}),
            (
                "augmentation",
                {"generators": {"batches": other.generator, "augmentation": noise}},
            ),
        ):
            before, generators = state_of(other.model), generator_states()
            own, moments = (
                other.generator.get_state(),
                copy.deepcopy(other.optimizer.state_dict()["state"]),
            )
            with check.raises(ValueError, name):
                kata.load_checkpoint(path, other.model, other.optimizer, **parts)
            unlike = {"the model was loaded before the error": state_of(job.model)}
            check.equal(
                state_of(other.model),
                before,
                unlike=unlike,
                what="the model, after the error",
            )
            check.equal(
                other.optimizer.state_dict()["state"],
                moments,
                what="the optimizer's state, after the error",
            )
            check.equal(
                other.generator.get_state(),
                own,
                what="state of the generator 'batches', after the error",
            )
            changed = [
                kind
                for kind, state in generator_states().items()
                if state != generators[kind]
            ]
            check.that(
                not changed,
                f"the generator of {' and '.join(changed)} was changed although the "
                "load failed",
            )

    @pytest.mark.edge
    def test_an_empty_state_is_not_a_missing_one(self, kata, tmp_path):
        """A scaler that is switched off has an empty state_dict, {}. It was saved all
        the same. Ask whether the part is in the file, not whether its state is true.
        """
        job, off = Job(1), torch.amp.GradScaler("cpu", enabled=False)
        kata.save_checkpoint(tmp_path / "run.pt", job.model, job.optimizer, scaler=off)
        got = kata.load_checkpoint(
            tmp_path / "run.pt", job.model, job.optimizer, scaler=off
        )
        check.equal(got, {"step": 0, "extra": {}})

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_a_run_moves_between_cpu_and_gpu(self, kata, tmp_path):
        """Saved on the GPU and loaded on the CPU, and the other way round with
        map_location "cuda". States of generators are CPU tensors wherever the rest
        goes. The generator of the CUDA device comes back as well.
        """
        job, path = Job(1), tmp_path / "run.pt"
        job.run(2)
        there = copy.deepcopy(job.model).to("cuda")
        optimizer = torch.optim.AdamW(there.parameters(), lr=0.1)
        kata.save_checkpoint(
            path,
            there,
            optimizer,
            generators={"batches": job.generator},
            extra={"curve": torch.arange(4.0)},
        )
        drawn = torch.rand(5, device="cuda")
        own = {"batches": torch.Generator()}
        got = kata.load_checkpoint(
            path, there, optimizer, generators=own, map_location="cuda"
        )
        check.equal(
            got["extra"]["curve"].device.type,
            "cuda",
            what="device of a tensor in extra",
        )
        check.equal(
            torch.rand(5, device="cuda").cpu(),
            drawn.cpu(),
            what="numbers drawn on the GPU after the load",
        )
        check.equal(
            own["batches"].get_state(),
            job.generator.get_state(),
            what="state of the run's own generator",
        )
        other = Job(2)
        kata.load_checkpoint(path, other.model, other.optimizer)
        check.equal(
            dict(other.model.state_dict()),
            dict(job.model.state_dict()),
            what="state_dict on the CPU",
        )


@pytest.mark.stretch
class TestGradientReport:
    def with_gradients(self):
        """A network whose gradients are numbers from a normal distribution around 1."""
        model = network()
        for p in model.parameters():
            p.grad = 1 + torch.randn_like(p)
        return model

    def test_norm_mean_and_std_of_each_gradient(self, kata):
        """There is one entry per parameter, in the model's order. The norm is the root
        of the sum of squares, even for a matrix. Mean and deviation are over all
        elements, and the deviation is divided by n.
        """
        model = self.with_gradients()
        expected, sample, largest = {}, {}, {}
        for name, p in model.named_parameters():
            g = p.grad.numpy().ravel()
            numbers = {
                "norm": math.sqrt(float((g**2).sum())),
                "mean": float(g.mean()),
                "std": float(g.std()),
            }
            expected[name] = {"status": "ok", **numbers}
            sample[name] = {"std": float(g.std(ddof=1))}
            largest[name] = {"norm": float(abs(g).max())}
        got = kata.gradient_report(model)
        check.equal(list(got), list(expected), what="names, in order")
        unlike = {
            "the deviation of a sample, divided by n - 1": sample,
            "the largest absolute value": largest,
        }
        check.close(
            {name: dict(row) for name, row in got.items()}, expected, unlike=unlike
        )
        kinds = {
            key: type(got["0.weight"][key]).__name__ for key in ("norm", "mean", "std")
        }
        check.equal(
            kinds,
            dict.fromkeys(kinds, "float"),
            what="types of the numbers, which are there to be printed",
        )

    def test_one_element_has_no_spread(self, kata):
        """`g.std()` divides by n - 1, which is 0 for the bias of a single output, and
        gives NaN: a false alarm. As a population, one element has a deviation of 0.
        """
        model = nn.Linear(3, 1)
        model.weight.grad, model.bias.grad = torch.ones(1, 3), torch.tensor([-2.0])
        row = dict(kata.gradient_report(model)["bias"])
        check.close(row, {"status": "ok", "norm": 2.0, "mean": -2.0, "std": 0.0})

    def test_no_gradient_is_missing(self, kata):
        """`.grad` is None: the parameter took no part in the loss, or nobody called
        `backward()`. That is a status of its own, and there is nothing to measure. A
        gradient of zeros is something else.
        """
        model = self.with_gradients()
        model[0].bias.grad, model[2].bias.grad = (
            None,
            torch.zeros(C, dtype=torch.float64),
        )
        got = kata.gradient_report(model)
        nothing = {"status": "missing", "norm": None, "mean": None, "std": None}
        check.equal(dict(got["0.bias"]), nothing, what="where .grad is None")
        check.close(
            dict(got["2.bias"]),
            {"status": "ok", "norm": 0.0, "mean": 0.0, "std": 0.0},
            what="a gradient of zeros",
        )

    def test_nan_and_infinity_are_told(self, kata):
        """One bad element is enough, anywhere. Minus infinity is infinite, too."""
        model = self.with_gradients()
        last = {"0.weight": math.nan, "0.bias": math.inf, "2.weight": -math.inf}
        for name, p in model.named_parameters():
            p.grad.flatten()[-1] = last.get(name, 1.0)
        got = {name: row["status"] for name, row in kata.gradient_report(model).items()}
        check.equal(
            got,
            {"0.weight": "nan", "0.bias": "inf", "2.weight": "inf", "2.bias": "ok"},
            what="status",
        )

    def test_frozen_parameters_are_left_out(self, kata):
        """A frozen parameter needs no gradient, so a missing one is no fault, and one
        that is still there is old.
        """
        model = self.with_gradients()
        model[0].weight.grad = None
        for p in model[0].parameters():
            p.requires_grad_(False)
        check.equal(
            list(kata.gradient_report(model)), ["2.weight", "2.bias"], what="names"
        )

    @pytest.mark.edge
    def test_nan_wins_over_infinity(self, kata):
        """Infinities turn into NaN (inf − inf), so NaN is the later and the
        worse state.
        """
        model = nn.Linear(3, 1, bias=False)
        model.weight.grad = torch.tensor([[math.inf, math.nan, 1.0]])
        check.equal(
            kata.gradient_report(model)["weight"]["status"], "nan", what="status"
        )

    @pytest.mark.edge
    def test_the_report_changes_nothing(self, kata):
        """Gradients, weights and flags are as they were: the step is still to come."""
        model = self.with_gradients()
        before = state_of(model)
        kata.gradient_report(model)
        check.equal(state_of(model), before, what="the model")

    @pytest.mark.edge
    def test_half_precision_is_measured_in_a_wider_dtype(self, kata):
        """100 gradients of 30000 in float16 are all right, but their norm, 300000, is
        more than float16 can hold. In bfloat16 the norm would have two to three digits.
        Widen the gradient before measuring.
        """
        for dtype, size in ((torch.float16, 30000.0), (torch.bfloat16, 30080.0)):
            model = nn.Linear(100, 1, bias=False, dtype=dtype)
            model.weight.grad = torch.full((1, 100), size, dtype=dtype)
            model.weight.grad[0, 0] = 0
            row = dict(kata.gradient_report(model)["weight"])
            numbers = {
                "norm": size * math.sqrt(99),
                "mean": size * 0.99,
                "std": size * math.sqrt(0.99 * 0.01),
            }
            check.close(
                row,
                {"status": "ok", **numbers},
                rtol=1e-4,
                what=f"a gradient in {dtype}",
            )


def raised_by(work):
    """The exception that PyTorch raises here."""
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("no error was raised")


def backward_twice():
    x = torch.ones(3, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    loss.backward()


def overwrite_result():
    y = torch.ones(3, requires_grad=True).exp()
    y += 1
    y.sum().backward()


def overwrite_leaf():
    x = torch.ones(3, requires_grad=True)
    x += 1


def overwrite_part_of_leaf():
    x = torch.ones(3, requires_grad=True)
    x[0] = 2.0


@pytest.mark.stretch
class TestClassifyError:
    def expect(self, kata, kind, **cases):
        """Each case, raised for real, is of this kind."""
        for name, work in cases.items():
            error = raised_by(work)
            got = kata.classify_error(error)
            said = " ".join(str(error).split())[:160]
            check.that(
                got == kind,
                f"{name} raised {type(error).__name__}: {said}\n"
                f"wanted {kind!r}, got {got!r}",
            )

    def test_shapes_that_do_not_fit(self, kata):
        """Two tensors that do not fit together, or one that does not fit into a shape.
        Most of these are RuntimeErrors; `F.cross_entropy` compares the sizes itself and
        raises a ValueError.
        """
        a = torch.ones(2, 3)
        self.expect(
            kata,
            "shape_mismatch",
            matrix_product=lambda: a @ torch.ones(4, 5),
            addition=lambda: a + torch.ones(4),
            cat=lambda: torch.cat([a, torch.ones(2, 4)]),
            view=lambda: a.view(4, 2),
            layer=lambda: nn.Linear(4, 2)(a),
            cross_entropy=lambda: F.cross_entropy(a, torch.zeros(5, dtype=torch.int64)),
        )

    def test_dtypes_that_do_not_fit(self, kata):
        """float32 and float64 in one product, class targets that are floats, indices
        that are floats.
        """
        a = torch.ones(2, 3)
        self.expect(
            kata,
            "dtype_mismatch",
            matrix_product=lambda: a @ torch.ones(3, 4, dtype=torch.float64),
            layer=lambda: nn.Linear(3, 4)(a.double()),
            class_targets=lambda: F.cross_entropy(a, torch.zeros(2)),
            embedding=lambda: nn.Embedding(5, 2)(torch.ones(3)),
        )

    def test_tensors_on_different_devices(self, kata):
        """The meta device stands in for a GPU here, and has a message of its own. The
        one that a GPU gives says "Expected all tensors to be on the same device".
        """
        meta = torch.ones(3, device="meta")

        def with_a_gpu():
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two "
                "devices, cuda:0 and cpu! "
                "(when checking argument for argument mat1 in method "
                "wrapper_CUDA_addmm)"
            )

        self.expect(
            kata,
            "device_mismatch",
            addition=lambda: torch.ones(3) + meta,
            cat=lambda: torch.cat([torch.ones(3), meta]),
            a_gpu=with_a_gpu,
        )

    def test_what_backward_needs_was_overwritten(self, kata):
        """exp keeps its result for the backward pass, so `y += 1` spoils it. A leaf
        that requires a gradient must not be written to at all. PyTorch spells it
        "inplace" in one message and "in-place" in the other.
        """
        self.expect(
            kata,
            "inplace_modification",
            result_of_exp=overwrite_result,
            leaf=overwrite_leaf,
            part_of_a_leaf=overwrite_part_of_leaf,
        )

    def test_backward_on_several_elements(self, kata):
        """Gradients are those of one number. The word "scalar" is also in the message
        about the dtype of indices.
        """
        self.expect(
            kata,
            "non_scalar_backward",
            vector=lambda: (2 * torch.ones(3, requires_grad=True)).backward(),
        )

    def test_backward_on_a_graph_that_is_gone(self, kata):
        """The first backward pass frees the graph that the second one would need."""
        self.expect(kata, "second_backward", twice=backward_twice)

    def test_backward_without_a_graph(self, kata):
        """Nothing in the loss requires a gradient: frozen parameters,
        `detach`, `no_grad`.
        """
        self.expect(
            kata,
            "no_gradient",
            constants=lambda: torch.ones(3).sum().backward(),
            detached=lambda: (
                nn.Linear(3, 1)(torch.ones(1, 3)).detach().sum().backward()
            ),
        )

    def test_out_of_memory_is_known_by_its_class(self, kata):
        """PyTorch has a class for it, so the text does not matter. An ordinary error
        has another class.
        """
        for text in (
            "CUDA out of memory. Tried to allocate 2.00 GiB",
            "",
            "the size must match the dtype",
        ):
            got = kata.classify_error(torch.OutOfMemoryError(text))
            check.equal(got, "out_of_memory", what=f"torch.OutOfMemoryError({text!r})")

    def test_everything_else_is_unknown(self, kata):
        """A wrong key and an index out of range are none of the kinds above, though
        they may mention sizes. Errors from outside PyTorch are unknown as well, with or
        without a text.
        """

        def fail(error):
            raise error

        self.expect(
            kata,
            "unknown",
            key=lambda: {}["shape"],
            list_index=lambda: [1, 2][5],
            tensor_index=lambda: torch.ones(3)[5],
            class_out_of_range=lambda: F.cross_entropy(
                torch.ones(2, 3), torch.tensor([0, 7])
            ),
            text_of_a_key=lambda: fail(
                KeyError(
                    "sizes must match, shape '[4, 2]' is invalid for input of size 6"
                )
            ),
            number=lambda: int("seven"),
            division=lambda: 1 / 0,
            silent=lambda: fail(RuntimeError()),
        )
