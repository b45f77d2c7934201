"""Fidelity: do values say what leaving data out costs? Spearman of group sums with the loss measured without them.

For a seed, records of a real corpus go to 40 owners of unlike size and taste; 20 random groups of 1 to 8 owners are
left out one after another and the head is trained again without them. The *measured loss* of a group is the rise of
the head's expected error (mean of 1 - probability of the right label, at the temperature that is served) on a gate set
that shares no query with the scoring queries. A method's figure is Spearman's correlation between that and the sum of
its values over the group; ``queries`` is the loss of the same groups, measured on the scoring queries instead.

Two orders of the records over six turns (interleaved: everybody gives in every turn; in sequence: owners join one after
another, each with all she has) and four kinds of DAO: all honest; the same with groups of 4 owners each, so that the
number of owners says nothing; a third of the owners careless, up to 60% of whose labels are drawn at random; and these
with a head that no longer learns from what was slashed, as the head of the next turn does.

    python -m arena.fidelity                    # ten seeds; keeps arena/fidelity.json
    python -m arena.fidelity --seeds 2 newsgroups
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr, t

from arena.run import ROOT, code_hash
from arena.texts import Corpus, clinc150, newsgroups
from rodagila.core.policy import ValueRules
from rodagila.core.vectors import Int64Array
from rodagila.learn.head import GramStatistics, Head, add, predict, solve, statistics, subtract
from rodagila.learn.vertical import TEMPERATURE
from rodagila.value.cosine import ONE, cosines
from rodagila.value.examples import Examples, matches
from rodagila.value.games import (
    BoolArray,
    FloatArray,
    FunctionUtility,
    after_samples,
    banzhaf_by_reuse,
    leave_one_out,
)
from rodagila.value.nearest import knn_shapley
from rodagila.value.ocis import ValueInputs, ValueResult, value_records

RESULTS = ROOT / "arena" / "fidelity.json"
OWNERS, GROUPS, LARGEST, TURNS, SEEDS = 40, 20, 8, 6, 10
SPREAD, TASTE = 0.7, 0.3  # of the logarithm of owners' sizes; Dirichlet's parameter of their labels
CARELESS, WORST = 0.3, 0.6
RIDGE_PPM, BANZHAF_SAMPLES = 1_000_000, 120
ORDERS = ("interleaved", "in sequence")
KINDS = ("honest", "honest, groups of 4", "some careless", "some careless, slashed left out")
AIMS = {"interleaved": 0.85, "in sequence": 0.7}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How many texts of a corpus are records, scoring queries, gate queries and reference."""

    records: int
    queries: int
    gate: int
    reference: int


SIZES = {"clinc150": Size(6_000, 1_000, 4_000, 300), "newsgroups": Size(960, 300, 500, 100)}


