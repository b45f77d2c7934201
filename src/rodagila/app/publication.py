"""The publication of a turn: its facts put together, its public file kept as a blob, its summary for people."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from rodagila.app.book import Book, embed, read_book
from rodagila.app.daos import Dao
from rodagila.app.ledger_steps import bonds_held
from rodagila.app.models import model_claim, model_row
from rodagila.app.opening import draw_of, scoring_of
from rodagila.app.turns import turn_row, turn_rows
from rodagila.core.hashing import hex0x
from rodagila.market.fees import fees
from rodagila.reward.facts import (
    ACCEPTED,
    REFUSED,
    Computed,
    ContributionEntry,
    TurnFacts,
    compute,
    next_excluded,
)
from rodagila.reward.public import PublicTurn, dump, load, publish
from rodagila.reward.roots import Fee
from rodagila.value.examples import Examples, encode_targets


def publish_turn(dao: Dao, turn: int) -> bytes:
    """Compute what follows from the turn's facts and keep the public file; returns its blob id, which is its hash."""
    return dao.home.blobs.put(dump(publish(facts_of(dao, turn))))


def published(dao: Dao, turn: int) -> tuple[PublicTurn, Computed]:
    """Return the kept public file of a turn and what follows from it."""
    public_id = turn_row(dao, turn).public_id
    assert public_id is not None
    return _computed(dao.home.blobs.get(public_id))


@lru_cache(maxsize=8)
def _computed(data: bytes) -> tuple[PublicTurn, Computed]:
    """Computing takes seconds at a few thousand records, and the steps of one turn ask for the same file."""
    public = load(data)
    return public, compute(public.facts)


def facts_of(dao: Dao, turn: int) -> TurnFacts:
    """Put the facts of a turn together from the log, the proofs, the holdings and the ledger."""
    book, held, row = read_book(dao, up_to=turn), dao.holdings(), turn_row(dao, turn)
    scoring, draw = scoring_of(dao, row), draw_of(dao, turn)
    names = [[record.target for record in part] for part in (book.records, held.reference, scoring.records, held.gate)]
    table, (records, reference, queries, gate) = encode_targets(*names)
    before = published(dao, turn - 1)[1] if turn > 1 else None
    return TurnFacts(
        domain=dao.domain,
        rewards=dao.addresses["Rewards"],
        bonds=dao.addresses["Bonds"],
        dao_token=dao.addresses["DaoToken"],
        turn=turn,
        policy=dao.policy_of(turn),
        code_version=version("rodagila"),
        embedder=dao.home.embedder.hash,
        seed=draw.seed,
        salt=draw.salt,
        contributions=_entries(dao, book),
        targets=table,
        records=Examples(book.vectors, records),
        reference=Examples(embed(dao, held.reference), reference),
        queries=Examples(scoring.vectors, queries),
        weights=scoring.weights,
        gate=Examples(embed(dao, held.gate), gate),
        excluded=excluded_before(dao, turn),
        fees=fees_of(dao, turn),
        rollover_in=before.outcome.rollover if before else 0,
        previous=before.settlement.cumulative if before else {},
        previous_issued=before.settlement.cumulative_issued if before else {},
        model=model_claim(model_row(dao, turn)),
        proofs_root=book.proofs_root(),
    )


def excluded_before(dao: Dao, turn: int) -> tuple[int, ...]:
    """Return the places of records that were slashed in turns before ``turn``."""
    if turn == 1:
        return ()
    public, computed = published(dao, turn - 1)
    return next_excluded(public.facts, computed.values)


def fees_of(dao: Dao, turn: int) -> tuple[Fee, ...]:
    """Return what each payer paid between the previous turn's record and this one's."""
    first = (turn_row(dao, turn - 1).last_block or 0) + 1 if turn > 1 else 0
    last = turn_row(dao, turn).last_block
    if last is None:
        last = dao.home.ledger.confirmed_block()
    found = fees(dao.home.ledger, dao.row.token, dao.row.treasury, first, last)
    return tuple(Fee(payer, calls, amount) for payer, calls, amount in found)


def _entries(dao: Dao, book: Book) -> tuple[ContributionEntry, ...]:
    held, recorded = bonds_held(dao), {row.number: row.last_block or 0 for row in turn_rows(dao)}
    # A bond that an owner posts after the turn's record is not the turn's; auditors see it the same way.
    bonds = {
        page.stored.id: bond.amount
        for page in book.pages
        if (bond := held.get(page.stored.id)) is not None and bond.block <= recorded[page.stored.turn]
    }
    return tuple(
        ContributionEntry(
            id=page.stored.id,
            owner=page.stored.owner,
            turn=page.stored.turn,
            batch=page.stored.batch or 0,
            bond=bonds.get(page.stored.id, 0),
            statuses=tuple(_status(item) for item in page.details),
        )
        for page in book.pages
    )


def _status(item: dict[str, Any]) -> int:
    if item["status"] == "accepted":
        return ACCEPTED
    earlier = item["duplicate_of"]
    # A duplicate of the reference corpus has no place in the log.
    return int(earlier) if item["status"] == "duplicate" and earlier is not None and earlier >= 0 else REFUSED


def summary_of(dao: Dao, turn: int) -> dict[str, Any]:
    """Return what people are shown of a closed turn."""
    public, computed = published(dao, turn)
    facts, outcome = public.facts, public.outcome
    card = model_row(dao, turn)["card"]
    return {
        "turn": turn,
        "records": len(facts.records),
        "metric": card["metric"]["name"],
        "value": card["metric"]["value_ppm"] / 1e6,
        "low": card["metric"]["low_ppm"] / 1e6,
        "high": card["metric"]["high_ppm"] / 1e6,
        "baseline": card["baseline"]["value_ppm"] / 1e6,
        "lambda_ppm": outcome.lambda_ppm,
        "calls": sum(fee.calls for fee in facts.fees),
        "fees": sum(fee.amount for fee in facts.fees),
        "pool": outcome.pool,
        "paid": outcome.paid,
        "slashed": sum(outcome.slashes.values()),
        "dust": outcome.dust,
        "rollover": outcome.rollover,
        "issued": str(outcome.issued),
        "root": hex0x(computed.payout_tree.root),
        "model": hex0x(facts.model.hash),
        "slots": int(np.count_nonzero(computed.values.slot)),
    }
