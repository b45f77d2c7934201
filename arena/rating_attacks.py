"""Attacks on the pay for ratings, rows 9 - 11: the share of all pay that dishonest raters take, percent.

A crowd of 40 accounts answers 600 tasks of three choices, eight answers to a task; 120 of the tasks are golds. Honest
accounts are right in 70 to 95% of their answers. Naive: the pay follows agreement with the majority.

Adaptive colluders choose at home, on crowds of their own, on which share of the tasks to follow their code. Nobody can
stop them from earning with what they answer honestly, so the measure is what the code adds: their share of the pay
less what they would have with the honest part of their answers alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rodagila.value.aggregate import aggregate
from rodagila.value.answers import UNANSWERED, Answers
from rodagila.value.rater_pay import rater_pay

ACCOUNTS, TASKS, GOLDS, OVERLAP, CHOICES = 40, 600, 120, 8, 3
BUDGET = 10**9
RATES = (0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
AT_HOME = 6
"""How many crowds adaptive colluders try each rate on."""
Measures = dict[str, tuple[float, float]]


def crowd(
    seed: int, honest: int, dishonest: int, kind: str, rate: float = 0.4, *, left_out: bool = False
) -> tuple[Answers, np.ndarray]:
    """Return the answers and the golds; dishonest accounts come last.

    ``spam`` answers at random; ``collude`` gives one agreed answer a task; ``camouflage`` does so on ``rate`` of the
    tasks and answers the rest like an honest account; ``informed`` colludes, but knows half of the golds; ``both`` does
    the last two. ``left_out``: what would follow the code is not answered.
    """
    rng = np.random.default_rng([seed, honest, dishonest])
    truth = rng.choice(CHOICES, TASKS, p=(0.5, 0.3, 0.2))
    agreed = rng.integers(0, CHOICES, TASKS)
    known = np.zeros(TASKS, np.bool_)
    golds = rng.permutation(TASKS)[:GOLDS]
    known[golds[: GOLDS // 2]] = True
    skill = rng.uniform(0.7, 0.95, honest + dishonest)
    rows = []
    overlap = round(OVERLAP * (honest + dishonest) / ACCOUNTS) or 1
    for task in range(TASKS):
        for account in rng.permutation(honest + dishonest)[:overlap]:
            right = truth[task] if rng.random() < skill[account] else (truth[task] + rng.integers(1, CHOICES)) % CHOICES
            code, chance = rng.integers(0, CHOICES) if kind == "spam" else agreed[task], rng.random()
            choice, coded = right, False
            if account >= honest and kind in ("informed", "both") and known[task]:
                choice = truth[task]
            elif account >= honest:
                coded = kind in ("spam", "collude", "informed") or chance < rate
                choice = code if coded else right
            if not (coded and left_out):
                rows.append((account, task, choice))
    account, task, choice = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    marked = np.full(TASKS, UNANSWERED, np.int64)
    marked[golds] = truth[golds]
    return Answers(account, task, choice, honest + dishonest, TASKS, CHOICES), marked


def shares(answers: Answers, golds: np.ndarray, honest: int) -> np.ndarray:
    """Return the dishonest share of the pay by the rule and by agreement with the majority, as fractions (2,)."""
    pay = rater_pay(answers, golds, BUDGET).pay
    agree = answers.choice == aggregate(answers, "majority")[answers.task]
    naive = (agree & (answers.account >= honest)).sum() / agree.sum()
    return np.array([sum(pay[honest:]) / max(1, sum(pay)), naive])


def spam_share(seed: int, honest: int, dishonest: int) -> tuple[float, float]:
    """Return the share of spammers, with the rule and naively."""
    fair, naive = shares(*crowd(seed, honest, dishonest, "spam"), honest)
    return float(fair), float(naive)


def added(seed: int, kind: str, rate: float, dishonest: int) -> np.ndarray:
    """Return what answers by the code add to the colluders' share, by the rule and naively, as fractions (2,)."""
    honest = ACCOUNTS - dishonest
    answered, left_out = (
        shares(*crowd(seed, honest, dishonest, kind, rate, left_out=left_out), honest) for left_out in (False, True)
    )
    return np.asarray(answered - left_out)


def adaptive(seed: int, kind: str, dishonest: int, at_home: int, rates: Sequence[float]) -> np.ndarray:
    """Return what the code adds at the rate that adds most on ``at_home`` crowds that the colluders drew themselves."""
    home = [seed * 1_000 + 500 + trial for trial in range(at_home)]
    best = max(rates, key=lambda rate: sum(added(trial, kind, rate, dishonest)[0] for trial in home))
    return added(seed, kind, best, dishonest)


def rating(seed: int, at_home: int = AT_HOME, rates: Sequence[float] = RATES) -> Measures:
    """Rows 9 - 11."""
    rows = (("9 spam", 0.5, "spam"), ("10 colluders", 0.4, "collude"), ("10 camouflaged", 0.4, "camouflage"))
    found: Measures = {}
    for name, share, kind in (*rows, ("11 golds leaked", 0.4, "informed")):
        dishonest = round(share * ACCOUNTS)
        honest = ACCOUNTS - dishonest
        fair, naive = shares(*crowd(seed, honest, dishonest, kind), honest)
        found[name] = (100 * float(fair), 100 * float(naive))
    for name, kind in (("10 adaptive", "camouflage"), ("11 adaptive", "both")):
        fair, naive = adaptive(seed, kind, round(0.4 * ACCOUNTS), at_home, rates)
        found[name] = (100 * float(fair), 100 * float(naive))
    return found
