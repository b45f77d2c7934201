"""Settlement: from values to money, in integers with floors (MECHANISM 1, steps 7 and 8).

    payable  = floor(pool * lambda_ppm / 10^6)
    pay_i    = floor(payable * v_i / sum of v over s >= 0)   if s_i >= 0, else 0
    slash_i  = min(bond_i, floor(|s_i| * payable / sum of s over slots with s > 0))   if s_i < 0
    dust     = payable - paid,   rollover = pool - payable   (the whole pool where nobody earns)

``paid + dust + rollover == pool`` to the unit. Floors are taken per record, so an owner's total is the sum over her
records however many accounts hold them. Only records of this turn's contributions carry a bond,
``floor(contribution bond / count)`` each, and only they can be slashed.

>>> settle(SettlementInputs(1, 100, 500_000, (), (), (), (), {})).rollover
100
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rodagila.core.errors import InvalidInput, RodaError
from rodagila.core.money import PPM, share_of
from rodagila.core.policy import PoolRules


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
    """

    turn: int
    pool: int
    lambda_ppm: int
    contributions: tuple[BondedContribution, ...]
    source: Sequence[int]
    v: Sequence[int]
    s: Sequence[int]
    previous: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a turn pays. ``pays`` and ``slashes`` by record; ``payouts`` by account, this turn, positive ones only;

    ``slash_of`` by contribution id, for every bonded contribution of the turn; ``cumulative`` by account, all turns.
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


def pool_of(fees: int, rules: PoolRules, rollover_in: int) -> int:
    """Return ``floor(fees * (1 - cut)) + seed_pool + rollover_in`` in atomic units."""
    return share_of(fees, PPM - rules.treasury_cut_ppm) + rules.seed_pool + rollover_in


def lambda_of(lift_ppm: int, rules: PoolRules) -> int:
    """Return lambda in millionths: ``clip(lift / target lift, 0, 1)``; a target of 0 means any lift of 0 or more."""
    if rules.target_lift_ppm <= 0:
        return PPM if lift_ppm >= 0 else 0
    return min(PPM, max(0, lift_ppm * PPM // rules.target_lift_ppm))


def settle(inputs: SettlementInputs) -> Settlement:
    """Return the settlement; raises ``InvalidInput`` for impossible inputs, ``RodaError`` if a law does not hold."""
    _check(inputs)
    payable = share_of(inputs.pool, inputs.lambda_ppm)
    pays = _pays(payable, inputs.v, inputs.s)
    paid = sum(pays)
    earned = paid > 0 or any(v > 0 and s >= 0 for v, s in zip(inputs.v, inputs.s, strict=True))
    slashes = _slashes(inputs, payable)
    payouts = _payouts(inputs, pays)
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
    )
    _hold(inputs, settlement)
    return settlement


def _pays(payable: int, values: Sequence[int], signed: Sequence[int]) -> tuple[int, ...]:
    total = sum(v for v, s in zip(values, signed, strict=True) if s >= 0)
    if total == 0:
        return (0,) * len(values)
    return tuple(payable * v // total if s >= 0 else 0 for v, s in zip(values, signed, strict=True))


def _slashes(inputs: SettlementInputs, payable: int) -> tuple[int, ...]:
    total = sum(s for s in inputs.s if s > 0)
    slashes = []
    for s, source in zip(inputs.s, inputs.source, strict=True):
        given = inputs.contributions[source]
        bond = given.bond // given.count if given.turn == inputs.turn else 0
        # Where nothing at all is positive there is no scale to measure harm by, and nobody is slashed.
        slashes.append(min(bond, -s * payable // total) if s < 0 and total else 0)
    return tuple(slashes)


def _payouts(inputs: SettlementInputs, pays: Sequence[int]) -> dict[str, int]:
    totals: defaultdict[str, int] = defaultdict(int)
    for pay, source in zip(pays, inputs.source, strict=True):
        if pay:
            totals[inputs.contributions[source].owner] += pay
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
    }
    for law, holds in laws.items():
        if not holds:
            raise RodaError("invariant_broken", f"Settlement of turn {done.turn} breaks a law: {law}.")
