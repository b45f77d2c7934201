"""Strict reading and writing of the values in a public file: hashes, addresses, amounts, int8 vectors, closed objects.

Amounts are decimal text, because JSON numbers lose integers above 2^53; hashes are lower-case 0x hex; vectors are
base64 of int8 rows. A reader refuses everything that its writer would not have written, so one value has one file.

>>> read_amount("12", "pool")
12
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import numpy as np
from eth_utils.address import is_checksum_address

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.vectors import MAX_DIMENSIONS, Int64Array
from rodagila.value.examples import Examples

_AMOUNT = re.compile(r"0|[1-9]\d{0,38}")
_HASH = re.compile(r"0x[0-9a-f]{64}")
LARGEST = 2**53 - 1


def refuse(where: str, required: str) -> InvalidInput:
    """Return the error that ``where`` in the file does not hold what is ``required``."""
    return InvalidInput(
        "public_file_invalid",
        f"In the public file, {where} must be {required}.",
        hint="Fetch the file again.",
        at=where,
    )


def read_object(value: Any, names: set[str], where: str) -> dict[str, Any]:
    """Return ``value`` if it is an object with exactly the fields ``names``."""
    if not isinstance(value, dict) or set(value) != names:
        raise refuse(where, f"an object with exactly the fields {', '.join(sorted(names))}")
    return value


def read_list(value: Any, where: str) -> list[Any]:
    """Return ``value`` if it is a list."""
    if not isinstance(value, list):
        raise refuse(where, "a list")
    return value


def read_text(value: Any, where: str) -> str:
    """Return ``value`` if it is text of at most 10,000 characters."""
    if not isinstance(value, str) or len(value) > 10_000:
        raise refuse(where, "text of at most 10,000 characters")
    return value


def read_integer(value: Any, where: str, low: int = 0, high: int = LARGEST) -> int:
    """Return ``value`` if it is an integer from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise refuse(where, f"an integer from {low} to {high}")
    return value


def read_amount(value: Any, where: str) -> int:
    """Return the integer of decimal text, below 2^128, so that no sum of a turn leaves a leaf's uint256."""
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value) or int(value) >= 2**128:
        raise refuse(where, "a whole amount as decimal text")
    return int(value)


def read_hash(value: Any, where: str) -> bytes:
    """Return the 32 bytes of a lower-case 0x hash."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise refuse(where, "a hash of 32 bytes as lower-case 0x hex")
    return from_hex(value)


def read_address(value: Any, where: str) -> str:
    """Return ``value`` if it is an address with its EIP-55 checksum."""
    if not isinstance(value, str) or not is_checksum_address(value):
        raise refuse(where, "an address with its checksum (EIP-55)")
    return value


def read_amounts(value: Any, where: str) -> dict[str, int]:
    """Return amounts by account."""
    if not isinstance(value, dict):
        raise refuse(where, "an object of amounts by account")
    return {read_address(name, where): read_amount(amount, f"{where}.{name}") for name, amount in value.items()}


def write_amounts(amounts: dict[str, int]) -> dict[str, str]:
    """Return amounts as text, by account."""
    return {account: str(amount) for account, amount in amounts.items()}


def read_hashed(value: Any, where: str) -> list[tuple[bytes, Any]]:
    """Return (hash, value) of an object whose names are hashes."""
    if not isinstance(value, dict):
        raise refuse(where, "an object whose names are hashes")
    return [(read_hash(name, where), item) for name, item in value.items()]


def read_examples(body: Any, dimensions: int, targets: int, where: str) -> Examples:
    """Return the examples of an object with base64 ``vectors`` and ``targets`` codes below ``targets`` (or -1)."""
    fields = read_object(body, {"vectors", "targets"}, where)
    codes = [read_integer(code, f"{where}.targets", -1, targets - 1) for code in read_list(fields["targets"], where)]
    try:
        raw = base64.b64decode(fields["vectors"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise refuse(f"{where}.vectors", "base64 text") from error
    if len(raw) != len(codes) * dimensions:
        raise refuse(f"{where}.vectors", f"{len(codes)} rows of {dimensions} bytes, one row a target")
    vectors = np.frombuffer(raw, dtype=np.int8).reshape(len(codes), dimensions)
    if (vectors == -128).any():
        raise refuse(f"{where}.vectors", "int8 values from -127 to 127")
    return Examples(vectors, np.array(codes, dtype=np.int64))


def write_examples(examples: Examples) -> dict[str, Any]:
    """Return the JSON object of ``read_examples``."""
    data = np.ascontiguousarray(examples.vectors).tobytes()
    return {"vectors": base64.b64encode(data).decode("ascii"), "targets": examples.targets.tolist()}


def read_dimensions(value: Any) -> int:
    """Return the number of dimensions of every vector."""
    return read_integer(value, "dimensions", 1, MAX_DIMENSIONS)


def read_weights(value: Any) -> Int64Array:
    """Return the queries' weights."""
    weights = [read_integer(weight, "weights", 1, 2**20) for weight in read_list(value, "weights")]
    return np.array(weights, dtype=np.int64)


def write_hash(value: bytes) -> str:
    """Return a hash as lower-case 0x hex."""
    return hex0x(value)
