"""What SQLite and the disk say, in the project's errors.

A full disk is ``disk_full``, a file that is busy, closed or cannot be opened is ``unreachable``, anything that a sound
ledger would not hold is ``ledger_corrupted``. Result codes: https://sqlite.org/rescode.html.

>>> with speaking_plainly(Path("ledger.db")):
...     sqlite3.connect(":memory:").execute("nonsense")
Traceback (most recent call last):
rodagila.core.errors.Corrupted: The ledger ledger.db is damaged: near "nonsense": syntax error. ...
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rodagila.core.errors import Corrupted, RodaError, Unreachable

BUSY_MS = 30_000
"""How long a writer waits for another process's block."""
ROOM_BYTES = 2**20
"""With less free than this an I/O error is taken for a full disk."""


def damaged(path: Path, what: str) -> Corrupted:
    """Return the error for a file whose content cannot be a ledger's."""
    return Corrupted(
        "ledger_corrupted",
        f"The ledger {path.name} is damaged: {what}.",
        hint="Restore it from a copy; nothing was changed.",
    )


@contextmanager
def speaking_plainly(path: Path) -> Iterator[None]:
    """Turn SQLite's and the disk's errors into the project's."""
    try:
        yield
    except RodaError:
        raise
    except sqlite3.ProgrammingError as exc:
        raise Unreachable("unreachable", f"The ledger {path.name} is closed.", hint="Open it again.") from exc
    except sqlite3.DatabaseError as exc:
        raise _explained(path, exc) from exc
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise _full(path) from exc
        raise Unreachable("unreachable", f"The ledger {path.name} cannot be used: {exc.strerror}.") from exc


def _explained(path: Path, exc: sqlite3.DatabaseError) -> RodaError:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    # Without room for its shared memory SQLite speaks of an I/O error (SQLITE_IOERR_SHMSIZE).
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_room(path)):
        return _full(path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unreachable(
            "unreachable",
            f"Another process has been writing the ledger {path.name} for {BUSY_MS // 1000} seconds.",
            hint="Try again.",
        )
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return Unreachable("unreachable", f"The ledger {path.name} cannot be used: {exc}.")
    return damaged(path, str(exc))


def _no_room(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < ROOM_BYTES
    except OSError:
        return False


def _full(path: Path) -> Unreachable:
    return Unreachable(
        "disk_full",
        f"The disk has no room for the next block of the ledger {path.name}; the block was not written.",
        hint="Make room and send the transaction again.",
    )
