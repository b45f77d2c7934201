"""Addresses at the ledger's edge: EIP-55 checksum text outside, 20 bytes inside.

>>> to_text(from_text("0x0000f90827f1c53a10cb7a02335b175320002935"))
'0x0000F90827F1C53a10cb7A02335B175320002935'
"""

from __future__ import annotations

from functools import lru_cache

from eth_utils.address import is_hex_address, to_checksum_address
from ethereum.forks.prague.fork_types import Address

from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak


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


def create_address(sender: str, nonce: int) -> str:
    """Return where the contract will be that ``sender`` makes with its transaction ``nonce``.

    keccak(rlp([sender, nonce]))[12:], Yellow Paper section 7.
    """
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    item = number if len(number) == 1 and nonce < 0x80 else bytes([0x80 + len(number)]) + number
    payload = b"\x94" + from_text(sender) + item
    return to_text(keccak(bytes([0xC0 + len(payload)]) + payload)[12:])
