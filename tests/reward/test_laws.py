"""The laws of pay, each as exact integer equality over a thousand drawn turns, from values to settlement."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.policy import ValueRules
from rodagila.reward.settlement import BondedContribution, Settlement, SettlementInputs, settle
from rodagila.value.examples import Examples, together
from rodagila.value.ocis import ValueInputs, ValueResult, value_records

CASES = settings(max_examples=1_000, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
LABELS, DIMENSIONS = 3, 4
TURN, EARLIER = 2, 1


@dataclass(frozen=True)
class Drawn:
    """A small turn: inputs of the values, whose each record is, what each contribution bonds, and the money."""

    inputs: ValueInputs
    given: tuple[BondedContribution, ...]
    source: tuple[int, ...]
    pool: int
    lambda_ppm: int
    previous: dict[str, int]


def examples(rng: np.random.Generator, count: int) -> Examples:
    """Return vectors on a coarse grid, so that copies and near copies are common; none is zero."""
    rows = rng.integers(-2, 3, (count, DIMENSIONS)) * 50
    rows[(rows == 0).all(axis=1), 0] = 100
    return Examples(rows.astype(np.int8), rng.integers(0, LABELS, count))


def draw(seed: int) -> Drawn:
    """Return a turn of up to four contributions of a turn and of the one before."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, rng.integers(1, 5)).tolist()
    first = int(rng.integers(0, len(counts)))
    given_, source = [], []
    for number, count in enumerate(counts):
        owner, turn = f"owner {rng.integers(0, 3)}", EARLIER if number < first else TURN
        bond = count * int(rng.integers(0, 1_000))
        given_.append(BondedContribution(bytes([number]) * 32, owner, turn, count, bond))
        source += [number] * count
    rules = ValueRules(coverage_k=int(rng.integers(1, 4)), check_k=2, top=int(rng.integers(1, 8)))
    slashed = (rng.random(len(source)) < 0.1) & (np.array(source) < first)
    turns = np.array([given_[at].turn for at in source], np.int64)
    sets = examples(rng, len(source)), turns, slashed, examples(rng, int(rng.integers(0, 3))), examples(rng, 5)
    inputs = ValueInputs(*sets, rng.integers(1, 4, 5), rules, ("classify", "retrieve")[int(rng.integers(0, 2))])
    money = int(rng.integers(0, 10**7)), int(rng.integers(0, 1_000_001))
    return Drawn(inputs, tuple(given_), tuple(source), *money, {"owner 0": int(rng.integers(0, 99)), "left": 5})


def settled(turn: Drawn, values: ValueResult | None = None) -> Settlement:
    """Return the settlement of the turn's values, which name no owner and thus serve renamed turns, too."""
    values = values or value_records(turn.inputs)
    money = (turn.pool, turn.lambda_ppm, turn.given, turn.source, values.v, values.s.tolist())
    return settle(SettlementInputs(TURN, *money, turn.previous, 10**6, turn.previous))


def by_owner(turn: Drawn, done: Settlement) -> dict[str, tuple[int, int, int]]:
    """Return (pay, tokens, slash) of each owner."""
    totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row, source in enumerate(turn.source):
        for at, amount in enumerate((done.pays[row], done.issues[row], done.slashes[row])):
            totals[turn.given[source].owner][at] += amount
    return {owner: (a, b, c) for owner, (a, b, c) in totals.items()}


@given(SEEDS, st.permutations([0, 1, 2]))
@CASES
def test_permuting_owners_permutes_what_they_get(seed: int, order: list[int]) -> None:
    turn = draw(seed)
    names = {f"owner {old}": f"owner {new}" for old, new in enumerate(order)}
    renamed = replace(turn, given=tuple(replace(part, owner=names[part.owner]) for part in turn.given))
    values = value_records(turn.inputs)
    before, after = by_owner(turn, settled(turn, values)), by_owner(renamed, settled(renamed, values))
    assert {names[owner]: amounts for owner, amounts in before.items()} == after


