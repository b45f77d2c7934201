"""Addresses at the ledger's edge: EIP-55 checksum text outside, 20 bytes inside.

>>> to_text(from_text("0x0000f90827f1c53a10cb7a02335b175320002935"))
'0x0000F90827F1C53a10cb7A02335B175320002935'
"""

from __future__ import annotations

from functools import lru_cache

from eth_utils.address import is_hex_address, to_checksum_address
from ethereum.forks.prague.fork_types import Address

from rodagila.core.errors import InvalidInput


@lru_cache(maxsize=4096)
def from_text(text: str) -> Address:
    """Return the 20 bytes; mixed case must be the EIP-55 checksum; raise ``InvalidInput``."""
    if not (text.startswith("0x") and is_hex_address(text) and text in (text.lower(), to_checksum_address(text))):
        raise InvalidInput(
            "invalid_request",
            f"{text!r} is not an address: 0x and 40 hexadecimal digits with a right checksum are required.",
        )
    return Address(bytes.fromhex(text[2:]))


@lru_cache(maxsize=4096)
def to_text(address: bytes) -> str:
    """Return the EIP-55 checksum text of 20 bytes."""
    return str(to_checksum_address(address))
