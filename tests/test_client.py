"""The SDK against a gateway on a real port: one surface for both clients, typed errors, checked receipts."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_stand import Stand, WordModel, key, serving
from rodagila.client import AsyncClient, Client, Lane, Reply, buyer_transport, buyer_transport_sync
from rodagila.core.errors import (
    Conflict,
    Corrupted,
    InvalidInput,
    NotAuthorised,
    NotFound,
    PaymentFailed,
    RodaError,
    Unreachable,
)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    stand = Stand(Path(tmp_path_factory.mktemp("client")))
    yield stand
    stand.close()


@pytest.fixture(scope="module")
def url(stand: Stand) -> Iterator[str]:
    with serving(stand.app) as address:
        yield address


@pytest.fixture
def model(stand: Stand) -> Iterator[WordModel]:
    model = stand.models["docs"]
    model.calls, model.fails = 0, None
    yield model
    model.fails = None


def sync_client(stand: Stand, url: str, **options: Any) -> Client:
    terms = {"token": stand.token.address, "network": stand.network, "gateway": stand.gateway.address, **options}
    return Client(url, terms.pop("account", stand.buyer), **terms)


def async_client(stand: Stand, url: str, **options: Any) -> AsyncClient:
    return AsyncClient(url, stand.buyer, token=stand.token.address, network=stand.network, **options)


def public(kind: type) -> dict[str, inspect.Signature]:
    return {name: inspect.signature(getattr(kind, name)) for name in dir(kind) if not name.startswith("_")}


def test_both_clients_have_one_surface() -> None:
    ours, theirs = public(Client), public(AsyncClient)
    assert set(ours) == set(theirs)
    calls = {"ask", "chat", "classify", "embeddings", "search"}
    labels = {"batches", "next_task", "open_response", "respond"}
    arena = {"arena", "ask_two", "prefer", "ratings"}
    assert calls | labels | arena | {"close", "feedback", "models", "receipt", "refund"} == set(ours)
    assert all(list(ours[name].parameters) == list(theirs[name].parameters) for name in ours)


def test_every_call_pays_its_price_and_checks_its_receipt(stand: Stand, url: str, model: WordModel) -> None:
    before = stand.balance(stand.buyer.address)
    with sync_client(stand, url) as client:
        found = client.search("docs", "open a file", k=3)
        named = client.classify("docs", "open a file", top=2)
        told = client.ask("docs", "How do I open a file?")
        turned = client.embeddings("docs", ["open a file", "sort"])
    assert found.hits[0]["target"] == "open"
    assert (len(found.hits), named.labels[0][0], len(named.labels)) == (3, "open", 2)
    assert told.text.startswith("open: ")
    assert told.hits[0]["target"] == "open"
    assert len(turned.vectors) == 2
    assert before - stand.balance(stand.buyer.address) == 1_000 + 900 + 2_000 + 500
    assert found.receipt is not None
    assert found.receipt.signer() == stand.gateway.address


def test_the_asynchronous_client_does_the_same(stand: Stand, url: str, model: WordModel) -> None:
    async def use() -> tuple[Reply, dict[str, Any], dict[str, Any]]:
        async with async_client(stand, url) as client:
            reply = await client.search("docs", "open a file")
            taken = await client.feedback(reply, "click", place=reply.hits[0]["place"])
            assert reply.receipt is not None
            return reply, taken, await client.receipt(reply.receipt.id)

    reply, taken, receipt = asyncio.run(use())
    assert reply.hits[0]["target"] == "open"
    assert taken["kind"] == "click"
    assert reply.receipt is not None
    assert receipt["receipt"] == reply.receipt.as_json()["receipt"]


def test_free_calls_need_no_account(url: str) -> None:
    with Client(url) as client:
        assert {card["id"] for card in client.models()["data"]} >= {"docs", "docs-1"}
        with pytest.raises(PaymentFailed) as demanded:
            client.search("docs", "open a file")
    assert demanded.value.code == "payment_required"


def test_errors_are_typed_by_their_code(stand: Stand, url: str, model: WordModel) -> None:
    with sync_client(stand, url) as client:
        with pytest.raises(NotFound) as unknown:
            client.search("nobody", "open a file")
        with pytest.raises(InvalidInput) as invalid:
            client.search("docs", "open a file", k=1_000)
        model.fails = RuntimeError("broken")
        with pytest.raises(RodaError) as broken:
            client.search("docs", "open a file")
    codes = [caught.value.code for caught in (unknown, invalid, broken)]
    assert codes == ["model_unknown", "invalid_request", "unexpected"]
    assert "docs-1" in unknown.value.hint


def test_a_price_above_the_cap_is_not_paid(stand: Stand, url: str, model: WordModel) -> None:
    before = stand.balance(stand.buyer.address)
    with sync_client(stand, url, max_amount=999) as client, pytest.raises(PaymentFailed, match="not paid"):
        client.search("docs", "open a file")

    async def use() -> None:
        async with async_client(stand, url, max_amount=999) as client:
            await client.search("docs", "open a file")

    with pytest.raises(PaymentFailed, match="not paid"):
        asyncio.run(use())
    assert stand.balance(stand.buyer.address) == before
    assert model.calls == 0


def test_an_unknown_token_is_not_paid(stand: Stand, url: str) -> None:
    with sync_client(stand, url, token=key("other token").address) as client, pytest.raises(PaymentFailed):
        client.search("docs", "open a file")


def test_an_account_without_money_is_told(stand: Stand, url: str) -> None:
    with sync_client(stand, url, account=key("poor")) as client, pytest.raises(PaymentFailed) as refused:
        client.search("docs", "open a file")
    assert refused.value.code == "payment_invalid"
    assert "insufficient" in refused.value.message


def test_a_receipt_of_another_gateway_is_not_accepted(stand: Stand, url: str) -> None:
    with sync_client(stand, url, gateway=key("other gateway").address) as client, pytest.raises(NotAuthorised):
        client.search("docs", "open a file")


class _Forging(httpx.BaseTransport):
    """A man in the middle who changes the answer of a paid call."""

    def __init__(self) -> None:
        self._transport = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        content = response.read().replace(b"file", b"door")
        response.close()
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        return httpx.Response(response.status_code, headers=headers, content=content)

    def close(self) -> None:
        self._transport.close()


def test_an_answer_that_was_changed_on_the_way_is_not_accepted(stand: Stand, url: str) -> None:
    with sync_client(stand, url, transport=_Forging()) as client, pytest.raises(NotAuthorised) as forged:
        client.search("docs", "open a file")
    assert forged.value.code == "receipt_invalid"


class _Losing(httpx.BaseTransport):
    """A line that loses the first answer to a paid request, after the gateway has served it."""

    def __init__(self) -> None:
        self._transport = httpx.HTTPTransport()
        self.lost = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        if "PAYMENT-SIGNATURE" in request.headers and not self.lost:
            response.read()
            response.close()
            self.lost += 1
            raise httpx.ReadError("the line broke")
        return response

    def close(self) -> None:
        self._transport.close()


class _AsyncLosing(httpx.AsyncBaseTransport):
    """The same, asynchronous."""

    def __init__(self) -> None:
        self._transport = httpx.AsyncHTTPTransport()
        self.lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        if "PAYMENT-SIGNATURE" in request.headers and not self.lost:
            await response.aread()
            await response.aclose()
            self.lost += 1
            raise httpx.ReadError("the line broke")
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


def test_a_lost_answer_is_fetched_again_without_a_second_charge(stand: Stand, url: str, model: WordModel) -> None:
    before = stand.balance(stand.buyer.address)
    line = _Losing()
    with sync_client(stand, url, transport=line) as client:
        assert client.search("docs", "open a file").hits[0]["target"] == "open"

    async def use() -> Reply:
        async with async_client(stand, url, transport=_AsyncLosing()) as client:
            return await client.search("docs", "open a file")

    assert asyncio.run(use()).hits[0]["target"] == "open"
    assert line.lost == 1
    assert model.calls == 2
    assert before - stand.balance(stand.buyer.address) == 2_000


def test_a_lane_pays_by_channel_and_gives_the_rest_back(
    stand: Stand, url: str, model: WordModel, tmp_path: Path
) -> None:
    before, block = stand.balance(stand.buyer.address), stand.ledger.block_number()
    with sync_client(stand, url, lane=Lane(tmp_path / "lane.json", 10_000)) as client:
        replies = [client.search("docs", "open a file", k=k) for k in (1, 2, 3)]
        assert client.ask("docs", "How do I open a file?").text.startswith("open: ")
        assert before - stand.balance(stand.buyer.address) == 10_000
        assert stand.ledger.block_number() == block + 1  # the deposit
        receipts = [reply.receipt for reply in replies]
        assert all(receipt is not None and receipt.signer() == stand.gateway.address for receipt in receipts)
        assert client.refund("docs")["amount"] == "5000"
    assert before - stand.balance(stand.buyer.address) == 5_000


def test_an_asynchronous_lane_serves_calls_that_are_made_at_once_one_after_the_other(
    stand: Stand, url: str, model: WordModel, tmp_path: Path
) -> None:
    async def use() -> list[Reply]:
        lane = Lane(tmp_path / "lane.json", 10_000, 1)
        async with async_client(stand, url, lane=lane) as client:
            found = await asyncio.gather(*(client.search("docs", "open a file", k=k) for k in range(1, 9)))
            await client.refund("docs")
            return list(found)

    assert [len(reply.hits) for reply in asyncio.run(use())] == list(range(1, 9))
    assert model.calls == 8


def test_a_lost_answer_of_a_lane_is_fetched_again_without_a_second_charge(
    stand: Stand, url: str, model: WordModel, tmp_path: Path
) -> None:
    line = _Losing()
    with sync_client(stand, url, transport=line, lane=Lane(tmp_path / "lane.json", 10_000, 2)) as client:
        for k in (1, 2):
            assert len(client.search("docs", "open a file", k=k).hits) == k
            line.lost = 0
        assert client.refund("docs")["amount"] == "8000"
    assert model.calls == 2


def test_a_lane_whose_file_was_lost_or_is_old_finds_its_way_back(
    stand: Stand, url: str, model: WordModel, tmp_path: Path
) -> None:
    path = tmp_path / "lane.json"
    lane = Lane(path, 10_000, 3)
    with sync_client(stand, url, lane=lane) as client:
        client.search("docs", "open a file")
        old = path.read_text()
        client.search("docs", "open a file", k=2)
    before = stand.balance(stand.buyer.address)
    for state in (None, old):
        path.unlink() if state is None else path.write_text(state)
        with sync_client(stand, url, lane=lane) as client:
            assert client.search("docs", "sort a list").hits
    path.unlink()
    with sync_client(stand, url, lane=lane) as client:
        assert client.refund("docs")["amount"] == "6000"
    assert stand.balance(stand.buyer.address) - before == 6_000  # no second deposit was made


def test_a_lanes_file_is_one_programs_and_its_deposit_has_a_limit(stand: Stand, url: str, tmp_path: Path) -> None:
    path = tmp_path / "lane.json"
    with sync_client(stand, url, lane=Lane(path, 999, 4)) as client:
        with pytest.raises(Conflict) as busy:
            sync_client(stand, url, lane=Lane(path, 999, 4))
        assert busy.value.code == "channel_busy"
        with pytest.raises(PaymentFailed, match="deposit"):
            client.search("docs", "open a file")
        with pytest.raises(PaymentFailed, match="no_balance"):
            client.refund("docs")
    path.write_text("[]")
    with pytest.raises(Corrupted):
        sync_client(stand, url, lane=Lane(path, 999, 4))
    path.unlink()
    with sync_client(stand, url, max_amount=999, lane=Lane(path, 10_000, 4)) as client, pytest.raises(PaymentFailed):
        client.search("docs", "open a file")


def test_a_lane_learns_a_new_price(stand: Stand, url: str, model: WordModel, tmp_path: Path) -> None:
    from dataclasses import replace

    from rodagila.core.policy import PriceRules

    served = stand.catalogue.find("docs")
    try:
        with sync_client(stand, url, lane=Lane(tmp_path / "lane.json", 10_000, 5)) as client:
            client.search("docs", "open a file")
            dear = replace(served, policy=replace(served.policy, prices=PriceRules(search=3_000)))
            stand.catalogue.publish(dear)
            assert client.search("docs", "open a file").receipt.receipt.amount == 3_000  # type: ignore[union-attr]
            assert client.refund("docs")["amount"] == "6000"
    finally:
        stand.catalogue.publish(served)


def test_a_gateway_that_is_not_there_is_unreachable(stand: Stand) -> None:
    with sync_client(stand, "http://127.0.0.1:9") as client, pytest.raises(Unreachable):
        client.search("docs", "open a file")


def test_the_transports_show_no_key(stand: Stand) -> None:
    shown = [buyer_transport_sync(stand.buyer, stand.token.address, stand.network)]
    shown += [buyer_transport(stand.buyer, stand.token.address, stand.network)]
    assert all(bytes(stand.buyer.key).hex() not in repr(vars(transport)) for transport in shown)
