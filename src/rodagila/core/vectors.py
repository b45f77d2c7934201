"""Quantised vectors: the int8 form of embeddings, on which everything that is audited is computed.

``q = clip(round(x * 127 / 0.25), -127, 127)``. An int8 dot product of up to 1,040 dimensions stays below 2^24, so a
float32 matrix product gives it exactly in any order of summation: BLAS speed and bit-equal results (MECHANISM 1).

>>> quantise(np.array([[0.25, -0.3, 0.0]])).tolist()
[[127, -127, 0]]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rodagila.core.hashing import keccak
from rodagila.core.merkle import ordered_root

Int8Array = npt.NDArray[np.int8]
Int64Array = npt.NDArray[np.int64]
SCALE = 127 / 0.25
MAX_DIMENSIONS = 1040


def quantise(vectors: npt.NDArray[Any]) -> Int8Array:
    """Return the int8 form of float ``vectors`` (n, d) of unit length."""
    return np.clip(np.rint(np.asarray(vectors, dtype=np.float64) * SCALE), -127, 127).astype(np.int8)


def dot_products(left: Int8Array, right: Int8Array) -> Int64Array:
    """Return the exact integer products (n, m) of int8 rows (n, d) and (m, d), d <= 1,040."""
    if left.shape[1] > MAX_DIMENSIONS:
        raise ValueError(f"exact products hold up to {MAX_DIMENSIONS} dimensions, given {left.shape[1]}")
    return (left.astype(np.float32) @ right.astype(np.float32).T).astype(np.int64)


def vectors_root(vectors: Int8Array) -> bytes:
    """Return the root over the int8 rows in their order."""
    return ordered_root([keccak(row.tobytes()) for row in np.ascontiguousarray(vectors)])
