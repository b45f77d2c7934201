"""Settlement: from values to money and tokens, in integers with floors (MECHANISM 1, steps 7 and 8).

    payable  = floor(pool * lambda_ppm / 10^6)
    pay_i    = floor(payable * v_i / sum of v over s >= 0)   if s_i >= 0, else 0
    slash_i  = min(bond_i, floor(|s_i| * payable / sum of s over slots with s > 0))   if s_i < 0
    dust     = payable - paid,   rollover = pool - payable   (the whole pool where nobody earns)
    issue_i  = floor(issuable * v_i / sum of v over s >= 0)   if s_i >= 0, else 0
    issuable = schedule(turn) - schedule(turn - 1)
    schedule(turn) = min(cap - founders, sum of floor(per_turn / 2^((t - 1) div halving_turns)) over t = 1 .. turn)

The DAO's tokens are split like the pay, whatever lambda is: who brings data before the model earns gets a say. What a
turn does not issue is never issued. ``paid + dust + rollover == pool`` to the unit. Floors are taken per record, so an
owner's total is the sum over her records however many accounts hold them. Only records of this turn's contributions
carry a bond, ``floor(contribution bond / count)`` each, and only they can be slashed.

>>> settle(SettlementInputs(1, 100, 500_000, (), (), (), (), {}, 0, {})).rollover
100
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rodagila.core.errors import InvalidInput, RodaError
from rodagila.core.money import PPM, TOKEN_UNIT, share_of
from rodagila.core.policy import PoolRules, TokenRules


@dataclass(frozen=True, slots=True)
class BondedContribution:
    """What settlement needs of a contribution: ``count`` records given (accepted or not), ``bond`` in atomic units."""

    id: bytes
    owner: str
    turn: int
    count: int
    bond: int


@dataclass(frozen=True, slots=True)
class SettlementInputs:
    """``source[i]`` is the index in ``contributions`` of accepted record i; ``v`` and ``s`` its value and check.

    Slots alone have a value or a check other than 0. ``previous``: cumulative payouts by account before this turn.
    ``issuable``: atomic units of the DAO's token that the turn may issue; ``previous_issued`` as ``previous``.
    """

    turn: int
    pool: int
    lambda_ppm: int
    contributions: tuple[BondedContribution, ...]
    source: Sequence[int]
    v: Sequence[int]
    s: Sequence[int]
    previous: Mapping[str, int]
    issuable: int
    previous_issued: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a turn pays and issues. ``pays``, ``slashes`` and ``issues`` by record.

    ``payouts`` and ``tokens`` by account, this turn, positive ones only; ``slash_of`` by contribution id, for every
    bonded contribution of the turn; ``cumulative`` and ``cumulative_issued`` by account, all turns.
    """

    turn: int
    pool: int
    lambda_ppm: int
    payable: int
    paid: int
    dust: int
    rollover: int
    pays: tuple[int, ...]
    slashes: tuple[int, ...]
    payouts: dict[str, int]
    slash_of: dict[bytes, int]
    cumulative: dict[str, int]
    issuable: int
    issued: int
    issues: tuple[int, ...]
    tokens: dict[str, int]
    cumulative_issued: dict[str, int]


def pool_of(fees: int, rules: PoolRules, rollover_in: int) -> int:
    """Return ``floor(fees * (1 - cut)) + seed_pool + rollover_in`` in atomic units."""
    return share_of(fees, PPM - rules.treasury_cut_ppm) + rules.seed_pool + rollover_in


