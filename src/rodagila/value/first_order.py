"""First-order in-run values of a linear softmax head: what each record's gradient steps did for the queries.

While the head is trained by gradient descent, ``value_i = sum over steps of eta <grad loss(Q), grad loss(i)>``: the
first-order part of the queries' loss that record i's step takes away (Wang et al., In-Run Data Shapley, arXiv
2406.11011). For a linear head the gradient of one example is the outer product ``x (p - y)``, so the inner product of
two gradients is ``(x_q . x_i) ((p_q - y_q) . (p_i - y_i))``: the *ghost* dot product, which never builds a gradient.

The values are rescaled so that their sum is the drop of the queries' loss that was measured; what the first order
missed is in ``unexplained``. Where the loss moved against the first order's word nothing was explained: all values are
0, because a scale below zero would reward harm.

A language model's sums come from ``rodagila.learn.in_run`` as plain numbers: ``rescaled`` makes them values,
``quantised`` signed integers of 2^-30, and ``with_run_check`` puts those in the place of the signed check of slots
(MECHANISM 1, step 6).

>>> run = train_and_value(np.eye(2), np.array([0, 1]), np.eye(2), np.array([0, 1]), classes=2, steps=20, rate=0.5)
>>> bool(run.values.values.min() > 0 and abs(run.values.values.sum() - run.drop) < 1e-9)
True
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rodagila.core.errors import InvalidInput
from rodagila.core.vectors import Int64Array
from rodagila.value.cosine import ONE
from rodagila.value.games import FloatArray, Valuation, exact
from rodagila.value.ocis import ValueResult

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class InRun:
    """The records' ``values``, the measured ``drop`` of the queries' mean loss, and the sum before rescaling."""

    values: Valuation
    drop: float
    first_order: float

    @property
    def unexplained(self) -> float:
        """The part of the drop that the first order missed, as a share of the drop."""
        return 0.0 if self.drop == 0 else 1.0 - self.first_order / self.drop


def train_and_value(
    records: FloatArray,
    labels: Codes,
    queries: FloatArray,
    answers: Codes,
    *,
    classes: int,
    steps: int,
    rate: float,
) -> InRun:
    """Train a softmax head from zero on ``records`` (n, d) by full gradient steps, and value each on ``queries``.

    ``labels`` (n,) and ``answers`` (q,) are codes below ``classes``; ``rate`` is eta for the mean loss. Raises
    ``InvalidInput`` if shapes or codes do not fit.
    """
    _check(records, labels, queries, answers, classes)
    weights = np.zeros((records.shape[1], classes))
    goal, wanted = np.eye(classes)[labels], np.eye(classes)[answers]
    kernel = queries @ records.T
    before, total = _loss(queries @ weights, answers), np.zeros(len(records))
    for _ in range(steps):
        miss = _softmax(records @ weights) - goal
        query_miss = _softmax(queries @ weights) - wanted
        # <grad loss(Q), grad loss(i)> over mean losses of the queries and of the records
        total += rate * ((kernel.T @ query_miss) * miss).sum(axis=1) / (len(queries) * len(records))
        weights -= rate * records.T @ miss / len(records)
    return rescaled(total, before - _loss(queries @ weights, answers))


def rescaled(sums: FloatArray, drop: float) -> InRun:
    """Return the first-order ``sums`` (n,) of a run as values whose sum is the measured ``drop`` of the queries' loss.

    Raises ``InvalidInput`` unless all are finite numbers.
    """
    if not (np.isfinite(sums).all() and np.isfinite(drop)):
        raise InvalidInput(
            "value_inputs", "The sums of a run and its drop must be finite numbers.", hint="Train with a smaller rate."
        )
    first_order = float(sums.sum())
    scale = drop / first_order if drop * first_order > 0 else 0.0
    return InRun(exact(sums * scale), drop, first_order)


def quantised(values: FloatArray) -> Int64Array:
    """Return ``values`` (n,) as integers in units of 2^-30, to the nearest, ties to even; raises ``InvalidInput``.

    At most 2^22 in size, so that a million of them sum within int64.
    """
    if len(values) and not np.abs(values).max() <= 1 << 22:  # also what is no number
        raise InvalidInput("value_inputs", "A value of a run is not a number of at most 2^22 in size.")
    return np.rint(values * ONE).astype(np.int64)


def with_run_check(result: ValueResult, signed: Int64Array) -> ValueResult:
    """Return ``result`` with ``signed`` (n,), integers of a run on all its records, as the slots' check."""
    if len(signed) != len(result.slot):
        raise InvalidInput("value_inputs", f"{len(signed)} checks were given for {len(result.slot)} records.")
    return replace(result, s=np.where(result.slot, signed, 0))


def _softmax(scores: FloatArray) -> FloatArray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


def _loss(scores: FloatArray, answers: Codes) -> float:
    chosen = _softmax(scores)[np.arange(len(answers)), answers]
    return float(-np.log(np.maximum(chosen, 1e-300)).mean())


def _check(records: FloatArray, labels: Codes, queries: FloatArray, answers: Codes, classes: int) -> None:
    shapes = len(records) == len(labels) > 0 and len(queries) == len(answers) > 0
    if not shapes or records.shape[1] != queries.shape[1]:
        raise InvalidInput(
            "value_inputs", "Records and queries need one code each and vectors of one size, at least one of either."
        )
    codes = np.concatenate([labels, answers])
    if codes.min() < 0 or codes.max() >= classes:
        raise InvalidInput("value_inputs", f"Codes must be from 0 to {classes - 1}.")
