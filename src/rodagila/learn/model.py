"""A version of the vertical model: trained, measured and described by a card whose hash anybody can recompute.

The model of a turn is learned from the reference corpus R and all accepted records up to that turn, in place order. Its
lift is ``metric(R + records) - metric(R)`` on the gate set (MECHANISM 1, step 8). Training is deterministic, and the
hash is over integers: roots of int8 vectors and targets, Gram sums, counts, millionths.

>>> train("docs", 1, records, reference, gate, policy, embedder.hash).card.name
'docs-1'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rodagila.core.canonical import json_hash
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import ZERO_HASH, hex0x, keccak, keccak_abi
from rodagila.core.merkle import ordered_root
from rodagila.core.policy import Policy
from rodagila.core.vectors import Int8Array, vectors_root
from rodagila.learn.evaluation import Metric, Outcomes, classify_outcomes, metric_of, retrieve_outcomes, rise_of
from rodagila.learn.head import Head, add, head_hash, solve, statistics

METRICS = {"classify": "accuracy", "retrieve": "recall@5"}


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Vectors (n, d) with targets; ``places`` and ``owners`` only where they are an owner's records."""

    vectors: Int8Array
    targets: tuple[str, ...]
    places: tuple[int, ...] = ()
    owners: tuple[str, ...] = ()

    def root(self) -> bytes:
        """Return the hash of the roots over vectors, targets and places."""
        targets = ordered_root([keccak(target.encode()) for target in self.targets])
        places = keccak(b"".join(place.to_bytes(8, "big") for place in self.places))
        return keccak_abi(["bytes32", "bytes32", "bytes32"], [vectors_root(self.vectors), targets, places])


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the model is, what it was made from and what it reached; all hashes are 0x hex."""

    name: str
    dao: str
    turn: int
    task: str
    embedder: str
    policy: str
    parent: str
    data_root: str
    reference_root: str
    gate_root: str
    head: str
    records: int
    owners: int
    classes: int
    metric: Metric
    baseline: Metric
    rise: Metric

    @property
    def lift_ppm(self) -> int:
        """Rise of the metric over R alone, in millionths; it may be negative."""
        return self.metric.value_ppm - self.baseline.value_ppm

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that is hashed and published."""
        body: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name in ("metric", "baseline", "rise"):
            body[name] = body[name].as_json()
        return body | {"lift_ppm": self.lift_ppm}

    def model_hash(self) -> bytes:
        """Return Keccak-256 of the card's canonical JSON."""
        return json_hash(self.as_json())

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ModelCard:
        """Return the card of an object that ``as_json`` made."""
        values = {name: body[name] for name in cls.__slots__}
        for name in ("metric", "baseline", "rise"):
            values[name] = Metric(**values[name])
        return cls(**values)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A card with the head it describes (None for retrieval) and the 0/1 outcomes per gate query."""

    card: ModelCard
    head: Head | None
    outcomes: Outcomes
    baseline_outcomes: Outcomes

    @property
    def model_hash(self) -> bytes:
        """The card's hash."""
        return self.card.model_hash()


def train(
    dao: str,
    turn: int,
    records: Examples,
    reference: Examples,
    gate: Examples,
    policy: Policy,
    embedder: bytes,
    parent: bytes = ZERO_HASH,
) -> TrainedModel:
    """Return the model of ``turn``; equal arguments give an equal hash.

    ``records`` are all accepted ones in place order, ``parent`` is the model hash of the turn before.
    Raises ``InvalidInput`` for an unknown task, an empty gate set or places out of order.
    """
    task = policy.model.task
    _check(task, records)
    ridge = policy.model.ridge_ppm
    head, hash_of_head = _head(reference, records, ridge) if task == "classify" else (None, ZERO_HASH)
    outcomes = _outcomes(task, head, (reference, records), gate)
    base = _head(reference, None, ridge)[0] if task == "classify" else None
    baseline = _outcomes(task, base, (reference,), gate)
    data_root, seeds = records.root(), policy.model.bootstrap
    name, seed = METRICS[task], int.from_bytes(data_root[:8], "big")
    card = ModelCard(
        name=f"{dao}-{turn}",
        dao=dao,
        turn=turn,
        task=task,
        embedder=hex0x(embedder),
        policy=hex0x(policy.policy_hash()),
        parent=hex0x(parent),
        data_root=hex0x(data_root),
        reference_root=hex0x(reference.root()),
        gate_root=hex0x(gate.root()),
        head=hex0x(hash_of_head),
        records=len(records.targets),
        owners=len(set(records.owners)),
        classes=len({*reference.targets, *records.targets} - {""}),
        metric=metric_of(name, outcomes, resamples=seeds, seed=seed),
        baseline=metric_of(name, baseline, resamples=seeds, seed=seed),
        rise=rise_of(baseline, outcomes, resamples=seeds, seed=seed),
    )
    return TrainedModel(card, head, outcomes, baseline)


def _check(task: str, records: Examples) -> None:
    if task not in METRICS:
        raise InvalidInput("policy_invalid", f"model.task is {task!r}; one of {', '.join(METRICS)} is required.")
    if len(records.vectors) != len(records.targets):
        raise InvalidInput(
            "invalid_request", f"{len(records.vectors)} vectors came with {len(records.targets)} targets."
        )
    if any(late <= early for early, late in zip(records.places, records.places[1:], strict=False)):
        raise InvalidInput("invalid_request", "The records are not in place order; sort them by place.")


def _labelled(examples: Examples) -> Examples:
    kept = [place for place, target in enumerate(examples.targets) if target]
    return Examples(examples.vectors[kept], tuple(examples.targets[place] for place in kept))


def _head(reference: Examples, records: Examples | None, ridge: int) -> tuple[Head | None, bytes]:
    """Return the head of R and ``records`` with its hash; none if nothing is labelled."""
    known = _labelled(reference)
    sums = statistics(known.vectors, known.targets)
    if records is not None:
        fresh = _labelled(records)
        sums = add(sums, statistics(fresh.vectors, fresh.targets))
    return (solve(sums, ridge), head_hash(sums, ridge)) if sums.labels else (None, ZERO_HASH)


def _outcomes(task: str, head: Head | None, parts: Sequence[Examples], gate: Examples) -> Outcomes:
    if task == "classify":
        return classify_outcomes(head, gate.vectors, gate.targets)
    vectors = np.concatenate([part.vectors for part in parts])
    answers = [target for part in parts for target in part.targets]
    return retrieve_outcomes(vectors, answers, gate.vectors, gate.targets)
