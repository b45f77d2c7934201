"""Pay for responses at prices that were fixed when the tasks were handed out, in exact integers (MECHANISM 2).

    worth_i = sum of the prices of i's responses outside the golds
    G_i     = the gold gate, c_i = Correlated Agreement towards peers that a seed draws   (``value.rater_pay``)
    phi C   = the agreement that earns nothing yet, as for raters                          (``value.rater_pay``)
    B       = sum of worth_i over accepted accounts: G_i > 0 and c_i > phi C
    pay_i   = B worth_i (c_i - phi C) G_i // sum over j of worth_j (c_j - phi C) G_j       floors

So each accepted response is paid its price on the mean, a better one more; what is not accepted costs nothing, and what
is not paid goes back to the requester. ``pay`` sums to at most B, and B to at most the budget. The peers of i are the
``peers`` accounts first in the order of ``keccak(seed || i || j)`` among those that qualified and share a task with
her, weighted by their G; the seed is the hash of a block after all responses were fixed, so nobody knew her peers when
she answered.

With a fixed set of choices T is the sign of Delta, counted over qualified accounts. Where answers are open (spans, free
words) there are as many of them as people write, so T(a, b) = 1 if a = b (Dasgupta and Ghosh, WWW 2013).

>>> PieceRules().peers
16
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.core.money import PPM
from rodagila.core.vectors import Int64Array
from rodagila.value.answers import UNANSWERED, Answers
from rodagila.value.rater_pay import (
    LEAST_GOLDS,
    GoldRecord,
    correlated,
    floor_of,
    gate_ppm,
    gold_records,
    most_frequent_ppm,
)


@dataclass(frozen=True, slots=True)
class PieceRules:
    """How many golds come before the first pay, how many peers judge, and whether answers are open."""

    least_golds: int = LEAST_GOLDS
    peers: int = 16
    open_ended: bool = False


@dataclass(frozen=True, slots=True)
class PiecePay:
    """By account: ``pay`` and ``worth`` in atomic units, ``gate`` and ``agreement`` in millionths, its golds."""

    pay: tuple[int, ...]
    worth: tuple[int, ...]
    gate: tuple[int, ...]
    agreement: tuple[int, ...]
    golds: tuple[GoldRecord, ...]

    @property
    def paid(self) -> int:
        """The sum of all pay."""
        return sum(self.pay)

    @property
    def qualified(self) -> tuple[int, ...]:
        """The accounts that passed the golds, whose answers are aggregated."""
        return tuple(account for account, gate in enumerate(self.gate) if gate > 0)


def piece_pay(
    answers: Answers, truth: Int64Array, prices: Sequence[int], names: Sequence[bytes], seed: bytes, rules: PieceRules
) -> PiecePay:
    """Return what each account is paid.

    ``truth`` (tasks,) marks golds, ``prices`` (tasks,) are atomic units, ``names`` (accounts,) are what the seed draws
    by: the accounts' 20 bytes. Raises ``InvalidInput`` value_inputs without golds or where sizes differ.
    """
    if not len(truth) == len(prices) == answers.tasks or len(names) != answers.accounts:
        raise InvalidInput("value_inputs", "Each task needs a price and a truth or none, each account a name.")
    p_max = most_frequent_ppm(truth, answers.choices)
    golds = gold_records(answers, truth)
    gates = [gate_ppm(gold, p_max, rules.least_golds) for gold in golds]
    work = _work(answers, truth)
    agreement = agreements_ppm(work, gates, names, seed, rules)
    floor = floor_of(agreement, gates)
    worth = [0] * answers.accounts
    for account, task in zip(work.account.tolist(), work.task.tolist(), strict=True):
        worth[account] += prices[task]
    weights = [w * max(c - floor, 0) * g for w, c, g in zip(worth, agreement, gates, strict=True)]
    bill = sum(w for w, weight in zip(worth, weights, strict=True) if weight > 0)
    total = sum(weights)
    pay = tuple(bill * weight // total if total else 0 for weight in weights)
    return PiecePay(pay, tuple(worth), tuple(gates), tuple(agreement), tuple(golds))


def agreements_ppm(
    work: Answers, gates: Sequence[int], names: Sequence[bytes], seed: bytes, rules: PieceRules
) -> list[int]:
    """Return c of every account towards the peers that ``seed`` draws for it, millionths; 0 where it has none.

    Who has a gate of 0 is nobody's peer; others' answers weigh as much as their ``gates``.
    """
    given = _by_account(work)
    qualified = [account for account, gate in enumerate(gates) if gate > 0]
    score = None if rules.open_ended else correlated(work.of(qualified))
    sharing = _sharing(work, qualified)
    found = []
    for account in range(work.accounts):
        peers = drawn_peers(account, sharing[account], names, seed, rules.peers)
        found.append(_agreement(given[account], [(given[peer], gates[peer]) for peer in peers], score))
    return found


def drawn_peers(account: int, among: Sequence[int], names: Sequence[bytes], seed: bytes, peers: int) -> list[int]:
    """Return up to ``peers`` accounts of ``among``, others than ``account``, in the order that the seed draws."""
    others = [other for other in among if other != account]
    return sorted(others, key=lambda other: keccak(seed + names[account] + names[other]))[:peers]


def _agreement(own: Mapping[int, int], peers: Sequence[tuple[Mapping[int, int], int]], score: Int64Array | None) -> int:
    """Return the mean of T over pairs of answers to one task less that over pairs of answers to two tasks.

    ``peers``: the answers of each one and what they weigh.
    """
    held = Counter(own.values())
    bonus = bonus_pairs = every = every_pairs = 0
    for peer, weight in peers:
        shared = own.keys() & peer.keys()
        bonus_pairs += weight * len(shared)
        every_pairs += weight * len(own) * len(peer)
        bonus += weight * sum(_t(score, own[task], peer[task]) for task in shared)
        theirs = Counter(peer.values())
        if score is None:
            every += weight * sum(count * theirs[choice] for choice, count in held.items())
        else:
            every += weight * sum(n * m for a, n in held.items() for b, m in theirs.items() if score[a, b])
    penalty, penalty_pairs = every - bonus, every_pairs - bonus_pairs
    if not bonus_pairs or not penalty_pairs:
        return 0
    return bonus * PPM // bonus_pairs - penalty * PPM // penalty_pairs


def _t(score: Int64Array | None, a: int, b: int) -> int:
    return int(a == b) if score is None else int(score[a, b])


def _by_account(work: Answers) -> list[dict[int, int]]:
    found: list[dict[int, int]] = [{} for _ in range(work.accounts)]
    for account, task, choice in zip(work.account.tolist(), work.task.tolist(), work.choice.tolist(), strict=True):
        found[account][task] = choice
    return found


def _sharing(work: Answers, qualified: Sequence[int]) -> list[list[int]]:
    """Return for each account the qualified accounts that answered one of its tasks, ascending."""
    allowed = set(qualified)
    by_task: dict[int, list[int]] = {}
    for account, task in zip(work.account.tolist(), work.task.tolist(), strict=True):
        by_task.setdefault(task, []).append(account)
    found: list[set[int]] = [set() for _ in range(work.accounts)]
    for accounts in by_task.values():
        good = [account for account in accounts if account in allowed]
        for account in accounts:
            found[account].update(good)
    return [sorted(others) for others in found]


def _work(answers: Answers, truth: Int64Array) -> Answers:
    kept = np.flatnonzero(truth[answers.task] == UNANSWERED)
    columns = (answers.account[kept], answers.task[kept], answers.choice[kept])
    return Answers(*columns, answers.accounts, answers.tasks, answers.choices)
