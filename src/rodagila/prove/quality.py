"""Quality: does a text look like language at all? Cheap signs, no model, the same on every machine.

The quality of a text is its weakest sign, each from 0 to 1 in millionths: the share of letters, the share of distinct
words, the longest run of one character, and for Latin letters the share of letter pairs that are common in European
and Malay languages (86 % of the pairs of real text, 26 % of random ones). It tells babble from language, not truth
from falsehood: words of a dictionary in any order pass here and earn nothing later. A text in another script is not
judged by pairs.

>>> quality_ppm("how do I reset my card") > 900_000 > 300_000 > quality_ppm("xq zvvk qjtw kxzp wqrr")
True
"""

from __future__ import annotations

import re

from rodagila.core.money import PPM

_COMMON = """
aa ab ac ad ag ah ai aj ak al am an ao ap ar as at au av ay ba be bl bo bu ca ce ch ci ck cl co ct cz da de di do
ea ec ed ee ei el em en er es et eu ev ex fe fi fo fr ga ge gh gr ha he hi ho ia ib ic id ie if ig ij il im in io
ir is it iv ka ke ku la ld le li ll lo ly ma me mi mo mp na nc nd ne ng ni no ns nt oc od oe of oi ol om on oo op
or os ot ou ow pa pe pl po pr qu ra rd re ri ro rs rt ry sa sc se sh si so sp ss st su sz ta te th ti to tr ts tt
tu ua ue ui uk ul um un ur us ut va ve vi wa we wh wi wo ya yo zi"""
"""The commonest letter pairs of newsgroup posts and documentation, and frequent ones of other Latin scripts."""

_PAIRS = frozenset(_COMMON.split())
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[a-z]{2,}")
_RUN = re.compile(r"(\S)\1*")
_WORDS_JUDGED = 200


def quality_ppm(text: str) -> int:
    """Return the quality of ``text`` in millionths: its weakest sign; 0 for a text without words."""
    lowered = text.lower()
    words = _WORD.findall(lowered)[:_WORDS_JUDGED]
    if not words:
        return 0
    return min(_letters(lowered), _variety(words), _runs(lowered), _pairs(lowered))


def _between(part: int, whole: int, low: int, high: int) -> int:
    """Return where ``part / whole`` lies between two percentages, in millionths, clipped to 0 and 1."""
    if whole == 0:
        return PPM
    return max(0, min(PPM, (part * 100 - low * whole) * PPM // ((high - low) * whole)))


def _letters(text: str) -> int:
    visible = [char for char in text if not char.isspace()]
    return _between(sum(char.isalpha() for char in visible), len(visible), 20, 60)


def _variety(words: list[str]) -> int:
    if len(words) < 4:
        return PPM
    return _between(len(set(words)), len(words), 8, 30)


def _runs(text: str) -> int:
    longest = max(match.end() - match.start() for match in _RUN.finditer(text))
    return PPM if longest <= 4 else PPM - _between(longest, len(text), 10, 40)


def _pairs(text: str) -> int:
    latin = "".join(_LATIN.findall(text))
    letters = sum(char.isalpha() for char in text)
    if 2 * len(latin) < letters:
        return PPM
    pairs = [word[at : at + 2] for word in _LATIN.findall(text) for at in range(len(word) - 1)]
    return _between(sum(pair in _PAIRS for pair in pairs), len(pairs), 30, 65)
