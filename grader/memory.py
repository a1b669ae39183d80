"""What was found out about the files of a tree, so that it need not be found out again:
`.kata/known.sqlite`.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path


class Memory:
    """What is known of the tree at `root`. Several processes may use the file at once.

    Each entry is of a kind, about something, and true under a key: a hash of all that
    it was found out from. A memory only saves time. A damaged file is replaced by an
    empty one; in a folder that cannot be written to, nothing is kept.
    """

    def __init__(self, root: Path):
        self.path = root / ".kata" / "known.sqlite"
        self.connection: sqlite3.Connection | None = None
        with suppress(OSError, sqlite3.OperationalError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.connection = self._opened()
            except sqlite3.OperationalError:  # locked, read-only
                raise
            except sqlite3.DatabaseError:  # not a database, or a damaged one
                self.path.unlink()
                self.connection = self._opened()

    def find(self, kind: str, about: str, key: str) -> str | None:
        """What is known about this under this key; None if nothing is."""
        if self.connection is None:
            return None
        with suppress(sqlite3.Error):
            asked = "SELECT value FROM known WHERE kind = ? AND about = ? AND key = ?"
            row = self.connection.execute(asked, (kind, about, key)).fetchone()
            return row[0] if row else None
        return None

    def keep(self, kind: str, about: str, key: str, value: str = "") -> None:
        """Remember this, in place of what was known about it under another key."""
        if self.connection is not None:
            with suppress(sqlite3.Error), self.connection:
                self.connection.execute(
                    "INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)",
                    (kind, about, key, value),
                )

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=30)
        # a power cut may lose the file, which costs only time
        connection.execute("PRAGMA synchronous = OFF")
        columns = (
            "kind TEXT, about TEXT, key TEXT, value TEXT, PRIMARY KEY (kind, about)"
        )
        connection.execute(f"CREATE TABLE IF NOT EXISTS known ({columns})")
        # or damage would show at a later question
        connection.execute("SELECT count(*) FROM known").fetchone()
        return connection
