"""Feedback comes back into the wheel: it weighs the next turn's queries and becomes labelled records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from small_dao import OWNERS, TOPICS, contribute, key_of, launch_dao, texts
from sqlalchemy import select

from rodagila.app.auditing import audit_dao
from rodagila.app.book import read_book
from rodagila.app.daos import Dao, dao_named
from rodagila.app.home import Home
from rodagila.app.intake import contributions_of
from rodagila.app.serving import running
from rodagila.app.turn import close, learn, settle
from rodagila.app.turns import turn_row
from rodagila.client import Client
from rodagila.core.errors import Conflict, NotAuthorised
from rodagila.market.prices import network_of
from rodagila.store import schema

NEW_TEXT = "could you kindly reserve a table for two at eight"


@contextmanager
def serving(home: Home, name: str) -> Iterator[tuple[Dao, Client]]:
    """Serve the first model of the DAO ``name``; yield the DAO and a client of its buyer."""
    dao = dao_named(home, name)
    learn(dao)
    with running(home) as (_, url):
        network = network_of(dao.domain.chain_id)
        with Client(url, key_of("buyer"), token=dao.row.token, network=network, max_amount=10_000) as client:
            yield dao, client


@pytest.fixture
def served(home: Home) -> Iterator[tuple[Dao, Client]]:
    """A DAO whose first model is served, and a client of its buyer; others have paid it much already."""
    with serving(home, "docs") as found:
        yield found


def test_what_buyers_paid_for_and_rated_weighs_the_next_turns_queries(home: Home) -> None:
    young = launch_dao(home, "young")
    for owner in OWNERS:
        contribute(young, owner)
    with serving(home, "young") as (dao, client):
        asked = dao.holdings().scoring[0].text
        client.feedback(client.ask("young", asked), "rating", rating=5)
        settle(dao)
    weights = dict(turn_row(dao, 2).queries)
    assert weights[0] == 2
    assert sum(weights.values()) == len(weights) + 1
    assert all(weight == 1 for _, weight in turn_row(dao, 1).queries)


def test_a_rating_that_cost_little_beside_what_others_paid_moves_no_weight(served: tuple[Dao, Client]) -> None:
    dao, client = served
    client.feedback(client.ask("docs", dao.holdings().scoring[0].text), "rating", rating=5)
    settle(dao)
    assert {weight for _, weight in turn_row(dao, 2).queries} == {1}


def test_a_correction_becomes_a_labelled_record_of_the_treasury(served: tuple[Dao, Client]) -> None:
    dao, client = served
    client.feedback(client.classify("docs", NEW_TEXT), "rating", rating=1, better={"label": "dining"})
    settle(dao)
    (learned,) = contributions_of(dao, turn=2)
    assert learned.owner == dao.account("operator").address
    contribute(dao, "ada", turn=2)
    close(dao)
    records = {record.text: record.label for record in read_book(dao, up_to=2).records}
    assert records[NEW_TEXT] == "dining"
    assert all(report.ok for report in audit_dao(dao))


def test_a_receipt_gives_one_rating_and_only_to_its_payer(served: tuple[Dao, Client]) -> None:
    dao, client = served
    reply = client.search("docs", texts("cards", 2)[0].text)
    client.feedback(reply, "rating", rating=5)
    with pytest.raises(Conflict) as again:
        client.feedback(reply, "rating", rating=5)
    assert again.value.code == "feedback_used"
    network = network_of(dao.domain.chain_id)
    url = str(client._url)
    with (
        Client(url, key_of("ada"), token=dao.row.token, network=network) as stranger,
        pytest.raises(NotAuthorised) as foreign,
    ):
        stranger.feedback(reply, "click", place=reply.hits[0]["place"])
    assert foreign.value.code == "feedback_invalid"


def test_paid_calls_are_the_fees_of_the_turn_to_the_unit(served: tuple[Dao, Client]) -> None:
    dao, client = served
    prices = dao.policy.prices
    client.ask("docs", "my card was stolen")
    client.embeddings("docs", ["one", "two"])
    summary = settle(dao)
    assert summary["fees"] == 3_000_000 + prices.chat + prices.embeddings
    with dao.home.database.begin() as connection:
        calls = connection.execute(select(schema.call)).all()
    assert {call.state for call in calls} == {"served"}
    assert sum(call.amount for call in calls) == prices.chat + prices.embeddings
    assert all(json.loads(call.receipt) for call in calls)


def test_every_topic_is_answered_with_citations_of_its_owner(served: tuple[Dao, Client]) -> None:
    dao, client = served
    for owner, topic in zip(("ada", "bob", "cem"), TOPICS, strict=True):
        reply = client.ask("docs", texts(topic, 2)[1].text)
        assert reply.hits[0]["owner"] == key_of(owner).address
        assert reply.hits[0]["text"] in reply.text or "[1]" in reply.text
    assert dao.name == "docs"
