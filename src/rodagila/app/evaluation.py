"""The evaluator's work in a turn: open each contribution without a proof, run the checks, sign and keep the proof.

Contributions are taken in log order, and a proof is kept before the next contribution is looked at, so a killed run
continues with the same earlier records and comes to the same results.
"""

from __future__ import annotations

import json
from typing import Any

from rodagila.app.book import Book, Page, embed, read_book
from rodagila.app.daos import Dao
from rodagila.app.ledger_steps import bonds_held
from rodagila.core.messages import message_as_json
from rodagila.prove.checks import REFUSED, Check, Evaluation, RecordStatus, evaluate
from rodagila.prove.duplicates import SeenRecords
from rodagila.prove.proof import sign_proof
from rodagila.store import schema


def prove_turn(dao: Dao, turn: int) -> dict[str, Any]:
    """Prove every contribution up to ``turn`` that has no proof; returns how many, and how many records they hold."""
    book = read_book(dao, up_to=turn)
    waiting = [page for page in book.pages if page.proof is None]
    if not waiting:
        return {"contributions": 0, "accepted": 0}
    seen, held = _seen(dao, book), bonds_held(dao)
    # All at once, so that embedding can be shared among processes; below, each contribution finds its vectors kept.
    embed(dao, [record for page in waiting if page.opened for record in page.opened.records])
    accepted = 0
    for page in waiting:
        bond = held.get(page.stored.id)
        # The owner may have posted a smaller bond itself, which would make junk cheap.
        unbonded = page.stored.bond > 0 and (bond is None or bond.amount < page.stored.bond)
        evaluation = _without_bond(page) if unbonded else _evaluate(dao, page, seen)
        _keep(dao, page, evaluation)
        accepted += evaluation.accepted
    return {"contributions": len(waiting), "accepted": accepted}


def _seen(dao: Dao, book: Book) -> SeenRecords:
    """Return what came before: the reference corpus under negative places, and every accepted record."""
    seen = SeenRecords()
    reference = dao.holdings().reference
    seen.add_all(range(-len(reference), 0), reference, embed(dao, reference))
    seen.add_all(book.places, book.records, book.vectors)
    return seen


def _evaluate(dao: Dao, page: Page, seen: SeenRecords) -> Evaluation:
    stored, opened = page.stored, page.opened
    if opened is None:
        return _refused(page, "contents_unreadable", Check("owned", False, 0, page.fault))
    assert stored.first_place is not None
    return evaluate(
        opened,
        manifest=stored.manifest,
        signature=stored.signature,
        domain=dao.domain,
        policy=dao.policy_of(stored.turn),
        vectors=embed(dao, opened.records),
        seen=seen,
        first_place=stored.first_place,
    )


def _without_bond(page: Page) -> Evaluation:
    """Return the evaluation of a contribution whose promised bond the ledger could not take: nothing is accepted."""
    missing = Check("bonded", False, 0, "the owner's money did not cover the bond when it was taken")
    return _refused(page, "bond_missing", missing)


def _refused(page: Page, reason: str, check: Check) -> Evaluation:
    statuses = tuple(RecordStatus(index, REFUSED, reason) for index in range(page.stored.count))
    return Evaluation((check,), statuses, 0)


def _keep(dao: Dao, page: Page, evaluation: Evaluation) -> None:
    proof, signature = sign_proof(
        dao.account("evaluator"),
        dao.domain,
        evaluation,
        contribution_id=page.stored.id,
        owner=page.stored.owner,
        policy_hash=dao.policy_of(page.stored.turn).policy_hash(),
    )
    values = {
        "contribution": page.stored.id.hex(),
        "proof": json.dumps(message_as_json(proof)),
        "signature": signature.hex(),
        "evaluation": json.dumps(evaluation.as_json()),
    }
    with dao.home.database.begin() as connection:
        connection.execute(schema.proof.insert().prefix_with("OR IGNORE").values(values))
