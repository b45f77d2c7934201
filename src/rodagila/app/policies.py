"""The versions of a DAO's policy. Which one is in force is the registry's word; the home keeps their texts, by hash.

A decision puts a version in force at once, and it takes effect with the next turn that is opened: a turn keeps the
version it was opened under, for what is contributed, proven, priced and paid in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from rodagila.app.home import Home
from rodagila.core.errors import NotFound
from rodagila.core.hashing import hex0x
from rodagila.core.policy import Policy
from rodagila.store import schema

if TYPE_CHECKING:
    from rodagila.app.daos import Dao


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """What the registry says: the newest version, counted from 1, and its hash."""

    version: int
    hash: bytes


def keep_policy(home: Home, dao: str, policy: Policy) -> bytes:
    """Keep the text of ``policy`` under its hash, which is returned; keeping it again changes nothing."""
    with home.database.begin() as connection:
        connection.execute(schema.policy.insert().prefix_with("OR IGNORE").values(policy_values(dao, policy)))
    return policy.policy_hash()


def policy_values(dao: str, policy: Policy) -> dict[str, Any]:
    """Return the row of a kept policy."""
    body, digest = json.dumps(policy.as_json()), policy.policy_hash().hex()
    return {"dao": dao, "hash": digest, "version": policy.version, "body": body}


def policy_with(home: Home, dao: str, policy_hash: bytes) -> Policy:
    """Return the kept policy of that hash; raises ``NotFound`` policy_unknown."""
    table = schema.policy
    query = select(table.c.body).where(table.c.dao == dao, table.c.hash == policy_hash.hex())
    with home.database.begin() as connection:
        body = connection.execute(query).scalar_one_or_none()
    if body is None:
        raise NotFound(
            "policy_unknown",
            f"The text of the policy {hex0x(policy_hash)} of the DAO {dao!r} is not in this home.",
            hint=f"Get the file from who proposed it, then run: roda policy keep FILE --dao {dao}",
            policy_hash=hex0x(policy_hash),
        )
    return _parsed(body)


def policy_of_turn(home: Home, dao: str, turn: int | None) -> Policy:
    """Return the policy that ``turn`` was opened under, or the newest turn; before the first turn the launch's."""
    table, kept = schema.turn, schema.policy
    turns = select(table.c.policy).where(table.c.dao == dao).order_by(table.c.number.desc()).limit(1)
    if turn is not None:
        turns = turns.where(table.c.number == turn)
    first = select(kept.c.hash).where(kept.c.dao == dao).order_by(kept.c.version).limit(1)
    with home.database.begin() as connection:
        found = connection.execute(turns).scalar_one_or_none() or connection.execute(first).scalar_one()
    return policy_with(home, dao, bytes.fromhex(found))


def in_force(dao: Dao) -> PolicyInForce:
    """Return the newest version that the registry knows: that of the next turn to be opened."""
    registry = dao.contract("Registry")
    version = int(registry.call("policyVersion"))
    return PolicyInForce(version, registry.call("policyAt", version))


def next_policy(dao: Dao) -> Policy:
    """Return the policy in force; raises ``NotFound`` policy_unknown if the home does not have its text."""
    return policy_with(dao.home, dao.name, in_force(dao).hash)


def opened_under(dao: Dao, turn: int) -> bytes:
    """Return the hash of the policy that the registry opened ``turn`` under."""
    registry = dao.contract("Registry")
    policy_hash: bytes = registry.call("policyAt", registry.call("turnOf", turn).policyVersion)
    return policy_hash


def versions_of(dao: Dao) -> Mapping[str, Any]:
    """Return what people are shown: the version that the open turn runs under, and one that waits for the next turn."""
    newest, now = in_force(dao), dao.policy.policy_hash()
    shown: dict[str, Any] = {"policy_version": dao.policy.version, "policy_hash": hex0x(now)}
    if newest.hash != now:
        shown["policy_of_next_turn"] = {"version": newest.version, "policy_hash": hex0x(newest.hash)}
    return shown


@lru_cache(maxsize=64)
def _parsed(body: str) -> Policy:
    return Policy.from_json(json.loads(body))
