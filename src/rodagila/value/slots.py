"""Slots: which records are the first to say what they say (MECHANISM 1, steps 2 and 5).

A record is a slot if no earlier slot and no reference record has a cosine of theta or more with it, and it is not
barred (a textual duplicate, or slashed in an earlier turn). ``nearest`` is its largest cosine to an earlier slot or
reference record; novelty is ``clip((1 - nearest) / novelty_ppm, 0, 1)``.

theta is the smaller of the policy's cap and a percentile of nearest-neighbour cosines. MECHANISM takes the percentile
between records of different owners; that would let an account change it by splitting into two or by sending a copy, so
here it is taken over the DAO's own texts, reference and queries, which no contributor can move. With fewer than 100 of
them the cap alone holds: a percentile of few texts would bar honest records.

>>> vectors = np.array([[100, 0], [0, 100], [100, 1]], dtype=np.int8)
>>> find_slots(vectors, np.zeros(3, dtype=bool), vectors[:0], 950_000 * ONE // 1_000_000).slot.tolist()
[True, True, False]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rodagila.core.money import PPM
from rodagila.core.policy import ValueRules
from rodagila.core.vectors import Int8Array, Int64Array
from rodagila.value.cosine import ONE, blocks, cosines, from_ppm, percentile

BoolArray = npt.NDArray[np.bool_]
MIN_TEXTS = 100
BLOCK = 256
NOTHING = -1


@dataclass(frozen=True, slots=True)
class Slots:
    """Which records are slots, and what stands nearest before each.

    ``nearest`` (n,): largest cosine to an earlier slot or reference record, 2^-30, at least 0. ``neighbour`` (n,): the
    place of that slot, ``-2 - r`` for reference record r, -1 for none.
    """

    slot: BoolArray
    nearest: Int64Array
    neighbour: Int64Array


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


def find_slots(vectors: Int8Array, barred: BoolArray, reference: Int8Array, theta: int) -> Slots:
    """Return the slots among records ``vectors`` (n, d) in place order."""
    count = len(vectors)
    found = Slots(np.zeros(count, np.bool_), np.zeros(count, np.int64), np.full(count, NOTHING, np.int64))
    for start in range(0, count, BLOCK):
        stop = min(count, start + BLOCK)
        _meet_earlier(found, vectors, reference, start, stop)
        _meet_block(found, vectors[start:stop], barred, theta, start)
    return found


def novelty(nearest: Int64Array, rules: ValueRules) -> Int64Array:
    """Return the novelty (n,) in units of 2^-30."""
    return np.clip((ONE - nearest) * PPM // max(1, rules.novelty_ppm), 0, ONE)


def _meet_earlier(found: Slots, vectors: Int8Array, reference: Int8Array, start: int, stop: int) -> None:
    """Raise ``nearest`` of a block by the reference and the slots of earlier blocks."""
    earlier = np.flatnonzero(found.slot[:start])
    _raise_nearest(found, cosines(vectors[start:stop], reference), -2 - np.arange(len(reference)), start)
    for part in blocks(len(earlier), stop - start):
        chosen = earlier[part]
        _raise_nearest(found, cosines(vectors[start:stop], vectors[chosen]), chosen, start)


def _raise_nearest(found: Slots, cosine: Int64Array, names: Int64Array, start: int) -> None:
    if not len(names):
        return
    column = cosine.argmax(axis=1)
    best = cosine[np.arange(len(cosine)), column]
    rows = np.flatnonzero(best > found.nearest[start : start + len(best)])
    found.nearest[start + rows] = best[rows]
    found.neighbour[start + rows] = names[column[rows]]


def _meet_block(found: Slots, block: Int8Array, barred: BoolArray, theta: int, start: int) -> None:
    """Decide the block's slots one after another: each new slot stands before the rest of its block."""
    cosine = cosines(block, block)
    for row in range(len(block)):
        place = start + row
        if barred[place] or found.nearest[place] >= theta:
            continue
        found.slot[place] = True
        later = start + row + 1 + np.flatnonzero(cosine[row, row + 1 :] > found.nearest[place + 1 : start + len(block)])
        found.nearest[later] = cosine[row, later - start]
        found.neighbour[later] = place
