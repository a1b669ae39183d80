"""How fast this machine is, here and now: the CPU seconds of a fixed loop."""

import time

STEPS = 200_000


def loop() -> float:
    """Seconds: more on a slow core, and on one that another process uses, too."""
    began, counts = time.process_time(), dict.fromkeys(range(64), 0)
    for step in range(STEPS):
        counts[step & 63] += step
    return time.process_time() - began
