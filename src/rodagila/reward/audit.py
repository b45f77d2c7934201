"""Audit of a turn: recompute everything from the public file and say in one line each what differs (MECHANISM 6).

Four comparisons, each independent of the operator's word:

    within   every root, payout, slash, issue of tokens and sum of the file against what its own facts give
    chain    previous turn's file: cumulative payouts and tokens, rollover, exclusions, earlier contributions, vectors
    model    hash and metrics of the model against training it again
    ledger   posted roots and public hash, batches in log order, the policy that the turn was opened under, the supply
             rule, opening commitment, model, fees, bonds

An honest file gives no line. A difference names the thing, what was expected (recomputed) and what was found.

Example: ``audit_turn(public, None, view).ok`` for the first turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rodagila.core.errors import RodaError
from rodagila.core.hashing import hex0x
from rodagila.core.money import TOKEN_UNIT
from rodagila.reward.facts import Computed, ModelClaim, TurnFacts, compute, next_excluded, target_names
from rodagila.reward.laws import check_facts
from rodagila.reward.ledger import LedgerTurn, LedgerView, Supply
from rodagila.reward.model_check import recompute_model
from rodagila.reward.public import PublicTurn, public_hash
from rodagila.reward.roots import contributions_root, turn_commitment

ModelCheck = Callable[[TurnFacts], ModelClaim]
"""Recomputes the model's hash and metrics from the facts; the parent is taken as given."""
NUMBERS = ("lambda_ppm", "pool", "payable", "paid", "dust", "rollover", "issuable", "issued")
CONTRACTS = ("rewards", "bonds", "dao_token")


@dataclass(frozen=True, slots=True)
class RootCheck:
    """One root as published and as recomputed, hex."""

    published: str
    recomputed: str

    @property
    def ok(self) -> bool:
        """Whether both are equal."""
        return self.published == self.recomputed


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result: roots by name and one line for each difference."""

    turn: int
    roots: dict[str, RootCheck]
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and all(root.ok for root in self.roots.values())

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of the report."""
        roots = {
            name: {"published": root.published, "recomputed": root.recomputed, "ok": root.ok}
            for name, root in self.roots.items()
        }
        return {"turn": self.turn, "ok": self.ok, "roots": roots, "differences": list(self.differences)}


def audit_turn(
    public: PublicTurn,
    previous: PublicTurn | None,
    ledger: LedgerView | None,
    check_model: ModelCheck | None = recompute_model,
) -> AuditReport:
    """Return what differs between ``public``, its recomputation, the ``previous`` turn's file and the ``ledger``.

    Never raises for what a file says: facts that break a law are a difference. Without ``ledger`` or ``check_model``
    that comparison is left out.
    """
    turn = public.facts.turn
    try:
        check_facts(public.facts)
        computed = compute(public.facts)
    except RodaError as error:
        return AuditReport(turn, {}, (f"turn {turn}: cannot be recomputed: {error.message}",))
    lines = [*_within(public, computed), *_chain(public.facts, previous)]
    if ledger is None:  # else the ledger says which model the line goes on from; a decision may have changed that
        lines += _differs(
            "parent model", previous.facts.model.hash if previous else bytes(32), public.facts.model.parent
        )
    if check_model is not None:
        lines += _model(public.facts, check_model)
    roots = _roots(public, computed)
    if ledger is not None:
        stated = ledger.turn(turn)
        lines += _site(public.facts, ledger)
        lines += _batches(public.facts, ledger)
        if stated is None:
            lines.append(f"turn {turn}: the ledger has no posted root")
        else:
            lines += _ledger(public, computed, stated)
            roots |= _ledger_roots(public, computed, stated)
    lines += [f"root {name}: expected {r.recomputed}, found {r.published}" for name, r in roots.items() if not r.ok]
    return AuditReport(turn, roots, tuple(lines))


def _differs(name: str, expected: Any, found: Any) -> list[str]:
    if expected == found:
        return []
    shown = [hex0x(value) if isinstance(value, bytes) else f"{value}" for value in (expected, found)]
    return [f"{name}: expected {shown[0]}, found {shown[1]}"]


