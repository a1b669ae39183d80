"""Specs of kata tinytorch/12: checkpoints, early stopping, schedules, a trainer, and
digits read by a CNN.
"""

import copy
import math
import pickle
import resource
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check


def tensor(values):
    from tinytorch.tensor import Tensor

    return Tensor(np.asarray(values))


def network(seed=0):
    """Two Linear layers, of 4 inputs and 3 outputs."""
    from tinytorch.layers import Linear, Sequential

    rng = np.random.default_rng(seed)
    return Sequential([Linear(4, 5, rng=rng), Linear(5, 3, rng=rng)])


def arrays_of(model):
    """A copy of each parameter's array, by name."""
    return {name: p.data.copy() for name, p in model.named_parameters()}


def trained_on(model):
    """Change all parameters in place, as an optimizer does."""
    for p in model.parameters():
        p.data -= 1


NAMES = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]


class TestModelState:
    def test_every_parameter_by_its_name(self, kata):
        """The names are those of `named_parameters`, and the values NumPy arrays."""
        model = network()
        check.equal(kata.model_state(model), arrays_of(model))

    def test_the_state_is_a_copy(self, kata):
        """A state is kept while training goes on. Without `copy`, it holds the
        parameters' own arrays, which the optimizer changes in place.
        """
        model = network()
        before = arrays_of(model)
        state = kata.model_state(model)
        trained_on(model)
        unlike = {"the parameters' own arrays": arrays_of(model)}
        check.equal(
            state, before, what="the state, after training went on", unlike=unlike
        )


@st.composite
def partial_states(draw):
    """Some of the names of `network`, and some others."""
    return draw(st.sets(st.sampled_from(NAMES))), draw(
        st.sets(st.sampled_from(["head.weight", "layers.2.bias"]))
    )


