"""Runs the quick tests where nothing is wrong but the circumstances, each time in a new
copy of the project.

python -m tests.slow_machine       three times at once in each circumstance; exit code
                                   1: a test failed
python -m tests.slow_machine NAME  only where this is a part of the circumstance's name
python -m tests.slow_machine NAME --times 1

`TESTS_ORDER=SEED` has the drawn order of a run that printed this seed. For that, this
file is a plugin of pytest, too.
"""

import argparse
import os
import random
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT
from tests.breakages import QUICK, copied, failing

ANOTHER = 54321  # a user's id
PLACES = {
    folder for path in (ROOT, Path(sys.base_prefix)) for folder in (path, *path.parents)
}
# to others than their owner
CLOSED = sorted(
    str(place) for place in PLACES if not place.stat().st_mode & stat.S_IXOTH
)
# The user has the copy, and goes through closed folders to Python: in these mounts,
# they are as open as ../open.
BECOME = f"""
mkdir ../home ../open && chown -R {ANOTHER}:{ANOTHER} ..
for closed in {" ".join(CLOSED)}; do
  mount -t overlay none -o lowerdir=../open:$closed $closed
done
export HOME=$(realpath ../home) LOGNAME=another
exec setpriv --reuid {ANOTHER} --regid {ANOTHER} --clear-groups "$@"
"""


@dataclass(frozen=True)
class Circumstance:
    name: str
    prefix: tuple[str, ...] = ()  # what runs the command
    options: tuple[str, ...] = ()  # of pytest
    environment: dict[str, str] = field(default_factory=dict)
    loops: int = 0  # processes that compute meanwhile


CIRCUMSTANCES = (
    Circumstance("beside eight busy loops", loops=8),
    Circumstance(
        "as another user", prefix=("unshare", "--mount", "sh", "-ec", BECOME, "sh")
    ),
    Circumstance(
        "with namespaces refused",
        prefix=(sys.executable, "-m", "tests.attacks.refusing", "unshare"),
    ),
    Circumstance(
        "in another time zone and locale",
        environment={"TZ": "Pacific/Chatham", "LC_ALL": "C"},
    ),
    Circumstance("in a drawn order", options=("-p", "tests.slow_machine")),
)


def main() -> bool:
    parser = argparse.ArgumentParser(prog="python -m tests.slow_machine")
    parser.add_argument("name", nargs="*")
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    chosen = [one for one in CIRCUMSTANCES if " ".join(given.name) in one.name]
    return bool([one for one in chosen if not passes(one, given.times)])


def passes(one: Circumstance, times: int) -> bool:
    """Whether no test fails there, in runs that are a burden to each other."""
    if "setpriv" in " ".join(one.prefix) and os.getuid() != 0:
        print(f"{one.name}: not tried, since only root can be another user")
        return True
    with ExitStack() as ends, ThreadPoolExecutor(times) as runs:
        for _ in range(one.loops):
            ends.callback(
                subprocess.Popen([sys.executable, "-c", "while True: pass"]).kill
            )
        return not any(list(runs.map(failures, [one] * times)))


def failures(one: Circumstance) -> list[str]:
    """What fails in a run there, and lines that say so."""
    seed, began = (
        os.environ.get("TESTS_ORDER") or str(random.randrange(10**6)),
        time.monotonic(),
    )
    with tempfile.TemporaryDirectory(prefix="slow-") as folder:
        copy = copied(Path(folder, "tree"))
        failed = failing(
            copy, *one.prefix, *QUICK, *one.options, TESTS_ORDER=seed, **one.environment
        )
    minutes = (
        f"{(time.monotonic() - began) / 60:.1f} "
        f"minutes{f', seed {seed}' if one.options else ''}"
    )
    print(
        f"{one.name}: {len(failed)} failures, {minutes}",
        *failed,
        sep="\n  ",
        flush=True,
    )
    return failed


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    items: list[pytest.Item],
) -> Generator[None, None, None]:
    """Draw the order of the files, and of the tests in each."""
    yield
    random.Random(os.environ["TESTS_ORDER"]).shuffle(items)
    files = {
        path: number
        for number, path in enumerate(dict.fromkeys(item.path for item in items))
    }
    items.sort(key=lambda item: files[item.path])


if __name__ == "__main__":
    sys.exit(main())
