"""What a proposal does: calls of contracts, made from names and read back from the bytes that will run.

Rule: nothing is shown of a call but what its bytes say, by the shipped artifact of the contract at its address. Bytes
that decode and are not exactly what their values encode to (a contract may read other bytes than a reader) are not
decoded, and neither is a call to an address that is no contract of the DAO.

>>> book = Book({treasury: "Treasury"})                                             # doctest: +SKIP
>>> action = action_of(book, "Treasury", "pay", (bob, 12_500_000, reason))           # doctest: +SKIP
>>> decode_action(action, book).text                                                # doctest: +SKIP
'Treasury.pay(to=0x2B5A…, amount=12500000, reason=0x0000…)'
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_abi.exceptions import DecodingError
from eth_utils.address import is_address, to_checksum_address

from rodagila.chain.abi import Entry, Param, decode_event, decode_values, encode_values, load_artifact
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.hashing import from_hex, hex0x

JSON_SAFE = 2**53
"""Integers from here on are text in JSON, because many readers hold numbers as doubles."""
Resolve = Callable[[str], str]
"""Gives the address of an account's or a contract's name; raises ``NotFound``."""


@dataclass(frozen=True, slots=True)
class Action:
    """One call that the timelock makes when the proposal is executed; ``value`` is wei."""

    target: str
    data: bytes
    value: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of a document."""
        return {"target": self.target, "value": json_integer(self.value), "data": hex0x(self.data)}


@dataclass(frozen=True, slots=True)
class Book:
    """Whose addresses are known: the DAO's contracts by artifact name, and accounts by the names given here."""

    contracts: Mapping[str, str]
    accounts: Mapping[str, str] = field(default_factory=dict)

    def name(self, address: str) -> str:
        """Return how an address is called: a contract's name, an account's name with its address, or the address."""
        if address in self.contracts:
            return f"the {self.contracts[address]}"
        known = self.accounts.get(address)
        return f"{known} ({address})" if known else address

    def require_contract(self, name: str) -> None:
        """Raise ``NotFound`` (``contract_unknown``) unless the DAO has a contract of that name."""
        if name not in self.contracts.values():
            raise NotFound(
                "contract_unknown",
                f"The DAO has no contract named {name!r}.",
                hint=f"It has {', '.join(sorted(self.contracts.values()))}.",
            )

    def address(self, name: str) -> str:
        """Return the address that ``name`` (a contract, an account or an address) stands for; raise ``NotFound``."""
        if is_address(name):
            return str(to_checksum_address(name))
        for known in (self.contracts, self.accounts):
            for address, given in known.items():
                if given == name:
                    return address
        raise NotFound(
            "account_unknown",
            f"{name!r} is neither an address nor the name of a key or of a contract of the DAO.",
            hint=f"Contracts: {', '.join(sorted(self.contracts.values()))}. List keys: roda key list",
        )


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a decoded call or event."""

    name: str
    kind: str
    value: Any
    json: Any

    @property
    def text(self) -> str:
        """The value on one line: names and 0x hex, structures as JSON."""
        return self.json if isinstance(self.json, str) else json.dumps(self.json)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A call as its bytes say it; ``problem`` says why it could not be decoded and is empty if it could."""

    action: Action
    contract: str
    function: Entry | None = None
    arguments: tuple[Argument, ...] = ()
    problem: str = ""

    @property
    def text(self) -> str:
        """The call on one line with the names and values of its arguments."""
        value = f" with {self.action.value} wei" if self.action.value else ""
        if self.function is None:
            size = len(self.action.data)
            what = f"{size} bytes of data, beginning {hex0x(self.action.data[:4])}" if size else "no data"
            return f"{self.contract or self.action.target} with {what}{value}"
        shown = ", ".join(f"{item.name}={item.text}" for item in self.arguments)
        return f"{self.contract}.{self.function.name}({shown}){value}"

    def value(self, name: str) -> Any:
        """Return the value of the argument ``name``."""
        return next(item.value for item in self.arguments if item.name == name)

    def as_json(self) -> dict[str, Any]:
        """Return contract, function and arguments, or the problem and the bytes."""
        body: dict[str, Any] = {"target": self.action.target, "value": json_integer(self.action.value)}
        if self.function is None:
            return (
                body
                | {"contract": self.contract or None, "decoded": False, "problem": self.problem}
                | {"data": hex0x(self.action.data)}
            )
        return body | {
            "contract": self.contract,
            "decoded": True,
            "function": self.function.signature,
            "arguments": [{"name": item.name, "type": item.kind, "value": item.json} for item in self.arguments],
        }


