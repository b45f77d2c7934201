"""What a proposal would do, tried on the present state and kept nowhere.

The calls run as the timelock, one after the other, as an execution runs them: all or none. What the governor lets only
an execution do (its own parameters) is allowed here too, by putting the hashes of those calls where
``Governor.execute`` puts them: a double-ended queue (OpenZeppelin Contracts 5.7, ``DoubleEndedQueue.Bytes32Deque``),
whose ends share the slot ``GOVERNANCE_CALL_SLOT`` and whose items are a mapping in the slot after it.

>>> effect = tried(ledger, actions, place, watched)            # doctest: +SKIP
>>> effect.problem, [change.difference for change in effect.balances]  # doctest: +SKIP
('', [-12500000, 12500000])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rodagila.chain.abi import decode_error, decode_values, encode_values, load_artifact
from rodagila.chain.port import ZERO_ADDRESS, CallOutcome, CallRequest, Ledger, Storage
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak, keccak_abi
from rodagila.govern.actions import Action, Book, DecodedEvent, decode_log, json_integer

GOVERNANCE_CALL_SLOT = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a DAO decides: its governor, the timelock that acts, its book, and the tokens whose balances count."""

    governor: str
    timelock: str
    book: Book
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Address to artifact name of the tokens."""


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """What an account holds of a token before and after."""

    account: str
    token: str
    before: int
    after: int

    @property
    def difference(self) -> int:
        """What is gained, negative if lost."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Effect:
    """What came of trying: ``problem`` says which call (from 1) failed and why, and then nothing else holds."""

    problem: str
    failed_call: int | None
    gas_used: int
    events: tuple[DecodedEvent, ...]
    balances: tuple[BalanceChange, ...]

    def as_json(self, book: Book) -> dict[str, Any]:
        """Return the JSON object, with the names of accounts."""
        return {
            "succeeds": not self.problem,
            "problem": self.problem or None,
            "failed_call": self.failed_call,
            "gas_used": self.gas_used,
            "events": [event.as_json() for event in self.events],
            "balances": [
                {
                    "account": row.account,
                    "name": book.name(row.account),
                    "token": row.token,
                    "before": json_integer(row.before),
                    "after": json_integer(row.after),
                    "difference": json_integer(row.difference),
                }
                for row in self.balances
            ],
        }


def tried(ledger: Ledger, actions: Sequence[Action], place: Place, watched: Sequence[str] = ()) -> Effect:
    """Return the effect of ``actions``, with the balances that change of ``watched`` and of all money moves between."""
    requests = [CallRequest(place.timelock, action.target, action.data, action.value) for action in actions]
    storage = execution_marks(actions, place.governor)
    try:
        outcomes = ledger.simulate(requests, storage=storage)
    except InvalidInput as short:  # a call carries more wei than the timelock has
        return Effect(short.message, None, 0, (), ())
    for number, outcome in enumerate(outcomes, start=1):
        if outcome.error is not None:
            return Effect(_why(number, outcome), number, sum(item.gas_used for item in outcomes[:number]), (), ())
    events = tuple(
        decode_log(log.address, log.topics, log.data, place.book) for outcome in outcomes for log in outcome.logs
    )
    accounts = list(dict.fromkeys([*watched, *_moved_between(events, place)]))
    return Effect(
        "", None, sum(item.gas_used for item in outcomes), events, _balances(ledger, requests, storage, accounts, place)
    )


def execution_marks(actions: Sequence[Action], governor: str) -> Storage:
    """Return the words by which the governor knows that its own calls are part of an execution."""
    own = [keccak(action.data) for action in actions if action.target == governor]
    if not own:
        return {}
    words = {GOVERNANCE_CALL_SLOT: len(own) << 128}  # begin 0 in the low half, end in the high half
    for index, call_hash in enumerate(own):
        slot = keccak_abi(["uint128", "uint256"], [index, GOVERNANCE_CALL_SLOT + 1])
        words[int.from_bytes(slot, "big")] = int.from_bytes(call_hash, "big")
    return {governor: words}


def _why(number: int, outcome: CallOutcome) -> str:
    refusal = decode_error(outcome.output)
    why = refusal.sentence if outcome.output else f"{outcome.error}."
    return f"Call {number} fails: {why}"


def _moved_between(events: Sequence[DecodedEvent], place: Place) -> list[str]:
    return [
        argument.value
        for event in events
        if event.address in place.tokens and event.name == "Transfer"
        for argument in event.arguments
        if argument.name in ("from", "to") and argument.value != ZERO_ADDRESS
    ]


def _balances(
    ledger: Ledger, requests: Sequence[CallRequest], storage: Storage, accounts: Sequence[str], place: Place
) -> tuple[BalanceChange, ...]:
    pairs = [(account, token) for token in place.tokens for account in accounts]
    if not pairs:
        return ()
    asked = [_balance_request(account, token, place) for account, token in pairs]
    outcomes = ledger.simulate([*asked, *requests, *asked], storage=storage)
    held = [_balance(outcome) for outcome in (*outcomes[: len(pairs)], *outcomes[-len(pairs) :])]
    rows = zip(pairs, held[: len(pairs)], held[len(pairs) :], strict=True)
    return tuple(
        BalanceChange(account, place.tokens[token], before, after)
        for (account, token), before, after in rows
        if before != after
    )


def _balance_request(account: str, token: str, place: Place) -> CallRequest:
    entry = load_artifact(place.tokens[token]).function("balanceOf", 1)
    return CallRequest(ZERO_ADDRESS, token, entry.selector + encode_values(entry, [account]))


def _balance(outcome: CallOutcome) -> int:
    entry = load_artifact("PayToken").function("balanceOf", 1)
    return int(decode_values(entry.outputs, outcome.output)[0])
