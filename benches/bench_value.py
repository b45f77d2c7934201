"""Measure valuation and the search for duplicates at scale: KNN-Shapley beside pyDVL, near duplicates of a million
texts, and the whole pass of Ordered Coverage over 10,000, 100,000 and 1,000,000 records.

``python benches/bench_value.py --json`` prints rows ``{name, value, unit, peer, ratio, bar, met}``. Each part runs in a
process of its own, so that its largest memory is its own (``--part knn``, ``texts``, ``pass``; the last for each of
``--records``). What is measured on is grown from real data by a seed (``value_data.py``). pyDVL, which needs an older
numpy, gets its own environment in ``build/``, made at the first run; both start from the same float64 embeddings, find
the distances themselves, and may use two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from value_data import DATA, LIMIT_PPM, Texts, embedded, grown, many_texts

from rodagila.core.policy import ValueRules
from rodagila.core.vectors import quantise
from rodagila.prove.duplicates import duplicates_among, jaccard_of, shingles, text_key
from rodagila.prove.minhash import Sets
from rodagila.value.examples import Examples
from rodagila.value.nearest import knn_shapley_of
from rodagila.value.ocis import ValueInputs, value_records

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
PYDVL = "0.10.0"
CORES = 2
SIZES = (10_000, 100_000, 1_000_000)
KNN_RECORDS, KNN_QUERIES, KNN_K = 100_000, 1_000, 10
TEXTS, CHECKED, ONE_BY_ONE = 1_000_000, 2_000, 20_000
REFERENCE, TURNS = 1_000, 6
GIB = 1 << 30
Row = dict[str, Any]


def row(name: str, value: float, unit: str, bar: float | None = None, *, peer: float | None = None) -> Row:
    """Return one row; the bar is on the ratio where there is a peer, else the most that ``value`` may be."""
    ratio = round(value / peer, 3) if peer else None
    met = None if bar is None else (ratio >= bar if ratio is not None else value <= bar)
    return {"name": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio, "bar": bar, "met": met}


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """Return what ``action`` gives and the seconds it took."""
    start = time.perf_counter()
    return action(), time.perf_counter() - start


def peak_memory() -> float:
    """Return the most memory this process ever held, in GiB; Linux's other count includes the process it came from."""
    status = Path("/proc/self/status")
    if status.exists():
        kib = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    else:
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kib * 1024 / GIB, 2)


def pydvl() -> Path:
    """Return the interpreter of pyDVL's own environment; make it if it is not there."""
    folder = BUILD / f"pydvl-{PYDVL}"
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"pydvl=={PYDVL}"]
        subprocess.run(install, check=True, stdout=sys.stderr)
        (folder / ".ready").touch()
    return python


