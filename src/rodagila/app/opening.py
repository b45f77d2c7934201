"""Opening a turn: its scoring queries are drawn and weighted by feedback, frozen, and committed on the ledger.

The commitment holds the roots of queries, gate and reference, the embedder's hash and a seed, behind a secret salt;
the turn's record reveals it. So nobody, the operator included, can choose queries after seeing the data, and nobody can
write data for queries she has seen (MECHANISM 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rodagila.app import ledger_steps
from rodagila.app.book import embed
from rodagila.app.daos import Dao
from rodagila.app.intake import receive, seal
from rodagila.app.policies import next_policy, opened_under, policy_with
from rodagila.app.tasks import bring_labels
from rodagila.app.turns import TurnRow, add_turn, change_turn, turn_row, turn_rows
from rodagila.core.errors import Conflict, NotAuthorised
from rodagila.core.hashing import keccak
from rodagila.core.policy import Policy
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array, Int64Array
from rodagila.market.calls import Calls
from rodagila.reward.roots import examples_root, turn_commitment
from rodagila.serve.effects import feedback_effects
from rodagila.serve.feedback import FeedbackBook, FeedbackRow


@dataclass(frozen=True, slots=True)
class Draw:
    """A turn's secrets: the salt that hides the commitment, and the seed of the bootstraps."""

    salt: bytes
    seed: int


@dataclass(frozen=True, slots=True)
class Scoring:
    """The scoring queries of one turn with their weights."""

    records: tuple[Record, ...]
    vectors: Int8Array
    weights: Int64Array


def draw_of(dao: Dao, turn: int) -> Draw:
    """Return the turn's salt and seed."""
    salt = dao.turn_seed(turn)
    return Draw(salt, int.from_bytes(keccak(b"seed" + salt)[:6], "big"))


def begin_turn(dao: Dao, turn: int) -> None:
    """Open ``turn``: freeze its queries, commit them on the ledger, bring in the last turn's corrections.

    Raises ``NotFound`` policy_unknown if the policy in force is one whose text this home does not have.
    """
    if all(row.number != turn for row in turn_rows(dao)):
        policy = next_policy(dao)
        queries = _queries(dao, turn, policy)
        scoring = _scoring(dao, queries)
        add_turn(
            dao,
            turn,
            first_block=dao.home.ledger.block_number(),
            commitment=_commitment(dao, turn, scoring),
            queries=queries,
            policy=policy.policy_hash(),
        )
    commit_opening(dao, turn)
    _contribute_corrections(dao, turn)
    bring_labels(dao)


def commit_opening(dao: Dao, turn: int) -> None:
    """Open ``turn`` on the ledger with its commitment; the ledger decides when, and which policy it runs under."""
    row = turn_row(dao, turn)
    ledger_steps.open_turn(dao, turn, row.commitment)
    policy_hash = opened_under(dao, turn)
    if policy_hash != row.policy:  # a decision was executed just before
        policy_with(dao.home, dao.name, policy_hash)
    change_turn(dao, turn, policy=policy_hash.hex(), first_block=ledger_steps.opened_block(dao, turn))


def scoring_of(dao: Dao, row: TurnRow) -> Scoring:
    """Return the turn's frozen queries."""
    return _scoring(dao, list(row.queries))


def _scoring(dao: Dao, queries: Sequence[tuple[int, int]]) -> Scoring:
    pool = dao.holdings().scoring
    records = tuple(pool[place] for place, _ in queries)
    return Scoring(records, embed(dao, records), np.array([weight for _, weight in queries], dtype=np.int64))


def _queries(dao: Dao, turn: int, policy: Policy) -> list[tuple[int, int]]:
    """Draw the queries by the seed and weigh them by the feedback of the turn before."""
    pool = dao.holdings().scoring
    seed = draw_of(dao, turn).salt
    order = sorted(range(len(pool)), key=lambda place: keccak(seed + place.to_bytes(8, "big")))
    chosen = sorted(order[: policy.queries.per_turn])
    vectors = embed(dao, [pool[place] for place in chosen])
    rows, embed_texts = _feedback(dao, turn - 1), dao.home.embedder.encode
    effects = feedback_effects(rows, vectors, embed_texts, policy, pool=_pool_of(dao, turn - 1) if rows else 0)
    return list(zip(chosen, effects.weights, strict=True))


def _pool_of(dao: Dao, turn: int) -> int:
    from rodagila.app.publication import published

    return published(dao, turn)[0].outcome.pool


def _feedback(dao: Dao, turn: int) -> list[FeedbackRow]:
    database = dao.home.database
    return list(FeedbackBook(database, Calls(database)).of_turn(dao.name, turn)) if turn > 0 else []


def _commitment(dao: Dao, turn: int, scoring: Scoring) -> bytes:
    held, draw = dao.holdings(), draw_of(dao, turn)
    roots = (
        examples_root(scoring.vectors, [record.target for record in scoring.records]),
        examples_root(embed(dao, held.gate), [record.target for record in held.gate]),
        examples_root(embed(dao, held.reference), [record.target for record in held.reference]),
    )
    return turn_commitment(*roots, dao.home.embedder.hash, seed=draw.seed, salt=draw.salt)


def _contribute_corrections(dao: Dao, turn: int) -> None:
    """Contribute what buyers corrected in the turn before as labelled records of the treasury, if the policy allows.

    They belong to the operator's account, so nobody earns by correcting; the salt follows from the turn, so that a
    repeated step makes the same contribution, which is known already.
    """
    if not dao.policy.feedback.learn or turn == 1:
        return
    effects = feedback_effects(_feedback(dao, turn - 1), embed(dao, ()), dao.home.embedder.encode, dao.policy)
    if not effects.records:
        return
    salt = keccak(b"corrections" + dao.turn_seed(turn))
    try:
        receive(dao, *seal(dao, dao.account("operator"), effects.records, salt=salt))
    except (Conflict, NotAuthorised) as known:
        if known.code not in ("contribution_known", "nonce_replayed"):
            raise
