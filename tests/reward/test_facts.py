"""From facts to payouts: accounts do not matter, only records and their places; facts that break a law are refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from turns import account, make_turns

from rodagila.core.canonical import canonical_json
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.reward.facts import ContributionEntry, TurnFacts, accepted_places, compute, next_excluded, training_rows
from rodagila.reward.laws import check_facts
from rodagila.reward.public import dump, load
from rodagila.value.examples import Examples

FACTS = make_turns(4)[1].facts
OUTCOME = compute(FACTS).outcome
FILE = json.loads(dump(make_turns(4)[1]))


def split(entry: ContributionEntry) -> list[ContributionEntry]:
    """Return one contribution of a fresh account for every record of ``entry``."""
    share = entry.bond // entry.count
    return [
        replace(entry, id=keccak(entry.id + bytes([i])), owner=account(f"{entry.owner} {i}"), bond=share, statuses=(s,))
        for i, s in enumerate(entry.statuses)
    ]


def test_splitting_every_owner_into_accounts_pays_each_the_same_sum() -> None:
    parts = tuple(part for entry in FACTS.contributions for part in split(entry))
    owner_of = {part.owner: entry.owner for entry in FACTS.contributions for part in split(entry)}
    after = compute(replace(FACTS, contributions=parts)).outcome
    sums: dict[str, int] = {}
    for name, amount in after.payouts.items():
        sums[owner_of[name]] = sums.get(owner_of[name], 0) + amount
    assert sums == OUTCOME.payouts
    assert sum(after.slashes.values()) == sum(OUTCOME.slashes.values())
    assert (after.paid, after.dust, after.rollover) == (OUTCOME.paid, OUTCOME.dust, OUTCOME.rollover)


def test_permuting_owners_permutes_payouts() -> None:
    names = sorted({entry.owner for entry in FACTS.contributions})
    other = dict(zip(names, names[1:] + names[:1], strict=True))
    entries = tuple(replace(entry, owner=other[entry.owner]) for entry in FACTS.contributions)
    after = compute(replace(FACTS, contributions=entries, previous={})).outcome
    assert after.payouts == {other[name]: amount for name, amount in OUTCOME.payouts.items()}


def test_a_contribution_of_copies_earns_nothing_and_takes_nothing_from_others() -> None:
    slots = np.flatnonzero(compute(FACTS).values.slot)
    copies = FACTS.records.take(slots)
    thief = ContributionEntry(keccak(b"thief"), account("thief"), 2, 2, 0, (-1,) * len(copies))
    both = Examples(
        *(np.concatenate([getattr(FACTS.records, name), getattr(copies, name)]) for name in ("vectors", "targets"))
    )
    after = compute(replace(FACTS, contributions=(*FACTS.contributions, thief), records=both)).outcome
    assert after.payouts == OUTCOME.payouts
    assert after.slashes == OUTCOME.slashes


def test_exclusions_grow_by_this_turns_negative_records_only() -> None:
    computed = compute(FACTS)
    grown = next_excluded(FACTS, computed.values)
    fresh = set(grown) - set(FACTS.excluded)
    first = sum(entry.count for entry in FACTS.contributions if entry.turn < FACTS.turn)
    assert set(FACTS.excluded) <= set(grown) and fresh
    assert all(place >= first for place in fresh)
    assert len(training_rows(FACTS)) == len(FACTS.records) - len(FACTS.excluded)
    assert set(FACTS.excluded) <= set(accepted_places(FACTS).tolist())


def first_entry(**changes: Any) -> dict[str, Any]:
    return {"contributions": (replace(FACTS.contributions[0], **changes), *FACTS.contributions[1:])}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("contributions", {"contributions": (FACTS.contributions[0], *FACTS.contributions)}),
        ("contributions", {"contributions": FACTS.contributions[::-1]}),
        ("contributions", {"turn": 1}),
        ("contributions", first_entry(batch=2)),
        ("contributions", first_entry(statuses=())),
        ("contributions.records", first_entry(statuses=(-1, -1, -1, -1, -1, -1, -2, 9))),
        ("records", first_entry(statuses=(-2,) * 8)),
        ("weights", {"weights": FACTS.weights[1:]}),
        ("targets", {"targets": FACTS.targets[::-1]}),
        ("excluded", {"excluded": (10_000,)}),
        ("excluded", {"excluded": (int(accepted_places(FACTS)[-1]),)}),
        ("fees", {"fees": FACTS.fees[::-1]}),
        ("policy", {"policy": replace(FACTS.policy, value=replace(FACTS.policy.value, coverage_k=0))}),
    ],
)
def test_facts_that_break_a_law_are_refused_by_name(field: str, changes: dict[str, Any]) -> None:
    check_facts(FACTS)
    with pytest.raises(InvalidInput, match=f"In the public file, {field} must be"):
        check_facts(replace(FACTS, **changes))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every part of a JSON value, objects and lists included."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(deeper for name, item in parts for deeper in paths(item, (*path, name)))]


@given(st.sampled_from(paths(FILE)), JSON)
@settings(max_examples=150, deadline=None)
def test_any_other_json_in_any_place_is_refused_or_read_as_it_is(path: tuple[Any, ...], value: Any) -> None:
    body = copy.deepcopy(FILE)
    holder = body
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    data = canonical_json(body)
    try:
        facts: TurnFacts = load(data).facts
    except InvalidInput:
        return
    assert compute(facts).outcome.pool >= 0
    assert dump(load(data)) == data
