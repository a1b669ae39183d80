"""Runs the commands that README.md, lessons and docs name where only the runtime
dependencies are installed.

One of each form runs; of the others, katas, exercises, classes and options are looked
up. `BARE=DIR` names a checkout that `make setup` has made; otherwise a copy of this one
gets an environment of links.
"""

import functools
import json
import os
import re
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
    "source": "changes a shell",
    "make -C course": "needs an exported course; sets it up, as `make setup` did here",
    "make grade TORCH": "downloads",
    "make setup": "is how this environment came about",
    "git tag": "is for a release",
    "git push": "is, too",
    "make test": "installs more packages",
    "make test-all": "installs more packages",
    "make test-rest": "installs more packages",
    "make check": "installs more packages",
    "make mutants": "installs more packages",
    "kata mutants --idle": "needs packages that it installs",
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
    "python katas/33_gpt_capstone/train_gpt2.py --preset tiny": (
        "trains; test_train_gpt2 starts it"
    ),
    "kata results": "trains for minutes, and is tried nightly",
    "kata update": "needs an address",
    "kata watch": "waits for a person: see below",
    "kata review": "does, too; test_review writes for one",
    "kata tutor": "waits for an assistant; test_tutor is one",
    "kata export inspect ../tasks 16 --specs": (
        "needs specs of one's own; test_export writes some"
    ),
    "kata promises 34 --watch": "does, too; test_kept saves files for it",
    "kata start my-katas --venv": "downloads",
    "kata start": "is tried from a wheel: see test_installed",
    "make wheel": "downloads what builds it; is tried there, too",
    "python katas/33_gpt_capstone/lesson.py --": "trains for minutes",
    "python katas/today/01_todays_block/lesson.py --weights": (
        "needs a model's files; test_answer writes some"
    ),
}
OF_ALL = ("kata promises",)
ON_WORK = (
    "kata solution",
    "kata reset",
    "kata undo",
    "kata debug",
)  # run where 16 is written
INSTEAD = {  # of the same form, but shorter, or with an end that tells right from wrong
    "make grade CODE=solutions": "make grade CODE=solutions KATA=01",
    "kata grade --report": "kata grade 02 --report",
    "../student.zip --explain": "../student.zip --explain --fail-under 100",
    "../student --sealed": "../student --sealed --fail-under 100",
    "pytest katas/01::TestCountTo": "pytest katas/01::TestCountTo --code solutions",
    "pytest katas/16 --code": "pytest katas/tinytorch/05 --code",
    "kata class DIR": "kata class DIR 16",
    "kata regrade --submissions": "kata regrade 16 --submissions",
    "--to moodle": "--to zip",
    "OWNER/course@COMMIT": f"OWNER/course@{40 * 'a'}",
    "kata lesson 00": "kata lesson 02",
    "kata promises 16": "kata promises 34",
    "kata stacks 30": "kata stacks tinytorch/02",
    "mutants --ends 23": "mutants --ends 34",
    "python katas/00_first_look/lesson.py": (
        "python katas/02_tensor_reshaping/lesson.py"
    ),
}
OPTIONAL = {"transformers"}  # where 28's lesson finds it
IMPORT = re.compile(r"^ *(?:import (\w+)|from (\w+)[\w.]* import )", re.MULTILINE)
FAILS = (
    "Traceback (most recent call last)",
    "ImportError",
    "ModuleNotFoundError",
    "No module named",
    "Usage:",
)


def why_not(command: Command) -> str:
    if command.line.partition("#")[0].strip() in OF_ALL:
        return "takes minutes for all katas"
    if commands.is_mention(command):
        return "lacks what it needs"
    return next(
        (why for start, why in NOT_RUN.items() if command.line.startswith(start)), ""
    )


