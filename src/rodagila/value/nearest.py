"""Exact Shapley values of nearest-neighbour games, in closed form: no coalition is ever tried.

All games are averaged over queries. ``agree[q, i]`` says that record i has the target of query q.

- ``knn_shapley``: U(S) = share of the k nearest in S that agree, over k (Jia et al., arXiv 1908.08619). With ranks by
  distance, ``s_n = m_n min(k, n) / (k n)`` and ``s_j = s_(j+1) + (m_j - m_(j+1)) min(k, j) / (k j)``.
- ``threshold_knn_shapley``: U(S) = share that agrees among the members within the radius, 1/C if there is none (Wang
  et al., arXiv 2308.15709). With c records inside, of which c+ agree, a record inside has
  ``(1/c) [(m - 1/C) + (m - (c+ - m)/(c - 1)) (H_c - 1)]``, others 0; H_c is the harmonic number.
- ``owner_nearest_shapley``: the players are owners and U(S) = share of queries whose nearest record among the owners
  in S agrees. An owner matters to a query by her nearest record alone, so this is ``knn_shapley`` with k = 1 over
  those. For no owner U is 0.

>>> distances, agree = np.array([[0.1, 0.2, 0.3]]), np.array([[True, False, True]])
>>> [round(v, 6) for v in knn_shapley(distances, agree, k=1).values.tolist()]
[0.833333, -0.166667, 0.333333]
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rodagila.core.errors import InvalidInput
from rodagila.value.cosine import cores
from rodagila.value.games import BoolArray, FloatArray, Valuation, exact

CELLS = 1 << 22
"""How many cells of a (queries, records) matrix are worked on at once: 32 MiB a float64 matrix."""
SHARE = 8
"""Queries whose values are summed by one thread; fixed, so that sums do not depend on how many threads there are."""
_LOWER = np.int64(2**63 - 1)

Matrices = Callable[[slice], tuple[npt.NDArray[Any], BoolArray]]


def knn_shapley(distances: npt.NDArray[Any], agree: BoolArray, k: int) -> Valuation:
    """Return the KNN-Shapley values (n,) of ``distances`` and ``agree`` (queries, n); ties in distance go by place."""
    queries, count = _shape(distances, agree)
    return _knn_shapley(lambda rows: (distances[rows], agree[rows]), queries, count, k)


def knn_shapley_of(
    records: npt.NDArray[Any], targets: npt.NDArray[Any], queries: npt.NDArray[Any], wanted: npt.NDArray[Any], k: int
) -> Valuation:
    """Return the KNN-Shapley values (n,) of ``records`` (n, d), by Euclidean distance to ``queries`` (m, d).

    A record agrees where its target (n,) is the ``wanted`` one (m,). Works in float64 and in memory of a few million
    cells, whatever m is; integer vectors are compared exactly.
    """
    if (len(records), len(queries)) != (len(targets), len(wanted)) or records.shape[1:] != queries.shape[1:]:
        raise InvalidInput("value_inputs", "Vectors and targets of records and queries must fit together.")
    vectors = np.asarray(records, np.float64)
    squares = np.einsum("ij,ij->i", vectors, vectors)

    def matrices(rows: slice) -> tuple[npt.NDArray[Any], BoolArray]:
        products = np.asarray(queries[rows], np.float64) @ vectors.T
        products *= -2.0
        products += squares  # |r - q|^2 less |q|^2, which is the same for all records
        return products, np.asarray(wanted[rows][:, None] == targets[None, :], np.bool_)

    return _knn_shapley(matrices, len(queries), len(records), k)


def _knn_shapley(matrices: Matrices, queries: int, count: int, k: int) -> Valuation:
    """Return the values of the game whose distances and agreements ``matrices`` gives for some of the queries."""
    if k < 1:
        raise InvalidInput("value_inputs", f"Values of the {k} nearest were asked for; at least 1 is required.")
    total = np.zeros(count)
    with ThreadPoolExecutor(cores()) as threads:
        for rows in _parts(queries, count):
            distances, agree = matrices(rows)
            if distances.size and np.isnan(distances.min()):
                raise InvalidInput("value_inputs", "A distance is not a number.")
            shares = [slice(start, start + SHARE) for start in range(0, len(distances), SHARE)]
            # numpy lets go of the interpreter while it sorts and adds, so that threads share the work.
            work = partial(_sum_of_values, distances, agree, k)
            for values in threads.map(work, shares) if count * len(shares) > 1 << 16 else map(work, shares):
                total += values
    return exact(total / max(queries, 1))


def _sum_of_values(distances: npt.NDArray[Any], agree: BoolArray, k: int, rows: slice) -> FloatArray:
    """Return the sum (n,) of the values of some queries."""
    total, weights = np.zeros(distances.shape[1]), _weights(distances.shape[1], k)
    for row, hits in zip(distances[rows], agree[rows], strict=True):
        _add_values(total, _order(row), hits, weights)
    return total


def _weights(count: int, k: int) -> tuple[FloatArray, FloatArray]:
    """Return ``c_j = 1 / max(k, j)`` and ``c_(j-1) - c_j``, 0 for the first, of the ranks 1 .. ``count``."""
    step = 1.0 / np.maximum(k, np.arange(1, count + 1))
    return step, -np.diff(step, prepend=step[:1])


def _add_values(
    total: FloatArray, order: npt.NDArray[np.int64], hits: BoolArray, weights: tuple[FloatArray, FloatArray]
) -> None:
    """Add one query's values to ``total`` (n,): ``s_j = m_j c_j - sum over r > j of m_r (c_(r-1) - c_r)``."""
    step, fall = weights
    found = hits.take(order)
    later = np.cumsum(found * fall)
    values = found * step
    values += later
    values -= later[-1:]
    total[order] += values


