"""The signed check: the KNN-Shapley value of each slot on the queries, in exact integers (MECHANISM 1, step 6).

The players are the slots that a query hears, at most ``top`` of them, by cosine, ties by place; m_j is 1 where the
target at rank j agrees. The Shapley value of "how many of the k nearest agree, over k" is the recursion of Jia et al.
(arXiv 1908.08619):

    s_n = m_n c_n,   s_j = s_(j+1) + (m_j - m_(j+1)) c_j,   c_j = 1 / max(k, j)

The integer form takes ``c_j = floor(2^40 / max(k, j))`` and is exact from there on: no float, no order of summation.
A value is off the rational one by less than n 2^-40. A query's share is at most 2^40 / k, so sums stay below 2^63 as
long as the weights sum to less than 2^20.

In task ``retrieve`` most targets are asked for by at most one query, and ranks alone make every record that no
query asks for slightly negative. Such a record was not tested, so its negative value counts as 0 there.

>>> agree, heard = np.array([[True, False]]), np.array([[0, 1]])
>>> (signed_check(heard, agree, np.array([1]), records=2, k=1) * 2 >> 40).tolist()
[2, 0]
"""

from __future__ import annotations

import numpy as np

from rodagila.core.vectors import Int64Array
from rodagila.value.examples import BoolArray, Examples

UNIT = 1 << 40
"""The integer that stands for 1 in signed values."""


def rank_weights(count: int, k: int) -> Int64Array:
    """Return c_1 .. c_count."""
    return UNIT // np.maximum(np.arange(1, count + 1, dtype=np.int64), k)


def signed_check(heard: Int64Array, agree: BoolArray, weights: Int64Array, *, records: int, k: int) -> Int64Array:
    """Return s (records,) in units of 2^-40, summed over the weighted queries.

    ``heard`` (queries, t): places by rank, -1 where there are no more; ``agree`` (queries, t): whether targets agree.
    """
    total = np.zeros(records, np.int64)
    if not heard.size:
        return total
    step = rank_weights(heard.shape[1], k)
    hits = agree.astype(np.int64)
    worse = np.zeros_like(hits)  # what later agreeing ranks take away: sum over j > r of m_j (c_(j-1) - c_j)
    worse[:, :-1] = np.cumsum((hits[:, 1:] * (step[:-1] - step[1:]))[:, ::-1], axis=1)[:, ::-1]
    value = (hits * step - worse) * weights[:, None]
    np.add.at(total, heard[heard >= 0], value[heard >= 0])
    return total


def spare_untested(signed: Int64Array, targets: Int64Array, queries: Examples) -> Int64Array:
    """Return ``signed`` (n,) with 0 in place of a negative value whose target no query asks for."""
    tested = np.isin(targets, queries.targets[queries.targets >= 0])
    return np.where(tested, signed, np.maximum(signed, 0))
