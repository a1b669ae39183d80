"""Lists sizes that no spec of a kata tries: beyond a block and no multiple of it, an
exact multiple, all different.

Where specs speak of masked lanes, one of these tries the first; where they count
programs, one of these tries the second: only there ceil(n / block) is not n
// block + 1.

    python -m tests.sizes kernels/05      (without a kata: all of kernels and today)

The reference runs under its specs, but for stars and drawn sizes. Docstrings name the
sizes: "x: (B, T, C)", "k: T.". An exercise that is given no tensor has no sizes of its
own: `register_swiglu`, `MoE.__init__`.
"""

import ast
import contextlib
import functools
import inspect
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from grader import kernels
from grader.course import cells
from grader.course.catalogue import ROOT, Kata, all_katas, matching

# What is cut, and into pieces of how many: n counts the numbers of an argument, W the
# ranks. A number is a block that code may have fixed, where the docstring leaves it
# free: one of these is a multiple already.
CUT = """
kernels/01: n/block in add swiglu dropout dropout_backward
kernels/01: M/block_m N/block_n in outer_add; N/64 in gather_rows
kernels/01: M/block N/block in to_contiguous
kernels/02: N/64 in softmax rms_norm layer_norm
kernels/02: N/block in logsumexp softmax_long argmax; M/rows N/block in column_sum
kernels/03: M/BM N/BN K/BK in matmul matmul_half linear matmul_grouped split_k
kernels/03: num_m/group in grouped_order
kernels/04: V/block in cross_entropy_forward cross_entropy_backward
kernels/04: V/32 in CrossEntropy; M/4 N/64 in RMSNorm
kernels/04: M/rows N/64 in rms_norm_backward; R/chunk V/32 in linear_cross_entropy
kernels/05: T/block_q T/block_k in causal_tiles flash_forward flash_dkdv flash_dq
kernels/05: T/16 in flash_delta FlashAttention
kernels/06: lengths/block_size in paged_attention paged_attention_split
kernels/06: K/64 in quantise_rows
kernels/06: M/16 N/16 K/32 in matmul_int8 matmul_w8a8
kernels/06: M/16 N/16 K/group_size in matmul_int4
kernels/07: n/block in prefix_sum places_by_expert
kernels/07: T/block_t N/block_n in linear_recurrence; N/block_n in segmented_sum
kernels/07: T/chunk in linear_attention; N/BN K/BK in grouped_matmul
kernels/07: M/16 N/16 in matmul_mxfp4
today/03: lengths/block_size in paged_attention grow_or_preempt
today/03: tokens/block_size in reuse_prefix
today/03: max_new_tokens/gamma in speculative_generate
today/04: docs/block_size in pack_documents
today/06: N·k/n_experts in drop_over_capacity
today/07: I/group_size in absmax_int4 quantised_linear
today/08: n/W in shard_flat scatter_gradients
today/08: shapes/W in gather_parameters full_state_dict
"""
DIVIDES = "group_size divides the row; anything else is an error"
EXCUSED = {  # what is missing, and why
    "kernels/06 matmul_int4: K/group_size, beyond and no multiple": DIVIDES,
    "today/07 absmax_int4: I/group_size, beyond and no multiple": DIVIDES,
    "today/07 quantised_linear: I/group_size, beyond and no multiple": DIVIDES,
}
TRACKS = [kata for kata in all_katas() if kata.name.startswith(("kernels/", "today/"))]
# dimensions of tensors by name, and all else
Sizes = tuple[dict[str, int], dict[str, int]]
Call = tuple[str, dict[str, int], dict[str, int]]  # what the spec is about, and sizes
BEYOND, MULTIPLE = "beyond and no multiple", "a multiple"
ROWS = """
gather_rows softmax rms_norm layer_norm logsumexp softmax_long argmax
cross_entropy_forward cross_entropy_backward quantise_rows linear_attention
paged_attention_split
""".split()  # a program per row, head or split, however long


