"""Accuracy, recall at 5, and their intervals."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.learn.evaluation import classify_outcomes, metric_of, retrieve_outcomes, rise_of
from rodagila.learn.head import solve, statistics
from rodagila.store.nearest import cosine_ppm, nearest


def test_a_query_counts_when_its_label_is_predicted() -> None:
    vectors = np.array([[100, 0], [0, 100]], np.int8)
    head = solve(statistics(vectors, ["a", "b"]), 1_000_000)
    queries = np.array([[90, 5], [5, 90], [90, 5], [5, 90]], np.int8)
    assert classify_outcomes(head, queries, ["a", "b", "b", "never seen"]).tolist() == [1, 1, 0, 0]
    assert classify_outcomes(None, queries, ["a"] * 4).tolist() == [0, 0, 0, 0]


def test_a_query_counts_when_its_answer_is_among_the_five_nearest() -> None:
    records = np.array([[100, i] for i in range(0, 70, 10)], np.int8)
    answers = [f"answer {i}" for i in range(7)]
    query = np.array([[100, 0]] * 3, np.int8)
    assert retrieve_outcomes(records, answers, query, ["answer 0", "answer 4", "answer 5"]).tolist() == [1, 1, 0]


def test_ties_go_to_the_earlier_record() -> None:
    records = np.array([[50, 50]] * 8, np.int8)
    assert nearest(np.array([[1, 1]], np.int8), records, 5).tolist() == [[0, 1, 2, 3, 4]]


def test_there_may_be_fewer_records_than_asked_for() -> None:
    queries = np.array([[1, 0]], np.int8)
    assert nearest(queries, np.array([[1, 0], [0, 1]], np.int8), 5).tolist() == [[0, 1]]
    assert nearest(queries, np.zeros((0, 2), np.int8), 5).shape == (1, 0)
    assert retrieve_outcomes(np.zeros((0, 2), np.int8), [], queries, ["x"]).tolist() == [0]


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 6))
def test_the_order_is_that_of_exact_cosines(seed: int, count: int, k: int) -> None:
    generator = np.random.Generator(np.random.PCG64(seed))
    records = generator.integers(-127, 128, (count, 8)).astype(np.int8)
    query = generator.integers(-127, 128, (1, 8)).astype(np.int8)
    found = nearest(query, records, k)[0].tolist()

    def signed_square(place: int) -> Fraction:
        row = records[place].astype(int)
        dot, size = int(row @ query[0].astype(int)), int(row @ row)
        return Fraction((1 if dot >= 0 else -1) * dot * dot, max(size, 1))

    values = [signed_square(place) for place in found]
    resolution = Fraction(1, 2**14)
    assert all(early >= late - resolution for early, late in itertools.pairwise(values))
    rest = set(range(count)) - set(found)
    assert all(signed_square(place) <= values[-1] + resolution for place in rest)


def test_cosines_are_in_millionths() -> None:
    assert cosine_ppm(np.array([3, 4], np.int8), np.array([3, 4], np.int8)) == 1_000_000
    assert cosine_ppm(np.array([3, 4], np.int8), np.array([-3, -4], np.int8)) == -1_000_000
    assert cosine_ppm(np.array([1, 0], np.int8), np.array([0, 1], np.int8)) == 0
    assert cosine_ppm(np.array([0, 0], np.int8), np.array([0, 1], np.int8)) == 0


def test_the_interval_holds_the_value_and_has_the_binomial_width() -> None:
    outcomes = np.array([1] * 800 + [0] * 200)
    metric = metric_of("accuracy", outcomes, resamples=2_000, seed=4)
    assert metric.value_ppm == 800_000
    assert metric.low_ppm < 800_000 < metric.high_ppm
    width = 2 * 1.96 * (0.8 * 0.2 / 1000) ** 0.5
    assert abs((metric.high_ppm - metric.low_ppm) / 1e6 - width) < 0.1 * width
    assert metric == metric_of("accuracy", outcomes, resamples=2_000, seed=4)


def test_pairing_makes_the_interval_of_a_rise_narrower() -> None:
    before = np.array([0] * 300 + [1] * 700)
    after = before.copy()
    after[:50] = 1
    rise = rise_of(before, after, resamples=1_000, seed=3)
    assert rise.value_ppm == 50_000
    assert 0 < rise.low_ppm < 50_000 < rise.high_ppm
    single = metric_of("accuracy", after, resamples=1_000, seed=3)
    assert rise.high_ppm - rise.low_ppm < single.high_ppm - single.low_ppm


def test_a_metric_needs_queries_and_a_rise_needs_the_same_ones() -> None:
    with pytest.raises(InvalidInput):
        metric_of("accuracy", np.array([], dtype=np.int64), resamples=10, seed=1)
    with pytest.raises(InvalidInput):
        rise_of(np.array([1]), np.array([1, 0]), resamples=10, seed=1)
