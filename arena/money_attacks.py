"""Wash use, row 17: an owner buys calls from herself and rates them, at 10,000 parameter points over five seeds.

What a washer can gain today: her fees join the pool, of which she has a share, and her ratings make the queries nearest
to her own records heavier (``query_weights``), which moves the pool that others paid for. Points vary the treasury's
cut, other buyers' fees and their growth by up to a half since the last turn, a seed pool, how much of the data is hers,
which records she asks for, and whether she buys a few calls or just enough to move each weight by one to three.
Measured: the largest profit among the points, as a share of the fees she paid; naive: every fee subsidised once over.

The second row takes the formula of MECHANISM 4, which no code pays by: ``S <= gamma tau (F + w)`` with cut, reward and
referral within ``(1 - tau) + rho + r + gamma tau <= 1 - margin``.
"""

from __future__ import annotations

import numpy as np

from arena.texts import intents_of
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, Receipt
from rodagila.core.money import PPM
from rodagila.core.policy import Policy, PoolRules, ValueRules
from rodagila.market.prices import SEARCH
from rodagila.market.receipts import SignedReceipt
from rodagila.reward.settlement import BondedContribution, SettlementInputs, pool_of, settle
from rodagila.serve.effects import query_weights, weight_unit
from rodagila.serve.feedback import FeedbackRow
from rodagila.value.examples import Examples
from rodagila.value.ocis import ValueInputs, ValueResult, value_records

POINTS = 2_000  # a seed
RECORDS, QUERIES, LABELS = 60, 40, 6
NOBODY, HASH = "0x" + "00" * 20, bytes(32)
Measures = dict[str, tuple[float, float]]


def money(seed: int) -> Measures:
    """Row 17."""
    profits = washed(seed, POINTS)
    return {
        "17 wash": (float(profits[:, 0].max()), float(profits[:, 1].max())),
        "17 wash, points that win": (
            100 * float((profits[:, 0] >= 0).mean()),
            100 * float((profits[:, 1] >= 0).mean()),
        ),
        "17 wash, subsidised": subsidised(seed, POINTS),
    }


def washed(seed: int, points: int) -> np.ndarray:
    """Return (points, 2): the profit by the rule and under an uncapped subsidy, as shares of the fees paid."""
    rng, policy = np.random.default_rng([seed, 17]), Policy("arena")
    corpus = intents_of(LABELS, -(-(RECORDS + QUERIES) // LABELS), seed)
    rows = rng.permutation(len(corpus))
    records, queries = (
        Examples(corpus.vectors[part], corpus.labels[part]) for part in (rows[:RECORDS], rows[RECORDS:][:QUERIES])
    )
    by_text = {f"record {at}": vector for at, vector in enumerate(records.vectors)}

    def embed(texts: object) -> np.ndarray:
        return np.array([by_text[text] for text in texts])  # type: ignore[attr-defined]

    def values(weights: tuple[int, ...]) -> ValueResult:
        turns, none = np.ones(RECORDS, np.int64), records.take(slice(0, 0))
        return value_records(ValueInputs(records, turns, turns == 0, none, queries, np.array(weights), ValueRules()))

    before, price, found = values((1,) * QUERIES), policy.prices.search, []
    for _ in range(points):
        mine = rng.random(RECORDS) < rng.uniform(0.05, 0.95)
        mine[rng.integers(RECORDS)] = True
        asked = rng.choice(np.flatnonzero(mine), min(int(mine.sum()), int(rng.integers(1, 6))), replace=False)
        others = int(price * 10 ** rng.uniform(1, 7))
        rules = PoolRules(treasury_cut_ppm=int(rng.integers(50_000, 500_001)), seed_pool=int(rng.integers(2)) * others)
        last = int(pool_of(others, rules, 0) / rng.uniform(1, 1.5))
        unit = weight_unit(policy, last, QUERIES)
        each = price * int(rng.integers(2, 9)) if rng.random() < 0.5 else unit * int(rng.integers(1, 4))
        spent = each * len(asked)
        feedback = [wash(f"record {at}", each) for at in asked]
        after = values(query_weights(feedback, queries.vectors, embed, policy, pool=last))
        gain = earned(after, mine, pool_of(others + spent, rules, 0)) - earned(before, mine, pool_of(others, rules, 0))
        found.append(((gain - spent) / spent, gain / spent))
    return np.array(found)


def wash(text: str, amount: int) -> FeedbackRow:
    """Return the rating that a washer gives for her own paid search."""
    request = {"model": "arena", "text": text}
    receipt = Receipt(NOBODY, HASH, 1, SEARCH, amount, keccak(text.encode()), HASH, HASH)
    signed = SignedReceipt(Domain(1, NOBODY), receipt, bytes(65))
    return FeedbackRow(HASH, "arena", 1, signed, NOBODY, "rating", {"request": request, "rating": 5}, bytes(65), 0)


def earned(values: ValueResult, mine: np.ndarray, pool: int) -> int:
    """Return what the owner of the records ``mine`` is paid of ``pool``."""
    names = ("other", "washer")
    given = tuple(BondedContribution(keccak(name.encode()), name, 1, RECORDS, 0) for name in names)
    source = [int(own) for own in mine]
    done = settle(SettlementInputs(1, pool, PPM, given, source, values.v, values.s.tolist(), {}, 0, {}))
    return done.payouts.get("washer", 0)


def subsidised(seed: int, points: int) -> tuple[float, float]:
    """Return the largest profit under the formula of subsidies, and where the subsidy equals the fees."""
    rng, best, naive = np.random.default_rng([seed, 18]), -np.inf, -np.inf
    kept = 0
    while kept < points:
        cut, gamma, reward, referral, margin = rng.uniform((0.05, 0, 0, 0, 0.01), (1, 0.5, 0.3, 0.3, 0.2))
        if (1 - cut) + reward + referral + gamma * cut > 1 - margin:
            continue
        kept += 1
        fees, work = 10 ** rng.uniform(0, 6, 2)
        back = fees * ((1 - cut) + reward + referral)
        best = max(best, (back + gamma * cut * (fees + work) - fees - work) / fees)
        naive = max(naive, (back + fees - fees - work) / fees)
    return float(best), float(naive)
