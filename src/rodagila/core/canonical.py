"""Canonical JSON (RFC 8785) and the hash of a JSON value.

Two programs that hold equal values produce equal bytes, so a hash of JSON means something.

>>> canonical_json({"b": 1, "a": "é"})
b'{"a":"\\xc3\\xa9","b":1}'
"""

from __future__ import annotations

from typing import Any

import rfc8785

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 bytes of ``value``; raises ``InvalidInput`` where JSON has no exact form for it."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(
            "canonical_unsupported",
            f"The value has no canonical JSON form: {error}.",
            hint="Give large integers as text.",
        ) from error


def json_hash(value: Any) -> bytes:
    """Return the Keccak-256 of the canonical JSON of ``value``."""
    return keccak(canonical_json(value))
