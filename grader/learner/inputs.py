"""The inputs of `kata watch`: saved files, a resized window, and single keys."""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from watchfiles import watch

try:
    import termios
    import tty
except ImportError:  # Windows: no keys
    termios = None  # type: ignore[assignment]

SETTLED = 5  # milliseconds without a change after which a burst of writes counts as one save
SAVE, RESIZE = b"s", b"w"  # bytes that the pipe carries
QUIT_KEYS = ("q", "\x04")  # q and Ctrl-D


class Event(Enum):
    """An input other than a key."""

    SAVED = "a file in the followed folder has changed"
    RESIZED = "the window has another size"
    QUIT = "the learner quits, or the terminal is gone"


class Inputs:
    """All inputs in one place: a pipe for saves and resizing, and the terminal for keys.

    Args:
        pipe: the ends to read from and to write to.
        keys: the file descriptor to read keys from; None without a terminal.
    """

    def __init__(self, pipe: tuple[int, int], keys: int | None):
        self.wakes, self.wake = pipe
        self.keys = keys
        self.stopped = threading.Event()

    @property
    def descriptors(self) -> list[int]:
        """The file descriptors that can be read as soon as there is an input."""
        return [self.wakes] if self.keys is None else [self.wakes, self.keys]

    def follow(self, folder: Path) -> None:
        """Report saves in this folder, and no longer in the one before."""
        self.stop_following()
        self.stopped = threading.Event()
        threading.Thread(target=self._report_saves, args=(folder, self.stopped), daemon=True).start()

    def stop_following(self) -> None:
        """Stop reporting saves."""
        self.stopped.set()

    def read(self, *, wait: bool) -> Iterator[Event | str]:
        """Yield the pending events and keys. With `wait`, block until there is one."""
        for descriptor in select.select(self.descriptors, [], [], None if wait else 0)[0]:
            came = os.read(descriptor, 1024)
            if descriptor == self.wakes:
                yield from (event for byte, event in ((SAVE, Event.SAVED), (RESIZE, Event.RESIZED)) if byte in came)
            elif not came:
                yield Event.QUIT
            else:
                for key in came.decode(errors="ignore"):
                    yield Event.QUIT if key in QUIT_KEYS else key

    def _report_saves(self, folder: Path, stopped: threading.Event) -> None:
        """Run in a thread: write to the pipe after each change in the folder."""
        changes = watch(
            folder, step=SETTLED, stop_event=stopped, rust_timeout=500, yield_on_timeout=True, raise_interrupt=False
        )
        for change in changes:
            if change and not stopped.is_set():
                os.write(self.wake, SAVE)


@contextmanager
def opened_inputs() -> Iterator[Inputs]:
    """Open the inputs for the length of the block. Afterwards the terminal is as before."""
    pipe = os.pipe()
    with _single_keys() as keys, _resizing_reported_to(pipe[1]):
        inputs = Inputs(pipe, keys)
        try:
            yield inputs
        finally:
            inputs.stop_following()


@contextmanager
def _single_keys() -> Iterator[int | None]:
    """Make the terminal pass on each key at once, without Enter and echo. None if there is no terminal."""
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
def _resizing_reported_to(wake: int) -> Iterator[None]:
    """Write to the pipe whenever the window is resized, on systems that have this signal."""
    if not hasattr(signal, "SIGWINCH"):
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: os.write(wake, RESIZE))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
