"""A process that closes a turn and kills itself (SIGKILL) at the n-th durable effect; run by the tests.

Usage: ``python killing.py HOME N``. Effects are counted before and after everything that reaches the disk or the
ledger: transactions, database commits, blobs. With N = 0 it closes the turn undisturbed and prints the
number of effects.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rodagila.app.daos import dao_named
from rodagila.app.home import Home
from rodagila.app.turn import close
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.core.errors import RefusedByPolicy
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


def main() -> None:
    """Close the turn of the only DAO."""
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
        close(dao_named(home, "docs"))
    print(effects)


main()
