"""Bad input of every kind: one clear sentence, its code, the right exit status, and nothing half-done is left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from small_dao import OWNERS, contribute, holdings, key_of, launch_dao, texts
from sqlalchemy import event, text

from rodagila.app import operations
from rodagila.app.auditing import audit_dao
from rodagila.app.cli.entry import run
from rodagila.app.daos import Dao, dao_named, drip, launch
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of, receive, seal
from rodagila.app.payouts import payouts_of
from rodagila.app.progress import SILENT
from rodagila.app.publication import published
from rodagila.app.turn import begin_turn, close, learn
from rodagila.app.turns import turn_rows
from rodagila.chain.authorization import Authorization, authorize_receipt
from rodagila.collect.contribution import Consent, SealedContribution, prepare_contribution
from rodagila.core.errors import Corrupted, PaymentFailed, RodaError, Unreachable
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, sign
from rodagila.core.policy import Policy, PoolRules, RecordRules
from rodagila.store import blobs, schema

NOW = 1_750_000_000
GOOD = [record.as_json() for record in texts("cards", 0)]


def state_of(home: Home) -> dict[str, Any]:
    """Return everything that a refusal must leave alone: rows, blobs, the ledger's height, files."""
    with home.database.begin() as connection:
        tables = [table for table in schema.metadata.sorted_tables if table is not schema.channel_cursor]
        rows = {table.name: connection.execute(table.select()).all() for table in tables}  # the cursor only reads on
    names = {str(path.relative_to(home.path)) for path in home.path.rglob("*") if path.is_file()}
    kept = {name for name in names if not name.endswith(("-wal", "-shm", ".lock"))}
    return {"rows": rows, "blobs": list(home.blobs.ids()), "block": home.ledger.block_number(), "files": kept}


@pytest.fixture(scope="module")
def still(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One home for all refusals: each of them must leave it as it is."""
    path = tmp_path_factory.mktemp("still") / "home"
    shutil.copytree(prepared_home, path)
    with Home.open(path, clock=lambda: NOW) as home:
        for owner in OWNERS:
            home.keys.new(owner, bytes(key_of(owner).key))
        home.keys.new("sealed", keccak(b"sealed"), passphrase="correct horse")
        home.keys.new("poor", keccak(b"poor"))
        yield home


@pytest.fixture
def unchanged(still: Home) -> Iterator[Home]:
    """The same home, compared before and after the test."""
    before = state_of(still)
    yield still
    assert state_of(still) == before


def prepared(dao: Dao, **changes: Any) -> tuple[SealedContribution, Authorization]:
    """Return a good contribution of ada's, with some of its parts changed before it is signed."""
    owner = key_of("ada")
    parts: dict[str, Any] = {
        "owner": owner,
        "domain": dao.domain,
        "policy": dao.policy,
        "keeper_recipient": dao.keeper().recipient,
        "nonce": 77,
        "salt": keccak(b"bad input"),
        "consent_expiry": NOW + 1_000,
    } | changes
    sealed = prepare_contribution(texts("cards", 1), **parts)
    return sealed, bond(dao, owner, sealed.contribution_id)


def bond(dao: Dao, owner: LocalAccount, nonce: bytes, value: int = 4_000, receiver: str = "") -> Authorization:
    """Return an authorisation of a bond."""
    return authorize_receipt(
        owner,
        chain_id=dao.domain.chain_id,
        token=dao.token,
        receiver=receiver or dao.addresses["Bonds"],
        value=value,
        valid_before=dao.home.ledger.timestamp() + 1_000,
        nonce=nonce,
    )


def foreign_signature(dao: Dao) -> tuple[SealedContribution, Authorization]:
    sealed, authorization = prepared(dao)
    return replace(sealed, signature=sign(key_of("bob"), dao.domain, sealed.manifest)), authorization


def replayed(dao: Dao) -> tuple[SealedContribution, Authorization]:
    used = next(row for row in contributions_of(dao) if row.owner == key_of("ada").address)
    return prepared(dao, nonce=used.manifest.contribution.nonce)


def other_chain(dao: Dao) -> tuple[SealedContribution, Authorization]:
    return prepared(dao, domain=Domain(1, dao.domain.registry))


def other_dao(dao: Dao) -> tuple[SealedContribution, Authorization]:
    return prepared(dao, domain=Domain(dao.domain.chain_id, dao.row.treasury))


def other_policy(dao: Dao) -> tuple[SealedContribution, Authorization]:
    return prepared(dao, policy=replace(dao.policy, version=2))


def tampered(dao: Dao) -> tuple[SealedContribution, Authorization]:
    sealed, authorization = prepared(dao)
    return replace(sealed, ciphertext=sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1])), authorization


