"""Paying for answers: gold gate times Correlated Agreement, in exact integers (MECHANISM 2).

    pay_i = B w_i / sum of w,   w_i = n_i max(c_i - phi C, 0) G_i                          floors; the rest is dust
    G_i   = clip((LCB95(gold accuracy of i) - p_max) / (1 - p_max), 0, 1)                  millionths
    c_i   = mean over bonus tasks and qualified peers j, weighted by G_j, of T(r_i, r_j)
            - the same mean over penalty pairs: i's answer to one task, j's to another      millionths
    C     = mean of max(c_j, 0) over qualified accounts j, weighted by G_j                 millionths

``n_i`` counts i's answers outside the golds, ``p_max`` is the share of the most frequent true choice among the golds:
what one gets who always says it. LCB95 is the lower end of Wilson's 95% interval, computed with integer roots.
Who answers a share x of her tasks well and the rest by a code, at random or blindly has c = x C and is paid
``(x - phi) / (1 - phi) < x`` of a good account: less than if she had left the rest out. Without phi and the weights of
peers, colluders who passed the golds by luck or knowledge vouched for each other, and camouflage paid (arena, row 10).
``T(a, b) = 1`` if the choices a and b of different accounts on one task occur together more often than chance has it,
``Delta(a, b) = P(a, b) - P(a) P(b) > 0``, counted over qualified accounts' answers. A qualified account has at least
``least_golds`` golds and G > 0. The penalty takes away what agreement is worth that does not depend on the task, so
who answers blindly, alone or in concert, has c = 0 in expectation (Shnayder et al., EC 2016, Correlated Agreement);
colluders with a code of their own fail the golds, which they cannot tell from other tasks.

>>> wilson_lower_ppm(20, 20)
838874
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM
from rodagila.core.vectors import Int64Array
from rodagila.value.answers import UNANSWERED, Answers

Z_PPM = 1_959_964
"""The 97.5% point of the normal distribution, millionths."""
LEAST_GOLDS = 20
FLOOR_PPM = 666_667
"""phi, two thirds: from which share of the qualified accounts' agreement on answers are paid."""


@dataclass(frozen=True, slots=True)
class GoldRecord:
    """An account's golds: how many it answered and how many of those rightly."""

    asked: int
    right: int


@dataclass(frozen=True, slots=True)
class RaterPay:
    """By account: ``pay`` in atomic units, ``gate`` G and ``agreement`` c in millionths, ``work`` n; and the dust.

    ``floor`` is phi C, the agreement in millionths up to which an answer earns nothing.
    """

    pay: tuple[int, ...]
    gate: tuple[int, ...]
    agreement: tuple[int, ...]
    work: tuple[int, ...]
    dust: int
    floor: int


