"""The facts of a turn and what follows from them: one pure function from public inputs to money.

``TurnFacts`` holds everything that values and payouts depend on; ``compute`` derives the values, the settlement, the
three trees and all roots. The operator computes once to publish; an auditor or an owner computes again to compare.
Sources: MECHANISM 1 (steps 1 - 8) and 6.

>>> ContributionEntry(bytes(32), "0x" + "11" * 20, 1, 2, 0, (ACCEPTED, 0)).accepted
1
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rodagila.core.messages import Domain
from rodagila.core.policy import Policy
from rodagila.core.vectors import Int64Array
from rodagila.reward.roots import Fee, contributions_root, examples_root, usage_root
from rodagila.reward.settlement import (
    BondedContribution,
    Settlement,
    SettlementInputs,
    issuable_of,
    lambda_of,
    pool_of,
    settle,
)
from rodagila.reward.tree import Site, TurnTree, payout_tree, slash_tree, token_tree
from rodagila.value.examples import Examples
from rodagila.value.ocis import ValueInputs, ValueResult, value_records

ACCEPTED = -1
REFUSED = -2
"""Statuses of a record; a status of 0 or more is the place of the earlier record that it duplicates."""


@dataclass(frozen=True, slots=True)
class ContributionEntry:
    """One contribution in commit order; ``batch`` is the number of its registered batch, from 1, over all turns."""

    id: bytes
    owner: str
    turn: int
    batch: int
    bond: int
    statuses: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many records it holds."""
        return len(self.statuses)

    @property
    def accepted(self) -> int:
        """How many of them were accepted."""
        return sum(status == ACCEPTED for status in self.statuses)


@dataclass(frozen=True, slots=True)
class ModelClaim:
    """What is claimed of the turn's model: its hash, and the gate metric without and with the records, millionths."""

    hash: bytes
    parent: bytes
    baseline_ppm: int
    metric_ppm: int


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """The public inputs of a turn.

    ``records``: accepted records of turns 1 .. ``turn`` in place order; every target is a code into ``targets``.
    ``excluded``: places of records slashed in earlier turns. ``previous``: cumulative payouts before the turn,
    ``previous_issued``: cumulative tokens of the DAO before it. ``salt`` opens the turn's commitment. ``policy`` is the
    version that the turn was opened under. ``rewards``, ``bonds``, ``dao_token``: the contracts that leaves name.
    """

    domain: Domain
    rewards: str
    bonds: str
    dao_token: str
    turn: int
    policy: Policy
    code_version: str
    embedder: bytes
    seed: int
    salt: bytes
    contributions: tuple[ContributionEntry, ...]
    targets: tuple[str, ...]
    records: Examples
    reference: Examples
    queries: Examples
    weights: Int64Array
    gate: Examples
    excluded: tuple[int, ...]
    fees: tuple[Fee, ...]
    rollover_in: int
    previous: dict[str, int]
    previous_issued: dict[str, int]
    model: ModelClaim
    proofs_root: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from the facts; ``payouts`` of this turn by account, ``slashes`` by bonded contribution id.

    ``issued`` of ``issuable`` are the atomic units of the DAO's token that the turn issues, ``tokens`` by account.
    """

    lambda_ppm: int
    pool: int
    payable: int
    paid: int
    dust: int
    rollover: int
    payouts: dict[str, int]
    slashes: dict[bytes, int]
    issuable: int
    issued: int
    tokens: dict[str, int]
    roots: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Computed:
    """The outcome with all that led to it."""

    values: ValueResult
    settlement: Settlement
    payout_tree: TurnTree
    slash_tree: TurnTree
    token_tree: TurnTree
    outcome: Outcome


def accepted_places(facts: TurnFacts) -> Int64Array:
    """Return the place in the log of every accepted record."""
    statuses = np.array([status for entry in facts.contributions for status in entry.statuses], dtype=np.int64)
    return np.flatnonzero(statuses == ACCEPTED)


def accepted_sources(facts: TurnFacts) -> list[int]:
    """Return, for every accepted record, the index of its contribution."""
    return [index for index, entry in enumerate(facts.contributions) for _ in range(entry.accepted)]


def training_rows(facts: TurnFacts) -> Int64Array:
    """Return the rows of ``facts.records`` that the turn's model learns from: all that were not slashed before."""
    return np.flatnonzero(~np.isin(accepted_places(facts), np.array(facts.excluded, dtype=np.int64)))


