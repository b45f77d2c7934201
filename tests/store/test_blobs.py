"""Blobs keep what they were given, whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import Corrupted, InvalidInput, NotFound, Unreachable
from rodagila.core.hashing import keccak
from rodagila.store.blobs import BlobStore


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", max_bytes=100_000)


def stored_file(store: BlobStore, blob_id: bytes) -> Path:
    return store.root / blob_id.hex()[:2] / blob_id.hex()


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let the kernel refuse files over ``size`` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_blob_comes_back_under_the_hash_of_its_bytes(store: BlobStore) -> None:
    blob_id = store.put(b"sealed")
    assert blob_id == keccak(b"sealed")
    assert store.get(blob_id) == b"sealed"
    assert store.has(blob_id)


@settings(max_examples=30, deadline=None)
@given(blobs=st.lists(st.binary(max_size=300), max_size=8))
def test_any_blobs_come_back_and_are_listed_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, blobs: list[bytes]
) -> None:
    store = BlobStore(tmp_path_factory.mktemp("blobs"))
    ids = [store.put(blob) for blob in blobs + blobs]
    assert [store.get(blob_id) for blob_id in ids] == blobs + blobs
    assert list(store.ids()) == sorted(set(ids))


def test_storing_again_changes_nothing(store: BlobStore) -> None:
    path = stored_file(store, store.put(b"sealed"))
    before = path.stat()
    store.put(b"sealed")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_missing_blob_is_not_found(store: BlobStore) -> None:
    assert not store.has(bytes(32))
    with pytest.raises(NotFound) as caught:
        store.get(bytes(32))
    assert caught.value.code == "blob_missing"


@pytest.mark.parametrize("damage", [b"", b"seale", b"sealed!", b"Sealed"])
def test_damaged_bytes_are_never_returned(store: BlobStore, damage: bytes) -> None:
    blob_id = store.put(b"sealed")
    stored_file(store, blob_id).write_bytes(damage)
    with pytest.raises(Corrupted) as caught:
        store.get(blob_id)
    assert caught.value.code == "blob_tampered"


def test_storing_again_heals_a_damaged_copy(store: BlobStore) -> None:
    blob_id = store.put(b"sealed")
    stored_file(store, blob_id).write_bytes(b"Sealed")
    store.put(b"sealed")
    assert store.get(blob_id) == b"sealed"


def test_a_file_that_grew_beyond_the_bound_is_not_read_whole(store: BlobStore) -> None:
    blob_id = store.put(b"sealed")
    os.truncate(stored_file(store, blob_id), 2**33)  # sparse: 8 GiB that would not fit in memory
    with pytest.raises(Corrupted):
        store.get(blob_id)


def test_a_blob_over_the_bound_is_refused(store: BlobStore) -> None:
    store.put(bytes(100_000))
    with pytest.raises(InvalidInput) as caught:
        store.put(bytes(100_001))
    assert caught.value.code == "blob_too_large"


def test_a_deleted_blob_is_gone(store: BlobStore) -> None:
    blob_id = store.put(b"sealed")
    assert store.delete(blob_id)
    assert not store.delete(blob_id)
    assert list(store.ids()) == []


def test_a_full_disk_leaves_nothing_behind(store: BlobStore) -> None:
    kept = store.put(b"kept")
    with files_limited_to(1_000), pytest.raises(Unreachable) as caught:
        store.put(bytes(50_000))
    assert caught.value.code == "disk_full"
    assert list(store.ids()) == [kept]
    assert store.sweep(older_than=0) == 0, "no partial file may be left"
    assert store.get(store.put(bytes(50_000))) == bytes(50_000)


def test_a_directory_that_cannot_be_used_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(Unreachable) as caught:
        BlobStore(tmp_path / "file").put(b"sealed")
    assert caught.value.code == "unreachable"


def test_an_id_of_another_length_is_refused(store: BlobStore) -> None:
    with pytest.raises(InvalidInput):
        store.get(b"../../etc/passwd")


def test_a_killed_writer_leaves_only_whole_blobs(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from rodagila.store.blobs import BlobStore
        store = BlobStore(Path(sys.argv[1]))
        for number in range(100_000):
            print(store.put(number.to_bytes(4, "big") * 50_000).hex(), flush=True)
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer:
        acknowledged = [writer.stdout.readline().strip() for _ in range(20)]
        writer.kill()
        acknowledged += writer.stdout.read().split("\n")[:-1]
    store = BlobStore(tmp_path)
    for blob_id in store.ids():
        store.get(blob_id)
    assert {bytes.fromhex(text) for text in acknowledged} <= set(store.ids())
    store.sweep(older_than=0)
    assert store.sweep(older_than=0) == 0


def test_sweeping_spares_a_writer_at_work(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(b"x")
    partial = tmp_path / "partial" / "being-written"
    partial.write_bytes(b"half")
    assert store.sweep() == 0
    assert partial.exists()
    assert store.sweep(older_than=0) == 1
