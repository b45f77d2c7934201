"""What clients hand over as objects: calls, state overrides and log filters.

Fields that would change an answer and are not supported are refused, never ignored.

>>> log_request({"topics": [None, ["0x" + "00" * 32]]}).topics[0] is None
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ethereum.forks.prague.fork_types import Account, Address
from ethereum.forks.prague.transactions import Access
from ethereum_types.bytes import Bytes, Bytes32
from ethereum_types.numeric import U256, Uint
from immutables import Map

from rodagila.chain.execution import GAS_LIMIT, Call
from rodagila.chain.jsonrpc.values import (
    LATEST,
    BlockTag,
    address,
    bad,
    block_tag,
    data,
    hash32,
    listed,
    mapping,
    quantity,
    slot,
)
from rodagila.chain.port import Topic
from rodagila.chain.world import World

MAX_OVERRIDES = 256
MAX_SLOTS = 4_096
MAX_ADDRESSES = 1_000
MAX_TOPICS = 1_000
MAX_CALLS = 1_000
_UNSUPPORTED = ("validation", "traceTransfers", "returnFullTransactions")
_IGNORED = ("nonce", "chainId", "type", "maxPriorityFeePerGas")
_EMPTY = Account(Uint(0), U256(0), b"")


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Which logs are wanted; without addresses, of all contracts."""

    addresses: tuple[bytes, ...]
    topics: tuple[Topic, ...]
    first: BlockTag
    last: BlockTag


def call_request(value: Any) -> Call:
    """Read a transaction object: from, to, gas, gasPrice or maxFeePerGas, value, data or input, accessList."""
    found = _fields(value, _CALL_FIELDS, ignored=_IGNORED)
    body = found.get("input", found.get("data", b""))
    if found.get("data", body) != body:
        raise bad("data and input differ; give one of them")
    return Call(
        sender=found.get("from", Address(bytes(20))),
        to=found.get("to"),
        data=body,
        value=found.get("value", 0),
        gas_price=found.get("maxFeePerGas", found.get("gasPrice", 0)),
        access_list=tuple(found.get("accessList", ())),
        gas=min(found.get("gas", GAS_LIMIT), GAS_LIMIT),
    )


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """The calls of ``eth_simulateV1``'s one block, the state it overrides and the time it gives, if any."""

    calls: list[Call]
    overrides: dict[str, Any]
    time: int | None


def simulation_request(value: Any) -> SimulationRequest:
    """Read the payload of ``eth_simulateV1``: one block, without validation of nonces and fees."""
    found = _fields(value, {"blockStateCalls": listed(mapping, 1), **dict.fromkeys(_UNSUPPORTED, _not_true)})
    (block,) = found.get("blockStateCalls") or [{}]
    parts = _fields(
        block, {"calls": listed(call_request, MAX_CALLS), "stateOverrides": mapping, "blockOverrides": mapping}
    )
    time = _fields(parts.get("blockOverrides", {}), {"time": quantity}).get("time")
    return SimulationRequest(parts.get("calls", []), parts.get("stateOverrides", {}), time)


def overridden(world: World, value: Any) -> World:
    """Return the state with a client's overrides: balance, nonce, code and storage by address."""
    if len(value) > MAX_OVERRIDES:
        raise bad(f"{len(value)} accounts are overridden; {MAX_OVERRIDES} are allowed")
    for place, wanted in value.items():
        world = _with_account(world, address(place), _fields(wanted, _OVERRIDES))
    return world


def log_request(value: Any) -> LogRequest:
    """Read a log filter: fromBlock and toBlock or blockHash, address (one or several), topics."""
    found = _fields(value, _LOG_FIELDS)
    if "blockHash" in found:
        if "fromBlock" in found or "toBlock" in found:
            raise bad("give blockHash, or fromBlock and toBlock, not both")
        found["fromBlock"] = found["toBlock"] = BlockTag(hash=found["blockHash"])
    first, last = found.get("fromBlock", LATEST), found.get("toBlock", LATEST)
    return LogRequest(tuple(found.get("address", ())), tuple(found.get("topics", ())), first, last)


def _fields(value: Any, known: Mapping[str, Callable[[Any], Any]], *, ignored: tuple[str, ...] = ()) -> dict[str, Any]:
    found = {}
    for name, one in mapping(value).items():
        if name in ignored or one is None:
            continue
        if name not in known:
            raise bad(f"{name[:40]!r} is not supported; known: {', '.join(known)}")
        found[name] = known[name](one)
    return found


def _with_account(world: World, place: Address, wanted: Mapping[str, Any]) -> World:
    account = world.accounts.get(place) or _EMPTY
    if "balance" in wanted:
        account = replace(account, balance=U256(wanted["balance"]))
    if "nonce" in wanted:
        account = replace(account, nonce=Uint(wanted["nonce"]))
    if "code" in wanted:
        account = replace(account, code=Bytes(wanted["code"]))
    storages = world.storages
    if "state" in wanted or "stateDiff" in wanted:
        if "state" in wanted and "stateDiff" in wanted:
            raise bad("give state or stateDiff of an account, not both")
        slots: Map[Bytes32, U256] = Map() if "state" in wanted else storages.get(place, Map())
        for key, word in wanted.get("state", wanted.get("stateDiff")).items():
            slots = slots.set(key, word) if word else slots.delete(key) if key in slots else slots
        storages = storages.set(place, slots) if slots else storages.delete(place) if place in storages else storages
    return World(world.accounts.set(place, account), storages)


def _not_true(value: Any) -> bool:
    if value is not False:
        raise bad(f"{' and '.join(_UNSUPPORTED)} are not supported")
    return False


def _access(value: Any) -> Access:
    found = _fields(value, {"address": address, "storageKeys": listed(hash32, MAX_SLOTS)})
    if "address" not in found:
        raise bad("an entry of an access list has an address")
    return Access(account=found["address"], slots=tuple(map(Bytes32, found.get("storageKeys", ()))))


def _words(value: Any) -> dict[Bytes32, U256]:
    if len(mapping(value)) > MAX_SLOTS:
        raise bad(f"{len(value)} slots are overridden; {MAX_SLOTS} are allowed")
    return {slot(key): U256(quantity(word)) for key, word in value.items()}


def _addresses(value: Any) -> list[bytes]:
    return listed(address, MAX_ADDRESSES)(value) if isinstance(value, list) else [address(value)]


def _topic(value: Any) -> Topic:
    if value is None or isinstance(value, str):
        return None if value is None else bytes(hash32(value))
    choices = listed(lambda one: None if one is None else bytes(hash32(one)), MAX_TOPICS)(value)
    # Ethereum's filters take an empty list, or one with null in it, for "anything".
    return None if not choices or None in choices else [one for one in choices if one is not None]


_CALL_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "from": address,
    "to": address,
    "gas": quantity,
    "gasPrice": quantity,
    "maxFeePerGas": quantity,
    "value": quantity,
    "data": data,
    "input": data,
    "accessList": listed(_access, MAX_SLOTS),
}
_OVERRIDES: Mapping[str, Callable[[Any], Any]] = {
    "balance": quantity,
    "nonce": quantity,
    "code": data,
    "state": _words,
    "stateDiff": _words,
}
_LOG_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "fromBlock": block_tag,
    "toBlock": block_tag,
    "blockHash": hash32,
    "address": _addresses,
    "topics": listed(_topic, 4),
}
