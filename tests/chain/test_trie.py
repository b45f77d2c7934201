"""The persistent trie against EELS's own root function."""

from __future__ import annotations

from ethereum.forks.prague.trie import Trie, root
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rodagila.chain.trie import EMPTY_ROOT, HexTrie, keccak256

# Few distinct bytes and short keys make splits and merges frequent; their lengths differ so that keys end in branches.
KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=4).map(bytes)
VALUES = st.binary(min_size=1, max_size=40)


def reference(pairs: dict[bytes, bytes]) -> bytes:
    return bytes(root(Trie(secured=False, default=None, _data=dict(pairs))))


@given(st.dictionaries(KEYS, VALUES, max_size=40))
def test_building_at_once_gives_the_reference_root(pairs: dict[bytes, bytes]) -> None:
    assert HexTrie.build(pairs.items()).root() == reference(pairs)


@given(st.dictionaries(st.binary(max_size=6).map(keccak256), VALUES, max_size=60), st.data())
def test_hashed_keys_set_and_deleted_in_any_order_give_the_reference_root(
    pairs: dict[bytes, bytes], data: st.DataObject
) -> None:
    trie = HexTrie()
    for key in data.draw(st.permutations(sorted(pairs))):
        trie = trie.set(key, pairs[key])
    assert trie.root() == reference(pairs)
    gone = data.draw(st.lists(st.sampled_from(sorted(pairs)), unique=True)) if pairs else []
    for key in gone:
        trie = trie.delete(key)
    assert trie.root() == reference({key: value for key, value in pairs.items() if key not in gone})


def test_the_empty_trie_has_the_known_root() -> None:
    assert HexTrie().root() == EMPTY_ROOT == reference({})


def test_deleting_a_missing_key_returns_the_same_trie() -> None:
    trie = HexTrie().set(b"\x01\x02", b"a").set(b"\x01\x03", b"b")
    assert trie.delete(b"\x01") is trie
    assert trie.delete(b"\x01\x04") is trie
    assert HexTrie().delete(b"x").root() == EMPTY_ROOT


def test_a_thousand_hashed_keys_agree_with_the_reference() -> None:
    pairs = {keccak256(n.to_bytes(4, "big")): n.to_bytes(4, "big") * (1 + n % 20) for n in range(1000)}
    trie = HexTrie()
    for key, value in pairs.items():
        trie = trie.set(key, value)
    assert trie.root() == HexTrie.build(pairs.items()).root() == reference(pairs)


class TrieBesideItsModel(RuleBasedStateMachine):
    """Sets, deletes and returns to earlier versions, compared with a dict and EELS after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.trie, self.model = HexTrie(), dict[bytes, bytes]()
        self.kept: list[tuple[HexTrie, dict[bytes, bytes]]] = []

    @rule(key=KEYS, value=VALUES)
    def set(self, key: bytes, value: bytes) -> None:
        self.trie, self.model = self.trie.set(key, value), {**self.model, key: value}

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.trie, self.model = self.trie.delete(key), {k: v for k, v in self.model.items() if k != key}

    @rule()
    def keep(self) -> None:
        self.kept.append((self.trie, self.model))

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def return_to(self, data: st.DataObject) -> None:
        self.trie, self.model = data.draw(st.sampled_from(self.kept))

    @invariant()
    def root_is_the_reference_root(self) -> None:
        assert self.trie.root() == reference(self.model)


TestTrieBesideItsModel = TrieBesideItsModel.TestCase
TestTrieBesideItsModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
