"""A seeded DAO on a real corpus: honest owners contribute over several turns, and attacks are played against it.

Values come from ``value_records``, money from ``settle`` with bonds by the policy's rule, textual duplicates from
``SeenRecords``, what is trained on from the signed check; nothing of the rule is written here again.

    world = World(corpus, Size(), seed=1)
    clean, attacked = world.play([]), world.play(attack(world))
    excess = attacked.share(THIEF) - clean.share(THIEF)         # percent of all that the turns could pay
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle

import numpy as np

from arena.texts import Corpus, embed
from rodagila.app.holdings import phrases
from rodagila.core.hashing import keccak
from rodagila.core.money import PPM
from rodagila.core.policy import BondRules, CheckRules, ValueRules
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array, Int64Array
from rodagila.learn.evaluation import classify_outcomes
from rodagila.learn.head import Head, solve, statistics
from rodagila.prove.duplicates import SeenRecords
from rodagila.reward.settlement import BondedContribution, SettlementInputs, settle
from rodagila.value.examples import Examples, together
from rodagila.value.ocis import ValueInputs, value_records

POOL = 10**12
THIEF = "owner 0"
"""The owner who attacks beside contributing honest data, so that the excess over honesty can be measured."""
RIDGE_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is; the scoring queries of a turn are disjoint from those of others and from the gate set."""

    owners: int = 40
    records: int = 50  # of each owner in each turn
    turns: int = 3
    queries: int = 1_000
    gate: int = 1_000
    reference: int = 300

    @property
    def total(self) -> int:
        """How many honest records there are."""
        return self.owners * self.records * self.turns


@dataclass(frozen=True, slots=True)
class Part:
    """What one account contributes in one turn. ``early``: committed before everybody else's of the turn.

    ``texts`` is None for vectors planted at exact cosines, which no textual rule can catch.
    """

    owner: str
    turn: int
    examples: Examples
    texts: tuple[str, ...] | None = None
    early: bool = False


@dataclass(slots=True)
class Played:
    """What the turns gave: ``pay``, ``slash`` and ``records`` by owner, and the heads after the last turn.

    ``heads``: "checked" is trained on what was not slashed, "served" on what was not slashed before the last turn (its
    own model), "unchecked" on everything.
    """

    pay: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    slash: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    records: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    payable: int = 0
    heads: dict[str, Head] = field(default_factory=dict)

    def share(self, *owners: str) -> float:
        """Return the owners' net share of all pools, percent."""
        return 100 * sum(self.pay[owner] - self.slash[owner] for owner in owners) / self.payable

    def flat(self, *owners: str) -> float:
        """Return their share where every record is paid alike, percent."""
        return 100 * sum(self.records[owner] for owner in owners) / sum(self.records.values())

    def starting(self, prefix: str) -> list[str]:
        """Return the owners whose names start with ``prefix``."""
        return [owner for owner in self.records if owner.startswith(prefix)]


