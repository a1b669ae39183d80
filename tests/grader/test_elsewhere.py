"""The learner's day without Linux. fixtures/windows/sitecustomize.py stands in for
Windows: it hides what POSIX has.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT, find
from tests.conftest import HERE, SOUND

TOLD = "no system but Linux isolates it"
KATA = "import sys; sys.argv[0] = 'kata'; from grader.cli.main import main; main()"
GRADE = """
import json, sys
from pathlib import Path
from grader.course.catalogue import all_katas
from grader.execution import grading
from grader.protocol import RunOptions

katas = all_katas(Path(sys.argv[1]))[:1]
options = RunOptions(spec_seconds=0.5)
[result] = grading.grade_folder(katas, Path(sys.argv[2]), options=options)
first = {one.name: one.first_failure for one in result.exercises}
said = {name: "" if spec is None else spec.message for name, spec in first.items()}
print(json.dumps([result.message, said]))
"""
RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text(encoding="utf-8")


def python(*arguments: str | Path, **variables: str) -> dict:
    """How to start Python under the stand-in."""
    path = os.pathsep.join(
        map(str, (HERE / "fixtures" / "windows", ROOT, ROOT / "katas"))
    )
    env = (
        os.environ | {"PYTHONPATH": path, "PYTHONWARNDEFAULTENCODING": "1"} | variables
    )
    return {"args": [sys.executable, *map(str, arguments)], "env": env, "cwd": ROOT}


def run(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(**python(*arguments), capture_output=True, text=True)


def unencoded(said: str) -> list[str]:
    """The warnings of files of ours that are opened without an encoding."""
    return [
        line
        for line in said.splitlines()
        if "EncodingWarning" in line and "site-packages" not in line
    ]


def kata(*arguments: str | Path) -> subprocess.CompletedProcess:
    return run("-c", KATA, *arguments)


@pytest.fixture
def graded(tmp_path):
    """A function that grades 01_sums with another body of `total`: the kata's message,
    and each exercise's failure.
    """

    def grade(body: str) -> tuple[str, dict[str, str]]:
        file = tmp_path / "01_sums" / "sums.py"
        file.parent.mkdir()
        file.write_text(RIGHT.replace("return x.sum(dim)", body), encoding="utf-8")
        done = run("-c", GRADE, SOUND, tmp_path)
        assert done.returncode == 0, done.stderr
        message, failures = json.loads(done.stdout)
        return message, failures

    return grade


def test_the_stand_in_hides_what_windows_has_not():
    looks = (
        "import os, signal, multiprocessing\n"
        "print(hasattr(os, 'fork'), hasattr(signal, 'SIGALRM'), __name__)\n"
    )
    forks = (
        "try: multiprocessing.get_context('fork')\n"
        "except ValueError as error: print(error)\n"
    )
    posix = "try: import fcntl\nexcept ImportError as error: print(error)\n"
    for name, expected in (
        ("grader.some", ["False False grader.some", "cannot find context for 'fork'"]),
        ("some", []),
    ):
        done = run("-c", f"exec({looks + forks + posix!r}, {{'__name__': {name!r}}})")
        assert done.returncode == 0 and done.stdout.splitlines()[:2] == (
            expected or ["True True some"]
        ), done.stdout
        assert ("No module named 'fcntl'" in done.stdout) == bool(expected)


def test_the_reference_earns_every_point_and_is_told_once_that_nothing_isolates_it():
    done = kata("grade", "16", "--code", "solutions")
    assert done.returncode == 0 and "9 of 9 points · 9 of 9 stars" in done.stdout, (
        done.stdout + done.stderr
    )
    assert done.stdout.count(TOLD) == 1
    assert not unencoded(done.stderr)


@pytest.mark.parametrize(
    "words", ["list", "next", "trace 01 count_to", "doctor", "watch --help"]
)
def test_a_learners_command_answers(words):
    done = kata(*words.split())
    assert done.returncode == 0 and not unencoded(done.stderr), done.stderr


def test_linux_has_nothing_of_it():
    """psutil is no dependency there."""
    imports = (
        "import sys, grader.learner.watch, grader.specs.plugin, grader.workers.entry, "
        "grader.workers.spec_worker\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}print('psutil' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
    )
    assert done.stdout == b"False\n", done.stderr


def test_what_is_not_written_says_so(graded):
    message, failures = graded("raise NotImplementedError")
    assert (
        message == ""
        and failures["double"] == failures["Doubler"] == ""
        and "not written yet" in failures["total"]
    )


def test_an_endless_loop_ends_its_spec(graded):
    message, failures = graded("while True: pass")
    assert message == "" and failures["double"] == failures["Doubler"] == ""
    assert (
        "stopped    used 0.5 s of CPU: an endless loop?" in failures["total"]
        and "line" in failures["total"]
    )


def test_a_call_that_hangs_in_c_ends_the_run_and_is_named(graded):
    message, failures = graded("import time; time.sleep(600)")
    assert message == "" and failures["double"] == failures["Doubler"] == ""
    assert (
        failures["total"].startswith("total: waited ")
        and "was killed during this spec" in failures["total"]
    )


def test_a_crash_is_named(graded):
    message, failures = graded("import os; os._exit(3)")
    assert message == "" and failures["double"] == failures["Doubler"] == ""
    assert (
        failures["total"] == "total: ended the process (exit code 3) during this spec"
    )


@pytest.mark.parametrize(
    "arguments", [("grade", "01", "--sealed"), ("class", "solutions")], ids=" ".join
)
def test_what_needs_linux_names_the_ways_there(arguments):
    done = kata(*arguments)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert all(
        way in done.stderr for way in ("needs Linux", "WSL", "container", "workflow")
    )


def test_pytest_passes_the_reference():
    done = run("-m", "pytest", "-q", "katas/01_tensors", "--code", "solutions")
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
    assert not unencoded(done.stdout + done.stderr)


def test_what_a_code_page_lacks_is_replaced():
    done = subprocess.run(
        **python("-c", KATA, "list", PYTHONIOENCODING="cp1252"), capture_output=True
    )
    assert done.returncode == 0 and b"?" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "body, said",
    [
        ("while True: pass", "stopped    used 1 s of CPU"),
        ("import time; time.sleep(600)", "Stack of MainThread"),
    ],
    ids=["a loop ends its spec", "a call into C ends the session"],
)
def test_pytest_ends(tmp_path, body, said):
    one = find("01")
    file = tmp_path / one.file
    file.parent.mkdir()
    text = one.reference.read_text(encoding="utf-8")
    file.write_text(f"{text}\n\ndef count_to(n):\n    {body}\n", encoding="utf-8")
    done = run(
        "-m",
        "pytest",
        "-q",
        "katas/01_tensors",
        "-k",
        "CountTo",
        "--code",
        tmp_path,
        "--spec-seconds",
        "1",
    )
    assert done.returncode == 1 and said in done.stdout + done.stderr, (
        done.stdout + done.stderr
    )


def test_watch_judges_and_ends_by_an_interrupt():
    with subprocess.Popen(
        **python("-c", KATA, "watch", "01"), stdout=subprocess.PIPE, text=True
    ) as watching:
        lines = iter(watching.stdout.readline, "")
        assert any(TOLD in line for line in lines)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
