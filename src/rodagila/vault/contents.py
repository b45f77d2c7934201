"""What is inside a sealed contribution, and the root that commits to it.

The plaintext is canonical JSON ``{"version": 1, "owner", "salt", "records": [...]}``. The content root is
``ordered_root`` over the records' owner-salted commitments, so whoever opens a contribution can recompute every
commitment from the plaintext and refuse contents that the owner did not sign (MECHANISM 1; DESIGN 6).

>>> unpack(pack("0x" + "00" * 20, bytes(32), [Record("hello")]))[2]
(Record(text='hello', label='', answer=''),)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rodagila.core.canonical import canonical_json
from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.merkle import ordered_root
from rodagila.core.messages import Domain, Manifest, digest
from rodagila.core.records import Record, record_commitment, record_hash, record_salt
from rodagila.vault.keeper import EVALUATE, KeyReleaser
from rodagila.vault.sealing import identity_from_text, open_sealed

VERSION = 1


@dataclass(frozen=True, slots=True)
class OpenedContribution:
    """A contribution in the clear, as its owner sealed it; ``salt`` makes its commitments recomputable."""

    contribution_id: bytes
    owner: str
    salt: bytes
    records: tuple[Record, ...]

    def __repr__(self) -> str:
        return f"OpenedContribution({hex0x(self.contribution_id)}, owner={self.owner}, {len(self.records)} records)"


def commitments(domain: Domain, owner: str, salt: bytes, records: Sequence[Record]) -> list[bytes]:
    """Return the owner-salted commitment of every record, in order."""
    return [
        record_commitment(domain.chain_id, domain.registry, owner, record_salt(salt, index), record_hash(record))
        for index, record in enumerate(records)
    ]


def content_root(domain: Domain, owner: str, salt: bytes, records: Sequence[Record]) -> bytes:
    """Return the root over the commitments: what a contribution signs in place of its contents."""
    return ordered_root(commitments(domain, owner, salt, records))


def pack(owner: str, salt: bytes, records: Sequence[Record]) -> bytes:
    """Return the canonical plaintext."""
    body = {
        "version": VERSION,
        "owner": owner,
        "salt": hex0x(salt),
        "records": [record.as_json() for record in records],
    }
    return canonical_json(body)


def unpack(plaintext: bytes) -> tuple[str, bytes, tuple[Record, ...]]:
    """Return (owner, salt, records); raises ``Corrupted`` contents_mismatch for bytes that ``pack`` cannot give."""
    try:
        body = json.loads(plaintext)
        owner, salt = body["owner"], from_hex(body["salt"])
        records = tuple(Record.from_json(item) for item in body["records"])
        if pack(owner, salt, records) == plaintext and len(salt) == 32:
            return owner, salt, records
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidInput):
        pass  # one answer for every way of not being canonical
    raise Corrupted("contents_mismatch", "The opened bytes are not the canonical form of a contribution.")


def open_contribution(
    manifest: Manifest, ciphertext: bytes, sealed_key: bytes, keeper: KeyReleaser, *, domain: Domain
) -> OpenedContribution:
    """Open what ``manifest`` names and hold it against the signed content root; the keeper decides if it may be opened.

    Raises ``NotAuthorised`` contents_mismatch if owner, count or any commitment differs, ``Corrupted``
    contents_mismatch or ciphertext_unreadable, and what the keeper raises.
    """
    contribution = manifest.contribution
    contribution_id = digest(domain, contribution)
    object_key = keeper.release(sealed_key, contribution_id=contribution_id, purpose=EVALUATE)
    owner, salt, records = unpack(open_sealed(ciphertext, [identity_from_text(object_key)]))
    same = owner == contribution.owner and len(records) == contribution.count
    if not same or content_root(domain, owner, salt, records) != contribution.content_root:
        raise NotAuthorised(
            "contents_mismatch",
            f"The sealed records of {contribution.owner} do not recompute to the content root that was signed.",
            hint="Ask the owner to prepare the contribution again.",
        )
    return OpenedContribution(contribution_id, owner, salt, records)
