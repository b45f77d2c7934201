"""The signed check: the KNN-Shapley value of each slot on the queries, in exact integers (MECHANISM 1, step 6).

For one query, order the n slots by cosine, ties by place, and let m_j be 1 where the target at rank j agrees. The
Shapley value of "how many of the k nearest agree, over k" is the recursion of Jia et al. (arXiv 1908.08619):

    s_n = m_n c_n,   s_j = s_(j+1) + (m_j - m_(j+1)) c_j,   c_j = 1 / max(k, j)

The integer form takes ``c_j = floor(2^40 / max(k, j))`` and is exact from there on: no float, no order of summation.
A value is off the rational one by less than n 2^-40. A query's share is at most 2^40 / k, so sums stay below 2^63 as
long as the weights sum to less than 2^20.

In task ``retrieve`` most targets are asked for by at most one query, and ranks alone make every record that no
query asks for slightly negative. Such a record was not tested, so its negative value counts as 0 there.

>>> queries = Examples(np.array([[100, 0]], dtype=np.int8), np.array([7]))
>>> slots = Examples(np.array([[100, 0], [0, 100]], dtype=np.int8), np.array([7, 8]))
>>> (signed_check(slots, queries, np.array([1]), k=1) * 2 >> 40).tolist()
[2, 0]
"""

from __future__ import annotations

import numpy as np

from rodagila.core.vectors import Int64Array
from rodagila.value.cosine import blocks, cosines
from rodagila.value.coverage import Examples, matches

UNIT = 1 << 40
"""The integer that stands for 1 in signed values."""


def rank_weights(count: int, k: int) -> Int64Array:
    """Return c_1 .. c_count."""
    return UNIT // np.maximum(np.arange(1, count + 1, dtype=np.int64), k)


def signed_check(slots: Examples, queries: Examples, weights: Int64Array, k: int) -> Int64Array:
    """Return s (n,) of ``slots``, which are in place order, in units of 2^-40, summed over the weighted queries."""
    total = np.zeros(len(slots), np.int64)
    if not len(slots):
        return total
    step = rank_weights(len(slots), k)
    fall = np.concatenate([step[:-1] - step[1:], [0]])  # c_j - c_(j+1)
    for rows in blocks(len(queries), len(slots)):
        part = queries.take(rows)
        order = np.argsort(-cosines(part.vectors, slots.vectors), axis=1, kind="stable")
        agree = np.take_along_axis(matches(part, slots), order, axis=1).astype(np.int64)
        worse = np.zeros_like(agree)  # what later agreeing ranks take away: sum over j > r of m_j (c_(j-1) - c_j)
        worse[:, :-1] = np.cumsum((agree[:, 1:] * fall[:-1])[:, ::-1], axis=1)[:, ::-1]
        value = (agree * step - worse) * weights[rows, None]
        placed = np.empty_like(value)
        np.put_along_axis(placed, order, value, axis=1)
        total += placed.sum(axis=0)
    return total


def spare_untested(signed: Int64Array, slots: Examples, queries: Examples) -> Int64Array:
    """Return ``signed`` with 0 in place of a negative value whose target no query asks for."""
    tested = np.isin(slots.targets, queries.targets[queries.targets >= 0])
    return np.where(tested, signed, np.maximum(signed, 0))
