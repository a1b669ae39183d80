"""`kata watch`: on every save the verdict on the exercise at hand, and keys for what a learner wants next."""

import os
import select
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text
from watchfiles import watch

from grader import catalogue, hints, layout, learner, reading, runner
from grader.catalogue import Exercise, Kata
from grader.reports import table
from grader.results import KataResult, Report, SpecResult, title
from grader.runner import Grading, Job
from grader.verdicts import Verdicts

try:
    import termios
    import tty
except ImportError:  # Windows: no keys
    termios = None

KEYS = (("h", "hint"), ("l", "lesson"), ("a", "all specs"), ("n", "next"), ("p", "previous"), ("r", "run again"), ("q", "quit"))
SETTLED = 5  # milliseconds without a change after which a burst of writes counts as one save
CHANGED = b"s"  # written to the pipe when a file of the kata has changed; RESIZED when the window has
RESIZED = b"w"


@dataclass
class Watching:
    """What is being watched, and what is known of it."""

    kata: Kata
    text: str | None = None  # the file as it was judged last; None before the first time
    result: KataResult | None = None
    partial: bool = False  # of some exercises the result is that of an earlier text


class Session:
    """One `kata watch` from start to quit.

    Args:
        katas: the path to go along.
        first: the kata to begin with.
        wakes: the end of a pipe to read, which carries CHANGED and RESIZED.
        keys: the descriptor that key presses come from; None if there are none.
        follow: told which folder to watch.
    """

    def __init__(
        self, katas: list[Kata], first: Kata, console: Console, wakes: int, keys: int | None, follow: Callable[[Path], None]
    ):  # fmt: skip
        self.katas, self.console, self.wakes, self.keys, self.follow = katas, console, wakes, keys, follow
        self.kept = Verdicts(first.root)
        self._go_to(first)

    def run(self) -> None:
        """Judge, show, wait for a save or a key, until `q`."""
        while True:
            judged = self.state.text is not None
            if not judged and (judged := self._judge()):
                self._show()
            if judged and self.state.partial:
                self._look_at_the_rest()
            if self._events(wait=judged and not self.state.partial):
                return

    def _go_to(self, kata: Kata) -> None:
        self.state = Watching(kata)
        self.follow(kata.folder)

    def _events(self, *, wait: bool = False) -> bool:
        """Act on what has come, or is coming; True for quit."""
        inputs = [self.wakes] if self.keys is None else [self.wakes, self.keys]
        for descriptor in select.select(inputs, [], [], None if wait else 0)[0]:
            came = os.read(descriptor, 1024)
            if descriptor == self.wakes:
                if CHANGED in came and self._read() != self.state.text:
                    self.state.text = None
                elif RESIZED in came and self.state.result:
                    self._show()
            elif not came:  # the terminal is gone
                return True
            else:
                for key in came.decode(errors="ignore"):
                    if key in ("q", "\x04"):
                        return True
                    self._key(key)
        return False

    def _key(self, key: str) -> None:
        place = self.katas.index(self.state.kata)
        if key == "h":
            self._say(learner.next_hint(self.state.kata, self._at_hand().name, None))
        elif key == "l":
            page = (self.state.kata.folder / "README.md").read_text(encoding="utf-8")
            self.console.print(Markdown(reading.for_terminal(page)))
            self._keys()
        elif key == "a":
            if self._judge(everything=True):
                self._show(everything=True)
        elif key == "n" and place + 1 < len(self.katas):
            self._go_to(self.katas[place + 1])
        elif key == "p" and place > 0:
            self._go_to(self.katas[place - 1])
        elif key == "r":
            self.state.text = None
        elif key in "np":
            self._say(f"this is the {'last' if key == 'n' else 'first'} kata of the path")

    def _read(self) -> str:
        """The file's text, or why there is none: a change of either is a change."""
        text, trouble = runner.read(self.state.kata, self.state.kata.root / "katas")
        return text or trouble

    def _judge(self, *, everything: bool = False) -> bool:
        """Run the specs: all of them the first time and when asked, else those of the exercise at hand first and only up to the
        first failure. False if a save or a key came before the verdict."""
        self.state.text = self._read()
        everything = everything or self.state.result is None
        if self.console.is_terminal:
            self.console.print("[dim]running the specs …[/]")
        result = self._result(everything)
        if result is None:
            self.state.text = None
            return False
        self.state.partial = not everything and any(spec.status == "missing" for exercise in result.exercises for spec in exercise.specs)
        self.state.result = result if everything else _merged(self.state.result, result)
        return True

    def _look_at_the_rest(self) -> None:
        """Run what stands behind the first failure, too, as long as nothing comes; says what the last save has broken."""
        result = self._result(everything=True)
        if result is None:
            return
        self.state.partial = False
        if len({exercise.first_failure and exercise.first_failure.message for exercise in result.exercises}) == 1:
            return  # all say the same: the file cannot be imported, which has been said, and of the exercises nothing is known
        were = {exercise.name for exercise in self.state.result.exercises if exercise.solved}
        self.state.result = result
        if broken := [exercise.name for exercise in result.exercises if exercise.name in were and not exercise.solved]:
            self._say(f"Not right any more: {', '.join(broken)}. Press a for what fails.")

    def _result(self, everything: bool) -> KataResult | None:
        """What the specs say, by exercise in the kata's order; None if a save or a key came before."""
        grading = self._grading()
        until = [self.wakes] if self.keys is None else [self.wakes, self.keys]
        for job, result in runner.run(self._jobs(grading, everything), specs_of=[self.state.kata], until=until):
            if job.kata == self.state.kata:
                place = {exercise.name: i for i, exercise in enumerate(catalogue.exercises(job.kata))}
                return replace(result, exercises=tuple(sorted(result.exercises, key=lambda exercise: place.get(exercise.name, 0))))
            self.kept.keep(job, result)
            grading.settle(job.kata, result)
        return None

    def _grading(self) -> Grading:
        kata, code = self.state.kata, self.state.kata.root / "katas"
        return Grading([kata], {k: runner.read(k, code) for k in runner.with_prerequisites([kata])})

    def _jobs(self, grading: Grading, everything: bool) -> Callable[[], Iterator[Job]]:
        at_hand = None if self._all_done() else self._at_hand()
        in_turn = sorted(catalogue.exercises(self.state.kata), key=lambda e: (e != at_hand, e.stretch))
        order = tuple(exercise.spec_class for exercise in in_turn)

        def ready() -> Iterator[Job]:
            for job in grading.ready(lambda job: self.kept.find(job) if job.kata != self.state.kata else None):
                yield replace(job, order=order, stop_at_failure=not everything) if job.kata == self.state.kata else job

        return ready

    def _all_done(self) -> bool:
        return bool(self.state.result) and all(exercise.solved for exercise in self.state.result.exercises)

    def _at_hand(self) -> Exercise:
        """The first exercise that is not done, core before stretch; the last one if all are."""
        exercises = sorted(catalogue.exercises(self.state.kata), key=lambda e: e.stretch)
        done = {e.name for e in self.state.result.exercises if e.solved} if self.state.result else set()
        return next((e for e in exercises if e.name not in done), exercises[-1])

    def _show(self, everything: bool = False) -> None:
        result, kata = self.state.result, self.state.kata
        if self.console.is_terminal:
            self.console.clear()
        self.console.print(f"[bold]{kata.number} {hints.title(kata)}[/]  [dim]katas/{kata.file}[/]", soft_wrap=not self.console.is_terminal)
        self._progress()
        if everything:
            table.show(Report("katas", "", result.seconds, True, (result,)), self.console)
        elif failure := _first_failure(result, self._at_hand().name):
            exercise, spec = failure
            self._failure(exercise, spec)
        elif self._all_done():
            self._say("Every exercise of this kata is done." + self._onward())
        if result.core_done and not self._all_done():
            left = [e.name for e in result.exercises if not e.solved]
            self._say(f"The core of this kata is done. Stretch, if you like: {', '.join(left)}.{self._onward()}")
        self._keys()

    def _progress(self) -> None:
        """A sign for each exercise, and how many are done."""
        exercises = self.state.result.exercises
        signs = [f"{'●' if e.solved else '○'} {e.name}" for e in exercises]
        self._line([f"{sum(e.solved for e in exercises)}/{len(exercises)}", *signs], r"^\d+/\d+", "dim")

    def _failure(self, exercise: str, spec: SpecResult) -> None:
        if spec.message.endswith("not written yet") or "\n" not in spec.message.strip():
            self._say(spec.message.strip())
            return
        self.console.print(f"\nFAILED  {exercise} · {title(spec.name)}", style="red", markup=False, highlight=False)
        self.console.print(Text(layout.wrapped(spec.message, self.console.width if self.console.is_terminal else 10**6)), soft_wrap=True)

    def _onward(self) -> str:
        following = self.katas[self.katas.index(self.state.kata) + 1 :][:1]
        return f" n goes on to {following[0].number} {hints.title(following[0])}." if following else " It was the last of the path."

    def _line(self, items: list[str], special: str, style: str) -> None:
        """The items side by side, on as many lines as the terminal needs, none of them broken in two; what is special in a style."""
        unbroken = "\N{NO-BREAK SPACE}"
        line = "  ".join(item.replace(" ", unbroken) for item in items)
        if self.console.is_terminal:
            line = textwrap.fill(line, self.console.width, break_long_words=False)
        text = Text(line.replace(unbroken, " "))
        text.highlight_regex(special, style)
        self.console.print(text, soft_wrap=True)

    def _say(self, text: str) -> None:
        self.console.print(f"\n{text}", markup=False, highlight=False, soft_wrap=not self.console.is_terminal)

    def _keys(self) -> None:
        if self.keys is not None:
            self.console.print()
            self._line([f"{key} {what}" for key, what in KEYS], r"(?<!\S)\w(?= )", "bold")


