"""Duplicates: has this text been contributed before, byte for byte, nearly, or in meaning?

Three rules, from sure to suggestive. *Exact*: equal normalised text (case, spacing, punctuation and Unicode form do
not count). *MinHash*: Jaccard similarity of word 3-shingles >= the policy's threshold; MinHash with LSH only proposes
candidates, the similarity itself is computed on the whole shingle sets, so it does not depend on luck. *Near*: int8
cosine of the embeddings, which is reported only: a paraphrase may still help, and ordered coverage prices it.
Only earlier places count, so a record is never a duplicate of a later one, and asking again changes nothing.
Source: Broder 1997 (resemblance); Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4 (banding).

>>> seen = SeenRecords()
>>> seen.add(0, Record("Where is my card?"), np.ones(4, np.int8))
>>> seen.duplicate_of(Record("where is   my card"), before=1, jaccard_ppm=800_000)
0
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata

import numpy as np
from datasketch import MinHash, MinHashLSH

from rodagila.core.hashing import keccak
from rodagila.core.money import PPM
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array, Int64Array, dot_products

PERMUTATIONS = 128
BANDS = (32, 4)  # candidates from J of about 0.42 up; one at J = 0.8 is missed once in ten million
SHINGLE = 3
_SEED = 1
_WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """Return the words of ``text`` in one Unicode form and case, separated by single spaces."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def text_key(text: str) -> bytes:
    """Return the hash under which equal texts meet; a text without words stands for itself."""
    return keccak((normalised(text) or text).encode("utf-8", errors="surrogatepass"))


def shingles(text: str) -> frozenset[int]:
    """Return 32-bit SHA-1 hashes of the runs of three words; fewer words, or a text without any, make one run."""
    words = normalised(text).split() or [text]
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


class SeenRecords:
    """All accepted records so far by place, over turns; the reference corpus has negative places."""

    def __init__(self) -> None:
        self._by_text: dict[bytes, int] = {}
        self._shingles: dict[int, frozenset[int]] = {}
        self._lsh = MinHashLSH(num_perm=PERMUTATIONS, params=BANDS)
        self._places: Int64Array = np.empty(0, dtype=np.int64)
        self._vectors: Int8Array = np.empty((0, 0), dtype=np.int8)
        self._blank = MinHash(num_perm=PERMUTATIONS, seed=_SEED, hashfunc=int)

    def __len__(self) -> int:
        return len(self._shingles)

    def __contains__(self, place: int) -> bool:
        return place in self._shingles

    def add(self, place: int, record: Record, vector: Int8Array) -> None:
        """Remember a record and its int8 vector (d,) under its place; a place that is known stays as it is."""
        if place in self._shingles:
            return
        key = text_key(record.text)
        self._by_text[key] = min(place, self._by_text.get(key, place))
        found = shingles(record.text)
        self._lsh.insert(place, self._sketch(found), check_duplication=False)
        self._append(len(self._shingles), place, vector)
        self._shingles[place] = found

    def duplicate_of(self, record: Record, *, before: int, jaccard_ppm: int) -> int | None:
        """Return the earliest place below ``before`` with the same or nearly the same text, or None."""
        exact = self._by_text.get(text_key(record.text))
        if exact is not None and exact < before:
            return exact
        found = shingles(record.text)
        candidates = (int(place) for place in self._lsh.query(self._sketch(found)))
        earlier = (place for place in candidates if place < before)
        similar = (place for place in earlier if jaccard_of(found, self._shingles[place]) >= jaccard_ppm)
        return min(similar, default=None)

    def nearest_ppm(self, vectors: Int8Array, *, before: int) -> list[int]:
        """Return for each int8 row (n, d) the highest cosine, in millionths, to a record placed below ``before``."""
        count = len(self)
        chosen = self._vectors[:count][self._places[:count] < before]
        return highest_cosines(vectors, chosen)

    def _sketch(self, found: frozenset[int]) -> MinHash:
        sketch = self._blank.copy()
        sketch.update_batch(sorted(found))
        return sketch

    def _append(self, count: int, place: int, vector: Int8Array) -> None:
        if count == len(self._places):
            size = max(256, 2 * count)
            places, vectors = np.zeros(size, dtype=np.int64), np.zeros((size, vector.shape[0]), dtype=np.int8)
            places[:count] = self._places[:count]
            if count:
                vectors[:count] = self._vectors[:count]
            self._places, self._vectors = places, vectors
        self._places[count], self._vectors[count] = place, vector


def highest_cosines(vectors: Int8Array, others: Int8Array) -> list[int]:
    """Return for each int8 row (n, d) its highest cosine, in millionths, to rows (m, d); 0 without others."""
    if not len(others) or not len(vectors):
        return [0] * len(vectors)
    dots = dot_products(vectors, others)
    own, theirs = _squared(vectors), _squared(others)
    # float64 ranks the candidates: division and root are exact to the last bit in IEEE 754, so on every machine alike
    best = np.argmax(dots / np.sqrt(np.maximum(theirs, 1).astype(np.float64)), axis=1)
    return [cosine_ppm(int(dots[row, at]), int(own[row]) * int(theirs[at])) for row, at in enumerate(best.tolist())]


def _squared(vectors: Int8Array) -> Int64Array:
    squared: Int64Array = np.square(vectors.astype(np.int64)).sum(axis=1)
    return squared
