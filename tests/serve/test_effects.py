"""What feedback does to the next turn: weights linear in fees, records from corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_stand import WordModel, key
from rodagila.core.hashing import keccak
from rodagila.core.messages import Domain, Receipt, dao_id
from rodagila.core.policy import FeedbackRules, Policy, PriceRules, QueryRules
from rodagila.core.records import Record
from rodagila.core.vectors import Int8Array, quantise
from rodagila.market.receipts import SignedReceipt, request_hash
from rodagila.serve.effects import corrected_records, feedback_effects, query_weights, texts_of
from rodagila.serve.feedback import FeedbackRow

DOMAIN = Domain(1919902817, key("registry").address)
POLICY = Policy(name="docs", prices=PriceRules(chat=2_000), queries=QueryRules(max_weight=4))
QUERIES = ["open a file", "sort a list", "sleep for some seconds"]


def embed(texts: Sequence[str]) -> Int8Array:
    return quantise(WordModel(()).embed(list(texts))) if texts else np.zeros((0, 64), dtype=np.int8)


def row(
    text: str, amount: int, kind: str = "rating", payer: str = "buyer", number: int = 0, **body: Any
) -> FeedbackRow:
    request = {"model": "docs", "text": text}
    payment = keccak(f"{text} {amount} {payer} {number}".encode())
    receipt = Receipt(
        key(payer).address, dao_id(DOMAIN), 1, "/v1/search", amount, payment, request_hash(request), bytes(32)
    )
    signed = SignedReceipt(DOMAIN, receipt, bytes(65))
    given = {"request": request, **body}
    return FeedbackRow(keccak(payment + kind.encode()), "docs", 1, signed, key(payer).address, kind, given, b"", 0)


def weights(rows: list[FeedbackRow]) -> tuple[int, ...]:
    return query_weights(rows, embed(QUERIES), embed, POLICY)


def test_a_weight_costs_four_times_a_query_s_part_of_the_pool_where_that_is_more() -> None:
    paid = [row("open a file", 4_000)]
    assert query_weights(paid, embed(QUERIES), embed, POLICY, pool=1_500) == (3, 1, 1)
    assert query_weights(paid, embed(QUERIES), embed, POLICY, pool=3_000) == (2, 1, 1)
    assert query_weights(paid, embed(QUERIES), embed, POLICY, pool=3_001) == (1, 1, 1)


def test_without_feedback_every_query_weighs_one() -> None:
    assert weights([]) == (1, 1, 1)


def test_a_weight_grows_by_one_for_each_price_of_a_chat_call_and_is_capped() -> None:
    assert weights([row("open a file", 2_000)]) == (2, 1, 1)
    assert weights([row("open a file", 1_999)]) == (1, 1, 1)
    assert weights([row("open a file", 4_000, kind="purchase")]) == (3, 1, 1)
    assert weights([row("open a file", 1_000_000)]) == (4, 1, 1)


def test_a_click_and_a_far_text_move_nothing() -> None:
    assert weights([row("open a file", 9_000, kind="click")]) == (1, 1, 1)
    assert weights([row("entirely unrelated matters", 9_000)]) == (1, 1, 1)


def test_one_receipt_counts_once_whatever_it_says() -> None:
    rows = [row("open a file", 2_000, kind=kind) for kind in ("rating", "preference", "purchase")]
    assert weights(rows) == weights(rows[:1]) == (2, 1, 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=6), st.integers(1, 4))
def test_splitting_calls_over_accounts_moves_nothing(amounts: list[int], accounts: int) -> None:
    one = [row("sort a list", amount, number=place) for place, amount in enumerate(amounts)]
    many = [
        row("sort a list", amount, number=place, payer=f"p{place % accounts}") for place, amount in enumerate(amounts)
    ]
    assert weights(one) == weights(many) == weights([row("sort a list", sum(amounts))])


def test_a_request_of_many_texts_moves_its_fee_once() -> None:
    spread = row("open a file", 4_000)
    request = {"model": "docs", "input": ["open a file", "sort a list"]}
    receipt = replace(spread.receipt.receipt, route="/v1/embeddings")
    spread = replace(spread, receipt=replace(spread.receipt, receipt=receipt), body={"request": request})
    assert weights([spread]) == (2, 2, 1)


def test_a_correction_becomes_a_record_where_the_policy_learns() -> None:
    rows = [row("open a file", 1_000, better={"label": "open"}), row("sort a list", 1_000)]
    effects = feedback_effects(rows, embed(QUERIES), embed, POLICY)
    assert effects.records == (Record("open a file", label="open"),)
    deaf = replace(POLICY, feedback=FeedbackRules(learn=False))
    assert feedback_effects(rows, embed(QUERIES), embed, deaf).records == ()


def test_the_target_that_most_fees_stand_behind_wins_and_a_tie_teaches_nothing() -> None:
    right = [row("open a file", 1_000, payer=f"p{place}", better={"label": "open"}) for place in range(2)]
    wrong = [row("open a file", 1_500, payer="liar", better={"label": "close"})]
    assert corrected_records(right + wrong) == (Record("open a file", label="open"),)
    level = [row("open a file", 2_000, payer="liar", better={"answer": "close"})]
    assert corrected_records(right + level) == ()


def test_one_receipt_cannot_vote_twice_for_a_correction() -> None:
    liar = [row("open a file", 600, kind=kind, better={"label": "close"}) for kind in ("rating", "preference")]
    honest = [row("open a file", 1_000, better={"label": "open"})]
    assert corrected_records(liar + honest) == (Record("open a file", label="open"),)


@pytest.mark.parametrize(
    ("route", "request_body", "texts"),
    [
        ("/v1/search", {"model": "m", "text": "a"}, ["a"]),
        ("/v1/embeddings", {"model": "m", "input": "a"}, ["a"]),
        ("/v1/embeddings", {"model": "m", "input": ["a", "b"]}, ["a", "b"]),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
            ["b"],
        ),
    ],
)
def test_the_texts_of_a_request_are_what_it_asked_about(
    route: str, request_body: dict[str, Any], texts: list[str]
) -> None:
    assert texts_of(route, request_body) == texts
