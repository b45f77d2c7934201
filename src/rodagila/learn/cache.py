"""A durable cache of vectors: a text is embedded once per home, also across a kill.

The key is (embedder hash, Keccak of the text), the value the int8 row. It is derived data: a file that cannot be read
is replaced by an empty one. ``forget`` erases: SQLite overwrites deleted cells (``secure_delete``) and the log is
folded in.

>>> cached = CachedEmbedder(MiniLM(), VectorCache(home / "vectors.sqlite"))
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from rodagila.core.hashing import keccak
from rodagila.core.vectors import Int8Array
from rodagila.learn.embedder import Embedder, Progress

WRITE_EVERY = 2048
_FIND = "SELECT vector FROM vectors WHERE embedder = ? AND text = ?"
_TABLE = """CREATE TABLE IF NOT EXISTS vectors (
    embedder BLOB NOT NULL, text BLOB NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (embedder, text)
) WITHOUT ROWID"""


class VectorCache:
    """Int8 rows by embedder and text hash, in one SQLite file; safe to share between threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the file at ``path``."""
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._open()
        except sqlite3.OperationalError:
            raise  # locked or not writable: its content may be good
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")  # survives a kill; a power cut only costs recomputation
            connection.execute("PRAGMA secure_delete=ON")
            connection.execute(_TABLE)
            connection.execute("SELECT count(*) FROM (SELECT 1 FROM vectors LIMIT 1)").fetchone()
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def get(self, embedder: bytes, hashes: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the rows that are known, by text hash."""
        found: dict[bytes, bytes] = {}
        with self._lock:
            for key in hashes:
                row = self._connection.execute(_FIND, (embedder, key)).fetchone()
                if row is not None:
                    found[key] = row[0]
        return found

    def put(self, embedder: bytes, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Store (text hash, row) pairs in one transaction; without room on the disk, nothing: it is only a cache."""
        with self._lock, suppress(sqlite3.OperationalError):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", [(embedder, text, row) for text, row in rows]
                )
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def forget(self, texts: Sequence[str]) -> int:
        """Erase the rows of ``texts`` under every embedder; return how many there were."""
        with self._lock:
            before = self._connection.total_changes
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("DELETE FROM vectors WHERE text = ?", [(text_hash(text),) for text in texts])
            self._connection.execute("COMMIT")
            removed = self._connection.total_changes - before
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return removed

    def close(self) -> None:
        """Close the file."""
        with self._lock, suppress(sqlite3.Error):
            self._connection.close()


def text_hash(text: str) -> bytes:
    """Return the key of ``text``: Keccak-256 of its UTF-8 bytes."""
    return keccak(text.encode("utf-8", "surrogatepass"))


class CachedEmbedder:
    """An embedder that remembers; every ``WRITE_EVERY`` new texts are stored, so a kill costs at most that many."""

    def __init__(self, embedder: Embedder, cache: VectorCache) -> None:
        """Wrap ``embedder`` with ``cache``."""
        self._embedder = embedder
        self._cache = cache

    @property
    def name(self) -> str:
        """The wrapped embedder's name."""
        return self._embedder.name

    @property
    def dimensions(self) -> int:
        """The wrapped embedder's dimensions."""
        return self._embedder.dimensions

    @property
    def hash(self) -> bytes:
        """The wrapped embedder's hash."""
        return self._embedder.hash

    def forget(self, texts: Sequence[str]) -> int:
        """Erase what is remembered of ``texts``; return how many vectors there were."""
        return self._cache.forget(texts)

    def close(self) -> None:
        """Close the cache's file and end the embedder's workers."""
        self._cache.close()
        self._embedder.close()

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Int8Array:
        """Return int8 vectors (n, dimensions); only texts that were never seen are computed."""
        hashes = [text_hash(text) for text in texts]
        missing = dict(zip(hashes, texts, strict=True))
        known = {key: row for key, row in self._cache.get(self.hash, list(missing)).items() if self._fits(row)}
        for key in known:
            del missing[key]
        self._learn(missing, known, progress)
        joined = b"".join(known[key] for key in hashes)
        return np.frombuffer(joined, dtype=np.int8).reshape(len(texts), self.dimensions).copy()

    def _fits(self, row: bytes) -> bool:
        return len(row) == self.dimensions

    def _learn(self, missing: dict[bytes, str], known: dict[bytes, bytes], progress: Progress | None) -> None:
        """Compute and store ``missing``, longest runs of similar length together, adding to ``known``."""
        pending = sorted(missing.items(), key=lambda item: len(item[1]))
        for start in range(0, len(pending), WRITE_EVERY):
            part = pending[start : start + WRITE_EVERY]
            vectors = self._embedder.encode([text for _, text in part])
            rows = [(key, vector.tobytes()) for (key, _), vector in zip(part, vectors, strict=True)]
            self._cache.put(self.hash, rows)
            known.update(rows)
            if progress is not None:
                progress(start + len(part), len(pending))
