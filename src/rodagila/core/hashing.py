"""Keccak-256 and the small encodings built on it.

Every hash of the system is Keccak-256 as on Ethereum (not NIST SHA-3).

>>> keccak(b"").hex()[:8]
'c5d24601'
"""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode as abi_encode
from sha3 import keccak_256

ZERO_HASH = bytes(32)


def keccak(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 hash of ``data``."""
    digest: bytes = keccak_256(data).digest()
    return digest


def keccak_abi(types: list[str], values: list[Any]) -> bytes:
    """Return ``keccak256(abi.encode(values))``, equal to Solidity's for the same types."""
    return keccak(abi_encode(types, values))


def hex0x(data: bytes) -> str:
    """Return ``data`` as lower-case hex with the 0x prefix."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """Return the bytes of hex ``text``, with or without 0x; raises ``ValueError`` if it is not hex."""
    return bytes.fromhex(text.removeprefix("0x"))
