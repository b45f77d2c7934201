"""The preview of a contribution: its records as they would leave the machine, what was replaced, what may be missed.

Records are redacted one at a time, exactly as preparing the contribution does, and only those to show are kept.

>>> preview = preview_of([Record("mail ada@example.org"), Record("hello")], show=1)
>>> preview.redactions, [record.text for record in preview.shown]
({'email': 1}, ['mail <email>'])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rodagila.core.canonical import canonical_json
from rodagila.core.records import Record
from rodagila.core.redaction import REMAINING_RISK, NameFinder, redact


@dataclass(frozen=True, slots=True)
class Preview:
    """Redacted records to show, bytes of all of them, counts of what was replaced, and the risk that remains."""

    shown: tuple[Record, ...]
    size: int
    redactions: Mapping[str, int]
    redacted_records: int
    risk: str

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that a dry run shows."""
        return {
            "bytes": self.size,
            "redactions": dict(self.redactions),
            "redacted_records": self.redacted_records,
            "shown": [record.as_json() for record in self.shown],
            "remaining_risk": self.risk,
        }


def redacted(record: Record, names: NameFinder | None = None) -> tuple[Record, Counter[str]]:
    """Return ``record`` with every part redacted, and how many of each category were replaced."""
    counts: Counter[str] = Counter()
    texts = []
    for part in (record.text, record.label, record.answer):
        clean = redact(part, names=names)
        counts.update(clean.counts)
        texts.append(clean.text)
    return Record(*texts), counts


def preview_of(records: Iterable[Record], show: int, names: NameFinder | None = None) -> Preview:
    """Return the preview of a contribution of ``records`` with the first ``show`` of them."""
    counts: Counter[str] = Counter()
    shown: list[Record] = []
    size = touched = 0
    for record in records:
        clean, found = redacted(record, names)
        counts.update(found)
        size += len(canonical_json(clean.as_json()))
        touched += bool(found)
        if len(shown) < show:
            shown.append(clean)
    return Preview(tuple(shown), size, dict(sorted(counts.items())), touched, REMAINING_RISK)
