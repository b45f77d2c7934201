"""The arena over a home: two turns' models meet, the buyer prefers by the command line, anybody checks the ratings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_dao import OWNERS, contribute, key_of, pay, texts

from rodagila.app import operations
from rodagila.app.arena import HomeLine, evidence_of, ratings_of, stakes_of
from rodagila.app.cli.entry import run
from rodagila.app.daos import Dao, dao_named
from rodagila.app.home import Home
from rodagila.app.progress import SILENT
from rodagila.app.serving import running
from rodagila.app.turn import close
from rodagila.chain.contracts import deploy, send_wei
from rodagila.chain.funding import faucet_of
from rodagila.client import Client
from rodagila.core.hashing import keccak
from rodagila.market.prices import network_of
from rodagila.value.reputation import Evidence

NOW = 1_750_000_000
QUESTION = texts("weather", 0)[0].text

Roda = Callable[..., Any]


@pytest.fixture(scope="module")
def two_turns(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two closed turns, so two models. Never change it: copy it."""
    path = tmp_path_factory.mktemp("arena") / "home"
    shutil.copytree(prepared_home, path)
    with Home.open(path, clock=lambda: NOW) as home:
        home.keys.new("buyer", bytes(key_of("buyer").key))
        dao = dao_named(home, "docs")
        close(dao, SILENT)
        for owner in OWNERS:
            contribute(dao, owner, 2)
        pay(dao, 1_000_000)
        close(dao, SILENT)
    return path


@pytest.fixture
def path(two_turns: Path, tmp_path: Path) -> Path:
    shutil.copytree(two_turns, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def dao(path: Path) -> Iterator[Dao]:
    with Home.open(path, clock=lambda: NOW) as home:
        yield dao_named(home, "docs")


@pytest.fixture
def roda(path: Path, capsys: pytest.CaptureFixture[str]) -> Roda:
    def command(*arguments: str, status: int = 0, home: bool = True) -> Any:
        capsys.readouterr()
        where = ("--home", str(path)) if home else ()
        assert run([*arguments, *where, "--json"]) == status
        found = json.loads(capsys.readouterr().out)
        return found["error"] if status else found

    return command


def test_ask_two_prefer_and_check_by_the_command_line(roda: Roda, path: Path, tmp_path: Path) -> None:
    planned = roda("arena", "ask", QUESTION, "--dao", "docs", "--key", "buyer", "--dry-run")
    asked = roda("arena", "ask", QUESTION, "--dao", "docs", "--key", "buyer")
    assert asked["paid"] == planned["price"] == 4_000
    assert set(asked["answers"]) == {"a", "b"} and "docs-" not in json.dumps(asked["answers"])
    receipt = asked["receipt"]["id"]
    assert roda("arena", "prefer", receipt, "a", "--key", "buyer", "--dry-run")["dry_run"]
    assert roda("arena", "prefer", receipt, "a", "--key", "buyer")["preferred"] == "a"
    again = roda("arena", "prefer", receipt, "b", "--key", "buyer", status=1)
    assert again["code"] == "preference_used"
    file = tmp_path / "ratings.json"
    rated = roda("model", "ratings", "--dao", "docs", "--out", str(file))
    assert rated["preferences"] == 1
    assert {row["model"] for row in rated["ratings"]} == {"docs-1", "docs-2"}
    assert rated["raters"][0]["why"].endswith("of 5 golds answered")
    assert roda("arena", "check", str(file), home=False) == {
        "ok": True, "ratings": rated["ratings"], "raters": rated["raters"]
    }  # fmt: skip
    assert roda("model", "ratings", "--dao", "docs", "--out", str(file), status=1)["code"] == "file_exists"
    forged = json.loads(file.read_text())
    forged["preferences"][0]["preferred"] = "b"
    file.write_text(json.dumps(forged))
    assert roda("arena", "check", str(file), home=False, status=2)["code"] == "ratings_invalid"


def test_a_running_gateway_asks_both_models_and_takes_the_preference(dao: Dao, path: Path, roda: Roda) -> None:
    with running(dao.home) as (gateway, url):
        terms = {"token": dao.row.token, "network": network_of(dao.domain.chain_id)}
        with Client(url, key_of("buyer"), **terms) as client:
            assert client.arena("docs")["models"] == ["docs-1", "docs-2"]
            reply = client.ask_two("docs", QUESTION)
            assert reply.receipt is not None
            taken = operations.arena_prefer(
                dao.home, "0x" + reply.receipt.id.hex(), "tie", "buyer", None, url, dry_run=False
            )
            assert taken["preferred"] == "tie"
            told = client.ratings("docs")
        line = HomeLine(dao.home, gateway.catalogue)
        first, second = (line.model(name).model for name in ("docs-1", "docs-2"))
        assert first.answer(QUESTION, 5).text != second.answer(QUESTION, 5).text
        assert len(first.search(QUESTION, 50)) == 12 and len(second.search(QUESTION, 50)) == 24
    assert told["result"]["ratings"] == ratings_of(dao)["result"]["ratings"]


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("arena", "prefer", "0x12", "a", "--key", "buyer"), 2, "usage"),
        (("arena", "prefer", "0x" + "00" * 32, "a", "--key", "buyer"), 4, "receipt_unknown"),
        (("arena", "prefer", "0x" + "00" * 32, "c", "--key", "buyer"), 2, "usage"),
        (("model", "ratings", "--dao", "nobody"), 4, "dao_unknown"),
    ],
)
def test_what_cannot_be_preferred_is_told_in_a_sentence(
    roda: Roda, arguments: tuple[str, ...], status: int, code: str
) -> None:
    assert roda(*arguments, status=status)["code"] == code


def test_a_file_that_is_none_of_ratings_is_told_in_a_sentence(roda: Roda, tmp_path: Path) -> None:
    assert roda("arena", "check", str(tmp_path / "none"), home=False, status=4)["code"] == "file_unknown"
    for content in (b"", b"\xff\xfe", b"[" * 100_000, b"{}"):
        (tmp_path / "bad").write_bytes(content)
        assert roda("arena", "check", str(tmp_path / "bad"), home=False, status=2)["code"] == "ratings_invalid"


def test_stakes_and_slashes_come_from_the_ledger(dao: Dao) -> None:
    ledger, staker, token = dao.home.ledger, key_of("buyer"), dao.contract("PayToken")
    owner = faucet_of(ledger)
    # A DAO's own contract slashes by decision only, which takes days: the same contract, owned by an account.
    stake = deploy(ledger, owner, "Stake", owner.address, token.address, dao.row.treasury)
    dao.addresses["Stake"] = stake.address
    send_wei(ledger, owner, staker.address, 10**18)
    token.transact(staker, "approve", stake.address, 3_000_000)
    stake.transact(staker, "stake", 1, 3_000_000)
    assert stakes_of(dao, [staker.address, key_of("ada").address]) == {staker.address: 3_000_000}
    assert evidence_of(dao) == {}
    stake.transact(owner, "slash", 1, staker.address, 1_000_000, keccak(b"fault"))
    assert evidence_of(dao) == {staker.address: [Evidence(3, slashes=1)]}
    assert stakes_of(dao, [staker.address]) == {staker.address: 2_000_000}
