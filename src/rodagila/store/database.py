"""The home's database: SQLite in WAL mode through SQLAlchemy, brought to the newest schema when it is opened.

A commit is on disk when it returns (``synchronous=FULL``). A database that a newer program wrote is refused rather than
guessed at; one that cannot be read is refused with what to do.

>>> database = Database.open(Path("home/roda.sqlite"))  # doctest: +SKIP
>>> with database.begin() as connection:  # doctest: +SKIP
...     connection.execute(schema.dao.select()).all()
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError

from rodagila.core.errors import Corrupted, RodaError, Unreachable

MIGRATIONS = Path(__file__).parent / "migrations"
ROOM_BYTES = 2**20
"""With less free than this an I/O error is taken for a full disk."""


class Database:
    """A connection pool on one home's database file; use ``begin`` for every write, and for reads that lead to one."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self.path = path
        # SQLite lets a second writer sleep and look again, ever longer; threads of one process wait in line instead.
        self._writing = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open or create the database at ``path`` and migrate it; raises ``Corrupted`` or ``Unreachable``."""
        engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 60})
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin_immediate)
        database = cls(engine, path)
        try:
            with database.begin() as connection:
                _migrate(connection, path)
        except BaseException:
            engine.dispose()
            raise
        return database

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Run one transaction: committed durably at the end, rolled back on any error."""
        try:
            with self._writing, self._engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            raise explained(error, self.path) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Read one state of the database without waiting for a writer's disk; writes are for ``begin``."""
        try:
            with self._engine.connect().execution_options(reading=True) as connection:
                yield connection
        except DatabaseError as error:
            raise explained(error, self.path) from error

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event below opens transactions, not the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # A reader that later writes would fail with SQLITE_BUSY when another process wrote between: lock at the start.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _migrate(connection: Connection, path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Corrupted(
            "database_newer",
            f"The database {path} has schema {current!r}, which this version does not know.",
            hint="Upgrade rodagila, or open a copy made by this version.",
        ) from error


def explained(error: DatabaseError, path: Path) -> RodaError | DatabaseError:
    """Return what SQLite said of the file at ``path`` as the project's error, or the error itself if it is a defect."""
    text = str(error.orig)
    # Without room for its shared memory SQLite speaks of an I/O error: sqlite.org/rescode.html, SQLITE_IOERR_SHMSIZE.
    if "full" in text or ("disk I/O" in text and _no_room(path)):
        return Unreachable(
            "disk_full", f"The disk that holds {path} has no room left; nothing was written.", hint="Free some room."
        )
    if "disk I/O" in text or "unable to open" in text or "readonly" in text or "locked" in text:
        return Unreachable(
            "unreachable", f"The database {path} cannot be used now: {text}.", hint="Check its disk and permissions."
        )
    if "malformed" in text or "not a database" in text:
        return Corrupted(
            "database_corrupted",
            f"The database {path} cannot be read: {text}.",
            hint="Restore the home from a backup; the ledger and the blobs are separate files and may be intact.",
        )
    return error


def _no_room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < ROOM_BYTES
    except OSError:
        return False
