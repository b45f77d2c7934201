"""The accuracy of a batch of labels, certified by gold tasks: a 95% interval that holds exactly, whatever the crowd.

Of a batch's N labels K are right. n golds, drawn at random from the batch without replacement, show k right ones. Then
k is hypergeometric, and the interval holds every K that k does not refute at 2.5% on either side (Clopper and Pearson
1934, for finite populations: Buonaccorsi, The American Statistician 1987). Nothing is assumed of raters, their skills
or collusion: the only chance is in the drawing of the golds. What it does assume:

- **Golds are tasks of the batch, drawn at random, and answered alike.** If golds have more answers than other tasks,
  thin them first (``thinned``); if raters know the golds, no interval over golds holds.
- **Golds took no part in the choice of method**, or ``methods`` says how many were tried on them: the interval of
  each is then taken at 1 - 5% / methods, so that the one of the chosen method holds too (Bonferroni).
- **Golds that are not drawn evenly** (more of the hard ones, say) are drawn evenly within known strata, given to
  ``certify_by_strata``: accuracies are weighted by the strata's shares of tasks, and Clopper-Pearson runs on the sample
  size that is worth as much (Korn and Graubard, Survey Methodology 1998). That one is approximate.

>>> certify(right=46, asked=50, tasks=1_000).as_json()["low_ppm"]
811000
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import beta, hypergeom

from rodagila.core.errors import InvalidInput
from rodagila.core.money import PPM
from rodagila.core.vectors import Int64Array
from rodagila.value.answers import UNANSWERED, Answers

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class BatchCertificate:
    """``right`` of ``asked`` golds among ``tasks`` labels; estimate and 95% interval of the accuracy, millionths."""

    right: int
    asked: int
    tasks: int
    accuracy_ppm: int
    low_ppm: int
    high_ppm: int

    def as_json(self) -> dict[str, int]:
        """Return the JSON object that is published with the batch."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Golds of one kind of task: ``right`` of ``asked``, and how many ``tasks`` of the batch are of that kind."""

    right: int
    asked: int
    tasks: int


def certify(right: int, asked: int, tasks: int, *, methods: int = 1) -> BatchCertificate:
    """Return the certificate of a batch of ``tasks`` labels, of which ``asked``, drawn at random, are golds.

    ``methods``: how many ways to aggregate were compared on these golds. Without golds the interval is 0 to 1.
    Raises ``InvalidInput`` value_inputs for counts that cannot be.
    """
    _require(right, asked, tasks, methods)
    if asked == 0:
        return BatchCertificate(0, 0, tasks, 0, 0, PPM)
    tail = ALPHA / methods / 2
    # The number of right labels is at least ``right`` and at most ``tasks`` less the wrong golds.
    fewest, most = right, tasks - (asked - right)
    # sf and cdf are monotone in K, so both ends are found by halving.
    low = _first(fewest, most, lambda found: hypergeom.sf(right - 1, tasks, found, asked) > tail)
    high = most - _first(0, most - fewest, lambda less: hypergeom.cdf(right, tasks, most - less, asked) > tail)
    return BatchCertificate(right, asked, tasks, right * PPM // asked, low * PPM // tasks, -(-high * PPM // tasks))


def certify_by_strata(strata: Sequence[Stratum], *, methods: int = 1) -> BatchCertificate:
    """Return the certificate of a batch whose golds were drawn at random within each of ``strata``, not over all.

    A stratum with tasks and without golds could hold any accuracy: its share widens the interval by itself.
    """
    tasks, asked = sum(part.tasks for part in strata), sum(part.asked for part in strata)
    right = sum(part.right for part in strata)
    for part in strata:
        _require(part.right, part.asked, part.tasks, methods)
    known = [part for part in strata if part.asked]
    if not known:
        return certify(0, 0, tasks)
    unknown = tasks - sum(part.tasks for part in known)
    weights = np.array([part.tasks for part in known], np.float64) / (tasks - unknown)
    n = np.array([part.asked for part in known], np.float64)
    # Each stratum's own share is drawn to one half a little, so that a stratum without an error still has a variance.
    shares = np.array([part.right for part in known], np.float64) / n
    smoothed = (shares * n + 1) / (n + 2)
    variance = float((weights**2 * smoothed * (1 - smoothed) / n).sum())
    mean, around = float(weights @ shares), float(weights @ smoothed)
    size = min(float(n.sum()), around * (1 - around) / variance)
    low, high = _clopper_pearson(mean * size, size, ALPHA / methods)
    part_known = (tasks - unknown) / tasks
    return BatchCertificate(
        right,
        asked,
        tasks,
        int(mean * PPM),
        int(low * part_known * PPM),
        min(PPM, int(np.ceil((high * part_known + unknown / tasks) * PPM))),
    )


def right_of(labels: Int64Array, truth: Int64Array) -> tuple[int, int]:
    """Return how many golds ``labels`` (tasks,) have right, and how many golds ``truth`` (tasks,) holds."""
    golden = truth != UNANSWERED
    return int((labels[golden] == truth[golden]).sum()), int(golden.sum())


def thinned(answers: Answers, truth: Int64Array, seed: int) -> Answers:
    """Return the answers with golds cut to as many as other tasks have, so that golds are labelled no better.

    Each gold in ``truth`` (tasks,) with more answers than a task drawn at random from the others keeps as many as that
    task has, chosen at random. Label the thinned answers to certify; label all of them to publish.
    """
    golden = truth != UNANSWERED
    counts = np.bincount(answers.task, minlength=answers.tasks)
    others = counts[~golden]
    if not golden.any() or not len(others):
        return answers
    rng = np.random.default_rng(seed)
    allowed = np.where(golden, rng.choice(others, answers.tasks), counts)
    order = np.lexsort((rng.random(len(answers)), answers.task))
    first = np.searchsorted(answers.task[order], answers.task[order])
    rank = np.empty(len(answers), np.int64)
    rank[order] = np.arange(len(answers)) - first
    kept = rank < allowed[answers.task]
    columns = (answers.account[kept], answers.task[kept], answers.choice[kept])
    return Answers(*columns, answers.accounts, answers.tasks, answers.choices)


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the least number from ``low`` to ``high`` for which ``holds``, which is monotone and holds at ``high``."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _clopper_pearson(right: float, asked: float, alpha: float) -> tuple[float, float]:
    low = float(beta.ppf(alpha / 2, right, asked - right + 1)) if right > 0 else 0.0
    high = float(beta.ppf(1 - alpha / 2, right + 1, asked - right)) if right < asked else 1.0
    return low, high


def _require(right: int, asked: int, tasks: int, methods: int) -> None:
    if not 0 <= right <= asked <= tasks or methods < 1:
        raise InvalidInput("value_inputs", f"{right} right of {asked} golds among {tasks} tasks cannot be.")
