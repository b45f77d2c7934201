"""The rows of a DAO's turns: which one is open, what its frozen scoring queries are, what came of the closed ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, update

from rodagila.app.daos import Dao
from rodagila.core.errors import NotFound
from rodagila.store import schema

OPEN, LEARNED, CLOSED = "open", "learned", "closed"


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One turn; ``queries`` are (place in the scoring pool, weight) pairs, ``policy`` the hash it was opened under.

    ``summary`` is set when it is closed.
    """

    number: int
    state: str
    first_block: int
    last_block: int | None
    commitment: bytes
    queries: tuple[tuple[int, int], ...]
    policy: bytes
    public_id: bytes | None
    summary: dict[str, Any] | None


def turn_rows(dao: Dao) -> list[TurnRow]:
    """Return the DAO's turns in order."""
    table = schema.turn
    query = table.select().where(table.c.dao == dao.name).order_by(table.c.number)
    with dao.home.database.begin() as connection:
        return [_turn(row) for row in connection.execute(query)]


def turn_row(dao: Dao, number: int) -> TurnRow:
    """Return one turn; raises ``NotFound``."""
    for row in turn_rows(dao):
        if row.number == number:
            return row
    raise NotFound(
        "turn_unknown",
        f"The DAO {dao.name!r} has no turn {number}.",
        hint=f"List them: roda turn list --dao {dao.name}",
    )


def unfinished_turn(dao: Dao) -> int:
    """Return the first turn that is not closed; raises ``NotFound`` if the launch was cut off before the first one."""
    for row in turn_rows(dao):
        if row.state != CLOSED:
            return row.number
    raise NotFound(
        "turn_unknown",
        f"The launch of the DAO {dao.name!r} was cut off before its first turn.",
        hint=f"Run again: roda dao new {dao.name} with the same options",
    )


def closed_turn(dao: Dao, number: int | None) -> TurnRow:
    """Return turn ``number``, or the newest closed one; raises ``NotFound`` if it is not closed."""
    closed = [row for row in turn_rows(dao) if row.state == CLOSED and number in (None, row.number)]
    if not closed:
        which = "No turn" if number is None else f"Turn {number}"
        raise NotFound(
            "turn_unknown", f"{which} of the DAO {dao.name!r} is closed.", hint=f"Run: roda turn close --dao {dao.name}"
        )
    return closed[-1]


def add_turn(
    dao: Dao, number: int, *, first_block: int, commitment: bytes, queries: list[tuple[int, int]], policy: bytes
) -> None:
    """Record that ``number`` is open; a row that is there already stays as it is."""
    values = {
        "dao": dao.name,
        "number": number,
        "state": OPEN,
        "first_block": first_block,
        "commitment": commitment.hex(),
        "queries": json.dumps(queries),
        "policy": policy.hex(),
    }
    with dao.home.database.begin() as connection:
        connection.execute(schema.turn.insert().prefix_with("OR IGNORE").values(values))


def change_turn(dao: Dao, number: int, **values: Any) -> None:
    """Change columns of one turn's row."""
    table = schema.turn
    where = (table.c.dao == dao.name, table.c.number == number)
    with dao.home.database.begin() as connection:
        connection.execute(update(table).where(*where).values(values))


def _turn(row: Row[Any]) -> TurnRow:
    return TurnRow(
        number=row.number,
        state=row.state,
        first_block=row.first_block,
        last_block=row.last_block,
        commitment=bytes.fromhex(row.commitment),
        queries=tuple((place, weight) for place, weight in json.loads(row.queries)),
        policy=bytes.fromhex(row.policy),
        public_id=None if row.public_id is None else bytes.fromhex(row.public_id),
        summary=None if row.summary is None else json.loads(row.summary),
    )
