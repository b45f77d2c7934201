"""What a turn does on the ledger, each step safe to repeat: it first reads whether its effect is there already.

A step may run twice when the process dies between the transaction and its record; the contracts refuse the second
transaction, and these functions do not send it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import update

from rodagila.app.daos import Dao
from rodagila.app.intake import StoredContribution, contributions_of, require_intact
from rodagila.chain.contracts import Contract
from rodagila.chain.port import ZERO_ADDRESS, Reverted
from rodagila.collect.contribution import batch_root
from rodagila.core.errors import PaymentFailed, RefusedByPolicy
from rodagila.core.hashing import ZERO_HASH
from rodagila.core.money import format_amount
from rodagila.market.hub import Hub
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
    """Register the turn's contributions as one batch and note their places as the ledger has them; return the records.

    Raises ``Corrupted`` before anything is sent if a row is not what its owner signed: a batch is for ever.
    """
    waiting = contributions_of(dao, turn=turn)
    if not waiting:
        return 0
    for row in waiting:
        require_intact(dao, row)
    registry = dao.contract("Registry")
    root = batch_root([row.id for row in waiting])
    records = sum(row.count for row in waiting)
    if registry.call("batchOf", root).number == 0:
        registry.transact(dao.account("operator"), "registerBatch", turn, root, len(waiting), records)
    batch = registry.call("batchOf", root)
    _note_places(dao, waiting, number=batch.number, first_place=batch.firstPlace)
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
    if registry.call("turnOf", turn).stage == STAGE_OPEN:
        registry.transact(dao.account("operator"), "closeTurn", turn)


def post_bonds(dao: Dao, turn: int) -> None:
    """Take the bonds of the turn's contributions by their owners' authorisations."""
    bonds, operator = dao.contract("Bonds"), dao.account("operator")
    missing = [
        (row.id, row.owner, auth.value, auth.valid_after, auth.valid_before, auth.signature)
        for row in contributions_of(dao, turn=turn)
        if (auth := row.authorization) is not None and bonds.call("bondOf", row.id, row.owner) == 0
    ]
    for start in range(0, len(missing), BOND_ROWS):
        part = missing[start : start + BOND_ROWS]
        # An account that has spent its money would make the whole part revert: its bond is left out, its proof will
        # say why. One account may cover some of its bonds and not all, so they are then tried one after the other.
        for rows in [part] if _would_succeed(bonds, "postBonds", part) else [[row] for row in part]:
            if _would_succeed(bonds, "postBonds", rows):
                bonds.transact(operator, "postBonds", rows)


def _would_succeed(contract: Contract, function: str, *args: object) -> bool:
    try:
        contract.call(function, *args)
    except Reverted:
        return False
    return True


@dataclass(frozen=True, slots=True)
class HeldBond:
    """What an owner posted for a contribution, and in which block."""

    amount: int
    block: int


def bonds_held(dao: Dao) -> dict[bytes, HeldBond]:
    """Return the bond that the ledger took for each contribution from its owner, from its events."""
    known = {row.id: row.owner for row in contributions_of(dao)}
    return {
        event["contributionId"]: HeldBond(event["amount"], event["block_number"])
        for event in dao.contract("Bonds").events("BondPosted", 0)
        if known.get(event["contributionId"]) == event["owner"]  # anybody may post a bond under a foreign id
    }


def opened_block(dao: Dao, turn: int) -> int:
    """Return the block in which the turn was opened."""
    events = dao.contract("Registry").events("TurnOpened", 0, where={"turn": turn})
    return int(events[0]["block_number"])


def record_turn(
    dao: Dao, turn: int, *, data_root: bytes, proofs_root: bytes, model_hash: bytes, parent: bytes, seed: bytes
) -> None:
    """Record what came of the turn and reveal its seed."""
    registry = dao.contract("Registry")
    if registry.call("turnOf", turn).stage != STAGE_RECORDED:
        registry.transact(
            dao.account("operator"), "recordTurn", turn, data_root, proofs_root, model_hash, parent or ZERO_HASH, seed
        )


def recorded_block(dao: Dao, turn: int) -> int:
    """Return the block in which the turn was recorded: fees up to it, it included, are the turn's."""
    events = dao.contract("Registry").events("TurnRecorded", 0)
    return next(int(event["block_number"]) for event in events if event["turn"] == turn)


@dataclass(frozen=True, slots=True)
class Posting:
    """What is posted of a turn: its three trees, what it pays of what pool, what it issues, its public file's hash."""

    payouts: TurnTree
    slashes: TurnTree
    tokens: TurnTree
    pool: int
    paid: int
    issued: int
    public_hash: bytes


def fund_and_post(dao: Dao, turn: int, posting: Posting) -> None:
    """Fund what the turn pays and post its roots, which makes those of the turn before final."""
    treasury, rewards, operator = dao.contract("Treasury"), dao.contract("Rewards"), dao.account("operator")
    if rewards.call("lastTurn") >= turn:
        return
    # A root that was taken away leaves its money there: only what is missing is added.
    missing = rewards.call("totalOwed") + posting.paid - rewards.call("totalFunded")
    bond = _missing_bond(dao)
    if missing > 0:
        _collect_claimed(dao)
        _require_money(dao, treasury.address, missing, f"the payouts of turn {turn} from its treasury")
    if bond > 0:
        _require_money(dao, operator.address, bond, f"the bond behind the root of turn {turn} from its operator")
    if missing > 0:
        treasury.transact(operator, "fundPool", turn, missing)
    if bond > 0:
        dao.contract("PayToken").transact(operator, "approve", dao.addresses["Bonds"], bond)
    roots = (posting.payouts.root, posting.slashes.root, posting.tokens.root)
    amounts = (posting.pool, posting.paid, posting.issued)
    rewards.transact(operator, "postRoot", turn, *roots, *amounts, posting.public_hash)


