"""The gateway's free routes, errors, limits and document."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from gateway_stand import Stand, WordModel, key
from rodagila.core.errors import NotFound
from rodagila.serve.catalogue import Catalogue
from rodagila.serve.meter import Meter

ROUTES = ("/v1/search", "/v1/classify", "/v1/embeddings", "/v1/chat/completions")
BODIES = {
    "/v1/search": {"model": "docs", "text": "open a file"},
    "/v1/classify": {"model": "docs", "text": "open a file"},
    "/v1/embeddings": {"model": "docs", "input": "open a file"},
    "/v1/chat/completions": {"model": "docs", "messages": [{"role": "user", "content": "open a file"}]},
}


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body = response.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:rodagila:problem:{code}")
    assert body["detail"] and body["title"]
    if status != 402:
        assert body["error"]["code"] == code  # what OpenAI's client reads


def test_the_document_is_openapi_3_1_and_names_every_route(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {*ROUTES, "/health", "/metrics", "/v1/models", "/v1/feedback", "/v1/receipts/{receipt_id}"} <= set(
        document["paths"]
    )


def test_health_tells_the_block_and_the_models(stand: Stand, http: httpx.Client) -> None:
    assert http.get("/health").json() == {
        "status": "ok",
        "block": stand.ledger.block_number(),
        "models": ["code-1", "docs-1"],
    }


def test_a_model_card_says_what_a_buyer_needs(stand: Stand, http: httpx.Client) -> None:
    card = http.get("/v1/models/docs").json()
    assert card["root"] == "docs-1"
    assert card["gateway"] == stand.gateway.address
    assert card["payment"] == {
        "network": "eip155:1919902817",
        "asset": stand.token.address,
        "pay_to": stand.treasuries["docs"],
        "schemes": ["exact", "batch-settlement"],
        "withdraw_delay": 86_400,
        "prices": {**dict(zip(ROUTES, ("1000", "900", "500", "2000"), strict=True)), "/v1/arena": "4000"},
    }


@pytest.mark.parametrize("route", ROUTES)
def test_every_paid_route_asks_its_own_price(http: httpx.Client, model: WordModel, route: str) -> None:
    prices = dict(zip(ROUTES, ("1000", "900", "500", "2000"), strict=True))
    response = http.post(route, json=BODIES[route])
    assert_problem(response, 402, "payment_required")
    assert response.json()["accepts"][0]["amount"] == prices[route]
    assert response.json()["resource"]["url"].endswith(route)
    assert model.calls == 0


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"model": 1}',
        b'{"model": "docs"}',
        b"\xff\xfe",
        b'{"model": "docs", "text": {"a": 1}, "input": [[1, 2]], "messages": []}',
    ],
)
def test_a_malformed_body_is_a_problem_that_costs_nothing(http: httpx.Client, route: str, body: bytes) -> None:
    response = http.post(route, content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid_request")


def test_a_number_without_an_exact_form_is_refused_before_money(http: httpx.Client) -> None:
    body = '{"model": "docs", "messages": [{"role": "user", "content": "a"}], "seed": 123456789012345678901234567890}'
    response = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "canonical_unsupported")


@pytest.mark.parametrize("body", [b"x" * (1024 * 1024 + 1), [b"x" * 1024] * 1025])
def test_a_body_above_one_mebibyte_is_refused(http: httpx.Client, body: bytes | list[bytes]) -> None:
    def chunks() -> Iterator[bytes]:
        yield from body if isinstance(body, list) else [body]

    response = http.post("/v1/search", content=chunks() if isinstance(body, list) else body)
    assert_problem(response, 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "route_unknown"),
        ("GET", "/v1/search", 405, "route_unknown"),
        ("GET", "/v1/models/none", 404, "model_unknown"),
        ("GET", "/v1/receipts/0x" + "00" * 32, 404, "receipt_unknown"),
        ("GET", "/v1/receipts/xyz", 422, "invalid_request"),
        ("GET", "/v1/receipts/0x00", 422, "invalid_request"),
    ],
)
def test_every_error_is_a_problem(http: httpx.Client, method: str, path: str, status: int, code: str) -> None:
    assert_problem(http.request(method, path), status, code)


def test_the_counters_name_no_account_and_no_invented_path(stand: Stand, http: httpx.Client) -> None:
    http.get("/v1/invented/by/a/stranger")
    text = http.get("/metrics").text
    assert "# TYPE rodagila_calls_total counter" in text
    assert 'rodagila_calls_total{route="none",status="404"}' in text
    assert "stranger" not in text
    assert stand.buyer.address not in text


def test_a_counter_escapes_its_labels() -> None:
    meter = Meter()
    meter.count("rodagila_fees_total", 3, dao='a"b\\c')
    assert 'rodagila_fees_total{dao="a\\"b\\\\c"} 3' in meter.exposition()


def test_the_daos_name_means_its_newest_turn(stand: Stand) -> None:
    first = stand.catalogue.find("docs")
    tenth = type(first)("docs", 10, first.domain, first.treasury, first.policy, first.model, 0)
    ninth = type(first)("docs", 9, first.domain, first.treasury, first.policy, first.model, 0)
    catalogue = Catalogue([first, tenth, ninth])
    assert catalogue.find("docs") is tenth
    assert catalogue.find("docs-1") is first
    catalogue.withdraw("docs-10")
    assert catalogue.find("docs") is ninth
    with pytest.raises(NotFound):
        catalogue.find("docs-10")


def test_no_key_is_in_what_the_gateway_shows(stand: Stand, http: httpx.Client) -> None:
    shown = repr(stand.context) + http.get("/openapi.json").text + json.dumps(http.get("/v1/models").json())
    assert bytes(key("gateway").key).hex() not in shown
