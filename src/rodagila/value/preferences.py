"""Ratings of models from pairwise preferences: Bradley-Terry with ridge, weighted by the raters' gold skill.

    maximise sum over votes of w_r log sigmoid(beta_winner - beta_loser) - ridge / 2 |beta|^2          (MECHANISM 2)

A tie counts half for either side. ``w_r`` is the lower bound of the rater's gold skill; raters whose standardised
residual exceeds 2.8 are dropped, the worst first, until none does: ``z_r = sum (y - p) / sqrt(sum p (1 - p))``, each
vote seen from the side that the ratings without r expect to win, so that contradiction adds up whatever the sides.

Ratings sum to 0. A rater's votes are not independent of each other, so intervals are those of the sandwich
``A^-1 (G / (G - 1) sum over raters of u_r u_r') A^-1`` with A the information and u_r the rater's part of the gradient,
times the 97.5% point of Student's t with G - 1 degrees of freedom, G the raters that count. With one rater there is
nothing to compare; then A^-1 and the normal distribution stand in.

Votes enter as sums by rater and pair of models, so neither their order nor which side was first changes anything.

Source: Bradley and Terry, Biometrika 1952; Hunter, Annals of Statistics 2004; Liang and Zeger, Biometrika 1986.

>>> votes = [Vote(0, 0, 1, 1.0)] * 8 + [Vote(1, 0, 1, 0.0)] * 2
>>> ratings = rate(votes, models=2, weights=[1.0, 1.0], residual=99.0)
>>> bool(ratings.strengths[0] > ratings.strengths[1])
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from rodagila.core.errors import InvalidInput
from rodagila.core.vectors import Int64Array
from rodagila.value.games import FloatArray

RIDGE = 0.1
RESIDUAL = 2.8
STEPS = 100
CONVERGED = 1e-10
TWO_SIDED = 0.975
NORMAL = 1.959964
EVEN = 1e-9
"""Nearer than this to one half, a pair has no side that is expected to win."""
BLOCK = 512
"""How many raters are left out at once, which bounds the memory."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One rater's word on two models: ``outcome`` is 1 if ``first`` won, 0 if it lost, one half for a tie."""

    rater: int
    first: int
    second: int
    outcome: float


@dataclass(frozen=True, slots=True)
class Ratings:
    """``strengths`` (models,) summing to 0, their standard ``errors`` and 95% intervals from ``low`` to ``high``.

    ``counts`` (models,) are the votes that count, ``dropped`` the raters left out with the residual z of each, the
    first dropped first.
    """

    strengths: FloatArray
    errors: FloatArray
    low: FloatArray
    high: FloatArray
    counts: Int64Array
    residuals: Mapping[int, float]

    @property
    def dropped(self) -> tuple[int, ...]:
        """The raters whose residual was too large."""
        return tuple(self.residuals)

    def ranking(self) -> list[int]:
        """Return the models, the strongest first; ties by place."""
        return sorted(range(len(self.strengths)), key=lambda model: (-self.strengths[model], model))


@dataclass(frozen=True, slots=True)
class _Table:
    """By rater and pair of models: how many votes, and how many the pair's lower model won."""

    raters: Int64Array
    cast: FloatArray
    won: FloatArray
    weight: FloatArray
    pairs: Int64Array
    """(pairs, models): 1 at a pair's lower model, -1 at its higher one."""

    def of(self, kept: np.ndarray) -> _Table:
        return _Table(self.raters[kept], self.cast[kept], self.won[kept], self.weight[kept], self.pairs)

    def totals(self) -> tuple[FloatArray, FloatArray]:
        """Return the weighted sums of ``cast`` and ``won`` (pairs,) over the raters."""
        return self.weight @ self.cast, self.weight @ self.won


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
    table = _table(votes, models, weights)
    residuals: dict[int, float] = {}
    while len(table.raters) >= 3:  # of two that differ nobody can say which is wrong
        found = _residuals(table, ridge)
        worst = int(np.abs(found).argmax())
        if abs(found[worst]) <= residual:
            break
        residuals[int(table.raters[worst])] = float(found[worst])
        table = table.of(np.arange(len(table.raters)) != worst)
    cast, won = table.totals()
    strengths = _fit(cast[None, :], won[None, :], table.pairs, ridge)[0]
    errors = _errors(table, strengths, ridge)
    reach = errors * _quantile(len(table.raters))
    counts = np.rint(table.cast.sum(axis=0) @ np.abs(table.pairs)).astype(np.int64)
    return Ratings(strengths, errors, strengths - reach, strengths + reach, counts, residuals)


