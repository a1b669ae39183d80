"""Interrupts the code that runs in the main thread: by the system's alarm, or by a
thread where there is none.
"""

import _thread
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

IS_THE_SYSTEMS = sys.platform != "win32"
if sys.platform != "win32":
    NUMBER = signal.SIGALRM
else:
    NUMBER = signal.SIGTERM  # which Windows never sends

_timer: threading.Timer | None = None


def handled_by(handler: Callable[[int, FrameType | None], None]) -> None:
    """Have this function called when the alarm rings, in the main thread and with the
    frame that runs there.
    """
    signal.signal(NUMBER, handler)


def ring(
    seconds: float, unheard: Callable[[], None] | None = None, patience: float = 0.0
) -> None:
    """Set the alarm, instead of the one set before.

    Args:
        unheard: where a thread rings, it calls this if the alarm is neither set again
            nor stopped within this patience: a call into C keeps the main thread.
    """
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return
    global _timer
    if _timer:
        _timer.cancel()
    _timer = threading.Timer(seconds, _interrupt, [unheard, patience])
    _timer.daemon = True
    _timer.start()


def stop() -> None:
    """Let the alarm ring no more."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, 0)
        return
    # what has rung may still be on its way to the main thread
    handled_by(lambda number, frame: None)
    if _timer:
        _timer.cancel()


def _interrupt(unheard: Callable[[], None] | None, patience: float) -> None:
    timer = _timer
    _thread.interrupt_main(NUMBER)
    if timer and unheard and not timer.finished.wait(patience):
        unheard()
