"""Batches of tasks end to end: budget in escrow, golds, pay, the rest returned, labels in the next model, audit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from labellers import CHOICES, answer, colluding, honest_as, items, launch_batch, take, truth_of, work
from small_dao import key_of

from rodagila.app.auditing import audit_dao
from rodagila.app.daos import Dao, dao_named, drip
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of
from rodagila.app.models import vertical_model
from rodagila.app.tasks import (
    audit_batches,
    batch_named,
    close_batch,
    desk_of,
    informed,
    labelled_records,
    ledger_word,
    new_batch,
    pay_batch,
    show_batch,
    terms_of,
)
from rodagila.app.turn import close
from rodagila.collect.batches import Item
from rodagila.core.canonical import canonical_json
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised, NotFound, PaymentFailed, RefusedByPolicy
from rodagila.core.records import Record
from rodagila.reward.batch import load
from rodagila.reward.batch_audit import audit_batch

HONEST = tuple(f"honest {i}" for i in range(4))
COLLUDERS = ("colluder 0", "colluder 1")
BUDGET_BEFORE = 50_000_000 - 3_000_000  # what the prepared home's buyer paid for calls


@pytest.fixture(scope="module")
def paid(prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dao]:
    """A DAO with one batch that a crowd answered and that was closed and paid. Read it only."""
    path = tmp_path_factory.mktemp("tasks") / "home"
    shutil.copytree(prepared_home, path)
    with Home.open(path, clock=lambda: 1_750_000_000) as home:
        dao = dao_named(home, "docs")
        launch_batch(dao, tasks=18, overlap=6)
        for name in HONEST:
            work(dao, 1, name, honest_as(name))
        for name in COLLUDERS:
            work(dao, 1, name, colluding)
        close_batch(dao, 1)
        pay_batch(dao, 1)
        yield dao


@pytest.fixture
def dao(home: Home) -> Dao:
    """The prepared DAO, of which each test has a copy."""
    return dao_named(home, "docs")


def balance(dao: Dao, name: str) -> int:
    return int(dao.contract("PayToken").call("balanceOf", key_of(name).address))


def test_pay_and_rest_are_the_budget_and_stand_in_the_accounts(paid: Dao) -> None:
    shown = show_batch(paid, 1)
    assert shown["state"] == "settled"
    assert shown["paid"] + shown["returned"] == shown["budget"]
    pay = {row["account"]: row["pay"] for row in shown["pay"]}
    assert sum(pay.values()) == shown["paid"] > 0
    for name in (*HONEST, *COLLUDERS):
        assert balance(paid, name) == pay[key_of(name).address]
    assert balance(paid, "buyer") == BUDGET_BEFORE - shown["paid"]
    for name in ("Escrow", "TaskPay"):
        assert paid.contract("PayToken").call("balanceOf", paid.addresses[name]) == 0


def test_honest_accounts_earn_and_colluders_earn_nothing(paid: Dao) -> None:
    pay = {row["account"]: row for row in show_batch(paid, 1)["pay"]}
    assert all(pay[key_of(name).address]["pay"] > 0 for name in HONEST)
    assert all(pay[key_of(name).address]["pay"] == 0 for name in COLLUDERS)
    assert all(row["golds"] >= 20 for row in pay.values())
    accepted = [row for row in pay.values() if row["pay"]]
    # Each accepted response is paid its price on the mean.
    assert sum(row["worth"] for row in accepted) - sum(row["pay"] for row in accepted) in range(len(accepted))


def test_labels_are_right_and_become_records_of_the_treasury(paid: Dao) -> None:
    records = labelled_records(paid, 1)
    assert len(records) >= 15
    assert sum(record.label == truth_of(record.text) for record in records) >= 0.9 * len(records)
    contribution = contributions_of(paid)[-1]
    assert contribution.owner == paid.row.operator
    assert contribution.count == len(records)
    assert show_batch(paid, 1)["contribution"] == "0x" + contribution.id.hex()
    assert contribution.bond == 0


def test_a_label_is_learned_and_found_from_the_turn_that_takes_it(dao: Dao) -> None:
    launch_batch(dao, tasks=4, golds=20, overlap=1)
    work(dao, 1, "ada", truth_of)
    close_batch(dao, 1)
    pay_batch(dao, 1)
    records = labelled_records(dao, 1)
    close(dao)
    model = vertical_model(dao, 1)
    assert len(records) == 4
    for record in records:
        (hit,) = model.search(record.text, 1)
        assert (hit.text, hit.target, hit.owner) == (record.text, truth_of(record.text), dao.row.operator)
        assert hit.contribution_id == contributions_of(dao)[-1].id
    known, unknown = informed(dao, [Item(records[0].text), Item("a sentence about none of this whatsoever")])
    assert 0 <= known.information < unknown.information <= 1_000_000
    # Labellers are paid from the escrow alone: the pool owes ada what her own data earned, as without the batch.
    assert all(report.ok for report in audit_dao(dao))


def test_more_labels_than_a_contribution_holds_come_in_parts(paid: Dao, monkeypatch: pytest.MonkeyPatch) -> None:
    from rodagila.app import tasks

    seen: list[int] = []
    policy = replace(paid.policy, records=replace(paid.policy.records, max_records=4))
    monkeypatch.setattr(Dao, "policy", policy)
    monkeypatch.setattr(tasks, "receive", lambda dao, sealed, _: seen.append(sealed.contribution.count))
    huge = Record("x" * policy.records.max_bytes, label="cards")
    first = tasks._brought(paid, bytes(32), [*labelled_records(paid, 1)[:10], huge])
    assert seen == [4, 4, 2]
    assert first and tasks._brought(paid, bytes(32), []) == ""


def test_the_audit_agrees_and_names_what_was_changed(paid: Dao) -> None:
    (report,) = audit_batches(paid)
    assert report.ok, report.differences
    opened, _ = batch_named(paid, 1)
    word = ledger_word(paid, opened.batch.id)
    body = json.loads(paid.home.blobs.get(word.public_hash))
    assert _audited(body, word) == ()

    moved = json.loads(json.dumps(body))
    moved["outcome"]["pay"][0]["pay"] = str(int(moved["outcome"]["pay"][0]["pay"]) + 1)
    assert any(line.startswith("Pay in the outcome") for line in _audited(moved, word))
    dropped = json.loads(json.dumps(body))
    dropped["responses"].pop()
    assert any("root of the responses" in line for line in _audited(dropped, word))
    forged = json.loads(json.dumps(body))
    forged["responses"][0][6] = forged["responses"][1][6]
    forged["responses"][0][7] = forged["responses"][1][7]
    assert any("does not open its commitment" in line for line in _audited(forged, word))
    reseeded = json.loads(json.dumps(body))
    reseeded["seed"] = "0x" + "11" * 32
    assert any(line.startswith("The seed") for line in _audited(reseeded, word))
    repriced = json.loads(json.dumps(body))
    repriced["tasks"][0][1] = "29999"
    assert any("root of the tasks" in line for line in _audited(repriced, word))


def _audited(body: object, word: object) -> tuple[str, ...]:
    return audit_batch(canonical_json(body), word).differences  # type: ignore[arg-type]


def test_nothing_of_a_public_file_but_its_canonical_form_is_read(paid: Dao) -> None:
    opened, _ = batch_named(paid, 1)
    data = paid.home.blobs.get(ledger_word(paid, opened.batch.id).public_hash)
    for bad in (b"", b"[]", b"{", data + b" ", data[:-2], data.replace(b'"overlap":6', b'"overlap":600')):
        with pytest.raises(InvalidInput) as refused:
            load(bad)
        assert refused.value.code in ("batch_file_invalid", "tasks_invalid")


def test_paying_again_changes_nothing(paid: Dao) -> None:
    before = paid.home.ledger.block_number(), show_batch(paid, 1)
    close_batch(paid, 1)
    pay_batch(paid, 1)
    assert (paid.home.ledger.block_number(), show_batch(paid, 1)) == before


def test_golds_cannot_be_told_from_other_tasks(dao: Dao) -> None:
    launch_batch(dao, tasks=4, golds=20)
    shown = [take_and_answer(dao, "ada") for _ in range(24)]
    assert {frozenset(one) for one in shown} == {frozenset(shown[0])}
    assert {frozenset(one["content"]) for one in shown} == {frozenset(shown[0]["content"])}
    assert len({one["task"] for one in shown}) == 24
    assert all(10_000 <= int(one["price"]) <= 30_000 for one in shown)


def take_and_answer(dao: Dao, name: str) -> dict[str, object]:
    offered = take(dao, 1, key_of(name))
    answer(dao, 1, key_of(name), offered, truth_of(offered["content"]["text"]))
    return offered


def test_a_batch_is_made_once_and_its_golds_are_used_once(dao: Dao) -> None:
    launch_batch(dao)
    with pytest.raises(Conflict, match="are batch 1") as known:
        launch_batch(dao)
    assert known.value.code == "tasks_known"
    with pytest.raises(RefusedByPolicy) as stale:
        launch_batch(dao, tasks=23)
    assert stale.value.code == "gold_known"
    assert dao.contract("Escrow").events("JobFunded")[0]["job"].amount == show_batch(dao, 1)["budget"]


def test_no_task_is_handed_out_before_its_budget_lies_in_the_escrow(dao: Dao) -> None:
    poor = key_of("nobody")
    terms = terms_of(
        dao, poor.address, seconds=60, kind="verify", instruction="Right?", choices=(), price=1, price_most=1
    )
    with pytest.raises(PaymentFailed) as short:
        new_batch(dao, poor, terms, *verify_items())
    assert short.value.code == "budget_short"
    assert desk_of(dao.home).batches() == []


def verify_items() -> tuple[list, list]:  # type: ignore[type-arg]
    tasks = [replace(item, label=CHOICES[i % 2]) for i, item in enumerate(items(0, 3))]
    golds = [
        replace(
            item,
            label=item.truth if i % 2 else CHOICES[0],
            truth="right" if i % 2 or item.truth == CHOICES[0] else "wrong",
        )
        for i, item in enumerate(items(1_000, 22, golds=True))
    ]
    return tasks, golds


def test_a_label_that_accounts_verify_becomes_a_record_and_a_wrong_one_does_not(dao: Dao) -> None:
    drip(dao.home, key_of("buyer").address, 1_000_000)
    terms = terms_of(
        dao, key_of("buyer").address, seconds=60, kind="verify", instruction="Is the label right?", choices=(),
        price=1_000, price_most=1_000, overlap=2,
    )  # fmt: skip
    tasks, golds = verify_items()
    new_batch(dao, key_of("buyer"), terms, tasks, golds)
    for name in ("ada", "bob"):
        try:
            while True:
                offered = take(dao, 1, key_of(name))
                content = offered["content"]
                right = content["label"] == truth_of(content["text"])
                answer(dao, 1, key_of(name), offered, "right" if right else "wrong")
        except NotFound:
            pass
    close_batch(dao, 1)
    pay_batch(dao, 1)
    wanted = {item.text for item in tasks if item.label == truth_of(item.text)}
    assert {record.text for record in labelled_records(dao, 1)} == wanted
    assert audit_batches(dao)[0].ok


def test_an_account_may_keep_its_answer_until_the_batch_is_closed(dao: Dao) -> None:
    from rodagila.collect.responding import opening_of, shown_content
    from rodagila.core.hashing import from_hex
    from rodagila.serve.tasks import OpeningRequest

    launch_batch(dao, tasks=3)
    offered = take(dao, 1, key_of("ada"))
    answer(dao, 1, key_of("ada"), offered, CHOICES[0], sealed=False)
    other = take(dao, 1, key_of("ada"))
    answer(dao, 1, key_of("ada"), other, CHOICES[0], sealed=False)
    desk = desk_of(dao.home)
    opening = opening_of(key_of("ada"), shown_content(offered), from_hex(offered["lease"]), CHOICES[0])
    given = OpeningRequest(batch=offered["batch"], lease=offered["lease"], **opening)
    with pytest.raises(RefusedByPolicy):
        desk.open_response(given)
    close_batch(dao, 1)
    with pytest.raises(NotAuthorised) as wrong:
        desk.open_response(given.model_copy(update={"answer": CHOICES[1]}))
    assert wrong.value.code == "response_invalid"
    desk.open_response(given)
    pay_batch(dao, 1)
    facts, _ = load(dao.home.blobs.get(ledger_word(dao, from_hex(offered["batch"])).public_hash))
    assert [bool(row.salt) for row in facts.responses] == [True, False]
    assert audit_batches(dao)[0].ok


def test_a_batch_that_nobody_answered_gives_everything_back(dao: Dao) -> None:
    before = balance(dao, "buyer")
    launch_batch(dao, tasks=3)
    with pytest.raises(RefusedByPolicy, match="still takes responses"):
        pay_batch(dao, 1)
    close_batch(dao, 1)
    shown = pay_batch(dao, 1)
    assert (shown["paid"], shown["returned"]) == (0, shown["budget"])
    assert balance(dao, "buyer") == before
    assert audit_batches(dao)[0].ok


def test_an_unknown_batch_is_named(dao: Dao, tmp_path: Path) -> None:
    for act in (show_batch, close_batch, pay_batch, audit_batches):
        with pytest.raises(NotFound) as refused:
            act(dao, 7)
        assert refused.value.code == "batch_unknown"
