"""What buyers say about answers: signed by the payer of a receipt, once for each kind.

The body of a feedback carries the request it talks about (``request``, the JSON body as it was sent), which must hash
to the receipt's ``request_hash``: nobody can attach an opinion to a text that was not paid for. Kinds (MECHANISM 2):

==========  ==========================================  =======================================================
kind        fields beside ``request``                   meaning
==========  ==========================================  =======================================================
rating      rating 1..5, better?                        how good the answer was
preference  chosen, rejected, better?                   which of two answers is better: ``{"text": ...}`` or
                                                        ``{"receipt": "0x..."}`` of the same payer and DAO
click       place                                       a cited record was opened; the response must have cited it
purchase    amount                                      the net amount paid, which must be the receipt's
==========  ==========================================  =======================================================

``better`` is ``{"label": ...}`` or ``{"answer": ...}``: what the answer should have been (``serve.effects``).

>>> checked_fields("rating", {"request": {}, "rating": 4})["rating"]
4
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from eth_utils.address import to_checksum_address
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from rodagila.core.canonical import canonical_json, json_hash
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.messages import Feedback, digest, signer_of
from rodagila.market.calls import ORPHANED, Call, Calls
from rodagila.market.receipts import SignedReceipt, request_hash
from rodagila.serve.schemas import FeedbackRequest, Hash, Text
from rodagila.store import schema
from rodagila.store.database import Database


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")
    request: dict[str, Any]


class Better(BaseModel):
    """What the answer should have been: a label or an answer."""

    model_config = ConfigDict(extra="forbid")
    label: Text | None = None
    answer: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Better:
        if (self.label is None) == (self.answer is None):
            raise ValueError("better needs a label or an answer, one of them")
        return self


class Shown(BaseModel):
    """One of two answers: its text or the receipt of the call that gave it."""

    model_config = ConfigDict(extra="forbid")
    text: Text | None = None
    receipt: Hash | None = None

    @model_validator(mode="after")
    def _one(self) -> Shown:
        if (self.text is None) == (self.receipt is None):
            raise ValueError("chosen and rejected need a text or a receipt, one of them")
        return self


class RatingFields(_Fields):
    """How good the answer was, 1 to 5."""

    rating: Annotated[StrictInt, Field(ge=1, le=5)]
    better: Better | None = None


class PreferenceFields(_Fields):
    """Which of two answers is better."""

    chosen: Shown
    rejected: Shown
    better: Better | None = None


class ClickFields(_Fields):
    """Which cited record was opened."""

    place: Annotated[StrictInt, Field(ge=0)]


class PurchaseFields(_Fields):
    """What was paid, in atomic units."""

    amount: Annotated[StrictInt, Field(ge=1)]


KINDS: dict[str, type[_Fields]] = {
    "click": ClickFields,
    "preference": PreferenceFields,
    "purchase": PurchaseFields,
    "rating": RatingFields,
}
Kind = Literal["rating", "preference", "click", "purchase"]


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """Feedback as it is kept: who said what about which paid call; ``amount`` is what that call paid."""

    id: bytes
    dao: str
    turn: int
    receipt: SignedReceipt
    account: str
    kind: str
    body: dict[str, Any]
    signature: bytes
    created: int

    @property
    def amount(self) -> int:
        """The settled fee of the call, atomic units."""
        return self.receipt.receipt.amount


class FeedbackBook:
    """The table of feedback, beside the table of the calls it talks about."""

    def __init__(self, database: Database, calls: Calls) -> None:
        self._database, self._calls = database, calls

    def take(self, given: FeedbackRequest, now: int) -> FeedbackRow:
        """Check and keep one feedback.

        Raises ``NotFound`` (``receipt_unknown``), ``NotAuthorised``, ``InvalidInput`` (``feedback_invalid``) or
        ``Conflict`` (``feedback_used``).
        """
        call = self._calls.by_receipt(from_hex(given.receipt_id))
        if call.state == ORPHANED:
            raise Conflict(
                "payment_unsettled", "The payment of this receipt was undone by a reorganisation of the chain."
            )
        row = _authentic(given, call, now)
        fields = checked_fields(row.kind, row.body)
        self._check_against_call(row, call, fields)
        self._keep(row)
        return row

    def of_turn(self, dao: str, turn: int) -> list[FeedbackRow]:
        """Return a turn's feedback by id, so that every reader has one order; none about a payment that was undone."""
        table = schema.feedback
        query = select(table).where(table.c.dao == dao, table.c.turn == turn).order_by(table.c.id)
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return [_row(row, call) for row in rows if (call := self._paid(row)).state != ORPHANED]

    def _paid(self, row: Any) -> Call:
        return self._calls.by_receipt(bytes.fromhex(row.receipt_id))

    def _check_against_call(self, row: FeedbackRow, call: Call, fields: dict[str, Any]) -> None:
        if request_hash(fields["request"]) != call.request_hash:
            raise _invalid("The feedback's request is not the one that the receipt was given for.")
        if row.kind == "click" and fields["place"] not in call.places:
            raise _invalid(f"The response did not cite the record at place {fields['place']}.")
        if row.kind == "purchase" and fields["amount"] != call.amount:
            raise _invalid(f"The receipt is over {call.amount} atomic units, the feedback says {fields['amount']}.")
        for side in ("chosen", "rejected"):
            if row.kind == "preference" and "receipt" in fields[side]:
                self._check_side(fields[side]["receipt"], call)

    def _check_side(self, receipt_id: str, call: Call) -> None:
        other = self._calls.by_receipt(from_hex(receipt_id))
        if (other.payer, other.dao) != (call.payer, call.dao):
            raise _invalid("A preferred receipt must be of the same payer and the same DAO.")

    def _keep(self, row: FeedbackRow) -> None:
        values = {
            "id": row.id.hex(),
            "dao": row.dao,
            "turn": row.turn,
            "receipt_id": row.receipt.id.hex(),
            "account": row.account,
            "kind": row.kind,
            "body": canonical_json(row.body).decode(),
            "signature": row.signature.hex(),
            "created": row.created,
        }
        try:
            with self._database.begin() as connection:
                connection.execute(insert(schema.feedback).values(values))
        except IntegrityError as error:
            raise Conflict(
                "feedback_used",
                f"The receipt {hex0x(row.receipt.id)} already gave feedback of kind {row.kind}.",
                hint="One receipt gives one feedback of each kind.",
            ) from error


