"""Duplicates: has this text been contributed before, byte for byte, nearly, or in meaning?

Three rules, from sure to suggestive. *Exact*: equal normalised text (case, spacing, punctuation and Unicode form do
not count). *MinHash*: Jaccard similarity of word 3-shingles >= the policy's threshold; MinHash with banding only
proposes candidates, the similarity itself is computed on the whole shingle sets, so it does not depend on luck. *Near*:
int8 cosine of the embeddings, which is reported only: a paraphrase may still help, and ordered coverage prices it.
Only earlier places count, so a record is never a duplicate of a later one, and asking again changes nothing.
Source: Broder 1997 (resemblance). One text or a million take the same path, a million in about a minute.

>>> seen = SeenRecords()
>>> seen.add(0, Record("Where is my card?"), np.ones(4, np.int8))
>>> seen.duplicate_of(Record("where is   my card"), before=1, jaccard_ppm=800_000)
0
>>> duplicates_among(["Where is my card?", "Lock my account", "where is my card"], limit_ppm=800_000)
[None, None, 0]
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rodagila.core.hashing import keccak
from rodagila.core.money import PPM
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array, Int64Array, dot_products
from rodagila.prove.minhash import BandIndex, Growing, Sets, UInt64Array, band_keys, jaccard_ppm, pairs_within

SHINGLE = 3
BLOCK = 8_192
"""How many texts are prepared and compared at once."""
PAIRS = 1 << 22
"""How many candidate pairs are looked at at once; a block that has more is halved."""
CELLS = 1 << 21
"""How many cosines are held at once: 16 MiB an int64 matrix."""
_WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """Return the words of ``text`` in one Unicode form and case, separated by single spaces."""
    return " ".join(_words(text))


def text_key(text: str) -> bytes:
    """Return the hash under which equal texts meet; a text without words stands for itself."""
    return _key(_words(text) or [text])


def shingles(text: str) -> frozenset[int]:
    """Return 32-bit SHA-1 hashes of the runs of three words; fewer words, or a text without any, make one run."""
    return _shingles(_words(text) or [text])


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _key(words: list[str]) -> bytes:
    return keccak(" ".join(words).encode("utf-8", errors="surrogatepass"))


def _shingles(words: list[str]) -> frozenset[int]:
    runs = [" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))]
    digests = (hashlib.sha1(run.encode("utf-8", errors="surrogatepass"), usedforsecurity=False) for run in runs)
    return frozenset(int.from_bytes(digest.digest()[:4], "little") for digest in digests)


def jaccard_of(left: frozenset[int], right: frozenset[int]) -> int:
    """Return the Jaccard similarity of two sets in millionths, rounded down; 0 for two empty sets."""
    union = len(left | right)
    return len(left & right) * PPM // union if union else 0


def cosine_ppm(dot: int, norms: int) -> int:
    """Return floor of ``dot / sqrt(norms)`` in millionths, exactly; ``norms`` is the product of two squared lengths."""
    if norms == 0:
        return 0
    size = math.isqrt(dot * dot * PPM * PPM // norms)
    return size if dot >= 0 else -size


@dataclass(frozen=True, slots=True)
class Prepared:
    """Texts as they are compared: ``keys`` of equal texts, ``sets`` of shingles, keys of MinHash ``bands`` (n, 32)."""

    keys: tuple[bytes, ...]
    sets: Sets
    bands: UInt64Array

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: Sequence[int]) -> Prepared:
        """Return the texts at ``rows``."""
        chosen = np.array(rows, np.int64)
        return Prepared(tuple(self.keys[row] for row in rows), self.sets.take(chosen), self.bands[chosen])


def prepare(texts: Sequence[str]) -> Prepared:
    """Return ``texts`` prepared for comparing."""
    words = [_words(text) or [text] for text in texts]
    sets = Sets.of(_shingles(each) for each in words)
    return Prepared(tuple(_key(each) for each in words), sets, band_keys(sets))


class SeenTexts:
    """Texts by place, over turns; the reference corpus has negative places."""

    def __init__(self) -> None:
        self._by_text: dict[bytes, int] = {}
        self._known: set[int] = set()
        self._places, self._members, self._edges = Growing(np.int64), Growing(np.uint32), Growing(np.int64)
        self._edges.extend(np.zeros(1, np.int64))
        self._index = BandIndex()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, place: int) -> bool:
        return place in self._known

    def add(self, places: Sequence[int], texts: Prepared) -> None:
        """Remember ``texts`` under ``places``, which are distinct and new."""
        for place, key in zip(places, texts.keys, strict=True):
            self._by_text[key] = min(place, self._by_text.get(key, place))
        first = len(self)
        self._known.update(places)
        self._places.extend(np.array(places, np.int64))
        self._edges.extend(texts.sets.edges[1:] + len(self._members.all))
        self._members.extend(texts.sets.members)
        self._index.add(texts.bands, np.arange(first, len(self)))

    def originals(self, texts: Prepared, before: Sequence[int], limit_ppm: int) -> list[int | None]:
        """Return for each text the earliest place below its ``before`` with the same text, else one with nearly it."""
        rows, numbers = self._index.candidates(texts.bands)
        places = self._places.all[numbers]
        earlier = places < np.array(before, np.int64)[rows]
        rows, numbers, places = rows[earlier], numbers[earlier], places[earlier]
        sets = Sets(self._members.all, self._edges.all)
        similar = jaccard_ppm(texts.sets, sets, (rows, numbers)) >= limit_ppm
        found: list[int | None] = [None] * len(texts)
        for row, place in zip(rows[similar].tolist(), places[similar].tolist(), strict=True):
            known = found[row]
            found[row] = place if known is None else min(known, place)
        for row, key in enumerate(texts.keys):
            same = self._by_text.get(key)
            found[row] = same if same is not None and same < before[row] else found[row]
        return found

    def accept(self, places: Sequence[int], texts: Prepared, limit_ppm: int) -> list[int | None]:
        """Return each text's original and remember the texts that have none, as if one came after another.

        ``places`` ascend and lie above all that were added before.
        """
        firsts: dict[bytes, int] = {}
        for at, key in enumerate(texts.keys):
            firsts.setdefault(key, at)
        rows = list(firsts.values())
        found = dict(zip(rows, self._accept([places[at] for at in rows], texts.take(rows), limit_ppm), strict=True))
        originals = []
        for at, key in enumerate(texts.keys):
            first = firsts[key]
            original = found[first]
            originals.append(places[first] if original is None and at != first else original)
        return originals

    def _accept(self, places: Sequence[int], texts: Prepared, limit_ppm: int) -> list[int | None]:
        """Do the same for texts of which no two are equal."""
        many = len(texts) > 1 and self._index.count(texts.bands) > PAIRS
        within = None if many else pairs_within(texts.bands, PAIRS)
        if within is None:
            half = len(texts) // 2
            parts = (range(half), range(half, len(texts)))
            return [
                original
                for part in parts
                for original in self._accept([places[at] for at in part], texts.take(part), limit_ppm)
            ]
        found = self.originals(texts, places, limit_ppm)
        similar = jaccard_ppm(texts.sets, texts.sets, within) >= limit_ppm
        for later, earlier in zip(within[0][similar].tolist(), within[1][similar].tolist(), strict=True):
            if found[later] is None and found[earlier] is None:
                found[later] = places[earlier]
        new = [at for at, original in enumerate(found) if original is None]
        self.add([places[at] for at in new], texts.take(new))
        return found


def duplicates_among(texts: Sequence[str], limit_ppm: int) -> list[int | None]:
    """Return for each text the earliest one before it of which it is a duplicate, None for a new one.

    Texts that are duplicates stand before nobody, as in the checks of a contribution.
    """
    seen, found = SeenTexts(), list[int | None]()
    for start in range(0, len(texts), BLOCK):
        part = texts[start : start + BLOCK]
        found += seen.accept(range(start, start + len(part)), prepare(part), limit_ppm)
    return found


class SeenRecords:
    """All accepted records so far by place, over turns; the reference corpus has negative places."""

    def __init__(self) -> None:
        self._texts = SeenTexts()
        self._places = Growing(np.int64)
        self._vectors: Growing | None = None

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, place: int) -> bool:
        return place in self._texts

    def add(self, place: int, record: Record, vector: Int8Array) -> None:
        """Remember a record and its int8 vector (d,) under its place; a place that is known stays as it is."""
        self.add_all([place], [record], vector[None])

    def add_all(self, places: Sequence[int], records: Sequence[Record], vectors: Int8Array) -> None:
        """Remember records and their int8 vectors (n, d) under their places; those that are known stay as they are."""
        first = {place: at for at, place in reversed(list(enumerate(places))) if place not in self}
        new = sorted(first.values())
        for start in range(0, len(new), BLOCK):
            part = new[start : start + BLOCK]
            here = [places[at] for at in part]
            self._texts.add(here, prepare([records[at].text for at in part]))
            self._places.extend(np.array(here, np.int64))
            self._vectors = self._vectors or Growing(np.int8, vectors.shape[1])
            self._vectors.extend(vectors[part])

    def duplicate_of(self, record: Record, *, before: int, jaccard_ppm: int) -> int | None:
        """Return the earliest place below ``before`` with the same or nearly the same text, or None."""
        return self._texts.originals(prepare([record.text]), [before], jaccard_ppm)[0]

    def nearest_ppm(self, vectors: Int8Array, *, before: int) -> list[int]:
        """Return for each int8 row (n, d) the highest cosine, in millionths, to a record placed below ``before``."""
        if self._vectors is None:
            return [0] * len(vectors)
        return highest_cosines(vectors, self._vectors.all[self._places.all < before])


def highest_cosines(vectors: Int8Array, others: Int8Array) -> list[int]:
    """Return for each int8 row (n, d) its highest cosine, in millionths, to rows (m, d); 0 without others."""
    if not len(others) or not len(vectors):
        return [0] * len(vectors)
    own, best = _squared(vectors), np.full(len(vectors), -np.inf)
    nearest, rows = np.zeros((len(vectors), 2), np.int64), np.arange(len(vectors))
    step = max(1, CELLS // len(vectors))
    for start in range(0, len(others), step):
        part = others[start : start + step]
        dots, theirs = dot_products(vectors, part), _squared(part)
        # float64 ranks the candidates: division and root are exact to the last bit in IEEE 754, so on every machine
        ranks = dots / np.sqrt(np.maximum(theirs, 1).astype(np.float64))
        at = np.argmax(ranks, axis=1)
        better = ranks[rows, at] > best
        best[better] = ranks[rows, at][better]
        nearest[better] = np.stack([dots[rows, at], theirs[at]], axis=1)[better]
    return [cosine_ppm(dot, size * length) for size, (dot, length) in zip(own.tolist(), nearest.tolist(), strict=True)]


def _squared(vectors: Int8Array) -> Int64Array:
    squared: Int64Array = np.square(vectors.astype(np.int64)).sum(axis=1)
    return squared
