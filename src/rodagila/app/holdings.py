"""What a DAO holds itself: its reference corpus, the scoring pool and the gate set, sealed to its operator.

The reference corpus R is what the treasury owns: data that repeats it earns nothing (MECHANISM 1, step 4). Scoring
queries decide pay, gate queries measure the model; the two are disjoint, so that nobody is paid for fitting the gate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from eth_account.signers.local import LocalAccount

from rodagila.core.canonical import canonical_json
from rodagila.core.hashing import keccak
from rodagila.core.records import Record, record_hash
from rodagila.vault.sealing import age_identity, open_sealed, recipient_of, seal


@dataclass(frozen=True, slots=True)
class Holdings:
    """The DAO's own records in their fixed order."""

    reference: tuple[Record, ...]
    scoring: tuple[Record, ...]
    gate: tuple[Record, ...]


PHRASES = ("{}", "about {}", "how do i do {}", "i need {}", "please tell me about {}")
"""What anybody can write who knows no more than a label's name."""


def phrases(labels: Iterable[str]) -> list[tuple[str, str]]:
    """Return (text, label) of every phrase about every one of ``labels``, sorted."""
    names = {label: " ".join(re.sub(r"[_.\-/]+", " ", label).split()) for label in sorted(set(labels)) if label}
    return [(phrase.format(name), label) for label, name in names.items() if name for phrase in PHRASES]


def with_phrases(holdings: Holdings) -> Holdings:
    """Return ``holdings`` whose reference says of every label what its name says, so that filler repeats it.

    On CLINC150 an owner who sends such phrases ahead of everybody takes 12 to 14 points of the pool from a reference of
    300 records, and about 3 once the treasury owns five phrases of each label (``python -m arena.run``, row 4).
    """
    labels = [record.label for part in (holdings.reference, holdings.scoring, holdings.gate) for record in part]
    known = {record.text for record in holdings.reference}
    added = [Record(text, label) for text, label in phrases(label or "" for label in labels) if text not in known]
    return replace(holdings, reference=(*holdings.reference, *added))


def split_queries(queries: Sequence[Record]) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Return scoring and gate halves, chosen by the records' hashes so that equal texts never sit on both sides."""
    distinct = {record_hash(record): record for record in queries}
    ordered = [distinct[key] for key in sorted(distinct, key=lambda key: keccak(b"gate or scoring" + key))]
    half = len(ordered) // 2
    return tuple(ordered[:half]), tuple(ordered[half:])


def seal_holdings(holdings: Holdings, operator: LocalAccount) -> bytes:
    """Return the holdings sealed to the operator's age key."""
    body = {
        "version": 1,
        "reference": [record.as_json() for record in holdings.reference],
        "scoring": [record.as_json() for record in holdings.scoring],
        "gate": [record.as_json() for record in holdings.gate],
    }
    return seal(canonical_json(body), [recipient_of(age_identity(operator))])


def open_holdings(ciphertext: bytes, operator: LocalAccount) -> Holdings:
    """Return the holdings that ``seal_holdings`` sealed."""
    body = json.loads(open_sealed(ciphertext, [age_identity(operator)]))
    parts = [tuple(Record.from_json(row) for row in body[name]) for name in ("reference", "scoring", "gate")]
    return Holdings(*parts)
