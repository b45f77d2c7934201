"""The cache of vectors: once per home, across kills, and erasable."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from rodagila.core.vectors import Int8Array
from rodagila.learn.cache import CachedEmbedder, VectorCache, text_hash
from rodagila.learn.embedder import MiniLM, Progress

KILLED = """
import os, signal, sys
from pathlib import Path
from rodagila.learn.cache import VectorCache
cache = VectorCache(Path(sys.argv[1]))
for number in range(3):
    cache.put(b"e" * 32, [(bytes([number, i]) + bytes(30), bytes([i]) * 384) for i in range(200)])
cache._connection.execute("BEGIN IMMEDIATE")
cache._connection.execute("DELETE FROM vectors")
os.kill(os.getpid(), signal.SIGKILL)
"""


class Counting:
    """The real embedder, with a list of what it was asked to compute."""

    def __init__(self, embedder: MiniLM) -> None:
        self._embedder = embedder
        self.asked: list[str] = []
        self.name, self.dimensions, self.hash = embedder.name, embedder.dimensions, embedder.hash

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Int8Array:
        self.asked += texts
        return self._embedder.encode(texts, progress=progress)

    def close(self) -> None:
        pass


def test_a_text_is_embedded_once_per_home(tmp_path: Path, minilm: MiniLM) -> None:
    counting = Counting(minilm)
    texts = ["reset my card", "reset my card", "where is my parcel"]
    with closing(CachedEmbedder(counting, VectorCache(tmp_path / "v.sqlite"))) as first:
        vectors = first.encode(texts)
        assert np.array_equal(vectors, minilm.encode(texts))
        assert sorted(counting.asked) == ["reset my card", "where is my parcel"]
    with closing(CachedEmbedder(counting, VectorCache(tmp_path / "v.sqlite"))) as second:
        assert np.array_equal(second.encode(["a new one", *texts])[1:], vectors)
        assert counting.asked[2:] == ["a new one"]
        assert second.encode([]).shape == (0, 384)
        assert (second.name, second.hash) == (minilm.name, minilm.hash)


def test_progress_counts_only_what_is_computed(tmp_path: Path, minilm: MiniLM) -> None:
    seen: list[tuple[int, int]] = []
    with closing(CachedEmbedder(minilm, VectorCache(tmp_path / "v.sqlite"))) as cached:
        cached.encode(["one", "two"], progress=lambda *pair: seen.append(pair))
        cached.encode(["one", "two", "three"], progress=lambda *pair: seen.append(pair))
    assert seen == [(2, 2), (1, 1)]


def test_a_kill_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    with closing(VectorCache(path)) as cache:
        found = cache.get(b"e" * 32, [bytes([n, i]) + bytes(30) for n in range(3) for i in range(200)])
    assert len(found) == 600
    assert found[bytes([2, 7]) + bytes(30)] == bytes([7]) * 384


def test_forgotten_vectors_leave_no_bytes(tmp_path: Path, minilm: MiniLM) -> None:
    path = tmp_path / "v.sqlite"
    with closing(CachedEmbedder(minilm, VectorCache(path))) as cached:
        keep, gone = cached.encode(["this one stays here", "this one is revoked"])
        assert any(gone.tobytes()[:64] in file.read_bytes() for file in tmp_path.iterdir())
        assert cached.forget(["this one is revoked", "never seen"]) == 1
        for file in tmp_path.iterdir():
            assert gone.tobytes()[:64] not in file.read_bytes()
            assert text_hash("this one is revoked") not in file.read_bytes()
    assert keep.tobytes()[:64] in path.read_bytes()


def test_texts_are_not_in_the_file(tmp_path: Path, minilm: MiniLM) -> None:
    with closing(CachedEmbedder(minilm, VectorCache(tmp_path / "v.sqlite"))) as cached:
        cached.encode(["a very private sentence"])
        assert not any(b"private" in file.read_bytes() for file in tmp_path.iterdir())


def test_another_embedder_does_not_see_the_vectors(tmp_path: Path) -> None:
    with closing(VectorCache(tmp_path / "v.sqlite")) as cache:
        cache.put(b"a" * 32, [(b"t" * 32, b"v" * 384)])
        assert cache.get(b"b" * 32, [b"t" * 32]) == {}
        assert cache.get(b"a" * 32, [b"t" * 32]) == {b"t" * 32: b"v" * 384}


def test_an_unreadable_file_is_replaced_since_it_can_be_derived_again(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    with closing(VectorCache(path)) as cache:
        cache.put(b"a" * 32, [(b"t" * 32, b"v" * 384)])
        assert len(cache.get(b"a" * 32, [b"t" * 32])) == 1
