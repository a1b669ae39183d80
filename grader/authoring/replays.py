"""Answers by heart: what right code answered to the sealed specs under one seed, given again under another."""

import json
import os
import socket
import struct
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from grader.authoring import variants
from grader.authoring.variants import POINTS
from grader.course.catalogue import Kata
from grader.execution import scheduler
from grader.lock import bare_server, lists, wire
from grader.lock.asking import Round
from grader.lock.lists import Sealed
from grader.lock.second_lock import SecondLock
from grader.protocol import SpecInfo
from grader.workers import forkserver, orphans
from grader.workers.servers import Process

SEED, OTHER = 11, 12
FORGET = b"\x8c\x06forget"  # in a message to the worker: a spec begins
NO_ANSWER = {
    "error": [0, "RuntimeError", ["builtins.RuntimeError"], [], []],
    "arguments": [],
    "message": "it gave no such answer",
    "attributes": {},
}

Tape = dict[str, list[bytes]]  # spec or probe → the frames that the worker sent; "" for those before the first


class Taped(SecondLock):
    """A second lock with a relay between judge and code, which records what the code answers or gives it again."""

    def __init__(self, kata: Kata, scratch: Path, specs: dict[str, SpecInfo], sealed: Sealed, seed: int, tape: Tape):
        self.seed, self.tape, self.replays = seed, tape, bool(tape)
        job = variants.job(kata, kata.reference.read_text(encoding="utf-8"), POINTS)
        super().__init__(job, scratch, variants.all_work(kata, specs), specs, {}, sealed, attempts=1)

    def _drawn_seed(self) -> int:
        return self.seed

    def _start_code(self, round: Round, code: Path, shared: Path, pipe: int) -> Process:
        ours, theirs = socket.socketpair()
        with theirs:
            worker = bare_server.start_worker(self.job.kata, code, shared, theirs.fileno())
        asked = ["", *(name for name in self.specs if name in round.specs)]
        relay = self._replay if self.replays else self._record
        threading.Thread(target=relay, args=(socket.socket(fileno=os.dup(pipe)), ours, asked), daemon=True).start()
        return worker

    def _record(self, judge: socket.socket, worker: socket.socket, asked: list[str]) -> None:
        with judge, worker, suppress(OSError, EOFError):
            while True:
                question = _question(judge)
                if FORGET in question:
                    frames = self.tape.setdefault(asked.pop(0), [])
                worker.sendall(question)
                frames.append(_answer(worker))
                judge.sendall(frames[-1])

    def _replay(self, judge: socket.socket, worker: socket.socket, asked: list[str]) -> None:
        with judge, worker, suppress(OSError, EOFError):
            while True:
                if FORGET in _question(judge):
                    answers = iter(self.tape.get(asked.pop(0), ()))
                judge.sendall(next(answers, _frame(NO_ANSWER)))


def by_heart(kata: Kata, specs: dict[str, SpecInfo], sealed: Sealed) -> list[str]:
    """The exercises whose answers could be learnt by heart, each a sentence, and probes that ask nothing else."""
    probed = {lists.probe_name(name): name for name in lists.probed(kata)}
    exercises = probed | {name: spec.exercise for name, spec in specs.items() if name in sealed}
    tape: Tape = {}
    _run(kata, specs, sealed, SEED, tape)
    taken = _run(kata, specs, sealed, OTHER, tape)
    drawn = {exercises[name] for name in exercises.keys() - taken}
    declared = kata.description.by_heart
    problems = [f"{name} has the same answers for another seed" for name in probed if name in taken]
    return problems + [
        f"{name}: its sealed specs take what was answered under another seed (draw inputs, or say why in by_heart)"
        for name in dict.fromkeys(exercises.values())
        if name not in drawn | declared.keys()
    ]


def _run(kata: Kata, specs: dict[str, SpecInfo], sealed: Sealed, seed: int, tape: Tape) -> set[str]:
    """The specs and probes that pass. An empty tape is recorded, another one replayed."""
    forkserver.prepare([kata])
    with tempfile.TemporaryDirectory() as scratch, orphans.ended():
        lock = Taped(kata, Path(scratch), specs, sealed, seed, tape)
        while not lock.finished:
            scheduler.wait([lock], ())
    return lock.passed


def _question(judge: socket.socket) -> bytes:
    """A message of the judge: two frames."""
    parts = []
    for _ in range(2):
        data = wire.read(judge.fileno())
        parts.append(struct.pack("!I", len(data)) + data)
    return b"".join(parts)


def _answer(worker: socket.socket) -> bytes:
    """A message of the worker: a frame of JSON, and the blobs that it tells the lengths of."""
    data = wire.read(worker.fileno())
    blobs = [wire.exactly(worker.fileno(), length) for length in json.loads(data)[1]]
    return b"".join([struct.pack("!I", len(data)), data, *blobs])


def _frame(tree: object) -> bytes:
    data = json.dumps([tree, []]).encode()
    return struct.pack("!I", len(data)) + data