def _tables(name: str, expected: Mapping[Any, int], found: Mapping[Any, int]) -> list[str]:
    lines: list[str] = []
    for key in sorted(set(expected) | set(found)):
        shown = hex0x(key) if isinstance(key, bytes) else key
        if key not in expected or key not in found:
            lines += _differs(f"{name} of {shown}", expected.get(key, "no entry"), found.get(key, "no entry"))
        else:
            lines += _differs(f"{name} of {shown}", expected[key], found[key])
    return lines


def _within(public: PublicTurn, computed: Computed) -> Iterator[str]:
    """The outcome in the file against the one its facts give."""
    stated, true = public.outcome, computed.outcome
    for name in NUMBERS:
        yield from _differs(name.removesuffix("_ppm"), getattr(true, name), getattr(stated, name))
    yield from _tables("payout", true.payouts, stated.payouts)
    yield from _tables("slash", true.slashes, stated.slashes)
    yield from _tables("tokens", true.tokens, stated.tokens)
    yield from _differs("root names", sorted(true.roots), sorted(stated.roots))


def _roots(public: PublicTurn, computed: Computed) -> dict[str, RootCheck]:
    stated = public.outcome.roots
    return {
        name: RootCheck(hex0x(stated[name]) if name in stated else "absent", hex0x(root))
        for name, root in computed.outcome.roots.items()
    }


def _chain(facts: TurnFacts, previous: PublicTurn | None) -> Iterator[str]:
    """The file against the one of the turn before."""
    if previous is None:
        yield from _differs("turn without an earlier file", 1, facts.turn)
        yield from _differs("rollover_in of the first turn", 0, facts.rollover_in)
        yield from _tables("cumulative payout before the first turn", {}, facts.previous)
        yield from _tables("cumulative tokens before the first turn", {}, facts.previous_issued)
        yield from _differs("exclusions of the first turn", (), facts.excluded)
        return
    before = compute(previous.facts)
    yield from _differs("turn", previous.facts.turn + 1, facts.turn)
    yield from _differs("rollover_in", before.outcome.rollover, facts.rollover_in)
    yield from _tables("cumulative payout before the turn", before.settlement.cumulative, facts.previous)
    yield from _tables("cumulative tokens before the turn", before.settlement.cumulative_issued, facts.previous_issued)
    yield from _differs("exclusions", next_excluded(previous.facts, before.values), facts.excluded)
    yield from _differs("supply rule", previous.facts.policy.token, facts.policy.token)
    for name in ("domain", *CONTRACTS, "embedder"):
        yield from _differs(name, getattr(previous.facts, name), getattr(facts, name))
    yield from _earlier_records(facts, previous.facts)


def _earlier_records(facts: TurnFacts, before: TurnFacts) -> Iterator[str]:
    kept = facts.contributions[: len(before.contributions)]
    for old, new in zip(before.contributions, kept, strict=False):
        state = "unchanged" if old == new else "changed"
        yield from _differs(f"contribution {hex0x(old.id)} of an earlier turn", "unchanged", state)
    yield from _differs("contributions of earlier turns", len(before.contributions), _earlier(facts))
    count = len(before.records)
    same = np.array_equal(before.records.vectors, facts.records.vectors[:count])
    yield from _differs("vectors of earlier turns' records", "unchanged", "unchanged" if same else "changed")
    old_names, new_names = target_names(before, before.records), target_names(facts, facts.records)[:count]
    yield from _differs(
        "targets of earlier turns' records", "unchanged", "unchanged" if old_names == new_names else "changed"
    )


def _earlier(facts: TurnFacts) -> int:
    return sum(entry.turn < facts.turn for entry in facts.contributions)


def _model(facts: TurnFacts, check_model: ModelCheck) -> Iterator[str]:
    try:
        true = check_model(facts)
    except RodaError as error:
        yield f"model: cannot be recomputed: {error.message}"
        return
    yield from _differs("model hash", true.hash, facts.model.hash)
    yield from _differs("metric without the records, ppm", true.baseline_ppm, facts.model.baseline_ppm)
    yield from _differs("metric of the model, ppm", true.metric_ppm, facts.model.metric_ppm)


