"""The server that workers of the second lock are forked from. It has PyTorch and the
sandbox, and no specs.

It imports what the code of a kata will before the first worker for that kata is forked.
"""

import functools
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

# workers inherit it: what a judge sends may need it
import cloudpickle  # type: ignore[import-untyped]  # noqa: F401
import torch

from grader.isolation import forking, linux, processes, sandbox, warm_up
from grader.lock import worker


def become_worker(request: dict[str, Any], descriptors: list[int]) -> None:
    """Confine this process, forget the grader's code, and serve the judge until
    it ends.
    """
    linux.only()
    processes.die_with_parent()
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(silence, standard)
    scratch, shared = Path(request["scratch"]), Path(request["shared"])
    os.chdir(shared)  # as the judge
    os.environ.clear()
    os.environ.update(request["environment"], HOME=str(scratch), TMPDIR=str(shared))
    tempfile.tempdir = None  # what an import may have asked for
    [pipe] = descriptors
    needs, apart = frozenset(request["needs"]), request["apart"]
    sandbox.enter(scratch, None, needs, shared=shared, pipe=pipe, apart=apart)
    for name in [name for name in sys.modules if name.partition(".")[0] == "grader"]:
        del sys.modules[name]
    worker.main(
        pipe, request["kata"], scratch, request["katas"], with_kernels="triton" in needs
    )


@functools.cache
def warm(folder: str) -> None:
    """Import what the code of the kata in this folder will."""
    warm_up.uses_of(Path(folder))


def main(requests: socket.socket, folders: list[str]) -> None:
    x = torch.ones(2, requires_grad=True)
    # what gradients need that the judge gives
    torch.autograd.grad(x * 2, x, torch.ones(2))
    for folder in folders:
        warm(folder)
    forking.serve(
        requests, become_worker, ready=lambda request: warm(request["folder"])
    )
