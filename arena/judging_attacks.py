"""Attacks on judging models, rows 12 and 13: vote bots, a cabal of evaluators, and one who copies weights.

Row 12: 60 raters each compare 40 blind pairs of eight models and answer 40 golds; 18 of them are bots that vote for one
weak model wherever they see it. Four of the bots are smart: they answer golds and all other pairs honestly. Measured:
by how many ranks the model rises. Naive: every vote counts alike.

Row 13: 20 evaluators weigh 16 models by quality that drifts, over 60 rounds. The cabal holds 49% of stake and weighs
four models of no work; naive is the mean by stake. The copier's weights are the honest mean of the last round that is
revealed, eight rounds before (on seeds 101 - 105 five rounds gave 79% of a dividend, three gave 86%); naive is a copier
who sees the weights of the round itself.
"""

from __future__ import annotations

import numpy as np

from rodagila.core.money import PPM
from rodagila.value.preferences import Vote, rate
from rodagila.value.rater_pay import GoldRecord, gate_ppm
from rodagila.value.yuma import judge

MODELS, RATERS, VOTES, GOLDS = 8, 60, 40, 40
BOTS, SMART = 18, 4
EVALUATORS, CANDIDATES, ROUNDS, REVEALED = 20, 16, 60, 8
Measures = dict[str, tuple[float, float]]


def judging(seed: int) -> Measures:
    """Rows 12 and 13."""
    return {"12 bots": bots(seed), "13 cabal": cabal(seed), "13 copier": copier(seed)}


def bots(seed: int, raters: int = RATERS) -> tuple[float, float]:
    """Return by how many ranks the bots lift their model, with skill weights and residuals, and without."""
    rng = np.random.default_rng([seed, 12])
    strengths, target = np.sort(rng.normal(0, 1, MODELS))[::-1], MODELS - 3
    dishonest = round(BOTS / RATERS * raters)
    smart = set(range(round(SMART / BOTS * dishonest)))
    skill = rng.uniform(0.75, 0.97, raters)
    votes, golds = [], []
    for rater in range(raters):
        guessing = rater < dishonest and rater not in smart
        golds.append(GoldRecord(GOLDS, int(rng.binomial(GOLDS, 0.5 if guessing else skill[rater]))))
        for _ in range(VOTES):
            first, second = (int(model) for model in rng.permutation(MODELS)[:2])
            wins = rng.random() < 1 / (1 + np.exp(strengths[second] - strengths[first]))
            if rater < dishonest and target in (first, second):
                wins = first == target
            elif guessing:
                wins = rng.random() < 0.5
            votes.append(Vote(rater, first, second, float(wins)))
    weights = [gate_ppm(gold, PPM // 2) / PPM for gold in golds]
    honest = [0.0 if rater < dishonest else weight for rater, weight in enumerate(weights)]

    def rank(by: list[float], residual: float) -> int:
        return rate(votes, models=MODELS, weights=by, residual=residual).ranking().index(target)

    fair = rank(honest, 2.8)
    return float(fair - rank(weights, 2.8)), float(fair - rank([1.0] * raters, 1e9))


def qualities(rng: np.random.Generator) -> np.ndarray:
    """Return qualities (rounds, models): a random walk, with a model improved by much every few rounds."""
    steps = rng.normal(0, 0.15, (ROUNDS, CANDIDATES))
    for at in range(4, ROUNDS, 5):
        steps[at, rng.integers(0, CANDIDATES)] += 2.0
    walk = np.cumsum(steps, axis=0) + rng.normal(0, 1, CANDIDATES)
    return np.exp(walk - walk.mean(axis=1, keepdims=True))


def seen(quality: np.ndarray, evaluators: int, rng: np.random.Generator) -> np.ndarray:
    """Return the weights (evaluators, models) of honest evaluators, who err by a tenth."""
    noisy = quality * np.exp(rng.normal(0, 0.1, (evaluators, len(quality))))
    return np.asarray(noisy / noisy.sum(axis=1, keepdims=True))


def cabal(seed: int) -> tuple[float, float]:
    """Return the incentive of the cabal's models, percent, at the last round: by Yuma and by the stake's mean."""
    rng = np.random.default_rng([seed, 13])
    members = EVALUATORS // 2
    stakes = np.concatenate(
        [np.full(members, 0.49 / members), rng.dirichlet(np.full(EVALUATORS - members, 5.0)) * 0.51]
    )
    bonds, mine = np.zeros((EVALUATORS, CANDIDATES)), np.arange(CANDIDATES - 4, CANDIDATES)
    for quality in qualities(rng):
        real = quality.copy()
        # Honest evaluators give work of no use a little by mistake: a fiftieth of what a model that works gets.
        real[mine] = 0.02 * quality[: -len(mine)].mean()
        weights = np.zeros((EVALUATORS, CANDIDATES))
        weights[:members, mine] = 1
        weights[members:] = seen(real, EVALUATORS - members, rng)
        found = judge(weights, stakes, bonds)
        bonds = found.bonds
    mean = stakes @ (weights / weights.sum(axis=1, keepdims=True))
    return 100 * float(found.incentives[mine].sum()), 100 * float(mean[mine].sum())


def copier(seed: int) -> tuple[float, float]:
    """Return what a copier earns, percent of an honest evaluator with its stake: after reveal, and without sealing."""
    return _copying(seed, REVEALED), _copying(seed, 0)


def _copying(seed: int, delay: int) -> float:
    rng = np.random.default_rng([seed, 14])
    stakes, bonds = np.ones(EVALUATORS), np.zeros((EVALUATORS, CANDIDATES))
    past: list[np.ndarray] = []
    earned = np.zeros(EVALUATORS)
    for quality in qualities(rng):
        honest = seen(quality, EVALUATORS - 1, rng)
        past.append(honest.mean(axis=0))
        found = judge(np.vstack([honest, past[max(0, len(past) - 1 - delay)]]), stakes, bonds)
        bonds, earned = found.bonds, earned + found.dividends
    return 100 * float(earned[-1] / earned[:-1].mean())
