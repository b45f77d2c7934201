"""A turn without one owner: her records leave, copies that stood behind them are promoted, all is computed again.

Places in the log stay as they are; every record of hers counts as refused from there on. Who said again what she had
said first was a duplicate of hers, so duplicates are judged again in the order of places, by the very rule that made
the proofs; what is accepted now enters the values, the model and the pay as if she had never come. What she was paid
before stays hers (``previous``), and bonds lie where they lie. The head loses her exactly: its sums are integers.

>>> left = without_owner(facts, account, held)                                     # doctest: +SKIP
>>> compute(left).outcome.payouts[second_comer] > 0
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array
from rodagila.prove.duplicates import SeenRecords
from rodagila.reward.facts import ACCEPTED, REFUSED, ContributionEntry, TurnFacts, accepted_places, target_names
from rodagila.reward.model_check import recompute_model
from rodagila.value.examples import Examples, encode_targets


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """What the operator holds of a place that was not refused: the opened record and its int8 vector (d,)."""

    record: Record
    vector: Int8Array


def without_owner(facts: TurnFacts, account: str, held: Mapping[int, HeldRecord]) -> TurnFacts:
    """Return ``facts`` as they are without ``account``, her model's claim made again.

    ``held`` has every place of other owners whose record was not refused. Raises ``InvalidInput`` if one is missing
    or if the account gave nothing.
    """
    if all(entry.owner != account for entry in facts.contributions):
        raise InvalidInput("value_inputs", f"{account} has no records up to turn {facts.turn}, so nothing can leave.")
    statuses = _judged_again(facts, account, held)
    contributions, place = [], 0
    for entry in facts.contributions:
        contributions.append(replace(entry, statuses=tuple(statuses[place : place + entry.count])))
        place += entry.count
    kept = {place for place, status in enumerate(statuses) if status == ACCEPTED}
    left = _with_records(facts, tuple(contributions), sorted(kept), held)
    left = replace(left, excluded=tuple(place for place in facts.excluded if place in kept))
    return replace(left, model=recompute_model(left))


def _judged_again(facts: TurnFacts, account: str, held: Mapping[int, HeldRecord]) -> list[int]:
    """Return every place's status without the records of ``account``."""
    seen, jaccard = SeenRecords(), facts.policy.checks.minhash_jaccard_ppm
    statuses: list[int] = []
    for entry, status in _by_place(facts):
        place = len(statuses)
        if entry.owner == account or status == REFUSED:
            statuses.append(REFUSED)
            continue
        if place not in held:
            raise InvalidInput("value_inputs", f"The record at place {place} is needed to judge duplicates again.")
        record = held[place].record
        earlier = seen.duplicate_of(record, before=place, jaccard_ppm=jaccard)
        statuses.append(ACCEPTED if earlier is None else earlier)
        if earlier is None:
            seen.add(place, record, held[place].vector)
    return statuses


def _by_place(facts: TurnFacts) -> list[tuple[ContributionEntry, int]]:
    return [(entry, status) for entry in facts.contributions for status in entry.statuses]


def _with_records(
    facts: TurnFacts, contributions: tuple[ContributionEntry, ...], kept: list[int], held: Mapping[int, HeldRecord]
) -> TurnFacts:
    """Return ``facts`` with the records at places ``kept``; those that were accepted before keep vector and target."""
    row_of = {int(place): row for row, place in enumerate(accepted_places(facts))}
    known = target_names(facts, facts.records)
    vectors = [facts.records.vectors[row_of[at]] if at in row_of else held[at].vector for at in kept]
    names = [known[row_of[at]] if at in row_of else held[at].record.target for at in kept]
    sets = [facts.reference, facts.queries, facts.gate]
    table, codes = encode_targets(names, *(target_names(facts, part) for part in sets))
    rows = np.array(vectors, np.int8).reshape(len(kept), facts.records.vectors.shape[1])
    records, reference, queries, gate = (
        Examples(part, code) for part, code in zip([rows, *(part.vectors for part in sets)], codes, strict=True)
    )
    return replace(
        facts,
        contributions=contributions,
        targets=table,
        records=records,
        reference=reference,
        queries=queries,
        gate=gate,
    )
