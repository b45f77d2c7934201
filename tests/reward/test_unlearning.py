"""A turn without an owner is the turn as if she had never come, and who stood behind her moves up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from turns import account, make_turns

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.core.policy import CheckRules
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array, quantise
from rodagila.prove.duplicates import SeenRecords, normalised
from rodagila.reward.facts import ACCEPTED, Computed, ContributionEntry, TurnFacts, accepted_places, compute
from rodagila.reward.laws import check_facts
from rodagila.reward.model_check import recompute_model, train_model
from rodagila.reward.unlearning import HeldRecord, without_owner
from rodagila.value.examples import Examples, encode_targets

WORDS = ("card", "fee", "limit", "loan", "rate", "saving", "lost", "block", "pay", "due", "open", "close")
BASE = make_turns(seed=1, turns=1)[0].facts
BASE = replace(BASE, policy=replace(BASE.policy, model=replace(BASE.policy.model, bootstrap=2)))
LABELS = tuple(BASE.targets)
Given = list[tuple[str, list[Record]]]


def vector(text: str) -> Int8Array:
    """Return a text's int8 vector: the sum of its words' random directions."""
    rows = [np.random.default_rng(list(word.encode())).normal(size=24) for word in normalised(text).split()]
    total = np.sum(rows, axis=0)
    return np.asarray(quantise((total / np.linalg.norm(total))[None, :])[0])


def examples_of(records: list[Record]) -> Examples:
    codes = np.array([LABELS.index(record.target) for record in records], np.int64)
    return Examples(np.array([vector(record.text) for record in records], np.int8).reshape(len(records), 24), codes)


def facts_of(given: Given, asked: list[Record]) -> tuple[TurnFacts, dict[int, HeldRecord]]:
    """Return the facts of a turn in which each owner gave records, judged by the real rule of duplicates."""
    seen, entries, accepted, held, place = SeenRecords(), [], [], {}, 0
    for number, (owner, records) in enumerate(given):
        statuses = []
        for record in records:
            held[place] = HeldRecord(record, vector(record.text))
            before = seen.duplicate_of(record, before=place, jaccard_ppm=CheckRules().minhash_jaccard_ppm)
            statuses.append(ACCEPTED if before is None else before)
            if before is None:
                seen.add(place, record, vector(record.text))
                accepted.append(record)
            place += 1
        entries.append(ContributionEntry(keccak(f"{owner} {number}".encode()), owner, 1, 1, 9_000, tuple(statuses)))
    half = len(asked) // 2
    sets = {"queries": examples_of(asked[:half]), "gate": examples_of(asked[half:])}
    names = [[record.target for record in part] for part in (accepted, asked[:half], asked[half:])]
    _, codes = encode_targets(list(LABELS), *names)
    assert [code.tolist() for code in codes[2:]] == [part.targets.tolist() for part in sets.values()]
    facts = replace(
        BASE, contributions=tuple(entries), records=examples_of(accepted), weights=np.ones(half, np.int64), **sets
    )
    return replace(facts, model=recompute_model(facts)), held


def random_given(seed: int) -> tuple[Given, list[Record]]:
    """Return four owners' records over few words, so that exact and near copies are common, and queries."""
    rng = np.random.default_rng(seed)

    def some(count: int) -> list[Record]:
        texts = [" ".join(rng.choice(WORDS[: 4 + seed % 9], rng.integers(3, 6))) for _ in range(count)]
        return [Record(text, label=LABELS[WORDS.index(text.split()[0]) % len(LABELS)]) for text in texts]

    given = [(account(f"owner {i}"), some(int(rng.integers(1, 7)))) for i in range(4)]
    for _, records in given[1:]:
        copied = given[0][1][int(rng.integers(0, len(given[0][1])))]
        records.insert(0, replace(copied, text=f"{copied.text}." if rng.random() < 0.5 else copied.text))
    return given, some(24)


def of_others(facts: TurnFacts, done: Computed) -> list[tuple[int, ...]]:
    """Return what the turn says of every accepted record, in order."""
    values, paid = done.values, done.settlement
    columns = (values.u, values.v, values.s, values.novelty, values.helped, paid.pays, paid.slashes)
    return [tuple(int(column[row]) for column in columns) for row in range(len(facts.records))]


@given(st.integers(0, 10_000), st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_a_turn_without_an_owner_is_a_fresh_pass_on_the_data_without_her(seed: int, leaves: int) -> None:
    given_, asked = random_given(seed)
    facts, held = facts_of(given_, asked)
    leaving = given_[leaves][0]
    left = without_owner(facts, leaving, held)
    fresh, _ = facts_of([part for part in given_ if part[0] != leaving], asked)
    check_facts(left)
    done, expected = compute(left), compute(fresh)
    assert of_others(left, done) == of_others(fresh, expected)
    assert done.outcome.payouts == expected.outcome.payouts and leaving not in done.outcome.payouts
    assert done.outcome.tokens == expected.outcome.tokens
    assert (left.model.baseline_ppm, left.model.metric_ppm) == (fresh.model.baseline_ppm, fresh.model.metric_ppm)
    one, two = train_model(left), train_model(fresh)
    assert one.card.head == two.card.head  # the hash of the integer sums: unlearning is retraining, bit for bit
    assert one.head is not None and two.head is not None
    assert np.abs(one.head.weights - two.head.weights).max() <= 1e-10


def test_the_copy_behind_her_record_becomes_the_slot_and_earns_what_it_earned() -> None:
    said = [Record("card lost block", label="card"), Record("loan rate due", label="loan")]
    first, second, third = (account(name) for name in ("first", "second", "third"))
    copy = replace(said[0], text="Card LOST, block!")
    given_ = [(first, [said[0]]), (second, [copy]), (third, [said[1]])]
    asked = [
        *(Record(f"card lost {word}", label="card") for word in WORDS[1:6] * 2),
        *(Record("fee", label="fee"),) * 10,
    ]
    facts, held = facts_of(given_, asked)
    before = compute(facts)
    assert facts.contributions[1].statuses == (0,)
    assert before.outcome.payouts.get(second, 0) == 0
    left = without_owner(facts, first, held)
    after = compute(left)
    assert left.contributions[1].statuses == (ACCEPTED,) and accepted_places(left).tolist() == [1, 2]
    assert after.values.slot[0] and after.values.v[0] == before.values.v[0] > 0


def test_what_cannot_leave_or_be_judged_is_refused() -> None:
    given_, asked = random_given(3)
    facts, held = facts_of(given_, asked)
    with pytest.raises(InvalidInput, match="nothing can leave"):
        without_owner(facts, account("stranger"), held)
    del held[len(given_[0][1])]
    with pytest.raises(InvalidInput, match="needed to judge duplicates"):
        without_owner(facts, given_[0][0], held)
