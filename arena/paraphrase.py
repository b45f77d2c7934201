"""Paraphrases and filler by rule, as somebody without a language model would make them in bulk.

>>> reordered("what is my balance in the bank")
'in the bank, what is my balance'
>>> there_and_back("what is my balance in the bank")
'is it possible to learn my balance in the bank'
>>> voiced("please freeze my bank account today")
'my bank account today should be frozen'
>>> contracted(expanded("what's up, i'm here and i can't stay"))
"what's up, i'm here and i can't stay"
"""

from __future__ import annotations

import re

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


TO_STATEMENT = (
    (r"(?:what|which)(?:'s| is| are| was| were| will be) (.+)", r"i would like to know {0}"),
    (r"how (?:do|can|could|should|would) (?:i|you|we) (.+)", r"i want to find out the way to {0}"),
    (r"how (much|many|long|far|old|often) (.+)", r"i am asking how {0} {1}"),
    (r"how(?:'s| is| are) (.+)", r"i would like to know the state of {0}"),
    (r"(?:can|could|would|will) you (?:please )?(.+)", r"i want you to {0}"),
    (r"(?:can|could|may|should) i (.+)", r"i wonder whether i may {0}"),
    (r"(?:is|are) there (.+)", r"there may be {0}"),
    (r"(?:is|are|was|were|do|does|did|has|have) (.+)", r"i wonder whether {0}"),
    (r"why (.+)", r"i want to find out the reason why {0}"),
    (r"(where|when|who) (.+)", r"i want to find out {0} {1}"),
    (r"(?:i need|i want|i'd like|i would like|i have) (?:you )?to (.+)", r"i want you to {0}"),
    (r"(?:i need|i want|i'd like|i would like) (.+)", r"i would like to know {0}"),
    (r"(?:please )?tell me (.+)", r"i would like to know {0}"),
    (r"please (.+)", r"i want you to {0}"),
)
"""A question or wish as a statement; the first that fits the whole text is taken."""
TO_QUESTION = (
    (r"i would like to know (.+)", r"is it possible to learn {0}"),
    (r"i want to find out the way to (.+)", r"in what way does one {0}"),
    (r"i want to find out (.+)", r"do you have an idea {0}"),
    (r"i am asking how (.+)", r"could somebody say how {0}"),
    (r"i want you to (.+)", r"is it possible for you to {0}"),
    (r"i wonder whether (.+)", r"would you say that {0}"),
    (r"there may be (.+)", r"does such a thing exist as {0}"),
    (r"(.+)", r"is it the case that {0}"),
)
PASSIVE = {
    **{verb: f"{verb}ed" for verb in ("play", "book", "check", "order", "track", "transfer", "report", "turn", "add")},
    **{verb: f"{verb}d" for verb in ("schedule", "change", "cancel", "remove", "use", "update", "share", "create")},
    **{"show": "shown", "set": "set", "send": "sent", "find": "found", "get": "got", "give": "given", "pay": "paid"},
    **{"tell": "told", "make": "made", "buy": "bought", "freeze": "frozen", "read": "read", "put": "put"},
    **{"start": "started", "stop": "stopped", "block": "blocked", "replace": "replaced", "reset": "reset"},
}
CONTRACTIONS = {
    "what is": "what's",
    "where is": "where's",
    "who is": "who's",
    "how is": "how's",
    "that is": "that's",
    "it is": "it's",
    "i am": "i'm",
    "i would": "i'd",
    "i will": "i'll",
    "i have": "i've",
    "you are": "you're",
    "we are": "we're",
    "let us": "let's",
    "do not": "don't",
    "does not": "doesn't",
    "did not": "didn't",
    "can not": "can't",
    "is not": "isn't",
    "was not": "wasn't",
    "will not": "won't",
    "going to": "gonna",
    "want to": "wanna",
    "information": "info",
    "application": "app",
    "telephone": "phone",
    "please": "pls",
}


def there_and_back(text: str) -> str:
    """Return ``text`` made a statement and then a question again, by templates that are not each other's inverse."""
    plain = text.strip().rstrip("?.! ").lower()
    return _by_template(_by_template(plain, TO_STATEMENT), TO_QUESTION)


def _by_template(text: str, templates: tuple[tuple[str, str], ...]) -> str:
    for pattern, wanted in templates:
        found = re.fullmatch(pattern, text, re.DOTALL)
        if found:
            return wanted.format(*found.groups())
    return text


def voiced(text: str) -> str:
    """Return ``text`` with its first known verb in the passive voice, else what it says reported of the speaker."""
    words = text.strip().rstrip("?.! ").lower().split()
    for at, word in enumerate(words):
        if word in PASSIVE and words[at + 1 :]:
            return f"{' '.join(words[at + 1 :])} should be {PASSIVE[word]}"
    return f"it is being asked by me {' '.join(words)}"


def expanded(text: str) -> str:
    """Return ``text`` with every contraction written out."""
    return _replaced(text, {short: full for full, short in CONTRACTIONS.items()})


def contracted(text: str) -> str:
    """Return ``text`` with every phrase contracted that can be."""
    return _replaced(text, CONTRACTIONS)


def _replaced(text: str, table: dict[str, str]) -> str:
    for given, wanted in table.items():
        text = re.sub(rf"(?<![\w']){re.escape(given)}(?![\w'])", wanted, text)
    return text


def chained(text: str, place: int) -> str:
    """Return ``text`` after a chain of rewritings, another chain for every place in turn."""
    chains = (
        (expanded, there_and_back, substituted),
        (voiced, substituted, reordered),
        (there_and_back, reordered, contracted),
        (expanded, substituted, there_and_back, there_and_back),
    )
    for rule in chains[place % len(chains)]:
        text = rule(text)
    return text


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