def _site(facts: TurnFacts, ledger: LedgerView) -> Iterator[str]:
    yield from _differs("domain", ledger.domain(), facts.domain)
    stated, rule = ledger.contracts(), facts.policy.token
    for name in CONTRACTS:
        yield from _differs(f"contract {name}", stated[name], getattr(facts, name))
    cap, founders, per_turn = (whole * TOKEN_UNIT for whole in (rule.cap, rule.founders, rule.per_turn))
    supply = Supply(cap, founders, per_turn, rule.halving_turns)
    yield from _differs("supply rule on the ledger", ledger.supply(), supply)


def _batches(facts: TurnFacts, ledger: LedgerView) -> Iterator[str]:
    """Contributions, in their order, against the batches in the log."""
    place = 0
    registered = {batch.number: batch for batch in ledger.batches(facts.turn)}
    numbers = {entry.batch for entry in facts.contributions}
    yield from _differs("batches", sorted(registered), sorted(numbers))
    for number in sorted(numbers & set(registered)):
        entries, batch = [e for e in facts.contributions if e.batch == number], registered[number]
        yield from _differs(f"root of batch {number}", batch.root, contributions_root([entry.id for entry in entries]))
        yield from _differs(f"contributions of batch {number}", batch.contributions, len(entries))
        yield from _differs(f"records of batch {number}", batch.records, sum(entry.count for entry in entries))
        yield from _differs(f"first place of batch {number}", batch.first_place, place)
        yield from _differs(f"turn of batch {number}", {batch.turn}, {entry.turn for entry in entries})
        place += sum(entry.count for entry in entries)


def _ledger(public: PublicTurn, computed: Computed, stated: LedgerTurn) -> Iterator[str]:
    """The recomputed turn against what the ledger says of it."""
    facts, true = public.facts, computed.outcome
    yield from _differs("policy hash on the ledger", facts.policy.policy_hash(), stated.policy_hash)
    yield from _differs("reveal on the ledger", facts.salt, stated.reveal)
    yield from _differs("model hash on the ledger", facts.model.hash, stated.model_hash)
    yield from _differs("parent model on the ledger", facts.model.parent, stated.parent_model)
    yield from _differs("paid on the ledger", true.paid, stated.paid)
    yield from _differs("issued on the ledger", true.issued, stated.issued)
    if stated.pool is not None:
        yield from _differs("pool on the ledger", true.pool, stated.pool)
    yield from _tables("fees", stated.fees, {fee.account: fee.amount for fee in facts.fees})
    for entry in facts.contributions:
        if entry.turn == facts.turn:  # bonds that strangers posted under its id are no concern of the turn
            yield from _differs(f"bond of {hex0x(entry.id)}", stated.bonds.get((entry.id, entry.owner), 0), entry.bond)


def _ledger_roots(public: PublicTurn, computed: Computed, stated: LedgerTurn) -> dict[str, RootCheck]:
    facts, roots = public.facts, computed.outcome.roots
    sets = (roots["queries"], roots["gate"], roots["reference"])
    commitment = turn_commitment(*sets, facts.embedder, seed=facts.seed, salt=facts.salt)
    pairs = {
        "payouts on the ledger": (stated.payout_root, roots["payouts"]),
        "slashes on the ledger": (stated.slash_root, roots["slashes"]),
        "tokens on the ledger": (stated.token_root, roots["tokens"]),
        "contributions on the ledger": (stated.data_root, roots["contributions"]),
        "proofs on the ledger": (stated.proofs_root, roots["proofs"]),
        "commitment on the ledger": (stated.commitment, commitment),
        "public file on the ledger": (stated.public_hash, public_hash(public)),
    }
    return {name: RootCheck(hex0x(found), hex0x(expected)) for name, (found, expected) in pairs.items()}