class Case:
    """A DAO of one seed: who has which records, in which order, and the groups that are left out."""

    def __init__(self, corpus: Corpus, size: Size, seed: int, order: str, kind: str) -> None:
        rng = np.random.default_rng(seed)
        cuts = np.cumsum([size.records, size.queries, size.gate, size.reference])
        rows, queries, gate, reference, _ = np.split(rng.permutation(len(corpus)), cuts)
        self.owner = _owners(corpus.labels[rows], len(corpus.names), rng)
        labels = _labels(corpus.labels[rows], self.owner, len(corpus.names), rng)
        self.groups = np.zeros((GROUPS, OWNERS), np.bool_)
        for group in self.groups:
            count = int(rng.integers(1, LARGEST + 1))
            group[rng.choice(OWNERS, 4 if kind.endswith("groups of 4") else count, replace=False)] = True
        self.leaves_slashed_out = kind.endswith("left out")
        if not kind.startswith("some careless"):
            labels = corpus.labels[rows]
        if order == "in sequence":
            by_owner = np.argsort(self.owner, kind="stable")
            rows, labels, self.owner = rows[by_owner], labels[by_owner], self.owner[by_owner]
        self.records = Examples(corpus.vectors[rows], labels)
        self.queries, self.gate, self.reference = (
            Examples(corpus.vectors[part], corpus.labels[part]) for part in (queries, gate, reference)
        )

    @cached_property
    def values(self) -> ValueResult:
        """The records' values by the rule that pays."""
        count = len(self.records)
        turns, nobody = np.arange(count) * TURNS // count + 1, np.zeros(count, np.bool_)
        ones = np.ones(len(self.queries), np.int64)
        return value_records(ValueInputs(self.records, turns, nobody, self.reference, self.queries, ones, ValueRules()))

    @cached_property
    def parts(self) -> list[GramStatistics]:
        """The head's sums over each owner's records that it learns from."""
        learned = self.values.s >= 0 if self.leaves_slashed_out else np.ones(len(self.owner), np.bool_)
        return [_sums(self.records.take((self.owner == owner) & learned)) for owner in range(OWNERS)]

    @cached_property
    def whole(self) -> GramStatistics:
        """The head's sums over the reference and all records."""
        sums = _sums(self.reference)
        for part in self.parts:
            sums = add(sums, part)
        return sums

    def error_without(self, members: BoolArray, asked: Examples) -> float:
        """Return the expected error on ``asked`` of the head that is trained without ``members`` (owners,)."""
        sums = self.whole
        for owner in np.flatnonzero(members):
            sums = subtract(sums, self.parts[owner])
        return expected_error(solve(sums, RIDGE_PPM), asked)

    def losses(self, asked: Examples) -> FloatArray:
        """Return what leaving out each group costs (groups,) on ``asked``."""
        nobody = np.zeros(OWNERS, np.bool_)
        return np.array([self.error_without(group, asked) for group in self.groups]) - self.error_without(nobody, asked)

    def utility(self) -> FunctionUtility:
        """Return what coalitions of owners are worth on the scoring queries."""
        return FunctionUtility(OWNERS, lambda members: 1 - self.error_without(~members, self.queries))

    def by_owner(self, values: Any) -> FloatArray:
        """Return sums by owner of values by record."""
        return np.bincount(self.owner, weights=np.asarray(values, np.float64), minlength=OWNERS)


def _owners(labels: Int64Array, classes: int, rng: np.random.Generator) -> Int64Array:
    """Return an owner's code for each record: owners differ in size and in the labels they have."""
    weight = rng.lognormal(0, SPREAD, OWNERS)[:, None] * rng.dirichlet(np.full(classes, TASTE), OWNERS)
    chance = np.cumsum(weight / weight.sum(axis=0), axis=0)
    return np.array([np.searchsorted(chance[:-1, label], rng.random()) for label in labels], np.int64)


def _labels(labels: Int64Array, owner: Int64Array, classes: int, rng: np.random.Generator) -> Int64Array:
    """Return the labels as careless owners give them."""
    share = np.where(rng.random(OWNERS) < CARELESS, rng.uniform(0, WORST, OWNERS), 0.0)
    wrong = rng.random(len(labels)) < share[owner]
    return np.where(wrong, rng.integers(0, classes, len(labels)), labels)


def _sums(examples: Examples) -> GramStatistics:
    return statistics(examples.vectors, [str(code) for code in examples.targets.tolist()])


def expected_error(head: Head, asked: Examples) -> float:
    """Return the mean of 1 - probability that the head gives to the right label; a label it does not know has none."""
    scores = predict(head, asked.vectors)[1] / TEMPERATURE
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    place = {label: column for column, label in enumerate(head.labels)}
    columns = np.array([place.get(str(code), -1) for code in asked.targets.tolist()])
    right = odds[np.arange(len(columns)), columns] / odds.sum(axis=1)
    return float(1 - np.where(columns >= 0, right, 0.0).mean())


def net_shares(values: ValueResult) -> FloatArray:
    """Return each record's net share of a turn's pool before bonds cap it (MECHANISM 1, step 7)."""
    signed = values.s.astype(np.float64)
    earned = np.array([float(v) if s >= 0 else 0.0 for v, s in zip(values.v, values.s.tolist(), strict=True)])
    harm = np.minimum(signed, 0) / max(float(signed[signed > 0].sum()), 1.0)
    return earned / max(float(earned.sum()), 1.0) + harm


def _knn(case: Case) -> FloatArray:
    distances = 1 - cosines(case.queries.vectors, case.records.vectors) / ONE
    agree = matches(case.queries, case.records)
    return case.by_owner(knn_shapley(distances, agree, ValueRules().check_k).values)


METHODS: dict[str, Callable[[Case], FloatArray]] = {
    "ocis": lambda case: case.by_owner(net_shares(case.values)),
    "coverage": lambda case: case.by_owner(case.values.u),
    "signed check": lambda case: case.by_owner(case.values.s),
    "knn_shapley": _knn,
    "banzhaf_reuse": lambda case: banzhaf_by_reuse(case.utility(), after_samples(BANZHAF_SAMPLES)).values,
    "leave_one_out": lambda case: leave_one_out(case.utility()).values,
    "data size": lambda case: case.by_owner(np.ones(len(case.owner))),
}
"""Values by owner (owners,) of each method; what a group is worth is their sum."""


