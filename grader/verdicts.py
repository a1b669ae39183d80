"""Verdicts kept by what they depend on — code, specs, grader, versions — so that the same code is never run twice."""

import contextlib
import hashlib
import json
import os
import platform
import sqlite3
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

from grader.catalogue import Kata
from grader.results import KataResult, kata_result
from grader.runner import Job

PACKAGES = ("torch", "numpy", "pytest", "pytest-timeout", "hypothesis", "pandas", "pillow")


class Verdicts:
    """The verdicts on file in the tree at `root`, in `.kata/verdicts.sqlite`, which several processes may use at a time.

    They only save time: a file that cannot be read is started anew, a place that cannot be written keeps nothing.
    """

    def __init__(self, root: Path):
        self.path = root / ".kata" / "verdicts.sqlite"
        self.connection: sqlite3.Connection | None = None
        with contextlib.suppress(OSError, sqlite3.OperationalError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.connection = self._opened()
            except sqlite3.OperationalError:  # locked, read-only
                raise
            except sqlite3.DatabaseError:  # no database, or a torn one
                self.path.unlink()
                self.connection = self._opened()

    def find(self, job: Job) -> KataResult | None:
        with contextlib.suppress(sqlite3.Error, ValueError, TypeError, KeyError):
            rows = self.connection.execute("SELECT result FROM verdicts WHERE key = ?", (key(job),)) if self.connection else ()
            for (text,) in rows:
                return kata_result(json.loads(text))
        return None

    def keep(self, job: Job, result: KataResult) -> None:
        if self.connection:
            with contextlib.suppress(sqlite3.Error), self.connection:
                row = (key(job), json.dumps(asdict(result)))
                self.connection.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", row)

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30)
        connection.execute("PRAGMA synchronous = OFF")  # a machine that loses power costs verdicts, and only time
        connection.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, result TEXT NOT NULL)")
        connection.execute("SELECT count(*) FROM verdicts").fetchone()
        return connection


def key(job: Job) -> str:
    """A fingerprint of everything that the job's verdict depends on."""
    files = [[path.as_posix(), text] for path, text in sorted(job.files.items())]
    options = [job.kata.name, job.problem, job.note, job.core, job.only, job.seed, job.backwards, job.spec_seconds]
    return hashlib.sha256(json.dumps([files, options, _specs(job.kata), _surroundings()]).encode()).hexdigest()


def _specs(kata: Kata) -> str:
    return kata.specs.read_text(encoding="utf-8") if kata.specs.is_file() else ""


@cache
def _surroundings() -> list[str]:
    """The grader's own code, the versions that run it and whether there is a GPU."""
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        code.update(path.read_bytes())
    gpu = os.path.exists("/dev/nvidiactl") and os.environ.get("CUDA_VISIBLE_DEVICES") != ""
    return [code.hexdigest(), platform.platform(), platform.python_version(), str(gpu), *map(version, PACKAGES)]
