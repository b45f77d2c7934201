"""The SDK: ask a gateway and pay per call by x402, from synchronous or asynchronous code.

Every paid call is signed by the account for the price that the gateway names, never above ``max_amount`` a call, and
only in the token that was given. A reply carries the gateway's receipt, whose signature and hashes are checked before
the reply is returned. Errors are those of ``rodagila.core.errors``, by the codes of the gateway's problems.

>>> with Client("http://127.0.0.1:8000", account, token=token, network="eip155:1919902817") as client:  # doctest: +SKIP
...     reply = client.ask("docs", "Which function opens a file?")
...     client.feedback(reply, "rating", rating=5)

Who calls often opens a payment channel by naming a lane: one deposit, then a signature a call and no transaction.
Lanes pay one call after the other; calls in parallel take a lane and a client each.

>>> lane = Lane(Path("channels.json"), deposit=100_000)  # doctest: +SKIP
>>> with Client(url, account, token=token, network=network, lane=lane) as client:  # doctest: +SKIP
...     client.ask("docs", "Which function opens a file?"); client.refund("docs")

Labellers take tasks and respond, each request signed; what they are paid comes from the batch's budget in the escrow:

>>> batch = client.batches()["data"][0]  # doctest: +SKIP
>>> task = client.next_task(batch); client.respond(batch, task, "weather")  # doctest: +SKIP

The transports work in any httpx client, so OpenAI's own client pays too:

>>> transport = buyer_transport(account, token, "eip155:1919902817", 10_000)  # doctest: +SKIP
>>> openai.AsyncOpenAI(api_key="-", base_url=url, http_client=httpx.AsyncClient(transport=transport))  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import httpx
from eth_account.signers.local import LocalAccount

from rodagila.collect.responding import ask, opening_of, respond, shown_content
from rodagila.core.canonical import canonical_json, json_hash
from rodagila.core.errors import (
    CODES,
    Conflict,
    InvalidInput,
    NotAuthorised,
    NotFound,
    PaymentFailed,
    RefusedByPolicy,
    RodaError,
    Unreachable,
)
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.messages import Feedback, Preference, sign
from rodagila.market.buyer import MAX_AMOUNT, buyer_transport, buyer_transport_sync
from rodagila.market.lanes import Lane
from rodagila.market.prices import ARENA, CHAT, CLASSIFY, EMBEDDINGS, SEARCH
from rodagila.market.receipts import RECEIPT_HEADER, SignedReceipt, decode_receipt, request_hash, response_hash

__all__ = ["AsyncClient", "Client", "Lane", "Reply", "buyer_transport", "buyer_transport_sync"]

PREFER_SECONDS = 3_600
"""How long a signed preference is good."""

R = TypeVar("R")
J = TypeVar("J")
Flow = Generator[httpx.Request, httpx.Response, Any]
"""A call without its input and output: yields requests, is sent their responses, returns the result."""

TIMEOUT_SECONDS = 60.0
_BY_STATUS: dict[int, type[RodaError]] = {
    401: NotAuthorised,
    402: PaymentFailed,
    403: RefusedByPolicy,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    503: Unreachable,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A paid answer: the request as it was sent, the response's JSON, the gateway's receipt (None if free)."""

    request: dict[str, Any]
    body: dict[str, Any]
    receipt: SignedReceipt | None

    @property
    def text(self) -> str:
        """The words of a chat answer."""
        return str(self.body["choices"][0]["message"]["content"])

    @property
    def answers(self) -> dict[str, str]:
        """The two answers of an arena call by their sides, a and b."""
        return {str(entry["side"]): str(entry["text"]) for entry in self.body["answers"]}

    @property
    def hits(self) -> list[dict[str, Any]]:
        """The records of a search, or those that a chat answer cites."""
        return list(self.body["citations"] if "citations" in self.body else self.body["data"])

    @property
    def labels(self) -> list[tuple[str, int]]:
        """The labels of a classification with their scores in millionths, best first."""
        return [(entry["label"], entry["score_ppm"]) for entry in self.body["data"]]

    @property
    def vectors(self) -> list[list[float]]:
        """The vectors of an embeddings call."""
        return [entry["embedding"] for entry in self.body["data"]]


def signed_preference(receipt: SignedReceipt, preferred: str, account: LocalAccount, expires: int) -> dict[str, Any]:
    """Return the body of ``POST /v1/preferences``; ``expires`` in seconds since 1970."""
    message = Preference(receipt.id, str(account.address), preferred, expires)
    return {
        "receipt_id": hex0x(receipt.id),
        "account": message.account,
        "preferred": preferred,
        "expires": expires,
        "signature": hex0x(sign(account, receipt.domain, message)),
    }


