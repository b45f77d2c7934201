"""One label a task from many answers: majority, one-coin and full Dawid-Skene, GLAD; the one that golds favour.

Majority is ours, with ties to the lowest choice; the others are crowd-kit's (extra ``crowd``), by expectation and
maximisation: one-coin Dawid-Skene gives each account one accuracy, the full one a matrix of confusions (Dawid and
Skene, 1979), GLAD an ability to each account and a difficulty to each task (Whitehill et al., 2009). None is best
everywhere: ``choose`` takes the one with the most golds right, and the earlier of ``METHODS`` where they are level.

``certificate`` bounds a batch's accuracy by the exact 95% interval of ``value.certificate`` over golds that were drawn
at random from the batch and took no part in choosing the method.

>>> answers = Answers(np.array([0, 1, 2]), np.zeros(3, np.int64), np.array([1, 1, 0]), accounts=3, tasks=1, choices=2)
>>> aggregate(answers, "majority").tolist()
[1]
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rodagila.core.errors import InvalidInput
from rodagila.core.vectors import Int64Array
from rodagila.value.answers import UNANSWERED, Answers
from rodagila.value.certificate import certify, right_of

METHODS = ("one_coin", "dawid_skene", "majority", "glad")
ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class Certificate:
    """The accuracy of a batch of labels: ``right`` of ``asked`` golds, and the 95% interval in millionths."""

    right: int
    asked: int
    low_ppm: int
    high_ppm: int


def aggregate(answers: Answers, method: str) -> Int64Array:
    """Return a label for each task, ``UNANSWERED`` where nobody answered; raises ``InvalidInput`` otherwise."""
    if method not in METHODS:
        raise InvalidInput(
            "value_inputs", f"There is no way to aggregate named {method!r}.", hint=f"There are {', '.join(METHODS)}."
        )
    votes = answers.votes()
    labels = np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), UNANSWERED).astype(np.int64)
    if method != "majority" and len(answers):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # crowd-kit calls pandas by ways that pandas means to give up
            found = _model(method).fit_predict(_frame(answers))
        labels[found.index.to_numpy()] = found.to_numpy()
    return labels


def choose(labelled: Mapping[str, Int64Array], truth: Int64Array) -> str:
    """Return the method whose labels agree with the most golds; ``truth`` (tasks,) is ``UNANSWERED`` off the golds.

    ``labelled`` holds the labels (tasks,) of each method that was tried.
    """
    if not (truth != UNANSWERED).any():
        raise InvalidInput("value_inputs", "No gold task was given; at least one is required to choose by.")
    right = {method: right_of(labels, truth)[0] for method, labels in labelled.items()}
    return max(labelled, key=lambda method: (right[method], -METHODS.index(method)))


def certificate(labels: Int64Array, truth: Int64Array) -> Certificate:
    """Return the certificate of ``labels`` (tasks,) by the golds in ``truth`` (tasks,)."""
    said = certify(*right_of(labels, truth), len(labels))
    return Certificate(said.right, said.asked, said.low_ppm, said.high_ppm)


def _model(method: str) -> Any:
    try:
        from crowdkit.aggregation import GLAD, DawidSkene, OneCoinDawidSkene
    except ImportError as error:
        raise InvalidInput(
            "value_inputs",
            f"Aggregating by {method} needs crowd-kit, which is not installed.",
            hint="Install rodagila[crowd], or aggregate by majority.",
        ) from error
    models: dict[str, Any] = {
        "one_coin": lambda: OneCoinDawidSkene(n_iter=ITERATIONS),
        "dawid_skene": lambda: DawidSkene(n_iter=ITERATIONS),
        "glad": lambda: GLAD(n_iter=ITERATIONS),
    }
    return models[method]()


def _frame(answers: Answers) -> Any:
    import pandas

    return pandas.DataFrame({"task": answers.task, "worker": answers.account, "label": answers.choice})
