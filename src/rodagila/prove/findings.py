"""Findings: what one would not want to train on, told record by record and counted for the data set.

- *language*: surely in a language that the policy does not ask for (``prove.language``).
- *personal*: personal or secret strings that redaction would still replace (``core.redaction``).
- *toxic*: a word of the list. The list is short and says so: slurs and abuse, whole words, case ignored. A policy
  gives its own in ``checks.toxic_words``. A word list finds words, not meaning: it misses most insults and cannot tell
  quoting from using, so what it finds is for a person to look at.
- *repetition*: one line, or one run of two to four words, makes up too much of a text of 20 words or more (the rules of
  Gopher: Rae et al. 2021, table A1).
- *boilerplate*: a phrase that belongs to a page and not to its content ("all rights reserved"), or a run of eight words
  that many records of one data set share (``shared_runs``).

>>> Findings().of("call me: 555-12-4321, all rights reserved")
('personal', 'boilerplate')
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

from rodagila.core.policy import CheckRules
from rodagila.core.redaction import redact
from rodagila.prove.duplicates import normalised
from rodagila.prove.language import Languages

KINDS = ("language", "personal", "toxic", "repetition", "boilerplate")
REASONS = {
    "language": "other_language",
    "personal": "personal_data",
    "toxic": "toxic_words",
    "repetition": "repetition",
    "boilerplate": "boilerplate",
}
"""What a record is refused for, by kind."""
_TOXIC = """
bastard bitch coon cunt faggot fag gook honkey kike kys nigga nigger paki raghead retard slut spastic spic towelhead
tranny twat wetback whore wop"""
TOXIC_WORDS = frozenset(_TOXIC.split())
"""English slurs and abuse: small on purpose. Replace it by ``checks.toxic_words`` of the policy."""
PHRASES = (
    *("all rights reserved", "terms of service", "terms and conditions", "privacy policy", "cookie policy"),
    *("we use cookies", "accept cookies", "subscribe to our newsletter", "click here to unsubscribe", "lorem ipsum"),
    *("please enable javascript", "javascript is disabled", "skip to main content", "page not found"),
    *("share on facebook", "follow us on", "sent from my iphone", "powered by wordpress", "add to cart"),
)
LONG = 20
LINE_SHARE = 0.30
RUN_SHARES = {2: 0.20, 3: 0.18, 4: 0.16}
SHARED_RUN, SHARED_LEAST, SHARED_PART = 8, 5, 0.01
_WORD = re.compile(r"\w+")


class Findings:
    """What is looked for: the rules of a policy."""

    def __init__(self, rules: CheckRules | None = None) -> None:
        rules = rules or CheckRules()
        self.languages = Languages(rules.languages)
        given = normalised(rules.toxic_words)
        self.words = TOXIC_WORDS if given == "default" else frozenset(given.split())
        self._refused = {"none": (), "personal": ("language", "personal"), "all": KINDS}[rules.refuse]

    def of(self, text: str) -> tuple[str, ...]:
        """Return the kinds that are found in ``text``, in the order of ``KINDS``."""
        words = normalised(text).split()
        joined = f" {' '.join(words)} "
        found = (
            self.languages.foreign(text),
            bool(redact(text).counts),
            not self.words.isdisjoint(words),
            repeats(text, words),
            any(f" {phrase} " in joined for phrase in PHRASES),
        )
        return tuple(kind for kind, here in zip(KINDS, found, strict=True) if here)

    def refusing(self, found: Sequence[str]) -> str:
        """Return the reason for which the policy refuses a record with these findings, or nothing.

        A language that the policy does not ask for refuses under ``personal`` too: it was asked for.
        """
        return next((REASONS[kind] for kind in found if kind in self._refused), "")


def repeats(text: str, words: Sequence[str]) -> bool:
    """Tell whether one line or one run of words makes up too much of ``text``, whose ``words`` are in order."""
    if len(words) < LONG:
        return False
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    again = sum(count - 1 for count in Counter(lines).values())
    if len(lines) > 3 and again > LINE_SHARE * len(lines):
        return True
    letters = sum(len(word) for word in words)
    for size, share in RUN_SHARES.items():
        runs = Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
        run, count = max(runs.items(), key=lambda item: (item[1], item[0]))
        if count > 2 and count * sum(map(len, run)) > share * letters:
            return True
    return False


def shared_runs(texts: Sequence[str]) -> list[bool]:
    """Tell for each text whether it holds a run of eight words that at least 5 texts, and 1% of all, hold."""
    each = [_runs(normalised(text).split()) for text in texts]
    counts = Counter(run for runs in each for run in runs)
    limit = max(SHARED_LEAST, int(SHARED_PART * len(texts)))
    return [any(counts[run] >= limit for run in runs) for runs in each]


def _runs(words: Sequence[str]) -> frozenset[int]:
    runs = (" ".join(words[at : at + SHARED_RUN]) for at in range(len(words) - SHARED_RUN + 1))
    digests = (hashlib.blake2b(run.encode("utf-8", "surrogatepass"), digest_size=8) for run in runs)
    return frozenset(int.from_bytes(digest.digest(), "little") for digest in digests)
