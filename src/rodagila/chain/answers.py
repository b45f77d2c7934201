"""What a node answers, turned into the port's values; whatever does not have its form raises ``Unreachable``.

A node is not believed where it can be checked: the caller compares hashes and numbers with what it asked for. Forms:
https://ethereum.github.io/execution-apis.

>>> number("0x7a69")
31337
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rodagila.chain.addresses import to_text
from rodagila.chain.port import BlockInfo, CallOutcome, LogEntry, Topic, TxReceipt
from rodagila.chain.simulation import reason
from rodagila.core.errors import Unreachable

MOST_DIGITS = 66
"""A number has at most 256 bits: 64 digits after 0x."""

T = TypeVar("T")


def parsed(method: str, form: Callable[[Any], T], answer: Any) -> T:
    """Return ``form(answer)``; raise ``Unreachable`` (``node_invalid``) if the answer does not have that form."""
    try:
        return form(answer)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
        raise invalid(method, "does not have the form that the protocol gives it") from exc


def invalid(method: str, what: str) -> Unreachable:
    """Return the error for an answer that cannot be true."""
    return Unreachable(
        "node_invalid",
        f"The node's answer to {method} {what}.",
        hint="Nothing was concluded from it. Use another node of the chain.",
    )


def number(text: str) -> int:
    """Return the number of a hex quantity."""
    if not text.startswith("0x") or len(text) > MOST_DIGITS:
        raise ValueError(text)
    return int(text, 16)


def data(text: str) -> bytes:
    """Return the bytes of a hex string."""
    if not text.startswith("0x"):
        raise ValueError(text)
    return bytes.fromhex(text[2:])


def word(text: str) -> bytes:
    """Return 32 bytes."""
    value = data(text)
    if len(value) != 32:
        raise ValueError(text)
    return value


def place(text: str) -> str:
    """Return an address as the port writes it."""
    value = data(text)
    if len(value) != 20:
        raise ValueError(text)
    return to_text(value)


def addresses(found: list[str]) -> list[str]:
    """Return a list of addresses."""
    return [place(text) for text in found]


def log_entry(found: dict[str, Any]) -> LogEntry:
    """Return an event."""
    return LogEntry(
        address=place(found["address"]),
        topics=tuple(map(word, found["topics"])),
        data=data(found["data"]),
        block_number=number(found["blockNumber"]),
        tx_hash=word(found["transactionHash"]),
        log_index=number(found["logIndex"]),
    )


def log_entries(found: list[dict[str, Any]]) -> list[LogEntry]:
    """Return events in the order of the ledger."""
    return sorted(map(log_entry, found), key=lambda entry: (entry.block_number, entry.log_index))


def receipt(found: dict[str, Any]) -> TxReceipt:
    """Return a transaction's receipt."""
    status = number(found["status"])
    return TxReceipt(
        tx_hash=word(found["transactionHash"]),
        block_number=number(found["blockNumber"]),
        index=number(found["transactionIndex"]),
        sender=place(found["from"]),
        to=_optional_place(found["to"]),
        status=status,
        gas_used=number(found["gasUsed"]),
        # Some nodes name the address even where the creation failed and nothing is there.
        contract_address=_optional_place(found["contractAddress"]) if status else None,
        logs=tuple(map(log_entry, found["logs"])),
    )


def block(found: dict[str, Any]) -> BlockInfo:
    """Return a block's header."""
    return BlockInfo(
        number=number(found["number"]),
        hash=word(found["hash"]),
        parent_hash=word(found["parentHash"]),
        timestamp=number(found["timestamp"]),
        state_root=word(found["stateRoot"]),
        transactions_root=word(found["transactionsRoot"]),
        receipts_root=word(found["receiptsRoot"]),
        gas_limit=number(found["gasLimit"]),
        gas_used=number(found["gasUsed"]),
        base_fee=number(found["baseFeePerGas"]),
        transactions=tuple(map(word, found["transactions"])),
    )


def outcomes(found: list[dict[str, Any]]) -> list[CallOutcome]:
    """Return what the calls of one simulated block did."""
    (simulated,) = found
    return [_outcome(call) for call in simulated["calls"]]


def next_base_fee(found: dict[str, Any]) -> int:
    """Return the base fee of the block after the newest of a fee history."""
    return number(found["baseFeePerGas"][-1])


def matches(entry: LogEntry, address: str | None, topics: Sequence[Topic], first: int, last: int | None) -> bool:
    """Tell whether an event is one that was asked for."""
    if address not in (None, entry.address) or entry.block_number < first:
        return False
    if last is not None and entry.block_number > last:
        return False
    if len(entry.topics) < len(topics):
        return False
    return all(
        wanted is None or given == wanted or (not isinstance(wanted, bytes) and given in wanted)
        for wanted, given in zip(topics, entry.topics, strict=False)
    )


def _outcome(found: dict[str, Any]) -> CallOutcome:
    output, failed = data(found["returnData"]), not number(found["status"])
    logs = (log_entry({**log, "transactionHash": "0x" + "00" * 32}) for log in found["logs"])
    error = (reason(output) if output else found["error"]["message"]) if failed else None
    return CallOutcome(output, error, number(found["gasUsed"]), tuple(logs))


def _optional_place(text: str | None) -> str | None:
    return None if text is None else place(text)
