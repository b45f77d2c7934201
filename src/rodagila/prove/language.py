"""Language: which language is a text in, and is it one that the policy asks for?

Byte n-grams by py3langid (BSD-3-Clause, 4.6 MB, numpy only; Lui and Baldwin, langid.py, ACL 2012), held to the
``CANDIDATES`` and the policy's own languages: fewer candidates make short texts far surer (short messages of 27
languages: 93% right among 97 candidates, 97% among these). A text is *foreign* only if another language is at least
``SURE`` likely, because short queries are easily mistaken; so some foreign texts pass. One with fewer than
``FEWEST`` letters is not judged.

>>> Languages("en").foreign("where is my bank card")  # doctest: +SKIP
False
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM

_CODES = "ar bg cs da de el en es fi fr he hi hu id it ja ko nl pl pt ro ru sv tr uk vi zh"
CANDIDATES = frozenset(_CODES.split())
SURE = 800_000
FEWEST = 12
UNJUDGED = ""
ANY = "any"


class Languages:
    """The languages a policy asks for, as ISO 639-1 codes with commas between them, or ``any``."""

    def __init__(self, wanted: str = ANY) -> None:
        self.wanted = frozenset(wanted.replace(",", " ").lower().split()) - {ANY}
        self._identifier: Any = None

    @property
    def available(self) -> bool:
        """Whether languages can be told here."""
        return _identifier_class() is not None

    def of(self, text: str) -> tuple[str, int]:
        """Return (code, probability in millionths); an empty code where the text has too few letters to be judged.

        Raises ``InvalidInput`` policy_invalid if py3langid is missing or does not know a wanted language.
        """
        if _letters(text) < FEWEST:
            return UNJUDGED, 0
        code, probability = self._load().classify(text)
        return str(code), int(float(probability) * PPM)

    def foreign(self, text: str) -> bool:
        """Tell whether the text is surely in a language that is not wanted; never where none is asked for."""
        if not self.wanted:
            return False
        code, probability = self.of(text)
        return code != UNJUDGED and code not in self.wanted and probability >= SURE

    def _load(self) -> Any:
        if self._identifier is None:
            kind = _identifier_class()
            if kind is None:
                raise InvalidInput(
                    "policy_invalid",
                    "Telling languages needs py3langid, which is not installed.",
                    hint="Install py3langid, or set checks.languages to any.",
                )
            made = kind[0].from_model_file(kind[1], norm_probs=True)
            unknown = sorted(self.wanted - set(made.nb_classes))
            if unknown:
                raise InvalidInput(
                    "policy_invalid",
                    f"checks.languages names {', '.join(unknown)}, which cannot be told from others.",
                    hint="Give ISO 639-1 codes, such as en, de or id.",
                )
            made.set_languages(sorted(CANDIDATES | self.wanted))
            self._identifier = made
        return self._identifier


@functools.cache
def _identifier_class() -> tuple[Any, Any] | None:
    try:
        module = importlib.import_module("py3langid.langid")
    except ImportError:
        return None
    return module.LanguageIdentifier, module.MODEL_FILE


def _letters(text: str) -> int:
    # A letter of a script without spaces says as much as several of the alphabet.
    return sum(4 if "\u2e80" <= char <= "\ud7ff" else 1 for char in text if char.isalpha())
