"""A score's uncertainty is that of resampling the scoring queries, in integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ocis import draw_inputs

from rodagila.value.ocis import value_records
from rodagila.value.uncertainty import ByQuery, by_query, interval


@given(st.integers(0, 10_000), st.integers(0, 40), st.integers(1, 20), st.sampled_from(["classify", "retrieve"]))
@settings(max_examples=60, deadline=None)
def test_the_parts_of_a_value_and_of_a_check_sum_to_them(seed: int, records: int, queries: int, task: str) -> None:
    inputs = replace(draw_inputs(seed, records, queries), task=task)
    found = value_records(inputs)
    parts = by_query(inputs, found)
    assert [sum(parts.v.get(row, {}).values()) for row in range(records)] == list(found.v)
    assert [sum(parts.s.get(row, {}).values()) for row in range(records)] == found.s.tolist()
    assert sum(parts.paid.values()) == sum(v for v, s in zip(found.v, found.s, strict=True) if s >= 0)


def matrix(parts: ByQuery, rows: list[int]) -> np.ndarray:
    return np.array([[parts.v.get(row, {}).get(q, 0) for q in range(parts.queries)] for row in rows], np.float64)


@pytest.mark.parametrize("seed", range(3))
def test_errors_are_those_of_drawing_queries_again(seed: int) -> None:
    inputs = draw_inputs(seed, records=40, queries=300)
    found = value_records(inputs)
    parts = by_query(inputs, found)
    rows = [row for row, (v, s) in enumerate(zip(found.v, found.s, strict=True)) if v > 0 and s >= 0]
    worth = matrix(parts, rows)
    draws = np.random.default_rng(seed).multinomial(300, np.full(300, 1 / 300), 4_000)
    sums = draws @ worth.T
    shares = 10**9 * sums / (draws @ np.array([parts.paid.get(q, 0) for q in range(300)], np.float64))[:, None]
    busy = [at for at, row in enumerate(rows) if found.helped[row] >= 20]
    assert len(busy) > 3
    for at in busy:
        assert parts.value_error([rows[at]]) == pytest.approx(sums[:, at].std(), rel=0.08)
        assert parts.pay_error([rows[at]], 10**9) == pytest.approx(shares[:, at].std(), rel=0.08)


def test_who_gets_all_is_sure_of_it_and_parts_are_not_independent() -> None:
    inputs = draw_inputs(4, records=30, queries=100)
    found = value_records(inputs)
    parts = by_query(inputs, found)
    paid = [row for row, s in enumerate(found.s) if s >= 0]
    assert parts.pay_error(paid, 10**9) == 0
    assert parts.pay_error(paid[:5], 10**9) == parts.pay_error(paid[5:], 10**9) > 0


def test_one_query_says_nothing_about_others_and_intervals_round_outwards() -> None:
    inputs = draw_inputs(5, records=10, queries=1)
    assert by_query(inputs, value_records(inputs)).value_error(range(10)) == 0
    assert interval(10, 100) == (80, 120) and interval(0, 7) == (7, 7)
    assert (
        by_query(
            replace(inputs, records=inputs.records.take([]), turns=inputs.turns[:0], slashed=inputs.slashed[:0]),
            value_records(
                replace(inputs, records=inputs.records.take([]), turns=inputs.turns[:0], slashed=inputs.slashed[:0])
            ),
        ).v
        == {}
    )
