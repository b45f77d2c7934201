"""The blind arena: one paid question, two models of a DAO's line, and the payer's preference between their answers.

    value  = keccak(seed | payment id)                              one draw for one payment, by nobody's choice
    pair   = value mod (number of pairs of the roster), then one bit swaps the sides, then
    gold   = value mod 10^6 < gold_ppm: the second model of the pair gives way to an answer known to be worse

A *roster* is the models that meet, with a seed of its own. The seed is derived from the gateway's key; its hash, the
*commitment*, stands in the terms and in every response, which the receipt signs, and the seed is revealed when no
preference on a call of that roster can come any more. So nobody can choose whom to meet, and everybody can check later
that nobody did. The response does not say which model gave which answer; the call's row does, for the ratings.

A gold shows a model's answer beside the same model's answer to another text, the farthest of the records near the
question; it is made only where the first rests on near records and the second does not. Two answers cost two calls of
chat, also when one of them is a gold's.

Source: MECHANISM 2 (pairs are drawn blind, sides swapped, one vote for one paid receipt).

>>> draw(bytes(32), b"payment", ("docs-1", "docs-2", "docs-3"), gold_ppm=0).pair
('docs-1', 'docs-2')
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from rodagila.core.canonical import canonical_json
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised, RefusedByPolicy
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.messages import Preference, dao_id, digest, signer_of
from rodagila.core.money import PPM
from rodagila.market.calls import ORPHANED, Call, Calls
from rodagila.market.outcome import Answer
from rodagila.market.prices import ARENA
from rodagila.market.receipts import SignedReceipt
from rodagila.serve.answers import CITED, JSON
from rodagila.serve.catalogue import Catalogue, ServedModel
from rodagila.serve.schemas import MAX_K, ArenaRequest, PreferenceRequest
from rodagila.store import schema
from rodagila.store.database import Database

SIDES = ("a", "b")
TIE = "tie"
DECOY = "decoy"
"""Stands in place of a model's name where a gold shows an answer known to be worse."""

NEAR_PPM = 600_000
FAR_PPM = 350_000
"""A gold's answer rests on a record of at least the first cosine, its decoy on a text of at most the second."""


class Line(Protocol):
    """The models of a DAO's line that meet: their names, oldest first, and each of them ready to answer."""

    def names(self, newest: ServedModel) -> tuple[str, ...]:
        """Return the names of the models that meet beside ``newest``, itself included."""
        ...

    def model(self, name: str) -> ServedModel:
        """Return a model; raises ``NotFound``."""
        ...


class CatalogueLine:
    """The models that a catalogue offers."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def names(self, newest: ServedModel) -> tuple[str, ...]:
        """Return the DAO's last models, as many as its policy lets meet."""
        line = [model.name for model in self._catalogue.all() if model.dao == newest.dao]
        return tuple(line[-newest.policy.arena.models :])

    def model(self, name: str) -> ServedModel:
        """Return the catalogue's model."""
        return self._catalogue.find(name)


@dataclass(frozen=True, slots=True)
class Draw:
    """What one payment meets: the two models in the order of their sides, and whether the call is to be a gold."""

    pair: tuple[str, str]
    gold: bool
    decoy_side: int
    """Where a gold's decoy stands: the side whose model gives way."""


def draw(seed: bytes, payment: bytes, models: Sequence[str], gold_ppm: int) -> Draw:
    """Return what the payment of this id meets; ``seed`` has 32 bytes, ``models`` two names or more."""
    value = int.from_bytes(keccak(seed + payment), "big")
    pairs = list(combinations(models, 2))
    value, place = divmod(value, len(pairs))
    value, swap = divmod(value, 2)
    first, second = pairs[place]
    value, side = divmod(value, 2)
    return Draw((second, first) if swap else (first, second), value % PPM < gold_ppm, side)


@dataclass(frozen=True, slots=True)
class Roster:
    """Models that meet, with the seed of their draws; times in seconds, ``closed`` None while it stands."""

    dao: str
    number: int
    models: tuple[str, ...]
    seed: bytes
    gold_ppm: int
    prefer_seconds: int
    opened: int
    closed: int | None = None

    @property
    def commitment(self) -> bytes:
        """The hash of the seed, 32 bytes."""
        return keccak(self.seed)

    def revealed(self, now: int) -> bool:
        """Tell whether the seed may be known: no preference can come any more."""
        return self.closed is not None and self.closed + self.prefer_seconds < now


