"""Compiled contracts as the package ships them, and the encoding of their calls, events and errors.

Rule: the contract ABI specification (docs.soliditylang.org/en/latest/abi-spec.html): a selector is the first four
bytes of the hash of a signature, an event's first topic the whole hash. A struct comes back as a named tuple, an
address as EIP-55 text, bytes as ``bytes``; for a struct argument give a tuple or a mapping.

>>> rewards = load_artifact("Rewards")                                # doctest: +SKIP
>>> rewards.functions["claim(uint64,address,uint256,bytes32[])"].selector.hex()  # doctest: +SKIP
'a2f94bd3'
"""

from __future__ import annotations

import json
import re
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import to_checksum_address

from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.hashing import hex0x, keccak

_FOLDER = files("rodagila.chain") / "artifacts"
_PANIC = {
    0x01: "an assertion failed",
    0x11: "a number left its range",
    0x12: "a division by zero",
    0x32: "no such index",
}
_BUILT_IN = {
    keccak(b"Error(string)")[:4]: "string",
    keccak(b"Panic(uint256)")[:4]: "uint256",
}


@dataclass(frozen=True, slots=True)
class Param:
    """One input, output or component; ``kind`` is the ABI's type, where a struct is ``tuple`` with components."""

    name: str
    kind: str
    components: tuple[Param, ...] = ()
    indexed: bool = False
    struct: str = ""

    @property
    def canonical(self) -> str:
        """The type as signatures spell it: a struct as its components in parentheses."""
        if not self.components:
            return self.kind
        return f"({','.join(part.canonical for part in self.components)}){self.kind.removeprefix('tuple')}"

    @property
    def element(self) -> Param:
        """The element of an array type."""
        return Param(self.name, self.kind[: self.kind.rindex("[")], self.components, struct=self.struct)


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, event, error or constructor; ``notice`` says what an error means."""

    name: str
    inputs: tuple[Param, ...]
    outputs: tuple[Param, ...] = ()
    notice: str = ""

    @property
    def signature(self) -> str:
        """The name with the canonical types."""
        return f"{self.name}({','.join(part.canonical for part in self.inputs)})"

    @property
    def topic(self) -> bytes:
        """The hash of the signature: an event's first topic."""
        return keccak(self.signature.encode())

    @property
    def selector(self) -> bytes:
        """The first four bytes of the hash: a call's or an error's first bytes."""
        return self.topic[:4]


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A compiled contract: functions by signature, events by name, errors by selector."""

    name: str
    functions: Mapping[str, Entry]
    events: Mapping[str, Entry]
    errors: Mapping[bytes, Entry]
    constructor: Entry
    bytecode: bytes
    deployed_bytecode: bytes
    source_hash: str

    def function(self, name: str, count: int) -> Entry:
        """Return the function of a full signature, or of a name and its number of arguments if that is unambiguous."""
        if name in self.functions:
            return self.functions[name]
        named = [entry for entry in self.functions.values() if entry.name == name]
        fitting = [entry for entry in named if len(entry.inputs) == count]
        if len(fitting) == 1:
            return fitting[0]
        known = ", ".join(entry.signature for entry in named) or "no function of that name"
        raise InvalidInput(
            "invalid_request",
            f"{self.name}.{name} was called with {count} arguments; the contract has {known}.",
            hint="Give the full signature if the name is overloaded.",
        )


@lru_cache(maxsize=64)
def load_artifact(name: str) -> Artifact:
    """Return the shipped artifact of contract ``name``; raise ``NotFound``."""
    path = _FOLDER / f"{name}.json"
    if not re.fullmatch(r"\w+", name) or not path.is_file():
        raise NotFound(
            "contract_unknown",
            f"The package ships no contract named {name!r}.",
            hint=f"It ships {', '.join(shipped_names())}.",
        )
    return read_artifact(json.loads(path.read_text("utf-8")))


def shipped_names() -> list[str]:
    """Return the names of the contracts that the package ships."""
    return sorted(path.name.removesuffix(".json") for path in _FOLDER.iterdir() if path.name.endswith(".json"))


def read_artifact(body: Mapping[str, Any]) -> Artifact:
    """Return the artifact of its JSON object."""
    of_type: dict[str, list[Entry]] = {"function": [], "event": [], "error": [], "constructor": []}
    for item in body["abi"]:
        if item["type"] in of_type:
            of_type[item["type"]].append(_entry(item, body["errors"]))
    return Artifact(
        name=body["contractName"],
        functions={entry.signature: entry for entry in of_type["function"]},
        events={entry.name: entry for entry in of_type["event"]},
        errors={entry.selector: entry for entry in of_type["error"]},
        constructor=of_type["constructor"][0] if of_type["constructor"] else Entry("constructor", ()),
        bytecode=bytes.fromhex(body["bytecode"][2:]),
        deployed_bytecode=bytes.fromhex(body["deployedBytecode"][2:]),
        source_hash=body["sourceHash"],
    )


def _entry(item: Mapping[str, Any], notices: Mapping[str, str]) -> Entry:
    bare = Entry(item.get("name", "constructor"), _params(item["inputs"]), _params(item.get("outputs", ())))
    if item["type"] != "error":
        return bare
    return Entry(bare.name, bare.inputs, notice=notices.get(bare.signature, ""))


def _params(items: Sequence[Mapping[str, Any]]) -> tuple[Param, ...]:
    return tuple(
        Param(
            item["name"],
            item["type"],
            _params(item.get("components", ())),
            item.get("indexed", False),
            item.get("internalType", "").split("[")[0].split(".")[-1].split(" ")[-1],
        )
        for item in items
    )


def encode_values(entry: Entry, values: Sequence[Any]) -> bytes:
    """Return the ABI encoding of an entry's inputs; raise ``InvalidInput`` if they do not fit."""
    try:
        plain = [_plain(part, value) for part, value in zip(entry.inputs, values, strict=True)]
        return bytes(abi_encode([part.canonical for part in entry.inputs], plain))
    except (EncodingError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            "invalid_request", f"{len(values)} arguments do not fit {entry.signature}: {error}."
        ) from error


