"""Shamir's secret sharing: t of n shares open a secret, t - 1 say nothing about it.

Each byte of the secret is the constant term of its own random polynomial of degree t - 1 over GF(2^8) with AES's
modulus x^8 + x^4 + x^3 + x + 1. Share ``x`` holds the values at ``x``; as bytes it is the values, then ``x``: the
format of HashiCorp Vault and of the npm package shamir-secret-sharing (audited by Cure53 and Zellic), so a browser
makes and opens the same shares. All bytes of a secret are worked on at once, packed in one integer. There are no tables
and branches depend on share ids only, which are public. Python promises no constant time beyond that.

A secret must have the entropy of a key: whoever holds t - 1 shares can test a guess of it against the hash of another.
Source: A. Shamir, How to share a secret (1979); resharing: Y. Desmedt, S. Jajodia, Redistributing secret shares (1997).

>>> combine(split(b"a key", threshold=2, count=3)[1:])
b'a key'
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised
from rodagila.core.hashing import keccak_abi

MAX_SHARES = 255
MAX_SECRET = 65_536
Random = Callable[[int], bytes]
_HASH = ["bytes32", "uint8", "uint8", "bytes"]


@dataclass(frozen=True, slots=True)
class Share:
    """One share: its id ``x`` (1 to 255) and the polynomials' values there, as many as the secret has bytes."""

    x: int
    y: bytes

    def __repr__(self) -> str:
        return f"Share(x={self.x}, {len(self.y)} bytes)"

    def as_bytes(self) -> bytes:
        """Return the values, then the id in one byte."""
        return self.y + bytes([self.x])

    @classmethod
    def from_bytes(cls, data: bytes) -> Share:
        """Return the share of ``as_bytes``; raises ``InvalidInput`` share_invalid."""
        if not 2 <= len(data) <= MAX_SECRET + 1 or data[-1] == 0:
            raise _invalid("These bytes are not a share: at least one value and an id from 1 to 255 are required.")
        return cls(data[-1], data[:-1])


def split(secret: bytes, *, threshold: int, count: int, random: Random = secrets.token_bytes) -> tuple[Share, ...]:
    """Return ``count`` shares with the ids 1 to ``count``, any ``threshold`` of which open ``secret``.

    Raises ``InvalidInput`` share_invalid for an empty or too long secret or a threshold outside 1 .. count .. 255.
    """
    if not 1 <= threshold <= count <= MAX_SHARES:
        raise _invalid(f"{threshold} of {count} shares were asked for; 1 <= threshold <= count <= 255 is required.")
    return split_at(secret, threshold=threshold, ids=range(1, count + 1), random=random)


def split_at(
    secret: bytes, *, threshold: int, ids: Sequence[int], random: Random = secrets.token_bytes
) -> tuple[Share, ...]:
    """Return the shares with these ids; as ``split``."""
    if not 1 <= len(secret) <= MAX_SECRET:
        raise _invalid(f"A secret has 1 to {MAX_SECRET:,} bytes; {len(secret):,} were given.")
    if not 1 <= threshold <= len(ids) or not _distinct(ids):
        raise _invalid(f"{threshold} of {len(ids)} shares were asked for; the ids must be distinct, from 1 to 255.")
    # A leading coefficient of zero is as likely as any other: without it t - 1 shares would say something.
    coefficients = [_packed(secret)] + [_packed(random(len(secret))) for _ in range(threshold - 1)]
    return tuple(Share(x, _unpacked(_value_at(x, coefficients, len(secret)), len(secret))) for x in ids)


def combine(shares: Sequence[Share]) -> bytes:
    """Return the secret of at least threshold shares; fewer give other bytes, which only a hash of the secret shows.

    Raises ``InvalidInput`` share_invalid for no shares, an id given twice or different lengths.
    """
    return value_at(0, shares)


def value_at(x: int, shares: Sequence[Share]) -> bytes:
    """Return the values at ``x`` of the polynomials of least degree through ``shares``; errors as ``combine``."""
    ids = [share.x for share in shares]
    if not shares or not _distinct(ids) or len({len(share.y) for share in shares}) != 1:
        raise _invalid("Shares of one secret have distinct ids from 1 to 255 and one length; these do not.")
    size = len(shares[0].y)
    total = 0
    for share in shares:
        total ^= _scaled(_packed(share.y), weight_at(x, share.x, ids), size)
    return _unpacked(total, size)


def share_hash(context: bytes, threshold: int, share: Share) -> bytes:
    """Return what names a share in public; ``context`` (32 bytes) is whose it is: none passes for another's."""
    return keccak_abi(_HASH, [context, threshold, share.x, share.y])


def require_share(expected: bytes, context: bytes, threshold: int, share: Share) -> None:
    """Raise ``NotAuthorised`` share_mismatch unless ``share`` is the one with the hash ``expected``."""
    if share_hash(context, threshold, share) != expected:
        raise NotAuthorised(
            "share_mismatch",
            f"Share {share.x} does not hash to what the owner signed.",
            hint="Ask the other keepers; whoever gave it can be shown to have given a wrong one.",
            share=share.x,
        )


