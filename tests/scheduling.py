"""The order in which pytest-xdist hands out the project's own tests."""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

PROMISES = "test_katas.py"


class ByFile(LoadScopeScheduling):
    """Keeps a file's tests in one process, for the fixtures they share. A kata's promises go to whichever is free.

    Files often wait, promises compute. So while one process runs a file, promises go to the others.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if PROMISES in nodeid else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: Any) -> None:
        others = [work for other, work in self.assigned_work.items() if other is not node]
        runs_a_file = any(not all(done.values()) for work in others for scope, done in work.items() if _is_file(scope))
        wanted = (scope for scope in self.workqueue if _is_file(scope) != runs_a_file)
        self.workqueue.move_to_end(next(wanted, next(iter(self.workqueue))), last=False)
        super()._assign_work_unit(node)


def _is_file(scope: str) -> bool:
    return PROMISES not in scope
