"""Lists what no spec of a kata asks: ranges of a tensor that its specs never leave.

    python -m workshop.narrowed kernels/07

Each function raises an error when it is given a tensor outside of a range. A range in
which all specs of the exercise pass is closed by an input, or on record with a reason
as UNASKED, beside the kata's mistakes.
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

BY_NATURE = (  # not negative
    r"probabilit|chances|likely|weights|images|positive|not negative|at least "
    r"[01]|[≥>] 0|\b0 (to|…|or) 1\b|\[0, 1\]"
)
NARROWINGS = {  # x within it, and what is said of an argument that may leave it
    "never negative": ("x.abs()", rf"(?s)^(?!.*({BY_NATURE}))"),
    "always finite": ("x.where(x.isfinite(), 1)", r"NaN|∞|\binf(in|\b)"),
    "all rows alike": ("x[:1] if x.ndim else x", ""),
    "all heads alike": ("x[:, :1]", r"\(B, H, "),
    "at most two blocks": (
        "x * (max(x.shape, default=0) <= 2 * block)",
        r"(block|chunk|rows)\w*: (int|tuple)",
    ),
}
SAID = r"^    [\w, ]*\b{}\b[\w, ]*:.*(\n {{8}}.*)*"  # in a docstring, of an argument
WITHIN = """
import functools, inspect, re, torch

SIZES = re.compile("block|chunk|rows")

def _within(function, argument, narrowed):
    @functools.wraps(function)
    def run(*given, **options):
        bound = inspect.signature(function).bind(*given, **options)
        bound.apply_defaults()
        x = bound.arguments[argument]
        sizes = []
        for name, one in bound.arguments.items():
            if SIZES.search(name):
                sizes += one if isinstance(one, tuple) else [one]
        smallest = min((one for one in sizes if type(one) is int), default=32)
        if isinstance(x, torch.Tensor) and x.is_floating_point():
            inside = narrowed(x.detach(), smallest).expand_as(x)
            assert torch.equal(inside, x), "the specs leave this range"
        return function(*given, **options)
    return run

{name} = _within({name}, "{argument}", lambda x, block: {narrowed})
"""


def kept(kata: Kata) -> Iterator[str]:
    """A line for each range that no spec leaves, and for each that is on record and
    none of these.
    """
    reference = kata.reference.read_text(encoding="utf-8")
    nodes = cells.definitions(ast.parse(reference))
    asked = {}
    for exercise in kata.exercises:
        node = nodes.get(exercise.name)
        if isinstance(node, ast.FunctionDef) and exercise.name == exercise.owner:
            for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                if one.annotation and ast.unparse(one.annotation) in (
                    "Tensor",
                    "Tensor | None",
                ):
                    about = re.search(
                        SAID.format(one.arg),
                        ast.get_docstring(node) or "",
                        re.MULTILINE,
                    )
                    told = f"{ast.unparse(node.args)}\n{about[0] if about else ''}"
                    for said, (narrowed, promised) in NARROWINGS.items():
                        source = WITHIN.format(
                            name=exercise.name, argument=one.arg, narrowed=narrowed
                        )
                        options = RunOptions(
                            only=(exercise.spec_class,), stop_at_failure=True
                        )
                        if re.search(promised, told):
                            job = variants.job(kata, reference + source, options)
                            asked[job] = f"{exercise.name}: {one.arg}", said
    found = set()
    for job, result in variants.results(asked).items():
        if not any(
            "the specs leave this range" in spec.message
            for spec in variants.failing(result)
        ):
            found.add(asked[job])  # another failure says nothing of the range
    # all others hold codes or places
    numbers = {argument for argument, _ in {*asked.values()} - found}
    lines = {f"{argument}, {said}" for argument, said in found if argument in numbers}
    known = runpy.run_path(str(variants.mistakes_file(kata))).get("UNASKED", {})
    yield from (f"{kata.name} {one}" for one in sorted(lines - known.keys()))
    yield from (
        f"{kata.name} {one}: on record for nothing"
        for one in sorted(known.keys() - lines)
    )


def main() -> None:
    for kata in (kata for query in sys.argv[1:] for kata in matching(query)):
        print(*sorted(kept(kata)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
