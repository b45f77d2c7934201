"""Measure the embedder beside sentence-transformers, the head beside least squares, and search in the vector index.

``python benches/bench_embedding.py --json`` prints rows ``{name, value, unit, peer, ratio, bar, met}``. The peer of the
embedder is ``SentenceTransformer.encode`` on the same texts, weights and single thread, in turns with ours, so that a
busy machine slows both. Texts are CLINC150's (``../shared/data``); without it the bench says so and prints no rows.
"""

from __future__ import annotations

import argparse
import json
import statistics as middle
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rodagila.core.vectors import SCALE, Int8Array, quantise
from rodagila.learn.embedder import MiniLM, default_folder
from rodagila.learn.head import predict, solve, statistics, subtract
from rodagila.learn.workers import Workers
from rodagila.store.nearest import nearest
from rodagila.store.vectors import IndexRow, VectorIndex

DATA = Path(__file__).resolve().parent.parent.parent / "shared/data/clinc150/data_full.json"
ROUNDS, ROUND = 6, 1_000
RECORDS, GATE = 3_000, 1_000
Row = dict[str, Any]
Encode = Callable[[Sequence[str]], Int8Array]


def row(name: str, value: float, unit: str, peer: float | None = None, bar: float | None = None, **more: Any) -> Row:
    """Return one row; ``met`` is given where there is a bar."""
    ratio = round(value / peer, 3) if peer else None
    return {"name": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio, "bar": bar, "met": None, **more}


def seconds(action: Callable[[], object]) -> float:
    """Return how long ``action`` took."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def sentence_transformers() -> Any:
    """Return the peer, loaded from the same folder, on one thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(1)
        return SentenceTransformer(str(default_folder()), device="cpu", local_files_only=True)


def speed(ours: MiniLM, theirs: Encode, texts: Sequence[str]) -> Row:
    """Compare texts per second, round by round on the same texts; the ratio is the median of the rounds'."""
    rates: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        part = texts[number * ROUND : (number + 1) * ROUND]
        own, other = (lambda part=part: ours.encode(part)), (lambda part=part: theirs(part))
        first, second = (own, other) if number % 2 else (other, own)
        pair = (ROUND / seconds(first), ROUND / seconds(second))
        rates.append(pair if number % 2 else pair[::-1])
    ratio = round(middle.median(mine / other for mine, other in rates), 3)
    value, peer = (round(middle.median(column), 1) for column in zip(*rates, strict=True))
    return row("embedding", value, "texts/s", peer, 0.9) | {"ratio": ratio, "met": ratio >= 0.9}


def determinism(ours: MiniLM, peer: Any, texts: Sequence[str]) -> list[Row]:
    """Count int8 values that change with the company of a text or the threads, for us and for padded batches."""
    import torch

    def padded(texts: Sequence[str], size: int) -> Int8Array:
        return quantise(peer.encode(list(texts), batch_size=size, normalize_embeddings=True, show_progress_bar=False))

    order = np.random.Generator(np.random.PCG64(0)).permutation(len(texts))
    turned = [texts[i] for i in order]
    base, some = ours.encode(texts), texts[:600]
    differ = int((ours.encode(turned) != base[order]).sum())
    differ += int((np.vstack([ours.encode([text]) for text in some]) != base[: len(some)]).sum())
    torch.set_num_threads(2)
    differ += int((ours.encode(texts) != base).sum())
    torch.set_num_threads(1)
    plain = padded(texts, 32)
    others = int((padded(turned, 32) != plain[order]).sum()) + int((padded(texts, 64) != plain).sum())
    others += int((padded(some, 1) != plain[: len(some)]).sum())
    name = f"int8 values changed by order, batches and threads, {len(texts):,} texts"
    return [row(name, differ, "values", others, 0, met=differ == 0)]


def processes(ours: MiniLM, texts: Sequence[str]) -> list[Row]:
    """Compare two loaded worker processes with one, and their bytes."""
    with closing(Workers(2, ours.dimensions)) as workers:
        workers.encode(texts[:600])
        one = seconds(lambda: ours.encode(texts))
        two = seconds(lambda: workers.encode(texts))
        differ = int((workers.encode(texts[:1_000]) != ours.encode(texts[:1_000])).sum())
    return [
        row("embedding, two processes", round(len(texts) / two, 1), "texts/s", round(len(texts) / one, 1)),
        row("int8 values changed by two processes", differ, "values", None, 0, met=differ == 0),
    ]


