"""Contamination: records that repeat queries are counted once each, by the surest sign."""

from __future__ import annotations

import numpy as np
import pytest

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import CheckRules
from rodagila.core.records import Record
from rodagila.prove.contamination import contamination

LONG = " ".join(f"word{number}" for number in range(40))
QUERIES = [Record("Where is my card?", label="card"), Record(LONG, label="long"), Record("will it rain", label="rain")]
RULES = CheckRules()


def axes(*places: int) -> np.ndarray:
    vectors = np.zeros((len(places), 8), np.int8)
    vectors[np.arange(len(places)), places] = 100
    return vectors


def test_exact_near_and_like_records_are_counted_once_each() -> None:
    records = [
        Record("where is my CARD", label="other"),
        Record(LONG.replace("word39", "end"), label="long"),
        Record("is there rain coming", label="rain"),
        Record("something else entirely", label="else"),
    ]
    found = contamination(records, axes(0, 1, 2, 5), QUERIES, axes(0, 1, 2), RULES)
    assert (found.exact, found.near, found.meaning) == (1, 1, 1)
    assert (found.queries_touched, found.places) == (2, (0, 1))
    assert found.as_json() == {
        "records": 4, "queries": 3, "exact": 1, "near": 1, "meaning": 1, "queries_touched": 2
    }  # fmt: skip


def test_a_query_that_many_repeat_is_touched_once() -> None:
    found = contamination([Record("where is my card")] * 3, axes(0, 0, 0), QUERIES, axes(0, 1, 2), RULES)
    assert (found.exact, found.queries_touched) == (3, 1)


def test_clean_and_empty_sets_touch_nothing() -> None:
    clean = contamination([Record("how do I fly to Rome")], axes(6), QUERIES, axes(0, 1, 2), RULES)
    assert (clean.exact, clean.near, clean.meaning, clean.queries_touched) == (0, 0, 0, 0)
    for records, queries in (([], QUERIES), (QUERIES, [])):
        vectors = axes(*range(len(records))), axes(*range(len(queries)))
        assert contamination(records, vectors[0], queries, vectors[1], RULES).queries_touched == 0


def test_every_text_needs_its_vector() -> None:
    with pytest.raises(InvalidInput):
        contamination([Record("a")], axes(), QUERIES, axes(0, 1, 2), RULES)
