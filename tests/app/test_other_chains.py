"""The product on a chain that is not embedded: a development chain as it is, a public one with money of its own."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_dao import OWNERS, TOPIC_OF, TOPICS, contribute, holdings, key_of, pay, texts

from anvil import Chain, program, running
from documents import Block, blocks_of, parse
from rodagila.app import operations
from rodagila.app.auditing import audit_dao
from rodagila.app.cli.entry import run
from rodagila.app.cli.health import node_answers
from rodagila.app.daos import Dao, launch
from rodagila.app.demo import run_demo
from rodagila.app.home import Home
from rodagila.app.progress import SILENT
from rodagila.app.publication import fees_of
from rodagila.app.scenario import Options
from rodagila.app.turn import begin_turn, close
from rodagila.app.turns import turn_row
from rodagila.chain.addresses import from_text, to_text
from rodagila.chain.contracts import Contract, deploy, load_artifact
from rodagila.chain.embedded import EmbeddedLedger
from rodagila.chain.genesis import faucet_account
from rodagila.chain.port import EMBEDDED_CHAIN_ID
from rodagila.chain.predeploys import CHANNELS
from rodagila.chain.rpc import RpcLedger
from rodagila.chain.tokens import Token
from rodagila.core.errors import InvalidInput, PaymentFailed, RefusedByPolicy, Unreachable
from rodagila.core.policy import Policy, PoolRules
from rodagila.core.records import Record

FAUCET = faucet_account()
TOKEN = "0x00000000000000000000000000000000000070c3"
ANVIL_KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
SMALLEST = {"owners": 3, "turns": 1, "queries": 6, "calls": 2, "threads": 1, "freeloaders": False}


@pytest.fixture(scope="module")
def plain() -> Iterator[Chain]:
    """Anvil as it starts by itself: chain 31337."""
    with running(31337) as chain:
        yield chain


@pytest.fixture(scope="module")
def public() -> Iterator[Chain]:
    """A chain with the id of a public one."""
    with running(8453) as chain:
        yield chain


@pytest.fixture(scope="module")
def money(public: Chain, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A token on the public chain that somebody issues, as USDC: the shipped one, put there by its runtime code."""
    with EmbeddedLedger.open(tmp_path_factory.mktemp("token") / "ledger.db") as embedded:
        code = embedded.code(deploy(embedded, FAUCET, "PayToken", FAUCET.address).address)
    public.ask("anvil_setCode", TOKEN, "0x" + code.hex())
    public.ask("anvil_setBalance", FAUCET.address, hex(10**20))
    return TOKEN


def record_of(record: Record) -> dict[str, str]:
    return {"text": record.text, "label": record.label or ""}


