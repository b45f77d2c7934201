"""Records: the smallest datum, its canonical form, hash and owner-salted commitment (MECHANISM 1, step 1).

A record has a text and, for supervised tasks, a label (a class) or an answer (what the text answers or names).
Queries of the scoring and gate sets have the same shape.

>>> Record("how do I reset my card", label="card_reset").as_json()
{'text': 'how do I reset my card', 'label': 'card_reset'}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rodagila.core.canonical import canonical_json
from rodagila.core.hashing import keccak, keccak_abi


@dataclass(frozen=True, slots=True)
class Record:
    """One text with an optional label or answer; empty means absent."""

    text: str
    label: str = ""
    answer: str = ""

    @property
    def target(self) -> str:
        """What a query must agree with for the record to help it: the label if there is one, else the answer."""
        return self.label or self.answer

    def as_json(self) -> dict[str, str]:
        """Return the JSON object without absent fields."""
        body = {"text": self.text}
        if self.label:
            body["label"] = self.label
        if self.answer:
            body["answer"] = self.answer
        return body

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Record:
        """Return the record of a JSON object that ``as_json`` made."""
        return cls(str(body["text"]), str(body.get("label", "")), str(body.get("answer", "")))


def record_hash(record: Record) -> bytes:
    """Return Keccak-256 of the record's canonical JSON."""
    return keccak(canonical_json(record.as_json()))


def record_salt(contribution_salt: bytes, index: int) -> bytes:
    """Return the 32-byte salt of record ``index``, derived from the contribution's secret salt."""
    return keccak_abi(["bytes32", "uint256"], [contribution_salt, index])


def record_commitment(chain_id: int, registry: str, owner: str, salt: bytes, hash_of_record: bytes) -> bytes:
    """Return ``keccak(abi.encode(chainId, registry, owner, salt, recordHash))``.

    The owner is in the preimage, so that a commitment cannot be lifted by another account.
    """
    return keccak_abi(
        ["uint256", "address", "address", "bytes32", "bytes32"], [chain_id, registry, owner, salt, hash_of_record]
    )
