"""The gateway's HTTP routes: OpenAI-compatible and our own, each paid call behind the paywall.

Order of a paid call: size cap, shape, model (404), then money: nothing about a request that cannot be served is ever
charged. Handlers and payments block, so they run on worker threads; the event loop only moves bytes.

>>> app = create_app(GatewayContext(catalogue, paywall, feedback))  # doctest: +SKIP
>>> uvicorn.run(app, port=8000)  # doctest: +SKIP
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import anyio
from fastapi import FastAPI, Request, Response
from starlette.responses import StreamingResponse

from rodagila.core.errors import InvalidInput, PaymentFailed, RodaError
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.messages import dao_id
from rodagila.market.outcome import Handler, PaidAnswer
from rodagila.market.paywall import Paywall
from rodagila.market.prices import ARENA, CHAT, CLASSIFY, EMBEDDINGS, PAID_ROUTES, SEARCH, Quote, network_of, price_of
from rodagila.market.receipts import RECEIPT_HEADER, encode_receipt, request_hash
from rodagila.serve.answers import (
    SSE,
    chat_answer,
    classify_answer,
    embeddings_answer,
    question_of,
    search_answer,
)
from rodagila.serve.arena import Arena, CatalogueLine, Roster, arena_answer
from rodagila.serve.catalogue import Catalogue, ServedModel
from rodagila.serve.feedback import FeedbackBook
from rodagila.serve.limits import BodyLimit
from rodagila.serve.meter import Meter
from rodagila.serve.problems import install_problems
from rodagila.serve.ratings import rating_file
from rodagila.serve.schemas import (
    ArenaRequest,
    ChatRequest,
    ClassifyRequest,
    EmbeddingsRequest,
    FeedbackRequest,
    PreferenceRequest,
    SearchRequest,
)
from rodagila.serve.tasks import NextTaskRequest, OpeningRequest, ResponseRequest, TaskDesk

LOG = logging.getLogger(__name__)
THREADS = 16
"""Paid calls worked on at once; the rest wait, which bounds what a crowd of buyers can occupy."""

PAYMENT_HEADER = "PAYMENT-SIGNATURE"
RESPONSE_HEADER = "PAYMENT-RESPONSE"


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """What a gateway works with; the ledger and the token are the paywall's.

    ``arena`` is by default that of the catalogue's models; ``ratings`` makes a DAO's file of ratings, by default from
    the arena alone, without stakes and other evidence.
    """

    catalogue: Catalogue
    paywall: Paywall
    feedback: FeedbackBook
    tasks: TaskDesk | None = None
    arena: Arena | None = None
    ratings: Callable[[Arena, ServedModel, int], dict[str, Any]] | None = None
    meter: Meter = field(default_factory=Meter)
    clock: Callable[[], int] = lambda: int(time.time())
    threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(THREADS))


def create_app(gateway: GatewayContext) -> FastAPI:
    """Return the gateway as an ASGI application with an OpenAPI 3.1 document at ``/openapi.json``."""
    app = FastAPI(
        title="Rodagila gateway",
        version=version("rodagila"),
        description="Answers from data DAOs, paid per call by x402.",
        openapi_url="/openapi.json",
        docs_url=None,  # FastAPI's pages load their scripts from another host
        redoc_url=None,
    )
    app.state.gateway = gateway
    install_problems(app)
    _add_free_routes(app, gateway)
    _add_paid_routes(app, gateway)
    _add_channel_route(app, gateway)
    if gateway.tasks is not None:
        _add_task_routes(app, gateway, gateway.tasks)
    _add_arena_routes(app, gateway)
    _count_requests(app, gateway.meter)
    app.add_middleware(BodyLimit)
    return app


def _add_free_routes(app: FastAPI, gateway: GatewayContext) -> None:
    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Tell that the gateway works and which block it sees."""
        block = await _on_thread(gateway, gateway.paywall.ledger.block_number)
        return {"status": "ok", "block": block, "models": [model.name for model in gateway.catalogue.newest()]}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Return the counters in Prometheus' format."""
        return Response(gateway.meter.exposition(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List the models with their prices; a DAO's name means its newest."""
        data = [model_card(gateway.paywall, model, model.name) for model in gateway.catalogue.all()]
        data += [model_card(gateway.paywall, model, model.dao) for model in gateway.catalogue.newest()]
        return {"object": "list", "data": data}

    @app.get("/v1/models/{name}")
    async def model(name: str) -> dict[str, Any]:
        """Describe one model."""
        return model_card(gateway.paywall, gateway.catalogue.find(name), name)

    @app.get("/v1/receipts/{receipt_id}")
    async def receipt(receipt_id: str) -> dict[str, Any]:
        """Return a receipt by its id."""
        call = await _on_thread(gateway, gateway.paywall.calls.by_receipt, _id_of(receipt_id))
        assert call.receipt is not None
        # A voucher moves no money by itself: its claim does, together with others.
        return {**call.receipt.as_json(), "transaction": hex0x(call.transaction) if call.transaction else None}

    @app.post("/v1/feedback", status_code=201)
    async def feedback(given: FeedbackRequest) -> dict[str, Any]:
        """Take signed feedback on a paid call; free."""
        row = await _on_thread(gateway, gateway.feedback.take, given, gateway.clock())
        gateway.meter.count("rodagila_feedback_total", dao=row.dao, kind=row.kind)
        return {"id": hex0x(row.id), "receipt_id": hex0x(row.receipt.id), "kind": row.kind, "turn": row.turn}


def _add_task_routes(app: FastAPI, gateway: GatewayContext, desk: TaskDesk) -> None:
    @app.get("/v1/batches")
    async def batches() -> dict[str, Any]:
        """List the batches of tasks that take responses, with their terms."""
        return {"object": "list", "data": await _on_thread(gateway, desk.batches)}

    @app.post("/v1/tasks/next")
    async def next_task(given: NextTaskRequest) -> dict[str, Any]:
        """Lease the account's next task to her; the same one again while she holds it."""
        offered: dict[str, Any] = await _on_thread(gateway, lambda: desk.next_task(given, now=gateway.clock()))
        return offered

    @app.post("/v1/responses", status_code=201)
    async def respond(given: ResponseRequest) -> dict[str, Any]:
        """Take a signed response to a leased task; its answer stays hidden until the batch is closed."""
        taken: dict[str, Any] = await _on_thread(gateway, lambda: desk.respond(given, now=gateway.clock()))
        gateway.meter.count("rodagila_responses_total")
        return taken

    @app.post("/v1/responses/open")
    async def open_response(given: OpeningRequest) -> dict[str, Any]:
        """Take what opens a response, from an account that kept it until the batch was closed."""
        opened: dict[str, Any] = await _on_thread(gateway, desk.open_response, given)
        return opened


def _add_channel_route(app: FastAPI, gateway: GatewayContext) -> None:
    @app.get("/v1/channels/{name}")
    async def channel(name: str, request: Request) -> Response:
        """Give back what is left in a payment channel with a model's DAO, by x402's message of type refund."""
        served = gateway.catalogue.find(name)
        quote = _quote(served, CHAT, request, request_hash({"model": name}))
        paid = await _on_thread(gateway, gateway.paywall.refund, request.headers.get(PAYMENT_HEADER), quote)
        return _released(paid)


def _add_paid_routes(app: FastAPI, gateway: GatewayContext) -> None:
    @app.post(SEARCH)
    async def search(given: SearchRequest, request: Request) -> Response:
        """Find the records nearest to a text."""
        served = gateway.catalogue.find(given.model)
        return await _paid(gateway, request, served, lambda _: search_answer(served, given))

    @app.post(CLASSIFY)
    async def classify(given: ClassifyRequest, request: Request) -> Response:
        """Name the label of a text."""
        served = gateway.catalogue.find(given.model)
        return await _paid(gateway, request, served, lambda _: classify_answer(served, given))

    @app.post(EMBEDDINGS)
    async def embeddings(given: EmbeddingsRequest, request: Request) -> Response:
        """Return vectors of texts, as OpenAI's API does."""
        served = gateway.catalogue.find(given.model)
        return await _paid(gateway, request, served, lambda _: embeddings_answer(served, given))

    @app.post(CHAT)
    async def chat(given: ChatRequest, request: Request) -> Response:
        """Answer the last user message from the DAO's records, with citations, as OpenAI's API does."""
        served = gateway.catalogue.find(given.model)
        question_of(given)
        return await _paid(gateway, request, served, lambda _: chat_answer(served, given, gateway.clock()))


def _add_arena_routes(app: FastAPI, gateway: GatewayContext) -> None:
    paywall = gateway.paywall
    arena = gateway.arena or Arena.beside(CatalogueLine(gateway.catalogue), paywall.calls, paywall.till.gateway)
    ratings = gateway.ratings or (lambda arena, newest, now: _arena_ratings(gateway, arena, newest, now))

    def newest_of(name: str) -> ServedModel:
        return gateway.catalogue.find(gateway.catalogue.find(name).dao)

    @app.post(ARENA)
    async def ask_two(given: ArenaRequest, request: Request) -> Response:
        """Answer a question by two models of the DAO's line, blind; costs two calls of chat."""
        newest = newest_of(given.model)
        roster = await _on_thread(gateway, arena.standing, newest, gateway.clock())
        return await _paid(
            gateway, request, newest, lambda payment: arena_answer(arena.line, roster, given, payment, gateway.clock())
        )

    @app.get(ARENA + "/{name}")
    async def arena_terms(name: str) -> dict[str, Any]:
        """Tell which models meet, what a call costs, and the commitment to the seed that draws the pairs."""
        newest = newest_of(name)
        return arena_card(newest, await _on_thread(gateway, arena.standing, newest, gateway.clock()))

    @app.get(ARENA + "/{name}/ratings")
    async def arena_ratings(name: str) -> dict[str, Any]:
        """Return the ratings of the DAO's models with all that it takes to recompute them."""
        return dict(await _on_thread(gateway, ratings, arena, newest_of(name), gateway.clock()))

    @app.post("/v1/preferences", status_code=201)
    async def prefer(given: PreferenceRequest) -> dict[str, Any]:
        """Take the signed preference of who paid an arena call; free."""
        row = await _on_thread(gateway, arena.preferences.take, given, gateway.clock())
        gateway.meter.count("rodagila_preferences_total", dao=row.dao)
        return {"id": hex0x(row.id), "receipt_id": hex0x(row.receipt.id), "preferred": row.preferred, "turn": row.turn}


def arena_card(newest: ServedModel, roster: Roster) -> dict[str, Any]:
    """Return the terms of a DAO's arena."""
    return {
        "object": "arena.terms",
        "dao": newest.dao,
        "models": list(roster.models),
        "commitment": hex0x(roster.commitment),
        "price": str(price_of(newest.policy.prices, ARENA)),
        "gold_ppm": roster.gold_ppm,
        "prefer_seconds": roster.prefer_seconds,
    }


def _arena_ratings(gateway: GatewayContext, arena: Arena, newest: ServedModel, now: int) -> dict[str, Any]:
    rosters = arena.rosters.of_dao(newest.dao, dao_id(newest.domain))
    rows = arena.preferences.of_dao(newest.dao)
    who = (newest.domain, gateway.paywall.gateway, newest.dao, newest.turn, newest.policy)
    return rating_file(*who, rosters, rows, {}, {}, now)


def model_card(paywall: Paywall, model: ServedModel, name: str) -> dict[str, Any]:
    """Return OpenAI's model object, with what a buyer must know to pay and to check receipts."""
    prices = model.policy.prices
    return {
        "id": name,
        "object": "model",
        "created": model.created,
        "owned_by": model.dao,
        "root": model.name,
        "turn": model.turn,
        "dao": hex0x(dao_id(model.domain)),
        "registry": model.domain.registry,
        "gateway": paywall.gateway,
        "payment": {
            "network": network_of(paywall.ledger.chain_id),
            "asset": paywall.token.address,
            "pay_to": model.treasury,
            "schemes": list(paywall.terms.schemes),
            "withdraw_delay": model.policy.channels.withdraw_delay_seconds,
            "prices": {route: str(price_of(prices, route)) for route in PAID_ROUTES},
        },
    }


async def _paid(gateway: GatewayContext, request: Request, served: ServedModel, handler: Handler) -> Response:
    route = request.url.path
    quote = _quote(served, route, request, request_hash(await request.json()))
    try:
        paid = await _on_thread(gateway, gateway.paywall.serve, request.headers.get(PAYMENT_HEADER), quote, handler)
    except PaymentFailed as error:
        gateway.meter.count("rodagila_refused_payments_total", code=error.code)
        raise
    if paid.receipt is not None and not paid.replayed:
        gateway.meter.count("rodagila_paid_calls_total", dao=served.dao, route=route)
        gateway.meter.count("rodagila_fees_total", paid.receipt.receipt.amount, dao=served.dao)
    return _released(paid)


def _quote(served: ServedModel, route: str, request: Request, hashed: bytes) -> Quote:
    return Quote(
        dao=served.dao,
        domain=served.domain,
        turn=served.turn,
        route=route,
        request_hash=hashed,
        amount=price_of(served.policy.prices, route),
        pay_to=served.treasury,
        url=str(request.url),
        withdraw_delay=served.policy.channels.withdraw_delay_seconds,
    )


def _released(paid: PaidAnswer) -> Response:
    headers = {"Cache-Control": "no-store"}
    if paid.receipt is not None:
        headers[RECEIPT_HEADER] = encode_receipt(paid.receipt)
    if paid.payment_response:
        headers[RESPONSE_HEADER] = paid.payment_response
    if paid.answer.media_type == SSE:
        return StreamingResponse(_events(paid.answer.body), media_type=SSE, headers=headers)
    return Response(paid.answer.body, media_type=paid.answer.media_type, headers=headers)


async def _events(body: bytes) -> AsyncIterator[bytes]:
    for event in body.split(b"\n\n"):
        if event:
            yield event + b"\n\n"


async def _on_thread(gateway: GatewayContext, work: Callable[..., Any], *args: Any) -> Any:
    try:
        return await anyio.to_thread.run_sync(lambda: work(*args), limiter=gateway.threads)
    except RodaError:
        raise
    except Exception as error:
        # Frames, not the message: a library's message can quote what a buyer sent.
        LOG.error("%s in the gateway\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        raise RodaError(
            "unexpected",
            "Something failed inside the gateway.",
            hint="Send the same request with the same payment again: it is charged once, and only with an answer.",
        ) from error


def _id_of(text: str) -> bytes:
    try:
        found = from_hex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise InvalidInput("invalid_request", f"{text[:80]!r} is not a receipt's id: 32 bytes in hex.")
    return found


def _count_requests(app: FastAPI, meter: Meter) -> None:
    @app.middleware("http")
    async def count(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        begun = time.perf_counter_ns()
        response = await call_next(request)
        # A path that is no route would be a label of its own, and anybody can invent paths.
        route = getattr(request.scope.get("route"), "path", "none")
        meter.count("rodagila_calls_total", route=route, status=str(response.status_code))
        meter.count("rodagila_call_microseconds_total", (time.perf_counter_ns() - begun) // 1000, route=route)
        return response
