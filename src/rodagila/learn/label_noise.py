"""Label noise: which labels are probably wrong, and how many there are, by cross-validated confident learning.

Each record is judged by what did not see its label: the ridge head trained on the other folds, its scores softened by
the one temperature that fits the held-out labels best, averaged with the vote of its ten nearest other records. Then,
with p(i, c) the probability of label c for record i (Northcutt, Jiang, Chuang, JAIR 70, 2021):

    t_c     = mean of p(i, c) over records labelled c
    C(a, b) = records labelled a whose likeliest label among those with p(i, c) >= t_c is b      the confident joint
    share   = sum off the diagonal of C, each row scaled to the records labelled a, over all records

A label is a *suspect* if another is likelier and its own probability is below ``SUSPECT``. On CLINC150 with planted
flips that finds more of them with fewer false alarms than the joint's own off-diagonal records: see
``benches/bench_data.py``. A label with fewer records than ``LEAST`` is not judged: nothing could vouch for it.

>>> find_label_noise(np.zeros((0, 384), np.int8), []).suspects
()
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM
from rodagila.core.vectors import Int8Array, Int64Array
from rodagila.learn.head import Float64Array, predict, solve, statistics, subtract

FOLDS = 5
LEAST = 5
NEIGHBOURS = 10
SUSPECT = 0.05
TEMPERATURES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_BLOCK = 1_000
_FLOOR = 1e-3


@dataclass(frozen=True, slots=True)
class Suspect:
    """A record whose label is probably wrong: its place, the label it has, the likelier one, and its probability."""

    place: int
    label: str
    likelier: str
    probability_ppm: int


@dataclass(frozen=True, slots=True)
class LabelNoise:
    """The suspects, the most suspect first; the estimated share of wrong labels; how many records were judged.

    ``confused`` counts suspects by (label, likelier label), the most frequent first.
    """

    suspects: tuple[Suspect, ...]
    share_ppm: int
    judged: int

    @property
    def confused(self) -> tuple[tuple[str, str, int], ...]:
        """(label, likelier label, how many suspects), the most frequent first."""
        pairs: dict[tuple[str, str], int] = {}
        for one in self.suspects:
            pairs[one.label, one.likelier] = pairs.get((one.label, one.likelier), 0) + 1
        return tuple((a, b, count) for (a, b), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0])))


def find_label_noise(vectors: Int8Array, labels: Sequence[str], *, ridge_ppm: int = PPM, seed: int = 0) -> LabelNoise:
    """Judge the ``labels`` of ``vectors`` (n, d); the neighbours cost n^2 d. Equal input, equal output."""
    if len(vectors) != len(labels):
        raise InvalidInput("invalid_request", f"{len(vectors)} vectors came with {len(labels)} labels.")
    found, counts = np.unique(np.asarray(labels, dtype=object).astype(str), return_counts=True)
    names = [str(name) for name in found[counts >= LEAST]]
    place = {name: code for code, name in enumerate(names)}
    rows = np.array([row for row, label in enumerate(labels) if label in place], np.int64)
    if len(names) < 2:
        return LabelNoise((), 0, 0)
    codes = np.array([place[labels[row]] for row in rows], np.int64)
    with threadpool_limits(limits=1):
        likely = held_out_probabilities(vectors[rows], codes, names, ridge_ppm, seed)
    own = likely[np.arange(len(rows)), codes]
    best = likely.argmax(axis=1)
    found_rows = np.flatnonzero((best != codes) & (own < SUSPECT))
    ordered = found_rows[np.argsort(own[found_rows], kind="stable")]
    suspects = tuple(
        Suspect(int(rows[row]), names[codes[row]], names[best[row]], int(own[row] * PPM)) for row in ordered
    )
    return LabelNoise(suspects, int(noise_share(likely, codes) * PPM), len(rows))


def held_out_probabilities(
    vectors: Int8Array, codes: Int64Array, names: Sequence[str], ridge_ppm: int, seed: int
) -> Float64Array:
    """Return p (n, labels): what the other folds' head and the nearest other records say of each record."""
    scores = _held_out_scores(vectors, codes, names, ridge_ppm, seed)
    own = np.arange(len(codes)), codes
    losses = [-np.log(np.maximum(_softened(scores, t)[own], 1e-6)).mean() for t in TEMPERATURES]
    softened = _softened(scores, TEMPERATURES[int(np.argmin(losses))])
    return (softened + _neighbours(vectors, codes, len(names))) / 2


def noise_share(likely: Float64Array, codes: Int64Array) -> float:
    """Return the share of wrong labels by the confident joint of p (n, labels) and the given codes (n,)."""
    count = likely.shape[1]
    own = likely[np.arange(len(codes)), codes]
    sizes = np.bincount(codes, minlength=count)
    thresholds = np.bincount(codes, weights=own, minlength=count) / np.maximum(sizes, 1)
    confident = np.where(likely >= thresholds, likely, -1.0)
    kept = confident.max(axis=1) > 0
    joint = np.zeros((count, count))
    np.add.at(joint, (codes[kept], confident.argmax(axis=1)[kept]), 1)
    diagonal = np.diag(joint) / np.maximum(joint.sum(axis=1), 1)
    agreeing = np.where(joint.sum(axis=1) > 0, diagonal, 1.0)  # a label nobody is sure of counts as right
    return float(1 - (agreeing * sizes).sum() / sizes.sum())


def confident_suspects(likely: Float64Array, codes: Int64Array) -> Int64Array:
    """Return the rows off the diagonal of the confident joint: the rule of the paper, for comparison."""
    count = likely.shape[1]
    own = likely[np.arange(len(codes)), codes]
    thresholds = np.bincount(codes, weights=own, minlength=count) / np.maximum(np.bincount(codes, minlength=count), 1)
    confident = np.where(likely >= thresholds, likely, -1.0)
    off = (confident.max(axis=1) > 0) & (confident.argmax(axis=1) != codes)
    return np.flatnonzero(off).astype(np.int64)


def _held_out_scores(
    vectors: Int8Array, codes: Int64Array, names: Sequence[str], ridge_ppm: int, seed: int
) -> Float64Array:
    order = np.random.default_rng(seed).permutation(len(codes))
    # Dealt label by label, so that every fold's head knows every label.
    dealt = order[np.argsort(codes[order], kind="stable")]
    fold = np.empty(len(codes), np.int64)
    fold[dealt] = np.arange(len(codes)) % FOLDS
    labels = [names[code] for code in codes]
    whole = statistics(vectors, labels)
    scores = np.zeros((len(codes), len(names)))
    for number in range(FOLDS):
        part = np.flatnonzero(fold == number)
        head = solve(subtract(whole, statistics(vectors[part], [labels[row] for row in part])), ridge_ppm)
        scores[part] = predict(head, vectors[part])[1]
    return scores


def _softened(scores: Float64Array, temperature: float) -> Float64Array:
    shifted = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float64)


def _neighbours(vectors: Int8Array, codes: Int64Array, count: int) -> Float64Array:
    """Return the votes of the nearest other records, weighed by the fourth power of their cosine, as shares."""
    unit = vectors.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1)
    votes = np.full((len(codes), count), _FLOOR)
    k = min(NEIGHBOURS, len(codes) - 1)
    for start in range(0, len(codes), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(codes)))
        cosines = unit[rows] @ unit.T
        cosines[np.arange(len(rows)), rows] = -1
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        weights = np.maximum(np.take_along_axis(cosines, nearest, axis=1), 0) ** 4
        np.add.at(votes, (rows[:, None], codes[nearest]), weights)
    return np.asarray(votes / votes.sum(axis=1, keepdims=True), np.float64)
