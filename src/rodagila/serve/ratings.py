"""Ratings of a model line as a file that anyone recomputes: signed preferences in, strengths with intervals out.

    golds     preferences on calls that showed a decoy: right if the other side is preferred
    weight    value.reputation, from those golds and the evidence of the file
    counted   of an account's preferences in one turn the first ``open_work(stake)``, by time, then receipt
    ratings   value.preferences over what is counted

``checked`` rebuilds all of it: every receipt is signed by the gateway for a call of the arena that its payer paid,
every preference is signed by that payer, no receipt is used twice, and where a roster's seed is revealed it hashes to
the commitment and draws the very models that the file names. What the file cannot prove alone is that the gateway left
no preference out: its payer holds the receipt, and finds it in the file or not.

>>> rating_file(domain, gateway, dao, 3, policy, rosters, rows, {}, {}, now)["result"]["ratings"]  # doctest: +SKIP
[{'model': 'docs-3', 'rating_ppm': 412300, 'low_ppm': 120100, 'high_ppm': 704500, ...}]
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rodagila.core.errors import InvalidInput, RodaError
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.messages import Domain, Preference, signer_of
from rodagila.core.money import PPM
from rodagila.core.policy import ArenaRules, Policy, ReputationRules
from rodagila.market.prices import ARENA
from rodagila.market.receipts import SignedReceipt
from rodagila.serve.arena import DECOY, SIDES, TIE, PreferenceRow, Roster, draw
from rodagila.serve.schemas import Address, Hash
from rodagila.value.preferences import Ratings, Vote, rate
from rodagila.value.reputation import Evidence, golds_in, open_work, reputation_of, weight_ppm

FORMAT = "rodagila-ratings-1"
TOLERANCE_PPM = 10
"""By how much recomputed ratings may differ: sums of floats depend on the machine's order of adding."""

Values = dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Roster(_Strict):
    commitment: Hash
    number: int
    models: list[str] = Field(min_length=2, max_length=64)
    gold_ppm: int
    prefer_seconds: int
    opened: int
    closed: int | None
    seed: Hash | None


class _Preference(_Strict):
    receipt: dict[str, Any]
    pair: list[str] = Field(min_length=3, max_length=3)
    account: Address
    preferred: Literal["a", "b", "tie"]
    expires: int
    signature: str = Field(pattern=r"^0x[0-9a-fA-F]{130}$")
    created: int


class _Evidence(_Strict):
    turn: int = Field(ge=0, le=10**6)
    right: int = Field(0, ge=0)
    wrong: int = Field(0, ge=0)
    agreed: int = Field(0, ge=0)
    disagreed: int = Field(0, ge=0)
    slashes: int = Field(0, ge=0)


class _Domain(_Strict):
    chain_id: int
    registry: Address


class _File(_Strict):
    format: Literal["rodagila-ratings-1"]
    domain: _Domain
    gateway: Address
    dao: str
    turn: int = Field(ge=0, le=10**6)
    arena: dict[str, int]
    reputation: dict[str, int]
    rosters: list[_Roster]
    preferences: list[_Preference]
    evidence: dict[str, list[_Evidence]]
    stakes: dict[str, int]
    result: dict[str, Any] = Field(default_factory=dict)


def rating_file(
    domain: Domain,
    gateway: str,
    dao: str,
    turn: int,
    policy: Policy,
    rosters: Iterable[Roster],
    rows: Iterable[PreferenceRow],
    evidence: Mapping[str, Sequence[Evidence]],
    stakes: Mapping[str, int],
    now: int,
) -> Values:
    """Return the file of a DAO's ratings in ``turn``; seeds that preferences may still depend on stay hidden.

    ``evidence`` is what is known of accounts beside the arena's golds, ``stakes`` atomic units as evaluators.
    """
    rows = list(rows)
    accounts = {row.account for row in rows}
    body = {
        "format": FORMAT,
        "domain": {"chain_id": domain.chain_id, "registry": domain.registry},
        "gateway": gateway,
        "dao": dao,
        "turn": turn,
        "arena": asdict(policy.arena),
        "reputation": asdict(policy.reputation),
        "rosters": [_roster_as_json(roster, now) for roster in rosters],
        "preferences": [_row_as_json(row) for row in rows],
        "evidence": {name: [asdict(item) for item in evidence[name]] for name in sorted(accounts & set(evidence))},
        "stakes": {name: stakes[name] for name in sorted(accounts & set(stakes))},
    }
    return {**body, "result": _result(_File.model_validate(body))}


