"""Cooperative games over players, and the semivalues of their players, from orthogonal parts.

A *utility* says what a coalition is worth; a *sampler* says which coalitions to ask about; a *stopping* rule says when
enough was asked; a *method* turns the answers into values. So leave-one-out is a few lines, and every method serves
owners, records, or anything else that a utility has for players. A ``Valuation`` carries values, variances and counts.

    Shapley   phi_i = sum over S of |S|! (n - |S| - 1)! / n! (U(S + i) - U(S))          (Shapley, 1953)
    Banzhaf   phi_i = mean over all S without i of (U(S + i) - U(S))                    (Wang and Jia, arXiv 2205.15466)
    leave one out   U(all) - U(all - i)

>>> majority = FunctionUtility(3, lambda members: float(members.sum() >= 2))
>>> [round(value, 6) for value in exact_shapley(majority).values.tolist()]
[0.333333, 0.333333, 0.333333]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import comb
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rodagila.core.errors import InvalidInput

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
MAX_EXACT = 16
"""Players up to which all coalitions are asked about: 65,536 of them."""


class Utility(Protocol):
    """What coalitions of ``players`` players are worth."""

    @property
    def players(self) -> int:
        """How many players there are."""
        ...

    def __call__(self, members: BoolArray) -> float:
        """Return the worth of the coalition of the players marked in ``members`` (players,)."""
        ...


@dataclass(slots=True)
class FunctionUtility:
    """A utility of a plain function; it remembers what it was asked and counts its ``calls``."""

    players: int
    function: Callable[[BoolArray], float]
    calls: int = 0
    _known: dict[bytes, float] = field(default_factory=dict)

    def __call__(self, members: BoolArray) -> float:
        """Return the worth of a coalition, computed once."""
        key = np.packbits(members).tobytes()
        if key not in self._known:
            self.calls += 1
            self._known[key] = float(self.function(members))
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Valuation:
    """Values (n,), the variances (n,) of the samples behind them, and how many samples (n,) there were.

    An exact value has variance 0 and count 0.
    """

    values: FloatArray
    variances: FloatArray
    counts: npt.NDArray[np.int64]

    @property
    def standard_errors(self) -> FloatArray:
        """The standard error (n,) of each value; 0 for exact ones."""
        return np.asarray(np.sqrt(self.variances / np.maximum(self.counts, 1)), dtype=np.float64)


def exact(values: npt.NDArray[Any]) -> Valuation:
    """Return exact ``values`` (n,) as a valuation."""
    return Valuation(np.asarray(values, np.float64), np.zeros(len(values)), np.zeros(len(values), np.int64))


class Tally:
    """A running mean and variance of each player's samples (Welford, 1962)."""

    def __init__(self, players: int) -> None:
        self.counts = np.zeros(players, np.int64)
        self.means, self._squares = np.zeros(players), np.zeros(players)

    def add(self, players: npt.NDArray[np.int64], samples: FloatArray) -> None:
        """Count one sample for each of ``players``, which are distinct."""
        self.counts[players] += 1
        step = samples - self.means[players]
        self.means[players] += step / self.counts[players]
        self._squares[players] += step * (samples - self.means[players])

    def valuation(self) -> Valuation:
        """Return what was counted so far."""
        variances = np.where(self.counts > 1, self._squares / np.maximum(self.counts - 1, 1), 0.0)
        return Valuation(self.means.copy(), variances, self.counts.copy())


Stopping = Callable[[Valuation], bool]
OrderSampler = Callable[[int, int], Iterator[npt.NDArray[np.int64]]]
SubsetSampler = Callable[[int, int], Iterator[BoolArray]]
"""From the number of players and a seed: orders or coalitions without end."""


def after_samples(least: int) -> Stopping:
    """Return the rule that stops when every player has ``least`` samples."""
    return lambda so_far: bool((so_far.counts >= least).all())


def within_error(largest: float, least: int = 30) -> Stopping:
    """Return the rule that stops when no standard error exceeds ``largest``, after ``least`` samples of each player."""
    return lambda so_far: bool((so_far.counts >= least).all() and so_far.standard_errors.max(initial=0.0) <= largest)


