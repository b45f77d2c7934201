"""Paid calls on disk: one row for one payment, so that a payment is served at most once, across restarts too.

A row is *claimed* with its response before the money moves, and *served* once the money has moved and the receipt is
signed. A call that moves no money, because a voucher pays it, is kept served at once, together with its channel.
Whatever instant a crash takes, the row and the ledger together tell what is left to do (``market.paywall``). The
response's bytes are forgotten when no retry can ask for them any more.

>>> calls = Calls(database)  # doctest: +SKIP
>>> calls.by_receipt(receipt_id).payer  # doctest: +SKIP
'0x5AEDA56215b167893e80B4fE645BA6d5Bab767DE'
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from rodagila.core.errors import NotFound
from rodagila.market.receipts import SignedReceipt
from rodagila.store import schema
from rodagila.store.database import Database

_INSERT = insert(schema.call)
CLAIMED = "claimed"
SERVED = "served"
ORPHANED = "orphaned"
"""Served, but the chain dropped the payment and it cannot be settled again."""


@dataclass(frozen=True, slots=True)
class Call:
    """One paid call. ``digest`` is the signed payment's hash, ``created`` in seconds.

    ``response`` is None after the bytes were forgotten; ``places`` are the records that the response cites,
    ``pair`` what the arena showed;
    ``settlement`` is the value of ``PAYMENT-RESPONSE`` as it was sent; ``transaction`` is None for a voucher.
    """

    id: bytes
    dao: str
    turn: int
    payer: str
    route: str
    amount: int
    request_hash: bytes
    digest: bytes
    created: int
    state: str = CLAIMED
    response: bytes | None = None
    media_type: str = ""
    places: tuple[int, ...] = ()
    pair: tuple[str, ...] = ()
    transaction: bytes | None = None
    receipt: SignedReceipt | None = None
    settlement: str = ""
    identifier: str | None = None


class Calls:
    """The table of paid calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def database(self) -> Database:
        """Where the table is."""
        return self._database

    def get(self, payment: bytes) -> Call | None:
        """Return the call that this payment paid or is about to pay."""
        with self._database.reading() as connection:
            row = connection.execute(select(schema.call).where(schema.call.c.id == payment.hex())).one_or_none()
        return None if row is None else _call(row)

    def by_receipt(self, receipt_id: bytes) -> Call:
        """Return the served call of a receipt; raises ``NotFound``."""
        query = select(schema.call).where(schema.call.c.receipt_id == receipt_id.hex())
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("receipt_unknown", f"This gateway issued no receipt 0x{receipt_id.hex()}.")
        return _call(row)

    def named(self, payer: str, identifier: str) -> Call | None:
        """Return the call whose payment its payer gave this name."""
        table = schema.call
        query = select(table).where(table.c.payer == payer, table.c.identifier == identifier)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _call(row)

    def claim(self, call: Call) -> bool:
        """Keep an answered call before its money moves; False if its payment or its name is already here."""
        try:
            with self._database.begin() as connection:
                connection.execute(_INSERT, _answered(call))
        except IntegrityError:
            if not self._known(call):
                raise  # another rule of the table than the payment's uniqueness was broken
            return False
        return True

    def keep(self, connection: Connection, call: Call) -> None:
        """Keep a call that is answered and paid, in a transaction that does more."""
        connection.execute(_INSERT, _answered(call) | _paid(call))

    def serve(self, call: Call, connection: Connection | None = None) -> None:
        """Keep the settlement and the receipt of a claimed call: from here on the response may leave."""
        statement = update(schema.call).where(schema.call.c.id == call.id.hex()).values(_paid(call))
        if connection is not None:
            connection.execute(statement)
            return
        with self._database.begin() as own:
            own.execute(statement)

    def release(self, payment: bytes) -> None:
        """Forget a call that was claimed but not paid; a served call stays."""
        table = schema.call
        with self._database.begin() as connection:
            connection.execute(delete(table).where(table.c.id == payment.hex(), table.c.state == CLAIMED))

    def resettle(self, old: bytes, new: bytes) -> None:
        """Note that a payment stands in another transaction, after a reorganisation of the chain."""
        table = schema.call
        with self._database.begin() as connection:
            for row in connection.execute(select(table).where(table.c.transaction == old.hex())).all():
                names = json.loads(row.headers)
                names["settlement"] = _renamed(names.get("settlement", ""), old, new)
                values = {"transaction": new.hex(), "state": SERVED, "headers": json.dumps(names)}
                connection.execute(update(table).where(table.c.id == row.id).values(values))

    def orphan(self, transaction: bytes) -> None:
        """Mark the call of a payment that the chain dropped for good."""
        table = schema.call
        with self._database.begin() as connection:
            connection.execute(update(table).where(table.c.transaction == transaction.hex()).values(state=ORPHANED))

    def forget_responses(self, created_before: int) -> int:
        """Drop the bytes of responses served to calls older than this; receipts stay. Returns how many."""
        table = schema.call
        old = (table.c.state == SERVED, table.c.response.is_not(None), table.c.created < created_before)
        with self._database.begin() as connection:
            return connection.execute(update(table).where(*old).values(response=None)).rowcount

    def _known(self, call: Call) -> bool:
        named = call.identifier is not None and self.named(call.payer, call.identifier) is not None
        return named or self.get(call.id) is not None


def _renamed(settlement: str, old: bytes, new: bytes) -> str:
    """Return the value of ``PAYMENT-RESPONSE`` with another transaction in it."""
    return base64.b64encode(base64.b64decode(settlement).replace(old.hex().encode(), new.hex().encode())).decode()


def _answered(call: Call) -> dict[str, Any]:
    return {
        "id": call.id.hex(),
        "dao": call.dao,
        "turn": call.turn,
        "payer": call.payer,
        "route": call.route,
        "amount": call.amount,
        "request_hash": call.request_hash.hex(),
        "state": CLAIMED,
        "headers": _headers(call),
        "response": call.response,
        "created": call.created,
        "identifier": call.identifier,
    }


def _paid(call: Call) -> dict[str, Any]:
    assert call.receipt is not None
    return {
        "state": SERVED,
        "transaction": None if call.transaction is None else call.transaction.hex(),
        "response_hash": call.receipt.receipt.response_hash.hex(),
        "receipt_id": call.receipt.id.hex(),
        "receipt": json.dumps(call.receipt.as_json()),
        "signature": call.receipt.signature.hex(),
        "headers": _headers(call),
    }


def _headers(call: Call) -> str:
    names = {"digest": call.digest.hex(), "media_type": call.media_type, "places": list(call.places)}
    if call.pair:
        names["pair"] = list(call.pair)
    return json.dumps({**names, "settlement": call.settlement})


def _call(row: Row[Any]) -> Call:
    headers = json.loads(row.headers)
    return Call(
        id=bytes.fromhex(row.id),
        dao=row.dao,
        turn=row.turn,
        payer=row.payer,
        route=row.route,
        amount=row.amount,
        request_hash=bytes.fromhex(row.request_hash),
        digest=bytes.fromhex(headers["digest"]),
        created=row.created,
        state=row.state,
        response=row.response,
        media_type=headers["media_type"],
        places=tuple(headers["places"]),
        pair=tuple(headers.get("pair", ())),
        transaction=None if row.transaction is None else bytes.fromhex(row.transaction),
        receipt=None if row.receipt is None else SignedReceipt.from_json(json.loads(row.receipt)),
        settlement=headers.get("settlement", ""),
        identifier=row.identifier,
    )
