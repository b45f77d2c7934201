"""Batches of tasks in a home: made, funded, handed out, closed, paid; and what becomes of the labels.

    new     the tasks are sealed and queued, the budget goes into the escrow; only then are tasks handed out
    close   no more responses; the evaluator signs their root, which goes on the ledger
    pay     the block after that gives the seed; responses are opened; pay and labels are computed; the public file is
            kept; the evaluator signs pay and file; the escrow pays and returns the rest; accounts are sent their pay
    labels  what was accepted becomes labelled records of the treasury, which the next turn learns and serves

Each step looks first whether its effect is there, so a killed one is run again and nothing is paid twice.

>>> batch = new_batch(dao, ada, terms, tasks, golds)   # doctest: +SKIP
>>> close_batch(dao, 1); pay_batch(dao, 1)["paid"]     # doctest: +SKIP
1250000
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eth_account.signers.local import LocalAccount
from sqlalchemy import Row, func, select, update

from rodagila.app.confirming import pause, until_confirmed
from rodagila.app.daos import Dao, dao_named, dao_rows
from rodagila.app.home import Home
from rodagila.app.intake import receive, seal
from rodagila.app.models import newest_model, vertical_model
from rodagila.chain.authorization import authorize_receipt
from rodagila.chain.contracts import send_wei
from rodagila.chain.escrow import (
    CLOSED_STAGE,
    Job,
    acceptance_digest,
    approval,
    commitments_digest,
    panel_hash,
    panel_job,
    settlement_digest,
)
from rodagila.chain.funding import has_faucet
from rodagila.collect.batches import Item, Plan, Terms, golds_salt, plan_batch
from rodagila.collect.queue import CLOSED, MADE, OPEN, SETTLED, Batch, Taken, TaskQueue, response_digest
from rodagila.collect.tasks import Content, answer_hash
from rodagila.core.canonical import canonical_json, json_hash
from rodagila.core.errors import Conflict, NotAuthorised, NotFound, PaymentFailed, RefusedByPolicy
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.money import PPM, format_amount
from rodagila.core.records import Record
from rodagila.reward.batch import (
    BatchFacts,
    GivenResponse,
    Outcome,
    commitments_root,
    dump,
    load,
    methods_to_try,
    pay_root,
)
from rodagila.reward.batch_audit import BatchReport, LedgerBatch, audit_batch
from rodagila.serve.tasks import OpenedBatch, TaskDesk
from rodagila.store import schema
from rodagila.vault.sealing import age_identity, object_identity, open_sealed, recipient_of
from rodagila.vault.sealing import seal as seal_bytes

GRACE_SECONDS = 14 * 86_400
"""Between the deadline of a batch and that of its job: the time to close and to pay it."""
AUTHORIZATION_SECONDS = 3_600
FOREVER = 2**63 - 1
CLAIM_ROWS = 20
POLL_SECONDS = 0.2


def terms_of(dao: Dao, requester: str, *, seconds: int, **chosen: Any) -> Terms:
    """Return terms that name this DAO's contracts and evaluator; ``seconds`` until the deadline."""
    return Terms(
        chain_id=dao.domain.chain_id,
        registry=dao.domain.registry,
        task_pay=_contract_of(dao),
        requester=requester,
        deadline=dao.home.clock() + seconds,
        evaluators=(dao.row.evaluator,),
        **chosen,
    )


def informed(dao: Dao, items: Sequence[Item]) -> list[Item]:
    """Return the items with what the DAO's newest model does not know of them: one less the margin of its best label.

    Raises ``NotFound`` model_unknown before the first turn is closed.
    """
    card = newest_model(dao)
    if card is None:
        raise NotFound("model_unknown", f"The DAO {dao.name!r} has no model yet that could price tasks.")
    model, found = vertical_model(dao, card["turn"]), []
    for item in items:
        best = [share for _, share in model.classify(item.text, 2)] + [0, 0]
        found.append(replace(item, information=max(0, PPM - (best[0] - best[1]))))
    return found


