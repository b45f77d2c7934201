"""Roots of a turn: what the DAO commits to on the ledger before and after the data arrive (MECHANISM 1 and 6).

``examples_root`` commits to int8 vectors, their targets and their order; it serves accepted records, reference, queries
and gate set. ``turn_commitment`` is what a turn is opened with; its ``reveal`` is the 32-byte salt, published with the
turn's record, without which a hash over few choices could be searched.

>>> contributions_root([]) == ZERO_HASH
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rodagila.core.hashing import ZERO_HASH, keccak, keccak_abi
from rodagila.core.merkle import MerkleTree, ordered_root
from rodagila.core.vectors import Int8Array

__all__ = ["ZERO_HASH", "Fee", "contributions_root", "examples_root", "turn_commitment", "usage_root"]
USAGE_TYPES = ["address", "uint64", "uint256"]


@dataclass(frozen=True, slots=True)
class Fee:
    """What one account paid in a turn: settled calls and their sum in atomic units."""

    account: str
    calls: int
    amount: int


def examples_root(vectors: Int8Array, targets: Sequence[str]) -> bytes:
    """Return the root over ``(index, keccak(abi.encode(keccak(row), target)))`` of int8 rows (n, d) and n targets."""
    rows = np.ascontiguousarray(vectors)
    return ordered_root(
        [
            keccak_abi(["bytes32", "string"], [keccak(row.tobytes()), target])
            for row, target in zip(rows, targets, strict=True)
        ]
    )


def contributions_root(ids: Sequence[bytes]) -> bytes:
    """Return the root over contribution ids in commit order; also a registered batch's root over its own ids."""
    return ordered_root(list(ids))


def usage_root(fees: Sequence[Fee]) -> bytes:
    """Return the root over ``(account, calls, amount)`` leaves, accounts in ascending order."""
    rows = sorted((fee.account, fee.calls, fee.amount) for fee in fees)
    return MerkleTree.of(USAGE_TYPES, rows).root


def turn_commitment(queries: bytes, gate: bytes, reference: bytes, embedder: bytes, *, seed: int, salt: bytes) -> bytes:
    """Return what a turn is opened with: the three roots, the embedder's hash, the seed (uint256) and a secret salt."""
    types = ["bytes32", "bytes32", "bytes32", "bytes32", "uint256", "bytes32"]
    return keccak_abi(types, [queries, gate, reference, embedder, seed, salt])