def knn(records: int, queries: int) -> list[Row]:
    """Value ``records`` by KNN-Shapley, ours and pyDVL's; ours goes first and last, the slower time counts."""
    intents = embedded(BUILD / "bench_value")
    vectors, targets = (np.concatenate(part) for part in zip(*grown(intents.train, records, 0), strict=True))
    asked, wanted = (part[:queries] for part in intents.test)

    def ours() -> np.ndarray:
        return knn_shapley_of(vectors, targets, asked, wanted, KNN_K).values

    values, first = timed(ours)
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "data.npz", Path(folder) / "values.npy"
        np.savez(data, records=vectors, targets=targets, queries=asked, wanted=wanted, k=KNN_K)
        command = [str(pydvl()), str(HERE / "knn_peer.py"), str(data), str(len(asked)), str(CORES), str(out)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        theirs, gap = json.loads(done.stdout), float(np.abs(values - np.load(out)).max())
    again, second = timed(ours)
    size = f"{records:,} x {vectors.shape[1]}, {len(asked):,} queries"
    rate, other = (round(len(asked) / seconds, 2) for seconds in (max(first, second), theirs["seconds"]))
    return [
        row(f"exact KNN-Shapley, {size} (peer: pyDVL {theirs['version']}; bar on the ratio)", rate, "queries/s", 15.0)
        | {"peer": other, "ratio": round(rate / other, 2), "met": rate / other >= 15.0},
        row(f"exact KNN-Shapley, {size}, seconds", round(max(first, second), 2), "s"),
        row("largest difference from pyDVL's values", gap, "", 1e-9),
        row("KNN-Shapley values that differ from run to run", int((values != again).sum()), "values", 0),
    ]


def texts(count: int) -> list[Row]:
    """Find the near duplicates among ``count`` texts; check them against brute force and what was planted."""
    data = many_texts(count)
    found, seconds = timed(lambda: duplicates_among(data.texts, LIMIT_PPM))
    memory = peak_memory()
    planted = [at for at in np.flatnonzero(data.source >= 0).tolist() if found[data.source[at]] is None]
    missed = sum(found[at] is None for at in planted)
    named = [(at, original) for at, original in enumerate(found) if original is not None]
    checked = np.random.default_rng(9).integers(0, count, CHECKED).tolist()
    rates = len(data.texts[:ONE_BY_ONE]) / timed(lambda: one_by_one(data.texts[:ONE_BY_ONE]))[1]
    title = f"near duplicates among {count:,} short texts"
    return [
        row(title, round(seconds, 1), "s", 300),
        row(f"{title}, largest memory", memory, "GiB"),
        row(
            f"{title} (peer: datasketch's MinHashLSH, one by one, on the first {ONE_BY_ONE:,})",
            round(count / seconds, 1),
            "texts/s",
            peer=round(rates, 1),
        ),
        row(f"planted near duplicates missed, of {len(planted):,}", missed, "texts", 0),
        row(f"named duplicates that are none, of {len(named):,}", _wrong(data.texts, named), "texts", 0),
        row(f"originals other than brute force finds, of {CHECKED:,} texts", _others(data, found, checked), "texts", 0),
    ]


def one_by_one(several: list[str]) -> int:
    """Insert and ask for each text in datasketch's index; returns how many have a candidate."""
    from datasketch import MinHash, MinHashLSH

    index, blank, hits = MinHashLSH(num_perm=128, params=(32, 4)), MinHash(num_perm=128, seed=1, hashfunc=int), 0
    for place, text in enumerate(several):
        sketch = blank.copy()
        sketch.update_batch(sorted(shingles(text)))
        hits += bool(index.query(sketch))
        index.insert(place, sketch, check_duplication=False)
    return hits


def _wrong(several: list[str], named: list[tuple[int, int]]) -> int:
    """Count the pairs that are neither the same text nor of similar shingles."""
    return sum(
        text_key(several[at]) != text_key(several[original])
        and jaccard_of(shingles(several[at]), shingles(several[original])) < LIMIT_PPM
        for at, original in named
    )


def _others(data: Texts, found: list[int | None], checked: list[int]) -> int:
    """Count the texts of ``checked`` whose original is another than comparing with every kept text gives."""
    from scipy.sparse import csr_matrix

    sets = Sets.of(shingles(text) for text in data.texts)
    codes = np.unique(sets.members, return_inverse=True)[1].astype(np.int32)
    shares = csr_matrix((np.ones(len(codes), np.int32), codes, sets.edges.astype(np.int32)))
    kept = np.array([original is None for original in found])
    first: dict[bytes, int] = {}
    for at in np.flatnonzero(kept).tolist():
        first.setdefault(text_key(data.texts[at]), at)
    others = 0
    turned = shares.T.tocsr()
    for at in checked:
        common = (shares[at] @ turned).tocoo()
        place, count = common.coords[1].astype(np.int64), common.data.astype(np.int64)
        alike = count * 1_000_000 // (sets.sizes[at] + sets.sizes[place] - count) >= LIMIT_PPM
        near = place[alike & kept[place] & (place < at)]
        same = first.get(text_key(data.texts[at]), at)
        wanted = same if same < at else (int(near.min()) if len(near) else None)
        others += found[at] != wanted
    return others


def grow_pass(folder: Path, count: int) -> None:
    """Write the records, reference and queries of the pass; smaller sizes take the first of the records."""
    intents = embedded(BUILD / "bench_value")
    source = tuple(part[:-REFERENCE] for part in intents.train)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.int8, (count, source[0].shape[1]))
    targets, at = np.empty(count, np.int64), 0
    for block, codes in grown(source, count, 0):
        vectors[at : at + len(block)], targets[at : at + len(block)] = quantise(block), codes
        at += len(block)
    vectors.flush()
    np.save(folder / "targets.npy", targets)
    parts = {"reference": tuple(part[-REFERENCE:] for part in intents.train), "queries": intents.test}
    for name, (rows, codes) in parts.items():
        np.savez(folder / f"{name}.npz", vectors=quantise(rows), targets=codes)


