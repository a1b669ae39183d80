"""Runs a spec's work in several processes, started by 31's `launch`; what one of them
raises is a failure.

In the second lock these are processes of the code's: what runs there, crosses by value
and uses nothing of the grader.
"""

import ast
import json
import linecache
import re
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from grader.failure import unwritten
from grader.specs import check, meanings
from grader.specs.failures import NotRun

TOLD = "told: "  # before a failure in another process, as JSON

# By module: what came of the work that its specs have launched.
_outcomes: WeakKeyDictionary[
    ModuleType, dict[Any, tuple[Any, BaseException | None]]
] = WeakKeyDictionary()


def on_ranks(
    world_size: int, kata: ModuleType, work: Callable[..., Any], *args: Any
) -> Any:
    """The results of `work(kata, *args)` by rank. Specs that ask for the same share one
    launch, and one failure.
    """
    known, asked = _outcomes.setdefault(kata, {}), (world_size, work, args)
    if asked not in known:
        try:
            known[asked] = kata.launch(_telling, world_size, kata, work, args), None
        except RuntimeError as error:
            known[asked] = None, _explained(str(error))
    results, failure = known[asked]
    if failure:
        raise failure.with_traceback(None)
    return results


def _explained(said: str) -> BaseException:
    """Turn the error of `launch` into the failure of a spec."""
    rank, _, trace = said.partition(" failed\n")
    told = trace.rpartition(TOLD)[2]
    if "CUDA is in use" in said:
        return check.Mismatch(
            [("wrong", "another kata's spec has used CUDA: run this kata by itself")]
        )
    if not trace:
        aborts = (
            "exit code -6 is an abort: gloo does so where ranks make one call with "
            "sizes that do not fit together"
        )
        return check.Mismatch(
            [("wrong", said), *([("means", aborts)] if "exit code -6" in said else [])]
        )
    if not told.startswith("{"):
        return check.Mismatch(
            [
                (
                    "wrong",
                    f"the processes did not start: {trace.strip().splitlines()[-1]}",
                )
            ]
        )
    found = json.loads(told)
    if found["unwritten"]:
        return NotRun(unwritten(found["unwritten"]))
    rows = [(rank, found["said"]), *(("at", place) for place in found["at"])]
    means = meanings.meaning(
        RuntimeError(found["said"].partition(": ")[2]), ast.Module([], []), {}
    )
    return check.Mismatch([*rows, ("means", means)] if means else rows)


def _telling(kata: ModuleType, work: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """`work(kata, *args)`; what it raises is told in a form that reaches the spec."""
    try:
        return work(kata, *args)
    except BaseException as error:
        frames = list(traceback.walk_tb(error.__traceback__))
        theirs = [
            (frame.f_code, line)
            for frame, line in frames
            if frame.f_globals is vars(kata)
        ]
        at = [
            (line, linecache.getline(code.co_filename, line).strip())
            for code, line in theirs[-1:]
        ]
        unwritten = (
            isinstance(error, NotImplementedError)
            and at
            and at[0][1].startswith("raise NotImplementedError")
        )
        # a line of gloo's own
        said = re.sub(
            r"\[[^]]*\bgloo\b[^]]*:\d+\] ?", "", f"{type(error).__name__}: {error}"
        )
        if "imed out" in said:
            said = (
                "waited here for a call that the other rank does not make, or makes "
                "at another place"
            )
        if "Autograd-and-Fork" in said:
            said = (
                "with a CUDA device no spec may compute gradients before this one: "
                "run this kata by itself"
            )
        told = {
            "unwritten": theirs[-1][0].co_qualname if unwritten else "",
            "said": said[:400],
            "at": [f"line {line}: {source}" for line, source in at if source],
        }
        raise RuntimeError(TOLD + json.dumps(told)) from None
