"""Paraphrases and filler by rule, as somebody without a language model would make them in bulk.

>>> reordered("what is my balance in the bank")
'in the bank, what is my balance'
"""

from __future__ import annotations

import numpy as np

SYNONYMS = {
    "what": "which",
    "how": "in what way",
    "want": "would like",
    "need": "require",
    "please": "kindly",
    "tell": "inform",
    "show": "display",
    "find": "locate",
    "get": "obtain",
    "buy": "purchase",
    "help": "assist",
    "know": "learn",
    "give": "hand",
    "make": "create",
    "change": "alter",
    "my": "our",
    "i": "we",
    "me": "us",
    "is": "would be",
    "can": "could",
    "will": "shall",
    "do": "might",
    "money": "funds",
    "car": "vehicle",
    "phone": "telephone",
    "big": "large",
    "start": "begin",
    "stop": "end",
    "call": "ring",
    "send": "transmit",
    "today": "this day",
    "much": "great a sum",
    "many": "large a number",
    "good": "decent",
    "new": "fresh",
    "use": "employ",
    "think": "believe",
    "people": "persons",
}
TURNS = ("in", "for", "to", "from", "on", "with", "at", "about", "by", "if", "when", "of", "and")
TEMPLATES = (
    "could you tell me, {}",
    "{}, that is what i would like to ask",
    "i was wondering about this: {}",
    "hi there, {}, thanks a lot",
    "my question today is: {}",
)
FILLER = (
    "i have a question about {}",
    "please help me with {}",
    "tell me about {}",
    "{} is what i need",
    "what can you do about {}",
    "i am asking about {} today",
    "can you handle {} for me",
    "let us talk about {}",
    "something on {} please",
    "how does {} work",
    "i want {}",
    "{} information",
)
COVERED = (
    "i have a query on {}",
    "please assist me with {}",
    "talk to me about {}",
    "could you do {} for me",
    "{} is the thing i am after",
    "is there anything you know about {}",
    "this is about {}",
    "do you deal with {}",
    "i would like {}",
    "anything on {}",
    "explain {} to me",
    "{} details please",
)
"""What the treasury would generate to cover such filler: other words than the attacker's, the same generator."""


def substituted(text: str) -> str:
    """Return ``text`` with every word replaced that has a synonym here."""
    return " ".join(SYNONYMS.get(word.lower(), word) for word in text.split())


def reordered(text: str) -> str:
    """Return ``text`` with the part from the last preposition on moved to the front, else its halves swapped."""
    words = text.split()
    cuts = [at for at, word in enumerate(words) if at and word.lower() in TURNS]
    cut = cuts[-1] if cuts else len(words) // 2
    return f"{' '.join(words[cut:])}, {' '.join(words[:cut])}"


def templated(text: str, place: int) -> str:
    """Return ``text`` inside one of the templates."""
    return TEMPLATES[place % len(TEMPLATES)].format(text)


def filler(names: tuple[str, ...], templates: tuple[str, ...] = FILLER) -> list[tuple[str, int]]:
    """Return generic texts about every label's name, each with the label's code, templates in turn."""
    return [
        (template.format(name.replace("_", " ").replace(".", " ")), code)
        for template in templates
        for code, name in enumerate(names)
    ]


def junk(count: int, words: list[str], rng: np.random.Generator) -> list[str]:
    """Return texts of random words."""
    return [" ".join(rng.choice(words, rng.integers(4, 12))) for _ in range(count)]
