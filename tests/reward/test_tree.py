"""Payout and slash trees: leaves as the contract hashes them, proofs, and the dump that rebuilds them."""

from __future__ import annotations

import pytest
from eth_abi import encode
from turns import REWARDS, account

from rodagila.core.errors import NotFound
from rodagila.core.hashing import from_hex, keccak
from rodagila.core.merkle import MerkleTree, verify
from rodagila.reward.tree import PAYOUT_TYPES, SLASH_TYPES, Site, payout_tree, slash_tree, token_tree

SITE = Site(31_337, REWARDS)
CUMULATIVE = {account(f"owner {i}"): i * 1_000 for i in range(7)}


def test_every_paid_account_has_a_proof_and_nobody_else() -> None:
    tree = payout_tree(SITE, 4, CUMULATIVE)
    for name, amount in CUMULATIVE.items():
        if amount:
            leaf = keccak(keccak(encode(PAYOUT_TYPES, [31_337, REWARDS, 4, name, amount])))
            assert verify(tree.root, leaf, tree.proof_of(name))
            other = keccak(keccak(encode(PAYOUT_TYPES, [31_337, REWARDS, 4, name, amount + 1])))
            assert not verify(tree.root, other, tree.proof_of(name))
    with pytest.raises(NotFound):
        tree.proof_of(account("owner 0"))


def test_a_slash_of_zero_has_a_leaf_so_that_its_bond_can_be_settled() -> None:
    ids = [keccak(bytes([i])) for i in range(3)]
    owner = account("owner 1")
    tree = slash_tree(SITE, 4, dict(zip(ids, (0, 5, 0), strict=True)), dict.fromkeys(ids, owner))
    leaf = keccak(keccak(encode(SLASH_TYPES, [31_337, REWARDS, 4, ids[0], owner, 0])))
    assert tree.leaf_of(ids[0]) == leaf and verify(tree.root, leaf, tree.proof_of(ids[0]))


def test_a_root_is_good_for_one_chain_contract_and_turn() -> None:
    roots = {
        payout_tree(SITE, 4, CUMULATIVE).root,
        payout_tree(SITE, 5, CUMULATIVE).root,
        payout_tree(Site(1, REWARDS), 4, CUMULATIVE).root,
        payout_tree(Site(31_337, account("other")), 4, CUMULATIVE).root,
        token_tree(Site(31_337, account("token")), 4, CUMULATIVE).root,
    }
    assert len(roots) == 5


def test_the_dump_rebuilds_every_proof() -> None:
    tree = payout_tree(SITE, 4, CUMULATIVE)
    body = tree.dump()
    rows = [
        [int(chain), rewards, int(turn), name, int(amount)]
        for chain, rewards, turn, name, amount in (item["value"] for item in body["values"])
    ]
    again = MerkleTree.of(body["leafEncoding"], rows)
    assert again.root == tree.root == from_hex(body["tree"][0])
    assert [again.proof(i) for i in range(len(rows))] == [tree.proof_of(row[3]) for row in rows]
    assert [item["treeIndex"] for item in body["values"]] == list(again.places)
