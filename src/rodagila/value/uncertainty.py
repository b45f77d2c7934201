"""How sure a score is: what it would have been on other scoring queries of the same kind.

Given its place, its novelty, tau, theta and the cap of a query, a record's value is a sum over queries,
``v_i = sum_q v_iq``, and so is its signed check: a query's frontier is nobody else's concern. So the variance over
resampled queries is exact, without a draw: with n queries and V_q the sum of v_iq over the paid records, V their sum,

    var(v_i)       = n / (n - 1) (sum_q v_iq^2 - v_i^2 / n)
    var(v_i / V)   = n / (n - 1) sum_q (v_iq - V_q v_i / V)^2 / V^2        the pay's share, to first order

(the bootstrap's variance of a sum and, by the delta method, of a ratio; Efron and Tibshirani, An Introduction to the
Bootstrap, 6 and 21). Intervals reach 1.96 standard errors to both sides, pay's not below 0. Everything is computed in
integers from what the public file holds, so everybody gets the same interval. What all queries share is taken as it
is: the thresholds, the reference and the order of records.

>>> interval(by_query(inputs, value_records(inputs)).value_error([3]), 10**6)          # doctest: +SKIP
(510233, 1489767)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

import numpy as np

from rodagila.core.money import PPM
from rodagila.value.coverage import agreeing, ordered_coverage
from rodagila.value.examples import together
from rodagila.value.nearby import Nearest
from rodagila.value.neighbours import signed_check
from rodagila.value.ocis import ValueInputs, ValueResult
from rodagila.value.slots import Order

Z95_PPM = 1_959_964
"""The 97.5th percentile of the normal distribution, in millionths."""
Sums = dict[int, int]
"""Amounts by query; a query that is not named has 0."""


@dataclass(frozen=True, slots=True)
class ByQuery:
    """Values and checks split by query: ``v`` and ``s`` of each record that has any, ``paid``: V_q of all that is paid.

    Units as in ``ValueResult``; ``queries``: how many there are.
    """

    v: dict[int, Sums]
    s: dict[int, Sums]
    paid: Sums
    queries: int

    def value_error(self, rows: Iterable[int]) -> int:
        """Return the standard error of the sum of v over ``rows``, rounded up."""
        return _error(_joined(self.v, rows), self.queries)

    def check_error(self, rows: Iterable[int]) -> int:
        """Return the standard error of the sum of s over ``rows``, rounded up."""
        return _error(_joined(self.s, rows), self.queries)

    def pay_error(self, rows: Iterable[int], payable: int) -> int:
        """Return the standard error of what ``rows``, all of them paid, get of ``payable``, rounded up."""
        own, whole = _joined(self.v, rows), sum(self.paid.values())
        if whole == 0 or self.queries < 2:
            return 0
        total = sum(own.values())
        # the squares of (v_iq V - V_q v_i), summed: what var(v_i / V) is, times V^4 (n - 1) / n
        squares = sum((own.get(query, 0) * whole - at * total) ** 2 for query, at in self.paid.items())
        return _root(payable * payable * squares * self.queries, whole**4 * (self.queries - 1))


def by_query(inputs: ValueInputs, result: ValueResult) -> ByQuery:
    """Return the parts of ``result``, the values of ``inputs``, by query."""
    rules, queries, targets = inputs.rules, inputs.queries, inputs.records.targets
    order = Order(inputs.records, inputs.slashed, together(inputs.reference, queries), result.theta)
    heard, _ = order.heard(queries.vectors, rules.top)
    by_place = np.argsort(heard.place, axis=1, kind="stable")
    place, cosine = (np.take_along_axis(part, by_place, axis=1) for part in (heard.place, heard.cosine))
    # Each pair of a query and what it hears becomes a record of its own, in the same order: the sums fall apart.
    own = np.arange(place.size).reshape(place.shape)
    pairs = Nearest(np.where(place >= 0, own, -1), cosine)
    wanted, turns = (
        np.where(place >= 0, column[place], -1).ravel() if len(targets) else np.zeros(0, np.int64)
        for column in (targets, inputs.turns)
    )
    added = ordered_coverage(
        pairs, wanted, turns, inputs.reference, queries, inputs.weights, tau=result.tau, rules=rules
    ).u.tolist()
    ranked = np.where(heard.place >= 0, own, -1)
    agree = agreeing(heard, targets, queries)
    signed = signed_check(ranked, agree, inputs.weights, records=ranked.size, k=rules.check_k).tolist()
    fresh, checked = result.novelty.tolist(), result.s.tolist()
    v, s, paid = defaultdict[int, Sums](dict), defaultdict[int, Sums](dict), defaultdict[int, int](int)
    columns = max(place.shape[1], 1)
    for cell, record in enumerate(place.ravel().tolist()):
        if record >= 0 and added[cell]:
            worth = fresh[record] * added[cell]
            v[record][cell // columns] = worth
            if checked[record] >= 0:
                paid[cell // columns] += worth
    for cell, record in enumerate(heard.place.ravel().tolist()):
        if record >= 0 and signed[cell] and checked[record]:  # a check of 0 may be that of an untested record
            s[record][cell // columns] = signed[cell]
    return ByQuery(dict(v), dict(s), dict(paid), len(queries))


def interval(error: int, value: int) -> tuple[int, int]:
    """Return the 95% interval around ``value``, rounded outwards."""
    reach = -(-error * Z95_PPM // PPM)
    return value - reach, value + reach


def _joined(parts: dict[int, Sums], rows: Iterable[int]) -> Sums:
    found: defaultdict[int, int] = defaultdict(int)
    for row in rows:
        for query, amount in parts.get(row, {}).items():
            found[query] += amount
    return found


def _error(sums: Sums, queries: int) -> int:
    if queries < 2:
        return 0
    total = sum(sums.values())
    squares = queries * sum(amount * amount for amount in sums.values()) - total * total
    return _root(squares, queries - 1)


def _root(above: int, below: int) -> int:
    """Return the square root of ``above / below``, rounded up."""
    quotient = -(-above // below)
    return isqrt(quotient - 1) + 1 if quotient > 0 else 0
