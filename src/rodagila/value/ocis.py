"""Ordered Coverage with In-run Slashing: the value of every record of a turn (MECHANISM 1, steps 2 - 6).

Inputs name no owner: places, vectors and targets are all that counts, so that renaming, splitting or merging accounts
cannot change a value. Every query hears its ``top`` nearest slots; what a record adds in the order of places is its
``u``, times its novelty its value ``v``; the signed check s decides whether it is paid or slashed
(``rodagila.reward.settlement``). What no query hears is worth nothing and risks nothing. Records slashed in an earlier
turn earn nothing and teach nothing.

>>> data = Examples(np.array([[100, 0], [100, 0]], dtype=np.int8), np.array([1, 1]))
>>> none, query = data.take([]), Examples(np.array([[80, 60], [-10, 9]], dtype=np.int8), np.array([1, 1]))
>>> inputs = ValueInputs(data, np.ones(2), np.zeros(2, bool), none, query, np.ones(2, int), ValueRules())
>>> [value > 0 for value in value_records(inputs).v]
[True, False]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import ValueRules
from rodagila.core.vectors import Int64Array
from rodagila.value.coverage import agreeing, gain_threshold, ordered_coverage
from rodagila.value.examples import BoolArray, Examples, together
from rodagila.value.neighbours import signed_check, spare_untested
from rodagila.value.slots import NOTHING, Order, novelty, novelty_floor, slot_threshold

MAX_WEIGHT = (1 << 20) - 1
"""The largest sum of query weights for which every sum stays inside int64."""


@dataclass(frozen=True, slots=True)
class ValueInputs:
    """What values follow from. ``records`` are the accepted ones of all turns so far, in place order.

    ``turns`` (n,): the turn of each, never falling. ``slashed`` (n,): records slashed in an earlier turn. ``weights``
    (queries,): positive integers, from feedback. ``task``: classify or retrieve.
    """

    records: Examples
    turns: Int64Array
    slashed: BoolArray
    reference: Examples
    queries: Examples
    weights: Int64Array
    rules: ValueRules
    task: str = "classify"


@dataclass(frozen=True, slots=True)
class ValueResult:
    """Values by record, in place order, and the turn's thresholds.

    ``slot`` (n,): slots that some query hears. ``stopped``: places of what one would hear if nothing stood before it.
    ``nearest`` and ``neighbour``: what stands nearest before records that are stopped or have a u, where it is near
    enough to matter; the place of a record, ``-2 - r`` for row r of reference and queries together, -1 for none.
    ``helped``: queries whose frontier the record entered. ``added``: what all of them added before the cap. Units:
    ``nearest``, ``novelty``, ``theta``, ``tau`` 2^-30; ``u``, ``added`` and utilities 2^-30 / K; ``s`` 2^-40; ``v`` =
    novelty x u as Python integers.
    """

    slot: BoolArray
    stopped: Int64Array
    nearest: Int64Array
    neighbour: Int64Array
    novelty: Int64Array
    helped: Int64Array
    u: Int64Array
    v: tuple[int, ...]
    s: Int64Array
    theta: int
    tau: int
    added: int
    utility_before: int
    utility_after: int


def value_records(inputs: ValueInputs) -> ValueResult:
    """Return the value of every record; raises ``InvalidInput`` if shapes or weights do not fit."""
    _check(inputs)
    rules, queries, weights, targets = inputs.rules, inputs.queries, inputs.weights, inputs.records.targets
    count = len(inputs.records)
    theta = slot_threshold(inputs.reference.vectors, queries.vectors, rules)
    order = Order(inputs.records, inputs.slashed, together(inputs.reference, queries), theta)
    heard, stopped = order.heard(queries.vectors, rules.top)
    agree = agreeing(heard, targets, queries)
    tau = gain_threshold(heard, targets, inputs.reference, queries, rules.tau_percentile)
    coverage = ordered_coverage(heard, targets, inputs.turns, inputs.reference, queries, weights, tau=tau, rules=rules)
    signed = signed_check(heard.place, agree, weights, records=count, k=rules.check_k)
    if inputs.task == "retrieve":
        signed = spare_untested(signed, targets, queries)
    slot = np.zeros(count, np.bool_)
    slot[heard.place[heard.place >= 0]] = True
    nearest, neighbour, fresh = np.zeros(count, np.int64), np.full(count, NOTHING), np.zeros(count, np.int64)
    earning = np.flatnonzero(coverage.u)
    nearest[earning], neighbour[earning] = order.before(earning, novelty_floor(rules))
    fresh[earning] = novelty(nearest[earning], rules)
    nearest[stopped], neighbour[stopped] = order.stopped_by(stopped)
    return ValueResult(
        slot=slot,
        stopped=stopped,
        nearest=nearest,
        neighbour=neighbour,
        novelty=fresh,
        helped=coverage.helped,
        u=coverage.u,
        v=tuple(int(a) * int(b) for a, b in zip(fresh.tolist(), coverage.u.tolist(), strict=True)),
        s=signed,
        theta=theta,
        tau=tau,
        added=coverage.added,
        utility_before=coverage.utility_before,
        utility_after=coverage.utility_after,
    )


def _check(inputs: ValueInputs) -> None:
    shapes = {part.vectors.shape[1] for part in (inputs.records, inputs.reference, inputs.queries)}
    lengths = all(len(part.vectors) == len(part.targets) for part in (inputs.records, inputs.reference, inputs.queries))
    if len(shapes) != 1 or not lengths:
        raise InvalidInput("value_inputs", "Vectors and targets of records, reference and queries must fit together.")
    if len(inputs.turns) != len(inputs.records) or (np.diff(inputs.turns) < 0).any():
        raise InvalidInput("value_inputs", "Every record needs its turn, and records come in the order of turns.")
    if len(inputs.slashed) != len(inputs.records) or len(inputs.weights) != len(inputs.queries):
        raise InvalidInput("value_inputs", "Every record needs its slashed flag and every query its weight.")
    total = int(inputs.weights.sum())
    if (inputs.weights < 1).any() or total > MAX_WEIGHT:
        raise InvalidInput(
            "value_inputs", f"Query weights must be at least 1 and sum to at most {MAX_WEIGHT:,}, given {total:,}."
        )
    if inputs.task not in ("classify", "retrieve"):
        raise InvalidInput("value_inputs", f"{inputs.task!r} is not a task: classify or retrieve is required.")
