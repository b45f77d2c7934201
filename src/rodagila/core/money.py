"""Money: integers of atomic units, six decimals, text only at the edge; the DAO's own token has eighteen.

>>> parse_amount("1.5")
1500000
>>> format_amount(-2_500_000)
'-2.5'
>>> format_tokens(1_234 * TOKEN_UNIT + TOKEN_UNIT // 3)
'1234.333333'
"""

from __future__ import annotations

import re

from rodagila.core.errors import InvalidInput

DECIMALS = 6
UNIT: int = 10**DECIMALS
PPM = 1_000_000
TOKEN_UNIT: int = 10**18
"""Atomic units of one whole token of a DAO."""
_AMOUNT = re.compile(r"(\d{1,30})(?:\.(\d{1,6}))?")


def parse_amount(text: str) -> int:
    """Return the atomic units of a decimal amount; no sign, no exponent, at most six decimals."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            "amount_invalid",
            f"{text!r} is not an amount: digits with at most six decimals are required.",
            hint='Write it like "0.002".',
        )
    whole, fraction = match.group(1), match.group(2) or ""
    return int(whole) * UNIT + int(fraction.ljust(DECIMALS, "0"))


def format_amount(units: int) -> str:
    """Return ``units`` as the shortest decimal text."""
    sign, size = ("-" if units < 0 else ""), abs(units)
    fraction = f"{size % UNIT:06d}".rstrip("0")
    return f"{sign}{size // UNIT}" + (f".{fraction}" if fraction else "")


def format_tokens(units: int) -> str:
    """Return atomic units of a DAO's token as whole tokens for people, rounded down to six decimals."""
    return format_amount(units * UNIT // TOKEN_UNIT)


def share_of(amount: int, ppm: int) -> int:
    """Return the floor of ``ppm`` millionths of ``amount``."""
    return amount * ppm // PPM
