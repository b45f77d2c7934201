"""Sealing with age: a standard format, so that owners can open their own data with any age tool.

An account's age key is derived, not stored: the account signs a fixed text (EIP-191, deterministic by RFC 6979), the
64 bytes (r, s) of the signature go through HKDF-SHA256 (RFC 5869), and the 32 bytes that come out are an X25519
identity in age's Bech32 form. The recovery byte is left out since wallets disagree on it. Whoever gets the account
to sign the text holds the key: the text says so to the person who reads it.
Source: github.com/C2SP/C2SP/blob/main/age.md; EIP-191; RFC 5869.

>>> identity = object_identity()
>>> open_sealed(seal(b"records", [recipient_of(identity)]), [identity])
b'records'
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

import pyrage
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from pyrage import x25519

from rodagila.core.errors import Corrupted, InvalidInput, NotAuthorised
from rodagila.vault import bech32

KEY_TEXT = (
    "Rodagila age key, version 1.\n\n"
    "Signing this text derives the key that opens your sealed data. Sign it only in software that you trust."
)
_SALT = b"rodagila/age-identity/v1"
_INFO = b"x25519"
_HEADER = b"age-encryption.org/v1\n"


def age_identity(account: LocalAccount) -> x25519.Identity:
    """Return the age identity of ``account``; the same account always gives the same identity."""
    signature = bytes(account.sign_message(encode_defunct(text=KEY_TEXT)).signature)
    return identity_from_seed(hkdf_sha256(signature[:64], salt=_SALT, info=_INFO))


def identity_from_seed(seed: bytes) -> x25519.Identity:
    """Return the age identity whose X25519 scalar is the 32 bytes of ``seed``."""
    if len(seed) != 32:
        raise ValueError("an X25519 identity takes 32 bytes")
    return x25519.Identity.from_str(bech32.encode("age-secret-key-", seed).upper())


def object_identity() -> x25519.Identity:
    """Return a fresh random identity: the key of one sealed object."""
    return x25519.Identity.generate()


def recipient_of(identity: x25519.Identity) -> str:
    """Return the public ``age1...`` text of ``identity``."""
    return str(identity.to_public())


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes derived from ``secret``: HKDF with SHA-256, one block (RFC 5869)."""
    pseudorandom = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(pseudorandom, info + b"\x01", hashlib.sha256)


def seal(plaintext: bytes, recipients: Sequence[str]) -> bytes:
    """Return the age file of ``plaintext`` that each of ``recipients`` (``age1...``) can open.

    Raises ``InvalidInput`` key_invalid for a text that is not a recipient, for a key of low order, with which every
    agreed secret would be zero, and for no recipients at all.
    """
    if not recipients:
        raise InvalidInput("key_invalid", "Sealing needs at least one age recipient.")
    return bytes(pyrage.encrypt(plaintext, [_recipient(text) for text in recipients]))


@lru_cache(maxsize=4_096)
def _recipient(text: str) -> x25519.Recipient:
    """Return a recipient that can be sealed to: age itself panics at a key of low order, which a stranger may name."""
    try:
        recipient = x25519.Recipient.from_str(text)
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(bech32.decode(text)[1]))
    except (pyrage.RecipientError, ValueError) as error:  # UnicodeError is a ValueError
        raise InvalidInput(
            "key_invalid", "A recipient is not an age public key.", hint="It must begin with age1."
        ) from error
    return recipient


def open_sealed(ciphertext: bytes, identities: Sequence[x25519.Identity]) -> bytes:
    """Return the plaintext of an age file; both errors carry the code ciphertext_unreadable.

    Raises ``Corrupted`` for bytes that are not an intact age file, ``NotAuthorised`` where none of the identities is
    among its recipients.
    """
    try:
        return bytes(pyrage.decrypt(ciphertext, list(identities)))
    except pyrage.DecryptError as error:
        if ciphertext.startswith(_HEADER) and "No matching keys" in str(error):
            raise NotAuthorised(
                "ciphertext_unreadable",
                "The sealed bytes are not addressed to this key.",
                hint="Use the account they were sealed for.",
            ) from error
        raise Corrupted(
            "ciphertext_unreadable",
            "The sealed bytes are not an intact age file.",
            hint="Fetch them again from where they are stored.",
        ) from error


def identity_from_text(text: str) -> x25519.Identity:
    """Return the identity of an ``AGE-SECRET-KEY-1...`` text; raises ``Corrupted`` key_invalid, without the text."""
    try:
        return x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        raise Corrupted("key_invalid", "The object key is not an age secret key.") from None
