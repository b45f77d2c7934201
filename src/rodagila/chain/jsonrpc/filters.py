"""Filters: what a client polls for, from one poll to the next.

A filter that nobody asked for five minutes is forgotten, as in go-ethereum, and there are at most 1,000. A poll covers
up to 10,000 blocks; what lies beyond comes with the next one.

>>> filters = Filters(clock=lambda: 0.0)
>>> filters.poll(filters.add(Watch("block", 4)), 6)[1:]
(4, 6)
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rodagila.chain.jsonrpc.values import LIMIT, SERVER, JsonRpcError

MAX_FILTERS = 1_000
EXPIRY_SECONDS = 300.0
MAX_POLL_BLOCKS = 10_000


@dataclass(slots=True)
class Watch:
    """One filter: ``kind`` is log, block or transaction, ``next`` the first block the next poll looks at."""

    kind: str
    next: int
    wanted: Any = None
    used: float = field(default=0.0)


class Filters:
    """The filters of one server; threads may share them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._watches: dict[int, Watch] = {}

    def add(self, watch: Watch) -> int:
        """Keep a filter and return its id, which cannot be guessed."""
        with self._lock:
            now = watch.used = self._clock()
            self._watches = {key: kept for key, kept in self._watches.items() if now - kept.used <= EXPIRY_SECONDS}
            if len(self._watches) >= MAX_FILTERS:
                raise JsonRpcError(LIMIT, f"too many filters: {MAX_FILTERS} at most; uninstall some")
            key = secrets.randbits(128)
            self._watches[key] = watch
            return key

    def find(self, key: int) -> Watch:
        """Return a filter and count it as used; raise ``JsonRpcError``."""
        with self._lock:
            return self._used(key)

    def poll(self, key: int, latest: int) -> tuple[Watch, int, int]:
        """Return a filter with the first and last block of this poll (first > last: nothing new)."""
        with self._lock:
            watch = self._used(key)
            first, last = watch.next, min(latest, watch.next + MAX_POLL_BLOCKS - 1)
            watch.next = max(first, last + 1)
            return watch, first, last

    def remove(self, key: int) -> bool:
        """Forget a filter; False if there is none."""
        with self._lock:
            return self._watches.pop(key, None) is not None

    def _used(self, key: int) -> Watch:
        watch, now = self._watches.get(key), self._clock()
        if watch is None or now - watch.used > EXPIRY_SECONDS:
            self._watches.pop(key, None)
            raise JsonRpcError(SERVER, "filter not found")
        watch.used = now
        return watch
