"""Cosines and percentiles as integers, so that two machines never disagree about one of them.

The cosine of int8 vectors ``a`` and ``b`` in units of 2^-30 is

    cos(a, b) = min(2^30, floor(a.b * 2^30 / isqrt(|a|^2 * |b|^2))), and 0 if a vector is zero.

With at most 1,040 dimensions a norm's square is below 2^24, so the product of two is below 2^48, where the floor of a
float64 square root is the exact integer root; the numerator is below 2^54. Rounding the root down moves a cosine by
less than 2^-17 of itself. Source: MECHANISM 1, steps 2 and 3 (integers in units of 2^-30).

>>> cosines(np.array([[3, 4]], dtype=np.int8), np.array([[3, 4], [-4, 3]], dtype=np.int8)).tolist()
[[1073741824, 0]]
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from rodagila.core.money import PPM
from rodagila.core.vectors import Int8Array, Int64Array, dot_products

ONE = 1 << 30
"""The integer that stands for 1 in cosines, gains and novelties."""
CELLS = 1 << 21
"""How many matrix cells are held at once: 16 MiB an int64 matrix, a handful of them alive."""


def squared_norms(vectors: Int8Array) -> Int64Array:
    """Return the integer squared norms (n,) of int8 rows (n, d)."""
    wide = vectors.astype(np.int64)
    return np.asarray(np.einsum("ij,ij->i", wide, wide), dtype=np.int64)


def integer_roots(left: Int64Array, right: Int64Array) -> Int64Array:
    """Return the integer roots of the products of squared norms ; shapes broadcast."""
    return np.asarray(np.sqrt((left * right).astype(np.float64)).astype(np.int64))


def integer_cosines(dots: Int64Array, roots: Int64Array) -> Int64Array:
    """Return the cosines in units of 2^-30 of ``dots`` over ``roots``, which have one shape."""
    return np.minimum(np.where(roots > 0, dots * ONE // np.maximum(roots, 1), 0), ONE)


def cosines(left: Int8Array, right: Int8Array) -> Int64Array:
    """Return the cosines (n, m) of int8 rows (n, d) and (m, d) in units of 2^-30."""
    roots = integer_roots(squared_norms(left)[:, None], squared_norms(right)[None, :])
    return integer_cosines(dot_products(left, right), roots)


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices that cover ``rows`` each of at most ``CELLS`` cells by ``columns`` (one row at least)."""
    step = max(1, CELLS // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def percentile(values: Int64Array, percent: int) -> int:
    """Return the nearest-rank percentile of ``values`` (n > 0): the element of rank ceil(percent * n / 100)."""
    rank = max(1, -(-percent * len(values) // 100))
    return int(np.sort(values)[rank - 1])


def from_ppm(ppm: int) -> int:
    """Return ``ppm`` millionths in units of 2^-30, rounded down."""
    return ppm * ONE // PPM
