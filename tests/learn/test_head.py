"""The head: exact sums, exact federation, exact unlearning, and weights that follow."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from rodagila.core.errors import InvalidInput
from rodagila.learn.head import GramStatistics, Head, add, head_hash, predict, solve, statistics, subtract

RIDGE = 1_000_000


@st.composite
def owned_rows(draw: st.DrawFn) -> tuple[np.ndarray, list[str], list[int]]:
    count = draw(st.integers(1, 60))
    seed = draw(st.integers(0, 2**32))
    generator = np.random.Generator(np.random.PCG64(seed))
    vectors = generator.integers(-127, 128, (count, draw(st.integers(1, 24)))).astype(np.int8)
    labels = [f"label {i}" for i in generator.integers(0, draw(st.integers(1, 8)), count)]
    return vectors, labels, generator.integers(0, 4, count).tolist()


def part(rows: tuple[np.ndarray, list[str], list[int]], owners: set[int]) -> GramStatistics:
    vectors, labels, who = rows
    kept = [i for i, owner in enumerate(who) if owner in owners]
    return statistics(vectors[kept], [labels[i] for i in kept])


@given(owned_rows())
def test_the_sum_of_owners_is_the_whole_bit_for_bit(rows: tuple[np.ndarray, list[str], list[int]]) -> None:
    vectors, labels, _ = rows
    total = part(rows, {0})
    for owner in (3, 1, 2):
        total = add(total, part(rows, {owner}))
    whole = statistics(vectors, labels)
    assert total == whole
    assert total.gram.dtype == np.int64
    assert head_hash(total, RIDGE) == head_hash(whole, RIDGE)


@given(owned_rows())
@settings(deadline=None)
def test_subtracting_an_owner_is_training_without_her(rows: tuple[np.ndarray, list[str], list[int]]) -> None:
    vectors, labels, _ = rows
    left = subtract(statistics(vectors, labels), part(rows, {2}))
    retrained = part(rows, {0, 1, 3})
    assert left == retrained
    assert head_hash(left, RIDGE) == head_hash(retrained, RIDGE)
    if left.labels:
        ours, theirs = solve(left, RIDGE), solve(retrained, RIDGE)
        assert np.max(np.abs(ours.weights - theirs.weights)) <= 1e-10 * max(1.0, np.abs(theirs.weights).max())


@given(owned_rows(), st.integers(0, 2**32))
def test_the_order_of_records_does_not_matter(rows: tuple[np.ndarray, list[str], list[int]], seed: int) -> None:
    vectors, labels, _ = rows
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    assert statistics(vectors[order], [labels[i] for i in order]) == statistics(vectors, labels)


def test_sums_are_exact_integers() -> None:
    vectors = np.full((1000, 3), -127, dtype=np.int8)
    sums = statistics(vectors, ["b"] * 400 + ["a"] * 600)
    assert sums.labels == ("a", "b")
    assert sums.gram.tolist() == [[127 * 127 * 1000] * 3] * 3
    assert sums.cross.tolist() == [[-127 * 600, -127 * 400]] * 3
    assert (sums.counts, sums.total) == ((600, 400), 1000)


def test_what_was_never_added_cannot_be_subtracted() -> None:
    whole = statistics(np.array([[1, 2], [3, 4]], np.int8), ["a", "b"])
    for labels in (["c", "a"], ["a", "a"]):
        with pytest.raises(InvalidInput):
            subtract(whole, statistics(np.array([[1, 2], [3, 4]], np.int8), labels))
    with pytest.raises(InvalidInput):
        subtract(whole, statistics(np.array([[9, 9]], np.int8), ["a"]))
    with pytest.raises(InvalidInput):
        add(whole, statistics(np.array([[1]], np.int8), ["a"]))


def test_the_hash_names_labels_sums_and_ridge() -> None:
    vectors = np.array([[5, 1], [1, 5], [4, 0]], np.int8)
    base = statistics(vectors, ["a", "b", "a"])
    others = [
        statistics(vectors, ["a", "b", "b"]),
        statistics(vectors, ["a", "c", "a"]),
        statistics(-vectors, ["a", "b", "a"]),
        dataclasses.replace(base, gram=base.gram + 1),
    ]
    hashes = {head_hash(sums, RIDGE) for sums in (base, *others)} | {head_hash(base, RIDGE + 1)}
    assert len(hashes) == 6


def test_the_solution_satisfies_its_equation() -> None:
    generator = np.random.Generator(np.random.PCG64(2))
    vectors = generator.integers(-127, 128, (200, 16)).astype(np.int8)
    labels = [f"{i}" for i in generator.integers(0, 5, 200)]
    head = solve(statistics(vectors, labels), 250_000)
    wide = vectors.astype(float)
    means = np.stack([wide[[label == name for label in labels]].mean(axis=0) for name in head.labels], axis=1)
    residual = wide - means.T[[int(label) for label in labels]]
    system = residual.T @ residual + 0.25 * 508**2 * np.eye(16)
    assert np.allclose(system @ head.weights, 200 * means, rtol=1e-9, atol=1e-6)
    assert np.allclose(head.bias, -0.5 * (means * head.weights).sum(axis=0))


def test_threads_do_not_change_the_weights(clinc: object) -> None:
    sums = statistics(clinc.owned.vectors, clinc.owned.targets)  # type: ignore[attr-defined]
    with threadpool_limits(limits=2):
        two = solve(sums, RIDGE)
    with threadpool_limits(limits=1):
        one = solve(sums, RIDGE)
    assert np.array_equal(one.weights, two.weights)


def test_an_owner_of_real_text_is_unlearned_exactly(clinc: object) -> None:
    owned = clinc.owned  # type: ignore[attr-defined]
    hers = [i for i, owner in enumerate(owned.owners) if owner == "owner 3"]
    rest = [i for i, owner in enumerate(owned.owners) if owner != "owner 3"]
    whole = statistics(owned.vectors, owned.targets)
    left = subtract(whole, statistics(owned.vectors[hers], [owned.targets[i] for i in hers]))
    retrained = statistics(owned.vectors[rest], [owned.targets[i] for i in rest])
    assert left == retrained
    assert np.max(np.abs(solve(left, RIDGE).weights - solve(retrained, RIDGE).weights)) <= 1e-10


def test_a_head_needs_records_and_a_positive_ridge() -> None:
    empty = statistics(np.zeros((0, 4), np.int8), [])
    with pytest.raises(InvalidInput):
        solve(empty, RIDGE)
    with pytest.raises(InvalidInput):
        solve(statistics(np.ones((1, 4), np.int8), ["a"]), 0)
    with pytest.raises(InvalidInput):
        statistics(np.ones((2, 4), np.int8), ["a"])


def test_ties_go_to_the_lower_index() -> None:
    head = Head(("a", "b"), np.zeros((2, 2)), np.zeros(2))
    places, scores = predict(head, np.ones((3, 2), np.int8))
    assert places.tolist() == [0, 0, 0]
    assert scores.shape == (3, 2)
