"""The policy of a DAO: versioned, hashed rules. Every constant of MECHANISM is a field here.

``rodagila.govern`` reads it from a file and reports errors by line; this module only holds the values.
Shares are integers in millionths (ppm), money is atomic units, cosine thresholds are millionths. The DAO's token has 18
decimals; a policy counts whole tokens, because a JSON number would lose such an integer.

>>> Policy(name="docs").policy_hash() == Policy(name="docs").policy_hash()
True
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from rodagila.core.canonical import json_hash


@dataclass(frozen=True, slots=True)
class RecordRules:
    """What a contribution may hold."""

    max_bytes: int = 16_384
    max_records: int = 10_000
    min_chars: int = 12
    on_malformed: str = "skip"  # skip: take the rest; refuse: take nothing


@dataclass(frozen=True, slots=True)
class CheckRules:
    """Thresholds of the checks that make a proof."""

    min_quality_ppm: int = 300_000
    minhash_jaccard_ppm: int = 800_000
    near_cosine_ppm: int = 950_000
    languages: str = "any"  # ISO 639-1 codes, with commas; records surely in another are refused
    toxic_words: str = "default"  # with spaces; in place of the list of prove.findings
    refuse: str = "personal"  # none, personal: what redaction would still find; all: any finding


@dataclass(frozen=True, slots=True)
class ValueRules:
    """Constants of Ordered Coverage with In-run Slashing (MECHANISM 1)."""

    theta_max_ppm: int = 950_000
    theta_percentile: int = 99
    coverage_k: int = 5
    delta_ppm: int = 30_000
    novelty_ppm: int = 300_000
    check_k: int = 10
    top: int = 256
    tau_percentile: int = 10
    query_percentile: int = 50


@dataclass(frozen=True, slots=True)
class PoolRules:
    """How settled fees become a pool: ``P = fees x (1 - cut) x lambda``."""

    treasury_cut_ppm: int = 200_000
    target_lift_ppm: int = 100_000
    seed_pool: int = 0  # atomic units the treasury adds to every turn's pool


@dataclass(frozen=True, slots=True)
class BondRules:
    """Bond per record: ``multiplier`` x trailing mean pay of a record, ``newcomer_multiplier`` for newcomers.

    A smaller multiplier for newcomers rewards who splits into many of them, so the defaults are equal; and 1, because
    more would lock several turns of a newcomer's own pay.
    """

    initial: int = 1_000
    multiplier: int = 1
    newcomer_multiplier: int = 1


@dataclass(frozen=True, slots=True)
class PriceRules:
    """Atomic units per call."""

    chat: int = 2_000
    search: int = 1_000
    classify: int = 1_000
    embeddings: int = 500


@dataclass(frozen=True, slots=True)
class ChannelRules:
    """Payment channels: how long an exit is announced ahead, and when vouchers are claimed at the latest."""

    withdraw_delay_seconds: int = 86_400
    claim_value: int = 1_000_000  # atomic units of one DAO's unclaimed vouchers
    claim_age_seconds: int = 3_600


@dataclass(frozen=True, slots=True)
class QueryRules:
    """The committed validation queries: how many a turn, and how feedback weights them."""

    per_turn: int = 1_000
    max_weight: int = 4
    wash_margin: int = 4  # a step of weight costs so many times a query's part of the last pool


@dataclass(frozen=True, slots=True)
class FeedbackRules:
    """Whether corrections become labelled records of the treasury."""

    learn: bool = True


@dataclass(frozen=True, slots=True)
class ArenaRules:
    """The blind arena: which models meet, how preferences become ratings (MECHANISM 2)."""

    models: int = 3  # the newest of the line; 1 closes the arena
    gold_ppm: int = 100_000
    prefer_seconds: int = 7 * 86_400
    ridge_ppm: int = 100_000
    residual_ppm: int = 2_800_000


@dataclass(frozen=True, slots=True)
class ReputationRules:
    """What an account's word is worth (``value.reputation``); a slash counts as so many wrong golds."""

    forget_ppm: int = 900_000
    agreement_ppm: int = 250_000
    slash: int = 20
    least_golds: int = 5
    tier_stake: int = 1_000_000  # atomic units of an evaluator's stake that the first tier takes
    tier_free: int = 20
    tier_open: int = 100


