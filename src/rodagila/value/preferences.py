"""Ratings of models from pairwise preferences: Bradley-Terry with ridge, weighted by the raters' gold skill.

    maximise sum over votes of w_r log sigmoid(beta_winner - beta_loser) - ridge / 2 |beta|^2          (MECHANISM 2)

A tie counts half for either side. ``w_r`` is the lower bound of the rater's gold skill; raters whose standardised
residual exceeds 2.8 are dropped, the worst first, until none does: ``z_r = sum (y - p) / sqrt(sum p (1 - p))``, each
vote seen from the side that the ratings without r expect to win, so that contradiction adds up whatever the sides.
Ratings sum to 0; intervals come from the Fisher information.

Source: Bradley and Terry, Biometrika 1952; Hunter, Annals of Statistics 2004.

>>> votes = [Vote(0, 0, 1, 1.0)] * 8 + [Vote(1, 0, 1, 0.0)] * 2
>>> ratings = rate(votes, models=2, weights=[1.0, 1.0], residual=99.0)
>>> bool(ratings.strengths[0] > ratings.strengths[1])
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.value.games import FloatArray

RIDGE = 0.1
RESIDUAL = 2.8
STEPS = 100
CONVERGED = 1e-10


@dataclass(frozen=True, slots=True)
class Vote:
    """One rater's word on two models: ``outcome`` is 1 if ``first`` won, 0 if it lost, one half for a tie."""

    rater: int
    first: int
    second: int
    outcome: float


@dataclass(frozen=True, slots=True)
class Ratings:
    """``strengths`` (models,) summing to 0, their standard ``errors``, and the raters that were dropped."""

    strengths: FloatArray
    errors: FloatArray
    dropped: tuple[int, ...]

    def ranking(self) -> list[int]:
        """Return the models, the strongest first; ties by place."""
        return sorted(range(len(self.strengths)), key=lambda model: (-self.strengths[model], model))


@dataclass(frozen=True, slots=True)
class _Table:
    rater: np.ndarray
    first: np.ndarray
    second: np.ndarray
    outcome: FloatArray
    weight: FloatArray

    def of(self, kept: np.ndarray) -> _Table:
        return _Table(self.rater[kept], self.first[kept], self.second[kept], self.outcome[kept], self.weight[kept])


def rate(
    votes: Sequence[Vote],
    *,
    models: int,
    weights: Sequence[float],
    ridge: float = RIDGE,
    residual: float = RESIDUAL,
) -> Ratings:
    """Return the ratings of ``models`` models; ``weights``: one for each rater, 0 leaves the rater out.

    Raises ``InvalidInput`` if a vote names a rater or model that is not there, or a model against itself.
    """
    _check(votes, models, weights)
    table = _table(votes, weights)
    table = table.of(table.weight > 0)
    dropped: list[int] = []
    while len(table.rater):
        worst, size = _worst(table, models, ridge)
        if size <= residual:
            break
        dropped.append(worst)
        table = table.of(table.rater != worst)
    strengths, information = _fit(table, models, ridge)
    centre = np.eye(models) - 1 / models  # what all models share is not compared
    return Ratings(strengths, np.sqrt(np.diag(centre @ np.linalg.inv(information) @ centre)), tuple(dropped))


def _worst(table: _Table, models: int, ridge: float) -> tuple[int, float]:
    """Return the rater farthest from what the others' ratings expect, and its |z|."""
    raters = np.unique(table.rater)
    if len(raters) < 3:
        return int(raters[0]), 0.0  # of two that differ nobody can say which is wrong
    found = {}
    for rater in raters:
        own = table.rater == rater
        expected = _expected(table.of(own), _fit(table.of(~own), models, ridge)[0])
        spread = np.sqrt((expected * (1 - expected)).sum())
        surprise = np.where(expected >= 0.5, 1, -1) * (table.outcome[own] - expected)
        found[int(rater)] = abs(float(surprise.sum() / max(spread, 1e-12)))
    worst = max(found, key=lambda rater: (found[rater], -rater))
    return worst, found[worst]


def _expected(table: _Table, strengths: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(strengths[table.second] - strengths[table.first])), np.float64)


def _fit(table: _Table, models: int, ridge: float) -> tuple[FloatArray, FloatArray]:
    """Return strengths and the information matrix by Newton's method on the concave objective."""
    strengths = np.zeros(models)
    for _ in range(STEPS):
        chance = _expected(table, strengths)
        pull = table.weight * (table.outcome - chance)
        gradient = -ridge * strengths
        np.add.at(gradient, table.first, pull)
        np.add.at(gradient, table.second, -pull)
        information = _information(table, table.weight * chance * (1 - chance), models, ridge)
        step = np.linalg.solve(information, gradient)
        strengths += step / max(1.0, float(np.abs(step).max()))  # never more than one unit at once
        if np.abs(step).max() < CONVERGED:
            break
    chance = _expected(table, strengths)
    return strengths - strengths.mean(), _information(table, table.weight * chance * (1 - chance), models, ridge)


def _information(table: _Table, curvature: FloatArray, models: int, ridge: float) -> FloatArray:
    found = np.eye(models) * ridge
    np.add.at(found, (table.first, table.first), curvature)
    np.add.at(found, (table.second, table.second), curvature)
    np.add.at(found, (table.first, table.second), -curvature)
    np.add.at(found, (table.second, table.first), -curvature)
    return found


def _table(votes: Sequence[Vote], weights: Sequence[float]) -> _Table:
    rater = np.array([vote.rater for vote in votes], dtype=np.int64)
    return _Table(
        rater,
        np.array([vote.first for vote in votes], dtype=np.int64),
        np.array([vote.second for vote in votes], dtype=np.int64),
        np.array([vote.outcome for vote in votes], dtype=np.float64),
        np.asarray(weights, np.float64)[rater] if len(rater) else np.zeros(0),
    )


def _check(votes: Sequence[Vote], models: int, weights: Sequence[float]) -> None:
    for vote in votes:
        sides = {vote.first, vote.second}
        if len(sides) != 2 or not all(0 <= side < models for side in sides) or not 0 <= vote.rater < len(weights):
            raise InvalidInput("value_inputs", f"The vote {vote} does not name a known rater and two different models.")
        if not 0 <= vote.outcome <= 1:
            raise InvalidInput("value_inputs", f"The vote {vote} has an outcome outside 0 to 1.")
