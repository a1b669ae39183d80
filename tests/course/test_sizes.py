"""Specs of kernels and today try sizes that tell a right loop from a wrong one: each
day those of another kata.
"""

import subprocess
import sys
from datetime import date

from grader.course.catalogue import ROOT
from tests import sizes


def test_no_size_is_missing_without_a_reason():
    kata = sizes.TRACKS[date.today().toordinal() % len(sizes.TRACKS)]
    command = [sys.executable, "-m", "tests.sizes", kata.name]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
