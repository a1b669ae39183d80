"""Runs the commands that README.md, lessons and docs name where only the runtime dependencies are installed.

One of each form runs; of the others, katas, exercises, classes and options are looked up. `BARE=DIR` names a checkout
that `make setup` has made; otherwise a copy of this one gets an environment of links.
"""

import ast
import json
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT, all_katas, find
from tests.course import bare, commands
from tests.course.commands import Command

FOUND = commands.named(ROOT)
NOT_RUN = {
    "git clone": "needs an address",
    "source": "changes a shell",
    "make -C course": "needs an exported course; sets it up, as `make setup` did here",
    "make grade TORCH": "downloads",
    "make setup": "is how this environment came about",
    "make test": "installs more packages",
    "make test-all": "installs more packages",
    "make test-rest": "installs more packages",
    "make check": "installs more packages",
    "make mutants": "installs more packages",
    "make truth": "installs more packages",
    "make seals": "takes minutes, and is tried nightly",
    "kata seals": "does, too",
    "make site": "installs more packages",
    "make bench": "takes minutes",
    "pre-commit": "comes with `make check`",
    "pip install": "downloads",
    "python -m venv": "is Python's own",
    "python -m tests.": "is for who works on the course, with the tests' packages",
    "torchrun": "needs eight GPUs",
    "kata data": "downloads",
    "python katas/33_gpt_capstone/train_gpt2.py --preset tiny": "trains; test_train_gpt2 starts it",
    "kata results": "trains for minutes, and is tried nightly",
    "kata update": "needs an address",
    "kata watch": "waits for a person: see below",
    "kata tutor": "waits for an assistant; test_tutor is one",
    "kata export inspect ../tasks 16 --specs": "needs specs of one's own; test_export writes some",
    "kata promises 34 --watch": "does, too; test_kept saves files for it",
    "kata start my-katas --venv": "downloads",
    "kata start": "is tried from a wheel: see test_installed",
    "make wheel": "downloads what builds it; is tried there, too",
    "python katas/33_gpt_capstone/lesson.py --": "trains for minutes",
    "python katas/today/01_todays_block/lesson.py --weights": "needs a model's files; test_answer writes some",
}
OF_ALL = ("kata promises",)
ON_WORK = (
    "kata solution",
    "kata reset",
    "kata undo",
    "kata debug",
)  # run where 16 is written
SHORTER = {  # of the same form
    "make grade CODE=solutions": "make grade CODE=solutions KATA=01",
    "kata grade --report": "kata grade 02 --report",
    "kata grade --submissions": "kata grade 16 --submissions",
    "kata regrade --submissions": "kata regrade 16 --submissions",
    "kata lesson 00": "kata lesson 02",
    "kata promises 16": "kata promises 34",
    "kata stacks 30": "kata stacks tinytorch/02",
    "python katas/00_first_look/lesson.py": "python katas/02_tensor_reshaping/lesson.py",
}
OPTIONAL = {"transformers"}  # where 28's lesson finds it
FAILS = ("Traceback (most recent call last)", "ImportError", "ModuleNotFoundError", "No module named", "Usage:")


def why_not(command: Command) -> str:
    if command.line.partition("#")[0].strip() in OF_ALL:
        return "takes minutes for all katas"
    if commands.is_mention(command):
        return "lacks what it needs"
    return next((why for start, why in NOT_RUN.items() if command.line.startswith(start)), "")


