"""Ranking models by evaluators' weights: sealed until all have committed, then judged by Yuma 3 (MECHANISM 3).

An evaluator's *weights* say how much each model is worth. They are hashed into what the Stake contract's round takes
from each evaluator, so weights are bound to the account and to the round, and nobody reads them before they are opened:

    hash  = json_hash({"format", "round", "account", "weights"})
    salt  = keccak(hash | secret)          secret: 32 bytes that the evaluator opens together with the weights
    score = the first 12 bytes of hash     what the contract shows when it is opened; it also checks the salt

Who copies weights can copy those of earlier rounds only. The ranking of a round is a file that holds the opened
weights, the stakes that the contract heard, and the bonds that Yuma carries over; each names the hash of the one
before, so that anyone recomputes the chain of them. An evaluator with a seat that opened no weights abstains.

>>> sealed = SealedWeights(bytes(32), "0x" + "11" * 20, {"docs-1": 1, "docs-2": 3}, b"s" * 32)
>>> sealed.score == int.from_bytes(sealed.hash[:12], "big")
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rodagila.core.canonical import json_hash
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import from_hex, hex0x, keccak
from rodagila.core.money import PPM
from rodagila.value.yuma import Judgement, judge

WEIGHTS_FORMAT = "rodagila-weights-1"
RANKING_FORMAT = "rodagila-ranking-1"
MAX_MODELS = 1_024
MAX_WEIGHT = 10**9

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SealedWeights:
    """Weights of one account in one round (32 bytes), whole numbers by model, and the secret that seals them."""

    round: bytes
    account: str
    weights: Mapping[str, int]
    secret: bytes

    def __post_init__(self) -> None:
        named = all(isinstance(name, str) and 0 < len(name) <= 128 for name in self.weights)
        whole = all(type(weight) is int and 0 <= weight <= MAX_WEIGHT for weight in self.weights.values())
        if not (named and whole and 0 < len(self.weights) <= MAX_MODELS and any(self.weights.values())):
            raise _invalid(
                f"Weights name 1 to {MAX_MODELS:,} models, each with a whole number of 0 to {MAX_WEIGHT:,}, not all 0."
            )
        if len(self.round) != 32 or len(self.secret) != 32:
            raise _invalid("Weights are sealed for a round's 32-byte id with a secret of 32 bytes.")

    @property
    def hash(self) -> bytes:
        """What the commitment binds, 32 bytes."""
        body = {"format": WEIGHTS_FORMAT, "round": hex0x(self.round), "account": self.account}
        return json_hash({**body, "weights": dict(self.weights)})

    @property
    def score(self) -> int:
        """What stands as score in the contract's round."""
        return int.from_bytes(self.hash[:12], "big")

    @property
    def salt(self) -> bytes:
        """The salt of the commitment, 32 bytes."""
        return keccak(self.hash + self.secret)

    def as_json(self) -> Values:
        """Return the file that an evaluator opens with its commitment."""
        return {
            "format": WEIGHTS_FORMAT,
            "round": hex0x(self.round),
            "account": self.account,
            "weights": dict(self.weights),
            "secret": hex0x(self.secret),
        }

    @classmethod
    def from_json(cls, body: Any) -> SealedWeights:
        """Return the weights of ``as_json``'s object; raises ``InvalidInput`` (``weights_invalid``)."""
        wanted = {"format", "round", "account", "weights", "secret"}
        if not isinstance(body, dict) or set(body) != wanted or body["format"] != WEIGHTS_FORMAT:
            raise _invalid(f"This is not a file of format {WEIGHTS_FORMAT}.")
        if not isinstance(body["weights"], dict) or not isinstance(body["account"], str):
            raise _invalid("The file's weights are not numbers by model, or it names no account.")
        try:
            round, secret = from_hex(body["round"]), from_hex(body["secret"])
        except (ValueError, TypeError, AttributeError) as error:
            raise _invalid("The file's round and secret are not hex.") from error
        return cls(round, body["account"], body["weights"], secret)


