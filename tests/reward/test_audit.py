"""An honest file is never objected to; a file or ledger with any one value changed always is."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from turns import REWARDS, HonestLedger, make_turns

from arena import root_attacks
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.reward import audit
from rodagila.reward.audit import AuditReport
from rodagila.reward.ledger import LedgerTurn
from rodagila.reward.public import PublicTurn, dump, load, public_hash, publish, read_public, write_public

TURNS = make_turns()


def audit_turn(public: PublicTurn, before: PublicTurn | None, ledger: Any) -> AuditReport:
    """Audit a turn whose model's claim is made up."""
    return audit.audit_turn(public, before, ledger, None)


LEDGER = HonestLedger(TURNS)
FILE = json.loads(dump(TURNS[1]))


@pytest.mark.parametrize("seed", range(8))
def test_an_honest_chain_of_files_is_never_objected_to(seed: int) -> None:
    turns = make_turns(seed, turns=3)
    for before, public in zip([None, *turns], turns, strict=False):
        report = audit_turn(public, before, HonestLedger(turns))
        assert report.ok, report.differences
        assert len(report.roots) == 17


def test_the_turns_of_the_tests_pay_and_slash() -> None:
    assert TURNS[1].outcome.paid > 0
    assert sum(TURNS[0].outcome.slashes.values()) > 0
    assert TURNS[1].facts.excluded


def test_a_file_is_read_back_as_it_was_written(tmp_path: Any) -> None:
    path = tmp_path / "turn.json"
    assert write_public(TURNS[1], path) == public_hash(TURNS[1]) == keccak(path.read_bytes())
    assert dump(read_public(path)) == path.read_bytes()
    with pytest.raises(InvalidInput, match="at most 100 bytes"):
        read_public(path, max_bytes=100)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[1]", b"\xff", b'{"format": "rodagila-turn-2"}', b"[" * 100_000, dump(TURNS[0]) + b" "]
)
def test_what_writing_would_not_give_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        load(data)


LEAVES = root_attacks.leaves(FILE)


def with_change(path: tuple[Any, ...], step: int) -> bytes:
    return root_attacks.with_change(FILE, path, step)


def objected(data: bytes) -> bool:
    """Tell whether reading refuses the file or the audit against the honest ledger objects."""
    return root_attacks.objected(data, TURNS[0], LEDGER)


@given(st.sampled_from(LEAVES), st.sampled_from([-1, 1]))
@settings(max_examples=150, deadline=None)
def test_any_one_changed_value_is_objected_to(path: tuple[Any, ...], step: int) -> None:
    assert objected(with_change(path, step))


@pytest.mark.slow
def test_a_thousand_files_wrong_by_one_unit_are_all_rejected() -> None:
    rng = np.random.default_rng(1)
    chosen = [LEAVES[i] for i in rng.integers(0, len(LEAVES), 1_000)]
    assert sum(objected(with_change(path, int(rng.choice([-1, 1])))) for path in chosen) == 1_000


def outcome_paths() -> list[tuple[Any, ...]]:
    return [path for path in LEAVES if path[0] == "outcome"]


@pytest.mark.parametrize("path", outcome_paths())
def test_a_wrong_outcome_is_found_from_the_file_alone(path: tuple[Any, ...]) -> None:
    data = with_change(path, 1)
    report = audit_turn(load(data), TURNS[0], None)
    assert not report.ok
    name = path[-1].removesuffix("_ppm")
    assert any(name in line for line in report.differences)


def republished(**facts: Any) -> PublicTurn:
    """Return turn 2 with other facts, all that follows from them recomputed."""
    return publish(replace(TURNS[1].facts, **facts))


def lie(**facts: Any) -> tuple[str, ...]:
    """Return the differences when an operator republishes and reposts turn 2 over other ``facts``."""
    turns = [TURNS[0], republished(**facts)]
    honest = HonestLedger(TURNS).turn(2)
    forged = HonestLedger(turns).turn(2)
    assert honest is not None and forged is not None
    posted = ("payout_root", "slash_root", "token_root", "public_hash", "paid", "issued", "pool")
    changed = {name: getattr(forged if name in posted else honest, name) for name in honest.__slots__}
    return audit_turn(turns[1], TURNS[0], HonestLedger(TURNS, {2: changed})).differences


