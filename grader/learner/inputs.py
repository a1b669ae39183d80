"""The inputs of `kata watch`: saved files, a resized window, and single keys."""

import os
import re
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from watchfiles import watch

try:
    import termios
    import tty
except ImportError:  # Windows
    termios = tty = None  # type: ignore[assignment]

# milliseconds without a change after which a burst of writes counts as one save
SETTLED = 5
# bytes that the socket carries
SAVE, RESIZE, INTERRUPT = b"s", b"w", bytes([signal.SIGINT])
QUIT_KEYS = ("q", "\x03", "\x04")  # q, Ctrl-C where it comes as a key, and Ctrl-D
BETWEEN_KEYS = 0.05  # seconds between two looks at the keyboard on Windows
REST = 0.05  # seconds within which the rest of a special key follows its beginning
# What a special key sends, or Alt with a letter: ECMA-48, 5.4, and xterm's and the
# Linux console's function keys.
SPECIAL = re.compile(
    r"\x1b+(?:\[(?:\[.|M.{3}|[0-?]*[ -/]*[@-~])|O[0-9;]*[@-~]|[^\x00-\x1f\[O])?",
    re.DOTALL,
)
BEGUN = re.compile(r"\x1b+(?:\[(?:\[|M.{0,2}|[0-?]*[ -/]*)|O[0-9;]*)?\Z", re.DOTALL)


Readable = int | socket.socket  # a file descriptor, or a socket


class Event(Enum):
    """An input other than a key."""

    SAVED = "a file in the followed folder has changed"
    RESIZED = "the window has another size"
    QUIT = "the learner quits, or the terminal is gone"


class Inputs:
    """All inputs in one place: a socket for saves and resizing, and one for keys.

    They are sockets because Windows can wait for nothing else.

    Args:
        keys: what keys are read from, standard input or a socket; None without
            a terminal.
    """

    def __init__(self, keys: Readable | None):
        self.wakes, self.wake = socket.socketpair()
        self.keys = keys
        self.stopped = threading.Event()

    @property
    def sources(self) -> list[Readable]:
        """The sources that an input makes readable."""
        return [self.wakes] if self.keys is None else [self.wakes, self.keys]

    def follow(self, *folders: Path) -> None:
        """Report saves in these folders, and no longer in those before."""
        self.stop_following()
        self.stopped = threading.Event()
        threading.Thread(
            target=self._report_saves, args=(folders, self.stopped), daemon=True
        ).start()

    def stop_following(self) -> None:
        """Stop reporting saves."""
        self.stopped.set()

    def resized(self) -> None:
        """Report that the window has another size."""
        self.wake.send(RESIZE)

    def read(self, *, wait: bool) -> Iterator[Event | str]:
        """Yield the pending events and keys. With `wait`, block until there is one."""
        for source in select.select(self.sources, [], [], None if wait else 0)[0]:
            came = _received(source)
            if source is self.wakes:
                told = (
                    (SAVE, Event.SAVED),
                    (RESIZE, Event.RESIZED),
                    (INTERRUPT, Event.QUIT),
                )
                yield from (event for byte, event in told if byte in came)
            elif not came:
                yield Event.QUIT
            else:
                for key in _letters(came.decode(errors="ignore"), source):
                    yield Event.QUIT if key in QUIT_KEYS else key

    def drop_interrupts(self) -> None:
        """Forget Ctrl-C that was meant for another program."""
        if select.select([self.wakes], [], [], 0)[0] and (
            others := self.wakes.recv(1024).replace(INTERRUPT, b"")
        ):
            self.wake.send(others)

    def _report_saves(self, folders: Iterable[Path], stopped: threading.Event) -> None:
        """Run in a thread: send a byte after each change in the folders."""
        changes = watch(
            *folders,
            step=SETTLED,
            stop_event=stopped,
            rust_timeout=500,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        for change in changes:
            if change and not stopped.is_set():
                self.wake.send(SAVE)


def _received(source: Readable) -> bytes:
    return (
        source.recv(1024)
        if isinstance(source, socket.socket)
        else os.read(source, 1024)
    )


def _letters(text: str, source: Readable) -> str:
    """The text without special keys, whose last letter may be one that means
    something here.
    """
    while (
        BEGUN.search(text)
        and select.select([source], [], [], REST)[0]
        and (more := _received(source))
    ):
        text += more.decode(errors="ignore")
    return SPECIAL.sub("", BEGUN.sub("", text))


@contextmanager
def opened_inputs() -> Iterator[Inputs]:
    """Open the inputs for the length of the block. Afterwards the terminal is
    as before.
    """
    with _single_keys() as keys:
        inputs = Inputs(keys)
        with _resizing_reported_to(inputs), _interrupts_reported_to(inputs):
            try:
                yield inputs
            finally:
                inputs.stop_following()


@contextmanager
def _single_keys() -> Iterator[Readable | None]:
    """Make the terminal pass on each key at once, without Enter and echo. None if there
    is no terminal.
    """
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        yield None
        return
    if sys.platform == "win32":
        with _keys_of_windows() as keys:
            yield keys
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _keys_of_windows() -> Iterator[socket.socket]:
    """Send each key through a socket. The console of Windows can only be asked whether
    there is one.
    """
    if sys.platform != "win32":
        raise NotImplementedError
    import msvcrt  # here, because no other system has it

    ours, theirs = socket.socketpair()
    ended = threading.Event()

    def send_keys() -> None:
        while not ended.wait(BETWEEN_KEYS):
            while msvcrt.kbhit():
                key = msvcrt.getwch()
                if key in "\x00\xe0" and msvcrt.kbhit():
                    msvcrt.getwch()  # which special key it was
                else:
                    theirs.send(key.encode())

    threading.Thread(target=send_keys, daemon=True).start()
    try:
        yield ours
    finally:
        ended.set()


@contextmanager
def _resizing_reported_to(inputs: Inputs) -> Iterator[None]:
    """Report whenever the window is resized, on systems that have this signal."""
    if not hasattr(signal, "SIGWINCH"):
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: inputs.resized())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextmanager
def _interrupts_reported_to(inputs: Inputs) -> Iterator[None]:
    """Report Ctrl-C as an input, too: where it comes while an object is being
    destroyed, Python drops the exception.
    """
    inputs.wake.setblocking(False)
    before = signal.set_wakeup_fd(inputs.wake.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