class _Surface(Generic[R, J]):
    """The calls of both clients; ``R`` and ``J`` are a reply and a JSON object, or awaitables of them."""

    def __init__(self, url: str, account: LocalAccount | None, gateway: str | None) -> None:
        self._url = httpx.URL(url if url.endswith("/") else url + "/")
        self._account = account
        self._gateway = gateway

    def models(self) -> J:
        """Return the list of models with their prices."""
        return self._json(self._free("GET", "v1/models"))

    def search(self, model: str, text: str, k: int = 5) -> R:
        """Return the ``k`` records nearest to ``text``."""
        return self._reply(self._paid(SEARCH, {"model": model, "text": text, "k": k}))

    def classify(self, model: str, text: str, top: int = 3) -> R:
        """Return the ``top`` likeliest labels of ``text``."""
        return self._reply(self._paid(CLASSIFY, {"model": model, "text": text, "top": top}))

    def embeddings(self, model: str, texts: Sequence[str]) -> R:
        """Return a vector of each text."""
        return self._reply(self._paid(EMBEDDINGS, {"model": model, "input": list(texts)}))

    def chat(self, model: str, messages: Sequence[dict[str, str]]) -> R:
        """Answer the last message of role user."""
        return self._reply(self._paid(CHAT, {"model": model, "messages": list(messages)}))

    def ask(self, model: str, question: str) -> R:
        """Answer one question."""
        return self.chat(model, [{"role": "user", "content": question}])

    def ask_two(self, model: str, question: str) -> R:
        """Let two models of the DAO's line answer one question, blind; ``prefer`` says which answer is better."""
        return self._reply(self._paid(ARENA, {"model": model, "question": question}))

    def arena(self, model: str) -> J:
        """Return the terms of the DAO's arena: models, price, and the commitment to the seed that draws pairs."""
        return self._json(self._free("GET", f"v1/arena/{model}"))

    def ratings(self, model: str) -> J:
        """Return the file of the line's ratings; ``rodagila.serve.ratings.checked`` recomputes it."""
        return self._json(self._free("GET", f"v1/arena/{model}/ratings"))

    def prefer(self, given: Reply | SignedReceipt, preferred: str, seconds: int = PREFER_SECONDS) -> J:
        """Sign and send which answer of an arena call is better: a, b or tie; good for ``seconds`` from now.

        ``given`` is the call's reply or its receipt.
        """
        receipt = given.receipt if isinstance(given, Reply) else given
        if receipt is None or self._account is None:
            raise NotAuthorised(
                "preference_invalid", "Only a paid arena call, with its payer's key, takes preferences."
            )
        body = signed_preference(receipt, preferred, self._account, int(time.time()) + seconds)
        return self._json(self._free("POST", "v1/preferences", body))

    def feedback(self, reply: Reply, kind: str, **fields: Any) -> J:
        """Sign and send feedback on a paid reply; ``rodagila.serve.feedback`` lists the kinds and their fields."""
        if reply.receipt is None or self._account is None:
            raise NotAuthorised("feedback_invalid", "Only a paid reply, with the account that paid it, can be judged.")
        body = {"request": reply.request, **fields}
        message = Feedback(reply.receipt.id, str(self._account.address), kind, json_hash(body))
        given = {
            "receipt_id": hex0x(reply.receipt.id),
            "account": str(self._account.address),
            "kind": kind,
            "body": body,
            "signature": hex0x(sign(self._account, reply.receipt.domain, message)),
        }
        return self._json(self._free("POST", "v1/feedback", given))

    def refund(self, model: str) -> J:
        """Take back what is left in the lane's channel with the model's DAO, at once and without gas."""
        return self._json(self._free("GET", f"v1/channels/{model}"))

    def receipt(self, receipt_id: bytes) -> J:
        """Return a receipt by its id, with the transaction that settled it."""
        return self._json(self._free("GET", f"v1/receipts/{hex0x(receipt_id)}"))

    def batches(self) -> J:
        """Return the batches of tasks that take responses: ``data`` is a list of their cards."""
        return self._json(self._free("GET", "v1/batches"))

    def next_task(self, batch: Mapping[str, Any]) -> J:
        """Take the account's next task of ``batch``, a card of ``batches``; the same one while she holds it."""
        asked = ask(self._signer(), batch, nonce=time.time_ns(), now=int(time.time()))
        return self._json(self._free("POST", "v1/tasks/next", asked))

    def respond(self, batch: Mapping[str, Any], task: Mapping[str, Any], answer: str, *, sealed: bool = True) -> J:
        """Respond to ``task``, as ``next_task`` gave it; the answer stays hidden until the batch is closed.

        Without ``sealed`` the gateway cannot open it either: send ``open_response`` when the batch is closed.
        """
        given = respond(self._signer(), batch, task, answer, now=int(time.time()), sealed=sealed)
        return self._json(self._free("POST", "v1/responses", given))

    def open_response(self, batch: Mapping[str, Any], task: Mapping[str, Any], answer: str) -> J:
        """Open a response that was given without ``sealed``, once its batch is closed."""
        opening = opening_of(self._signer(), shown_content(task), from_hex(task["lease"]), answer)
        given = {"batch": batch["id"], "lease": task["lease"], **opening}
        return self._json(self._free("POST", "v1/responses/open", given))

    def _signer(self) -> LocalAccount:
        if self._account is None:
            raise NotAuthorised("response_invalid", "Tasks are for accounts: give the client one.")
        return self._account

    def _free(self, method: str, path: str, body: dict[str, Any] | None = None) -> Flow:
        response = yield self._request(method, path, body)
        return _checked(response)

    def _paid(self, route: str, body: dict[str, Any]) -> Flow:
        response = yield self._request("POST", route.removeprefix("/"), body)
        answer = _checked(response)
        header = response.headers.get(RECEIPT_HEADER)
        receipt = None if header is None else decode_receipt(header)
        if receipt is not None:
            self._check_receipt(receipt, route, body, response.content)
        return Reply(body, answer, receipt)

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Request:
        content = None if body is None else canonical_json(body)
        return httpx.Request(
            method, self._url.join(path), content=content, headers={"Content-Type": "application/json"}
        )

    def _check_receipt(self, signed: SignedReceipt, route: str, body: dict[str, Any], content: bytes) -> None:
        receipt, signer = signed.receipt, signed.signer()
        given = (receipt.route, receipt.request_hash, receipt.response_hash)
        payer = None if self._account is None else str(self._account.address)
        trusted = signer is not None and signer == (self._gateway or signer)
        if not trusted or given != (route, request_hash(body), response_hash(content)) or receipt.payer != payer:
            raise NotAuthorised(
                "receipt_invalid",
                "The gateway's receipt is not its signature over this payer, request and response.",
                hint="Do not pay this gateway again before its operator explains.",
            )

    def _reply(self, flow: Flow) -> R:
        raise NotImplementedError

    def _json(self, flow: Flow) -> J:
        raise NotImplementedError


