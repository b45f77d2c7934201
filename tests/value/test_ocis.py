"""Values of a turn: laws that hold exactly, against plain reference implementations."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from math import isqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import ValueRules
from rodagila.value.cosine import ONE, blocks, cosines, percentile
from rodagila.value.coverage import Examples, gains, ordered_coverage
from rodagila.value.neighbours import UNIT, signed_check, spare_untested
from rodagila.value.ocis import ValueInputs, ValueResult, encode_targets, value_records
from rodagila.value.slots import find_slots, slot_threshold

RULES = ValueRules(coverage_k=3, check_k=4, top=16)


def draw_inputs(
    seed: int, records: int = 40, queries: int = 25, reference: int = 6, task: str = "classify"
) -> ValueInputs:
    """Return clustered random inputs with near duplicates, barred records and some wrong labels."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(5, 12))

    def some(count: int) -> Examples:
        codes = rng.integers(0, 5, count)
        rows = centres[codes] + 0.8 * rng.normal(size=(count, 12))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9
        return Examples(np.rint(rows * 100).astype(np.int8), codes.astype(np.int64))

    data = some(records)
    for row in range(3, records, 7):
        data.vectors[row] = data.vectors[row - 3]
    wrong = rng.random(records) < 0.15
    data = Examples(data.vectors, np.where(wrong, (data.targets + 1) % 5, data.targets))
    barred = rng.random(records) < 0.1
    weights = rng.integers(1, 5, queries)
    return ValueInputs(data, barred, some(reference), some(queries), weights, RULES)


SEEDS = st.integers(0, 10_000)