def heads(vectors: Int8Array, labels: Sequence[str]) -> list[Row]:
    """Compare the head's accuracy with least squares on one-hot targets, and unlearning with training again."""
    train, test, truth = vectors[:RECORDS], vectors[RECORDS:], labels[RECORDS:]
    known = labels[:RECORDS]
    whole, hers = statistics(train, known), statistics(train[:75], known[:75])
    head = solve(whole, 1_000_000)
    accuracy = float(np.mean([head.labels[i] == t for i, t in zip(predict(head, test)[0], truth, strict=True)]))
    with threadpool_limits(1):
        one_hot = np.array([[label == name for name in whole.labels] for label in known], dtype=float)
        plain = [
            np.linalg.solve(whole.gram + ridge * SCALE**2 * np.eye(384), train.T.astype(float) @ one_hot)
            for ridge in (0.03, 0.1, 0.3, 1.0)
        ]
        squares = max(
            float(
                np.mean([whole.labels[i] == t for i, t in zip((test.astype(float) @ w).argmax(1), truth, strict=True)])
            )
            for w in plain
        )
    left, again = subtract(whole, hers), statistics(train[75:], known[75:])
    gap = float(np.max(np.abs(solve(left, 1_000_000).weights - solve(again, 1_000_000).weights)))
    unlearn = 1_000 * middle.median(seconds(lambda: subtract(whole, hers)) for _ in range(21))
    retrain = 1_000 * middle.median(seconds(lambda: statistics(train[75:], known[75:])) for _ in range(5))
    name = f"accuracy, {RECORDS:,} records, {len(test):,} queries (peer: least squares, best of four ridges)"
    return [
        row(name, round(accuracy, 4), "share", round(squares, 4), 1.0, met=accuracy >= squares),
        row("unlearning an owner of 75 (peer: summing again)", round(unlearn, 3), "ms", round(retrain, 3)),
        row("weights after unlearning beside retraining", gap, "largest difference", None, 1e-10, met=gap <= 1e-10),
    ]


def index(vectors: Int8Array) -> list[Row]:
    """Measure search, and how often its order is not the exact one."""
    with tempfile.TemporaryDirectory() as folder:
        held = VectorIndex(Path(folder))
        held.rebuild(1, [IndexRow(i, "owner", "00" * 32, 0, "", vectors[i]) for i in range(RECORDS)])
        queries = vectors[RECORDS : RECORDS + 300]
        wanted = nearest(queries, vectors[:RECORDS], 5).tolist()
        held.search(queries[0], 5)
        start = time.perf_counter()
        found = [[hit.place for hit in held.search(query, 5)] for query in queries]
        took = 1_000 * (time.perf_counter() - start) / len(queries)
    wrong = sum(a != b for a, b in zip(found, wanted, strict=True))
    return [
        row(f"search, 5 of {RECORDS:,}", round(took, 2), "ms"),
        row("searches whose order is not exact, of 300", wrong, "searches", None, 0, met=wrong == 0),
    ]


def measure() -> list[Row]:
    """Return all rows."""
    data = json.loads(DATA.read_text())
    order = np.random.Generator(np.random.PCG64(1)).permutation(len(data["train"]))
    train, test = [data["train"][i] for i in order], data["test"]
    texts = [text for text, _ in train]
    ours, peer = MiniLM(), sentence_transformers()
    ours.load()

    def theirs(part: Sequence[str]) -> Int8Array:
        return quantise(peer.encode(list(part), normalize_embeddings=True, show_progress_bar=False))

    ours.encode(texts[:200])
    theirs(texts[:200])
    rows = [speed(ours, theirs, texts), *determinism(ours, peer, texts[:5_000]), *processes(ours, texts[:3_000])]
    pick = np.random.Generator(np.random.PCG64(2)).permutation(len(test))[:GATE]
    pairs = train[:RECORDS] + [test[i] for i in pick]
    vectors = ours.encode([text for text, _ in pairs])
    return [*rows, *heads(vectors, [label for _, label in pairs]), *index(vectors)]


def main() -> int:
    """Print the rows; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON rows")
    as_json = parser.parse_args().json
    if not DATA.exists():
        print("bench_embedding needs CLINC150 in ../shared/data", file=sys.stderr)
        return 1
    rows = measure()
    print(json.dumps(rows) if as_json else "\n".join(f"{r['name']}: {r['value']} {r['unit']} ({r})" for r in rows))
    return int(any(r["met"] is False for r in rows))


if __name__ == "__main__":
    sys.exit(main())
