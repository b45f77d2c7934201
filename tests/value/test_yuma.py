"""Yuma consensus: minorities lift nothing, late bonds earn less, and the arithmetic is that of the formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.value.yuma import YumaRules, consensus_of, judge, weighted_median

EVALUATORS, MODELS = 5, 4
matrices = st.lists(
    st.lists(st.integers(0, 9), min_size=MODELS, max_size=MODELS), min_size=EVALUATORS, max_size=EVALUATORS
)
stakes_of = st.lists(st.integers(1, 9), min_size=EVALUATORS, max_size=EVALUATORS)


def brute_consensus(weights: np.ndarray, stakes: np.ndarray, kappa: float) -> list[float]:
    return [
        max((w for w in (*column, 0.0) if w == 0 or stakes[column >= w].sum() >= kappa - 1e-12), default=0.0)
        for column in weights.T
    ]


@given(matrices, stakes_of)
def test_consensus_is_what_the_majority_of_stake_says_at_least(rows: list[list[int]], stakes: list[int]) -> None:
    weights, stake = np.array(rows, float), np.array(stakes, float) / sum(stakes)
    assert consensus_of(weights, stake, 0.5).tolist() == brute_consensus(weights, stake, 0.5)


@given(matrices, stakes_of)
def test_incentives_and_dividends_are_shares_and_do_not_depend_on_who_is_named_first(
    rows: list[list[int]], stakes: list[int]
) -> None:
    weights, stake, bonds = np.array(rows, float), np.array(stakes, float), np.zeros((EVALUATORS, MODELS))
    found = judge(weights, stake, bonds)
    for shares in (found.incentives, found.dividends):
        assert shares.min() >= 0 and (shares.sum() == pytest.approx(1) or shares.sum() == 0)
    order = np.arange(EVALUATORS)[::-1]
    turned = judge(weights[order], stake[order], bonds)
    assert np.allclose(turned.dividends[order], found.dividends)
    assert np.allclose(turned.incentives, found.incentives)


def test_one_round_by_hand() -> None:
    weights, stakes = np.array([[0.6, 0.4], [0.2, 0.8]]), np.array([0.75, 0.25])
    found = judge(weights, stakes, np.zeros((2, 2)), YumaRules(slow=0.5, fast=0.5))
    assert found.consensus.tolist() == [0.6, 0.4]
    incentives = np.array([0.75 * 0.6 + 0.25 * 0.2, 0.4]) / 0.9
    assert np.allclose(found.incentives, incentives)
    assert np.allclose(found.bonds, [[0.3, 0.2], [0.1, 0.2]])
    earned = stakes * np.array([0.75 * incentives[0] + 0.5 * incentives[1], 0.25 * incentives[0] + 0.5 * incentives[1]])
    assert np.allclose(found.dividends, earned / earned.sum())


def test_a_minority_cannot_lift_a_model_that_it_alone_favours() -> None:
    weights = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    found = judge(weights, np.array([0.26, 0.25, 0.49]), np.zeros((3, 3)))
    assert found.incentives.tolist() == [0.5, 0.5, 0.0]
    assert found.dividends[2] == 0


def test_splitting_an_evaluator_s_stake_changes_no_incentive() -> None:
    weights, stakes = np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]]), np.array([0.5, 0.3, 0.2])
    whole = judge(weights, stakes, np.zeros((3, 2)))
    halves = judge(weights[[0, 0, 1, 2]], np.array([0.25, 0.25, 0.3, 0.2]), np.zeros((4, 2)))
    assert np.allclose(halves.incentives, whole.incentives)


def test_who_finds_a_good_model_first_earns_more_than_who_copies_it_a_round_later() -> None:
    old, new = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    bonds, stakes = np.zeros((3, 2)), np.ones(3)
    for _ in range(20):
        bonds = judge(np.array([old, old, old]), stakes, bonds).bonds
    found = judge(np.array([new, new, old]), stakes, bonds)
    assert found.dividends[2] < found.dividends[0] == found.dividends[1]


def test_nobody_earns_where_no_stake_agrees() -> None:
    found = judge(np.eye(3), np.ones(3), np.zeros((3, 3)))
    assert found.incentives.sum() == found.dividends.sum() == 0


def test_the_weighted_median_ignores_how_far_a_minority_lies() -> None:
    assert weighted_median(np.array([0.5, 0.6, 99.0]), np.array([26.0, 25.0, 49.0])) == 0.6
    assert weighted_median(np.array([3.0]), np.array([1.0])) == 3.0


@pytest.mark.parametrize(
    ("weights", "stakes"),
    [
        (np.array([[-1.0, 1.0]]), np.ones(1)),
        (np.array([[np.nan, 1.0]]), np.ones(1)),
        (np.ones((1, 2)), np.zeros(1)),
        (np.ones((1, 2)), np.ones(2)),
    ],
)
def test_impossible_inputs_are_refused(weights: np.ndarray, stakes: np.ndarray) -> None:
    with pytest.raises(InvalidInput):
        judge(weights, stakes, np.zeros((1, 2)))
