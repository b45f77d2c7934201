"""Slots: which records are the first to say what they say (MECHANISM 1, steps 2 and 5).

A record is a slot if no earlier slot, no reference record and no scoring query has a cosine of theta or more with it:
a near copy of a query, which was secret until the deadline, shows a leak and not a gain. A record slashed in an earlier
turn is no slot; it stands before later ones of its own target all the same, so that nobody is paid for saying again
what was slashed, while who corrects it is.

Novelty is ``clip((1 - m) / novelty_ppm, 0, 1)`` squared, with m the largest cosine to what stands before a record.
MECHANISM 1, step 5 has the first power, which pays twice as much for blends of two seen records (``python -m
arena.run``, row A).

A record's standing depends only on what is near it, so it is found when somebody asks for it: of a million records
only those that some query would hear, and what is near them.

theta is the smaller of the policy's cap and a percentile of nearest-neighbour cosines. MECHANISM takes the percentile
between records of different owners; that would let an account change it by splitting into two or by sending a copy, so
here it is taken over the DAO's own texts, reference and queries, which no contributor can move. With fewer than 100 of
them the cap alone holds: a percentile of few texts would bar honest records.

>>> records = Examples(np.array([[100, 0], [0, 100], [100, 1]], dtype=np.int8), np.array([1, 1, 1]))
>>> order = Order(records, np.zeros(3, dtype=bool), records.take([]), 950_000 * ONE // 1_000_000)
>>> heard, stopped = order.heard(np.array([[70, 70]], dtype=np.int8), 3)
>>> heard.place.tolist(), stopped.tolist()
([[0, 1, -1]], [2])
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rodagila.core.money import PPM
from rodagila.core.policy import ValueRules
from rodagila.core.vectors import Int8Array, Int64Array
from rodagila.value.cosine import ONE, blocks, cosines, from_ppm, percentile
from rodagila.value.examples import BoolArray, Examples, together
from rodagila.value.nearby import Nearby, Nearest, Pairs

MIN_TEXTS = 100
NOTHING = -1
UNKNOWN, SLOT, STOPPED, SLASHED = range(4)


def slot_threshold(reference: Int8Array, queries: Int8Array, rules: ValueRules) -> int:
    """Return theta in units of 2^-30 from the DAO's own texts."""
    cap = from_ppm(rules.theta_max_ppm)
    texts = np.vstack([reference, queries])
    if len(texts) < MIN_TEXTS:
        return cap
    best = np.empty(len(texts), dtype=np.int64)
    for rows in blocks(len(texts), len(texts)):
        cosine = cosines(texts[rows], texts)
        cosine[np.arange(rows.stop - rows.start), np.arange(rows.start, rows.stop)] = -ONE
        best[rows] = cosine.max(axis=1)
    return min(cap, max(0, percentile(best, rules.theta_percentile)))


class Before(NamedTuple):
    """What stands nearest before records: ``cosine`` (m,) in units of 2^-30, at least 0, and whose it is.

    ``neighbour`` (m,): the place of a record, ``-2 - r`` for row r of what stands in front, -1 for none.
    """

    cosine: Int64Array
    neighbour: Int64Array


