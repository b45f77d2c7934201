"""Pay for answers: spam, collusion and camouflage earn nothing or next to nothing; arithmetic is exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM
from rodagila.value.answers import UNANSWERED, Answers, krippendorff_alpha
from rodagila.value.rater_pay import GoldRecord, agreement_ppm, correlated, gate_ppm, rater_pay, wilson_lower_ppm


def answers_of(rows: list[tuple[int, int, int]], choices: int) -> Answers:
    account, task, choice = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return Answers(account, task, choice, int(account.max()) + 1, int(task.max()) + 1, choices)


def crowd(
    seed: int, shares: dict[str, float], accounts: int = 40, tasks: int = 400, overlap: int = 8, golds: int = 80
) -> tuple[Answers, np.ndarray, list[str]]:
    """Return planted answers to three choices, the golds, and what each account is."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, tasks, p=(0.5, 0.3, 0.2))
    kinds = [kind for kind, share in shares.items() for _ in range(round(share * accounts))]
    kinds = ["honest"] * (accounts - len(kinds)) + kinds
    gold = np.full(tasks, UNANSWERED)
    gold[:golds] = truth[:golds]
    code = rng.integers(0, 3, tasks)  # what colluders agreed to say of each task, before seeing any
    rows = []
    for task in range(tasks):
        # Golds go to everybody until each has enough; nobody can tell them from the others.
        who = rng.permutation(accounts)[: accounts if task < golds // 2 else overlap]
        for account in who:
            kind = kinds[account]
            right = rng.random() < 0.8
            said = truth[task] if right else (truth[task] + rng.integers(1, 3)) % 3
            if kind == "spam":
                said = rng.integers(0, 3)
            elif kind == "constant":
                said = 0
            elif kind == "collude":
                said = code[task]
            rows.append((int(account), task, int(said)))
    return answers_of(rows, 3), gold, kinds


def share_of(kind: str, seed: int, portion: float, **options: int) -> float:
    answers, gold, kinds = crowd(seed, {kind: portion}, **options)
    paid = rater_pay(answers, gold, 10**9).pay
    return sum(pay for pay, what in zip(paid, kinds, strict=True) if what == kind) / max(1, sum(paid))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["spam", "constant"])
def test_half_of_the_raters_spamming_get_half_a_percent_at_most(kind: str, seed: int) -> None:
    assert share_of(kind, seed, 0.5) <= 0.005


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("portion", [0.2, 0.3, 0.4, 0.5])
def test_colluders_with_a_code_of_their_own_earn_nothing(portion: float, seed: int) -> None:
    assert share_of("collude", seed, portion) == 0


def test_honest_raters_are_paid_for_their_work_and_skill() -> None:
    answers, gold, _ = crowd(1, {})
    paid = rater_pay(answers, gold, 10**9)
    assert sum(paid.pay) + paid.dust == 10**9
    assert paid.dust < answers.accounts
    assert min(paid.gate) > 0 and min(paid.agreement) > 0


@given(st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=200)
def test_the_bound_is_wilsons(right: int, more: int) -> None:
    asked = right + more
    if asked:
        reference = binomtest(right, asked).proportion_ci(method="wilson").low
        assert wilson_lower_ppm(right, asked) == pytest.approx(max(0.0, reference) * PPM, abs=1.5)
    else:
        assert wilson_lower_ppm(0, 0) == 0


def test_too_few_golds_earn_nothing() -> None:
    assert gate_ppm(GoldRecord(19, 19), 400_000) == 0
    assert gate_ppm(GoldRecord(20, 20), 400_000) > 0
    assert gate_ppm(GoldRecord(20, 8), 400_000) == 0