def _collect_claimed(dao: Dao) -> None:
    """Have the hub pay out what was claimed for the treasury: it counts as fees from its claim on.

    The gateway pays out what it claims; but whoever makes a channel of her own to the treasury may claim it and stop
    there, and the turn would lack money that it counts.
    """
    hub, treasury, token = Hub(dao.home.ledger), dao.row.treasury, dao.row.token
    if hub.present() and hub.unsettled(treasury, token):
        hub.contract.transact(dao.account("operator"), "settle", treasury, token)


def _missing_bond(dao: Dao) -> int:
    """Return what the operator must put down behind a root, beside what it has standing from earlier ones."""
    credit = int(dao.contract("Bonds").call("creditOf", dao.row.operator))
    return int(dao.contract("Rewards").call("rootBond")) - credit


def _require_money(dao: Dao, account: str, needed: int, purpose: str) -> None:
    """Raise ``PaymentFailed`` treasury_short before anything is sent that the ledger would refuse."""
    held = int(dao.contract("PayToken").call("balanceOf", account))
    if held < needed:
        raise PaymentFailed(
            "treasury_short",
            f"The DAO {dao.name!r} needs {format_amount(needed)} for {purpose}, which holds {format_amount(held)}.",
            hint=f"Send {format_amount(needed - held)} to {account}, then run: roda turn close --dao {dao.name}",
            account=account,
            needed=needed,
            held=held,
        )


def newest_posted(dao: Dao) -> int:
    """Return the newest turn whose roots stand."""
    return int(dao.contract("Rewards").call("lastTurn"))


def newest_final(dao: Dao) -> int:
    """Return the turn that claims are made against, 0 before the first."""
    return int(dao.contract("Rewards").call("finalTurn"))


def made_final(dao: Dao, turn: int) -> bool:
    """Make the turn's roots final if their window is over; tell whether they are.

    Raises ``RefusedByPolicy`` if they are disputed (the DAO decides by a proposal) or were taken away.
    """
    rewards = dao.contract("Rewards")
    if newest_final(dao) >= turn:
        return True
    if newest_posted(dao) < turn:
        raise RefusedByPolicy(
            "root_rejected",
            f"The DAO {dao.name!r} took the roots of turn {turn} away: they were wrong, or could not be checked.",
            hint=f"Correct what was wrong, then run: roda turn close --dao {dao.name}",
        )
    challenger = rewards.call("rootOf", turn).challenger
    if challenger != ZERO_ADDRESS:
        raise RefusedByPolicy(
            "root_disputed",
            f"{challenger} disputes the roots of turn {turn} of the DAO {dao.name!r}; they pay nobody until decided.",
            hint=f"When a proposal has decided it, run: roda turn close --dao {dao.name}",
            challenger=challenger,
        )
    if not rewards.call("canFinalize", turn):
        return False
    rewards.transact(dao.account("operator"), "finalize", turn)
    return True


def settle_bonds(dao: Dao, turn: int, slashes: TurnTree) -> None:
    """Give the turn's bonds back, less the slashes, and the bond behind its root."""
    bonds, operator = dao.contract("Bonds"), dao.account("operator")
    rows = [
        (key, owner, amount, slashes.proof_of(key))
        for key, owner, amount in slashes.rows
        if bonds.call("bondOf", key, owner) > 0
    ]
    for start in range(0, len(rows), BOND_ROWS):
        bonds.transact(operator, "settleBonds", turn, rows[start : start + BOND_ROWS])
    if bonds.call("creditOf", operator.address):
        bonds.transact(operator, "withdrawCredit", operator.address)


def claim_money(dao: Dao, turn: int, payouts: TurnTree, accounts: Sequence[str]) -> int:
    """Send the claims of ``accounts`` against the turn's final root; return how many were not yet paid."""
    return _claim(dao, dao.contract("Rewards"), turn, payouts, accounts)


def claim_tokens(dao: Dao, turn: int, tokens: TurnTree, accounts: Sequence[str]) -> int:
    """Have the DAO's tokens minted for ``accounts`` by the turn's final root; return how many had some to come."""
    return _claim(dao, dao.contract("DaoToken"), turn, tokens, accounts)


def _claim(dao: Dao, contract: Contract, turn: int, tree: TurnTree, accounts: Sequence[str]) -> int:
    amounts = dict(tree.rows)
    due = [account for account in accounts if amounts.get(account, 0) > contract.call("claimed", account)]
    for start in range(0, len(due), CLAIM_ROWS):
        part = due[start : start + CLAIM_ROWS]
        proofs = [tree.proof_of(account) for account in part]
        owed = [amounts[account] for account in part]
        contract.transact(dao.account("operator"), "claimMany", turn, part, owed, proofs)
    return len(due)
