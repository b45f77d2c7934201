"""Two DAOs in one home, each with its own turn, payouts, claims and audit; and audits that find what was changed."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from small_dao import OWNERS, TOPICS, contribute, holdings, key_of, launch_dao, pay, texts
from sqlalchemy import text

from rodagila.app import operations
from rodagila.app.auditing import audit_dao
from rodagila.app.cli.entry import run
from rodagila.app.daos import Dao, dao_named, launch
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of, receive, seal
from rodagila.app.progress import SILENT
from rodagila.app.publication import published
from rodagila.app.turn import close
from rodagila.app.turns import turn_row, turn_rows, unfinished_turn
from rodagila.chain.authorization import authorize_receipt
from rodagila.chain.contracts import Contract
from rodagila.chain.funding import give_gas_money
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised, NotFound
from rodagila.core.policy import ModelRules, Policy, PoolRules
from rodagila.core.records import Record

NOW = 1_750_000_000
ANSWERS = {"cards": "Call the card desk.", "weather": "See the forecast.", "travel": "Open the travel page."}


def answered(topic: str, prefix: int) -> list[Record]:
    """Return texts of a topic with their answer, for a DAO that retrieves."""
    return [Record(record.text, answer=ANSWERS[topic]) for record in texts(topic, prefix)]


def write(path: Path, records: list[Record]) -> Path:
    path.write_text("".join(json.dumps(record.as_json()) + "\n" for record in records))
    return path


def stranger_posts(dao: Dao, contribution: bytes) -> None:
    """Let somebody who contributed nothing post a bond under another's contribution id, on the contract itself."""
    stranger = key_of("stranger")
    give_gas_money(dao.home.ledger, stranger.address)
    operations.faucet(dao.home, stranger.address, 1_000_000)
    post(dao.contract("Bonds"), dao, stranger, contribution, 123)


