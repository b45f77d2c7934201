"""Vectors with their targets: what records, reference and queries are to the rule.

>>> len(Examples(np.zeros((2, 3), dtype=np.int8), np.array([1, -1])))
2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rodagila.core.vectors import Int8Array, Int64Array

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Examples:
    """Int8 vectors (n, d) with the code of each one's target (n,); a negative code agrees with nothing."""

    vectors: Int8Array
    targets: Int64Array

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: Any) -> Examples:
        """Return the examples at ``rows`` (an index array, a mask or a slice)."""
        return Examples(self.vectors[rows], self.targets[rows])


def together(*parts: Examples) -> Examples:
    """Return the examples of all ``parts`` in order."""
    return Examples(np.vstack([part.vectors for part in parts]), np.concatenate([part.targets for part in parts]))


def encode_targets(*groups: Sequence[str]) -> tuple[tuple[str, ...], list[Int64Array]]:
    """Return the sorted table of distinct targets and each group's codes; an empty target is coded -1."""
    table = tuple(sorted({target for group in groups for target in group if target}))
    codes = {target: code for code, target in enumerate(table)}
    return table, [np.array([codes.get(target, -1) for target in group], dtype=np.int64) for group in groups]


def matches(queries: Examples, others: Examples) -> BoolArray:
    """Return (queries, others): whether the targets agree."""
    agree = queries.targets[:, None] == others.targets[None, :]
    return np.asarray(agree & (queries.targets[:, None] >= 0), dtype=np.bool_)
