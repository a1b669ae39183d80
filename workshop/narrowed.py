"""Lists what no spec of a kata asks: ranges of a tensor that its reference need not leave to keep point and star.

    python -m workshop.narrowed kernels/07

Each function is run behind each narrowing of each tensor that it is given: while it runs, the tensor holds the
narrowed numbers. One that keeps all specs of the exercise is a range in which the specs stay: it is closed by an input,
or on record with a reason as UNASKED, beside the kata's mistakes.
"""

import ast
import re
import runpy
import sys
from collections.abc import Iterator

from grader.course import cells
from grader.course.catalogue import Kata, matching
from grader.protocol import RunOptions
from workshop import variants

NARROWINGS = {  # of x, and a word of the docstring without which nothing is promised
    "never negative": ("x.abs()", ""),
    "always finite": ("x.where(x.isfinite(), 1)", r"\binf(in|\b)|∞|NaN"),
    "all rows alike": ("x[:1] if x.ndim else x", ""),
    "at most two blocks": ("x * (max(x.shape, default=0) <= 2 * block)", "block|chunk|program"),
}
BEHIND = """
import functools, inspect, re, torch
from torch.utils._pytree import tree_map_only

SIZES = re.compile("block|chunk|rows")

def _behind(function, argument, narrowed):
    @functools.wraps(function)
    def run(*given, **options):
        bound = inspect.signature(function).bind(*given, **options)
        bound.apply_defaults()
        x = bound.arguments[argument]
        sizes = (one for name, one in bound.arguments.items() if SIZES.search(name) and type(one) is int)
        block = min(sizes, default=32)
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            return function(*given, **options)
        was = x.data.clone()
        x.data.copy_(narrowed(was, block))
        apart = lambda y: y.clone() if y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() else y
        try:
            return tree_map_only(torch.Tensor, apart, function(*given, **options))
        finally:
            x.data.copy_(was)
    return run

{name} = _behind({name}, "{argument}", lambda x, block: {narrowed})
"""


def kept(kata: Kata) -> Iterator[str]:
    """A line for each narrowing that fails no spec of its exercise, and for each that is on record and fails one."""
    reference = kata.reference.read_text(encoding="utf-8")
    nodes = cells.definitions(ast.parse(reference))
    asked = {}
    for exercise in kata.exercises:
        node = nodes.get(exercise.name)
        if isinstance(node, ast.FunctionDef) and exercise.name == exercise.owner:
            for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                if one.annotation and ast.unparse(one.annotation) in ("Tensor", "Tensor | None"):
                    for said, (narrowed, promised) in NARROWINGS.items():
                        source = BEHIND.format(name=exercise.name, argument=one.arg, narrowed=narrowed)
                        options = RunOptions(only=(exercise.spec_class,), stop_at_failure=True)
                        if re.search(promised, ast.get_docstring(node) or ""):
                            job = variants.job(kata, reference + source, options)
                            asked[job] = f"{exercise.name}: {one.arg}", said
    found = {asked[job] for job, result in variants.results(asked).items() if not variants.failing(result)}
    numbers = {argument for argument, _ in {*asked.values()} - found}  # all others hold codes or places
    lines = {f"{argument}, {said}" for argument, said in found if argument in numbers}
    known = runpy.run_path(str(variants.mistakes_file(kata))).get("UNASKED", {})
    yield from (f"{kata.name} {one}" for one in sorted(lines - known.keys()))
    yield from (f"{kata.name} {one}: on record, though a spec fails" for one in sorted(known.keys() - lines))


def main() -> None:
    for kata in (kata for query in sys.argv[1:] for kata in matching(query)):
        print(*sorted(kept(kata)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