def lambda_of(lift_ppm: int, rules: PoolRules) -> int:
    """Return lambda in millionths: ``clip(lift / target lift, 0, 1)``; a target of 0 means any lift of 0 or more."""
    if rules.target_lift_ppm <= 0:
        return PPM if lift_ppm >= 0 else 0
    return min(PPM, max(0, lift_ppm * PPM // rules.target_lift_ppm))


def issuable_of(turn: int, rules: TokenRules) -> int:
    """Return the atomic units of the DAO's token that ``turn`` may issue, as its contract computes it."""
    return schedule_of(turn, rules) - schedule_of(turn - 1, rules)


def schedule_of(turn: int, rules: TokenRules) -> int:
    """Return the most that the turns up to ``turn`` may issue together."""
    total, most, left = 0, rules.per_turn * TOKEN_UNIT, turn
    while most and left:
        turns = min(left, rules.halving_turns)
        total, most, left = total + turns * most, most >> 1, left - turns
    return min(total, (rules.cap - rules.founders) * TOKEN_UNIT)


def settle(inputs: SettlementInputs) -> Settlement:
    """Return the settlement; raises ``InvalidInput`` for impossible inputs, ``RodaError`` if a law does not hold."""
    _check(inputs)
    payable = share_of(inputs.pool, inputs.lambda_ppm)
    pays, issues = _shares(payable, inputs.v, inputs.s), _shares(inputs.issuable, inputs.v, inputs.s)
    paid = sum(pays)
    earned = paid > 0 or any(v > 0 and s >= 0 for v, s in zip(inputs.v, inputs.s, strict=True))
    slashes = _slashes(inputs, payable)
    payouts, tokens = _by_owner(inputs, pays), _by_owner(inputs, issues)
    settlement = Settlement(
        turn=inputs.turn,
        pool=inputs.pool,
        lambda_ppm=inputs.lambda_ppm,
        payable=payable,
        paid=paid,
        dust=payable - paid if earned else 0,
        rollover=inputs.pool - payable if earned else inputs.pool,
        pays=pays,
        slashes=slashes,
        payouts=payouts,
        slash_of=_slash_of(inputs, slashes),
        cumulative=_add(inputs.previous, payouts),
        issuable=inputs.issuable,
        issued=sum(issues),
        issues=issues,
        tokens=tokens,
        cumulative_issued=_add(inputs.previous_issued, tokens),
    )
    _hold(inputs, settlement)
    return settlement


def _shares(amount: int, values: Sequence[int], signed: Sequence[int]) -> tuple[int, ...]:
    total = sum(v for v, s in zip(values, signed, strict=True) if s >= 0)
    if total == 0:
        return (0,) * len(values)
    return tuple(amount * v // total if s >= 0 else 0 for v, s in zip(values, signed, strict=True))


def _slashes(inputs: SettlementInputs, payable: int) -> tuple[int, ...]:
    total = sum(s for s in inputs.s if s > 0)
    slashes = []
    for s, source in zip(inputs.s, inputs.source, strict=True):
        given = inputs.contributions[source]
        bond = given.bond // given.count if given.turn == inputs.turn else 0
        # Where nothing at all is positive there is no scale to measure harm by, and nobody is slashed.
        slashes.append(min(bond, -s * payable // total) if s < 0 and total else 0)
    return tuple(slashes)


def _by_owner(inputs: SettlementInputs, shares: Sequence[int]) -> dict[str, int]:
    totals: defaultdict[str, int] = defaultdict(int)
    for share, source in zip(shares, inputs.source, strict=True):
        if share:
            totals[inputs.contributions[source].owner] += share
    return dict(sorted(totals.items()))


def _slash_of(inputs: SettlementInputs, slashes: Sequence[int]) -> dict[bytes, int]:
    totals = {given.id: 0 for given in inputs.contributions if given.turn == inputs.turn and given.bond > 0}
    for slash, source in zip(slashes, inputs.source, strict=True):
        if slash:
            totals[inputs.contributions[source].id] += slash
    return totals


def _add(previous: Mapping[str, int], payouts: Mapping[str, int]) -> dict[str, int]:
    accounts = sorted(set(previous) | set(payouts))
    return {account: previous.get(account, 0) + payouts.get(account, 0) for account in accounts}


def _check(inputs: SettlementInputs) -> None:
    if not len(inputs.v) == len(inputs.s) == len(inputs.source):
        raise InvalidInput("value_inputs", "Every record needs one value, one check and one contribution.")
    if inputs.issuable < 0:
        raise InvalidInput("value_inputs", "A turn may issue at least 0 tokens.")
    if inputs.pool < 0 or not 0 <= inputs.lambda_ppm <= PPM:
        raise InvalidInput("value_inputs", "The pool must be at least 0 and lambda between 0 and 1,000,000 millionths.")
    if any(v < 0 for v in inputs.v) or any(given.count < 1 or given.bond < 0 for given in inputs.contributions):
        raise InvalidInput("value_inputs", "Values and bonds must be at least 0 and counts at least 1.")
    if len({given.id for given in inputs.contributions}) != len(inputs.contributions):
        raise InvalidInput("value_inputs", "A contribution is listed twice.")


def _hold(inputs: SettlementInputs, done: Settlement) -> None:
    """Raise unless the laws of the module's docstring hold; a settlement that breaks one must never be posted."""
    bonds = {given.id: given.bond for given in inputs.contributions}
    laws = {
        "paid + dust + rollover = pool": done.paid + done.dust + done.rollover == done.pool,
        "payouts sum to what is paid": sum(done.payouts.values()) == done.paid,
        "nothing is negative": min(done.paid, done.dust, done.rollover, *done.pays, *done.slashes) >= 0,
        "a slash is at most the bond": all(slash <= bonds[key] for key, slash in done.slash_of.items()),
        "cumulative payouts never fall": all(done.cumulative[a] >= paid for a, paid in inputs.previous.items()),
        "tokens sum to what is issued": sum(done.tokens.values()) == done.issued,
        "no more is issued than the supply rule allows": 0 <= done.issued <= done.issuable,
        "cumulative tokens never fall": all(
            done.cumulative_issued[a] >= held for a, held in inputs.previous_issued.items()
        ),
    }
    for law, holds in laws.items():
        if not holds:
            raise RodaError("invariant_broken", f"Settlement of turn {done.turn} breaks a law: {law}.")
