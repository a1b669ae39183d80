"""What kernels of kernels/ take on a GPU, beside PyTorch: `TRITON_INTERPRET=0 python -m
tests.bench.kernels_on_gpu`.

It decides nothing.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from grader.course import kata_modules
from grader.course.catalogue import ROOT, find
from grader.kernels import run_on_a_device, triton

# kata, exercise, PyTorch's way, shapes of the inputs, further arguments
ROWS: list[
    tuple[str, str, Callable[..., Any], list[tuple[int, ...]], dict[str, Any]]
] = [
    ("kernels/01", "add", torch.add, [(1 << 24,)] * 2, {"block": 1024}),
    (
        "kernels/01",
        "swiglu",
        lambda gate, up: F.silu(gate) * up,
        [(1 << 24,)] * 2,
        {"block": 1024},
    ),
    ("kernels/02", "softmax", lambda x: x.softmax(-1), [(8192, 2048)], {}),
    (
        "kernels/02",
        "logsumexp",
        lambda x: x.logsumexp(-1),
        [(8192, 2048)],
        {"block": 1024},
    ),
    (
        "kernels/05",
        "flash_forward",
        F.scaled_dot_product_attention,
        [(4, 8, 2048, 64)] * 3,
        {"block_q": 64},
    ),
]


def main() -> None:
    if not (torch.cuda.is_available() and run_on_a_device()):
        sys.exit("nothing to measure: a CUDA device is needed, and TRITON_INTERPRET=0")
    print(
        f"{torch.cuda.get_device_name()}, float32, milliseconds",
        "| exercise | kernel | PyTorch |",
        sep="\n",
    )
    for number, name, theirs, shapes, options in ROWS:
        kata = find(number)
        own = getattr(kata_modules.load(kata, ROOT / "solutions", {}), name)
        inputs = [torch.randn(shape, device="cuda") for shape in shapes]
        with torch.device("cuda"):
            calls = partial(own, *inputs, **options), partial(theirs, *inputs)
            mine, other = (triton.testing.do_bench(call) for call in calls)
        print(f"| {number} {name} | {mine:.3f} | {other:.3f} |", flush=True)


if __name__ == "__main__":
    main()
