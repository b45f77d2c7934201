"""An explanation follows the money from the pool to the leaf and adds up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from turns import account, make_turns

from rodagila.core.errors import NotFound
from rodagila.core.hashing import from_hex
from rodagila.core.merkle import verify
from rodagila.reward.explain import explain
from rodagila.reward.facts import compute
from rodagila.reward.public import dump, load

PUBLIC = load(dump(make_turns()[1]))
DONE = compute(PUBLIC.facts)
OWNERS = [account(f"owner {i}") for i in range(3)]


@pytest.mark.parametrize("owner", OWNERS)
def test_records_add_up_to_the_total_and_the_leaf_verifies(owner: str) -> None:
    told = explain(PUBLIC, owner, DONE)
    assert sum(line.pay for line in told.records) == told.total == PUBLIC.outcome.payouts.get(owner, 0)
    own = [entry.id for entry in PUBLIC.facts.contributions if entry.owner == owner]
    assert told.slashed == sum(PUBLIC.outcome.slashes.get(key, 0) for key in own)
    assert told.before + told.total == told.cumulative
    assert sum(line.issue for line in told.records) == told.tokens == PUBLIC.outcome.tokens.get(owner, 0)
    assert told.tokens_before + told.tokens == told.tokens_cumulative
    if told.tokens_cumulative:
        assert verify(from_hex(told.token_root), from_hex(told.token_leaf), [from_hex(n) for n in told.token_proof])
    if told.cumulative:
        assert verify(from_hex(told.root), from_hex(told.leaf), [from_hex(node) for node in told.proof])
    assert len(told.records) == 16


def test_every_record_of_the_turn_is_explained_once() -> None:
    places = sorted(line.place for owner in OWNERS for line in explain(PUBLIC, owner, DONE).records)
    assert places == list(range(48))


def test_a_record_that_earns_nothing_says_why() -> None:
    lines = [line for owner in OWNERS for line in explain(PUBLIC, owner, DONE).records]
    reasons = {line.reason.split(":")[0] for line in lines if not line.pay}
    assert "refused by the checks" in reasons
    assert "the same text as the record at place 0" in reasons
    assert any(reason.startswith("misleads the queries") for reason in reasons)
    assert any(reason.startswith("excluded") for reason in reasons)
    assert all(line.reason.startswith("serves") for line in lines if line.pay)


def test_json_and_text_carry_the_same_sums() -> None:
    told = explain(PUBLIC, OWNERS[0])
    body = json.loads(json.dumps(told.as_json()))
    assert int(body["total"]) == told.total and len(body["records"]) == len(told.records)
    text = told.as_text(limit=3)
    assert int(body["tokens"]) == told.tokens > 0 and told.token_leaf in text
    assert told.leaf in text and "... and 13 more" in text


def test_every_interval_holds_its_figure_and_is_recomputed_from_the_public_file() -> None:
    found = [explain(PUBLIC, owner, DONE) for owner in OWNERS]
    for told in found:
        assert 0 <= told.total_low <= told.total <= told.total_high <= told.payable
        for line in told.records:
            assert line.v_low <= line.v <= line.v_high and line.s_low <= line.s <= line.s_high
            assert line.pay_low <= line.pay <= line.pay_high
            assert (line.pay_high > line.pay_low) == (line.v > 0 and line.s >= 0)
        assert told == explain(load(dump(PUBLIC)), told.account)
    earning = max(found, key=lambda told: told.total)
    wide = sum(line.pay_high - line.pay_low for line in earning.records)
    assert earning.total_high - earning.total_low < wide  # what one record takes of a query another cannot
    body = json.loads(json.dumps(earning.as_json()))
    assert all(isinstance(body["records"][0][name], str) for name in ("v_low", "s_high", "pay_low"))
    assert "95 times in 100" in earning.as_text()


def test_a_stranger_is_not_found() -> None:
    with pytest.raises(NotFound):
        explain(PUBLIC, account("stranger"))
    paid_before = account("left long ago")
    facts = replace(PUBLIC.facts, previous=PUBLIC.facts.previous | {paid_before: 9})
    assert explain(replace(PUBLIC, facts=facts), paid_before).cumulative == 9
