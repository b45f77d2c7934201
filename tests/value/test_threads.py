"""The same values and roots, bit for bit, with one thread and with two, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json
import numpy as np
from threadpoolctl import threadpool_info
from rodagila.core.hashing import keccak
from rodagila.core.merkle import ordered_root
from rodagila.core.policy import ValueRules
from rodagila.core.vectors import quantise, vectors_root
from rodagila.prove.duplicates import highest_cosines
from rodagila.value.examples import Examples
from rodagila.value.nearest import knn_shapley_of
from rodagila.value.ocis import ValueInputs, value_records

rng = np.random.default_rng(5)
centres = rng.normal(size=(40, 384))

def some(count):
    codes = rng.integers(0, 40, count)
    rows = centres[codes] + rng.uniform(0, 1.2, (count, 1)) * rng.normal(size=(count, 384))
    wrong = rng.random(count) < 0.05
    return Examples(
        quantise(rows / np.linalg.norm(rows, axis=1, keepdims=True)), np.where(wrong, (codes + 1) % 40, codes)
    )

records, reference, queries = some(2_500), some(150), some(200)
slashed, weights = rng.random(2_500) < 0.02, rng.integers(1, 4, 200)
turns = np.arange(2_500) // 500
found = value_records(ValueInputs(records, turns, slashed, reference, queries, weights, ValueRules()))
leaves = zip(found.v, found.u.tolist(), found.s.tolist(), found.novelty.tolist(), found.nearest.tolist(), strict=True)
shapley = knn_shapley_of(records.vectors, records.targets, queries.vectors, queries.targets, 10)
print(json.dumps({
    "threads": max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"),
    "paid": sum(value > 0 for value in found.v),
    "values": ordered_root([keccak(repr(leaf).encode()) for leaf in leaves]).hex(),
    "vectors": vectors_root(records.vectors).hex(),
    "thresholds": [found.theta, found.tau, found.utility_before, found.utility_after],
    "nearest": highest_cosines(queries.vectors, records.vectors),
    "shapley": keccak(shapley.values.tobytes()).hex(),
}))
"""


def run_with(threads: int) -> dict[str, object]:
    """Return what the program prints in a process with that many threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=environment)
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs a machine of two cores")
def test_values_and_roots_are_the_same_with_one_thread_and_with_two() -> None:
    one, two = run_with(1), run_with(2)
    assert (one.pop("threads"), two.pop("threads")) == (1, 2)
    assert one == two
    assert int(str(one["paid"])) > 100