@dataclass(frozen=True, slots=True)
class Heard:
    """An evaluator that a round heard: its stake there, atomic units, and its weights, None if it abstains."""

    account: str
    stake: int
    weights: Mapping[str, int] | None


def ranking_of(round: bytes, heard: Sequence[Heard], previous: Values | None = None) -> Values:
    """Return the file of a round's ranking; ``previous`` is the file of the round before, whose bonds go on.

    Raises ``InvalidInput`` if nobody with stake opened weights, or the previous file is none.
    """
    heard = sorted(heard, key=lambda item: item.account.lower())
    models = sorted({model for item in heard for model in item.weights or {}} | _models_of(previous))
    if not any(item.weights and item.stake for item in heard):
        raise _invalid("Nobody with stake opened weights in this round, so there is nothing to rank by.")
    weights = np.array([[float((item.weights or {}).get(model, 0)) for model in models] for item in heard])
    bonds = _bonds(previous, [item.account for item in heard], models)
    found = judge(weights, np.array([float(item.stake) for item in heard]), bonds)
    return {
        "format": RANKING_FORMAT,
        "round": hex0x(round),
        "previous": None if previous is None else hex0x(json_hash(previous)),
        "heard": [
            {"account": item.account, "stake": str(item.stake), "weights": item.weights and dict(item.weights)}
            for item in heard
        ],
        **_judged(found, [item.account for item in heard], models),
    }


def check_ranking(body: Values, previous: Values | None = None) -> None:
    """Recompute a file of a ranking; raises ``InvalidInput`` (``weights_invalid``) if it is not what it says."""
    try:
        heard = [Heard(item["account"], int(item["stake"]), item["weights"]) for item in body["heard"]]
        found = ranking_of(from_hex(body["round"]), heard, previous)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(f"This is not a file of format {RANKING_FORMAT}.") from error
    if found != body:
        raise _invalid("The ranking is not what its weights, stakes and the round before give.")


def _judged(found: Judgement, accounts: Sequence[str], models: Sequence[str]) -> Values:
    order = sorted(range(len(models)), key=lambda at: (-found.incentives[at], models[at]))
    return {
        "models": [
            {
                "model": models[at],
                "incentive_ppm": _ppm(found.incentives[at]),
                "consensus_ppm": _ppm(found.consensus[at]),
            }
            for at in order
        ],
        "dividends_ppm": {name: _ppm(share) for name, share in zip(accounts, found.dividends, strict=True)},
        "bonds_ppm": {
            name: {model: _ppm(bond) for model, bond in zip(models, row, strict=True) if _ppm(bond)}
            for name, row in zip(accounts, found.bonds, strict=True)
        },
    }


def _bonds(previous: Values | None, accounts: Sequence[str], models: Sequence[str]) -> Any:
    held = {} if previous is None else previous["bonds_ppm"]
    return np.array([[held.get(name, {}).get(model, 0) / PPM for model in models] for name in accounts], np.float64)


def _models_of(previous: Values | None) -> set[str]:
    if previous is None:
        return set()
    try:
        if previous["format"] != RANKING_FORMAT:
            raise _invalid(f"The round before is not a file of format {RANKING_FORMAT}.")
        rows = [row for row in previous["bonds_ppm"].values() if isinstance(row, dict)]
        if len(rows) != len(previous["bonds_ppm"]) or any(
            type(bond) is not int for row in rows for bond in row.values()
        ):
            raise _invalid("The bonds of the round before are not whole numbers by account and model.")
        return {str(model) for row in rows for model in row}
    except (KeyError, TypeError, AttributeError) as error:
        raise _invalid(f"The round before is not a file of format {RANKING_FORMAT}.") from error


def _ppm(value: float) -> int:
    return round(PPM * float(value))


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("weights_invalid", message, hint="See rodagila.value.ranking for the files and their fields.")
