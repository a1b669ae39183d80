"""Whatever comes on the wire from a worker: the judge takes it for an answer or for no
worker's, and comes to no harm.
"""

import itertools
import json
import os
import random
import socket
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.lock import decoder, encoding, known, values, wire
from grader.lock.known import Lost
from grader.lock.remote import Remote
from grader.lock.values import MOST_KEYS
from grader.specs import check

NOTHING = [{"value": ["v", None], "changed": [], "objects": [], "modes": []}, []]
TAGS = [*"vifcbSTNnLUEFDPJBtCMo", "y", "nd", "im", "dev", "sl", "...", "nt", "fn", "?"]
NAMES = [
    "torch",
    "builtins",
    "os",
    "eval",
    "Tensor",
    "__globals__",
    "torch.float32",
    "float32",
    "<f4",
    "O",
    "cpu",
    "meta",
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.integers(-(2**70), 2**70),
    st.sampled_from(NAMES),
    st.text(max_size=3),
)
trees = st.recursive(
    scalars | st.lists(scalars, max_size=3),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(TAGS), inner).map(list),
        st.tuples(st.sampled_from(TAGS), inner, inner).map(list),
        st.tuples(st.sampled_from(TAGS), inner, inner, inner).map(list),
        st.dictionaries(
            st.sampled_from(
                [
                    "handle",
                    "known",
                    "data",
                    "dtype",
                    "shape",
                    "stride",
                    "grad",
                    "leaf",
                    "parameter",
                    "view",
                ]
            ),
            inner,
        ),
    ),
    max_leaves=8,
)
frames = st.fixed_dictionaries(
    {"value": trees},
    optional={
        "changed":
            st.lists(trees | st.lists(scalars, min_size=6, max_size=6), max_size=2),
        "objects":
            st.lists(st.tuples(scalars, st.lists(st.tuples(scalars, trees).map(list),
                                                 max_size=2)).map(list), max_size=2),
        "modes": st.lists(st.tuples(scalars, scalars).map(list), max_size=2),
        "error": st.tuples(scalars, scalars,
                           st.lists(st.sampled_from(["builtins.ValueError",
                                                     "builtins.SystemExit", "x.Y"])),
                                                     st.just([]),
                                                     st.just([])).map(list),
        "arguments": st.lists(trees, max_size=2),
        "message": scalars,
        "attributes":
            st.dictionaries(st.sampled_from(["args", "__class__", "add_note"]), trees,
                            max_size=1),
        "callback": st.integers(0, 3),
        "what":
            st.sampled_from(["call", "getattr", "setattr", "len", "iter", "exit",
                             "eval"]),
        "options": st.dictionaries(st.text(max_size=2), trees, max_size=1),
        "torch": st.lists(scalars, min_size=4, max_size=4),
    },
)  # fmt: skip


def of_one_hash(number: int) -> list[object]:
    """Told numbers whose hash is 0."""
    return [["i", str(sys.hash_info.modulus * (i + 1))] for i in range(number)]


def packed(tree: object, blobs: list[bytes]) -> bytes:
    data = json.dumps([tree, [len(blob) for blob in blobs]]).encode()
    return struct.pack("!I", len(data)) + data + b"".join(blobs)


def module(*ancestry: str, parts: list[object] | None = None) -> list[object]:
    """A module of a class that derives from these, with these parameters."""
    return ["M", 1, [2, "X", list(ancestry), [], []], True, parts or [], [], []]


class Liar:
    """A worker that says `said` to the first question after the judge has begun, and
    nothing to any other.
    """

    def __init__(self, said: bytes):
        judges_end, self.end = socket.socketpair()
        self.said = [packed(*NOTHING), said]
        self.thread = threading.Thread(target=self.talk)
        self.thread.start()
        self.judges_end = judges_end
        self.remote = Remote(judges_end.fileno())

    def talk(self) -> None:
        questions = wire.Reader(self.end.fileno())
        with suppress(OSError, EOFError):  # the judge does not listen any more
            for said in self.said:
                for _ in range(2):
                    questions.frame()
                self.end.sendall(said)
            self.end.shutdown(socket.SHUT_WR)
            while self.end.recv(1 << 16):
                pass

    def close(self) -> None:
        self.judges_end.close()
        self.thread.join()
        self.end.close()