def decode_values(parts: Sequence[Param], data: bytes) -> tuple[Any, ...]:
    """Return the values that ``data`` encodes; raise ``DecodingError`` of eth-abi if it does not."""
    found = abi_decode([part.canonical for part in parts], data)
    return tuple(_readable(part, value) for part, value in zip(parts, found, strict=True))


def decode_event(entry: Entry, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
    """Return an event's arguments by name. Indexed strings, arrays and structs come back as their hash."""
    plain = [part for part in entry.inputs if not part.indexed]
    indexed = [part for part in entry.inputs if part.indexed]
    values = dict(zip((part.name for part in plain), decode_values(plain, data), strict=True))
    for part, topic in zip(indexed, topics[1:], strict=True):
        values[part.name] = topic if _is_hashed(part) else decode_values([part], topic)[0]
    return {part.name: values[part.name] for part in entry.inputs}


def encode_topic(part: Param, value: Any) -> bytes:
    """Return the topic that an indexed argument with ``value`` has."""
    return bytes(abi_encode([part.canonical], [value]))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a contract refused: the error's name, its arguments, and a sentence."""

    error: str
    arguments: dict[str, Any]
    sentence: str


def decode_error(data: bytes) -> Refusal:
    """Return what a revert's ``data`` says, by the errors of all shipped contracts: one may pass another's on."""
    selector, body = bytes(data[:4]), data[4:]
    entry = _all_errors().get(selector)
    try:
        if selector in _BUILT_IN:
            return _built_in(_BUILT_IN[selector], body)
        if entry is not None:
            values = decode_values(entry.inputs, body)
            arguments = dict(zip((part.name for part in entry.inputs), values, strict=True))
            shown = ", ".join(f"{name} {_shown(value)}" for name, value in arguments.items())
            sentence = entry.notice or f"{entry.name}."
            return Refusal(entry.name, arguments, f"{sentence} [{entry.name}{': ' if shown else ''}{shown}]")
    except DecodingError:
        pass
    what = f"an error that is not known here, {hex0x(selector)}" if data else "no reason given"
    return Refusal("", {}, f"{what[0].upper()}{what[1:]}.")


def _built_in(kind: str, body: bytes) -> Refusal:
    value = abi_decode([kind], body)[0]
    if kind == "string":
        return Refusal("Error", {"message": value}, f"{value}.")
    return Refusal("Panic", {"code": value}, f"The contract stopped: {_PANIC.get(value, 'panic')} (0x{value:02x}).")


@lru_cache(maxsize=1)
def _all_errors() -> dict[bytes, Entry]:
    return {selector: entry for name in shipped_names() for selector, entry in load_artifact(name).errors.items()}


def _plain(part: Param, value: Any) -> Any:
    if part.kind.endswith("]"):
        return [_plain(part.element, item) for item in value]
    if part.kind != "tuple":
        return value
    if isinstance(value, Mapping):
        value = [value[component.name] for component in part.components]
    return tuple(_plain(component, item) for component, item in zip(part.components, value, strict=True))


def _readable(part: Param, value: Any) -> Any:
    if part.kind.endswith("]"):
        return [_readable(part.element, item) for item in value]
    if part.kind == "tuple":
        values = (_readable(component, item) for component, item in zip(part.components, value, strict=True))
        return _struct(part.struct, tuple(component.name for component in part.components))(*values)
    return to_checksum_address(value) if part.kind == "address" else value


@lru_cache(maxsize=64)
def _struct(name: str, names: tuple[str, ...]) -> Any:
    return namedtuple(name or "Struct", names)  # its fields are known only from the ABI


def _is_hashed(part: Param) -> bool:
    return part.kind in ("string", "bytes", "tuple") or part.kind.endswith("]")


def _shown(value: Any) -> str:
    return hex0x(value) if isinstance(value, bytes) else str(value)
