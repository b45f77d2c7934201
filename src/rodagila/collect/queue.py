"""The queue of a batch of tasks: leases, responses, and the end of both, in the home's database.

A task waits until an account asks; then it is leased to her, and either she responds in time or the lease expires and
the task goes to the end of the queue. Every step is one transaction, so a step that was acknowledged is on disk, and
two at once are one after the other.

    batch  made -> open -> closed -> settled
    lease  open -> answered | expired

An account has one open lease in a batch: asking again returns it, so a lost reply costs nothing. Which task comes next
is a gold or not by a secret draw, one in two until she has answered ``least_golds`` of them and ``gold_share_ppm``
afterwards. No record is shown twice to one account in a DAO, whatever is asked about it. The queue is a list of
places; a seat remembers up to where its account has been, and what returns goes behind everybody: so finding the next
task reads a few rows of an index, however long the queue is.

>>> offered = queue.next_task(batch, account, nonce=1, now=clock())   # doctest: +SKIP
>>> queue.respond(batch, response, signature, opening, now=clock())   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from sqlalchemy import Connection, Row, func, insert, literal_column, select, update

from rodagila.collect.batches import Plan, Terms
from rodagila.core.canonical import canonical_json
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised, NotFound, RefusedByPolicy
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, Response, TaskRequest, dao_id, digest, signer_of
from rodagila.core.money import PPM
from rodagila.store import schema
from rodagila.store.database import Database
from rodagila.vault.sealing import seal

MADE, OPEN, CLOSED, SETTLED = "made", "open", "closed", "settled"
ANSWERED, EXPIRED = "answered", "expired"
MAX_OPENING_BYTES = 32_768
EARLY_GOLDS_PPM = 500_000
EXPIRED_AT_ONCE = 200
"""So many leases return to the queue at most in one step, which bounds how long an account waits for another's."""
ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the queue needs it: ``id`` is the job's, ``secret`` draws golds and lease ids."""

    id: bytes
    dao: str
    domain: Domain
    terms: Terms
    secret: bytes


@dataclass(frozen=True, slots=True)
class Offered:
    """A task in an account's hands: the lease, its end, what a response is paid, and the sealed content."""

    lease: bytes
    number: int
    task: bytes
    price: int
    expires: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """A response as it is kept; ``opening`` is sealed to the batch's recipient, empty if the account keeps it."""

    serial: int
    account: str
    number: int
    task: bytes
    lease: bytes
    commitment: bytes
    expiry: int
    signature: bytes
    opening: bytes

    def message(self, batch: Batch) -> Response:
        """Return what the account signed."""
        return Response(
            self.account, dao_id(batch.domain), batch.id, self.task, self.lease, self.commitment, self.expiry
        )


