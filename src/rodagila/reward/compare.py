"""One turn seen by every method of valuation: what each owner is worth by ours and by the reference methods.

The players are the turn's owners, the data are its accepted records and its scoring queries. ``ocis`` is what the turn
pays by; the others stand beside it so that anybody can see where they agree and what they cost. Utilities of coalitions
are the share of queries answered rightly by what is trained on the reference and the coalition's records: by the ridge
head where the task is to classify, by recall at 5 where it is to retrieve.

>>> compare(facts, computed, ("ocis", "knn_shapley")).correlations["ocis", "knn_shapley"]     # doctest: +SKIP
0.81
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from rodagila.core.errors import InvalidInput
from rodagila.core.vectors import SCALE, Int64Array
from rodagila.learn.head import GramStatistics, add, predict, solve, statistics
from rodagila.reward.facts import Computed, TurnFacts, accepted_sources, target_names, training_rows
from rodagila.value.cosine import ONE, cosines
from rodagila.value.examples import Examples, matches
from rodagila.value.first_order import train_and_value
from rodagila.value.games import (
    MAX_EXACT,
    BoolArray,
    FloatArray,
    FunctionUtility,
    Valuation,
    after_samples,
    banzhaf_by_reuse,
    exact,
    exact_shapley,
    leave_one_out,
    permutation_shapley,
)
from rodagila.value.nearest import knn_shapley, owner_nearest_shapley, threshold_knn_shapley

SAMPLES = 50
EXACT_OWNERS = 12
RECALL_AT = 5
STEPS, RATE = 100, 2.0
"""Gradient steps of the in-run method on vectors of unit length, and their rate."""


@dataclass(frozen=True, slots=True)
class MethodValues:
    """``found``: values by owner with their variances and counts (0 for exact methods); utility calls and seconds."""

    method: str
    found: Valuation
    calls: int
    seconds: float

    @property
    def values(self) -> FloatArray:
        """Values by owner."""
        return self.found.values


@dataclass(frozen=True, slots=True)
class Comparison:
    """Owners, a column for each method, and the Spearman correlation of each pair of methods."""

    owners: tuple[str, ...]
    columns: tuple[MethodValues, ...]
    correlations: dict[tuple[str, str], float]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; an absent correlation (a method that gives everybody the same) is null."""
        return {
            "owners": list(self.owners),
            "methods": [
                {
                    "method": column.method,
                    "values": column.values.tolist(),
                    "variances": column.found.variances.tolist(),
                    "counts": column.found.counts.tolist(),
                    "standard_errors": column.found.standard_errors.tolist(),
                    "utility_calls": column.calls,
                    "seconds": round(column.seconds, 3),
                }
                for column in self.columns
            ],
            "spearman": [
                {"methods": list(pair), "value": None if np.isnan(value) else round(value, 4)}
                for pair, value in self.correlations.items()
            ],
        }

    def as_text(self) -> str:
        """Return a table for people: each owner's share of a method's sum of absolute values, then ranks and cost."""
        names = [column.method for column in self.columns]
        width = max(len(name) for name in [*names, "utility calls"]) + 2
        lines = [f"{'account':<44}" + "".join(f"{name:>{width}}" for name in names)]
        sizes = [float(np.abs(column.values).sum()) or 1.0 for column in self.columns]
        for row, owner in enumerate(self.owners):
            cells = (f"{column.values[row] / size:.2%}" for column, size in zip(self.columns, sizes, strict=True))
            lines.append(f"{owner:<44}" + "".join(f"{cell:>{width}}" for cell in cells))
        lines.append(f"{'seconds':<44}" + "".join(f"{column.seconds:>{width}.2f}" for column in self.columns))
        lines.append(f"{'utility calls':<44}" + "".join(f"{column.calls:>{width},}" for column in self.columns))
        lines += ["", "Spearman's rank correlation"]
        for left in names:
            cells = (self._correlation(left, right) for right in names)
            lines.append(f"{left:<44}" + "".join(f"{cell:>{width}}" for cell in cells))
        return "\n".join(lines)

    def _correlation(self, left: str, right: str) -> str:
        value = self.correlations.get((left, right), self.correlations.get((right, left), 1.0))
        return "-" if np.isnan(value) else f"{value:.3f}"


