"""Ratings from preferences: they find planted strengths, hold against bots, and agree with people on real data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rodagila.core.errors import InvalidInput
from rodagila.value.preferences import Vote, rate

STRENGTHS = np.array([0.9, 0.5, 0.1, -0.3, -1.2])


def votes_of(rng: np.random.Generator, rater: int, count: int, strengths: np.ndarray = STRENGTHS) -> list[Vote]:
    found = []
    for _ in range(count):
        first, second = rng.choice(len(strengths), 2, replace=False)
        chance = 1 / (1 + np.exp(strengths[second] - strengths[first]))
        found.append(Vote(rater, int(first), int(second), float(rng.random() < chance)))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_planted_strengths_are_found_within_their_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    votes = [vote for rater in range(20) for vote in votes_of(rng, rater, 100)]
    found = rate(votes, models=5, weights=[1.0] * 20)
    wanted = STRENGTHS - STRENGTHS.mean()
    assert (abs(found.strengths - wanted) < 4 * found.errors).all()
    assert found.ranking() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("smart", [0.0, 0.2])
def test_a_third_of_bots_moves_a_model_by_one_rank_at_most(seed: int, smart: float) -> None:
    rng = np.random.default_rng(seed)
    votes = [vote for rater in range(14) for vote in votes_of(rng, rater, 60)]
    for bot in range(14, 20):  # they push the weakest model; smart ones vote honestly on the others
        for vote in votes_of(rng, bot, 60):
            pushed = 1.0 if vote.first == 4 else 0.0 if vote.second == 4 else vote.outcome
            noise = vote.outcome if rng.random() < smart else float(rng.random() < 0.5)
            votes.append(Vote(bot, vote.first, vote.second, pushed if 4 in (vote.first, vote.second) else noise))
    # A bot that does not read fails the golds; a smart one passes most of them and weighs nearly as much as people do.
    weights = [0.7] * 14 + [0.6 if rng.random() < smart else 0.0 for _ in range(6)]
    honest = rate([vote for vote in votes if vote.rater < 14], models=5, weights=weights)
    found = rate(votes, models=5, weights=weights)
    assert abs(found.ranking().index(4) - honest.ranking().index(4)) <= 1


def test_a_rater_who_says_the_opposite_of_all_others_is_dropped() -> None:
    rng = np.random.default_rng(7)
    votes = [vote for rater in range(9) for vote in votes_of(rng, rater, 80)]
    votes += [Vote(9, vote.first, vote.second, 1 - vote.outcome) for vote in votes_of(rng, 9, 80, 3 * STRENGTHS)]
    assert 9 in rate(votes, models=5, weights=[1.0] * 10).dropped


def read_preferences(folder: Path) -> tuple[list[Vote], list[str]]:
    rows = json.loads((folder / "testset-v1.json").read_text())
    models = sorted({name for row in rows for name in row["cmp_key"].split("_")})
    found = []
    for row in rows:
        first, second = (models.index(name) for name in row["cmp_key"].split("_"))
        for rater in range(3):
            said = int(row[f"annotator{rater + 1}"])
            found.append(Vote(rater, first, second, {0: 0.5, 1: 1.0, 2: 0.0}[said]))
    return found, models


def test_the_ranking_of_real_models_stands_without_any_one_annotator(shared_data: Path) -> None:
    votes, models = read_preferences(shared_data / "pandalm")
    whole = rate(votes, models=len(models), weights=[1.0] * 3)
    for left_out in range(3):
        weights = [float(rater != left_out) for rater in range(3)]
        assert rate(votes, models=len(models), weights=weights).ranking() == whole.ranking()


def test_the_aggregated_preference_is_the_majority_of_the_annotators(shared_data: Path) -> None:
    votes, models = read_preferences(shared_data / "pandalm")
    whole = rate(votes, models=len(models), weights=[1.0] * 3)
    wins: Counter[tuple[int, int]] = Counter()
    for vote in votes:
        wins[vote.first, vote.second] += round(2 * vote.outcome - 1)
    pairs = [(pair, balance) for pair, balance in wins.items() if abs(balance) > 10]
    agree = [(whole.strengths[a] > whole.strengths[b]) == (balance > 0) for (a, b), balance in pairs]
    assert len(agree) >= 8 and np.mean(agree) >= 0.9


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidInput, match="two different models"):
        rate([Vote(0, 1, 1, 1.0)], models=2, weights=[1.0])
    with pytest.raises(InvalidInput, match="outside 0 to 1"):
        rate([Vote(0, 0, 1, 2.0)], models=2, weights=[1.0])
