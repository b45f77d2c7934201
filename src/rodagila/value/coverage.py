"""Ordered coverage: how much each record, in the order of places, adds to what the queries find (MECHANISM 1, 3 - 4).

The gain of record i for query q is ``clip((cos(q, i) - tau) / (1 - tau), 0, 1)`` in units of 2^-30 if their targets
agree, else 0. ``F_q`` starts as the K largest of ``gain(r) + delta`` over the reference; where the reference has fewer
records of the query's target, the missing places start at the least of those it has, for what anybody can write down
ahead is worth no more a second time. In order, each slot that q hears gets ``max(0, gain_q(i) - min F_q)`` and takes
the place of ``min F_q``; ``u_i`` is the sum over queries, weighted, in units of 2^-30 / K. So the sum of u telescopes
to U(R and S) - U(R) exactly, with ``U = sum_q w_q sum F_q``.

>>> queries = Examples(np.array([[100, 0]], dtype=np.int8), np.array([7]))
>>> slots = Examples(np.array([[100, 0], [100, 0]], dtype=np.int8), np.array([7, 8]))
>>> heard = Nearest(np.array([[0, 1]]), np.array([[ONE, ONE]]))
>>> rules, none = ValueRules(coverage_k=1), slots.take(slice(0, 0))
>>> ordered_coverage(heard, slots.targets, none, queries, np.array([2]), tau=0, rules=rules).u.tolist()
[2147483648, 0]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rodagila.core.policy import ValueRules
from rodagila.core.vectors import Int64Array
from rodagila.value.cosine import ONE, blocks, cosines, from_ppm, percentile
from rodagila.value.examples import BoolArray, Examples, matches
from rodagila.value.nearby import Nearest

ABSENT = -4 * ONE  # below every cosine, whose root is rounded down


@dataclass(frozen=True, slots=True)
class Coverage:
    """``u`` (n,): what each record added. ``helped`` (n,): queries whose frontier it entered. Utilities in u's unit."""

    u: Int64Array
    helped: Int64Array
    utility_before: int
    utility_after: int


def agreeing(heard: Nearest, targets: Int64Array, queries: Examples) -> BoolArray:
    """Return (queries, t): whether what a query hears is there and has its target."""
    known = (heard.place >= 0) & (queries.targets >= 0)[:, None]
    if not len(targets):
        return np.zeros_like(known)
    return np.asarray(known & (targets[heard.place] == queries.targets[:, None]))


def gain_threshold(heard: Nearest, targets: Int64Array, reference: Examples, queries: Examples, percent: int) -> int:
    """Return tau, units of 2^-30: a percentile of the queries' best cosine with a text of the same target.

    Queries without such a text are left out; tau is 0 if none has one, and at most just below 1.
    """
    best = np.where(agreeing(heard, targets, queries), heard.cosine, ABSENT).max(axis=1, initial=ABSENT)
    for rows in blocks(len(queries), len(reference)) if len(reference) else ():
        part = queries.take(rows)
        cosine = np.where(matches(part, reference), cosines(part.vectors, reference.vectors), ABSENT)
        best[rows] = np.maximum(best[rows], cosine.max(axis=1))
    best = best[best > ABSENT]
    return min(ONE - 1, max(0, percentile(best, percent))) if len(best) else 0


def gains(cosine: Int64Array, tau: int) -> Int64Array:
    """Return the gains of ``cosine`` (any shape) with an agreeing target, in units of 2^-30."""
    return np.maximum(cosine - tau, 0) * ONE // (ONE - tau)


def ordered_coverage(
    heard: Nearest,
    targets: Int64Array,
    reference: Examples,
    queries: Examples,
    weights: Int64Array,
    *,
    tau: int,
    rules: ValueRules,
) -> Coverage:
    """Return what each of the records, whose ``targets`` (n,) are in place order, adds for the weighted queries."""
    frontier = _reference_frontier(reference, queries, tau, rules)
    before = int((weights * frontier.sum(axis=1)).sum())
    u, helped = np.zeros(len(targets), np.int64), np.zeros(len(targets), np.int64)
    offered = np.where(agreeing(heard, targets, queries), gains(heard.cosine, tau), 0)
    ranks = np.argsort(heard.place, axis=1, kind="stable")  # the order of commitment
    for rank in ranks.T:
        every = np.arange(len(queries))
        place, gain, column = heard.place[every, rank], offered[every, rank], frontier.argmin(axis=1)
        added = gain - frontier[every, column]
        better = np.flatnonzero(added > 0)
        frontier[better, column[better]] = gain[better]
        np.add.at(u, place[better], weights[better] * added[better])
        np.add.at(helped, place[better], 1)
    return Coverage(u, helped, before, int((weights * frontier.sum(axis=1)).sum()))


def _reference_frontier(reference: Examples, queries: Examples, tau: int, rules: ValueRules) -> Int64Array:
    """Return F (queries, K): the K largest of gain + delta over the reference, missing ones as the least there is."""
    frontier = np.zeros((len(queries), rules.coverage_k), np.int64)
    size = min(rules.coverage_k, len(reference))
    for rows in blocks(len(queries), len(reference)) if size else ():
        part = queries.take(rows)
        agree = matches(part, reference)
        offered = gains(cosines(part.vectors, reference.vectors), tau) + from_ppm(rules.delta_ppm)
        best = -np.partition(-np.where(agree, offered, -1), size - 1, axis=1)[:, :size]
        least = np.where(best >= 0, best, ONE).min(axis=1)
        least[~agree.any(axis=1)] = 0
        frontier[rows] = least[:, None]
        frontier[rows, :size] = np.maximum(best, least[:, None])
    return frontier
