"""Values as people read them: amounts with decimals, shares as decimals, foreign text without control characters.

The kind of a number is known by its key: ``paid`` is an amount in atomic units, ``value`` is a share in millionths.

>>> cell("paid", 1_500_000), cell("low", 731_000), cell("owner", "a\\x1b[31m")
('1.5', '0.731', 'a\\\\x1b[31m')
"""

from __future__ import annotations

from typing import Any

from rodagila.core.money import PPM, format_amount, format_tokens

AMOUNTS = frozenset(
    {
        *(
            "amount",
            "balance",
            "bond",
            "claimable",
            "claimed",
            "claimed_before",
            "cumulative",
            "due",
            "dust",
            "earned",
            "fees",
            "net",
            "owed",
            "paid",
        ),
        *(
            "pay",
            "payable",
            "payout",
            "pool",
            "price",
            "bonds_balance",
            "rewards_balance",
            "rollover",
            "rollover_in",
            "rollover_out",
        ),
        *(
            "bonds_balance",
            "budget",
            "returned",
            "seed_pool",
            "worth",
            "slash",
            "slashed",
            "total",
            "treasury_balance",
            "unclaimed",
        ),
    }
)
"""Keys whose integers are atomic units."""
SHARES = frozenset({"value", "low", "high"})
"""Keys whose integers are millionths, like every key that ends with ``_ppm``."""
TOKENS = frozenset(
    {
        *("issued", "issuable", "tokens", "tokens_cumulative", "tokens_claimed", "tokens_claimed_before"),
        *("tokens_due", "tokens_received", "token_supply"),
    }
)
"""Keys whose texts are atomic units of the DAO's own token."""
NAMES = frozenset({"chain_id", "port"})
"""Keys whose integers are names, not quantities."""


def printable(text: str) -> str:
    """Return ``text`` with control and direction characters escaped, so that foreign data cannot drive the display."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def fraction(value: float) -> float:
    """Return a share as a number: integers are millionths, floats are themselves."""
    return value / PPM if isinstance(value, int) else value


def cell(key: str, value: Any) -> str:
    """Return the text of one value on one line: flags as yes or no, absence as a dash."""
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return _number(key, value)
    if isinstance(value, list):
        return ", ".join(cell(key, item) for item in value)
    if key in TOKENS and str(value).isdecimal():
        return format_tokens(int(value))
    return printable(str(value)).replace("\n", "\\n")


def _number(key: str, value: float) -> str:
    if isinstance(value, float) or key in SHARES or key.endswith("_ppm"):
        return f"{fraction(value):.3f}"
    if key in AMOUNTS:
        return format_amount(value)
    return str(value) if key in NAMES else f"{value:,}"
