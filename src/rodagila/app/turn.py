"""The story of one turn, on one page: every stage of the wheel in its order, each a durable step.

    register   the turn's contributions become one batch of the log; bonds are taken; the log is closed
    prove      an evaluator opens each contribution, runs the policy's checks and signs a proof
    learn      the model is trained on what was accepted, measured on the gate set, and published
               ... the gateway serves it; calls are paid; feedback comes back ...
    record     the turn is recorded on the ledger, which ends its fees and reveals its queries
    value      each record's worth, the settlement, both trees: the turn's public file
    post       what the turn pays is funded and its roots are posted
    window     whoever recomputes another root disputes it; when nobody did, the roots are made final
    bonds      bonds go back, less the slashes; claims are open to everyone
    open       the next turn is opened with its commitment; feedback weighs its queries

A step may be killed anywhere and runs again: it first looks whether its effect is there. On a chain that may be
reorganised a step ends when its effect is confirmed (``app.confirming``). ``roda turn close`` goes through whatever is
left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dbos import DBOS
from sqlalchemy.exc import DatabaseError

from rodagila.app import ledger_steps
from rodagila.app.book import read_book
from rodagila.app.claiming import claim_for_turn
from rodagila.app.confirming import confirmed, pause
from rodagila.app.daos import Dao, dao_named
from rodagila.app.durable import Run, current_home, engine
from rodagila.app.evaluation import prove_turn
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of
from rodagila.app.models import train_turn
from rodagila.app.opening import begin_turn, commit_opening
from rodagila.app.progress import SILENT, Progress
from rodagila.app.publication import fees_of, publish_turn, published, summary_of
from rodagila.app.settling import await_settlements
from rodagila.app.turns import CLOSED, LEARNED, OPEN, change_turn, turn_row, unfinished_turn
from rodagila.core.errors import RefusedByPolicy
from rodagila.core.hashing import from_hex
from rodagila.reward.roots import contributions_root
from rodagila.store.database import explained

__all__ = ["begin_turn", "close", "learn", "settle"]

POLL_SECONDS = 0.1


def learn(dao: Dao, progress: Progress = SILENT) -> dict[str, Any]:
    """Take in the open turn's contributions and publish its model; later calls in the same turn change nothing."""
    _require_contributions(dao)
    with dao.home.exclusive("turn"):
        number = unfinished_turn(dao)
        with _engine(dao.home) as run:
            return _learn(run, dao, number, progress)


def settle(dao: Dao, progress: Progress = SILENT) -> dict[str, Any]:
    """Settle the turn whose model was learned, and open the next one."""
    with dao.home.exclusive("turn"):
        number = unfinished_turn(dao)
        with _engine(dao.home) as run:
            return _settle(run, dao, number, progress)


def close(dao: Dao, progress: Progress = SILENT) -> dict[str, Any]:
    """Go through everything that is left of the current turn; returns what came of it."""
    _require_contributions(dao)
    with dao.home.exclusive("turn"):
        # Asked before the engine continues what a killed run left: that turn is the one to close, not the next.
        number = unfinished_turn(dao)
        _require_news(dao, number)
        with _engine(dao.home) as run:
            _learn(run, dao, number, progress)
            return _settle(run, dao, number, progress)


@contextmanager
def _engine(home: Home) -> Iterator[Run]:
    """Start the engine, and say plainly what its database cannot do."""
    try:
        with engine(home) as run:
            yield run
    except DatabaseError as error:
        raise explained(error, home.path / "workflows.sqlite") from error


def _learn(run: Run, dao: Dao, number: int, progress: Progress) -> dict[str, Any]:
    with progress.stage(f"Turn {number}: register, prove, learn"):
        return run(f"{dao.name}:{number}:learn", learn_workflow, dao.name, number)


def _settle(run: Run, dao: Dao, number: int, progress: Progress) -> dict[str, Any]:
    with progress.stage(f"Turn {number}: value, settle, pay"):
        return run(f"{dao.name}:{number}:settle", settle_workflow, dao.name, number)


def _require_contributions(dao: Dao) -> None:
    if not contributions_of(dao):
        raise RefusedByPolicy(
            "turn_empty",
            f"The DAO {dao.name!r} has no contributions yet, so there is nothing to learn from.",
            hint=f"Bring some: roda contribute FILE --dao {dao.name} --key NAME",
        )


def _require_news(dao: Dao, number: int) -> None:
    """Refuse to close a turn in which nothing came in: so closing twice by mistake is closing once."""
    row = turn_row(dao, number)
    if row.state != OPEN or contributions_of(dao, turn=number):
        return
    claim_for_turn(dao)  # calls by channel are fees once they are claimed
    if not fees_of(dao, number):
        raise RefusedByPolicy(
            "turn_empty",
            f"Turn {number} of the DAO {dao.name!r} has neither contributions nor fees, so there is nothing to close.",
            hint="Close it when something has come in.",
        )