class Turn:
    """A turn's data as the methods need it: distances of queries to records, agreements, owners' codes."""

    def __init__(self, facts: TurnFacts, computed: Computed, *, samples: int, seed: int) -> None:
        self.facts, self.computed, self.samples, self.seed = facts, computed, samples, seed
        names = np.array([facts.contributions[source].owner for source in accepted_sources(facts)])
        owners, codes = np.unique(names, return_inverse=True)
        self.owners = tuple(str(name) for name in owners)
        self.all_codes: Int64Array = codes.astype(np.int64)
        rows = training_rows(facts)  # what was slashed before is in no model
        self.records, self.codes = facts.records.take(rows), self.all_codes[rows]

    @cached_property
    def distances(self) -> FloatArray:
        """1 - cosine (queries, records)."""
        return np.asarray(1 - cosines(self.facts.queries.vectors, self.records.vectors) / ONE, np.float64)

    @cached_property
    def agree(self) -> BoolArray:
        """Whether a record has the query's target (queries, records)."""
        return matches(self.facts.queries, self.records)

    @cached_property
    def utility(self) -> FunctionUtility:
        """What a coalition of owners is worth."""
        build = _head_utility if self.facts.policy.model.task == "classify" else _recall_utility
        return FunctionUtility(len(self.owners), build(self))

    def by_owner(self, values: npt.NDArray[Any]) -> Valuation:
        """Return the sums by owner of exact values by record, either of all records or of those trained on."""
        codes = self.all_codes if len(values) == len(self.all_codes) else self.codes
        return exact(np.bincount(codes, weights=values.astype(np.float64), minlength=len(self.owners)))


Method = Callable[[Turn], Valuation]


def _ocis(turn: Turn) -> Valuation:
    values = turn.computed.values
    return turn.by_owner(np.array([float(v) if s >= 0 else 0.0 for v, s in zip(values.v, values.s, strict=True)]))


def _exact_shapley(turn: Turn) -> Valuation:
    if len(turn.owners) > EXACT_OWNERS:
        raise InvalidInput(
            "value_inputs",
            f"Exact Shapley values train 2^owners models: there are {len(turn.owners)} owners, "
            f"at most {EXACT_OWNERS} are possible.",
            hint="Leave shapley_exact out.",
        )
    return exact_shapley(turn.utility)


def _in_run(turn: Turn) -> Valuation:
    queries, records = turn.facts.queries, turn.records
    known = np.flatnonzero(np.isin(queries.targets, records.targets) & (queries.targets >= 0))
    codes = np.unique(records.targets)
    run = train_and_value(
        records.vectors / SCALE,
        np.searchsorted(codes, records.targets),
        queries.vectors[known] / SCALE,
        np.searchsorted(codes, queries.targets[known]),
        classes=len(codes),
        steps=STEPS,
        rate=RATE,
    )
    return turn.by_owner(run.values.values)


METHODS: dict[str, Method] = {
    "ocis": _ocis,
    "signed_check": lambda turn: turn.by_owner(turn.computed.values.s),
    "knn_shapley": lambda turn: turn.by_owner(
        knn_shapley(turn.distances, turn.agree, turn.facts.policy.value.check_k).values
    ),
    "threshold_knn": lambda turn: turn.by_owner(
        threshold_knn_shapley(
            turn.distances, turn.agree, 1 - turn.computed.values.tau / ONE, max(1, len(turn.facts.targets))
        ).values
    ),
    "owner_nearest": lambda turn: owner_nearest_shapley(turn.distances, turn.agree, turn.codes),
    "leave_one_out": lambda turn: leave_one_out(turn.utility),
    "shapley_sampled": lambda turn: permutation_shapley(turn.utility, after_samples(turn.samples), turn.seed),
    "banzhaf_reuse": lambda turn: banzhaf_by_reuse(
        turn.utility, after_samples(turn.samples * len(turn.owners)), turn.seed
    ),
    "shapley_exact": _exact_shapley,
    "in_run": _in_run,
}
"""Every method by name, in the order in which they are shown."""


