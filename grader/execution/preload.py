"""Warms up the forkserver: imports, first uses and collected specs that every worker then inherits by fork.

Nothing here may start a thread or touch CUDA. Either would break the processes forked later.
"""
# ruff: noqa: E402  (torch reads the environment variables when it is imported)

import gc
import importlib
import os
import re
import signal
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the runner, which then ends the workers

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"

import torch
import torch.func
import torch.optim

from grader.course.catalogue import Kata
from grader.execution import collected
from grader.execution.entry import KATAS_TO_COLLECT

# What is imported for about a second at its first use, if the files of a kata to collect mention it.
COMPILER = re.compile(r"torch\.compile|_dynamo|utils\.checkpoint")
META = re.compile("meta\\b")
# What workers inherit. Stubs import grader.loading, which this room may not use itself.
INHERITED = (
    "numpy",
    "hypothesis.strategies",
    "_hypothesis_pytestplugin",
    "pytest_timeout",
    "grader.execution.worker",
    "grader.loading",
)

torch.set_num_threads(1)


def first_uses() -> None:
    """Run operations whose first call in a process imports modules or builds tables."""
    layer, x = torch.nn.Linear(4, 4), torch.randn(2, 4)
    with torch.no_grad():
        torch.softmax(layer(x), dim=-1)
        torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None])
        torch.nn.TransformerEncoderLayer(4, 2, batch_first=True)(x[None])
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            (x.to(dtype) @ x.to(dtype).mT).softmax(-1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x)


def collect_specs() -> bool:
    """Collect the specs of the katas that `KATAS_TO_COLLECT` lists. False if some could not be collected.

    Errors are ignored here: the worker of that kata collects again and reports them.
    """
    done = bool(os.environ.get(KATAS_TO_COLLECT))
    trees: dict[Path, list[Kata]] = {}
    for line in os.environ.pop(KATAS_TO_COLLECT, "").splitlines():
        root, _, name = line.partition("\t")
        trees.setdefault(Path(root), []).append(Kata(Path(root), name))
    for katas in trees.values():
        try:
            collected.collect(katas)
        except Exception:
            done = False
        text = "".join(file.read_text(encoding="utf-8") for kata in katas for file in kata.folder.glob("*.py"))
        if COMPILER.search(text):
            importlib.import_module("torch._dynamo")
        if META.search(text):
            torch.zeros(2, device="meta") + 1
    return done


for name in INHERITED:
    importlib.import_module(name)
first_uses()
collect_specs()
gc.collect()
gc.freeze()