@dataclass(frozen=True, slots=True)
class ChallengeRules:
    """Challenge window of a posted root, seconds, and the bond behind it."""

    window_seconds: int = 1
    root_bond: int = 0


@dataclass(frozen=True, slots=True)
class TokenRules:
    """The supply rule of the DAO's token, fixed at launch; ``cap``, ``founders`` and ``per_turn`` in whole tokens.

    Turn t issues at most ``per_turn`` halved once for each ``halving_turns`` turns before it, and never beyond the cap.
    """

    name: str = "Data DAO token"
    symbol: str = "DATA"
    cap: int = 100_000_000
    founders: int = 20_000_000
    per_turn: int = 1_000_000
    halving_turns: int = 40


@dataclass(frozen=True, slots=True)
class GovernanceRules:
    """How proposals are decided; ``proposal_threshold_ppm`` in millionths of the token's cap."""

    voting_delay_seconds: int = 86_400
    voting_period_seconds: int = 3 * 86_400
    proposal_threshold_ppm: int = 1_000
    quorum_percent: int = 4
    timelock_seconds: int = 2 * 86_400


@dataclass(frozen=True, slots=True)
class ModelRules:
    """The vertical model: task, ridge strength (millionths) and bootstrap size of the metric's interval."""

    task: str = "classify"  # classify: label accuracy; retrieve: recall at 5 of the answer
    ridge_ppm: int = 1_000_000
    bootstrap: int = 1_000


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy; its hash is what contributions and proofs sign."""

    name: str
    version: int = 1
    purpose: str = "train and serve this DAO's model"
    model: ModelRules = field(default_factory=ModelRules)
    records: RecordRules = field(default_factory=RecordRules)
    checks: CheckRules = field(default_factory=CheckRules)
    value: ValueRules = field(default_factory=ValueRules)
    pool: PoolRules = field(default_factory=PoolRules)
    bond: BondRules = field(default_factory=BondRules)
    prices: PriceRules = field(default_factory=PriceRules)
    channels: ChannelRules = field(default_factory=ChannelRules)
    queries: QueryRules = field(default_factory=QueryRules)
    feedback: FeedbackRules = field(default_factory=FeedbackRules)
    arena: ArenaRules = field(default_factory=ArenaRules)
    reputation: ReputationRules = field(default_factory=ReputationRules)
    challenge: ChallengeRules = field(default_factory=ChallengeRules)
    token: TokenRules = field(default_factory=TokenRules)
    governance: GovernanceRules = field(default_factory=GovernanceRules)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that is hashed and published."""
        return dataclasses.asdict(self)

    def policy_hash(self) -> bytes:
        """Return Keccak-256 of the canonical JSON."""
        return json_hash(self.as_json())

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Policy:
        """Return the policy of a JSON object that ``as_json`` made."""
        values = dict(body)
        for name, kind in SECTIONS.items():
            if name in values:
                values[name] = kind(**values[name])
        return cls(**values)


SECTIONS: dict[str, Any] = {
    "model": ModelRules,
    "records": RecordRules,
    "checks": CheckRules,
    "value": ValueRules,
    "pool": PoolRules,
    "bond": BondRules,
    "prices": PriceRules,
    "channels": ChannelRules,
    "queries": QueryRules,
    "feedback": FeedbackRules,
    "arena": ArenaRules,
    "reputation": ReputationRules,
    "challenge": ChallengeRules,
    "token": TokenRules,
    "governance": GovernanceRules,
}
