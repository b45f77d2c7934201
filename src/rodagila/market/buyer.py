"""The buyer's side of x402: transports that pay a call and send it again, for any httpx client.

With a ``Lane`` they pay by channel, without one by ``exact``. For ``exact`` the asynchronous transport is x402's own,
unmodified; the synchronous one does the same, because x402 has none for httpx. All pay in one token on one chain, at
most ``max_amount`` a call: x402 clients refuse unknown tokens otherwise. Underneath, a request that was paid and got no
answer is sent again with the same payment, which a gateway serves once and charges once; without that, a client's own
retry would pay again.

>>> transport = buyer_transport(account, token, "eip155:1919902817", 10_000)  # doctest: +SKIP
>>> openai.AsyncOpenAI(api_key="-", base_url=url, http_client=httpx.AsyncClient(transport=transport))  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
from eth_account.signers.local import LocalAccount

from rodagila.market.lane_transports import AsyncLaneTransport, LaneTransport
from rodagila.market.lanes import PAYMENT_HEADER, Lane, LanePayer

if TYPE_CHECKING:
    from x402 import x402ClientSync

MAX_AMOUNT = 10_000
"""Atomic units a call may cost unless the caller says otherwise."""

PAID_ATTEMPTS = 3
PAUSE_SECONDS = 0.2


def buyer_transport(
    account: LocalAccount,
    token: str,
    network: str,
    max_amount: int = MAX_AMOUNT,
    transport: httpx.AsyncBaseTransport | None = None,
    lane: Lane | None = None,
) -> httpx.AsyncBaseTransport:
    """Return an httpx transport that pays at most ``max_amount`` atomic units of ``token`` a call."""
    persistent = _AsyncPersistent(transport or httpx.AsyncHTTPTransport())
    if lane is not None:
        return AsyncLaneTransport(LanePayer(account, token, network, max_amount, lane), persistent)
    from x402 import x402Client
    from x402.http.clients.httpx import x402AsyncTransport

    client = x402Client()
    _arm(client, account, token, network, max_amount)
    return x402AsyncTransport(client, persistent)


def buyer_transport_sync(
    account: LocalAccount,
    token: str,
    network: str,
    max_amount: int = MAX_AMOUNT,
    transport: httpx.BaseTransport | None = None,
    lane: Lane | None = None,
) -> httpx.BaseTransport:
    """Return the same for synchronous httpx clients."""
    persistent = _Persistent(transport or httpx.HTTPTransport())
    if lane is not None:
        return LaneTransport(LanePayer(account, token, network, max_amount, lane), persistent)
    from x402 import x402ClientSync

    client = x402ClientSync()
    _arm(client, account, token, network, max_amount)
    return PayingTransport(client, persistent)


class PayingTransport(httpx.BaseTransport):
    """A synchronous httpx transport that pays a 402 once and sends the request again, as x402's own async one does."""

    def __init__(self, client: x402ClientSync, transport: httpx.BaseTransport | None = None) -> None:
        from x402.http.x402_http_client import x402HTTPClientSync

        self._client = client
        self._http = x402HTTPClientSync(client)
        self._transport = transport or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request``; if it must be paid, pay it and send it again."""
        request.read()
        response = self._transport.handle_request(request)
        if response.status_code != 402:
            return response
        response.read()
        response.close()
        required = self._http.get_payment_required_response(response.headers.get)
        payload = self._client.create_payment_payload(required)
        headers = {**request.headers, **self._http.encode_payment_signature_header(payload)}
        return self._transport.handle_request(
            httpx.Request(
                request.method, request.url, headers=headers, content=request.content, extensions=request.extensions
            )
        )

    def close(self) -> None:
        """Close the transport underneath."""
        self._transport.close()


class _Persistent(httpx.BaseTransport):
    """Sends a paid request again, with the same payment, when no answer came: it is served once and charged once."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for attempt in range(1, PAID_ATTEMPTS + 1):
            try:
                response = self._transport.handle_request(request)
            except httpx.TransportError:
                if not _may_repeat(request, attempt):
                    raise
            else:
                if response.status_code != 503 or not _may_repeat(request, attempt):
                    return response
                response.close()
            time.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        self._transport.close()


class _AsyncPersistent(httpx.AsyncBaseTransport):
    """The same for asynchronous clients."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for attempt in range(1, PAID_ATTEMPTS + 1):
            try:
                response = await self._transport.handle_async_request(request)
            except httpx.TransportError:
                if not _may_repeat(request, attempt):
                    raise
            else:
                if response.status_code != 503 or not _may_repeat(request, attempt):
                    return response
                await response.aclose()
            await asyncio.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def aclose(self) -> None:
        await self._transport.aclose()


def _may_repeat(request: httpx.Request, attempt: int) -> bool:
    return PAYMENT_HEADER in request.headers and attempt < PAID_ATTEMPTS


def _arm(client: Any, account: Any, token: str, network: str, max_amount: int) -> None:
    from x402.mechanisms.evm.exact.register import register_exact_evm_client

    register_exact_evm_client(client, account, networks=network)
    asset = {"network": network, "asset": token, "max_amount_per_payment": str(max_amount)}
    client.set_spend_controls({"allowed_assets": [asset]})