def told(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a demonstration tells, without what follows from addresses and times."""
    turns = [{name: value for name, value in turn.items() if name not in ("root", "model")} for turn in result["turns"]]
    return {"owners": result["owners"], "turns": turns, "rise": result["rise"], "audit": result["audit"]["ok"]}


def test_a_small_demonstration_runs_on_anvil_and_its_audit_agrees(plain: Chain, tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    owned = [{"owner": owner, **record_of(record)} for owner, topic in TOPIC_OF.items() for record in texts(topic, 0)]
    asked = [record_of(record) for topic in TOPICS for record in texts(topic, 2)]
    data.write_text("".join(json.dumps(row) + "\n" for row in (*owned, *asked)))
    result = run_demo(Options(out=tmp_path / "demo", ledger=plain.url, data=data, **SMALLEST), SILENT)
    (turn,) = result["turns"]
    assert result["audit"]["ok"]
    assert 0 < turn["paid"] == sum(owner["payout"] for owner in result["owners"])


@pytest.mark.slow
def test_roda_demo_tells_the_same_on_anvil_as_on_the_embedded_ledger(plain: Chain, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rodagila.app.cli", "demo", "--json", "--out"]
    results = []
    for name, ledger in (("here", ""), ("there", plain.url)):
        done = subprocess.run(
            [*command, str(tmp_path / name)], env={**os.environ, "RODA_LEDGER": ledger},
            capture_output=True, text=True, timeout=1800, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
        results.append(told(json.loads(done.stdout)))
    assert results[0] == results[1]


def test_a_development_chain_gets_the_contracts_that_payment_channels_need(plain: Chain, tmp_path: Path) -> None:
    with Home.open(tmp_path / "home", ledger_url=plain.url) as home:
        assert home.ledger.code(CHANNELS)


def test_the_faucet_of_a_development_chain_is_filled_by_the_node(plain: Chain, tmp_path: Path) -> None:
    with Home.open(tmp_path / "home", ledger_url=plain.url) as home:
        address = key_of("somebody").address
        assert operations.faucet(home, address, 5_000_000)["amount"] == 5_000_000
        assert home.ledger.balance(address) > 0


def test_a_home_belongs_to_one_chain(plain: Chain, public: Chain, tmp_path: Path) -> None:
    path = tmp_path / "home"
    with Home.open(path, ledger_url=plain.url) as home:
        assert home.ledger.chain_id == 31337
    for other in (public.url, ""):
        with Home.open(path, ledger_url=other) as home, pytest.raises(RefusedByPolicy) as caught:
            _ = home.ledger
        assert caught.value.code == "chain_mismatch"
        assert "31337" in str(caught.value)
    assert not (path / "ledger.sqlite").exists()


def test_a_home_with_an_embedded_ledger_stays_with_it(plain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "home"
    with Home.open(path, ledger_url="") as home:
        assert home.ledger.chain_id == EMBEDDED_CHAIN_ID
    marker = json.loads((path / "home.json").read_text())
    for text in (marker, {"format": marker["format"]}):  # a home of an earlier version notes no chain
        (path / "home.json").write_text(json.dumps(text))
        with Home.open(path, ledger_url=plain.url) as home, pytest.raises(RefusedByPolicy):
            _ = home.ledger
    with Home.open(path, ledger_url="") as home:
        assert home.ledger.block_number() == 0


def test_the_option_and_the_variable_lead_to_the_same_chain(
    plain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = key_of("cli").address
    give = ["faucet", account, "--json", "--home"]
    assert run([*give, str(tmp_path / "a"), "--ledger", plain.url]) == 0
    monkeypatch.setenv("RODA_LEDGER", plain.url)
    assert run([*give, str(tmp_path / "b")]) == 0
    assert json.loads((tmp_path / "a/home.json").read_text()) == json.loads((tmp_path / "b/home.json").read_text())
    monkeypatch.setenv("RODA_LEDGER", "http://127.0.0.1:9")
    assert run([*give, str(tmp_path / "c")]) == 7
    assert "node gave no answer" in capsys.readouterr().out


def test_the_doctor_asks_the_node(plain: Chain, tmp_path: Path) -> None:
    found = node_answers(tmp_path / "none", plain.url)
    assert (found.ok, "chain 31337" in found.found) == (True, True)
    with Home.open(tmp_path / "home", ledger_url=plain.url) as home:
        _ = home.ledger
    assert node_answers(tmp_path / "home", plain.url).ok
    with pytest.raises(Unreachable):
        node_answers(tmp_path / "home", "http://127.0.0.1:9")


def launched(home: Home, token: str | None) -> Dao:
    policy = Policy(name="docs", pool=PoolRules(target_lift_ppm=100_000))
    return launch(home, "docs", policy, holdings(), home.keys.new, token)


def test_a_public_chain_has_no_faucet_and_says_what_is_missing(
    public: Chain, money: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Home.open(tmp_path / "home", ledger_url=public.url) as home:
        home.wait = lambda seconds: public.mine()
        assert home.ledger.confirmations == 12
        with pytest.raises(RefusedByPolicy, match="no faucet"):
            operations.faucet(home, key_of("ada").address, 1)
        with pytest.raises(RefusedByPolicy, match="no faucet"):
            launched(home, None)
        with pytest.raises(RefusedByPolicy, match="RODA_FUNDER"):
            launched(home, money)
        home.keys.new("poor")
        monkeypatch.setenv("RODA_FUNDER", "poor")
        for role in ("operator", "evaluator", "gateway"):
            (tmp_path / "home" / "keys" / f"docs-{role}.json").unlink(missing_ok=True)
        with pytest.raises(PaymentFailed) as caught:
            launched(home, money)
        assert caught.value.code == "gas_short"


@pytest.mark.parametrize(
    ("address", "what"),
    [("0x" + "11" * 20, "no contract"), (CHANNELS, "decimals"), ("nonsense", "address")],
)
def test_what_cannot_be_a_dao_s_money_is_refused(public: Chain, tmp_path: Path, address: str, what: str) -> None:
    public.ask("anvil_setCode", CHANNELS, "0x" + load_artifact("Channels").deployed_bytecode.hex())
    with Home.open(tmp_path / "home", ledger_url=public.url) as home, pytest.raises(InvalidInput, match=what):
        launched(home, address)


def test_a_dao_lives_on_a_public_chain_in_its_token_and_its_funder_pays_the_gas(
    public: Chain, money: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RODA_FUNDER", "treasurer")
    with Home.open(tmp_path / "home", clock=lambda: 1_750_000_000, ledger_url=public.url) as home:
        home.wait = lambda seconds: public.mine()
        home.keys.import_key("treasurer", ANVIL_KEY)
        dao = launched(home, money)
        assert dao.token == Token(to_text(from_text(money)), "Roda Pay", "1")
        begin_turn(dao, 1)
        issuer = Contract(home.ledger, money, load_artifact("PayToken"))
        for person in (*OWNERS, "buyer"):
            issuer.transact(FAUCET, "drip", key_of(person).address, 50_000_000)
        for owner in OWNERS:
            contribute(dao, owner)
        pay(dao, 3_000_000)
        assert fees_of(dao, 1) == ()  # in a block, but in no confirmed one
        public.mine(12)
        assert [fee.amount for fee in fees_of(dao, 1)] == [3_000_000]
        close(dao)
        summary = turn_row(dao, 1).summary
        assert summary is not None and summary["paid"] > 0
        assert all(report.ok for report in audit_dao(dao))
        assert node_answers(home.path, public.url).ok
        public.ask("anvil_setBalance", dao.row.gateway, "0x0")
        poor = node_answers(home.path, public.url)
        assert (poor.ok, dao.row.gateway in poor.fix, dao.row.operator in poor.fix) == (False, True, False)


def test_a_view_of_the_public_chain_is_not_seen_by_other_threads(public: Chain, tmp_path: Path) -> None:
    from threading import Thread

    public.mine(3)
    with Home.open(tmp_path / "home", ledger_url=public.url) as home:
        seen = list[int]()
        with home.viewing(1):
            other = Thread(target=lambda: seen.append(home.ledger.block_number()))
            other.start()
            other.join()
            assert home.ledger.block_number() == 1
        assert seen[0] == home.ledger.block_number() > 1
        assert isinstance(home.ledger, RpcLedger)


def blocks_of_the_page(project_root: Path) -> list[Block]:
    """Return the commands of the page of operations about chains that are not embedded."""
    every = blocks_of((project_root / "docs" / "operations.md").read_text(encoding="utf-8"))
    return [block for block in every if block.heading == "A ledger that is not embedded"]


def test_the_commands_of_the_page_parse(project_root: Path) -> None:
    lines = [shlex.split(line) for block in blocks_of_the_page(project_root) for line in block.commands]
    commands = [words[1:] for words in lines if words[0] == "roda"]
    assert len(commands) >= 6
    for words in commands:
        parse(words)


def test_the_commands_of_a_development_chain_work_as_the_page_has_them(project_root: Path, tmp_path: Path) -> None:
    started, *commands = blocks_of_the_page(project_root)[0].commands
    assert shlex.split(started)[0] == "anvil"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ready = "for i in $(seq 100); do (echo > /dev/tcp/127.0.0.1/8545) 2> /dev/null && break; sleep 0.1; done"
    script = ["set -euo pipefail", started.replace("&", "> /dev/null &"), "trap 'kill %1' EXIT", ready]
    script += [command for command in commands if command != "roda demo"]  # has tests of its own
    roda = tmp_path / "roda"
    roda.write_text(f'#!/bin/sh\nexec {sys.executable} -m rodagila.app.cli "$@"\n')
    roda.chmod(0o755)
    path = f"{tmp_path}:{Path(program()).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "RODA_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["bash", "-c", "\n".join(script).replace("8545", port)], env=environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert "ok    ledger: chain 31337" in done.stdout
    assert "received 5" in done.stdout