class Order:
    """The records in place order behind what stands in ``front``, and what is known of each one's standing."""

    def __init__(self, records: Examples, slashed: BoolArray, front: Examples, theta: int) -> None:
        self._first, self._theta = len(front), theta
        everything = together(front, records)
        self._targets = everything.targets
        self._near = Nearby(everything.vectors)
        self._standing = np.concatenate([np.full(len(front), SLOT), np.where(slashed, SLASHED, UNKNOWN)])
        self._in_front = np.full(len(everything), NOTHING)
        self._how_near = np.zeros(len(everything), np.int64)

    def stopped_by(self, places: Int64Array) -> Before:
        """Return what stands nearest before stopped records."""
        rows = places + self._first
        return Before(self._how_near[rows], self._names(self._in_front[rows]))

    def heard(self, queries: Int8Array, count: int) -> tuple[Nearest, Int64Array]:
        """Return the ``count`` nearest slots of every query (q, d), which is all that it hears of the records.

        And the places, ascending, of stopped records that a query would hear in place of one of those.
        """
        found = Nearest(np.full((len(queries), count), -1), np.zeros((len(queries), count), np.int64))
        waiting, width = np.arange(len(queries)), count + count // 8 + 1
        allowed = self._standing != SLASHED
        allowed[: self._first] = False
        stopped = np.zeros(0, np.int64)
        while len(waiting) and allowed.any():
            rows, cosine = self._near.nearest(queries[waiting], allowed, width)
            self._resolve(np.unique(rows[rows >= 0]))
            slot = (rows >= 0) & (self._standing[rows] == SLOT)
            rank = np.cumsum(slot, axis=1) - 1
            query, column = np.nonzero(slot & (rank < count))
            found.place[waiting[query], rank[query, column]] = rows[query, column] - self._first
            found.cosine[waiting[query], rank[query, column]] = cosine[query, column]
            stopped = np.union1d(stopped, rows[~slot & (rows >= 0) & (rank < count - 1)] - self._first)
            waiting, width = waiting[(rank[:, -1] < count - 1) & (rows[:, -1] >= 0)], 2 * width
        return found, stopped

    def before(self, places: Int64Array, floor: int) -> Before:
        """Return what stands nearest before each of ``places`` (m,), ascending, at a cosine of ``floor`` or more."""
        rows = places + self._first
        cosine, front = np.zeros(len(rows), np.int64), np.full(len(rows), NOTHING)
        for pairs in self._near.earlier(rows, floor):
            at = np.lexsort((pairs.earlier, -pairs.cosine, pairs.row))
            best = self._first_standing(Pairs(*(column[at] for column in pairs)))
            where = np.searchsorted(rows, best.row)
            cosine[where], front[where] = best.cosine, best.earlier
        return Before(np.maximum(cosine, 0), self._names(front))

    def _names(self, rows: Int64Array) -> Int64Array:
        return np.where(rows < 0, NOTHING, np.where(rows < self._first, -2 - rows, rows - self._first))

    def _first_standing(self, pairs: Pairs) -> Pairs:
        """Return the first pair of every row whose earlier record stands before it, resolving few beyond it."""
        ahead = 1
        while True:
            _, first, count = np.unique(pairs.row, return_index=True, return_counts=True)
            rank = np.arange(len(pairs.row)) - np.repeat(first, count)
            self._resolve(np.unique(pairs.earlier[rank < ahead]))
            kept = (self._standing[pairs.earlier] == UNKNOWN) | self._stands(pairs)
            if kept[first].all():
                return Pairs(*(column[first] for column in pairs))
            pairs, ahead = Pairs(*(column[kept] for column in pairs)), 2 * ahead

    def _stands(self, pairs: Pairs) -> BoolArray:
        standing = self._standing[pairs.earlier]
        same = self._targets[pairs.earlier] == self._targets[pairs.row]
        return np.asarray((standing == SLOT) | ((standing == SLASHED) & same))

    def _resolve(self, rows: Int64Array) -> None:
        """Find the standing of ``rows`` and of everything it depends on."""
        waiting: dict[int, tuple[Int64Array, Int64Array]] = {}
        asked = rows[self._standing[rows] == UNKNOWN]
        while len(asked):
            for pairs in self._near.earlier(asked, self._theta):
                names, edges = np.unique(pairs.row, return_index=True)
                parts = [np.split(column, edges[1:])[: len(names)] for column in (pairs.earlier, pairs.cosine)]
                waiting.update(zip(names.tolist(), zip(*parts, strict=True), strict=True))
            alone = asked[~np.isin(asked, list(waiting))]
            self._standing[alone] = SLOT
            found = [waiting[row][0] for row in asked.tolist() if row in waiting]
            asked = np.unique(np.concatenate(found)) if found else asked[:0]
            asked = asked[(self._standing[asked] == UNKNOWN) & ~np.isin(asked, list(waiting))]
        for row in sorted(waiting):
            self._decide(row, *waiting[row])

    def _decide(self, row: int, earlier: Int64Array, cosine: Int64Array) -> None:
        """Decide a record by those within theta before it, whose standing is known."""
        stands = self._stands(Pairs(np.full(len(earlier), row), earlier, cosine))
        self._standing[row] = STOPPED if stands.any() else SLOT
        if stands.any():
            nearest = np.argmax(np.where(stands, cosine, -1))
            self._in_front[row], self._how_near[row] = earlier[nearest], cosine[nearest]


def novelty(nearest: Int64Array, rules: ValueRules) -> Int64Array:
    """Return the novelty (m,) in units of 2^-30."""
    distance = np.clip((ONE - nearest) * PPM // max(1, rules.novelty_ppm), 0, ONE)
    return distance * distance // ONE


def novelty_floor(rules: ValueRules) -> int:
    """Return the cosine, in units of 2^-30, at and below which a record is as new as can be."""
    return max(0, ONE - from_ppm(rules.novelty_ppm) - 1)
