"""How many processes run the project's own tests, and in which order pytest-xdist hands
the tests out.
"""

import os
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling

from grader.execution.scheduler import available_cores
from tests.cost import PROMISES

LIMITS = Path("/sys/fs/cgroup")  # of a container
BYTES = 2 << 30  # of one process with its servers and their workers: 1.4 GB were seen


def processes() -> int:
    """One for each core to use, fewer where memory is short, but two. One more takes 5
    to 10 % more computing.
    """
    cores, memory = (
        available_cores(),
        os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )
    if allowed := _limit("cpu.max"):  # microseconds of CPU in a period of so many
        cores = min(cores, max(1, allowed[0] // allowed[1]))
    if allowed := _limit("memory.max"):
        memory = min(memory, *allowed)
    return max(2, min(cores, memory // BYTES))


def _limit(name: str) -> list[int]:
    """The numbers of a container's limit; empty where there is none."""
    try:
        words = (LIMITS / name).read_text().split()
    except OSError:
        return []
    return [] if "max" in words else [int(word) for word in words]


class ByFile(LoadScopeScheduling):
    """Keeps a file's tests in one process, for the fixtures they share. A kata's
    promises go to whichever is free.

    Files often wait, promises compute. So files run in half of the processes while
    promises are left.
    """

    def __init__(self, config: Any, log: Any):
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the order is that of collection

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if PROMISES in nodeid else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: Any) -> None:
        others = [
            work for other, work in self.assigned_work.items() if other is not node
        ]
        files = sum(
            any(
                not all(done.values())
                for scope, done in work.items()
                if _is_file(scope)
            )
            for work in others
        )
        wants_a_file = files < max(1, self.numnodes // 2)
        wanted = (scope for scope in self.workqueue if _is_file(scope) == wants_a_file)
        self.workqueue.move_to_end(next(wanted, next(iter(self.workqueue))), last=False)
        super()._assign_work_unit(node)


def _is_file(scope: str) -> bool:
    return PROMISES not in scope
