"""Payments across a restart, and after a crash at each step of a paid call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway_stand import Stand, serving, signed_header
from rodagila.market.prices import PAYMENT_SECONDS
from rodagila.market.receipts import request_hash

SEARCH = {"model": "docs", "text": "open a file", "k": 2}


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """A stand that this test may stop and start."""
    stand = Stand(tmp_path)
    yield stand
    stand.close()


class Crash(BaseException):
    """The process ends here."""


def ask(stand: Stand, header: str | None = None, body: dict[str, object] | None = None) -> httpx.Response:
    headers = {} if header is None else {"PAYMENT-SIGNATURE": header}
    with serving(stand.app) as url, httpx.Client(base_url=url, timeout=30) as http:
        return http.post("/v1/search", json=body or SEARCH, headers=headers)


def test_a_payment_is_served_once_across_a_restart(stand: Stand) -> None:
    header = signed_header(stand, ask(stand), stand.buyer)
    first = ask(stand, header)
    before = stand.balance(stand.buyer.address)
    stand.restart()
    again = ask(stand, header)
    assert (again.status_code, again.content) == (200, first.content)
    assert ask(stand, header, {**SEARCH, "k": 3}).status_code == 409
    assert stand.models["docs"].calls == 1
    assert stand.balance(stand.buyer.address) == before


@pytest.mark.parametrize("step", ["claim", "settle", "serve"])
def test_a_crash_at_any_step_is_mended_by_the_same_payment(
    stand: Stand, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the response is kept, before the money moves, after it moved: the buyer pays once and is served."""

    def crash(*_: object, **__: object) -> None:
        raise Crash

    header = signed_header(stand, ask(stand), stand.buyer)
    before = stand.balance(stand.buyer.address)
    with monkeypatch.context() as patch:
        patch.setattr(stand.paywall.facilitator if step == "settle" else stand.calls, step, crash)
        with pytest.raises(Crash):
            _serve_directly(stand, header)
    moved = 1000 if step == "serve" else 0
    assert before - stand.balance(stand.buyer.address) == moved
    stand.restart()
    mended = ask(stand, header)
    assert (mended.status_code, mended.json()["data"][0]["target"]) == (200, "open")
    assert before - stand.balance(stand.buyer.address) == 1000
    assert ask(stand, header).content == mended.content
    assert before - stand.balance(stand.buyer.address) == 1000


def _serve_directly(stand: Stand, header: str) -> None:
    from rodagila.market.prices import Quote
    from rodagila.serve.answers import search_answer
    from rodagila.serve.schemas import SearchRequest

    served = stand.catalogue.find("docs")
    quote = Quote(
        "docs", served.domain, 1, "/v1/search", request_hash(SEARCH), 1000, served.treasury, "http://gateway/"
    )
    stand.paywall.serve(header, quote, lambda _: search_answer(served, SearchRequest.model_validate(SEARCH)))


def test_a_response_is_kept_as_long_as_its_payment_was_good(stand: Stand) -> None:
    header = signed_header(stand, ask(stand), stand.buyer)
    assert ask(stand, header).status_code == 200
    stand.paywall.till.clock = lambda: int(time.time()) + PAYMENT_SECONDS + 5
    late = ask(stand, header)
    assert (late.status_code, late.json()["code"]) == (409, "payment_used")
    stand.paywall.till.forget()
    with stand.database.begin() as connection:
        row = connection.exec_driver_sql("select response, receipt from call").one()
    assert row[0] is None
    assert row[1] is not None


def test_a_ledger_that_fails_is_not_the_buyers_fault(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    header = signed_header(stand, ask(stand), stand.buyer)
    before = stand.balance(stand.buyer.address)

    def broken(*_: object, **__: object) -> bytes:
        raise OSError("disk is gone")

    for operation in ("call", "send", "receipt"):
        with monkeypatch.context() as patch:
            patch.setattr(stand.ledger, operation, broken)
            response = ask(stand, header)
            assert (response.status_code, response.json()["code"]) == (503, "unreachable"), operation
            assert "disk" not in response.text
            assert "Open file" not in response.text
    assert ask(stand, header).status_code == 200
    assert before - stand.balance(stand.buyer.address) == 1000
