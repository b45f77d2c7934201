"""What feedback does to the next turn: heavier queries where buyers pay and speak, and records from corrections.

Weights. A feedback of kind rating, preference or purchase moves the query nearest to each text of its request, if
their cosine reaches ``near_ppm``. The query's weight is ``1 + floor(settled fees of those receipts / unit)``, at most
``policy.queries.max_weight``: linear in net settled fees, never in calls or accounts, so that splitting a wallet moves
nothing and moving a weight costs the fee (MECHANISM 4). The unit is the price of a chat call, and at least
``policy.queries.wash_margin`` times a query's part of the last turn's pool: else an owner could buy weight for her own
records for less than it moves of what others paid (the arena's row 17). A receipt counts once whatever it says; clicks
move nothing (MECHANISM 2). Vectors are int8 and products exact: everybody computes the same weights.

Records. Corrections become labelled records where ``policy.feedback.learn``. For each text the target that the most
settled fees stand behind is taken, and none if two are level. A buyer can still pay for a wrong correction of a text
that nobody else corrects: the signed check of the next turn's valuation is what finds it.

>>> texts_of("/v1/search", {"model": "docs", "text": "open a file"})
['open a file']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rodagila.core.money import PPM
from rodagila.core.policy import Policy
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array, dot_products
from rodagila.market.prices import ARENA, CHAT, EMBEDDINGS
from rodagila.serve.feedback import FeedbackRow
from rodagila.serve.schemas import ChatRequest

NEAR_PPM = 600_000
WEIGHING = frozenset({"preference", "purchase", "rating"})


@dataclass(frozen=True, slots=True)
class FeedbackEffects:
    """Integer weights of the queries in their order, and new records in the order of their texts."""

    weights: tuple[int, ...]
    records: tuple[Record, ...]


def feedback_effects(
    rows: Sequence[FeedbackRow],
    queries: Int8Array,
    embed: Callable[[Sequence[str]], Int8Array],
    policy: Policy,
    near_ppm: int = NEAR_PPM,
    *,
    pool: int = 0,
) -> FeedbackEffects:
    """Return what ``rows`` do to ``queries`` (n, d) int8; ``embed`` gives rows of texts, ``pool`` is the last pool."""
    weights = query_weights(rows, queries, embed, policy, near_ppm, pool=pool)
    return FeedbackEffects(weights, corrected_records(rows) if policy.feedback.learn else ())


def query_weights(
    rows: Sequence[FeedbackRow],
    queries: Int8Array,
    embed: Callable[[Sequence[str]], Int8Array],
    policy: Policy,
    near_ppm: int = NEAR_PPM,
    *,
    pool: int = 0,
) -> tuple[int, ...]:
    """Return a weight from 1 to ``policy.queries.max_weight`` for each query."""
    paid = {row.receipt.id: row for row in rows if row.kind in WEIGHING}
    texts = sorted({text for row in paid.values() for text in request_texts(row)})
    if not texts or not len(queries):
        return (1,) * len(queries)
    nearest = dict(zip(texts, _nearest(embed(texts), queries, near_ppm), strict=True))
    fees = [0] * len(queries)
    for row in paid.values():
        # A request of many texts paid once: it moves each query it touches by its share, never by more than its fee.
        touched = sorted({place for text in request_texts(row) if (place := nearest[text]) is not None})
        for place in touched:
            fees[place] += row.amount // len(touched)
    unit = weight_unit(policy, pool, len(queries))
    return tuple(min(policy.queries.max_weight, 1 + fee // unit) for fee in fees)


def weight_unit(policy: Policy, pool: int, queries: int) -> int:
    """Return what one step of a query's weight costs, atomic units, where ``pool`` was the last turn's."""
    return max(policy.prices.chat, policy.queries.wash_margin * pool // queries, 1)


def corrected_records(rows: Sequence[FeedbackRow]) -> tuple[Record, ...]:
    """Return the records that corrections ask for, one a text."""
    behind: dict[str, dict[Record, dict[bytes, int]]] = {}
    for row in rows:
        better, texts = row.body.get("better"), request_texts(row)
        if not better or len(texts) != 1:
            continue  # a correction of a request with several texts does not say which text it corrects
        record = Record(texts[0], better.get("label") or "", better.get("answer") or "")
        behind.setdefault(record.text, {}).setdefault(record, {})[row.receipt.id] = row.amount
    records = (_winner({record: sum(paid.values()) for record, paid in votes.items()}) for votes in behind.values())
    return tuple(sorted((record for record in records if record is not None), key=lambda record: record.text))


def request_texts(row: FeedbackRow) -> list[str]:
    """Return the texts that the feedback's request asked about."""
    return texts_of(row.receipt.receipt.route, row.body["request"])


def texts_of(route: str, request: dict[str, Any]) -> list[str]:
    """Return the texts of a paid route's request: the question, the text or the embeddings' inputs."""
    if route == CHAT:
        question = ChatRequest.model_validate(request).question()
        return [] if question is None else [question]
    if route == ARENA:
        return [str(request["question"])]
    if route == EMBEDDINGS:
        given = request["input"]
        return [given] if isinstance(given, str) else list(given)
    return [str(request["text"])]


def _nearest(vectors: Int8Array, queries: Int8Array, near_ppm: int) -> list[int | None]:
    products = dot_products(vectors, queries)
    best = products.argmax(axis=1)
    squares = [np.sum(matrix.astype(np.int64) ** 2, axis=1) for matrix in (vectors, queries)]
    found: list[int | None] = []
    for row, place in enumerate(best.tolist()):
        product = int(products[row, place])
        # cosine >= near, in integers: product^2 * 10^12 >= near^2 * |v|^2 * |q|^2 and product > 0
        bound = near_ppm**2 * int(squares[0][row]) * int(squares[1][place])
        found.append(place if product > 0 and product**2 * PPM**2 >= bound else None)
    return found


def _winner(votes: dict[Record, int]) -> Record | None:
    most = max(votes.values())
    winners = [record for record, amount in votes.items() if amount == most]
    return winners[0] if len(winners) == 1 else None