def answer(said: bytes, *arguments: object) -> object:
    """The judge's reading of the bytes: a value, or an exception that a spec
    would meet.
    """
    liar = Liar(said)
    try:
        return liar.remote("call", *arguments)
    except Exception as error:
        return error
    finally:
        liar.close()


def plain_answer(said: bytes) -> object:
    """The judge's reading of the bytes where it has asked by a probe."""
    liar = Liar(said)
    try:
        return liar.remote.plain("probe", "", "total", 1)
    except Exception as error:
        return error
    finally:
        liar.close()


def is_plain(value: object) -> bool:
    match value:
        case dict():
            return all(map(is_plain, (*value, *value.values())))
        case list() | tuple() | set() | frozenset():
            return all(map(is_plain, value))
    return type(value) in (
        *(type(None), bool, int, float, complex, str, bytes, slice, type(...)),
        *(torch.Tensor, torch.dtype, torch.device, np.ndarray, type(np.dtype("f4"))),
        type(Path()),
    ) or isinstance(value, np.generic | np.dtype)


@pytest.fixture(autouse=True)
def unharmed():
    """No random state changed, no setting, and nothing ended."""
    state = (
        random.getstate(),
        torch.get_rng_state().clone(),
        np.random.get_state()[1].copy(),
    )
    yield
    assert random.getstate() == state[0] and torch.equal(
        torch.get_rng_state(), state[1]
    )
    assert (np.random.get_state()[1] == state[2]).all() and torch.is_grad_enabled()


@settings(max_examples=300)
@given(frames, st.lists(st.binary(max_size=40), max_size=3))
def test_any_tree_is_an_answer_or_no_workers(tree, blobs):
    got = answer(packed(tree, blobs), torch.zeros(2, 3), [1.5])
    assert not isinstance(got, RecursionError | MemoryError)


@settings(max_examples=300)
@given(frames, st.lists(st.binary(max_size=40), max_size=3))
def test_any_tree_is_a_plain_answer_or_no_workers(tree, blobs):
    got = plain_answer(packed(tree, blobs))
    assert is_plain(got) or isinstance(got, Exception)
    assert not isinstance(got, RecursionError | MemoryError)


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_no_workers(data):
    assert isinstance(answer(data), Lost) and isinstance(plain_answer(data), Lost)


def test_a_right_answer_cut_at_any_place():
    encode = encoding.Encoder(encoding.Table(), type(None))
    tree = NOTHING[0] | {
        "value": encode([torch.ones(3), {"a": (1, 2.5)}, np.arange(3)])
    }
    whole = packed(tree, encode.blobs)
    assert not isinstance(answer(whole), Exception)
    for end in range(0, len(whole), 7):
        assert isinstance(answer(whole[:end]), Lost)


@pytest.mark.parametrize(
    "said",
    [
        struct.pack("!I", 2**32 - 1),
        struct.pack("!I", wire.MOST_JSON + 1) + b"[" * 100,
        packed({"value": ["v", 1]}, []),
        struct.pack("!I", 200_000) + b"[" * 200_000,
        packed(NOTHING[0] | {"value": ["i", "9" * 100_000]}, []),
        packed(NOTHING[0] | {"value": ["S", [10**30]]}, []),
        packed(NOTHING[0] | {"value": ["N", 0, "O", [1]]}, [b"12345678"]),
        packed(NOTHING[0] | {"value": ["t", "os", "system"]}, []),
        packed(NOTHING[0] | {"value": ["t", "torch.storage", "threading.Thread"]}, []),
        packed(NOTHING[0] | {"value": module("torch.fx.graph_module.GraphModule")}, []),
        packed(
            NOTHING[0]
            | {"value": module("torch.nn.modules.linear.init", decoder.MODULE)},
            [],
        ),
        packed(
            NOTHING[0]
            | {
                "value": module(
                    "torch.nn.modules.linear.Linear",
                    decoder.MODULE,
                    parts=[["weight", ["i", "1"]]],
                )
            },
            [],
        ),
        packed(NOTHING[0] | {"value": ["J", 1]}, []),
        packed(NOTHING[0] | {"value": ["B", 1]}, []),
        packed(
            NOTHING[0]
            | {"value": ["D", [[key, ["v", None]] for key in of_one_hash(33)], "dict"]},
            [],
        ),
        packed(NOTHING[0] | {"value": ["L", [["E", of_one_hash(60_000)]]]}, []),
        packed(
            NOTHING[0]
            | {"value": ["L", [["F", [["i", str(i)]]] for i in range(MOST_KEYS + 1)]]},
            [],
        ),
        packed(
            NOTHING[0] | {"value": ["fn", sys.hash_info.modulus, "f", None, None]}, []
        ),
    ],
    ids=lambda said: repr(said[:12]),
)
def test_what_no_worker_says(said):
    assert isinstance(answer(said), Lost)