class TaskQueue:
    """The tables of batches, tasks, seats and leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, batch: Batch, plan: Plan, values: dict[str, Any], recipient: str) -> None:
        """Keep a batch in state made, all of it or nothing; one that is kept already stays as it is.

        ``values`` are the columns that the queue does not know: number, job, sealed_key, created.
        """
        rows: list[dict[str, Any]] = [
            {
                "batch": batch.id.hex(),
                "number": task.number,
                "hash": task.hash.hex(),
                "record": task.content.record_hash().hex(),
                "price": task.price,
                "gold": bool(task.truth),
                "wanted": 0 if task.truth else plan.terms.overlap,
                "place": task.place,
            }
            for task in plan.tasks
        ]
        with self._database.begin() as connection:
            if self._state(connection, batch) is not None:
                return
            self._require_fresh(connection, batch, [row["record"] for row in rows if row["gold"]])
            head = {
                **values,
                "id": batch.id.hex(),
                "dao": batch.dao,
                "state": MADE,
                "recipient": recipient,
                "deadline": plan.terms.deadline,
                "next_place": len(rows),
                "responses": 0,
            }
            connection.execute(insert(schema.task_batch).values(head))
            for start in range(0, len(rows), ROWS_AT_ONCE):
                part = rows[start : start + ROWS_AT_ONCE]
                sealed = [{**row, "sealed": seal(_packed(plan, row["number"]), [recipient])} for row in part]
                connection.execute(insert(schema.task), sealed)

    def open(self, batch: Batch) -> None:
        """Let accounts take tasks: the budget lies in the escrow. A batch that is beyond this stays as it is."""
        self._move(batch, MADE, OPEN)

    def state(self, batch: Batch) -> str:
        """Return how far a batch is; raises ``NotFound`` batch_unknown."""
        with self._database.reading() as connection:
            found = self._state(connection, batch)
        if found is None:
            raise NotFound("batch_unknown", f"There is no batch of tasks 0x{batch.id.hex()} here.")
        return found

    def next_task(self, batch: Batch, account: str, *, nonce: int, now: int) -> Offered:
        """Lease the account's next task to her, or return the one in her hands.

        Raises ``NotAuthorised`` nonce_replayed, ``RefusedByPolicy`` batch_closed, ``NotFound`` task_none.
        """
        with self._database.begin() as connection:
            self._require_open(connection, batch, now)
            seat = self._seat(connection, batch, account, nonce)
            held = self._held(connection, batch, account, now)
            if held is not None:
                return held
            self._expire(connection, batch, now)
            return self._lease(connection, batch, account, seat, now)

    def held(self, batch: Batch, account: str, *, now: int) -> Offered | None:
        """Return the task that an account holds, if any."""
        with self._database.reading() as connection:
            return self._held(connection, batch, account, now)

    def respond(self, batch: Batch, response: Response, signature: bytes, opening: bytes, *, now: int) -> int:
        """Take a response, which the caller found authentic; return its serial. The same one again changes nothing.

        Raises ``NotFound`` lease_unknown, ``Conflict`` lease_expired or lease_used, ``NotAuthorised`` response_invalid,
        ``RefusedByPolicy`` batch_closed, ``InvalidInput`` answer_invalid for an opening that is too large.
        """
        if len(opening) > MAX_OPENING_BYTES:
            raise InvalidInput(
                "answer_invalid", f"A sealed answer has at most {MAX_OPENING_BYTES:,} bytes; this has {len(opening):,}."
            )
        with self._database.begin() as connection:
            row = self._lease_row(connection, batch, response)
            if row.state == ANSWERED and row.commitment == response.commitment.hex():
                return int(row.serial)
            self._require_open(connection, batch, now)
            self._require_leased(row, now)
            return self._take(connection, batch, row, response, signature, opening)

    def close(self, batch: Batch) -> None:
        """End leases and responses for good; a batch that is beyond this stays as it is."""
        with self._database.begin() as connection:
            table, lease = schema.task_batch, schema.lease
            moved = connection.execute(
                update(table).where(table.c.id == batch.id.hex(), table.c.state == OPEN).values(state=CLOSED)
            )
            if moved.rowcount:
                connection.execute(
                    update(lease).where(lease.c.batch == batch.id.hex(), lease.c.state == OPEN).values(state=EXPIRED)
                )

    def settled(self, batch: Batch, public_id: bytes) -> None:
        """Note what came of a closed batch."""
        self._move(batch, CLOSED, SETTLED, public_id=public_id.hex())

    def taken(self, batch: Batch, lease_id: bytes | None = None) -> Iterator[Taken]:
        """Yield the responses of a batch in the order of their arrival, or the one under ``lease_id``."""
        lease, task = schema.lease, schema.task
        query = (
            select(lease, task.c.hash)
            .join(task, (task.c.batch == lease.c.batch) & (task.c.number == lease.c.task))
            .where(lease.c.batch == batch.id.hex(), lease.c.state == ANSWERED)
            .order_by(lease.c.serial)
        )
        if lease_id is not None:
            query = query.where(lease.c.id == lease_id.hex())
        with self._database.reading() as connection:
            for row in connection.execute(query):
                yield Taken(
                    row.serial, row.account, row.task, bytes.fromhex(row.hash), bytes.fromhex(row.id),
                    bytes.fromhex(row.commitment), row.expiry, bytes.fromhex(row.signature), row.opening,
                )  # fmt: skip

    def reseal(self, batch: Batch, lease: bytes, opening: bytes) -> None:
        """Keep the opening that an account sent after the batch was closed."""
        table = schema.lease
        where = (table.c.id == lease.hex(), table.c.batch == batch.id.hex(), table.c.state == ANSWERED)
        with self._database.begin() as connection:
            connection.execute(update(table).where(*where).values(opening=opening))

    def sealed(self, batch: Batch, number: int) -> bytes:
        """Return the sealed content of one task."""
        table = schema.task
        query = select(table.c.sealed).where(table.c.batch == batch.id.hex(), table.c.number == number)
        with self._database.reading() as connection:
            return bytes(connection.execute(query).scalar_one())

    def contents(self, batch: Batch) -> list[tuple[int, bytes, int, bool, bytes]]:
        """Return (number, task hash, price, gold, sealed content) of all tasks by number."""
        table = schema.task
        query = table.select().where(table.c.batch == batch.id.hex()).order_by(table.c.number)
        with self._database.reading() as connection:
            return [
                (row.number, bytes.fromhex(row.hash), row.price, row.gold, row.sealed)
                for row in connection.execute(query)
            ]

    def counts(self, batch: Batch) -> dict[str, int]:
        """Return how many tasks, golds and responses there are, and how many responses are still wanted."""
        table, lease = schema.task, schema.lease
        with self._database.reading() as connection:
            wanted = connection.execute(
                select(func.coalesce(func.sum(table.c.wanted), 0)).where(table.c.batch == batch.id.hex())
            ).scalar_one()
            states: dict[str, int] = {
                row[0]: row[1]
                for row in connection.execute(
                    select(lease.c.state, func.count()).where(lease.c.batch == batch.id.hex()).group_by(lease.c.state)
                )
            }
        terms = batch.terms
        return {
            "tasks": terms.tasks - terms.golds,
            "golds": terms.golds,
            "wanted": int(wanted),
            "leased": int(states.get(OPEN, 0)),
            "responses": int(states.get(ANSWERED, 0)),
        }

    def _require_fresh(self, connection: Connection, batch: Batch, golds: Sequence[str]) -> None:
        """Refuse golds that an earlier batch had: its public file has told what is right."""
        table, head = schema.task, schema.task_batch
        for start in range(0, len(golds), ROWS_AT_ONCE):
            part = golds[start : start + ROWS_AT_ONCE]
            query = (
                select(table.c.record)
                .join(head, head.c.id == table.c.batch)
                .where(table.c.record.in_(part), table.c.gold, head.c.dao == batch.dao)
            )
            if connection.execute(query.limit(1)).first() is not None:
                raise RefusedByPolicy(
                    "gold_known",
                    "A gold of this batch was a gold of an earlier one, whose public file tells what is right.",
                    hint="Give golds that were never used.",
                )

    def _seat(self, connection: Connection, batch: Batch, account: str, nonce: int) -> Row[Any]:
        table = schema.seat
        where = (table.c.batch == batch.id.hex(), table.c.account == account)
        row = connection.execute(table.select().where(*where)).one_or_none()
        if row is None:
            # Text, because nonces have 256 bits.
            values = {"batch": batch.id.hex(), "account": account, "nonce": str(nonce), "place": -1}
            connection.execute(insert(table).values(**values, shown=0, golds_shown=0, golds=0))
        elif nonce <= int(row.nonce):
            raise NotAuthorised(
                "nonce_replayed",
                f"{account} asked with nonce {nonce}, which is not above its last one.",
                hint="Sign again with a larger nonce, such as the time in nanoseconds.",
            )
        else:
            connection.execute(update(table).where(*where).values(nonce=str(nonce)))
        return connection.execute(table.select().where(*where)).one()

    def _held(self, connection: Connection, batch: Batch, account: str, now: int) -> Offered | None:
        lease, task = schema.lease, schema.task
        query = (
            select(lease.c.id, lease.c.expires, task)
            .join(task, (task.c.batch == lease.c.batch) & (task.c.number == lease.c.task))
            .where(lease.c.batch == batch.id.hex(), lease.c.account == account)
            .where(literal_column("lease.state = 'open'"), lease.c.expires > now)
        )
        row = connection.execute(query).first()
        return None if row is None else _offered(bytes.fromhex(row.id), row.expires, row)

    def _expire(self, connection: Connection, batch: Batch, now: int) -> None:
        """Return tasks whose lease has ended to the end of the queue."""
        lease, task, head = schema.lease, schema.task, schema.task_batch
        query = (
            select(lease.c.id, lease.c.task)
            .where(lease.c.batch == batch.id.hex(), literal_column("lease.state = 'open'"), lease.c.expires <= now)
            .order_by(lease.c.expires, lease.c.id)
            .limit(EXPIRED_AT_ONCE)
        )
        ended = connection.execute(query).all()
        if not ended:
            return
        this = head.c.id == batch.id.hex()
        place = connection.execute(select(head.c.next_place).where(this)).scalar_one()
        for row in ended:
            connection.execute(update(lease).where(lease.c.id == row.id).values(state=EXPIRED))
            changed = connection.execute(
                update(task)
                .where(task.c.batch == batch.id.hex(), task.c.number == row.task, ~task.c.gold)
                .values(wanted=task.c.wanted + 1, place=place)
            )
            place += changed.rowcount
        connection.execute(update(head).where(this).values(next_place=place))

    def _lease(self, connection: Connection, batch: Batch, account: str, seat: Row[Any], now: int) -> Offered:
        first, second = self._gold, self._waiting
        if not _wants_gold(batch, account, seat):
            first, second = second, first
        # Without enough golds nobody is paid, so whoever has emptied the queue is given the rest of them.
        needs_golds = seat.golds < batch.terms.least_golds
        row = first(connection, batch, account, seat)
        if row is None and (second == self._waiting or needs_golds):
            row = second(connection, batch, account, seat)
        if row is None:
            raise NotFound(
                "task_none",
                f"No task of this batch is left for {account}.",
                hint="Tasks come back when leases of others expire; other batches: roda task list",
            )
        identifier = keccak(b"lease" + batch.secret + batch.id + bytes.fromhex(account[2:]) + seat.shown.to_bytes(8))
        expires = min(now + batch.terms.lease_seconds, batch.terms.deadline)
        self._note(connection, batch, account, row, identifier, expires)
        return _offered(identifier, expires, row)

    def _note(
        self, connection: Connection, batch: Batch, account: str, row: Row[Any], identifier: bytes, expires: int
    ) -> None:
        seat, task = schema.seat, schema.task
        values = {"batch": batch.id.hex(), "task": row.number, "dao": batch.dao, "account": account}
        connection.execute(
            insert(schema.lease).values(**values, id=identifier.hex(), record=row.record, state=OPEN, expires=expires)
        )
        if not row.gold:
            connection.execute(
                update(task)
                .where(task.c.batch == batch.id.hex(), task.c.number == row.number)
                .values(wanted=task.c.wanted - 1)
            )
        moved = {"golds_shown": seat.c.golds_shown + 1} if row.gold else {"place": row.place}
        connection.execute(
            update(seat)
            .where(seat.c.batch == batch.id.hex(), seat.c.account == account)
            .values(shown=seat.c.shown + 1, **moved)
        )

    def _waiting(self, connection: Connection, batch: Batch, account: str, seat: Row[Any]) -> Row[Any] | None:
        """Return the first task behind the seat's place that is about a record she has not seen."""
        task = schema.task
        query = (
            task.select()
            .where(task.c.batch == batch.id.hex(), literal_column("task.wanted > 0"), task.c.place > seat.place)
            .where(~_seen(batch, account))
            .order_by(task.c.place)
            .limit(1)
        )
        return connection.execute(query).first()

    def _gold(self, connection: Connection, batch: Batch, account: str, seat: Row[Any]) -> Row[Any] | None:
        """Return the account's next gold: her own walk through them, from a secret place with a secret stride."""
        task, count = schema.task, batch.terms.golds
        start, stride = _walk(batch, account)
        for step in range(seat.golds_shown, count):
            place = (start + step * stride) % count
            query = (
                task.select()
                .where(task.c.batch == batch.id.hex(), literal_column("task.gold"), task.c.place == place)
                .where(~_seen(batch, account))
            )
            row = connection.execute(query).first()
            if row is not None:
                return row
        return None

    def _lease_row(self, connection: Connection, batch: Batch, response: Response) -> Row[Any]:
        lease, task = schema.lease, schema.task
        query = (
            select(lease, task.c.hash, task.c.gold)
            .join(task, (task.c.batch == lease.c.batch) & (task.c.number == lease.c.task))
            .where(lease.c.id == response.lease.hex(), lease.c.batch == batch.id.hex())
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("lease_unknown", f"No lease 0x{response.lease.hex()} was given in this batch.")
        if (row.account, row.hash) != (response.account, response.task.hex()):
            raise NotAuthorised(
                "response_invalid",
                "The response is not by the account that holds the lease, or to another task.",
                hint="Sign the lease, the task and the account that the task came with.",
            )
        return row

    def _require_leased(self, row: Row[Any], now: int) -> None:
        if row.state == ANSWERED:
            raise Conflict(
                "lease_used",
                "This lease has a response already, and it was another one.",
                hint="Ask for the next task.",
            )
        if row.state == EXPIRED or row.expires <= now:
            raise Conflict(
                "lease_expired",
                f"The lease ended at {row.expires}; it is {now}.",
                hint="Ask for the next task; this one goes to somebody else.",
            )

    def _take(
        self, connection: Connection, batch: Batch, row: Row[Any], response: Response, signature: bytes, opening: bytes
    ) -> int:
        lease, head, seat = schema.lease, schema.task_batch, schema.seat
        this = head.c.id == batch.id.hex()
        serial = int(connection.execute(select(head.c.responses).where(this)).scalar_one())
        connection.execute(update(head).where(this).values(responses=serial + 1))
        connection.execute(
            update(lease)
            .where(lease.c.id == row.id)
            .values(
                state=ANSWERED,
                serial=serial,
                commitment=response.commitment.hex(),
                expiry=response.expiry,
                signature=signature.hex(),
                opening=opening,
            )
        )
        if row.gold:
            where = (seat.c.batch == batch.id.hex(), seat.c.account == response.account)
            connection.execute(update(seat).where(*where).values(golds=seat.c.golds + 1))
        return serial

    def _require_open(self, connection: Connection, batch: Batch, now: int) -> None:
        state = self._state(connection, batch)
        if state is None:
            raise NotFound("batch_unknown", f"There is no batch of tasks 0x{batch.id.hex()} here.")
        if state != OPEN or now >= batch.terms.deadline:
            why = "its budget is not in the escrow yet" if state == MADE else "it is closed"
            raise RefusedByPolicy(
                "batch_closed", f"This batch takes no responses now: {why}.", hint="Others: roda task list"
            )

    def _state(self, connection: Connection, batch: Batch) -> str | None:
        table = schema.task_batch
        found: str | None = connection.execute(
            select(table.c.state).where(table.c.id == batch.id.hex())
        ).scalar_one_or_none()
        return found

    def _move(self, batch: Batch, before: str, after: str, **values: Any) -> None:
        table = schema.task_batch
        with self._database.begin() as connection:
            connection.execute(
                update(table).where(table.c.id == batch.id.hex(), table.c.state == before).values(state=after, **values)
            )


def require_asked(batch: Batch, request: TaskRequest, signature: bytes, *, now: int) -> None:
    """Raise ``NotAuthorised`` response_invalid unless the account itself asks for a task of this batch, and now."""
    _require_signed(batch, request, request.dao, request.batch, request.account, request.expiry, signature, now)


def require_authentic(batch: Batch, response: Response, signature: bytes, *, now: int) -> None:
    """Raise ``NotAuthorised`` response_invalid unless the account itself responds in this batch, and now."""
    _require_signed(batch, response, response.dao, response.batch, response.account, response.expiry, signature, now)


def response_digest(batch: Batch, taken: Taken) -> bytes:
    """Return the digest of a response, over which the batch's commitments' root is made."""
    return digest(batch.domain, taken.message(batch))


def _require_signed(
    batch: Batch, message: Any, dao: bytes, named: bytes, account: str, expiry: int, signature: bytes, now: int
) -> None:
    wrong = ""
    if (dao, named) != (dao_id(batch.domain), batch.id):
        wrong = "It was signed for another DAO or another batch."
    elif expiry <= now:
        wrong = f"It was good until {expiry}; it is {now}."
    elif signer_of(batch.domain, message, signature) != account:
        wrong = f"It is not signed by {account}, in this DAO's domain."
    if wrong:
        raise NotAuthorised("response_invalid", wrong, hint="Sign it anew with the account's key.")


def _seen(batch: Batch, account: str) -> Any:
    lease = schema.lease
    return (
        select(lease.c.id)
        .where(lease.c.dao == batch.dao, lease.c.account == account, lease.c.record == schema.task.c.record)
        .exists()
    )


def _wants_gold(batch: Batch, account: str, seat: Row[Any]) -> bool:
    share = EARLY_GOLDS_PPM if seat.golds < batch.terms.least_golds else batch.terms.gold_share_ppm
    drawn = keccak(b"gold" + batch.secret + bytes.fromhex(account[2:]) + seat.shown.to_bytes(8))
    return int.from_bytes(drawn[:8]) % PPM < share


def _walk(batch: Batch, account: str) -> tuple[int, int]:
    """Return start and stride of an account's way through the golds; the stride is prime to their number."""
    drawn, count = keccak(b"walk" + batch.secret + bytes.fromhex(account[2:])), batch.terms.golds
    stride = int.from_bytes(drawn[8:16]) % count or 1
    while gcd(stride, count) != 1:
        stride = stride % count + 1
    return int.from_bytes(drawn[:8]) % count, stride


def _offered(lease: bytes, expires: int, row: Row[Any]) -> Offered:
    return Offered(lease, row.number, bytes.fromhex(row.hash), row.price, expires, row.sealed)


def _packed(plan: Plan, number: int) -> bytes:
    task = plan.tasks[number]
    return canonical_json({"content": task.content.as_json(), "truth": task.truth})
