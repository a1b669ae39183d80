"""What every worker is born with: imported and first used once, in the forkserver that the workers are forked from.

Nothing here may start a thread or touch CUDA: either would break the processes forked later.
"""

import contextlib
import gc
import os
import re
import signal
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the runner, which then ends the workers

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"

import _hypothesis_pytestplugin  # noqa: F401
import hypothesis.strategies  # noqa: F401
import numpy  # noqa: F401
import pytest_timeout  # noqa: F401
import torch
import torch.func
import torch.optim

from grader import guard, ready, worker  # noqa: F401
from grader.catalogue import Kata
from grader.task import KATAS

OPTIMIZER = re.compile("optim|Adam|SGD")

torch.set_num_threads(1)


def first_uses() -> None:
    """Operations whose first call in a process imports modules or builds tables."""
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with torch.no_grad():
        torch.softmax(layer(x), dim=-1)
        torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None])
        torch.nn.TransformerEncoderLayer(4, 2, batch_first=True)(x[None])
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            (x.to(dtype) @ x.to(dtype).mT).softmax(-1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x)
    torch.zeros(2, device="meta") + 1


def collect_specs() -> None:
    """The specs of the katas named in the environment, a line "ROOT\tKATA" each. What cannot be collected is left to the
    worker, which says why."""
    trees: dict[Path, list[Kata]] = {}
    for line in os.environ.pop(KATAS, "").splitlines():
        root, _, name = line.partition("\t")
        trees.setdefault(Path(root), []).append(Kata(Path(root), name))
    for katas in trees.values():
        with contextlib.suppress(Exception):
            ready.collect(katas)
        if any(OPTIMIZER.search(file.read_text(encoding="utf-8")) for kata in katas for file in kata.folder.glob("*.py")):
            torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).zero_grad()  # imports for a second


first_uses()
guard.import_judges()
collect_specs()
gc.collect()
gc.freeze()
