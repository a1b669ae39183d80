"""Checks whether this machine is ready for the katas. Each finding says what to do if
something is not fine.
"""

import importlib.metadata
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grader.course import catalogue, downloads, places
from grader.course.catalogue import ROOT
from grader.execution import reduced, scheduler
from grader.isolation import landlock
from grader.learner import workspace

PINS = places.PACKAGE / "constraints.txt"
# How to mend an environment: in a checkout, and where a release is installed.
SETUP, AFRESH, ANOTHER_PYTHON = (
    ("make setup", "make clean setup", "make PYTHON=…")
    if places.is_checkout()
    else (
        "kata start DIR --venv has those that fit",
        "install it again",
        "in another environment",
    )
)
NEEDED = (
    "torch",
    "numpy",
    "pytest",
    "pytest-timeout",
    "hypothesis",
    "cloudpickle",
    "nbformat",
    "matplotlib",
    "pillow",
    "pandas",
    "rich",
    "typer",
    "watchfiles",
)
# File systems whose changes on the other side are not reported on this one.
SILENT = (
    "9p",
    "drvfs",
    "vboxsf",
    "prl_fs",
    "vmhgfs",
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "virtiofs",
    "fakeowner",
)
ROOM = 2e9  # bytes that the larger data sets need, unpacking included


@dataclass(frozen=True)
class Finding:
    what: str
    state: Literal["fine", "note", "bad"]
    says: str  # what was found, and what to do if it is not fine


def examine() -> Iterator[Finding]:
    """Yield every finding, most basic first."""
    here = platform.python_version()
    if (3, 11, 5) <= sys.version_info < (3, 15):
        yield Finding("Python", "fine", here)
    else:
        yield Finding(
            "Python", "note", f"{here}, tested with 3.11.5 to 3.14: {ANOTHER_PYTHON}"
        )
    pins = re.findall(
        r"^([\w.-]+)==(\S+)", PINS.read_text(encoding="utf-8"), re.MULTILINE
    )
    pinned = {_normalised(name): version for name, version in pins}
    for name in NEEDED:
        yield _package(name, pinned.get(_normalised(name)))
    yield _processor()
    yield _device()
    yield _katas()
    yield _isolation()
    yield _data()
    yield _disk()
    yield saves(Path("/proc/mounts"))


def how_to_open(notebook: Path) -> str:
    """The commands that open a notebook here, with an installation if needed."""
    file = shlex.quote(str(notebook))
    if (
        shutil.which("jupyter-lab")
        or Path(sys.executable).with_name("jupyter-lab").exists()
    ):
        return f"open it: jupyter lab {file}"
    if shutil.which("code"):
        return f"open it: code {file}"
    what = (
        f"-e {shlex.quote(f'{ROOT}[notebook]')}"
        if places.is_checkout()
        else "jupyterlab ipykernel"
    )
    return (
        f"to open it: {shlex.quote(sys.executable)} -m pip install {what}, then "
        f"jupyter lab {file}"
    )


def saves(mounts: Path) -> Finding:
    """Tell if saves below the repository are reported. Folders shared by another
    machine report none.
    """
    kind = ""
    for line in (
        mounts.read_text(encoding="utf-8").splitlines() if mounts.is_file() else []
    ):
        _, folder, found, *_ = line.split(" ")
        if ROOT.is_relative_to(folder.replace("\\040", " ")):
            kind = found  # a later mount is on top
    if kind in SILENT or kind.startswith("fuse."):
        says = (
            f"{kind} does not report saves: set WATCHFILES_FORCE_POLLING=1 for kata "
            "watch, or clone to a local disk"
        )
        return Finding("saves", "note", says)
    return Finding("saves", "fine", "reported to kata watch")


def _normalised(name: str) -> str:
    """The name of a package as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(name: str, pinned: str | None) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "bad", f"not installed: {SETUP}")
    if version.partition("+")[0] == pinned:
        return Finding(name, "fine", version)
    return Finding(name, "note", f"{version}, tested with {pinned}: {SETUP}")


def _processor() -> Finding:
    return Finding(
        "processor",
        "fine",
        f"{platform.machine()}, {scheduler.available_cores()} cores",
    )


def _device() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("device", "bad", f"torch cannot be imported ({error}): {AFRESH}")
    if torch.cuda.is_available():
        on = f"CUDA: {torch.cuda.get_device_name()}"
        return Finding(
            "device",
            "fine",
            f"{on}; the gpu and amp specs run under pytest, and kata grade takes the "
            "CPU",
        )
    if torch.backends.mps.is_available():
        return Finding(
            "device",
            "fine",
            "Apple's MPS for the lessons; the gpu and amp specs need CUDA and are "
            "skipped",
        )
    return Finding(
        "device", "fine", "CPU; the gpu and amp specs are skipped and do not count"
    )


def _katas() -> Finding:
    katas = catalogue.all_katas()
    if not katas:
        missing = (
            "is the checkout complete?"
            if places.is_checkout()
            else "kata start my-katas lays them out"
        )
        return Finding("katas", "bad", f"none in {ROOT / 'katas'}: {missing}")
    if (
        places.is_workspace(ROOT)
        and (ROOT / places.MARK).read_text(encoding="utf-8") != workspace.mark()
    ):
        return Finding(
            "katas",
            "note",
            f"{len(katas)}, of another version than the installed release: kata update",
        )
    if places.is_workspace(ROOT):
        return Finding(
            "katas",
            "fine",
            f"{len(katas)}, with the references of the installed release",
        )
    answers = (
        "with solutions"
        if (ROOT / "solutions").is_dir()
        else "without solutions (a starter)"
    )
    return Finding("katas", "fine", f"{len(katas)}, {answers}")


def _isolation() -> Finding:
    if gaps := reduced.gaps(catalogue.all_katas()):
        told = (
            f"reduced for graded code: {'; '.join(gaps)} (use Linux with Landlock and "
            "namespaces)"
        )
        return Finding("isolation", "note", told)
    told = (
        f"graded code is isolated by namespaces, Landlock {landlock.version()}, "
        "seccomp and limits"
    )
    return Finding("isolation", "fine", told)


def _data() -> Finding:
    there = [chosen.name for chosen in downloads.SETS if downloads.find(chosen.name)]
    return Finding(
        "data sets",
        "fine",
        f"{', '.join(there) or 'none'} in data/; they are optional (kata data)",
    )


def _disk() -> Finding:
    free = shutil.disk_usage(ROOT).free
    if free > ROOM:
        return Finding("free disk", "fine", f"{free / 1e9:.1f} GB")
    return Finding(
        "free disk", "note", f"{free / 1e9:.1f} GB: too little for the larger data sets"
    )
