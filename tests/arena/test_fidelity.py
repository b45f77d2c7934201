"""The fidelity study in small: its losses are those of training again, and its table is the one in the documents."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # the arena is a folder of scripts at the project's root

from arena import fidelity, texts  # noqa: E402
from rodagila.learn.head import solve, statistics  # noqa: E402


@pytest.fixture(scope="module")
def corpus() -> texts.Corpus:
    """Vectors around the centres of eight labels; no text is needed."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 8, 900)
    rows = rng.normal(size=(8, 24))[labels] + 0.9 * rng.normal(size=(900, 24))
    vectors = np.rint(60 * rows / np.abs(rows).max(axis=1, keepdims=True)).astype(np.int8)
    return texts.Corpus("drawn", ("",) * 900, tuple("abcdefgh"), labels, vectors)


SIZE = fidelity.Size(500, 100, 200, 40)


@pytest.mark.parametrize("kind", fidelity.KINDS)
def test_a_groups_loss_is_that_of_training_without_it(corpus: texts.Corpus, kind: str) -> None:
    case = fidelity.Case(corpus, SIZE, 1, "interleaved", kind)
    lost, group = case.losses(case.gate), case.groups[0]
    learned = case.values.s >= 0 if case.leaves_slashed_out else np.ones(len(case.owner), bool)
    kept, everything = case.records.take(learned & ~group[case.owner]), case.records.take(learned)

    def error(*parts: fidelity.Examples) -> float:
        vectors = np.vstack([part.vectors for part in parts])
        names = [str(code) for part in parts for code in part.targets.tolist()]
        return fidelity.expected_error(solve(statistics(vectors, names), fidelity.RIDGE_PPM), case.gate)

    expected = error(case.reference, kept) - error(case.reference, everything)
    assert lost[0] == pytest.approx(expected, abs=1e-12)


def test_both_orders_have_the_same_owners_and_queries_are_disjoint(corpus: texts.Corpus) -> None:
    one, two = (fidelity.Case(corpus, SIZE, 2, order, "honest") for order in fidelity.ORDERS)
    assert (one.groups == two.groups).all() and one.whole == two.whole
    assert two.owner.tolist() == sorted(one.owner.tolist())
    sets = [{row.tobytes() for row in part.vectors} for part in (one.records, one.queries, one.gate, one.reference)]
    assert sum(map(len, sets)) == len(set().union(*sets))


def test_rows_give_the_mean_and_an_interval_that_stays_below_one() -> None:
    row = fidelity.row_of(("clinc150", "honest", "interleaved"), "ocis", [0.9, 0.95, 0.99])
    assert row["low"] < row["value"] < row["high"] < 1 and row["met"] is True
    assert fidelity.row_of(("clinc150", "honest", "in sequence"), "data size", [0.5, 0.6])["aim"] is None


def test_the_documents_state_what_was_measured() -> None:
    rows = json.loads(fidelity.RESULTS.read_text(encoding="utf-8"))["rows"]
    written = (ROOT / "docs" / "mechanism.md").read_text(encoding="utf-8")
    assert fidelity.markdown(rows) in written, "run: python -m arena.fidelity, and copy its table"
