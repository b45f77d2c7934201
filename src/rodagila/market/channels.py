"""Channels on disk: the newest voucher of each, what was charged, and what the ledger last said of it.

A row changes only together with the call that was served for it, in one transaction, and only if it is still what the
change was computed from. So a crash leaves the voucher either unused or used up, never in between; the newest voucher
is never lost; an old one never counts again, whichever process of the home receives it. Amounts fit 63 bits: a channel
with more behind it is used up to that.

>>> store = ChannelStore(database)  # doctest: +SKIP
>>> store.update_channel(id, lambda now: replace(now, charged=now.charged + 500))  # doctest: +SKIP
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from rodagila.market.hub import ChannelConfig, ClaimRow, HubState
from rodagila.store import schema
from rodagila.store.database import Database

MAX_AMOUNT = 2**63 - 1
_SELECT = select(schema.channel).where(schema.channel.c.id == bindparam("channel"))
_INSERT = upsert(schema.channel)
_UPSERT = _INSERT.on_conflict_do_update(
    ["id"], set_={column.name: _INSERT.excluded[column.name] for column in schema.channel.c if column.name != "id"}
)


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel: ``charged`` is the sum of its served calls, ``signed`` and ``signature`` its newest voucher.

    ``unclaimed_since`` is when the first call was served that is not claimed yet, ``used`` when the last one was;
    seconds, 0 for never.
    """

    id: bytes
    config: ChannelConfig
    charged: int = 0
    signed: int = 0
    signature: bytes = b""
    state: HubState = field(default_factory=HubState)
    unclaimed_since: int = 0
    used: int = 0

    @property
    def free(self) -> int:
        """Up to which sum vouchers are covered: what is announced to be withdrawn is not."""
        return min(self.state.balance - self.state.leaving, MAX_AMOUNT)

    @property
    def unclaimed(self) -> int:
        """What was served and not claimed yet."""
        return max(self.charged - self.state.claimed, 0)

    @property
    def row(self) -> ClaimRow:
        """The newest voucher, as it is claimed."""
        return ClaimRow(self.config, self.signed, self.signature, self.charged)

    def charge(self, amount: int, signed: int, signature: bytes, now: int) -> Channel:
        """Return the channel after a call of ``amount`` was served for a voucher over ``signed``."""
        since = self.unclaimed_since if self.unclaimed else now
        return replace(
            self, charged=self.charged + amount, signed=signed, signature=signature, unclaimed_since=since, used=now
        )

    def seen(self, state: HubState) -> Channel:
        """Return the channel with what the ledger says of it now."""
        capped = replace(state, balance=min(state.balance, MAX_AMOUNT), leaving=min(state.leaving, MAX_AMOUNT))
        fresh = replace(self, state=capped)
        return fresh if fresh.unclaimed else replace(fresh, unclaimed_since=0)


Change = Callable[[Channel | None], Channel | None]


class ChannelStore:
    """The table of channels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, channel_id: bytes) -> Channel | None:
        """Return a channel."""
        with self._database.reading() as connection:
            return self._get(connection, channel_id)

    def list(self) -> list[Channel]:
        """Return all channels by id."""
        with self._database.reading() as connection:
            rows = connection.execute(select(schema.channel).order_by(schema.channel.c.id)).all()
        return [_channel(row) for row in rows]

    def unclaimed(self) -> Sequence[Channel]:
        """Return the channels with calls that are not claimed yet, by id."""
        table = schema.channel
        query = select(table).where(table.c.charged > table.c.claimed).order_by(table.c.id)
        with self._database.reading() as connection:
            return [_channel(row) for row in connection.execute(query)]

    def used(self) -> bool:
        """Tell whether there ever was a channel."""
        with self._database.reading() as connection:
            return connection.execute(select(schema.channel.c.id).limit(1)).first() is not None

    def update_channel(
        self, channel_id: bytes, change: Change, beside: Callable[[Connection], None] = lambda _: None
    ) -> Channel | None:
        """Replace a channel by what ``change`` makes of it (None leaves it), alone among all writers of the home.

        ``beside`` writes other rows in the same transaction. Whatever either raises undoes both.
        """
        with self._database.begin() as connection:
            now = self._get(connection, channel_id)
            after = change(now)
            if after is not None and after != now:
                connection.execute(_UPSERT, {"id": channel_id.hex(), **_values(after)})
            beside(connection)
        return after if after is not None else now

    def cursor(self) -> int | None:
        """Return up to which block the hub's events were followed, None if never."""
        with self._database.reading() as connection:
            return connection.execute(select(schema.channel_cursor.c.block)).scalar_one_or_none()

    def move_cursor(self, block: int) -> None:
        """Note that the hub's events were followed up to ``block``."""
        table = schema.channel_cursor
        with self._database.begin() as connection:
            if connection.execute(update(table).values(block=block)).rowcount == 0:
                connection.execute(insert(table).values(id=1, block=block))

    def _get(self, connection: Connection, channel_id: bytes) -> Channel | None:
        row = connection.execute(_SELECT, {"channel": channel_id.hex()}).one_or_none()
        return None if row is None else _channel(row)


def _values(channel: Channel) -> dict[str, Any]:
    state = channel.state
    return {
        "payer": channel.config.payer,
        "receiver": channel.config.receiver,
        "config": json.dumps(channel.config.as_json()),
        "charged": channel.charged,
        "signed": channel.signed,
        "signature": channel.signature,
        "balance": state.balance,
        "claimed": state.claimed,
        "leaving": state.leaving,
        "leaving_since": state.leaving_since,
        "refund_nonce": state.refund_nonce,
        "unclaimed_since": channel.unclaimed_since,
        "used": channel.used,
    }


@lru_cache(maxsize=4096)
def _config(text: str) -> ChannelConfig:
    return ChannelConfig.from_json(json.loads(text))


def _channel(row: Row[Any]) -> Channel:
    return Channel(
        id=bytes.fromhex(row.id),
        config=_config(row.config),
        charged=row.charged,
        signed=row.signed,
        signature=row.signature,
        state=HubState(row.balance, row.claimed, row.leaving, row.leaving_since, row.refund_nonce),
        unclaimed_since=row.unclaimed_since,
        used=row.used,
    )
