"""A batch's outcome and public file, for every kind of task, without a ledger; files wrong by one unit are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from rodagila.chain.escrow import panel_hash, panel_job
from rodagila.collect.batches import Item, Terms, golds_salt, plan_batch
from rodagila.collect.tasks import Content, answer_hash, commitment
from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, Response, dao_id, sign
from rodagila.reward.batch import BatchFacts, GivenResponse, dump, load, methods_to_try, pay_root
from rodagila.reward.batch_audit import LedgerBatch, audit_batch

DOMAIN = Domain(1919902817, "0x" + "11" * 20)
PAY, ESCROW, TOKEN = ("0x" + pair * 20 for pair in ("22", "44", "55"))
PEOPLE: tuple[LocalAccount, ...] = tuple(Account.from_key(keccak(f"rater {i}".encode())) for i in range(7))
BAD = 2
NAMES = ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Emmy Noether")
KINDS = ("classify", "span", "free", "compare", "verify")
SEED = keccak(b"block")


def item(kind: str, number: int, *, gold: bool) -> tuple[Item, str]:
    """Return a task of a kind, and what is right."""
    name = NAMES[number % len(NAMES)]
    text = f"{'So ' * (number % 5)}line {number}: {name} wrote it."
    outputs, label = (), ""
    if kind == "span":
        truth = f"{text.index(name)}:{text.index(name) + len(name)}"
    elif kind == "free":
        truth = f"{name} {number % 7}"
    elif kind == "classify":
        truth = "ab"[number % 2]
    elif kind == "compare":
        truth = ("first", "second")[number % 2]
        outputs = (f"good {number}", f"poor {number}")[:: 1 if number % 2 == 0 else -1]
    else:
        truth, label = ("right", "wrong")[number % 2], name
    return Item(text, label, outputs, number * 37_000 % 10**6, truth if gold else ""), truth


def said_of(person: int, content: Content, right: str, lease: bytes) -> str:
    """Return what a person answers to what she is shown: the first two by a code, the others rightly but for some."""
    shown = content.shown(lease)
    if content.kind == "compare" and right in ("first", "second"):
        better = next(place for place, text in enumerate(shown.outputs) if text.startswith("good"))
        right = ("first", "second")[better]
    draw = keccak(f"{person} {content.text}".encode())[0]
    wrong = {"classify": "ab"[draw % 2], "span": "0:4", "free": f"no idea {draw % 3}", "verify": "wrong"}
    if person < BAD or draw % 10 == 0:
        return wrong.get(content.kind, ("first", "second", "tie")[draw % 3])
    return right.upper() if content.kind == "free" and draw % 2 else right


@cache
def facts_of(kind: str, tasks: int = 30) -> tuple[BatchFacts, dict[int, str]]:
    """Return a whole batch, and what is right for each task's number."""
    given = [item(kind, number, gold=number >= tasks) for number in range(tasks + 24)]
    terms = Terms(
        DOMAIN.chain_id, DOMAIN.registry, PAY, PEOPLE[0].address, kind, "Do it.",
        ("a", "b") if kind == "classify" else (), 1_000, 3_000, 10**6, (PEOPLE[1].address,), overlap=7,
    )  # fmt: skip
    secret = keccak(kind.encode())
    plan = plan_batch(terms, [one for one, _ in given[:tasks]], [one for one, _ in given[tasks:]], secret)
    job = panel_job(
        buyer=terms.requester, provider=PAY, token=TOKEN, amount=plan.budget, deadline=2 * 10**6,
        panel=panel_hash(1, terms.evaluators), subject=plan.terms.subject(), nonce=5,
    )  # fmt: skip
    batch = job.job_id(DOMAIN.chain_id, ESCROW)
    truths = {one.text: truth for one, truth in given}
    rows = []
    for task in plan.tasks:
        for person, account in enumerate(PEOPLE):
            lease = keccak(f"{kind} {task.number} {person}".encode())
            said = task.content.answer(said_of(person, task.content, truths[task.content.text], lease))
            hashed, salt = answer_hash(kind, said), keccak(b"salt" + lease)
            hidden = commitment(DOMAIN, account.address, batch, task.hash, hashed, salt)
            message = Response(account.address, dao_id(DOMAIN), batch, task.hash, lease, hidden, 9)
            signature = sign(account, DOMAIN, message)
            rows.append(GivenResponse(account.address, task.number, lease, hidden, 9, signature, hashed, salt))
    methods = methods_to_try(plan.terms, len(rows)) if kind == "classify" else ("majority",)
    facts = BatchFacts(
        terms=plan.terms, escrow=ESCROW, job=job, seed_block=8, seed=SEED, golds_salt=golds_salt(secret),
        methods=methods, tasks=tuple((task.hash, task.price) for task in plan.tasks),
        golds={task.number: answer_hash(kind, task.truth) for task in plan.tasks if task.truth}, responses=tuple(rows),
    )  # fmt: skip
    return facts, {task.number: truths[task.content.text] for task in plan.tasks}


