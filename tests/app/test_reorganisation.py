"""A turn on a chain that is reorganised up to twelve blocks deep pays what it pays undisturbed; deeper ones stop it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_dao import OWNERS, contribute, key_of, launch_dao, pay

from anvil import Chain, running
from rodagila.app.auditing import audit_dao
from rodagila.app.daos import Dao, dao_named
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of
from rodagila.app.ledger_steps import opened_block, recorded_block
from rodagila.app.serving import Gateway, ask_paid
from rodagila.app.turn import close, learn, settle
from rodagila.app.turns import turn_row
from rodagila.chain.port import EMBEDDED_CHAIN_ID
from rodagila.core.errors import Conflict
from rodagila.market.settlements import Settlements

CONFIRMATIONS = 12
FEES = 3_000_000


@pytest.fixture(scope="module")
def patient() -> Iterator[None]:
    """Homes wait for twelve confirmations, as on a public chain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RODA_CONFIRMATIONS", str(CONFIRMATIONS))
        yield


@pytest.fixture(scope="module")
def chain(patient: None) -> Iterator[Chain]:
    """A chain of our own."""
    with running(EMBEDDED_CHAIN_ID) as found:
        yield found


@contextmanager
def opened(path: Path, chain: Chain) -> Iterator[Home]:
    """Open a home on the chain; where it waits, a block is mined."""
    with Home.open(path, clock=lambda: 1_750_000_000, ledger_url=chain.url) as home:
        home.wait = lambda seconds: chain.mine()
        yield home


@dataclass(slots=True)
class Prepared:
    """A home whose first turn is ready to be closed, and the chain's snapshot of that moment."""

    path: Path
    chain: Chain
    snapshot: str

    def restored(self, to: Path) -> Path:
        """Put the chain back and return a copy of the home."""
        assert self.chain.ask("evm_revert", self.snapshot)
        self.snapshot = self.chain.ask("evm_snapshot")
        shutil.copytree(self.path, to)
        return to


