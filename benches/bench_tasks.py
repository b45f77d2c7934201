"""How long an account waits for its next task: 100,000 tasks in the queue beside 1,000, signature to opened content.

Accounts ask and respond in turns, some far in the queue and some new; every tenth lets its lease expire, so tasks
return all the time. A request is what the gateway does without HTTP: check the signature, lease on disk (fsync), open
the content. ``commit_p99`` is what one durable transaction alone costs in the same run, the floor of all of these.

Run: python benches/bench_tasks.py [--json] [--tasks 100000] [--requests 1500]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from eth_account import Account
from sqlalchemy import insert, update

from rodagila.collect.batches import Item, Terms, plan_batch
from rodagila.collect.queue import Batch, TaskQueue
from rodagila.collect.responding import ask, respond
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain
from rodagila.serve.tasks import NextTaskRequest, OpenedBatch, ResponseRequest, TaskDesk
from rodagila.store import schema
from rodagila.store.database import Database
from rodagila.vault.sealing import object_identity, recipient_of

BAR_MS = 100.0
SMALL = 1_000
START, LEASE = 1_000_000, 60
DOMAIN = Domain(1919902817, "0x" + "11" * 20)
PEOPLE = [Account.from_key(keccak(f"rater {i}".encode())) for i in range(40)]


def main() -> int:
    """Measure, print the rows, and exit 0 whether or not the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=1_500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options.tasks, options.requests)
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['name']:<44} {row['value']:>8} {row['unit']}  peer {row['peer']}  bar {row['bar']}")
    return 0


def measure(folder: Path, tasks: int, requests: int) -> list[dict[str, Any]]:
    """Return the rows for a queue of ``tasks``."""
    small, _ = waits(folder / "small.sqlite", SMALL, requests)
    large, commits = waits(folder / "large.sqlite", tasks, requests)
    floor = round(percentile(commits, 99), 2)
    made = [
        row(f"next_task_p99, {tasks:,} tasks", large["next"], small["next"]),
        row(f"respond_p99, {tasks:,} tasks", large["respond"], small["respond"]),
    ]
    alone = {"name": "commit_p99", "value": floor, "unit": "ms", "peer": None, "ratio": None, "bar": None, "met": None}
    return [*made, alone]


def row(name: str, values: list[float], small: list[float]) -> dict[str, Any]:
    """Return a row: the 99th percentile, beside that of a small queue."""
    value, peer = (round(percentile(one, 99), 2) for one in (values, small))
    ratio = round(statistics.median(values) / statistics.median(small), 2)
    return {
        "name": name,
        "value": value,
        "unit": "ms",
        "peer": peer,
        "ratio": ratio,
        "bar": BAR_MS,
        "met": value <= BAR_MS,
    }


def percentile(values: list[float], percent: int) -> float:
    """Return a percentile of at least 100 values."""
    return statistics.quantiles(values, n=100)[percent - 1]


def waits(path: Path, tasks: int, requests: int) -> tuple[dict[str, list[float]], list[float]]:
    """Return milliseconds of each request for a task and each response, and of as many empty transactions."""
    database, opened = stand(path, tasks)
    desk = TaskDesk(database, lambda _: opened, lambda: [opened])
    card, nonces, now = desk.card(opened), itertools.count(1), START
    for place, account in enumerate(PEOPLE):  # spread the accounts over the queue
        asked = ask(account, card, nonce=next(nonces), now=now)
        answer(desk, card, account, desk.next_task(NextTaskRequest(**asked), now=now), now)
        with database.begin() as connection:
            seat = schema.seat
            there = seat.c.account == account.address
            connection.execute(update(seat).where(there).values(place=place * tasks // len(PEOPLE)))
    spent: dict[str, list[float]] = {"next": [], "respond": []}
    commits: list[float] = []
    for i in range(requests):
        account = PEOPLE[i % len(PEOPLE)]
        asked = NextTaskRequest(**ask(account, card, nonce=next(nonces), now=now))
        begun = time.perf_counter()
        offered = desk.next_task(asked, now=now)
        spent["next"].append(1e3 * (time.perf_counter() - begun))
        if i % 10 == 0:
            now += LEASE + 1 if i % 100 == 0 else 0
            continue
        spent["respond"].append(answer(desk, card, account, offered, now))
        begun = time.perf_counter()
        with database.begin() as connection:
            connection.execute(update(schema.dao).values(created=i))
        commits.append(1e3 * (time.perf_counter() - begun))
    database.close()
    return spent, commits


def answer(desk: TaskDesk, card: dict[str, Any], account: Any, offered: dict[str, Any], now: int) -> float:
    """Respond, and return the milliseconds that the desk took."""
    given = ResponseRequest(**respond(account, card, offered, "ab"[offered["expires"] % 2], now=now))
    begun = time.perf_counter()
    desk.respond(given, now=now)
    return 1e3 * (time.perf_counter() - begun)


def stand(path: Path, tasks: int) -> tuple[Database, OpenedBatch]:
    """Return a database with one open batch."""
    database, secret, identity = Database.open(path), keccak(b"secret"), object_identity()
    terms = Terms(
        DOMAIN.chain_id, DOMAIN.registry, "0x" + "22" * 20, PEOPLE[0].address, "classify", "Which?", ("a", "b"), 10_000,
        30_000, START + 10**6, (PEOPLE[1].address,), lease_seconds=LEASE,
    )  # fmt: skip
    items = [Item(f"a request of some length, number {i}", information=i * 7_919 % 10**6) for i in range(tasks)]
    golds = [Item(f"a gold of some length, number {i}", truth="ab"[i % 2]) for i in range(2_000)]
    plan = plan_batch(terms, items, golds, secret)
    batch = Batch(keccak(secret), "docs", DOMAIN, plan.terms, secret)
    values = {"name": "docs", "dao_id": "1", "contracts": "{}", "operator": "o", "evaluator": "e", "gateway": "g"}
    with database.begin() as connection:
        connection.execute(insert(schema.dao).values(**values, holdings="b", created=1))
    head = {"number": 1, "job": "{}", "terms": "{}", "sealed_key": b"", "created": 1}
    queue = TaskQueue(database)
    queue.keep(batch, plan, head, recipient_of(identity))
    queue.open(batch)
    return database, OpenedBatch(batch, 1, "0x" + "33" * 20, str(identity), recipient_of(identity))


if __name__ == "__main__":
    sys.exit(main())
