"""A process that closes a turn and kills itself (SIGKILL) at the n-th durable effect; run by the tests.

Usage: ``python killing.py HOME N``, or ``python killing.py HOME N tasks`` for the life of a batch of tasks. Effects are
counted before and after everything that reaches the disk or the ledger: transactions, database commits, blobs. With
N = 0 it runs undisturbed and prints the number of effects.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rodagila.app.daos import Dao, dao_named
from rodagila.app.home import Home
from rodagila.app.tasks import close_batch, list_batches, pay_batch
from rodagila.app.turn import close
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.core.errors import Conflict, RefusedByPolicy
from rodagila.store.blobs import BlobStore
from rodagila.store.database import Database

effects = 0


def effect(last: int) -> None:
    """Count one effect and die at the chosen one."""
    global effects  # noqa: PLW0603
    effects += 1
    if effects == last:
        os.kill(os.getpid(), signal.SIGKILL)


def counted(function: Callable[..., Any], last: int) -> Callable[..., Any]:
    """Return ``function`` with an effect before and after it."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        effect(last)
        result = function(*args, **kwargs)
        effect(last)
        return result

    return wrapper


def pay_tasks(dao: Dao) -> None:
    """Make a batch of tasks, let two accounts answer it, close and pay it: whatever of that is not done yet."""
    from labellers import honest, launch_batch, work_again

    with suppress(Conflict):
        launch_batch(dao, tasks=2, golds=20, overlap=2)
    if list_batches(dao)[0]["state"] == "open":
        for name in ("ada", "bob"):
            work_again(dao, 1, name, honest)
    close_batch(dao, 1)
    pay_batch(dao, 1)


def main() -> None:
    """Close the turn of the only DAO, or see a batch of tasks through."""
    path, last = Path(sys.argv[1]), int(sys.argv[2])
    begin = Database.begin

    @contextmanager
    def counted_begin(self: Database) -> Iterator[Any]:
        with begin(self) as connection:
            yield connection
        effect(last)

    EmbeddedLedger.send_many = counted(EmbeddedLedger.send_many, last)  # type: ignore[method-assign]
    EmbeddedLedger.send = counted(EmbeddedLedger.send, last)  # type: ignore[method-assign]
    BlobStore.put = counted(BlobStore.put, last)  # type: ignore[method-assign]
    Database.begin = counted_begin  # type: ignore[method-assign]
    # Killed after the very last effect, nothing is left to close, which is refused.
    with Home.open(path, clock=lambda: 1_750_000_000) as home, suppress(RefusedByPolicy):
        (pay_tasks if sys.argv[3:] == ["tasks"] else close)(dao_named(home, "docs"))
    print(effects)


main()