def other_key(dao: Dao) -> tuple[SealedContribution, Authorization]:
    sealed, authorization = prepared(dao)
    return replace(sealed, sealed_key=sealed.sealed_key + b" "), authorization


def expired(dao: Dao) -> tuple[SealedContribution, Authorization]:
    return prepared(dao, consent_expiry=NOW)


def other_consent(dao: Dao) -> tuple[SealedContribution, Authorization]:
    sealed, authorization = prepared(dao)
    return replace(sealed, consent=Consent(dao.policy.purpose, ("api",), NOW + 10**9)), authorization


def without_bond(dao: Dao) -> tuple[SealedContribution, None]:
    return prepared(dao)[0], None


def small_bond(dao: Dao) -> tuple[SealedContribution, Authorization]:
    sealed, _ = prepared(dao)
    return sealed, bond(dao, key_of("ada"), sealed.contribution_id, value=3_999)


def bond_of_another(dao: Dao) -> tuple[SealedContribution, Authorization]:
    sealed, _ = prepared(dao)
    return sealed, bond(dao, key_of("bob"), sealed.contribution_id)


def bond_for_another(dao: Dao) -> tuple[SealedContribution, Authorization]:
    sealed, _ = prepared(dao)
    return sealed, bond(dao, key_of("ada"), sealed.contribution_id, receiver=dao.row.treasury)


CASES: list[tuple[Callable[[Dao], Any], str, int]] = [
    (foreign_signature, "manifest_signature", 3),
    (replayed, "nonce_replayed", 3),
    (other_chain, "chain_mismatch", 3),
    (other_dao, "dao_mismatch", 3),
    (other_policy, "policy_mismatch", 3),
    (tampered, "blob_tampered", 1),
    (other_key, "blob_tampered", 1),
    (expired, "consent_expired", 6),
    (other_consent, "consent_mismatch", 3),
    (without_bond, "bond_insufficient", 5),
    (small_bond, "bond_insufficient", 5),
    (bond_of_another, "bond_insufficient", 3),
    (bond_for_another, "bond_insufficient", 3),
]


@pytest.mark.parametrize(("make", "code", "status"), CASES, ids=lambda item: getattr(item, "__name__", str(item)))
def test_a_contribution_that_is_not_what_it_says_is_refused_whole(
    make: Callable[[Dao], Any], code: str, status: int, unchanged: Home
) -> None:
    dao = dao_named(unchanged, "docs")
    with pytest.raises(RodaError) as caught:
        receive(dao, *make(dao))
    assert (caught.value.code, caught.value.exit_status) == (code, status)
    one_sentence(caught.value.message)


def test_the_same_contribution_unchanged_is_taken(home: Home) -> None:
    dao = dao_named(home, "docs")
    assert receive(dao, *prepared(dao)) == 1


def one_sentence(message: str) -> None:
    """Check that a message is a sentence for people: it begins upper case, ends once, and is not a dump."""
    assert message[0].isupper() or message[0] in "'0/", message
    assert message.endswith("."), message
    assert "\n" not in message
    assert len(message) < 400
    assert "Traceback" not in message
    assert "Something went wrong inside" not in message


