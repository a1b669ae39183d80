"""Time a cold `pytest katas/16` against importing torch, NumPy and pytest. Takes a kata's number."""

import statistics
import subprocess
import sys
import time

from grader.course import catalogue
from grader.course.catalogue import ROOT

PAIRS = 5
AIM = 1.8  # for kata 16
IMPORTS = [sys.executable, "-c", "import torch, numpy, pytest"]


def main() -> None:
    kata = catalogue.find(sys.argv[1] if len(sys.argv) > 1 else "16")
    specs = [sys.executable, "-m", "pytest", "-q", "--code=solutions", str(kata.folder)]
    pairs = [(seconds(IMPORTS), seconds(specs)) for _ in range(PAIRS)]  # in turn: load on the machine slows both
    imports, cold = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"import torch, numpy, pytest  {imports:.2f} s\npytest katas/{kata.name}  {cold:.2f} s")
    print(f"{cold / imports:.2f} times as long (aim for 16: at most {AIM})")


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
