"""A process that adds entries to a log, says each one that was acknowledged, and kills itself; run by the tests.

Usage: ``python killed_log.py FILE N``: it is killed by SIGKILL at its N-th write to the database.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from rodagila.vault.notes import NoteKey
from rodagila.vault.transparency import TransparencyLog

log = TransparencyLog(Path(sys.argv[1]), NoteKey("log.test", bytes(32)))
left = int(sys.argv[2])


def count(_: str) -> None:
    """Die at the chosen statement."""
    global left  # noqa: PLW0603
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


with log.reading() as connection:
    connection.set_trace_callback(count)
while True:
    (place,) = log.append([f"entry {log.size()}".encode()])
    print(place, log.head().encode().hex(), flush=True)
