"""Yuma consensus: what evaluators with stake jointly say of many models, and what each evaluator earns (MECHANISM 3).

    consensus_j = the largest w with  sum over i of S_i [W_ij >= w]  >= kappa        rows of W and S sum to 1
    clipped     = min(W, consensus),   I_j  ~  sum over i of S_i clipped_ij
    bonds       B <- (1 - a) B + a ((1 - penalty) W + penalty clipped)                Yuma 3: each in 0 .. 1
    dividends   D_i  ~  S_i sum over j of (B_ij / sum over i of B_ij) I_j

What the majority of stake does not say is clipped, so a minority cannot lift a model that it alone favours. The rate
``a_ij`` rises from ``slow`` to ``fast`` with how far an evaluator was ahead of the consensus when its weight rose, or
its weight fell below its bond: who finds a good model first holds the bond first, who copies later holds it later.

Source: Opentensor, Yuma Consensus 3 (subtensor ``epoch/math.rs``, liquid alpha); no hidden state beyond the bonds.

>>> weights = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
>>> judge(weights, np.array([0.3, 0.3, 0.4]), np.zeros((3, 2))).incentives.tolist()
[1.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.value.games import FloatArray


@dataclass(frozen=True, slots=True)
class YumaRules:
    """``kappa``: the stake that a consensus needs. ``penalty``: how far bonds follow what was clipped."""

    kappa: float = 0.5
    penalty: float = 1.0
    slow: float = 0.1
    fast: float = 0.9
    steepness: float = 10.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """``consensus``, ``incentives`` (models,), ``dividends`` (evaluators,) and ``bonds`` (evaluators, models).

    Incentives and dividends sum to 1, or are 0 where no stake agrees on anything.
    """

    consensus: FloatArray
    incentives: FloatArray
    dividends: FloatArray
    bonds: FloatArray


def judge(weights: FloatArray, stakes: FloatArray, bonds: FloatArray, rules: YumaRules | None = None) -> Judgement:
    """Return the round's judgement; ``weights`` and the last round's ``bonds`` are (evaluators, models).

    Rows of weights and the stakes are normalised here; a row of zeros abstains. Raises ``InvalidInput`` for negative
    numbers, no stake or shapes that do not fit.
    """
    rules = rules or YumaRules()
    _check(weights, stakes, bonds)
    given, stake = _rows_to_one(np.asarray(weights, np.float64)), np.asarray(stakes, np.float64) / np.sum(stakes)
    consensus = consensus_of(given, stake, rules.kappa)
    clipped = np.minimum(given, consensus)
    incentives = _to_one(stake @ clipped)
    bought = (1 - rules.penalty) * given + rules.penalty * clipped
    rate = _rates(given, consensus, bonds, rules)
    held = (1 - rate) * bonds + rate * bought
    totals = held.sum(axis=0)
    shares = np.divide(held, totals, out=np.zeros_like(held), where=totals > 0)
    return Judgement(consensus, incentives, _to_one(stake * (shares @ incentives)), held)


def consensus_of(weights: FloatArray, stakes: FloatArray, kappa: float) -> FloatArray:
    """Return, for each model, the largest weight that stakes of ``kappa`` or more give it at least."""
    order = np.argsort(-weights, axis=0, kind="stable")
    ranked = np.take_along_axis(weights, order, axis=0)
    backing = np.cumsum(stakes[order], axis=0)
    enough = backing >= kappa - 1e-12
    first = enough.argmax(axis=0)
    found = ranked[first, np.arange(weights.shape[1])]
    return np.where(enough.any(axis=0), found, 0.0)


def weighted_median(values: FloatArray, stakes: FloatArray) -> float:
    """Return the smallest of ``values`` that has at least half of the stake at or below it."""
    order = np.argsort(values, kind="stable")
    backing = np.cumsum(stakes[order])
    return float(values[order][int(np.argmax(backing >= backing[-1] / 2))])


def lower_median(scores: Sequence[tuple[int, int]]) -> int | None:
    """Return the smallest score m with ``2 weight(scores <= m) >= weight of all``, in integers; None without weight.

    ``scores`` are pairs (score, weight of at least 0); this is what the contract Stake checks.
    """
    total, reached = sum(weight for _, weight in scores), 0
    for score, weight in sorted(scores):
        reached += weight
        if weight and 2 * reached >= total:
            return score
    return None


def _rates(weights: FloatArray, consensus: FloatArray, bonds: FloatArray, rules: YumaRules) -> FloatArray:
    ahead, fallen = np.clip(weights - consensus, 0, 1), np.clip(bonds - weights, 0, 1)
    gap = np.where(weights >= bonds, ahead, fallen)
    rise = 1 / (1 + np.exp(-rules.steepness * (gap - 0.5)))
    return np.asarray(rules.slow + (rules.fast - rules.slow) * rise, np.float64)


def _rows_to_one(rows: FloatArray) -> FloatArray:
    totals = rows.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(rows, totals, out=np.zeros_like(rows), where=totals > 0), np.float64)


def _to_one(values: FloatArray) -> FloatArray:
    total = values.sum()
    return np.asarray(values / total if total > 0 else np.zeros_like(values), np.float64)


def _check(weights: FloatArray, stakes: FloatArray, bonds: FloatArray) -> None:
    if weights.ndim != 2 or weights.shape != bonds.shape or stakes.shape != weights.shape[:1]:
        raise InvalidInput(
            "value_inputs", "Weights and bonds need a row an evaluator and a column a model, stakes a row."
        )
    finite = all(np.isfinite(part).all() and (part >= 0).all() for part in (weights, stakes, bonds))
    if not finite or stakes.sum() <= 0:
        raise InvalidInput("value_inputs", "Weights, stakes and bonds must be at least 0, and some stake above 0.")
