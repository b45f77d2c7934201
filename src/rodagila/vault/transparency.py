"""A transparency log: entries are only ever added, and anyone can check that of what the log says.

The log is a Merkle tree of SHA-256, a leaf hashed after a byte 0 and a node after a byte 1 (RFC 6962, section 2.1); its
head is a signed note of origin, size and root (c2sp.org/tlog-checkpoint). An inclusion proof shows that an entry is in
it, a consistency proof that a later head continues an earlier one.

Entries, tree nodes and the signed head are written in one transaction of SQLite, on the disk before ``append`` returns.
So a process that is killed loses nothing that it acknowledged, and no head is ever seen of a tree that is not kept: a
second root of one size is never signed. A file put back from an old copy would continue differently; who compares heads
notices that, which is what heads are for.

>>> root_of([b""]).hex()[:8]
'6e340b9c'
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised, NotFound
from rodagila.vault.notes import NoteKey, open_note

MAX_ENTRY = 65_536
EMPTY_ROOT = hashlib.sha256(b"").digest()
_SCHEMA = """
CREATE TABLE IF NOT EXISTS log_entry (place INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS log_node (level INTEGER, place INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, place))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log_head
  (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, note TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Head:
    """What a checkpoint says: whose log, how many entries, and the root over them."""

    origin: str
    size: int
    root: bytes

    def as_text(self) -> str:
        """Return the three lines of the checkpoint."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def open_head(note: str, verifier: str) -> Head:
    """Return the head of a checkpoint that ``verifier`` signed; raises note_invalid."""
    lines = open_note(note, verifier).split("\n")
    try:
        head = Head(lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True))
        if lines[1] == str(head.size) and head.size >= 0 and len(head.root) == 32 and lines[0]:
            return head
    except (ValueError, IndexError):
        pass
    raise InvalidInput("note_invalid", "The note is signed and is not a checkpoint.", hint="Ask for the log's head.")


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node with these children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(entries: Sequence[bytes]) -> bytes:
    """Return the root over ``entries``, by the definition; for tests and small lists."""
    if not entries:
        return EMPTY_ROOT
    if len(entries) == 1:
        return leaf_hash(entries[0])
    left = _left(len(entries))
    return node_hash(root_of(entries[:left]), root_of(entries[left:]))


def require_inclusion(entry: bytes, place: int, head: Head, proof: Sequence[bytes]) -> None:
    """Raise ``NotAuthorised`` log_mismatch unless ``proof`` shows ``entry`` at ``place`` (RFC 9162, 2.1.3.2)."""
    root, size = leaf_hash(entry), head.size
    if 0 <= place < size:
        index, last = place, size - 1
        for sibling in proof:
            if last == 0:
                break
            if index % 2 or index == last:
                root = node_hash(sibling, root)
                while index % 2 == 0 and index:
                    index, last = index >> 1, last >> 1
            else:
                root = node_hash(root, sibling)
            index, last = index >> 1, last >> 1
        else:
            if last == 0 and root == head.root:
                return
    raise _mismatch(f"The proof does not show that the entry is number {place} of {size}.")


def require_consistency(old: Head, new: Head, proof: Sequence[bytes]) -> None:
    """Raise ``NotAuthorised`` log_mismatch unless ``new`` continues ``old`` (RFC 9162, section 2.1.4.2)."""
    if old.origin == new.origin and _consistent(old, new, list(proof)):
        return
    raise _mismatch(f"The head of {new.size} entries does not continue that of {old.size}.")


def _consistent(old: Head, new: Head, proof: list[bytes]) -> bool:
    if old.size in (0, new.size):
        return not proof and old.root == (new.root if old.size else EMPTY_ROOT)
    if old.size > new.size or not proof:
        return False
    if old.size & (old.size - 1) == 0:
        proof.insert(0, old.root)
    index, last = old.size - 1, new.size - 1
    while index % 2:
        index, last = index >> 1, last >> 1
    first = second = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            return False
        if index % 2 or index == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while index % 2 == 0 and index:
                index, last = index >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and (first, second) == (old.root, new.root)


class TransparencyLog:
    """The log in one SQLite file; other tables of the same file are written in the same transactions."""

    def __init__(self, path: Path, key: NoteKey, schema: str = "") -> None:
        """Open or make the log; raises ``Corrupted`` log_corrupted if its head is not that of its entries."""
        self._key = key
        self._lock = threading.RLock()
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            self._file.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;")
            self._file.executescript(_SCHEMA + schema)
            self._require_whole()
        except sqlite3.DatabaseError as error:
            self._file.close()
            raise _corrupted(str(error)) from None
        except BaseException:
            self._file.close()
            raise

    @property
    def verifier(self) -> str:
        """The key that checkpoints are checked with."""
        return self._key.verifier

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write entries and rows together: all of them are on the disk when the block has ended, or none ever are."""
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield self._file
                self._file.execute("COMMIT")
            except BaseException:
                self._file.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read rows of the file."""
        with self._lock:
            yield self._file

    def append(self, entries: Sequence[bytes]) -> list[int]:
        """Add entries and return their places; on the disk when this returns, or when the transaction around it ends.

        Raises ``InvalidInput`` log_invalid for an entry above 64 KiB.
        """
        if any(len(entry) > MAX_ENTRY for entry in entries):
            raise InvalidInput("log_invalid", f"An entry of the log has at most {MAX_ENTRY:,} bytes.")
        with self._lock:
            if not self._file.in_transaction:
                with self.transaction():
                    return self._append(entries)
            return self._append(entries)

    def head(self) -> str:
        """Return the newest checkpoint: a signed note."""
        with self._lock:
            row = self._file.execute("SELECT note FROM log_head").fetchone()
        return str(row[0]) if row else self._key.sign(Head(self._key.name, 0, EMPTY_ROOT).as_text())

    def size(self) -> int:
        """Return how many entries there are."""
        with self._lock:
            row = self._file.execute("SELECT size FROM log_head").fetchone()
        return int(row[0]) if row else 0

    def entry(self, place: int) -> bytes:
        """Return an entry; raises ``NotFound`` log_unknown."""
        with self._lock:
            row = self._file.execute("SELECT data FROM log_entry WHERE place = ?", (place,)).fetchone()
        if row is None:
            raise NotFound("log_unknown", f"The log has no entry {place}.", hint="Its size is in its checkpoint.")
        return bytes(row[0])

    def inclusion(self, place: int, size: int) -> list[bytes]:
        """Return the proof that entry ``place`` is among the first ``size``; raises ``NotFound`` log_unknown."""
        with self._lock:
            if not 0 <= place < size <= self.size():
                raise NotFound("log_unknown", f"The log has no entry {place} among its first {size}.")
            return self._path(place, 0, size)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the first ``new`` entries begin with the first ``old``; raises ``NotFound``."""
        with self._lock:
            if not 0 <= old <= new <= self.size():
                raise NotFound("log_unknown", f"The log has no heads of {old} and {new} entries.")
            return self._subproof(old, 0, new, whole=True) if 0 < old < new else []

    def _append(self, entries: Sequence[bytes]) -> list[int]:
        first = self.size()
        for place, entry in enumerate(entries, first):
            self._file.execute("INSERT INTO log_entry VALUES (?, ?)", (place, entry))
            self._add_node(place, leaf_hash(entry))
        size = first + len(entries)
        note = self._key.sign(Head(self._key.name, size, self._range(0, size)).as_text())
        self._file.execute("INSERT OR REPLACE INTO log_head VALUES (1, ?, ?)", (size, note))
        return list(range(first, size))

    def _add_node(self, place: int, value: bytes) -> None:
        """Write the leaf and every node whose last leaf it is."""
        level = 0
        self._file.execute("INSERT INTO log_node VALUES (?, ?, ?)", (level, place, value))
        while place % 2:
            value = node_hash(self._node(level, place - 1), value)
            level, place = level + 1, place >> 1
            self._file.execute("INSERT INTO log_node VALUES (?, ?, ?)", (level, place, value))

    def _node(self, level: int, place: int) -> bytes:
        row = self._file.execute("SELECT hash FROM log_node WHERE level = ? AND place = ?", (level, place)).fetchone()
        if row is None:
            raise _corrupted("a node of its tree is missing")
        return bytes(row[0])

    def _range(self, start: int, end: int) -> bytes:
        """Return the root over the entries from ``start`` to ``end``, which a tree of the log has as a node."""
        count = end - start
        if count == 0:
            return EMPTY_ROOT
        if count & (count - 1) == 0:
            return self._node(count.bit_length() - 1, start // count)
        middle = start + _left(count)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def _path(self, place: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _left(end - start)
        if place < middle:
            return [*self._path(place, start, middle), self._range(middle, end)]
        return [*self._path(place, middle, end), self._range(start, middle)]

    def _subproof(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if old == end:
            return [] if whole else [self._range(start, end)]
        middle = start + _left(end - start)
        if old <= middle:
            return [*self._subproof(old, start, middle, whole=whole), self._range(middle, end)]
        return [*self._subproof(old, middle, end, whole=False), self._range(start, middle)]

    def _require_whole(self) -> None:
        size = self.size()
        entries = self._file.execute("SELECT place, data FROM log_entry ORDER BY place")
        peaks: list[tuple[int, bytes]] = []
        count = 0
        for place, data in entries:
            if place != count:
                raise _corrupted(f"entry {count} is missing")
            peaks.append((0, leaf_hash(data)))
            while len(peaks) > 1 and peaks[-1][0] == peaks[-2][0]:
                (level, left), (_, right) = peaks[-2:]
                peaks[-2:] = [(level + 1, node_hash(left, right))]
            count += 1
        root = peaks[-1][1] if peaks else EMPTY_ROOT
        for _, left in reversed(peaks[:-1]):
            root = node_hash(left, root)
        try:
            head = open_head(self.head(), self._key.verifier)
        except (InvalidInput, NotAuthorised):
            raise _corrupted("its head is not signed by its key") from None
        if (count, root) != (size, head.root) or head != Head(self._key.name, size, self._range(0, size)):
            raise _corrupted("its head is not that of its entries")


def _left(count: int) -> int:
    """Return the largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1


def _mismatch(message: str) -> NotAuthorised:
    return NotAuthorised(
        "log_mismatch",
        message,
        hint="Keep both heads: two heads of one log that do not continue each other show that its keeper lied.",
    )


def _corrupted(why: str) -> Corrupted:
    return Corrupted(
        "log_corrupted",
        f"The transparency log was changed from outside: {why}.",
        hint="Nothing was signed. Find out who changed it; never put an older copy back.",
    )
