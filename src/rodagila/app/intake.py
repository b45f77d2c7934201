"""Taking contributions in: check the manifest, hold the bond's authorisation, keep the sealed bytes, write the row.

The row is committed last, so its existence means that everything it names is on disk. A contribution waits for the
turn's batch; its place in the log comes from there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount
from sqlalchemy import Connection, Row, func, select
from sqlalchemy.exc import IntegrityError

from rodagila.app.daos import Dao
from rodagila.chain.authorization import Authorization, authorize_receipt
from rodagila.collect.contribution import SealedContribution, prepare_contribution, verify_consent, verify_manifest
from rodagila.core.errors import Conflict, Corrupted, NotAuthorised, PaymentFailed, RefusedByPolicy
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.messages import Manifest, digest, manifest_from_json, message_as_json
from rodagila.core.money import format_amount
from rodagila.core.records import Record
from rodagila.store import schema

CONSENT_SECONDS = 365 * 86_400
BOND_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class StoredContribution:
    """One row: a contribution with its manifest, and its place in the log once the ledger has its batch."""

    id: bytes
    turn: int
    owner: str
    count: int
    manifest: Manifest
    signature: bytes
    ciphertext_id: bytes
    sealed_key: bytes
    bond: int
    authorization: Authorization | None
    batch: int | None
    first_place: int | None


def open_turn_of(connection: Connection, dao: str) -> int:
    """Return the turn that takes contributions now."""
    table = schema.turn
    turns = connection.execute(select(table.c.number).where(table.c.dao == dao, table.c.state == "open")).scalars()
    found = list(turns)
    if not found:
        raise RefusedByPolicy(
            "turn_closed", f"No turn of {dao!r} takes contributions now.", hint=f"Run: roda turn close --dao {dao}"
        )
    return int(found[0])


def seal(
    dao: Dao, owner: LocalAccount, records: Sequence[Record], *, salt: bytes | None = None
) -> tuple[SealedContribution, Authorization | None]:
    """Prepare ``records`` on the owner's side: sealed contribution and the signed authorisation of its bond."""
    salt = secrets.token_bytes(32) if salt is None else salt
    sealed = prepare_contribution(
        records,
        owner=owner,
        domain=dao.domain,
        policy=dao.policy,
        keeper_recipient=dao.keeper().recipient,
        nonce=int.from_bytes(salt[:16], "big"),
        salt=salt,
        consent_expiry=dao.home.clock() + CONSENT_SECONDS,
    )
    bond = bond_of(dao, owner.address, len(records))
    if bond == 0:
        return sealed, None
    authorization = authorize_receipt(
        owner,
        chain_id=dao.domain.chain_id,
        token=dao.token,
        receiver=dao.addresses["Bonds"],
        value=bond,
        valid_before=dao.home.ledger.timestamp() + BOND_SECONDS,
        nonce=sealed.contribution_id,
    )
    return sealed, authorization


