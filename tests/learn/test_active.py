"""Active choice: it improves the head faster than chance, covers the pool, and always says the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from conftest import Clinc
from rodagila.core.errors import InvalidInput
from rodagila.core.vectors import Int8Array
from rodagila.learn.active import margins, next_to_label
from rodagila.learn.evaluation import classify_outcomes
from rodagila.learn.head import Head, solve, statistics

RIDGE = 1_000_000
Choice = Callable[[Head, Int8Array, int, int], np.ndarray]


def chance(head: Head, pool: Int8Array, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(pool))[:count]


def accuracy_after(clinc: Clinc, choice: Choice, seed: int, batches: int = 5, count: int = 40) -> float:
    """Label ``batches`` x ``count`` of the pool after 150 at random; return the mean accuracy on the gate set."""
    vectors, labels = clinc.owned.vectors, np.array(clinc.owned.targets)
    order = np.random.default_rng(seed).permutation(len(vectors))
    known, pool = order[:150], order[150:]
    reached = []
    for batch in range(batches):
        head = solve(statistics(vectors[known], labels[known].tolist()), RIDGE)
        chosen = choice(head, vectors[pool], count, seed * 100 + batch)
        known, pool = np.concatenate([known, pool[chosen]]), np.delete(pool, chosen)
        head = solve(statistics(vectors[known], labels[known].tolist()), RIDGE)
        reached.append(classify_outcomes(head, clinc.gate.vectors, clinc.gate.targets).mean())
    return float(np.mean(reached))


def test_chosen_labels_teach_more_than_random_ones(clinc: Clinc) -> None:
    gains = [accuracy_after(clinc, next_to_label, seed) - accuracy_after(clinc, chance, seed) for seed in (11, 12, 13)]
    assert min(gains) > 0.03, gains


def some(count: int = 400, seed: int = 1) -> tuple[Head, Int8Array]:
    rng = np.random.default_rng(seed)
    pool = rng.integers(-100, 100, (count, 16)).astype(np.int8)
    return solve(statistics(pool[:60], [str(i % 5) for i in range(60)]), RIDGE), pool


@pytest.mark.parametrize("count", [0, 1, 7, 40, 399, 400, 1_000])
def test_a_choice_is_of_distinct_places_and_no_longer_than_the_pool(count: int) -> None:
    for head, pool in (some(), (None, some()[1])):
        chosen = next_to_label(head, pool, count, seed=3)
        assert len(chosen) == min(count, len(pool)) == len(set(chosen.tolist()))
        assert all(0 <= place < len(pool) for place in chosen)


def test_the_same_arguments_give_the_same_choice() -> None:
    head, pool = some()
    assert next_to_label(head, pool, 20, 5).tolist() == next_to_label(head, pool, 20, 5).tolist()
    assert next_to_label(None, pool, 20, 5).tolist() != next_to_label(None, pool, 20, 6).tolist()


def test_copies_in_the_pool_are_asked_for_once() -> None:
    head, pool = some(60)
    copies = np.repeat(pool, 10, axis=0)
    chosen = copies[next_to_label(head, copies, 20, seed=1)]
    assert len(np.unique(chosen, axis=0)) >= 16  # a cluster may empty; its place goes to the next in doubt


def test_a_pool_without_records_or_of_one_repeated_gives_what_there_is() -> None:
    head, pool = some()
    assert next_to_label(head, pool[:0], 5, 1).tolist() == []
    same = np.repeat(pool[:1], 30, axis=0)
    assert len(set(next_to_label(head, same, 5, 1).tolist())) == 5


def test_margins_are_between_the_two_best_labels() -> None:
    head, pool = some()
    found = margins(head, pool)
    assert ((found >= 0) & (found <= 1)).all()
    assert margins(None, pool).tolist() == [0.0] * len(pool)
    assert margins(solve(statistics(pool[:3], ["a"] * 3), RIDGE), pool).tolist() == [1.0] * len(pool)


def test_vectors_of_another_length_and_negative_counts_are_refused() -> None:
    head, pool = some()
    for given, count in ((pool[:, :8], 3), (pool, -1), (pool[0], 1)):
        with pytest.raises(InvalidInput, match="as long as the head's"):
            next_to_label(head, given, count, 1)
