"""One node that speaks Ethereum JSON-RPC over HTTP: questions, answers, and what to do when none comes.

A read changes nothing, so it is asked again after 429, 502, 503, 504, a dropped connection or the node's own "limit
exceeded" (-32005, EIP-1474), each time after a longer pause or as long as ``Retry-After`` says. A transaction is sent
once; whether an unanswered one arrived is for the caller to look up. Answers are read up to ``MAX_RESPONSE_BYTES``.

>>> node = Node(httpx.Client(timeout=30.0), "http://127.0.0.1:8545")   # doctest: +SKIP
>>> node.read("eth_chainId")                                          # doctest: +SKIP
'0x7a69'
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from rodagila.core.errors import Unreachable

MAX_RESPONSE_BYTES = 64 * 1024 * 1024
READ_ATTEMPTS = 6
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
_BUSY = (429, 502, 503, 504)
_LIMIT_EXCEEDED = -32005
_CAPPED = "eth_getLogs"
"""Nodes answer this one with "limit exceeded" when the range is too wide; waiting does not help."""


class RpcError(Exception):
    """The node's own error answer; the ledger's methods turn it into the project's errors."""

    def __init__(self, method: str, error: Any) -> None:
        body = error if isinstance(error, dict) else {"message": error}
        super().__init__(str(body.get("message", body)))
        self.method, self.code, self.data = method, body.get("code"), body.get("data")


class _Busy(Exception):
    """The node asks to come back later, or dropped the connection."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


class Node:
    """A node at one address; threads may share it."""

    def __init__(self, client: httpx.Client, url: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._client, self._url, self._pause = client, url, pause
        self.shown = shown(url)
        """The address as it may be told: providers put their clients' keys into the rest."""
        self._ids = itertools.count(1)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read(self, method: str, *params: Any) -> Any:
        """Ask for something that changes nothing; raise ``RpcError`` or ``Unreachable``."""
        pause = FIRST_PAUSE
        for attempt in range(1, READ_ATTEMPTS + 1):
            try:
                return self._ask(method, params)
            except _Busy as busy:
                if attempt == READ_ATTEMPTS:
                    raise self._unanswered(method, f"{busy}, {READ_ATTEMPTS} times") from busy
                self._pause(min(LONGEST_PAUSE, pause if busy.pause is None else busy.pause))
                pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def write(self, method: str, *params: Any) -> Any:
        """Ask for a change, once; after ``Unreachable`` it may or may not have happened."""
        try:
            return self._ask(method, params)
        except _Busy as busy:
            raise self._unanswered(method, str(busy)) from busy

    def _ask(self, method: str, params: tuple[Any, ...]) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            with self._client.stream("POST", self._url, json=body) as response:
                if response.status_code in _BUSY:
                    raise _Busy(f"HTTP {response.status_code}", _retry_after(response))
                content = _content(response)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as exc:
            raise _Busy(type(exc).__name__) from exc
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            raise self._unanswered(method, str(exc) if isinstance(exc, _TooLarge) else type(exc).__name__) from exc
        answer = _decoded(content)
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise Unreachable("unreachable", f"The node's answer to {method} is not JSON-RPC.", hint=_HINT)
        if answer.get("error") is not None:
            error = RpcError(method, answer["error"])
            if error.code in (_LIMIT_EXCEEDED, 429) and method != _CAPPED:
                raise _Busy(str(error)) from error
            raise error
        return answer.get("result")

    def _unanswered(self, method: str, why: str) -> Unreachable:
        return Unreachable("unreachable", f"The node gave no answer to {method} ({why}).", hint=_HINT)


def shown(url: str) -> str:
    """Return scheme, host and port of an address: a path, a query or a user may hold a secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else "the given address"


_HINT = "Check the node's address and that it runs."


class _TooLarge(ValueError):
    pass


def _content(response: httpx.Response) -> bytes:
    parts, size = list[bytes](), 0
    for part in response.iter_bytes():
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            raise _TooLarge(f"it is longer than {MAX_RESPONSE_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None
