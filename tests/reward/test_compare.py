"""Methods of valuation side by side on one turn."""

from __future__ import annotations

import itertools
from dataclasses import replace
from math import factorial

import numpy as np
import pytest
from turns import account, make_turns

from rodagila.core.errors import InvalidInput
from rodagila.learn.head import predict, solve, statistics
from rodagila.reward.compare import METHODS, applicable, compare
from rodagila.reward.facts import TurnFacts, accepted_sources, compute, target_names, training_rows

LIAR = account("owner 2")  # the one whose labels are wrong


@pytest.fixture(scope="module")
def facts() -> TurnFacts:
    return make_turns(seed=3, turns=2)[-1].facts


def test_every_method_values_every_owner_and_says_its_cost(facts: TurnFacts) -> None:
    found = compare(facts, compute(facts), samples=20)
    assert [column.method for column in found.columns] == list(METHODS) == list(applicable(facts))
    assert all(column.values.shape == column.found.standard_errors.shape == (3,) for column in found.columns)
    calls = {column.method: column.calls for column in found.columns}
    assert calls["leave_one_out"] == 4 and calls["shapley_exact"] == 8 and calls["knn_shapley"] == 0


def test_every_method_that_trains_ranks_the_liar_last(facts: TurnFacts) -> None:
    found = compare(facts, compute(facts), samples=200)
    for column in found.columns:
        if column.method != "ocis":  # which pays the liar nothing for what it slashed
            assert found.owners[int(column.values.argmin())] == LIAR, column.method


def test_exact_ridge_values_are_those_of_retraining_every_coalition(facts: TurnFacts) -> None:
    found = compare(facts, compute(facts), ("shapley_exact",))
    rows = training_rows(facts)
    records = facts.records.take(rows)
    owners = np.array([facts.contributions[source].owner for source in accepted_sources(facts)])[rows]
    names, wanted = np.array(target_names(facts, records)), target_names(facts, facts.queries)

    def worth(members: tuple[str, ...]) -> float:
        kept = np.isin(owners, members)
        vectors = np.vstack([facts.reference.vectors, records.vectors[kept]])
        labels = [*target_names(facts, facts.reference), *names[kept].tolist()]
        head = solve(statistics(vectors, labels), facts.policy.model.ridge_ppm)
        said = predict(head, facts.queries.vectors)[0]
        return float(np.mean([head.labels[label] == want for label, want in zip(said, wanted, strict=True)]))

    for owner, value in zip(found.owners, found.columns[0].values, strict=True):
        others = [name for name in found.owners if name != owner]
        expected = 0.0
        for size in range(3):
            for members in itertools.combinations(others, size):
                weight = factorial(size) * factorial(2 - size) / factorial(3)
                expected += weight * (worth((*members, owner)) - worth(members))
        assert value == pytest.approx(expected, abs=1e-12)


def test_ranks_are_compared_pair_by_pair(facts: TurnFacts) -> None:
    found = compare(facts, compute(facts), ("knn_shapley", "owner_nearest", "leave_one_out"))
    assert len(found.correlations) == 3
    assert all(np.isnan(value) or -1 <= value <= 1 for value in found.correlations.values())
    body = found.as_json()
    assert [method["method"] for method in body["methods"]] == ["knn_shapley", "owner_nearest", "leave_one_out"]
    assert all(method["counts"] == [0, 0, 0] == method["variances"] for method in body["methods"])
    assert "Spearman" in found.as_text()


def test_sampled_methods_say_how_much_they_drew(facts: TurnFacts) -> None:
    found = compare(facts, compute(facts), ("shapley_sampled", "banzhaf_reuse"), samples=20)
    for column in found.columns:
        assert (column.found.counts >= 20).all() and (column.found.variances > 0).any()


def test_a_turn_of_retrieval_is_valued_by_recall(facts: TurnFacts) -> None:
    task = replace(facts.policy.model, task="retrieve")
    asked = replace(facts, policy=replace(facts.policy, model=task))
    found = compare(asked, compute(asked), ("leave_one_out", "shapley_exact"))
    assert all(np.isfinite(column.values).all() for column in found.columns)


def test_an_unknown_method_and_an_empty_turn_are_refused(facts: TurnFacts) -> None:
    with pytest.raises(InvalidInput, match="no method 'magic'"):
        compare(facts, compute(facts), ("magic",))
    empty = replace(facts, records=facts.records.take(slice(0, 0)), contributions=(), excluded=(), previous={})
    with pytest.raises(InvalidInput, match="no accepted records"):
        compare(empty, compute(empty))
