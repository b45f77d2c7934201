"""Hashes, canonical JSON, Merkle trees and EIP-712 against the vectors of their own projects."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import ZERO_HASH, keccak
from rodagila.core.merkle import MerkleTree, ordered_root, verify

HASHES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


def test_keccak_is_ethereums_and_not_sha3() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def test_canonical_json_equals_the_published_outputs(shared_data: Path) -> None:
    with tarfile.open(shared_data / "vectors/jcs/jcs_testdata.tar.gz") as archive:
        names = [name for name in archive.getnames() if "/input/" in name]
        assert len(names) >= 5
        for name in names:
            given_bytes = archive.extractfile(name)
            wanted = archive.extractfile(name.replace("/input/", "/output/"))
            assert given_bytes is not None
            assert wanted is not None
            assert canonical_json(json.loads(given_bytes.read())) == wanted.read().rstrip(b"\n")


def test_a_value_without_canonical_form_is_refused_in_one_sentence() -> None:
    with pytest.raises(InvalidInput) as error:
        canonical_json({"big": 2**60})
    assert error.value.code == "canonical_unsupported"


def test_trees_equal_openzeppelins_dump_node_by_node(shared_data: Path) -> None:
    dump = json.loads((shared_data / "vectors/oz_merkle/standard-v1.sorted.1_0_6.json").read_text())
    tree = MerkleTree.of(dump["leafEncoding"], [row["value"] for row in dump["values"]])
    assert ["0x" + node.hex() for node in tree.nodes] == dump["tree"]
    assert list(tree.places) == [row["treeIndex"] for row in dump["values"]]


@given(HASHES, st.data())
def test_every_leaf_is_proven_and_no_other_is(leaves: list[bytes], data: st.DataObject) -> None:
    tree = MerkleTree.of_leaves(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    assert verify(tree.root, leaves[index], tree.proof(index))
    stranger = keccak(leaves[index] + b"x")
    assert not verify(tree.root, stranger, tree.proof(index))


@given(HASHES)
def test_the_order_of_an_ordered_root_matters(hashes: list[bytes]) -> None:
    if hashes != hashes[::-1]:
        assert ordered_root(hashes) != ordered_root(hashes[::-1])


def test_the_empty_tree_has_the_zero_root() -> None:
    assert MerkleTree.of_leaves([]).root == ZERO_HASH


def test_typed_data_digests_equal_the_published_ones(shared_data: Path) -> None:
    cases = json.loads(gzip.decompress((shared_data / "vectors/ethers/typed-data.json.gz").read_bytes()))
    checked = 0
    for case in cases[:200]:
        types = {name: fields for name, fields in case["types"].items() if name != "EIP712Domain"}
        try:
            signable = encode_typed_data(case["domain"], types, case["data"])
        except (ValueError, TypeError):
            continue  # the library refuses some exotic but valid values; what it encodes must be right
        checked += 1
        found = keccak(b"\x19" + signable.version + signable.header + signable.body)
        assert "0x" + found.hex() == case["digest"], case["name"]
    assert checked > 100
