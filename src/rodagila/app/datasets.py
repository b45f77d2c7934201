"""The report of a DAO's data set: completeness, consistency, noise, bias and contamination, in figures alone.

The data set of turn t is what the proofs of turns 1 to t accepted. Texts are opened in memory, measured and forgotten:
no text and no answer is in the report. Labels of a classifying DAO are (its public files name them too); owners
appear by address with the number of their records.

    labels suspect            = another label is likelier by far      learn.label_noise
    Gini                      = sum of (2 i - n - 1) x_i / (n sum x)   over sizes x in rising order; 0 if all are equal
    effective owners          = 1 / sum of squared shares             Herfindahl's number
    gap to the gate           = half the sum over labels of |share in the data - share in the gate set|

>>> gini([5, 5, 5])
0.0
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from rodagila.app.book import Book, embed, read_book
from rodagila.app.daos import Dao
from rodagila.app.turns import turn_rows
from rodagila.core.errors import InvalidInput, NotFound
from rodagila.core.hashing import hex0x
from rodagila.core.money import PPM
from rodagila.core.policy import Policy
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array
from rodagila.learn.head import predict, solve, statistics
from rodagila.learn.label_noise import find_label_noise
from rodagila.prove.checks import ACCEPTED, DUPLICATE
from rodagila.prove.contamination import contamination
from rodagila.prove.duplicates import duplicates_among, normalised
from rodagila.prove.findings import Findings, shared_runs
from rodagila.prove.language import UNJUDGED
from rodagila.prove.quality import quality_ppm

LISTED = 20
MOST_BYTES = 1 << 16
Values = dict[str, Any]


def dataset_report(dao: Dao, turn: int | None = None, words: str = "") -> Values:
    """Return the report of the data set up to ``turn``, by default the newest turn in which something is accepted.

    ``words`` replace the policy's toxic words. Raises ``NotFound`` turn_unknown or turn_empty.
    """
    turn, book = _book(dao, turn)
    policy = dao.policy_of(turn)
    held, records, vectors = dao.holdings(), book.records, book.vectors
    owners = Counter(book.pages[page].stored.owner for page in book.source)
    classify = policy.model.task == "classify"
    targets = [record.label if classify else record.target for record in records]
    gate_vectors, scoring_vectors = embed(dao, held.gate), embed(dao, held.scoring)
    return {
        "dao": dao.name,
        "turn": turn,
        "task": policy.model.task,
        "hash": hex0x(book.proofs_root()),
        "records": len(records),
        "owners": len(owners),
        "contributions": len(set(book.source)),
        "completeness": _completeness(book, records, policy, [query.target for query in held.gate], targets),
        "consistency": _consistency(book, records, targets, classify),
        "noise": _noise(records, vectors, targets, policy, words),
        "bias": _bias(records, vectors, targets, owners, policy, (held.gate, gate_vectors)),
        "contamination": {
            "gate": contamination(records, vectors, held.gate, gate_vectors, policy.checks).as_json(),
            "scoring": contamination(records, vectors, held.scoring, scoring_vectors, policy.checks).as_json(),
        },
    }


def read_words(path: Path) -> str:
    """Return the words of a UTF-8 file of at most 64 KiB; raises ``InvalidInput`` for anything else."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        words = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "file_unreadable",
            f"The words in {path} cannot be read: {error}.",
            hint="Give a UTF-8 text with one word a line.",
        ) from error
    if len(data) > MOST_BYTES:
        raise InvalidInput("file_too_large", f"{path} is larger than {MOST_BYTES:,} bytes.", hint="Give fewer words.")
    if not normalised(words):
        raise InvalidInput("file_empty", f"{path} holds no words.", hint="Give one word a line.")
    return words


def _book(dao: Dao, turn: int | None) -> tuple[int, Book]:
    known = [row.number for row in turn_rows(dao)]
    if turn is not None and turn not in known:
        raise NotFound("turn_unknown", f"The DAO {dao.name!r} has no turn {turn}.", hint="Run: roda turn list")
    book = read_book(dao, up_to=turn or max(known, default=0))
    if not book.places:
        raise NotFound(
            "turn_empty",
            f"The data set of the DAO {dao.name!r} holds no accepted record yet.",
            hint=f"Contribute, then run: roda turn close --dao {dao.name}",
        )
    return turn or max(book.pages[page].stored.turn for page in book.source), book