def planned(dao: Dao, terms: Terms, tasks: Sequence[Item], golds: Sequence[Item]) -> tuple[Plan, Job]:
    """Return the plan of a batch and its job; the same tasks under the same terms give the same job."""
    nonce = _nonce(dao, terms, tasks, golds)
    plan = plan_batch(terms, tasks, golds, _secret(dao, nonce))
    left = max(0, plan.terms.deadline - dao.home.clock())
    job = panel_job(
        buyer=terms.requester,
        provider=terms.task_pay,
        token=dao.row.token,
        amount=plan.budget,
        deadline=dao.home.ledger.timestamp() + left + GRACE_SECONDS,
        panel=panel_hash(terms.threshold, terms.evaluators),
        subject=plan.terms.subject(),
        nonce=nonce,
    )
    return plan, job


def new_batch(
    dao: Dao, requester: LocalAccount, terms: Terms, tasks: Sequence[Item], golds: Sequence[Item]
) -> dict[str, Any]:
    """Make a batch and put its budget into the escrow; one whose making was cut off is continued.

    Raises ``Conflict`` tasks_known, ``PaymentFailed`` budget_short, and what planning raises.
    """
    number = _left_behind(dao, _nonce(dao, terms, tasks, golds))
    if number is None:
        plan, job = planned(dao, terms, tasks, golds)
        _require_money(dao, requester.address, plan.budget)
        number = _keep(dao, plan, job)
    opened, job = batch_named(dao, number)
    until_confirmed(dao.home, lambda: _fund(dao, opened, job, requester))
    TaskQueue(dao.home.database).open(opened.batch)
    return show_batch(dao, number)


def list_batches(dao: Dao) -> list[dict[str, Any]]:
    """Return the DAO's batches in order."""
    return [_summary(dao, row) for row in _rows(dao)]


def show_batch(dao: Dao, number: int) -> dict[str, Any]:
    """Return one batch: terms, queue, escrow, and once it is settled what came of it."""
    row = _row(dao, number)
    opened, job = batch_named(dao, number)
    found = {**_summary(dao, row), "recipient": opened.recipient, "terms": opened.batch.terms.as_json()}
    found["job"] = job.as_json()
    if row.public_id is not None:
        _, stated = load(dao.home.blobs.get(from_hex(row.public_id)))
        labels, pay = stated.pop("labels"), stated.pop("pay")
        amounts = {name: int(stated.pop(name)) for name in ("budget", "paid", "returned")}
        found |= {"public_file": "0x" + row.public_id, **amounts, "labels": len(labels), "outcome": stated}
        found["pay"] = [{**one, "pay": int(one["pay"]), "worth": int(one["worth"])} for one in pay]
    if row.contribution:
        found["contribution"] = "0x" + row.contribution
    return found


def desk_of(home: Home) -> TaskDesk:
    """Return where accounts take tasks of all DAOs of the home and hand in responses."""
    known: dict[bytes, OpenedBatch] = {}

    def find(batch: bytes) -> OpenedBatch:
        if batch not in known:
            table = schema.task_batch
            with home.database.reading() as connection:
                row = connection.execute(table.select().where(table.c.id == batch.hex())).one_or_none()
            if row is None:
                raise _unknown(hex0x(batch))
            known[batch] = batch_named(dao_named(home, row.dao), row.number)[0]
        return known[batch]

    def all_of() -> list[OpenedBatch]:
        daos = [Dao(home, row) for row in dao_rows(home)]
        return [find(from_hex(row.id)) for dao in daos for row in _rows(dao) if row.state == OPEN]

    return TaskDesk(home.database, find, all_of)


def batch_named(dao: Dao, number: int) -> tuple[OpenedBatch, Job]:
    """Return a batch that this node can open, and its job; raises ``NotFound`` batch_unknown."""
    row = _row(dao, number)
    terms, job = Terms.from_json(json.loads(row.terms)), Job.from_json(json.loads(row.job))
    key = open_sealed(row.sealed_key, [age_identity(dao.account("operator"))]).decode()
    batch = Batch(from_hex(row.id), dao.name, dao.domain, terms, _secret(dao, job.nonce))
    return OpenedBatch(batch, number, dao.addresses["Escrow"], key, row.recipient), job


