"""The memory of a tree: it is shared by processes, and a disk that is full costs
only time.
"""

import subprocess
import sys

from grader.memory import Memory

WRITES = """
import sys; from pathlib import Path; from grader.memory import Memory
memory = Memory(Path(sys.argv[1]))
for number in range(100):
    memory.keep("test", f"{sys.argv[2]}{number}", "key", "x" * int(sys.argv[3]))
"""
FULL = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
FULL += "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))"


def writing(folder, name: str, size: int = 1, before: str = "") -> subprocess.Popen:
    command = [sys.executable, "-c", before + WRITES, folder, name, str(size)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_two_processes_write_at_once(tmp_path):
    both = [writing(tmp_path, name) for name in "ab"]
    assert [process.communicate()[1] for process in both] == ["", ""]
    memory = Memory(tmp_path)
    assert {
        memory.find("test", f"{name}{number}", "key")
        for name in "ab"
        for number in range(100)
    } == {"x"}


def test_another_key_forgets_what_was_known(tmp_path):
    memory = Memory(tmp_path)
    memory.keep("test", "a", "old", "1")
    memory.keep("test", "a", "new", "2")
    assert [memory.find("test", "a", key) for key in ("old", "new")] == [None, "2"]


def test_a_full_disk_costs_only_time(tmp_path):
    process = writing(tmp_path, "a", 1000, FULL)
    assert process.communicate()[1] == "" and process.returncode == 0
    memory = Memory(tmp_path)
    found = [memory.find("test", f"a{number}", "key") for number in range(100)]
    assert found[0] == "x" * 1000 and found[-1] is None
