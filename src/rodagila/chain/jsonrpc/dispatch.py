"""JSON-RPC 2.0: find the method of each request, check its parameters, answer with a result or an error.

Specification: https://www.jsonrpc.org/specification. A request without an id is a notification and gets no answer. What
a method raises of the project's own errors becomes -32000 with its sentence; anything else is a fault of ours: it is
logged and answered with -32603 and no detail.

>>> dispatcher = Dispatcher({"echo": Method(lambda text: text, (Param(str),))})
>>> dispatcher.answer(b'{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": ["a"]}')
b'{"jsonrpc": "2.0", "id": 1, "result": "a"}'
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rodagila.chain.jsonrpc.values import (
    INTERNAL,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMIT,
    METHOD_UNKNOWN,
    PARSE_ERROR,
    SERVER,
    JsonRpcError,
)
from rodagila.core.errors import RodaError

MAX_BATCH = 1_000
MAX_ANSWER_BYTES = 25 * 1024 * 1024
"""Both are go-ethereum's limits for a batch."""
REQUIRED = object()
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter: how to read it, and its value where it is left out or null (``REQUIRED``: it may not be)."""

    read: Callable[[Any], Any]
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class Method:
    """What a name stands for."""

    function: Callable[..., Any]
    params: tuple[Param, ...] = ()

    def __call__(self, given: list[Any]) -> Any:
        """Read the parameters and run; raise ``JsonRpcError``."""
        if len(given) > len(self.params):
            raise JsonRpcError(INVALID_PARAMS, f"too many arguments, want at most {len(self.params)}")
        return self.function(*(_read(i, param, given) for i, param in enumerate(self.params)))


class Dispatcher:
    """Answers requests by a table of methods; threads may share it as far as the methods allow."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self.methods = methods

    def answer(self, body: bytes) -> bytes | None:
        """Return the answer to one request or a batch, None if none is due."""
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            return _encoded(_failed(None, JsonRpcError(PARSE_ERROR, "parse error: the body is not JSON")))
        if not isinstance(asked, list):
            answer = self._one(asked)
            return None if answer is None else _encoded(answer)
        if not asked:
            return _encoded(_failed(None, JsonRpcError(INVALID_REQUEST, "empty batch")))
        if len(asked) > MAX_BATCH:
            return _encoded(_failed(None, JsonRpcError(INVALID_REQUEST, f"batch too large: {MAX_BATCH} at most")))
        return self._batch(asked)

    def _batch(self, asked: list[Any]) -> bytes | None:
        answers, size = list[bytes](), 0
        for request in asked:
            if size > MAX_ANSWER_BYTES:
                answers.append(_encoded(_failed(_id(request), JsonRpcError(LIMIT, "response too large"))))
                continue
            answer = self._one(request)
            if answer is not None:
                answers.append(_encoded(answer))
                size += len(answers[-1])
        return b"[" + b", ".join(answers) + b"]" if answers else None

    def _one(self, request: Any) -> dict[str, Any] | None:
        name = request.get("method") if isinstance(request, dict) else None
        params = request.get("params") or [] if isinstance(request, dict) else None
        if not isinstance(name, str) or request.get("jsonrpc") != "2.0" or not isinstance(params, list | dict):
            return _failed(_id(request), JsonRpcError(INVALID_REQUEST, "invalid request"))
        try:
            result = self._run(name, params)
        except JsonRpcError as error:
            return _failed(_id(request), error) if "id" in request else None
        return {"jsonrpc": "2.0", "id": _id(request), "result": result} if "id" in request else None

    def _run(self, name: str, params: Any) -> Any:
        method = self.methods.get(name)
        if method is None:
            raise JsonRpcError(METHOD_UNKNOWN, f"the method {name[:80]} does not exist/is not available")
        if isinstance(params, dict):
            raise JsonRpcError(INVALID_PARAMS, "non-array args: parameters are given by position")
        try:
            return method(params)
        except JsonRpcError:
            raise
        except RodaError as error:
            raise JsonRpcError(SERVER, str(error)) from error
        except Exception as error:
            log.exception("%s failed", name)
            raise JsonRpcError(INTERNAL, "internal error") from error


def _read(index: int, param: Param, given: list[Any]) -> Any:
    value = given[index] if index < len(given) else None
    if value is not None:
        return param.read(value)
    if param.default is REQUIRED:
        raise JsonRpcError(INVALID_PARAMS, f"missing value for required argument {index}")
    return param.default


def _id(request: Any) -> Any:
    found = request.get("id") if isinstance(request, dict) else None
    return found if isinstance(found, str | int) else None


def _failed(request_id: Any, error: JsonRpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "error": error.body()}


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()