FORMS: dict[tuple[str, ...], Command] = {}
for found in FOUND:
    if not why_not(found):
        FORMS.setdefault(found.form, found)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A checkout in which nothing was done but `make setup`, beside files of the names that pages use."""
    here = (
        Path(os.environ["BARE"]).resolve()
        if "BARE" in os.environ
        else bare.make(tmp_path_factory.mktemp("a") / "course")
    )
    sixteen = find("16")
    for folder in ("student", "class/ada"):
        (here.parent / folder / sixteen.file).parent.mkdir(parents=True)
        shutil.copy(here / "solutions" / sixteen.file, here.parent / folder / sixteen.file)
    shutil.make_archive(str(here.parent / "student"), "zip", here.parent / "student")
    for line in ("kata new 34_quantization", "kata notebook 16 16.ipynb"):
        assert run(here, line).returncode == 0
    return here


def run(checkout: Path, line: str) -> subprocess.CompletedProcess:
    """Run a command line in the checkout, with its environment activated."""
    keep = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    path = f"{checkout / '.venv/bin'}:/usr/local/bin:/usr/bin:/bin"
    environment = keep | {"PATH": path, "VIRTUAL_ENV": str(checkout / ".venv")}
    return subprocess.run(
        line,
        shell=True,
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("command", FORMS.values(), ids=lambda command: " ".join(command.form))
def test_a_command_of_each_form_runs(checkout, command):
    line = command.line.partition("#")[0]
    for long, short in SHORTER.items():
        line = line.replace(long, short)
    out = checkout.parent / "out" / str(len(list(checkout.parent.glob("out/*"))))
    out.mkdir(parents=True)
    folder = checkout.parent / "class" if "--submissions" in line else out / "new"
    line = " ".join(
        shlex.quote({"DIR": str(folder), "FILE": "README.md"}.get(word, word)) for word in shlex.split(line)
    )
    code = checkout / "katas" / find("16").file
    stub = code.read_bytes()
    if line.startswith(ON_WORK):
        shutil.copy(checkout / "solutions" / find("16").file, code)
    done = run(checkout, line)
    code.write_bytes(stub)
    said = done.stdout + done.stderr
    assert done.returncode in (0, 1) and not any(sign in said for sign in FAILS), f"{line}\n{said[-3000:]}"


def test_the_other_commands_name_what_is_there(checkout):
    problems = {command: problem for command in FOUND if (problem := commands.problem(command, checkout))}
    assert not problems, "\n".join(f"{c.page}: {c.line}: {problem}" for c, problem in problems.items())


def test_what_a_kata_imports_is_there(checkout):
    """Lessons run everywhere with every package of the tests; here, one of each form does."""
    trees = [ast.parse(path.read_text()) for path in (checkout / "katas").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    beside = {path.parent.name if path.stem == "__init__" else path.stem for path in (checkout / "katas").rglob("*.py")}
    wanted = {name.partition(".")[0] for name in names} - OPTIONAL - beside
    code = f"from importlib.util import find_spec; print(*[name for name in {sorted(wanted)} if not find_spec(name)])"
    done = run(checkout, f"python -c {shlex.quote(code)}")
    assert wanted >= {"torch", "grader", "matplotlib"} and done.stdout == "\n", done.stdout + done.stderr


@pytest.mark.parametrize("line", ["pytest katas/01::TestCountTo", "pytest katas/tinytorch/05"])
def test_pytest_loads_no_test_of_the_project(checkout, line):
    done = run(checkout, f"{line} --code solutions -q --trace-config")
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:] + done.stderr
    assert str(checkout / "tests") not in done.stdout


def test_what_comes_next_is_named(checkout):
    """By `make grade` on untouched stubs, and by `kata next`."""
    runnable = [kata for kata in all_katas(checkout) if "triton" not in kata.description.needs]
    done = run(checkout, "make grade")
    assert f" of {sum(len(kata.exercises) for kata in runnable)} points" in done.stdout, done.stdout
    said = done.stdout.partition("\nNext: ")[2] + run(checkout, "kata next").stdout
    lines = [part.strip() for line in said.splitlines() for part in line.replace(", or ", "\n").splitlines()]
    named = [line[line.index("kata ") :].partition(",")[0] for line in lines if "kata " in line]
    problems = [commands.problem(Command(line, "kata next"), checkout) for line in named]
    assert len(named) >= 4 and not any(problems), (named, problems)


@pytest.mark.parametrize("options", ["16 --code solutions", "01 --code solutions --sealed"])
def test_the_reference_earns_its_points(checkout, options):
    done = run(checkout, f"kata grade {options} --fail-under 100")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


CODESPACE = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())


def test_a_codespace_is_ready_when_it_has_been_made(checkout):
    """Its step of creation is what made this checkout's environment."""
    done = run(checkout, CODESPACE["postCreateCommand"])
    assert done.returncode == 0 and "Nothing to be done" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("command", "exercise"), [("kata watch 01", "count_to"), (CODESPACE["postAttachCommand"], "")])
def test_watch_shows_the_first_exercise(checkout, command, exercise):
    """Also what a codespace runs in its terminal: it starts at the first kata."""
    exercise = exercise or find("00").exercises[0].name
    program, *rest = command.split()
    with subprocess.Popen(
        [f"bin/{program}", *rest], cwd=checkout / ".venv", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as watching:
        said = ""
        for line in watching.stdout or ():
            said += line
            if exercise in line:
                watching.send_signal(signal.SIGINT)
                break
        rest = watching.communicate()[0]
    assert exercise in said and not any(sign in said + rest for sign in FAILS), said + rest


def test_without_the_tests_packages_the_projects_tests_say_so(checkout):
    done = run(checkout, "pytest")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR and "make test-all installs" in done.stderr