@given(SEEDS, st.integers(0, 60), st.integers(0, 20), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_contributions_telescope_to_the_rise_of_utility(seed: int, records: int, queries: int, reference: int) -> None:
    found = value_records(draw_inputs(seed, records, queries, reference))
    assert int(found.u.sum()) == found.utility_after - found.utility_before


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_the_final_utility_is_that_of_the_best_texts_whatever_the_order(seed: int) -> None:
    inputs = draw_inputs(seed)
    found = value_records(inputs)
    slots = inputs.records.take(found.slot)
    delta = inputs.rules.delta_ppm * ONE // 10**6
    offered = np.hstack(
        [gains(inputs.queries, inputs.reference, found.tau) + delta, gains(inputs.queries, slots, found.tau)]
    )
    best = np.sort(offered, axis=1)[:, -RULES.coverage_k :]
    assert found.utility_after == int((best.sum(axis=1) * inputs.weights).sum())


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_coverage_equals_the_plain_rule(seed: int) -> None:
    inputs = draw_inputs(seed)
    tau = ONE // 3
    found = ordered_coverage(inputs.records, inputs.reference, inputs.queries, inputs.weights, tau=tau, rules=RULES)
    gain, base = gains(inputs.queries, inputs.records, tau), gains(inputs.queries, inputs.reference, tau)
    expected = [0] * len(inputs.records)
    for query, weight in enumerate(inputs.weights.tolist()):
        frontier = sorted(base[query] + RULES.delta_ppm * ONE // 10**6)[-RULES.coverage_k :]
        top = sorted(range(len(expected)), key=lambda i: (-gain[query, i], i))[: RULES.top]
        for i in sorted(top):
            added = int(gain[query, i]) - int(min(frontier))
            if added > 0:
                expected[i] += weight * added
                frontier[frontier.index(min(frontier))] = gain[query, i]
    assert found.u.tolist() == expected


@given(SEEDS, st.integers(0, 39))
@settings(max_examples=40, deadline=None)
def test_a_later_copy_earns_nothing_and_changes_nothing_for_others(seed: int, row: int) -> None:
    inputs = draw_inputs(seed)
    copied = Examples(
        np.vstack([inputs.records.vectors, inputs.records.vectors[row : row + 1]]),
        np.append(inputs.records.targets, inputs.records.targets[row]),
    )
    flag = not value_records(inputs).slot[row]  # a copy of what is no slot is stopped as a textual duplicate
    before = value_records(inputs)
    after = value_records(replace(inputs, records=copied, barred=np.append(inputs.barred, flag)))
    assert after.v[:-1] == before.v and after.v[-1] == 0
    assert after.s.tolist() == [*before.s.tolist(), 0]
    assert (after.theta, after.tau) == (before.theta, before.tau)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_removing_a_record_that_is_no_slot_changes_nothing_for_others(seed: int) -> None:
    inputs = draw_inputs(seed)
    before = value_records(inputs)
    others = np.flatnonzero(~before.slot)
    kept = np.ones(len(before.slot), dtype=bool)
    kept[others[: max(1, len(others) // 2)]] = False
    after = value_records(replace(inputs, records=inputs.records.take(kept), barred=inputs.barred[kept]))
    assert after.v == tuple(v for v, keep in zip(before.v, kept, strict=True) if keep)
    assert after.s.tolist() == before.s[kept].tolist()


def shapley(agree: list[bool], k: int) -> list[Fraction]:
    """Return the Shapley value of each rank by going through every order of joining."""
    count = len(agree)

    def worth(members: set[int]) -> Fraction:
        return Fraction(sum(agree[i] for i in sorted(members)[:k]), k)

    total = [Fraction(0)] * count
    orders = list(permutations(range(count)))
    for order in orders:
        joined: set[int] = set()
        for player in order:
            before = worth(joined)
            joined.add(player)
            total[player] += worth(joined) - before
    return [value / len(orders) for value in total]


@pytest.mark.parametrize("k", [1, 2, 4, 7])
@pytest.mark.parametrize("pattern", range(0, 64, 5))
def test_the_signed_check_is_the_shapley_value_of_its_game(k: int, pattern: int) -> None:
    agree = [bool(pattern >> bit & 1) for bit in range(6)]
    vectors = np.array([[100, 10 * i] for i in range(6)], dtype=np.int8)  # falling cosine with (1, 0)
    slots = Examples(vectors, np.array([1 if a else 0 for a in agree]))
    query = Examples(np.array([[100, 0]], dtype=np.int8), np.array([1]))
    found = signed_check(slots, query, np.array([3]), k)
    for value, exact in zip(found.tolist(), shapley(agree, k), strict=True):
        assert abs(Fraction(value, 3 * UNIT) - exact) <= Fraction(6, UNIT)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_signed_check_follows_the_recursion_of_its_definition(seed: int) -> None:
    inputs = draw_inputs(seed, records=30)
    found = signed_check(inputs.records, inputs.queries, inputs.weights, 4)
    cosine = cosines(inputs.queries.vectors, inputs.records.vectors)
    expected = [0] * 30
    for query, weight in enumerate(inputs.weights.tolist()):
        order = sorted(range(30), key=lambda i: (-cosine[query, i], i))
        agree = [int(inputs.records.targets[i] == inputs.queries.targets[query]) for i in order]
        value = agree[-1] * (UNIT // 30)
        expected[order[-1]] += weight * value
        for j in range(28, -1, -1):
            value += (agree[j] - agree[j + 1]) * (UNIT // max(4, j + 1))
            expected[order[j]] += weight * value
    assert found.tolist() == expected


def test_in_retrieval_a_record_no_query_asks_for_is_not_slashed() -> None:
    slots = Examples(np.zeros((3, 2), dtype=np.int8), np.array([1, 2, -1]))
    queries = Examples(np.zeros((1, 2), dtype=np.int8), np.array([2]))
    assert spare_untested(np.array([-5, -6, -7]), slots, queries).tolist() == [0, -6, 0]


def test_wrong_labels_are_negative_and_right_ones_are_not() -> None:
    inputs = draw_inputs(3, records=60, queries=150)
    truth = inputs.queries.take(
        slice(0, 60)
    )  # queries hold right labels: half of them become records, every third wrong
    wrong = np.arange(60) % 3 == 0
    given_labels = np.where(wrong, (truth.targets + 2) % 5, truth.targets)
    records = Examples(truth.vectors, given_labels)
    asked = inputs.queries.take(slice(60, 150))
    found = value_records(
        replace(inputs, records=records, barred=np.zeros(60, dtype=bool), queries=asked, weights=np.ones(90, np.int64))
    )
    slashed = found.s < 0
    assert slashed[wrong].mean() > 0.8
    assert slashed[~wrong].mean() < 0.1


ROWS = st.lists(st.integers(-127, 127), min_size=4, max_size=4)


@given(ROWS, ROWS)
def test_cosines_are_the_stated_integers(left: list[int], right: list[int]) -> None:
    found = int(cosines(np.array([left], dtype=np.int8), np.array([right], dtype=np.int8))[0, 0])
    norms = isqrt(sum(a * a for a in left) * sum(b * b for b in right))
    dot = sum(a * b for a, b in zip(left, right, strict=True))
    assert found == (min(ONE, dot * ONE // norms) if norms else 0)


def test_cosines_are_exact_at_the_largest_norms() -> None:
    rows = np.full((2, 1040), 127, dtype=np.int8)
    rows[1, 0] = -126
    norms = isqrt((127 * 127 * 1040) * (127 * 127 * 1039 + 126 * 126))
    dot = 127 * 127 * 1039 - 127 * 126
    assert cosines(rows, rows).tolist() == [[ONE, dot * ONE // norms], [dot * ONE // norms, ONE]]


def test_percentiles_are_nearest_ranks() -> None:
    values = np.arange(10, 0, -1)
    assert [percentile(values, p) for p in (1, 10, 11, 50, 99, 100)] == [1, 1, 2, 5, 10, 10]


def test_blocks_cover_all_rows_once() -> None:
    covered = [row for part in blocks(5_000, 3_000) for row in range(part.start, part.stop)]
    assert covered == list(range(5_000))
    assert max(part.stop - part.start for part in blocks(5_000, 3_000)) * 3_000 <= 1 << 21
    assert list(blocks(0, 5)) == []


def test_slots_are_first_comers_and_remember_whom_they_follow() -> None:
    vectors = np.array([[100, 0], [0, 100], [100, 3], [70, 70], [3, 100]], dtype=np.int8)
    reference = np.array([[-100, 0]], dtype=np.int8)
    found = find_slots(vectors, np.array([False, True, False, False, False]), reference, 95 * ONE // 100)
    assert found.slot.tolist() == [True, False, False, True, True]
    assert found.neighbour.tolist() == [-1, -1, 0, 0, 3]


def test_slots_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = draw_inputs(11, records=120)
    found = [find_slots(inputs.records.vectors, inputs.barred, inputs.reference.vectors, 9 * ONE // 10)]
    for size in (1, 7):
        monkeypatch.setattr("rodagila.value.slots.BLOCK", size)
        monkeypatch.setattr("rodagila.value.cosine.CELLS", 50)
        found.append(find_slots(inputs.records.vectors, inputs.barred, inputs.reference.vectors, 9 * ONE // 10))
    for other in found[1:]:
        assert other.slot.tolist() == found[0].slot.tolist()
        assert other.nearest.tolist() == found[0].nearest.tolist()
        assert other.neighbour.tolist() == found[0].neighbour.tolist()


def test_values_do_not_depend_on_how_much_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = draw_inputs(12, records=90)
    whole = value_records(inputs)
    monkeypatch.setattr("rodagila.value.cosine.CELLS", 100)
    parts = value_records(inputs)
    assert (whole.v, whole.s.tolist(), whole.tau) == (parts.v, parts.s.tolist(), parts.tau)


def test_the_threshold_is_the_cap_unless_the_dao_has_enough_texts_of_its_own() -> None:
    inputs = draw_inputs(5, queries=200)
    cap = 950_000 * ONE // 10**6
    assert slot_threshold(inputs.reference.vectors, inputs.queries.vectors[:50], RULES) == cap
    found = slot_threshold(inputs.reference.vectors, inputs.queries.vectors, replace(RULES, theta_percentile=5))
    assert 0 < found < cap


def test_values_without_records_or_without_queries_are_empty_or_zero() -> None:
    inputs = draw_inputs(1)
    nobody: ValueResult = value_records(replace(inputs, records=inputs.records.take([]), barred=inputs.barred[:0]))
    assert nobody.v == () and nobody.utility_before == nobody.utility_after
    unasked = value_records(replace(inputs, queries=inputs.queries.take([]), weights=inputs.weights[:0]))
    assert not any(unasked.v) and not unasked.s.any()


def test_inputs_that_do_not_fit_are_refused() -> None:
    inputs = draw_inputs(1)
    bad = [
        {"barred": inputs.barred[:-1]},
        {"weights": inputs.weights * 0},
        {"weights": inputs.weights * 10**6},
        {"task": "dream"},
        {"reference": Examples(np.zeros((1, 3), dtype=np.int8), np.zeros(1, dtype=np.int64))},
        {"queries": Examples(inputs.queries.vectors, inputs.queries.targets[:-1])},
    ]
    for changes in bad:
        with pytest.raises(InvalidInput):
            value_records(replace(inputs, **changes))


def test_targets_are_coded_by_a_sorted_table() -> None:
    table, (left, right) = encode_targets(["b", "", "a"], ["c", "b"])
    assert table == ("a", "b", "c")
    assert left.tolist() == [1, -1, 0] and right.tolist() == [2, 1]
