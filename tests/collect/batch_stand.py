"""A small batch in a database of its own, without a ledger: what the queue's tests work on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from sqlalchemy import insert

from rodagila.collect.batches import Item, Terms, plan_batch
from rodagila.collect.queue import Batch, Offered, TaskQueue
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, Response, dao_id, sign
from rodagila.store import schema
from rodagila.store.database import Database
from rodagila.vault.sealing import object_identity, recipient_of

DOMAIN = Domain(1919902817, "0x" + "11" * 20)
PAY = "0x" + "22" * 20
ACCOUNTS: tuple[LocalAccount, ...] = tuple(Account.from_key(keccak(f"rater {i}".encode())) for i in range(8))
START, LEASE, DEADLINE = 1_000, 100, 1_000_000


def terms(**chosen: Any) -> Terms:
    """Return terms of a batch of kind classify."""
    values: dict[str, Any] = {
        "chain_id": DOMAIN.chain_id, "registry": DOMAIN.registry, "task_pay": PAY, "requester": ACCOUNTS[0].address,
        "kind": "classify", "instruction": "Which?", "choices": ("a", "b"), "price": 10, "price_most": 30,
        "deadline": DEADLINE, "evaluators": (ACCOUNTS[1].address,), "lease_seconds": LEASE, "overlap": 2,
    }  # fmt: skip
    return Terms(**(values | chosen))


def golds(count: int, prefix: str = "gold") -> list[Item]:
    """Return golds with both answers among them."""
    return [Item(f"{prefix} {i}", truth="ab"[i % 2], information=i * 40_000 % 10**6) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Stand:
    """A database with one DAO and its queue."""

    database: Database
    queue: TaskQueue

    @classmethod
    def open(cls, path: Path) -> Stand:
        """Return a stand at ``path``."""
        database = Database.open(path)
        return cls(database, TaskQueue(database))

    def batch(self, dao: str, tasks: int = 5, gold_count: int = 20, prefix: str = "task", **chosen: Any) -> Batch:
        """Return an open batch of a DAO of its own."""
        number = int.from_bytes(keccak(f"{dao}{prefix}".encode())[:3])
        with self.database.begin() as connection:
            row = {"dao_id": keccak(dao.encode()).hex(), "contracts": "{}", "operator": "o", "evaluator": "e"}
            known = connection.execute(schema.dao.select().where(schema.dao.c.name == dao)).first()
            if known is None:
                connection.execute(insert(schema.dao).values(name=dao, **row, gateway="g", holdings="b", created=1))
        secret = keccak(f"secret {dao} {prefix}".encode())
        items = [Item(f"{prefix} {i}", information=i * 1_000 % 10**6) for i in range(tasks)]
        plan = plan_batch(terms(**chosen), items, golds(gold_count, f"{prefix} gold"), secret)
        batch = Batch(keccak(secret), dao, DOMAIN, plan.terms, secret)
        values = {"number": number, "job": "{}", "terms": "{}", "sealed_key": b"", "created": START}
        self.queue.keep(batch, plan, values, recipient_of(object_identity()))
        self.queue.open(batch)
        return batch


def response(
    batch: Batch, account: LocalAccount, offered: Offered, said: str = "a", **other: Any
) -> tuple[Response, bytes]:
    """Return a signed response; what it hides matters only as far as it differs."""
    values: dict[str, Any] = {
        "account": account.address, "dao": dao_id(batch.domain), "batch": batch.id, "task": offered.task,
        "lease": offered.lease, "commitment": keccak(said.encode()), "expiry": DEADLINE,
    }  # fmt: skip
    message = Response(**(values | other))
    return message, sign(account, batch.domain, message)
