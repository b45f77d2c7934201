"""The DAO's model line: training the model of a turn, its card in the database, and the model as it is served.

The card is recomputed from the sealed contributions when it is needed with its head: training is deterministic and
takes less time than reading a file would be worth.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from rodagila.app.book import Book, embed, read_book
from rodagila.app.daos import Dao
from rodagila.app.home import Home
from rodagila.core.errors import NotFound
from rodagila.core.hashing import ZERO_HASH, from_hex, hex0x
from rodagila.learn.model import Examples, TrainedModel, train
from rodagila.learn.vertical import ServedRecord, VerticalModel
from rodagila.reward.facts import ModelClaim
from rodagila.store import schema
from rodagila.store.vectors import IndexRow, Nearest, RowsInMemory, VectorIndex


def train_turn(dao: Dao, turn: int) -> dict[str, Any]:
    """Train the model of ``turn`` and keep its card, unless it is kept already; returns the card with its hash.

    A model grows from the head of the DAO's line. If a decision moved the head before the turn was recorded, the model
    is trained again from there.
    """
    known = _row_of(dao, turn)
    if known is not None and _left_behind(dao, turn, known):
        with dao.home.database.begin() as connection:
            connection.execute(schema.model.delete().where(schema.model.c.name == known["name"]))
        known = None
    if known is None:
        trained = _trained(dao, turn)
        values = {
            "name": trained.card.name,
            "dao": dao.name,
            "turn": turn,
            "hash": trained.model_hash.hex(),
            "card": json.dumps(trained.card.as_json()),
        }
        with dao.home.database.begin() as connection:
            connection.execute(schema.model.insert().prefix_with("OR IGNORE").values(values))
        known = model_row(dao, turn)
    return {"name": known["name"], "hash": known["hash"], "parent": known["card"]["parent"]}


def _trained(dao: Dao, turn: int, book: Book | None = None) -> TrainedModel:
    from rodagila.app.publication import excluded_before

    book = book or read_book(dao, up_to=turn)
    kept = np.flatnonzero(~np.isin(book.places, excluded_before(dao, turn)))
    held = dao.holdings()
    records = Examples(
        vectors=book.vectors[kept],
        targets=tuple(book.records[row].target for row in kept),
        places=tuple(book.places[row] for row in kept),
        owners=tuple(book.pages[book.source[row]].stored.owner for row in kept),
    )
    reference = Examples(embed(dao, held.reference), tuple(record.target for record in held.reference))
    gate = Examples(embed(dao, held.gate), tuple(record.target for record in held.gate))
    return train(
        dao.name, turn, records, reference, gate, dao.policy_of(turn), dao.home.embedder.hash, _parent(dao, turn)
    )


def vertical_model(dao: Dao, turn: int, *, earlier: bool = False) -> VerticalModel:
    """Return the model of ``turn`` ready to serve: texts opened in memory, ids and vectors in the index on disk.

    The index is the newest model's: an ``earlier`` one keeps its vectors in memory.
    """
    book = read_book(dao, up_to=turn)
    trained = _trained(dao, turn, book)
    served, rows = [], []
    for (place, page, index), record, vector in zip(book.entries, book.records, book.vectors, strict=True):
        stored = book.pages[page].stored
        served.append(ServedRecord(place, stored.owner, stored.id, record))
        rows.append(IndexRow(place, stored.owner, stored.id.hex(), index, record.target, vector))
    found: Nearest = RowsInMemory(rows) if earlier else _index_on_disk(dao, turn, rows)
    return VerticalModel(trained.card, served, found, trained.head, dao.home.embedder)


def _index_on_disk(dao: Dao, turn: int, rows: list[IndexRow]) -> VectorIndex:
    index = VectorIndex(dao.home.path / "index" / dao.name)
    index.ensure(turn, rows)
    return index


def _parent(dao: Dao, turn: int) -> bytes:
    known = _row_of(dao, turn)
    head: bytes = dao.contract("Registry").call("head")
    return head if known is None else from_hex(known["card"]["parent"])


def _left_behind(dao: Dao, turn: int, known: dict[str, Any]) -> bool:
    registry = dao.contract("Registry")
    recorded = registry.call("recordOf", turn).modelHash != ZERO_HASH
    return not recorded and registry.call("head") != from_hex(known["card"]["parent"])


def model_claim(row: dict[str, Any]) -> ModelClaim:
    """Return what a kept card claims."""
    card = row["card"]
    return ModelClaim(
        from_hex(row["hash"]), from_hex(card["parent"]), card["baseline"]["value_ppm"], card["metric"]["value_ppm"]
    )


def model_row(dao: Dao, turn: int) -> dict[str, Any]:
    """Return the model of a turn; raises ``NotFound``."""
    row = _row_of(dao, turn)
    if row is None:
        raise NotFound("model_unknown", f"The DAO {dao.name!r} has no model of turn {turn}.")
    return row


def _row_of(dao: Dao, turn: int) -> dict[str, Any] | None:
    return next((row for row in model_rows(dao.home, dao.name) if row["turn"] == turn), None)


def newest_model(dao: Dao) -> dict[str, Any] | None:
    """Return the newest model of the DAO, None before its first turn."""
    rows = model_rows(dao.home, dao.name)
    return rows[-1] if rows else None


def model_rows(home: Home, dao: str | None = None) -> list[dict[str, Any]]:
    """Return the kept models of one DAO or of all, by DAO and turn."""
    table = schema.model
    query = table.select().order_by(table.c.dao, table.c.turn)
    if dao is not None:
        query = query.where(table.c.dao == dao)
    with home.database.begin() as connection:
        rows = connection.execute(query).all()
    return [
        {
            "name": row.name,
            "dao": row.dao,
            "turn": row.turn,
            "hash": hex0x(bytes.fromhex(row.hash)),
            "card": json.loads(row.card),
        }
        for row in rows
    ]
