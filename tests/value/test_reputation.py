"""Reputation: evidence moves it as beta reputation says, age fades it, and splitting a stake opens no more work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM
from rodagila.value.rater_pay import GoldRecord, gate_ppm
from rodagila.value.reputation import (
    DEFAULT_RULES,
    Evidence,
    Reputation,
    gold_skill_ppm,
    golds_in,
    open_work,
    reputation_of,
    tier_of,
    weight_ppm,
)

counts = st.integers(0, 40)
evidence = st.builds(Evidence, st.integers(0, 8), counts, counts, counts, counts, st.integers(0, 2))
REMEMBERING = replace(DEFAULT_RULES, forget_ppm=PPM, agreement_ppm=PPM, slash=1)


def test_without_forgetting_it_is_the_mean_of_the_beta_distribution() -> None:
    found = reputation_of([Evidence(1, right=6, wrong=1, agreed=3), Evidence(4, disagreed=1)], 9, REMEMBERING)
    assert found == Reputation(9 * PPM, 2 * PPM)
    assert found.mean_ppm == 10 * PPM // 13 and found.unsure_ppm == 2 * PPM // 13


def test_nothing_known_is_one_half_and_wholly_unsure() -> None:
    assert reputation_of([], 5).mean_ppm == PPM // 2 and reputation_of([], 5).unsure_ppm == PPM


@given(st.lists(evidence, max_size=8), st.integers(0, 10))
def test_evidence_of_one_turn_adds_up_in_any_order(given_evidence: list[Evidence], now: int) -> None:
    forward, backward = (reputation_of(items, now) for items in (given_evidence, given_evidence[::-1]))
    assert forward == backward and 0 <= forward.mean_ppm <= PPM


@given(st.lists(evidence, max_size=8), st.integers(0, 8))
def test_good_evidence_never_lowers_it_and_bad_never_raises_it(given_evidence: list[Evidence], turn: int) -> None:
    before = reputation_of(given_evidence, 8).mean_ppm
    assert reputation_of([*given_evidence, Evidence(turn, right=1)], 8).mean_ppm >= before
    assert reputation_of([*given_evidence, Evidence(turn, slashes=1)], 8).mean_ppm <= before


def test_old_evidence_weighs_less_and_later_evidence_is_not_known_yet() -> None:
    slashed = [Evidence(turn, right=10) for turn in range(5)]
    recent, long_ago = ([*slashed, Evidence(turn, slashes=1)] for turn in (4, 0))
    assert reputation_of(recent, 4).mean_ppm < reputation_of(long_ago, 4).mean_ppm
    assert reputation_of([Evidence(7, wrong=9)], 6) == Reputation(0, 0)


def test_skill_is_the_lower_bound_that_pays_answers() -> None:
    gold = golds_in([Evidence(1, right=14, wrong=2), Evidence(3, right=5)])
    assert gold == GoldRecord(21, 19)
    assert gold_skill_ppm(gold) == gate_ppm(gold, PPM // 2, DEFAULT_RULES.least_golds) > 0
    assert gold_skill_ppm(GoldRecord(4, 4)) == 0 < gold_skill_ppm(GoldRecord(5, 5))
    assert gold_skill_ppm(GoldRecord(1000, 500)) == 0, "who guesses weighs nothing"


def test_a_slash_takes_weight_that_golds_gave() -> None:
    golds = [Evidence(turn, right=5) for turn in range(4)]
    honest = weight_ppm(golds, 4)
    assert honest == gold_skill_ppm(GoldRecord(20, 20))
    assert weight_ppm([*golds, Evidence(4, slashes=1)], 4) < honest * 3 // 4


@given(st.lists(st.integers(1, 500 * DEFAULT_RULES.tier_stake), min_size=1, max_size=6))
def test_splitting_a_stake_above_the_first_tier_opens_no_more_work(parts: list[int]) -> None:
    staked = [part for part in parts if part >= DEFAULT_RULES.tier_stake]
    per_unit = DEFAULT_RULES.tier_open
    assert all(open_work(part) <= per_unit * part // DEFAULT_RULES.tier_stake for part in staked)
    assert open_work(sum(parts)) >= max(open_work(part) for part in parts)


def test_tiers_begin_at_one_ten_and_a_hundred_times_the_first_stake() -> None:
    unit = DEFAULT_RULES.tier_stake
    stakes = (0, unit - 1, unit, 10 * unit - 1, 10 * unit, 100 * unit, 10_000 * unit)
    assert [tier_of(stake) for stake in stakes] == [0, 0, 1, 1, 2, 3, 3]
    assert [open_work(stake) for stake in stakes[1:]] == [20, 100, 100, 1_000, 10_000, 10_000]


def test_negative_counts_are_refused() -> None:
    with pytest.raises(InvalidInput, match="cannot be"):
        Evidence(1, right=-1)