class World:
    """Draws who has which text from ``seed``; the corpus is large enough that seeds share little."""

    def __init__(self, corpus: Corpus, size: Size, seed: int, rules: ValueRules | None = None) -> None:
        self.corpus, self.size, self.seed, self.rules = corpus, size, seed, rules or ValueRules()
        self.rng = np.random.default_rng(seed)
        order = self.rng.permutation(len(corpus))
        cuts = np.cumsum([size.total, size.reference, size.gate, size.queries * size.turns])
        self._rows, self.reference_rows, self.gate_rows, queries, self.spare = np.split(order, cuts)
        self.query_rows = np.split(queries, size.turns)
        self._known: dict[bytes, tuple[list[int], list[int]]] = {}
        self._flags: dict[tuple[str, int], list[bool]] = {}
        self.reference = together(self.examples(self.reference_rows), self._phrases())

    def examples(self, rows: Int64Array) -> Examples:
        """Return the corpus's vectors and labels at ``rows``."""
        return Examples(self.corpus.vectors[rows], self.corpus.labels[rows])

    def _phrases(self) -> Examples:
        """Return what a DAO's launch adds to its reference: phrases of every label's name."""
        texts, labels = zip(*phrases(self.corpus.names), strict=True)
        codes = {name: code for code, name in enumerate(self.corpus.names)}
        return Examples(embed(texts), np.array([codes[label] for label in labels], np.int64))

    def texts(self, rows: Int64Array) -> tuple[str, ...]:
        """Return the corpus's texts at ``rows``."""
        return tuple(self.corpus.texts[row] for row in rows)

    @cached_property
    def honest(self) -> dict[int, list[tuple[str, Int64Array]]]:
        """By turn: each owner's rows, in the order of commitment."""
        found = {}
        for turn, rows in enumerate(np.split(self._rows, self.size.turns), 1):
            parts = [(f"owner {i}", part) for i, part in enumerate(np.split(rows, self.size.owners))]
            found[turn] = [parts[i] for i in self.rng.permutation(len(parts))]
        return found

    def rows_before(self, turn: int) -> Int64Array:
        """Return the rows of what honest owners gave in turns before ``turn``: what everybody can have seen."""
        return np.concatenate([rows for t in range(1, turn) for _, rows in self.honest[t]])

    def play(
        self,
        attack: Sequence[Part],
        reference: Examples | None = None,
        *,
        hidden: tuple[frozenset[str], int] | None = None,
    ) -> Played:
        """Play all turns with the parts of an attack; ``reference`` in place of the world's own.

        ``hidden``: these owners are one, who registers every record under the next of so many accounts.
        """
        reference = reference or self.reference
        played, vectors, labels = Played(), [self.corpus.vectors[:0]], [self.corpus.labels[:0]]
        given: list[BondedContribution] = []
        source: list[int] = []
        barred: list[bool] = []
        excluded: list[bool] = []
        duplicates = self._duplicates(attack)
        mean, names = 0, cycle(f"split {k}" for k in range(hidden[1])) if hidden else iter(())
        for turn in range(1, self.size.turns + 1):
            parts = self._parts(turn, attack)
            barred += [flag for _ in parts for flag in next(duplicates)]
            if hidden:
                parts = [small for part in parts for small in _split(part, hidden[0], names)]
            for part in parts:
                count = len(part.examples)
                bond = count * (mean * _multiplier(part.owner, given) if turn > 1 else BondRules().initial)
                key = keccak(f"{turn} {len(given)} {part.owner}".encode())
                given.append(BondedContribution(key, part.owner, turn, count, bond))
                source += [len(given) - 1] * count
                played.records[part.owner] += count
                vectors.append(part.examples.vectors)
                labels.append(part.examples.targets)
            excluded += [False] * (len(source) - len(excluded))
            records = Examples(np.vstack(vectors), np.concatenate(labels))
            closed = np.array(barred) | np.array(excluded)
            turns = [given[at].turn for at in source]
            values = self._values(records, turns, np.array(barred), np.array(excluded), reference)
            done = settle(SettlementInputs(turn, POOL, PPM, tuple(given), source, values[0], values[1], {}, 0, {}))
            owner_of = {contribution.id: contribution.owner for contribution in given}
            for owner, amount in done.payouts.items():
                played.pay[owner] += amount
            for key, amount in done.slash_of.items():
                played.slash[owner_of[key]] += amount
            played.payable += done.payable
            mean = max(BondRules().initial, done.paid // barred.count(False))
            fresh = [given[at].turn == turn for at in source]
            excluded = [a or (b and s < 0) for a, b, s in zip(excluded, fresh, values[1], strict=True)]
        final, everything = np.array(barred) | np.array(excluded), np.zeros(len(records), np.bool_)
        for name, left_out in (("checked", final), ("served", closed), ("unchecked", everything)):
            played.heads[name] = self._head(records, left_out, reference)
        return played

    def _parts(self, turn: int, attack: Sequence[Part]) -> list[Part]:
        own = [Part(owner, turn, self.examples(rows), self.texts(rows)) for owner, rows in self.honest[turn]]
        early = [part for part in attack if part.turn == turn and part.early]
        return early + own + [part for part in attack if part.turn == turn and not part.early]

    def _duplicates(self, attack: Sequence[Part]) -> Iterator[list[bool]]:
        """Yield, part by part over all turns, which records are textual duplicates of earlier ones."""
        seen, place = SeenRecords(), 0
        known = self._flags if all(part.texts is None for part in attack) else {}
        for turn in range(1, self.size.turns + 1):
            for part in self._parts(turn, attack):
                if part.texts is None:
                    yield [False] * len(part.examples)
                    continue
                if (part.owner, turn) not in known:
                    known[part.owner, turn] = _duplicates(seen, part, place)
                yield known[part.owner, turn] if known is self._flags else known.pop((part.owner, turn))
                place += len(part.examples)

    def _values(
        self, records: Examples, turns: list[int], barred: np.ndarray, slashed: np.ndarray, reference: Examples
    ) -> tuple[list[int], list[int]]:
        """Return v and s of every record; textual duplicates, which no proof accepts, have none."""
        queries, since = self.examples(self.query_rows[turns[-1] - 1]), np.array(turns)
        key = keccak(b"".join(x.tobytes() for x in (*_bytes(records), since, barred, slashed, *_bytes(reference))))
        if key not in self._known:
            ones, kept = np.ones(len(queries), np.int64), np.flatnonzero(~barred)
            accepted = ValueInputs(records.take(kept), since[kept], slashed[kept], reference, queries, ones, self.rules)
            found, v, s = value_records(accepted), [0] * len(records), [0] * len(records)
            for at, row in enumerate(kept.tolist()):
                v[row], s[row] = found.v[at], int(found.s[at])
            self._known[key] = v, s
        return self._known[key]

    def _head(self, records: Examples, closed: np.ndarray, reference: Examples) -> Head:
        kept = records.take(~closed)
        both = np.vstack([reference.vectors, kept.vectors])
        names = [self.corpus.names[code] for code in (*reference.targets.tolist(), *kept.targets.tolist())]
        return solve(statistics(both, names), RIDGE_PPM)

    def accuracy(self, head: Head) -> float:
        """Return the head's accuracy on the gate set, percent."""
        gate = self.examples(self.gate_rows)
        return 100 * float(classify_outcomes(head, gate.vectors, [self.corpus.names[c] for c in gate.targets]).mean())


def plant(vectors: Int8Array, cosine: float, rng: np.random.Generator) -> np.ndarray:
    """Return unit float rows at exactly ``cosine`` from ``vectors`` (n, d), in a random direction."""
    base = unit(vectors.astype(np.float64))
    away = rng.normal(size=base.shape)
    away = unit(away - (away * base).sum(axis=1, keepdims=True) * base)
    return cosine * base + np.sqrt(1 - cosine**2) * away


def unit(rows: np.ndarray) -> np.ndarray:
    """Return ``rows`` at length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _multiplier(owner: str, given: Sequence[BondedContribution]) -> int:
    known = any(contribution.owner == owner for contribution in given)
    return BondRules().multiplier if known else BondRules().newcomer_multiplier


def _split(part: Part, owners: frozenset[str], names: Iterator[str]) -> list[Part]:
    if part.owner not in owners:
        return [part]
    texts = part.texts or ("",) * len(part.examples)
    return [Part(next(names), part.turn, part.examples.take([at]), (text,)) for at, text in enumerate(texts)]


def _duplicates(seen: SeenRecords, part: Part, first: int) -> list[bool]:
    """Return which records of ``part`` are textual duplicates of earlier ones, and remember the others."""
    if part.texts is None:
        return [False] * len(part.examples)
    found = []
    for at, (text, vector) in enumerate(zip(part.texts, part.examples.vectors, strict=True)):
        record, place = Record(text), first + at
        jaccard = CheckRules().minhash_jaccard_ppm
        found.append(seen.duplicate_of(record, before=place, jaccard_ppm=jaccard) is not None)
        if not found[-1]:
            seen.add(place, record, vector)
    return found


def _bytes(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    return examples.vectors, examples.targets