class Rosters:
    """The table of rosters; a DAO has one that stands, and opens the next when its models or rules change."""

    def __init__(self, database: Database, gateway: LocalAccount) -> None:
        self._database, self._key = database, bytes(gateway.key)
        self._standing: dict[str, Roster] = {}
        self._lock = threading.Lock()

    def standing(self, newest: ServedModel, models: tuple[str, ...], now: int) -> Roster:
        """Return the DAO's roster of ``models``, opened now if another one stands.

        Raises ``RefusedByPolicy`` (``arena_small``) for fewer than two models.
        """
        if len(models) < 2:
            raise RefusedByPolicy(
                "arena_small",
                f"The arena of {newest.dao} needs two models to compare; {len(models)} can meet.",
                hint="Ask again when the DAO has closed another turn, or ask one model: POST /v1/chat/completions.",
            )
        rules = newest.policy.arena
        with self._lock:
            known = self._standing.get(newest.dao)
            if known is None or (known.models, known.gold_ppm, known.prefer_seconds) != (
                models, rules.gold_ppm, rules.prefer_seconds
            ):  # fmt: skip
                known = self._opened(newest, models, now)
                self._standing[newest.dao] = known
            return known

    def of_dao(self, dao: str, id: bytes) -> list[Roster]:
        """Return the DAO's rosters by number; ``id`` is the DAO's."""
        table = schema.roster
        with self._database.reading() as connection:
            rows = connection.execute(select(table).where(table.c.dao == dao).order_by(table.c.number)).all()
        return [self._roster(row, id) for row in rows]

    def prefer_seconds(self, commitment: str) -> int:
        """Return how long after a call of this roster a preference is taken."""
        table = schema.roster
        with self._database.reading() as connection:
            found = connection.execute(
                select(table.c.prefer_seconds).where(table.c.commitment == commitment.removeprefix("0x"))
            ).scalar_one()
        return int(found)

    def _opened(self, newest: ServedModel, models: tuple[str, ...], now: int) -> Roster:
        table, id, rules = schema.roster, dao_id(newest.domain), newest.policy.arena
        with self._database.begin() as connection:
            last = self._last(connection, newest.dao, id)
            if last is not None and last.closed is None:
                same = (last.models, last.gold_ppm, last.prefer_seconds)
                if same == (models, rules.gold_ppm, rules.prefer_seconds):
                    return last
                connection.execute(update(table).where(table.c.commitment == last.commitment.hex()).values(closed=now))
            number = 1 if last is None else last.number + 1
            seed = self._seed(id, number)
            roster = Roster(newest.dao, number, models, seed, rules.gold_ppm, rules.prefer_seconds, now)
            connection.execute(insert(table).values(_row_of(roster)))
        return roster

    def _last(self, connection: Connection, dao: str, id: bytes) -> Roster | None:
        table = schema.roster
        row = connection.execute(
            select(table).where(table.c.dao == dao).order_by(table.c.number.desc()).limit(1)
        ).one_or_none()
        return None if row is None else self._roster(row, id)

    def _seed(self, id: bytes, number: int) -> bytes:
        return keccak(b"rodagila arena seed" + self._key + id + number.to_bytes(8, "big"))

    def _roster(self, row: Any, id: bytes) -> Roster:
        rules = (row.gold_ppm, row.prefer_seconds, row.opened, row.closed)
        return Roster(row.dao, row.number, tuple(json.loads(row.models)), self._seed(id, row.number), *rules)


def _row_of(roster: Roster) -> dict[str, Any]:
    return {
        "commitment": roster.commitment.hex(),
        "dao": roster.dao,
        "number": roster.number,
        "models": json.dumps(roster.models),
        "gold_ppm": roster.gold_ppm,
        "prefer_seconds": roster.prefer_seconds,
        "opened": roster.opened,
        "closed": roster.closed,
    }


def arena_answer(line: Line, roster: Roster, request: ArenaRequest, payment: bytes, now: int) -> Answer:
    """Return two answers without their models; ``pair`` keeps which roster and which models they are of."""
    drawn = draw(roster.seed, payment, roster.models, roster.gold_ppm)
    names, texts = list(drawn.pair), ["", ""]
    gold = _gold(line.model(names[1 - drawn.decoy_side]), request.question) if drawn.gold else None
    if gold is not None:
        names[drawn.decoy_side] = DECOY
        texts[1 - drawn.decoy_side], texts[drawn.decoy_side] = gold
    else:
        texts = [_answer(line.model(name), request.question) for name in names]
    body = {
        "object": "arena",
        "dao": roster.dao,
        "commitment": hex0x(roster.commitment),
        "answers": [{"side": side, "text": text} for side, text in zip(SIDES, texts, strict=True)],
        "prefer_until": now + roster.prefer_seconds,
    }
    return Answer(canonical_json(body), JSON, (), (hex0x(roster.commitment), *names))


def _answer(served: ServedModel, question: str) -> str:
    with served.alone:
        return served.model.answer(question, CITED).text


def _gold(served: ServedModel, question: str) -> tuple[str, str] | None:
    """Return an answer and one known to be worse, or None where that cannot be known."""
    with served.alone:
        hits = served.model.search(question, MAX_K)
        if not hits or hits[0].score_ppm < NEAR_PPM or hits[-1].score_ppm > FAR_PPM:
            return None
        if hits[0].target and hits[0].target == hits[-1].target:
            return None
        good, bad = (served.model.answer(text, CITED).text for text in (question, hits[-1].text))
    return (good, bad) if good != bad else None


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """A preference as it is kept, with the receipt it is on and what that call showed (``Answer.pair``)."""

    id: bytes
    dao: str
    turn: int
    receipt: SignedReceipt
    pair: tuple[str, ...]
    account: str
    preferred: str
    expires: int
    signature: bytes
    created: int


