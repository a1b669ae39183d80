"""The virtual environment of a workspace: that of this program, or one of its own, made
as by `make setup`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path

from grader.course import places
from grader.errors import NotPossible

NAME = ".venv"
PINS = places.PACKAGE / "constraints.txt"
OF_AN_INSTALLATION = (
    "RECORD",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
    "uv_cache.json",
    "uv_build.json",
)
SECONDS = 20  # for the index of CPU builds to answer


def running() -> Path | None:
    """The virtual environment that runs this program; None if there is none."""
    return Path(sys.prefix) if sys.prefix != sys.base_prefix else None


def is_in_a_cache() -> bool:
    """Tell if the environment that runs this program is one of uvx's, which may be
    gone tomorrow.
    """
    return any(part.startswith("archive-v") for part in Path(sys.prefix).parts)


def program(environment: Path, name: str) -> Path:
    """The path of a program of an environment."""
    return environment / ("Scripts" if os.name == "nt" else "bin") / name


def activation(environment: Path) -> str:
    """The command that activates an environment."""
    script = str(program(environment, "activate"))
    return script if os.name == "nt" else f"source {shlex.quote(script)}"


def is_active(environment: Path) -> bool:
    """Tell if the shell's programs are those of this environment."""
    found = shutil.which("kata")
    return (
        found is not None and Path(found).parent == program(environment, "kata").parent
    )


def make(workspace: Path, build: str, say: Callable[[str], None]) -> None:
    """Make an environment in a workspace: this package again, the versions it is tested
    with, and a build of PyTorch.

    Args:
        build: cpu or cuda.
    Raises:
        NotPossible: something cannot be downloaded or made.
    """
    if places.is_checkout():
        raise NotPossible(
            "--venv installs a release again, and this is a checkout: make setup has "
            "made its .venv"
        )
    there = workspace / NAME
    python = program(there, "python")
    say(f"Creating {there}")
    _run(
        [sys.executable, "-m", "venv", there],
        f"{there} cannot be created (Debian and Ubuntu: install python3-venv)",
    )
    quiet = ["-q", "--disable-pip-version-check", "--no-input"]
    pip: list[str | Path] = [python, "-m", "pip", "install", *quiet, "-c", PINS]
    _run([*pip, "uv"], "uv cannot be installed")
    uv: list[str | Path] = [
        python,
        "-m",
        "uv",
        "pip",
        "install",
        "-q",
        "--python",
        python,
        "-c",
        PINS,
    ]
    if build == "cpu" and sys.platform == "linux":
        torch: list[str | Path] = [*uv, "--no-deps", "--torch-backend", "cpu", "torch"]
        if _answers([*torch, "--dry-run"]):
            say("Downloading PyTorch's CPU build: about 200 MB")
            _run(torch, "PyTorch cannot be downloaded")
        else:
            say(
                "PyTorch's index of CPU builds does not answer: the default build "
                "follows, 2.7 GB with CUDA"
            )
    say("Installing the pinned packages: about 75 MB")
    with tempfile.TemporaryDirectory(prefix="kata-wheel-") as folder:
        _run([*pip, wheel(Path(folder))], "the packages cannot be installed")
    packages = sysconfig.get_path("purelib", "venv", vars={"base": str(there)})
    # for `import tinytorch`
    Path(packages, "workspace.pth").write_text(
        f"{workspace / 'katas'}\n", encoding="utf-8"
    )


def wheel(folder: Path) -> Path:
    """Pack the installed package as the wheel that it came from."""
    found = distribution("torch-katas")
    path = folder / f"torch_katas-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        names = dict(_packed(found))
        for name, file in names.items():
            packed.write(file, name)
        record = f"torch_katas-{found.version}.dist-info/RECORD"
        packed.writestr(record, "".join(f"{name},,\n" for name in [*names, record]))
    return path


def _packed(found: Distribution) -> list[tuple[str, Path]]:
    """The name in the wheel of each installed file, and where it is."""
    names = []
    for file in found.files or ():
        if (
            ".." not in file.parts
            and file.name not in OF_AN_INSTALLATION
            and file.suffix != ".pyc"
        ):
            names.append((file.as_posix(), Path(str(file.locate()))))
    archive = places.archive()
    assert archive
    return [
        *names,
        (f"torch_katas-{found.version}.data/data/{places.ARCHIVE.as_posix()}", archive),
    ]


def _answers(command: Sequence[str | Path]) -> bool:
    environment = {"UV_HTTP_TIMEOUT": "5", **os.environ, "UV_HTTP_RETRIES": "0"}
    try:
        return (
            subprocess.run(
                command, env=environment, capture_output=True, timeout=SECONDS
            ).returncode
            == 0
        )
    except subprocess.TimeoutExpired:
        return False


def _run(command: Sequence[str | Path], failure: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = [
            line.strip()
            for line in (done.stderr or done.stdout).splitlines()
            if line.strip()
        ]
        reason = next(
            (line for line in said if "error" in line.lower()),
            said[-1] if said else "no reason was given",
        )
        raise NotPossible(f"{failure}: {reason[:300]}")
