"""A small chain of turns on random data, and a ledger that says what an honest operator would have posted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from eth_utils.address import to_checksum_address

from rodagila.core.hashing import ZERO_HASH, keccak
from rodagila.core.messages import Domain
from rodagila.core.money import TOKEN_UNIT
from rodagila.core.policy import BondRules, Policy, PoolRules, ValueRules
from rodagila.core.vectors import quantise
from rodagila.reward.facts import ContributionEntry, ModelClaim, TurnFacts, compute, next_excluded
from rodagila.reward.ledger import LedgerBatch, LedgerTurn, Supply
from rodagila.reward.model_check import recompute_model
from rodagila.reward.public import PublicTurn, public_hash, publish
from rodagila.reward.roots import Fee, contributions_root, turn_commitment
from rodagila.value.examples import Examples

DOMAIN = Domain(1919901793, to_checksum_address("0x" + "a1" * 20))
REWARDS = to_checksum_address("0x" + "b2" * 20)
BONDS = to_checksum_address("0x" + "c3" * 20)
DAO_TOKEN = to_checksum_address("0x" + "d4" * 20)
POLICY = Policy("test", value=ValueRules(coverage_k=3, check_k=4), pool=PoolRules(seed_pool=7), bond=BondRules())
LABELS = ("card", "fee", "limit", "loan", "rate", "saving")
DIMENSIONS = 24


def account(name: str) -> str:
    """Return a checksum address made of ``name``."""
    return to_checksum_address(keccak(name.encode())[-20:])


FEES = tuple(
    sorted((Fee(account(f"payer {i}"), 10 + i, 10_000 * (i + 1)) for i in range(3)), key=lambda fee: fee.account)
)


def examples(rng: np.random.Generator, centres: np.ndarray, count: int, noise: float = 0.6) -> Examples:
    """Return ``count`` examples around the labels' centres."""
    codes = rng.integers(0, len(LABELS), count)
    rows = centres[codes] + noise * rng.normal(size=(count, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Examples(quantise(rows), codes.astype(np.int64))


def join(*parts: Examples) -> Examples:
    """Return the parts one after another."""
    return Examples(np.vstack([p.vectors for p in parts]), np.concatenate([p.targets for p in parts]))


def make_turns(seed: int = 0, turns: int = 2, *, trained: bool = False) -> list[PublicTurn]:
    """Return honest public turns: three owners give six good records a turn, the last one with wrong labels.

    ``trained``: the model's claim is that of a model really trained; else it is a made-up rise.
    """
    owners, size = 3, 6
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(LABELS), DIMENSIONS))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    reference, gate = examples(rng, centres, 8), examples(rng, centres, 10)
    done: list[PublicTurn] = []
    records, entries = examples(rng, centres, 0), ()
    rollover, previous, issued, excluded, parent = 0, {}, {}, (), ZERO_HASH
    for turn in range(1, turns + 1):
        fresh = examples(rng, centres, owners * size)
        flipped = fresh.targets.copy()
        flipped[-size:] = (flipped[-size:] + 1) % len(LABELS)
        records = join(records, Examples(fresh.vectors, flipped))
        statuses = (-1,) * size + (-2, 0)
        entries += tuple(
            ContributionEntry(keccak(f"{seed}:{turn}:{o}".encode()), account(f"owner {o}"), turn, turn, 8_000, statuses)
            for o in range(owners)
        )
        facts = TurnFacts(
            domain=DOMAIN, rewards=REWARDS, bonds=BONDS, dao_token=DAO_TOKEN,
            turn=turn, policy=POLICY, code_version="0.1.0",
            embedder=keccak(b"embedder"), seed=seed, salt=keccak(f"salt {turn}".encode()),
            contributions=entries, targets=LABELS, records=records,
            reference=reference, queries=examples(rng, centres, 20), weights=rng.integers(1, 4, 20), gate=gate,
            excluded=excluded,
            fees=FEES,
            rollover_in=rollover, previous=previous, previous_issued=issued,
            model=ModelClaim(keccak(f"model {turn}".encode()), parent, 500_000, 560_000 + turn),
            proofs_root=keccak(b"proofs"),
        )  # fmt: skip
        facts = replace(facts, model=recompute_model(facts)) if trained else facts
        done.append(publish(facts))
        computed = compute(facts)
        rollover, previous = computed.outcome.rollover, computed.settlement.cumulative
        issued = computed.settlement.cumulative_issued
        excluded, parent = next_excluded(facts, computed.values), facts.model.hash
    return done


@dataclass
class HonestLedger:
    """Says what an honest operator posted for the given turns."""

    turns: list[PublicTurn]
    changed: dict[int, dict[str, object]] = field(default_factory=dict)

    def domain(self) -> Domain:
        return DOMAIN

    def contracts(self) -> dict[str, str]:
        return {"rewards": REWARDS, "bonds": BONDS, "dao_token": DAO_TOKEN}

    def supply(self) -> Supply:
        rule = POLICY.token
        return Supply(*(TOKEN_UNIT * n for n in (rule.cap, rule.founders, rule.per_turn)), rule.halving_turns)

    def batches(self, last_turn: int) -> list[LedgerBatch]:
        batches, place = [], 0
        entries = self.turns[min(last_turn, len(self.turns)) - 1].facts.contributions
        for number in sorted({entry.batch for entry in entries}):
            own = [entry for entry in entries if entry.batch == number]
            count = sum(entry.count for entry in own)
            root = contributions_root([entry.id for entry in own])
            batches.append(LedgerBatch(root, own[0].turn, number, len(own), count, place))
            place += count
        return batches

    def turn(self, turn: int) -> LedgerTurn | None:
        if turn > len(self.turns):
            return None
        public = self.turns[turn - 1]
        facts, roots = public.facts, public.outcome.roots
        sets = (roots["queries"], roots["gate"], roots["reference"])
        posted = LedgerTurn(
            policy_hash=facts.policy.policy_hash(),
            commitment=turn_commitment(*sets, facts.embedder, seed=facts.seed, salt=facts.salt),
            reveal=facts.salt,
            data_root=roots["contributions"],
            proofs_root=facts.proofs_root,
            model_hash=facts.model.hash,
            parent_model=facts.model.parent,
            payout_root=roots["payouts"],
            slash_root=roots["slashes"],
            token_root=roots["tokens"],
            public_hash=public_hash(public),
            paid=public.outcome.paid,
            issued=public.outcome.issued,
            fees={fee.account: fee.amount for fee in facts.fees},
            bonds={(entry.id, entry.owner): entry.bond for entry in facts.contributions if entry.turn == turn},
            pool=public.outcome.pool,
        )
        return replace(posted, **self.changed.get(turn, {}))  # type: ignore[arg-type]