def _residuals(table: _Table, ridge: float) -> FloatArray:
    """Return each rater's z: how far it lies from what the ratings without it expect."""
    cast, won = table.totals()
    start = _fit(cast[None, :], won[None, :], table.pairs, ridge)
    found = np.zeros(len(table.raters))
    for begin in range(0, len(found), BLOCK):
        part = table.of(np.arange(begin, min(begin + BLOCK, len(found))))
        own = part.weight[:, None]
        others = _fit(cast - own * part.cast, won - own * part.won, table.pairs, ridge, start)
        expected = _chances(others, table.pairs)
        side = np.where(np.abs(expected - 0.5) < EVEN, 0, np.sign(expected - 0.5))
        surprise = (side * (part.won - part.cast * expected)).sum(axis=1)
        spread = np.sqrt((side**2 * part.cast * expected * (1 - expected)).sum(axis=1))
        found[begin : begin + BLOCK] = np.divide(surprise, spread, out=np.zeros_like(surprise), where=spread > 0)
    return found


def _chances(strengths: FloatArray, pairs: Int64Array) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-strengths @ pairs.T)), np.float64)


def _fit(
    cast: FloatArray, won: FloatArray, pairs: Int64Array, ridge: float, start: FloatArray | None = None
) -> FloatArray:
    """Return strengths (b, models) of ``b`` sets of sums (b, pairs) by Newton's method on the concave objective."""
    models = pairs.shape[1]
    strengths = np.repeat(start, len(cast), axis=0) if start is not None else np.zeros((len(cast), models))
    for _ in range(STEPS):
        chance = _chances(strengths, pairs)
        gradient = (won - cast * chance) @ pairs - ridge * strengths
        information = _information(cast * chance * (1 - chance), pairs, ridge)
        step = np.linalg.solve(information, gradient[..., None])[..., 0]
        size = np.abs(step).max(axis=1, keepdims=True, initial=0)
        strengths = strengths + step / np.maximum(1.0, size)  # never more than one unit at once
        if size.max(initial=0) < CONVERGED:
            break
    return np.asarray(strengths - strengths.mean(axis=1, keepdims=True), np.float64)


def _information(curvature: FloatArray, pairs: Int64Array, ridge: float) -> FloatArray:
    models = pairs.shape[1]
    products = (pairs[:, :, None] * pairs[:, None, :]).reshape(len(pairs), -1).astype(np.float64)
    return np.asarray((curvature @ products).reshape(-1, models, models) + np.eye(models) * ridge, np.float64)


def _errors(table: _Table, strengths: FloatArray, ridge: float) -> FloatArray:
    """Return the standard errors by the sandwich over raters."""
    models = len(strengths)
    chance = _chances(strengths[None, :], table.pairs)[0]
    curvature = table.totals()[0] * chance * (1 - chance)
    inverse = np.linalg.inv(_information(curvature[None, :], table.pairs, ridge)[0])
    spread = inverse
    if (raters := len(table.raters)) > 1:
        parts = table.weight[:, None] * ((table.won - table.cast * chance) @ table.pairs)
        parts = parts - parts.mean(axis=0)  # the ridge holds the sum of the parts off 0
        spread = inverse @ (raters / (raters - 1) * parts.T @ parts) @ inverse
    centre = np.eye(models) - 1 / models  # what all models share is not compared
    return np.asarray(np.sqrt(np.maximum(np.diag(centre @ spread @ centre), 0)), np.float64)


def _quantile(raters: int) -> float:
    return float(stdtrit(raters - 1, TWO_SIDED)) if raters > 1 else NORMAL


def _table(votes: Sequence[Vote], models: int, weights: Sequence[float]) -> _Table:
    low, high = np.triu_indices(models, 1)
    pairs = np.zeros((len(low), models), np.int64)
    pairs[np.arange(len(low)), low], pairs[np.arange(len(low)), high] = 1, -1
    place = {pair: index for index, pair in enumerate(zip(low.tolist(), high.tolist(), strict=True))}
    heard = sorted({vote.rater for vote in votes if weights[vote.rater] > 0})
    row = {rater: index for index, rater in enumerate(heard)}
    cast, won = np.zeros((len(heard), len(low))), np.zeros((len(heard), len(low)))
    for vote in votes:
        if vote.rater in row:
            first = vote.first < vote.second
            at = row[vote.rater], place[(vote.first, vote.second) if first else (vote.second, vote.first)]
            cast[at] += 1
            won[at] += vote.outcome if first else 1 - vote.outcome
    weight = np.array([weights[rater] for rater in heard], np.float64)
    return _Table(np.array(heard, np.int64), cast, won, weight, pairs)


def _check(votes: Sequence[Vote], models: int, weights: Sequence[float]) -> None:
    for vote in votes:
        sides = {vote.first, vote.second}
        if len(sides) != 2 or not all(0 <= side < models for side in sides) or not 0 <= vote.rater < len(weights):
            raise InvalidInput("value_inputs", f"The vote {vote} does not name a known rater and two different models.")
        if not 0 <= vote.outcome <= 1:
            raise InvalidInput("value_inputs", f"The vote {vote} has an outcome outside 0 to 1.")
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights):
        raise InvalidInput("value_inputs", "A rater's weight must be a number of at least 0.")
