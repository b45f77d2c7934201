"""Measure what the tools for data are worth: active choice beside random choice, label noise beside planted flips.

``python benches/bench_data.py --json`` prints rows ``{name, value, unit, peer, ratio, bar, met}``; ``low`` and ``high``
are Student's 95% interval over seeds, none of which a constant was chosen on. The peer of active choice is choice at
random from the same labels; that of label noise are the records off the diagonal of the confident joint. Texts are
CLINC150's (``../shared/data``); without it the bench says so and prints no rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from rodagila.core.vectors import Int8Array
from rodagila.learn.active import next_to_label
from rodagila.learn.embedder import MiniLM
from rodagila.learn.head import Head, predict, solve, statistics
from rodagila.learn.label_noise import confident_suspects, find_label_noise, held_out_probabilities

DATA = Path(__file__).resolve().parent.parent.parent / "shared/data/clinc150/data_full.json"
SEEDS = range(100, 108)
START, BATCH, BATCHES, POOL, GATE = 150, 50, 12, 4_000, 2_000
FLIPS, LABELLED, NOISE_SEEDS = (0.05, 0.1, 0.2), 6_000, range(200, 205)
RIDGE = 1_000_000
Row = dict[str, Any]


def row(
    name: str, values: Sequence[float], unit: str, peer: Sequence[float] | None = None, bar: float | None = None
) -> Row:
    """Return one row of the means over seeds, with the interval of the mean of ``values``."""
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = float(student.ppf(0.975, len(values) - 1)) * spread
    beside = float(np.mean(peer)) if peer is not None else None
    return {
        "name": name,
        "value": round(mean, 4),
        "unit": unit,
        "low": round(mean - half, 4),
        "high": round(mean + half, 4),
        "peer": round(beside, 4) if beside is not None else None,
        "ratio": round(mean / beside, 3) if beside else None,
        "bar": bar,
        "met": None if bar is None else mean - half > bar,
    }


def accuracies(vectors: Int8Array, labels: np.ndarray, seed: int, active: bool) -> list[float]:
    """Return the accuracy on the gate set after each batch of labels, chosen or drawn."""
    order = np.random.default_rng(seed).permutation(len(vectors))
    gate, known, pool = order[:GATE], order[GATE : GATE + START], order[GATE + START : GATE + POOL]
    drawn = np.random.default_rng(seed + 1_000)
    reached = []
    head = _head(vectors, labels, known)
    for batch in range(BATCHES):
        if active:
            chosen = next_to_label(head, vectors[pool], BATCH, seed + batch)
        else:
            chosen = drawn.permutation(len(pool))[:BATCH]
        known, pool = np.concatenate([known, pool[chosen]]), np.delete(pool, chosen)
        head = _head(vectors, labels, known)
        said = np.array(head.labels)[predict(head, vectors[gate])[0]]
        reached.append(float((said == labels[gate]).mean()))
    return reached


def _head(vectors: Int8Array, labels: np.ndarray, rows: np.ndarray) -> Head:
    return solve(statistics(vectors[rows], labels[rows].tolist()), RIDGE)


def active_rows(vectors: Int8Array, labels: np.ndarray) -> list[Row]:
    """Return the gain of active over random choice, in accuracy and in labels that need not be paid."""
    chosen, drawn = (np.array([accuracies(vectors, labels, s, active) for s in SEEDS]) for active in (True, False))
    gain = chosen - drawn
    # how many of its batches the active head needs to be as good as the random one after all of its own
    needed = [(np.argmax(one >= other[-1]) + 1) * BATCH for one, other in zip(chosen, drawn, strict=True)]
    return [
        row("accuracy gained by active choice, mean over 12 batches", gain.mean(axis=1), "accuracy", bar=0.0),
        row("accuracy after 300 labels more, active", chosen[:, 5], "accuracy", drawn[:, 5]),
        row("accuracy after 600 labels more, active", chosen[:, -1], "accuracy", drawn[:, -1]),
        row("labels for the accuracy of 600 random ones", needed, "labels", [BATCH * BATCHES] * len(needed)),
    ]


def noise_rows(vectors: Int8Array, labels: np.ndarray) -> list[Row]:
    """Return precision, recall and the estimated share for planted flips."""
    rows = []
    inside = np.flatnonzero(labels != "oos")
    for share in FLIPS:
        ours, joint, estimated = [], [], []
        for seed in NOISE_SEEDS:
            rng = np.random.default_rng(seed)
            part = rng.permutation(inside)[:LABELLED]
            names = np.unique(labels[part])
            true = np.searchsorted(names, labels[part])
            given = true.copy()
            flips = rng.permutation(len(part))[: int(share * len(part))]
            given[flips] = (given[flips] + rng.integers(1, len(names), len(flips))) % len(names)
            found = find_label_noise(vectors[part], names[given].tolist(), seed=seed)
            likely = held_out_probabilities(vectors[part], given, names.tolist(), RIDGE, seed)
            places = np.array([one.place for one in found.suspects], np.int64)
            for kept, suspects in ((ours, places), (joint, confident_suspects(likely, given))):
                right = int((given[suspects] != true[suspects]).sum())
                kept.append((right / len(suspects), right / len(flips)))
            estimated.append(found.share_ppm / 1e6)
        for at, name in enumerate(("precision", "recall")):
            peer = [pair[at] for pair in joint]
            rows.append(row(f"{name}, {share:.0%} flipped", [pair[at] for pair in ours], "share", peer))
        rows.append(row(f"estimated share, {share:.0%} flipped", estimated, "share", [share] * len(estimated)))
    return rows


def main() -> int:
    """Print the rows; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON rows")
    as_json = parser.parse_args().json
    if not DATA.exists():
        print("bench_data needs CLINC150 in ../shared/data", file=sys.stderr)
        return 1
    data = json.loads(DATA.read_text(encoding="utf-8"))
    pairs = [pair for part in ("train", "val", "test") for pair in data[part]]
    vectors, labels = MiniLM().encode([text for text, _ in pairs]), np.array([label for _, label in pairs])
    rows = [*active_rows(vectors, labels), *noise_rows(vectors, labels)]
    print(json.dumps(rows) if as_json else "\n".join(f"{r['name']}: {r['value']} {r['unit']} ({r})" for r in rows))
    return int(any(r["met"] is False for r in rows))


if __name__ == "__main__":
    sys.exit(main())
