"""Bech32 (BIP-173): age writes its keys in it.

The checksum is a BCH code over GF(32); the generator constants are the specification's. Only the length limit of
BIP-173 (90 characters) is not applied, as in age. Source: BIP-173; github.com/C2SP/C2SP/blob/main/age.md.

>>> encode("a", b"")
'a12uel5l'
"""

from __future__ import annotations

from collections.abc import Sequence

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def encode(prefix: str, data: bytes) -> str:
    """Return the Bech32 text of ``data`` under the human-readable ``prefix``, in lower case."""
    if not prefix or not prefix.isascii() or not prefix.isprintable() or prefix != prefix.lower():
        raise ValueError("the prefix must be lower-case printable ASCII")
    digits = _five_bits(data)
    return f"{prefix}1" + "".join(_ALPHABET[digit] for digit in digits + _checksum(prefix, digits))


def decode(text: str) -> tuple[str, bytes]:
    """Return prefix and data of a Bech32 text; raise ``ValueError``."""
    lower = text.lower()
    prefix, separator, digits = lower.rpartition("1")
    if text not in (lower, text.upper()) or not prefix or not separator or set(digits) - set(_ALPHABET):
        raise ValueError("this is not Bech32")
    values = [_ALPHABET.index(character) for character in digits]
    if len(values) < 6 or values[-6:] != _checksum(prefix, values[:-6]):
        raise ValueError("the checksum of this Bech32 text is wrong")
    number = 0
    for value in values[:-6]:
        number = number << 5 | value
    padding = (len(values) - 6) * 5 % 8
    if padding >= 5 or number & ((1 << padding) - 1):
        raise ValueError("this Bech32 text is not of whole bytes")
    return prefix, (number >> padding).to_bytes((len(values) - 6) * 5 // 8, "big")


def _five_bits(data: bytes) -> list[int]:
    bits = len(data) * 8
    padded = -bits % 5
    number = int.from_bytes(data, "big") << padded
    count = (bits + padded) // 5
    return [number >> 5 * place & 31 for place in reversed(range(count))]


def _checksum(prefix: str, digits: Sequence[int]) -> list[int]:
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    value = _polymod([*expanded, *digits, 0, 0, 0, 0, 0, 0]) ^ 1
    return [value >> 5 * place & 31 for place in reversed(range(6))]


def _polymod(values: Sequence[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, constant in enumerate(_GENERATOR):
            if top >> bit & 1:
                check ^= constant
    return check