def action_of(book: Book, contract: str, function: str, values: Sequence[Any], value: int = 0) -> Action:
    """Return the call of the DAO's ``contract``; raise ``InvalidInput`` for arguments that do not fit."""
    book.require_contract(contract)
    entry = load_artifact(contract).function(function, len(values))
    return Action(book.address(contract), entry.selector + encode_values(entry, values), value)


def action_of_texts(book: Book, call: str, texts: Sequence[str]) -> Action:
    """Return the call of ``Contract.function`` with its arguments as text: JSON for lists and structs, else plain."""
    contract, _, function = call.partition(".")
    if not function:
        raise InvalidInput("action_invalid", f"{call!r} is not Contract.function.", hint="Write it like Treasury.pay.")
    book.require_contract(contract)
    entry = load_artifact(contract).function(function, len(texts))
    values = [value_from_text(part, text, book.address) for part, text in zip(entry.inputs, texts, strict=True)]
    return action_of(book, contract, entry.signature, values)


def decode_action(action: Action, book: Book) -> Decoded:
    """Return what the bytes of ``action`` say."""
    contract = book.contracts.get(action.target, "")
    if not contract:
        return Decoded(
            action, "", problem="the address is no contract of this DAO, so what it does with this is unknown"
        )
    if not action.data:
        return Decoded(action, contract, problem="it carries no data, so it calls no function")
    by_selector = {entry.selector: entry for entry in load_artifact(contract).functions.values()}
    entry = by_selector.get(action.data[:4])
    if entry is None:
        return Decoded(action, contract, problem=f"{contract} has no function {hex0x(action.data[:4])}")
    try:
        values = decode_values(entry.inputs, action.data[4:])
        exact = encode_values(entry, values) == action.data[4:]
    except (DecodingError, InvalidInput, ValueError, OverflowError):
        return Decoded(action, contract, problem=f"its data does not decode as the arguments of {entry.signature}")
    if not exact:
        return Decoded(action, contract, problem=f"its data holds more than the arguments of {entry.signature}")
    return Decoded(action, contract, entry, _arguments(entry.inputs, values))


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """An event of the DAO's contracts; ``name`` is empty if it is not one of theirs."""

    address: str
    contract: str
    name: str
    arguments: tuple[Argument, ...]

    @property
    def text(self) -> str:
        """The event on one line."""
        if not self.name:
            return f"an unknown event of {self.contract or self.address}"
        return f"{self.contract}.{self.name}({', '.join(f'{item.name}={item.text}' for item in self.arguments)})"

    def as_json(self) -> dict[str, Any]:
        """Return the event with its arguments by name."""
        return {
            "address": self.address,
            "contract": self.contract or None,
            "event": self.name or None,
            "arguments": {item.name: item.json for item in self.arguments},
        }


def decode_log(address: str, topics: Sequence[bytes], data: bytes, book: Book) -> DecodedEvent:
    """Return the event that ``address`` emitted, by the artifact of the contract there."""
    contract = book.contracts.get(address, "")
    for entry in load_artifact(contract).events.values() if contract and topics else ():
        if entry.topic == topics[0] and sum(part.indexed for part in entry.inputs) == len(topics) - 1:
            try:
                values = decode_event(entry, topics, data)
            except (DecodingError, ValueError):
                break
            arguments = _arguments(entry.inputs, [values[part.name] for part in entry.inputs])
            return DecodedEvent(address, contract, entry.name, arguments)
    return DecodedEvent(address, contract, "", ())


def _arguments(parts: Sequence[Param], values: Sequence[Any]) -> tuple[Argument, ...]:
    return tuple(
        Argument(part.name or f"argument {place}", part.canonical, value, value_as_json(part, value))
        for place, (part, value) in enumerate(zip(parts, values, strict=True), start=1)
    )


