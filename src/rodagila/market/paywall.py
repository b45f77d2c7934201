"""The paywall: verify the payment, run the handler, settle, and only then release the response.

Rules (MECHANISM 4, x402 v2 ``exact``): an unpaid call learns the terms and nothing else; a handler that fails costs
nothing; a settlement that fails releases nothing; one signed payment is served at most once. The steps are recorded so
that a crash between any two of them is mended by the buyer's retry of the same payment:

====================  ================================================================
row of the payment    what a retry with the same request does
====================  ================================================================
none                  verify, run, keep the response, settle, sign, release
claimed               settle, or find the settlement on the ledger; sign, release
served                release the kept response again, while it is kept
====================  ================================================================

The same payment with another request is a conflict. Responses are kept for as long as a payment stays good: a settled
authorisation stands on a public ledger, so whoever also knows the request could otherwise fetch the response for ever.

>>> paywall.serve(None, quote, handler)  # doctest: +SKIP
Traceback (most recent call last):
rodagila.market.paywall.PaymentDemand: POST /v1/search costs 0.001 Roda Pay.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eth_account.signers.local import LocalAccount

from rodagila.chain.port import Ledger
from rodagila.core.errors import Conflict, NotFound, PaymentFailed, RodaError, Unreachable
from rodagila.core.hashing import from_hex, hex0x
from rodagila.core.messages import Receipt, dao_id
from rodagila.core.money import format_amount
from rodagila.market.calls import SERVED, Call, Calls
from rodagila.market.facilitator import LedgerFacilitator
from rodagila.market.fees import settled_transaction
from rodagila.market.payments import Payment, decode_payment
from rodagila.market.prices import PAYMENT_SECONDS, Quote, Token, asset_amount, network_of
from rodagila.market.receipts import SignedReceipt, issue_receipt, response_hash
from rodagila.market.settlements import Settlements

if TYPE_CHECKING:
    from x402.schemas import PaymentRequired, PaymentRequirements, SettleResponse

LOG = logging.getLogger(__name__)
FORGET_EVERY = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler made: the response's bytes, their media type and the places of the records they cite."""

    body: bytes
    media_type: str
    places: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PaidAnswer:
    """A response that may leave, the receipt, and the value of the ``PAYMENT-RESPONSE`` header; free: both empty."""

    answer: Answer
    receipt: SignedReceipt | None = None
    payment_response: str = ""
    replayed: bool = False


class PaymentDemand(PaymentFailed):
    """A payment is missing or wrong: carries the terms, as x402 writes them."""

    def __init__(self, code: str, message: str, terms: PaymentRequired, *, hint: str = "", **details: Any) -> None:
        super().__init__(code, message, hint=hint, **details)
        self.terms = terms


class PaymentUnsettled(PaymentFailed):
    """The payment did not settle: carries the settlement's failure, as x402 writes it."""

    def __init__(self, message: str, settlement: SettleResponse, *, hint: str = "", **details: Any) -> None:
        super().__init__("payment_unsettled", message, hint=hint, **details)
        self.settlement = settlement