@pytest.mark.parametrize(
    "said",
    [
        {"value": ["J", 1]},
        {"value": ["B", 1]},
        {"value": ["t", "builtins", "int"]},
        {"value": ["o", 1, [2, "X", ["m.X", "builtins.object"], [], []]]},
        {"value": ["fn", 1, "f", None, None, False]},
        {"value": module(decoder.MODULE)},
        {"value": ["nt", [2, "X", [], [], []], ["a"], [["i", "1"]]]},
        {"callback": 0, "what": "call", "arguments": [], "options": {}},
        {},
    ],
    ids=repr,
)
def test_no_object_is_a_probes_answer(said):
    assert isinstance(plain_answer(packed(said, [])), Lost)


def test_plain_values_cross_and_objects_do_not():
    sent = {
        "a": [1, 2.5, True, None, "text", b"bytes", 3j],
        ("b", 1): (torch.ones(2, 3, dtype=torch.int8), np.arange(3.0), np.float32(2)),
        "c": {1, 2},
    }
    check.equal(values.plain(sent), sent)
    for held in (object(), int, len, torch.nn.ReLU(), iter(())):
        with pytest.raises(TypeError, match="holds an object of the class"):
            values.plain([held])


@pytest.mark.parametrize(
    "value",
    [
        {-1: "a", -2: "b"},
        set(itertools.product((-1, -2), repeat=5)),
        {i: i for i in range(1000)},
        frozenset("ab"),
    ],
    ids=["two of one hash", "32 of one hash", "a thousand", "letters"],
)
def test_keys_that_right_code_sends(value):
    """hash(-1) is hash(-2), so both of a pair, and all tuples of them, have
    one hash.
    """
    tree = NOTHING[0] | {"value": encoding.Encoder(encoding.Table(), type(None))(value)}
    assert answer(packed(tree, [])) == value


@pytest.mark.parametrize(
    "lie",
    [
        {"shape": [2**40]},
        {"dtype": "torch.qint8"},
        {"stride": [2**60]},
        {"shape": [-1]},
    ],
)
def test_a_tensor_that_does_not_fit_its_bytes(lie):
    told = {
        "handle": -1,
        "known": False,
        "data": 0,
        "dtype": "torch.float32",
        "shape": [2],
        "stride": [1],
    }
    tree = NOTHING[0] | {
        "value": ["T", told | {"grad": False, "leaf": True, "parameter": False} | lie]
    }
    assert isinstance(answer(packed(tree, [b"\0" * 8])), Lost)


@pytest.mark.parametrize(("number", "taken"), [(1, True), (3, False)])
def test_tensors_that_fill_the_judges_memory(monkeypatch, number, taken):
    """The judge keeps each of them until the spec ends, also where a frame alone is
    small enough.
    """
    monkeypatch.setattr(known, "MOST_KEPT", 16)
    told = {
        "known": False,
        "data": 0,
        "dtype": "torch.float32",
        "shape": [2],
        "stride": [1],
    }
    told |= {"grad": False, "leaf": True, "parameter": False}
    tree = NOTHING[0] | {
        "value": ["L", [["T", told | {"handle": -1 - n}] for n in range(number)]]
    }
    assert isinstance(answer(packed(tree, [b"\0" * 8])), list if taken else Lost)