ORDERED = ("ocis", "coverage", "signed check")
"""What depends on the order of records; the others are measured once where the heads of both orders are one."""


def measure(corpus: str, seed: int, kind: str) -> dict[str, dict[str, float]]:
    """Return the correlation of every method, by order, for the owners of one seed."""
    texts = {"clinc150": clinc150, "newsgroups": newsgroups}[corpus]()
    found: dict[str, dict[str, float]] = {}
    for order in ORDERS:
        case = Case(texts, SIZES[corpus], seed, order, kind)
        if not found or case.leaves_slashed_out:
            lost = case.losses(case.gate)
            free = {name: method(case) for name, method in METHODS.items() if name not in ORDERED}
            ceiling = _spearman(case.losses(case.queries), lost)
        values = {name: free[name] if name in free else method(case) for name, method in METHODS.items()}
        found[order] = {name: _spearman(case.groups @ each, lost) for name, each in values.items()}
        found[order]["queries"] = ceiling
    return found


def _spearman(left: FloatArray, right: FloatArray) -> float:
    return float(spearmanr(left, right).statistic)


def row_of(where: tuple[str, str, str], method: str, values: list[float]) -> Row:
    """Return a row: the mean over seeds and its 95% interval by Student's t, both taken on Fisher's z scale."""
    corpus, kind, order = where
    bent, count = np.arctanh(np.clip(values, -0.999, 0.999)), len(values)
    half = float(t.ppf(0.975, count - 1)) * float(np.std(bent, ddof=1)) / count**0.5 if count > 1 else 0.0
    mean, low, high = (float(np.tanh(bent.mean() + by)) for by in (0.0, -half, half))
    row = {"corpus": corpus, "owners": kind, "order": order, "method": method, "seeds": count}
    row |= {"value": round(mean, 3), "low": round(low, 3), "high": round(high, 3)}
    aim = AIMS[order] if method == "ocis" and kind == "honest" else None
    return row | {"aim": aim, "met": None if aim is None else mean >= aim}


def markdown(rows: list[Row]) -> str:
    """Return the rows as a table: a line a case, a column a method."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = [f"| corpus, owners, order | {' | '.join(methods)} |", "|---|" + "---|" * len(methods)]
    for case in dict.fromkeys((row["corpus"], row["owners"], row["order"]) for row in rows):
        cells = [
            next(f"{row['value']:.2f} [{row['low']:.2f} {row['high']:.2f}]" for row in rows if _is(row, case, method))
            for method in methods
        ]
        lines.append(f"| {', '.join(case)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _is(row: Row, case: tuple[str, str, str], method: str) -> bool:
    return (row["corpus"], row["owners"], row["order"], row["method"]) == (*case, method)


def main(arguments: list[str] | None = None) -> int:
    """Measure, keep and print; the exit status is 1 if an aim was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", nargs="*", help=f"only these of: {', '.join(SIZES)}")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    corpora = given.corpus or list(SIZES)
    if unknown := set(corpora) - set(SIZES):
        parser.error(f"there is no corpus {', '.join(sorted(unknown))}; there are {', '.join(SIZES)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: list[Row] = []
    with ProcessPoolExecutor(given.processes) as pool:
        for corpus, kind in product(corpora, KINDS):
            jobs = [pool.submit(measure, corpus, seed, kind) for seed in range(1, given.seeds + 1)]
            found = [job.result() for job in jobs]
            for order, name in product(ORDERS, [*METHODS, "queries"]):
                rows.append(row_of((corpus, kind, order), name, [each[order][name] for each in found]))
            print(f"{corpus}, {kind} done", file=sys.stderr, flush=True)
    before = json.loads(given.out.read_text(encoding="utf-8"))["rows"] if given.out.exists() else []
    rows = [row for row in before if row["corpus"] not in corpora] + rows
    rows.sort(key=lambda row: row["corpus"])
    given.out.write_text(json.dumps({"code": code_hash(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(markdown(rows))
    missed = [row for row in rows if row["met"] is False]
    for row in missed:
        print(f"MISSED {row['corpus']}, {row['order']}: {row['value']} where {row['aim']} is aimed at", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