class Recorder:
    """A pytest plugin: exercises note their sizes in a file, one line per call of their
    own specs, from any process.
    """

    def __init__(self, file: int):
        self.file, self.asked, self.about, self.wrapped = file, "", "", set[Kata]()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Function) -> Iterator[None]:
        kata, exercise = item.config.pluginmanager.get_plugin("katas").specs[
            item.nodeid
        ]
        is_left_out = item.get_closest_marker("edge") or getattr(
            item.obj, "is_hypothesis_test", False
        )
        self.asked = "" if is_left_out else _name(kata, exercise.name)
        self.about = _about(item)
        if kata not in self.wrapped and "kata" in item.funcargs:
            self.wrapped.add(kata)
            self._wrap(kata, item.funcargs["kata"])
        return (yield)

    def _wrap(self, kata: Kata, module: Any) -> None:
        nodes = cells.definitions(ast.parse(kata.reference.read_text(encoding="utf-8")))
        told = {
            name: _arguments(ast.get_docstring(node) or "")
            for name, node in nodes.items()
        }
        anywhere = {
            argument: line
            for lines in reversed(told.values())
            for argument, line in lines.items()
        }
        for exercise in kata.exercises:
            for name in (
                one for one in told if f"{one}.".startswith(f"{exercise.name}.")
            ):
                *owners, last = name.split(".")
                owner = functools.reduce(getattr, owners, module)
                if not isinstance(known := vars(owner)[last], type):
                    run = self._noting(
                        getattr(known, "__func__", known),
                        anywhere | told[name],
                        _name(kata, exercise.name),
                    )
                    setattr(
                        owner,
                        last,
                        staticmethod(run) if isinstance(known, staticmethod) else run,
                    )

    def _noting(
        self, function: Callable[..., Any], told: Mapping[str, str], exercise: str
    ) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*given: Any, **options: Any) -> Any:
            bound = inspect.signature(function).bind(*given, **options)
            bound.apply_defaults()
            # it may fail: `kernels_compute` wants it to
            is_muted = any(seen.muted for seen in kernels._watching)
            found = (
                sizes(bound.arguments, told)
                if self.asked == exercise and not is_muted
                else None
            )
            result = function(*given, **options)
            if found:
                os.write(
                    self.file,
                    f"{json.dumps([exercise, self.about, *found])}\n".encode(),
                )
            return result

        return run


def _about(item: pytest.Function) -> str:
    if re.search(r"programs(=| == )(?!seen)", inspect.getsource(item.function)):
        return "programs"
    return (
        "masked lanes"
        if re.search(
            r"\bmask(ed)?\b|cut off|reach(es)? beyond", item.function.__doc__ or ""
        )
        else ""
    )


def _name(kata: Kata, exercise: str) -> str:
    return f"{kata.name.partition('_')[0]} {exercise}"


def _arguments(docstring: str) -> dict[str, str]:
    """What is said of each argument, but for "as in `add`". Of as many shapes as
    arguments, each has its own.
    """
    found = {}
    for names, line in re.findall(
        r"^ +(\w+(?:, \w+)*): (?!.*as in `)(.*)", docstring, re.MULTILINE
    ):
        shapes, several = re.findall(r"\([^()]*\)", line), names.split(", ")
        found |= dict(
            zip(
                several,
                shapes if len(shapes) == len(several) else [line] * len(several),
            )
        )
    return found


