"""Attacks on the pay for ratings, rows 9 - 11: the share of all pay that dishonest raters take, percent.

A crowd of 40 accounts answers 600 tasks of three choices, eight answers to a task; 120 of the tasks are golds. Honest
accounts are right in 70 to 95% of their answers. Naive: the pay follows agreement with the majority.
"""

from __future__ import annotations

import numpy as np

from rodagila.value.aggregate import aggregate
from rodagila.value.answers import UNANSWERED, Answers
from rodagila.value.rater_pay import rater_pay

ACCOUNTS, TASKS, GOLDS, OVERLAP, CHOICES = 40, 600, 120, 8, 3
BUDGET = 10**9
Measures = dict[str, tuple[float, float]]


def crowd(seed: int, honest: int, dishonest: int, kind: str) -> tuple[Answers, np.ndarray]:
    """Return the answers and the golds; dishonest accounts come last.

    ``spam`` answers at random; ``collude`` gives one agreed answer a task; ``camouflage`` does so on two tasks in five
    and answers the rest like an honest account; ``informed`` colludes, but knows half of the golds.
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
            choice = right
            if account >= honest:
                choice = {
                    "spam": rng.integers(0, CHOICES),
                    "collude": agreed[task],
                    "camouflage": agreed[task] if rng.random() < 0.4 else right,
                    "informed": truth[task] if known[task] else agreed[task],
                }[kind]
            rows.append((account, task, choice))
    account, task, choice = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    marked = np.full(TASKS, UNANSWERED, np.int64)
    marked[golds] = truth[golds]
    return Answers(account, task, choice, honest + dishonest, TASKS, CHOICES), marked


def shares(answers: Answers, golds: np.ndarray, honest: int) -> tuple[float, float]:
    """Return the dishonest share of the pay by the rule and by agreement with the majority, as fractions."""
    pay = rater_pay(answers, golds, BUDGET).pay
    agree = answers.choice == aggregate(answers, "majority")[answers.task]
    return sum(pay[honest:]) / max(1, sum(pay)), float((agree & (answers.account >= honest)).sum() / agree.sum())


def spam_share(seed: int, honest: int, dishonest: int) -> tuple[float, float]:
    """Return the share of spammers, with the rule and naively."""
    return shares(*crowd(seed, honest, dishonest, "spam"), honest)


def rating(seed: int) -> Measures:
    """Rows 9 - 11."""
    rows = (("9 spam", 0.5, "spam"), ("10 colluders", 0.4, "collude"), ("10 camouflaged", 0.4, "camouflage"))
    found: Measures = {}
    for name, share, kind in (*rows, ("11 golds leaked", 0.4, "informed")):
        dishonest = round(share * ACCOUNTS)
        honest = ACCOUNTS - dishonest
        fair, naive = shares(*crowd(seed, honest, dishonest, kind), honest)
        found[name] = (100 * fair, 100 * naive)
    return found
