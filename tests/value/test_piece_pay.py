"""Pay by the piece: exact sums, prices kept on the mean, nothing for spam and collusion, peers by a later seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_aggregate import BARS, read_crowd

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.value.aggregate import aggregate, choose
from rodagila.value.answers import UNANSWERED, Answers
from rodagila.value.piece_pay import PiecePay, PieceRules, drawn_peers, piece_pay

SEED = keccak(b"a later block")
RULES, OPEN_ENDED = PieceRules(), PieceRules(open_ended=True)


def names(count: int) -> list[bytes]:
    return [keccak(f"account {i}".encode())[:20] for i in range(count)]


def crowd(
    seed: int, bad: float, kind: str, *, accounts: int = 40, tasks: int = 300, golds: int = 60, choices: int = 3
) -> tuple[Answers, np.ndarray, list[int], list[bool]]:
    """Return planted answers, golds, prices, and who is bad; ``choices`` answers, or as many as texts if open."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, choices, tasks)
    is_bad = [i < round(bad * accounts) for i in range(accounts)]
    code = rng.integers(0, choices, tasks)
    rows = []
    for task in range(tasks):
        for account in rng.permutation(accounts)[: accounts if task < golds // 2 else 8]:
            said = truth[task] if rng.random() < 0.8 else rng.integers(0, choices)
            if is_bad[account] and not (kind == "camouflage" and rng.random() < 0.6):
                said = {"spam": rng.integers(0, choices), "constant": 0}.get(kind, code[task])
            rows.append((int(account), task, int(said)))
    columns = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    gold = np.full(tasks, UNANSWERED)
    gold[:golds] = truth[:golds]
    prices = [int(price) for price in rng.integers(10, 30, tasks)]
    return Answers(*columns, accounts, tasks, choices), gold, prices, is_bad  # type: ignore[call-arg]


def paid(answers: Answers, gold: np.ndarray, prices: list[int], rules: PieceRules = RULES) -> PiecePay:
    return piece_pay(answers, gold, prices, names(answers.accounts), SEED, rules)


def bad_share(pay: PiecePay, is_bad: list[bool]) -> float:
    return sum(p for p, bad in zip(pay.pay, is_bad, strict=True) if bad) / max(1, pay.paid)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kind", "share"), [("spam", 0.5), ("constant", 0.5), ("collude", 0.4), ("collude", 0.5)])
def test_spam_and_collusion_earn_half_a_percent_at_most(kind: str, share: float, seed: int) -> None:
    answers, gold, prices, is_bad = crowd(seed, share, kind)
    assert bad_share(paid(answers, gold, prices), is_bad) <= 0.005


@pytest.mark.parametrize("seed", range(3))
def test_open_answers_are_paid_by_equality_and_collusion_earns_nothing(seed: int) -> None:
    answers, gold, prices, is_bad = crowd(seed, 0.4, "collude", choices=200)
    pay = paid(answers, gold, prices, OPEN_ENDED)
    assert bad_share(pay, is_bad) <= 0.005
    assert all(p > 0 for p, bad in zip(pay.pay, is_bad, strict=True) if not bad)


def test_accepted_responses_are_paid_their_price_on_the_mean_and_others_cost_nothing() -> None:
    answers, gold, prices, is_bad = crowd(1, 0.3, "spam")
    pay = paid(answers, gold, prices)
    accepted = [i for i in range(answers.accounts) if pay.gate[i] > 0 and pay.agreement[i] > 0]
    bill = sum(pay.worth[i] for i in accepted)
    assert bill - len(accepted) < pay.paid <= bill < sum(pay.worth)
    assert pay.worth[0] == sum(
        prices[task]
        for account, task in zip(answers.account, answers.task, strict=True)
        if account == 0 and gold[task] == UNANSWERED
    )
    assert pay.qualified == tuple(i for i in range(answers.accounts) if pay.gate[i] > 0)
    assert not any(is_bad[i] for i in accepted)


def test_nobody_is_paid_before_twenty_golds() -> None:
    answers, gold, prices, _ = crowd(2, 0, "spam", golds=19)
    few = paid(answers, gold, prices)
    assert few.paid == 0
    assert max(record.asked for record in few.golds) < 20
    with pytest.raises(InvalidInput):
        paid(answers, np.full_like(gold, UNANSWERED), prices)
    with pytest.raises(InvalidInput):
        paid(answers, gold, prices[:-1])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans())
