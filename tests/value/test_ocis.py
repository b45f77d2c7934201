"""Values of a turn: laws that hold exactly, against plain reference implementations."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from rodagila.value.coverage import gains
from rodagila.value.examples import Examples, encode_targets, together
from rodagila.value.neighbours import UNIT, signed_check, spare_untested
from rodagila.value.ocis import ValueInputs, ValueResult, value_records
from rodagila.value.slots import slot_threshold

RULES = ValueRules(coverage_k=3, check_k=4, top=16)


def draw_inputs(
    seed: int, records: int = 40, queries: int = 25, reference: int = 6, rules: ValueRules = RULES
) -> ValueInputs:
    """Return clustered random inputs with near duplicates, slashed records and some wrong labels."""
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
    slashed = rng.random(records) < 0.1
    turns = np.sort(rng.integers(1, 4, records))
    return ValueInputs(data, turns, slashed, some(reference), some(queries), rng.integers(1, 5, queries), rules)


def draw_rules(seed: int) -> ValueRules:
    """Return rules of every kind, small enough that all of them bind."""
    rng = np.random.default_rng([seed, 1])
    return ValueRules(
        theta_max_ppm=int(rng.integers(30, 99)) * 10_000,
        top=int(rng.integers(1, 15)),
        novelty_ppm=int(rng.integers(1, 60)) * 10_000,
        coverage_k=int(rng.integers(1, 5)),
        check_k=int(rng.integers(1, 6)),
        query_percentile=int(rng.integers(1, 101)),
    )


@dataclass
class Plain:
    """MECHANISM 1, steps 2 - 6, word by word: every pair is looked at."""

    inputs: ValueInputs

    def __post_init__(self) -> None:
        inputs, rules = self.inputs, self.inputs.rules
        self.count, self.delta = len(inputs.records), rules.delta_ppm * ONE // 10**6
        self.cosine = cosines(inputs.queries.vectors, inputs.records.vectors).tolist()
        self.given = cosines(inputs.queries.vectors, inputs.reference.vectors).tolist()
        self.slot, self.nearest = self._slots(slot_threshold(inputs.reference.vectors, inputs.queries.vectors, rules))
        slots = [i for i in range(self.count) if self.slot[i]]
        self.heard = [sorted(slots, key=lambda i: (-row[i], i))[: rules.top] for row in self.cosine]
        self.tau = self._tau()
        self.u, self.s, self.frontiers = [0] * self.count, [0] * self.count, []
        added = [self._cover(query, weight) for query, weight in enumerate(inputs.weights.tolist())]
        totals = [sum(parts.values()) for parts in added if parts]
        cap = percentile(np.array(totals), rules.query_percentile) if totals else 0
        for query, weight in enumerate(inputs.weights.tolist()):
            self._check(query, weight)
            total = sum(added[query].values())
            for i, part in added[query].items():
                self.u[i] += weight * (part if total <= cap else part * cap // total)
        fresh = [min(ONE, max(0, (ONE - near) * 10**6 // rules.novelty_ppm)) for near in self.nearest]
        self.v = tuple(a * a // ONE * b for a, b in zip(fresh, self.u, strict=True))

    def agrees(self, query: int, target: int) -> bool:
        return bool(self.inputs.queries.targets[query] >= 0 and self.inputs.queries.targets[query] == target)

    def of_reference(self, query: int) -> list[int]:
        targets = self.inputs.reference.targets
        return [c for c, t in zip(self.given[query], targets, strict=True) if self.agrees(query, t)]

    def _slots(self, theta: int) -> tuple[list[bool], list[int]]:
        records, slot, nearest = self.inputs.records, [False] * self.count, [0] * self.count
        front = together(self.inputs.reference, self.inputs.queries)
        between = cosines(records.vectors, together(front, records).vectors).tolist()
        for i in range(self.count):
            behind = len(front)
            standing = [*range(behind)]
            for j in range(i):
                if slot[j] or (self.inputs.slashed[j] and records.targets[j] == records.targets[i]):
                    standing.append(behind + j)
            nearest[i] = max([0, *(between[i][j] for j in standing)])
            slot[i] = not self.inputs.slashed[i] and nearest[i] < theta
        return slot, nearest

    def _tau(self) -> int:
        best = []
        for query, heard in enumerate(self.heard):
            own = [self.cosine[query][i] for i in heard if self.agrees(query, self.inputs.records.targets[i])]
            given = [
                c
                for c, t in zip(self.given[query], self.inputs.reference.targets, strict=True)
                if self.agrees(query, t)
            ]
            best += [max(own + given)] if own + given else []
        return min(ONE - 1, max(0, percentile(np.array(best), self.inputs.rules.tau_percentile))) if best else 0

    def gain(self, cosine: int) -> int:
        return max(cosine - self.tau, 0) * ONE // (ONE - self.tau)

    def _cover(self, query: int, weight: int) -> dict[int, int]:
        size, added = self.inputs.rules.coverage_k, {}
        frontier = sorted(self.gain(c) + self.delta for c in self.of_reference(query))[-size:]
        frontier += [min(frontier, default=0)] * (size - len(frontier))
        offered = {i: self.gain(self.cosine[query][i]) for i in self.heard[query]}
        for i in sorted(offered, key=lambda i: (self.inputs.turns[i], -offered[i], i)):
            if self.agrees(query, self.inputs.records.targets[i]) and offered[i] > min(frontier):
                added[i] = offered[i] - min(frontier)
                frontier[frontier.index(min(frontier))] = offered[i]
        self.frontiers.append(weight * sum(frontier))
        return added

    def _check(self, query: int, weight: int) -> None:
        heard, k = self.heard[query], self.inputs.rules.check_k
        agree = [int(self.agrees(query, self.inputs.records.targets[i])) for i in heard] + [0]
        value = 0
        for j in range(len(heard), 0, -1):
            value += (agree[j - 1] - agree[j]) * (UNIT // max(k, j))
            self.s[heard[j - 1]] += weight * value


SEEDS = st.integers(0, 10**6)


@given(SEEDS, st.integers(0, 40), st.integers(0, 20), st.integers(0, 8))
@settings(max_examples=150, deadline=None)
def test_values_are_those_of_the_plain_rule(seed: int, records: int, queries: int, reference: int) -> None:
    inputs = draw_inputs(seed, records, queries, reference, draw_rules(seed))
    found, plain = value_records(inputs), Plain(inputs)
    assert (found.v, found.u.tolist(), found.s.tolist(), found.tau) == (plain.v, plain.u, plain.s, plain.tau)
    assert found.utility_after == sum(plain.frontiers)
    assert set(np.flatnonzero(found.slot)) == {i for heard in plain.heard for i in heard}
    for place in found.stopped.tolist():
        assert not plain.slot[place] and found.nearest[place] == plain.nearest[place] >= found.theta


@given(SEEDS, st.integers(0, 60), st.integers(0, 20), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_contributions_telescope_to_the_rise_of_utility(seed: int, records: int, queries: int, reference: int) -> None:
    found = value_records(draw_inputs(seed, records, queries, reference))
    assert found.added == found.utility_after - found.utility_before
    assert found.u.sum() <= found.added


@given(SEEDS, st.integers(0, 39))
@settings(max_examples=40, deadline=None)
def test_a_later_copy_of_a_slot_earns_nothing_and_changes_nothing_for_others(seed: int, row: int) -> None:
    inputs = draw_inputs(seed)
    before = value_records(inputs)
    row = int(np.flatnonzero(before.slot)[row % before.slot.sum()])
    copied = together(inputs.records, inputs.records.take([row]))
    after = value_records(
        replace(inputs, records=copied, turns=np.append(inputs.turns, 3), slashed=np.append(inputs.slashed, False))
    )
    assert after.v[:-1] == before.v and after.v[-1] == 0
    assert after.s.tolist() == [*before.s.tolist(), 0]
    assert (after.theta, after.tau) == (before.theta, before.tau)
    assert after.stopped[-1] == len(before.v) and after.nearest[-1] >= after.theta


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_removing_records_that_are_stopped_changes_nothing_for_others(seed: int) -> None:
    inputs = draw_inputs(seed)
    before = value_records(inputs)
    kept = np.ones(len(before.slot), dtype=bool)
    kept[before.stopped] = False
    after = value_records(
        replace(inputs, records=inputs.records.take(kept), turns=inputs.turns[kept], slashed=inputs.slashed[kept])
    )
    assert after.v == tuple(v for v, keep in zip(before.v, kept, strict=True) if keep)
    assert after.s.tolist() == before.s[kept].tolist()


def of_pairs(*pairs: tuple[list[int], int]) -> Examples:
    """Return examples of (vector, target) pairs."""
    return Examples(np.array([v for v, _ in pairs], dtype=np.int8), np.array([t for _, t in pairs]))


def test_who_repeats_what_was_slashed_is_stopped_and_who_corrects_it_is_paid() -> None:
    """The first record was slashed in an earlier turn; one says it again, one says it with the right target."""
    text = [100, 10]
    records, reference = of_pairs((text, 5), (text, 5), (text, 1)), of_pairs(([0, 100], 2))
    queries = of_pairs(([80, 60], 1), ([-60, 80], 2))  # the second sets tau to .8
    slashed = np.array([True, False, False])
    turns, ones = np.array([1, 2, 2]), np.ones(2, np.int64)
    found = value_records(ValueInputs(records, turns, slashed, reference, queries, ones, RULES))
    assert found.slot.tolist() == [False, False, True]
    assert found.stopped.tolist() == [1] and found.neighbour[1] == 0
    assert [v > 0 for v in found.v] == [False, False, True]


def test_a_reference_of_few_records_sets_the_price_of_all_places() -> None:
    """With one reference record for a target, what is no better than it earns nothing, though places are free."""
    reference = of_pairs(([80, 60, 0], 1), ([0, 60, 0], 3))
    records = of_pairs(([80, -60, 0], 1), ([90, 0, 44], 1))
    queries = of_pairs(([100, 0, 0], 1), ([-80, 60, 0], 3))  # the second sets tau to .6
    found = value_records(
        ValueInputs(
            records, np.ones(2, np.int64), np.zeros(2, np.bool_), reference, queries, np.ones(2, np.int64), RULES
        )
    )
    assert [u > 0 for u in found.u.tolist()] == [False, True]


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
    found = signed_check(np.arange(6)[None, :], np.array([agree]), np.array([3]), records=6, k=k)
    for value, exact in zip(found.tolist(), shapley(agree, k), strict=True):
        assert abs(Fraction(value, 3 * UNIT) - exact) <= Fraction(6, UNIT)


def test_in_retrieval_a_record_no_query_asks_for_is_not_slashed() -> None:
    queries = Examples(np.zeros((1, 2), dtype=np.int8), np.array([2]))
    assert spare_untested(np.array([-5, -6, -7]), np.array([1, 2, -1]), queries).tolist() == [0, -6, 0]


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
        replace(
            inputs,
            records=records,
            turns=np.ones(60, np.int64),
            slashed=np.zeros(60, dtype=bool),
            queries=asked,
            weights=np.ones(90, np.int64),
        )
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


def test_gains_rise_from_tau_to_one() -> None:
    assert gains(np.array([-ONE, ONE // 2, 3 * ONE // 4, ONE]), ONE // 2).tolist() == [0, 0, ONE // 2, ONE]


def test_values_do_not_depend_on_how_much_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = draw_inputs(12, records=90)
    whole = value_records(inputs)
    monkeypatch.setattr("rodagila.value.cosine.CELLS", 100)
    for name, size in (("ROWS", 7), ("COLUMNS", 11), ("CHUNK", 13), ("CHECKED", 5), ("QUERIES", 3)):
        monkeypatch.setattr(f"rodagila.value.nearby.{name}", size)
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
    nobody: ValueResult = value_records(
        replace(inputs, records=inputs.records.take([]), turns=inputs.turns[:0], slashed=inputs.slashed[:0])
    )
    assert nobody.v == () and nobody.utility_before == nobody.utility_after
    unasked = value_records(replace(inputs, queries=inputs.queries.take([]), weights=inputs.weights[:0]))
    assert not any(unasked.v) and not unasked.s.any()


def test_inputs_that_do_not_fit_are_refused() -> None:
    inputs = draw_inputs(1)
    bad = [
        {"slashed": inputs.slashed[:-1]},
        {"turns": inputs.turns[:-1]},
        {"turns": inputs.turns[::-1]},
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
