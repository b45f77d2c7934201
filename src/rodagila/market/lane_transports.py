"""Transports that pay by channel: one call of a lane after the other, for any httpx client.

A call like an earlier one is paid at once, without asking for its terms first; if they have changed, or the gateway
knows the channel otherwise, its 402 says so and the call is paid anew. A ``GET`` of ``/v1/channels/{model}`` asks for
what is left in the channel.

>>> httpx.Client(transport=LaneTransport(payer, httpx.HTTPTransport()))  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Generator
from typing import Any

import httpx

from rodagila.core.errors import PaymentFailed
from rodagila.market.lanes import LanePayer

Exchange = Generator[httpx.Request, httpx.Response, httpx.Response]
TRIES = 3
CHANNELS = "/v1/channels/"


class LaneTransport(httpx.BaseTransport):
    """Pays the calls of a synchronous client."""

    def __init__(self, payer: LanePayer, transport: httpx.BaseTransport) -> None:
        self._payer, self._transport = payer, transport
        self._alone = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` and pay for it."""
        request.read()
        with self._alone:
            exchange = paid_exchange(self._payer, request)
            try:
                sending = next(exchange)
                while True:
                    response = self._transport.handle_request(sending)
                    if response.status_code == 402:
                        response.read()
                        response.close()
                    sending = exchange.send(response)
            except StopIteration as done:
                answer: httpx.Response = done.value
                return answer

    def close(self) -> None:
        """Close the transport underneath and let other programs have the lane."""
        self._transport.close()
        self._payer.close()


class AsyncLaneTransport(httpx.AsyncBaseTransport):
    """Pays the calls of an asynchronous client."""

    def __init__(self, payer: LanePayer, transport: httpx.AsyncBaseTransport) -> None:
        self._payer, self._transport = payer, transport
        self._alone = asyncio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` and pay for it."""
        await request.aread()
        async with self._alone:
            exchange = paid_exchange(self._payer, request)
            try:
                sending = next(exchange)
                while True:
                    response = await self._transport.handle_async_request(sending)
                    if response.status_code == 402:
                        await response.aread()
                        await response.aclose()
                    sending = exchange.send(response)
            except StopIteration as done:
                answer: httpx.Response = done.value
                return answer

    async def aclose(self) -> None:
        """Close the transport underneath and let other programs have the lane."""
        await self._transport.aclose()
        self._payer.close()


def paid_exchange(payer: LanePayer, request: httpx.Request) -> Exchange:
    """Yield what is sent, be sent what comes back (a 402 read whole), return the last response."""
    url, model = str(request.url), _model(request)
    headers = payer.remembered(url, model)
    response = yield request if headers is None else _with(request, headers)
    tries = TRIES
    while response.status_code == 402 and tries:
        required = _required(response)
        if required is None:
            return response
        # A payment that was refused for another reason than its sum or its terms will be refused again.
        if headers is not None and not payer.corrected(required, url) and tries < TRIES:
            return response
        headers = _headers(payer, request, required, url, model)
        response = yield _with(request, headers)
        tries -= 1
    if headers is not None and response.is_success:
        _note(payer, request, response)
    return response


def _headers(
    payer: LanePayer, request: httpx.Request, required: dict[str, Any], url: str, model: str
) -> dict[str, str]:
    if _is_refund(request):
        return payer.refund(required, url)
    return payer.pay(required, url, model)


def _note(payer: LanePayer, request: httpx.Request, response: httpx.Response) -> None:
    if not _is_refund(request):
        payer.served()
        return
    settled = json.loads(base64.b64decode(response.headers["PAYMENT-RESPONSE"]))
    payer.refunded(int(settled["amount"]))


def _is_refund(request: httpx.Request) -> bool:
    return request.method == "GET" and CHANNELS in request.url.path


def _model(request: httpx.Request) -> str:
    try:
        body = json.loads(request.content or b"null")
    except ValueError:
        return ""
    return str(body.get("model", "")) if isinstance(body, dict) else ""


def _with(request: httpx.Request, headers: dict[str, str]) -> httpx.Request:
    return httpx.Request(
        request.method,
        request.url,
        headers={**request.headers, **headers},
        content=request.content,
        extensions=request.extensions,
    )


def _required(response: httpx.Response) -> dict[str, Any] | None:
    header = response.headers.get("PAYMENT-REQUIRED")
    if header is None:
        return None  # the payment did not settle: nothing to sign anew here
    try:
        body = json.loads(base64.b64decode(header, validate=True))
        if isinstance(body["accepts"], list):
            required: dict[str, Any] = body
            return required
    except (ValueError, KeyError, TypeError):
        pass
    raise PaymentFailed("payment_invalid", "The gateway's PAYMENT-REQUIRED header is not x402's.")
