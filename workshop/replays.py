"""Answers that nothing computed: those of right code to the sealed specs, given under
another seed, or hollow.
"""

import json
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from grader.course.catalogue import Kata
from grader.execution import scheduler
from grader.isolation import linux, namespaces
from grader.lock import bare_server, lists, wire
from grader.lock.asking import Asking, Round
from grader.lock.lists import Sealed
from grader.lock.second_lock import Effort, First, SecondLock, once
from grader.protocol import SpecFinished, SpecInfo
from grader.results import SpecResult
from grader.specs import check
from grader.workers import forkserver, orphans
from grader.workers.servers import Process
from workshop import variants
from workshop.hollow import NAN, Tape, hollow
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


class Taped(SecondLock):
    """A second lock with a relay between judge and code, which records what the code
    answers or gives it again.

    Args:
        text: the kata's file: right code.
        seed: the judge's.
        tape: what is given; None records one.
    """

    def __init__(
        self,
        kata: Kata,
        text: str,
        scratch: Path,
        specs: Specs,
        sealed: Sealed,
        seed: int,
        tape: Tape | None,
    ):
        self.seed, self.tape, self.replays = seed, tape or {}, tape is not None
        # specs that failed because what they expected was not finite
        self.believing: set[str] = set()
        effort = Effort(attempts=1) if self.replays else once(kata)
        job = variants.job(kata, text, POINTS)
        super().__init__(
            job,
            scratch,
            First(variants.all_work(kata, specs), specs, job.files),
            sealed,
            effort,
        )

    def _drawn_seed(self) -> int:
        return self.seed

    def _users_of_failed(self) -> list[str]:
        return []  # the tape answers them as before, whatever code stands beside it

    def _take(self, one: Asking, message: SpecFinished) -> None:
        super()._take(one, message)
        if message.error == check.NotFinite.__name__:
            self.believing.add(message.name)

    def _start_code(self, round: Round, code: Path, shared: Path, pipe: int) -> Process:
        ours, theirs = socket.socketpair()
        with theirs:
            worker = bare_server.start_worker(
                self.job.kata, code, shared, theirs.fileno()
            )
        asked = ["", *(name for name in self.specs if name in round.specs)]
        ends = socket.socket(fileno=os.dup(pipe)), ours
        threading.Thread(target=self._relay, args=(*ends, asked), daemon=True).start()
        return worker

    def _relay(
        self, judge: socket.socket, worker: socket.socket, asked: list[str]
    ) -> None:
        """Pass on the folder in memory that both will share, if there is one, and then
        what they say.
        """
        linux.only()
        if namespaces.are_allowed():
            sign, given, _, _ = socket.recv_fds(worker, 1, 1)
            socket.send_fds(judge, [sign], given)
            for descriptor in given:
                os.close(descriptor)
        (self._replay if self.replays else self._record)(judge, worker, asked)

    def _record(
        self, judge: socket.socket, worker: socket.socket, asked: list[str]
    ) -> None:
        questions, answers = wire.Reader(judge.fileno()), wire.Reader(worker.fileno())
        with judge, worker, suppress(OSError, EOFError):
            while True:
                question = _question(questions)
                if FORGET in question:
                    frames = self.tape[asked.pop(0)] = []
                worker.sendall(question)
                frames.append(_answer(answers))
                judge.sendall(frames[-1])

    def _replay(
        self, judge: socket.socket, worker: socket.socket, asked: list[str]
    ) -> None:
        questions = wire.Reader(judge.fileno())
        with judge, worker, suppress(OSError, EOFError):
            while True:
                if FORGET in _question(questions):
                    answers = iter(self.tape.get(asked.pop(0), ()))
                judge.sendall(next(answers, _frame(NO_ANSWER)))


def recorded(
    kata: Kata, text: str, specs: Specs, sealed: Sealed
) -> tuple[Tape, dict[str, SpecResult]]:
    """What right code answers, and the specs and probes that fail on it."""
    lock = _run(kata, text, specs, sealed, SEED, None)
    return lock.tape, lock.failed