class TestLoadModelState:
    def test_the_values_come_back(self, kata):
        """A model with another start gets the parameters of the first, and then has the
        same outputs.
        """
        model, other = network(0), network(1)
        before = {name: array.copy() for name, array in arrays_of(other).items()}
        found = kata.load_model_state(other, arrays_of(model))
        check.equal(found, {"missing": [], "unexpected": []}, what="what is returned")
        unlike = {
            (
                "the parameters keep their own values: perhaps a local name is bound "
                "to the new ones"
            ): before
        }
        check.equal(
            arrays_of(other), arrays_of(model), unlike=unlike, what="the parameters"
        )
        x = tensor(np.random.default_rng(0).normal(size=(2, 4)))
        check.equal(check.data(other(x)), check.data(model(x)), what="the output")

    def test_the_state_is_not_shared(self, kata):
        """`p.data = state[name]` makes the state's array the parameter. The next step
        of training would change the state: it could be loaded once only.
        """
        model, state = network(1), arrays_of(network(0))
        kata.load_model_state(model, state)
        trained_on(model)
        unlike = {"the state's arrays became the parameters": arrays_of(model)}
        check.equal(
            state,
            arrays_of(network(0)),
            what="the state, after training went on",
            unlike=unlike,
        )

    def test_not_strict(self, kata):
        """A name that only one side has is skipped and reported: missing in the state,
        or unexpected in it.
        """
        model, state = network(1), arrays_of(network(0))
        state["head.weight"] = state.pop("layers.1.weight")
        found = kata.load_model_state(model, state, strict=False)
        right = {"missing": ["layers.1.weight"], "unexpected": ["head.weight"]}
        unlike = {
            "missing and unexpected are exchanged": dict(
                zip(right, reversed(right.values()), strict=True)
            )
        }
        check.equal(found, right, unlike=unlike, what="what is returned")
        expected = arrays_of(network(0)) | {
            "layers.1.weight": arrays_of(network(1))["layers.1.weight"]
        }
        check.equal(arrays_of(model), expected, what="the parameters")

    @given(case=partial_states())
    def test_any_names(self, kata, case):
        """Each parameter has the value of the state, if its name is there, and else
        its own.
        """
        known, unknown = case
        own, given_ = arrays_of(network(1)), arrays_of(network(0))
        model, state = (
            network(1),
            {name: given_[name] for name in known}
            | {name: np.ones(2) for name in unknown},
        )
        found = kata.load_model_state(model, state, strict=False)
        found = {key: sorted(names) for key, names in found.items()}
        check.equal(
            found, {"missing": sorted({*NAMES} - known), "unexpected": sorted(unknown)}
        )
        check.equal(
            arrays_of(model),
            own | {name: given_[name] for name in known},
            what="the parameters",
        )

    @pytest.mark.edge
    def test_strict_raises(self, kata):
        """The message has the names of both lists, and no parameter has changed."""
        model, state = network(1), arrays_of(network(0))
        state["head.weight"] = state.pop("layers.1.weight")
        with check.raises(KeyError, "layers.1.weight", "head.weight"):
            kata.load_model_state(model, state)
        check.equal(
            arrays_of(model),
            arrays_of(network(1)),
            what="the parameters after the error",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("strict", [True, False])
    def test_a_wrong_shape_changes_nothing(self, kata, strict):
        """The last parameter does not fit: the first still has its own values. A bias
        (1,) would even broadcast.
        """
        model, state = network(1), arrays_of(network(0))
        state["layers.1.bias"] = np.ones(1, dtype=np.float32)
        with check.raises(ValueError, "layers.1.bias"):
            kata.load_model_state(model, state, strict=strict)
        check.equal(
            arrays_of(model),
            arrays_of(network(1)),
            what="the parameters after the error",
        )

    @pytest.mark.edge
    def test_into_the_arrays_that_are_there(self, kata):
        """Whoever shares an array of the model sees the new values, and float32
        stays float32.
        """
        model = network(1)
        arrays = [p.data for p in model.parameters()]
        kata.load_model_state(
            model,
            {
                name: array.astype(np.float64)
                for name, array in arrays_of(network(0)).items()
            },
        )
        same = all(
            p.data is array for p, array in zip(model.parameters(), arrays, strict=True)
        )
        check.that(
            same,
            "a parameter has a new array: `p.data = …` instead of a change in place",
        )
        check.equal(arrays_of(model), arrays_of(network(0)), what="the parameters")


def optimizer_of(name, seed=0, lr=0.1):
    """An optimizer for two parameters that is newly made. The names are those of
    `predict_checkpoint_bytes`.
    """
    from tinytorch.advanced_optimizers import Adam, SGDMomentum
    from tinytorch.layers import Parameter
    from tinytorch.optimizers import SGD

    rng = np.random.default_rng(seed)
    params = [Parameter(rng.normal(size=shape)) for shape in ((2, 3), (4,))]
    return {"sgd": SGD, "momentum": SGDMomentum, "adam": Adam}[name](params, lr)


def stepped(optimizer, *seeds):
    """Make a step with random gradients for each seed, and return the parameters."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for p in optimizer.params:
            p.grad = rng.normal(size=p.shape)
        optimizer.step()
    return [p.data.copy() for p in optimizer.params]


def kept_by(optimizer):
    """All that `optimizer_state` should have, copied."""
    state = {"lr": np.array(optimizer.lr)}
    for name in ("velocity", "m", "v"):
        state |= {
            f"{name}.{i}": array.copy()
            for i, array in enumerate(getattr(optimizer, name, []))
        }
    return state | (
        {"steps": np.array(optimizer.steps)} if hasattr(optimizer, "steps") else {}
    )


class TestOptimizerState:
    @pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
    def test_all_that_is_kept_between_two_steps(self, kata, name):
        """SGD keeps the rate alone, momentum a velocity per parameter, Adam m, v and
        a counter.
        """
        optimizer = optimizer_of(name)
        stepped(optimizer, 1, 2)
        got = kata.optimizer_state(optimizer)
        check.close(got, kept_by(optimizer))
        check.that(
            all(isinstance(array, np.ndarray) for array in got.values()),
            "all values should be NumPy arrays",
        )

    @pytest.mark.parametrize("name", ["momentum", "adam"])
    def test_the_state_is_a_copy(self, kata, name):
        """Further steps change velocities, means and counters in place, and must not
        change what was saved.
        """
        optimizer = optimizer_of(name)
        stepped(optimizer, 1)
        expected, got = kept_by(optimizer), kata.optimizer_state(optimizer)
        stepped(optimizer, 2)
        for array in (
            *getattr(optimizer, "velocity", []),
            *getattr(optimizer, "m", []),
            *getattr(optimizer, "v", []),
        ):
            array += 1
        unlike = {"the optimizer's own arrays": kept_by(optimizer)}
        check.close(
            got, expected, what="the state, after a further step", unlike=unlike
        )


def resumed_without(optimizer, part):
    """Two steps of a copy of the optimizer in which one attribute is as in a
    new one.
    """
    other = copy.deepcopy(optimizer)
    fresh = optimizer_of("adam" if hasattr(optimizer, "m") else "momentum", lr=0.3)
    setattr(other, part, getattr(fresh, part))
    return stepped(other, 3, 4)


class TestLoadOptimizerState:
    @pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
    def test_goes_on_exactly(self, kata, name):
        """Two steps, and two more by a new optimizer that was given the state: the same
        as four steps in one go. The rate had changed in between.
        """
        first, second = optimizer_of(name), optimizer_of(name, lr=0.3)
        stepped(first, 1, 2)
        first.lr = 0.05
        state = kept_by(first)
        for p, q in zip(first.params, second.params, strict=True):
            q.data[...] = p.data
        kata.load_optimizer_state(second, state)
        parts = {
            "sgd": ["lr"],
            "momentum": ["lr", "velocity"],
            "adam": ["lr", "m", "v", "steps"],
        }[name]
        unlike = {
            f"`{part}` was not restored": resumed_without(first, part) for part in parts
        }
        check.equal(
            stepped(second, 3, 4),
            stepped(first, 3, 4),
            unlike=unlike,
            what="the parameters after four steps",
        )

    @pytest.mark.parametrize("name", ["momentum", "adam"])
    def test_the_state_is_not_shared(self, kata, name):
        """One state may be loaded twice, so steps after the first time must not
        change it.
        """
        optimizer = optimizer_of(name)
        stepped(optimizer, 1, 2)
        state, expected = kept_by(optimizer), kept_by(optimizer)
        kata.load_optimizer_state(optimizer, state)
        for array in (
            *getattr(optimizer, "velocity", []),
            *getattr(optimizer, "m", []),
            *getattr(optimizer, "v", []),
        ):
            array += 1
        stepped(optimizer, 3)
        unlike = {"the state's arrays became the optimizer's": kept_by(optimizer)}
        check.equal(
            state, expected, what="the state, after a further step", unlike=unlike
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "saved, own", [("adam", "sgd"), ("sgd", "adam"), ("momentum", "adam")]
    )
    def test_the_state_of_another_optimizer(self, kata, saved, own):
        """An SGD could read the rate of any state. What else was saved would be lost
        without a word.
        """
        with check.raises(KeyError):
            kata.load_optimizer_state(optimizer_of(own), kept_by(optimizer_of(saved)))

    @pytest.mark.edge
    def test_a_wrong_shape(self, kata):
        """A velocity (1,) would broadcast to all elements. The message names
        the entry.
        """
        state = kept_by(optimizer_of("momentum")) | {"velocity.1": np.zeros(1)}
        with check.raises(ValueError, "velocity.1"):
            kata.load_optimizer_state(optimizer_of("momentum"), state)


def adam_for(model, lr=0.02):
    from tinytorch.advanced_optimizers import Adam

    return Adam(model.parameters(), lr)


def batches():
    """Two batches of 6 samples: inputs (6, 4) and class numbers (6,)."""
    rng = np.random.default_rng(0)
    return [
        (tensor(rng.normal(size=(6, 4))), tensor(rng.integers(0, 3, size=6)))
        for _ in range(2)
    ]


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


def check_size(path, payload):
    """The file holds the payload, and at most 4 KiB more."""
    size = path.stat().st_size
    text = (
        f"the file has {size:,} bytes, expected {payload:,} for the arrays, and at "
        "most 4,096 more"
    )
    check.that(payload <= size <= payload + 4096, text)


@contextmanager
def nothing_pickled():
    """Inside the block, the functions of `pickle` raise."""

    def refuse(*args, **kwargs):
        raise AssertionError(
            "pickle was used: whoever writes such a file can run any code where it is "
            "loaded"
        )

    names = ("dump", "dumps", "load", "loads", "Pickler", "Unpickler")
    with mock.patch.multiple(pickle, **dict.fromkeys(names, refuse)):
        yield


@contextmanager
def full_disk(limit):
    """Inside the block, no file can grow beyond `limit` bytes: a longer write is
    an OSError.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestSaveCheckpoint:
    def test_one_file_with_all_parameters(self, kata, tmp_path):
        """The file is as large as the parameters, and a little for names and meta."""
        model = network()
        kata.save_checkpoint(tmp_path / "run.npz", model, meta={"epoch": 3})
        left = [name for name in files_in(tmp_path) if name != "run.npz"]
        check.that(
            not left,
            f"the folder holds {left}, too",
            like="the temporary file is left behind",
        )
        check.equal(files_in(tmp_path), ["run.npz"], what="the files in the folder")
        check_size(
            tmp_path / "run.npz",
            sum(array.nbytes for array in arrays_of(model).values()),
        )

    def test_the_optimizer_goes_in(self, kata, tmp_path):
        """Adam keeps two more arrays per parameter, so the file is about three times as
        large. The path may be a str.
        """
        from tinytorch.layers import Linear

        model = Linear(80, 20)
        kata.save_checkpoint(str(tmp_path / "run.npz"), model, adam_for(model))
        check_size(
            tmp_path / "run.npz",
            3 * sum(array.nbytes for array in arrays_of(model).values()),
        )

    def test_an_older_file_is_replaced(self, kata, tmp_path):
        """Trainers save to the same path again and again."""
        from tinytorch.layers import Linear

        model = Linear(80, 20)
        kata.save_checkpoint(tmp_path / "run.npz", model, adam_for(model))
        kata.save_checkpoint(tmp_path / "run.npz", model)
        check.equal(files_in(tmp_path), ["run.npz"], what="the files in the folder")
        check_size(
            tmp_path / "run.npz",
            sum(array.nbytes for array in arrays_of(model).values()),
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("name", ["run", "run.ckpt", "epoch.3"])
    def test_exactly_at_the_path(self, kata, tmp_path, name):
        """`np.savez` adds .npz to a path without it. Given an open file, it does not.
        No other file remains.
        """
        kata.save_checkpoint(tmp_path / name, network())
        check.equal(files_in(tmp_path), [name], what="the files in the folder")

    @pytest.mark.edge
    def test_nothing_is_pickled(self, kata, tmp_path):
        """NumPy pickles arrays of objects, such as np.array({"epoch": 3}). JSON is
        text, and text is no object.
        """
        model = network()
        with nothing_pickled():
            kata.save_checkpoint(
                tmp_path / "run.npz",
                model,
                adam_for(model),
                meta={"epoch": 3, "note": "best"},
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("older", [True, False])
    def test_a_full_disk(self, kata, tmp_path, older):
        """Writing fails halfway. The older file is as it was, since only a complete
        file is renamed to the final name, and half a file is removed.
        """
        from tinytorch.layers import Linear

        path = tmp_path / "run.npz"
        if older:
            kata.save_checkpoint(path, network())
        before = path.read_bytes() if older else b""
        with full_disk(8192), check.raises(OSError):
            kata.save_checkpoint(path, Linear(100, 50))
        check.equal(
            files_in(tmp_path),
            ["run.npz"] if older else [],
            what="the files in the folder",
        )
        check.that(
            not older or path.read_bytes() == before, "the older file has changed"
        )

    @pytest.mark.edge
    def test_written_beside_its_place(self, kata, tmp_path):
        """Renaming replaces a file in one step, within one disk. The system's folder
        for temporary files is often on another.
        """
        with check.folders_on_disks_of_their_own():
            kata.save_checkpoint(tmp_path / "run.npz", network())
        check.equal(files_in(tmp_path), ["run.npz"], what="the files in the folder")

    @pytest.mark.edge
    def test_a_meta_that_json_cannot_hold(self, kata, tmp_path):
        """A set is no JSON. The error comes before the older file is touched."""
        path = tmp_path / "run.npz"
        kata.save_checkpoint(path, network())
        before = path.read_bytes()
        with check.raises(TypeError):
            kata.save_checkpoint(path, network(1), meta={"seen": {1, 2}})
        check.equal(files_in(tmp_path), ["run.npz"], what="the files in the folder")
        check.that(path.read_bytes() == before, "the older file has changed")


@st.composite
def metas(draw):
    """A dict that JSON can hold."""
    text = st.text('aä "\\\0', max_size=3)
    value = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-9, 9),
        st.sampled_from([0.1, -2.5e-8]),
        text,
    )
    return draw(
        st.dictionaries(text, st.one_of(value, st.lists(value, max_size=2)), max_size=3)
    )


class TestLoadCheckpoint:
    def test_model_and_meta_come_back(self, kata, tmp_path):
        """The loaded model has the outputs of the saved one. The call returns
        the meta.
        """
        model, other = network(0), network(1)
        meta = {
            "epoch": 3,
            "loss": 0.1,
            "note": "größer",
            "lr": [0.1, 0.05],
            "best": True,
            "parent": None,
        }
        kata.save_checkpoint(tmp_path / "run.npz", model, meta=meta)
        check.equal(
            kata.load_checkpoint(tmp_path / "run.npz", other), meta, what="the meta"
        )
        check.equal(arrays_of(other), arrays_of(model), what="the parameters")

    def test_three_and_three_epochs_are_six(self, kata, tmp_path):
        """Training stops after three epochs, as in a crash. A new model and a new Adam
        load the checkpoint and train for three more: the weights equal those of six
        epochs in one go.
        """
        from tinytorch.advanced_optimizers import train_classifier

        whole, first, second, plain = network(0), network(0), network(1), network(0)
        train_classifier(whole, adam_for(whole), batches(), 6)
        optimizer = adam_for(first)
        train_classifier(first, optimizer, batches(), 3)
        kata.save_checkpoint(tmp_path / "run.npz", first, optimizer)
        other = adam_for(second, lr=0.5)
        kata.load_checkpoint(tmp_path / "run.npz", second, other)
        train_classifier(second, other, batches(), 3)
        for _ in range(2):
            train_classifier(plain, adam_for(plain), batches(), 3)
        unlike = {"an optimizer that starts anew": arrays_of(plain)}
        check.equal(
            arrays_of(second),
            arrays_of(whole),
            unlike=unlike,
            what="the parameters after six epochs",
        )

    def test_the_model_alone(self, kata, tmp_path):
        """To use a model, nobody needs its optimizer, even if it was saved. A meta of
        None is {}.
        """
        model, other = network(0), network(1)
        kata.save_checkpoint(tmp_path / "run.npz", model, adam_for(model))
        check.equal(
            kata.load_checkpoint(str(tmp_path / "run.npz"), other), {}, what="the meta"
        )
        check.equal(arrays_of(other), arrays_of(model), what="the parameters")

    @given(meta=metas())
    def test_any_meta(self, kata, tmp_path, meta):
        """Numbers, texts, lists and None come back as they were."""
        from tinytorch.layers import Linear

        kata.save_checkpoint(tmp_path / "run.npz", Linear(1, 1), meta=meta)
        check.equal(kata.load_checkpoint(tmp_path / "run.npz", Linear(1, 1)), meta)

    @pytest.mark.edge
    @pytest.mark.parametrize("name", ["run", "run.ckpt"])
    def test_a_path_without_suffix(self, kata, tmp_path, name):
        """The path that was given for saving is the path for loading."""
        model, other = network(0), network(1)
        kata.save_checkpoint(tmp_path / name, model)
        kata.load_checkpoint(tmp_path / name, other)
        check.equal(arrays_of(other), arrays_of(model), what="the parameters")

    @pytest.mark.edge
    def test_nothing_is_unpickled(self, kata, tmp_path):
        """A pickle runs code while it is loaded, and checkpoints come
        from strangers.
        """
        model = network()
        kata.save_checkpoint(
            tmp_path / "run.npz", model, adam_for(model), meta={"epoch": 3}
        )
        with nothing_pickled():
            kata.load_checkpoint(tmp_path / "run.npz", model, adam_for(model))

    @pytest.mark.edge
    def test_an_optimizer_that_was_not_saved(self, kata, tmp_path):
        """Training would go on with an optimizer that starts anew, without a word."""
        kata.save_checkpoint(tmp_path / "run.npz", network())
        other = network(1)
        with check.raises(KeyError):
            kata.load_checkpoint(tmp_path / "run.npz", other, adam_for(other))


@st.composite
def series(draw):
    """Losses, a patience and a min_delta: small halves, so that all sums are exact."""
    halves = st.integers(0, 8).map(lambda n: n / 2)
    losses = draw(st.lists(halves, min_size=1, max_size=10))
    return losses, draw(st.integers(1, 3)), draw(st.sampled_from([0.0, 0.5, 1.0]))


def answers(stopping, values):
    return [bool(stopping.step(value)) for value in values]


class TestEarlyStopping:
    def test_a_series_by_hand(self, kata):
        """Patience 2. After 3 and 1 (better), two values in a row bring no improvement:
        2, and then 1 again. The best was epoch 1, counted from 0.
        """
        stopping = kata.EarlyStopping(2)
        right = [False, False, False, True]
        unlike = {
            "one epoch late": [False] * 4,
            "one epoch early": [False, False, True, True],
            "True means go on": [not stop for stop in right],
        }
        check.equal(
            answers(stopping, [3.0, 1.0, 2.0, 1.0]),
            right,
            what="the answers",
            unlike=unlike,
        )
        check.equal(
            float(stopping.best),
            1.0,
            what="best",
            unlike={"the last value of a worse one": 2.0},
        )
        check.equal(
            stopping.best_epoch,
            1,
            what="best_epoch",
            unlike={"counted from 1": 2, "the last epoch": 3},
        )
        check.equal(stopping.bad_epochs, 2, what="bad_epochs")

    def test_an_improvement_starts_the_count_anew(self, kata):
        """Patience counts epochs in a row. Equal values are no improvement."""
        stopping = kata.EarlyStopping(2)
        right = [False] * 6 + [True]
        unlike = {
            "bad epochs in all, not in a row": [
                False,
                False,
                False,
                True,
                True,
                True,
                True,
            ]
        }
        check.equal(
            answers(stopping, [5.0, 5.0, 4.0, 4.0, 3.0, 3.0, 3.0]),
            right,
            what="the answers",
            unlike=unlike,
        )
        check.equal(stopping.best_epoch, 4, what="best_epoch")

    def test_min_delta(self, kata):
        """An improvement is better than the *best* by *more* than min_delta, here 0.5.
        2.5 is better than 3 by exactly 0.5, 2.25 by more; from 2.25 on, small
        improvements do not add up until they exceed 0.5.
        """
        stopping = kata.EarlyStopping(3, min_delta=0.5)
        values = [3.0, 2.5, 2.25, 2.0, 1.875, 1.5, 1.25]
        bad = [answers(stopping, [value]) and stopping.bad_epochs for value in values]
        unlike = {
            "better by min_delta or more": [0, 0, 1, 0, 1, 0, 1],
            "without min_delta": [0] * 7,
            "compared with the value before": [0, 1, 2, 3, 4, 5, 6],
        }
        check.equal(
            bad,
            [0, 1, 0, 1, 2, 0, 1],
            what="bad_epochs after each value",
            unlike=unlike,
        )

    def test_mode_max(self, kata):
        """Accuracy should rise: larger is better, again by more than min_delta."""
        stopping = kata.EarlyStopping(2, mode="max", min_delta=0.25)
        got = answers(stopping, [-1.5, -1.0, -0.75, -2.0])
        check.equal(got, [False, False, False, True], what="the answers")
        check.equal(
            (float(stopping.best), stopping.best_epoch),
            (-1.0, 1),
            what="best and best_epoch",
        )

    def test_the_state_of_the_best_epoch(self, kata):
        """`best_state` has the weights of the best epoch, however training goes on.
        Without a model it is None.
        """
        model, stopping, seen = network(), kata.EarlyStopping(5), []
        for value in (3.0, 1.0, 2.0):
            seen.append(arrays_of(model))
            stopping.step(value, model)
            trained_on(model)
        unlike = {
            "the weights of the last epoch": seen[2],
            "the weights now: not a copy": arrays_of(model),
        }
        check.equal(stopping.best_state, seen[1], what="best_state", unlike=unlike)
        without = kata.EarlyStopping(5)
        without.step(3.0)
        check.that(
            without.best_state is None, "without a model, best_state should be None"
        )

    @given(case=series())
    def test_any_series(self, kata, case):
        """In each epoch: stop if the last improvement is at least `patience`
        epochs ago.
        """
        losses, patience, min_delta = case
        improved, best = [], math.inf
        for epoch, loss in enumerate(losses):
            if best - loss > min_delta:
                improved, best = [*improved, epoch], loss
        expected = [
            e - max(i for i in improved if i <= e) >= patience
            for e in range(len(losses))
        ]
        stopping = kata.EarlyStopping(patience, min_delta=min_delta)
        check.equal(answers(stopping, losses), expected, what="the answers")
        check.equal(
            (float(stopping.best), stopping.best_epoch),
            (best, improved[-1]),
            what="best and best_epoch",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("mode", ["min", "max"])
    def test_nan_is_never_an_improvement(self, kata, mode):
        """A loss of NaN is no success. As the best value it would make every comparison
        false for ever.
        """
        stopping = kata.EarlyStopping(2, mode=mode)
        got = answers(stopping, [math.nan, 3.0, math.nan, math.nan])
        check.equal(got, [False, False, False, True], what="the answers")
        check.equal(
            (float(stopping.best), stopping.best_epoch),
            (3.0, 1),
            what="best and best_epoch",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("patience, mode", [(0, "min"), (-1, "max"), (3, "best")])
    def test_options_that_make_no_sense(self, kata, patience, mode):
        """Patience 0 would stop before the first epoch. A mode with a typing error
        would be taken for one of the two.
        """
        with check.raises(ValueError):
            kata.EarlyStopping(patience, mode=mode)


class TestStepDecay:
    def test_every_step_size_epochs(self, kata):
        """With step_size 3 and gamma 0.5, three epochs have the base rate, the next
        three half of it, and so on.
        """
        got = [
            kata.step_decay(epoch, 8.0, step_size=3, gamma=0.5) for epoch in range(8)
        ]
        unlike = {
            "a decay in every epoch": [8.0 * 0.5 ** (epoch / 3) for epoch in range(8)],
            "all of gamma in every epoch": [8.0 * 0.5**epoch for epoch in range(8)],
            "gamma times the number of decays, not to its power": [
                4.0 * (epoch // 3) for epoch in range(8)
            ],
            "one epoch late": [16.0, 8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 2.0],
            "one epoch early": [8.0, 8.0, 4.0, 4.0, 4.0, 2.0, 2.0, 2.0],
        }
        check.close(got, [8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 2.0, 2.0], unlike=unlike)

    def test_a_tenth_unless_told_otherwise(self, kata):
        """gamma is 0.1 by default."""
        check.close(kata.step_decay(4, 3.0, step_size=2), 0.03)


@st.composite
def cosines(draw):
    """Warm-up, total and min_lr."""
    warmup = draw(st.integers(0, 4))
    return warmup, warmup + draw(st.integers(1, 9)), draw(st.sampled_from([0.0, 0.25]))


class TestCosineDecay:
    def test_half_a_cosine(self, kata):
        """From 8 in epoch 0 to 0 in epoch 4: 8 · (1 + cos(π · epoch / 4)) / 2."""
        got = [kata.cosine_decay(epoch, 8.0, total=4) for epoch in range(5)]
        half = 2 * math.sqrt(2)
        unlike = {
            "total − 1 in the denominator": [8.0, 6.0, 2.0, 0.0, 0.0],
            "a straight line": [8.0, 6.0, 4.0, 2.0, 0.0],
            "a quarter of the wave: cos(π / 2 · …)": [
                8 * math.cos(math.pi * e / 8) for e in range(5)
            ],
            "a quarter of the wave, raised and halved": [
                4 + 4 * math.cos(math.pi * e / 8) for e in range(4)
            ]
            + [...],
            "the cosine itself, not (1 + cos) / 2": [
                8 * math.cos(math.pi * e / 4) for e in range(4)
            ]
            + [...],
        }
        check.close(got, [8.0, 4 + half, 4.0, 4 - half, 0.0], unlike=unlike)

    def test_min_lr_ever_after(self, kata):
        """The cosine ends at min_lr, and does not rise again: epochs 4, 5 and 8 have
        the same rate.
        """
        got = [
            kata.cosine_decay(epoch, 8.0, total=4, min_lr=2.0)
            for epoch in (0, 2, 4, 5, 8)
        ]
        unlike = {
            "the cosine rises again": [
                8.0,
                5.0,
                2.0,
                5 - 3 * math.cos(math.pi / 4),
                8.0,
            ],
            "min_lr only cuts off": [8.0, 4.0, 2.0, 2.0, 2.0],
            "min_lr is added": [10.0, 6.0, 2.0, 2.0, 2.0],
            "the cosine ends at 0: min_lr is subtracted and not added": [
                6.0,
                3.0,
                2.0,
                2.0,
                2.0,
            ],
        }
        check.close(got, [8.0, 5.0, 2.0, 2.0, 2.0], unlike=unlike)

    def test_warm_up(self, kata):
        """Warm-up 4: a quarter of the rate in epoch 0, all of it in epoch 3. The cosine
        starts with all of it in epoch 4, and is halfway in epoch 7, between 4 and 10.
        """
        got = [
            kata.cosine_decay(epoch, 6.0, total=10, warmup=4)
            for epoch in (0, 1, 3, 4, 7, 10)
        ]
        unlike = {
            "an epoch with rate 0": [0.0, 1.5, 4.5, 6.0, 3.0, 0.0],
            "the cosine starts in epoch 0": [1.5, 3.0, 6.0]
            + [3 + 3 * math.cos(math.pi * e / 10) for e in (4, 7, 10)],
        }
        check.close(got, [1.5, 3.0, 6.0, 6.0, 3.0, 0.0], unlike=unlike)

    @given(case=cosines())
    def test_falls_symmetrically(self, kata, case):
        """After the warm-up the rate falls from base to min, and what it loses in k
        epochs from the start, it still has to lose k epochs before the end.
        """
        warmup, total, low = case
        rates = [
            kata.cosine_decay(epoch, 1.0, total=total, warmup=warmup, min_lr=low)
            for epoch in range(total + 3)
        ]
        falling = rates[warmup : total + 1]
        check.close(
            [a + b for a, b in zip(falling, reversed(falling), strict=True)],
            [1.0 + low] * len(falling),
        )
        check.that(
            all(a > b for a, b in zip(falling, falling[1:], strict=False)),
            f"the rates do not fall: {falling}",
        )
        check.close(rates[total:], [low] * 3, what="the rates from epoch `total` on")


class TestLRScheduler:
    def test_epoch_0_at_once(self, kata):
        """A warm-up matters in the very first epoch, before any call of `step`."""
        optimizer = optimizer_of("sgd", lr=0.8)
        kata.LRScheduler(optimizer, lambda epoch, base: base * (epoch + 1) / 4)
        check.close(
            optimizer.lr,
            0.2,
            what="lr",
            unlike={"still the base rate": 0.8, "already epoch 1": 0.4},
        )

    def test_every_step_is_an_epoch(self, kata):
        """The schedule gets the number of the epoch, and the rate that the optimizer
        had at first. With the current rate, every decay would be applied to the
        one before.
        """
        optimizer = optimizer_of("sgd", lr=0.8)
        scheduler, rates = (
            kata.LRScheduler(optimizer, lambda epoch, base: base / 2**epoch),
            [],
        )
        for _ in range(3):
            rates.append(optimizer.lr)
            scheduler.step()
        unlike = {
            "applied to the current rate": [0.8, 0.4, 0.1],
            "one epoch late": [0.8, 0.8, 0.4],
        }
        check.close(rates, [0.8, 0.4, 0.2], what="lr in epochs 0, 1, 2", unlike=unlike)


@st.composite
def weighted(draw):
    """Values, and how often each of them counts."""
    count = draw(st.integers(1, 6))
    values = draw(
        st.lists(
            st.integers(-20, 20).map(lambda n: n / 4), min_size=count, max_size=count
        )
    )
    return values, draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))


class TestRunningMean:
    def test_weights(self, kata):
        """Three samples with mean 2 and one with 6: (3 · 2 + 6) / 4."""
        mean = kata.RunningMean()
        mean.update(2.0, n=3)
        mean.update(6.0)
        unlike = {
            "the mean of the means, without n": 4.0,
            "n in the count alone, not in the sum": 2.0,
            "the sum": 12.0,
        }
        unlike |= {"the last value, or n in the sum alone": 6.0}
        check.close(float(mean.value), 3.0, unlike=unlike)

    @given(case=weighted())
    def test_equals_numpy(self, kata, case):
        """After any updates, the value is `np.average` with weights."""
        values, counts = case
        mean = kata.RunningMean()
        for value, n in zip(values, counts, strict=True):
            mean.update(value, n)
        check.close(
            float(mean.value), float(np.average(values, weights=counts)), atol=1e-9
        )

    def test_reset(self, kata):
        """The next epoch starts with nothing, neither sum nor count."""
        mean = kata.RunningMean()
        mean.update(2.0, n=3)
        mean.reset()
        mean.update(5.0)
        unlike = {
            "the sum was kept": 11.0,
            "the count was kept": 1.25,
            "nothing was forgotten": 2.75,
        }
        check.close(float(mean.value), 5.0, unlike=unlike)

    def test_keeps_no_list(self, kata):
        """Two numbers are enough, whatever the number of updates. A list of all values
        would grow for ever.
        """
        from tinytorch.setup import profile_memory

        def filled():
            mean = kata.RunningMean()
            for i in range(1000):
                mean.update(i / 7)
            return mean

        kept = profile_memory(filled).retained_bytes
        check.that(
            kept < 4000,
            f"{kept:,} bytes are kept after 1,000 updates, expected a few hundred",
        )

    @pytest.mark.edge
    def test_empty(self, kata):
        """The mean of nothing is no number, neither at first nor after a reset."""
        mean = kata.RunningMean()
        with check.raises(ValueError):
            _ = mean.value
        mean.update(2.0)
        mean.reset()
        with check.raises(ValueError):
            _ = mean.value


def sgd_for(model, lr=0.1):
    from tinytorch.optimizers import SGD

    return SGD(model.parameters(), lr)


class TestTrainerInit:
    def test_keeps_the_parts(self, kata):
        """Five attributes, with the names of the arguments. Nothing is trained yet."""
        model = network()
        optimizer, stopping = sgd_for(model), kata.EarlyStopping(2)
        trainer = kata.Trainer(
            model,
            optimizer,
            schedule=lambda epoch, base: base,
            early_stopping=stopping,
            checkpoint_path="run.npz",
        )
        kept = (trainer.model, trainer.optimizer, trainer.early_stopping)
        right = all(
            a is b for a, b in zip(kept, (model, optimizer, stopping), strict=True)
        )
        check.that(
            right,
            "model, optimizer and early_stopping should be the objects that were given",
        )
        check.that(
            callable(trainer.schedule),
            f"schedule is {check.describe(trainer.schedule)}",
        )
        check.equal(str(trainer.checkpoint_path), "run.npz", what="checkpoint_path")
        check.equal(arrays_of(model), arrays_of(network()), what="the parameters")

    def test_all_but_model_and_optimizer_is_optional(self, kata):
        """None stands for a part that is not wanted."""
        trainer = kata.Trainer(network(), sgd_for(network()))
        got = [trainer.schedule, trainer.early_stopping, trainer.checkpoint_path]
        check.equal(
            got, [None, None, None], what="schedule, early_stopping and checkpoint_path"
        )

    def test_evaluates(self, kata):
        """`evaluate` measures the model that was given, and leaves it as it was."""
        from tinytorch.advanced_optimizers import evaluate_classifier

        model = network()
        got = kata.Trainer(model, sgd_for(model)).evaluate(batches())
        check.close(got, evaluate_classifier(network(), batches()))
        check.equal(arrays_of(model), arrays_of(network()), what="the parameters")


class PowerCut(Exception):
    """The end of a scripted run."""


class Script:
    """A loader whose k-th epoch has one sample, on which the model of `scripted` has
    the k-th of these losses.

    `seen` has the weights of the model at the start of each epoch. None stands for a
    power cut.
    """

    def __init__(self, model, losses, third=0.0):
        self.model, self.losses, self.third, self.seen = model, losses, third, []

    def __iter__(self):
        check.that(
            len(self.seen) < len(self.losses),
            f"more than {len(self.losses)} runs through this loader",
        )
        loss = self.losses[len(self.seen)]
        if loss is None:
            raise PowerCut
        self.seen.append(arrays_of(self.model))
        yield tensor([[-math.log(math.expm1(loss)), 0.0, self.third]]), tensor([0])


def scripted(losses):
    """A model, an optimizer, batches on which only the third column of the weight is
    trained, and a val_loader which has the first two columns decide the loss.
    """
    from tinytorch.layers import Linear

    model = Linear(3, 2, bias=False)
    model.weight.data[...] = [[1.0, 0.0, 0.25], [0.0, 1.0, -0.25]]
    train = [
        (tensor([[0.0, 0.0, 1.0]]), tensor([0])),
        (tensor([[0.0, 0.0, 2.0]]), tensor([1])),
    ]
    return model, sgd_for(model, lr=0.4), train, Script(model, losses)


class TestTrainerFit:
    @pytest.mark.parametrize("validated", [True, False])
    def test_trains_like_train_classifier(self, kata, validated):
        """Without options, weights and history are those of `train_classifier`, and
        "lr" has the rate of each epoch. The optimizer keeps its rate.
        """
        from tinytorch.advanced_optimizers import train_classifier

        model, other = network(), network()
        optimizer, val = adam_for(model), batches()[:1] if validated else None
        got = kata.Trainer(model, optimizer).fit(batches(), 3, val_loader=val)
        expected = train_classifier(
            other, adam_for(other), batches(), 3, val_loader=val
        )
        check.close(got, expected | {"lr": [0.02] * 3}, what="the history")
        check.equal(arrays_of(model), arrays_of(other), what="the parameters")
        check.equal(optimizer.lr, 0.02, what="the optimizer's lr, afterwards")

    def test_a_schedule_sets_the_rate_of_each_epoch(self, kata):
        """Epoch 0 is trained with schedule(0, base_lr). "lr" has the rates that the
        updates were made with.
        """
        from tinytorch.advanced_optimizers import train_classifier

        model, other = network(), network()
        got = kata.Trainer(
            model, sgd_for(model, lr=0.8), schedule=lambda epoch, base: base / 2**epoch
        )
        history = got.fit(batches(), 3)
        optimizer = sgd_for(other, lr=0.8)
        for rate in (0.8, 0.4, 0.2):
            optimizer.lr = rate
            train_classifier(other, optimizer, batches(), 1)
        unlike = {
            "applied to the current rate": [0.8, 0.4, 0.1],
            "the rate after the epoch": [0.4, 0.2, 0.1],
            "the base rate": [0.8, 0.8, 0.8],
        }
        check.close(history["lr"], [0.8, 0.4, 0.2], what="history['lr']", unlike=unlike)
        check.close(arrays_of(model), arrays_of(other), what="the parameters")

    def test_stops_early_with_the_best_weights(self, kata):
        """Validation losses of 3, 1, 2, 2.5, and patience 2: there is no fifth epoch,
        and the model has the weights of the second.
        """
        model, optimizer, train, val = scripted([3.0, 1.0, 2.0, 2.5, 0.5, 0.5])
        stopping = kata.EarlyStopping(2)
        history = kata.Trainer(model, optimizer, early_stopping=stopping).fit(
            train, 6, val_loader=val
        )
        check.equal(
            sorted(history),
            ["lr", "train_accuracy", "train_loss", "val_accuracy", "val_loss"],
            what="keys",
        )
        check.equal(
            {name: len(values) for name, values in history.items()},
            dict.fromkeys(history, 4),
            what="epochs",
        )
        check.close(
            history["val_loss"], [3.0, 1.0, 2.0, 2.5], what="history['val_loss']"
        )
        unlike = {
            "the last weights": val.seen[3],
            "the weights of the first epoch": val.seen[0],
        }
        check.equal(arrays_of(model), val.seen[1], what="the parameters", unlike=unlike)

    def test_the_best_weights_after_the_last_epoch(self, kata):
        """When the epochs run out before patience does, the model gets its best
        weights, too.
        """
        model, optimizer, train, val = scripted([3.0, 1.0, 2.0])
        kata.Trainer(model, optimizer, early_stopping=kata.EarlyStopping(5)).fit(
            train, 3, val_loader=val
        )
        check.equal(
            arrays_of(model),
            val.seen[1],
            what="the parameters",
            unlike={"the last weights": val.seen[2]},
        )

    def test_the_best_epoch_is_saved(self, kata, tmp_path):
        """Validation losses of 2, 1, 3, 1.5: the file holds the second epoch, with its
        number, counted from 0, and its loss. Without early stopping, the model goes on
        to the last weights.
        """
        model, optimizer, train, val = scripted([2.0, 1.0, 3.0, 1.5])
        kata.Trainer(model, optimizer, checkpoint_path=tmp_path / "best.npz").fit(
            train, 4, val_loader=val
        )
        check.equal(arrays_of(model), val.seen[3], what="the parameters")
        other, again, _, _ = scripted([])
        meta = kata.load_checkpoint(tmp_path / "best.npz", other, again)
        unlike = {"the last epoch": {"epoch": 3}, "counted from 1": {"epoch": 2}}
        check.close(meta, {"epoch": 1, "loss": 1.0}, what="the meta", unlike=unlike)
        check.equal(
            arrays_of(other),
            val.seen[1],
            what="the saved parameters",
            unlike={"the last": val.seen[3]},
        )

    def test_saved_at_once(self, kata, tmp_path):
        """The power is cut in the third epoch. What was saved by then is the second,
        with the optimizer.
        """
        model, optimizer, train, val = scripted([3.0, 1.0, None])
        with pytest.raises(PowerCut):
            kata.Trainer(model, optimizer, checkpoint_path=tmp_path / "best.npz").fit(
                train, 4, val_loader=val
            )
        other, again, _, _ = scripted([])
        check.that(
            (tmp_path / "best.npz").exists(),
            "there is no checkpoint yet in the third epoch",
        )
        check.close(
            kata.load_checkpoint(tmp_path / "best.npz", other, again),
            {"epoch": 1, "loss": 1.0},
        )

    def test_without_validation_the_train_loss_decides(self, kata, tmp_path):
        """Train losses of about 3, 1, 2: again the second epoch is saved, after
        its update.
        """
        model, optimizer, _, _ = scripted([])
        optimizer.lr, train = 0.01, Script(model, [3.0, 1.0, 2.0], third=1.0)
        history = kata.Trainer(
            model, optimizer, checkpoint_path=tmp_path / "best.npz"
        ).fit(train, 3)
        other, _, _, _ = scripted([])
        meta = kata.load_checkpoint(tmp_path / "best.npz", other)
        check.close(
            meta, {"epoch": 1, "loss": history["train_loss"][1]}, what="the meta"
        )
        check.equal(arrays_of(other), train.seen[2], what="the saved parameters")

    @pytest.mark.edge
    def test_early_stopping_needs_validation(self, kata):
        """The train loss keeps falling while the model learns its batches by heart: it
        never says stop.
        """
        model, optimizer, train, _ = scripted([])
        with check.raises(ValueError):
            kata.Trainer(model, optimizer, early_stopping=kata.EarlyStopping(2)).fit(
                train, 3
            )


@contextmanager
def few_digits(count=60):
    """Inside the block, the data set consists of the first digits only. The list has
    each batch of images that the first convolution sees, and whether it was in
    training mode.
    """
    from tinytorch import dataloader, spatial

    images, labels = dataloader.load_digits()
    forward, batches = spatial.Conv2d.forward, []

    def watched(self, x):
        # make_cnn may send zeros through, to see the shapes
        if x.shape[1] == 1 and x.data.any():
            batches.append((self.training, x.data.copy()))
        return forward(self, x)

    with (
        mock.patch.object(
            dataloader, "load_digits", lambda: (images[:count], labels[:count])
        ),
        mock.patch.object(spatial.Conv2d, "forward", watched),
    ):
        yield batches


class TestTrainDigitsCnn:
    def test_reads_digits(self, kata):
        """Milestone 3. Four epochs are enough for more than 95 % of the test images."""
        got = kata.train_digits_cnn(np.random.default_rng(0), epochs=4, lr=5e-3)
        check.equal(
            sorted(got), ["history", "model", "test_accuracy", "test_loss"], what="keys"
        )
        accuracy, loss = got["test_accuracy"], got["test_loss"]
        check.that(
            0.95 < accuracy <= 1,
            f"the test accuracy is {accuracy:.1%}, expected more than 95 %",
        )
        check.that(
            0 < loss < 0.25, f"the test loss is {loss:.3f}, expected less than 0.25"
        )

    def test_the_test_images_are_never_trained_on(self, kata):
        """Of 60 digits, 48 are for training, once per epoch, and 12 for the test, at
        the end. What was trained on tells nothing about unseen digits.
        """
        with few_digits() as batches:
            kata.train_digits_cnn(np.random.default_rng(0), epochs=2, batch_size=20)
        trained = [
            image.tobytes() for training, x in batches for image in x if training
        ]
        tested = [
            image.tobytes() for training, x in batches for image in x if not training
        ]
        check.equal(
            (len(trained), len({*trained})),
            (96, 48),
            what="images trained on in two epochs: all, different",
        )
        check.equal(
            len({*tested}),
            12,
            what="different images in the test",
            unlike={"all the digits": 60},
        )
        check.that(not {*trained} & {*tested}, "some test images were trained on")
        sizes = [len(x) for training, x in batches if training]
        check.equal(sizes, [20, 20, 8] * 2, what="the lengths of the training batches")
        check.that(
            trained[:48] != trained[48:],
            "both epochs have the same order: the training batches are not shuffled",
        )

    def test_the_rate_falls_along_a_cosine(self, kata):
        """Over all epochs: from lr, in epoch 0, on the way to 0, in epoch `epochs`."""
        with few_digits():
            history = kata.train_digits_cnn(
                np.random.default_rng(0), epochs=4, lr=0.02
            )["history"]
        half = math.sqrt(0.5) / 2
        expected = [0.02 * factor for factor in (1.0, 0.5 + half, 0.5, 0.5 - half)]
        check.close(
            history["lr"],
            expected,
            what="history['lr']",
            unlike={"no schedule": [0.02] * 4},
        )
        check.equal(len(history["train_loss"]), 4, what="the number of train losses")

    def test_the_network_of_module_09(self, kata):
        """Two convolutions with padding 1 and pools leave 32 · 2 · 2 features. The rng
        decides all draws.
        """
        from tinytorch.spatial import make_cnn

        with few_digits():
            first, second, other = (
                arrays_of(
                    kata.train_digits_cnn(np.random.default_rng(seed), epochs=1)[
                        "model"
                    ]
                )
                for seed in (0, 0, 1)
            )
        shapes = {
            name: array.shape
            for name, array in arrays_of(make_cnn(8, padding=1)).items()
        }
        check.equal(
            {name: array.shape for name, array in first.items()},
            shapes,
            what="the shapes of the parameters",
        )
        check.equal(
            second, first, what="the parameters of a second run with the same seed"
        )
        same = all(np.array_equal(other[name], first[name]) for name in first)
        check.that(
            not same,
            "another seed gives the same parameters: something other than `rng` is "
            "drawn from",
        )


@pytest.mark.stretch
class TestPredictCheckpointBytes:
    @pytest.mark.parametrize("name", [None, "sgd", "momentum", "adam"])
    def test_equals_the_real_arrays(self, kata, name):
        """The payload is what `nbytes` of the real arrays add up to: the parameters,
        and the optimizer's arrays.
        """
        from tinytorch.layers import Linear

        model = Linear(30, 20)
        model.bias.data = model.bias.data.astype(np.float64)
        arrays = [p.data for p in model.parameters()]
        elements = sum(array.size for array in arrays)
        copies = {"momentum": 2, "adam": 3}.get(name, 1)
        payload = sum(array.nbytes for array in arrays) * copies
        unlike = {
            "4 bytes per element": 4 * elements * copies,
            "elements, not bytes": elements * copies,
        }
        check.equal(kata.predict_checkpoint_bytes(model, name), payload, unlike=unlike)

    def test_the_file_is_a_little_larger(self, kata, tmp_path):
        """Names, shapes, meta and counters come to less than 4 KiB for a
        small network.
        """
        from tinytorch.layers import Linear

        model = Linear(80, 20)
        kata.save_checkpoint(tmp_path / "run.npz", model, adam_for(model))
        check_size(tmp_path / "run.npz", kata.predict_checkpoint_bytes(model, "adam"))

    @pytest.mark.edge
    def test_another_name(self, kata):
        """A name that nobody knows is an error that says the name."""
        with check.raises(ValueError, "rmsprop"):
            kata.predict_checkpoint_bytes(network(), "rmsprop")


@pytest.mark.stretch
class TestCheckpointScaling:
    def test_the_file_grows_with_the_parameters(self, kata, tmp_path):
        """Twice the parameters take twice the bytes: exponent 1."""
        got = kata.checkpoint_scaling([64, 128, 256], tmp_path)
        check.equal(sorted(got), ["exponent", "sizes", "values"], what="keys")
        sizes = [w * w + w for w in (64, 128, 256)]
        unlike = {
            "the widths": [64, 128, 256],
            "without the biases": [w * w for w in (64, 128, 256)],
        }
        check.equal(list(got["sizes"]), sizes, what="sizes", unlike=unlike)
        check.that(
            abs(got["exponent"] - 1) <= 0.1,
            f"the exponent is {got['exponent']:.2f}, expected about 1",
        )

    def test_real_files(self, kata, tmp_path):
        """The values are the sizes of files: 4 bytes per parameter, and less than 4
        KiB more.
        """
        got = kata.checkpoint_scaling([20, 40], str(tmp_path))
        for n, value in zip((420, 1640), got["values"], strict=True):
            check.that(
                4 * n <= value <= 4 * n + 4096,
                f"{value:,} bytes for {n:,} float32 parameters",
            )
        check.that(len(files_in(tmp_path)) > 0, "there is no file in the folder")
