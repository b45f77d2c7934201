"""CLINC150 as a file for the demonstration: 40 owners by a seeded rule, and the DAO's own queries and reference."""

from __future__ import annotations

import json
import random
from pathlib import Path

OWNERS, RECORDS, QUERIES, REFERENCE = 40, 75, 1_000, 300


def write_demo_file(source: Path, target: Path, seed: int = 1) -> None:
    """Write the rows: each owner's 75 texts, one more owner's for the flipper, and 2,300 rows without an owner."""
    body = json.loads(source.read_text())
    rows = [(text, label) for part in ("train", "val") for text, label in body[part]]
    random.Random(seed).shuffle(rows)
    lines = []
    for place, (text, label) in enumerate(rows[: (OWNERS + 1) * RECORDS + 2 * QUERIES + REFERENCE]):
        owner = f"owner-{place // RECORDS:02}" if place < (OWNERS + 1) * RECORDS else ""
        lines.append(json.dumps({"owner": owner, "text": text, "label": label}))
    target.write_text("\n".join(lines) + "\n")
