"""Read JSON-RPC's parameters and write its values: quantities as short hex, bytes as even hex.

A value that cannot be read raises ``JsonRpcError`` with code -32602 and says what was expected. Reading is lenient
where clients differ (leading zeros, plain JSON numbers), writing is strict.

>>> quantity("0x10"), hexed(16), hexed(b"\\x01")
(16, '0x10', '0x01')
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ethereum.crypto.hash import Hash32
from ethereum.forks.prague.fork_types import Address
from ethereum_types.bytes import Bytes32

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_UNKNOWN = -32601
INVALID_PARAMS = -32602
INTERNAL = -32603
SERVER = -32000
LIMIT = -32005
REVERTED = 3

_HEX = re.compile(r"0[xX][0-9a-fA-F]*\Z")
T = TypeVar("T")


class JsonRpcError(Exception):
    """An answer that is an error; ``data`` is left out when it is None."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def body(self) -> dict[str, Any]:
        """Return the answer's ``error``."""
        return {"code": self.code, "message": self.message} | ({} if self.data is None else {"data": self.data})


@dataclass(frozen=True, slots=True)
class BlockTag:
    """Which block a client means: a number, a hash, or a tag: ``earliest``, ``latest``, ``pending``, ...

    ``safe`` and ``finalized`` mean the latest: a block of this ledger never goes away.
    """

    number: int | None = None
    hash: bytes | None = None
    tag: str = ""


LATEST = BlockTag(tag="latest")
_TAGS = {
    "earliest": BlockTag(number=0),
    "pending": BlockTag(tag="pending"),
    **dict.fromkeys(("latest", "safe", "finalized"), LATEST),
}


def bad(what: str) -> JsonRpcError:
    """Return the error for a parameter that cannot be read."""
    return JsonRpcError(INVALID_PARAMS, what)


def quantity(value: Any) -> int:
    """Read an unsigned number of at most 256 bits."""
    if isinstance(value, str) and _HEX.match(value) and 2 < len(value) <= 66:
        return int(value, 16)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**256:
        return value
    raise bad(f"{_shown(value)} is not a quantity: 0x and hexadecimal digits are required")


def data(value: Any) -> bytes:
    """Read bytes."""
    if isinstance(value, str) and _HEX.match(value) and len(value) % 2 == 0:
        return bytes.fromhex(value[2:])
    raise bad(f"{_shown(value)} is not data: 0x and an even number of hexadecimal digits are required")


def address(value: Any) -> Address:
    """Read 20 bytes; the checksum of mixed case is the client's affair."""
    return Address(_sized(value, 20, "an address"))


def hash32(value: Any) -> Hash32:
    """Read 32 bytes."""
    return Hash32(_sized(value, 32, "a hash"))


def slot(value: Any) -> Bytes32:
    """Read a storage slot: a quantity, or 32 bytes."""
    return Bytes32(quantity(value).to_bytes(32, "big"))


def boolean(value: Any) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    raise bad(f"{_shown(value)} is not true or false")


def listed(read: Callable[[Any], T], most: int) -> Callable[[Any], list[T]]:
    """Return a reader of lists with up to ``most`` values."""

    def read_all(value: Any) -> list[T]:
        if not isinstance(value, list) or len(value) > most:
            raise bad(f"{_shown(value)} is not a list of at most {most} values")
        return [read(one) for one in value]

    return read_all


def mapping(value: Any) -> dict[str, Any]:
    """Read an object."""
    if isinstance(value, dict):
        return value
    raise bad(f"{_shown(value)} is not an object")


def percentile(value: Any) -> float:
    """Read a number from 0 to 100."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100:
        return float(value)
    raise bad(f"{_shown(value)} is not a percentile")


def block_tag(value: Any) -> BlockTag:
    """Read a tag, a number, or EIP-1898's object with one of ``blockNumber`` and ``blockHash``."""
    if value is None:
        return LATEST
    if isinstance(value, str) and not value.startswith("0x"):
        if value not in _TAGS:
            raise bad(f"{_shown(value)} is not a block: give a number or one of {', '.join(_TAGS)}")
        return _TAGS[value]
    if isinstance(value, dict):
        if "blockHash" in value:
            return BlockTag(hash=hash32(value["blockHash"]))
        return block_tag(value.get("blockNumber"))
    if isinstance(value, str) and len(value) == 66:
        return BlockTag(hash=hash32(value))
    return BlockTag(number=quantity(value))


def hexed(value: int | bytes) -> str:
    """Write a quantity or bytes."""
    return "0x" + value.hex() if isinstance(value, bytes) else hex(value)


def _sized(value: Any, size: int, what: str) -> bytes:
    if isinstance(value, str) and len(value) == 2 + 2 * size and _HEX.match(value):
        return bytes.fromhex(value[2:])
    raise bad(f"{_shown(value)} is not {what}: 0x and {2 * size} hexadecimal digits are required")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
