"""The table of channels against a model of it, through crashes and concurrent writers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from gateway_stand import key
from rodagila.market.channels import MAX_AMOUNT, Channel, ChannelStore
from rodagila.market.hub import ChannelConfig, HubState
from rodagila.store.database import Database


def config(salt: int) -> ChannelConfig:
    payer = key("payer").address
    return ChannelConfig(payer, payer, key("treasury").address, payer, payer, 900, salt.to_bytes(32, "big"))


def channel(salt: int = 0, **values: Any) -> Channel:
    return Channel(config(salt).id_on(1), config(salt), **values)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "home.sqlite")
    yield database
    database.close()


def test_a_channel_is_kept_whole_and_listed(database: Database) -> None:
    store = ChannelStore(database)
    assert store.get(bytes(32)) is None
    kept = [
        channel(salt, charged=5, signed=6, signature=b"\x01" * 65, state=HubState(9, 1, 2, 3, 4), used=8)
        for salt in range(3)
    ]
    for one in kept:
        assert store.update_channel(one.id, lambda now, one=one: one) == one
    assert [store.get(one.id) for one in kept] == kept
    assert store.list() == sorted(kept, key=lambda one: one.id)


def test_a_change_that_fails_changes_nothing_and_neither_does_what_stands_beside(database: Database) -> None:
    store, first = ChannelStore(database), channel(charged=5)
    store.update_channel(first.id, lambda _: first)

    def refuse(now: Channel | None) -> Channel:
        raise RuntimeError("no")

    def fail(connection: Any) -> None:
        connection.exec_driver_sql("insert into channel_cursor values (7, 7)")
        raise RuntimeError("no")

    for change, beside in ((refuse, lambda _: None), (lambda _: replace(first, charged=9), fail)):
        with pytest.raises(RuntimeError):
            store.update_channel(first.id, change, beside)
    assert store.get(first.id) == first
    assert store.cursor() is None


def test_concurrent_charges_of_one_channel_are_each_counted(database: Database) -> None:
    store, first = ChannelStore(database), channel()
    store.update_channel(first.id, lambda _: first)

    def charge(amount: int) -> None:
        store.update_channel(first.id, lambda now: now and now.charge(amount, now.charged + amount, b"", 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(charge, range(1, 41)))
    last = store.get(first.id)
    assert last is not None
    assert last.charged == last.signed == sum(range(1, 41))


def test_balances_beyond_what_is_kept_are_used_up_to_that(database: Database) -> None:
    store, rich = ChannelStore(database), channel().seen(HubState(balance=2**128 - 1, leaving=2**127))
    assert rich.state.balance == MAX_AMOUNT
    store.update_channel(rich.id, lambda _: rich)
    assert store.get(rich.id) == rich


def test_the_cursor_moves(database: Database) -> None:
    store = ChannelStore(database)
    for block in (3, 9):
        store.move_cursor(block)
        assert store.cursor() == block


class ChannelMachine(RuleBasedStateMachine):
    """Deposits, calls, claims, refunds and exits in any order, with restarts: the store is what a simple model is."""

    channels = Bundle("channels")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model: dict[bytes, dict[str, int]] = {}
        self._open()

    def _open(self) -> None:
        self.database = Database.open(Path(self.folder.name) / "home.sqlite")
        self.store = ChannelStore(self.database)

    @rule(target=channels, salt=st.integers(0, 3))
    def seen_first(self, salt: int) -> bytes:
        one = channel(salt)
        self.store.update_channel(one.id, lambda now: now or one)
        self.model.setdefault(one.id, dict.fromkeys(("charged", "balance", "claimed", "leaving", "since"), 0))
        return one.id

    @rule(id=channels, amount=st.integers(1, 100))
    def deposited(self, id: bytes, amount: int) -> None:
        self.model[id]["balance"] += amount
        self._read(id)

    @rule(id=channels, amount=st.integers(1, 50), now=st.integers(1, 9))
    def called(self, id: bytes, amount: int, now: int) -> None:
        held, known = self.model[id], self.store.get(id)
        assert known is not None
        covered = held["charged"] + amount <= held["balance"] - held["leaving"]
        assert covered == (known.charged + amount <= known.free)
        if covered:
            total = known.charged + amount
            self.store.update_channel(id, lambda one: one and one.charge(amount, total, b"s", now))
            held["since"] = held["since"] if held["charged"] > held["claimed"] else now
            held["charged"] += amount

    @rule(id=channels)
    def claimed(self, id: bytes) -> None:
        self.model[id]["claimed"] = self.model[id]["charged"]
        self.model[id]["since"] = 0
        self._read(id)

    @rule(id=channels, amount=st.integers(1, 100))
    def refunded(self, id: bytes, amount: int) -> None:
        held = self.model[id]
        held["claimed"], held["since"] = held["charged"], 0
        back = min(amount, held["balance"] - held["claimed"])
        held["balance"] -= back
        held["leaving"] = max(held["leaving"] - back, 0)
        self._read(id)

    @rule(id=channels, amount=st.integers(1, 100))
    def exit_announced(self, id: bytes, amount: int) -> None:
        held = self.model[id]
        if not held["leaving"]:
            held["leaving"] = min(amount, held["balance"] - held["claimed"])
            self._read(id)

    @rule(id=channels)
    def exit_taken(self, id: bytes) -> None:
        held = self.model[id]
        if held["leaving"]:
            self.claimed(id)  # the claimer had at least 900 seconds
            held["balance"] -= min(held["leaving"], held["balance"] - held["claimed"])
            held["leaving"] = 0
            self._read(id)

    @rule()
    def restarted(self) -> None:
        self.database.close()
        self._open()

    def _read(self, id: bytes) -> None:
        held = self.model[id]
        state = HubState(held["balance"], held["claimed"], held["leaving"], 1 if held["leaving"] else 0)
        self.store.update_channel(id, lambda now: now and now.seen(state))

    @invariant()
    def the_store_is_the_model(self) -> None:
        found = {one.id: one for one in self.store.list()}
        assert set(found) == set(self.model)
        for id, held in self.model.items():
            one = found[id]
            assert (one.charged, one.state.balance, one.state.claimed) == (
                held["charged"],
                held["balance"],
                held["claimed"],
            )
            assert one.unclaimed == held["charged"] - held["claimed"] >= 0
            assert one.unclaimed_since == held["since"]
            assert one.signed >= one.charged >= one.state.claimed

    @invariant()
    def everything_served_can_still_be_claimed(self) -> None:
        # No call is served against money that is leaving, and what was served before is claimed before it leaves.
        for one in self.store.list():
            assert one.charged <= one.state.balance

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()


TestChannelMachine = ChannelMachine.TestCase
TestChannelMachine.settings = settings(max_examples=8, stateful_step_count=25, deadline=None)
