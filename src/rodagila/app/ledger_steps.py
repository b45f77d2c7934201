"""What a turn does on the ledger, each step safe to repeat: it first reads whether its effect is there already.

A step may run twice when the process dies between the transaction and its record; the contracts refuse the second
transaction, and these functions do not send it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import update

from rodagila.app.daos import Dao
from rodagila.app.home import wall_clock
from rodagila.app.intake import StoredContribution, contributions_of
from rodagila.chain.contracts import Contract
from rodagila.chain.port import Reverted
from rodagila.collect.contribution import batch_root
from rodagila.core.hashing import ZERO_HASH
from rodagila.reward.tree import TurnTree
from rodagila.store import schema

STAGE_OPEN, STAGE_CLOSED, STAGE_RECORDED = 1, 2, 3
BOND_ROWS = 25
CLAIM_ROWS = 20
"""Rows a transaction: far below the block's gas limit and the contracts' caller-sized batches."""


def open_turn(dao: Dao, turn: int, commitment: bytes) -> None:
    """Open ``turn`` on the registry with its commitment."""
    registry = dao.contract("Registry")
    if registry.call("lastTurn") < turn:
        registry.transact(dao.account("operator"), "openTurn", turn, commitment)


def register_batch(dao: Dao, turn: int) -> int:
    """Register the turn's waiting contributions as one batch and note their places; return the number of records."""
    waiting = [row for row in contributions_of(dao, turn=turn) if row.batch is None]
    if not waiting:
        return 0
    registry = dao.contract("Registry")
    root = batch_root([row.id for row in waiting])
    records = sum(row.count for row in waiting)
    if registry.call("batchOf", root)[1] == 0:
        registry.transact(dao.account("operator"), "registerBatch", turn, root, len(waiting), records)
    batch = registry.call("batchOf", root)
    _note_places(dao, waiting, number=batch[1], first_place=batch[2])
    return records


def _note_places(dao: Dao, waiting: Sequence[StoredContribution], *, number: int, first_place: int) -> None:
    table, place = schema.contribution, first_place
    with dao.home.database.begin() as connection:
        for row in waiting:
            values = {"batch": number, "first_place": place}
            connection.execute(update(table).where(table.c.id == row.id.hex()).values(values))
            place += row.count


def close_turn(dao: Dao, turn: int) -> None:
    """End the taking of batches on the registry."""
    registry = dao.contract("Registry")
    if registry.call("turnOf", turn)[0] == STAGE_OPEN:
        registry.transact(dao.account("operator"), "closeTurn", turn)


def post_bonds(dao: Dao, turn: int) -> None:
    """Take the bonds of the turn's contributions by their owners' authorisations."""
    rewards, operator = dao.contract("Rewards"), dao.account("operator")
    missing = [
        (row.id, row.owner, auth.value, auth.valid_after, auth.valid_before, auth.signature)
        for row in contributions_of(dao, turn=turn)
        if (auth := row.authorization) is not None and rewards.call("bondOf", row.id, row.owner) == 0
    ]
    # One account that has spent its money would make the whole batch revert: leave it out, its proof will say why.
    payable = [row for row in missing if _would_succeed(rewards, "postBonds", [row])]
    for start in range(0, len(payable), BOND_ROWS):
        rewards.transact(operator, "postBonds", payable[start : start + BOND_ROWS])


def _would_succeed(contract: Contract, function: str, *args: object) -> bool:
    try:
        contract.call(function, *args)
    except Reverted:
        return False
    return True


def bonds_held(dao: Dao) -> dict[bytes, int]:
    """Return the bond that the ledger took for each contribution, from its events."""
    known = {row.id: row.owner for row in contributions_of(dao)}
    return {
        event["contributionId"]: event["amount"]
        for event in dao.contract("Rewards").events("BondPosted", 0)
        if known.get(event["contributionId"]) == event["owner"]  # anybody may post a bond under a foreign id
    }


def record_turn(
    dao: Dao, turn: int, *, data_root: bytes, proofs_root: bytes, model_hash: bytes, parent: bytes, seed: bytes
) -> None:
    """Record what came of the turn and reveal its seed."""
    registry = dao.contract("Registry")
    if registry.call("turnOf", turn)[0] != STAGE_RECORDED:
        registry.transact(
            dao.account("operator"), "recordTurn", turn, data_root, proofs_root, model_hash, parent or ZERO_HASH, seed
        )


def recorded_block(dao: Dao, turn: int) -> int:
    """Return the block in which the turn was recorded: fees up to it, it included, are the turn's."""
    events = dao.contract("Registry").events("TurnRecorded", 0)
    return next(int(event["block_number"]) for event in events if event["turn"] == turn)


def fund_and_post(
    dao: Dao, turn: int, *, payouts: TurnTree, slashes: TurnTree, pool: int, paid: int, public_hash: bytes
) -> None:
    """Fund what the turn pays and post its roots."""
    treasury, rewards, operator = dao.contract("Treasury"), dao.contract("Rewards"), dao.account("operator")
    if paid and treasury.call("poolOf", turn) == 0:
        treasury.transact(operator, "fundPool", turn, paid)
    if rewards.call("lastTurn") < turn:
        bond = dao.policy.challenge.root_bond
        if bond:
            dao.contract("PayToken").transact(operator, "approve", rewards.address, bond)
        rewards.transact(operator, "postRoot", turn, payouts.root, slashes.root, pool, paid, public_hash)


def seconds_until_final(dao: Dao, turn: int) -> int:
    """Return how long the challenge window of the turn's root still is, 0 when the root is final."""
    rewards = dao.contract("Rewards")
    if rewards.call("isFinal", turn):
        return 0
    return max(1, int(rewards.call("rootOf", turn)[6]) - wall_clock())


def settle_bonds(dao: Dao, turn: int, slashes: TurnTree) -> None:
    """Give the turn's bonds back, less the slashes."""
    rewards, operator = dao.contract("Rewards"), dao.account("operator")
    owners = {row.id: row.owner for row in contributions_of(dao, turn=turn)}
    rows = [
        (key, owners[key], amount, slashes.proof_of(key))
        for key, amount in slashes.rows
        if isinstance(key, bytes) and rewards.call("bondOf", key, owners[key]) > 0
    ]
    for start in range(0, len(rows), BOND_ROWS):
        rewards.transact(operator, "settleBonds", turn, rows[start : start + BOND_ROWS])


def claim(dao: Dao, turn: int, payouts: TurnTree, accounts: Sequence[str]) -> int:
    """Send the claims of ``accounts`` against the turn's final root; return how many were not yet paid."""
    rewards, operator = dao.contract("Rewards"), dao.account("operator")
    due = [account for account in accounts if payouts.amount_of(account) > rewards.call("claimed", account)]
    for start in range(0, len(due), CLAIM_ROWS):
        part = due[start : start + CLAIM_ROWS]
        amounts = [payouts.amount_of(account) for account in part]
        rewards.transact(operator, "claimMany", turn, part, amounts, [payouts.proof_of(account) for account in part])
    return len(due)
