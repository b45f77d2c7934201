"""An object key split among keepers: what stands in a contribution in the place of a key sealed to one node.

Canonical JSON ``{"version": 1, "threshold", "shares": [{"id", "keeper", "hash", "sealed"}, ...]}``: the 32 bytes of the
object key's scalar are split t of n, each share is sealed with age to one keeper (``age1...``), and named by its hash
with the contribution's id in it. The owner signs the hash of these bytes (``keyHash`` of the manifest), and with it who
keeps which share, how many open the key, and every share's hash.

>>> SplitKey.from_bytes(split_key("AGE-SECRET-KEY-1...", contribution_id, keepers, threshold=2))  # doctest: +SKIP
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pyrage import x25519

from rodagila.core.canonical import canonical_json
from rodagila.core.errors import Corrupted, InvalidInput, NotFound
from rodagila.core.hashing import from_hex, hex0x
from rodagila.vault import bech32
from rodagila.vault.sealing import open_sealed, seal
from rodagila.vault.shares import MAX_SHARES, Share, combine, require_share, share_hash, split

VERSION = 1
MAX_BYTES = 262_144
_PREFIX = "age-secret-key-"


@dataclass(frozen=True, slots=True)
class KeeperShare:
    """One keeper's part: its id, the keeper's age recipient, the share's hash and the share sealed to the keeper."""

    x: int
    keeper: str
    hash: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class SplitKey:
    """The object key of one contribution, split; ``threshold`` shares open it."""

    threshold: int
    shares: tuple[KeeperShare, ...]

    def as_bytes(self) -> bytes:
        """Return the canonical bytes, whose Keccak-256 the manifest signs."""
        shares = [
            {
                "id": one.x,
                "keeper": one.keeper,
                "hash": hex0x(one.hash),
                "sealed": base64.b64encode(one.sealed).decode(),
            }
            for one in self.shares
        ]
        return canonical_json({"version": VERSION, "threshold": self.threshold, "shares": shares})

    @classmethod
    def from_bytes(cls, data: bytes) -> SplitKey:
        """Return the split key of ``as_bytes``; raises ``InvalidInput`` share_invalid for anything else."""
        try:
            body = json.loads(data) if len(data) <= MAX_BYTES else {}
            shares = tuple(
                KeeperShare(one["id"], one["keeper"], from_hex(one["hash"]), base64.b64decode(one["sealed"]))
                for one in body["shares"]
            )
            found = cls(body["threshold"], shares)
            ids, keepers = {one.x for one in shares}, {one.keeper for one in shares}
            whole = len(ids) == len(keepers) == len(shares) and all(1 <= x <= MAX_SHARES for x in ids)
            if whole and 1 <= found.threshold <= len(shares) and found.as_bytes() == data:
                return found
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidInput):
            pass
        raise InvalidInput(
            "share_invalid", "These bytes are not a key that is split among keepers.", hint="Prepare it again."
        )

    def of_keeper(self, recipient: str) -> KeeperShare:
        """Return the part of one keeper; raises ``NotFound`` share_unknown."""
        for one in self.shares:
            if one.keeper == recipient:
                return one
        raise NotFound("share_unknown", f"No share of this contribution is sealed to {recipient}.")

    def require(self, contribution_id: bytes, share: Share) -> None:
        """Raise ``NotAuthorised`` share_mismatch unless ``share`` is the one that the owner signed under its id."""
        expected = next((one.hash for one in self.shares if one.x == share.x), b"")
        require_share(expected, contribution_id, self.threshold, share)

    def object_key(self, contribution_id: bytes, shares: Sequence[Share]) -> str:
        """Return ``AGE-SECRET-KEY-1...`` of ``threshold`` shares, each held against its hash first."""
        if len({share.x for share in shares}) < self.threshold:
            raise InvalidInput("share_invalid", f"{len(shares)} shares were given; {self.threshold} open the key.")
        for share in shares:
            self.require(contribution_id, share)
        return key_text(combine(shares[: self.threshold]))


@dataclass(frozen=True, slots=True)
class KeeperSet:
    """The keepers of a DAO by their age recipients, ``threshold`` of whom open what is sealed to them."""

    recipients: tuple[str, ...]
    threshold: int


def split_key(object_key: str, contribution_id: bytes, keepers: Sequence[str], *, threshold: int) -> bytes:
    """Return the bytes of ``object_key`` split among ``keepers``, ``threshold`` of whom open it.

    Raises ``InvalidInput`` share_invalid or key_invalid.
    """
    shares = split(_scalar(object_key), threshold=threshold, count=len(keepers))
    if len(set(keepers)) != len(keepers):
        raise InvalidInput("share_invalid", "Two of the keepers have one key; each needs its own.")
    parts = tuple(
        KeeperShare(share.x, keeper, share_hash(contribution_id, threshold, share), seal(share.as_bytes(), [keeper]))
        for share, keeper in zip(shares, keepers, strict=True)
    )
    return SplitKey(threshold, parts).as_bytes()


def open_share(sealed: bytes, identity: x25519.Identity) -> Share:
    """Return the share in ``sealed``; raises ciphertext_unreadable or share_invalid."""
    return Share.from_bytes(open_sealed(sealed, [identity]))


def recipient_of_key(public: bytes) -> str:
    """Return the ``age1...`` text of the 32 bytes of an X25519 public key, as a grant holds it."""
    return bech32.encode("age", public)


def public_key_of(recipient: str) -> bytes:
    """Return the 32 bytes of an ``age1...`` text; raises ``InvalidInput`` key_invalid."""
    try:
        prefix, public = bech32.decode(recipient)
    except ValueError:
        prefix, public = "", b""
    if prefix != "age" or len(public) != 32:
        raise InvalidInput("key_invalid", "This is not an age public key.", hint="It must begin with age1.")
    return public


def key_text(scalar: bytes) -> str:
    """Return the ``AGE-SECRET-KEY-1...`` text of a scalar."""
    return bech32.encode(_PREFIX, scalar).upper()


def _scalar(object_key: str) -> bytes:
    try:
        prefix, scalar = bech32.decode(object_key)
    except ValueError:
        prefix, scalar = "", b""
    if prefix != _PREFIX or len(scalar) != 32:
        raise Corrupted("key_invalid", "The object key is not an age secret key.")
    return scalar
