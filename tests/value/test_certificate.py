"""Certificates hold: planted runs of every kind of crowd fall into their intervals, and what breaks them is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from rodagila.core.errors import InvalidInput
from rodagila.value.aggregate import aggregate, choose
from rodagila.value.answers import UNANSWERED, Answers
from rodagila.value.certificate import Stratum, certify, certify_by_strata, right_of, thinned

FLOOR = 93
"""Of 100 planted runs, how many must be covered."""


@dataclass(frozen=True)
class Crowd:
    """A planted condition: how many of what, how skilled, and who cheats."""

    name: str
    tasks: int = 300
    golds: int = 60
    choices: int = 4
    overlap: int = 5
    skill: tuple[float, float] = (0.45, 0.9)
    difficulty: float = 0.0  # share of tasks on which everybody guesses
    spammers: float = 0.0  # share of raters who answer by chance
    colluders: float = 0.0  # share of raters who give one another's wrong answer
    skewed: bool = False  # nine tasks in ten have the same true choice

    def draw(self, rng: np.random.Generator, accounts: int = 20) -> tuple[Answers, np.ndarray]:
        weights = np.full(self.choices, 0.1 / (self.choices - 1)) if self.skewed else None
        if weights is not None:
            weights[0] = 0.9
        truth = rng.choice(self.choices, self.tasks, p=weights)
        skill = rng.uniform(*self.skill, accounts)
        kind = rng.random(accounts)
        account = np.concatenate([rng.permutation(accounts)[: self.overlap] for _ in range(self.tasks)])
        task = np.repeat(np.arange(self.tasks), self.overlap)
        hard = (rng.random(self.tasks) < self.difficulty)[task]
        knows = (rng.random(len(task)) < skill[account]) & ~hard & (kind[account] >= self.spammers)
        choice = np.where(knows, truth[task], rng.integers(0, self.choices, len(task)))
        colluding = kind[account] > 1 - self.colluders
        choice = np.where(colluding, (truth[task] + 1) % self.choices, choice)
        return Answers(account, task, choice, accounts, self.tasks, self.choices), truth


CROWDS = [
    Crowd("plain"),
    Crowd("skilled", skill=(0.9, 0.99)),
    Crowd("weak", skill=(0.2, 0.5)),
    Crowd("two choices", choices=2, overlap=3),
    Crowd("few golds", golds=20),
    Crowd("half golds", golds=150),
    Crowd("large", tasks=2_000, golds=100),
    Crowd("hard tasks", difficulty=0.3),
    Crowd("spammers", spammers=0.5),
    Crowd("colluders", colluders=0.45),
    Crowd("colluding majority", colluders=0.7),
    Crowd("skewed", skewed=True),
]


def golds_of(truth: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    golds = np.full_like(truth, UNANSWERED)
    drawn = rng.permutation(len(truth))[:count]
    golds[drawn] = truth[drawn]
    return golds


def runs(crowd: Crowd, seeds: range) -> Iterator[tuple[Answers, np.ndarray, np.ndarray, np.random.Generator]]:
    for seed in seeds:
        rng = np.random.default_rng([seed, len(crowd.name)])
        answers, truth = crowd.draw(rng)
        yield answers, truth, golds_of(truth, crowd.golds, rng), rng


def covered_by_majority(crowd: Crowd, seeds: range) -> int:
    covered = 0
    for answers, truth, golds, _ in runs(crowd, seeds):
        labels = aggregate(answers, "majority")
        said = certify(*right_of(labels, golds), len(truth))
        covered += said.low_ppm <= int((labels == truth).sum()) * 1_000_000 / len(truth) <= said.high_ppm
    return covered


@pytest.mark.parametrize("crowd", CROWDS, ids=lambda crowd: crowd.name)
def test_a_certificate_covers_at_least_93_of_100_planted_runs(crowd: Crowd) -> None:
    assert covered_by_majority(crowd, range(100)) >= FLOOR


@pytest.mark.slow
@pytest.mark.parametrize(("golds", "crowd"), [*product((20, 40, 120), CROWDS)], ids=str)
def test_a_certificate_covers_with_few_and_many_golds(golds: int, crowd: Crowd) -> None:
    # Of 1,000 runs with 95% coverage each, fewer than 930 are covered in 2 of 1,000 trials.
    assert covered_by_majority(replace(crowd, golds=golds), range(1_000, 2_000)) >= 930


def test_a_certificate_covers_the_method_that_the_same_golds_chose() -> None:
    crowd = Crowd("chosen on golds", colluders=0.3, golds=40)
    bonferroni = plain = 0
    for answers, truth, golds, _ in runs(crowd, range(100)):
        accounts = [np.arange(part, 20, 4) for part in range(4)]  # four ways to label: a quarter of the crowd each
        labelled = dict(zip(("one_coin", "dawid_skene", "majority", "glad"), map(answers.of, accounts), strict=True))
        labels = {name: aggregate(part, "majority") for name, part in labelled.items()}
        best = labels[choose(labels, golds)]
        accuracy = int((best == truth).sum()) * 1_000_000 / len(truth)
        right, asked = right_of(best, golds)
        one, four = (certify(right, asked, len(truth), methods=count) for count in (1, 4))
        plain += one.low_ppm <= accuracy <= one.high_ppm
        bonferroni += four.low_ppm <= accuracy <= four.high_ppm
    assert bonferroni >= FLOOR
    assert bonferroni >= plain


def many_answered(rng: np.random.Generator) -> tuple[Answers, np.ndarray, np.ndarray]:
    """Golds that all 20 raters have answered, among tasks that three have."""
    few, truth = Crowd("golds", overlap=3, skill=(0.4, 0.7)).draw(rng)
    golds = golds_of(truth, 80, rng)
    drawn = np.flatnonzero(golds != UNANSWERED)
    account, task = (part.ravel() for part in np.meshgrid(np.arange(20), drawn))
    skill = rng.uniform(0.4, 0.7, 20)
    choice = np.where(rng.random(len(task)) < skill[account], truth[task], rng.integers(0, 4, len(task)))
    others = ~np.isin(few.task, drawn)
    columns = [np.concatenate(pair) for pair in ((few.account[others], account), (few.task[others], task))]
    answers = Answers(*columns, np.concatenate([few.choice[others], choice]), 20, few.tasks, 4)
    return answers, truth, golds


def test_golds_with_more_answers_mislead_and_thinned_ones_do_not() -> None:
    misled = covered = 0
    for seed in range(100):
        answers, truth, golds = many_answered(np.random.default_rng([seed, 7]))
        others = golds == UNANSWERED
        thin = thinned(answers, golds, seed)
        assert np.bincount(thin.task).max() == 3
        alike = aggregate(thin, "majority")
        accuracy = float((alike == truth).mean()) * 1_000_000
        said = certify(*right_of(alike, golds), len(truth))
        covered += said.low_ppm <= accuracy <= said.high_ppm
        labels = aggregate(answers, "majority")
        said = certify(*right_of(labels, golds), len(truth))
        misled += said.low_ppm > float((labels == truth)[others].mean()) * 1_000_000
    assert covered >= FLOOR
    assert misled >= 90


def test_golds_drawn_from_hard_tasks_hold_by_strata() -> None:
    covered = naive = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, 11])
        answers, truth = Crowd("strata", tasks=600, difficulty=0.25).draw(rng)
        labels, votes = aggregate(answers, "majority"), answers.votes()
        agreed = votes.max(axis=1) >= 4
        golds = np.full_like(truth, UNANSWERED)
        for part, count in ((agreed, 40), (~agreed, 60)):
            drawn = rng.permutation(np.flatnonzero(part))[:count]
            golds[drawn] = truth[drawn]
        strata = []
        for part in (agreed, ~agreed):
            right, asked = right_of(labels[part], golds[part])
            strata.append(Stratum(right, asked, int(part.sum())))
        accuracy = float((labels == truth).mean()) * 1_000_000
        said, flat = certify_by_strata(strata), certify(*right_of(labels, golds), len(truth))
        covered += said.low_ppm <= accuracy <= said.high_ppm
        naive += flat.low_ppm <= accuracy <= flat.high_ppm
    assert covered >= FLOOR
    assert naive < FLOOR


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 500))
def test_the_interval_holds_the_estimate_and_is_narrower_than_for_an_endless_batch(k: int, n: int, more: int) -> None:
    right, asked = min(k, n), n
    said = certify(right, asked, asked + more)
    assert said.low_ppm <= right * 1_000_000 / asked <= said.high_ppm
    low = beta.ppf(0.025, right, asked - right + 1) if right else 0
    assert said.low_ppm >= int(low * 1_000_000) - 1_000_000 // (asked + more) - 1


def test_where_every_task_is_a_gold_the_accuracy_is_known() -> None:
    said = certify(45, 50, 50)
    assert (said.low_ppm, said.accuracy_ppm, said.high_ppm) == (900_000, 900_000, 900_000)


def test_without_golds_nothing_is_known_and_impossible_counts_are_refused() -> None:
    said = certify(0, 0, 10)
    assert (said.low_ppm, said.high_ppm) == (0, 1_000_000)
    assert certify_by_strata([Stratum(0, 0, 10)]).high_ppm == 1_000_000
    half = certify_by_strata([Stratum(20, 20, 50), Stratum(0, 0, 50)])
    assert half.low_ppm <= 500_000 and half.high_ppm == 1_000_000
    for counts in ((3, 2, 10), (1, 20, 10), (-1, 2, 3)):
        with pytest.raises(InvalidInput, match="cannot be"):
            certify(*counts)