def word_of(facts: BatchFacts, data: bytes) -> LedgerBatch:
    """Return what an honest ledger says."""
    outcome = facts.outcome()
    return LedgerBatch(
        chain_id=DOMAIN.chain_id, escrow=ESCROW, task_pay=PAY, commitments=facts.commitments_root(),
        responses=len(facts.responses), seed_block=8, seed=SEED, root=pay_root(facts.pay_tree(outcome)),
        paid=outcome.paid, returned=facts.job.amount - outcome.paid, public_hash=keccak(data),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_pays_the_honest_and_finds_what_is_right(kind: str) -> None:
    facts, truths = facts_of(kind)
    outcome = facts.outcome()
    pay = dict(zip(outcome.accounts, outcome.pay.pay, strict=True))
    assert all(pay[account.address] > 0 for account in PEOPLE[BAD:])
    assert all(pay[account.address] == 0 for account in PEOPLE[:BAD])
    assert outcome.paid <= outcome.budget
    right = [label.answer == answer_hash(kind, truths[label.number]) for label in outcome.labels]
    assert len(right) >= 27
    assert np.mean(right) >= 0.95
    assert outcome.certificate.asked == 12
    assert outcome.certificate.low_ppm > 600_000
    assert outcome.alpha_ppm is not None and outcome.alpha_ppm > 500_000


@pytest.mark.parametrize("kind", KINDS)
def test_a_public_file_gives_back_its_facts_and_the_audit_agrees(kind: str) -> None:
    facts, _ = facts_of(kind)
    data = dump(facts, facts.outcome())
    again, stated = load(data)
    assert again.outcome().as_json() == stated
    assert dump(again, again.outcome()) == data
    assert audit_batch(data, word_of(facts, data)).differences == ()
    assert b"wrote it" not in data


def test_responses_that_nobody_opened_count_as_none() -> None:
    facts, _ = facts_of("classify")
    account = facts.responses[0].account
    closed = tuple(replace(row, answer=b"", salt=b"") if row.account == account else row for row in facts.responses)
    outcome = replace(facts, responses=closed).outcome()
    place = outcome.accounts.index(account)
    assert (outcome.pay.pay[place], outcome.pay.golds[place].asked) == (0, 0)
    data = dump(replace(facts, responses=closed), outcome)
    assert audit_batch(data, word_of(replace(facts, responses=closed), data)).ok


def numbers_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to every number of a JSON value, decimal text too."""
    if isinstance(value, dict):
        return [found for key, one in value.items() for found in numbers_in(one, (*path, key))]
    if isinstance(value, list):
        return [found for place, one in enumerate(value) for found in numbers_in(one, (*path, place))]
    is_number = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    return [path] if is_number else []


def test_any_file_wrong_by_one_unit_is_refused() -> None:
    facts = replace(facts_of("classify")[0], methods=("majority",))
    data = dump(facts, facts.outcome())
    word = word_of(facts, data)
    body = json.loads(data)
    paths = [("outcome", *path) for path in numbers_in(body["outcome"])[::2]]
    paths += [("tasks", *path) for path in numbers_in(body["tasks"])[::6]]
    paths += [("responses", *path) for path in numbers_in(body["responses"])[::60]]
    paths += [("golds", *path) for path in numbers_in(body["golds"])[::6]] + [("seed_block",)]
    assert len(paths) >= 100
    for path in paths:
        changed = json.loads(data)
        holder = changed
        for step in path[:-1]:
            holder = holder[step]
        one = holder[path[-1]]
        holder[path[-1]] = str(int(one) + 1) if isinstance(one, str) else one + 1
        try:
            assert not audit_batch(canonical_json(changed), word).ok, path
        except InvalidInput as refused:
            assert refused.code in ("batch_file_invalid", "value_inputs"), path


def test_what_the_ledger_says_otherwise_is_named() -> None:
    facts = replace(facts_of("verify")[0], methods=("majority",))
    data = dump(facts, facts.outcome())
    word = word_of(facts, data)
    for change, what in (
        ({"paid": word.paid + 1}, "What was paid"),
        ({"returned": word.returned - 1}, "What was returned"),
        ({"commitments": keccak(b"x")}, "The root of the responses"),
        ({"responses": word.responses + 1}, "The number of responses"),
        ({"seed": keccak(b"x")}, "The seed"),
        ({"root": keccak(b"x")}, "The root of the pay"),
        ({"public_hash": keccak(b"x")}, "The hash of the public file"),
        ({"escrow": PAY}, "The escrow"),
        ({"chain_id": 1}, "The chain"),
    ):
        (line,) = audit_batch(data, replace(word, **change)).differences  # type: ignore[arg-type]
        assert line.startswith(what)
