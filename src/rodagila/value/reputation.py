"""What an account's word is worth: gold skill, reputation from evidence, and the tier of its stake.

    reputation = (r + 1) / (r + s + 2),   r = sum over turns of f^(now - turn) good,   s likewise of bad
        good = golds right + a x agreements,   bad = golds wrong + a x disagreements + k x slashes
    skill      = clip((LCB95(golds right of golds asked) - chance) / (1 - chance), 0, 1), 0 below ``least_golds``
    weight     = min(skill, reputation)
    tier       = 0 below ``tier_stake``, then 1, 2, 3 from 1, 10, 100 times as much
    open work  = ``tier_free`` in tier 0, else ``tier_open`` x 10^(tier - 1)

Beta reputation with forgetting f: a turn's evidence counts less with each turn that passes; agreement with peers is
weaker evidence than a gold (a < 1), a slash is worth many wrong golds. The skill is the same lower bound that pays
answers (``value.rater_pay``), so one function says how far golds qualify an account, for labels and preferences alike.
Stake and open work grow alike from tier to tier: splitting a stake over many accounts opens no more.

All numbers are integers, millionths where the name says ``ppm``: whoever has the evidence gets the same.

Source: Josang and Ismail, The Beta Reputation System, 2002; MECHANISM 2.

>>> reputation_of([Evidence(turn=1, right=8)], now=1).mean_ppm
900000
>>> gold_skill_ppm(GoldRecord(20, 20))
677748
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM
from rodagila.core.policy import ReputationRules
from rodagila.value.rater_pay import GoldRecord, gate_ppm

CHANCE_PPM = 500_000
"""What a blind choice between two sides gets right."""
TIERS = 4


DEFAULT_RULES = ReputationRules()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one turn showed of an account: golds, agreement with peers, slashes; counts of at least 0."""

    turn: int
    right: int = 0
    wrong: int = 0
    agreed: int = 0
    disagreed: int = 0
    slashes: int = 0

    def __post_init__(self) -> None:
        counts = (self.turn, self.right, self.wrong, self.agreed, self.disagreed, self.slashes)
        if min(counts) < 0:
            raise InvalidInput("value_inputs", f"Evidence counts what happened; {min(counts)} cannot be.")


@dataclass(frozen=True, slots=True)
class Reputation:
    """Evidence for and against an account, aged, in millionths of one gold."""

    good_ppm: int
    bad_ppm: int

    @property
    def mean_ppm(self) -> int:
        """The expected share of good conduct; one half where nothing is known."""
        return (self.good_ppm + PPM) * PPM // (self.good_ppm + self.bad_ppm + 2 * PPM)

    @property
    def unsure_ppm(self) -> int:
        """How little is known: 1 without evidence, falling to 0 (Josang's uncertainty)."""
        return 2 * PPM * PPM // (self.good_ppm + self.bad_ppm + 2 * PPM)


def reputation_of(evidence: Iterable[Evidence], now: int, rules: ReputationRules = DEFAULT_RULES) -> Reputation:
    """Return an account's reputation in turn ``now``; evidence of later turns is not known yet and left out."""
    good, bad = [0] * (now + 1), [0] * (now + 1)
    for item in evidence:
        if item.turn <= now:
            good[item.turn] += item.right * PPM + item.agreed * rules.agreement_ppm
            bad[item.turn] += (item.wrong + rules.slash * item.slashes) * PPM + item.disagreed * rules.agreement_ppm
    return Reputation(_aged(good, rules.forget_ppm), _aged(bad, rules.forget_ppm))


def golds_in(evidence: Iterable[Evidence]) -> GoldRecord:
    """Return the golds in ``evidence``, all turns together."""
    listed = tuple(evidence)
    right = sum(item.right for item in listed)
    return GoldRecord(right + sum(item.wrong for item in listed), right)


def gold_skill_ppm(gold: GoldRecord, chance_ppm: int = CHANCE_PPM, rules: ReputationRules = DEFAULT_RULES) -> int:
    """Return how far golds qualify an account, millionths: the lower bound of its accuracy above ``chance_ppm``."""
    return gate_ppm(gold, chance_ppm, rules.least_golds)


def weight_ppm(
    evidence: Iterable[Evidence], now: int, rules: ReputationRules = DEFAULT_RULES, chance_ppm: int = CHANCE_PPM
) -> int:
    """Return what an account's word weighs in turn ``now``: the lesser of its skill and its reputation."""
    known = tuple(item for item in evidence if item.turn <= now)
    return min(gold_skill_ppm(golds_in(known), chance_ppm, rules), reputation_of(known, now, rules).mean_ppm)


def tier_of(stake: int, rules: ReputationRules = DEFAULT_RULES) -> int:
    """Return the tier, 0 to 3, of a stake in atomic units."""
    return sum(stake >= rules.tier_stake * 10**power for power in range(TIERS - 1))


def open_work(stake: int, rules: ReputationRules = DEFAULT_RULES) -> int:
    """Return how many preferences or tasks of a running turn an account with this stake may weigh."""
    tier = tier_of(stake, rules)
    return rules.tier_open * 10 ** (tier - 1) if tier else rules.tier_free


def _aged(by_turn: list[int], forget_ppm: int) -> int:
    total = 0
    for amount in by_turn:  # Horner's rule, oldest first, floors at each turn
        total = total * forget_ppm // PPM + amount
    return total
