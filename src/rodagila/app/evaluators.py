"""Evaluators and the number that not everyone can recompute: stake, commit, reveal, and the stake-weighted median.

A round is opened at the DAO's Stake contract with two deadlines. Until the first each evaluator commits to a score, or
to weights of models (``value.ranking``); until the second it opens it; then anyone reads the median, which the contract
checks when the round is closed. The salt of a score is derived from the key and the round, so that nothing secret is
kept: who reveals says the score again, and the contract refuses another one.

>>> commit_score(dao, account, round, 7)["state"]  # doctest: +SKIP
'committed'
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount

from rodagila.app.daos import Dao
from rodagila.chain.funding import give_gas_money, has_faucet
from rodagila.core.errors import Conflict, InvalidInput, NotFound
from rodagila.core.hashing import from_hex, hex0x, keccak, keccak_abi
from rodagila.govern.intents import ROLES
from rodagila.value.ranking import Heard, SealedWeights, ranking_of
from rodagila.value.yuma import lower_median

EVALUATOR = ROLES["evaluator"]
MAX_SEATS = 64
MAX_FILE_BYTES = 16 * 2**20
COMMITMENT = ["uint256", "address", "bytes32", "address", "uint96", "bytes32"]

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seat:
    """Who is heard in a round: its place from 1, weight in atomic units, and the score once it is opened."""

    place: int
    account: str
    weight: int
    score: int | None


def put_down_stake(dao: Dao, account: LocalAccount, amount: int) -> Values:
    """Put ``amount`` atomic units down as an evaluator; it can be taken out after 60 days."""
    _give_gas(dao, account)
    token, stake = dao.contract("PayToken"), dao.contract("Stake")
    held = int(token.call("balanceOf", account.address))
    if held < amount:
        raise InvalidInput("usage", f"The account holds {held} atomic units, {amount} are to be put down.")
    token.transact_many(account, [("approve", (stake.address, amount))])
    stake.transact(account, "stake", EVALUATOR, amount)
    return {"dao": dao.name, "account": account.address, "staked": _staked(dao, account.address)}


def open_round(dao: Dao, account: LocalAccount, subject: str, commit: int, reveal: int, least: int) -> Values:
    """Ask the evaluators: ``commit`` and ``reveal`` are seconds, ``least`` the stake that is heard, atomic units."""
    _give_gas(dao, account)
    stake, now, salt = dao.contract("Stake"), dao.home.ledger.timestamp(), keccak(subject.encode())
    stake.transact(account, "openRound", salt, now + commit, now + commit + reveal, least)
    id: bytes = stake.call("roundId", account.address, salt)
    return {"dao": dao.name, "subject": subject, **_times(dao, id)}


def commit_score(dao: Dao, account: LocalAccount, round: str, score: int) -> Values:
    """Commit to a score, which nobody can read before it is opened."""
    id = _round_id(round)
    return _commit(dao, account, id, score, _salt(account, id))


def commit_weights(dao: Dao, account: LocalAccount, round: str, weights: Path) -> Values:
    """Commit to the weights of a file of models and whole numbers."""
    sealed = _sealed(account, _round_id(round), weights)
    return _commit(dao, account, sealed.round, sealed.score, sealed.salt)


def reveal_score(dao: Dao, account: LocalAccount, round: str, score: int) -> Values:
    """Open the commitment to ``score``."""
    id = _round_id(round)
    return _reveal(dao, account, id, score, _salt(account, id))


def reveal_weights(dao: Dao, account: LocalAccount, round: str, weights: Path, out: Path) -> Values:
    """Open the commitment to weights and write them, with their secret, to the new file ``out``."""
    sealed = _sealed(account, _round_id(round), weights)
    if out.exists():
        raise Conflict("file_exists", f"{out} exists; nothing was opened.", hint="Name another file.")
    found = _reveal(dao, account, sealed.round, sealed.score, sealed.salt)
    _write(out, sealed.as_json())
    return {**found, "file": str(out)}


def consensus(dao: Dao, round: str, closer: LocalAccount | None = None) -> Values:
    """Return what a round says: times, seats, and the median of what is open; ``closer`` puts it on the ledger."""
    id = _round_id(round)
    times, seats = _times(dao, id), seats_of(dao, id)
    median = lower_median([(seat.score, seat.weight) for seat in seats if seat.score is not None])
    closed = bool(dao.contract("Stake").call("roundOf", id).closed)
    if closer is not None and not closed:
        if median is None:
            raise NotFound("round_unknown", "Nobody opened a score in this round, so it has no median.")
        _give_gas(dao, closer)
        dao.contract("Stake").transact(closer, "closeRound", id, median)
        closed = True
    return {
        "dao": dao.name,
        **times,
        "closed": closed,
        "median": str(median) if median is not None else None,
        "seats": [
            {"account": seat.account, "stake": seat.weight, "score": None if seat.score is None else str(seat.score)}
            for seat in seats
        ],
    }


def ranking(dao: Dao, round: str, files: Sequence[Path], previous: Path | None, out: Path | None) -> Values:
    """Rank models by the opened weights in ``files``; each must be what its account committed to in this round."""
    id = _round_id(round)
    committed = {
        event["account"]: event["commitment"] for event in dao.contract("Stake").events("Committed", where={"id": id})
    }
    opened: dict[str, Mapping[str, int]] = {}
    for path in files:
        sealed = SealedWeights.from_json(_read(path))
        if sealed.round != id or committed.get(sealed.account) != _commitment(
            dao, id, sealed.account, sealed.score, sealed.salt
        ):
            raise InvalidInput(
                "weights_invalid",
                f"The weights in {path} are not what {sealed.account[:64]} committed to in this round.",
                hint="Ask the evaluator for the file that it opened.",
            )
        opened[sealed.account] = sealed.weights
    heard = [
        Heard(seat.account, seat.weight, opened.get(seat.account))
        for seat in seats_of(dao, id)
        if seat.score is not None
    ]
    found = ranking_of(id, heard, None if previous is None else _read(previous))
    if out is not None:
        _write(out, found)
    return found


def seats_of(dao: Dao, round: bytes) -> list[Seat]:
    """Return who has a seat of a round."""
    stake = dao.contract("Stake")
    found = []
    for place in range(1, stake.call("roundOf", round).seats + 1):
        account = str(stake.call("seatOf", round, place))
        voice = stake.call("voiceOf", round, account)
        found.append(Seat(place, account, int(voice.weight), int(voice.score) if voice.revealed else None))
    return found


def _commit(dao: Dao, account: LocalAccount, round: bytes, score: int, salt: bytes) -> Values:
    times, seats = _times(dao, round), seats_of(dao, round)
    _give_gas(dao, account)
    smallest = min(seats, key=lambda seat: seat.weight).place if len(seats) == MAX_SEATS else 0
    commitment = _commitment(dao, round, account.address, score, salt)
    dao.contract("Stake").transact(account, "commit", round, commitment, smallest)
    return {"dao": dao.name, **times, "account": account.address, "state": "committed"}


def _reveal(dao: Dao, account: LocalAccount, round: bytes, score: int, salt: bytes) -> Values:
    times = _times(dao, round)
    _give_gas(dao, account)
    dao.contract("Stake").transact(account, "reveal", round, score, salt)
    return {"dao": dao.name, **times, "account": account.address, "state": "revealed"}


def _commitment(dao: Dao, round: bytes, account: str, score: int, salt: bytes) -> bytes:
    if not 0 <= score < 2**96:
        raise InvalidInput("usage", f"{score} is no score; it must be a whole number of 0 to 2^96 - 1.")
    return keccak_abi(COMMITMENT, [dao.domain.chain_id, dao.addresses["Stake"], round, account, score, salt])


def _times(dao: Dao, round: bytes) -> Values:
    terms = dao.contract("Stake").call("roundOf", round)
    if not terms.commitBy:
        raise NotFound("round_unknown", f"The DAO {dao.name!r} knows no round {hex0x(round)}.")
    return {
        "round": hex0x(round),
        "commit_by": terms.commitBy,
        "reveal_by": terms.revealBy,
        "time": dao.home.ledger.timestamp(),
    }


def _sealed(account: LocalAccount, round: bytes, path: Path) -> SealedWeights:
    weights = _read(path)
    if not isinstance(weights, dict):
        raise InvalidInput("weights_invalid", f"{path} is not a JSON object of models and whole numbers.")
    secret = keccak(b"rodagila weights secret" + bytes(account.key) + round)
    return SealedWeights(round, account.address, weights, secret)


def _salt(account: LocalAccount, round: bytes) -> bytes:
    return keccak(b"rodagila score salt" + bytes(account.key) + round)


def _staked(dao: Dao, account: str) -> int:
    return int(dao.contract("Stake").call("stakeOf", EVALUATOR, account))


def _give_gas(dao: Dao, account: LocalAccount) -> None:
    if has_faucet(dao.home.ledger):
        give_gas_money(dao.home.ledger, account.address)


def _round_id(text: str) -> bytes:
    try:
        found = from_hex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise InvalidInput("usage", f"{text[:80]!r} is not a round's id: 32 bytes in hex.")
    return found


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound("file_unknown", f"There is no file {path}.") from error
    except OSError as error:
        raise InvalidInput("file_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_FILE_BYTES:
        raise InvalidInput("file_too_large", f"{path} is larger than {MAX_FILE_BYTES:,} bytes, the most that is read.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("weights_invalid", f"{path} is not JSON.") from error


def _write(path: Path, body: Values) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(body, file)
    except FileExistsError as error:
        raise Conflict("file_exists", f"{path} exists; nothing was written.", hint="Name another file.") from error
    except OSError as error:
        raise InvalidInput("file_unreadable", f"{path} cannot be written: {error.strerror}.") from error
