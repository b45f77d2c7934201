"""The laws between the fields of a turn's facts: what must hold before anything is computed from them.

A place is the running count of records in commit order, so accepted statuses and accepted vectors must be equally many;
a duplicate can only point to an earlier place; a record is excluded only if it was accepted in an earlier turn.

Example: facts whose excluded places name a record of this turn raise ``public_file_invalid``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from rodagila.core.money import PPM
from rodagila.core.policy import Policy
from rodagila.reward.encoding import refuse
from rodagila.reward.facts import TurnFacts, accepted_places
from rodagila.reward.settlement import schedule_of

MOST_TOKENS = 10**12
"""Whole tokens; their atomic units stay far below the contract's uint128."""


def check_facts(facts: TurnFacts) -> None:
    """Raise ``InvalidInput`` with the first law that ``facts`` break."""
    for where, required, holds in _laws(facts):
        if not holds:
            raise refuse(where, required)


def _laws(facts: TurnFacts) -> Iterator[tuple[str, str, bool]]:
    """Yield (field, what it must be, whether it is)."""
    entries = facts.contributions
    yield "policy", "one whose constants are in their ranges", _policy_in_range(facts.policy)
    ids = [entry.id for entry in entries]
    yield "contributions", "without repetition", len(set(ids)) == len(ids)
    yield (
        "contributions",
        "in the order of turns, none later than the file's",
        _ascends(entry.turn for entry in entries),
    )
    yield "contributions", f"of turns up to {facts.turn}", all(entry.turn <= facts.turn for entry in entries)
    yield "contributions", "in the order of batches", _ascends(entry.batch for entry in entries)
    yield "contributions", "of at least one record each", all(entry.count > 0 for entry in entries)
    yield "contributions.records", "duplicates of earlier places only", _duplicates_point_back(facts)
    accepted = sum(entry.accepted for entry in entries)
    yield "records", "one row for each accepted record", accepted == len(facts.records)
    yield "weights", "one for each query", len(facts.weights) == len(facts.queries)
    yield "targets", "sorted texts without repetition or empty ones", _table(facts.targets)
    yield "excluded", "accepted places of earlier turns, ascending", _excluded_earlier(facts)
    yield "fees", "in ascending order of accounts", _rises(fee.account for fee in facts.fees)
    issued, most = sum(facts.previous_issued.values()), schedule_of(facts.turn - 1, facts.policy.token)
    yield "previous_issued", "within what the supply rule allows up to the turn before", issued <= most


def _policy_in_range(policy: Policy) -> bool:
    value, pool, token = policy.value, policy.pool, policy.token
    counts = (value.coverage_k, value.check_k, value.top)
    shares = (value.theta_max_ppm, value.delta_ppm, value.novelty_ppm, pool.treasury_cut_ppm, pool.target_lift_ppm)
    percentiles = (value.theta_percentile, value.tau_percentile, value.query_percentile)
    return (
        all(1 <= count <= 4096 for count in counts)
        and all(0 <= share <= PPM for share in shares)
        and all(1 <= percent <= 100 for percent in percentiles)
        and 0 <= pool.seed_pool < 2**53
        and 1 <= token.founders <= token.cap <= MOST_TOKENS
        and 0 <= token.per_turn <= MOST_TOKENS
        and 1 <= token.halving_turns < 2**32
        and policy.model.task in ("classify", "retrieve")
    )


def _ascends(values: Iterable[Any]) -> bool:
    return all(a <= b for a, b in pairwise(values))


def _rises(values: Iterable[Any]) -> bool:
    return all(a < b for a, b in pairwise(values))


def _table(targets: tuple[str, ...]) -> bool:
    return all(targets) and _rises(targets)


def _duplicates_point_back(facts: TurnFacts) -> bool:
    statuses = (status for entry in facts.contributions for status in entry.statuses)
    return all(status < place for place, status in enumerate(statuses))


def _excluded_earlier(facts: TurnFacts) -> bool:
    earlier = sum(entry.count for entry in facts.contributions if entry.turn < facts.turn)
    places = accepted_places(facts)
    known = set(places[places < earlier].tolist())
    return _rises(facts.excluded) and set(facts.excluded) <= known
