"""Trees of a turn: cumulative payouts and slashes as OpenZeppelin's StandardMerkleTree (MECHANISM 6).

Payout leaf: (chain id, rewards contract, turn, account, cumulative). Slash leaf: (chain id, rewards contract, turn,
contribution id, slash), one for every bonded contribution of the turn, slash 0 included, so that each bond can be
settled. The leaf names chain, contract and turn, so a proof is good in one place only. ``dump`` holds what suffices to
rebuild every proof.

>>> site = Site(1, "0x" + "11" * 20)
>>> payout_tree(site, 1, {"0x" + "22" * 20: 5}).proof_of("0x" + "22" * 20)
[]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rodagila.core.errors import NotFound
from rodagila.core.hashing import hex0x
from rodagila.core.merkle import MerkleTree

PAYOUT_TYPES = ["uint256", "address", "uint64", "address", "uint256"]
SLASH_TYPES = ["uint256", "address", "uint64", "bytes32", "uint256"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a tree is good: the chain and the rewards contract."""

    chain_id: int
    rewards: str


@dataclass(frozen=True, slots=True)
class TurnTree:
    """A tree over (key, amount) rows: the key is an account (text) or a contribution id (bytes)."""

    site: Site
    turn: int
    types: tuple[str, ...]
    rows: tuple[tuple[str | bytes, int], ...]
    tree: MerkleTree

    @property
    def root(self) -> bytes:
        """The 32-byte root, zero where there are no rows."""
        return self.tree.root

    def amount_of(self, key: str | bytes) -> int:
        """Return the amount in the leaf of ``key``; raises ``NotFound``."""
        return self.rows[self._index(key)][1]

    def proof_of(self, key: str | bytes) -> list[bytes]:
        """Return the proof of the leaf of ``key``; raises ``NotFound``."""
        return self.tree.proof(self._index(key))

    def leaf_of(self, key: str | bytes) -> bytes:
        """Return the leaf hash of ``key``; raises ``NotFound``."""
        return self.tree.leaves[self._index(key)]

    def dump(self) -> dict[str, Any]:
        """Return the JSON object that suffices to rebuild every proof, in the shape of OpenZeppelin's tree files."""
        values = [
            {"value": [str(cell) for cell in self._cells(key, amount)], "treeIndex": self.tree.places[index]}
            for index, (key, amount) in enumerate(self.rows)
        ]
        return {
            "format": "standard-v1",
            "leafEncoding": list(self.types),
            "tree": [hex0x(node) for node in self.tree.nodes],
            "values": values,
        }

    def _cells(self, key: str | bytes, amount: int) -> list[Any]:
        name = hex0x(key) if isinstance(key, bytes) else key
        return [self.site.chain_id, self.site.rewards, self.turn, name, amount]

    def _index(self, key: str | bytes) -> int:
        for index, (name, _) in enumerate(self.rows):
            if name == key:
                return index
        shown = hex0x(key) if isinstance(key, bytes) else key
        raise NotFound("account_unknown", f"{shown} has no leaf in the tree of turn {self.turn}.")


def payout_tree(site: Site, turn: int, cumulative: Mapping[str, int]) -> TurnTree:
    """Return the tree of cumulative payouts, accounts in ascending order; accounts with 0 have no leaf."""
    rows = sorted((account, amount) for account, amount in cumulative.items() if amount > 0)
    return _tree(site, turn, PAYOUT_TYPES, tuple(rows))


def slash_tree(site: Site, turn: int, slash_of: Mapping[bytes, int]) -> TurnTree:
    """Return the tree of slashes over every bonded contribution of the turn, in the order given."""
    return _tree(site, turn, SLASH_TYPES, tuple(slash_of.items()))


def _tree(site: Site, turn: int, types: list[str], rows: tuple[tuple[str | bytes, int], ...]) -> TurnTree:
    cells = [[site.chain_id, site.rewards, turn, key, amount] for key, amount in rows]
    return TurnTree(site, turn, tuple(types), rows, MerkleTree.of(types, cells))
