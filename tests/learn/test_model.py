"""The model of a turn on real text: it gets better, and its hash can be recomputed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import ModelRules, Policy
from rodagila.learn.model import Examples, ModelCard, train

POLICY = Policy(name="docs")
RETRIEVE = Policy(name="docs", model=ModelRules(task="retrieve"))
EMBEDDER = b"e" * 32
NOTHING = Examples(np.zeros((0, 384), np.int8), ())


def test_accuracy_rises_turn_by_turn_on_clinc150(clinc: Any) -> None:
    models = [
        train("docs", turn, clinc.of_turns(turn), clinc.reference, clinc.gate, POLICY, EMBEDDER)
        for turn in (1, 2, 3, 4)
    ]
    values = [model.card.metric.value_ppm for model in models]
    assert values == sorted(values)
    assert values[-1] >= 860_000
    assert models[0].card.baseline.value_ppm < values[0]
    last = models[-1].card
    assert last.lift_ppm == last.rise.value_ppm > 150_000
    assert last.rise.low_ppm > 0
    assert (last.records, last.owners, last.classes) == (1500, 20, 150)


def test_recall_rises_on_the_same_records(clinc: Any) -> None:
    card = train("docs", 1, clinc.owned, clinc.reference, clinc.gate, RETRIEVE, EMBEDDER).card
    assert card.metric.name == "recall@5"
    assert card.metric.value_ppm > card.baseline.value_ppm > 700_000
    assert card.head == "0x" + "00" * 32


def test_equal_inputs_give_an_equal_hash_and_any_other_input_another(clinc: Any) -> None:
    owned, reference, gate = clinc.of_turns(1), clinc.reference, clinc.gate
    vectors = owned.vectors.copy()
    vectors[0, 0] ^= 1
    given: list[tuple[Any, ...]] = [
        ("docs", 1, owned, reference, gate, POLICY, EMBEDDER),
        ("docs", 2, owned, reference, gate, POLICY, EMBEDDER),
        ("papers", 1, owned, reference, gate, POLICY, EMBEDDER),
        ("docs", 1, dataclasses.replace(owned, vectors=vectors), reference, gate, POLICY, EMBEDDER),
        ("docs", 1, dataclasses.replace(owned, targets=("x", *owned.targets[1:])), reference, gate, POLICY, EMBEDDER),
        ("docs", 1, dataclasses.replace(owned, places=(*owned.places[:-1], 999)), reference, gate, POLICY, EMBEDDER),
        ("docs", 1, owned, dataclasses.replace(reference, targets=gate.targets[:300]), gate, POLICY, EMBEDDER),
        ("docs", 1, owned, reference, dataclasses.replace(gate, targets=gate.targets[::-1]), POLICY, EMBEDDER),
        ("docs", 1, owned, reference, gate, Policy(name="docs", version=2), EMBEDDER),
        ("docs", 1, owned, reference, gate, POLICY, b"f" * 32),
        ("docs", 1, owned, reference, gate, POLICY, EMBEDDER, b"p" * 32),
    ]
    hashes = [train(*arguments).model_hash for arguments in given]
    assert len(set(hashes)) == len(given)
    assert train(*given[0]).model_hash == hashes[0]


def test_a_card_survives_json(clinc: Any) -> None:
    model = train("docs", 1, clinc.of_turns(1), clinc.reference, clinc.gate, POLICY, EMBEDDER)
    again = ModelCard.from_json(json.loads(json.dumps(model.card.as_json())))
    assert again == model.card
    assert again.model_hash() == model.model_hash
    assert again.name == "docs-1"


def test_without_reference_the_baseline_is_zero_and_without_records_the_lift(clinc: Any) -> None:
    fresh = train("docs", 1, clinc.of_turns(1), NOTHING, clinc.gate, POLICY, EMBEDDER).card
    assert fresh.baseline.value_ppm == 0 < fresh.metric.value_ppm
    for policy in (POLICY, RETRIEVE):
        same = train("docs", 1, NOTHING, clinc.reference, clinc.gate, policy, EMBEDDER).card
        assert same.lift_ppm == 0
        assert same.metric.value_ppm > 0
    nothing = train("docs", 1, NOTHING, NOTHING, clinc.gate, POLICY, EMBEDDER)
    assert nothing.head is None
    assert nothing.card.metric.value_ppm == 0


def test_records_without_a_label_are_not_learned_from(clinc: Any) -> None:
    owned = clinc.of_turns(1)
    part = dataclasses.replace(owned, targets=("",) * 10 + owned.targets[10:])
    model = train("docs", 1, part, clinc.reference, clinc.gate, POLICY, EMBEDDER)
    assert model.head is not None
    assert "" not in model.head.labels


def test_records_out_of_place_order_and_unknown_tasks_are_refused(clinc: Any) -> None:
    owned = clinc.of_turns(1)
    turned = dataclasses.replace(owned, places=owned.places[::-1])
    with pytest.raises(InvalidInput, match="place order"):
        train("docs", 1, turned, clinc.reference, clinc.gate, POLICY, EMBEDDER)
    with pytest.raises(InvalidInput, match=r"model\.task"):
        strange = Policy(name="docs", model=ModelRules(task="dream"))
        train("docs", 1, owned, clinc.reference, clinc.gate, strange, EMBEDDER)
