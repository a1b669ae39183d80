"""The result cache. Its key covers code, specs, grader and versions, so a stale result is never found."""

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

from grader.course.catalogue import Kata
from grader.course.handouts import PROBES, SEALED
from grader.results import LOOPS, WAITED, KataResult, SpecResult, kata_result
from grader.workers.jobs import Job

PACKAGES = ("torch", "numpy", "pytest", "pytest-timeout", "hypothesis", "pandas", "pillow")
ROOMS = (".", "course", "specs", "isolation", "lock", "workers", "execution")  # whose code can change a result


class ResultCache:
    """The cached results of the tree at `root`, in `.kata/results.sqlite`. Several processes may use the file at once.

    The cache only saves time. A damaged file is replaced by an empty one; an unwritable folder means no caching.
    """

    def __init__(self, root: Path):
        self.path = root / ".kata" / "results.sqlite"
        self.connection: sqlite3.Connection | None = None
        with contextlib.suppress(OSError, sqlite3.OperationalError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.connection = self._opened()
            except sqlite3.OperationalError:  # locked, read-only
                raise
            except sqlite3.DatabaseError:  # not a database, or a damaged one
                self.path.unlink()
                self.connection = self._opened()

    def find(self, job: Job) -> KataResult | None:
        """The job's cached result, if there is one."""
        if self.connection is None:
            return None
        with contextlib.suppress(sqlite3.Error, ValueError, TypeError, KeyError):
            row = self.connection.execute("SELECT result FROM results WHERE key = ?", (key(job),)).fetchone()
            return kata_result(json.loads(row[0])) if row else None
        return None

    def keep(self, job: Job, result: KataResult) -> None:
        """Cache the job's result, unless a busy machine may be the reason for it."""
        if self.connection is None or any(_may_be_chance(spec) for e in result.exercises for spec in e.specs):
            return
        with contextlib.suppress(sqlite3.Error), self.connection:
            row = (key(job), json.dumps(asdict(result)))
            self.connection.execute("INSERT OR REPLACE INTO results VALUES (?, ?)", row)

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30)
        connection.execute("PRAGMA synchronous = OFF")  # a power cut may lose the file, which costs only time
        connection.execute("CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, result TEXT NOT NULL)")
        connection.execute("SELECT count(*) FROM results").fetchone()
        return connection


def _may_be_chance(spec: SpecResult) -> bool:
    """Tell if the spec ran out of time, or lost its worker."""
    return spec.status in ("error", "not graded") or LOOPS in spec.message or WAITED in spec.message


def key(job: Job) -> str:
    """A hash of everything that the job's result depends on."""
    files = [[path.as_posix(), text] for path, text in sorted(job.files.items())]
    rest = [job.kata.name, job.problem, job.note, asdict(job.options), _specs(job.kata), surroundings()]
    return hashlib.sha256(json.dumps([files, *rest]).encode()).hexdigest()


def _specs(kata: Kata) -> list[str]:
    files = [kata.folder / "kata.toml", kata.specs, kata.reference, kata.author / SEALED, kata.author / PROBES]
    texts = [path.read_text(encoding="utf-8") if path.is_file() else "" for path in files]
    return texts + [part for path in kata.hidden_specs for part in (path.name, path.read_bytes().hex())]


@cache
def surroundings() -> list[str]:
    """The grader's code, the versions it runs on, and whether there is a GPU."""
    code = hashlib.sha256()
    grader = Path(__file__).parents[1]
    for path in sorted(path for room in ROOMS for path in (grader / room).glob("*.py")):
        code.update(path.read_bytes())
    gpu = os.path.exists("/dev/nvidiactl") and os.environ.get("CUDA_VISIBLE_DEVICES") != ""
    return [code.hexdigest(), platform.platform(), platform.python_version(), str(gpu), *map(version, PACKAGES)]
