"""Redaction: personal and secret strings leave a text before it leaves its owner.

Presidio's pattern recognisers find e-mail addresses, phone numbers, cards, IBANs, IP and MAC addresses, crypto
addresses and US social security numbers; own patterns find keys, tokens and passwords. **Names of people, street
addresses and anything that only meaning reveals are missed**: no language model runs here. Secrets, cards, bank
accounts and national numbers fail closed: what merely has their shape is replaced, whether or not a checksum holds,
and an error in a recogniser stops the redaction. Redacting twice changes nothing.

The recognisers run alone, without presidio's engine: that needs a language model, and its e-mail recogniser would
fetch the public suffix list over the network, so its validation is replaced. The import takes seconds; it happens at
the first text that has anything to recognise. Source: github.com/microsoft/presidio, predefined recognisers.

>>> redact("token ghp_0123456789abcdefghijABCDEFGHIJ012345 leaked").text
'token <secret> leaked'
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

REMAINING_RISK = (
    "Names of people, street addresses and whatever only its meaning reveals are not found; read what is shown before "
    "you sign."
)
Span = tuple[int, int, str]
"""Start, end and category of something to replace."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text with placeholders like ``<email>``, and how many of each category were put in."""

    text: str
    counts: Mapping[str, int]


_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("secret", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)),
    ("secret", re.compile(r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}", re.IGNORECASE)),
    ("secret", re.compile(r"\b(?:sk|pk|rk)[-_](?=[\w-]*\d)(?:[A-Za-z0-9]+[-_]){0,3}[A-Za-z0-9]{16,}")),
    ("secret", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_[A-Za-z0-9]{20,})")),
    ("secret", re.compile(r"\b(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|AIza[\w-]{30,}|ya29\.[\w-]{20,})")),
    ("secret", re.compile(r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b")),
    ("secret", re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?")),
    ("secret", re.compile(r"(?<=://)[^\s/:@<>]+:[^\s/@<>]+(?=@)")),
    (
        "secret",
        re.compile(
            r"(?:(?<=\b)|(?<=_))(?:api[_-]?key|secret[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token"
            r"|access[_-]?token|client[_-]?secret|passw(?:or)?d|passphrase|secret|token)"
            r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?=[^\s\"'<>]*\d)([^\s\"'<>,;]{8,})",
            re.IGNORECASE,
        ),
    ),
    ("secret", re.compile(r"(?<![0-9A-Za-z])(?:0x)?[0-9a-fA-F]{64}(?![0-9A-Za-z])")),
    ("crypto_address", re.compile(r"(?<![0-9A-Za-z])0x[0-9a-fA-F]{40}(?![0-9A-Za-z])")),
    ("card", re.compile(r"(?<![\d.])(?:\d{4}[ -]){3}\d{1,7}(?![\d.])|(?<![\d.])3\d{3}[ -]\d{6}[ -]\d{5}(?!\d)")),
    ("national_id", re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")),
)
_CATEGORIES = {
    "CREDIT_CARD": "card",
    "CRYPTO": "crypto_address",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "MAC_ADDRESS": "mac",
    "PHONE_NUMBER": "phone",
    "US_SSN": "national_id",
}
_PRECEDENCE = ("secret", "national_id", "iban", "card", "crypto_address", "email", "mac", "ip", "phone")
_LOWEST_SCORE = 0.4
_WORTH_A_LOOK = re.compile(r"@|:[0-9A-Fa-f]{0,4}:|\d(?:\D*\d){3}|[A-HJ-NP-Za-km-z1-9]{25}")
_PHONE_DIGITS = re.compile(r"\d(?:[^\dA-Za-z\n]{0,4}\d){6}")
_PLACEHOLDER = re.compile(r"(<(?:" + "|".join(_PRECEDENCE) + r")>)")
_SHORTEST_IP = 7


def redact(text: str) -> Redacted:
    """Return ``text`` with every recognised string replaced; an error inside a recogniser is raised, never passed over.

    Placeholders split the text and are never looked into, so every pass leaves less to look at; passes repeat until
    nothing is found, because a replacement can give what stands beside it the edges that a pattern wants.
    """
    counts: Counter[str] = Counter()
    while True:
        pieces = _PLACEHOLDER.split(text)
        before = counts.total()
        pieces[::2] = [_redact_piece(piece, counts) for piece in pieces[::2]]
        text = "".join(pieces)
        if counts.total() == before:
            return Redacted(text, dict(sorted(counts.items())))


def _redact_piece(piece: str, counts: Counter[str]) -> str:
    spans = _merged([*_by_shape(piece), *_by_presidio(piece)])
    counts.update(category for _, _, category in spans)
    return _replaced(piece, spans)


def _by_shape(text: str) -> Iterator[Span]:
    for category, pattern in _SHAPES:
        for match in pattern.finditer(text):
            group = pattern.groups
            yield match.start(group), match.end(group), category


def _by_presidio(text: str) -> Iterator[Span]:
    if not _WORTH_A_LOOK.search(text):
        return
    phones = bool(_PHONE_DIGITS.search(text))
    for entity, analyse in _recognisers():
        if entity == "PHONE_NUMBER" and not phones:
            continue
        for result in analyse(text, [entity], None):
            length = result.end - result.start
            if result.score >= _LOWEST_SCORE and not (entity == "IP_ADDRESS" and length < _SHORTEST_IP):
                yield result.start, result.end, _CATEGORIES[entity]


@functools.cache
def _recognisers() -> list[tuple[str, Callable[..., Any]]]:
    from presidio_analyzer import predefined_recognizers as rules

    class OfflineEmailRecognizer(rules.EmailRecognizer):  # type: ignore[misc]
        """Presidio's e-mail pattern without the look-up of public suffixes, which asks the network."""

        def validate_result(self, pattern_text: str) -> None:
            """Leave the pattern's own score."""

    recognisers = (
        OfflineEmailRecognizer(),
        rules.CreditCardRecognizer(),
        rules.CryptoRecognizer(),
        rules.IbanRecognizer(),
        rules.IpRecognizer(),
        rules.MacAddressRecognizer(),
        rules.PhoneRecognizer(),
        rules.UsSsnRecognizer(),
    )
    return [(recogniser.supported_entities[0], recogniser.analyze) for recogniser in recognisers]


def _merged(spans: list[Span]) -> list[Span]:
    """Return disjoint spans in text order: overlapping ones merge, under the category that weighs most."""
    merged: list[Span] = []
    for start, end, category in sorted(spans):
        if merged and start < merged[-1][1]:
            before = merged.pop()
            heavier = min(before[2], category, key=_PRECEDENCE.index)
            merged.append((before[0], max(before[1], end), heavier))
        else:
            merged.append((start, end, category))
    return merged


def _replaced(text: str, spans: list[Span]) -> str:
    parts, place = [], 0
    for start, end, category in spans:
        parts += [text[place:start], f"<{category}>"]
        place = end
    return "".join(parts) + text[place:]
