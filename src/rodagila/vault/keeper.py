"""Keepers: who holds the key of a sealed object, and when they give it out.

A contribution is sealed to a fresh object key; the object key is wrapped for a keeper, and its hash stands in the
signed manifest. ``KeyReleaser`` is the port: one node, or t of n keepers with Shamir shares (``vault.quorum``)
(DESIGN 6, Contribution and Grant). A keeper releases a key for a purpose, and only where its rule allows it.

>>> node = NodeKeeper(Account.from_key("0x" + "11" * 32))
>>> node.release(node.wrap("AGE-SECRET-KEY-1..."), contribution_id=bytes(32), purpose="evaluate")
'AGE-SECRET-KEY-1...'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from eth_account.signers.local import LocalAccount

from rodagila.core.errors import RefusedByPolicy
from rodagila.vault.sealing import age_identity, open_sealed, recipient_of, seal

EVALUATE = "evaluate"
ReleaseRule = Callable[[bytes, str], bool]
"""``rule(contribution_id, purpose)``: whether the ledger's word permits this release."""


def standing_grant(contribution_id: bytes, purpose: str) -> bool:
    """Allow what a DAO's standing evaluation grant allows: evaluating any contribution, nothing else."""
    return purpose == EVALUATE


class KeyReleaser(Protocol):
    """Releases object keys by rule."""

    def release(self, sealed_key: bytes, *, contribution_id: bytes, purpose: str) -> str:
        """Return the object key, or raise ``RefusedByPolicy`` purpose_refused."""
        ...


class KeyKeeper(KeyReleaser, Protocol):
    """Keeps object keys, and releases them by rule."""

    @property
    def recipient(self) -> str:
        """The ``age1...`` text that object keys are sealed to."""
        ...

    def wrap(self, object_key: str) -> bytes:
        """Return the sealed form of ``object_key`` (``AGE-SECRET-KEY-1...``)."""
        ...


def wrap_for(recipient: str, object_key: str) -> bytes:
    """Return ``object_key`` sealed to a keeper of whom only the ``recipient`` is known."""
    return seal(object_key.encode("ascii"), [recipient])


class NodeKeeper:
    """The DAO's node as the only keeper: object keys are sealed to the node account's age key."""

    def __init__(self, account: LocalAccount, *, rule: ReleaseRule = standing_grant) -> None:
        self._identity = age_identity(account)
        self._rule = rule
        self._recipient = recipient_of(self._identity)

    @property
    def recipient(self) -> str:
        """The node's ``age1...`` text."""
        return self._recipient

    def wrap(self, object_key: str) -> bytes:
        """Return ``object_key`` sealed to the node."""
        return wrap_for(self._recipient, object_key)

    def release(self, sealed_key: bytes, *, contribution_id: bytes, purpose: str) -> str:
        """Return the object key if the rule allows it.

        Raises ``RefusedByPolicy`` purpose_refused, ``Corrupted`` or ``NotAuthorised`` ciphertext_unreadable.
        """
        if not self._rule(contribution_id, purpose):
            raise RefusedByPolicy(
                "purpose_refused",
                f"No grant releases the key of contribution 0x{contribution_id.hex()} for {purpose!r}.",
                hint="Ask the DAO for a grant with that purpose.",
            )
        return open_sealed(sealed_key, [self._identity]).decode("ascii", errors="replace")