def applicable(facts: TurnFacts) -> tuple[str, ...]:
    """Return the methods that can value this turn."""
    owners = {facts.contributions[source].owner for source in accepted_sources(facts)}
    asked = np.isin(facts.queries.targets, facts.records.targets).any()
    left_out = {"shapley_exact"} if len(owners) > min(EXACT_OWNERS, MAX_EXACT) else set()
    return tuple(name for name in METHODS if name not in left_out | (set() if asked else {"in_run"}))


def compare(
    facts: TurnFacts,
    computed: Computed,
    methods: Sequence[str] = (),
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    done: Callable[[str], None] = lambda method: None,
) -> Comparison:
    """Value the turn's owners by ``methods`` (all that apply by default); ``samples``: orders that sampling draws.

    Raises ``InvalidInput`` for an unknown method, too many owners, or a turn without accepted records.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise InvalidInput(
            "value_inputs", f"There is no method {unknown[0]!r}.", hint=f"There are {', '.join(METHODS)}."
        )
    if not len(facts.records) or not len(facts.queries):
        raise InvalidInput("value_inputs", f"Turn {facts.turn} has no accepted records or no queries to compare by.")
    turn, columns = Turn(facts, computed, samples=samples, seed=seed), []
    for name in methods or applicable(facts):
        columns.append(_timed(turn, name))
        done(name)
    return Comparison(turn.owners, tuple(columns), _correlations(columns))


def _timed(turn: Turn, name: str) -> MethodValues:
    turn.__dict__.pop("utility", None)  # what an earlier method asked must not make this one look cheaper
    begun = time.perf_counter()
    found = METHODS[name](turn)
    calls = turn.__dict__["utility"].calls if "utility" in turn.__dict__ else 0
    return MethodValues(name, found, calls, time.perf_counter() - begun)


def _correlations(columns: Sequence[MethodValues]) -> dict[tuple[str, str], float]:
    found = {}
    for left, right in combinations(columns, 2):
        constant = np.ptp(left.values) == 0 or np.ptp(right.values) == 0
        value = float("nan") if constant else float(spearmanr(left.values, right.values).statistic)
        found[left.method, right.method] = value
    return found


def _head_utility(turn: Turn) -> Callable[[BoolArray], float]:
    facts, ridge = turn.facts, turn.facts.policy.model.ridge_ppm
    names = np.array(target_names(facts, turn.records), dtype=object)
    base = statistics(facts.reference.vectors, target_names(facts, facts.reference))
    parts = [
        statistics(turn.records.vectors[turn.codes == code], names[turn.codes == code].tolist())
        for code in range(len(turn.owners))
    ]
    wanted = target_names(facts, facts.queries)

    def worth(members: BoolArray) -> float:
        sums: GramStatistics = base
        for code in np.flatnonzero(members):
            sums = add(sums, parts[code])
        if not sums.labels:
            return 0.0
        head = solve(sums, ridge)
        said = predict(head, facts.queries.vectors)[0]
        return float(np.mean([head.labels[label] == want for label, want in zip(said, wanted, strict=True)]))

    return worth


def _recall_utility(turn: Turn) -> Callable[[BoolArray], float]:
    facts = turn.facts
    own: Examples = facts.reference
    distances = np.hstack([turn.distances, 1 - cosines(facts.queries.vectors, own.vectors) / ONE])
    agree = np.hstack([turn.agree, matches(facts.queries, own)])

    def worth(members: BoolArray) -> float:
        kept = np.append(members[turn.codes], np.ones(len(own), np.bool_))
        if not kept.any():
            return 0.0
        near = np.argsort(distances[:, kept], axis=1, kind="stable")[:, :RECALL_AT]
        return float(np.take_along_axis(agree[:, kept], near, axis=1).any(axis=1).mean())

    return worth