def is_within(form: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tell if the other form asks for all that this one does, and so starts all that
    it starts.
    """
    words = iter(other)
    return all(word in words for word in form)


FORMS: dict[tuple[str, ...], Command] = {}
for found in FOUND:
    if not why_not(found):
        FORMS.setdefault(found.form, found)
GRADING = [form for form in FORMS if form[:2] == ("kata", "grade")]
for form in GRADING:
    if any(form != other and is_within(form, other) for other in GRADING):
        del FORMS[form]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A checkout in which nothing was done but `make setup`, beside files of the names
    that pages use.
    """
    here = (
        Path(os.environ["BARE"]).resolve()
        if "BARE" in os.environ
        else bare.make(tmp_path_factory.mktemp("a") / "course")
    )
    sixteen = find("16")
    for folder in ("student", "class/ada"):
        (here.parent / folder / sixteen.file).parent.mkdir(parents=True)
        shutil.copy(
            here / "solutions" / sixteen.file, here.parent / folder / sixteen.file
        )
    (here / "roster.csv").write_text("id,name,email\nada,Ada,\n")
    shutil.make_archive(str(here.parent / "student"), "zip", here.parent / "student")
    for line in ("kata new 34_quantization", "kata notebook 16 16.ipynb"):
        assert once(here, line).returncode == 0
    return here


def run(checkout: Path, line: str) -> subprocess.CompletedProcess:
    """Run a command line in the checkout, with its environment activated."""
    keep = {
        name: os.environ[name]
        for name in ("HOME", "LANG", "TMPDIR")
        if name in os.environ
    }
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


once = functools.cache(run)  # for what two tests look at and what costs seconds


def test_what_comes_next_is_named(checkout):
    """By `make grade` on untouched stubs, and by `kata next`."""
    # PyTorch's builds for CUDA need it
    has_triton = "triton" in {package.name for package in bare.needed()}
    runnable = [
        kata
        for kata in all_katas(checkout)
        if has_triton or "triton" not in kata.description.needs
    ]
    done = once(checkout, "make grade")
    assert (
        f" of {sum(len(kata.exercises) for kata in runnable)} points" in done.stdout
    ), done.stdout
    said = done.stdout.partition("\nNext: ")[2] + run(checkout, "kata next").stdout
    lines = [
        part.strip()
        for line in said.splitlines()
        for part in line.replace(", or ", "\n").splitlines()
    ]
    named = [
        line[line.index("kata ") :].partition(",")[0]
        for line in lines
        if "kata " in line
    ]
    problems = [
        commands.problem(Command(line, "kata next"), checkout) for line in named
    ]
    assert len(named) >= 4 and not any(problems), (named, problems)


@pytest.mark.parametrize(
    "command", FORMS.values(), ids=lambda command: " ".join(command.form)
)
def test_a_command_of_each_form_runs(checkout, command):
    line = command.line.partition("#")[0]
    for before, after in INSTEAD.items():
        line = line.replace(before, after)
    out = checkout.parent / "out" / str(len(list(checkout.parent.glob("out/*"))))
    out.mkdir(parents=True)
    folder = (
        checkout.parent / "class"
        if "--submissions" in line or line.startswith("kata class")
        else out / "new"
    )
    line = " ".join(
        shlex.quote({"DIR": str(folder), "FILE": "README.md"}.get(word, word))
        for word in shlex.split(line)
    )
    line += " --trace-config" * line.startswith("pytest ")
    code = checkout / "katas" / find("16").file
    stub = code.read_bytes()
    if line.startswith(ON_WORK):
        shutil.copy(checkout / "solutions" / find("16").file, code)
    if line.startswith("kata undo"):
        run(checkout, "kata reset 16")
    done = once(checkout, line)
    code.write_bytes(stub)
    said = done.stdout + done.stderr
    most = 0 if re.search(r"code solutions|CODE=solutions|fail-under 100", line) else 1
    assert 0 <= done.returncode <= most and not any(sign in said for sign in FAILS), (
        f"{line}\n{said[-3000:]}"
    )
    assert str(checkout / "tests") not in said, "pytest loads no test of the project"


def test_the_other_commands_name_what_is_there(checkout):
    problems = {
        command: problem
        for command in FOUND
        if (problem := commands.problem(command, checkout))
    }
    assert not problems, "\n".join(
        f"{c.page}: {c.line}: {problem}" for c, problem in problems.items()
    )


def test_what_a_kata_imports_is_there(checkout):
    """Lessons run everywhere with every package of the tests; here, one of each
    form does.
    """
    text = "\n".join(path.read_text() for path in (checkout / "katas").rglob("*.py"))
    names = {found[1] or found[2] for found in IMPORT.finditer(text)}
    beside = {
        path.parent.name if path.stem == "__init__" else path.stem
        for path in (checkout / "katas").rglob("*.py")
    }
    wanted = names - OPTIONAL - beside
    code = (
        "from importlib.util import find_spec; print(*[name for name in "
        f"{sorted(wanted)} if not find_spec(name)])"
    )
    done = run(checkout, f"python -c {shlex.quote(code)}")
    assert wanted >= {"torch", "grader", "matplotlib"} and done.stdout == "\n", (
        done.stdout + done.stderr
    )


CODESPACE = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())


def test_a_codespace_is_ready_when_it_has_been_made(checkout):
    """Its step of creation is what made this checkout's environment."""
    done = run(checkout, CODESPACE["postCreateCommand"])
    assert done.returncode == 0 and "Nothing to be done" in done.stdout, (
        done.stdout + done.stderr
    )


def test_watch_shows_the_first_exercise(checkout):
    """It is what a codespace runs in its terminal, and starts at the first kata."""
    exercise = find("00").exercises[0].name
    program, *rest = CODESPACE["postAttachCommand"].split()
    with subprocess.Popen(
        [f"bin/{program}", *rest],
        cwd=checkout / ".venv",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as watching:
        said = ""
        for line in watching.stdout or ():
            said += line
            if exercise in line:
                watching.send_signal(signal.SIGINT)
                break
        rest = watching.communicate()[0]
    assert exercise in said and not any(sign in said + rest for sign in FAILS), (
        said + rest
    )


def test_without_the_tests_packages_the_projects_tests_say_so(checkout):
    done = run(checkout, "pytest")
    assert (
        done.returncode == pytest.ExitCode.USAGE_ERROR
        and "make test-all installs" in done.stderr
    )