def json_integer(value: int) -> int | str:
    """Return an integer as JSON holds it: text from 2^53 on."""
    return value if abs(value) < JSON_SAFE else str(value)


def value_as_json(part: Param, value: Any) -> Any:
    """Return the JSON of a value of ABI type ``part``: bytes as 0x hex, large integers as text, structs by name."""
    if isinstance(value, bytes):  # also an indexed event argument that is there as its hash only
        return hex0x(value)
    if part.kind.endswith("]"):
        return [value_as_json(part.element, item) for item in value]
    if part.kind == "tuple":
        return {
            component.name: value_as_json(component, item)
            for component, item in zip(part.components, value, strict=True)
        }
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return json_integer(value)


def value_from_text(part: Param, text: str, resolve: Resolve) -> Any:
    """Return the ABI value that a person wrote: JSON for lists and structs, plain text else; raise ``InvalidInput``."""
    if not part.kind.endswith("]") and part.kind != "tuple":
        return value_from_json(part, text, resolve)
    try:
        body = json.loads(text)
    except ValueError as error:
        raise _wrong(part, text, "write it as JSON") from error
    return value_from_json(part, body, resolve)


def value_from_json(part: Param, body: Any, resolve: Resolve) -> Any:
    """Return the ABI value of ``value_as_json``'s JSON; scalars may be text. Raises ``InvalidInput``, ``NotFound``."""
    kind = part.kind
    if kind.endswith("]"):
        if not isinstance(body, list):
            raise _wrong(part, body, "give a list")
        size = kind[kind.rindex("[") + 1 : -1]
        if size and len(body) != int(size):
            raise _wrong(part, body, f"give {size} of them")
        return [value_from_json(part.element, item, resolve) for item in body]
    if kind == "tuple":
        return _struct(part, body, resolve)
    if kind == "bool":
        found = body if isinstance(body, bool) else {"true": True, "false": False}.get(str(body))
        if found is None:
            raise _wrong(part, body, "write true or false")
        return found
    if kind.startswith(("uint", "int")):
        return _integer(part, body)
    if not isinstance(body, str):
        raise _wrong(part, body, "give a text")
    if kind == "address":
        return resolve(body)
    return _octets(part, body) if kind.startswith("bytes") else body


def _struct(part: Param, body: Any, resolve: Resolve) -> dict[str, Any]:
    names = [component.name for component in part.components]
    if isinstance(body, list) and len(body) == len(names):
        body = dict(zip(names, body, strict=True))
    if not isinstance(body, dict) or set(body) != set(names):
        raise _wrong(part, body, f"give an object with {', '.join(names)}")
    return {item.name: value_from_json(item, body[item.name], resolve) for item in part.components}


def _integer(part: Param, body: Any) -> int:
    if isinstance(body, str) and re.fullmatch(r"-?[0-9]{1,78}", body):
        body = int(body)
    elif isinstance(body, str) and re.fullmatch(r"0x[0-9a-fA-F]{1,64}", body):
        body = int(body, 16)
    if not isinstance(body, int) or isinstance(body, bool):
        raise _wrong(part, body, "give a whole number")
    bits = int(part.kind.lstrip("uint") or 256)
    low, high = (0, 2**bits - 1) if part.kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not low <= body <= high:
        raise _wrong(part, body, f"give a number from {low} to {high}")
    return body


def _octets(part: Param, text: str) -> bytes:
    size = part.kind.removeprefix("bytes")
    try:
        if not text.startswith("0x"):
            raise ValueError(text)
        data = from_hex(text)
    except ValueError as error:
        raise _wrong(part, text, "write it as 0x and hex digits") from error
    if size and len(data) != int(size):
        raise _wrong(part, text, f"give {size} bytes, that is {2 * int(size)} hex digits")
    return data


def _wrong(part: Param, body: Any, fix: str) -> InvalidInput:
    given = repr(body)
    given = given if len(given) <= 80 else given[:80] + "…"
    name = f" of {part.name}" if part.name else ""
    return InvalidInput("action_invalid", f"{given} is not a value{name} ({part.canonical}): {fix}.")
