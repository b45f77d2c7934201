"""The cap on request bodies, below everything that reads one: by the length that is claimed and by the bytes that come.

>>> app.add_middleware(BodyLimit)  # doctest: +SKIP
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rodagila.core.errors import InvalidInput
from rodagila.serve.problems import problem_response

MAX_BODY_BYTES = 1024 * 1024


class BodyTooLarge(InvalidInput):
    """The request body exceeds the cap."""

    http_status = 413

    def __init__(self) -> None:
        super().__init__(
            "body_too_large",
            f"The request body exceeds {MAX_BODY_BYTES:,} bytes.",
            hint="Send several smaller requests.",
        )


class BodyLimit:
    """ASGI middleware that answers 413 problem+json instead of reading more than the cap."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a body of at most ``limit`` bytes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        body = None if claimed.isdigit() and int(claimed) > self._limit else await self._read(receive)
        if body is None:
            await problem_response(Request(scope), BodyTooLarge())(scope, receive, send)
            return
        await self._app(scope, _replaying(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > self._limit:
                return None
            if not message.get("more_body", False):
                return bytes(body)


def _replaying(body: bytes, receive: Receive) -> Receive:
    pending = [body]

    async def replay() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replay
