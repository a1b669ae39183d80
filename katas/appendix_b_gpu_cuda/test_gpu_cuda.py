"""Specs of appendix B: devices, nested batches, accumulation, mixed precision, out of
memory, reading the clock.
"""

import copy
import gc
import weakref
from collections import OrderedDict
from typing import NamedTuple
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from grader.specs import check

MIB = 2**20


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


def small_model(inputs=3, outputs=2, dtype=torch.float64):
    return nn.Sequential(nn.Linear(inputs, 4), nn.Tanh(), nn.Linear(4, outputs)).to(
        dtype
    )


def batch_of(rows, inputs=3, outputs=2, dtype=torch.float64):
    return torch.randn(rows, inputs, dtype=dtype), torch.randn(
        rows, outputs, dtype=dtype
    )


def with_stale_gradients(model):
    for p in model.parameters():
        p.grad = torch.full_like(p, 100.0)


class TestSelectDevice:
    @pytest.mark.parametrize(
        "cuda, mps, best",
        [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
        ids=["both", "mps", "neither"],
    )
    def test_the_best_there_is(self, kata, cuda, mps, best):
        """Without a preferred device: a CUDA GPU before an Apple GPU before the CPU.
        Ask `cuda_available` and `mps_available`. "auto" is what a command line passes
        where None cannot be typed.
        """
        got = [
            kata.select_device(
                auto, cuda_available=lambda: cuda, mps_available=lambda: mps
            )
            for auto in (None, "auto")
        ]
        unlike = (
            {"cuda or the CPU, and mps forgotten": torch.device("cpu")}
            if best == "mps"
            else {}
        )
        check.equal(got[0], torch.device(best), unlike=unlike)
        check.equal(got[1], torch.device(best), what='the device for "auto"')

    @pytest.mark.parametrize(
        "wish, cuda, mps",
        [("cpu", False, False), ("mps", True, True), ("cuda:1", True, False)],
    )
    def test_the_preferred_device_is_chosen(self, kata, wish, cuda, mps):
        """A preferred device is more than the best guess. The CPU is always available.
        "cuda:1" is the second GPU and "cuda" the current one: the index counts.
        """
        got = kata.select_device(
            wish, cuda_available=lambda: cuda, mps_available=lambda: mps
        )
        bare = torch.device(torch.device(wish).type)
        check.equal(
            got,
            torch.device(wish),
            unlike={"the index is lost": bare} if bare != torch.device(wish) else {},
        )

    @pytest.mark.parametrize(
        "wish, cuda, mps", [("cuda", False, True), ("mps", True, False)]
    )
    def test_an_unavailable_device_is_an_error(self, kata, wish, cuda, mps):
        """A job that was sent to a GPU and quietly runs on something else may take days
        before anybody notices. A GPU of another kind is no substitute.
        """
        with check.raises(ValueError):
            kata.select_device(
                wish, cuda_available=lambda: cuda, mps_available=lambda: mps
            )

    def test_by_default_torch_is_asked_in_every_call(self, kata):
        """By default call `torch.cuda.is_available` and
        `torch.backends.mps.is_available`, in the body of the function: an answer stored
        when the module was loaded never changes. (This spec replaces both functions.)
        """
        for cuda, mps, best in (
            (True, False, "cuda"),
            (False, True, "mps"),
            (False, False, "cpu"),
        ):
            with (
                mock.patch("torch.cuda.is_available", lambda answer=cuda: answer),
                mock.patch(
                    "torch.backends.mps.is_available", lambda answer=mps: answer
                ),
            ):
                check.equal(kata.select_device(), torch.device(best))

    @pytest.mark.edge
    def test_the_error_names_the_device(self, kata):
        """In the log of a job that did not start, the text from the configuration shows
        what to change.
        """
        with check.raises(ValueError, "cuda:1"):
            kata.select_device(
                "cuda:1", cuda_available=lambda: False, mps_available=lambda: False
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("wish", ["gpu", "cuda:one", "meta", "xpu"])
    def test_anything_else_is_an_error(self, kata, wish):
        """A typo in a configuration file is an error. torch.device also knows kinds
        such as "meta" and "xpu"; this function has no way to tell whether they
        are available.
        """
        with check.raises(ValueError):
            kata.select_device(
                wish, cuda_available=lambda: True, mps_available=lambda: True
            )

    @pytest.mark.gpu
    def test_a_gpu_is_found(self, kata):
        """A CUDA GPU in the machine is the best device, and tensors can be made
        on it.
        """
        device = kata.select_device()
        check.equal(device.type, "cuda", what="the kind of device")
        check.equal(torch.ones(2, device=device).sum().item(), 2.0)


class Pair(NamedTuple):
    left: object
    right: object


class Freight:
    """An object with a `.to` of its own, which records its arguments and returns a
    new object.
    """

    def __init__(self, seen):
        self.seen = seen

    def to(self, device, non_blocking=False):
        self.seen.append((str(torch.device(device)), non_blocking))
        return Freight(self.seen)


def nested():
    """Batches with a tensor and, at any depth, tensors, text and numbers in lists,
    tuples and dicts.
    """
    leaves = st.sampled_from(
        ["cat.png", None, 3, torch.zeros(2), torch.zeros(3, dtype=torch.int16)]
    )
    inner = st.recursive(
        leaves,
        lambda parts: (
            st.lists(parts, max_size=3)
            | st.lists(parts, max_size=3).map(tuple)
            | st.dictionaries(st.sampled_from(["words", "labels"]), parts)
        ),
        max_leaves=6,
    )
    return inner.map(lambda part: {"pixels": torch.zeros(4), "rest": part})


def as_if_on(device, batch):
    """The batch with "SIZE DTYPE on DEVICE" in place of each tensor; without `device`,
    the tensor's own.
    """
    if isinstance(batch, Tensor):
        return f"{len(batch)} {batch.dtype} on {device or batch.device}"
    if isinstance(batch, dict):
        return {key: as_if_on(device, value) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)([as_if_on(device, value) for value in batch])
    return batch


@pytest.mark.stretch
class TestMoveTo:
    def test_a_tensor_moves(self, kata):
        """The simplest batch is one tensor. The "meta" device holds shapes without
        numbers. Here it takes the place of a GPU.
        """
        for device in ("meta", torch.device("meta")):
            moved = kata.move_to(torch.zeros(2, 3, dtype=torch.int16), device)
            check.shape(moved, (2, 3))
            check.dtype(moved, torch.int16)
            check.equal(moved.device, torch.device("meta"), what="the device")

    @pytest.mark.parametrize("kind", [list, tuple, dict])
    def test_containers_keep_their_type(self, kata, kind):
        """A list comes back as a list, a tuple as a tuple, a dict as a dict, in order,
        with their contents moved.
        """
        parts = [torch.zeros(2), torch.zeros(3)]
        moved = kata.move_to(
            {"words": parts[0], "labels": parts[1]} if kind is dict else kind(parts),
            "meta",
        )
        check.that(
            type(moved) is kind,
            f"a {kind.__name__} was expected, not {check.describe(moved)}",
        )
        moved = [*moved.values()] if kind is dict else [*moved]
        check.equal(
            [as_if_on(None, x) for x in moved],
            [as_if_on("meta", x) for x in parts],
            what="the part at ",
        )

    def test_anything_else_comes_back_as_it_is(self, kata):
        """File names, counts, dtypes and None travel with a batch. Text can be looped
        over like a list, but it is not a container of parts to move.
        """
        batch = {
            "file": "cat.png",
            "count": 3,
            "extra": [None, 2.5, True],
            "kind": torch.float16,
        }
        check.equal(kata.move_to(batch, "meta"), batch)

    @given(batch=nested())
    def test_every_level_moves(self, kata, batch):
        """Containers hold containers: move each part by `move_to` itself. The batch
        passed in does not change: a line such as `batch[key] = value.to(device)` writes
        into the caller's dict.
        """
        before = as_if_on(None, batch)
        moved = kata.move_to(batch, "meta")
        check.equal(as_if_on(None, moved), as_if_on("meta", batch))
        check.equal(
            as_if_on(None, batch),
            before,
            what="the batch passed in, which must not change,",
        )

    def test_whatever_has_a_to_is_moved_by_it(self, kata):
        """A batch class of your own defines in its `.to` how it moves, and returns the
        moved batch. Every `.to` gets `non_blocking`: a single blocking copy makes the
        whole batch wait.
        """
        seen = []
        batch = {"a": [Freight(seen)], "b": (Freight(seen), 1)}
        moved = kata.move_to(batch, "meta", non_blocking=True)
        unlike = {
            "tensors alone are moved": [],
            "non_blocking is not handed on": [("meta", False)] * 2,
        }
        check.equal(
            seen,
            [("meta", True)] * 2,
            unlike=unlike,
            what="(device, non_blocking) that .to was called with, at ",
        )
        arrived = type(moved["a"][0]) is Freight and moved["a"][0] is not batch["a"][0]
        check.that(arrived, "the result of the object's own .to was lost")

    def test_a_packed_sequence_keeps_its_sizes_on_the_cpu(self, kata):
        """A PackedSequence is a namedtuple with a `.to` of its own, which knows that
        batch_sizes belong on the CPU. Taken apart like a tuple it breaks. Ask for
        `.to` first.
        """
        packed = nn.utils.rnn.pack_sequence([torch.zeros(3, 2), torch.zeros(1, 2)])
        moved = kata.move_to({"words": packed}, "meta")["words"]
        check.that(
            type(moved) is type(packed),
            f"wanted a PackedSequence, got {check.describe(moved)}",
        )
        devices = {
            "data": moved.data.device.type,
            "batch_sizes": moved.batch_sizes.device.type,
        }
        check.equal(
            devices, {"data": "meta", "batch_sizes": "cpu"}, what="the device of "
        )

    def test_nothing_is_copied_without_need(self, kata):
        """`x.to` returns `x` itself if `x` is on that device already. `module.to` moves
        the module in place: an optimizer that holds its parameters goes on working.
        """
        x, model = torch.zeros(2), nn.Linear(3, 2)
        check.that(
            kata.move_to([x], "cpu")[0] is x,
            "a tensor that was on the CPU already came back as a copy",
        )
        moved = kata.move_to({"model": model}, "meta")["model"]
        check.that(
            moved is model,
            f"wanted the same module object, got {check.describe(moved)}",
        )
        check.equal(model.weight.device.type, "meta", what="the device of its weight")

    @pytest.mark.edge
    def test_a_namedtuple_keeps_its_class(self, kata):
        """Other code reaches its fields by name, so a plain tuple will not do. Its
        class takes the fields one by one, not as one list.
        """
        moved = kata.move_to([Pair(torch.zeros(2), (torch.zeros(3),))], "meta")[0]
        check.that(type(moved) is Pair, f"wanted a Pair, got {check.describe(moved)}")
        check.equal(
            [moved.left.device.type, moved.right[0].device.type],
            ["meta", "meta"],
            what="the device at ",
        )

    @pytest.mark.edge
    def test_an_ordereddict_keeps_its_class(self, kata):
        """An OrderedDict comes back as an OrderedDict, with its keys in order."""
        moved = kata.move_to(
            OrderedDict(words=torch.zeros(2), labels=torch.zeros(3)), "meta"
        )
        check.that(
            type(moved) is OrderedDict,
            f"wanted an OrderedDict, got a {type(moved).__name__}",
        )
        check.equal([*moved], ["words", "labels"], what="the key at ")

    @pytest.mark.gpu
    def test_to_the_gpu_and_back(self, kata):
        """A batch that goes to the GPU and back has the same numbers, also when it
        starts in pinned memory.
        """
        x, y = torch.randn(2, 3), torch.arange(4)
        batch = {"x": x.pin_memory(), "rest": Pair([y], "cat.png")}
        there = kata.move_to(batch, "cuda", non_blocking=True)
        devices = {"x": there["x"].device.type, "y": there["rest"].left[0].device.type}
        check.equal(devices, {"x": "cuda", "y": "cuda"}, what="the device at ")
        back = kata.move_to(there, "cpu")
        check.equal(
            [back["x"], back["rest"].left[0]], [x, y], what="what came back, at "
        )
        model = kata.move_to(nn.Linear(3, 2), "cuda")
        check.equal(
            model(there["x"]).device.type,
            "cuda",
            what="the device of a moved model's output",
        )


SIZES = (4, 3, 5, 2, 6, 1, 3)  # windows of 3: 12, 9 and 3 rows
MOMENTUM = {"lr": 0.1, "momentum": 0.9}


def batches_of(*sizes):
    return [batch_of(rows) for rows in sizes]


def windowed(batches, steps):
    return [batches[i : i + steps] for i in range(0, len(batches), steps)]


def joined(window):
    return tuple(torch.cat(parts) for parts in zip(*window, strict=True))


def train_on_joined(model, windows, epochs=1, stale=False):
    """The weights of a copy that took one step per window on its joined batches, and
    the losses of the last epoch.
    """
    model = copy.deepcopy(model).train()
    model.zero_grad()
    if stale:
        with_stale_gradients(model)
    optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
    for _ in range(epochs):
        losses = []
        for window in windows:
            inputs, targets = joined(window)
            loss = F.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return weights(model), losses


def window_losses(model, windows):
    """The losses of each window's batches, where a step follows each window."""
    found = []
    for done, window in enumerate(windows):
        trained, after = (
            copy.deepcopy(model).train(),
            train_on_joined(model, windows[:done])[0],
        )
        with torch.no_grad():
            for p, value in zip(trained.parameters(), after, strict=True):
                p.copy_(value)
            found.append(
                [
                    F.mse_loss(trained(inputs), targets).item()
                    for inputs, targets in window
                ]
            )
    return found


def train_weighted(model, windows, share, each=False):
    """The weights where the batch losses of a window are added up, each times
    share(batch, window): after a step per window, or after one for each batch.
    """
    model = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
    for window in windows:
        optimizer.zero_grad()
        for batch in window:
            (F.mse_loss(model(batch[0]), batch[1]) * share(batch, window)).backward()
            if each or batch is window[-1]:
                optimizer.step()
    return weights(model)


class Traveller(Tensor):
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
        return args[0].as_subclass(Tensor)


@st.composite
def loaders(draw):
    """The batch sizes of an epoch, and how many batches make a window."""
    return {
        "sizes": draw(st.lists(st.integers(1, 5), min_size=1, max_size=6)),
        "accumulation_steps": draw(st.integers(1, 7)),
    }


class TestAccumulatedEpoch:
    def test_a_window_is_one_step_on_its_joined_batches(self, kata):
        """Batches of equal size, two in each window: the weights are those of single
        steps on batches twice as large.
        """
        model, batches = small_model(), batches_of(4, 4, 4, 4)
        windows = windowed(batches, 2)
        expected, _ = train_on_joined(model, windows)
        unlike = {
            "the gradients of a window added up, not averaged": train_weighted(
                model, windows, lambda b, w: 1.0
            ),
            "a step after every batch, which nothing divides": train_on_joined(
                model, windowed(batches, 1)
            )[0],
            "a step after every batch, by its share": train_weighted(
                model, windowed(batches, 1), lambda b, w: 0.5
            ),
            "a step after every batch, by all gradients so far": train_weighted(
                model, windows, lambda b, w: 0.5, True
            ),
            "each window's last batch alone: gradients cleared before each": (
                train_weighted(model, windows, lambda b, w: 0.5 * (b is w[-1]))
            ),
            "no step at all": weights(model),
        }
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        kata.accumulated_epoch(model, batches, F.mse_loss, optimizer, 2)
        check.close(weights(model), expected, unlike=unlike, what="weights")

    def test_unequal_batches_count_by_their_size(self, kata):
        """Each loss is a mean over its own batch. In the mean over the window a batch
        of 5 counts five times as much as a batch of 1: by its share of the samples, not
        of the batches.
        """
        model, batches = small_model(), batches_of(5, 1, 2, 6)
        windows = windowed(batches, 2)
        expected, _ = train_on_joined(model, windows)
        unlike = {
            "every batch counted the same": train_weighted(
                model, windows, lambda b, w: 1 / len(w)
            )
        }
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        kata.accumulated_epoch(model, batches, F.mse_loss, optimizer, 2)
        check.close(weights(model), expected, unlike=unlike, what="weights")

    def test_what_is_left_over_gets_its_step(self, kata):
        """Seven batches in windows of 3 leave one over. `if (i + 1) % 3 == 0` alone
        drops it.
        """
        model, batches = small_model(), batches_of(*SIZES)
        windows = windowed(batches, 3)
        expected, _ = train_on_joined(model, windows)
        unlike = {
            "the shorter last window was dropped": train_on_joined(model, windows[:-1])[
                0
            ],
            "every batch divided by accumulation_steps": train_weighted(
                model, windows, lambda b, w: 1 / 3
            ),
            (
                "every batch divided by accumulation_steps, and the shorter last "
                "window dropped"
            ): train_weighted(model, windows[:-1], lambda b, w: 1 / 3),
        }
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        kata.accumulated_epoch(model, batches, F.mse_loss, optimizer, 3)
        check.close(weights(model), expected, unlike=unlike, what="weights")

    def test_the_loss_of_each_window(self, kata):
        """One mean loss per sample for each window, as plain floats: three for seven
        batches in windows of 3. A tensor would keep its graph alive.
        """
        model, batches = small_model(), batches_of(*SIZES)
        windows = windowed(batches, 3)
        _, expected = train_on_joined(model, windows)
        each = window_losses(model, windows)
        means = [sum(losses) / len(losses) for losses in each]
        unlike = {
            "the loss of each window's last batch": [losses[-1] for losses in each],
            "the last batch by its share: the loss is overwritten, not added to": [
                losses[-1] * len(window[-1][0]) / len(joined(window)[0])
                for losses, window in zip(each, windows, strict=True)
            ],
            "the batch losses of a window added up, not averaged": [
                sum(losses) for losses in each
            ],
            "every batch counted the same": means,
        }
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        got = kata.accumulated_epoch(model, batches, F.mse_loss, optimizer, 3)
        check.close(got, expected, unlike=unlike, what="losses")
        check.that(
            all(type(loss) is float for loss in got),
            f"wanted floats, got {check.describe(got)}",
        )

    def test_one_graph_at_a_time_in_train_mode(self, kata):
        """The point of accumulating is memory: every batch goes forward and backward
        before the next one goes forward. Batches joined to one, or losses added up for
        one late backward, need as much memory as the large batch. The model is put into
        train mode, whichever mode it was in.
        """
        model, events = small_model().eval(), []

        def note(module, args, output):
            events.append(
                f"forward {len(output)} in {'train' if module.training else 'eval'} "
                "mode"
            )
            output.register_hook(lambda g: events.append("backward"))

        model.register_forward_hook(note)
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        kata.accumulated_epoch(model, batches_of(4, 3, 2), F.mse_loss, optimizer, 2)
        expected, in_one = (
            [
                event
                for rows in sizes
                for event in (f"forward {rows} in train mode", "backward")
            ]
            for sizes in ((4, 3, 2), (7, 2))
        )
        unlike = {"the batches of a window joined to one": in_one}
        check.equal(events, expected, unlike=unlike, what="the events, at ")

    def test_batches_are_moved_to_the_device(self, kata):
        """The loader makes batches on the CPU. Inputs and targets both have to go to
        the model's device. (These tensors only record where they are sent.)
        """
        model = small_model()
        batches = [
            (x.as_subclass(Traveller), y.as_subclass(Traveller))
            for x, y in batches_of(3, 2)
        ]
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        with mock.patch.object(Traveller, "sent", []) as sent:
            kata.accumulated_epoch(
                model, batches, F.mse_loss, optimizer, 2, device="meta"
            )
        check.equal(
            sent,
            ["meta"] * 4,
            what="the devices that inputs and targets were sent to, at ",
        )

    @settings(max_examples=10)
    @given(case=loaders())
    def test_two_epochs_in_a_row(self, kata, case):
        """Whatever the batches and the windows, two epochs are two epochs on the joined
        batches. Gradients that the first call leaves in `.grad` show up in the second.
        """
        model, batches, steps = (
            small_model(),
            batches_of(*case["sizes"]),
            case["accumulation_steps"],
        )
        expected, losses = train_on_joined(model, windowed(batches, steps), epochs=2)
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        kata.accumulated_epoch(model, batches, F.mse_loss, optimizer, steps)
        got = kata.accumulated_epoch(model, batches, F.mse_loss, optimizer, steps)
        check.close(weights(model), expected, what="weights after two epochs")
        check.close(got, losses, what="losses of the second epoch")

    @pytest.mark.edge
    def test_stale_gradients_have_no_influence(self, kata):
        """Gradients that earlier code left in `.grad` are not part of this epoch: clear
        before the first backward pass.
        """
        model, batches = small_model(), batches_of(4, 3, 2)
        (expected, _), (wrong, _) = (
            train_on_joined(model, windowed(batches, 2), stale=kept)
            for kept in (False, True)
        )
        with_stale_gradients(model)
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        kata.accumulated_epoch(model, batches, F.mse_loss, optimizer, 2)
        check.close(
            weights(model),
            expected,
            unlike={"cleared after a step only": wrong},
            what="weights",
        )

    @pytest.mark.edge
    def test_a_loader_may_be_used_up_by_one_pass(self, kata):
        """A generator has no length, and can be looped over only once."""
        model, batches = small_model(), batches_of(*SIZES)
        expected, losses = train_on_joined(model, windowed(batches, 3))
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        got = kata.accumulated_epoch(
            model, (batch for batch in batches), F.mse_loss, optimizer, 3
        )
        check.close(got, losses, what="losses")
        check.close(weights(model), expected, what="weights")

    @pytest.mark.edge
    def test_an_empty_loader_makes_no_step(self, kata):
        """Without batches there are no windows: the result is an empty list, and no
        weight changes, not even by the momentum of earlier steps.
        """
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        F.mse_loss(
            *map(model, (torch.ones(1, 3).double(), torch.zeros(1, 3).double()))
        ).backward()
        optimizer.step()
        before = weights(model)
        check.equal(
            kata.accumulated_epoch(model, iter([]), F.mse_loss, optimizer, 3), []
        )
        check.equal(weights(model), before, what="weights")

    @pytest.mark.edge
    def test_a_window_holds_at_least_one_batch(self, kata):
        """Windows of 0 batches would never lead to a step."""
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        for steps in (0, -2):
            with check.raises(ValueError):
                kata.accumulated_epoch(
                    model, batches_of(2), F.mse_loss, optimizer, steps
                )

    @pytest.mark.gpu
    def test_trains_on_the_gpu(self, kata):
        """Model on the GPU, batches from the CPU: the same epoch as on the CPU."""
        model, batches = small_model(), batches_of(*SIZES)
        expected, losses = train_on_joined(model, windowed(batches, 3))
        model.cuda()
        optimizer = torch.optim.SGD(model.parameters(), **MOMENTUM)
        got = kata.accumulated_epoch(
            model, batches, F.mse_loss, optimizer, 3, device="cuda"
        )
        check.close(got, losses, what="losses")
        check.close(weights(model), expected, what="weights")


FACTOR = 1024.0


class RecordingScaler:
    """Scales by 1024 and records each call. Like torch's GradScaler its `step` divides
    the factor out of the gradients if `unscale_` has not. With `skips` it skips the
    step, as for an infinite gradient.
    """

    def __init__(self, skips=False):
        self.calls, self.skips, self.divided = [], skips, False

    def scale(self, loss):
        self.calls.append("scale")
        return loss * FACTOR

    def unscale_(self, optimizer):
        self.calls.append("unscale_")
        self._divide(optimizer)

    def step(self, optimizer):
        self.calls.append("step")
        if not self.divided:
            self._divide(optimizer)
        if not self.skips:
            optimizer.step()

    def update(self):
        self.calls.append("update")
        self.divided = False

    def get_scale(self):
        return FACTOR

    def is_enabled(self):
        return True

    def _divide(self, optimizer):
        self.divided = True
        for p in (
            p
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ):
            p.grad /= FACTOR


def half_step_by_hand(model, inputs, targets, lr, max_norm=None, factor=1.0):
    """The loss of a bfloat16 step and by how much it moves the weights; `factor`:
    clipped with the scale still in.
    """
    model = copy.deepcopy(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.mse_loss(model(inputs), targets)
    grads = torch.autograd.grad(loss, list(model.parameters()))
    if max_norm is not None:
        norm = torch.cat([g.flatten() for g in grads]).norm() * factor
        grads = [g * min(1.0, max_norm / norm.item()) for g in grads]
    return loss.item(), [-lr * g for g in grads]


def moved_by(before, model):
    return [p.detach() - q for p, q in zip(model.parameters(), before, strict=True)]


ON_CPU = {"device_type": "cpu", "dtype": torch.bfloat16}


@pytest.mark.stretch
class TestAmpTrainStep:
    def test_without_scaler_it_is_a_plain_step(self, kata):
        """bfloat16 has float32's range and needs no scaler: zero, forward, backward,
        step. The loss comes back as a float. Autocast casts copies: the weights
        themselves stay in float32, or small steps would be lost.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        loss, expected = half_step_by_hand(model, x, y, lr=0.5)
        before = weights(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        got = kata.amp_train_step(model, x, y, F.mse_loss, optimizer, **ON_CPU)
        for name, p in model.named_parameters():
            check.dtype(p, torch.float32, what=name)
        check.that(
            type(got) is float, f"wanted the loss as a float, got {check.describe(got)}"
        )
        check.close(got, loss, rtol=1e-2, what="the loss")
        check.close(
            moved_by(before, model),
            expected,
            rtol=1e-2,
            atol=1e-4,
            what="change of the weights",
        )

    @pytest.mark.parametrize(
        "dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"]
    )
    def test_the_forward_pass_runs_in_half_precision(self, kata, dtype):
        """Under autocast a Linear returns the requested dtype on the requested kind of
        device, although its weights are float32.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        seen = []
        model[0].register_forward_hook(
            lambda module, args, output: seen.append(output.dtype)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        kata.amp_train_step(
            model, x, y, F.mse_loss, optimizer, device_type="cpu", dtype=dtype
        )
        check.equal(seen, [dtype], what="the dtype of the Linear layer's output, at ")

    def test_forward_and_loss_are_under_autocast_and_nothing_else(self, kata):
        """The loss belongs inside: autocast keeps it in float32 where necessary. The
        backward pass does not belong inside: it follows the dtypes of the forward pass
        anyway, and autocast could cast gradients once more. Nor does the step.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        optimizer, seen = torch.optim.SGD(model.parameters(), lr=0.5), {}

        def note(stage):
            seen[stage] = torch.is_autocast_enabled("cpu")

        def loss_fn(outputs, targets):
            note("loss")
            return F.mse_loss(outputs, targets)

        def forward_hook(module, args, output):
            note("forward")
            output.register_hook(lambda g: note("backward"))

        model.register_forward_hook(forward_hook)
        optimizer.register_step_pre_hook(lambda *args: note("step"))
        kata.amp_train_step(
            model, x, y, loss_fn, optimizer, scaler=RecordingScaler(), **ON_CPU
        )
        expected = {"forward": True, "loss": True, "backward": False, "step": False}
        check.equal(seen, expected, what="under autocast: ")

    def test_the_scaler_is_called_in_order(self, kata):
        """scale, backward, step, update. `update` sets the factor of the next step,
        from what `step` found in the gradients.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        optimizer, scaler = (
            torch.optim.SGD(model.parameters(), lr=0.5),
            RecordingScaler(),
        )
        kata.amp_train_step(model, x, y, F.mse_loss, optimizer, scaler=scaler, **ON_CPU)
        # there it does no harm
        calls = [
            name for i, name in enumerate(scaler.calls) if (i, name) != (1, "unscale_")
        ]
        check.equal(calls, ["scale", "step", "update"], what="calls of the scaler, at ")

    def test_with_a_scaler_the_step_is_the_same(self, kata):
        """The factor keeps small gradients from becoming 0. `scaler.step` divides it
        out and steps the optimizer, once. The loss is returned without the factor:
        otherwise a logged loss jumps whenever the factor changes.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        loss, expected = half_step_by_hand(model, x, y, lr=0.5)
        before = weights(model)
        unlike = {
            "the factor still in the gradients": [FACTOR * d for d in expected],
            "two steps in place of one": [2 * d for d in expected],
            "no step at all": [torch.zeros_like(d) for d in expected],
        }
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        loss_got = kata.amp_train_step(
            model, x, y, F.mse_loss, optimizer, scaler=RecordingScaler(), **ON_CPU
        )
        got = moved_by(before, model)
        check.close(
            got,
            expected,
            rtol=1e-2,
            atol=1e-4,
            unlike=unlike,
            what="change of the weights",
        )
        check.that(
            type(loss_got) is float,
            f"wanted the loss as a float, got {check.describe(loss_got)}",
        )
        check.close(
            loss_got,
            loss,
            rtol=1e-2,
            unlike={"still scaled": loss * FACTOR},
            what="the loss",
        )

    def test_a_scaler_that_skips_leaves_the_weights_alone(self, kata):
        """The scaler skips the step when a gradient is infinite. An `optimizer.step()`
        of your own, in place of `scaler.step(optimizer)` or beside it, takes that step
        all the same.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        before = weights(model)
        optimizer, scaler = (
            torch.optim.SGD(model.parameters(), lr=0.5),
            RecordingScaler(skips=True),
        )
        kata.amp_train_step(model, x, y, F.mse_loss, optimizer, scaler=scaler, **ON_CPU)
        check.equal(weights(model), before, what="weights")
        last = scaler.calls[-1:]
        check.equal(
            last,
            ["update"],
            what="the factor is updated after a skipped step, too: the last call, at ",
        )

    def test_clipping_without_a_scaler(self, kata):
        """All gradients together have one norm, which is scaled down to max_grad_norm.
        A limit that is not reached changes nothing.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        for max_norm in (0.01, 1000.0):
            trained = copy.deepcopy(model)
            _, expected = half_step_by_hand(model, x, y, lr=8.0, max_norm=max_norm)
            unlike = (
                {"not clipped": half_step_by_hand(model, x, y, lr=8.0)[1]}
                if max_norm < 1
                else {}
            )
            optimizer = torch.optim.SGD(trained.parameters(), lr=8.0)
            kata.amp_train_step(
                trained, x, y, F.mse_loss, optimizer, max_grad_norm=max_norm, **ON_CPU
            )
            what = f"with max_grad_norm {max_norm:g}, change of the weights"
            check.close(
                moved_by(weights(model), trained),
                expected,
                rtol=1e-2,
                atol=1e-4,
                unlike=unlike,
                what=what,
            )

    def test_clipping_sees_unscaled_gradients(self, kata):
        """Scaled gradients are 1024 times too long. Clip them like that and divide by
        1024 afterwards, and hardly anything is left of the step. So `unscale_`
        comes first.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        _, expected = half_step_by_hand(model, x, y, lr=8.0, max_norm=0.01)
        before = weights(model)
        unlike = {
            "clipped before unscale_": [d / FACTOR for d in expected],
            "not clipped": half_step_by_hand(model, x, y, lr=8.0)[1],
        }
        optimizer, scaler = (
            torch.optim.SGD(model.parameters(), lr=8.0),
            RecordingScaler(),
        )
        kata.amp_train_step(
            model,
            x,
            y,
            F.mse_loss,
            optimizer,
            scaler=scaler,
            max_grad_norm=0.01,
            **ON_CPU,
        )
        got = moved_by(before, model)
        check.close(
            got,
            expected,
            rtol=1e-2,
            atol=1e-4,
            unlike=unlike,
            what="change of the weights",
        )
        check.equal(
            scaler.calls,
            ["scale", "unscale_", "step", "update"],
            what="calls of the scaler, at ",
        )

    def test_torchs_own_scaler_on_the_cpu(self, kata):
        """With torch.amp.GradScaler, an infinite loss leaves the weights as they were
        and halves the factor. The next step changes them again.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        optimizer, scaler = (
            torch.optim.SGD(model.parameters(), lr=0.5),
            torch.amp.GradScaler("cpu", init_scale=FACTOR),
        )
        self.judge(kata, model, x, y, optimizer, scaler, device_type="cpu")

    @pytest.mark.edge
    def test_stale_gradients_have_no_influence(self, kata):
        """Gradients left in `.grad` by earlier code are not part of this step: clear
        before the backward pass.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32),
            batch_of(6, dtype=torch.float32),
        )
        _, expected = half_step_by_hand(model, x, y, lr=0.5)
        before = weights(model)
        with_stale_gradients(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        kata.amp_train_step(
            model, x, y, F.mse_loss, optimizer, scaler=RecordingScaler(), **ON_CPU
        )
        check.close(
            moved_by(before, model),
            expected,
            rtol=1e-2,
            atol=1e-4,
            what="change of the weights",
        )

    @pytest.mark.amp
    def test_torchs_own_scaler_on_the_gpu(self, kata):
        """The GPU gives the same results as the CPU. device_type and dtype have
        defaults for it: cuda and float16.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32).cuda(),
            [t.cuda() for t in batch_of(6, dtype=torch.float32)],
        )
        optimizer, scaler = (
            torch.optim.SGD(model.parameters(), lr=0.5),
            torch.amp.GradScaler("cuda", init_scale=FACTOR),
        )
        self.judge(kata, model, x, y, optimizer, scaler)
        seen = []
        model[0].register_forward_hook(
            lambda module, args, output: seen.append(output.dtype)
        )
        kata.amp_train_step(model, x, y, F.mse_loss, optimizer, scaler=scaler)
        check.equal(
            seen, [torch.float16], what="the dtype of the Linear layer's output, at "
        )

    @pytest.mark.amp
    def test_clipping_on_the_gpu(self, kata):
        """A step of SGD along a gradient of norm 0.01 is lr · 0.01 long, whatever the
        scaler's factor.
        """
        model, (x, y) = (
            small_model(dtype=torch.float32).cuda(),
            [t.cuda() for t in batch_of(6, dtype=torch.float32)],
        )
        optimizer, scaler = (
            torch.optim.SGD(model.parameters(), lr=8.0),
            torch.amp.GradScaler("cuda", init_scale=FACTOR),
        )
        before = weights(model)
        kata.amp_train_step(
            model, x, y, F.mse_loss, optimizer, scaler=scaler, max_grad_norm=0.01
        )
        length = torch.cat([d.flatten() for d in moved_by(before, model)]).norm().item()
        unlike = {"clipped before unscale_": 0.08 / FACTOR}
        check.close(length, 0.08, rtol=1e-2, unlike=unlike, what="length of the step")

    def judge(self, kata, model, x, y, optimizer, scaler, **options):
        """An infinite loss, and then a finite one."""
        before = weights(model)

        def infinite(outputs, targets):
            return outputs.float().sum() * float("inf")

        got = kata.amp_train_step(
            model, x, y, infinite, optimizer, scaler=scaler, **options
        )
        check.that(
            type(got) is float, f"wanted the loss as a float, got {check.describe(got)}"
        )
        check.equal(weights(model), before, what="weights after an infinite loss")
        check.close(
            scaler.get_scale(),
            FACTOR / 2,
            what="the scaler's factor after an infinite loss",
        )
        loss = F.mse_loss(copy.deepcopy(model)(x), y).item()
        got = kata.amp_train_step(
            model, x, y, F.mse_loss, optimizer, scaler=scaler, **options
        )
        check.close(
            got,
            loss,
            rtol=2e-2,
            unlike={"still scaled": loss * FACTOR / 2},
            what="the loss",
        )
        moved = any((d != 0).any() for d in moved_by(before, model))
        check.that(moved, "a step with a finite loss did not change the weights")


class Cramped(nn.Module):
    """Runs out of memory, in the forward or the backward pass, where
    `refuses(call number, rows)` is true. Records the rows of each call, and weak
    references to the tensors that it made.
    """

    def __init__(
        self,
        refuses,
        error=lambda: RuntimeError("CUDA out of memory. Tried to allocate"),
        backward=False,
    ):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()
        self.refuses, self.error, self.backward = refuses, error, backward
        self.sizes, self.made = [], []

    def forward(self, x):
        self.sizes.append(len(x))
        refused = self.refuses(len(self.sizes) - 1, len(x))
        hidden = self.first(x)
        self.made.append(weakref.ref(hidden))
        if refused and not self.backward:
            raise self.error()
        if refused:
            hidden.register_hook(self.fail)
        output = self.second(hidden.tanh())
        self.made.append(weakref.ref(output))
        return output

    def fail(self, gradient):
        raise self.error()

    def whole(self, x):
        """The outputs of a copy, as if there were room for all of them."""
        return self.second(self.first(x).tanh())


def more_than(limit):
    return lambda call, rows: rows > limit


def whole_batch_step(model, x, y):
    """The loss on the whole batch at once, and the weights after one step."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loss = F.mse_loss(model.whole(x), y)
    loss.backward()
    optimizer.step()
    return loss.item(), weights(model)


@pytest.mark.stretch
class TestIsOutOfMemory:
    @pytest.mark.parametrize(
        "error, expected",
        [
            (torch.OutOfMemoryError("no room for 20 MiB"), True),
            (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
            (RuntimeError("shapes do not fit"), False),
            (ValueError("out of memory"), False),
            (KeyError("weight"), False),
        ],
        ids=["by type", "by text", "another text", "another type", "another error"],
    )
    def test_by_type_or_by_text(self, kata, error, expected):
        """A torch.OutOfMemoryError counts, whatever its text. Other devices raise a
        plain RuntimeError that says "out of memory". For any other error a retry would
        only hide the message.
        """
        check.equal(kata.is_out_of_memory(error), expected)


@st.composite
def batches_in_pieces(draw):
    """The rows of a batch, and the rows per piece."""
    return {
        "rows": draw(st.integers(1, 9)),
        "micro_batch_size": draw(st.integers(1, 10)),
    }


def gradients(model):
    return [p.grad for p in model.parameters()]


@pytest.mark.stretch
class TestAccumulateGradients:
    def test_pieces_count_by_their_rows(self, kata):
        """Eleven rows go through in pieces of 4, 4 and 3. Each loss is a mean over its
        piece, so it counts by the piece's share of the rows. The sum is the loss of the
        whole batch, as a float.
        """
        model, (x, y) = small_model(), batch_of(11)
        loss = F.mse_loss(model(x), y)
        expected = torch.autograd.grad(loss, list(model.parameters()))
        pieces = [
            F.mse_loss(model(a), b) for a, b in zip(x.split(4), y.split(4), strict=True)
        ]
        added_up = torch.autograd.grad(sum(pieces), list(model.parameters()))
        unlike = {
            "every piece counted the same": [g / 3 for g in added_up],
            "gradients added up, not averaged": [*added_up],
        }
        got = kata.accumulate_gradients(model, x, y, F.mse_loss, 4)
        check.close(gradients(model), [*expected], unlike=unlike, what="gradients")
        check.that(
            type(got) is float, f"wanted the loss as a float, got {check.describe(got)}"
        )
        each = [piece.item() for piece in pieces]
        unlike = {
            "the loss of the last piece alone": each[-1],
            "the last piece by its share: the loss is overwritten, not added to": each[
                -1
            ]
            * 3
            / 11,
            "the mean of the pieces' means": sum(each) / 3,
            "the sum of the pieces' means": sum(each),
        }
        check.close(got, loss.item(), unlike=unlike, what="the loss")

    def test_one_piece_at_a_time(self, kata):
        """The point is memory: each piece goes forward and backward, in the order of
        the rows, before the next one goes forward.
        """
        model, events = small_model(), []

        def note(module, args, output):
            events.append(f"forward {len(output)}")
            output.register_hook(lambda g: events.append("backward"))

        model.register_forward_hook(note)
        kata.accumulate_gradients(model, *batch_of(7), F.mse_loss, 3)
        check.equal(
            events,
            ["forward 3", "backward", "forward 3", "backward", "forward 1", "backward"],
            what="events, at ",
        )

    @given(case=batches_in_pieces())
    def test_any_pieces_give_the_whole_batchs_gradient(self, kata, case):
        """The split of the rows changes the memory that is needed, and nothing else.
        The gradients are added to what `.grad` already holds.
        """
        model, (x, _) = small_model(), batch_of(case["rows"])
        labels = torch.arange(case["rows"]) % 2
        loss = F.cross_entropy(model(x), labels)
        expected = [g + 1 for g in torch.autograd.grad(loss, list(model.parameters()))]
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        got = kata.accumulate_gradients(
            model, x, labels, F.cross_entropy, case["micro_batch_size"]
        )
        check.close(gradients(model), expected, what="gradients")
        check.close(got, loss.item(), what="the loss")


@st.composite
def batches_and_room(draw):
    """The rows of a batch, the rows that memory has room for, and the size to
    try first.
    """
    return {
        "rows": draw(st.integers(1, 9)),
        "room": draw(st.integers(1, 9)),
        "micro_batch_size": draw(st.none() | st.integers(1, 12)),
    }


@pytest.mark.stretch
class TestOomSafeStep:
    def step(
        self, kata, model, x, y, loss_fn=F.mse_loss, empty_cache=lambda: None, **options
    ):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        return kata.oom_safe_step(
            model, x, y, loss_fn, optimizer, empty_cache=empty_cache, **options
        )

    def test_with_enough_memory_it_is_one_plain_step(self, kata):
        """Where everything fits, the whole batch goes through at once, and the cache is
        left alone.
        """
        model, (x, y), emptied = Cramped(more_than(99)), batch_of(11), []
        loss, expected = whole_batch_step(model, x, y)
        unlike = {"no step at all": weights(model)}
        got = self.step(kata, model, x, y, empty_cache=lambda: emptied.append(1))
        check.close(got, (loss, 11), what="(loss, size)")
        check.close(weights(model), expected, unlike=unlike, what="weights")
        check.equal(model.sizes, [11], what="rows of each forward pass, at ")
        check.equal(len(emptied), 0, what="calls of empty_cache")

    def test_out_of_memory_halves_the_size(self, kata):
        """Given 11 rows and room for 3, try 11 at a time, then 5, then 2. The result is
        that of the whole batch. The size that worked is returned, so that the next step
        can start with it.
        """
        model, (x, y), emptied = Cramped(more_than(3)), batch_of(11), []
        fresh = copy.deepcopy(model)
        loss, expected = whole_batch_step(model, x, y)
        got = self.step(kata, model, x, y, empty_cache=lambda: emptied.append(1))
        unlike = {
            "half of a size, rounded up": [11, 6, 3, 3, 3, 2],
            "the first rows alone": [11, 5, 2],
        }
        check.equal(
            model.sizes,
            [11, 5, 2, 2, 2, 2, 2, 1],
            unlike=unlike,
            what="rows of each forward pass, at ",
        )
        means = sum(
            F.mse_loss(fresh.whole(a), b).item()
            for a, b in zip(x.split(2), y.split(2), strict=True)
        )
        unlike = {
            "the size of the batch, not the one that worked": (..., 11),
            "the mean losses of the pieces added up: each counts by its rows": (
                means,
                ...,
            ),
        }
        check.close(got, (loss, 2), unlike=unlike, what="(loss, size)")
        check.close(weights(model), expected, what="weights")
        check.equal(
            len(emptied),
            2,
            what="calls of the empty_cache given, one for each failed attempt",
        )

    def test_memory_that_runs_out_in_a_later_piece(self, kata):
        """The third piece fails after two have left their gradients. Drop these
        gradients and start over at the first row: otherwise the first rows count twice.
        """
        model, (x, y) = Cramped(lambda call, rows: call == 2), batch_of(11)
        loss, expected = whole_batch_step(model, x, y)
        _, of_first = whole_batch_step(model, x[:8], y[:8])
        twice = [
            p + 8 / 11 * (q - before)
            for p, q, before in zip(expected, of_first, weights(model), strict=True)
        ]
        got = self.step(kata, model, x, y, micro_batch_size=4)
        unlike = {"went on where memory ran out, not at the first row": [4, 4, 3, 2, 1]}
        check.equal(
            model.sizes,
            [4, 4, 3, 2, 2, 2, 2, 2, 1],
            unlike=unlike,
            what="rows of each forward pass, at ",
        )
        check.close(
            weights(model),
            expected,
            unlike={"the first rows counted twice": twice},
            what="weights",
        )
        check.close(got, (loss, 2), what="(loss, size)")

    def test_memory_that_runs_out_in_the_backward_pass(self, kata):
        """The backward pass needs memory for the gradients, so it may fail as well:
        half way, with some gradients already written.
        """
        model, (x, y) = Cramped(more_than(3), backward=True), batch_of(7)
        loss, expected = whole_batch_step(model, x, y)
        got = self.step(kata, model, x, y)
        check.equal(model.sizes, [7, 3, 3, 1], what="rows of each forward pass, at ")
        check.close(weights(model), expected, what="weights")
        check.close(got, (loss, 3), what="(loss, size)")

    @settings(max_examples=10)
    @given(case=batches_and_room())
    def test_whatever_fits_gives_the_same_step(self, kata, case):
        """Halve the size that failed until it fits. The step is then that of the whole
        batch. A first size beyond the batch means the whole batch.
        """
        rows, asked = case["rows"], case["micro_batch_size"]
        tried = [min(asked or rows, rows)]
        while tried[-1] > case["room"]:
            tried.append(tried[-1] // 2)
        model, (x, y) = Cramped(more_than(case["room"])), batch_of(rows)
        loss, expected = whole_batch_step(model, x, y)
        got = self.step(kata, model, x, y, micro_batch_size=asked)
        pieces = [len(piece) for piece in x.split(tried[-1])]
        check.equal(
            model.sizes, tried[:-1] + pieces, what="rows of each forward pass, at "
        )
        check.close(weights(model), expected, what="weights")
        check.close(got, (loss, tried[-1]), what="(loss, size)")

    @pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
    def test_nothing_of_a_failed_attempt_is_alive_when_the_cache_is_emptied(
        self, kata, backward
    ):
        """empty_cache gives back only what no tensor uses. Inside the `except` block
        the error keeps its traceback, which keeps every stack frame and every tensor in
        them. Leave the block first, and drop the gradients, which take as much memory
        as the weights.
        """
        model = Cramped(lambda call, rows: call in (0, 3), backward=backward)
        (x, y), alive, left = batch_of(11), [], []

        def loss_fn(outputs, targets):
            loss = F.mse_loss(outputs, targets)
            model.made.append(weakref.ref(loss))
            return loss

        def look():
            alive.append(sum(made() is not None for made in model.made))
            left.append(
                sum(
                    p.grad is not None and bool(p.grad.any())
                    for p in model.parameters()
                )
            )

        self.step(kata, model, x, y, loss_fn, empty_cache=look)
        check.equal(
            alive,
            [0, 0],
            what=(
                "tensors of failed attempts still alive, at the calls of empty_cache, "
            ),
        )
        check.equal(
            left,
            [0, 0],
            what="parameters with a gradient, at the calls of empty_cache, ",
        )

    def test_other_errors_are_not_tried_again(self, kata):
        """Shapes that do not match do not match in halves either, and half a minute of
        retries hides the message.
        """
        for error in (RuntimeError("shapes do not fit"), ValueError("out of memory")):
            model, (x, y), emptied = (
                Cramped(more_than(3), error=lambda e=error: type(e)(*e.args)),
                batch_of(6),
                [],
            )
            with check.raises(type(error), error.args[0]):
                self.step(
                    kata, model, x, y, empty_cache=lambda to=emptied: to.append(1)
                )
            check.equal(model.sizes, [6], what="rows of each forward pass, at ")
            check.equal(len(emptied), 0, what="calls of empty_cache")

    def test_by_default_torchs_cache_is_emptied(self, kata):
        """If the caller passes no function, call torch.cuda.empty_cache. It does
        nothing where there is no GPU.
        """
        model, (x, y) = Cramped(more_than(3)), batch_of(5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        with mock.patch("torch.cuda.empty_cache") as emptied:
            kata.oom_safe_step(model, x, y, F.mse_loss, optimizer)
        check.equal(emptied.call_count, 1, what="calls of torch.cuda.empty_cache")

    @pytest.mark.edge
    def test_stale_gradients_have_no_influence(self, kata):
        """Gradients left in `.grad` by earlier code are not part of this step."""
        model, (x, y) = Cramped(more_than(99)), batch_of(5)
        _, expected = whole_batch_step(model, x, y)
        with_stale_gradients(model)
        self.step(kata, model, x, y, micro_batch_size=2)
        check.close(weights(model), expected, what="weights")

    @pytest.mark.edge
    def test_a_single_row_that_does_not_fit(self, kata):
        """Below one row there is nothing left to try: the error goes to the caller. The
        weights are untouched, and no partial gradients wait for the next step.
        """
        # rows: 4, 2, 1, 1, 1, 1
        model, (x, y) = Cramped(lambda call, rows: rows > 1 or call == 5), batch_of(4)
        before = weights(model)
        with check.raises(RuntimeError, "out of memory"):
            self.step(kata, model, x, y)
        check.equal(
            model.sizes, [4, 2, 1, 1, 1, 1], what="rows of each forward pass, at "
        )
        check.equal(weights(model), before, what="weights")
        left = [
            name
            for name, p in model.named_parameters()
            if p.grad is not None and p.grad.any()
        ]
        check.that(not left, f"gradients are left in {left}")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "rows, size",
        [(0, None), (5, 0), (5, -1)],
        ids=["no rows", "0 at a time", "-1 at a time"],
    )
    def test_at_least_one_row_at_a_time(self, kata, rows, size):
        """The mean loss of no rows is NaN, and so would be the weights. Pieces of 0
        rows never get through the batch.
        """
        model, (x, y) = Cramped(more_than(3)), batch_of(rows)
        with check.raises(ValueError):
            self.step(kata, model, x, y, micro_batch_size=size)

    @pytest.mark.gpu
    def test_a_real_limit_on_the_gpu(self, kata):
        """There are 16 rows of 4 MiB, each alive at least twice, and a limit of 96 MiB:
        the whole batch cannot fit, a few rows can. The weights are those of the
        whole batch.
        """
        x, y = torch.rand(16, 1), torch.rand(16)
        model = Wide(MIB)
        expected = copy.deepcopy(model)
        loss = F.mse_loss(expected(x), y)
        loss.backward()
        torch.optim.SGD(expected.parameters(), lr=1e6).step()
        model, x, y = model.cuda(), x.cuda(), y.cuda()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e6)
        gc.collect()
        torch.cuda.empty_cache()
        allowed = torch.cuda.memory_reserved() + 96 * MIB
        torch.cuda.set_per_process_memory_fraction(
            allowed / torch.cuda.get_device_properties(0).total_memory
        )
        try:
            got = kata.oom_safe_step(model, x, y, F.mse_loss, optimizer)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        check.that(
            got[1] in (1, 2, 4, 8), f"wanted 8, 4, 2 or 1 rows at a time, got {got[1]}"
        )
        check.close(got[0], loss.item(), rtol=1e-3, what="the loss")
        check.close(
            weights(model), weights(expected), rtol=1e-3, atol=1e-3, what="weights"
        )


class Wide(nn.Module):
    """Few weights beside many activations: `width` float32 numbers in each row."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, width))

    def forward(self, x):
        return (x * self.weight).tanh().square().mean(1)


class Block:
    """Takes the place of a tensor: `size` bytes as long as it is alive."""

    def __init__(self, size):
        self.size = size


class FakeCuda:
    """Memory in blocks of 128 bytes, counted by what is alive. With `lags` it returns
    the state at the last `synchronize`, as if Python were ahead of it.
    """

    def __init__(self, lags=False):
        self.live, self.reserved, self.lags, self.known = (
            weakref.WeakSet(),
            0,
            lags,
            (0, 0),
        )
        self.built = 0

    def build(self):
        self.built += 1
        block = Block(100)
        self.live.add(block)
        self.reserved = max(self.reserved, self._blocks())
        return block

    def synchronize(self):
        self.known = self._now()

    def memory_allocated(self):
        return self.known[0] if self.lags else self._now()[0]

    def memory_reserved(self):
        return self.known[1] if self.lags else self._now()[1]

    def empty_cache(self):
        self.reserved = self._blocks()

    def _blocks(self):
        return 128 * len(self.live)

    def _now(self):
        return sum(block.size for block in self.live), self.reserved


STAGES = ["start", "allocated", "deleted", "emptied"]


@st.composite
def memory_in_use(draw):
    """The number of memory blocks in use before the call, and of those that
    `build` makes.
    """
    return {"before": draw(st.integers(0, 3)), "built": draw(st.integers(0, 3))}


class TestProfileEmptyCache:
    def test_four_stages(self, kata):
        """One dict for each stage, in order, with exactly the keys stage, allocated and
        reserved. `build` is called once.
        """
        cuda = FakeCuda()
        got = kata.profile_empty_cache(cuda.build, cuda=cuda)
        check.that(
            isinstance(got, list),
            f"wanted a list of four dicts, got {check.describe(got)}",
        )
        check.equal([record["stage"] for record in got], STAGES, what="the stage at ")
        check.equal(
            [sorted(record) for record in got],
            [["allocated", "reserved", "stage"]] * 4,
            what="the keys at ",
        )
        check.equal(cuda.built, 1, what="calls of build")

    def test_deleting_frees_what_is_allocated(self, kata):
        """The result of `build` takes 100 bytes while it is alive, and none once it is
        gone. Any name for it, or a list that holds it, keeps it alive.
        """
        cuda = FakeCuda()
        got = [
            record["allocated"]
            for record in kata.profile_empty_cache(cuda.build, cuda=cuda)
        ]
        unlike = [100 if stage in ("deleted", "emptied") else ... for stage in STAGES]
        check.equal(
            got,
            [0, 100, 0, 0],
            unlike={"the object is still alive": unlike},
            what="allocated bytes, at ",
        )

    def test_only_empty_cache_lowers_what_is_reserved(self, kata):
        """After the deletion PyTorch keeps the block of 128 bytes for the next tensor.
        empty_cache gives back unused blocks: called before the deletion it finds none.
        """
        cuda = FakeCuda()
        got = [
            record["reserved"]
            for record in kata.profile_empty_cache(cuda.build, cuda=cuda)
        ]
        unlike = {
            "empty_cache called before the deletion, or not at all": [
                ...,
                ...,
                ...,
                128,
            ],
            "empty_cache called before the third stage": [..., ..., 0, ...],
        }
        check.equal(got, [0, 128, 128, 0], unlike=unlike, what="reserved bytes, at ")

    @given(case=memory_in_use())
    def test_memory_used_before_counts_from_the_start(self, kata, case):
        """`build` may return anything, such as a list of tensors, and all of it is
        released. Memory that was in use before counts in every stage.
        """
        cuda, before, most = FakeCuda(), case["before"], case["before"] + case["built"]
        kept = [cuda.build() for _ in range(before)]
        got = kata.profile_empty_cache(
            lambda: [{"part": cuda.build()} for _ in range(case["built"])], cuda=cuda
        )
        allocated = [100 * blocks for blocks in (before, most, before, before)]
        check.equal(
            [record["allocated"] for record in got],
            allocated,
            what="allocated bytes, at ",
        )
        reserved = [128 * blocks for blocks in (before, most, most, before)]
        check.equal(
            [record["reserved"] for record in got], reserved, what="reserved bytes, at "
        )
        del kept

    def test_each_reading_waits_for_the_device(self, kata):
        """`synchronize` comes before the readings of a stage, not after: until then a
        GPU may still be at work. (This simulated GPU returns its state at the
        last wait.)
        """
        cuda = FakeCuda(lags=True)
        got = kata.profile_empty_cache(cuda.build, cuda=cuda)
        unlike = {"read before waiting, or never waited for": [None, 0, None, None]}
        check.equal(
            [record["allocated"] for record in got],
            [0, 100, 0, 0],
            unlike=unlike,
            what="allocated bytes, at ",
        )
        check.equal(
            [record["reserved"] for record in got],
            [0, 128, 128, 0],
            what="reserved bytes, at ",
        )

    def test_by_default_it_is_torch_cuda(self, kata):
        """Without `cuda`, call the four functions of torch.cuda. (This spec
        replaces them.)
        """
        cuda = FakeCuda()
        names = ("synchronize", "memory_allocated", "memory_reserved", "empty_cache")
        replaced = {name: getattr(cuda, name) for name in names}
        with mock.patch.multiple("torch.cuda", is_available=lambda: True, **replaced):
            got = kata.profile_empty_cache(cuda.build)
        check.equal(
            [record["allocated"] for record in got],
            [0, 100, 0, 0],
            what="allocated bytes, at ",
        )
        check.equal(
            [record["reserved"] for record in got],
            [0, 128, 128, 0],
            what="reserved bytes, at ",
        )

    @pytest.mark.edge
    def test_without_a_gpu_it_says_so(self, kata):
        """Without an error, four zeros would look like a result."""
        with mock.patch.multiple(
            "torch.cuda", is_available=lambda: False, device_count=lambda: 0
        ):
            with check.raises(RuntimeError, "cuda"):
                kata.profile_empty_cache(list)

    @pytest.mark.gpu
    def test_on_the_gpu(self, kata):
        """With 64 MiB on a real device, allocated falls with the deletion, reserved
        only with empty_cache.
        """
        gc.collect()
        torch.cuda.empty_cache()
        size = 64 * MIB
        got = kata.profile_empty_cache(
            lambda: torch.empty(size, dtype=torch.uint8, device="cuda")
        )
        allocated, reserved = (
            [record[key] for record in got] for key in ("allocated", "reserved")
        )
        since = [now - allocated[0] for now in allocated]
        check.equal(
            since, [0, size, 0, 0], what="allocated since the start, in bytes, at "
        )
        held = reserved[1] - reserved[0] >= size and reserved[2] >= reserved[1]
        check.that(
            held,
            "64 MiB should be reserved until empty_cache is called; reserved were "
            f"{reserved}",
        )
        given_back = reserved[2] - reserved[3] >= size
        check.that(
            given_back, f"empty_cache should give 64 MiB back; reserved were {reserved}"
        )


class FakeGpu:
    """Starting work takes 1 second; the work itself passes while somebody waits.
    `early` counts readings of the clock while work was under way.
    """

    def __init__(self, *seconds):
        self.seconds, self.calls = seconds, 0
        self.now, self.under_way, self.early = 5.0, 0.0, 0

    def start(self):
        self.under_way += self.seconds[self.calls]
        self.calls += 1
        self.now += 1.0

    def wait(self):
        self.now += self.under_way
        self.under_way = 0.0

    def clock(self):
        self.early += self.under_way > 0
        return self.now

    def measured(self, kata, **options):
        return kata.benchmark(
            self.start, synchronize=self.wait, timer=self.clock, **options
        )


@st.composite
def calls_on_a_gpu(draw):
    """The seconds that the work of each call takes, and the number of warm-up calls."""
    seconds = draw(st.lists(st.integers(0, 20), min_size=1, max_size=6))
    return {"seconds": seconds, "warmup": draw(st.integers(0, len(seconds) - 1))}


class TestBenchmark:
    def test_times_of_each_call(self, kata):
        """Every call has its own time, in order. Three calls of 4, 9 and 6 seconds are
        not 3 times their mean.
        """
        gpu = FakeGpu(3.0, 8.0, 5.0)
        got = gpu.measured(kata, warmup=0, repeats=3)
        unlike = {
            "total / repeats for each": [19 / 3] * 3,
            "the clock read before the work was done": [1.0, 1.0, 1.0],
            "in the order of their size": [4.0, 6.0, 9.0],
        }
        check.close(got["times"], [4.0, 9.0, 6.0], unlike=unlike, what="times")

    def test_min_mean_and_median(self, kata):
        """The dict has four entries. The median of 4, 6, 9 and 21 is (6 + 9) / 2: one
        slow call changes the mean a lot and the median hardly.
        """
        gpu = FakeGpu(8.0, 3.0, 20.0, 5.0)
        got = gpu.measured(kata, warmup=0, repeats=4)
        unlike = {
            "the upper of the middle two": {"median": 9.0},
            "the lower of the middle two": {"median": 6.0},
            "the middle of the unsorted times": {"median": 12.5},
        }
        expected = {
            "times": [9.0, 4.0, 21.0, 6.0],
            "min": 4.0,
            "mean": 10.0,
            "median": 7.5,
        }
        check.close(got, expected, unlike=unlike)

    def test_warm_up_calls_are_not_timed(self, kata):
        """The first two calls take 100 and 50 seconds, and are over before the clock is
        first read. Work that still runs at that moment would count as part of the first
        measured call.
        """
        gpu = FakeGpu(100.0, 50.0, 3.0, 8.0, 5.0)
        got = gpu.measured(kata, warmup=2, repeats=3)
        unlike = {
            "warm-up calls timed": [101.0, 51.0, 4.0],
            "no wait after the warm-up": [154.0, 9.0, 6.0],
        }
        check.close(got["times"], [4.0, 9.0, 6.0], unlike=unlike, what="times")
        check.equal(gpu.calls, 5, what="calls of fn, warm-up included")

    @given(case=calls_on_a_gpu())
    def test_any_calls(self, kata, case):
        """However long the calls take, `fn` is called warmup + repeats times, each
        measured call has its own time, and the clock is read only when no work is
        under way.
        """
        gpu, repeats = FakeGpu(*case["seconds"]), len(case["seconds"]) - case["warmup"]
        got = gpu.measured(kata, warmup=case["warmup"], repeats=repeats)
        times = [1.0 + seconds for seconds in case["seconds"][case["warmup"] :]]
        mean, median = (
            sum(times) / repeats,
            torch.tensor(times, dtype=torch.float64).quantile(0.5).item(),
        )
        check.close(
            got, {"times": times, "min": min(times), "mean": mean, "median": median}
        )
        check.equal(gpu.early, 0, what="readings of the clock while work was under way")
        check.equal(
            gpu.calls, len(case["seconds"]), what="calls of fn, warm-up included"
        )

    def test_there_may_be_nothing_to_wait_for(self, kata):
        """On the CPU a call returns when its work is done: without `synchronize` the
        times are those of the calls.
        """
        now = [0.0]

        def work():
            now[0] += 2.0

        check.close(
            kata.benchmark(work, repeats=2, timer=lambda: now[0])["times"],
            [2.0, 2.0],
            what="times",
        )

    def test_the_defaults(self, kata):
        """By default there are 13 calls, 10 of them measured, timed by
        time.perf_counter: seconds as floats, from a clock that never goes back.
        """
        calls = []
        times = kata.benchmark(lambda: calls.append(sum(range(2000))))["times"]
        check.equal(len(calls), 13, what="calls of fn")
        right = len(times) == 10 and all(type(t) is float and 0 < t < 1 for t in times)
        check.that(
            right, f"wanted ten small positive floats, got {check.describe(times)}"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "options", [{"repeats": 0}, {"repeats": -1}, {"warmup": -1}], ids=str
    )
    def test_at_least_one_call_is_measured(self, kata, options):
        """No times have no mean, and nothing can be called fewer than 0 times."""
        calls = []
        with check.raises(ValueError):
            kata.benchmark(lambda: calls.append(1), **options)

    @pytest.mark.gpu
    def test_waits_for_the_gpu(self, kata):
        """A product of two 4096 × 4096 matrices starts within microseconds, and takes
        137 billion operations.
        """
        a = torch.randn(4096, 4096, device="cuda")
        got = kata.benchmark(
            lambda: a @ a, warmup=2, repeats=3, synchronize=torch.cuda.synchronize
        )
        check.that(
            min(got["times"]) > 5e-5,
            f"{min(got['times']):.1e} s is too short: was the work done by then?",
        )


class FakeMachine:
    """Several devices at work at the same time, with one clock. Setting up takes 1000
    seconds. The first call on a device takes 100 times its usual time, the next ones 1,
    3 and 8 times.
    """

    def __init__(self, **seconds):
        self.seconds = {name.replace("_", ":"): s for name, s in seconds.items()}
        self.now, self.under_way = 0.0, dict.fromkeys(self.seconds, 0.0)
        self.made, self.waited, self.types = [], [], []

    def make_workload(self, device):
        self.types.append(type(device))
        name, factors = str(device), iter([100, 1, 3, 8])
        self.made.append(name)
        self.now += 1000.0

        def work():
            self.under_way[name] += self.seconds[name] * next(factors)

        return work

    def wait(self, device):
        self.types.append(type(device))
        self.waited.append(str(device))
        self.now += self.under_way[str(device)]
        self.under_way[str(device)] = 0.0

    def compared(self, kata, devices):
        options = {
            "warmup": 1,
            "repeats": 3,
            "synchronize": self.wait,
            "timer": lambda: self.now,
        }
        return kata.compare_devices(self.make_workload, devices, **options)


class TestCompareDevices:
    def test_medians_and_speedups(self, kata):
        """Each device has its median time, and how many times faster than the first it
        is. Neither the warm-up call, which is 100 times as slow, nor setting up counts.
        """
        got = FakeMachine(cpu=4.0, cuda=0.5).compared(kata, ["cpu", "cuda"])
        expected = {
            "cpu": {"median": 12.0, "speedup": 1.0},
            "cuda": {"median": 1.5, "speedup": 8.0},
        }
        unlike = {
            "the mean in place of the median": {"cpu": {"median": 16.0}},
            "the fastest call in place of the median": {"cpu": {"median": 4.0}},
            "own time / the first device's": {"cuda": {"speedup": 0.125}},
            # and so each call is a first one
            "set up within the measurement": {"cpu": {"median": 1400.0}},
        }
        check.close(got, expected, unlike=unlike)

    def test_devices_are_text_or_objects_and_keep_their_order(self, kata):
        """All devices are compared with the first, whichever it is. Results come in the
        order given, under str(device).
        """
        machine = FakeMachine(mps=2.0, cuda_1=1.0, cpu=8.0)
        got = machine.compared(
            kata, ["mps", torch.device("cuda:1"), torch.device("cpu")]
        )
        check.equal([*got], ["mps", "cuda:1", "cpu"], what="the key at ")
        check.close(
            [got[name]["speedup"] for name in got], [1.0, 2.0, 0.25], what="speedups"
        )

    def test_the_device_being_measured_is_waited_for(self, kata):
        """Waiting for another device returns at once, and then only the start of the
        work is timed. A function made in a loop sees the loop's variable as it is when
        called, not as it was.
        """
        machine = FakeMachine(cpu=4.0, cuda_0=1.0, cuda_1=2.0)
        got = machine.compared(kata, ["cpu", "cuda:0", "cuda:1"])
        order = list(dict.fromkeys(machine.waited))
        check.equal(
            order, ["cpu", "cuda:0", "cuda:1"], what="the devices waited for, at "
        )
        blocks = [
            name
            for i, name in enumerate(machine.waited)
            if i == 0 or machine.waited[i - 1] != name
        ]
        check.equal(
            blocks, order, what="the devices waited for, one after the other, at "
        )
        check.close(
            [got[name]["median"] for name in got], [12.0, 3.0, 6.0], what="medians"
        )

    def test_each_workload_is_made_once(self, kata):
        """Making the model and moving the data is not the work to compare. It happens
        once per device, before the measurement. `make_workload` gets a torch.device,
        and so does `synchronize`.
        """
        machine = FakeMachine(cpu=4.0, cuda=1.0)
        machine.compared(kata, ["cpu", "cuda"])
        check.equal(
            machine.made,
            ["cpu", "cuda"],
            what="the devices that work was made for, at ",
        )
        text = [kind.__name__ for kind in machine.types if kind is not torch.device]
        check.that(
            not text,
            "make_workload and synchronize should be given a torch.device, not a "
            f"{text[:1]}",
        )

    def test_by_default_cuda_and_mps_are_waited_for(self, kata):
        """The default of `synchronize` is `wait_for`: it waits for the GPU that is
        measured, and on the CPU for nothing. (This spec replaces torch's own functions,
        and records the devices.)
        """
        waited = []
        with (
            mock.patch(
                "torch.cuda.synchronize", lambda device=None: waited.append(str(device))
            ),
            mock.patch("torch.mps.synchronize", lambda: waited.append("mps")),
        ):
            kata.compare_devices(
                lambda device: list, ["cpu", "cuda:1", "mps"], warmup=1, repeats=2
            )
        check.equal(
            list(dict.fromkeys(waited)),
            ["cuda:1", "mps"],
            what="the devices waited for, at ",
        )

    @pytest.mark.edge
    def test_no_devices_are_refused(self, kata):
        """Without devices there is no first one to compare with."""
        with check.raises(ValueError):
            kata.compare_devices(lambda device: list, [])

    @pytest.mark.gpu
    @pytest.mark.parametrize("batch", [32, 4096])
    def test_cpu_and_gpu(self, kata, batch):
        """One training step of a small MLP runs on both. A small batch leaves most of a
        GPU idle. The speedup of a large one depends on the machine, so the times here
        only have to be positive.
        """

        def make_workload(device):
            model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)).to(
                device
            )
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            x, y = (
                torch.randn(batch, 64, device=device),
                torch.randint(0, 10, (batch,), device=device),
            )

            def step():
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()

            return step

        got = kata.compare_devices(make_workload, ["cpu", "cuda"], warmup=2, repeats=3)
        check.equal([*got], ["cpu", "cuda"], what="the key at ")
        times = [got[name]["median"] for name in got]
        check.that(min(times) > 0, f"wanted positive times, got {times}")
        check.close(
            got["cuda"]["speedup"], times[0] / times[1], what="speedup of the GPU"
        )