def one_pass(folder: Path, count: int) -> dict[str, Any]:
    """Value the first ``count`` records; returns seconds, memory and what came out."""
    vectors = np.array(np.load(folder / "vectors.npy", mmap_mode="r")[:count])
    records = Examples(vectors, np.load(folder / "targets.npy")[:count])
    reference, queries = (
        Examples(part["vectors"], part["targets"])
        for part in (np.load(folder / "reference.npz"), np.load(folder / "queries.npz"))
    )
    turns, slashed = np.arange(count) * TURNS // count, np.zeros(count, np.bool_)
    inputs = ValueInputs(records, turns, slashed, reference, queries, np.ones(len(queries), np.int64), ValueRules())
    before = time.process_time()
    found, seconds = timed(lambda: value_records(inputs))
    used = time.process_time() - before
    paid = sum(value > 0 and signed >= 0 for value, signed in zip(found.v, found.s.tolist(), strict=True))
    return {
        "seconds": seconds,
        "processor": used,
        "memory": peak_memory(),
        "slots": int(found.slot.sum()),
        "paid": paid,
        "slashed": int((found.s < 0).sum()),
    }


def whole_pass(sizes: list[int]) -> list[Row]:
    """Measure the pass at each size in a fresh process, the smallest three times; the slope is that of a line."""
    rows, seconds = [], {}
    with tempfile.TemporaryDirectory() as folder:
        grow_pass(Path(folder), max(sizes))
        for count in sizes:
            runs = [child("pass", count, Path(folder)) for _ in range(3 if count == min(sizes) else 1)]
            found = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
            seconds[count] = found["seconds"]
            title = f"whole pass, {count:,} x 384 int8, 1,000 queries, reference of {REFERENCE:,}"
            last = count == SIZES[-1]
            rows += [
                row(title, round(found["seconds"], 2), "s", 300 if last else None),
                row(f"{title}, processor time", round(found["processor"], 2), "s"),
                row(f"{title}, largest memory", found["memory"], "GiB", 6 if last else None),
                row(f"{title}, slots", found["slots"], "records"),
                row(f"{title}, paid", found["paid"], "records"),
                row(f"{title}, slashed", found["slashed"], "records"),
            ]
    if len(sizes) > 1:
        slope = float(np.polyfit(np.log(sizes), np.log([seconds[count] for count in sizes]), 1)[0])
        title = f"exponent of the pass's time from {min(sizes):,} to {max(sizes):,} records"
        rows.append(row(title, round(slope, 3), "", 1.15 if max(sizes) == SIZES[-1] else None))
    return rows


def child(part: str, records: int, folder: Path | None = None) -> Any:
    """Run a part in a fresh process with two cores; returns its JSON."""
    command = [sys.executable, __file__, "--part", part, "--records", str(records), "--json"]
    command += ["--folder", str(folder)] if folder else []
    threads = {name: str(CORES) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True, env={**os.environ, **threads})
    if not done.stdout.strip():  # a missed bar is a row and an exit status of 1; this is something else
        raise SystemExit(f"the part {part} failed with exit status {done.returncode}")
    return json.loads(done.stdout)


def main() -> int:
    """Print the rows; the exit status is 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON rows")
    parser.add_argument("--part", choices=("knn", "texts", "pass"), help="only this")
    parser.add_argument("--records", type=int, action="append", help="other sizes than the bars'")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not DATA.exists():
        print("bench_value needs CLINC150 and newsgroups in ../shared/data", file=sys.stderr)
        return 1
    if given.folder:
        print(json.dumps(one_pass(given.folder, given.records[0])))
        return 0
    rows: list[Row] = []
    if given.part == "knn":
        rows = knn(*(given.records or [KNN_RECORDS]), KNN_QUERIES)
    elif given.part == "texts":
        rows = texts(*(given.records or [TEXTS]))
    elif given.part == "pass":
        rows = whole_pass(given.records or list(SIZES))
    else:
        rows = [*child("knn", KNN_RECORDS), *child("texts", TEXTS), *whole_pass(list(SIZES))]
    print(json.dumps(rows) if given.json else "\n".join(f"{r['name']}: {r['value']} {r['unit']} ({r})" for r in rows))
    return int(any(r["met"] is False for r in rows))


if __name__ == "__main__":
    sys.exit(main())