def believing(
    kata: Kata, text: str, specs: Specs, sealed: Sealed, tape: Tape
) -> set[str]:
    """The sealed specs whose expected value is made of what the code answers: of NaN it
    is NaN.
    """
    made, told = hollow(tape, NAN, floats_only=True)
    asked = frozenset(name for name in specs if name in sealed and name in told)
    return _run(kata, text, specs, replace(sealed, specs=asked), SEED, made).believing


def by_heart(
    kata: Kata, text: str, specs: Specs, sealed: Sealed, tape: Tape
) -> list[str]:
    """The exercises whose answers could be learnt by heart, each a sentence, and probes
    that ask nothing else.
    """
    exercises, taken = _taking(kata, text, specs, sealed, OTHER, tape)
    known = map(lists.probe_name, kata.description.by_heart)
    problems = [
        f"{name} has the same answers for another seed"
        for name in sorted(taken.difference(specs, known))
    ]
    return problems + [
        (
            f"{name}: its sealed specs take what was answered under another seed "
            "(draw inputs, or say why in by_heart)"
        )
        for name in exercises
        if name not in kata.description.by_heart
    ]


def trusting(
    kata: Kata, text: str, specs: Specs, sealed: Sealed, tape: Tape, fill: bytes
) -> list[str]:
    """The exercises that hollow answers earn, each a sentence."""
    made, told = hollow(tape, fill)
    exercises, taken = _taking(kata, text, specs, sealed, SEED, made)
    earned = {specs[name].exercise for name in taken & told & specs.keys()}
    earned.update(
        name for name in lists.probed(kata) if lists.probe_name(name) in taken & told
    )
    return [
        f"{name}: its sealed specs take answers that say nothing (write a probe)"
        for name in exercises
        if name in earned
    ]


def _taking(
    kata: Kata, text: str, specs: Specs, sealed: Sealed, seed: int, tape: Tape
) -> tuple[list[str], set[str]]:
    """The exercises of which no sealed spec or probe on this tape refuses it, and those
    that take it.

    Every probe is asked, but of the specs of an exercise only so many as it takes to
    find one that refuses the tape.
    """
    own = {name: [lists.probe_name(name)] for name in lists.probed(kata)}
    for name in filter(sealed.__contains__, specs):
        own.setdefault(specs[name].exercise, []).append(name)
    own = {
        name: on_tape
        for name, asked in own.items()
        if (on_tape := [one for one in asked if one in tape])
    }
    first = frozenset(asked[0] for asked in own.values())
    taken = _taken(kata, text, specs, replace(sealed, specs=first), seed, tape)
    learnt = [name for name, asked in own.items() if asked[0] in taken]
    rest = frozenset(one for name in learnt for one in own[name][1:])
    if rest:
        asked = {name: spec for name, spec in specs.items() if spec.exercise in learnt}
        taken |= _taken(kata, text, asked, replace(sealed, specs=rest), seed, tape)
    return [name for name in learnt if taken.issuperset(own[name])], taken


def _taken(
    kata: Kata, text: str, specs: Specs, sealed: Sealed, seed: int, tape: Tape
) -> set[str]:
    lock = _run(kata, text, specs, sealed, seed, tape)
    return lock.passed | lock.believing


def _run(
    kata: Kata, text: str, specs: Specs, sealed: Sealed, seed: int, tape: Tape | None
) -> Taped:
    """A second lock that has come to its end. Its tape is recorded, or given."""
    forkserver.prepare([kata])
    with tempfile.TemporaryDirectory() as scratch, orphans.ended():
        lock = Taped(kata, text, Path(scratch), specs, sealed, seed, tape)
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
    """A message of the worker: a frame of JSON, and the blobs that it tells the
    lengths of.
    """
    data = worker.frame()
    blobs = [worker.exactly(length) for length in json.loads(data)[1]]
    return b"".join([struct.pack("!I", len(data)), data, *blobs])


def _frame(tree: object) -> bytes:
    data = json.dumps([tree, []]).encode()
    return struct.pack("!I", len(data)) + data
