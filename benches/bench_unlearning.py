"""Measure how long one owner takes to leave: the head without her, and the pass of values made again.

``python benches/bench_unlearning.py --json`` prints rows ``{name, value, unit, peer, ratio, bar, met}``. The peer is
training again on everybody else's records, from the vectors on; both end with a solved head. Vectors are drawn (384
dimensions, 150 labels), since neither time nor exactness depends on what they say; 40 owners share 15,000 records.
"""

from __future__ import annotations

import argparse
import json
import statistics as middle
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rodagila.core.policy import ValueRules
from rodagila.core.vectors import quantise
from rodagila.learn.head import solve, statistics, subtract
from rodagila.value.examples import Examples
from rodagila.value.ocis import ValueInputs, value_records

OWNERS, RECORDS, LABELS, QUERIES, RIDGE_PPM = 40, 15_000, 150, 1_000, 1_000_000
MOST, LARGEST_GAP = 0.33, 1e-10
Row = dict[str, Any]


def row(name: str, value: float, unit: str, **more: Any) -> Row:
    """Return one row."""
    return {"name": name, "value": value, "unit": unit, "peer": None, "ratio": None, "bar": None, "met": None, **more}


def milliseconds(action: Callable[[], object], times: int) -> float:
    """Return the median time of ``action``."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(1_000 * (time.perf_counter() - start))
    return middle.median(taken)


def drawn(rng: np.random.Generator, centres: np.ndarray, count: int) -> Examples:
    """Return ``count`` vectors around the labels' centres."""
    codes = rng.integers(0, LABELS, count)
    rows = centres[codes] + 0.06 * rng.normal(size=(count, 384))
    return Examples(quantise(rows / np.linalg.norm(rows, axis=1, keepdims=True)), codes)


def measure() -> list[Row]:
    """Return all rows."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(LABELS, 384)) / 384**0.5
    records, queries = drawn(rng, centres, RECORDS), drawn(rng, centres, QUERIES)
    names = np.array([str(code) for code in records.targets.tolist()], dtype=object)
    hers = rng.integers(0, OWNERS, RECORDS) == 0
    own, rest = records.take(hers), records.take(~hers)
    whole = statistics(records.vectors, names.tolist())
    own_names, rest_names = names[hers].tolist(), names[~hers].tolist()
    leave = lambda: solve(subtract(whole, statistics(own.vectors, own_names)), RIDGE_PPM)  # noqa: E731
    again = lambda: solve(statistics(rest.vectors, rest_names), RIDGE_PPM)  # noqa: E731
    gap = float(np.abs(leave().weights - again().weights).max())
    took, retrained = milliseconds(leave, 15), milliseconds(again, 5)
    ratio = round(took / retrained, 3)

    def values(data: Examples) -> object:
        nobody, ones = np.zeros(len(data), np.bool_), np.ones(len(queries), np.int64)
        return value_records(
            ValueInputs(
                data, np.ones(len(data), np.int64), nobody, queries.take(slice(0, 300)), queries, ones, ValueRules()
            )
        )

    first, second = milliseconds(lambda: values(records), 3), milliseconds(lambda: values(rest), 3)
    title = f"head without one of {OWNERS} owners of {RECORDS:,} records (peer: training again)"
    peers = {"peer": round(retrained, 1), "ratio": ratio, "bar": MOST, "met": ratio <= MOST}
    return [
        row(title, round(took, 1), "ms", **peers),
        row("weights beside training again", gap, "largest difference", bar=LARGEST_GAP, met=gap <= LARGEST_GAP),
        row(
            f"values without her, {QUERIES:,} queries (peer: with her)",
            round(second),
            "ms",
            peer=round(first),
            ratio=round(second / first, 2),
        ),
    ]


def main() -> int:
    """Print the rows; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON rows")
    as_json = parser.parse_args().json
    rows = measure()
    print(json.dumps(rows) if as_json else "\n".join(f"{r['name']}: {r['value']} {r['unit']} ({r})" for r in rows))
    return int(any(r["met"] is False for r in rows))


if __name__ == "__main__":
    sys.exit(main())
