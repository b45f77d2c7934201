"""Ordered coverage: how much each record, in its order, adds to what the queries find (MECHANISM 1, 3 - 4).

The gain of record i for query q is ``clip((cos(q, i) - tau) / (1 - tau), 0, 1)`` in units of 2^-30 if their targets
agree, else 0. ``F_q`` starts as the K largest of ``gain(r) + delta`` over the reference; where the reference has fewer
records of the query's target, the missing places start at the least of those it has, for what anybody can write down
ahead is worth no more a second time. Turn by turn, and within a turn the best first, so that nobody gains by being
the first of a turn, each slot that q hears adds ``max(0, gain_q(i) - min F_q)`` and takes the place of ``min F_q``.
All that is added sums to U(R and S) - U(R) exactly, with ``U = sum_q w_q sum F_q``.

A query in which more is added than in the median one (``query_percentile``) credits each part in proportion, so that
nobody lives on a few queries that she happens to know. ``u_i`` is what i is credited, weighted and summed over the
queries, in units of 2^-30 / K.

>>> queries = Examples(np.array([[100, 0]], dtype=np.int8), np.array([7]))
>>> slots = Examples(np.array([[100, 0], [100, 0]], dtype=np.int8), np.array([7, 8]))
>>> heard = Nearest(np.array([[0, 1]]), np.array([[ONE, ONE]]))
>>> rules, none = ValueRules(coverage_k=1), slots.take(slice(0, 0))
>>> ordered_coverage(heard, slots.targets, np.zeros(2), none, queries, np.array([2]), tau=0, rules=rules).u.tolist()
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
    """``u`` (n,): what each record is credited. ``helped`` (n,): queries whose frontier it entered.

    ``added``: all that was added before the cap, which is the rise of the utility. Utilities and ``added`` in u's unit.
    """

    u: Int64Array
    helped: Int64Array
    added: int
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
    turns: Int64Array,
    reference: Examples,
    queries: Examples,
    weights: Int64Array,
    *,
    tau: int,
    rules: ValueRules,
) -> Coverage:
    """Return what each record adds for the weighted queries; ``targets`` and ``turns`` (n,) are in place order."""
    frontier = _reference_frontier(reference, queries, tau, rules)
    before = int((weights * frontier.sum(axis=1)).sum())
    offered = np.where(agreeing(heard, targets, queries), gains(heard.cosine, tau), 0)
    every, entries = np.arange(len(queries)), []
    for rank in _order(heard, offered, turns).T:
        place, gain, column = heard.place[every, rank], offered[every, rank], frontier.argmin(axis=1)
        added = gain - frontier[every, column]
        better = np.flatnonzero(added > 0)
        frontier[better, column[better]] = gain[better]
        entries.append((better, place[better], added[better]))
    query, place, added = (np.concatenate(column) for column in zip(*entries, strict=True))
    u, helped = np.zeros(len(targets), np.int64), np.bincount(place, minlength=len(targets))
    np.add.at(u, place, weights[query] * _capped(query, added, rules.query_percentile))
    return Coverage(u, helped, int((weights[query] * added).sum()), before, int((weights * frontier.sum(axis=1)).sum()))


def _capped(query: Int64Array, added: Int64Array, percent: int) -> Int64Array:
    """Return ``added`` (m,) of each ``query`` (m,), in equal parts less where it sums to more than the cap."""
    totals = np.zeros(int(query.max(initial=-1)) + 1, np.int64)
    np.add.at(totals, query, added)
    if not len(totals):
        return added
    cap = percentile(totals[totals > 0], percent)
    exact = zip(added.tolist(), totals[query].tolist(), strict=True)  # products are beyond int64
    return np.array([part if total <= cap else part * cap // total for part, total in exact], np.int64)


def _order(heard: Nearest, offered: Int64Array, turns: Int64Array) -> Int64Array:
    """Return (queries, t): the order in which what a query hears is offered: by turn, best first, ties by place."""
    turn = turns[heard.place] if len(turns) else np.zeros_like(heard.place)
    return np.lexsort((heard.place, -offered, turn), axis=1)


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