def wilson_lower_ppm(right: int, asked: int) -> int:
    """Return the lower end of Wilson's 95% interval for ``right`` of ``asked``, millionths, rounded down.

    ``(2k + z^2 - z sqrt(z^2 + 4 k (n - k) / n)) / (2 (n + z^2))``; 0 for none asked. Source: Wilson, JASA 1927.
    """
    if not 0 <= right <= asked:
        raise InvalidInput("value_inputs", f"{right} right of {asked} golds cannot be.")
    if asked == 0:
        return 0
    unit = PPM * PPM
    z2 = Z_PPM * Z_PPM  # in units of 10^-12
    # z sqrt(z^2 + 4 k (n - k) / n), the root taken of an integer in units of 10^-24, rounded up so the bound is lower
    inside = (z2 * asked + 4 * right * (asked - right) * unit) * unit // asked
    spread = Z_PPM * (isqrt(inside) + 1) // PPM
    return max(0, (2 * right * unit + z2 - spread) * PPM // (2 * (asked * unit + z2)))


def gate_ppm(gold: GoldRecord, p_max_ppm: int, least_golds: int = LEAST_GOLDS) -> int:
    """Return G in millionths; 0 below ``least_golds`` golds."""
    if gold.asked < least_golds or p_max_ppm >= PPM:
        return 0
    above = wilson_lower_ppm(gold.right, gold.asked) - p_max_ppm
    return min(PPM, max(0, above * PPM // (PPM - p_max_ppm)))


def gold_records(answers: Answers, truth: Int64Array) -> list[GoldRecord]:
    """Return each account's golds; ``truth`` (tasks,) is a gold task's true choice and ``UNANSWERED`` elsewhere."""
    known = truth[answers.task]
    golden, right = known != UNANSWERED, answers.choice == known
    asked = np.bincount(answers.account[golden], minlength=answers.accounts)
    hits = np.bincount(answers.account[golden & right], minlength=answers.accounts)
    return [GoldRecord(int(a), int(h)) for a, h in zip(asked, hits, strict=True)]


def most_frequent_ppm(truth: Int64Array, choices: int) -> int:
    """Return p_max: the share of the most frequent true choice among the golds, millionths."""
    known = truth[truth != UNANSWERED]
    if not len(known):
        raise InvalidInput("value_inputs", "No gold task was given; at least one is required.")
    return int(np.bincount(known, minlength=choices).max()) * PPM // len(known)


def correlated(answers: Answers) -> Int64Array:
    """Return T (choices, choices) of 0 and 1 from pairs of different accounts' answers to one task, exactly."""
    votes = answers.votes()
    together = votes.T @ votes - np.diag(votes.sum(axis=0))
    pairs = int(together.sum())
    single = together.sum(axis=1)
    # P(a, b) > P(a) P(b), multiplied by the square of the number of pairs; Python's integers do not overflow
    rows = [
        [int(int(together[a, b]) * pairs > int(single[a]) * int(single[b])) for b in range(answers.choices)]
        for a in range(answers.choices)
    ]
    return np.array(rows, dtype=np.int64).reshape(answers.choices, answers.choices)


def agreement_ppm(answers: Answers, gates: Sequence[int]) -> list[int]:
    """Return c of every account in millionths, towards peers weighted by their ``gates``; 0 where it has none.

    Means are over pairs of answers: bonus pairs answer one task, penalty pairs two different ones. An account whose
    gate is 0 is nobody's peer.
    """
    weight = np.array(gates, np.int64)
    score, table = correlated(answers.of(np.flatnonzero(weight > 0))), answers.table()
    votes = np.zeros((answers.tasks, answers.choices), np.int64)
    np.add.at(votes, (answers.task, answers.choice), weight[answers.account])
    totals = votes.sum(axis=0)
    found = []
    for account in range(answers.accounts):
        tasks = np.flatnonzero(table[account] != UNANSWERED)
        choices = table[account, tasks]
        own = np.zeros_like(votes)
        own[tasks, choices] = weight[account]
        others, all_others = votes - own, totals - own.sum(axis=0)
        bonus_pairs = int(others[tasks].sum())
        bonus = int((score[choices] * others[tasks]).sum())
        # Python's integers: a product of answers, tasks and millionths could pass 63 bits
        every_pair = len(tasks) * int(all_others.sum())
        every = sum(int(score[choice] @ all_others) for choice in choices)
        penalty_pairs, penalty = every_pair - bonus_pairs, every - bonus
        judged = bonus_pairs and penalty_pairs
        found.append(bonus * PPM // bonus_pairs - penalty * PPM // penalty_pairs if judged else 0)
    return found


def floor_of(agreement: Sequence[int], gates: Sequence[int]) -> int:
    """Return phi C: the agreement in millionths that earns nothing yet; 0 where nobody qualifies."""
    total = sum(max(c, 0) * g for c, g in zip(agreement, gates, strict=True))
    return FLOOR_PPM * total // (PPM * max(1, sum(gates)))


def rater_pay(answers: Answers, truth: Int64Array, budget: int, least_golds: int = LEAST_GOLDS) -> RaterPay:
    """Split ``budget`` atomic units among the accounts; ``truth`` (tasks,) marks the golds.

    Raises ``InvalidInput`` without golds or with a negative budget. Where nobody qualifies all of it is dust.
    """
    if budget < 0 or len(truth) != answers.tasks:
        raise InvalidInput("value_inputs", "The budget must be at least 0, and each task needs a truth or none.")
    p_max = most_frequent_ppm(truth, answers.choices)
    gates = [gate_ppm(gold, p_max, least_golds) for gold in gold_records(answers, truth)]
    agreement = agreement_ppm(_without_golds(answers, truth), gates)
    work = np.bincount(answers.account[truth[answers.task] == UNANSWERED], minlength=answers.accounts).tolist()
    floor = floor_of(agreement, gates)
    weights = [n * max(c - floor, 0) * g for n, c, g in zip(work, agreement, gates, strict=True)]
    total = sum(weights)
    pay = tuple(budget * weight // total if total else 0 for weight in weights)
    return RaterPay(pay, tuple(gates), tuple(agreement), tuple(work), budget - sum(pay), floor)


def _without_golds(answers: Answers, truth: Int64Array) -> Answers:
    kept = truth[answers.task] == UNANSWERED
    columns = (answers.account[kept], answers.task[kept], answers.choice[kept])
    return Answers(*columns, answers.accounts, answers.tasks, answers.choices)
