"""Exact nearest neighbours of int8 vectors: integers only, ties by place, so that everybody gets the same ranking.

For one query the order by cosine is the order by ``sign(dot) dot^2 / |r|^2`` (the query's norm is common). The key is
``sign(dot) floor(dot^2 2^14 / |r|^2)``: a dot product is below 2^24 (see ``core.vectors``), so the key fits 63 bits.

>>> nearest(np.array([[3, 4]], np.int8), np.array([[4, 3], [6, 8], [3, 4]], np.int8), 2).tolist()
[[1, 2]]
"""

from __future__ import annotations

from math import isqrt

import numpy as np

from rodagila.core.vectors import Int8Array, Int64Array, dot_products

KEY_SHIFT = 14
BLOCK = 256


def squared_norms(vectors: Int8Array) -> Int64Array:
    """Return the exact squared lengths (n,) of int8 rows."""
    wide = vectors.astype(np.int64)
    norms: Int64Array = np.einsum("nd,nd->n", wide, wide)
    return norms


def cosine_keys(dots: Int64Array, norms: Int64Array) -> Int64Array:
    """Return integers that order rows by cosine: ``dots`` (q, n) of queries with rows, ``norms`` (n,) of the rows."""
    keys: Int64Array = np.sign(dots) * (((dots * dots) << KEY_SHIFT) // np.maximum(norms, 1))
    return keys


def nearest(queries: Int8Array, vectors: Int8Array, k: int) -> Int64Array:
    """Return the places (q, min(k, n)) of the nearest rows of each query: best first, ties to the lower place."""
    k = min(k, len(vectors))
    found = np.zeros((len(queries), k), dtype=np.int64)
    if k == 0:
        return found
    norms = squared_norms(vectors)
    for start in range(0, len(queries), BLOCK):
        keys = cosine_keys(dot_products(queries[start : start + BLOCK], vectors), norms)
        for offset, row in enumerate(keys):
            found[start + offset] = _best(row, k)
    return found


def _best(keys: Int64Array, k: int) -> Int64Array:
    threshold = np.partition(keys, len(keys) - k)[len(keys) - k]
    candidates = np.flatnonzero(keys >= threshold)
    order = np.argsort(-keys[candidates], kind="stable")[:k]
    best: Int64Array = candidates[order]
    return best


def cosine_ppm(left: Int8Array, right: Int8Array) -> int:
    """Return the cosine of two int8 vectors in millionths, rounded down; 0 if one has no length."""
    a, b = left.astype(np.int64), right.astype(np.int64)
    size = int(a @ a) * int(b @ b)
    return int(a @ b) * 1_000_000 // isqrt(size) if size else 0
