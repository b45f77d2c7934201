"""The model's claim of a turn, recomputed from its facts: hash, metric on the gate set, metric of the reference alone.

The model learns from the reference and every accepted record that was not slashed in an earlier turn, in place order.
The operator makes the claim with this function and an auditor checks it with the same one. The hash is over integers
and thus equal everywhere; a metric counts right answers of a float solution, so a query that lies within rounding of a
tie between two labels could fall differently on another processor: such a difference is one query's share.

Example: ``recompute_model(facts) == facts.model`` for an honest file.
"""

from __future__ import annotations

from rodagila.learn.model import Examples as LabelledVectors
from rodagila.learn.model import TrainedModel, train
from rodagila.reward.facts import ModelClaim, TurnFacts, accepted_places, accepted_sources, target_names, training_rows
from rodagila.value.examples import Examples


def train_model(facts: TurnFacts) -> TrainedModel:
    """Return the turn's model, trained from the facts; ``facts.model`` matters only for its parent."""
    rows, places, sources = training_rows(facts), accepted_places(facts), accepted_sources(facts)
    records = facts.records.take(rows)
    learned = LabelledVectors(
        records.vectors,
        tuple(target_names(facts, records)),
        places=tuple(int(place) for place in places[rows]),
        owners=tuple(facts.contributions[sources[row]].owner for row in rows),
    )
    return train(
        facts.policy.name,
        facts.turn,
        learned,
        _labelled(facts, facts.reference),
        _labelled(facts, facts.gate),
        facts.policy,
        facts.embedder,
        facts.model.parent,
    )


def recompute_model(facts: TurnFacts) -> ModelClaim:
    """Return the claim that ``facts`` should make."""
    card = train_model(facts).card
    return ModelClaim(card.model_hash(), facts.model.parent, card.baseline.value_ppm, card.metric.value_ppm)


def _labelled(facts: TurnFacts, examples: Examples) -> LabelledVectors:
    return LabelledVectors(examples.vectors, tuple(target_names(facts, examples)))
