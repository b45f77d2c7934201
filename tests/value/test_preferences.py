"""Ratings from preferences: they find planted strengths, hold against bots, and agree with people on real data."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.value.aggregate import aggregate
from rodagila.value.answers import Answers
from rodagila.value.preferences import Ratings, Vote, rate

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


MODELS, RATERS = 4, 6
said = st.builds(
    lambda rater, first, step, outcome: Vote(rater, first, (first + step) % MODELS, outcome),
    st.integers(0, RATERS - 1),
    st.integers(0, MODELS - 1),
    st.integers(1, MODELS - 1),
    st.sampled_from([0.0, 0.5, 1.0]),
)
many_votes = st.lists(said, max_size=60)
skills = st.lists(st.sampled_from([0.0, 0.1, 0.35, 0.8, 1.0]), min_size=RATERS, max_size=RATERS)


def parts(found: Ratings) -> tuple[object, ...]:
    arrays = (found.strengths, found.errors, found.low, found.high, found.counts)
    return (*(part.tolist() for part in arrays), dict(found.residuals))


@given(many_votes, skills, st.randoms(use_true_random=False))
def test_swapping_sides_or_reordering_the_votes_changes_no_bit(
    votes: list[Vote], weights: list[float], random: object
) -> None:
    turned = [Vote(v.rater, v.second, v.first, 1 - v.outcome) if i % 2 else v for i, v in enumerate(votes)]
    random.shuffle(turned)  # type: ignore[attr-defined]
    assert parts(rate(votes, models=MODELS, weights=weights)) == parts(rate(turned, models=MODELS, weights=weights))


@given(many_votes, skills, st.permutations(range(MODELS)))
def test_relabelling_the_models_permutes_the_ratings(votes: list[Vote], weights: list[float], order: list[int]) -> None:
    renamed = [Vote(vote.rater, order[vote.first], order[vote.second], vote.outcome) for vote in votes]
    # A residual at the limit could fall to either side by rounding: what is dropped is the subject of other tests.
    found = rate(votes, models=MODELS, weights=weights, residual=1e9)
    again = rate(renamed, models=MODELS, weights=weights, residual=1e9)
    for name in ("strengths", "errors", "low", "high", "counts"):
        assert getattr(again, name)[order] == pytest.approx(
            getattr(found, name), abs=1e-6
        )  # a root of rounding is 1e-8


@given(many_votes, skills, st.integers(0, RATERS - 1))
def test_removing_an_unqualified_rater_changes_no_bit(votes: list[Vote], weights: list[float], rater: int) -> None:
    weights[rater] = 0.0
    left = [vote for vote in votes if vote.rater != rater]
    assert parts(rate(votes, models=MODELS, weights=weights)) == parts(rate(left, models=MODELS, weights=weights))


def test_a_dropped_rater_counts_as_little_as_one_who_never_voted() -> None:
    rng = np.random.default_rng(3)
    votes = [vote for rater in range(9) for vote in votes_of(rng, rater, 80)]
    votes += [Vote(9, vote.first, vote.second, 1 - vote.outcome) for vote in votes_of(rng, 9, 80, 3 * STRENGTHS)]
    found = rate(votes, models=5, weights=[1.0] * 10)
    assert found.dropped == (9,) and found.residuals[9] < -2.8
    rest = rate(votes, models=5, weights=[1.0] * 9 + [0.0])
    assert found.strengths.tolist() == rest.strengths.tolist() and found.high.tolist() == rest.high.tolist()
    assert found.counts.sum() == 2 * 9 * 80


def test_intervals_cover_the_truth_as_often_as_they_say_though_raters_differ_in_taste() -> None:
    rng = np.random.default_rng(11)
    wanted, hits, wide = STRENGTHS - STRENGTHS.mean(), [], []
    for _ in range(60):
        # What one rater says is of one mind: clusters, not coins. Larger differences would flatten the mean strengths.
        tastes = STRENGTHS + rng.normal(0, 0.3, (12, 5))
        votes = [vote for rater in range(12) for vote in votes_of(rng, rater, 40, tastes[rater])]
        found = rate(votes, models=5, weights=[1.0] * 12, residual=1e9)
        hits.append((found.low <= wanted) & (wanted <= found.high))
        wide.append(found.high - found.low)
    assert 0.93 <= np.mean(hits) <= 0.99
    assert np.mean(wide) < 1.2


def test_with_one_rater_or_none_intervals_are_those_of_the_information() -> None:
    alone = rate([Vote(0, 0, 1, 1.0)], models=2, weights=[1.0])
    assert (alone.low < alone.strengths).all() and np.isfinite(alone.high).all()
    nobody = rate([], models=2, weights=[])
    assert nobody.strengths.tolist() == [0, 0] and nobody.counts.tolist() == [0, 0]


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


def read_items(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return what each annotator said of each pair (items, 3) and the majority, -1 where all three differ."""
    rows = json.loads((folder / "testset-v1.json").read_text())
    said = np.array([[int(row[f"annotator{rater}"]) for rater in (1, 2, 3)] for row in rows])
    counts = np.stack([(said == choice).sum(axis=1) for choice in range(3)], axis=1)
    return said, np.where(counts.max(axis=1) >= 2, counts.argmax(axis=1), -1)


def answers_of(said: np.ndarray, annotators: list[int]) -> Answers:
    items = np.arange(len(said))
    account = np.repeat(np.arange(len(annotators)), len(said))
    choice = np.concatenate([said[:, annotator] for annotator in annotators])
    return Answers(account, np.tile(items, len(annotators)), choice, len(annotators), len(said), 3)


def test_the_preference_on_each_pair_is_the_majority_s_by_every_method(shared_data: Path) -> None:
    said, majority = read_items(shared_data / "pandalm")
    clear = majority >= 0
    assert clear.mean() > 0.97
    for method in ("majority", "one_coin", "dawid_skene"):
        labels = aggregate(answers_of(said, [0, 1, 2]), method)
        assert (labels[clear] == majority[clear]).mean() >= 0.99, method
        for left_out in range(3):
            two = aggregate(answers_of(said, [rater for rater in range(3) if rater != left_out]), method)
            assert (two[clear] == majority[clear]).mean() >= 0.94, (method, left_out)


def test_no_annotator_is_dropped_and_the_order_is_the_order_of_won_pairs(shared_data: Path) -> None:
    votes, models = read_preferences(shared_data / "pandalm")
    found = rate(votes, models=len(models), weights=[1.0] * 3)
    assert found.dropped == ()
    won = np.zeros(len(models))
    for vote in votes:
        won[vote.first] += vote.outcome
        won[vote.second] += 1 - vote.outcome
    assert found.ranking() == np.argsort(-won / found.counts).tolist()
    # Three raters say little of how raters at large differ: the intervals are wide, and say so.
    best, worst = found.ranking()[0], found.ranking()[-1]
    assert found.low[best] > found.high[worst]


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidInput, match="two different models"):
        rate([Vote(0, 1, 1, 1.0)], models=2, weights=[1.0])
    with pytest.raises(InvalidInput, match="outside 0 to 1"):
        rate([Vote(0, 0, 1, 2.0)], models=2, weights=[1.0])
    with pytest.raises(InvalidInput, match="at least 0"):
        rate([Vote(0, 0, 1, 1.0)], models=2, weights=[float("nan")])