def command(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Run a command with --json in this process; return its status and its object."""
    capsys.readouterr()
    status = run([*arguments, "--home", str(home), "--json"])
    return status, json.loads(capsys.readouterr().out)


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


LONG = {"text": "x" * 20_000, "label": "cards"}
FILES: list[tuple[str, tuple[Any, ...], str, int]] = [
    ("empty.jsonl", (), "file_empty", 2),
    ("only-bad.jsonl", ("{not json",), "file_empty", 2),
    ("only-long.jsonl", (LONG,), "file_empty", 2),
    ("columns.jsonl", (*GOOD, {"text": "how are you today", "label": "x", "salary": "9"}), "unknown_columns", 2),
    ("columns.csv", ("text,label,email", "hello there my friend,a,b"), "unknown_columns", 2),
    ("list.json", ('[{"text": "a"', ""), "json_malformed", 2),
    ("binary.jsonl", ("\0\0\0",), "file_unreadable", 2),
    ("sheet.xlsx", ("PK",), "file_unreadable", 2),
]


@pytest.mark.parametrize(("name", "rows", "code", "status"), FILES, ids=[case[0] for case in FILES])
def test_a_file_that_gives_no_records_is_refused_by_the_command(
    name: str, rows: tuple[Any, ...], code: str, status: int,
    unchanged: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = lines(tmp_path / name, *rows)
    got, failed = command(unchanged.path, capsys, "contribute", str(path), "--dao", "docs", "--key", "ada")
    assert (failed["error"]["code"], got) == (code, status)
    one_sentence(failed["error"]["detail"])


UNKNOWN: list[tuple[list[str], str, int]] = [
    (["contribute", "FILE", "--dao", "docs", "--key", "nobody"], "account_unknown", 4),
    (["contribute", "FILE", "--dao", "nothing", "--key", "ada"], "dao_unknown", 4),
    (["contribute", "FILE", "--dao", "docs", "--key", "../../etc/passwd"], "account_unknown", 4),
    (["contribute", "FILE", "--dao", "docs", "--key", "sealed"], "passphrase_wrong", 3),
    (["contribute", "FILE", "--dao", "docs", "--key", "poor"], "bond_insufficient", 5),
    (["contribute", "no-such-file.jsonl", "--dao", "docs", "--key", "ada"], "file_unknown", 4),
    (["turn", "close", "--dao", "nothing"], "dao_unknown", 4),
    (["payout", "list", "--dao", "docs", "--turn", "9"], "turn_unknown", 4),
    (["payout", "list", "--dao", "docs"], "turn_unknown", 4),
    (["payout", "claim", "--dao", "docs", "--account", "nobody"], "account_unknown", 4),
    (["model", "show", "docs-9"], "model_unknown", 4),
    (["audit", "--dao", "nothing"], "dao_unknown", 4),
    (["audit", "--dao", "docs", "--turn", "9"], "turn_unknown", 4),
    (["audit", "--public", "x.json"], "usage", 2),
    (["ask", "why is that so", "--dao", "docs", "--key", "ada"], "model_unknown", 4),
    (["dao", "new", "docs", "--policy", "POLICY", "--queries", "FILE"], "dao_exists", 1),
    (["dao", "new", "second", "--policy", "POLICY"], "usage", 2),
]


@pytest.mark.parametrize(("arguments", "code", "status"), UNKNOWN, ids=lambda item: str(item)[:60])
def test_what_is_not_there_or_not_allowed_is_told_by_the_command(
    arguments: list[str], code: str, status: int,
    unchanged: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if "sealed" in arguments:
        monkeypatch.setenv("RODA_PASSPHRASE", "wrong horse")
    (tmp_path / "policy.yaml").write_text("name: any\n")
    given = {"FILE": str(lines(tmp_path / "good.jsonl", *GOOD)), "POLICY": str(tmp_path / "policy.yaml")}
    got, failed = command(unchanged.path, capsys, *(given.get(word, word) for word in arguments))
    assert (failed["error"]["code"], got) == (code, status)
    one_sentence(failed["error"]["detail"])


def test_a_passphrase_and_a_key_are_in_no_message(
    unchanged: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RODA_PASSPHRASE", "wrong horse battery")
    path = lines(tmp_path / "good.jsonl", *GOOD)
    _, failed = command(unchanged.path, capsys, "contribute", str(path), "--dao", "docs", "--key", "sealed")
    assert "wrong horse battery" not in json.dumps(failed)


def test_a_policy_that_skips_takes_the_rest_and_names_each_bad_line(home: Home, tmp_path: Path) -> None:
    home.keys.new("ada", bytes(key_of("ada").key))
    path = lines(tmp_path / "mixed.jsonl", GOOD[0], "{broken", LONG, GOOD[1], '{"text": 5.5}')
    taken = operations.contribute(home, path, "docs", "ada", None, False, SILENT)
    assert taken["records"] == 2
    assert [(item["line"], item["code"]) for item in taken["problems"]] == [
        (2, "json_malformed"), (3, "record_too_large"), (5, "record_invalid"),
    ]  # fmt: skip
    for item in taken["problems"]:
        assert f"Line {item['line']} " in item["message"]
        one_sentence(item["message"])


@pytest.mark.parametrize(("bad", "code"), [("{broken", "json_malformed"), (LONG, "record_too_large")])
def test_a_policy_that_refuses_takes_nothing(bad: Any, code: str, tmp_path: Path) -> None:
    with Home.open(tmp_path / "home", clock=lambda: NOW) as home:
        launch_dao(home, records=RecordRules(on_malformed="refuse"))
        home.keys.new("ada", bytes(key_of("ada").key))
        before = state_of(home)
        with pytest.raises(RodaError) as caught:
            operations.contribute(home, lines(tmp_path / "f.jsonl", *GOOD, bad), "docs", "ada", None, False, SILENT)
        assert caught.value.code == code
        assert caught.value.details["line"] == len(GOOD) + 1
        assert state_of(home) == before


def test_a_line_of_a_hundred_megabytes_is_named_and_never_held(unchanged: Home, tmp_path: Path) -> None:
    path = tmp_path / "absurd.jsonl"
    with path.open("wb") as file:
        file.write(b'{"text": "')
        for _ in range(100):
            file.write(b"a" * 2**20)
        file.write(b'", "label": "x"}\n' + json.dumps(GOOD[0]).encode() + b"\n")
    tracemalloc.start()
    seen = operations.contribute(unchanged, path, "docs", "ada", None, True, SILENT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(item["line"], item["code"]) for item in seen["problems"]] == [(1, "record_too_large")]
    assert seen["records"] == 1
    assert peak < 16 * 2**20


# A damaged home.


def flip(path: Path) -> bytes:
    """Change one byte in the middle of a file; return what it held."""
    was = path.read_bytes()
    path.write_bytes(was[: len(was) // 2] + bytes([was[len(was) // 2] ^ 1]) + was[len(was) // 2 + 1 :])
    return was


def blob_of(dao: Dao, owner: str) -> tuple[bytes, Path]:
    row = next(row for row in contributions_of(dao) if row.owner == key_of(owner).address)
    name = row.ciphertext_id.hex()
    return row.id, dao.home.path / "blobs" / name[:2] / name


def test_a_blob_damaged_before_its_proof_is_refused_by_name_and_the_turn_goes_on(home: Home) -> None:
    dao = dao_named(home, "docs")
    damaged, path = blob_of(dao, "ada")
    flip(path)
    summary = close(dao)
    assert summary["records"] == 8
    entry = next(entry for entry in published(dao, 1)[0].facts.contributions if entry.id == damaged)
    assert set(entry.statuses) == {-2}
    assert entry.bond == 4_000
    assert proof_reasons(home, damaged) == {"contents_unreadable"}
    assert all(report.ok for report in audit_dao(dao))
    ada = key_of("ada").address
    assert dao.contract("Bonds").call("bondOf", damaged, ada) == 0  # given back whole: damage is nobody's fraud
    assert next(row for row in payouts_of(dao, 1) if row["account"] == ada)["slashed"] == 0


def test_what_an_owner_sealed_wrongly_stops_nobody_else_s_turn(home: Home) -> None:
    dao = dao_named(home, "docs")
    sealed, authorization = prepared(dao)
    junk = b"age-encryption.org/v1\nthis is no age file"
    manifest = replace(sealed.manifest, ciphertext_id=keccak(junk))
    sealed = replace(sealed, manifest=manifest, ciphertext=junk, signature=sign(key_of("ada"), dao.domain, manifest))
    receive(dao, sealed, authorization)
    assert close(dao)["records"] == 12
    assert proof_reasons(home, sealed.contribution_id) == {"contents_unreadable"}
    assert all(report.ok for report in audit_dao(dao))


def proof_reasons(home: Home, contribution: bytes) -> set[str]:
    with home.database.begin() as connection:
        row = connection.execute(schema.proof.select().where(schema.proof.c.contribution == contribution.hex())).one()
    return {item["reason"] for item in json.loads(row.evaluation)["statuses"]}


def test_a_blob_damaged_after_its_proof_is_named_changes_nothing_and_its_backup_heals(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    dao = dao_named(home, "docs")
    close(dao)
    damaged, path = blob_of(dao, "ada")
    whole = flip(path)
    contribute(dao, "bob", 2)
    for arguments in (["turn", "close", "--dao", "docs"], ["serve", "--port", "0"]):
        status, failed = command(home.path, capsys, *arguments)
        assert (status, failed["error"]["code"]) == (1, "blob_tampered")
        assert "0x" + damaged.hex() in failed["error"]["detail"]
        assert path.name in failed["error"]["hint"]
    assert [row.state for row in turn_rows(dao)] == ["closed", "learned"]
    assert all(report.ok for report in audit_dao(dao))
    path.write_bytes(whole)
    assert close(dao)["turn"] == 2
    assert all(report.ok for report in audit_dao(dao))


def change(home: Home, statement: str) -> None:
    with home.database.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE contribution SET count = count + 1",
        "UPDATE contribution SET manifest = replace(manifest, '\"count\": 4', '\"count\": 5')",
        "UPDATE contribution SET owner = (SELECT operator FROM dao)",
    ],
)
def test_a_row_changed_before_its_batch_is_named_and_no_batch_is_registered(statement: str, home: Home) -> None:
    dao = dao_named(home, "docs")
    change(home, statement)
    with pytest.raises(Corrupted) as caught:
        learn(dao)
    assert caught.value.code == "database_corrupted"
    assert "contribution 0x" in caught.value.message
    assert dao.contract("Registry").call("lastBatch") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE contribution SET first_place = first_place + 4",
        "UPDATE proof SET evaluation = replace(evaluation, '\"accepted\"', '\"refused\"')",
        "UPDATE proof SET proof = replace(proof, '\"accepted\": 4', '\"accepted\": 3')",
        "UPDATE proof SET signature = '00' || substr(signature, 3)",
    ],
)
def test_a_row_changed_after_its_proof_is_named_and_nothing_is_recorded(statement: str, home: Home) -> None:
    dao = dao_named(home, "docs")
    learn(dao)
    block = home.ledger.block_number()
    change(home, statement)
    with pytest.raises(Corrupted) as caught:
        close(dao)
    assert caught.value.code == "database_corrupted"
    assert "contribution 0x" in caught.value.message
    assert home.ledger.block_number() == block


@pytest.mark.parametrize(
    ("name", "code"),
    [("roda.sqlite", "database_corrupted"), ("ledger.sqlite", "ledger_corrupted"),
     ("workflows.sqlite", "database_corrupted"), ("home.json", "database_corrupted")],
)  # fmt: skip
def test_an_overwritten_file_of_the_home_is_named_and_left_as_it_is(
    name: str, code: str, prepared_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "home"
    shutil.copytree(prepared_home, path)
    (path / name).write_bytes(b"\xfe\xed" * 50_000)
    status, failed = command(path, capsys, "turn", "close", "--dao", "docs")
    assert (status, failed["error"]["code"]) == (1, code)
    assert name in failed["error"]["detail"]
    assert failed["error"]["hint"]
    one_sentence(failed["error"]["detail"])
    assert (path / name).read_bytes() == b"\xfe\xed" * 50_000


# Money that is not there.


def spend_all(dao: Dao, name: str, leave: int = 0) -> None:
    token, account = dao.contract("PayToken"), key_of(name)
    from rodagila.chain.funding import give_gas_money

    give_gas_money(dao.home.ledger, account.address)
    token.transact(account, "transfer", dao.row.operator, token.call("balanceOf", account.address) - leave)


def test_money_spent_before_the_turn_refuses_that_contribution_alone(home: Home) -> None:
    dao = dao_named(home, "docs")
    given = contributions_of(dao)[0]
    spend_all(dao, "ada")
    assert close(dao)["records"] == 8
    assert proof_reasons(home, given.id) == {"bond_missing"}
    assert all(report.ok for report in audit_dao(dao))


def test_money_for_one_bond_of_two_takes_one_and_the_turn_goes_on(home: Home) -> None:
    dao = dao_named(home, "docs")
    receive(dao, *seal(dao, key_of("ada"), texts("cards", 1), salt=keccak(b"two")))
    first, *_, second = contributions_of(dao)
    spend_all(dao, "ada", leave=first.bond)
    close(dao)
    assert "bond_missing" not in proof_reasons(home, first.id)
    assert proof_reasons(home, second.id) == {"bond_missing"}
    assert all(report.ok for report in audit_dao(dao))


def test_a_seed_pool_without_money_is_one_sentence_before_anything_is_sent_and_can_be_funded(tmp_path: Path) -> None:
    with Home.open(tmp_path / "seeded", clock=lambda: NOW) as home:
        dao = seeded(home, 9_000_000)
        for owner in OWNERS:
            contribute(dao, owner)
        with pytest.raises(PaymentFailed) as caught:
            close(dao)
        assert caught.value.code == "treasury_short"
        one_sentence(caught.value.message)
        assert dao.row.treasury in caught.value.hint
        rewards = dao.contract("Rewards")
        assert (rewards.call("lastTurn"), rewards.call("totalFunded")) == (0, 0)
        operations.faucet(home, dao.row.treasury, 9_000_000)
        summary = close(dao)
        assert 0 < summary["paid"] <= 9_000_000
        assert summary["fees"] == 0  # a top-up is no fee
        assert all(report.ok for report in audit_dao(dao))


def seeded(home: Home, amount: int) -> Dao:
    policy = Policy(name="docs", pool=PoolRules(target_lift_ppm=100_000, seed_pool=amount))
    dao = launch(home, "docs", policy, holdings(), home.keys.new)
    begin_turn(dao, 1)
    for owner in OWNERS:
        drip(home, key_of(owner).address, 1_000_000)
    return dao


# A disk without room.


def test_a_database_without_room_refuses_and_leaves_nothing(home: Home) -> None:
    dao = dao_named(home, "docs")
    with home.database.begin() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite takes it as: not one page more
    sealed = prepared(dao)[0]
    big = replace(sealed, sealed_key=sealed.sealed_key + b"x" * 200_000)
    manifest = replace(big.manifest, key_hash=keccak(big.sealed_key))
    big = replace(big, manifest=manifest, signature=sign(key_of("ada"), dao.domain, manifest))
    event.listen(home.database._engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count = 1"))
    before = state_of(home)
    with pytest.raises(Unreachable) as caught:
        receive(dao, big, bond(dao, key_of("ada"), big.contribution_id))
    assert caught.value.code == "disk_full"
    assert state_of(home) == before


def test_a_blob_store_without_room_refuses_and_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    dao = dao_named(home, "docs")
    before = state_of(home)

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blobs, "_write_synced", full)
    with pytest.raises(Unreachable) as caught:
        receive(dao, *prepared(dao))
    assert caught.value.code == "disk_full"
    assert state_of(home) == before


@pytest.mark.slow
def test_a_turn_on_a_disk_that_fills_up_ends_once_there_is_room(
    prepared_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        home = disk / "home"
        shutil.copytree(prepared_home, home)
        for free in (0, 8, 40, 100, 200, 400):
            fill(disk, free * 1024)
            status, failed = command(home, capsys, "turn", "close", "--dao", "docs")
            assert (status, failed["error"]["code"]) == (7, "disk_full"), failed
        (disk / "fill").unlink()
        assert command(home, capsys, "turn", "close", "--dao", "docs")[1]["turn"] == 1
        assert command(home, capsys, "audit")[1]["ok"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, free: int) -> None:
    (disk / "fill").unlink(missing_ok=True)
    (disk / "fill").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - free)))


# Two at once, and no home at all.


def test_a_second_process_that_closes_is_told_to_wait(home: Home) -> None:
    done_before = home.ledger.block_number()
    with home.exclusive("turn"):
        done = subprocess.run(
            [sys.executable, "-m", "rodagila.app.cli", "turn", "close", "--dao", "docs", "--json", "--home", home.path],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "home_locked"
    assert home.ledger.block_number() == done_before


def test_a_file_in_the_place_of_a_home_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a directory")
    with pytest.raises(RodaError) as caught:
        Home.open(tmp_path / "home" / "below")
    assert caught.value.code == "unreachable"
    one_sentence(caught.value.message)


def test_a_launch_cut_off_half_way_blocks_no_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared_home: Path
) -> None:
    path = tmp_path / "home"
    shutil.copytree(prepared_home, path)
    queries = lines(tmp_path / "queries.jsonl", *(record.as_json() for record in texts("cards", 1)))
    with Home.open(path, clock=lambda: NOW) as home:
        full = Unreachable("disk_full", "The disk has no room left.")

        def refuse(*_: Any) -> bytes:
            raise full

        with monkeypatch.context() as patch:
            patch.setattr(home.blobs, "put", refuse)
            with pytest.raises(Unreachable):
                operations.dao_new(home, "second", Policy(name="second"), queries, None, SILENT)
        assert [row["name"] for row in operations.dao_list(home)] == ["docs"]
        operations.dao_new(home, "second", Policy(name="second"), queries, None, SILENT)
        assert [row["name"] for row in operations.dao_list(home)] == ["docs", "second"]
