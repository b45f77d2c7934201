"""The demonstration's cast: who owns which texts, when they join, what the DAO holds, and who tries to cheat.

Everything follows from the input and the seed. Without a file, the owners are the installed Python packages and their
texts the packages' docstrings. In a file, rows without an owner belong to the DAO: its queries first, the rest as
reference corpus; if there are none, a seeded share of every owner's rows is held out instead.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rodagila.app.holdings import Holdings
from rodagila.collect.docstrings import docstring_corpus
from rodagila.collect.freeloaders import exact_copies, flipped, junk, near_copies
from rodagila.collect.sources import read_records
from rodagila.core.errors import InvalidInput
from rodagila.core.hashing import keccak
from rodagila.core.policy import RecordRules
from rodagila.core.records import Record, record_hash

HONEST = "honest"
HELD_OUT_FOR_QUERIES = 4
HELD_OUT_FOR_REFERENCE = 10


@dataclass(frozen=True, slots=True)
class Options:
    """What the demonstration is asked for; None means the input's own size; ``ledger`` is a node's address."""

    data: Path | None = None
    seed: int = 7
    owners: int = 16
    records: int = 60
    turns: int = 5
    queries: int = 200
    calls: int = 12
    freeloaders: bool = True
    threads: int = field(default_factory=lambda: min(4, os.cpu_count() or 1))
    out: Path = Path("rodagila-demo")
    ledger: str | None = None


@dataclass(frozen=True, slots=True)
class Participant:
    """One owner: ``kind`` is honest or how it cheats; ``turn`` is when it joins."""

    name: str
    kind: str
    turn: int
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a demonstration plays."""

    task: str
    participants: tuple[Participant, ...]
    holdings: Holdings


def build(options: Options) -> Scenario:
    """Return the scenario of ``options``; raises ``InvalidInput`` where the input is too small for it."""
    owned, holdings = _from_docstrings(options) if options.data is None else _from_file(options.data, options)
    if len(owned) < 2:
        raise InvalidInput(
            "file_empty",
            f"The input has texts of {len(owned)} owner; a demonstration needs at least two.",
            hint="Give a file with an owner column.",
        )
    labels = {bool(record.label) for records in owned.values() for record in records}
    spare = _spare_texts(owned, options)
    if options.freeloaders:
        holdings = _without_answers(holdings, {record.answer for record in spare if record.answer})
    honest = _schedule(owned, options.turns)
    cheats = _freeloaders(honest, spare, options) if options.freeloaders else ()
    return Scenario("classify" if labels == {True} else "retrieve", (*honest, *cheats), holdings)


def _from_docstrings(options: Options) -> tuple[dict[str, list[Record]], Holdings]:
    corpus = docstring_corpus(
        owners=options.owners + 1, records_per_owner=options.records, queries=options.queries, seed=options.seed
    )
    return corpus.owners, Holdings(tuple(corpus.reference), tuple(corpus.scoring), tuple(corpus.gate))


def _from_file(path: Path, options: Options) -> tuple[dict[str, list[Record]], Holdings]:
    reading = read_records(path, RecordRules(on_malformed="refuse"))
    owned: dict[str, list[Record]] = defaultdict(list)
    unowned: list[Record] = []
    for row in reading.rows:
        (owned[row.owner] if row.owner else unowned).append(row.record)
    if not unowned:
        owned, queries, reference = _hold_out(owned, options.seed)
        unowned = [*queries, *reference]
        options = _with_queries(options, len(queries) // 2)
    names = sorted(owned)[: options.owners + 1]
    count = min(options.queries, len(unowned) // 2)
    holdings = Holdings(tuple(unowned[2 * count :]), tuple(unowned[:count]), tuple(unowned[count : 2 * count]))
    return {name: owned[name][: options.records] for name in names}, holdings


def _with_queries(options: Options, available: int) -> Options:
    from dataclasses import replace

    return replace(options, queries=min(options.queries, available))


def _hold_out(owned: dict[str, list[Record]], seed: int) -> tuple[dict[str, list[Record]], list[Record], list[Record]]:
    kept: dict[str, list[Record]] = defaultdict(list)
    queries: list[Record] = []
    reference: list[Record] = []
    for owner, records in owned.items():
        for record in records:
            draw = int.from_bytes(keccak(seed.to_bytes(8, "big") + record_hash(record))[:8], "big")
            if draw % HELD_OUT_FOR_QUERIES == 0:
                queries.append(record)
            elif draw % HELD_OUT_FOR_REFERENCE == 1:
                reference.append(record)
            else:
                kept[owner].append(record)
    return kept, queries, reference


def _without_answers(holdings: Holdings, answers: set[str]) -> Holdings:
    """Leave out queries for answers that only the flipper's texts would have: nobody in the play could answer them."""
    scoring, gate = (
        tuple(query for query in queries if query.answer not in answers)
        for queries in (holdings.scoring, holdings.gate)
    )
    return Holdings(holdings.reference, scoring, gate)


def _spare_texts(owned: dict[str, list[Record]], options: Options) -> list[Record]:
    """Take from ``owned`` the texts that the label flipper will spoil: true texts that no honest owner brings too."""
    last = list(owned)[-1]
    if len(owned) > options.owners:
        return owned.pop(last)
    texts = owned[last]
    owned[last] = texts[::2]
    return texts[1::2]


def _schedule(owned: dict[str, list[Record]], turns: int) -> tuple[Participant, ...]:
    """Spread the owners over the turns, so that the data set grows from turn to turn."""
    names = list(owned)
    return tuple(
        Participant(name, HONEST, 1 + place * turns // len(names), tuple(owned[name]))
        for place, name in enumerate(names)
    )


def _freeloaders(honest: Sequence[Participant], spare: Sequence[Record], options: Options) -> tuple[Participant, ...]:
    """Return the four who cheat; they join right after their victims, in the second turn if there is one."""
    victims = [person for person in honest if person.turn == 1]
    first, last = victims[0], victims[-1]
    turn = min(2, options.turns)
    return (
        Participant("copier", "exact copy", turn, tuple(exact_copies(first.records))),
        Participant("paraphraser", "near copy", turn, tuple(near_copies(last.records, options.seed))),
        Participant("spammer", "junk", turn, _junk_like(first.records, options.seed)),
        Participant("flipper", "flipped", turn, tuple(flipped(spare, options.seed))),
    )


def _junk_like(records: Sequence[Record], seed: int) -> tuple[Record, ...]:
    """Return as many junk texts as ``records``, with their labels where they have some: junk that looks on topic."""
    return tuple(
        Record(text.text, label=record.label) if record.label else text
        for text, record in zip(junk(len(records), seed), records, strict=True)
    )