def test_any_pay_is_exact_and_within_the_price_of_accepted_responses(seed: int, peers: int, open_ended: bool) -> None:
    answers, gold, prices, _ = crowd(seed, 0.2, "spam", accounts=10, tasks=60, golds=40)
    pay = paid(answers, gold, prices, PieceRules(peers=peers, open_ended=open_ended))
    assert pay.paid <= sum(w for w, p in zip(pay.worth, pay.pay, strict=True) if p) + answers.accounts
    assert all(p >= 0 for p in pay.pay)
    doubled = paid(answers, gold, [2 * price for price in prices], PieceRules(peers=peers, open_ended=open_ended))
    assert all(abs(d - 2 * p) <= 1 for d, p in zip(doubled.pay, pay.pay, strict=True))


def test_renaming_accounts_moves_pay_only_by_the_draw_of_peers() -> None:
    answers, gold, prices, _ = crowd(3, 0.2, "spam", accounts=12)
    everybody = PieceRules(peers=11)
    order = np.random.default_rng(0).permutation(answers.accounts)
    moved = Answers(order[answers.account], answers.task, answers.choice, *(12, answers.tasks, answers.choices))
    first, second = paid(answers, gold, prices, everybody), paid(moved, gold, prices, everybody)
    assert [second.pay[order[i]] for i in range(12)] == list(first.pay)


def test_peers_follow_from_the_seed_alone() -> None:
    people = names(30)
    first = drawn_peers(0, range(30), people, SEED, 5)
    assert 0 not in first
    assert len(set(first)) == 5
    assert first == drawn_peers(0, range(30), people, SEED, 5)
    assert first != drawn_peers(0, range(30), people, keccak(b"another block"), 5)
    assert drawn_peers(0, [0, 3], people, SEED, 5) == [3]


def check_real_crowd(name: str, seed: int, shared_data: Path) -> None:
    """Add three spammers to each seven of a real crowd: they earn nothing, and the qualified label as well as all."""
    real, gold = read_crowd(shared_data / "crowd_labels" / f"{name}.csv")
    rng = np.random.default_rng(seed)
    truth = np.full_like(gold, UNANSWERED)
    known = rng.permutation(len(gold))[: len(gold) // 3]
    truth[known] = gold[known]
    count, each = real.accounts * 3 // 7, max(60, int(np.median(np.bincount(real.account))))
    spam = [
        (real.accounts + i, int(task), int(rng.integers(0, real.choices)))
        for i in range(count)
        for task in rng.permutation(real.tasks)[:each]
    ]
    columns = [
        np.concatenate([ours, np.array(theirs, np.int64)])
        for ours, theirs in zip((real.account, real.task, real.choice), zip(*spam, strict=True), strict=True)
    ]
    answers = Answers(*columns, real.accounts + count, real.tasks, real.choices)  # type: ignore[call-arg]
    pay = paid(answers, truth, [1_000] * real.tasks)
    assert pay.paid > 0
    assert sum(pay.pay[real.accounts :]) <= pay.paid * 0.005
    good = answers.of(pay.qualified)
    labelled = {method: aggregate(good, method) for method in ("one_coin", "dawid_skene", "majority")}
    labels = labelled[choose(labelled, truth)]
    judged = (truth == UNANSWERED) & (labels != UNANSWERED)
    assert judged.mean() >= 0.6
    assert (labels[judged] == gold[judged]).mean() >= BARS[name] - 0.02


def test_camouflage_earns_less_than_half_of_what_it_would_without_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Colluders who answer three tasks in five honestly; the floor of ``rater_pay`` holds for pieces too."""
    planted = [crowd(seed, 0.4, "camouflage") for seed in range(10)]
    with_floor = sum(bad_share(paid(answers, gold, prices), bad) for answers, gold, prices, bad in planted)
    monkeypatch.setattr("rodagila.value.piece_pay.floor_of", lambda agreement, gates: 0)
    without = sum(bad_share(paid(answers, gold, prices), bad) for answers, gold, prices, bad in planted)
    assert 2 * with_floor < without


@pytest.mark.parametrize("name", ["MS", "ZenCrowd_us"])
def test_spam_among_a_real_crowd_earns_nothing_and_spoils_nothing(name: str, shared_data: Path) -> None:
    check_real_crowd(name, 0, shared_data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", sorted(BARS))
def test_spam_among_any_real_crowd_earns_nothing_and_spoils_nothing(name: str, seed: int, shared_data: Path) -> None:
    check_real_crowd(name, seed, shared_data)
