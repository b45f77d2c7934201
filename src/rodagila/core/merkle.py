"""Merkle trees as OpenZeppelin's ``StandardMerkleTree``: double-hashed ABI leaves, sorted, sorted pairs.

A leaf is ``keccak(keccak(abi.encode(values)))``; the tree is a complete binary tree in an array whose last
``n`` places hold the leaf hashes in descending order (so that ascending order reads from the end); a parent is the
hash of its two children in ascending order. ``MerkleProof.verify`` of OpenZeppelin accepts the proofs.
Source: github.com/OpenZeppelin/merkle-tree, vectors in the tests.

>>> tree = MerkleTree.of(["uint256"], [[1], [2], [3]])
>>> verify(tree.root, tree.leaves[0], tree.proof(0))
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rodagila.core.hashing import ZERO_HASH, keccak, keccak_abi


def standard_leaf(types: list[str], values: list[Any]) -> bytes:
    """Return the double hash of the ABI encoding of ``values``."""
    return keccak(keccak_abi(types, values))


def hash_pair(left: bytes, right: bytes) -> bytes:
    """Return the commutative hash of two nodes."""
    return keccak(left + right if left < right else right + left)


@dataclass(frozen=True, slots=True)
class MerkleTree:
    """A tree over ``leaves`` (32-byte hashes in the caller's order); the empty tree's root is 32 zero bytes."""

    leaves: tuple[bytes, ...]
    nodes: tuple[bytes, ...]
    places: tuple[int, ...]

    @classmethod
    def of(cls, types: list[str], rows: Sequence[Sequence[Any]]) -> MerkleTree:
        """Build the tree of ``rows``, each ABI-encoded with ``types``."""
        return cls.of_leaves([standard_leaf(types, list(row)) for row in rows])

    @classmethod
    def of_leaves(cls, leaves: Sequence[bytes]) -> MerkleTree:
        """Build the tree of ready leaf hashes."""
        count = len(leaves)
        if count == 0:
            return cls((), (ZERO_HASH,), ())
        nodes = [b""] * (2 * count - 1)
        places = [0] * count
        for rank, index in enumerate(sorted(range(count), key=lambda i: leaves[i])):
            places[index] = len(nodes) - 1 - rank
            nodes[places[index]] = leaves[index]
        for place in range(count - 2, -1, -1):
            nodes[place] = hash_pair(nodes[2 * place + 1], nodes[2 * place + 2])
        return cls(tuple(leaves), tuple(nodes), tuple(places))

    @property
    def root(self) -> bytes:
        """The 32-byte root."""
        return self.nodes[0]

    def proof(self, index: int) -> list[bytes]:
        """Return the sibling hashes from leaf ``index`` up to the root."""
        place, path = self.places[index], []
        while place > 0:
            path.append(self.nodes[place + 1 if place % 2 else place - 1])
            place = (place - 1) // 2
        return path


def verify(root: bytes, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether ``proof`` leads from ``leaf`` to ``root``."""
    for sibling in proof:
        leaf = hash_pair(leaf, sibling)
    return leaf == root


def ordered_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over ``(index, hash)`` leaves: it commits to the order as well as to the members."""
    return MerkleTree.of(["uint256", "bytes32"], list(enumerate(hashes))).root