def bond_of(dao: Dao, owner: str, count: int) -> int:
    """Return the bond of ``count`` records: multiplier x trailing mean pay of a record, less for newcomers."""
    if owner == dao.row.operator:
        return 0  # what buyers corrected: the treasury would post the bond to itself
    rules = dao.policy.bond
    with dao.home.database.begin() as connection:
        table, turns = schema.contribution, schema.turn
        known = connection.execute(
            select(func.count()).where(table.c.dao == dao.name, table.c.owner == owner, table.c.batch.is_not(None))
        ).scalar_one()
        summaries = connection.execute(
            select(turns.c.summary)
            .where(turns.c.dao == dao.name, turns.c.state == "closed")
            .order_by(turns.c.number.desc())
            .limit(1)
        ).scalars()
        last = next(iter(summaries), None)
    if last is None:
        return rules.initial * count
    closed = json.loads(last)
    mean = max(rules.initial, int(closed["paid"]) // max(1, int(closed["records"])))
    return mean * (rules.multiplier if known else rules.newcomer_multiplier) * count


def receive(dao: Dao, sealed: SealedContribution, authorization: Authorization | None) -> int:
    """Check and keep a contribution; return the turn it joins. Every refusal leaves nothing behind."""
    contribution = sealed.contribution
    verify_manifest(
        sealed.manifest,
        sealed.signature,
        sealed.ciphertext,
        sealed.sealed_key,
        domain=dao.domain,
        policy_hash=dao.policy.policy_hash(),
        used_nonces=lambda owner, nonce: _nonce_used(dao, owner, nonce),
        stated=sealed.domain,
    )
    verify_consent(sealed.consent, contribution, purpose=dao.policy.purpose, now=dao.home.clock())
    _check_bond(dao, sealed, authorization)
    with dao.home.database.begin() as connection:
        turn = open_turn_of(connection, dao.name)
        try:
            connection.execute(
                schema.contribution.insert().values(_values(dao, turn, sealed, authorization, connection))
            )
        except IntegrityError as error:
            raise Conflict(
                "contribution_known", "This contribution is already recorded.", hint="Nothing more is to be done."
            ) from error
        dao.home.blobs.put(sealed.ciphertext)  # the last thing that can fail before the row is committed
    return turn


def _check_bond(dao: Dao, sealed: SealedContribution, authorization: Authorization | None) -> None:
    owner = sealed.contribution.owner
    needed = bond_of(dao, owner, sealed.contribution.count)
    if needed == 0:
        return
    if authorization is None or authorization.value < needed or authorization.nonce != sealed.contribution_id:
        raise PaymentFailed(
            "bond_insufficient",
            f"The contribution needs a bond of {format_amount(needed)} that names its id as nonce.",
            hint="Sign it with the contribution.",
        )
    if (authorization.sender, authorization.receiver) != (owner, dao.addresses["Bonds"]):
        raise NotAuthorised(
            "bond_insufficient",
            "The bond is not the owner's, or not for this DAO's bonds contract.",
            hint="Sign it anew.",
        )
    held = dao.contract("PayToken").call("balanceOf", owner)
    waiting = sum(row.bond for row in contributions_of(dao) if row.owner == owner and row.batch is None)
    if held < needed + waiting:
        raise PaymentFailed(
            "bond_insufficient",
            f"{owner} holds {format_amount(held)}; the bonds of its waiting contributions and this one are "
            f"{format_amount(needed + waiting)}.",
            hint=f"On the embedded ledger: roda faucet {owner}",
        )


def _nonce_used(dao: Dao, owner: str, nonce: int) -> bool:
    table = schema.contribution
    query = select(table.c.id).where(table.c.dao == dao.name, table.c.owner == owner, table.c.nonce == str(nonce))
    with dao.home.database.begin() as connection:
        return connection.execute(query).first() is not None


def _values(
    dao: Dao, turn: int, sealed: SealedContribution, authorization: Authorization | None, connection: Connection
) -> dict[str, Any]:
    table = schema.contribution
    arrived = connection.execute(select(func.count()).where(table.c.dao == dao.name)).scalar_one()
    return {
        "id": sealed.contribution_id.hex(),
        "dao": dao.name,
        "turn": turn,
        "owner": sealed.contribution.owner,
        "nonce": str(sealed.contribution.nonce),
        "count": sealed.contribution.count,
        "manifest": json.dumps(message_as_json(sealed.manifest)),
        "signature": sealed.signature.hex(),
        "ciphertext_id": sealed.manifest.ciphertext_id.hex(),
        "sealed_key": sealed.sealed_key,
        "bond": 0 if authorization is None else authorization.value,
        "bond_authorization": "" if authorization is None else json.dumps(authorization.as_json()),
        "received": arrived,
    }


def contributions_of(dao: Dao, *, turn: int | None = None) -> list[StoredContribution]:
    """Return the DAO's contributions in order of arrival, which is the order of the log."""
    table = schema.contribution
    query = table.select().where(table.c.dao == dao.name).order_by(table.c.received)
    if turn is not None:
        query = query.where(table.c.turn == turn)
    with dao.home.database.begin() as connection:
        return [_stored(row) for row in connection.execute(query)]


def _stored(row: Row[Any]) -> StoredContribution:
    authorization = Authorization.from_json(json.loads(row.bond_authorization)) if row.bond_authorization else None
    return StoredContribution(
        id=from_hex(row.id),
        turn=row.turn,
        owner=row.owner,
        count=row._mapping["count"],
        manifest=manifest_from_json(json.loads(row.manifest)),
        signature=from_hex(row.signature),
        ciphertext_id=from_hex(row.ciphertext_id),
        sealed_key=row.sealed_key,
        bond=row.bond,
        authorization=authorization,
        batch=row.batch,
        first_place=row.first_place,
    )


def require_intact(dao: Dao, stored: StoredContribution) -> None:
    """Raise ``Corrupted`` if the row of a contribution is not what its owner signed."""
    signed = stored.manifest.contribution
    if digest(dao.domain, signed) != stored.id:
        raise row_damaged(stored, "its manifest does not hash to its id")
    if (signed.owner, signed.count) != (stored.owner, stored.count):
        raise row_damaged(stored, "its owner or its number of records is not what the manifest says")


def row_damaged(stored: StoredContribution, what: str) -> Corrupted:
    """Return the error for a row of a contribution that was changed."""
    return Corrupted(
        "database_corrupted",
        f"The row of contribution {hex0x(stored.id)} was changed: {what}.",
        hint="Restore the home's database from a backup; nothing was changed.",
        contribution_id=hex0x(stored.id),
    )
