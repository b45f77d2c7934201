"""Ordered Coverage with In-run Slashing: the value of every record of a turn (MECHANISM 1, steps 2 - 6).

Inputs name no owner: places, vectors and targets are all that counts, so that renaming, splitting or merging accounts
cannot change a value. A record's value is ``v = novelty x u``; the signed check s decides whether it is paid or slashed
(``rodagila.reward.settlement``). Records that are barred (textual duplicates, slashed before) are never slots, earn
nothing and stand before nobody.

>>> data = Examples(np.array([[100, 0], [100, 0]], dtype=np.int8), np.array([1, 1]))
>>> none = data.take(slice(0, 0))
>>> inputs = ValueInputs(data, np.zeros(2, dtype=bool), none, data.take([0]), np.array([1]), ValueRules())
>>> [value > 0 for value in value_records(inputs).v]
[True, False]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import ValueRules
from rodagila.core.vectors import Int64Array
from rodagila.value.coverage import Examples, gain_threshold, ordered_coverage
from rodagila.value.neighbours import signed_check, spare_untested
from rodagila.value.slots import BoolArray, find_slots, novelty, slot_threshold

MAX_WEIGHT = (1 << 20) - 1
"""The largest sum of query weights for which every sum stays inside int64."""


@dataclass(frozen=True, slots=True)
class ValueInputs:
    """What values follow from. ``records`` are the accepted ones of all turns so far, in place order.

    ``barred`` (n,): textual duplicates and records slashed in an earlier turn. ``weights`` (queries,): positive
    integers, from feedback. ``task``: classify or retrieve.
    """

    records: Examples
    barred: BoolArray
    reference: Examples
    queries: Examples
    weights: Int64Array
    rules: ValueRules
    task: str = "classify"


@dataclass(frozen=True, slots=True)
class ValueResult:
    """Values by record, in place order, and the turn's thresholds.

    Units: ``nearest``, ``novelty``, ``theta``, ``tau`` 2^-30; ``u`` and utilities 2^-30 / K; ``s`` 2^-40;
    ``v`` = novelty x u as Python integers. ``neighbour``: see ``Slots``. ``helped``: queries the record served best.
    """

    slot: BoolArray
    nearest: Int64Array
    neighbour: Int64Array
    novelty: Int64Array
    helped: Int64Array
    u: Int64Array
    v: tuple[int, ...]
    s: Int64Array
    theta: int
    tau: int
    utility_before: int
    utility_after: int


def value_records(inputs: ValueInputs) -> ValueResult:
    """Return the value of every record; raises ``InvalidInput`` if shapes or weights do not fit."""
    _check(inputs)
    rules, queries, weights = inputs.rules, inputs.queries, inputs.weights
    theta = slot_threshold(inputs.reference.vectors, queries.vectors, rules)
    found = find_slots(inputs.records.vectors, inputs.barred, inputs.reference.vectors, theta)
    slots = inputs.records.take(found.slot)
    tau = gain_threshold(queries, [slots, inputs.reference], rules.tau_percentile)
    coverage = ordered_coverage(slots, inputs.reference, queries, weights, tau=tau, rules=rules)
    signed = signed_check(slots, queries, weights, rules.check_k)
    if inputs.task == "retrieve":
        signed = spare_untested(signed, slots, queries)
    u, fresh = _spread(coverage.u, found.slot), novelty(found.nearest, rules)
    return ValueResult(
        slot=found.slot,
        nearest=found.nearest,
        neighbour=found.neighbour,
        novelty=fresh,
        helped=_spread(coverage.helped, found.slot),
        u=u,
        v=tuple(int(a) * int(b) for a, b in zip(fresh.tolist(), u.tolist(), strict=True)),
        s=_spread(signed, found.slot),
        theta=theta,
        tau=tau,
        utility_before=coverage.utility_before,
        utility_after=coverage.utility_after,
    )


def encode_targets(*groups: Sequence[str]) -> tuple[tuple[str, ...], list[Int64Array]]:
    """Return the sorted table of distinct targets and each group's codes; an empty target is coded -1."""
    table = tuple(sorted({target for group in groups for target in group if target}))
    codes = {target: code for code, target in enumerate(table)}
    return table, [np.array([codes.get(target, -1) for target in group], dtype=np.int64) for group in groups]


def _spread(values: Int64Array, slot: BoolArray) -> Int64Array:
    spread = np.zeros(len(slot), np.int64)
    spread[slot] = values
    return spread


def _check(inputs: ValueInputs) -> None:
    shapes = {part.vectors.shape[1] for part in (inputs.records, inputs.reference, inputs.queries)}
    lengths = all(len(part.vectors) == len(part.targets) for part in (inputs.records, inputs.reference, inputs.queries))
    if len(shapes) != 1 or not lengths:
        raise InvalidInput("value_inputs", "Vectors and targets of records, reference and queries must fit together.")
    if len(inputs.barred) != len(inputs.records) or len(inputs.weights) != len(inputs.queries):
        raise InvalidInput("value_inputs", "Every record needs its barred flag and every query its weight.")
    total = int(inputs.weights.sum())
    if (inputs.weights < 1).any() or total > MAX_WEIGHT:
        raise InvalidInput(
            "value_inputs", f"Query weights must be at least 1 and sum to at most {MAX_WEIGHT:,}, given {total:,}."
        )
    if inputs.task not in ("classify", "retrieve"):
        raise InvalidInput("value_inputs", f"{inputs.task!r} is not a task: classify or retrieve is required.")
