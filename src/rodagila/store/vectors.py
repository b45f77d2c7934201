"""The vector index: LanceDB on disk, exact cosine search, no text inside, and deletion that leaves no bytes.

The index is derived data: it can be rebuilt from the records at any time, so an unreadable one counts as empty. It
lives in numbered generations; ``current.json`` names the live one and is replaced in one step, so a kill leaves the old
or the new index, never half of one. Within a generation each turn is a tagged LanceDB version. Deleting writes a new
generation without the rows and unlinks the old one, with all its versions: LanceDB's own deletion only hides rows.

LanceDB proposes candidates in floats; the order is decided by exact integers (``store.nearest``), ties by place.

>>> index = VectorIndex(home / "index")
>>> index.rebuild(1, rows)
>>> index.search(vector, 5)[0].place
17
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rodagila.core.errors import Corrupted, NotFound
from rodagila.core.hashing import keccak
from rodagila.core.vectors import Int8Array, dot_products
from rodagila.store.nearest import cosine_keys, cosine_ppm, nearest, squared_norms

TABLE = "records"
MARGIN = 1e-4
"""Candidates this close (cosine distance) to the last wanted one are compared exactly; float error is below 1e-6."""


@dataclass(frozen=True, slots=True, eq=False)
class IndexRow:
    """One record's ids and vector; of the target only the hash is stored."""

    place: int
    owner: str
    contribution: str
    index: int
    target: str
    vector: Int8Array


@dataclass(frozen=True, slots=True)
class IndexHit:
    """A place with its cosine in millionths."""

    place: int
    score_ppm: int


class Nearest(Protocol):
    """What finds the records nearest to a vector."""

    def search(self, vector: Int8Array, k: int) -> Sequence[IndexHit]:
        """Return the ``k`` nearest rows by exact cosine, ties to the lower place."""
        ...


class RowsInMemory:
    """The same search over rows in memory: for a model of an earlier turn, which the index on disk has outgrown."""

    def __init__(self, rows: Sequence[IndexRow]) -> None:
        ordered = sorted(rows, key=lambda row: row.place)
        self._places = [row.place for row in ordered]
        self._vectors = np.stack([row.vector for row in ordered]) if ordered else np.zeros((0, 1), np.int8)

    def search(self, vector: Int8Array, k: int) -> tuple[IndexHit, ...]:
        """Return the ``k`` nearest rows by exact cosine, ties to the lower place."""
        if not self._places or k <= 0:
            return ()
        best = nearest(vector[None, :], self._vectors, k)[0]
        return tuple(IndexHit(self._places[at], cosine_ppm(vector, self._vectors[at])) for at in best.tolist())