@DBOS.workflow()
def learn_workflow(dao: str, turn: int) -> dict[str, Any]:
    """Register, prove, learn."""
    register(dao, turn)
    prove(dao, turn)
    return train(dao, turn)


@DBOS.workflow()
def settle_workflow(dao: str, turn: int) -> dict[str, Any]:
    """Record, value, post, wait, give bonds back, open the next turn."""
    record(dao, turn)
    value(dao, turn)
    post(dao, turn)
    window(dao, turn)
    bonds(dao, turn)
    return finish(dao, turn)


def _dao(name: str) -> Dao:
    return dao_named(current_home(), name)


@DBOS.step()
@confirmed(current_home)
def register(name: str, turn: int) -> dict[str, Any]:
    """Register the turn's batch, close its log and take the bonds."""
    dao = _dao(name)
    commit_opening(dao, turn)  # a launch that was killed left it unopened
    change_turn(dao, turn, state=LEARNED)  # contributions are refused until the next turn opens
    records = ledger_steps.register_batch(dao, turn)
    ledger_steps.close_turn(dao, turn)
    ledger_steps.post_bonds(dao, turn)
    return {"records": records}


@DBOS.step()
def prove(name: str, turn: int) -> dict[str, Any]:
    """Open, check and sign a proof of each contribution that has none."""
    return prove_turn(_dao(name), turn)


@DBOS.step()
def train(name: str, turn: int) -> dict[str, Any]:
    """Train, measure and publish the turn's model."""
    return train_turn(_dao(name), turn)


@DBOS.step()
@confirmed(current_home)
def record(name: str, turn: int) -> dict[str, Any]:
    """Record the turn on the ledger: data, proofs, model; this reveals the turn's seed and ends its fees."""
    dao = _dao(name)
    if not dao.home.is_viewing:
        claim_for_turn(dao)  # what is claimed after the record counts in the next turn
        await_settlements(dao.home)  # what was paid so far is the turn's, so none of it may vanish afterwards
    card = train_turn(dao, turn)
    book = read_book(dao, up_to=turn)
    ledger_steps.record_turn(
        dao,
        turn,
        data_root=contributions_root([page.stored.id for page in book.pages]),
        proofs_root=book.proofs_root(),
        model_hash=from_hex(card["hash"]),
        parent=from_hex(card["parent"]),
        seed=dao.turn_seed(turn),
    )
    block = ledger_steps.recorded_block(dao, turn)
    change_turn(dao, turn, last_block=block)
    return {"block": block}


@DBOS.step()
def value(name: str, turn: int) -> dict[str, Any]:
    """Compute values and settlement, and keep the public file."""
    dao = _dao(name)
    public_id = publish_turn(dao, turn)
    change_turn(dao, turn, public_id=public_id.hex())
    return {"public": public_id.hex()}


@DBOS.step()
@confirmed(current_home)
def post(name: str, turn: int) -> dict[str, Any]:
    """Fund what the turn pays and post its roots, after those of earlier turns that the DAO took away."""
    dao = _dao(name)
    for earlier in range(ledger_steps.newest_posted(dao) + 1, turn):
        _post(dao, earlier)
        _await_final(dao, earlier)
    return {"root": _post(dao, turn).hex()}


def _post(dao: Dao, turn: int) -> bytes:
    public, computed = published(dao, turn)
    public_id = turn_row(dao, turn).public_id
    assert public_id is not None
    posting = ledger_steps.Posting(
        payouts=computed.payout_tree,
        slashes=computed.slash_tree,
        tokens=computed.token_tree,
        pool=public.outcome.pool,
        paid=public.outcome.paid,
        issued=public.outcome.issued,
        public_hash=public_id,
    )
    ledger_steps.fund_and_post(dao, turn, posting)
    return computed.payout_tree.root


@DBOS.step()
@confirmed(current_home)
def window(name: str, turn: int) -> dict[str, Any]:
    """Wait until the challenge window is over and make the turn's roots final."""
    _await_final(_dao(name), turn)
    return {}


def _await_final(dao: Dao, turn: int) -> None:
    while not ledger_steps.made_final(dao, turn):
        pause(dao.home, POLL_SECONDS)


@DBOS.step()
@confirmed(current_home)
def bonds(name: str, turn: int) -> dict[str, Any]:
    """Give the turn's bonds back, less the slashes."""
    dao = _dao(name)
    _, computed = published(dao, turn)
    ledger_steps.settle_bonds(dao, turn, computed.slash_tree)
    return {}


@DBOS.step()
@confirmed(current_home)
def finish(name: str, turn: int) -> dict[str, Any]:
    """Note what came of the turn, and open the next one."""
    dao = _dao(name)
    summary = summary_of(dao, turn)
    begin_turn(dao, turn + 1)
    change_turn(dao, turn, state=CLOSED, summary=json.dumps(summary))
    return summary
