"""Calls paid by channel through a whole turn: claimed before its record, counted once, audited; and the ways out."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode
from small_dao import OWNERS, key_of

from rodagila.app import operations
from rodagila.app.buying import channels_in, close_channels, exit_channels
from rodagila.app.cli.entry import run
from rodagila.app.daos import Dao, dao_named
from rodagila.app.home import Home
from rodagila.app.progress import SILENT
from rodagila.app.publication import fees_of
from rodagila.app.serving import running
from rodagila.app.turns import unfinished_turn
from rodagila.chain.authorization import authorize_receipt
from rodagila.chain.funding import give_gas_money
from rodagila.chain.predeploys import ERC3009_COLLECTOR
from rodagila.client import Client, Lane
from rodagila.core.errors import NotAuthorised, NotFound
from rodagila.core.hashing import keccak_abi
from rodagila.market.channels import ChannelStore
from rodagila.market.hub import ChannelConfig, ClaimRow, Hub, voucher_digest
from rodagila.market.prices import network_of

QUESTION = "please tell me quickly: will it rain in Paris"


@pytest.fixture(scope="module")
def home(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with one closed turn and the keys of its people; each test takes a lane of its own."""
    path = tmp_path_factory.mktemp("channels") / "home"
    shutil.copytree(prepared_home, path)
    with Home.open(path) as home:
        for name in (*OWNERS, "buyer"):
            home.keys.new(name, bytes(key_of(name).key))
        operations.turn_close(home, "docs", SILENT)
        yield home


def client_of(dao: Dao, url: str, lane: Lane) -> Client:
    terms: dict[str, Any] = {"token": dao.row.token, "network": network_of(dao.domain.chain_id)}
    return Client(url, key_of("buyer"), lane=lane, **terms)


