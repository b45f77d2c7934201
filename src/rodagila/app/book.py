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
from rodagila.app.intake import StoredContribution, contributions_of
from rodagila.core.messages import Proof, digest
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array
from rodagila.prove.proof import proofs_root
from rodagila.store import schema
from rodagila.vault.contents import OpenedContribution, open_contribution

ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Page:
    """One contribution of the log: as stored, opened, and the status of each record once it has a proof."""

    stored: StoredContribution
    opened: OpenedContribution
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
        return tuple(self.pages[page].opened.records[index] for _, page, index in self.entries)

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
    """Open every registered contribution of turns 1 to ``up_to``."""
    keeper, home = dao.keeper(), dao.home
    proofs = _proofs(dao)
    pages = []
    for stored in contributions_of(dao):
        if stored.turn > up_to or stored.batch is None:
            continue
        opened = open_contribution(
            stored.manifest, home.blobs.get(stored.ciphertext_id), stored.sealed_key, keeper, domain=dao.domain
        )
        row = proofs.get(stored.id)
        pages.append(Page(stored, opened, tuple(row["statuses"]) if row else (), row))
    return Book(dao, pages)


def _proofs(dao: Dao) -> dict[bytes, dict[str, Any]]:
    table, given = schema.proof, schema.contribution
    query = table.select().join(given, given.c.id == table.c.contribution).where(given.c.dao == dao.name)
    with dao.home.database.begin() as connection:
        rows = connection.execute(query).all()
    return {
        bytes.fromhex(row.contribution): {
            "proof": json.loads(row.proof),
            "signature": bytes.fromhex(row.signature),
            "statuses": json.loads(row.evaluation)["statuses"],
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
