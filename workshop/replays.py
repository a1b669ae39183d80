"""Answers by heart: what right code answered to the sealed specs under one seed, given again under another."""

import json
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from grader.course.catalogue import Kata
from grader.execution import scheduler
from grader.isolation import linux, namespaces
from grader.lock import bare_server, lists, wire
from grader.lock.asking import Round
from grader.lock.lists import Sealed
from grader.lock.second_lock import Effort, First, SecondLock, once
from grader.protocol import SpecInfo
from grader.results import SpecResult
from grader.workers import forkserver, orphans
from grader.workers.servers import Process
from workshop import variants
from workshop.variants import POINTS

SEED, OTHER = 11, 12
FORGET = b"\x8c\x06forget"  # in a message to the worker: a spec begins
NO_ANSWER = {
    "error": [0, "RuntimeError", ["builtins.RuntimeError"], [], []],
    "arguments": [],
    "message": "it gave no such answer",
    "attributes": {},
}

Specs = Mapping[str, SpecInfo]
Tape = dict[str, list[bytes]]  # spec or probe → the frames that the worker sent; "" for those before the first


class Taped(SecondLock):
    """A second lock with a relay between judge and code, which records what the code answers or gives it again.

    Args:
        text: the kata's file: right code.
        tape: what is recorded, or with `replays` what is given.
    """

    def __init__(
        self, kata: Kata, text: str, scratch: Path, specs: Specs, sealed: Sealed, tape: Tape, *, replays: bool
    ):
        self.tape, self.replays = tape, replays
        effort = Effort(attempts=1) if replays else once(kata)
        job = variants.job(kata, text, POINTS)
        super().__init__(job, scratch, First(variants.all_work(kata, specs), specs, job.files), sealed, effort)

    def _drawn_seed(self) -> int:
        return OTHER if self.replays else SEED

    def _start_code(self, round: Round, code: Path, shared: Path, pipe: int) -> Process:
        ours, theirs = socket.socketpair()
        with theirs:
            worker = bare_server.start_worker(self.job.kata, code, shared, theirs.fileno())
        asked = ["", *(name for name in self.specs if name in round.specs)]
        ends = socket.socket(fileno=os.dup(pipe)), ours
        threading.Thread(target=self._relay, args=(*ends, asked), daemon=True).start()
        return worker

    def _relay(self, judge: socket.socket, worker: socket.socket, asked: list[str]) -> None:
        """Pass on the folder in memory that both will share, if there is one, and then what they say."""
        linux.only()
        if namespaces.are_allowed():
            sign, given, _, _ = socket.recv_fds(worker, 1, 1)
            socket.send_fds(judge, [sign], given)
            for descriptor in given:
                os.close(descriptor)
        (self._replay if self.replays else self._record)(judge, worker, asked)

    def _record(self, judge: socket.socket, worker: socket.socket, asked: list[str]) -> None:
        questions, answers = wire.Reader(judge.fileno()), wire.Reader(worker.fileno())
        with judge, worker, suppress(OSError, EOFError):
            while True:
                question = _question(questions)
                if FORGET in question:
                    frames = self.tape[asked.pop(0)] = []
                worker.sendall(question)
                frames.append(_answer(answers))
                judge.sendall(frames[-1])

    def _replay(self, judge: socket.socket, worker: socket.socket, asked: list[str]) -> None:
        questions = wire.Reader(judge.fileno())
        with judge, worker, suppress(OSError, EOFError):
            while True:
                if FORGET in _question(questions):
                    answers = iter(self.tape.get(asked.pop(0), ()))
                judge.sendall(next(answers, _frame(NO_ANSWER)))


def recorded(kata: Kata, text: str, specs: Specs, sealed: Sealed) -> tuple[Tape, dict[str, SpecResult]]:
    """What right code answers, and the specs and probes that fail on it."""
    tape: Tape = {}
    return tape, _run(kata, text, specs, sealed, tape, replays=False).failed


def by_heart(kata: Kata, text: str, specs: Specs, sealed: Sealed, tape: Tape) -> list[str]:
    """The exercises whose answers could be learnt by heart, each a sentence, and probes that ask nothing else.

    Every probe is asked, but of the specs of an exercise only so many as it takes to find one that refuses the tape.
    """
    probed = {lists.probe_name(name): name for name in lists.probed(kata)}
    own: dict[str, list[str]] = {name: [] for name in probed.values()}
    for name in filter(sealed.__contains__, specs):
        own.setdefault(specs[name].exercise, []).append(name)
    first = frozenset(names[0] for exercise, names in own.items() if exercise not in probed.values())
    taken = _run(kata, text, specs, Sealed(first, sealed.writing & first), tape, replays=True).passed
    learnt = {name for name in own if taken & {lists.probe_name(name), *own[name][:1]}}
    rest = frozenset(name for exercise in learnt for name in own[exercise]) - first
    if rest:
        asked = {name: spec for name, spec in specs.items() if spec.exercise in learnt}
        more = _run(kata, text, asked, Sealed(rest, sealed.writing & rest), tape, replays=True).passed
        learnt -= {specs[name].exercise for name in rest - more}
    problems = [f"{name} has the same answers for another seed" for name in probed if name in taken]
    return problems + [
        f"{name}: its sealed specs take what was answered under another seed (draw inputs, or say why in by_heart)"
        for name in own
        if name in learnt and name not in kata.description.by_heart
    ]


def _run(kata: Kata, text: str, specs: Specs, sealed: Sealed, tape: Tape, *, replays: bool) -> SecondLock:
    """A second lock that has come to its end. Its tape is recorded, or replayed."""
    forkserver.prepare([kata])
    with tempfile.TemporaryDirectory() as scratch, orphans.ended():
        lock = Taped(kata, text, Path(scratch), specs, sealed, tape, replays=replays)
        while not lock.finished:
            scheduler.wait([lock], ())
    return lock


def _question(judge: wire.Reader) -> bytes:
    """A message of the judge: two frames."""
    parts = []
    for _ in range(2):
        data = judge.frame()
        parts.append(struct.pack("!I", len(data)) + data)
    return b"".join(parts)


def _answer(worker: wire.Reader) -> bytes:
    """A message of the worker: a frame of JSON, and the blobs that it tells the lengths of."""
    data = worker.frame()
    blobs = [worker.exactly(length) for length in json.loads(data)[1]]
    return b"".join([struct.pack("!I", len(data)), data, *blobs])


def _frame(tree: object) -> bytes:
    data = json.dumps([tree, []]).encode()
    return struct.pack("!I", len(data)) + data
