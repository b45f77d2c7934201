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

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from rodagila.core.errors import InvalidInput
from rodagila.value.games import BoolArray, FloatArray, Valuation, exact

CELLS = 1 << 22
"""How many cells of a (queries, records) matrix are worked on at once: 32 MiB a float64 matrix."""


def knn_shapley(distances: npt.NDArray[Any], agree: BoolArray, k: int) -> Valuation:
    """Return the KNN-Shapley values (n,) of ``distances`` and ``agree`` (queries, n); ties in distance go by place."""
    queries, count = _shape(distances, agree)
    total = np.zeros(count)
    for rows in _parts(queries, count):
        order = np.argsort(distances[rows], axis=1, kind="stable")
        total += _by_rank(order, agree[rows], k).sum(axis=0)
    return exact(total / max(queries, 1))


def _by_rank(order: npt.NDArray[np.int64], agree: BoolArray, k: int) -> FloatArray:
    """Return the values (queries, n) of the k-nearest game whose ranks are ``order``."""
    ranks = np.arange(1, order.shape[1] + 1)
    step = np.minimum(k, ranks) / (k * ranks)
    hits = np.take_along_axis(agree, order, axis=1).astype(np.float64)
    falls = hits * step
    falls[:, :-1] -= hits[:, 1:] * step[:-1]
    placed: FloatArray = np.empty_like(falls)
    np.put_along_axis(placed, order, np.cumsum(falls[:, ::-1], axis=1)[:, ::-1], axis=1)
    return placed


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
    values = _by_rank(order, np.take_along_axis(agree, nearest, axis=1), k=1)
    return exact(values.sum(axis=0) / max(queries, 1))


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
