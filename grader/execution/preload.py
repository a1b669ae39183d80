"""Warms up the forkserver: imports, first uses and collected specs that every worker then inherits by fork.

Nothing here may start a thread or touch CUDA. Either would break the processes forked later.
"""
# ruff: noqa: E402  (torch reads the environment variables when it is imported)

import atexit
import gc
import importlib
import os
import signal
from pathlib import Path

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the runner, which then ends the workers
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"

import torch
import torch.func
import torch.optim

from grader.course.catalogue import Kata
from grader.execution import collected
from grader.execution.entry import KATAS_TO_COLLECT
from grader.isolation import warm_up

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
        for kata in katas:
            warm_up.uses_of(kata.folder)
    return done


for name in INHERITED:
    importlib.import_module(name)
warm_up.first_uses()
collect_specs()
gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)  # some of PyTorch's parts report what they find left at the end