@pytest.fixture(scope="module")
def both(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a DAO that classifies and one that retrieves, both with one closed turn; never change it."""
    folder = tmp_path_factory.mktemp("products")
    shutil.copytree(prepared_home, folder / "home")
    with Home.open(folder / "home", clock=lambda: NOW) as home:
        queries = write(folder / "q.jsonl", [record for topic in TOPICS for record in answered(topic, 2)])
        policy = Policy(
            name="x", purpose="answer", model=ModelRules(task="retrieve"), pool=PoolRules(target_lift_ppm=50_000)
        )
        operations.dao_new(home, "faq", policy, queries, None, SILENT)
        faq = dao_named(home, "faq")
        for owner, topic in zip(OWNERS[:2], TOPICS, strict=False):
            home.keys.new(owner, bytes(key_of(owner).key))
            path = write(folder / f"{owner}.jsonl", answered(topic, 0))
            operations.contribute(home, path, "faq", owner, None, False, SILENT)
        pay(faq, 1_000_000)
        docs = dao_named(home, "docs")
        stranger_posts(docs, contributions_of(docs)[0].id)
        operations.turn_close(home, "docs", SILENT)
        operations.turn_close(home, "faq", SILENT)
        yield home


@pytest.fixture
def copy(both: Home, tmp_path: Path) -> Iterator[Home]:
    """A copy of that home to be changed."""
    shutil.copytree(both.path, tmp_path / "home")
    with Home.open(tmp_path / "home", clock=lambda: NOW) as home:
        yield home


def test_each_dao_has_its_own_contracts_policy_and_metric(both: Home) -> None:
    docs, faq = operations.dao_show(both, "docs"), operations.dao_show(both, "faq")
    assert [row["name"] for row in operations.dao_list(both)] == ["docs", "faq"]
    assert all(docs[name] != faq[name] for name in ("dao_id", "registry", "treasury", "rewards", "policy_hash"))
    assert docs["token"] == faq["token"]
    turns = {name: operations.turn_list(both, name)[0] for name in ("docs", "faq")}
    assert [(turns[name]["records"], turns[name]["fees"]) for name in turns] == [(12, 3_000_000), (8, 1_000_000)]
    assert turns["docs"]["metric"] != turns["faq"]["metric"]
    assert all(turns[name]["paid"] > 0 for name in turns)


def test_payouts_of_each_dao_sum_to_what_its_own_turn_paid(both: Home) -> None:
    for name, people in (("docs", 3), ("faq", 2)):
        rows = operations.payout_list(both, name, None)
        assert len(rows) == people
        closed = operations.turn_list(both, name)[0]
        assert sum(row["payout"] for row in rows) == closed["paid"]
        assert sum(int(row["tokens"]) for row in rows) == int(closed["issued"]) > 0
        told = operations.payout_explain(both, name, rows[0]["account"], None)
        assert rows[0]["account"] in told["text"]


def test_models_are_listed_and_shown_by_dao(both: Home) -> None:
    names = [row["name"] for row in operations.model_list(both)]
    assert names == ["docs-1", "faq-1"]
    assert [row["name"] for row in operations.model_list(both, "faq")] == ["faq-1"]
    assert operations.model_show(both, "faq-1")["card"]["metric"]["value_ppm"] > 0


def test_a_contribution_signed_for_one_dao_is_refused_by_the_other(both: Home) -> None:
    docs, faq = dao_named(both, "docs"), dao_named(both, "faq")
    sealed, authorization = seal(docs, key_of("ada"), texts("cards", 1))
    before = len(contributions_of(faq)), both.ledger.block_number(), list(both.blobs.ids())
    with pytest.raises(NotAuthorised) as caught:
        receive(faq, sealed, authorization)
    assert caught.value.code == "dao_mismatch"
    assert (len(contributions_of(faq)), both.ledger.block_number(), list(both.blobs.ids())) == before


def test_a_second_dao_of_the_same_name_is_refused(both: Home, tmp_path: Path) -> None:
    with pytest.raises(Conflict) as caught:
        operations.dao_new(both, "docs", Policy(name="docs"), None, None, SILENT)
    assert caught.value.code == "dao_exists"


def test_the_audit_agrees_for_both_though_a_stranger_posted_a_bond_under_another_s_contribution(both: Home) -> None:
    docs = dao_named(both, "docs")
    given = contributions_of(docs)[0].id
    assert docs.contract("Bonds").call("bondOf", given, key_of("stranger").address) == 123
    found = operations.audit(both, None, None)
    assert found["ok"], found["differences"]
    assert [(row["dao"], row["turn"]) for row in found["turns"]] == [("docs", 1), ("faq", 1)]


def test_a_claim_pays_once_and_the_second_says_that_nothing_is_due(copy: Home) -> None:
    token = dao_named(copy, "docs").contract("PayToken")
    account = operations.payout_list(copy, "docs", None)[0]["account"]
    before = token.call("balanceOf", account)
    first = operations.payout_claim(copy, "docs", account, False)
    assert first["paid"] > 0 and int(first["tokens_received"]) > 0
    assert token.call("balanceOf", account) == before + first["paid"]
    votes = dao_named(copy, "docs").contract("DaoToken")
    assert votes.call("getVotes", account) == votes.call("balanceOf", account) == int(first["tokens_received"])
    assert "tokens of the DAO" in first["text"]
    block = copy.ledger.block_number()
    again = operations.payout_claim(copy, "docs", account, False)
    assert (again["due"], again["paid"], again["claimed"]) == (0, 0, first["paid"])
    assert (again["tokens_due"], again["tokens_received"]) == ("0", "0")
    assert copy.ledger.block_number() == block
    with pytest.raises(NotFound) as caught:
        operations.payout_claim(copy, "docs", Account.create().address, False)
    assert "has earned nothing" in caught.value.message


def test_keys_made_and_imported_get_money_from_the_faucet(copy: Home) -> None:
    made = operations.key_new(copy, "new-one", None)
    secret = secrets.token_bytes(32)
    imported = operations.key_import(copy, "old-one", "0x" + secret.hex(), "passphrase")
    assert imported["address"] == Account.from_key(secret).address
    assert secret.hex() not in (copy.path / "keys" / "old-one.json").read_text()
    token = dao_named(copy, "docs").contract("PayToken")
    for account, amount in ((made["address"], 5), ("old-one", 7)):
        assert operations.faucet(copy, account, amount)["amount"] == amount
    assert token.call("balanceOf", made["address"]) == 5
    assert token.call("balanceOf", imported["address"]) == 7


def test_the_audit_needs_the_ledger_and_the_public_files_alone(copy: Home) -> None:
    with copy.database.begin() as connection:
        for table in ("proof", "contribution", "model", "feedback", "call"):
            connection.execute(text(f'DELETE FROM "{table}"'))
    found = operations.audit(copy, None, None)
    assert found["ok"], found["differences"]
    assert len(found["turns"]) == 2


def public_of(home: Home, dao: str) -> dict[str, Any]:
    public_id = turn_row(dao_named(home, dao), 1).public_id
    assert public_id is not None
    body: dict[str, Any] = json.loads(home.blobs.get(public_id))
    return body


def add(place: dict[str, Any], name: str, amount: int) -> None:
    """Change an amount, which public files hold as decimal text."""
    place[name] = str(int(place[name]) + amount)


def richer(body: dict[str, Any]) -> None:
    owner = next(iter(body["outcome"]["payouts"]))
    add(body["outcome"]["payouts"], owner, 1)


def fewer_fees(body: dict[str, Any]) -> None:
    add(body["fees"][0], "amount", -1)


def smaller_bond(body: dict[str, Any]) -> None:
    add(body["contributions"][0], "bond", -4)


def better_model(body: dict[str, Any]) -> None:
    body["model"]["baseline_ppm"] += 1


def other_seed(body: dict[str, Any]) -> None:
    add(body, "seed", 1)


@pytest.mark.parametrize(
    ("change", "named"),
    [(richer, "payout of"), (fewer_fees, "fees of"), (smaller_bond, "bond of"), (better_model, "metric"),
     (other_seed, "commitment")],
    ids=lambda item: getattr(item, "__name__", None),
)  # fmt: skip
def test_a_public_file_that_was_changed_is_found_out_and_the_difference_named(
    change: Callable[[dict[str, Any]], None], named: str, both: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rodagila.core.canonical import canonical_json

    body = public_of(both, "docs")
    path = tmp_path / "public.json"
    path.write_bytes(canonical_json(body))
    asked = ["audit", "--dao", "docs", "--turn", "1", "--public", str(path), "--home", str(both.path), "--json"]
    assert run(asked) == 0
    change(body)
    path.write_bytes(canonical_json(body))
    capsys.readouterr()
    assert run(asked) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert any(named in line for line in found["differences"]), found["differences"]
    assert any("public file on the ledger" in line for line in found["differences"])


def test_a_public_file_that_is_none_is_refused_in_a_sentence(both: Home, tmp_path: Path) -> None:
    path = tmp_path / "public.json"
    path.write_text("{}")
    with pytest.raises(InvalidInput) as caught:
        operations.audit(both, "docs", 1, path)
    assert caught.value.code == "public_file_invalid"


def test_a_replaced_blob_of_a_public_file_is_found_out(copy: Home, capsys: pytest.CaptureFixture[str]) -> None:
    public_id = turn_row(dao_named(copy, "docs"), 1).public_id
    assert public_id is not None
    (copy.path / "blobs" / public_id.hex()[:2] / public_id.hex()).write_bytes(b"{}")
    capsys.readouterr()
    assert run(["audit", "--home", str(copy.path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "blob_tampered"


def test_a_public_file_put_in_under_its_own_hash_is_found_out(copy: Home) -> None:
    from rodagila.core.canonical import canonical_json

    body = public_of(copy, "docs")
    richer(body)
    forged = copy.blobs.put(canonical_json(body))
    update = "UPDATE turn SET public_id = :id WHERE dao = 'docs' AND number = 1"
    with copy.database.begin() as connection:
        connection.execute(text(update), {"id": forged.hex()})
    found = operations.audit(copy, "docs", None)
    assert not found["ok"]
    assert any("public file on the ledger" in line for line in found["differences"])


def test_a_bond_that_an_owner_posts_too_late_or_too_small_changes_no_audit(home: Home) -> None:
    dao = dao_named(home, "docs")
    first, second, _ = contributions_of(dao)
    ada, bob = key_of("ada"), key_of("bob")
    for account in (ada, bob):
        give_gas_money(home.ledger, account.address)
    token, bonds = dao.contract("PayToken"), dao.contract("Bonds")
    all_money = token.call("balanceOf", ada.address)
    token.transact(ada, "transfer", dao.row.operator, all_money)  # ada cannot cover her bond when it is taken
    post(bonds, dao, bob, second.id, 1)  # bob posts next to nothing himself before the node takes his bond
    close(dao)
    token.transact(dao.account("operator"), "transfer", ada.address, all_money)
    post(bonds, dao, ada, first.id, 4_000)  # and ada posts hers after the record
    facts = published(dao, 1)[0].facts
    assert [entry.bond for entry in facts.contributions] == [0, 1, 4_000]
    assert [set(entry.statuses) for entry in facts.contributions] == [{-2}, {-2}, {-1}]
    contribute(dao, "cem", 2)
    pay(dao, 500_000)
    close(dao)
    found = operations.audit(home, "docs", None)
    assert found["ok"], found["differences"]


def post(bonds: Contract, dao: Dao, owner: Any, contribution: bytes, amount: int) -> None:
    until = dao.home.ledger.timestamp() + 3_600
    signed = authorize_receipt(
        owner, chain_id=dao.domain.chain_id, token=dao.token, receiver=dao.addresses["Bonds"],
        value=amount, valid_before=until, nonce=contribution,
    )  # fmt: skip
    bonds.transact(owner, "postBond", contribution, owner.address, amount, signed.valid_after, until, signed.signature)


def test_a_launch_killed_before_its_first_turn_is_finished_by_the_same_command(tmp_path: Path) -> None:
    policy, queries = Policy("docs"), tmp_path / "queries.jsonl"
    queries.write_text('{"text": "is it open", "label": "a"}\n{"text": "is it shut", "label": "b"}\n')
    with Home.open(tmp_path / "home", clock=lambda: 1_750_000_000) as home:
        cut_off = launch(home, "docs", policy, holdings(), home.keys.new)
        with pytest.raises(NotFound) as error:
            unfinished_turn(cut_off)
        assert "roda dao new docs" in error.value.hint
        operations.dao_new(home, "docs", policy, queries, None, SILENT)
        assert [row.number for row in turn_rows(cut_off)] == [1]
        with pytest.raises(Conflict):
            operations.dao_new(home, "docs", policy, queries, None, SILENT)


def test_a_turn_in_which_nothing_is_accepted_rolls_its_whole_pool_over(tmp_path: Path) -> None:
    with Home.open(tmp_path / "home", clock=lambda: NOW) as home:
        dao = launch_dao(home)
        nonsense = [
            Record("zxqv kkjw qqpz xxvw jjkq wwzx", label="cards"),
            Record("vvvv vvvv vvvv vvvv", label="travel"),
        ]
        receive(dao, *seal(dao, key_of("ada"), nonsense, salt=bytes(32)))
        pay(dao, 1_000_000)
        first = close(dao)
        assert (first["records"], first["paid"], first["dust"]) == (0, 0, 0)
        assert first["rollover"] == first["pool"] == 800_000
        contribute(dao, "bob")
        second = close(dao)
        assert second["pool"] == 800_000
        assert second["paid"] + second["dust"] + second["rollover"] == 800_000
        assert all(report.ok for report in audit_dao(dao))
        held = dao.contract("PayToken").call("balanceOf", key_of("ada").address)
        assert held == 50_000_000, "a bond without harm comes back whole"