def close_batch(dao: Dao, number: int) -> dict[str, Any]:
    """Take no more responses and put the root of those taken on the ledger; a batch that is closed stays so."""
    opened, job = batch_named(dao, number)
    queue = TaskQueue(dao.home.database)
    if queue.state(opened.batch) == MADE:
        raise RefusedByPolicy("batch_closed", "The budget of this batch is not in the escrow: run roda task new again.")
    queue.close(opened.batch)
    digests = [response_digest(opened.batch, taken) for taken in queue.taken(opened.batch)]
    until_confirmed(dao.home, lambda: _commit(dao, opened, job, digests))
    return {"batch": number, "state": queue.state(opened.batch), "responses": len(digests)}


def pay_batch(dao: Dao, number: int) -> dict[str, Any]:
    """Pay a closed batch, and bring its labels into the DAO's data; a batch that is paid stays so."""
    opened, job = batch_named(dao, number)
    queue = TaskQueue(dao.home.database)
    if queue.state(opened.batch) not in (CLOSED, SETTLED):
        raise RefusedByPolicy(
            "batch_closed",
            f"Batch {number} still takes responses.",
            hint=f"First: roda task close {number} --dao {dao.name}",
        )
    close_batch(dao, number)  # a closing that was killed before its root was on the ledger
    public_id, facts, outcome = _public(dao, opened, job)
    until_confirmed(dao.home, lambda: _settle(dao, facts, outcome, public_id))
    queue.settled(opened.batch, public_id)
    until_confirmed(dao.home, lambda: _send_pay(dao, facts, outcome))
    bring_labels(dao)
    return show_batch(dao, number)


def bring_labels(dao: Dao) -> None:
    """Contribute the accepted labels of settled batches as labelled records of the treasury, where the policy learns.

    As corrections of buyers, they belong to the operator's account; their labellers were paid from the escrow. While no
    turn takes contributions they wait for the next one.
    """
    for row in _rows(dao):
        if row.state != SETTLED or row.contribution is not None or not dao.policy.feedback.learn:
            continue
        brought = _brought(dao, from_hex(row.id), labelled_records(dao, row.number))
        if brought is None:
            return
        table = schema.task_batch
        with dao.home.database.begin() as connection:
            connection.execute(update(table).where(table.c.id == row.id).values(contribution=brought))


