"""`launch` of kata 31 in a process that has used CUDA, where it spawns. Torch only says
here that it has.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import itertools
from types import SimpleNamespace
from unittest import mock

import distributed_training as kata

IN_MEMORY = []


def seen():
    return len(IN_MEMORY)


if __name__ == "__main__":
    IN_MEMORY.append(1)
    # to import takes what it takes, not 30 s
    kata.time = SimpleNamespace(monotonic=itertools.count(0, -600).__next__)
    print("forked", kata.launch(seen, 1))
    with mock.patch("torch.cuda.is_initialized", lambda: True):
        print("spawned", kata.launch(seen, 1))
        try:
            kata.launch(lambda: 1, 1)
        except RuntimeError as error:
            print("refused", error)
"""


def test_where_cuda_is_in_use_processes_are_spawned(tmp_path):
    """A forked process has what this one has in memory, a spawned one only what
    it imports.
    """
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    folders = [ROOT, ROOT / "solutions" / "31_distributed_training"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    forked, spawned, refused = done.stdout.splitlines()
    assert forked == "forked [1]"
    assert spawned == "spawned [0]"
    assert refused.startswith(
        "refused CUDA is in use, so processes are spawned: fn and args must be "
        "picklable"
    )