def _completeness(
    book: Book, records: Sequence[Record], policy: Policy, wanted: Sequence[str], targets: Sequence[str]
) -> Values:
    details = [item for page in book.pages for item in page.details]
    reasons = Counter(str(item["reason"]) for item in details if item["status"] not in (ACCEPTED, DUPLICATE))
    sizes = Counter(targets)
    needed = set(wanted)
    return {
        "given": sum(page.stored.count for page in book.pages),
        "accepted": len(records),
        "duplicate": sum(item["status"] == DUPLICATE for item in details),
        "refused": dict(sorted(reasons.items())),
        "not_proven": sum(page.stored.count for page in book.pages if page.proof is None),
        "with_label_ppm": _share(sum(bool(record.label) for record in records), len(records)),
        "with_answer_ppm": _share(sum(bool(record.answer) for record in records), len(records)),
        "targets": len(sizes),
        "records_per_target": _spread(sizes.values()),
        "gate_targets": len(needed),
        "gate_targets_without_records": len(needed - set(sizes)),
        "characters": _spread(len(record.text) for record in records),
        "shortest_allowed": policy.records.min_chars,
    }


def _consistency(book: Book, records: Sequence[Record], targets: Sequence[str], classify: bool) -> Values:
    spelled: dict[str, set[str]] = defaultdict(set)
    for target in targets if classify else ():
        spelled[normalised(target.replace("_", " ").replace("-", " "))].add(target)
    place_owner = {
        page.stored.first_place + index: page.stored.owner
        for page in book.pages
        if page.stored.first_place is not None
        for index in range(page.stored.count)
    }
    copies: Counter[str] = Counter()
    for page in book.pages:
        for item in page.details:
            if item["status"] == DUPLICATE:
                original = place_owner.get(item["duplicate_of"])
                of_whom = "reference" if original is None else "own" if original == page.stored.owner else "others"
                copies[of_whom] += 1
    return {
        "labels_spelled_differently": sum(len(names) for names in spelled.values() if len(names) > 1),
        "duplicates_of_own_records": copies["own"],
        "duplicates_of_other_owners": copies["others"],
        "duplicates_of_the_reference": copies["reference"],
        "duplicates_left": _left(book, records),
        "duplicates_with_another_target": _contradictions(book),
        "near_an_earlier_record": sum(
            item["nearest_ppm"] >= book.dao.policy_of(page.stored.turn).checks.near_cosine_ppm
            for page in book.pages
            for item in page.details
            if item["status"] == ACCEPTED
        ),
    }


def _left(book: Book, records: Sequence[Record]) -> int:
    """Return how many accepted records are duplicates all the same, by the limit in force at the last turn."""
    limit = book.dao.policy.checks.minhash_jaccard_ppm
    return sum(original is not None for original in duplicates_among([record.text for record in records], limit))


def _contradictions(book: Book) -> int:
    """Return how many duplicates say something else of the same text than the accepted record does."""
    said = {place: record.target for place, record in zip(book.places, book.records, strict=True)}
    found = 0
    for page in book.pages:
        for index, item in enumerate(page.details):
            if item["status"] == DUPLICATE and page.opened is not None:
                original = said.get(item["duplicate_of"])
                found += original is not None and original != page.opened.records[index].target
    return found


def _noise(records: Sequence[Record], vectors: Int8Array, targets: Sequence[str], policy: Policy, words: str) -> Values:
    rules = replace(policy.checks, toxic_words=words) if words else policy.checks
    findings = Findings(rules)
    counts = Counter(kind for record in records for kind in findings.of(record.text))
    qualities = [quality_ppm(record.text) for record in records]
    body: Values = {
        "personal_data_left": counts["personal"],
        "toxic": counts["toxic"],
        "repetitive": counts["repetition"],
        "boilerplate": counts["boilerplate"],
        "shared_runs": sum(shared_runs([record.text for record in records])),
        "quality_ppm": _spread(qualities),
        "judged_by_words": len(findings.words),
    }
    if policy.model.task == "classify":
        noise = find_label_noise(vectors, targets, ridge_ppm=policy.model.ridge_ppm)
        body |= {
            "labels_judged": noise.judged,
            "labels_suspect": len(noise.suspects),
            "wrong_labels_estimated_ppm": noise.share_ppm,
            "confused": [{"label": a, "likelier": b, "records": n} for a, b, n in noise.confused[:LISTED]],
        }
    return body


