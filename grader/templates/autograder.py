"""Classroom 50: grades the student's checkout, the current folder, and writes result.json there.

Specs and grader come from the teacher's repository at the commit below. It is fetched once and kept in the home folder; KATA_COURSE
names a copy that is there already.
"""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = "$repository"
REF = "$ref"
KATAS = $katas


def course() -> Path:
    """The teacher's copy, set up."""
    place = Path(os.environ.get("KATA_COURSE") or Path.home() / ".cache" / "torch-katas" / REF)
    if not (place / "Makefile").exists():
        place.mkdir(parents=True)
        for command in (["init", "-q"], ["fetch", "-q", "--depth", "1", f"https://github.com/{REPOSITORY}", REF], ["checkout", "-q", "FETCH_HEAD"]):
            subprocess.run(["git", *command], cwd=place, check=True)
    subprocess.run(["make", "setup"], cwd=place, check=True)
    return place


def main() -> int:
    submission = Path.cwd()
    grade = [str(course() / ".venv" / "bin" / "kata"), "grade", *KATAS, "--code", str(submission / "katas")]
    return subprocess.run([*grade, "--report", f"classroom50={submission / 'result.json'}"]).returncode


if __name__ == "__main__":
    sys.exit(main())
