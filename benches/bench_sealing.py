"""How much the vault adds to raw age: sealing and storing durably, against ``pyrage.encrypt`` and a plain write.

Both sides handle the same bytes in the same run, in turns, and the median of each counts. The vault also hashes the
ciphertext, syncs file and directory, and verifies on the way back; a third row shows a plain write with fsync, which is
what durability alone costs.

Run: python benches/bench_sealing.py [--json] [--mib 8] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage

from rodagila.store.blobs import BlobStore
from rodagila.vault.sealing import object_identity, open_sealed, recipient_of, seal

MIB = 2**20
SEAL_BAR = 0.5
OPEN_BAR = 0.5


def main() -> int:
    """Measure, print the rows, and exit 0 whether or not the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--mib", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options.mib, options.rounds)
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['name']:<32} {row['value']:>8} {row['unit']}  peer {row['peer']:>8}  ratio {row['ratio']:.2f}")
    return 0


def measure(folder: Path, mib: int, rounds: int) -> list[dict[str, Any]]:
    """Return the rows for a plaintext of ``mib`` MiB."""
    plaintext = os.urandom(mib * MIB)
    identity = object_identity()
    recipient, store = recipient_of(identity), BlobStore(folder / "blobs")
    key, plain = identity.to_public(), folder / "plain.age"

    def seal_raw() -> None:
        plain.write_bytes(pyrage.encrypt(plaintext, [key]))

    def seal_raw_synced() -> None:
        with plain.open("wb") as file:
            file.write(pyrage.encrypt(plaintext, [key]))
            file.flush()
            os.fsync(file.fileno())

    blobs: list[bytes] = []

    def seal_ours() -> None:
        blobs.append(store.put(seal(plaintext, [recipient])))

    def open_raw() -> None:
        pyrage.decrypt(plain.read_bytes(), [identity])

    def open_ours() -> None:
        open_sealed(store.get(blobs[-1]), [identity])

    ours, raw, synced = speeds(mib, rounds, seal_ours, seal_raw, seal_raw_synced)
    ours_open, raw_open = speeds(mib, rounds, open_ours, open_raw)
    return [
        row("seal_and_store", ours, raw, SEAL_BAR),
        row("seal_and_store_vs_synced_write", ours, synced, SEAL_BAR),
        row("fetch_verify_and_open", ours_open, raw_open, OPEN_BAR),
    ]


def speeds(mib: int, rounds: int, *sides: Callable[[], None]) -> list[float]:
    """Return the median MiB/s of each side; the sides take turns, so that a busy moment hits all of them."""
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, taken in zip(sides, seconds, strict=True):
            start = time.perf_counter()
            side()
            taken.append(time.perf_counter() - start)
    return [mib / statistics.median(taken) for taken in seconds]


def row(name: str, value: float, peer: float, bar: float) -> dict[str, Any]:
    """Return one result: ``ratio`` is ours over the peer's, ``met`` whether it reaches ``bar``."""
    ratio = value / peer
    return {
        "name": name,
        "value": round(value, 1),
        "unit": "MiB/s",
        "peer": round(peer, 1),
        "ratio": round(ratio, 3),
        "bar": bar,
        "met": ratio >= bar,
    }


if __name__ == "__main__":
    sys.exit(main())