@dataclass(frozen=True, slots=True)
class Redealing:
    """A keeper's share, split again for a new set: ``parts[j]`` is for the new keeper j, ``hashes`` for everyone."""

    dealer: int
    parts: tuple[Share, ...]
    hashes: tuple[bytes, ...]


def redeal(
    share: Share, *, context: bytes, threshold: int, ids: Sequence[int], random: Random = secrets.token_bytes
) -> Redealing:
    """Split one's own share for a new set of keepers with ``ids``, ``threshold`` of whom will be needed."""
    parts = split_at(share.y, threshold=threshold, ids=ids, random=random)
    hashes = tuple(_part_hash(context, share.x, threshold, part) for part in parts)
    return Redealing(share.x, parts, hashes)


def require_part(redealing_hashes: Sequence[bytes], context: bytes, dealer: int, threshold: int, part: Share) -> None:
    """Raise ``NotAuthorised`` share_mismatch unless the part is among those that its dealer announced."""
    if _part_hash(context, dealer, threshold, part) not in redealing_hashes:
        raise NotAuthorised(
            "share_mismatch", f"The part {part.x} of share {dealer} is not what its dealer announced.", share=dealer
        )


def joined(parts: Sequence[tuple[int, Share]]) -> Share:
    """Return a new keeper's share from (dealer's id, part) of exactly the old threshold of dealers.

    Every new keeper must take the same dealers. Nobody sees the secret or another's share. Errors as ``combine``.
    """
    ids = {part.x for _, part in parts}
    if len(ids) != 1:
        raise _invalid("The parts of one new share carry one id; these do not.")
    values = value_at(0, [Share(dealer, part.y) for dealer, part in parts])
    return Share(ids.pop(), values)


def require_redealt(
    parts: Sequence[Share], *, expected: bytes, context: bytes, dealer: int, old_threshold: int, threshold: int
) -> None:
    """Judge a dealer: open his share from the parts that he dealt, and hold it against the hash of his old share.

    For a dispute, or before the old shares are deleted: it opens that one share to the judge. Raises ``Corrupted``
    share_mismatch if the parts lie on no polynomial of the new threshold, or on one of another share.
    """
    if len(parts) < threshold:
        raise _invalid(f"{len(parts)} parts were given; {threshold} open the share that was dealt.")
    first = parts[:threshold]
    same = all(value_at(part.x, first) == part.y for part in parts[threshold:])
    if not same or share_hash(context, old_threshold, Share(dealer, combine(first))) != expected:
        raise Corrupted(
            "share_mismatch",
            f"Keeper {dealer} did not redeal the share that it holds.",
            hint="Reshare without that keeper; what it dealt shows its fault.",
            share=dealer,
        )


def weight_at(x: int, one: int, ids: Sequence[int]) -> int:
    """Return Lagrange's weight of share ``one`` among ``ids`` for the value at ``x``."""
    numerator = denominator = 1
    for other in ids:
        if other != one:
            numerator = multiply(numerator, x ^ other)
            denominator = multiply(denominator, one ^ other)
    return multiply(numerator, _inverse(denominator))


def multiply(one: int, other: int) -> int:
    """Return the product of two elements of GF(2^8), without tables or branches."""
    product = 0
    for bit in range(8):
        product ^= one * (other >> bit & 1)
        one = (one << 1 ^ 0x11B * (one >> 7)) & 0xFF
    return product


def _inverse(element: int) -> int:
    """Return element^254: Fermat's inverse in a field of 256 elements."""
    square, result = element, 1
    for _ in range(7):
        square = multiply(square, square)
        result = multiply(result, square)
    return result


def _value_at(x: int, coefficients: Sequence[int], size: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):  # Horner
        value = _scaled(value, x, size) ^ coefficient
    return value


def _scaled(packed: int, factor: int, size: int) -> int:
    """Multiply each of ``size`` packed bytes by a public factor."""
    ones = int.from_bytes(b"\x01" * size, "big")
    low = ones * 0x7F
    product = 0
    for bit in range(8):
        product ^= packed * (factor >> bit & 1)
        packed = (packed & low) << 1 ^ (packed >> 7 & ones) * 0x1B
    return product


def _packed(values: bytes) -> int:
    return int.from_bytes(values, "big")


def _unpacked(packed: int, size: int) -> bytes:
    return packed.to_bytes(size, "big")


def _part_hash(context: bytes, dealer: int, threshold: int, part: Share) -> bytes:
    return keccak_abi(["bytes32", "uint8", "uint8", "uint8", "bytes"], [context, dealer, threshold, part.x, part.y])


def _distinct(ids: Sequence[int]) -> bool:
    return len(set(ids)) == len(ids) and all(1 <= x <= MAX_SHARES for x in ids)


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("share_invalid", message, hint="Check how many keepers the policy names.")
