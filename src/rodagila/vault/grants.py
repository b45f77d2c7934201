"""What the ledger says of grants and revocations, read at one final block by a keeper itself.

The keeper takes the newest final block of every endpoint that it was given, and pins it: all must agree on that
block's hash, and on the hash of the block that it pinned before, so that one endpoint that lies alone, or a chain that
went back on itself, is noticed and nothing is released. A grant's terms come from its event, its id is recomputed from
them, and its state and expiry come from storage (docs/protocol.md, Licenses and grants).

A scope is the root of the tree of leaves ``(bytes32 contribution id)``, or the DAO's id, which stands for everything
that is contributed to it: a standing grant, as evaluators have it.

>>> reader.pin().grant(grant_id).terms.grantee  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rodagila.chain.contracts import Contract, load_artifact
from rodagila.chain.port import Ledger
from rodagila.core.errors import Conflict, NotFound, RefusedByPolicy
from rodagila.core.hashing import hex0x, keccak_abi
from rodagila.core.merkle import MerkleTree, standard_leaf, verify
from rodagila.core.messages import Domain, dao_id

MODES = {1: "api", 2: "compute", 3: "release"}
_TERMS = "(address,bytes32,uint8,bytes32,bytes32,bytes32,bytes32,bytes32)"
_ACTIVE, _REVOKED = 1, 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What was granted, to whom; as ``Licenses.Terms``."""

    grantee: str
    grantee_key: bytes
    mode: int
    scope_root: bytes
    purpose_hash: bytes
    code_hash: bytes
    decision: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as the ledger had it at the pinned block; ``expiry`` in seconds."""

    id: bytes
    terms: Terms
    expiry: int
    state: int

    def require_good(self, now: int) -> None:
        """Raise ``RefusedByPolicy`` grant_revoked or grant_expired."""
        if self.state != _ACTIVE:
            raise RefusedByPolicy("grant_revoked", f"Grant {hex0x(self.id)} was revoked.", hint="Ask for another.")
        if now >= self.expiry:
            raise RefusedByPolicy(
                "grant_expired", f"Grant {hex0x(self.id)} expired at {self.expiry}.", hint="Ask for another."
            )

    def require_scope(self, domain: Domain, contribution_id: bytes, proof: Sequence[bytes]) -> None:
        """Raise ``RefusedByPolicy`` scope_refused unless the scope contains the contribution."""
        whole = self.terms.scope_root == dao_id(domain) and not proof
        if not whole and not verify(self.terms.scope_root, scope_leaf(contribution_id), proof):
            raise RefusedByPolicy(
                "scope_refused",
                f"Grant {hex0x(self.id)} does not reach contribution {hex0x(contribution_id)}.",
                hint="Ask for what the decision names, with the proof of its place in the scope.",
            )


def scope_leaf(contribution_id: bytes) -> bytes:
    """Return the leaf of a contribution in a scope."""
    return standard_leaf(["bytes32"], [contribution_id])


def scope_tree(contribution_ids: Sequence[bytes]) -> MerkleTree:
    """Return the tree of a scope; its root goes into the grant, ``proof(i)`` into the request for the i-th."""
    return MerkleTree.of(["bytes32"], [[one] for one in contribution_ids])


def grant_id(chain_id: int, licenses: str, terms: Terms) -> bytes:
    """Return the id of a grant with these terms, as the contract computes it."""
    values = tuple(getattr(terms, name) for name in Terms.__slots__)
    return keccak_abi(["uint256", "address", _TERMS], [chain_id, licenses, values])


@dataclass(frozen=True, slots=True)
class Pin:
    """A final block that all endpoints agree on, and what the contracts said then."""

    block: int
    hash: bytes
    time: int
    licenses: tuple[Contract, ...]
    registries: tuple[Contract, ...]

    def grant(self, wanted: bytes) -> Grant:
        """Return a grant; raises ``NotFound`` grant_unknown, ``Conflict`` ledger_disagrees."""
        found: Grant = _agreed([self._grant(contract, wanted) for contract in self.licenses], "grant")
        return found

    def revocations(self, from_block: int) -> set[tuple[bytes, str]]:
        """Return (contribution, owner) of every revocation since ``from_block`` that any endpoint knows."""
        found: set[tuple[bytes, str]] = set()
        for contract in self.registries:
            for event in contract.events("Revoked", from_block, self.block):
                found.add((event["contributionId"], event["owner"]))
        return found

    def _grant(self, licenses: Contract, wanted: bytes) -> Grant:
        for event in licenses.events("Granted", to_block=self.block, where={"id": wanted}):
            terms = Terms(*_values(event["terms"]))
            if grant_id(licenses.ledger.chain_id, licenses.address, terms) == wanted:
                grantee, expiry, mode, state = _values(licenses.call("grantOf", wanted))
                if (grantee, mode) == (terms.grantee, terms.mode) and state in (_ACTIVE, _REVOKED):
                    return Grant(wanted, terms, expiry, state)
        raise NotFound(
            "grant_unknown",
            f"The ledger holds no grant {hex0x(wanted)} up to block {self.block}.",
            hint="Wait until its block is final.",
        )


class GrantReader:
    """Reads one DAO's contracts through one or more endpoints of its chain."""

    def __init__(self, ledgers: Sequence[Ledger], domain: Domain, licenses: str) -> None:
        if not ledgers or any(ledger.chain_id != domain.chain_id for ledger in ledgers):
            raise RefusedByPolicy(
                "chain_mismatch", f"Every endpoint must be of chain {domain.chain_id}.", hint="Give another --ledger."
            )
        self._ledgers, self.domain, self._licenses = tuple(ledgers), domain, licenses

    def pin(self, before: tuple[int, bytes] | None = None) -> Pin:
        """Return the newest final block of all endpoints; ``before`` is (number, hash) of the one pinned last.

        Raises ``Conflict`` ledger_disagrees if they differ, or ledger_reorganised if ``before`` is gone, and
        ``Unreachable``.
        """
        block = min(ledger.confirmed_block() for ledger in self._ledgers)
        if before is not None:
            block = max(block, before[0])
            try:
                kept = all(ledger.block(before[0]).hash == before[1] for ledger in self._ledgers)
            except NotFound:
                kept = False
            if not kept:
                raise Conflict(
                    "ledger_reorganised",
                    f"Block {before[0]}, which this keeper relied on, is not in the chain that is shown to it now.",
                    hint="Nothing was released. Find out whether the chain or an endpoint is at fault.",
                    block=before[0],
                )
        headers = [ledger.block(block) for ledger in self._ledgers]
        hash_ = _agreed([header.hash for header in headers], "block")
        views = [ledger.at(block) for ledger in self._ledgers]
        return Pin(
            block=block,
            hash=hash_,
            time=headers[0].timestamp,
            licenses=tuple(Contract(view, self._licenses, load_artifact("Licenses")) for view in views),
            registries=tuple(Contract(view, self.domain.registry, load_artifact("Registry")) for view in views),
        )


def _agreed(answers: Sequence[Any], what: str) -> Any:
    if any(answer != answers[0] for answer in answers):
        raise Conflict(
            "ledger_disagrees",
            f"The endpoints of the ledger do not show the same {what}.",
            hint="Nothing was released. Find out which of them lies.",
        )
    return answers[0]


def _values(struct: Any) -> tuple[Any, ...]:
    return tuple(struct.values()) if isinstance(struct, dict) else tuple(struct)
