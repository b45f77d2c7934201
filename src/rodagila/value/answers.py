"""Answers of many accounts to many tasks with a fixed set of choices, and how far they agree.

An answer is a row (account, task, choice), all three as codes from 0 on; an account answers a task at most once.

    Krippendorff's alpha (nominal)  = 1 - D_o / D_e, from the coincidences of answers to the same task
        o_ck = sum over tasks of (pairs c, k) / (m_u - 1)
        D_o = sum_(c != k) o_ck,  D_e = sum_(c != k) n_c n_k / (n - 1)

Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).

>>> account, task, choice = np.array([[0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
>>> krippendorff_alpha(Answers(account, task, choice, accounts=2, tasks=2, choices=2))
1.0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.core.vectors import Int64Array
from rodagila.value.games import FloatArray

UNANSWERED = -1


@dataclass(frozen=True, slots=True)
class Answers:
    """Columns ``account``, ``task``, ``choice`` (n,) and how many of each there are."""

    account: Int64Array
    task: Int64Array
    choice: Int64Array
    accounts: int
    tasks: int
    choices: int

    def __post_init__(self) -> None:
        columns = ((self.account, self.accounts), (self.task, self.tasks), (self.choice, self.choices))
        if len({len(codes) for codes, _ in columns}) != 1 or any(
            len(codes) and not (codes.min() >= 0 and codes.max() < size) for codes, size in columns
        ):
            raise InvalidInput("value_inputs", "Every answer needs an account, a task and a choice within their sizes.")
        pairs = self.account * max(self.tasks, 1) + self.task
        if len(np.unique(pairs)) != len(pairs):
            raise InvalidInput("value_inputs", "An account answers a task at most once; one answered twice.")

    def __len__(self) -> int:
        return len(self.account)

    def of(self, accounts: Sequence[int] | Int64Array) -> Answers:
        """Return the answers of ``accounts`` alone, under the same codes."""
        kept = np.isin(self.account, np.asarray(accounts, np.int64))
        columns = (self.account[kept], self.task[kept], self.choice[kept])
        return Answers(*columns, self.accounts, self.tasks, self.choices)

    def table(self) -> Int64Array:
        """Return the choices as (accounts, tasks), ``UNANSWERED`` where there is none."""
        found = np.full((self.accounts, self.tasks), UNANSWERED, np.int64)
        found[self.account, self.task] = self.choice
        return found

    def votes(self) -> Int64Array:
        """Return how often each choice was given to each task (tasks, choices)."""
        found = np.zeros((self.tasks, self.choices), np.int64)
        np.add.at(found, (self.task, self.choice), 1)
        return found


def coincidences(answers: Answers) -> FloatArray:
    """Return o (choices, choices): ordered pairs of answers of different accounts to the same task, weighted."""
    votes = answers.votes()
    votes = votes[votes.sum(axis=1) >= 2].astype(np.float64)
    weighted = votes / (votes.sum(axis=1, keepdims=True) - 1)
    return np.asarray(weighted.T @ votes - np.diag(weighted.sum(axis=0)), dtype=np.float64)


def krippendorff_alpha(answers: Answers) -> float:
    """Return alpha: 1 for full agreement, 0 for that of chance; nan where nothing can be compared."""
    found = coincidences(answers)
    totals, pairs = found.sum(axis=1), found.sum()
    expected = pairs**2 - (totals**2).sum()
    if pairs <= 1 or expected == 0:
        return 1.0 if pairs > 1 else float("nan")
    observed = pairs - np.trace(found)
    return float(1 - (pairs - 1) * observed / expected)
