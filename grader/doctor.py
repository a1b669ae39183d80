"""Is this machine ready? Each finding with what it is, whether it is fine, and what to do if not."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grader import catalogue, confine, downloads, landlock
from grader.catalogue import ROOT

PINS = Path(__file__).parent / "constraints.txt"
NEEDED = ("torch", "numpy", "pytest", "pytest-timeout", "hypothesis", "nbformat", "matplotlib", "pillow", "pandas", "rich", "typer", "watchfiles")
ROOM = 2e9  # bytes that the larger data sets and their unpacking want


@dataclass(frozen=True)
class Finding:
    what: str
    state: Literal["fine", "note", "bad"]
    says: str  # and, where it is not fine, what to do


def examine() -> Iterator[Finding]:
    """Every finding, in the order in which trouble usually starts."""
    here = platform.python_version()
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Finding("Python", "fine" if supported else "bad", here if supported else f"{here}: use 3.11 to 3.13 (make PYTHON=…)")
    yield from _packages()
    yield _processor()
    yield _device()
    yield _katas()
    yield _isolation()
    yield _data()
    free = shutil.disk_usage(ROOT).free
    yield Finding("free disk", "fine" if free > ROOM else "note", f"{free / 1e9:.1f} GB" + ("" if free > ROOM else ": too little for the larger data sets"))


def _packages() -> Iterator[Finding]:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", PINS.read_text(encoding="utf-8"), re.MULTILINE))
    pinned = {_plain(name): version for name, version in pinned.items()}
    for name in NEEDED:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "bad", "not installed: make setup")
            continue
        right = version.partition("+")[0] == pinned.get(_plain(name))
        yield Finding(name, "fine" if right else "note", version if right else f"{version}, tested with {pinned.get(_plain(name))}: make setup")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding("processor", "fine", f"{platform.machine()}, {cores} cores")


def _device() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("device", "bad", f"torch cannot be imported ({error}): make clean setup")
    if torch.cuda.is_available():
        return Finding("device", "fine", f"CUDA: {torch.cuda.get_device_name()}; the gpu and amp specs run")
    if torch.backends.mps.is_available():
        return Finding("device", "fine", "Apple's MPS for the lessons; the gpu and amp specs need CUDA and are skipped")
    return Finding("device", "fine", "CPU; the gpu and amp specs are skipped, and count neither way")


def _katas() -> Finding:
    katas = catalogue.all_katas()
    if not katas:
        return Finding("katas", "bad", f"none in {ROOT / 'katas'}: is this a whole checkout?")
    answers = "with solutions" if (ROOT / "solutions").is_dir() else "without solutions (a starter)"
    return Finding("katas", "fine", f"{len(katas)}, {answers}")


def _isolation() -> Finding:
    gaps = confine.what_is_open()
    if gaps:
        return Finding("isolation", "note", f"code that is graded is not shut in: {' and '.join(gaps)} (Linux with Landlock does it)")
    return Finding("isolation", "fine", f"Landlock {landlock.version()}, seccomp, limits: code that is graded is shut in")


def _data() -> Finding:
    there = [chosen.name for chosen in downloads.SETS if downloads.find(chosen.name)]
    return Finding("data sets", "fine", f"{', '.join(there) or 'none'} in data/; they are optional (kata data)")
