"""MinHash with banding over sets of 32-bit numbers: which sets may be alike, for one set or for a million.

A sketch holds for each of 128 permutations ``h -> a fmix32(h) + b mod 2^32`` (a odd; fmix32 is MurmurHash3's finalizer)
the least image of the set. Two sets of Jaccard similarity J agree in one place with probability J, and in all four
places of at least one of the 32 bands with ``1 - (1 - J^4)^32``: one pair at J = 0.8 is missed once in ten million.
Sources: Broder 1997 (resemblance); Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4 (banding). Permutations
are those of datasketch 2 (``affine32``, seed 1), written down here because other versions of it propose other pairs.

``BandIndex`` keeps one sorted array of band keys a level, each at least twice as long as the next: adding n sets costs
``n log n``, one set is looked up in ``log n`` binary searches, and a million sets take 384 MB.

>>> index, sets = BandIndex(), Sets.of([{1, 2, 3}, {4, 5, 6}])
>>> index.add(band_keys(sets), np.array([7, 8]))
>>> index.candidates(band_keys(Sets.of([{4, 5, 6}])))[1].tolist()
[8]
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rodagila.core.money import PPM
from rodagila.core.vectors import Int64Array

Int32Array = npt.NDArray[np.int32]
UInt32Array = npt.NDArray[np.uint32]
UInt64Array = npt.NDArray[np.uint64]
Pairs = tuple[Int64Array, Int64Array]
Level = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]

PERMUTATIONS = 128
BANDS, WIDTH = 32, 4  # candidates from J of about 0.42 up
MEMBERS = 1 << 18
"""How many members of sets are permuted or compared at once: 128 MiB of images."""
_DRAW = np.random.RandomState(1)
_A = _DRAW.randint(0, 1 << 31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
_B = _DRAW.randint(0, 1 << 32, PERMUTATIONS, dtype=np.uint32)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of SplitMix64
_BAND = np.arange(1, BANDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Sets:
    """Sets of 32-bit numbers, none empty: set i is ``members[edges[i] : edges[i + 1]]``."""

    members: UInt32Array
    edges: Int64Array

    @classmethod
    def of(cls, sets: Iterable[Collection[int]]) -> Sets:
        """Return ``sets`` in this form."""
        members: list[int] = []
        edges = [0]
        for each in sets:
            members.extend(each)
            edges.append(len(members))
        return cls(np.array(members, np.uint32), np.array(edges, np.int64))

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def sizes(self) -> Int64Array:
        """How many members each set has."""
        return np.diff(self.edges)

    def take(self, rows: Int64Array) -> Sets:
        """Return the sets at ``rows``."""
        sizes = self.sizes[rows]
        edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        places = np.arange(edges[-1]) + np.repeat(self.edges[rows] - edges[:-1], sizes)
        return Sets(self.members[places], edges)


def sketches(sets: Sets) -> UInt32Array:
    """Return the sketches (n, 128) of n sets."""
    found = np.empty((len(sets), PERMUTATIONS), np.uint32)
    for part in _parts(sets.edges):
        edges = sets.edges[part.start : part.stop + 1]
        mixed = _fmix32(sets.members[edges[0] : edges[-1]])
        images = mixed[:, None] * _A + _B
        found[part] = np.minimum.reduceat(images, edges[:-1] - edges[0], axis=0)
    return found


def band_keys(sets: Sets) -> UInt64Array:
    """Return a key (n, 32) for each band of n sets: equal for equal bands, and by chance once in 2^64."""
    words = sketches(sets).view(np.uint64) if len(sets) else np.empty((0, 2 * BANDS), np.uint64)
    return _mix64(_mix64(words[:, ::2] + _BAND) + words[:, 1::2])


def jaccard_ppm(left: Sets, right: Sets, pairs: Pairs) -> Int64Array:
    """Return for ``pairs`` (rows of ``left``, rows of ``right``) the Jaccard similarity in millionths, rounded down."""
    total = left.sizes[pairs[0]] + right.sizes[pairs[1]]
    found = np.empty(len(total), np.int64)
    for part in _parts(np.concatenate([np.zeros(1, np.int64), np.cumsum(total)])):
        common = _common(left.take(pairs[0][part]), right.take(pairs[1][part]))
        found[part] = common * PPM // (total[part] - common)
    return found


class Growing:
    """An array that grows at its end, by at least half each time."""

    def __init__(self, kind: Any, *shape: int) -> None:
        self._held, self._count = np.empty((0, *shape), kind), 0

    @property
    def all(self) -> npt.NDArray[Any]:
        """What was appended so far."""
        return self._held[: self._count]

    def extend(self, more: npt.NDArray[Any]) -> None:
        """Append ``more``."""
        count = self._count + len(more)
        if count > len(self._held):
            held = np.empty((max(256, count, 3 * len(self._held) // 2), *self._held.shape[1:]), self._held.dtype)
            held[: self._count] = self.all
            self._held = held
        self._held[self._count : count], self._count = more, count


class BandIndex:
    """Sets by their bands, each under a number that the caller chose."""

    def __init__(self) -> None:
        self._levels: list[Level] = []

    def add(self, keys: UInt64Array, numbers: Int64Array) -> None:
        """Remember sets by their band ``keys`` (n, 32) under ``numbers`` (n,), below 2^31."""
        if not len(keys):
            return
        level = _sorted(keys.ravel(), np.repeat(numbers.astype(np.int32), BANDS))
        while self._levels and len(self._levels[-1][0]) < 2 * len(level[0]):
            level = _merged(self._levels.pop(), level)
        self._levels.append(level)

    def count(self, keys: UInt64Array) -> int:
        """Return how many pairs bands propose for the sets with band ``keys`` (n, 32), counted once a band."""
        return sum(int(lengths.sum()) for *_, lengths in self._hits(keys))

    def candidates(self, keys: UInt64Array) -> Pairs:
        """Return the pairs (row of ``keys`` (n, 32), number) that share a band, each once, sorted."""
        rows, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for held, hits, first, lengths in self._hits(keys):
            rows.append(np.repeat(hits // BANDS, lengths))
            numbers.append(held[_runs(first, lengths)].astype(np.int64))
        return _distinct(np.concatenate(rows), np.concatenate(numbers))

    def _hits(self, keys: UInt64Array) -> Iterator[tuple[Int32Array, Int64Array, Int64Array, Int64Array]]:
        """Yield a level's numbers, which of ``keys`` are there, and from where and how far each one's run goes."""
        flat = keys.ravel()
        order = np.argsort(flat)  # searching in order stays in the cache
        wanted = flat[order]
        for held, numbers in self._levels:
            first = held.searchsorted(wanted)
            # Most keys are not there, so the end of a run is searched for only where there is one.
            found = (held.take(first, mode="clip") == wanted).nonzero()[0]
            if len(found):
                yield numbers, order[found], first[found], held.searchsorted(wanted[found], "right") - first[found]


def pairs_within(keys: UInt64Array, most: int) -> Pairs | None:
    """Return the pairs (later, earlier) of rows of ``keys`` (n, 32) that share a band, each once, sorted.

    None if bands propose more than ``most`` pairs, counted once a band.
    """
    flat = keys.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], flat[order][1:] != flat[order][:-1]]))
    sizes = np.diff(np.append(starts, len(order)))
    if int((sizes * (sizes - 1) // 2).sum()) > most:
        return None
    before = np.arange(len(order)) - np.repeat(starts, sizes)  # how many of a run stand before each of its places
    later = np.repeat(order, before) // BANDS
    earlier = order[_runs(np.repeat(starts, sizes), before)] // BANDS
    return _distinct(later, earlier)


def _parts(edges: Int64Array) -> Iterator[slice]:
    """Yield slices of sets that have at most ``MEMBERS`` members together, or are one set."""
    start = 0
    while start < len(edges) - 1:
        stop = int(np.searchsorted(edges, edges[start] + MEMBERS, "right")) - 1
        yield slice(start, max(stop, start + 1))
        start = max(stop, start + 1)


def _runs(first: Int64Array, lengths: Int64Array) -> Int64Array:
    """Return ``first[0], first[0] + 1, ...`` for ``lengths[0]`` numbers, then the same from ``first[1]``, and so on."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(first - ends + lengths, lengths)


