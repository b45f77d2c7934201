"""Trees of a turn: cumulative payouts, slashes, cumulative tokens, as OpenZeppelin's StandardMerkleTree (MECHANISM 6).

    payout leaf   chain id, Rewards, turn, account, cumulative
    slash leaf    chain id, Bonds, turn, contribution id, owner, slash: one for every bonded contribution of the turn,
                  slash 0 included, so that each bond can be settled
    token leaf    chain id, the DAO's token, turn, account, cumulative

A leaf names the chain, the contract that pays it and the turn, so a proof is good in one place only. ``dump`` holds
what suffices to rebuild every proof.

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

PAYOUT_TYPES = TOKEN_TYPES = ["uint256", "address", "uint64", "address", "uint256"]
SLASH_TYPES = ["uint256", "address", "uint64", "bytes32", "address", "uint256"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a tree is good: the chain and the contract that its leaves name."""

    chain_id: int
    contract: str


@dataclass(frozen=True, slots=True)
class TurnTree:
    """A tree over rows that end with an amount; the first cell is the key: an account (text) or a contribution id."""

    site: Site
    turn: int
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    tree: MerkleTree

    @property
    def root(self) -> bytes:
        """The 32-byte root, zero where there are no rows."""
        return self.tree.root

    def amount_of(self, key: str | bytes) -> int:
        """Return the amount in the leaf of ``key``; raises ``NotFound``."""
        amount: int = self.rows[self._index(key)][-1]
        return amount

    def proof_of(self, key: str | bytes) -> list[bytes]:
        """Return the proof of the leaf of ``key``; raises ``NotFound``."""
        return self.tree.proof(self._index(key))

    def leaf_of(self, key: str | bytes) -> bytes:
        """Return the leaf hash of ``key``; raises ``NotFound``."""
        return self.tree.leaves[self._index(key)]

    def dump(self) -> dict[str, Any]:
        """Return the JSON object that suffices to rebuild every proof, in the shape of OpenZeppelin's tree files."""
        values = [
            {"value": [_text(cell) for cell in self._cells(row)], "treeIndex": self.tree.places[index]}
            for index, row in enumerate(self.rows)
        ]
        return {
            "format": "standard-v1",
            "leafEncoding": list(self.types),
            "tree": [hex0x(node) for node in self.tree.nodes],
            "values": values,
        }

    def _cells(self, row: tuple[Any, ...]) -> list[Any]:
        return [self.site.chain_id, self.site.contract, self.turn, *row]

    def _index(self, key: str | bytes) -> int:
        for index, row in enumerate(self.rows):
            if row[0] == key:
                return index
        raise NotFound("account_unknown", f"{_text(key)} has no leaf in the tree of turn {self.turn}.")


def _text(cell: Any) -> str:
    return hex0x(cell) if isinstance(cell, bytes) else str(cell)


def payout_tree(site: Site, turn: int, cumulative: Mapping[str, int]) -> TurnTree:
    """Return the tree of cumulative payouts, accounts in ascending order; accounts with 0 have no leaf."""
    return _tree(site, turn, PAYOUT_TYPES, _positive(cumulative))


def token_tree(site: Site, turn: int, cumulative: Mapping[str, int]) -> TurnTree:
    """Return the tree of cumulative tokens, in the same order."""
    return _tree(site, turn, TOKEN_TYPES, _positive(cumulative))


def slash_tree(site: Site, turn: int, slash_of: Mapping[bytes, int], owner_of: Mapping[bytes, str]) -> TurnTree:
    """Return the tree of slashes over every bonded contribution of the turn, in the order given."""
    return _tree(site, turn, SLASH_TYPES, tuple((key, owner_of[key], slash) for key, slash in slash_of.items()))


def _positive(cumulative: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((account, amount) for account, amount in cumulative.items() if amount > 0))


def _tree(site: Site, turn: int, types: list[str], rows: tuple[tuple[Any, ...], ...]) -> TurnTree:
    cells = [[site.chain_id, site.contract, turn, *row] for row in rows]
    return TurnTree(site, turn, tuple(types), rows, MerkleTree.of(types, cells))