def test_a_consistent_lie_about_the_facts_is_found_on_the_chain_or_the_ledger() -> None:
    facts = TURNS[1].facts
    first = facts.contributions[-1]
    victim = next(iter(facts.previous))
    lies = {
        "rollover_in": {"rollover_in": facts.rollover_in + 1},
        "cumulative payout before the turn": {"previous": facts.previous | {victim: facts.previous[victim] - 1}},
        "cumulative tokens before the turn": {"previous_issued": facts.previous_issued | {victim: 1}},
        "supply rule on the ledger": {
            "policy": replace(facts.policy, token=replace(facts.policy.token, per_turn=1_000_001))
        },
        "contract dao_token": {"dao_token": REWARDS},
        "exclusions": {"excluded": facts.excluded[1:]},
        "fees of": {"fees": (replace(facts.fees[0], amount=facts.fees[0].amount + 1), *facts.fees[1:])},
        "bond of": {"contributions": (*facts.contributions[:-1], replace(first, bond=first.bond + 1))},
        "root of batch 2": {"contributions": (*facts.contributions[:-2], first, facts.contributions[-2])},
        "commitment on the ledger": {"queries": facts.gate, "weights": facts.weights[:10]},
        "policy hash": {"policy": replace(facts.policy, version=2)},
        "model hash": {"model": replace(facts.model, hash=keccak(b"other"))},
        "parent model": {"model": replace(facts.model, parent=keccak(b"other"))},
        "seed": {"seed": facts.seed + 1},
    }
    for named, changes in lies.items():
        differences = lie(**changes)
        wanted = "commitment on the ledger" if named == "seed" else named
        assert any(wanted in line for line in differences), (named, differences)


def test_a_ledger_that_says_anything_else_is_objected_to() -> None:
    for item in fields(LedgerTurn):
        honest = getattr(LEDGER.turn(2), item.name)
        if isinstance(honest, bytes):
            other: Any = bytes([honest[0] ^ 1]) + honest[1:]
        elif isinstance(honest, int):
            other = honest + 1
        else:
            key = next(iter(honest))
            other = {**honest, key: honest[key] - 1}
        report = audit_turn(TURNS[1], TURNS[0], HonestLedger(TURNS, {2: {item.name: other}}))
        assert len(report.differences) == 1, (item.name, report.differences)


def test_a_changed_earlier_record_is_found() -> None:
    vectors = TURNS[1].facts.records.vectors.copy()
    vectors[0, 0] += 1 if vectors[0, 0] < 127 else -1
    differences = lie(records=replace(TURNS[1].facts.records, vectors=vectors))
    assert any("vectors of earlier turns" in line for line in differences)


def test_a_turn_without_a_posted_root_or_earlier_file_is_objected_to() -> None:
    class Unposted(HonestLedger):
        def turn(self, turn: int) -> None:
            return None

    report = audit_turn(TURNS[1], TURNS[0], Unposted(TURNS))
    assert report.differences == ("turn 2: the ledger has no posted root",)
    assert any("without an earlier file" in line for line in audit_turn(TURNS[1], None, LEDGER).differences)


def test_the_model_is_trained_again_and_its_claim_compared() -> None:
    turns = make_turns(1, trained=True)
    ledger = HonestLedger(turns)
    assert audit.audit_turn(turns[0], None, ledger).ok
    report = audit.audit_turn(turns[1], turns[0], ledger)
    assert report.ok, report.differences
    claim = turns[1].facts.model
    for name, wrong in (
        ("model hash", replace(claim, hash=keccak(b"other"))),
        ("metric of the model", replace(claim, metric_ppm=claim.metric_ppm + 1)),
        ("metric without the records", replace(claim, baseline_ppm=claim.baseline_ppm - 1)),
    ):
        forged = publish(replace(turns[1].facts, model=wrong))
        lines = audit.audit_turn(forged, turns[0], HonestLedger([turns[0], forged])).differences
        assert len(lines) == 1 and lines[0].startswith(name), lines