def checked_fields(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a body without absent ones; raises ``InvalidInput`` if they do not fit the kind."""
    try:
        return KINDS[kind].model_validate(body).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _invalid(f"A feedback of kind {kind} is not valid: {where}: {first['msg'].lower()}.") from error


def _authentic(given: FeedbackRequest, call: Call, now: int) -> FeedbackRow:
    assert call.receipt is not None  # by_receipt finds served calls only
    account = to_checksum_address(given.account)
    message = Feedback(call.receipt.id, account, given.kind, json_hash(given.body))
    domain, signature = call.receipt.domain, from_hex(given.signature)
    if account != call.payer or signer_of(domain, message, signature) != account:
        raise NotAuthorised(
            "feedback_invalid",
            "The feedback is not signed by the account that paid the receipt.",
            hint="Sign the Feedback message with the payer's key, in the receipt's domain.",
        )
    return FeedbackRow(
        digest(domain, message), call.dao, call.turn, call.receipt, account, given.kind, given.body, signature, now
    )


def _row(row: Any, call: Call) -> FeedbackRow:
    assert call.receipt is not None
    return FeedbackRow(
        bytes.fromhex(row.id), row.dao, row.turn, call.receipt, row.account, row.kind, json.loads(row.body),
        bytes.fromhex(row.signature), row.created,
    )  # fmt: skip


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("feedback_invalid", message, hint="See rodagila.serve.feedback for the kinds and their fields.")
