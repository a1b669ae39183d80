"""Runs the specs that need a GPU on one's own code, by pytest: graded code has no GPU.
No point depends on them.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from grader.course.catalogue import Kata

NEEDS_ONE = re.compile(r"@pytest\.mark\.(gpu|amp)\b")
# one is there wherever PyTorch finds a device, and is found without PyTorch
OF_DRIVERS = "nvidia-smi", "rocm-smi"
NOT_ISOLATED = (
    "on the GPU your code runs as under pytest, not isolated; no point depends on it"
)


def told(katas: Iterable[Kata]) -> list[str]:
    """What there is to say of these katas' specs that need a GPU: a line, and pytest's
    output if one fails.

    Nothing where no kata has such specs, or this machine no device.
    """
    if not any(map(shutil.which, OF_DRIVERS)):
        return []
    having = [
        kata
        for kata in katas
        if NEEDS_ONE.search(kata.specs.read_text(encoding="utf-8"))
    ]
    if not having:
        return []
    with tempfile.TemporaryDirectory(prefix="kata-gpu-") as folder:
        report = Path(folder, "report.xml")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "gpu or amp",
            f"--junitxml={report}",
        ]
        ended = subprocess.run(
            [*command, *(str(kata.specs) for kata in having)],
            cwd=having[0].root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        cases = (
            list(ElementTree.parse(report).iter("testcase")) if report.is_file() else []
        )
    if not cases:
        return [f"the specs that need a GPU did not run:\n{ended.stdout}"]
    ran, passed = Counter[str](), Counter[str]()
    for case in cases:
        how = {part.tag: part.get("type") for part in case}
        # with which a spec says that it lacks a device
        if how.get("skipped") != "pytest.skip":
            module = case.get("classname", "").rpartition(".")[0]
            ran[module] += 1
            passed[module] += not how.keys() & {"skipped", "failure", "error"}
    counts = [
        f"{kata.number} gpu {passed[name]} of {ran[name]}"
        for kata in having
        for name in ran
        if name.endswith(f"{kata.folder.name}.{kata.specs.stem}")
    ]
    if not counts:
        return []
    return [
        f"{', '.join(counts)} ({NOT_ISOLATED})",
        *([ended.stdout.rstrip()] if passed != ran else []),
    ]
