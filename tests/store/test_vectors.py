"""The vector index: exact order, no text, no residue, and never half an index."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rodagila.core.errors import Corrupted, NotFound
from rodagila.store.nearest import cosine_ppm, nearest
from rodagila.store.vectors import IndexHit, IndexRow, VectorIndex

GENERATOR = np.random.Generator(np.random.PCG64(3))
CENTRES = GENERATOR.normal(size=(40, 384))
POINTS = CENTRES[GENERATOR.integers(0, 40, 900)] + 0.4 * GENERATOR.normal(size=(900, 384))
VECTORS = np.clip(np.rint(POINTS * 20), -127, 127).astype(np.int8)
KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
import rodagila.store.vectors as module
vectors = np.full((50, 384), 7, np.int8)
rows = [module.IndexRow(i, "o", "00", i, "t", vectors[i]) for i in range(50)]
index = module.VectorIndex(Path(sys.argv[1]))
if sys.argv[2] == "before":
    index._write_state = lambda state: os.kill(os.getpid(), signal.SIGKILL)
else:
    module.shutil.rmtree = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
index.rebuild(9, rows)
"""


def rows_of(places: range, vectors: np.ndarray = VECTORS) -> list[IndexRow]:
    return [IndexRow(i, f"owner {i % 7}", f"{i % 11:064x}", i % 5, f"target {i % 3}", vectors[i]) for i in places]


def files(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in path.rglob("*") if file.is_file()]


@pytest.fixture
def index(tmp_path: Path) -> VectorIndex:
    index = VectorIndex(tmp_path / "index")
    index.rebuild(1, rows_of(range(600)))
    return index


def test_the_order_is_exact(index: VectorIndex) -> None:
    queries = VECTORS[600:700]
    wanted = nearest(queries, VECTORS[:600], 10)
    for query, places in zip(queries, wanted, strict=True):
        hits = index.search(query, 10)
        assert [hit.place for hit in hits] == places.tolist()
        assert hits[0].score_ppm == cosine_ppm(query, VECTORS[places[0]])


def test_ties_go_to_the_lower_place_however_many_there_are(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path)
    same = np.repeat(VECTORS[:1], 200, axis=0)
    index.rebuild(1, rows_of(range(200), same)[::-1])
    assert [hit.place for hit in index.search(VECTORS[0], 5)] == [0, 1, 2, 3, 4]


def test_more_is_asked_than_there_is(index: VectorIndex) -> None:
    assert len(index.search(VECTORS[0], 5_000)) == 600
    assert index.search(VECTORS[0], 0) == ()


def test_upsert_adds_and_replaces_by_place(index: VectorIndex) -> None:
    changed = VECTORS.copy()
    changed[5] = VECTORS[800]
    index.upsert(2, rows_of(range(5, 6), changed) + rows_of(range(600, 700)))
    assert (index.count(), index.turn) == (700, 2)
    assert index.search(VECTORS[800], 1)[0] == IndexHit(5, 1_000_000)
    assert index.search(VECTORS[650], 1)[0].place == 650


def test_each_turn_is_a_version_that_can_still_be_searched(index: VectorIndex, tmp_path: Path) -> None:
    index.upsert(2, rows_of(range(600, 700)))
    again = VectorIndex(tmp_path / "index")
    assert again.turns() == (1, 2)
    assert again.search(VECTORS[650], 1)[0].place == 650
    assert again.search(VECTORS[650], 1, turn=1)[0].place != 650
    with pytest.raises(NotFound):
        again.search(VECTORS[650], 1, turn=3)


def test_deletion_leaves_no_bytes_of_the_vectors_on_disk(index: VectorIndex, tmp_path: Path) -> None:
    index.upsert(2, rows_of(range(600, 700)))
    patterns = [VECTORS[i].astype(kind).tobytes()[:96] for i in (17, 650) for kind in (np.int8, np.float16, np.float32)]
    assert any(pattern in data for data in files(tmp_path) for pattern in patterns)
    assert index.delete([17, 650, 12345]) == 2
    assert not any(pattern in data for data in files(tmp_path) for pattern in patterns)
    assert (index.count(), index.turns()) == (698, (2,))
    assert index.search(VECTORS[17], 1)[0].place != 17
    assert VectorIndex(tmp_path / "index").count() == 698


def test_deleting_everything_or_nothing_works(index: VectorIndex) -> None:
    assert index.delete([]) == 0
    assert index.delete([99_999]) == 0
    assert index.delete(range(600)) == 600
    assert (index.count(), index.search(VECTORS[0], 3)) == (0, ())
    index.upsert(2, rows_of(range(10)))
    assert index.count() == 10


def test_no_text_is_stored(tmp_path: Path) -> None:
    index = VectorIndex(tmp_path)
    index.rebuild(1, [IndexRow(1, "0xabc", "00" * 32, 0, "a very private answer", VECTORS[0])])
    assert not any(b"private" in data for data in files(tmp_path))


def test_an_index_that_is_missing_or_unreadable_is_empty_and_can_be_rebuilt(index: VectorIndex, tmp_path: Path) -> None:
    state = tmp_path / "index" / "current.json"
    for content in (b"", b"{", b"[]", b'{"generation": "generation-000099", "turn": 1}'):
        state.write_bytes(content)
        broken = VectorIndex(tmp_path / "index")
        assert (broken.count(), broken.search(VECTORS[0], 3)) == (0, ())
    broken.rebuild(1, rows_of(range(20)))
    assert VectorIndex(tmp_path / "index").count() == 20


def test_damaged_data_files_are_an_error_that_says_rebuild(index: VectorIndex, tmp_path: Path) -> None:
    for file in (tmp_path / "index").rglob("*.lance"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    again = VectorIndex(tmp_path / "index")
    with pytest.raises(Corrupted) as caught:
        again.search(VECTORS[0], 3)
    assert caught.value.code == "index_corrupted"
    assert again.ensure(1, rows_of(range(600)))
    assert again.search(VECTORS[3], 1)[0].place == 3


def test_ensure_rebuilds_only_what_differs(index: VectorIndex) -> None:
    assert not index.ensure(1, rows_of(range(600)))
    assert index.ensure(2, rows_of(range(600)))
    changed = VECTORS.copy()
    changed[0, 0] ^= 1
    assert index.ensure(2, rows_of(range(600), changed))
    assert not index.ensure(2, rows_of(range(600), changed)[::-1])


@pytest.mark.parametrize(("moment", "rows", "turn"), [("before", 600, 1), ("after", 50, 9)])
def test_a_kill_in_a_rebuild_leaves_the_old_index_or_the_new_one(
    index: VectorIndex, tmp_path: Path, moment: str, rows: int, turn: int
) -> None:
    folder = tmp_path / "index"
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment], check=False)
    assert done.returncode == -signal.SIGKILL
    again = VectorIndex(folder)
    assert (again.count(), again.turn) == (rows, turn)
    again.rebuild(10, rows_of(range(30)))
    assert again.count() == 30
    assert len(list(folder.glob("generation-*"))) == 1
