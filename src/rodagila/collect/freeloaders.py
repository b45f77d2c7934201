"""The demonstration's freeloaders: ways of earning without bringing anything, made from honest records.

They are what they say and no cleverer: a copy of another's records; the same records lightly reworded, so that they are
other bytes and nearly the same embedding; words of random letters; true texts with a wrong target. All follows from the
seed.

>>> [record.text for record in near_copies([Record("return the shortest path between two nodes")], seed=1)]
['return the shortest path between two nodes indeed']
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from rodagila.core.records import Record

_SWAPS = {
    "a": "one",
    "all": "every",
    "also": "too",
    "and": "as well as",
    "are": "were",
    "be": "become",
    "by": "through",
    "can": "may",
    "class": "type",
    "create": "make",
    "for": "to",
    "from": "out of",
    "get": "obtain",
    "if": "when",
    "in": "within",
    "is": "was",
    "list": "sequence",
    "method": "function",
    "my": "our",
    "not": "never",
    "object": "instance",
    "of": "from",
    "or": "and also",
    "return": "give",
    "returns": "gives",
    "set": "put",
    "that": "which",
    "this": "such",
    "to": "towards",
    "use": "employ",
    "used": "employed",
    "using": "with",
    "value": "quantity",
    "want": "wish",
    "what": "which",
    "when": "if",
    "which": "that",
    "with": "having",
    "you": "one",
}
_CLOSINGS = ("indeed", "as said", "in short", "of course", "as such", "so to say")
_WORDS = re.compile(r"[A-Za-z]+")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SWAP_SHARE = 0.5


def exact_copies(records: Sequence[Record]) -> list[Record]:
    """Return the same records, to be contributed as another's own."""
    return list(records)


def near_copies(records: Sequence[Record], seed: int) -> list[Record]:
    """Return the records with half of the common words swapped, sentences turned round, and a closing phrase.

    The qualified name before a colon and the target stay, since the copier wants what the original earns.
    """
    generator = random.Random(f"near:{seed}")  # noqa: S311 - drawn again by everybody, secret to nobody
    return [Record(_reworded(record.text, generator), record.label, record.answer) for record in records]


def junk(count: int, seed: int) -> list[Record]:
    """Return ``count`` records of random letters in words, each with a random answer."""
    generator = random.Random(f"junk:{seed}")  # noqa: S311 - drawn again by everybody, secret to nobody
    return [Record(_babble(generator, generator.randint(12, 40)), answer=_babble(generator, 1)) for _ in range(count)]


def flipped(records: Sequence[Record], seed: int) -> list[Record]:
    """Return honest-looking texts, every one with another record's target where there is a different one."""
    generator = random.Random(f"flip:{seed}")  # noqa: S311 - drawn again by everybody, secret to nobody
    return [_flip(record, records, generator) for record in records]


def _flip(record: Record, records: Sequence[Record], generator: random.Random) -> Record:
    others = [other for other in records if other.target != record.target]
    if not others:
        wrong = f"not {record.target}"
        return Record(record.text, wrong if record.label else "", "" if record.label else wrong)
    other = generator.choice(others)
    return Record(record.text, other.label, other.answer)


def _reworded(text: str, generator: random.Random) -> str:
    head, colon, prose = text.rpartition(": ") if ": " in text[:120] else ("", "", text)
    sentences = prose.split(". ")
    if len(sentences) > 2:
        sentences = [*sentences[1:], sentences[0]]
    reworded = ". ".join(_swap_words(sentence.strip(" ."), generator) for sentence in sentences)
    return f"{head}{colon}{reworded} {generator.choice(_CLOSINGS)}"


def _swap_words(sentence: str, generator: random.Random) -> str:
    def swap(match: re.Match[str]) -> str:
        word = match.group()
        other = _SWAPS.get(word.lower())
        if other is None or generator.random() > _SWAP_SHARE:
            return word
        return other.capitalize() if word[0].isupper() else other

    return _WORDS.sub(swap, sentence)


def _babble(generator: random.Random, words: int) -> str:
    return " ".join("".join(generator.choices(_LETTERS, k=generator.randint(2, 10))) for _ in range(words))
