"""The book of a DAO: its contributions in log order, opened under the standing evaluation grant, with their proofs.

Nothing here is kept in the clear on disk: texts are opened in memory from the sealed blobs each time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rodagila.app.daos import Dao
from rodagila.app.intake import StoredContribution, contributions_of, require_intact, row_damaged
from rodagila.core.errors import Corrupted, RodaError
from rodagila.core.hashing import hex0x
from rodagila.core.messages import Proof, digest
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array
from rodagila.prove.checks import ACCEPTED, Evaluation
from rodagila.prove.proof import proofs_root, verify_proof
from rodagila.store import schema
from rodagila.vault.contents import OpenedContribution, open_contribution
from rodagila.vault.keeper import NodeKeeper

UNREADABLE = ("blob_missing", "blob_tampered", "blob_too_large", "ciphertext_unreadable", "contents_mismatch")
"""What can be wrong with one contribution's sealed bytes; a full disk or a closed one is not among it."""


@dataclass(frozen=True, slots=True)
class Page:
    """One contribution of the log: as stored, opened, and the status of each record once it has a proof.

    ``opened`` is None if nothing of it is needed (its proof accepts no record) or if it has no proof yet and cannot be
    opened; then ``fault`` says why.
    """

    stored: StoredContribution
    opened: OpenedContribution | None
    fault: str
    details: tuple[dict[str, Any], ...]
    proof: dict[str, Any] | None

    @property
    def accepted(self) -> tuple[int, ...]:
        """Indices of the records that the proof accepts."""
        return tuple(index for index, item in enumerate(self.details) if item["status"] == ACCEPTED)


class Book:
    """The accepted records of all proven contributions, in place order."""

    def __init__(self, dao: Dao, pages: Sequence[Page]) -> None:
        self.dao = dao
        self.pages = tuple(pages)

    @cached_property
    def entries(self) -> tuple[tuple[int, int, int], ...]:
        """(place, page, index in the contribution) of every accepted record."""
        return tuple(
            (page.stored.first_place + index, number, index)
            for number, page in enumerate(self.pages)
            if page.stored.first_place is not None
            for index in page.accepted
        )

    @cached_property
    def places(self) -> tuple[int, ...]:
        """Places of the accepted records."""
        return tuple(place for place, _, _ in self.entries)

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The accepted records."""
        return tuple(_contents(self.pages[page]).records[index] for _, page, index in self.entries)

    @cached_property
    def source(self) -> tuple[int, ...]:
        """The page of every accepted record."""
        return tuple(page for _, page, _ in self.entries)

    def proofs_root(self) -> bytes:
        """Return the root over the digests of all proofs, in log order."""
        return proofs_root(
            [digest(self.dao.domain, proof_of(page.proof["proof"])) for page in self.pages if page.proof]
        )

    @cached_property
    def vectors(self) -> Int8Array:
        """Embeddings (n, d) of the accepted records, computed once a home."""
        return embed(self.dao, self.records)


def embed(dao: Dao, records: Sequence[Record]) -> Int8Array:
    """Return the int8 vectors of the records' texts."""
    embedder = dao.home.embedder
    if not records:
        return np.zeros((0, embedder.dimensions), dtype=np.int8)
    return embedder.encode([record.text for record in records])


def read_book(dao: Dao, *, up_to: int) -> Book:
    """Open every registered contribution of turns 1 to ``up_to`` whose records may be needed.

    Raises ``Corrupted`` if an accepted contribution cannot be opened or a row is not what it was, with its id.
    """
    keeper, proofs, place = dao.keeper(), _proofs(dao), 0
    pages = []
    for stored in contributions_of(dao):
        if stored.turn > up_to or stored.batch is None:
            continue
        if stored.first_place != place:
            raise row_damaged(stored, f"its first place is {stored.first_place} where the log has {place}")
        pages.append(_page(dao, stored, keeper, proofs.get(stored.id)))
        place += stored.count
    return Book(dao, pages)


def _page(dao: Dao, stored: StoredContribution, keeper: NodeKeeper, row: dict[str, Any] | None) -> Page:
    require_intact(dao, stored)
    if row is None:
        try:
            return Page(stored, _open(dao, stored, keeper), "", (), None)
        except RodaError as error:
            # An owner can seal what does not open, and a disk can lose a blob: that must not stop everybody's turn.
            if error.code not in UNREADABLE:
                raise
            return Page(stored, None, error.message, (), None)
    statuses = tuple(_evaluation(dao, stored, row).as_json()["statuses"])
    if all(item["status"] != ACCEPTED for item in statuses):
        return Page(stored, None, "", statuses, row)
    try:
        return Page(stored, _open(dao, stored, keeper), "", statuses, row)
    except RodaError as error:
        if error.code not in UNREADABLE:
            raise
        raise Corrupted(
            error.code,
            f"The sealed bytes of contribution {hex0x(stored.id)} of {stored.owner}, whose records are accepted, "
            f"cannot be opened: {error.message}",
            hint=f"Restore the file blobs/{stored.ciphertext_id.hex()[:2]}/{stored.ciphertext_id.hex()} of the home "
            "from a backup; nothing was changed.",
            contribution_id=hex0x(stored.id),
        ) from error


def _open(dao: Dao, stored: StoredContribution, keeper: NodeKeeper) -> OpenedContribution:
    sealed = dao.home.blobs.get(stored.ciphertext_id)
    return open_contribution(stored.manifest, sealed, stored.sealed_key, keeper, domain=dao.domain)


def _contents(page: Page) -> OpenedContribution:
    assert page.opened is not None  # a page with an accepted record is opened
    return page.opened


def _evaluation(dao: Dao, stored: StoredContribution, row: dict[str, Any]) -> Evaluation:
    """Return the evaluation that the proof signs; raises ``Corrupted`` if its row was changed."""
    try:
        evaluation = Evaluation.from_json(row["evaluation"])
        verify_proof(
            proof_of(row["proof"]),
            row["signature"],
            domain=dao.domain,
            evaluator=dao.row.evaluator,
            contribution_id=stored.id,
            owner=stored.owner,
            policy_hash=dao.policy_of(stored.turn).policy_hash(),
            evaluation=evaluation,
        )
    except (RodaError, TypeError, KeyError, ValueError) as error:
        raise row_damaged(stored, "its proof is not what the evaluator signed") from error
    return evaluation


def _proofs(dao: Dao) -> dict[bytes, dict[str, Any]]:
    table, given = schema.proof, schema.contribution
    query = table.select().join(given, given.c.id == table.c.contribution).where(given.c.dao == dao.name)
    with dao.home.database.begin() as connection:
        rows = connection.execute(query).all()
    return {
        bytes.fromhex(row.contribution): {
            "proof": json.loads(row.proof),
            "signature": bytes.fromhex(row.signature),
            "evaluation": json.loads(row.evaluation),
        }
        for row in rows
    }


def proof_of(body: dict[str, Any]) -> Proof:
    """Return the proof message of its stored JSON."""
    return Proof(
        contribution_id=bytes.fromhex(body["contribution_id"][2:]),
        owner=body["owner"],
        dao=bytes.fromhex(body["dao"][2:]),
        policy_hash=bytes.fromhex(body["policy_hash"][2:]),
        checks_hash=bytes.fromhex(body["checks_hash"][2:]),
        accepted=body["accepted"],
        score=body["score"],
    )