def _distinct(rows: Int64Array, numbers: Int64Array) -> Pairs:
    both = np.sort(rows << 32 | numbers)
    both = both[np.concatenate([[True], both[1:] != both[:-1]])] if len(both) else both
    return both >> 32, both & 0xFFFFFFFF


def _common(left: Sets, right: Sets) -> Int64Array:
    """Return how many members each pair has in common: those that stand twice among all, sorted."""
    numbers = np.arange(len(left), dtype=np.uint64) << np.uint64(32)
    both = np.sort(np.concatenate([np.repeat(numbers, sets.sizes) | sets.members for sets in (left, right)]))
    twice = both[1:][both[1:] == both[:-1]] >> np.uint64(32)
    return np.bincount(twice.astype(np.int64), minlength=len(left))


def _sorted(keys: UInt64Array, numbers: Int32Array) -> Level:
    order = np.argsort(keys, kind="stable")
    return keys[order], numbers[order]


def _merged(older: Level, newer: Level) -> Level:
    """Return two sorted levels as one."""
    places = np.searchsorted(older[0], newer[0], "right") + np.arange(len(newer[0]))
    kept = np.ones(len(older[0]) + len(newer[0]), np.bool_)
    kept[places] = False
    keys, numbers = np.empty(len(kept), np.uint64), np.empty(len(kept), np.int32)
    keys[places], numbers[places] = newer
    keys[kept], numbers[kept] = older
    return keys, numbers


def _fmix32(values: UInt32Array) -> UInt32Array:
    mixed = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> np.uint32(16))


def _mix64(values: UInt64Array) -> UInt64Array:
    """Return SplitMix64's finalizer, a bijection."""
    mixed = (values ^ (values >> np.uint64(30))) * _MIX[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
    return mixed ^ (mixed >> np.uint64(31))
