"""What the runner asks of a worker: plain data, and the door through which a new process becomes that worker."""

import hashlib
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from grader.catalogue import Kata

SIGNED = 32  # bytes of a message's signature, which stands before it
KATAS = "KATAS_TO_COLLECT"  # the variable that tells a new forkserver whose specs to collect, a line "ROOT\tKATA" each
# The only variables of the environment that a worker gets to see.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VIRTUAL_ENV",
               "PYTORCH_NVML_BASED_CUDA_CHECK", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "SYSTEMROOT")  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What a worker is to do. `problem`, if not empty, is why the code could not be read: the verdict of every spec."""

    kata: Kata
    scratch: Path  # a folder laid out like katas/ with this kata's code and that of the earlier ones it builds on
    problem: str = ""
    core: bool = False
    only: str = ""  # run these: "test_name", "TestClass::test_name", each with all its parameters, or "TestClass"
    skip: frozenset[str] = frozenset()  # specs already decided
    spec_seconds: float = 10.0
    seed: int = 0
    backwards: bool = False  # run the specs in reverse order
    order: tuple[str, ...] = ()  # run the specs of these names, or of classes of these names, first, in this order
    stop_at_failure: bool = False  # run nothing after the first spec that fails
    memory: int = 2 << 30
    file_size: int = 16 << 20
    open_files: int = 256
    environment: dict[str, str] = field(default_factory=dict)
    key: bytes = field(default=b"", repr=False)  # signs what the worker reports


def signature(key: bytes, number: int, message: bytes) -> bytes:
    """Of the worker's message of that number, counted from 0."""
    return hashlib.blake2b(number.to_bytes(8) + message, key=key, digest_size=SIGNED).digest()


def perform(task: Task, channel: Connection) -> None:
    """Become the worker. Imported here, so that the runner's process never loads torch."""
    from grader import worker

    worker.main(task, channel)
