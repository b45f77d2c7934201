"""Evaluation: accuracy and recall at 5 on a set of queries, each with its bootstrap interval, in millionths.

Outcomes are one 0 or 1 per query, so two models on the same queries are compared in pairs: resampling queries keeps
their pairing, which makes the interval of the rise narrower than two separate ones. Percentile bootstrap, 95%, seeded.
Source: Efron and Tibshirani, An Introduction to the Bootstrap, 13.3.

>>> metric_of("accuracy", np.array([1, 1, 0, 1]), resamples=100, seed=1).value_ppm
750000
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM
from rodagila.core.vectors import Int8Array
from rodagila.learn.head import Head, predict
from rodagila.store.nearest import nearest

Outcomes = npt.NDArray[np.int64]
RECALL_AT = 5


@dataclass(frozen=True, slots=True)
class Metric:
    """A mean over ``queries`` with its 95% interval, in millionths."""

    name: str
    value_ppm: int
    low_ppm: int
    high_ppm: int
    queries: int

    def as_json(self) -> dict[str, int | str]:
        """Return the JSON object of the card."""
        return {
            "name": self.name,
            "value_ppm": self.value_ppm,
            "low_ppm": self.low_ppm,
            "high_ppm": self.high_ppm,
            "queries": self.queries,
        }


def classify_outcomes(head: Head | None, vectors: Int8Array, targets: Sequence[str]) -> Outcomes:
    """Return 1 for each query (n, d) whose predicted label is its target; all 0 without a head."""
    if head is None or len(targets) == 0:
        return np.zeros(len(targets), dtype=np.int64)
    places, _ = predict(head, vectors)
    return np.array(
        [head.labels[place] == target for place, target in zip(places, targets, strict=True)], dtype=np.int64
    )


def retrieve_outcomes(
    records: Int8Array, answers: Sequence[str], vectors: Int8Array, targets: Sequence[str], k: int = RECALL_AT
) -> Outcomes:
    """Return 1 for each query (n, d) that has a record with its target among the ``k`` nearest of ``records``.

    Nearness is the cosine of int8 vectors in exact integers, ties to the earlier record.
    """
    found = nearest(vectors, records, k)
    return np.array(
        [any(answers[place] == target for place in row) for row, target in zip(found, targets, strict=True)],
        dtype=np.int64,
    )


def metric_of(name: str, outcomes: Outcomes, *, resamples: int, seed: int) -> Metric:
    """Return the mean of ``outcomes`` with its interval."""
    value, low, high = _bootstrap(outcomes, resamples, seed)
    return Metric(name, value, low, high, len(outcomes))


def rise_of(before: Outcomes, after: Outcomes, *, resamples: int, seed: int) -> Metric:
    """Return the mean rise from ``before`` to ``after`` on the same queries, with its paired interval."""
    if len(before) != len(after):
        raise InvalidInput(
            "invalid_request", f"Outcomes of {len(before)} and {len(after)} queries cannot be paired; use the same set."
        )
    value, low, high = _bootstrap(after - before, resamples, seed)
    return Metric("rise", value, low, high, len(after))


def _bootstrap(values: Outcomes, resamples: int, seed: int) -> tuple[int, int, int]:
    """Return (mean, 2.5th percentile, 97.5th percentile) in millionths; the mean is an exact floor."""
    count = len(values)
    if count == 0:
        raise InvalidInput("invalid_request", "A metric needs at least one query; none was given.")
    generator = np.random.Generator(np.random.PCG64(seed))
    sums = np.array([values[generator.integers(0, count, count)].sum() for _ in range(max(1, resamples))])
    sums.sort()
    last = len(sums) - 1
    low, high = sums[last * 25 // 1000], sums[last - last * 25 // 1000]
    return tuple(int(total) * PPM // count for total in (values.sum(), low, high))  # type: ignore[return-value]
