"""The EIP-712 messages between grantees and keepers of key shares, in the DAO's domain of ``core.messages``.

A grantee asks with ``ReleaseRequest``; a keeper signs a ``Release`` for each share that it gave out and a
``ShareDeletion`` for each that it forgot. Both name the block that the keeper read the ledger at. Source: EIP-712.

>>> ShareDeletion.PRIMARY
'ShareDeletion'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rodagila.core.messages import Fields


def _fields(*pairs: tuple[str, str]) -> Fields:
    return [{"type": kind, "name": name} for kind, name in pairs]


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A grantee's wish for one keeper's share of one contribution, until ``deadline`` (seconds)."""

    grant_id: bytes
    contribution_id: bytes
    keeper: str
    nonce: int
    deadline: int

    TYPES: ClassVar[dict[str, Fields]] = {
        "ReleaseRequest": _fields(
            ("bytes32", "grantId"),
            ("bytes32", "contributionId"),
            ("address", "keeper"),
            ("uint256", "nonce"),
            ("uint64", "deadline"),
        )
    }
    PRIMARY: ClassVar[str] = "ReleaseRequest"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "grantId": self.grant_id,
            "contributionId": self.contribution_id,
            "keeper": self.keeper,
            "nonce": self.nonce,
            "deadline": self.deadline,
        }


@dataclass(frozen=True, slots=True)
class Release:
    """A keeper's word that it gave out a share: to whom, under which grant and decision, at which block and time."""

    grant_id: bytes
    contribution_id: bytes
    share_hash: bytes
    grantee: str
    grantee_key: bytes
    decision: bytes
    nonce: int
    block: int
    block_hash: bytes
    time: int

    TYPES: ClassVar[dict[str, Fields]] = {
        "Release": _fields(
            ("bytes32", "grantId"),
            ("bytes32", "contributionId"),
            ("bytes32", "shareHash"),
            ("address", "grantee"),
            ("bytes32", "granteeKey"),
            ("bytes32", "decision"),
            ("uint256", "nonce"),
            ("uint64", "block"),
            ("bytes32", "blockHash"),
            ("uint64", "time"),
        )
    }
    PRIMARY: ClassVar[str] = "Release"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "grantId": self.grant_id,
            "contributionId": self.contribution_id,
            "shareHash": self.share_hash,
            "grantee": self.grantee,
            "granteeKey": self.grantee_key,
            "decision": self.decision,
            "nonce": self.nonce,
            "block": self.block,
            "blockHash": self.block_hash,
            "time": self.time,
        }


@dataclass(frozen=True, slots=True)
class ShareDeletion:
    """A keeper's word that it deleted its share of a contribution that its owner revoked."""

    contribution_id: bytes
    owner: str
    share_hash: bytes
    block: int
    block_hash: bytes
    time: int

    TYPES: ClassVar[dict[str, Fields]] = {
        "ShareDeletion": _fields(
            ("bytes32", "contributionId"),
            ("address", "owner"),
            ("bytes32", "shareHash"),
            ("uint64", "block"),
            ("bytes32", "blockHash"),
            ("uint64", "time"),
        )
    }
    PRIMARY: ClassVar[str] = "ShareDeletion"

    def as_message(self) -> dict[str, Any]:
        """Return the EIP-712 message object."""
        return {
            "contributionId": self.contribution_id,
            "owner": self.owner,
            "shareHash": self.share_hash,
            "block": self.block,
            "blockHash": self.block_hash,
            "time": self.time,
        }
