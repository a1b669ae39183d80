"""Hollow answers: those of right code, with NaN or zeros in place of the numbers that
they hold, and no text.
"""

import json
import math
import re
import struct
from typing import Any

from grader.lock.wire import Tag

# spec or probe → the frames that the worker sent; "" for those before the first
Tape = dict[str, list[bytes]]

ZERO = b"\0"
NAN = b"\xff"  # bytes that are all ones make a NaN of every type of floating point
# names of these types in PyTorch and NumPy
FLOATING = re.compile(r"float|complex|^.[fc]\d")


def hollow(
    tape: Tape, fill: bytes, *, floats_only: bool = False
) -> tuple[Tape, set[str]]:
    """The tape with hollow answers, and the specs that it gives any: numbers, not only
    the parts of a network.
    """
    made = {
        name: [_frame(frame, fill, floats_only) for frame in frames]
        for name, frames in tape.items()
    }
    told = {
        name for name, frames in made.items() if any(is_told for _, is_told in frames)
    }
    return {name: [frame for frame, _ in frames] for name, frames in made.items()}, told


def _frame(frame: bytes, fill: bytes, floats_only: bool) -> tuple[bytes, bool]:
    """A message of the worker, and whether it answers with numbers. What it asks of the
    judge stays.
    """
    start = 4 + struct.unpack("!I", frame[:4])[0]
    tree, sizes = json.loads(frame[4:start])
    if "value" not in tree:
        return frame, False
    blobs = []
    for size in sizes:
        blobs.append(frame[start : start + size])
        start += size
    emptied = Emptied(blobs, fill, floats_only)
    is_told = emptied.value(tree["value"])
    for _, blob, dtype, _, gradient, _ in filter(None, tree.get("changed", ())):
        emptied.blob(blob, dtype)
        emptied.blob(gradient, dtype)
    data = json.dumps([tree, sizes]).encode()
    return b"".join([struct.pack("!I", len(data)), data, *blobs]), is_told


class Emptied:
    """Makes the parts of one message hollow, in place."""

    def __init__(self, blobs: list[bytes], fill: bytes, floats_only: bool):
        self.blobs, self.fill, self.floats_only = blobs, fill, floats_only

    def value(self, tree: Any) -> bool:
        """Empty a value, and tell if it was a number or held one that is new to
        the judge.

        The numbers in a network are none: it begins as it likes. But NaN would be
        refused there.
        """
        match tree:
            case [Tag.FLOAT, str()]:
                tree[1] = (math.nan if self.fill == NAN else 0.0).hex()
                return True
            case [Tag.INT, str()] if not self.floats_only:
                tree[1] = "0"
                return True
            case [Tag.VALUE, str()] if not self.floats_only:
                tree[1] = ""
            case [Tag.BYTES, blob]:
                self.blob(blob, "bytes")
            case [Tag.DICT, pairs, *_]:  # keys are mostly names
                return sum(self.value(part) for _, part in pairs) > 0
            case [Tag.ARRAY, blob, dtype, _]:
                return self.blob(blob, dtype)
            case [Tag.TENSOR, {"dtype": dtype} as told]:
                self.blob(told.get("gradient"), dtype)
                return (
                    not (told.get("parameter") and self.fill == NAN)
                    and self.blob(told["data"], dtype)
                    and not told.get("known")
                )
            case [Tag.MODULE, *_, parameters, buffers, modules]:
                for _, part, *_ in (
                    (*parameters, *buffers, *modules) if self.fill == ZERO else ()
                ):
                    self.value(part)  # without its name, which may be that of a tag
            case [Tag.FUNCTION | Tag.CLASS, *_]:  # with the defaults of its arguments
                return False
            case list():
                return sum(map(self.value, tree)) > 0
        return False

    def blob(self, number: int | None, dtype: str) -> bool:
        is_floating = FLOATING.search(dtype)
        if (
            number is None
            or not self.blobs[number]
            or (self.floats_only and not is_floating)
        ):
            return False
        self.blobs[number] = (self.fill if is_floating else ZERO) * len(
            self.blobs[number]
        )
        return True
