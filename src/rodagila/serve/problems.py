"""Errors on the wire: RFC 9457 problem+json with our stable codes, and what OpenAI's and x402's clients read.

The problem object carries OpenAI's ``error`` object too, so that its client shows our sentence and code. A 402 is the
exception: there ``error`` is x402's text, beside ``x402Version``, ``resource`` and ``accepts``; the same terms stand in
the header ``PAYMENT-REQUIRED``. An error inside the gateway is 500 and never asks for money.

>>> problem_body(RodaError("unexpected", "It failed."))["error"]["code"]
'unexpected'
"""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rodagila.core.errors import InvalidInput, NotFound, RodaError
from rodagila.market.outcome import PaymentDemand, PaymentUnsettled

LOG = logging.getLogger(__name__)
PROBLEM = "application/problem+json"


def problem_body(error: RodaError) -> dict[str, Any]:
    """Return the problem object with OpenAI's error object, or with x402's terms for a demand."""
    body = error.problem()
    if isinstance(error, PaymentDemand):
        return {**body, **error.terms.model_dump(by_alias=True, exclude_none=True, mode="json")}
    kind = "invalid_request_error" if error.http_status < 500 else "server_error"
    return {**body, "error": {"message": str(error), "type": kind, "code": error.code, "param": None}}


def problem_response(request: Request, error: RodaError, status: int | None = None) -> Response:
    """Return the response of an error."""
    from x402.http.constants import PAYMENT_REQUIRED_HEADER, PAYMENT_RESPONSE_HEADER
    from x402.http.utils import encode_payment_required_header, encode_payment_response_header

    headers = {"Cache-Control": "no-store"}
    if isinstance(error, PaymentDemand):
        headers[PAYMENT_REQUIRED_HEADER] = encode_payment_required_header(error.terms)
    if isinstance(error, PaymentUnsettled):
        headers[PAYMENT_RESPONSE_HEADER] = encode_payment_response_header(error.settlement)
    body = problem_body(error)
    body["status"] = status or error.http_status
    body["instance"] = request.url.path
    return Response(json.dumps(body, ensure_ascii=False).encode(), body["status"], headers=headers, media_type=PROBLEM)


def install_problems(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""
    app.add_exception_handler(RodaError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unexpected)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RodaError)
    return problem_response(request, error)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
    found = [{"field": ".".join(map(str, item["loc"])), "reason": str(item["msg"])} for item in error.errors()[:8]]
    message = f"The request is not valid: {where}: {first['msg'].lower()}."
    problem = InvalidInput("invalid_request", message, hint="See /openapi.json for the request's shape.", errors=found)
    return problem_response(request, problem)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem: RodaError
    if error.status_code in (404, 405):
        message = f"There is no {request.method} {request.url.path}."
        problem = NotFound("route_unknown", message, hint="See /openapi.json.")
    else:
        problem = InvalidInput("invalid_request", f"The request was refused: {error.detail}.")
    return problem_response(request, problem, error.status_code)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    LOG.error("unexpected %s at %s", type(error).__name__, request.url.path)
    return problem_response(request, RodaError("unexpected", "Something failed inside the gateway."))