class VectorIndex:
    """The index in one folder; opening reads one small file."""

    def __init__(self, path: Path) -> None:
        """Open the index at ``path``; a missing or unreadable one is empty until ``rebuild``."""
        self._path = path
        self._table: Any = None
        self._state: dict[str, Any] = {}
        path.mkdir(parents=True, exist_ok=True)
        with suppress(OSError, ValueError, KeyError, TypeError, RuntimeError):
            state = json.loads((path / "current.json").read_text())
            self._table = _connect(path / str(state["generation"])).open_table(TABLE)
            self._state = state

    @property
    def turn(self) -> int:
        """The last turn that was indexed; 0 when empty."""
        return int(self._state.get("turn", 0))

    def count(self) -> int:
        """Return the number of rows; 0 if the index is missing or unreadable."""
        try:
            return int(self._table.count_rows()) if self._table is not None else 0
        except (OSError, ValueError, RuntimeError):
            return 0

    def rebuild(self, turn: int, rows: Sequence[IndexRow]) -> None:
        """Replace everything by ``rows``, as the version of ``turn``."""
        self._replace(turn, _arrow(rows) if rows else None)

    def upsert(self, turn: int, rows: Sequence[IndexRow]) -> None:
        """Add ``rows``, replacing those with the same place, as the version of ``turn``."""
        if not rows:
            return
        if self._table is None:
            return self.rebuild(turn, rows)
        merge = self._table.merge_insert("place").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(_arrow(rows))
        self._tag(turn)
        self._write_state({**self._state, "turn": turn})

    def ensure(self, turn: int, rows: Sequence[IndexRow]) -> bool:
        """Rebuild unless the index holds exactly these places and vectors; tell whether it did."""
        wanted = _digest((row.place, row.vector.tobytes()) for row in rows)
        if self.turn == turn and self._digest() == wanted:
            return False
        self.rebuild(turn, rows)
        return True

    def search(self, vector: Int8Array, k: int, *, turn: int | None = None) -> tuple[IndexHit, ...]:
        """Return the ``k`` nearest rows by exact cosine, ties to the lower place; of an earlier ``turn`` if given.

        Raises ``Corrupted`` if the files cannot be read (rebuild the index), ``NotFound`` for a turn without version.
        """
        table = self._table if turn is None else self._version(turn)
        if table is None or k <= 0:
            return ()
        try:
            places, vectors = _candidates(table, vector, k)
        except (OSError, ValueError, RuntimeError) as error:
            raise Corrupted(
                "index_corrupted", "The vector index cannot be read.", hint="Rebuild it from the records."
            ) from error
        keys = cosine_keys(dot_products(vector[None, :], vectors), squared_norms(vectors))[0]
        best = np.lexsort((places, -keys))[:k]
        return tuple(IndexHit(int(places[i]), cosine_ppm(vector, vectors[i])) for i in best)

    def delete(self, places: Iterable[int]) -> int:
        """Erase the rows of ``places`` from every version and from disk; return how many there were."""
        gone = set(places)
        if self._table is None or not gone:
            return 0
        table = self._table.to_arrow()
        keep = np.array([place not in gone for place in table["place"].to_pylist()], dtype=bool)
        removed = int((~keep).sum())
        if removed:
            self._replace(self.turn, table.filter(keep) if keep.any() else None)
        return removed

    def turns(self) -> tuple[int, ...]:
        """Return the turns that can be searched; a deletion leaves only the last."""
        if self._table is None:
            return ()
        return tuple(sorted(int(name.removeprefix("turn-")) for name in self._table.tags.list()))

    def _version(self, turn: int) -> Any:
        if turn not in self.turns():
            raise NotFound(
                "turn_unknown", f"The index has no version of turn {turn}.", hint="Rebuild it from the records."
            )
        table = _connect(self._path / str(self._state["generation"])).open_table(TABLE)
        table.checkout(f"turn-{turn}")
        return table

    def _tag(self, turn: int) -> None:
        name, tags = f"turn-{turn}", self._table.tags
        if name in tags.list():
            tags.update(name, self._table.version)
        else:
            tags.create(name, self._table.version)

    def _digest(self) -> bytes:
        if self._table is None:
            return b""
        try:
            table = self._table.to_arrow()
            return _digest(zip(table["place"].to_pylist(), (row.tobytes() for row in _int8(table)), strict=True))
        except (OSError, ValueError, RuntimeError):
            return b""

    def _replace(self, turn: int, table: Any) -> None:
        """Write ``table`` as the next generation, make it current, then unlink every other one."""
        number = 1 + max((_number(folder) for folder in self._path.glob("generation-*")), default=0)
        name = f"generation-{number:06d}"
        self._table = None
        if table is not None:
            self._table = _connect(self._path / name).create_table(TABLE, table)
            self._tag(turn)
        self._write_state({"generation": name, "turn": turn})
        for folder in self._path.glob("generation-*"):
            if folder.name != name:
                shutil.rmtree(folder, ignore_errors=True)

    def _write_state(self, state: dict[str, Any]) -> None:
        draft = self._path / "current.json.new"
        with draft.open("w") as file:
            json.dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path / "current.json")
        self._state = state


def _connect(folder: Path) -> Any:
    import lancedb  # takes a second: only those who search pay for it

    return lancedb.connect(str(folder))


def _number(folder: Path) -> int:
    digits = folder.name.removeprefix("generation-")
    return int(digits) if digits.isdigit() else 0


def _arrow(rows: Sequence[IndexRow]) -> Any:
    """Return the Arrow table of ``rows``; float16 is the smallest type LanceDB searches that holds int8 exactly."""
    import pyarrow as pa

    vectors = np.stack([row.vector for row in rows])
    return pa.table(
        {
            "place": pa.array([row.place for row in rows], pa.int64()),
            "owner": pa.array([row.owner for row in rows], pa.string()),
            "contribution": pa.array([row.contribution for row in rows], pa.string()),
            "index": pa.array([row.index for row in rows], pa.int64()),
            "target_hash": pa.array([keccak(row.target.encode()) for row in rows], pa.binary(32)),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float16).ravel()), vectors.shape[1]),
        }
    )


def _int8(table: Any) -> Int8Array:
    """Return the vectors (n, d) of an Arrow table."""
    if table.num_rows == 0:
        return np.zeros((0, 1), dtype=np.int8)
    column = table["vector"].combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float32).reshape(table.num_rows, -1).astype(np.int8)


def _digest(rows: Iterable[tuple[int, bytes]]) -> bytes:
    return keccak(b"".join(place.to_bytes(8, "big") + vector for place, vector in sorted(rows)))


def _candidates(table: Any, vector: Int8Array, k: int) -> tuple[Any, Int8Array]:
    """Return places and vectors that hold the ``k`` nearest: more are taken while the last is within the margin."""
    limit, total = k + 16, table.count_rows()
    while True:
        query = table.search(vector.astype(np.float32), vector_column_name="vector").distance_type("cosine")
        found = query.limit(limit).select(["place", "vector", "_distance"]).to_arrow()
        distances = np.sort(found["_distance"].to_numpy())
        if limit >= total or len(distances) <= k or distances[-1] > distances[k - 1] + MARGIN:
            return found["place"].to_numpy(), _int8(found)
        limit *= 4
