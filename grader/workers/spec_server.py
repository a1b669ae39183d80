"""The server that spec workers are forked from. They inherit its imports, first uses
and collected specs.

Nothing here may start a thread or touch CUDA. Either would break the processes
forked later.
"""
# ruff: noqa: F401  (workers inherit each import)

import contextlib
import importlib
import os
import pickle
import socket
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import _hypothesis_pytestplugin  # type: ignore[import-untyped]
import hypothesis.strategies
import numpy.ma  # which numpy.unique imports at its first call
import pytest_timeout  # type: ignore[import-untyped]
import torch
import torch.func
import torch.optim

from grader.course.catalogue import Kata
from grader.isolation import forking, warm_up
from grader.workers import collected, spec_worker


def collect_specs(named: Iterable[tuple[str, str]]) -> None:
    """Collect the specs of these katas, each given by its tree and name.

    Errors are ignored here: the worker of that kata collects again and reports them.
    """
    trees: dict[Path, list[Kata]] = {}
    for root, name in named:
        trees.setdefault(Path(root), []).append(Kata(Path(root), name))
    for katas in trees.values():
        with contextlib.suppress(Exception):
            collected.collect(katas)
        for kata in katas:
            warm_up.uses_of(kata.folder)
            with contextlib.suppress(OSError):
                if b"st.text(" in kata.specs.read_bytes():
                    # makes a table of all characters, in 0.2 s
                    hypothesis.strategies.text("ab").validate()


def become_worker(detail: Any, descriptors: list[int]) -> None:
    """Carry out the order that comes on the first of these descriptors. Another one is
    the pipe to a worker.
    """
    channel, *pipes = [Connection(descriptor) for descriptor in descriptors]
    order = pickle.loads(channel.recv_bytes())
    if pipes:
        judge = importlib.import_module(order.judge).Judge
        spec_worker.carry_out(replace(order, pipe=pipes[0]), channel, judge)
    else:
        spec_worker.carry_out(order, channel)


def main(requests: socket.socket, given: dict[str, Any]) -> None:
    """Serve requests, with these modules imported and the specs of these
    katas collected.
    """
    for module in given["modules"]:
        importlib.import_module(module)
    collect_specs(given["katas"])
    forking.serve(requests, become_worker)
