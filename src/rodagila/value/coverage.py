"""Ordered coverage: how much each record, in the order of places, adds to what the queries find (MECHANISM 1, 3 - 4).

The gain of record i for query q is ``clip((cos(q, i) - tau) / (1 - tau), 0, 1)`` in units of 2^-30 if their targets
agree, else 0. ``F_q`` starts as the K largest of ``gain(r) + delta`` over the reference (zeros where it has fewer). In
order, each slot gets ``u_i = sum_q w_q max(0, gain_q(i) - min F_q)`` in units of 2^-30 / K and takes the place of
``min F_q``; so the sum of u telescopes to U(R and S) - U(R) exactly, with ``U = sum_q w_q sum F_q``.

>>> queries = Examples(np.array([[100, 0]], dtype=np.int8), np.array([7]))
>>> slots = Examples(np.array([[100, 0], [100, 0]], dtype=np.int8), np.array([7, 8]))
>>> rules, none = ValueRules(coverage_k=1), slots.take(slice(0, 0))
>>> ordered_coverage(slots, none, queries, np.array([2]), tau=0, rules=rules).u.tolist()
[2147483648, 0]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rodagila.core.policy import ValueRules
from rodagila.core.vectors import Int8Array, Int64Array
from rodagila.value.cosine import ONE, blocks, cosines, from_ppm, percentile
from rodagila.value.slots import BoolArray


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


@dataclass(frozen=True, slots=True)
class Coverage:
    """``u`` (n,): what each slot added. ``helped`` (n,): queries whose frontier it entered. Utilities in u's unit."""

    u: Int64Array
    helped: Int64Array
    utility_before: int
    utility_after: int


def matches(queries: Examples, others: Examples) -> BoolArray:
    """Return (queries, others): whether the targets agree."""
    agree = queries.targets[:, None] == others.targets[None, :]
    return np.asarray(agree & (queries.targets[:, None] >= 0), dtype=np.bool_)


def gain_threshold(queries: Examples, sources: list[Examples], percent: int) -> int:
    """Return tau, units of 2^-30: a percentile of the queries' best cosine with a text of the same target.

    Queries without such a text are left out; tau is 0 if none has one, and at most just below 1.
    """
    best = np.full(len(queries), -ONE, dtype=np.int64)
    for source in sources:
        for rows in blocks(len(queries), len(source)) if len(source) else ():
            part = queries.take(rows)
            cosine = np.where(matches(part, source), cosines(part.vectors, source.vectors), -ONE)
            best[rows] = np.maximum(best[rows], cosine.max(axis=1))
    best = best[best > -ONE]
    return min(ONE - 1, max(0, percentile(best, percent))) if len(best) else 0


def gains(queries: Examples, others: Examples, tau: int) -> Int64Array:
    """Return the gains (queries, others) in units of 2^-30."""
    above = np.maximum(cosines(queries.vectors, others.vectors) - tau, 0)
    return np.where(matches(queries, others), above * ONE // (ONE - tau), 0)


def ordered_coverage(
    slots: Examples, reference: Examples, queries: Examples, weights: Int64Array, *, tau: int, rules: ValueRules
) -> Coverage:
    """Return what each of ``slots``, which are in place order, adds for the weighted queries."""
    frontier = _reference_frontier(reference, queries, tau, rules)
    before = int((weights * frontier.sum(axis=1)).sum())
    place, query, gain = _candidates(slots, queries, tau, rules.top)
    edges = np.searchsorted(place, np.arange(len(slots) + 1))
    u, helped = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.int64)
    for slot in np.flatnonzero(np.diff(edges)):
        at = slice(edges[slot], edges[slot + 1])
        rows, offered = query[at], gain[at]
        column = frontier[rows].argmin(axis=1)
        added = offered - frontier[rows, column]
        better = added > 0
        frontier[rows[better], column[better]] = offered[better]
        u[slot] = (weights[rows[better]] * added[better]).sum()
        helped[slot] = better.sum()
    return Coverage(u, helped, before, int((weights * frontier.sum(axis=1)).sum()))


def _reference_frontier(reference: Examples, queries: Examples, tau: int, rules: ValueRules) -> Int64Array:
    """Return F (queries, K): the K largest of gain + delta over the reference."""
    frontier = np.zeros((len(queries), rules.coverage_k), np.int64)
    size = min(rules.coverage_k, len(reference))
    for rows in blocks(len(queries), len(reference)) if size else ():
        offered = gains(queries.take(rows), reference, tau) + from_ppm(rules.delta_ppm)
        frontier[rows, :size] = np.partition(offered, len(reference) - size, axis=1)[:, -size:]
    return frontier


def _candidates(slots: Examples, queries: Examples, tau: int, top: int) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return (slot, query, gain) of each query's ``top`` largest positive gains, ties by place, sorted by slot."""
    parts: list[tuple[Int64Array, Int64Array, Int64Array]] = []
    for rows in blocks(len(queries), len(slots)) if len(slots) else ():
        gain = gains(queries.take(rows), slots, tau)
        first = np.argsort(-gain, axis=1, kind="stable")[:, :top] if len(slots) > top else None
        if first is not None:
            kept = np.zeros_like(gain)
            np.put_along_axis(kept, first, np.take_along_axis(gain, first, axis=1), axis=1)
            gain = kept
        query, slot = np.nonzero(gain)
        parts.append((slot, query + rows.start, gain[query, slot]))
    if not parts:
        return (np.zeros(0, np.int64),) * 3
    slot, query, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((query, slot))
    return slot[order], query[order], value[order]
