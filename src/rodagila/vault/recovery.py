"""Recovery phrases: an account's key as words on paper, so that losing one device does not lose it.

SLIP-39 with one group: the 32 bytes of the private key become one phrase of 33 words, or ``count`` phrases, any
``threshold`` of which give the key again. Every phrase carries its own checksum and how many are needed. No passphrase
is put on top, because SLIP-39 has no way to notice a wrong one: it would give another key. The age key that opens
sealed data is derived from the account's key, so a phrase keeps both. Source: SLIP-0039 (github.com/satoshilabs/slips).

The words come from Trezor's ``shamir-mnemonic``, the standard's reference. It takes no care of timing, so whoever can
measure this process while it runs could learn of the key; it runs on the owner's own machine, twice in a key's life.

>>> key_from(phrases_of(bytes(31) + b"\\x07", threshold=2, count=3)[:2])[-1]  # doctest: +SKIP
7
"""

from __future__ import annotations

from collections.abc import Sequence

from rodagila.core.errors import InvalidInput

MAX_PHRASES = 16
KEY_BYTES = 32
_CHECK = "Check the order and the spelling of the words; they are in lower case, with one space between."


def phrases_of(key: bytes, *, threshold: int = 1, count: int = 1) -> list[str]:
    """Return ``count`` phrases of 33 words, any ``threshold`` of which give ``key`` (32 bytes) again.

    Raises ``InvalidInput`` phrase_invalid for a threshold that is not within 2 .. count .. 16 (or one of one).
    """
    from shamir_mnemonic import generate_mnemonics  # type: ignore[import-not-found,import-untyped,unused-ignore]

    if len(key) != KEY_BYTES:
        raise ValueError("a private key has 32 bytes")
    if not (threshold == count == 1 or 2 <= threshold <= count <= MAX_PHRASES):
        raise InvalidInput(
            "phrase_invalid",
            f"{threshold} of {count} phrases were asked for; one, or from 2 to {MAX_PHRASES} with a threshold of at "
            "least 2, are possible.",
            hint="Give --shares 3 --threshold 2, or neither.",
        )
    (phrases,) = generate_mnemonics(1, [(threshold, count)], key)
    return [str(phrase) for phrase in phrases]


def needed_with(phrase: str) -> int:
    """Return how many phrases of its set are needed, as this one says; raises ``InvalidInput`` phrase_invalid."""
    from shamir_mnemonic import MnemonicError, Share

    try:
        return int(Share.from_mnemonic(_words(phrase)).member_threshold)
    except (MnemonicError, UnicodeError):  # its text can quote a word
        raise _invalid("The phrase is not one of SLIP-39: a word is unknown or the checksum is wrong.") from None


def key_from(phrases: Sequence[str]) -> bytes:
    """Return the 32 bytes of the key, of exactly as many phrases as are needed.

    Raises ``InvalidInput`` phrase_invalid, never with a word in it.
    """
    from shamir_mnemonic import MnemonicError, combine_mnemonics

    if not phrases:
        raise _invalid("No phrase was given.")
    for place, phrase in enumerate(phrases, 1):
        try:
            needed_with(phrase)
        except InvalidInput:
            raise _invalid(f"Phrase {place} is not one of SLIP-39: a word or its checksum is wrong.") from None
    try:
        key = bytes(combine_mnemonics([_words(phrase) for phrase in phrases]))
    except (MnemonicError, ValueError):
        raise _invalid(
            f"These {len(phrases)} phrases do not give a key: they are not of one set, one is given twice, or the "
            f"first of them asks for {needed_with(phrases[0])}."
        ) from None
    if len(key) != KEY_BYTES:
        raise _invalid(f"These phrases hold a secret of {len(key)} bytes; an account's key has {KEY_BYTES}.")
    return key


def _words(phrase: str) -> str:
    return " ".join(phrase.lower().split())


def _invalid(message: str) -> InvalidInput:
    return InvalidInput("phrase_invalid", message, hint=_CHECK)