class Client(_Surface[Reply, dict[str, Any]]):
    """A synchronous client; without an account it can make free calls only.

    ``gateway`` is the address whose receipts are accepted; without it any consistent signature is. With a ``lane``
    calls are paid by channel.
    """

    def __init__(
        self,
        url: str,
        account: LocalAccount | None = None,
        *,
        token: str = "",
        network: str = "",
        max_amount: int = MAX_AMOUNT,
        gateway: str | None = None,
        transport: httpx.BaseTransport | None = None,
        lane: Lane | None = None,
    ) -> None:
        super().__init__(url, account, gateway)
        if account is not None:
            transport = buyer_transport_sync(account, token, network, max_amount, transport, lane)
        self._http = httpx.Client(transport=transport, timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, flow: Flow) -> Any:
        try:
            request = next(flow)
            while True:
                try:
                    response = self._http.send(request)
                except Exception as error:
                    raise _explained(error) from error
                request = flow.send(response)
        except StopIteration as done:
            return done.value

    _reply = _run
    _json = _run


class AsyncClient(_Surface[Awaitable[Reply], Awaitable[dict[str, Any]]]):
    """The same client for asynchronous code; every call is awaited."""

    def __init__(
        self,
        url: str,
        account: LocalAccount | None = None,
        *,
        token: str = "",
        network: str = "",
        max_amount: int = MAX_AMOUNT,
        gateway: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        lane: Lane | None = None,
    ) -> None:
        super().__init__(url, account, gateway)
        if account is not None:
            transport = buyer_transport(account, token, network, max_amount, transport, lane)
        self._http = httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, flow: Flow) -> Any:
        try:
            request = next(flow)
            while True:
                try:
                    response = await self._http.send(request)
                except Exception as error:
                    raise _explained(error) from error
                request = flow.send(response)
        except StopIteration as done:
            return done.value

    _reply = _run
    _json = _run


def _checked(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    problem = body if isinstance(body, dict) else {}
    code = problem.get("code")
    kind = _BY_STATUS.get(response.status_code, InvalidInput if response.is_client_error else RodaError)
    if code not in CODES:
        raise kind("unexpected", f"The gateway answered {response.status_code} without a problem this version knows.")
    details = problem.get("details")
    raise kind(
        code,
        str(problem.get("detail", "")),
        hint=str(problem.get("hint", "")),
        **{str(name): value for name, value in details.items()} if isinstance(details, dict) else {},
    )


def _explained(error: Exception) -> Exception:
    from x402.http.clients.httpx import PaymentError
    from x402.schemas.errors import PaymentError as TermsError

    causes = (error, error.__cause__)
    if any(isinstance(cause, httpx.TransportError) for cause in causes):
        return Unreachable(
            "unreachable", f"The gateway cannot be reached: {error}.", hint="Check its address; try again."
        )
    if isinstance(error, PaymentError | TermsError):
        return PaymentFailed(
            "payment_invalid",
            f"The gateway's terms were not paid: {causes[1] or error}.",
            hint="Raise max_amount, or check that token and network are the gateway's.",
        )
    return error
