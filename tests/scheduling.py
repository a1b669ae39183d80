"""The order in which pytest-xdist hands out the project's own tests."""

from xdist.scheduler import LoadScopeScheduling


class ByFile(LoadScopeScheduling):
    """Keeps a file's tests in one process, for the fixtures they share. A kata's promises go to whichever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if "test_katas.py" in nodeid else nodeid.partition("::")[0]
