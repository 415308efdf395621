"""One SQLite file, its tables, and transactions that nest.

WAL with `synchronous=NORMAL`: a killed process loses nothing that was committed; a power cut may lose the
last moments as a whole, never part of a transaction. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.resources import files
from pathlib import Path

from shared.errors import Permanent, Transient

_BUSY_SECONDS = 10
_VERSION = 3  # of the tables; counts up when what is there already would not fit


class Database:
    """A connection, used by one thread at a time."""

    def __init__(self, path: Path | None) -> None:
        """Open (and set up) the file, or a database in memory when there is no path."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.connection = sqlite3.connect(
            path or ":memory:",
            isolation_level=None,
            timeout=_BUSY_SECONDS,
            check_same_thread=False,
            cached_statements=512,
        )
        self._check_version()
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.executescript(files("local.sqlite").joinpath("schema.sql").read_text())
        self._depth = 0

    def _check_version(self) -> None:
        """Refuse a file that another version's tables are in; mark a new one as ours."""
        (tables,) = self.connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if tables and version != _VERSION:
            advice = "finish with the version that wrote it, or name another folder with --home"
            raise Permanent(f"the state in {self.path} is of another version of agentfabric; {advice}", code="version")
        if not tables:
            self.connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all that happens inside, or none of it; inside another transaction, as a part of that one."""
        begin, commit, undo = self._words()
        try:
            self.connection.execute(begin)
        except sqlite3.OperationalError as busy:
            raise Transient(f"the database is busy: {busy}") from busy
        self._depth += 1
        try:
            yield self.connection
        except BaseException:
            self._depth -= 1
            for statement in undo:
                self.connection.execute(statement)
            raise
        self._depth -= 1
        self.connection.execute(commit)

    def joined(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction where none is: for rows that, once written, are only taken back with everything else."""
        return nullcontext(self.connection) if self._depth else self.transaction()

    def _words(self) -> tuple[str, str, tuple[str, ...]]:
        if self._depth == 0:
            return "BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)
        name = f"nested_{self._depth}"
        return f"SAVEPOINT {name}", f"RELEASE {name}", (f"ROLLBACK TO {name}", f"RELEASE {name}")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()
