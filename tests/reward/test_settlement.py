"""The laws of settlement, exact to the unit, on drawn turns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.core.money import PPM, TOKEN_UNIT
from rodagila.core.policy import PoolRules, TokenRules
from rodagila.reward.settlement import (
    BondedContribution,
    SettlementInputs,
    issuable_of,
    lambda_of,
    pool_of,
    schedule_of,
    settle,
)

OWNERS = st.sampled_from(["ann", "ben", "cat", "dan"])
VALUES = st.one_of(st.just(0), st.integers(0, 2**75))
CHECKS = st.one_of(st.just(0), st.integers(-(2**50), 2**50))


@st.composite
def turns(draw: st.DrawFn) -> SettlementInputs:
    """Return settlement inputs: some contributions of this turn and of earlier ones, records from each."""
    contributions, source = [], []
    for index in range(draw(st.integers(1, 6))):
        accepted, refused = draw(st.integers(0, 5)), draw(st.integers(0, 2))
        turn, bond = draw(st.integers(1, 3)), draw(st.integers(0, 10_000))
        count = max(1, accepted + refused)
        contributions.append(BondedContribution(keccak(bytes([index])), draw(OWNERS), turn, count, bond))
        source += [index] * accepted
    return SettlementInputs(
        turn=3,
        pool=draw(st.integers(0, 10**15)),
        lambda_ppm=draw(st.integers(0, PPM)),
        contributions=tuple(contributions),
        source=tuple(source),
        v=tuple(draw(VALUES) for _ in source),
        s=tuple(draw(CHECKS) for _ in source),
        previous={owner: draw(st.integers(0, 10**12)) for owner in draw(st.sets(OWNERS))},
        issuable=draw(st.one_of(st.just(0), st.integers(0, 10**24))),
        previous_issued={owner: draw(st.integers(0, 10**26)) for owner in draw(st.sets(OWNERS))},
    )


def renamed(inputs: SettlementInputs, names: dict[str, str]) -> SettlementInputs:
    owners = tuple(replace(given, owner=names.get(given.owner, given.owner)) for given in inputs.contributions)
    return replace(inputs, contributions=owners)


@given(turns())
def test_payouts_dust_and_rollover_sum_to_the_pool(inputs: SettlementInputs) -> None:
    done = settle(inputs)
    assert done.paid + done.dust + done.rollover == inputs.pool
    assert sum(done.payouts.values()) == sum(done.pays) == done.paid <= done.payable
    if done.paid:
        assert done.dust < len(inputs.v)
        assert done.rollover == inputs.pool - done.payable


@given(turns())
def test_permuting_the_names_of_owners_permutes_their_payouts(inputs: SettlementInputs) -> None:
    names = {"ann": "ben", "ben": "cat", "cat": "dan", "dan": "ann"}
    before, after = settle(inputs), settle(renamed(inputs, names))
    assert after.payouts == {names[owner]: amount for owner, amount in before.payouts.items()}
    assert after.tokens == {names[owner]: amount for owner, amount in before.tokens.items()}
    assert after.pays == before.pays and after.issues == before.issues and after.slash_of == before.slash_of


@given(turns())
def test_an_owner_split_into_many_accounts_earns_the_same_sum(inputs: SettlementInputs) -> None:
    contributions, source = list(inputs.contributions), []
    for index in inputs.source:
        given = inputs.contributions[index]
        if given.owner != "ann":
            source.append(index)
            continue
        source.append(len(contributions))
        share = BondedContribution(
            keccak(len(contributions).to_bytes(4, "big")),
            f"ann {len(contributions)}",
            given.turn,
            1,
            given.bond // given.count,
        )
        contributions.append(share)
    before = settle(inputs)
    after = settle(replace(inputs, contributions=tuple(contributions), source=tuple(source)))
    for one, many in ((before.payouts, after.payouts), (before.tokens, after.tokens)):
        assert sum(amount for name, amount in many.items() if name.startswith("ann")) == one.get("ann", 0)
    assert after.pays == before.pays and after.issues == before.issues and after.slashes == before.slashes


@given(turns())
def test_merging_owners_adds_their_payouts(inputs: SettlementInputs) -> None:
    before, after = settle(inputs), settle(renamed(inputs, {"ann": "ben"}))
    assert after.payouts.get("ben", 0) == before.payouts.get("ann", 0) + before.payouts.get("ben", 0)
    assert after.tokens.get("ben", 0) == before.tokens.get("ann", 0) + before.tokens.get("ben", 0)


@given(turns(), st.integers(0, 5))
def test_a_record_without_value_changes_nothing_for_others(inputs: SettlementInputs, at: int) -> None:
    index = at % len(inputs.contributions)
    before = settle(inputs)
    after = settle(replace(inputs, source=(*inputs.source, index), v=(*inputs.v, 0), s=(*inputs.s, 0)))
    assert after.pays == (*before.pays, 0) and after.slashes == (*before.slashes, 0)
    assert after.payouts == before.payouts and after.tokens == before.tokens


@given(turns(), st.integers(2, 1_000))
def test_scaling_the_pool_scales_each_pay_up_to_its_floor(inputs: SettlementInputs, factor: int) -> None:
    whole = replace(inputs, lambda_ppm=PPM)
    before, after = settle(whole), settle(replace(whole, pool=whole.pool * factor))
    total = sum(v for v, s in zip(whole.v, whole.s, strict=True) if s >= 0)
    for v, s, once, many in zip(whole.v, whole.s, before.pays, after.pays, strict=True):
        assert factor * once <= many < factor * (once + 1)
        if s >= 0 and total:
            assert many == whole.pool * factor * v // total


@given(turns())
def test_a_slash_is_at_most_the_bond_and_only_of_this_turn(inputs: SettlementInputs) -> None:
    done = settle(inputs)
    bonded = {g.id: g for g in inputs.contributions if g.turn == inputs.turn and g.bond}
    assert set(done.slash_of) == set(bonded)
    assert all(0 <= slash <= bonded[key].bond for key, slash in done.slash_of.items())
    assert sum(done.slash_of.values()) == sum(done.slashes)
    for slash, pay, s in zip(done.slashes, done.pays, inputs.s, strict=True):
        assert (slash == 0 or s < 0) and (pay == 0 or s >= 0)


@given(turns())
def test_cumulative_payouts_never_fall(inputs: SettlementInputs) -> None:
    done = settle(inputs)
    assert all(done.cumulative[account] >= amount for account, amount in inputs.previous.items())
    assert sum(done.cumulative.values()) == sum(inputs.previous.values()) + done.paid


@given(turns())
def test_tokens_are_issued_by_value_and_never_beyond_the_supply_rule(inputs: SettlementInputs) -> None:
    done = settle(inputs)
    assert sum(done.tokens.values()) == sum(done.issues) == done.issued <= inputs.issuable
    total = sum(v for v, s in zip(inputs.v, inputs.s, strict=True) if s >= 0)
    for v, s, issue in zip(inputs.v, inputs.s, done.issues, strict=True):
        assert issue == (inputs.issuable * v // total if s >= 0 and total else 0)
    if total:
        assert inputs.issuable - done.issued < max(1, len(inputs.v))
    else:
        assert done.issued == 0 and done.tokens == {}


@given(turns())
def test_cumulative_tokens_never_fall(inputs: SettlementInputs) -> None:
    done = settle(inputs)
    assert all(done.cumulative_issued[account] >= held for account, held in inputs.previous_issued.items())
    assert sum(done.cumulative_issued.values()) == sum(inputs.previous_issued.values()) + done.issued


RULES = st.builds(
    lambda founders, rest, per_turn, halving: TokenRules(
        cap=founders + rest, founders=founders, per_turn=per_turn, halving_turns=halving
    ),
    st.integers(1, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(1, 20),
)


@given(RULES, st.integers(1, 200))
def test_no_run_of_turns_can_issue_more_than_the_cap(rules: TokenRules, turns: int) -> None:
    issued = 0
    for turn in range(1, turns + 1):
        issuable = issuable_of(turn, rules)
        assert 0 <= issuable <= rules.per_turn * TOKEN_UNIT >> (turn - 1) // rules.halving_turns
        issued += issuable
        assert issued == schedule_of(turn, rules)
        assert issued + rules.founders * TOKEN_UNIT <= rules.cap * TOKEN_UNIT


def test_what_a_turn_may_issue_is_halved_and_ends_at_the_cap() -> None:
    rules = TokenRules(cap=100, founders=20, per_turn=16, halving_turns=2)
    assert [issuable_of(turn, rules) // TOKEN_UNIT for turn in range(1, 8)] == [16, 16, 8, 8, 4, 4, 2]
    short = TokenRules(cap=60, founders=20, per_turn=16, halving_turns=2)
    assert [issuable_of(turn, short) // TOKEN_UNIT for turn in range(1, 6)] == [16, 16, 8, 0, 0]
    assert issuable_of(10**9, rules) == 0


def test_the_default_supply_rule_adds_up_to_its_cap() -> None:
    rules = TokenRules()
    assert rules.founders + 2 * rules.per_turn * rules.halving_turns == rules.cap


@given(turns())
@settings(max_examples=50)
def test_a_turn_without_lift_pays_nobody_and_slashes_nobody_but_issues_tokens(inputs: SettlementInputs) -> None:
    done = settle(replace(inputs, lambda_ppm=0))
    assert (done.paid, done.dust, done.rollover) == (0, 0, inputs.pool)
    assert not any(done.slashes)
    assert done.tokens == settle(inputs).tokens


def test_a_worked_turn_pays_by_value_and_slashes_by_harm() -> None:
    one = BondedContribution(keccak(b"1"), "ann", 1, 2, 41)
    two = BondedContribution(keccak(b"2"), "ben", 1, 2, 1_000)
    done = settle(
        SettlementInputs(
            1, 1_000, 500_000, (one, two), (0, 0, 1, 1), (3, 4, 5, 0), (10, -4, 20, -3), {"ann": 7}, 800, {"ben": 1}
        )
    )
    assert done.pays == (187, 0, 312, 0)  # 500 * 3 / 8 and 500 * 5 / 8
    assert done.slashes == (0, 20, 0, 50)  # min(41 // 2, 4 * 500 / 30) and 3 * 500 / 30
    assert (done.payable, done.paid, done.dust, done.rollover) == (500, 499, 1, 500)
    assert done.cumulative == {"ann": 194, "ben": 312}
    assert done.issues == (300, 0, 500, 0) and done.issued == 800  # 800 * 3 / 8 and 800 * 5 / 8
    assert done.cumulative_issued == {"ann": 300, "ben": 501}


def test_the_pool_and_lambda_are_floored_and_clipped() -> None:
    rules = PoolRules(treasury_cut_ppm=200_000, target_lift_ppm=100_000, seed_pool=5)
    assert pool_of(1_001, rules, 3) == 800 + 5 + 3
    assert [lambda_of(lift, rules) for lift in (-1, 0, 1, 50_000, 99_999, 100_000, 200_000)] == [
        0, 0, 10, 500_000, 999_990, 1_000_000, 1_000_000,
    ]  # fmt: skip


def test_impossible_inputs_are_refused() -> None:
    one = BondedContribution(keccak(b"1"), "ann", 1, 1, 0)
    good = SettlementInputs(1, 10, PPM, (one,), (0,), (1,), (1,), {}, 0, {})
    assert settle(good).paid == 10
    for changes in (
        {"pool": -1},
        {"issuable": -1},
        {"lambda_ppm": PPM + 1},
        {"v": (-1,)},
        {"s": ()},
        {"contributions": (one, one)},
    ):
        with pytest.raises(InvalidInput):
            settle(replace(good, **changes))
