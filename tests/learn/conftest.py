"""The embedder, loaded once, and a fixed part of CLINC150 as vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rodagila.core.records import Record
from rodagila.learn.embedder import MiniLM
from rodagila.learn.model import Examples

OWNERS, EACH = 20, 75


@dataclass(frozen=True)
class Clinc:
    """R of 300 records, 20 owners x 75 records in place order, 500 gate queries, all disjoint."""

    records: tuple[Record, ...]
    reference: Examples
    owned: Examples
    gate: Examples

    def of_turns(self, turns: int) -> Examples:
        """What five owners a turn brought in the first ``turns`` turns."""
        count = turns * 5 * EACH
        owned = self.owned
        return Examples(owned.vectors[:count], owned.targets[:count], owned.places[:count], owned.owners[:count])


@pytest.fixture(scope="session")
def minilm() -> Iterator[MiniLM]:
    embedder = MiniLM()
    embedder.load()
    yield embedder
    embedder.close()


@pytest.fixture(scope="session")
def clinc(shared_data: Path, minilm: MiniLM) -> Clinc:
    data = json.loads((shared_data / "clinc150" / "data_full.json").read_text())
    generator = np.random.Generator(np.random.PCG64(7))
    train = [data["train"][i] for i in generator.permutation(15_000)[: 300 + OWNERS * EACH]]
    test = [data["test"][i] for i in generator.permutation(4_500)[:500]]
    vectors = minilm.encode([text for text, _ in train + test])
    labels = tuple(label for _, label in train + test)
    owned = range(300, 300 + OWNERS * EACH)
    return Clinc(
        records=tuple(Record(text, label=label) for text, label in train[300:]),
        reference=Examples(vectors[:300], labels[:300]),
        owned=Examples(
            vectors[300 : owned.stop],
            labels[300 : owned.stop],
            tuple(range(len(owned))),
            tuple(f"owner {i // EACH}" for i in range(len(owned))),
        ),
        gate=Examples(vectors[owned.stop :], labels[owned.stop :]),
    )
