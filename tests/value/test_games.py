"""Reference methods of valuation against analytic games and brute force."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.value import nearest
from rodagila.value.first_order import train_and_value
from rodagila.value.games import (
    FunctionUtility,
    Valuation,
    after_samples,
    banzhaf_by_reuse,
    coalitions,
    exact_banzhaf,
    exact_shapley,
    leave_one_out,
    paired_permutations,
    permutation_shapley,
    within_error,
)
from rodagila.value.nearest import knn_shapley, knn_shapley_of, owner_nearest_shapley, threshold_knn_shapley

SEEDS = st.integers(0, 100_000)


def by_orders(players: int, worth: object) -> np.ndarray:
    """Return Shapley values by their definition: the mean marginal over all orders."""
    total = np.zeros(players)
    every = list(permutations(range(players)))
    for order in every:
        members = np.zeros(players, bool)
        before = worth(members)  # type: ignore[operator]
        for player in order:
            members[player] = True
            after = worth(members)  # type: ignore[operator]
            total[player] += after - before
            before = after
    return total / len(every)


def random_game(seed: int, players: int) -> FunctionUtility:
    """Return a game whose coalitions have random worths, 0 for nobody."""
    worths = np.random.default_rng(seed).normal(size=1 << players)
    worths[0] = 0.0
    return FunctionUtility(players, lambda members: worths[int((members * (1 << np.arange(players))).sum())])


def test_the_airport_game_has_its_known_values() -> None:
    costs = np.array([1.0, 2.0, 4.0, 4.0])
    found = exact_shapley(FunctionUtility(4, lambda members: float((costs * members).max())))
    # Each stretch of the runway is shared by those who need it: 1/4, 1/4 + 1/3, and + 2/2 each.
    np.testing.assert_allclose(found.values, [1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1, 1 / 4 + 1 / 3 + 1], atol=1e-12)


def test_gloves_have_their_known_values() -> None:
    # One left glove, two right ones: pairs are worth 1.
    found = exact_shapley(FunctionUtility(3, lambda members: float(members[0] and members[1:].any())))
    np.testing.assert_allclose(found.values, [2 / 3, 1 / 6, 1 / 6], atol=1e-12)


def test_a_majority_of_three_has_its_known_banzhaf_values() -> None:
    found = exact_banzhaf(FunctionUtility(3, lambda members: float(members.sum() >= 2)))
    np.testing.assert_allclose(found.values, [0.5, 0.5, 0.5], atol=1e-12)


@given(SEEDS, st.integers(1, 6))
@settings(max_examples=25)
def test_shapley_values_are_the_mean_marginals_of_all_orders_and_sum_to_the_whole(seed: int, players: int) -> None:
    game = random_game(seed, players)
    found = exact_shapley(game)
    np.testing.assert_allclose(found.values, by_orders(players, game), atol=1e-12)
    assert found.values.sum() == pytest.approx(game(np.ones(players, bool)), abs=1e-12)


@given(SEEDS)
@settings(max_examples=10)
def test_leaving_one_out_asks_one_question_a_player(seed: int) -> None:
    game = random_game(seed, 7)
    found = leave_one_out(game)
    assert game.calls == 8
    everyone = np.ones(7, bool)
    for player in range(7):
        others = everyone.copy()
        others[player] = False
        assert found.values[player] == pytest.approx(game(everyone) - game(others), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_sampled_values_come_within_their_own_errors_of_the_exact_ones(seed: int) -> None:
    game = random_game(seed, 6)
    for sampled, exact in (
        (permutation_shapley(game, after_samples(3_000), seed), exact_shapley(game)),
        (banzhaf_by_reuse(game, after_samples(6_000), seed), exact_banzhaf(game)),
    ):
        assert (sampled.counts >= 3_000).all() and (sampled.standard_errors > 0).all()
        assert (abs(sampled.values - exact.values) <= 4.5 * sampled.standard_errors).all()


def test_sampling_stops_at_the_error_that_was_asked_for() -> None:
    found = permutation_shapley(random_game(1, 5), within_error(0.02), seed=2)
    assert found.standard_errors.max() <= 0.02 and found.counts.min() >= 30


@pytest.mark.parametrize("seed", range(3))
def test_orders_paired_with_their_reverse_are_nearer_for_the_same_number(seed: int) -> None:
    worths = np.random.default_rng(seed).normal(size=7)
    square = FunctionUtility(7, lambda members: float(worths[members].sum() ** 2))  # pairs of players interact
    exact = exact_shapley(square).values
    alone = [abs(permutation_shapley(square, after_samples(40), at).values - exact).mean() for at in range(20)]
    paired = [
        abs(permutation_shapley(square, after_samples(40), at, paired_permutations).values - exact).mean()
        for at in range(20)
    ]
    assert max(paired) <= 1e-9 < np.mean(alone)  # with interactions of pairs alone, two orders say all


@given(SEEDS, st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_sampled_methods_that_see_everything_once_are_exact(seed: int, players: int) -> None:
    game = random_game(seed, players)
    every = list(permutations(range(players)))
    by_all_orders = permutation_shapley(
        game, after_samples(len(every)), sampler=lambda _, __: iter(np.array(every, np.int64))
    )
    np.testing.assert_allclose(by_all_orders.values, exact_shapley(game).values, atol=1e-12)
    by_all_coalitions = banzhaf_by_reuse(game, after_samples(1 << players), sampler=lambda n, _: coalitions(n))
    brute = exact_banzhaf(game).values
    np.testing.assert_allclose(by_all_coalitions.values, brute, atol=1e-12)
    for player in range(players):
        others = [members for members in coalitions(players) if not members[player]]
        marginal = np.mean([game(members | (np.arange(players) == player)) - game(members) for members in others])
        assert brute[player] == pytest.approx(marginal, abs=1e-12)


def test_every_order_of_samples_shares_the_worth_of_all() -> None:
    game = random_game(4, 8)
    found = permutation_shapley(game, after_samples(5), seed=1)
    assert found.values.sum() == pytest.approx(game(np.ones(8, bool)), abs=1e-12)


def test_too_many_players_for_exact_values_are_refused() -> None:
    with pytest.raises(InvalidInput, match="17 players were given, at most 16"):
        exact_shapley(FunctionUtility(17, lambda members: 0.0))


def nearest_worth(distances: np.ndarray, agree: np.ndarray, k: int) -> FunctionUtility:
    def worth(members: np.ndarray) -> float:
        rows = np.flatnonzero(members)
        total = 0.0
        for query in range(len(distances)):
            near = sorted(rows, key=lambda row: (distances[query, row], row))[:k]
            total += sum(agree[query, row] for row in near) / k
        return total / len(distances)

    return FunctionUtility(distances.shape[1], worth)


def draw(seed: int, queries: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, (queries, count)) / 4, rng.random((queries, count)) < 0.5  # with ties


@given(SEEDS, st.integers(1, 7), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=40)
def test_knn_values_are_those_of_brute_force(seed: int, count: int, queries: int, k: int) -> None:
    distances, agree = draw(seed, queries, count)
    brute = exact_shapley(nearest_worth(distances, agree, k))
    np.testing.assert_allclose(knn_shapley(distances, agree, k).values, brute.values, atol=1e-12)


@given(SEEDS, st.integers(1, 7), st.integers(1, 4), st.integers(1, 9))
@settings(max_examples=40)
def test_knn_values_from_vectors_are_those_of_brute_force(seed: int, count: int, queries: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    records, asked = (rng.integers(-2, 3, (rows, 3)).astype(np.int8) for rows in (count, queries))  # with ties
    targets, wanted = rng.integers(0, 3, count), rng.integers(0, 3, queries)
    squared = ((asked[:, None].astype(int) - records[None].astype(int)) ** 2).sum(axis=2)
    brute = exact_shapley(nearest_worth(squared, wanted[:, None] == targets, k))
    np.testing.assert_allclose(knn_shapley_of(records, targets, asked, wanted, k).values, brute.values, atol=1e-12)


def by_recursion(distances: np.ndarray, agree: np.ndarray, k: int) -> np.ndarray:
    """Return the values as the paper writes them, rank by rank from the last one."""
    total = np.zeros(distances.shape[1])
    for row, hits in zip(distances, agree.astype(float), strict=True):
        order = sorted(range(len(row)), key=lambda place: (row[place], place))
        value = hits[order[-1]] / max(k, len(row))
        total[order[-1]] += value
        for rank in range(len(row) - 1, 0, -1):
            value += (hits[order[rank - 1]] - hits[order[rank]]) / max(k, rank)
            total[order[rank - 1]] += value
    return total / len(distances)


@pytest.mark.parametrize("kind", ["ties", "close", "wide", "int8", "float32"])
def test_many_records_and_queries_have_the_values_of_the_recursion(kind: str) -> None:
    rng = np.random.default_rng(7)
    base = rng.normal(size=(40, 3_000))
    drawn = {
        "ties": rng.integers(-3, 3, base.shape) * -0.0 + rng.integers(-9, 9, base.shape),
        "close": 1 + 2.0**-52 * rng.integers(0, 900, base.shape),  # differ in their lowest bits alone
        "wide": base * 10.0 ** rng.integers(-300, 300, base.shape),
        "int8": rng.integers(-127, 128, base.shape).astype(np.int8),
        "float32": base.astype(np.float32),
    }[kind]
    agree = rng.random(base.shape) < 0.2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "CELLS", 17 * 3_000)
        found = knn_shapley(drawn, agree, 5).values
    np.testing.assert_allclose(found, by_recursion(drawn, agree, 5), atol=1e-14)


def test_the_number_of_threads_changes_no_bit_of_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    distances, agree = draw(3, 60, 4_000)
    alone = knn_shapley(distances, agree, 5).values
    for cores in (1, 3):
        monkeypatch.setattr(nearest, "cores", lambda cores=cores: cores)
        assert (knn_shapley(distances, agree, 5).values == alone).all()


@given(st.lists(st.floats(allow_nan=False, width=32) | st.sampled_from([0.0, -0.0, 1.0, 1 + 2**-52]), max_size=40))
def test_the_fast_order_is_the_stable_order(distances: list[float]) -> None:
    row = np.array(distances, np.float64)
    assert nearest._order(row).tolist() == np.argsort(row, kind="stable").tolist()


@given(SEEDS, st.integers(1, 7), st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=40)
def test_threshold_values_are_those_of_brute_force(seed: int, count: int, queries: int, classes: int) -> None:
    distances, agree = draw(seed, queries, count)

    def worth(members: np.ndarray) -> float:
        inside = members & (distances <= 0.5)
        sizes, hits = inside.sum(axis=1), (inside & agree).sum(axis=1)
        return float(np.where(sizes > 0, hits / np.maximum(sizes, 1), 1 / classes).mean())

    brute = exact_shapley(FunctionUtility(count, worth))
    found = threshold_knn_shapley(distances, agree, 0.5, classes)
    np.testing.assert_allclose(found.values, brute.values, atol=1e-12)


@given(SEEDS, st.integers(1, 6), st.integers(1, 4), st.integers(0, 8))
@settings(max_examples=40)
def test_owners_values_are_those_of_brute_force(seed: int, owners: int, queries: int, more: int) -> None:
    distances, agree = draw(seed, queries, owners + more)
    rng = np.random.default_rng(seed + 1)
    codes = rng.permutation(np.concatenate([np.arange(owners), rng.integers(0, owners, more)]))

    def worth(members: np.ndarray) -> float:
        rows = np.flatnonzero(members[codes])
        if not len(rows):
            return 0.0
        near = [min(rows, key=lambda row: (distances[query, row], row)) for query in range(queries)]
        return float(np.mean([agree[query, row] for query, row in enumerate(near)]))

    brute = exact_shapley(FunctionUtility(owners, worth))
    np.testing.assert_allclose(owner_nearest_shapley(distances, agree, codes).values, brute.values, atol=1e-12)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"\(2, 3\) and agreements \(3, 2\)"):
        knn_shapley(np.zeros((2, 3)), np.zeros((3, 2), bool), 1)
    with pytest.raises(InvalidInput, match="without a gap"):
        owner_nearest_shapley(np.zeros((1, 2)), np.zeros((1, 2), bool), np.array([0, 2]))
    with pytest.raises(InvalidInput, match="the 0 nearest"):
        knn_shapley(np.zeros((1, 2)), np.zeros((1, 2), bool), 0)
    with pytest.raises(InvalidInput, match="not a number"):
        knn_shapley(np.array([[0.0, np.nan]]), np.zeros((1, 2), bool), 1)
    with pytest.raises(InvalidInput, match="must fit together"):
        knn_shapley_of(np.zeros((3, 2)), np.zeros(2), np.zeros((1, 2)), np.zeros(1), 1)


def softmax_run(seed: int, count: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 6))
    labels, answers = rng.integers(0, 3, count), rng.integers(0, 3, 20)
    records = centres[labels] + 0.5 * rng.normal(size=(count, 6))
    return records, labels, centres[answers] + 0.5 * rng.normal(size=(20, 6)), answers


@pytest.mark.parametrize("seed", range(5))
def test_in_run_values_are_the_inner_products_of_full_gradients(seed: int) -> None:
    records, labels, queries, answers = softmax_run(seed)
    found = train_and_value(records, labels, queries, answers, classes=3, steps=1, rate=0.1)

    def gradient(rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return rows.T @ (np.full((len(rows), 3), 1 / 3) - np.eye(3)[codes]) / len(rows)  # at weights of zero

    whole = gradient(queries, answers)
    single = [
        0.1 * (whole * gradient(records[i : i + 1], labels[i : i + 1])).sum() / len(records) for i in range(len(labels))
    ]
    scale = found.drop / found.first_order
    np.testing.assert_allclose(found.values.values, np.array(single) * scale, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_small_steps_are_explained_by_the_first_order(seed: int) -> None:
    records, labels, queries, answers = softmax_run(seed)
    found = train_and_value(records, labels, queries, answers, classes=3, steps=200, rate=0.005)
    assert abs(found.unexplained) < 0.02
    assert found.values.values.sum() == pytest.approx(found.drop)


@pytest.mark.parametrize("seed", range(5))
def test_wrong_labels_are_worth_less_than_nothing_in_the_run(seed: int) -> None:
    records, labels, queries, answers = softmax_run(seed, 60)
    wrong = labels.copy()
    wrong[:6] = (labels[:6] + 1) % 3
    found = train_and_value(records, wrong, queries, answers, classes=3, steps=50, rate=0.1).values.values
    assert found[:6].mean() < 0 < found[6:].mean()


def test_an_exact_value_has_no_error() -> None:
    found = leave_one_out(random_game(3, 3))
    assert isinstance(found, Valuation) and found.standard_errors.tolist() == [0.0, 0.0, 0.0]
