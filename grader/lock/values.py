"""Plain values, as they cross from worker to judge: numbers, texts, tensors, arrays,
and containers of these.

They come as a tree of JSON and blobs (see `wire`), and nothing is unpickled. What a
worker does not send is Malformed.
"""

import builtins
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from grader.lock import wire
from grader.lock.wire import Malformed, Tag

MOST_KEYS = 100_000  # of the dictionaries and sets of one message
# Keys of one hash: hash(-1) is hash(-2), so sixteen keys are right of which each is a
# tuple of four such numbers.
MOST_OF_A_HASH = 32
# bytes of tensors during one spec or probe: half of the memory that the judge has
MOST_KEPT = 1 << 30
NUMBERS = "fiubc"  # kinds of NumPy's dtypes that cross

# A container of the code's own class goes by value, as what it is to Python, whatever
# its methods say.
PARTS: dict[type, Callable[[Any], Any]] = {
    dict: lambda value: dict(dict.items(value)),
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


def plain(value: Any) -> Any:
    """The value as the judge would get it from a worker."""
    encode = Encoder()
    tree = encode(value)
    return Decoder(encode.blobs)(tree)


class Encoder:
    """Encodes the values of one message.

    Raises:
        TypeError: one is an object that does not cross.
    """

    def __init__(self) -> None:
        self.blobs: list[bytes] = []

    def __call__(self, value: Any) -> list[Any]:
        if value is None or isinstance(value, bool):
            return [Tag.VALUE, value]
        exact = EXACT.get(type(value))
        if exact:
            return exact(self, value)
        if isinstance(value, torch.Size):
            return [Tag.SIZE, list(value)]
        for kind in (torch.Tensor, int, float, str):  # of a class that derives from it
            if isinstance(value, kind) and not isinstance(value, np.number):
                return EXACT[kind](
                    self, kind(value) if kind is not torch.Tensor else value
                )
        if isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS:
            return [
                Tag.ARRAY,
                self.blob(np.ascontiguousarray(value).tobytes()),
                value.dtype.str,
                list(value.shape),
            ]
        if "PIL.Image" in sys.modules and isinstance(
            value, sys.modules["PIL.Image"].Image
        ):
            return [
                Tag.PICTURE,
                value.mode,
                list(value.size),
                self.blob(value.tobytes()),
            ]
        if isinstance(value, np.dtype):
            return [Tag.ARRAY_DTYPE, value.str]
        if isinstance(value, np.generic):
            return [Tag.SCALAR, value.dtype.str, self(value.item())]
        if isinstance(value, dict) and type(value).__module__ == "collections":
            return [Tag.DICT, self.pairs(value), type(value).__name__]
        if isinstance(value, torch.dtype | torch.device):
            return [
                Tag.DTYPE if isinstance(value, torch.dtype) else Tag.DEVICE,
                str(value),
            ]
        if isinstance(value, Path):
            return [Tag.PATH, str(value)]
        return self.other(value)

    def other(self, value: Any) -> list[Any]:
        """Encode what has no form of its own."""
        for container, parts in PARTS.items():
            if isinstance(value, container):
                return EXACT[container](self, parts(value))
        raise TypeError(
            f"the answer holds an object of the class {type(value).__name__}, "
            "where numbers, texts or tensors are expected"
        )

    def blob(self, data: bytes) -> int:
        self.blobs.append(data)
        return len(self.blobs) - 1

    def pairs(self, value: dict[Any, Any]) -> list[Any]:
        return [[self(key), self(part)] for key, part in value.items()]

    def tensor(self, tensor: torch.Tensor) -> list[Any]:
        is_meta = tensor.device.type == "meta"
        told = {
            "data": None if is_meta else self.blob(wire.raw(tensor)),
            "dtype": str(tensor.dtype),
            "shape": list(tensor.shape),
        }
        return [Tag.TENSOR, told]


EXACT: dict[type, Callable[[Encoder, Any], list[Any]]] = {
    int: lambda e, value: [Tag.INT, str(value)],
    float: lambda e, value: [Tag.FLOAT, value.hex()],
    complex: lambda e, value: [Tag.COMPLEX, value.real.hex(), value.imag.hex()],
    str: lambda e, value: [Tag.VALUE, value],
    bytes: lambda e, value: [Tag.BYTES, e.blob(value)],
    list: lambda e, value: [Tag.LIST, [e(part) for part in value]],
    tuple: lambda e, value: [Tag.TUPLE, [e(part) for part in value]],
    set: lambda e, value: [Tag.SET, [e(part) for part in value]],
    frozenset: lambda e, value: [Tag.FROZENSET, [e(part) for part in value]],
    dict: lambda e, value: [Tag.DICT, e.pairs(value), "dict"],
    slice: lambda e, value: [Tag.SLICE, e(value.start), e(value.stop), e(value.step)],
    type(...): lambda e, value: [Tag.ELLIPSIS],
    torch.Tensor: lambda e, value: e.tensor(value),
    nn.Parameter: lambda e, value: e.tensor(value),
}


class Decoder:
    """Decodes one message."""

    def __init__(self, blobs: list[bytes]):
        self.blobs, self.keys_left, self.room = blobs, MOST_KEYS, MOST_KEPT

    def __call__(self, tree: Any) -> Any:
        with strict():
            return self.value(tree)

    def error(self, tree: dict[str, Any]) -> BaseException:
        """The exception that the code raised, as the nearest of Python's own."""
        with strict():
            kind = exception(tree["error"][2])
            arguments = [self.value(part) for part in tree["arguments"]]
            message = str(tree["message"])
        try:
            return kind(*arguments)
        except Exception:  # it takes other arguments
            return RuntimeError(message)

    def value(self, tree: Any) -> Any:
        tag = tree[0]
        match tag:
            case Tag.VALUE:
                if tree[1] is not None and type(tree[1]) not in (bool, str):
                    raise Malformed("v")
                return tree[1]
            case Tag.INT:
                return int(tree[1])
            case Tag.FLOAT:
                return float.fromhex(tree[1])
            case Tag.COMPLEX:
                return complex(float.fromhex(tree[1]), float.fromhex(tree[2]))
            case Tag.BYTES:
                return self.blobs[tree[1]]
            case Tag.SIZE:
                return torch.Size(wire.counts(tree[1]))
            case Tag.TENSOR:
                return self.tensor(tree[1])
            case Tag.ARRAY:
                return self.array(tree)
            case Tag.PICTURE:
                width, height = wire.counts(tree[2])
                from PIL import Image  # here, because few specs have pictures

                return Image.frombytes(tree[1], (width, height), self.blobs[tree[3]])
            case Tag.ARRAY_DTYPE:
                return _numpy_dtype(tree[1])
            case Tag.SCALAR:
                return _numpy_dtype(tree[1]).type(self.value(tree[2]))
            case Tag.LIST | Tag.TUPLE:
                return {Tag.LIST: list, Tag.TUPLE: tuple}[tag](
                    self.value(part) for part in tree[1]
                )
            case Tag.SET | Tag.FROZENSET:
                return {Tag.SET: set, Tag.FROZENSET: frozenset}[tag](self.keys(tree[1]))
            case Tag.DICT:
                kind = OrderedDict if tree[2] == "OrderedDict" else dict
                keys = self.keys([key for key, _ in tree[1]])
                return kind(
                    zip(keys, [self.value(part) for _, part in tree[1]], strict=True)
                )
            case Tag.DTYPE:
                return wire.DTYPES[tree[1]]
            case Tag.DEVICE:
                return torch.device(tree[1])
            case Tag.SLICE:
                return slice(*map(self.value, tree[1:]))
            case Tag.ELLIPSIS:
                return ...
            case Tag.PATH:
                return Path(tree[1])
        return self.other(tree)

    def other(self, tree: Any) -> Any:
        """Decode what is not plain."""
        raise Malformed(f"no tag {tree[0]!r:.20}")

    def keys(self, trees: list[Any]) -> list[Any]:
        """Keys of a dictionary or a set. Many with one hash would keep the judge busy
        for as long as the code likes.
        """
        self.keys_left -= len(trees)
        if self.keys_left < 0:
            raise Malformed(f"more than {MOST_KEYS:,} keys")
        keys = [self.value(tree) for tree in trees]
        if (
            len(keys) > MOST_OF_A_HASH
            and max(Counter(map(hash, keys)).values()) > MOST_OF_A_HASH
        ):
            raise Malformed(f"more than {MOST_OF_A_HASH} keys of one hash")
        return keys

    def tensor(self, told: dict[str, Any]) -> torch.Tensor:
        if told["data"] is None:
            shape = wire.counts(told["shape"])
            return torch.empty(shape, dtype=wire.DTYPES[told["dtype"]], device="meta")
        data = self.blobs[told["data"]]
        self.take(len(data))
        return wire.tensor(data, told["dtype"], told["shape"])

    def array(self, tree: Any) -> np.ndarray:
        data, shape = self.blobs[tree[1]], wire.counts(tree[3])
        self.take(len(data))
        return np.frombuffer(data, dtype=_numpy_dtype(tree[2])).reshape(shape).copy()

    def take(self, size: int) -> None:
        """Count the bytes of what is made of a blob: a tree may name one often."""
        self.room -= size
        if self.room < 0:
            raise Malformed(f"more than {MOST_KEPT >> 20} MB of tensors")


@contextmanager
def strict() -> Iterator[None]:
    """Make Malformed of whatever goes wrong inside the block."""
    try:
        yield
    except Malformed:
        raise
    except Exception as error:
        raise Malformed(
            f"{type(error).__name__} in what it sent: {error}"[:200]
        ) from None


def exception(names: list[str]) -> type[BaseException]:
    """The nearest of Python's own exceptions among a class and those it derives from.
    What would end this process is none.
    """
    for name in names:
        module, _, own = name.rpartition(".")
        kind = getattr(builtins, own, None) if module == "builtins" else None
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind
    return RuntimeError


def _numpy_dtype(name: Any) -> np.dtype:
    found = np.dtype(str(name))
    if found.kind not in NUMBERS:
        raise Malformed(f"dtype {name!s:.20}")
    return found