class Paywall:
    """Serves paid calls of one token on one ledger; blocking, so callers keep it off their event loop."""

    def __init__(
        self,
        ledger: Ledger,
        token: Token,
        gateway: LocalAccount,
        calls: Calls,
        *,
        clock: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        from x402.mechanisms.evm.exact.server import ExactEvmScheme
        from x402.server import x402ResourceServerSync

        self.ledger, self.token, self.calls = ledger, token, calls
        self._gateway, self._clock = gateway, clock
        self._network = network_of(ledger.chain_id)
        self._server = x402ResourceServerSync(LedgerFacilitator(ledger, gateway, Settlements(calls.database)))
        scheme: Any = ExactEvmScheme  # the SDK's own annotations do not fit each other
        self._server.register(self._network, scheme())
        self._server.initialize()
        self._in_flight = _InFlight()
        self._served = 0
        self._forget()

    @property
    def gateway(self) -> str:
        """The address that signs receipts."""
        return str(self._gateway.address)

    def serve(self, header: str | None, quote: Quote, handler: Callable[[], Answer]) -> PaidAnswer:
        """Return the handler's answer once it is paid; ``header`` is ``PAYMENT-SIGNATURE``.

        Raises ``PaymentDemand``, ``PaymentUnsettled``, ``Conflict`` (``payment_used``), ``Unreachable`` and whatever
        the handler raises.
        """
        if quote.amount == 0:
            return PaidAnswer(handler())
        if header is None:
            price = f"{format_amount(quote.amount)} {self.token.name}"
            raise self._demand(quote, "payment_required", f"POST {quote.route} costs {price}.")
        try:
            payment = decode_payment(header)
        except PaymentFailed as error:
            raise self._demand(quote, error.code, error.message, hint=error.hint) from error
        terms = self._terms(quote)
        if self._server.find_matching_requirements([terms], payment.payload) is None:
            message = "The payment is signed for other terms: chain, token, amount, recipient or time differ."
            raise self._demand(quote, "payment_invalid", message)
        key = payment.id_on(self.ledger.chain_id, self.token.address)
        with self._in_flight.alone(key):
            return self._serve_alone(key, payment, terms, quote, handler)

    def _serve_alone(
        self, key: bytes, payment: Payment, terms: PaymentRequirements, quote: Quote, handler: Callable[[], Answer]
    ) -> PaidAnswer:
        call = self._known(key, payment, quote)
        if call is None:
            self._verify(payment, terms, quote)
            call = self._answered(key, payment, quote, handler())
        if call.state == SERVED:
            return self._replay(call)
        transaction = self._settled(call, payment, terms, quote)
        return self._signed(replace(call, transaction=transaction), quote)

    def _known(self, key: bytes, payment: Payment, quote: Quote) -> Call | None:
        call = self.calls.get(key)
        given = (payment.digest, quote.route, quote.request_hash)
        if call is not None and (call.digest, call.route, call.request_hash) != given:
            raise _used("This payment already pays for another call.")
        return call

    def _verify(self, payment: Payment, terms: PaymentRequirements, quote: Quote) -> None:
        result = self._server.verify_payment(payment.payload, terms).verify
        if not result.is_valid:
            reason = result.invalid_reason or "unknown"
            raise self._demand(quote, "payment_invalid", f"The payment was refused: {reason}.", reason=reason)

    def _answered(self, key: bytes, payment: Payment, quote: Quote, answer: Answer) -> Call:
        call = Call(
            id=key,
            dao=quote.dao,
            turn=quote.turn,
            payer=payment.payer,
            route=quote.route,
            amount=quote.amount,
            request_hash=quote.request_hash,
            digest=payment.digest,
            created=self._clock(),
            response=answer.body,
            media_type=answer.media_type,
            places=answer.places,
        )
        if not self.calls.claim(call):
            raise _used("This payment is being served by another gateway.")
        return call

    def _settled(self, call: Call, payment: Payment, terms: PaymentRequirements, quote: Quote) -> bytes:
        result = self._server.settle_payment(payment.payload, terms)
        if result.success:
            return from_hex(result.transaction)
        found = settled_transaction(
            self.ledger, self.token.address, payer=call.payer, nonce=payment.nonce, pay_to=quote.pay_to,
            amount=call.amount,
        )  # fmt: skip
        if found is not None:
            return found
        if result.transaction and not self._failed(from_hex(result.transaction)):
            raise Unreachable(
                "unreachable", "The settlement was sent and its outcome is not known yet; nothing was released.",
                hint="Try the same payment again.", transaction=result.transaction,
            )  # fmt: skip
        self.calls.release(call.id)
        reason = result.error_reason or "unknown"
        LOG.warning("settlement of %s failed: %s", hex0x(call.id), reason)
        raise PaymentUnsettled(
            f"The payment did not settle ({reason}); no money moved and nothing is released.", result,
            hint="Sign a new payment.", reason=reason,
        )  # fmt: skip

    def _failed(self, transaction: bytes) -> bool:
        try:
            return self.ledger.receipt(transaction).status == 0
        except NotFound:
            return False  # sent, and in no block yet

    def _signed(self, call: Call, quote: Quote) -> PaidAnswer:
        assert call.response is not None and call.transaction is not None
        receipt = Receipt(
            payer=call.payer,
            dao=dao_id(quote.domain),
            turn=call.turn,
            route=call.route,
            amount=call.amount,
            payment=call.id,
            request_hash=call.request_hash,
            response_hash=response_hash(call.response),
        )
        call = replace(call, receipt=issue_receipt(self._gateway, quote.domain, receipt), state=SERVED)
        self.calls.serve(call)
        self._served += 1
        if self._served % FORGET_EVERY == 0:
            self._forget()
        return self._released(call)

    def _replay(self, call: Call) -> PaidAnswer:
        if call.response is None or call.created + PAYMENT_SECONDS < self._clock():
            raise _used("This payment was served and its response is no longer kept.")
        return replace(self._released(call), replayed=True)

    def _released(self, call: Call) -> PaidAnswer:
        from x402.http.utils import encode_payment_response_header
        from x402.schemas import SettleResponse

        assert call.response is not None and call.transaction is not None
        settlement = SettleResponse(
            success=True, transaction=hex0x(call.transaction), network=self._network, payer=call.payer,
            amount=str(call.amount),
        )  # fmt: skip
        answer = Answer(call.response, call.media_type, call.places)
        return PaidAnswer(answer, call.receipt, encode_payment_response_header(settlement))

    def _terms(self, quote: Quote) -> PaymentRequirements:
        from x402.schemas import ResourceConfig

        price = asset_amount(self.token, quote.amount)
        config = ResourceConfig(
            scheme="exact", network=self._network, pay_to=quote.pay_to, price=price,
            max_timeout_seconds=PAYMENT_SECONDS,
        )  # fmt: skip
        return self._server.build_payment_requirements(config)[0]

    def _demand(self, quote: Quote, code: str, message: str, *, hint: str = "", **details: Any) -> PaymentDemand:
        from x402.schemas import ResourceInfo

        resource = ResourceInfo(
            url=quote.url, description=f"One call of {quote.route}, DAO {quote.dao}", mime_type="application/json"
        )
        terms = self._server.create_payment_required_response([self._terms(quote)], resource, message)
        hint = hint or "Pay by x402 and send the same request with the PAYMENT-SIGNATURE header."
        return PaymentDemand(code, message, terms, hint=hint, **details)

    def _forget(self) -> None:
        self.calls.forget_responses(self._clock() - PAYMENT_SECONDS)


class _InFlight:
    """Lets one thread at a time work on a payment; others of the same payment wait for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[bytes, tuple[threading.Lock, int]] = {}

    @contextmanager
    def alone(self, key: bytes) -> Iterator[None]:
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._locks[key]
                if users == 1:
                    del self._locks[key]
                else:
                    self._locks[key] = (lock, users - 1)


def _used(message: str) -> RodaError:
    return Conflict("payment_used", message, hint="Sign a new payment for a new call.")