def test_a_buyer_asks_by_channel_and_closes_it_from_the_command_line(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RODA_HOME", str(home.path))
    file = str(tmp_path / "lane.json")
    dao = dao_named(home, "docs")
    price = dao.policy.prices.chat
    with running(home) as (_, url):
        ask = ["ask", QUESTION, "--dao", "docs", "--key", "buyer", "--url", url, "--channel", file, "--deposit", "0.05"]
        for _ in range(2):
            assert run([*ask, "--json"]) == 0
        capsys.readouterr()
        assert run(["channel", "list", file, "--json"]) == 0
        (listed,) = json.loads(capsys.readouterr().out)
        assert (listed["signed"], listed["balance"], listed["left"]) == (2 * price, 50_000, 50_000 - 2 * price)
        assert listed["gateway"] == url
        assert run(["channel", "close", file, "--key", "buyer", "--dry-run", "--json"]) == 0
        capsys.readouterr()
        assert run(["channel", "close", file, "--key", "buyer", "--json"]) == 0
        (closed,) = json.loads(capsys.readouterr().out)
        assert closed["returned"] == 50_000 - 2 * price
        assert close_channels(Path(file), key_of("buyer"))[0]["returned"] == 0
    with pytest.raises(NotAuthorised):
        close_channels(Path(file), key_of("ada"))
    with pytest.raises(NotFound):
        channels_in(tmp_path / "none.json")


def test_calls_by_channel_are_fees_of_the_turn_they_were_served_in(home: Home, tmp_path: Path) -> None:
    dao, buyer = dao_named(home, "docs"), key_of("buyer").address
    price = dao.policy.prices.chat
    before = sum(fee.amount for fee in fees_of(dao, 2))
    with running(home) as (_, url), client_of(dao, url, Lane(tmp_path / "lane.json", 100_000, 3)) as client:
        for _ in range(5):
            client.ask("docs", QUESTION)
        assert sum(fee.amount for fee in fees_of(dao, 2)) == before  # nothing is claimed yet
        operations.turn_close(home, "docs", SILENT)  # while the gateway serves
        (fee,) = fees_of(dao, 2)
        assert (fee.account, fee.amount) == (buyer, before + 5 * price)
        client.ask("docs", QUESTION)
    # The gateway claimed what was left when it ended: that is the next turn's.
    (fee,) = fees_of(dao, 3)
    assert (fee.account, fee.amount) == (buyer, price)
    assert all(channel.unclaimed == 0 for channel in ChannelStore(home.database).list())
    assert operations.audit(home, "docs", 2)["ok"]


def test_what_a_stranger_claims_for_the_treasury_and_does_not_pay_out_holds_up_no_turn(
    prepared_home: Path, tmp_path: Path
) -> None:
    shutil.copytree(prepared_home, tmp_path / "home")
    with Home.open(tmp_path / "home") as home:
        _close_after_a_stranger_s_claim(home)


def _close_after_a_stranger_s_claim(home: Home) -> None:
    """Close a turn of a gateway that never saw a channel, after somebody claimed from a channel of her own making."""
    dao, ada, amount = dao_named(home, "docs"), key_of("ada"), 10_000_000
    hub, salt, until = Hub(home.ledger), bytes(31) + b"\x07", int(time.time()) + 3_600
    config = ChannelConfig(ada.address, ada.address, dao.row.treasury, ada.address, dao.row.token, 900, salt)
    channel = config.id_on(home.ledger.chain_id)
    signed = authorize_receipt(
        ada,
        chain_id=home.ledger.chain_id,
        token=dao.token,
        receiver=ERC3009_COLLECTOR,
        value=amount,
        valid_before=until,
        nonce=keccak_abi(["bytes32", "uint256"], [channel, 7]),
    )
    data = abi_encode(["uint256", "uint256", "uint256", "bytes"], [0, until, 7, signed.signature])
    give_gas_money(home.ledger, ada.address)
    hub.contract.transact(ada, "deposit", config.as_tuple(), amount, ERC3009_COLLECTOR, data)
    voucher = bytes(ada.unsafe_sign_hash(voucher_digest(home.ledger.chain_id, channel, amount)).signature)
    hub.contract.transact(ada, "claim", [ClaimRow(config, amount, voucher, amount).as_tuple()])
    held = dao.contract("PayToken").call("balanceOf", dao.row.treasury)
    turn = unfinished_turn(dao)
    assert held < amount // 2 and hub.unsettled(dao.row.treasury, dao.row.token) >= amount
    closed = operations.turn_close(home, "docs", SILENT)
    assert (closed["turn"], closed["pool"] > held, closed["paid"] > held) == (turn, True, True)
    assert hub.unsettled(dao.row.treasury, dao.row.token) == 0
    assert operations.audit(home, "docs", turn)["ok"]


def test_a_buyer_leaves_a_channel_without_its_gateway(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dao, buyer = dao_named(home, "docs"), key_of("buyer")
    lane = Lane(tmp_path / "lane.json", 100_000, 2)
    with running(home) as (_, url), client_of(dao, url, lane) as client:
        client.ask("docs", QUESTION)
    token = dao.contract("PayToken")
    before = token.call("balanceOf", buyer.address)
    give_gas_money(home.ledger, buyer.address)
    (announced,) = exit_channels(home, lane.path, buyer)
    left = 100_000 - dao.policy.prices.chat
    assert (announced["state"], announced["amount"]) == ("announced", left)
    assert exit_channels(home, lane.path, buyer)[0]["state"] == "announced"
    assert channels_in(lane.path)[0]["left"] == 0  # nothing more is signed against it
    later = int(time.time()) + dao.policy.channels.withdraw_delay_seconds + 60
    monkeypatch.setattr(home.ledger, "_clock", lambda: later)  # blocks cannot go back: this test is the last
    (returned,) = exit_channels(home, lane.path, buyer)
    assert (returned["state"], returned["amount"]) == ("returned", left)
    assert token.call("balanceOf", buyer.address) - before == left
    assert exit_channels(home, lane.path, buyer)[0]["state"] == "empty"