def test_lengths_that_lie():
    for lengths in (
        [-1],
        [wire.MOST_BYTES + 1],
        [1] * (wire.MOST_BLOBS + 1),
        ["x"],
        None,
        [2**62],
    ):
        data = json.dumps([NOTHING[0], lengths]).encode()
        assert isinstance(answer(struct.pack("!I", len(data)) + data), Lost)


def test_what_the_judge_sent_stays_as_it_was():
    """A claim that the call has changed its argument counts only where the spec lets
    the code write.
    """
    x = torch.ones(2)
    zeros, layer = [1, 0, "torch.float32", [2], None, False], torch.nn.PReLU(2)
    assert answer(packed(NOTHING[0] | {"changed": [zeros]}, [b"\0" * 8]), layer) is None
    assert layer.weight.tolist() == [0, 0]
    assert answer(packed(NOTHING[0] | {"changed": [zeros]}, [b"\0" * 8]), x) is None
    assert x.tolist() == [1, 1]
    liar = Liar(packed(NOTHING[0] | {"changed": [zeros]}, [b"\0" * 8]))
    liar.remote.takes_writes, x = False, torch.ones(2)
    liar.remote("call", x)
    liar.close()
    assert x.tolist() == [1, 1]


def test_a_claimed_view_is_not_a_way_to_write():
    told = {
        "handle": -7,
        "dtype": "torch.float32",
        "shape": [2],
        "stride": [1],
        "view": [1, 0],
    }
    told |= {"grad": False, "leaf": True, "parameter": False}
    views = [
        [["v", "a"], ["T", told | {"known": known, "data": int(known)}]]
        for known in (False, True)
    ]
    liar = Liar(
        packed(
            NOTHING[0] | {"value": ["D", views, "dict"]},
            [struct.pack("2f", 1, 1), b"\0" * 8],
        )
    )
    liar.remote.takes_writes, x = False, torch.ones(2)
    assert liar.remote("call", x)["a"].tolist() == [0, 0]
    liar.close()
    assert x.tolist() == [1, 1]


def test_an_error_that_would_end_the_judge_is_an_ordinary_one():
    tree = {
        "error": [
            1,
            "SystemExit",
            ["builtins.SystemExit", "builtins.BaseException"],
            [],
            [],
        ],
        "arguments": [],
    }
    got = answer(packed(tree | {"message": "bye", "attributes": {}}, []))
    assert type(got) is RuntimeError


def test_a_worker_that_is_gone():
    read, write = os.pipe()
    os.close(write)
    gone = Remote(read)
    assert gone.lost
    with pytest.raises(Lost):
        gone("load")
    os.close(read)


@pytest.mark.parametrize(
    "use",
    [lambda o: o - 3, abs, float, lambda o: 3 in o, lambda o: o < 3, lambda o: -o],
)
def test_an_object_that_no_exercise_asks_for_passes_for_no_number(use):
    names = ["__sub__", "__abs__", "__float__", "__contains__", "__lt__", "__neg__"]
    lying = answer(
        packed(
            NOTHING[0]
            | {
                "value": ["o", 1, [2, "Liar", ["m.Liar", "builtins.object"], names, []]]
            },
            [],
        )
    )
    with pytest.raises(TypeError):
        use(lying)


@pytest.mark.parametrize(
    "said",
    [["L", [["i", "1"]]], ["U", [["i", "1"]] * 2], ["i", "2"], ["D", [], "dict"]],
)
def test_fewer_results_than_calls_are_no_workers(said):
    liar = Liar(packed(NOTHING[0] | {"value": said}, []))

    def draw(): ...

    draw._handle = 1
    liar.remote.objects[1] = draw
    with pytest.raises(Lost):
        liar.remote.repeated(2, draw)
    assert liar.remote.lost
    liar.close()


def test_an_error_of_the_graders_reaches_the_worker_as_one_that_it_knows():
    def fails():
        raise check.Mismatch([("wrong", "one number too many")])

    judge = SimpleNamespace(callbacks={1: fails}, pickled=lambda message: message)
    asked = {"callback": 1, "what": "call", "arguments": [], "options": {}}
    kind, error = Remote.called_back(judge, asked, None)
    assert (
        kind == "raise"
        and type(error) is RuntimeError
        and "one number too many" in str(error)
    )
