"""Who is near whom among a million records: exact answers, with most pairs never looked at.

Vectors are turned onto their principal axes, in floats. With ``p`` leading coordinates ``a_p`` and the length ``|a'|``
of the rest, ``cos(a, b) <= a_p . b_p + |a'| |b'|`` (Cauchy and Schwarz), so one narrow matrix product rules out most
pairs; what is left is decided by the exact integers of ``value.cosine``. The axes, and how well they rule out, can
differ from machine to machine by rounding; ``SLACK`` is above that rounding, so the answers can not.

>>> near = Nearby(np.array([[100, 0], [0, 100], [100, 1]], dtype=np.int8))
>>> [part.tolist() for pairs in near.earlier(np.array([1, 2]), ONE // 2) for part in pairs[:2]]
[[2], [0]]
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from rodagila.core.vectors import Int8Array, Int64Array
from rodagila.value.cosine import ONE, cores, integer_cosines, integer_roots, squared_norms

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
SLACK = 1e-4
"""More than float32 can be off by in a cosine of up to 1,040 dimensions (about 2e-5)."""
WIDTHS = (48, 128)
"""Leading coordinates kept: the narrow ones for floors above ``STEEP``, the wide ones below it."""
STEEP = 0.85
SAMPLE = 20_000  # rows that the axes are found from
ROWS, COLUMNS = 512, 4_096  # of one product, which then lies in the cache
QUERIES, CHUNK = 64, 32_768  # of one product of queries and records
CHECKED = 1 << 17  # pairs whose exact cosine is taken at once


class Pairs(NamedTuple):
    """``row`` (m,), an ``earlier`` one (m,) and their ``cosine`` (m,) in units of 2^-30."""

    row: Int64Array
    earlier: Int64Array
    cosine: Int64Array


class Nearest(NamedTuple):
    """By query, best first and ties by place: ``place`` (q, t), -1 where there are no more, and ``cosine`` (q, t)."""

    place: Int64Array
    cosine: Int64Array


class Nearby:
    """Answers about int8 ``vectors`` (n, d), which are in the order of their places."""

    def __init__(self, vectors: Int8Array) -> None:
        self.vectors = vectors
        self.squares = squared_norms(vectors)
        self._views: dict[int, FloatArray] = {}

    def earlier(self, rows: Int64Array, floor: int) -> Iterator[Pairs]:
        """Yield, for ``rows`` in ascending order, their pairs with earlier rows at a cosine of ``floor`` or more.

        A part holds all pairs of up to ``ROWS`` rows, by row and then by earlier row.
        """
        view = self._view(WIDTHS[floor < STEEP * ONE])
        bound = floor / ONE - self._slack

        def pairs_of(some: Int64Array) -> Pairs:
            found = [self._exact(some, part, floor) for part in self._possible(view, some, bound)]
            pairs = Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))
            order = np.lexsort((pairs.earlier, pairs.row))
            return Pairs(*(column[order] for column in pairs))

        parts = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
        # Products this narrow are too small to share: each core takes blocks of its own.
        with threadpool_limits(1), ThreadPoolExecutor(cores()) as pool:
            yield from pool.map(pairs_of, parts)

    def nearest(self, queries: Int8Array, allowed: BoolArray, count: int) -> Nearest:
        """Return the ``count`` nearest of the ``allowed`` (n,) records to each of ``queries`` (q, d)."""
        squares = squared_norms(queries)
        places = np.flatnonzero(allowed)
        best = Nearest(np.full((len(queries), count), -1), np.full((len(queries), count), -ONE - 1))
        for start in range(0, len(places), CHUNK):
            some = places[start : start + CHUNK]
            offered = self.vectors[some].astype(np.float32)
            for first in range(0, len(queries), QUERIES):
                rows = slice(first, first + QUERIES)
                dots = queries[rows].astype(np.float32) @ offered.T  # exact integers (rodagila.core.vectors)
                found = self._merge(best, rows, dots, some, squares[rows])
                best.place[rows], best.cosine[rows] = found
        return Nearest(best.place, np.where(best.place < 0, 0, best.cosine))

    def _merge(self, best: Nearest, rows: slice, dots: FloatArray, some: Int64Array, squares: Int64Array) -> Nearest:
        """Return the best of ``rows`` once the records ``some``, which are later than all before, are offered."""
        count = best.place.shape[1]
        lengths = np.sqrt(np.maximum(self.squares[some], 1)).astype(np.float32)
        about = dots / lengths / np.sqrt(np.maximum(squares, 1)).astype(np.float32)[:, None]
        least = (best.cosine[rows, -1] / ONE).astype(np.float32)
        if len(some) > count:
            least = np.maximum(least, np.partition(about, len(some) - count, axis=1)[:, len(some) - count])
        query, column = np.nonzero(about >= (least - np.float32(self._slack))[:, None])
        roots = integer_roots(squares[query], self.squares[some[column]])
        cosine = integer_cosines(dots[query, column].astype(np.int64), roots)
        held = np.nonzero(best.place[rows] >= 0)
        query = np.concatenate([held[0], query])
        place = np.concatenate([best.place[rows][held], some[column]])
        cosine = np.concatenate([best.cosine[rows][held], cosine])
        order = np.lexsort((place, -cosine, query))
        query, place, cosine = query[order], place[order], cosine[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        kept = rank < count
        merged = Nearest(np.full((len(dots), count), -1), np.full((len(dots), count), -ONE - 1))
        merged.place[query[kept], rank[kept]] = place[kept]
        merged.cosine[query[kept], rank[kept]] = cosine[kept]
        return merged

    @cached_property
    def _slack(self) -> float:
        """What an exact cosine can be above the float one: rounding, and the root that is rounded down."""
        norms = self.squares[self.squares > 0]
        return SLACK + (2 / float(norms.min()) if len(norms) else 0.0)

    @cached_property
    def _axes(self) -> npt.NDArray[np.float64]:
        step = max(1, len(self.vectors) // SAMPLE)
        some = self._unit(self.vectors[::step]).astype(np.float64)
        return np.asarray(np.linalg.eigh(some.T @ some)[1][:, ::-1])

    def _unit(self, vectors: Int8Array) -> FloatArray:
        floats = vectors.astype(np.float32)
        return np.asarray(floats / np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1e-9), np.float32)

    def _view(self, width: int) -> FloatArray:
        """Return (n, width + 1): the leading coordinates and the length of the rest; all of them if there are few."""
        if width not in self._views:
            width = min(width, self.vectors.shape[1])
            axes = self._axes[:, :width].astype(np.float32)
            view = np.empty((len(self.vectors), width + 1), np.float32)
            for start in range(0, len(view), CHUNK):
                rows = slice(start, start + CHUNK)
                unit = self._unit(self.vectors[rows])
                view[rows, :width] = unit @ axes
                rest = np.einsum("ij,ij->i", unit, unit) - np.einsum("ij,ij->i", view[rows, :width], view[rows, :width])
                view[rows, width] = np.sqrt(np.maximum(rest, 0)) + np.float32(1e-3)
            self._views[width] = view
        return self._views[width]

    def _possible(self, view: FloatArray, rows: Int64Array, bound: float) -> Iterator[tuple[Int64Array, Int64Array]]:
        """Yield (index into rows, earlier row) of the pairs that the bound does not rule out; at least one part."""
        own, last = view[rows], int(rows[-1])
        cosine = np.empty((len(rows), COLUMNS), np.float32)  # written over and over, so that it stays in the cache
        for start in range(0, max(last, 1), COLUMNS):
            part = view[start : min(start + COLUMNS, last)]
            some = cosine[:, : len(part)]
            np.matmul(own, part.T, out=some)
            row, column = np.divmod(np.flatnonzero(some >= np.float32(bound)), max(len(part), 1))
            before = column + start < rows[row]
            yield row[before], column[before] + start

    def _exact(self, rows: Int64Array, pairs: tuple[Int64Array, Int64Array], floor: int) -> Pairs:
        """Return those of ``pairs`` whose exact cosine is ``floor`` or more."""
        row, earlier = rows[pairs[0]], pairs[1]
        cosine = np.empty(len(row), np.int64)
        for start in range(0, len(row), CHECKED):
            some = slice(start, start + CHECKED)
            left, right = self.vectors[row[some]], self.vectors[earlier[some]]
            dots = np.einsum("ij,ij->i", left, right, dtype=np.int32).astype(np.int64)
            cosine[some] = integer_cosines(dots, integer_roots(self.squares[row[some]], self.squares[earlier[some]]))
        kept = cosine >= floor
        return Pairs(row[kept], earlier[kept], cosine[kept])
