"""The queue of tasks: a state machine against a model, two at once, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from batch_stand import ACCOUNTS, DEADLINE, LEASE, START, Stand, golds, response, terms
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from rodagila.collect.batches import Item, plan_batch
from rodagila.collect.queue import (
    ANSWERED,
    CLOSED,
    MAX_OPENING_BYTES,
    OPEN,
    SETTLED,
    Batch,
    Offered,
    require_asked,
    require_authentic,
)
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised, NotFound, RefusedByPolicy, RodaError
from rodagila.core.hashing import keccak
from rodagila.core.messages import TaskRequest, dao_id, sign
from rodagila.store import schema

NAMES = count()
people = st.sampled_from(ACCOUNTS[:3])


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """A database that all tests here share; each has a DAO of its own in it."""
    made = Stand.open(tmp_path_factory.mktemp("queue") / "roda.sqlite")
    yield made
    made.database.close()


def refused(kind: type[RodaError], code: str, act: Any) -> RodaError:
    with pytest.raises(kind) as error:
        act()
    assert error.value.code == code
    assert error.value.message.endswith(".")
    return error.value


class Queue(RuleBasedStateMachine):
    """Accounts ask, respond, dawdle; the clock goes on; the batch is closed at some time."""

    stand: Stand

    def __init__(self) -> None:
        super().__init__()
        self.batch = self.stand.batch(f"dao {next(NAMES)}", tasks=4)
        self.now, self.nonce = START, 0
        self.held: dict[str, Offered] = {}
        self.answered: dict[bytes, tuple[int, str, Any]] = {}
        self.seen: set[tuple[str, bytes]] = set()
        self.closed = False

    @rule(seconds=st.sampled_from((1, LEASE // 2, LEASE, 3 * LEASE)))
    def time_goes_on(self, seconds: int) -> None:
        self.now += seconds

    @rule(account=people)
    def ask(self, account: Any) -> None:
        self.nonce += 1
        queue, before = self.stand.queue, self.held.get(account.address)
        try:
            offered = queue.next_task(self.batch, account.address, nonce=self.nonce, now=self.now)
        except RefusedByPolicy as error:
            assert self.closed and error.code == "batch_closed"
            return
        except NotFound as error:
            assert error.code == "task_none" and not self.closed
            return
        assert not self.closed
        if before is not None and before.expires > self.now:
            assert offered == before
            return
        assert (account.address, offered.task) not in self.seen
        assert self.now < offered.expires <= self.now + LEASE
        self.seen.add((account.address, offered.task))
        self.held[account.address] = offered

    @rule(account=people, said=st.sampled_from("ab"))
    def respond(self, account: Any, said: str) -> None:
        offered = self.held.get(account.address)
        if offered is None:
            return
        message, signature = response(self.batch, account, offered, said)
        try:
            serial = self.stand.queue.respond(self.batch, message, signature, b"x", now=self.now)
        except RefusedByPolicy as error:
            assert self.closed and error.code == "batch_closed"
            return
        except Conflict as error:
            assert error.code == "lease_expired" and offered.expires <= self.now and not self.closed
            return
        assert not self.closed and offered.expires > self.now
        assert serial == len(self.answered)
        self.answered[offered.lease] = (serial, said, (account, offered))
        del self.held[account.address]

    @rule(data=st.data())
    def respond_again(self, data: st.DataObject) -> None:
        if not self.answered:
            return
        lease = data.draw(st.sampled_from(sorted(self.answered)))
        serial, said, (account, offered) = self.answered[lease]
        message, signature = response(self.batch, account, offered, said)
        assert self.stand.queue.respond(self.batch, message, signature, b"x", now=self.now) == serial
        other, signature = response(self.batch, account, offered, said + "!")
        code = "batch_closed" if self.closed else "lease_used"
        with pytest.raises(RodaError) as error:
            self.stand.queue.respond(self.batch, other, signature, b"x", now=self.now)
        assert error.value.code == code

    @rule(account=people)
    def replay_a_request(self, account: Any) -> None:
        if self.nonce == 0 or self.closed or (account.address, 0) not in self.asked():
            return
        refused(
            NotAuthorised,
            "nonce_replayed",
            lambda: self.stand.queue.next_task(self.batch, account.address, nonce=0, now=self.now),
        )

    @rule(sure=st.integers(0, 9))
    def close(self, sure: int) -> None:
        if sure == 0:
            self.stand.queue.close(self.batch)
            self.closed = True

    def asked(self) -> set[tuple[str, int]]:
        with self.stand.database.reading() as connection:
            rows = connection.execute(select(schema.seat.c.account).where(schema.seat.c.batch == self.batch.id.hex()))
            return {(row.account, 0) for row in rows}

    @invariant()
    def responses_are_numbered_and_kept(self) -> None:
        taken = list(self.stand.queue.taken(self.batch))
        assert [one.serial for one in taken] == list(range(len(self.answered)))
        assert {one.lease for one in taken} == set(self.answered)

    @invariant()
    def each_task_is_wanted_leased_or_answered_as_often_as_agreed(self) -> None:
        lease, task = schema.lease, schema.task
        with self.stand.database.reading() as connection:
            uses = dict(
                tuple(row)
                for row in connection.execute(
                    select(lease.c.task, func.count())
                    .where(lease.c.batch == self.batch.id.hex(), lease.c.state.in_([OPEN, ANSWERED]))
                    .group_by(lease.c.task)
                )
            )
            rows = connection.execute(task.select().where(task.c.batch == self.batch.id.hex(), ~task.c.gold)).all()
        for row in rows:
            assert row.wanted >= 0
            if not self.closed:
                assert row.wanted + uses.get(row.number, 0) == self.batch.terms.overlap


def run_machine(examples: int, steps: int) -> None:
    with TemporaryDirectory() as path:
        Queue.stand = Stand.open(Path(path) / "roda.sqlite")
        try:
            run_state_machine_as_test(
                Queue, settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None)
            )
        finally:
            Queue.stand.database.close()


def test_any_history_of_a_queue_keeps_its_promises() -> None:
    run_machine(12, 30)


@pytest.mark.slow
def test_any_long_history_of_a_queue_keeps_its_promises() -> None:
    run_machine(300, 80)


def test_two_at_once_get_what_one_after_the_other_would(stand: Stand) -> None:
    batch = stand.batch("at once", tasks=6, overlap=3)

    def ask(i: int) -> bytes:
        return stand.queue.next_task(batch, ACCOUNTS[i % 4].address, nonce=i + 1, now=START).lease

    def safely(i: int) -> bytes | None:
        try:
            return ask(i)
        except NotAuthorised as error:  # a later nonce of the same account came first
            assert error.code == "nonce_replayed"
            return None

    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(safely, range(32)))
    for account in range(4):
        assert len({lease for lease in leases[account::4] if lease}) == 1
    first = stand.queue.held(batch, ACCOUNTS[0].address, now=START)
    assert first is not None
    given = [response(batch, ACCOUNTS[0], first, said) for said in ("a", "b") * 4]

    def respond(one: Any) -> int | str:
        try:
            return stand.queue.respond(batch, *one, b"x", now=START)
        except Conflict as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(respond, given))
    assert sorted(map(str, outcomes)) == ["0"] * 4 + ["lease_used"] * 4


def drain(stand: Stand, batch: Batch, account: Any, first: int = 1, limit: int = 200) -> list[Offered]:
    found = []
    for nonce in range(first, first + limit):
        try:
            offered = stand.queue.next_task(batch, account.address, nonce=nonce, now=START)
        except NotFound:
            return found
        stand.queue.respond(batch, *response(batch, account, offered), b"x", now=START)
        found.append(offered)
    return found


def golden(stand: Stand, batch: Batch) -> set[int]:
    return {number for number, _, _, gold, _ in stand.queue.contents(batch) if gold}


def test_each_account_is_shown_every_task_and_its_golds_once_in_an_order_of_its_own(stand: Stand) -> None:
    batch = stand.batch("golds", tasks=12, gold_count=22, overlap=8)
    known, orders = golden(stand, batch), []
    for account in ACCOUNTS[:3]:
        shown = [offered.number for offered in drain(stand, batch, account)]
        assert len(shown) == len(set(shown))
        assert len(set(shown) - known) == 12
        assert len(set(shown) & known) >= 20
        orders.append([number for number in shown if number in known])
    assert len({tuple(order) for order in orders}) == 3


def test_the_most_telling_tasks_come_first(stand: Stand) -> None:
    batch = stand.batch("prices", tasks=12)
    known = golden(stand, batch)
    prices = [offered.price for offered in drain(stand, batch, ACCOUNTS[0]) if offered.number not in known]
    assert prices == sorted(prices, reverse=True)


def test_a_task_whose_lease_ended_comes_back_to_others_and_not_to_the_same(stand: Stand) -> None:
    batch = stand.batch("back", tasks=1, overlap=1)
    queue, number, lost = stand.queue, 0, None
    known = golden(stand, batch)
    while lost is None:
        number += 1
        offered = queue.next_task(batch, ACCOUNTS[0].address, nonce=number, now=START)
        if offered.number not in known:
            lost = offered
        else:
            queue.respond(batch, *response(batch, ACCOUNTS[0], offered), b"x", now=START)
    later = lost.expires
    assert lost.number in {one.number for one in _drain_at(stand, batch, ACCOUNTS[1], later)}
    assert lost.number not in {one.number for one in _drain_at(stand, batch, ACCOUNTS[0], later, first=100)}
    refused(
        Conflict, "lease_expired",
        lambda: queue.respond(batch, *response(batch, ACCOUNTS[0], lost), b"x", now=later),
    )  # fmt: skip


def _drain_at(stand: Stand, batch: Batch, account: Any, now: int, first: int = 1) -> list[Offered]:
    found = []
    for nonce in range(first, first + 100):
        try:
            offered = stand.queue.next_task(batch, account.address, nonce=nonce, now=now)
        except NotFound:
            return found
        stand.queue.respond(batch, *response(batch, account, offered), b"x", now=now)
        found.append(offered)
    return found


def test_a_record_that_an_account_saw_in_another_batch_is_not_shown_again(stand: Stand) -> None:
    first = stand.batch("records", tasks=4, overlap=8)
    drain(stand, first, ACCOUNTS[0])
    with stand.database.begin() as connection:  # another batch asks about two of the same records
        head, task = schema.task_batch, schema.task
        records = [
            row.record
            for row in connection.execute(task.select().where(task.c.batch == first.id.hex(), ~task.c.gold)).all()
        ]
    second = stand.batch("records", tasks=4, prefix="other", overlap=8)
    with stand.database.begin() as connection:
        numbers = [
            row.number
            for row in connection.execute(task.select().where(task.c.batch == second.id.hex(), ~task.c.gold)).all()
        ]
        for number, record in zip(numbers[:2], records, strict=False):
            connection.execute(
                task.update().where(task.c.batch == second.id.hex(), task.c.number == number).values(record=record)
            )
    assert head is not None
    shown = {offered.number for offered in drain(stand, second, ACCOUNTS[0])}
    assert not shown & set(numbers[:2])
    assert set(numbers[2:]) <= shown
    assert set(numbers) <= {offered.number for offered in drain(stand, second, ACCOUNTS[1])}


def test_a_response_is_refused_unless_it_is_the_holder_s_to_that_task(stand: Stand) -> None:
    batch, queue = stand.batch("refusals"), stand.queue
    ada, bob = ACCOUNTS[0], ACCOUNTS[1]
    offered = queue.next_task(batch, ada.address, nonce=1, now=START)

    def given(account: Any = ada, **other: Any) -> Any:
        return lambda: queue.respond(batch, *response(batch, account, offered, **other), b"x", now=START)

    refused(NotAuthorised, "response_invalid", given(account=bob))
    refused(NotAuthorised, "response_invalid", given(task=keccak(b"other")))
    refused(NotFound, "lease_unknown", given(lease=keccak(b"none")))
    message, signature = response(batch, ada, offered)
    huge = b"x" * (MAX_OPENING_BYTES + 1)
    refused(InvalidInput, "answer_invalid", lambda: queue.respond(batch, message, signature, huge, now=START))
    refused(Conflict, "lease_expired", lambda: queue.respond(batch, message, signature, b"", now=offered.expires))
    refused(RefusedByPolicy, "batch_closed", lambda: queue.respond(batch, message, signature, b"", now=DEADLINE))
    assert queue.respond(batch, message, signature, b"x", now=START) == 0


def test_signatures_are_good_for_one_account_batch_dao_and_time(stand: Stand) -> None:
    batch = stand.batch("signed")
    ada, bob = ACCOUNTS[0], ACCOUNTS[1]
    offered = stand.queue.next_task(batch, ada.address, nonce=1, now=START)
    message, signature = response(batch, ada, offered)
    require_authentic(batch, message, signature, now=START)
    asked = TaskRequest(ada.address, dao_id(batch.domain), batch.id, 1, DEADLINE)
    require_asked(batch, asked, sign(ada, batch.domain, asked), now=START)
    forged = sign(bob, batch.domain, message)
    other_batch = Batch(keccak(b"other"), batch.dao, batch.domain, batch.terms, batch.secret)
    elsewhere, foreign = response(batch, ada, offered, dao=keccak(b"another DAO"))
    for bad in (
        lambda: require_authentic(batch, message, forged, now=START),
        lambda: require_authentic(batch, message, b"", now=START),
        lambda: require_authentic(batch, message, signature, now=DEADLINE),
        lambda: require_authentic(other_batch, message, signature, now=START),
        lambda: require_authentic(batch, elsewhere, foreign, now=START),
        lambda: require_asked(batch, asked, sign(bob, batch.domain, asked), now=START),
    ):
        refused(NotAuthorised, "response_invalid", bad)


def test_a_batch_goes_one_way(stand: Stand) -> None:
    batch, queue = stand.batch("one way"), stand.queue
    assert queue.state(batch) == OPEN
    queue.close(batch)
    queue.open(batch)
    assert queue.state(batch) == CLOSED
    queue.settled(batch, keccak(b"file"))
    queue.close(batch)
    assert queue.state(batch) == SETTLED
    unknown = Batch(keccak(b"nothing"), "one way", batch.domain, batch.terms, batch.secret)
    refused(NotFound, "batch_unknown", lambda: queue.state(unknown))
    refused(NotFound, "batch_unknown", lambda: queue.next_task(unknown, ACCOUNTS[0].address, nonce=1, now=START))


def test_a_plan_prices_tasks_by_what_they_tell_and_commits_to_all() -> None:
    tasks = [Item("plain"), Item("half", information=500_000), Item("telling", information=1_000_000)]
    plan = plan_batch(terms(), tasks, golds(20), keccak(b"secret"))
    prices = {task.content.text: task.price for task in plan.tasks}
    assert (prices["plain"], prices["half"], prices["telling"]) == (10, 20, 30)
    assert plan.budget == 2 * (10 + 20 + 30)
    again = plan_batch(terms(), tasks, golds(20), keccak(b"secret"))
    other = plan_batch(terms(), tasks, golds(20), keccak(b"another"))
    assert again == plan
    assert other.terms.tasks_root != plan.terms.tasks_root
    assert other.terms.golds_root != plan.terms.golds_root


@pytest.mark.parametrize(
    ("chosen", "tasks", "gold_items", "what"),
    [
        ({"choices": ("a",)}, [Item("x")], golds(20), "two choices"),
        ({"choices": ("a", "a")}, [Item("x")], golds(20), "two choices"),
        ({"kind": "rank"}, [Item("x")], golds(20), "none of"),
        ({"price": 0}, [Item("x")], golds(20), "price"),
        ({"price": 31}, [Item("x")], golds(20), "price"),
        ({"overlap": 0}, [Item("x")], golds(20), "overlap"),
        ({"least_golds": 19}, [Item("x")], golds(20), "golds"),
        ({"evaluators": ()}, [Item("x")], golds(20), "evaluators"),
        ({"instruction": " "}, [Item("x")], golds(20), "instruction"),
        ({}, [], golds(20), "1 to"),
        ({}, [Item("x")], golds(19), "20 golds"),
        ({}, [Item("x"), Item("x")], golds(20), "twice"),
        ({}, [Item(" ")], golds(20), "needs a text"),
        ({}, [Item("x", label="a")], golds(20), "label"),
        ({}, [Item("x")], [Item(f"g{i}", truth="a") for i in range(20)], "same answer"),
    ],
)
def test_a_plan_is_refused_with_one_sentence(
    chosen: dict[str, Any], tasks: list[Item], gold_items: list[Item], what: str
) -> None:
    error = refused(InvalidInput, "tasks_invalid", lambda: plan_batch(terms(**chosen), tasks, gold_items, keccak(b"s")))
    assert what in error.message