def sizes(given: Mapping[str, Any], told: Mapping[str, str]) -> Sizes:
    dims: dict[str, int] = {}
    others = {
        "W": torch.distributed.get_world_size()
        if torch.distributed.is_initialized()
        else 1
    }
    for name, value in given.items():
        line = told.get(name, "")
        if isinstance(value, torch.Tensor):
            others["n"] = max(others.get("n", 0), value.numel())
            if not value.is_floating_point() and value.numel():
                others[name] = int(value.max())
            for shape in (
                re.findall(r"[\w…][^,]*", one)
                for one in re.findall(r"\(([^()]*)\)", line)
            ):
                if len(shape) == value.ndim or shape[:1] == ["…"]:
                    ends = zip(reversed(shape), reversed(value.shape))
                    dims |= {one: size for one, size in ends if one.isidentifier()}
        elif isinstance(value, int):
            others |= dict.fromkeys(
                [name, *re.findall(r"^\w\w?(?=[.,])", line)], int(value)
            )
        elif isinstance(value, Mapping) and all(
            isinstance(one, int) for one in value.values()
        ):
            others[name] = max(value.values(), default=0)
        elif isinstance(value, Sequence) and value and not isinstance(value, str):
            if isinstance(value[0], torch.Tensor):
                others["n"] = sum(one.numel() for one in value)
            elif isinstance(value[0], Sequence):
                others[name] = sum(
                    math.prod(one) if name == "shapes" else len(one) for one in value
                )
            else:
                others |= {name: len(value)} | dict(
                    zip(re.findall(r"\b[A-Z]\w\b", line), value)
                )
    return dims, others


def recorded(katas: Sequence[Kata]) -> dict[str, list[Call]]:
    """By exercise, the sizes of each call in its own specs."""
    found: dict[str, list[Call]] = {}
    with tempfile.NamedTemporaryFile() as file, Path(os.devnull).open("w") as nowhere:
        recorder = Recorder(os.open(file.name, os.O_WRONLY | os.O_APPEND))
        with contextlib.redirect_stdout(nowhere):
            failed = pytest.main(
                [
                    *(str(kata.specs) for kata in katas),
                    "--code",
                    str(ROOT / "solutions"),
                ],
                [recorder],
            )
        if failed:
            sys.exit("the reference fails")
        for line in file:
            exercise, *call = json.loads(line)
            found.setdefault(exercise, []).append(tuple(call))
    return found


def missing(katas: Sequence[Kata]) -> Iterator[str]:
    cuts = {
        f"{kata} {exercise}": cut.partition(" in ")[0].split()
        for kata, rest in (line.split(": ") for line in CUT.strip().splitlines())
        for cut in rest.split("; ")
        for exercise in cut.partition(" in ")[2].split()
    }
    for exercise, calls in recorded(katas).items():
        needed = {about for about, _, _ in calls}
        lacks = {("masked lanes", BEYOND)} if "masked lanes" in needed else set()
        lacks |= (
            {("programs", MULTIPLE)}
            if "programs" in needed and exercise.split()[1] not in ROWS
            else set()
        )
        for cut in cuts.get(exercise, []):
            whole, piece = (one.split("·") for one in cut.split("/"))
            tried = set()
            for about, dims, others in calls:
                known = (
                    others | dims | {one: int(one) for one in piece if one.isdigit()}
                )
                if {*whole, *piece} <= {*known}:
                    size, block = (
                        math.prod(known[part] for part in whole),
                        known[piece[0]],
                    )
                    if size > block > 1 and size % block:
                        tried |= {("", BEYOND), (about, BEYOND)}
                    elif (
                        size >= block * (1 if piece[0].isdigit() else 2) > 1
                        and size % block == 0
                    ):
                        tried |= {("", MULTIPLE), (about, MULTIPLE)}
            lacks -= tried
            for lack in (BEYOND, MULTIPLE):
                if ("", lack) not in tried:
                    yield f"{exercise}: {cut}, {lack}"
        for about, lack in sorted(lacks if exercise in cuts else ()):
            yield f"{exercise}: specs about {about}, {lack}"
        most = max((dims for _, dims, _ in calls), key=len)
        alike = [dims for _, dims, _ in calls if len(dims) == len(most)]
        if not any(
            len({*dims.values()}) == len(dims)
            and min(dims.get(one, 2) for one in "BH") > 1
            for dims in alike
        ):
            yield f"{exercise}: {', '.join(sorted(most))}, all different"


def main() -> None:
    asked = [kata for query in sys.argv[1:] for kata in matching(query)]
    lacks = list(missing(asked or TRACKS))
    for lack in lacks:
        print(lack, EXCUSED.get(lack, "no reason is known"), sep=" · ")
    sys.exit(not EXCUSED.keys() >= {*lacks})


if __name__ == "__main__":
    main()
