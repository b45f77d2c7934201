"""The arena over a home: the models that meet, the file of ratings with stakes and slashes, and asking two models.

An earlier model of the line is put together from the sealed contributions when a call first meets it, which takes as
long as training it; it stays in memory while it is one of those that meet.

>>> ratings_of(dao)["result"]["ratings"][0]["model"]  # doctest: +SKIP
'docs-3'
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.app.daos import Dao, dao_named
from rodagila.app.home import Home
from rodagila.app.models import model_rows, newest_model, vertical_model
from rodagila.app.turns import turn_rows
from rodagila.client import PREFER_SECONDS, Client, Lane, signed_preference
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.hashing import from_hex, hex0x
from rodagila.govern.intents import ROLES
from rodagila.market.calls import Calls
from rodagila.market.prices import ARENA, network_of, price_of
from rodagila.market.receipts import SignedReceipt
from rodagila.serve.arena import Arena, Line
from rodagila.serve.catalogue import Catalogue, ServedModel
from rodagila.serve.ratings import checked, rating_file
from rodagila.serve.schemas import PreferenceRequest
from rodagila.value.reputation import Evidence

MAX_FILE_BYTES = 64 * 2**20
RATINGS_SECONDS = 60
"""How old ratings may be that a gateway tells, unless a preference came since."""

Values = dict[str, Any]


class HomeLine:
    """The newest models of a home's DAOs: the one that is offered, and earlier ones on demand."""

    def __init__(self, home: Home, catalogue: Catalogue) -> None:
        self._home, self._catalogue = home, catalogue
        self._lock = threading.Lock()
        self._earlier: dict[str, ServedModel] = {}

    def names(self, newest: ServedModel) -> tuple[str, ...]:
        """Return the DAO's last models up to ``newest``, as many as its policy lets meet."""
        rows = [row for row in model_rows(self._home, newest.dao) if row["turn"] <= newest.turn]
        return tuple(row["name"] for row in rows[-newest.policy.arena.models :])

    def model(self, name: str) -> ServedModel:
        """Return a model, put together now if it is an earlier one; raises ``NotFound``."""
        dao = name.rpartition("-")[0]
        newest = self._catalogue.find(dao)
        if newest.name == name:
            return newest
        with self._lock:
            if name not in self._earlier:
                meeting = self.names(newest)
                if name not in meeting:
                    raise NotFound("model_unknown", f"The model {name} does not meet in the arena any more.")
                kept = {key: model for key, model in self._earlier.items() if model.dao != dao or key in meeting}
                turn = int(name.rpartition("-")[2])
                found = vertical_model(dao_named(self._home, dao), turn, earlier=True)
                self._earlier = {**kept, name: replace(newest, turn=turn, model=found, alone=threading.Lock())}
            return self._earlier[name]


class HomeRatings:
    """A gateway's ratings, made anew when a preference came or a minute passed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._made: dict[str, tuple[tuple[int, int], Values]] = {}

    def __call__(self, arena: Arena, newest: ServedModel, now: int) -> Values:
        """Return the file of the DAO's ratings."""
        key = arena.preferences.count(newest.dao), now // RATINGS_SECONDS
        known = self._made.get(newest.dao)
        if known is None or known[0] != key:
            known = key, rating_values(dao_named(self._home, newest.dao), arena, newest.turn, now)
            self._made[newest.dao] = known
        return known[1]


class _NoLine:
    """Stands where nothing is asked: ratings are made of what is kept."""

    def names(self, newest: ServedModel) -> tuple[str, ...]:
        return ()

    def model(self, name: str) -> ServedModel:
        raise NotFound("model_unknown", f"No model {name!r} is served here.")


def ratings_of(dao: Dao) -> Values:
    """Return the file of the DAO's ratings from what its gateway kept in this home; raises ``NotFound``."""
    card = newest_model(dao)
    if card is None:
        raise NotFound(
            "model_unknown", f"The DAO {dao.name!r} has no model yet.", hint=f"Close a turn: roda turn close {dao.name}"
        )
    return rating_values(dao, arena_of(dao.home, dao.account("gateway"), _NoLine()), card["turn"], dao.home.clock())


def arena_of(home: Home, gateway: LocalAccount, line: Line) -> Arena:
    """Return the arena whose rosters and preferences this home keeps."""
    return Arena.beside(line, Calls(home.database), gateway)


