"""Blobs: bytes stored under their own Keccak-256 hash, in a sharded directory.

A blob's id is the hash of its bytes, so a reader can tell by itself whether it got what was stored (DESIGN 5 and 6).
Writing follows the rule of every durable store: write a partial file beside the target, fsync it, rename it, fsync
the directory; a crash leaves the old state or the new one, and partial files are never visible as blobs.

Layout: ``root/ab/abcdef...`` (64 hex digits, sharded by the first byte) and ``root/partial/`` for unfinished writes.

>>> store = BlobStore(Path(directory))                                     # doctest: +SKIP
>>> store.get(store.put(b"sealed"))                                        # doctest: +SKIP
b'sealed'
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rodagila.core.errors import Corrupted, InvalidInput, NotFound, Unreachable
from rodagila.core.hashing import keccak

MAX_BYTES = 64 * 2**20
_NAME = re.compile(r"[0-9a-f]{64}")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class BlobStore:
    """A directory of blobs; safe for many readers and writers, on one machine.

    ``max_bytes`` bounds one blob: larger ones are refused on the way in and never read on the way out.
    """

    def __init__(self, root: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.root = root
        self.max_bytes = max_bytes

    def put(self, data: bytes) -> bytes:
        """Store ``data`` durably and return its id; storing it again changes nothing, but heals a damaged copy.

        Raises ``InvalidInput`` blob_too_large, ``Unreachable`` disk_full or unreachable; then nothing is left behind.
        """
        if len(data) > self.max_bytes:
            raise InvalidInput(
                "blob_too_large",
                f"The blob has {len(data):,} bytes; the store takes up to {self.max_bytes:,}.",
                hint="Split it into smaller contributions.",
            )
        blob_id = keccak(data)
        path = self._path(blob_id)
        if not self._holds(path, data):
            self._write(path, data)
        return blob_id

    def get(self, blob_id: bytes) -> bytes:
        """Return the bytes of ``blob_id``; raises ``NotFound`` blob_missing, ``Corrupted`` blob_tampered."""
        try:
            with self._path(blob_id).open("rb") as file:
                data = file.read(self.max_bytes + 1)
        except FileNotFoundError:
            raise NotFound(
                "blob_missing", f"No blob 0x{blob_id.hex()} is stored here.", hint="Fetch it from its owner again."
            ) from None
        except OSError as error:
            raise _unreachable(error) from error
        if keccak(data) != blob_id:
            raise Corrupted(
                "blob_tampered",
                f"The stored bytes of blob 0x{blob_id.hex()} do not hash to its id.",
                hint="Restore the blob from its owner or a backup.",
            )
        return data

    def has(self, blob_id: bytes) -> bool:
        """Tell whether a blob is stored, without verifying it."""
        return self._path(blob_id).is_file()

    def delete(self, blob_id: bytes) -> bool:
        """Remove a blob durably; return whether there was one."""
        path = self._path(blob_id)
        try:
            path.unlink()
            _sync_directory(path.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unreachable(error) from error
        return True

    def ids(self) -> Iterator[bytes]:
        """Yield the ids of all blobs in ascending order."""
        for shard in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(shard.iterdir()):
                if _NAME.fullmatch(path.name):
                    yield bytes.fromhex(path.name)

    def sweep(self, older_than: float = 3600) -> int:
        """Remove what killed writers left half-done more than ``older_than`` seconds ago; return how many files.

        The age spares writers that are at work in another process: none takes an hour for one blob.
        """
        before = time.time() - older_than
        leftovers = [path for path in self._partial.glob("*") if path.stat().st_mtime <= before]
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    @property
    def _partial(self) -> Path:
        return self.root / "partial"

    def _path(self, blob_id: bytes) -> Path:
        if len(blob_id) != 32:
            raise InvalidInput("invalid_request", f"A blob id has 32 bytes, given {len(blob_id)}.")
        name = blob_id.hex()
        return self.root / name[:2] / name

    def _holds(self, path: Path, data: bytes) -> bool:
        try:
            if path.stat().st_size != len(data):
                return False
            return path.read_bytes() == data
        except OSError:
            return False

    def _write(self, path: Path, data: bytes) -> None:
        partial = self._partial / secrets.token_hex(16)
        try:
            self._make_shard(path.parent)
            _write_synced(partial, data)
            partial.replace(path)
            _sync_directory(path.parent)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise _unreachable(error) from error

    def _make_shard(self, shard: Path) -> None:
        self._partial.mkdir(parents=True, exist_ok=True)
        if not shard.exists():
            shard.mkdir(exist_ok=True)
            _sync_directory(self.root)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unreachable(error: OSError) -> Unreachable:
    if error.errno in _FULL:
        return Unreachable(
            "disk_full", "The disk has no room for the blob; nothing was stored.", hint="Free some space and try again."
        )
    return Unreachable(
        "unreachable",
        f"The blob directory cannot be used: {error.strerror}.",
        hint="Check that it exists and is yours.",
    )