@pytest.fixture(scope="module")
def prepared(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The small DAO with its owners' contributions and a buyer's fees."""
    path = tmp_path_factory.mktemp("prepared") / "home"
    with opened(path, chain) as home:
        dao = launch_dao(home)
        for owner in OWNERS:
            contribute(dao, owner)
        pay(dao, FEES)
        chain.mine(CONFIRMATIONS)
    return Prepared(path, chain, chain.ask("evm_snapshot"))


class Disturbance:
    """Reorganises once, when ``depth`` blocks are to go and the n-th transaction of the turn is the oldest of them.

    ``at_once``: right after that transaction was sent, before anybody has asked for its receipt.
    """

    def __init__(self, chain: Chain, home: Home, nth: int, depth: int, *, at_once: bool = False) -> None:
        self.chain, self.home, self.nth, self.depth = chain, home, nth, depth
        self.blocks: list[int] = []
        self.done = False
        ledger: Any = home.live_ledger
        send = ledger.send_many

        def counted(raws: Any) -> Any:
            hashes = send(raws)
            self.blocks += [ledger.receipt(tx_hash).block_number for tx_hash in hashes]
            if at_once and not self.done and len(self.blocks) >= nth:
                self.chain.reorganise(depth)
                self.done = True
            return hashes

        ledger.send_many = counted
        home.wait = self.wait

    def wait(self, seconds: float) -> None:
        """Let the chain go on by a block, or reorganise it."""
        head = self.home.live_ledger.block_number()
        if not self.done and len(self.blocks) >= self.nth and head - self.blocks[self.nth - 1] >= self.depth - 1:
            self.chain.reorganise(self.depth)
            self.done = True
        self.chain.mine()


def outcome(dao: Dao) -> dict[str, Any]:
    """Return what people see of the closed turn, and every balance."""
    token = dao.contract("PayToken")
    people = {name: key_of(name).address for name in (*OWNERS, "buyer")}
    accounts = {**people, **{name: dao.addresses[name] for name in ("Treasury", "Rewards", "Bonds")}}
    return {
        "summary": turn_row(dao, 1).summary,
        "balances": {name: token.call("balanceOf", account) for name, account in accounts.items()},
        "batches": [(row.id, row.batch, row.first_place) for row in contributions_of(dao)],
        "audit": [report.as_json() for report in audit_dao(dao)],
    }


def closed(
    prepared: Prepared, path: Path, nth: int, depth: int, *, at_once: bool = False
) -> tuple[dict[str, Any], int]:
    """Close the turn under a disturbance (0: none); return what came of it and the number of its transactions."""
    with opened(prepared.restored(path), prepared.chain) as home:
        dao = dao_named(home, "docs")
        disturbance = Disturbance(prepared.chain, home, nth or 10_000, depth, at_once=at_once)
        close(dao)
        assert disturbance.done == bool(nth)
        assert turn_row(dao, 1).last_block == recorded_block(dao, 1)
        assert turn_row(dao, 2).first_block == opened_block(dao, 2)
        return outcome(dao), len(disturbance.blocks)


@pytest.fixture(scope="module")
def undisturbed(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The turn without a reorganisation."""
    found, sent = closed(prepared, tmp_path_factory.mktemp("undisturbed") / "home", 0, 0)
    assert found["summary"]["fees"] == FEES
    assert found["summary"]["paid"] > 0
    assert all(report["ok"] for report in found["audit"])
    return found, sent


def test_a_turn_reorganised_at_places_of_every_kind_ends_like_an_undisturbed_one(
    prepared: Prepared, undisturbed: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    wanted, sent = undisturbed
    places = ((1, 1), (sent // 2, 3), (sent, 12))
    for nth, depth in places:
        found, _ = closed(prepared, tmp_path / f"{nth}-{depth}", nth, depth)
        assert found == wanted, (nth, depth)


def test_a_transaction_that_vanishes_before_its_receipt_is_read_is_sent_again(
    prepared: Prepared, undisturbed: tuple[dict[str, Any], int], tmp_path: Path
) -> None:
    wanted, sent = undisturbed
    found, again = closed(prepared, tmp_path / "home", 2, 1, at_once=True)
    assert found == wanted
    assert again > sent


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3, 7, 12])
def test_a_turn_reorganised_at_any_of_its_transactions_ends_like_an_undisturbed_one(
    prepared: Prepared, undisturbed: tuple[dict[str, Any], int], tmp_path: Path, depth: int
) -> None:
    wanted, sent = undisturbed
    for nth in range(1, sent + 1):
        found, _ = closed(prepared, tmp_path / str(nth), nth, depth)
        assert found == wanted, (nth, depth)


def test_a_reorganisation_deeper_than_the_confirmations_stops_and_changes_nothing(
    prepared: Prepared, tmp_path: Path
) -> None:
    with opened(prepared.restored(tmp_path / "home"), prepared.chain) as home:
        prepared.chain.mine(CONFIRMATIONS + 1)  # the snapshot stays
        dao = dao_named(home, "docs")
        prepared.chain.reorganise(CONFIRMATIONS + 1)
        before = (contributions_of(dao), turn_row(dao, 1), home.live_ledger.block_number())
        with pytest.raises(Conflict) as caught:
            close(dao)
        assert caught.value.code == "ledger_reorganised"
        assert (contributions_of(dao), turn_row(dao, 1), home.live_ledger.block_number()) == before


def test_a_reorganisation_too_deep_in_the_middle_of_a_turn_stops_it_for_good(
    prepared: Prepared, tmp_path: Path
) -> None:
    with opened(prepared.restored(tmp_path / "home"), prepared.chain) as home:
        dao = dao_named(home, "docs")
        Disturbance(prepared.chain, home, 3, CONFIRMATIONS + 1)
        with pytest.raises(Conflict) as caught:
            close(dao)
        assert caught.value.code == "ledger_reorganised"
        before = (contributions_of(dao), turn_row(dao, 1), home.live_ledger.block_number())
        with pytest.raises(Conflict):
            close(dao)
        assert (contributions_of(dao), turn_row(dao, 1), home.live_ledger.block_number()) == before
        assert turn_row(dao, 1).summary is None
    with opened(tmp_path / "home", prepared.chain) as home, pytest.raises(Conflict):
        _ = home.ledger


def test_paid_calls_that_vanish_before_the_turn_is_recorded_are_settled_again_and_counted(
    prepared: Prepared, tmp_path: Path
) -> None:
    chain, buyer = prepared.chain, key_of("buyer")
    with opened(prepared.restored(tmp_path / "home"), chain) as home:
        dao = dao_named(home, "docs")
        learn(dao)
        price = sum(ask_paid(dao, question, buyer, None)["paid"] for question in ("my card is lost", "rain in Oslo"))
        paid = dao.contract("PayToken").call("balanceOf", buyer.address)
        chain.reorganise(2)
        assert dao.contract("PayToken").call("balanceOf", buyer.address) == paid + price
        settle(dao)
        assert dao.contract("PayToken").call("balanceOf", buyer.address) == paid
        summary = turn_row(dao, 1).summary
        assert summary is not None
        assert (summary["fees"], summary["calls"]) == (FEES + price, 3)
        assert all(report.ok for report in audit_dao(dao))


def test_a_gateway_looks_after_its_settlements_between_turns(prepared: Prepared, tmp_path: Path) -> None:
    chain, buyer = prepared.chain, key_of("buyer")
    with opened(prepared.restored(tmp_path / "home"), chain) as home:
        dao = dao_named(home, "docs")
        learn(dao)
        ask_paid(dao, "my card is lost", buyer, None)
        paid = dao.contract("PayToken").call("balanceOf", buyer.address)
        chain.reorganise(1)
        assert dao.contract("PayToken").call("balanceOf", buyer.address) > paid
        gateway = Gateway(home)
        gateway.try_follow()
        assert dao.contract("PayToken").call("balanceOf", buyer.address) == paid
        chain.mine(CONFIRMATIONS)
        gateway.try_follow()
        assert Settlements(home.database).waiting() == []