def rating_values(dao: Dao, arena: Arena, turn: int, now: int) -> Values:
    """Return the file of the DAO's ratings, with slashes and stakes as the ledger says now."""
    rows = arena.preferences.of_dao(dao.name)
    accounts = {row.account for row in rows}
    rosters = arena.rosters.of_dao(dao.name, dao.id)
    who = (dao.domain, dao.row.gateway, dao.name, turn, dao.policy)
    return rating_file(*who, rosters, rows, evidence_of(dao), stakes_of(dao, accounts), now)


def evidence_of(dao: Dao) -> dict[str, list[Evidence]]:
    """Return what the ledger shows of accounts: slashes, by the turn that was open."""
    begun = [(row.first_block, row.number) for row in turn_rows(dao)]
    blocks = [block for block, _ in begun]
    found: dict[str, list[Evidence]] = {}
    for event in dao.contract("Stake").events("Slashed"):
        at = max(bisect_right(blocks, event["block_number"]) - 1, 0)
        found.setdefault(event["account"], []).append(Evidence(begun[at][1] if begun else 0, slashes=1))
    return found


def stakes_of(dao: Dao, accounts: Iterable[str]) -> dict[str, int]:
    """Return the accounts' stakes as evaluators, atomic units; without those that have none."""
    stake = dao.contract("Stake")
    held = {account: int(stake.call("stakeOf", ROLES["evaluator"], account)) for account in accounts}
    return {account: amount for account, amount in held.items() if amount}


def ask_two_paid(dao: Dao, question: str, account: LocalAccount, url: str | None, lane: Lane | None = None) -> Values:
    """Let two models of the line answer through a gateway, paid by ``account``; without ``url`` one of this home."""
    if url is None:
        from rodagila.app.serving import running

        with running(dao.home) as (_, address):
            return ask_two_paid(dao, question, account, address, lane)
    network, price = network_of(dao.domain.chain_id), price_of(dao.policy.prices, ARENA)
    with Client(url, account, token=dao.row.token, network=network, max_amount=price, lane=lane) as client:
        reply = client.ask_two(dao.name, question)
    return {
        "dao": dao.name,
        "answers": reply.answers,
        "paid": reply.receipt.receipt.amount if reply.receipt else 0,
        "prefer_until": reply.body["prefer_until"],
        "receipt": reply.receipt.as_json() if reply.receipt else None,
    }


def prefer_at(url: str, receipt_id: str, preferred: str, account: LocalAccount) -> Values:
    """Sign and send the preference on an arena call to the gateway that gave its receipt."""
    with Client(url) as free:
        receipt = SignedReceipt.from_json(free.receipt(_receipt_id(receipt_id)))
    # A preference pays nothing; without terms this client could not pay if the gateway asked.
    with Client(url, account) as client:
        return client.prefer(receipt, preferred)


def prefer_here(home: Home, receipt_id: str, preferred: str, account: LocalAccount) -> Values:
    """Sign the preference on an arena call that a gateway of this home served, and keep it."""
    calls = Calls(home.database)
    call = calls.by_receipt(_receipt_id(receipt_id))
    assert call.receipt is not None  # by_receipt finds served calls only
    given = signed_preference(call.receipt, preferred, account, home.clock() + PREFER_SECONDS)
    gateway = dao_named(home, call.dao).account("gateway")
    row = arena_of(home, gateway, _NoLine()).preferences.take(PreferenceRequest(**given), home.clock())
    return {"id": hex0x(row.id), "receipt_id": hex0x(row.receipt.id), "preferred": row.preferred, "turn": row.turn}


def read_ratings(path: Path) -> Values:
    """Return the recomputed result of a file of ratings; raises ``InvalidInput`` and ``audit_mismatch``."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound("file_unknown", f"There is no file {path}.", hint="Give a file of ratings.") from error
    except OSError as error:
        raise InvalidInput("file_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_FILE_BYTES:
        raise InvalidInput("file_too_large", f"{path} is larger than {MAX_FILE_BYTES:,} bytes, the most that is read.")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("ratings_invalid", f"{path} is not JSON.", hint="Give a file of ratings.") from error
    return checked(body)


def _receipt_id(text: str) -> bytes:
    try:
        found = from_hex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise InvalidInput("usage", f"{text[:80]!r} is not a receipt's id: 32 bytes in hex.")
    return found
