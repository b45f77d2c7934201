"""A persistent hexary Merkle-Patricia trie with cached node hashes.

Definition: Ethereum yellow paper, appendix D; the reference that tests compare with is EELS's
``ethereum.forks.prague.trie.root``. Nodes never change: ``set`` and ``delete`` return a new trie that shares every
untouched node, so an old root stays valid and a block that touches k of n keys hashes about k * log16(n) nodes.

>>> trie = HexTrie().set(b"dog", b"puppy").set(b"cat", b"kitten")
>>> trie.delete(b"cat").root() == HexTrie().set(b"dog", b"puppy").root()
True
"""

from __future__ import annotations

from collections.abc import Iterable

from Crypto.Hash import keccak

EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")

_TO_NIBBLES = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))
_TO_DIGITS = bytes.maketrans(bytes(range(16)), b"0123456789abcdef")
_NO_CHILDREN: tuple[Node | None, ...] = (None,) * 16


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 of ``data``."""
    return keccak.new(digest_bits=256, data=data).digest()


class Leaf:
    """The end of a key and its value."""

    __slots__ = ("path", "ref", "value")

    def __init__(self, path: bytes, value: bytes) -> None:
        self.path, self.value = path, value
        self.ref: bytes | None = None


class Extension:
    """Nibbles that all keys below share."""

    __slots__ = ("child", "path", "ref")

    def __init__(self, path: bytes, child: Branch) -> None:
        self.path, self.child = path, child
        self.ref: bytes | None = None


class Branch:
    """One child per next nibble and the value of the key that ends here, empty if none."""

    __slots__ = ("children", "ref", "value")

    def __init__(self, children: tuple[Node | None, ...], value: bytes) -> None:
        self.children, self.value = children, value
        self.ref: bytes | None = None


Node = Leaf | Extension | Branch


class HexTrie:
    """An immutable map from bytes to non-empty bytes that knows its Merkle root."""

    __slots__ = ("node",)

    def __init__(self, node: Node | None = None) -> None:
        self.node = node

    @classmethod
    def build(cls, pairs: Iterable[tuple[bytes, bytes]]) -> HexTrie:
        """Return the trie of many distinct keys at once; each node is made only once."""
        ordered = sorted((_nibbles(key), value) for key, value in pairs)
        return cls(_built(ordered, 0, len(ordered), 0))

    def set(self, key: bytes, value: bytes) -> HexTrie:
        """Return a trie in which ``key`` maps to ``value`` (which must not be empty)."""
        return HexTrie(_inserted(self.node, _nibbles(key), value))

    def delete(self, key: bytes) -> HexTrie:
        """Return a trie without ``key``."""
        node = _deleted(self.node, _nibbles(key))
        return self if node is self.node else HexTrie(node)

    def proof(self, key: bytes) -> list[bytes]:
        """Return the encoded nodes from the root towards ``key``, which show its value or that it has none."""
        nodes, node, path = list[bytes](), self.node, _nibbles(key)
        while node is not None:
            encoded = _encoded(node)
            if not nodes or len(encoded) >= 32:  # a shorter one is within its parent
                nodes.append(encoded)
            node, path = _below(node, path)
        return nodes

    def root(self) -> bytes:
        """Return the 32-byte Merkle root."""
        if self.node is None:
            return EMPTY_ROOT
        ref = _reference(self.node)
        # A root node shorter than 32 bytes is hashed all the same.
        return ref[1:] if len(ref) == 33 else keccak256(ref)


def _below(node: Node, path: bytes) -> tuple[Node | None, bytes]:
    """Return the next node on the way along ``path`` and the rest of it."""
    if isinstance(node, Branch):
        return (node.children[path[0]], path[1:]) if path else (None, path)
    if isinstance(node, Extension) and path.startswith(node.path):
        return node.child, path[len(node.path) :]
    return None, path


def _nibbles(key: bytes) -> bytes:
    return key.hex().encode().translate(_TO_NIBBLES)


def _shared(a: bytes, b: bytes) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


def _inserted(node: Node | None, path: bytes, value: bytes) -> Node:
    if node is None:
        return Leaf(path, value)
    if isinstance(node, Branch):
        if not path:
            return Branch(node.children, value)
        return _with_child(node, path[0], _inserted(node.children[path[0]], path[1:], value))
    common = _shared(node.path, path)
    if isinstance(node, Leaf):
        if common == len(path) == len(node.path):
            return Leaf(path, value)
        fork = _inserted(Branch(_NO_CHILDREN, b""), node.path[common:], node.value)
    else:
        if common == len(node.path):
            return _prefixed(node.path, _inserted(node.child, path[common:], value))
        fork = _with_child(Branch(_NO_CHILDREN, b""), node.path[common], _prefixed(node.path[common + 1 :], node.child))
    return _prefixed(path[:common], _inserted(fork, path[common:], value))


def _deleted(node: Node | None, path: bytes) -> Node | None:
    if node is None:
        return None
    if isinstance(node, Leaf):
        return None if node.path == path else node
    if isinstance(node, Extension):
        child = _deleted(node.child, path[len(node.path) :]) if path.startswith(node.path) else node.child
        return node if child is node.child else child and _prefixed(node.path, child)
    if not path:
        return _shrunk(Branch(node.children, b"")) if node.value else node
    below = _deleted(node.children[path[0]], path[1:])
    return node if below is node.children[path[0]] else _shrunk(_with_child(node, path[0], below))


def _with_child(branch: Branch, nibble: int, child: Node | None) -> Branch:
    children = branch.children
    return Branch((*children[:nibble], child, *children[nibble + 1 :]), branch.value)


def _prefixed(path: bytes, node: Node) -> Node:
    """Return ``node`` as it looks from ``path`` above it."""
    if not path:
        return node
    if isinstance(node, Leaf):
        return Leaf(path + node.path, node.value)
    if isinstance(node, Extension):
        return Extension(path + node.path, node.child)
    return Extension(path, node)


def _shrunk(branch: Branch) -> Node | None:
    """Return the canonical node for a branch that may have lost all but one of its entries."""
    live = [(nibble, child) for nibble, child in enumerate(branch.children) if child is not None]
    if branch.value:
        return branch if live else Leaf(b"", branch.value)
    if len(live) > 1:
        return branch
    return _prefixed(bytes([live[0][0]]), live[0][1]) if live else None


def _built(pairs: list[tuple[bytes, bytes]], start: int, end: int, depth: int) -> Node | None:
    """Build the node for ``pairs[start:end]``, sorted and equal in their first ``depth`` nibbles."""
    if start == end:
        return None
    first, value = pairs[start]
    if end - start == 1:
        return Leaf(first[depth:], value)
    # Sorted: what the first and the last key share, all share.
    common = depth + _shared(first[depth:], pairs[end - 1][0][depth:])
    if common > depth:
        child = _built(pairs, start, end, common)
        assert child is not None
        return _prefixed(first[depth:common], child)
    own = value if len(first) == depth else b""
    children: list[Node | None] = [None] * 16
    at = start + 1 if own else start
    while at < end:
        nibble, begin = pairs[at][0][depth], at
        while at < end and pairs[at][0][depth] == nibble:
            at += 1
        children[nibble] = _built(pairs, begin, at, depth + 1)
    return Branch(tuple(children), own)


def _reference(node: Node) -> bytes:
    """Return the node as its parent holds it: its RLP if under 32 bytes, else the RLP of its hash."""
    if node.ref is None:
        encoded = _encoded(node)
        node.ref = encoded if len(encoded) < 32 else b"\xa0" + keccak256(encoded)
    return node.ref


def _encoded(node: Node) -> bytes:
    if isinstance(node, Leaf):
        return rlp_list(rlp_string(_compact(node.path, 2)) + rlp_string(node.value))
    if isinstance(node, Extension):
        return rlp_list(rlp_string(_compact(node.path, 0)) + _reference(node.child))
    parts = [b"\x80" if child is None else _reference(child) for child in node.children]
    return rlp_list(b"".join(parts) + rlp_string(node.value))


def _compact(path: bytes, flag: int) -> bytes:
    """Return the hex-prefix encoding; ``flag`` is 2 for a leaf, 0 for an extension."""
    head = bytes([flag + 1]) if len(path) % 2 else bytes([flag, 0])
    return bytes.fromhex((head + path).translate(_TO_DIGITS).decode())


def rlp_string(data: bytes) -> bytes:
    """Return the RLP of bytes."""
    if len(data) == 1 and data[0] < 0x80:
        return data
    return _rlp_head(0x80, len(data)) + data


def rlp_number(value: int) -> bytes:
    """Return the RLP of an unsigned number: its bytes without leading zeros."""
    return rlp_string(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rlp_list(payload: bytes) -> bytes:
    """Return the RLP of a list of what is encoded already."""
    return _rlp_head(0xC0, len(payload)) + payload


def _rlp_head(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(size)]) + size