def _bias(
    records: Sequence[Record],
    vectors: Int8Array,
    targets: Sequence[str],
    owners: Counter[str],
    policy: Policy,
    gate: tuple[Sequence[Record], Int8Array],
) -> Values:
    sizes, asked = Counter(targets), Counter(query.target for query in gate[0])
    shares = [count / len(records) for count in owners.values()]
    body: Values = {
        "gini_of_targets": round(gini(sizes.values()), 4),
        "gap_to_the_gate": round(gap(sizes, asked), 4),
        "gini_of_owners": round(gini(owners.values()), 4),
        "largest_owner_ppm": int(max(shares) * PPM),
        "effective_owners": round(1 / sum(share**2 for share in shares), 2),
        "largest_owners": [{"owner": owner, "records": count} for owner, count in owners.most_common(LISTED)],
        "languages": _languages(records),
    }
    if policy.model.task == "classify":
        body["labels"] = [{"label": label, "records": count} for label, count in sizes.most_common(LISTED)]
        body |= _by_label(vectors, targets, policy, gate)
    return body


def _by_label(
    vectors: Int8Array, targets: Sequence[str], policy: Policy, gate: tuple[Sequence[Record], Int8Array]
) -> Values:
    """Return how evenly a head of these records alone serves the labels of the gate set."""
    head = solve(statistics(vectors, targets), policy.model.ridge_ppm)
    said = [head.labels[place] for place in predict(head, gate[1])[0]]
    right: dict[str, list[int]] = defaultdict(list)
    for query, label in zip(gate[0], said, strict=True):
        right[query.target].append(int(query.target == label))
    shares = {label: sum(hits) * PPM // len(hits) for label, hits in right.items()}
    worst = sorted(shares.items(), key=lambda item: (item[1], item[0]))
    return {
        "gate_accuracy_ppm": _share(sum(sum(hits) for hits in right.values()), len(gate[0])),
        "gate_accuracy_by_label_ppm": _spread(shares.values()),
        "labels_below_half": sum(share < PPM // 2 for share in shares.values()),
        "worst_labels": [
            {"label": label, "queries": len(right[label]), "accuracy_ppm": share} for label, share in worst[:LISTED]
        ],
    }


def _languages(records: Sequence[Record]) -> list[Values] | None:
    """Return the records by language, the most frequent first; None where languages cannot be told here."""
    languages = Findings().languages
    if not languages.available:
        return None
    counts = Counter(languages.of(record.text)[0] for record in records)
    named = [(code, count) for code, count in counts.most_common() if code != UNJUDGED]
    rows = [{"language": code, "records": count} for code, count in named[:LISTED]]
    return [*rows, {"language": "not judged", "records": counts[UNJUDGED]}] if counts[UNJUDGED] else rows


def gini(sizes: Iterable[int]) -> float:
    """Return Gini's coefficient of ``sizes``: 0 if all are equal, near 1 if one holds everything."""
    ordered = np.sort(np.array(list(sizes), np.float64))
    total = ordered.sum()
    if not total:
        return 0.0
    ranks = np.arange(1, len(ordered) + 1)
    return float((2 * ranks - len(ordered) - 1) @ ordered / (len(ordered) * total))


def gap(have: Counter[str], want: Counter[str]) -> float:
    """Return the total variation distance of two distributions, from 0 to 1."""
    left, right = max(have.total(), 1), max(want.total(), 1)
    return sum(abs(have[key] / left - want[key] / right) for key in have.keys() | want.keys()) / 2


def _spread(values: Iterable[int]) -> Values:
    ordered = sorted(values)
    if not ordered:
        return {"least": 0, "median": 0, "most": 0}
    return {"least": ordered[0], "median": int(median(ordered)), "most": ordered[-1]}


def _share(part: int, whole: int) -> int:
    return part * PPM // max(1, whole)