def next_excluded(facts: TurnFacts, values: ValueResult) -> tuple[int, ...]:
    """Return the places to exclude in the next turn: those excluded now and this turn's with a negative check."""
    places, sources = accepted_places(facts), accepted_sources(facts)
    fresh = [
        int(place)
        for place, source, signed in zip(places, sources, values.s, strict=True)
        if signed < 0 and facts.contributions[source].turn == facts.turn
    ]
    return tuple(sorted({*facts.excluded, *fresh}))


def target_names(facts: TurnFacts, examples: Examples) -> list[str]:
    """Return the targets of ``examples`` as text."""
    return [facts.targets[code] if code >= 0 else "" for code in examples.targets.tolist()]


def value_inputs(facts: TurnFacts) -> ValueInputs:
    """Return what the turn's values follow from."""
    slashed = np.isin(accepted_places(facts), np.array(facts.excluded, dtype=np.int64))
    return ValueInputs(
        records=facts.records,
        turns=np.array([facts.contributions[source].turn for source in accepted_sources(facts)], np.int64),
        slashed=slashed,
        reference=facts.reference,
        queries=facts.queries,
        weights=facts.weights,
        rules=facts.policy.value,
        task=facts.policy.model.task,
    )


def compute(facts: TurnFacts) -> Computed:
    """Return everything that follows from ``facts``; raises ``RodaError`` if they cannot be a turn's."""
    values = value_records(value_inputs(facts))
    settlement = settle(_settlement_inputs(facts, values))
    chain = facts.domain.chain_id
    payouts = payout_tree(Site(chain, facts.rewards), facts.turn, settlement.cumulative)
    owners = {entry.id: entry.owner for entry in facts.contributions}
    slashes = slash_tree(Site(chain, facts.bonds), facts.turn, settlement.slash_of, owners)
    tokens = token_tree(Site(chain, facts.dao_token), facts.turn, settlement.cumulative_issued)
    roots = {**fact_roots(facts), "payouts": payouts.root, "slashes": slashes.root, "tokens": tokens.root}
    return Computed(values, settlement, payouts, slashes, tokens, _outcome(settlement, roots))


def _settlement_inputs(facts: TurnFacts, values: ValueResult) -> SettlementInputs:
    return SettlementInputs(
        turn=facts.turn,
        pool=pool_of(sum(fee.amount for fee in facts.fees), facts.policy.pool, facts.rollover_in),
        lambda_ppm=lambda_of(facts.model.metric_ppm - facts.model.baseline_ppm, facts.policy.pool),
        contributions=tuple(
            BondedContribution(entry.id, entry.owner, entry.turn, entry.count, entry.bond)
            for entry in facts.contributions
        ),
        source=accepted_sources(facts),
        v=values.v,
        s=values.s.tolist(),
        previous=facts.previous,
        issuable=issuable_of(facts.turn, facts.policy.token),
        previous_issued=facts.previous_issued,
    )


def fact_roots(facts: TurnFacts) -> dict[str, bytes]:
    """Return the roots that follow from the facts alone, by name."""
    sets = {"vectors": facts.records, "reference": facts.reference, "queries": facts.queries, "gate": facts.gate}
    return {
        "contributions": contributions_root([entry.id for entry in facts.contributions]),
        **{name: examples_root(part.vectors, target_names(facts, part)) for name, part in sets.items()},
        "usage": usage_root(facts.fees),
        "proofs": facts.proofs_root,
    }


def _outcome(settlement: Settlement, roots: dict[str, bytes]) -> Outcome:
    return Outcome(
        lambda_ppm=settlement.lambda_ppm,
        pool=settlement.pool,
        payable=settlement.payable,
        paid=settlement.paid,
        dust=settlement.dust,
        rollover=settlement.rollover,
        payouts=settlement.payouts,
        slashes=settlement.slash_of,
        issuable=settlement.issuable,
        issued=settlement.issued,
        tokens=settlement.tokens,
        roots=roots,
    )