def checked(body: Any) -> Values:
    """Return the result of a file after recomputing it from what was signed.

    Raises ``InvalidInput`` (``ratings_invalid``) for what is no such file or holds what nobody signed, and
    ``RodaError`` (``audit_mismatch``) if the result is another.
    """
    file = _parsed(body)
    _check_signed(file)
    _check_draws(file)
    found = _result(file)
    difference = _difference(found, file.result)
    if difference:
        raise RodaError(
            "audit_mismatch",
            f"The file's {difference} is not what its preferences give.",
            hint="Ask the gateway for the ratings again, and tell its operator if they still differ.",
        )
    return found


def _result(file: _File) -> Values:
    golds = _golds(file)
    arena, rules = ArenaRules(**file.arena), ReputationRules(**file.reputation)
    accounts = sorted({entry.account for entry in file.preferences}, key=str.lower)
    known = {
        name: [*(Evidence(**item.model_dump()) for item in file.evidence.get(name, [])), *golds[name]]
        for name in accounts
    }
    weights = {name: weight_ppm(known[name], file.turn, rules) for name in accounts}
    counted, beyond = _counted(file, rules)
    models = sorted({model for roster in file.rosters for model in roster.models}, key=_by_turn)
    place, rater = ({name: at for at, name in enumerate(names)} for names in (models, accounts))
    votes = [
        Vote(rater[entry.account], place[entry.pair[1]], place[entry.pair[2]], _outcome(entry)) for entry in counted
    ]
    found = rate(
        votes,
        models=len(models),
        weights=[weights[name] / PPM for name in accounts],
        ridge=arena.ridge_ppm / PPM,
        residual=arena.residual_ppm / PPM,
    )
    heard = {name for name in accounts if weights[name] and rater[name] not in found.residuals}
    return {
        "ratings": _rated(found, models, [vote for vote in votes if accounts[vote.rater] in heard]),
        "raters": [
            _rater(
                name, known[name], file.turn, rules, weights[name], counted, beyond, found.residuals.get(rater[name])
            )
            for name in accounts
        ],
    }


def _rated(found: Ratings, models: Sequence[str], votes: Sequence[Vote]) -> list[Values]:
    tally: dict[int, Counter[float]] = defaultdict(Counter)
    for vote in votes:
        tally[vote.first][vote.outcome] += 1
        tally[vote.second][1 - vote.outcome] += 1
    return [
        {
            "model": models[model],
            "rating_ppm": round(PPM * float(found.strengths[model])),
            "low_ppm": round(PPM * float(found.low[model])),
            "high_ppm": round(PPM * float(found.high[model])),
            "preferences": tally[model].total(),
            "won": tally[model][1.0],
            "tied": tally[model][0.5],
            "lost": tally[model][0.0],
        }
        for model in found.ranking()
    ]


def _rater(
    name: str,
    known: Sequence[Evidence],
    turn: int,
    rules: ReputationRules,
    weight: int,
    counted: Sequence[_Preference],
    beyond: Counter[str],
    residual: float | None,
) -> Values:
    gold = golds_in(item for item in known if item.turn <= turn)
    why = ""
    if not weight and gold.asked < rules.least_golds:
        why = f"{gold.asked} of {rules.least_golds} golds answered"
    elif not weight:
        why = f"{gold.right} of {gold.asked} golds right is not above chance"
    elif residual is not None:
        why = f"contradicts the others: residual {residual:.2f}"
    return {
        "account": name,
        "counts": not why,
        "why": why,
        "golds": gold.asked,
        "right": gold.right,
        "reputation_ppm": reputation_of(known, turn, rules).mean_ppm,
        "weight_ppm": weight,
        "preferences": sum(entry.account == name for entry in counted),
        "beyond_tier": beyond[name],
    }


def _golds(file: _File) -> dict[str, list[Evidence]]:
    found: dict[str, list[Evidence]] = defaultdict(list)
    for entry in file.preferences:
        if DECOY in entry.pair[1:]:
            better = SIDES[1 - entry.pair[1:].index(DECOY)]
            right = entry.preferred == better
            found[entry.account].append(Evidence(_turn_of(entry), right=int(right), wrong=int(not right)))
    return found


def _counted(file: _File, rules: ReputationRules) -> tuple[list[_Preference], Counter[str]]:
    used: Counter[tuple[str, int]] = Counter()
    counted, beyond = [], Counter[str]()
    for entry in sorted(file.preferences, key=lambda entry: (entry.created, str(entry.receipt["id"]))):
        if DECOY in entry.pair[1:]:
            continue
        slot = entry.account, _turn_of(entry)
        used[slot] += 1
        if used[slot] > open_work(file.stakes.get(entry.account, 0), rules):
            beyond[entry.account] += 1
        else:
            counted.append(entry)
    return counted, beyond


def _outcome(entry: _Preference) -> float:
    return 0.5 if entry.preferred == TIE else float(entry.preferred == SIDES[0])


def _turn_of(entry: _Preference) -> int:
    return int(entry.receipt["receipt"]["turn"])