@given(SEEDS)
@CASES
def test_an_owner_who_splits_into_an_account_a_record_gets_the_same_in_all(seed: int) -> None:
    turn, small, source = draw(seed), [], []
    for number, part in enumerate(turn.given):
        split = part.owner == "owner 0"
        for at in range(part.count if split else 1):
            key = bytes([number, at]) * 16
            one = replace(part, id=key, owner=f"split {number} {at}", count=1, bond=part.bond // part.count)
            small.append(one if split else part)
            source += [len(small) - 1] * (1 if split else part.count)
    other = replace(turn, given=tuple(small), source=tuple(source))
    values = value_records(turn.inputs)
    before, after = by_owner(turn, settled(turn, values)), by_owner(other, settled(other, values))
    pieces = [amounts for owner, amounts in after.items() if owner.startswith("split")]
    assert before.pop("owner 0", (0, 0, 0)) == tuple(map(sum, zip(*pieces, strict=True)) if pieces else (0, 0, 0))
    assert {owner: amounts for owner, amounts in after.items() if not owner.startswith("split")} == before


@given(SEEDS)
@CASES
def test_owners_who_merge_get_together_what_they_got_apart(seed: int) -> None:
    turn = draw(seed)
    merged = replace(turn, given=tuple(replace(p, owner=p.owner.replace("owner 2", "owner 1")) for p in turn.given))
    values = value_records(turn.inputs)
    before, after = by_owner(turn, settled(turn, values)), by_owner(merged, settled(merged, values))
    apart = [before.pop(owner, (0, 0, 0)) for owner in ("owner 1", "owner 2")]
    assert after.pop("owner 1", (0, 0, 0)) == tuple(map(sum, zip(*apart, strict=True)))
    assert after == before


@given(SEEDS, st.integers(0, 99))
@CASES
def test_a_duplicate_that_comes_later_gets_nothing_and_changes_nothing(seed: int, which: int) -> None:
    turn = draw(seed)
    row = which % len(turn.source)
    records = together(turn.inputs.records, turn.inputs.records.take([row]))
    thief = BondedContribution(b"\xff" * 32, "thief", TURN, 1, 1_000)
    inputs = replace(
        turn.inputs,
        records=records,
        turns=np.append(turn.inputs.turns, TURN),
        slashed=np.append(turn.inputs.slashed, False),
    )
    longer = Drawn(inputs, (*turn.given, thief), (*turn.source, len(turn.given)), *money_of(turn))
    before, after = settled(turn), settled(longer)
    assert after.pays == (*before.pays, 0) and after.slashes == (*before.slashes, 0)
    assert after.issues == (*before.issues, 0)
    assert (after.dust, after.rollover) == (before.dust, before.rollover)


def money_of(turn: Drawn) -> tuple[int, int, dict[str, int]]:
    return turn.pool, turn.lambda_ppm, turn.previous


@given(SEEDS)
@CASES
def test_removing_records_that_are_stopped_changes_nothing_for_others(seed: int) -> None:
    turn = draw(seed)
    kept = np.ones(len(turn.source), bool)
    values = value_records(turn.inputs)
    kept[values.stopped] = False
    inputs = replace(
        turn.inputs,
        records=turn.inputs.records.take(kept),
        turns=turn.inputs.turns[kept],
        slashed=turn.inputs.slashed[kept],
    )
    fewer = replace(turn, inputs=inputs, source=tuple(np.array(turn.source)[kept].tolist()))
    before, after = settled(turn, values), settled(fewer)
    assert after.pays == tuple(pay for pay, keep in zip(before.pays, kept, strict=True) if keep)
    assert after.slashes == tuple(slash for slash, keep in zip(before.slashes, kept, strict=True) if keep)
    assert (after.paid, after.dust, after.rollover) == (before.paid, before.dust, before.rollover)


WORTHS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2**64), st.integers(-(2**50), 2**50)), min_size=1, max_size=6
)


def plain(pool: int, worths: list[tuple[int, int, int]], lambda_ppm: int = 10**6) -> SettlementInputs:
    """Return a settlement of records (owner, v, s) that carry a bond of 500 each."""
    sources = sorted(range(len(worths)), key=lambda at: worths[at][0])
    counts = [sum(owner == o for owner, _, _ in worths) or 1 for o in range(4)]
    given_ = tuple(BondedContribution(bytes([o]) * 32, f"owner {o}", 1, n, 500 * n) for o, n in enumerate(counts))
    rows = [worths[at] for at in sources]
    source, v, s = ([row[at] for row in rows] for at in range(3))
    return SettlementInputs(1, pool, lambda_ppm, given_, source, v, s, {"owner 1": 3}, pool, {})


@given(WORTHS, st.integers(1, 50), st.integers(1, 50), st.integers(0, 10**12))
@CASES
def test_a_pool_that_is_scaled_scales_every_payout(
    worths: list[tuple[int, int, int]], unit: int, factor: int, pool: int
) -> None:
    whole = sum(v for _, v, s in worths if s >= 0)
    once, often = settle(plain(unit * whole, worths)), settle(plain(factor * unit * whole, worths))
    assert often.pays == tuple(factor * pay for pay in once.pays)  # no floor comes in
    once, often = settle(plain(pool, worths)), settle(plain(factor * pool, worths))
    for less, more in zip(once.pays, often.pays, strict=True):
        assert factor * less <= more < factor * (less + 1)  # floors alone


@given(WORTHS, st.integers(0, 10**12), st.integers(0, 10**6))
@CASES
def test_a_record_without_value_and_check_can_be_removed(
    worths: list[tuple[int, int, int]], pool: int, lambda_ppm: int
) -> None:
    done = settle(plain(pool, worths, lambda_ppm))
    with_zero = settle(plain(pool, [*worths, (3, 0, 0)], lambda_ppm))
    assert with_zero.pays == (*done.pays, 0) and with_zero.slashes[:-1] == done.slashes
    assert with_zero.payouts == done.payouts and with_zero.rollover == done.rollover


@given(WORTHS, st.integers(0, 10**12), st.integers(0, 10**6))
@CASES
def test_money_is_conserved_and_cumulative_payouts_never_fall(
    worths: list[tuple[int, int, int]], pool: int, lambda_ppm: int
) -> None:
    done = settle(plain(pool, worths, lambda_ppm))
    assert sum(done.payouts.values()) + done.dust + done.rollover == pool
    assert sum(done.payouts.values()) == sum(done.pays) == done.paid
    assert 0 <= done.issued == sum(done.tokens.values()) <= pool
    assert done.cumulative["owner 1"] == 3 + done.payouts.get("owner 1", 0)
    again = settle(replace(plain(pool, worths, lambda_ppm), previous=done.cumulative))
    assert all(again.cumulative[owner] >= amount for owner, amount in done.cumulative.items())
    assert all(0 <= slash <= 500 for slash in done.slashes)
