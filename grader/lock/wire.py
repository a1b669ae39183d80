"""The wire from worker to judge: frames of JSON and raw bytes, bounded and checked.
Nothing of it is unpickled.

A frame is a length (4 bytes), that many bytes of JSON `[tree, lengths]`, and then the
blobs of these lengths. The other direction, which a worker may trust, carries pickles
in frames of a length alone.
"""

import ctypes
import itertools
import json
import os
import struct
from enum import StrEnum
from typing import Any

import torch

from grader.isolation.state import Modes

MOST_BYTES = 256 << 20  # of the blobs of one frame, and of a frame to the worker
MOST_JSON = 16 << 20  # bytes: as Python's objects they take twenty times as much
MOST_BLOBS = 100_000
# bytes that are asked for at least: a call and its answer mostly are smaller
AT_ONCE = 1 << 14
MOST_COUNT = 1 << 40  # of elements along a dimension, or between two
DTYPES = {
    str(dtype): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.complex64,
        torch.complex128,
    )
}

PLAIN = (torch.Tensor, torch.nn.Parameter)  # what holds its elements itself


class Tag(StrEnum):
    """What a value in the tree is: the first of its list."""

    VALUE = "v"  # None, a bool or a str
    INT = "i"
    FLOAT = "f"  # in hexadecimal: JSON has no NaN and no infinity
    COMPLEX = "c"
    BYTES = "b"
    SIZE = "S"  # torch.Size
    TENSOR = "T"
    ARRAY = "N"
    SCALAR = "n"  # of NumPy
    ARRAY_DTYPE = "nd"
    PICTURE = "im"
    LIST = "L"
    TUPLE = "U"
    SET = "E"
    FROZENSET = "F"
    DICT = "D"
    DTYPE = "y"
    DEVICE = "dev"
    SLICE = "sl"
    ELLIPSIS = "..."
    PATH = "P"
    OF_JUDGE = "J"  # the judge's own object
    SENT = "B"  # an object that the judge sent by value
    LIBRARY_CLASS = "t"
    CLASS = "C"  # of the code
    NAMED_TUPLE = "nt"
    FUNCTION = "fn"
    MODULE = "M"
    OBJECT = "o"  # any other, which stays in the worker


class Malformed(Exception):
    """A frame is not what a worker sends."""


def write(descriptor: int, *frames: bytes) -> None:
    """Write frames of bytes, at once: whoever waits for them wakes up only once."""
    _all_of(
        descriptor,
        b"".join(
            part for data in frames for part in (struct.pack("!I", len(data)), data)
        ),
    )


def send(descriptor: int, tree: object, blobs: list[bytes]) -> None:
    """Send a tree of JSON and the blobs that it refers to by number."""
    data = json.dumps([tree, [len(blob) for blob in blobs]]).encode()
    _all_of(descriptor, b"".join([struct.pack("!I", len(data)), data, *blobs]))


class Reader:
    """Reads what comes on a descriptor. What has come with a frame, and is the next
    one's, is kept for that.

    Each method raises EOFError where the other side has ended.
    """

    def __init__(self, descriptor: int):
        self.descriptor, self.kept = descriptor, b""

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """Receive what `send` sent.

        Raises:
            Malformed: it is not what `send` sends.
        """
        try:
            tree, lengths = json.loads(str(self.frame(MOST_JSON), "ascii"))
            sizes = [int(length) for length in lengths]
        except (ValueError, TypeError, RecursionError) as error:
            raise Malformed(f"not a tree and lengths: {type(error).__name__}") from None
        size = sum(sizes)
        if (
            not isinstance(tree, dict)
            or len(sizes) > MOST_BLOBS
            or min(sizes, default=0) < 0
            or size > MOST_BYTES
        ):
            raise Malformed(f"{len(sizes)} blobs of {size} bytes")
        data = self.exactly(size)
        ends = list(itertools.accumulate(sizes))
        return tree, [
            data[end - size : end] for end, size in zip(ends, sizes, strict=True)
        ]

    def frame(self, most: int = MOST_BYTES) -> bytes:
        """Read a frame of at most so many bytes.

        Raises:
            Malformed: the frame is too long.
        """
        (length,) = struct.unpack("!I", self.exactly(4))
        if length > most:
            raise Malformed(f"a frame of {length} bytes")
        return self.exactly(length)

    def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        data = bytearray(self.kept)  # and no list of parts: they may come byte by byte
        while len(data) < size:
            part = os.read(
                self.descriptor, min(max(size - len(data), AT_ONCE), 1 << 20)
            )
            if not part:
                raise EOFError("the other side has ended")
            data += part
        self.kept = bytes(data[size:])
        return bytes(memoryview(data)[:size])


def raw(tensor: torch.Tensor) -> bytes:
    """The tensor's elements, in the order of its indices."""
    if not tensor.numel():
        return b""
    if (
        type(tensor) in PLAIN
        and tensor.is_cpu
        and tensor.is_contiguous()
        and not tensor.is_neg() | tensor.is_conj()
    ):
        return ctypes.string_at(tensor.data_ptr(), tensor.nbytes)
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    if flat.stride() != (1,):  # of one element
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().tobytes()


def tensor(
    data: bytes, dtype: object, shape: object, stride: object = None
) -> torch.Tensor:
    """The tensor of these elements, laid out by these strides.

    Raises:
        Malformed: dtype, shape, strides and data do not fit together.
    """
    kind = DTYPES.get(str(dtype))
    sizes, steps = counts(shape), None if stride is None else counts(stride)
    if (
        kind is None
        or _product(sizes) * kind.itemsize != len(data)
        or (steps is not None and len(steps) != len(sizes))
    ):
        raise Malformed(f"{len(data)} bytes of {dtype!s:.40} for shape {sizes}")
    if not data:
        return torch.empty(sizes, dtype=kind)
    whole = torch.frombuffer(bytearray(data), dtype=kind).reshape(sizes)
    if steps is None or any(
        step == 0 and size > 1 for step, size in zip(steps, sizes, strict=True)
    ):
        return whole
    span = 1 + sum(step * (size - 1) for step, size in zip(steps, sizes, strict=True))
    if span * kind.itemsize > MOST_BYTES:
        raise Malformed(f"strides {steps} for shape {sizes}")
    return torch.empty_strided(sizes, steps, dtype=kind).copy_(whole)


def modes(told: object) -> Modes:
    """The modes that a worker says it is in.

    Raises:
        Malformed: PyTorch has no such modes.
    """
    match told:
        case bool(gradients), dtype, bool(autocast), autocast_dtype:
            found, lower = DTYPES.get(str(dtype)), DTYPES.get(str(autocast_dtype))
            if found and lower and found.is_floating_point and lower.is_floating_point:
                return gradients, found, autocast, lower
    raise Malformed(f"{told!r:.60} are no modes")


def counts(numbers: object) -> list[int]:
    if (
        not isinstance(numbers, list)
        or len(numbers) > 64
        or any(type(n) is not int or not 0 <= n < MOST_COUNT for n in numbers)
    ):
        raise Malformed(f"{numbers!r:.60} are no sizes")
    return numbers


def _product(sizes: list[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _all_of(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