def plain_agreement(answers: Answers, gates: list[int], account: int) -> int:
    """Return c of one account by walking over all pairs."""
    score = correlated(answers.of([peer for peer, gate in enumerate(gates) if gate]))
    rows = list(zip(answers.account, answers.task, answers.choice, strict=True))
    sums, weights = {True: 0, False: 0}, {True: 0, False: 0}
    for _, task, choice in (row for row in rows if row[0] == account):
        for peer, other, said in rows:
            if peer != account:
                sums[other == task] += int(score[choice, said]) * gates[peer]
                weights[other == task] += gates[peer]
    if not all(weights.values()):
        return 0
    return sums[True] * PPM // weights[True] - sums[False] * PPM // weights[False]


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_agreement_is_that_of_all_pairs_weighted_by_the_peers_gates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(a, t, int(rng.integers(0, 3))) for a in range(5) for t in range(6) if rng.random() < 0.7]
    if not rows:
        return
    answers = answers_of([*rows, (5, 6, 0)], 3)
    gates = (rng.integers(0, PPM + 1, 6) * (rng.random(6) < 0.6)).tolist()
    assert agreement_ppm(answers, gates) == [plain_agreement(answers, gates, account) for account in range(6)]


def test_agreement_is_exact_where_64_bits_would_not_hold_it() -> None:
    answers = answers_of([(account, task, 0) for account in range(3) for task in range(3)], 2)
    huge = [10**18, 10**17, 0]
    assert agreement_ppm(answers, huge) == [plain_agreement(answers, huge, account) for account in range(3)]


def test_blind_answers_among_good_ones_are_worth_less_than_left_out_ones() -> None:
    """An account that answers the half of its tasks at random loses by those answers: without them it earns more."""
    mixed, left_out = [], []
    for seed in range(12):
        answers, gold, _ = crowd(seed, {}, golds=120)
        known, rng = gold[answers.task] != UNANSWERED, np.random.default_rng([seed, 1])
        lazy = (answers.account == 0) & ~known & (rng.random(len(answers)) < 0.5)
        choice = np.where(lazy, rng.integers(0, 3, len(answers)), answers.choice)
        sizes = (answers.accounts, answers.tasks, answers.choices)
        blind = Answers(answers.account, answers.task, choice, *sizes)
        fewer = Answers(answers.account[~lazy], answers.task[~lazy], answers.choice[~lazy], *sizes)
        mixed.append(rater_pay(blind, gold, 10**9).pay[0])
        left_out.append(rater_pay(fewer, gold, 10**9).pay[0])
    assert sum(mixed) < sum(left_out) / 2


@given(st.integers(0, 10_000), st.permutations(range(6)))
@settings(max_examples=30)
def test_renaming_accounts_renames_their_pay(seed: int, names: list[int]) -> None:
    answers, gold, _ = crowd(seed, {"spam": 0.34}, accounts=6, tasks=60, overlap=4, golds=40)
    moved = Answers(
        np.array(names)[answers.account], answers.task, answers.choice, answers.accounts, answers.tasks, answers.choices
    )
    before, after = rater_pay(answers, gold, 12_345_678), rater_pay(moved, gold, 12_345_678)
    assert [after.pay[name] for name in names] == list(before.pay)


def test_alpha_is_that_of_the_published_example() -> None:
    # Three coders, fifteen units, nominal categories: alpha = .691 (Krippendorff, as worked in many textbooks)
    coders = ["* * * * * 3 4 1 2 1 1 3 3 * 3", "1 * 2 1 3 3 4 3 * * * * * * *", "* * 2 1 3 4 4 * 2 1 1 3 3 * 4"]
    rows = [
        (coder, unit, int(mark) - 1)
        for coder, marks in enumerate(coders)
        for unit, mark in enumerate(marks.split())
        if mark != "*"
    ]
    assert krippendorff_alpha(answers_of(rows, 4)) == pytest.approx(0.691, abs=0.0005)


def test_an_account_that_answers_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most once"):
        answers_of([(0, 0, 1), (0, 0, 2)], 3)


def test_no_golds_no_pay() -> None:
    answers, gold, _ = crowd(1, {}, accounts=4, tasks=20, overlap=2, golds=4)
    with pytest.raises(InvalidInput, match="No gold task"):
        rater_pay(answers, np.full_like(gold, UNANSWERED), 100)
