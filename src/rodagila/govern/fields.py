"""The fields of a policy file: one row for each, with its kind, its bounds and its meaning.

The file says ``treasury_cut: 0.2`` where ``rodagila.core.policy`` holds ``treasury_cut_ppm=200_000``: the suffix that
names the unit is left out of the file, because the kind of the field says it. Bounds are in the units of the core
(millionths, atomic units, seconds) and inclusive. The meanings follow MECHANISM 1 and 4.

>>> field_named("pool", "treasury_cut").attribute
'treasury_cut_ppm'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rodagila.core.money import PPM, UNIT
from rodagila.core.policy import SECTIONS, Policy

DAY = 86_400
SUFFIXES = ("_ppm", "_seconds")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the file. ``section`` is empty for the fields at the top.

    ``kind``: share (millionths), decimal (millionths, may exceed 1), amount (atomic units), count, duration (seconds),
    text (bounds are lengths), choice or flag.
    """

    section: str
    attribute: str
    kind: str
    low: int
    high: int
    meaning: str
    choices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name in the file: the attribute without its unit."""
        for suffix in SUFFIXES:
            if self.attribute.endswith(suffix):
                return self.attribute.removesuffix(suffix)
        return self.attribute

    @property
    def path(self) -> str:
        """The name with its section, as errors and tables give it."""
        return f"{self.section}.{self.name}" if self.section else self.name

    def value_in(self, policy: Policy) -> Any:
        """Return this field's value in ``policy``."""
        return getattr(getattr(policy, self.section) if self.section else policy, self.attribute)


