"""The rooms of the grader import one another one way only."""

import subprocess
import sys
from pathlib import Path

from grader.course.catalogue import ROOT


def test_imports_go_one_way():
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