def _order(distances: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the stable order of ``distances`` (n,): what ``argsort`` of kind stable gives, in a tenth of its time.

    The upper bits of the distance and the place share an integer of 64 bits, which sorts fast; distances that differ
    in their lower bits alone are put right afterwards.
    """
    count = len(distances)
    places = (1 << max(count - 1, 0).bit_length()) - 1
    whole = np.add(distances, 0.0, dtype=np.float64)  # -0.0 becomes 0.0
    keys = whole.view(np.int64).copy()
    keys ^= (keys >> 63) & _LOWER  # the integer order of the bits is now that of the numbers
    keys &= ~places
    keys |= np.arange(count)
    keys.sort()
    order: npt.NDArray[np.int64] = keys & places
    close = np.flatnonzero((keys[1:] ^ keys[:-1]) <= places)
    if len(close) and (whole[order[close]] > whole[order[close + 1]]).any():
        _put_right(order, whole, close)
    return order


def _put_right(order: npt.NDArray[np.int64], whole: FloatArray, close: npt.NDArray[np.int64]) -> None:
    """Sort each run of ``order`` by distance and place; ``close`` has where a member and the next are of one run."""
    inside = np.union1d(close, close + 1)
    run = np.cumsum(~np.isin(inside - 1, close))
    members = order[inside]
    order[inside] = members[np.lexsort((members, whole[members], run))]


def threshold_knn_shapley(distances: npt.NDArray[Any], agree: BoolArray, radius: float, classes: int) -> Valuation:
    """Return the values (n,) of the game over the records within ``radius``; ``classes`` >= 1 is C."""
    queries, count = _shape(distances, agree)
    if classes < 1:
        raise InvalidInput("value_inputs", f"{classes} classes were given; at least 1 is required.")
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, count + 1))])
    total = np.zeros(count)
    for rows in _parts(queries, count):
        inside = distances[rows] <= radius
        hits = (agree[rows] & inside).astype(np.float64)
        members = inside.sum(axis=1, keepdims=True)
        others = (hits.sum(axis=1, keepdims=True) - hits) / np.maximum(members - 1, 1)
        later = (hits - others) * (harmonic[members] - 1.0)
        value = ((hits - 1.0 / classes) + np.where(members > 1, later, 0.0)) / np.maximum(members, 1)
        total += np.where(inside, value, 0.0).sum(axis=0)
    return exact(total / max(queries, 1))


def owner_nearest_shapley(distances: npt.NDArray[Any], agree: BoolArray, owners: npt.NDArray[np.int64]) -> Valuation:
    """Return the values (owners,) of the 1-NN game between owners; ``owners`` (n,) holds codes from 0 on, each used."""
    queries, count = _shape(distances, agree)
    if len(owners) != count or (count and set(owners.tolist()) != set(range(int(owners.max()) + 1))):
        raise InvalidInput("value_inputs", "Every record needs an owner's code, and codes run from 0 without a gap.")
    grouped = np.argsort(owners, kind="stable")
    edges = np.flatnonzero(np.diff(owners[grouped], prepend=-1)).tolist()
    parts = [grouped[a:b] for a, b in pairwise([*edges, count])]
    nearest = np.stack([part[distances[:, part].argmin(axis=1)] for part in parts], axis=1)
    # Between owners, too, a tie goes to the record of the lower place.
    order = np.lexsort((nearest, np.take_along_axis(distances, nearest, axis=1)), axis=1)
    total, weights = np.zeros(len(parts)), _weights(len(parts), 1)
    for ranks, hits in zip(order, np.take_along_axis(agree, nearest, axis=1), strict=True):
        _add_values(total, ranks, hits, weights)
    return exact(total / max(queries, 1))


def _shape(distances: npt.NDArray[Any], agree: BoolArray) -> tuple[int, int]:
    if distances.shape != agree.shape or distances.ndim != 2:
        raise InvalidInput(
            "value_inputs",
            f"Distances {distances.shape} and agreements {agree.shape} must both be (queries, records).",
        )
    return distances.shape[0], distances.shape[1]


def _parts(rows: int, columns: int) -> list[slice]:
    step = max(1, CELLS // max(1, columns))
    return [slice(start, min(rows, start + step)) for start in range(0, rows, step)]
