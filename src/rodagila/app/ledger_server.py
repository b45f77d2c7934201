"""The embedded ledger over HTTP: Ethereum JSON-RPC for wallets, explorers and scripts, on this machine by default.

Three rules keep web pages from using somebody's ledger through his browser: a page's origin must be on this machine, a
browser extension or named by the operator; the Host header must be an IP address, localhost or such a name (against DNS
rebinding, as in go-ethereum); and a body counts only as ``application/json``, which no page sends without asking first.

>>> with listening(lambda: LedgerApp(dispatcher), "127.0.0.1", 8545) as url:  # doctest: +SKIP
...     Web3(Web3.HTTPProvider(url)).eth.chain_id
1919902817
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from rodagila.app.listening import end_on_termination, listening
from rodagila.chain.jsonrpc.dispatch import Dispatcher
from rodagila.chain.jsonrpc.methods import ethereum_methods

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from rodagila.chain.embedded import EmbeddedLedger

MAX_BODY_BYTES = 5 * 1024 * 1024
"""go-ethereum's limit; a transaction has at most 128 KiB, a batch holds many."""
THREADS = 8
_EXTENSIONS = ("chrome-extension", "moz-extension", "safari-web-extension")


class LedgerApp:
    """The ASGI application; ``origins`` are the further web origins that may use it, such as https://wallet.example."""

    def __init__(self, dispatcher: Dispatcher, origins: Collection[str] = ()) -> None:
        self._dispatcher = dispatcher
        self._origins = {origin.rstrip("/").lower() for origin in origins}
        self._hosts = {_parts(origin)[1] for origin in self._origins}
        self._threads: anyio.CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] == "http":
            request = Request(scope, receive)
            response = await self._response(request)
            origin = request.headers.get("origin")
            response.headers["vary"] = "Origin"
            if origin is not None and self._origin_allowed(origin):
                response.headers["access-control-allow-origin"] = origin
            await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        if request.method == "OPTIONS":
            return _preflight()
        body = await _body(request)
        if body is None:
            return PlainTextResponse(f"A body has at most {MAX_BODY_BYTES} bytes.\n", 413)
        self._threads = self._threads or anyio.CapacityLimiter(THREADS)
        answer = await anyio.to_thread.run_sync(self._dispatcher.answer, body, limiter=self._threads)
        return Response(status_code=204) if answer is None else Response(answer, media_type="application/json")

    def _refused(self, request: Request) -> Response | None:
        origin = request.headers.get("origin")
        if not self._host_allowed(request.headers.get("host", "")):
            return PlainTextResponse("This host name is not served.\n", 403)
        if origin is not None and not self._origin_allowed(origin):
            return PlainTextResponse("This web origin may not use the ledger; see roda ledger serve --origin.\n", 403)
        if request.method not in ("POST", "OPTIONS"):
            return PlainTextResponse("Ethereum JSON-RPC: send a POST.\n", 405, {"allow": "POST, OPTIONS"})
        content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method == "POST" and content != "application/json":
            return PlainTextResponse("The body must be application/json.\n", 415)
        return None

    def _host_allowed(self, host: str) -> bool:
        _, name = _parts(f"//{host}")
        return name == "localhost" or (name != "" and name in self._hosts) or _is_address(name)

    def _origin_allowed(self, origin: str) -> bool:
        if origin.lower() in self._origins:
            return True
        scheme, host = _parts(origin)
        return scheme in _EXTENSIONS or host in ("localhost", "127.0.0.1", "::1")


def serve_ledger(
    ledger: EmbeddedLedger, host: str, port: int, origins: Collection[str], ready: Callable[[str], None]
) -> None:
    """Serve until interrupted or terminated."""
    end_on_termination()
    dispatcher = Dispatcher(ethereum_methods(ledger))
    with suppress(KeyboardInterrupt), listening(lambda: LedgerApp(dispatcher, origins), host, port) as url:
        ready(url)
        while True:
            time.sleep(3600)


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "access-control-allow-methods": "POST",
            "access-control-allow-headers": "content-type",
            "access-control-max-age": "600",
        },
    )


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    claimed = request.headers.get("content-length", "0")
    if claimed.isdigit() and int(claimed) > MAX_BODY_BYTES:
        return None
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _parts(address: str) -> tuple[str, str]:
    """Return an address's scheme and host, empty where it has none or cannot be read."""
    try:
        found = urlsplit(address)
        return found.scheme, found.hostname or ""
    except ValueError:
        return "", ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