def coalitions(players: int) -> Iterator[BoolArray]:
    """Yield every coalition, the empty one first; raises ``InvalidInput`` above ``MAX_EXACT`` players."""
    if players > MAX_EXACT:
        raise InvalidInput(
            "value_inputs",
            f"Exact values ask about every coalition: {players} players were given, at most {MAX_EXACT} are possible.",
            hint="Use a sampled method.",
        )
    places = np.arange(players)
    for code in range(1 << players):
        yield np.asarray((code >> places) & 1, dtype=np.bool_)


def permutations(players: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield random orders of the players without end."""
    rng = np.random.default_rng(seed)
    while True:
        yield rng.permutation(players)


def paired_permutations(players: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield random orders without end, each followed by its reverse (Mitchell et al., arXiv 2104.12199, antithetic).

    Who joins early in one joins late in the other, so their mean varies less; errors, which take samples as
    independent, are then upper estimates.
    """
    for order in permutations(players, seed):
        yield order
        yield order[::-1]


def uniform_subsets(players: int, seed: int) -> Iterator[BoolArray]:
    """Yield coalitions without end in which each player is with probability one half."""
    rng = np.random.default_rng(seed)
    while True:
        yield rng.random(players) < 0.5


def exact_shapley(utility: Utility) -> Valuation:
    """Return the Shapley values by asking about every coalition; at most ``MAX_EXACT`` players."""
    return _exact(utility, lambda size, n: 1.0 / (n * comb(n - 1, size)))


def exact_banzhaf(utility: Utility) -> Valuation:
    """Return the Banzhaf values by asking about every coalition; at most ``MAX_EXACT`` players."""
    return _exact(utility, lambda _, n: 0.5 ** (n - 1))


def _exact(utility: Utility, weight: Callable[[int, int], float]) -> Valuation:
    n = utility.players
    values = np.zeros(n)
    for members in coalitions(n):
        worth, size = utility(members), int(members.sum())
        # U(S) enters as U(S' + i) for the members, and as -U(S') for the others, each with the weight of |S'|.
        if size:
            values[members] += worth * weight(size - 1, n)
        if size < n:
            values[~members] -= worth * weight(size, n)
    return exact(values)


def leave_one_out(utility: Utility) -> Valuation:
    """Return ``U(all) - U(all - i)`` of each player."""
    everyone = np.ones(utility.players, np.bool_)
    whole, values = utility(everyone), np.zeros(utility.players)
    for player in range(utility.players):
        others = everyone.copy()
        others[player] = False
        values[player] = whole - utility(others)
    return exact(values)


def permutation_shapley(
    utility: Utility, stopping: Stopping, seed: int = 0, sampler: OrderSampler = permutations
) -> Valuation:
    """Return Shapley values estimated over random orders (Castro et al., 2009); unbiased for any stopping count."""
    n = utility.players
    tally, empty = Tally(n), utility(np.zeros(n, np.bool_))
    for order in sampler(n, seed):
        members, before, marginals = np.zeros(n, np.bool_), empty, np.zeros(n)
        for place, player in enumerate(order):
            members[player] = True
            worth = utility(members)
            marginals[place], before = worth - before, worth
        tally.add(order, marginals)
        if stopping(tally.valuation()):
            break
    return tally.valuation()


def banzhaf_by_reuse(
    utility: Utility, stopping: Stopping, seed: int = 0, sampler: SubsetSampler = uniform_subsets
) -> Valuation:
    """Return Banzhaf values by maximum sample reuse (arXiv 2205.15466): every answer serves every player.

    ``phi_i`` is the mean worth of the drawn coalitions with i less that of those without; its variance is that of the
    difference of the two means, times the number of coalitions drawn.
    """
    n = utility.players
    inside, outside, drawn = Tally(n), Tally(n), 0
    for members in sampler(n, seed):
        worth, drawn = utility(members), drawn + 1
        for tally, where in ((inside, members), (outside, ~members)):
            rows = np.flatnonzero(where)
            tally.add(rows, np.full(len(rows), worth))
        so_far = _difference(inside.valuation(), outside.valuation(), drawn)
        if stopping(so_far):
            return so_far
    raise AssertionError("unreachable: coalitions are drawn without end")


def _difference(inside: Valuation, outside: Valuation, drawn: int) -> Valuation:
    variances = (inside.standard_errors**2 + outside.standard_errors**2) * drawn
    both = np.minimum(inside.counts, outside.counts)
    counts = np.where(both > 0, drawn, 0)
    return Valuation(inside.values - outside.values, variances, counts)
