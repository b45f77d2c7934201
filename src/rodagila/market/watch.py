"""Following the hub: what the gateway remembers of a channel is renewed when the ledger says that it changed.

A voucher is checked against the remembered balance, so a call asks the ledger nothing. That is safe because a balance
can only fall by a refund, which the gateway makes itself, or at the end of an announced exit, at least 900 seconds
after its event. The watch reads the events since the last time; it is asked to whenever the memory is older than
``FRESH_SECONDS``, and by the claimer between calls. It reads some blocks twice, because a chain may replace them.

>>> watch.renew()  # doctest: +SKIP
{b'...'}
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rodagila.market.channels import Channel, ChannelStore
from rodagila.market.hub import Hub

FRESH_SECONDS = 15
OVERLAP_BLOCKS = 12


class ChannelWatch:
    """Keeps the stored channels as the ledger has them."""

    def __init__(self, hub: Hub, store: ChannelStore, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hub, self._store, self._monotonic = hub, store, monotonic
        self._lock = threading.Lock()
        self._renewed: float | None = None

    def ensure_fresh(self) -> None:
        """Renew the memory if it is too old to rely on."""
        if self._renewed is None or self._monotonic() - self._renewed > FRESH_SECONDS:
            self.renew()

    def renew(self) -> set[bytes]:
        """Read the events since the last time and return the ids of the stored channels that changed."""
        with self._lock:
            began = self._monotonic()
            head, seen = self._hub.ledger.block_number(), self._store.cursor()
            first = 0 if seen is None else max(seen + 1 - OVERLAP_BLOCKS, 0)
            changed = {id for id in self._hub.changed(first, head) if self.refresh(id) is not None}
            if head != seen:
                self._store.move_cursor(head)
            self._renewed = began
            return changed

    def recheck(self) -> None:
        """Read every stored channel anew: a deposit that the chain dropped leaves no event to read."""
        for channel in self._store.list():
            self.refresh(channel.id)

    def refresh(self, channel_id: bytes) -> Channel | None:
        """Read one stored channel anew from the ledger and return it, None if it is not stored."""
        if self._store.get(channel_id) is None:
            return None
        state = self._hub.state(channel_id)
        return self._store.update_channel(channel_id, lambda now: now and now.seen(state))
