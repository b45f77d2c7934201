"""Redaction: personal and secret strings leave a text before it leaves its owner.

`recognisers` finds e-mail addresses, phone numbers, cards, IBANs, IP and MAC addresses, crypto addresses, national
numbers, dates of birth, keys, tokens and passwords by their form. **Names of people, street addresses and anything that
only meaning reveals are missed**: no language model runs here; a ``NameFinder`` can be given for names. Secrets, cards,
bank accounts and national numbers fail closed: what merely has their shape is replaced, whether or not a checksum
holds, and an error in a recogniser stops the redaction. Redacting twice changes nothing, with a finder that finds
nothing in placeholders. Nothing asks the network.

>>> redact("token ghp_0123456789abcdefghijABCDEFGHIJ012345 leaked").text
'token <secret> leaked'
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rodagila.core.recognisers import CATEGORIES, Span, spans_of

REMAINING_RISK = (
    "Names of people, street addresses and whatever only its meaning reveals are not found; read what is shown before "
    "you sign."
)
NameFinder = Callable[[str], Iterable[tuple[int, int]]]
"""Finds names of people in a text: start and end of each, like ``lambda text: [(e.start_char, e.end_char) ...]``."""

_PLACEHOLDER = re.compile(r"(<(?:" + "|".join(CATEGORIES) + r")>)")


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text with placeholders like ``<email>``, and how many of each category were put in."""

    text: str
    counts: Mapping[str, int]


def redact(text: str, *, names: NameFinder | None = None) -> Redacted:
    """Return ``text`` with every recognised string replaced; an error inside a recogniser is raised, never passed over.

    Placeholders split the text and are never looked into, so every pass leaves less to look at; passes repeat until
    nothing is found, because a replacement can give what stands beside it the edges that a pattern wants.
    """
    counts: Counter[str] = Counter()
    while True:
        pieces = _PLACEHOLDER.split(text) if "<" in text else [text]
        before = counts.total()
        pieces[::2] = [_redact_piece(piece, counts, names) for piece in pieces[::2]]
        text = "".join(pieces)
        if counts.total() == before:
            return Redacted(text, dict(sorted(counts.items())))


def _redact_piece(piece: str, counts: Counter[str], names: NameFinder | None) -> str:
    found = list(spans_of(piece))
    if names:
        found += [(start, end, "name") for start, end in names(piece) if 0 <= start < end <= len(piece)]
    if not found:
        return piece
    spans = _merged(found)
    counts.update(category for _, _, category in spans)
    return _replaced(piece, spans)


def _merged(spans: list[Span]) -> list[Span]:
    """Return disjoint spans in text order: overlapping ones merge, under the category that weighs most."""
    merged: list[Span] = []
    for start, end, category in sorted(spans):
        if merged and start < merged[-1][1]:
            before = merged.pop()
            heavier = min(before[2], category, key=CATEGORIES.index)
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