def _by_turn(model: str) -> tuple[str, int]:
    dao, _, turn = model.rpartition("-")
    return dao, int(turn) if turn.isdigit() else 0


def _parsed(body: Any) -> _File:
    try:
        file = _File.model_validate(body)
        ArenaRules(**file.arena), ReputationRules(**file.reputation)
    except (ValidationError, TypeError) as error:
        first = str(error).splitlines()[0]
        if isinstance(error, ValidationError):
            found = error.errors()[0]
            first = f"{'.'.join(str(part) for part in found['loc'])}: {found['msg'].lower()}"
        raise _invalid(f"This is not a file of ratings: {first[:200]}.") from error
    return file


def _check_signed(file: _File) -> None:
    domain, seen = Domain(file.domain.chain_id, file.domain.registry), set()
    for number, entry in enumerate(file.preferences, 1):
        try:
            signed = SignedReceipt.from_json(entry.receipt)
        except (RodaError, ValueError, KeyError, TypeError) as error:
            raise _invalid(f"Preference {number} has no receipt that can be read.") from error
        receipt = signed.receipt
        if (signed.domain, signed.signer()) != (domain, file.gateway):
            raise _invalid(f"The receipt of preference {number} is not signed by the gateway for this DAO.")
        if receipt.route != ARENA or receipt.payer != entry.account:
            raise _invalid(f"The receipt of preference {number} is not of an arena call that {entry.account} paid.")
        message = Preference(signed.id, entry.account, entry.preferred, entry.expires)
        if signer_of(domain, message, from_hex(entry.signature)) != entry.account:
            raise _invalid(f"Preference {number} is not signed by {entry.account}.")
        if entry.created > entry.expires:
            raise _invalid(f"Preference {number} was taken after it expired.")
        if signed.id in seen:
            raise _invalid(f"Preference {number} uses a receipt that gave its preference before.")
        seen.add(signed.id)


def _check_draws(file: _File) -> None:
    rosters = {roster.commitment.lower(): roster for roster in file.rosters}
    for roster in file.rosters:
        if roster.seed is not None and keccak(from_hex(roster.seed)) != from_hex(roster.commitment):
            raise _invalid(f"The seed of roster {roster.number} does not hash to its commitment.")
    for number, entry in enumerate(file.preferences, 1):
        met = rosters.get(entry.pair[0].lower())
        if met is None or not set(entry.pair[1:]) <= {*met.models, DECOY} or entry.pair[1] == entry.pair[2]:
            raise _invalid(f"Preference {number} names models that no roster of the file let meet.")
        if met.seed is not None and not _drawn(met, entry):
            raise _invalid(f"Preference {number} is on other models than the seed drew for its payment.")


def _drawn(roster: _Roster, entry: _Preference) -> bool:
    assert roster.seed is not None
    payment = from_hex(entry.receipt["receipt"]["payment"])
    found = draw(from_hex(roster.seed), payment, roster.models, roster.gold_ppm)
    shown = list(found.pair)
    if DECOY in entry.pair[1:]:
        shown[found.decoy_side] = DECOY
        return found.gold and shown == entry.pair[1:]
    return shown == entry.pair[1:]  # a gold is made only where one answer is known to be worse


def _difference(found: Any, given: Any, where: str = "result") -> str:
    """Return the place of the first difference, empty if there is none."""
    if isinstance(found, dict) and isinstance(given, dict) and found.keys() == given.keys():
        return next(filter(None, (_difference(found[key], given[key], f"{where}.{key}") for key in found)), "")
    if isinstance(found, list) and isinstance(given, list) and len(found) == len(given):
        parts = enumerate(zip(found, given, strict=True))
        return next(filter(None, (_difference(*pair, f"{where}[{at}]") for at, pair in parts)), "")
    near = (
        where.endswith("_ppm") and isinstance(found, int) and isinstance(given, int)
        and abs(found - given) <= TOLERANCE_PPM
    )  # fmt: skip
    return "" if near or (type(found) is type(given) and found == given) else where


def _roster_as_json(roster: Roster, now: int) -> Values:
    return {
        "commitment": hex0x(roster.commitment),
        "number": roster.number,
        "models": list(roster.models),
        "gold_ppm": roster.gold_ppm,
        "prefer_seconds": roster.prefer_seconds,
        "opened": roster.opened,
        "closed": roster.closed,
        "seed": hex0x(roster.seed) if roster.revealed(now) else None,
    }


def _row_as_json(row: PreferenceRow) -> Values:
    return {
        "receipt": row.receipt.as_json(),
        "pair": list(row.pair),
        "account": row.account,
        "preferred": row.preferred,
        "expires": row.expires,
        "signature": hex0x(row.signature),
        "created": row.created,
    }


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("ratings_invalid", message, hint="Get the file from the gateway: GET /v1/arena/MODEL/ratings.")