def _merged(before: KataResult, now: KataResult) -> KataResult:
    """The result now, where exercises that were not run, or not to their end, keep what was known of them."""
    known = {exercise.name: exercise for exercise in before.exercises}
    ran = [all(s.status != "missing" for s in e.specs) or any(s.status in ("failed", "error") for s in e.specs) for e in now.exercises]
    return replace(now, exercises=tuple(e if did else known.get(e.name, e) for e, did in zip(now.exercises, ran, strict=True)))


def _first_failure(result: KataResult, at_hand: str) -> tuple[str, SpecResult] | None:
    """The exercise at hand's first failure, or else another's; specs that were not run are none."""
    in_turn = sorted(result.exercises, key=lambda exercise: exercise.name != at_hand)
    for exercise in in_turn:
        for spec in exercise.specs:
            if spec.status in ("failed", "error"):
                return exercise.name, spec
    return None


def start(katas: list[Kata], first: Kata) -> None:
    """Watch until `q`, Ctrl-D or Ctrl-C; the terminal is left as it was found."""
    wakes, wake = os.pipe()
    follower = Follower(wake)
    console = Console(highlight=False)
    with _single_keys() as keys, _told_of_resizing(wake):
        try:
            Session(katas, first, console, wakes, keys, follower.follow).run()
        except KeyboardInterrupt:
            pass
        finally:
            follower.stop()


class Follower:
    """A thread that writes to a pipe whenever something in the followed folder changes."""

    def __init__(self, wake: int):
        self.wake, self.stopped = wake, threading.Event()

    def follow(self, folder: Path) -> None:
        """Follow this folder, and no other any more."""
        self.stop()
        self.stopped = threading.Event()
        threading.Thread(target=self._run, args=(folder, self.stopped), daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()

    def _run(self, folder: Path, stopped: threading.Event) -> None:
        changes = watch(folder, step=SETTLED, stop_event=stopped, rust_timeout=500, yield_on_timeout=True, raise_interrupt=False)
        for change in changes:
            if change and not stopped.is_set():
                os.write(self.wake, CHANGED)


@contextmanager
def _single_keys() -> Iterator[int | None]:
    """The descriptor to read single keys from, without Enter and without an echo; None if standard input is no terminal."""
    if termios is None or not sys.stdin.isatty() or not sys.stdout.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _told_of_resizing(wake: int) -> Iterator[None]:
    if not hasattr(signal, "SIGWINCH"):
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: os.write(wake, RESIZED))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