FIELDS: tuple[Field, ...] = (
    Field("", "name", "text", 1, 64, "What the DAO is called."),
    Field("", "version", "count", 1, 1_000_000, "Raised by one with every change of the rules."),
    Field("", "purpose", "text", 1, 200, "What contributors consent to; they sign it."),
    Field(
        "model",
        "task",
        "choice",
        0,
        0,
        "What the model does: tell the label, or find the answer.",
        ("classify", "retrieve"),
    ),
    Field("model", "ridge_ppm", "decimal", 1, 1_000 * PPM, "Strength of the ridge penalty; more means smoother."),
    Field("model", "bootstrap", "count", 10, 100_000, "Resamples behind the interval of the metric."),
    Field("records", "max_bytes", "count", 64, 1 << 20, "Largest record, in bytes of its canonical JSON."),
    Field("records", "max_records", "count", 1, 1_000_000, "Most records in one contribution."),
    Field("records", "min_chars", "count", 1, 10_000, "Shortest text, in characters."),
    Field(
        "records",
        "on_malformed",
        "choice",
        0,
        0,
        "A bad line: skip it and take the rest, or refuse the whole file.",
        ("skip", "refuse"),
    ),
    Field("checks", "min_quality_ppm", "share", 0, PPM, "Lowest quality of a record that is accepted."),
    Field(
        "checks", "minhash_jaccard_ppm", "share", PPM // 2, PPM, "Overlap of word sets from which two texts are one."
    ),
    Field(
        "checks", "near_cosine_ppm", "share", PPM // 2, PPM, "Cosine from which a record is reported as near another."
    ),
    Field("checks", "languages", "text", 2, 200, "Languages that are accepted, such as en, de; any for all."),
    Field("checks", "toxic_words", "text", 2, 300, "Words that are reported as toxic; default for the short list."),
    Field(
        "checks",
        "refuse",
        "choice",
        0,
        0,
        "Which findings refuse a record: none, personal data that is left, or all.",
        ("none", "personal", "all"),
    ),
    Field(
        "value", "theta_max_ppm", "share", PPM // 2, PPM, "Highest cosine to an earlier record that still gets a slot."
    ),
    Field("value", "theta_percentile", "count", 50, 100, "Percentile of neighbour cosines that may lower that limit."),
    Field("value", "coverage_k", "count", 1, 100, "Best records that count for one query."),
    Field("value", "delta_ppm", "share", 0, PPM // 2, "Margin by which a record must beat the reference corpus."),
    Field("value", "novelty_ppm", "share", 1, PPM, "Distance from which a record counts as wholly new."),
    Field("value", "check_k", "count", 1, 100, "Neighbours in the check that finds harmful records."),
    Field("value", "top", "count", 1, 4_096, "Records kept for one query before coverage is counted."),
    Field(
        "value", "tau_percentile", "count", 0, 100, "Percentile of best cosines below which a match is worth nothing."
    ),
    Field("value", "query_percentile", "count", 1, 100, "Percentile of queries' sums that one pays at most."),
    Field("pool", "treasury_cut_ppm", "share", 0, PPM, "Share of the fees that the treasury keeps."),
    Field(
        "pool", "target_lift_ppm", "share", 1, PPM, "Rise of the metric over the reference that pays the whole pool."
    ),
    Field("pool", "seed_pool", "amount", 0, 10**9 * UNIT, "What the treasury adds to every turn's pool."),
    Field("bond", "initial", "amount", 0, 10**6 * UNIT, "Bond for one record before any pay is known."),
    Field("bond", "multiplier", "count", 0, 100, "Bond as a multiple of a record's mean pay."),
    Field("bond", "newcomer_multiplier", "count", 0, 100, "The same for accounts without a settled turn."),
    Field("prices", "chat", "amount", 0, 1_000 * UNIT, "Price of one answer."),
    Field("prices", "search", "amount", 0, 1_000 * UNIT, "Price of one search."),
    Field("prices", "classify", "amount", 0, 1_000 * UNIT, "Price of one classification."),
    Field("prices", "embeddings", "amount", 0, 1_000 * UNIT, "Price of one call for embeddings."),
    Field(
        "channels",
        "withdraw_delay_seconds",
        "duration",
        900,
        30 * DAY,
        "How long a buyer's exit from a payment channel is announced ahead.",
    ),
    Field("channels", "claim_value", "amount", 1, 10**9 * UNIT, "Unclaimed pay of channels that is claimed at once."),
    Field("channels", "claim_age_seconds", "duration", 1, 30 * DAY, "How long a call of a channel stays unclaimed."),
    Field("queries", "per_turn", "count", 1, 100_000, "Validation queries drawn for a turn."),
    Field("queries", "max_weight", "count", 1, 100, "Most that feedback may multiply a query's weight by."),
    Field(
        "queries", "wash_margin", "count", 1, 100, "What a step of weight costs, in a query's parts of the last pool."
    ),
    Field("feedback", "learn", "flag", 0, 1, "Whether paid corrections become records of the treasury."),
    Field("arena", "models", "count", 1, 16, "Newest models of the line that meet in the arena; 1 closes it."),
    Field("arena", "gold_ppm", "share", 0, PPM // 2, "Share of arena calls that show an answer known to be worse."),
    Field("arena", "prefer_seconds", "duration", 60, 30 * DAY, "How long after its call a preference is taken."),
    Field("arena", "ridge_ppm", "decimal", 1, 100 * PPM, "Strength of the ridge that holds ratings near each other."),
    Field("arena", "residual_ppm", "decimal", PPM, 100 * PPM, "Standard errors of contradiction that drop a rater."),
    Field("reputation", "forget_ppm", "share", 0, PPM, "What evidence still counts when a turn has passed."),
    Field("reputation", "agreement_ppm", "share", 0, PPM, "What agreement with peers counts beside a gold."),
    Field("reputation", "slash", "count", 0, 10_000, "Wrong golds that a slash counts as."),
    Field("reputation", "least_golds", "count", 1, 1_000, "Golds before an account's word weighs anything."),
    Field("reputation", "tier_stake", "amount", 1, 10**9 * UNIT, "Stake of the first tier; the next take 10 and 100."),
    Field("reputation", "tier_free", "count", 0, 10**6, "Open preferences and tasks without a stake."),
    Field("reputation", "tier_open", "count", 1, 10**6, "The same in the first tier; 10 and 100 times in the next."),
    Field(
        "challenge", "window_seconds", "duration", 1, 30 * DAY, "How long a posted root can be disputed before claims."
    ),
    Field("challenge", "root_bond", "amount", 0, 10**9 * UNIT, "What stands behind a posted root."),
    Field("token", "name", "text", 1, 64, "What the DAO's token is called; voting power and reward for data."),
    Field("token", "symbol", "text", 1, 11, "The token's short name, as wallets show it."),
    Field("token", "cap", "count", 1, 10**12, "Most whole tokens there can ever be."),
    Field("token", "founders", "count", 1, 10**12, "Whole tokens made at launch for the founders' account."),
    Field("token", "per_turn", "count", 0, 10**12, "Whole tokens that one turn may issue at first."),
    Field("token", "halving_turns", "count", 1, 1_000_000, "Turns after which what one turn may issue is halved."),
    Field(
        "governance", "voting_delay_seconds", "duration", 1, 30 * DAY, "From a proposal to its vote; power counts then."
    ),
    Field("governance", "voting_period_seconds", "duration", 1, 30 * DAY, "How long a proposal can be voted on."),
    Field("governance", "proposal_threshold_ppm", "share", 1, PPM // 20, "Share of the cap that it takes to propose."),
    Field("governance", "quorum_percent", "count", 1, 50, "Percent of all tokens that must take part in a vote."),
    Field("governance", "timelock_seconds", "duration", 1, 30 * DAY, "From a decided proposal to its execution."),
)
"""Every field of a policy, in the order of the file."""

SECTION_MEANINGS: dict[str, str] = {
    "model": "The vertical model and how it is measured.",
    "records": "What a contribution may hold.",
    "checks": "Thresholds of the checks that make a proof.",
    "value": "How much a record is worth: coverage of the queries, novelty, harm.",
    "pool": "How fees become the pool of a turn.",
    "bond": "What contributors put behind their records.",
    "prices": "What a call costs, in the settlement token.",
    "channels": "Payment channels of buyers: exits and claims.",
    "queries": "The committed validation queries.",
    "feedback": "What is done with what people say about answers.",
    "arena": "The blind arena of the model line.",
    "reputation": "What an account's word is worth, and how much work it may have open.",
    "challenge": "How a settlement can be disputed.",
    "token": "The DAO's token and the supply rule that holds for ever.",
    "governance": "How the holders of the token decide.",
}

DEFAULTS = Policy(name="")
BY_SECTION: dict[str, tuple[Field, ...]] = {
    section: tuple(field for field in FIELDS if field.section == section) for section in ("", *SECTIONS)
}


def field_named(section: str, name: str) -> Field | None:
    """Return the field called ``name`` in ``section``, or None."""
    return next((field for field in BY_SECTION.get(section, ()) if field.name == name), None)