def _brought(dao: Dao, batch: bytes, records: Sequence[Record]) -> str | None:
    """Contribute the records in parts that the policy allows; return the first part's id, empty if there is none.

    None while no turn takes contributions. A record that is too large for the policy is left out: it must not stop the
    turn that would take it.
    """
    rules, ids = dao.policy.records, []
    fitting = [record for record in records if len(canonical_json(record.as_json())) <= rules.max_bytes // 2]
    for start in range(0, len(fitting), rules.max_records):
        part = fitting[start : start + rules.max_records]
        salt = keccak(b"labels" + batch + dao.turn_seed(0) + start.to_bytes(8, "big"))
        sealed, authorization = seal(dao, dao.account("operator"), part, salt=salt)
        ids.append(sealed.contribution_id.hex())
        try:
            receive(dao, sealed, authorization)
        except (Conflict, NotAuthorised) as known:
            if known.code not in ("contribution_known", "nonce_replayed"):
                raise
        except RefusedByPolicy as closed:
            if closed.code != "turn_closed":
                raise
            return None
    return ids[0] if ids else ""


def labelled_records(dao: Dao, number: int) -> list[Record]:
    """Return the records that a settled batch's accepted labels make, by the tasks' numbers."""
    opened, _ = batch_named(dao, number)
    facts, stated = load(dao.home.blobs.get(from_hex(_row(dao, number).public_id)))
    queue = TaskQueue(dao.home.database)
    contents = {n: opened.content(sealed)[0] for n, _, _, gold, sealed in queue.contents(opened.batch) if not gold}
    words: dict[tuple[int, bytes], str] = {}
    for taken in queue.taken(opened.batch):
        if taken.number in contents and (answer := opened.opening(taken, contents[taken.number])):
            words.setdefault((taken.number, answer_hash(facts.terms.kind, answer[0])), answer[0])
    found = []
    for task, hashed, _, _ in stated["labels"]:
        record = _record(contents[task], words.get((task, from_hex(hashed)), ""))
        if record is not None:
            found.append(record)
    return found


def audit_batches(dao: Dao, number: int | None = None) -> list[BatchReport]:
    """Recompute the settled batches of a DAO, or one of them, from their public files and the ledger."""
    rows = [row for row in _rows(dao) if row.state == SETTLED and number in (None, row.number)]
    if number is not None and not rows:
        raise NotFound("batch_unknown", f"Batch {number} of the DAO {dao.name!r} is not settled.")
    return [
        audit_batch(dao.home.blobs.get(from_hex(row.public_id)), ledger_word(dao, from_hex(row.id))) for row in rows
    ]


def ledger_word(dao: Dao, batch: bytes) -> LedgerBatch:
    """Return what the contracts say of a batch."""
    pay, escrow = dao.contract("TaskPay"), dao.contract("Escrow")
    fixed = pay.call("commitmentsOf", batch)
    settled = pay.events("BatchSettled", where={"id": batch})
    ended = escrow.events("JobClosed", where={"id": batch})
    seed_block = fixed.blockNumber + 1 if fixed.blockNumber else 0
    return LedgerBatch(
        chain_id=dao.home.ledger.chain_id,
        escrow=pay.call("escrow"),
        task_pay=pay.address,
        commitments=fixed.root,
        responses=fixed.responses,
        seed_block=seed_block,
        seed=dao.home.ledger.block(seed_block).hash if settled else b"",
        root=settled[0]["root"] if settled else b"",
        paid=settled[0]["paid"] if settled else 0,
        returned=ended[0]["refunded"] if ended else 0,
        public_hash=settled[0]["publicHash"] if settled else b"",
    )


def _record(content: Content, answer: str) -> Record | None:
    """Return the labelled record that an accepted answer makes, None where it makes none."""
    if content.kind == "verify":
        return Record(content.text, label=content.label) if answer == "right" else None
    if content.kind == "compare" or not answer:
        return None
    if content.kind == "classify":
        return Record(content.text, label=answer)
    return Record(content.text, answer=content.words(answer))


def _fund(dao: Dao, opened: OpenedBatch, job: Job, requester: LocalAccount) -> None:
    """Put the budget into the escrow by the requester's signature, unless it lies there."""
    escrow = dao.contract("Escrow")
    batch = opened.batch.id
    if escrow.call("standingOf", batch).stage:
        return
    _require_money(dao, requester.address, job.amount)
    signed = authorize_receipt(
        requester,
        chain_id=dao.domain.chain_id,
        token=dao.token,
        receiver=escrow.address,
        value=job.amount,
        valid_before=dao.home.ledger.timestamp() + AUTHORIZATION_SECONDS,
        nonce=keccak(batch),
    )
    given = (signed.valid_after, signed.valid_before, signed.signature)
    escrow.transact(dao.account("operator"), "fundByAuthorization", [job.as_tuple()], given)


def _commit(dao: Dao, opened: OpenedBatch, job: Job, digests: Sequence[bytes]) -> None:
    pay, batch, terms = dao.contract("TaskPay"), opened.batch.id, opened.batch.terms
    if pay.call("commitmentsOf", batch).blockNumber:
        return
    root = commitments_root(digests)
    what = commitments_digest(dao.domain.chain_id, pay.address, batch, root, len(digests))
    signed = approval(terms.threshold, terms.evaluators, what, [dao.account("evaluator")])
    pay.transact(dao.account("operator"), "commit", job.as_tuple(), root, len(digests), signed)


def _public(dao: Dao, opened: OpenedBatch, job: Job) -> tuple[bytes, BatchFacts, Outcome]:
    """Return the public file's id, kept, with its facts and outcome; that of a settled batch as it was settled."""
    settled = dao.contract("TaskPay").events("BatchSettled", where={"id": opened.batch.id})
    if settled:
        facts, _ = load(dao.home.blobs.get(settled[0]["publicHash"]))
        return settled[0]["publicHash"], facts, facts.outcome()
    facts = _facts(dao, opened, job)
    outcome = facts.outcome()
    return dao.home.blobs.put(dump(facts, outcome)), facts, outcome


def _facts(dao: Dao, opened: OpenedBatch, job: Job) -> BatchFacts:
    queue, batch = TaskQueue(dao.home.database), opened.batch
    seed_block = int(dao.contract("TaskPay").call("commitmentsOf", batch.id).blockNumber) + 1
    _await_block(dao, seed_block)
    contents = {n: (*opened.content(sealed), hashed, price) for n, hashed, price, _, sealed in queue.contents(batch)}
    responses = tuple(_given(opened, taken, contents[taken.number][0]) for taken in queue.taken(batch))
    return BatchFacts(
        terms=batch.terms,
        escrow=opened.escrow,
        job=job,
        seed_block=seed_block,
        seed=dao.home.ledger.block(seed_block).hash,
        golds_salt=golds_salt(batch.secret),
        methods=methods_to_try(batch.terms, len(responses)),
        tasks=tuple((contents[n][2], contents[n][3]) for n in range(len(contents))),
        golds={n: answer_hash(batch.terms.kind, truth) for n, (_, truth, _, _) in contents.items() if truth},
        responses=responses,
    )


def _given(opened: OpenedBatch, taken: Taken, content: Content) -> GivenResponse:
    answer = opened.opening(taken, content)
    hashed, salt = (b"", b"") if answer is None else (answer_hash(content.kind, answer[0]), answer[1])
    return GivenResponse(
        taken.account, taken.number, taken.lease, taken.commitment, taken.expiry, taken.signature, hashed, salt
    )


def _await_block(dao: Dao, number: int) -> None:
    """Wait until a block is confirmed; where nobody else makes any, make them by sending the operator nothing."""
    ledger, operator = dao.home.ledger, dao.account("operator")
    while (ledger.confirmed_block() if ledger.confirmations else ledger.block_number()) < number:
        if has_faucet(ledger):
            send_wei(ledger, operator, operator.address, 0)
        else:
            pause(dao.home, POLL_SECONDS)


def _settle(dao: Dao, facts: BatchFacts, outcome: Outcome, public_id: bytes) -> None:
    pay, batch, terms = dao.contract("TaskPay"), facts.batch, facts.terms
    if pay.events("BatchSettled", where={"id": batch}):
        return
    if dao.contract("Escrow").call("standingOf", batch).stage == CLOSED_STAGE and outcome.paid:
        raise RefusedByPolicy(
            "batch_closed",
            "The escrow gave the budget of this batch back, because its job was not settled by its deadline.",
        )
    chain, evaluators = dao.domain.chain_id, [dao.account("evaluator")]
    root = pay_root(facts.pay_tree(outcome))
    accepted = acceptance_digest(chain, facts.escrow, [batch], [outcome.paid], FOREVER)
    what = settlement_digest(chain, pay.address, batch, root, outcome.paid, public_id)
    pay.transact(
        dao.account("operator"),
        "settle",
        facts.job.as_tuple(),
        (root, outcome.paid, public_id),
        FOREVER,
        approval(terms.threshold, terms.evaluators, accepted, evaluators),
        approval(terms.threshold, terms.evaluators, what, evaluators),
    )


def _send_pay(dao: Dao, facts: BatchFacts, outcome: Outcome) -> None:
    """Send every account that was not paid yet what its leaf says."""
    pay, tree, rows = dao.contract("TaskPay"), facts.pay_tree(outcome), facts.pay_rows(outcome)
    waiting = [i for i, row in enumerate(rows) if not pay.call("claimed", facts.batch, row[3])]
    for start in range(0, len(waiting), CLAIM_ROWS):
        part = waiting[start : start + CLAIM_ROWS]
        columns = [rows[i][3] for i in part], [rows[i][4] for i in part], [tree.proof(i) for i in part]
        pay.transact(dao.account("operator"), "claim", facts.batch, *columns)


def _keep(dao: Dao, plan: Plan, job: Job) -> int:
    """Keep a batch under the DAO's next number, which is returned."""
    identity = object_identity()
    batch = Batch(
        job.job_id(dao.domain.chain_id, dao.addresses["Escrow"]),
        dao.name,
        dao.domain,
        plan.terms,
        _secret(dao, job.nonce),
    )
    table = schema.task_batch
    with dao.home.database.begin() as connection:
        query = select(func.coalesce(func.max(table.c.number), 0)).where(table.c.dao == dao.name)
        number = int(connection.execute(query).scalar_one()) + 1
    values = {
        "number": number,
        "terms": json.dumps(plan.terms.as_json()),
        "job": json.dumps(job.as_json()),
        "sealed_key": seal_bytes(str(identity).encode(), [recipient_of(age_identity(dao.account("operator")))]),
        "created": dao.home.clock(),
    }
    TaskQueue(dao.home.database).keep(batch, plan, values, recipient_of(identity))
    return number


def _left_behind(dao: Dao, nonce: int) -> int | None:
    """Return the batch of these very tasks whose making was cut off; raises ``Conflict`` if there is a whole one."""
    for row in _rows(dao):
        if Job.from_json(json.loads(row.job)).nonce == nonce:
            if row.state == MADE:
                return int(row.number)
            raise Conflict(
                "tasks_known",
                f"These tasks are batch {row.number} of the DAO {dao.name!r} already.",
                hint=f"Look at it: roda task show {row.number} --dao {dao.name}",
            )
    return None


def _nonce(dao: Dao, terms: Terms, tasks: Sequence[Item], golds: Sequence[Item]) -> int:
    """Return a number that names these tasks under these terms, whenever they are given."""
    body = [[item.text, item.label, list(item.outputs), item.information, item.truth] for item in (*tasks, *golds)]
    agreed = replace(terms, deadline=0).as_json()
    return int.from_bytes(json_hash([agreed, hex0x(dao.id), body])[:16], "big")


def _secret(dao: Dao, nonce: int) -> bytes:
    """Return what draws a batch's order, salts and golds: 32 bytes that follow from the operator's key."""
    key = bytes(dao.account("operator").key)
    return keccak(b"rodagila tasks" + key + dao.id + nonce.to_bytes(32, "big"))


def _contract_of(dao: Dao) -> str:
    try:
        return dao.addresses["TaskPay"]
    except KeyError:
        raise RefusedByPolicy(
            "home_outdated",
            f"The DAO {dao.name!r} was launched before batches of tasks could be paid.",
            hint="Launch a new one with this version: roda dao new",
        ) from None


def _require_money(dao: Dao, account: str, needed: int) -> None:
    held = int(dao.contract("PayToken").call("balanceOf", account))
    if held < needed:
        raise PaymentFailed(
            "budget_short",
            f"The budget is {format_amount(needed)}; {account} holds {format_amount(held)}.",
            hint=f"Send it {format_amount(needed - held)}, or lower price or overlap.",
            account=account,
            needed=needed,
            held=held,
        )


def _summary(dao: Dao, row: Row[Any]) -> dict[str, Any]:
    opened, job = batch_named(dao, row.number)
    terms, counts = opened.batch.terms, TaskQueue(dao.home.database).counts(opened.batch)
    return {
        "batch": row.number,
        "id": "0x" + row.id,
        "dao": dao.name,
        "state": row.state,
        "kind": terms.kind,
        "instruction": terms.instruction,
        **counts,
        "overlap": terms.overlap,
        "budget": job.amount,
        "deadline": terms.deadline,
    }


def _rows(dao: Dao) -> list[Row[Any]]:
    table = schema.task_batch
    with dao.home.database.reading() as connection:
        return list(connection.execute(table.select().where(table.c.dao == dao.name).order_by(table.c.number)))


def _row(dao: Dao, number: int) -> Row[Any]:
    for row in _rows(dao):
        if row.number == number:
            return row
    raise _unknown(f"{number} in the DAO {dao.name!r}")


def _unknown(which: str) -> NotFound:
    return NotFound("batch_unknown", f"There is no batch of tasks {which}.", hint="List them: roda task list")
