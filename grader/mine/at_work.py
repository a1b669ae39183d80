"""What a worker does with the learner's parts: tries one beside the course's, or trains and writes with all."""

import json
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from grader.course import kata_modules
from grader.course.catalogue import Kata
from grader.isolation import state
from grader.mine import model, trial
from grader.mine.budget import RUNS, steps
from grader.mine.course_parts import COURSE
from grader.protocol import Loaded, Traced, WorkOrder

LONGEST = 200  # characters of an error

Limited = Callable[[float], AbstractContextManager[None]]


class AtWork:
    """Carries out an order: {"try": kata} or {"run": [katas]}. The answer is sent as a trace.

    Args:
        limited: ends a block at the line that runs when so many seconds of computing are used.
    """

    def __init__(self, order: WorkOrder, limited: Limited):
        self.order, self.limited, self.asked = order, limited, json.loads(order.options.mine)
        self.katas = {name: Kata(order.kata.root, name) for name in self.asked.get("run", [self.asked.get("try")])}
        for kata in self.katas.values():
            _ = kata.description  # is read and kept now, because the sandbox hides it

    def __call__(self, items: object, reporter: Any) -> None:
        state.reset(0)
        answer = self._tried() if "try" in self.asked else self._run()
        reporter.send(Loaded())
        reporter.send(Traced("", json.dumps(answer)))

    def _tried(self) -> dict[str, Any]:
        [(name, kata)] = self.katas.items()
        try:
            with self.limited(self.order.options.spec_seconds):
                return trial.tried(name, kata_modules.load(kata, self.order.scratch))
        except BaseException as error:  # an end of time is no Exception
            return {"raised": _in_words(error)}

    def _run(self) -> dict[str, Any]:
        """Train with the parts that are wanted. One that ends a run is left out, and the run starts again."""
        left_out: dict[str, str] = {}
        for turn in range(RUNS):
            own = [name for name in self.katas if name not in left_out]
            made: dict[str, Any] = dict(COURSE)
            try:
                with self.limited(self.order.options.spec_seconds / RUNS):
                    state.reset(0)
                    for name in own:
                        made[name] = kata_modules.load(self.katas[name], self.order.scratch)
                    told = {"reader": model.read(made), "gpt": model.write(made, steps(own))}
                return told | {"left_out": left_out}
            except BaseException as error:
                to_blame = self._to_blame(error, own) if turn < RUNS - 2 else own
                left_out |= dict.fromkeys(to_blame, _in_words(error))
        raise AssertionError("the course's parts raise nothing")

    def _to_blame(self, error: BaseException, own: list[str]) -> list[str]:
        """The part in whose file the error arose, or where that was in no file of theirs, all."""
        cause = error.__cause__ or error
        frames = [frame.filename for frame in traceback.extract_tb(cause.__traceback__)]
        files = {str(self.order.scratch / self.katas[name].file): name for name in own}
        there = [files[frame] for frame in frames if frame in files]
        return there[-1:] or own


def _in_words(error: BaseException) -> str:
    return traceback.format_exception_only(error)[-1].strip().splitlines()[0][:LONGEST]
