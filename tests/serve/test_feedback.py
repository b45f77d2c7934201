"""Feedback over HTTP: signed by the payer, about what was paid for, once a kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway_stand import Stand, WordModel, key
from rodagila.client import Client, Reply
from rodagila.core.canonical import json_hash
from rodagila.core.errors import Conflict, InvalidInput, NotAuthorised, NotFound
from rodagila.core.messages import Domain, Feedback, sign


@pytest.fixture
def client(stand: Stand, url: str) -> Iterator[Client]:
    with Client(url, stand.buyer, token=stand.token.address, network=stand.network) as client:
        yield client


@pytest.fixture
def reply(client: Client, model: WordModel) -> Reply:
    return client.search("docs", "open a file", k=2)


def send(client: Client, reply: Reply, kind: str = "rating", **changes: Any) -> dict[str, Any]:
    """Send feedback with some part of it changed."""
    assert reply.receipt is not None
    signer = changes.pop("signer", key("buyer"))
    domain = changes.pop("domain", reply.receipt.domain)
    body = changes.pop("body", {"request": reply.request, "rating": 5})
    message = Feedback(reply.receipt.id, changes.get("account", signer.address), kind, json_hash(body))
    given = {
        "receipt_id": "0x" + reply.receipt.id.hex(),
        "account": signer.address,
        "kind": kind,
        "body": body,
        "signature": "0x" + sign(signer, domain, message).hex(),
        **changes,
    }
    return dict(client._json(client._free("POST", "v1/feedback", given)))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("rating", {"rating": 1, "better": {"label": "open"}}),
        ("preference", {"chosen": {"text": "open()"}, "rejected": {"text": "close()"}}),
        ("click", {"place": 0}),
        ("purchase", {"amount": 1000}),
    ],
)
def test_each_kind_is_taken_once(client: Client, reply: Reply, stand: Stand, kind: str, fields: dict[str, Any]) -> None:
    taken = client.feedback(reply, kind, **fields)
    assert (taken["kind"], taken["turn"]) == (kind, 1)
    with pytest.raises(Conflict) as again:
        client.feedback(reply, kind, **fields)
    assert again.value.code == "feedback_used"
    kept = [row for row in stand.feedback.of_turn("docs", 1) if row.receipt == reply.receipt]
    assert [(row.kind, row.account, row.amount) for row in kept] == [(kind, stand.buyer.address, 1000)]
    assert kept[0].body == {"request": reply.request, **fields}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("rating", {"rating": 0}),
        ("rating", {"rating": 6}),
        ("rating", {"rating": 4.5}),
        ("rating", {"rating": True}),
        ("rating", {"rating": 3, "better": {}}),
        ("rating", {"rating": 3, "better": {"label": "a", "answer": "b"}}),
        ("rating", {"rating": 3, "more": 1}),
        ("rating", {}),
        ("preference", {"chosen": {"text": "a"}}),
        ("preference", {"chosen": {"text": "a"}, "rejected": {"text": "b", "receipt": "0x" + "00" * 32}}),
        ("click", {"place": 7}),
        ("purchase", {"amount": 999}),
    ],
)
def test_feedback_that_does_not_fit_its_kind_or_call_is_refused(
    client: Client, reply: Reply, kind: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.feedback(reply, kind, **fields)
    assert refused.value.code == "feedback_invalid"


def test_feedback_on_another_text_is_refused(client: Client, reply: Reply) -> None:
    with pytest.raises(InvalidInput, match="not the one"):
        send(client, reply, body={"request": {**reply.request, "text": "what I never asked"}, "rating": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"signer": key("thief")},
        {"account": key("thief").address},
        {"domain": Domain(1, "0x" + "11" * 20)},
        {"signature": "0x" + "00" * 65},
    ],
)
def test_only_the_payer_of_the_receipt_may_speak(client: Client, reply: Reply, changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthorised) as refused:
        send(client, reply, **changes)
    assert refused.value.code == "feedback_invalid"


def test_a_signature_for_one_kind_or_body_is_not_good_for_another(client: Client, reply: Reply) -> None:
    assert reply.receipt is not None
    signed = Feedback(
        reply.receipt.id, key("buyer").address, "rating", json_hash({"request": reply.request, "rating": 1})
    )
    signature = "0x" + sign(key("buyer"), reply.receipt.domain, signed).hex()
    with pytest.raises(NotAuthorised):
        send(client, reply, body={"request": reply.request, "rating": 5}, signature=signature)
    with pytest.raises(NotAuthorised):
        send(client, reply, "purchase", body={"request": reply.request, "amount": 1000}, signature=signature)


def test_an_unknown_receipt_is_not_found(client: Client, reply: Reply) -> None:
    with pytest.raises(NotFound) as unknown:
        send(client, reply, receipt_id="0x" + "00" * 32)
    assert unknown.value.code == "receipt_unknown"


def test_a_preference_may_name_receipts_of_the_same_payer_and_dao(client: Client, stand: Stand, reply: Reply) -> None:
    other, elsewhere = client.search("docs", "sort a list"), client.search("code", "sort a list")
    assert other.receipt and elsewhere.receipt and reply.receipt
    own, ours = ("0x" + one.receipt.id.hex() for one in (reply, other) if one.receipt)
    with pytest.raises(InvalidInput, match="same payer"):
        client.feedback(
            reply, "preference", chosen={"receipt": own}, rejected={"receipt": "0x" + elsewhere.receipt.id.hex()}
        )
    with pytest.raises(NotFound):
        client.feedback(reply, "preference", chosen={"receipt": own}, rejected={"receipt": "0x" + "00" * 32})
    assert (
        client.feedback(reply, "preference", chosen={"receipt": own}, rejected={"receipt": ours})["kind"]
        == "preference"
    )