class PreferenceBook:
    """The table of preferences, beside the calls they are on and the rosters those met."""

    def __init__(self, database: Database, calls: Calls, rosters: Rosters) -> None:
        self._database, self._calls, self._rosters = database, calls, rosters

    def take(self, given: PreferenceRequest, now: int) -> PreferenceRow:
        """Check and keep one preference.

        Raises ``NotFound`` (``receipt_unknown``), ``InvalidInput`` and ``NotAuthorised`` (``preference_invalid``),
        ``RefusedByPolicy`` (``preference_expired``), or ``Conflict`` (``preference_used``, ``payment_unsettled``).
        """
        call = self._calls.by_receipt(from_hex(given.receipt_id))
        row = _authentic(given, call, now)
        if call.state == ORPHANED:
            raise Conflict(
                "payment_unsettled", "The payment of this receipt was undone by a reorganisation of the chain."
            )
        until = call.created + self._rosters.prefer_seconds(call.pair[0])
        if now > min(until, given.expires):
            what = "was signed to be sent by" if given.expires <= until else "on this call was taken until"
            raise RefusedByPolicy(
                "preference_expired",
                f"The preference {what} {min(until, given.expires)}; it is {now} now, in seconds.",
                hint="Sign again with a later time." if given.expires <= until else "Prefer sooner after a call.",
            )
        self._keep(row)
        return row

    def count(self, dao: str) -> int:
        """Return how many preferences a DAO has."""
        table = schema.preference
        with self._database.reading() as connection:
            query = select(func.count()).select_from(table).where(table.c.dao == dao)
            return int(connection.execute(query).scalar_one())

    def of_dao(self, dao: str) -> list[PreferenceRow]:
        """Return a DAO's preferences by time, then id; none on a payment that was undone."""
        table = schema.preference
        query = select(table).where(table.c.dao == dao).order_by(table.c.created, table.c.id)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        found = ((row, self._calls.by_receipt(bytes.fromhex(row.receipt_id))) for row in rows)
        return [_row(row, call) for row, call in found if call.state != ORPHANED]

    def _keep(self, row: PreferenceRow) -> None:
        values = {
            "id": row.id.hex(),
            "dao": row.dao,
            "turn": row.turn,
            "receipt_id": row.receipt.id.hex(),
            "account": row.account,
            "preferred": row.preferred,
            "expires": row.expires,
            "signature": row.signature.hex(),
            "created": row.created,
        }
        try:
            with self._database.begin() as connection:
                connection.execute(insert(schema.preference).values(values))
        except IntegrityError as error:
            raise Conflict(
                "preference_used",
                f"The receipt {hex0x(row.receipt.id)} already gave its preference.",
                hint="One paid call of the arena takes one preference; ask again to prefer again.",
            ) from error


def _authentic(given: PreferenceRequest, call: Call, now: int) -> PreferenceRow:
    receipt = call.receipt
    assert receipt is not None  # by_receipt finds served calls only
    if call.route != ARENA:
        raise InvalidInput(
            "preference_invalid",
            f"The receipt is of {call.route}, which showed one answer; a preference needs two.",
            hint=f"Ask two models: POST {ARENA}.",
        )
    account = to_checksum_address(given.account)
    if account != call.payer:
        raise NotAuthorised(
            "preference_invalid",
            f"The receipt was paid by another account than {account}.",
            hint="Prefer between answers that you paid for.",
        )
    message = Preference(receipt.id, account, given.preferred, given.expires)
    signature = from_hex(given.signature)
    if signer_of(receipt.domain, message, signature) != account:
        raise NotAuthorised(
            "preference_invalid",
            "The preference is not signed by the account that paid the receipt.",
            hint="Sign the Preference message with the payer's key, in the receipt's domain.",
        )
    id = digest(receipt.domain, message)
    signed = (account, given.preferred, given.expires, signature)
    return PreferenceRow(id, call.dao, call.turn, receipt, call.pair, *signed, now)


def _row(row: Any, call: Call) -> PreferenceRow:
    assert call.receipt is not None
    kept = (row.account, row.preferred, row.expires, bytes.fromhex(row.signature), row.created)
    return PreferenceRow(bytes.fromhex(row.id), row.dao, row.turn, call.receipt, call.pair, *kept)


@dataclass(frozen=True, slots=True)
class Arena:
    """What a gateway needs to run the arena of its DAOs."""

    line: Line
    rosters: Rosters
    preferences: PreferenceBook

    @classmethod
    def beside(cls, line: Line, calls: Calls, gateway: LocalAccount) -> Arena:
        """Return the arena whose rosters and preferences lie beside ``calls``."""
        rosters = Rosters(calls.database, gateway)
        return cls(line, rosters, PreferenceBook(calls.database, calls, rosters))

    def standing(self, newest: ServedModel, now: int) -> Roster:
        """Return the roster that the DAO's next call meets."""
        return self.rosters.standing(newest, self.line.names(newest), now)
