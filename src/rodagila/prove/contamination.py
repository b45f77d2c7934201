"""Contamination: records that repeat what the model is measured on, or what data is paid by.

A record touches a query *exactly* if their normalised texts are equal, *nearly* if their word 3-shingles have the
policy's Jaccard similarity (MinHash proposes, whole sets decide), *in meaning* if the cosine of their int8 vectors is
at least the policy's. The first two inflate the gate's accuracy or are paid for knowing the queries; the
third also finds honest paraphrases, of which a crowded subject has many.
The same rules as for duplicates, on two sets: ``prove.duplicates``.

>>> touched = contamination([Record("Where is my card")], vectors, [Record("where is my card?")], vectors, CheckRules())
...                                                                            # doctest: +SKIP
>>> touched.exact                                                              # doctest: +SKIP
1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rodagila.core.errors import InvalidInput
from rodagila.core.policy import CheckRules
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array
from rodagila.prove.duplicates import SeenTexts, highest_cosines, prepare, text_key

_BLOCK = 2_000


@dataclass(frozen=True, slots=True)
class Contamination:
    """How many of ``records`` touch one of ``queries`` exactly, nearly or in meaning, each counted once, by the surest.

    ``queries_touched`` counts the queries that some record repeats exactly or nearly; ``places`` are those records'.
    """

    records: int
    queries: int
    exact: int
    near: int
    meaning: int
    queries_touched: int
    places: tuple[int, ...]

    def as_json(self) -> dict[str, int]:
        """Return the counts; places are left out."""
        body = asdict(self)
        del body["places"]
        return body


def contamination(
    records: Sequence[Record],
    vectors: Int8Array,
    queries: Sequence[Record],
    query_vectors: Int8Array,
    rules: CheckRules,
) -> Contamination:
    """Compare ``records`` with ``queries``, whose int8 ``vectors`` (n, d) and ``query_vectors`` (m, d) are given."""
    if len(records) != len(vectors) or len(queries) != len(query_vectors):
        raise InvalidInput("invalid_request", "Every record and every query needs a vector.")
    asked, keys = SeenTexts(), {text_key(query.text) for query in queries}
    asked.add(range(len(queries)), prepare([query.text for query in queries]))
    exact, near, meaning, places, touched = 0, 0, 0, [], set()
    for start in range(0, len(records), _BLOCK):
        part = records[start : start + _BLOCK]
        cosines = highest_cosines(vectors[start : start + _BLOCK], query_vectors)
        everything = [len(queries)] * len(part)
        found = asked.originals(prepare([record.text for record in part]), everything, rules.minhash_jaccard_ppm)
        for at, (record, repeated) in enumerate(zip(part, found, strict=True)):
            if repeated is None:
                meaning += cosines[at] >= rules.near_cosine_ppm
                continue
            same = text_key(record.text) in keys
            exact, near = exact + same, near + (not same)
            places.append(start + at)
            touched.add(repeated)
    return Contamination(len(records), len(queries), exact, near, meaning, len(touched), tuple(places))
